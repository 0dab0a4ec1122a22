"""Beams as covariances: on the sky, on the pixel grid, and what a stamp still lacks of one.

An elliptical Gaussian is its covariance matrix. Convolving adds covariances, a change of frame
maps them, so that beam matching is a subtraction of matrices.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from radio_beam import Beam

__all__ = ["FWHM", "TargetBeam", "ellipse_axes", "ellipse_covariance", "fit_main_lobe", "native_covariance"]

#: FWHM of a Gaussian of unit standard deviation
FWHM = float(np.sqrt(8 * np.log(2)))


def ellipse_covariance(major: np.ndarray, minor: np.ndarray, pa: np.ndarray) -> np.ndarray:
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


def native_covariance(fwhm: float) -> np.ndarray:
    """Return the covariance, in stamp pixels, of a stamp's own circular beam of ``fwhm`` pixels."""
    return np.eye(2) * (fwhm / FWHM) ** 2


@dataclass(frozen=True)
class TargetBeam:
    """The beam of an image, on its pixel grid.

    The beam is the same everywhere on the grid, as the restoring beam of an interferometer's
    image is.

    Attributes
    ----------
    covariance : ndarray, shape (2, 2)
        The Gaussian, in (x, y) pixels squared, that each source is drawn with. For a PSF image, a
        part of it: the whole model is then convolved with the rest.
    area : float
        The beam's area in pixels: sum of the beam of unit peak.
    beam : `~radio_beam.Beam`
        The Gaussian on the sky (for a PSF image, the fit to its main lobe).
    psf : ndarray or None
        A PSF image of unit peak with odd sides, the peak in the middle.
    """

    covariance: np.ndarray
    area: float
    beam: Beam
    psf: np.ndarray | None = None

    @classmethod
    def from_beam(cls, beam: Beam, affine: np.ndarray) -> TargetBeam:
        """Make the target from a Gaussian beam and the grid's ``affine`` (pixel per arcsec).

        Warns
        -----
        UserWarning
            If the beam's minor axis is under two pixels, too few to carry its shape.
        """
        sky = ellipse_covariance(beam.major.to_value(u.arcsec), beam.minor.to_value(u.arcsec),
                                 beam.pa.to_value(u.rad))
        covariance = affine @ sky @ affine.T
        _warn_if_narrow(covariance)
        return cls(covariance, float(2 * np.pi * np.sqrt(np.linalg.det(covariance))), beam)

    @classmethod
    def from_psf(cls, psf: np.ndarray, affine: np.ndarray) -> TargetBeam:
        """Make the target from a PSF image on the pixel grid of the sky image.

        Raises
        ------
        TypeError
            If it is no two-dimensional array of numbers.
        ValueError
            If it is not finite, has no positive peak or no positive sum, or is cut too close
            to its peak.

        Warns
        -----
        UserWarning
            If its main lobe is under two pixels wide.
        """
        psf = _centred(psf)
        main = fit_main_lobe(psf)
        inverse = np.linalg.inv(affine)
        major, minor, pa = ellipse_axes(inverse @ main @ inverse.T)
        beam = Beam(float(major) * u.arcsec, float(minor) * u.arcsec, float(pa) * u.rad)
        # Each source gets a narrower Gaussian than the main lobe, so that it can be divided out of the
        # PSF's transform without amplifying rounding, yet one that the pixels can still sample.
        narrow = _warn_if_narrow(main)
        return cls(main * np.clip((2.2 / narrow) ** 2, 0.5, 0.85), float(psf.sum()), beam, psf)


def _warn_if_narrow(covariance: np.ndarray) -> float:
    """Return the FWHM along the minor axis, in pixels; warn if it is under two."""
    narrow = float(FWHM * np.sqrt(np.linalg.eigvalsh(covariance)[0]))
    if narrow < 2 * (1 - 1e-6):
        warnings.warn(f"beam should be at least 2 pixels wide, got {narrow:.2f} pixels: "
                      "the image is undersampled and sources will look blocky", stacklevel=5)
    return narrow


def _centred(psf: np.ndarray) -> np.ndarray:
    """Return a PSF of unit peak, cut to odd sides about its peak."""
    psf = np.asarray(psf)
    if psf.ndim > 2:
        psf = psf.reshape(psf.shape[-2:]) if psf.size == np.prod(psf.shape[-2:]) else psf
    if psf.ndim != 2 or psf.dtype.kind not in "fiu":
        raise TypeError(f"psf must be a two-dimensional array of numbers, got shape {psf.shape}, "
                        f"dtype {psf.dtype}")
    psf = psf.astype(float)
    if not np.isfinite(psf).all():
        raise ValueError(f"psf must be finite, got {np.count_nonzero(~np.isfinite(psf))} pixels that are not")
    if psf.max() <= 0 or psf.sum() <= 0:
        raise ValueError(f"psf must have a positive peak and sum, got {psf.max():g} and {psf.sum():g}")
    y, x = np.unravel_index(np.argmax(psf), psf.shape)
    half = min(y, x, psf.shape[0] - 1 - y, psf.shape[1] - 1 - x)
    if half < 3:
        raise ValueError(f"psf must reach at least 3 pixels beyond its peak on each side, got {half}")
    return psf[y - half:y + half + 1, x - half:x + half + 1] / psf.max()


def fit_main_lobe(psf: np.ndarray) -> np.ndarray:
    """Return the covariance, in pixels squared, of a Gaussian fitted to a PSF's main lobe.

    The logarithm of the pixels above 0.35 of the peak that connect to it is fitted by a quadratic
    form, weighted by brightness squared, as is done for the restoring beam of a CLEAN image.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(psf > 0.35)
    half = psf.shape[0] // 2
    y, x = np.nonzero(labels == labels[half, half])
    value = psf[y, x]
    dx, dy = x - half, y - half
    design = np.stack([dx**2, 2 * dx * dy, dy**2], axis=1) * -0.5
    keep = (dx != 0) | (dy != 0)
    if np.count_nonzero(keep) < 4:
        raise ValueError("psf must have a main lobe at least 2 pixels wide, got "
                         f"{np.count_nonzero(keep) + 1} pixels above 0.35 of its peak")
    a, b, c = np.linalg.lstsq(design[keep] * value[keep, None], np.log(value[keep]) * value[keep], rcond=None)[0]
    precision = np.array([[a, b], [b, c]])
    if np.linalg.eigvalsh(precision)[0] <= 0:
        raise ValueError("psf must have a main lobe that falls off on every side of its peak")
    return np.linalg.inv(precision)
