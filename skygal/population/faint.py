"""Faint sources whose brightness is a formula: star-forming discs, and active nuclei too small for a stamp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.checks import as_count, as_quantity, as_seed
from skygal.io.header_wcs import celestial
from skygal.population.columns import LARGEST_ID, bad_ids, describe_bad, read_columns
from skygal.population.counts import COUNTS_SPECTRAL_INDEX, CountedFlux, read_counts
from skygal.population.distributions import sample_values
from skygal.population.positions import sample_positions
from skygal.population.sample import as_flux, sample_number
from skygal.population.spectra import SPECTRAL_INDEX, SPECTRAL_SCATTER
from skygal.population.tables import as_table
from skygal.rendering.analytic.sources import EXPONENTIAL, GAUSSIAN, KINDS, POINT
from skygal.seeds import Seeds
from skygal.wcs import image_shape, pixel_to_icrs

__all__ = ["check_faint", "counted_to", "number_apart", "sample_faint"]

#: Jy at 1.4 GHz: where half of the sources are powered by jets, the share of which is 1 / (1 + JET_FLUX / S). So it is
#: a quarter at 0.1 mJy, where star-forming galaxies are half of all sources, and radio-quiet nuclei, which are like
#: them, as many as radio-loud ones (Padovani et al. 2015, 2015MNRAS.452.1263P), and 6 % at 20 uJy. In the first SKA
#: Science Data Challenge at 560 MHz, of mostly fainter sources, it is 5 % (Bonaldi et al. 2021, 2021MNRAS.500.3821B).
JET_FLUX = 3e-4
#: what part of those is compact, with a flat spectrum: 0.020 of 0.051 in that challenge, taken for all fluxes
COMPACT_SHARE = 0.39
#: median FWHM, arcsec, of microjansky sources, most of them star-forming, and scatter of its logarithm: 0.3 +- 0.1 with
#: an rms of at most 0.3 (Cotton et al. 2018, 2018ApJ...856...67C)
DISC_SIZE, DISC_SCATTER = 0.3, 0.7
#: the FWHM of a disc of radius 1 that holds half of its light, as in that paper, and that radius in scale lengths
DISC_FWHM, HALF_LIGHT = 2.43, 1.678
#: median FWHM, arcsec, of faint nuclei that outshine their galaxies' star formation (Bondi et al. 2018,
#: 2018A&A...618L...8B), nearly the same at all redshifts; the scatter is taken from the discs
JET_SIZE = 0.25
#: axis ratio of a disc that is seen from the side (Hubble 1926, 1926ApJ....64..321H)
DISC_THICKNESS = 0.2
#: spectral index of compact cores, nominal
FLAT_INDEX = -0.1
#: axis ratios of the Gaussians, nominal
LEAST_RATIO, LARGEST_RATIO = 0.4, 0.85
#: fluxes by default: at 1.4 GHz from here on, and up to here, above which sources are mostly radio galaxies
FAINTEST_FLUX, BRIGHTEST_FLUX = 20 * u.uJy, 1 * u.mJy
#: in a table's meta, as FITS keeps it: the flux in Jy up to which its sources follow the source counts
COUNTED_TO = "COUNTSTO"

_UNITS = {"source_id": u.one, "ra": u.deg, "dec": u.deg, "x": u.one, "y": u.one, "flux": u.Jy, "kind": None,
          "b_maj": u.arcsec, "b_min": u.arcsec, "pa": u.deg, "spectral_index": u.one, "curvature": u.one,
          "redshift": u.one, "population": None, "parent_id": u.one}
_DEFAULTS = {"population": "", "pa": 0.0, "spectral_index": SPECTRAL_INDEX, "curvature": 0.0, "redshift": np.nan}


def sample_faint(wcs: WCS, shape: Sequence[int] | None = None, n: int | None = None, *, frequency: u.Quantity,
                 flux: Any = None, seed: int | None = None) -> QTable:
    """Draw a population of faint sources.

    Parameters
    ----------
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    n : int, optional
        How many. By default a Poisson number about what the source counts expect in the flux range and
        the image's solid angle.
    frequency : `~astropy.units.Quantity`
        Of the fluxes.
    flux : (Quantity, Quantity), Quantity or distribution, optional
        Range of the source counts, or a distribution. By default from 20 uJy at 1.4 GHz to
        1 mJy.
    seed : int, optional
        The same seed gives the same sources.

    Returns
    -------
    `~astropy.table.QTable`
        source_id, ra and dec (ICRS, deg), flux (Jy), kind ("point", "gaussian" or "exponential"), b_maj and b_min
        (arcsec: FWHM of Gaussians, scale lengths of exponential discs, 0 for points), pa (deg east of north),
        spectral_index, redshift (NaN). Where the fluxes follow the source counts, ``meta["COUNTSTO"]`` is the end
        of their range in Jy: `skygal.simulate_field` and `skygal.inject` begin galaxies there, so that no part of the
        counts is on the sky twice.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed.

    Notes
    -----
    Star-forming galaxies are exponential discs, with scale lengths of 0.074" in the median and random inclinations.
    At flux S, 1.4 GHz, the part 1 / (1 + 0.3 mJy / S) of the sources is powered by jets instead: two fifths of them are
    points with flat spectra, the others Gaussians with FWHMs of 0.25" in the median. This is a rough
    picture, for fluxes below a millijansky: sizes do not depend on flux, redshifts are not drawn and positions are not
    clustered. The counts are those of `Sky`, ``read_counts(deep=True)``, and begin at 10 nJy at 1.4 GHz.

    The first sources are the same if more are drawn.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.population import sample_faint
    >>> from skygal.wcs import make_wcs
    >>> wcs = make_wcs("12h00m00s +30d00m00s", 256, 1.8 * u.arcsec)
    >>> faint = sample_faint(wcs, n=1000, frequency=1.4 * u.GHz, seed=1)
    >>> len(faint), bool(faint["flux"].max() <= 1 * u.mJy)
    (1000, True)
    """
    wcs = celestial(wcs)
    shape = image_shape(wcs, shape)
    seeds = Seeds(as_seed("seed", seed))
    hertz = as_quantity("frequency", frequency, u.Hz) * u.Hz
    counts = read_counts(deep=True).at(hertz.to(u.GHz))
    faintest = FAINTEST_FLUX * (hertz.to_value(u.MHz) / 1400) ** COUNTS_SPECTRAL_INDEX
    fluxes = as_flux((faintest, min(BRIGHTEST_FLUX, counts.high)) if flux is None else flux, counts)
    n = sample_number("n", fluxes, wcs, shape, seeds.generator("faint: number")) if n is None else as_count("n", n)

    def stream(name: str) -> np.random.Generator:
        return seeds.generator(f"faint: {name}")

    ra, dec = sample_positions(wcs, shape, n, stream("position"))
    flux = sample_values("flux", fluxes, n, stream("flux"), u.Jy)
    at_1400 = flux * (1400 / hertz.to_value(u.MHz)) ** COUNTS_SPECTRAL_INDEX
    jets = 1 / (1 + JET_FLUX / at_1400)
    chance = stream("kind").random(n)
    compact = chance < COMPACT_SHARE * jets
    kind = np.array(KINDS)[np.where(compact, POINT, np.where(chance < jets, GAUSSIAN, EXPONENTIAL))]
    disc = kind == "exponential"
    median = np.select([disc, kind == "gaussian"], [DISC_SIZE / (DISC_FWHM * HALF_LIGHT), JET_SIZE], 0.0)
    major = median * np.exp(DISC_SCATTER * stream("size").standard_normal(n))
    share = stream("axis ratio").random(n)
    inclined = np.sqrt(share**2 * (1 - DISC_THICKNESS**2) + DISC_THICKNESS**2)
    ratio = np.where(disc, inclined, LEAST_RATIO + (LARGEST_RATIO - LEAST_RATIO) * share)
    index = np.where(kind == "point", FLAT_INDEX, SPECTRAL_INDEX)
    index = index + SPECTRAL_SCATTER * stream("spectra").standard_normal(n)
    meta = {COUNTED_TO: float(fluxes.high.to_value(u.Jy))} if isinstance(fluxes, CountedFlux) else {}
    return QTable({"source_id": np.arange(1, n + 1), "ra": ra * u.deg, "dec": dec * u.deg, "flux": flux * u.Jy,
                   "kind": kind, "b_maj": major * u.arcsec, "b_min": ratio * major * u.arcsec,
                   "pa": 180 * stream("pa").random(n) * u.deg, "spectral_index": index,
                   "redshift": np.full(n, np.nan)}, meta=meta)


def check_faint(table: Any, wcs: WCS) -> QTable:
    """Return a table of faint sources, checked.

    Parameters
    ----------
    table : `~astropy.table.Table` or path
        With the columns flux, kind ("point", "gaussian" or "exponential") and ra and dec, or x and y (0-based pixels);
        b_maj and b_min, where one is no point; and, if given, source_id, pa, spectral_index, curvature, redshift,
        which are otherwise numbers from 1, 0, -0.72, 0 and unknown. See `sample_faint` for units.
    wcs : `~astropy.wcs.WCS`
        For x and y.

    Raises
    ------
    FileNotFoundError, TypeError
        If it is no table, or there is no such file.
    ValueError
        If a column is missing or has a wrong unit, or rows are not allowed; the message counts the bad rows of
        each column and shows the first ten.
    """
    data = as_table(table, "faint")
    columns = read_columns(data, _UNITS, what="faint")
    missing = [name for name in ("flux", "kind") if name not in columns]
    if "ra" not in columns and "x" not in columns:
        missing += ["ra", "dec"]
    if missing:
        raise ValueError("faint must have the columns flux, kind, ra and dec (or x and y), missing "
                         f"{', '.join(missing)}")
    n = len(data)
    kind = columns["kind"]
    if "b_maj" not in columns or "b_min" not in columns:
        if (kind != "point").any():
            raise ValueError("faint must have the columns b_maj and b_min where not all sources are points, got neither"
                             " or one")
        columns["b_maj"] = columns["b_min"] = np.zeros(n)
    columns.setdefault("source_id", np.arange(1.0, n + 1))
    for name, value in _DEFAULTS.items():
        columns.setdefault(name, np.full(n, value))
    problems = [describe_bad(rule, bad) for rule, bad in _bad_rows(columns) if bad.any()]
    if not problems and "x" in columns:
        columns["ra"], columns["dec"] = pixel_to_icrs(wcs, columns["x"], columns["y"])
        off = ~np.isfinite(columns["ra"])
        problems = [describe_bad("x and y where the image has sky", off)] if off.any() else []
    if problems:
        raise ValueError(f"faint must have {'; '.join(problems)}")
    columns["source_id"] = columns["source_id"].astype(np.int64)
    columns["parent_id"] = columns.get("parent_id", columns["source_id"]).astype(np.int64)
    point = kind == "point"
    for name in ("b_maj", "b_min"):
        columns[name] = np.where(point, 0.0, columns[name])
    columns["ra"], columns["pa"] = columns["ra"] % 360, columns["pa"] % 180
    return QTable({name: columns[name] if unit is None or unit == u.one else columns[name] * unit
                   for name, unit in _UNITS.items() if name not in ("x", "y")},
                  meta={name: value for name, value in data.meta.items() if name == COUNTED_TO})


def counted_to(table: QTable | None) -> u.Quantity | None:
    """Return the flux up to which faint sources follow the source counts; None where they do not or it is not known."""
    if table is None or COUNTED_TO not in table.meta:
        return None
    try:
        return as_quantity(f"faint ({COUNTED_TO})", float(table.meta[COUNTED_TO]) * u.Jy, u.Jy) * u.Jy
    except (TypeError, ValueError):
        raise ValueError(f"faint must have a positive flux in Jy as {COUNTED_TO} in its meta, got "
                         f"{table.meta[COUNTED_TO]!r}") from None


def number_apart(ids: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return numbers of sources that others have not: ``ids`` themselves if none of these is taken.

    Else they are numbered on from the largest that is taken; where that would pass `LARGEST_ID`, they get the lowest
    numbers that are free.
    """
    if not np.isin(ids, taken).any():
        return ids
    if ids.max() + int(taken.max()) <= LARGEST_ID:
        return ids + int(taken.max())
    return np.setdiff1d(np.arange(1, len(ids) + len(taken) + 1), taken)[:len(ids)]


def _bad_rows(columns: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Return what each column must be, and which rows are not."""
    kind, extended = columns["kind"], columns["kind"] != "point"
    major, minor = columns["b_maj"], columns["b_min"]
    with np.errstate(invalid="ignore"):
        checks = [(f"kind one of {', '.join(KINDS)}", ~np.isin(kind, KINDS)),
                  *bad_ids(columns["source_id"]),
                  ("positive, finite flux", ~(np.isfinite(columns["flux"]) & (columns["flux"] > 0))),
                  ("positive, finite b_maj of what is no point", extended & ~(np.isfinite(major) & (major > 0))),
                  ("b_min above 0 and at most b_maj of what is no point", extended & ~((minor > 0) & (minor <= major)))]
        if "dec" in columns:
            checks.append(("ra from -360 to 360 deg", ~(np.abs(columns["ra"]) <= 360)))
            checks.append(("dec from -90 to 90 deg", ~(np.abs(columns["dec"]) <= 90)))
        if "redshift" in columns:
            checks.append(("redshift positive, or NaN where it is unknown",
                           np.isinf(columns["redshift"]) | (columns["redshift"] <= 0)))
    return checks + [(f"finite {name}", ~np.isfinite(columns[name]))
                     for name in ("x", "y", "pa", "spectral_index", "curvature") if name in columns]
