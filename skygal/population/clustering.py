"""Positions that cluster: an angular correlation that is a power law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from astropy import units as u
from astropy.wcs import WCS

from skygal.checks import as_quantity
from skygal.population.positions import sample_positions
from skygal.seeds import Seeds

__all__ = ["Clustering"]

#: cells of a level are this many times smaller than those of the one before
STEP = 2.0
#: rounds of the fit of the levels' variances
ROUNDS = 60
#: densities are cut at this many standard deviations of their logarithm
CUT = 4.0
#: points at which the mean density of an image is taken, and at which densities are made at a time
LATTICE, CHUNK = 20_000, 1 << 18
#: bits of a cell's number that choose its normal one
BITS = 16
#: odd numbers that mix the bits of cells' numbers: 2^64 over the golden ratio and two of its like
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


@dataclass(frozen=True)
class Clustering:
    """Clustered positions, w(theta) = amplitude (theta / deg)^-slope.

    Parameters
    ----------
    amplitude : float
        The default, 1e-3, is that of radio sources above 3 to 40 mJy at 1.4 GHz (Overzier et al. 2003,
        2003A&A...405...53O).
    slope : float
    smallest, largest : `~astropy.units.Quantity`
        Scales between which w is that power law. Nearer pairs are as frequent as at ``smallest``, and there is no
        correlation far beyond ``largest``.

    Notes
    -----
    The density of sources is a product of independent fields, one for each of a series of scales, from ``largest`` to
    ``smallest`` in steps of two. A field is constant in the cells of a cubic lattice in space, which a random rotation
    and shift of its own lays through the sphere of the sky; in each cell its logarithm is a normal number that is made
    from the run's seed, the scale and the cell's own numbers alone. So the density at a place does not depend on which
    piece of sky is asked for. Two directions an angle apart fall in the same cell with the probability P(theta / side),
    the mean of (1 - x)(1 - y)(1 - z) over all rotations of their chord, x, y and z being the sizes of its components in
    units of the side, and 1 + w = product of 1 + (exp(v) - 1) P over the scales, v being their variances. These are
    fitted to the power law.

    Positions are uniform ones, each kept with a probability in proportion to the density.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.population import Clustering
    >>> print(Clustering(2e-3).correlation([0.02, 0.1, 1] * u.deg).round(4))
    [0.0456 0.0126 0.002 ]
    """

    amplitude: float = 1e-3
    slope: float = 0.8
    smallest: u.Quantity = field(default_factory=lambda: 10 * u.arcsec)
    largest: u.Quantity = field(default_factory=lambda: 10 * u.deg)

    def __post_init__(self) -> None:
        as_quantity("amplitude", self.amplitude, u.one, positive=False, minimum=0)
        slope = as_quantity("slope", self.slope, u.one)
        if slope >= 2:
            raise ValueError(f"slope must be below 2, got {slope}")
        low, high = (as_quantity(name, getattr(self, name), u.deg) for name in ("smallest", "largest"))
        if not low < high <= 60:
            raise ValueError(f"smallest must be below largest, and that at most 60 deg, got {self.smallest} and "
                             f"{self.largest}")

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the sides of the cells in degrees, and the variance of the logarithm of each field."""
        low, high = self.smallest.to_value(u.deg), self.largest.to_value(u.deg)
        # a little beyond both ends, so that the power law holds up to them
        count = 3 + int(np.ceil(np.log(high / low) / np.log(STEP)))
        sides = 2 * high * STEP**-np.arange(count, dtype=float)
        aim = np.log1p(self.amplitude * np.clip(sides / 2, low, None)**-self.slope)
        variance = aim.copy()
        if self.amplitude > 0:
            same = _same_cell(0.5 * sides[:, None] / sides)
            for _ in range(ROUNDS):
                variance *= (aim / np.log1p(np.expm1(variance) * same).sum(axis=1))**0.5
        return sides, variance

    def correlation(self, separation: u.Quantity) -> np.ndarray:
        """Return w of what is drawn, at angular separations."""
        angle = as_quantity("separation", separation, u.deg, scalar=False)
        sides, variance = self.levels()
        chord = np.degrees(2 * np.sin(np.radians(angle) / 2))
        return np.prod(1 + np.expm1(variance) * _same_cell(chord[..., None] / sides), axis=-1) - 1

    def density(self, ra: np.ndarray, dec: np.ndarray, seeds: Seeds) -> np.ndarray:
        """Return the density at positions (ICRS, degrees), 1 in the mean of all skies."""
        a, d = np.radians(ra), np.radians(dec)
        vector = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
        log = np.zeros(len(a))
        for level, (side, variance) in enumerate(zip(*self.levels(), strict=True)):
            stream = seeds.generator("sky: clustering", level)
            rotation, shift = _rotation(stream.standard_normal(4)) / np.radians(side), stream.random((3, 1))
            x, y, z = np.floor(rotation @ vector + shift).astype(np.int64).view(np.uint64)
            bits = _mixed((x * _MIX[0] + y * _MIX[1] + z * _MIX[2]) ^ np.uint64(stream.integers(2**63)))
            log += np.sqrt(variance) * _normals()[bits >> np.uint64(64 - BITS)] - variance / 2
        return np.exp(np.minimum(log, np.log(self._largest_density())))

    def _largest_density(self) -> float:
        total = self.levels()[1].sum()
        return float(np.exp(CUT * np.sqrt(total) - total / 2))

    def mean_density(self, wcs: WCS, shape: Sequence[int], *, seeds: Seeds, mask: np.ndarray | None = None) -> float:
        """Return the mean density of an image's sky, where ``mask`` is True."""
        places = sample_positions(wcs, shape, LATTICE, seeds.generator("sky: mean density"), mask=mask)
        return float(self.density(*places, seeds).mean())

    def sample_positions(self, wcs: WCS, shape: Sequence[int], n: int, *, seeds: Seeds,
                         mask: np.ndarray | None = None, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return ``n`` positions inside an image.

        Parameters
        ----------
        wcs, shape, mask, margin
            See `skygal.population.sample_positions`.
        n : int
        seeds : `~skygal.seeds.Seeds`

        Returns
        -------
        ra, dec : ndarray, shape (n,)
            ICRS, degrees. The first k do not depend on ``n``.
        """
        largest = self._largest_density()
        # where many are asked for, it is worth while to know how many must be tried
        mean = self.mean_density(wcs, shape, seeds=seeds, mask=mask) if n > LATTICE else 1.0
        tried = int(1.03 * n * largest / mean) + 100
        while True:
            # more are tried from the beginning, so that the first are the same
            ra, dec = sample_positions(wcs, shape, tried, seeds.generator("sky: position"), mask=mask, margin=margin)
            chance = seeds.generator("sky: position kept").random(tried) * largest
            keep = np.concatenate([chance[k:k + CHUNK] < self.density(ra[k:k + CHUNK], dec[k:k + CHUNK], seeds)
                                   for k in range(0, tried, CHUNK)])
            kept = int(keep.sum())
            if kept >= n:
                return ra[keep][:n], dec[keep][:n]
            tried = int(1.2 * tried * max(n / max(kept, 1), 1)) + 100


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Return chords in units of a cell's side, and with which probability both ends lie in one cell."""
    # directions of a Fibonacci lattice on an octant, which is all that counts
    k = np.arange(20_000) + 0.5
    z, phi = k / len(k), (np.pi / 2) * ((k * (np.sqrt(5) - 1) / 2) % 1)
    r = np.sqrt(1 - z**2)
    ends = np.stack([r * np.cos(phi), r * np.sin(phi), z])
    chord = np.linspace(0, np.sqrt(3), 400)
    return chord, np.array([np.prod(np.maximum(1 - length * ends, 0), axis=0).mean() for length in chord])


def _same_cell(chord: np.ndarray) -> np.ndarray:
    """Return the probability that two points of a chord, in units of a cell's side, lie in one cell."""
    return np.interp(chord, *_table(), right=0.0)


def _rotation(q: np.ndarray) -> np.ndarray:
    """Return the rotation of a quaternion; of four normal numbers, a random one."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


@cache
def _normals() -> np.ndarray:
    """Return the quantiles of a normal distribution, as many as there are numbers of `BITS` bits."""
    from scipy.special import ndtri

    return ndtri((np.arange(2**BITS) + 0.5) / 2**BITS)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Return whole numbers whose bits are as good as random, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
