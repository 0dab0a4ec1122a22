"""The package as it is installed, and the scripts around it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

pytestmark = pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="needs the checkout")


def run(words, **more):
    return subprocess.run(words, capture_output=True, text=True, timeout=300, **more)


def clean_environment(**more):
    drop = {"PYTHONPATH", "PYTHONWARNINGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    return {key: value for key, value in os.environ.items() if key not in drop} | more


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return a wheel built from a copy of the checkout, without the network."""
    pytest.importorskip("setuptools")
    home = tmp_path_factory.mktemp("wheel")
    source = home / "source"
    source.mkdir()
    for name in ("skygal", "catalogs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    made = run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
                "--wheel-dir", str(home), str(source)], env=clean_environment())
    assert made.returncode == 0, made.stderr
    return next(home.glob("skygal-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return a folder in which the wheel alone is installed."""
    target = tmp_path_factory.mktemp("installed")
    done = run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target),
                str(wheel)], env=clean_environment())
    assert done.returncode == 0, done.stderr
    return target


def away(installed, tmp_path, code, *words):
    return run([sys.executable, "-W", "error", "-c", code, *words], cwd=tmp_path,
               env=clean_environment(PYTHONPATH=str(installed)))


def test_wheel_holds_all_code_and_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "skygal").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in names
    for path in (ROOT / "catalogs").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert f"skygal/{path.relative_to(ROOT).as_posix()}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "docs", "catalogs", "benchmarks")) for name in names)


def test_wheel_simulates_a_field_away_from_the_checkout(installed, tmp_path):
    code = ("import sys, skygal\n"
            "from skygal.cli.main import main\n"
            "print(skygal.__file__)\n"
            "sys.exit(main(sys.argv[1:]))\n")
    done = away(installed, tmp_path, code, "simulate", "--survey", "FIRST", "--size", "128", "--n-sources", "3",
                "--seed", "1", "--output", "out", "--no-progress")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert {"field.fits", "truth.fits", "truth.ecsv", "skygal.yaml"} <= {p.name for p in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("code", ["import skygal", "from skygal.cli.main import main; assert main(['--help']) == 0",
                                  "from skygal.cli.main import main; assert main(['simulate', '--help']) == 0"])
def test_import_and_help_are_light(tmp_path, code):
    done = run([sys.executable, "-c", f"{code}\nimport sys\n"
                "assert not {'torch', 'pyro', 'astropy', 'scipy', 'matplotlib'} & set(sys.modules)"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_package_is_listed():
    folders = {path.parent.relative_to(ROOT).as_posix().replace("/", ".")
               for path in (ROOT / "skygal").rglob("__init__.py")}
    assert folders | {"skygal.catalogs"} == set(PROJECT["tool"]["setuptools"]["packages"])


def test_version_is_one():
    import skygal

    assert skygal.__version__ == PROJECT["project"]["version"]
    assert f"## {skygal.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_every_requirement():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in lines), lines
    pinned = {re.sub(r"[._]", "-", line.split("==")[0]).lower() for line in lines}
    assert len(pinned) == len(lines)
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = PROJECT["project"]["dependencies"] + [r for name in ("plot", "test", "docs", "dev") for r in extras[name]]
    assert {re.split(r"[\[>=<]", r)[0].lower() for r in wanted} <= pinned
    assert "torch==2.13.0" in lines


@pytest.mark.skipif(not shutil.which("make") or not shutil.which("git"), reason="needs make and git")
@pytest.mark.parametrize("recipe, status", [("true", 0), ("false", 2)])
def test_ci_passes_on_what_the_tests_say(tmp_path, recipe, status):
    """The script tests a fresh clone of HEAD, and fails when the tests do."""
    repository = tmp_path / "a repository"
    (repository / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", repository / ".ci" / "run")
    (repository / "Makefile").write_text(f"test:\n\t@pwd; test ! -e stray; {recipe}\n")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    run([*git, "init", "--quiet"])
    run([*git, "add", "."])
    assert run([*git, "commit", "--quiet", "-m", "x"]).returncode == 0
    (repository / "stray").write_text("not committed")
    done = run(["bash", str(repository / ".ci" / "run")], env=clean_environment(TMPDIR=str(tmp_path)))
    assert done.returncode == status, done.stderr
    assert not done.stdout.startswith(str(repository))
    assert [path.name for path in tmp_path.iterdir()] == ["a repository"]


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_installs_once(tmp_path):
    """With the stamp files there, make goes straight to the work."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    first = run(["make", "-n", "test"], cwd=tmp_path, env=clean_environment())
    assert "-m venv" in first.stdout and "--constraint constraints.txt" in first.stdout
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text("")
    (tmp_path / ".venv" / ".installed").write_text("")
    second = run(["make", "-n", "test"], cwd=tmp_path, env=clean_environment())
    assert second.stdout.strip().splitlines() == [
        ".venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder"]
    assert run(["make", "-n", "demo", "lint", "docs", "test-slow"], cwd=tmp_path,
               env=clean_environment()).returncode == 0


#: the first release without a known hole: CVE-2025-32434, CVE-2024-34062, CVE-2024-28219, CVE-2025-47273,
#: CVE-2023-41334
SOUND = {"torch": (2, 6), "tqdm": (4, 66, 3), "pillow": (10, 3), "setuptools": (78, 1, 1), "astropy": (5, 3, 3)}


def test_no_lower_bound_has_a_known_hole():
    named = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
    named += [word for words in PROJECT["project"]["optional-dependencies"].values() for word in words]
    seen = set()
    for word in named:
        name, _, bound = word.partition(">=")
        if name in SOUND:
            seen.add(name)
            assert tuple(map(int, bound.split("."))) >= SOUND[name], word
    assert seen == set(SOUND)
