"""A field on disk, as `skygal.Field.write` made it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from astropy import units as u
from astropy.table import QTable

from skygal.checks import show
from skygal.io.config import parse_yaml
from skygal.io.inputs import read_npy, read_text
from skygal.io.planes import map_planes, open_zarr_planes
from skygal.io.provenance import restore_provenance
from skygal.io.table_files import read_table
from skygal.truth.schema import COMPONENTS, TRUTH, Column
from skygal.truth.tables import read_truth

__all__ = ["read_written"]


def read_written(directory: str | os.PathLike) -> dict[str, Any]:
    """Return what makes up a `skygal.Field`, by its attributes' names.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file is missing in it.
    ValueError
        If a file is not as it was written.
    """
    folder = Path(directory)
    shown = f"field {show(os.fspath(directory))}"
    if not folder.is_dir():
        raise FileNotFoundError(f"{shown} must be a folder that skygal wrote, "
                                + ("got a file" if folder.exists() else "it does not exist"))
    channels = sorted(path.name for path in folder.glob("channel_*") if path.is_dir())
    if channels and not (folder / "truth.fits").exists():
        raise ValueError(f"{shown} holds one field a frequency: give one of {', '.join(channels[:10])} in it")
    planes, header, wcs = (open_zarr_planes if (folder / "field.zarr").is_dir() else map_planes)(folder)
    tables = {name: _read_table(folder / f"{name}.fits", columns)
              for name, columns in (("truth", TRUTH), ("components", COMPONENTS))}
    settings = folder / "skygal.yaml"
    text = read_text(settings, "settings file")
    try:
        provenance = parse_yaml(text)
        if not isinstance(provenance, dict):
            raise ValueError(f"it must hold keys and values, got {show(provenance)}")
        provenance = restore_provenance(provenance)
    except (ValueError, TypeError) as error:
        raise ValueError(f"settings file {show(os.fspath(settings))} cannot be read: {error}") from None
    inputs = {f"inputs/{path.name}": _read_input(path) for path in sorted(folder.glob("inputs/*")) if path.is_file()}
    return {**planes, **tables, "header": header, "wcs": wcs, "provenance": provenance, "inputs": inputs}


def _read_input(path: Path) -> Any:
    """Return a table or an array that the field was made from."""
    return read_npy(path, "input") if path.suffix == ".npy" else read_table(path, "input")


def _read_table(path: Path, columns: tuple[Column, ...]) -> QTable:
    """Return a table, if it has the columns of its schema in their units."""
    table = read_truth(path)
    shown = f"truth table {show(os.fspath(path))}"
    for column in columns:
        if column.name not in table.colnames:
            raise ValueError(f"{shown} must have a column {column.name!r}, got {', '.join(table.colnames[:5])} ...")
        unit = u.Unit(column.unit, format="fits") if column.unit else u.one
        given = getattr(table[column.name], "unit", None) or u.one
        if not given.is_equivalent(unit):
            raise ValueError(f"{shown} must have {column.name!r} in units of {column.unit or 'none'}, got {given}")
    return table
