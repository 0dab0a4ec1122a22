"""A written field is read again: the same pixels, tables and settings, and what is not as it was written is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy.io import fits
from export_fields import small_field

import skygal
from skygal.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return small_field().write(tmp_path_factory.mktemp("written") / "field")


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "field")


def check_same(got, field):
    for name in ("image", "model", "segmentation"):
        assert np.array_equal(np.asarray(getattr(got, name)), getattr(field, name), equal_nan=True)
    for name in ("truth", "components"):
        one, other = getattr(got, name), getattr(field, name)
        assert one.colnames == other.colnames
        for column in one.colnames:
            values = [np.asarray(getattr(table[column], "value", table[column])) for table in (one, other)]
            assert np.array_equal(*values, equal_nan=values[0].dtype.kind == "f"), column
    x, y = [0.0, 191, 50.5], [3.0, 100, 180]
    np.testing.assert_allclose(got.wcs.pixel_to_world_values(x, y), field.wcs.pixel_to_world_values(x, y), atol=1e-10)
    assert got.wcs.array_shape == field.image.shape
    assert got.provenance["seed"] == field.provenance["seed"]
    assert got.provenance["frequency"] == field.provenance["frequency"]
    assert got.provenance["configuration"]["latents"] == field.provenance["configuration"]["latents"]
    assert got.header["BMAJ"] == field.header["BMAJ"]
    assert set(got.inputs) == set(field.inputs)
    for name in got.inputs:
        assert len(got.inputs[name]) == len(field.inputs[name])


def test_a_field_comes_back(written):
    got = skygal.Field.read(written)
    check_same(got, small_field())
    assert isinstance(got.image, np.memmap) and not got.image.flags.writeable and not got.is_lazy


def test_a_field_in_zarr_comes_back(tmp_path):
    pytest.importorskip("zarr")
    pytest.importorskip("dask")
    got = skygal.Field.read(small_field().write(tmp_path / "field", format="zarr"))
    assert got.is_lazy
    check_same(got, small_field())


def test_what_was_read_is_written_and_exported_again(written, tmp_path):
    field = skygal.Field.read(written)
    check_same(skygal.Field.read(field.write(tmp_path / "again")), field)
    for name, format in (("a.json", "coco"), ("a.skymodel", None), ("a.vot", None), ("m.fits", "model")):
        first, second = (one.export(tmp_path / f"{k}_{name}", format).read_bytes()
                         for k, one in enumerate((field, small_field())))
        assert first == second, name


def test_the_files_of_a_field_are_not_overwritten(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    field = skygal.Field.read(folder)
    for name, format in (("field.fits", "model"), ("truth.fits", "model")):
        with pytest.raises(FileExistsError, match="input .* lies in what output"):
            field.export(folder / name, format, overwrite=True)
    with pytest.raises(FileExistsError):
        field.export(folder, "yolo", overwrite=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def change(path, **cards):
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(cards)


@pytest.mark.parametrize(("broken", "error", "words"), [
    (lambda f: shutil.rmtree(f), FileNotFoundError, "field '.*' must be a folder that skygal wrote, it does not exist"),
    (lambda f: (f / "model.fits").unlink(), FileNotFoundError, "image '.*model.fits' does not exist"),
    (lambda f: (f / "truth.fits").unlink(), FileNotFoundError, "truth table '.*truth.fits' does not exist"),
    (lambda f: (f / "skygal.yaml").unlink(), FileNotFoundError, "settings file '.*skygal.yaml' does not exist"),
    (lambda f: (f / "skygal.yaml").write_text("a: ["), ValueError, "settings file '.*skygal.yaml' cannot be read"),
    (lambda f: (f / "skygal.yaml").write_text("7"), ValueError, "must hold keys and values, got 7"),
    (lambda f: (f / "field.fits").write_bytes((f / "field.fits").read_bytes()[:50_000]), ValueError,
     "image '.*field.fits', HDU 0, is truncated: NAXIS1 = 192"),
    (lambda f: change(f / "field.fits", CTYPE1="NONE"), ValueError, "image '.*field.fits' cannot be used: .*CTYPE"),
    (lambda f: change(f / "model.fits", BSCALE=2.0), ValueError,
     "image '.*model.fits', HDU 0: BSCALE must be 1, got 2"),
    (lambda f: shutil.copy(f / "model.fits", f / "segmentation.fits"), ValueError,
     "image '.*segmentation.fits', HDU 0: BITPIX must be 32, got -32"),
    (lambda f: fits.writeto(f / "model.fits", np.zeros((192, 191), "f4"), overwrite=True), ValueError,
     "image '.*model.fits', HDU 0: NAXIS1 must be 192, as in field.fits, got 191"),
    (lambda f: shutil.copy(f / "components.fits", f / "truth.fits"), ValueError,
     "truth table '.*truth.fits' must have a column 'fr_class'"),
])
def test_what_is_not_as_it_was_written(folder, broken, error, words):
    broken(folder)
    with pytest.raises(error, match=words):
        skygal.Field.read(folder)


def test_several_frequencies_and_a_file(tmp_path):
    (tmp_path / "channel_0").mkdir()
    with pytest.raises(ValueError, match="holds one field a frequency: give one of channel_0 in it"):
        skygal.Field.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="must be a folder that skygal wrote, got a file"):
        skygal.Field.read(tmp_path / "file")


# ---- the command

def test_the_command(folder, tmp_path, capsys):
    words = ["export", str(folder), "--no-progress", "--output"]
    assert main([*words, str(tmp_path / "a.reg")]) == 0
    assert (tmp_path / "a.reg").read_text() == small_field().export(tmp_path / "b.reg").read_text()
    assert main([*words, str(tmp_path / "y"), "--format", "yolo", "--option", "tile=64", "--option",
                 "limits=[1e-4, 1e-2]", "--snr", "5"]) == 0
    assert len(list((tmp_path / "y" / "images").rglob("*.png"))) == 9
    (tmp_path / "run.yaml").write_text("format: coco\noptions: ['categories=FRI,FRII']\n")
    assert main([*words, str(tmp_path / "a.json"), "--config", str(tmp_path / "run.yaml")]) == 0
    assert '"FRII"' in (tmp_path / "a.json").read_text()
    capsys.readouterr()
    for more, message in ((["a.txt"], "format must be given"), (["a.txt", "--format", "sdc2"], "did you mean 'sdc1'"),
                          (["b.json", "--format", "coco", "--option", "tile"], "option must be a name and a value"),
                          (["b.json", "--format", "coco", "--option", "tile=2"], "options of coco must be among"),
                          (["c.reg", "--snr", "much"], "snr must be a number, got 'much'")):
        assert main([*words, str(tmp_path / more[0]), *more[1:]]) == 2
        assert message in capsys.readouterr().err
    assert main([*words, str(tmp_path / "a.reg")]) == 1
    assert main([*words, str(folder), "--format", "yolo", "--overwrite"]) == 1
    assert "lies in what output" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--output", str(tmp_path / "d.reg")]) == 1
    assert "does not exist" in capsys.readouterr().err
