"""The observing frequency of one plane of sky, from its FITS header."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs import wcs as astropy_wcs

from skygal.io.cards import Cards
from skygal.io.header_wcs import axis_types, matrix_row

__all__ = ["read_frequency", "spectral_axes", "write_frequency_axis"]

#: frequencies of radio images, Hz: what lies outside was given in another unit than it says
LOWEST_FREQUENCY, HIGHEST_FREQUENCY = 5e6, 1e13
#: spectral types of Greisen et al. 2006 (2006A&A...446..747G), with AIPS's FELO
_TYPES = r"FREQ|ENER|WAVN|VRAD|WAVE|VOPT|ZOPT|AWAV|VELO|BETA|FELO"
#: and what may follow: an algorithm there, or a frame in AIPS and others
_SPECTRAL = re.compile(rf"({_TYPES})(?:-+([A-Z0-9]+))?")
_FRAMES = ("LSR", "HEL", "OBS", "LSD", "LSRK", "LSRD", "BAR", "GEO", "TOP", "TOPO", "GAL", "SOU", "CMB")
#: units of spectral axes by their names in upper case; MHZ is mega, since no image is at millihertz
_UNITS = {"": "", "HZ": "Hz", "HERTZ": "Hz", "KHZ": "kHz", "MHZ": "MHz", "GHZ": "GHz", "THZ": "THz", "M/S": "m/s",
          "M S-1": "m/s", "METER/S": "m/s", "METERS/S": "m/s", "MS-1": "m/s", "KM/S": "km/s", "KM S-1": "km/s",
          "KMS-1": "km/s", "M": "m", "METER": "m", "METRE": "m", "CM": "cm", "MM": "mm", "UM": "um", "MICRON": "um",
          "NM": "nm", "M-1": "1/m", "1/M": "1/m", "CM-1": "1/cm", "1/CM": "1/cm", "J": "J", "EV": "eV", "KEV": "keV"}
_BASE = {"FREQ": "Hz", "ENER": "J", "WAVN": "1/m", "WAVE": "m", "AWAV": "m", "ZOPT": "", "BETA": ""}


def spectral_axes(header: fits.Header) -> list[int]:
    """Return the numbers, from 1, of the axes of frequency, wavelength or velocity; those of frequency first."""
    found = [(not text.startswith("FREQ"), axis) for axis, text in axis_types(header).items()
             if _SPECTRAL.fullmatch(text) or text.startswith(("FREQ", "VELO"))]
    return [axis for _, axis in sorted(found)]


def read_frequency(header: fits.Header, sky_axes: Sequence[int]) -> u.Quantity | None:
    """Return the frequency of a plane of sky.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Whose spectral axis is at its first pixel, as it is in a plane that was cut out of a cube; without such an axis
        RESTFRQ, RESTFREQ or FREQ gives the frequency.
    sky_axes : (int, int)
        The numbers of the celestial axes, taken at their middle.

    Returns
    -------
    Quantity or None
        In Hz; None where the header says nothing.

    Raises
    ------
    ValueError
        If it says something that cannot be read as the frequency of a radio image; the message begins with a keyword.

    Notes
    -----
    Spectral coordinates after Greisen et al. 2006 (2006A&A...446..747G), by wcslib where they are not linear in
    frequency.
    """
    cards = Cards(header)
    for axis in spectral_axes(header):
        sides = cards.whole(f"NAXIS{axis}", 1)
        if sides is not None and sides > 1:
            raise cards.refusal(f"NAXIS{axis}", "1, since one plane has one frequency")
        hertz = _along(cards, axis, sky_axes)
        if hertz == 0 and axis_types(header)[axis].startswith("FREQ"):
            continue  # an axis that is there for its name alone
        return _plausible(hertz, f"{cards.show(f'CTYPE{axis}')}, {cards.show(f'CRVAL{axis}')}, "
                                 f"{cards.show(f'CUNIT{axis}')}")
    refused = None
    for key in ("RESTFRQ", "RESTFREQ", "FREQ"):
        try:
            rest = cards.number(key)
            if rest:
                return _plausible(rest, cards.show(key))
        except ValueError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return None


def write_frequency_axis(header: fits.Header, axis: int, hertz: float, step: float | None = None) -> None:
    """Make an axis that of frequency, ``hertz`` its first pixel's; ``step`` (Hz) by default what it was, if known.

    Whatever said otherwise of the axis (rotation, coupling to others, velocity) goes.
    """
    if step is None:
        cards = Cards(header)
        try:
            unit = _UNITS.get(cards.text(f"CUNIT{axis}").upper())
            given = cards.number(f"CDELT{axis}", 1.0)
            plain = axis_types(header)[axis].startswith("FREQ") and unit is not None
            step = (given or 1.0) * (u.Unit(unit).to("Hz") if unit else 1.0) if plain else 1.0
        except (ValueError, u.UnitConversionError):
            step = 1.0
    for key in list(header):
        if re.fullmatch(rf"(CROTA|CNAME){axis}|(PC|CD){axis}_\d+|(PC|CD)\d+_{axis}|(PV|PS){axis}_\d+", key):
            header.remove(key, remove_all=True)
    if any(re.fullmatch(r"CD\d+_\d+", key) for key in header):
        header[f"CD{axis}_{axis}"] = step
    header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = "FREQ", "Hz"
    header[f"CRPIX{axis}"], header[f"CRVAL{axis}"], header[f"CDELT{axis}"] = 1.0, hertz, step


def _plausible(hertz: float, said: str) -> u.Quantity:
    hertz = float(hertz)
    if not LOWEST_FREQUENCY <= hertz <= HIGHEST_FREQUENCY:
        meant = next((unit for unit, factor in (("MHz", 1e6), ("GHz", 1e9), ("kHz", 1e3))
                      if 1e7 <= hertz * factor <= 1e12), None)
        raise ValueError(f"{said} must be a frequency from {LOWEST_FREQUENCY / 1e6:g} MHz to "
                         f"{HIGHEST_FREQUENCY / 1e12:g} THz, got {hertz:.10g} Hz"
                         f"{f' (perhaps {meant} were meant)' if meant else ''}")
    return hertz * u.Hz


def _along(cards: Cards, axis: int, sky_axes: Sequence[int]) -> float:
    """Return the frequency (Hz) on a spectral axis."""
    text = axis_types(cards.header)[axis]
    match = _SPECTRAL.fullmatch(text)
    kind, suffix = (match[1], match[2] or "") if match else ("", "")
    if not kind or suffix == "TAB" or suffix == "GRI":
        raise ValueError(f"{cards.show(f'CTYPE{axis}')} must be a spectral axis of the FITS standard without a table")
    given = cards.text(f"CUNIT{axis}")
    base = _BASE.get(kind, "m/s")
    name = _UNITS.get(given.upper().replace("**", "").replace("^", ""))
    try:
        scale = 1.0 if not name else u.Unit(name).to(base or u.dimensionless_unscaled)
    except u.UnitConversionError:
        scale, name = 1.0, None
    # a velocity's or a wavelength's unit on an axis of frequency says that one of the two is wrong
    if name is None:
        raise cards.refusal(f"CUNIT{axis}", f"a unit such as {base!r} on an axis {text!r}")
    value = cards.number(f"CRVAL{axis}", 0.0) or 0.0
    offset = _offset(cards, axis, sky_axes)
    if kind == "FREQ" and suffix in ("", *_FRAMES):
        return (value + offset) * scale
    return _by_wcslib(cards, axis, f"{kind}-{suffix}" if suffix else kind, value * scale, offset * scale)


def _offset(cards: Cards, axis: int, sky_axes: Sequence[int]) -> float:
    """Return the intermediate world coordinate of the plane on an axis, in the axis's unit."""
    every = list(axis_types(cards.header))
    row, kind = matrix_row(cards, axis, every)
    offset = 0.0
    for column, factor in zip(every, row.tolist(), strict=True):
        if factor:
            side = cards.whole(f"NAXIS{column}", 1) if column in sky_axes else 1
            offset += factor * ((1 + (side or 1)) / 2 - (cards.number(f"CRPIX{column}", 0.0) or 0.0))
    if not offset or kind == "CD":
        return offset
    step = cards.number(f"CDELT{axis}")
    if step is None:
        raise cards.refusal(f"CDELT{axis}", f"given, since {cards.show(f'CRPIX{axis}')}")
    if step != 1 and any(re.fullmatch(r"CD\d+_\d+", key) for key in cards.header):
        raise ValueError(f"CD{axis}_{axis} must be given beside the other CD cards, got {cards.show(f'CDELT{axis}')}")
    return offset * step


def _by_wcslib(cards: Cards, axis: int, ctype: str, value: float, offset: float) -> float:
    """Return the frequency of an axis of velocity or wavelength, or one that is not linear."""
    one = fits.Header({"CTYPE1": ctype, "CRVAL1": value, "CDELT1": 1.0, "CRPIX1": 1.0,
                       "CUNIT1": _BASE.get(ctype[:4], "m/s")})
    used = [f"CTYPE{axis}", f"CRVAL{axis}"]
    for key, alias in (("RESTFRQ", "RESTFREQ"), ("RESTWAV", "RESTWAVE")):
        found = next((name for name in (key, alias) if name in cards), None)
        number = cards.number(found) if found else None
        if number:
            used.append(str(found))
            one[key] = _plausible(number, cards.show(str(found))).value if key == "RESTFRQ" else number
    reference = cards.whole("VELREF", least=-2**31)
    if reference is not None:
        one["VELREF"] = reference
    said = ", ".join(map(cards.show, used))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(one)
            wcs.wcs.set()
            if not str(wcs.wcs.ctype[0]).startswith("FREQ"):
                wcs.wcs.sptr("FREQ-???")
            # a pixel is one of the axis's own units, whatever the axis has been turned into
            return float(wcs.wcs_pix2world([[offset]], 0)[0][0])
        except (astropy_wcs.WcsError, ValueError, RuntimeError, MemoryError):
            pass
    hint = "" if "RESTFRQ" in one or "RESTWAV" in one else ", and there is no RESTFRQ"
    raise ValueError(f"{said} must give a frequency, which it does not{hint}")

