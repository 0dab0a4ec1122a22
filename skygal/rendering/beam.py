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

from skygal.rendering.ellipse import FWHM, ellipse_axes, ellipse_covariance
from skygal.rendering.psf import centred_psf, fit_main_lobe

__all__ = ["FWHM", "TargetBeam", "ellipse_axes", "ellipse_covariance", "native_covariance"]


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
        psf = centred_psf(psf)
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
