"""Sky images in FITS: what is read from a header, and how an image is written."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from skygal.atomic import whole_file
from skygal.header_beam import beam_table, read_beam
from skygal.psf_files import read_psf
from skygal.sky import celestial

__all__ = ["SkyImage", "parse_unit", "read_image", "read_psf", "write_image"]

# cards that describe how other pixels were stored, not what these are
_STORAGE = ("BSCALE", "BZERO", "BLANK", "DATAMIN", "DATAMAX", "CHECKSUM", "DATASUM")


@dataclass(frozen=True)
class SkyImage:
    """One plane of a FITS image, with what its header says of it.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        Pixel values, in ``unit``; NaN where blank.
    wcs : `~astropy.wcs.WCS`
        The 2-d celestial WCS, with its array shape.
    beam : `~radio_beam.Beam` or None
        The restoring beam.
    unit : `~astropy.units.UnitBase` or None
        The brightness unit.
    frequency : `~astropy.units.Quantity` or None
        The observing frequency, Hz.
    header : `~astropy.io.fits.Header`
        The header as it was read.
    unusable : dict of str
        What is there and cannot be used, by the name of what is None for it: a card and what is wrong with it.
    """

    data: np.ndarray = field(repr=False)
    wcs: WCS
    beam: Any
    unit: u.UnitBase | None
    frequency: u.Quantity | None
    header: fits.Header = field(repr=False)
    unusable: dict[str, str] = field(default_factory=dict)


def write_image(path: str | os.PathLike, data: np.ndarray, header: fits.Header, *, dtype: Any = np.float32,
                overwrite: bool = False) -> None:
    """Write an image into the primary HDU of a FITS file, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    data : array_like, shape (ny, nx) or (1, 1, ny, nx)
        Pixel values in the header's BUNIT.
    header : `~astropy.io.fits.Header`
        As from `skygal.output.field_header`.
    dtype : dtype
        How the pixels are stored, without BSCALE or BZERO: float32 or a signed integer.
    overwrite : bool
        Whether to replace a file that is there.

    Raises
    ------
    ValueError
        If the data do not have the header's shape.
    OSError
        If the file cannot be written, see `skygal.output.check_writable`.
    """
    shape = tuple(header[f"NAXIS{axis}"] for axis in range(header["NAXIS"], 0, -1))
    data = np.asarray(data)
    if data.shape not in (shape, shape[-2:]):
        raise ValueError(f"data must have the header's shape {shape} or {shape[-2:]}, got {data.shape}")
    header = header.copy()
    for keyword in _STORAGE:
        header.remove(keyword, ignore_missing=True)
    hdu = fits.PrimaryHDU(np.ascontiguousarray(data, dtype=dtype).reshape(shape), header)
    with whole_file(path, overwrite=overwrite) as part:
        hdu.writeto(part)


def read_image(source: str | os.PathLike | fits.PrimaryHDU | fits.ImageHDU, *, hdu: int = 0,
               beams: fits.BinTableHDU | None = None) -> SkyImage:
    """Read one plane of sky from a FITS file.

    Parameters
    ----------
    source : path or HDU
        A FITS file, or an image HDU of an open one. Neither is changed.
    hdu : int
        Which HDU of a file to read.
    beams : `~astropy.io.fits.BinTableHDU`, optional
        The table of beams (BEAMS) beside an HDU; a file's own is found.

    Returns
    -------
    SkyImage
        The image. What the header does not say in a usable way (beam, unit, frequency) is None.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not FITS, if the HDU holds no image or more than one plane, or if its WCS is not
        celestial.
    """
    if isinstance(source, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return _read_hdu(source, "image", beams=beams)
    name = os.fspath(source)
    if not os.path.exists(source):
        raise FileNotFoundError(f"image {name!r} does not exist")
    try:
        hdus = fits.open(source, mode="readonly", memmap=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"image {name!r} is not a FITS file: {error}") from None
    with hdus:
        if not 0 <= hdu < len(hdus):
            raise ValueError(f"hdu must be from 0 to {len(hdus) - 1} in {name!r}, got {hdu}")
        return _read_hdu(hdus[hdu], f"image {name!r}, HDU {hdu},",
                         [str(i) for i, other in enumerate(hdus) if other.is_image and other.shape], beam_table(hdus))


def _read_hdu(hdu: Any, name: str, others: list[str] | None = None, beams: Any = None) -> SkyImage:
    if not getattr(hdu, "is_image", False) or len(hdu.shape) < 2:
        hint = f"; images are in HDU {', '.join(others)}" if others else ""
        raise ValueError(f"{name} holds no image{hint}")
    header = hdu.header.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        full = WCS(header)
    try:
        sky = celestial(full)
    except ValueError as error:
        raise ValueError(f"{name} cannot be used: {error}") from None
    try:
        data = _pixels(hdu)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{name} has a header but not all of its pixels, the file may be truncated: {error}") from None
    # FITS axis k is array axis ndim - k; the other axes must be of one pixel
    keep = sorted(data.ndim - 1 - axis for axis in (full.wcs.lng, full.wcs.lat))
    extra = [length for axis, length in enumerate(data.shape) if axis not in keep]
    if keep[0] < 0 or any(length != 1 for length in extra):
        raise ValueError(f"{name} must hold one plane of sky, got the shape {data.shape}")
    plane = data[tuple(slice(None) if axis in keep else 0 for axis in range(data.ndim))]
    plane = np.array(plane, dtype=plane.dtype.newbyteorder("=") if plane.dtype.kind == "f" else np.float64)
    sky.array_shape = plane.shape
    try:
        unit = parse_unit(str(header.get("BUNIT", "")))
    except ValueError:
        unit = None  # the caller may know better
    beam, wrong = _read_beam(header, sky, plane.shape, beams, name)
    return SkyImage(data=plane, wcs=sky, beam=beam, unit=unit, frequency=_read_frequency(header), header=header,
                    unusable={"beam": wrong} if wrong else {})


def _pixels(hdu: Any) -> np.ndarray:
    """Return an HDU's pixels without changing it.

    A file that is open for updating and holds scaled integers is rewritten as floats, when closed, if
    its HDU's ``data`` have been looked at.
    """
    scaled = any(keyword in hdu.header for keyword in ("BSCALE", "BZERO", "BLANK"))
    if isinstance(hdu, fits.CompImageHDU) or not scaled or hdu.fileinfo() is None:
        return hdu.data
    return hdu.section[...]


def parse_unit(text: str) -> u.UnitBase:
    """Return a brightness unit from the ways in which radio headers spell it.

    Parameters
    ----------
    text : str
        Such as ``"JY/BEAM"``, ``"mJy beam-1"``, ``"Jy/pix"``, ``"MJy/sr"`` or ``"K"``.

    Raises
    ------
    ValueError
        If it is no brightness, or if it may mean milli or mega (``"MJY/BEAM"``).

    Examples
    --------
    >>> from skygal.images import parse_unit
    >>> parse_unit("JY/BEAM")
    Unit("Jy / beam")
    """
    words = text.strip()
    if re.match(r"MJY\b", words):
        raise ValueError(f"unit must say which of mJy and MJy it is, got {text!r}")
    words = re.sub(r"jy", "Jy", words, flags=re.IGNORECASE)
    words = re.sub(r"beam", "beam", words, flags=re.IGNORECASE)
    words = re.sub(r"pix(el)?\b", "pix", words, flags=re.IGNORECASE)
    words = re.sub(r"pix(el)?(?=-1)", "pix", words, flags=re.IGNORECASE)
    words = re.sub(r"sr", "sr", words, flags=re.IGNORECASE)
    try:
        unit = u.Unit(words)
    except ValueError:
        unit = None
    known = (u.Jy / u.beam, u.Jy / u.pix, u.Jy / u.sr, u.K)
    if unit is None or not any(unit.is_equivalent(brightness) for brightness in known):
        raise ValueError("unit must be a brightness such as 'Jy/beam', 'Jy/pixel', 'MJy/sr' or 'K', "
                         f"got {text!r}")
    return unit


def _read_beam(header: fits.Header, sky: WCS, shape: tuple[int, ...], table: Any, name: str) -> tuple[Any, str]:
    """Return the header's beam, or None and what is wrong with what the header has."""
    scale = float(np.sqrt(abs(np.linalg.det(sky.pixel_scale_matrix))))
    name = name.rstrip(",")
    try:
        return read_beam(header, scale=scale, shape=shape, table=table, name=name), ""
    except ValueError as error:
        return None, f"{name}: {error}"


def _read_frequency(header: fits.Header) -> u.Quantity | None:
    # a plane that was cut out of a cube may have kept the cards of more axes than it has
    for axis in range(1, 10):
        if str(header.get(f"CTYPE{axis}", "")).strip().upper().startswith("FREQ"):
            step = header.get(f"CDELT{axis}", header.get(f"CD{axis}_{axis}", 0.0))
            value = header.get(f"CRVAL{axis}", 0.0) + (1 - header.get(f"CRPIX{axis}", 1.0)) * step
            if value > 0:
                return (value * u.Unit(header.get(f"CUNIT{axis}") or "Hz")).to(u.Hz)
    for keyword in ("RESTFRQ", "RESTFREQ", "FREQ"):
        value = header.get(keyword)
        if isinstance(value, (int, float)) and value > 0:
            return value * u.Hz
    return None
