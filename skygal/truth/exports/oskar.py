"""Sky models of OSKAR: text, a component a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import check_choice, warn_caller
from skygal.truth.exports.formats import Format
from skygal.truth.exports.sky_model import make_sky_model

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS"]

_FIXED = "# ra (deg), dec (deg), I, Q, U, V (Jy), frequency (Hz), spectral index, rotation measure (rad/m^2), " \
         "major, minor (FWHM, arcsec), position angle (deg)\n"
#: plain Ra and Dec would be taken for radians
_NAMED = "Format = RaD, DecD, I, ReferenceFrequency, SpectralIndex, SpectralCurvature, MajorAxis, MinorAxis, " \
         "Orientation\n"


def write_oskar(field: Field, path: Path, *, progress: bool = False, columns: str = "fixed",
                flux: str = "intrinsic") -> None:
    """Write a sky model of OSKAR.

    Parameters
    ----------
    field, path, progress
    columns : "fixed" or "named"
        Twelve columns that all its versions read, or those with names in the first line (from 2.12 on), with the
        curvature of spectra.
    flux : "intrinsic" or "apparent"
        See `skygal.truth.exports.sky_model.make_sky_model`.

    Warns
    -----
    UserWarning
        If spectra are curved and the columns fixed: what is left out.
    """
    check_choice("columns", columns, ("fixed", "named"))
    sky = make_sky_model(field, "oskar", flux=flux)
    zero, frequency = np.zeros(len(sky)), np.full(len(sky), sky.frequency)
    shape = [sky.major, sky.minor, sky.pa]
    if columns == "fixed":
        if sky.curvature.any():
            warn_caller("oskar has no curvature of spectra in its fixed columns, it is left out: "
                        "columns='named' keeps it")
        table = [sky.ra, sky.dec, sky.flux, zero, zero, zero, frequency, sky.index, zero, *shape]
        first, mark = _FIXED, " "
    else:
        table = [sky.ra, sky.dec, sky.flux, frequency, sky.index, sky.curvature, *shape]
        first, mark = _NAMED, ", "
    with open(path, "w", encoding="ascii") as file:
        file.write(first)
        for row in zip(*(column.tolist() for column in table), strict=True):
            file.write(mark.join(f"{value:.12g}" for value in row) + "\n")


FORMATS = (Format("oskar", (".osm",), write_oskar, needs_sources=True),)
