"""The truth that a catalogue is scored against: a field, its folder, or tables alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table

from skygal.checks import as_quantity, show
from skygal.observation.ellipse import ellipse_axes, ellipse_covariance
from skygal.scoring.records import TruthSet
from skygal.truth.schema import COMPONENTS, TRUTH, Column
from skygal.wcs import icrs_to_pixel, unit_vectors

__all__ = ["as_beam", "offsets", "read_truth_set"]

_ARCSEC = np.pi / 180 / 3600
#: what a table of truth must have at least; the rest is unknown where it lacks them
_NEEDED = ("ra", "dec", "flux")
#: signal-to-noise ratio of sources that count as neighbours
LEAST_NEIGHBOUR = 3.0


def read_truth_set(truth: Any, *, components: Any = None, beam: Any = None, name: str | None = None) -> TruthSet:
    """Return the truth of a field for scoring.

    Parameters
    ----------
    truth : `skygal.Field`, `TruthSet`, `~astropy.table.Table` or path
        A field; the folder that one was written into; or its table of sources, beside which ``components.fits`` or
        ``components.ecsv`` is read if it is there. A table needs ``ra``, ``dec`` and ``flux``, and for what is to be
        told by more, the columns of skygal's truth.
    components : `~astropy.table.Table` or path, optional
        The table of components, where ``truth`` is a table.
    beam : `~astropy.units.Quantity` or `~radio_beam.Beam`, optional
        Of the image: needed for a table alone.
    name : str, optional
        What it is called in reports.

    Returns
    -------
    TruthSet
        Of the sources with a pixel in the image. Parts of one source (``parent_id``) are put together: their fluxes
        add up, positions and second moments are those of the sum, and the class is that of the brightest.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If it is none of these.
    ValueError
        If a column is missing or of a wrong unit, or the beam is not known.
    """
    from skygal.field import Field

    if isinstance(truth, TruthSet):
        return truth
    shown = "truth" if name is None else name
    if isinstance(truth, (str, os.PathLike)):
        path = Path(truth)
        shown = path.name if name is None else name
        if path.is_dir():
            _refuse_bands(path)
            truth = Field.read(path)
        else:
            truth, components = _read_tables(path, components)
    if isinstance(truth, Field):
        if components is not None:
            raise TypeError("components must be left out where truth is a field, which has them")
        return _of_field(truth, beam, shown)
    if not isinstance(truth, Table):
        raise TypeError(f"truth must be a field, a folder that skygal wrote, or a table, got {show(truth)}")
    if components is not None and not isinstance(components, Table):
        components = _read_table(Path(components))
    axes = as_beam(beam if beam is not None else _beam_of(truth.meta))
    return _make(shown, truth, components, axes, frequency=_frequency_of(truth.meta))


def as_beam(beam: Any) -> tuple[float, float, float]:
    """Return major and minor axis (FWHM, arcsec) and position angle (deg) of a beam.

    Raises
    ------
    TypeError, ValueError
        If it is no Gaussian beam, or None.
    """
    if beam is None:
        raise ValueError("beam must be given where truth is a table that does not say it, got None")
    if all(hasattr(beam, part) for part in ("major", "minor", "pa")):
        return beam.major.to_value(u.arcsec), beam.minor.to_value(u.arcsec), beam.pa.to_value(u.deg)
    if isinstance(beam, (tuple, list)) and len(beam) == 3:
        return (as_quantity("beam", beam[0], u.arcsec), as_quantity("beam", beam[1], u.arcsec),
                as_quantity("beam", beam[2], u.deg, positive=False))
    fwhm = as_quantity("beam", beam, u.arcsec)
    return fwhm, fwhm, 0.0


def _refuse_bands(path: Path) -> None:
    """Say which folders hold the truth, where there are several below."""
    if (path / "truth.fits").exists():
        return
    below = sorted(str(found.parent.relative_to(path)) for found in path.glob("**/truth.fits"))
    if below:
        raise ValueError(f"truth {show(os.fspath(path))} holds several fields: give one of {', '.join(below[:10])} "
                         "in it")


def _read_tables(path: Path, components: Any) -> tuple[Table, Any]:
    table = _read_table(path)
    if components is None and path.stem == "truth":
        beside = [path.with_name(f"components{suffix}") for suffix in (path.suffix, ".fits", ".ecsv")]
        components = next((found for found in beside if found.is_file()), None)
    return table, components


def _read_table(path: Path) -> Table:
    from skygal.io.table_files import read_table
    from skygal.truth.tables import read_truth

    return read_truth(path) if path.suffix.lower() in (".fits", ".ecsv") else read_table(path, "truth")


def _beam_of(meta: Mapping[str, Any]) -> Any:
    cards = {str(key).upper(): value for key, value in meta.items()}
    if not all(isinstance(cards.get(key), (int, float)) for key in ("BMAJ", "BMIN")):
        return None
    return cards["BMAJ"] * u.deg, cards["BMIN"] * u.deg, cards.get("BPA", 0.0) * u.deg


def _frequency_of(meta: Mapping[str, Any]) -> float | None:
    from skygal.io.provenance import restore_provenance

    try:
        found = restore_provenance(meta).get("frequency")
    except (TypeError, ValueError, AttributeError):
        return None
    return None if found is None or not hasattr(found, "to_value") else float(found.to_value(u.Hz))


def _of_field(field: Any, beam: Any, name: str) -> TruthSet:
    axes = as_beam(beam if beam is not None else _beam_of(field.header))
    return _make(name, field.truth, field.components, axes, wcs=field.wcs, shape=tuple(field.image.shape),
                 segmentation=field.segmentation, image=field.image, model=field.model,
                 frequency=_frequency_of(field.provenance))


def _columns(table: Table, schema: tuple[Column, ...], what: str) -> dict[str, np.ndarray]:
    """Return the columns of a schema in its units; those that are not there are empty."""
    out = {}
    for column in schema:
        if column.name not in table.colnames:
            out[column.name] = column.none(len(table))
            continue
        given = table[column.name]
        unit = u.Unit(column.unit, format="fits") if column.unit else u.one
        values = getattr(given, "value", given)
        values = np.ma.filled(values, column.none(1)[0]) if isinstance(values, np.ma.MaskedArray) else values
        if column.dtype is float and getattr(given, "unit", None) is not None:
            try:
                values = given.unit.to(unit, np.asarray(values, float))
            except (TypeError, ValueError):
                raise ValueError(f"{what} must have {column.name!r} in units of {column.unit or 'none'}, got "
                                 f"{given.unit}") from None
        out[column.name] = np.asarray(values).astype(column.dtype)
    return out


def _make(name: str, truth: Table, components: Table | None, beam: tuple[float, float, float], *,
          frequency: float | None, wcs: Any = None, shape: Any = None, **planes: Any) -> TruthSet:
    lacking = [column for column in _NEEDED if column not in truth.colnames]
    if lacking:
        raise ValueError(f"truth must have the columns {', '.join(_NEEDED)}, got no {', '.join(lacking)}")
    rows = _columns(truth, TRUTH, "truth")
    if "source_id" not in truth.colnames:
        rows["source_id"] = np.arange(1, len(truth) + 1)
    for column, other in (("flux_apparent", "flux"), ("flux_in_image", "flux_apparent")):
        if column not in truth.colnames:
            rows[column] = rows[other]
    if "parent_id" not in truth.colnames:
        rows["parent_id"] = rows["source_id"]
    # without an image nothing says what is in it
    keep = (rows["flux_in_image"] > 0) & np.isfinite(rows["ra"]) & np.isfinite(rows["dec"])
    rows = {column: values[keep] for column, values in rows.items()}
    hosts, place = _put_together(rows, wcs)
    order = np.argsort(rows["source_id"], kind="stable")
    labels = rows["source_id"][order], place[order]
    parts = None if components is None else _components(components, labels)
    hosts["neighbour"] = _nearest(hosts["ra"], hosts["dec"], hosts["snr"])
    return TruthSet(name, hosts, parts, beam, wcs=wcs, shape=shape, frequency=frequency, labels=labels, **planes)


def _components(table: Table, labels: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    rows = _columns(table, COMPONENTS, "components")
    found = np.searchsorted(labels[0], rows["source_id"])
    found = np.minimum(found, max(len(labels[0]) - 1, 0))
    known = labels[0][found] == rows["source_id"] if len(labels[0]) else np.zeros(len(table), bool)
    # what has no pixel in the image cannot be found there
    known &= (rows["peak_flux"] > 0) | np.isnan(rows["peak_flux"])
    out = {column: values[known] for column, values in rows.items()}
    out["host"] = labels[1][found[known]] if known.any() else np.empty(0, np.int64)
    return out


def _put_together(rows: dict[str, np.ndarray], wcs: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return a row a source of a row a part, and the index of each part's source."""
    parents, place, counts = np.unique(rows["parent_id"], return_inverse=True, return_counts=True)
    # the brightest part is the source's own row
    order = np.lexsort((rows["source_id"], -rows["flux_apparent"], place))
    first = order[np.r_[True, place[order][1:] != place[order][:-1]]] if len(place) else order
    hosts = {column: values[first].copy() for column, values in rows.items()}
    hosts["source_id"] = parents.copy()
    several = np.flatnonzero(counts > 1)
    if not several.size:
        return hosts, place
    for column in ("flux", "flux_apparent", "flux_in_image", "n_components", "n_components_stamp", "flux_requested"):
        hosts[column] = np.bincount(place, rows[column], len(parents)).astype(rows[column].dtype)
    for column, worst in (("edge", np.logical_or), ("blended", np.logical_or), ("peak_flux", np.fmax),
                          ("snr", np.fmax), ("bbox_xmax", np.maximum), ("bbox_ymax", np.maximum)):
        worst.at(hosts[column], place, rows[column])
    for column in ("bbox_xmin", "bbox_ymin"):
        values = np.where(rows[column] < 0, np.iinfo(np.int64).max, rows[column])
        least = np.full(len(parents), np.iinfo(np.int64).max)
        np.minimum.at(least, place, values)
        hosts[column] = np.where(least == np.iinfo(np.int64).max, -1, least)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(counts)[:-1])
    for host in several.tolist():
        _sum_shape(hosts, host, rows, members[host])
    if wcs is not None:
        hosts["x"][several], hosts["y"][several] = icrs_to_pixel(wcs, hosts["ra"][several], hosts["dec"][several])
    return hosts, place


def _sum_shape(hosts: dict[str, np.ndarray], host: int, rows: dict[str, np.ndarray],
               parts: np.ndarray) -> None:
    """Give a source the position, second moments and largest size of its parts together."""
    weight = rows["flux_apparent"][parts] / rows["flux_apparent"][parts].sum()
    ra, dec = rows["ra"][parts], rows["dec"][parts]
    middle = weight @ unit_vectors(ra, dec)
    hosts["ra"][host] = np.degrees(np.arctan2(middle[1], middle[0])) % 360
    hosts["dec"][host] = np.degrees(np.arctan2(middle[2], np.hypot(middle[0], middle[1])))
    east, north = offsets(hosts["ra"][host], hosts["dec"][host], ra, dec)
    major, minor, angle = (np.nan_to_num(rows[column][parts]) for column in ("b_maj", "b_min", "pa"))
    covariance = ellipse_covariance(major, minor, np.radians(angle))
    apart = np.stack([east, north], axis=-1)
    total = np.einsum("i,ijk->jk", weight, covariance + apart[:, :, None] * apart[:, None, :])
    major, minor, angle = ellipse_axes(total[None])
    hosts["b_maj"][host], hosts["b_min"][host], hosts["pa"][host] = major[0], minor[0], np.degrees(angle[0]) % 180
    las = np.nan_to_num(rows["las"][parts])
    span = np.hypot(east[:, None] - east, north[:, None] - north) + (las[:, None] + las) / 2
    hosts["las"][host] = max(span.max(), las.max())
    core = parts[np.isfinite(rows["ra_core"][parts])]
    hosts["ra_core"][host], hosts["dec_core"][host] = (
        (rows["ra_core"][core[0]], rows["dec_core"][core[0]]) if core.size else (np.nan, np.nan))


def offsets(ra0: Any, dec0: Any, ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return how far places lie east and north of others, arcsec, in the plane that touches the sky there."""
    ra0, dec0, ra, dec = (np.asarray(np.radians(value)) for value in (ra0, dec0, ra, dec))
    turn = ra - ra0
    cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(turn)
    cosine = np.where(cosine > 0.1, cosine, np.nan)
    east = np.cos(dec) * np.sin(turn) / cosine
    # of differences, so that nothing is lost of small ones
    north = (np.sin(dec - dec0) + 2 * np.sin(dec0) * np.cos(dec) * np.sin(turn / 2)**2) / cosine
    return east / _ARCSEC, north / _ARCSEC


def _nearest(ra: np.ndarray, dec: np.ndarray, snr: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest other source of 3 sigma, arcsec; infinite where there is none."""
    from scipy.spatial import cKDTree

    bright = np.flatnonzero(~(snr < LEAST_NEIGHBOUR))
    out = np.full(len(ra), np.inf)
    if not bright.size:
        return out
    vectors = unit_vectors(ra, dec)
    chord, which = cKDTree(vectors[bright]).query(vectors, k=[1, 2])
    # the nearest may be the source itself, and another at its place too
    itself = (which < len(bright)) & (bright[np.minimum(which, len(bright) - 1)] == np.arange(len(ra))[:, None])
    nearest = np.where(itself[:, 0], chord[:, 1], chord[:, 0])
    known = np.isfinite(nearest)
    out[known] = 2 * np.arcsin(np.minimum(nearest[known] / 2, 1)) / _ARCSEC
    return out
