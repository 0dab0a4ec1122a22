"""Noise with the beam's correlation, made block by block.

White noise belongs to the sky's pixels: it comes in tiles, each from a counter that is the
tile's place. It is convolved in the fixed blocks of `skygal.rendering.blocks`, so that a pixel does not
depend on the size of the image that it is part of, nor on which part is made, or in what order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from skygal.observation.beam import TargetBeam
from skygal.rendering.blocks import Blocks, Window, check_window, fill_window
from skygal.rendering.varying_noise import VaryingNoise, gaussian_reach, unit_gaussian
from skygal.seeds import Seeds

__all__ = ["correlation_kernel", "make_noise", "noise_window", "white_noise"]

#: side of a tile of white noise
TILE = 128


def correlation_kernel(beam: TargetBeam) -> np.ndarray:
    """Return the beam as a kernel of unit square sum, so that convolving keeps the rms of white noise.

    Parameters
    ----------
    beam : TargetBeam
        A Gaussian, or a PSF image. Of a beam that varies, the one at the image's centre.

    Returns
    -------
    ndarray, shape (2 * ry + 1, 2 * rx + 1)
    """
    if beam.psf is None:
        return unit_gaussian(beam.covariance, gaussian_reach(beam.covariance))
    return beam.psf / np.sqrt(np.sum(beam.psf**2))


def white_noise(key: np.ndarray, row: int, column: int, channel: int = 0) -> np.ndarray:
    """Return one tile of white noise of unit rms.

    Parameters
    ----------
    key : ndarray of uint64, shape (2,)
        The stream.
    row, column, channel : int
        The tile's place and what it is for; any whole numbers.

    Returns
    -------
    ndarray, shape (128, 128), float32

    Notes
    -----
    Philox counters (Salmon et al. 2011, doi:10.1145/2063384.2063405) made normal by Box & Muller 1958
    (doi:10.1214/aoms/1177706645), from 32 bits each; no value is above 6.8 in size, which in 10^11 is
    the largest that is to be expected.
    """
    place = np.array([0, row, column, channel]).astype(np.uint64)
    bits = np.random.Philox(key=key, counter=place).random_raw(TILE * TILE // 2).view(np.uint32)
    first, second = bits[:bits.size // 2], bits[bits.size // 2:].view(np.int32)
    radius = np.multiply(first, np.float32(2**-32), dtype=np.float32, casting="unsafe")
    radius += np.float32(2**-33)
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    # the middle of the last step may have been rounded to one
    np.sqrt(np.abs(radius, out=radius), out=radius)
    angle = np.multiply(second, np.float32(np.pi * 2**-31), dtype=np.float32, casting="unsafe")
    out = np.empty((2, radius.size), np.float32)
    np.cos(angle, out=out[0])
    np.sin(angle, out=out[1])
    out *= radius
    return out.reshape(TILE, TILE)


def _white_pixels(tile: Callable[[int, int], np.ndarray], y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    """Return the pixels of a window, put together from ``tile(row, column)``."""
    out = np.empty((y1 - y0, x1 - x0), np.float32)
    for row in range(y0 // TILE, -(-y1 // TILE)):
        top, bottom = max(y0, row * TILE), min(y1, (row + 1) * TILE)
        for column in range(x0 // TILE, -(-x1 // TILE)):
            left, right = max(x0, column * TILE), min(x1, (column + 1) * TILE)
            out[top - y0:bottom - y0, left - x0:right - x0] = tile(row, column)[
                top - row * TILE:bottom - row * TILE, left - column * TILE:right - column * TILE]
    return out


def noise_window(window: Window, beam: TargetBeam, rms: float, seeds: Seeds, *, channel: int = 0, workers: int = 1,
                 progress: Callable[[int], object] | None = None) -> np.ndarray:
    """Return a window of an image of noise, white noise convolved with the beam.

    Parameters
    ----------
    window : (int, int, int, int)
        (y0, y1, x0, x1): rows y0 to y1 - 1, columns x0 to x1 - 1; any whole numbers. Least is wasted on
        windows whose corners are multiples of 512 pixels (or of more, for a large PSF: see `Blocks`).
    beam : TargetBeam
        The image's beam.
    rms : float
        Standard deviation of the result, in the unit that the result shall have (Jy/beam).
    seeds : Seeds
        The stream "noise" is used.
    channel : int
        Noise of one channel is independent of that of another.
    workers : int
        Threads. The result does not depend on their number.
    progress : callable, optional
        Called with the number of pixels that have just been done.

    Returns
    -------
    ndarray, shape (y1 - y0, x1 - x0), float32
        The same bits for a pixel whatever window it is part of.

    Raises
    ------
    ValueError
        If the window ends before it begins.

    Notes
    -----
    The autocorrelation of the result is that of the beam: for a Gaussian of FWHM b, a Gaussian of
    FWHM sqrt(2) b, as in noise smoothed by the beam (Condon 1997, 1997PASP..109..166C).

    Where the beam varies, the same white noise is convolved with the beams at the four nodes around a
    pixel, the results are interpolated, and divided by the rms that this sum has.
    """
    y0, y1, x0, x1 = window = check_window(window)
    varying = None if beam.nodes is None else VaryingNoise(beam.nodes)
    if varying is None:
        kernel = correlation_kernel(beam)
        blocks = Blocks((kernel.shape[0] // 2, kernel.shape[1] // 2), dtype=np.float32)
        transfer = blocks.transfer(kernel * rms)
    else:
        blocks = varying.blocks
    # tiles are shared by blocks side by side and, if a row of blocks can be kept, by those above
    high, wide = (-(-n // TILE) + 2 for n in (blocks.size[0], x1 - x0 + 2 * blocks.sides[1] + 2 * blocks.reach[1]))
    key = seeds.keys("noise", 2).astype(np.uint64)
    tile = lru_cache(maxsize=min(high * wide, 4096))(partial(white_noise, key, channel=channel))
    fetch = partial(_white_pixels, tile)

    def make(place: tuple[int, int]) -> np.ndarray:
        spectrum = blocks.forward(fetch, place)
        assert spectrum is not None
        if varying is not None:
            return varying.block(place, spectrum, rms)
        spectrum *= transfer
        return blocks.backward(spectrum)

    return fill_window(blocks, window, make, workers=workers, progress=progress)


def make_noise(shape: tuple[int, int], beam: TargetBeam, rms: float, seeds: Seeds, *, channel: int = 0,
               workers: int = 2, progress: Callable[[int], object] | None = None) -> np.ndarray:
    """Return an image of noise: `noise_window` of all pixels of an image of ``shape`` (ny, nx)."""
    return noise_window((0, shape[0], 0, shape[1]), beam, rms, seeds, channel=channel, workers=workers,
                        progress=progress)
