"""Columns of a user's table of sources: which are used, in which units, and which must not be overlooked.

A column is used if its name is a known one; upper and lower case are the same, and blanks around it do not count. Sky
positions may also have the names of `POSITION_NAMES`, or be one column of `~astropy.coordinates.SkyCoord`. A column
that is not used but holds what would otherwise be drawn at random is refused, all others are named in a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import BaseCoordinateFrame, SkyCoord
from astropy.table import Table

from skygal.checks import show, warn_caller
from skygal.population.lookalikes import bare_name, holds_flux, holds_position, nearest_missing

__all__ = ["LARGEST_ID", "POSITION_NAMES", "as_column", "bad_ids", "describe_bad", "read_columns"]

#: the segmentation holds 32-bit integers
LARGEST_ID = 2**31 - 1
#: names of right ascension and declination, the first found counts; J2000 and ICRS differ by 0.03" at most
POSITION_NAMES = (("ra", "dec"), ("raj2000", "dej2000"), ("raj2000", "decj2000"), ("ra_j2000", "dec_j2000"),
          ("ra_icrs", "de_icrs"), ("ra_icrs", "dec_icrs"))
#: rows and columns that a message shows
MOST_SHOWN = 10
_PLACE = ("ra", "dec", "x", "y")


def read_columns(table: Table, units: Mapping[str, Any], *, what: str) -> dict[str, np.ndarray]:
    """Return the columns of a table that are known, as plain numbers in known units.

    Parameters
    ----------
    table : `~astropy.table.Table`
    units : mapping of str to unit
        The known columns, each with the unit that is meant where the table gives none; None for words.
    what : str
        What the table is called in messages.

    Returns
    -------
    dict of str to ndarray
        In the order of ``units``. Places are ra and dec, or else x and y.

    Raises
    ------
    ValueError
        If a known name is there twice, one of a pair is missing, a column has a wrong unit or no numbers, or a column
        under another name holds positions or fluxes that are missing, or is a missing one but for a unit in its name.

    Warns
    -----
    UserWarning
        If columns are not used; each is named, with the nearest known name that is missing.
    """
    names = _by_name(table, units, what)
    place = _find_place(table, names, what)
    chosen = {name: names[name] for name in units if name in names and name not in _PLACE} | place
    rest = [name for name in table.colnames if name not in chosen.values()]
    missing = [name for name in units if name not in chosen and not (place and name in _PLACE)]
    _refuse_overlooked(table, [name for name in rest if str(name).strip().lower() not in units], missing, what)
    for pair in (("ra", "dec"), ("x", "y")):
        lacking = [name for name in pair if name not in names]
        if len(lacking) == 1:
            raise ValueError(f"{what} must have both {pair[0]} and {pair[1]} or neither, got no {lacking[0]}")
    columns: dict[str, np.ndarray] = {}
    if "ra" in place and place["ra"] == place["dec"]:
        columns["ra"], columns["dec"] = _from_coordinates(table, place["ra"])
    for name in chosen:
        if name not in columns:
            columns[name] = as_column(table[chosen[name]], name, units[name])
    if columns and rest:
        _warn_unused(rest, missing, what)
    return {name: columns[name] for name in units if name in columns}


def _by_name(table: Table, units: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return the table's own names by what they are in lower case."""
    named: dict[str, list[str]] = {}
    for name in table.colnames:
        named.setdefault(str(name).strip().lower(), []).append(name)
    for name, own in named.items():
        if len(own) > 1 and (name in units or any(name in pair for pair in POSITION_NAMES)):
            raise ValueError(f"{what} must have one column {name}, in upper or lower case, got {_listed(own)}")
    return {name: own[0] for name, own in named.items()}


def _find_place(table: Table, names: Mapping[str, str], what: str) -> dict[str, str]:
    """Return the columns that say where sources are; those of ra and dec are one where it holds coordinates."""
    for a, b in POSITION_NAMES:
        if a in names and b in names:
            return {"ra": names[a], "dec": names[b]}
    objects = [name for name in table.colnames if isinstance(table[name], (SkyCoord, BaseCoordinateFrame))]
    if len(objects) > 1:
        raise ValueError(f"{what} must have one column of coordinates, or ra and dec, got {_listed(objects)}")
    if objects:
        return {"ra": objects[0], "dec": objects[0]}
    return {"x": names["x"], "y": names["y"]} if "x" in names and "y" in names else {}


def _from_coordinates(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ra and dec (ICRS, degrees) of a column of coordinates."""
    column = table[name]
    if column.shape != (len(table),):
        raise ValueError(f"table column {name} must have one value a row, got shape {column.shape[1:]} a row")
    try:
        sky = SkyCoord(column).icrs
    except Exception as error:  # transformations raise whatever the frame does
        raise ValueError(f"table column {name} must be coordinates that can be taken to ICRS, got "
                         f"{str(error).splitlines()[0]}") from None
    angles = []
    for angle in (sky.ra, sky.dec):
        values = np.array(getattr(angle, "unmasked", angle).to_value(u.deg), float)
        values[np.broadcast_to(getattr(angle, "mask", False), values.shape)] = np.nan
        angles.append(values)
    return angles[0], angles[1]


def _refuse_overlooked(table: Table, rest: Sequence[str], missing: Collection[str], what: str) -> None:
    """Raise where a column holds what the table would be taken to lack."""
    found = [name for name in rest if holds_position(name, table[name], rest)] if "ra" in missing else []
    if found:
        raise ValueError(f"{what} must have positions in the columns ra and dec (ICRS) or RAJ2000 and DEJ2000, x and y "
                         f"(0-based pixels), or one SkyCoord, got {_listed(found)}: convert and rename them, or take "
                         "them out")
    found = [name for name in rest if holds_flux(name, table[name])] if "flux" in missing else []
    if found:
        raise ValueError(f"{what} must have integrated fluxes in the column flux, got {_listed(found)}: rename the one "
                         "that is meant, or take it out")
    meant = {bare_name(name): name for name in missing}
    for name in rest:
        if bare_name(name) in meant:
            raise ValueError(f"{what} must have {meant[bare_name(name)]} under this name, its unit being the column's, "
                             f"got {show(name)}: rename it, or take it out")


def _warn_unused(rest: Sequence[str], missing: Sequence[str], what: str) -> None:
    shown = ", ".join(f"{name!r}{nearest_missing(name, missing)}" for name in rest[:MOST_SHOWN])
    more = f" and {len(rest) - MOST_SHOWN} more" if len(rest) > MOST_SHOWN else ""
    warn_caller(f"{what} has columns that are not used: {shown}{more}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:MOST_SHOWN])) + (" and others" if len(names) > MOST_SHOWN else "")


def as_column(column: Any, name: str, unit: Any) -> np.ndarray:
    """Return a column in a unit, or as words for None; masked numbers become NaN, masked words empty.

    Raises
    ------
    ValueError
        If it has not one value a row, a wrong unit, or values that are not real numbers; text is none, even of digits.
    """
    if getattr(column, "ndim", 1) != 1:
        raise ValueError(f"table column {name} must have one value a row, got shape {column.shape[1:]} a row")
    mask = np.broadcast_to(getattr(column, "mask", False), (len(column),))
    if unit is None:
        words = _as_words(np.asarray(column))
        return np.where(mask, "", words) if mask.any() else words
    given = getattr(column, "unit", None)
    plain = getattr(column, "value", column)
    values = _as_numbers(np.asarray(np.ma.getdata(getattr(plain, "unmasked", plain))), mask, name)
    if given is None or (given == u.pix and name in ("x", "y")):
        return values
    try:
        return np.asarray(u.Unit(given).to(unit, values), float)
    except (TypeError, ValueError):
        wanted = "have no unit" if unit == u.one else f"be in units convertible to {unit}"
        raise ValueError(f"table column {name} must {wanted}, got {given}") from None


def _as_words(data: np.ndarray) -> np.ndarray:
    """Return texts without the blanks around them; bytes are ASCII."""
    if data.dtype.kind in "Uiu":
        return np.strings.strip(data.astype(str))
    strings = [word.decode("ascii", "replace") if isinstance(word, bytes) else str(word) for word in data.tolist()]
    return np.array([word.strip() for word in strings], dtype=str)


def _as_numbers(data: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    """Return real numbers as float64, with NaN for masked ones."""
    # a column without a single value may be of any type, as those that are read from text are
    if mask.all():
        return np.full(data.shape, np.nan)
    if data.dtype.kind == "O":
        values = [None if hidden else value for value, hidden in zip(data.tolist(), mask.tolist(), strict=True)]
        for value in values:
            if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
                raise ValueError(f"table column {name} must be numbers, got {show(value)}")
        return np.array([np.nan if value is None else value for value in values], float)
    if data.dtype.kind not in "iuf":
        raise ValueError(f"table column {name} must be numbers, got {data.dtype}")
    return np.where(mask, np.nan, data.astype(float))


def bad_ids(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return what ``source_id`` must be, and which rows are not."""
    with np.errstate(invalid="ignore"):
        whole = (values > 0) & (values % 1 == 0) & (values <= LARGEST_ID)
    _, place, number = np.unique(values, return_inverse=True, return_counts=True)
    return [("whole, positive source_id below 2^31", ~whole),
            ("source_id without duplicates", whole & (number[place] > 1))]


def describe_bad(rule: str, bad: np.ndarray) -> str:
    """Return what a table must have, and which rows do not."""
    rows = np.flatnonzero(bad)
    shown = ", ".join(map(str, rows[:MOST_SHOWN])) + (", ..." if rows.size > MOST_SHOWN else "")
    return f"{rule}, got {rows.size} bad {'row' if rows.size == 1 else 'rows'} of {bad.size} (counted from 0: {shown})"
