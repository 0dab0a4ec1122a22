"""The restoring beam of a FITS header: written into cards; read from these, the history or a table beside the image."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits

from skygal.checks import warn_caller
from skygal.io.cards import Cards

__all__ = ["beam_table", "read_beam", "write_beam"]

#: FWHM in pixels of beams in headers: beyond these, the unit is another than degrees
NARROWEST_BEAM, WIDEST_BEAM = 0.5, 150.0
#: axes that agree to this part are those of a round beam, rounded; rows of a table, those of one beam
ROUND_TO, SAME_TO = 1e-3, 1e-2
_AXES = ("BMAJ", "BMIN", "BPA")
_AIPS = re.compile(r"CLEAN\s+BMAJ\s*=\s*(\S+?)[\s,;]*BMIN\s*=\s*(\S+?)[\s,;]*BPA\s*=\s*([^\s,;]+)", re.IGNORECASE)


def write_beam(header: fits.Header, beam: Any) -> None:
    """Write a `~radio_beam.Beam` into the cards BMAJ, BMIN and BPA, degrees, where they say something else.

    Finders need all three, which a header can lack though its beam is known, from its history.
    """
    for key, value, comment in (("BMAJ", beam.major, "beam's major axis, FWHM"), ("BMIN", beam.minor,
                                "beam's minor axis, FWHM"), ("BPA", beam.pa, "beam's angle, east of north")):
        degrees = float(value.to_value(u.deg))
        if header.get(key) != degrees:
            header.remove(key, ignore_missing=True, remove_all=True)
            header[key] = (degrees, f"[deg] {comment}")


def read_beam(header: fits.Header, *, scale: float | None = None, shape: tuple[int, ...] | None = None,
              table: Any = None, name: str = "image") -> Any:
    """Return the beam that a header has.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Of an image of one plane.
    scale : float, optional
        Degrees that a pixel is wide, by which the beam is judged.
    shape : tuple of int, optional
        (ny, nx).
    table : `~astropy.io.fits.BinTableHDU`, optional
        The table BEAMS of the file.
    name : str
        What to call the image in warnings.

    Returns
    -------
    `~radio_beam.Beam` or None
        None if the header says nothing of one.

    Raises
    ------
    ValueError
        If what it says is no beam, or one that cannot be this image's. The message begins with the card.

    Warns
    -----
    UserWarning
        If a card's comment gives another unit than degrees, which is then used.

    Notes
    -----
    BMAJ, BMIN and BPA are in degrees. AIPS leaves the beam in the history alone (``CLEAN BMAJ=``): the last one counts.
    CASA (``CASAMBM``) puts the beams of planes into a table, of which the row of the header's channel and Stokes
    parameter is taken: axes of one pixel that were cut from longer ones have their reference pixel before the first.
    """
    values = {key: _card(header, key, name) for key in _AXES}
    where = {key: Cards(header).show(key) for key in _AXES}
    if not values["BMAJ"] and not values["BMIN"]:
        found = [match for line in header.get("HISTORY", ()) if (match := _AIPS.search(str(line)))]
        if found:
            line = f"HISTORY {found[-1].group(0)!r}"
            values = {key: _number(text, line) for key, text in zip(_AXES, found[-1].groups(), strict=True)}
            where = dict.fromkeys(_AXES, line)
        elif table is not None:
            values, line = _row(table, header)
            where = dict.fromkeys(_AXES, line)
        elif header.get("CASAMBM") is True:
            raise ValueError("CASAMBM = T says that the beam is in a table BEAMS, which is not there")
        elif values["BMAJ"] is None and values["BMIN"] is None:
            return None
    return _beam(values, where, scale, shape)


def beam_table(hdus: Any) -> Any:
    """Return the table of beams among HDUs, None if there is none."""
    return next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and hdu.name == "BEAMS"), None)


def _beam(values: dict[str, float | None], where: dict[str, str], scale: float | None,
          shape: tuple[int, ...] | None) -> Any:
    from radio_beam import Beam

    for key in ("BMAJ", "BMIN"):
        if values[key] is None:
            raise ValueError(f"{key} is missing beside {where['BMIN' if key == 'BMAJ' else 'BMAJ']}")
        if not values[key] > 0:  # type: ignore[operator]
            raise ValueError(f"{where[key]} must be positive")
    major, minor = float(values["BMAJ"] or 0), float(values["BMIN"] or 0)
    both = where["BMAJ"] if where["BMAJ"] == where["BMIN"] else f"{where['BMAJ']} and {where['BMIN']}"
    if minor > major * (1 + ROUND_TO):
        raise ValueError(f"{both} must have BMAJ >= BMIN")
    angle = values["BPA"]
    if angle is None:
        if major > minor * (1 + ROUND_TO):
            raise ValueError(f"BPA is missing beside {both}, which differ")
        angle = 0.0
    if abs(angle) > 360:
        raise ValueError(f"{where['BPA']} must be an angle in degrees, from -360 to 360")
    major, minor = max(major, minor), min(major, minor)
    _check_plausible(major, minor, both, scale, shape)
    return Beam(major=major * u.deg, minor=minor * u.deg, pa=angle * u.deg)


def _check_plausible(major: float, minor: float, both: str, scale: float | None, shape: tuple[int, ...] | None) -> None:
    if scale is None or not scale > 0:
        return
    widest = min(WIDEST_BEAM, max(shape)) if shape else WIDEST_BEAM
    if NARROWEST_BEAM * scale <= minor and major <= widest * scale:
        return
    text = (f"{both}, in degrees as FITS has them, would be {major / scale:.3g} by {minor / scale:.3g} pixels, which "
            f"must be from {NARROWEST_BEAM:g} to {widest:g}")
    for unit in ("arcsec", "arcmin", "radian"):
        sides = [axis * u.Unit(unit).to(u.deg) / scale for axis in (major, minor)]
        if 1 <= sides[1] and sides[0] <= min(widest, 50):
            raise ValueError(f"{text} (in {unit} {sides[0]:.3g} by {sides[1]:.3g})")
    raise ValueError(text)


def _card(header: fits.Header, key: str, name: str) -> float | None:
    """Return a card's number in degrees, None if there is no such card or it has no value."""
    cards = Cards(header)
    if cards.value(key, "a finite number") is None:
        return None
    number = float(cards.number(key) or 0)
    comment = header.comments[key]
    # the standard's place for a unit: brackets at the beginning of the comment
    match = re.match(r"\s*\[\s*(\w+)\s*\]", str(comment))
    unit = u.Unit(match[1].lower(), parse_strict="silent") if match else u.deg
    if unit == u.deg or not unit.is_equivalent(u.deg):
        return number
    warn_caller(f"{name}: {key} = {header[key]} is taken to be in {unit}, as its comment {comment!r} says")
    return number * float(unit.to(u.deg))


def _number(value: Any, where: str) -> float:
    """Return a finite number, also of a text such as AIPS writes, with an exponent D."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise ValueError
        number = float(re.sub("[dD]", "E", value.strip().rstrip(",;"))) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{where} is no number") from None
    if not np.isfinite(number):
        raise ValueError(f"{where} is not finite")
    return number


def _row(table: Any, header: fits.Header) -> tuple[dict[str, float | None], str]:
    """Return the axes (degrees) and the angle of the plane's row in a table of beams, and what to call it."""
    try:
        columns = {key: table.data[key].astype(float) for key in _AXES}
        units = {key: str(table.columns[key].unit or "deg").lower().replace("degrees", "deg") for key in _AXES}
        axes = {key: columns[key] * u.Unit(units[key]).to(u.deg) for key in _AXES}
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError("table BEAMS must have columns BMAJ, BMIN and BPA of angles: "
                         f"{str(error).splitlines()[0]}") from None
    rows = np.arange(len(table.data))
    for column, kind in (("CHAN", False), ("POL", True)):
        # numbered from 0; where that column is missing, the rows are those of the channels
        if column in table.columns.names:
            numbers = table.data[column][rows]
        elif column == "CHAN":
            numbers = rows
        else:
            continue
        index = _plane(header, stokes=kind)
        if len(set(numbers.tolist())) > 1 and index is not None and (numbers == index).any():
            rows = rows[numbers == index]
    if not len(rows):
        raise ValueError("table BEAMS must have a row, got none")
    first = {key: float(axes[key][rows[0]]) for key in _AXES}
    differ = [key for key in ("BMAJ", "BMIN")
              if not (np.abs(axes[key][rows[1:]] - first[key]) <= SAME_TO * abs(first[key])).all()]
    if differ:
        raise ValueError(f"table BEAMS has {len(rows)} rows that differ in {differ[0]} and the header of this one "
                         "plane does not say which is its own")
    line = f"table BEAMS, row {rows[0]}"
    return {key: _number(value, f"{line}, {key} = {value}") for key, value in first.items()}, line


def _plane(header: fits.Header, *, stokes: bool) -> int | None:
    """Return the number, from 0, that the plane had along its axis of frequency or Stokes, if it was cut from more."""
    for axis in range(3, 10):
        ctype = str(header.get(f"CTYPE{axis}", "")).strip().upper()
        pixel = header.get(f"CRPIX{axis}")
        if not ctype or (ctype == "STOKES") != stokes or not isinstance(pixel, (int, float)):
            continue
        if np.isfinite(pixel) and pixel <= 0 and abs(pixel - round(pixel)) < 1e-3:
            return 1 - round(pixel)
    return None
