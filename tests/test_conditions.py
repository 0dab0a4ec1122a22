"""Extent and bending: known shapes, both array libraries, and the tables that conditions are drawn from."""

import numpy as np
import pytest
import torch
from scipy import stats

from skygal.morphology.conditions import GROUPS, RIDGE, ConditionTable, measure_bending, measure_extent_bending

SHAPE = (80, 144)
X, Y = (np.arange(size) - (size - 1) / 2 for size in SHAPE[::-1])
SIGMA = 1.3


def ridge(height, reach=40.0, flux=None):
    """Return an image of a ridge y = height(x), |x| < reach, as wide as a beam."""
    points = np.linspace(-reach, reach, 801)
    weight = np.ones(points.size) if flux is None else flux(points)
    along = np.exp(-0.5 * ((X[None, :] - points[:, None]) / SIGMA) ** 2)
    across = np.exp(-0.5 * ((Y[None, :] - height(points)[:, None]) / SIGMA) ** 2)
    return np.einsum("p,py,px->yx", weight, across, along)


def blob(x, y, flux=1.0, sigma=SIGMA):
    return flux * np.exp(-0.5 * ((Y[:, None] - y) ** 2 + (X[None, :] - x) ** 2) / sigma**2)


def measured(*images):
    extent, bending = measure_extent_bending(np.stack(images), X, Y)
    return extent, bending


class TestBending:
    @pytest.mark.parametrize("angle", [10, 40, 80, 120])
    def test_parabola(self, angle):
        # its chords to one standard deviation along x enclose 180 degrees less the angle
        reach = 12.0
        variance = reach**2 / 3 + SIGMA**2
        curvature = np.tan(np.radians(angle) / 2) / variance**0.5
        (found,) = measured(ridge(lambda x: curvature * (x**2 - reach**2 / 2), reach=reach))[1]
        # by hand, with the beam's blur and the small prior: cov(x^2, t^2) over var(t^2) + RIDGE
        spread = 4 / 45 * reach**4
        moments = (spread + 4 / 3 * SIGMA**2 * reach**2 + 2 * SIGMA**4) / variance**2
        slope = curvature * spread / variance / (moments + RIDGE) / variance**0.5
        assert found == pytest.approx(2 * np.arctan(slope), rel=0.01)
        assert found == pytest.approx(np.radians(angle), rel=0.25)

    def test_v_shape(self):
        slope = 0.6
        (found,) = measured(ridge(lambda x: slope * np.abs(x)))[1]
        # least squares of |t| on t^2 for even t in +-3^(1/2): (3 3^(1/2) / 4 - 3^(1/2) / 2) / (4 / 5 + RIDGE)
        expected = 2 * np.arctan(slope * (3**0.5 / 4) / (0.8 + RIDGE))
        assert found == pytest.approx(expected, rel=0.02)

    def test_straight_and_slanted(self):
        found = measured(ridge(lambda x: 0 * x), ridge(lambda x: 0.2 * x),
                         ridge(lambda x: 0 * x, flux=lambda x: 60 + x))[1]
        np.testing.assert_allclose(found, 0, atol=2e-3)

    def test_mirrored(self):
        image = ridge(lambda x: 0.01 * x**2 - 0.03 * x, flux=lambda x: 60 + x)
        up, down, turned = measured(image, image[::-1], image[:, ::-1])[1]
        assert up > 0.2 and down == pytest.approx(-up, rel=1e-6) and turned == pytest.approx(up, rel=1e-6)

    def test_place_and_scale_do_not_matter(self):
        image = ridge(lambda x: 0.01 * x**2, reach=25)
        found = measured(image, 7 * image, np.roll(image, (5, -9), (0, 1)))
        np.testing.assert_allclose(found[1], found[1][0], rtol=1e-6)
        np.testing.assert_allclose(found[0], found[0][0], rtol=1e-6)

    @pytest.mark.parametrize("flux", [1.0, 0.3])
    def test_two_points_are_straight(self, flux):
        # two points determine no curvature, however unlike they are
        found = measured(blob(-25, 0) + blob(25, 0, flux), blob(-25, -3) + blob(25, 3, flux))[1]
        np.testing.assert_allclose(found, 0, atol=0.03)

    def test_three_points(self):
        # a core off the line between the lobes
        found = measured(blob(-25, 4) + blob(0, -4) + blob(25, 4), blob(-25, 0) + blob(0, 0) + blob(25, 0))[1]
        assert found[0] > 0.3 and abs(found[1]) < 1e-6

    def test_measure_bending(self):
        images = np.stack([ridge(lambda x: 0.01 * x**2), ridge(lambda x: 0 * x)]).astype(np.float32)
        np.testing.assert_allclose(measure_bending(images), measured(*images.astype(float))[1], rtol=1e-9, atol=1e-12)

    def test_a_stamp_is_measured_by_itself(self):
        images = np.random.default_rng(0).random((5, 24, 40)).astype(np.float32)
        np.testing.assert_array_equal(measure_bending(images)[3:4], measure_bending(images[3:4]))


class TestExtent:
    def test_gaussian(self):
        # the root of a Gaussian is wider by 2^(1/2)
        image = np.exp(-0.5 * ((X / 9)[None, :] ** 2 + (Y / 2)[:, None] ** 2))
        assert measured(image)[0][0] == pytest.approx(9 * 2**0.5, rel=1e-3)

    def test_bright_core_hardly_matters(self):
        bar = ridge(lambda x: 0 * x, reach=30.0)
        core = bar + 20 * bar.max() * blob(0, 0)
        extent = measured(bar, core)[0]
        weighted = [np.sqrt((image.sum(0) * X**2).sum() / image.sum()) for image in (bar, core)]
        assert 1 - extent[1] / extent[0] < 0.5 * (1 - weighted[1] / weighted[0])
        assert extent[0] == pytest.approx(30 / 3**0.5, rel=0.05)


def test_torch_and_numpy_agree():
    images = np.random.default_rng(1).random((4, *SHAPE)) ** 4
    for expected, found in zip(measure_extent_bending(images, X, Y),
                               measure_extent_bending(*map(torch.from_numpy, (images, X, Y))), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_gradient_is_finite():
    images = torch.rand(2, 24, 40, dtype=torch.double).add(0.1).requires_grad_()
    x, y = (torch.arange(size, dtype=torch.double) - (size - 1) / 2 for size in (40, 24))
    sum(value.sum() for value in measure_extent_bending(images, x, y)).backward()
    assert bool(torch.isfinite(images.grad).all()) and float(images.grad.abs().max()) > 0


@pytest.fixture(scope="module")
def stamps():
    rng = np.random.default_rng(2)
    extent = np.exp(rng.normal(2.7, 0.6, 8000))
    # larger ones are more bent, to either side
    return extent, rng.choice([-1, 1], 8000) * rng.exponential(0.01 * extent)


@pytest.fixture(scope="module")
def table(stamps):
    return ConditionTable.of_stamps(*stamps)


class TestConditionTable:
    def test_quantiles(self, stamps, table):
        assert table.extent.dtype == table.bending.dtype == np.float32
        np.testing.assert_allclose(table.extent[[0, 32, -1]], np.quantile(stamps[0], [0, 0.5, 1]), rtol=1e-6)
        assert (np.diff(table.extent) >= 0).all() and (np.diff(table.bending, axis=1) >= 0).all()
        assert table.bending.shape == (GROUPS, table.extent.size) and (np.diff(table.bending[:, 32]) > 0).all()

    def test_ranks(self, stamps, table):
        rank = np.linspace(0, 1, 30)
        np.testing.assert_allclose(table.rank_of(table.extent_at(rank)), rank, atol=1e-6)
        np.testing.assert_allclose(table.rank_of(np.array([0.0, 1e9])), [0, 1])
        assert table.rank_of(np.quantile(stamps[0], 0.3)) == pytest.approx(0.3, abs=0.01)

    def test_bending_follows_the_extent(self, stamps, table):
        rank = np.random.default_rng(3).random(4000)
        low, high = np.quantile(stamps[0], [0.5, 0.75])
        extent = np.linspace(low * 1.001, high * 0.999, 4000)
        there = np.abs(stamps[1])[(stamps[0] > low) & (stamps[0] < high)]
        assert stats.ks_2samp(table.bending_at(extent, rank), there).statistic < 0.04

    def test_restricted_bending(self, stamps, table):
        rank = np.random.default_rng(4).random(4000)
        high = np.quantile(stamps[0], 0.75)
        found = table.bending_at(np.full(4000, high * 1.01), rank, 0.2, 0.6)
        there = np.abs(stamps[1])[stamps[0] > high]
        assert found.min() >= 0.2 and found.max() <= 0.6
        assert stats.ks_2samp(found, there[(there > 0.2) & (there < 0.6)]).statistic < 0.05

    def test_bending_that_no_stamp_has(self, table):
        rank = np.linspace(0, 1, 5)
        np.testing.assert_allclose(table.bending_at(np.full(5, 3.0), rank, 2.9, 3.1), np.linspace(2.9, 3.1, 5))

    @pytest.mark.parametrize("n", [1, 2, 3, 4])
    def test_few_stamps(self, n):
        extent, bending = np.linspace(5, 8, n), np.linspace(0.2, 0.3, n)
        table = ConditionTable.of_stamps(extent, -bending)
        found = table.bending_at(table.extent_at(np.linspace(0, 1, 9)), np.linspace(0, 1, 9))
        assert found.min() >= 0.2 - 1e-6 and found.max() <= 0.3 + 1e-6
        assert table.extent_at(np.array(0.5)) == pytest.approx(np.median(extent))

    def test_all_straight(self):
        table = ConditionTable.of_stamps(np.linspace(5, 9, 40), np.zeros(40))
        np.testing.assert_array_equal(table.bending_at(np.full(3, 6.0), np.array([0, 0.5, 1])), 0)
