"""From the columns of a finder's table to its rows in our units: places, fluxes, sizes with the beam and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS

from skygal.observation.ellipse import FWHM, ellipse_axes, ellipse_covariance
from skygal.population.catalogue_rows import sdc1_rows, subtract_beam
from skygal.scoring.finder_columns import FinderColumns
from skygal.scoring.shapes import ellipse_on_sky, frame_to_icrs
from skygal.wcs import icrs_to_pixel, pixel_area, pixel_to_icrs

__all__ = ["Axes", "Rows", "add_sums", "read_rows"]

Rows = dict[str, np.ndarray]
Axes = tuple[float, float, float]

#: of widths of the formats, in FWHM
_IN_FWHM = {"fwhm": 1.0, "sigma": FWHM, "2 sigma": FWHM / 2, "half": 2.0}
_ARCSEC = np.pi / 180 / 3600
#: FWHM of the Gaussian with the second moments of an exponential disc, in its scale lengths
_DISC = float(np.sqrt(3)) * FWHM
#: classes of the first SKA Science Data Challenge: steep- and flat-spectrum AGN, star-forming galaxies
_SDC1_CLASSES = {1: "SS-AGN", 2: "FS-AGN", 3: "SFG"}
#: longitude and latitude, whose names say their frame
_GALACTIC = (("glon", "glat"), ("lon", "lat"))
#: what quantities of tables are called in `Detections`
_NAMES = {"fitted_maj": "b_maj", "fitted_min": "b_min", "fitted_pa": "pa", "b_maj": "deconv_maj", "b_min": "deconv_min",
          "pa": "deconv_pa", "pixel_maj": "b_maj", "pixel_min": "b_min", "pixel_pa": "pa", "flux_sum": "flux",
          "flux_sum_err": "flux_err", "fitted_maj_err": "b_maj_err", "fitted_min_err": "b_min_err",
          "fitted_pa_err": "pa_err", "x": "ra", "y": "dec"}


def read_rows(table: Table, format: str | None, columns: Mapping[str, Any] | None, wcs: WCS | None, beam: Axes | None
              ) -> tuple[str, str, Rows, dict[str, str], dict[str, np.ndarray], list[str]]:
    """Return the rows of a finder's table.

    Parameters
    ----------
    table : `~astropy.table.Table`
    format, columns
        As of `skygal.scoring.read_detections`.
    wcs : `~astropy.wcs.WCS` or None
    beam : (float, float, float) or None
        Arcsec and deg.

    Returns
    -------
    format, level : str
    rows : dict of str to ndarray
        By the names of `skygal.scoring.Detections`, errors with ``_err`` behind.
    units : dict of str to str
        What each was read from.
    left_out : dict of str to ndarray of bool
        Why rows do not count, and which.
    guessed : list of str
        What was taken for granted.

    Raises
    ------
    ValueError
        If columns are missing or wrong, or ``wcs`` or ``beam`` is needed.
    """
    reading = FinderColumns(table, format, columns)
    n, units, there = len(table), {}, reading.columns
    placed = _choose_places(reading, wcs)
    if wcs is None:
        for name in ("pixel_maj", "pixel_min", "pixel_pa"):
            there.pop(name, None)
    if "flux" in there:
        there.pop("flux_sum", None)
        there.pop("flux_sum_err", None)
    needed = (["ra", "dec"] if placed == "sky" else []) + ([] if "flux_sum" in there else ["flux"])
    values = reading.read(needed)
    _limits(reading, values)
    if reading.rows == "sdc1":
        _sdc1(reading, values)
    out: Rows = {name: values[name] for name in ("ra", "dec", "peak", "rms", "confidence", "id", "label", "peak_err",
                                                 "ra_err", "dec_err", "flux", "flux_err") if name in values}
    told = reading.told()
    turn = np.zeros(n)
    if placed == "pixels":
        first = reading.format.first if reading.format is not None else 0
        out["ra"], out["dec"] = pixel_to_icrs(wcs, values["x"] - first, values["y"] - first)  # type: ignore[arg-type]
    elif placed != "sky":
        lon, lat = placed.split()
        out["ra"], out["dec"], turn = frame_to_icrs(reading.need(lon), reading.need(lat), "galactic")
        told |= {"ra": f"{lon} (galactic, deg)", "dec": f"{lat} (galactic, deg)"}
    if placed != "pixels":
        told.pop("x", None)
        told.pop("y", None)
    _fluxes(reading, values, out, told, wcs, beam)
    _sizes(reading, values, out, told, wcs, beam, turn)
    if "parent" in values:
        out["parent"] = _numbered(values["parent"])
    for name, column in told.items():
        if not name.startswith("=") and (name in values or name in ("ra", "dec")):
            units[_NAMES.get(name, name)] = column
    # what was made of several columns is said last
    units |= {name[1:]: words for name, words in told.items() if name.startswith("=")}
    units = {name: column for name, column in units.items() if not name.endswith("_err") and not name.startswith("psf")}
    level = reading.format.level if reading.format is not None else "component"
    return reading.name, level, out, units, _left_out(reading), reading.guessed


def _choose_places(reading: FinderColumns, wcs: WCS | None) -> str:
    """Return where positions are: "sky", "pixels", or the names of galactic columns."""
    there = reading.columns
    if {"ra", "dec"} <= there.keys():
        return "sky"
    if {"x", "y"} <= there.keys():
        if wcs is None:
            raise ValueError(f"wcs must be given for positions in pixels ({reading.own[there['x'][0]][0]}, "
                             f"{reading.own[there['y'][0]][0]}), got None")
        there.pop("ra", None)
        there.pop("dec", None)
        return "pixels"
    for lon, lat in _GALACTIC:
        if lon in reading.own and lat in reading.own:
            return f"{lon} {lat}"
    return "sky"


def _limits(reading: FinderColumns, values: Rows) -> None:
    """Make nothing of sizes that are upper limits, as VizieR flags them."""
    flag = f"l_{reading.columns['b_maj'][0]}" if "b_maj" in reading.columns else ""
    if flag in reading.own:
        limit = np.char.strip(np.asarray(reading.data[reading.own[flag][0]]).astype(str)) == "<"
        for name in ("b_maj", "b_min"):
            if name in values:
                values[name] = np.where(limit, 0.0, values[name])


def _sdc1(reading: FinderColumns, values: Rows) -> None:
    """Put the sizes of an entry of the challenge into FWHM, its angles east of north."""
    kind = reading.need("class")
    rows, problems = sdc1_rows({**values, "size": reading.need("size"), "class": kind})
    if problems:
        raise ValueError(f"catalogue must have {'; '.join(problems)}")
    factor = np.where(rows["kind"] == "exponential", _DISC, 1.0)
    values |= {"b_maj": factor * rows["b_maj"], "b_min": factor * rows["b_min"], "pa": rows["pa"]}
    values["label"] = np.array([_SDC1_CLASSES[one] for one in kind.astype(int).tolist()], dtype=str)
    reading.columns["label"] = ("class", None)


def _fluxes(reading: FinderColumns, values: Rows, out: Rows, told: dict[str, str], wcs: WCS | None,
            beam: Axes | None) -> None:
    """Turn sums of pixels into fluxes."""
    area = reading.format.area if reading.format is not None else ""
    if "flux" in values and "flux" not in reading.given and area in reading.own and "peak" in values and (
            reading.own_unit("flux") is None):
        pixels = reading.need(area)
        pixels = np.where(pixels > 0, pixels, np.nan)
        # a Gaussian's flux over its peak is its area in beams, but of a sum of pixels in pixels
        known = np.isfinite(values["flux"] / np.where(values["peak"] > 0, values["peak"], np.nan) * pixels)
        ratio = np.median(values["flux"][known] / values["peak"][known]) if known.any() else np.inf
        if known.any() and ratio < np.sqrt(np.median(pixels[known])):
            reading.guessed.append("fluxes are taken to be in Jy, and no sums of pixels, as small as they are beside "
                                   "peaks")
        else:
            for name in ("flux", "flux_err"):
                if name in out:
                    out[name] = out[name] / pixels
            told["=flux"] = f"{told['flux'].partition(' (')[0]} (Jy / beam), a sum of pixels, over {area}"
    if "flux_sum" in values:
        if reading.is_flux():
            out["flux"] = values["flux_sum"]
        else:
            out["flux_sum"] = values["flux_sum"]
            told["=flux"] = f"{told['flux_sum']}, a sum of pixels, over the beam's area"
            if "flux_sum_err" in values:
                out["flux_sum_err"] = values["flux_sum_err"]
            add_sums(out, wcs, beam)
            return
        if "flux_sum_err" in values:
            out["flux_err"] = values["flux_sum_err"]


def add_sums(out: Rows, wcs: WCS | None, beam: Axes | None) -> None:
    """Put fluxes (Jy) in the place of sums of pixels in Jy/beam, ``flux_sum`` and ``flux_sum_err``.

    Raises
    ------
    ValueError
        If ``wcs`` or ``beam`` is None.
    """
    if wcs is None or beam is None:
        raise ValueError("wcs and beam must be given for sums of pixels, which are fluxes only over the beam's area in "
                         f"pixels, got {'no wcs' if wcs is None else 'no beam'}")
    solid = np.pi / (4 * np.log(2)) * beam[0] * beam[1] * _ARCSEC**2
    known = np.isfinite(out["ra"]) & (np.abs(out["dec"]) <= 90)
    share = np.full(len(known), np.nan)
    if known.any():
        share[known] = pixel_area(wcs, *icrs_to_pixel(wcs, out["ra"][known], out["dec"][known])) / solid
    for name in ("flux_sum", "flux_sum_err"):
        if name in out:
            out[name.replace("_sum", "")] = out.pop(name) * share


def _sizes(reading: FinderColumns, values: Rows, out: Rows, told: dict[str, str], wcs: WCS | None, beam: Axes | None,
           turn: np.ndarray) -> None:
    """Add sizes as fitted, with the beam in them, and without it; one of the other where the beam is known."""
    n = len(out["ra"])
    nothing = np.full(n, np.nan)
    factor = _IN_FWHM[reading.format.widths] if reading.format is not None else 1.0
    fitted = [values.get(f"fitted_{name}", nothing) for name in ("maj", "min", "pa")]
    fitted = [factor * fitted[0], factor * fitted[1], fitted[2] + turn]
    bare = [values.get("b_maj", nothing), values.get("b_min", nothing), values.get("pa", nothing) + turn]
    if "pixel_maj" in values and wcs is not None and "fitted_maj" not in values:
        known = np.isfinite(out["ra"]) & (np.abs(out["dec"]) <= 90)
        x, y = (np.where(known, place, np.nan) for place in icrs_to_pixel(
            wcs, np.where(known, out["ra"], 0.0), np.where(known, out["dec"], 0.0)))
        axes = [values.get(f"pixel_{name}", nothing) for name in ("maj", "min", "pa")]
        zero = reading.format.turn if reading.format is not None else 0.0
        fitted = list(ellipse_on_sky(wcs, x, y, factor * axes[0], factor * axes[1], axes[2] + zero))
    for name in ("maj", "min"):
        if f"fitted_{name}_err" in values:
            out[f"b_{name}_err"] = factor * values[f"fitted_{name}_err"]
    if "fitted_pa_err" in values:
        out["pa_err"] = values["fitted_pa_err"]
    psf = [values[f"psf_{name}"] for name in ("maj", "min", "pa")] if "psf_maj" in values else (
        None if beam is None else [np.full(n, part) for part in beam])
    names = ("b_maj", "b_min", "pa"), ("deconv_maj", "deconv_min", "deconv_pa")
    if psf is not None and np.isnan(bare[0]).all() and np.isfinite(fitted[0]).any():
        bare = list(subtract_beam(*fitted, *psf))
        told |= {f"={name}": "fitted sizes without the beam" for name in names[1]}
    elif psf is not None and np.isnan(fitted[0]).all() and np.isfinite(bare[0]).any():
        fitted = list(_with_beam(bare, psf))
        told |= {f"={name}": "sizes without the beam, and it" for name in names[0]}
    for keys, axes in zip(names, (fitted, bare), strict=True):
        out |= dict(zip(keys, axes, strict=True))


def _with_beam(bare: list[np.ndarray], psf: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return axes and angles of Gaussians with the beam in them; second moments add up."""
    known = np.isfinite(bare[0]) & np.isfinite(bare[1])
    width, across, angle = (np.nan_to_num(one) for one in bare)
    covariance = ellipse_covariance(width, across, np.radians(angle))
    major, minor, pa = ellipse_axes(covariance + ellipse_covariance(psf[0], psf[1], np.radians(psf[2])))
    return np.where(known, major, np.nan), np.where(known, minor, np.nan), np.where(known, np.degrees(pa), np.nan)


def _numbered(words: np.ndarray) -> np.ndarray:
    """Return a number for each, -1 for none and for numbers below zero, which say that there is no fit."""
    names, number = np.unique(words, return_inverse=True)
    if names.dtype.kind in "iu":
        return np.where(names < 0, -1, np.arange(len(names)))[number]
    signed = np.strings.startswith(names, "-")
    nothing = np.isin(names, ("", "--", "nan"))
    nothing[signed] |= np.strings.isdigit(np.strings.lstrip(names[signed], "-"))
    return np.where(nothing, -1, np.arange(len(names)))[number]


def _left_out(reading: FinderColumns) -> dict[str, np.ndarray]:
    """Return which rows do not count, by why."""
    out: dict[str, np.ndarray] = {}
    if reading.format is not None and reading.format.keep is not None:
        name, good = reading.format.keep
        flags = reading.numbers(name)
        if flags is not None:
            out[f"duplicates by {name}"] = ~good(flags)
    if reading.name.startswith("PyBDSF"):
        number = reading.numbers("source_id")
        if number is not None:
            out["islands without a fit"] = number < 0
    return out
