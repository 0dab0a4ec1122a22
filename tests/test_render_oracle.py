"""An isolated source against closed forms: flux, position, angle and pixels on four projections."""

import numpy as np
import pytest
from astropy import units as u
from oracles import FWHM, Blobs, angle_between, grids, position_angle, sky_offsets
from radio_beam import Beam

from skygal.rendering.beam import TargetBeam, native_covariance
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.measured import Frame, Measured
from skygal.rendering.transform import render_stamp
from skygal.scene import stamp_affines
from skygal.sky import icrs_to_pixel, pixel_affine

DRAWS = 60      # on each of four grids
SHAPE = (260, 256)
NATIVE = native_covariance(3.0)


def worst_errors(name, draws, seed):
    """Return the largest errors over random isolated sources: flux, centroid (pixel), angle (deg), pixels over peak."""
    wcs = grids()[name]
    rng = np.random.default_rng(seed)
    pixel = np.sqrt(wcs.proj_plane_pixel_area().to_value(u.arcsec**2))
    y, x = np.mgrid[:100, :100] - 49.5
    worst = dict.fromkeys(("flux", "centroid", "pa", "pixel"), 0.0)
    for _ in range(draws):
        blobs = Blobs.random(rng)
        zoom = float(np.exp(rng.uniform(np.log(0.1), np.log(2.0))))
        scale = zoom * pixel                                     # arcsec a stamp pixel
        narrow = max(2.6 * pixel * 1.35, 3.0 * scale * 1.02)     # the beam is at least the stamp's own
        major, minor, bpa = narrow * rng.uniform(1, 1.6), narrow, rng.uniform(0, 180)
        centre = wcs.pixel_to_world(127 + rng.uniform(-4, 4), 129 + rng.uniform(-4, 4)).icrs
        ra, dec = np.array([centre.ra.deg]), np.array([centre.dec.deg])
        middle = wcs.pixel_to_world((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2).icrs
        beam = TargetBeam.from_beam(Beam(major * u.arcsec, minor * u.arcsec, bpa * u.deg),
                                    pixel_affine(wcs, middle.ra.deg, middle.dec.deg)[0])
        turn, flux = rng.uniform(0, 2 * np.pi), 10 ** rng.uniform(-3, 0)
        offset = rng.uniform(-3, 3, 2)                           # the source need not sit mid-stamp
        stamp = blobs.on_grid(x - offset[0], y - offset[1])
        position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)[0]
        affine = stamp_affines(pixel_affine(wcs, ra, dec), np.array([turn]), np.array([scale]))
        one = Stamps(stamp[None].astype(np.float32), 49.5 + offset[None], position[None], affine, np.array([flux]))
        canvas = Canvas((0, SHAPE[0], 0, SHAPE[1]), SHAPE, beam)
        placed = Measured(Frame(SHAPE, beam), one.flux, np.zeros(1), np.ones(1, int))
        for drawn in draw_stamps(one, beam, NATIVE, SHAPE):
            placed.add(drawn, 0, np.array([beam.area]))
            canvas.add(drawn, placed.limits, np.ones(1, int))
        image = canvas.model().astype(float)

        # the oracle: the same source on the sky, by spherical trigonometry on every pixel
        east, north = sky_offsets(wcs, SHAPE, centre)
        c, s = np.cos(turn), np.sin(turn)
        on_sky = scale * np.array([[c, s], [-s, c]]) @ np.diag([-1.0, 1.0])     # x of a stamp runs west
        b = np.radians(bpa)
        axes = np.array([[np.sin(b), np.cos(b)], [np.cos(b), -np.sin(b)]])
        gauss = axes.T @ np.diag([(major / FWHM) ** 2, (minor / FWHM) ** 2]) @ axes
        missing = gauss - on_sky @ NATIVE @ on_sky.T
        truth = blobs.mapped(on_sky, missing)
        area = 2 * np.pi * major * minor / FWHM**2                              # Jy/arcsec2 to Jy/beam
        expected = flux * area * truth.on_grid(east, north)

        assert not placed.beam_limited[0] and not placed.edge[0]
        worst["flux"] = max(worst["flux"], abs(image.sum() / beam.area / flux - 1),
                            abs(placed.flux_in_image[0] / flux - 1))
        yy, xx = np.mgrid[:SHAPE[0], :SHAPE[1]]
        found = wcs.pixel_to_world((image * xx).sum() / image.sum(), (image * yy).sum() / image.sum())
        worst["centroid"] = max(worst["centroid"], found.separation(centre).to_value(u.arcsec) / pixel)
        moments = truth.moments()
        angle = np.degrees(0.5 * np.arctan2(2 * moments[0, 1], moments[1, 1] - moments[0, 0])) % 180
        worst["pa"] = max(worst["pa"], angle_between(position_angle(image, east, north), angle))
        worst["pixel"] = max(worst["pixel"], abs(image - expected).max() / expected.max())
    return worst


@pytest.mark.parametrize("name", list(grids()))
def test_isolated_source(name):
    worst = worst_errors(name, DRAWS, seed=len(name))
    assert worst["flux"] < 1e-4
    assert worst["centroid"] < 0.02
    assert worst["pa"] < 0.5
    assert worst["pixel"] < 2e-3


@pytest.mark.parametrize("name", ["SIN, rotated", "TAN, flipped"])
def test_a_stamp_as_reproject_sees_it(name):
    from astropy.wcs import WCS
    from reproject import reproject_exact

    wcs = grids()[name]
    blobs = Blobs.random(np.random.default_rng(3))
    y, x = np.mgrid[:100, :100] - 49.5
    stamp = blobs.on_grid(x, y)
    centre = wcs.pixel_to_world(127.3, 129.6).icrs
    scale, turn = 1.26, np.radians(40)                           # arcsec a stamp pixel
    # the stamp as an image on the sky of its own: north is turn from its y axis, east is left
    own = WCS(naxis=2)
    own.wcs.ctype, own.wcs.crpix = ["RA---TAN", "DEC--TAN"], [50.5, 50.5]
    own.wcs.crval = [centre.ra.deg, centre.dec.deg]
    own.wcs.cdelt = [-scale / 3600, scale / 3600]
    own.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    seen, _ = reproject_exact((stamp, own), wcs, shape_out=SHAPE)
    ratio = (wcs.proj_plane_pixel_area() / own.proj_plane_pixel_area()).decompose().value
    expected = np.nan_to_num(seen) * ratio                       # brightness to flux per pixel
    ra, dec = np.array([centre.ra.deg]), np.array([centre.dec.deg])
    # reproject's stamp is turned by its header; ours by the angle from north through east
    angle = position_angle(expected, *sky_offsets(wcs, SHAPE, centre))
    moments = blobs.mapped(scale * np.diag([-1.0, 1.0]), np.zeros((2, 2))).moments()
    before = np.degrees(0.5 * np.arctan2(2 * moments[0, 1], moments[1, 1] - moments[0, 0])) % 180
    affine = stamp_affines(pixel_affine(wcs, ra, dec), np.array([np.radians(angle - before)]), np.array([scale]))[0]
    position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)[0]
    image = render_stamp(stamp, np.full(2, 49.5), position, affine, np.zeros((2, 2)), NATIVE, SHAPE).astype(float)
    assert image.sum() == pytest.approx(expected.sum(), rel=1e-3)
    assert angle_between(position_angle(image, *sky_offsets(wcs, SHAPE, centre)), angle) < 0.1
    # reproject takes the mean over each pixel, which lowers peaks a little, and interpolates nothing
    assert abs(image - expected).max() < 0.12 * expected.max()
    assert np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.995
