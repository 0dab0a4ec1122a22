"""An image as large as one of the SKA Science Data Challenge 1, streamed to disk: time and memory.

    python benchmarks/survey.py [--size 32768] [--galaxies 30000] [--faint 970000] [--chunks 1024] [--output DIR]

Pixels of 0.24", a beam of 0.6", 0.7 uJy/beam of noise at 1.4 GHz (Bonaldi et al. 2021,
2021MNRAS.500.3821B). The files are checked for what they should hold and removed, unless a directory is given.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from figures import note

import skygal
from skygal.population import sample_faint

PIXEL, BEAM, NOISE, FREQUENCY = 0.24 * u.arcsec, 0.6 * u.arcsec, 0.7 * u.uJy, 1.4 * u.GHz


def peak_memory() -> float:
    """Return the most memory that this process has held so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def check(folder: Path, size: int, number: int) -> None:
    """Print what the files hold, beside what they should."""
    beam = np.pi / (4 * np.log(2)) * (BEAM / PIXEL).to_value(u.one) ** 2
    with fits.open(folder / "model.fits", memmap=True) as model, fits.open(folder / "truth.fits") as truth:
        rows = truth[1].data
        total = sum(model[0].data[0, 0, y:y + 1024].sum(dtype=float) for y in range(0, size, 1024)) / beam
        expected = rows["flux_in_image"].sum()
        note("a survey: the model's flux over truth's, less 1", total / expected - 1)
        print(f"truth: {len(rows)} rows of {number}; the model's flux over truth's flux_in_image "
              f"{total / expected - 1:+.1e}")
    with fits.open(folder / "field.fits", memmap=True) as image, fits.open(folder / "model.fits", memmap=True) as model:
        part = image[0].data[0, 0, :4096, :4096].astype(float) - model[0].data[0, 0, :4096, :4096]
        print(f"noise over what was asked for: {part.std() / NOISE.to_value(u.Jy):.4f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", type=int, default=32768)
    options.add_argument("--galaxies", type=int, default=30_000)
    options.add_argument("--faint", type=int, default=970_000)
    options.add_argument("--chunks", type=int, default=1024)
    options.add_argument("--output", type=Path, help="keep the files here")
    given = options.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    wcs = skygal.make_wcs("00h00m00s -30d00m00s", given.size, PIXEL)
    print(f"{given.size} x {given.size} pixels, {given.galaxies} galaxies and {given.faint} faint sources, "
          f"chunks of {given.chunks}", flush=True)
    start = time.perf_counter()
    faint = sample_faint(wcs, (given.size, given.size), given.faint, frequency=FREQUENCY, seed=2) \
        if given.faint else None
    drawn = time.perf_counter()
    print(f"faint population drawn: {drawn - start:7.1f} s, at most {peak_memory():.2f} GiB so far", flush=True)
    field = skygal.simulate_field(wcs, given.galaxies, frequency=FREQUENCY, beam=BEAM, noise=NOISE, seed=1,
                                  flux=(30 * u.uJy, 1 * u.Jy), las=(1.5 * u.arcsec, 20 * u.arcsec), faint=faint,
                                  chunks=given.chunks, progress=True)
    known = time.perf_counter()
    print(f"truth known:            {known - drawn:7.1f} s, at most {peak_memory():.2f} GiB so far", flush=True)
    with tempfile.TemporaryDirectory(dir=None if given.output is None else given.output.parent) as home:
        folder = Path(home) / "out" if given.output is None else given.output
        field.write(folder, overwrite=True, progress=True)
        done = time.perf_counter()
        print(f"pixels made, written:   {done - known:7.1f} s, at most {peak_memory():.2f} GiB so far")
        print(f"in all:                 {done - start:7.1f} s", flush=True)
        what = f"a survey of {given.size} x {given.size} pixels, {given.galaxies + given.faint} sources"
        note(f"{what}: in all", done - start, "s")
        note(f"{what}: most memory", peak_memory(), "GiB")
        check(folder, given.size, given.galaxies + given.faint)


if __name__ == "__main__":
    main()
