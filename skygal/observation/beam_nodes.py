"""A Gaussian beam that varies over an image, as covariances on a grid of nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS

from skygal.checks import show_fields
from skygal.observation.ellipse import ellipse_covariance
from skygal.wcs import icrs_to_pixel, local_affine, pixel_to_icrs

__all__ = ["BeamNodes", "nodes_from_function", "nodes_from_table"]

#: pixels between nodes: in images over 2048 pixels they lie at the corners of the blocks in which noise is made, so
#: that each block has four; and cells between them along an axis, at most
FINE_SPACING, SPACING, MOST_CELLS = 128, 512, 32
#: cells along an axis, at least, where some of an image is off the sky
FEWEST_CELLS = 4
#: places along an axis that are tried for nodes that are not on the sky
TRIED_PLACES = 65


@dataclass(frozen=True, eq=False)
class BeamNodes:
    """Covariances of a beam at nodes, interpolated bilinearly between them.

    Attributes
    ----------
    x, y : ndarray, shape (nx,), (ny,)
        Places of the nodes, in pixels, ascending; at least two of each.
    covariance : ndarray, shape (ny, nx, 2, 2)
        In (x, y) pixels squared.
    """

    x: np.ndarray
    y: np.ndarray
    covariance: np.ndarray

    __repr__ = show_fields

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the covariances at places in pixels, shape (n, 2, 2); beyond the nodes those at their edge."""
        (i, s), (j, t) = _cell(x, self.x), _cell(y, self.y)
        s, t = s[:, None, None], t[:, None, None]
        c = self.covariance
        return (1 - t) * ((1 - s) * c[j, i] + s * c[j, i + 1]) + t * ((1 - s) * c[j + 1, i] + s * c[j + 1, i + 1])


def _cell(place: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the node before each place, and how far from it to the next; a place that is NaN is at the first."""
    scaled = np.interp(np.nan_to_num(np.asarray(place, float)), nodes, np.arange(len(nodes)))
    first = np.minimum(scaled.astype(int), len(nodes) - 2)
    return first, scaled - first


def _axes(shape: tuple[int, int], least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of nodes along x and y: 128 pixels apart or more, or in at least so many cells, and an end."""
    axes = []
    for n in shape[::-1]:
        step = FINE_SPACING if n <= 16 * FINE_SPACING else SPACING
        step = min(step, -(-max(n - 1, 1) // least))
        while n > step * MOST_CELLS:
            step *= 2
        axes.append(np.append(np.arange(0.0, max(n - 1, 1), step), max(n - 1.0, 1.0)))
    return axes[0], axes[1]


def _covariances(major: np.ndarray, minor: np.ndarray, pa: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return covariances in pixels of beams in arcsec and degrees."""
    return affine @ ellipse_covariance(major, minor, np.radians(pa)) @ np.swapaxes(affine, -1, -2)


def _on_nodes(covariance: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return covariances, shape (ny, nx, 2, 2), with nodes that have none filled from the nearest that has."""
    from scipy.ndimage import distance_transform_edt

    bad = ~np.isfinite(covariance).all(axis=(2, 3))
    if bad.all():
        raise ValueError(f"beam must be defined somewhere in the image of shape {shape}, got none on the sky")
    if bad.any():
        nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
        covariance = covariance[tuple(nearest)]
    return covariance


def nodes_from_function(function: Callable[[np.ndarray, np.ndarray], Any], wcs: WCS,
                        shape: tuple[int, int]) -> BeamNodes:
    """Return the nodes of a beam that is a function of place.

    Parameters
    ----------
    function : callable
        ``function(ra, dec)``, of ICRS degrees as arrays of shape (n,), returns (major, minor, pa) as Quantities
        of that shape or of one value; or, of two numbers, a `~radio_beam.Beam`: it is then called for each node.
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).

    Raises
    ------
    TypeError
        If it returns neither.
    ValueError
        If a beam is not finite and positive, or its major axis is the smaller.
    """
    x, y = _axes(shape)
    xs, ys = (grid.ravel() for grid in np.meshgrid(x, y))
    affine = local_affine(wcs, xs, ys)
    if not np.isfinite(affine).all():
        x, y = _axes(shape, FEWEST_CELLS)
        xs, ys = _on_sky(wcs, shape, *(grid.ravel() for grid in np.meshgrid(x, y)))
        affine = local_affine(wcs, xs, ys)
    ra, dec = pixel_to_icrs(wcs, xs, ys)
    seen = np.isfinite(affine).all(axis=(1, 2)) & np.isfinite(ra)
    covariance = np.full((xs.size, 2, 2), np.nan)
    if seen.any():
        major, minor, pa = _call(function, ra[seen], dec[seen])
        _check("beam", major, minor, pa,
               [f"ra = {a:.5f}, dec = {d:.5f}" for a, d in zip(ra[seen], dec[seen], strict=True)])
        covariance[seen] = _covariances(major, minor, pa, affine[seen])
    return BeamNodes(x, y, _on_nodes(covariance.reshape(len(y), len(x), 2, 2), shape))


def _on_sky(wcs: WCS, shape: tuple[int, int], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places, those that are not on the sky moved to the nearest of a lattice over the image that are."""
    from scipy.spatial import KDTree

    off = np.flatnonzero(~np.isfinite(local_affine(wcs, x, y)).all(axis=(1, 2)))
    if not off.size:
        return x, y
    axes = (np.linspace(0, n - 1, min(n, TRIED_PLACES)) for n in shape[::-1])
    lattice = [grid.ravel() for grid in np.meshgrid(*axes)]
    good = np.isfinite(local_affine(wcs, *lattice)).all(axis=(1, 2))
    x, y = x.copy(), y.copy()
    if good.any():
        places = np.stack(lattice, axis=1)[good]
        x[off], y[off] = places[KDTree(places).query(np.stack([x[off], y[off]], axis=1))[1]].T
    return x, y


def _call(function: Callable[..., Any], ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a function says of places: FWHMs in arcsec and angles in degrees."""
    from radio_beam import Beam

    first = function(float(ra[0]), float(dec[0]))
    if isinstance(first, Beam):
        beams = [first, *(function(float(a), float(d)) for a, d in zip(ra[1:], dec[1:], strict=True))]
        return (np.array([b.major.to_value(u.arcsec) for b in beams]),
                np.array([b.minor.to_value(u.arcsec) for b in beams]),
                np.array([b.pa.to_value(u.deg) for b in beams]))
    try:
        major, minor, pa = function(ra, dec)
        axes = (major.to_value(u.arcsec), minor.to_value(u.arcsec), pa.to_value(u.deg))
    except (TypeError, ValueError, AttributeError) as error:
        raise TypeError("beam, if it is a function of (ra, dec), must return a radio_beam.Beam or Quantities "
                        f"(major, minor, pa), got {type(first).__name__} ({error})") from None
    wrong = [np.shape(a) for a in axes if np.shape(a) not in ((), ra.shape)]
    if wrong:
        raise ValueError(f"beam must return arrays of the shape of ra, {ra.shape}, got {wrong[0]}")
    major, minor, pa = (np.broadcast_to(np.asarray(a, float), ra.shape) for a in axes)
    return major, minor, pa


def _check(name: str, major: np.ndarray, minor: np.ndarray, pa: np.ndarray, labels: list[str]) -> None:
    """Raise a ValueError that names all beams that are none."""
    good = np.isfinite(major) & np.isfinite(minor) & np.isfinite(pa) & (minor > 0) & (major >= minor * (1 - 1e-9))
    if not good.all():
        k = int(np.argmin(good))
        raise ValueError(f"{name} must be finite with bmaj >= bmin > 0, got bmaj = {major[k]:g}, bmin = {minor[k]:g} "
                         f"arcsec, bpa = {pa[k]:g} deg; bad at {_listed(labels, ~good)}")


def _listed(labels: list[str], bad: np.ndarray) -> str:
    """Return the labels that are bad, but no more than fifty."""
    names = [label for label, wrong in zip(labels, bad, strict=True) if wrong]
    return "; ".join(names[:50]) + (f"; and {len(names) - 50} more" if len(names) > 50 else "")


def nodes_from_table(table: Table, wcs: WCS, shape: tuple[int, int]) -> BeamNodes:
    """Return the nodes of a beam that is known at some places.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Columns ``ra`` and ``dec`` (ICRS, degrees if without a unit) or ``x`` and ``y`` (pixels, 0-based),
        and ``bmaj``, ``bmin`` (with a unit) and ``bpa`` (degrees if without a unit).
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).

    Raises
    ------
    ValueError
        If a column or a unit is missing, a beam is not finite and positive (all such rows are named), or no place
        is on the image's projection.

    Notes
    -----
    Between places the covariances in pixels are interpolated linearly over the Delaunay triangles of the
    places in pixels; outside of all triangles they are those of the nearest point of their outline (of places
    on one line, of that line; of one place, its own). Places that the image's projection cannot show have no
    part in it.
    """
    place, beams = _columns(table)
    rows = [f"row {k}" for k in range(len(table))]
    _check("beam table", *beams, rows)
    bad = ~np.isfinite(place).all(axis=1)
    if bad.any():
        raise ValueError(f"beam table must have finite places; bad at {_listed(rows, bad)}")
    if "x" not in table.colnames:
        place = np.stack(icrs_to_pixel(wcs, *place.T), axis=-1)
    affine = local_affine(wcs, *place.T)
    shown = np.isfinite(affine).all(axis=(1, 2))
    if not shown.any():
        raise ValueError(f"beam table must have a place on the image's projection, got none of {len(table)}")
    major, minor, pa = beams
    values = _covariances(major[shown], minor[shown], pa[shown], affine[shown])
    x, y = _axes(shape)
    nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    found = _interpolate(place[shown], values.reshape(-1, 4), nodes)
    return BeamNodes(x, y, found.reshape(len(y), len(x), 2, 2))


def _interpolate(place: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return values at the ``wanted`` places: linear over triangles, and as on the nearest edge outside of them all."""
    from scipy.interpolate import LinearNDInterpolator
    from scipy.spatial import Delaunay, QhullError

    found = np.full((len(wanted), values.shape[1]), np.nan)
    try:
        triangles = Delaunay(place)
        edges = triangles.convex_hull
        found = LinearNDInterpolator(triangles, values)(wanted)
    except (QhullError, ValueError):
        # no triangle: the places, in order along their line
        order = np.lexsort(place.T)
        edges = np.stack([order[np.minimum(np.arange(len(order)), max(len(order) - 2, 0))],
                          order[np.minimum(np.arange(1, len(order) + 1), len(order) - 1)]], axis=-1)
    outside = np.flatnonzero(np.isnan(found).any(axis=1))
    start, along = place[edges[:, 0]], place[edges[:, 1]] - place[edges[:, 0]]
    length = np.maximum(np.sum(along**2, axis=1), 1e-12)
    for k in outside:
        part = np.clip(np.sum((wanted[k] - start) * along, axis=1) / length, 0, 1)
        nearest = np.argmin(np.sum((start + part[:, None] * along - wanted[k]) ** 2, axis=1))
        first, second = values[edges[nearest]]
        found[k] = first + part[nearest] * (second - first)
    return found


def _columns(table: Table) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return places, shape (n, 2), and beams in arcsec and degrees."""
    names = ("x", "y") if "x" in table.colnames and "y" in table.colnames else ("ra", "dec")
    missing = [name for name in (*names, "bmaj", "bmin", "bpa") if name not in table.colnames]
    if missing:
        raise ValueError("beam table must have the columns ra and dec, or x and y, and bmaj, bmin and bpa, "
                         f"got no {missing[0]}")
    if not len(table):
        raise ValueError("beam table must have a row, got none")

    pixels = names[0] == "x"
    units = {"x": u.pix, "y": u.pix, "ra": u.deg, "dec": u.deg, "bpa": u.deg}
    place = np.stack([_numbers(table, name, u.pix if pixels else u.deg, units[name]) for name in names], axis=-1)
    major, minor = (_numbers(table, name, u.arcsec, None) for name in ("bmaj", "bmin"))
    return place, (major, minor, _numbers(table, "bpa", u.deg, u.deg))


def _numbers(table: Table, name: str, unit: u.UnitBase, default: u.UnitBase | None) -> np.ndarray:
    """Return a column's numbers in ``unit``, those that are masked as NaN; ``default`` is the unit of plain numbers."""
    column = table[name]
    given = column.unit or default
    if given is None:
        raise ValueError(f"beam table must give a unit for {name}, such as arcsec")
    try:
        column = column.astype(float)
        plain = column.filled(np.nan) if hasattr(column, "filled") else column
        return u.Quantity(np.asarray(getattr(plain, "value", plain)), given).to_value(unit)
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise ValueError(f"beam table must have numbers in units convertible to {unit} in {name}: {error}") from None
