"""Components of a stamp: the hills of its brightness, by steepest ascent.

Every pixel belongs to the peak that one reaches by always going to the brightest neighbour. A hill
that hardly rises above the saddle to its neighbour, or holds hardly any flux, is part of the
neighbour. All stamps of a batch are handled at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Components", "find_components"]

#: a hill counts if its peak is above this many times its highest saddle ...
PROMINENCE = 1.1
#: ... and it holds at least this part of the stamp's flux
FAINTEST = 0.01
_ROUNDS = 20


@dataclass(frozen=True)
class Components:
    """The components of a batch of stamps, all in one list, ordered by stamp and falling flux.

    Attributes
    ----------
    stamp : ndarray of int, shape (m,)
        Index of the stamp each belongs to.
    peak : ndarray of int, shape (m, 2)
        Brightest pixel (x, y).
    centre : ndarray, shape (m, 2)
        Flux-weighted centre (x, y).
    peak_value : ndarray, shape (m,)
        Brightness of the brightest pixel.
    flux : ndarray, shape (m,)
        Sum of the pixels.
    """

    stamp: np.ndarray
    peak: np.ndarray
    centre: np.ndarray
    peak_value: np.ndarray
    flux: np.ndarray


def _climb(padded: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return for each pixel the place, in ``pixels``, of the peak it belongs to."""
    width = padded.shape[2]
    offsets = np.array([0, -1, 1, -width, width, -width - 1, -width + 1, width - 1, width + 1])
    flat = padded.ravel()
    up = np.zeros(pixels.size, int)
    best = flat[pixels]
    for offset in offsets[1:]:
        value = flat[pixels + offset]
        higher = value > best
        up[higher], best = offset, np.maximum(best, value)
    place = np.zeros(flat.size, np.int64)
    place[pixels] = np.arange(pixels.size)
    root = place[pixels + up]
    while True:
        further = root[root]
        if np.array_equal(further, root):
            return root
        root = further


def _merge(padded: np.ndarray, pixels: np.ndarray, root: np.ndarray, total: np.ndarray,
           plane: np.ndarray) -> np.ndarray:
    """Give hills that do not count to the neighbour across their highest saddle."""
    flat, width = padded.ravel(), padded.shape[2]
    value = flat[pixels]
    place = np.full(flat.size, -1, np.int64)
    place[pixels] = np.arange(pixels.size)
    pairs = []
    for offset in (1, width, width + 1, width - 1):
        other = place[pixels + offset]
        here = np.flatnonzero((other >= 0) & (root != root[other]))
        pairs.append(np.stack([here, other[here]]))
    a, b = np.concatenate(pairs, axis=1)
    height = np.minimum(value[a], value[b])
    for _ in range(_ROUNDS):
        ra, rb = root[a], root[b]
        apart = ra != rb
        if not apart.any():
            break
        a, b, height, ra, rb = a[apart], b[apart], height[apart], ra[apart], rb[apart]
        flux = np.bincount(root, weights=value, minlength=pixels.size)
        # each saddle seen from both sides, the highest of a hill last
        hill, neighbour, saddle = np.r_[ra, rb], np.r_[rb, ra], np.r_[height, height]
        order = np.lexsort((neighbour, saddle, hill))
        hill, neighbour, saddle = hill[order], neighbour[order], saddle[order]
        last = np.r_[hill[1:] != hill[:-1], True]
        hill, neighbour, saddle = hill[last], neighbour[last], saddle[last]
        weak = (value[hill] < PROMINENCE * saddle) | (flux[hill] < FAINTEST * total[plane[hill]])
        # only up, or to the same height but an earlier pixel, so that no two swap
        higher = (value[neighbour] > value[hill]) | ((value[neighbour] == value[hill]) & (neighbour < hill))
        move = weak & higher
        if not move.any():
            break
        target = np.arange(pixels.size)
        target[hill[move]] = neighbour[move]
        while not np.array_equal(target[target], target):
            target = target[target]
        root = target[root]
    return root


def find_components(stamps: np.ndarray) -> Components:
    """Return the components of each stamp.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Brightness, zero outside the sources.
    """
    stamps = np.asarray(stamps, float)
    padded = np.pad(stamps, [(0, 0), (1, 1), (1, 1)])
    ny, nx = padded.shape[1:]
    pixels = np.flatnonzero(padded > 0)
    plane, rest = np.divmod(pixels, ny * nx)
    y, x = np.divmod(rest, nx)
    x, y = x - 1, y - 1
    value = padded.ravel()[pixels]
    total = np.bincount(plane, weights=value, minlength=len(stamps))
    root = _merge(padded, pixels, _climb(padded, pixels), total, plane)
    hills, label = np.unique(root, return_inverse=True)
    flux = np.bincount(label, weights=value)
    keep = flux >= FAINTEST * total[plane[hills]]
    centre = np.stack([np.bincount(label, weights=value * c) / flux for c in (x, y)], axis=1)
    order = np.lexsort((-flux, plane[hills]))
    order = order[keep[order]]
    hills = hills[order]
    return Components(plane[hills], np.stack([x[hills], y[hills]], axis=1), centre[order], value[hills], flux[order])
