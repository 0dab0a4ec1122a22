"""Brightness units: how many of an image's own one Jy/beam is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.wcs import WCS

from skygal.checks import show_fields
from skygal.observation.beam import TargetBeam
from skygal.wcs import pixel_area

__all__ = ["BrightnessScale", "area_ratio", "is_per_beam", "jy_per_beam_in"]

def jy_per_beam_in(unit: Any, solid: u.Quantity, area: float, frequency: u.Quantity) -> float:
    """Return how many of ``unit`` one Jy/beam is.

    Parameters
    ----------
    unit : unit
        A brightness.
    solid, area : Quantity, float
        The beam's solid angle, and its area in pixels.
    frequency : Quantity
        The observing frequency.

    Raises
    ------
    astropy.units.UnitConversionError
        If it is no brightness.
    """
    known = [(u.Jy / u.beam, u.Jy / u.sr, lambda x: x / solid.value, lambda x: x * solid.value)]
    if unit.is_equivalent(u.Jy / u.pix):
        return float((u.Jy / u.pix).to(unit)) / area
    try:
        return float((1 * u.Jy / u.beam).to_value(unit, known + u.brightness_temperature(frequency, beam_area=solid)))
    except u.UnitConversionError:
        raise u.UnitConversionError("unit must be a brightness such as Jy/beam, mJy/beam, Jy/pixel, Jy/sr or K, "
                                    f"got {unit}") from None


def is_per_beam(unit: Any) -> bool:
    """Return whether a unit is a brightness per beam."""
    return unit.is_equivalent(u.Jy / u.beam)


def area_ratio(beam: TargetBeam, window: tuple[int, int, int, int]) -> np.ndarray:
    """Return, for each pixel of a window (y0, y1, x0, x1), the beam's area at the image's centre over that there."""
    y0, y1, x0, x1 = window
    columns = np.arange(x0, x1)
    return np.stack([beam.area / beam.at(columns, np.full(len(columns), y))[1] for y in range(y0, y1)])


@dataclass(frozen=True, eq=False)
class BrightnessScale:
    """How many of an image's unit one Jy/beam is.

    Attributes
    ----------
    factor : float
        Where the beam is that at the image's centre.
    beam : TargetBeam or None
        The image's, where its area matters to the unit and varies.
    """

    factor: float
    beam: TargetBeam | None = None

    __repr__ = show_fields

    @classmethod
    def of(cls, unit: Any, beam: TargetBeam, frequency: u.Quantity, wcs: WCS, place: tuple[float, float]
           ) -> BrightnessScale:
        """Return the scale of an image with a beam, whose pixels are as large as at a place (x, y).

        Raises
        ------
        astropy.units.UnitConversionError
            If the unit is no brightness.
        """
        # a PSF image spreads the flux over more than the Gaussian fitted to its main lobe
        solid = beam.beam.sr if beam.psf is None else beam.area * (float(pixel_area(wcs, *place)) * u.sr)
        factor = jy_per_beam_in(unit, solid, beam.area, frequency)
        return cls(factor, None if beam.nodes is None or is_per_beam(unit) else beam)

    def within(self, window: tuple[int, int, int, int]) -> Any:
        """Return the scale in a window (y0, y1, x0, x1): one number, or one for each pixel."""
        return self.factor if self.beam is None else self.factor * area_ratio(self.beam, window)

    def at(self, row: np.ndarray, column: np.ndarray) -> Any:
        """Return the scale at pixels, shape (n,): one number, or one for each."""
        return self.factor if self.beam is None else self.factor * (self.beam.area / self.beam.at(column, row)[1])
