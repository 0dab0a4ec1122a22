"""Which row of a catalogue is which component of the truth, one to one, and which source each row belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.spatial import cKDTree

from skygal.scoring.assignment import assign
from skygal.scoring.footprints import (
    labels_at,
    nearest_ellipse,
    pixels_at,
    row_ellipses,
    source_ellipses,
    within_ellipses,
)
from skygal.scoring.likelihood import Rows, Targets, convolved_axes, find_pairs
from skygal.scoring.records import Detections, Matches, TruthSet
from skygal.scoring.truth import LEAST_NEIGHBOUR
from skygal.wcs import icrs_to_pixel, pixel_affine, pixel_to_icrs, unit_vectors

__all__ = ["DETECTABLE", "match", "take_rows"]

#: signal-to-noise ratio above which a source is expected to be found
DETECTABLE = 5.0
#: sources have ellipses if their peak is above the noise, as in a segmentation
LEAST_FOOTPRINT = 1.0
#: a row that is brighter than so many times a source and the noise on it can ever be is not of that source
TOO_BRIGHT, NOISE_ON_IT = 2.0, 3.0
#: a row is blended with sources of at least this part of the flux of its own
LEAST_BLEND = 0.1
_ARCSEC = np.pi / 180 / 3600


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
    Rows and components are matched one to one: of all ways to pair them, each pair better than chance, it is the one of
    the greatest sum of log-likelihood ratios (the assignment problem, solved exactly). The ratio is that of
    Sutherland & Saunders (1992), 1992MNRAS.259..413S, and Fioc (2014), doi:10.1051/0004-6361/201220021: the density of
    position, flux and size that is expected of a component's row, over that of components that lie there by chance. All
    three are normal. With :math:`S, S'` the fluxes and :math:`A, A'` the areas of component and row, in areas of the
    beam, and :math:`R` the component's peak over the noise :math:`\sigma`, at least 2,

    - of the position, in the axes of the beam and in FWHM, the scatter is :math:`\sqrt{A (1 / 4 R^2 + 0.1^2)}`: what
      noise moves a fit by (Condon 1997, 1997PASP..109..166C), and a tenth of the size,
    - of the flux, :math:`\sqrt{A \sigma^2 + 0.3^2 S S'}`,
    - of :math:`\ln(A' / A) / 2`, :math:`\sqrt{1 / R^2 + 0.25^2}`.

    The constants stand for what a fit and a part of a galaxy differ by without any noise. A component covers its flux
    over its peak, a row what its fitted axes say, or else its flux over its peak, and each the beam at least. Flux and
    size count where a row has them. By chance there are as many components, per solid angle and per factor of e in
    flux, as the field has within such a factor about this one, all within a factor of e in size. A pair with a
    chi-square of less than 1 counts as better than chance in any crowd, so that truth against itself is matched whole.

    Rows and whole sources, and their parts where they are drawn in parts, are matched in the same way, with the second
    moments and the beam for their area. Where a row has a component and a source, it belongs to the one with the
    smaller chi-square. Any other row belongs to the source of the segmentation's label at its pixel; on label 0, or
    without a segmentation, to that in whose ellipse (LAS and axis ratio, with the beam and what noise moves a row by
    added in squares) it lies deepest; but to none that could not be as bright even with the noise on it, whose peak is
    less than half of the row's less three times the noise. What is left belongs to the source with the nearest label
    within a beam, if the model is above the noise there (labels end at a hundredth of a source's peak), or else to the
    brightest source whose middle lies in the row's own ellipse, of at least 3 sigma and a tenth of the row's flux.
    Sources whose peak is below the noise have no ellipse.

    Nothing depends on the order of rows in either table, nor on multiples of 360 degrees in right ascension. Of rows
    that are alike in all that is compared, the one whose name comes first is taken.
    """
    ordered = _Ordered.of(truth)
    order = _order_of_rows(found)
    inner = _match_ordered(ordered.truth, take_rows(found, order))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    per_row = {name: getattr(inner, name)[back] for name in ("component_of_row", "distance", "likelihood",
                                                             "host_of_row", "hosts_of_row", "outside", "how")}
    for name, numbers in (("component_of_row", ordered.components), ("host_of_row", ordered.hosts)):
        known = per_row[name] >= 0
        per_row[name][known] = numbers[per_row[name][known]]
    rows_of_host, why_missed = np.empty_like(inner.rows_of_host), np.empty_like(inner.why_missed)
    rows_of_host[ordered.hosts], why_missed[ordered.hosts] = inner.rows_of_host, inner.why_missed
    row_of_component = np.full(len(ordered.components), -1)
    matched = np.flatnonzero(per_row["component_of_row"] >= 0)
    row_of_component[per_row["component_of_row"][matched]] = matched
    return Matches(row_of_component=row_of_component, rows_of_host=rows_of_host, why_missed=why_missed, **per_row)


def take_rows(found: Detections, rows: np.ndarray) -> Detections:
    """Return some rows of a catalogue, in the order given."""
    arrays = {each.name: getattr(found, each.name)[rows] for each in fields(found)
              if isinstance(getattr(found, each.name), np.ndarray)}
    return replace(found, **arrays, errors={name: values[rows] for name, values in found.errors.items()})


def _order_of_rows(found: Detections) -> np.ndarray:
    """Return the rows in an order that is that of what they say."""
    keys = [np.nan_to_num(key, nan=np.inf) for key in (found.ra % 360, found.b_min, found.b_maj, found.peak, found.flux,
                                                       found.dec)]
    return np.lexsort((found.id, *keys))


@dataclass(frozen=True, eq=False)
class _Ordered:
    """The truth in an order that is that of what it says, and which host and component each one was."""

    truth: TruthSet
    hosts: np.ndarray
    components: np.ndarray

    @classmethod
    def of(cls, truth: TruthSet) -> _Ordered:
        hosts = np.lexsort((truth.hosts["ra"] % 360, truth.hosts["flux_apparent"], truth.hosts["dec"]))
        place = np.empty_like(hosts)
        place[hosts] = np.arange(len(hosts))

        def ordered(columns: Mapping[str, np.ndarray], flux: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
            order = np.lexsort((columns["ra"] % 360, columns[flux], columns["dec"]))
            return {name: place[values[order]] if name == "host" else values[order]
                    for name, values in columns.items()}, order

        components, order = None, hosts
        if truth.components is not None:
            components, order = ordered(truth.components, "flux")
        parts = ordered(truth.parts, "flux_apparent")[0] if truth.parts else {}
        ids, labelled = truth.labels
        columns = {name: values[hosts] for name, values in truth.hosts.items()}
        return cls(replace(truth, hosts=columns, parts=parts, components=components,
                           labels=(ids, place[labelled] if len(ids) else labelled)), hosts, order)


def _match_ordered(truth: TruthSet, found: Detections) -> Matches:
    n = len(found)
    x, y, inside = _places(truth, found)
    rows = Rows.make(found, truth.beam)
    solid = _solid_angle(truth)
    component, distance, likelihood = np.full(n, -1), np.full(n, np.nan), np.full(n, np.nan)
    host, least, how = np.full(n, -1), np.full(n, np.inf), np.full(n, "", "U12")
    if truth.components is not None:
        targets, owner = _component_targets(truth, solid), truth.components["host"]
        t, r, total, gain = _best(targets, rows, truth)
        component[r], likelihood[r], distance[r] = t, gain, _apart(targets, rows, t, r)
        host[r], least[r], how[r] = owner[t], total, "component"
    targets, owner = _whole_targets(truth, solid)
    t, r, total, gain = _best(targets, rows, truth)
    if truth.components is None:
        component[r], likelihood[r], distance[r] = t, gain, _apart(targets, rows, t, r)
    nearer = total < least[r]
    host[r[nearer]], how[r[nearer]] = owner[t[nearer]], "source"
    strange = _by_footprint(truth, found, rows, (x, y, inside), host, how)
    covers = _covers(truth, found)
    _by_cover(truth, covers, inside & ~strange, host, how)
    outside = (~inside | strange) & (host < 0)
    _check_overlap(truth, found, outside)
    rows_of_host = np.bincount(host[host >= 0], minlength=len(truth))
    hosts_of_row, covered = _blends(truth, covers, host, rows_of_host)
    why = np.select([rows_of_host > 0, truth.hosts["snr"] < DETECTABLE, covered],
                    ["", f"below {DETECTABLE:g} sigma", "blended"], "not found")
    return Matches(component, np.empty(0, np.int64), distance, likelihood, host, rows_of_host, hosts_of_row, why,
                   outside, how)


def _best(targets: Targets, rows: Rows, truth: TruthSet) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of the likeliest assignment: target, row, chi-square and log-likelihood ratio."""
    t, r, total, likelihood = find_pairs(targets, rows, truth.beam)
    taken = assign(t, r, likelihood)
    return t[taken], r[taken], total[taken], likelihood[taken]


def _apart(targets: Targets, rows: Rows, t: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return separations, arcsec; exact for small ones."""
    chord = np.linalg.norm(targets.vector[t] - rows.vector[r], axis=-1)
    return 2 * np.arcsin(np.minimum(chord / 2, 1)) / _ARCSEC


def _places(truth: TruthSet, found: Detections) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows' pixels (x, y), and which of them are in the image, on sky, where the truth holds the sources."""
    n = len(found)
    x = y = np.full(n, np.nan)
    inside = np.ones(n, bool)
    if truth.wcs is not None and truth.shape is not None and n:
        x, y = icrs_to_pixel(truth.wcs, found.ra, found.dec)
        ny, nx = truth.shape
        with np.errstate(invalid="ignore"):
            inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
        if truth.image is not None and inside.any():
            # blank pixels are no part of the image either
            inside[inside] = ~np.isnan(pixels_at(truth.image, x[inside], y[inside]))
    if truth.area is not None and n:
        inside = inside & truth.area(found.ra, found.dec)
    return x, y, inside


def _check_overlap(truth: TruthSet, found: Detections, outside: np.ndarray) -> None:
    if not len(found) or not len(truth):
        return
    if truth.wcs is None:
        # without an image nothing says where it ends
        neighbour = truth.hosts["neighbour"]
        reach = max(3600.0, float(np.max(neighbour[np.isfinite(neighbour)], initial=0.0)))
        near, _ = cKDTree(unit_vectors(truth.hosts["ra"], truth.hosts["dec"])).query(unit_vectors(found.ra, found.dec))
        outside = near > reach * _ARCSEC
    if outside.all():
        where, there = (", ".join(f"{name} {np.min(values):.4f} to {np.max(values):.4f}"
                                  for name, values in (("ra", ra % 360), ("dec", dec)))
                        for ra, dec in ((found.ra, found.dec), (truth.hosts["ra"], truth.hosts["dec"])))
        raise ValueError(f"catalogue must be of the truth's field ({there} deg), got none of {len(found)} rows in it "
                         f"({where} deg)")


def _solid_angle(truth: TruthSet) -> float:
    """Return how large the field is, square arcsec: the image, else the cap that holds all sources."""
    if truth.wcs is not None and truth.shape is not None:
        from skygal.population.positions import image_area

        return image_area(truth.wcs, truth.shape) / _ARCSEC**2
    least = np.pi * (10 * truth.beam[0]) ** 2
    if not len(truth):
        return least
    vectors = unit_vectors(truth.hosts["ra"], truth.hosts["dec"])
    middle = vectors.mean(axis=0)
    length = np.linalg.norm(middle)
    # of the chord, so that nothing is lost of small fields: 1 - cos r = chord^2 / 2
    square = ((vectors - middle / length) ** 2).sum(axis=1).max() if length > 0 else 4.0
    return max(float(np.pi * square) / _ARCSEC**2, least)


def _component_targets(truth: TruthSet, solid: float) -> Targets:
    """Return the components: each covers its flux over its peak."""
    assert truth.components is not None
    parts = truth.components
    rms = np.nan_to_num(truth.hosts["local_rms"][parts["host"]])
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.where(rms > 0, parts["peak_flux"] / rms, np.inf)
    return Targets.make({"ra": parts["ra"], "dec": parts["dec"], "flux": parts["flux"], "local_rms": rms, "snr": snr},
                        _covered(parts["flux"], parts["peak_flux"]), truth.beam, solid)


def _whole_targets(truth: TruthSet, solid: float) -> tuple[Targets, np.ndarray]:
    """Return sources, and parts of those that are drawn in several; and the host of each."""
    names = ("ra", "dec", "flux_apparent", "peak_flux", "local_rms", "snr", "b_maj", "b_min", "pa")
    owner = np.arange(len(truth))
    columns = {name: truth.hosts[name] for name in names}
    if truth.parts:
        of = truth.parts["host"]
        several = np.flatnonzero(np.bincount(of, minlength=len(truth))[of] > 1)
        owner = np.concatenate([owner, of[several]])
        columns = {name: np.concatenate([columns[name], truth.parts[name][several]]) for name in names}
    rms = np.nan_to_num(columns["local_rms"])
    area = _covered(columns["flux_apparent"], columns["peak_flux"])
    sized = np.isfinite(columns["b_maj"]) & np.isfinite(columns["b_min"])
    major, minor, _ = convolved_axes(columns["b_maj"], columns["b_min"], columns["pa"], truth.beam)
    area = np.where(sized, major * minor / (truth.beam[0] * truth.beam[1]), area)
    return Targets.make({**columns, "flux": columns["flux_apparent"], "local_rms": rms}, np.maximum(area, 1),
                        truth.beam, solid), owner


def _covered(flux: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Return how many areas of the beam a flux with a peak covers, at least one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.nan_to_num(flux / peak, nan=1.0, posinf=1.0), 1.0)


def _by_footprint(truth: TruthSet, found: Detections, rows: Rows, places: tuple[np.ndarray, np.ndarray, np.ndarray],
                  host: np.ndarray, how: np.ndarray) -> np.ndarray:
    """Give rows without a source the one in whose footprint they lie; return those on sources that are not in truth."""
    x, y, inside = places
    strange = np.zeros(len(host), bool)
    free = np.flatnonzero(inside & (host < 0))
    bright = _brightest(truth)
    if truth.segmentation is not None and free.size:
        label = labels_at(truth.segmentation, x[free], y[free])
        owner = _of_label(truth, label)
        strange[free[(label > 0) & (owner < 0)]] = True
        kept = owner >= 0
        kept[kept] = _possible(found, free[kept], bright, owner[kept])
        host[free[kept]], how[free[kept]] = owner[kept], "segmentation"
        free = free[~kept & ((label == 0) | (owner >= 0))]
    parts = truth.parts or {**truth.hosts, "host": np.arange(len(truth))}
    strong = np.flatnonzero(~(parts["snr"] < LEAST_FOOTPRINT))
    if free.size and strong.size:
        which, other, deep = within_ellipses(parts["ra"][strong], parts["dec"][strong],
                                             source_ellipses(parts, truth.beam)[strong], rows.vector[free])
        owner = parts["host"][strong[which]]
        kept = _possible(found, free[other], bright, owner)
        nearest = nearest_ellipse(which[kept], other[kept], deep[kept], len(free))
        kept = nearest >= 0
        host[free[kept]], how[free[kept]] = parts["host"][strong[nearest[kept]]], "ellipse"
        free = free[~kept]
    if truth.segmentation is not None and truth.model is not None and free.size:
        owner = _by_light(truth, x[free], y[free])
        kept = owner >= 0
        kept[kept] = _possible(found, free[kept], bright, owner[kept])
        host[free[kept]], how[free[kept]] = owner[kept], "segmentation"
    return strange


def _by_light(truth: TruthSet, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the sources whose light is above the noise at places that no footprint holds, -1 for none.

    The labels of bright sources end at a hundredth of their peaks, which may be far above the noise: the nearest label
    within a beam tells whose light it is.
    """
    out = np.full(len(x), -1)
    rms = np.nan_to_num(truth.hosts["local_rms"])
    light = pixels_at(truth.model, x, y)
    there = np.flatnonzero(light > rms.min(initial=np.inf))
    ny, nx = truth.shape or (0, 0)
    affine = pixel_affine(truth.wcs, *pixel_to_icrs(truth.wcs, (nx - 1) / 2, (ny - 1) / 2))[0]
    reach = truth.beam[0] * np.sqrt(abs(np.linalg.det(affine)))
    steps = np.stack(np.meshgrid(*[np.arange(-np.ceil(reach), np.ceil(reach) + 1)] * 2), axis=-1).reshape(-1, 2)
    far = np.hypot(*steps.T)
    order = np.lexsort((steps[:, 0], steps[:, 1], far))
    for dx, dy in steps[order[far[order] <= reach]]:
        there = there[out[there] < 0]
        if not there.size:
            break
        owner = _of_label(truth, labels_at(truth.segmentation, x[there] + dx, y[there] + dy))
        lit = (owner >= 0) & (light[there] > rms[owner])
        out[there[lit]] = owner[lit]
    return out


def _of_label(truth: TruthSet, label: np.ndarray) -> np.ndarray:
    """Return the source of each label of the segmentation, -1 for none."""
    ids, owner = truth.labels
    if not len(ids):
        return np.full(len(label), -1)
    place = np.minimum(np.searchsorted(ids, label), len(ids) - 1)
    return np.where((label > 0) & (ids[place] == label), owner[place], -1)


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


def _covers(truth: TruthSet, found: Detections) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows and sources of 3 sigma whose middle lies in their ellipse, and whether it has a tenth of the flux."""
    visible = np.flatnonzero(truth.hosts["snr"] >= LEAST_NEIGHBOUR)
    ra, dec = _middles(truth, visible)
    row, other, _ = within_ellipses(found.ra, found.dec, row_ellipses(found, truth.beam), unit_vectors(ra, dec))
    source = visible[other]
    with np.errstate(invalid="ignore"):
        return row, source, ~(truth.hosts["flux_in_image"][source] < LEAST_BLEND * found.flux[row])


def _middles(truth: TruthSet, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where sources are: their cores, or their centroids if they have none."""
    hosts = truth.hosts
    has_core = (np.isfinite(hosts["ra_core"]) & np.isfinite(hosts["dec_core"]))[which]
    ra, dec = (np.where(has_core, hosts[core][which], hosts[whole][which])
               for core, whole in (("ra_core", "ra"), ("dec_core", "dec")))
    return ra, dec


def _by_cover(truth: TruthSet, covers: tuple[np.ndarray, np.ndarray, np.ndarray], use: np.ndarray, host: np.ndarray,
              how: np.ndarray) -> None:
    """Give rows that lie between the sources which they hold the brightest of these."""
    row, source, worth = covers
    free = worth & use[row] & (host[row] < 0)
    row, source = row[free], source[free]
    order = np.lexsort((source, -truth.hosts["flux_in_image"][source], row))
    first = order[np.r_[True, np.diff(row[order]) > 0]] if order.size else order
    host[row[first]], how[row[first]] = source[first], "cover"


def _blends(truth: TruthSet, covers: tuple[np.ndarray, np.ndarray, np.ndarray], host: np.ndarray,
            rows_of_host: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many sources each row covers, and which sources a row or the footprint of another source covers."""
    row, source, worth = covers
    number, covered = (host >= 0).astype(np.int64), np.zeros(len(truth), bool)
    another = (host[row] >= 0) & (host[row] != source)
    covered[source[another]] = True
    np.add.at(number, row[another & worth], 1)
    visible = np.flatnonzero(truth.hosts["snr"] >= LEAST_NEIGHBOUR)
    if truth.segmentation is not None and truth.wcs is not None and visible.size:
        at = _of_label(truth, labels_at(truth.segmentation, *icrs_to_pixel(truth.wcs, *_middles(truth, visible))))
        covered[visible] |= (at >= 0) & (at != visible) & (rows_of_host[at] > 0)
    return number, covered
