"""Stamps per second from sampling to image, beside GalSim drawing the same stamps with the same beam.

    python benchmarks/speed.py [--n 1000] [--size 4096] [--repeats 3]

Ours is `skygal.simulate_field` as a whole: population, latents, decoding, clipping, measuring, drawing,
truth. GalSim (an optional package) is given the very stamps, places, angles, zooms and matching
Gaussians, and is timed for drawing alone. Both run in this process, in turn, and the two images
are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings

import numpy as np
from astropy import units as u

import skygal
from skygal.rendering import canvas, transform
from skygal.rendering.beam import FWHM


def draw_with_galsim(recorded, shape, beam, native):
    """Draw recorded sources with GalSim; return the image in Jy/beam and the seconds it took."""
    import galsim

    start = time.perf_counter()
    image = galsim.ImageF(shape[1], shape[0], scale=1.0)
    frame = image.bounds
    for source in recorded:
        kernel, _ = transform.matching_kernel(source.affine, beam.covariance, native)
        stamp = galsim.Image(np.ascontiguousarray(source.stamp, dtype=np.float32), scale=1.0)
        middle = (np.array(source.stamp.shape[::-1]) - 1) / 2
        shift = middle - source.centre
        profile = galsim.InterpolatedImage(stamp, normalization="flux").shift(*shift).transform(*source.affine.ravel())
        on_image = source.affine @ kernel @ source.affine.T
        root = np.linalg.cholesky(on_image + 1e-9 * np.eye(2))
        gauss = galsim.Gaussian(sigma=1.0).transform(*root.ravel()) / abs(np.linalg.det(root))
        whole = galsim.Convolve(profile, gauss).withFlux(source.flux * beam.area)
        x, y = source.position + 1           # GalSim counts from 1
        small = whole.drawImage(scale=1.0, method="no_pixel", center=galsim.PositionD(x, y), dtype=float)
        overlap = small.bounds & frame
        if overlap.isDefined():
            image[overlap] += small[overlap]
    return image.array, time.perf_counter() - start


def decode(model, n, repeats):
    """Print the stamps that the decoder gives in a second, and places in latent space tried."""
    rng = np.random.default_rng(0)
    fr_class = np.where(np.arange(n) % 2, "FRI", "FRII")
    given = (rng.standard_normal((n, model.latent_dim)), fr_class, rng.uniform(4, 40, n), rng.normal(0, 0.3, n))
    for name, function in (("decoder alone", model.decode), ("acceptance of latents alone", model.acceptance)):
        function(*given)
        rates = []
        for _ in range(repeats):
            start = time.perf_counter()
            function(*given)
            rates.append(n / (time.perf_counter() - start))
        print(f"{name}: {statistics.median(rates):7.0f} /s  (runs {', '.join(f'{rate:.0f}' for rate in rates)})")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--n", type=int, default=1000)
    options.add_argument("--size", type=int, default=4096)
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", given.size, 1.8 * u.arcsec)
    print(f"{given.n} sources, {given.size} x {given.size} pixels, FIRST's beam, {os.cpu_count()} cores")

    recorded: list[canvas.Source] = []
    draw = canvas.Canvas.draw

    def note(source):
        recorded.append(source)
        return source

    def record(self, sources, **options):
        return draw(self, map(note, sources), **options)

    def ours():
        start = time.perf_counter()
        field = skygal.simulate_field(wcs, given.n, survey="FIRST", noise=False, seed=1)
        return field, time.perf_counter() - start

    ours()                                    # imports, weights and caches
    canvas.Canvas.draw = record
    field, _ = ours()
    canvas.Canvas.draw = draw
    model = skygal.load_model()
    decode(model, 4096, given.repeats)
    native = np.eye(2) * (model.beam_fwhm / model.pixel_scale / FWHM) ** 2
    from skygal.observation import observe
    from skygal.surveys import read_survey

    beam = observe(wcs, wcs.array_shape, survey=read_survey("FIRST"), frequency=None, beam=None, noise=False).beam
    mine, theirs = [], []
    for _ in range(given.repeats):
        mine.append(given.n / ours()[1])
        try:
            image, seconds = draw_with_galsim(recorded, wcs.array_shape, beam, native)
        except ImportError:
            print("GalSim is not installed: pip install galsim")
            break
        theirs.append(given.n / seconds)
    print(f"skygal, sampling to image: {statistics.median(mine):7.0f} stamps/s  "
          f"(runs {', '.join(f'{rate:.0f}' for rate in mine)})")
    if theirs:
        print(f"GalSim, drawing alone:     {statistics.median(theirs):7.0f} stamps/s  "
              f"(runs {', '.join(f'{rate:.0f}' for rate in theirs)})")
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        print(f"ratio, pair by pair:       {ratio:7.1f}")
        off = np.abs(image - field.model).max() / field.model.max()
        asked = sum(source.flux for source in recorded)
        print(f"largest difference of the images: {off:.1e} of the peak; flux error: skygal "
              f"{field.truth['flux'].sum().value / asked - 1:+.1e}; in the image, GalSim over skygal "
              f"{image.sum(dtype=float) / field.model.sum(dtype=float) - 1:+.1e}")


if __name__ == "__main__":
    main()
