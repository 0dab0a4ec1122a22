"""Distributions of one quantity, each drawn by inverting its cumulative distribution.

A draw takes one uniform number a source, so that source i is the same however many are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, as_range

__all__ = ["Constant", "Distribution", "LogNormal", "LogUniform", "Normal", "PowerLaw", "Scipy", "Uniform",
           "as_distribution", "inverse_power", "sample_values", "truncated_normal", "uniforms"]


@runtime_checkable
class Distribution(Protocol):
    """Anything with ``sample(n, rng)`` that returns a Quantity of ``n`` values."""

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""


def uniforms(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``n`` uniform numbers, strictly between 0 and 1."""
    return rng.random(n) + 2.0**-54


def truncated_normal(p: np.ndarray, mean: Any, sigma: Any, low: Any, high: Any) -> np.ndarray:
    """Return the quantiles ``p`` of a normal distribution cut to [low, high]."""
    from scipy.stats import truncnorm

    if not np.size(p):
        return np.zeros(np.shape(p))
    drawn = truncnorm.ppf(p, (low - mean) / sigma, (high - mean) / sigma)
    return np.clip(mean + sigma * drawn, low, high)


def _bounds(low: Any, high: Any, unit: u.UnitBase, positive: bool) -> tuple[float, float]:
    """Return the ends of a range either of which may be None, in ``unit``."""
    ends = [-np.inf if low is None else as_quantity("low", low, unit, positive=positive),
            np.inf if high is None else as_quantity("high", high, unit, positive=positive)]
    if ends[0] >= ends[1]:
        raise ValueError(f"low must be below high, got low = {low} and high = {high}")
    return ends[0], ends[1]


@dataclass(frozen=True)
class Constant:
    """The same value for every source.

    Parameters
    ----------
    value : `~astropy.units.Quantity`
    """

    value: u.Quantity

    def __post_init__(self) -> None:
        as_quantity("value", self.value, getattr(self.value, "unit", u.one), positive=False)

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""
        return np.full(n, 1.0) * u.Quantity(self.value)


@dataclass(frozen=True)
class Uniform:
    """Uniform between two values.

    Parameters
    ----------
    low, high : `~astropy.units.Quantity`
    """

    low: u.Quantity
    high: u.Quantity

    def __post_init__(self) -> None:
        _bounds(self.low, self.high, getattr(self.low, "unit", u.one), positive=False)

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""
        return u.Quantity(self.low) + u.Quantity(self.high - self.low) * uniforms(n, rng)


@dataclass(frozen=True)
class PowerLaw:
    """A power law, dN/dx ~ x^slope, between two positive values.

    Parameters
    ----------
    low, high : `~astropy.units.Quantity`
    slope : float
        -2.5 for Euclidean counts of fluxes.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from skygal.population import PowerLaw
    >>> PowerLaw(1 * u.mJy, 1 * u.Jy, slope=-2.5).sample(3, np.random.default_rng(1)).unit
    Unit("mJy")
    """

    low: u.Quantity
    high: u.Quantity
    slope: float

    def __post_init__(self) -> None:
        as_range("low, high", (self.low, self.high), getattr(self.low, "unit", u.one))
        as_quantity("slope", self.slope, u.one, positive=False)

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""
        low = u.Quantity(self.low)
        width = float(np.log((self.high / low).to_value(u.one)))
        return low * np.exp(inverse_power(uniforms(n, rng), width, self.slope + 1))


def inverse_power(p: np.ndarray, width: Any, rate: Any) -> np.ndarray:
    """Return t in [0, width] with the share ``p`` of the integral of exp(rate t) below it."""
    p, width, rate = np.broadcast_arrays(np.asarray(p, float), width, rate)
    x = rate * width
    flat = np.abs(x) < 1e-9
    safe = np.where(flat, 1.0, rate)
    # of the two ends the integral is measured from the one where it is steep, so that nothing cancels
    up = np.log1p(-(1 - p) * -np.expm1(-np.abs(x)))
    down = np.log1p(p * np.expm1(-np.abs(x)))
    t = np.where(x > 0, width + up / safe, down / np.where(flat, 1.0, -np.abs(rate)))
    return np.clip(np.where(flat, p * width, t), 0, width)


@dataclass(frozen=True)
class LogUniform:
    """Uniform in the logarithm between two positive values.

    Parameters
    ----------
    low, high : `~astropy.units.Quantity`
    """

    low: u.Quantity
    high: u.Quantity

    def __post_init__(self) -> None:
        as_range("low, high", (self.low, self.high), getattr(self.low, "unit", u.one))

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""
        return PowerLaw(self.low, self.high, -1.0).sample(n, rng)


@dataclass(frozen=True)
class Normal:
    """Normal, cut to a range if one is given.

    Parameters
    ----------
    mean, sigma : `~astropy.units.Quantity`
        Of the whole distribution, before it is cut.
    low, high : `~astropy.units.Quantity`, optional
    """

    mean: u.Quantity
    sigma: u.Quantity
    low: u.Quantity | None = None
    high: u.Quantity | None = None

    def __post_init__(self) -> None:
        unit = getattr(self.mean, "unit", u.one)
        as_quantity("mean", self.mean, unit, positive=False)
        as_quantity("sigma", self.sigma, unit)
        _bounds(self.low, self.high, unit, positive=False)

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""
        mean = u.Quantity(self.mean)
        low, high = _bounds(self.low, self.high, mean.unit, positive=False)
        sigma = u.Quantity(self.sigma).to_value(mean.unit)
        return truncated_normal(uniforms(n, rng), mean.value, sigma, low, high) * mean.unit


@dataclass(frozen=True)
class LogNormal:
    """Normal in the natural logarithm, cut to a range if one is given.

    Parameters
    ----------
    median : `~astropy.units.Quantity`
        Of the whole distribution, before it is cut.
    sigma : float
        Standard deviation of the natural logarithm.
    low, high : `~astropy.units.Quantity`, optional
    """

    median: u.Quantity
    sigma: float
    low: u.Quantity | None = None
    high: u.Quantity | None = None

    def __post_init__(self) -> None:
        unit = getattr(self.median, "unit", u.one)
        as_quantity("median", self.median, unit)
        as_quantity("sigma", self.sigma, u.one)
        _bounds(self.low, self.high, unit, positive=True)

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""
        median = u.Quantity(self.median)
        low, high = _bounds(self.low, self.high, median.unit, positive=True)
        return np.exp(truncated_normal(uniforms(n, rng), np.log(median.value), self.sigma,
                                       np.log(max(low, 0.0)) if low > 0 else -np.inf, np.log(high))) * median.unit


@dataclass(frozen=True)
class Scipy:
    """A frozen distribution of `scipy.stats`, with a unit.

    Parameters
    ----------
    distribution : frozen scipy distribution
        With ``ppf``; ``rvs`` is used if there is none, and then source i may depend on how many
        are drawn.
    unit : unit
    """

    distribution: Any
    unit: u.UnitBase | str = u.one

    def __post_init__(self) -> None:
        if not (hasattr(self.distribution, "ppf") or hasattr(self.distribution, "rvs")):
            raise TypeError("distribution must be a frozen scipy.stats distribution, "
                            f"got {type(self.distribution).__name__}")
        u.Unit(self.unit)

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` values."""
        if hasattr(self.distribution, "ppf"):
            return np.asarray(self.distribution.ppf(uniforms(n, rng)), float) * u.Unit(self.unit)
        return np.asarray(self.distribution.rvs(size=n, random_state=rng), float) * u.Unit(self.unit)


def as_distribution(name: str, value: Any, unit: u.UnitBase | str, *, positive: bool = True) -> Distribution:
    """Return ``value`` as a distribution: itself if it is one, `Constant` for a single quantity.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If a single quantity is not finite, or not positive where it must be.
    """
    if isinstance(value, Distribution) and not isinstance(value, type):
        return value
    return Constant(as_quantity(name, value, unit, positive=positive) * u.Unit(unit))


def sample_values(name: str, distribution: Distribution, n: int, rng: np.random.Generator, unit: u.UnitBase | str, *,
                  positive: bool = True) -> np.ndarray:
    """Return ``n`` draws in ``unit``, checked.

    Raises
    ------
    TypeError
        If what ``sample`` returns is not ``n`` values with a fitting unit.
    ValueError
        If one is not finite, or not positive where it must be.
    """
    drawn = as_quantity(f"{name} (as drawn)", distribution.sample(n, rng), unit, positive=positive, scalar=False)
    if drawn.shape != (n,):
        raise TypeError(f"{name} (as drawn) must be {n} values, got an array of shape {drawn.shape}")
    return drawn
