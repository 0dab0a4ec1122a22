"""The celestial grid of a FITS header or WCS, from its two celestial axes alone.

What other axes hold does not matter, and each card that does matter is checked: a reader that takes its default for a
card that it cannot parse makes a sky of one degree a pixel.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs import wcs as astropy_wcs
from astropy.wcs.wcs import WcsError

from skygal.checks import warn_caller
from skygal.io.cards import Cards
from skygal.wcs import sky_frame

__all__ = ["axis_types", "celestial", "celestial_axes", "matrix_row", "read_celestial"]

#: projection codes of Calabretta & Greisen 2002 (2002A&A...395.1077C), those of HEALPix (2007MNRAS.381..865C), and
#: what wcslib reads beside them; with the parameters PVi_m of the latitude axis that each has
PROJECTIONS: dict[str, int] = {
    "": 0, "AZP": 2, "SZP": 3, "TAN": 0, "STG": 0, "SIN": 2, "ARC": 0, "ZPN": 30, "ZEA": 0, "AIR": 1, "CYP": 2,
    "CEA": 1, "CAR": 0, "MER": 0, "SFL": 0, "PAR": 0, "MOL": 0, "AIT": 0, "COP": 2, "COE": 2, "COD": 2, "COO": 2,
    "BON": 1, "PCO": 0, "TSC": 0, "CSC": 0, "QSC": 0, "HPX": 2, "XPH": 0, "NCP": 0, "GLS": 0, "TPV": 39}
#: frames by the names that headers give them
FRAMES = {"ICRS": "ICRS", "FK5": "FK5", "FK4": "FK4", "FK4-NO-E": "FK4-NO-E", "J2000": "FK5", "J2000.0": "FK5",
          "B1950": "FK4", "B1950.0": "FK4"}
#: axes looked for, at most
LAST_AXIS = 99
_LONGITUDE = re.compile(r"(RA|[A-Z]LON|[A-Z]{2}LN)(?:-+([A-Z0-9]{3}))?(-SIP)?")
_LATITUDE = re.compile(r"(DEC|[A-Z]LAT|[A-Z]{2}LT)(?:-+([A-Z0-9]{3}))?(-SIP)?")
#: cards of a distortion by polynomials (Shupe et al. 2005, 2005ASPC..347..491S)
SIP = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)")
_ANGLES = {"": 1.0, "DEG": 1.0, "DEGREE": 1.0, "DEGREES": 1.0, "D": 1.0, "ARCMIN": 1 / 60, "ARCSEC": 1 / 3600,
           "ASEC": 1 / 3600, "MAS": 1 / 3.6e6, "UAS": 1 / 3.6e9, "RAD": np.degrees(1.0), "RADIAN": np.degrees(1.0),
           "RADIANS": np.degrees(1.0)}
#: pixels are between these, degrees
SMALLEST_PIXEL, LARGEST_PIXEL = 1e-13, 90.0
#: pixels from the image to its reference point
FARTHEST_REFERENCE = 1e12


def axis_types(header: fits.Header) -> dict[int, str]:
    """Return CTYPE of each axis, upper case, from 1 on; empty where it is missing or cannot be read."""
    cards = Cards(header)
    numbers = [int(match[1]) for key in header if (match := re.fullmatch(r"(?:CTYPE|NAXIS)([1-9]\d?)", key))]
    types = {}
    for axis in range(1, max(numbers, default=0) + 1):
        try:
            types[axis] = cards.text(f"CTYPE{axis}").upper()
        except ValueError:
            types[axis] = ""
    return types


def celestial_axes(header: fits.Header) -> tuple[int, int] | None:
    """Return the numbers, from 1, of the axes of longitude and latitude; None if there is no such pair.

    Raises
    ------
    ValueError
        If there are several, or the two do not go together.
    """
    types = axis_types(header)
    longitudes, latitudes = ({axis: match for axis, text in types.items() if (match := pattern.fullmatch(text))}
                             for pattern in (_LONGITUDE, _LATITUDE))
    pairs = [(one, other) for one, first in longitudes.items() for other, second in latitudes.items()
             if _kind(first) == _kind(second)]
    if not longitudes and not latitudes:
        return None
    cards = Cards(header)
    if len(pairs) != 1:
        got = ", ".join(cards.show(f"CTYPE{axis}") for axis in types)
        raise ValueError("CTYPE must name one celestial pair of axes, of one frame and projection (such as RA---SIN "
                         f"and DEC--SIN), got {got}")
    longitude, latitude = pairs[0]
    first = longitudes[longitude]
    if (first[2] or "") not in PROJECTIONS:
        raise cards.refusal(f"CTYPE{longitude}", "of a projection of the FITS standard, such as SIN or TAN")
    return longitude, latitude


def _kind(match: re.Match[str]) -> tuple[str, str | None, str | None]:
    """Return frame, projection and distortion of a celestial axis, the same for the two of a pair."""
    return re.sub(r"^(RA|DEC)$|LON|LAT|LN|LT", "", match[1]), match[2], match[3]


def matrix_row(cards: Cards, axis: int, axes: Any) -> tuple[np.ndarray, str]:
    """Return the row of one axis in the linear transformation, without CDELT, and which card it is from.

    Parameters
    ----------
    cards : Cards
        The header.
    axis : int
        Whose row.
    axes : sequence of int
        The columns.

    Returns
    -------
    row : ndarray
    kind : "CD", "PC", "CROTA" or ""
        What gives it; CDELT belongs to all but CD. With CROTA or nothing the row is that of no rotation.

    Raises
    ------
    ValueError
        If a card is no number, or PC and CD contradict one another.
    """
    def read(kind: str) -> dict[int, float]:
        found = {}
        for column in axes:
            for name in (f"{kind}{axis}_{column}", f"{kind}{axis:03d}{column:03d}"):
                value = cards.number(name)
                if value is not None:
                    found[column] = value
        return found

    full, plain = read("CD"), read("PC")
    if full and plain and any(plain.get(column, float(column == axis)) != float(column == axis) for column in axes):
        step = cards.number(f"CDELT{axis}", 1.0) or 0.0
        pairs = [(full.get(column, 0.0), step * plain.get(column, float(column == axis))) for column in axes]
        if not all(np.isclose(*pair, rtol=1e-6, atol=1e-30) for pair in pairs):
            raise ValueError(f"CD{axis}_j and PC{axis}_j must not both be there, got two transformations that differ")
    if full:
        return np.array([full.get(column, 0.0) for column in axes]), "CD"
    row = np.array([plain.get(column, float(column == axis)) for column in axes])
    return row, "PC" if plain else "CROTA" if cards.number(f"CROTA{axis}", 0.0) else ""


def read_celestial(header: fits.Header, name: str = "wcs") -> tuple[WCS, tuple[int, int]]:
    """Return the two-dimensional celestial WCS of a header, and the numbers of its axes there.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        With a celestial pair of axes among any others, whose cards are not looked at.
    name : str
        What to call it in warnings.

    Returns
    -------
    wcs : `~astropy.wcs.WCS`
        In degrees, its axes in the header's order; with its array shape where the header has one.
    axes : (int, int)
        The numbers, from 1, that its axes have in the header.

    Raises
    ------
    ValueError
        If there is no celestial pair, or one of its cards is not what it must be; the message begins with its keyword.

    Notes
    -----
    Coordinates after Greisen & Calabretta 2002 (2002A&A...395.1061G), Calabretta & Greisen 2002 (2002A&A...395.1077C).
    Spellings in use that the standard does not have are read: lower case, ``J2000`` for FK5, ``DEGREES``. A distortion
    (SIP, TPV) is that of an image of two axes: readers refuse one in a header of more, and so does this.
    """
    cards = Cards(header)
    pair = celestial_axes(header)
    if pair is None:
        raise ValueError("wcs must have a celestial pair of axes (such as RA---SIN and DEC--SIN), got axes "
                         f"{list(axis_types(header).values())}")
    axes = (min(pair), max(pair))
    types = axis_types(header)
    plain = fits.Header()
    names = _write_types(plain, types, axes)
    _write_linear(plain, cards, axes, pair)
    _write_frame(plain, cards, names)
    _write_parameters(plain, cards, axes, pair, types, name)
    sky = _as_wcs(plain, cards, axes)
    sides = [cards.whole(f"NAXIS{axis}") for axis in axes]
    if None not in sides and 0 not in sides:
        sky.array_shape = sides[::-1]
    return sky, axes


def _write_types(plain: fits.Header, types: dict[int, str], axes: tuple[int, int]) -> list[str]:
    names = []
    for k, axis in enumerate(axes, 1):
        match = _LONGITUDE.fullmatch(types[axis]) or _LATITUDE.fullmatch(types[axis])
        assert match is not None
        names.append(match[1])
        plain[f"CTYPE{k}"] = f"{match[1]:-<4}-{match[2]}" if match[2] else match[1]
    return names


def _write_linear(plain: fits.Header, cards: Cards, axes: tuple[int, int], pair: tuple[int, int]) -> None:
    """Write reference point and linear transformation, in degrees, in the form that they have."""
    every = list(axis_types(cards.header))
    within = [every.index(axis) for axis in axes]
    rows, steps = np.zeros((2, len(every))), np.ones(2)
    kinds = []
    for k, axis in enumerate(axes):
        unit = cards.text(f"CUNIT{axis}")
        scale = _ANGLES.get(unit.upper())
        if scale is None:
            raise cards.refusal(f"CUNIT{axis}", "an angle such as 'deg'")
        value = scale * (cards.number(f"CRVAL{axis}", 0.0) or 0.0)
        limit = 90.0 if axis == pair[1] else 720.0
        if abs(value) > limit * (1 + 1e-9):
            raise cards.refusal(f"CRVAL{axis}", f"from -{limit:g} to {limit:g} degrees")
        plain[f"CRVAL{k + 1}"] = min(max(value, -limit), limit)
        rows[k], kind = matrix_row(cards, axis, every)
        step = cards.number(f"CDELT{axis}")
        if kind == "CD":
            rows[k] *= scale
        elif step is None and (kind != "PC" or np.isclose(np.hypot.reduce(rows[k]), 1)):
            # the standard's default makes pixels of one degree, which nobody means
            raise cards.refusal(f"CDELT{axis}", "given, since there is no CD matrix")
        elif step == 0:
            raise cards.refusal(f"CDELT{axis}", "other than zero")
        else:
            steps[k] = scale * (1.0 if step is None else step)
        kinds.append(kind)
    turn = 0.0 if {"CD", "PC"} & set(kinds) else cards.number(f"CROTA{pair[1]}", 0.0) or 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        square = _check_matrix(rows[:, within] * steps[:, None], cards, axes)
    reference = np.array([_reference(cards, axis) for axis in axes])
    # an axis of one pixel may be coupled to the sky: it moves the reference point
    for column, axis in enumerate(every):
        if axis not in axes and rows[:, column].any():
            with np.errstate(over="ignore", invalid="ignore"):
                reference -= np.linalg.solve(square, rows[:, column] * steps * (1 - _reference(cards, axis)))
            if not np.all(np.abs(reference) < FARTHEST_REFERENCE):
                raise ValueError(f"PC{axes[0]}_{axis} and PC{axes[1]}_{axis} must leave the reference point within "
                                 f"{FARTHEST_REFERENCE:g} pixels of the image, got {rows[0, column]:g} and "
                                 f"{rows[1, column]:g}")
    if turn:
        plain[f"CROTA{axes.index(pair[1]) + 1}"] = turn
    for k in (0, 1):
        plain[f"CRPIX{k + 1}"], plain[f"CUNIT{k + 1}"] = float(reference[k]), "deg"
        if set(kinds) == {"CD"}:
            plain[f"CD{k + 1}_1"], plain[f"CD{k + 1}_2"] = map(float, square[k])
            continue
        plain[f"CDELT{k + 1}"] = float(steps[k])
        if {"CD", "PC"} & set(kinds):
            plain[f"PC{k + 1}_1"], plain[f"PC{k + 1}_2"] = map(float, rows[k, within])


def _check_matrix(square: np.ndarray, cards: Cards, axes: tuple[int, int]) -> np.ndarray:
    """Return the transformation to degrees if it makes pixels of the sky."""
    names = [name for axis in axes for name in (f"CDELT{axis}", *(f"{kind}{axis}_{other}" for kind in ("PC", "CD")
                                                                  for other in axes))]
    named = ", ".join(cards.show(name) for name in names if name in cards)
    scale = np.hypot(*square.T)
    if not np.all((scale > SMALLEST_PIXEL) & (scale < LARGEST_PIXEL)):
        raise ValueError(f"CDELT must make pixels between {SMALLEST_PIXEL:g} and {LARGEST_PIXEL:g} degrees, "
                         f"got {named}")
    if abs(np.linalg.det(square / scale[:, None])) < 1e-9:
        raise ValueError(f"PC or CD must have rows that can be told apart, got {named}")
    return square


def _reference(cards: Cards, axis: int) -> float:
    value = cards.number(f"CRPIX{axis}", 0.0) or 0.0
    if abs(value) > FARTHEST_REFERENCE:
        raise cards.refusal(f"CRPIX{axis}", f"within {FARTHEST_REFERENCE:g} pixels of the image")
    return value


def _write_frame(plain: fits.Header, cards: Cards, names: list[str]) -> None:
    """Write the frame, its equinox, the poles and the date."""
    if "RA" in names:
        given = next((key for key in ("RADESYS", "RADECSYS") if key in cards), None)
        frame = cards.text(given).upper() if given else ""
        if frame and frame not in FRAMES:
            raise cards.refusal(str(given), f"one of {', '.join(list(FRAMES)[:4])}")
        if frame:
            plain["RADESYS"] = FRAMES[frame]
        if frame != "ICRS":
            year, named = _equinox(cards), {"J": 2000.0, "B": 1950.0}.get(frame[:1])
            if named is not None and year not in (None, named):
                raise ValueError(f"EQUINOX must be {named} with {cards.show(str(given))}, got {year}")
            year = named or year
            if year is not None:
                plain["EQUINOX"] = year
    for key in ("LONPOLE", "LATPOLE"):
        value = cards.number(key)
        if value is not None:
            if abs(value) > (360 if key == "LONPOLE" else 90) and value != 999:
                raise cards.refusal(key, "an angle in degrees")
            plain[key] = value
    for key, read in (("MJD-OBS", cards.number), ("DATE-OBS", cards.text)):
        try:
            # for the record alone: no frame here depends on it
            date: Any = read(key)
        except ValueError:
            continue
        if date:
            plain[key] = date


def _equinox(cards: Cards) -> float | None:
    for key in ("EQUINOX", "EPOCH"):
        value = cards.value(key)
        if isinstance(value, str):
            match = re.fullmatch(r"\s*[JB]?(\d{4}(?:\.\d*)?)\s*", value.upper())
            value = float(match[1]) if match else value
        elif value is not None:
            value = cards.number(key)
        if value is None:
            continue
        if not isinstance(value, float) or not 1800 <= value <= 2200:
            raise cards.refusal(key, "a year such as 2000.0")
        return value
    return None


def _write_parameters(plain: fits.Header, cards: Cards, axes: tuple[int, int], pair: tuple[int, int],
                      types: dict[int, str], name: str) -> None:
    """Write the projection's parameters, and the distortion of an image of two axes."""
    code = str(plain["CTYPE1"])[5:8]
    many = max(types) > 2
    given = {}
    for key in cards.header:
        match = re.fullmatch(r"PV(\d+)_(\d+)", key)
        if match and int(match[1]) in axes:
            value = cards.number(key)
            given[axes.index(int(match[1])) + 1, int(match[2])] = value
    latitude = axes.index(pair[1]) + 1
    beyond = [(k, m) for k, m in given if m > (PROJECTIONS[code] if k == latitude else 4)]
    shifted = any(k != latitude and m <= 2 and value for (k, m), value in given.items())
    if code == "TPV" or (beyond and shifted):
        # TAN with so many parameters is TPV before it had a name; others have them left over
        last = f"PV{axes[beyond[0][0] - 1]}_{beyond[0][1]}" if beyond else f"CTYPE{axes[0]}"
        if many or code not in ("TPV", "TAN"):
            raise ValueError(f"{cards.show(last)} is part of a distortion (TPV), which must be that of an image of two "
                             f"axes with CTYPE ending in TPV, got {cards.show(f'CTYPE{axes[0]}')}, "
                             f"{len(types)} axes")
        beyond = []
    for (k, m), value in given.items():
        if (k, m) not in beyond:
            plain[f"PV{k}_{m}"] = value
    _write_sip(plain, cards, axes, types, name)


def _write_sip(plain: fits.Header, cards: Cards, axes: tuple[int, int], types: dict[int, str], name: str) -> None:
    for key in (*(f"{kind}{axis}" for kind in ("CPDIS", "CQDIS") for axis in axes), "D2IMDIS1", "D2IMDIS2"):
        if key in cards:
            raise ValueError(f"{cards.show(key)} is a distortion that is not read: regrid the image without it")
    named = types[axes[0]].endswith("-SIP")
    orders = [key for key in ("A_ORDER", "B_ORDER") if key in cards]
    if not orders:
        return
    if not named:
        warn_caller(f"{name}: the SIP coefficients ({', '.join(map(cards.show, orders))}) are not used, since "
                    f"{cards.show(f'CTYPE{axes[0]}')} does not end in -SIP")
        return
    if max(types) > 2:
        raise ValueError(f"{cards.show('A_ORDER')} is a distortion (SIP), which must be that of an image of two axes, "
                         f"got {cards.show(f'CTYPE{axes[0]}')}, {len(types)} axes")
    for key in cards.header:
        if SIP.fullmatch(key):
            plain[key] = cards.whole(key, most=9) if key.endswith("ORDER") else cards.number(key)
    for k in (1, 2):
        plain[f"CTYPE{k}"] = f"{plain[f'CTYPE{k}']}-SIP"


def _as_wcs(plain: fits.Header, cards: Cards, axes: tuple[int, int]) -> WCS:
    """Return the WCS, wcslib's objections as ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            sky = WCS(plain)
            sky.wcs.set()
            return sky
        except (astropy_wcs.WcsError, ValueError, RuntimeError, KeyError, MemoryError):
            pass
    shown = [name for name in plain if name.startswith(("CRVAL", "PV", "LONPOLE", "LATPOLE", "A_", "B_"))]
    said = [f"{name} = {plain[name]}" for name in shown[:8]]
    raise ValueError(f"{cards.show(f'CTYPE{axes[0]}')} and {cards.show(f'CTYPE{axes[1]}')} must make a projection of "
                     f"the sky, got none with {', '.join(said)}")


def celestial(wcs: WCS | fits.Header) -> WCS:
    """Return the two-dimensional celestial part of a WCS or FITS header.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`
        Any WCS with a celestial pair of axes, such as a 4-d radio header.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If there is no celestial pair of axes, or its frame is not one of the sky's.
    """
    if isinstance(wcs, fits.Header):
        sky = _from_header(wcs)
    elif isinstance(wcs, WCS):
        sky = _celestial_part(wcs)
    else:
        raise TypeError(f"wcs must be an astropy.wcs.WCS or a FITS header, got {type(wcs).__name__}")
    sky_frame(sky)
    return sky


def _celestial_part(wcs: WCS) -> WCS:
    """Return the celestial pair of axes of a WCS, whatever its others are."""
    try:
        part = wcs.celestial
        part.wcs.set()
        with np.errstate(invalid="ignore"):
            numbers = [part.wcs.crval, part.wcs.crpix, *part.pixel_scale_matrix]
        if wcs.has_celestial and np.isfinite(numbers).all():
            return part
    except (WcsError, ValueError, RuntimeError, MemoryError):
        pass
    if wcs.has_distortion:
        raise ValueError(f"wcs must have no distortion beside axes that wcslib refuses, got axes {_axes(wcs)}")
    # wcslib sets up all axes or none: the cards of the pair may still do
    header = fits.Header()
    matrix = ("CD", wcs.wcs.cd) if wcs.wcs.has_cd() else ("PC", wcs.wcs.pc)
    for axis in range(1, wcs.naxis + 1):
        values = {"CTYPE": str(wcs.wcs.ctype[axis - 1]), "CUNIT": str(wcs.wcs.cunit[axis - 1]),
                  "CRVAL": wcs.wcs.crval[axis - 1], "CRPIX": wcs.wcs.crpix[axis - 1]}
        if matrix[0] == "PC":
            values["CDELT"] = wcs.wcs.cdelt[axis - 1]
        if wcs.pixel_shape is not None and wcs.pixel_shape[axis - 1] is not None:
            values["NAXIS"] = int(wcs.pixel_shape[axis - 1])
        cards = {f"{name}{axis}": value for name, value in values.items()}
        cards |= {f"{matrix[0]}{axis}_{k}": value for k, value in enumerate(matrix[1][axis - 1], 1)}
        for name, value in cards.items():
            # a header holds no NaN, but a word that is refused as one
            header[name] = value if isinstance(value, (str, int)) else \
                float(value) if np.isfinite(value) else repr(float(value))
    for axis, m, value in wcs.wcs.get_pv():
        header[f"PV{axis}_{m}"] = value
    for name in ("lonpole", "latpole", "equinox"):
        if np.isfinite(getattr(wcs.wcs, name)):
            header[name] = getattr(wcs.wcs, name)
    if wcs.wcs.radesys:
        header["RADESYS"] = wcs.wcs.radesys
    return _from_header(header)


def _axes(wcs: WCS) -> list[str]:
    return [str(ctype) for ctype in wcs.wcs.ctype]


def _from_header(header: fits.Header) -> WCS:
    try:
        return read_celestial(header)[0]
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith("wcs ") else f"wcs cannot be used: {error}") from None
