"""Component lists in text, as DP3 (BBS) and WSClean write and read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from skygal.truth.exports.columns import numbers
from skygal.truth.exports.formats import Format
from skygal.truth.exports.sky_model import SkyModel, make_sky_model
from skygal.truth.exports.whole import join_sources

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS", "sexagesimal"]

#: decimals of seconds of time and of arc: 0.015 and 0.01 milliarcsec
DECIMALS = {"ra": 6, "dec": 5}


def sexagesimal(degrees: float, which: str) -> str:
    """Return an angle as the readers of these lists take it.

    Parameters
    ----------
    degrees : float
    which : "ra" or "dec"
        Hours with colons, or degrees with a sign and with points.

    Examples
    --------
    >>> from skygal.truth.exports.bbs import sexagesimal
    >>> sexagesimal(180.00833333333333, "ra"), sexagesimal(-0.5, "dec")
    ('12:00:02.000000', '-00.30.00.00000')
    """
    decimals = DECIMALS[which]
    scale = 10**decimals
    # as a whole number first: no 60 seconds by rounding
    total = round(abs(degrees) * 3600 * scale) if which == "dec" else round(degrees % 360 * 240 * scale)
    if which == "ra":
        total %= 86400 * scale
    whole, rest = divmod(total, scale)
    mark = ":" if which == "ra" else "."
    sign = "" if which == "ra" else "-" if degrees < 0 else "+"
    return f"{sign}{whole // 3600:02d}{mark}{whole // 60 % 60:02d}{mark}{whole % 60:02d}.{rest:0{decimals}d}"


def _line(sky: SkyModel, k: int, patch: str | None) -> str:
    """Return a component's line; the spectrum is in powers of log10 of the frequency."""
    name = f"s{sky.source_id[k]}c{sky.component_id[k]}"
    gaussian = sky.major[k] > 0
    shape = f"{sky.major[k]:.9g}, {sky.minor[k]:.9g}, {sky.pa[k]:.9g}" if gaussian else ", , "
    terms = f"[{sky.index[k]:.9g}, {sky.curvature[k] * np.log(10):.9g}]"
    words = [name, "GAUSSIAN" if gaussian else "POINT", *([patch] if patch else []),
             sexagesimal(float(sky.ra[k]), "ra"), sexagesimal(float(sky.dec[k]), "dec"), f"{sky.flux[k]:.12g}", terms,
             "true", f"{sky.frequency:.12g}", shape]
    return ", ".join(words) + "\n"


def _write(field: Field, path: Path, written_as: str, flux: str, patches: bool) -> None:
    sky = make_sky_model(field, written_as, flux=flux)
    names = ["Name", "Type", *(["Patch"] if patches else []), "Ra", "Dec", "I", "SpectralIndex", "LogarithmicSI",
             f"ReferenceFrequency='{sky.frequency:.12g}'", "MajorAxis", "MinorAxis", "Orientation"]
    joined = join_sources(field).truth
    ra, dec = (dict(zip(np.asarray(joined["source_id"]).tolist(), numbers(joined, name, u.deg).tolist(), strict=True))
               for name in ("ra", "dec"))
    before = None
    with open(path, "w", encoding="ascii") as file:
        file.write(f"Format = {', '.join(names)}\n")
        for k in range(len(sky)):
            row = int(sky.source_id[k])
            patch = f"s{sky.source_id[k]}" if patches else None
            if patches and row != before:
                file.write(f" , , {patch}, {sexagesimal(ra[row], 'ra')}, {sexagesimal(dec[row], 'dec')}\n")
                before = row
            file.write(_line(sky, k, patch))


def write_bbs(field: Field, path: Path, *, progress: bool = False, flux: str = "intrinsic") -> None:
    """Write a list with a patch a source and a row a component, for DP3 and LSMTool.

    Parameters
    ----------
    field, path, progress
    flux : "intrinsic" or "apparent"
        See `skygal.truth.exports.sky_model.make_sky_model`.
    """
    _write(field, path, "bbs", flux, True)


def write_wsclean(field: Field, path: Path, *, progress: bool = False, flux: str = "intrinsic") -> None:
    """Write a list of components without patches, as WSClean does; `write_bbs` for the parameters."""
    _write(field, path, "wsclean", flux, False)


FORMATS = (Format("bbs", (".skymodel", ".bbs"), write_bbs, needs_sources=True),
           Format("wsclean", (".txt",), write_wsclean, needs_sources=True))
