"""The truth that a catalogue is scored against: a field, its folder, or tables alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table

from skygal.checks import as_quantity, show
from skygal.observation.ellipse import ellipse_axes, ellipse_covariance
from skygal.scoring.records import TruthSet
from skygal.truth.schema import COMPONENTS, TRUTH, Column
from skygal.wcs import icrs_to_pixel, local_affine, pixel_affine, pixel_to_icrs, unit_vectors

__all__ = ["as_beam", "offsets", "read_truth_set"]

_ARCSEC = np.pi / 180 / 3600
#: what a table of truth must have at least; the rest is unknown where it lacks them
_NEEDED = ("ra", "dec", "flux")
_NEEDED_COMPONENTS = ("source_id", "component_id", "ra", "dec", "flux")
#: what is kept of the parts of a source
PARTS = ("ra", "dec", "las", "b_maj", "b_min", "pa", "flux_apparent", "peak_flux", "snr", "local_rms")
#: the two sides of a data challenge: what its tables begin with, and whether they are of the training area
SIDES = {"released": ("training", True), "secret": ("test", False)}
_TABLES = ("truth.fits", "truth.ecsv")
_WORDS = np.array(["single", "double", "triple", "multiple"])
#: signal-to-noise ratio of sources that count as neighbours
LEAST_NEIGHBOUR = 3.0


def read_truth_set(truth: Any, *, components: Any = None, beam: Any = None, name: str | None = None) -> TruthSet:
    """Return the truth of a field for scoring.

    Parameters
    ----------
    truth : `skygal.Field`, `TruthSet`, `~astropy.table.Table` or path
        A field; the folder that one was written into, or ``truth.fits`` in it; a folder ``released/BAND/DEPTH`` or
        ``secret/BAND/DEPTH`` of a data challenge, whose truth is of the training area or of all else; or a table of
        sources, beside which that of components is read if it is there (``components.fits`` beside ``truth.fits``,
        ``a_components.fits`` beside ``a_truth.fits``). A table needs ``ra``, ``dec`` and ``flux``, and for what is to
        be told by more, the columns of skygal's truth. One of components alone (``component_id``) will do: its sources
        are sums of their components, without noise or shapes.
    components : `~astropy.table.Table` or path, optional
        The table of components, where ``truth`` is a table.
    beam : `~astropy.units.Quantity` or `~radio_beam.Beam`, optional
        Of the image: needed for a table alone that does not say it.
    name : str, optional
        What it is called in reports.

    Returns
    -------
    TruthSet
        Of the sources with a pixel in the image. Parts of one source (``parent_id``) are put together: their fluxes
        add up, positions and second moments are those of the sum, and the class is that of the parent.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If it is none of these.
    ValueError
        If a column is missing or of a wrong unit, a source is there twice, or the beam is not known.
    """
    from skygal.field import Field

    if isinstance(truth, TruthSet):
        return truth
    shown = "truth" if name is None else name
    if isinstance(truth, (str, os.PathLike)):
        path = Path(truth)
        if not path.exists():
            raise FileNotFoundError(f"truth {show(os.fspath(truth))} does not exist")
        if components is None and path.name in _TABLES and _is_field(path.parent):
            path = path.parent
        shown = path.resolve().name if name is None else name
        side = next((one for one, (start, _) in SIDES.items() if (path / f"{start}_truth.fits").exists()), None)
        if side is not None:
            return _of_challenge(path, side, beam, shown)
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
    frequency = _frequency_of(truth.meta)
    if components is None and "component_id" in truth.colnames:
        truth, components = None, truth
    return _make(shown, truth, components, axes, frequency=frequency)


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


def _is_field(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("truth.fits", "components.fits", "skygal.yaml")) and (
        (folder / "segmentation.fits").exists() or (folder / "field.zarr").is_dir())


def _refuse_bands(path: Path) -> None:
    """Say which folders hold the truth, where there are several below."""
    if (path / "truth.fits").exists():
        return
    below = sorted(str(found.parent.relative_to(path)) for found in path.glob("**/*truth.fits"))
    if below:
        raise ValueError(f"truth {show(os.fspath(path))} holds several fields: give one of {', '.join(below[:10])} "
                         "in it")


def _read_tables(path: Path, components: Any) -> tuple[Table, Any]:
    table = _read_table(path)
    if components is None and path.stem.endswith("truth"):
        start = path.stem.removesuffix("truth")
        beside = [path.with_name(f"{start}components{suffix}") for suffix in (path.suffix, ".fits", ".ecsv")]
        components = next((found for found in beside if found.is_file()), None)
    return table, components


def _read_table(path: Path) -> Table:
    from skygal.io.table_files import read_table
    from skygal.truth.tables import read_truth

    return read_truth(path) if path.suffix.lower() in (".fits", ".ecsv") else read_table(path, "truth")


def _of_challenge(folder: Path, side: str, beam: Any, name: str) -> TruthSet:
    """Return the truth that a folder of a data challenge holds."""
    from skygal.io.planes import map_plane

    start, is_training = SIDES[side]
    home = folder.resolve()
    released = home if is_training else home.parents[2] / "released" / home.parent.name / home.name
    image, header, wcs = map_plane(released / "image.fits", "image")
    area = _read_area(released.parent / "areas" / "training.yaml")
    planes = {each: map_plane(folder / f"{each}.fits", each)[0] for each in ("segmentation", "model")
              if (folder / f"{each}.fits").exists()}
    truth, components = (_read_table(folder / f"{start}_{table}.fits") for table in ("truth", "components"))
    axes = as_beam(beam) if beam is not None else _in_icrs(as_beam(_beam_of(header)), wcs, image.shape)
    return _make(name, truth, components, axes, frequency=_frequency_of(truth.meta), wcs=wcs, shape=image.shape,
                 image=image, area=area if is_training else partial(_beyond, area), **planes)


def _beyond(area: Callable, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    return ~area(ra, dec)


def _read_area(path: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what tells whether positions are in the area that a data challenge's file says."""
    from skygal.io.config import parse_yaml
    from skygal.io.inputs import read_text
    from skygal.truth.exports.areas import Area

    text = read_text(path, "area")
    try:
        found = parse_yaml(text)
        ends = [u.Quantity(end).to_value(u.deg) for key in ("ra", "dec") for end in found[key]]
        return Area(*map(float, ends)).holds
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"area {show(os.fspath(path))} cannot be read: {error}") from None


def _in_icrs(beam: tuple[float, float, float], wcs: Any, shape: tuple[int, int]) -> tuple[float, float, float]:
    """Return a beam, whose angle is from the north of the image's own frame, with that from the north of ICRS."""
    middle = [(n - 1) / 2 for n in shape[::-1]]
    ra, dec = pixel_to_icrs(wcs, *middle)
    if not np.isfinite(ra):
        return beam
    own, sky = local_affine(wcs, *middle)[0], pixel_affine(wcs, ra, dec)[0]
    east, north = np.linalg.solve(sky, own @ np.array([np.sin(np.radians(beam[2])), np.cos(np.radians(beam[2]))]))
    return beam[0], beam[1], float(np.degrees(np.arctan2(east, north)) % 180)


def _beam_of(meta: Mapping[str, Any]) -> Any:
    """Return the beam of a header, or of the settings that skygal writes with its tables."""
    written = meta.get("configuration")
    if isinstance(written, Mapping) and isinstance(written.get("beam"), str):
        from skygal.io.words import parse_beam

        try:
            return parse_beam("beam", written["beam"].replace(" ", ""))
        except ValueError:
            # of several images, or a PSF's
            return None
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
    axes = as_beam(beam) if beam is not None else _in_icrs(as_beam(_beam_of(field.header)), field.wcs,
                                                            field.image.shape)
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
        out[column.name] = np.char.strip(np.asarray(values).astype(str)) if column.dtype is str else \
            np.asarray(values).astype(column.dtype)
    return out


def _make(name: str, truth: Table | None, components: Table | None, beam: tuple[float, float, float], *,
          frequency: float | None, wcs: Any = None, shape: Any = None, **planes: Any) -> TruthSet:
    parts = None if components is None else _components(components)
    if truth is None:
        assert parts is not None
        rows = _sums(parts)
    else:
        rows = _sources(truth)
    # without an image nothing says what is in it
    keep = rows["flux_in_image"] > 0
    rows = {column: values[keep] for column, values in rows.items()}
    hosts, place = _put_together(rows, wcs)
    order = np.argsort(rows["source_id"], kind="stable")
    labels = rows["source_id"][order], place[order]
    if parts is not None:
        parts = _with_hosts(parts, labels)
    hosts["neighbour"] = _nearest(hosts["ra"], hosts["dec"], hosts["snr"])
    drawn = {column: rows[column] for column in PARTS} | {"host": place}
    return TruthSet(name, hosts, parts, beam, wcs=wcs, shape=shape, frequency=frequency, labels=labels, parts=drawn,
                    **planes)


def _sources(table: Table) -> dict[str, np.ndarray]:
    """Return the columns of a table of sources; what it lacks is as follows from others, or unknown."""
    lacking = [column for column in _NEEDED if column not in table.colnames]
    if lacking:
        raise ValueError(f"truth must have the columns {', '.join(_NEEDED)}, got no {', '.join(lacking)}")
    rows = _columns(table, TRUTH, "truth")
    there = set(table.colnames)
    if "source_id" not in there:
        rows["source_id"] = np.arange(1, len(table) + 1)
    for column, other in (("flux_apparent", "flux"), ("flux_in_image", "flux_apparent"),
                          ("peak_flux", "flux_apparent")):
        if column not in there:
            rows[column] = rows[other].copy()
    if "parent_id" not in there:
        rows["parent_id"] = rows["source_id"].copy()
    if "n_components" not in there:
        rows["n_components"] = np.ones(len(table), np.int64)
    if "snr" not in there:
        with np.errstate(divide="ignore", invalid="ignore"):
            rows["snr"] = np.where(rows["local_rms"] > 0, rows["peak_flux"] / rows["local_rms"], np.inf)
    _check("truth", rows, (rows["source_id"],), "source_id")
    return rows


def _components(table: Table) -> dict[str, np.ndarray]:
    """Return the columns of a table of components, of those with a pixel in the image."""
    lacking = [column for column in _NEEDED_COMPONENTS if column not in table.colnames]
    if lacking:
        raise ValueError(f"components must have the columns {', '.join(_NEEDED_COMPONENTS)}, got no "
                         f"{', '.join(lacking)}")
    rows = _columns(table, COMPONENTS, "components")
    _check("components", rows, (rows["source_id"], rows["component_id"]), "source_id and component_id")
    if "peak_flux" not in table.colnames:
        rows["peak_flux"] = rows["flux"].copy()
    # what has no pixel in the image cannot be found there
    keep = rows["peak_flux"] > 0
    return {column: values[keep] for column, values in rows.items()}


def _check(table: str, rows: Mapping[str, np.ndarray], ids: tuple[np.ndarray, ...], shown: str) -> None:
    """Check that positions and fluxes are numbers, and that no row is there twice."""
    for column in _NEEDED:
        bad = np.flatnonzero(~np.isfinite(rows[column]))
        if bad.size:
            raise ValueError(f"{table} must have finite {column}, got {rows[column][bad[0]]} of source_id "
                             f"{rows['source_id'][bad[0]]}" + f" and {bad.size - 1} others" * (bad.size > 1))
    found, count = np.unique(np.stack(ids), axis=1, return_counts=True) if len(ids) > 1 else \
        np.unique(ids[0], return_counts=True)
    if (count > 1).any():
        first = np.flatnonzero(count > 1)[0]
        raise ValueError(f"{table} must have each {shown} once, got "
                         f"{' and '.join(str(part) for part in np.atleast_1d(found[..., first]))} {count[first]} times")


def _sums(parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return sources that are the sums of components, a row each; noise and shapes are not known."""
    ids, host = np.unique(parts["source_id"], return_inverse=True)
    n = len(ids)
    rows = {column.name: column.none(n) for column in TRUTH}
    flux = np.bincount(host, parts["flux"], n)
    way = unit_vectors(parts["ra"], parts["dec"]) * parts["flux"][:, None]
    middle = np.stack([np.bincount(host, way[:, axis], n) for axis in range(3)], axis=-1)
    peak = np.zeros(n)
    np.maximum.at(peak, host, parts["peak_flux"])
    rows |= {"source_id": ids, "parent_id": ids.copy(), "flux": flux, "flux_apparent": flux.copy(),
             "flux_in_image": flux.copy(), "peak_flux": peak, "snr": np.full(n, np.inf),
             "n_components": np.bincount(host, minlength=n),
             "ra": np.degrees(np.arctan2(middle[:, 1], middle[:, 0])) % 360,
             "dec": np.degrees(np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1])))}
    # as far as it reaches at least: between its components
    reach = np.zeros(n)
    np.maximum.at(reach, host, np.hypot(*offsets(rows["ra"][host], rows["dec"][host], parts["ra"], parts["dec"])))
    return rows | {"las": 2 * reach}


def _with_hosts(rows: dict[str, np.ndarray], labels: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Return those components whose source is there, with the index of each one's source."""
    found = np.minimum(np.searchsorted(labels[0], rows["source_id"]), max(len(labels[0]) - 1, 0))
    known = labels[0][found] == rows["source_id"] if len(labels[0]) else np.zeros(len(rows["ra"]), bool)
    out = {column: values[known] for column, values in rows.items()}
    return out | {"host": labels[1][found[known]] if known.any() else np.empty(0, np.int64)}


def _put_together(rows: dict[str, np.ndarray], wcs: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return a row a source of a row a part, and the index of each part's source."""
    parent = np.where(rows["parent_id"] > 0, rows["parent_id"], rows["source_id"])
    parents, place, counts = np.unique(parent, return_inverse=True, return_counts=True)
    # the parent's row is the source's own, or that of its brightest part
    order = np.lexsort((rows["source_id"], -rows["flux_apparent"], rows["source_id"] != rows["parent_id"], place))
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
    words = np.isin(hosts["morphology"][several], _WORDS)
    hosts["morphology"] = hosts["morphology"].astype("U12")
    hosts["morphology"][several[words]] = _WORDS[np.clip(hosts["n_components"][several[words]], 1, 4) - 1]
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
    if not np.isfinite(hosts["ra_core"][host]) and core.size:
        hosts["ra_core"][host], hosts["dec_core"][host] = rows["ra_core"][core[0]], rows["dec_core"][core[0]]


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
