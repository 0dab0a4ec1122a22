"""Where each stamp comes to lie on the image's grid, and how finely that has to be computed.

A stamp is band-limited, since it carries a beam of its own, and the Gaussian that it lacks limits
it further. So a few Fourier coefficients along each of its axes say all about it: how many depends
on its size and on the beam. All numbers of a source come from the source alone, and those that are
sizes of arrays come on a ladder of few values, so that many sources can be computed together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

__all__ = ["PATCH_BLOCK", "PatchBlocks", "PatchPlan", "plan_patches"]

#: how far, in standard deviations of the kernel, a source's patch reaches beyond the stamp
REACH = 5.0
#: spectrum below this part of its peak is left out: pixels then err by a millionth of the peak, as by rounding
FLOOR = 1e-5
#: arrays longer than this come in finer sizes: what they save is more than what it takes to compute fewer together
FINER = 64
#: side of the parts, in image pixels, in which larger patches are computed
PATCH_BLOCK = 512
#: places in an image beyond this many pixels are as good as infinite
FAR = 2**40


@dataclass(frozen=True, eq=False)
class PatchBlocks:
    """Parts of patches that are to be computed.

    Attributes
    ----------
    source : ndarray of int, shape (m,)
        Index of the source each belongs to.
    corner, size : ndarray of int, shape (m, 2)
        First image pixel (x, y), and width and height.
    """

    source: np.ndarray
    corner: np.ndarray
    size: np.ndarray

    def __getitem__(self, part: np.ndarray) -> PatchBlocks:
        return PatchBlocks(self.source[part], self.corner[part], self.size[part])


@dataclass(frozen=True, eq=False)
class PatchPlan:
    """Geometry of ``n`` patches.

    In each stamp's frame, (u, v) are its pixel axes from the source's centre, in the order in
    which v is the one that runs more along the image's y.

    Attributes
    ----------
    swap : ndarray of bool, shape (n,)
        Whether u is the stamp's y, not its x.
    first, lit : ndarray of int, shape (n, 2)
        First pixel (u, v) that is not zero, and how many there are up to the last.
    low : ndarray, shape (n, 2)
        Where that first pixel is, from the source's centre.
    start, period : ndarray, shape (n, 2)
        The interval that the source fills once convolved.
    order : ndarray of int, shape (n, 2)
        Fourier coefficients needed along u and v, on the ladder.
    sheared : ndarray of int, shape (n,)
        The same along v at a fixed image x.
    inverse : ndarray, shape (n, 2, 2)
        Image pixels to (u, v).
    kernel : ndarray, shape (n, 2, 2)
        Covariance of the Gaussian to convolve with, in (u, v).
    position : ndarray, shape (n, 2)
        Where the centre comes to lie, image pixels.
    corner, size : ndarray of int, shape (n, 2)
        First image pixel (x, y) of the patch, its width and height.
    """

    swap: np.ndarray
    first: np.ndarray
    lit: np.ndarray
    low: np.ndarray
    start: np.ndarray
    period: np.ndarray
    order: np.ndarray
    sheared: np.ndarray
    inverse: np.ndarray
    kernel: np.ndarray
    position: np.ndarray
    corner: np.ndarray
    size: np.ndarray

    def __getitem__(self, part: np.ndarray) -> PatchPlan:
        return PatchPlan(*(getattr(self, field.name)[part] for field in fields(self)))

    def blocks(self, window: np.ndarray | tuple[int, int, int, int]) -> PatchBlocks:
        """Return the parts of all patches that meet a window.

        Parameters
        ----------
        window : array_like of int, shape (4,) or (n, 4)
            (y0, y1, x0, x1), one past the last row and column, for all or for each source.
        """
        y0, y1, x0, x1 = np.moveaxis(np.asarray(window), -1, 0)
        count = -(-self.size // PATCH_BLOCK)
        begin = np.stack([x0 - self.corner[:, 0], y0 - self.corner[:, 1]], axis=-1) // PATCH_BLOCK
        end = -(-np.stack([x1 - self.corner[:, 0], y1 - self.corner[:, 1]], axis=-1) // PATCH_BLOCK)
        begin, end = np.clip(begin, 0, count), np.clip(end, 0, count)
        wide, high = np.maximum(end - begin, 0).T
        source = np.repeat(np.arange(len(self.swap)), wide * high)
        number = np.arange(source.size) - np.repeat(np.cumsum(wide * high) - wide * high, wide * high)
        row, column = np.divmod(number, np.maximum(wide, 1)[source])
        offset = PATCH_BLOCK * (begin[source] + np.stack([column, row], axis=-1))
        return PatchBlocks(source, self.corner[source] + offset, np.minimum(self.size[source] - offset, PATCH_BLOCK))


def ladder(n: np.ndarray) -> np.ndarray:
    """Return the next size that is at least ``n``: from 8 to 64 a power of two, beyond also one and a half of these."""
    power = 2 ** np.ceil(np.log2(np.maximum(n, 8))).astype(int)
    return np.where((power > FINER) & (n <= 3 * power // 4), 3 * power // 4, power)


def plan_patches(stamps: np.ndarray, centre: np.ndarray, position: np.ndarray, affine: np.ndarray,
                 kernel: np.ndarray, native: np.ndarray) -> PatchPlan:
    """Plan the patches of stamps.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Brightness.
    centre, position : ndarray, shape (n, 2)
        The point (x, y) of each stamp that comes to lie at the point ``position`` of the image.
    affine : ndarray, shape (n, 2, 2)
        Stamp pixels to image pixels; finite, not singular.
    kernel : ndarray, shape (n, 2, 2)
        Covariance of the Gaussian to convolve with, stamp pixels squared.
    native : ndarray, shape (2, 2)
        Covariance of the beam that the stamps carry, stamp pixels squared.

    Raises
    ------
    ValueError
        If a stamp has no pixel that is not zero.
    """
    # the bits of a number are all zero if it is: much faster than any()
    bits = np.ascontiguousarray(stamps, np.float32).view(np.uint32)
    rows, columns = (np.bitwise_or.reduce(bits, axis=axis) != 0 for axis in (2, 1))
    if not rows.any(axis=1).all():
        raise ValueError("stamp must have a pixel that is not zero")
    n, ny, nx = stamps.shape
    first = np.stack([columns.argmax(axis=1), rows.argmax(axis=1)], axis=1)
    last = np.stack([nx - 1 - columns[:, ::-1].argmax(axis=1), ny - 1 - rows[:, ::-1].argmax(axis=1)], axis=1)
    inverse = np.linalg.inv(affine)
    swap = np.abs(inverse[:, 0, 1]) > np.abs(inverse[:, 1, 1])
    each, axes = np.arange(n)[:, None], np.where(swap[:, None], [1, 0], [0, 1])
    inverse, first, last, centre = inverse[each, axes], first[each, axes], last[each, axes], centre[each, axes]
    both = each[..., None], axes[:, :, None], axes[:, None, :]
    kernel = np.broadcast_to(kernel, (n, 2, 2))[both]
    beam = kernel + native[axes[:, :, None], axes[:, None, :]]

    low, high = first - centre, last - centre
    period = high - low + 2 * (REACH * np.sqrt(kernel[:, [0, 1], [0, 1]]) + 2)
    start = (low + high - period) / 2
    # exp(-2 pi^2 f C f) is above the floor within an ellipse, and the stamp's pixels know no more than half a wave each
    radius, precision = math.sqrt(-math.log(FLOOR) / (2 * math.pi**2)), np.linalg.inv(beam)
    band = np.minimum(0.5, radius * np.sqrt(precision[:, [0, 1], [0, 1]]))
    order = ladder(np.ceil(band * period) + 1) - 1
    # at a fixed x of the image, a wave along u is one along v too
    shear = np.stack([inverse[:, 0, 1] / inverse[:, 1, 1], np.ones(n)], axis=1)
    across = radius * np.sqrt(np.einsum("ni,nij,nj->n", shear, precision, shear))
    across = np.minimum(across, 0.5 * np.abs(shear).sum(axis=1))
    sheared = np.maximum(ladder(np.ceil(across * period[:, 1]) + 1) - 1, order[:, 1])

    onto = np.linalg.inv(inverse)
    middle = position + np.einsum("nij,nj->ni", onto, start + period / 2)
    half = np.einsum("nij,nj->ni", np.abs(onto), period / 2)
    begin, end = np.clip(np.ceil(middle - half), -FAR, FAR), np.clip(np.floor(middle + half), -FAR, FAR)
    return PatchPlan(swap, first, last - first + 1, low, start, period, order, sheared, inverse, kernel, position,
                     begin.astype(int), np.maximum(end - begin + 1, 1).astype(int))
