"""Geometry of the sky: from a WCS to local scale, rotation and parity.

Pixel coordinates are 0-based with pixel centres at integers; sky coordinates are ICRS in degrees.
Position angles run from ICRS north through east, whatever the frame of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import ICRS, BaseCoordinateFrame, Latitude, Longitude, SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from skygal.checks import as_count, as_quantity, check_choice, show, warn_caller

__all__ = ["Turns", "icrs_to_pixel", "image_shape", "local_affine", "make_wcs", "on_sky", "pixel_affine", "pixel_area",
           "pixel_to_icrs", "sky_frame", "tangent_vectors", "turns", "unit_vectors"]

#: projections of which one turn is as wide everywhere, and those of which it narrows towards the poles
EVEN_TURNS, NARROWING_TURNS = ("CAR", "CEA", "CYP", "MER", "HPX"), ("SFL", "PAR", "MOL", "GLS")
_TINY = 1e-9
_ARCSEC = np.pi / 180 / 3600
#: pixels on a side, at most, that are looked at to tell whether all of an image is sky
LATTICE_SIDE = 257


def sky_frame(wcs: WCS) -> BaseCoordinateFrame:
    """Return the frame of a celestial WCS: equatorial (ICRS, FK5, FK4, FK4-NO-E) or galactic.

    Raises
    ------
    ValueError
        If it is another, such as ecliptic.
    """
    frame = None
    # ecliptic axes are taken for equatorial ones by wcs_to_celestial_frame
    if {str(ctype)[:4] for ctype in wcs.wcs.ctype} in ({"RA--", "DEC-"}, {"GLON", "GLAT"}):
        with suppress(ValueError):
            frame = wcs_to_celestial_frame(wcs)
    if frame is None:
        radesys = f" and RADESYS {wcs.wcs.radesys!r}" if wcs.wcs.radesys else ""
        raise ValueError("wcs must be in a frame of the sky (ICRS, FK5, FK4, FK4-NO-E or galactic), "
                         f"got axes {[str(ctype) for ctype in wcs.wcs.ctype]}{radesys}")
    return frame


def image_shape(wcs: WCS, shape: Sequence[int] | None = None) -> tuple[int, int]:
    """Return the image's (ny, nx): ``shape`` if given, else that of the WCS.

    Raises
    ------
    TypeError
        If ``shape`` is not a pair of whole numbers.
    ValueError
        If neither has a shape, or a side is below one pixel.
    """
    if shape is None:
        if wcs.array_shape is None or None in wcs.array_shape or 0 in wcs.array_shape:
            raise ValueError("shape must be given as (ny, nx), since the wcs has no array_shape")
        shape = wcs.array_shape
    try:
        ny, nx = shape
    except (TypeError, ValueError):
        raise TypeError(f"shape must be a pair (ny, nx), got {show(shape)}") from None
    return as_count("shape (ny)", ny, minimum=1), as_count("shape (nx)", nx, minimum=1)


def _as_center(center: SkyCoord | str) -> SkyCoord:
    if isinstance(center, SkyCoord):
        if not center.isscalar:
            raise ValueError(f"center must be one position, got {center.size}")
        return center
    if not isinstance(center, str):
        raise TypeError(f"center must be a SkyCoord or a string 'RA DEC', got {show(center)}")
    units = (u.hourangle, u.deg) if ":" in center or "h" in center else (u.deg, u.deg)
    try:
        return SkyCoord(center, unit=units, frame="icrs")
    except (ValueError, TypeError):
        raise ValueError("center must be a position such as '150.1 2.2' or '10h00m24s +2d12m00s', "
                         f"got {show(center)}") from None


def make_wcs(center: SkyCoord | str, size: int | Sequence[int], pixel_scale: u.Quantity, *,
             projection: str = "SIN") -> WCS:
    """Return a celestial WCS with north up and east left, centred on a position.

    Parameters
    ----------
    center : `~astropy.coordinates.SkyCoord` or str
        The sky position of the image's centre; a string is RA and Dec (ICRS), in degrees unless it
        says otherwise. A galactic SkyCoord makes a galactic grid.
    size : int or (ny, nx)
        Pixels on a side.
    pixel_scale : `~astropy.units.Quantity`
        The (square) pixel's side.
    projection : str
        One of ``SIN TAN ARC ZEA STG CAR``.

    Returns
    -------
    `~astropy.wcs.WCS`
        With its ``array_shape`` set.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be.

    Notes
    -----
    Projections after Calabretta & Greisen 2002 (2002A&A...395.1077C). The reference point is the
    centre, but for CAR it is on the equator below it, so that the grid is not oblique.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.wcs import make_wcs
    >>> make_wcs("10h00m24s +2d12m00s", (32, 64), 1.8 * u.arcsec).array_shape
    (32, 64)
    """
    position = _as_center(center)
    check_choice("projection", projection, ("SIN", "TAN", "ARC", "ZEA", "STG", "CAR"))
    if not isinstance(size, Sequence):
        ny = nx = as_count("size", size, minimum=1)
    else:
        ny, nx = image_shape(WCS(naxis=2), size)
    scale = as_quantity("pixel_scale", pixel_scale, u.deg)
    if position.frame.name == "galactic":
        names = ("GLON", "GLAT")
    else:
        position, names = position.icrs, ("RA--", "DEC-")
    lon, lat = position.spherical.lon.deg, position.spherical.lat.deg
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"{name}-{projection}" for name in names]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.crval = [lon, lat]
    if projection == "CAR":
        wcs.wcs.crval = [lon, 0.0]
        wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2 - lat / scale]
    if names[0] == "RA--":
        wcs.wcs.radesys = "ICRS"
    wcs.array_shape = (ny, nx)
    wcs.wcs.set()
    return wcs


def pixel_to_icrs(wcs: WCS, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return ICRS (ra, dec) in degrees of pixel positions; NaN where the projection has no sky."""
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    lon, lat = _pixel_to_world(wcs, x.ravel(), y.ravel())
    lon, lat = (lat, lon) if wcs.wcs.lng == 1 else (lon, lat)
    bad = ~(np.isfinite(lon) & np.isfinite(lat))
    ra, dec = _transform(np.where(bad, 0, lon), np.where(bad, 0, lat), sky_frame(wcs), ICRS())
    return np.where(bad, np.nan, ra).reshape(x.shape), np.where(bad, np.nan, dec).reshape(x.shape)


def _transform(lon: np.ndarray, lat: np.ndarray, frame: BaseCoordinateFrame, other: BaseCoordinateFrame
               ) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes, from 0 to 360, and latitudes of one frame in another, degrees."""
    if isinstance(frame, ICRS) and isinstance(other, ICRS):
        # what astropy makes of them, without what it takes to go from a frame to itself
        return Longitude(lon, u.deg).value, Latitude(lat, u.deg).value
    sky = SkyCoord(lon * u.deg, lat * u.deg, frame=frame).transform_to(other).spherical
    return sky.lon.deg, sky.lat.deg


def _pixel_to_world(wcs: WCS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the WCS's own coordinates of pixels, NaN where it has none."""
    if wcs.has_distortion:
        return tuple(wcs.all_pix2world(x, y, 0))
    copies = turns(wcs)
    if copies is not None:
        x, y = copies.own(x, y)
    return tuple(wcs.wcs_pix2world(x, y, 0))


def on_sky(wcs: WCS, shape: tuple[int, int]) -> np.ndarray | None:
    """Return which pixels of an image lie on the sky, shape (ny, nx), or None if all do.

    Warns
    -----
    UserWarning
        If pixels show sky a second time, as in a cylindrical map of more than 360 degrees: these do not count.

    Notes
    -----
    A lattice of at most 257 x 257 pixels, the border included, tells whether to look at each pixel.
    """
    ny, nx = shape
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, LATTICE_SIDE)).astype(int)) for n in shape)
    if _has_place(wcs, *np.meshgrid(columns, rows)).all():
        return None
    copies, again = turns(wcs), 0
    found = np.empty(shape, bool)
    for y in range(0, ny, LATTICE_SIDE):
        places = [axis.astype(float) for axis in np.meshgrid(np.arange(nx), np.arange(y, min(y + LATTICE_SIDE, ny)))]
        found[y:y + LATTICE_SIDE] = _has_place(wcs, *places)
        again += 0 if copies is None else int(copies.repeated(*places).sum())
    if again:
        warn_caller(f"wcs has {again} of the image's {ny * nx} pixels on sky that other pixels show: no source is "
                    "put there")
    return found


def _has_place(wcs: WCS, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    lon, lat = _pixel_to_world(wcs, x.ravel(), y.ravel())
    return (np.isfinite(lon) & np.isfinite(lat)).reshape(x.shape)


def icrs_to_pixel(wcs: WCS, ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel (x, y) of ICRS positions in degrees; NaN where the projection cannot show them."""
    ra, dec = np.broadcast_arrays(np.asarray(ra, float), np.asarray(dec, float))
    lon, lat = _transform(ra.ravel(), dec.ravel(), ICRS(), sky_frame(wcs))
    world = (lat, lon) if wcs.wcs.lng == 1 else (lon, lat)
    if wcs.has_distortion:
        x, y = wcs.all_world2pix(*world, 0, quiet=True)
    else:
        x, y = wcs.wcs_world2pix(*world, 0)
        copies = turns(wcs)
        if copies is not None:
            x, y = copies.shown(x, y)
    return np.asarray(x).reshape(ra.shape), np.asarray(y).reshape(ra.shape)


def unit_vectors(ra: Any, dec: Any) -> np.ndarray:
    """Return unit vectors, shape (..., 3), to places in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def tangent_vectors(ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors, shape (..., 3), that point to the east and to the north at places in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return (np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=-1),
            np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=-1))


def pixel_affine(wcs: WCS, ra: Any, dec: Any) -> np.ndarray:
    """Return the local map from sky offsets to pixel offsets.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A 2-d celestial WCS.
    ra, dec : array_like, shape (n,)
        ICRS positions in degrees.

    Returns
    -------
    ndarray, shape (n, 2, 2)
        d(x, y) / d(east, north) in pixels per arcsecond: scale, rotation, shear and parity of the
        grid at each position. NaN where the projection is not defined.
    """
    ra, dec = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    centre, axes = unit_vectors(ra, dec), tangent_vectors(ra, dec)
    x0 = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)
    # half a pixel is small against the curvature of any grid and large against rounding
    step = 0.5 * 3600 * float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    out = np.empty((ra.size, 2, 2))
    for column, axis in enumerate(axes):
        ends = []
        for sign in (1, -1):
            v = centre + sign * np.tan(step * _ARCSEC) * axis
            lat = np.degrees(np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1])))
            lon = np.degrees(np.arctan2(v[:, 1], v[:, 0]))
            ends.append(sign * (np.stack(icrs_to_pixel(wcs, lon, lat), axis=-1) - x0) / step)
        forward, backward = ends
        # across the seam of an all-sky grid, or beyond its edge, one side is far off: take the other
        size = np.stack([np.linalg.norm(end, axis=-1) for end in ends])
        size = np.where(np.isfinite(size), size, np.inf)
        seam = (size.max(axis=0) > 1.5 * size.min(axis=0))[:, None]
        nearer = np.where((size[0] <= size[1])[:, None], forward, backward)
        out[:, :, column] = np.where(seam, nearer, (forward + backward) / 2)
    return out


def local_affine(wcs: WCS, x: Any, y: Any) -> np.ndarray:
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


def pixel_area(wcs: WCS, x: Any, y: Any) -> np.ndarray:
    """Return the solid angle, in steradian, of the pixels at ``x``, ``y``; 0 off the sky."""
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    ra, dec = pixel_to_icrs(wcs, x.ravel(), y.ravel())
    good = np.isfinite(ra) & np.isfinite(dec)
    area = np.zeros(ra.size)
    if good.any():
        det = np.abs(np.linalg.det(pixel_affine(wcs, ra[good], dec[good])))
        with np.errstate(divide="ignore"):
            area[good] = np.where(np.isfinite(det) & (det > 0), _ARCSEC**2 / det, 0)
    return area.reshape(x.shape)


@dataclass(frozen=True)
class Turns:
    """The copies of the sky that a projection lays side by side, and which one an image shows.

    A place is where the projection itself has it, within half a turn of the reference, if that is in the image; else at
    the copy nearest to the image's middle.
    """

    wcs: WCS
    shape: tuple[int, int]
    even: bool

    def own(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the projection itself has what pixels show; NaN for pixels of sky that another pixel shows."""
        moved, turn = self._wrapped(x, y)
        away = np.abs(turn) > 0
        if not away.any():
            return x, y
        shown = self.shown(*moved)
        # rounded, it is the pixel itself or it is not
        elsewhere = away & ~((np.abs(shown[0] - x) < 0.5) & (np.abs(shown[1] - y) < 0.5))
        return np.where(elsewhere, np.nan, moved[0]), np.where(elsewhere, np.nan, moved[1])

    def shown(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels that show what the projection has at ``x``, ``y``."""
        ny, nx = self.shape
        with np.errstate(invalid="ignore"):
            inside = (x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)
        along, across = self._plane(x, y)
        middle, _ = self._plane(np.array((nx - 1) / 2), np.array((ny - 1) / 2))
        width = self._width(across)
        with np.errstate(invalid="ignore"):
            count = np.rint((middle - along) / width)
        count = np.where(inside | ~np.isfinite(count), 0, count)
        return self._moved(x, y, count * np.where(count == 0, 0, width))

    def repeated(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which pixels show sky that others show: all but those without sky, of projections of even turns."""
        if not self.even:
            return np.zeros(x.shape, bool)
        known = np.isfinite(self.wcs.wcs_pix2world(*self._wrapped(x, y)[0], 0)).all(axis=0)
        return known & np.isnan(self.own(x, y)[0])

    def _wrapped(self, x: np.ndarray, y: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Return pixels moved to within half a turn of the reference, and by how many turns."""
        along, across = self._plane(x, y)
        width = self._width(across)
        with np.errstate(invalid="ignore"):
            count = np.where(np.abs(along) <= (0.5 + _TINY) * width, 0, -np.rint(along / width))
        count = np.where(np.isfinite(count), count, 0)
        return self._moved(x, y, count * np.where(count == 0, 0, width)), count

    def _plane(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return intermediate world coordinates in degrees: along longitude and along latitude."""
        pixel = np.stack([x, y], axis=-1) + 1 - self.wcs.wcs.crpix
        plane = pixel @ self.wcs.pixel_scale_matrix.T
        return plane[..., self.wcs.wcs.lng], plane[..., self.wcs.wcs.lat]

    def _moved(self, x: np.ndarray, y: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels moved by degrees along longitude."""
        step = np.linalg.inv(self.wcs.pixel_scale_matrix)[:, self.wcs.wcs.lng]
        return x + along * step[0], y + along * step[1]

    def _width(self, across: np.ndarray) -> np.ndarray:
        """Return the width of a turn at heights in the plane, degrees."""
        plain = WCS(naxis=2)
        code = str(self.wcs.wcs.ctype[self.wcs.wcs.lng])[5:8]
        # native coordinates as celestial ones
        plain.wcs.ctype = [f"RA---{code}", f"DEC--{code}"]
        plain.wcs.cdelt, plain.wcs.crval, plain.wcs.crpix = [1, 1], [0, 0], [1, 1]
        plain.wcs.set_pv([(2, m, value) for _, m, value in self.wcs.wcs.get_pv()])
        if self.even:
            return np.full(np.shape(across), 2 * abs(plain.wcs_world2pix(180, 0, 0)[0]))
        flat = np.ravel(across)
        _, latitude = plain.wcs_pix2world(np.zeros(flat.shape), flat, 0)
        edge, _ = plain.wcs_world2pix(np.full(flat.shape, 180.0), latitude, 0)
        width = 2 * np.abs(edge)
        return np.where(width > _TINY, width, np.nan).reshape(np.shape(across))


def turns(wcs: WCS) -> Turns | None:
    """Return the copies of the sky that an image may show, None if it lies within one turn of its reference.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A 2-d celestial WCS; one without ``array_shape`` is taken to have an image within one turn.
    """
    shape = wcs.array_shape
    code = str(wcs.wcs.ctype[wcs.wcs.lng])[5:8]
    if shape is None or None in shape or 0 in shape or wcs.has_distortion or code not in EVEN_TURNS + NARROWING_TURNS:
        return None
    if any(axis == wcs.wcs.lng + 1 for axis, _, _ in wcs.wcs.get_pv()):
        # a reference that is not the native one
        return None
    found = Turns(wcs, (int(shape[0]), int(shape[1])), code in EVEN_TURNS)
    x, y = np.meshgrid([-0.5, shape[1] - 0.5], [-0.5, shape[0] - 0.5])
    along, across = found._plane(x, y)
    if found.even and (np.abs(along) <= (0.5 + _TINY) * found._width(across)).all():
        return None
    return found
