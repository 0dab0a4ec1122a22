"""What faint sources, whose brightness is a formula, add to the pixels of others, and others to theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skygal.rendering.analytic import Analytic, draw
from skygal.rendering.analytic_pixels import Boxes, make_patches
from skygal.rendering.blocks import Window
from skygal.rendering.footprints import brightest_other, make_keys

__all__ = ["FaintNeighbours"]


@dataclass(frozen=True)
class FaintNeighbours:
    """Faint sources as `skygal.rendering.footprints.Others`.

    Attributes
    ----------
    seen : Analytic
        As they appear.
    labels : ndarray of int, shape (n,)
        Their ``source_id``.
    limits : ndarray, shape (n,), float32
        Jy/beam above which a pixel is the source's.
    peak, matters : ndarray, shape (n,)
        Their largest pixel, and what a neighbour has to exceed to matter, Jy/beam.
    valid : ndarray of bool, shape (ny, nx), or None
        Where the image has pixels at all; None for everywhere.
    """

    seen: Analytic
    labels: np.ndarray
    limits: np.ndarray
    peak: np.ndarray
    matters: np.ndarray
    valid: np.ndarray | None = None

    def add_brightness(self, window: Window, out: np.ndarray) -> None:
        """Add the brightness of all to a window (y0, y1, x0, x1) of the image, float64."""
        draw(self.seen, window, out)

    def add_keys(self, window: Window, least: float, first: int, best: np.ndarray, second: np.ndarray) -> None:
        """Put pixels brighter than ``least`` among the two largest keys."""
        bright = np.flatnonzero(self.peak > least)
        if not bright.size:
            return
        limit = np.full(len(self.labels), np.float32(least))
        top, next_, before = best.reshape(-1), second.reshape(-1), best.flatten()
        for rows, index, values, above in self._pixels(window, bright, limit):
            keys = make_keys(values, first + rows[:, None, None])
            np.maximum.at(top, index[above], keys[above])
        np.maximum(next_, np.where(top > before, before, 0), out=next_)
        # only now is it known which pixel of which source comes second at most
        for rows, index, values, above in self._pixels(window, bright, limit):
            index, keys = index[above], make_keys(values, first + rows[:, None, None])[above]
            other = top[index] != keys
            np.maximum.at(next_, index[other], keys[other])

    def look(self, window: Window, first: int, total: np.ndarray, best: np.ndarray | None, second: np.ndarray | None,
             sums: np.ndarray, blended: np.ndarray) -> None:
        """Add what is in each source's pixels, its own and all, to the columns of ``sums``; set who is ``blended``."""
        line = total.reshape(-1)
        for rows, index, values, above in self._pixels(window, np.flatnonzero(self.limits > 0), self.limits):
            index = np.where(above, index, 0)
            sums[rows, 0] += np.where(above, values, 0).sum(axis=(1, 2), dtype=float)
            sums[rows, 1] += np.where(above, line[index], 0).sum(axis=(1, 2))
            if best is not None and second is not None:
                number = first + rows[:, None, None]
                other = brightest_other(best.reshape(-1)[index], second.reshape(-1)[index], number)
                blended[rows] |= (above & (other > self.matters[rows][:, None, None])).any(axis=(1, 2))

    def _pixels(self, window: Window, rows: np.ndarray, limit: np.ndarray
                ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield some of the sources ``rows``, shape (k,), with their pixels, shape (k, h, w).

        Of these, the places in the window, the brightness, and which are in it, not blank and above ``limit``,
        shape (n,).
        """
        mine, least = self.seen[rows], limit[rows]
        boxes = Boxes.of(mine, integrated=False, limit=least)
        for group in boxes.in_groups(np.flatnonzero(boxes.meet(*window))):
            for patches in make_patches(mine, boxes, group, integrated=False, window=window):
                above = patches.values > least[patches.rows][:, None, None]
                index, inside = patches.places(window)
                if inside is not None:
                    above &= inside
                if self.valid is not None:
                    y0, y1, x0, x1 = window
                    above &= self.valid[y0:y1, x0:x1].reshape(-1)[np.where(above, index, 0)]
                yield rows[patches.rows], index, patches.values, above
