"""What a sky is made of: shares given flux, sizes given flux, spectra, and the classes of sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skygal.checks import show, show_fields

__all__ = ["CLASSES", "JETS", "STAR_FORMING", "Disc", "Jets", "Shares", "Sizes", "SourceClass", "Spectrum"]

#: classes of galaxies that shine by their star formation, and of those with jets
STAR_FORMING, JETS = ("SFG", "RQ-AGN"), ("FR0", "FRI", "FRII")
CLASSES = STAR_FORMING + JETS
#: spectral indices are cut at this many standard deviations, so that it is known from which flux on a sky is complete
CUT = 3.0


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares that sum to 1, linear in ln S between the fluxes of a table and constant beyond its ends.

    Parameters
    ----------
    flux : ndarray
        Jy at 1.4 GHz, rising.
    shares : mapping of str to ndarray
    """

    flux: np.ndarray
    shares: Mapping[str, np.ndarray]

    __repr__ = show_fields

    def __post_init__(self) -> None:
        _check_flux(self.flux)
        for name, share in self.shares.items():
            if len(share) != len(self.flux):
                raise ValueError(f"{name} must have a share for each of {len(self.flux)} fluxes, got {len(share)}")
            if not np.all((np.asarray(share) >= 0) & (np.asarray(share) <= 1)):
                raise ValueError(f"{name} must have shares from 0 to 1, got {show(list(map(float, share)))}")
        total = np.sum(list(self.shares.values()), axis=0)
        off = np.abs(total - 1) > 1e-6
        if off.any():
            raise ValueError(f"shares of {', '.join(self.shares)} must sum to 1 at each flux, got {total[off][0]:.6g} "
                             f"at {self.flux[off][0]:.4g} Jy")

    def at(self, name: str, flux: np.ndarray) -> np.ndarray:
        """Return the share of one name at ``flux`` (Jy)."""
        return np.interp(np.log(flux), np.log(self.flux), self.shares[name])


@dataclass(frozen=True, eq=False)
class Sizes:
    """Angular sizes given flux: P(> size) = exp[-ln 2 (size / median)^exponent].

    Parameters
    ----------
    flux, median : ndarray
        Medians in arcsec at fluxes in Jy at 1.4 GHz, rising. The median is a power law between two of them and constant
        below the first.
    slope : float
        Above the last flux the median goes as S^slope.
    exponent : float
    """

    flux: np.ndarray
    median: np.ndarray
    slope: float
    exponent: float

    __repr__ = show_fields

    def __post_init__(self) -> None:
        _check_flux(self.flux)
        if len(self.median) != len(self.flux) or not np.all(np.asarray(self.median) > 0):
            raise ValueError(f"median must be positive at each of {len(self.flux)} fluxes, got "
                             f"{show(list(map(float, self.median)))}")

    def medians(self, flux: np.ndarray) -> np.ndarray:
        """Return medians in arcsec at ``flux`` (Jy)."""
        inside = np.exp(np.interp(np.log(flux), np.log(self.flux), np.log(self.median)))
        return inside * np.maximum(flux / self.flux[-1], 1)**self.slope

    def at(self, p: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Return the quantiles ``p`` of the size in arcsec."""
        return self.medians(flux) * (-np.log1p(-p) / np.log(2))**(1 / self.exponent)

    def below(self, size: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """Return which share of sources is smaller than ``size`` (arcsec)."""
        return -np.expm1(-np.log(2) * (size / self.medians(flux))**self.exponent)


@dataclass(frozen=True)
class Spectrum:
    """Part of a class with one kind of spectrum, S ~ nu^(index + curvature ln(nu / 1.4 GHz)).

    Parameters
    ----------
    share : float
    index, scatter : float
        Mean and standard deviation of a normal distribution, cut at three of them.
    curvature : float
    """

    share: float
    index: float
    scatter: float
    curvature: float = 0.0


@dataclass(frozen=True)
class Disc:
    """Exponential discs whose half-light radius in kpc is log-normal, about median ((1 + z) / (1 + redshift))^power.

    Parameters
    ----------
    median : float
        kpc at ``redshift``.
    redshift, power : float
    scatter : float
        Of the natural logarithm.
    thickness : float
        Axis ratio of a disc that is seen from the side; inclinations are random.
    """

    median: float
    redshift: float
    power: float
    scatter: float
    thickness: float


@dataclass(frozen=True)
class Jets:
    """How small sources with jets look: axis ratio, uniform in a range, and the core's part of the flux.

    Parameters
    ----------
    axis_ratio : (float, float)
    core : (float, float) or None
        Mean and standard deviation of the core fraction, which is cut to 0 to 1; None for no core.
    """

    axis_ratio: tuple[float, float]
    core: tuple[float, float] | None = None


@dataclass(frozen=True)
class SourceClass:
    """One class of sources: its shape and its spectra."""

    name: str
    shape: Disc | Jets
    spectra: tuple[Spectrum, ...]

    def __post_init__(self) -> None:
        total = sum(part.share for part in self.spectra)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"spectra must have shares that sum to 1, got {total:.6g}")

    def indices(self, chance: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return spectral index and curvature at 1.4 GHz; ``chance`` chooses the kind, ``p`` is the quantile in it."""
        from scipy.special import ndtr, ndtri

        ends = np.cumsum([part.share for part in self.spectra])
        kind = np.minimum(np.searchsorted(ends, chance, side="right"), len(ends) - 1)
        least = ndtr(-CUT)
        deviate = ndtri(least + (1 - 2 * least) * p)
        column = {name: np.array([getattr(part, name) for part in self.spectra])[kind]
                  for name in ("index", "scatter", "curvature")}
        return column["index"] + column["scatter"] * deviate, column["curvature"]

    def extremes(self, log_ratio: float) -> tuple[float, float]:
        """Return the least and the largest factor that fluxes change by; ``log_ratio`` is ln(nu / 1.4 GHz)."""
        factors = [np.exp(log_ratio * (part.index + sign * CUT * part.scatter + part.curvature * log_ratio))
                   for part in self.spectra for sign in (-1, 1)]
        return min(factors), max(factors)


def _check_flux(flux: Any) -> None:
    flux = np.asarray(flux)
    if flux.ndim != 1 or not len(flux) or not np.all(np.isfinite(flux) & (flux > 0)) or np.any(np.diff(flux) <= 0):
        raise ValueError(f"flux must be positive and rising, got {show([float(value) for value in flux])} Jy")
