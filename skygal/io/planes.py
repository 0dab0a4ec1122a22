"""The images of a written field, mapped: their pixels are read from disk when they are looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from skygal.checks import show
from skygal.io.cards import Cards
from skygal.io.fits_files import FitsHdu, choose_image, open_hdus
from skygal.io.header_wcs import read_celestial

__all__ = ["PLANES", "map_plane", "map_planes", "open_zarr_planes"]

#: the images of a field by file, and the BITPIX that they are written with
PLANES: Mapping[str, tuple[str, int]] = {"image": ("field.fits", -32), "model": ("model.fits", -32),
                                         "segmentation": ("segmentation.fits", 32)}
_TYPES = {-32: ">f4", 32: ">i4"}


def map_planes(folder: str | os.PathLike) -> tuple[dict[str, np.ndarray], fits.Header, WCS]:
    """Return the images of a field that was written as FITS, its header and its celestial WCS.

    Parameters
    ----------
    folder : path
        As `skygal.Field.write` made it.

    Returns
    -------
    planes : dict of str to ndarray
        ``image``, ``model`` and ``segmentation``, read-only memory maps of shape (ny, nx), in the byte order of FITS.
    header : `~astropy.io.fits.Header`
        That of ``field.fits``.
    wcs : `~astropy.wcs.WCS`

    Raises
    ------
    FileNotFoundError
        If one of the files is missing.
    ValueError
        If one is not as it was written; the message names file and card.
    """
    planes: dict[str, np.ndarray] = {}
    header, wcs, whole = fits.Header(), WCS(naxis=2), (0, 0)
    for name, (file, bitpix) in PLANES.items():
        path = Path(folder) / file
        shown = f"image {show(os.fspath(path))}"
        planes[name], hdu = _map_plane(path, bitpix, shown)
        shape = planes[name].shape
        if name == "image":
            header, whole = hdu.header, shape
            wcs = _celestial(header, shown)
            wcs.array_shape = shape
        for axis in (1, 2):
            if shape[-axis] != whole[-axis]:
                raise ValueError(f"{shown}, HDU {hdu.index}: NAXIS{axis} must be {whole[-axis]}, as in field.fits, got "
                                 f"{shape[-axis]}")
    return planes, header, wcs


def map_plane(path: str | os.PathLike, name: str) -> tuple[np.ndarray, fits.Header, WCS]:
    """Return one image that was written as those of a field are, its header and its celestial WCS.

    Parameters
    ----------
    path : path
        A FITS file.
    name : "image", "model" or "segmentation"
        Which of them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not as it was written.
    """
    shown = f"image {show(os.fspath(path))}"
    plane, hdu = _map_plane(Path(path), PLANES[name][1], shown)
    wcs = _celestial(hdu.header, shown)
    wcs.array_shape = plane.shape
    return plane, hdu.header, wcs


def _map_plane(path: Path, bitpix: int, shown: str) -> tuple[np.ndarray, FitsHdu]:
    with open_hdus(path, shown) as (hdus, opened):
        hdu = choose_image(hdus, None, shown)
        opened.check_pixels(hdu)
        if opened.packed:
            raise ValueError(f"{shown} must not be compressed to be mapped")
    shape = _check_plane(hdu, bitpix, shown)
    return np.memmap(path, _TYPES[bitpix], mode="r", offset=hdu.body, shape=shape), hdu


def _celestial(header: fits.Header, shown: str) -> WCS:
    try:
        wcs, axes = read_celestial(header, shown)
    except ValueError as error:
        raise ValueError(f"{shown} cannot be used: {error}") from None
    if sorted(axes) != [1, 2]:
        raise ValueError(f"{shown} must have its celestial axes first, got CTYPE{axes[0]} and CTYPE{axes[1]}")
    return wcs


def _check_plane(hdu: FitsHdu, bitpix: int, shown: str) -> tuple[int, int]:
    """Return the shape of a plane, if its pixels are stored as they are written."""
    if hdu.is_packed or hdu.header["BITPIX"] != bitpix:
        raise ValueError(f"{shown}, HDU {hdu.index}: BITPIX must be {bitpix}, got "
                         f"{'compressed tiles' if hdu.is_packed else hdu.header['BITPIX']}")
    cards = Cards(hdu.header)
    for keyword, plain in (("BSCALE", 1.0), ("BZERO", 0.0)):
        if cards.number(keyword, plain) != plain:
            raise ValueError(f"{shown}, HDU {hdu.index}: {keyword} must be {plain:g}, got {cards.value(keyword)}")
    for k, length in enumerate(hdu.shape[:-2][::-1], 3):
        if length != 1:
            raise ValueError(f"{shown}, HDU {hdu.index}: NAXIS{k} must be 1, got {length}")
    return hdu.shape[-2], hdu.shape[-1]


def open_zarr_planes(folder: str | os.PathLike) -> tuple[dict[str, Any], fits.Header, WCS]:
    """Return the same of a field that was written as Zarr: the planes are lazy Dask arrays.

    Raises
    ------
    ModuleNotFoundError
        If Zarr and Dask are not installed.
    ValueError
        If the group is not as it was written.
    """
    path = Path(folder) / "field.zarr"
    shown = f"group {show(os.fspath(path))}"
    try:
        import dask.array as da
        import zarr
    except ImportError:
        raise ModuleNotFoundError(f"{shown} needs Zarr and Dask: pip install 'skygal[dask]'") from None
    try:
        group = zarr.open_group(path, mode="r")
        planes = {name: da.from_zarr(group[name]) for name in PLANES}
        header = fits.Header.fromstring(str(group.attrs["header"]), sep="\n")
    except Exception as error:  # whatever Zarr's own readers do
        raise ValueError(f"{shown} cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from None
    wcs = _celestial(header, shown)
    shape = planes["image"].shape
    for name, plane in planes.items():
        if plane.ndim != 2 or plane.shape != shape:
            raise ValueError(f"{shown}: {name} must have the shape {shape[-2:]}, got {plane.shape}")
    wcs.array_shape = shape
    return planes, header, wcs
