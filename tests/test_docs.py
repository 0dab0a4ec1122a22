"""The code of the README and the documentation runs as it stands, and the documentation is complete."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FIRST_PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES = [path for path in (*FIRST_PAGES, *sorted((ROOT / "docs").glob("*.rst"))) if path.exists()]

pytestmark = [
    pytest.mark.skipif(not (ROOT / "docs").exists(), reason="needs the checkout"),
    # a field may tell that some of its sources are limited by the beam
    pytest.mark.filterwarnings("ignore:.* sources have stamps coarser"),
]


def blocks(path: Path) -> list[tuple[str, str]]:
    """Return (language, code) of each block of Python or of shell commands, in order."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.findall(r"^```(python|sh|yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^\.\. code-block:: (python|sh|yaml)\n((?:   .*\n|\n)+)", text + "\n", re.MULTILINE)
    return [(language, textwrap.dedent(code).strip() + "\n") for language, code in found]


def commands(code: str) -> list[list[str]]:
    """Return the words of each ``skygal`` command in a block of shell commands."""
    lines = re.sub(r"\\\n\s*", " ", code).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("skygal ")]


def run_command(words: list[str]) -> None:
    from click.testing import CliRunner

    from skygal.cli.main import cli

    if words[0] in ("train", "search-rate", "convert-weights", "evaluate") or \
            not {"mine.safetensors", "theirs.safetensors"}.isdisjoint(words):
        # what takes long, on data that are not here: only whether it would be understood
        cli.commands[words[0]].make_context(words[0], words[1:])
        return
    if "--scale" in words:
        # the same challenge, with a twenty-fifth of the sources
        words = [*words, "--scale", "0.002"]
    done = CliRunner().invoke(cli, [*words, *(["--no-progress"] if "--help" not in words else [])],
                              catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path)], ids=lambda path: path.name)
def test_the_code_of_a_page_runs(path, tmp_path, monkeypatch):
    """A page's blocks share their names and a directory."""
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": path.stem}
    for number, (language, code) in enumerate(blocks(path), start=1):
        if language == "yaml":
            name = re.match(r"# (\S+\.yaml)\n", code)
            assert name, f"{path.name}, block {number} must begin with its file's name"
            Path(name[1]).write_text(code, encoding="utf-8")
        elif language == "sh":
            for words in commands(code):
                run_command(words)
        else:
            exec(compile(code, f"{path.name}, block {number}", "exec"), names)
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("bdsf"), reason="needs PyBDSF: pip install 'skygal[finders]'")
def test_the_code_for_pybdsf_runs(tmp_path):
    """In a process of its own, since PyBDSF leaves files open."""
    text = (ROOT / "docs" / "finders.rst").read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code-block:: python3\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    run_command(["simulate", "--survey", "FIRST", "--size", "384", "--n-sources", "20", "--seed", "1", "--flux",
                 "3 mJy", "--las", "10 arcsec, 60 arcsec", "--output", str(tmp_path / "field")])
    done = subprocess.run([sys.executable, "-c", "\n".join(map(textwrap.dedent, found))], cwd=tmp_path, text=True,
                          capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ratios = [float(line.split()[2]) for line in done.stdout.splitlines() if re.fullmatch(r"\d+ \d+ [\d.]+", line)]
    assert len(ratios) > 3 and 0.8 < sorted(ratios)[len(ratios) // 2] < 1.2


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, ("sphinx", "furo", "numpydoc", "myst_parser"))),
                    reason="needs Sphinx: pip install 'skygal[docs]'")
def test_the_documentation_builds_without_warnings(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "api"))
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html",
                           str(tmp_path / "docs"), str(tmp_path / "html")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "latent_seed" in (tmp_path / "html" / "truth.html").read_text(encoding="utf-8")
    # every name that a page refers to leads to a place
    packed = (tmp_path / "html" / "objects.inv").read_bytes().split(b"\n", 4)[4]
    places = {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}
    for page in (ROOT / "docs").rglob("*.rst"):
        named = re.findall(r"(?<!`)`~?(skygal\.[\w.]+)`(?!`)", page.read_text(encoding="utf-8"))
        assert set(named) <= places, (page, set(named) - places)
    for card in (ROOT / "skygal" / "morphology" / "weights").glob("*.md"):
        page = (tmp_path / "html" / "models" / f"{card.stem}.html").read_text(encoding="utf-8")
        # as a page, to its last section, and found from the index
        assert "<h2>Limits" in page and "## " not in page and "| --- |" not in page
        assert f"models/{card.stem}.html" in (tmp_path / "html" / "index.html").read_text(encoding="utf-8")


def test_every_figure_is_shown_and_made():
    made = set(re.findall(r"^@figure\ndef (\w+)", (ROOT / "docs" / "make_figures.py").read_text(), re.MULTILINE))
    shown = {name for path in PAGES for name in re.findall(r"_static/(\w+)\.png", path.read_text(encoding="utf-8"))}
    there = {path.stem for path in (ROOT / "docs" / "_static").glob("*.png")}
    assert made == shown == there
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "_static").glob("*.png")]
    assert sum(sizes) < 3e6 and (ROOT / "docs" / "_static" / "field.png").stat().st_size < 7e5


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.rst").read_text()
    listed = set(re.findall(r"^   (\w+)$", index, re.MULTILINE))
    assert {path.stem for path in (ROOT / "docs").glob("*.rst")} - {"index"} == listed


def test_nothing_is_left_to_be_filled_in():
    """No page has a place for a number that a script never filled."""
    for path in (*PAGES, *(ROOT / "docs").glob("modules/*.rst"), *(ROOT / "skygal").rglob("*.md")):
        assert not re.search(r"@\w+@|\b(?:TODO|FIXME|XXX|TBD)\b|\{\{", path.read_text(encoding="utf-8")), path


def test_code_is_not_cut_off():
    """Lines of code are no longer than a page is wide (docs/_static/wide.css)."""
    for path in PAGES:
        for _, code in blocks(path) if path.suffix == ".rst" else ():
            assert max(map(len, code.splitlines())) <= 104, path


def test_costs_on_paper_are_their_products():
    """Core hours in docs/scaling.rst are what each costs times how many there are."""
    text = (ROOT / "docs" / "scaling.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^     - ([\d.]+) (\Ss) a (?:pixel|source)\n     - 10\\ :sup:`(\d+)`\n     - ([\d.]+)$", text,
                      re.MULTILINE)
    assert len(rows) == text.count(" a pixel\n     - ") + text.count(" a source\n     - ") == 4
    for each, unit, power, hours in rows:
        seconds = float(each) * {"n": 1e-9, "\N{GREEK SMALL LETTER MU}": 1e-6, "m": 1e-3}[unit[0]] * 10 ** int(power)
        assert float(hours) == pytest.approx(seconds / 3600, rel=0.25), (each, unit)


@pytest.mark.parametrize("path", FIRST_PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", FIRST_PAGES, ids=lambda path: path.name)
def test_files_that_are_named_exist(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"`((?:tests|docs|skygal|catalogs)/(?!_build)[\w/.]+)`", text):
        assert (ROOT / target).exists(), target
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in re.findall(r"\bmake ((?:[a-z-]+ ?)+)(?=[`\n]|  )", text):
        assert set(words.split()) <= set(rules), words


def test_the_api_is_a_dozen_modules():
    """What users call has a page; the rest is a line each on one page for developers."""
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "modules").glob("*.rst"))]
    listed = {name for page in pages for name in re.findall(r"^   (skygal[\w.]*)$", page, re.MULTILINE)}
    modules = {name for name in listed if (ROOT / f"{name.replace('.', '/')}.py").exists()
               or (ROOT / name.replace(".", "/")).is_dir()}
    import skygal

    assert 10 <= len(modules) <= 17
    assert {name.removeprefix("skygal.") for name in listed - modules} == set(skygal.__all__) - {"__version__"}
    index = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    assert {path.stem for path in (ROOT / "docs" / "modules").glob("*.rst")} == set(re.findall(r"modules/(\w+)", index))
