"""Convolution of an image of any size, block by block.

Blocks lie at fixed places, and each is convolved by an FFT whose size only the kernel sets. So a
pixel has the same bits whatever part of the image is asked for, and whoever makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
from scipy import fft

__all__ = ["Blocks", "Window", "check_window", "convolve_window", "fill_window"]

#: (y0, y1, x0, x1): rows y0 to y1 - 1 and columns x0 to x1 - 1, any whole numbers
Window = tuple[int, int, int, int]

#: sides of blocks: an FFT of this size stays in a core's own memory; and none is larger than the last
SMALLEST, LARGEST = 512, 4096


def _block_side(reach: int) -> int:
    """Return the side of blocks for a kernel that reaches so many pixels: the halo is at most half of it, if it can."""
    side = SMALLEST
    while side < LARGEST and 4 * reach > side:
        side *= 2
    return side


class Blocks:
    """The grid of blocks for kernels of a size, and the FFTs on it.

    Parameters
    ----------
    reach : (int, int)
        How far the kernels reach from their middle (y, x): half their odd sides, rounded down.
    dtype : dtype
        float32 or float64, of the transforms.

    Attributes
    ----------
    sides : (int, int)
        Sides (y, x) of a block; block (j, i) begins at pixel (j * sides[0], i * sides[1]).
    size : (int, int)
        Sides of the FFT: a block with its halo, and a little more.
    """

    def __init__(self, reach: tuple[int, int], *, dtype: Any = np.float64) -> None:
        self.reach, self.dtype = reach, np.dtype(dtype)
        self.sides = _block_side(reach[0]), _block_side(reach[1])
        self.size = tuple(fft.next_fast_len(s + 2 * r, real=True) for s, r in zip(self.sides, reach, strict=True))

    def transfer(self, kernel: np.ndarray) -> np.ndarray:
        """Return the transform of a kernel, of odd sides up to 2 * reach + 1, that keeps the middle in place."""
        half = np.array(kernel.shape) // 2
        whole = np.zeros(self.size, self.dtype)
        whole[:kernel.shape[0], :kernel.shape[1]] = kernel
        # the pixels that are fetched begin with the halo, and the result without it
        ry, rx = self.reach
        return fft.rfft2(np.roll(whole, (-half[0] - ry, -half[1] - rx), axis=(0, 1)))

    def forward(self, fetch: Callable[[int, int, int, int], np.ndarray], place: tuple[int, int]) -> np.ndarray | None:
        """Return the transform of block ``place`` (j, i) with what is around it; None where all of it is zero."""
        y, x = (p * s - r for p, s, r in zip(place, self.sides, self.reach, strict=True))
        pixels = np.asarray(fetch(y, y + self.size[0], x, x + self.size[1]), self.dtype)
        return fft.rfft2(pixels) if pixels.any() else None

    def backward(self, spectrum: np.ndarray) -> np.ndarray:
        """Return the block, convolved, of a transform that a kernel's has been multiplied to."""
        # along one axis at a time, in place where it can be: twice as fast as irfft2
        rows = fft.ifft(spectrum, axis=0, overwrite_x=True)[:self.sides[0]]
        return fft.irfft(rows, n=self.size[1], axis=1)[:, :self.sides[1]]

    def within(self, window: Window) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
        """Yield, for each block that meets the window, its place, and the part of the window and of it that meet."""
        (y0, y1, x0, x1), (sy, sx) = window, self.sides
        for j, i in product(range(y0 // sy, -(-y1 // sy)), range(x0 // sx, -(-x1 // sx))):
            top, bottom, left, right = max(y0, j * sy), min(y1, (j + 1) * sy), max(x0, i * sx), min(x1, (i + 1) * sx)
            yield ((j, i), (slice(top - y0, bottom - y0), slice(left - x0, right - x0)),
                   (slice(top - j * sy, bottom - j * sy), slice(left - i * sx, right - i * sx)))


def check_window(window: Window) -> Window:
    """Return a window of whole numbers.

    Raises
    ------
    ValueError
        If it ends before it begins.
    """
    y0, y1, x0, x1 = (int(edge) for edge in window)
    if y1 < y0 or x1 < x0:
        raise ValueError(f"window must be (y0, y1, x0, x1) with y0 <= y1 and x0 <= x1, got {(y0, y1, x0, x1)}")
    return y0, y1, x0, x1


def fill_window(blocks: Blocks, window: Window, make: Callable[[tuple[int, int]], np.ndarray | None], *,
                workers: int = 1, progress: Callable[[int], object] | None = None) -> np.ndarray:
    """Return the pixels of a window, made block by block.

    Parameters
    ----------
    blocks : Blocks
        The grid.
    window : (int, int, int, int)
        (y0, y1, x0, x1).
    make : callable
        Returns the pixels of block (j, i), or None for zeros; is called from ``workers`` threads.
    workers : int
        Threads.
    progress : callable, optional
        Called with the number of pixels that have just been done.

    Returns
    -------
    ndarray, shape (y1 - y0, x1 - x0)
    """
    y0, y1, x0, x1 = window = check_window(window)
    out = np.empty((y1 - y0, x1 - x0), blocks.dtype)

    def fill(job: tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]) -> int:
        place, onto, part = job
        pixels = make(place)
        out[onto] = 0 if pixels is None else pixels[part]
        return out[onto].size

    def report(done: Iterator[int]) -> None:
        for pixels in done:
            if progress is not None:
                progress(pixels)

    if workers <= 1:
        report(map(fill, blocks.within(window)))
    else:
        with ThreadPoolExecutor(workers) as pool:
            report(pool.map(fill, blocks.within(window)))
    return out


def convolve_window(fetch: Callable[[int, int, int, int], np.ndarray], kernel: np.ndarray, window: Window, *,
                    workers: int = 1, dtype: Any = np.float64) -> np.ndarray:
    """Return a window of an image, convolved.

    Parameters
    ----------
    fetch : callable
        ``fetch(y0, y1, x0, x1)`` returns the unconvolved pixels, shape (y1 - y0, x1 - x0). It is asked
        for whole blocks with what is around them, also beyond the window and the image, and is to return
        there what there is to be: zeros, or more of the image. It is called from ``workers`` threads.
    kernel : ndarray, shape (2 * ry + 1, 2 * rx + 1)
        Its middle pixel is where a pixel of the image stays.
    window : (int, int, int, int)
        (y0, y1, x0, x1): rows y0 to y1 - 1, columns x0 to x1 - 1; any whole numbers.
    workers : int
        Threads. The result does not depend on their number.
    dtype : dtype
        float64 or float32, of the transforms and the result. In float32 rounding is some 1e-7 of the
        brightest pixels within a block.

    Returns
    -------
    ndarray, shape (y1 - y0, x1 - x0)
        The same bits for a pixel whatever window it is part of.

    Raises
    ------
    ValueError
        If the kernel is not two-dimensional with odd sides, or not finite, or the window ends before it begins.

    Notes
    -----
    Overlap-save (Press et al. 2007, Numerical Recipes, 13.1.1), with blocks of 512 to 4096 pixels a
    side: at least twice the kernel's side as far as that goes. A tile whose corners are
    multiples of the block's side wastes nothing; `Blocks` tells the side.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.rendering.blocks import convolve_window
    >>> image = np.zeros((600, 700))
    >>> image[300, 400] = 2.0
    >>> def fetch(y0, y1, x0, x1):
    ...     whole = np.pad(image, 2000)
    ...     return whole[y0 + 2000:y1 + 2000, x0 + 2000:x1 + 2000]
    >>> convolve_window(fetch, np.ones((3, 5)), (299, 301, 400, 403)).round(6)
    array([[2., 2., 2.],
           [2., 2., 2.]])
    """
    kernel = np.asarray(kernel, float)
    if kernel.ndim != 2 or not all(n % 2 for n in kernel.shape):
        raise ValueError(f"kernel must be two-dimensional with odd sides, got shape {kernel.shape}")
    if not np.isfinite(kernel).all():
        raise ValueError(f"kernel must be finite, got {np.count_nonzero(~np.isfinite(kernel))} pixels that are not")
    blocks = Blocks((kernel.shape[0] // 2, kernel.shape[1] // 2), dtype=dtype)
    transfer = blocks.transfer(kernel)

    def make(place: tuple[int, int]) -> np.ndarray | None:
        spectrum = blocks.forward(fetch, place)
        if spectrum is None:
            return None
        spectrum *= transfer
        return blocks.backward(spectrum)

    return fill_window(blocks, window, make, workers=workers)
