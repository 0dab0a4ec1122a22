"""What tells smooth, sharp sources from grainy ones: measures of maps without noise, four pixels a beam."""

from __future__ import annotations

import numpy as np

from skygal.training.data.atlas import PIXELS_PER_BEAM, SIGMA
from skygal.training.data.cores import find_maxima

__all__ = ["MEASURES", "measure_sharpness"]

#: of the peak: what is fainter is outside the source
FAINTEST = 0.02
#: pixels of the beam's solid angle
BEAM_AREA = np.pi / (4 * np.log(2)) * PIXELS_PER_BEAM**2
#: of the peak, the level at which the edge is looked at, and the factor to either side of it
EDGE, EDGE_FACTOR = 0.05, 1.25
#: cycles per beam between which the slope of the power spectrum is fitted
SLOPE_BAND = (0.1, 0.6)
#: of the source's radius, within which a maximum is taken for the core
CORE_REACH = 0.3
#: what `measure_sharpness` measures
MEASURES = ("maxima", "islands", "solidity", "fine power", "slope", "brightness 25", "brightness 50", "brightness 75",
            "edge", "hotspot contrast", "core contrast")


def measure_sharpness(image: np.ndarray) -> dict[str, float]:
    r"""Measure one map.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Shape (ny, nx), without noise, 4 pixels across the FWHM of the beam, with some flux and zero at its rim.

    Returns
    -------
    dict
        By the names of `MEASURES`:

        - ``maxima``: pixels brighter than all of their eight neighbours, on 10 beam areas above 2 % of the peak;
        - ``islands``: connected parts above 2 %;
        - ``solidity``: the area above 2 % over that of its convex hull: 1 for an ellipse, less where there are gaps,
          wings and bends;
        - ``fine power``: the share of the power (without that of the mean) beyond half a cycle a beam: structure
          whose half wave is finer than the beam; exp(-(pi s)^2) for a Gaussian of s beams' FWHM in standard
          deviation;
        - ``slope``: of the logarithm of power, the beam taken out, over that of frequency, 0.1 to 0.6 cycles a beam;
        - ``brightness q``: percentiles of the decimal logarithm of brightness over peak above 2 %;
        - ``edge``: median \|grad ln I\| at 5 % of the peak, per beam: larger is sharper;
        - ``hotspot contrast``: by how much, of its brightness, the brightest maximum is above the mean of a ring one
          FWHM around it: 15/16 for a point source;
        - ``core contrast``: the same of the maximum nearest to the middle of the source, NaN where none is near.

    Raises
    ------
    ValueError
        If the map is not two-dimensional, not finite, or without flux.
    """
    from scipy import ndimage

    image = np.asarray(image, float)
    if image.ndim != 2 or not np.isfinite(image).all() or not image.max(initial=0) > 0:
        raise ValueError(f"image must be a finite map with flux, two-dimensional, got shape {image.shape}")
    image = image / image.max()
    bright = image > FAINTEST
    tops, contrast = find_maxima(image, FAINTEST, PIXELS_PER_BEAM)
    quartiles = np.log10(np.percentile(image[bright], [25, 50, 75]))
    fine, slope = _power(image)
    hotspot, core = _contrasts(image, bright, tops, contrast)
    values = (10 * len(tops) * BEAM_AREA / bright.sum(), ndimage.label(bright, np.ones((3, 3)))[1],
              _solidity(bright), fine, slope, *quartiles, _edge(image), hotspot, core)
    return dict(zip(MEASURES, map(float, values), strict=True))


def _solidity(bright: np.ndarray) -> float:
    """Return the area of pixels over that of the convex hull of their corners."""
    from scipy.spatial import ConvexHull

    corners = np.argwhere(bright)[:, None] + [[0, 0], [0, 1], [1, 0], [1, 1]]
    # in two dimensions its volume is the area
    return float(bright.sum() / ConvexHull(corners.reshape(-1, 2)).volume)


def _power(image: np.ndarray) -> tuple[float, float]:
    """Return the share of power beyond half a cycle a beam, and the slope."""
    power = np.abs(np.fft.fft2(image))**2
    frequency = PIXELS_PER_BEAM * np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1]))
    power[0, 0] = 0
    fine = power[frequency > 0.5].sum() / power.sum()
    beam = np.exp(-(2 * np.pi * SIGMA * frequency)**2)
    edges = np.geomspace(*SLOPE_BAND, 9)
    place = np.digitize(frequency, edges)
    used = [k for k in range(1, len(edges)) if (place == k).any()]
    if len(used) < 2:
        return fine, np.nan
    middle = [np.log(frequency[place == k]).mean() for k in used]
    level = [np.log(np.maximum((power / beam)[place == k].mean(), 1e-300)) for k in used]
    return fine, np.polyfit(middle, level, 1)[0]


def _edge(image: np.ndarray) -> float:
    near = (image > EDGE / EDGE_FACTOR) & (image < EDGE * EDGE_FACTOR)
    if not near.any():
        return np.nan
    gy, gx = np.gradient(np.log(np.maximum(image, 1e-6)))
    return float(np.median(np.hypot(gy, gx)[near])) * PIXELS_PER_BEAM


def _contrasts(image: np.ndarray, bright: np.ndarray, tops: np.ndarray, contrast: np.ndarray) -> tuple[float, float]:
    if not len(tops):
        return np.nan, np.nan
    y, x = np.nonzero(bright)
    middle = [(y.min() + y.max()) / 2, (x.min() + x.max()) / 2]
    away = np.hypot(*(tops - middle).T)
    radius = np.hypot(y - middle[0], x - middle[1]).max()
    core = contrast[away.argmin()] if away.min() <= CORE_REACH * radius else np.nan
    return contrast[image[tuple(tops.T)].argmax()], core
