"""What a data challenge shows, from a YAML file: bands, depths, sky and training areas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from astropy import units as u
from astropy.wcs import WCS
from radio_beam import Beam

from skygal.checks import as_quantity, as_seed, nearest_names, show
from skygal.io.config import as_plain, parse_yaml
from skygal.io.inputs import read_text
from skygal.io.words import parse_beam, parse_clustering, parse_none, parse_quantity, parse_range, parse_size
from skygal.observation.surveys import read_survey
from skygal.truth.exports.areas import Area
from skygal.wcs import icrs_to_pixel, make_wcs, pixel_to_icrs

__all__ = ["Band", "Challenge", "list_challenges", "read_challenge"]

DEFAULT = "sdc1"
#: keys of a band; those of the file are the ones of the default
BAND_KEYS = ("survey", "frequency", "pixel_scale", "size", "beam", "primary_beam", "noise", "training")
#: what a band's training area is of its image if none is given: a square from the centre to the north-west, of this
#: part of the sides
TRAINING_SHARE = 0.1
#: no image has fewer pixels on a side
LEAST_SIDE = 32
#: spectral index by which noise at one frequency is brought to another, that of most sources, nominally
INDEX = -0.7
#: names of bands and depths, which are those of folders
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, eq=False)
class Band:
    """A frequency at which the sky is seen.

    Attributes
    ----------
    name : str
    frequency : Quantity
    wcs : `~astropy.wcs.WCS`
        With its shape.
    beam : `~radio_beam.Beam`
    primary_beam : str or None
        The diameter of a dish, or a file.
    noise : dict of str to Quantity
        By the name of each depth, Jy/beam, deepest last.
    training : Area
        Whose truth is released.
    """

    name: str
    frequency: u.Quantity
    wcs: WCS
    beam: Beam
    primary_beam: str | None
    noise: dict[str, u.Quantity]
    training: Area


@dataclass(frozen=True, eq=False)
class Challenge:
    """A data challenge.

    Attributes
    ----------
    name, description : str
    bands : tuple of Band
        The sky is drawn in the first one's image, which holds all others.
    sky : str
        See `skygal.population.Sky.read`.
    clustering : bool or Clustering or None
    flux : Quantity, or pair
        At the first band's frequency: the faint end of the sources, or their range.
    seed : int
    has_seed : bool
        Whether that was given.
    settings : dict
        All of this as a file has it, plain, with the scale.
    """

    name: str
    description: str
    bands: tuple[Band, ...]
    sky: str
    clustering: Any
    flux: Any
    seed: int
    has_seed: bool
    settings: dict[str, Any]

    def views(self) -> list[tuple[Band, str]]:
        """Return each band with each of its depths."""
        return [(band, depth) for band in self.bands for depth in band.noise]


def list_challenges() -> list[str]:
    """Return the names of the challenges that come with the package."""
    found = (entry.name for entry in files("skygal.catalogs").joinpath("challenges").iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def read_challenge(name: str | PathLike = DEFAULT, *, scale: float = 1.0, seed: int | None = None) -> Challenge:
    """Return a challenge that comes with the package, or one of a YAML file, whose missing keys are the default's.

    Parameters
    ----------
    name : str or path
        A shipped challenge's name, or a path to a YAML file (.yaml, .yml).
    scale : float
        What the sides of images and training areas are multiplied by, above 0 and at most 1.
    seed : int, optional
        In place of the file's; by default a fresh one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If there is no such challenge, a key is unknown, a band misses what it must have, or a value is not allowed; the
        message names the file and the key.
    """
    where, text = _text_of(name)
    default = parse_yaml(files("skygal.catalogs").joinpath("challenges", f"{DEFAULT}.yaml").read_text(encoding="utf-8"))
    try:
        given = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{where} must be YAML, got {error}") from None
    given = {} if given is None else _check_keys(where, given, tuple(default))
    scale = as_quantity("scale", scale, u.one)
    if scale > 1:
        raise ValueError(f"scale must be above 0 and at most 1, got {scale:g}")
    # what is called so and described so is the default alone
    own = {"name": Path(fspath(name)).stem, "description": ""} if fspath(name) != DEFAULT else {}
    asked = {**default, **own, **given}
    if not isinstance(asked["bands"], Mapping) or not asked["bands"]:
        raise ValueError(f"bands in {where} must be a mapping of at least one name to its settings, got "
                         f"{show(asked['bands'])}")
    bands = tuple(_band(f"band {show(key)} in {where}", str(key), value, asked, scale)
                  for key, value in asked["bands"].items())
    for band in bands[1:]:
        _check_within(where, band, bands[0])
    if seed is None:
        seed = parse_none("seed", asked["seed"])
    has_seed, seed = seed is not None, as_seed(f"seed in {where}", seed)
    sky = asked["sky"]
    if not isinstance(sky, str):
        raise ValueError(f"sky in {where} must be a name or a path to a YAML file, got {show(sky)}")
    flux = parse_none("flux", asked["flux"])
    flux = faintest(bands) if flux is None else parse_range(f"flux in {where}", flux)
    settings = {**asked, "scale": scale, "seed": seed}
    return Challenge(str(asked["name"]), str(asked["description"]), bands, sky,
                     parse_clustering("clustering", parse_none("clustering", asked["clustering"])), flux, seed,
                     has_seed, as_plain(settings))


def faintest(bands: tuple[Band, ...]) -> u.Quantity:
    """Return the flux at the first frequency of which a source is as bright as the lowest noise of all bands."""
    ratios = [(band, float((bands[0].frequency / band.frequency).to_value(u.one))) for band in bands]
    low = min(min(rms.value for rms in band.noise.values()) * ratio**INDEX for band, ratio in ratios)
    return float(f"{low:.4g}") * u.Jy


def _text_of(name: str | PathLike) -> tuple[str, str]:
    """Return how a challenge's file is called in messages, and what is in it."""
    words = fspath(name)
    if words.lower().endswith((".yaml", ".yml")):
        if not Path(words).exists():
            raise FileNotFoundError(f"challenge must be an existing file, got {show(words)}")
        return f"challenge file {show(words)}", read_text(Path(words), "challenge file")
    known = list_challenges()
    if words not in known:
        raise ValueError(f"challenge must be one of {', '.join(map(repr, known))}, or a path to a YAML file, got "
                         f"{show(words)}{nearest_names(words, known)}")
    return f"challenge {show(words)}", files("skygal.catalogs").joinpath("challenges", f"{words}.yaml").read_text(
        encoding="utf-8")


def _check_keys(where: str, given: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} must hold keys and values, got {show(given)}")
    for key in given:
        if key not in allowed:
            raise ValueError(f"{where} must have no keys but {', '.join(allowed)}, got {show(key)}"
                             f"{nearest_names(str(key), allowed)}")
    return {str(key): value for key, value in given.items()}


def _check_name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what} must be a name of letters, digits, '_', '.' and '-', got {show(name)}")
    return name


def _band(where: str, name: str, given: Any, asked: Mapping[str, Any], scale: float) -> Band:
    given = _check_keys(where, given, BAND_KEYS)
    _check_name(f"name of {where}", name)
    survey = None if given.get("survey") is None else read_survey(given["survey"])
    for key in ("frequency", "pixel_scale", "beam", "noise"):
        if given.get(key) is None and survey is None:
            raise ValueError(f"{where} must have {key}, or a survey that has one, got none")

    def quantity(key: str, unit: str) -> u.Quantity:
        value = given.get(key)
        if value is None:
            return getattr(survey, key)
        value = parse_quantity(f"{key} of {where}", value)
        as_quantity(f"{key} of {where}", value, unit)
        return value

    frequency, pixel = quantity("frequency", "Hz"), quantity("pixel_scale", "arcsec")
    beam = parse_beam(f"beam of {where}", given["beam"]) if given.get("beam") is not None else survey.beam  # type: ignore[union-attr]
    if not isinstance(beam, Beam):
        raise ValueError(f"beam of {where} must be a FWHM such as '5.4arcsec' or '6x5arcsec,30deg', got {show(beam)}")
    noise = given.get("noise")
    if noise is None:
        noise = {"full": survey.noise}  # type: ignore[union-attr]
    sides = parse_size(f"size of {where}", given.get("size") or asked["size"])
    shape = tuple(round(side * scale) for side in sides)
    if min(shape) < LEAST_SIDE:
        raise ValueError(f"scale must leave {where} {LEAST_SIDE} pixels on a side, got {scale:g}, which leaves "
                         f"{min(shape)}")
    wcs = make_wcs(str(asked["center"]), shape, pixel, projection=str(asked["projection"]))
    primary = parse_none("primary_beam", given.get("primary_beam"))
    if primary is not None and not isinstance(primary, str):
        raise ValueError(f"primary_beam of {where} must be the diameter of a dish or a file, got {show(primary)}")
    return Band(name, frequency, wcs, beam, primary, _noise(where, noise), _training(where, given, wcs, scale))


def _noise(where: str, given: Any) -> dict[str, u.Quantity]:
    """Return the noise at each depth, deepest last."""
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"noise of {where} must be a mapping of the name of each depth to its rms, such as "
                         f"{{8h: 2.9 uJy}}, got {show(given)}")
    found = {}
    for depth, value in given.items():
        rms = parse_quantity(f"noise of {where}", value)
        if isinstance(rms, u.Quantity) and rms.unit.is_equivalent(u.Jy / u.beam):
            rms = rms * u.beam
        name = _check_name(f"depth of {where}", str(depth))
        found[name] = as_quantity(f"noise of {where}", rms, u.Jy) * u.Jy / u.beam
    return dict(sorted(found.items(), key=lambda one: -one[1].value))


def _training(where: str, given: Mapping[str, Any], wcs: WCS, scale: float) -> Area:
    """Return the training area, which lies in the image."""
    ny, nx = wcs.array_shape
    ra, dec = (float(end) for end in pixel_to_icrs(wcs, (nx - 1) / 2, (ny - 1) / 2))
    ends = given.get("training")
    if ends is None:
        height, width = (TRAINING_SHARE * side * abs(step) for side, step in zip((ny, nx), wcs.wcs.cdelt[::-1],
                                                                               strict=True))
        if abs(dec) > 80:
            raise ValueError(f"training of {where} must be given where the centre is within 10 deg of a pole")
        area = Area(ra - width / float(_cos(dec)), ra, dec, dec + height)
    else:
        if not isinstance(ends, (list, tuple)) or len(ends) != 4:
            raise ValueError(f"training of {where} must be four angles: two right ascensions, two declinations, got "
                             f"{show(ends)}")
        values = [as_quantity(f"training of {where}", parse_quantity(f"training of {where}", end), u.deg,
                              positive=False) for end in ends]
        try:
            area = Area(*values).scaled(ra, dec, scale)
        except ValueError as error:
            raise ValueError(f"training of {where} cannot be used: {error}") from None
    x, y = icrs_to_pixel(wcs, *area.border())
    if not ((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)).all():
        raise ValueError(f"training of {where} must lie in the image, got {area}")
    return area


def _cos(degrees: float) -> float:
    from math import cos, radians

    return cos(radians(degrees))


def _check_within(where: str, band: Band, first: Band) -> None:
    """Check that a band's image lies in the first one's, where sources are drawn."""
    ny, nx = band.wcs.array_shape
    x, y = icrs_to_pixel(first.wcs, *pixel_to_icrs(band.wcs, [-0.5, nx - 0.5, nx - 0.5, -0.5],
                                                   [-0.5, -0.5, ny - 0.5, ny - 0.5]))
    ny, nx = first.wcs.array_shape
    # half a pixel is what rounding may take from the sides of either
    if not ((x > -1.5) & (x < nx + 0.5) & (y > -1.5) & (y < ny + 0.5)).all():
        raise ValueError(f"bands in {where} must begin with the one of the widest image, got {first.name!r}, which "
                         f"does not hold {band.name!r}")
