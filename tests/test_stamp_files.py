"""Stamps on disk, in every format: what is written is what was sampled, and can be trained on."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from click.testing import CliRunner

import skygal
from skygal.cli.main import cli, main
from skygal.stamps import sample as sampling
from skygal.stamps.files import encode_png, write_stamps
from skygal.stamps.sample import StampSet, iter_stamps
from skygal.training.data.readers import read_stamps
from skygal.truth import read_truth

PILImage = pytest.importorskip("PIL.Image")


def made(n: int = 6, classes=("FRI", "FRII")) -> StampSet:
    """Return stamps that no model made."""
    rng = np.random.default_rng(0)
    images = rng.random((n, 12, 10), np.float32) * (rng.random((n, 12, 10)) < 0.3)
    images /= images.max(axis=(1, 2), keepdims=True)
    table = QTable({"stamp_id": np.arange(1, n + 1), "fr_class": np.resize(classes, n), "las": rng.random(n) * u.arcsec,
                    "n_components": rng.integers(1, 4, n), "latents": rng.random((n, 3))})
    table.meta.update(seed=5, model="none", options={"n": n})
    return StampSet(images, table, 1.8 * u.arcsec, 5.4 * u.arcsec)


def split(stamps: StampSet, *places: int):
    for low, high in zip((0, *places), (*places, len(stamps)), strict=True):
        table = stamps.table[low:high]
        yield StampSet(stamps.images[low:high], table, stamps.pixel_scale, stamps.beam_fwhm)


@pytest.fixture
def stamps():
    return made()


class TestFits:
    def test_parts_make_one(self, stamps, tmp_path):
        write_stamps(split(stamps, 2, 5), tmp_path / "a", n=6)
        stamps.write(tmp_path / "b")
        for name in ("stamps.fits", "table.ecsv", "skygal.yaml"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
        with fits.open(tmp_path / "a" / "stamps.fits") as hdus:
            hdus.verify("exception")
            np.testing.assert_array_equal(hdus[0].data, stamps.images)
        for name in ("table.fits", "table.ecsv"):
            table = read_truth(tmp_path / "a" / name)
            assert table["las"].unit == u.arcsec and table.meta["seed"] == 5 and len(table) == 6
            np.testing.assert_allclose(table["latents"], stamps.table["latents"])

    def test_can_be_trained_on(self, stamps, tmp_path):
        read = read_stamps(stamps.write(tmp_path / "a"))
        np.testing.assert_array_equal(np.stack(read.images), stamps.images)
        assert read.fr_class.tolist() == stamps.table["fr_class"].tolist()
        assert read.pixel_scale == pytest.approx(np.full(6, 1.8))
        np.testing.assert_allclose(read.las, stamps.table["las"].value)

    def test_table_of_another_length(self, stamps, tmp_path):
        folder = stamps.write(tmp_path / "a")
        fits.PrimaryHDU(stamps.images[:4], fits.getheader(folder / "stamps.fits")).writeto(folder / "stamps.fits",
                                                                                             overwrite=True)
        with pytest.raises(ValueError, match=r"and a table of n rows, got \(4, 12, 10\) and 6 rows"):
            read_stamps(folder)

    def test_damaged(self, stamps, tmp_path):
        folder = stamps.write(tmp_path / "a")
        (folder / "table.fits").write_bytes(b"no table")
        with pytest.raises(ValueError, match="stamps '.*a' cannot be read as a cube and its table"):
            read_stamps(folder)


class TestNpz:
    def test_arrays(self, stamps, tmp_path):
        path = write_stamps(split(stamps, 1), tmp_path / "a.npz", n=6, format="npz")
        with np.load(path, allow_pickle=False) as data:
            np.testing.assert_array_equal(data["image"], stamps.images)
            assert data["image"].dtype == np.float32
            assert data["class_names"][data["label"]].tolist() == stamps.table["fr_class"].tolist()
            np.testing.assert_array_equal(data["latents"], stamps.table["latents"])
            assert json.loads(str(data["units"])) == {"las": "arcsec"} and json.loads(str(data["meta"]))["seed"] == 5

    def test_labels_are_the_published_ones(self, tmp_path):
        path = made(4, ("FRII", "compact", "hybrid", "compact")).write(tmp_path / "a.npz", format="npz")
        with np.load(path) as data:
            assert data["label"].tolist() == [1, 2, 4, 2]
            assert data["class_names"].tolist() == ["FRI", "FRII", "compact", "bent", "hybrid"]

    def test_can_be_trained_on(self, stamps, tmp_path):
        read = read_stamps(stamps.write(tmp_path / "a.npz", format="npz"))
        np.testing.assert_array_equal(np.stack(read.images), stamps.images)
        assert read.fr_class.tolist() == stamps.table["fr_class"].tolist() and (read.pixel_scale == 1.8).all()


class TestPng:
    @pytest.mark.parametrize("bits", [8, 16])
    def test_pillow_reads_the_pixels(self, bits):
        image = made().images[0]
        with PILImage.open(io.BytesIO(encode_png(image, bits))) as found:
            pixels = np.asarray(found)
        white = 2**bits - 1
        np.testing.assert_array_equal(pixels[::-1], np.round(image / image.max() * white))
        assert pixels.max() == white and found.size == (10, 12)

    def test_blank(self):
        with PILImage.open(io.BytesIO(encode_png(np.zeros((3, 3), np.float32)))) as found:
            assert not np.asarray(found).any()

    @pytest.mark.parametrize("bits", [8, 16])
    def test_folder(self, stamps, tmp_path, bits):
        folder = write_stamps(split(stamps, 3), tmp_path / "a", n=6, format="png", bits=bits)
        # as ImageFolder finds its classes
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["FRI", "FRII"]
        with open(folder / "labels.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["file"] for row in rows] == [f"{('FRI', 'FRII')[k % 2]}/{k + 1:06d}.png" for k in range(6)]
        assert [float(row["las"]) for row in rows] == stamps.table["las"].value.tolist()
        assert {row["pixel_scale"] for row in rows} == {"1.8"} and "latents" not in rows[0]
        read = read_stamps(folder)
        order = [int(name[:6]) - 1 for name in read.name]
        for image, k in zip(read.images, order, strict=True):
            np.testing.assert_allclose(image / (2**bits - 1), stamps.images[k], atol=0.51 / (2**bits - 1))
        assert read.fr_class.tolist() == stamps.table["fr_class"][order].tolist()


class TestWhole:
    @pytest.mark.parametrize("name, format", [("a", "fits"), ("a.npz", "npz"), ("a", "png")])
    def test_nothing_is_left_of_a_failure(self, stamps, tmp_path, name, format):
        def failing():
            yield from split(stamps, 2, 4)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_stamps(failing(), tmp_path / name, n=9, format=format)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("n, got", [(5, "more"), (7, "6")])
    def test_count(self, stamps, tmp_path, n, got):
        with pytest.raises(ValueError, match=f"parts must hold n = {n} stamps, got {got}"):
            write_stamps(split(stamps, 3), tmp_path / "a", n=n)

    @pytest.mark.parametrize("name, change, message", [
        ("a", {"format": "hdf5"}, "format must be one of 'fits', 'npz', 'png', got 'hdf5'"),
        ("a", {"format": "png", "bits": 12}, "bits must be 8 or 16, got 12"),
        ("a", {"format": "npz"}, "output must end in .npz for the format 'npz', got '.*a'"),
    ])
    def test_refuses(self, stamps, tmp_path, name, change, message):
        with pytest.raises(ValueError, match=message):
            stamps.write(tmp_path / name, **change)

    @pytest.mark.parametrize("name, format", [("a", "fits"), ("a.npz", "npz"), ("a", "png")])
    def test_overwrite(self, stamps, tmp_path, name, format):
        path = stamps.write(tmp_path / name, format=format)
        with pytest.raises(FileExistsError, match="overwrite"):
            stamps.write(path, format=format)
        stamps.write(path, format=format, overwrite=True)


class TestSampled:
    def test_parts_are_the_same_stamps(self, monkeypatch):
        whole = skygal.sample_stamps(70, seed=3, orientation="aligned")
        monkeypatch.setattr(sampling, "PART", 64)
        parts = list(iter_stamps(70, seed=3, orientation="aligned"))
        assert [len(part) for part in parts] == [64, 6]
        joined = StampSet.join(parts)
        np.testing.assert_array_equal(joined.images, whole.images)
        for name in whole.table.colnames:
            np.testing.assert_array_equal(joined.table[name], whole.table[name], err_msg=name)
        assert joined.table.meta == whole.table.meta and joined.table["las"].unit == u.arcsec

    def test_latents_that_are_given(self, monkeypatch):
        values = np.random.default_rng(0).normal(size=(66, skygal.load_model().latent_dim))
        monkeypatch.setattr(sampling, "PART", 64)
        found = StampSet.join(list(iter_stamps(66, latents=values, fr_class="FRI", seed=1, orientation="aligned")))
        np.testing.assert_allclose(found.table["latents"], values, rtol=1e-6)

    def test_command(self, tmp_path):
        options = ["stamps", "--n", "3", "--seed", "2", "--size", "40", "--no-progress", "--output"]
        for format, name in (("npz", "s.npz"), ("png", "s")):
            done = CliRunner().invoke(cli, [*options, str(tmp_path / name), "--format", format], catch_exceptions=False)
            assert done.exit_code == 0 and done.output == f"{tmp_path / name}: 3 stamps, seed 2\n"
        with np.load(tmp_path / "s.npz") as data:
            np.testing.assert_array_equal(data["image"], skygal.sample_stamps(3, seed=2, size=40).images)
        record = yaml.safe_load((tmp_path / "s" / "skygal.yaml").read_text())
        assert record["options"]["format"] == "png" and record["command"] == "stamps"
        assert len(list((tmp_path / "s").rglob("*.png"))) == 3

    def test_command_checks_first(self, tmp_path, capsys):
        for words, message in ((["--format", "npz"], "must end in .npz"), (["--format", "x"], "format must be one of"),
                               (["--bits", "9", "--format", "png"], "bits must be 8 or 16, got 9")):
            assert main(["stamps", "--n", "3", "--output", str(tmp_path / "s"), *words]) == 2
            assert message in capsys.readouterr().err
