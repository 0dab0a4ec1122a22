"""The beam of an image, as covariances on its pixel grid.

An elliptical Gaussian is its covariance matrix. Convolving adds covariances, a change of frame
maps them, so that beam matching is a subtraction of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from astropy import units as u
from radio_beam import Beam

from skygal.checks import show_fields, warn_caller
from skygal.observation.beam_nodes import BeamNodes
from skygal.observation.ellipse import FWHM, ellipse_axes, ellipse_covariance
from skygal.observation.psf import centred_psf, divide_gaussian, fit_main_lobe, resample_psf

__all__ = ["FWHM", "TargetBeam", "ellipse_axes", "ellipse_covariance", "native_covariance"]


def native_covariance(fwhm: float) -> np.ndarray:
    """Return the covariance, in stamp pixels, of a stamp's own circular beam of ``fwhm`` pixels."""
    return np.eye(2) * (fwhm / FWHM) ** 2


@dataclass(frozen=True, eq=False)
class TargetBeam:
    """The beam of an image, on its pixel grid.

    Unless it has nodes, the beam is the same everywhere on the grid, as the restoring beam of an
    interferometer's image is.

    Attributes
    ----------
    covariance : ndarray, shape (2, 2)
        The Gaussian, in (x, y) pixels squared, that each source is drawn with. For a PSF image, a
        part of it: the whole model is then convolved with the `remainder`.
        Of a beam that varies, the one at the image's centre.
    area : float
        The beam's area in pixels: sum of the beam of unit peak. At the centre, if it varies.
    beam : `~radio_beam.Beam`
        The Gaussian on the sky (for a PSF image, the fit to its main lobe); at the centre, if it varies.
    psf : ndarray or None
        A PSF image of unit peak with odd sides, the peak in the middle.
    nodes : BeamNodes or None
        The Gaussians of a beam that varies.
    """

    covariance: np.ndarray
    area: float
    beam: Beam
    psf: np.ndarray | None = None
    nodes: BeamNodes | None = None

    __repr__ = show_fields

    def at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the beam at places.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            In pixels. Beyond the image the beam is that at its edge.

        Returns
        -------
        covariance : ndarray, shape (n, 2, 2)
            What `covariance` is, there.
        area : ndarray, shape (n,)
            What `area` is, there.
        """
        x, y = (np.atleast_1d(np.asarray(a, float)) for a in (x, y))
        x, y = np.broadcast_arrays(x, y)
        if self.nodes is None:
            return np.broadcast_to(self.covariance, (len(x), 2, 2)), np.full(len(x), self.area)
        covariance = self.nodes.at(x, y)
        return covariance, _area(covariance)

    @cached_property
    def remainder(self) -> np.ndarray | None:
        """What a model drawn with `covariance` is convolved with to have a PSF image's beam; None if there is none.

        See `skygal.observation.psf.divide_gaussian`. It takes longer than anything else about a large PSF.
        """
        return None if self.psf is None else divide_gaussian(self.psf, self.covariance)

    def __getstate__(self) -> dict[str, Any]:
        # each task of a cluster carries a beam: it is made again there rather than sent along
        return {name: value for name, value in self.__dict__.items() if name != "remainder"}

    @property
    def width(self) -> float:
        """The FWHM, in pixels, of a round beam of the same area."""
        return float(np.sqrt(4 * np.log(2) / np.pi * abs(self.area)))

    @property
    def narrowest(self) -> np.ndarray:
        """The covariance, shape (2, 2), with the narrowest minor axis: nowhere is an axis narrower than that."""
        return self._extreme(0)

    @property
    def widest(self) -> np.ndarray:
        """The covariance, shape (2, 2), with the widest major axis: nowhere is an axis wider than that."""
        return self._extreme(1)

    def _extreme(self, which: int) -> np.ndarray:
        if self.nodes is None:
            return self.covariance
        # interpolation is between the nodes: its eigenvalues lie between theirs
        each = self.nodes.covariance.reshape(-1, 2, 2)
        size = np.linalg.eigvalsh(each)[:, which]
        return each[np.argmax(size) if which else np.argmin(size)]

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
        return cls(covariance, float(_area(covariance)), beam)

    @classmethod
    def from_nodes(cls, nodes: BeamNodes, affine: np.ndarray) -> TargetBeam:
        """Make the target from a beam that varies and the ``affine`` (pixel per arcsec) at the image's centre.

        Warns
        -----
        UserWarning
            If the narrowest minor axis is under two pixels.
        """
        x, y = (np.array([(axis[0] + axis[-1]) / 2]) for axis in (nodes.x, nodes.y))
        covariance = nodes.at(x, y)[0]
        target = cls(covariance, float(_area(covariance)), _beam(covariance, affine), nodes=nodes)
        _warn_if_narrow(target.narrowest)
        return target

    @classmethod
    def from_psf(cls, psf: np.ndarray, affine: np.ndarray, *, psf_affine: np.ndarray | None = None) -> TargetBeam:
        """Make the target from a PSF image.

        Parameters
        ----------
        psf : ndarray, shape (ny, nx)
            Its peak, which may lie between its pixels, is taken to be the source's place.
        affine : ndarray, shape (2, 2)
            The sky image's pixels per arcsec (east, north).
        psf_affine : ndarray, shape (2, 2), optional
            The PSF image's. By default it is on the sky image's grid.

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
        if psf_affine is not None:
            matrix = psf_affine @ np.linalg.inv(affine)
            # not if it is the image's grid, but for rounding of its scale
            if np.abs(matrix - np.eye(2)).max() * max(np.shape(psf)) > 0.05:
                psf = resample_psf(psf, matrix)
        psf = centred_psf(psf)
        main = fit_main_lobe(psf)
        beam = _beam(main, affine)
        # Each source gets a narrower Gaussian than the main lobe, so that it can be divided out of the
        # PSF's transform without amplifying rounding, yet one that the pixels can still sample.
        narrow = _warn_if_narrow(main)
        return cls(main * np.clip((2.2 / narrow) ** 2, 0.5, 0.85), float(psf.sum()), beam, psf)


def _area(covariance: np.ndarray) -> np.ndarray:
    """Return the sum of Gaussians of unit peak, in pixels."""
    return 2 * np.pi * np.sqrt(np.linalg.det(covariance))


def _beam(covariance: np.ndarray, affine: np.ndarray) -> Beam:
    """Return the beam on the sky of a covariance in pixels."""
    inverse = np.linalg.inv(affine)
    major, minor, pa = ellipse_axes(inverse @ covariance @ inverse.T)
    return Beam(float(major) * u.arcsec, float(minor) * u.arcsec, float(pa) * u.rad)


def _warn_if_narrow(covariance: np.ndarray) -> float:
    """Return the FWHM along the minor axis, in pixels; warn if it is under two."""
    narrow = float(FWHM * np.sqrt(np.linalg.eigvalsh(covariance)[0]))
    if narrow < 2 * (1 - 1e-6):
        warn_caller(f"beam should be at least 2 pixels wide, got {narrow:.2f} pixels: "
                    "the image is undersampled and sources will look blocky")
    return narrow
