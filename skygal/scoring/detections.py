"""A source finder's catalogue, read as what its rows mean: one table whatever program wrote it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, Table
from astropy.wcs import WCS

from skygal.checks import check_choice, show, warn_caller
from skygal.io.text_tables import read_text_table
from skygal.observation.ellipse import FWHM, ellipse_axes, ellipse_covariance
from skygal.population.catalogue_columns import OWN, Reading
from skygal.population.catalogue_formats import SDC1_COLUMNS, CatalogueFormat
from skygal.population.catalogue_rows import sdc1_rows, subtract_beam
from skygal.population.tables import as_table
from skygal.scoring.finder_formats import FORMATS_TO_SCORE
from skygal.scoring.records import Detections
from skygal.scoring.truth import as_beam
from skygal.wcs import local_affine, pixel_area, pixel_to_icrs

__all__ = ["LEVELS", "list_finder_formats", "read_detections", "read_table_of"]

LEVELS = ("component", "source", "island")
#: of widths of the formats, in FWHM
_IN_FWHM = {"fwhm": 1.0, "sigma": FWHM, "half": 2.0}
_ARCSEC = np.pi / 180 / 3600


def list_finder_formats() -> list[str]:
    """Return the names of the formats that `read_detections` knows.

    Examples
    --------
    >>> from skygal.scoring import list_finder_formats
    >>> {"PyBDSF", "Aegean", "photutils", "Selavy"} <= set(list_finder_formats())
    True
    """
    return [*(one.name for one in FORMATS_TO_SCORE), OWN]


def read_detections(catalogue: Any, *, format: str | None = None, columns: Mapping[str, Any] | None = None,
                    wcs: WCS | None = None, beam: Any = None, level: str | None = None,
                    name: str | None = None) -> Detections:
    """Read the catalogue of a source finder.

    Parameters
    ----------
    catalogue : `~astropy.table.Table` or path
        A table, or a FITS, ECSV, CSV or VOTable file, or one of text as source finders write them.
    format : str, optional
        One of `list_finder_formats`; by default found from the columns' names.
    columns : mapping, optional
        The column that holds a quantity, ``{"flux": "S_int"}``, or with its unit where the table gives none,
        ``{"flux": ("S_int", "mJy")}``. Quantities are ra, dec, flux, peak, rms, id, parent (equal for rows of one
        source), label (a class), confidence, errors of the first four with ``_err`` behind; fitted_maj, fitted_min and
        fitted_pa (FWHM, with the beam in them), b_maj, b_min, pa (without); x, y, pixel_maj, pixel_min and pixel_pa (in
        pixels, 0-based, the angle from the columns' axis towards the rows') and flux_sum, a sum of pixels in Jy/beam,
        which need the image's ``wcs``. Where columns are given without a format, those that they do not name are read
        under these names.
    wcs : `~astropy.wcs.WCS`, optional
        Of the image: needed for what is in pixels.
    beam : `~astropy.units.Quantity`, `~radio_beam.Beam` or three axes, optional
        Of the image: needed for sums of pixels, and to take it from sizes, or put it in.
    level : "component", "source" or "island", optional
        What a row is; by default as the format has it, or "component".
    name : str, optional
        What the catalogue is called; by default its file's name.

    Returns
    -------
    Detections
        ``units`` says which column each quantity was read from, ``dropped`` which rows were left out.

    Raises
    ------
    FileNotFoundError, TypeError
        If there is no such file, or it is no table.
    ValueError
        If there are no positions or fluxes, or a unit is wrong or cannot be the one that is meant, or what is in pixels
        cannot be told without ``wcs`` or ``beam``.

    Warns
    -----
    UserWarning
        Of rows that are left out.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from skygal.scoring import read_detections
    >>> found = read_detections(Table({"ra": [10.0], "dec": [-30.0], "S": [2.5]}), columns={"flux": ("S", "mJy")})
    >>> print(len(found), found.flux, found.units["flux"])
    1 [0.0025] S (mJy)
    """
    if level is not None:
        check_choice("level", level, LEVELS)
    if name is None:
        name = Path(catalogue).name if isinstance(catalogue, (str, os.PathLike)) else "catalogue"
    table = read_table_of(catalogue)
    reading = Reading(table, format, columns, FORMATS_TO_SCORE, detected=True)
    values = _read(reading, wcs)
    axes = None if beam is None else as_beam(beam)
    n = len(table)
    out = _columns(values, n, reading.format, wcs, axes)
    keep, dropped = _kept(out, reading)
    if dropped:
        warn_caller(f"catalogue {show(name)} has rows that are left out: "
                    + ", ".join(f"{count} {why}" for why, count in dropped.items()))
    found_as = reading.name
    plain = {key: value[keep] for key, value in out.items()}
    errors = {key: plain.pop(f"{key}_err") for key in ("ra", "dec", "flux", "peak")}
    own_level = reading.format.level if reading.format is not None else "component"
    return Detections(name=name, format=found_as, level=level or own_level, row=np.flatnonzero(keep),
                      errors=errors, units=reading.told(), dropped=dropped, **plain)


def read_table_of(catalogue: Any) -> Table:
    """Return the table in a file, whatever text it is, with positions in columns of their own."""
    table = None
    if isinstance(catalogue, (str, os.PathLike)) and Path(catalogue).is_file():
        table = read_text_table(catalogue, "catalogue", bare=(SDC1_COLUMNS[:12], SDC1_COLUMNS))
    if table is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            table = as_table(catalogue, "catalogue")
    places = [name for name in table.colnames if isinstance(table[name], SkyCoord)]
    if not places:
        return table
    plain = table.copy(copy_data=False)
    for name in places:
        place = table[name].icrs
        if name == places[0] and not {"ra", "dec"} & set(plain.colnames):
            plain["ra"], plain["dec"] = Column(place.ra.deg, unit=u.deg), Column(place.dec.deg, unit=u.deg)
        del plain[name]
    return plain


def _read(reading: Reading, wcs: WCS | None) -> dict[str, np.ndarray]:
    """Return the quantities that are there; positions and fluxes may be in pixels."""
    there = reading.columns
    if reading.name == "photutils":
        # before its third release
        for new, old in (("x", "xcentroid"), ("y", "ycentroid"), ("pixel_maj", "semimajor_sigma"),
                         ("pixel_min", "semiminor_sigma")):
            if new not in there and old in reading.own:
                there[new] = (old, u.one)
    if reading.name == "NVSS" and "flux" not in there:
        there["flux"] = ("s1_4", u.mJy)
    placed = {"ra", "dec"} <= there.keys()
    in_pixels = {"x", "y"} <= there.keys() and wcs is not None
    needed = [] if placed or in_pixels else ["ra", "dec"]
    if "flux_sum" not in there:
        needed.append("flux")
    if not placed and in_pixels:
        for name in ("ra", "dec"):
            there.pop(name, None)
    values = reading.read(needed)
    if reading.rows == "sdc1":
        rows, problems = sdc1_rows({**values, **{name: reading.need(name) for name in ("size", "class")}})
        if problems:
            raise ValueError(f"catalogue must have {'; '.join(problems)}")
        kinds = {1: "SS-AGN", 2: "FS-AGN", 3: "SFG"}
        label = np.array([kinds[kind] for kind in reading.need("class").astype(int).tolist()], dtype=str)
        values |= {name: rows[name] for name in ("b_maj", "b_min", "pa")} | {"label": label}
    return values


def _columns(values: dict[str, np.ndarray], n: int, format: CatalogueFormat | None, wcs: WCS | None,
             beam: tuple[float, float, float] | None) -> dict[str, np.ndarray]:
    """Return the columns of `Detections`, unknown ones empty."""
    def numbers(name: str) -> np.ndarray:
        return np.asarray(values.get(name, np.full(n, np.nan)), float)

    def words(name: str) -> np.ndarray:
        return np.asarray(values.get(name, np.full(n, "")), dtype=str)

    out = {name: numbers(name) for name in ("ra", "dec", "flux", "peak", "rms", "confidence")}
    if "ra" not in values and wcs is not None:
        out["ra"], out["dec"] = pixel_to_icrs(wcs, numbers("x"), numbers("y"))
    out["ra"] = out["ra"] % 360
    if "flux" not in values:
        out["flux"] = _sums(numbers("flux_sum"), out, wcs, beam)
    factor = _IN_FWHM[format.widths] if format is not None else 1.0
    fitted = tuple(numbers(name) for name in ("fitted_maj", "fitted_min", "fitted_pa"))
    bare = tuple(numbers(name) for name in ("b_maj", "b_min", "pa"))
    if "pixel_maj" in values:
        fitted = _from_pixels(values, out, wcs)
    fitted = (fitted[0] * factor, fitted[1] * factor, fitted[2] % 180)
    psf = tuple(values[name] for name in ("psf_maj", "psf_min", "psf_pa")) if "psf_maj" in values else (
        None if beam is None else tuple(np.full(n, part) for part in beam))
    if psf is not None and np.isnan(bare[0]).all() and np.isfinite(fitted[0]).any():
        bare = subtract_beam(*fitted, *psf)
    elif psf is not None and np.isnan(fitted[0]).all() and np.isfinite(bare[0]).any():
        fitted = _with_beam(bare, psf)
    for prefix, axes in (("b", fitted), ("deconv", bare)):
        out |= {f"{prefix}_maj": axes[0], f"{prefix}_min": axes[1]}
        out["pa" if prefix == "b" else "deconv_pa"] = axes[2] % 180
    out |= {name: words(name) for name in ("id", "label")}
    out["parent"] = _numbered(words("parent")) if "parent" in values else np.full(n, -1)
    for name in ("ra", "dec", "flux", "peak"):
        error = numbers(f"{name}_err")
        out[f"{name}_err"] = np.where(error > 0, error, np.nan)
    return out


def _sums(sums: np.ndarray, place: dict[str, np.ndarray], wcs: WCS | None,
          beam: tuple[float, float, float] | None) -> np.ndarray:
    """Return fluxes of sums of pixels in Jy/beam."""
    if wcs is None or beam is None:
        raise ValueError("wcs and beam must be given for a catalogue of sums of pixels, which are fluxes only over the "
                         f"beam's area in pixels, got {'no wcs' if wcs is None else 'no beam'}")
    from skygal.wcs import icrs_to_pixel

    solid = np.pi / (4 * np.log(2)) * beam[0] * beam[1] * _ARCSEC**2
    known = np.isfinite(place["ra"])
    flux = np.full(len(sums), np.nan)
    if known.any():
        area = pixel_area(wcs, *icrs_to_pixel(wcs, place["ra"][known], place["dec"][known]))
        flux[known] = sums[known] * area / solid
    return flux


def _from_pixels(values: dict[str, np.ndarray], place: dict[str, np.ndarray],
                 wcs: WCS | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return axes (arcsec) and position angles of ellipses in pixels, their angle from +x towards +y."""
    n = len(place["ra"])
    if wcs is None:
        return (np.full(n, np.nan),) * 3
    from skygal.wcs import icrs_to_pixel

    major, minor, angle = (np.asarray(values.get(f"pixel_{name}", np.full(n, np.nan)), float)
                           for name in ("maj", "min", "pa"))
    # the ellipse of (x, y) is one of (east, north) with its angle counted from the second axis
    pixels = ellipse_covariance(major, minor, np.radians(90 - np.nan_to_num(angle)))
    affine = local_affine(wcs, *icrs_to_pixel(wcs, place["ra"], place["dec"]))
    known = np.isfinite(affine).all(axis=(1, 2)) & np.isfinite(major) & np.isfinite(minor)
    out = tuple(np.full(n, np.nan) for _ in range(3))
    if known.any():
        inverse = np.linalg.inv(affine[known])
        axes = ellipse_axes(inverse @ pixels[known] @ inverse.transpose(0, 2, 1))
        for column, axis in zip(out, axes, strict=True):
            column[known] = axis
    return out[0], out[1], np.degrees(out[2]) % 180


def _with_beam(bare: tuple[np.ndarray, ...], psf: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return axes and angles of Gaussians with the beam in them; second moments add up."""
    known = np.isfinite(bare[0]) & np.isfinite(bare[1])
    width, across, angle = (np.nan_to_num(one) for one in bare)
    covariance = ellipse_covariance(width, across, np.radians(angle))
    major, minor, pa = ellipse_axes(covariance + ellipse_covariance(psf[0], psf[1], np.radians(psf[2])))
    return tuple(np.where(known, one, np.nan) for one in (major, minor, np.degrees(pa) % 180))  # type: ignore[return-value]


def _numbered(words: np.ndarray) -> np.ndarray:
    """Return a number for each word, -1 for none and for numbers below zero, which say that there is no fit."""
    names, number = np.unique(words, return_inverse=True)
    nothing = np.array([name == "" or name.startswith("-") for name in names.tolist()], bool)
    return np.where(nothing[number], -1, number)


def _kept(out: dict[str, np.ndarray], reading: Reading) -> tuple[np.ndarray, dict[str, int]]:
    """Return which rows count, and of the others why they do not and how many there are."""
    dropped: dict[str, int] = {}
    keep = np.ones(len(out["ra"]), bool)

    def drop(why: str, bad: np.ndarray) -> None:
        if (keep & bad).any():
            dropped[why] = int((keep & bad).sum())
            keep[bad] = False

    if reading.format is not None and reading.format.keep is not None:
        name, good = reading.format.keep
        flags = reading.numbers(name)
        if flags is not None:
            drop(f"duplicates by {name}", ~good(flags))
    if reading.name.startswith("PyBDSF"):
        drop("islands without a fit", np.char.startswith(out["id"].astype(str), "-"))
    drop("without a position", ~(np.isfinite(out["ra"]) & (np.abs(out["dec"]) <= 90)))
    drop("without a flux", ~np.isfinite(out["flux"]))
    return keep, dropped
