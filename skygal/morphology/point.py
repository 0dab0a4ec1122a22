"""Unresolved flux, as a beam shows it: in stamps, and anywhere in or beside a map."""

from __future__ import annotations

import numpy as np

from skygal.observation.ellipse import FWHM

__all__ = ["add_points", "point_map"]

#: standard deviations of the beam that a point reaches
POINT_REACH = 4.5


def add_points(stamps: np.ndarray, place: np.ndarray, flux: np.ndarray, *, fwhm: float) -> np.ndarray:
    """Return stamps with a point source more, or less, in each.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx), float32
        Brightness; not changed.
    place : ndarray, shape (n, 2)
        (x, y) in stamp pixels.
    flux : ndarray, shape (n,)
        What is added to the sum of the stamp's pixels; may be negative. Zero leaves a stamp as it is.
    fwhm : float
        Of the stamps' circular beam, pixels.

    Returns
    -------
    ndarray, shape (n, ny, nx), float32
    """
    rows = np.flatnonzero(flux)
    if not rows.size:
        return stamps
    out = stamps.copy()
    for k in rows:
        across = [_profile(n, at, fwhm / FWHM) for n, at in zip(stamps.shape[1:], place[k, ::-1], strict=True)]
        out[k] += (flux[k] * np.multiply.outer(*across)).astype(np.float32)
    return out


def point_map(shape: tuple[int, int], row: float, column: float, flux: float, fwhm: float) -> np.ndarray:
    """Return a point of so much flux, seen with a round beam of a FWHM in pixels, float64.

    It has no rim, and what of it is beyond the map is not made up for: so it is the same in any part of the map.
    """
    sigma = fwhm / FWHM
    along, across = (np.exp(-0.5 * ((np.arange(side) - at) / sigma)**2)
                     for side, at in zip(shape, (row, column), strict=True))
    return flux / (2 * np.pi * sigma**2) * along[:, None] * across


def _profile(n: int, at: float, sigma: float) -> np.ndarray:
    """Return a Gaussian of unit sum on pixels 0 to n - 1, zero beyond its reach."""
    offset = (np.arange(n) - at) / sigma
    profile = np.where(np.abs(offset) < POINT_REACH, np.exp(-0.5 * offset**2), 0)
    return profile / profile.sum()
