"""Truth tables on disk: FITS and ECSV, with units, descriptions and metadata."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Column, QTable, Table

from skygal.checks import nearest_names, shorten, show
from skygal.io.atomic import whole_file
from skygal.io.config import as_plain
from skygal.io.provenance import read_provenance, restore_provenance, write_provenance
from skygal.io.table_files import read_table, table_hdu
from skygal.truth.stacking import stackable

__all__ = ["read_truth", "write_truth"]

_SUFFIXES = (".fits", ".ecsv")


def _suffix(path: str | os.PathLike) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(f"path must end in .fits or .ecsv, got {show(os.fspath(path))}"
                         f"{nearest_names(suffix, _SUFFIXES)}")
    return suffix


def write_truth(table: Table, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write a table of sources or components, whole or not at all.

    Parameters
    ----------
    table : `~astropy.table.Table`
        As from `skygal.truth.make_truth`.
    path : path
        A file name that ends in ``.fits`` (a binary table in HDU 1; units as TUNITn, descriptions as
        TCOMMn, metadata as cards and HISTORY) or ``.ecsv``.
    overwrite : bool
        Whether to replace a file that is there.

    Raises
    ------
    ValueError
        If the name ends in something else.
    OSError
        If it cannot be written, see `skygal.io.atomic.check_writable`.
    """
    if _suffix(path) == ".ecsv":
        plain = Table(table, copy=True)
        plain.meta = as_plain(dict(table.meta))
        text = io.StringIO()
        plain.write(text, format="ascii.ecsv")
        with whole_file(path, overwrite=overwrite) as part:
            part.write_text(text.getvalue(), encoding="utf-8")
        return
    hdu = _as_hdu(table)
    with whole_file(path, overwrite=overwrite) as part:
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(part)


def _as_hdu(table: Table) -> fits.BinTableHDU:
    columns = []
    for name in table.colnames:
        column = table[name]
        unit = getattr(column, "unit", None)
        values = np.asarray(column.value if isinstance(column, u.Quantity) else column)
        if values.dtype.kind == "U":
            code = f"{max(values.dtype.itemsize // 4, 1)}A"
            # given as str they would be encoded one by one; what is not ASCII is refused there, with its reason
            with suppress(UnicodeEncodeError):
                values = values.astype(f"S{code[:-1]}")
        else:
            code = {"i": "K", "u": "K", "f": "D", "b": "L"}[values.dtype.kind]
        if values.ndim > 1:
            code = f"{int(np.prod(values.shape[1:]))}{code}"
        columns.append(fits.Column(name=name, format=code, array=values,
                                   unit=unit.to_string("fits") if unit is not None else None))
    hdu = fits.BinTableHDU.from_columns(columns, name="TRUTH")
    for number, name in enumerate(table.colnames, start=1):
        description = table[name].info.description
        if description:
            hdu.header.set(f"TCOMM{number}", description, after=f"TFORM{number}")
    write_provenance(hdu.header, table.meta)
    frequency = table.meta.get("frequency")
    if isinstance(frequency, u.Quantity):
        hdu.header["RESTFREQ"] = (float(frequency.to_value(u.Hz)), "[Hz] frequency of the fluxes")
    return hdu


def read_truth(path: str | os.PathLike) -> QTable:
    """Read a table that `write_truth` wrote.

    Parameters
    ----------
    path : path
        The ``.fits`` or ``.ecsv`` file.

    Returns
    -------
    `~astropy.table.QTable`
        With units, descriptions and metadata.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If its name ends in something else, or it holds no such table.
    """
    suffix, name = _suffix(path), os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"truth table {name!r} does not exist")
    try:
        if suffix == ".ecsv":
            table = read_table(path, "truth table")
            meta = restore_provenance(table.meta)
        else:
            table, meta = _read_fits(path)
    except Exception as error:  # whatever columns and cards that nobody wrote make of the parts
        reason = " ".join(str(error).split())
        raise ValueError(reason if reason.startswith(f"truth table {show(name)} cannot be read") else
                         f"truth table {show(name)} cannot be read: {shorten(reason, 300)}") from None
    out = QTable(meta=stackable(meta))
    for column in table.itercols():
        if column.unit is not None and column.dtype.kind == "f":
            out[column.name] = u.Quantity(np.asarray(column), column.unit)
            out[column.name].info.description = column.info.description
        else:
            out[column.name] = column
    return out


def _read_fits(path: str | os.PathLike) -> tuple[Table, dict]:
    hdu = table_hdu(path, f"truth table {show(os.fspath(path))}", "TRUTH")
    header, data = hdu.header, hdu.data
    table = Table()
    for number, column in enumerate(hdu.columns, start=1):
        values = np.array(data[column.name])
        if values.dtype.kind != "U":
            values = values.astype(values.dtype.newbyteorder("="))
        table[column.name] = Column(values, description=header.get(f"TCOMM{number}"),
                                    unit=u.Unit(column.unit, format="fits") if column.unit else None)
    return table, read_provenance(header)
