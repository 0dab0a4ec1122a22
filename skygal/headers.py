"""FITS headers that every common source finder and viewer reads the same way.

The forms that PyBDSF, Aegean and others need, or get wrong, are those of the conventions page:
four axes, CDELT in degrees with a PC matrix of unit norm, and the beam and both spellings of the rest
frequency as cards.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import FK4, FK5, FK4NoETerms, Galactic
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from skygal.checks import as_quantity
from skygal.provenance import write_provenance
from skygal.sky import celestial, image_shape, pixel_to_icrs, sky_frame

__all__ = ["field_header"]


def field_header(wcs: WCS | fits.Header, shape: Sequence[int] | None = None, *, beam: Any,
                 frequency: u.Quantity, unit: str = "JY/BEAM",
                 provenance: Mapping[str, Any] | None = None) -> fits.Header:
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
        Metadata of the run, see `skygal.provenance.make_provenance`.

    Returns
    -------
    `~astropy.io.fits.Header`
        The header, for `skygal.output.write_image`.

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
    >>> from skygal.output import field_header
    >>> from skygal.sky import make_wcs
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
        header["BMAJ"] = (float(beam.major.to_value(u.deg)), "[deg] beam's major axis, FWHM")
        header["BMIN"] = (float(beam.minor.to_value(u.deg)), "[deg] beam's minor axis, FWHM")
        header["BPA"] = (float(beam.pa.to_value(u.deg)), "[deg] beam's angle, east of north")
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
    _check_same(sky, header, ny, nx)
    return header


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


def _write_celestial(header: fits.Header, sky: WCS) -> None:
    sky.wcs.set()
    prm = sky.wcs
    cdelt, pc = _split(sky)
    ctypes = [str(ctype) for ctype in prm.ctype]
    for axis in (0, 1):
        header[f"CTYPE{axis + 1}"] = ctypes[axis]
        header[f"CRVAL{axis + 1}"] = float(prm.crval[axis])
        header[f"CDELT{axis + 1}"] = float(cdelt[axis])
        header[f"CRPIX{axis + 1}"] = float(prm.crpix[axis])
        header[f"CUNIT{axis + 1}"] = "deg"
    if not np.array_equal(pc, np.eye(2)):
        for i in (0, 1):
            for j in (0, 1):
                header[f"PC{i + 1}_{j + 1}"] = float(pc[i, j])
    for axis, m, value in prm.get_pv():
        header[f"PV{axis}_{m}"] = float(value)
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


def _vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return unit vectors to ICRS positions in degrees: how far apart two are does not depend on where."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])


def _check_same(sky: WCS, header: fits.Header, ny: int, nx: int) -> None:
    """Refuse a WCS that the header does not reproduce (conventions outside the standard)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        back = WCS(header).celestial
    sky.array_shape = back.array_shape = (ny, nx)
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, nx - 1, 7), np.linspace(0, ny - 1, 7)))
    same = False
    if [str(c) for c in back.wcs.ctype] == [str(c) for c in sky.wcs.ctype]:
        first, second = (_vectors(*pixel_to_icrs(each, x, y)) for each in (sky, back))
        scale = np.radians(np.sqrt(abs(np.linalg.det(sky.pixel_scale_matrix))))
        same = np.allclose(second, first, rtol=0, atol=1e-6 * scale + 1e-14, equal_nan=True)
    if not same:
        raise ValueError("wcs must be of a standard projection to be written as a FITS header, "
                         f"got axes {[str(ctype) for ctype in sky.wcs.ctype]}")
