import csv
import errno
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from frdeep_images import make_images, write_arrays, write_batch, write_batches

import skygal
from skygal.bastien2021 import loop as bastien2021_loop
from skygal.bastien2021.frdeep import crop_images, read_frdeep, rotate_and_crop
from skygal.bastien2021.settings import PaperSettings, preset_settings
from skygal.bastien2021.train import RATES, best_rate, run_files, search_rate, train_paper_model
from skygal.bastien2021.weights import load_paper_model
from skygal.evaluation.ramis import PaperClassifier
from skygal.io.weights import read_weights
from skygal.morphology.checkpoint import FORMATS

SMALL = PaperSettings(latent_dim=3, widths=(20, 16, 12, 10, 8), epochs=4, batch_size=16, rotations=2, log_every=1,
                      test_draws=2, samples=4, seed=5)


@pytest.fixture(scope="module")
def frdeep(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("data") / "frdeep.npz")


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return PaperClassifier()


def assert_same_weights(a, b):
    """The header's order is not fixed, so the files' bytes may differ."""
    (first, description, _), (second, other, _) = (read_weights(path, FORMATS) for path in (a, b))
    assert description == other
    assert set(first) == set(second)
    for key, value in first.items():
        assert value.tobytes() == second[key].tobytes(), key


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_batches_and_arrays_are_read_alike(frdeep, tmp_path):
    arrays, batches = read_frdeep(frdeep), read_frdeep(write_batches(tmp_path / "frdeep"))
    assert arrays.train.shape == (24, 150, 150) and arrays.test.shape == (6, 150, 150)
    assert (arrays.train.min(), arrays.train.max()) == (0, 1)
    for name in ("train", "train_label", "test", "test_label"):
        assert np.array_equal(getattr(arrays, name), getattr(batches, name))


def test_blank_and_nan_images_are_left_out(tmp_path):
    images, labels = make_images(12, 1)
    images = images.astype(np.float32)
    images[3], images[4, 5, 5] = 0, np.nan
    np.savez(tmp_path / "a.npz", train_image=images, train_label=labels, test_image=images[:2], test_label=labels[:2])
    with pytest.warns(UserWarning, match="2 images of .* are blank or hold NaN and are left out"):
        data = read_frdeep(tmp_path / "a.npz")
    assert (len(data.train), data.skipped) == (10, 2)
    assert np.array_equal(data.train_label, np.delete(labels, [3, 4]))


@pytest.mark.parametrize(("change", "error", "said"), [
    (lambda f: shutil.rmtree(f), FileNotFoundError, "FRDEEP .* not found"),
    (lambda f: (f / "test_batch").unlink(), FileNotFoundError, "must hold .* test_batch, got no test_batch"),
    (lambda f: (f / "data_batch_1").unlink(), FileNotFoundError, "data_batch_1 to data_batch_2, got only 2"),
    (lambda f: [(f / f"data_batch_{i}").unlink() for i in (1, 2)], FileNotFoundError, "got no data_batch"),
    (lambda f: (f / "test_batch").write_bytes((f / "test_batch").read_bytes()[:3000]), ValueError,
     "batch .*test_batch' must hold 'data', rows of 22500 numbers, and as many 'labels': is no whole pickle"),
    (lambda f: write_batch(f / "test_batch", np.ones((2, 100, 100), int), [0, 1]), ValueError,
     "must hold 'data', rows of 22500"),
    (lambda f: write_batch(f / "test_batch", np.ones((2, 150, 150), int), [0]), ValueError,
     "must hold 'data', rows of 22500"),
    (lambda f: write_batch(f / "data_batch_2", np.ones((2, 150, 150), int), [0, 2]), ValueError,
     r"labels of the training images of .* must be 0 \(FRI\) or 1 \(FRII\), got 2"),
    (lambda f: [write_batch(f / f"data_batch_{i}", np.ones((2, 150, 150), int), [1, 1]) for i in (1, 2)], ValueError,
     r"training images of .* must show sources of both classes, got 4 images of classes \[1\]")])
def test_folders_that_are_not_frdeep(tmp_path, change, error, said):
    folder = write_batches(tmp_path / "frdeep", 8, 2)
    change(folder)
    with pytest.raises(error, match=said):
        read_frdeep(folder)


def test_arrays_that_are_not_frdeep(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="is damaged or no .npz file"):
        read_frdeep(path)
    np.savez(path, train_image=np.zeros(3))
    with pytest.raises(ValueError, match="must hold train_image, .* got no train_label, test_image, test_label"):
        read_frdeep(path)
    np.savez(path, train_image=np.ones((2, 20, 20)), train_label=[0, 1], test_image=np.ones((2, 20, 20)),
             test_label=[0, 1])
    with pytest.raises(ValueError, match=r"must have shape \(n, 150, 150\) and a label each, got \(2, 20, 20\)"):
        read_frdeep(path)


def test_rotations_turn_about_the_middle():
    images, _ = make_images(4, 6)
    turned = rotate_and_crop(images / np.float32(255), 4)
    assert turned.shape == (4, 4, 100, 100) and turned.dtype == np.uint8
    for quarter in range(4):
        assert np.array_equal(turned[quarter], np.rot90(crop_images(images), -quarter, (1, 2)))


def test_small_turns_against_scipy():
    from scipy import ndimage

    images, _ = make_images(2, 6)
    turned = rotate_and_crop(images / np.float32(255), 36)
    for step in (1, 4, 20):
        other = ndimage.rotate(images[1].astype(float), 10 * step, reshape=False, order=1)[25:125, 25:125]
        assert np.abs(turned[step, 1].astype(float) - other).max() < 1.01


def test_schedules_and_presets():
    cvae = preset_settings("bastien2021-cvae")
    assert (cvae.conditional, cvae.epochs, cvae.learning_rate, cvae.kl_warmup) == (True, 5000, 0.88e-3, 0)
    vae = preset_settings("bastien2021-vae", latent_dim=2, epochs=None)
    assert (vae.conditional, vae.epochs, vae.learning_rate) == (False, 8000, 1.07e-3)
    fast = preset_settings("bastien2021-vae", schedule="fast", epochs=3)
    assert (fast.learning_rate, fast.kl_warmup, fast.dropout_warmup) == (7e-4, 0.05, 0.5)
    assert PaperSettings.from_dict(fast.to_dict()) == fast
    with pytest.raises(ValueError, match="preset must be .*'bastien2021-vae'.* got 'vae'"):
        preset_settings("vae")
    with pytest.raises(ValueError, match="settings of bastien2021-vae must be among .*, got sigma"):
        preset_settings("bastien2021-vae", sigma=1)
    with pytest.raises(ValueError, match="settings must be among .*, got sigma"):
        PaperSettings.from_dict({"sigma": 1})


@pytest.mark.parametrize(("change", "said"), [
    ({"epochs": 0}, "epochs must be at least 1"), ({"schedule": "slow"}, "schedule must be .* got 'slow'"),
    ({"precision": "half"}, "precision must be .* got 'half'"),
    ({"learning_rate": -1.0}, "learning_rate must be positive, got -1.0"),
    ({"learning_rate": "x"}, "learning_rate must be a number, got 'x'"),
    ({"kl_warmup": 2.0}, "kl_warmup must be from 0 to 1, got 2.0"),
    ({"dropout_warmup": -1.0}, "dropout_warmup must be from 0 to 1, got -1.0"),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"), ({"seed": -1}, "seed must be")])
def test_settings_refuse(change, said):
    with pytest.raises(ValueError, match=said):
        PaperSettings(**change)


def test_a_run(frdeep, judge, tmp_path):
    out = train_paper_model(frdeep, tmp_path / "a.safetensors", settings=SMALL, classifier=judge)
    files = run_files(out)
    assert all(files[key].is_file() for key in ("weights", "checkpoint", "metrics", "seconds"))
    assert not files["classifier"].exists()
    rows = rows_of(files["metrics"])
    assert list(rows[0]) == ["epoch", "train_loss", "test_loss", "ramis", "fri_fraction", "frii_fraction", "kl_weight",
                             "learning_rate"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["learning_rate"] for row in rows} == {"0.00094"}      # Adagrad's own does not change
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"]) < 10000 * math.log(2) + 100
    assert all(1 <= float(row["ramis"]) <= 2 for row in rows)
    generator = skygal.load_model(out)
    assert generator.metadata["settings"]["latent_dim"] == 3
    assert float(rows[-1]["test_loss"]) == generator.metadata["metrics"]["test_loss"]
    assert generator.decode(np.zeros((2, 3)), np.array(["FRI", "FRII"])).shape == (2, 100, 100)
    with pytest.raises(FileExistsError):
        train_paper_model(frdeep, out, settings=SMALL, classifier=judge)


def test_the_test_loss_is_of_the_final_model(frdeep, judge, tmp_path):
    """Against the loss by Pyro of the weights as written."""
    from pyro.infer import Trace_ELBO

    settings = replace(SMALL, test_draws=40)
    out = train_paper_model(frdeep, tmp_path / "a.safetensors", settings=settings, classifier=judge)
    model, data = load_paper_model(out).train(), read_frdeep(frdeep)
    images = torch.from_numpy(crop_images(data.test).reshape(6, -1).copy())
    labels = torch.eye(2)[torch.from_numpy(data.test_label)]
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        loss = np.mean([Trace_ELBO().loss(model.model, model.guide, images, labels) / 6 for _ in range(200)])
    assert float(rows_of(run_files(out)["metrics"])[-1]["test_loss"]) == pytest.approx(loss, rel=0.02)


@pytest.mark.parametrize("schedule", ["paper", "fast"])
def test_resumes_to_the_bit_after_a_kill(frdeep, judge, tmp_path, monkeypatch, schedule):
    settings = replace(SMALL, schedule=schedule, learning_rate=1e-3, kl_warmup=0.2 if schedule == "fast" else 0.0,
                       dropout_warmup=0.6 if schedule == "fast" else 0.0)
    whole = train_paper_model(frdeep, tmp_path / "whole.safetensors", settings=settings, classifier=judge, name="m")
    run, calls = bastien2021_loop.PaperTrainer.run_epoch, []

    def killed(self, progress=None):
        calls.append(1)
        if len(calls) == 3:
            # in the midst of an epoch
            self.svi.step(*self._batch(self.images[:5], self.labels[:5]))
            raise KeyboardInterrupt
        return run(self, progress)

    monkeypatch.setattr(bastien2021_loop.PaperTrainer, "run_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train_paper_model(frdeep, tmp_path / "cut.safetensors", settings=settings, classifier=judge, name="m")
    assert not (tmp_path / "cut.safetensors").exists()
    monkeypatch.undo()
    cut = train_paper_model(frdeep, tmp_path / "cut.safetensors", settings=settings, classifier=judge, name="m",
                            resume=True)
    assert_same_weights(cut, whole)
    assert cut.with_suffix(".csv").read_bytes() == whole.with_suffix(".csv").read_bytes()


def test_a_full_disk_leaves_the_last_checkpoint(frdeep, judge, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def full(state, path):
        calls.append(1)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="could not be written .No space left"):
        train_paper_model(frdeep, tmp_path / "a.safetensors", settings=SMALL, classifier=judge)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "a.csv", "a.seconds.csv"]
    assert [row["epoch"] for row in rows_of(tmp_path / "a.csv")] == ["1", "2"]
    monkeypatch.undo()
    out = train_paper_model(frdeep, tmp_path / "a.safetensors", settings=SMALL, classifier=judge, resume=True)
    whole = train_paper_model(frdeep, tmp_path / "b.safetensors", settings=SMALL, classifier=judge, name="a")
    assert_same_weights(out, whole)
    assert out.with_suffix(".csv").read_bytes() == whole.with_suffix(".csv").read_bytes()


def test_other_checkpoints_are_refused(frdeep, judge, tmp_path):
    out = tmp_path / "a.safetensors"
    train_paper_model(frdeep, out, settings=replace(SMALL, epochs=1), classifier=judge)

    def resume(settings):
        return train_paper_model(frdeep, out, settings=settings, classifier=judge, resume=True, overwrite=True)

    with pytest.raises(ValueError, match=r"must be of this architecture, latent_dim 4 \(not 3\)"):
        resume(replace(SMALL, latent_dim=4))
    with pytest.raises(ValueError, match=r"must be of this architecture, conditional False \(not True\)"):
        resume(replace(SMALL, conditional=False))
    with pytest.raises(ValueError, match="must be of the same settings and images, got one of another run"):
        resume(replace(SMALL, batch_size=8))
    torch.save({"model": {}}, out.with_suffix(".ckpt"))
    with pytest.raises(ValueError, match="must be of a bastien2021 preset, got one of another kind of model"):
        resume(SMALL)
    out.with_suffix(".ckpt").write_bytes(b"no")
    with pytest.raises(ValueError, match="checkpoint .* is damaged"):
        resume(SMALL)
    out.with_suffix(".ckpt").unlink()
    with pytest.raises(FileNotFoundError, match="checkpoint .* to resume from not found"):
        resume(SMALL)


def test_what_a_run_refuses(frdeep, judge, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="output must end in .safetensors, got 'a.pt'"):
        train_paper_model(frdeep, "a.pt", settings=SMALL)
    with pytest.raises(ValueError, match="batch_size must be at most the 48 training images, got 100"):
        train_paper_model(frdeep, tmp_path / "a.safetensors", settings=replace(SMALL, batch_size=100), classifier=judge)
    with pytest.raises(FileNotFoundError, match="classifier file"):
        train_paper_model(frdeep, tmp_path / "a.safetensors", settings=SMALL, classifier=tmp_path / "none")
    monkeypatch.setattr(bastien2021_loop.PaperTrainer, "run_epoch", lambda self, bar: math.nan)
    with pytest.raises(ValueError, match="loss must stay finite, got nan"):
        train_paper_model(frdeep, tmp_path / "a.safetensors", settings=SMALL, classifier=judge)


def test_the_classifier_is_trained_once_and_kept(frdeep, tmp_path, monkeypatch):
    from skygal.evaluation import ramis

    monkeypatch.setattr(ramis, "train_paper_classifier", lambda *_, **__: PaperClassifier())
    out = train_paper_model(frdeep, tmp_path / "a.safetensors", settings=replace(SMALL, epochs=1))
    home = run_files(out)["classifier"]
    before = home.read_bytes()
    train_paper_model(frdeep, out, settings=replace(SMALL, epochs=1), resume=True, overwrite=True)
    assert home.read_bytes() == before
    train_paper_model(frdeep, tmp_path / "b.safetensors", settings=replace(SMALL, epochs=1), classifier=home)


def test_the_vae_and_its_fractions(frdeep, judge, tmp_path):
    out = train_paper_model(frdeep, tmp_path / "v.safetensors", classifier=judge,
                            settings=replace(SMALL, conditional=False, epochs=1))
    row = rows_of(run_files(out)["metrics"])[0]
    assert float(row["fri_fraction"]) + float(row["frii_fraction"]) == pytest.approx(1)


def test_fast_schedule_rises_and_falls(frdeep, judge):
    settings = replace(SMALL, schedule="fast", epochs=40, kl_warmup=0.5, dropout_warmup=0.5, learning_rate=1e-3)
    trainer = bastien2021_loop.PaperTrainer(read_frdeep(frdeep), settings, judge)
    rates = []
    for step in range(trainer.steps * 40):
        trainer.optimizer.step = step
        rates.append(trainer.optimizer.now)
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(1e-3) and 0.04 < peak / len(rates) < 0.06
    assert (np.diff(rates[:peak]) > 0).all() and (np.diff(rates[peak:]) < 0).all()
    assert rates[0] == pytest.approx(5e-5) and rates[-1] < 2e-5
    trainer.optimizer.step = trainer.steps * 10 - 1
    assert trainer.kl_weight == pytest.approx(0.5)


def test_memory_is_kept_and_given_back():
    with bastien2021_loop.keep_freed_memory():
        assert torch.zeros(10).sum() == 0


def test_rates_are_the_papers():
    assert RATES == pytest.approx(np.arange(5e-4, 1.55e-3, 1e-4))
    assert len(RATES) == 11


def test_search(frdeep, tmp_path):
    path = tmp_path / "rates.csv"
    rows = search_rate(frdeep, path, settings=SMALL, rates=(1e-5, 1e-2), epochs=2, images=16)
    read = rows_of(path)
    assert [float(row["train_loss"]) for row in read] == [row["train_loss"] for row in rows]
    assert best_rate(rows) == 1e-2
    again = search_rate(frdeep, path, settings=SMALL, rates=(1e-2,), epochs=2, images=16, overwrite=True)
    assert again[0] == rows[1]
    with pytest.raises(FileExistsError):
        search_rate(frdeep, path, settings=SMALL)
    for change, said in (({"rates": ()}, "rates must be at least one learning rate, got none"),
                         ({"rates": (0.0,)}, "rates must be positive, got 0.0"), ({"epochs": 0}, "epochs must be"),
                         ({"images": 25}, "images must be at most the 24 of FRDEEP, got 25")):
        with pytest.raises(ValueError, match=said):
            search_rate(frdeep, tmp_path / "other.csv", settings=SMALL, **change)
    with pytest.raises(ValueError, match="rates must hold one with a finite loss"):
        best_rate([{"learning_rate": 1.0, "train_loss": math.inf}])


def test_a_rate_that_blows_up_is_inf(frdeep, tmp_path, monkeypatch):
    monkeypatch.setattr(bastien2021_loop.PaperTrainer, "run_epoch", lambda self: math.nan)
    rows = search_rate(frdeep, tmp_path / "r.csv", settings=SMALL, rates=(1.0,), epochs=2)
    assert rows == [{"learning_rate": 1.0, "train_loss": math.inf}]
