"""Networks that look at patches tell what differs, and nothing else."""

import numpy as np
import pytest
from scipy import ndimage

from skygal.evaluation import patches as module
from skygal.evaluation.patches import PATCH, cut_patches, split_test, tell_patches


def sources(n, seed, grain=0.0):
    """Lobes of a random extent, and grain of the size of the beam in their light."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((64, 96)) - np.array([32, 48]).reshape(2, 1, 1)
    maps = []
    for _ in range(n):
        wide, high, apart = rng.uniform(6, 12), rng.uniform(4, 7), rng.uniform(12, 20)
        smooth = sum(a * np.exp(-0.5 * (((x - side * apart) / wide)**2 + (y / high)**2))
                     for side, a in ((-1, 1.0), (1, rng.uniform(0.5, 1))))
        mottle = ndimage.gaussian_filter(rng.normal(size=smooth.shape), 1.7)
        maps.append(smooth * np.exp(grain * mottle / mottle.std()))
    return maps


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(module, "EPOCHS", 16)
    monkeypatch.setattr(module, "PATCHES", 12)


def test_patches_are_cut_about_bright_pixels_and_scaled_to_their_peak():
    image = np.zeros((50, 70))
    image[20, 30], image[20, 34], image[45, 65] = 1.0, 0.1, 0.019
    patches, source = cut_patches([image, 7 * image], np.random.default_rng(0))
    assert patches.shape == (len(source), PATCH, PATCH) and source.tolist() == sorted([0, 1] * (len(source) // 2))
    # about one of the two that are above 2 %, either of them is in sight of the other
    middle = patches[:, PATCH // 2, PATCH // 2]
    assert {round(float(value), 4) for value in middle} == {1.0, round(1 - 2 / 3, 4)}
    assert patches.max() == 1 and patches.min() == pytest.approx(-1)
    # factors of brightness change nothing
    assert {patch.tobytes() for patch in patches[source == 0]} == {patch.tobytes() for patch in patches[source == 1]}


def test_equals_are_not_told_and_grain_is(short):
    smooth, grainy, parts = sources(16, 1), sources(16, 3, grain=0.6), np.arange(16) % 2
    accuracy, error = split_test(smooth, seeds=(0,), folds=2)
    assert 0 < error < 0.1 and abs(accuracy - 0.5) < 3.5 * error
    accuracy, error = tell_patches(smooth, grainy, parts, parts, seeds=(0,))
    assert accuracy > 0.8 and accuracy - 0.5 > 5 * error


def test_a_network_that_calls_all_one_kind_is_still_asked_which_is_more_so():
    import torch

    class Shifted(torch.nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None] + 5

    first, second = (np.random.default_rng(0).normal(mean, 0.01, (20, 4, 4)).astype(np.float32) for mean in (-1, 1))
    network = Shifted()
    assert module.told_second(network, first).all() and module.told_second(network, second).all()
    middle = module.told_middle(network, first, second)
    assert middle == pytest.approx(5, abs=0.01)
    assert not module.told_second(network, first, middle).any() and module.told_second(network, second, middle).all()


def test_images_that_are_not_finite_are_refused():
    good = np.zeros((3, 8, 8), np.float32)
    bad = good.copy()
    bad[1, 2, 2] = np.nan
    with pytest.raises(ValueError, match="second must be finite images, got 1 of 3 that are not"):
        module.learn_to_tell(good, bad, rng=np.random.default_rng(0), seed=0, epochs=1)


def test_a_source_is_judged_by_networks_that_did_not_see_it(short, monkeypatch):
    learnt, told = [], []
    monkeypatch.setattr(module, "cut_patches", lambda maps, rng: (np.arange(len(maps), dtype=np.float32)[:, None, None],
                                                                  np.arange(len(maps))))
    monkeypatch.setattr(module, "learn_to_tell", lambda first, second, **_:
                        learnt.append((first.ravel(), second.ravel())))
    monkeypatch.setattr(module, "told_second", lambda _, patches: told.append(0) or patches.ravel() != len(learnt))
    parts = np.array([0, 1, 2, 0, 1, 2])
    tell_patches([None] * 6, [None] * 6, parts, parts, seeds=(3,))
    assert len(learnt) == 3 and len(told) == 6
    for fold, (first, second) in enumerate(learnt):
        assert first.tolist() == second.tolist() == np.flatnonzero(parts != fold).tolist()


def test_the_same_seed_gives_the_same_accuracy_with_any_number_of_threads(short):
    import torch

    maps, grainy, parts = sources(8, 1), sources(8, 2, grain=0.05), np.arange(8) % 2
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(tell_patches(maps, grainy, parts, parts, seeds=(5,)))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


def test_parts_and_maps_that_do_not_do_are_told():
    maps = sources(4, 1)
    with pytest.raises(ValueError, match=r"must have the same parts, two at least, got \[0, 1\] and \[0\]"):
        tell_patches(maps, maps, np.array([0, 1, 0, 1]), np.zeros(4, int), seeds=(0,))
    with pytest.raises(ValueError, match="maps must be at least 12, two to each of 3 parts of either half, got 4"):
        split_test(maps, seeds=(0,))
