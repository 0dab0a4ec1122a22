"""Run the benchmarks one after the other, and say at the end what was left out and what failed.

    python benchmarks/run.py [--quick] [--long] [--only NAME ...] [--stamps SOURCE ...] [--frdeep FRDEEP --runs RUNS]

--quick takes small sizes: minutes in all, for figures that are as rough. --long also runs what takes an hour or more,
and tens of GiB on the disk. Stamps, FRDEEP and RUNS are what `benchmarks/classifier.py` and `benchmarks/paper.py` need.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: options of each benchmark where sizes are small; none stands for its own
QUICK = {"accuracy": ["--draws", "10", "--size", "512"],
         "analytic": ["--size", "1024", "--most", "10000"],
         "finders": ["--seeds", "1", "--size", "512"],
         "noise": ["--size", "1024", "--repeats", "1"],
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

    found = [Job(name, sizes(name)) for name in ("accuracy", "noise", "analytic", "sky", "speed", "stamps")]
    if not given.quick and not given.long:
        # the same sources to a pixel as the long one has
        found.append(Job("survey", ("--size", "8192", "--galaxies", "1875", "--faint", "60625")))
    if given.quick:
        found.append(Job("survey", sizes("survey")))
    found += [
        Job("survey", (), "" if given.long else "its full size, 32768 x 32768, takes an hour or more: --long"),
        Job("finders", sizes("finders"), "" if importlib.util.find_spec("bdsf") else
            "needs PyBDSF: pip install 'skygal[finders]'"),
        Job("classifier", tuple(given.stamps), "" if given.stamps else
            "needs real stamps, as `skygal train` reads them: --stamps SOURCE ... (see docs/training.rst)"),
        Job("paper", (str(given.frdeep), str(given.runs)), "" if given.frdeep and given.runs else
            "needs FRDEEP and a folder for its runs, and hours: --frdeep FRDEEP --runs RUNS (see docs/paper.rst)")]
    return [job for job in found if not given.only or job.name in given.only]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="small sizes")
    options.add_argument("--long", action="store_true", help="also what takes an hour or more")
    options.add_argument("--only", nargs="+", default=[], choices=sorted([*QUICK, "classifier", "paper"]))
    options.add_argument("--stamps", nargs="+", default=[], metavar="SOURCE", help="real stamps, for `classifier`")
    options.add_argument("--frdeep", type=Path, help="for `paper`")
    options.add_argument("--runs", type=Path, help="for `paper`")
    said, began = [], time.monotonic()
    for job in jobs(options.parse_args()):
        words = " ".join((f"benchmarks/{job.name}.py", *job.options))
        if job.lacks:
            said.append(f"left out  {words}: {job.lacks}" if job.name == "survey" else
                        f"left out  benchmarks/{job.name}.py: {job.lacks}")
            continue
        print(f"== {words}", flush=True)
        start = time.monotonic()
        status = subprocess.run([sys.executable, str(HERE / f"{job.name}.py"), *job.options]).returncode
        said.append(f"{f'FAILED ({status})' if status else 'ran':9s} {words}: {time.monotonic() - start:.0f} s")
    if not importlib.util.find_spec("galsim"):
        said.append("left out  the speed beside GalSim in benchmarks/speed.py: needs GalSim: pip install galsim")
    print("==", f"all that was asked for, {time.monotonic() - began:.0f} s", *said, sep="\n", flush=True)
    return int(any(line.startswith("FAILED") for line in said))


if __name__ == "__main__":
    sys.exit(main())
