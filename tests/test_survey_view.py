"""FIRST's noise, its clip in whole steps, and turned images."""

import numpy as np
import pytest

from skygal.stamps.survey_view import clip_to_white, noise_power, sample_noise, sample_skies, turn_image

SIGMA = 3 / 2.3548200450309493


def test_noise_has_unit_rms_and_the_asked_spectrum():
    fields = sample_noise(64, (64, 64), beam_sigma=SIGMA, rng=np.random.default_rng(0))
    assert fields.dtype == np.float32
    assert fields.std() == pytest.approx(1, abs=0.01)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    found = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0)
    asked = noise_power(k, SIGMA)
    for low, high in ((0.05, 0.1), (0.1, 0.2), (0.2, 0.3)):
        here, below = (k >= low) & (k < high), (k >= 0.05) & (k < 0.3)
        assert found[here].sum() / found[below].sum() == pytest.approx(asked[here].sum() / asked[below].sum(), rel=0.05)
    # on small scales it is as smooth as the beam, autocorrelation 0.73 at one pixel
    assert (fields[:, :, 1:] * fields[:, :, :-1]).mean() == pytest.approx(0.73, abs=0.03)


def test_odd_frames_have_unit_rms_too():
    fields = sample_noise(64, (33, 47), beam_sigma=SIGMA, rng=np.random.default_rng(0))
    assert fields.std() == pytest.approx(1, abs=0.02)


def test_a_clip_is_subtracted_and_cut_to_whole_steps():
    image = np.array([-1.0, 0.9, 1.0, 1.0 + 1.2 / 255, 1.5, 2.0, 2.4])
    assert clip_to_white(image, 1.0, 2.0).tolist() == [0, 0, 0, 1, 127, 255, 255]
    # values that were whole before, but for rounding, stay what they were
    steps = np.arange(256)
    assert (clip_to_white((steps / 255 * 0.7 + 0.3).astype(np.float64), 0.3, 1.0, slack=1e-6) == steps).all()
    assert not clip_to_white(image, 3.0, 2.0).any()


def test_an_axis_comes_to_lie_along_the_rows():
    y, x = np.indices((41, 41), float)
    angle, centre = 0.6, (22.0, 17.0)
    along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    rod = np.exp(-0.5 * ((along / 6) ** 2 + (across / 2) ** 2))
    turned = turn_image(rod, (31, 51), centre, (np.cos(angle), np.sin(angle)))
    yy, xx = np.indices((31, 51), float) - np.array([15.0, 25.0])[:, None, None]
    inside = np.hypot(xx, yy) < 14
    expected = np.exp(-0.5 * ((xx / 6) ** 2 + (yy / 2) ** 2))
    np.testing.assert_allclose(turned[inside], expected[inside], atol=5e-3)
    moved = turn_image(rod, (31, 51), centre, (np.cos(angle), np.sin(angle)), offset=(3, -2))
    assert np.unravel_index(moved.argmax(), moved.shape) == (13, 28)


def test_skies_have_the_noise_asked_for_and_every_angle():
    y, x = np.indices((33, 49), float) - np.array([16.0, 24.0])[:, None, None]
    rod = np.exp(-0.5 * ((x / 6) ** 2 + (y / 2) ** 2)).astype(np.float32)
    skies = np.stack(list(sample_skies(5 * np.stack([rod] * 70), np.full(70, 0.02), 80, beam_sigma=SIGMA,
                                       rng=np.random.default_rng(0))))
    assert skies.shape == (70, 80, 80) and skies[:, :12].std() == pytest.approx(0.02, rel=0.05)
    # half a pixel from the middle along both axes
    assert skies[:, 39:41, 39:41].mean() == pytest.approx(np.exp(-0.5 * (0.25 / 36 + 0.25 / 4)), abs=0.02)
    yy, xx = np.indices((80, 80)) - 39.5
    bright = np.where(skies > 0.2, skies, 0)
    angle = 0.5 * np.arctan2(2 * (bright * xx * yy).sum(axis=(1, 2)), (bright * (xx**2 - yy**2)).sum(axis=(1, 2)))
    assert np.histogram(angle, bins=4, range=(-np.pi / 2, np.pi / 2))[0].min() > 7
