"""Given catalogues as populations: T-RECS, the SKA data challenge, source finders, surveys, or any table by a map."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from skygal.checks import as_quantity, as_seed, check_choice, nearest_names, show, warn_caller
from skygal.io.text_tables import read_text_table
from skygal.population.catalogue_formats import FORMATS, QUANTITIES, SDC1_COLUMNS, CatalogueFormat, find_format
from skygal.population.catalogue_rows import EITHER, LEAST_RATIO, Columns, check_rows, plain_rows, sdc1_rows
from skygal.population.classes import frii_fraction
from skygal.population.columns import MOST_SHOWN, POSITION_NAMES, as_column
from skygal.population.counts import COUNTS_SPECTRAL_INDEX
from skygal.population.faint import FLAT_INDEX
from skygal.population.lookalikes import holds_flux, nearest_missing
from skygal.population.sky import DISC_FWHM, HALF_LIGHT, LINE_FWHM
from skygal.population.spectra import SPECTRAL_INDEX
from skygal.population.tables import as_table
from skygal.population.trecs import flux_columns, trecs_rows
from skygal.rendering.analytic.sources import KINDS
from skygal.seeds import Seeds

__all__ = ["list_catalogues", "read_catalogue"]

#: name of the format of tables in skygal's own names
OWN = "skygal"
#: the median size of what is fitted in an image, without a unit: below it is in degrees, above in arcsec
DEGREES_BELOW = 0.1
_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[h:d\s]\s*(\d{1,2})[m:'\s]\s*(\d{1,2}(?:\.\d*)?)[s\"]?")
_UNITS = {"ra": u.deg, "dec": u.deg, "flux": u.Jy, "las": u.arcsec, "b_maj": u.arcsec, "b_min": u.arcsec, "pa": u.deg}
_COLUMNS = ("source_id", "ra", "dec", "flux", "population", "las", "kind", "b_maj", "b_min", "pa", "core_frac",
            "spectral_index", "curvature", "redshift")


def list_catalogues() -> list[str]:
    """Return the names of the formats that `read_catalogue` knows.

    Examples
    --------
    >>> from skygal.population import list_catalogues
    >>> print(list_catalogues()[:2])
    ['T-RECS', 'SDC1']
    """
    return [*(one.name for one in FORMATS), OWN]


def read_catalogue(table: Any, *, format: str | None = None, columns: Mapping[str, Any] | None = None,
                   frequency: u.Quantity | None = None, beam: Any = None, seed: int = 0) -> QTable:
    """Read a catalogue of sources as a population.

    Parameters
    ----------
    table : `~astropy.table.Table` or path
        Or a FITS, ECSV, CSV or VOTable file, or one of text as PyBDSF and Aegean write them, or of the SKA data challenge.
    format : str, optional
        One of `list_catalogues`. By default found from the columns' names, and told in a warning.
    columns : mapping, optional
        The column that holds a quantity, ``{"flux": "S_int"}``, or with the unit that is meant where the table gives
        none, ``{"flux": ("S_int", "mJy")}``. Quantities are ra, dec, flux, population, kind, las, b_maj, b_min, pa,
        core_frac, spectral_index, curvature, redshift; fitted_maj, fitted_min and fitted_pa, which have the beam
        in them, and psf_maj, psf_min and psf_pa, the beam. Without a format other quantities are read under these names.
    frequency : `~astropy.units.Quantity`, optional
        For which fluxes are wanted. By default as they are in the catalogue; of those of T-RECS that have several, it
        must be given. Where that of a catalogue is not known, it is taken to be this one.
    beam : Quantity or `~radio_beam.Beam`, optional
        That is taken from fitted sizes, where the catalogue has neither sizes without it nor the beam itself.
    seed : int
        For what no catalogue says: angles, and FRI or FRII. What a source gets does not depend on the others, nor on
        the order of rows.

    Returns
    -------
    `~astropy.table.QTable`
        With the columns of `Sky.sample` but for luminosity and linear_size: `split_by_beam` makes ``table`` and ``faint``
        of it. ``source_id`` is the number of the row, from 1; ``population`` is SFG, RQ-AGN, FR0, FRI or FRII, or empty
        where it is not known; ``redshift`` is NaN where it is not. ``meta`` has the format as CATALOG, and as FREQ the
        frequency in Hz, where it is known.

    Raises
    ------
    FileNotFoundError, TypeError
        If there is no such file, or it is no table.
    ValueError
        If it has no fluxes or positions, a wrong unit, sizes that cannot be in the unit that is meant, or rows that are
        not allowed; the message counts them.

    Warns
    -----
    UserWarning
        Which format was found, with columns and units; which columns are not used, if they are none of those that
        the format is known to have; how many rows are left out, which are no radio sources.

    Notes
    -----
    What each row becomes is on :doc:`the page of catalogues </catalogues>`.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astropy.table import Table
    >>> from skygal.population import read_catalogue, split_by_beam
    >>> found = Table({"alpha": [10.0, 10.1], "delta": [-30.0, -30.1], "S": [3.0, 40.0], "extent": [0.0, 25.0]})
    >>> sources = read_catalogue(found, columns={"ra": "alpha", "dec": "delta", "flux": ("S", "mJy"), "las": "extent"})
    Traceback (most recent call last):
    ...
    ValueError: catalogue must have las positive, or NaN where it is unknown, got 1 bad row of 2 (counted from 0: 0)
    >>> found["extent"][0] = float("nan")
    >>> sources = read_catalogue(found, columns={"ra": "alpha", "dec": "delta", "flux": ("S", "mJy"), "las": "extent"})
    >>> print(list(sources["kind"]), len(split_by_beam(sources, 6 * u.arcsec).galaxies))
    ['point', 'gaussian'] 1
    """
    hertz = None if frequency is None else as_quantity("frequency", frequency, u.Hz)
    seeds = Seeds(as_seed("seed", seed))
    reading = _Reading(_as_table(table), format, columns)
    n = len(reading.data)
    rows, problems, own = np.arange(n), [], reading.frequency
    left_out = ""
    if reading.rows == "trecs":
        values, rows, problems = trecs_rows(reading.numbers, reading.data.colnames, hertz)
        names = flux_columns(reading.data.colnames)
        own = hertz if hertz is not None else next(iter(names)) * 1e6
        left_out = "have no continuum source"
    else:
        chosen = reading.read()
        if reading.rows == "sdc1":
            raw = {name: reading.need(name) for name in ("size", "class", "b_maj", "b_min", "pa")}
            values, problems = sdc1_rows({**chosen, **raw})
        else:
            values = plain_rows(chosen, n, sources=reading.rows == "sources", beam=_beam(beam))
        if reading.format is not None and reading.format.keep is not None:
            name, keep = reading.format.keep
            rows = np.flatnonzero(keep(reading.need(name)))
            values = {name: column[rows] for name, column in values.items()}
            left_out = f"are duplicates by {name}"
    values = _with_unknown(values, len(rows))
    problems += check_rows(values, KINDS)
    if problems:
        raise ValueError(f"catalogue must have {'; '.join(problems)}")
    reading.tell(f"{n - len(rows)} of {n} rows {left_out} and are left out" if len(rows) < n else "")
    out = _finish(values, own, hertz, seeds)
    out["source_id"] = rows + 1
    known = own if hertz is None else hertz
    meta = {"CATALOG": reading.name, **({} if known is None else {"FREQ": float(known)})}
    return QTable({name: out[name] << _UNITS[name] if name in _UNITS else out[name] for name in _COLUMNS}, meta=meta,
                  copy=False)


def _as_table(table: Any) -> Table:
    """Return the table in a file, whatever text it is; units that FITS does not know draw no warning."""
    if isinstance(table, (str, Path)) and Path(table).is_file():
        found = read_text_table(table, "catalogue", bare=(SDC1_COLUMNS[:12], SDC1_COLUMNS))
        if found is not None:
            return found
    with warnings.catch_warnings():
        # T-RECS writes degs and none, as others do
        warnings.simplefilter("ignore", u.UnitsWarning)
        return as_table(table, "catalogue")


def _beam(beam: Any) -> tuple[float, float, float] | None:
    if beam is None:
        return None
    if all(hasattr(beam, name) for name in ("major", "minor", "pa")):
        return beam.major.to_value(u.arcsec), beam.minor.to_value(u.arcsec), beam.pa.to_value(u.deg)
    fwhm = as_quantity("beam", beam, u.arcsec)
    return fwhm, fwhm, 0.0


class _Reading:
    """Which column of a table is which quantity, and which of them have been read."""

    def __init__(self, data: Table, format: str | None, columns: Mapping[str, Any] | None) -> None:
        self.data = data
        self.own: dict[str, list[str]] = {}
        for name in data.colnames:
            self.own.setdefault(str(name).strip().lower(), []).append(name)
        self.used: dict[str, str] = {}
        given = {} if columns is None else dict(columns)
        for name in given:
            check_choice("columns (quantity)", name, list(QUANTITIES))
        if format is not None and str(format).lower() != OWN:
            check_choice("format", format, list_catalogues())
        self.found = format is None and not given
        by_name = None if format == OWN or (format is None and given) else find_format(self.own, format)
        self.format: CatalogueFormat | None = by_name
        self.name = OWN if by_name is None else by_name.name
        self.rows = "gaussians" if by_name is None else by_name.rows
        self.frequency = None if by_name is None else by_name.frequency
        if self.frequency is None and "FREQ0" in data.meta:
            # PyBDSF's
            self.frequency = as_quantity("catalogue (FREQ0)", data.meta["FREQ0"] * u.Hz, u.Hz)
        self.columns = self._own_names() if by_name is None else {
            name: column for name, column in by_name.columns.items() if column[0] in self.own}
        for name, value in given.items():
            self.columns[name] = self._given(name, value)

    def _own_names(self) -> dict[str, tuple[str, Any]]:
        chosen = {name: (name, unit) for name, unit in QUANTITIES.items() if name in self.own}
        for a, b in POSITION_NAMES:
            if a in self.own and b in self.own:
                return {**chosen, "ra": (a, u.deg), "dec": (b, u.deg)}
        return chosen

    def _given(self, name: str, value: Any) -> tuple[str, Any]:
        column, unit = (value, QUANTITIES[name]) if isinstance(value, str) else (
            value if isinstance(value, Sequence) and len(value) == 2 else (value, None))
        if not isinstance(column, str):
            raise TypeError(f"columns[{name!r}] must be a column's name, or its name and unit, got {show(value)}")
        key = column.strip().lower()
        if key not in self.own:
            raise ValueError(f"columns[{name!r}] must be a column of the catalogue, got {show(column)}"
                             f"{nearest_names(column, self.data.colnames)}")
        wanted = QUANTITIES[name]
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

    def read(self) -> Columns:
        """Return the quantities.

        Raises
        ------
        ValueError
            If positions or fluxes are missing, or a unit is wrong or cannot be the one that is meant.
        """
        for name in ("flux", "ra", "dec"):
            if name not in self.columns:
                self._refuse_lacking(name)
        out = {}
        for name, (key, unit) in self.columns.items():
            column, own = self._column(key), self.own[key][0]
            self.used[key] = name
            wanted = QUANTITIES[name]
            if name in ("ra", "dec") and getattr(column, "dtype", np.dtype(float)).kind in "USO":
                out[name] = _sexagesimal(as_column(column, own, None), own, hours=name == "ra")
                continue
            values = as_column(column, own, wanted)
            if wanted is not None and getattr(column, "unit", None) is None:
                self._check_size(name, own, values, unit)
                values = values * unit.to(wanted)
            out[name] = values
        return out

    def _refuse_lacking(self, name: str) -> None:
        like = [own for own in self.data.colnames if name == "flux" and holds_flux(own, self.data[own])]
        what = "integrated fluxes" if name == "flux" else f"positions, {name} (ICRS),"
        got = ", ".join(map(repr, like or self.data.colnames[:MOST_SHOWN])) or "no columns"
        raise ValueError(f"catalogue must have {what} in a column {name}, one that columns={{{name!r}: NAME}} names, or "
                         f"those of one of {', '.join(list_catalogues()[:-1])}, got {got}")

    def _check_size(self, name: str, own: str, values: np.ndarray, unit: Any) -> None:
        """Refuse the sizes of images that cannot be in the unit which is meant for want of another."""
        if self.format is None or name != ("fitted_maj" if "fitted_maj" in self.columns else "b_maj"):
            return
        some = values[values > 0]
        middle = float(np.median(some)) if some.size else np.nan
        if (unit == u.deg and middle >= DEGREES_BELOW) or (unit == u.arcsec and middle < DEGREES_BELOW):
            raise ValueError(f"catalogue must have {own} in {unit}, as {self.name} has it, got a median of {middle:.3g} "
                             "without a unit: give the column its unit, or another format")

    def tell(self, more: str) -> None:
        """Warn of the format that was found, of columns that are not used, and of what is said ``more``."""
        parts = [more] if more else []
        if self.found and self.format is not None:
            units = {key: unit for key, unit in self.columns.values()}
            read = (f"{name} = {self.own[key][0]}" + (f" ({self._unit(key, units[key])})" if units[key] else "")
                    for name, (key, _) in self.columns.items())
            parts.insert(0, f"catalogue is read as {self.name}: {', '.join(read)}")
        rest = [name for key, own in self.own.items() for name in own
                if key not in self.used and not (self.format is not None and self.format.passes(key))]
        if rest:
            missing = [name for name in QUANTITIES if name not in self.columns]
            shown = ", ".join(f"{name!r}{nearest_missing(name, missing)}" for name in rest[:MOST_SHOWN])
            parts.append(f"catalogue has columns that are not used: {shown}"
                         + (f" and {len(rest) - MOST_SHOWN} more" if len(rest) > MOST_SHOWN else ""))
        if parts:
            warn_caller("; ".join(parts))

    def _unit(self, key: str, meant: Any) -> Any:
        unit = getattr(self._column(key), "unit", None)
        return meant if unit is None or self.rows == "trecs" else unit


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


def _with_unknown(values: Columns, n: int) -> Columns:
    """Return the columns and those that are missing, unknown."""
    empty = {"las": np.nan, "pa": np.nan, "core_frac": 0.0, "spectral_index": np.nan, "curvature": 0.0,
             "redshift": np.nan}
    return {**{name: np.full(n, value) for name, value in empty.items()}, **values}


def _finish(values: Columns, own: float | None, wanted: float | None, seeds: Seeds) -> Columns:
    """Return sources of which everything is known but redshifts and, of some, the population."""
    out = dict(values)
    place = out["ra"], out["dec"], out["flux"]
    chance = {name: seeds.uniforms_of(f"catalogue: {name}", *place) for name in ("pa", "class")}
    out["ra"] = out["ra"] % 360
    out["curvature"] = np.nan_to_num(out["curvature"])
    flat = np.where(out["population"] == "FR0", FLAT_INDEX, SPECTRAL_INDEX)
    out["spectral_index"] = np.where(np.isnan(out["spectral_index"]), flat, out["spectral_index"])
    if own is not None and wanted is not None and own != wanted:
        step = np.log(wanted / own)
        out["flux"] = out["flux"] * np.exp(step * (out["spectral_index"] + out["curvature"] * step))
        out["spectral_index"] = out["spectral_index"] + 2 * out["curvature"] * step
    either = out["population"] == EITHER
    known = own if wanted is None else wanted
    at_1400 = out["flux"] * (1 if known is None else 1.4e9 / known)**COUNTS_SPECTRAL_INDEX
    if either.any():
        two = chance["class"][either] < frii_fraction(at_1400[either] * u.Jy, out["redshift"][either])
        out["population"] = out["population"].astype("U6")
        out["population"][either] = np.where(two, "FRII", "FRI")
    point = (out["kind"] == "point") | (out["b_maj"] == 0)
    out["kind"] = np.where(point, "point", out["kind"])
    out["b_maj"] = np.where(point, 0.0, out["b_maj"])
    out["b_min"] = np.where(point, 0.0, np.maximum(out["b_min"], LEAST_RATIO * out["b_maj"]))
    length = np.where(out["kind"] == "exponential", DISC_FWHM * HALF_LIGHT, 1 / LINE_FWHM) * out["b_maj"]
    out["las"] = np.where(np.isnan(out["las"]), length, out["las"])
    out["pa"] = np.where(np.isnan(out["pa"]), 180 * chance["pa"], out["pa"]) % 180
    return out
