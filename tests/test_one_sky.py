"""One seed is one sky, whoever looks at it."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from scipy.ndimage import gaussian_filter

import skygal

FWHM = np.sqrt(8 * np.log(2))
#: of a source, however it is seen
OWN = ("source_id", "fr_class", "ra", "dec", "ra_core", "dec_core", "las", "pa", "b_maj", "b_min", "core_frac",
       "bending", "zoom", "extent", "spectral_index", "redshift", "latent_seed")


def look(beam, las, *, pixel=0.5, size=500, **options):
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", size, pixel * u.arcsec)
    # well inside, so that nothing of them is missing from what is smoothed
    places = np.random.default_rng(2).uniform(0.25 * size, 0.75 * size, (2, len(las)))
    table = QTable({"x": places[0], "y": places[1], "las": las * u.arcsec, "flux": np.full(len(las), 10) * u.mJy})
    return skygal.simulate_field(wcs, table=table, beam=beam * u.arcsec, noise=False, seed=6, **options)


def assert_same_sources(one, other):
    for name in OWN:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), err_msg=name)
    # measured on the pixels
    np.testing.assert_allclose(one["flux"], other["flux"], rtol=1e-4)


def smoothed(field, fwhm, to, pixel=0.5):
    """Return the image with a wider beam, in Jy per that beam."""
    sigma = np.sqrt(to**2 - fwhm**2) / FWHM / pixel
    return gaussian_filter(field.model.astype(float), sigma, mode="constant", truncate=6) * (to / fwhm) ** 2


@pytest.mark.parametrize("fwhm", [1.2, 2.5, 5.4])
def test_the_coarse_view_is_the_smoothed_sharp_one(fwhm):
    las = np.linspace(2, 12, 12)
    sharp, coarse = look(fwhm, las), look(15.0, las)
    assert_same_sources(sharp.truth, coarse.truth)
    assert not sharp.truth["beam_limited"].any()
    found = smoothed(sharp, fwhm, 15.0)
    assert np.abs(found - coarse.model).max() < 1e-4 * coarse.model.max()


@pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")
def test_no_beam_is_so_sharp_that_it_changes_the_sky():
    las = np.array([3.0, 10.0, 30.0, 60.0])
    sharp, coarse = look(0.4, las, pixel=0.15), look(6.0, las, pixel=0.15)
    assert sharp.truth["beam_limited"].any() and not coarse.truth["beam_limited"].any()
    assert_same_sources(sharp.truth, coarse.truth)


def test_surveys_of_one_seed_share_their_sky():
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 512, 1.8 * u.arcsec)
    common = {"seed": 8, "flux": (1 * u.mJy, 1 * u.Jy), "las": (5 * u.arcsec, 60 * u.arcsec), "frequency": 1.4 * u.GHz}
    one = skygal.simulate_field(wcs, 30, survey="FIRST", **common).truth
    for survey in ("NVSS", "EMU", "LoTSS"):
        assert_same_sources(one, skygal.simulate_field(wcs, 30, survey=survey, **common).truth)
