"""Pixels of point, Gaussian and exponential-disc sources, many at a time.

Each pixel follows from its source's own numbers alone, so that it is the same bits whatever else is
drawn and wherever it is cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from skygal.rendering.analytic.boxes import Boxes, source_terms
from skygal.rendering.analytic.sources import Analytic

__all__ = ["AnalyticPatches", "make_patches"]

#: pixels that are made at once: few enough to stay in a core's own memory
ANALYTIC_PIXELS = 2**17
#: Two points at +- SHIFT, each a Gaussian of variance SMEAR, have the moments of a pixel up to the fifth.
SHIFT = 240.0**-0.25
SMEAR = 1 / 12 - SHIFT**2


@dataclass(frozen=True, eq=False)
class AnalyticPatches:
    """Pixels of sources with boxes of one size.

    Attributes
    ----------
    rows : ndarray of int, shape (k,)
        Which sources.
    corner : ndarray of int, shape (k, 2)
        The first pixel (x, y) of each.
    values : ndarray, shape (k, h, w), float32
        Jy/beam.
    """

    rows: np.ndarray
    corner: np.ndarray
    values: np.ndarray

    def places(self, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return where the pixels are in a window.

        Parameters
        ----------
        box : (int, int, int, int)
            (y0, y1, x0, x1).

        Returns
        -------
        index : ndarray of int, shape (k, h, w)
            Number of the pixel, row by row.
        inside : ndarray of bool, shape (k, h, w), or None
            Which are in the window; None for all.
        """
        (y0, y1, x0, x1), (_, h, w) = box, self.values.shape
        x, y = self.corner[:, 0] - x0, self.corner[:, 1] - y0
        across = np.arange(h)[:, None] * (x1 - x0) + np.arange(w)
        index = (y * (x1 - x0) + x)[:, None, None] + across
        if (x >= 0).all() and (y >= 0).all() and (x + w <= x1 - x0).all() and (y + h <= y1 - y0).all():
            return index, None
        column, row = x[:, None] + np.arange(w), y[:, None] + np.arange(h)
        return index, (((row >= 0) & (row < y1 - y0))[:, :, None] & ((column >= 0) & (column < x1 - x0))[:, None, :])


def make_patches(sources: Analytic, boxes: Boxes, rows: np.ndarray, *, integrated: bool,
                 window: tuple[int, int, int, int] | None = None) -> Iterator[AnalyticPatches]:
    """Make the pixels of sources that are in one group, in the order of ``rows``.

    Parameters
    ----------
    sources : Analytic
    boxes : Boxes
        Theirs.
    rows : ndarray of int, shape (m,)
        Which sources: all of one `Boxes.group`.
    integrated : bool
        Whether pixels are averages over their area.
    window : (int, int, int, int), optional
        (y0, y1, x0, x1): what is wanted at least. Of large sources nothing else is made.

    Yields
    ------
    AnalyticPatches
        Of large sources, a few rows of pixels at a time.
    """
    if not rows.size:
        return
    first = rows[0]
    rule, aligned = int(boxes.terms[first]), bool(boxes.aligned[first])
    if boxes.group[first] >= 0:
        (hx, hy) = boxes.half[first].tolist()
        step = max(1, ANALYTIC_PIXELS // ((2 * hx + 1) * (2 * hy + 1)))
        for start in range(0, rows.size, step):
            k = rows[start:start + step]
            # one list of rows a chunk: the columns of a slice would be copied several times over
            part = sources[k]
            offset = boxes.centre[k] - part.position
            dx, dy = offset[:, :1] + np.arange(-hx, hx + 1), offset[:, 1:] + np.arange(-hy, hy + 1)
            values = _brightness(part, rule, aligned, integrated, dx, dy, np.float32)
            yield AnalyticPatches(k, boxes.centre[k] - boxes.half[first], values)
        return
    for k in rows.tolist():
        part, (cx, cy), (hx, hy) = sources[k:k + 1], boxes.centre[k].tolist(), boxes.half[k].tolist()
        left, right, bottom, top = cx - hx, cx + hx + 1, cy - hy, cy + hy + 1
        if window is not None:
            y0, y1, x0, x1 = window
            left, right, bottom, top = max(left, x0), min(right, x1), max(bottom, y0), min(top, y1)
        if left >= right:
            continue
        step = max(1, 4 * ANALYTIC_PIXELS // (right - left))
        dx = (np.arange(left, right) - part.position[0, 0])[None]
        for low in range(bottom, top, step):
            dy = (np.arange(low, min(low + step, top)) - part.position[0, 1])[None]
            values = _brightness(part, int(boxes.terms[k]), bool(boxes.aligned[k]), integrated, dx, dy, np.float64)
            yield AnalyticPatches(np.array([k]), np.array([[left, low]]), values.astype(np.float32))


def _brightness(sources: Analytic, rule: int, aligned: bool, integrated: bool, dx: np.ndarray, dy: np.ndarray,
                dtype: type) -> np.ndarray:
    """Return pixels, shape (n, h, w), at offsets dx, shape (n, w), and dy, shape (n, h), from the positions."""
    scale = sources.flux * sources.area
    own, beam = sources.covariance, sources.beam
    variance, weight = source_terms(rule)
    out: np.ndarray = np.empty((len(scale), dy.shape[1], dx.shape[1]), dtype)
    # written over for each term but the first
    term = out if aligned and len(weight) == 1 else np.empty_like(out)
    if aligned:
        for k, (v, w) in enumerate(zip(variance, weight, strict=True)):
            along = _line(dx, beam[:, 0, 0] + v * own[:, 0, 0], integrated)
            across = _line(dy, beam[:, 1, 1] + v * own[:, 1, 1], integrated) * (w * scale)[:, None]
            into = term if k else out
            np.multiply(across.astype(dtype)[:, :, None], along.astype(dtype)[:, None, :], out=into)
            if k:
                out += term
        return out
    nodes = [(sx, sy) for sx in (-SHIFT, SHIFT) for sy in (-SHIFT, SHIFT)] if integrated else [(0.0, 0.0)]
    each = beam[:, None] + variance[:, None, None] * own[:, None] + (SMEAR if integrated else 0) * np.eye(2)
    det = each[..., 0, 0] * each[..., 1, 1] - each[..., 0, 1] ** 2
    height = weight / (2 * np.pi * np.sqrt(det) * len(nodes))
    total = height.sum(axis=1)
    share = np.log(height / total[:, None])
    out[...] = 0
    for k in range(len(weight)):
        yy, xy = each[:, k, 1, 1], each[:, k, 0, 1]
        # the exponent as a sum of two squares: nothing cancels in thin ellipses
        a = np.sqrt(0.5 * yy / det[:, k])
        lean = a * xy / yy
        for sx, sy in nodes:
            y = dy + sy
            ax, by = a[:, None] * (dx + sx), lean[:, None] * y
            rest = share[:, k:k + 1] - 0.5 * y**2 / yy[:, None]
            np.subtract(ax.astype(dtype)[:, None, :], by.astype(dtype)[:, :, None], out=term)
            np.multiply(term, term, out=term)
            np.subtract(rest.astype(dtype)[:, :, None], term, out=term)
            np.exp(term, out=term)
            out += term
    out *= (scale * total).astype(dtype)[:, None, None]
    return out


def _line(d: np.ndarray, variance: np.ndarray, integrated: bool) -> np.ndarray:
    """Return a Gaussian of unit area at offsets d, shape (n, m), or its averages over pixels."""
    sigma = np.sqrt(variance)[:, None]
    if not integrated:
        return np.exp(-0.5 * (d / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    # in the lower tail, where nothing cancels
    d = np.abs(d)
    return ndtr((0.5 - d) / sigma) - ndtr((-0.5 - d) / sigma)
