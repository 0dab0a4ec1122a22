"""A source finder's catalogue, read as what its rows mean: one table whatever program wrote it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS

from skygal.checks import check_choice, show, warn_caller
from skygal.io.header_wcs import celestial
from skygal.population.catalogue_columns import OWN
from skygal.population.catalogue_rows import subtract_beam
from skygal.scoring.catalogue_files import Source, open_catalogue
from skygal.scoring.coco_files import DOWNWARD, UPWARD, read_coco
from skygal.scoring.finder_formats import FORMATS_TO_SCORE
from skygal.scoring.finder_rows import Axes, Rows, add_sums, read_rows
from skygal.scoring.label_maps import measure_labels
from skygal.scoring.records import Detections
from skygal.scoring.region_files import read_regions
from skygal.scoring.shapes import longer_first
from skygal.scoring.truth import as_beam

__all__ = ["LEVELS", "list_finder_formats", "read_detections"]

LEVELS = ("component", "source", "island")
LABELS = "segmentation map"
#: formats of what is no table, by its kind
_OTHERS = {"regions": ("DS9 regions", "CRTF regions"), "coco": (UPWARD, DOWNWARD), "labels": (LABELS,)}
_NUMBERS = ("ra", "dec", "flux", "peak", "b_maj", "b_min", "pa", "deconv_maj", "deconv_min", "deconv_pa", "rms",
            "confidence")
_ERRORS = ("ra", "dec", "flux", "peak", "b_maj", "b_min", "pa")


def list_finder_formats() -> list[str]:
    """Return the names of the formats that `read_detections` knows.

    Examples
    --------
    >>> from skygal.scoring import list_finder_formats
    >>> {"PyBDSF", "Aegean", "photutils", "Selavy", "DS9 regions", "COCO"} <= set(list_finder_formats())
    True
    """
    return [*(one.name for one in FORMATS_TO_SCORE), OWN, *(name for names in _OTHERS.values() for name in names)]


def read_detections(catalogue: Any, *, format: str | None = None, columns: Mapping[str, Any] | None = None,
                    wcs: WCS | None = None, shape: tuple[int, int] | None = None, beam: Any = None,
                    image: Any = None, level: str | None = None, name: str | None = None) -> Detections:
    """Read the catalogue of a source finder.

    Parameters
    ----------
    catalogue : path, `~astropy.table.Table`, structured array, or what has ``to_table()``
        A table; a FITS, ECSV, CSV or VOTable file, or one of text as source finders write them; a folder that skygal
        wrote, the truth in it; a region file of DS9 or CASA (CRTF); detections of COCO (JSON) of one image; or a map of
        labels, as an array of shape (ny, nx) or in FITS.
    format : str, optional
        One of `list_finder_formats`; by default found from the columns' names.
    columns : mapping, optional
        The column that holds a quantity, ``{"flux": "S_int"}``, or with its unit where the table gives none,
        ``{"flux": ("S_int", "mJy")}``. Quantities are ra, dec, flux, peak, rms, id, parent (equal for rows of one
        source), label (a class), confidence; fitted_maj, fitted_min and fitted_pa (FWHM, with the beam in them), b_maj,
        b_min, pa (without); errors, of ra, dec, flux, peak and the fitted ones, with ``_err`` behind; x, y, pixel_maj,
        pixel_min and pixel_pa (in pixels, 0-based, the angle from the columns' axis towards the rows') and flux_sum, a
        sum of pixels in Jy/beam, which need the image's ``wcs``. A unit may have a factor, ``"2 arcsec"`` for halves
        of the FWHM. Where columns are given without a format, those that they do not name are read under these names.
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`, optional
        Of the image: needed for what is in pixels.
    shape : (int, int), optional
        Of the image, (ny, nx): needed for boxes whose rows are counted downward.
    beam : `~astropy.units.Quantity`, `~radio_beam.Beam` or three axes, optional
        Of the image: needed for sums of pixels, and to take it from sizes, or put it in.
    image : array_like of shape (ny, nx), optional
        Jy/beam, on which a map of labels is measured.
    level : "component", "source" or "island", optional
        What a row is; by default as the format has it, or "component". Of several tables in a file the one of this
        level is read.
    name : str, optional
        What the catalogue is called; by default its file's name.

    Returns
    -------
    Detections
        ``units`` says which column each quantity was read from, ``dropped`` which rows were left out. Regions, boxes
        and maps without an image have no fluxes.

    Raises
    ------
    FileNotFoundError, TypeError
        If there is no such file, or it is no catalogue.
    ValueError
        If there are no positions or fluxes, or a unit is wrong or cannot be the one that is meant, or what is in pixels
        cannot be told without ``wcs`` or ``beam``. All columns that are wrong are named.

    Warns
    -----
    UserWarning
        Of rows that are left out or have one id, of positions in 32 bits, and of what was taken for granted.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from skygal.scoring import read_detections
    >>> found = read_detections(Table({"ra": [10.0], "dec": [-30.0], "S": [2.5]}), columns={"flux": ("S", "mJy")})
    >>> print(len(found), found.flux, found.units["flux"])
    1 [0.0025] S (mJy)
    """
    if isinstance(catalogue, Detections):
        return catalogue
    if level is not None:
        check_choice("level", level, LEVELS)
    if format is not None:
        check_choice("format", format, list_finder_formats())
    if name is None:
        name = Path(catalogue).name if isinstance(catalogue, (str, os.PathLike)) else "catalogue"
    sky = None if wcs is None else celestial(wcs)
    axes = None if beam is None else as_beam(beam)
    source = open_catalogue(catalogue, level)
    if source.kind == "table":
        if format in [one for names in _OTHERS.values() for one in names]:
            raise ValueError(f"format must be one of tables, or left out, got {format!r} for one")
        found = _Found(*read_rows(source.value, format, columns, sky, axes))
    else:
        found = _other(source, format, columns, sky, shape, axes, image)
    return _as_detections(found, name, level)


@dataclass(eq=False)
class _Found:
    """What has been read of a catalogue: columns by the names of `Detections`, all of them optional."""

    format: str
    level: str
    columns: Rows
    units: dict[str, str]
    #: why rows do not count, and which
    left_out: dict[str, np.ndarray] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    #: why rows are not among those here, and how many
    dropped: dict[str, int] = field(default_factory=dict)
    fluxless: bool = False


def _other(source: Source, format: str | None, columns: Any, wcs: WCS | None, shape: Sequence[int] | None,
           beam: Axes | None, image: Any) -> _Found:
    """Return what regions, boxes and maps of labels hold."""
    allowed = _OTHERS[source.kind]
    if format is not None:
        check_choice(f"format of {'a map of labels' if source.kind == 'labels' else f'{source.kind} in a file'}",
                     format, allowed)
    if columns:
        raise ValueError(f"columns must be left out for {' and '.join(allowed)}, got {show(columns)}")
    if source.kind == "regions":
        found_as, out, units, dropped = read_regions(source.value, "catalogue", wcs)
        return _Found(found_as, "source", out, units, dropped=dropped, fluxless=True)
    if source.kind == "coco":
        size = None if shape is None else (int(shape[0]), int(shape[1]))
        found_as, out, units, dropped, guessed = read_coco(source.value, "catalogue", wcs, size, format)
        return _Found(found_as, "source", out, units, dropped=dropped, guessed=guessed, fluxless=True)
    sky = source.wcs if wcs is None else wcs
    if sky is None:
        raise ValueError("wcs must be given for a map of labels, got None")
    out, units = measure_labels(source.value, image, sky), {"ra": "centroid", "dec": "centroid", "id": "label"}
    if image is not None:
        add_sums(out, sky, beam)
        assert beam is not None
        out |= dict(zip(("deconv_maj", "deconv_min", "deconv_pa"), subtract_beam(
            out["b_maj"], out["b_min"], out["pa"], *(np.full(len(out["ra"]), part) for part in beam)), strict=True))
        units |= {"flux": "sum of pixels over the beam's area", "peak": "largest pixel", "b_maj": "second moments",
                  "b_min": "second moments", "pa": "second moments"}
    return _Found(LABELS, "source", out, units, fluxless=image is None)


def _as_detections(found: _Found, name: str, level: str | None) -> Detections:
    """Return the rows that count, unknown columns empty, and warn of what was lost."""
    n = len(found.columns["ra"])
    out = {key: np.asarray(found.columns.get(key, np.full(n, np.nan)), float) for key in _NUMBERS}
    errors = {key: np.asarray(found.columns.get(f"{key}_err", np.full(n, np.nan)), float) for key in _ERRORS}
    with np.errstate(invalid="ignore"):
        out["ra"] = np.where(np.abs(out["ra"]) <= 720, out["ra"], np.nan) % 360
        for prefix, pa, least in (("b", "pa", 0.0), ("deconv", "deconv_pa", -1.0)):
            # of sizes without the beam 0 is one, that of what the beam hides
            for key in (f"{prefix}_maj", f"{prefix}_min"):
                out[key] = np.where((out[key] > least) & (out[key] >= 0) & np.isfinite(out[key]), out[key], np.nan)
            out[f"{prefix}_maj"], out[f"{prefix}_min"], out[pa] = longer_first(
                out[f"{prefix}_maj"], out[f"{prefix}_min"], np.where(np.isfinite(out[pa]), out[pa], np.nan))
        errors = {key: np.where((error > 0) & np.isfinite(error), error, np.nan) for key, error in errors.items()}
        out["rms"] = np.where(out["rms"] > 0, out["rms"], np.nan)
        units = dict(found.units)
        if "confidence" not in found.columns:
            out["confidence"] = out["peak"] / out["rms"]
            if np.isfinite(out["confidence"]).any():
                units["confidence"] = "peak over rms"
        left_out = {**found.left_out, "without a position": ~(np.isfinite(out["ra"]) & (np.abs(out["dec"]) <= 90))}
    if not found.fluxless:
        left_out["without a flux"] = ~np.isfinite(out["flux"])
    keep, dropped = np.ones(n, bool), dict(found.dropped)
    for why, bad in left_out.items():
        if (keep & bad).any():
            dropped[why] = int((keep & bad).sum())
            keep &= ~bad
    words = {key: np.asarray(found.columns.get(key, np.full(n, "")), dtype=str)[keep] for key in ("id", "label")}
    _warn(name, found.guessed, dropped, words["id"])
    row = np.asarray(found.columns.get("row", np.arange(n)), np.int64)
    parent = np.asarray(found.columns.get("parent", np.full(n, -1)), np.int64)
    return Detections(name=name, format=found.format, level=level or found.level, row=row[keep], parent=parent[keep],
                      errors={key: error[keep] for key, error in errors.items()}, units=units, dropped=dropped,
                      **words, **{key: value[keep] for key, value in out.items()})


def _warn(name: str, guessed: Sequence[str], dropped: Mapping[str, int], ids: np.ndarray) -> None:
    told = list(guessed)
    if dropped:
        told.append("rows are left out: " + ", ".join(f"{count} {why}" for why, count in dropped.items()))
    said = [one for one in ids.tolist() if one]
    again = len(said) - len(set(said))
    if again:
        told.append(f"{again} rows have the id of another, and are kept")
    if told:
        warn_caller(f"catalogue {show(name)}: " + "; ".join(told))
