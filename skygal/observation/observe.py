"""How the sky is seen, from what was given, a survey or the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS

from skygal.checks import as_quantity, show
from skygal.io.given_image import as_unit
from skygal.io.headers import field_header
from skygal.io.images import SkyImage
from skygal.io.table_files import read_table
from skygal.io.words import TABLE_ENDINGS, parse_beam
from skygal.observation.beam import FWHM, TargetBeam
from skygal.observation.beam_nodes import nodes_from_function, nodes_from_table
from skygal.observation.blank import blank_pixels
from skygal.observation.frame import Frame
from skygal.observation.noise import NoiseMap, as_rms, read_noise
from skygal.observation.primary_beam import as_primary_beam
from skygal.observation.psf import read_psf_image
from skygal.observation.surveys import Survey
from skygal.wcs import local_affine, on_sky

__all__ = ["as_noise", "frame_of_image", "make_frame", "make_frames", "sharpest_beam"]

#: without a survey, frequency or beam: L band, and a beam that the pixels sample well
DEFAULT_FREQUENCY = 1.4 * u.GHz
DEFAULT_BEAM_PIXELS = 3.0
#: FWHM of a beam, in pixels, at most: the blocks in which its noise is made grow with it
WIDEST_BEAM = 1000.0


def _centre_affine(wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Return pixels per arcsec (east, north) where the beam is defined: at the image's centre, if on the sky."""
    y, x = ((n - 1) / 2 for n in shape)
    affine = local_affine(wcs, [x, wcs.wcs.crpix[0] - 1], [y, wcs.wcs.crpix[1] - 1])
    return affine[0] if np.isfinite(affine[0]).all() else affine[1]


def make_frame(wcs: WCS, shape: tuple[int, int], *, survey: Survey | None = None, frequency: Any = None,
               beam: Any = None, psf: Any = None, primary_beam: Any = None) -> Frame:
    """Return how the sky is seen, from what was given, else the survey, else the defaults.

    Parameters
    ----------
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    survey : Survey or None
        Whose frequency and beam are used where they are not given.
    frequency : Quantity or None
        Observing frequency.
    beam : `~radio_beam.Beam`, Quantity, str, path, Table, callable or None
        An elliptical Gaussian; the FWHM of a circular one; either in words, see `skygal.io.words.parse_beam`; a table
        of Gaussians, as such or in a file ending in .ecsv, .vot or .xml, see
        `skygal.observation.beam_nodes.nodes_from_table`; or a function of (ra, dec), see `nodes_from_function` there.
    psf : ndarray, path or None
        A PSF image instead, on the image's pixels unless its FITS header gives others.
    primary_beam : PrimaryBeam, Quantity, path, HDU or None
        See `skygal.observation.primary_beam.as_primary_beam`.

    Raises
    ------
    TypeError, ValueError
        For a beam, frequency or primary beam that is not allowed.
    """
    affine = _centre_affine(wcs, shape)
    if beam is None and psf is None and survey is not None:
        beam = survey.beam if survey.stretch is None else survey.beam_at
    target = _target_beam(beam, wcs, shape, affine) if psf is None else _target_psf(psf, affine)
    _check_width(target, affine)
    if frequency is None:
        frequency = survey.frequency if survey is not None else DEFAULT_FREQUENCY
    frequency = as_quantity("frequency", frequency, "Hz") * u.Hz
    return Frame(wcs, shape, target, frequency, as_primary_beam(primary_beam, wcs, shape, frequency=frequency))


def as_noise(frame: Frame, noise: Any, survey: Survey | None = None) -> NoiseMap | float:
    """Return the noise, Jy/beam, that was given, else the survey's, else 0 for none.

    Parameters
    ----------
    frame : Frame
        The image.
    noise : Quantity, str, ndarray, path, HDU, NoiseMap, False or None
        Standard deviation, Jy/beam: see `skygal.observation.noise.read_noise`.
    survey : Survey or None
        Whose noise is used where none is given.

    Raises
    ------
    TypeError, ValueError
        For noise that is not allowed.
    """
    if noise is None and survey is not None:
        noise = survey.noise
    if noise is None or noise is False:
        return 0.0
    return as_rms("noise", read_noise("noise", noise, frame.wcs, frame.shape), frame.beam, frame.frequency)


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

    beam = parse_beam("beam", beam)
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
    if isinstance(beam, (np.ndarray, list, str, PathLike)):
        raise TypeError(f"beam must be a Gaussian: a PSF image is given as psf, got {show(beam)}")
    if callable(beam):
        return TargetBeam.from_nodes(nodes_from_function(beam, wcs, shape), affine)
    raise TypeError("beam must be a radio_beam.Beam, a Quantity (FWHM of a circular Gaussian), a table of beams or a "
                    f"function of (ra, dec), got {type(beam).__name__}")


def _target_psf(psf: Any, affine: np.ndarray) -> TargetBeam:
    """Return the beam on the grid from a PSF image."""
    if isinstance(psf, (str, PathLike)):
        found = read_psf_image(psf)
        return TargetBeam.from_psf(found.data, affine, psf_affine=found.affine)
    if isinstance(psf, (np.ndarray, list)):
        return TargetBeam.from_psf(np.asarray(psf), affine)
    raise TypeError(f"psf must be an image of the PSF, an array or a file, got {type(psf).__name__}")


def make_frames(sky: WCS, size: tuple[int, int], views: Sequence[Mapping[str, Any]], survey: Survey | None
                ) -> tuple[list[Frame], list[NoiseMap | float]]:
    """Return how the sky is seen in each of several views of one grid, and the noise there.

    Parameters
    ----------
    sky, size : `~astropy.wcs.WCS`, (int, int)
        The celestial WCS and (ny, nx).
    views : sequence of mapping
        The settings of each, see `skygal.settings.View`.
    survey : Survey or None
        What is taken from where a view does not say.

    Raises
    ------
    TypeError, ValueError
        For a setting that is not allowed, or a WCS that a header cannot hold.
    """
    on = on_sky(sky, size)
    # one map for several frequencies is read and held once
    maps: dict[int, Any] = {id(view["noise"]): view["noise"] for view in views}
    maps = {key: read_noise("noise", noise, sky, size) for key, noise in maps.items()}
    frames, noises = [], []
    for view in views:
        frame = make_frame(sky, size, survey=survey, **{name: value for name, value in view.items() if name != "noise"})
        # a WCS that a header cannot hold is refused here, before the work
        field_header(sky, size, beam=frame.beam.beam, frequency=frame.frequency)
        noise = as_noise(frame, maps[id(view["noise"])], survey)
        blank = noise.blank() if isinstance(noise, NoiseMap) else None
        visible = on if blank is None else ~blank if on is None else on & ~blank
        if visible is not None and not visible.any() and blank is not None:
            raise ValueError("noise map must have values where the field is on the sky, got none")
        frames.append(frame.with_valid(visible))
        noises.append(noise)
    return frames, noises


def frame_of_image(found: SkyImage, view: Mapping[str, Any], unit: Any = None) -> tuple[u.UnitBase, Frame]:
    """Return the brightness unit of an image that exists, and how the sky is seen in it.

    Parameters
    ----------
    found : SkyImage
        The image.
    view : mapping
        What is given rather than taken from its header, see `skygal.settings.View`.
    unit : unit, optional
        Likewise.

    Raises
    ------
    TypeError, ValueError
        If one is not allowed, or neither given nor in the header, or no pixel shows sky.
    """
    unit = found.unit if unit is None else as_unit(unit)
    beam = found.beam if view["beam"] is None and view["psf"] is None else view["beam"]
    frequency = found.frequency if view["frequency"] is None else view["frequency"]
    for what, value in (("beam", beam if view["psf"] is None else view["psf"]), ("frequency", frequency),
                        ("unit", unit)):
        if value is None:
            raise ValueError(f"{what} must be given, since {found.why_none(what)}")
    frame = make_frame(found.wcs, found.data.shape, frequency=frequency, beam=beam, psf=view["psf"],
                       primary_beam=view["primary_beam"])
    return unit, frame.with_valid(_not_blank(found, frame.beam))


def _not_blank(found: SkyImage, beam: TargetBeam) -> np.ndarray:
    """Return which pixels have a brightness and a place on the sky."""
    header = found.header
    card = None if "BSCALE" in header or "BZERO" in header else header.get("BLANK")
    card = card if isinstance(card, (int, float)) and np.isfinite(card) else None
    sky = on_sky(found.wcs, found.data.shape)
    valid = ~blank_pixels(found.data, beam.width, sky=sky, card=card, name=found.name)
    if not valid.any():
        raise ValueError("image must have pixels on the sky that are not blank, got none")
    return valid


def sharpest_beam(frames: Sequence[Frame]) -> Any:
    """Return the beam of the smallest area among those of several images."""
    return min((frame.beam.beam for frame in frames), key=lambda beam: beam.sr)
