"""Catalogues of T-RECS (Bonaldi et al. 2019, 2019MNRAS.482....2B, and its second version, Bonaldi & Hartley 2023).

Three dialects are read, told apart by their columns: those of 2018, with ``PopFlag``; later ones, with ``RadioClass``;
and these with the columns of HI before them, where names that both have end in ``_1``. Units are those of the
names, whatever the file says, and -100 is what is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from skygal.population.catalogue_rows import AGN_RATIO, EITHER, Columns
from skygal.population.columns import describe_bad
from skygal.population.sky import LINE_FWHM

__all__ = ["flux_columns", "nearest_fluxes", "trecs_rows"]

#: what is not known
UNKNOWN = -100.0
#: late-type galaxies, spheroids and lensed ones; flat-spectrum quasars and BL Lacs; steep-spectrum AGN
STAR_FORMING, FLAT, STEEP = (1, 2, 3), (4, 5), 6
#: the distance of its hotspots over its size above which a steep-spectrum AGN is FRII, as in the SKA data challenges
FRII_ABOVE = 0.5
#: what part of the flux of flat-spectrum AGN is in their core, the mean that the SKA data challenges took
CORE_FRACTION = 0.75


def flux_columns(names: Iterable[str]) -> dict[float, str]:
    """Return the columns of fluxes by their frequency in MHz, rising.

    Examples
    --------
    >>> from skygal.population.trecs import flux_columns
    >>> flux_columns(["I1400", "P1400", "I150", "I1T", "IT"])
    {150.0: 'I150', 1400.0: 'I1400', 1000000.0: 'I1T'}
    """
    found = {}
    for name in names:
        # six digits that are left out; of IT it is not known which
        match = re.fullmatch(r"i(\d+)(t?)", name.strip().lower())
        if match:
            found[float(match[1]) * (1e6 if match[2] else 1.0)] = name
    return dict(sorted(found.items()))


def trecs_rows(get: Callable[[str], np.ndarray | None], names: Iterable[str], frequency: float | None
               ) -> tuple[Columns, np.ndarray, list[str]]:
    """Return the sources, which rows they are, and what is wrong with rows.

    Parameters
    ----------
    get : callable
        Returns the numbers of a column, lower case, or None.
    names : iterable of str
        Of all columns.
    frequency : float or None
        Hz; may be left out where the catalogue has one.

    Raises
    ------
    ValueError
        If its frequencies do not reach the one that is asked for, or one must be asked for.
    """
    def column(name: str) -> np.ndarray | None:
        values = get(f"{name}_1")
        return _unknown(get(name) if values is None else values)

    of_class = column("radioclass")
    kind = column("popflag") if of_class is None else of_class
    assert kind is not None
    # rows of HI without a counterpart
    rows = np.flatnonzero(~np.isnan(kind) if get("mhi") is not None else np.ones(len(kind), bool))
    kind = kind[rows]
    flux, index, problems = _fluxes(get, nearest_fluxes(names, frequency), frequency, rows)
    out = {"ra": get("longitude")[rows], "dec": get("latitude")[rows],  # type: ignore[index]
           "flux": flux, "spectral_index": index, "redshift": _unknown(get("redshift"))[rows]}  # type: ignore[index]
    bad = ~np.isin(kind, (*STAR_FORMING, *FLAT, STEEP))
    if bad.any():
        problems.append(describe_bad("a class (RadioClass, PopFlag) from 1 to 6", bad))
    disc, steep = np.isin(kind, STAR_FORMING), kind == STEEP
    own: dict[str, Any] = {name: None if values is None else values[rows] for name, values in (
        (name, column(name)) for name in ("size", "bmaj", "bmin", "pa", "e1", "e2", "rs"))}
    size = own["size"]
    major, minor, pa = _discs(own)
    jets = np.where(steep, LINE_FWHM * size, size)
    out["b_maj"], out["b_min"] = np.where(disc, major, jets), np.where(disc, minor, AGN_RATIO * jets)
    # jets stand on the disc of HI, as in the SKA data challenges
    hi = get("pa") if get("pa_1") is not None else None
    out["pa"] = np.where(disc, pa, np.nan if hi is None else (_unknown(hi)[rows] + 90) % 180)
    out["las"] = np.where(steep & (size > 0), size, np.nan)
    out["kind"] = np.where(disc, "exponential", "gaussian")
    hotspots = own["rs"] if own["rs"] is not None else np.full(len(rows), np.nan)
    fr = np.where(hotspots > FRII_ABOVE, "FRII", np.where(hotspots > 0, "FRI", EITHER))
    out["population"] = np.where(disc, "SFG", np.where(steep, fr, "FR0"))
    out["core_frac"] = np.where(np.isin(kind, FLAT), CORE_FRACTION, 0.0)
    return out, rows, problems


def _unknown(values: np.ndarray | None) -> Any:
    return None if values is None else np.where(values == UNKNOWN, np.nan, values)


def _discs(own: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scale lengths along both axes (arcsec) and angles (deg) of discs."""
    size = own["size"]
    if own["bmaj"] is not None and own["bmin"] is not None:
        pa = np.full(len(size), np.nan) if own["pa"] is None else own["pa"]
        return own["bmaj"], own["bmin"], pa
    if own["e1"] is None or own["e2"] is None:
        return size, size, np.full(len(size), np.nan)
    # |e| = (a - b) / (a + b); the size is the geometric mean of the axes, as later catalogues have it
    ellipticity = np.hypot(own["e1"], own["e2"])
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt((1 - ellipticity) / (1 + ellipticity))
        return size / root, size * root, np.degrees(np.arctan2(own["e2"], own["e1"])) / 2 % 180


def nearest_fluxes(names: Iterable[str], frequency: float | None) -> dict[float, str]:
    """Return the columns of fluxes, by MHz, between which a frequency (Hz) lies; the only one, if there is one.

    Raises
    ------
    ValueError
        If there are none, the frequency is not between any, or is None where there are several.
    """
    columns = flux_columns(names)
    known = list(columns)
    shown = f"{', '.join(f'{value:g}' for value in known)} MHz"
    if not known:
        raise ValueError("catalogue must have fluxes in columns such as I1400, of T-RECS at 1400 MHz, got none")
    if frequency is None and len(known) > 1:
        raise ValueError(f"frequency must be given where a catalogue of T-RECS has several, {shown}, got None")
    wanted = known[0] if frequency is None else frequency / 1e6
    if not known[0] * (1 - 1e-6) <= wanted <= known[-1] * (1 + 1e-6):
        raise ValueError(f"frequency must be within those of the catalogue, {shown}, got {wanted:g} MHz")
    k = int(np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, max(len(known) - 2, 0)))
    return {value: columns[value] for value in known[k:k + 2]}


def _fluxes(get: Callable[[str], np.ndarray | None], columns: dict[float, str], frequency: float | None,
            rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return fluxes (Jy) and spectral indices at a frequency, on the power law between one column or two."""
    ends, problems = [], []
    for name in columns.values():
        flux = get(name.strip().lower())[rows]  # type: ignore[index]
        with np.errstate(invalid="ignore"):
            bad = ~(np.isfinite(flux) & (flux > 0))
        if bad.any():
            problems.append(describe_bad(f"positive, finite {name}", bad))
        ends.append(np.where(bad, 1.0, flux))
    if len(ends) == 1:
        return 1e-3 * ends[0], np.full(len(rows), np.nan), problems
    first, last = columns
    index = np.log(ends[1] / ends[0]) / np.log(last / first)
    return 1e-3 * ends[0] * ((frequency or 0.0) / 1e6 / first)**index, index, problems
