"""The image that sources are added to, and what is learnt of each while it is added.

Sources are added in order, so that rounding is the same however many threads draw them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy import signal

from skygal.rendering.beam import TargetBeam
from skygal.rendering.psf import remainder
from skygal.rendering.transform import Patch, matching_kernel, render_stamp

__all__ = ["Canvas", "Placed", "Source"]

#: a source's pixels are those above this part of its peak, or above the noise if that is more
FAINTEST = 0.01
#: sources that are held in memory at once, twice over
AT_ONCE = 64


@dataclass(frozen=True)
class Source:
    """What is to be drawn.

    Attributes
    ----------
    stamp : ndarray, shape (ny, nx)
        Brightness of unit sum.
    centre : ndarray, shape (2,)
        Flux-weighted centre (x, y) in stamp pixels.
    position : ndarray, shape (2,)
        Where it goes: (x, y) in pixels of the image.
    affine : ndarray, shape (2, 2)
        Stamp pixels to image pixels.
    flux : float
        Integrated flux, Jy.
    rms : float
        Noise at its place, Jy/beam; 0 for none.
    label : int
        Its number in the segmentation.
    peaks : ndarray, shape (m, 2)
        Places (x, y) in the image where its brightness is to be read.
    """

    stamp: np.ndarray
    centre: np.ndarray
    position: np.ndarray
    affine: np.ndarray
    flux: float
    rms: float
    label: int
    peaks: np.ndarray


@dataclass(frozen=True)
class Placed:
    """What was drawn, measured on the source's own noiseless pixels.

    Attributes
    ----------
    flux, flux_in_image, peak_flux : float
        Jy in all its pixels and in those within the image, and largest pixel in Jy/beam.
    edge : bool
        Whether some of its pixels lie outside the image or where it is blank.
    beam_limited : bool
        Whether the stamp's own beam is wider than the image's.
    brightness : ndarray, shape (m,)
        Jy/beam at the places asked for: the brightest of the nearest pixel and its neighbours.
    bbox : (int, int, int, int)
        xmin, xmax, ymin, ymax of its pixels in the image, ends included; -1 if it has none there.
    """

    flux: float
    flux_in_image: float
    peak_flux: float
    edge: bool
    beam_limited: bool
    brightness: np.ndarray
    bbox: tuple[int, int, int, int]


class Canvas:
    """A model image in the making.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) of the image.
    beam : TargetBeam
        The image's beam.
    native : ndarray, shape (2, 2)
        Covariance of the stamps' own beam, in stamp pixels squared.
    valid : ndarray of bool, shape (ny, nx), optional
        Where the image has pixels at all; by default everywhere.
    """

    def __init__(self, shape: tuple[int, int], beam: TargetBeam, native: np.ndarray,
                 valid: np.ndarray | None = None) -> None:
        self.shape, self.beam, self.native, self._valid = shape, beam, native, valid
        self.segmentation = _blank(shape, np.int32)
        self.overlaps: set[int] = set()
        self._brightest = _blank(shape, np.float32)
        self._rest = None if beam.psf is None else remainder(beam)
        self._pad = (0, 0) if self._rest is None else tuple(s // 2 for s in self._rest.shape)
        self._sum = _blank(tuple(n + 2 * p for n, p in zip(shape, self._pad, strict=True)), np.float32)
        self._share = valid
        if self._rest is not None:
            # what part of a pixel's flux ends up inside the image, once the PSF has spread it
            window = np.ones(shape) if valid is None else valid.astype(float)
            self._share = signal.fftconvolve(window, self._rest[::-1, ::-1], mode="full") / beam.area

    def draw(self, sources: Iterable[Source], *, workers: int = 2) -> Iterator[Placed]:
        """Add sources, yielding what became of each, in order."""
        sources = iter(sources)

        def take() -> list[Source]:
            return list(islice(sources, AT_ONCE))

        # sources may be made as they are asked for: the next lot is, while this one is drawn
        with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(max(1, workers)) as pool:
            # drawing is made of steps too short for threads to gain from, but with a PSF image it is not
            each = pool.map if workers > 1 and self._rest is not None else map
            coming = ahead.submit(take)
            while batch := coming.result():
                coming = ahead.submit(take)
                affines = np.stack([source.affine for source in batch])
                known = np.isfinite(affines).all(axis=(1, 2))
                affines[~known] = np.eye(2)
                kernels, limited = matching_kernel(affines, self.beam.covariance, self.native)
                drawn_batch = each(self._patch, batch, kernels, limited.tolist())
                for source, drawn in zip(batch, drawn_batch, strict=True):
                    yield self._add(source, drawn)

    def _patch(self, source: Source, kernel: np.ndarray, limited: bool) -> tuple[Patch, np.ndarray, bool] | None:
        """Return the patch to sum up, the same as it will appear in the image, and whether it is beam-limited.

        None where the image's projection cannot show the source's place at all.
        """
        if not (np.isfinite(source.position).all() and np.isfinite(source.affine).all()):
            return None
        (ny, nx), (py, px) = self.shape, self._pad
        patch = render_stamp(source.stamp, source.centre, source.position, source.affine, kernel, self.native,
                             window=(-px, nx - 1 + px, -py, ny - 1 + py))
        patch.data[...] *= source.flux * (self.beam.area if self._rest is None else 1)
        if self._rest is None:
            return patch, patch.data, limited
        ny, nx = patch.data.shape
        cy, cx = (s // 2 for s in self._rest.shape)
        near = self._rest[max(0, cy - ny):cy + ny + 1, max(0, cx - nx):cx + nx + 1]
        return patch, signal.fftconvolve(patch.data, near, mode="same"), limited

    def _add(self, source: Source, drawn: tuple[Patch, np.ndarray, bool] | None) -> Placed:
        nowhere = (-1, -1, -1, -1)
        if drawn is None:
            return Placed(source.flux, 0.0, np.nan, True, False, np.full(len(source.peaks), np.nan), nowhere)
        patch, seen, limited = drawn
        # of a source too large to be drawn whole, the flux is the one that its spectrum was given
        total = source.flux if patch.cut else float(patch.data.sum() / (self.beam.area if self._rest is None else 1))
        peak = float(seen.max())
        bright = _read_off(seen, source.peaks - np.array([patch.x0, patch.y0]))
        limit = min(max(source.rms, FAINTEST * peak), 0.5 * peak)
        flux = self._sum_up(patch)
        # only the pixels above the limit matter from here on
        mask = seen > limit
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return Placed(total, flux, peak, True, limited, bright, nowhere)
        bright_part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        mask, seen = mask[bright_part], seen[bright_part]
        met = Patch(patch.x0 + int(columns[0]), patch.y0 + int(rows[0]), mask).overlap(self.shape)
        if met is None:
            return Placed(total, flux, peak, True, limited, bright, nowhere)
        onto, part = met
        inside = mask[part] if self._valid is None else mask[part] & self._valid[onto]
        edge = patch.cut or bool(np.count_nonzero(mask) > np.count_nonzero(inside))
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not rows.size:
            return Placed(total, flux, peak, edge, limited, bright, nowhere)
        here, labels, brightest = seen[part], self.segmentation[onto], self._brightest[onto]
        taken = labels[inside]
        if taken.any():
            self.overlaps.update(np.unique(taken[taken > 0]).tolist(), [source.label])
        wins = inside & (here > brightest)
        labels[wins] = source.label
        brightest[wins] = here[wins]
        left, bottom = onto[1].start, onto[0].start
        return Placed(total, flux, peak, edge, limited, bright, (int(left + columns[0]), int(left + columns[-1]),
                                                                 int(bottom + rows[0]), int(bottom + rows[-1])))

    def _sum_up(self, patch: Patch) -> float:
        """Add the patch to the running sum; return the flux that falls into the image."""
        shifted = Patch(patch.x0 + self._pad[1], patch.y0 + self._pad[0], patch.data)
        met = shifted.overlap(self._sum.shape)
        if met is None:
            return 0.0
        onto, part = met
        self._sum[onto] += patch.data[part]
        inside = patch.data[part] if self._share is None else patch.data[part] * self._share[onto]
        return float(inside.sum() / (self.beam.area if self._rest is None else 1))

    def model(self) -> np.ndarray:
        """Return the noiseless image, Jy/beam, float32."""
        if self._rest is None:
            return self._sum
        return signal.oaconvolve(self._sum.astype(float), self._rest, mode="valid").astype(np.float32)


def _blank(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    # written in full, so that it lies on large pages of memory: those of np.zeros come one small page at
    # a time, when a source first touches them, which takes longer than drawing the source
    return np.full(shape, 0, dtype)


def _read_off(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the largest of the 3 x 3 pixels about each place (x, y); 0 outside."""
    ny, nx = image.shape
    out = np.zeros(len(places))
    for k, (x, y) in enumerate(np.rint(places).astype(int).tolist()):
        if -1 <= x <= nx and -1 <= y <= ny:
            out[k] = image[max(0, y - 1):y + 2, max(0, x - 1):x + 2].max()
    return out
