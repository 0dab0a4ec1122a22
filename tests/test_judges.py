"""The network learns the classes, and no judge is asked about a stamp that it learnt from."""

import numpy as np
import pytest
import torch
from training_stamps import blob

from skygal.evaluation import judges
from skygal.evaluation.judges import CrossJudge, fold_by_sky, train_judges
from skygal.training.stamp_classifier import FEATURES, StampClassifier, train_classifier


def made_up(n, seed=0):
    """Return aligned doubles (1) and cores with jets (0) of 16 x 32 pixels, in turn, peak 1."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    images = []
    for k in label:
        reach = rng.uniform(5, 9)
        knots = ((-reach, 1), (reach, rng.uniform(0.5, 1))) if k else ((0, 1), (-reach / 2, 0.4), (reach / 2, 0.4))
        image = sum(blob(x, 0, flux, 48) for x, flux in knots)
        images.append((image / image.max() + 0.02 * rng.random(image.shape))[16:32, 8:40])
    return np.stack(images).astype(np.float32), label


def test_the_network_learns(monkeypatch):
    # steps enough, of few stamps
    monkeypatch.setattr("skygal.training.stamp_classifier.BATCH_SIZE", 8)
    images, label = made_up(160)
    before = torch.get_rng_state()
    net = train_classifier(images[:80], label[:80], seed=0, epochs=8)
    assert torch.equal(before, torch.get_rng_state())
    found = net.classify(images[80:])
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (found.argmax(axis=1) == label[80:]).mean() > 0.9
    assert net.features(images[:3]).shape == (3, FEATURES)
    assert net.classify(images[:0]).shape == (0, 2)


def test_flips_change_nothing():
    images, _ = made_up(8)
    with torch.random.fork_rng():
        net = StampClassifier((16, 32))
    asked = net.classify(images)
    for view in (images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1]):
        assert net.classify(view) == pytest.approx(asked, abs=1e-6)


def test_the_same_seed_gives_the_same_network():
    images, label = made_up(40)
    nets = [train_classifier(images, label, seed=seed, epochs=2, zoom=0.1) for seed in (1, 1, 2)]
    one, two, other = (net.classify(images) for net in nets)
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_views_of_a_stamp_are_taken_in_turn(monkeypatch):
    monkeypatch.setattr("skygal.training.stamp_classifier.BATCH_SIZE", 8)
    images, label = made_up(40)
    # the second view alone tells the classes apart
    net = train_classifier(np.stack([np.zeros_like(images), images]), label, seed=0, epochs=25)
    assert (net.classify(images).argmax(axis=1) == label).mean() > 0.8


@pytest.mark.parametrize("label, words", [
    (np.zeros(7, int), r"label must have shape \(8,\), got \(7,\)"),
    (np.zeros(8, int), r"label must hold each of 0 to 1 and no other, got \[0\]"),
    (np.arange(8) % 3, r"label must hold each of 0 to 1 and no other, got \[0, 1, 2\]")])
def test_bad_labels_are_refused(label, words):
    with pytest.raises(ValueError, match=words):
        train_classifier(made_up(8)[0], label, seed=0)
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        train_classifier(*made_up(8), seed=0, epochs=0)


def test_folds_are_even_and_keep_neighbours_together():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 400), rng.uniform(-30, 60, 400)
    fold = fold_by_sky(np.r_[ra, ra], np.r_[dec, dec + 1e-9], [""] * 800, 5)
    assert np.array_equal(fold[:400], fold[400:])
    count = np.bincount(fold)
    assert len(count) == 5 and count.max() - count.min() <= 8
    unplaced = fold_by_sky(np.full(6, np.nan), np.full(6, np.nan), list("aabbcc"), 3)
    assert len(set(unplaced)) == 3 and (unplaced[::2] == unplaced[1::2]).all()
    assert fold_by_sky([], [], [], 2).size == 0
    with pytest.raises(ValueError, match="n_folds must be at least 2, got 1"):
        fold_by_sky(ra, dec, [""] * 400, 1)


class Memory:
    """A network that remembers what it learnt from and says 1 for it."""


    def __init__(self, images):
        self.known = {image.tobytes() for view in images for image in view}

    def classify(self, images):
        seen = np.array([image.tobytes() in self.known for image in images], float)
        return np.stack([1 - seen, seen], axis=1)


def test_no_judge_is_asked_about_what_it_learnt_from(monkeypatch):
    monkeypatch.setattr(judges, "train_classifier", lambda views, label, **words: Memory(views))
    images, label = made_up(30)
    fold = np.arange(30) % 3
    judge = train_judges(np.stack([images, images * 0.9]), label, fold, seeds=(0, 1))
    assert judge.n_folds == 3 and [len(nets) for nets in judge.nets] == [2, 2, 2]
    # the networks did learn from something, and not from any view of what they judge
    assert judge.classify(images, (fold + 1) % 3)[:, 1].min() == 1
    assert judge.classify(images, fold)[:, 1].max() == 0
    assert judge.classify(np.float32(0.9) * images, fold)[:, 1].max() == 0


def test_generated_stamps_are_dealt_out():
    judge = CrossJudge(tuple((Memory([]),) for _ in range(3)))
    assert judge.deal(7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    with pytest.raises(ValueError, match=r"fold must have shape \(2,\) and be below 3, got \(2,\) up to 3"):
        judge.classify(np.zeros((2, 4, 4)), np.array([0, 3]))
    with pytest.raises(ValueError, match=r"fold must have shape \(2,\) and be below 3, got \(0,\)"):
        judge.classify(np.zeros((2, 4, 4)), np.array([]))
