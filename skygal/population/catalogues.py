"""Given catalogues as populations: T-RECS, the SKA data challenge, source finders, surveys, or any table by a map."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from skygal.checks import as_quantity, as_seed
from skygal.io.text_tables import read_text_table
from skygal.population.catalogue_columns import OWN, Reading
from skygal.population.catalogue_formats import FORMATS, SDC1_COLUMNS
from skygal.population.catalogue_rows import EITHER, LEAST_RATIO, Columns, check_rows, plain_rows, sdc1_rows
from skygal.population.classes import frii_fraction
from skygal.population.counts import COUNTS_SPECTRAL_INDEX
from skygal.population.faint import FLAT_INDEX
from skygal.population.sky import DISC_FWHM, HALF_LIGHT, LINE_FWHM
from skygal.population.spectra import SPECTRAL_INDEX
from skygal.population.tables import as_table
from skygal.population.trecs import nearest_fluxes, trecs_rows
from skygal.rendering.analytic.sources import KINDS
from skygal.seeds import Seeds

__all__ = ["is_catalogue", "list_catalogues", "read_catalogue"]

_UNITS = {"ra": u.deg, "dec": u.deg, "flux": u.Jy, "las": u.arcsec, "b_maj": u.arcsec, "b_min": u.arcsec, "pa": u.deg}
_COLUMNS = ("source_id", "ra", "dec", "flux", "population", "las", "kind", "b_maj", "b_min", "pa", "core_frac",
            "spectral_index", "curvature", "redshift")


def is_catalogue(sky: Any) -> bool:
    """Return whether a sky is a catalogue: a table, or the path of a file that is no YAML."""
    if isinstance(sky, (str, Path)):
        return Path(sky).suffix.lower() not in ("", ".yaml", ".yml")
    return isinstance(sky, Table)


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
        Or a FITS, ECSV, CSV or VOTable file, or one of text as PyBDSF and Aegean write them, or of the first SKA
        Science Data Challenge.
    format : str, optional
        One of `list_catalogues`. By default found from the columns' names, and told in a warning.
    columns : mapping, optional
        The column that holds a quantity, ``{"flux": "S_int"}``, or with the unit that is meant where the table gives
        none, ``{"flux": ("S_int", "mJy")}``. Quantities are ra, dec, flux, population, kind, las, b_maj, b_min, pa,
        core_frac, spectral_index, curvature, redshift; fitted_maj, fitted_min and fitted_pa, which have the beam
        in them, and psf_maj, psf_min and psf_pa, the beam. Where columns are given without a format, those that they do
        not name are read under these names.
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
        With the columns of `Sky.sample` but for luminosity and linear_size: `split_by_beam` makes ``table`` and
        ``faint`` of it. ``source_id`` is the row, counted from 1; ``population`` is SFG, RQ-AGN, FR0, FRI or FRII,
        or empty where it is not known; ``redshift`` is NaN where it is not. ``meta`` has the format as CATALOG, and as
        FREQ the frequency in Hz, where it is known.

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
    >>> print(*sources["kind"], len(split_by_beam(sources, 6 * u.arcsec).galaxies))
    point gaussian 1
    """
    hertz = None if frequency is None else as_quantity("frequency", frequency, u.Hz)
    seeds = Seeds(as_seed("seed", seed))
    reading = Reading(_as_table(table), format, columns)
    n = len(reading.data)
    rows, own = np.arange(n), reading.frequency
    problems: list[str] = []
    left_out = ""
    if reading.rows == "trecs":
        values, rows, problems = trecs_rows(reading.numbers, reading.data.colnames, hertz)
        nearest = nearest_fluxes(reading.data.colnames, hertz)
        own = hertz if hertz is not None else next(iter(nearest)) * 1e6
        reading.columns["flux"] = (next(iter(nearest.values())).strip().lower(), u.mJy)
        reading.shown["flux"] = " to ".join(nearest.values())
        left_out = "have no continuum source"
    else:
        chosen = reading.read()
        if reading.rows == "sdc1":
            raw = {name: reading.need(name) for name in ("size", "class")}
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
    out["las"] = np.where(~(out["las"] > 0), length, out["las"])
    out["pa"] = np.where(np.isnan(out["pa"]), 180 * chance["pa"], out["pa"]) % 180
    return out
