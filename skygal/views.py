"""One stamp as a survey would show it: beam, pixels, noise and clip, in a square image of peak 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from scipy import fft

from skygal.checks import as_count, as_quantity
from skygal.rendering.beam import FWHM, ellipse_covariance, native_covariance
from skygal.rendering.matching import matching_kernel
from skygal.rendering.survey_noise import noise_power
from skygal.rendering.transform import render_stamp

if TYPE_CHECKING:
    from skygal.morphology.bastien2021_generator import PaperGenerator
    from skygal.morphology.generator import Generator

__all__ = ["StampView"]

#: a beam needs as many pixels to its FWHM
LEAST_BEAM = 2.0


class StampView:
    """How stamps are shown; see `skygal.SyntheticStamps` for the parameters.

    Attributes
    ----------
    size : int
        Side of the image in pixels.
    pixel_scale : float
        Arcsec.
    """

    def __init__(self, model: Generator | PaperGenerator, *, size: int = 150, pixel_scale: Any = None, beam: Any = None,
                 noise: Any = None, noise_clip: float | None = None) -> None:
        self.size = as_count("size", size, minimum=16)
        self.pixel_scale = model.pixel_scale
        if pixel_scale is not None:
            self.pixel_scale = as_quantity("pixel_scale", pixel_scale, u.arcsec)
        self.native = native_covariance(model.beam_fwhm / model.pixel_scale)
        self.target = _beam_covariance(beam, model) / self.pixel_scale**2
        narrow = FWHM * float(np.sqrt(np.linalg.eigvalsh(self.target)[0]))
        if narrow < LEAST_BEAM * (1 - 1e-6):
            raise ValueError(f"pixel_scale must be at most half of the beam's FWHM, got {self.pixel_scale:g} arcsec "
                             f"for a beam of {narrow * self.pixel_scale:g} arcsec")
        self.zoom = model.pixel_scale / self.pixel_scale
        # nothing is added to the model's own beam: its clipped edges stay as they are
        self.plain = bool(np.allclose(self.target, self.native * self.zoom**2))
        self.levels = _check_noise(noise)
        self.noise_clip = None if noise_clip is None else as_quantity("noise_clip", noise_clip, "")
        if self.noise_clip is not None:
            if self.levels is None:
                raise ValueError(f"noise_clip must be left out where noise is None, got {noise_clip}")
            if self.noise_clip * self.levels.max() >= 1:
                raise ValueError("noise_clip times noise must be below 1, the sources' peak, "
                                 f"got {self.noise_clip:g} times {self.levels.max():g}")
        self.transfer = None if self.levels is None else _noise_transfer(self.size, self.target)

    def show(self, stamp: np.ndarray, centre: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
        """Return the image of a stamp.

        Parameters
        ----------
        stamp : `~numpy.ndarray`
            Shape (ny, nx), noiseless, at the model's pixel and beam.
        centre : `~numpy.ndarray`
            (x, y) of the point that comes to the middle.
        angle : float
            By which it is turned, radians, counter-clockwise.
        rng : `~numpy.random.Generator`
            Draws level and noise.

        Returns
        -------
        `~numpy.ndarray`
            Shape (size, size), float32, of peak 1.
        """
        cos, sin = np.cos(angle), np.sin(angle)
        affine = self.zoom * np.array([[cos, -sin], [sin, cos]])
        kernel = np.zeros((2, 2)) if self.plain else matching_kernel(affine, self.target, self.native)[0]
        image = render_stamp(stamp, centre, np.full(2, (self.size - 1) / 2), affine, kernel, self.native,
                             (self.size, self.size))
        floor = 0.5 * float(stamp[stamp > 0].min()) / self.zoom**2 if self.plain else 0.0
        image[image < floor] = 0
        image /= image.max()
        if self.levels is not None and self.transfer is not None:
            rms = self._level(rng)
            white = rng.standard_normal(image.shape, dtype=np.float32)
            image += np.float32(rms) * fft.irfft2(fft.rfft2(white) * self.transfer, s=image.shape)
            if self.noise_clip is not None:
                image[image < self.noise_clip * rms] = 0
            image /= image.max()
        return image

    def _level(self, rng: np.random.Generator) -> float:
        assert self.levels is not None
        if self.levels.size == 2:
            low, high = np.log(self.levels)
            return float(np.exp(rng.uniform(low, high)))
        return float(self.levels[rng.integers(self.levels.size)])


def _beam_covariance(beam: Any, model: Generator | PaperGenerator) -> np.ndarray:
    """Return the covariance of the beam in arcsec squared, x to the west."""
    from radio_beam import Beam

    own = model.beam_fwhm
    if beam is None:
        major, minor, angle = own, own, 0.0
    elif isinstance(beam, Beam):
        major, minor, angle = beam.major.to_value(u.arcsec), beam.minor.to_value(u.arcsec), beam.pa.to_value(u.rad)
    else:
        major = minor = as_quantity("beam", beam, u.arcsec)
        angle = 0.0
    if not (np.isfinite([major, minor, angle]).all() and minor >= own * (1 - 1e-6)):
        raise ValueError(f"beam must be at least the model's own, {own:g} arcsec, along either axis, got {beam}")
    east_north = ellipse_covariance(np.array(major), np.array(minor), np.array(angle))
    return east_north * np.array([[1, -1], [-1, 1]])


def _check_noise(noise: Any) -> np.ndarray | None:
    """Return the levels: one, the two ends of a range, or more to draw from."""
    if noise is None:
        return None
    try:
        levels = np.atleast_1d(np.asarray(noise, float))
    except (TypeError, ValueError):
        levels = np.zeros((0, 0))
    if levels.ndim != 1 or not levels.size:
        raise TypeError("noise must be None, a number, a pair (low, high) or an array of levels, as parts of the peak, "
                        f"got {noise!r}")
    bad = ~(np.isfinite(levels) & (levels > 0) & (levels < 1))
    if bad.any():
        raise ValueError(f"noise must be between 0 and 1, the sources' peak, got {levels[bad][0]:g}")
    if levels.size == 2 and levels[0] >= levels[1]:
        raise ValueError(f"noise must have low < high, got {levels[0]:g} and {levels[1]:g}")
    return levels


def _noise_transfer(size: int, covariance: np.ndarray) -> np.ndarray:
    """Return what white noise's transform is to be multiplied by, for noise of rms 1 that wraps around."""
    x, y = fft.rfftfreq(size)[None, :], fft.fftfreq(size)[:, None]
    (a, b), (_, c) = covariance.tolist()
    transfer = np.sqrt(noise_power(np.sqrt(a * x**2 + 2 * b * x * y + c * y**2), 1.0))
    transfer[0, 0] = 0.0
    # by Parseval, with the half of the plane that a real field's transform leaves out
    weight = np.full(transfer.shape, 2.0)
    weight[:, 0] = 1.0
    if size % 2 == 0:
        weight[:, -1] = 1.0
    return (transfer / np.sqrt((weight * transfer**2).sum() / size**2)).astype(np.float32)
