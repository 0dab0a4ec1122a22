"""An image of the first SKA data challenge, whole, with the sky that it would show: time and memory.

    python benchmarks/field_map.py [--band B1] [--depth 8h] [--scale 1] [--chunks 1024] [--workers 2] [--output DIR]

Pixels, beam, primary beam, noise and sky are those of catalogs/challenges/sdc1.yaml, and sources go down to the noise
of the depth. Image, model, segmentation and truth are written as `skygal.Field.write` does, held against each other,
and removed, unless a directory is given. A scale makes the sides smaller.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from figures import note

import skygal
from skygal.cli.challenge_file import read_challenge

#: rows of the model that are added up at once
ROWS = 1024


class Clock:
    """Prints how long each step took, by the clock and of all cores, and the most memory so far."""

    def __init__(self) -> None:
        self._began = self._last = self._now()

    @staticmethod
    def _now() -> np.ndarray:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return np.array([time.perf_counter(), used.ru_utime + used.ru_stime])

    @staticmethod
    def memory() -> float:
        """Return the most memory that this process has held so far, GiB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 / (1024 if sys.platform == "darwin" else 1)

    def tell(self, what: str) -> None:
        """Print what the step since the last one took."""
        now = self._now()
        self._print(what, now - self._last)
        self._last = now

    def total(self) -> np.ndarray:
        """Print what all took; return that: seconds by the clock, and of all cores."""
        taken = self._last - self._began
        self._print("in all", taken)
        return taken

    def _print(self, what: str, taken: np.ndarray) -> None:
        print(f"{what:22s} {taken[0]:8.1f} s by the clock, {taken[1]:8.1f} s of cores, at most {self.memory():.2f} GiB "
              "so far", flush=True)


def excess(folder: Path) -> float:
    """Return the flux of the model over that of truth, less 1, and check that each source is told once."""
    with fits.open(folder / "truth.fits") as file:
        table = file[1].data
        if len(np.unique(table["source_id"])) != len(table):
            raise ValueError("truth must have each source_id once")
        expected = table["flux_in_image"].sum(dtype=float)
    with fits.open(folder / "model.fits", memmap=True) as file:
        header, pixels = file[0].header, file[0].data[0, 0]
        beam = np.pi / (4 * np.log(2)) * header["BMAJ"] * header["BMIN"] / abs(header["CDELT1"] * header["CDELT2"])
        total = sum(pixels[y:y + ROWS].sum(dtype=float) for y in range(0, len(pixels), ROWS))
    return total / beam / expected - 1


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--band", default="B1", choices=["B1", "B2", "B5"])
    options.add_argument("--depth", default="8h", choices=["8h", "100h", "1000h"])
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--chunks", type=int, default=1024)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--output", type=Path, help="keep the files here")
    given = options.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    challenge = read_challenge(scale=given.scale, seed=1)
    band = {one.name: one for one in challenge.bands}[given.band]
    ny, nx = band.wcs.array_shape
    print(f"{band.name} {given.depth} of SDC1, {ny} x {nx} pixels in chunks of {given.chunks}, "
          f"{given.workers} threads", flush=True)
    clock = Clock()
    field = skygal.simulate_field(band.wcs, frequency=band.frequency, beam=band.beam, primary_beam=band.primary_beam,
                                  noise=band.noise[given.depth], sky=challenge.sky, seed=challenge.seed,
                                  chunks=given.chunks, workers=given.workers, progress=sys.stderr.isatty())
    clock.tell("truth known")
    rows = len(field.truth)
    import dask

    with tempfile.TemporaryDirectory() as home, dask.config.set(scheduler="threads", num_workers=given.workers):
        folder = Path(home) / "out" if given.output is None else given.output
        field.write(folder, overwrite=True, progress=sys.stderr.isatty())
        clock.tell("pixels made, written")
        taken, cores = clock.total()
        less = excess(folder)
    galaxies = int(np.count_nonzero(np.asarray(field.truth["fr_class"]) != "none"))
    print(f"{rows} rows of truth, {galaxies} of them galaxies of the generator; most memory a row "
          f"{Clock.memory() * 2**30 / max(rows, 1) / 1e3:.2f} kB; the model's flux over truth's, less 1: {less:+.1e}")
    what = f"SDC1 {band.name} {given.depth}, {ny} x {nx} pixels"
    note(f"{what}: rows of truth", rows)
    note(f"{what}: in all", taken, "s")
    note(f"{what}: of all cores", cores, "s")
    note(f"{what}: most memory", Clock.memory(), "GiB")


if __name__ == "__main__":
    main()
