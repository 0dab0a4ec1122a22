"""What a catalogue is, before its columns are looked at: a table, a map of labels, regions or boxes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, Table

from skygal.checks import show, show_fields
from skygal.io.fits_files import open_hdus
from skygal.io.images import read_image
from skygal.io.inputs import open_file
from skygal.io.table_files import read_table
from skygal.io.text_tables import read_text_table
from skygal.population.catalogue_formats import SDC1_COLUMNS, find_format
from skygal.population.tables import as_table
from skygal.scoring.finder_formats import CAESAR_COLUMNS, FORMATS_TO_SCORE
from skygal.scoring.region_files import is_region_file

__all__ = ["Source", "open_catalogue"]

_FITS = (b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


@dataclass(frozen=True, eq=False)
class Source:
    """What a catalogue was found to be.

    Attributes
    ----------
    kind : "table", "labels", "regions" or "coco"
    value : `~astropy.table.Table`, ndarray of shape (ny, nx), or path
    wcs : `~astropy.wcs.WCS` or None
        That a map of labels has itself.
    """

    kind: str
    value: Any
    wcs: Any = None

    __repr__ = show_fields


def open_catalogue(catalogue: Any, level: str | None) -> Source:
    """Return what a catalogue is.

    Parameters
    ----------
    catalogue : path, `~astropy.table.Table`, ndarray, or what has ``to_table()``
    level : str or None
        What rows are wanted, where a file has several tables.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If it is none of these, or cannot be read.
    """
    if isinstance(catalogue, np.ndarray) and catalogue.dtype.names:
        return Source("table", Table(catalogue))
    if isinstance(catalogue, np.ndarray) and catalogue.ndim == 2:
        return Source("labels", catalogue)
    if isinstance(catalogue, Mapping):
        return Source("table", Table(dict(catalogue)))
    if not isinstance(catalogue, (str, os.PathLike)):
        # of photutils
        found = catalogue.to_table() if hasattr(catalogue, "to_table") else catalogue
        return Source("table", _plain(as_table(found, "catalogue")))
    path = Path(catalogue)
    if path.is_dir():
        path = _in_folder(path, level)
    elif not os.path.exists(path):
        raise FileNotFoundError(f"catalogue must be an existing file, got {show(str(path))}")
    with open_file(path, "catalogue") as file:
        start = file.read(4096)
    if start.startswith(_FITS):
        return _open_fits(path, level)
    if is_region_file(path, start):
        return Source("regions", path)
    if path.suffix.lower() == ".json" or start.lstrip()[:1] in (b"[", b"{"):
        return Source("coco", path)
    with warnings.catch_warnings():
        # what FITS and VOTable do not know is not read as a unit, and Selavy has UCDs that are none
        warnings.simplefilter("ignore", u.UnitsWarning)
        table = read_text_table(path, "catalogue", bare=(SDC1_COLUMNS[:12], SDC1_COLUMNS, *CAESAR_COLUMNS))
        return Source("table", _plain(as_table(path, "catalogue") if table is None else table))


def _in_folder(path: Path, level: str | None) -> Path:
    """Return the table in a folder that skygal wrote."""
    stem = "components" if level == "component" else "truth"
    found = next((one for one in (path / f"{stem}.fits", path / f"{stem}.ecsv") if one.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"catalogue must be a file, or a folder with {stem}.fits or {stem}.ecsv, got "
                                f"{show(str(path))}")
    return found


def _open_fits(path: Path, level: str | None) -> Source:
    """Return the first table of a FITS file that is a catalogue, of the level wanted; or its image."""
    shown = f"catalogue {show(str(path))}"
    tables: list[tuple[int, Any]] = []
    image = False
    try:
        with open_hdus(path, shown) as (hdus, _):
            for hdu in hdus:
                image = image or hdu.is_image
                if not hdu.is_packed and str(hdu.header.get("XTENSION", "")).strip().upper() in ("BINTABLE", "TABLE"):
                    names = [str(hdu.header.get(f"TTYPE{k}", "")).strip().lower()
                             for k in range(1, 1 + min(int(hdu.header.get("TFIELDS", 0)), 999))]
                    tables.append((hdu.index, find_format(names, None, FORMATS_TO_SCORE)))
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(shown) else f"{shown} cannot be read: {error}") from None
    if not tables and image:
        found = read_image(path)
        return Source("labels", found.data, found.wcs)
    known = [(index, format) for index, format in tables if format is not None]
    of_level = [index for index, format in known if format.level == level]
    # what no format is may be a header that stands in a table, as in SExtractor's FITS_LDAC
    which = of_level[0] if of_level else known[0][0] if known else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        return Source("table", _plain(read_table(path, "catalogue", hdu=which)))


def _plain(table: Table) -> Table:
    """Return a table with positions in columns of their own."""
    places = [name for name in table.colnames if isinstance(table[name], SkyCoord)]
    if not places:
        return table
    plain = table.copy(copy_data=False)
    for name in places:
        if name == places[0] and not {"ra", "dec"} & {str(column).lower() for column in table.colnames}:
            place = table[name].icrs
            plain["ra"], plain["dec"] = Column(place.ra.deg, unit=u.deg), Column(place.dec.deg, unit=u.deg)
        del plain[name]
    return plain
