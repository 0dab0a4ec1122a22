"""Maps that go on beyond 180 degrees of their reference longitude, and frames: nothing left out, nothing moved."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from radio_beam import Beam

import skygal
from skygal.io.header_wcs import celestial
from skygal.io.headers import field_header
from skygal.wcs import icrs_to_pixel, on_sky, pixel_affine, pixel_to_icrs

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")

SHAPE = (60, 100)
CODES = ["CAR", "CEA", "CYP", "MER", "HPX", "SFL", "PAR", "MOL"]
#: longitude and latitude of a place in the plane of a projection (degrees), by hand (2002A&A...395.1077C)
FORMULAS = {
    "CAR": lambda x, y: (x, y),
    "CEA": lambda x, y: (x, np.degrees(np.arcsin(np.radians(y)))),
    "MER": lambda x, y: (x, 2 * np.degrees(np.arctan(np.exp(np.radians(y)))) - 90),
    "SFL": lambda x, y: (x / np.cos(np.radians(y)), y),
    "PAR": lambda x, y: (x / (1 - 4 * (y / 180) ** 2), 3 * np.degrees(np.arcsin(y / 180))),
}


def grid(code, along, up=0.0, *, names=("RA--", "DEC-"), crval=(0.0, 0.0), cdelt=(-0.5, 0.5), turn=0.0, shape=SHAPE):
    """Return a grid whose middle lies some degrees along longitude from its reference."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.crval = [f"{name}-{code}" for name in names], cdelt, crval
    t = np.radians(turn)
    wcs.wcs.pc = [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]
    if code == "CYP":
        wcs.wcs.set_pv([(2, 1, 1.0), (2, 2, 0.8)])
    middle = np.array([(shape[1] + 1) / 2, (shape[0] + 1) / 2])
    wcs.wcs.crpix = middle - np.linalg.inv(wcs.pixel_scale_matrix) @ (along, up)
    wcs.array_shape = shape
    wcs.wcs.set()
    return wcs


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("more", [{"names": ("GLON", "GLAT"), "turn": 30.0}, {"crval": (120, 0), "cdelt": (0.5, 0.7)},
                                  {"up": 20}])
@pytest.mark.parametrize("along", [170, -190, 200, 700])
def test_every_pixel_has_a_place_and_the_place_that_pixel(code, more, along):
    wcs = grid(code, along, **more)
    y, x = np.mgrid[:SHAPE[0], :SHAPE[1]].astype(float)
    if code != "HPX" or not more.get("up"):                      # which has gaps off its equator
        assert on_sky(wcs, SHAPE) is None
    ra, dec = pixel_to_icrs(wcs, x, y)
    known = np.isfinite(ra)
    np.testing.assert_allclose(icrs_to_pixel(wcs, ra[known], dec[known]), [x[known], y[known]], atol=1e-6)


@pytest.mark.parametrize("code", list(FORMULAS))
@pytest.mark.parametrize("along", [170, 205, -260, 700])
def test_places_by_the_formula(code, along):
    wcs = grid(code, along, 10)
    y, x = np.mgrid[:SHAPE[0]:7, :SHAPE[1]:7].astype(float)
    lon, lat = FORMULAS[code](along - (x - 49.5) / 2, 10 + (y - 29.5) / 2)
    ra, dec = pixel_to_icrs(wcs, x, y)
    assert SkyCoord(ra, dec, unit="deg").separation(SkyCoord(lon % 360, lat, unit="deg")).max() < 1e-6 * u.arcsec


@pytest.mark.parametrize("code", ["CAR", "CEA"])
def test_fields_do_not_depend_on_where_the_reference_is(code):
    """Half of this image is beyond 180 degrees of it; moved into the image, it makes the same grid."""
    far, near = grid(code, 180, 20, cdelt=(-0.2, 0.2)), grid(code, 0, 20, crval=(180, 0), cdelt=(-0.2, 0.2))
    more = {"beam": 0.8 * u.deg, "flux": (1 * u.Jy, 9 * u.Jy), "las": (1 * u.deg, 3 * u.deg), "seed": 3}
    first, second = (skygal.simulate_field(wcs, 40, noise=0.01 * u.Jy, **more) for wcs in (far, near))
    for name in ("x", "y"):
        np.testing.assert_allclose(first.truth[name], second.truth[name], atol=1e-6)
    np.testing.assert_allclose(first.image, second.image, atol=1e-4 * second.image.max())
    assert np.ptp(first.truth["x"]) > 80
    # the shape may come with the call, and without the grid
    far.array_shape = None
    again = skygal.simulate_field(far, 40, shape=SHAPE, noise=0.01 * u.Jy, **more)
    np.testing.assert_array_equal(again.image, first.image)
    noise = np.random.default_rng(0).normal(0, 0.01, SHAPE)
    one, other = (skygal.inject(noise, 40, wcs=wcs, unit="Jy/beam", frequency=1 * u.GHz, **more) for wcs in (far, near))
    np.testing.assert_allclose(one.image, other.image, atol=1e-4 * other.image.max())


def test_where_the_seam_runs_through_a_source():
    wcs = grid("CAR", 180, cdelt=(-0.2, 0.2))
    for x in (49.4, 49.5, 49.6):
        found = pixel_affine(wcs, *pixel_to_icrs(wcs, x, 29.5))[0] * 3600
        np.testing.assert_allclose(found, [[-5, 0], [0, 5]], atol=1e-3)


@pytest.mark.parametrize("code", ["SFL", "MOL", "PAR", "AIT"])
def test_the_corners_of_an_all_sky_map_are_no_sky(code):
    wcs = grid(code, 3, shape=(362, 722))
    y, x = np.mgrid[:362, :722]
    known = np.isfinite(wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)[0]).reshape(362, 722)
    found = on_sky(wcs, (362, 722))
    # beside the reference's own edge, half of a pixel's column may be on the other side
    assert (found & ~known).sum() < 200 and not (known & ~found).any()


def test_pixels_that_show_the_sky_again_are_counted():
    wcs = grid("CAR", 20, shape=(60, 800))
    with pytest.warns(UserWarning, match="wcs has 4800 of the image's 48000 pixels on sky that other pixels show"):
        found = on_sky(wcs, (60, 800))
    assert (~found).sum() == 4800


def frame(names, radesys, equinox, **more):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = [f"{name}-SIN" for name in names], [85, -20], [-5e-4, 5e-4]
    wcs.wcs.crpix = [50, 50]
    for name, value in {"radesys": radesys, "equinox": equinox, **more}.items():
        if value is not None:
            setattr(wcs.wcs, name, value)
    wcs.array_shape = (100, 100)
    return wcs


RADEC = ("RA--", "DEC-")


@pytest.mark.parametrize("names, radesys, equinox, frame_name", [
    (RADEC, None, None, "icrs"), (RADEC, None, 1950.0, "fk4"), (RADEC, None, 2000.0, "fk5"),
    (RADEC, "ICRS", 1950.0, "icrs"), (RADEC, "FK5", None, "fk5"), (RADEC, "FK5", 1975.3, "fk5"),
    (RADEC, "FK5", 2016.0, "fk5"), (RADEC, "FK4", None, "fk4"), (RADEC, "FK4", 1975.3, "fk4"),
    (RADEC, "FK4-NO-E", None, "fk4noeterms"), (RADEC, "FK4-NO-E", 1950.0, "fk4noeterms"),
    (RADEC, "FK4-NO-E", 1975.3, "fk4noeterms"), (RADEC, "FK4-NO-E", 2000.0, "fk4noeterms"),
    (("GLON", "GLAT"), None, None, "galactic"), (("GLON", "GLAT"), "FK5", 2000.0, "galactic")])
@pytest.mark.parametrize("date", [{}, {"mjdobs": 40000.0, "dateobs": "1968-05-24"}])
def test_frames_come_back(names, radesys, equinox, frame_name, date):
    wcs = frame(names, radesys, equinox, **date)
    header = field_header(wcs, beam=Beam(5 * u.arcsec), frequency=1.4 * u.GHz)
    year = {} if equinox is None or frame_name in ("icrs", "galactic") else \
        {"equinox": f"{'J' if frame_name == 'fk5' else 'B'}{equinox}"}
    expected = SkyCoord(85 * u.deg, -20 * u.deg, frame=frame_name, **year).icrs
    for each in (celestial(wcs), celestial(header)):
        found = SkyCoord(*pixel_to_icrs(each, 49, 49), unit="deg")
        assert found.separation(expected) < 1e-5 * u.arcsec


def test_truth_in_an_old_frame_is_where_the_image_says():
    wcs = frame(RADEC, "FK4-NO-E", 1975.0)
    one = QTable({"x": [20.0], "y": [70.0], "flux": [1.0] * u.Jy, "las": [0.1] * u.arcsec})
    field = skygal.simulate_field(wcs, table=one, beam=8 * u.arcsec, seed=1)
    there = WCS(field.header).celestial.pixel_to_world(20, 70)
    assert there.name == "fk4noeterms" and there.equinox.byear == pytest.approx(1975)
    assert there.icrs.separation(SkyCoord(field.truth["ra"], field.truth["dec"]))[0] < 1e-4 * u.arcsec


@pytest.mark.parametrize("names, radesys", [
    (RADEC, "GAPPT"), (RADEC, "J2000"), (("ELON", "ELAT"), None), (("ELON", "ELAT"), "ICRS"), (("ELON", "ELAT"), "FK5"),
    (("SLON", "SLAT"), None), (("HLON", "HLAT"), None), (("HLON", "HLAT"), "FK4"), (("TLON", "TLAT"), None),
    (("HPLN", "HPLT"), None), (("MALN", "MALT"), None)])
def test_frames_that_are_refused(names, radesys):
    said = rf"wcs must be in a frame of the sky \(ICRS, FK5, FK4, FK4-NO-E or galactic\), got axes .*{names[0]}-SIN"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=said + (f".* and RADESYS '{radesys}'" if radesys else "")):
            skygal.simulate_field(frame(names, radesys, 2000.0), 1, seed=1)


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-90, 90)), min_size=1, max_size=40))
def test_equatorial_places_are_astropys_to_the_bit(places):
    """On a grid in ICRS no frame is left, and what astropy makes of that is a longitude from 0 to 360."""
    wcs = skygal.make_wcs("12h +30d", 64, 100 * u.arcsec, projection="CAR")
    lon, lat = np.array(places).T
    sky = SkyCoord(lon * u.deg, lat * u.deg, frame="icrs").transform_to("icrs").spherical
    expected = wcs.wcs_world2pix(sky.lon.deg, sky.lat.deg, 0)
    wcs.array_shape = None      # of one turn
    np.testing.assert_array_equal(icrs_to_pixel(wcs, lon, lat), expected)
    there = SkyCoord(*(wcs.wcs_pix2world(lon, lat, 0) * u.deg), frame="icrs").icrs
    np.testing.assert_array_equal(pixel_to_icrs(wcs, lon, lat), [there.ra.deg, there.dec.deg])
