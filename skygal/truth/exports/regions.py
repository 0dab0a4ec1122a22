"""Regions of DS9 and of CASA and CARTA (CRTF): an ellipse a source, or a point a component."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from skygal.checks import check_choice
from skygal.observation.ellipse import ellipse_axes, ellipse_covariance
from skygal.truth.exports.columns import finite, numbers
from skygal.truth.exports.formats import Format

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS", "Mark", "iter_marks"]

#: colours of classes, as in `skygal.Field.plot`
COLOURS = {"FRI": "cyan", "FRII": "green"}
OTHERS = "yellow"


@dataclass(frozen=True)
class Mark:
    """What is drawn of a source or a component: degrees, semi-axes in arcsec (0 for a point), and words."""

    ra: float
    dec: float
    major: float
    minor: float
    pa: float
    label: str
    kind: str


def iter_marks(field: Field, level: str, written_as: str) -> Iterator[Mark]:
    """Yield the marks of a field.

    Parameters
    ----------
    field
    level : "sources" or "components"
    written_as : str
        The format, for messages.

    Raises
    ------
    ValueError
        If the level is unknown, or a value is not finite.

    Notes
    -----
    The ellipse of a source has its LAS as major axis and its axis ratio, convolved with the field's beam.
    """
    check_choice("level", level, ("sources", "components"))
    truth = field.truth
    kind = np.asarray(truth["fr_class"]).astype(str)
    if level == "components":
        kinds = dict(zip(np.asarray(truth["source_id"]).tolist(), kind.tolist(), strict=True))
        finite(field.components, ("ra", "dec"), written_as)
        places = (numbers(field.components, name, u.deg).tolist() for name in ("ra", "dec"))
        ids = (np.asarray(field.components[name]).tolist() for name in ("source_id", "component_id"))
        for ra, dec, source, component in zip(*places, *ids, strict=True):
            yield Mark(ra, dec, 0.0, 0.0, 0.0, f"{source}.{component}", kinds.get(source, ""))
        return
    finite(truth, ("ra", "dec", "las", "b_maj", "b_min", "pa"), written_as)
    major, minor, las = (numbers(truth, name, u.arcsec) for name in ("b_maj", "b_min", "las"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(major > 0, minor / major, 1.0)
    whole = ellipse_covariance(las, las * ratio, numbers(truth, "pa", u.rad))
    header = field.header
    if "BMAJ" in header:
        beam = (3600 * float(header["BMAJ"]), 3600 * float(header["BMIN"]), np.radians(float(header.get("BPA", 0))))
        whole = whole + ellipse_covariance(*map(np.asarray, beam))
    major, minor, pa = ellipse_axes(whole)
    columns = [*(numbers(truth, name, u.deg).tolist() for name in ("ra", "dec")), (major / 2).tolist(),
               (minor / 2).tolist(), np.degrees(pa).tolist(), np.asarray(truth["source_id"]).tolist(), kind.tolist()]
    for ra, dec, long, short, angle, source, name in zip(*columns, strict=True):
        yield Mark(ra, dec, long, short, angle, str(source), name)


def _ds9(mark: Mark) -> str:
    words = f"# color={COLOURS.get(mark.kind, OTHERS)} text={{{mark.label}}}" \
            + (f" tag={{{mark.kind}}}" if mark.kind else "")
    if mark.major == 0:
        return f"point({mark.ra:.9f},{mark.dec:.9f}) {words} point=cross"
    # the angle is counted from the axis of right ascension, through that of declination
    return (f'ellipse({mark.ra:.9f},{mark.dec:.9f},{mark.major:.6f}",{mark.minor:.6f}",{mark.pa + 90:.6f}) {words}')


def _crtf(mark: Mark) -> str:
    words = f"coord=ICRS, label='{mark.label}', color={COLOURS.get(mark.kind, OTHERS)}"
    at = f"[{mark.ra:.9f}deg, {mark.dec:.9f}deg]"
    if mark.major == 0:
        return f"symbol [{at}, +], {words}"
    # the first radius is the one along north when the angle is 0
    return f"ellipse [{at}, [{mark.major:.6f}arcsec, {mark.minor:.6f}arcsec], {mark.pa:.6f}deg], {words}"


def _write(field: Field, path: Path, level: str, written_as: str, first: str, line: Callable[[Mark], str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(first)
        for mark in iter_marks(field, level, written_as):
            file.write(line(mark) + "\n")


def write_ds9(field: Field, path: Path, *, progress: bool = False, level: str = "sources") -> None:
    """Write regions of DS9: ICRS in degrees, semi-axes in arcsec.

    Parameters
    ----------
    field, path, progress
    level : "sources" or "components"
        Ellipses, or points.
    """
    _write(field, path, level, "ds9", "# Region file format: DS9\nicrs\n", _ds9)


def write_crtf(field: Field, path: Path, *, progress: bool = False, level: str = "sources") -> None:
    """Write regions in CASA's region text format, version 0, which CARTA reads too.

    Parameters
    ----------
    field, path, progress
    level : "sources" or "components"
        Ellipses, or points.
    """
    _write(field, path, level, "crtf", "#CRTFv0\n", _crtf)


FORMATS = (Format("ds9", (".reg",), write_ds9, joined=True), Format("crtf", (".crtf",), write_crtf, joined=True))
