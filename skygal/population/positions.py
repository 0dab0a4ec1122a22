"""Positions, uniform on the sphere inside an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.wcs import WCS

from skygal.checks import as_quantity
from skygal.wcs import icrs_to_pixel, pixel_area, pixel_to_icrs, unit_vectors

__all__ = ["check_mask", "image_area", "sample_positions"]

#: points on a side at which the image's geometry is looked at
GRID_SIDE = 65
#: where the pixels' solid angles differ by more than this, positions are drawn on the sphere
EVEN_AREAS = 2.0
#: draws at a time, and how many such lots without a single success before giving up
DRAWS_AT_ONCE, MOST_FAILURES = 65536, 16
#: points of the lattice that measures the solid angle of wide images
LATTICE_POINTS = 400_000


def check_mask(mask: Any, shape: Sequence[int]) -> np.ndarray | None:
    """Return the mask of allowed pixels, None for all.

    Raises
    ------
    TypeError
        If it is not boolean.
    ValueError
        If its shape is not the image's, or it allows nothing.
    """
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"mask must be an array of bool, got {mask.dtype}")
    if mask.shape != tuple(shape):
        raise ValueError(f"mask must have the image's shape {tuple(shape)}, got {mask.shape}")
    if not mask.any():
        raise ValueError("mask must allow at least one pixel, got none that is True")
    return mask


def _allowed(x: np.ndarray, y: np.ndarray, shape: Sequence[int], mask: np.ndarray | None,
             margin: float) -> np.ndarray:
    ny, nx = shape
    with np.errstate(invalid="ignore"):
        inside = (x >= -0.5 - margin) & (x < nx - 0.5 + margin) & (y >= -0.5 - margin) & (y < ny - 0.5 + margin)
    if mask is not None:
        here = np.flatnonzero(inside)
        column = np.clip(np.rint(x[here]).astype(int), 0, nx - 1)
        row = np.clip(np.rint(y[here]).astype(int), 0, ny - 1)
        off = (np.rint(x[here]) != column) | (np.rint(y[here]) != row)
        # the margin is beyond the mask
        inside[here] = mask[row, column] | (off if margin else False)
    return inside


class _Geometry:
    """Where on the sky an image is, and how uneven its pixels are."""

    def __init__(self, wcs: WCS, shape: Sequence[int], margin: float) -> None:
        ny, nx = shape
        x, y = np.meshgrid(np.linspace(-0.5 - margin, nx - 0.5 + margin, GRID_SIDE),
                           np.linspace(-0.5 - margin, ny - 0.5 + margin, GRID_SIDE))
        area = pixel_area(wcs, x, y)
        self.largest = 1.02 * area.max()
        self.even = bool(area.min() > 0 and area.max() < EVEN_AREAS * area.min())
        self.cap = (np.array([0.0, 0.0, 1.0]), -1.0)
        if self.even or not (area > 0).any():
            return
        ra, dec = pixel_to_icrs(wcs, x, y)
        on = unit_vectors(ra, dec)
        centre = np.nanmean(on, axis=(0, 1))
        length = np.linalg.norm(centre)
        if length > 0.1 and (area > 0).all():
            centre = centre / length
            lowest = float((on @ centre).min())
            # between grid points the image may reach farther from its centre
            slack = np.pi / GRID_SIDE
            radius = np.arccos(np.clip(lowest, -1, 1)) + slack
            self.cap = (centre, float(np.cos(min(radius, np.pi))))


def _on_cap(cap: tuple[np.ndarray, float], p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (ra, dec) of points that are uniform on a cap if p and q are in [0, 1)."""
    centre, lowest = cap
    z = lowest + (1 - lowest) * p
    side = np.cross(centre, np.eye(3)[np.argmin(np.abs(centre))])
    side /= np.linalg.norm(side)
    up = np.cross(centre, side)
    r, phi = np.sqrt(1 - z**2), 2 * np.pi * q
    v = z[:, None] * centre + (r * np.cos(phi))[:, None] * side + (r * np.sin(phi))[:, None] * up
    return np.degrees(np.arctan2(v[:, 1], v[:, 0])) % 360, np.degrees(np.arcsin(np.clip(v[:, 2], -1, 1)))


def sample_positions(wcs: WCS, shape: Sequence[int], n: int, rng: np.random.Generator, *,
                     mask: np.ndarray | None = None, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return ``n`` positions, uniform in solid angle, inside an image.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A celestial WCS.
    shape : (int, int)
        (ny, nx). The image's interior runs from -0.5 to nx - 0.5 and ny - 0.5.
    n : int
    rng : `numpy.random.Generator`
    mask : ndarray of bool, shape (ny, nx), optional
        True where sources may be.
    margin : float
        How far beyond the border, in pixels, sources may be; a mask says nothing about there.

    Returns
    -------
    ra, dec : ndarray, shape (n,)
        ICRS, degrees. The first k do not depend on ``n``.

    Raises
    ------
    ValueError
        If no allowed pixel has sky.

    Notes
    -----
    Drawn uniform in pixels and accepted in proportion to their solid angle, or, where those are
    uneven, drawn uniform on the sphere and accepted where they fall in the image.
    """
    mask = check_mask(mask, shape)
    margin = as_quantity("margin", margin, "", positive=False, minimum=0)
    ny, nx = shape
    geometry = _Geometry(wcs, shape, margin)
    through_mask = mask is not None and not margin and geometry.even
    before = np.r_[0, np.cumsum(np.count_nonzero(mask, axis=1))] if through_mask and mask is not None else None
    found: list[np.ndarray] = []
    have, fails = 0, 0
    while have < n:
        draws = rng.random((DRAWS_AT_ONCE if fails else min(DRAWS_AT_ONCE, max(1024, 2 * (n - have))), 4))
        if geometry.even:
            if before is not None and mask is not None:
                x, y = _in_mask(mask, before, draws)
            else:
                x = -0.5 - margin + (nx + 2 * margin) * draws[:, 0]
                y = -0.5 - margin + (ny + 2 * margin) * draws[:, 1]
            good = draws[:, 3] * geometry.largest < pixel_area(wcs, x, y)
            good &= _allowed(x, y, shape, mask, margin)
            ra, dec = pixel_to_icrs(wcs, x, y)
        else:
            ra, dec = _on_cap(geometry.cap, draws[:, 0], draws[:, 1])
            good = _allowed(*icrs_to_pixel(wcs, ra, dec), shape, mask, margin)
        found.append(np.stack([ra[good], dec[good]]))
        have += int(good.sum())
        fails = 0 if have else fails + 1
        if fails > MOST_FAILURES:
            raise ValueError("wcs must have sky inside the image" + (" where mask is True" if mask is not None else "")
                             + f", got none in an image of shape {tuple(shape)}")
    ra, dec = np.concatenate(found, axis=1)[:, :n] if found else np.empty((2, 0))
    return ra, dec


def _in_mask(mask: np.ndarray, before: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, y) uniform in the pixels that a mask allows; ``before`` counts those above each row."""
    k = np.minimum((draws[:, 0] * before[-1]).astype(np.int64), before[-1] - 1)
    row = np.searchsorted(before, k, side="right") - 1
    column = np.empty(k.size)
    order = np.argsort(row, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(row[order]) > 0])
    for mine in np.split(order, starts[1:]):
        r = row[mine[0]]
        column[mine] = np.flatnonzero(mask[r])[k[mine] - before[r]]
    return column - 0.5 + draws[:, 1], row - 0.5 + draws[:, 2]


def image_area(wcs: WCS, shape: Sequence[int], *, mask: np.ndarray | None = None) -> float:
    """Return the solid angle, in steradian, of an image's sky where ``mask`` is True.

    Notes
    -----
    Pixel areas summed block by block, to 1e-4 or better; for images so wide that those are uneven,
    the share of a lattice of points on the sphere, to about 1e-3 of the sky they span.
    """
    mask = check_mask(mask, shape)
    ny, nx = shape
    geometry = _Geometry(wcs, shape, 0.0)
    if geometry.even:
        most = 64 if mask is None else 128
        rows, columns = (np.unique(np.linspace(0, side, min(side, most) + 1).astype(int)) for side in (ny, nx))
        x, y = np.meshgrid((columns[:-1] + columns[1:] - 1) / 2, (rows[:-1] + rows[1:] - 1) / 2)
        if mask is None:
            pixels = np.outer(np.diff(rows), np.diff(columns))
        else:
            by_row = np.stack([np.count_nonzero(mask[a:b], axis=0) for a, b in zip(rows[:-1], rows[1:], strict=True)])
            pixels = np.add.reduceat(by_row, columns[:-1], axis=1)
        return float((pixel_area(wcs, x, y) * pixels).sum())
    golden = (np.sqrt(5) - 1) / 2
    k = np.arange(LATTICE_POINTS)
    ra, dec = _on_cap(geometry.cap, (k + 0.5) / LATTICE_POINTS, (k * golden) % 1)
    inside = _allowed(*icrs_to_pixel(wcs, ra, dec), shape, mask, 0.0)
    return float(2 * np.pi * (1 - geometry.cap[1]) * inside.mean())
