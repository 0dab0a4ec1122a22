"""Fields on any grid: what must hold whatever the projection, pixels, beam and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import angle_between, grids, sky_offsets
from radio_beam import Beam
from scipy.optimize import least_squares

import skygal
from skygal.observation.observe import make_frame

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser", "ignore:beam should be at least")


def fit_gaussian(image, east, north, start):
    """Return (peak, major, minor, pa) of a Gaussian on the sky, fitted to an image."""
    bright = image > 0.05 * image.max()
    e, n, value = east[bright], north[bright], image[bright]

    def miss(p):
        peak, e0, n0, a, b, t = p
        along = (e - e0) * np.sin(t) + (n - n0) * np.cos(t)
        across = (e - e0) * np.cos(t) - (n - n0) * np.sin(t)
        return peak * np.exp(-4 * np.log(2) * ((along / a) ** 2 + (across / b) ** 2)) - value

    peak, _, _, a, b, t = least_squares(miss, [value.max(), 0, 0, *start]).x
    return peak, a, b, np.degrees(t) % 180


@pytest.mark.parametrize("bpa", [0.0, 35.0, 120.0])
@pytest.mark.parametrize("name", list(grids()))
def test_an_unresolved_source_is_the_beam_of_the_header(name, bpa):
    wcs = grids()[name]
    point = QTable({"x": [127.0], "y": [130.0], "flux": [0.2] * u.Jy, "las": [0.05] * u.arcsec})
    field = skygal.simulate_field(wcs, table=point, beam=Beam(9 * u.arcsec, 6 * u.arcsec, bpa * u.deg), seed=1)
    header = field.header
    again = WCS(header).celestial
    # BPA is from the north of the image's own frame
    east, north = sky_offsets(again, field.image.shape, again.pixel_to_world(127, 130))
    peak, major, minor, pa = fit_gaussian(field.image.astype(float), east, north,
                                          (9.5, 5.5, np.radians(bpa + 5)))
    assert peak == pytest.approx(0.2, rel=1e-3)
    assert [major, minor] == pytest.approx([3600 * header["BMAJ"], 3600 * header["BMIN"]], rel=1e-3)
    assert angle_between(pa, header["BPA"]) < 0.05 and header["BPA"] == pytest.approx(bpa)
    assert field.truth["peak_flux"][0].value == pytest.approx(peak, rel=1e-3)


@st.composite
def fields(draw):
    """Return a WCS, a beam (Gaussian or PSF image) and a size of sources, all in reason but no more."""
    projection = draw(st.sampled_from(["SIN", "TAN", "ARC", "ZEA", "STG", "CAR", "MER", "AIT"]))
    names = draw(st.sampled_from([("RA--", "DEC-"), ("GLON", "GLAT")]))
    side = 10 ** draw(st.floats(-0.5, 1.7)) / 3600
    shape = draw(st.tuples(st.integers(8, 200), st.integers(8, 200)))
    cylinder = projection in ("CAR", "MER", "AIT")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"{name}-{projection}" for name in names]
    wcs.wcs.crval = [draw(st.sampled_from([0.0, 359.999, 77.0])),
                     0.0 if cylinder else draw(st.sampled_from([90.0, -90.0, 89.9, 30.0, -5.0]))]
    oblong = draw(st.floats(0.5, 2))
    wcs.wcs.cdelt = [draw(st.sampled_from([-1, 1])) * side * oblong, side]
    turn = draw(st.floats(0, 6.28))
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.crpix = [shape[1] * draw(st.floats(-1, 2)), shape[0] * draw(st.floats(-1, 2))]
    wcs.array_shape = shape
    wcs.wcs.set()
    minor = 3600 * side * max(oblong, 1) * draw(st.floats(2.05, 6))
    if draw(st.booleans()):
        beam = Beam(minor * draw(st.floats(1, 3)) * u.arcsec, minor * u.arcsec, draw(st.floats(0, 180)) * u.deg)
    else:
        y, x = np.mgrid[-20:21, -20:21]
        width = draw(st.floats(1, 3))
        beam = np.exp(-(x**2 + y**2 * draw(st.floats(0.6, 1))) / 2 / width**2) \
            - 0.04 * np.exp(-((np.hypot(x, y) - 4 * width) ** 2) / 8)
    given = {"beam" if isinstance(beam, Beam) else "psf": beam}
    return wcs, given, minor * 10 ** draw(st.floats(-2, 1.5)) * u.arcsec


@settings(max_examples=12)
@given(fields(), st.integers(0, 6), st.integers(0, 2**31))
def test_pixels_agree_with_truth(given_field, n, seed):
    wcs, beam, las = given_field
    field = skygal.simulate_field(wcs, n, **beam, flux=(1 * u.mJy, 1 * u.Jy), las=las, seed=seed)
    truth, image = field.truth, field.image.astype(float)
    flux, inside = truth["flux"].to_value(u.Jy), truth["flux_in_image"].to_value(u.Jy)
    area = make_frame(wcs, image.shape, **beam).beam.area
    assert image.sum() / area == pytest.approx(inside.sum(), rel=1e-5, abs=1e-8 * (1 + flux.sum()))
    np.testing.assert_allclose(flux, truth["flux_requested"].to_value(u.Jy), rtol=1e-4)
    x, y = np.asarray(truth["x"]), np.asarray(truth["y"])
    assert ((x > -0.5) & (x < image.shape[1] - 0.5) & (y > -0.5) & (y < image.shape[0] - 0.5)).all()
    again = WCS(field.header).celestial
    here = again.pixel_to_world(x, y).icrs
    assert (here.separation(SkyCoord(truth["ra"], truth["dec"])) < 1 * u.mas).all()
    if "beam" in beam:
        assert image.min() >= -1e-3 * truth["peak_flux"].value.max(initial=0)
        assert (inside <= flux * 1.001).all()
        assert (truth["peak_flux"].to_value(u.Jy / u.beam) <= flux * 1.01).all()
    assert set(np.unique(field.segmentation)) <= {0, *truth["source_id"].tolist()}
    for row in truth:
        box = [int(row[f"bbox_{end}"]) for end in ("xmin", "xmax", "ymin", "ymax")]
        own = np.nonzero(field.segmentation == row["source_id"])
        if own[0].size:
            assert box[0] <= own[1].min() and own[1].max() <= box[1]
            assert box[2] <= own[0].min() and own[0].max() <= box[3]
