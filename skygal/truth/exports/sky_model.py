"""A field's sky as Gaussians and points, for programs that predict visibilities."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from skygal.checks import check_choice, show, show_fields
from skygal.io.provenance import restore_provenance
from skygal.observation.ellipse import ellipse_axes, ellipse_covariance
from skygal.truth.exports.columns import finite, numbers
from skygal.truth.exports.whole import parents_of

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["SkyModel", "field_frequency", "make_sky_model"]

#: arcsec: what is smaller is a point
POINT = 1e-3
#: of the major axis: a narrower Gaussian has no ellipse that all programs can solve for
NARROWEST = 1e-2


@dataclass(frozen=True, eq=False)
class SkyModel:
    """Components of sources, n of them.

    Attributes
    ----------
    source : ndarray of int
        Row of truth of each.
    source_id, component_id : ndarray of int
        Its numbers: those of the whole source where a row of truth is a part of one.
    ra, dec : ndarray
        ICRS, degrees.
    flux : ndarray
        Jy at `frequency`.
    major, minor, pa : ndarray
        FWHM in arcsec, 0 for points, and degrees east of north: of the sky, without a beam.
    index, curvature : ndarray
        S ~ nu^(index + curvature ln(nu / frequency)).
    frequency : float
        Hz.
    """

    source: np.ndarray
    source_id: np.ndarray
    component_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    flux: np.ndarray
    major: np.ndarray
    minor: np.ndarray
    pa: np.ndarray
    index: np.ndarray
    curvature: np.ndarray
    frequency: float

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.flux)


def field_frequency(field: Field) -> tuple[float, float]:
    """Return the frequency of a field and that of its spectral indices, Hz.

    Raises
    ------
    ValueError
        If the field does not say.
    """
    found = restore_provenance(field.provenance)
    frequency = found.get("frequency")
    if not isinstance(frequency, u.Quantity):
        raise ValueError(f"field must have its frequency in provenance, got {show(frequency)}")
    reference = (found.get("configuration") or {}).get("reference_frequency", frequency)
    return float(frequency.to_value(u.Hz)), float(u.Quantity(reference).to_value(u.Hz))


def make_sky_model(field: Field, written_as: str, *, flux: str = "intrinsic") -> SkyModel:
    """Return a field's components as Gaussians and points.

    Parameters
    ----------
    field
    written_as : str
        The format, for messages.
    flux : "intrinsic" or "apparent"
        As on the sky, or after the primary beam.

    Raises
    ------
    ValueError
        If a value is not finite, or a source has no component.

    Notes
    -----
    A source is its components, at their places and with their fluxes, which add up to its own. Those of one source
    share one Gaussian, the one with which the list has the source's second moments: their covariance, less that of the
    components' places. Where these are further apart than the source's moments, they are points along that axis.
    A spectrum with curvature has another index at the field's frequency than at the one that the fluxes were asked for.
    """
    check_choice("flux", flux, ("intrinsic", "apparent"))
    truth, parts = field.truth, field.components
    finite(truth, ("ra", "dec", "flux", "flux_apparent", "b_maj", "b_min", "pa"), written_as)
    ids = np.asarray(truth["source_id"])
    order = np.argsort(ids)
    own = np.asarray(parts["source_id"])
    place = order[np.minimum(np.searchsorted(ids[order], own), max(len(ids) - 1, 0))] if len(ids) else own[:0]
    kept = ids[place] == own if len(ids) else np.zeros(len(own), bool)
    # in the order of truth, and of components within
    rows = np.flatnonzero(kept)[np.argsort(place[kept], kind="stable")]
    parts, source = parts[rows], place[rows]
    missing = np.setdiff1d(np.arange(len(ids)), source)
    if missing.size:
        raise ValueError(f"components must have a row at least of each source to be written as {written_as}, got none "
                         f"of source_id {ids[missing[0]]}")
    finite(parts, ("flux", "flux_fraction", "spectral_index", "curvature"), written_as)
    share = numbers(parts, "flux_fraction")
    wanted = numbers(truth, "flux" if flux == "intrinsic" else "flux_apparent", u.Jy)
    # the sum over a source is the source's to the last bits
    share = share / np.bincount(source, share, minlength=len(ids))[source]
    ra, dec = (numbers(parts, name, u.deg) for name in ("ra", "dec"))
    lost = ~(np.isfinite(ra) & np.isfinite(dec))
    ra, dec = (np.where(lost, numbers(truth, name, u.deg)[source], one) for name, one in (("ra", ra), ("dec", dec)))
    major, minor, pa = _common_gaussians(field, source, share, ra, dec)
    frequency, reference = field_frequency(field)
    curvature = numbers(parts, "curvature")
    index = numbers(parts, "spectral_index") + 2 * curvature * np.log(frequency / reference)
    parent, number = parents_of(truth), np.asarray(parts["component_id"])
    found = SkyModel(source, parent[source], number, ra, dec, share * wanted[source], major[source], minor[source],
                     pa[source], index, curvature, frequency)
    return found if np.array_equal(parent, ids) else _joined(found, parent, ids)


def _joined(sky: SkyModel, parent: np.ndarray, ids: np.ndarray) -> SkyModel:
    """Return components with those of one source together, and numbered on where it has parts."""
    names, first, group = np.unique(parent[sky.source], return_index=True, return_inverse=True)
    order = np.argsort(first[group], kind="stable")
    found = replace(sky, **{one.name: getattr(sky, one.name)[order] for one in fields(sky)
                            if isinstance(getattr(sky, one.name), np.ndarray)})
    has_parts = np.isin(found.source_id, parent[parent != ids])
    begin = np.flatnonzero(np.r_[True, np.diff(found.source_id) != 0])
    number = np.arange(len(found)) - np.repeat(begin, np.diff(np.r_[begin, len(found)])) + 1
    return replace(found, component_id=np.where(has_parts, number, found.component_id))


def _common_gaussians(field: Field, source: np.ndarray, share: np.ndarray, ra: np.ndarray, dec: np.ndarray
                      ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return FWHMs (arcsec) and angle (degrees) of what each source's components are spread by."""
    truth = field.truth
    n = len(truth)
    ra0, dec0 = (numbers(truth, name, u.deg)[source] for name in ("ra", "dec"))
    east = ((ra - ra0 + 180) % 360 - 180) * np.cos(np.radians(dec)) * 3600
    offset = np.stack([east, (dec - dec0) * 3600], axis=1)
    mean = np.stack([np.bincount(source, share * one, minlength=n) for one in offset.T], axis=1)
    offset = offset - mean[source]
    apart = np.empty((n, 2, 2))
    for i in (0, 1):
        for j in (0, 1):
            apart[:, i, j] = np.bincount(source, share * offset[:, i] * offset[:, j], minlength=n)
    whole = ellipse_covariance(numbers(truth, "b_maj", u.arcsec), numbers(truth, "b_min", u.arcsec),
                               numbers(truth, "pa", u.rad))
    alone = np.bincount(source, minlength=n) == 1
    major, minor, pa = ellipse_axes(np.where(alone[:, None, None], whole, whole - apart))
    point = major < POINT
    major = np.where(point, 0, major)
    return major, np.where(point, 0, np.maximum(minor, NARROWEST * major)), np.where(point, 0, np.degrees(pa))
