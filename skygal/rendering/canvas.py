"""The canvas: sources added to a window of an image, and labelled there.

Sources are added in order, so that rounding is the same whatever the window and however many are
drawn at once.
"""

from __future__ import annotations

import numpy as np

from skygal.observation.beam import TargetBeam
from skygal.rendering.analytic.bulk import Analytic, draw, label
from skygal.rendering.blocks import Blocks, Window, convolve_window
from skygal.rendering.drawing import Drawn

__all__ = ["Canvas"]


class Canvas:
    """A part of a model image in the making.

    Parameters
    ----------
    window : (int, int, int, int)
        (y0, y1, x0, x1) in the image, one past the last row and column.
    shape : (int, int)
        (ny, nx) of the image.
    beam : TargetBeam
        The image's beam.
    valid : ndarray of bool, shape of the window, optional
        Where the image has pixels at all; by default everywhere.
    depths : int
        How many images differ in the noise alone: what is drawn is the same in all, and labelled in each.

    Attributes
    ----------
    reach : (int, int, int, int)
        (y0, y1, x0, x1) of what matters to the window: itself, and what a PSF image brings in from beyond.
    segmentations : list of ndarray of int32, shape of the window
        One for each depth: label of the brightest source at each pixel where one is above its limit, else 0.
    """

    def __init__(self, window: Window, shape: tuple[int, int], beam: TargetBeam,
                 valid: np.ndarray | None = None, depths: int = 1) -> None:
        self.window = y0, y1, x0, x1 = window
        self._valid = valid
        self._rest = beam.remainder
        self.reach = self.reach_of(window, shape, beam)
        self.segmentations = [_blank((y1 - y0, x1 - x0), np.int32) for _ in range(depths)]
        self._brightest = [_blank((y1 - y0, x1 - x0), np.float32) for _ in range(depths)]
        self._sum = _blank((self.reach[1] - self.reach[0], self.reach[3] - self.reach[2]), np.float32)

    @property
    def segmentation(self) -> np.ndarray:
        """That of the first depth."""
        return self.segmentations[0]

    @staticmethod
    def reach_of(window: Window, shape: tuple[int, int], beam: TargetBeam) -> Window:
        """Return (y0, y1, x0, x1) of what matters to a window of an image of ``shape``."""
        if beam.remainder is None:
            return window
        # the blocks of the convolution that meet the window, with what is around them
        margin = tuple(side // 2 for side in beam.remainder.shape)
        blocks = Blocks((margin[0], margin[1]))
        edges = []
        for begin, end, side, size, far, length in zip(window[::2], window[1::2], blocks.sides, blocks.size, margin,
                                                       shape, strict=True):
            # nothing beyond the margin around the image matters to it
            edges += [max(begin // side * side - far, -far),
                      min(-(-end // side) * side - side - far + size, length + far)]
        return edges[0], edges[1], edges[2], edges[3]

    def add(self, drawn: Drawn, limits: np.ndarray, labels: np.ndarray) -> None:
        """Add sources, in order, and label their pixels above ``limits``, shape (n,) or (n, depths)."""
        limits = np.asarray(limits, np.float32).reshape(len(limits), len(self.segmentations))
        for source, (x, y), data, seen in drawn.in_order():
            part = _overlap(x - self.reach[2], y - self.reach[0], data.shape, self._sum.shape)
            if part is not None:
                self._sum[part[0]] += data[part[1]]
            part = _overlap(x - self.window[2], y - self.window[0], seen.shape, self.segmentation.shape)
            if part is not None:
                for depth, limit in enumerate(limits[source]):
                    self._label(depth, part, seen, limit, int(labels[source]))

    def add_analytic(self, sources: Analytic, seen: Analytic, limits: np.ndarray, labels: np.ndarray) -> None:
        """Add sources whose brightness is a formula, and label their pixels above ``limits``.

        These are of shape (n,) or (n, depths). ``seen`` are the sources as they appear, which with a PSF image are not
        what is added up.
        """
        draw(sources, self.reach, self._sum)
        limits = np.asarray(limits).reshape(len(limits), len(self.segmentations))
        for limit, segmentation, brightest in zip(limits.T, self.segmentations, self._brightest, strict=True):
            rows = np.flatnonzero(limit > 0)
            label(seen[rows], labels[rows], limit[rows], self.window, segmentation, brightest)
            if self._valid is not None:
                segmentation[~self._valid] = 0

    def _label(self, depth: int, part: tuple[tuple[slice, slice], tuple[slice, slice]], seen: np.ndarray,
               limit: np.float32, label: int) -> None:
        here, brightest = seen[part[1]], self._brightest[depth][part[0]]
        wins = here > np.maximum(brightest, limit)
        if self._valid is not None:
            wins &= self._valid[part[0]]
        np.copyto(self.segmentations[depth][part[0]], label, where=wins)
        np.copyto(brightest, here, where=wins)

    def model(self) -> np.ndarray:
        """Return the noiseless image, Jy/beam, float32."""
        if self._rest is None:
            return self._sum

        def fetch(y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
            out = np.zeros((y1 - y0, x1 - x0), np.float32)
            part = _overlap(self.reach[2] - x0, self.reach[0] - y0, self._sum.shape, out.shape)
            if part is not None:
                out[part[0]] = self._sum[part[1]]
            return out

        return convolve_window(fetch, self._rest, self.window).astype(np.float32)


def _overlap(x: int, y: int, small: tuple[int, ...], large: tuple[int, ...]
             ) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return the slices of a large array, and of a small one that starts at (x, y) of it, that meet, or None."""
    (h, w), (ny, nx) = small, large
    x0, x1, y0, y1 = max(x, 0), min(x + w, nx), max(y, 0), min(y + h, ny)
    if x0 >= x1 or y0 >= y1:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))


def _blank(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    # written in full, so that it lies on large pages of memory: those of np.zeros come one small page at
    # a time, when a source first touches them, which takes longer than drawing the source
    return np.full(shape, 0, dtype)
