"""`make benchmarks`: all are run or named with what they lack, and one that fails stops no other."""

import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "run")


@pytest.fixture()
def run(monkeypatch, capsys):
    """Run the script with each benchmark replaced by a status; return the status, what was run and what was said."""
    def call(*words, status=None, installed=True):
        done = []

        def fake(command):
            done.append(command[1:])
            return subprocess.CompletedProcess(command, (status or {}).get(Path(command[1]).stem, 0))

        monkeypatch.setattr(subprocess, "run", fake)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed)
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(FOLDER / "run.py"), run_name="__main__")
        return end.value.code, done, capsys.readouterr().out.splitlines()

    return call


def test_every_benchmark_is_run_or_named(run):
    code, done, said = run(installed=None)
    ran = {Path(command[0]).stem for command in done}
    left = {name for name in NAMES for line in said if line.startswith(f"left out  benchmarks/{name}.py")}
    assert code == 0 and ran | left == set(NAMES) and left == {"survey", "finders", "classifier", "paper"}
    assert all(": needs " in line or "--long" in line for line in said if line.startswith("left out"))
    assert any("GalSim" in line for line in said) and sum(line.startswith("ran ") for line in said) == len(done)


def test_with_all_they_need(run):
    code, done, said = run("--long", "--stamps", "a", "b", "--frdeep", "f", "--runs", "r")
    assert code == 0 and {Path(command[0]).stem for command in done} == set(NAMES)
    assert [command[1:] for command in done if Path(command[0]).stem in ("classifier", "paper")] == [["a", "b"],
                                                                                                    ["f", "r"]]
    assert not any(line.startswith("left out") for line in said)


def test_one_that_fails_stops_no_other(run):
    code, done, said = run("--quick", status={"noise": 3})
    assert code == 1 and {"analytic", "stamps", "survey"} <= {Path(command[0]).stem for command in done}
    assert [line.split(":")[0] for line in said if line.startswith("FAILED")] == [
        "FAILED (3) benchmarks/noise.py --size 1024 --repeats 1"]


@pytest.mark.parametrize("name", ["paper", "classifier"])
def test_alone_they_say_what_they_need(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("needs ")


@pytest.mark.slow
def test_the_quick_ones_do_run():
    done = subprocess.run([sys.executable, str(FOLDER / "run.py"), "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    ran = [line for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert len(ran) >= 6 and done.stdout.count("== benchmarks/") == len(ran)
