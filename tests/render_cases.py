"""Isolated random sources on any grid, drawn by the package and written in closed form on the sky."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.wcs import WCS
from oracles import FWHM, Blobs, Errors, sky_offsets
from radio_beam import Beam

from skygal.observation.beam import TargetBeam, native_covariance
from skygal.observation.frame import Frame
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.measured import Measured
from skygal.rendering.zoom import stamp_affines
from skygal.wcs import icrs_to_pixel, pixel_affine

NATIVE = native_covariance(3.0)


def paint(sources: Stamps, beam: TargetBeam, shape: tuple[int, int], native: np.ndarray = NATIVE):
    """Return the noiseless image of sources, Jy/beam, and what was measured of them."""
    canvas, n = Canvas((0, shape[0], 0, shape[1]), shape, beam), len(sources)
    measured = Measured(Frame(None, shape, beam, None), sources.flux, np.zeros(n), np.arange(1, n + 1))
    for drawn in draw_stamps(sources, beam, native, shape):
        measured.add(drawn, 0, np.full(n, beam.area))
        canvas.add(drawn, measured.limits, np.arange(1, n + 1))
    return canvas.model(), measured


def worst_errors(wcs: WCS, draws: int, seed: int, *, reach: float = 45.0, near: float = 4.0) -> Errors:
    """Return the largest errors over random isolated sources.

    Parameters
    ----------
    wcs : WCS
        With an ``array_shape``.
    draws, seed : int
        How many, and which.
    reach : float
        How far, in pixels, sources may extend.
    near : float
        How far from the image's middle, in pixels, they lie.
    """
    rng, shape = np.random.default_rng(seed), wcs.array_shape
    middle = (np.array(shape[::-1]) - 1) / 2
    at_middle = wcs.pixel_to_world(*middle).icrs
    grid = pixel_affine(wcs, at_middle.ra.deg, at_middle.dec.deg)[0]
    pixel = 1 / np.linalg.svd(grid)[1][-1]                       # arcsec, along its longer side
    y, x = np.mgrid[:100, :100] - 49.5
    worst = Errors()
    for _ in range(draws):
        zoom = float(np.exp(rng.uniform(np.log(0.05), np.log(3.0))))
        blobs = Blobs.random(rng, length=min(22, reach / zoom))
        scale = zoom * pixel                                     # arcsec a stamp pixel
        narrow = max(2.6 * pixel, 3.0 * scale * 1.02)            # the beam is at least the stamp's own
        major, minor, bpa = narrow * rng.uniform(1, 3), narrow, rng.uniform(0, 180)
        centre = wcs.pixel_to_world(*(middle + rng.uniform(-near, near, 2))).icrs
        ra, dec = np.array([centre.ra.deg]), np.array([centre.dec.deg])
        beam = TargetBeam.from_beam(Beam(major * u.arcsec, minor * u.arcsec, bpa * u.deg), grid)
        turn, flux = rng.uniform(0, 2 * np.pi), 10 ** rng.uniform(-3, 0)
        offset = rng.uniform(-3, 3, 2)                           # the source need not sit mid-stamp
        stamp = blobs.on_grid(x - offset[0], y - offset[1])
        position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)
        affine = stamp_affines(pixel_affine(wcs, ra, dec), np.array([turn]), np.array([scale]))
        one = Stamps(stamp[None].astype(np.float32), 49.5 + offset[None], position, affine, np.array([flux]))
        image, measured = paint(one, beam, shape)

        # the oracle: the same source on the sky, by spherical trigonometry on every pixel
        c, s = np.cos(turn), np.sin(turn)
        on_sky = scale * np.array([[c, s], [-s, c]]) @ np.diag([-1.0, 1.0])     # x of a stamp runs west
        b = np.radians(bpa)
        axes = np.array([[np.sin(b), np.cos(b)], [np.cos(b), -np.sin(b)]])
        gauss = axes.T @ np.diag([(major / FWHM) ** 2, (minor / FWHM) ** 2]) @ axes
        truth = blobs.mapped(on_sky, gauss - on_sky @ NATIVE @ on_sky.T)
        area = 2 * np.pi * major * minor / FWHM**2                              # Jy/arcsec2 to Jy/beam
        expected = flux * area * truth.on_grid(*sky_offsets(wcs, shape, centre))

        assert not measured.beam_limited[0] and not measured.edge[0]
        worst = worst.worst(Errors.of(image, expected)).worst(Errors(flux=max(
            abs(image.sum(dtype=float) / beam.area / flux - 1), abs(measured.flux_in_image[0] / flux - 1))))
    return worst
