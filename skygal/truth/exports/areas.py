"""Areas of the sky by which truth is divided: what is released and what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from skygal.truth.exports.columns import require_package

__all__ = ["Area", "core_positions", "write_border_moc", "write_border_region"]

#: vertices along each side of a border, which follows a parallel
VERTICES = 64
#: cells that an area's extent is in a coverage map, at least, and the finest order of cells that is used
ACROSS, FINEST = 256, 20


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


def write_border_moc(border: tuple[np.ndarray, np.ndarray], path: Path) -> None:
    """Write the cells that an area touches, given by its border, as a multi-order coverage map (IVOA MOC 2.0, FITS).

    Parameters
    ----------
    border : (ndarray, ndarray)
        Vertices (ra, dec) in turn, ICRS degrees.
    path : path

    Raises
    ------
    ModuleNotFoundError
        If mocpy is not installed.
    """
    mocpy = require_package("mocpy", "moc")
    places = SkyCoord(*border, unit="deg")
    across = places.separation(places[0]).max().rad
    order = int(np.clip(np.ceil(np.log2(np.sqrt(np.pi / 3) * ACROSS / across)), 0, FINEST))
    mocpy.MOC.from_polygon_skycoord(places, max_depth=order).save(str(path), format="fits")


def write_border_region(border: tuple[np.ndarray, np.ndarray], path: Path, name: str) -> None:
    """Write an area, given by its border (ra, dec) in ICRS degrees, as a region of DS9."""
    words = ",".join(f"{ra:.8f},{dec:.8f}" for ra, dec in zip(*border, strict=True))
    path.write_text(f"# Region file format: DS9\nicrs\npolygon({words}) # color=white text={{{name}}}\n",
                    encoding="ascii")
