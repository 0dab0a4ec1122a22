"""The image's own frame at a place: what a beam's angle is measured in."""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike

from skygal.wcs import pixel_affine, pixel_to_icrs

__all__ = ["local_affine"]


def local_affine(wcs: WCS, x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return the map from sky offsets in the image's own frame to pixel offsets.

    A beam's angle is from the north of the image's own frame, as all that read BPA take it to be, so
    the frame is left out: longitude and latitude count as if they were right ascension and declination.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A 2-d celestial WCS.
    x, y : array_like, shape (n,)
        Places in pixels.

    Returns
    -------
    ndarray, shape (n, 2, 2)
        d(x, y) / d(east, north) in pixels per arcsecond; NaN off the sky.
    """
    plain = wcs.deepcopy()
    plain.wcs.ctype = [("RA---" if axis == wcs.wcs.lng else "DEC--") + str(name)[5:]
                       for axis, name in enumerate(wcs.wcs.ctype)]
    plain.wcs.radesys = "ICRS"
    plain.wcs.set()
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    known = np.isfinite(x) & np.isfinite(y)
    lon, lat = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    if known.any():
        lon[known], lat[known] = pixel_to_icrs(plain, x[known], y[known])
    known = np.isfinite(lon) & np.isfinite(lat)
    affine = np.full((x.size, 2, 2), np.nan)
    if known.any():
        affine[known] = pixel_affine(plain, lon[known], lat[known])
    return affine
