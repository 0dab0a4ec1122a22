"""Spectral indices, S ~ nu^alpha."""

from __future__ import annotations

from typing import Any

from astropy import units as u

from skygal.checks import as_quantity
from skygal.population.distributions import Distribution, Normal, as_distribution

__all__ = ["SPECTRAL_INDEX", "SPECTRAL_SCATTER", "as_spectra"]

#: steep-spectrum radio galaxies, as in T-RECS (Bonaldi et al. 2019, 2019MNRAS.482....2B, and Bonato et al. 2021)
SPECTRAL_INDEX = -0.72
#: of one source to the next, a nominal value
SPECTRAL_SCATTER = 0.2


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
            raise TypeError(f"spectral_index must be one value or a (low, high) pair, got {spectral_index!r}")
        low, high = (as_quantity(f"spectral_index ({end} end)", value, u.one, positive=False) * u.one
                     for end, value in zip(("low", "high"), spectral_index, strict=True))
        if low >= high:
            raise ValueError(f"spectral_index must have low < high, got low = {low} and high = {high}")
        return Normal(*normal, low, high)
    return as_distribution("spectral_index", spectral_index, u.one, positive=False)
