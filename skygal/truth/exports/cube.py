"""Fields at several frequencies as one FITS cube."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.io import fits

from skygal.checks import check_choice, show
from skygal.io.atomic import whole_file
from skygal.io.header_frequency import spectral_axes, write_frequency_axis
from skygal.io.header_wcs import celestial_axes
from skygal.io.headers import primary_header
from skygal.io.provenance import input_files
from skygal.io.streaming import iter_bands
from skygal.wcs import pixel_to_icrs, unit_vectors

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["write_cube"]

#: largest departure of a frequency from even steps, in steps
UNEVEN = 1e-6
#: pixels of one grid are no further apart than this, radians
SHIFTED = 1e-9


def write_cube(fields: Sequence[Field], path: str | os.PathLike, *, plane: str = "image", overwrite: bool = False,
               progress: bool = False) -> None:
    """Write fields of one sky into a FITS cube, whole or not at all.

    Parameters
    ----------
    fields : sequence of Field
        From `skygal.simulate_fields`, their frequencies in even steps.
    path : path
        The file. Its primary HDU has the axes of a field's own file, with one plane a frequency. Where the
        beams differ, they are in a table named BEAMS, as CASA has it (``CASAMBM``), and not in the header.
    plane : "image" or "model"
        What to write.
    overwrite : bool
        Whether to replace a file that is there.
    progress : bool
        Whether to show progress.

    Raises
    ------
    ValueError
        If there are no fields, they differ in shape, grid or unit, or their frequencies are not in even steps.
    FileExistsError
        If it exists and ``overwrite`` is not set, or it is a file that a field was made from.
    OSError
        If it cannot be written; nothing is left behind.
    """
    header = _header(fields, plane)
    beams = [tuple(field.header[key] for key in ("BMAJ", "BMIN", "BPA")) for field in fields]
    several = len(set(beams)) > 1
    if several:
        for key in ("BMAJ", "BMIN", "BPA"):
            header.remove(key)
        header["CASAMBM"] = (True, "beams are in the table BEAMS")
    inputs = [name for field in fields for name in input_files(field.provenance)]
    with whole_file(path, overwrite=overwrite, inputs=inputs) as part:
        stream = fits.StreamingHDU(part, header)
        try:
            for field in fields:
                for _, (rows,) in iter_bands([getattr(field, plane)], progress):
                    stream.write(np.ascontiguousarray(rows, dtype=">f4"))
        finally:
            stream.close()
        if several:
            _append_beams(part, beams)


def _header(fields: Sequence[Field], plane: str) -> fits.Header:
    check_choice("plane", plane, ("image", "model"))
    if not fields:
        raise ValueError("fields must be at least one, got none")
    shapes = {field.image.shape for field in fields}
    if len(shapes) > 1:
        raise ValueError(f"fields must have one shape, got {', '.join(map(str, sorted(shapes)))}")
    units = [str(field.header.get("BUNIT", "")) for field in fields]
    for k, field in enumerate(fields):
        if not np.allclose(_places(field), _places(fields[0]), rtol=0, atol=SHIFTED, equal_nan=True):
            raise ValueError(f"fields must be on one grid, got another in field {k}")
        if units[k] != units[0]:
            raise ValueError(f"fields must have one unit, got {show(units[0])} and {show(units[k])}")
    frequency = np.array([u.Quantity(field.provenance["frequency"]).to_value(u.Hz) for field in fields])
    step = (frequency[-1] - frequency[0]) / max(len(frequency) - 1, 1)
    even = frequency[0] + step * np.arange(len(frequency))
    if len(frequency) > 1 and (step == 0 or np.abs(frequency - even).max() > UNEVEN * abs(step)):
        raise ValueError("fields must have frequencies in even steps to be one cube, got "
                         f"{', '.join(f'{f:.9g}' for f in frequency)} Hz")
    header = fields[0].header.copy()
    axes = [k for k in spectral_axes(header) if k <= header["NAXIS"]]
    if not axes:
        raise ValueError("fields must have a frequency axis in their headers, as simulated ones do, got none")
    axis, sky = axes[0], celestial_axes(header)
    if sky is not None and axis < max(sky):
        raise ValueError(f"fields must have their frequency axis after those of the sky, got axis {axis} before "
                         f"{max(sky)}")
    header[f"NAXIS{axis}"] = len(fields)
    write_frequency_axis(header, axis, float(frequency[0]), float(step) if len(fields) > 1 else None)
    return primary_header(header)


def _places(field: Field) -> np.ndarray:
    """Return unit vectors to some of the pixels of a field."""
    x, y = np.meshgrid(*(np.linspace(0, n - 1, 5) for n in field.image.shape[::-1]))
    return unit_vectors(*pixel_to_icrs(field.wcs, x, y))


def _append_beams(path: str | os.PathLike, beams: Sequence[tuple[float, float, float]]) -> None:
    major, minor, angle = np.array(beams).T
    columns = [fits.Column("BMAJ", "1E", unit="arcsec", array=major * 3600),
               fits.Column("BMIN", "1E", unit="arcsec", array=minor * 3600),
               fits.Column("BPA", "1E", unit="deg", array=angle),
               fits.Column("CHAN", "1J", array=np.arange(len(beams))),
               fits.Column("POL", "1J", array=np.zeros(len(beams), int))]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header["NCHAN"], table.header["NPOL"] = len(beams), 1
    fits.append(path, table.data, table.header)
