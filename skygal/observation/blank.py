"""Pixels that are blank by a constant: 0, -999, 1e20 and others that stand where an image has nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skygal.checks import warn_caller
from skygal.io.pixel_file import row_bands

__all__ = ["blank_pixels", "mirrored"]

#: of pixels from which values are told that come again and again
SAMPLE_PIXELS = 2_000_000
#: magnitudes that no brightness has, in whatever unit: so large, and so many times what the other pixels are
ABSURD_VALUE, ABSURD_TIMES = 1e15, 1e10
#: constants that are looked for, at most
MOST_CONSTANTS = 6
#: pixels, and part of all, at least, that a value within the others' range has to have
FEWEST_PIXELS, LEAST_SHARE = 20, 1e-4
#: part of the other pixels that has to lie below, and above, a value for it to be within their range
WITHIN_SHARE = 0.01
#: so many times further from the median than any other pixel on that side: below, where there are no sources, and above
TIMES_BELOW, TIMES_ABOVE = 10.0, 100.0
#: a border's value that is the lowest or highest of all is this many median deviations away from the others
BORDER_GAP = 1.0
#: parts of a clipped image that are at the value clipped at
CLIPPED_SHARES = 0.2, 0.75
#: pixels beside a constant area are at least this part of what the others are, where they are noise and no model
NOISE_BESIDE = 0.1
#: side of the blocks, in pixels, in which clipped pixels get what mirrors the others; and blocks at most along a side
MIRROR_BLOCK, MOST_MIRROR_BLOCKS = 64, 64


def blank_pixels(data: Any, beam_pixels: float, *, sky: np.ndarray | None = None, card: Any = None,
                 name: str = "image") -> np.ndarray:
    """Return which pixels of an image are blank: NaN, off the sky or by a constant.

    Parameters
    ----------
    data : ndarray or PixelFile, shape (ny, nx)
        Pixel values.
    beam_pixels : float
        FWHM of the beam in pixels.
    sky : ndarray of bool, shape (ny, nx), optional
        Which pixels have a place on the sky; by default all.
    card : number, optional
        A value that the header names as blank.
    name : str
        What to call the image in warnings.

    Returns
    -------
    ndarray of bool, shape (ny, nx)

    Warns
    -----
    UserWarning
        If constants are taken as blank: which, and how many pixels have them.

    Notes
    -----
    Noise does not give the same number twice, so that a value that many pixels have exactly is one that stands for
    nothing, or the sky of an image without noise, or where one was clipped, or a step of a digitised one. It is taken
    as blank if the header says so, if it is absurdly large, if it is far from all other pixels, if it is within their
    range though these do not repeat, or if it fills areas wider than beams beside areas of others that are apart from
    it or on both sides of it. The floor of a model, or of an image clipped there, has others next to it on one side.
    """
    found = _where(data, lambda pixels: ~np.isfinite(pixels))
    if sky is not None:
        found |= ~sky
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        found, values = _search(data, found, beam_pixels, card)
    if values:
        listed = ", ".join(f"{value:.7g} ({_percent(count / data.size)})" for value, count in values)
        warn_caller(f"{name} has one value in many pixels: {listed} of all; taken as blank")
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _where(data: Any, test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return which pixels pass a test."""
    found = np.empty(data.shape, bool)
    for rows in row_bands(data.shape):
        found[rows] = test(data[rows])
    return found


def _gathered(data: Any, mask: np.ndarray, most: int) -> np.ndarray:
    """Return the first pixels of a mask, at most so many."""
    found, have = [np.zeros(0, data.dtype)], 0
    for rows in row_bands(data.shape):
        found.append(data[rows][mask[rows]][:most - have])
        have += found[-1].size
        if have >= most:
            break
    return np.concatenate(found)


def _extreme(data: Any, mask: np.ndarray, which: Any, initial: Any) -> Any:
    """Return the least or most of the pixels of a mask and ``initial``."""
    for rows in row_bands(data.shape):
        initial = which.reduce(data[rows], axis=None, where=mask[rows], initial=initial)
    return initial


def _search(data: Any, blank: np.ndarray, beam_pixels: float, card: Any
            ) -> tuple[np.ndarray, list[tuple[float, int]]]:
    values: list[tuple[float, int]] = []
    usual = _thinned(data, blank, lambda pixels: _size(pixels) < ABSURD_VALUE)
    much = ABSURD_TIMES * (np.median(_size(usual)) if usual.size else 0)
    absurd = _where(data, lambda pixels: (_size(pixels) >= ABSURD_VALUE) & (_size(pixels) > much)) & ~blank
    if absurd.any():
        top = _gathered(data, absurd, data.size)
        values.append((float(top[np.argmax(_size(top))]), int(np.count_nonzero(absurd))))
        blank = blank | absurd
    given = [] if card is None else [float(card)]
    for _ in range(MOST_CONSTANTS):
        seen = _Pixels(data, blank, beam_pixels)
        if seen.sample.size == 0:
            break
        mine = next((each for each in seen.constants(given) if each.any()), None)
        if mine is None:
            break
        values.append((float(_gathered(data, mine, 1)[0]) + 0.0, int(np.count_nonzero(mine))))
        blank = blank | mine
    return blank, values


def _size(pixels: np.ndarray) -> np.ndarray:
    return np.abs(pixels, dtype=float) if pixels.dtype.kind != "f" else np.abs(pixels)


def _thinned(data: Any, blank: np.ndarray, test: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """Return some of the pixels that are not blank, and pass a test, from a lattice over all of the image."""
    step = max(1, int(np.ceil(np.sqrt(data.size / SAMPLE_PIXELS))))
    pixels = data[::step, ::step]
    good = ~blank[::step, ::step] if test is None else ~blank[::step, ::step] & test(pixels)
    part = pixels[good]
    if part.size >= 1000 or step == 1:
        return part
    good = ~blank if test is None else ~blank & _where(data, test)
    return _gathered(data, good, SAMPLE_PIXELS)


@dataclass(eq=False)
class _Pixels:
    """The pixels of an image that are not known to be blank."""

    data: Any
    blank: np.ndarray
    beam_pixels: float

    def __post_init__(self) -> None:
        self.sample = _thinned(self.data, self.blank)
        self.values, self.counts = np.unique(self.sample, return_counts=True)

    def constants(self, named: list[Any]) -> Iterator[np.ndarray]:
        """Yield pixels that are blank by named values, by ends that are far from all others, by frequent values."""
        for value in named:
            yield self._at(value)
        for end, value in ((np.minimum, self.values[0]), (np.maximum, self.values[-1])):
            value = _extreme(self.data, ~self.blank, end, value)
            mine, others = self._at(value), self._others(value)
            if others.size and np.count_nonzero(mine) > 1 and self._far(mine, float(value), others):
                yield mine
        for value in self.values[np.argsort(self.counts)[::-1][:2]]:
            yield self._within(value)

    def _at(self, value: Any) -> np.ndarray:
        return ~self.blank & _where(self.data, lambda pixels: pixels == value)

    def _others(self, value: Any) -> np.ndarray:
        return self.sample[self.sample != value].astype(float)

    def _within(self, value: Any) -> np.ndarray:
        """Return the pixels of a value that are blank though it is not far from others."""
        mine, others, none = self._at(value), self._others(value), np.zeros_like(self.blank)
        count = int(np.count_nonzero(mine))
        if not others.size or count < max(FEWEST_PIXELS, LEAST_SHARE * self.data.size):
            return none
        offset = others - float(value)
        below = np.mean(offset < 0)
        within = WITHIN_SHARE <= below <= 1 - WITHIN_SHARE
        repeats = self.counts[self.values != value].max()
        if within and repeats <= max(3, 1e-3 * count * self.sample.size / self.data.size):
            # dead pixels and a border are alike, unless all that is near the value was set to it
            return mine if np.mean(np.abs(offset) < 0.3 * np.median(np.abs(offset))) > 0.01 else none
        spread = np.median(np.abs(others - np.median(others)))
        apart = not within and spread > 0 and np.quantile(np.abs(offset), 0.001) > BORDER_GAP * spread
        if not (within or apart) or not self._is_area(mine):
            return none
        opened = mine & _filter(_filter(mine, self._side, np.minimum, None), self._side, np.maximum, None)
        if within:
            # beside its areas it is one of the steps of digitised noise, as frequent as others
            steps = repeats * np.count_nonzero(~self.blank) / self.sample.size
            return opened if np.count_nonzero(mine & ~opened) <= 2 * steps else none
        rest = ~self.blank & ~opened
        # where the others are islands in it, it is the sky
        areas = np.count_nonzero(_filter(rest, self._side, np.minimum, None))
        return mine if areas > 0.25 * np.count_nonzero(rest) else none

    def _far(self, mine: np.ndarray, value: float, others: np.ndarray) -> bool:
        """Return whether a value is far from all other pixels."""
        rest = ~self.blank & ~mine
        low, high = (float(_extreme(self.data, rest, end, others[0])) for end in (np.minimum, np.maximum))
        if low == high:
            return value < 0 <= low and int(np.count_nonzero(mine)) >= FEWEST_PIXELS
        middle = float(np.median(others))
        if value < low:
            return middle - value > TIMES_BELOW * ((middle - low) or (high - middle))
        return value > high > middle and value - middle > TIMES_ABOVE * (high - middle)

    @property
    def _side(self) -> int:
        return 2 * max(3, int(np.ceil(1.5 * self.beam_pixels))) + 1

    def _is_area(self, mine: np.ndarray) -> bool:
        """Return whether pixels fill squares three beams wide, or a side of the image."""
        if any(edge.all() for edge in (mine[0], mine[-1], mine[:, 0], mine[:, -1])):
            return True
        return bool(_filter(mine, self._side, np.minimum, 0).any())


def _filter(mask: np.ndarray, side: int, which: Any, outside: int | None) -> np.ndarray:
    """Return the least or most of a mask in squares; what is outside is 0, 1 or (None) as the border is."""
    from scipy import ndimage

    run = ndimage.minimum_filter1d if which is np.minimum else ndimage.maximum_filter1d
    mode, value = ("nearest", 0) if outside is None else ("constant", outside)
    out = mask.astype(np.uint8)
    for axis in (0, 1):
        out = run(out, side, axis=axis, mode=mode, cval=value)
    return out.astype(bool)


def mirrored(data: Any, valid: np.ndarray) -> Any:
    """Return an image that was clipped at a value with values below it that mirror those above.

    Parameters
    ----------
    data : ndarray or PixelFile, shape (ny, nx)
        Pixel values.
    valid : ndarray of bool, shape (ny, nx)
        Which of them are not blank.

    Returns
    -------
    ndarray or PixelFile, shape (ny, nx)
        The image itself, unless about half of its pixels have the lowest value, as noise that was set to zero where it
        is negative: these then have the other pixels' heights above it, of the same block, below it.
    """
    if not valid.any():
        return data
    floor = _extreme(data, valid, np.minimum, _gathered(data, valid, 1)[0])
    low = valid & _where(data, lambda pixels: pixels == floor)
    share = np.count_nonzero(low) / np.count_nonzero(valid)
    if not CLIPPED_SHARES[0] <= share <= CLIPPED_SHARES[1]:
        return data
    from scipy import ndimage

    data, high = data[:, :], valid & ~low
    # a model fades out beside its floor
    beside = high & ndimage.binary_dilation(low)
    if np.median(data[beside].astype(float) - floor) < NOISE_BESIDE * np.median(data[high].astype(float) - floor):
        return data
    out = data.astype(float)
    side = max(MIRROR_BLOCK, -(-max(data.shape) // MOST_MIRROR_BLOCKS))
    for y in range(0, data.shape[0], side):
        for x in range(0, data.shape[1], side):
            part = np.s_[y:y + side, x:x + side]
            above = out[part][high[part]] - floor
            if above.size:
                out[part][low[part]] = floor - np.resize(above, np.count_nonzero(low[part]))
    return out
