"""Grounds: what sources are added to, simulated noise or an image that exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from astropy import units as u

from skygal.observation.beam import TargetBeam
from skygal.observation.brightness import BrightnessScale
from skygal.observation.noise import NoiseMap
from skygal.rendering.blocks import Window
from skygal.rendering.noise import noise_window
from skygal.seeds import Seeds

__all__ = ["Ground", "ImageGround", "NoiseGround"]


class Ground(Protocol):
    """What an image shows where there is no source. Windows are (y0, y1, x0, x1)."""

    def rms_at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return the noise at places (ICRS, degrees), Jy/beam; 0 for none."""

    def within(self, window: Window) -> Ground:
        """Return what `under` needs for a window."""

    def under(self, window: Window, drawn: np.ndarray, valid: np.ndarray | None, *, workers: int = 1,
              progress: Callable[[int], object] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the image in a window, and the model, both float32 and in the image's unit.

        ``drawn`` are the sources there (Jy/beam, float32), ``valid`` where the image has pixels at all.
        """


@dataclass(frozen=True, eq=False)
class NoiseGround:
    """Noise with the beam's correlation.

    Attributes
    ----------
    beam : TargetBeam
        Whose correlation it has.
    noise : float, NoiseMap or ndarray
        Its standard deviation, Jy/beam; 0 for none; an array of the window that this is the part ``within``.
    seeds : Seeds
        The run's random streams, of which the noise has one.
    channel : int
        Images of one run that differ in it have noise of their own.
    fill : float
        What pixels hold that are not valid.
    """

    beam: TargetBeam
    noise: float | NoiseMap | np.ndarray
    seeds: Seeds
    channel: int = 0
    fill: float = np.nan

    @property
    def level(self) -> float:
        """The noise, Jy/beam; the median of a map."""
        return self.noise.typical() if isinstance(self.noise, NoiseMap) else float(self.noise)

    def told(self) -> Any:
        """Return what tells the noise in a configuration: a quantity, or what the map is called."""
        return self.noise.name if isinstance(self.noise, NoiseMap) else self.noise * u.Jy / u.beam

    def rms_at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return the noise at places."""
        return self.noise.at(ra, dec) if isinstance(self.noise, NoiseMap) else np.full(len(ra), self.noise)

    def within(self, window: Window) -> NoiseGround:
        """Return what a window needs."""
        y0, y1, x0, x1 = window
        return replace(self, noise=self.noise.values[y0:y1, x0:x1]) if isinstance(self.noise, NoiseMap) else self

    def under(self, window: Window, drawn: np.ndarray, valid: np.ndarray | None, *, workers: int = 1,
              progress: Callable[[int], object] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return noise with the sources on it, and these."""
        sigma = self.noise.values if isinstance(self.noise, NoiseMap) else self.noise
        rms, factor = (1.0, sigma) if isinstance(sigma, np.ndarray) else (sigma, None)
        if rms > 0:
            image = noise_window(window, self.beam, rms, self.seeds, channel=self.channel, workers=workers,
                                 progress=progress)
            if factor is not None:
                image *= factor
            image += drawn
        else:
            image = drawn.copy()
        if valid is not None and not valid.all():
            image[~valid] = drawn[~valid] = self.fill
        return image, drawn


@dataclass(frozen=True, eq=False)
class ImageGround:
    """An image that exists.

    Attributes
    ----------
    data : array, shape (ny, nx)
        Its pixels: an array, or what gives one for a pair of slices.
    scale : BrightnessScale
        How many of its unit one Jy/beam is.
    rms : object with ``at(ra, dec)``, or float
        The noise, Jy/beam.
    """

    data: Any
    scale: BrightnessScale
    rms: Any

    def rms_at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return the noise at places."""
        return self.rms.at(ra, dec) if hasattr(self.rms, "at") else np.full(len(ra), self.rms)

    def within(self, window: Window) -> ImageGround:
        """Return what a window needs."""
        y0, y1, x0, x1 = window
        data = self.data[y0:y1, x0:x1] if isinstance(self.data, np.ndarray) else self.data.within(window)
        return ImageGround(data, self.scale, None)

    def under(self, window: Window, drawn: np.ndarray, valid: np.ndarray | None, *, workers: int = 1,
              progress: Callable[[int], object] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the image with the sources added, and these."""
        valid = np.ones(drawn.shape, bool) if valid is None else valid
        model = np.where(valid, drawn, 0) * np.asarray(self.scale.within(window), np.float32)
        with np.errstate(over="ignore"):
            image = (self.data[:] + model).astype(np.float32)
        # what stands for blank may be more than a float32 holds
        image[~valid & ~np.isfinite(image)] = np.nan
        return image, model
