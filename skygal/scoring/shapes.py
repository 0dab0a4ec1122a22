"""Ellipses that a catalogue gives in pixels, or in another frame, on the sky: axes in arcsec, angles east of north."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from skygal.observation.ellipse import FWHM, ellipse_axes
from skygal.wcs import pixel_affine, pixel_to_icrs, tangent_vectors, unit_vectors

__all__ = ["covariance_on_sky", "ellipse_on_sky", "frame_to_icrs", "longer_first"]

#: far enough that rounding does not matter, near enough that meridians are straight
_NORTHWARD = 1e-4


def ellipse_on_sky(wcs: WCS, x: np.ndarray, y: np.ndarray, major: np.ndarray, minor: np.ndarray, angle: np.ndarray
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ellipses on the sky of ellipses in an image.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
    x, y : ndarray, shape (n,)
        Pixels, 0-based.
    major, minor : ndarray, shape (n,)
        Axes, pixels.
    angle : ndarray, shape (n,)
        From the first axis of pixels towards the second, deg.

    Returns
    -------
    tuple of ndarray
        Axes (arcsec; of the same kind, such as FWHM) and angle from north through east (deg, 0 to 180); NaN where one
        of them is, or there is no sky.
    """
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    a, b = np.square(major) / FWHM**2, np.square(minor) / FWHM**2
    return covariance_on_sky(wcs, x, y, a * c**2 + b * s**2, a * s**2 + b * c**2, (a - b) * s * c)


def covariance_on_sky(wcs: WCS, x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray, xy: np.ndarray
                      ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return FWHM (arcsec) and angle (deg) on the sky of Gaussians with these second moments in pixels."""
    out = np.full((3, len(x)), np.nan)
    ra, dec = pixel_to_icrs(wcs, x, y)
    use = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(xx) & np.isfinite(yy) & np.isfinite(xy)
    if use.any():
        to_sky = np.linalg.pinv(np.nan_to_num(pixel_affine(wcs, ra[use], dec[use])))
        moments = np.stack([np.stack([xx[use], xy[use]], -1), np.stack([xy[use], yy[use]], -1)], -2)
        major, minor, pa = ellipse_axes(to_sky @ moments @ np.swapaxes(to_sky, -1, -2))
        out[:, use] = major, minor, np.degrees(pa)
    return out[0], out[1], out[2]


def frame_to_icrs(lon: np.ndarray, lat: np.ndarray, frame: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ICRS positions (deg) of those in a frame, and the angle there of the frame's north from ICRS north, deg.

    Parameters
    ----------
    lon, lat : ndarray, shape (n,)
        Degrees; NaN for none.
    frame : str
        Such as "galactic", "fk4" and "fk5".
    """
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    ra, dec, turn = (np.full(lon.shape, np.nan) for _ in range(3))
    use = np.isfinite(lon) & (np.abs(lat) <= 90)
    if not use.any() or frame == "icrs":
        return lon, np.where(use, lat, np.nan), np.where(use, 0.0, np.nan)
    # towards the equator from the northern half, so that no step leads over a pole
    step = np.where(lat[use] > 0, -_NORTHWARD, _NORTHWARD)
    here, there = (SkyCoord(lon[use] * u.deg, place * u.deg, frame=frame).icrs for place in (lat[use], lat[use] + step))
    ra[use], dec[use] = here.ra.deg, here.dec.deg
    away = unit_vectors(there.ra.deg, there.dec.deg) * np.sign(step)[:, None]
    east, north = (np.sum(away * axis, axis=-1) for axis in tangent_vectors(ra[use], dec[use]))
    turn[use] = np.degrees(np.arctan2(east, north))
    return ra, dec, turn


def longer_first(major: Any, minor: Any, pa: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return axes, the longer one first, and the angle of it from 0 to 180 deg."""
    across = np.asarray(minor) > np.asarray(major)
    angle = (np.where(across, np.asarray(pa) + 90, pa)) % 180
    return np.where(across, minor, major), np.where(across, major, minor), np.where(angle >= 180, 0.0, angle)
