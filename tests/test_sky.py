"""Geometry: local maps against spherical trigonometry, solid angles against the sphere."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import grids

from skygal.io.header_wcs import celestial
from skygal.wcs import icrs_to_pixel, image_shape, make_wcs, pixel_affine, pixel_area, pixel_to_icrs


def wcs_of(projection, crval, *, scale=1.8 / 3600, names=("RA--", "DEC-"), turn=0.0, flip=False, lat_first=False,
           **attributes):
    w = WCS(naxis=2)
    ctype = [f"{name}-{projection}" for name in names]
    t = np.radians(turn)
    pc = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    cdelt = np.array([scale if flip else -scale, scale])
    if lat_first:
        ctype, crval, cdelt, pc = ctype[::-1], crval[::-1], cdelt[::-1], pc[::-1, ::-1]
    w.wcs.ctype, w.wcs.crval, w.wcs.cdelt, w.wcs.pc, w.wcs.crpix = ctype, crval, cdelt, pc, [101.0, 101.0]
    for name, value in attributes.items():
        setattr(w.wcs, name, value)
    w.array_shape = (201, 201)
    w.wcs.set()
    return w


SKIES = {
    **grids(),
    "SIN at the north pole": wcs_of("SIN", [40.0, 90.0]),
    "ZEA at the south pole": wcs_of("ZEA", [0.0, -90.0], turn=20),
    "TAN near the pole": wcs_of("TAN", [200.0, 89.99]),
    "ARC, RA 0": wcs_of("ARC", [0.0, 10.0]),
    "STG, FK4": wcs_of("STG", [85.0, -20.0], radesys="FK4", equinox=1950.0),
    "TAN, FK5 B1975": wcs_of("TAN", [85.0, -20.0], radesys="FK5", equinox=1975.0),
    "SIN, galactic": wcs_of("SIN", [0.0, 1.0], names=("GLON", "GLAT")),
    "AIT, all sky": wcs_of("AIT", [0.0, 0.0], scale=1.0),
    "CAR, all sky": wcs_of("CAR", [180.0, 0.0], scale=1.0),
    "SIN, latitude first": wcs_of("SIN", [150.0, 2.0], lat_first=True),
    "TAN, coarse": wcs_of("TAN", [150.0, 60.0], scale=0.05),
}


def by_trigonometry(wcs, ra, dec, step):
    """Return d(x, y)/d(east, north) by going ``step`` to either side along great circles."""
    here = SkyCoord(ra * u.deg, dec * u.deg)
    columns = []
    for angle in (90, 0):
        ends = [wcs.world_to_pixel(here.directional_offset_by((angle + turn) * u.deg, step)) for turn in (0, 180)]
        columns.append((np.array(ends[0]) - np.array(ends[1])) / (2 * step.to_value(u.arcsec)))
    return np.moveaxis(np.array(columns), 0, -1).transpose(1, 0, 2) if np.ndim(ra) else np.array(columns).T


@pytest.mark.parametrize("name", list(SKIES))
def test_local_map(name):
    wcs = SKIES[name]
    rng = np.random.default_rng(1)
    if wcs.wcs.cdelt[1] > 0.5:                   # all sky: away from the seam and the poles
        ra, dec = rng.uniform(60, 120, 30), rng.uniform(-60, 60, 30)
    else:
        x, y = rng.uniform(10, 190, (2, 30))
        sky = wcs.pixel_to_world(x, y).icrs
        ra, dec = sky.ra.deg, sky.dec.deg
    scale = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))
    found = pixel_affine(wcs, ra, dec)
    expected = by_trigonometry(wcs, ra, dec, 0.1 * scale * u.deg)
    size = np.linalg.norm(expected, axis=(1, 2)).max()
    assert abs(found - expected).max() < 1e-4 * size
    # lengths and angles: a rhumb of one arcsec is one over the pixel's side
    if name in ("SIN at the north pole", "SIN, galactic", "ARC, RA 0"):
        np.testing.assert_allclose(np.linalg.svd(found, compute_uv=False), 1 / 1.8, rtol=1e-5)


def test_parity_and_rotation():
    east_left = pixel_affine(wcs_of("SIN", [150.0, 2.0]), 150.0, 2.0)[0]
    np.testing.assert_allclose(east_left, np.diag([-1, 1]) / 1.8, atol=1e-6)
    flipped = pixel_affine(wcs_of("SIN", [150.0, 2.0], flip=True), 150.0, 2.0)[0]
    np.testing.assert_allclose(flipped, np.eye(2) / 1.8, atol=1e-6)
    lat_first = pixel_affine(wcs_of("SIN", [150.0, 2.0], lat_first=True), 150.0, 2.0)[0]
    np.testing.assert_allclose(lat_first, np.array([[0, 1], [-1, 0]]) / 1.8, atol=1e-6)


def test_across_the_seam_of_all_sky():
    wcs = SKIES["CAR, all sky"]
    for ra in (0.0, 1e-7, 359.9999999, 0.2, 359.7):
        for dec in (-40.0, 0.0, 30.0):
            found = pixel_affine(wcs, ra, dec)[0] * 3600
            np.testing.assert_allclose(found, [[-1 / np.cos(np.radians(dec)), 0], [0, 1]], atol=5e-3)


def test_where_there_is_no_sky():
    wcs = SKIES["AIT, all sky"]
    x, y = np.array([-100.0, 100.0]), np.array([100.0, 100.0])
    ra, dec = pixel_to_icrs(wcs, x, y)
    assert np.isnan([ra[0], dec[0]]).all() and np.isfinite([ra[1], dec[1]]).all()
    area = pixel_area(wcs, x, y)
    assert area[0] == 0 and area[1] > 0
    behind = icrs_to_pixel(wcs_of("SIN", [150.0, 0.0]), 330.0, 0.0)
    assert np.isnan(behind).all() and np.isnan(pixel_affine(wcs_of("SIN", [150.0, 0.0]), 330.0, 0.0)).all()


@pytest.mark.parametrize(("projection", "scale", "tolerance"), [("CAR", 1.0, 2e-3), ("AIT", 0.5, 4e-3),
                                                                ("MOL", 0.5, 4e-3)])
def test_areas_add_up_to_the_sphere(projection, scale, tolerance):
    nx, ny = round(360 / scale), round(180 / scale)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.cdelt, wcs.wcs.crval, wcs.wcs.crpix = [-scale, scale], [10, 0], [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.set()
    y, x = np.mgrid[:ny, :nx]
    area = pixel_area(wcs, x, y)
    assert area.shape == (ny, nx)
    # pixels cut by the outline of an oval map are counted or not by their middle
    assert area.sum() == pytest.approx(4 * np.pi, rel=tolerance)


def test_area_of_a_pixel():
    scale = np.radians(1.8 / 3600)
    assert pixel_area(wcs_of("SIN", [150.0, 2.0]), 100.0, 100.0) == pytest.approx(scale**2, rel=1e-6)
    wide = wcs_of("TAN", [150.0, 2.0], scale=0.1)
    # a gnomonic pixel shrinks as the cube of the cosine of its distance
    r = np.arctan(np.hypot(80, 60) * np.radians(0.1))
    assert pixel_area(wide, 180.0, 160.0) == pytest.approx(np.radians(0.1)**2 * np.cos(r)**3, rel=1e-3)


@settings(max_examples=40)
@given(st.sampled_from(["SIN", "TAN", "ARC", "ZEA", "STG", "CAR"]), st.floats(0, 360), st.floats(-75, 75),
       st.booleans(), st.integers(1, 300), st.integers(1, 300))
def test_make_wcs(projection, lon, lat, galactic, ny, nx):
    centre = SkyCoord(lon * u.deg, lat * u.deg, frame="galactic" if galactic else "icrs")
    wcs = make_wcs(centre, (ny, nx), 2 * u.arcsec, projection=projection)
    assert wcs.array_shape == (ny, nx) and wcs.wcs.ctype[0].startswith("GLON" if galactic else "RA")
    middle = wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2)
    assert middle.icrs.separation(centre.icrs) < 1 * u.mas
    x, y = icrs_to_pixel(wcs, *pixel_to_icrs(wcs, 3.25, 7.5))
    assert (x, y) == pytest.approx((3.25, 7.5), abs=1e-5)
    up = wcs.pixel_to_world((nx - 1) / 2, (ny + 1) / 2)
    assert middle.position_angle(up).wrap_at(180 * u.deg).deg == pytest.approx(0, abs=1e-3)


def test_centers_and_sizes():
    for center in ("150.1 2.2", "10h00m24s +2d12m00s", "10:00:24 +02:12:00", SkyCoord(150.1 * u.deg, 2.2 * u.deg)):
        wcs = make_wcs(center, 32, 1 * u.arcsec)
        assert wcs.wcs.crval == pytest.approx([150.1, 2.2]) and wcs.array_shape == (32, 32)
    fk4 = SkyCoord(150.1 * u.deg, 2.2 * u.deg, frame="fk4")
    assert make_wcs(fk4, 8, 1 * u.arcsec).wcs.crval == pytest.approx([fk4.icrs.ra.deg, fk4.icrs.dec.deg])


def test_four_axes():
    header = fits.Header()
    header["NAXIS"] = 4
    for k, (ctype, size) in enumerate((("STOKES", 1), ("DEC--SIN", 30), ("FREQ", 1), ("RA---SIN", 40)), 1):
        header[f"NAXIS{k}"], header[f"CTYPE{k}"] = size, ctype
        header[f"CDELT{k}"], header[f"CRVAL{k}"], header[f"CRPIX{k}"] = 1e-3, 10.0, 5.0
    header["CDELT4"] = -1e-3
    sky = celestial(header)
    assert sky.naxis == 2 and image_shape(sky) in ((40, 30), (30, 40))
    x, y = icrs_to_pixel(sky, 10.0, 10.0)
    assert (x, y) == pytest.approx((4.0, 4.0))
    wcs = WCS(header)
    assert celestial(wcs).naxis == 2 and wcs.naxis == 4
    assert image_shape(sky, (7, 9)) == (7, 9) and image_shape(sky, [np.int32(7), 9]) == (7, 9)


def bare(shape=None):
    wcs = wcs_of("SIN", [0.0, 0.0])
    wcs.array_shape = shape
    return wcs


def planet():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["HPLN-TAN", "HPLT-TAN"]
    return wcs


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: celestial(3), TypeError, "wcs must be an astropy.wcs.WCS or a FITS header, got int"),
    (lambda: celestial(WCS(naxis=1)), ValueError,
     r"wcs must have a celestial pair of axes \(such as RA---SIN and DEC--SIN\), got axes \[''\]"),
    (lambda: celestial(fits.Header()), ValueError, "wcs must have a celestial pair of axes"),
    (lambda: celestial(planet()), ValueError,
     r"wcs must be in a frame of the sky .* got axes \['HPLN-TAN', 'HPLT-TAN'\]"),
    (lambda: image_shape(bare()), ValueError,
     r"shape must be given as \(ny, nx\), since the wcs has no array_shape"),
    (lambda: image_shape(bare(), 5), TypeError, r"shape must be a pair \(ny, nx\), got 5"),
    (lambda: image_shape(bare(), (1, 2, 3)), TypeError, r"shape must be a pair \(ny, nx\), got \(1, 2, 3\)"),
    (lambda: image_shape(bare(), (5, 0)), ValueError, r"shape \(nx\) must be at least 1, got 0"),
    (lambda: image_shape(bare(), (2.0, 5)), TypeError, r"shape \(ny\) must be a whole number, got 2.0"),
    (lambda: make_wcs("nowhere", 8, 1 * u.arcsec), ValueError, "center must be a position such as .* got 'nowhere'"),
    (lambda: make_wcs(3, 8, 1 * u.arcsec), TypeError, "center must be a SkyCoord or a string 'RA DEC', got 3"),
    (lambda: make_wcs(SkyCoord([1, 2] * u.deg, [1, 2] * u.deg), 8, 1 * u.arcsec), ValueError,
     "center must be one position, got 2"),
    (lambda: make_wcs("1 95", 8, 1 * u.arcsec), ValueError, "center must be a position such as .* got '1 95'"),
    (lambda: make_wcs("1 2", 0, 1 * u.arcsec), ValueError, "size must be at least 1, got 0"),
    (lambda: make_wcs("1 2", 8, 1 * u.Jy), u.UnitConversionError, "pixel_scale must be in units convertible to deg"),
    (lambda: make_wcs("1 2", 8, -1 * u.arcsec), ValueError, "pixel_scale must be positive"),
    (lambda: make_wcs("1 2", 8, 1 * u.arcsec, projection="SINE"), ValueError,
     r"projection must be one of .* got 'SINE' \(did you mean 'SIN'\?\)"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
