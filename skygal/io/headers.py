"""FITS headers that every common source finder and viewer reads the same way.

The forms that PyBDSF, Aegean and others need, or get wrong, are those of the conventions page:
four axes, CDELT in degrees with a PC matrix of unit norm, and the beam and both spellings of the rest
frequency as cards.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import FK4, FK5, FK4NoETerms, Galactic
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.wcs import WcsError

from skygal.checks import as_quantity
from skygal.io.cards import Cards
from skygal.io.header_beam import write_beam
from skygal.io.header_frequency import spectral_axes
from skygal.io.header_wcs import SIP, axis_types, celestial
from skygal.io.provenance import write_provenance
from skygal.wcs import image_shape, pixel_to_icrs, sky_frame, unit_vectors

__all__ = ["field_header", "primary_header", "restate_wcs", "unwritable"]

#: cards that say how other pixels were stored, or that belong to an extension, a table or compressed tiles
_STORAGE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|XTENSION|PCOUNT|GCOUNT|GROUPS|EXTNAME|EXTVER|EXTLEVEL|INHERIT|BLOCKED|BSCALE|BZERO|BLANK|"
    r"DATAMIN|DATAMAX|CHECKSUM|DATASUM|LONGSTRN|END|TFIELDS|THEAP|(TTYPE|TFORM|TUNIT|TDIM|TNULL|TSCAL|TZERO|TDISP)\d+|"
    r"ZIMAGE|ZSIMPLE|ZTENSION|ZEXTEND|ZBITPIX|ZNAXIS\d*|ZTILE\d+|ZCMPTYPE|ZNAME\d+|ZVAL\d+|ZMASKCMP|ZQUANTIZ|ZDITHER0|"
    r"ZPCOUNT|ZGCOUNT|ZBLOCKED|ZBLANK|ZSCALE|ZZERO|ZHECKSUM|ZDATASUM|FZALGOR|FZTILE|FZQVALUE")
#: types of other axes that need no more cards
_PLAIN = ("STOKES", "LINEAR", "COMPLEX")
#: cards that there may be once
_ONCE = ("BUNIT", "BMAJ", "BMIN", "BPA", "RESTFRQ", "RESTFREQ")
#: cards of a WCS, its distortions included
_WCS = re.compile(
    r"WCSAXES|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA|CNAME|CRDER|CSYER)\d+|(PC|CD|PV|PS)\d+_\d+|(PC|CD)\d{6}|"
    r"LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|VELREF|ALTRVAL|ALTRPIX")


def field_header(wcs: WCS | fits.Header, shape: Sequence[int] | None = None, *, beam: Any,
                 frequency: u.Quantity, unit: str = "JY/BEAM",
                 provenance: Mapping[str, Any] | None = None, check: bool = True) -> fits.Header:
    """Return the header of a 4-d radio image (1, 1, ny, nx) on a celestial WCS.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`
        The celestial WCS. Its projection, frame and reference point are kept; its linear part is
        written as CDELT in degrees and a PC matrix with rows of unit norm, whatever form it came in.
    shape : (ny, nx), optional
        The image's size, by default that of the WCS.
    beam : `~radio_beam.Beam` or None
        The restoring beam. None leaves BMAJ, BMIN and BPA out (an image in Jy/pixel).
    frequency : `~astropy.units.Quantity`
        The frequency of the FREQ axis, RESTFRQ and RESTFREQ.
    unit : str
        BUNIT.
    provenance : mapping, optional
        Metadata of the run, see `skygal.io.provenance.make_provenance`.
    check : bool
        Whether to see that the header reproduces the WCS; False where that has been seen of the same.

    Returns
    -------
    `~astropy.io.fits.Header`
        The header, for `skygal.io.images.write_image`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be, if the WCS has a distortion, or if it is of a kind that
        a header written this way would not reproduce to 1e-6 pixel.

    Notes
    -----
    World coordinates after Greisen & Calabretta 2002 (2002A&A...395.1061G) and Calabretta & Greisen
    2002 (2002A&A...395.1077C).

    Examples
    --------
    >>> from astropy import units as u
    >>> from radio_beam import Beam
    >>> from skygal.io.headers import field_header
    >>> from skygal.wcs import make_wcs
    >>> wcs = make_wcs("150d 2d", 64, 1.8 * u.arcsec)
    >>> header = field_header(wcs, beam=Beam(5.4 * u.arcsec), frequency=1.4 * u.GHz)
    >>> header["CTYPE1"], header["NAXIS"], header["BUNIT"]
    ('RA---SIN', 4, 'JY/BEAM')
    """
    sky = celestial(wcs).deepcopy()
    if sky.has_distortion:
        # readers refuse distortions in a 4-d header, or silently leave them out
        raise ValueError("wcs must have no distortion (SIP or lookup tables) to be written in a 4-d header, "
                         f"got axes {[str(ctype) for ctype in sky.wcs.ctype]}")
    ny, nx = image_shape(sky, shape)
    hertz = as_quantity("frequency", frequency, u.Hz)
    header = fits.Header()
    header["SIMPLE"] = (True, "conforms to the FITS standard")
    header["BITPIX"] = (-32, "32-bit floating point")
    for axis, length in enumerate((4, nx, ny, 1, 1)):
        header[f"NAXIS{axis or ''}"] = length
    header["BUNIT"] = (unit, "brightness unit")
    if beam is not None:
        write_beam(header, beam)
    _write_celestial(header, sky)
    for axis, ctype, value, step, axis_unit in ((3, "FREQ", hertz, 1.0, "Hz"), (4, "STOKES", 1.0, 1.0, "")):
        header[f"CTYPE{axis}"] = ctype
        header[f"CRVAL{axis}"] = value
        header[f"CDELT{axis}"] = step
        header[f"CRPIX{axis}"] = 1.0
        if axis_unit:
            header[f"CUNIT{axis}"] = axis_unit
    # two spellings: the standard's and the one that PyBDSF reads
    header["RESTFRQ"] = (hertz, "[Hz] rest frequency")
    header["RESTFREQ"] = (hertz, "[Hz] rest frequency")
    header["SPECSYS"] = ("TOPOCENT", "frame of the frequency")
    header["ORIGIN"] = "skygal"
    if provenance is not None:
        write_provenance(header, provenance)
    if check:
        _check_same(sky, header, ny, nx)
    return header


def primary_header(header: fits.Header, dtype: Any = np.float32) -> fits.Header:
    """Return the header of an image in a primary HDU, without what was stored otherwise in the file that it is from.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        With NAXIS and its sides. Cards that cannot be written, since they cannot be read, are left out.
    dtype : dtype
        How pixels are stored, which BITPIX says.

    Returns
    -------
    `~astropy.io.fits.Header`
        A copy, the mandatory cards in their order.
    """
    dtype = np.dtype(dtype)
    kept = fits.Header()
    kept["SIMPLE"] = (True, "conforms to the FITS standard")
    kept["BITPIX"] = ({"f": -8, "i": 8}[dtype.kind] * dtype.itemsize, "bits a pixel, negative: floating point")
    for axis in range(header["NAXIS"] + 1):
        kept[f"NAXIS{axis or ''}"] = header[f"NAXIS{axis or ''}"]
    for card in header.cards:
        twice = card.keyword in kept and (card.keyword in _ONCE or _WCS.fullmatch(card.keyword))
        if not (twice or _STORAGE.fullmatch(card.keyword)) and _can_be_written(card):
            kept.append(card, end=True)
    return kept


def unwritable(header: fits.Header) -> list[str]:
    """Return the keywords of cards that `primary_header` leaves out, since they cannot be read."""
    return sorted({card.keyword for card in header.cards
                   if not _STORAGE.fullmatch(card.keyword) and not _can_be_written(card)})


def _can_be_written(card: fits.Card) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if card.keyword not in ("", "COMMENT", "HISTORY"):
                card.value  # noqa: B018 (reading it is the test)
            card.verify("silentfix")
            card.verify("exception")
            str(card).encode("ascii")
        except (fits.VerifyError, ValueError, TypeError):
            return False
    return True


def restate_wcs(header: fits.Header, sky: WCS, axes: Sequence[int], frequency: float) -> fits.Header:
    """Return a header whose WCS every reader understands, as it is if they do.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header of an image that has been read.
    sky : `~astropy.wcs.WCS`
        Its celestial WCS, as it was read.
    axes : (int, int)
        Which of its axes, from 1, those are.
    frequency : float
        Hz.

    Raises
    ------
    ValueError
        If there is no header of so many axes that gives the same sky.
    """
    ny, nx = image_shape(sky)
    if sky.sip is None:
        # coefficients that CTYPE does not name are used by some readers all the same
        header = fits.Header([card for card in header.cards if not SIP.fullmatch(card.keyword)])
    if _is_same(sky, header, ny, nx):
        return header
    spectral = spectral_axes(header)
    types = axis_types(header)
    cards = Cards(header)
    kept = fits.Header([card for card in header.cards if not _WCS.fullmatch(card.keyword)])
    _write_celestial(kept, sky, axes)
    for axis in range(1, header["NAXIS"] + 1):
        if axis in axes:
            continue
        try:
            value = frequency if axis in spectral[:1] else cards.number(f"CRVAL{axis}", 1.0)
        except ValueError:
            value = 1.0
        kept[f"CTYPE{axis}"] = "FREQ" if axis in spectral[:1] else types[axis] if types[axis] in _PLAIN else ""
        kept[f"CRVAL{axis}"], kept[f"CDELT{axis}"], kept[f"CRPIX{axis}"] = value, 1.0, 1.0
        if axis in spectral[:1]:
            kept[f"CUNIT{axis}"] = "Hz"
    if not any(axis <= header["NAXIS"] for axis in spectral[:1]):
        kept["RESTFRQ"] = kept["RESTFREQ"] = frequency
    _check_same(sky, kept, ny, nx)
    return kept


def _split(sky: WCS) -> tuple[np.ndarray, np.ndarray]:
    """Return (cdelt, pc) of a celestial WCS, in degrees, with rows of unit norm.

    The signs make ``pc`` a proper rotation: longitude grows leftwards (CDELT < 0) for the usual
    parity, rightwards for a mirrored grid.
    """
    matrix = np.array(sky.pixel_scale_matrix, dtype=float)
    cdelt = np.linalg.norm(matrix, axis=1)
    if not np.all(np.isfinite(matrix)) or not np.all(cdelt > 0) or np.linalg.det(matrix) == 0:
        raise ValueError(f"wcs must have an invertible pixel scale matrix, got {matrix.tolist()}")
    if np.linalg.det(matrix) < 0:
        cdelt[sky.wcs.lng] *= -1
    return cdelt, matrix / cdelt[:, None]


def _write_celestial(header: fits.Header, sky: WCS, axes: Sequence[int] = (1, 2)) -> None:
    sky.wcs.set()
    prm = sky.wcs
    cdelt, pc = _split(sky)
    ctypes = [str(ctype) for ctype in prm.ctype]
    for k, axis in enumerate(axes):
        header[f"CTYPE{axis}"] = ctypes[k]
        header[f"CRVAL{axis}"] = float(prm.crval[k])
        header[f"CDELT{axis}"] = float(cdelt[k])
        header[f"CRPIX{axis}"] = float(prm.crpix[k])
        header[f"CUNIT{axis}"] = "deg"
    if not np.array_equal(pc, np.eye(2)):
        for i in (0, 1):
            for j in (0, 1):
                header[f"PC{axes[i]}_{axes[j]}"] = float(pc[i, j])
    for k, m, value in prm.get_pv():
        header[f"PV{axes[k - 1]}_{m}"] = float(value)
    for keyword, value in (("LONPOLE", prm.lonpole), ("LATPOLE", prm.latpole)):
        if np.isfinite(value):
            header[keyword] = float(value)
    for keyword, value in _frame_cards(sky):
        header[keyword] = value


def _frame_cards(sky: WCS) -> list[tuple[str, Any]]:
    frame = sky_frame(sky)
    if isinstance(frame, Galactic):
        return []
    cards: list[tuple[str, Any]] = [("RADESYS", "ICRS"), ("EQUINOX", 2000.0)]
    if isinstance(frame, FK5):
        cards = [("RADESYS", "FK5"), ("EQUINOX", float(frame.equinox.jyear))]
    elif isinstance(frame, (FK4, FK4NoETerms)):
        name = "FK4" if isinstance(frame, FK4) else "FK4-NO-E"
        cards = [("RADESYS", name), ("EQUINOX", float(frame.equinox.byear))]
    if np.isfinite(sky.wcs.mjdobs):
        cards.append(("MJD-OBS", float(sky.wcs.mjdobs)))
    if sky.wcs.dateobs:
        cards.append(("DATE-OBS", str(sky.wcs.dateobs)))
    return cards


def _check_same(sky: WCS, header: fits.Header, ny: int, nx: int) -> None:
    """Refuse a WCS that the header does not reproduce (conventions outside the standard)."""
    if not _is_same(sky, header, ny, nx):
        raise ValueError("wcs must be of a standard projection to be written as a FITS header, "
                         f"got axes {[str(ctype) for ctype in sky.wcs.ctype]}")


def _is_same(sky: WCS, header: fits.Header, ny: int, nx: int) -> bool:
    """Return whether astropy finds the same sky in a header, to 1e-6 pixel, in the same frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = WCS(header)
            whole.wcs.set()
            back = whole.celestial
        except (WcsError, ValueError, RuntimeError, KeyError, MemoryError, AssertionError):
            return False
    if [str(c) for c in back.wcs.ctype] != [str(c) for c in sky.wcs.ctype]:
        return False
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, nx - 1, 7), np.linspace(0, ny - 1, 7)))
    sky.array_shape = back.array_shape = (ny, nx)
    try:
        # how far apart two vectors are does not depend on where on the sky they point
        first, second = (unit_vectors(*pixel_to_icrs(each, x, y)) for each in (sky, back))
    except ValueError:
        return False
    scale = np.radians(np.sqrt(abs(np.linalg.det(sky.pixel_scale_matrix))))
    return bool(np.allclose(second, first, rtol=0, atol=1e-6 * scale + 1e-14, equal_nan=True))
