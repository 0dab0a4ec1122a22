"""Radio source counts: how many sources of which flux there are on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, as_range, show_fields
from skygal.population.distributions import inverse_power, uniforms

__all__ = ["COUNTS_SPECTRAL_INDEX", "CountedFlux", "SourceCounts", "read_counts"]

#: typical of sources selected at GHz frequencies, S ~ nu^alpha: what counts and sizes are scaled with
COUNTS_SPECTRAL_INDEX = -0.7


@dataclass(frozen=True, eq=False)
class SourceCounts:
    """Euclidean-normalised differential counts, a power law between each two points of a table.

    Parameters
    ----------
    flux : ndarray
        Jy, rising.
    counts : ndarray
        S^2.5 dN/dS, Jy^1.5/sr.
    frequency : `~astropy.units.Quantity`

    Notes
    -----
    Interpolated linearly in log S and log(dN/dS). Outside the table nothing is known: asking for it
    is an error.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.population import read_counts
    >>> counts = read_counts()
    >>> print(f"{counts.number(10 * u.mJy).to(1 / u.deg**2):.1f}")
    16.2 1 / deg2
    """

    flux: np.ndarray
    counts: np.ndarray
    frequency: u.Quantity

    __repr__ = show_fields

    def __post_init__(self) -> None:
        flux, counts = np.array(self.flux, float), np.array(self.counts, float)
        if flux.ndim != 1 or flux.size < 2 or counts.shape != flux.shape:
            raise ValueError("flux and counts must be two columns of at least 2 rows, "
                             f"got shapes {flux.shape} and {counts.shape}")
        if not (np.all(np.isfinite(flux)) and flux[0] > 0 and np.all(np.diff(flux) > 0)):
            raise ValueError("flux must be positive and rising")
        if not np.all(np.isfinite(counts) & (counts > 0)):
            raise ValueError("counts must be positive")
        as_quantity("frequency", self.frequency, u.Hz)
        for name, value in (("flux", flux), ("counts", counts)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def low(self) -> u.Quantity:
        """The faintest flux of the table."""
        return self.flux[0] * u.Jy

    @property
    def high(self) -> u.Quantity:
        """The brightest flux of the table."""
        return self.flux[-1] * u.Jy

    def at(self, frequency: u.Quantity, spectral_index: float = COUNTS_SPECTRAL_INDEX) -> SourceCounts:
        """Return the counts at another frequency, all fluxes scaled by the same power of it.

        With r = (frequency ratio)^alpha, S becomes r S and S^2.5 dN/dS grows by r^1.5.
        """
        ratio = as_quantity("frequency", frequency, u.Hz) / self.frequency.to_value(u.Hz)
        r = ratio**as_quantity("spectral_index", spectral_index, u.one, positive=False)
        return SourceCounts(self.flux * r, self.counts * r**1.5, u.Quantity(frequency))

    def _range(self, low: Any, high: Any) -> tuple[float, float]:
        a, b = as_range("flux", (self.low if low is None else low, self.high if high is None else high), u.Jy)
        # a bound that went through another unit may differ in its last digit
        slack = 1e-9
        if a < self.flux[0] * (1 - slack) or b > self.flux[-1] * (1 + slack):
            raise ValueError(f"flux must lie within the source counts, {self.flux[0]:.4g} to {self.flux[-1]:.4g} Jy at "
                             f"{self.frequency:.4g}, got {a:.4g} to {b:.4g} Jy")
        return max(a, self.flux[0]), min(b, self.flux[-1])

    def differential(self, flux: u.Quantity) -> u.Quantity:
        """Return dN/dS in 1/(Jy sr)."""
        s = as_quantity("flux", flux, u.Jy, scalar=False)
        if np.any((s < self.flux[0] * (1 - 1e-9)) | (s > self.flux[-1] * (1 + 1e-9))):
            raise ValueError(f"flux must lie within the source counts, {self.flux[0]:.4g} to {self.flux[-1]:.4g} Jy, "
                             f"got {np.min(s):.4g} to {np.max(s):.4g} Jy")
        log = np.interp(np.log(s), np.log(self.flux), np.log(self.counts))
        return np.exp(log) * s**-2.5 / (u.Jy * u.sr)

    def _pieces(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return lower end, width in ln S, slope of S dN/dS and integral of each piece of [low, high]."""
        # an end that is a point of the table but for rounding makes no piece of its own
        inside = self.flux[(self.flux > low * (1 + 1e-12)) & (self.flux < high * (1 - 1e-12))]
        edges = np.r_[low, inside, high]
        log = np.log(edges)
        per_log = np.interp(log, np.log(self.flux), np.log(self.counts)) - 1.5 * log
        width = np.diff(log)
        rate = np.diff(per_log) / width
        x = rate * width
        mean = np.where(np.abs(x) < 1e-9, 1 + x / 2, np.expm1(x) / np.where(np.abs(x) < 1e-9, 1, x))
        return edges, width, rate, np.exp(per_log[:-1]) * width * mean

    def number(self, low: u.Quantity | None = None, high: u.Quantity | None = None) -> u.Quantity:
        """Return how many sources a steradian has between two fluxes (by default the table's ends)."""
        return self._pieces(*self._range(low, high))[3].sum() / u.sr

    def sample(self, n: int, rng: np.random.Generator, low: u.Quantity | None = None,
               high: u.Quantity | None = None) -> u.Quantity:
        """Return ``n`` fluxes between two fluxes, by the exact inverse of the integrated counts."""
        edges, width, rate, content = self._pieces(*self._range(low, high))
        total = np.r_[0.0, np.cumsum(content)]
        p = uniforms(n, rng) * total[-1]
        k = np.clip(np.searchsorted(total, p, side="right") - 1, 0, len(content) - 1)
        within = np.clip((p - total[k]) / content[k], 0, 1)
        return np.clip(edges[k] * np.exp(inverse_power(within, width[k], rate[k])), edges[0], edges[-1]) * u.Jy

    def between(self, low: u.Quantity | None = None, high: u.Quantity | None = None) -> CountedFlux:
        """Return the distribution of fluxes in a range, which also knows how many there are."""
        a, b = self._range(low, high)
        return CountedFlux(self, a * u.Jy, b * u.Jy)


@dataclass(frozen=True)
class CountedFlux:
    """Fluxes after the source counts, in a range (see `SourceCounts.between`)."""

    counts: SourceCounts
    low: u.Quantity
    high: u.Quantity

    def sample(self, n: int, rng: np.random.Generator) -> u.Quantity:
        """Return ``n`` fluxes."""
        return self.counts.sample(n, rng, self.low, self.high)

    @property
    def number(self) -> u.Quantity:
        """How many there are in a steradian."""
        return self.counts.number(self.low, self.high)


@cache
def read_counts(*, deep: bool = False) -> SourceCounts:
    """Return the counts at 1.4 GHz that come with the package, 20 uJy to 90 Jy.

    Parameters
    ----------
    deep : bool
        Those that whole skies and faint sources are drawn from, 10 nJy to 90 Jy; the same from 49 uJy on.

    Notes
    -----
    The compilation of Norris et al. 2011 (2011PASA...28..215N), binned. It counts radio sources of
    all kinds. Below 49 uJy the deep ones are those of DEEP2 (Matthews et al. 2021, 2021ApJ...909..193M), measured down
    to 0.25 uJy and extrapolated from there.
    """
    name = f"source_counts_1400MHz{'_deep' * deep}.csv"
    text = files("skygal.catalogs").joinpath(name).read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    column = {name: np.array([float(row[i]) for row in rows[1:]]) for i, name in enumerate(rows[0])}
    return SourceCounts(column["flux"], column["counts"], 1.4 * u.GHz)
