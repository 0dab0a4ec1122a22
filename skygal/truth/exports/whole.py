"""Fields in which each source is one row: what is drawn apart, as a jet and its core, is put together."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.observation.ellipse import ellipse_axes, ellipse_covariance
from skygal.truth.exports.columns import numbers

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["join_sources", "parents_of"]

_SUMMED = ("flux", "flux_apparent", "flux_in_image", "flux_requested")
_LARGEST = ("las", "las_requested", "bbox_xmax", "bbox_ymax")
#: pixels between parts that peak at the same one
_SAME_PLACE = 0.5


def parents_of(truth: QTable) -> np.ndarray:
    """Return for each row the number of the source that it is a part of."""
    own = np.asarray(truth["source_id"], np.int64)
    return np.asarray(truth["parent_id"], np.int64) if "parent_id" in truth.colnames else own


def join_sources(field: Field) -> Field:
    """Return a field with one row a source, the parts of which ``parent_id`` of truth brings together.

    Parameters
    ----------
    field

    Returns
    -------
    Field
        The same one if all rows are whole sources. Else a source has the row of the part with its own number, or of its
        brightest one. Fluxes are sums. Position, spectral index, second moments and size follow from the parts by
        their fluxes, peaks of parts at one place add up, boxes hold those of all, components are numbered on, and
        the pixels of all parts have the source's number in the segmentation. A part at the source's centre that is
        a point is its core.
    """
    truth = field.truth
    own, parent = np.asarray(truth["source_id"], np.int64), parents_of(truth)
    if np.array_equal(own, parent):
        return field
    names, group = np.unique(parent, return_inverse=True)
    flux = numbers(truth, "flux", u.Jy)
    # of each group the row with its number, or else the brightest, and groups in the order of these
    order = np.lexsort((-flux, own != parent, group))
    first = order[np.searchsorted(group[order], np.arange(len(names)))]
    rank = np.argsort(np.argsort(first))
    group, first = rank[group], np.sort(first)
    several = np.flatnonzero(np.bincount(group) > 1)
    out = truth[first]
    out["source_id"] = out["parent_id"] = parent[first]
    for name, values in _joined(truth, group, first).items():
        column = out[name]
        unit = getattr(column, "unit", None)
        column[several] = values[several] * unit if isinstance(column, u.Quantity) else values[several]
    part = copy(field)
    apart = own != parent
    for name, value in (("truth", out), ("components", _components(field.components, own, parent)),
                        ("segmentation", _relabelled(field.segmentation, own[apart], parent[apart]))):
        object.__setattr__(part, name, value)
    return part


def _joined(truth: QTable, group: np.ndarray, first: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of sources that differ from those of the row ``first``, in the units of truth."""
    n = len(first)

    def units(name: str) -> Any:
        return getattr(truth[name], "unit", None) or u.one

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values, minlength=n)

    def largest(values: np.ndarray) -> np.ndarray:
        found = np.full(n, -np.inf)
        np.maximum.at(found, group, values)
        return found

    columns = {name: numbers(truth, name, units(name)) for name in truth.colnames
               if truth[name].dtype.kind in "fiub"}
    flux = columns["flux"]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = flux / total(flux)[group]
    out = {name: total(columns[name]) for name in _SUMMED}
    out |= {name: largest(columns[name]) for name in _LARGEST}
    for name in ("bbox_xmin", "bbox_ymin"):
        seen = np.where(columns[name] < 0, np.inf, columns[name])
        least = -largest(-seen)
        out[name] = np.where(np.isfinite(least), least, -1)
    for name in ("edge", "blended", "beam_limited"):
        out[name] = largest(columns[name]) > 0
    out["n_components"] = total(columns["n_components"])
    for name in ("x", "y", "spectral_index", "curvature"):
        out[name] = total(share * columns[name])
    # degrees about the first part, so that the mean may lie across 0 h
    ra, dec = columns["ra"], columns["dec"]
    off = (ra - ra[first][group] + 180) % 360 - 180
    out["ra"], out["dec"] = (ra[first] + total(share * off)) % 360, total(share * dec)
    here = np.hypot(columns["x"] - columns["x"][first][group], columns["y"] - columns["y"][first][group]) < _SAME_PLACE
    peak = columns["peak_flux"]
    out["peak_flux"] = np.maximum(total(np.where(here, peak, 0)), largest(peak))
    rms = columns["local_rms"][first]
    with np.errstate(divide="ignore", invalid="ignore"):
        out["snr"] = np.where(out["peak_flux"] == 0, 0, out["peak_flux"] / rms)
    out |= _shape(columns, group, share, off, out)
    point = here & (np.asarray(truth["morphology"]).astype(str) == "point")
    core = total(np.where(point, share, 0))
    given = np.isfinite(columns["ra_core"][first])
    out["core_frac"] = np.where(given, total(share * np.nan_to_num(columns["core_frac"])), core)
    has = (core > 0) & ~given
    for name, at in (("ra_core", ra), ("dec_core", dec)):
        out[name] = np.where(has, at[first], columns[name][first])
    return out


def _shape(columns: dict[str, np.ndarray], group: np.ndarray, share: np.ndarray, off: np.ndarray,
           out: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the axes and the angle of the Gaussian with the second moments of all parts."""
    n = len(out["dec"])
    east = (off - np.bincount(group, share * off, minlength=n)[group]) * np.cos(np.radians(columns["dec"])) * 3600
    north = (columns["dec"] - out["dec"][group]) * 3600
    place = np.stack([east, north], axis=1)
    each = ellipse_covariance(columns["b_maj"], columns["b_min"], np.radians(columns["pa"])) \
        + place[:, :, None] * place[:, None, :]
    whole = np.stack([np.bincount(group, share * each[:, i, j], minlength=n) for i in (0, 1) for j in (0, 1)], axis=1)
    major, minor, pa = ellipse_axes(np.nan_to_num(whole).reshape(n, 2, 2))
    return {"b_maj": major, "b_min": minor, "pa": np.degrees(pa)}


def _components(components: QTable, own: np.ndarray, parent: np.ndarray) -> QTable:
    """Return components under the numbers of their sources, a source's together, with their parts of its flux."""
    source = np.asarray(components["source_id"], np.int64)
    order = np.argsort(own)
    at = order[np.minimum(np.searchsorted(own[order], source), len(own) - 1)]
    source = np.where(own[at] == source, parent[at], source)
    moved = np.flatnonzero(np.isin(source, parent[own != parent]))
    rows = np.argsort(source, kind="stable")
    out = components.copy()
    out["source_id"] = source
    out = out[rows]
    source = source[rows]
    first = np.searchsorted(source, source)
    flux = numbers(out, "flux", u.Jy)
    total = np.bincount(first, flux)[first]
    mine = np.isin(rows, moved)
    out["component_id"] = np.where(mine, np.arange(len(source)) - first + 1, np.asarray(out["component_id"]))
    with np.errstate(divide="ignore", invalid="ignore"):
        out["flux_fraction"] = np.where(mine, flux / total, numbers(out, "flux_fraction"))
    return out


def _relabelled(segmentation: Any, old: np.ndarray, new: np.ndarray) -> Any:
    """Return labels, some of which are another number; of lazy ones lazily, of those on disk row by row."""
    order = np.argsort(old)
    old, new = old[order], new[order]

    def change(labels: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(old, labels), len(old) - 1)
        return np.where(old[at] == labels, new[at], labels).astype(np.int32)

    if hasattr(segmentation, "dask"):
        return segmentation.map_blocks(change, dtype=np.int32)
    return _Changed(segmentation, change)


class _Changed:
    """An array whose rows are changed when they are looked at, so that one on disk stays there."""

    def __init__(self, values: np.ndarray, change: Any) -> None:
        self.shape, self.dtype, self._values, self._change = values.shape, np.dtype(np.int32), values, change

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._change(np.asarray(self._values[rows]))

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[:], dtype)
