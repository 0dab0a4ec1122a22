"""Radio luminosity functions and their evolution: what redshifts sources of a flux have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, check_choice
from skygal.population.counts import COUNTS_SPECTRAL_INDEX

__all__ = ["FORMS", "BrightEnd", "LuminosityFunction", "PeakedFunction", "Redshifts", "angular_diameter_distance",
           "luminosity_distance"]

#: forms of luminosity functions, and which parameters each has beside log_phi and log_luminosity
FORMS: dict[str, tuple[str, ...]] = {"saunders": ("alpha", "sigma"), "double_power_law": ("alpha", "beta")}
#: least redshift: nearer galaxies have names
NEAREST = 1e-3
#: points in redshift, and in the logit of the share below it
STEPS, QUANTILES, WIDEST = 400, 193, 12.0
#: points in a decade of flux
PER_DECADE = 8
#: halvings of the decades in which the luminosity at redshift 0 lies, before a last step of Newton's
HALVINGS = 16


@cache
def _distances() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ln z, ln of the luminosity distance (m) and comoving volume (Mpc^3/sr) to a unit redshift."""
    from astropy.cosmology import Planck18

    z = np.geomspace(NEAREST, 10, STEPS)
    return (np.log(z), np.log(Planck18.luminosity_distance(z).to_value(u.m)),
            Planck18.differential_comoving_volume(z).to_value(u.Mpc**3 / u.sr))


def luminosity_distance(redshift: np.ndarray) -> np.ndarray:
    """Return luminosity distances in m, with the cosmology of Planck 2018, for redshifts from 0.001 to 10."""
    log_z, log_distance, _ = _distances()
    return np.exp(np.interp(np.log(redshift), log_z, log_distance))


def angular_diameter_distance(redshift: np.ndarray) -> np.ndarray:
    """Return angular diameter distances in kpc."""
    return luminosity_distance(redshift) / (1 + redshift)**2 * u.m.to(u.kpc)


@dataclass(frozen=True)
class LuminosityFunction:
    """A luminosity function at 1.4 GHz with pure luminosity evolution.

    Parameters
    ----------
    form : "saunders" or "double_power_law"
    log_phi : float
        log10 of its amplitude, per magnitude and Mpc^3.
    log_luminosity : float
        log10 of L*, W/Hz, at redshift 0.
    alpha, sigma, beta : float
        See Notes.
    power, slope : float
        L* grows as (1 + z)^(power + slope z).
    highest_redshift : float
        There are none beyond.

    Notes
    -----
    With x = L / L*, Phi = Phi* x^(1 - alpha) exp(-[log10(1 + x)]^2 / (2 sigma^2)) (Saunders et al. 1990,
    1990MNRAS.242..318S) or Phi = Phi* / (x^alpha + x^beta) (Dunlop & Peacock 1990, 1990MNRAS.247...19D).
    """

    form: str
    log_phi: float
    log_luminosity: float
    alpha: float
    sigma: float = np.nan
    beta: float = np.nan
    power: float = 0.0
    slope: float = 0.0
    highest_redshift: float = 6.0

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)
        for name in ("log_phi", "log_luminosity", *FORMS[self.form], "power", "slope"):
            as_quantity(name, getattr(self, name), u.one, positive=name == "sigma")
        _check_highest(self.highest_redshift)

    def density(self, luminosity: Any, redshift: Any = 0.0) -> np.ndarray:
        """Return how many there are per decade of luminosity (W/Hz) and comoving Mpc^3."""
        z = np.asarray(redshift, float)
        x = np.asarray(luminosity, float) / 10**self.log_luminosity / (1 + z)**(self.power + self.slope * z)
        if self.form == "saunders":
            shape = x**(1 - self.alpha) * np.exp(-np.log10(1 + x)**2 / (2 * self.sigma**2))
        else:
            shape = 1 / (x**self.alpha + x**self.beta)
        # 2.5 magnitudes are a decade
        return np.where(z <= self.highest_redshift, 2.5 * 10**self.log_phi * shape, 0.0)

    def redshifts(self, low: float, high: float) -> Redshifts:
        """Return the redshifts of sources with fluxes from ``low`` to ``high`` (Jy at 1.4 GHz)."""
        return Redshifts(self, low, high)


@dataclass(frozen=True)
class PeakedFunction:
    """A luminosity function at 1.4 GHz whose luminosities rise to a redshift, the later the larger they are, and fall.

    Parameters
    ----------
    log_phi : float
        log10 of its amplitude, per decade of luminosity and Mpc^3.
    log_luminosity : float
        log10 of L*, W/Hz, at redshift 0.
    alpha, beta : float
        Slopes of the double power law.
    rate : float
        How fast luminosities evolve.
    peak, rise : float
        They are largest at redshift ``peak`` where they are small, and at ``peak`` + ``rise`` where they are large.
    exponent : float
        How soon they evolve: 1 for a parabola.
    spectral_index : float
        Of all, S ~ nu^spectral_index.
    highest_redshift : float
        There are none beyond.

    Notes
    -----
    A source of luminosity L0 at redshift 0 has log L = log L0 + rate z (2 z_top - 2 z^m z_top^(1 - m) / (1 + m)) at
    redshift z, with m the exponent and z_top = peak + rise / (1 + L* / L0) (Massardi et al. 2010,
    2010MNRAS.404..532M; Bonato et al. 2017, 2017MNRAS.469.1912B). Numbers are kept: Phi(L, z) dlog L =
    Phi(L0, 0) dlog L0, Phi(L0, 0) = Phi* / (x^alpha + x^beta), x = L0 / L*.
    """

    log_phi: float
    log_luminosity: float
    alpha: float
    beta: float
    rate: float
    peak: float
    rise: float
    exponent: float
    spectral_index: float
    highest_redshift: float = 6.0

    def __post_init__(self) -> None:
        for name in ("log_phi", "log_luminosity", "alpha", "beta", "spectral_index"):
            as_quantity(name, getattr(self, name), u.one, positive=False)
        for name in ("rate", "peak", "exponent"):
            as_quantity(name, getattr(self, name), u.one)
        as_quantity("rise", self.rise, u.one, positive=False, minimum=0)
        _check_highest(self.highest_redshift)
        m = self.exponent
        # else a larger L0 could make a smaller L, and the function had no inverse
        if self.rise and (1 - m) / (1 + m) * (self.highest_redshift / self.peak)**m >= 1:
            raise ValueError(f"highest_redshift must be less, or exponent or peak larger: at {self.highest_redshift} "
                             f"luminosities would no longer be in order, with exponent {m} and peak {self.peak}")

    def _growth(self, log_x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log10 of L / L0 at log10 of L0 / L*, and its derivative by that."""
        m, ratio = self.exponent, 1 / (1 + 10**-log_x)
        top = self.peak + self.rise * ratio
        return (2 * self.rate * z * (top - z**m * top**(1 - m) / (1 + m)),
                2 * self.rate * z * (1 - (1 - m) / (1 + m) * (z / top)**m)
                * self.rise * np.log(10) * ratio * (1 - ratio))

    def density(self, luminosity: Any, redshift: Any = 0.0) -> np.ndarray:
        """Return how many there are per decade of luminosity (W/Hz) and comoving Mpc^3."""
        log_x, z = np.broadcast_arrays(np.log10(np.asarray(luminosity, float)) - self.log_luminosity,
                                       np.asarray(redshift, float))
        # nothing is known beyond, where luminosities may be out of order
        inside = z <= self.highest_redshift
        z = np.minimum(z, self.highest_redshift)
        # growth rises with L0
        low, high = (log_x - self._growth(np.full(z.shape, end), z)[0] for end in (99.0, -99.0))
        for _ in range(HALVINGS if self.rise else 0):
            middle = (low + high) / 2
            above = middle + self._growth(middle, z)[0] > log_x
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        first = (low + high) / 2
        growth, slope = self._growth(first, z)
        first = first - (first + growth - log_x) / (1 + slope)
        x = 10**first
        number = 10**self.log_phi / (x**self.alpha + x**self.beta) / (1 + self._growth(first, z)[1])
        return np.where(inside, number, 0.0)


@dataclass(frozen=True)
class BrightEnd:
    """Populations that bright and distant sources are of, in place of what holds for others.

    Parameters
    ----------
    functions : tuple of PeakedFunction
    flux, redshift : (float, float)
        Fluxes in Jy at 1.4 GHz, and redshifts, from where on some, and all, are of these. Their share is linear in ln S
        and in ln z.
    """

    functions: tuple[PeakedFunction, ...]
    flux: tuple[float, float]
    redshift: tuple[float, float]

    def __post_init__(self) -> None:
        if not self.functions:
            raise ValueError("functions must be at least one, got none")
        for name, unit in (("flux", " Jy"), ("redshift", "")):
            start, end = getattr(self, name)
            if not 0 < start < end:
                raise ValueError(f"{name} must be positive and rising, got {start:.4g} to {end:.4g}{unit}")

    def share(self, flux: Any, redshift: Any) -> np.ndarray:
        """Return by how much these populations stand for sources at ``flux`` (Jy) and ``redshift``."""
        bright, far = (np.interp(np.log(values), np.log(ends), [0.0, 1.0])
                       for values, ends in ((flux, self.flux), (redshift, self.redshift)))
        return bright * far


@dataclass(frozen=True)
class Redshifts:
    """Counts of one population after its luminosity function, and the distribution of redshifts at each flux.

    Parameters
    ----------
    function : LuminosityFunction
    low, high : float
        Range of fluxes, Jy at 1.4 GHz.
    bright : BrightEnd, optional
        What holds for bright sources in place of ``function``.

    Notes
    -----
    dN/dS = integral of Phi(L, z) dV/dz / (S ln 10) over z, with L = 4 pi D_L^2 S (1 + z)^-(1 + alpha), where alpha is
    -0.7 or that of a population of the bright end. Quantiles are interpolated, linearly in ln S and in the logit of the
    share, which is between points of a table of ln z; redshifts begin at 0.001.
    """

    function: LuminosityFunction
    low: float
    high: float
    bright: BrightEnd | None = None

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ln S, ln of dN/dS (1/(Jy sr)) and ln z at each ln S and quantile."""
        log_z, _, _ = _distances()
        count = 2 + int(PER_DECADE * np.log10(self.high / self.low))
        log_flux = np.linspace(np.log(self.low), np.log(self.high), count)
        rate = _rate(self.function, log_flux, COUNTS_SPECTRAL_INDEX)
        if self.bright is not None:
            some = np.exp(log_flux) > self.bright.flux[0]
            share = self.bright.share(np.exp(log_flux[some, None]), np.exp(log_z))
            rate[some] = (1 - share) * rate[some] + share * sum(
                _rate(function, log_flux[some], function.spectral_index) for function in self.bright.functions)
        steps = (rate[:, 1:] + rate[:, :-1]) / 2 * np.diff(log_z)
        total = np.concatenate([np.zeros((count, 1)), np.cumsum(steps, axis=1)], axis=1)
        share = 1 / (1 + np.exp(-np.linspace(-WIDEST, WIDEST, QUANTILES)))
        quantile = np.empty((count, QUANTILES))
        for row, below in zip(quantile, total, strict=True):
            rising = np.r_[True, np.diff(below) > 0]
            row[:] = np.interp(share * below[-1], below[rising], log_z[rising])
        return log_flux, np.log(total[:, -1] / np.log(10)) - log_flux, quantile

    def counts(self, flux: np.ndarray) -> np.ndarray:
        """Return dN/dS in 1/(Jy sr) at ``flux`` (Jy)."""
        log_flux, log_counts, _ = self._table
        return np.exp(np.interp(np.log(flux), log_flux, log_counts))

    def at(self, p: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Return the quantiles ``p`` of the redshift at ``flux`` (Jy)."""
        log_flux, _, quantile = self._table
        row = (np.log(flux) - log_flux[0]) / (log_flux[1] - log_flux[0])
        column = (np.log(p / (1 - p)) + WIDEST) / (2 * WIDEST) * (QUANTILES - 1)
        row, column = np.clip(row, 0, len(log_flux) - 1.001), np.clip(column, 0, QUANTILES - 1.001)
        i, j = row.astype(int), column.astype(int)
        a, b = row - i, column - j
        return np.exp((1 - a) * ((1 - b) * quantile[i, j] + b * quantile[i, j + 1])
                      + a * ((1 - b) * quantile[i + 1, j] + b * quantile[i + 1, j + 1]))


def _rate(function: LuminosityFunction | PeakedFunction, log_flux: np.ndarray, index: float) -> np.ndarray:
    """Return the number of sources per steradian, ln S times ln 10 and ln z, at each ln S (Jy) and redshift."""
    log_z, log_distance, volume = _distances()
    z = np.exp(log_z)
    luminosity = 4 * np.pi * 1e-26 * np.exp(log_flux[:, None] + 2 * log_distance) * (1 + z)**-(1 + index)
    return function.density(luminosity, z) * volume * z


def _check_highest(redshift: float) -> None:
    if not 0.1 <= redshift <= 10:
        raise ValueError(f"highest_redshift must be from 0.1 to 10, got {redshift}")
