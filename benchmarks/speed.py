"""How fast: drawing beside GalSim, the whole pipeline, the floor that memory sets, and how cost grows.

    python benchmarks/speed.py [--n 1000] [--size 4096] [--repeats 5]
                               [--parts galsim floor pipeline sources pixels decode]

*galsim*: the same stamps of 100 x 100 pixels (the shipped model's), at zooms of 0.3 to 1.2, any angle and shift, under
a beam of 5 pixels, drawn by both, one after the other in this process. GalSim (an optional package) draws an
InterpolatedImage with its defaults. It uses one core, and so does our drawing.
*floor*: adding as many float32 stamps, as they are, to slices of the image, and one FFT convolution of it.
*pipeline*: `skygal.simulate_field`, from latents to the finished noisy image with truth.
*sources*, *pixels*: cost over three decades of sources, and from 256 to 8192 pixels on a side; the exponents are those
of straight lines fitted to the logarithms, of all points and of the upper half, where fixed costs no longer count.
*decode*: the decoder alone.

Times are the least of the repeats, by the clock; CPU seconds, of all threads, beside them. The least is what a quiet
machine would take, as far as this one was quiet.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from astropy import units as u
from figures import note
from radio_beam import Beam
from scipy import fft

import skygal
from skygal.morphology.batches import make_stamps
from skygal.morphology.latents import sample_latents
from skygal.observation.beam import TargetBeam, native_covariance
from skygal.observation.frame import Frame
from skygal.rendering.beam_matching import matching_kernel
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.measured import Measured
from skygal.seeds import Seeds

SIDE, ZOOM, BEAM, NATIVE = 100, (0.3, 1.2), 5.0, 3.0


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the least seconds, by the clock and of the processors, that a function takes."""
    function()                                # imports, caches, pages of memory
    clock, cpu = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        function()
        clock.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return min(clock), min(cpu)


def line(name: str, seconds: tuple[float, float], n: int, more: str = "") -> None:
    print(f"  {name:44s} {seconds[0]:8.3f} s  {n / seconds[0]:9.0f} /s   CPU {seconds[1]:7.3f} s  {more}", flush=True)


def random_sources(n: int, size: int, clip_sigma: float | None) -> Stamps:
    """Return sources of 100 x 100 pixels: stamps of the shipped model that fit, clipped or with the decoder's floor."""
    model, stamps, centres, seed = skygal.load_model(), [], [], 0
    (ny, nx) = model.shape
    dx, dy = (nx - SIDE) // 2, (SIDE - ny) // 2
    while sum(map(len, stamps)) < n and seed < 20:
        seed += 1
        plan = sample_latents(model, "prior", np.where(np.arange(1024) % 2, "FRI", "FRII"),
                            Seeds(seed).keys("latent", 1024))
        raw = None if clip_sigma else model.decode(plan.values, plan.fr_class, plan.extent, plan.bending)
        for batch in make_stamps(model, plan, 3.0):
            lit = batch.stamps.any(axis=1)
            good = ~(lit[:, :dx].any(axis=1) | lit[:, dx + SIDE:].any(axis=1))
            part = np.zeros((np.count_nonzero(good), SIDE, SIDE), np.float32)
            shown = batch.stamps if raw is None else raw[batch.start:batch.start + len(good)]
            part[:, dy:dy + ny] = shown[good][:, :, dx:dx + SIDE]
            stamps.append(part)
            centres.append(batch.shapes.centre[good] + [-dx, dy])
    repeat = np.arange(n) % sum(map(len, stamps))
    rng = np.random.default_rng(0)
    zoom, turn = rng.uniform(*ZOOM, n), rng.uniform(0, 2 * np.pi, n)
    c, s = np.cos(turn), np.sin(turn)
    affine = zoom[:, None, None] * np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    image = np.concatenate(stamps)[repeat]
    image /= image.sum(axis=(1, 2), dtype=float)[:, None, None]
    return Stamps(image, np.concatenate(centres)[repeat], rng.uniform(100, size - 100, (n, 2)), affine,
                  10 ** rng.uniform(-3, -1, n))


def target() -> TargetBeam:
    return TargetBeam.from_beam(Beam(BEAM * u.arcsec), np.diag([-1.0, 1.0]))


def drawer(sources: Stamps, size: int, *, alone: bool = False) -> Callable[[], np.ndarray]:
    """Return a function that makes an image of sources: measured and labelled too, or ``alone`` as GalSim makes it."""
    beam, native, n, shape = target(), native_covariance(NATIVE), len(sources), (size, size)
    labels, areas = np.arange(1, n + 1), np.full(n, beam.area)

    def draw_alone() -> np.ndarray:
        image = np.zeros(shape, np.float32)
        for drawn in draw_stamps(sources, beam, native, shape):
            for _, (x, y), data, _ in drawn.in_order():
                y0, y1, x0, x1 = max(y, 0), y + data.shape[0], max(x, 0), x + data.shape[1]
                image[y0:y1, x0:x1] += data[y0 - y:size - y, x0 - x:size - x]
        return image

    def draw() -> np.ndarray:
        canvas = Canvas((0, size, 0, size), shape, beam)
        found = Measured(Frame(None, shape, beam, None), sources.flux, np.zeros(n), labels)
        for drawn in draw_stamps(sources, beam, native, shape):
            found.add(drawn, 0, areas)
            canvas.add(drawn, found.limits, labels)
        return canvas.model()

    return draw_alone if alone else draw


def flux_errors(sources: Stamps, sums: np.ndarray) -> str:
    off = sums / (sources.flux * target().area) - 1
    return f"flux error rms {off.std():.1e}, largest {abs(off).max():.1e}"


def our_sums(sources: Stamps, size: int) -> np.ndarray:
    sums = np.zeros(len(sources))
    for drawn in draw_stamps(sources, target(), native_covariance(NATIVE), (size, size)):
        for k, _, data, _ in drawn.in_order():
            sums[k] = data.sum(dtype=float)
    return sums


def draw_with_galsim(sources: Stamps, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image in Jy/beam by GalSim, and the sum of each source."""
    import galsim

    image, beam = galsim.ImageF(size, size, scale=1.0), target()
    kernels, _ = matching_kernel(sources.affine, beam.covariance, native_covariance(NATIVE))
    roots = np.linalg.cholesky(sources.affine @ kernels @ np.swapaxes(sources.affine, 1, 2) + 1e-9 * np.eye(2))
    sums = np.zeros(len(sources))
    for k, root in enumerate(roots):
        shift = (SIDE - 1) / 2 - sources.centre[k]
        profile = galsim.InterpolatedImage(galsim.Image(sources.stamps[k], scale=1.0), normalization="flux")
        profile = profile.shift(*shift).transform(*sources.affine[k].ravel())
        gauss = galsim.Gaussian(sigma=1.0).transform(*root.ravel()) / abs(np.linalg.det(root))
        whole = galsim.Convolve(profile, gauss).withFlux(sources.flux[k] * beam.area)
        place = galsim.PositionD(*(sources.position[k] + 1))             # GalSim counts from 1
        small = whole.drawImage(scale=1.0, method="no_pixel", center=place, dtype=np.float32)
        sums[k] = small.array.sum(dtype=float)
        overlap = small.bounds & image.bounds
        if overlap.isDefined():
            image[overlap] += small[overlap]
    return image.array, sums


def galsim_part(given: argparse.Namespace) -> None:
    for clip_sigma, text in ((3.0, "clipped at 3 sigma"), (None, "not clipped: 80 x 100 pixels are not zero")):
        sources = random_sources(given.n, given.size, clip_sigma)
        print(f"drawing {given.n} stamps of {SIDE} x {SIDE} ({text}) into {given.size} x {given.size}")
        alone, full = drawer(sources, given.size, alone=True), drawer(sources, given.size)
        ours = timed(alone, given.repeats)
        line("skygal: draw, add", ours, given.n, flux_errors(sources, our_sums(sources, given.size)))
        note(f"drawing stamps {text.partition(':')[0]}, skygal", given.n / ours[0], "/s")
        more = timed(full, given.repeats)
        line("skygal: draw, measure, add, label", more, given.n)
        try:
            # fewer repeats of what takes long
            theirs = timed(lambda: draw_with_galsim(sources, given.size), max(1, given.repeats // 2))  # noqa: B023
        except ImportError:
            print("  GalSim is not installed: pip install galsim")
            continue
        image, sums = draw_with_galsim(sources, given.size)
        line("GalSim: draw, add", theirs, given.n, flux_errors(sources, sums))
        note(f"drawing stamps {text.partition(':')[0]}, GalSim", given.n / theirs[0], "/s")
        # once more, afterwards: the machine may have been busier before
        ours = tuple(map(min, ours, timed(alone, given.repeats)))
        print(f"  ratio {theirs[0] / ours[0]:.1f} by the clock, {theirs[1] / ours[1]:.1f} in CPU time (asked for: 25), "
              f"with measures and labels {theirs[0] / more[0]:.1f}; largest difference of the images "
              f"{abs(image - alone()).max() / image.max():.1e} of the peak")


def floor_part(given: argparse.Namespace) -> None:
    sources = random_sources(given.n, given.size, 3.0)
    image = np.zeros((given.size, given.size), np.float32)
    places = sources.position.astype(int) - SIDE // 2
    kernel = fft.rfft2(np.pad(np.ones((9, 9), np.float32), [(0, given.size - 9)] * 2))

    def add() -> None:
        for (x, y), stamp in zip(places.clip(0, given.size - SIDE).tolist(), sources.stamps, strict=True):
            image[y:y + SIDE, x:x + SIDE] += stamp

    def convolve() -> None:
        fft.irfft2(fft.rfft2(image, workers=2) * kernel, s=image.shape, workers=2)

    print(f"the floor: {given.n} float32 stamps of {SIDE} x {SIDE} into {given.size} x {given.size}")
    one, two = timed(add, given.repeats), timed(convolve, given.repeats)
    line("slice-add", one, given.n)
    line("one FFT convolution of the image, 2 workers", two, given.n)
    ours = timed(drawer(sources, given.size), given.repeats)
    line("skygal: draw, measure, add, label", ours, given.n)
    print(f"  skygal over the floor: {ours[0] / (one[0] + two[0]):.2f} by the clock (asked for: at most 3); over the "
          f"slice-add alone {ours[0] / one[0]:.1f}")


def field(n: int, size: int, **options: Any) -> Callable[[], Any]:
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", size, 1.8 * u.arcsec)
    options = {"flux": 3 * u.mJy, "las": "mirabest", **options}
    return lambda: skygal.simulate_field(wcs, n, survey="FIRST", seed=1, **options)


def pipeline_part(given: argparse.Namespace) -> None:
    print(f"whole pipeline, latents to image with truth, {given.size} x {given.size} (asked for: 1000/s)")
    for n in (given.n, 4 * given.n):
        taken = timed(field(n, given.size), given.repeats)
        line(f"{n} sources, with noise", taken, n)
        note(f"a field of {n} sources with noise, from latents to truth", n / taken[0], "/s")
        note(f"a field of {n} sources with noise, from latents to truth", taken[1], "core s")
        line(f"{n} sources, without", timed(field(n, given.size, noise=False), given.repeats), n)
    small = (2 * u.arcsec, 25 * u.arcsec)
    line(f"{given.n} sources of 2 to 25 arcsec, with noise",
         timed(field(given.n, given.size, las=small), given.repeats),
         given.n)


def exponent(x: list[int], y: list[float]) -> str:
    def slope(part: slice) -> float:
        return float(np.polyfit(np.log(x[part]), np.log(y[part]), 1)[0])

    return f"exponent {slope(slice(None)):.2f}, of the upper half {slope(slice(len(x) // 2, None)):.2f}"


def sources_part(given: argparse.Namespace) -> None:
    numbers = [30, 100, 300, 1000, 3000, 10000, 30000]
    pool = random_sources(1000, given.size, 3.0)
    print(f"cost against the number of sources, {given.size} x {given.size}")
    drawing, whole = [], []
    for n in numbers:
        repeats = given.repeats if n < 3000 else 1
        part = pool[np.arange(n) % len(pool)]
        drawing.append(timed(drawer(part, given.size), repeats))
        line(f"{n} sources: draw, measure, add, label", drawing[-1], n)
    for n in numbers:
        whole.append(timed(field(n, given.size), given.repeats if n < 3000 else 1))
        line(f"{n} sources: whole pipeline with noise", whole[-1], n)
    by_clock, in_cpu = ([t[k] for t in drawing] for k in (0, 1))
    print(f"  drawing: {exponent(numbers, by_clock)} (CPU: {exponent(numbers, in_cpu)})")
    print(f"  pipeline: {exponent(numbers, [t[0] for t in whole])}")


def pixels_part(given: argparse.Namespace) -> None:
    sides = [256, 512, 1024, 2048, 4096, 8192]
    print("cost against pixels, whole pipeline with noise")
    for text, number in (("30 sources", lambda side: 30), ("60 sources a million pixels",
                                                           lambda side: max(1, 60 * side**2 // 2**20))):
        found = []
        for side in sides:
            n = number(side)
            found.append(timed(field(n, side), given.repeats if side < 4096 else 1))
            line(f"{side} x {side}, {n} sources", found[-1], side**2, "(pixels/s)")
        print(f"  {text}: {exponent([side**2 for side in sides], [t[0] for t in found])}")


def decode_part(given: argparse.Namespace) -> None:
    model, n = skygal.load_model(), 4096
    rng = np.random.default_rng(0)
    given_latents = (rng.standard_normal((n, model.latent_dim)), np.where(np.arange(n) % 2, "FRI", "FRII"),
                     rng.uniform(4, 40, n), rng.normal(0, 0.3, n))
    print(f"{n} stamps, the network alone")
    taken = timed(lambda: model.decode(*given_latents), given.repeats)
    line("decoder", taken, n)
    note("the decoder alone", n / taken[0], "stamps/s")
    line("acceptance of latents", timed(lambda: model.acceptance(*given_latents), given.repeats), n)


PARTS = {"galsim": galsim_part, "floor": floor_part, "pipeline": pipeline_part, "sources": sources_part,
         "pixels": pixels_part, "decode": decode_part}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--n", type=int, default=1000)
    options.add_argument("--size", type=int, default=4096)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    given = options.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    import torch

    print(f"{os.cpu_count()} cores, torch with {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    for name in given.parts:
        PARTS[name](given)


if __name__ == "__main__":
    main()
