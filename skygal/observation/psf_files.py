"""PSF images in files, and their grids."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from skygal.checks import show, show_fields
from skygal.io.cards import Cards
from skygal.io.fits_files import read_first
from skygal.io.inputs import read_npy
from skygal.observation.local_frame import local_affine
from skygal.wcs import celestial

__all__ = ["PsfImage", "read_psf_image"]


@dataclass(frozen=True, eq=False)
class PsfImage:
    """A PSF image and its grid.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        Pixel values.
    affine : ndarray, shape (2, 2), or None
        Pixels (x, y) per arcsec (east, north) at its brightest pixel; None where the file does not say.
    """

    data: np.ndarray
    affine: np.ndarray | None

    __repr__ = show_fields


def read_psf_image(path: str | os.PathLike) -> PsfImage:
    """Return the PSF image in a FITS or ``.npy`` file, axes of one pixel dropped.

    A FITS header gives the grid if it has a celestial WCS, or CDELT with an angle in CUNIT (CDELT1 is
    negative where east is left).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, holds no two-dimensional image, or its header has a grid that cannot be read.
    """
    name = f"psf file {show(os.fspath(path))}"
    header = None
    if os.fspath(path).endswith(".npy"):
        data = read_npy(path, "psf file")
    else:
        data, header = read_first(path, name)
    if data.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold numbers, got {data.dtype}")
    if np.squeeze(data).ndim != 2:
        raise ValueError(f"{name} must hold a two-dimensional image, got the shape {data.shape}")
    data = np.squeeze(data).astype(float)
    try:
        return PsfImage(data, None if header is None else _psf_grid(header, data))
    except ValueError as error:
        # the library's text ends with what is wrong, after where in its own source it was found
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"{name} has a grid that cannot be read: {reason}") from None


def _psf_grid(header: fits.Header, data: np.ndarray) -> np.ndarray | None:
    """Return pixels per arcsec (east, north) at the brightest pixel, None if the header does not say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    if wcs.has_celestial:
        y, x = np.unravel_index(np.argmax(np.nan_to_num(data)), data.shape)
        # card by card: one that is no number would be read as a degree a pixel
        affine = local_affine(celestial(header), x, y)[0]
        return affine if np.isfinite(affine).all() else None
    cards = Cards(header)
    for key in ("CDELT1", "CDELT2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        cards.number(key)
    units = [u.Unit(unit) for unit in wcs.wcs.cunit][:2]
    if len(units) < 2 or not all(unit.is_equivalent(u.deg) for unit in units):
        return None
    # the steps of a plain grid: arcsec (east, north) per pixel
    steps = wcs.pixel_scale_matrix[:2, :2] * [[unit.to(u.arcsec)] for unit in units]
    return np.linalg.inv(steps) if np.linalg.det(steps) else None
