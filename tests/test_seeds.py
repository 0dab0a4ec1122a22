"""Random streams: named, independent, and the same however many are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skygal.seeds import Seeds, key_generator, next_keys


def test_streams_are_named():
    a = Seeds(1).generator("flux").random(100)
    np.testing.assert_array_equal(a, Seeds(1).generator("flux").random(100))
    others = [Seeds(2).generator("flux"), Seeds(1).generator("las"), Seeds(1).generator("flux", 0),
              Seeds(1).generator("flux", 1), Seeds(1).generator("flux", 0, 0)]
    for other in others:
        assert abs(np.corrcoef(a, other.random(100))[0, 1]) < 0.4
    assert len({g.random() for g in others}) == len(others)


def test_asking_for_one_stream_does_not_change_another():
    seeds = Seeds(7)
    seeds.generator("flux").random(10)
    seeds.keys("latent", 5)
    assert seeds.generator("las").random() == Seeds(7).generator("las").random()


@given(st.integers(0, 2**63 - 1), st.integers(0, 50), st.integers(0, 50))
def test_first_keys_do_not_depend_on_the_number(seed, few, more):
    keys = Seeds(seed).keys("latent", few + more)
    np.testing.assert_array_equal(keys[:few], Seeds(seed).keys("latent", few))
    assert keys.dtype == np.int64 and keys.shape == (few + more,) and (keys >= 0).all()


def test_keys_differ():
    keys = Seeds(0).keys("latent", 100_000)
    assert np.unique(keys).size == keys.size
    assert np.median(keys) == pytest.approx(2**62, rel=0.02)
    assert not np.intersect1d(keys, Seeds(1).keys("latent", 1000)).size


def test_keys_of_labels():
    """Key i depends on i and the i-th label, and is that of no other label."""
    labels = np.array(["a", "b", "b", "a", "c", "a"])
    keys = Seeds(3).keys_of("latent", labels)
    assert keys.dtype == np.int64 and np.unique(keys).size == 6
    for label in "abc":
        alone = Seeds(3).keys_of("latent", np.full(8, label))
        np.testing.assert_array_equal(keys[labels == label], alone[:6][labels == label])
    np.testing.assert_array_equal(Seeds(3).keys_of("latent", labels[:2]), keys[:2])
    assert Seeds(3).keys_of("latent", labels[:0]).shape == (0,)
    assert not np.intersect1d(keys, Seeds(3).keys_of("stamp", labels)).size


def test_a_key_makes_the_same_generator():
    key = Seeds(3).keys("latent", 4)[2]
    assert key_generator(key).random() == key_generator(int(key)).random() != key_generator(key + 1).random()
    draws = np.array([key_generator(k).random() for k in Seeds(3).keys("latent", 4000)])
    assert draws.mean() == pytest.approx(0.5, abs=0.02) and draws.std() == pytest.approx(12**-0.5, rel=0.03)


def test_no_global_state_is_touched():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    Seeds(1).generator("flux").random(10)
    Seeds(1).keys("latent", 10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_next_keys():
    keys = Seeds(2).keys("latent", 500)
    draws = np.stack([keys] + [next_keys(keys, draw) for draw in range(1, 6)])
    assert draws.dtype == np.int64 and (draws >= 0).all()
    # all are new, and unlike
    assert np.unique(draws).size == draws.size
    assert np.median(draws) == pytest.approx(2**62, rel=0.1)
    # each from its own key and number alone
    np.testing.assert_array_equal(next_keys(keys[[7, 3]], 4), draws[4][[7, 3]])
    np.testing.assert_array_equal(next_keys(keys[[7, 7]], np.array([1, 5])), draws[[1, 5], 7])
    assert next_keys(keys[:0], 1).shape == (0,)
