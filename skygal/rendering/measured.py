"""What was drawn, measured on each source's own noiseless pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import signal

from skygal.rendering.beam import TargetBeam
from skygal.rendering.drawing import Drawn
from skygal.rendering.footprints import Footprints
from skygal.rendering.psf import remainder

__all__ = ["Frame", "Measured"]

#: a source's pixels are those above this part of its peak, or above the noise if that is more
FAINTEST = 0.01


@dataclass(frozen=True)
class Frame:
    """The image that sources are measured in.

    Attributes
    ----------
    shape : (int, int)
        (ny, nx).
    beam : TargetBeam
        Its beam.
    valid : ndarray of bool, shape (ny, nx), or None
        Where it has pixels at all; None for everywhere.
    """

    shape: tuple[int, int]
    beam: TargetBeam
    valid: np.ndarray | None = None

    @cached_property
    def margin(self) -> tuple[int, int]:
        """How far, in rows and columns, a PSF image spreads a source beyond what is added up."""
        return (0, 0) if self.beam.psf is None else tuple(s // 2 for s in remainder(self.beam).shape)  # type: ignore[return-value]

    @cached_property
    def _share(self) -> np.ndarray:
        """What part of the flux of each pixel, margin included, ends up in the image's valid part."""
        window = np.ones(self.shape) if self.valid is None else self.valid.astype(float)
        return signal.fftconvolve(window, remainder(self.beam)[::-1, ::-1], mode="full") / self.beam.area

    @cached_property
    def _cumulative(self) -> np.ndarray:
        rest = remainder(self.beam)
        return np.pad(rest, [(1, 0), (1, 0)]).cumsum(axis=0).cumsum(axis=1) / self.beam.area

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

    def visible(self, x: int, y: int, mask: np.ndarray) -> tuple[int, int, np.ndarray]:
        """Return the part of a mask, its first pixel at (x, y), that lies in the image, and where it starts."""
        (ny, nx), (h, w) = self.shape, mask.shape
        x0, x1, y0, y1 = max(x, 0), min(x + w, nx), max(y, 0), min(y + h, ny)
        if x0 >= x1 or y0 >= y1:
            return 0, 0, np.zeros((0, 0), bool)
        part = mask[y0 - y:y1 - y, x0 - x:x1 - x]
        return x0, y0, part if self.valid is None else part & self.valid[y0:y1, x0:x1]


class Measured:
    """Measures of ``n`` sources, filled in as they are drawn.

    Parameters
    ----------
    frame : Frame
        The image.
    flux : ndarray, shape (n,)
        Asked for, Jy: what counts of sources that cannot be drawn whole.
    rms : ndarray, shape (n,)
        Noise at each, Jy/beam; 0 for none.
    labels : ndarray of int, shape (n,)
        Their numbers.

    Attributes
    ----------
    flux, flux_in_image, peak_flux : ndarray, shape (n,)
        Jy in all of a source's pixels and in those within the image, and its largest pixel in Jy/beam
        (NaN if it has none).
    limits : ndarray, shape (n,), float32
        Jy/beam above which a pixel is a source's.
    edge : ndarray of bool, shape (n,)
        Whether some of its pixels lie outside the image or where that is blank.
    beam_limited : ndarray of bool, shape (n,)
        Whether the stamp's own beam is wider than the image's.
    bbox : ndarray of int, shape (n, 4)
        xmin, xmax, ymin, ymax of its pixels in the image, ends included; -1 if it has none there.
    footprints : Footprints
        Those pixels.
    """

    def __init__(self, frame: Frame, flux: np.ndarray, rms: np.ndarray, labels: np.ndarray) -> None:
        n = len(flux)
        self._frame, self._rms, self._labels = frame, rms, labels
        self.flux = np.array(flux, float)
        self.flux_in_image, self.peak_flux = np.zeros(n), np.full(n, np.nan)
        self.limits = np.full(n, np.inf, np.float32)
        self.edge, self.beam_limited = np.ones(n, bool), np.zeros(n, bool)
        self.bbox = np.full((n, 4), -1)
        self.footprints = Footprints(frame.shape)

    def add(self, drawn: Drawn, offset: int, areas: np.ndarray) -> None:
        """Measure sources that have been drawn.

        Parameters
        ----------
        drawn : Drawn
            Whole sources.
        offset : int
            Number of the source that is 0 in ``drawn``.
        areas : ndarray, shape (n,)
            The beam's area at each of the drawn sources, pixels; 1 with a PSF image.
        """
        self.beam_limited[offset + drawn.start:offset + drawn.stop] = drawn.limited
        for patches, seen in zip(drawn.patches, drawn.seen, strict=True):
            k = offset + patches.source
            cut = drawn.cut[patches.source - drawn.start]
            (x, y), (w, h) = patches.corner.T, patches.size.T
            # one sum at a time: in one go, rounding would depend on how many there are
            sums = np.array([data[:b, :a].sum(dtype=float) for data, a, b in zip(patches.data, w, h, strict=True)])
            sums /= areas[patches.source]
            self.flux[k] = np.where(cut, self.flux[k], sums)
            whole = self._frame.interior(x, y, x + w - 1, y + h - 1) & ~cut
            self.flux_in_image[k] = sums
            for i in np.flatnonzero(~whole):
                data = patches.data[i, :h[i], :w[i]]
                self.flux_in_image[k[i]] = self._frame.flux_within(x[i], y[i], data) / areas[patches.source[i]]
            peak = seen.max(axis=(1, 2)).astype(float)
            self.peak_flux[k] = peak
            self.limits[k] = np.minimum(np.maximum(self._rms[k], FAINTEST * peak), 0.5 * peak)
            self._outline(k, patches.corner, seen, cut)

    def _outline(self, k: np.ndarray, corner: np.ndarray, seen: np.ndarray, cut: np.ndarray) -> None:
        mask = seen > self.limits[k][:, None, None]
        first, last = np.empty((len(k), 2), int), np.empty((len(k), 2), int)
        for axis, across in ((0, 1), (1, 2)):
            lit = mask.any(axis=across)
            first[:, axis], last[:, axis] = lit.argmax(axis=1), lit.shape[1] - 1 - lit[:, ::-1].argmax(axis=1)
        lit = mask[np.arange(len(k)), first[:, 1]].any(axis=1)
        begin, end = corner + first, corner + last
        ny, nx = self._frame.shape
        inside = lit & (begin >= 0).all(axis=1) & (end < (nx, ny)).all(axis=1) & (self._frame.valid is None)
        self.edge[k[lit]] = cut[lit]
        self.bbox[k[inside]] = np.stack([begin[:, 0], end[:, 0], begin[:, 1], end[:, 1]], axis=1)[inside]
        boxes = zip(self._labels[k].tolist(), first.tolist(), (last + 1).tolist(), begin.tolist(), strict=True)
        for i, (label, (x0, y0), (x1, y1), (x, y)) in enumerate(boxes):
            own = mask[i, y0:y1, x0:x1]
            if inside[i]:
                self.footprints.add(label, x, y, own)
            elif lit[i]:
                self._cut_outline(int(k[i]), label, x, y, own)

    def _cut_outline(self, source: int, label: int, x: int, y: int, own: np.ndarray) -> None:
        """Note a source that may have pixels where the image has none."""
        x0, y0, part = self._frame.visible(x, y, own)
        self.edge[source] |= np.count_nonzero(part) < np.count_nonzero(own)
        row, column = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        if row.size:
            self.bbox[source] = x0 + column[0], x0 + column[-1], y0 + row[0], y0 + row[-1]
            self.footprints.add(label, x0, y0, part)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of truth that are measured here."""
        ends = {f"bbox_{end}": self.bbox[:, k] for k, end in enumerate(("xmin", "xmax", "ymin", "ymax"))}
        return {"peak_flux": self.peak_flux, "flux_in_image": self.flux_in_image, "edge": self.edge,
                "beam_limited": self.beam_limited, **ends}


def brightest_near(drawn: Drawn, places: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the largest of the 3 x 3 pixels about places in the image.

    Parameters
    ----------
    drawn : Drawn
    places : ndarray, shape (m, 2)
        (x, y) in image pixels.
    source : ndarray of int, shape (m,)
        Whose pixels to look at.

    Returns
    -------
    ndarray, shape (m,)
        Jy/beam; 0 beyond a source's patch, NaN for sources without one.
    """
    out = np.full(len(places), np.nan)
    first = np.searchsorted(source, np.arange(drawn.start, drawn.stop + 1))
    for patches, seen in zip(drawn.patches, drawn.seen, strict=True):
        padded = np.pad(seen, [(0, 0), (2, 2), (2, 2)])
        local = patches.source - drawn.start
        mine = np.concatenate([np.arange(first[i], first[i + 1]) for i in local]) if len(local) else np.zeros(0, int)
        which = np.repeat(np.arange(len(local)), first[local + 1] - first[local])
        at = np.rint(places[mine]).astype(int) - patches.corner[which] + 2
        high, wide = padded.shape[1:]
        inside = (at >= 1).all(axis=1) & (at[:, 0] < wide - 1) & (at[:, 1] < high - 1)
        out[mine] = 0
        x, y = at[inside].T
        w = which[inside]
        out[mine[inside]] = np.max([padded[w, y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
    return out
