"""The pixels of sources in a segmentation that need not fit into memory, and their boxes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from astropy.table import QTable

from skygal.io.streaming import iter_bands

__all__ = ["encode_mask", "iter_masks", "truth_boxes"]


def truth_boxes(truth: QTable) -> np.ndarray:
    """Return (y0, y1, x0, x1) of each source's pixels, one past the last row and column; zeros for none."""
    y0, y1, x0, x1 = (np.asarray(truth[f"bbox_{end}"], np.int64) for end in ("ymin", "ymax", "xmin", "xmax"))
    boxes = np.stack([y0, y1 + 1, x0, x1 + 1], axis=1)
    boxes[(x0 < 0) | (y0 < 0)] = 0
    return boxes


def iter_masks(segmentation: Any, labels: np.ndarray, boxes: np.ndarray, *, progress: bool = False
               ) -> Iterator[tuple[int, np.ndarray]]:
    """Yield sources and their pixels, as the rows of the segmentation come.

    Parameters
    ----------
    segmentation : ndarray or dask array of int, shape (ny, nx)
        Read once, a band of rows at a time.
    labels : ndarray of int, shape (n,)
        Of the sources.
    boxes : ndarray of int, shape (n, 4)
        (y0, y1, x0, x1), one past the last row and column. A source with an empty one is left out.
    progress : bool
        Whether to show progress.

    Yields
    ------
    int
        The source's row.
    ndarray of bool, shape (y1 - y0, x1 - x0)
        Which pixels of its box are its own.
    """
    filled = np.flatnonzero((boxes[:, 0] < boxes[:, 1]) & (boxes[:, 2] < boxes[:, 3]))
    coming = iter(filled[np.argsort(boxes[filled, 0], kind="stable")].tolist())
    following = next(coming, None)
    begun: dict[int, np.ndarray] = {}
    for band, parts in iter_bands([segmentation], progress):
        pixels = np.asarray(parts[0])
        while following is not None and boxes[following, 0] < band.stop:
            y0, y1, x0, x1 = boxes[following].tolist()
            begun[following] = np.zeros((y1 - y0, x1 - x0), bool)
            following = next(coming, None)
        done = []
        for row, mask in begun.items():
            y0, y1, x0, x1 = boxes[row].tolist()
            low, high = max(y0, band.start), min(y1, band.stop)
            mask[low - y0:high - y0] = pixels[low - band.start:high - band.start, x0:x1] == labels[row]
            if y1 <= band.stop:
                done.append(row)
        for row in done:
            yield row, begun.pop(row)


def encode_mask(mask: np.ndarray, y0: int, x0: int, shape: tuple[int, int]) -> str:
    """Return a mask in the compressed run lengths of COCO.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
    y0, x0 : int
        Its first row and column in the image.
    shape : (int, int)
        (ny, nx) of the image.

    Notes
    -----
    Runs go down the columns and begin with one of zeros. As in the COCO API's ``rleToString``, a run is written as its
    difference from the one two before, from the fourth on, in digits of five bits, the lowest first; a sixth says that
    more follow.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.truth.exports.masks import encode_mask
    >>> encode_mask(np.ones((2, 1), bool), 1, 0, (4, 1))
    '121'
    """
    height, width = shape
    column, row = np.nonzero(mask.T)
    place = (column + x0) * height + row + y0
    breaks = np.flatnonzero(np.diff(place) != 1) + 1
    ends = np.empty(2 * (len(breaks) + 1) if len(place) else 0, np.int64)
    if len(place):
        ends[::2], ends[1::2] = place[np.r_[0, breaks]], place[np.r_[breaks, len(place)] - 1] + 1
    counts = np.diff(np.r_[0, ends, height * width]).tolist()
    if len(counts) > 1 and counts[-1] == 0:
        counts.pop()
    digits = bytearray()
    for k, count in enumerate(counts):
        number = count - counts[k - 2] if k > 2 else count
        more = True
        while more:
            digit = number & 0x1F
            number >>= 5
            more = number != -1 if digit & 0x10 else number != 0
            digits.append((digit | 0x20 if more else digit) + 48)
    return digits.decode("ascii")
