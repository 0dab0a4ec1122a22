"""Cores of galaxies that octaves draw: points, which a stamp's wide beam hides among what is around them."""

from __future__ import annotations

import numpy as np

from skygal.morphology.octave_inputs import PIXELS_PER_BEAM

__all__ = ["CORE_LEVELS", "place_core"]

#: standard deviation of a core's place along the source's axis about its middle, in half its largest size, and the most
ALONG, FARTHEST = 0.08, 0.2
#: natural logarithm of the core's share of the flux, of FRI and FRII: evenly spaced quantiles, from the least to the
#: most. Where nothing has been learnt, those of 14 and 44 sources of the Atlas of DRAGNs
CORE_LEVELS = ((-9.2, -9.2, -6.4, -5.0, -4.1, -3.7, -3.3, -2.8, -2.3),
               (-9.2, -9.2, -7.7, -6.6, -6.1, -5.7, -5.3, -4.0, -3.3))


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
    # hybrids have both, and compact sources neither
    mix = np.array(flags) / sum(flags) if any(flags) else np.array([1.0, 0.0])
    logarithms = mix @ np.asarray(levels, float)
    share = np.exp(np.interp(rank, np.linspace(0, 1, len(logarithms)), logarithms))
    return row, column, float(share)
