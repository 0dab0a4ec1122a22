"""Run the benchmarks one after the other, and say at the end what was left out and what failed.

    python benchmarks/run.py [--quick] [--long] [--only NAME ...] [--stamps SOURCE ...] [--frdeep FRDEEP --runs RUNS]
                             [--bdsf PYTHON] [--table CSV]

--quick takes small sizes: minutes in all, for figures that are as rough. --long also runs what takes an hour or more,
and tens of GiB on the disk. Figures go into the table that the documentation shows, docs/_static/benchmarks.csv: a
benchmark that ran to its end replaces its own rows there, the others keep theirs. Those of --quick go nowhere, unless
--table says where. Stamps, FRDEEP and RUNS are what `benchmarks/classifier.py` and `benchmarks/paper.py` need, and
PYTHON what `benchmarks/scoring.py` does.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from figures import PLACE, TABLE, write_figures  # noqa: E402

#: options of each benchmark where sizes are small; none stands for its own
QUICK = {"accuracy": ["--draws", "10", "--size", "512"],
         "analytic": ["--size", "1024", "--most", "10000"],
         "field_map": ["--scale", "0.05"],
         "finders": ["--seeds", "1", "--size", "512"],
         "injection": ["--side", "2048", "--sources", "100"],
         "matching": ["--rows", "10000"],
         "noise": ["--size", "1024", "--repeats", "1"],
         "score_page": ["--cutouts", "200", "--size", "1024"],
         "scoring": ["--quick"],
         "sharp": ["--n", "8"],
         "sky": ["--n", "20000"],
         "speed": ["--n", "200", "--size", "1024", "--repeats", "1", "--parts", "galsim", "pipeline", "decode"],
         "stamps": ["--n", "512"],
         "survey": ["--size", "2048", "--galaxies", "120", "--faint", "3800"]}


@dataclass(frozen=True)
class Job:
    """A benchmark with its options; ``lacks`` says what it needs and has not."""

    name: str
    options: tuple[str, ...] = ()
    lacks: str = ""


def jobs(given: argparse.Namespace) -> list[Job]:
    """Return all there are, in order."""
    def sizes(name: str) -> tuple[str, ...]:
        return tuple(QUICK[name]) if given.quick else ()

    names = ("accuracy", "noise", "analytic", "sky", "injection", "speed", "stamps", "sharp", "matching",
             "score_page")
    found = [Job(name, sizes(name)) for name in names]
    if not given.quick and not given.long:
        # the same sources to a pixel as the long one has
        found.append(Job("survey", ("--size", "8192", "--galaxies", "1875", "--faint", "60625")))
    if given.quick:
        found.append(Job("survey", sizes("survey")))
        found.append(Job("field_map", ("--scale", "0.25")))
    if given.quick:
        found.append(Job("field_map", sizes("field_map")))
    found += [
        Job("field_map", (), "" if given.long else "its full size writes 13 GiB to the disk: --long"),
        Job("survey", (), "" if given.long else "its full size, 32768 x 32768, takes an hour or more: --long"),
        Job("finders", sizes("finders"), "" if importlib.util.find_spec("bdsf") else
            "needs PyBDSF: pip install 'skygal[finders]'"),
        Job("scoring", (*sizes("scoring"), "--bdsf", str(given.bdsf)), "" if given.bdsf else
            "needs a Python that has PyBDSF: --bdsf PYTHON"),
        Job("classifier", tuple(given.stamps), "" if given.stamps else
            "needs real stamps, as `skygal train` reads them: --stamps SOURCE ... (see docs/training.rst)"),
        Job("paper", (str(given.frdeep), str(given.runs)), "" if given.frdeep and given.runs else
            "needs FRDEEP and a folder for its runs, and hours: --frdeep FRDEEP --runs RUNS (see docs/paper.rst)")]
    return [job for job in found if not given.only or job.name in given.only]


def machine() -> str:
    """Return the machine in words, and whether it has other work."""
    cores = os.cpu_count() or 1
    busy = os.getloadavg()[0] > 0.5 if hasattr(os, "getloadavg") else False
    return f"{cores} cores, {platform.machine()}" + (", shared and busy" if busy else "")


def version() -> str:
    """Return the package's."""
    import skygal

    return skygal.__version__


def collect(command: str, path: Path, about: dict[str, str]) -> list[dict[str, str]]:
    """Return the rows of what a benchmark has noted in a file."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{"command": command, "figure": figure, "value": value, "unit": unit, **about}
                for figure, value, unit in csv.reader(file)]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="small sizes")
    options.add_argument("--long", action="store_true", help="also what takes an hour or more")
    options.add_argument("--only", nargs="+", default=[], choices=sorted([*QUICK, "classifier", "paper"]))
    options.add_argument("--stamps", nargs="+", default=[], metavar="SOURCE", help="real stamps, for `classifier`")
    options.add_argument("--frdeep", type=Path, help="for `paper`")
    options.add_argument("--runs", type=Path, help="for `paper`")
    options.add_argument("--bdsf", metavar="PYTHON", help="for `scoring`")
    options.add_argument("--table", type=Path, help="where figures go")
    given = options.parse_args()
    table = given.table or (None if given.quick else TABLE)
    said, began, rows = [], time.monotonic(), []
    about = {"machine": machine(), "version": version(), "date": time.strftime("%Y-%m-%d")}
    for job in jobs(given):
        words = " ".join((f"benchmarks/{job.name}.py", *job.options))
        if job.lacks:
            said.append(f"left out  {words}: {job.lacks}" if job.name in ("field_map", "survey") else
                        f"left out  benchmarks/{job.name}.py: {job.lacks}")
            continue
        print(f"== {words}", flush=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            noted = Path(folder) / "figures.csv"
            noted.touch()
            status = subprocess.run([sys.executable, str(HERE / f"{job.name}.py"), *job.options],
                                    env={**os.environ, PLACE: str(noted)}).returncode
            if not status:
                rows += collect(words, noted, about)
        if table is not None and rows:
            # after each, so that what has run is kept whatever comes
            write_figures(table, rows)
        said.append(f"{f'FAILED ({status})' if status else 'ran':9s} {words}: {time.monotonic() - start:.0f} s")
    if not importlib.util.find_spec("galsim"):
        said.append("left out  the speed beside GalSim in benchmarks/speed.py: needs GalSim: pip install galsim")
    print("==", f"all that was asked for, {time.monotonic() - began:.0f} s", *said, sep="\n", flush=True)
    return int(any(line.startswith("FAILED") for line in said))


if __name__ == "__main__":
    sys.exit(main())
