"""Convolution in blocks: exact, and the same bits whatever window is asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from skygal.rendering.blocks import Blocks, check_window, convolve_window

IMAGE = np.random.default_rng(1).normal(size=(700, 1130))


def fetch(y0, y1, x0, x1):
    out = np.zeros((y1 - y0, x1 - x0))
    ny, nx = IMAGE.shape
    top, bottom, left, right = max(y0, 0), min(y1, ny), max(x0, 0), min(x1, nx)
    if top < bottom and left < right:
        out[top - y0:bottom - y0, left - x0:right - x0] = IMAGE[top:bottom, left:right]
    return out


def kernel(ry, rx):
    return np.random.default_rng(ry + 100 * rx).normal(size=(2 * ry + 1, 2 * rx + 1))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([1, 2]))
def test_against_scipy(ry, rx, workers):
    k = kernel(ry, rx)
    found = convolve_window(fetch, k, (0, 700, 0, 1130), workers=workers)
    np.testing.assert_allclose(found, fftconvolve(IMAGE, k, mode="same"), atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_window_has_the_same_bits(dtype):
    k = kernel(9, 5)
    whole = convolve_window(fetch, k, (-600, 1300, -30, 1200), dtype=dtype, workers=2)
    assert whole.dtype == dtype

    @settings(max_examples=15, deadline=None)
    @given(st.integers(-600, 1299), st.integers(-30, 1199), st.integers(0, 700), st.integers(0, 700))
    def check(y0, x0, high, wide):
        y1, x1 = min(y0 + high, 1300), min(x0 + wide, 1200)
        part = convolve_window(fetch, k, (y0, y1, x0, x1), dtype=dtype)
        np.testing.assert_array_equal(part, whole[y0 + 600:y1 + 600, x0 + 30:x1 + 30])

    check()


def test_a_large_kernel_takes_larger_blocks():
    k = kernel(300, 200)
    assert Blocks((300, 200)).sides == (2048, 1024)
    np.testing.assert_allclose(convolve_window(fetch, k, (0, 700, 0, 1130)), fftconvolve(IMAGE, k, mode="same"),
                               atol=1e-9)
    # all that is used of a block lies within its transform, whatever the kernel
    for reach in (0, 14, 128, 129, 512, 1024, 3000):
        blocks = Blocks((reach, reach))
        assert blocks.size[0] >= blocks.sides[0] + 2 * reach


def test_nothing_stays_nothing():
    asked = []

    def empty(y0, y1, x0, x1):
        asked.append((y0, y1, x0, x1))
        return np.zeros((y1 - y0, x1 - x0))

    assert not convolve_window(empty, kernel(3, 3), (500, 600, 0, 100)).any()
    assert [window[0] for window in asked] == [-3, 509]
    assert convolve_window(empty, kernel(3, 3), (5, 5, 0, 100)).shape == (0, 100)


@pytest.mark.parametrize("bad, message", [
    (np.ones((4, 3)), r"kernel must be two-dimensional with odd sides, got shape \(4, 3\)"),
    (np.ones(3), r"kernel must be two-dimensional with odd sides, got shape \(3,\)"),
    (np.full((3, 3), np.nan), "kernel must be finite, got 9 pixels that are not")])
def test_bad_kernels(bad, message):
    with pytest.raises(ValueError, match=message):
        convolve_window(fetch, bad, (0, 10, 0, 10))


def test_bad_window():
    with pytest.raises(ValueError, match=r"window must be .* with y0 <= y1 and x0 <= x1, got \(3, 2, 0, 1\)"):
        check_window((3, 2, 0, 1))
