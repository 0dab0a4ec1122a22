"""What is drawn of a stamp: the stamp itself, or, where an image sees more than that shows, octaves after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import show_fields
from skygal.morphology.measure import Shapes, measure_stamps
from skygal.morphology.octave_inputs import PIXELS_PER_BEAM

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator
    from skygal.morphology.latents import Latents

__all__ = ["StampView", "draw_views", "view_fwhm", "view_shapes"]

#: sources that are drawn sharper at once
AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class StampView:
    """Sources that are drawn from arrays of one shape.

    Attributes
    ----------
    part : slice
        Which of the stamps they are.
    images : ndarray, shape (m, ny, nx), float32
        Of unit sum.
    pixels : float
        How many of the images' pixels a pixel of the stamp is across; 1 for stamps themselves.
    """

    part: slice
    images: np.ndarray
    pixels: float

    __repr__ = show_fields


def draw_views(model: Generator, stamps: np.ndarray, latents: Latents, centre: np.ndarray, las: np.ndarray,
               octaves: np.ndarray) -> Iterator[StampView]:
    """Yield what is drawn of stamps, in order.

    Parameters
    ----------
    model : Generator
        The trained model.
    stamps : ndarray, shape (n, ny, nx)
        Of unit sum.
    latents : Latents
        What they were decoded from.
    centre, las : ndarray, shape (n, 2) and (n,)
        Measured on them.
    octaves : ndarray of int, shape (n,)
        The last of each, see `skygal.morphology.octaves.Octaves.needed`.
    """
    start, n, sharper = 0, len(stamps), octaves > 0
    while start < n:
        # alike, and few enough for what is drawn to be held at once
        stop = start + 1
        most = min(n, start + AT_ONCE) if sharper[start] else n
        while stop < most and sharper[stop] == sharper[start]:
            stop += 1
        part = slice(start, stop)
        if sharper[start] and model.octaves is not None:
            fwhm = model.beam_fwhm / model.pixel_scale
            drawn = model.octaves.draw(stamps[part], centre[part], las[part], latents.fr_class[part],
                                       latents.keys[part], octaves[part], fwhm)
            for k, (image, pixels) in enumerate(drawn, start):
                yield StampView(slice(k, k + 1), image[None], pixels)
        else:
            yield StampView(part, stamps[part], 1.0)
        start = stop


def view_fwhm(view: StampView, fwhm: float) -> float:
    """Return the FWHM in its own pixels of the beam that a view carries; ``fwhm`` is the stamps'."""
    return fwhm if view.pixels == 1 else float(PIXELS_PER_BEAM)


def view_shapes(view: StampView, shapes: Shapes) -> Shapes:
    """Return the shapes of what is drawn, in its own pixels, of stamps of which some are drawn."""
    if view.pixels == 1:
        return shapes[view.part]
    # a core is the brighter beside the rest the sharper the view: the source's size is that of its stamp
    return measure_stamps(view.images, beam_fwhm=PIXELS_PER_BEAM, las=shapes.las[view.part] * view.pixels)[0]
