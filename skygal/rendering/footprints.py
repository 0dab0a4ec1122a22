"""Which sources share pixels with others."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

__all__ = ["Footprints"]

#: side of the parts of the image that are looked at one after the other
TILE = 1024


class Footprints:
    """The pixels of sources in an image, packed to a bit each."""

    def __init__(self) -> None:
        self._packed: list[np.ndarray] = []
        self._boxes: list[tuple[int, int, int, int]] = []
        self._labels: list[int] = []

    def add(self, label: int, x0: int, y0: int, mask: np.ndarray) -> None:
        """Add a source: where ``mask``, shape (h, w), is True, its first pixel at column ``x0``, row ``y0``."""
        self._packed.append(np.packbits(mask))
        self._boxes.append((x0, y0, mask.shape[1], mask.shape[0]))
        self._labels.append(label)

    def overlapping(self) -> set[int]:
        """Return the labels of the sources that share a pixel with another."""
        tiles: dict[tuple[int, int], list[int]] = defaultdict(list)
        for k, (x, y, w, h) in enumerate(self._boxes):
            for row in range(y // TILE, (y + h - 1) // TILE + 1):
                for column in range(x // TILE, (x + w - 1) // TILE + 1):
                    tiles[row, column].append(k)
        found: set[int] = set()
        count = np.zeros((TILE, TILE), np.uint8)
        for (row, column), members in tiles.items():
            if len(members) == 1:
                continue
            count[...] = 0
            parts = [(k, *self._part(k, column * TILE, row * TILE)) for k in members]
            for _, here, mask in parts:
                view = count[here]
                np.minimum(view + mask, 2, out=view)
            found.update(self._labels[k] for k, here, mask in parts if (count[here][mask] > 1).any())
        return found

    def _part(self, k: int, left: int, bottom: int) -> tuple[tuple[slice, slice], np.ndarray]:
        """Return the slices of a tile that a source's box covers, and its mask there."""
        x, y, w, h = self._boxes[k]
        mask = np.unpackbits(self._packed[k], count=w * h).reshape(h, w).astype(bool)
        x0, x1, y0, y1 = max(x, left), min(x + w, left + TILE), max(y, bottom), min(y + h, bottom + TILE)
        return (slice(y0 - bottom, y1 - bottom), slice(x0 - left, x1 - left)), mask[y0 - y:y1 - y, x0 - x:x1 - x]
