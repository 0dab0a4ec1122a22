"""Maxima of maps, how much of a point each of them is, and which of them is the core."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from skygal.observation.ellipse import beam_area

__all__ = ["find_core", "find_maxima"]

#: of the peak: what is fainter is no core, and no part of the source when its middle is found
FAINTEST = 0.003
#: of half the source's size, within which of the middle the core is
NEAR = 0.25
#: how far above a ring one beam around, of its own brightness, a core is at least; a point is by 15/16
COMPACT = 0.25


def find_maxima(image: np.ndarray, faintest: float, beam: float) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels brighter than their eight neighbours, and by how much, of its brightness, each is above a ring.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Without noise.
    faintest : float
        What is fainter is left out.
    beam : float
        Pixels across the FWHM of the beam: the radius of the ring, on which the mean is taken.

    Returns
    -------
    ndarray of int, ndarray
        Shapes (n, 2) and (n,): row and column, and 1 less the ring over the maximum, 15/16 for a point source.
    """
    around = ndimage.maximum_filter(image, footprint=np.arange(9).reshape(3, 3) != 4, mode="constant")
    tops = np.argwhere((image > faintest) & (image > around))
    turn = np.arange(32) * np.pi / 16
    ring = ndimage.map_coordinates(image, [tops[:, :1] + beam * np.sin(turn), tops[:, 1:] + beam * np.cos(turn)],
                                   order=3).mean(axis=1)
    return tops, 1 - ring / image[tuple(tops.T)]


def find_core(image: np.ndarray, beam: float) -> tuple[int, int, float] | None:
    """Return the core's row, column and share of the flux, if there is one.

    It is the maximum near the source's middle that is most of a point.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Of peak 1, without noise.
    beam : float
        Pixels across the FWHM of its beam.
    """
    tops, contrast = find_maxima(image, FAINTEST, beam)
    lit = np.argwhere(image > FAINTEST)
    weight = np.sqrt(image[tuple(lit.T)])
    middle = weight @ lit / weight.sum()
    away = np.hypot(*(tops - middle).T) / (np.ptp(lit, axis=0).max() / 2)
    chosen = np.flatnonzero((away < NEAR) & (contrast > COMPACT))
    if not chosen.size:
        return None
    best = chosen[contrast[chosen].argmax()]
    row, column = tops[best].tolist()
    # of a point on what is smooth around it, a sixteenth is left on the ring
    return row, column, float(contrast[best] * image[row, column] * 16 / 15 * beam_area(beam) / image.sum())
