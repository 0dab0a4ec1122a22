"""What a model is asked for beside the class: extent and bending, as measured on aligned stamps.

Written with operators that numpy arrays and torch tensors share, so that training and measurement use the
same lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skygal.checks import show_fields
from skygal.morphology.moments import column_sums

__all__ = ["SIZE_TO_EXTENT", "ConditionTable", "measure_bending", "measure_extent_bending"]

#: largest angular size of a stamp over its extent: the median of FIRST's, which scatter by a tenth
SIZE_TO_EXTENT = 3.3

#: points of the tabulated distributions
QUANTILES = 65
#: groups of extent, each with as many stamps, that have a distribution of bending of their own
GROUPS = 4

#: keeps the curvature of a ridge of two points, which is not determined, at zero; in units of the flux
RIDGE = 0.05


def measure_extent_bending(images: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Measure how long and how bent sources are along the x axis.

    Parameters
    ----------
    images : ndarray or tensor, shape (n, ny, nx)
        Non-negative stamps, the principal axis along x, none of them blank.
    x, y : ndarray or tensor, shapes (nx,) and (ny,)
        The pixels' places about the middle of the frame, in pixels.

    Returns
    -------
    extent : like ``images``, shape (n,)
        Standard deviation along x of the square root of the brightness, in pixels. Unlike the
        flux-weighted one it hardly depends on how bright a core is: the largest angular size is about 3.3
        times this.
    bending : like ``images``, shape (n,)
        Angle in radians between the two arms' directions, 0 for a straight source, up to pi; positive where
        the ends lie towards +y.

    Notes
    -----
    A parabola y = a + b t + c t^2 is fitted to the pixels, weighted by flux, t being the distance along x from the
    centre in units of its standard deviation L. The chords from the parabola's middle to t = +-1 enclose pi less the
    bending, which is 2 arctan(c / L). A small prior on c decides where two point-like lobes alone leave it open.
    """
    root = images**0.5
    along = root.sum(1)
    total = along.sum(1)
    middle = (along * x).sum(1) / total
    extent = ((along * (x - middle[:, None]) ** 2).sum(1) / total) ** 0.5

    return extent, _bending(images.sum(1), (images * y[None, :, None]).sum(1), x)


def _bending(flux: Any, height: Any, x: Any) -> Any:
    """Return the bending from sums over each column of brightness, and of brightness times y, shape (n, nx)."""
    total = flux.sum(1)
    weight, height = flux / total[:, None], height / total[:, None]
    offset = x - (weight * x).sum(1)[:, None]
    length = ((weight * offset**2).sum(1)) ** 0.5
    t = offset / length[:, None]
    height = height - height.sum(1)[:, None] * weight
    # moments of t, of which the first two are 0 and 1, and of the height with t and t^2
    m3, m4 = (weight * t**3).sum(1), (weight * t**4).sum(1)
    h1, h2 = (height * t).sum(1), (height * t**2).sum(1)
    curvature = (h2 - m3 * h1) / (m4 - m3**2 - 1 + RIDGE)
    return 2 * _arctan(curvature / length)


def measure_bending(images: np.ndarray) -> np.ndarray:
    """Return the bending (radians, shape (n,)) of aligned stamps (n, ny, nx): see `measure_extent_bending`."""
    x, y = (np.arange(size) - (size - 1) / 2 for size in images.shape[:0:-1])
    return _bending(*column_sums(images, y), x)


def _arctan(value: Any) -> Any:
    return np.arctan(value) if isinstance(value, np.ndarray) else value.atan()


@dataclass(frozen=True, eq=False)
class ConditionTable:
    """How the extents and bendings of a class's training stamps are distributed.

    Attributes
    ----------
    extent : ndarray, shape (q,), float32
        Quantiles in arcsec, evenly spaced in probability from 0 to 1, ascending.
    bending : ndarray, shape (groups, q), float32
        Quantiles of the absolute bending in radians for each group of extents, the groups evenly spaced in the
        probability of the extent.
    """

    extent: np.ndarray
    bending: np.ndarray

    __repr__ = show_fields

    @classmethod
    def of_stamps(cls, extent: np.ndarray, bending: np.ndarray) -> ConditionTable:
        """Return the table of stamps with these extents (arcsec) and bendings (radians), each of shape (n,)."""
        rank = np.linspace(0, 1, QUANTILES)
        order = np.argsort(extent, kind="stable")
        # too few stamps for groups are one
        parts = np.array_split(order, GROUPS) if order.size >= GROUPS else [order] * GROUPS
        groups = [np.quantile(np.abs(bending[part]), rank) for part in parts]
        return cls(np.quantile(extent, rank).astype(np.float32), np.stack(groups).astype(np.float32))

    def extent_at(self, rank: np.ndarray | float) -> np.ndarray:
        """Return the extents (arcsec) below which the fractions ``rank`` lie."""
        return np.interp(rank, np.linspace(0, 1, self.extent.size), self.extent)

    def rank_of(self, extent: np.ndarray) -> np.ndarray:
        """Return the fraction of extents below each."""
        return np.interp(extent, self.extent, np.linspace(0, 1, self.extent.size))

    def bending_at(self, extent: np.ndarray, rank: np.ndarray, low: float = 0.0, high: float = np.pi) -> np.ndarray:
        """Return absolute bendings (radians) at extents, of those between ``low`` and ``high``.

        Where the class's stamps have none between the two, all values there are as likely.
        """
        group = np.minimum((np.asarray(self.rank_of(extent)) * len(self.bending)).astype(int), len(self.bending) - 1)
        out = np.empty(np.shape(group))
        grid = np.linspace(0, 1, self.bending.shape[1])
        for k in np.unique(group):
            here = group == k
            first, last = np.interp([low, high], self.bending[k], grid).tolist()
            if low <= self.bending[k, 0]:
                first = 0.0     # also where the first quantiles are all alike
            part = rank[here]
            out[here] = np.interp(first + (last - first) * part, grid, self.bending[k]) if last > first else low + (
                high - low) * part
        return np.clip(out, low, high)
