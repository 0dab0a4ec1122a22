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
from skygal.scoring import Detections, compare_scores, match, read_detections, read_truth_set, wilson
from skygal.scoring.matching import Pairs, assign, find_pairs
from skygal.scoring.score import score_detections
from skygal.scoring.truth import offsets


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


# the assignment, beside a search of all


def greatest_sum(gain):
    """Return the greatest sum of gains of pairs that share no row and no column."""
    rows, columns = gain.shape
    best = 0.0
    for some in itertools.product(range(-1, columns), repeat=rows):
        used = [column for column in some if column >= 0]
        if len(set(used)) == len(used):
            best = max(best, sum(gain[row, column] for row, column in enumerate(some) if column >= 0))
    return best


@settings(max_examples=300)
@given(st.integers(1, 5), st.integers(1, 4), st.floats(0.1, 1), st.integers(0, 2**32 - 1))
def test_the_assignment_is_the_best_there_is(rows, columns, share, seed):
    rng = np.random.default_rng(seed)
    there = rng.random((rows, columns)) < share
    gain = np.where(there, rng.exponential(5, (rows, columns)), -np.inf)
    i, j = np.nonzero(there)
    order = rng.permutation(len(i))
    pairs = Pairs(i[order], j[order], rng.random(len(i)), gain[i, j][order])
    made = assign(pairs, rows, columns)
    assert np.bincount(pairs.row[made], minlength=rows).max() <= 1
    assert np.bincount(pairs.component[made], minlength=columns).max() <= 1
    assert pairs.likelihood[made].sum() == pytest.approx(greatest_sum(gain))


def test_a_large_group_is_solved_as_a_small_one(monkeypatch):
    rng = np.random.default_rng(5)
    for _ in range(20):
        there = rng.random((30, 25)) < 0.15
        i, j = np.nonzero(there)
        pairs = Pairs(i, j, rng.random(len(i)), rng.exponential(5, len(i)))
        monkeypatch.setattr("skygal.scoring.matching.LARGEST_MATRIX", 10**6)
        small = assign(pairs, 30, 25)
        monkeypatch.setattr("skygal.scoring.matching.LARGEST_MATRIX", 0)
        large = assign(pairs, 30, 25)
        assert pairs.likelihood[large].sum() == pytest.approx(pairs.likelihood[small].sum())
        assert np.bincount(pairs.row[large]).max() == np.bincount(pairs.component[large]).max() == 1


def blank_catalogue(ra, dec, flux, peak):
    n = len(ra)
    nothing, words = np.full(n, np.nan), np.full(n, "")
    return Detections("made", "made", "component", np.arange(n), words, words, np.full(n, -1), ra, dec, flux, peak,
                      nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_pairs_are_all_that_are_likelier_than_chance(seed, n):
    """The tree finds what a loop over all pairs finds, by the formula of the documentation."""
    _, truth = sky()
    rng = np.random.default_rng(seed)
    some = rng.integers(0, len(truth.components["ra"]), n)
    ra = truth.components["ra"][some] + rng.normal(0, 2, n) / 3600
    dec = truth.components["dec"][some] + rng.normal(0, 2, n) / 3600
    flux = truth.components["flux"][some] * np.exp(rng.normal(0, 0.5, n))
    peak = np.minimum(truth.components["peak_flux"][some], flux)
    found = blank_catalogue(ra % 360, dec, flux, peak)
    target = {"ra": truth.components["ra"], "dec": truth.components["dec"], "flux": truth.components["flux"],
              "peak": truth.components["peak_flux"], "noise": truth.hosts["local_rms"][truth.components["host"]]}
    pairs = find_pairs(truth, target, found, np.ones(n, bool))
    beam, area = 5.4, (288 * 1.8)**2
    width = np.maximum(beam * np.sqrt(target["flux"] / target["peak"]), beam)
    snr = np.clip(target["peak"] / target["noise"], 1, 1000)
    expected = {}
    for row in range(n):
        east, north = offsets(target["ra"], target["dec"], found.ra[row], found.dec[row])
        sigma = width * np.hypot(0.1, 0.5 / snr)
        own = max(beam * np.sqrt(flux[row] / peak[row]), beam)
        parts = -0.5 * np.hypot(east, north)**2 / sigma**2 - np.log(2 * np.pi * sigma**2 * len(width) / area)
        for value, model, span in ((flux[row], target["flux"], 1000), (own, width, 10)):
            mean = (value + model) / 2
            spread = np.hypot(0.3, model / snr / mean)
            parts = parts - 0.5 * ((value - model) / mean / spread)**2 - np.log(np.sqrt(2 * np.pi) * spread
                                                                                / np.log(span))
        good = (np.hypot(east, north) < 5 * sigma) & (parts > 1e-3)
        expected |= {(row, int(part)): parts[part] for part in np.flatnonzero(good)}
    got = {(int(row), int(part)): value for row, part, value in zip(pairs.row, pairs.component, pairs.likelihood,
                                                                    strict=True)}
    assert set(expected) <= set(got)
    assert all(got[pair] == pytest.approx(value, abs=0.01) for pair, value in expected.items())
    assert all(value > 0 for value in got.values())


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
    whole = field.truth[np.isin(field.truth["morphology"], ("point", "gaussian")) & (field.truth["snr"] > 3)]
    beam = [(5.4, 5.4, 0.0)] * len(whole)
    from radio_beam import Beam

    fitted = [Beam(a, b, pa).convolve(Beam(*(axis * unit for axis, unit in zip(psf, (u.arcsec, u.arcsec, u.deg),
                                                                                strict=True))))
              for a, b, pa, psf in zip(whole["b_maj"], whole["b_min"], whole["pa"], beam, strict=True)]
    table = QTable({"ra": whole["ra"], "dec": whole["dec"], "flux": whole["flux_apparent"],
                    "peak": whole["peak_flux"], "fitted_maj": [one.major.to_value(u.arcsec) for one in fitted] * u.arcsec,
                    "fitted_min": [one.minor.to_value(u.arcsec) for one in fitted] * u.arcsec,
                    "fitted_pa": [one.pa.to_value(u.deg) for one in fitted] * u.deg})
    errors = skygal.score(field, table).errors["snr"]
    assert sum(row["n"] for row in errors) == len(whole)
    for row in errors:
        for name, value, close in (("flux", 1, 1e-6), ("peak", 1, 1e-6), ("b_maj", 1, 1e-4), ("b_min", 1, 1e-4),
                                   ("ra", 0, 1e-3), ("dec", 0, 1e-3)):
            assert row[name] == pytest.approx(value, abs=close), name
        assert row["pa"] is None or row["pa"] == pytest.approx(0, abs=0.1)


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
    assert score.write(tmp_path / "score") == tmp_path / "score"
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


def test_blank_pixels_are_no_part_of_the_image(tmp_path):
    field, truth = sky()
    image = field.image.copy()
    image[:, :100] = np.nan
    part = replace(truth, image=image)
    matches = match(part, of_truth())
    assert np.array_equal(matches.outside, np.rint(np.asarray(field.components["x"])) < 100)
