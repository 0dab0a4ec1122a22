"""What the networks of an octave are given beside the coarse map: places, class, scale and latents."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["BEGUN", "CLOSER", "FIRST_PIXELS", "FIRST_RATIO", "FRAME", "INFORMATION", "LOCAL", "PIXELS_PER_BEAM",
           "WHOLE", "class_flags", "place_maps"]

#: pixels across the FWHM of a map's own beam
PIXELS_PER_BEAM = 3
#: training looks at what is drawn with a beam so many times sharper, for what a map hides the next octave shows
CLOSER = 1.5
#: the octave that is given of stamps, after which others are drawn
BEGUN = 1
#: pixels of the first octaves' map, which are drawn at once, along one of the map that they begin with, and pixels of
#: that along one of their network's own, which are octave 0's
FIRST_RATIO, FIRST_PIXELS = 4, 2
#: rows and columns of octave 0; the source's centre is its middle pixel
FRAME = (32, 48)
#: latents at each second pixel of the coarse map, and of the source as a whole
LOCAL, WHOLE = 4, 6
#: maps of `place_maps`
INFORMATION = 5
#: beams across the source in a coarse map, in the middle of what the networks learn from
MIDDLE = 15.0


def place_maps(shape: tuple[int, int], middle: tuple[float, float], beams: float, flags: tuple[float, float]
               ) -> np.ndarray:
    """Return what the networks are told of each pixel of a coarse map, shape (INFORMATION, ny, nx), float32.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) of the coarse map.
    middle : (float, float)
        Row and column of the source's centre.
    beams : float
        Beams across the source in the coarse map.
    flags : (float, float)
        See `class_flags`.

    Returns
    -------
    ndarray
        Distances from the centre along and across, in half the source's largest size; the logarithm of ``beams``; and
        the flags.
    """
    half = beams / 2 * PIXELS_PER_BEAM
    out = np.empty((INFORMATION, *shape), np.float32)
    out[0] = np.abs(np.arange(shape[1]) - middle[1])[None, :] / half
    out[1] = np.abs(np.arange(shape[0]) - middle[0])[:, None] / half
    out[2] = math.log2(beams / MIDDLE) / 2
    out[3], out[4] = flags
    return out


def class_flags(fr_class: str) -> tuple[float, float]:
    """Return whether a class has the structure of FRI, and of FRII: hybrids have both, compact sources neither."""
    return float(fr_class in ("FRI", "hybrid")), float(fr_class in ("FRII", "hybrid"))
