"""Any window of a field, made from rows of numbers: sources come without their pixels, and are decoded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.morphology.batches import decode_at
from skygal.morphology.clip import clip_stamps
from skygal.morphology.generator import DECODE_BLOCK
from skygal.morphology.latents import Latents
from skygal.morphology.point import add_points
from skygal.observation.beam import TargetBeam, native_covariance
from skygal.rendering.blocks import Window
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.noise import noise_window
from skygal.seeds import Seeds

if TYPE_CHECKING:
    from skygal.scene.faint import Faint

__all__ = ["Placements", "Recipe"]

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
    core : ndarray, shape (n, 2)
        Its core (x, y), in stamp pixels.
    extra : ndarray, shape (n,)
        Unresolved flux that is added to the stamp there, in parts of its own.
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
    core: np.ndarray
    extra: np.ndarray
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
        columns: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(part, field.name) for part in parts]
            columns[field.name] = Latents.join(values) if field.name == "latents" else np.concatenate(values)
        return cls(**columns)

    @classmethod
    def none(cls) -> Placements:
        """Return no sources."""
        whole, number, pair = np.zeros(0, int), np.zeros(0), np.zeros((0, 2))
        latents = Latents(np.zeros((0, 0), np.float32), np.zeros(0, str), number, number, whole)
        return cls(whole, latents, number, pair, pair, number, pair, np.zeros((0, 2, 2)), number,
                   number.astype(np.float32), whole, np.zeros((0, 4), int))

    def within(self, window: Window) -> Placements:
        """Return the sources with pixels in a window (y0, y1, x0, x1)."""
        y0, y1, x0, x1 = window
        bottom, top, left, right = self.box.T
        return self[np.flatnonzero((left < x1) & (right > x0) & (bottom < y1) & (top > y0))]


@dataclass(frozen=True)
class Recipe:
    """What it takes to make any window of a field, bit by bit the same whatever the window.

    Attributes
    ----------
    shape : (int, int)
        (ny, nx) of the image.
    beam : TargetBeam
        Its beam.
    noise : float or ndarray, float32
        Standard deviation of the noise, Jy/beam; 0 for none. A map is of the image, or of the window that this is
        the part `within`.
    seeds : Seeds
        The run's random streams, of which the noise has one.
    channel : int
        Fields of one run that differ in it have noise of their own.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    placements : Placements
        The galaxies.
    faint : Faint or None
        The faint sources.
    blank : ndarray of bool or None
        Which pixels are not to be seen: of the image, or of the window that this is the part `within`. None
        for none.
    fill : float
        What these hold.
    device : str
        Where stamps are rendered: "cpu" or "cuda".
    """

    shape: tuple[int, int]
    beam: TargetBeam
    noise: float | np.ndarray
    seeds: Seeds
    channel: int
    clip_sigma: float | None
    placements: Placements
    faint: Faint | None = None
    blank: np.ndarray | None = None
    fill: float = 0.0
    device: str = "cpu"

    def within(self, window: Window) -> Recipe:
        """Return the part of the recipe that matters to a window."""
        y0, y1, x0, x1 = window
        blank = None if self.blank is None else self.blank[y0:y1, x0:x1]
        reach = Canvas.reach_of(window, self.shape, self.beam)
        noise = self.noise[y0:y1, x0:x1] if isinstance(self.noise, np.ndarray) else self.noise
        return replace(self, noise=noise, placements=self.placements.within(reach),
                       faint=None if self.faint is None else self.faint.within(reach),
                       blank=blank if blank is not None and blank.any() else None)

    def draw(self, window: Window, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the noiseless image (Jy/beam, float32) and the segmentation (int32) of a window."""
        canvas = Canvas(window, self.shape, self.beam, None if self.blank is None else ~self.blank)
        mine = self.placements.within(canvas.reach)
        fwhm = model.beam_fwhm / model.pixel_scale
        for start in range(0, len(mine), AT_ONCE):
            part = mine[start:start + AT_ONCE]
            stamps = decode_at(model, part.latents, part.number % DECODE_BLOCK)
            stamps = clip_stamps(stamps, self.clip_sigma, beam_fwhm=fwhm)
            stamps /= part.total[:, None, None].astype(np.float32)
            stamps = add_points(stamps, part.core, part.extra, fwhm=fwhm)
            sources = Stamps(stamps, part.centre, part.position, part.affine, part.flux)
            for drawn in draw_stamps(sources, self.beam, native_covariance(fwhm), self.shape, window=canvas.reach,
                                     device=self.device):
                canvas.add(drawn, part.limits, part.labels)
        if self.faint is not None:
            self.faint.within(canvas.reach).add_to(canvas)
        return canvas.model(), canvas.segmentation

    def observe(self, window: Window, drawn: np.ndarray, *, workers: int = 1,
                progress: Callable[[int], object] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return a window with noise and without (Jy/beam, float32), given what `draw` made of it."""
        rms, factor = (1.0, self.noise) if isinstance(self.noise, np.ndarray) else (self.noise, None)
        if rms > 0:
            image = noise_window(window, self.beam, rms, self.seeds, channel=self.channel, workers=workers,
                                 progress=progress)
            if factor is not None:
                image *= factor
            image += drawn
        else:
            image = drawn.copy()
        if self.blank is not None:
            image[self.blank] = drawn[self.blank] = self.fill
        return image, drawn
