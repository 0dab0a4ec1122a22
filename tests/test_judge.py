"""The judge of class tells made-up doubles from cores with jets."""

import numpy as np
import pytest
import torch
from training_stamps import stamps, write_npz

from skygal.evaluation.judge import observe_stamps, train_judge
from skygal.training.prepare import prepare_stamps
from skygal.training.readers import read_stamps

SIGMA = 3 / 2.3548200450309493


def test_observed_stamps_are_clipped_and_free_of_specks():
    from scipy import ndimage

    images, _ = stamps(4)
    clean = np.maximum(images, 0)
    seen = observe_stamps(clean, np.full(4, 0.05), beam_sigma=SIGMA, rng=np.random.default_rng(0))
    assert seen.dtype == np.float32 and seen.max(axis=(1, 2)) == pytest.approx(1)
    for image in seen:
        assert image[image > 0].min() > 0.1
        labels, n = ndimage.label(image > 0, structure=np.ones((3, 3)))
        assert n and np.bincount(labels.ravel())[1:].min() >= 8


def test_judge_learns(tmp_path):
    from scipy import ndimage

    data = prepare_stamps(read_stamps(write_npz(tmp_path / "s.npz", 160)), shape=(32, 48))
    full = ndimage.gaussian_filter(data.images, (0, SIGMA / np.sqrt(2), SIGMA / np.sqrt(2)))
    half = len(full) // 2
    before = torch.get_rng_state()
    judge = train_judge(full[:half], data.fr_class[:half], data.noise[:half], classes=("FRI", "FRII"),
                        beam_sigma=SIGMA, seed=0, epochs=12, batch_size=16)
    assert torch.equal(before, torch.get_rng_state())
    chance = judge.classify(observe_stamps(full[half:], data.noise[half:], beam_sigma=SIGMA,
                                           rng=np.random.default_rng(1)))
    assert chance.sum(axis=1) == pytest.approx(1, abs=1e-5)
    right = np.array(judge.classes)[chance.argmax(axis=1)] == data.fr_class[half:]
    assert right.mean() > 0.85
    assert judge.classify(np.zeros((0, 32, 48))).shape == (0, 2)
