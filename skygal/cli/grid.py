"""The pixel grid of a field, from words or from the header of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.wcs import WCS

from skygal.checks import show
from skygal.io.header_wcs import celestial, celestial_axes, read_celestial
from skygal.io.words import parse_path, parse_quantity, parse_size
from skygal.wcs import make_wcs

__all__ = ["DEFAULT_CENTER", "DEFAULT_SIZE", "parse_wcs"]

#: where a field lies and how many pixels it has on a side if nothing is said
DEFAULT_CENTER, DEFAULT_SIZE = "12h00m00s +30d00m00s", 1024


def _grid_of(path: Path) -> WCS:
    """Return the first celestial WCS with a shape in the headers of a FITS file."""
    from skygal.io.fits_files import open_hdus

    name = f"wcs file {show(os.fspath(path))}"
    with open_hdus(path, name) as (hdus, file):
        for hdu in hdus:
            header = hdu.image_header()
            try:
                if celestial_axes(header) is None:
                    continue
                found, _ = read_celestial(header, f"{name}, HDU {hdu.index}")
                celestial(found)
            except ValueError as error:
                raise ValueError(f"{name}, HDU {hdu.index}, cannot be used: {error}") from None
            if found.array_shape is not None:
                file.check_pixels(hdu, bare=True)
                return found
    raise ValueError(f"{name} has no celestial WCS with a shape in any of its headers")


def _grid_in(cards: Mapping[str, Any]) -> WCS:
    """Return the celestial WCS that the cards of a header make up, with its shape."""
    try:
        header = fits.Header([(str(key), value) for key, value in cards.items()])
        found, axes = read_celestial(header, "wcs")
        sky = celestial(found)
        sky.array_shape = tuple(int(header[f"NAXIS{axis}"]) for axis in axes[::-1])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"wcs cannot be used: {error}") from None
    return sky


def parse_wcs(*, wcs: str | Mapping[str, Any] | None = None, center: str | None = None, size: Any = None,
              pixel_scale: Any = None, projection: str | None = None, survey: str | None = None) -> WCS:
    """Return the WCS of a field: that of a FITS file, or one built from a centre, a size and a pixel.

    Parameters
    ----------
    wcs : str or mapping, optional
        The cards of a header, or a FITS file, of which the first header with a celestial WCS and a shape is taken. It
        stands alone: none of the others but ``survey`` may be given.
    center, size, pixel_scale, projection
        As `skygal.make_wcs`, in words; by default 1024 pixels on a side at 12h +30d, SIN.
    survey : str, optional
        Its pixel is the default.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has no celestial WCS or one with a card that cannot be used, or if what is given does not make one.
    """
    if wcs is not None:
        for name, value in (("center", center), ("size", size), ("pixel_scale", pixel_scale),
                            ("projection", projection)):
            if value is not None:
                raise ValueError(f"{name} must be left out where wcs is given, got {show(value)}")
        return _grid_in(wcs) if isinstance(wcs, Mapping) else _grid_of(parse_path("wcs", wcs))
    if pixel_scale is not None:
        scale = parse_quantity("pixel_scale", pixel_scale)
    elif survey is not None:
        from skygal.observation.surveys import read_survey

        scale = read_survey(survey).pixel_scale
    else:
        raise ValueError("pixel_scale must be given where there is neither a survey nor a wcs")
    return make_wcs(DEFAULT_CENTER if center is None else str(center),
                    parse_size("size", DEFAULT_SIZE if size is None else size), scale,
                    projection="SIN" if projection is None else projection)
