"""Stamps by the batch: latents, decode, clip, measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import show_fields
from skygal.morphology.clip import clip_stamps
from skygal.morphology.conditions import measure_bending
from skygal.morphology.generator import DECODE_BLOCK
from skygal.morphology.latents import Latents
from skygal.morphology.measure import Shapes, largest_size, measure_stamps
from skygal.morphology.octaves import SHOWN, octave_sizes, soften
from skygal.seeds import next_keys

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = ["Batch", "Limits", "begin_octaves", "decode_at", "decode_within", "finish_stamps", "make_stamps",
           "make_stamps_within"]

#: stamps to a batch; a multiple of the generator's block
BATCH = 512
#: how often one that is not as asked for is drawn, the first time included
MOST_DRAWS = 200


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


@dataclass(frozen=True, eq=False)
class Batch:
    """Stamps number ``start`` and on: clipped, of unit sum, with what was measured on them.

    ``latents`` are those that each was decoded from in the end, ``bending`` is measured, and ``pixel_scale`` is
    the model's, in arcsec.
    """

    start: int
    latents: Latents
    bending: np.ndarray
    stamps: np.ndarray
    shapes: Shapes
    pixel_scale: float

    __repr__ = show_fields

    def parts(self, size: int) -> Iterator[Batch]:
        """Yield the same stamps, so many at a time."""
        for begin in range(0, len(self.stamps), size):
            here = slice(begin, begin + size)
            yield Batch(self.start + begin, self.latents[here], self.bending[here], self.stamps[here],
                        self.shapes[here], self.pixel_scale)


def make_stamps(model: Generator, latents: Latents, clip_sigma: float | None) -> Iterator[Batch]:
    """Decode, clip and measure stamps, a bounded batch at a time.

    Parameters
    ----------
    model : Generator
        The trained model.
    latents : Latents
        What to decode.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.

    Yields
    ------
    Batch
    """
    for start in range(0, len(latents), BATCH):
        part = latents[start:start + BATCH]
        stamps = finish_stamps(model, model.decode(part.values, part.fr_class, part.extent, part.bending), clip_sigma)
        yield _measured(start, part, stamps, _sizes(model, stamps), measure_bending(stamps), model)


def finish_stamps(model: Generator, stamps: np.ndarray, clip_sigma: float | None) -> np.ndarray:
    """Return decoded stamps, (n, ny, nx), clipped, and without the clip's edges where octaves may follow them."""
    fwhm = model.beam_fwhm / model.pixel_scale
    if model.octaves is None:
        return clip_stamps(stamps, clip_sigma, beam_fwhm=fwhm)
    return begin_octaves(stamps, clip_sigma, beam_fwhm=fwhm)


def _sizes(model: Generator, stamps: np.ndarray) -> np.ndarray:
    """Return the largest size of the source of each stamp, or of what octaves draw after it, in pixels, shape (n,)."""
    if model.octaves is None:
        return largest_size(stamps)
    return octave_sizes(stamps, model.beam_fwhm / model.pixel_scale, model.octaves.factor)


def begin_octaves(stamps: np.ndarray, clip_sigma: float | None, *, beam_fwhm: float) -> np.ndarray:
    """Return decoded stamps, (n, ny, nx), clipped to what FIRST can have shown, without the clip's edges."""
    return soften(clip_stamps(stamps, clip_sigma, beam_fwhm=beam_fwhm, faintest=SHOWN), beam_fwhm)


def _measured(start: int, part: Latents, stamps: np.ndarray, las: np.ndarray, bending: np.ndarray,
              model: Generator) -> Batch:
    """Return the batch of clipped stamps."""
    shapes, _ = measure_stamps(stamps, beam_fwhm=model.beam_fwhm / model.pixel_scale, las=las)
    unit = stamps / shapes.flux[:, None, None].astype(np.float32)
    return Batch(start, part, bending, unit, shapes, model.pixel_scale)


def make_stamps_within(model: Generator, plan: Latents, clip_sigma: float | None, limits: Limits, *,
                redraw: Callable[[np.ndarray, np.ndarray], Latents]) -> Iterator[Batch]:
    """Decode, clip and measure stamps that are all within limits, a bounded batch at a time: see `decode_within`.

    Yields
    ------
    Batch
    """
    for start in range(0, len(plan), BATCH):
        here = partial(_redraw_from, redraw, start)
        part, stamps = decode_within(model, plan[start:start + BATCH], clip_sigma, limits, redraw=here)
        yield _measured(start, part, stamps, _sizes(model, stamps), measure_bending(stamps), model)


def _redraw_from(redraw: Callable[[np.ndarray, np.ndarray], Latents], start: int, rows: np.ndarray,
                 keys: np.ndarray) -> Latents:
    return redraw(rows + start, keys)


def decode_within(model: Generator, plan: Latents, clip_sigma: float | None, limits: Limits, *,
                  redraw: Callable[[np.ndarray, np.ndarray], Latents]) -> tuple[Latents, np.ndarray]:
    """Decode and clip stamps that are all within limits.

    Parameters
    ----------
    model, plan, clip_sigma
        See `make_stamps`.
    limits : Limits
        What each stamp must measure.
    redraw : callable
        Returns fresh latents for rows of the plan, and their new keys.

    Returns
    -------
    latents : Latents
        What each was decoded from in the end.
    stamps : ndarray, shape (n, ny, nx), float32
        As the decoder and the clip leave them.

    Raises
    ------
    ValueError
        If the model makes no such stamp in `MOST_DRAWS` draws, or can make none.
    """
    frame = model.shape[1] * model.pixel_scale
    if limits.las[0] > frame:
        raise ValueError(f"las must be at most {frame:g} arcsec, the length of the model's stamps, got "
                         f"{limits.las[0]:g} arcsec and more")
    stamps = finish_stamps(model, model.decode(plan.values, plan.fr_class, plan.extent, plan.bending), clip_sigma)
    if limits == Limits():
        return plan, stamps
    return _redrawn(model, plan, clip_sigma, limits, redraw, stamps), stamps


def _redrawn(model: Generator, part: Latents, clip_sigma: float | None, limits: Limits,
             redraw: Callable[[np.ndarray, np.ndarray], Latents], stamps: np.ndarray) -> Latents:
    """Replace stamps that are not within limits by fresh ones that are, in place; return the latents of all."""
    columns = {field.name: getattr(part, field.name).copy() for field in fields(Latents)}
    las, bending = _sizes(model, stamps), measure_bending(stamps)
    missed = np.flatnonzero(~limits.met(las * model.pixel_scale, bending))
    for number in range(1, MOST_DRAWS):
        if not missed.size:
            break
        fresh = redraw(missed, next_keys(part.keys[missed], number))
        for name, column in columns.items():
            column[missed] = getattr(fresh, name)
        stamps[missed] = finish_stamps(model, decode_at(model, fresh, missed % DECODE_BLOCK), clip_sigma)
        las[missed], bending[missed] = _sizes(model, stamps[missed]), measure_bending(stamps[missed])
        missed = missed[~limits.met(las[missed] * model.pixel_scale, bending[missed])]
    if missed.size:
        k = missed[0]
        raise ValueError(
            f"las and bending must be in reach of the model, got none of class {part.fr_class[k]} with las "
            f"{limits.las[0]:g} to {limits.las[1]:g} arcsec and bending {np.degrees(limits.bending[0]):g} to "
            f"{np.degrees(limits.bending[1]):g} deg in {MOST_DRAWS} draws; the last had "
            f"{las[k] * model.pixel_scale:.1f} arcsec and {abs(np.degrees(bending[k])):.1f} deg")
    return Latents(**columns)


def decode_at(model: Generator, latents: Latents, place: np.ndarray) -> np.ndarray:
    """Decode stamps, each at a given place in the generator's block.

    A stamp's rounding may depend on its place in the block, though not on the others in it. So the place has to come
    from the stamp itself, not from how many others are decoded.
    """
    order = np.argsort(place, kind="stable")
    block = np.empty(len(place), int)
    block[order] = np.arange(len(place)) - np.searchsorted(place[order], place[order])
    at = block * DECODE_BLOCK + place
    # empty places show the first stamp once more
    filled = np.zeros((block.max() + 1) * DECODE_BLOCK, int)
    filled[at] = np.arange(len(place))
    whole = latents[filled]
    return model.decode(whole.values, whole.fr_class, whole.extent, whole.bending)[at]
