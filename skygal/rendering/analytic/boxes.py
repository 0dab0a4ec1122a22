"""The boxes that point, Gaussian and exponential-disc sources are drawn in.

There are few sizes of them. Which one a source has follows from its own numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skygal.rendering.analytic.disc_profile import disc_level, disc_terms
from skygal.rendering.analytic.sources import EXPONENTIAL, Analytic

__all__ = ["FAINTEST", "Boxes", "source_terms"]

#: part of its peak below which a source is not drawn
FAINTEST = 1e-6
#: half-widths of boxes; a source that reaches farther has a box of its own
SIZES = np.array([3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 67, 80, 96])
#: relative covariance of x and y up to which a Gaussian counts as aligned with the axes; this changes
#: its pixels by under 3e-7 of the peak
ALIGNED = 1e-7
#: side of the parts of the sky, in pixels, that are drawn one after the other
PART = 256
#: sources whose boxes are found at once
ROWS = 2**16


@dataclass(frozen=True, eq=False)
class Boxes:
    """Which pixels sources are drawn on, and how.

    Attributes
    ----------
    centre : ndarray of int, shape (n, 2)
        The pixel (x, y) that the position is in.
    half : ndarray of int, shape (n, 2)
        Half-widths (x, y) of the box about it; -1 for sources without a position.
    terms : ndarray of int, shape (n,)
        0 for one Gaussian, else 1 plus the `disc_level`.
    aligned : ndarray of bool, shape (n,)
        Whether its Gaussians are aligned with the axes.
    group : ndarray of int, shape (n,)
        Those of one group are drawn together; -1 for large sources, each drawn alone.
    """

    centre: np.ndarray
    half: np.ndarray
    terms: np.ndarray
    aligned: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, sources: Analytic, *, integrated: bool, limit: np.ndarray | None = None) -> Boxes:
        """Return the boxes of sources.

        Parameters
        ----------
        sources : Analytic
        integrated : bool
            Whether pixels are averages over their area.
        limit : ndarray, shape (n,), optional
            Jy/beam: boxes beyond which sources are below that are enough.
        """
        n = len(sources)
        out = cls(np.zeros((n, 2), np.int64), np.full((n, 2), -1), np.zeros(n, np.int64), np.zeros(n, bool),
                  np.zeros(n, np.int64))
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            out._fill(part, sources[part], integrated, None if limit is None else limit[part])
        return out

    def _fill(self, part: slice, sources: Analytic, integrated: bool, limit: np.ndarray | None) -> None:
        b, c = sources.beam, sources.covariance
        known = np.isfinite(sources.position).all(axis=1)
        # no image is as large as 2**60 pixels, and int64 holds that
        place = np.clip(np.where(known[:, None], sources.position, 0), -2.0**60, 2.0**60)
        self.centre[part] = np.floor(place + 0.5)
        terms, half = self.terms[part], self.half[part]
        disc = sources.kind == EXPONENTIAL
        terms[disc] = 1 + disc_level(_resolved(b[disc], c[disc]))
        aligned = np.logical_and(*(np.abs(m[:, 0, 1]) <= ALIGNED * np.sqrt(m[:, 0, 0] * m[:, 1, 1]) for m in (b, c)))
        self.aligned[part] = aligned
        large = np.zeros(len(known), bool)
        for rule in np.unique(terms[known]):
            mine = np.flatnonzero((terms == rule) & known)
            reach, smaller = _reach(sources[mine], int(rule), integrated, None if limit is None else limit[mine])
            # the position may be half a pixel off the middle of its pixel
            half[mine] = np.floor(smaller + 0.5).astype(int)
            # by its full reach, so that its pixels are of the same bits whatever the limit
            large[mine] = (np.floor(reach + 0.5) > SIZES[-1]).any(axis=1)
        size = np.searchsorted(SIZES, half)
        round_up = known & ~large
        half[round_up] = SIZES[size[round_up]]
        group = ((terms * 2 + aligned) * len(SIZES) + size[:, 0]) * len(SIZES) + size[:, 1]
        self.group[part] = np.where(large, -1, group)

    def meet(self, y0: int, y1: int, x0: int, x1: int, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return which boxes, of all or of ``rows``, have a pixel in a window."""
        centre, half = self.centre[rows], self.half[rows]
        low, high = centre - half, centre + half
        return ((half[:, 0] >= 0) & (low[:, 0] < x1) & (high[:, 0] >= x0) & (low[:, 1] < y1) & (high[:, 1] >= y0))

    def in_band(self, y0: int, y1: int) -> np.ndarray:
        """Return, rising, the boxes that may have a pixel in rows y0 to y1 - 1: all that have, and a few others."""
        order, low, tallest, large = self._rising
        return np.sort(np.concatenate([order[np.searchsorted(low, y0 - tallest):np.searchsorted(low, y1)], large]))

    @cached_property
    def _rising(self) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
        """Those that are not large by their lowest row, these rows, the most rows that one has, and large ones."""
        there = self.half[:, 0] >= 0
        mine = np.flatnonzero(there & (self.group >= 0))
        low = self.centre[mine, 1] - self.half[mine, 1]
        order = np.argsort(low, kind="stable")
        return mine[order], low[order], 2 * int(SIZES[-1]) + 1, np.flatnonzero(there & (self.group < 0))

    def in_groups(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the sources ``rows`` group by group, in an order that follows from them alone."""
        if not rows.size:
            return
        # neighbours after each other, so that pixels that are added to stay in a core's own memory
        cell = self.centre[rows] // PART
        order = np.lexsort((cell[:, 0], cell[:, 1], self.group[rows]))
        rows = rows[order]
        yield from np.split(rows, np.flatnonzero(np.diff(self.group[rows])) + 1)


def source_terms(rule: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (variance, weight) of the Gaussians of a kind of source, in units of its covariance and flux."""
    return disc_terms(rule - 1) if rule else (np.ones(1), np.ones(1))


def _resolved(beam: np.ndarray, disc: np.ndarray) -> np.ndarray:
    """Return the larger eigenvalue of beam^-1 disc."""
    det = beam[:, 0, 0] * beam[:, 1, 1] - beam[:, 0, 1] ** 2
    half_trace = 0.5 * (beam[:, 1, 1] * disc[:, 0, 0] + beam[:, 0, 0] * disc[:, 1, 1]
                        - 2 * beam[:, 0, 1] * disc[:, 0, 1]) / det
    product = (disc[:, 0, 0] * disc[:, 1, 1] - disc[:, 0, 1] ** 2) / det
    return half_trace + np.sqrt(np.maximum(half_trace**2 - product, 0))


def _reach(sources: Analytic, rule: int, integrated: bool, limit: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the half-widths (x, y), shape (n, 2), beyond which sources are not drawn, and are below a limit."""
    variance, weight = source_terms(rule)
    pixel = np.eye(2) / 12 if integrated else 0
    each = (sources.beam + pixel)[:, None] + variance[:, None, None] * sources.covariance[:, None]
    height = weight / np.sqrt(each[..., 0, 0] * each[..., 1, 1] - each[..., 0, 1] ** 2)
    total = height.sum(axis=1)

    def within(floor: np.ndarray | float) -> np.ndarray:
        # beyond it no term is above its share of the floor
        depth = np.sqrt(2 * np.log(np.maximum(len(weight) * height / (floor * total)[:, None], 1)))
        return np.stack([(depth * np.sqrt(each[..., a, a])).max(axis=1) for a in (0, 1)], axis=1)

    reach = within(FAINTEST)
    if limit is None:
        return reach, reach
    with np.errstate(divide="ignore", invalid="ignore"):
        # a little more, since a pixel's average is not quite that of a Gaussian
        floor = 0.95 * limit / (np.abs(sources.flux) * sources.area * total / (2 * np.pi))
    # a source without flux is above nothing
    return reach, within(np.clip(np.nan_to_num(floor, nan=1.0), FAINTEST, 1))
