"""The frame: the image that sources are seen in, before there is anything in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from astropy import units as u
from astropy.wcs import WCS
from scipy import signal

from skygal.checks import show_fields
from skygal.observation.beam import TargetBeam
from skygal.observation.primary_beam import PrimaryBeam

__all__ = ["Frame"]


@dataclass(frozen=True, eq=False)
class Frame:
    """A grid of pixels on the sky, and how the sky is seen through it.

    Attributes
    ----------
    wcs : `~astropy.wcs.WCS`
        The image's celestial WCS.
    shape : (int, int)
        (ny, nx).
    beam : TargetBeam
        Its beam.
    frequency : Quantity
        In Hz.
    primary_beam : PrimaryBeam or None
        With its pointing; None where all of the sky is seen alike.
    valid : ndarray of bool, shape (ny, nx), or None
        Where it has pixels at all; None for everywhere.
    """

    wcs: WCS
    shape: tuple[int, int]
    beam: TargetBeam
    frequency: u.Quantity
    primary_beam: PrimaryBeam | None = None
    valid: np.ndarray | None = None

    __repr__ = show_fields

    def with_valid(self, valid: np.ndarray | None) -> Frame:
        """Return the same with pixels in other places only."""
        return replace(self, valid=valid)

    @property
    def window(self) -> tuple[int, int, int, int]:
        """All of it: (y0, y1, x0, x1), one past the last row and column."""
        return 0, self.shape[0], 0, self.shape[1]

    def gain(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray | None:
        """Return the primary beam at places (ICRS, degrees); None if there is none."""
        return None if self.primary_beam is None else self.primary_beam.gain(ra, dec, self.frequency)

    def given(self) -> dict[str, Any]:
        """Return what tells in a configuration how the sky is seen."""
        return {"frequency": self.frequency, "beam": self.beam.beam, "psf": self.beam.psf,
                "primary_beam": self.primary_beam}

    @cached_property
    def margin(self) -> tuple[int, int]:
        """How far, in rows and columns, a PSF image spreads a source beyond what is added up."""
        rest = self.beam.remainder
        return (0, 0) if rest is None else (rest.shape[0] // 2, rest.shape[1] // 2)

    @cached_property
    def _share(self) -> np.ndarray:
        """What part of the flux of each pixel, margin included, ends up in the image's valid part."""
        window = np.ones(self.shape) if self.valid is None else self.valid.astype(float)
        assert self.beam.remainder is not None
        return signal.fftconvolve(window, self.beam.remainder[::-1, ::-1], mode="full") / self.beam.area

    @cached_property
    def _cumulative(self) -> np.ndarray:
        assert self.beam.remainder is not None
        return np.pad(self.beam.remainder, [(1, 0), (1, 0)]).cumsum(axis=0).cumsum(axis=1) / self.beam.area

    def interior(self, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray) -> np.ndarray:
        """Return which boxes, ends included, lie where all of their flux is in the image."""
        (ny, nx), (py, px) = self.shape, self.margin
        inside = (x0 >= px) & (y0 >= py) & (x1 < nx - px) & (y1 < ny - py)
        return inside if self.valid is None else np.zeros_like(inside)

    def flux_within(self, x: int, y: int, data: np.ndarray) -> float:
        """Return the sum of the pixels of a patch, its first one at (x, y), as far as they end up in the image."""
        (ny, nx), (py, px), (h, w) = self.shape, self.margin, data.shape
        x0, x1, y0, y1 = max(x, -px), min(x + w, nx + px), max(y, -py), min(y + h, ny + py)
        if x0 >= x1 or y0 >= y1:
            return 0.0
        part = data[y0 - y:y1 - y, x0 - x:x1 - x].astype(float)
        if self.beam.psf is None:
            return float(part.sum() if self.valid is None else part[self.valid[y0:y1, x0:x1]].sum())
        if self.valid is not None:
            return float((part * self._share[y0 + py:y1 + py, x0 + px:x1 + px]).sum())
        row, column = np.arange(y0, y1), np.arange(x0, x1)
        sums = self._cumulative
        top, bottom = np.clip(ny - row + py, 0, 2 * py + 1), np.clip(py - row, 0, 2 * py + 1)
        right, left = np.clip(nx - column + px, 0, 2 * px + 1), np.clip(px - column, 0, 2 * px + 1)
        share = (sums[np.ix_(top, right)] - sums[np.ix_(bottom, right)] - sums[np.ix_(top, left)]
                 + sums[np.ix_(bottom, left)])
        return float((part * share).sum())

    def visible(self, x: int, y: int, data: np.ndarray) -> tuple[int, int, np.ndarray]:
        """Return where the part of a patch that lies in the image starts, and that part, 0 where the image is blank.

        The patch's first pixel is at (x, y).
        """
        (ny, nx), (h, w) = self.shape, data.shape
        x0, x1, y0, y1 = max(x, 0), min(x + w, nx), max(y, 0), min(y + h, ny)
        if x0 >= x1 or y0 >= y1:
            return 0, 0, np.zeros((0, 0), data.dtype)
        part = data[y0 - y:y1 - y, x0 - x:x1 - x]
        return x0, y0, part if self.valid is None else part * self.valid[y0:y1, x0:x1]

    def holds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which pixels the image has, not blank."""
        ny, nx = self.shape
        inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
        if self.valid is not None:
            inside[inside] = self.valid[y[inside], x[inside]]
        return inside
