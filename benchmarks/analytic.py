"""How fast points, Gaussians and exponential discs are drawn, measured and labelled, and how exact they are.

    python benchmarks/analytic.py [--size 8192] [--most 1000000]

Half of the sources are points, a quarter Gaussians and a quarter discs, of about the beam's size, at any
angle and with axis ratios from 0.2 to 1; the beam is 2.5 pixels wide.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
from astropy import units as u
from figures import note

import skygal
from skygal.observation.ellipse import FWHM
from skygal.population import check_faint, sample_faint
from skygal.rendering.analytic.bulk import EXPONENTIAL, GAUSSIAN, POINT, Analytic, draw, label, measure, reach

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from test_analytic import disc_seen, ellipse  # noqa: E402

BEAM = 2.5


def sources(n: int, size: int, seed: int = 1, ratio: float = 1.0) -> Analytic:
    """Return sources over an image of size x size pixels, under a beam of the axis ratio ``ratio``."""
    rng = np.random.default_rng(seed)
    kind = np.resize([POINT, GAUSSIAN, POINT, EXPONENTIAL], n).astype(np.int8)
    angle = rng.uniform(0, np.pi, n)
    turn = np.moveaxis(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), 2, 0)
    # standard deviation of a Gaussian, and scale length of a disc: both half as wide as the beam, to twice that
    major = BEAM * rng.uniform(0.5, 2, n) / np.where(kind == EXPONENTIAL, 2.43, FWHM)
    axes = (major[:, None] * np.stack([np.ones(n), rng.uniform(0.2, 1, n)], axis=1)) ** 2
    own = turn @ (axes[:, :, None] * turn.transpose(0, 2, 1))
    c, s = np.cos(0.5), np.sin(0.5)
    lean = np.array([[c, -s], [s, c]])
    beam = np.eye(2) if ratio == 1 else lean @ np.diag([1, ratio**2]) @ lean.T
    return Analytic.make(kind, rng.uniform(0, size, (n, 2)), flux=rng.exponential(1e-5, n),
                         beam=beam * (BEAM / FWHM) ** 2, covariance=own)


def timed(call, *args, **keywords):
    start = time.perf_counter()
    result = call(*args, **keywords)
    return time.perf_counter() - start, result


def memory(call, *args, **keywords) -> float:
    """Return how much memory a call needed at most, in MB, beside what there was and what it returns."""
    tracemalloc.start()
    call(*args, **keywords)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def discs() -> None:
    """Print how far discs are from numerical convolution."""
    rng = np.random.default_rng(2)
    position = np.array([[1000.3, 999.6]])
    print("exponential discs of axis ratios 1, 0.3 and 0.1, under beams of 1 and 0.5, against numerical convolution: "
          "worst error over the peak")
    for scale in (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8, 1.3, 2, 4, 8, 16, 30):
        worst = 0.0
        for ratio in (1.0, 0.3, 0.1):
            for round_ in (1.0, 0.5):
                beam, disc = ellipse(BEAM / FWHM / round_, round_, 0.9), ellipse(scale * BEAM, ratio, 2.1)
                one = Analytic.make("exponential", position, flux=1.0, beam=beam, covariance=disc, area=1.0)
                width = np.sqrt(np.diag(beam + disc))
                offset = np.rint(np.concatenate([np.zeros((1, 2)), rng.normal(0, 1, (12, 2)) * width,
                                                 rng.normal(0, 4, (4, 2)) * width]))
                found = np.zeros((len(offset), 1, 1))
                for pixel, (x, y) in zip(found, (1000 + offset).astype(int).tolist(), strict=True):
                    draw(one, (y, y + 1, x, x + 1), pixel)
                error = abs(found[:, 0, 0] - disc_seen(1000 + offset - position, disc, beam)).max()
                worst = max(worst, error / disc_seen(np.zeros((1, 2)), disc, beam)[0])
        print(f"  scale length over the beam's FWHM {scale:5.2f}: {worst:.1e}")


def tables(n: int) -> None:
    """Print how long it takes to draw a table of n sources, and to check it."""
    wcs = skygal.make_wcs("00h00m00s -30d00m00s", 32768, 0.24 * u.arcsec)
    seconds, table = timed(sample_faint, wcs, n=n, frequency=1.4 * u.GHz, seed=1)
    print(f"sample_faint, {n:,d} rows: {seconds:.2f} s; check_faint: {timed(check_faint, table, wcs)[0]:.2f} s; "
          + ", ".join(f"{np.mean(table['kind'] == kind):.3f} {kind}" for kind in ("point", "gaussian", "exponential")))


def compare_tiles(some, size: int, half: np.ndarray, image: np.ndarray) -> None:
    """Print how long tiles take, and whether they have the bits of the whole image."""
    box = (0, size, 0, size)
    again = np.zeros_like(image)
    image[...] = 0
    draw(some, box, image)
    start, side = time.perf_counter(), 1024
    centre = np.floor(some.position + 0.5)
    low, high = centre - half, centre + half
    for y in range(0, size, side):
        for x in range(0, size, side):
            near = (low[:, 0] < x + side) & (high[:, 0] >= x) & (low[:, 1] < y + side) & (high[:, 1] >= y)
            tile = np.zeros((side, side), np.float32)
            draw(some[np.flatnonzero(near)], (y, y + side, x, x + side), tile)
            again[y:y + side, x:x + side] = tile
    print(f"  in tiles of {side}: {time.perf_counter() - start:.3f} s; bits that differ: "
          f"{np.count_nonzero(again.view(np.int32) != image.view(np.int32))}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", type=int, default=8192)
    options.add_argument("--most", type=int, default=1_000_000)
    given = options.parse_args()
    discs()
    tables(given.most)
    size, box = given.size, (0, given.size, 0, given.size)
    image = np.zeros((size, size), np.float32)
    image += 1
    image[...] = 0
    draw(sources(100, size), box, image)
    print(f"{size} x {size} pixels, beam {BEAM} pixels, one process")
    took = []
    numbers = [n for n in (1000, 10_000, 100_000, 1_000_000) if n <= given.most]
    for n in numbers:
        some = sources(n, size)
        image[...] = 0
        took.append(min(timed(draw, some, box, image)[0] for _ in range(2)))
        print(f"  draw {n:9,d} sources: {took[-1]:7.3f} s, {1e6 * took[-1] / n:6.2f} us each; "
              f"memory {memory(draw, some, box, image):.0f} MB")
    note(f"points, Gaussians and discs: draw {n:,d}", took[-1], "s")
    for part, name in ((slice(None), "over all"), (slice(-3, None), "over the last three")):
        slope = np.polyfit(np.log(numbers[part]), np.log(took[part]), 1)[0]
        print(f"  time grows as n^{slope:.2f} {name}")
    image[...] = 0
    draw(some, box, image)
    half = reach(some)
    print(f"  mean box: {(2 * half + 1).prod(axis=1).mean():.0f} pixels")
    missing = image.sum(dtype=float) / some.area[0] / some.flux.sum() - 1
    print(f"  sum of the image over the beam's area against the fluxes: {missing:+.1e} (with what lies outside)")
    for kind, name in ((POINT, "points"), (GAUSSIAN, "Gaussians"), (EXPONENTIAL, "discs")):
        mine = some[np.flatnonzero(some.kind == kind)]
        print(f"  of these the {len(mine):,d} {name}: {timed(draw, mine, box, image)[0]:.3f} s")
    elliptical = sources(n, size, ratio=0.6)
    print(f"  under an elliptical beam: {timed(draw, elliptical, box, image)[0]:.3f} s")
    print(f"  averaged over pixels: {timed(draw, some, box, image, pixel_integrated=True)[0]:.3f} s")
    rms = 1e-6
    rule = {"limit": lambda peak, rows: np.clip(rms, 0.01 * peak, 0.5 * peak)}
    seconds, truth = timed(measure, some, (size, size), **rule)
    note(f"points, Gaussians and discs: measure {n:,d}", seconds, "s")
    print(f"  measure: {seconds:.3f} s; memory {memory(measure, some, (size, size), **rule):.0f} MB with the result")
    labels, brightest = np.zeros((size, size), np.int32), np.zeros((size, size), np.float32)
    ids = np.arange(1, n + 1)
    seconds, _ = timed(label, some, ids, truth.limit, box, labels, brightest)
    print(f"  label: {seconds:.3f} s")
    note(f"points, Gaussians and discs: label {n:,d}", seconds, "s")
    print(f"  flux of each source's pixels against what was asked for, worst: "
          f"{abs(truth.flux / some.flux - 1).max():.1e}")
    compare_tiles(some, size, half, image)


if __name__ == "__main__":
    main()
