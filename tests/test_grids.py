"""One sky on several grids, and its fields one at a time."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

import skygal
from skygal.simulate import iter_fields

# the second grid is the smaller one
pytestmark = pytest.mark.filterwarnings("ignore:.* sources lie outside the image")

CENTRE = "10h00m00s +20d00m00s"
WCS = [skygal.make_wcs(CENTRE, 200, 1.5 * u.arcsec), skygal.make_wcs(CENTRE, (120, 160), 1 * u.arcsec)]
ASKED = {"frequency": [1.4, 3] * u.GHz, "beam": [5, 3] * u.arcsec, "noise": [0.1, 0.05] * u.mJy / u.beam, "seed": 4,
         "flux": (1 * u.mJy, 1 * u.Jy), "las": (8 * u.arcsec, 30 * u.arcsec)}


def faint():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 199, (2, 40))
    ra, dec = WCS[0].wcs_pix2world(x, y, 0)
    return QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": rng.uniform(1, 5, 40) * u.mJy,
                   "kind": np.array(["point", "gaussian"] * 20), "b_maj": np.full(40, 3) * u.arcsec,
                   "b_min": np.full(40, 2) * u.arcsec, "spectral_index": np.full(40, -0.7)})


@pytest.fixture(scope="module")
def fields():
    return skygal.simulate_fields(WCS, 12, faint=faint(), **ASKED)


def test_each_has_its_grid(fields):
    for field, wcs in zip(fields, WCS, strict=True):
        assert field.image.shape == wcs.array_shape
        np.testing.assert_allclose(field.wcs.wcs.cdelt, wcs.wcs.cdelt)


def test_the_first_is_the_field_of_one_grid(fields):
    # the model must do for the sharper beam of the second
    same = skygal.simulate_fields(WCS[0], 12, faint=faint(), **ASKED)[0]
    np.testing.assert_array_equal(fields[0].image, same.image)


def test_sources_are_the_same_in_all(fields):
    one, other = (field.truth for field in fields)
    for name in ("source_id", "fr_class", "las", "pa", "spectral_index", "flux_requested"):
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), err_msg=name)
    plain = np.asarray(one["fr_class"]) == "none"
    for name in ("ra", "dec"):
        np.testing.assert_allclose(other[name][plain], one[name][plain], rtol=0, atol=1e-9 * u.deg)
    # outside an image flux is the formula's, inside what pixels sum to
    np.testing.assert_allclose(other["flux"][plain], one["flux"][plain] * (3 / 1.4) ** -0.7, rtol=1e-3)
    outside = np.asarray(other["flux_in_image"]) == 0
    assert outside.any() and not outside.all() and (other["peak_flux"][outside] == 0).all()


def test_what_is_seen_in_both_is_in_the_same_place(fields):
    one, other = fields
    bright = np.argmax(other.truth["peak_flux"])
    for field in fields:
        x, y = field.truth["x"][bright], field.truth["y"][bright]
        ra, dec = field.wcs.wcs_pix2world(x, y, 0)
        assert (ra, dec) == pytest.approx((field.truth["ra"][bright].value, field.truth["dec"][bright].value), abs=1e-9)
        assert field.segmentation[round(y), round(x)] > 0


@pytest.mark.parametrize("chunks", [None, 64])
def test_one_alone_is_the_same(fields, chunks):
    alone, = iter_fields(WCS, 12, faint=faint(), only=[1], chunks=chunks, **ASKED)
    for name in ("image", "model", "segmentation"):
        np.testing.assert_array_equal(np.asarray(getattr(alone, name)), getattr(fields[1], name))
    np.testing.assert_array_equal(alone.truth["flux"], fields[1].truth["flux"])


def test_bad_arguments():
    with pytest.raises(ValueError, match="wcs must be one for all or one for each of 2 frequencies, got 3"):
        iter_fields([*WCS, WCS[0]], 2, **ASKED)
    with pytest.raises(ValueError, match="only must be numbers of fields, 0 to 1, got 2"):
        iter_fields(WCS, 2, only=[2], **ASKED)
    with pytest.raises(TypeError, match="flux"):
        iter_fields(WCS, 2, **{**ASKED, "flux": object()})
