"""`make benchmarks`: all are run or named with what they lack, and one that fails stops no other."""

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u

import skygal

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("run", "figures"))
DOCS = FOLDER.parent / "docs"
sys.path.insert(0, str(FOLDER))
from figures import COLUMNS, read_figures  # noqa: E402


@pytest.fixture()
def table(tmp_path):
    return tmp_path / "figures.csv"


@pytest.fixture()
def run(monkeypatch, capsys, table):
    """Run the script with each benchmark replaced by a status; return the status, what was run and what was said."""
    def call(*words, status=None, installed=True):
        done = []

        def fake(command, env):
            done.append(command[1:])
            with open(env["SKYGAL_FIGURES"], "a") as file:
                file.write("speed,123,/s\n")
            return subprocess.CompletedProcess(command, (status or {}).get(Path(command[1]).stem, 0))

        monkeypatch.setattr(subprocess, "run", fake)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed)
        monkeypatch.setattr(sys, "argv", ["run.py", *words, "--table", str(table)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(FOLDER / "run.py"), run_name="__main__")
        return end.value.code, done, capsys.readouterr().out.splitlines()

    return call


def test_every_benchmark_is_run_or_named(run):
    code, done, said = run(installed=None)
    ran = {Path(command[0]).stem for command in done}
    left = {name for name in NAMES for line in said if line.startswith(f"left out  benchmarks/{name}.py")}
    assert code == 0 and ran | left == set(NAMES) and left == {"field_map", "survey", "finders", "scoring",
                                                                        "classifier", "paper"}
    assert all(": needs " in line or "--long" in line for line in said if line.startswith("left out"))
    assert any("GalSim" in line for line in said) and sum(line.startswith("ran ") for line in said) == len(done)


def test_with_all_they_need(run):
    code, done, said = run("--long", "--stamps", "a", "b", "--frdeep", "f", "--runs", "r", "--bdsf", "python")
    assert code == 0 and {Path(command[0]).stem for command in done} == set(NAMES)
    assert [command[1:] for command in done if Path(command[0]).stem in ("classifier", "paper")] == [["a", "b"],
                                                                                                    ["f", "r"]]
    assert not any(line.startswith("left out") for line in said)


def test_one_that_fails_stops_no_other(run, table):
    code, done, said = run("--quick", status={"noise": 3})
    assert code == 1 and {"analytic", "stamps", "survey"} <= {Path(command[0]).stem for command in done}
    assert [line.split(":")[0] for line in said if line.startswith("FAILED")] == [
        "FAILED (3) benchmarks/noise.py --size 1024 --repeats 1"]
    commands = [row["command"] for row in read_figures(table)]
    assert len(commands) == len(done) - 1 and not any("noise.py" in command for command in commands)


def test_figures_are_kept_until_there_are_new_ones(run, table):
    run("--only", "noise", "stamps")
    old = read_figures(table)
    assert [row["command"] for row in old] == ["benchmarks/noise.py", "benchmarks/stamps.py"]
    assert list(old[0]) == list(COLUMNS) and (old[0]["figure"], old[0]["value"], old[0]["unit"]) == (
        "speed", "123", "/s")
    assert "cores" in old[0]["machine"] and old[0]["version"] == skygal.__version__
    run("--only", "noise", "--quick")
    new = read_figures(table)
    assert [row["command"] for row in new] == ["benchmarks/noise.py --size 1024 --repeats 1", "benchmarks/stamps.py"]
    assert new[1] == old[1] and [path.name for path in table.parent.iterdir()] == ["figures.csv"]


def test_the_table_of_the_documentation():
    rows = read_figures(DOCS / "_static" / "benchmarks.csv")
    assert rows and {Path(row["command"].split()[0]).stem for row in rows} <= set(NAMES)
    assert all(row["figure"] and row["machine"] and row["date"] and np.isfinite(float(row["value"])) for row in rows)
    assert ":file: _static/benchmarks.csv" in (DOCS / "benchmarks.rst").read_text(encoding="utf-8")


def test_what_readme_promises_is_in_the_table():
    """The figures that tests hold to as well, as measured at full size."""
    value = {row["figure"]: abs(float(row["value"])) for row in read_figures(DOCS / "_static" / "benchmarks.csv")}
    for figure, most in (("isolated sources, worst error: flux", 1e-4), ("isolated sources, worst error: pixel", 1e-3),
                         ("isolated sources, worst error: centroid", 0.01),
                         ("isolated sources, worst error: angle", 0.3),
                         ("sum of a field's pixels over its fluxes, worst error", 1e-5),
                         ("noise: largest difference of its autocorrelation to the beam's", 0.02)):
        assert value[figure] <= most, figure
    assert value["noise: rms over the one asked for"] == pytest.approx(1, abs=0.01)


def quoted(page, pattern):
    """Return the numbers that a page quotes."""
    found = re.search(pattern, (DOCS / page).read_text(encoding="utf-8").replace("\n", " "))
    assert found, f"{page} no longer says {pattern}"
    return [float(number) for number in found.groups()]


@pytest.mark.parametrize(("page", "pattern", "figure"), [
    ("classifiers.rst", r"at (\d+) to (\d+) a second at first",
     "stamps with noise and clip, batches of 32, first time"),
    ("classifiers.rst", r"at (\d+) once they were decoded",
     "stamps with noise and clip, batches of 32, decoded before"),
    ("scaling.rst", r"noise\s+- (\d+) ns a pixel", "noise, Gaussian, 3 pixels"),
])
def test_speeds_that_are_quoted(page, pattern, figure):
    """By a factor of four at most: machines differ, and small sizes have more of what is fixed."""
    (row,) = [row for row in read_figures(DOCS / "_static" / "benchmarks.csv") if row["figure"] == figure]
    numbers = quoted(page, pattern)
    assert min(numbers) / 4 <= float(row["value"]) <= max(numbers) * 4


@pytest.mark.parametrize("name", ["paper", "classifier"])
def test_alone_they_say_what_they_need(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("needs ")


def test_noise_is_timed_for_every_kind_of_beam():
    known = runpy.run_path(str(FOLDER / "noise.py"), run_name="noise")
    found = known["beams"](skygal.make_wcs("12h00m00s +30d00m00s", 64, 1.8 * u.arcsec), (64, 64))
    assert len(found) == 5 and [beam.psf is not None for beam in found.values()] == [False] * 3 + [True] * 2


@pytest.mark.slow
def test_the_quick_ones_do_run(table):
    done = subprocess.run([sys.executable, str(FOLDER / "run.py"), "--quick", "--table", str(table)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    ran = [line for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert len(ran) >= 6 and done.stdout.count("== benchmarks/") == len(ran)
    assert {Path(row["command"].split()[0]).stem for row in read_figures(table)} >= {
        "accuracy", "analytic", "noise", "speed", "stamps", "survey"}
