"""The pixels of sources in an image, kept for what they are to their neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from skygal.rendering.blocks import Window
from skygal.rendering.neighbours import Marks, SourcePixels

__all__ = ["Footprints"]


class Footprints:
    """The brightness of sources on an image, two bytes a pixel; a `skygal.rendering.neighbours.HasPixels`."""

    def __init__(self) -> None:
        self._values: list[np.ndarray] = []
        self._scales: list[np.float32] = []
        self._corners: list[tuple[int, int]] = []
        self._labels: list[int] = []
        self._limits: list[float] = []
        self._matters: list[float] = []

    def add(self, label: int, x0: int, y0: int, values: np.ndarray, *, limit: float, matters: float) -> None:
        """Add a source.

        Parameters
        ----------
        label : int
            Its number.
        x0, y0 : int
            Column and row, in the image, of its first pixel.
        values : ndarray, shape (h, w)
            Jy/beam; all within the image. Kept to three digits of the brightest.
        limit : float
            A pixel above it is the source's.
        matters : float
            A neighbour brighter than this matters.
        """
        scale = np.float32(values.max(initial=0))
        if scale <= 0:
            return
        self._values.append((values / scale).astype(np.float16))
        self._scales.append(scale)
        self._corners.append((x0, y0))
        self._labels.append(label)
        self._limits.append(float(limit))
        self._matters.append(float(matters))

    @property
    def labels(self) -> np.ndarray:
        """Their numbers, shape (n,)."""
        return np.array(self._labels, np.int64)

    @property
    def matters(self) -> np.ndarray:
        """Jy/beam that a neighbour has to exceed to matter, shape (n,)."""
        return np.array(self._matters)

    def spread(self, window: Window, total: np.ndarray, loudest: np.ndarray) -> None:
        """Add the sources' brightness to a window, and raise ``loudest`` to it."""
        for _, here, values in self._in(window):
            total[here] += values
            np.maximum(loudest[here], values, out=loudest[here])

    def own(self, window: Window, total: np.ndarray, sums: np.ndarray) -> list[SourcePixels]:
        """Add what is in each source's pixels to ``sums``; return those where neighbours may matter."""
        found = []
        for k, here, values in self._in(window):
            mine = values > self._limits[k]
            value, all_ = values[mine], total[here][mine]
            flux = value.sum(dtype=float)
            sums[k] += flux, flux
            rest = all_ - value
            if not rest.any():
                continue
            sums[k, 1] += rest.sum(dtype=float)
            more = rest > self._matters[k]
            if more.any():
                place = np.flatnonzero(mine)[more]
                found.append(self._pixels(k, here, place, value[more], total.shape[1]))
        return found

    def at(self, window: Window, marks: Marks) -> list[SourcePixels]:
        """Return the sources' brightness at marked pixels."""
        found, wide = [], window[3] - window[2]
        marked = marks.line.reshape(-1, wide)
        low = np.array(self._corners, int).reshape(-1, 2)
        high = low + np.array([values.shape[::-1] for values in self._values], int).reshape(-1, 2) - 1
        for k, here, values in self._in(window, np.flatnonzero(marks.near(low, high)).tolist()):
            place = np.flatnonzero(marked[here])
            if place.size:
                found.append(self._pixels(k, here, place, values.reshape(-1)[place], wide))
        return found

    @staticmethod
    def _pixels(k: int, here: tuple[slice, slice], place: np.ndarray, value: np.ndarray, wide: int) -> SourcePixels:
        """Return pixels, given by their number in a source's box."""
        y, x = np.divmod(place, here[1].stop - here[1].start)
        return SourcePixels(np.full(place.size, k), (y + here[0].start) * wide + x + here[1].start, value)

    def _in(self, window: Window, rows: Iterable[int] | None = None
            ) -> Iterator[tuple[int, tuple[slice, slice], np.ndarray]]:
        """Yield sources with pixels in a window as wide as the image, what they cover of it, and their brightness."""
        # by their numbers, not as they came: sums are then the same however sources were drawn
        for k in self._meeting(window) if rows is None else rows:
            (x, y), whole = self._corners[k], self._values[k]
            y0, y1 = max(y, window[0]), min(y + len(whole), window[1])
            if y0 < y1:
                values = whole[y0 - y:y1 - y].astype(np.float32) * self._scales[k]
                yield k, (slice(y0 - window[0], y1 - window[0]), slice(x, x + whole.shape[1])), values

    def _meeting(self, window: Window) -> list[int]:
        """Return the sources with rows in a window, by their numbers."""
        low = np.array(self._corners, int).reshape(-1, 2)[:, 1]
        high = low + np.array([len(values) for values in self._values], int)
        rows = np.flatnonzero((low < window[1]) & (high > window[0]))
        return rows[np.argsort(self.labels[rows], kind="stable")].tolist()
