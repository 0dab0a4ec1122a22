"""From words to values: how strings and configuration files spell settings. What is no word is returned as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, show
from skygal.io.inputs import read_npy

__all__ = ["TABLE_ENDINGS", "names_file", "parse_beam", "parse_clip", "parse_clustering", "parse_frequencies",
           "parse_hdu", "parse_latents", "parse_mix", "parse_noise", "parse_none", "parse_number", "parse_numbers",
           "parse_open_range", "parse_path",
           "parse_quantity", "parse_range", "parse_size", "parse_sizes"]

#: of files that hold a table of beams
TABLE_ENDINGS = (".ecsv", ".vot", ".xml")
#: characters of a beam in words
LONGEST = 200


def _split(text: str, sign: str) -> list[str]:
    return [part.strip() for part in text.split(sign)]


def names_file(words: str) -> bool:
    """Return whether words are the name of a FITS file, that is there or not, rather than a quantity."""
    return os.path.exists(words) or re.search(r"\.(fits?|fts|fz)(\.\w+)?$", words.lower()) is not None


def parse_path(name: str, value: Any) -> Any:
    """Return the path in words; raises ValueError for a number or a list."""
    if isinstance(value, (bool, int, float, list, dict)):
        raise ValueError(f"{name} must be a path, got {show(value)}")
    return Path(value) if isinstance(value, str) else value


def parse_none(name: str, value: Any) -> Any:
    """Return None for ``"none"`` and False."""
    return None if value is False or (isinstance(value, str) and value == "none") else value


def parse_quantity(name: str, value: Any) -> Any:
    """Return a quantity from a string such as ``"0.15 mJy"``.

    Raises
    ------
    ValueError
        If it is no number with a unit.
    """
    if not isinstance(value, str):
        return value
    try:
        quantity = u.Quantity(value)
    except (TypeError, ValueError):
        quantity = None
    if quantity is None or quantity.unit == u.dimensionless_unscaled:
        raise ValueError(f"{name} must be a number with a unit such as '5.4 arcsec', got {show(value)}")
    return quantity


def parse_number(name: str, value: Any) -> Any:
    """Return the plain number in words; raises ValueError for words that are none."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{name} must be a number, got {show(value)}") from None


def parse_noise(name: str, value: Any) -> Any:
    """Return noise: a quantity, the path of a FITS map of it, a map in a ``.npy`` file, or False for ``"none"``.

    Raises
    ------
    ValueError
        If words are neither a file, nor named as one, nor a number with a unit.
    """
    if not isinstance(value, str):
        return value
    if value == "none":
        return False
    if value.endswith(".npy"):
        return read_npy(value, f"{name} map")
    return Path(value) if names_file(value) else parse_quantity(name, value)


def parse_range(name: str, value: Any) -> Any:
    """Return a (low, high) pair from ``"1 mJy, 1 Jy"`` or a list of two; a single value as it is.

    Raises
    ------
    ValueError
        If words are more than two values, or one is not what it must be.
    """
    return _pair(name, value, parse_quantity)


def parse_numbers(name: str, value: Any) -> Any:
    """Return a pair of plain numbers from ``"-0.9, -0.6"`` or a list of two; a single one as it is."""
    return _pair(name, value, parse_number)


def _pair(name: str, value: Any, parse: Any) -> Any:
    parts = _split(value, ",") if isinstance(value, str) else value
    if not isinstance(parts, list):
        return tuple(parse(name, part) for part in parts) if isinstance(parts, tuple) else parts
    if len(parts) not in (1, 2):
        raise ValueError(f"{name} must be a pair LOW,HIGH, got {show(value)}")
    values = tuple(parse(name, part) for part in parts)
    return values[0] if len(values) == 1 else values


def parse_open_range(name: str, value: Any) -> Any:
    """Return a (low, high) pair of ``"60 arcsec, 2 arcmin"``, ``"60 arcsec,"`` or a list; either may be None.

    A single value is the low end; an end that is empty or "none" is open.

    Raises
    ------
    ValueError
        If there are more than two values, or one is not what it must be.
    """
    parts = _split(value, ",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        return parts
    if len(parts) not in (1, 2):
        raise ValueError(f"{name} must be a pair LOW,HIGH, got {show(value)}")
    ends = [None if isinstance(part, str) and part in ("", "none") else parse_quantity(name, part)
            for part in (*parts, None)[:2]]
    return ends[0], ends[1]


def parse_sizes(name: str, value: Any) -> Any:
    """Return a range of sizes, see `parse_range`, or a word as it is: the name of a relation."""
    word = value.strip() if isinstance(value, str) else ""
    return word if word.isalpha() else parse_range(name, value)


def parse_frequencies(name: str, value: Any) -> Any:
    """Return the frequency in ``"1.4 GHz"``, or a list of those in ``"1 GHz, 1.4 GHz"`` or in a list."""
    parts = _split(value, ",") if isinstance(value, str) else value
    if not isinstance(parts, list):
        return parts
    values = [parse_quantity(name, part) for part in parts]
    return values[0] if len(values) == 1 else values


def parse_size(name: str, value: Any) -> tuple[int, int]:
    """Return (ny, nx) from ``"1024"`` or ``"NXxNY"``, a number or a list [nx, ny].

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


def parse_beam(name: str, value: Any) -> Any:
    """Return a beam from ``"5.4arcsec"``, ``"6x5arcsec"`` or ``"6x5arcsec,30deg"``, or the path of a table of beams.

    Returns
    -------
    `~radio_beam.Beam`, `~pathlib.Path`, or what was given

    Raises
    ------
    ValueError
        If it is written otherwise, is not positive, or its first axis is the shorter one.
    """
    if not isinstance(value, str):
        return value
    if value.endswith(TABLE_ENDINGS):
        return Path(value)
    from radio_beam import Beam

    number = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"
    # a pattern of several blanks in a row is slow to fail on many of them
    match = None if len(value) > LONGEST else re.fullmatch(
        rf"\s*({number})\s*(?:[a-z]*\s*[xX]\s*({number}))?\s*([a-z]+)\s*"
        rf"(?:,\s*({number})\s*([a-z]+))?\s*", value)
    try:
        if match is None:
            raise ValueError
        major, minor, unit, pa, pa_unit = match.groups()
        axes = [float(axis) * u.Unit(unit) for axis in (major, minor or major)]
        angle = float(pa) * u.Unit(pa_unit) if pa else 0 * u.deg
    except ValueError:
        raise ValueError(f"{name} must be a FWHM such as '5.4arcsec' or '6x5arcsec,30deg' (major x minor, "
                         f"position angle), got {show(value)}") from None
    long, short = (as_quantity(name, axis, u.arcsec) for axis in axes)
    if long < short:
        raise ValueError(f"{name} must have its major axis first, got {show(value)}")
    if not angle.unit.is_equivalent(u.deg):
        raise ValueError(f"{name} must have its position angle in deg, got {show(value)}")
    return Beam(major=long * u.arcsec, minor=short * u.arcsec, pa=angle)


def parse_mix(name: str, value: Any) -> Any:
    """Return a class mix: ``"balanced"``, ``"survey"``, or a dict from ``"FRI:0.3,FRII:0.7"``.

    Raises
    ------
    ValueError
        If words are written otherwise.
    """
    if isinstance(value, Mapping):
        return {str(key): parse_number(name, share) for key, share in value.items()}
    if not isinstance(value, str) or ":" not in value:
        return value
    pairs = [part.split(":") for part in value.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{name} must be 'balanced', 'survey' or shares such as 'FRI:0.3,FRII:0.7', got {show(value)}")
    return {key.strip(): parse_number(name, share) for key, share in pairs}


def parse_latents(name: str, value: Any) -> Any:
    """Return latents: the name of a way to draw them, or the array in a ``.npy`` file."""
    if isinstance(value, str) and value.endswith(".npy"):
        return read_npy(value, f"{name} file")
    try:
        return np.asarray(value, dtype=float) if isinstance(value, list) else value
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be rows of numbers, got {show(value)}") from None


def parse_hdu(name: str, value: Any) -> Any:
    """Return an HDU's number from ``"1"``, or its EXTNAME.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a number or an EXTNAME, got {show(value)}")
    return int(value) if re.fullmatch(r"\s*[+-]?\d+\s*", value) else value.strip()


def parse_clustering(name: str, value: Any) -> Any:
    """Return True for ``"yes"`` and ``"true"``, None for ``"no"``, ``"false"``, ``"none"`` and False."""
    words = value.strip().lower() if isinstance(value, str) else value
    if words is False or (isinstance(words, str) and words in ("no", "false", "none")):
        return None
    return True if isinstance(words, str) and words in ("yes", "true") else value


def parse_clip(name: str, value: Any) -> Any:
    """Return the threshold in words, None for ``"none"``."""
    return parse_number(name, parse_none(name, value))
