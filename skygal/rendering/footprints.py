"""What neighbours add to the pixels of sources."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["Footprints", "Neighbours", "Others"]

#: rows of the image that are looked at together, and pixels at most
ROWS, PIXELS = 1024, 2**23
#: of a key: the bits of a brightness above those of the number of the source that it is of
_NUMBER = 32

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Neighbours:
    """What neighbours add to sources.

    Attributes
    ----------
    labels : ndarray of int, shape (n,)
        The sources, rising.
    blended : ndarray of bool, shape (n,)
        Whether another source alone is, at one of a source's pixels, brighter than what matters to it.
    share : ndarray, shape (n,)
        The others' part of all flux in a source's pixels, 0 to 1; 0 if it has no pixels.
    """

    labels: np.ndarray
    blended: np.ndarray
    share: np.ndarray


class Others(Protocol):
    """Sources that are not kept here: their pixels are made when they are needed."""

    labels: np.ndarray
    matters: np.ndarray

    def add_brightness(self, window: Window, out: np.ndarray) -> None:
        """Add the brightness of all of them to a window (y0, y1, x0, x1) of the image, float64."""

    def add_keys(self, window: Window, least: float, first: int, best: np.ndarray, second: np.ndarray) -> None:
        """Put pixels brighter than ``least`` among the two largest keys; see `make_keys`, numbers from ``first``."""

    def look(self, window: Window, first: int, total: np.ndarray, best: np.ndarray | None, second: np.ndarray | None,
             sums: np.ndarray, blended: np.ndarray) -> None:
        """Add what is in each one's pixels, its own and all, to the columns of ``sums``, and set who is ``blended``."""


def make_keys(brightness: np.ndarray, number: int | np.ndarray) -> np.ndarray:
    """Return integers that are ordered as positive float32 brightnesses are, and tell whose these are."""
    bits = np.ascontiguousarray(brightness, np.float32).view(np.int32).astype(np.int64)
    return (bits << _NUMBER) | number


def key_brightness(keys: np.ndarray) -> np.ndarray:
    """Return the float32 brightness of keys."""
    return (keys >> _NUMBER).astype(np.int32).view(np.float32)


def brightest_other(best: np.ndarray, second: np.ndarray, number: int | np.ndarray) -> np.ndarray:
    """Return the brightness of the brightest source that is not ``number``, given the two largest keys."""
    return key_brightness(np.where((best & ((1 << _NUMBER) - 1)) == number, second, best))


class Footprints:
    """The brightness of sources on an image, two bytes a pixel.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) of the image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._values: list[np.ndarray] = []
        self._scales: list[float] = []
        self._corners: list[tuple[int, int]] = []
        self._labels: list[int] = []
        self._limits: list[float] = []
        self._matters: list[float] = []

    def add(self, label: int, x0: int, y0: int, values: np.ndarray, *, limit: float, matters: float) -> None:
        """Add a source.

        Parameters
        ----------
        label : int
            Its number.
        x0, y0 : int
            Column and row, in the image, of its first pixel.
        values : ndarray, shape (h, w)
            Jy/beam; all within the image. Kept to three digits of the brightest.
        limit : float
            A pixel above it is the source's.
        matters : float
            A neighbour brighter than this matters.
        """
        scale = float(values.max(initial=0))
        if scale <= 0:
            return
        self._values.append((values / np.float32(scale)).astype(np.float16))
        self._scales.append(scale)
        self._corners.append((x0, y0))
        self._labels.append(label)
        self._limits.append(float(limit))
        self._matters.append(float(matters))

    def neighbours(self, others: Others | None = None) -> Neighbours:
        """Return what the neighbours of each source add to it; those of ``others`` too."""
        ny, nx = self._shape
        n, m = len(self._labels), 0 if others is None else len(others.labels)
        sums, blended = np.zeros((n + m, 2)), np.zeros(n + m, bool)
        matters = np.array(self._matters) if others is None else np.r_[self._matters, others.matters]
        least = float(matters.min(initial=np.inf))
        rows = max(1, min(ROWS, PIXELS // nx))
        bands: dict[int, list[int]] = defaultdict(list)
        for k, ((_, y), values) in enumerate(zip(self._corners, self._values, strict=True)):
            for band in range(y // rows, (y + len(values) - 1) // rows + 1):
                bands[band].append(k)
        for band in range(-(-ny // rows)):
            window = (band * rows, min((band + 1) * rows, ny), 0, nx)
            if len(bands[band]) + m:
                self._look(window, bands.pop(band), others, least, sums, blended)
        own, total = sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(total > 0, np.clip(1 - own / total, 0, 1), 0)
        labels = np.array(self._labels, np.int64) if others is None else np.r_[self._labels, others.labels]
        order = np.argsort(labels, kind="stable")
        return Neighbours(labels[order], blended[order], share[order])

    def _look(self, window: Window, kept: list[int], others: Others | None, least: float, sums: np.ndarray,
              blended: np.ndarray) -> None:
        """Add what is in a band to the sums."""
        size = window[1] - window[0], window[3]
        total, best, second = np.zeros(size), np.zeros(size, np.int64), np.zeros(size, np.int64)
        parts = [(k, *self._part(k, window)) for k in kept]
        for k, here, values in parts:
            total[here] += values
            keys = np.where(values > least, make_keys(values, k), 0)
            top, next_ = best[here], second[here]
            np.maximum(next_, np.minimum(top, keys), out=next_)
            np.maximum(top, keys, out=top)
        first = len(self._labels)
        if others is not None:
            others.add_brightness(window, total)
            others.add_keys(window, least, first, best, second)
        for k, here, values in parts:
            own = values > self._limits[k]
            sums[k] += values[own].sum(dtype=float), total[here][own].sum()
            other = brightest_other(best[here], second[here], k)
            blended[k] |= bool((other[own] > self._matters[k]).any())
        if others is not None:
            some = bool(best.any())
            others.look(window, first, total, best if some else None, second if some else None, sums[first:],
                        blended[first:])

    def _part(self, k: int, window: Window) -> tuple[tuple[slice, slice], np.ndarray]:
        """Return the slices of a band that a source covers, and its brightness there."""
        (x, y), whole = self._corners[k], self._values[k]
        y0, y1 = max(y, window[0]), min(y + len(whole), window[1])
        values = whole[y0 - y:y1 - y].astype(np.float32) * np.float32(self._scales[k])
        return (slice(y0 - window[0], y1 - window[0]), slice(x, x + whole.shape[1])), values
