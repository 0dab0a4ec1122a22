"""The noise of an image that exists, estimated from the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skygal.checks import show_fields
from skygal.observation.ellipse import beam_area

__all__ = ["LocalRms", "local_rms", "measure_rms"]

#: side of the cells in which the noise is estimated: in beams, and the least in pixels that are looked at
CELL_BEAMS, CELL_PIXELS = 6, 9
#: pixels of an image in which all are looked at
PLENTY_PIXELS = 10_000
#: cells on a side at most; on larger images they are larger
MOST_CELLS = 256
#: fewer pixels do not make a cell, unless there is but one
FEWEST_PIXELS = 24
#: cells hold at least this part of all pixels, or larger ones are tried
ENOUGH_SHARE = 0.8
#: pixels that are further off, in rms, are taken for sources
CLIP_RMS = 3.0
#: how often they are left out anew
CLIP_ROUNDS = 2
#: rms of ln(rms), times the square root of the number of beams, of a scaled median absolute deviation
MAD_SCATTER = 0.92
#: estimates agree if they differ by no more than this times the error of the coarser one
AGREE_ERRORS = 2.0
#: degree, at most, of the polynomial that is fitted to all cells
TOP_DEGREE = 4
#: powers of the rms that are fitted, beside its logarithm: a ramp is linear, and the weights of a mosaic add up
RMS_POWERS = (1, -2)
#: how far ln(rms) goes, at borders, beyond what any cell has
MOST_BEYOND = 0.3
#: of normal deviates, the standard deviation over the median absolute one; and that of those within `CLIP_RMS`
MAD_TO_RMS, CLIPPED_TO_RMS = 1.482602, 1.487714


def local_rms(data: np.ndarray, beam_pixels: float) -> np.ndarray:
    """Return a map of the noise that follows its gradients, up to the border and to blank areas.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        An image; NaN where it is blank.
    beam_pixels : float
        FWHM of the beam in pixels.

    Returns
    -------
    ndarray, shape (ny, nx), float32
        In the image's unit; NaN where the image is blank.

    Notes
    -----
    See `measure_rms`.
    """
    finite = np.isfinite(data)
    if not finite.any():
        return np.full(data.shape, np.nan, np.float32)
    rms = measure_rms(data, finite, beam_pixels).within(0, data.shape[0])
    rms[~finite] = np.nan
    return rms


@dataclass(frozen=True, eq=False)
class LocalRms:
    """The noise of an image, known at the corners of cells.

    Attributes
    ----------
    nodes : ndarray, shape (rows + 1, columns + 1)
        At the corners, in the image's unit.
    side : int
        Of the cells, in pixels.
    origin : (int, int)
        Row and column of the image where the first cell begins.
    shape : (int, int)
        (ny, nx) of the image.
    """

    nodes: np.ndarray
    side: int
    origin: tuple[int, int]
    shape: tuple[int, int]

    __repr__ = show_fields

    def at(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Return the noise at pixels, float32, in the shape of ``row`` and ``column`` broadcast together."""
        ny, nx = ((n - 1) * self.side for n in self.nodes.shape)
        y, x = np.clip(row - self.origin[0], 0, ny - 1), np.clip(column - self.origin[1], 0, nx - 1)
        j, i = y // self.side, x // self.side
        down, along = (y - j * self.side + 0.5) / self.side, (x - i * self.side + 0.5) / self.side
        n = self.nodes
        left = n[j, i] * (1 - down) + n[j + 1, i] * down
        right = n[j, i + 1] * (1 - down) + n[j + 1, i + 1] * down
        return (left * (1 - along) + right * along).astype(np.float32)

    def within(self, first: int, stop: int) -> np.ndarray:
        """Return the noise in rows of the image, float32."""
        return self.at(np.arange(first, stop)[:, None], np.arange(self.shape[1]))


def measure_rms(data: Any, valid: np.ndarray, beam_pixels: float) -> LocalRms:
    """Return the noise of an image, which follows its gradients, up to the border and to blank areas.

    Parameters
    ----------
    data : ndarray or PixelFile, shape (ny, nx)
        An image.
    valid : ndarray of bool, shape (ny, nx)
        Which of its pixels are not blank: some of them.
    beam_pixels : float
        FWHM of the beam in pixels.

    Notes
    -----
    The scaled median absolute deviation in cells of 6 beams, without what is 3 rms off, says what the noise is. One
    polynomial for all of the image, of degree 4 at most, is fitted to its logarithm, to itself, and to its inverse
    square, which for a mosaic is the sum of its pointings' weights; the best of these is kept. What is left of the
    logarithm is fitted around each corner of the cells by planes and constants, in windows from 2 cells wide to all of
    the image. Of these fits, and none, the one with the least error is taken that agrees with those of
    larger errors (Goldenshluger & Nemirovski 1997, Math. Methods Stat. 6, 135). So noise that hardly varies is
    averaged over, a steep rise is followed, and there are gradients at a border too.

    On noise with the beam's correlation, where the image has 100 beams or more on a side and the rms changes by no more
    than a factor of two within 14 beams, the median error is some 2 %, and 19 of 20 pixels are within 8 %; within
    3 beams of a border or of blank pixels they are 4 % and 10 %. Sources add 1 or 2 %; those below 3 rms,
    where they are crowded, count as noise. An image of 50 beams on a side has errors twice as large. A step is
    smeared over some 12 beams.
    """
    # cells are laid over the part that is not blank; pixels closer than the beam hardly tell more
    part = tuple(slice(k.min(), k.max() + 1) for k in map(np.flatnonzero, (valid.any(axis=1), valid.any(axis=0))))
    high, wide = (k.stop - k.start for k in part)
    step = max(1, min(int(beam_pixels / 1.5), int(np.sqrt(high * wide / PLENTY_PIXELS))))
    thin = _Thin(data, valid, part, step)
    share = min(1.0, step**2 / beam_area(max(beam_pixels, 1.0)))
    side = max(CELL_PIXELS, round(CELL_BEAMS * beam_pixels / step), -(-max(thin.shape) // MOST_CELLS))
    while True:
        cells = _Cells(thin, side)
        first = cells.measure()
        if max(cells.shape) == 1 or first[0][first[0] >= FEWEST_PIXELS].sum() > ENOUGH_SHARE * first[0].sum():
            break
        side *= 2
    return LocalRms(_fitted(cells, share, *first), side * step, (part[0].start, part[1].start), data.shape)


class _Thin:
    """A lattice of the pixels of a part of an image, NaN where they are blank, read when they are asked for."""

    def __init__(self, data: Any, valid: np.ndarray, part: tuple[slice, ...], step: int) -> None:
        self._data, self._valid, self._part, self._step = data, valid, part, step
        self.shape = tuple(-(-(k.stop - k.start) // step) for k in part)

    def rows(self, first: int, stop: int) -> np.ndarray:
        """Return some of its rows, of type float32 or float64."""
        rows, columns = self._part
        here = (slice(rows.start + first * self._step, min(rows.start + stop * self._step, rows.stop), self._step),
                slice(columns.start, columns.stop, self._step))
        found = self._data[here]
        return np.where(self._valid[here], found, np.asarray(np.nan, np.result_type(found.dtype, np.float32)))


class _Cells:
    """An image cut into square cells."""

    def __init__(self, pixels: _Thin, side: int) -> None:
        self.pixels, self.side = pixels, side
        self.shape = tuple(-(-n // side) for n in pixels.shape)

    def _rows(self) -> Iterator[np.ndarray]:
        """Yield the pixels of a row of cells, shape (cells, pixels), NaN where there are none."""
        side, (_, across) = self.side, self.shape
        for top in range(0, self.pixels.shape[0], side):
            row = self.pixels.rows(top, min(top + side, self.pixels.shape[0]))
            full = np.full((side, across * side), np.nan, row.dtype)
            full[:row.shape[0], :row.shape[1]] = row
            full[~np.isfinite(full)] = np.nan
            yield full.reshape(side, across, side).swapaxes(0, 1).reshape(across, side * side)

    def measure(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return, for each cell, the number of pixels, their median, and their rms about it."""
        count, level, rms = (np.empty(self.shape) for _ in range(3))
        for j, values in enumerate(self._rows()):
            for _ in range(2):
                count[j], level[j] = _median(values)
                off = np.abs(values - level[j][:, None])
                rms[j] = MAD_TO_RMS * _median(off)[1]
                values[off > CLIP_RMS * rms[j][:, None]] = np.nan
        return count, level, rms

    def measure_within(self, level: np.ndarray, rms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of pixels that are within 3 ``rms`` of ``level``, and their rms about it."""
        count, found = (np.empty(self.shape) for _ in range(2))
        for j, values in enumerate(self._rows()):
            values -= level[j][:, None]
            np.abs(values, out=values)
            values[values > CLIP_RMS * rms[j][:, None]] = np.nan
            count[j], found[j] = _median(values)
        return count, CLIPPED_TO_RMS * found


def _median(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of values, along the last axis, that are not NaN, and their median."""
    ordered = np.sort(values, axis=-1)
    count = np.count_nonzero(~np.isnan(ordered), axis=-1)
    pair = np.stack([np.maximum(count - 1, 0) // 2, count // 2], axis=-1)
    middle = np.take_along_axis(ordered, np.minimum(pair, values.shape[-1] - 1), axis=-1)
    return count, middle.mean(axis=-1, dtype=float)


def _fitted(cells: _Cells, share: float, count: np.ndarray, level: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Return the rms at the corners of cells of which that is known; ``share`` is how many beams a pixel stands for."""
    fewest = min(FEWEST_PIXELS, int(count.max()))
    good = (count >= fewest) & (rms > 0)
    if 2 * np.count_nonzero(good) < np.count_nonzero(count >= fewest):
        return np.zeros([n + 1 for n in cells.shape])
    level = _around(np.where(good, level, np.nan), 1)
    reference = np.exp(_around(np.log(np.where(good, rms, np.nan)), 2))
    for _ in range(CLIP_ROUNDS):
        count, rms = cells.measure_within(level, reference)
        good = (count >= fewest) & (rms > 0)
        if not good.any():
            good, rms = count >= count.max(), reference
        error = MAD_SCATTER / np.sqrt(np.maximum(share * count, 1))
        # the mean of a logarithm is below the logarithm of the mean
        nodes = _smooth(np.log(np.where(good, rms, 1)) + error**2 / 2, np.where(good, error**-2, 0))
        reference = np.exp((nodes[1:, 1:] + nodes[:-1, 1:] + nodes[1:, :-1] + nodes[:-1, :-1]) / 4)
    return np.exp(nodes)


def _around(values: np.ndarray, half: int) -> np.ndarray:
    """Return the median of the cells around each, and of all cells where there are none."""
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * half + 1,) * 2)
    middle = _median(windows.reshape(*values.shape, -1))[1]
    return np.where(np.isnan(middle), np.nanmedian(values), middle)


def _smooth(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return smoothed cell values at the cells' corners, shape (rows + 1, columns + 1)."""
    weight = weight / _spread(values, weight)**2
    inside, trend, error = _trend(values, weight)
    fits = [(np.zeros(trend.shape), error)]
    fits += [_fit(values - inside, weight, half, degree) for half, degree in _windows(max(values.shape))]
    found, error = (np.stack(arrays) for arrays in zip(*fits, strict=True))
    order = np.argsort(-error, axis=0, kind="stable")
    found, error = (np.take_along_axis(array, order, axis=0) for array in (found, error))
    best, low, high = trend.copy(), np.full(trend.shape, -np.inf), np.full(trend.shape, np.inf)
    for f, e in zip(found, error, strict=True):
        agrees = (f - AGREE_ERRORS * e <= high) & (f + AGREE_ERRORS * e >= low) & np.isfinite(e)
        best[agrees] = (trend + f)[agrees]
        low[agrees] = np.maximum(low, f - AGREE_ERRORS * e)[agrees]
        high[agrees] = np.minimum(high, f + AGREE_ERRORS * e)[agrees]
    # far from all cells a polynomial goes anywhere
    known = values[weight > 0]
    return np.clip(best, known.min() - MOST_BEYOND, known.max() + MOST_BEYOND)


def _trend(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smooth function that fits all cells best, in the cells and at their corners, and its error there.

    A polynomial in ln(rms), or in a power of the rms; of these, and their degrees, that of least
    chi^2 + k ln(n) (Schwarz 1978, doi:10.1214/aos/1176344136).
    """
    used = weight > 0
    best = _polynomial(values, weight, used)
    middle, variance = np.median(values[used]), 1 / np.where(used, weight, 1)
    first = best[1]
    for power in RMS_POWERS:
        # the mean of a power of what scatters is not the power of the mean
        bent = np.expm1(power * (values - middle) - power**2 * variance / 2) / power
        slope = np.exp(power * (first - middle))
        cost, *found, error = _polynomial(bent, weight / slope**2, used)
        # where the power would be negative there is no rms
        if cost < best[0] and all((1 + power * part).min() > 0.01 for part in found):
            inside, corners = (middle + np.log1p(power * part) / power for part in found)
            best = cost, inside, corners, error / np.exp(power * (corners - middle))
    return best[1:]


def _polynomial(values: np.ndarray, weight: np.ndarray, used: np.ndarray) -> tuple[Any, ...]:
    """Return the cost of the best polynomial, it in the cells and at their corners, and its error there."""
    y, w = values[used], weight[used]
    least, found = np.inf, None
    for degree in range(TOP_DEGREE + 1):
        x = _products(values.shape, degree, 0.5)
        if degree and x.shape[-1] * 3 > y.size:
            break
        # sums without BLAS, whose last bits depend on the number of its threads
        normal = np.einsum("ki,kj->ij", x[used] * w[:, None], x[used])
        scale = np.sqrt(np.diagonal(normal))
        scale = np.where(scale > 0, scale, 1)
        inverse = np.linalg.pinv(normal / np.multiply.outer(scale, scale), rcond=1e-8, hermitian=True)
        inverse = inverse / np.multiply.outer(scale, scale)
        factors = np.einsum("ij,j->i", inverse, np.einsum("ki,k->i", x[used], w * y))
        inside = np.einsum("yxi,i->yx", x, factors)
        cost = np.sum(w * (y - inside[used])**2) + factors.size * np.log(y.size)
        if cost < least:
            least, found = cost, (degree, inside, factors, inverse)
    assert found is not None
    degree, inside, factors, inverse = found
    x = _products([n + 1 for n in values.shape], degree, 0.0)
    error = np.sqrt(np.einsum("yxi,ij,yxj->yx", x, inverse, x))
    return least, inside, np.einsum("yxi,i->yx", x, factors), error


def _products(shape: Sequence[int], degree: int, first: float) -> np.ndarray:
    """Return products of Legendre polynomials up to a total degree, shape (ny, nx, k)."""
    cells = [n - 1 if first == 0 else n for n in shape]
    down, across = (np.polynomial.legendre.legvander((np.arange(n) + first) * 2 / whole - 1, degree)
                    for n, whole in zip(shape, cells, strict=True))
    return np.stack([np.multiply.outer(down[:, a], across[:, b])
                     for a in range(degree + 1) for b in range(degree + 1 - a)], axis=-1)


def _windows(cells: int) -> Iterator[tuple[int, int]]:
    half = 1
    while True:
        yield from ((half, degree) for degree in (0, 1))
        if half >= cells:
            return
        half *= 2


def _spread(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the scatter of cells about lines through their neighbours, over what the weights say it is."""
    with np.errstate(divide="ignore"):
        variance = np.where(weight > 0, 1 / weight, np.inf)
    found = []
    for y, v in ((values, variance), (values.T, variance.T)):
        total = v[2:] + 4 * v[1:-1] + v[:-2]
        bend = np.abs(y[2:] - 2 * y[1:-1] + y[:-2])
        found.append((bend / np.sqrt(total))[np.isfinite(total)])
    ratio = np.concatenate(found)
    return float(np.clip(MAD_TO_RMS * np.median(ratio), 0.5, 4)) if ratio.size >= 30 else 1.0


def _fit(values: np.ndarray, weight: np.ndarray, half: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a polynomial fit to the cells around each corner, and its error, infinite where there are none.

    Cells up to ``half`` off count, less the further off they are.
    """
    u = (np.arange(-half, half) + 0.5) / half
    kernel = 1 - (u * half / (half + 0.5))**2
    powers = [(a, b) for a in range(degree + 1) for b in range(degree + 1 - a)]

    def moments(array: np.ndarray, kernel: np.ndarray, top: int) -> dict[tuple[int, int], np.ndarray]:
        down = {a: _along(array, kernel * u**a, 0) for a in range(top + 1)}
        return {(a, b): _along(down[a], kernel * u**b, 1) for a in down for b in range(top + 1 - a)}

    def matrix(found: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
        return np.stack([np.stack([found[a + c, b + d] for c, d in powers], -1) for a, b in powers], -2)

    inner, outer = (matrix(moments(weight, k, 2 * degree)) for k in (kernel, kernel**2))
    right = moments(weight * values, kernel, degree)
    total = inner[..., 0, 0]
    empty = total <= 0
    # where all cells are in line, the fit across them is level
    inner = inner + (1e-6 * np.where(empty, 1e6, total))[..., None, None] * np.eye(len(powers))
    unit = np.zeros((*total.shape, len(powers), 1))
    unit[..., 0, 0] = 1
    row = np.linalg.solve(inner, unit)[..., 0]
    found = sum(row[..., k] * right[power] for k, power in enumerate(powers))
    variance = np.einsum("...i,...ij,...j->...", row, outer, row)
    return found, np.where(empty, np.inf, np.sqrt(np.maximum(variance, 0)))


def _along(array: np.ndarray, kernel: np.ndarray, axis: int) -> np.ndarray:
    """Return sums over cells around the corners between them, one more along the axis than there are cells."""
    from scipy import ndimage

    padded = np.pad(array, [(0, 1) if k == axis else (0, 0) for k in range(2)])
    return ndimage.correlate1d(padded, kernel, axis=axis, mode="constant")
