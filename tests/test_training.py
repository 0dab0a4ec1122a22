"""Training: it learns, resumes to the bit, leaves no mess and says what is wrong."""

import csv
import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch
from training_stamps import PLAIN, SMALL, stamps, write_npz

from skygal.io.atomic import whole_directory
from skygal.morphology.checkpoint import load_model
from skygal.morphology.networks import Architecture
from skygal.training import loop, train
from skygal.training.augment import FARTHEST, StampBatches
from skygal.training.data.prepare import prepare_stamps
from skygal.training.data.readers import read_stamps
from skygal.training.loop import Trainer, quiet_torch
from skygal.training.settings import TrainSettings
from skygal.training.train import load_training_set, train_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("stamps") / "stamps.npz", 64)


@pytest.fixture(scope="module", autouse=True)
def prepared_once():
    """Read and prepare the stamps of a file once for all runs, where neither is what is tested."""
    plain, known = train.load_training_set, {}

    def load(sources, settings, *, progress=False):
        changes = {"epochs": 4, "adversarial_epochs": 2, "checkpoint_every": 2, "seed": 3, "sigma": SMALL.sigma}
        key = tuple(map(str, sources)), replace(settings, **changes)
        if progress or key not in known:
            known[key] = plain(sources, settings, progress=progress)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "load_training_set", load)
        yield


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "made.safetensors"
    return train_model([data], output, settings=SMALL, progress=False)


def test_makes_a_model(trained):
    generator = load_model(trained)
    assert (generator.name, generator.shape, generator.latent_dim) == ("made", (24, 40), 4)
    made = generator.decode(np.zeros((2, 4)), np.array(["FRI", "FRII"]), np.full(2, 12.0), np.array([0.0, 0.5]))
    assert made.shape == (2, 24, 40) and (made >= 0).all()
    assert generator.metadata["settings"]["seed"] == 3 and generator.metadata["sources"] == ["stamps.npz"]
    assert sum(sum(part.values()) for part in generator.metadata["stamps"].values()) > 50
    for table in generator.tables.values():
        assert table.extent.shape == (65,) and (np.diff(table.extent) >= 0).all()
        assert (np.diff(table.bending, axis=1) >= 0).all() and table.bending.max() < 1


def test_progress_is_shown(tmp_path, capsys):
    data = write_npz(tmp_path / "few.npz", 30)
    train_model([data], tmp_path / "m.safetensors", settings=replace(PLAIN, epochs=1), progress=True)
    shown = capsys.readouterr().err
    assert "preparing" in shown and "training" in shown
    train_model([data], tmp_path / "quiet.safetensors", settings=replace(PLAIN, epochs=1))
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
    assert [int(row["epoch"]) for row in rows] == [2, 4, 6]
    # the discriminator comes in with the second phase
    assert [float(row["discriminator_loss"]) > 0 for row in rows] == [False, False, True]
    assert [float(row["generator_loss"]) > 0 for row in rows] == [False, False, True]
    assert {"validation_elbo", "validation_reconstruction", "validation_kl", "train_loss"} <= set(rows[0])
    elbo = [float(row["validation_reconstruction"]) - float(row["validation_kl"]) for row in rows]
    assert elbo == pytest.approx([float(row["validation_elbo"]) for row in rows])


def test_loss_falls(data, tmp_path):
    settings = replace(PLAIN, epochs=12, checkpoint_every=4)
    path = train_model([data], tmp_path / "m.safetensors", settings=settings, progress=False)
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    elbo = [float(row["validation_elbo"]) for row in rows]
    assert elbo[-1] > elbo[0] and float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_same_seed_same_weights(data, trained, tmp_path):
    again = train_model([data], tmp_path / "made.safetensors", settings=SMALL, progress=False)
    other = train_model([data], tmp_path / "o.safetensors", settings=replace(SMALL, seed=4), progress=False)
    a, b, c = (load_model(path)._decoder.head.weight for path in (trained, again, other))
    assert torch.equal(a, b) and not torch.equal(a, c)


# in the first phase, at its end, and in the second: before its first checkpoint and after
@pytest.mark.parametrize("epoch", [3, 4, 5, 7])
def test_resumes_to_the_bit(data, tmp_path, monkeypatch, epoch, longer):
    settings, trained = longer
    output = tmp_path / "made.safetensors"
    whole = Trainer.run_epoch

    def interrupted(self):
        if self.epoch == epoch:
            raise KeyboardInterrupt
        return whole(self)

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_model([data], output, settings=settings, progress=False)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.ckpt", "made.csv"]
    train_model([data], output, settings=settings, progress=False, resume=True)
    assert_same_weights(trained, output)
    # and so is the checkpoint: networks, averages, and both optimisers
    states = [torch.load(path.with_suffix(".ckpt"), weights_only=True) for path in (trained, output)]
    for part in ("model", "best", "adam", "game", "step", "epoch", "fingerprint"):
        assert_same(*(state[part] for state in states))


@pytest.fixture(scope="module")
def longer(data, tmp_path_factory):
    settings = replace(SMALL, adversarial_epochs=4)
    return settings, train_model([data], tmp_path_factory.mktemp("longer") / "made.safetensors", settings=settings)


def assert_same_weights(one, other):
    first, second = load_model(one), load_model(other)
    for part in ("_decoder", "_flow"):
        assert_same(getattr(first, part).state_dict(), getattr(second, part).state_dict())


def assert_same(a, b):
    """Check that two nests of dicts, lists, tensors and numbers are alike to the bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.mark.parametrize("when", [2, 3])
def test_full_disk_leaves_the_last_checkpoint(data, tmp_path, monkeypatch, when, longer):
    settings, trained = longer
    output = tmp_path / "made.safetensors"
    saves = []
    real = torch.save

    def full(state, file, **options):
        saves.append(state["epoch"])
        if len(saves) == when:
            file = Path(file)
            file.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, file, **options)

    monkeypatch.setattr(loop.torch, "save", full)
    with pytest.raises(OSError, match="No space left on device"):
        train_model([data], output, settings=settings)
    monkeypatch.undo()
    # nothing half written, and the one before is whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.ckpt", "made.csv"]
    assert torch.load(tmp_path / "made.ckpt", weights_only=True)["epoch"] == saves[when - 2] == 2 * (when - 1)
    train_model([data], output, settings=settings, resume=True)
    assert_same_weights(trained, output)


def test_full_disk_before_the_first_checkpoint(data, tmp_path, monkeypatch):
    def full(state, file, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loop.torch, "save", full)
    with pytest.raises(OSError, match="No space left on device"):
        train_model([data], tmp_path / "made.safetensors", settings=PLAIN)
    assert not list(tmp_path.iterdir())


def test_leaves_random_state_and_store_alone(data, tmp_path):
    torch.manual_seed(11)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train_model([data], tmp_path / "m.safetensors", settings=replace(PLAIN, epochs=1), progress=False)
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
    monkeypatch.setattr(Trainer, "run_epoch", lambda self: {"train_loss": 1.0, "discriminator_loss": float("nan")})
    with pytest.raises(ValueError, match=r"loss must stay finite, got {'train_loss': 1.0, 'discriminator_loss': nan} "
                                         r"in epoch 0: learning_rate 0.002 or adversarial_rate 0.0002 may be too high"):
        train_model([data], tmp_path / "m.safetensors", settings=SMALL, progress=False)


@pytest.mark.parametrize("error, change, message", [
    (ValueError, {"classes": ("FRI", "FR2")}, "classes must be one of 'FRI', .*, got 'FR2'"),
    (ValueError, {"classes": ("FRI", "FRI")}, "classes and unlabelled must differ, got"),
    (ValueError, {"classes": ("FRI", "bent")}, "classes and unlabelled must differ, got .*'bent'.* and .*'bent'"),
    (ValueError, {"unlabelled": ("bend",)}, "unlabelled must be one of .*, got 'bend'"),
    (ValueError, {"unlabelled": "bent"}, "unlabelled must be a list like"),
    (ValueError, {"classes": ()}, r"classes must be a list like .*, got \(\)"),
    (ValueError, {"adversarial_epochs": -1}, "adversarial_epochs must be at least 0, got -1"),
    (TypeError, {"adversarial_epochs": 1.5}, "adversarial_epochs must be a whole number, got 1.5"),
    (ValueError, {"adversarial_rate": 0.0}, "adversarial_rate must be positive, got 0.0"),
    (ValueError, {"discriminator_widths": (8, 0)}, "discriminator_widths must be at least 1, got 0"),
    (ValueError, {"discriminator_widths": 8}, "discriminator_widths must be a list like"),
    (ValueError, {"penalty": -1.0}, "penalty must be at least 0, got -1.0"),
    (ValueError, {"likelihood_weight": float("inf")}, "likelihood_weight must be at least 0, got inf"),
    (ValueError, {"average": 1.0}, "average must be below 1, got 1.0"),
    (ValueError, {"average": -0.1}, "average must be at least 0, got -0.1"),
    (ValueError, {"precision": "float16"}, "precision must be one of 'bfloat16', 'float32', got 'float16'"),
    (ValueError, {"acceptance_stamps": -1}, "acceptance_stamps must be at least 0, got -1"),
    (ValueError, {"acceptance_stamps": 15}, "acceptance_stamps must be 0 or at least 16, got 15"),
    (ValueError, {"sharpness": (1.0, -0.5)}, r"sharpness must be two numbers of at least 0, got \(1.0, -0.5\)"),
    (ValueError, {"sharpness": (1.0,)}, r"sharpness must be two numbers of at least 0, got \(1.0,\)"),
    (ValueError, {"sharpness": (1.0, "x")}, r"sharpness must be two numbers of at least 0, got \(1.0, 'x'\)"),
    (ValueError, {"structure_weight": -1.0}, "structure_weight must be at least 0, got -1.0"),
    (ValueError, {"noise": True}, "noise must be a number, got True"),
    (ValueError, {"classes": "FRI"}, "classes must be a list like"),
    (ValueError, {"shape": (25, 40)}, r"shape must be two even numbers of at least 8, got \(25, 40\)"),
    (ValueError, {"shape": (24,)}, "shape must be two even numbers"),
    (ValueError, {"epochs": 0}, "epochs must be at least 1, got 0"),
    (TypeError, {"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
    (ValueError, {"latent_dim": 1}, "latent_dim must be at least 2, got 1"),
    (ValueError, {"batch_size": 1}, "batch_size must be at least 2, got 1"),
    (ValueError, {"flow_layers": -1}, "flow_layers must be at least 0, got -1"),
    (ValueError, {"decoder_widths": (16, 0)}, "decoder_widths must be at least 1, got 0"),
    (ValueError, {"warmup_epochs": -1}, "warmup_epochs must be at least 0, got -1"),
    (ValueError, {"checkpoint_every": 0}, "checkpoint_every must be at least 1, got 0"),
    (ValueError, {"flow_width": 0}, "flow_width must be at least 1, got 0"),
    (ValueError, {"encoder_widths": (0,)}, "encoder_widths must be at least 1, got 0"),
    (ValueError, {"pixel_scale": -1.8}, "pixel_scale must be positive, got -1.8"),
    (ValueError, {"beam_fwhm": float("inf")}, "beam_fwhm must be positive, got inf"),
    (ValueError, {"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
    (ValueError, {"flow_dropout": 1.5}, "flow_dropout must be below 1, got 1.5"),
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
    prepared = prepare_stamps(read_stamps(data), shape=(40, 64))
    arch = Architecture(classes=("FRI", "FRII"), shape=(40, 64), log_extent_mean=0.0, log_extent_std=1.0,
                        bending_std=1.0)
    index = torch.tensor([arch.classes.index(name) for name in prepared.fr_class])
    # one of which nothing is known
    index[0] = -1
    return prepared, StampBatches(torch.from_numpy(prepared.images), index,
                                  torch.from_numpy(prepared.noise).float(), arch)


class TestStampBatches:
    def test_plain_stamps_have_their_extent_and_bending(self, batches):
        prepared, made = batches
        images, condition = made.plain(torch.arange(len(prepared)))
        np.testing.assert_allclose(images.amax(dim=(1, 2)).numpy(), 1)
        np.testing.assert_allclose(np.exp(condition[:, 2].numpy()), prepared.extent, rtol=0.01)
        np.testing.assert_allclose(condition[:, 3].numpy(), prepared.bending, atol=0.02)
        assert (condition[1:, :2].argmax(dim=1).numpy() == (prepared.fr_class[1:] == "FRII")).all()
        assert (condition[1:, :2].sum(dim=1) == 1).all() and (condition[0, :2] == 0).all()

    def test_zoom_spares_the_beam(self, batches):
        prepared, made = batches
        rows = torch.arange(len(prepared))
        _, zoomed, condition = made.varied(rows, torch.Generator().manual_seed(0), 0.2)
        extent = np.exp(condition[:, 2].numpy())
        ratio = extent / prepared.extent
        assert ratio.std() > 0.05 and (extent > 0.85 * 5.4 / 2.355).all()
        np.testing.assert_allclose(zoomed.amax(dim=(1, 2)).numpy(), 1)

    def test_half_are_seen_from_further_off(self, batches):
        prepared, made = batches
        rows = torch.full((600,), int(np.argmax(prepared.extent)))
        _, _, condition = made.varied(rows, torch.Generator().manual_seed(0), 0.0)
        # of the source alone, without the beam
        root = np.sqrt(np.exp(2 * condition[:, 2].numpy()) - 2 * (5.4 / 2.355) ** 2)
        ratio = root / root.max()
        assert (ratio < 0.99).mean() == pytest.approx(0.5, abs=0.07)
        assert ratio.min() == pytest.approx(np.exp(-FARTHEST), rel=0.15)

    def test_mirrored_ones_are_bent_the_other_way(self, batches):
        _, made = batches
        y, x = np.indices((40, 64)) - np.array([19.5, 31.5])[:, None, None]
        bent = np.exp(-0.5 * ((y - 0.02 * x**2 + 2) / 1.5) ** 2) * (np.abs(x) < 15)
        alone = StampBatches(torch.from_numpy(bent[None].astype(np.float32)), torch.tensor([0]), torch.zeros(1),
                             made.arch)
        _, images, condition = alone.varied(torch.zeros(60, dtype=torch.long), torch.Generator().manual_seed(1), 0.1)
        bending = condition[:, 3]
        assert 0.2 < float((bending > 0.15).float().mean()) < 0.8 and bool((bending.abs() > 0.15).all())
        # the condition is what the stamp shows
        height = (images * torch.arange(40.0)[:, None]).sum(dim=1) / images.sum(dim=1).clamp_min(1e-9)
        ends = (height[:, 22] + height[:, 41]) / 2 - height[:, 31]
        assert bool((torch.sign(ends) == torch.sign(bending)).all())

    def test_noise_is_seen_but_not_asked_for(self, batches):
        prepared, made = batches
        rows = torch.zeros(200, dtype=torch.long)
        view, stamp, _ = made.varied(rows, torch.Generator().manual_seed(0), 0.0, 1.0)
        bright = stamp > 0.5
        assert float((view - stamp)[bright].std()) == pytest.approx(prepared.noise[0], rel=0.2)

    def test_noise_has_the_beam_for_its_autocorrelation(self, batches):
        _, made = batches
        field = made.beam_noise(torch.Size((400, 40, 64)), torch.Generator().manual_seed(0))[:, 8:-8, 8:-8]
        assert float(field.std()) == pytest.approx(1, rel=0.02)
        for lag in (1, 2, 3):
            found = float((field[:, :, lag:] * field[:, :, :-lag]).mean())
            assert found == pytest.approx(np.exp(-0.5 * (lag / made.arch.beam_sigma) ** 2), abs=0.03)


def test_blank_stamps_are_counted(tmp_path):
    images, _ = stamps(30)
    images[3] = 0
    with pytest.warns(UserWarning, match="1 of 30 cutouts are left out, since they are blank, constant or nowhere"):
        data = load_training_set([write_npz(tmp_path / "s.npz", 30, image=images)], SMALL)
    assert data.dropped["blank"] == 1


def test_a_run_that_is_replaced_is_kept_until_the_new_one_is_done(data, tmp_path, monkeypatch):
    """No weights lie beside the checkpoint of another run, and none are lost."""
    output, once = tmp_path / "m.safetensors", replace(PLAIN, epochs=2)
    files = [output.with_suffix(suffix) for suffix in (".safetensors", ".ckpt", ".csv", ".yaml")]
    (tmp_path / "notes.yaml").write_text("mine")
    train_model([data], output, settings=replace(PLAIN, epochs=1))
    files[3].write_text("skygal_version: '0'\n")
    before = {path.name: path.read_bytes() for path in files}

    def stopped(*_, **__):
        raise KeyboardInterrupt

    # before the first checkpoint nothing has changed
    monkeypatch.setattr(Trainer, "run_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_model([data], output, settings=once, overwrite=True)
    assert {path.name: path.read_bytes() for path in files} == before and not (tmp_path / "m.old").exists()
    monkeypatch.undo()
    # after it, the old run lies whole in a place of its own
    monkeypatch.setattr("skygal.morphology.checkpoint.save_model", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_model([data], output, settings=once, overwrite=True)
    assert not output.exists() and not files[3].exists() and files[1].read_bytes() != before["m.ckpt"]
    assert {path.name: (tmp_path / "m.old" / path.name).read_bytes() for path in files} == before
    assert load_model(tmp_path / "m.old" / "m.safetensors").name == "m"
    monkeypatch.undo()
    # another start over keeps it as well, and the run that is done removes it
    monkeypatch.setattr("skygal.morphology.checkpoint.save_model", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_model([data], output, settings=once, overwrite=True)
    assert {path.name: (tmp_path / "m.old" / path.name).read_bytes() for path in files} == before
    monkeypatch.undo()
    train_model([data], output, settings=once, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.ckpt", "m.csv", "m.safetensors", "notes.yaml"]
    train_model([data], output, settings=once, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_users_yaml_is_not_set_aside(data, tmp_path):
    output = tmp_path / "m.safetensors"
    output.write_text("old")
    (tmp_path / "m.yaml").write_text("epochs: 1\n")
    train_model([data], output, settings=replace(PLAIN, epochs=1), overwrite=True)
    assert (tmp_path / "m.yaml").read_text() == "epochs: 1\n" and load_model(output).name == "m"


@pytest.mark.parametrize("kind", ["file", "theirs", "another output"])
def test_what_is_in_the_way_of_a_run_that_is_replaced(data, tmp_path, kind):
    output, home = tmp_path / "m.safetensors", tmp_path / "m.old"
    output.write_text("old")
    if kind == "file":
        home.write_text("mine")
    elif kind == "theirs":
        home.mkdir()
        (home / "m.safetensors").write_text("mine")
    else:
        with whole_directory(home) as folder:
            (folder / "field.fits").write_text("1")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="m.old' is in the way, where the run that is replaced is kept until"):
        train_model([data], output, settings=replace(PLAIN, epochs=1), overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    # without anything to replace, it is not touched either
    output.unlink()
    train_model([data], output, settings=replace(PLAIN, epochs=1), overwrite=True)
    assert all(path.read_bytes() == text for path, text in before.items() if path != output)
