"""Noise: the asked rms, the beam's autocorrelation, the same pixels however it is made."""

import numpy as np
import pytest
from astropy import units as u
from radio_beam import Beam

from skygal.rendering.beam import FWHM, TargetBeam
from skygal.rendering.noise import correlation_kernel, make_noise
from skygal.seeds import Seeds

PIXEL = np.diag([-1.0, 1.0]) / 1.8      # pixels per arcsec east, north


def gaussian(major, minor, pa):
    return TargetBeam.from_beam(Beam(major * u.arcsec, minor * u.arcsec, pa * u.deg), PIXEL)


def autocorrelation(image):
    power = np.abs(np.fft.rfft2(image)) ** 2
    result = np.fft.irfft2(power)
    return result / result[0, 0]


def test_rms_and_autocorrelation_are_the_beams():
    major, minor, pa = 7.2, 5.4, 30.0
    noise = make_noise((2048, 2048), gaussian(major, minor, pa), 1.5e-4, Seeds(3)).astype(float)
    assert noise.std() == pytest.approx(1.5e-4, rel=0.01)
    assert abs(noise.mean()) < 0.02 * 1.5e-4
    found = autocorrelation(noise)
    # the beam's own, written out on the sky: a Gaussian of sqrt(2) its width, long axis along pa
    a = np.radians(pa)
    for dy in range(-6, 7):
        for dx in range(-6, 7):
            east, north = -1.8 * dx, 1.8 * dy
            along, across = east * np.sin(a) + north * np.cos(a), east * np.cos(a) - north * np.sin(a)
            expected = np.exp(-(along**2 / (major / FWHM) ** 2 + across**2 / (minor / FWHM) ** 2) / 4)
            assert found[dy, dx] == pytest.approx(expected, abs=0.02), (dx, dy)


def test_pixels_do_not_depend_on_size_nor_on_threads():
    beam = gaussian(9, 6, -20)
    large = make_noise((1500, 1300), beam, 1.0, Seeds(5), workers=3)
    small = make_noise((700, 1100), beam, 1.0, Seeds(5), workers=1)
    np.testing.assert_array_equal(small, large[:700, :1100])
    assert not np.array_equal(small, make_noise((700, 1100), beam, 1.0, Seeds(6)))


def test_blocks_join_without_a_seam():
    # across the border of two blocks neighbours are as alike as anywhere else
    noise = make_noise((256, 2048), gaussian(9, 9, 0), 1.0, Seeds(1)).astype(float)
    steps = np.mean(np.diff(noise, axis=1) ** 2, axis=0)
    assert steps[1023] == pytest.approx(steps.mean(), rel=0.4)


def test_psf_noise_has_the_autocorrelation_of_the_psf():
    y, x = np.mgrid[-40:41, -40:41]
    r = np.hypot(x, y)
    psf = np.exp(-r**2 / 8) + 0.08 * np.exp(-(r - 14) ** 2 / 6)
    target = TargetBeam.from_psf(psf, PIXEL)
    noise = make_noise((2048, 2048), target, 2.0, Seeds(8)).astype(float)
    assert noise.std() == pytest.approx(2.0, rel=0.01)
    own = np.zeros((256, 256))
    own[:81, :81] = psf
    expected, found = autocorrelation(own), autocorrelation(noise)
    for d in ((0, 3), (3, 0), (5, 5), (0, 14), (10, 10)):
        assert found[d] == pytest.approx(expected[d], abs=0.02)


def test_kernel_keeps_variance():
    assert np.sum(correlation_kernel(gaussian(12, 6, 70)) ** 2) == pytest.approx(1, abs=1e-12)
