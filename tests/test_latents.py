"""Latents: drawn from the key of each source, as asked."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from skygal.morphology.latents import check_latents, draw_extents, draw_latents, largest_extent
from skygal.seeds import Seeds, key_generator

KEYS = Seeds(11).keys("latent", 2000)
MODEL = SimpleNamespace(extents={"FRI": np.linspace(5, 60, 65), "FRII": np.linspace(3, 80, 65)})


def test_keys_do_not_depend_on_their_number():
    np.testing.assert_array_equal(Seeds(11).keys("latent", 10), KEYS[:10])
    assert np.unique(KEYS).size == KEYS.size and KEYS.min() >= 0
    assert not np.array_equal(Seeds(12).keys("latent", 10), KEYS[:10])
    assert not np.array_equal(Seeds(11).keys("flux", 10), KEYS[:10])


@pytest.mark.parametrize("name", ["balanced", "prior", "pairs"])
def test_normal(name):
    values = draw_latents(name, KEYS, 8)
    assert values.shape == (2000, 8) and values.dtype == np.float32
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    np.testing.assert_array_equal(draw_latents(name, KEYS[5:7], 8), values[5:7])


def test_uniform_fills_the_box():
    values = draw_latents("uniform", KEYS, 8)
    assert stats.kstest(values.ravel(), "uniform", args=(-4, 8)).pvalue > 1e-3


def test_own_values():
    own = np.arange(8.0)
    np.testing.assert_array_equal(draw_latents(check_latents(own, 8), KEYS[:3], 8), np.tile(own, (3, 1)))
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
    extent = draw_extents(MODEL, classes, KEYS)
    # the largest 2 per cent of the training set are left out
    assert stats.kstest(extent[::2], "uniform", args=(5, 0.98 * 55)).pvalue > 1e-3
    assert stats.kstest(extent[1::2], "uniform", args=(3, 0.98 * 77)).pvalue > 1e-3
    large = draw_extents(MODEL, classes, KEYS, 30.0)
    assert large.min() >= 30
    assert stats.kstest(large[::2], "uniform", args=(30, 58.9 - 30)).pvalue > 1e-3
    np.testing.assert_allclose(draw_extents(MODEL, classes, KEYS, 500.0)[::2], largest_extent(MODEL, "FRI"))
    assert largest_extent(MODEL, "FRI") == pytest.approx(5 + 0.98 * 55)
    # latents and extent are independent
    first = draw_latents("prior", KEYS, 1)[:, 0]
    assert abs(np.corrcoef(first, extent)[0, 1]) < 0.1


def test_a_key_gives_the_same_numbers_again():
    assert key_generator(KEYS[0]).random() == key_generator(int(KEYS[0])).random()
