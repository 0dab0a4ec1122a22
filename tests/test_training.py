"""Training: it learns, resumes to the bit, leaves no mess and says what is wrong."""

import csv
from dataclasses import replace

import numpy as np
import pyro
import pytest
import torch
from training_stamps import SMALL, stamps, write_npz

from skygal.morphology.checkpoint import load_model
from skygal.training.augment import StampBatches
from skygal.training.loop import Trainer, quiet_torch
from skygal.training.prepare import prepare_stamps
from skygal.training.readers import read_stamps
from skygal.training.settings import TrainSettings
from skygal.training.train import load_training_set, train_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("stamps") / "stamps.npz", 90)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "made.safetensors"
    return train_model([data], output, settings=SMALL, progress=False)


def test_makes_a_model(trained):
    generator = load_model(trained)
    assert (generator.name, generator.shape, generator.latent_dim) == ("made", (24, 40), 4)
    made = generator.decode(np.zeros((2, 4)), np.array(["FRI", "FRII"]), np.full(2, 12.0))
    assert made.shape == (2, 24, 40) and (made >= 0).all()
    assert generator.metadata["settings"]["seed"] == 3 and generator.metadata["sources"] == ["stamps.npz"]
    assert sum(sum(part.values()) for part in generator.metadata["stamps"].values()) > 70
    for values in generator.extents.values():
        assert values.shape == (65,) and (np.diff(values) >= 0).all()


def test_progress_is_shown(data, tmp_path, capsys):
    train_model([data], tmp_path / "m.safetensors", settings=replace(SMALL, epochs=1), progress=True)
    shown = capsys.readouterr().err
    assert "preparing" in shown and "training" in shown
    train_model([data], tmp_path / "quiet.safetensors", settings=replace(SMALL, epochs=1))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flushed", [True, False])
def test_torch_is_left_as_it_was(flushed):
    def flushes():
        return (torch.full((1,), 1e-40) * 0.5).item() == 0

    if not torch.set_flush_denormal(flushed):
        pytest.skip("this CPU does not flush denormals")
    try:
        state = torch.get_rng_state()
        with quiet_torch(1):
            assert flushes() and not torch.equal(torch.get_rng_state(), state)
        assert flushes() == flushed and torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_flush_denormal(False)


def test_metrics(trained):
    rows = list(csv.DictReader(trained.with_suffix(".csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [2, 4]
    assert {"validation_elbo", "validation_reconstruction", "validation_kl", "train_loss"} <= set(rows[0])
    elbo = [float(row["validation_reconstruction"]) - float(row["validation_kl"]) for row in rows]
    assert elbo == pytest.approx([float(row["validation_elbo"]) for row in rows])


def test_loss_falls(data, tmp_path):
    settings = replace(SMALL, epochs=12, checkpoint_every=4)
    path = train_model([data], tmp_path / "m.safetensors", settings=settings, progress=False)
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    elbo = [float(row["validation_elbo"]) for row in rows]
    assert elbo[-1] > elbo[0] and float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_same_seed_same_weights(data, trained, tmp_path):
    again = train_model([data], tmp_path / "made.safetensors", settings=SMALL, progress=False)
    other = train_model([data], tmp_path / "o.safetensors", settings=replace(SMALL, seed=4), progress=False)
    a, b, c = (load_model(path)._decoder.head.weight for path in (trained, again, other))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_resumes_to_the_bit(data, trained, tmp_path, monkeypatch):
    output = tmp_path / "made.safetensors"
    whole = Trainer.run_epoch

    def interrupted(self):
        if self.epoch == 3:
            raise KeyboardInterrupt
        return whole(self)

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_model([data], output, settings=SMALL, progress=False)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.ckpt", "made.csv"]
    train_model([data], output, settings=SMALL, progress=False, resume=True)
    first, second = load_model(trained), load_model(output)
    for part in ("_decoder", "_flow"):
        a, b = getattr(first, part).state_dict(), getattr(second, part).state_dict()
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_leaves_random_state_and_store_alone(data, tmp_path):
    torch.manual_seed(11)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train_model([data], tmp_path / "m.safetensors", settings=replace(SMALL, epochs=1), progress=False)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
    assert not list(pyro.get_param_store())
    assert torch.tensor(1e-40) * 1 > 0


def test_existing_output_is_kept(data, trained):
    before = trained.read_bytes()
    with pytest.raises(FileExistsError):
        train_model([data], trained, settings=SMALL, progress=False)
    assert trained.read_bytes() == before


def test_existing_checkpoint_is_kept(data, trained, tmp_path):
    (tmp_path / "m.ckpt").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        train_model([data], tmp_path / "m.safetensors", settings=SMALL, progress=False)
    assert (tmp_path / "m.ckpt").read_bytes() == b"mine"


class TestResume:
    def test_without_checkpoint(self, data, tmp_path):
        with pytest.raises(FileNotFoundError, match="checkpoint '.*m.ckpt' to resume from not found"):
            train_model([data], tmp_path / "m.safetensors", settings=SMALL, resume=True)

    def test_other_settings(self, data, trained, tmp_path):
        (tmp_path / "m.ckpt").write_bytes(trained.with_suffix(".ckpt").read_bytes())
        with pytest.raises(ValueError, match="must be of the same settings and stamps, got one of another run"):
            train_model([data], tmp_path / "m.safetensors", settings=replace(SMALL, sigma=0.1), resume=True)

    def test_damaged(self, data, trained, tmp_path):
        (tmp_path / "m.ckpt").write_bytes(trained.with_suffix(".ckpt").read_bytes()[:900])
        with pytest.raises(ValueError, match="checkpoint '.*m.ckpt' is damaged"):
            train_model([data], tmp_path / "m.safetensors", settings=SMALL, resume=True)


@pytest.mark.parametrize("error, given, message", [
    (ValueError, {"output": "m.pt"}, "output must end in .safetensors, got '.*m.pt'"),
    (ValueError, {"sources": []}, "sources must name at least one file, folder or package of stamps, got none"),
    (TypeError, {"sources": "stamps.npz"}, "sources must be a list of paths, got 'stamps.npz'"),
    (FileNotFoundError, {"sources": ["/no/stamps"]}, "stamps '/no/stamps' not found"),
    (ValueError, {"device": "tpu"}, "device must be 'cpu', 'cuda' or 'cuda:N', got 'tpu'"),
])
def test_refuses_before_any_work(data, tmp_path, error, given, message):
    given = {"sources": [data], "device": "cpu", **given}
    with pytest.raises(error, match=message):
        train_model(given["sources"], tmp_path / given.get("output", "m.safetensors"), settings=SMALL,
                    device=given["device"], progress=False)
    assert not list(tmp_path.iterdir())


def test_too_few_stamps(tmp_path):
    with pytest.raises(ValueError, match="stamps must suffice for a batch of 8 and one for validation, got"):
        load_training_set([write_npz(tmp_path / "few.npz", 6)], SMALL)


def test_a_loss_that_is_no_number(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "run_epoch", lambda self: float("nan"))
    with pytest.raises(ValueError, match="loss must stay finite, got nan in epoch 0: learning_rate 0.003"):
        train_model([data], tmp_path / "m.safetensors", settings=SMALL, progress=False)


@pytest.mark.parametrize("error, change, message", [
    (ValueError, {"classes": ("FRI", "FR2")}, "classes must be one of 'FRI', .*, got 'FR2'"),
    (ValueError, {"classes": ("FRI", "FRI")}, "classes must differ"),
    (ValueError, {"classes": "FRI"}, "classes must be a list like"),
    (ValueError, {"shape": (25, 40)}, r"shape must be two even numbers of at least 8, got \(25, 40\)"),
    (ValueError, {"shape": (24,)}, "shape must be two even numbers"),
    (ValueError, {"epochs": 0}, "epochs must be at least 1, got 0"),
    (TypeError, {"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
    (ValueError, {"latent_dim": 1}, "latent_dim must be at least 2, got 1"),
    (ValueError, {"batch_size": 1}, "batch_size must be at least 2, got 1"),
    (ValueError, {"flow_layers": -1}, "flow_layers must be at least 0, got -1"),
    (ValueError, {"decoder_widths": (16, 0)}, "decoder_widths must be at least 1, got 0"),
    (ValueError, {"seed": -1}, "seed must be at least 0, got -1"),
    (ValueError, {"sigma": 0.0}, "sigma must be positive, got 0.0"),
    (ValueError, {"sigma": float("nan")}, "sigma must be positive, got nan"),
    (ValueError, {"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
    (ValueError, {"zoom": -0.1}, "zoom must be at least 0, got -0.1"),
    (ValueError, {"dropout": 1.0}, "dropout must be below 1, got 1.0"),
    (ValueError, {"exclude": (3,)}, r"exclude must be a list of texts, got \(3,\)"),
])
def test_settings_refuse(error, change, message):
    with pytest.raises(error, match=message):
        TrainSettings(**change)


@pytest.fixture(scope="module")
def batches(data):
    from skygal.morphology.networks import Architecture

    prepared = prepare_stamps(read_stamps(data), shape=(40, 64))
    arch = Architecture(shape=(40, 64), log_extent_mean=0.0, log_extent_std=1.0)
    index = torch.tensor([arch.classes.index(name) for name in prepared.fr_class])
    return prepared, StampBatches(torch.from_numpy(prepared.images), index,
                                  torch.from_numpy(prepared.noise).float(), arch)


class TestStampBatches:
    def test_plain_stamps_have_their_extent(self, batches):
        prepared, made = batches
        images, condition = made.plain(torch.arange(len(prepared)))
        np.testing.assert_allclose(images.amax(dim=(1, 2)).numpy(), 1)
        np.testing.assert_allclose(np.exp(condition[:, 2].numpy()), prepared.extent, rtol=0.01)
        assert (condition[:, :2].argmax(dim=1).numpy() == (prepared.fr_class == "FRII")).all()

    def test_zoom_spares_the_beam(self, batches):
        prepared, made = batches
        rows = torch.arange(len(prepared))
        _, zoomed, condition = made.varied(rows, torch.Generator().manual_seed(0), 0.2)
        extent = np.exp(condition[:, 2].numpy())
        ratio = extent / prepared.extent
        assert ratio.std() > 0.05 and (extent > 0.85 * 5.4 / 2.355).all()
        assert float(zoomed.amax()) == pytest.approx(1)

    def test_noise_is_seen_but_not_asked_for(self, batches):
        prepared, made = batches
        rows = torch.zeros(200, dtype=torch.long)
        view, stamp, _ = made.varied(rows, torch.Generator().manual_seed(0), 0.0, 1.0)
        bright = stamp > 0.5
        assert float((view - stamp)[bright].std()) == pytest.approx(prepared.noise[0], rel=0.2)


def test_blank_stamps_are_counted(tmp_path):
    images, _ = stamps(90)
    images[3] = 0
    data = load_training_set([write_npz(tmp_path / "s.npz", 90, image=images)], SMALL)
    assert data.dropped["blank"] == 1
