"""The score of SDC1, beside a loop over all pairs by its rules and beside the challenge's own program where that is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from export_fields import small_field
from hypothesis import given, settings
from hypothesis import strategies as st

import skygal
from skygal.scoring import official_sdc1_score, read_truth_set, sdc1_score
from skygal.scoring.sdc import TERMS, truth_columns
from skygal.truth.exports.sdc1 import COLUMNS, in_training_area

# ska-sdc leaves files of its own open
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"),
              pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

FWHM_OF = {1: 2.355 / 5, 2: 1.0, 3: np.sqrt(2)}


def catalogue(rng, n, *, dec=-30.0, side=0.02):
    """Return columns of sources somewhere in a small field."""
    ra, north = rng.uniform(0.1, 0.1 + side, n), dec + rng.uniform(0, side, n)
    flux = 10**rng.uniform(-5, -2, n)
    major = rng.uniform(0.5, 6, n)
    return {"id": np.arange(1, n + 1), "ra_core": ra, "dec_core": north, "ra_cent": ra + rng.normal(0, 1e-5, n),
            "dec_cent": north, "flux": flux, "core_frac": rng.random(n), "b_maj": major,
            "b_min": major * rng.uniform(0.2, 1, n), "pa": rng.uniform(0, 180, n), "size": rng.integers(1, 4, n),
            "class": rng.integers(1, 4, n)}


def entry_of(rng, truth, n):
    """Return columns of rows near some of the sources, some of them more than once."""
    some = rng.integers(0, len(truth["flux"]), n)
    out = {name: values[some].copy() for name, values in truth.items()}
    out["id"] = np.arange(1, n + 1)
    for name in ("ra_core", "dec_core"):
        out[name] = out[name] + rng.normal(0, 0.5, n) / 3600
    out["ra_cent"], out["dec_cent"] = out["ra_core"], out["dec_core"]
    for name, spread in (("flux", 0.3), ("b_maj", 0.3), ("b_min", 0.3)):
        out[name] = out[name] * np.exp(rng.normal(0, spread, n))
    out["pa"] = (out["pa"] + rng.normal(0, 15, n)) % 180
    out["core_frac"] = np.clip(out["core_frac"] + rng.normal(0, 0.05, n), 0, 1)
    out["size"], out["class"] = rng.integers(1, 4, n), rng.integers(1, 4, n)
    return out


def by_the_rules(truth, entry, beam, shared):
    """Score in loops, as the rules are written down."""
    def place(columns, k, where):
        return SkyCoord(columns[f"ra_{where}"][k], columns[f"dec_{where}"][k], unit="deg")

    def convolved(columns, k):
        largest = max(columns["b_maj"][k], columns["b_min"][k]) * FWHM_OF[int(columns["size"][k])]
        return np.hypot(largest, beam)

    def mean(columns, k):
        return (columns["b_maj"][k] + columns["b_min"][k]) / 2 * FWHM_OF[int(columns["size"][k])]

    best = {}
    for row in range(len(entry["flux"])):
        for source in range(len(truth["flux"])):
            away = place(entry, row, "core").separation(place(truth, source, "core")).arcsec
            if away > (convolved(truth, source) if shared else convolved(entry, row)):
                continue
            size = convolved(truth, source)
            error = np.sqrt((away / size / 0.93)**2
                            + ((entry["flux"][row] - truth["flux"][source]) / truth["flux"][source] / 0.36)**2
                            + ((mean(entry, row) - mean(truth, source)) / size / 4.38)**2)
            if row not in best or error < best[row][1]:
                best[row] = source, error
    if not shared:
        for source in {one for one, _ in best.values()}:
            rows = sorted((row for row in best if best[row][0] == source), key=lambda row: best[row][1])
            for row in rows[1:]:
                del best[row]
    sharing = [source for source, _ in best.values()]
    best = {row: source for row, (source, error) in best.items() if error < 5}
    total = 0.0
    for row, source in best.items():
        t, e = ({name: values[k] for name, values in columns.items()} for columns, k in ((truth, source),
                                                                                         (entry, row)))
        away = min(place(entry, row, where).separation(place(truth, source, where)).arcsec
                   for where in ("core", "cent"))
        to_truth = FWHM_OF[int(e["size"])] / FWHM_OF[int(t["size"])]
        turn = abs((e["pa"] - t["pa"] + 90) % 180 - 90)
        terms = [0.3 * np.sqrt(4 * beam**2 + ((t["b_maj"] + t["b_min"]) / 2)**2) / away,
                 0.1 * t["flux"] / abs(e["flux"] - t["flux"]),
                 0.3 * t["b_maj"] / abs(e["b_maj"] * to_truth - t["b_maj"]),
                 1 if t["size"] == 1 else 0.3 * t["b_min"] / abs(e["b_min"] * to_truth - t["b_min"]),
                 1 if t["size"] == 1 else 10 / turn,
                 0.05 / (abs(e["core_frac"] - t["core_frac"]) / 0.75) if e["core_frac"] != t["core_frac"] else 1,
                 float(e["class"] == t["class"])]
        total += sum(min(1, term) for term in terms) / 7 / (sharing.count(source) if shared else 1)
    return total - (len(entry["flux"]) - len(best)), len(best)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["penalised", "shared"]), st.sampled_from([-30.0, 0.0, 75.0]))
def test_by_the_rules(seed, duplicates, dec):
    rng = np.random.default_rng(seed)
    truth = catalogue(rng, 8, dec=dec, side=0.003)
    entry = entry_of(rng, truth, 10)
    got = sdc1_score(truth, entry, 1.5, duplicates=duplicates)
    score, matched = by_the_rules(truth, entry, 1.5, duplicates == "shared")
    assert (got["score"], got["matched"]) == (pytest.approx(score, abs=1e-9), matched)
    order = rng.permutation(10)
    again = sdc1_score(truth, {name: values[order] for name, values in entry.items()}, 1.5, duplicates=duplicates)
    assert again["score"] == pytest.approx(got["score"], abs=1e-9)


def test_truth_has_full_marks_and_each_row_twice_loses_one_a_row():
    rng = np.random.default_rng(1)
    truth = catalogue(rng, 50)
    n = len(truth["flux"])
    got = sdc1_score(truth, truth, 1.5)
    assert got["score"] == pytest.approx(n) and got["accuracy"] == pytest.approx(1)
    assert all(got["terms"][name] == pytest.approx(1) for name in TERMS)
    twice = {name: np.tile(values, 2) for name, values in truth.items()}
    assert sdc1_score(truth, twice, 1.5)["score"] == pytest.approx(n - n)
    assert sdc1_score(truth, twice, 1.5, duplicates="shared")["score"] == pytest.approx(n)


def test_what_is_not_known_scores_nothing():
    rng = np.random.default_rng(2)
    truth = catalogue(rng, 20, side=0.1)
    truth["size"][:] = 2
    bare = {**truth, "core_frac": np.full(20, np.nan), "pa": np.full(20, np.nan), "class": np.zeros(20, int)}
    got = sdc1_score(truth, bare, 1.5)
    assert got["matched"] == 20 and got["score"] == pytest.approx(20 * 4 / 7)
    assert got["terms"]["pa"] == got["terms"]["core_frac"] == got["terms"]["class"] == 0


def test_of_a_catalogue():
    field = small_field()
    score = skygal.score(field, field.truth, sdc1="penalised")
    assert score.sdc["ours"]["matched"] == len(field.truth)
    # positions, fluxes; sizes of stamps are LAS there, and a finder's are FWHM
    assert score.sdc["ours"]["terms"]["position"] == pytest.approx(1)
    assert score.sdc["ours"]["terms"]["flux"] == pytest.approx(1)
    assert any("SDC1" in words for words, _ in score.lines())
    with pytest.raises(ValueError, match="sdc1 must be one of 'penalised', 'shared', got 'half'"):
        skygal.score(field, field.truth, sdc1="half")


def test_of_an_entry(tmp_path):
    field = small_field()
    path = field.export(tmp_path / "entry.txt", "sdc1", header=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        score = skygal.score(field, path, sdc1="penalised")
    assert score.found.format == "SDC1"
    assert score.sdc["ours"]["score"] == pytest.approx(len(field.truth), rel=1e-6)


@pytest.mark.parametrize(("change", "error"), [({"b_maj": 0.0}, "truth must have b_maj above 0, got 0.0"),
                                               ({"flux": -1.0}, "truth must have flux above 0, got -1.0")])
def test_truth_that_cannot_be_scored(change, error):
    truth = catalogue(np.random.default_rng(3), 5)
    for name, value in change.items():
        truth[name][2] = value
    with pytest.raises(ValueError, match=error):
        sdc1_score(truth, truth, 1.5)


def test_rows_that_are_alike_but_for_what_is_scored_in_any_order():
    """Of rows as near, bright and large as each other it is not the order that says which one counts."""
    truth = catalogue(np.random.default_rng(7), 6, side=0.1)
    truth["size"][:] = 2
    twice = {name: np.tile(values, 2) for name, values in truth.items()}
    twice["class"][6:] = truth["class"] % 3 + 1
    twice["pa"][6:] = (truth["pa"] + 90) % 180
    back = {name: values[::-1] for name, values in twice.items()}
    assert sdc1_score(truth, twice, 1.5) == sdc1_score(truth, back, 1.5)
    mirrored = {name: values[::-1] for name, values in truth.items()}
    assert sdc1_score(mirrored, twice, 1.5) == sdc1_score(truth, twice, 1.5)


@pytest.mark.parametrize("duplicates", ["penalised", "shared"])
def test_pairs_looked_at_by_parts(monkeypatch, duplicates):
    rng = np.random.default_rng(8)
    truth = catalogue(rng, 60, side=0.003)
    entry = entry_of(rng, truth, 90)
    whole = sdc1_score(truth, entry, 1.5, duplicates=duplicates)
    monkeypatch.setattr("skygal.scoring.sdc.CHUNK", 7)
    assert sdc1_score(truth, entry, 1.5, duplicates=duplicates) == whole


def test_a_row_too_unlike_shares_too():
    """As in the second challenge, which counts rows at a source before it looks at how unlike they are."""
    truth = catalogue(np.random.default_rng(9), 1)
    two = {name: np.tile(values, 2) for name, values in truth.items()}
    two["flux"][1] *= 10
    got = sdc1_score(truth, two, 1.5, duplicates="shared")
    assert (got["matched"], got["rejected"]) == (1, 1)
    assert got["score"] == pytest.approx(0.5 - 1)


def test_what_is_lacking_is_said():
    field = small_field()
    ours = skygal.score(field, field.components, sdc1="penalised").sdc["ours"]
    assert "core_frac" in ours["lacking"] and ours["terms"]["core_frac"] == 0
    truth = catalogue(np.random.default_rng(10), 5)
    assert sdc1_score(truth, truth, 1.5)["lacking"] == []


@pytest.mark.parametrize(("name", "value", "error"), [
    ("size", 4, "truth must have size 1, 2 or 3, got 4.0 and 1 such rows"),
    ("ra_cent", np.nan, "truth must have ra_cent finite, got nan"),
])
def test_columns_of_truth(name, value, error):
    truth = catalogue(np.random.default_rng(11), 5)
    truth[name] = truth[name].astype(float)
    truth[name][3] = value
    with pytest.raises(ValueError, match=error):
        sdc1_score(truth, truth, 1.5)


def test_columns_that_are_missing_or_short():
    truth = catalogue(np.random.default_rng(12), 5)
    some = {name: values for name, values in truth.items() if name not in ("pa", "class")}
    with pytest.raises(ValueError, match="entry must have the columns id, .*, got none of pa, class"):
        sdc1_score(truth, some, 1.5)
    with pytest.raises(ValueError, match="entry must have columns of one length"):
        sdc1_score(truth, {**truth, "pa": truth["pa"][:3]}, 1.5)
    with pytest.raises(ValueError, match="beam must be a finite number above 0"):
        sdc1_score(truth, truth, 0.0)


def test_nothing_to_score():
    truth = catalogue(np.random.default_rng(4), 5)
    none = {name: values[:0] for name, values in truth.items()}
    assert sdc1_score(truth, none, 1.5)["score"] == 0
    assert sdc1_score(none, truth, 1.5)["score"] == -5


# the challenge's own program


@pytest.fixture
def official():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("ska_sdc", reason="needs pip install 'skygal[exports-test]'")
    return official_sdc1_score


@pytest.mark.parametrize("frequency", [560, 1400, 9200])
@pytest.mark.parametrize("positions", ["core", "centroid"])
def test_beside_the_official_score(official, frequency, positions):
    """On the equator, with its beam and angles that it does not fold, the rules are the same."""
    rng = np.random.default_rng(frequency)
    truth = catalogue(rng, 400, dec=0.0, side=0.3)
    truth["pa"] = rng.uniform(0, 20, 400)
    entry = entry_of(rng, truth, 500)
    entry["pa"] = np.clip(truth["pa"][np.arange(500) % 400] * 0 + rng.uniform(0, 40, 500), 0, 40)
    theirs = official(truth, entry, frequency, positions=positions)
    ours = sdc1_score(truth, entry, 0.25 * 1400 / frequency, positions=positions)
    assert theirs["matched"] > 50
    for name in ("rows", "matched", "false", "rejected"):
        assert ours[name] == theirs[name], name
    assert ours["score"] == pytest.approx(theirs["score"], abs=1e-6)
    for name in TERMS:
        assert ours["terms"][name] == pytest.approx(theirs["terms"][name], abs=1e-8), name


@pytest.mark.parametrize("frequency", [560, 1400, 9200])
def test_our_export_has_full_marks(official, frequency):
    truth = truth_columns(read_truth_set(small_field()))
    theirs = official(truth, truth, frequency)
    assert theirs["left_out"] == 0 and theirs["score"] == pytest.approx(theirs["rows"])
    ours = sdc1_score(truth, truth, 5.4)
    assert ours["score"] == pytest.approx(theirs["score"])


def test_traps_of_the_official_score(official):
    truth = catalogue(np.random.default_rng(6), 5)
    for name, value, error in (("b_min", 0.0, "truth must have b_min finite, not negative"),
                               ("core_frac", -0.1, "truth must have core_frac finite"),
                               ("flux", np.nan, "truth must have flux finite")):
        bad = {**truth, name: np.full(5, value)}
        with pytest.raises(ValueError, match=error):
            official(bad, truth, 1400)
    twice = {**truth, "id": np.array([1, 2, 3, 4, 4])}
    with pytest.raises(ValueError, match="entry must have each id once for the official score, got 4 2 times"):
        official(truth, twice, 1400)
    with pytest.raises(ValueError, match="entry must have the columns id, .*, got none of pa"):
        official(truth, {name: values for name, values in truth.items() if name != "pa"}, 1400)
    with pytest.raises(ValueError, match="truth must have sources in the training area of 1400 MHz"):
        official(truth, truth, 1400, training=True)
    with pytest.raises(ValueError, match="frequency must be 560, 1400 or 9200 MHz"):
        official(truth, truth, 1500)
    assert set(COLUMNS) == set(truth)


@pytest.mark.parametrize(("frequency", "side"), [(560, 0.2), (1400, 0.1), (9200, 0.02)])
@pytest.mark.parametrize("training", [False, True])
def test_where_the_official_score_looks(official, frequency, side, training):
    """Around the corner of the training area some rows are on either side."""
    truth = catalogue(np.random.default_rng(13), 200, dec=-29.94 - side / 2, side=side)
    for name in ("ra_core", "ra_cent"):
        truth[name] = truth[name] - 0.1 - side / 2
    inside = in_training_area(truth["ra_core"], truth["dec_core"], frequency)
    assert 10 < inside.sum() < 190
    theirs = official(truth, truth, frequency, training=training)
    wanted = inside if training else ~inside
    assert theirs["rows"] == wanted.sum() == 200 - theirs["left_out"] == 200 - theirs["truth_left_out"]
    mine = {name: values[wanted] for name, values in truth.items()}
    assert sdc1_score(mine, mine, 0.25 * 1400 / frequency)["score"] == pytest.approx(wanted.sum())


def test_nothing_matched_is_nothing_in_the_official_score(official):
    truth = catalogue(np.random.default_rng(14), 5)
    far = {**truth, "ra_core": truth["ra_core"] + 10, "ra_cent": truth["ra_cent"] + 10}
    theirs, ours = official(truth, far, 1400), sdc1_score(truth, far, 0.25)
    assert (theirs["score"], theirs["matched"], theirs["false"]) == (0, 0, 5)
    assert (ours["score"], ours["matched"], ours["false"]) == (-5, 0, 5)
