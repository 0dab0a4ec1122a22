"""Latents: drawn from the key of each source, as asked."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from skygal.morphology.conditions import ConditionTable
from skygal.morphology.latents import Latents, check_latents, largest_extent, sample_conditions, sample_latent_values
from skygal.seeds import Seeds, key_generator

KEYS = Seeds(11).keys("latent", 2000)
MODEL = SimpleNamespace(tables={name: ConditionTable.of_stamps(np.linspace(low, high, 6501), np.resize(
    np.linspace(0, 1, 251), 6501)) for name, low, high in (("FRI", 5, 60), ("FRII", 3, 80))})


def test_keys_do_not_depend_on_their_number():
    np.testing.assert_array_equal(Seeds(11).keys("latent", 10), KEYS[:10])
    assert np.unique(KEYS).size == KEYS.size and KEYS.min() >= 0
    assert not np.array_equal(Seeds(12).keys("latent", 10), KEYS[:10])
    assert not np.array_equal(Seeds(11).keys("flux", 10), KEYS[:10])


@pytest.mark.parametrize("name", ["balanced", "prior", "pairs"])
def test_normal(name):
    values = sample_latent_values(name, KEYS, 8)
    assert values.shape == (2000, 8) and values.dtype == np.float32
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    np.testing.assert_array_equal(sample_latent_values(name, KEYS[5:7], 8), values[5:7])


def test_uniform_fills_the_box():
    values = sample_latent_values("uniform", KEYS, 8)
    assert stats.kstest(values.ravel(), "uniform", args=(-4, 8)).pvalue > 1e-3


def test_own_values():
    own = np.arange(8.0)
    np.testing.assert_array_equal(sample_latent_values(check_latents(own, 8), KEYS[:3], 8), np.tile(own, (3, 1)))
    with pytest.raises(ValueError, match=r"latents must have shape \(3, 8\) or \(8,\), got \(2, 8\)"):
        check_latents(np.zeros((2, 8)), 8, 3)
    with pytest.raises(ValueError, match=r"latents must have shape \(n_sources, 8\) or \(8,\), got \(7,\)"):
        check_latents(np.zeros(7), 8)
    with pytest.raises(ValueError, match="latents must be finite, got 1 values that are not"):
        check_latents(np.array([0, np.nan]))
    with pytest.raises(TypeError, match="latents must be one of 'balanced', .* got ndarray of shape"):
        check_latents(np.zeros((1, 2, 3)))
    with pytest.raises(TypeError, match="latents must be one of 'balanced', .* got dict"):
        check_latents({"a": 1})


def test_unknown_name():
    with pytest.raises(ValueError, match=r"latents must be one of 'balanced', 'prior', 'uniform', 'pairs', "
                                         r"got 'balancd' \(did you mean 'balanced'\?\)"):
        check_latents("balancd")


def test_extents_follow_the_class_and_the_least_allowed():
    classes = np.resize(["FRI", "FRII"], KEYS.size)
    extent, _ = sample_conditions(MODEL, classes, KEYS)
    # the largest 2 per cent of the training set are left out
    assert stats.kstest(extent[::2], "uniform", args=(5, 0.98 * 55)).pvalue > 1e-3
    assert stats.kstest(extent[1::2], "uniform", args=(3, 0.98 * 77)).pvalue > 1e-3
    large, _ = sample_conditions(MODEL, classes, KEYS, least=30.0)
    assert large.min() >= 30 - 1e-4
    assert stats.kstest(large[::2], "uniform", args=(30, 58.9 - 30)).pvalue > 1e-3
    some, _ = sample_conditions(MODEL, classes, KEYS, least=30.0, most=35.0)
    assert some.min() >= 30 - 1e-4 and some.max() <= 35 + 1e-4
    assert stats.kstest(some, "uniform", args=(30, 5)).pvalue > 1e-3
    for least in (500.0, np.full(KEYS.size, 500.0)):
        largest, _ = sample_conditions(MODEL, classes, KEYS, least=least)
        np.testing.assert_allclose(largest[::2], largest_extent(MODEL, "FRI"))
        np.testing.assert_allclose(largest[1::2], largest_extent(MODEL, "FRII"))
    np.testing.assert_allclose(sample_conditions(MODEL, classes, KEYS, most=1.0)[0][::2], 5)
    assert largest_extent(MODEL, "FRI") == pytest.approx(5 + 0.98 * 55)


def test_bendings_go_either_way_and_keep_their_limits():
    classes = np.resize(["FRI", "FRII"], KEYS.size)
    _, bending = sample_conditions(MODEL, classes, KEYS)
    assert stats.kstest(bending, "uniform", args=(-1, 2)).pvalue > 1e-3
    _, some = sample_conditions(MODEL, classes, KEYS, bending=(0.3, 0.5))
    assert stats.kstest(np.abs(some), "uniform", args=(0.3, 0.2)).pvalue > 1e-3
    assert (np.sign(some) == np.sign(bending)).all()


def test_extent_bending_and_latents_are_independent():
    classes = np.full(KEYS.size, "FRI")
    extent, bending = sample_conditions(MODEL, classes, KEYS)
    values = sample_latent_values("prior", KEYS, 4)
    rho = np.abs(np.corrcoef(np.column_stack([extent, bending, np.abs(bending), values]).T))
    rho[1:3, 1:3] = 0
    assert (rho - np.diag(np.diag(rho))).max() < 0.1


def test_a_source_is_drawn_from_its_key_alone():
    classes = np.resize(["FRI", "FRII"], KEYS.size)
    whole = sample_conditions(MODEL, classes, KEYS)
    part = sample_conditions(MODEL, classes[[7, 3]], KEYS[[7, 3]])
    for all_of_them, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(all_of_them[[7, 3]], some)


def test_no_sources():
    extent, bending = sample_conditions(MODEL, np.zeros(0, str), KEYS[:0])
    assert extent.shape == bending.shape == (0,)


def test_latents_are_cut_and_joined():
    classes = np.resize(["FRI", "FRII"], 6)
    values, conditions = sample_latent_values("prior", KEYS[:6], 4), sample_conditions(MODEL, classes, KEYS[:6])
    whole = Latents(values, classes, *conditions, KEYS[:6])
    again = Latents.join([whole[:2], whole[np.array([2, 3])], whole[4:]])
    assert len(again) == 6
    for name in ("values", "fr_class", "extent", "bending", "keys"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_a_key_gives_the_same_numbers_again():
    assert key_generator(KEYS[0]).random() == key_generator(int(KEYS[0])).random()
