"""Scenes: layers of sources over a ground, in a frame, of which any window can be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skygal.observation.beam import TargetBeam
from skygal.observation.frame import Frame
from skygal.rendering.blocks import Window
from skygal.rendering.canvas import Canvas
from skygal.scene.ground import Ground
from skygal.scene.layer import Layer

__all__ = ["Scene"]


@dataclass(frozen=True, eq=False)
class Scene:
    """What an image shows, window by window, bit by bit the same whatever the window.

    What a window needs travels to other processes: numbers alone, no WCS, which rounds when it is pickled.

    Attributes
    ----------
    shape : (int, int)
        (ny, nx) of the image.
    beam : TargetBeam
        Its beam.
    valid : ndarray of bool or None
        Where it has pixels: of the image, or of the window that this is the part ``within``; None for everywhere.
    grounds : tuple of Ground
        What sources are added to, at each depth.
    layers : sequence of Layer
        The sources, in the order in which they are added up.
    """

    shape: tuple[int, int]
    beam: TargetBeam
    valid: np.ndarray | None
    grounds: tuple[Ground, ...]
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, frame: Frame, grounds: Sequence[Ground], layers: tuple[Layer, ...]) -> Scene:
        """Return layers over grounds in a frame."""
        return cls(frame.shape, frame.beam, frame.valid, tuple(grounds), layers)

    def within(self, window: Window) -> Scene:
        """Return what it takes to make a window (y0, y1, x0, x1), and what the layers share apart from that."""
        y0, y1, x0, x1 = window
        valid = None if self.valid is None else self.valid[y0:y1, x0:x1]
        reach = Canvas.reach_of(window, self.shape, self.beam)
        return Scene(self.shape, self.beam, None if valid is None or valid.all() else valid,
                     tuple(ground.within(window) for ground in self.grounds),
                     tuple(layer.within(reach) for layer in self.layers))

    def near(self, window: Window) -> Scene:
        """Return the scene with the sources alone that windows in this one need."""
        reach = Canvas.reach_of(window, self.shape, self.beam)
        return replace(self, layers=tuple(layer.within(reach) for layer in self.layers))

    def canvas(self, window: Window) -> Canvas:
        """Return an empty canvas for a window; `within` it, or of all of the image."""
        return Canvas(window, self.shape, self.beam, self.valid, len(self.grounds))

    def planes(self, window: Window, shared: list[Any]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return image, model and segmentation, at each depth, of the window that this is the part within.

        ``shared`` is what the layers share, one each.
        """
        canvas = self.canvas(window)
        for layer, common in zip(self.layers, shared, strict=True):
            layer.draw(canvas, common)
        drawn = canvas.model()
        return [(*ground.under(window, drawn, self.valid), segmentation)
                for ground, segmentation in zip(self.grounds, canvas.segmentations, strict=True)]
