"""What noise costs: core-nanoseconds a pixel, by kind of beam, side of the image and number of threads.

    python benchmarks/noise.py [--size 4096] [--repeats 3] [--workers 1]

The time is the process's own on all cores, so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from astropy import units as u
from figures import note
from radio_beam import Beam

import skygal
from skygal.observation.observe import make_frame
from skygal.rendering.noise import make_noise, noise_window, white_noise
from skygal.seeds import Seeds


def beams(wcs, shape):
    """Return the beams to be timed, by name."""
    def see(beam=None, psf=None):
        return make_frame(wcs, shape, beam=beam, psf=psf).beam

    def function(ra, dec):
        return (8 + 2 * (dec - 30)) * u.arcsec, (5.4 + 0 * ra) * u.arcsec, (30 * (ra - 180)) * u.deg

    y, x = np.mgrid[-512:513, -512:513]
    radius = np.hypot(x, y)
    dirty = np.exp(-radius**2 / 4) + 0.02 * np.cos(radius / 3) * np.exp(-radius / 100)
    return {"Gaussian, 3 pixels": see(Beam(5.4 * u.arcsec)), "Gaussian, 20 pixels": see(Beam(36 * u.arcsec)),
            "varying Gaussian, 3 pixels": see(function), "PSF image, 129 x 129": see(psf=dirty[448:577, 448:577]),
            "PSF image, 1025 x 1025": see(psf=dirty)}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    shape = (options.size, options.size)
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", shape, 1.8 * u.arcsec)

    def cost(make, pixels):
        taken = []
        for _ in range(options.repeats):
            start = time.process_time()
            make()
            taken.append(time.process_time() - start)
        return min(taken) / pixels * 1e9

    key = np.array([1, 2], np.uint64)
    white = cost(lambda: [white_noise(key, k, 0) for k in range(256)], 256 * 128**2)
    print(f"{'white noise alone':30s} {white:7.1f} ns a pixel")
    for name, beam in beams(wcs, shape).items():
        found = cost(lambda beam=beam: make_noise(shape, beam, 1.0, Seeds(1), workers=options.workers),
                     shape[0] * shape[1])
        print(f"{name:30s} {found:7.1f} ns a pixel")
        note(f"noise, {name}", found, "core ns/pixel")
    beam = beams(wcs, shape)["Gaussian, 3 pixels"]
    for side in (512, 1024, 2048):
        aligned = cost(lambda side=side: noise_window((side, 2 * side, 0, side), beam, 1.0, Seeds(1)), side**2)
        off = cost(lambda side=side: noise_window((side + 200, 2 * side + 200, 77, side + 77), beam, 1.0, Seeds(1)),
                   side**2)
        print(f"{f'window of {side}, at a corner':30s} {aligned:7.1f} ns a pixel, anywhere {off:.1f}")


if __name__ == "__main__":
    main()
