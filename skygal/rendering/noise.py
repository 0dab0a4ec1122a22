"""Noise with the beam's correlation, made block by block.

White noise belongs to the sky's pixels: it comes in tiles, each from a generator keyed by the
tile's place. A block is convolved with its halo by an FFT of fixed size, so that its pixels do not
depend on the size of the image that it is part of, nor on which blocks are made, or in what order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import fft

from skygal.rendering.beam import TargetBeam
from skygal.seeds import Seeds

__all__ = ["correlation_kernel", "make_noise"]

TILE = 128
BLOCK = 1024


def correlation_kernel(beam: TargetBeam) -> np.ndarray:
    """Return the beam as a kernel of unit square sum, so that convolving keeps the rms of white noise.

    Parameters
    ----------
    beam : TargetBeam
        A Gaussian, or a PSF image.

    Returns
    -------
    ndarray, shape (2 * ry + 1, 2 * rx + 1)
    """
    if beam.psf is not None:
        kernel = beam.psf
    else:
        rx, ry = np.ceil(5 * np.sqrt(np.diag(beam.covariance))).astype(int)
        x, y = np.arange(-rx, rx + 1), np.arange(-ry, ry + 1)
        (a, b), (_, c) = np.linalg.inv(beam.covariance)
        kernel = np.exp(-0.5 * (a * x**2 + (c * y**2)[:, None] + 2 * b * np.multiply.outer(y, x)))
    return kernel / np.sqrt(np.sum(kernel**2))


def _white(seeds: Seeds, row: int, column: int) -> np.ndarray:
    # spawn keys are unsigned: tiles above or left of the image's corner are folded to odd numbers
    place = [2 * k if k >= 0 else -2 * k - 1 for k in (row, column)]
    return seeds.generator("noise", *place).standard_normal((TILE, TILE), dtype=np.float32)


def make_noise(shape: tuple[int, int], beam: TargetBeam, rms: float, seeds: Seeds, *, workers: int = 2,
               progress: Callable[[int], object] | None = None) -> np.ndarray:
    """Return an image of noise, white noise convolved with the beam.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx).
    beam : TargetBeam
        The image's beam.
    rms : float
        Standard deviation of the result, in the unit that the result shall have (Jy/beam).
    seeds : Seeds
        The stream "noise" is used.
    workers : int
        Threads. The result does not depend on their number.
    progress : callable, optional
        Called with the number of pixels that have just been done.

    Returns
    -------
    ndarray, shape (ny, nx), float32

    Notes
    -----
    The autocorrelation of the result is that of the beam: for a Gaussian of FWHM b, a Gaussian of
    FWHM sqrt(2) b, as in noise smoothed by the beam (Condon 1997, 1997PASP..109..166C).
    """
    kernel = correlation_kernel(beam) * rms
    half = np.array(kernel.shape) // 2
    ring = -(-half // TILE)                     # tiles of halo on each side
    tiles = BLOCK // TILE + 2 * ring
    size = tuple(fft.next_fast_len(int(n) * TILE, real=True) for n in tiles)
    transfer = fft.rfft2(np.roll(np.pad(kernel, [(0, s - k) for s, k in zip(size, kernel.shape, strict=True)]),
                                 -half, axis=(0, 1)).astype(np.float32))
    out = np.empty(shape, np.float32)

    def fill(corner: tuple[int, int]) -> int:
        y, x = corner
        white = np.block([[_white(seeds, y // TILE + j, x // TILE + i)
                           for i in range(-ring[1], tiles[1] - ring[1])]
                          for j in range(-ring[0], tiles[0] - ring[0])])
        done = fft.irfft2(fft.rfft2(white, s=size) * transfer, s=size)
        target = out[y:y + BLOCK, x:x + BLOCK]
        oy, ox = ring * TILE
        target[:] = done[oy:oy + target.shape[0], ox:ox + target.shape[1]]
        return target.size

    corners = [(y, x) for y in range(0, shape[0], BLOCK) for x in range(0, shape[1], BLOCK)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for pixels in pool.map(fill, corners):
            if progress is not None:
                progress(pixels)
    return out
