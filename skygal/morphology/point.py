"""Unresolved flux added to stamps, as their own beam shows it."""

from __future__ import annotations

import numpy as np

from skygal.observation.ellipse import FWHM

__all__ = ["add_points"]

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


def _profile(n: int, at: float, sigma: float) -> np.ndarray:
    """Return a Gaussian of unit sum on pixels 0 to n - 1, zero beyond its reach."""
    offset = (np.arange(n) - at) / sigma
    profile = np.where(np.abs(offset) < POINT_REACH, np.exp(-0.5 * offset**2), 0)
    return profile / profile.sum()
