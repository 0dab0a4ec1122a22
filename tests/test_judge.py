"""The judge of class tells made-up doubles from cores with jets."""

import runpy
import sys
from pathlib import Path

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


def test_fidelity_counts_what_the_judge_says(tmp_path):
    from skygal.evaluation.fidelity import measure_fidelity
    from skygal.evaluation.judge import ClassJudge
    from skygal.morphology.checkpoint import load_model

    generator = load_model()
    data = prepare_stamps(read_stamps(write_npz(tmp_path / "s.npz", 40)), shape=generator.shape)
    with torch.random.fork_rng():
        judge = ClassJudge(generator.classes, generator.shape)
    with torch.no_grad():
        # it always says FRII
        judge.head[-1].weight.zero_()
        judge.head[-1].bias.copy_(torch.tensor([-1.0, 1.0]))
    found = measure_fidelity(generator, data, [judge, judge], n=4)
    assert found["FRII"]["generated"] == found["FRII"]["real"] == 1
    assert found["FRI"]["generated"] == found["FRI"]["real"] == 0
    assert found["FRI"]["judges_spread"] == found["FRI"]["real_error"] == 0
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        measure_fidelity(generator, data, [judge], n=0)


def test_drawn_stamps_grow(tmp_path):
    from skygal.evaluation.fidelity import draw_stamps
    from skygal.morphology.checkpoint import load_model
    from skygal.morphology.moments import measure_moments

    made = draw_stamps(load_model(), "FRI", 100, rng=np.random.default_rng(0))
    width = np.log(measure_moments(np.where(made > 0.01, made, 0))[2][:, 0, 0])
    assert np.corrcoef(np.arange(100), width)[0, 1] > 0.7


@pytest.mark.parametrize("words, lines", [
    ([], ["needs real stamps: python benchmarks/model.py SOURCE..."]),
    (["s.npz", "--n", "4", "--judges", "1", "--epochs", "1"],
     ["model 'first-cvae', 60 stamps: ", "16/50/84 % of the extent", "  FRI ", "  FRII ",
      "class fidelity: mean of 1 networks", "  FRI   generated ", "  FRII  generated "])])
def test_benchmark_prints_the_figures(tmp_path, monkeypatch, capsys, words, lines):
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "model.py"
    write_npz(tmp_path / "s.npz", 60)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), *words])
    runpy.run_path(str(script), run_name="__main__")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(lines) and all(map(str.startswith, shown, lines)), shown
