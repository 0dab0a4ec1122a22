"""What each source by itself adds to an image: a canvas that keeps it, and masks of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skygal.observation.beam import TargetBeam
from skygal.rendering.analytic.boxes import Boxes
from skygal.rendering.analytic.bulk import Analytic
from skygal.rendering.analytic.pixels import make_patches
from skygal.rendering.blocks import Window
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Drawn
from skygal.rendering.measured import FAINTEST

__all__ = ["Contribution", "ContributionCanvas"]


class Contribution(NamedTuple):
    """Noiseless pixels of a source by itself, as they are seen: Jy/beam, the first at column x and row y."""

    x: int
    y: int
    pixels: np.ndarray

    def limit(self, rms: float) -> float:
        """Return the brightness above which a pixel is the source's, Jy/beam.

        The noise, but not under 1 % of the source's peak, nor over half of it; without noise 1 % of the peak. Of
        pixels with noise this is the limit of `skygal.Field.segmentation`.
        """
        peak = float(self.pixels.max(initial=0))
        return float(np.float32(min(max(rms, FAINTEST * peak), 0.5 * peak)))

    def meets(self, window: Window) -> bool:
        """Return whether it has a pixel in a window (y0, y1, x0, x1)."""
        (y0, y1, x0, x1), (height, width) = window, self.pixels.shape
        return self.x < x1 and self.x + width > x0 and self.y < y1 and self.y + height > y0

    def within(self, window: Window) -> np.ndarray:
        """Return its pixels in a window (y0, y1, x0, x1), zero where it has none, float32."""
        y0, y1, x0, x1 = window
        out = np.zeros((y1 - y0, x1 - x0), np.float32)
        height, width = self.pixels.shape
        top, bottom, left, right = max(y0, self.y), min(y1, self.y + height), max(x0, self.x), min(x1, self.x + width)
        if top < bottom and left < right:
            out[top - y0:bottom - y0, left - x0:right - x0] = self.pixels[top - self.y:bottom - self.y,
                                                                        left - self.x:right - self.x]
        return out

    @classmethod
    def join(cls, parts: list[Contribution]) -> Contribution:
        """Return the sum of the pixels of several parts."""
        if len(parts) == 1:
            return parts[0]
        x0, y0 = min(part.x for part in parts), min(part.y for part in parts)
        x1 = max(part.x + part.pixels.shape[1] for part in parts)
        y1 = max(part.y + part.pixels.shape[0] for part in parts)
        total = np.zeros((y1 - y0, x1 - x0), np.float32)
        for part in parts:
            height, width = part.pixels.shape
            total[part.y - y0:part.y - y0 + height, part.x - x0:part.x - x0 + width] += part.pixels
        return cls(x0, y0, total)


class ContributionCanvas(Canvas):
    """A canvas that keeps the whole pixels of each source with some in its window.

    Parameters
    ----------
    window, shape, beam
        See `skygal.rendering.canvas.Canvas`.

    Attributes
    ----------
    parts : dict of int to list of Contribution
        By the label of the source.
    """

    def __init__(self, window: Window, shape: tuple[int, int], beam: TargetBeam) -> None:
        super().__init__(window, shape, beam)
        self.parts: dict[int, list[Contribution]] = {}

    def add(self, drawn: Drawn, limits: np.ndarray, labels: np.ndarray) -> None:
        """Add sources, in order."""
        super().add(drawn, limits, labels)
        for source, (x, y), _, seen in drawn.in_order():
            part = Contribution(x, y, seen)
            if part.meets(self.window):
                # a copy: what is seen is a view of a batch
                self.parts.setdefault(int(labels[source]), []).append(part._replace(pixels=seen.copy()))

    def add_analytic(self, sources: Analytic, seen: Analytic, limits: np.ndarray, labels: np.ndarray) -> None:
        """Add sources whose brightness is a formula."""
        super().add_analytic(sources, seen, limits, labels)
        boxes = Boxes.of(seen, integrated=False)
        for rows in boxes.in_groups(np.flatnonzero(boxes.meet(*self.window))):
            # large sources come in strips
            for patches in make_patches(seen, boxes, rows, integrated=False):
                for row, (x, y), pixels in zip(patches.rows.tolist(), patches.corner.tolist(), patches.values,
                                               strict=True):
                    self.parts.setdefault(int(labels[row]), []).append(Contribution(x, y, pixels))
