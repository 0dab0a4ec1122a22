"""Stamps by the batch: latents, decode, clip, measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from skygal.morphology.clip import clip_stamps
from skygal.morphology.components import Components
from skygal.morphology.conditions import measure_bending
from skygal.morphology.generator import BLOCK
from skygal.morphology.latents import Latents, largest_extent
from skygal.morphology.measure import Shapes, largest_size, measure_stamps
from skygal.seeds import next_keys

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = ["Batch", "Limits", "draw_within", "make_stamps"]

#: stamps to a batch; a multiple of the generator's block
BATCH = 64
#: how often a stamp that is too small is asked for again with a larger extent
TRIES = 3
#: how often one that is not as asked for is drawn anew
DRAWS = 40


@dataclass(frozen=True)
class Limits:
    """What every stamp must measure.

    Attributes
    ----------
    las : tuple of float
        Least and largest angular size, arcsec.
    bending : tuple of float
        Least and largest absolute bending, radians.
    """

    las: tuple[float, float] = (0.0, np.inf)
    bending: tuple[float, float] = (0.0, np.pi)

    def met(self, las: np.ndarray, bending: np.ndarray) -> np.ndarray:
        """Return which of the stamps are within the limits."""
        size, bend = self.las, np.abs(bending)
        return (las >= size[0]) & (las <= size[1]) & (bend >= self.bending[0]) & (bend <= self.bending[1])


@dataclass(frozen=True)
class Batch:
    """Stamps number ``start`` and on: clipped, of unit sum, with what was measured on them.

    ``latents`` are those that each was decoded from in the end, and ``bending`` is measured.
    """

    start: int
    latents: Latents
    bending: np.ndarray
    stamps: np.ndarray
    shapes: Shapes
    components: Components


def make_stamps(model: Generator, latents: Latents, clip_sigma: float | None,
                least: np.ndarray | None = None) -> Iterator[Batch]:
    """Decode, clip and measure stamps, a bounded batch at a time.

    Parameters
    ----------
    model : Generator
        The trained model.
    latents : Latents
        What to decode.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    least : ndarray, shape (n,), optional
        Largest angular size, in stamp pixels, that each stamp should reach. One that falls short is
        asked for again with a larger extent, as far as the model knows them.

    Yields
    ------
    Batch
    """
    fwhm = model.beam_fwhm / model.pixel_scale
    for start in range(0, len(latents), BATCH):
        part = latents[start:start + BATCH]
        stamps = clip_stamps(model.decode(part.values, part.fr_class, part.extent, part.bending), clip_sigma,
                             beam_fwhm=fwhm)
        las = largest_size(stamps)
        if least is not None:
            extent = part.extent.copy()
            _enlarge(model, part, clip_sigma, least[start:start + BATCH], stamps, las, extent)
            part = replace(part, extent=extent)
        yield _measured(start, part, stamps, las, fwhm)


def _measured(start: int, part: Latents, stamps: np.ndarray, las: np.ndarray, fwhm: float) -> Batch:
    """Return the batch of clipped stamps."""
    shapes, components = measure_stamps(stamps, beam_fwhm=fwhm, las=las)
    unit = stamps / shapes.flux[:, None, None].astype(np.float32)
    of_stamp = shapes.flux[components.stamp]
    return Batch(start, part, measure_bending(stamps), unit, shapes,
                 replace(components, flux=components.flux / of_stamp, peak_value=components.peak_value / of_stamp))


def draw_within(model: Generator, plan: Latents, clip_sigma: float | None, limits: Limits, *,
                redraw: Callable[[np.ndarray, np.ndarray], Latents]) -> Iterator[Batch]:
    """Decode, clip and measure stamps that are all within limits.

    Parameters
    ----------
    model, plan, clip_sigma
        See `make_stamps`.
    limits : Limits
        What each stamp must measure.
    redraw : callable
        Returns fresh latents for classes and keys.

    Yields
    ------
    Batch

    Raises
    ------
    ValueError
        If the model makes no such stamp in `DRAWS` draws.
    """
    fwhm = model.beam_fwhm / model.pixel_scale
    for batch in make_stamps(model, plan, clip_sigma):
        part, stamps = batch.latents, batch.stamps * batch.shapes.flux[:, None, None].astype(np.float32)
        las, bend = batch.shapes.las * model.pixel_scale, batch.bending.copy()
        for draw in range(1, DRAWS):
            missed = np.flatnonzero(~limits.met(las, bend))
            if not missed.size:
                break
            fresh = redraw(part.fr_class[missed], next_keys(plan[batch.start:batch.start + BATCH].keys[missed], draw))
            columns = {}
            for field in fields(Latents):
                columns[field.name] = getattr(part, field.name).copy()
                columns[field.name][missed] = getattr(fresh, field.name)
            part = Latents(**columns)
            for block in np.unique(missed // BLOCK):
                # each in the block it was in before, so that its rounding does not depend on which others are anew
                here = slice(block * BLOCK, (block + 1) * BLOCK)
                rows = missed[missed // BLOCK == block]
                raw = model.decode(part.values[here], part.fr_class[here], part.extent[here], part.bending[here])
                stamps[rows] = clip_stamps(raw[rows - here.start], clip_sigma, beam_fwhm=fwhm)
            las[missed], bend[missed] = largest_size(stamps[missed]) * model.pixel_scale, measure_bending(stamps[missed])
        missed = np.flatnonzero(~limits.met(las, bend))
        if missed.size:
            k = missed[0]
            raise ValueError(f"las and bending must be in reach of the model, got none of class {part.fr_class[k]} with "
                             f"las {limits.las[0]:g} to {limits.las[1]:g} arcsec and bending "
                             f"{np.degrees(limits.bending[0]):g} to {np.degrees(limits.bending[1]):g} deg in {DRAWS} "
                             f"draws; the nearest of the last had {las[k]:.1f} arcsec and "
                             f"{abs(np.degrees(bend[k])):.1f} deg")
        yield _measured(batch.start, part, stamps, largest_size(stamps), fwhm)


def _enlarge(model: Generator, part: Latents, clip_sigma: float | None, least: np.ndarray, stamps: np.ndarray,
             las: np.ndarray, extent: np.ndarray) -> None:
    """Replace stamps smaller than ``least`` by ones of a larger extent, in place."""
    largest = np.array([largest_extent(model, name) for name in part.fr_class])
    for _ in range(TRIES):
        short = np.flatnonzero((las < least) & (extent < largest))
        if not short.size:
            return
        extent[short] = np.minimum(1.1 * extent[short] * least[short] / las[short], largest[short])
        # each in the block it was in before, so that its rounding does not depend on which others are short
        for block in np.unique(short // BLOCK):
            here = slice(block * BLOCK, (block + 1) * BLOCK)
            rows = short[short // BLOCK == block]
            raw = model.decode(part.values[here], part.fr_class[here], extent[here], part.bending[here])[rows - here.start]
            stamps[rows] = clip_stamps(raw, clip_sigma, beam_fwhm=model.beam_fwhm / model.pixel_scale)
            las[rows] = largest_size(stamps[rows])
