"""Files of skies: read, checked, every number with where it is from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib.resources import files
from os import PathLike
from os.path import exists
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, check_choice, nearest_names, shorten, show
from skygal.io.config import parse_yaml
from skygal.io.inputs import read_text
from skygal.population.counts import SourceCounts
from skygal.population.luminosity import FORMS, BrightEnd, LuminosityFunction, PeakedFunction
from skygal.population.sky_parts import CLASSES, STAR_FORMING, Disc, Jets, Shares, Sizes, SourceClass, Spectrum

__all__ = ["list_skies", "read_parts"]

#: how keys end that tell where another is from, or what else there is to say of it
_SAID = {"reference": "references", "note": "notes"}


@cache
def _shipped() -> dict[str, str]:
    """Return the file of each shipped sky."""
    found = (entry.name for entry in files("skygal.catalogs").joinpath("skies").iterdir())
    return {name.removesuffix(".yaml"): name for name in sorted(found) if name.endswith(".yaml")}


def list_skies() -> list[str]:
    """Return the names of the skies that come with the package.

    Examples
    --------
    >>> from skygal.population import list_skies
    >>> list_skies()
    ['default', 'sdc1']
    """
    return list(_shipped())


def read_parts(name: str | PathLike = "default") -> dict[str, Any]:
    """Return the parts that a `~skygal.population.Sky` is made of, by name; see `~skygal.population.Sky.read`."""
    if not isinstance(name, (str, Path)):
        raise TypeError(f"sky must be a name or a path to a YAML file, got {show(name)}")
    if str(name).lower().endswith((".yaml", ".yml")):
        path = Path(name)
        if not exists(path):
            raise FileNotFoundError(f"sky must be an existing file, got {show(str(path))}")
        return _parse(read_text(path, "sky file"), str(path), path.parent)
    if str(name) not in _shipped():
        choices = ", ".join(map(repr, _shipped()))
        raise ValueError(f"sky must be one of {choices}, or a path to a YAML file, got {show(str(name))}"
                         f"{nearest_names(str(name), _shipped())}")
    file = _shipped()[str(name)]
    return _parse(files("skygal.catalogs").joinpath("skies", file).read_text(encoding="utf-8"), file, None)


def _parse(text: str, file: str, folder: Path | None) -> dict[str, Any]:
    where = f"sky file {show(file)}"
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{where} must be YAML, got {error}") from None
    said: dict[str, dict[str, str]] = {"references": {}, "notes": {}}
    data = _take_said(data, "", said)
    data = _keys(where, data, ("name", "counts", "star_forming", "radio_loud", "classes"), ("description", "mix"))
    if not isinstance(data["name"], str) or not data["name"]:
        raise ValueError(f"name in {where} must be a word, got {show(data['name'])}")
    quiet = _keys(f"star_forming in {where}", data["star_forming"], ("luminosity_function", "evolution", "shares"))
    loud = _keys(f"radio_loud in {where}", data["radio_loud"],
                 ("luminosity_function", "evolution", "sizes", "compact", "FRII"), ("bright",))
    compact, compact_sizes = _compact(f"compact in {where}", loud["compact"])
    frii = _keys(f"FRII in {where}", loud["FRII"], ("intercept", "slope", "pivot"))
    logit = {key: _number(f"{key} of FRII in {where}", value) for key, value in frii.items()}
    classes = _keys(f"classes in {where}", data["classes"], CLASSES)
    mix = data.get("mix")
    return {
        "name": data["name"], "description": str(data.get("description", "")),
        "counts": _counts(f"counts in {where}", data["counts"], folder),
        "star_forming": _function(f"star_forming in {where}", quiet),
        "radio_loud": _function(f"radio_loud in {where}", loud),
        "quiet": _shares(f"shares of star_forming in {where}", quiet["shares"], STAR_FORMING),
        "sizes": _sizes(f"sizes of radio_loud in {where}", loud["sizes"]), "compact": compact,
        "compact_sizes": compact_sizes, "bright": _bright(f"bright in {where}", loud.get("bright")),
        "frii": (logit["intercept"], logit["slope"], logit["pivot"]),
        "classes": {name: _source_class(f"{name} in {where}", name, classes[name]) for name in CLASSES},
        "mix": None if mix is None else _shares(f"mix in {where}", mix, ("star_forming", "radio_loud")), **said}


def _take_said(data: Any, path: str, said: dict[str, dict[str, str]]) -> Any:
    """Return the data without references and notes, which go into ``said`` under the path of what they are about."""
    if isinstance(data, list):
        return [_take_said(item, f"{path}[{k}]", said) for k, item in enumerate(data)]
    if not isinstance(data, dict):
        return data
    rest = {}
    for key, value in data.items():
        about, _, kind = str(key).rpartition("_")
        if kind in _SAID:
            said[_SAID[kind]][".".join(part for part in (path, about) if part)] = str(value)
        else:
            rest[key] = _take_said(value, f"{path}.{key}" if path else str(key), said)
    return rest


def _keys(where: str, given: Any, needed: Iterable[str], others: Iterable[str] = ()) -> dict[str, Any]:
    needed, allowed = tuple(needed), (*needed, *others)
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


def _number(where: str, value: Any, *, positive: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{where} must be a number, got {show(value)}")
    if positive and value <= 0:
        raise ValueError(f"{where} must be positive, got {value}")
    return float(value)


def _quantity(where: str, value: Any, unit: u.UnitBase) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{where} must be a value with a unit, such as '1.5 {unit}', got {show(value)}")
    try:
        return as_quantity(where, value, unit)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{where} must be a list, got {show(value)}")
    return value


def _made(where: str, make: Any, *args: Any, **options: Any) -> Any:
    """Return what a part's class makes of its values, its errors naming where they are from."""
    try:
        return make(*args, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _counts(where: str, given: Any, folder: Path | None) -> SourceCounts:
    name = _keys(where, given, ("file",))["file"]
    if not isinstance(name, str):
        raise ValueError(f"file of {where} must be a path, got {show(name)}")
    shipped = files("skygal.catalogs").joinpath(name) if "/" not in name and "\\" not in name else None
    if folder is not None and exists(folder / name):
        text = read_text(folder / name, "counts")
    elif shipped is not None and shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    else:
        raise FileNotFoundError(f"file of {where} must be an existing file, got {show(name)}")
    rows = [line.split(",") for line in text.splitlines() if line.strip() and not line.startswith("#")]
    header = [word.strip() for word in rows[0]] if rows else []
    if "flux" not in header or "counts" not in header:
        raise ValueError(f"file of {where} must have the columns flux and counts, got {show(', '.join(header))}")
    try:
        flux, counts = (np.array([float(row[header.index(key)]) for row in rows[1:]]) for key in ("flux", "counts"))
    except (IndexError, ValueError) as error:
        raise ValueError(f"file of {where} must hold numbers, got {error}") from None
    return _made(f"file of {where}", SourceCounts, flux, counts, 1.4 * u.GHz)


def _function(where: str, family: Mapping[str, Any]) -> LuminosityFunction:
    given = family["luminosity_function"]
    form = given.get("form") if isinstance(given, dict) else None
    if form is not None:
        check_choice(f"form of {where}", form, FORMS)
    names = ("log_phi", "log_luminosity", *FORMS.get(form or "", ()))
    function = dict(_keys(f"luminosity_function of {where}", given, ("form", *names)))
    evolution = _keys(f"evolution of {where}", family["evolution"], ("power", "slope", "highest_redshift"))
    numbers = {key: _number(f"{key} of {where}", value) for key, value in {**function, **evolution}.items()
               if key != "form"}
    return _made(where, LuminosityFunction, form=function["form"], **numbers)


def _bright(where: str, given: Any) -> BrightEnd | None:
    if given is None:
        return None
    given = _keys(where, given, ("flux", "redshift", "populations"))
    for key in ("flux", "redshift"):
        if len(_list(f"{key} of {where}", given[key])) != 2:
            raise ValueError(f"{key} of {where} must be [start, end], got {show(given[key])}")
    flux = tuple(_quantity(f"flux of {where}", value, u.Jy) for value in given["flux"])
    redshift = tuple(_number(f"redshift of {where}", value) for value in given["redshift"])
    if not isinstance(given["populations"], dict):
        raise ValueError(f"populations of {where} must be a mapping, got {show(given['populations'])}")
    names = [field.name for field in fields(PeakedFunction)]
    functions = []
    for name, population in given["populations"].items():
        there = f"{name} of {where}"
        numbers = {key: _number(f"{key} of {there}", value) for key, value in _keys(there, population, names).items()}
        functions.append(_made(there, PeakedFunction, **numbers))
    return _made(where, BrightEnd, tuple(functions), flux, redshift)


def _shares(where: str, given: Any, names: Sequence[str]) -> Shares:
    table = _keys(where, given, ("flux", *names))
    flux = np.array([_quantity(f"flux of {where}", value, u.Jy) for value in _list(f"flux of {where}", table["flux"])])
    shares = {name: np.array([_number(f"{name} of {where}", value)
                              for value in _list(f"{name} of {where}", table[name])]) for name in names}
    return _made(where, Shares, flux, shares)


def _sizes(where: str, given: Any) -> Sizes:
    table = _keys(where, given, ("flux", "median", "slope", "exponent"))
    flux, median = (np.array([_quantity(f"{key} of {where}", value, unit)
                              for value in _list(f"{key} of {where}", table[key])])
                    for key, unit in (("flux", u.Jy), ("median", u.arcsec)))
    return _made(where, Sizes, flux, median, _number(f"slope of {where}", table["slope"]),
                 _number(f"exponent of {where}", table["exponent"], positive=True))


def _compact(where: str, given: Any) -> tuple[tuple[str, float], Sizes | None]:
    if isinstance(given, dict) and "share" in given:
        given = _keys(where, given, ("share",), ("sizes",))
        share = _number(f"share of {where}", given["share"])
        if not 0 <= share <= 1:
            raise ValueError(f"share of {where} must be from 0 to 1, got {share}")
        return ("share", share), None if "sizes" not in given else _sizes(f"sizes of {where}", given["sizes"])
    return ("largest", _quantity(f"largest of {where}", _keys(where, given, ("largest",))["largest"], u.kpc)), None


def _source_class(where: str, name: str, given: Any) -> SourceClass:
    shape: Disc | Jets
    if name in STAR_FORMING:
        given = _keys(where, given, ("radius", "thickness", "spectra"))
        radius = _keys(f"radius of {where}", given["radius"], ("median", "redshift", "power", "scatter"))
        thickness = _keys(f"thickness of {where}", given["thickness"], ("value",))["value"]
        values = {key: _number(f"{key} of {where}", radius[key]) for key in ("redshift", "power", "scatter")}
        shape = Disc(_quantity(f"median of {where}", radius["median"], u.kpc), **values,
                     thickness=_part(f"thickness of {where}", thickness))
    else:
        given = _keys(where, given, ("axis_ratio", "spectra"), ("core_fraction",) if name == "FR0" else ())
        ends = _list(f"axis_ratio of {where}", given["axis_ratio"])
        ends = [_part(f"axis_ratio of {where}", value) for value in ends]
        if len(ends) != 2 or not 0 < ends[0] <= ends[1]:
            raise ValueError(f"axis_ratio of {where} must be [low, high], 0 < low <= high <= 1, got {show(ends)}")
        core = given.get("core_fraction")
        if core is not None:
            core = _keys(f"core_fraction of {where}", core, ("mean", "scatter"))
            core = (_part(f"mean of {where}", core["mean"]), _part(f"scatter of {where}", core["scatter"]))
        shape = Jets((ends[0], ends[1]), core)
    return _made(where, SourceClass, name, shape, _spectra(f"spectra of {where}", given["spectra"]))


def _part(where: str, value: Any) -> float:
    number = _number(where, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{where} must be from 0 to 1, got {number}")
    return number


def _spectra(where: str, given: Any) -> tuple[Spectrum, ...]:
    parts = []
    for entry in _list(where, given):
        entry = _keys(where, entry, ("share", "index", "scatter"), ("curvature",))
        numbers = {key: _number(f"{key} of {where}", value) for key, value in entry.items()}
        if numbers["scatter"] < 0:
            raise ValueError(f"scatter of {where} must be at least 0, got {numbers['scatter']}")
        parts.append(Spectrum(**{**numbers, "share": _part(f"share of {where}", numbers["share"])}))
    return tuple(parts)
