"""An isolated source against closed forms on the grids that users bring, and as reproject sees it."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import TARGETS, Blobs, angle_between, grids, position_angle, sky_offsets
from render_cases import NATIVE, worst_errors

from skygal.rendering.transform import render_stamp
from skygal.rendering.zoom import stamp_affines
from skygal.wcs import icrs_to_pixel, pixel_affine

DRAWS = 16      # on each of four grids
SHAPE = (260, 256)


@pytest.mark.parametrize("name", list(grids()))
def test_isolated_source(name):
    # a source is mapped as its centre is: 20 degrees off the equator of a cylindrical grid, 160 arcsec are bent by
    # some 0.005 pixels
    limits = replace(TARGETS, pixel=1.5e-3) if name.startswith("CAR") else TARGETS
    assert not worst_errors(grids()[name], DRAWS, seed=len(name)).beyond(limits)


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
