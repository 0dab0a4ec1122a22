"""Components of a stamp: the hills of its brightness, by steepest ascent.

Every pixel belongs to the peak that one reaches by always going to the brightest neighbour. A hill
that hardly rises above the saddle to its neighbour, or holds hardly any flux, is part of the
neighbour; an island with hardly any goes to the nearest hill, so that components add up to the
source. All stamps of a batch are handled at once.
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
    up = np.zeros(pixels.size, np.int32)
    best = flat[pixels]
    for offset in offsets[1:]:
        value = flat[pixels + offset]
        np.putmask(up, value > best, offset)
        np.maximum(best, value, out=best)
    place = np.empty(flat.size, np.int32)
    place[pixels] = np.arange(pixels.size, dtype=np.int32)
    root = place[pixels + up]
    while True:
        further = root[root]
        if np.array_equal(further, root):
            return root
        root = further


@dataclass
class _Hills:
    """Hills of a batch, each known by its peak."""

    plane: np.ndarray       # stamp
    x: np.ndarray           # of the peak
    y: np.ndarray
    value: np.ndarray       # at the peak
    flux: np.ndarray
    counts: np.ndarray      # flux below which one does not count


def _saddles(padded: np.ndarray, pixels: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of hills that touch, each once, and the height of the highest saddle between them.

    The height of a saddle is that of the lower of the two pixels where the hills touch.
    """
    flat, width = padded.ravel(), padded.shape[2]
    owner = np.full(flat.size, -1, np.int32)
    owner[pixels] = label
    pairs = []
    for offset in (1, width, width + 1, width - 1):
        other = owner[pixels + offset]
        here = np.flatnonzero((other >= 0) & (other != label))
        pairs.append((label[here], other[here], np.minimum(flat[pixels[here]], flat[pixels[here] + offset])))
    first, second, height = (np.concatenate(column) for column in zip(*pairs, strict=True))
    if not first.size:
        return first, second, height
    pair = np.minimum(first, second).astype(np.int64) << 32 | np.maximum(first, second)
    order = np.argsort(pair, kind="stable")
    pair = pair[order]
    starts = np.flatnonzero(np.r_[True, pair[1:] != pair[:-1]])
    return pair[starts] >> 32, pair[starts] & (2**32 - 1), np.maximum.reduceat(height[order], starts)


def _follow(target: np.ndarray) -> np.ndarray:
    while not np.array_equal(target[target], target):
        target = target[target]
    return target


def _merge(hills: _Hills, a: np.ndarray, b: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return for each hill the one it is part of: the neighbour across its highest saddle, if it does not count."""
    part_of = np.arange(hills.value.size)
    flux = hills.flux.copy()
    for _ in range(_ROUNDS):
        ra, rb = part_of[a], part_of[b]
        apart = ra != rb
        a, b, height, ra, rb = a[apart], b[apart], height[apart], ra[apart], rb[apart]
        if not a.size:
            break
        # each saddle seen from both sides, the highest of a hill last
        hill, neighbour, saddle = np.r_[ra, rb], np.r_[rb, ra], np.r_[height, height]
        order = np.lexsort((neighbour, saddle, hill))
        last = order[np.r_[np.diff(hill[order]) > 0, True]]
        hill, neighbour, saddle = hill[last], neighbour[last], saddle[last]
        weak = (hills.value[hill] < PROMINENCE * saddle) | (flux[hill] < hills.counts[hill])
        # only up, or to the same height but an earlier pixel, so that no two swap
        up = (hills.value[neighbour] > hills.value[hill]) | ((hills.value[neighbour] == hills.value[hill])
                                                            & (neighbour < hill))
        move = weak & up
        if not move.any():
            break
        target = np.arange(part_of.size)
        target[hill[move]] = neighbour[move]
        part_of = _follow(target)[part_of]
        flux = np.bincount(part_of, weights=hills.flux, minlength=part_of.size)
    # islands with hardly any flux go to the nearest hill of their stamp
    tops = np.unique(part_of)
    good = flux[tops] >= hills.counts[tops]
    target = np.arange(part_of.size)
    for hill in tops[~good]:
        near = tops[good & (hills.plane[tops] == hills.plane[hill])]
        if near.size:
            target[hill] = near[np.argmin((hills.x[near] - hills.x[hill]) ** 2 + (hills.y[near] - hills.y[hill]) ** 2)]
    return target[part_of]


def find_components(stamps: np.ndarray) -> Components:
    """Return the components of each stamp.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Brightness, zero outside the sources.
    """
    stamps = np.asarray(stamps)
    padded = np.pad(stamps, [(0, 0), (1, 1), (1, 1)])
    ny, nx = padded.shape[1:]
    pixels = np.flatnonzero(padded > 0)
    plane, rest = np.divmod(pixels, ny * nx)
    y, x = np.divmod(rest, nx)
    x, y = x - 1, y - 1
    value = padded.ravel()[pixels]
    total = np.bincount(plane, weights=value, minlength=len(stamps))
    tops, label = np.unique(_climb(padded, pixels), return_inverse=True)
    hills = _Hills(plane[tops], x[tops], y[tops], value[tops], np.bincount(label, weights=value),
                   FAINTEST * total[plane[tops]])
    part_of = _merge(hills, *_saddles(padded, pixels, label))
    kept, number = np.unique(part_of, return_inverse=True)
    label = number[label]
    flux = np.bincount(label, weights=value)
    centre = np.stack([np.bincount(label, weights=value * c) / flux for c in (x, y)], axis=1)
    order = np.lexsort((-flux, hills.plane[kept]))
    kept = kept[order]
    return Components(hills.plane[kept], np.stack([hills.x[kept], hills.y[kept]], axis=1), centre[order],
                      hills.value[kept], flux[order])
