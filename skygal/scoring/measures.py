"""Rates, errors and counts of a catalogue, from which row is which source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skygal.observation.ellipse import ellipse_covariance
from skygal.scoring.intervals import wilson
from skygal.scoring.likelihood import convolved_axes
from skygal.scoring.matching import DETECTABLE
from skygal.scoring.records import Curve, Detections, Matches, TruthSet
from skygal.scoring.truth import offsets
from skygal.wcs import pixel_affine, pixel_to_icrs

__all__ = ["SNR_EDGES", "component_errors", "component_offsets", "component_peaks", "component_snr",
           "count_association", "count_classes", "edge_names", "make_curves", "measure_hosts", "middle", "row_snr"]

#: ends of the bins of signal-to-noise ratio
SNR_EDGES = np.array([3, 4, 5, 6, 7, 8, 10, 15, 20, 30, 50, 100, 300, 1000, np.inf])
#: ends of the bins of the bending of the arms, degrees, and of the distance to the nearest other source, in beams
BENDING_EDGES = np.array([0, 5, 10, 20, 30, 45, 60, 90, 180.0])
NEIGHBOUR_EDGES = np.array([0, 1, 2, 3, 5, 8, 12, 20, np.inf])
#: ends of the bins of the largest size, in beams
LAS_EDGES = np.array([0, 0.5, 1, 2, 3, 5, 8, 12, 20, 50, np.inf])
#: what holds half of the spread of a normal distribution, as one sigma
_MAD = 1.4826
#: names of groups, and what is in each
Groups = list[tuple[str, np.ndarray]]
#: what completeness is told against, of the source
_NUMBERS, _WORDS = ("las", "neighbour", "bending", "n_components"), ("fr_class", "population", "morphology")
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
    bins of true quantities: ``snr`` and ``flux`` (of the component, or of the source in the image), and of the source
    ``las`` and ``neighbour`` (beams), ``bending`` (deg), ``fr_class``, ``population``, ``morphology`` and
    ``n_components``; of components their ``kind`` too. Reliability is the share of rows that are a component's own, or
    in a source, in bins of measured ``snr`` and ``flux``. Against all but flux and signal-to-noise ratio, completeness
    is that of those which can be found (at least 5 sigma). Rows that are outside count for nothing.
    """
    curves = []
    if truth.components is not None:
        parts = truth.components
        columns = {name: truth.hosts[name][parts["host"]] for name in (*_NUMBERS, *_WORDS, "local_rms")}
        columns |= {"flux": parts["flux"], "kind": parts["kind"], "snr": component_snr(truth)}
        curves += _completeness("component", columns, matches.row_of_component >= 0, truth)
    columns = {name: truth.hosts[name] for name in (*_NUMBERS, *_WORDS, "snr")}
    columns["flux"] = truth.hosts["flux_in_image"]
    curves += _completeness("host", columns, matches.rows_of_host > 0, truth)
    inside = ~matches.outside
    signal, _ = row_snr(found, truth, matches)
    for level, owner in (("host", matches.host_of_row), ("component", matches.component_of_row)):
        if level == "component" and truth.components is None:
            continue
        hit = owner[inside] >= 0
        for against, unit, values, edges in (("snr", "", signal, SNR_EDGES),
                                             ("flux", "Jy", found.flux, log_edges(found.flux[inside]))):
            curves.append(_binned("reliability", level, against, unit, values[inside], hit, edges, ""))
    return tuple(curve for curve in curves if len(curve.hits))


def component_snr(truth: TruthSet) -> np.ndarray:
    """Return the signal-to-noise ratios of components, infinite without noise."""
    assert truth.components is not None
    rms = truth.hosts["local_rms"][truth.components["host"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rms > 0, truth.components["peak_flux"] / rms, np.inf)


def component_peaks(truth: TruthSet) -> np.ndarray:
    """Return the peaks of components, Jy/beam, as fits find them: between pixels.

    Truth has the largest pixel, which with three pixels to the beam is lower by some 5 %. It stands on the side of the
    maximum, as far from it as ``x_peak`` and ``y_peak`` say, of the Gaussian that has the beam's shape and the
    component's flux: at the offset d in the beam's standard deviations, and with the flux over the peak as area A,
    lower by exp(-d^2 / 2 A). Without an image the pixels are not known, and it is the largest pixel.
    """
    assert truth.components is not None
    parts = truth.components
    pixel = parts["peak_flux"]
    if truth.wcs is None or truth.shape is None or not len(pixel):
        return pixel
    ny, nx = truth.shape
    onto = pixel_affine(truth.wcs, *pixel_to_icrs(truth.wcs, (nx - 1) / 2, (ny - 1) / 2))[0]
    precision = np.linalg.inv(onto @ ellipse_covariance(truth.beam[0], truth.beam[1], np.radians(truth.beam[2]))
                              @ onto.T)
    offset = np.stack([parts[name] - np.rint(parts[name]) for name in ("x_peak", "y_peak")], axis=-1)
    half = np.full(len(pixel), np.inf)
    # the largest pixel is the nearest by the beam's own measure
    for step in np.ndindex(3, 3):
        away = offset + np.array(step) - 1
        half = np.fmin(half, np.einsum("ni,ij,nj->n", away, precision, away) / 2)
    half[np.isinf(half)] = 0
    peak = pixel.copy()
    # the area follows from the peak that is looked for: four rounds take it to 1e-4
    for _ in range(4):
        with np.errstate(divide="ignore", invalid="ignore"):
            peak = pixel * np.exp(half / np.maximum(np.nan_to_num(parts["flux"] / peak, nan=1.0), 1))
    return peak


def _completeness(level: str, columns: Mapping[str, np.ndarray], hit: np.ndarray, truth: TruthSet) -> list[Curve]:
    """Return completeness of one level against each quantity."""
    beam = float(np.sqrt(truth.beam[0] * truth.beam[1]))
    can = columns["snr"] >= DETECTABLE
    out = [_binned("completeness", level, "snr", "", columns["snr"], hit, SNR_EDGES, ""),
           _binned("completeness", level, "flux", "Jy", columns["flux"], hit, log_edges(columns["flux"]), "")]
    for against, unit, scale, edges in (("las", "beams", beam, LAS_EDGES), ("bending", "deg", 1.0, BENDING_EDGES),
                                        ("neighbour", "beams", beam, NEIGHBOUR_EDGES)):
        if np.isfinite(columns[against][can]).any():
            out.append(_binned("completeness", level, against, unit, columns[against][can] / scale, hit[can], edges,
                               ABOVE))
    words = {name: columns[name] for name in (*_WORDS, "kind") if name in columns}
    words["n_components"] = np.array(["1", "2", "3", "4 or more"])[np.clip(columns["n_components"], 1, 4) - 1]
    for against, values in words.items():
        if any(names := tuple(np.unique(values[can]).tolist())):
            out.append(_named(level, against, values[can], hit[can], names))
    return out


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
    if len(edges) < 2:
        nothing = np.empty(0, np.int64)
        return Curve(rate, level, against, unit, edges, (), nothing, nothing, np.empty(0), np.empty(0), selection)
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


def component_errors(truth: TruthSet, found: Detections, matches: Matches) -> dict[str, list[dict[str, Any]]]:
    """Return how far matched rows are off, by signal-to-noise ratio, by class and by kind.

    Returns
    -------
    dict of str to list of dict
        Under ``snr``, ``population``, ``fr_class`` and ``kind``; of each bin its name (``bin``), ``n``, and of each
        quantity median, ``..._scatter`` (1.4826 times the median of the absolute deviations) and ``..._error``, the
        median's standard error: ``ra``, ``dec`` (arcsec, on the sky, row less truth), ``flux``, ``peak`` (row over
        truth, see `component_peaks`), ``b_maj`` and ``b_min`` (with the beam in them, row over truth) and ``pa`` (deg,
        row less truth). Sizes and angles are those of sources of one component, angles those of which the axes differ
        by more than 20 %: parts of a galaxy have no Gaussian's. Sources that the image's border cuts are left out. None
        where nothing is known.
    """
    off, of = component_offsets(truth, found, matches)
    out = {"snr": _spread(off, _in_bins(of["snr"], SNR_EDGES))}
    for name in ("population", "fr_class", "kind"):
        out[name] = _spread(off, _in_words(of[name]))
    return out


def component_offsets(truth: TruthSet, found: Detections, matches: Matches
                      ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return how far each matched row is off, and what it is matched with.

    Returns
    -------
    off : dict of str to ndarray, shape (n,)
        The quantities of `component_errors`; NaN where one is not known.
    of : dict of str to ndarray, shape (n,)
        Number of the row (``row``), and of its component ``snr``, ``population``, ``fr_class`` and ``kind``.
    """
    rows = np.flatnonzero(matches.component_of_row >= 0)
    part = matches.component_of_row[rows]
    hosts = truth.hosts
    whole_in = ~hosts["edge"][part if truth.components is None else truth.components["host"][part]]
    rows, part = rows[whole_in], part[whole_in]
    if truth.components is None:
        at, host, kind = hosts, part, np.full(len(part), "whole")
        flux, peak = hosts["flux_in_image"][part], hosts["peak_flux"][part]
    else:
        at, host, kind = truth.components, truth.components["host"][part], truth.components["kind"][part]
        flux, peak = at["flux"][part], component_peaks(truth)[part]
    east, north = offsets(at["ra"][part], at["dec"][part], found.ra[rows], found.dec[rows])
    major, minor, pa = convolved_axes(hosts["b_maj"][host], hosts["b_min"][host], hosts["pa"][host], truth.beam)
    # of a source that is drawn in parts, a part has no axes of its own here
    whole = (kind == "whole") & (hosts["n_components"][host] == 1) & (hosts["b_maj"][host] >= 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        long = whole & (major > 1.2 * minor) & (found.b_maj[rows] > 1.05 * found.b_min[rows])
        off = {"ra": east, "dec": north, "flux": found.flux[rows] / flux, "peak": found.peak[rows] / peak,
               "b_maj": np.where(whole, found.b_maj[rows] / major, np.nan),
               "b_min": np.where(whole, found.b_min[rows] / minor, np.nan),
               "pa": np.where(long, (found.pa[rows] - pa + 90) % 180 - 90, np.nan)}
        snr = np.where(hosts["local_rms"][host] > 0, at["peak_flux"][part] / hosts["local_rms"][host], np.inf)
    return off, {"row": rows, "snr": snr, "kind": kind, **{name: hosts[name][host] for name in ("population",
                                                                                               "fr_class")}}


def _in_bins(values: np.ndarray, edges: np.ndarray) -> Groups:
    """Return which values are in each bin; the last one has its upper end too, if that is infinite."""
    return [(name, (values >= low) & ((values < high) | np.isinf(high)))
            for name, low, high in zip(edge_names(edges), edges[:-1], edges[1:], strict=True)]


def _in_words(values: np.ndarray) -> Groups:
    return [(name, values == name) for name in np.unique(values).tolist() if name]


def edge_names(edges: np.ndarray) -> list[str]:
    """Return bins in words."""
    return [f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
            for low, high in zip(edges[:-1], edges[1:], strict=True)]


def _spread(off: Mapping[str, np.ndarray], groups: Groups) -> list[dict[str, Any]]:
    out = []
    for name, here in groups:
        if here.any():
            row: dict[str, Any] = {"bin": name, "n": int(here.sum())}
            for quantity, values in off.items():
                row |= _named_middle(quantity, values[here])
            out.append(row)
    return out


def _named_middle(quantity: str, values: np.ndarray) -> dict[str, float | None]:
    """Return median, scatter and standard error of the median, which is that of the mean times sqrt(pi / 2)."""
    half, scatter = middle(values)
    n = np.count_nonzero(np.isfinite(values))
    error = None if scatter is None else float(np.sqrt(np.pi / 2) * scatter / np.sqrt(n))
    return {quantity: half, f"{quantity}_scatter": scatter, f"{quantity}_error": error}


def middle(values: np.ndarray) -> tuple[float | None, float | None]:
    """Return median and scatter (1.4826 times the median absolute deviation) of what is finite; None of nothing.

    One value has no scatter.
    """
    values = values[np.isfinite(values)]
    if not values.size:
        return None, None
    half = float(np.median(values))
    return half, _MAD * float(np.median(np.abs(values - half))) if values.size > 1 else None


def measure_hosts(truth: TruthSet, found: Detections, matches: Matches) -> dict[str, Any]:
    """Return how sources were taken apart and put together.

    Returns
    -------
    dict
        ``recovered``: for all sources found with at least 5 sigma, by class, population, morphology, signal-to-noise
        ratio and largest size (``las``, beams), the sum of the rows' fluxes over the true flux in the image: median,
        16 % and 84 %; rows a source, the share of sources in several rows (``split``), and how far the flux of the rows
        is off to the east (``ra``) and to the north (``dec``, arcsec): median, scatter, standard error. ``rows``: how
        many such sources have one, two ... rows; ``blends``: how many rows hold one, two ... sources of at least 3
        sigma and a tenth of the flux of their own.
    """
    hosts = truth.hosts
    owner = matches.host_of_row
    of_host = owner >= 0
    total = np.bincount(owner[of_host], np.nan_to_num(found.flux[of_host]), len(truth))
    with np.errstate(divide="ignore", invalid="ignore"):
        recovered = total / hosts["flux_in_image"]
    known = np.bincount(owner[of_host], np.isfinite(found.flux[of_host]), len(truth)) > 0
    counted = (matches.rows_of_host > 0) & (hosts["snr"] >= DETECTABLE)
    east, north = _host_offsets(truth, found, matches)
    groups: dict[str, Groups] = {"all": [("all", counted)]}
    groups |= {column: _in_words(hosts[column]) for column in _WORDS}
    groups["snr"] = _in_bins(hosts["snr"], SNR_EDGES)
    groups["las"] = _in_bins(hosts["las"] / np.sqrt(truth.beam[0] * truth.beam[1]), LAS_EDGES)
    out: dict[str, Any] = {}
    for group, bins in groups.items():
        out[group] = []
        for name, those in bins:
            here = those & counted
            if here.any():
                values = recovered[here & known]
                low, half, high = np.percentile(values, (16, 50, 84)).tolist() if values.size else (None,) * 3
                out[group].append({"bin": name, "n": int(here.sum()), "recovered": half, "recovered_low": low,
                                   "recovered_high": high, "rows": float(matches.rows_of_host[here].mean()),
                                   "split": float((matches.rows_of_host[here] > 1).mean()),
                                   **_named_middle("ra", east[here]), **_named_middle("dec", north[here])})
    return {"recovered": out, "rows": _histogram(matches.rows_of_host[counted], 5),
            "blends": _histogram(matches.hosts_of_row[of_host], 5)}


def _host_offsets(truth: TruthSet, found: Detections, matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Return how far east and north of its true place the flux of each source's rows is, arcsec; NaN where unknown."""
    hosts, n = truth.hosts, len(truth)
    rows = np.flatnonzero((matches.host_of_row >= 0) & (found.flux > 0))
    host, flux = matches.host_of_row[rows], found.flux[rows]
    way = offsets(hosts["ra"][host], hosts["dec"][host], found.ra[rows], found.dec[rows])
    total = np.bincount(host, flux, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        east, north = (np.where(hosts["edge"], np.nan, np.bincount(host, flux * part, n) / total) for part in way)
    return east, north


def _histogram(values: np.ndarray, most: int) -> dict[str, int]:
    """Return how many are 1, 2 ..., and ``most`` or more."""
    count = np.bincount(np.minimum(values, most), minlength=most + 1)
    return {**{str(k): int(count[k]) for k in range(1, most)}, f"{most} or more": int(count[most])}


def count_association(found: Detections, matches: Matches) -> dict[str, Any] | None:
    """Return how well the catalogue's own groups of rows are sources, over pairs of rows; None if it has no groups.

    Purity is the share of pairs with one parent that are of one source, completeness the share of pairs of one source
    that have one parent, F1 their harmonic mean. Rows of no source count as a source of their own, and rows without a
    parent as a group of their own. ``sources`` are those of several rows, ``whole`` those of which all rows have one
    parent, which has no others.
    """
    use = ~matches.outside
    if not (found.parent[use] >= 0).any():
        return None
    alone = -1 - np.arange(int(use.sum()))
    parent, host = (np.unique(np.where(key[use] >= 0, key[use], alone), return_inverse=True)[1]
                    for key in (found.parent, matches.host_of_row))
    cell, number = np.unique(parent.astype(np.int64) * len(host) + host, return_counts=True)
    of_parent, of_host = np.bincount(parent), np.bincount(host)
    same_parent, same_host, both = (int((count.astype(np.int64) * (count - 1) // 2).sum())
                                    for count in (of_parent, of_host, number))
    purity = both / same_parent if same_parent else None
    completeness = both / same_host if same_host else None
    f1 = 2 * both / (same_parent + same_host) if same_parent + same_host else None
    whole = (number > 1) & (number == of_parent[cell // len(host)]) & (number == of_host[cell % len(host)])
    return {"pairs_of_parent": same_parent, "pairs_of_source": same_host, "pairs_of_both": both, "purity": purity,
            "completeness": completeness, "f1": f1, "sources": int((of_host > 1).sum()), "whole": int(whole.sum())}


def count_classes(truth: TruthSet, found: Detections, matches: Matches) -> dict[str, Any] | None:
    """Return which class the catalogue gives to sources of each true class; None if it has no classes.

    A source has the class of its brightest row that has one. The true class is, under ``against``, whichever of
    ``fr_class``, ``population`` and ``morphology`` shares most words with the catalogue; FR1, FR-I and FR I are FRI.
    ``right`` of ``total`` sources have the same word in both.
    """
    rows = np.flatnonzero((matches.host_of_row >= 0) & (found.label != ""))
    if not rows.size:
        return None
    flux = np.nan_to_num(found.flux[rows], nan=-np.inf)
    order = rows[np.lexsort((found.label[rows], -flux, matches.host_of_row[rows]))]
    owner = matches.host_of_row[order]
    first = order[np.r_[True, owner[1:] != owner[:-1]]]
    host, given = matches.host_of_row[first], np.array([_plain_class(word) for word in found.label[first].tolist()])
    columns = {name: np.array([_plain_class(word) for word in truth.hosts[name][host].tolist()]) for name in _WORDS}
    against = max(_WORDS, key=lambda name: int(np.isin(given, columns[name]).sum()))
    true = columns[against]
    names, i = np.unique(true, return_inverse=True)
    labels, j = np.unique(given, return_inverse=True)
    counts = np.zeros((len(names), len(labels)), np.int64)
    np.add.at(counts, (i, j), 1)
    return {"against": against, "truth": [name or "unknown" for name in names.tolist()], "catalogue": labels.tolist(),
            "counts": counts.tolist(), "right": int((true == given).sum()), "total": len(true)}


def _plain_class(word: str) -> str:
    """Return a class in the words of the truth."""
    short = "".join(word.upper().split()).replace("-", "").replace("_", "")
    return {"FR1": "FRI", "FR2": "FRII"}.get(short, short) if short.startswith("FR") else word.strip()
