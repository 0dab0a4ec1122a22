"""Layers: sources of one kind, as what a scene is made of. A new kind of source is a new file with a layer in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from skygal.rendering.blocks import Window
from skygal.rendering.canvas import Canvas
from skygal.rendering.neighbours import HasPixels, find_neighbours
from skygal.truth.schema import COMPONENTS, TRUTH, join_columns

__all__ = ["Depth", "Layer", "components_of", "truth_of", "within_boxes"]


@dataclass(frozen=True, eq=False)
class Depth:
    """What the noise of an image decides of the sources of a layer.

    Attributes
    ----------
    truth : dict of str to ndarray
        Columns of truth.
    pixels : HasPixels
        The sources' brightness, for what they are to their neighbours.
    """

    truth: dict[str, np.ndarray]
    pixels: HasPixels


class Layer(Protocol):
    """Sources of one kind, placed and measured in a frame.

    Attributes
    ----------
    truth, components : dict of str to ndarray
        Those columns of `skygal.truth.schema` that such sources have, in its units; others are left empty there.
    depths : tuple of Depth
        What is different in images of other noise, in the order of their grounds.
    shared : object
        What drawing any window of them needs alike, such as a model: a task for another process gets it once.
    """

    @property
    def truth(self) -> dict[str, np.ndarray]:
        """Columns of truth."""

    @property
    def components(self) -> dict[str, np.ndarray]:
        """Columns of components."""

    @property
    def depths(self) -> tuple[Depth, ...]:
        """What the noise decides."""

    @property
    def shared(self) -> Any:
        """What all windows need."""

    def within(self, window: Window) -> Layer:
        """Return what it takes to draw a window (y0, y1, x0, x1): the sources with pixels there, and not ``shared``."""

    def draw(self, canvas: Canvas, shared: Any) -> None:
        """Add the sources to a canvas and label their pixels, bit by bit the same whatever its window."""


def truth_of(layers: Sequence[Layer], shape: tuple[int, int], *, depth: int = 0, workers: int = 1
             ) -> dict[str, np.ndarray]:
    """Return the columns of truth of all layers together, with what neighbours add to each source.

    Parameters
    ----------
    layers : sequence of Layer
        All that is in the image.
    shape : (int, int)
        Its (ny, nx).
    depth : int
        Which of the layers' depths it is.
    workers : int
        Threads.
    """
    truth = join_columns(TRUTH, [{**layer.truth, **layer.depths[depth].truth} for layer in layers])
    with np.errstate(divide="ignore", invalid="ignore"):
        truth["snr"] = np.where(truth["peak_flux"] == 0, 0, truth["peak_flux"] / truth["local_rms"])
    found = find_neighbours([layer.depths[depth].pixels for layer in layers], shape, workers=workers)
    order = np.argsort(truth["source_id"])
    rows = order[np.searchsorted(truth["source_id"][order], found.labels)]
    truth["blended"][rows], truth["neighbour_flux_frac"][rows] = found.blended, found.share
    return truth


def components_of(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """Return the columns of the components of all layers together."""
    return join_columns(COMPONENTS, [layer.components for layer in layers])


def within_boxes(box: np.ndarray, window: Window) -> np.ndarray:
    """Return which boxes, rows of (y0, y1, x0, x1), have pixels in a window; an empty one has none."""
    y0, y1, x0, x1 = window
    bottom, top, left, right = box.T
    return np.flatnonzero((bottom < top) & (left < x1) & (right > x0) & (bottom < y1) & (top > y0))
