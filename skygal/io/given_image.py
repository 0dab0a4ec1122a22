"""An image that is given, by a file, an HDU or an array, and the header of what is made of it."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike, fspath
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits

from skygal.checks import as_count, show, warn_caller
from skygal.io.cards import Cards
from skygal.io.fits_files import MOST_AXES
from skygal.io.header_beam import beam_table, write_beam
from skygal.io.header_frequency import spectral_axes, write_frequency_axis
from skygal.io.header_wcs import celestial, read_celestial
from skygal.io.headers import field_header, primary_header, restate_wcs, unwritable
from skygal.io.images import SkyImage, choose_hdu, describe_plane, parse_unit, read_image

__all__ = ["as_image", "as_unit", "header_upon"]


def as_image(image: Any, wcs: Any = None, hdu: Any = None, *, lazy: bool = False) -> tuple[SkyImage, str]:
    """Return the image that was given and what to call it.

    Parameters
    ----------
    image : path, HDU or ndarray
        A FITS file, an image HDU, or an array of shape (ny, nx) with its ``wcs``.
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`, optional
        For an array; a header brings its beam, unit and frequency along.
    hdu : int or str, optional
        Which HDU of a file.
    lazy : bool
        Whether pixels may stay in their file, see `skygal.io.images.read_image`.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or its header cannot be used.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(image, np.ndarray):
        return _as_array_image(image, wcs), "array"
    hdus = fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU
    if not isinstance(image, (str, PathLike, fits.HDUList, *hdus)):
        raise TypeError(f"image must be a FITS file, an image HDU or an array, got {type(image).__name__}")
    if wcs is not None:
        raise ValueError("wcs must be left out where image is a FITS file or HDU, which has its own, "
                         f"got {type(wcs).__name__}")
    if not (hdu is None or isinstance(hdu, str)):
        hdu = as_count("hdu", hdu)
    if isinstance(image, (str, PathLike)):
        return read_image(image, hdu=hdu, lazy=lazy), fspath(image)
    if isinstance(image, fits.HDUList):
        return read_image(choose_hdu(image, hdu), beams=beam_table(image)), "HDU"
    return read_image(image), "HDU"


def _as_array_image(image: Any, wcs: Any) -> SkyImage:
    """Return the image that an array and its WCS or header make up."""
    own_unit = None
    if isinstance(image, u.Quantity):
        image, own_unit = image.value, image.unit
    if isinstance(image, np.ma.MaskedArray):
        image = np.ma.filled(image.astype(float), np.nan)
    if image.ndim != 2 or image.dtype.kind not in "fiu" or not image.size:
        raise ValueError(f"image must be a two-dimensional array of numbers, got shape {image.shape}, "
                         f"dtype {image.dtype}")
    if wcs is None:
        raise ValueError("wcs must be given with an image that is an array")
    sky = celestial(wcs)
    known = sky.array_shape is not None and all(sky.array_shape)
    if known and tuple(sky.array_shape) != image.shape:
        raise ValueError(f"wcs must be that of the image, of shape {image.shape}, got one of shape "
                         f"{tuple(sky.array_shape)}")
    if not isinstance(wcs, fits.Header):
        sky.array_shape = image.shape
        return SkyImage(image, sky, None, own_unit, None, fits.Header())
    # a header brings its beam, unit and frequency along
    sky, axes = read_celestial(wcs)
    found = describe_plane(image, sky, axes, wcs, "wcs header")
    header = found.header
    header["NAXIS"] = max(Cards(wcs).whole("NAXIS", most=MOST_AXES) or 2, *axes)
    for axis in range(1, header["NAXIS"] + 1):
        header[f"NAXIS{axis}"] = 1 if axis not in axes else image.shape[1 - axes.index(axis)]
    if own_unit is not None:
        header["BUNIT"] = _spell(own_unit)
    return replace(found, unit=own_unit or found.unit)


def as_unit(unit: Any) -> u.UnitBase:
    """Return the brightness unit that was given.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    try:
        return parse_unit(unit) if isinstance(unit, str) else u.Unit(unit)
    except TypeError:
        raise TypeError(f"unit must be an astropy unit or a string, got {show(unit)}") from None


def _spell(unit: Any) -> str:
    """Return a brightness unit as radio software spells it."""
    if unit == u.Jy / u.beam:
        return "JY/BEAM"
    for area, name in ((u.beam, "beam"), (u.pix, "pixel"), (u.sr, "sr")):
        if (unit * area).is_equivalent(u.Jy) and len((unit * area).bases) == 1:
            return f"{(unit * area).to_string('fits')}/{name}"
    return unit.to_string("fits")


def header_upon(given: SkyImage, *, beam: Any, frequency: u.Quantity, unit: u.UnitBase) -> fits.Header:
    """Return the header of what is made of an image: its own, as that of a primary HDU; a new one for a bare array.

    Parameters
    ----------
    given : SkyImage
        The image.
    beam, frequency, unit : `~radio_beam.Beam`, Quantity, unit
        What is known of it, and is written where its header says something else.

    Raises
    ------
    ValueError
        If its WCS cannot be written.
    """
    if not len(given.header):
        return field_header(given.wcs, given.data.shape, beam=beam, frequency=frequency, unit=_spell(unit))
    header = primary_header(given.header)
    header.remove("CASAMBM", ignore_missing=True)
    lost = unwritable(given.header)
    if lost:
        warn_caller(f"{given.name}: cards that cannot be read are left out of the header that is written: "
                    f"{', '.join(lost)}")
    write_beam(header, beam)
    if unit != given.unit or "BUNIT" not in header:
        header["BUNIT"] = _spell(unit)
    hertz = frequency.to_value(u.Hz)
    if given.frequency is None or frequency != given.frequency:
        _set_frequency(header, hertz)
    try:
        return restate_wcs(header, given.wcs, given.axes, hertz)
    except ValueError as error:
        raise ValueError(f"{given.name} cannot be used: {error}") from None


def _set_frequency(header: fits.Header, frequency: float) -> None:
    """Write a frequency (Hz) wherever a reader may look for it."""
    for axis in spectral_axes(header):
        write_frequency_axis(header, axis, frequency)
    for key in ("RESTFRQ", "RESTFREQ"):
        header[key] = (frequency, "[Hz] rest frequency")
