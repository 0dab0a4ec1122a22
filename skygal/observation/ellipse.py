"""Elliptical Gaussians as covariance matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FWHM", "beam_area", "ellipse_axes", "ellipse_covariance"]

#: FWHM of a Gaussian of unit standard deviation
FWHM = float(np.sqrt(8 * np.log(2)))


def beam_area(fwhm: float) -> float:
    """Return the sum of a round Gaussian of unit peak: its solid angle, in the square of the unit of ``fwhm``."""
    return float(np.pi / (4 * np.log(2)) * fwhm**2)


def ellipse_covariance(major: Any, minor: Any, pa: Any) -> np.ndarray:
    """Return the covariance of an elliptical Gaussian.

    Parameters
    ----------
    major, minor : array_like
        FWHM along the axes, any unit.
    pa : array_like
        Position angle of the major axis, radians, north through east.

    Returns
    -------
    ndarray, shape (..., 2, 2)
        Covariance in (east, north), in the square of the unit given.
    """
    major, minor, pa = np.broadcast_arrays(*(np.asarray(a, float) for a in (major, minor, pa)))
    axis = np.stack([np.sin(pa), np.cos(pa)], axis=-1)
    across = np.stack([np.cos(pa), -np.sin(pa)], axis=-1)

    def outer(length: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (length / FWHM)[..., None, None] ** 2 * v[..., :, None] * v[..., None, :]

    return outer(major, axis) + outer(minor, across)


def ellipse_axes(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (major, minor, pa) of covariances in (east, north): FWHM, and radians in [0, pi).

    Negative eigenvalues, which a subtraction can leave, count as zero.
    """
    values, vectors = np.linalg.eigh(covariance)
    width = FWHM * np.sqrt(np.clip(values, 0, None))
    axis = vectors[..., :, 1]
    pa = np.arctan2(axis[..., 0], axis[..., 1]) % np.pi
    return width[..., 1], width[..., 0], np.where(pa >= np.pi, 0.0, pa)
