"""A user's own population: read it, give it units, check every row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table
from astropy.wcs import WCS

from skygal.checks import show
from skygal.io.table_files import read_table
from skygal.population.classes import FR_CLASSES
from skygal.population.columns import bad_ids, describe_bad, read_columns
from skygal.wcs import pixel_to_icrs

__all__ = ["COLUMN_UNITS", "as_population", "as_table", "read_population"]

#: unit of each column, taken where the table gives none
COLUMN_UNITS = {"source_id": u.one, "ra": u.deg, "dec": u.deg, "x": u.one, "y": u.one, "flux": u.Jy, "las": u.arcsec,
                "pa": u.deg, "fr_class": None, "spectral_index": u.one, "curvature": u.one, "redshift": u.one}


def read_population(table: Any, wcs: WCS, classes: Sequence[str] = FR_CLASSES) -> dict[str, np.ndarray]:
    """Return the columns of a population that a table has.

    Parameters
    ----------
    table : `~astropy.table.Table` or path
        With any of the columns source_id, ra and dec (or x and y, 0-based pixels), flux, las, pa,
        fr_class, spectral_index, curvature, redshift, in upper or lower case; see
        `skygal.population.columns` for what else is understood. A path is read by
        `skygal.io.table_files.read_table`: FITS, ECSV, CSV, VOTable.
    wcs : `~astropy.wcs.WCS`
        For x and y.
    classes : sequence of str
        Those that may be in fr_class.

    Returns
    -------
    dict of str to ndarray
        In deg, Jy and arcsec.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If it is neither a table nor a path.
    ValueError
        If it cannot be read, has none of the columns, one twice or only one of a pair, positions or fluxes
        under names that are not known, wrong units, or rows that are not allowed; the message counts the
        bad rows of each column and shows the first ten.

    Warns
    -----
    UserWarning
        If columns are not used.
    """
    data = as_table(table)
    columns = read_columns(data, COLUMN_UNITS, what="table")
    if not columns:
        raise ValueError(f"table must have at least one of the columns {', '.join(COLUMN_UNITS)}, "
                         f"got {', '.join(map(str, data.colnames)) or 'none'}")
    problems = [describe_bad(*found) for found in _bad_rows(columns, classes) if found[1].any()]
    if not problems and "x" in columns:
        columns["ra"], columns["dec"] = pixel_to_icrs(wcs, columns["x"], columns["y"])
        off = ~np.isfinite(columns["ra"])
        if off.any():
            problems.append(describe_bad("x and y where the image has sky", off))
    if problems:
        raise ValueError(f"table must have {'; '.join(problems)}")
    columns.pop("x", None)
    columns.pop("y", None)
    if "ra" in columns:
        columns["ra"] = columns["ra"] % 360
    if "pa" in columns:
        columns["pa"] = columns["pa"] % 180
    return columns


def as_table(table: Any, name: str = "table") -> Table:
    """Return a table, or the one in a file; ``name`` is what it is called in messages."""
    if isinstance(table, Table):
        return table
    if not isinstance(table, (str, Path)):
        raise TypeError(f"{name} must be an astropy Table or a path, got {type(table).__name__}")
    path = Path(table)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{name} must be an existing file, got {show(str(path))}")
    try:
        return read_table(path, name)
    except ValueError as error:
        raise ValueError(f"{name} must be a FITS, ECSV, CSV or VOTable file, got {show(str(path))}, which cannot be "
                         f"read: {str(error).partition(' cannot be read: ')[2] or error}") from None


def _bad_rows(columns: dict[str, np.ndarray], classes: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """Return what each column must be, and which rows are not."""
    checks: list[tuple[str, np.ndarray]] = []
    for name, values in columns.items():
        if name == "fr_class":
            checks.append((f"fr_class one of {', '.join(classes)}", ~np.isin(values, classes)))
            continue
        finite = np.isfinite(values)
        if name == "source_id":
            checks.extend(bad_ids(values))
        elif name in ("flux", "las"):
            checks.append((f"positive, finite {name}", ~(finite & (values > 0))))
        elif name == "ra":
            checks.append(("ra from -360 to 360 deg", ~(finite & (np.abs(values) <= 360))))
        elif name == "dec":
            checks.append(("dec from -90 to 90 deg", ~(finite & (np.abs(values) <= 90))))
        elif name == "redshift":
            checks.append(("redshift positive, or NaN where it is unknown",
                           np.isinf(values) | (np.where(finite, values, 1) <= 0)))
        else:
            checks.append((f"finite {name}", ~finite))
    return checks


def as_population(columns: dict[str, np.ndarray]) -> QTable:
    """Return the columns as a table with units, in their order."""
    out = QTable()
    for name in (name for name in COLUMN_UNITS if name in columns):
        unit = COLUMN_UNITS[name]
        out[name] = columns[name] if unit is None or unit == u.one else columns[name] * unit
    return out
