"""The primary beam of an observation, from the ways in which one may be given."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from skygal.checks import show
from skygal.observation.dish_beam import AiryPrimaryBeam, GaussianPrimaryBeam, PrimaryBeam
from skygal.observation.local_frame import local_affine
from skygal.observation.pattern_image import ImagePrimaryBeam, read_primary_beam
from skygal.wcs import pixel_to_icrs

__all__ = ["AiryPrimaryBeam", "GaussianPrimaryBeam", "ImagePrimaryBeam", "PrimaryBeam", "as_primary_beam",
           "read_primary_beam"]


def as_primary_beam(value: Any, wcs: WCS, shape: tuple[int, int], *,
                    frequency: u.Quantity | None = None) -> PrimaryBeam | None:
    """Return a primary beam with a pointing, from the ways in which one may be given.

    Parameters
    ----------
    value : PrimaryBeam, Quantity, path, HDU, str or None
        A length, also as ``"25 m"``, is a dish's diameter, and stands for its Airy pattern; a FITS image is a power
        pattern. None is none.
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx): the pointing is at its centre, unless there is one. (A FITS
        image has one: its peak.)
    frequency : Quantity, optional
        The highest that it is needed at, to check its width.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it is not allowed, or narrower than a pixel.
    """
    if value is None:
        return None
    if isinstance(value, str) and not os.path.exists(value):
        try:
            value = u.Quantity(value)
        except (TypeError, ValueError):
            raise FileNotFoundError(
                f"primary beam {show(value)} is neither a file nor a dish's diameter, such as '25 m'") from None
    if isinstance(value, u.Quantity):
        value = AiryPrimaryBeam(value)
    elif isinstance(value, (str, os.PathLike, fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        value = read_primary_beam(value)
    elif not isinstance(value, PrimaryBeam):
        raise TypeError("primary_beam must be a PrimaryBeam, a Quantity (a dish's diameter) or a FITS image of the "
                        f"power pattern, got {type(value).__name__}")
    places = np.array([[(n - 1) / 2 for n in shape[::-1]], wcs.wcs.crpix - 1])
    affines = local_affine(wcs, *places.T)
    k = 0 if np.isfinite(affines[0]).all() else 1
    if value.pointing is None:
        value = replace(value, pointing=tuple(float(a) for a in pixel_to_icrs(wcs, *places[k])))
    if frequency is not None:
        pixel = 1 / np.sqrt(abs(np.linalg.det(affines[k])))
        width = value.fwhm(frequency).to_value(u.arcsec)
        if width < pixel:
            raise ValueError(f"primary_beam must be wider than a pixel, {pixel:.3g} arcsec, "
                             f"got a FWHM of {width:.3g} arcsec at {frequency}")
    return value
