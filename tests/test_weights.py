"""Weights that somebody tampered with, digest and all: one ValueError that names the file and what is wrong in it."""

import json
import os
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from skygal.bastien2021.networks import PaperArchitecture, PaperModel
from skygal.bastien2021.weights import load_paper_model, save_paper_model
from skygal.evaluation.ramis import load_paper_classifier
from skygal.io.weights import digest
from skygal.morphology import checkpoint
from skygal.morphology.conditions import ConditionTable
from skygal.morphology.model import GalaxyModel
from skygal.morphology.networks import Architecture

ARCH = Architecture(classes=("FRI", "FRII"), shape=(16, 24), latent_dim=3, decoder_widths=(8,), encoder_widths=(8,),
                    sky_shape=(12, 16), sky_levels=2, flow_layers=2, flow_width=8)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a small model's tensors and description."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    rng = np.random.default_rng(0)
    table = ConditionTable.of_stamps(rng.uniform(10, 60, 50), rng.uniform(0, 1, 50))
    checkpoint.save_model(GalaxyModel(ARCH), path, name="small", metadata={},
                          tables=dict.fromkeys(("FRI", "FRII"), table))
    return parts(path)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Return a small network of the paper's."""
    path = tmp_path_factory.mktemp("paper") / "small.safetensors"
    save_paper_model(PaperModel(PaperArchitecture(latent_dim=2, widths=(6, 5, 4, 4, 3), side=12)), path, name="small",
                     metadata={})
    return parts(path)


def parts(path):
    with safe_open(path, framework="np") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["description"])


def write(path, tensors, description):
    text = description if isinstance(description, str) else json.dumps(description)
    save_file(tensors, path, metadata={"description": text, "sha256": digest(tensors, text)})
    return path


def refuse(load, path, *words):
    with pytest.raises(ValueError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(("model file '", "classifier file '")) and path.name in text
    assert len(text) < 1000 and "\n" not in text
    for word in words:
        assert word in text


def changed(tensors, key, value):
    return {**tensors, key: value(tensors[key])}


TENSORS = {
    "of whole numbers": ("decoder.head.weight", lambda x: x.astype(np.int64), "of int64"),
    "of double precision": ("decoder.head.weight", lambda x: x.astype(float), "of float64"),
    "of booleans": ("flow.affine.0.bias", lambda x: x > 0, "of bool"),
    "turned": ("decoder.body.0.weight", lambda x: x.T.copy(), "shape"),
    "flat": ("decoder.body.0.weight", np.ravel, "shape"),
    "cut": ("decoder.head.bias", lambda x: x[:-1].copy(), "'decoder' must have"),
    "of no numbers": ("decoder.head.bias", lambda x: x[:0].copy(), "'decoder' must have"),
    "NaN": ("flow.affine.0.weight", lambda x: x * np.nan, "finite numbers, got"),
    "infinite": ("extents.FRI", lambda x: x + np.inf, "'extents.FRI'"),
    "falling": ("extents.FRI", lambda x: x[::-1].copy(), "rise"),
    "negative": ("extents.FRII", lambda x: x - 1e3, "rise, within 0"),
    "zero": ("extents.FRII", lambda x: x * 0, "rise"),
    "of one value": ("extents.FRII", lambda x: x[:1].copy(), "two values at least"),
    "of two axes": ("extents.FRII", lambda x: x[None], "'extents.FRII' must have 1 axes"),
    "of one axis": ("bendings.FRI", lambda x: x[0].copy(), "'bendings.FRI' must have 2 axes"),
    "beyond pi": ("bendings.FRI", lambda x: x + 4, "'bendings.FRI'"),
}


@pytest.mark.parametrize("what", TENSORS)
def test_tensors(tmp_path, plain, what):
    tensors, description = plain
    key, value, said = TENSORS[what]
    path = write(tmp_path / "m.safetensors", changed(tensors, key, value), description)
    refuse(checkpoint.load_model, path, key.split(".")[0], said)


def test_every_tensor_is_needed_and_no_other(tmp_path, plain):
    tensors, description = plain
    for key in tensors:
        rest = {name: value for name, value in tensors.items() if name != key}
        refuse(checkpoint.load_model, write(tmp_path / "m.safetensors", rest, description), key.split(".")[0])
        renamed = {**rest, key + "x": tensors[key]}
        refuse(checkpoint.load_model, write(tmp_path / "m.safetensors", renamed, description), key)
    for key in ("other", "decoder.other", "__class__", "x" * 10**5):
        more = {**tensors, key: np.zeros(2, np.float32)}
        refuse(checkpoint.load_model, write(tmp_path / "m.safetensors", more, description),
               "decoder" if "." in key else key[:20])


ENTRIES = [("latent_dim", 10**12), ("latent_dim", -4), ("latent_dim", 0), ("latent_dim", 4.5), ("latent_dim", "4"),
           ("latent_dim", True), ("decoder_widths", [10**9]), ("decoder_widths", []), ("decoder_widths", [-1]),
           ("decoder_widths", "ab"), ("flow_layers", 10**9), ("flow_layers", -1), ("flow_width", 10**10),
           ("sky_levels", 10**9), ("sky_levels", 0), ("sky_shape", [10**6, 10**6]), ("sky_shape", [64]),
           ("sky_shape", [0, 0]), ("shape", [10**6, 10**6]), ("shape", [-1, 2]), ("shape", [24, 40, 1]),
           ("pixel_scale", 0), ("pixel_scale", -1.8), ("pixel_scale", float("nan")), ("beam_fwhm", float("inf")),
           ("log_extent_mean", 1e9), ("log_extent_std", 0), ("bending_std", float("nan")), ("sky_reach", -3.0),
           ("classes", []), ("classes", ["FRI", "FRI"]), ("classes", ["FRI", 2]), ("classes", ["FRI", "x" * 10**6]),
           ("classes", {"FRI": 1}), ("classes", None), ("encoder_widths", [0])]


@pytest.mark.parametrize(("name", "value"), ENTRIES)
def test_architectures(tmp_path, plain, name, value):
    tensors, description = plain
    made = {**description, "architecture": {**description["architecture"], name: value}}
    refuse(checkpoint.load_model, write(tmp_path / "m.safetensors", tensors, made), "does not fit its architecture")


DEEP = '{"format": ' + "[" * 10**5 + "]" * 10**5 + "}"


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "null", '"a"', DEEP, "{}", '{"format": {}}', '{"format": [1]}'])
def test_descriptions(tmp_path, plain, text):
    refuse(checkpoint.load_model, write(tmp_path / "m.safetensors", plain[0], text))


@pytest.mark.parametrize("key", ["name", "architecture", "metadata"])
@pytest.mark.parametrize("value", [None, 3, [1]])
def test_entries_of_descriptions(tmp_path, plain, paper, key, value):
    for tensors, description in (plain, paper):
        refuse(checkpoint.load_model, write(tmp_path / "m.safetensors", tensors, {**description, key: value}), key)
        less = {name: entry for name, entry in description.items() if name != key}
        refuse(checkpoint.load_model, write(tmp_path / "m.safetensors", tensors, less), key)


@pytest.mark.parametrize("load", [checkpoint.load_model, load_paper_model])
@pytest.mark.parametrize(("name", "value"), [
    ("latent_dim", 10**9), ("latent_dim", "2"), ("conditional", "no"), ("conditional", 1), ("widths", [10**9] * 5),
    ("widths", 3), ("widths", [6, 5, 4]), ("side", 10**6), ("side", -12), ("dropout", "x"), ("dropout", None),
    ("pixel_scale", "a"), ("beam_fwhm", float("nan")), ("other", 1)])
def test_architectures_of_the_paper(tmp_path, paper, load, name, value):
    tensors, description = paper
    made = {**description, "architecture": {**description["architecture"], name: value}}
    refuse(load, write(tmp_path / "m.safetensors", tensors, made), "does not fit its architecture")


@pytest.mark.parametrize("load", [checkpoint.load_model, load_paper_model])
def test_tensors_of_the_paper(tmp_path, paper, load):
    tensors, description = paper
    for key, value in (("decoder.fc7.weight", lambda x: x.T.copy()), ("decoder.fc12.bias", lambda x: x * np.nan),
                       ("extents.FRI", lambda x: x[:, None]), ("extents.FRII", lambda x: -x),
                       ("decoder.fc9.bias", lambda x: x.astype(np.int32))):
        refuse(load, write(tmp_path / "m.safetensors", changed(tensors, key, value), description), key.split(".")[0])
    for key in ("decoder.fc8.bias", "extents.FRI", "encoder.fc61.weight"):
        rest = {name: value for name, value in tensors.items() if name != key}
        refuse(load, write(tmp_path / "m.safetensors", rest, description), key.split(".")[0])


def rewritten(data, change):
    """Return a safetensors file whose own header was changed, and nothing else."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    text = change(header)
    text = text if isinstance(text, bytes) else json.dumps(header if text is None else text).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size:]


def entry(**change):
    return lambda header: header["decoder.head.bias"].update(change)


@pytest.mark.parametrize("change", [
    entry(dtype="F64"), entry(dtype="BF16"), entry(dtype="F8_E4M3"), entry(dtype="NONE"), entry(dtype=3),
    entry(shape=[-1]), entry(shape=[2**63]), entry(shape=[2**32, 2**32]), entry(shape="x"), entry(shape=[10**12]),
    entry(data_offsets=[0, 10**12]), entry(data_offsets=[10, 0]), entry(data_offsets=[-8, 8]),
    entry(data_offsets=[0, 0]),
    lambda header: header.pop("__metadata__") and None, lambda header: header.update(__metadata__=[1]),
    lambda header: header.update(__metadata__={"description": "x"}), lambda header: header.update({"x": {}}),
    lambda header: [1], lambda header: {}, lambda header: b"{" * 10**5, lambda header: b"\xff" * 100])
def test_headers(tmp_path, plain, change):
    path = write(tmp_path / "m.safetensors", *plain)
    path.write_bytes(rewritten(path.read_bytes(), change))
    for load in (checkpoint.load_model, load_paper_model, load_paper_classifier):
        refuse(load, path)


@pytest.mark.parametrize("start", [0, 1, 7, 2**20, 2**40, 2**63, 2**64 - 1])
def test_lengths_that_lie(tmp_path, plain, start):
    path = write(tmp_path / "m.safetensors", *plain)
    path.write_bytes(struct.pack("<Q", start) + path.read_bytes()[8:])
    for load in (checkpoint.load_model, load_paper_model, load_paper_classifier):
        refuse(load, path)


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    os.symlink("/dev/zero", tmp_path / "zero.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "empty.safetensors").touch()
    for name in ("pipe", "zero", "folder", "empty"):
        for load in (checkpoint.load_model, load_paper_model, load_paper_classifier):
            refuse(load, tmp_path / f"{name}.safetensors")
