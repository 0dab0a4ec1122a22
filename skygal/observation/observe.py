"""How the sky is seen: beam on the grid, noise and frequency, from what was given, a survey or the defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS

from skygal.checks import as_quantity, show, show_fields
from skygal.io.table_files import read_table
from skygal.observation.beam import FWHM, TargetBeam
from skygal.observation.beam_nodes import nodes_from_function, nodes_from_table
from skygal.observation.local_frame import local_affine
from skygal.observation.noise import NoiseMap, as_rms, read_noise
from skygal.observation.primary_beam import PrimaryBeam, as_primary_beam
from skygal.observation.psf_files import read_psf_image
from skygal.observation.surveys import Survey

__all__ = ["Observation", "faintest_flux", "observe"]

#: without a survey, frequency or beam: L band, and a beam that the pixels sample well
DEFAULT_FREQUENCY = 1.4 * u.GHz
DEFAULT_BEAM_PIXELS = 3.0
#: with noise and no flux range given, sources start at this many times its rms: far enough under what can be detected
#: that all which noise lifts over a threshold of 5 is there
FAINTEST_SNR = 1.0
#: and without noise at this: fainter sources are mostly star-forming galaxies
FAINTEST_FLUX = 1 * u.mJy
#: FWHM of a beam, in pixels, at most: the blocks in which its noise is made grow with it
WIDEST_BEAM = 1000.0
#: of files that hold a table of beams
TABLE_ENDINGS = (".ecsv", ".vot", ".xml")


@dataclass(frozen=True, eq=False)
class Observation:
    """How the sky is seen.

    Attributes
    ----------
    beam : TargetBeam
        The beam on the grid.
    noise : float
        Standard deviation in Jy/beam; 0 for none. Of a map the median.
    frequency : Quantity
        In Hz.
    primary_beam : PrimaryBeam or None
        With its pointing; None where all of the sky is seen alike.
    noise_map : NoiseMap or None
        Of noise that varies, in Jy/beam; None where it is the same everywhere.
    """

    beam: TargetBeam
    noise: float
    frequency: u.Quantity
    primary_beam: PrimaryBeam | None = None
    noise_map: NoiseMap | None = None

    __repr__ = show_fields

    def with_noise(self, noise: NoiseMap | float) -> Observation:
        """Return the same with other noise, Jy/beam."""
        if isinstance(noise, NoiseMap):
            return replace(self, noise=noise.typical(), noise_map=noise)
        return replace(self, noise=noise, noise_map=None)

    def rms(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return the noise at places (ICRS, degrees), Jy/beam."""
        return np.full(len(ra), self.noise) if self.noise_map is None else self.noise_map.at(ra, dec)

    def told_noise(self) -> Any:
        """Return what tells the noise in a configuration: a quantity, or what the map is called."""
        return self.noise * u.Jy / u.beam if self.noise_map is None else self.noise_map.name

    def gain(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray | None:
        """Return the primary beam at places (ICRS, degrees); None if there is none."""
        return None if self.primary_beam is None else self.primary_beam.gain(ra, dec, self.frequency)


def _centre_affine(wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Return pixels per arcsec (east, north) where the beam is defined: at the image's centre, if on the sky."""
    y, x = ((n - 1) / 2 for n in shape)
    affine = local_affine(wcs, [x, wcs.wcs.crpix[0] - 1], [y, wcs.wcs.crpix[1] - 1])
    return affine[0] if np.isfinite(affine[0]).all() else affine[1]


def observe(wcs: WCS, shape: tuple[int, int], *, survey: Survey | None, frequency: Any, beam: Any,
            noise: Any, primary_beam: Any = None) -> Observation:
    """Return how the sky is seen, from what was given, else the survey, else the defaults.

    Parameters
    ----------
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    survey : Survey or None
        Whose frequency, beam and noise are used where they are not given.
    frequency : Quantity or None
        Observing frequency.
    beam : `~radio_beam.Beam`, Quantity, ndarray, path, Table, callable or None
        An elliptical Gaussian; the FWHM of a circular one; a PSF image, on the image's pixels unless its FITS
        header gives others; a table of Gaussians, as such or in a file ending in .ecsv, .vot or .xml, see
        `skygal.observation.beam_nodes.nodes_from_table`; or a function of (ra, dec), see `nodes_from_function` there.
    noise : Quantity, str, ndarray, path, HDU, NoiseMap, False or None
        Standard deviation, Jy/beam: see `skygal.observation.noise.read_noise`.
    primary_beam : PrimaryBeam, Quantity, path, HDU or None
        See `skygal.observation.primary_beam.as_primary_beam`.

    Raises
    ------
    TypeError, ValueError
        For a beam, frequency, noise or primary beam that is not allowed.
    """
    affine = _centre_affine(wcs, shape)
    if beam is None and survey is not None:
        beam = survey.beam
    target = _target_beam(beam, wcs, shape, affine)
    _check_width(target, affine)
    if frequency is None:
        frequency = survey.frequency if survey is not None else DEFAULT_FREQUENCY
    frequency = as_quantity("frequency", frequency, "Hz") * u.Hz
    if noise is None and survey is not None:
        noise = survey.noise
    rms: Any = 0.0
    if noise is not None and noise is not False:
        rms = as_rms("noise", read_noise("noise", noise, wcs, shape), target, frequency)
    pattern = as_primary_beam(primary_beam, wcs, shape, frequency=frequency)
    return Observation(target, 0.0, frequency, pattern).with_noise(rms)


def _check_width(target: TargetBeam, affine: np.ndarray) -> None:
    """Refuse a beam that would take all memory, before any work."""
    width = float(FWHM * np.sqrt(np.linalg.eigvalsh(target.widest)[1]))
    if width > WIDEST_BEAM:
        pixel = 1 / np.sqrt(abs(np.linalg.det(affine)))
        raise ValueError(f"beam must be at most {WIDEST_BEAM:g} of the image's pixels wide, got {width:.4g} pixels of "
                         f"{pixel:.4g} arcsec")


def _target_beam(beam: Any, wcs: WCS, shape: tuple[int, int], affine: np.ndarray) -> TargetBeam:
    """Return the beam on the grid from the ways in which it may be given."""
    from radio_beam import Beam

    if beam is None:
        beam = Beam(DEFAULT_BEAM_PIXELS / np.sqrt(abs(np.linalg.det(affine))) * u.arcsec)
    if isinstance(beam, Beam):
        if not beam.isfinite or beam.minor <= 0 * u.deg:
            raise ValueError(f"beam must have finite, positive axes, got {show(beam)}")
        return TargetBeam.from_beam(beam, affine)
    if isinstance(beam, u.Quantity):
        width = as_quantity("beam", beam, "arcsec")
        return TargetBeam.from_beam(Beam(width * u.arcsec), affine)
    if isinstance(beam, (str, PathLike)) and str(beam).endswith(TABLE_ENDINGS):
        try:
            beam = read_table(beam, "beam table")
        except FileNotFoundError:
            raise ValueError(f"beam table {show(str(beam))} cannot be read: it does not exist") from None
    if isinstance(beam, Table):
        return TargetBeam.from_nodes(nodes_from_table(beam, wcs, shape), affine)
    if isinstance(beam, (str, PathLike)):
        psf = read_psf_image(beam)
        return TargetBeam.from_psf(psf.data, affine, psf_affine=psf.affine)
    if isinstance(beam, (np.ndarray, list)):
        return TargetBeam.from_psf(np.asarray(beam), affine)
    if callable(beam):
        return TargetBeam.from_nodes(nodes_from_function(beam, wcs, shape), affine)
    raise TypeError("beam must be a radio_beam.Beam, a Quantity (FWHM of a circular Gaussian) or a PSF image (an "
                    "array or a file), or a table of beams or a function of (ra, dec), got "
                    f"{type(beam).__name__}")


def faintest_flux(noise: float) -> u.Quantity:
    """Return where fluxes start if no range is given: at the noise (Jy/beam), 1 mJy without noise."""
    return float(f"{FAINTEST_SNR * noise:.6g}") * u.Jy if noise > 0 else FAINTEST_FLUX
