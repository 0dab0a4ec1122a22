"""Faint sources, whose brightness is a formula, as their neighbours see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skygal.rendering.analytic.bulk import Analytic
from skygal.rendering.analytic.pixels import Boxes, make_patches
from skygal.rendering.blocks import Window
from skygal.rendering.neighbours import Marks, SourcePixels

__all__ = ["FaintPixels"]


@dataclass(frozen=True, eq=False)
class FaintPixels:
    """Faint sources as a `skygal.rendering.neighbours.HasPixels`.

    Attributes
    ----------
    seen : Analytic
        As they appear.
    labels : ndarray of int, shape (n,)
        Their ``source_id``.
    limits, least : ndarray, shape (n,), float32
        Jy/beam above which a pixel is the source's, and above which it counts in others' pixels; 0 for all that
        is drawn.
    matters : ndarray, shape (n,)
        What a neighbour has to exceed to matter, Jy/beam.
    valid : ndarray of bool, shape (ny, nx), or None
        Where the image has pixels at all; None for everywhere.
    """

    seen: Analytic
    labels: np.ndarray
    limits: np.ndarray
    least: np.ndarray
    matters: np.ndarray
    valid: np.ndarray | None = None

    def spread(self, window: Window, total: np.ndarray, loudest: np.ndarray) -> None:
        """Add the sources' brightness to a window, and raise ``loudest`` to it."""
        total_line, loud_line = total.reshape(-1), loudest.reshape(-1)
        for _, index, values, above in self._pixels(window, self.least, self._reach):
            index, values = index[above], values[above]
            np.add.at(total_line, index, values)
            np.maximum.at(loud_line, index, values)

    def own(self, window: Window, total: np.ndarray, sums: np.ndarray) -> list[SourcePixels]:
        """Add what is in each source's pixels to ``sums``; return those where neighbours may matter."""
        line, found = total.reshape(-1), []
        for rows, index, values, above in self._pixels(window, self.limits, self._own):
            all_ = np.where(above, line[np.where(above, index, 0)], 0)
            values = np.where(above, values, 0)
            sums[rows, 0] += values.sum(axis=(1, 2), dtype=float)
            sums[rows, 1] += all_.sum(axis=(1, 2), dtype=float)
            more = all_ - values > self.matters[rows][:, None, None].astype(np.float32)
            if more.any():
                row = np.repeat(rows, np.count_nonzero(more, axis=(1, 2)))
                found.append(SourcePixels(row, index[more], values[more]))
        return found

    def at(self, window: Window, marks: Marks) -> list[SourcePixels]:
        """Return the sources' brightness at marked pixels."""
        found = []
        for rows, index, values, above in self._pixels(window, self.least, self._reach, marks):
            above &= marks.line[np.where(above, index, 0)]
            row = np.repeat(rows, np.count_nonzero(above, axis=(1, 2)))
            found.append(SourcePixels(row, index[above], values[above]))
        return found

    @cached_property
    def _reach(self) -> Boxes:
        return Boxes.of(self.seen, integrated=False, limit=self.least)

    @cached_property
    def _own(self) -> Boxes:
        return Boxes.of(self.seen, integrated=False, limit=self.limits)

    def _pixels(self, window: Window, limit: np.ndarray, boxes: Boxes, marks: Marks | None = None
                ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield sources in a window, those near marks if any, with their pixels, shape (k, h, w).

        Of these, the places in the window, the brightness, and which are in it, not blank and above ``limit``,
        shape (n,).
        """
        there = boxes.in_band(window[0], window[1])
        there = there[boxes.meet(*window, there)]
        if marks is not None:
            there = there[marks.near(boxes.centre[there] - boxes.half[there], boxes.centre[there] + boxes.half[there])]
        for group in boxes.in_groups(there):
            for patches in make_patches(self.seen, boxes, group, integrated=False, window=window):
                rows = patches.rows
                above = patches.values > limit[rows][:, None, None]
                index, inside = patches.places(window)
                if inside is not None:
                    above &= inside
                if self.valid is not None:
                    y0, y1, x0, x1 = window
                    above &= self.valid[y0:y1, x0:x1].reshape(-1)[np.where(above, index, 0)]
                yield rows, index, patches.values, above
