"""Each measure gives what is known of cases that can be worked out."""

import numpy as np
import pytest
from scipy import linalg, stats
from test_judges import made_up

from skygal.evaluation.classifier_tests import (
    balanced_accuracy,
    told_accuracy,
    told_area,
    train_and_test,
    two_sample_test,
)
from skygal.evaluation.fidelity import frechet_distance
from skygal.evaluation.memorisation import compare_distances, nearest_distance, nearest_stamp
from skygal.evaluation.results import Result, format_results, format_value
from skygal.evaluation.shapes import (
    STATISTICS,
    asymmetry,
    band_power,
    bending_angle,
    compare_samples,
    peak_density,
    shape_statistics,
)
from skygal.evaluation.statistics import accuracy_error, bootstrap_error, hold_out, matched_rows
from skygal.training import stamp_classifier


def test_frechet_distance_of_gaussians():
    rng = np.random.default_rng(0)
    one, two = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 1.0, 9.0])
    x, y = rng.multivariate_normal([0, 0, 0], one, 200_000), rng.multivariate_normal([1, 0, 2], two, 200_000)
    # commuting covariances: the sum of squared differences of the standard deviations
    assert frechet_distance(x, y) == pytest.approx(5 + 1 + 1, rel=0.02)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x))


def test_frechet_distance_is_the_textbook_formula():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6)), rng.standard_normal((40, 6))
    one, two = np.cov(x.T), np.cov(y.T)
    direct = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(one + two - 2 * linalg.sqrtm(one @ two).real)
    assert frechet_distance(x, y) == pytest.approx(direct, rel=1e-6)
    with pytest.raises(ValueError, match=r"features must have shapes .* got \(50, 6\) and \(40, 5\)"):
        frechet_distance(x, y[:, :5])
    with pytest.raises(ValueError, match="n, m of at least 2"):
        frechet_distance(x, y[:1])


def test_bootstrap_error_of_a_mean():
    x = np.random.default_rng(0).standard_normal(400)
    assert bootstrap_error(np.mean, x, rng=np.random.default_rng(1)) == pytest.approx(0.05, rel=0.2)
    both = bootstrap_error(lambda a, b: a.mean() - b.mean(), x, x, rng=np.random.default_rng(1))
    assert both == pytest.approx(0.05 * np.sqrt(2), rel=0.2)
    with pytest.raises(ValueError, match="n_boot must be at least 2, got 1"):
        bootstrap_error(np.mean, x, rng=np.random.default_rng(1), n_boot=1)


def test_matched_rows_have_the_mix():
    rng = np.random.default_rng(0)
    label, like = np.repeat([0, 1], [500, 300]), np.repeat([0, 1], [10, 30])
    rows = matched_rows(label, like, rng=rng)
    assert len(rows) == len(set(rows.tolist())) == 400 and np.bincount(label[rows]).tolist() == [100, 300]
    with pytest.raises(ValueError, match=r"label must hold enough of 0, 1 for a row, got \[0, 300\]"):
        matched_rows(label[500:], like, rng=rng)


def ridge(curve, length=30.0, size=(121, 161), tilt=0.0):
    """Return an evenly bright ridge y = curve x^2 + tilt x between x = +-length."""
    y, x = np.indices(size) - (np.array(size)[:, None, None] - 1) / 2
    return np.where(np.abs(x) <= length, np.exp(-0.5 * (y - curve * x**2 - tilt * x) ** 2 / 1.5**2), 0)


@pytest.mark.parametrize("curve", [0.0, 0.002, -0.005, 0.012])
def test_bending_of_a_parabola(curve):
    found = bending_angle(np.stack([ridge(curve), ridge(curve)[::-1]]))
    assert found == pytest.approx(np.degrees(2 * np.arctan(2 * abs(curve) * 30)), abs=1.5)
    assert bending_angle(3 * ridge(curve, tilt=0.03)[None])[0] == pytest.approx(found[0], abs=3)


def test_asymmetry_of_known_shapes():
    even = ridge(0.0)
    # two separate lobes, one of them dark in the second image, and equal but for a flux ratio of 3 in the third
    y, x = np.indices((40, 81)) - np.array([19.5, 40])[:, None, None]
    lobe = [np.exp(-0.5 * ((x - at) ** 2 + y**2) / 4) for at in (-15, 15)]
    found = asymmetry(np.stack([lobe[0] + lobe[1], lobe[0] + 1e-6 * lobe[1]]))
    assert asymmetry(even[None])[0] == pytest.approx(0, abs=0.01)
    assert found == pytest.approx([0, 0], abs=0.02)
    # turned about the centre of flux, a quarter of the way, nothing falls on anything
    assert asymmetry((lobe[0] + lobe[1] / 3)[None])[0] == pytest.approx(1, abs=0.05)


def test_power_of_a_gaussian_falls_as_it_must():
    y, x = np.indices((80, 144)) - np.array([39.5, 71.5])[:, None, None]
    wide, narrow = (np.exp(-0.5 * (x**2 + y**2) / sigma**2) for sigma in (8.0, 1.274))
    found = band_power(np.stack([wide, narrow]), beam_fwhm=3.0)
    assert (np.diff(found[1]) < 0).all() and (found[0] < found[1]).all()
    # the beam's own power in the middle band: the mean of exp(-4 pi^2 sigma^2 k^2)
    k = np.hypot(np.fft.fftfreq(80)[:, None], np.fft.rfftfreq(144)[None])
    here = (3 * k >= 0.15) & (3 * k < 0.35)
    assert found[1, 1] == pytest.approx(np.log10(np.exp(-4 * (np.pi * 1.274 * k[here]) ** 2).mean()), abs=0.01)


def test_statistics_are_named_and_finite():
    images, _ = made_up(6)
    found = shape_statistics(np.where(images > 0.05, images, 0), beam_fwhm=3.0)
    assert tuple(found) == STATISTICS
    assert all(values.shape == (6,) and np.isfinite(values).all() for values in found.values())
    assert found["components"].tolist() == [1, 2, 1, 2, 1, 2] or (found["components"][1::2] == 2).all()
    assert (found["axis ratio"] < 0.6).all() and (found["las"] > 8).all()


def test_lumps_are_counted():
    y, x = np.indices((80, 144), float)
    smooth = np.exp(-0.5 * (((x - 71.3) / 20) ** 2 + ((y - 39.6) / 8) ** 2))
    # one lump for all pixels above 2 % of the peak, 2 pi sigma_x sigma_y ln(50) of them
    assert peak_density(smooth[None])[0] == pytest.approx(1000 / (2 * np.pi * 160 * np.log(50)), rel=0.02)
    places = [(20, 40), (50, 42), (75, 38), (110, 40), (60, 20)]
    spots = np.max([np.exp(-0.5 * ((x - a - 0.2) ** 2 + (y - b + 0.3) ** 2) / 1.27**2) for a, b in places], axis=0)
    faint = 0.01 * np.exp(-0.5 * ((x - 130) ** 2 + (y - 60) ** 2) / 1.27**2)      # too faint to look at
    found = peak_density(np.stack([spots, spots + faint]))
    assert found == pytest.approx(1000 / (2 * np.pi * 1.27**2 * np.log(50)), rel=0.1)
    mottled = smooth * (1 + 0.3 * np.sin(x) * np.sin(y))
    assert peak_density(mottled[None])[0] > 30 * peak_density(smooth[None])[0]
    assert peak_density(np.zeros((1, 8, 8)))[0] == 0


def test_compared_samples_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(200), rng.standard_normal(150) + 0.3
    expected = stats.ks_2samp(x, y, method="asymp")
    assert compare_samples(x, y) == pytest.approx((expected.statistic, expected.pvalue))
    assert compare_samples(x, x)[1] == pytest.approx(1)
    with pytest.raises(ValueError, match="samples must not be empty, got 0 and 150 values"):
        compare_samples(x[:0], y)


def test_identical_samples_cannot_be_told_apart_and_disjoint_ones_can(monkeypatch):
    # steps enough, of few stamps
    monkeypatch.setattr(stamp_classifier, "BATCH_SIZE", 8)
    images, label = made_up(240)
    cores, doubles = images[label == 0], images[label == 1]
    told = two_sample_test(cores[:30], cores[30:60], cores[60:90], cores[90:], seeds=range(2), epochs=10)
    assert told[0].shape == told[1].shape == (30,)
    assert told_accuracy(*told) == pytest.approx(0.5, abs=0.12) and told_area(*told) == pytest.approx(0.5, abs=0.2)
    told = two_sample_test(cores[:30], doubles[:30], cores[30:], doubles[30:], seeds=[0], epochs=20)
    assert told_accuracy(*told) > 0.95 and told_area(*told) > 0.98


def test_area_needs_no_threshold():
    rng = np.random.default_rng(0)
    first, second = 0.7 + 0.05 * rng.standard_normal(500), 0.8 + 0.05 * rng.standard_normal(400)
    assert told_accuracy(first, second) == pytest.approx(0.5, abs=0.01)
    every = (second[None] > first[:, None]).mean()
    assert told_area(first, second) == pytest.approx(every)
    assert told_area(first, first) == 0.5 and told_area(np.zeros(3), np.ones(4)) == 1


def test_classifiers_learn_from_one_sample_about_another(monkeypatch):
    monkeypatch.setattr(stamp_classifier, "BATCH_SIZE", 8)
    images, label = made_up(140)
    named = train_and_test(images[:60], label[:60], images[60:], seeds=[0], epochs=8)
    assert named.shape == (1, 80) and balanced_accuracy(named[0], label[60:]) > 0.9


def test_balanced_accuracy_weighs_classes_alike():
    assert balanced_accuracy([0, 0, 0, 0, 0], [0, 0, 0, 0, 1]) == 0.5
    with pytest.raises(ValueError, match="predicted must have the shape of label"):
        balanced_accuracy([0, 1], [0, 1, 1])


def test_a_copy_is_found_in_any_flip():
    images, _ = made_up(60)
    train, others = images[:40], images[40:]
    copies = np.stack([train[7], train[8][::-1], train[9][:, ::-1], train[10][::-1, ::-1]])
    distance, index = nearest_stamp(copies, train)
    assert distance == pytest.approx(0, abs=1e-6) and index.tolist() == [7, 8, 9, 10]
    held = nearest_stamp(others, train)[0]
    assert held.min() > 0.01
    near = compare_distances(distance, held)
    assert near.below_1 == near.below_5 == 1 and near.median_ratio == pytest.approx(0, abs=1e-4)
    assert compare_distances(held, held).median_ratio == 1
    with pytest.raises(ValueError, match="distances must not be empty, got 0 and 20 values"):
        compare_distances(held[:0], held)


def test_nearest_distance_is_the_least_of_all():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 5)), rng.standard_normal((40, 5))
    every = np.linalg.norm(x[:, None] - y[None], axis=2)
    distance, index = nearest_distance(x, y)
    assert distance == pytest.approx(every.min(axis=1), rel=1e-5) and np.array_equal(index, every.argmin(axis=1))
    with pytest.raises(ValueError, match=r"points must have shapes .* got \(300, 5\) and \(0, 5\)"):
        nearest_distance(x, y[:0])


def test_rows_as_text():
    text = format_results([Result("a", "all", 0.5, np.nan, np.nan, np.nan, "over 0.05", True)])
    assert text.splitlines()[1].split() == ["a", "all", "0.500", "-", "over", "0.05:", "met"]
    assert format_value(1.23456, 0.1) == "1.235 ± 0.100"
    assert accuracy_error(np.array([True, False])) == pytest.approx(np.sqrt(0.125))
    first, second = hold_out(10, 0.7, np.random.default_rng(0))
    assert len(first) == 7 and sorted([*first, *second]) == list(range(10))
