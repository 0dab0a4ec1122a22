"""Whose footprint a place lies in: by the segmentation, else by the ellipses of sources and of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skygal.observation.ellipse import FWHM, ellipse_covariance
from skygal.scoring.likelihood import near_places
from skygal.scoring.records import Detections
from skygal.wcs import tangent_vectors, unit_vectors

__all__ = ["labels_at", "nearest_ellipse", "pixels_at", "row_ellipses", "source_ellipses", "within_ellipses"]

#: signal-to-noise ratio of the faintest rows that catalogues have
LEAST_SNR = 4.0
_ARCSEC = np.pi / 180 / 3600


def pixels_at(plane: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the pixels of an image, which may be lazy or on disk, at places (x, y) in it."""
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    # in the order of the file
    order = np.lexsort((column, row))
    places = row[order], column[order]
    values = plane[places] if isinstance(plane, np.ndarray) else plane.vindex[places]
    out = np.empty(len(order), plane.dtype.newbyteorder("="))
    out[order] = np.asarray(values)
    return out


def labels_at(segmentation: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the labels at places of a segmentation, which may be lazy or on disk; 0 beyond it."""
    high, wide = segmentation.shape
    with np.errstate(invalid="ignore"):
        inside = (x > -0.5) & (x < wide - 0.5) & (y > -0.5) & (y < high - 0.5)
    out = np.zeros(len(inside), np.int64)
    if inside.any():
        out[inside] = pixels_at(segmentation, x[inside], y[inside])
    return out


def source_ellipses(sources: Mapping[str, np.ndarray], beam: tuple[float, float, float]) -> np.ndarray:
    """Return the covariances of sources' ellipses, (east, north) in square arcsec, shape (n, 2, 2).

    Their axes are LAS and axis ratio, with the beam and three times what noise moves a row by, FWHM / (2 SNR) of the
    beam, added in squares.

    Parameters
    ----------
    sources : mapping of str to ndarray
        ``las``, ``b_maj``, ``b_min`` (arcsec), ``pa`` (deg) and ``snr``.
    beam : (float, float, float)
        Axes (FWHM, arcsec) and position angle (deg).
    """
    las = np.nan_to_num(sources["las"])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(sources["b_maj"] > 0, sources["b_min"] / sources["b_maj"], 1)
        # fainter rows are in no catalogue
        snr = np.where(np.isnan(sources["snr"]), np.inf, sources["snr"])
        moved = 1.5 * np.sqrt(beam[0] * beam[1]) / np.maximum(snr, LEAST_SNR)
    out = _with_beam(las, las * np.clip(ratio, 0, 1), sources["pa"], beam)
    # a half axis is half of the FWHM
    return out + (moved / (FWHM / 2))[:, None, None] ** 2 * np.eye(2)


def row_ellipses(found: Detections, beam: tuple[float, float, float]) -> np.ndarray:
    """Return the covariances of rows' ellipses, shape (rows, 2, 2): as fitted, and of the beam where it is not known.

    An ellipse that is less than the beam counts as the beam.
    """
    known = np.isfinite(found.b_maj) & np.isfinite(found.b_min)
    apart = ~known & np.isfinite(found.deconv_maj) & np.isfinite(found.deconv_min)
    major, minor, pa = (np.where(apart, part, 0) for part in (found.deconv_maj, found.deconv_min, found.deconv_pa))
    out = _with_beam(major, minor, pa, beam)
    fitted = np.flatnonzero(known)
    fitted = fitted[found.b_maj[fitted] * found.b_min[fitted] > beam[0] * beam[1]]
    if fitted.size:
        out[fitted] = ellipse_covariance(found.b_maj[fitted], found.b_min[fitted],
                                         np.radians(np.nan_to_num(found.pa[fitted])))
    return out


def _with_beam(major: np.ndarray, minor: np.ndarray, pa: np.ndarray, beam: tuple[float, float, float]) -> np.ndarray:
    if not len(major):
        return np.empty((0, 2, 2))
    own = ellipse_covariance(beam[0], beam[1], np.radians(beam[2]))
    return ellipse_covariance(major, minor, np.radians(np.nan_to_num(pa))) + own


def within_ellipses(ra: np.ndarray, dec: np.ndarray, covariance: np.ndarray, others: np.ndarray
                    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which places lie in ellipses of half the FWHM along each axis.

    Parameters
    ----------
    ra, dec : ndarray, shape (n,)
        Centres, deg.
    covariance : ndarray, shape (n, 2, 2)
        Of the ellipses, square arcsec.
    others : ndarray, shape (m, 3)
        Unit vectors of the places.

    Returns
    -------
    which, other : ndarray of int
        Numbers of ellipse and place of each pair.
    distance : ndarray
        Of the place from the centre: 1 on the ellipse.
    """
    vectors, axes = unit_vectors(ra, dec), tangent_vectors(ra, dec)
    reach = FWHM / 2 * np.sqrt(np.linalg.eigvalsh(covariance)[:, 1]) if len(ra) else np.empty(0)
    precision = np.linalg.inv(covariance) if len(ra) else covariance
    pairs = []
    for which, other in near_places(vectors, reach * (1 + 1e-9), others):
        offset = np.stack([((others[other] - vectors[which]) * axis[which]).sum(axis=1) for axis in axes],
                          axis=-1) / _ARCSEC
        distance = np.sqrt(np.einsum("pi,pij,pj->p", offset, precision[which], offset)) / (FWHM / 2)
        kept = distance <= 1
        pairs.append((which[kept], other[kept], distance[kept]))
    if not pairs:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    which, other, distance = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return which, other, distance


def nearest_ellipse(which: np.ndarray, other: np.ndarray, distance: np.ndarray, n: int) -> np.ndarray:
    """Return for each of n places the ellipse that it lies deepest in, -1 for none, of pairs from `within_ellipses`."""
    out = np.full(n, -1)
    order = np.lexsort((which, distance, other))
    first = order[np.r_[True, np.diff(other[order]) > 0]] if order.size else order
    out[other[first]] = which[first]
    return out
