"""Named surveys: frequency, beam, pixel and noise, each number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from os import PathLike
from os.path import exists
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, check_choice, nearest_names, shorten, show
from skygal.io.config import parse_yaml
from skygal.io.inputs import read_text

if TYPE_CHECKING:
    from radio_beam import Beam

__all__ = ["Completeness", "Stretch", "Survey", "list_surveys", "read_survey"]

_NUMBERS = {"frequency": u.GHz, "pixel_scale": u.arcsec, "noise": u.Jy / u.beam}
_KEYS = ("name", "description", "frequency", "beam", "pixel_scale", "noise", "area", "completeness")
#: degrees of declination that a stretched beam reaches
FARTHEST = 80.0


@dataclass(frozen=True)
class Stretch:
    """How a beam grows with declination, as that of an array on the ground does away from its zenith.

    Its axis towards the pole is that of the round beam over cos(dec - start), on one side of ``start``.

    Parameters
    ----------
    start : float
        Declination, degrees, where it is round.
    towards : "north" or "south"
        On which side it grows; on the other it stays round.
    """

    start: float
    towards: str

    def factor(self, dec: np.ndarray) -> np.ndarray:
        """Return how many times longer the beam is at declinations in degrees."""
        away = np.maximum((np.asarray(dec, float) - self.start) * (1 if self.towards == "north" else -1), 0)
        if np.any(away > FARTHEST):
            raise ValueError(f"dec must be within {FARTHEST:g} deg of {self.start:g} deg for the survey's beam, got "
                             f"{np.ravel(dec)[np.argmax(away)]:g}")
        return 1 / np.cos(np.radians(away))


@dataclass(frozen=True)
class Completeness:
    """The flux from which on a survey's catalogue has the share ``share`` of all sources; None if no share is told."""

    flux: u.Quantity
    share: float | None = None


@dataclass(frozen=True)
class Survey:
    """How a survey sees the sky.

    Parameters
    ----------
    name : str
    frequency : `~astropy.units.Quantity`
    beam : `~radio_beam.Beam`
    pixel_scale : `~astropy.units.Quantity`
        Side of a pixel.
    noise : `~astropy.units.Quantity`
        Typical standard deviation of the noise, Jy/beam.
    description : str
    references : dict of str to str
        Where each number is from.
    notes : dict of str to str
        What else there is to say of one: nominal values are called so.
    stretch : Stretch, optional
        How the beam, which is then round, grows with declination.
    area : `~astropy.units.Quantity`, optional
        Of the sky that it covers.
    completeness : Completeness, optional
    """

    name: str
    frequency: u.Quantity
    beam: Beam
    pixel_scale: u.Quantity
    noise: u.Quantity
    description: str = ""
    references: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: Mapping[str, str] = field(default_factory=dict, repr=False)
    stretch: Stretch | None = None
    area: u.Quantity | None = None
    completeness: Completeness | None = None

    def __hash__(self) -> int:
        # neither beams nor mappings have one
        return hash((self.name, self.frequency, self.pixel_scale, self.noise))

    def beam_at(self, ra: np.ndarray, dec: np.ndarray) -> tuple[u.Quantity, u.Quantity, u.Quantity]:
        """Return major and minor axis and angle of the beam at ICRS positions in degrees."""
        _, dec = np.broadcast_arrays(np.asarray(ra, float), np.asarray(dec, float))
        factor = np.ones(dec.shape) if self.stretch is None else self.stretch.factor(dec)
        return self.beam.major * factor, self.beam.minor * np.ones(dec.shape), self.beam.pa * np.ones(dec.shape)


@cache
def _shipped() -> dict[str, str]:
    """Return the file of each shipped survey."""
    found = (entry.name for entry in files("skygal.catalogs").joinpath("surveys").iterdir())
    return {name.removesuffix(".yaml"): name for name in sorted(found) if name.endswith(".yaml")}


def list_surveys() -> list[str]:
    """Return the names of the surveys that come with the package.

    Examples
    --------
    >>> import skygal
    >>> "FIRST" in skygal.list_surveys()
    True
    """
    return list(_shipped())


def read_survey(name: str | PathLike) -> Survey:
    """Return a survey that comes with the package, or one of your own.

    Parameters
    ----------
    name : str or path
        A shipped survey's name, in capitals or not, or a path to a YAML file (.yaml, .yml) with the
        keys name, frequency, beam (major, minor, pa), pixel_scale and noise, and, if known, area and completeness. Each
        is a string with a unit, or a mapping with ``value``, ``reference`` and ``note``; completeness may have a
        ``share``. A round beam may have a ``stretch``: ``{from: -90 deg, towards: north}`` for 1 / cos(dec + 90 deg).

    Returns
    -------
    Survey

    Raises
    ------
    TypeError
        If ``name`` is neither a string nor a path.
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is no such survey, or the file is not as it must be.

    Examples
    --------
    >>> import skygal
    >>> skygal.read_survey("first").pixel_scale
    <Quantity 1.8 arcsec>
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"survey must be a name or a path to a YAML file, got {show(name)}")
    if str(name).lower().endswith((".yaml", ".yml")):
        path = Path(name)
        if not exists(path):
            raise FileNotFoundError(f"survey must be an existing file, got {show(str(path))}")
        return _parse(_plain(read_text(path, "survey file"), str(path)), str(path))
    known = {key.lower(): key for key in _shipped()}
    if str(name).lower() not in known:
        choices = ", ".join(repr(key) for key in known.values())
        raise ValueError(f"survey must be one of {choices}, or a path to a YAML file, got {show(str(name))}"
                         f"{nearest_names(str(name), known.values())}")
    file = _shipped()[known[str(name).lower()]]
    return _parse(_of_shipped(file), file)


def _check_keys(where: str, given: Any, allowed: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"{where} must be a mapping with the keys {', '.join(needed)}, got {show(given)}")
    for key in given:
        if key not in allowed:
            raise ValueError(f"{where} must have no keys but {', '.join(allowed)}, got {show(key)}"
                             f"{nearest_names(str(key), allowed)}")
    for key in needed:
        if key not in given:
            raise ValueError(f"{where} must have the key {key!r}, got only "
                             f"{shorten(', '.join(map(str, given))) or 'none'}")
    return given


def _number(where: str, value: Any, unit: u.UnitBase, *, positive: bool = True) -> u.Quantity:
    if not isinstance(value, str):
        raise ValueError(f"{where} must be a value with a unit, such as '1.8 {unit}', got {show(value)}")
    try:
        as_quantity(where, value, unit, positive=positive)
    except TypeError as error:
        raise ValueError(str(error)) from None
    # as written, so that 943 MHz stays that
    return u.Quantity(value)


@cache
def _of_shipped(file: str) -> Any:
    """Return what the file of a shipped survey says, read once: it must not be changed."""
    return _plain(files("skygal.catalogs").joinpath("surveys", file).read_text(encoding="utf-8"), file)


def _plain(text: str, file: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"survey file {show(file)} must be YAML, got {error}") from None


def _parse(data: Any, file: str) -> Survey:
    from radio_beam import Beam

    where = f"survey file {show(file)}"
    data = _check_keys(where, data, _KEYS, ("name", "frequency", "beam", "pixel_scale", "noise"))
    if not isinstance(data["name"], str) or not data["name"]:
        raise ValueError(f"name in {where} must be a word, got {show(data['name'])}")
    references: dict[str, str] = {}
    notes: dict[str, str] = {}

    def cite(key: str, entry: dict[str, Any]) -> None:
        for kind, into in (("reference", references), ("note", notes)):
            if kind in entry:
                into[key] = str(entry[kind])

    values: dict[str, Any] = {}
    for key, unit in _NUMBERS.items():
        entry = data[key]
        if isinstance(entry, dict):
            _check_keys(f"{key} in {where}", entry, ("value", "reference", "note"), ("value",))
            cite(key, entry)
            entry = entry["value"]
        values[key] = _number(f"{key} in {where}", entry, unit)
    area, completeness = data.get("area"), data.get("completeness")
    if area is not None:
        entry = _valued(f"area in {where}", area)
        cite("area", entry)
        values["area"] = _number(f"area in {where}", entry["value"], u.deg**2)
    if completeness is not None:
        entry = _valued(f"completeness in {where}", completeness, "share")
        cite("completeness", entry)
        values["completeness"] = _completeness(f"completeness in {where}", entry)
    entry = data["beam"]
    entry = {"major": entry} if isinstance(entry, str) else entry
    entry = _check_keys(f"beam in {where}", entry, ("major", "minor", "pa", "stretch", "reference", "note"), ("major",))
    cite("beam", entry)
    major = _number(f"beam major in {where}", entry["major"], u.arcsec)
    minor = _number(f"beam minor in {where}", entry.get("minor", entry["major"]), u.arcsec)
    pa = _number(f"beam pa in {where}", entry.get("pa", "0 deg"), u.deg, positive=False)
    if minor > major:
        raise ValueError(f"beam in {where} must have major >= minor, got {major} and {minor}")
    if "stretch" in entry:
        values["stretch"] = _stretch(f"stretch of beam in {where}", entry["stretch"], major == minor)
    return Survey(name=data["name"], beam=Beam(major, minor, pa), description=str(data.get("description", "")),
                  references=references, notes=notes, **values)


def _valued(where: str, entry: Any, *others: str) -> dict[str, Any]:
    """Return a mapping with a value, from one or from the value alone."""
    entry = {"value": entry} if isinstance(entry, str) else entry
    return _check_keys(where, entry, ("value", *others, "reference", "note"), ("value",))


def _completeness(where: str, entry: dict[str, Any]) -> Completeness:
    share = entry.get("share")
    if share is not None and (isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1):
        raise ValueError(f"share of {where} must be above 0 and at most 1, got {show(share)}")
    return Completeness(_number(where, entry["value"], u.Jy), share)


def _stretch(where: str, entry: Any, is_round: bool) -> Stretch:
    entry = _check_keys(where, entry, ("from", "towards"), ("from", "towards"))
    if not is_round:
        raise ValueError(f"{where} must be that of a round beam, got one with two axes")
    start = _number(f"from of {where}", entry["from"], u.deg, positive=False).to_value(u.deg)
    return Stretch(float(start), check_choice(f"towards of {where}", entry["towards"], ("north", "south")))
