"""Rates, errors and counts of a catalogue, from which row is which source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from skygal.observation.ellipse import ellipse_axes, ellipse_covariance
from skygal.scoring.intervals import wilson
from skygal.scoring.matching import DETECTABLE
from skygal.scoring.records import Curve, Detections, Matches, TruthSet
from skygal.scoring.truth import offsets

__all__ = ["SNR_EDGES", "component_errors", "convolved_axes", "count_association", "count_classes", "make_curves",
           "measure_hosts", "middle", "row_snr"]

#: ends of the bins of signal-to-noise ratio
SNR_EDGES = np.array([3, 4, 5, 6, 7, 8, 10, 15, 20, 30, 50, 100, 300, 1000, np.inf])
#: ends of the bins of the bending of the arms, degrees, and of the distance to the nearest other source, in beams
BENDING_EDGES = np.array([0, 5, 10, 20, 30, 45, 60, 90, 180.0])
NEIGHBOUR_EDGES = np.array([0, 1, 2, 3, 5, 8, 12, 20, np.inf])
#: ends of the bins of the largest size, in beams
LAS_EDGES = np.array([0, 0.5, 1, 2, 3, 5, 8, 12, 20, 50, np.inf])
#: what holds half of the spread of a normal distribution, as one sigma
_MAD = 1.4826
ABOVE = f"snr of at least {DETECTABLE:g}"


def row_snr(found: Detections, truth: TruthSet, matches: Matches) -> tuple[np.ndarray, str]:
    """Return the signal-to-noise ratio of each row, and in words what its noise is.

    The peak (the flux where there is none) over the catalogue's own rms, or over the noise of the truth: at the row's
    source, or the median of all.
    """
    signal = np.where(np.isfinite(found.peak), found.peak, found.flux)
    typical = truth.hosts["local_rms"][truth.hosts["local_rms"] > 0]
    noise = np.full(len(found), np.median(typical) if typical.size else np.nan)
    of_host = matches.host_of_row >= 0
    noise[of_host] = truth.hosts["local_rms"][matches.host_of_row[of_host]]
    own = np.isfinite(found.rms) & (found.rms > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = signal / np.where(own, found.rms, noise)
    words = "the catalogue's own rms" if own.all() and len(found) else (
        "the catalogue's own rms where it has one, else the truth's" if own.any() else "the truth's rms")
    return snr, words


def make_curves(truth: TruthSet, found: Detections, matches: Matches) -> tuple[Curve, ...]:
    """Return completeness and reliability, of components and of sources, against what they may depend on.

    Completeness is the share of true components that have a row of their own, or of sources that have one at all, in
    bins of true quantities; reliability the share of rows that are a component's own, or in a source, in bins of
    measured ones. Against all but flux and signal-to-noise ratio, completeness is that of those which can be found
    (at least 5 sigma). Rows outside the image count for nothing.
    """
    hosts = truth.hosts
    seen = matches.rows_of_host > 0
    can = hosts["snr"] >= DETECTABLE
    beam = float(np.sqrt(truth.beam[0] * truth.beam[1]))
    curves = []

    def numbers(rate: str, level: str, against: str, unit: str, values: np.ndarray, hit: np.ndarray, edges: np.ndarray,
                selection: str = "") -> None:
        if len(edges) > 1:
            curves.append(_binned(rate, level, against, unit, values, hit, edges, selection))

    def words(level: str, against: str, values: np.ndarray, hit: np.ndarray) -> None:
        names = tuple(sorted({str(value) for value in values}))
        if any(names):
            curves.append(_named(level, against, values, hit, names))

    flux = hosts["flux_in_image"]
    numbers("completeness", "host", "snr", "", hosts["snr"], seen, SNR_EDGES)
    numbers("completeness", "host", "flux", "Jy", flux, seen, log_edges(flux))
    numbers("completeness", "host", "las", "beams", hosts["las"][can] / beam, seen[can], LAS_EDGES, ABOVE)
    numbers("completeness", "host", "neighbour", "beams", hosts["neighbour"][can] / beam, seen[can], NEIGHBOUR_EDGES,
            ABOVE)
    bent = can & np.isfinite(hosts["bending"])
    numbers("completeness", "host", "bending", "deg", hosts["bending"][bent], seen[bent],
            BENDING_EDGES if bent.any() else np.empty(0), ABOVE)
    for column in ("fr_class", "population", "morphology"):
        words("host", column, hosts[column][can], seen[can])
    if truth.components is not None:
        parts, own = truth.components, matches.row_of_component >= 0
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = parts["peak_flux"] / hosts["local_rms"][parts["host"]]
        numbers("completeness", "component", "snr", "", snr, own, SNR_EDGES)
        numbers("completeness", "component", "flux", "Jy", parts["flux"], own, log_edges(parts["flux"]))
        strong = snr >= DETECTABLE
        words("component", "kind", parts["kind"][strong], own[strong])
        for column in ("fr_class", "population"):
            words("component", column, hosts[column][parts["host"]][strong], own[strong])
    inside = ~matches.outside
    signal, _ = row_snr(found, truth, matches)
    for level, owner in (("host", matches.host_of_row), ("component", matches.component_of_row)):
        if level == "component" and truth.components is None:
            continue
        hit = owner[inside] >= 0
        numbers("reliability", level, "snr", "", signal[inside], hit, SNR_EDGES)
        numbers("reliability", level, "flux", "Jy", found.flux[inside], hit, log_edges(found.flux[inside]))
    return tuple(curves)


def log_edges(values: np.ndarray) -> np.ndarray:
    """Return ends of bins, four a factor of ten at round numbers, that hold all positive values; none for none."""
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return np.empty(0)
    steps = np.arange(np.floor(4 * np.log10(values.min())), np.ceil(4 * np.log10(values.max())) + 1)
    steps = steps if len(steps) > 1 else np.r_[steps, steps + 1]
    edges = 10**(steps / 4)
    edges[-1] = max(edges[-1], np.nextafter(values.max(), np.inf))
    return edges


def _binned(rate: str, level: str, against: str, unit: str, values: np.ndarray, hit: np.ndarray, edges: np.ndarray,
            selection: str) -> Curve:
    place = np.digitize(values, edges) - 1
    place[np.isinf(values) & (values > 0)] = len(edges) - 2 if np.isinf(edges[-1]) else len(edges)
    good = np.isfinite(values) | (values == np.inf)
    good &= (place >= 0) & (place < len(edges) - 1)
    total = np.bincount(place[good], minlength=len(edges) - 1)
    hits = np.bincount(place[good & hit], minlength=len(edges) - 1)
    return Curve(rate, level, against, unit, edges, (), hits, total, *wilson(hits, total), selection)


def _named(level: str, against: str, values: np.ndarray, hit: np.ndarray, names: tuple[str, ...]) -> Curve:
    hits = np.array([np.count_nonzero(hit & (values == name)) for name in names])
    total = np.array([np.count_nonzero(values == name) for name in names])
    return Curve("completeness", level, against, "", np.empty(0), tuple(name or "unknown" for name in names), hits,
                 total, *wilson(hits, total), ABOVE)


def convolved_axes(hosts: Mapping[str, np.ndarray], beam: tuple[float, float, float]) -> tuple[np.ndarray, ...]:
    """Return major and minor axis (FWHM, arcsec) and position angle (deg) of sources with the beam in them.

    This is what finders fit; the second moments of source and beam add up (Wild 1970, 1970AuJPh..23..113W).
    """
    axes = ellipse_covariance(np.nan_to_num(hosts["b_maj"]), np.nan_to_num(hosts["b_min"]),
                              np.radians(np.nan_to_num(hosts["pa"])))
    major, minor, pa = ellipse_axes(axes + ellipse_covariance(beam[0], beam[1], np.radians(beam[2])))
    return major, minor, np.degrees(pa) % 180


def component_errors(truth: TruthSet, found: Detections, matches: Matches) -> dict[str, list[dict[str, Any]]]:
    """Return how far matched rows are off, by signal-to-noise ratio, by class and by kind.

    Returns
    -------
    dict of str to list of dict
        Under ``snr``, ``population``, ``fr_class`` and ``kind``; of each bin its name (``bin``), ``n``, and of each
        quantity median and scatter (1.4826 times the median of the absolute deviations): ``ra``, ``dec`` (arcsec, on
        the sky, row less truth), ``flux`` and ``peak`` (row over truth), ``b_maj`` and ``b_min`` (with the beam in
        them, row over truth) and ``pa`` (deg, row less truth). Sizes and angles are those of sources of one component,
        angles those of which the axes differ by more than 20 %: parts of a galaxy have no Gaussian's. None where
        nothing is known.
    """
    rows = np.flatnonzero(matches.component_of_row >= 0)
    part = matches.component_of_row[rows]
    hosts = truth.hosts
    if truth.components is None:
        at, host, kind = hosts, part, np.full(len(part), "whole")
        flux = hosts["flux_in_image"][part]
    else:
        at, host, kind = truth.components, truth.components["host"][part], truth.components["kind"][part]
        flux = at["flux"][part]
    east, north = offsets(at["ra"][part], at["dec"][part], found.ra[rows], found.dec[rows])
    major, minor, pa = (values[host] for values in convolved_axes(hosts, truth.beam))
    whole = (kind == "whole") & (hosts["b_maj"][host] >= 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        long = whole & (major > 1.2 * minor) & (found.b_maj[rows] > 1.05 * found.b_min[rows])
        off = {"ra": east, "dec": north, "flux": found.flux[rows] / flux,
               "peak": found.peak[rows] / at["peak_flux"][part],
               "b_maj": np.where(whole, found.b_maj[rows] / major, np.nan),
               "b_min": np.where(whole, found.b_min[rows] / minor, np.nan),
               "pa": np.where(long, (found.pa[rows] - pa + 90) % 180 - 90, np.nan)}
        snr = at["peak_flux"][part] / hosts["local_rms"][host]
    groups: dict[str, tuple[list[str], Callable[[int], np.ndarray]]] = {
        "snr": (snr_names(), lambda k: (snr >= SNR_EDGES[k]) & ((snr < SNR_EDGES[k + 1]) | np.isinf(SNR_EDGES[k + 1])))}
    out = {"snr": _spread(off, *groups["snr"])}
    for name, values in (("population", hosts["population"][host]), ("fr_class", hosts["fr_class"][host]),
                         ("kind", kind)):
        names = sorted({str(value) for value in values} - {""})
        out[name] = _spread(off, names, partial(_is, values, names))
    return out


def _is(values: np.ndarray, names: list[str], k: int) -> np.ndarray:
    return values == names[k]


def snr_names() -> list[str]:
    """Return the bins of signal-to-noise ratio in words."""
    return [f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
            for low, high in zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True)]


def _spread(off: Mapping[str, np.ndarray], names: list[str], chosen: Callable[[int], np.ndarray]) -> list[dict]:
    out = []
    for k, name in enumerate(names):
        here = chosen(k)
        if not here.any():
            continue
        row: dict[str, Any] = {"bin": name, "n": int(here.sum())}
        for quantity, values in off.items():
            row[quantity], row[f"{quantity}_scatter"] = middle(values[here])
        out.append(row)
    return out


def middle(values: np.ndarray) -> tuple[float | None, float | None]:
    """Return median and scatter (1.4826 times the median absolute deviation) of what is finite; None of nothing."""
    values = values[np.isfinite(values)]
    if not values.size:
        return None, None
    half = float(np.median(values))
    return half, _MAD * float(np.median(np.abs(values - half)))


def measure_hosts(truth: TruthSet, found: Detections, matches: Matches) -> dict[str, Any]:
    """Return how sources were taken apart and put together.

    Returns
    -------
    dict
        ``recovered``: for all sources found with at least 5 sigma, by class, population and signal-to-noise ratio, the
        sum of the rows' fluxes over the true flux in the image: median, 16 % and 84 %; ``rows``: how many rows such a
        source has in the mean, and how many sources have one, two ... rows; ``blends``: how many rows hold one, two ...
        sources of at least 3 sigma and a tenth of its flux.
    """
    hosts = truth.hosts
    owner = matches.host_of_row
    of_host = owner >= 0
    total = np.bincount(owner[of_host], np.nan_to_num(found.flux[of_host]), len(truth))
    with np.errstate(divide="ignore", invalid="ignore"):
        recovered = total / hosts["flux_in_image"]
    known = np.bincount(owner[of_host], np.isfinite(found.flux[of_host]), len(truth)) > 0
    counted = (matches.rows_of_host > 0) & (hosts["snr"] >= DETECTABLE)
    groups: dict[str, list[tuple[str, np.ndarray]]] = {"all": [("all", counted)]}
    for column in ("population", "fr_class", "morphology"):
        groups[column] = [(name, counted & (hosts[column] == name))
                          for name in sorted({str(value) for value in hosts[column][counted]} - {""})]
    groups["snr"] = [(name, counted & (hosts["snr"] >= low) & ((hosts["snr"] < high) | np.isinf(high)))
                     for name, low, high in zip(snr_names(), SNR_EDGES[:-1], SNR_EDGES[1:], strict=True)]
    out: dict[str, Any] = {}
    for group, bins in groups.items():
        out[group] = []
        for name, here in bins:
            if here.any():
                values = recovered[here & known]
                low, half, high = np.percentile(values, (16, 50, 84)).tolist() if values.size else (None,) * 3
                out[group].append({"bin": name, "n": int(here.sum()), "recovered": half, "recovered_low": low,
                                   "recovered_high": high, "rows": float(matches.rows_of_host[here].mean()),
                                   "split": float((matches.rows_of_host[here] > 1).mean())})
    return {"recovered": out, "rows": _histogram(matches.rows_of_host[counted], 5),
            "blends": _histogram(matches.hosts_of_row[of_host], 5)}


def _histogram(values: np.ndarray, most: int) -> dict[str, int]:
    """Return how many are 1, 2 ..., and ``most`` or more."""
    count = np.bincount(np.minimum(values, most), minlength=most + 1)
    return {**{str(k): int(count[k]) for k in range(1, most)}, f"{most} or more": int(count[most])}


def count_association(found: Detections, matches: Matches) -> dict[str, Any] | None:
    """Return how well the catalogue's own groups of rows are sources, over pairs of rows; None if it has no groups.

    Purity is the share of pairs with one parent that are of one source, completeness the share of pairs of one source
    that have one parent, F1 their harmonic mean. Rows of no source count as a source of their own.
    """
    use = ~matches.outside & (found.parent >= 0)
    if not use.any():
        return None
    parent, host = found.parent[use], matches.host_of_row[use].astype(np.int64)
    host = np.where(host < 0, -1 - np.arange(len(host)), host)

    def pairs(*keys: np.ndarray) -> int:
        _, count = np.unique(np.stack(keys), axis=1, return_counts=True)
        return int((count.astype(np.int64) * (count - 1) // 2).sum())

    both, same_parent, same_host = pairs(parent, host), pairs(parent), pairs(host)
    purity = both / same_parent if same_parent else None
    completeness = both / same_host if same_host else None
    f1 = 2 * both / (same_parent + same_host) if same_parent + same_host else None
    return {"pairs_of_parent": same_parent, "pairs_of_source": same_host, "pairs_of_both": both, "purity": purity,
            "completeness": completeness, "f1": f1}


def count_classes(truth: TruthSet, found: Detections, matches: Matches) -> dict[str, Any] | None:
    """Return which class the catalogue gives to sources of each true class; None if it has no classes.

    A source has the class of its brightest row; the true class is the FR class, or else the population.
    """
    if not np.any(found.label != ""):
        return None
    rows = np.flatnonzero(matches.host_of_row >= 0)
    flux = np.nan_to_num(found.flux[rows], nan=-np.inf)
    order = np.lexsort((found.label[rows], -flux, matches.host_of_row[rows]))
    owner = matches.host_of_row[rows][order]
    first = order[np.r_[True, owner[1:] != owner[:-1]]] if len(order) else order
    host, given = matches.host_of_row[rows][first], found.label[rows][first]
    hosts = truth.hosts
    classed = ~np.isin(hosts["fr_class"], ("", "none"))
    true = np.where(classed, hosts["fr_class"], hosts["population"])[host]
    names, labels = sorted({str(value) for value in true}), sorted({str(value) for value in given})
    counts = [[int(np.count_nonzero((true == name) & (given == label))) for label in labels] for name in names]
    return {"truth": [name or "unknown" for name in names], "catalogue": [label or "none" for label in labels],
            "counts": counts}
