"""Any window of an image, drawn from rows of numbers: sources come without their pixels, and are decoded again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from skygal.morphology.clip import clip_stamps
from skygal.morphology.generator import BLOCK
from skygal.morphology.latents import Latents
from skygal.morphology.stamps import decode_at
from skygal.rendering.beam import TargetBeam, native_covariance
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps

__all__ = ["Placements", "draw_window"]

#: sources that are decoded at once
AT_ONCE = 512


@dataclass(frozen=True)
class Placements:
    """What it takes to draw sources again, bit by bit the same.

    Attributes
    ----------
    number : ndarray of int, shape (n,)
        Each source's number in the population, from 0, rising.
    latents : Latents
        What its stamp is decoded from.
    total : ndarray, shape (n,)
        Sum of the decoded and clipped stamp.
    centre, position, affine, flux : ndarray
        See `skygal.rendering.drawing.Stamps`.
    limits : ndarray, shape (n,), float32
        Jy/beam above which a pixel is labelled as the source's.
    labels : ndarray of int, shape (n,)
        Its ``source_id``.
    box : ndarray of int, shape (n, 4)
        (y0, y1, x0, x1) of its pixels, one past the last row and column; four zeros for none.
    """

    number: np.ndarray
    latents: Latents
    total: np.ndarray
    centre: np.ndarray
    position: np.ndarray
    affine: np.ndarray
    flux: np.ndarray
    limits: np.ndarray
    labels: np.ndarray
    box: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, part: slice | np.ndarray) -> Placements:
        return Placements(*(getattr(self, field.name)[part] for field in fields(self)))

    @classmethod
    def join(cls, parts: list[Placements]) -> Placements:
        """Return several sets as one."""
        columns: dict[str, Any] = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        return cls(**{name: Latents.join(column) if name == "latents" else np.concatenate(column)
                      for name, column in columns.items()})

    @classmethod
    def none(cls) -> Placements:
        """Return no sources."""
        whole, number, pair = np.zeros(0, int), np.zeros(0), np.zeros((0, 2))
        latents = Latents(np.zeros((0, 0), np.float32), np.zeros(0, str), number, number, whole)
        return cls(whole, latents, number, pair, pair, np.zeros((0, 2, 2)), number, number.astype(np.float32), whole,
                   np.zeros((0, 4), int))

    def within(self, window: tuple[int, int, int, int]) -> Placements:
        """Return the sources with pixels in a window (y0, y1, x0, x1)."""
        y0, y1, x0, x1 = window
        bottom, top, left, right = self.box.T
        return self[np.flatnonzero((left < x1) & (right > x0) & (bottom < y1) & (top > y0))]


def draw_window(placements: Placements, window: tuple[int, int, int, int], shape: tuple[int, int], beam: TargetBeam, *,
                model: Any, clip_sigma: float | None, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Draw a window of an image.

    Parameters
    ----------
    placements : Placements
        At least the sources `Placements.within` the canvas's reach.
    window : (int, int, int, int)
        (y0, y1, x0, x1), one past the last row and column.
    shape : (int, int)
        (ny, nx) of the whole image.
    beam : TargetBeam
        Its beam.
    model : Generator
        The trained model.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    device : str
        "cpu" or "cuda".

    Returns
    -------
    model : ndarray, float32
        Jy/beam, noiseless.
    segmentation : ndarray, int32
        ``source_id`` of the brightest source, 0 for none.
    """
    canvas = Canvas(window, shape, beam)
    mine = placements.within(canvas.reach)
    fwhm = model.beam_fwhm / model.pixel_scale
    for start in range(0, len(mine), AT_ONCE):
        part = mine[start:start + AT_ONCE]
        stamps = clip_stamps(decode_at(model, part.latents, part.number % BLOCK), clip_sigma, beam_fwhm=fwhm)
        stamps /= part.total[:, None, None].astype(np.float32)
        sources = Stamps(stamps, part.centre, part.position, part.affine, part.flux)
        for drawn in draw_stamps(sources, beam, native_covariance(fwhm), shape, window=canvas.reach, device=device):
            canvas.add(drawn, part.limits, part.labels)
    return canvas.model(), canvas.segmentation
