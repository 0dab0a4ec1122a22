"""Scoring: what must hold of any catalogue, and a search of all assignments beside ours."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st

import skygal
from skygal.scoring import Detections, TruthSet, compare_scores, match, read_detections, read_truth_set, wilson
from skygal.scoring.assignment import assign
from skygal.scoring.measures import component_peaks
from skygal.scoring.score import score_detections
from skygal.scoring.tables import source_table
from skygal.scoring.truth import offsets
from skygal.truth.schema import TRUTH


@cache
def sky():
    """Return a field of the sky's own mix, a wrap of right ascension through it, and its truth for scoring."""
    wcs = skygal.make_wcs("00h00m02s -30d00m00s", 288, 1.8 * u.arcsec)
    field = skygal.simulate_field(wcs, beam=5.4 * u.arcsec, noise=0.02 * u.mJy, frequency=1.4 * u.GHz, seed=3)
    return field, read_truth_set(field)


@cache
def of_truth(level="component"):
    """Return the truth as a catalogue."""
    field, truth = sky()
    return read_detections(field.components if level == "component" else field.truth, wcs=truth.wcs)


def chosen(found, rows, **changes):
    """Return some rows of a catalogue, with other values in some columns."""
    names = ("row", "id", "label", "parent", "ra", "dec", "flux", "peak", "b_maj", "b_min", "pa", "deconv_maj",
             "deconv_min", "deconv_pa", "rms", "confidence")
    part = replace(found, errors={}, **{name: getattr(found, name)[rows] for name in names})
    return replace(part, **changes)


def rate(score, name):
    return score.summary[name]["rate"]


@pytest.mark.parametrize("level", ["component", "source"])
def test_truth_against_itself(level):
    _, truth = sky()
    found = of_truth(level)
    score = score_detections(truth, found)
    assert rate(score, "completeness") == rate(score, "reliability") == 1
    assert (score.matches.rows_of_host > 0).all()
    own = truth.components["host"] if level == "component" else np.searchsorted(truth.hosts["source_id"],
                                                                              found.id.astype(int))
    assert np.array_equal(score.matches.host_of_row, own)
    assert score.hosts["recovered"]["all"][0]["recovered"] == pytest.approx(1, rel=1e-6)
    if level == "component":
        assert np.array_equal(score.matches.component_of_row, np.arange(len(found)))
        assert rate(score, "component_completeness") == rate(score, "component_reliability") == 1
        assert score.association["f1"] == 1
    else:
        assert rate(score, "split") == 0
    for curve in score.curves:
        if level == "component" or curve.level == "host":
            assert np.array_equal(curve.hits, curve.total), (curve.rate, curve.against)


def test_shuffled_positions_are_false():
    """Positions of a grid of few sources put anywhere are none of them, but for the share of the sky they cover."""
    wcs = skygal.make_wcs("03h00m +10d", 512, 1.8 * u.arcsec)
    field = skygal.simulate_field(wcs, n_sources=60, beam=5.4 * u.arcsec, noise=0.1 * u.mJy, las=8 * u.arcsec,
                                  flux=(3 * u.mJy, 30 * u.mJy), seed=2)
    truth = read_truth_set(field)
    rng = np.random.default_rng(1)
    ra, dec = wcs.pixel_to_world_values(*rng.uniform(0, 511, (2, 400)))
    found = of_truth()
    found = chosen(found, rng.integers(0, len(found), 400), ra=ra, dec=dec, flux=rng.choice(truth.hosts["flux"], 400),
                   peak=np.full(400, 3e-3))
    score = score_detections(truth, found)
    covered = np.count_nonzero(field.segmentation) / field.segmentation.size
    assert rate(score, "reliability") < covered + 0.05
    assert rate(score, "component_reliability") < 0.02


def test_each_row_twice():
    _, truth = sky()
    found = of_truth()
    n = len(found)
    twice = chosen(found, np.tile(np.arange(n), 2))
    score = score_detections(truth, twice)
    assert rate(score, "component_completeness") == 1 and rate(score, "component_reliability") == 0.5
    assert rate(score, "completeness") == rate(score, "reliability") == 1
    assert np.array_equal(score.matches.rows_of_host, 2 * np.bincount(truth.components["host"], minlength=len(truth)))
    assert score.hosts["recovered"]["all"][0]["recovered"] == pytest.approx(2, rel=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.35, 0.8])
def test_rows_that_are_missing(share):
    """Completeness is what is left, within the interval that is given with it in about two of three draws."""
    _, truth = sky()
    found, inside, draws = of_truth(), 0, 25
    strong = truth.components["peak_flux"] >= 5 * truth.hosts["local_rms"][truth.components["host"]]
    for seed in range(draws):
        kept = np.random.default_rng(seed).random(len(found)) >= share
        score = score_detections(truth, chosen(found, kept))
        got = score.summary["component_completeness"]
        assert got["hits"] == np.count_nonzero(kept & strong) and rate(score, "component_reliability") == 1
        inside += got["low"] <= 1 - share <= got["high"]
    assert 0.5 < inside / draws < 0.85


def test_where_right_ascension_begins_does_not_matter():
    field, truth = sky()
    assert np.ptp(truth.hosts["ra"]) > 300
    table = field.components.copy()
    first = skygal.score(field, table)
    for turn in (-360, 360):
        table["ra"] = field.components["ra"] + turn * u.deg
        again = skygal.score(field, table)
        assert np.array_equal(again.matches.component_of_row, first.matches.component_of_row)
        assert np.array_equal(again.matches.host_of_row, first.matches.host_of_row)


def test_units_do_not_matter():
    field, _ = sky()
    first = skygal.score(field, field.components)
    table = QTable(field.components, copy=True)
    for name, unit in (("ra", u.hourangle), ("dec", u.arcmin), ("flux", u.mJy), ("peak_flux", u.uJy / u.beam)):
        table[name] = table[name].to(unit)
    again = skygal.score(field, table)
    assert np.array_equal(again.matches.component_of_row, first.matches.component_of_row)
    assert again.summary == first.summary


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_order_does_not_matter(seed):
    _, truth = sky()
    rng = np.random.default_rng(seed)
    found = of_truth()
    n = len(found)
    noisy = chosen(found, np.arange(n), ra=found.ra + rng.normal(0, 1, n) / 3600, dec=found.dec +
                   rng.normal(0, 1, n) / 3600, flux=found.flux * np.exp(rng.normal(0, 0.3, n)))
    first = match(truth, noisy)
    order = rng.permutation(n)
    again = match(truth, chosen(noisy, order))
    assert np.array_equal(again.component_of_row, first.component_of_row[order])
    assert np.array_equal(again.host_of_row, first.host_of_row[order])
    assert np.array_equal(again.hosts_of_row, first.hosts_of_row[order])
    assert np.array_equal(again.why_missed, first.why_missed)
    # nor that of components
    turned = rng.permutation(n)
    parts = {name: values[turned] for name, values in truth.components.items()}
    again = match(replace(truth, components=parts), noisy)
    made = again.component_of_row >= 0
    assert np.array_equal(made, first.component_of_row >= 0)
    assert np.array_equal(turned[again.component_of_row[made]], first.component_of_row[made])


# the matching, beside a search of all assignments


def greatest_sum(gain):
    """Return the greatest sum of gains of pairs that share no row and no column."""
    rows, columns = gain.shape
    best = 0.0
    for some in itertools.product(range(-1, columns), repeat=rows):
        used = [column for column in some if column >= 0]
        if len(set(used)) == len(used):
            best = max(best, sum(gain[row, column] for row, column in enumerate(some) if column >= 0))
    return best


@settings(max_examples=150)
@given(st.integers(1, 5), st.integers(1, 4), st.floats(0.1, 1), st.integers(0, 2**32 - 1))
def test_the_assignment_is_the_best_there_is(rows, columns, share, seed):
    rng = np.random.default_rng(seed)
    there = rng.random((rows, columns)) < share
    gain = np.where(there, rng.exponential(5, (rows, columns)), -np.inf)
    i, j = np.nonzero(there)
    order = rng.permutation(len(i))
    i, j = 3 * i[order], j[order] + 7
    made = assign(i, j, gain[i // 3, j - 7])
    assert len(set(i[made])) == len(set(j[made])) == len(made)
    assert gain[i[made] // 3, j[made] - 7].sum() == pytest.approx(greatest_sum(gain))


def test_a_large_group_is_solved_as_a_small_one(monkeypatch):
    rng = np.random.default_rng(5)
    for _ in range(20):
        i, j = np.nonzero(rng.random((30, 25)) < 0.15)
        gain = rng.exponential(5, len(i))
        small = assign(i, j, gain)
        with monkeypatch.context() as patch:
            patch.setattr("skygal.scoring.assignment.MOST_DENSE", 0)
            assert np.array_equal(assign(i, j, gain), small)


def blank_catalogue(ra, dec, flux, peak, **columns):
    n = len(ra)
    nothing, words = np.full(n, np.nan), np.full(n, "")
    names = ("b_maj", "b_min", "pa", "deconv_maj", "deconv_min", "deconv_pa", "rms", "confidence")
    return Detections(**{**dict.fromkeys(names, nothing), "name": "made", "format": "made", "level": "component",
                         "row": np.arange(n), "id": words, "label": words, "parent": np.full(n, -1), "ra": ra,
                         "dec": dec, "flux": flux, "peak": peak, **columns})


BEAM = (6.0, 4.0, 30.0)


def points(x, y, flux, rms=1e-4, at=(0.0, -30.0), beam=BEAM):
    """Return truth of points at offsets (arcsec) from a place, a component each, without an image."""
    n = len(x)
    ra, dec = at[0] + x / 3600 / np.cos(np.radians(at[1])), at[1] + y / 3600
    empty = {column.name: column.none(n) for column in TRUTH}
    hosts = {**empty, "source_id": np.arange(1, n + 1), "ra": ra % 360, "dec": dec, "las": np.zeros(n),
             "b_maj": np.zeros(n), "b_min": np.zeros(n), "pa": np.zeros(n), "local_rms": np.full(n, rms),
             "snr": flux / rms, "n_components": np.ones(n, int), "neighbour": np.full(n, np.inf),
             **dict.fromkeys(("flux", "flux_apparent", "flux_in_image", "peak_flux"), flux)}
    parts = {"source_id": hosts["source_id"], "component_id": np.ones(n, int), "kind": np.full(n, "whole"),
             "ra": ra % 360, "dec": dec, "flux": flux, "peak_flux": flux, "host": np.arange(n)}
    return TruthSet("points", hosts, parts, beam)


def gains(truth, found):
    """Return the log-likelihood ratio of each row and component, of points: the formula of the documentation, in
    loops."""
    parts, rms = truth.components, truth.hosts["local_rms"][0]
    vectors = [np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
               for a, d in np.radians(np.stack([truth.hosts["ra"], truth.hosts["dec"]], axis=1))]
    middle = np.mean(vectors, axis=0)
    radius = max(np.arccos(min(middle @ v / np.linalg.norm(middle), 1)) for v in vectors)
    area = max(2 * np.pi * (1 - np.cos(radius)) * np.degrees(3600)**2, 100 * np.pi * BEAM[0]**2)
    out = np.full((len(found), len(parts["ra"])), -np.inf)
    turn = np.radians(BEAM[2])
    for k, (ra, dec, flux) in enumerate(zip(parts["ra"], parts["dec"], parts["flux"], strict=True)):
        ratio = max(flux / rms, 2)
        near = sum(abs(np.log(other / flux)) <= 0.5 for other in parts["flux"])
        place, light, size = np.hypot(0.1, 0.5 / ratio), np.hypot(0.3, rms / flux), np.hypot(0.25, 1 / ratio)
        chance = near / area * 2 * np.pi * place**2 * BEAM[0] * BEAM[1] * 2 * np.pi * light * size
        for row in range(len(found)):
            east, north = offsets(ra, dec, found.ra[row], found.dec[row])
            along = (east * np.sin(turn) + north * np.cos(turn)) / BEAM[0]
            across = (east * np.cos(turn) - north * np.sin(turn)) / BEAM[1]
            covers = max(found.b_maj[row] * found.b_min[row] / BEAM[0] / BEAM[1], 1)
            square = np.hypot(along, across)**2 / place**2 + (np.log(covers) / 2 / size)**2 + \
                (found.flux[row] - flux)**2 / (rms**2 + 0.09 * flux * found.flux[row])
            gain = max(-np.log(chance), 0.5) - square / 2
            if gain > 0:
                out[row, k] = gain
    return out


SMALL_CATALOGUES = given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4),
                         st.sampled_from([3.0, 12.0, 60.0]),
                         st.sampled_from([(0.0, -30.0), (180.0, 89.9), (77.0, 0.0)]))


@settings(max_examples=100)
@SMALL_CATALOGUES
def test_matches_are_the_best_there_are(seed, rows, parts, spread, at):
    check_small_catalogue(seed, rows, parts, spread, at)


@pytest.mark.slow
@settings(max_examples=1000)
@SMALL_CATALOGUES
def test_matches_of_a_thousand_catalogues_are_the_best_there_are(seed, rows, parts, spread, at):
    check_small_catalogue(seed, rows, parts, spread, at)


def check_small_catalogue(seed, rows, parts, spread, at):
    """Check the matches of a small catalogue, crowded or not, beside a search of all assignments."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, spread, (2, parts))
    flux = 1e-4 * 10**rng.uniform(0, 2, parts)
    truth = points(x, y, flux, at=at)
    some = rng.integers(0, parts, rows)
    ra = truth.components["ra"][some] + rng.normal(0, 1.5, rows) / 3600 / np.cos(np.radians(at[1]))
    found = blank_catalogue(ra, truth.components["dec"][some] + rng.normal(0, 1.5, rows) / 3600,
                            flux[some] * np.exp(rng.normal(0, 0.4, rows)), np.full(rows, np.nan),
                            b_maj=6 * np.exp(rng.normal(0, 0.2, rows)), b_min=np.full(rows, 4.0))
    gain, made = gains(truth, found), match(truth, found)
    taken = np.flatnonzero(made.component_of_row >= 0)
    assert made.likelihood[taken] == pytest.approx(gain[taken, made.component_of_row[taken]], rel=1e-6, abs=1e-6)
    assert made.likelihood[taken].sum() == pytest.approx(greatest_sum(gain), rel=1e-6, abs=1e-6)
    assert np.array_equal(made.row_of_component[made.component_of_row[taken]], taken)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([0.3, 3.0, 30.0]))
def test_truth_against_itself_in_any_crowd(seed, n, spread):
    """However faint and close sources are, and in whatever order."""
    rng = np.random.default_rng(seed)
    truth = points(*rng.normal(0, spread, (2, n)), 1e-4 * 10**rng.uniform(-1, 2, n))
    order = rng.permutation(n)
    found = blank_catalogue(*(truth.components[name][order] for name in ("ra", "dec", "flux", "peak_flux")))
    made = match(truth, found)
    assert np.array_equal(made.component_of_row, order) and np.array_equal(made.host_of_row, order)
    assert (made.rows_of_host == 1).all() and not made.outside.any()


def test_equal_pairs_are_taken_by_what_they_are():
    """A row in the middle of two equal sources, and two equal rows beside one: the choice is that of no order."""
    truth = points(np.array([-0.8, 0.8]), np.zeros(2), np.full(2, 1e-2), at=(10.0, 0.0))
    row = blank_catalogue(np.array([10.0]), np.zeros(1), np.full(1, 1e-2), np.full(1, 1e-2))
    turned = replace(truth, components={name: values[::-1] for name, values in truth.components.items()})
    first, again = match(truth, row), match(turned, row)
    assert first.component_of_row[0] == 1 - again.component_of_row[0] >= 0
    one = points(np.zeros(1), np.zeros(1), np.full(1, 1e-2), at=(10.0, 0.0))
    pair = blank_catalogue(10 + np.array([-0.8, 0.8]) / 3600, np.zeros(2), np.full(2, 1e-2), np.full(2, 1e-2))
    first, again = match(one, pair).component_of_row, match(one, chosen(pair, [1, 0])).component_of_row
    assert sorted(first) == [-1, 0] and np.array_equal(first, again[::-1])


# what is made up, split, merged and missed


def test_what_is_split_and_what_is_merged():
    """Two lobes of one galaxy as two rows, and two galaxies in one row."""
    wcs = skygal.make_wcs("01h00m +20d", 256, 1.8 * u.arcsec)
    x, y = np.array([60.0, 190, 198]), np.array([128.0, 100, 100])
    ra, dec = wcs.pixel_to_world_values(x, y)
    table = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": [50, 20, 20] * u.mJy,
                    "las": [80, 8, 8] * u.arcsec, "fr_class": ["FRII", "FRI", "FRI"], "pa": [30.0, 0, 0] * u.deg})
    field = skygal.simulate_field(wcs, table=table, beam=5.4 * u.arcsec, noise=0.05 * u.mJy, seed=4)
    long = field.components[field.components["source_id"] == 1]
    rows = Table({"ra": [*long["ra"].value, (ra[1] + ra[2]) / 2], "dec": [*long["dec"].value, dec[1]],
                  "flux": [*long["flux"].value, 0.04], "peak": [*long["peak_flux"].value, 0.01],
                  "fitted_maj": [6.0] * len(long) + [30.0], "fitted_min": [6.0] * len(long) + [12.0],
                  "fitted_pa": [0.0] * len(long) + [90.0], "parent": [*range(len(long)), 99]})
    score = skygal.score(field, rows)
    assert len(long) > 1
    assert score.matches.rows_of_host[0] == len(long)
    assert score.matches.hosts_of_row[-1] == 2
    assert score.matches.rows_of_host[1:].sum() == 1
    assert sorted(score.matches.why_missed) == ["", "", "blended"]
    assert score.association["purity"] is None and score.association["completeness"] == 0
    assert score.summary["missed"] == {"blended": 1}
    assert score.hosts["recovered"]["fr_class"][1]["bin"] == "FRII"
    assert score.hosts["recovered"]["fr_class"][1]["recovered"] == pytest.approx(1, rel=0.01)
    rows["parent"][:len(long)] = 7
    assert skygal.score(field, rows).association["f1"] == 1


def test_too_bright_rows_are_of_no_faint_source():
    _, truth = sky()
    faint = int(np.argmin(np.where(truth.hosts["snr"] < 2, truth.hosts["neighbour_flux_frac"], 9)))
    ra, dec = truth.hosts["ra"][faint:faint + 1], truth.hosts["dec"][faint:faint + 1]
    for flux, there in ((30 * truth.hosts["local_rms"][faint], False), (truth.hosts["flux"][faint], True)):
        got = match(truth, blank_catalogue(ra, dec, np.array([flux]), np.array([flux])))
        assert (got.host_of_row[0] == faint) == there


def test_parts_of_a_source_are_one():
    field, _ = sky()
    one, other = 10, 20
    table = field.truth.copy()
    table["parent_id"][other] = table["source_id"][one]
    truth = read_truth_set(replace_truth(field, table))
    assert len(truth) == len(field.truth) - 1
    host = int(np.flatnonzero(truth.hosts["source_id"] == field.truth["source_id"][one])[0])
    flux = field.truth["flux"][[one, other]].value
    assert truth.hosts["flux"][host] == pytest.approx(flux.sum())
    x = field.truth["x"][[one, other]]
    assert truth.hosts["x"][host] == pytest.approx((flux * x).sum() / flux.sum(), abs=0.01)
    apart = np.hypot(np.diff(x), np.diff(field.truth["y"][[one, other]]))[0] * 1.8
    assert truth.hosts["las"][host] == pytest.approx(apart + field.truth["las"][[one, other]].value.sum() / 2, rel=1e-3)
    assert np.all(truth.labels[1][np.isin(truth.labels[0], field.truth["source_id"][[one, other]])] == host)


def replace_truth(field, table):
    from export_fields import changed

    return changed(field, truth=table)


def test_sizes_and_angles_of_fits_without_noise():
    """What a perfect finder fits is the Gaussian with the beam in it, and errors are zero for it."""
    field, truth = sky()
    whole = field.truth[np.isin(field.truth["morphology"], ("point", "gaussian")) & (field.truth["snr"] > 3)
                        & ~field.truth["edge"]]
    beam = [(5.4, 5.4, 0.0)] * len(whole)
    from radio_beam import Beam

    fitted = [Beam(a, b, pa).convolve(Beam(*(axis * unit for axis, unit in zip(psf, (u.arcsec, u.arcsec, u.deg),
                                                                                strict=True))))
              for a, b, pa, psf in zip(whole["b_maj"], whole["b_min"], whole["pa"], beam, strict=True)]
    table = QTable({"ra": whole["ra"], "dec": whole["dec"], "flux": whole["flux_apparent"],
                    "peak": [flux * 5.4**2 / (one.major * one.minor).to_value(u.arcsec**2) for flux, one in
                             zip(whole["flux_apparent"].value, fitted, strict=True)],
                    "fitted_maj": [one.major.to_value(u.arcsec) for one in fitted] * u.arcsec,
                    "fitted_min": [one.minor.to_value(u.arcsec) for one in fitted] * u.arcsec,
                    "fitted_pa": [one.pa.to_value(u.deg) for one in fitted] * u.deg})
    errors = skygal.score(field, table).errors["snr"]
    assert sum(row["n"] for row in errors) == len(whole)
    for row in errors:
        for name, value, close in (("flux", 1, 1e-6), ("peak", 1, 0.01), ("b_maj", 1, 1e-4), ("b_min", 1, 1e-4),
                                   ("ra", 0, 1e-3), ("dec", 0, 1e-3)):
            assert row[name] == pytest.approx(value, abs=close), name
        assert row["pa"] is None or row["pa"] == pytest.approx(0, abs=0.1)


def test_peaks_are_those_between_pixels():
    """Points of a beam that is not round, on a turned grid: their flux, wherever in a pixel they are."""
    from radio_beam import Beam

    wcs = skygal.make_wcs("02h00m +60d", 128, 1.5 * u.arcsec)
    turn = np.radians(35)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    place = np.stack(np.meshgrid(np.arange(14, 120, 20.25), np.arange(14, 120, 20.37)), axis=-1).reshape(-1, 2)
    ra, dec = wcs.pixel_to_world_values(*place.T)
    n = len(place)
    faint = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": np.linspace(1, 5, n) * u.mJy,
                    "kind": np.full(n, "point")})
    field = skygal.simulate_field(wcs, n_sources=0, faint=faint, frequency=1.4 * u.GHz, noise=1 * u.mJy, seed=1,
                                  beam=Beam(6 * u.arcsec, 4 * u.arcsec, 20 * u.deg))
    truth = read_truth_set(field)
    flux = truth.components["flux"]
    assert (truth.components["peak_flux"] / flux).min() < 0.93
    assert component_peaks(truth) == pytest.approx(flux, rel=1e-3)


# intervals


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (3, 10), (10, 10), (700, 1000)])
def test_intervals_are_those_of_scipy(hits, total):
    from scipy.stats import binomtest

    low, high = wilson(hits, total, 0.95)
    ours = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((ours.low, ours.high), abs=1e-12)


def test_intervals_of_what_cannot_be():
    assert np.isnan(wilson(0, 0)).all()
    with pytest.raises(ValueError, match="hits must be from 0 to total"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 1"):
        wilson(1, 2, 1)


# what goes in and out


def test_it_is_written_and_read_back(tmp_path):
    field, _ = sky()
    field.write(tmp_path / "field")
    score = skygal.score(tmp_path / "field", tmp_path / "field" / "components.fits")
    assert score.write(tmp_path / "score", page=False) == tmp_path / "score"
    numbers = json.loads((tmp_path / "score" / "score.json").read_text())
    assert numbers["summary"]["completeness"]["rate"] == 1 and numbers["format"] == "skygal components"
    assert len(numbers["curves"]) == len(score.curves)
    sources = Table.read(tmp_path / "score" / "sources.ecsv")
    assert np.array_equal(sources["source_id"], score.truth.hosts["source_id"])
    assert [len(str(text).split()) for text in sources["rows"]] == sources["n_rows"].tolist()
    rows = Table.read(tmp_path / "score" / "rows.ecsv")
    assert set(rows["verdict"]) == {"component"} and np.array_equal(rows["source_id"], field.components["source_id"])
    parts = Table.read(tmp_path / "score" / "components.ecsv")
    assert np.array_equal(parts["row"], np.arange(len(parts)))
    with pytest.raises(FileExistsError):
        score.write(tmp_path / "score")
    # a table alone is as good, but for what an image tells
    alone = skygal.score(tmp_path / "field" / "truth.fits", tmp_path / "field" / "components.fits",
                         beam=5.4 * u.arcsec)
    assert alone.truth.components is not None and alone.summary["completeness"]["rate"] == 1


def test_long_tables_are_fits(tmp_path, monkeypatch):
    """With all that the text has."""
    _, truth = sky()
    names = np.array([f"\u00fcber {k}" for k in range(len(of_truth()))])
    found = replace(of_truth(), id=names, name="catalogue \u00fc")
    score = score_detections(truth, found)
    score.write(tmp_path / "text", page=False)
    monkeypatch.setattr("skygal.scoring.tables.LONGEST_TEXT", 10)
    score.write(tmp_path / "fits", page=False)
    for name in ("sources", "components", "rows"):
        text, other = Table.read(tmp_path / "text" / f"{name}.ecsv"), Table.read(tmp_path / "fits" / f"{name}.fits")
        assert text.colnames == other.colnames and len(text) == len(other)
        assert np.allclose(text["ra"], other["ra"], rtol=0, atol=1e-12) and other["ra"].unit == "deg"
        assert other.meta["TRUTH"] == "truth" and other.meta["CATALOGU"] == "catalogue ?"
    assert other["id"][0] == "?ber 0"


def test_a_source_of_very_many_rows_names_the_first(monkeypatch):
    _, truth = sky()
    monkeypatch.setattr("skygal.scoring.tables.MOST_LISTED", 0)
    found = chosen(of_truth(), np.zeros(12, int))
    table = source_table(score_detections(truth, found))
    row = int(truth.components["host"][0])
    assert table["n_rows"][row] == 12 and table["rows"][row].split() == [*["0"] * 10, "..."]


def test_two_catalogues():
    field, truth = sky()
    found = of_truth()
    half = chosen(found, np.arange(len(found)) % 2 == 0, flux=found.flux[::2] * 1.1)
    (row,) = compare_scores([score_detections(truth, found), score_detections(truth, half)])
    assert row["only_other"] == 0 and row["only_first"] + row["both"] == score_detections(truth, found).summary[
        "detectable"]
    assert row["chance"] < 0.05 and row["flux_ratio"] == pytest.approx(1.1, abs=0.02)
    assert compare_scores([]) == []


def test_an_empty_catalogue():
    field, _ = sky()
    score = skygal.score(field, Table({"ra": np.empty(0), "dec": np.empty(0), "flux": np.empty(0)}))
    assert rate(score, "completeness") == 0 and score.summary["reliability"]["rate"] is None
    assert set(score.matches.why_missed) == {"below 5 sigma", "not found"}
    assert "none" in repr(score) and score._repr_html_().startswith("<table>")


def test_another_field_is_refused():
    field, _ = sky()
    table = Table({"ra": [120.0], "dec": [10.0], "flux": [1.0]})
    with pytest.raises(ValueError, match="catalogue must be of the truth's field .* got none of 1 rows in it"):
        skygal.score(field, table)
    with pytest.raises(ValueError, match="catalogue must be of the truth's field"):
        skygal.score(field.truth, table, beam=5.4 * u.arcsec)


def test_rows_outside_the_image_count_for_nothing():
    field, truth = sky()
    found = of_truth()
    more = chosen(found, np.r_[np.arange(len(found)), [0, 0]])
    more = replace(more, dec=np.r_[found.dec, found.dec[0] + 1, found.dec[0] - 1])
    score = score_detections(truth, more)
    assert score.summary["outside"] == 2 and rate(score, "reliability") == 1


@pytest.mark.parametrize(("truth", "given", "error"), [
    (3, {}, "truth must be a field, a folder that skygal wrote, or a table, got 3"),
    (Table({"ra": [1.0], "dec": [1.0]}), {"beam": 5 * u.arcsec},
     "truth must have the columns ra, dec, flux, got no flux"),
    (Table({"ra": [1.0], "dec": [1.0], "flux": [1.0]}), {}, "beam must be given where truth is a table"),
    (QTable({"ra": [1.0] * u.deg, "dec": [1.0] * u.deg, "flux": [1.0] * u.m}), {"beam": 5 * u.arcsec},
     "truth must have 'flux' in units of Jy, got m"),
])
def test_truth_that_is_none(truth, given, error):
    with pytest.raises((TypeError, ValueError), match=error):
        read_truth_set(truth, **given)


def test_a_folder_of_several_fields_names_them(tmp_path):
    field, _ = sky()
    field.write(tmp_path / "all" / "one")
    field.write(tmp_path / "all" / "two")
    with pytest.raises(ValueError, match="holds several fields: give one of one, two in it"):
        read_truth_set(tmp_path / "all")


def test_blank_pixels_are_no_part_of_the_image():
    field, truth = sky()
    image = field.image.copy()
    image[:, :100] = np.nan
    x, y = np.random.default_rng(1).uniform(-40, 330, (2, 300))
    rows = blank_catalogue(*field.wcs.pixel_to_world_values(x, y), np.full(300, 90.0), np.full(300, 90.0))
    matches = match(replace(truth, image=image), rows)
    inside = (x > 99.5) & (x < 287.5) & (y > -0.5) & (y < 287.5)
    assert np.array_equal(matches.outside, ~inside) and (matches.host_of_row == -1).all()


def test_rows_beyond_the_image_that_are_sources_in_it_count():
    """Of a source that the border cuts the centre may lie outside."""
    wcs = skygal.make_wcs("01h00m +20d", 64, 1.8 * u.arcsec)
    ra, dec = wcs.pixel_to_world_values([-2.0, 30], [20.0, 40])
    table = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": [50, 20] * u.mJy, "las": [20, 10] * u.arcsec})
    field = skygal.simulate_field(wcs, table=table, beam=5.4 * u.arcsec, noise=0.05 * u.mJy, seed=4)
    assert (field.truth["x"] < -0.5).tolist() == [True, False]
    score = skygal.score(field, field.truth)
    assert rate(score, "completeness") == 1 and score.summary["outside"] == 0


def test_lazy_planes_are_looked_up_as_others_are():
    dask = pytest.importorskip("dask.array")
    field, truth = sky()
    lazy = replace(truth, **{name: dask.from_array(getattr(field, name), chunks=100)
                             for name in ("image", "segmentation")})
    x, y = np.random.default_rng(2).uniform(-20, 307, (2, 500))
    rows = blank_catalogue(*field.wcs.pixel_to_world_values(x, y), np.full(500, 1e-4), np.full(500, 1e-4))
    one, other = match(truth, rows), match(lazy, rows)
    assert np.array_equal(one.host_of_row, other.host_of_row) and np.array_equal(one.outside, other.outside)
    assert (one.how == "segmentation").any()


def test_positions_alone_are_matched():
    """As of a file of regions: without fluxes nothing is said of them."""
    _, truth = sky()
    found = of_truth()
    nothing = np.full(len(found), np.nan)
    score = score_detections(truth, replace(found, flux=nothing, peak=nothing))
    assert np.array_equal(score.matches.component_of_row, np.arange(len(found)))
    assert score.hosts["recovered"]["all"][0]["recovered"] is None
    json.dumps(score.to_dict(), allow_nan=False)


def test_a_field_without_sources_and_one_without_noise(tmp_path):
    wcs = skygal.make_wcs("00h00m +00d", 64, 1.8 * u.arcsec)
    empty = skygal.simulate_field(wcs, n_sources=0, noise=1 * u.mJy, beam=5.4 * u.arcsec, seed=1)
    score = skygal.score(empty, Table({"ra": [0.0, 100.0], "dec": [0.0, 0.0], "flux": [0.01, 0.01]}))
    assert score.summary["completeness"]["rate"] is None and rate(score, "reliability") == 0
    assert score.matches.outside.tolist() == [False, True]
    score.write(tmp_path / "empty")
    quiet = skygal.simulate_field(wcs, n_sources=5, flux=1 * u.mJy, beam=5.4 * u.arcsec, seed=1)
    score = skygal.score(quiet, quiet.components)
    assert rate(score, "completeness") == 1 and score.summary["detectable"] == 5
    assert score.errors["snr"][-1]["bin"] == "from 1000" and score.errors["snr"][-1]["n"] > 0
    score.write(tmp_path / "quiet")


def test_light_beyond_the_labels_is_of_the_source_that_it_is_of():
    """A bright source reaches further above the noise than its label, which ends at a hundredth of its peak."""
    wcs = skygal.make_wcs("01h00m +20d", 128, 1.8 * u.arcsec)
    ra, dec = wcs.pixel_to_world_values([64.0], [64.0])
    table = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": [1] * u.Jy, "las": [60] * u.arcsec})
    field = skygal.simulate_field(wcs, table=table, beam=5.4 * u.arcsec, noise=0.05 * u.mJy, seed=4)
    truth = read_truth_set(field)
    beyond = (field.segmentation == 0) & (field.model > 1e-4)
    assert beyond.sum() > 20
    y, x = (part.astype(float) for part in np.nonzero(beyond))
    ra, dec = wcs.pixel_to_world_values(x, y)
    rows = blank_catalogue(ra, dec, field.model[beyond].astype(float), field.model[beyond].astype(float))
    # without the ellipse, which holds some of them
    hosts = {**truth.hosts, "las": np.zeros(1)}
    bare = replace(truth, hosts=hosts, parts={})
    assert (match(bare, rows).host_of_row == 0).all()
    assert (match(replace(bare, model=np.zeros_like(field.model)), rows).host_of_row == -1).mean() > 0.9
    far = blank_catalogue(*wcs.pixel_to_world_values([5.0, 120], [5.0, 120]), np.full(2, 3e-4), np.full(2, 3e-4))
    assert (match(bare, far).host_of_row == -1).all()
