"""Source counts, held against numerical integration and against another fit."""

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import chisquare, kstest

from skygal.population import SourceCounts, read_counts

PER_DEG2 = 1 / u.deg**2


def integrate(counts, low, high):
    """N per sr by quadrature in ln S of the interpolated table."""
    log_s, log_c = np.log(counts.flux), np.log(counts.counts)
    inside = [x for x in log_s if np.log(low) < x < np.log(high)]
    edges = [np.log(low), *inside, np.log(high)]
    return sum(quad(lambda x: np.exp(np.interp(x, log_s, log_c) - 1.5 * x), a, b, epsrel=1e-11)[0]
               for a, b in zip(edges[:-1], edges[1:], strict=True))


@pytest.mark.parametrize(("low", "high"), [(2.1e-5, 80), (1e-3, 1), (0.0123, 0.0124), (0.5, 90)])
def test_number_is_the_integral(low, high):
    counts = read_counts()
    assert counts.number(low * u.Jy, high * u.Jy).to_value(1 / u.sr) == pytest.approx(
        integrate(counts, low, high), rel=1e-9)


@pytest.mark.parametrize(("low", "expected", "within"), [(1, 88, 0.07), (10, 16.6, 0.04), (100, 1.95, 0.12)])
def test_number_near_hopkins_2003(low, expected, within):
    found = read_counts().number(low * u.mJy, 1 * u.Jy).to_value(PER_DEG2)
    assert found == pytest.approx(expected, rel=within)


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1), (2.01e-5, 90), (0.1, 0.12)])
def test_sampled_fluxes_follow_the_counts(low, high):
    counts = read_counts()
    s = counts.sample(20000, np.random.default_rng(3), low * u.Jy, high * u.Jy).to_value(u.Jy)
    assert s.min() >= low and s.max() <= high
    edges = np.quantile(s[:10000], np.linspace(0, 1, 21))
    edges[0], edges[-1] = low, high
    expected = np.array([integrate(counts, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)])
    observed = np.histogram(s[10000:], edges)[0]
    assert chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 1e-3


def test_sampled_fluxes_ks():
    counts = read_counts()
    s = counts.sample(3000, np.random.default_rng(5), 1 * u.mJy, 1 * u.Jy).to_value(u.Jy)
    grid = np.geomspace(1e-3, 1, 400)
    steps = [integrate(counts, a, b) for a, b in zip(grid[:-1], grid[1:], strict=True)]
    cdf = np.r_[0, np.cumsum(steps)] / np.sum(steps)
    assert kstest(s, lambda x: np.interp(np.log(x), np.log(grid), cdf)).pvalue > 1e-3


def test_a_pure_power_law_is_exact():
    counts = SourceCounts([1e-3, 1.0], [10.0, 10.0], 1.4 * u.GHz)
    expected = 10 / 1.5 * ((1e-2)**-1.5 - 1)
    assert counts.number(10 * u.mJy, 1 * u.Jy).value == pytest.approx(expected, rel=1e-12)
    assert counts.differential(0.1 * u.Jy).value == pytest.approx(10 * 0.1**-2.5)


def test_flat_in_log_flux():
    # S dN/dS constant: the integral of exp(0) and its inverse take their own branch
    s = np.array([1e-3, 1.0])
    counts = SourceCounts(s, s**1.5, 1.4 * u.GHz)
    assert counts.number().value == pytest.approx(np.log(1e3))
    drawn = np.log(counts.sample(2000, np.random.default_rng(1)).value)
    assert kstest(drawn, "uniform", (np.log(1e-3), np.log(1e3))).pvalue > 1e-3


@given(st.floats(0.1, 30), st.floats(-1.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_scaled_counts_keep_every_source(frequency, alpha):
    counts = read_counts()
    other = counts.at(frequency * u.GHz, alpha)
    r = (frequency / 1.4)**alpha
    assert other.number(0.01 * r * u.Jy, 1 * r * u.Jy).value == pytest.approx(
        counts.number(10 * u.mJy, 1 * u.Jy).value, rel=1e-6)


def test_scaled_to_154_mhz_near_franzen_2019():
    # log10(S^2.5 dN/dS) in Jy^1.5/sr, S in Jy at 154 MHz
    a = (3.52, 0.307, -0.388, -0.0404, 0.0351, 0.00600)
    counts = read_counts().at(154 * u.MHz)
    s = np.geomspace(0.01, 20, 20)
    fit = 10**sum(c * np.log10(s)**i for i, c in enumerate(a))
    ours = counts.differential(s * u.Jy).value * s**2.5
    assert np.abs(ours / fit - 1).max() < 0.15


@given(st.floats(-4.69, 1.9), st.floats(0.001, 3), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_samples_stay_in_any_range(log_low, width, seed):
    low = 10**log_low
    high = min(low * 10**width, 90.5)
    s = read_counts().sample(20, np.random.default_rng(seed), low * u.Jy, high * u.Jy).value
    assert np.all((s >= low) & (s <= high))


def test_first_draws_do_not_depend_on_the_number():
    draw = read_counts().between(1 * u.mJy, 1 * u.Jy)
    few, many = (draw.sample(n, np.random.default_rng(1)) for n in (10, 1000))
    np.testing.assert_array_equal(few, many[:10])


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1), (1, 1000)])
def test_outside_the_table(low, high):
    with pytest.raises(ValueError, match="flux must lie within the source counts, 2.006e-05 to 90.51 Jy at 1.4 GHz"):
        read_counts().number(low * u.Jy, high * u.Jy)
    with pytest.raises(ValueError, match="flux must lie within the source counts"):
        read_counts().differential([low, high] * u.Jy)


def test_bad_tables():
    nu = 1.4 * u.GHz
    with pytest.raises(ValueError, match="at least 2 rows, got shapes"):
        SourceCounts([1.0], [1.0], nu)
    with pytest.raises(ValueError, match="flux must be positive and rising"):
        SourceCounts([2.0, 1.0], [1.0, 1.0], nu)
    with pytest.raises(ValueError, match="counts must be positive"):
        SourceCounts([1.0, 2.0], [1.0, np.nan], nu)
    with pytest.raises(ValueError, match="flux must have low < high"):
        read_counts().between(1 * u.Jy, 1 * u.mJy)
    with pytest.raises(ValueError, match="read-only"):
        read_counts().flux[0] = 1
