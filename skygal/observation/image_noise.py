"""The noise of an image that exists, given or shown by the image itself, at any place in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import show_fields, warn_caller
from skygal.io.pixel_file import row_bands
from skygal.observation.blank import mirrored
from skygal.observation.brightness import BrightnessScale
from skygal.observation.frame import Frame
from skygal.observation.local_rms import LocalRms, measure_rms
from skygal.observation.noise import NoiseMap, nearest_with_value, pixels_at
from skygal.wcs import icrs_to_pixel

__all__ = ["GivenNoise", "ShownNoise", "given_noise", "shown_noise"]

#: bits of a number that are looked at together
DIGIT = 16


@dataclass(frozen=True, eq=False)
class GivenNoise:
    """Noise that was given: one number, or a map of it, Jy/beam."""

    noise: float | NoiseMap

    __repr__ = show_fields

    @property
    def level(self) -> float:
        """Its median."""
        return self.noise.typical() if isinstance(self.noise, NoiseMap) else self.noise

    def told(self) -> Any:
        """Return what tells it in a configuration."""
        return self.noise.name if isinstance(self.noise, NoiseMap) else self.noise * u.Jy / u.beam

    def at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return it at places (ICRS, degrees), Jy/beam."""
        return self.noise.at(ra, dec) if isinstance(self.noise, NoiseMap) else np.full(len(ra), self.noise)


@dataclass(frozen=True, eq=False)
class ShownNoise:
    """Noise that an image shows.

    Attributes
    ----------
    rms : LocalRms
        In the image's unit.
    frame : Frame
        The image.
    scale : BrightnessScale
        How many of its unit one Jy/beam is.
    level : float
        The median, Jy/beam.
    least : float
        What is taken where the image shows none, Jy/beam.
    """

    rms: LocalRms
    frame: Frame
    scale: BrightnessScale
    level: float
    least: float

    __repr__ = show_fields

    def told(self) -> Any:
        """Return what tells it in a configuration: nothing, since the image does."""
        return None

    def at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return it at places (ICRS, degrees), Jy/beam: of the pixel, or of the nearest one that is not blank.

        For places that the projection cannot show it is the median.
        """
        shape, valid = self.frame.shape, self.frame.valid
        assert valid is not None
        row, column, known = pixels_at(*icrs_to_pixel(self.frame.wcs, ra, dec), shape)
        for k in np.flatnonzero(~valid[row, column] & known).tolist():
            row[k], column[k] = nearest_with_value(row[k], column[k], shape, lambda part: valid[part])
        found = self.rms.at(row, column) / self.scale.at(row, column)
        found = np.where(found == 0, np.asarray(self.least, found.dtype), found).astype(float)
        return found if known.all() else np.where(known, found, self.level)


def given_noise(noise: float | NoiseMap, frame: Frame) -> GivenNoise:
    """Return noise that was given for an image, Jy/beam.

    Raises
    ------
    ValueError
        If a map has no values where the image is not blank.

    Warns
    -----
    UserWarning
        If it has none for some pixels of the image that are not blank.
    """
    if not isinstance(noise, NoiseMap):
        return GivenNoise(noise)
    valid = frame.valid
    assert valid is not None
    noise = replace(noise, values=np.where(valid, noise.values, np.float32(np.nan)))
    known, all_of = np.count_nonzero(np.isfinite(noise.values)), np.count_nonzero(valid)
    if not known:
        raise ValueError("noise map must have values where the image is not blank, got none")
    if known < all_of:
        warn_caller(f"noise map has no values for {all_of - known} of {all_of} pixels of the image that are not "
                    "blank: sources there have the local_rms of the nearest one that it has")
    return GivenNoise(noise)


def shown_noise(data: Any, frame: Frame, scale: BrightnessScale) -> ShownNoise:
    """Return the noise that an image shows.

    Parameters
    ----------
    data : ndarray or PixelFile, shape (ny, nx)
        Its pixels.
    frame : Frame
        The image, its blank pixels known.
    scale : BrightnessScale
        How many of its unit one Jy/beam is.

    Warns
    -----
    UserWarning
        If some of it shows none.
    """
    valid = frame.valid
    assert valid is not None
    rms = measure_rms(mirrored(data, valid), valid, frame.beam.width)

    def bands() -> Iterator[np.ndarray]:
        for rows in row_bands(frame.shape):
            window = rows.start, rows.stop, 0, frame.shape[1]
            yield (rms.within(rows.start, rows.stop) / scale.within(window))[valid[rows]]

    count = int(np.count_nonzero(valid))
    none = sum(int(np.count_nonzero(band == 0)) for band in bands())
    least = 0.0
    if none:
        share = 100 * none / count
        if none < count:
            least = _middle(lambda: (band[band > 0] for band in bands()), count - none)
        warn_caller(f"image shows no noise in {share:.3g} % of its pixels, where "
                    + ("local_rms is 0 and snr infinite" if none == count else "the median of the others is taken")
                    + ": give noise to say what it is")
    filled = (lambda: (np.where(band == 0, band.dtype.type(least), band) for band in bands())) if least else bands
    return ShownNoise(rms, frame, scale, _middle(filled, count), least)


def _middle(bands: Callable[[], Iterator[np.ndarray]], count: int) -> float:
    """Return the median of numbers of which none is negative, and which need not be in memory together."""
    ranks = [(count - 1) // 2, count // 2]
    found = [0, 0]
    dtype = next(bands()).dtype
    whole = np.dtype(f"u{dtype.itemsize}")
    # numbers that are not negative are in the order of their bits
    for shift in range(8 * dtype.itemsize - DIGIT, -1, -DIGIT):
        tally = np.zeros((2, 2**DIGIT), np.int64)
        for band in bands():
            bits = band.view(whole)
            for k in range(2 if found[0] != found[1] else 1):
                mine = bits[bits >> (shift + DIGIT) == found[k]] if shift + DIGIT < 8 * dtype.itemsize else bits
                tally[k] += np.bincount((mine >> shift) & (2**DIGIT - 1), minlength=2**DIGIT)
        if found[0] == found[1]:
            tally[1] = tally[0]
        for k in range(2):
            below = np.cumsum(tally[k])
            digit = int(np.searchsorted(below, ranks[k], side="right"))
            ranks[k] -= int(below[digit - 1]) if digit else 0
            found[k] = (found[k] << DIGIT) + digit
    return float(np.mean(np.array(found, whole).view(dtype)))
