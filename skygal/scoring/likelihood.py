"""How likely it is that a row of a catalogue is a source of the truth, against chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.spatial import KDTree

from skygal.checks import show_fields
from skygal.observation.ellipse import ellipse_axes, ellipse_covariance
from skygal.scoring.records import Detections
from skygal.wcs import tangent_vectors, unit_vectors

__all__ = ["Rows", "Targets", "convolved_axes", "find_pairs", "near_places", "weigh"]

#: least scatter of a position in sizes, of a flux in fluxes, and of the logarithm of a size: sources are no Gaussians
POSITION_FLOOR, FLUX_FLOOR, SIZE_FLOOR = 0.1, 0.3, 0.25
#: fainter sources are found where noise adds to them: they are placed no worse than at this signal-to-noise ratio
LEAST_SNR = 2.0
#: a pair with no more than this in place of chi-square is better than chance however crowded the field is
LEAST_LIMIT = 1.0
#: natural logarithm of flux over which the density of sources is counted
WINDOW = 1.0
#: places that are looked up together
BATCH = 1 << 17
_ARCSEC = np.pi / 180 / 3600


@dataclass(frozen=True, eq=False)
class Targets:
    """What rows can be: components, or sources as a whole.

    Attributes
    ----------
    ra, dec, vector : ndarray
        Position, deg, and as unit vectors, shape (n, 3).
    flux, rms, snr : ndarray
        Jy; Jy/beam, 0 without noise; and the peak over it.
    area : ndarray
        What they cover with the beam in it, in areas of the beam.
    limit : ndarray, shape (n, 4)
        What chi-square must be below for a pair to be better than chance: with flux and size of the row, without size,
        without flux, without both.
    sigma : ndarray
        Scatter of positions, in the beam's own axes (FWHM).
    """

    ra: np.ndarray
    dec: np.ndarray
    vector: np.ndarray
    flux: np.ndarray
    rms: np.ndarray
    snr: np.ndarray
    area: np.ndarray
    limit: np.ndarray
    sigma: np.ndarray

    __repr__ = show_fields

    @classmethod
    def make(cls, columns: Mapping[str, np.ndarray], area: np.ndarray, beam: tuple[float, float, float], solid: float
             ) -> Targets:
        """Return targets.

        Parameters
        ----------
        columns : mapping of str to ndarray
            ``ra``, ``dec`` (deg), ``flux`` (Jy), ``local_rms`` (Jy/beam) and ``snr``.
        area : ndarray
            In areas of the beam.
        beam : (float, float, float)
            Axes (FWHM, arcsec) and position angle (deg).
        solid : float
            Solid angle of the field, square arcsec.
        """
        flux, rms, snr = columns["flux"], columns["local_rms"], columns["snr"]
        bounded = np.maximum(snr, LEAST_SNR)
        sigma = np.sqrt(area * (0.25 / bounded**2 + POSITION_FLOOR**2))
        log_flux = np.log(np.maximum(flux, np.finfo(float).tiny))
        near, brighter = _counts(log_flux)
        with np.errstate(divide="ignore", invalid="ignore"):
            wide = np.sqrt(2 * np.pi) * np.sqrt(np.where(flux > 0, (rms / flux) ** 2 * area, 0) + FLUX_FLOOR**2)
        size = np.sqrt(2 * np.pi) * np.sqrt(1 / bounded**2 + SIZE_FLOOR**2)
        place = 2 * np.pi * sigma**2 * beam[0] * beam[1] / solid
        # how many of the field's sources fit a row as well by chance
        chance = place[:, None] * np.stack([near * wide * size, near * wide, brighter * size, brighter], axis=1)
        limit = np.maximum(-2 * np.log(chance), LEAST_LIMIT) if len(flux) else np.empty((0, 4))
        return cls(columns["ra"], columns["dec"], unit_vectors(columns["ra"], columns["dec"]), flux, rms, snr, area,
                   limit, sigma)

    def __len__(self) -> int:
        return len(self.flux)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a catalogue, as they are compared: unit vectors, fluxes (Jy), and areas in areas of the beam."""

    vector: np.ndarray
    flux: np.ndarray
    area: np.ndarray

    __repr__ = show_fields

    @classmethod
    def make(cls, found: Detections, beam: tuple[float, float, float]) -> Rows:
        """Return the rows of a catalogue.

        A row's area is that of its fitted ellipse, else of its deconvolved one with the beam, else its flux over its
        peak, and at least that of the beam, of which an isophote may hold a part; NaN where none is known.
        """
        own = beam[0] * beam[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = found.b_maj * found.b_min / own
            both = np.isfinite(found.deconv_maj) & np.isfinite(found.deconv_min)
            major, minor, _ = convolved_axes(found.deconv_maj, found.deconv_min, found.deconv_pa, beam)
            ratio = found.flux / found.peak
        area = np.where(fitted > 0, fitted, np.where(both, major * minor / own, ratio))
        return cls(unit_vectors(found.ra, found.dec), found.flux, np.where(area > 0, np.maximum(area, 1), np.nan))


def convolved_axes(major: np.ndarray, minor: np.ndarray, pa: np.ndarray, beam: tuple[float, float, float]
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return axes (FWHM) and position angle (deg) of Gaussians convolved with the beam; those of NaN are points."""
    if not len(major):
        return np.empty(0), np.empty(0), np.empty(0)
    own = ellipse_covariance(*(np.nan_to_num(part) for part in (major, minor, np.radians(pa))))
    long, short, angle = ellipse_axes(own + ellipse_covariance(beam[0], beam[1], np.radians(beam[2])))
    return long, short, np.degrees(angle)


def _counts(log_flux: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many there are of about the same flux, and how many as bright or brighter, itself with them."""
    ordered = np.sort(log_flux)
    low = np.searchsorted(ordered, log_flux - WINDOW / 2, side="left")
    high = np.searchsorted(ordered, log_flux + WINDOW / 2, side="right")
    return (high - low) / WINDOW, len(ordered) - low


def near_places(places: np.ndarray, radius: np.ndarray, others: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of numbers of places, and of others within the radius (arcsec) of each, some at a time.

    Parameters
    ----------
    places, others : ndarray, shape (n, 3) and (m, 3)
        Unit vectors.
    radius : ndarray, shape (n,)
    """
    if not len(others):
        return
    tree = KDTree(others)
    chord = 2 * np.sin(np.minimum(radius * _ARCSEC, np.pi) / 2)
    for start in range(0, len(places), BATCH):
        part = slice(start, start + BATCH)
        found = tree.query_ball_point(places[part], chord[part], return_sorted=False)
        count = np.fromiter(map(len, found), np.int64, len(found))
        which = np.fromiter(chain.from_iterable(found), np.int64, int(count.sum()))
        yield start + np.repeat(np.arange(len(found)), count), which


def weigh(targets: Targets, rows: Rows, t: np.ndarray, r: np.ndarray, beam: tuple[float, float, float]
          ) -> tuple[np.ndarray, np.ndarray]:
    """Return chi-square of pairs, and what it must be below to be better than chance.

    Parameters
    ----------
    targets : Targets
    rows : Rows
    t, r : ndarray of int, shape (pairs,)
        Numbers of the target and of the row of each pair.
    beam : (float, float, float)
        Axes (FWHM, arcsec) and position angle (deg).

    Notes
    -----
    The formula is at `skygal.scoring.match`.
    """
    east, north = (((rows.vector[r] - targets.vector[t]) * axis).sum(axis=1) / _ARCSEC
                   for axis in tangent_vectors(targets.ra[t], targets.dec[t]))
    sine, cosine = np.sin(np.radians(beam[2])), np.cos(np.radians(beam[2]))
    along, across = (east * sine + north * cosine) / beam[0], (east * cosine - north * sine) / beam[1]
    total = (along**2 + across**2) / targets.sigma[t] ** 2
    mine, its = targets.flux[t], rows.flux[r]
    has_flux, has_size = np.isfinite(its), np.isfinite(rows.area[r])
    with np.errstate(divide="ignore", invalid="ignore"):
        scatter = targets.rms[t] ** 2 * targets.area[t] + FLUX_FLOOR**2 * np.maximum(mine * its, 0)
        # of two that are alike none has a scatter that matters
        flux = np.where(mine == its, 0, (mine - its) ** 2 / scatter)
        size = (np.log(rows.area[r] / targets.area[t]) / 2) ** 2 / (
            1 / np.maximum(targets.snr[t], LEAST_SNR) ** 2 + SIZE_FLOOR**2)
    total += np.where(has_flux, flux, 0) + np.where(has_size, size, 0)
    return total, targets.limit[t, 2 * ~has_flux + ~has_size]


def find_pairs(targets: Targets, rows: Rows, beam: tuple[float, float, float]
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs that are better than chance.

    Returns
    -------
    t, r : ndarray of int
        Numbers of target and row.
    total, likelihood : ndarray
        Chi-square, and the logarithm of the likelihood over that of chance, above 0.
    """
    reach = max(beam[0], beam[1]) * targets.sigma * np.sqrt(targets.limit.max(axis=1, initial=0))
    found = []
    # a little further, so that none at the end is lost to rounding
    for t, r in near_places(targets.vector, reach * (1 + 1e-9), rows.vector):
        total, limit = weigh(targets, rows, t, r, beam)
        kept = total < limit
        found.append((t[kept], r[kept], total[kept], (limit - total)[kept] / 2))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0)
    t, r, total, likelihood = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return t, r, total, likelihood
