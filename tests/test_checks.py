"""Checks of arguments: what passes, and the wording of what does not."""

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given
from hypothesis import strategies as st

from skygal.checks import as_count, as_quantity, as_range, as_seed, check_choice, nearest_names, open_range


def test_nearest_names():
    assert nearest_names("frist", ["FIRST", "NVSS"]) == " (did you mean 'FIRST'?)"
    assert nearest_names("zzzz", ["FIRST", "NVSS"]) == ""


def test_choice():
    assert check_choice("fr_class", "FRI", ("FRI", "FRII")) == "FRI"
    with pytest.raises(ValueError,
                       match=r"^fr_class must be one of 'FRI', 'FRII', got 'FR2' \(did you mean 'FRI'\?\)$"):
        check_choice("fr_class", "FR2", ("FRI", "FRII"))
    with pytest.raises(ValueError, match=r"^fr_class must be one of 'FRI', 'FRII', got 3$"):
        check_choice("fr_class", 3, iter(("FRI", "FRII")))


@pytest.mark.parametrize("value", [0, 3, np.int64(4), np.uint8(2)])
def test_count(value):
    number = as_count("n", value)
    assert number == value and type(number) is int


@pytest.mark.parametrize("value", [1.0, 2.5, "3", None, True, np.bool_(True), np.float64(3), [1], float("nan")])
def test_no_count(value):
    with pytest.raises(TypeError, match="^n must be a whole number, got "):
        as_count("n", value)


def test_least_count():
    assert as_count("n", 2, minimum=2) == 2
    with pytest.raises(ValueError, match="^n must be at least 2, got 1$"):
        as_count("n", 1, minimum=2)
    with pytest.raises(ValueError, match="^n must be at least 0, got -1$"):
        as_count("n", -1)


def test_seed():
    assert as_seed("seed", 2**63 - 1) == 2**63 - 1
    fresh = [as_seed("seed", None) for _ in range(20)]
    assert len(set(fresh)) == 20 and all(0 <= seed < 2**63 for seed in fresh)
    with pytest.raises(ValueError, match=r"^seed must be below 2\*\*63, got 9223372036854775808$"):
        as_seed("seed", 2**63)
    with pytest.raises(ValueError, match="^seed must be at least 0, got -1$"):
        as_seed("seed", -1)
    with pytest.raises(TypeError, match="^seed must be a whole number, got 1.5$"):
        as_seed("seed", 1.5)


@given(st.floats(1e-6, 1e6))
def test_quantity(value):
    assert as_quantity("flux", value * u.mJy, "Jy") == pytest.approx(value / 1e3)
    assert as_quantity("flux", f"{value!r} mJy", u.Jy) == pytest.approx(value / 1e3)
    assert isinstance(as_quantity("flux", value * u.mJy, "Jy"), float)
    np.testing.assert_allclose(as_quantity("flux", [value, 1] * u.Jy, "mJy", scalar=False), [1e3 * value, 1e3])


def test_numbers_without_a_unit():
    assert as_quantity("x", 3, "") == 3 and as_quantity("x", 3 * u.percent, "") == pytest.approx(0.03)
    assert as_quantity("x", -3, "", positive=False) == -3


@pytest.mark.parametrize(("value", "unit", "options", "error", "message"), [
    (3.0, "Jy", {}, TypeError, "x must be a Quantity in units of Jy, got 3.0"),
    (None, "Jy", {}, TypeError, "x must be a Quantity in units of Jy, got None"),
    ("three", "Jy", {}, TypeError, "x must be a Quantity in units of Jy, got 'three'"),
    ("3 Yj", "Jy", {}, TypeError, "x must be a Quantity in units of Jy, got '3 Yj'"),
    (True, "", {}, TypeError, "x must be a number, got True"),
    (object, "", {}, TypeError, "x must be a number, got <class 'object'>"),
    (1 * u.m, "Jy", {}, u.UnitConversionError, "x must be in units convertible to Jy, got 1.0 m"),
    ("3", "Jy", {}, u.UnitConversionError, "x must be in units convertible to Jy, got 3.0"),
    ([1, 2] * u.Jy, "Jy", {}, TypeError, r"x must be a single value, got an array of shape \(2,\)"),
    (np.nan * u.Jy, "Jy", {}, ValueError, "x must be finite, got nan Jy"),
    (-np.inf * u.Jy, "Jy", {}, ValueError, "x must be finite, got -inf Jy"),
    (0 * u.Jy, "Jy", {}, ValueError, "x must be positive, got 0.0 Jy"),
    (-1 * u.mJy, "Jy", {}, ValueError, "x must be positive, got -0.001 Jy"),
    (1 * u.Jy, "Jy", {"minimum": 2}, ValueError, "x must be at least 2 Jy, got 1.0 Jy"),
    (-1, "", {"minimum": 0, "positive": False}, ValueError, "x must be at least 0, got -1.0"),
    ([1, -2, -3] * u.Jy, "Jy", {"scalar": False}, ValueError, "x must be positive, got -2.0 Jy"),
])
def test_no_quantity(value, unit, options, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        as_quantity("x", value, unit, **options)


def test_range():
    assert as_range("flux", (1 * u.mJy, 2 * u.Jy), "Jy") == (1e-3, 2.0)
    assert as_range("flux", [1, 2] * u.Jy, "mJy") == (1e3, 2e3)


@pytest.mark.parametrize(("value", "error", "message"), [
    (3 * u.Jy, TypeError, r"flux must be a \(low, high\) pair of quantities, got <Quantity 3. Jy>"),
    ((1 * u.Jy,), TypeError, r"flux must be a \(low, high\) pair of quantities, got .*"),
    ((1, 2), TypeError, r"flux \(low end\) must be a Quantity in units of Jy, got 1"),
    ((1 * u.Jy, 2 * u.m), u.UnitConversionError, r"flux \(high end\) must be in units convertible to Jy, got 2.0 m"),
    ((0 * u.Jy, 2 * u.Jy), ValueError, r"flux \(low end\) must be positive, got 0.0 Jy"),
    ((1 * u.Jy, np.nan * u.Jy), ValueError, r"flux \(high end\) must be finite, got nan Jy"),
    ((2 * u.Jy, 1 * u.Jy), ValueError, "flux must have low < high, got low = 2.0 Jy and high = 1.0 Jy"),
    ((1 * u.Jy, 1 * u.Jy), ValueError, "flux must have low < high, got low = 1.0 Jy and high = 1.0 Jy"),
])
def test_no_range(value, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        as_range("flux", value, "Jy")


def test_open_range():
    assert open_range("las", None, "arcsec", np.inf) == (0.0, np.inf)
    assert open_range("las", (None, None), "arcsec", 180.0) == (0.0, 180.0)
    assert open_range("las", (1 * u.arcmin, None), u.arcsec, np.inf) == (60.0, np.inf)
    assert open_range("las", (None, "2 arcmin"), "arcsec", np.inf) == (0.0, 120.0)
    assert open_range("bending", (0 * u.deg, 180 * u.deg), u.rad, np.pi) == (0.0, np.pi)
    assert open_range("bending", [10, 20] * u.deg, u.deg, 180) == pytest.approx((10, 20))


@pytest.mark.parametrize(("value", "error", "message"), [
    (3 * u.deg, TypeError, r"b must be a \(low, high\) pair of quantities or None, got <Quantity 3. deg>"),
    ((1 * u.deg, 2 * u.deg, 3 * u.deg), TypeError, r"b must be a \(low, high\) pair of quantities or None, got .*"),
    ((1, None), TypeError, r"b \(low end\) must be a Quantity in units of deg, got 1"),
    ((None, 2 * u.m), u.UnitConversionError, r"b \(high end\) must be in units convertible to deg, got 2.0 m"),
    ((-1 * u.deg, None), ValueError, r"b \(low end\) must be at least 0 deg, got -1.0 deg"),
    ((np.nan * u.deg, None), ValueError, r"b \(low end\) must be finite, got nan deg"),
    ((None, np.inf * u.deg), ValueError, r"b \(high end\) must be finite, got inf deg"),
    ((None, 0 * u.deg), ValueError, r"b \(high end\) must be positive, got 0.0 deg"),
    ((2 * u.deg, 1 * u.deg), ValueError,
     "b must have low < high, and high at most 180 deg, got low = 2 deg and high = 1 deg"),
    ((None, 181 * u.deg), ValueError,
     "b must have low < high, and high at most 180 deg, got low = 0 deg and high = 181 deg"),
    ((180 * u.deg, None), ValueError,
     "b must have low < high, and high at most 180 deg, got low = 180 deg and high = 180 deg"),
])
def test_no_open_range(value, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        open_range("b", value, "deg", 180)
