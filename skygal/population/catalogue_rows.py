"""From the columns of a catalogue to sources: what each row is, by stated rules.

Sources are columns of numbers: ra, dec, pa (deg), flux (Jy), population, kind, las, b_maj, b_min (arcsec), core_frac,
spectral_index, curvature, redshift. NaN stands for what is not known; the population is ``AGN`` where a radio galaxy
may be FRI or FRII, and empty where it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skygal.population.columns import describe_bad
from skygal.population.sky import LINE_FWHM
from skygal.population.sky_parts import CLASSES

__all__ = ["AGN_RATIO", "EITHER", "Columns", "check_rows", "plain_rows", "sdc1_rows", "subtract_beam"]

Columns = dict[str, np.ndarray]

#: a radio galaxy of which it is not known whether it is FRI or FRII
EITHER = "AGN"
#: axis ratio where none is known, the median of the steep-spectrum AGN in the training set of the first SKA Science
#: Data Challenge at 560 MHz (Bonaldi et al. 2021, 2021MNRAS.500.3821B)
AGN_RATIO = 0.59
#: what of a size is left at least where the beam is all of it in one direction
LEAST_RATIO = 1e-3
#: of sizes in that challenge
LAS, FWHM, SCALE_LENGTH = 1, 2, 3


def plain_rows(columns: Columns, n: int, *, sources: bool, beam: tuple[float, float, float] | None) -> Columns:
    """Return the sources of a catalogue of points and Gaussians, or of one's own columns.

    Parameters
    ----------
    columns : dict of str to ndarray
        Quantities of `skygal.population.catalogue_formats.QUANTITIES`.
    n : int
        Number of rows.
    sources : bool
        Whether a row that is made of several Gaussians is a radio galaxy.
    beam : (float, float, float), optional
        Major and minor axis (FWHM, arcsec) and angle (deg) of the beam in the fitted sizes.

    Raises
    ------
    ValueError
        If there are fitted sizes alone and their beam is not known, or one axis alone.
    """
    out = {name: values for name, values in columns.items()
           if not name.startswith(("fitted_", "psf_")) and name != "components"}
    if "b_maj" in out and "fitted_maj" in columns:
        # the finder could not take the beam from it
        for name in ("b_maj", "b_min"):
            if name in out:
                out[name] = np.where(np.isnan(out[name]) & np.isfinite(columns["fitted_maj"]), 0.0, out[name])
    elif "fitted_maj" in columns:
        out["b_maj"], out["b_min"], out["pa"] = _without_beam(columns, n, beam)
    if "b_min" not in out and "b_maj" in out:
        raise ValueError("catalogue must have both axes of the sources, b_maj and b_min, got no b_min")
    if "population" not in out:
        several = np.isin(columns["components"], ("M", "m")) if sources and "components" in columns else False
        known = columns["las"] > 0 if "las" in columns else False
        out["population"] = np.where(np.broadcast_to(several | known, n), EITHER, "")
    out.setdefault("las", np.full(n, np.nan))
    if "b_maj" not in out:
        out["b_maj"] = LINE_FWHM * np.nan_to_num(out["las"])
        out["b_min"] = AGN_RATIO * out["b_maj"]
    out.setdefault("kind", np.where(out["b_maj"] == 0, "point", "gaussian"))
    return out


def _without_beam(columns: Columns, n: int, beam: tuple[float, float, float] | None) -> tuple[np.ndarray, ...]:
    lacking = [name for name in ("fitted_min", "fitted_pa") if name not in columns]
    if lacking:
        raise ValueError(f"catalogue must have both axes and the angle of fitted sizes, got no {lacking[0]}")
    if "psf_maj" in columns:
        psf = tuple(columns[name] for name in ("psf_maj", "psf_min", "psf_pa"))
    elif beam is not None:
        psf = tuple(np.full(n, value) for value in beam)
    else:
        raise ValueError("beam must be given where the catalogue has fitted sizes alone, so that it can be taken from "
                         "them, got None")
    return subtract_beam(*(columns[f"fitted_{name}"] for name in ("maj", "min", "pa")), *psf)


def subtract_beam(major: np.ndarray, minor: np.ndarray, pa: np.ndarray, beam_major: np.ndarray,
                  beam_minor: np.ndarray, beam_pa: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return major and minor axis and position angle of Gaussians without the beam.

    All axes are FWHM in one unit, all angles in degrees. An axis that is not larger than the beam is 0.

    Notes
    -----
    Second moments subtract (Wild 1970, 1970AuJPh..23..113W).
    """
    def moments(a: Any, b: Any, angle: Any) -> np.ndarray:
        s, c = np.sin(np.radians(angle)), np.cos(np.radians(angle))
        return np.array([a**2 * s**2 + b**2 * c**2, a**2 * c**2 + b**2 * s**2, (a**2 - b**2) * s * c])

    east, north, both = moments(major, minor, pa) - moments(beam_major, beam_minor, beam_pa)
    mean, half = (east + north) / 2, np.hypot((north - east) / 2, both)
    angle = np.degrees(np.arctan2(2 * both, north - east)) / 2 % 180
    # of a source like the beam rounding leaves 1e-8 of it
    least = 1e-12 * np.asarray(major)**2
    axes = [np.sqrt(np.where(square > least, square, np.where(np.isnan(square), np.nan, 0.0)))
            for square in (mean + half, mean - half)]
    return axes[0], axes[1], angle


def sdc1_rows(columns: Columns) -> tuple[Columns, list[str]]:
    """Return the sources of a catalogue of the first SKA Science Data Challenge, and what is wrong with its rows.

    Notes
    -----
    ``pa`` counts clockwise from west there; ``size`` says what the axes are of. Star-forming galaxies are discs, the
    flat-spectrum AGN compact, the steep-spectrum ones FRI or FRII.
    """
    size, kind = columns["size"], columns["class"]
    problems = [describe_bad(rule, bad) for rule, bad in (
        ("class 1 (steep-spectrum AGN), 2 (flat-spectrum AGN) or 3 (star-forming galaxy)", ~np.isin(kind, (1, 2, 3))),
        ("size 1 (LAS), 2 (FWHM) or 3 (scale length)", ~np.isin(size, (LAS, FWHM, SCALE_LENGTH))),
    ) if bad.any()]
    factor = np.where(size == LAS, LINE_FWHM, 1.0)
    out = {name: columns[name] for name in ("ra", "dec", "flux", "core_frac")}
    out["population"] = np.select([kind == 1, kind == 2], [EITHER, "FR0"], "SFG")
    # pa is that of b_maj, which may be the smaller one
    across = columns["b_min"] > columns["b_maj"]
    major, minor = (np.where(across, columns[a], columns[b]) for a, b in (("b_min", "b_maj"), ("b_maj", "b_min")))
    out["las"] = np.where((size == LAS) & (major > 0), major, np.nan)
    out["b_maj"], out["b_min"] = factor * major, factor * minor
    out["pa"] = (90 - columns["pa"] + np.where(across, 90, 0)) % 180
    out["kind"] = np.where(size == SCALE_LENGTH, "exponential", "gaussian")
    return out, problems


def check_rows(columns: Mapping[str, np.ndarray], kinds: tuple[str, ...]) -> list[str]:
    """Return what the sources must be and are not, each with its rows."""
    with np.errstate(invalid="ignore"):
        flux, major, minor, las = (columns[name] for name in ("flux", "b_maj", "b_min", "las"))
        drawn = np.isin(columns["kind"], [kind for kind in kinds if kind != "point"])
        checks: list[tuple[str, Any]] = [
            ("ra from -360 to 360 deg", ~(np.abs(columns["ra"]) <= 360)),
            ("dec from -90 to 90 deg", ~(np.abs(columns["dec"]) <= 90)),
            ("positive, finite flux", ~(np.isfinite(flux) & (flux > 0))),
            (f"kind one of {', '.join(kinds)}", ~np.isin(columns["kind"], kinds)),
            (f"population one of {', '.join(CLASSES)} or empty",
             ~np.isin(columns["population"], (*CLASSES, EITHER, ""))),
            ("b_maj finite, and 0 where there is no size", drawn & ~(np.isfinite(major) & (major >= 0))),
            ("b_min from 0 to b_maj", drawn & ~((minor >= 0) & (minor <= major))),
            ("las from 0, or NaN where it is unknown", np.isinf(las) | (las < 0)),
            ("redshift positive, or NaN where it is unknown",
             np.isinf(columns["redshift"]) | (columns["redshift"] <= 0)),
            ("core_frac from 0 to 1", ~((columns["core_frac"] >= 0) & (columns["core_frac"] <= 1))),
        ]
    checks += [(f"finite {name}, or NaN where it is unknown", np.isinf(columns[name]))
               for name in ("pa", "spectral_index", "curvature")]
    return [describe_bad(rule, bad) for rule, bad in checks if np.any(bad)]

