"""Which column of a catalogue is which quantity, in which unit: by its format, by a map, or by our own names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table

from skygal.checks import as_quantity, check_choice, nearest_names, show, warn_caller
from skygal.population.catalogue_formats import DETECTED, FORMATS, QUANTITIES, CatalogueFormat, find_format
from skygal.population.columns import MOST_SHOWN, POSITION_NAMES, as_column
from skygal.population.lookalikes import holds_flux, holds_position, nearest_missing

__all__ = ["OWN", "Reading"]

#: name of the format of tables in skygal's own names
OWN = "skygal"
#: the median size of what is fitted in an image, without a unit: below it is in degrees, above in arcsec
DEGREES_BELOW = 0.1
_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[h:d\s]\s*(\d{1,2})[m:'\s]\s*(\d{1,2}(?:\.\d*)?)[s\"]?")


class Reading:
    """Which column of a table is which quantity, and which of them have been read."""

    def __init__(self, data: Table, format: str | None, columns: Mapping[str, Any] | None,
                 formats: Sequence[CatalogueFormat] = FORMATS, detected: bool = False) -> None:
        self.data = data
        self.formats = formats
        #: quantities and their units; those of rows of a finder too where they are wanted
        self.quantities = {**QUANTITIES, **DETECTED} if detected else QUANTITIES
        self.detected = detected
        self.own: dict[str, list[str]] = {}
        for name in data.colnames:
            self.own.setdefault(str(name).strip().lower(), []).append(name)
        self.used: dict[str, str] = {}
        #: what messages call a quantity that is not in one column
        self.shown: dict[str, str] = {}
        given = {} if columns is None else dict(columns)
        problems: list[str] = []
        for name in given:
            _gather(problems, check_choice, "columns (quantity)", name, list(self.quantities))
        if format is not None:
            check_choice("format", format, [*(one.name for one in formats), OWN])
        self.found = format is None and not given
        own_names = format == OWN or (format is None and given)
        by_name = None if own_names else find_format(self.own, format, formats)
        self.format: CatalogueFormat | None = by_name
        self.name = OWN if by_name is None else by_name.name
        self.rows = "gaussians" if by_name is None else by_name.rows
        self.frequency = None if by_name is None else by_name.frequency
        for key in ("FREQ", "FREQ0"):
            # our own, and PyBDSF's
            if self.frequency is None and key in data.meta:
                self.frequency = as_quantity(f"catalogue ({key})", data.meta[key] * u.Hz, u.Hz)
        self.columns = self._own_names() if by_name is None else self._known(by_name)
        for name, value in given.items():
            if name in self.quantities:
                self.columns[name] = _gather(problems, self._given, name, value)
        if problems:
            raise ValueError("; ".join(problems))

    def _known(self, format: CatalogueFormat) -> dict[str, tuple[str, Any]]:
        """Return those of a format's columns that are there."""
        return {name: column for name, column in format.columns.items() if column[0] in self.own}

    def _own_names(self) -> dict[str, tuple[str, Any]]:
        chosen = {name: (name, unit) for name, unit in self.quantities.items() if name in self.own}
        for a, b in POSITION_NAMES:
            if a in self.own and b in self.own:
                return {**chosen, "ra": (a, u.deg), "dec": (b, u.deg)}
        return chosen

    def _given(self, name: str, value: Any) -> tuple[str, Any]:
        column, unit = (value, self.quantities[name]) if isinstance(value, str) else (
            value if isinstance(value, Sequence) and len(value) == 2 else (value, None))
        if not isinstance(column, str):
            raise TypeError(f"columns[{name!r}] must be a column's name, or its name and unit, got {show(value)}")
        key = column.strip().lower()
        if key not in self.own:
            raise ValueError(f"columns[{name!r}] must be a column of the catalogue, got {show(column)}"
                             f"{nearest_names(column, self.data.colnames)}")
        wanted = self.quantities[name]
        try:
            unit = None if wanted is None else u.Unit(unit)
            if unit is not None:
                unit.to(wanted)
        except (TypeError, ValueError):
            raise ValueError(f"columns[{name!r}] must be in units convertible to {wanted}, got {show(unit)}") from None
        return key, unit

    def _column(self, key: str) -> Any:
        own = self.own[key]
        if len(own) > 1:
            raise ValueError(f"catalogue must have one column {key}, in upper or lower case, got "
                             f"{', '.join(map(repr, own))}")
        return self.data[own[0]]

    def numbers(self, key: str) -> np.ndarray | None:
        """Return the numbers of a column, whatever its unit is said to be; None if it is not there."""
        if key not in self.own:
            return None
        column = self._column(key)
        self.used.setdefault(key, key)
        plain = np.ma.MaskedArray(np.asarray(getattr(column, "value", column)), getattr(column, "mask", False))
        return as_column(plain, self.own[key][0], u.one)

    def need(self, key: str) -> np.ndarray:
        """Return the numbers of a column that is there, see `numbers`."""
        values = self.numbers(key)
        if values is None:
            raise ValueError(f"catalogue must have the column {key} of {self.name}, got none")
        return values

    def read(self, needed: Sequence[str] = ("flux", "ra", "dec")) -> dict[str, np.ndarray]:
        """Return the quantities, among them those that are needed.

        Raises
        ------
        ValueError
            If positions or fluxes are missing, or a unit is wrong or cannot be the one that is meant; all that is
            wrong is named.
        """
        problems: list[str] = []
        lacking = [name for name in needed if name not in self.columns]
        if lacking:
            problems.append(self._lacking(lacking))
        out = {name: _gather(problems, self.quantity, name) for name in list(self.columns)}
        if problems:
            raise ValueError("; ".join(problems))
        return out

    def quantity(self, name: str) -> np.ndarray:
        """Return the quantity of a name in its unit; raises ValueError if the column's is another."""
        key, unit = self.columns[name]
        column, own = self._column(key), self.own[key][0]
        self.used[key] = name
        wanted = self.quantities[name]
        if name in ("ra", "dec") and getattr(column, "dtype", np.dtype(float)).kind in "USO":
            return _sexagesimal(as_column(column, own, None), own, hours=name == "ra")
        values = as_column(column, own, wanted)
        if unit is not None and getattr(column, "unit", None) is None:
            self._check_size(name, own, values, unit)
            values = values * unit.to(wanted)
        return values

    def _lacking(self, names: Sequence[str]) -> str:
        """Return a message that names what is lacking, and the columns that may hold it."""
        like = [own for own in self.data.colnames if "flux" in names and holds_flux(own, self.data[own])]
        if "ra" in names or "dec" in names:
            like += [own for own in self.data.colnames if own not in like and holds_position(own, self.data[own])]
        what = " and ".join(f"integrated fluxes in a column {name}" if name == "flux"
                            else f"positions, {name} (ICRS), in a column {name}" for name in names)
        got = ", ".join(map(repr, like[:MOST_SHOWN] or self.data.colnames[:MOST_SHOWN])) or "no columns"
        return (f"catalogue must have {what}, one that columns={{{names[0]!r}: NAME}} names, "
                f"or those of one of {', '.join(one.name for one in self.formats)}, got {got}")

    def _check_size(self, name: str, own: str, values: np.ndarray, unit: Any) -> None:
        """Refuse the sizes of images that cannot be in the unit which is meant for want of another."""
        # of sizes without the beam some are that small
        fitted = "fitted_maj" if "fitted_maj" in self.columns else "b_maj"
        if (self.format is None and not self.detected) or name != fitted or (fitted == "b_maj" and unit == u.arcsec):
            return
        some = values[values > 0]
        middle = float(np.median(some)) if some.size else np.nan
        if (unit == u.deg and middle >= DEGREES_BELOW) or (unit == u.arcsec and middle < DEGREES_BELOW):
            raise ValueError(f"catalogue must have {own} in {unit}, as {self.name} has it, got a median of "
                             f"{middle:.3g} without a unit: give the column its unit, another format, or columns="
                             f"{{{name!r}: ({own!r}, {'arcsec' if unit == u.deg else 'deg'!r})}}")

    def told(self) -> dict[str, str]:
        """Return of each quantity which column it is, and in which unit."""
        return {name: self._told(name, *column).partition(" = ")[2] for name, column in self.columns.items()}

    def tell(self, more: str) -> None:
        """Warn of the format that was found, of columns that are not used, and of what is said ``more``."""
        parts = [more] if more else []
        if self.found and self.format is not None:
            read = (self._told(name, *column) for name, column in self.columns.items()
                    if "b_maj" not in self.columns or not name.startswith("fitted_"))
            parts.insert(0, f"catalogue is read as {self.name}: {', '.join(read)}")
        rest = [name for key, own in self.own.items() for name in own if key not in self.used
                and not (key == "source_id" if self.format is None else self.format.passes(key))]
        if rest:
            missing = [name for name in self.quantities if name not in self.columns]
            shown = ", ".join(f"{name!r}{nearest_missing(name, missing)}" for name in rest[:MOST_SHOWN])
            parts.append(f"catalogue has columns that are not used: {shown}"
                         + (f" and {len(rest) - MOST_SHOWN} more" if len(rest) > MOST_SHOWN else ""))
        if parts:
            warn_caller("; ".join(parts))

    def _told(self, name: str, key: str, meant: Any) -> str:
        unit = getattr(self._column(key), "unit", None)
        unit = meant if unit is None or self.rows == "trecs" else unit
        shown = self.shown.get(name, self.own[key][0])
        return f"{name} = {shown}" + ("" if unit is None or unit == u.one else f" ({unit})")


def _gather(problems: list[str], check: Callable, *values: Any) -> Any:
    """Return what a function does, or None where it raises ValueError, the message of which is gathered."""
    try:
        return check(*values)
    except ValueError as error:
        problems.append(str(error))
        return None


def _sexagesimal(words: np.ndarray, name: str, *, hours: bool) -> np.ndarray:
    """Return degrees of hours, or degrees, minutes and seconds; those that are empty are NaN."""
    def degrees(word: str) -> float:
        match = _SEXAGESIMAL.fullmatch(word)
        if match is None:
            if word:
                raise ValueError(f"table column {name} must be degrees or such as "
                                 f"{'12:34:56.7' if hours else '-12:34:56.7'}, got {show(word)}")
            return np.nan
        sign, whole, minutes, seconds = match.groups()
        value = int(whole) + int(minutes) / 60 + float(seconds) / 3600
        return (-value if sign == "-" else value) * (15 if hours else 1)

    return np.array([degrees(word) for word in words.tolist()], float)
