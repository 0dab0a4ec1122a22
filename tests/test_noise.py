"""Noise: the asked rms, the beam's autocorrelation, the same pixels however it is made."""

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from radio_beam import Beam
from scipy import stats

from skygal.observation.beam import FWHM, TargetBeam
from skygal.observation.beam_nodes import BeamNodes
from skygal.rendering.noise import correlation_kernel, make_noise, noise_window, white_noise
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
    for border in (127, 511, 1023, 1535):
        assert steps[border] == pytest.approx(steps.mean(), rel=0.4)


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


def test_white_noise_is_normal_and_independent():
    key = np.array([7, 9], np.uint64)
    tiles = np.array([white_noise(key, row, column) for row in range(-4, 4) for column in range(-4, 4)], float)
    values = tiles.ravel()
    assert tiles.shape == (64, 128, 128) and len(np.unique(tiles[:, 0, 0])) == 64
    # a million numbers: each statistic within four of its standard errors
    n = values.size
    assert abs(values.mean()) < 4 / np.sqrt(n)
    assert values.var() == pytest.approx(1, abs=4 * np.sqrt(2 / n))
    assert abs(stats.skew(values)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(values)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(values, "norm").pvalue > 1e-3
    tail = np.count_nonzero(np.abs(values) > 4)
    assert tail == pytest.approx(n * 2 * stats.norm.sf(4), abs=4 * np.sqrt(n * 2 * stats.norm.sf(4)))
    for shifted in (np.roll(tiles, 1, 0), np.roll(tiles, 1, 1), np.roll(tiles, 1, 2), np.roll(tiles, 64, 1)):
        assert abs(np.mean(tiles * shifted)) < 4 / np.sqrt(n)
        assert abs(np.mean((tiles**2 - 1) * (shifted**2 - 1))) < 4 * 2 / np.sqrt(n)


def varying(shape=(900, 1300)):
    """A beam that is three times as wide, and turned, at the image's right."""
    x, y = np.array([0.0, 512, 1024, shape[1] - 1]), np.array([0.0, 512, shape[0] - 1])
    covariance = np.empty((3, 4, 2, 2))
    for j in range(3):
        for i in range(4):
            turn = 0.3 * j + 0.4 * i
            axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            covariance[j, i] = axes @ np.diag([(2 + i) ** 2, 1.5**2 * (1 + j)]) @ axes.T
    return TargetBeam.from_nodes(BeamNodes(x, y, covariance), PIXEL)


BEAMS = {"one": gaussian(9, 6, -20), "varying": varying()}


@pytest.mark.parametrize("beam", BEAMS.values(), ids=BEAMS)
def test_any_window_has_the_same_bits(beam):
    whole = noise_window((-200, 900, -40, 1300), beam, 2.0, Seeds(5), workers=2)

    @settings(max_examples=12, deadline=None)
    @given(st.integers(-200, 899), st.integers(-40, 1299), st.integers(1, 600), st.integers(1, 600))
    def check(y0, x0, high, wide):
        y1, x1 = min(y0 + high, 900), min(x0 + wide, 1300)
        part = noise_window((y0, y1, x0, x1), beam, 2.0, Seeds(5), workers=1)
        np.testing.assert_array_equal(part, whole[y0 + 200:y1 + 200, x0 + 40:x1 + 40])

    check()
    np.testing.assert_array_equal(make_noise((300, 200), beam, 2.0, Seeds(5)), whole[200:500, 40:240])


def test_channels_are_independent():
    first, second = (make_noise((1024, 1024), BEAMS["one"], 1.0, Seeds(5), channel=k).astype(float) for k in (0, 1))
    # some 40 pixels go to one independent value
    assert abs(np.mean(first * second)) < 4 * np.sqrt(40 / first.size)
    assert first.std() == pytest.approx(second.std(), rel=0.02)


def test_noise_of_a_varying_beam():
    beam, rms, shape = BEAMS["varying"], 3e-5, (900, 1300)
    draws = np.array([make_noise(shape, beam, rms, Seeds(k)) for k in range(14)], float) / rms
    # the rms is the one asked for at nodes, between them, and at the blocks' borders
    for rows in (slice(0, 40), slice(236, 276), slice(492, 532), slice(860, 900)):
        for columns in (slice(0, 80), slice(216, 296), slice(472, 552), slice(728, 808), slice(984, 1064)):
            part = draws[:, rows, columns]
            area = 2 * np.pi * np.sqrt(np.linalg.det(2 * beam.at([columns.start + 40], [rows.start + 20])[0][0]))
            assert part.std() == pytest.approx(1, abs=4 * np.sqrt(area / part.size / 2))
    # pixels side by side are as alike as the local beam's autocorrelation says
    for x, y in ((40, 40), (512, 512), (1024, 60), (700, 300), (256, 850)):
        covariance = beam.at([x], [y])[0][0]
        inverse = np.linalg.inv(covariance)
        near = draws[:, max(y - 30, 0):y + 30, x - 30:x + 30]
        for dx, dy in ((1, 0), (0, 1), (2, 2), (3, -1)):
            a = near[:, max(-dy, 0):near.shape[1] - max(dy, 0), :near.shape[2] - dx]
            b = near[:, max(dy, 0):near.shape[1] + min(dy, 0), dx:]
            expected = np.exp(-np.array([dx, dy]) @ inverse @ np.array([dx, dy]) / 4)
            assert np.mean(a * b) == pytest.approx(expected, abs=0.07), (x, y, dx, dy)


def test_a_varying_beam_that_does_not_vary_gives_the_same_noise():
    beam = BEAMS["one"]
    nodes = BeamNodes(np.array([0.0, 700, 899]), np.array([0.0, 600]), np.broadcast_to(beam.covariance, (2, 3, 2, 2)))
    alike = TargetBeam.from_nodes(nodes, PIXEL)
    np.testing.assert_allclose(make_noise((600, 900), alike, 1.0, Seeds(2)),
                               make_noise((600, 900), beam, 1.0, Seeds(2)), atol=3e-6)
