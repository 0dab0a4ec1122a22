"""Moments against closed forms and under shifts, flips and scalings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skygal.morphology.moments import measure_moments


def gaussian(ny, nx, x, y, cov, flux=1.0):
    yy, xx = np.indices((ny, nx))
    step = np.stack([xx - x, yy - y], axis=-1)
    power = np.einsum("yxi,ij,yxj->yx", step, np.linalg.inv(cov), step)
    return flux * np.exp(-0.5 * power) / (2 * np.pi * np.sqrt(np.linalg.det(cov)))


@given(x=st.floats(38, 42), y=st.floats(28, 32), a=st.floats(2, 4), b=st.floats(2, 4), angle=st.floats(0, 3.14),
       flux=st.floats(1e-3, 1e3))
def test_gaussian_has_its_own_moments(x, y, a, b, angle, flux):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cov = turn @ np.diag([a**2, b**2]) @ turn.T
    found, centre, covariance = measure_moments(gaussian(61, 81, x, y, cov, flux)[None])
    assert found[0] == pytest.approx(flux, rel=1e-6)
    np.testing.assert_allclose(centre[0], [x, y], atol=1e-5)
    np.testing.assert_allclose(covariance[0], cov, atol=1e-4)


def test_transposing_swaps_the_axes():
    images = np.random.default_rng(0).random((5, 7, 9)).astype(np.float32)
    flux, centre, covariance = measure_moments(images)
    flux_t, centre_t, covariance_t = measure_moments(images.transpose(0, 2, 1))
    np.testing.assert_allclose(flux, flux_t)
    np.testing.assert_allclose(centre, centre_t[:, ::-1])
    np.testing.assert_allclose(covariance, covariance_t[:, ::-1, ::-1], atol=1e-12)


def test_covariance_is_that_of_the_sample():
    counts = np.random.default_rng(1).integers(0, 5, (1, 6, 8))
    yy, xx = np.indices(counts.shape[1:])
    sample = np.repeat(np.stack([xx.ravel(), yy.ravel()]), counts[0].ravel(), axis=1)
    _, centre, covariance = measure_moments(counts)
    np.testing.assert_allclose(centre[0], sample.mean(axis=1))
    np.testing.assert_allclose(covariance[0], np.cov(sample, bias=True))


def test_blank_image_has_no_centre():
    flux, centre, covariance = measure_moments(np.zeros((2, 4, 4)))
    assert flux.tolist() == [0, 0]
    assert np.isnan(centre).all() and np.isnan(covariance).all()


def test_no_images():
    flux, centre, covariance = measure_moments(np.zeros((0, 4, 4)))
    assert flux.shape == (0,) and centre.shape == (0, 2) and covariance.shape == (0, 2, 2)


def test_wrong_shape():
    with pytest.raises(ValueError, match=r"images must have shape \(n, ny, nx\), got \(4, 4\)"):
        measure_moments(np.zeros((4, 4)))
