"""What neighbours add to the pixels of sources: who is blended, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skygal.rendering.blocks import Window

__all__ = ["HasPixels", "Marks", "Neighbours", "SourcePixels", "find_neighbours"]

#: rows of the image that are looked at together, and pixels at most
ROWS, PIXELS = 1024, 2**23
#: side of the cells, in pixels, by which it is found who is near marked pixels
CELL = 32


@dataclass(frozen=True, eq=False)
class SourcePixels:
    """Pixels of sources in a window.

    Attributes
    ----------
    row : ndarray of int, shape (k,)
        Whose each is.
    index : ndarray of int, shape (k,)
        Its number in the window, row by row.
    value : ndarray of float32, shape (k,)
        How bright that source is there, Jy/beam.
    """

    row: np.ndarray
    index: np.ndarray
    value: np.ndarray

    @classmethod
    def join(cls, parts: list[SourcePixels]) -> SourcePixels:
        """Return several lists as one."""
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        columns = zip(*((part.row, part.index, part.value) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


class Marks:
    """Marked pixels of a window.

    Parameters
    ----------
    window : (int, int, int, int)
        (y0, y1, x0, x1).
    index : ndarray of int, shape (k,)
        Which pixels, row by row.

    Attributes
    ----------
    line : ndarray of bool, shape (pixels,)
        Whether each pixel of the window is marked.
    """

    def __init__(self, window: Window, index: np.ndarray) -> None:
        y0, y1, x0, x1 = self._window = window
        self.line = np.zeros((y1 - y0) * (x1 - x0), bool)
        self.line[index] = True
        y, x = np.divmod(index, x1 - x0)
        count = np.zeros(((y1 - y0 - 1) // CELL + 2, (x1 - x0 - 1) // CELL + 2), np.int64)
        count[y // CELL + 1, x // CELL + 1] = 1
        self._sums = count.cumsum(axis=0).cumsum(axis=1)

    def near(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return which boxes, from pixels ``low`` to ``high`` (x, y) of the image, may have a marked pixel."""
        y0, _, x0, _ = self._window
        shape = np.array(self._sums.shape) - 1
        begin = np.clip((low[:, ::-1] - (y0, x0)) // CELL, 0, shape)
        end = np.clip((high[:, ::-1] - (y0, x0)) // CELL + 1, begin, shape)
        s = self._sums
        return (s[end[:, 0], end[:, 1]] - s[begin[:, 0], end[:, 1]] - s[end[:, 0], begin[:, 1]]
                + s[begin[:, 0], begin[:, 1]]) > 0


class HasPixels(Protocol):
    """Sources of one kind, as their neighbours see them. Windows are (y0, y1, x0, x1) in the image."""

    @property
    def labels(self) -> np.ndarray:
        """Their numbers, shape (n,)."""

    @property
    def matters(self) -> np.ndarray:
        """Jy/beam that a neighbour has to exceed at one of their pixels, shape (n,), to blend them."""

    def spread(self, window: Window, total: np.ndarray, loudest: np.ndarray) -> None:
        """Add the sources' brightness to the float32 ``total`` of a window, and raise ``loudest`` to it."""

    def own(self, window: Window, total: np.ndarray, sums: np.ndarray) -> list[SourcePixels]:
        """Add what is in their own pixels, of themselves and in total, to the columns of ``sums``, shape (n, 2).

        Return those of their own pixels where ``total`` exceeds them by more than matters.
        """

    def at(self, window: Window, marks: Marks) -> list[SourcePixels]:
        """Return their brightness at marked pixels."""


@dataclass(frozen=True, eq=False)
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


def find_neighbours(layers: Sequence[HasPixels], shape: tuple[int, int], *, workers: int = 1) -> Neighbours:
    """Return what the neighbours of each source add to it.

    Parameters
    ----------
    layers : sequence of HasPixels
        All sources.
    shape : (int, int)
        (ny, nx) of the image.
    workers : int
        Threads, of which two are of use. The result does not depend on their number.

    Notes
    -----
    The image is gone through in bands, which follow from its shape alone, so that memory is bounded.
    """
    ny, nx = shape
    first = np.cumsum([0] + [len(layer.labels) for layer in layers])
    sums, blended = np.zeros((first[-1], 2)), np.zeros(first[-1], bool)
    matters = np.concatenate([np.zeros(0)] + [layer.matters for layer in layers])
    rows = max(1, min(ROWS, PIXELS // nx))
    bands = [(bottom, min(bottom + rows, ny), 0, nx) for bottom in range(0, ny if first[-1] > 1 else 0, rows)]
    for window, total, loudest in _spread_bands(layers, bands, workers):
        found = []
        for layer, begin, end in zip(layers, first[:-1], first[1:], strict=True):
            found += [SourcePixels(p.row + begin, p.index, p.value) for p in layer.own(window, total, sums[begin:end])]
        asked = SourcePixels.join(found)
        # the brightest there may be the source itself, or not be enough alone
        loud, least = loudest.reshape(-1)[asked.index], matters[asked.row]
        clear = (loud > asked.value) & (loud > least)
        blended[asked.row[clear]] = True
        open_ = (loud == asked.value) & ~blended[asked.row]
        if open_.any():
            marks = Marks(window, asked.index[open_])
            found = []
            for layer, begin in zip(layers, first[:-1], strict=True):
                found += [SourcePixels(p.row + begin, p.index, p.value) for p in layer.at(window, marks)]
            second = _brightest_other(SourcePixels.join(found), asked.row[open_], asked.index[open_])
            blended[asked.row[open_][second > least[open_]]] = True
    own, total_flux = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total_flux > 0, np.clip(1 - own / total_flux, 0, 1), 0)
    labels = np.concatenate([np.zeros(0, np.int64)] + [layer.labels for layer in layers])
    order = np.argsort(labels, kind="stable")
    return Neighbours(labels[order], blended[order], share[order])


def _spread_bands(layers: Sequence[HasPixels], bands: list[Window], workers: int
                  ) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    """Yield bands, the brightness of all sources there, and that of the brightest at each pixel.

    With a thread to spare for it, the next band is made while the last one is used.
    """
    def make(window: Window) -> tuple[Window, np.ndarray, np.ndarray]:
        total, loudest = np.zeros((2, window[1] - window[0], window[3] - window[2]), np.float32)
        for layer in layers:
            layer.spread(window, total, loudest)
        return window, total, loudest

    if workers < 2:
        yield from map(make, bands)
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, bands[0]) if bands else None
        for window in [*bands[1:], None]:
            if coming is not None:
                band = coming.result()
                coming = None if window is None else pool.submit(make, window)
                yield band


def _brightest_other(there: SourcePixels, row: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the brightness of the brightest source but ``row`` at each pixel ``index``; 0 for none."""
    order = np.lexsort((there.row, -there.value, there.index))
    place, who, value = there.index[order], there.row[order], there.value[order]
    first = np.searchsorted(place, index)
    value, who, place = np.r_[value, 0, 0], np.r_[who, -1, -1], np.r_[place, -1, -1]
    at = first + (who[first] == row)
    return np.where(place[at] == index, value[at], 0)
