"""Areas of the sky by which truth is divided: what is released and what is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.table import QTable

__all__ = ["Area", "core_positions"]

#: vertices along each side of a border, which follows a parallel
VERTICES = 64


@dataclass(frozen=True)
class Area:
    """A piece of the sky between two meridians and two parallels, ICRS degrees, ends excluded.

    Attributes
    ----------
    west, east : float
        Right ascensions, of which ``west`` is the smaller number; below 0 for those before the zero meridian.
    south, north : float
        Declinations.

    Raises
    ------
    ValueError
        If an end is not below the other, or they are no right ascensions and declinations.
    """

    west: float
    east: float
    south: float
    north: float

    def __post_init__(self) -> None:
        if not (-360 <= self.west < self.east <= 360 and self.east - self.west < 360
                and -90 <= self.south < self.north <= 90):
            raise ValueError("area must be a range of right ascensions and one of declinations, each from the lower to "
                             f"the higher end, got {self.west} to {self.east} and {self.south} to {self.north} deg")

    def holds(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return which positions (degrees) lie inside."""
        along = (np.asarray(ra, float) - self.west) % 360
        return (along > 0) & (along < self.east - self.west) & (dec > self.south) & (dec < self.north)

    def scaled(self, ra: float, dec: float, scale: float) -> Area:
        """Return the area that is ``scale`` times as large in both coordinates, seen from a position (degrees)."""
        # the zero meridian may lie between the two
        ra += 360 * np.round((self.west - ra) / 360)
        return Area(*(float(ra + scale * (end - ra)) for end in (self.west, self.east)),
                    *(float(dec + scale * (end - dec)) for end in (self.south, self.north)))

    def border(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the vertices (ra, dec) of its border, degrees, shape (4 * VERTICES,)."""
        part = np.arange(VERTICES) / VERTICES
        ra = self.west + (self.east - self.west) * np.r_[part, np.ones(VERTICES), 1 - part, np.zeros(VERTICES)]
        dec = self.south + (self.north - self.south) * np.r_[np.zeros(VERTICES), part, np.ones(VERTICES), 1 - part]
        return ra % 360, dec


def core_positions(truth: QTable) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions (ra, dec) of sources, degrees: of the core, or of the centroid of what has none."""
    core, whole = ([np.asarray(truth[name].to_value(u.deg)) for name in names]
                   for names in (("ra_core", "dec_core"), ("ra", "dec")))
    has_core = np.isfinite(core[0]) & np.isfinite(core[1])
    return np.where(has_core, core[0], whole[0]), np.where(has_core, core[1], whole[1])
