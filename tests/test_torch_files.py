"""Checkpoints and state dicts from anywhere: tensors of the numbers that they hold, or one line."""

import os
import pickle
import zipfile

import pytest
import torch
from training_stamps import PLAIN, write_npz

from skygal.bastien2021.weights import read_state_dict
from skygal.io.torch_files import check_moments, read_torch


def refuse(path, *words, load=lambda path: read_torch(path, "checkpoint")):
    with pytest.raises(ValueError) as caught:
        load(path)
    text = str(caught.value)
    assert path.name in text and "\n" not in text and len(text) < 1000
    for word in words:
        assert word in text


class Runs:
    def __reduce__(self):
        return (os.system, ("true",))


BAD = {
    "one number seen as a million": {"a": torch.zeros(1).expand(1000, 1000, 1000)},
    "one number seen as a million, inside": {"a": [({"b": torch.zeros(1).expand(10**9)},)]},
    "sparse": {"a": torch.eye(3).to_sparse()},
    "on no device": {"a": torch.zeros(3, device="meta")}, "code": {"a": Runs()},
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_are_not_there(tmp_path, what, zipped):
    path = tmp_path / "x.ckpt"
    torch.save(BAD[what], path, _use_new_zipfile_serialization=zipped)
    refuse(path, "checkpoint '")
    refuse(path, "state dict '", load=read_state_dict)


def test_a_file_that_unpacks_without_end(tmp_path):
    torch.save({"a": torch.zeros(2**22)}, tmp_path / "plain.ckpt")
    path = tmp_path / "x.ckpt"
    with zipfile.ZipFile(tmp_path / "plain.ckpt") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    assert path.stat().st_size < 2**18
    refuse(path, "unpacks")


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe.ckpt")
    os.symlink("/dev/zero", tmp_path / "zero.ckpt")
    (tmp_path / "folder.ckpt").mkdir()
    (tmp_path / "empty.ckpt").touch()
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Runs()))
    for name in ("pipe", "zero", "folder", "empty", "text", "pickle"):
        refuse(tmp_path / f"{name}.ckpt")
        refuse(tmp_path / f"{name}.ckpt", load=read_state_dict)


def test_what_stays(tmp_path):
    value = {"a": torch.arange(6.0).reshape(2, 3).T, "b": [1, "x", None, (2.5,)], "c": {"d": torch.zeros(0)}}
    torch.save(value, tmp_path / "x.ckpt")
    found = read_torch(tmp_path / "x.ckpt", "checkpoint")
    assert torch.equal(found["a"], value["a"]) and found["b"] == value["b"]


def test_moments_of_other_shapes():
    parameter = torch.nn.Parameter(torch.zeros(3))
    adam = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(3)
    adam.step()
    check_moments(adam)
    adam.state[parameter]["exp_avg"] = torch.zeros(4)
    with pytest.raises(ValueError, match=r"'exp_avg' must have a parameter's shape \(3,\), got \(4,\)"):
        check_moments(adam)


def test_checkpoints_whose_entries_are_gone(tmp_path):
    from skygal.training.data.prepare import prepare_stamps
    from skygal.training.data.readers import read_stamps
    from skygal.training.loop import Trainer

    data = prepare_stamps(read_stamps(write_npz(tmp_path / "a.npz", 40)), classes=PLAIN.classes, shape=PLAIN.shape)
    trainer = Trainer(data, PLAIN, "cpu")
    path = tmp_path / "x.ckpt"
    trainer.save(path)
    whole = torch.load(path, weights_only=True)
    Trainer(data, PLAIN, "cpu").load(path)
    for key in whole:
        if key != "game":
            torch.save({name: value for name, value in whole.items() if name != key}, path)
            refuse(path, "checkpoint '", "is damaged", load=trainer.load)
    for key, value in (("model", {}), ("adam", 3), ("epoch", "x"), ("step", None), ("rows", 5)):
        torch.save({**whole, key: value}, path)
        refuse(path, "checkpoint '", "is damaged", load=trainer.load)
