"""Components of an image of a source: the hills of its brightness, by steepest ascent.

Every pixel belongs to the peak that one reaches by always going to the brightest neighbour. A hill
that hardly rises above the saddle to its neighbour, or holds hardly any flux, is part of the
neighbour; an island with hardly any goes to the nearest hill, so that components add up to the
source. All images of a batch are handled at once, and each alone decides about its components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skygal.checks import show_fields

__all__ = ["STAMP", "Components", "HillPixels", "Rule", "find_components", "share_out"]

_ROUNDS = 20
#: brightness, in parts of the peak, that logarithms do not go below
_DARK = 1e-6


@dataclass(frozen=True, eq=False)
class Rule:
    """What counts as a hill.

    Attributes
    ----------
    prominence : float or ndarray, shape (n,)
        Its peak is at least this many times its highest saddle: for all images, or for each.
    least_flux : float
        It holds at least this part of the image's flux ...
    least_peak : float
        ... and its peak is at least this part of the image's.
    floor : float
        Pixels below this part of the image's peak are left out.
    between_pixels : bool
        Whether peaks and saddles are as high as between the pixels, so that a narrow ridge that runs askew to the
        rows of pixels is one hill, however coarse these are.
    """

    prominence: float | np.ndarray
    least_flux: float = 0.0
    least_peak: float = 0.0
    floor: float = 0.0
    between_pixels: bool = False

    __repr__ = show_fields


#: for stamps, which are ragged
STAMP = Rule(prominence=1.1, least_flux=0.01)


@dataclass(frozen=True, eq=False)
class Components:
    """The components of a batch of images, all in one list, ordered by image and falling flux.

    Attributes
    ----------
    stamp : ndarray of int, shape (m,)
        Index of the image each belongs to.
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

    __repr__ = show_fields

@dataclass(frozen=True, eq=False)
class HillPixels:
    """Which pixel is whose: one element for each pixel above the floor, row by row.

    Attributes
    ----------
    stamp, x, y : ndarray of int, shape (k,)
        Index of the image, column and row.
    value : ndarray, shape (k,)
        Brightness.
    component : ndarray of int, shape (k,)
        Place of its component in the list of these.
    """

    stamp: np.ndarray
    x: np.ndarray
    y: np.ndarray
    value: np.ndarray
    component: np.ndarray

    __repr__ = show_fields


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


@dataclass(eq=False)
class _Hills:
    """Hills of a batch, each known by its peak."""

    plane: np.ndarray       # image
    x: np.ndarray           # of the peak
    y: np.ndarray
    value: np.ndarray       # at the peak
    flux: np.ndarray
    least_flux: np.ndarray  # below which one does not count
    low: np.ndarray         # whether the peak is too low to count
    prominence: np.ndarray  # least one, over a saddle


def _between(flat: np.ndarray, here: np.ndarray, offset: int, dark: np.ndarray) -> np.ndarray:
    """Return the brightness half-way between pixels ``here`` and ``here + offset``.

    From the two pixels beyond too, by a cubic in the logarithm, which is exact for a Gaussian.
    """
    before, a, b, after = (np.log(np.maximum(flat[here + k * offset], dark)) for k in (-1, 0, 1, 2))
    return np.exp((9 * (a + b) - before - after) / 16)


def _tops(flat: np.ndarray, place: np.ndarray, width: int, dark: np.ndarray) -> np.ndarray:
    """Return how high peaks are between pixels, by parabolas in the logarithm."""
    here = np.log(np.maximum(flat[place], dark))
    top = here.copy()
    for offset in (1, width):
        before, after = (np.log(np.maximum(flat[place + k * offset], dark)) for k in (-1, 1))
        bend = np.maximum(2 * here - before - after, 1e-12)
        top += np.clip((after - before) / (2 * bend), -0.5, 0.5) ** 2 * bend / 2
    return np.exp(top)


def _saddles(padded: np.ndarray, pixels: np.ndarray, label: np.ndarray, dark: np.ndarray | None
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of hills that touch, each once, and the height of the highest saddle between them.

    The height of a saddle is that of the lower of the two pixels where the hills touch; with ``dark``, the least
    brightness that counts in each hill's image, that between the two if it is above both: a ridge runs there.
    """
    flat, width = padded.ravel(), padded.shape[2]
    owner = np.full(flat.size, -1, np.int32)
    owner[pixels] = label
    pairs = []
    for offset in (1, width, width + 1, width - 1):
        other = owner[pixels + offset]
        here = np.flatnonzero((other >= 0) & (other != label))
        one, two = flat[pixels[here]], flat[pixels[here] + offset]
        height = np.minimum(one, two)
        if dark is not None:
            middle = _between(flat, pixels[here], offset, dark[label[here]])
            height = np.where(middle > np.maximum(one, two), middle, height)
        pairs.append((label[here], other[here], height))
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
        weak = ((hills.value[hill] < hills.prominence[hill] * saddle) | (flux[hill] < hills.least_flux[hill])
                | hills.low[hill])
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
    # islands with hardly any flux go to the nearest hill of their image
    tops = np.unique(part_of)
    good = (flux[tops] >= hills.least_flux[tops]) & ~hills.low[tops]
    target = np.arange(part_of.size)
    for hill in tops[~good]:
        near = tops[good & (hills.plane[tops] == hills.plane[hill])]
        if near.size:
            target[hill] = near[np.argmin((hills.x[near] - hills.x[hill]) ** 2 + (hills.y[near] - hills.y[hill]) ** 2)]
    return target[part_of]


def find_components(stamps: np.ndarray, rule: Rule = STAMP) -> Components:
    """Return the components of each image.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Brightness, zero outside the sources.
    rule : Rule
        What counts as a component.
    """
    return share_out(stamps, rule)[0]


def share_out(stamps: np.ndarray, rule: Rule = STAMP) -> tuple[Components, HillPixels]:
    """Return the components of each image, and which pixel is whose; as `find_components`."""
    stamps = np.asarray(stamps)
    # a ridge between the last two rows is measured with the two rows beyond
    rim = 2 if rule.between_pixels else 1
    padded = np.pad(stamps, [(0, 0), (rim, rim), (rim, rim)])
    ny, nx = padded.shape[1:]
    brightest = stamps.max(axis=(1, 2), initial=0)
    lit = padded > 0 if rule.floor == 0 else padded > (rule.floor * brightest)[:, None, None]
    pixels = np.flatnonzero(lit)
    plane, rest = np.divmod(pixels, ny * nx)
    y, x = np.divmod(rest, nx)
    x, y = x - rim, y - rim
    flat = padded.ravel()
    value = flat[pixels]
    total = np.bincount(plane, weights=value, minlength=len(stamps))
    tops, label = np.unique(_climb(padded, pixels), return_inverse=True)
    of = plane[tops]
    dark = _DARK * brightest[of] if rule.between_pixels else None
    height = value[tops] if dark is None else _tops(flat, pixels[tops], nx, dark)
    hills = _Hills(of, x[tops], y[tops], height, np.bincount(label, weights=value), rule.least_flux * total[of],
                   value[tops] < rule.least_peak * brightest[of],
                   np.broadcast_to(rule.prominence, len(stamps))[of])
    part_of = _merge(hills, *_saddles(padded, pixels, label, dark))
    kept, number = np.unique(part_of, return_inverse=True)
    label = number[label]
    flux = np.bincount(label, weights=value)
    centre = np.stack([np.bincount(label, weights=value * c) / flux for c in (x, y)], axis=1)
    order = np.lexsort((-flux, of[kept]))
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    kept = kept[order]
    found = Components(of[kept], np.stack([hills.x[kept], hills.y[kept]], axis=1), centre[order],
                       value[tops[kept]], flux[order])
    return found, HillPixels(plane, x, y, value, place[label])
