"""The part of the sky that a field covers, as a multi-order coverage map (IVOA MOC 2.0)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from tqdm import tqdm

from skygal.checks import as_count
from skygal.io.streaming import iter_bands
from skygal.truth.exports.columns import require_package
from skygal.truth.exports.formats import Format
from skygal.wcs import pixel_to_icrs

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS", "default_order", "finest_order"]

#: cells that the shorter side of an image is wide, at least, if its pixels are fine enough
ACROSS = 128
#: pixels that are looked at on a side of a cell: with two, no cell lies between them, however it is turned
PIXELS = 2
#: the finest order of cells, 0.4 mas
FINEST = 29
_FORMATS = {".fits": "fits", ".json": "json"}


def _cell(order: float) -> float:
    """Return the side of cells of an order, radians."""
    return float(np.sqrt(np.pi / 3) / 2**order)


def finest_order(field: Field) -> int:
    """Return the finest order of cells that are two pixels wide or more."""
    pixel = np.radians(np.linalg.norm(field.wcs.pixel_scale_matrix, 2))
    return int(np.clip(np.floor(np.log2(_cell(0) / (PIXELS * pixel))), 0, FINEST))


def default_order(field: Field) -> int:
    """Return the order of cells of which a field's shorter side is 128 or more, or `finest_order` if that is less."""
    pixel = np.radians(np.linalg.norm(field.wcs.pixel_scale_matrix, 2))
    side = min(min(field.image.shape) * pixel, np.pi / 2) / ACROSS
    return int(np.clip(np.ceil(np.log2(_cell(0) / side)), 0, finest_order(field)))


def write_moc(field: Field, path: Path, *, progress: bool = False, order: int | None = None) -> None:
    """Write the cells in which the image has pixels that are not blank.

    Parameters
    ----------
    field, path, progress
        A file that ends in ``.fits`` or ``.json``.
    order : int, optional
        Of the smallest cells; by default so that the shorter side of the image is 128 of them or more. None is less
        than two pixels wide.

    Raises
    ------
    ModuleNotFoundError
        If mocpy is not installed.
    ValueError
        If the order is not allowed, or all of the image is blank.

    Notes
    -----
    All pixels of the border are looked at, and so many inside it that no cell lies between them.
    """
    mocpy = require_package("mocpy", "moc")
    wanted = default_order(field) if order is None else as_count("order", order)
    if wanted > finest_order(field):
        raise ValueError(f"order must be at most {finest_order(field)}, at which cells are {PIXELS} pixels wide, got "
                         f"{wanted}")
    found: Any = None
    for ra, dec in _places(field, wanted, progress):
        part = mocpy.MOC.from_lonlat(ra * u.deg, dec * u.deg, max_norder=wanted)
        found = part if found is None else found.union(part)
    if found is None:
        raise ValueError("image must have pixels that are not blank to be written as moc, got none")
    found.save(str(path), format=_FORMATS[path.suffix.lower()])


def _places(field: Field, order: int, progress: bool) -> Any:
    """Yield the positions of pixels that are not blank, a band of rows at a time."""
    ny, nx = field.image.shape
    pixel = np.radians(np.linalg.norm(field.wcs.pixel_scale_matrix, 2))
    step = max(1, int(_cell(order) / (PIXELS * pixel)))
    inner = np.unique(np.r_[np.arange(0, nx, step), nx - 1])
    with tqdm(total=ny, desc="rows", disable=not progress, delay=2) as bar:
        for band, (pixels,) in iter_bands([field.image], False):
            x, y = [], []
            for row in range(band.start, band.stop):
                whole = row in (0, ny - 1)
                if whole or row % step == 0:
                    columns = np.arange(nx) if whole else inner
                else:
                    columns = np.array([0, nx - 1])
                columns = columns[np.isfinite(np.asarray(pixels[row - band.start])[columns])]
                x.append(columns)
                y.append(np.full(len(columns), row))
            ra, dec = pixel_to_icrs(field.wcs, np.concatenate(x), np.concatenate(y))
            known = np.isfinite(ra) & np.isfinite(dec)
            if known.any():
                yield ra[known], dec[known]
            bar.update(band.stop - band.start)


FORMATS = (Format("moc", (".fits", ".json"), write_moc),)
