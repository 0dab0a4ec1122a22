"""Time and memory of matching a catalogue with the truth.

    python benchmarks/matching.py [--rows 100000 1000000]

Components are points scattered over a field in which there are 50 beams to a source; the catalogue is the same list
with noise on positions and fluxes, every tenth row missing and as many false ones. Every run is a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import numpy as np

from skygal.scoring import Detections, TruthSet, match
from skygal.truth.schema import COMPONENTS, TRUTH

BEAM = 6.0
BEAMS_EACH = 50


def make_case(n: int, seed: int = 1) -> tuple[TruthSet, Detections]:
    """Return truth of ``n`` points and a catalogue of as many rows."""
    rng = np.random.default_rng(seed)
    side = np.sqrt(n * BEAMS_EACH * 1.133) * BEAM / 3600
    ra, dec = 180 + rng.uniform(-0.5, 0.5, n) * side, rng.uniform(-0.5, 0.5, n) * side
    snr = 3 * (1 - rng.random(n))**-1.0
    flux = 1e-5 * snr
    hosts = {column.name: column.none(n) for column in TRUTH}
    hosts |= {"source_id": np.arange(1, n + 1), "ra": ra % 360, "dec": dec, "flux": flux, "flux_apparent": flux,
              "flux_in_image": flux, "peak_flux": flux, "snr": snr, "local_rms": np.full(n, 1e-5), "las": np.zeros(n),
              "b_maj": np.zeros(n), "b_min": np.zeros(n), "pa": np.zeros(n), "neighbour": np.full(n, np.inf)}
    parts = {column.name: column.none(n) for column in COMPONENTS}
    parts |= {"source_id": hosts["source_id"], "component_id": np.ones(n, int), "kind": np.full(n, "whole"),
              "ra": hosts["ra"], "dec": dec, "flux": flux, "peak_flux": flux, "host": np.arange(n)}
    truth = TruthSet("truth", hosts, parts, (BEAM, BEAM, 0.0), labels=(hosts["source_id"], np.arange(n)))
    false = rng.random(n) < 0.1
    moved = 0.5 * BEAM / snr / 3600
    at_ra = np.where(false, 180 + rng.uniform(-0.5, 0.5, n) * side, ra + rng.normal(size=n) * moved)
    at_dec = np.where(false, rng.uniform(-0.5, 0.5, n) * side, dec + rng.normal(size=n) * moved)
    measured = np.maximum(flux + 1e-5 * rng.normal(size=n), 1e-6)
    nothing, words = np.full(n, np.nan), np.full(n, "")
    found = Detections("catalogue", "made", "component", np.arange(n), words, words, np.full(n, -1), at_ra % 360,
                       at_dec, measured, measured, nothing, nothing, nothing, nothing, nothing, nothing, nothing,
                       nothing)
    return truth, found


def measure(n: int) -> None:
    """Print how long one case takes and how much memory its process has used at most."""
    truth, found = make_case(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    matches = match(truth, found)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{n:>9} x {n:<9} {seconds:6.1f} s  peak {peak:.2f} GiB (tables alone {before:.2f})  "
          f"{(matches.component_of_row >= 0).mean():.3f} of rows matched")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    for n in parser.parse_args().rows:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(n,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
