"""Which pixels are a source's, who blends it and what its noise is: at the limits that truth's columns speak of."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

import skygal
from skygal.population.classes import check_mix
from skygal.rendering.beam_matching import matching_kernel

WCS = skygal.make_wcs("12h00m00s +30d00m00s", (90, 120), 1.8 * u.arcsec)
#: a bright source, and a fainter one on its skirt
PAIR = QTable({"x": [50.0, 62.0], "y": [45.0, 47.0], "flux": [40.0, 8.0] * u.mJy, "las": [20.0, 12.0] * u.arcsec,
               "pa": [30.0, 80.0] * u.deg, "fr_class": ["FRII", "FRI"]})


def simulate(table, noise=False):
    return skygal.simulate_field(WCS, table=table, beam=7 * u.arcsec, frequency=1.4 * u.GHz, seed=1,
                                 noise=noise if noise is False else noise * u.Jy / u.beam)


@pytest.fixture(scope="module")
def apart():
    """The brightness of each of the pair without the other, which is put where it does not matter."""
    alone = []
    for k in (0, 1):
        table = PAIR.copy()
        table["flux"][1 - k] = 1e-9 * u.mJy
        alone.append(simulate(table).model.astype(float))
    return alone


@pytest.mark.parametrize(("noise", "part"), [(False, 0.01), (1e-6, 0.01), (0.003, None), (0.02, 0.5), (5.0, 0.5)])
def test_pixels_are_above_the_noise_or_a_hundredth_of_the_peak_and_half_of_it_at_most(noise, part):
    field = simulate(PAIR[:1], noise)
    peak = field.model.max()
    level = np.float32(noise if part is None else part * float(peak))
    assert 0.006 < peak < 0.035
    np.testing.assert_array_equal(field.segmentation == 1, field.model > level)


@pytest.mark.parametrize("noise", [False, *np.geomspace(1e-5, 5e-3, 12)])
def test_who_is_blended_and_by_how_much(noise, apart):
    truth = simulate(PAIR, noise).truth
    for k, (own, other) in enumerate((apart, apart[::-1])):
        peak = own.max()
        mine = own > min(max(float(noise), 0.01 * peak), 0.5 * peak)
        matters = noise if noise is not False else 0.01 * peak
        brightest = other[mine].max()
        if abs(brightest / matters - 1) > 0.01:
            assert truth["blended"][k] == (brightest > matters), (k, brightest, matters)
        assert truth["neighbour_flux_frac"][k] == pytest.approx(
            other[mine].sum() / (own + other)[mine].sum(), rel=0.01, abs=1e-4)


def test_both_ends_of_blending_are_met(apart):
    """The levels above lie on both sides."""
    own, other = apart
    assert simulate(PAIR, 1e-5).truth["blended"].tolist() == [True, True]
    assert not simulate(PAIR, 5e-3).truth["blended"][0] and other.max() > 1e-3 > 0.01 * own.max()


def test_the_noise_of_sources_on_blank_pixels_is_that_of_the_nearest_that_has_some():
    noise = np.full((90, 120), 1e-4)
    noise[:, 60:] = 5e-4
    noise[30:60, 30:100] = np.nan
    noise[28:30] = 2e-4
    table = QTable({"x": [32.0, 97.0, 70.0, 10.0], "y": [50.0, 50, 32, 50], "flux": [9.0] * 4 * u.mJy,
                    "las": [10.0] * 4 * u.arcsec})
    for field in (simulate(table, noise),
                  skygal.inject(np.where(np.isnan(noise), np.nan, 0.0), table=table, wcs=WCS, beam=7 * u.arcsec, seed=1,
                                unit="Jy/beam", frequency=1.4 * u.GHz, noise=noise * u.Jy / u.beam)):
        np.testing.assert_allclose(field.truth["local_rms"].value, [1e-4, 5e-4, 2e-4, 1e-4], rtol=1e-6)


def test_the_noise_that_an_injection_finds_is_known_on_blank_pixels_too():
    rng = np.random.default_rng(1)
    image = rng.normal(0, np.where(np.arange(120) < 60, 1e-4, 4e-4), (90, 120))
    image[:, 40:80] = np.nan
    table = QTable({"x": [41.0, 78.0], "y": [45.0, 45], "flux": [9.0] * 2 * u.mJy, "las": [10.0] * 2 * u.arcsec})
    field = skygal.inject(image, table=table, wcs=WCS, beam=5.4 * u.arcsec, unit="Jy/beam", frequency=1.4 * u.GHz,
                          seed=1)
    low, high = field.truth["local_rms"].value
    assert low == pytest.approx(1e-4, rel=0.5) and high == pytest.approx(4e-4, rel=0.3)


@pytest.mark.parametrize("shares", [(1 / 3, 2 / 3), (0.333333, 0.666667), (0.3333335, 0.666667), (0.1 + 0.2, 0.7)])
def test_shares_of_classes_are_rounded_to_six_digits(shares):
    found = check_mix(dict(zip(("FRI", "FRII"), shares, strict=True)))
    assert sum(found.values()) == 1 and found["FRI"] == pytest.approx(shares[0], abs=1e-6)


@pytest.mark.parametrize("shares", [(0.333, 0.666), (0.33333, 0.66666), (0.5, 0.50001)])
def test_shares_of_classes_that_do_not_sum_to_1(shares):
    with pytest.raises(ValueError, match="fr_mix must have shares that sum to 1"):
        check_mix(dict(zip(("FRI", "FRII"), shares, strict=True)))


def test_a_beam_as_wide_as_the_stamps_own_is_no_limit():
    """Less than a thousandth narrower is rounding; and what is narrower is not sharpened."""
    native = 1.6 * np.eye(2)
    for part, limited in ((1.0, False), (1 - 5e-4, False), (1 - 2e-3, True), (0.5, True)):
        for turn in (0.0, 0.4):
            c, s = np.cos(turn), np.sin(turn)
            target = np.array([[c, -s], [s, c]]) @ np.diag([part * 1.6, 4.0]) @ np.array([[c, s], [-s, c]])
            kernel, found = matching_kernel(np.eye(2), target, native)
            assert found == limited
            np.testing.assert_allclose(np.linalg.eigvalsh(kernel), [0, 2.4], atol=1e-9)


def test_ten_of_those_outside_are_named():
    table = QTable({"x": [900.0] * 12, "y": [60.0] * 12, "flux": [1.0] * 12 * u.mJy, "las": [10.0] * 12 * u.arcsec})
    with pytest.warns(UserWarning, match="12 of 12 sources .* source_id 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and others$"):
        simulate(table)
