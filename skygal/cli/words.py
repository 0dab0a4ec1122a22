"""From words to values: how the command line and configuration files spell their settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.wcs import WCS

from skygal.checks import as_quantity, show
from skygal.io.header_wcs import celestial, celestial_axes, read_celestial
from skygal.io.inputs import read_npy
from skygal.wcs import make_wcs

if TYPE_CHECKING:
    from skygal.training.settings import TrainSettings

__all__ = ["DEFAULT_CENTER", "DEFAULT_SIZE", "parse_beam", "parse_each", "parse_frequencies", "parse_hdu",
           "parse_latents", "parse_mix", "parse_noise", "parse_number", "parse_open_range", "parse_path",
           "parse_quantity", "parse_range", "parse_settings", "parse_size", "parse_sizes", "parse_wcs"]

#: where a field lies and how many pixels it has on a side if nothing is said
DEFAULT_CENTER, DEFAULT_SIZE = "12h00m00s +30d00m00s", 1024
#: characters of a beam in words
LONGEST = 200


def _split(text: str, sign: str) -> list[str]:
    return [part.strip() for part in text.split(sign)]


def parse_path(name: str, value: Any) -> Path:
    """Return the path in words.

    Raises
    ------
    ValueError
        If they are none.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{name} must be a path, got {show(value)}")
    return Path(value)


def parse_quantity(name: str, value: Any) -> u.Quantity:
    """Return a quantity from a string such as ``"0.15 mJy"``.

    Raises
    ------
    ValueError
        If it is no number with a unit.
    """
    try:
        quantity = u.Quantity(value if isinstance(value, str) else str(value))
    except (TypeError, ValueError):
        quantity = None
    if quantity is None or quantity.unit == u.dimensionless_unscaled:
        raise ValueError(f"{name} must be a number with a unit such as '5.4 arcsec', got {show(value)}")
    return quantity


def parse_number(name: str, value: Any) -> float:
    """Return a plain number; raises ValueError for anything else."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {show(value)}") from None


def parse_noise(name: str, value: Any) -> u.Quantity | Path:
    """Return the noise from a string such as ``"0.15 mJy"``, or the path of a map of it.

    Raises
    ------
    ValueError
        If it is neither a file, nor named as one, nor a number with a unit.
    """
    from skygal.observation.noise import names_file

    return Path(value) if isinstance(value, str) and names_file(value) else parse_quantity(name, value)


def parse_range(name: str, value: Any, *, plain: bool = False) -> Any:
    """Return a (low, high) pair from ``"1 mJy, 1 Jy"`` or a list of two; a single value as it is.

    Parameters
    ----------
    name : str
        The option, for the message.
    value : str or list
        The words.
    plain : bool
        Whether the values are plain numbers.

    Raises
    ------
    ValueError
        If there are more than two values, or one is not what it must be.
    """
    parse = parse_number if plain else parse_quantity
    parts = _split(value, ",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        return parse(name, parts)
    if len(parts) not in (1, 2):
        raise ValueError(f"{name} must be a pair LOW,HIGH, got {show(value)}")
    values = tuple(parse(name, part) for part in parts)
    return values[0] if len(values) == 1 else values


def parse_open_range(name: str, value: Any) -> tuple[Any, Any]:
    """Return a (low, high) pair of ``"60 arcsec, 2 arcmin"``, ``"60 arcsec,"`` or a list; either may be None.

    A single value is the low end; an end that is empty or "none" is open.

    Raises
    ------
    ValueError
        If there are more than two values, or one is not what it must be.
    """
    parts = _split(value, ",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        parts = [parts]
    if len(parts) not in (1, 2):
        raise ValueError(f"{name} must be a pair LOW,HIGH, got {show(value)}")
    low, high = (None if part in (None, "", "none") else parse_quantity(name, part) for part in (*parts, None)[:2])
    return low, high


def parse_sizes(value: Any) -> Any:
    """Return a range of sizes, see `parse_range`, or a word as it is: the name of a relation."""
    word = value.strip() if isinstance(value, str) else ""
    return word if word.isalpha() else parse_range("las", value)


def parse_frequencies(value: Any) -> Any:
    """Return the frequency in ``"1.4 GHz"``, or a list of those in ``"1 GHz, 1.4 GHz"`` or in a list; None for None.

    Raises
    ------
    ValueError
        If one is no number with a unit.
    """
    if value is None:
        return None
    parts = _split(value, ",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        parts = [parts]
    values = [parse_quantity("frequency", part) for part in parts]
    return values[0] if len(values) == 1 else values


def parse_each(name: str, value: Any, parse: Callable[[str, Any], Any]) -> Any:
    """Return a value from its words, or a list of those with ``;`` between them or in a list; None for None.

    Parameters
    ----------
    name : str
        The option, for messages.
    value : str, list or None
        The words.
    parse : callable
        ``parse(name, words)`` returns one value.
    """
    if value is None:
        return None
    if isinstance(value, str) and ";" in value:
        value = _split(value, ";")
    return [parse(name, part) for part in value] if isinstance(value, (list, tuple)) else parse(name, value)


def parse_size(value: Any, *, name: str = "size") -> tuple[int, int]:
    """Return (ny, nx) from ``"1024"`` or ``"NXxNY"``, a number or a list [nx, ny]; ``name`` is for the message.

    Raises
    ------
    ValueError
        If it is not one or two whole numbers above zero.
    """
    parts = value if isinstance(value, (list, tuple)) else _split(str(value).lower(), "x")
    try:
        numbers = [int(str(part)) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise ValueError(f"{name} must be a number of pixels N or NXxNY, got {show(value)}")
    return numbers[-1], numbers[0]


def parse_beam(value: Any) -> Any:
    """Return a beam from ``"5.4arcsec"``, ``"6x5arcsec"`` or ``"6x5arcsec,30deg"``, or the path of a table of beams.

    Returns
    -------
    `~radio_beam.Beam` or `~pathlib.Path`

    Raises
    ------
    ValueError
        If it is written otherwise, is not positive, or its first axis is the shorter one.
    """
    from radio_beam import Beam

    from skygal.observation.observe import TABLE_ENDINGS

    if str(value).endswith(TABLE_ENDINGS):
        return Path(value)
    number = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"
    # a pattern of several blanks in a row is slow to fail on many of them
    match = None if len(str(value)) > LONGEST else re.fullmatch(
        rf"\s*({number})\s*(?:[a-z]*\s*[xX]\s*({number}))?\s*([a-z]+)\s*"
        rf"(?:,\s*({number})\s*([a-z]+))?\s*", str(value))
    try:
        if match is None:
            raise ValueError
        major, minor, unit, pa, pa_unit = match.groups()
        axes = [float(axis) * u.Unit(unit) for axis in (major, minor or major)]
        angle = float(pa) * u.Unit(pa_unit) if pa else 0 * u.deg
    except ValueError:
        raise ValueError("beam must be a FWHM such as '5.4arcsec' or '6x5arcsec,30deg' (major x minor, "
                         f"position angle), got {show(value)}") from None
    long, short = (as_quantity("beam", axis, u.arcsec) for axis in axes)
    if long < short:
        raise ValueError(f"beam must have its major axis first, got {show(value)}")
    if not angle.unit.is_equivalent(u.deg):
        raise ValueError(f"beam must have its position angle in deg, got {show(value)}")
    return Beam(major=long * u.arcsec, minor=short * u.arcsec, pa=angle)


def parse_mix(value: Any) -> Any:
    """Return a class mix: ``"balanced"``, ``"survey"``, or a dict from ``"FRI:0.3,FRII:0.7"``.

    Raises
    ------
    ValueError
        If it is written otherwise.
    """
    if isinstance(value, dict):
        return {str(key): parse_number("fr_mix", share) for key, share in value.items()}
    if value in ("balanced", "survey"):
        return value
    pairs = [part.split(":") for part in str(value).split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("fr_mix must be 'balanced', 'survey' or shares such as 'FRI:0.3,FRII:0.7', "
                         f"got {show(value)}")
    return {key.strip(): parse_number("fr_mix", share) for key, share in pairs}


def parse_latents(value: Any) -> Any:
    """Return latents: the name of a way to draw them, or the array in a ``.npy`` file."""
    if isinstance(value, str) and value.endswith(".npy"):
        return read_npy(value, "latents file")
    try:
        return np.asarray(value, dtype=float) if isinstance(value, list) else value
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"latents must be rows of numbers, got {show(value)}") from None


def parse_hdu(value: Any) -> int | str | None:
    """Return an HDU's number from ``"1"`` or 1, or its EXTNAME; None for None.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"hdu must be a number or an EXTNAME, got {show(value)}")
    return int(value) if re.fullmatch(r"\s*[+-]?\d+\s*", value) else value.strip()


def _grid_of(path: Path) -> WCS:
    """Return the first celestial WCS with a shape in the headers of a FITS file."""
    from skygal.io.fits_files import open_hdus

    name = f"wcs file {show(os.fspath(path))}"
    with open_hdus(path, name) as (hdus, file):
        for hdu in hdus:
            header = hdu.image_header()
            try:
                if celestial_axes(header) is None:
                    continue
                found, _ = read_celestial(header, f"{name}, HDU {hdu.index}")
                celestial(found)
            except ValueError as error:
                raise ValueError(f"{name}, HDU {hdu.index}, cannot be used: {error}") from None
            if found.array_shape is not None:
                file.check_pixels(hdu, bare=True)
                return found
    raise ValueError(f"{name} has no celestial WCS with a shape in any of its headers")


def parse_wcs(*, wcs: str | None = None, center: str | None = None, size: Any = None, pixel_scale: Any = None,
              projection: str | None = None, survey: str | None = None) -> WCS:
    """Return the WCS of a field: that of a FITS file, or one built from a centre, a size and a pixel.

    Parameters
    ----------
    wcs : str, optional
        A FITS file; the first of its headers with a celestial WCS and a shape is taken. It stands
        alone: none of the others but ``survey`` may be given.
    center, size, pixel_scale, projection
        As `skygal.make_wcs`, in words; by default 1024 pixels on a side at 12h +30d, SIN.
    survey : str, optional
        Its pixel is the default.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has no celestial WCS or one with a card that cannot be used, or if what is given does not make one.
    """
    if wcs is not None:
        for name, value in (("center", center), ("size", size), ("pixel_scale", pixel_scale),
                            ("projection", projection)):
            if value is not None:
                raise ValueError(f"{name} must be left out where wcs is given, got {show(value)}")
        return _grid_of(parse_path("wcs", wcs))
    if pixel_scale is not None:
        scale = parse_quantity("pixel_scale", pixel_scale)
    elif survey is not None:
        from skygal.observation.surveys import read_survey

        scale = read_survey(survey).pixel_scale
    else:
        raise ValueError("pixel_scale must be given where there is neither a survey nor a wcs")
    return make_wcs(DEFAULT_CENTER if center is None else str(center),
                    parse_size(DEFAULT_SIZE if size is None else size), scale,
                    projection="SIN" if projection is None else projection)


def parse_settings(words: dict[str, Any]) -> TrainSettings:
    """Return the settings of a training run from words; what is None keeps its default.

    Raises
    ------
    TypeError, ValueError
        If a setting is not what it must be.
    """
    from skygal.training.settings import TrainSettings

    chosen: dict[str, Any] = {}
    for field in fields(TrainSettings):
        value = words.get(field.name)
        if value is None:
            continue
        if isinstance(field.default, tuple):
            parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
            kind = type(field.default[0]) if field.default else str
            chosen[field.name] = tuple(_number(field.name, part, kind) for part in parts)
        else:
            chosen[field.name] = _number(field.name, value, type(field.default))
    return TrainSettings(**chosen)


def _number(name: str, value: Any, kind: type) -> Any:
    if kind is str:
        return str(value).strip()
    try:
        # a float in a file is no whole number: the settings themselves refuse it
        if kind is float and isinstance(value, bool):
            raise TypeError
        return kind(value) if isinstance(value, str) or kind is float else value
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, got {show(value)}") from None
