"""Cores of galaxies that octaves draw: points that a stamp shows, or hides among what is around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from skygal.morphology.measure import measure_stamps
from skygal.morphology.octave_inputs import PIXELS_PER_BEAM
from skygal.morphology.point import add_points

__all__ = ["CORE_LEVELS", "CORE_PARTS", "place_core", "take_cores"]

#: standard deviation of a core's place along the source's axis about its middle, in half its largest size, and the most
ALONG, FARTHEST = 0.08, 0.2
#: natural logarithm of the core's share of the flux, of FRI and FRII: evenly spaced quantiles, from the least to the
#: most. Where nothing has been learnt, those of 14 and 44 sources of the Atlas of DRAGNs
CORE_LEVELS = ((-9.2, -9.2, -6.4, -5.0, -4.1, -3.7, -3.3, -2.8, -2.3),
               (-9.2, -9.2, -7.7, -6.6, -6.1, -5.7, -5.3, -4.0, -3.3))
#: of what a stamp shows as a core, the part that is one, of FRI and FRII: evenly spaced quantiles, of 13 and 24 sources
#: of that atlas in which one is seen with 13 beams across (`benchmarks/sharp.py --cores`). The rest is knots and jets
CORE_PARTS = ((0.0, 0.02, 0.24, 0.4, 0.44, 0.49, 0.55, 0.86, 0.9),
              (0.0, 0.0, 0.03, 0.05, 0.11, 0.28, 0.37, 0.91, 1.0))
#: of a stamp's flux: what is less is not taken for a core
SHOWN_CORE = 0.005


def place_core(coarse: np.ndarray, middle: tuple[float, float], beams: float, levels: np.ndarray,
               flags: tuple[float, float], rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw where a source's core is and how bright.

    It is near the middle along the source's axis, and on the source's ridge there.

    Parameters
    ----------
    coarse : ndarray, shape (ny, nx)
        The source as it is known, its axis along x.
    middle : (float, float)
        Row and column of its middle.
    beams : float
        Beams across it.
    levels : ndarray, shape (2, q)
        See `CORE_LEVELS`.
    flags : (float, float)
        See `skygal.morphology.octave_inputs.class_flags`.
    rng : numpy.random.Generator
        What is drawn from.

    Returns
    -------
    row, column, share : float
        The place, and the core's flux in parts of that of the rest.
    """
    along, rank, half = rng.standard_normal(), rng.random(), beams / 2 * PIXELS_PER_BEAM
    column = float(np.clip(middle[1] + half * np.clip(ALONG * along, -FARTHEST, FARTHEST), 0, coarse.shape[1] - 1))
    # between pixels, since a place that jumped would be another one where numbers are rounded otherwise
    before, part = int(column), column % 1
    near = coarse[:, [before, min(before + 1, coarse.shape[1] - 1)]].astype(float)**2
    weight = near @ [1 - part, part]
    row = float((weight * np.arange(len(weight))).sum() / weight.sum()) if weight.any() else middle[0]
    return row, column, float(np.exp(_quantile(levels, flags, rank)))


def take_cores(stamps: np.ndarray, flags: Sequence[tuple[float, float]], ranks: np.ndarray, *, fwhm: float
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take out of stamps what of them are cores.

    A part of what rises, as narrow as the beam, above what is around the peak nearest to the middle (``core_frac``)
    is that of a point there.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Clipped.
    flags : sequence of (float, float)
        Of each, see `skygal.morphology.octave_inputs.class_flags`.
    ranks : ndarray, shape (n,)
        Where between the least and the most that part is, 0 to 1; see `CORE_PARTS`.
    fwhm : float
        Of the stamps' beam, in pixels.

    Returns
    -------
    bare : ndarray, shape (n, ny, nx), float32
        Stamps without cores.
    place : ndarray, shape (n, 2)
        Of each core, (x, y) in stamp pixels.
    flux : ndarray, shape (n,)
        Of each; zero where a stamp shows none.
    """
    shapes, _ = measure_stamps(stamps, beam_fwhm=fwhm)
    part = np.array([_quantile(CORE_PARTS, each, rank) for each, rank in zip(flags, ranks, strict=True)])
    flux = np.where(shapes.core_frac > SHOWN_CORE, part * shapes.core_frac, 0) * shapes.flux
    return np.maximum(add_points(stamps, shapes.core, -flux, fwhm=fwhm), 0), shapes.core, flux


def _quantile(levels: ArrayLike, flags: tuple[float, float], rank: float) -> float:
    """Return what is so far between the least and the most, of the quantiles of a class."""
    # hybrids have both, and compact sources neither
    mix = np.array(flags) / sum(flags) if any(flags) else np.array([1.0, 0.0])
    known = mix @ np.asarray(levels, float)
    return float(np.interp(rank, np.linspace(0, 1, len(known)), known))
