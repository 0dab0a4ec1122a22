"""What beams see of octaves' maps: seen coarsely, seen closer, and on finer pixels.

Maps are surface brightness on pixels of a third of the beam's FWHM. Pixel (2j, 2i) of the fine map is in the place of
pixel (j, i) of the coarse one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from skygal.morphology.octave_inputs import CLOSER, PIXELS_PER_BEAM
from skygal.observation.ellipse import FWHM

__all__ = ["beam_kernel", "blur", "convolve", "halve", "look", "look_closer", "repeat_linearly", "see_coarsely",
           "smooth", "upsample"]

#: pixels that are convolved at a time, where there are more than two times as many
BLOCK = 64
#: standard deviations of a Gaussian beyond which it is zero
BEAM_REACH = 5
#: FWHM in fine pixels of the fine map's beam, of the coarse one's, and of what turns the one into the other
_FINE, _COARSE, _BETWEEN = PIXELS_PER_BEAM, 2 * PIXELS_PER_BEAM, math.sqrt(3) * PIXELS_PER_BEAM


@lru_cache(maxsize=128)
def beam_kernel(side: int, fwhm: float, stride: int) -> np.ndarray:
    """Return what convolves so many pixels with a Gaussian of unit sum and keeps every ``stride``-th."""
    sigma = fwhm / FWHM
    offsets, reach = np.arange(side)[None, :] - np.arange(0, side, stride)[:, None], math.ceil(BEAM_REACH * sigma)
    whole = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma)**2).sum()
    return np.where(np.abs(offsets) <= reach, np.exp(-0.5 * (offsets / sigma)**2) / whole, 0).astype(np.float32)


@lru_cache(maxsize=128)
def _halfway(side: int) -> np.ndarray:
    """Return what interpolates half-way between so many pixels, by a sinc in a Hann window of nine."""
    def kernel(offsets: np.ndarray) -> np.ndarray:
        return np.where(np.abs(offsets) < 4.5, np.sinc(offsets) * np.cos(np.pi * offsets / 9)**2, 0)

    matrix = kernel(np.arange(2 * side)[:, None] / 2 - np.arange(side)[None, :])
    matrix[1::2] /= kernel(np.arange(-4, 4) + 0.5).sum()
    return matrix.astype(np.float32)


def _along_both(maps: torch.Tensor, matrix: Callable[[int], np.ndarray], reach: float) -> torch.Tensor:
    """Return maps (n, c, ny, nx) with the same done along both axes, which reaches so many pixels."""
    for axis in (-1, -2):
        # blocks begin where pixels that are kept do, whatever the ratio
        maps = _along(maps, axis, matrix, BLOCK // 8 * math.ceil(reach / (BLOCK // 8)))
    return maps


def _along(maps: torch.Tensor, axis: int, matrix: Callable[[int], np.ndarray], reach: int) -> torch.Tensor:
    """Return maps multiplied along an axis; a long one block by block, so that work grows as pixels do."""
    side = maps.shape[axis]
    # arrays are what is kept: tensors that were made in inference are of no use to learning
    if side <= 2 * BLOCK:
        whole = torch.from_numpy(matrix(side)).to(maps)
        return maps @ whole.T if axis == -1 else whole @ maps
    width, blocks = BLOCK + 2 * reach, -(-side // BLOCK)
    whole = torch.from_numpy(matrix(width)).to(maps)
    part = whole[len(whole) * reach // width:len(whole) * (reach + BLOCK) // width]
    around = (reach, reach + blocks * BLOCK - side)
    wide = functional.pad(maps, (*around, 0, 0) if axis == -1 else (0, 0, *around))
    windows = (wide.narrow(axis, begin, width) for begin in range(0, blocks * BLOCK, BLOCK))
    found = torch.cat([seen @ part.T if axis == -1 else part @ seen for seen in windows], axis)
    return found.narrow(axis, 0, side * len(whole) // width)


def convolve(maps: torch.Tensor, fwhm: float, stride: int) -> torch.Tensor:
    """Return maps convolved with a Gaussian, every pixel or every second one."""
    return _along_both(maps, lambda side: beam_kernel(side, fwhm, stride), BEAM_REACH * fwhm / FWHM)


def smooth(fine: torch.Tensor, closer: float = 1.0, ratio: int = 2) -> torch.Tensor:
    """Return fine maps (n, 1, 2h, 2w) as a coarse map's beam sees them, (n, 1, h, w), or with another ratio.

    They are seen with the fine beam, or with one so many times sharper.
    """
    return convolve(fine, PIXELS_PER_BEAM * math.sqrt(ratio**2 - closer**-2), ratio)


def blur(fine: torch.Tensor) -> torch.Tensor:
    """Return maps as a beam of twice the width sees them, on the same pixels."""
    return convolve(fine, _BETWEEN, 1)


def look(sky: torch.Tensor) -> torch.Tensor:
    """Return skies as the fine map's beam sees them."""
    return convolve(sky, _FINE, 1)


def look_closer(sky: torch.Tensor) -> torch.Tensor:
    """Return skies as a beam sees them that is sharper than the fine map's, by `CLOSER`."""
    return convolve(sky, _FINE / CLOSER, 1)


def halve(closer: torch.Tensor) -> torch.Tensor:
    """Return what `look_closer` gives as it would be half as sharp, on every second pixel."""
    return convolve(closer, _BETWEEN / CLOSER, 2)


def see_coarsely(sky: torch.Tensor) -> torch.Tensor:
    """Return skies (n, 1, 2h, 2w) as the coarse map's beam sees them, (n, 1, h, w)."""
    return convolve(sky, _COARSE, 2)


def upsample(coarse: torch.Tensor) -> torch.Tensor:
    """Return maps (n, 1, h, w) on pixels of half the size, (n, 1, 2h, 2w), as smooth as they were."""
    return _along_both(coarse, _halfway, 5)


def repeat_linearly(coarse: torch.Tensor) -> torch.Tensor:
    """Return maps (n, c, h, w) on pixels of half the size, (n, c, 2h, 2w), by linear interpolation."""
    for axis in (-1, -2):
        side = coarse.shape[axis]
        after = torch.cat([coarse.narrow(axis, 1, side - 1), coarse.narrow(axis, side - 1, 1)], axis)
        coarse = torch.stack([coarse, (coarse + after) / 2], axis).flatten(axis - 1, axis)
    return coarse
