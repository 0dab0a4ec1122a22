"""What points, Gaussians and exponential discs measure on their own noiseless pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from skygal.rendering.analytic.boxes import Boxes
from skygal.rendering.analytic.pixels import AnalyticPatches, make_patches
from skygal.rendering.analytic.sources import Analytic

__all__ = ["AnalyticTruth", "measure"]

#: a box of more pixels than this, and than four times the image, is measured within the image only
LARGEST_BOX = 2**22
#: sources, at most, that a thread measures before it takes others
ROWS = 2**14


#: Jy/beam above which a pixel is a source's: of each, or a function of peaks and rows
Limit = np.ndarray | Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class AnalyticOutlines:
    """Which pixels are the sources' at one set of limits.

    Attributes
    ----------
    limit, bbox, edge
        See `AnalyticTruth`.
    """

    limit: np.ndarray
    bbox: np.ndarray
    edge: np.ndarray


@dataclass(frozen=True, eq=False)
class AnalyticTruth:
    """What sources measure on their own noiseless pixels.

    Attributes
    ----------
    flux, flux_in_image : ndarray, shape (n,)
        Jy: sum of all of a source's pixels, and of those within the image, over the beam's area.
    peak_flux, peak_in_image : ndarray, shape (n,)
        Its largest pixel, Jy/beam (of a negative source, the lowest), NaN if it has none; and the largest within
        the image, 0 if there is none.
    outlines : list of AnalyticOutlines
        Those of each set of limits.
    limit : ndarray of float32, shape (n,)
        Jy/beam above which a pixel is a source's; this and what follows at the first set of limits.
    bbox : ndarray of int, shape (n, 4)
        xmin, xmax, ymin, ymax of its pixels above the limit in the image, ends included; -1 if it has none
        there.
    edge : ndarray of bool, shape (n,)
        Whether some of those pixels lie outside the image or where it is blank, or there are none at all.
    """

    flux: np.ndarray
    flux_in_image: np.ndarray
    peak_flux: np.ndarray
    peak_in_image: np.ndarray
    outlines: list[AnalyticOutlines]

    @property
    def limit(self) -> np.ndarray:
        """Jy/beam above which a pixel is a source's."""
        return self.outlines[0].limit

    @property
    def bbox(self) -> np.ndarray:
        """Ends of its pixels."""
        return self.outlines[0].bbox

    @property
    def edge(self) -> np.ndarray:
        """Whether some of its pixels are missing."""
        return self.outlines[0].edge


def measure(sources: Analytic, shape: tuple[int, int], *,
            limit: Limit | Sequence[Limit], valid: np.ndarray | None = None, pixel_integrated: bool = False,
            outside: bool = True, workers: int = 1) -> AnalyticTruth:
    """Measure each source as it is drawn, alone.

    Parameters
    ----------
    sources : Analytic
    shape : (int, int)
        (ny, nx) of the image.
    limit : ndarray, shape (n,), callable, or list of these
        Jy/beam above which a pixel is a source's. A function is called with peaks, shape (m,), and the
        rows, shape (m,), that they are of. Sources are made once for all in a list.
    valid : ndarray of bool, shape (ny, nx), optional
        Where the image has pixels at all; by default everywhere.
    pixel_integrated : bool
        As for `draw`.
    outside : bool
        Whether sources that have no pixel in the image are made too.
    workers : int
        Threads. The result does not depend on their number.

    Returns
    -------
    AnalyticTruth

    Raises
    ------
    ValueError
        If ``valid`` is not of the image's shape.

    Notes
    -----
    Of a source whose box is too large, of over 4 million pixels and four times the image, only the
    pixels in the image are made: its ``flux`` is what was asked for, and it is at the ``edge``. So it is of one
    ``outside`` that is not made.

    Examples
    --------
    The rule of the truth tables, pixels above the noise or 1 % of the peak:

    >>> import numpy as np
    >>> from skygal.rendering.analytic.bulk import Analytic, measure
    >>> sources = Analytic.make("point", [[1.0, 20.0]], flux=1e-3, beam=np.eye(2))
    >>> rms = np.array([1e-5])
    >>> truth = measure(sources, (32, 32), limit=lambda peak, rows: np.clip(rms[rows], 0.01 * peak, 0.5 * peak))
    >>> print(truth.bbox[0], truth.edge[0], truth.peak_flux[0].round(6))
    [ 0  4 17 23] True 0.001
    """
    n, (ny, nx) = len(sources), shape
    if valid is not None and valid.shape != (ny, nx):
        raise ValueError(f"valid must have the image's shape {(ny, nx)}, got {valid.shape}")
    asked: list[Limit] = list(limit) if isinstance(limit, (list, tuple)) else [limit]  # type: ignore[list-item]
    out = AnalyticTruth(np.zeros(n), np.zeros(n), np.full(n, np.nan), np.zeros(n),
                        [AnalyticOutlines(np.full(n, np.inf, np.float32), np.full((n, 4), -1), np.ones(n, bool))
                         for _ in asked])
    boxes = Boxes.of(sources, integrated=pixel_integrated)
    known = boxes.half[:, 0] >= 0
    cut = known & ((2.0 * boxes.half + 1).prod(axis=1) > max(LARGEST_BOX, 4 * ny * nx))
    if not outside:
        cut |= known & ((boxes.centre + boxes.half < 0) | (boxes.centre - boxes.half >= [nx, ny])).any(axis=1)
    sums = _Sums(out, (ny, nx), valid, cut, asked)

    def alone(rows: np.ndarray, window: tuple[int, int, int, int] | None) -> None:
        large = bool(boxes.group[rows[0]] < 0)
        # a large source comes in parts, and all of them are needed for its limit: it is made twice
        for mine in np.split(rows, rows.size) if large else [rows]:
            for patches in make_patches(sources, boxes, mine, integrated=pixel_integrated, window=window):
                sums.add(patches)
                if not large:
                    sums.limit(patches.rows)
                    sums.outline(patches)
            if large:
                sums.limit(mine)
                for patches in make_patches(sources, boxes, mine, integrated=pixel_integrated, window=window):
                    sums.outline(patches)

    for whole in (True, False):
        window = None if whole else (0, ny, 0, nx)
        groups = list(boxes.in_groups(np.flatnonzero(known & (cut != whole))))
        if workers < 2:
            for rows in groups:
                alone(rows, window)
            continue
        # no two of them have a source in common
        parts = [part for rows in groups for part in np.split(rows, range(ROWS, rows.size, ROWS))]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(alone, parts, [window] * len(parts)))
    for column in (out.flux, out.flux_in_image):
        column /= sources.area
    out.flux[cut | ~known] = sources.flux[cut | ~known]
    return out


class _Sums:
    """What is added up from the parts of sources."""

    def __init__(self, out: AnalyticTruth, shape: tuple[int, int], valid: np.ndarray | None, cut: np.ndarray,
                 limits: Sequence[Limit]) -> None:
        self._out, self._shape, self._valid, self._cut, self._limits = out, shape, valid, cut, limits
        self._seen = np.zeros((len(limits), len(cut)), bool)

    def _inside(self, patches: AnalyticPatches) -> np.ndarray | None:
        ny, nx = self._shape
        index, inside = patches.places((0, ny, 0, nx))
        if self._valid is None:
            return inside
        if inside is None:
            return self._valid.reshape(-1)[index]
        return inside & self._valid.reshape(-1)[np.where(inside, index, 0)]

    def add(self, patches: AnalyticPatches) -> None:
        """Add up fluxes and find peaks."""
        k, out = patches.rows, self._out
        values = patches.values.reshape(len(k), -1)
        # all in double precision before they are added: numpy adds up each row in an order of its own
        each = values.astype(float)
        out.flux[k] += each.sum(axis=1)
        inside = self._inside(patches)
        if inside is not None:
            each *= inside.reshape(len(k), -1)
        out.flux_in_image[k] += each.sum(axis=1)
        out.peak_flux[k] = np.fmax(out.peak_flux[k], _farthest(values))
        before, here = out.peak_in_image[k], _farthest(values if inside is None else each)
        out.peak_in_image[k] = np.where(np.abs(here) > np.abs(before), here, before)

    def limit(self, rows: np.ndarray) -> None:
        """Find the limits of sources whose peaks are known."""
        for out, limit in zip(self._out.outlines, self._limits, strict=True):
            out.limit[rows] = limit(self._out.peak_flux[rows], rows) if callable(limit) else limit[rows]

    def outline(self, patches: AnalyticPatches) -> None:
        """Find the pixels above the limits."""
        inside = self._inside(patches)
        for out, seen in zip(self._out.outlines, self._seen, strict=True):
            self._outline(out, seen, patches, inside)

    def _outline(self, out: AnalyticOutlines, seen: np.ndarray, patches: AnalyticPatches, inside: np.ndarray | None
                 ) -> None:
        k = patches.rows
        above = patches.values > out.limit[k][:, None, None]
        here = above if inside is None else above & inside
        some = above.any(axis=(1, 2))
        beyond = np.zeros(len(k), bool) if inside is None else (above & ~inside).any(axis=(1, 2))
        # at the edge until pixels are found; from then on if any is beyond
        found = k[some]
        out.edge[found] = (seen[found] & out.edge[found]) | beyond[some] | self._cut[found]
        seen[found] = True
        rows, columns = here.any(axis=2), here.any(axis=1)
        mine = rows.any(axis=1)
        for side, (line, first) in enumerate(((columns[mine], patches.corner[mine, 0]),
                                              (rows[mine], patches.corner[mine, 1]))):
            low = first + line.argmax(axis=1)
            high = first + line.shape[1] - 1 - line[:, ::-1].argmax(axis=1)
            before = out.bbox[k[mine], 2 * side]
            out.bbox[k[mine], 2 * side] = np.where(before < 0, low, np.minimum(before, low))
            out.bbox[k[mine], 2 * side + 1] = np.maximum(out.bbox[k[mine], 2 * side + 1], high)


def _farthest(values: np.ndarray) -> np.ndarray:
    """Return the value of each row that is farthest from zero."""
    highest, lowest = values.max(axis=1), values.min(axis=1)
    return np.where(lowest < -highest, lowest, highest)
