"""Maps that go on beyond 180 degrees of their reference longitude.

The projections that lay meridians side by side repeat for ever, and images lie anywhere along them: one of the galactic
plane about l = 200 with its reference at l = 0 does. The libraries below know one turn about the reference alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS

__all__ = ["Turns", "turns"]

#: projections of which one turn is as wide everywhere, and those of which it narrows towards the poles
EVEN, NARROWING = ("CAR", "CEA", "CYP", "MER", "HPX"), ("SFL", "PAR", "MOL", "GLS")
_TINY = 1e-9


@dataclass(frozen=True)
class Turns:
    """The copies of the sky that a projection lays side by side, and which one an image shows.

    A place is where the projection itself has it, within half a turn of the reference, if that is in the image; else at
    the copy nearest to the image's middle.
    """

    wcs: WCS
    shape: tuple[int, int]
    even: bool

    def own(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the projection itself has what pixels show; NaN for pixels of sky that another pixel shows."""
        moved, turn = self._wrapped(x, y)
        away = np.abs(turn) > 0
        if not away.any():
            return x, y
        shown = self.shown(*moved)
        # rounded, it is the pixel itself or it is not
        elsewhere = away & ~((np.abs(shown[0] - x) < 0.5) & (np.abs(shown[1] - y) < 0.5))
        return np.where(elsewhere, np.nan, moved[0]), np.where(elsewhere, np.nan, moved[1])

    def shown(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels that show what the projection has at ``x``, ``y``."""
        ny, nx = self.shape
        with np.errstate(invalid="ignore"):
            inside = (x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)
        along, across = self._plane(x, y)
        middle, _ = self._plane(np.array((nx - 1) / 2), np.array((ny - 1) / 2))
        width = self._width(across)
        with np.errstate(invalid="ignore"):
            count = np.rint((middle - along) / width)
        count = np.where(inside | ~np.isfinite(count), 0, count)
        return self._moved(x, y, count * np.where(count == 0, 0, width))

    def repeated(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which pixels show sky that others show: all but those without sky, of projections of even turns."""
        if not self.even:
            return np.zeros(x.shape, bool)
        known = np.isfinite(self.wcs.wcs_pix2world(*self._wrapped(x, y)[0], 0)).all(axis=0)
        return known & np.isnan(self.own(x, y)[0])

    def _wrapped(self, x: np.ndarray, y: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Return pixels moved to within half a turn of the reference, and by how many turns."""
        along, across = self._plane(x, y)
        width = self._width(across)
        with np.errstate(invalid="ignore"):
            count = np.where(np.abs(along) <= (0.5 + _TINY) * width, 0, -np.rint(along / width))
        count = np.where(np.isfinite(count), count, 0)
        return self._moved(x, y, count * np.where(count == 0, 0, width)), count

    def _plane(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return intermediate world coordinates in degrees: along longitude and along latitude."""
        pixel = np.stack([x, y], axis=-1) + 1 - self.wcs.wcs.crpix
        plane = pixel @ self.wcs.pixel_scale_matrix.T
        return plane[..., self.wcs.wcs.lng], plane[..., self.wcs.wcs.lat]

    def _moved(self, x: np.ndarray, y: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels moved by degrees along longitude."""
        step = np.linalg.inv(self.wcs.pixel_scale_matrix)[:, self.wcs.wcs.lng]
        return x + along * step[0], y + along * step[1]

    def _width(self, across: np.ndarray) -> np.ndarray:
        """Return the width of a turn at heights in the plane, degrees."""
        plain = WCS(naxis=2)
        code = str(self.wcs.wcs.ctype[self.wcs.wcs.lng])[5:8]
        # native coordinates as celestial ones
        plain.wcs.ctype = [f"RA---{code}", f"DEC--{code}"]
        plain.wcs.cdelt, plain.wcs.crval, plain.wcs.crpix = [1, 1], [0, 0], [1, 1]
        plain.wcs.set_pv([(2, m, value) for _, m, value in self.wcs.wcs.get_pv()])
        if self.even:
            return np.full(np.shape(across), 2 * abs(plain.wcs_world2pix(180, 0, 0)[0]))
        flat = np.ravel(across)
        _, latitude = plain.wcs_pix2world(np.zeros(flat.shape), flat, 0)
        edge, _ = plain.wcs_world2pix(np.full(flat.shape, 180.0), latitude, 0)
        width = 2 * np.abs(edge)
        return np.where(width > _TINY, width, np.nan).reshape(np.shape(across))


def turns(wcs: WCS) -> Turns | None:
    """Return the copies of the sky that an image may show, None if it lies within one turn of its reference.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A 2-d celestial WCS; one without ``array_shape`` is taken to have an image within one turn.
    """
    shape = wcs.array_shape
    code = str(wcs.wcs.ctype[wcs.wcs.lng])[5:8]
    if shape is None or None in shape or 0 in shape or wcs.has_distortion or code not in EVEN + NARROWING:
        return None
    if any(axis == wcs.wcs.lng + 1 for axis, _, _ in wcs.wcs.get_pv()):
        # a reference that is not the native one
        return None
    found = Turns(wcs, (int(shape[0]), int(shape[1])), code in EVEN)
    x, y = np.meshgrid([-0.5, shape[1] - 0.5], [-0.5, shape[0] - 0.5])
    along, across = found._plane(x, y)
    if found.even and (np.abs(along) <= (0.5 + _TINY) * found._width(across)).all():
        return None
    return found
