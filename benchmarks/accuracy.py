"""How exact the images are: isolated sources, sums of fluxes, noise.

    python benchmarks/accuracy.py [--draws 200] [--size 4096]

Isolated sources are random sums of Gaussians, at zooms of 0.05 to 3, any angle and any shift, under
elliptical beams of up to 3:1, on four grids of 1.8 arcsec and in every projection at 0.05 arcsec; what they must look
like is written in closed form on the sky, by spherical trigonometry at every pixel, without the package (see
tests/oracles.py). The local map of a source is linear: that is exact to the curvature of the grid over
the source, which is what the larger pixels of a stretched grid show.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.wcs import PRJ_CODES

import skygal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from figures import note  # noqa: E402
from oracles import FWHM, TARGETS, Errors, distorted, grids, projected  # noqa: E402
from render_cases import worst_errors  # noqa: E402


def sources(draws):
    print(f"isolated sources, worst of {draws} random draws on each of four grids and {max(1, draws // 10)} elsewhere")
    print(f"  {'grid':22s} {'flux':>9s} {'centroid/pixel':>15s} {'moments':>9s} {'PA/deg':>9s} {'pixels/peak':>12s} "
          f"{'bowl/peak':>10s}")

    def line(name, worst):
        print(f"  {name:22s} {worst.flux:9.1e} {worst.centroid:15.1e} {worst.moments:9.1e} {worst.angle:9.1e} "
              f"{worst.pixel:12.1e} {worst.bowl:10.1e}")

    line("asked for", TARGETS)
    flat = Errors()
    for name, wcs in grids().items():
        worst = worst_errors(wcs, draws, seed=1)
        flat = flat.worst(worst)
        line(name, worst)
    for name, unit in (("flux", "of the flux"), ("centroid", "pixel"), ("angle", "deg"), ("pixel", "of the peak")):
        note(f"isolated sources, worst error: {name}", getattr(flat, name), unit)
    line("TAN-SIP", worst_errors(distorted(), draws // 10 + 1, seed=1, reach=20.0))
    codes = [code for code in PRJ_CODES if code != "CSC"]
    for away in ((9.0, 7.0), (25.0, 17.0)):
        worst = Errors()
        for k, code in enumerate(codes):
            wcs = projected(code, away, turn=37.0 * k, flip=k % 2 == 1, narrow=(1.0, 1.3, 0.8)[k % 3])
            worst = worst.worst(worst_errors(wcs, max(1, draws // 10), seed=k, reach=16.0))
        line(f"{len(codes)} projections, {away[0]:g} deg", worst)


def sums():
    print("noiseless fields: sum of the image over the beam's area, against the sum of flux_in_image")
    worst = 0.0
    for name, wcs in grids().items():
        field = skygal.simulate_field(wcs, 60, survey="FIRST", noise=False, flux=3 * u.mJy, las="mirabest",
                                      seed=1)
        # the reference is the beam in pixels at the image's centre, where the grid's scale is taken
        y, x = ((side - 1) / 2 for side in field.image.shape)
        area = field.wcs.deepcopy()
        corner = area.pixel_to_world([x - 0.5, x + 0.5, x, x], [y, y, y - 0.5, y + 0.5]).icrs
        (e1, n1), (e2, n2) = ([d.to_value(u.deg) for d in corner[a].spherical_offsets_to(corner[b])]
                              for a, b in ((0, 1), (2, 3)))
        beam = 2 * np.pi / FWHM**2 * field.header["BMAJ"] * field.header["BMIN"] / abs(e1 * n2 - e2 * n1)
        total = field.image.sum(dtype=float) / beam
        error = total / field.truth["flux_in_image"].sum().value - 1
        worst = max(worst, abs(error))
        print(f"  {name:18s} {error:+.1e} "
              f"({np.count_nonzero(field.truth['edge'])} of {len(field.truth)} sources at the edge)")
    note("sum of a field's pixels over its fluxes, worst error", worst)


def noise(size):
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", size, 1.8 * u.arcsec)
    from radio_beam import Beam

    major, minor, pa = 7.2, 5.4, 30.0
    field = skygal.simulate_field(wcs, 0, beam=Beam(major * u.arcsec, minor * u.arcsec, pa * u.deg),
                                  noise=0.15 * u.mJy, seed=1)
    image = field.image.astype(float)
    power = np.fft.irfft2(np.abs(np.fft.rfft2(image)) ** 2)
    found = power / power[0, 0]
    dy, dx = np.mgrid[-10:11, -10:11]
    a = np.radians(pa)
    east, north = -1.8 * dx, 1.8 * dy
    along, across = east * np.sin(a) + north * np.cos(a), east * np.cos(a) - north * np.sin(a)
    expected = np.exp(-((along / major) ** 2 + (across / minor) ** 2) * FWHM**2 / 4)
    print(f"noise, {size} x {size} pixels, beam {major} x {minor} arcsec at {pa} deg: rms over the one asked for "
          f"{image.std() / 1.5e-4:.5f}, mean {image.mean() / 1.5e-4:+.1e} rms, largest difference of the "
          f"autocorrelation to the beam's {abs(found[dy, dx] - expected).max():.4f}")
    note("noise: rms over the one asked for", image.std() / 1.5e-4)
    note("noise: largest difference of its autocorrelation to the beam's", abs(found[dy, dx] - expected).max())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--draws", type=int, default=200)
    options.add_argument("--size", type=int, default=4096, help="of the noise image")
    given = options.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    sources(given.draws)
    sums()
    noise(given.size)


if __name__ == "__main__":
    main()
