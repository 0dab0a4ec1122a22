"""Segmentation maps as catalogues: a row a label, measured on the image where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.wcs import WCS

from skygal.checks import show
from skygal.scoring.shapes import covariance_on_sky
from skygal.wcs import pixel_to_icrs

__all__ = ["measure_labels"]

#: pixels that are looked at at a time
CHUNK = 2**24


def measure_labels(labels: Any, image: Any, wcs: WCS) -> dict[str, np.ndarray]:
    """Return a row for each label above zero of a map.

    Parameters
    ----------
    labels : array_like of int, shape (ny, nx)
        May be mapped from disk; rows of it are read a few at a time.
    image : array_like, shape (ny, nx), optional
        Jy/beam; NaN does not count.
    wcs : `~astropy.wcs.WCS`

    Returns
    -------
    dict of str to ndarray
        row, id, ra, dec (ICRS, deg, of the centroid), flux_sum and peak (of the label's pixels, Jy/beam), b_maj, b_min
        (FWHM of the Gaussian with the second moments, arcsec), pa (deg), x and y. Pixels below zero have no weight in
        positions and sizes; without an image all have the same, there are no sizes, and flux_sum and peak are NaN.

    Raises
    ------
    ValueError
        If the two are of different shapes, or labels are no whole numbers.
    """
    ny, nx = np.shape(labels)
    if image is not None and np.shape(image) != (ny, nx):
        raise ValueError(f"image must have the shape of the map of labels, {(ny, nx)}, got {show(np.shape(image))}")
    step = max(1, CHUNK // max(nx, 1))
    blocks = [(k, min(k + step, ny)) for k in range(0, ny, step)]
    known = np.unique(np.concatenate([np.zeros(0, np.int64), *(_labels(labels, *block) for block in blocks)]))
    n = len(known)
    sums = {name: np.zeros(n) for name in ("n", "x", "y", "w", "wx", "wy", "wxx", "wyy", "wxy", "flux")}
    peak = np.full(n, -np.inf)
    origin = np.zeros((2, n))
    seen = np.zeros(n, bool)
    for first, last in blocks:
        part = np.asarray(labels[first:last])
        y, x = np.nonzero(part > 0)
        of = np.searchsorted(known, part[y, x].astype(np.int64))
        y = y + first
        # sums of squares are of offsets from a pixel of the label, for they lose digits far from the corner
        new, where = np.unique(of, return_index=True)
        fresh = ~seen[new]
        origin[:, new[fresh]] = x[where[fresh]], y[where[fresh]]
        seen[new] = True
        dx, dy = x - origin[0, of], y - origin[1, of]
        value = np.ones(len(of)) if image is None else np.asarray(image[first:last], float)[y - first, x]
        good = np.isfinite(value)
        value = np.where(good, value, 0.0)
        weight = np.maximum(value, 0.0)
        for name, values in (("n", np.ones(len(of))), ("x", dx), ("y", dy), ("w", weight), ("wx", weight * dx),
                             ("wy", weight * dy), ("wxx", weight * dx**2), ("wyy", weight * dy**2),
                             ("wxy", weight * dx * dy), ("flux", value)):
            sums[name] += np.bincount(of, values, n)
        np.maximum.at(peak, of[good], value[good])
    with np.errstate(invalid="ignore", divide="ignore"):
        weighed = sums["w"] > 0
        x = np.where(weighed, sums["wx"] / sums["w"], sums["x"] / sums["n"])
        y = np.where(weighed, sums["wy"] / sums["w"], sums["y"] / sums["n"])
        xx, yy, xy = (sums[f"w{a}{b}"] / sums["w"] - p * q
                      for a, b, p, q in (("x", "x", x, x), ("y", "y", y, y), ("x", "y", x, y)))
    x, y = x + origin[0], y + origin[1]
    ra, dec = pixel_to_icrs(wcs, x, y)
    nothing = np.full(n, np.nan)
    sizes = (nothing,) * 3 if image is None else covariance_on_sky(wcs, x, y, xx, yy, xy)
    return {"row": np.arange(n), "id": known.astype(str) if n else np.empty(0, "U1"), "ra": ra, "dec": dec, "x": x,
            "y": y, "flux_sum": nothing if image is None else sums["flux"],
            "peak": nothing if image is None else np.where(np.isfinite(peak), peak, np.nan),
            "b_maj": sizes[0], "b_min": sizes[1], "pa": sizes[2]}


def _labels(labels: Any, first: int, last: int) -> np.ndarray:
    part = np.asarray(labels[first:last])
    if part.dtype.kind == "f":
        # as integers are read from FITS; what is blank there has no label
        part = np.nan_to_num(part, posinf=0.5)
        part = part if np.any(part % 1) else part.astype(np.int64)
    if part.dtype.kind not in "iu":
        raise ValueError(f"labels must be whole numbers, got {part.dtype}")
    found = np.unique(part)
    return found[found > 0].astype(np.int64)
