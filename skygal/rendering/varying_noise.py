"""Noise whose correlation is that of a beam that varies over the image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from skygal.observation.beam_nodes import BeamNodes
from skygal.rendering.blocks import Blocks

__all__ = ["VaryingNoise", "gaussian_reach", "unit_gaussian"]

#: transforms of kernels that are kept at once; each is about a megabyte
KEPT = 96


def gaussian_reach(covariance: np.ndarray) -> tuple[int, int]:
    """Return how far (y, x) a Gaussian's kernel reaches: five standard deviations, in whole pixels."""
    rx, ry = np.ceil(5 * np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1).reshape(-1, 2).max(axis=0))).astype(int)
    return int(ry), int(rx)


def unit_gaussian(covariance: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Return a Gaussian sampled at pixels, of unit square sum, shape (2 * ry + 1, 2 * rx + 1)."""
    ry, rx = reach
    x, y = np.arange(-rx, rx + 1), np.arange(-ry, ry + 1)
    (a, b), (_, c) = np.linalg.inv(covariance)
    exponent = 0.5 * (a * x**2 + (c * y**2)[:, None] + 2 * b * np.multiply.outer(y, x))
    # what is smaller yet would slow transforms down, as numbers below the normal range do
    kernel = np.where(exponent < 20, np.exp(-exponent), 0)
    return kernel / np.sqrt(np.sum(kernel**2))


def _hats(first: int, count: int, nodes: np.ndarray) -> tuple[int, list[np.ndarray]]:
    """Return, for pixels along one axis, the first node that matters and the weights of it and the next ones."""
    place = np.interp(np.arange(first, first + count), nodes, np.arange(len(nodes)))
    low = int(min(place[0], len(nodes) - 2))
    high = int(min(np.ceil(place[-1]), len(nodes) - 1))
    return low, [np.clip(1 - np.abs(place - k), 0, None) for k in range(low, max(high, low + 1) + 1)]


class VaryingNoise:
    """Convolves blocks of white noise with a beam that varies.

    Parameters
    ----------
    nodes : BeamNodes
        The beam.

    Notes
    -----
    With k_n the kernels at the nodes, of unit square sum, and w_n(x) the weights of bilinear
    interpolation, the noise is sum_n w_n (k_n * white), and its variance sum_nm w_n w_m <k_n, k_m>.
    """

    def __init__(self, nodes: BeamNodes) -> None:
        self.nodes = nodes
        self._reach = gaussian_reach(nodes.covariance)
        self.blocks = Blocks(self._reach, dtype=np.float32)
        self._transfer = lru_cache(maxsize=KEPT)(lambda j, i: self.blocks.transfer(self._kernel(j, i)))
        self._product = lru_cache(maxsize=4096)(self._inner)

    def _kernel(self, j: int, i: int) -> np.ndarray:
        return unit_gaussian(self.nodes.covariance[j, i], self._reach)

    def _inner(self, a: tuple[int, int], b: tuple[int, int]) -> float:
        return float(np.sum(self._kernel(*a) * self._kernel(*b)))

    def block(self, place: tuple[int, int], spectrum: np.ndarray, rms: float) -> np.ndarray:
        """Return block ``place`` (j, i) of the noise, from the transform of the white noise there."""
        (sy, sx), (j, i) = self.blocks.sides, place
        row, down = _hats(j * sy, sy, self.nodes.y)
        column, across = _hats(i * sx, sx, self.nodes.x)
        total = np.zeros(self.blocks.sides, np.float32)
        for m, wy in enumerate(down):
            for n, wx in enumerate(across):
                # not by an operator: it multiplies in place if it may, which rounds complex numbers otherwise, and
                # whether it may can depend on what another thread does with the cache of transfers
                product = np.multiply(spectrum, self._transfer(row + m, column + n))
                part = self.blocks.backward(product)
                part *= wy.astype(np.float32)[:, None]
                part *= wx.astype(np.float32)
                total += part
        total *= np.float32(rms) / np.sqrt(self._variance(row, down, column, across))
        return total

    def _variance(self, row: int, down: Sequence[np.ndarray], column: int, across: Sequence[np.ndarray]) -> np.ndarray:
        """Return the variance of the sum over nodes, in which each row of weights meets itself and the next."""
        total = np.zeros(self.blocks.sides, np.float32)
        for m, n in _pairs(len(down)):
            for p, q in _pairs(len(across)):
                inner = (self._product((row + m, column + p), (row + n, column + q))
                         + self._product((row + m, column + q), (row + n, column + p)))
                # pairs of two different rows, and of two different columns, come twice
                twice = (1 if m == n else 2) * (1 if p == q else 2) / 2
                total += np.multiply.outer((down[m] * down[n] * (twice * inner)).astype(np.float32),
                                           (across[p] * across[q]).astype(np.float32))
        return total


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(k, k) for k in range(count)] + [(k, k + 1) for k in range(count - 1)]
