"""Stamps of sources with any number of beams across, by octaves after the model's own stamps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skygal.checks import as_quantity
from skygal.morphology.batches import Batch
from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.measure import Shapes, measure_stamps
from skygal.morphology.octaves import OCTAVES
from skygal.morphology.views import draw_views, view_fwhm, view_shapes
from skygal.observation.beam import native_covariance
from skygal.rendering.beam_matching import matching_kernel
from skygal.rendering.transform import render_stamps
from skygal.seeds import Seeds

__all__ = ["check_beams_across", "draw_across", "turns"]

#: sides of the square frame, in those of the source
ROOM = 2.0
#: pixels that a frame is wider at least
RIM = 24
#: of a stamp's peak: what is fainter is nothing, and sources run out to that
DARK = 1e-5


def check_beams_across(beams: Any, model: Any) -> float:
    """Return how many beams are across each source.

    Raises
    ------
    TypeError, ValueError
        If it is no positive number, more than the model shows, or the model has no octaves.
    """
    beams = as_quantity("beams_across", beams, "")
    if model.octaves is None:
        raise ValueError("beams_across must be left out of a model without octaves, got "
                         f"{beams:g} and model {model.name!r}: 'first-atlas' has them")
    least, _ = model.extent
    most = 2**OCTAVES * SIZE_TO_EXTENT * least / model.beam_fwhm / model.octaves.factor
    if beams > most:
        raise ValueError(f"beams_across must be at most {most:.0f}, what model {model.name!r} shows, got {beams:g}")
    return beams


def turns(keys: np.ndarray) -> np.ndarray:
    """Return the rotation that belongs to each key, shape (n, 2, 2), from a stream apart from that of its latents."""
    angle = np.array([float(Seeds(int(key)).generator("angle").uniform(0, 2 * np.pi)) for key in keys])
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos, -sin, sin, cos], axis=-1).reshape(len(keys), 2, 2)   # counter-clockwise: north through east


def draw_across(model: Any, batch: Batch, *, beams: float | np.ndarray, size: int | None, turned: bool,
                pixels: float | None = None) -> tuple[np.ndarray, Shapes]:
    """Return the sources of a batch with so many beams across each, shape (n, size, size), and their shapes.

    Parameters
    ----------
    model : Generator
        With octaves.
    batch : Batch
        Its stamps.
    beams : float or ndarray, shape (n,)
        Beams across the largest size of each.
    size : int or None
        Side of the square frame; twice the largest source's if None.
    turned : bool
        Whether at the angles of their keys, or along x.
    pixels : float, optional
        Pixels across the FWHM of a beam; as many as in the model's stamps by default.
    """
    fwhm = model.beam_fwhm / model.pixel_scale
    wide = fwhm if pixels is None else pixels
    across = np.broadcast_to(beams * wide, len(batch.stamps)).astype(float)
    size = math.ceil(max(ROOM * across.max(), across.max() + RIM)) if size is None else size
    zoom = across / batch.shapes.las
    octaves = np.zeros(len(zoom), int)
    if model.octaves is not None:
        octaves = model.octaves.needed(wide / zoom, fwhm)
    target = native_covariance(wide)
    rotation = turns(batch.latents.keys) if turned else np.tile(np.eye(2), (len(zoom), 1, 1))
    images = np.empty((len(zoom), size, size), np.float32)
    for view in draw_views(model, batch.stamps, batch.latents, batch.shapes.centre, batch.shapes.las, octaves):
        own, shapes = native_covariance(view_fwhm(view, fwhm)), view_shapes(view, batch.shapes)
        affine = rotation[view.part] * (zoom[view.part] / view.pixels)[:, None, None]
        kernel, _ = matching_kernel(affine, target, own)
        n = len(view.images)
        images[view.part] = render_stamps(view.images, shapes.centre, np.full((n, 2), (size - 1) / 2), affine, kernel,
                                          own, (size, size))
    images = np.maximum(images - DARK * images.max(axis=(1, 2), keepdims=True), 0)
    return images, measure_stamps(images, beam_fwhm=wide, las=across)[0]
