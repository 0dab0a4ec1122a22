"""Points in stamps, held to Gaussians integrated by other means."""

import numpy as np
import pytest
from astropy.modeling.models import Gaussian2D
from hypothesis import given
from hypothesis import strategies as st
from oracles import image_moments

from skygal.morphology.point import add_points

FWHM = 3.0
inside = st.tuples(st.floats(15, 48), st.floats(15, 32))


def added(place, flux, n=1, shape=(48, 64)):
    stamps = np.zeros((n, *shape), np.float32)
    return add_points(stamps, np.atleast_2d(place), np.atleast_1d(np.asarray(flux, float)), fwhm=FWHM)


@given(inside, st.floats(-0.9, 5).filter(lambda f: abs(f) > 1e-3))
def test_flux_place_and_width(place, flux):
    image = added(place, flux)[0].astype(float)
    total, middle, moments = image_moments(image)
    assert total == pytest.approx(flux, rel=1e-5)
    np.testing.assert_allclose(middle, place, atol=1e-3)
    np.testing.assert_allclose(moments, np.eye(2) * FWHM**2 / (8 * np.log(2)), atol=0.01)


@given(inside)
def test_it_is_the_gaussian_of_the_beam(place):
    sigma = FWHM / np.sqrt(8 * np.log(2))
    y, x = np.mgrid[:48, :64]
    expected = Gaussian2D(1 / (2 * np.pi * sigma**2), *place, sigma, sigma)(x, y)
    np.testing.assert_allclose(added(place, 1)[0], expected, atol=1e-4 * expected.max())


def test_what_gets_nothing_is_left_alone():
    rng = np.random.default_rng(0)
    stamps = rng.random((5, 20, 30)).astype(np.float32)
    before = stamps.copy()
    flux = np.array([0, 0.2, 0, -0.1, 0])
    out = add_points(stamps, np.full((5, 2), 10.0), flux, fwhm=FWHM)
    np.testing.assert_array_equal(stamps, before)
    np.testing.assert_array_equal(out[flux == 0], stamps[flux == 0])
    np.testing.assert_allclose((out - stamps).sum(axis=(1, 2)), flux, atol=1e-5)
    assert add_points(stamps, np.full((5, 2), 10.0), np.zeros(5), fwhm=FWHM) is stamps
    assert out.dtype == np.float32


def test_a_stamp_does_not_depend_on_its_company():
    rng = np.random.default_rng(1)
    stamps, place = rng.random((9, 20, 30)).astype(np.float32), rng.uniform(5, 15, (9, 2))
    flux = rng.uniform(-0.1, 1, 9)
    together = add_points(stamps, place, flux, fwhm=FWHM)
    for k in range(9):
        alone = add_points(stamps[k:k + 1], place[k:k + 1], flux[k:k + 1], fwhm=FWHM)
        np.testing.assert_array_equal(alone[0], together[k])


def test_all_of_it_is_in_the_stamp_even_beside_its_border():
    image = added((0.5, 46.7), 1)[0].astype(float)
    assert image.sum() == pytest.approx(1, rel=1e-5)
    y, x = np.unravel_index(np.argmax(image), image.shape)
    assert x in (0, 1) and y == 47
