"""Pixels that stay in their file, of which windows are read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skygal.checks import show
from skygal.io.cards import Cards
from skygal.io.fits_files import FitsHdu, OpenFits

__all__ = ["PixelFile", "locate_pixels", "row_bands"]

#: pixels that are looked at together
BAND_PIXELS = 2**22


@dataclass(frozen=True)
class PixelFile:
    """A plane of pixels in a file, or a part of one; what is asked of it by slices is read into an array.

    Attributes
    ----------
    path : str
        The file.
    offset : int
        Where the plane begins in it, bytes.
    stored : str
        The type of its pixels there.
    plane : (int, int)
        Rows and columns of all of it.
    state : (int, int)
        Time and size of the file when it was looked at.
    origin, shape : (int, int)
        First row and column of this part, and how many it has.
    """

    path: str
    offset: int
    stored: str
    plane: tuple[int, int]
    state: tuple[int, int]
    origin: tuple[int, int]
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype:
        """The type of what is read."""
        return np.dtype(self.stored).newbyteorder("=")

    @property
    def size(self) -> int:
        """How many pixels it has."""
        return self.shape[0] * self.shape[1]

    def within(self, window: tuple[int, int, int, int]) -> PixelFile:
        """Return the part in a window (y0, y1, x0, x1)."""
        y0, y1, x0, x1 = window
        return replace(self, origin=(self.origin[0] + y0, self.origin[1] + x0), shape=(y1 - y0, x1 - x0))

    def __getitem__(self, part: Any) -> np.ndarray:
        rows, columns = (*part, slice(None))[:2] if isinstance(part, tuple) else (part, slice(None))
        y, x = (slice(first + k.start, first + k.stop, k.step) if k.stop >= k.start else slice(0, 0)
                for first, k in zip(self.origin, (slice(*rows.indices(self.shape[0])),
                                                  slice(*columns.indices(self.shape[1]))), strict=True))
        if _state_of(self.path) != self.state:
            raise ValueError(f"{show(self.path)} must stay as it was while an image is made of it, and has changed")
        # only the pages that are touched are read, and they are let go at once
        return np.array(np.memmap(self.path, self.stored, "r", self.offset, self.plane)[y, x], self.dtype)


def _state_of(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


def locate_pixels(path: str | os.PathLike, file: OpenFits, hdu: FitsHdu) -> PixelFile | None:
    """Return where an image's pixels lie in its file; None if they are not there as numbers to be taken as they are."""
    cards, header = Cards(hdu.header), hdu.header
    plain = header["BITPIX"] in (-32, -64) and cards.number("BSCALE", 1.0) == 1 and cards.number("BZERO", 0.0) == 0
    plane = [length for length in hdu.shape if length != 1]
    if not plain or file.packed or hdu.is_packed or len(plane) != 2:
        return None
    file.check_pixels(hdu, bare=True)
    name = os.path.abspath(path)
    shape = plane[0], plane[1]
    return PixelFile(name, hdu.body, f">f{-header['BITPIX'] // 8}", shape, _state_of(name), (0, 0), shape)


def row_bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of rows that together are all of an image, of a bounded number of pixels each."""
    rows = max(1, BAND_PIXELS // max(shape[1], 1))
    for first in range(0, shape[0], rows):
        yield slice(first, min(first + rows, shape[0]))
