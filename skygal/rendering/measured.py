"""What was drawn, measured on each source's own noiseless pixels."""

from __future__ import annotations

import numpy as np

from skygal.observation.frame import Frame
from skygal.rendering.drawing import Drawn
from skygal.rendering.footprints import Footprints

__all__ = ["FAINTEST", "Measured", "Outlines", "hidden", "least_seen", "mask_ends", "matters_above"]

#: a source's pixels are those above this part of its peak, or above the noise if that is more
FAINTEST = 0.01


class Outlines:
    """Which pixels of ``n`` sources are theirs, at one depth of the image, filled in as they are drawn.

    Parameters
    ----------
    frame : Frame
        The image.
    rms : ndarray, shape (n,)
        Noise at each, Jy/beam; 0 for none.
    labels : ndarray of int, shape (n,)
        Their numbers.
    limits : ndarray, shape (n,), float32
        Where limits go.

    Attributes
    ----------
    rms : ndarray, shape (n,)
        As given.
    limits : ndarray, shape (n,), float32
        Jy/beam above which a pixel is a source's.
    edge : ndarray of bool, shape (n,)
        Whether some of its pixels lie outside the image or where that is blank.
    bbox : ndarray of int, shape (n, 4)
        xmin, xmax, ymin, ymax of its pixels in the image, ends included; -1 if it has none there.
    footprints : Footprints
        Those pixels.
    """

    def __init__(self, frame: Frame, rms: np.ndarray, labels: np.ndarray, limits: np.ndarray) -> None:
        n = len(labels)
        self._frame, self._labels = frame, labels
        self.rms, self.limits = rms, limits
        self.edge = np.ones(n, bool)
        self.bbox = np.full((n, 4), -1)
        self.footprints = Footprints()

    def add(self, drawn: Drawn, offset: int) -> None:
        """Outline sources that have been drawn, of which ``offset`` is the number of the one that is 0 there."""
        for patches, seen in zip(drawn.patches, drawn.seen, strict=True):
            self._outline(offset + patches.source, patches.corner, seen, drawn.cut[patches.source - drawn.start])

    def _outline(self, k: np.ndarray, corner: np.ndarray, seen: np.ndarray, cut: np.ndarray) -> None:
        """Find the pixels above the limits, and what the neighbours see of a source."""
        peak = seen.max(axis=(1, 2)).astype(float)
        self.limits[k] = np.minimum(np.maximum(self.rms[k], FAINTEST * peak), 0.5 * peak)
        first, last, lit = mask_ends(seen > self.limits[k][:, None, None])
        begin, end = corner + first, corner + last
        inside = self._inside(begin, end, lit)
        self.edge[k[lit]] = cut[lit]
        self.bbox[k[inside]] = np.stack([begin[:, 0], end[:, 0], begin[:, 1], end[:, 1]], axis=1)[inside]
        for i in np.flatnonzero(lit & ~inside):
            x, y = begin[i].tolist()
            self._cut_outline(int(k[i]), x, y, seen[i, first[i, 1]:last[i, 1] + 1, first[i, 0]:last[i, 0] + 1])
        first, last, lit = mask_ends(seen > least_seen(peak, self.rms[k])[:, None, None])
        begin, end = corner + first, corner + last
        inside = self._inside(begin, end, lit)
        matters = matters_above(peak, self.rms[k])
        for i in np.flatnonzero(lit):
            x, y = begin[i].tolist()
            own = seen[i, first[i, 1]:last[i, 1] + 1, first[i, 0]:last[i, 0] + 1]
            if not inside[i]:
                x, y, own = self._frame.visible(x, y, own)
            if own.size:
                self.footprints.add(int(self._labels[k[i]]), x, y, own, limit=self.limits[k[i]], matters=matters[i])

    def _inside(self, begin: np.ndarray, end: np.ndarray, lit: np.ndarray) -> np.ndarray:
        """Return which boxes of pixels, (x, y) of their ends, lie wholly in an image that has no blank pixels."""
        ny, nx = self._frame.shape
        return lit & (begin >= 0).all(axis=1) & (end < (nx, ny)).all(axis=1) & (self._frame.valid is None)

    def _cut_outline(self, source: int, x: int, y: int, seen: np.ndarray) -> None:
        """Note a source that may have pixels where the image has none."""
        own = seen > self.limits[source]
        x0, y0, part = self._frame.visible(x, y, own)
        self.edge[source] |= np.count_nonzero(part) < np.count_nonzero(own)
        row, column = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        if row.size:
            self.bbox[source] = x0 + column[0], x0 + column[-1], y0 + row[0], y0 + row[-1]

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of truth that the noise decides."""
        ends = {f"bbox_{end}": self.bbox[:, k] for k, end in enumerate(("xmin", "xmax", "ymin", "ymax"))}
        return {"local_rms": self.rms, "edge": self.edge, **ends}


class Measured:
    """Measures of ``n`` sources, filled in as they are drawn.

    Parameters
    ----------
    frame : Frame
        The image.
    flux : ndarray, shape (n,)
        Asked for, Jy: what counts of sources that cannot be drawn whole.
    rms : ndarray, shape (n,) or (depths, n)
        Noise at each, Jy/beam; 0 for none. Of several depths the first is that of the attributes.
    labels : ndarray of int, shape (n,)
        Their numbers.

    Attributes
    ----------
    flux, flux_in_image, peak_flux : ndarray, shape (n,)
        Jy in all of a source's pixels and in those within the image, and the largest of the latter in Jy/beam
        (0 if there is none above that).
    beam_limited : ndarray of bool, shape (n,)
        Whether the stamp's own beam is wider than the image's.
    all_limits : ndarray, shape (n, depths), float32
        Jy/beam above which a pixel is a source's.
    outlines : list of Outlines
        Which pixels are theirs, at each depth.
    """

    def __init__(self, frame: Frame, flux: np.ndarray, rms: np.ndarray, labels: np.ndarray) -> None:
        n = len(flux)
        self._frame = frame
        self.flux = np.array(flux, float)
        self.flux_in_image, self.peak_flux = np.zeros(n), np.zeros(n)
        self.beam_limited = np.zeros(n, bool)
        depths = np.atleast_2d(rms)
        self.all_limits = np.full((n, len(depths)), np.inf, np.float32)
        self.outlines = [Outlines(frame, one, labels, self.all_limits[:, k]) for k, one in enumerate(depths)]

    @property
    def limits(self) -> np.ndarray:
        """Those of the first depth, see `Outlines`."""
        return self.outlines[0].limits

    @property
    def edge(self) -> np.ndarray:
        """That of the first depth."""
        return self.outlines[0].edge

    @property
    def bbox(self) -> np.ndarray:
        """Those of the first depth."""
        return self.outlines[0].bbox

    @property
    def footprints(self) -> Footprints:
        """Those of the first depth."""
        return self.outlines[0].footprints

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
            within = (patches.corner >= 0).all(axis=1) & (patches.corner + seen.shape[:0:-1] <= self._frame.shape[::-1]
                                                          ).all(axis=1) & (self._frame.valid is None)
            self.peak_flux[k] = np.fmax(peak, 0)
            for i in np.flatnonzero(~within):
                part = self._frame.visible(int(x[i]), int(y[i]), seen[i])[2]
                self.peak_flux[k[i]] = max(float(part.max(initial=0)), 0.0)
        for outlines in self.outlines:
            outlines.add(drawn, offset)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of truth that are measured here, but for those that the noise decides."""
        return {"peak_flux": self.peak_flux, "flux_in_image": self.flux_in_image, "beam_limited": self.beam_limited}


def mask_ends(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first and last column and row of each mask's pixels, shape (n, 2), and which masks have any."""
    first, last = np.empty((len(mask), 2), int), np.empty((len(mask), 2), int)
    for axis, across in ((0, 1), (1, 2)):
        lit = np.logical_or.reduce(mask, axis=across)
        first[:, axis], last[:, axis] = lit.argmax(axis=1), lit.shape[1] - 1 - lit[:, ::-1].argmax(axis=1)
    return first, last, np.logical_or.reduce(mask, axis=(1, 2))


def least_seen(peak: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Return the brightness below which a source does not count in its neighbours' pixels, Jy/beam.

    A hundredth of the noise, but not under 1e-6 of its peak, nor over 1e-3 of that.
    """
    return np.clip(0.01 * rms, 1e-6 * peak, 1e-3 * peak)


def matters_above(peak: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Return above what brightness a neighbour matters to a source, Jy/beam: the noise, without it 1 % of its peak."""
    return np.where(rms > 0, rms, FAINTEST * peak)


def hidden(flux: np.ndarray, position: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return which sources in an image are not seen at all: a primary beam lets nothing of them through."""
    size = np.array(shape[::-1])
    with np.errstate(invalid="ignore"):
        return (flux == 0) & (np.abs(position - (size - 1) / 2) < size / 2).all(axis=1)
