"""What a stamp is: centre, size, axes, core and components, measured on its pixels.

Lengths are in stamp pixels and angles those of the stamp seen as on the sky, north up and east
left; `skygal.simulate` scales and turns them as it does the stamp.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from skygal.checks import show_fields
from skygal.morphology.moments import measure_moments
from skygal.observation.beam import ellipse_axes, native_covariance
from skygal.rendering.hills import Components, find_components

__all__ = ["ISOPHOTE", "Shapes", "largest_size", "measure_stamps"]

#: the largest angular size is taken at this part of a stamp's peak
ISOPHOTE = 0.05
#: the core is looked for within this part of the largest size around the centre
CORE_REACH = 0.2
#: no axis is reported below this part of the stamp's own beam: nothing under it was seen
SMALLEST_AXIS = 0.1
_DIRECTIONS = 60


@dataclass(frozen=True, eq=False)
class Shapes:
    """Shapes of ``n`` stamps.

    Attributes
    ----------
    flux : ndarray, shape (n,)
        Sum of the pixels.
    centre : ndarray, shape (n, 2)
        Flux-weighted centre (x, y).
    las : ndarray, shape (n,)
        Largest distance between two points of the isophote at `ISOPHOTE` of the peak.
    b_maj, b_min : ndarray, shape (n,)
        FWHM of the Gaussian with the same second moments, the stamp's own beam taken off; at
        least a tenth of that beam.
    pa : ndarray, shape (n,)
        Position angle of the major axis, degrees, north (up) through east (left), [0, 180).
    core : ndarray, shape (n, 2)
        Peak nearest to the centre (x, y), if within a fifth of the largest size, else the centre.
    core_frac : ndarray, shape (n,)
        Part of the flux that is unresolved at the core.
    n_components : ndarray of int, shape (n,)
        Number of components.
    """

    flux: np.ndarray
    centre: np.ndarray
    las: np.ndarray
    b_maj: np.ndarray
    b_min: np.ndarray
    pa: np.ndarray
    core: np.ndarray
    core_frac: np.ndarray
    n_components: np.ndarray

    __repr__ = show_fields

    def __getitem__(self, part: slice | np.ndarray) -> Shapes:
        return Shapes(*(getattr(self, f.name)[part] for f in fields(self)))

    @classmethod
    def join(cls, parts: list[Shapes]) -> Shapes:
        """Return the shapes of several batches as one."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def largest_size(stamps: np.ndarray, isophote: float = ISOPHOTE) -> np.ndarray:
    """Return the diameter, in pixels, of each stamp's isophote, with crossings placed between pixels."""
    padded = np.pad(stamps, [(0, 0), (1, 1), (1, 1)])
    width = padded.shape[2]
    level = isophote * stamps.max(axis=(1, 2))
    above, flat = (padded > level[:, None, None]).ravel(), padded.ravel()
    points = []
    # the rim of zeros keeps the end of a row, or of a stamp, apart from the start of the next
    for step in (1, width):
        first = np.flatnonzero(above[:-step] != above[step:])
        k, place = np.divmod(first, padded[0].size)
        y, x = np.divmod(place, width)
        # by logarithms, since brightness falls off like a beam; clipped pixels are zero
        here = level[k]
        a, b = (np.log(np.maximum(value, 1e-3 * here)) for value in (flat[first], flat[first + step]))
        part = (a - np.log(here)) / (a - b)
        points.append(np.stack([k, x + (step == 1) * part, y + (step == width) * part]))
    k, x, y = np.concatenate(points, axis=1)
    order = np.argsort(k, kind="stable")
    k, x, y = k[order].astype(int), x[order], y[order]
    starts = np.searchsorted(k, np.arange(len(stamps)))
    size = np.zeros(len(stamps))
    # the diameter of a set is its largest width in any direction
    for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
        along = x * np.cos(angle) + y * np.sin(angle)
        size = np.maximum(size, np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts))
    return size


def _core(stamps: np.ndarray, found: Components, centre: np.ndarray, las: np.ndarray, flux: np.ndarray,
          beam_fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the core's position and its part of the flux.

    What rises at the peak above the mean of a ring of one FWHM radius is taken as unresolved: a
    point source has 1/16 of its peak there, which is made up for.
    """
    core, part = centre.copy(), np.zeros(len(stamps))
    away = np.hypot(*(found.peak - centre[found.stamp]).T)
    order = np.lexsort((away, found.stamp))
    nearest = order[np.r_[True, np.diff(found.stamp[order]) > 0]] if order.size else order
    nearest = nearest[away[nearest] <= CORE_REACH * las[found.stamp[nearest]]]
    k, (x, y) = found.stamp[nearest], found.peak[nearest].T
    padded = np.pad(stamps, [(0, 0), (1, 1), (1, 1)])
    tiny = 1e-6 * found.peak_value[nearest]
    here = np.log(padded[k, y + 1, x + 1])
    place, top = [], here.copy()
    for dx, dy in ((1, 0), (0, 1)):
        before = np.log(np.maximum(padded[k, y + 1 - dy, x + 1 - dx], tiny))
        after = np.log(np.maximum(padded[k, y + 1 + dy, x + 1 + dx], tiny))
        bend = np.maximum(2 * here - before - after, 1e-12)
        # a parabola through three logarithms is exact for a Gaussian
        shift = np.clip((after - before) / (2 * bend), -0.5, 0.5)
        place.append((x if dx else y) + shift)
        top += bend * shift**2 / 2
    core[k] = np.stack(place, axis=1)
    turn = np.arange(16) * np.pi / 8
    ring = ndimage.map_coordinates(stamps, [np.repeat(k, 16), (place[1][:, None] + beam_fwhm * np.sin(turn)).ravel(),
                                            (place[0][:, None] + beam_fwhm * np.cos(turn)).ravel()],
                                   order=1, mode="constant").reshape(-1, 16).mean(axis=1)
    area = 2 * np.pi * native_covariance(beam_fwhm)[0, 0]
    part[k] = np.clip((np.exp(top) - ring) * 16 / 15 * area / flux[k], 0, 1)
    return core, part


def measure_stamps(stamps: np.ndarray, *, beam_fwhm: float,
                   las: np.ndarray | None = None) -> tuple[Shapes, Components]:
    """Measure stamps.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Clipped stamps, each with a positive pixel.
    beam_fwhm : float
        FWHM of the beam that they carry, in pixels.
    las : ndarray, shape (n,), optional
        What `largest_size` gives, if it is known already.

    Returns
    -------
    Shapes, Components

    Raises
    ------
    ValueError
        If a stamp has no flux.
    """
    stamps = np.asarray(stamps)
    flux, centre, covariance = measure_moments(stamps)
    if not np.all(flux > 0):
        raise ValueError(f"stamps must have flux, got {np.count_nonzero(~(flux > 0))} without any")
    mirror = np.array([[1.0, -1.0], [-1.0, 1.0]])      # x runs west
    b_maj, b_min, pa = ellipse_axes(mirror * (covariance - native_covariance(beam_fwhm)))
    least = SMALLEST_AXIS * beam_fwhm
    las = largest_size(stamps) if las is None else las
    found = find_components(stamps)
    core, core_frac = _core(stamps, found, centre, las, flux, beam_fwhm)
    shapes = Shapes(flux, centre, las, np.maximum(b_maj, least), np.maximum(b_min, least), np.degrees(pa), core,
                    core_frac, np.bincount(found.stamp, minlength=len(stamps)))
    return shapes, found
