"""The command line: what it hands on, what it says, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from skygal.cli.main import main
from skygal.cli.shared import TRAINING
from skygal.io.atomic import whole_directory
from skygal.io.config import dump_config
from skygal.io.images import read_image
from skygal.settings import Morphology, Population, View, join_views
from skygal.training.settings import TrainSettings
from skygal.truth import read_truth

TINY = ["--survey", "FIRST", "--size", "96", "--n-sources", "3", "--seed", "5", "--no-progress"]


@dataclass(frozen=True)
class FakeField:
    """Stands in for a field where only the command line is on trial."""

    provenance: dict
    image: np.ndarray
    truth: tuple = (1, 2)
    inputs: tuple = ()

    def write(self, directory, *, format="fits", overwrite=False, plot=False, progress=False):
        with whole_directory(directory, overwrite=overwrite) as part:
            (part / "skygal.yaml").write_text(dump_config(self.provenance))


@pytest.fixture
def calls(monkeypatch):
    """Record what the commands hand to the functions behind them."""
    seen = []

    def fake(name):
        def function(*positional, **named):
            # they read their words as the functions do
            views = [View.of(named).given()] if name != "simulate_fields" else View.of_each(
                {one.name: named[one.name] for one in fields(View)})
            read = {**join_views(views), **Population.of(named).given(), **Morphology.of(named).given()}
            seen.append((name, positional, {**named, **read}))
            return FakeField({"skygal_version": "0", "seed": named["seed"] or 77}, np.zeros((4, 6)))
        return function

    def several(*positional, **named):
        return [fake("simulate_fields")(*positional, **named) for _ in named["frequency"]]

    monkeypatch.setitem(sys.modules, "skygal.simulate",
                        types.SimpleNamespace(simulate_field=fake("simulate_field"), simulate_fields=several))
    monkeypatch.setitem(sys.modules, "skygal.injection", types.SimpleNamespace(inject=fake("inject")))
    return seen


def test_simulate_hands_everything_on(calls, tmp_path, capsys):
    out = str(tmp_path / "out")
    status = main(["simulate", "--size", "40x30", "--pixel-scale", "2arcsec", "--center", "10 20", "--projection",
                   "TAN",
                   "--beam", "6x5arcsec,30deg", "--noise", "0.15 mJy", "--frequency", "1.4GHz", "--n-sources", "7",
                   "--flux", "1mJy,1Jy", "--las", "10 arcsec, 1 arcmin", "--fr-mix", "FRI:0.2,FRII:0.8",
                   "--spectral-index=-0.9,-0.6", "--latents", "prior", "--clip-sigma", "none", "--model", "m",
                   "--seed", "3", "--device", "cuda", "--workers", "1", "--no-progress", "--output", out])
    assert status == 0, capsys.readouterr().err
    (_, (wcs,), named), = calls
    assert named.pop("n_sources") == 7 and wcs.array_shape == (30, 40) and wcs.wcs.ctype[0] == "RA---TAN"
    beam = named.pop("beam")
    assert (beam.major.to_value("arcsec"), beam.pa.to_value("deg")) == pytest.approx((6, 30))
    assert named == {"survey": None, "noise": 0.15 * u.mJy, "table": None, "frequency": 1.4 * u.GHz,
                     "flux": (1 * u.mJy, 1 * u.Jy), "las": (10 * u.arcsec, 1 * u.arcmin),
                     "fr_mix": {"FRI": 0.2, "FRII": 0.8}, "spectral_index": (-0.9, -0.6), "latents": "prior",
                     "clip_sigma": None, "model": "m", "seed": 3, "device": "cuda", "workers": 1, "progress": False,
                     "curvature": None, "faint": None, "primary_beam": None, "off_sky": "nan", "chunks": None,
                     "psf": None, "bending": None, "sky": None, "clustering": None}
    assert capsys.readouterr().out == f"{out}: 2 sources in 6 x 4 pixels, seed 3\n"


def test_defaults(calls, tmp_path):
    assert main(["simulate", "--survey", "FIRST", "--pixel-scale", "2arcsec", "--noise", "none",
                 "--output", str(tmp_path / "out")]) == 0
    (_, (wcs,), named), = calls
    assert named["n_sources"] is None and wcs.array_shape == (1024, 1024) and named["noise"] is False
    assert named["latents"] == "balanced" and named["clip_sigma"] == 3.0 and named["progress"] is True
    assert [named[name] for name in ("beam", "flux", "las", "fr_mix", "model", "seed")] == [None] * 6


def test_config_gives_defaults_and_the_command_line_wins(calls, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(f"pixel-scale: 2 arcsec\nsize: [40, 30]\nn_sources: 5\nflux: [1 mJy, 1 Jy]\nnoise: none\n"
                      f"fr_mix: {{FRI: 0.2, FRII: 0.8}}\noutput: {tmp_path / 'out'}\nseed: 4\nclip_sigma: none\n"
                      "spectral_index: -0.7\nprogress: false\n")
    assert main(["simulate", "--config", str(config), "--n-sources", "9"]) == 0
    (_, (wcs,), named), = calls
    assert named["n_sources"] == 9 and wcs.array_shape == (30, 40) and named["seed"] == 4 and named["progress"] is False
    assert named["flux"] == (1 * u.mJy, 1 * u.Jy) and named["fr_mix"] == {"FRI": 0.2, "FRII": 0.8}
    assert named["clip_sigma"] is None and named["spectral_index"] == -0.7


def test_what_was_run_can_be_run_again(calls, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert main(["simulate", "--pixel-scale", "2arcsec", "--beam", "6x5arcsec", "--flux", "1mJy,1Jy",
                 "--output", str(first)]) == 0
    written = yaml.safe_load((first / "skygal.yaml").read_text())
    assert written["command"] == "simulate" and written["options"]["seed"] == 77
    assert "output" not in written["options"]
    assert main(["simulate", "--config", str(first / "skygal.yaml"), "--output", str(second)]) == 0
    one, two = ({k: v for k, v in named.items() if k not in ("seed", "beam")} for _, _, named in calls)
    assert one == two and calls[1][2]["seed"] == 77
    assert calls[0][2]["beam"] == calls[1][2]["beam"]


def test_inject_hands_everything_on(calls, tmp_path, capsys):
    assert main(["inject", "m.fits", "--table", "t.ecsv", "--hdu", "1", "--unit", "Jy/beam", "--noise", "1 mJy",
                 "--no-progress", "--output", str(tmp_path / "out")]) == 0
    assert main(["inject", "m.fits", "--n-sources", "3", "--output", str(tmp_path / "two")]) == 0
    (_, positional, named), (_, other, more) = calls
    assert positional == other == ("m.fits",) and named["table"] == Path("t.ecsv") and more["n_sources"] == 3
    assert named["hdu"] == "1" and named["unit"] == "Jy/beam" and named["noise"] == 1 * u.mJy
    assert "2 sources in m.fits, seed 77" in capsys.readouterr().out


def test_psf(calls, tmp_path):
    np.save(tmp_path / "psf.npy", np.eye(5))
    words = ["simulate", "--pixel-scale", "2arcsec", "--psf", str(tmp_path / "psf.npy")]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    assert calls[0][2]["psf"] == tmp_path / "psf.npy"
    assert main([*words, "--beam", "5arcsec", "--output", str(tmp_path / "two")]) == 2


@pytest.mark.parametrize("words, message", [
    (["simulate"], "Error: Missing option '--output'."),
    (["simulat"], "Error: No such command 'simulat'."),
    (["simulate", "--sze", "3"], "Error: No such option"),
    (["simulate", "--n-sources", "3.5", "--output", "x"],
     "Error: Invalid value for '--n-sources': must be a whole number, got '3.5'"),
    (["simulate", "--output", "x"], "Error: pixel_scale must be given where there is neither a survey nor a wcs"),
    (["simulate", "--output", "x", "--pixel-scale", "2"], "Error: pixel_scale must be a number with a unit"),
    (["simulate", "--output", "x", "--pixel-scale", "2arcsec", "--size", "big"],
     "Error: size must be a number of pixels N or NXxNY, got 'big'"),
    (["simulate", "--output", "x", "--pixel-scale", "2arcsec", "--noise", "-1"],
     "Error: noise must be a number with a unit such as '5.4 arcsec', got '-1'"),
    (["simulate", "--output", "x", "--pixel-scale", "2arcsec", "--clip-sigma", "high"],
     "Error: clip_sigma must be a number, got 'high'"),
    (["simulate", "--output", "x", "--pixel-scale", "2arcsec", "--beam", "wide"],
     "Error: beam must be a FWHM such as"),
    (["simulate", "--output", "x", "--wcs", "no.fits"], "Error: wcs file 'no.fits' does not exist"),
    (["simulate", "--output", "x", "--wcs", "no.fits", "--size", "3"], "Error: size must be left out where wcs"),
    (["simulate", "--config", "no.yaml", "--output", "x"], "Error: config file 'no.yaml' does not exist"),
    (["simulate", "--config", "bad.yaml", "--output", "x"],
     "Error: config file 'bad.yaml' has an unknown key 'sise' (did you mean 'size'?)"),
    (["simulate", "--config", "float.yaml", "--output", "x"],
     "Error: Invalid value for '--n-sources': must be a whole number, got 3.5"),
    (["simulate", "--output", "there"], "Error: output folder 'there' exists; give overwrite=True (--overwrite)"),
    (["simulate", "--output", "there", "--overwrite"],
     "Error: output folder 'there' holds what skygal did not write ('mine')"),
    (["inject", "--output", "x"], "Error: Missing argument 'IMAGE'."),
    (["stamps", "--output", "x"], "Error: Missing option '--n'."),
    (["stamps", "--n", "4", "--output", "there"], "Error: output folder 'there' exists")])
def test_errors_are_one_line(calls, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("sise: 4\n")
    (tmp_path / "float.yaml").write_text("n_sources: 3.5\n")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    assert main(words) in (1, 2)
    captured = capsys.readouterr()
    assert captured.err.startswith(message) and captured.err.count("\n") == 1 and not captured.out
    assert sorted(tmp_path.rglob("*")) == before and not calls


def test_traceback_on_demand(tmp_path):
    with pytest.raises(ValueError, match="pixel_scale must be given"):
        main(["--traceback", "simulate", "--output", str(tmp_path / "x")])


def test_plot_needs_matplotlib(calls, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["simulate", "--pixel-scale", "2arcsec", "--plot", "--output", str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err == "Error: plot needs matplotlib: pip install 'skygal[plot]'\n"


def test_warnings_are_one_line(calls, tmp_path, monkeypatch, capsys):
    import warnings

    def warn(*_, **named):
        warnings.warn("a stamp\nis coarse", stacklevel=1)
        return FakeField({"seed": 1}, np.zeros((2, 2)))

    monkeypatch.setattr(sys.modules["skygal.simulate"], "simulate_field", warn)
    assert main(["simulate", "--pixel-scale", "2arcsec", "--output", str(tmp_path / "x")]) == 0
    assert capsys.readouterr().err == "Warning: a stamp is coarse\n"


def test_help_offers_what_the_command_takes(capsys):
    """Several frequencies, and what goes with them, are for simulate alone."""
    for command, several in (("simulate", True), ("inject", False)):
        assert main([command, "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert ("With several frequencies, '1 GHz, 1.4 GHz'" in text) == ("';' between" in text) == several, command


def test_version_and_help(capsys):
    assert main(["--version"]) == 0 and main(["--help"]) == 0 and main(["stamps", "-h"]) == 0
    assert "skygal, version 0" in capsys.readouterr().out


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing(tmp_path, number, status):
    code = ("import sys, time, types\n"
            "from skygal.io.atomic import whole_directory\n"
            "from skygal.cli.main import main\n"
            "class Field:\n"
            "    pass\n"
            "def simulate_field(*a, **k):\n"
            "    with whole_directory('out/deep') as part:\n"
            "        (part / 'x').write_text('half')\n"
            "        print('writing', flush=True)\n"
            "        time.sleep(60)\n"
            "sys.modules['skygal.simulate'] = types.SimpleNamespace(simulate_field=simulate_field)\n"
            "sys.argv = ['skygal', 'simulate', '--pixel-scale', '2arcsec', '--output', 'out/deep']\n"
            "sys.exit(main())\n")
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == status and "Traceback" not in errors
    assert not list(tmp_path.iterdir())


def test_a_hangup_is_ignored_under_nohup(tmp_path):
    code = ("import os, signal, sys, types\n"
            "from skygal.cli.main import main\n"
            "def simulate_field(*a, **k):\n"
            "    os.kill(os.getpid(), signal.SIGHUP)\n"
            "    raise ValueError('went on')\n"
            "sys.modules['skygal.simulate'] = types.SimpleNamespace(simulate_field=simulate_field)\n"
            "sys.argv = ['skygal', 'simulate', '--pixel-scale', '2arcsec', '--output', 'out']\n"
            "sys.exit(main())\n")
    done = subprocess.run(["nohup", sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 2 and "Error: went on" in done.stderr


# ---- what is read is not replaced

@pytest.mark.parametrize("words", [
    ["inject", "out/field.fits"], ["inject", "linked/field.fits"], ["inject", "hard.fits"], ["inject", "soft.fits"],
    ["inject", "m.fits", "--table", "out/truth.ecsv"], ["inject", "m.fits", "--faint", "out/truth.ecsv"],
    ["inject", "m.fits", "--psf", "out/field.fits"], ["inject", "m.fits", "--beam", "out/truth.ecsv"],
    ["inject", "m.fits", "--primary-beam", "out/field.fits"], ["inject", "m.fits", "--latents", "out/field.fits"],
    ["inject", "m.fits", "--model", "out/field.fits"], ["simulate", "--wcs", "out/field.fits"],
    ["simulate", "--config", "out/skygal.yaml"], ["simulate", "--config", "named.yaml"],
    ["simulate", "--frequency", "1 GHz, 2 GHz", "--psf", "other.fits; out/field.fits"],
    ["stamps", "--n", "3", "--model", "out/field.fits"], ["stamps", "--n", "3", "--config", "out/skygal.yaml"],
    ["evaluate", "first-cvae", "out"], ["evaluate", "first-cvae", "m.fits", "--frdeep", "out/field.fits"],
    ["evaluate", "first-cvae", "m.fits", "--classifier", "out/field.fits"], ["evaluate", "m", "--paper", "out"]])
def test_nothing_that_is_read_is_replaced(calls, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    with whole_directory("out") as part:
        for name in ("field.fits", "truth.ecsv"):
            (part / name).write_text("precious")
        (part / "skygal.yaml").write_text("seed: 1\n")
    Path("linked").symlink_to("out")
    Path("soft.fits").symlink_to("linked/field.fits")
    os.link("out/field.fits", "hard.fits")
    Path("named.yaml").write_text("faint: out/truth.ecsv\npixel_scale: 2 arcsec\n")
    for output in ("out", "linked", str(tmp_path / "out") + "/", "./linked/../out"):
        assert main([*words, "--output", output, "--overwrite"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("Error: input '") and "lies in what output" in said and said.count("\n") == 1
    assert not calls and Path("out/field.fits").read_text() == "precious" and len(list(Path("out").iterdir())) == 4


def test_words_that_are_no_files_are_no_inputs(calls, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for output in ("FIRST", "balanced"):
        for _ in range(2):
            assert main(["simulate", "--survey", "FIRST", "--latents", "balanced", "--output", output,
                         "--overwrite"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("words", [["search-rate", "x.csv"], ["convert-weights", "x.csv"], ["train", "x.csv"]])
def test_no_file_that_is_read_is_replaced(trainings, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text("precious")
    assert main([*words, "--output", "x.csv" if words[0] != "train" else "x.safetensors", "--overwrite"]) == 1
    assert "lies in what output 'x.csv' would replace" in capsys.readouterr().err
    assert Path("x.csv").read_text() == "precious" and not trainings


# ---- training

@pytest.fixture
def trainings(monkeypatch):
    seen = []

    def train_model(sources, output, **named):
        seen.append((sources, named))
        Path(output).write_text("weights")
        return Path(output)

    monkeypatch.setitem(sys.modules, "skygal.training.train", types.SimpleNamespace(train_model=train_model))
    return seen


def test_every_setting_of_training_is_an_option():
    assert {*TRAINING, "seed"} == {field.name for field in fields(TrainSettings)}


def test_train_hands_everything_on(trainings, tmp_path, capsys):
    output = tmp_path / "m.safetensors"
    assert main(["train", "a", "b", "--epochs", "3", "--learning-rate", "1e-4", "--classes", "FRI, FRII",
                 "--shape", "32,64", "--seed", "8", "--resume", "--name", "mine", "--exclude", "J1,J2", "--no-progress",
                 "--output", str(output)]) == 0, capsys.readouterr().err
    (sources, named), = trainings
    assert sources == ["a", "b"]
    assert named["settings"] == TrainSettings(classes=("FRI", "FRII"), epochs=3, learning_rate=1e-4, shape=(32, 64),
                                              exclude=("J1", "J2"), seed=8)
    assert {k: named[k] for k in named if k != "settings"} == \
        {"name": "mine", "resume": True, "device": "cpu", "progress": False, "overwrite": False}
    assert capsys.readouterr().out == f"{output}\n"
    again = tmp_path / "again.safetensors"
    assert main(["train", "--config", str(tmp_path / "m.yaml"), "--output", str(again)]) == 0
    assert trainings[1][0] == ["a", "b"] and trainings[1][1]["settings"] == named["settings"]


def test_train_from_a_file(trainings, tmp_path):
    (tmp_path / "run.yaml").write_text("sources: stamps\nepochs: 2\nshape: [32, 64]\nsigma: 1\nclasses: [FRI]\n")
    assert main(["train", "--config", str(tmp_path / "run.yaml"), "--output", str(tmp_path / "m.safetensors")]) == 0
    assert trainings[0][0] == ["stamps"]
    assert trainings[0][1]["settings"] == TrainSettings(epochs=2, shape=(32, 64), sigma=1.0, classes=("FRI",))


@pytest.mark.parametrize("words, message", [
    (["--output", "m.safetensors"], "Error: Missing argument 'SOURCES...'."),
    (["a"], "Error: Missing option '--output'."),
    (["a", "--output", "m.safetensors", "--epochs", "2.5"], "Error: epochs must be a whole number, got '2.5'"),
    (["a", "--output", "m.safetensors", "--sigma", "x"], "Error: sigma must be a number, got 'x'"),
    (["a", "--output", "m.safetensors", "--epochs", "0"], "Error: epochs must be at least 1, got 0"),
    (["a", "--output", "m.safetensors", "--classes", "FRX"], "Error: classes must be one of"),
    (["a", "--output", "there"], "Error: output 'there' exists; give overwrite=True (--overwrite)")])
def test_training_errors_are_one_line(trainings, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("x")
    assert main(["train", *words]) == 2 or "exists" in message
    captured = capsys.readouterr()
    assert captured.err.startswith(message) and captured.err.count("\n") == 1
    assert not trainings and [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("suffix", [".yaml", ".ckpt", ".csv"])
def test_training_replaces_nothing_unasked(trainings, tmp_path, capsys, suffix):
    there = tmp_path / f"m{suffix}"
    there.write_text("mine")
    words = ["train", "a", "--output", str(tmp_path / "m.safetensors")]
    assert main(words) == 1
    assert capsys.readouterr().err.startswith(f"Error: output {str(there)!r} exists; give overwrite=True")
    assert not trainings and there.read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    assert main([*words, "--resume"]) == 0
    (tmp_path / "m.safetensors").unlink()
    assert main([*words, "--overwrite"]) == 0 and len(trainings) == 2
    assert (there.read_text() == "mine") == (suffix != ".yaml")


@pytest.mark.parametrize("flag", [[], ["--overwrite"], ["--resume"]])
def test_training_keeps_its_config(trainings, tmp_path, monkeypatch, capsys, flag):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("sources: stamps\nepochs: 2\n")
    assert main(["train", "--config", "mine.yaml", *flag, "--output", str(tmp_path / "mine.safetensors")]) == 1
    captured = capsys.readouterr().err
    assert "mine.yaml' is the config file itself, which is not replaced" in captured and captured.count("\n") == 1
    assert not trainings and Path("mine.yaml").read_text() == "sources: stamps\nepochs: 2\n"


# ---- the real thing, small

def test_a_field_from_start_to_end(tmp_path, capsys):
    first, second = tmp_path / "a", tmp_path / "b"
    assert main(["simulate", *TINY, "--plot", "--output", str(first)]) == 0, capsys.readouterr().err
    image = read_image(first / "field.fits")
    truth = read_truth(first / "truth.ecsv")
    assert image.data.shape == (96, 96) and len(truth) == 3 and (first / "field.png").stat().st_size > 1000
    assert image.header["SEED"] == truth.meta["seed"] == 5
    assert main(["simulate", "--config", str(first / "skygal.yaml"), "--no-progress", "--output", str(second)]) == 0
    np.testing.assert_array_equal(fits.getdata(first / "field.fits"), fits.getdata(second / "field.fits"))
    assert (first / "truth.fits").read_bytes() == (second / "truth.fits").read_bytes()


def test_an_injection_from_start_to_end(tmp_path, capsys):
    assert main(["simulate", *TINY, "--output", str(tmp_path / "a")]) == 0, capsys.readouterr().err
    mosaic = tmp_path / "a" / "field.fits"
    before = mosaic.read_bytes()
    assert main(["inject", str(mosaic), "--n-sources", "2", "--seed", "1", "--no-progress",
                 "--output", str(tmp_path / "b")]) == 0, capsys.readouterr().err
    assert mosaic.read_bytes() == before
    added = fits.getdata(tmp_path / "b" / "field.fits") - fits.getdata(mosaic)
    np.testing.assert_allclose(added, fits.getdata(tmp_path / "b" / "model.fits"), atol=1e-6)
    assert len(read_truth(tmp_path / "b" / "truth.fits")) == 2


def test_stamps_from_start_to_end(tmp_path, capsys):
    assert main(["stamps", "--n", "4", "--size", "64", "--seed", "1", "--no-progress",
                 "--output", str(tmp_path / "s")]) == 0, capsys.readouterr().err
    assert fits.getdata(tmp_path / "s" / "stamps.fits").shape == (4, 64, 64)
    table = read_truth(tmp_path / "s" / "table.fits")
    assert sorted(table["fr_class"]) == ["FRI", "FRI", "FRII", "FRII"]
    assert table.meta["command"] == "stamps" and table.meta["options"]["n"] == 4 and table.meta["seed"] == 1


@pytest.mark.parametrize("extra, message", [
    (["--survey", "FIRTS"], "survey must be one of"), (["--model", "no-such"], "model"),
    (["--latents", "normal"], "latents must be one of"), (["--flux", "1 Jy, 1 mJy"], "low < high"),
    (["--flux", "1 s, 2 s"], "flux"), (["--n-sources=-1"], "n_sources must be at least 0, got -1"),
    (["--noise=-1 mJy"], "noise must be positive"), (["--fr-mix", "FRX:1"], "FRX")])
def test_bad_input_leaves_nothing(tmp_path, capsys, extra, message):
    assert main(["simulate", *TINY, *extra, "--output", str(tmp_path / "x")]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("Error: ") and message in captured and captured.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_stamps_within_limits(tmp_path, capsys):
    words = ["stamps", "--n", "3", "--fr-class", "FRI", "--seed", "1", "--no-progress", "--orientation", "aligned"]
    assert main([*words, "--las", "60 arcsec,", "--bending", "20 deg, 70 deg", "--output", str(tmp_path / "s")]) == 0
    table = read_truth(tmp_path / "s" / "table.fits")
    assert (table["las"].to_value("arcsec") >= 60).all()
    assert (table["bending"].to_value("deg") >= 20).all() and (table["bending"].to_value("deg") <= 70).all()
    assert table.meta["options"]["las"] == "60 arcsec," and table.meta["options"]["bending"] == "20 deg, 70 deg"
    # the file that is written with them makes the same again
    (tmp_path / "again.yaml").write_text("n: 3\nfr_class: FRI\nseed: 1\norientation: aligned\nprogress: false\n"
                                         "las: [60 arcsec, null]\nbending: [20 deg, 70 deg]\n")
    assert main(["stamps", "--config", str(tmp_path / "again.yaml"), "--output", str(tmp_path / "t")]) == 0
    np.testing.assert_array_equal(*(fits.getdata(tmp_path / name / "stamps.fits") for name in "st"))
    capsys.readouterr()
    assert main([*words, "--bending", "200 deg,", "--output", str(tmp_path / "u")]) == 2
    assert "bending must have low < high" in capsys.readouterr().err and not (tmp_path / "u").exists()


def test_stamps_of_a_mix(tmp_path):
    from skygal.truth import read_truth

    words = ["stamps", "--n", "6", "--seed", "1", "--fr-mix"]
    assert main([*words, "FRI:0,FRII:1", "--output", str(tmp_path / "out")]) == 0
    assert set(read_truth(tmp_path / "out" / "table.fits")["fr_class"]) == {"FRII"}
    assert main([*words, "survey", "--output", str(tmp_path / "no")]) != 0
    assert not (tmp_path / "no").exists()


# ---- frequencies, beams, chunks

def test_several_frequencies_are_handed_on(calls, tmp_path, capsys):
    words = ["simulate", "--pixel-scale", "2arcsec", "--frequency", "1 GHz, 1400 MHz", "--noise", "1 mJy; none",
             "--beam", "8x6arcsec,30deg; 5arcsec", "--primary-beam", "25 m", "--curvature=-0.1", "--faint", "weak.fits"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    (name, _, named), again = calls
    assert name == "simulate_fields" and again[0] == name and named["frequency"] == [1 * u.GHz, 1400 * u.MHz]
    assert named["noise"] == [1 * u.mJy, False] and named["primary_beam"] == "25 m" and named["curvature"] == -0.1
    assert [beam.minor.to_value("arcsec") for beam in named["beam"]] == pytest.approx([6, 5])
    assert named["faint"] == Path("weak.fits")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".skygal", "channel_0", "channel_1", "skygal.yaml"]
    assert capsys.readouterr().out.endswith("pixels at 2 frequencies, seed 77\n")
    # in a file they may be lists
    (tmp_path / "run.yaml").write_text("pixel-scale: 2 arcsec\nfrequency: [1 GHz, 1400 MHz]\nnoise: [1 mJy, none]\n"
                                       "beam: ['8x6arcsec,30deg', 5arcsec]\nprimary_beam: 25 m\ncurvature: -0.1\n"
                                       f"faint: weak.fits\noutput: {tmp_path / 'two'}\n")
    assert main(["simulate", "--config", str(tmp_path / "run.yaml")]) == 0
    assert calls[2][2] == named
    assert main(["simulate", "--config", str(tmp_path / "two" / "skygal.yaml"), "--output", str(tmp_path / "3")]) == 0
    assert {**calls[4][2], "seed": None} == named


@pytest.mark.parametrize(("words", "message"), [
    (["--frequency", "1 GHz, 2"], "Error: frequency must be a number with a unit"),
    (["--beam", "5arcsec; 6arcsec"], "Error: beam must be one, where there is one frequency, got 2"),
    (["--noise", "1 mJy; 2 mJy"], "Error: noise must be one, where there is one frequency, got 2"),
    (["--format", "hdf5"], "Error: format must be one of 'fits', 'zarr', got 'hdf5'"),
    (["--chunks", "0"], "Error: chunks must be a number of pixels N or NXxNY, got '0'"),
    (["--chunks", "many"], "Error: chunks must be a number of pixels N or NXxNY, got 'many'"),
    (["--curvature", "x"], "Error: curvature must be a number, got 'x'"),
    (["--beam", "5arcsec", "--psf", "p.fits"], "Error: beam must be left out where psf is given, got '5arcsec'")])
def test_bad_views_are_one_line(calls, tmp_path, capsys, words, message):
    assert main(["simulate", "--pixel-scale", "2arcsec", *words, "--output", str(tmp_path / "x")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message) and captured.err.count("\n") == 1
    assert not calls and not list(tmp_path.iterdir())


def test_inject_has_one_frequency(calls, tmp_path, capsys):
    assert main(["inject", "m.fits", "--frequency", "1 GHz, 2 GHz", "--output", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err == "Error: frequency must be one, got 2\n"
    assert main(["inject", "m.fits", "--primary-beam", "13.5 m", "--output", str(tmp_path / "x")]) == 0
    assert calls[0][2]["primary_beam"] == "13.5 m" and calls[0][2]["frequency"] is None


@pytest.mark.parametrize(("words", "chunks", "said"), [
    (["--size", "8192"], None, ""),
    (["--size", "8193x8192"], (1024, 1024), "8193 x 8192 pixels, made in chunks of 1024 x 1024\n"),
    (["--size", "20000", "--chunks", "none"], None, ""),
    (["--size", "200", "--chunks", "64"], (64, 64), ""), (["--size", "200", "--chunks", "64x32"], (32, 64), "")])
def test_chunks(calls, tmp_path, capsys, words, chunks, said):
    assert main(["simulate", "--pixel-scale", "2arcsec", *words, "--output", str(tmp_path / "x")]) == 0
    assert calls[0][2]["chunks"] == chunks and capsys.readouterr().err == said
    assert "chunks" not in yaml.safe_load((tmp_path / "x" / "skygal.yaml").read_text())["options"]


def test_large_images_without_dask(calls, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("skygal.cli.fields.find_spec", lambda name: None)
    assert main(["simulate", "--pixel-scale", "2arcsec", "--size", "9000", "--output", str(tmp_path / "x")]) == 0
    assert calls[0][2]["chunks"] is None
    assert capsys.readouterr().err == "9000 x 9000 pixels all in memory: to make them in chunks, pip install " \
        "'skygal[dask]'\n"


def test_frequencies_from_start_to_end(tmp_path, capsys):
    table = tmp_path / "beams.ecsv"
    Table({"ra": [180.0, 180.02], "dec": [30.0, 30.0], "bmaj": [7, 6] * u.arcsec, "bmin": [6, 5] * u.arcsec,
           "bpa": [0.0, 40.0]}).write(table)
    words = ["simulate", *TINY, "--las", "10 arcsec, 40 arcsec", "--frequency", "1 GHz, 3 GHz", "--beam", str(table),
             "--primary-beam", "25 m", "--curvature=-0.2"]
    assert main([*words, "--plot", "--output", str(tmp_path / "a")]) == 0, capsys.readouterr().err
    low, high = (read_truth(tmp_path / "a" / f"channel_{k}" / "truth.fits") for k in (0, 1))
    assert low.meta["frequency"] == 1 * u.GHz and high.meta["frequency"] == 3 * u.GHz
    np.testing.assert_array_equal(low["ra_core"], high["ra_core"])
    assert (high["flux"] < low["flux"]).all() and (high["flux_apparent"] < high["flux"]).all()
    assert (high["curvature"] == -0.2).all() and (tmp_path / "a" / "channel_1" / "field.png").exists()
    # made again from either file, in chunks, over the first
    for name, more in (("skygal.yaml", []), ("channel_1/skygal.yaml", ["--chunks", "40"])):
        out = tmp_path / name.replace("/", "-")
        assert main(["simulate", "--config", str(tmp_path / "a" / name), *more, "--output", str(out)]) == 0
        for k in (0, 1):
            np.testing.assert_array_equal(fits.getdata(out / f"channel_{k}" / "field.fits"),
                                          fits.getdata(tmp_path / "a" / f"channel_{k}" / "field.fits"))
    assert main([*words, "--output", str(tmp_path / "a"), "--overwrite"]) == 0
    assert not (tmp_path / "a" / "channel_1" / "field.png").exists()


def test_zarr_from_start_to_end(tmp_path, capsys):
    zarr = pytest.importorskip("zarr")
    for name, more in (("a", []), ("b", ["--format", "zarr", "--chunks", "40x30"])):
        assert main(["simulate", *TINY, *more, "--output", str(tmp_path / name)]) == 0, capsys.readouterr().err
    group = zarr.open_group(tmp_path / "b" / "field.zarr", mode="r")
    np.testing.assert_array_equal(group["image"][:], fits.getdata(tmp_path / "a" / "field.fits")[0, 0])
    assert group["image"].chunks == (30, 40) and not (tmp_path / "b" / "field.fits").exists()


def test_off_the_sky_from_start_to_end(tmp_path, capsys):
    words = ["simulate", "--size", "120x110", "--pixel-scale", "1.2 deg", "--n-sources", "3", "--seed", "1", "--beam",
             "4deg", "--las", "1 deg, 3 deg", "--flux", "1 Jy, 2 Jy", "--noise", "10 mJy", "--no-progress"]
    assert main([*words, "--output", str(tmp_path / "a")]) == 0, capsys.readouterr().err
    assert main([*words, "--off-sky", "zero", "--output", str(tmp_path / "b")]) == 0
    one, other = (fits.getdata(tmp_path / name / "field.fits")[0, 0] for name in "ab")
    assert np.isnan(one[0, 0]) and other[0, 0] == 0
    np.testing.assert_array_equal(np.nan_to_num(one), other)
    assert main([*words, "--off-sky", "blank", "--output", str(tmp_path / "c")]) == 2
    assert "off_sky must be one of 'nan', 'zero', got 'blank'" in capsys.readouterr().err


def test_injection_through_a_primary_beam(tmp_path, capsys):
    assert main(["simulate", *TINY, "--output", str(tmp_path / "a")]) == 0, capsys.readouterr().err
    assert main(["inject", str(tmp_path / "a" / "field.fits"), "--n-sources", "2", "--seed", "1", "--primary-beam",
                 "900 m", "--no-progress", "--output", str(tmp_path / "b")]) == 0, capsys.readouterr().err
    truth = read_truth(tmp_path / "b" / "truth.fits")
    assert (truth["flux_apparent"] < truth["flux"]).all()
