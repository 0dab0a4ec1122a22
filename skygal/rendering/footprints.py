"""Which sources share pixels with others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["Footprints"]

#: rows of the image that are looked at together
ROWS = 1024

#: yields labels and places of pixels, in a window (y0, y1, x0, x1), of sources that are not kept here: pixel
#: ``index`` of the window, row by row, belongs to ``label``; no source has a pixel twice
Pixels = Callable[[tuple[int, int, int, int]], Iterator[tuple[np.ndarray, np.ndarray]]]


class Footprints:
    """The pixels of sources in an image, packed to a bit each.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) of the image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._packed: list[np.ndarray] = []
        self._boxes: list[tuple[int, int, int, int]] = []
        self._labels: list[int] = []

    def add(self, label: int, x0: int, y0: int, mask: np.ndarray) -> None:
        """Add a source: where ``mask``, shape (h, w), is True, its first pixel at column ``x0``, row ``y0``."""
        self._packed.append(np.packbits(mask))
        self._boxes.append((x0, y0, mask.shape[1], mask.shape[0]))
        self._labels.append(label)

    def overlapping(self, others: Pixels | None = None) -> np.ndarray:
        """Return the labels, rising, of the sources that share a pixel with another.

        Parameters
        ----------
        others : callable, optional
            Pixels of more sources.
        """
        bands: dict[int, list[int]] = defaultdict(list)
        for k, (_, y, _, h) in enumerate(self._boxes):
            for band in range(y // ROWS, (y + h - 1) // ROWS + 1):
                bands[band].append(k)
        found: list[np.ndarray] = []
        ny, nx = self._shape
        count = np.zeros((min(ROWS, ny), nx), np.uint8)
        for band in range(-(-ny // ROWS)):
            bottom = band * ROWS
            window = (bottom, min(bottom + ROWS, ny), 0, nx)
            more = [] if others is None else list(others(window))
            if len(bands[band]) + sum(labels.size for labels, _ in more) < 2:
                continue
            count[...] = 0
            parts = [(k, *self._part(k, window)) for k in bands[band]]
            for _, here, mask in parts:
                view = count[here]
                np.minimum(view + mask, 2, out=view)
            line = count.reshape(-1)
            for _, index in more:
                at, times = np.unique(index, return_counts=True)
                line[at] = np.minimum(line[at] + times, 2)
            found += [np.array([self._labels[k]]) for k, here, mask in parts if (count[here][mask] > 1).any()]
            found += [np.unique(labels[line[index] > 1]) for labels, index in more]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, int)

    def _part(self, k: int, window: tuple[int, int, int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
        """Return the slices of a band that a source's box covers, and its mask there."""
        x, y, w, h = self._boxes[k]
        mask = np.unpackbits(self._packed[k], count=w * h).reshape(h, w).astype(bool)
        y0, y1 = max(y, window[0]), min(y + h, window[1])
        return (slice(y0 - window[0], y1 - window[0]), slice(x, x + w)), mask[y0 - y:y1 - y]
