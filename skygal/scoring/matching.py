"""Which row of a catalogue is which component, one to one, and in which source's footprint each row lies.

Everything is on the sphere, and nothing depends on the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from skygal.observation.ellipse import ellipse_covariance
from skygal.scoring.records import Detections, Matches, TruthSet
from skygal.scoring.truth import LEAST_NEIGHBOUR, offsets
from skygal.wcs import icrs_to_pixel, unit_vectors

__all__ = ["DETECTABLE", "Pairs", "assign", "find_pairs", "match"]

#: signal-to-noise ratio above which a source is expected to be found
DETECTABLE = 5.0
#: what a finder's Gaussian and a component of truth differ by without any noise: of position, in parts of the width;
#: of flux and of size, in parts of their mean
POSITION_FLOOR, FLUX_FLOOR, SIZE_FLOOR = 0.1, 0.3, 0.3
#: pairs further apart than so many standard deviations are not looked at
FARTHEST = 5.0
#: range, in the natural logarithm, over which flux and size of a row that stands somewhere by chance may lie
FLUX_RANGE, SIZE_RANGE = float(np.log(1e3)), float(np.log(10.0))
#: a row that is brighter than so many times a source and the noise on it can ever be is not of that source
TOO_BRIGHT, NOISE_ON_IT = 2.0, 3.0
#: share of a row's flux of a source that counts as blended with it
LEAST_BLEND = 0.1
#: pairs of a group up to which it is solved as a full matrix
LARGEST_MATRIX = 250_000
#: rows that are looked up at once
CHUNK = 200_000
_ARCSEC = np.pi / 180 / 3600


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows and components that may belong together.

    Attributes
    ----------
    row, component : ndarray of int, shape (n,)
    distance : ndarray, shape (n,)
        Arcsec.
    likelihood : ndarray, shape (n,)
        Logarithm of how much likelier the pair is than a row that stands there by chance; all are above 0.
    """

    row: np.ndarray
    component: np.ndarray
    distance: np.ndarray
    likelihood: np.ndarray


def match(truth: TruthSet, found: Detections) -> Matches:
    r"""Match the rows of a catalogue with the components and the sources of truth.

    Parameters
    ----------
    truth : TruthSet
    found : Detections

    Returns
    -------
    Matches

    Raises
    ------
    ValueError
        If no row is where the truth is: they are of different fields.

    Notes
    -----
    Components are matched one to one so that the sum of the pairs' log-likelihood ratios is greatest (the assignment
    problem, solved exactly). The ratio is that of Sutherland & Saunders (1992), 1992MNRAS.259..413S: the density of
    position, flux and size that is expected of the counterpart, over that of rows that stand there by chance, which are
    as dense on the sky as the components are and spread evenly over a factor of 1000 in flux and of 10 in size. All
    three are normal: of position with :math:`\theta / (2 S)` (:math:`\theta` the width of beam and component together,
    :math:`S` the signal-to-noise ratio; Condon 1997, 1997PASP..109..166C) and :math:`0.1\,\theta` added in quadrature;
    of the difference of fluxes, and of sizes, in parts of their mean :math:`m`, with :math:`v / (S m)` of the true value
    :math:`v`, and 0.3, since what a finder fits and a part of a galaxy are not the same thing even without noise. Size
    is that of the round Gaussian of a component's flux and peak, and it counts where the catalogue has sizes or peaks.
    A pair that is no likelier than chance is never made.

    A row that is matched with a component belongs to its source. Another belongs to the source that it is matched with
    as a whole, by the same likelihood; else to the one that the segmentation has at its pixel; where it has none, to
    the one whose ellipse (LAS and beam together) holds it, the nearest by the ellipse's own measure; and to none that
    could not be as bright even with the noise on it. What is left belongs to the brightest source whose middle lies in
    the row's own extent.
    """
    outside = _outside(truth, found)
    _check_overlap(truth, found, outside)
    n = len(found)
    component_of_row, distance, likelihood = np.full(n, -1), np.full(n, np.nan), np.full(n, np.nan)
    m = len(truth) if truth.components is None else len(truth.components["ra"])
    row_of_component = np.full(m, -1)
    target = _targets(truth)
    pairs = find_pairs(truth, target, found, ~outside)
    chosen = assign(pairs, n, m)
    component_of_row[pairs.row[chosen]] = pairs.component[chosen]
    row_of_component[pairs.component[chosen]] = pairs.row[chosen]
    distance[pairs.row[chosen]], likelihood[pairs.row[chosen]] = pairs.distance[chosen], pairs.likelihood[chosen]
    covers = _covered(truth, found, outside)
    host_of_row = _hosts(truth, target["host"], component_of_row, found, outside, covers)
    rows_of_host = np.bincount(host_of_row[host_of_row >= 0], minlength=len(truth))
    row, source = covers
    counted = _worth_a_row(truth, found, row, source) | (host_of_row[row] == source)
    hosts_of_row = np.bincount(row[counted], minlength=n)
    hosts_of_row = np.where(host_of_row >= 0, np.maximum(hosts_of_row, 1), hosts_of_row)
    covered = np.zeros(len(truth), bool)
    covered[source[(host_of_row[row] >= 0) & (host_of_row[row] != source)]] = True
    snr = truth.hosts["snr"]
    missed = rows_of_host == 0
    why = np.select([~missed, missed & (snr < DETECTABLE), missed & covered], ["", f"below {DETECTABLE:g} sigma",
                                                                              "blended"], "not found")
    return Matches(component_of_row, row_of_component, distance, likelihood, host_of_row, rows_of_host, hosts_of_row,
                   why, outside)


def _outside(truth: TruthSet, found: Detections) -> np.ndarray:
    """Return which rows lie outside the image; none where there is none."""
    if truth.wcs is None or truth.shape is None or not len(found):
        return np.zeros(len(found), bool)
    x, y = icrs_to_pixel(truth.wcs, found.ra, found.dec)
    ny, nx = truth.shape
    inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    if truth.image is not None and inside.any():
        # blank pixels are no part of the image either
        inside[inside] = ~np.isnan(_pixels(truth.image, x[inside], y[inside]))
    return ~inside


def _check_overlap(truth: TruthSet, found: Detections, outside: np.ndarray) -> None:
    if not len(found) or not len(truth):
        return
    if truth.wcs is None:
        reach = max(3600.0, float(np.nanmax(truth.hosts["neighbour"][np.isfinite(truth.hosts["neighbour"])],
                                            initial=0.0)))
        tree = cKDTree(unit_vectors(truth.hosts["ra"], truth.hosts["dec"]))
        near, _ = tree.query(unit_vectors(found.ra, found.dec))
        outside = near > reach * _ARCSEC
    if outside.all():
        where = ", ".join(f"{name} {np.nanmin(values):.4f} to {np.nanmax(values):.4f}" for name, values in
                          (("ra", found.ra), ("dec", found.dec)))
        there = ", ".join(f"{name} {np.min(values):.4f} to {np.max(values):.4f}" for name, values in
                          (("ra", truth.hosts["ra"]), ("dec", truth.hosts["dec"])))
        raise ValueError(f"catalogue must be of the truth's field ({there} deg), got none of {len(found)} rows in it "
                         f"({where} deg)")


def _pixels(plane: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return pixels of a plane that may be mapped, or lazy."""
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    if isinstance(plane, np.ndarray):
        return np.asarray(plane[row, column])
    return np.asarray(plane.vindex[row, column])


def _targets(truth: TruthSet) -> dict[str, np.ndarray]:
    """Return position, flux, peak and noise of what rows are matched with: components, or the sources themselves."""
    if truth.components is None:
        part, host = truth.hosts, np.arange(len(truth))
        flux = part["flux_in_image"]
    else:
        part, host = truth.components, truth.components["host"]
        flux = part["flux"]
    noise = truth.hosts["local_rms"][host]
    return {"ra": part["ra"], "dec": part["dec"], "flux": flux, "peak": part["peak_flux"], "noise": noise, "host": host}


def find_pairs(truth: TruthSet, target: dict[str, np.ndarray], found: Detections, use: np.ndarray) -> Pairs:
    """Return the pairs of rows and components that are likelier than chance.

    Parameters
    ----------
    truth : TruthSet
    target : dict of str to ndarray
        What rows are matched with: ``ra``, ``dec`` (deg), ``flux`` (Jy), ``peak`` and ``noise`` (Jy/beam).
    found : Detections
    use : ndarray of bool, shape (rows,)
        The rows that are looked at.
    """
    n_parts = len(target["ra"])
    rows = np.flatnonzero(use & np.isfinite(found.ra) & np.isfinite(found.dec))
    if not n_parts or not rows.size:
        nothing = np.empty(0, np.int64)
        return Pairs(nothing, nothing, np.empty(0), np.empty(0))
    beam = float(np.sqrt(truth.beam[0] * truth.beam[1]))
    width, snr = _width(target["flux"], target["peak"], beam), _signal(target)
    sigma = width * np.hypot(POSITION_FLOOR, 0.5 / snr)
    tree = cKDTree(unit_vectors(found.ra[rows], found.dec[rows]))
    vectors = unit_vectors(target["ra"], target["dec"])
    reach = 2 * np.sin(np.minimum(FARTHEST * sigma * _ARCSEC, np.pi) / 2)
    density = n_parts / _area(truth, vectors)
    kept = []
    for start in range(0, n_parts, CHUNK):
        here = slice(start, start + CHUNK)
        near = tree.query_ball_point(vectors[here], reach[here], return_sorted=False)
        count = np.fromiter(map(len, near), np.int64, len(near))
        if not count.sum():
            continue
        row = rows[np.concatenate([np.asarray(one, np.int64) for one in near if one])]
        part = np.repeat(np.arange(start, start + len(near)), count)
        away = _separation(unit_vectors(found.ra[row], found.dec[row]), vectors[part])
        ratio = _log_ratio(away, sigma[part], density)
        ratio += _amount_ratio(found.flux[row], target["flux"][part], snr[part], FLUX_FLOOR, FLUX_RANGE)
        ratio += _amount_ratio(_row_width(found, row, beam), width[part], snr[part], SIZE_FLOOR, SIZE_RANGE)
        better = ratio > 0
        kept.append((row[better], part[better], away[better], ratio[better]))
    if not kept:
        nothing = np.empty(0, np.int64)
        return Pairs(nothing, nothing, np.empty(0), np.empty(0))
    return Pairs(*(np.concatenate(column) for column in zip(*kept, strict=True)))


def _width(flux: np.ndarray, peak: np.ndarray, beam: float) -> np.ndarray:
    """Return the FWHM of the round Gaussian of a flux and a peak, at least that of the beam, arcsec."""
    with np.errstate(divide="ignore", invalid="ignore"):
        width = beam * np.sqrt(flux / peak)
    return np.where(np.isfinite(width), np.maximum(width, beam), beam)


def _row_width(found: Detections, row: np.ndarray, beam: float) -> np.ndarray:
    """Return the FWHM of rows with the beam in them, arcsec; NaN where the catalogue does not say."""
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted = np.sqrt(found.b_maj[row] * found.b_min[row])
        width = np.where(np.isfinite(fitted) & (fitted > 0), fitted,
                         beam * np.sqrt(found.flux[row] / found.peak[row]))
    return np.where(np.isfinite(width), np.maximum(width, beam), np.nan)


def _signal(target: dict[str, np.ndarray]) -> np.ndarray:
    """Return signal-to-noise ratios, of at least 1; without noise, or where it is not known, 1000."""
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = target["peak"] / target["noise"]
    return np.clip(np.where(np.isfinite(snr), snr, 1000.0), 1.0, 1000.0)


def _separation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return angles between unit vectors, arcsec; exact for small ones."""
    return 2 * np.arcsin(np.minimum(np.linalg.norm(a - b, axis=-1) / 2, 1)) / _ARCSEC


def _area(truth: TruthSet, vectors: np.ndarray) -> float:
    """Return the solid angle that the truth covers, arcsec^2: of the image, or of the cap that holds it all."""
    if truth.wcs is not None and truth.shape is not None:
        from skygal.population.positions import image_area

        return image_area(truth.wcs, truth.shape) / _ARCSEC**2
    middle = vectors.mean(axis=0)
    length = np.linalg.norm(middle)
    cosine = float((vectors @ (middle / length)).min()) if length > 0 else -1.0
    least = np.pi * (10 * truth.beam[0])**2
    return max(2 * np.pi * (1 - cosine) / _ARCSEC**2, least)


def _log_ratio(away: np.ndarray, sigma: np.ndarray, density: float) -> np.ndarray:
    return -0.5 * (away / sigma)**2 - np.log(2 * np.pi * sigma**2 * density)


def _amount_ratio(value: np.ndarray, expected: np.ndarray, snr: np.ndarray, floor: float, span: float) -> np.ndarray:
    """Return the log-likelihood ratio of a flux or size, 0 where it is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (np.abs(value) + expected) / 2
        sigma = np.hypot(floor, expected / snr / mean)
        ratio = -0.5 * ((value - expected) / mean / sigma)**2 - np.log(np.sqrt(2 * np.pi) * sigma / span)
    return np.where(np.isfinite(ratio), ratio, 0.0)


def assign(pairs: Pairs, n_rows: int, n_components: int) -> np.ndarray:
    """Return which pairs are made, each row and each component in one at most, for the greatest sum of likelihoods.

    Parameters
    ----------
    pairs : Pairs
        Their order does not matter.
    n_rows, n_components : int

    Returns
    -------
    ndarray of bool, shape (pairs,)

    Notes
    -----
    Groups that share no row and no component are solved one by one: those of one row or one component by their
    likeliest pair, others by the assignment of Crouse (2016), doi:10.1109/TAES.2016.140952, as scipy has it, and very
    large ones by the sparse one of Jonker & Volgenant (1987), doi:10.1007/BF02278710. Of pairs that are equally likely,
    that of the nearer one is made.
    """
    chosen = np.zeros(len(pairs.row), bool)
    if not len(pairs.row):
        return chosen
    graph = coo_array((np.ones(len(pairs.row), np.int8), (pairs.row, n_rows + pairs.component)),
                      shape=(n_rows + n_components,) * 2)
    _, group = connected_components(graph, directed=False)
    of_pair = group[pairs.row]
    _, of_pair, size = np.unique(of_pair, return_inverse=True, return_counts=True)
    # a group of one row or of one component is a star: the likeliest pair of it
    star = np.zeros(len(size), bool)
    for ends in (pairs.row, pairs.component):
        low, high = np.full(len(size), np.iinfo(np.int64).max), np.full(len(size), -1)
        np.minimum.at(low, of_pair, ends)
        np.maximum.at(high, of_pair, ends)
        star |= low == high
    order = np.lexsort((pairs.distance, -pairs.likelihood, of_pair))
    first = order[np.r_[True, of_pair[order][1:] != of_pair[order][:-1]]]
    chosen[first[star[of_pair[first]]]] = True
    ends_at = np.cumsum(size)
    for one in np.flatnonzero(~star).tolist():
        here = order[ends_at[one] - size[one]:ends_at[one]]
        chosen[here[_solve(pairs.row[here], pairs.component[here], pairs.likelihood[here])]] = True
    return chosen


def _solve(row: np.ndarray, component: np.ndarray, likelihood: np.ndarray) -> np.ndarray:
    """Return the pairs of one group that are made. They come sorted by likelihood, so that their order is no input."""
    _, i = np.unique(row, return_inverse=True)
    _, j = np.unique(component, return_inverse=True)
    i, j = _renumber(i), _renumber(j)
    rows, columns = int(i.max()) + 1, int(j.max()) + 1
    at = dict(zip(zip(i.tolist(), j.tolist(), strict=True), range(len(i)), strict=True))
    if rows * columns <= LARGEST_MATRIX:
        gain = np.zeros((rows, columns))
        gain[i, j] = likelihood
        a, b = linear_sum_assignment(gain, maximize=True)
    else:
        # every row may stay alone, at a column of its own
        top = float(likelihood.max()) + 1
        cost = coo_array((np.r_[top - likelihood, np.full(rows, top)],
                          (np.r_[i, np.arange(rows)], np.r_[j, columns + np.arange(rows)])),
                         shape=(rows, columns + rows))
        a, b = min_weight_full_bipartite_matching(cost.tocsr())
    found = (at.get(pair) for pair in zip(a.tolist(), b.tolist(), strict=True))
    return np.array([k for k in found if k is not None], np.int64)


def _renumber(index: np.ndarray) -> np.ndarray:
    """Return an index with what it points at numbered by where it comes first."""
    _, first, back = np.unique(index, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[back]


def _host_ellipses(truth: TruthSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariances (arcsec^2, half axes in place of sigma) of sources' footprints, and their half axes."""
    hosts = truth.hosts
    beam = truth.beam
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = np.clip(np.nan_to_num(hosts["b_min"] / hosts["b_maj"], nan=1.0), 0.0, 1.0)
    las = np.nan_to_num(hosts["las"])
    snr = _signal({"peak": hosts["peak_flux"], "noise": hosts["local_rms"]})
    # what noise may move a row by
    moved = 3 * 0.5 * np.sqrt(beam[0] * beam[1]) / snr
    half = ellipse_covariance(las, las * flat, np.radians(np.nan_to_num(hosts["pa"])))
    half = half + ellipse_covariance(beam[0], beam[1], np.radians(beam[2]))
    # from sigma to half the FWHM
    half = half * (2 * np.log(2))
    half = half + moved[:, None, None]**2 * np.eye(2)
    return half, np.sqrt(np.linalg.eigvalsh(half)[:, 1])


def _hosts(truth: TruthSet, host_of_component: np.ndarray, component_of_row: np.ndarray, found: Detections,
           outside: np.ndarray, covers: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the source that each row belongs to, -1 for none."""
    host = np.full(len(found), -1)
    matched = component_of_row >= 0
    host[matched] = host_of_component[component_of_row[matched]]
    use = ~outside & ~matched & np.isfinite(found.ra) & np.isfinite(found.dec)
    if truth.components is not None:
        # rows of whole sources that consist of several components
        several = np.flatnonzero(np.bincount(host_of_component, minlength=len(truth)) > 1)
        whole = {name: truth.hosts[column][several] for name, column in (
            ("ra", "ra"), ("dec", "dec"), ("flux", "flux_in_image"), ("peak", "peak_flux"), ("noise", "local_rms"))}
        pairs = find_pairs(truth, whole, found, use)
        made = assign(pairs, len(found), len(several))
        host[pairs.row[made]] = several[pairs.component[made]]
    use = np.flatnonzero(use & (host < 0))
    if not len(truth) or not use.size:
        return host
    bright = _brightest(truth)
    if truth.segmentation is not None and truth.wcs is not None:
        x, y = icrs_to_pixel(truth.wcs, found.ra[use], found.dec[use])
        label = _pixels(truth.segmentation, x, y).astype(np.int64)
        place = np.minimum(np.searchsorted(truth.labels[0], label), len(truth.labels[0]) - 1)
        known = (label > 0) & (truth.labels[0][place] == label)
        owner = truth.labels[1][place]
        known[known] = _possible(found, use[known], bright, owner[known])
        host[use[known]] = owner[known]
        use = use[~known]
    half, reach = _host_ellipses(truth)
    row, source, inside = _in_ellipses(truth.hosts["ra"], truth.hosts["dec"], half, reach, found.ra[use],
                                       found.dec[use])
    fits = _possible(found, use[row], bright, source)
    row, source, inside = row[fits], source[fits], inside[fits]
    order = np.lexsort((truth.hosts["source_id"][source], -truth.hosts["flux_in_image"][source], inside, row))
    first = order[np.r_[True, row[order][1:] != row[order][:-1]]] if len(order) else order
    host[use[row[first]]] = source[first]
    # a row whose middle lies between the sources that it holds
    row, source = covers
    merged = (host[row] < 0) & _worth_a_row(truth, found, row, source)
    row, source = row[merged], source[merged]
    order = np.lexsort((truth.hosts["source_id"][source], -truth.hosts["flux_in_image"][source], row))
    first = order[np.r_[True, row[order][1:] != row[order][:-1]]] if len(order) else order
    host[row[first]] = source[first]
    return host


def _brightest(truth: TruthSet) -> dict[str, np.ndarray]:
    """Return the greatest peak and flux that a row of each source may have."""
    hosts = truth.hosts
    noise = np.nan_to_num(hosts["local_rms"])
    return {"peak": TOO_BRIGHT * (hosts["peak_flux"] + NOISE_ON_IT * noise),
            "flux": TOO_BRIGHT * (hosts["flux_apparent"] + NOISE_ON_IT * noise)}


def _possible(found: Detections, row: np.ndarray, bright: dict[str, np.ndarray], host: np.ndarray) -> np.ndarray:
    """Return which rows could be of these sources by their brightness; where that is not known, they could."""
    peak, flux = found.peak[row], found.flux[row]
    value = np.where(np.isfinite(peak), peak, flux)
    most = np.where(np.isfinite(peak), bright["peak"][host], bright["flux"][host])
    with np.errstate(invalid="ignore"):
        return ~(value > most)


def _in_ellipses(ra: np.ndarray, dec: np.ndarray, half: np.ndarray, reach: np.ndarray, at_ra: np.ndarray,
                 at_dec: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which places lie in which ellipses, and how far from their middle, in their own half axes squared."""
    if not len(ra) or not len(at_ra):
        nothing = np.empty(0, np.int64)
        return nothing, nothing, np.empty(0)
    tree = cKDTree(unit_vectors(at_ra, at_dec))
    vectors = unit_vectors(ra, dec)
    radius = 2 * np.sin(np.minimum(reach * _ARCSEC, np.pi) / 2)
    kept = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for start in range(0, len(ra), CHUNK):
        near = tree.query_ball_point(vectors[start:start + CHUNK], radius[start:start + CHUNK], return_sorted=False)
        count = np.fromiter(map(len, near), np.int64, len(near))
        if not count.sum():
            continue
        place = np.concatenate([np.asarray(one, np.int64) for one in near if one])
        of = np.repeat(np.arange(start, start + len(near)), count)
        apart = np.stack(offsets(ra[of], dec[of], at_ra[place], at_dec[place]), axis=-1)
        square = np.einsum("ni,nij,nj->n", apart, np.linalg.inv(half)[of], apart)
        inside = square <= 1
        kept.append((place[inside], of[inside], square[inside]))
    row, of, square = (np.concatenate(column) for column in zip(*kept, strict=True))
    return row, of, square


def _covered(truth: TruthSet, found: Detections, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows, and sources whose middle (the core, if there is one) lies in their extent, half the FWHM."""
    rows = np.flatnonzero(~outside & np.isfinite(found.ra) & np.isfinite(found.dec))
    beam = truth.beam
    sized = np.isfinite(found.b_maj[rows]) & np.isfinite(found.b_min[rows]) & (found.b_maj[rows] > 0)
    major, minor, pa = (np.where(sized, values[rows], other) for values, other in
                        zip((found.b_maj, found.b_min, found.pa), beam, strict=True))
    half = ellipse_covariance(major, np.maximum(minor, beam[1]), np.radians(np.nan_to_num(pa))) * (2 * np.log(2))
    reach = np.maximum(major, beam[0]) / 2
    core = np.isfinite(truth.hosts["ra_core"]) & np.isfinite(truth.hosts["dec_core"])
    ra = np.where(core, truth.hosts["ra_core"], truth.hosts["ra"])
    dec = np.where(core, truth.hosts["dec_core"], truth.hosts["dec"])
    source, of, _ = _in_ellipses(found.ra[rows], found.dec[rows], half, reach, ra, dec)
    return rows[of], source


def _worth_a_row(truth: TruthSet, found: Detections, row: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return which sources are bright enough to be part of what a row holds."""
    with np.errstate(invalid="ignore"):
        return ((truth.hosts["snr"] >= LEAST_NEIGHBOUR)[source]
                & ~(truth.hosts["flux_in_image"][source] < LEAST_BLEND * found.flux[row]))
