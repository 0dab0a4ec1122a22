"""Positions: uniform on the sphere, whatever the grid."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from scipy.stats import chisquare, kstest

from skygal.population import image_area, sample_positions
from skygal.wcs import icrs_to_pixel, make_wcs


def grid(projection, center="150 40", size=(600, 900), scale=0.05, galactic=False):
    if galactic:
        center = SkyCoord(center, unit="deg").galactic
    return make_wcs(center, size, scale * u.deg, projection=projection)


def all_sky(n=360):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---CAR", "DEC--CAR"]
    wcs.wcs.cdelt = [-360 / n, 360 / n]
    wcs.wcs.crpix = [(n + 1) / 2, (n / 2 + 1) / 2]
    wcs.wcs.crval = [0, 0]
    wcs.wcs.set()
    return wcs, (n // 2, n)


WIDE = {
    "SIN": grid("SIN"), "TAN": grid("TAN"), "ZEA": grid("ZEA"), "CAR": grid("CAR"),
    "galactic SIN": grid("SIN", galactic=True), "galactic CAR": grid("CAR", center="30 -10", galactic=True),
    "pole": grid("TAN", center="0 90", size=(600, 600)), "wide TAN": grid("TAN", size=(1500, 2000)),
    "stripe": grid("CAR", center="10 50", size=(40, 3000)),
}


@pytest.mark.parametrize("name", WIDE)
def test_as_many_in_equal_areas(name):
    """Against points that are uniform on the whole sphere and happen to fall in the image."""
    wcs = WIDE[name]
    ny, nx = wcs.array_shape
    ra, dec = sample_positions(wcs, (ny, nx), 20000, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    z, lon = rng.uniform(-1, 1, 800_000), rng.uniform(0, 360, 800_000)
    x, y = icrs_to_pixel(wcs, lon, np.degrees(np.arcsin(z)))
    with np.errstate(invalid="ignore"):
        inside = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
    assert kstest(np.sin(np.radians(dec)), z[inside]).pvalue > 1e-3
    assert kstest(ra, lon[inside]).pvalue > 1e-3
    px, py = icrs_to_pixel(wcs, ra, dec)
    assert px.min() >= -0.5 - 1e-6 and px.max() <= nx - 0.5 + 1e-6
    assert py.min() >= -0.5 - 1e-6 and py.max() <= ny - 0.5 + 1e-6
    share = inside.mean()
    assert image_area(wcs, (ny, nx)) == pytest.approx(4 * np.pi * share, rel=5 / np.sqrt(inside.sum()))


def test_all_sky():
    wcs, shape = all_sky()
    ra, dec = sample_positions(wcs, shape, 5000, np.random.default_rng(1))
    assert kstest(np.sin(np.radians(dec)), "uniform", (-1, 2)).pvalue > 1e-3
    assert kstest(ra, "uniform", (0, 360)).pvalue > 1e-3
    assert image_area(wcs, shape) == pytest.approx(4 * np.pi, rel=1e-3)


def test_hemisphere_with_empty_corners():
    wcs = grid("SIN", center="80 20", size=(130, 130), scale=1.0)
    ra, dec = sample_positions(wcs, (130, 130), 4000, np.random.default_rng(1))
    distance = SkyCoord(80, 20, unit="deg").separation(SkyCoord(ra, dec, unit="deg"))
    # on a hemisphere cos(distance) is uniform
    assert kstest(np.cos(distance.rad), "uniform", (0, 1)).pvalue > 1e-3
    assert image_area(wcs, (130, 130)) == pytest.approx(2 * np.pi, rel=2e-3)


@pytest.mark.parametrize("name", ["TAN", "wide TAN"])
def test_only_where_the_mask_allows(name):
    wcs = WIDE[name]
    mask = np.zeros(wcs.array_shape, bool)
    mask[50:150, 100:200], mask[300:310, 500:900] = True, True
    ra, dec = sample_positions(wcs, mask.shape, 4000, np.random.default_rng(1), mask=mask)
    x, y = (np.rint(v).astype(int) for v in icrs_to_pixel(wcs, ra, dec))
    assert mask[y, x].all()
    whole = np.ones_like(mask)
    parts = [image_area(wcs, mask.shape, mask=m) for m in (mask, ~mask)]
    assert sum(parts) == pytest.approx(image_area(wcs, mask.shape, mask=whole), rel=1e-6)
    first = image_area(wcs, mask.shape, mask=mask & (np.arange(mask.shape[0]) < 200)[:, None]) / parts[0]
    count = (y < 200).sum()
    assert chisquare([count, 4000 - count], [4000 * first, 4000 * (1 - first)]).pvalue > 1e-3


def test_one_allowed_pixel():
    wcs = WIDE["TAN"]
    mask = np.zeros(wcs.array_shape, bool)
    mask[17, 31] = True
    x, y = icrs_to_pixel(wcs, *sample_positions(wcs, mask.shape, 100, np.random.default_rng(1), mask=mask))
    assert np.all((np.rint(x) == 31) & (np.rint(y) == 17))
    assert kstest(x, "uniform", (30.5, 1)).pvalue > 1e-3


@pytest.mark.parametrize("name", ["TAN", "wide TAN"])
def test_first_do_not_depend_on_the_number(name):
    wcs = WIDE[name]
    few, many = (sample_positions(wcs, wcs.array_shape, n, np.random.default_rng(1)) for n in (10, 70000))
    np.testing.assert_array_equal(few, np.array(many)[:, :10])


def test_uniform_over_the_pixels_of_a_small_image():
    wcs = grid("SIN", size=(50, 50), scale=1 / 3600)
    x, y = icrs_to_pixel(wcs, *sample_positions(wcs, (50, 50), 5000, np.random.default_rng(1)))
    assert kstest(x, "uniform", (-0.5, 50)).pvalue > 1e-3
    assert kstest(y, "uniform", (-0.5, 50)).pvalue > 1e-3


def test_area_of_a_small_image():
    wcs = make_wcs("150 2", (100, 300), 2 * u.arcsec)
    expected = (100 * 300 * (2 * u.arcsec)**2).to_value(u.sr)
    assert image_area(wcs, (100, 300)) == pytest.approx(expected, rel=1e-5)


def test_none():
    ra, dec = sample_positions(WIDE["TAN"], (10, 10), 0, np.random.default_rng(1))
    assert ra.shape == dec.shape == (0,)


def test_no_sky():
    wcs = grid("SIN", size=(20, 20), scale=0.5)
    wcs.wcs.crpix = [5000, 5000]
    with pytest.raises(ValueError, match=r"wcs must have sky inside the image, got none .* shape \(20, 20\)"):
        sample_positions(wcs, (20, 20), 1, np.random.default_rng(1))
    with pytest.raises(ValueError, match="where mask is True"):
        sample_positions(wcs, (20, 20), 1, np.random.default_rng(1), mask=np.ones((20, 20), bool))
    assert image_area(wcs, (20, 20)) == 0


def test_bad_masks():
    def draw(mask):
        return sample_positions(WIDE["TAN"], (4, 4), 1, np.random.default_rng(1), mask=mask)

    with pytest.raises(TypeError, match="mask must be an array of bool, got float64"):
        draw(np.ones((4, 4)))
    with pytest.raises(ValueError, match=r"mask must have the image's shape \(4, 4\), got \(4, 5\)"):
        draw(np.ones((4, 5), bool))
    with pytest.raises(ValueError, match="mask must allow at least one pixel"):
        draw(np.zeros((4, 4), bool))
