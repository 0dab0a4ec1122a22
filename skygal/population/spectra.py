"""Spectra, S ~ nu^(alpha + beta ln(nu / nu0)), of sources, their cores and their lobes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, show, show_fields
from skygal.population.distributions import Distribution, Normal, as_distribution

__all__ = ["CORE_INDEX", "SPECTRAL_INDEX", "SPECTRAL_SCATTER", "Colours", "as_curvature", "as_spectra"]

#: steep-spectrum radio galaxies, as in T-RECS (Bonaldi et al. 2019, 2019MNRAS.482....2B, and Bonato et al. 2021)
SPECTRAL_INDEX = -0.72
#: of one source to the next, a nominal value
SPECTRAL_SCATTER = 0.2
#: of cores, which are flat (Begelman, Blandford & Rees 1984, 1984RvMP...56..255B)
CORE_INDEX = 0.0
#: no lobes are steeper than their source by more than this: a source that is nearly all core has its index itself
STEEPEST_LOBES = 0.5


def as_spectra(spectral_index: Any = None) -> Distribution:
    """Return the distribution of spectral indices.

    Parameters
    ----------
    spectral_index : float, (float, float) or distribution, optional
        One value for all, or a range that the default is cut to. By default normal about -0.72 with
        a scatter of 0.2.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, not finite, or low is not below high.
    """
    normal = SPECTRAL_INDEX * u.one, SPECTRAL_SCATTER * u.one
    if spectral_index is None:
        return Normal(*normal)
    if isinstance(spectral_index, (tuple, list)) or getattr(spectral_index, "shape", ()) == (2,):
        if len(spectral_index) != 2:
            raise TypeError(f"spectral_index must be one value or a (low, high) pair, got {show(spectral_index)}")
        low, high = (as_quantity(f"spectral_index ({end} end)", value, u.one, positive=False) * u.one
                     for end, value in zip(("low", "high"), spectral_index, strict=True))
        if low >= high:
            raise ValueError(f"spectral_index must have low < high, got low = {low} and high = {high}")
        return Normal(*normal, low, high)
    return as_distribution("spectral_index", spectral_index, u.one, positive=False)


def as_curvature(curvature: Any = None) -> Distribution:
    """Return the distribution of spectral curvatures, beta in S ~ nu^(alpha + beta ln(nu / nu0)).

    Parameters
    ----------
    curvature : float or distribution, optional
        One value for all, or a distribution. By default 0: power laws.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or not finite.
    """
    return as_distribution("curvature", 0.0 if curvature is None else curvature, u.one, positive=False)


@dataclass(frozen=True, eq=False)
class Colours:
    """How the parts of sources change from one frequency to another.

    Attributes
    ----------
    core_index, lobe_index : ndarray, shape (n,)
        Spectral indices of the core and of all else.
    lobes : ndarray, shape (n,)
        What the flux of all but the core is multiplied by.
    extra : ndarray, shape (n,)
        What the core gets or loses on top of that, in parts of the source's flux before it does.
    """

    core_index: np.ndarray
    lobe_index: np.ndarray
    lobes: np.ndarray
    extra: np.ndarray

    __repr__ = show_fields

    def __getitem__(self, part: slice | np.ndarray) -> Colours:
        return Colours(*(getattr(self, field.name)[part] for field in fields(self)))

    @classmethod
    def of(cls, spectral_index: np.ndarray, core_frac: np.ndarray, ratio: float, *,
           curvature: np.ndarray | float = 0.0) -> Colours:
        """Return the colours of sources.

        Parameters
        ----------
        spectral_index : ndarray, shape (n,)
            Of each source as a whole, at the frequency that its flux is given for.
        core_frac : ndarray, shape (n,)
            The core's part of the flux there.
        ratio : float
            The frequency seen over that frequency.
        curvature : ndarray, shape (n,), optional
            Of each source's spectrum, in its core as in its lobes.

        Notes
        -----
        S = (S_core r^alpha_core + S_lobes r^alpha_lobes) r^(beta ln r), with r the ratio, beta the curvature, and the
        mean of the two indices, weighted by flux, the one of the source. Cores are flat, and lobes at most 0.5
        steeper than their source.
        """
        lobe_part = 1 - core_frac
        core = np.maximum(spectral_index, CORE_INDEX)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            lobe, steepest = (spectral_index - core_frac * core) / lobe_part, spectral_index - STEEPEST_LOBES
            # where lobes cannot be as steep as a flat core would have it, the core is not flat
            core = np.where(lobe >= steepest, core, (spectral_index - lobe_part * steepest) / core_frac)
            lobe = np.maximum(lobe, steepest)
            # of what is all core but for rounding, nothing else can be told
            core, lobe = (np.where(lobe_part > 1e-6, index, spectral_index) for index in (core, lobe))
        if ratio == 1:
            return cls(core, lobe, np.ones(len(core)), np.zeros(len(core)))
        lobes = ratio ** (lobe + curvature * np.log(ratio))
        return cls(core, lobe, lobes, core_frac * (ratio**(core - lobe) - 1))
