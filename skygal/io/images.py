"""Sky images in FITS: what is read from a header, and how an image is written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from skygal.checks import show, show_fields
from skygal.io.atomic import whole_file
from skygal.io.cards import Cards
from skygal.io.fits_files import choose_image, open_hdus, read_pixels
from skygal.io.header_beam import beam_table, read_beam
from skygal.io.header_frequency import read_frequency
from skygal.io.header_wcs import celestial, read_celestial
from skygal.io.headers import primary_header
from skygal.io.pixel_file import PixelFile, locate_pixels

__all__ = ["SkyImage", "choose_hdu", "describe_plane", "parse_unit", "read_image", "write_image"]


@dataclass(frozen=True, eq=False)
class SkyImage:
    """One plane of a FITS image, with what its header says of it.

    Attributes
    ----------
    data : ndarray or PixelFile, shape (ny, nx)
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
    name : str
        What it is called in messages.
    axes : (int, int)
        Which axes of the header, from 1, are the two of ``wcs``.
    unusable : mapping of str to str
        Why there is no beam, unit or frequency, where the header says something of it that cannot be used.
    """

    data: Any = field(repr=False)
    wcs: WCS
    beam: Any
    unit: u.UnitBase | None
    frequency: u.Quantity | None
    header: fits.Header = field(repr=False)
    name: str = "image"
    axes: tuple[int, int] = (1, 2)
    unusable: Mapping[str, str] = field(default_factory=dict, repr=False)

    __repr__ = show_fields

    def why_none(self, what: str) -> str:
        """Return why there is no ``"beam"``, ``"unit"`` or ``"frequency"``, for a message."""
        if what not in self.unusable:
            return "the image's header has none"
        return f"the image's header has none that can be used: {self.name}: {self.unusable[what]}"


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
        As from `skygal.io.headers.field_header`.
    dtype : dtype
        How the pixels are stored, without BSCALE or BZERO: float32 or a signed integer.
    overwrite : bool
        Whether to replace a file that is there.

    Raises
    ------
    ValueError
        If the data do not have the header's shape.
    OSError
        If the file cannot be written, see `skygal.io.atomic.check_writable`.
    """
    shape = tuple(header[f"NAXIS{axis}"] for axis in range(header["NAXIS"], 0, -1))
    data = np.asarray(data)
    if data.shape not in (shape, shape[-2:]):
        raise ValueError(f"data must have the header's shape {shape} or {shape[-2:]}, got {data.shape}")
    dtype = np.dtype(dtype)
    hdu = fits.PrimaryHDU(np.ascontiguousarray(data, dtype=dtype).reshape(shape), primary_header(header, dtype))
    with whole_file(path, overwrite=overwrite) as part:
        hdu.writeto(part)


def read_image(source: str | os.PathLike | fits.PrimaryHDU | fits.ImageHDU, *,
               hdu: int | str | None = None, beams: fits.BinTableHDU | None = None, lazy: bool = False) -> SkyImage:
    """Read one plane of sky from a FITS file.

    Parameters
    ----------
    source : path or HDU
        A FITS file (gzip, bzip2 or xz too), or an image HDU of an open one. Neither is changed.
    hdu : int or str, optional
        Which HDU of a file to read, by its number or its EXTNAME. By default the first; where that is empty, as in
        files compressed by tiles, the only image after it.
    beams : `~astropy.io.fits.BinTableHDU`, optional
        The table of beams (BEAMS) beside an HDU; a file's own is found.
    lazy : bool
        Whether the pixels may stay in the file, where they lie there as floats, uncompressed.

    Returns
    -------
    SkyImage
        The image. What the header does not say in a usable way (beam, unit, frequency) is None, and
        ``unusable`` says why.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not FITS or not all there, if the HDU holds no image or more than one plane, or if its WCS is not
        celestial or has a card that cannot be used. The message names file, HDU and card.
    """
    if isinstance(source, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        if not source.is_image or len(source.shape) < 2:
            raise ValueError("image holds no image")
        return _read_plane(source.header, source.shape, lambda: _pixels(source), "image", beams)
    name = f"image {show(os.fspath(source))}"
    with open_hdus(source, name) as (hdus, file):
        found = choose_image(hdus, hdu, name)
        file.check_pixels(found)
        header = found.image_header()
        label, beams = f"{name}, HDU {found.index},", _file_beams(source, header)
        there = locate_pixels(source, file, found) if lazy else None
        return _read_plane(header, found.shape, lambda: read_pixels(file, found), label, beams, there)


def choose_hdu(hdus: fits.HDUList, hdu: int | str | None) -> Any:
    """Return the HDU of an open file that `read_image` reads from a closed one.

    Raises
    ------
    ValueError
        If there is no such HDU, or none was asked for and there are several images.
    """
    images = [k for k, one in enumerate(hdus) if one.is_image and len(one.shape) >= 2]
    if isinstance(hdu, str):
        named = [k for k, one in enumerate(hdus) if one.name.upper() == hdu.strip().upper()]
        if len(named) != 1:
            raise ValueError(f"hdu must be a number or the EXTNAME of one HDU, got {show(hdu)}; images are in HDU "
                             f"{images}")
        return hdus[named[0]]
    if hdu is None:
        if 0 not in images and len(images) > 1:
            raise ValueError(f"hdu must be given, since there are several images, in HDU {images}")
        hdu = 0 if 0 in images or not images else images[0]
    if hdu >= len(hdus):
        raise ValueError(f"hdu must be from 0 to {len(hdus) - 1}, got {hdu}")
    return hdus[hdu]


def _read_plane(header: fits.Header, shape: Sequence[int], pixels: Callable[[], np.ndarray], name: str,
                beams: Any = None, there: PixelFile | None = None) -> SkyImage:
    """Return the image of a header; its pixels are asked for when the header has been found good."""
    try:
        sky, axes = read_celestial(header, name.rstrip(","))
        celestial(sky)
    except ValueError as error:
        raise ValueError(f"{name} cannot be used: {error}") from None
    # FITS axis k is array axis ndim - k; the other axes must be of one pixel
    keep = sorted(len(shape) - axis for axis in axes)
    extra = [length for axis, length in enumerate(shape) if axis not in keep]
    if keep[0] < 0 or any(length != 1 for length in extra):
        raise ValueError(f"{name} must hold one plane of sky, got the shape {tuple(shape)}")
    if there is not None:
        return describe_plane(there, sky, axes, header, name.rstrip(","), beams)
    try:
        data = pixels()
    except (OSError, ValueError, TypeError) as error:
        if str(error).startswith("image "):
            raise
        raise ValueError(f"{name} has a header but not all of its pixels, the file may be truncated: {error}") from None
    plane = data[tuple(slice(None) if axis in keep else 0 for axis in range(data.ndim))]
    plane = np.array(plane, dtype=plane.dtype.newbyteorder("=") if plane.dtype.kind == "f" else np.float64)
    return describe_plane(plane, sky, axes, header, name.rstrip(","), beams)


def describe_plane(plane: Any, sky: WCS, axes: tuple[int, int], header: fits.Header, name: str,
                   beams: Any = None) -> SkyImage:
    """Return the image that pixels, their WCS and what else their header says make up."""
    sky.array_shape = plane.shape
    found: dict[str, Any] = {}
    unusable: dict[str, str] = {}
    scale = float(np.sqrt(abs(np.linalg.det(sky.pixel_scale_matrix))))
    for what, read in (("beam", lambda: read_beam(header, scale=scale, shape=plane.shape, table=beams, name=name)),
                       ("unit", lambda: _read_unit(header)),
                       ("frequency", lambda: read_frequency(header, axes))):
        try:
            found[what] = read()
        except ValueError as error:
            # the caller may know better
            found[what], unusable[what] = None, str(error)
    return SkyImage(data=plane, wcs=sky, header=header.copy(), name=name, axes=axes, unusable=unusable, **found)


def _read_unit(header: fits.Header) -> u.UnitBase | None:
    text = Cards(header).text("BUNIT")
    if not text:
        return None
    try:
        return parse_unit(text)
    except ValueError as error:
        raise ValueError(f"B{str(error).replace('unit', 'UNIT', 1)}") from None


def _file_beams(path: str | os.PathLike, header: fits.Header) -> Any:
    """Return a file's table of beams, if the header says that there is one."""
    if header.get("CASAMBM") is not True:
        return None
    try:
        with fits.open(path, memmap=False) as hdus:
            table = beam_table(hdus)
            return None if table is None else table.copy()
    except (OSError, ValueError, TypeError):
        return None


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
    >>> from skygal.io.images import parse_unit
    >>> parse_unit("JY/BEAM")
    Unit("Jy / beam")
    """
    words = " ".join(text.split())
    for spelt, plain in (("MJY", "Jy"), ("MK", "K")):
        if re.match(rf"{spelt}\b", words):
            raise ValueError(f"unit must say which of m{plain} and M{plain} it is, got {show(text)}")
    words = re.sub(r"\bK(ELVINS?)?\b", "K", words, flags=re.IGNORECASE)
    words = re.sub(r"(?<![A-Za-z])(u|n|k)?jy(?![a-z])", lambda match: f"{(match[1] or '').lower()}Jy", words,
                   flags=re.IGNORECASE)
    words = re.sub(r"jy", "Jy", words, flags=re.IGNORECASE)
    words = re.sub(r"\bper\b", "/", words, flags=re.IGNORECASE)
    words = re.sub(r"beam|\bbm(?![a-z])", "beam", words, flags=re.IGNORECASE)
    words = re.sub(r"pix(el)?\b", "pix", words, flags=re.IGNORECASE)
    words = re.sub(r"pix(el)?(?=-1)", "pix", words, flags=re.IGNORECASE)
    words = re.sub(r"sr", "sr", words, flags=re.IGNORECASE)
    try:
        unit = u.Unit(words)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        unit = None
    known = (u.Jy / u.beam, u.Jy / u.pix, u.Jy / u.sr, u.K)
    scales = [] if unit is None else [unit.to(one) for one in known if unit.is_equivalent(one)]
    # a number may stand before the unit, of any size
    if not any(1e-30 < scale < 1e30 for scale in scales):
        raise ValueError("unit must be a brightness such as 'Jy/beam', 'Jy/pixel', 'MJy/sr' or 'K', "
                         f"got {show(text)}")
    return unit
