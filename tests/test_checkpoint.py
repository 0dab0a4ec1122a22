"""Weights files: what is written comes back, what was touched is refused."""

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from astropy import units as u
from safetensors.numpy import load_file, save_file

import skygal
from skygal.io.weights import digest
from skygal.morphology import checkpoint
from skygal.morphology.checkpoint import list_models, load_model, save_model, shared_model
from skygal.morphology.conditions import ConditionTable
from skygal.morphology.model import GalaxyModel
from skygal.morphology.networks import Architecture

ARCH = Architecture(classes=("FRI", "FRII"), shape=(16, 24), latent_dim=3, decoder_widths=(8,), encoder_widths=(8,),
                    sky_shape=(12, 18), flow_layers=2, flow_width=8)
TABLES = {name: ConditionTable.of_stamps(np.linspace(low, high, 90), np.linspace(0, 1, 90))
          for name, low, high in (("FRI", 5, 30), ("FRII", 6, 40))}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = GalaxyModel(ARCH)
    return save_model(model, tmp_path_factory.mktemp("model") / "small.safetensors", name="small", tables=TABLES,
                      metadata={"seed": 1}), model


def test_round_trip(weights):
    path, model = weights
    generator = load_model(path)
    assert (generator.name, generator.classes, generator.shape) == ("small", ("FRI", "FRII"), (16, 24))
    assert generator.metadata == {"seed": 1} and len(generator.sha256) == 64
    for name, table in TABLES.items():
        np.testing.assert_array_equal(generator.tables[name].extent, table.extent)
        np.testing.assert_array_equal(generator.tables[name].bending, table.bending)
    latents = np.random.default_rng(0).standard_normal((4, 3))
    extent = (np.log(12) - ARCH.log_extent_mean) / ARCH.log_extent_std
    condition = torch.tensor([[1.0, 0.0, extent, -0.3 / ARCH.bending_std]] * 4)
    model.eval()
    with torch.no_grad():
        expected = model.decoder(model.flow(torch.tensor(latents).float(), condition.float()), condition.float())
    found = generator.decode(latents, np.full(4, "FRI"), np.full(4, 12.0), np.full(4, -0.3))
    # the file holds half precision
    np.testing.assert_allclose(found, expected.numpy(), rtol=0.02, atol=1e-4)


def test_a_generator_is_returned_as_it_is(weights):
    generator = load_model(weights[0])
    assert load_model(generator) is generator


def decoded(generator):
    return generator.decode(np.ones((2, 3)), np.array(["FRI", "FRII"]), np.full(2, 12.0))


@pytest.fixture()
def reads(monkeypatch):
    """Paths of the weights files that are read."""
    paths, read = [], checkpoint.read_weights
    monkeypatch.setattr(checkpoint, "read_weights", lambda path, forms: paths.append(path) or read(path, forms))
    checkpoint._load.cache_clear()
    return paths


class TestOncePerProcess:
    def test_a_file_is_read_once(self, weights, reads, tmp_path, monkeypatch):
        monkeypatch.chdir(weights[0].parent)
        link = tmp_path / "link.safetensors"
        link.symlink_to(weights[0])
        for path in (weights[0], str(weights[0]), weights[0].name, link, weights[0]):
            assert load_model(path).name == "small"
        load_model()
        assert checkpoint.is_shipped(load_model("first-cvae")) and not checkpoint.is_shipped(load_model(link))
        assert reads == [weights[0], checkpoint.WEIGHTS / "first-cvae.safetensors"]

    def test_each_caller_has_a_model_of_its_own(self, weights):
        first = load_model(weights[0])
        wanted, metadata, extent = decoded(first), dict(first.metadata), first.tables["FRI"].extent.copy()
        with torch.no_grad():
            first._decoder.head.weight.zero_()
        first.metadata["seed"], first.name = 2, "mine"
        first.tables["FRI"].extent[:] = 0
        del first.tables["FRII"]
        second = load_model(weights[0])
        assert np.array_equal(decoded(second), wanted) and not np.array_equal(decoded(first)[0], wanted[0])
        assert second.metadata == metadata and second.name == "small" and set(second.tables) == {"FRI", "FRII"}
        np.testing.assert_array_equal(second.tables["FRI"].extent, extent)

    def test_a_file_that_changed_is_read_again(self, weights, reads, tmp_path):
        path = tmp_path / "own.safetensors"
        path.write_bytes(weights[0].read_bytes())
        load_model(path)
        before = path.stat()
        tensors = load_file(path)
        tensors["decoder.head.bias"] = tensors["decoder.head.bias"] + np.float16(1)
        other = rewrite(weights, tmp_path / "other.safetensors", tensors)
        assert other.stat().st_size == before.st_size
        # in place, of the same size and with the old times
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert load_model(path).sha256 == load_model(other).sha256 != load_model(weights[0]).sha256
        # one that replaces it, and is no good: every call says so
        path.unlink()
        path.write_bytes(other.read_bytes()[:-1])
        for _ in range(2):
            with pytest.raises(ValueError, match="is truncated or no safetensors file"):
                load_model(path)
        path.unlink()
        with pytest.raises(FileNotFoundError, match="own.safetensors' not found"):
            load_model(path)

    def test_threads(self, weights):
        checkpoint._load.cache_clear()
        wanted = decoded(load_model(weights[0]))
        checkpoint._load.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            models = list(pool.map(load_model, [weights[0]] * 24))
        assert len({id(model) for model in models}) == 24
        assert all(np.array_equal(decoded(model), wanted) for model in models)

    def test_the_users_random_numbers_stay(self, reads):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            wanted = torch.rand(3)
            torch.manual_seed(1)
            load_model()
            assert torch.equal(torch.rand(3), wanted) and len(reads) == 1


def test_shipped_model():
    assert checkpoint.DEFAULT_MODEL in list_models()
    for name in list_models():
        path = checkpoint.WEIGHTS / f"{name}.safetensors"
        assert path.stat().st_size < 25e6
        assert path.with_suffix(".md").is_file()
        assert load_model(name).name == name
    generator = load_model()
    assert generator.name == checkpoint.DEFAULT_MODEL and generator.classes == ("FRI", "FRII", "hybrid", "compact")
    assert (generator.pixel_scale, generator.beam_fwhm) == (1.8, 5.4)


def test_unknown_name():
    names = "'first-atlas', 'first-cvae'"
    with pytest.raises(ValueError, match=rf"model must be a .safetensors file or one of {names}.*did you mean"):
        load_model("first-cvea")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model file '.*no.safetensors' not found"):
        load_model(tmp_path / "no.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 40, 3000, -1])
def test_truncated(weights, tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(weights[0].read_bytes()[:keep])
    with pytest.raises(ValueError, match="is truncated or no safetensors file"):
        load_model(path)


def test_one_changed_byte(weights, tmp_path):
    data = bytearray(weights[0].read_bytes())
    data[-5] ^= 1
    path = tmp_path / "changed.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="was changed since it was written: SHA-256 must be"):
        load_model(path)


def rewrite(weights, path, tensors=None, **change):
    """Write the model again, whole and with a right digest, but changed."""
    tensors = tensors or load_file(weights[0])
    from safetensors import safe_open

    with safe_open(weights[0], framework="np") as file:
        described = json.loads(file.metadata()["description"])
    described = json.dumps({**described, **change})
    save_file(tensors, path, metadata={"description": described, "sha256": digest(tensors, described)})
    return path


def test_changed_description(weights, tmp_path):
    from safetensors import safe_open

    with safe_open(weights[0], framework="np") as file:
        header = file.metadata()
    header["description"] = header["description"].replace("small", "large")
    path = tmp_path / "renamed.safetensors"
    save_file(load_file(weights[0]), path, metadata=header)
    with pytest.raises(ValueError, match="was changed since it was written"):
        load_model(path)


def test_wrong_architecture(weights, tmp_path):
    wide = {**ARCH.to_dict(), "decoder_widths": [9]}
    with pytest.raises(ValueError, match="does not fit its architecture"):
        load_model(rewrite(weights, tmp_path / "wide.safetensors", architecture=wide))


@pytest.mark.parametrize("kind", ["extents", "bendings"])
def test_missing_tensor(weights, tmp_path, kind):
    tensors = load_file(weights[0])
    del tensors[f"{kind}.FRI"]
    with pytest.raises(ValueError, match=f"does not fit its architecture: '{kind}.FRI'"):
        load_model(rewrite(weights, tmp_path / "lacking.safetensors", tensors))


def test_other_format(weights, tmp_path):
    with pytest.raises(ValueError, match="must have format skygal-cvae 2, got skygal-cvae 1"):
        load_model(rewrite(weights, tmp_path / "older.safetensors", format_version=1))
    with pytest.raises(ValueError, match="must have format skygal-cvae 2, got gan 2"):
        load_model(rewrite(weights, tmp_path / "gan.safetensors", format="gan"))


def test_other_safetensors(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="is no skygal model: it has no description and digest"):
        load_model(path)


@pytest.mark.parametrize("model", [3, b"first-cvae", ["first-cvae"], object])
def test_what_is_no_model(model):
    with pytest.raises(TypeError, match=r"model must be a shipped model's name, the path of .* or None, got"):
        load_model(model)


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:-1", "cuda:\N{SUPERSCRIPT TWO}", "CPU", "", 0, None])
def test_what_is_no_device(device):
    with pytest.raises(ValueError, match=f"device must be 'cpu', 'cuda' or 'cuda:N', got {device!r}"):
        load_model(device=device)


def test_device():
    with pytest.raises(ValueError, match="device must be 'cpu', 'cuda' or 'cuda:N', got 'tpu'"):
        load_model(device="tpu")
    with pytest.raises(ValueError, match="device must be one that this machine has, got 'cuda:99'"):
        load_model(device="cuda:99")


def test_existing_file_is_kept(weights):
    before = weights[0].read_bytes()
    with pytest.raises(FileExistsError):
        save_model(weights[1], weights[0], name="other", tables=TABLES, metadata={})
    assert weights[0].read_bytes() == before


def test_a_field_leaves_the_model_that_all_share_as_it_is():
    before = pickle.dumps(shared_model())
    wcs = skygal.make_wcs("12h +30d", 64, 1.8 * u.arcsec)
    skygal.simulate_field(wcs, 3, seed=1, latents="prior")
    assert shared_model() is shared_model() and load_model() is not shared_model()
    assert pickle.dumps(shared_model()) == before
