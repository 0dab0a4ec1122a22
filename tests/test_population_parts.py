"""Distributions, sizes, classes and spectra."""

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skygal.population import (
    Constant,
    LogNormal,
    LogUniform,
    MiraBestSizes,
    Normal,
    PowerLaw,
    Scipy,
    Uniform,
    WindhorstSizes,
    as_spectra,
    frii_fraction,
    read_counts,
)
from skygal.population.classes import check_mix, sample_classes
from skygal.population.distributions import as_distribution, sample_values

N = 4000
P = (np.arange(N) + 0.5) / N
MJY = u.mJy


def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize(("ours", "oracle"), [
    (Uniform(1 * MJY, 3 * MJY), stats.uniform(1, 2)),
    (LogUniform(1 * MJY, 1 * u.Jy), stats.loguniform(1, 1000)),
    (PowerLaw(1 * MJY, 1 * u.Jy, -1), stats.loguniform(1, 1000)),
    (PowerLaw(1 * MJY, 3 * MJY, 1.5), stats.powerlaw(2.5, 0, 3)),
    (Normal(5 * MJY, 2 * MJY), stats.norm(5, 2)),
    (Normal(5 * MJY, 2 * MJY, 4 * MJY, 9 * MJY), stats.truncnorm(-0.5, 2, 5, 2)),
    (LogNormal(3 * MJY, 0.5), stats.lognorm(0.5, 0, 3)),
    (Scipy(stats.gamma(2.0), "mJy"), stats.gamma(2.0)),
])
def test_against_scipy(ours, oracle):
    x = ours.sample(N, rng()).to_value(MJY)
    if isinstance(ours, PowerLaw) and ours.slope > 0:
        below = oracle.cdf(1)
        assert stats.kstest(x, lambda s: (oracle.cdf(s) - below) / (1 - below)).pvalue > 1e-3
    else:
        assert stats.kstest(x, oracle.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(ours.sample(9, rng()), ours.sample(N, rng())[:9])


@given(st.floats(-5, 5), st.floats(1e-6, 1e3), st.floats(0.001, 6))
@settings(max_examples=50, deadline=None)
def test_power_laws_stay_in_range(slope, low, decades):
    high = low * 10**decades
    x = PowerLaw(low * u.Jy, high * u.Jy, slope).sample(50, rng()).value
    assert np.all((x >= low * (1 - 1e-12)) & (x <= high * (1 + 1e-12)))


@pytest.mark.parametrize("slope", [-4.0, -2.5, -1 + 1e-10, 0.0, 3.0])
def test_power_law_median(slope):
    g = slope + 1
    middle = 10**1.5 if abs(g) < 1e-6 else (0.5 * (1 + 1000.0**g))**(1 / g)
    x = PowerLaw(1 * MJY, 1 * u.Jy, slope).sample(20001, rng()).value
    assert np.mean(x < middle) == pytest.approx(0.5, abs=0.015)


def test_constant_and_cut_lognormal():
    assert np.all(Constant(2 * u.arcsec).sample(4, rng()) == 2 * u.arcsec)
    x = LogNormal(3 * MJY, 0.5, 4 * MJY, 5 * MJY).sample(500, rng())
    assert x.min() >= 4 * MJY and x.max() <= 5 * MJY


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Uniform(3 * MJY, 1 * MJY), ValueError, "low must be below high, got low = 3.0 mJy and high = 1.0 mJy"),
    (lambda: PowerLaw(0 * MJY, 1 * MJY, -2), ValueError, "must be positive, got 0.0"),
    (lambda: PowerLaw(1 * MJY, 2 * u.s, -2), u.UnitConversionError, "high end.* must be in units convertible to mJy"),
    (lambda: PowerLaw(1 * MJY, 2 * MJY, np.nan), ValueError, "slope must be finite, got nan"),
    (lambda: LogUniform(2 * MJY, 1 * MJY), ValueError, "must have low < high"),
    (lambda: LogNormal(-1 * MJY, 1), ValueError, "median must be positive, got -1.0 mJy"),
    (lambda: LogNormal(1 * MJY, 0), ValueError, "sigma must be positive, got 0.0"),
    (lambda: Normal(1 * MJY, -1 * MJY), ValueError, "sigma must be positive, got -1.0 mJy"),
    (lambda: Constant(np.nan * MJY), ValueError, "value must be finite, got nan mJy"),
    (lambda: Scipy(3, MJY), TypeError, "distribution must be a frozen scipy.stats distribution, got int"),
    (lambda: as_distribution("las", "wide", u.arcsec), TypeError,
     "las must be a Quantity in units of arcsec, got 'wide'"),
    (lambda: as_distribution("las", -3 * u.arcsec, u.arcsec), ValueError, "las must be positive, got -3.0 arcsec"),
    (lambda: sample_values("flux", Scipy(stats.norm(), MJY), 50, rng(), u.Jy), ValueError,
     r"flux \(as drawn\) must be positive, got -"),
    (lambda: sample_values("flux", Scipy(stats.gamma(2)), 5, rng(), u.Jy), u.UnitConversionError, "convertible to Jy"),
])
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_distribution_that_returns_the_wrong_number():
    class Wrong:
        def sample(self, n, rng):
            return np.ones(n + 1) * u.Jy

    with pytest.raises(TypeError, match=r"flux \(as drawn\) must be 3 values, got an array of shape \(4,\)"):
        sample_values("flux", Wrong(), 3, rng(), u.Jy)


@pytest.mark.parametrize(("name", "a", "b", "sigma"), [("FRI", 4.14, 0.38, 0.57), ("FRII", 3.39, 0.40, 0.85)])
@pytest.mark.parametrize("flux", [0.005, 0.1, 2.0])
def test_mirabest_sizes(name, a, b, sigma, flux):
    las = np.log(MiraBestSizes().sizes(P, np.full(N, flux), np.full(N, name)))
    assert np.median(las) == pytest.approx(a + b * np.log(flux / 0.1), abs=1e-3)
    assert las.std() == pytest.approx(sigma * stats.truncnorm(-3, 3).std(), rel=5e-3)


def test_windhorst_sizes():
    """The shares above 15 arcsec that the relation has at 1, 10, 100 and 1000 mJy."""
    for flux, share in ((1e-3, 0.09), (1e-2, 0.21), (0.1, 0.36), (1.0, 0.51)):
        las = WindhorstSizes().sizes(P, np.full(N, flux), np.full(N, "FRI"))
        assert np.mean(las > 15) == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize("relation", [MiraBestSizes, WindhorstSizes])
@given(low=st.floats(0.1, 300), width=st.floats(1.01, 100), flux=st.floats(1e-5, 50))
@settings(max_examples=30, deadline=None)
def test_sizes_stay_in_range(relation, low, width, flux):
    sizes = relation(low * u.arcsec, low * width * u.arcsec)
    las = sizes.sizes(P[::100], np.full(40, flux), np.resize(["FRI", "FRII"], 40))
    assert np.all((las >= low * (1 - 1e-9)) & (las <= low * width * (1 + 1e-9)))


def test_cut_sizes_keep_their_shape():
    whole = WindhorstSizes().sizes(P, np.full(N, 0.1), np.full(N, "FRI"))
    cut = WindhorstSizes(5 * u.arcsec, 60 * u.arcsec).sizes(P, np.full(N, 0.1), np.full(N, "FRI"))
    assert stats.ks_2samp(cut, whole[(whole > 5) & (whole < 60)]).statistic < 0.01


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1001])
def test_balanced_classes(n):
    classes = sample_classes("balanced", np.ones(n), np.full(n, np.nan), rng())
    assert abs((classes == "FRI").sum() - (classes == "FRII").sum()) == n % 2
    assert set(classes) <= {"FRI", "FRII"}
    np.testing.assert_array_equal(classes[:5], sample_classes("balanced", np.ones(5), np.ones(5), rng())[:n])


def test_shares():
    classes = sample_classes(check_mix({"FRI": 0.3, "FRII": 0.7}), np.ones(N), np.ones(N), rng())
    assert stats.binomtest(int((classes == "FRII").sum()), N, 0.7).pvalue > 1e-3
    assert np.all(sample_classes(check_mix({"FRI": 1.0}), np.ones(9), np.ones(9), rng()) == "FRI")


def test_survey_mix():
    flux = np.full(N, 0.02)
    classes = sample_classes("survey", flux, np.full(N, np.nan), rng())
    share = float(frii_fraction(0.02 * u.Jy)[0])
    assert stats.binomtest(int((classes == "FRII").sum()), N, share).pvalue > 1e-3
    # the relation itself: half at log L = 25 - 0.06 / 1.4
    assert frii_fraction(1 * u.mJy, 0.1)[0] < frii_fraction(1 * u.mJy, [np.nan])[0] < frii_fraction(1 * u.Jy, 0.8)[0]


def test_survey_mix_near_config():
    flux = read_counts().sample(5000, rng(), 50 * u.mJy)
    assert frii_fraction(flux).mean() == pytest.approx(0.88, abs=0.03)


@pytest.mark.parametrize(("mix", "error", "message"), [
    ("half", ValueError, "fr_mix must be one of 'balanced', 'survey', got 'half'"),
    (0.5, TypeError, "fr_mix must be None, 'balanced', 'survey' or a dict"),
    ({"FRI": 0.3, "FR2": 0.7}, ValueError, r"fr_mix \(class\) must be one of 'FRI', 'FRII', got 'FR2'"),
    ({"FRI": 0.3, "FRII": 0.3}, ValueError, "fr_mix must have shares that sum to 1, got 0.6"),
    ({"FRI": -0.3, "FRII": 1.3}, ValueError, r"fr_mix\['FRI'\] must be at least 0, got -0.3"),
    ({"FRI": "many"}, TypeError, r"fr_mix\['FRI'\] must be"),
])
def test_bad_mixes(mix, error, message):
    with pytest.raises(error, match=message):
        check_mix(mix)


def test_spectra():
    assert stats.kstest(as_spectra().sample(N, rng()).value, stats.norm(-0.72, 0.2).cdf).pvalue > 1e-3
    cut = as_spectra((-0.8, -0.6)).sample(N, rng()).value
    assert cut.min() >= -0.8 and cut.max() <= -0.6
    assert np.all(as_spectra(-0.5).sample(3, rng()) == -0.5)
    assert as_spectra(Uniform(-1 * u.one, 0 * u.one)).sample(3, rng()).shape == (3,)
    with pytest.raises(ValueError, match="spectral_index must have low < high, got low = -0.5 and high = -0.9"):
        as_spectra((-0.5, -0.9))
    with pytest.raises(TypeError, match=r"spectral_index must be one value or a \(low, high\) pair"):
        as_spectra((1, 2, 3))
    with pytest.raises(ValueError, match="spectral_index must be finite, got nan"):
        as_spectra(np.nan)
