import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "paper.py"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the script; training and report leave their arguments behind."""
    trained, reported = [], []

    def train(source, output, *, settings, classifier, resume, device, progress):
        trained.append((output.name, settings, classifier, resume, device))
        output.touch()
        if classifier is None:
            output.with_suffix(".classifier.safetensors").touch()

    monkeypatch.setattr("skygal.bastien2021.train.train_paper_model", train)
    monkeypatch.setattr("skygal.bastien2021.report.write_paper_report",
                        lambda *words, **given: reported.append(words) or words[2])

    def call(*words):
        trained.clear()
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "frdeep", str(tmp_path), *words])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return [*trained]

    call.reported = reported
    return call


def test_each_dimension_as_vae_and_cvae(run, tmp_path):
    done = run("report", "--epochs", "3", "--learning-rate", "0.001", "--dropout-warmup", "1")
    assert [name for name, *_ in done] == [f"{kind}-d{d}-fast.safetensors" for d in (2, 4, 8, 16, 32, 64)
                                           for kind in ("vae", "cvae")]
    for name, settings, classifier, resume, device in done:
        assert (settings.epochs, settings.learning_rate, settings.dropout_warmup) == (3, 0.001, 1.0)
        assert settings.conditional == name.startswith("cvae") and f"-d{settings.latent_dim}-" in name
        # the first run's classifier judges all others
        first = None if name.startswith("vae-d2") else tmp_path / "vae-d2-fast.classifier.safetensors"
        assert (classifier, resume, device) == (first, False, "cpu")
    assert run.reported == [(tmp_path, Path("frdeep"), Path("report"))]


def test_finished_runs_stay_and_broken_ones_go_on(run, tmp_path):
    for name in ("1.classifier.safetensors", "vae-d4-fast.safetensors", "cvae-d4-fast.ckpt"):
        (tmp_path / name).touch()
    (name, settings, classifier, resume, _), = run("--latent-dims", "4")
    assert name == "cvae-d4-fast.safetensors" and resume
    assert classifier == tmp_path / "1.classifier.safetensors"
    assert (settings.learning_rate, settings.dropout_warmup, settings.schedule) == (7e-4, 0.5, "fast")
    assert run.reported == []
    assert run("--latent-dims", "4") == []
