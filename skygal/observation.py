"""How the sky is seen: beam on the grid, noise and frequency, from what was given, a survey or the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.wcs import WCS

from skygal.checks import as_quantity
from skygal.images import read_psf
from skygal.rendering.beam import TargetBeam
from skygal.sky import pixel_affine, pixel_to_icrs
from skygal.surveys import Survey

__all__ = ["Observation", "faintest_flux", "observe"]

#: without a survey, frequency or beam: L band, and a beam that the pixels sample well
DEFAULT_FREQUENCY = 1.4 * u.GHz
DEFAULT_BEAM_PIXELS = 3.0
#: with noise and no flux range given, sources start at this many times its rms
FAINTEST_SNR = 20.0
#: and without noise at this: fainter sources are mostly star-forming galaxies
FAINTEST_FLUX = 1 * u.mJy


@dataclass(frozen=True)
class Observation:
    """How the sky is seen: beam on the grid, noise in Jy/beam (0 for none), frequency in Hz."""

    beam: TargetBeam
    noise: float
    frequency: u.Quantity


def _centre_affine(wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Return pixels per arcsec (east, north) where the beam is defined: at the image's centre.

    A beam's angle is from the north of the image's own frame, as all that read BPA take it to be, so
    the frame is left out: longitude and latitude count as if they were right ascension and declination.
    """
    plain = wcs.deepcopy()
    plain.wcs.ctype = [("RA---" if axis == wcs.wcs.lng else "DEC--") + str(name)[5:]
                       for axis, name in enumerate(wcs.wcs.ctype)]
    plain.wcs.radesys = "ICRS"
    plain.wcs.set()
    y, x = ((n - 1) / 2 for n in shape)
    lon, lat = pixel_to_icrs(plain, x, y)
    if not np.isfinite(lon):
        lon, lat = pixel_to_icrs(plain, *(wcs.wcs.crpix - 1))
    return pixel_affine(plain, lon, lat)[0]


def observe(wcs: WCS, shape: tuple[int, int], *, survey: Survey | None, frequency: Any, beam: Any,
            noise: Any) -> Observation:
    """Return how the sky is seen, from what was given, else the survey, else the defaults.

    Raises
    ------
    TypeError, ValueError
        For a beam, frequency or noise that is not allowed.
    """
    from radio_beam import Beam

    affine = _centre_affine(wcs, shape)
    if beam is None and survey is not None:
        beam = survey.beam
    if beam is None:
        beam = Beam(DEFAULT_BEAM_PIXELS / np.sqrt(abs(np.linalg.det(affine))) * u.arcsec)
    if isinstance(beam, Beam):
        if not beam.isfinite or beam.minor <= 0 * u.deg:
            raise ValueError(f"beam must have finite, positive axes, got {beam!r}")
        target = TargetBeam.from_beam(beam, affine)
    elif isinstance(beam, u.Quantity):
        width = as_quantity("beam", beam, "arcsec")
        target = TargetBeam.from_beam(Beam(width * u.arcsec), affine)
    elif isinstance(beam, (str, PathLike)):
        target = TargetBeam.from_psf(read_psf(beam), affine)
    elif isinstance(beam, (np.ndarray, list)):
        target = TargetBeam.from_psf(np.asarray(beam), affine)
    else:
        raise TypeError("beam must be a radio_beam.Beam, a Quantity (FWHM of a circular Gaussian) or a PSF image (an "
                        f"array or a file), got {type(beam).__name__}")
    if frequency is None:
        frequency = survey.frequency if survey is not None else DEFAULT_FREQUENCY
    frequency = as_quantity("frequency", frequency, "Hz") * u.Hz
    if noise is None and survey is not None:
        noise = survey.noise
    rms = 0.0 if noise is None or noise is False else _brightness("noise", noise)
    return Observation(target, rms, frequency)


def _brightness(name: str, value: Any) -> float:
    """Return a brightness in Jy/beam; one in Jy is per beam too."""
    if isinstance(value, u.Quantity) and value.unit.is_equivalent(u.Jy):
        value = value / u.beam
    return as_quantity(name, value, u.Jy / u.beam)


def faintest_flux(noise: float) -> u.Quantity:
    """Return where fluxes start if no range is given: at 20 times the noise (Jy/beam), 1 mJy without noise."""
    return float(f"{FAINTEST_SNR * noise:.6g}") * u.Jy if noise > 0 else FAINTEST_FLUX
