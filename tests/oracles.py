"""Independent oracles: skies that are known in closed form, evaluated without the package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

FWHM = np.sqrt(8 * np.log(2))


@dataclass(frozen=True)
class Blobs:
    """A source made of Gaussians; offsets and covariances (x right, y up) in stamp pixels."""

    weight: np.ndarray
    place: np.ndarray
    covariance: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, *, length: float = 22, width: float = 4, beam_fwhm: float = 3.0):
        """Return an elongated, lopsided source that carries a round beam, its centre at zero."""
        n = int(rng.integers(3, 6))
        weight = rng.dirichlet(np.full(n, 2.0))
        place = np.stack([rng.uniform(-length, length, n), rng.uniform(-width, width, n)], axis=1)
        place[0, 0], place[1, 0] = -length, length
        angle = rng.uniform(0, np.pi, n)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
        size = rng.uniform(0, 2.5, (n, 2)) ** 2
        covariance = turn @ (size[:, :, None] * turn.transpose(0, 2, 1)) + np.eye(2) * (beam_fwhm / FWHM) ** 2
        return cls(weight, place - weight @ place, covariance)

    def on_grid(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the brightness at offsets (x, y)."""
        out = np.zeros(np.broadcast(x, y).shape)
        for w, m, c in zip(self.weight, self.place, self.covariance, strict=True):
            p = np.linalg.inv(c)
            dx, dy = x - m[0], y - m[1]
            out += w / (2 * np.pi * np.sqrt(np.linalg.det(c))) * np.exp(
                -0.5 * (p[0, 0] * dx**2 + p[1, 1] * dy**2 + 2 * p[0, 1] * dx * dy))
        return out

    def moments(self) -> np.ndarray:
        """Return the second moments about the centre."""
        return np.einsum("n,nij->ij", self.weight,
                         self.covariance + self.place[:, :, None] * self.place[:, None, :])

    def mapped(self, linear: np.ndarray, extra: np.ndarray) -> Blobs:
        """Return the source under a linear map, convolved with a Gaussian of covariance ``extra``."""
        return Blobs(self.weight, self.place @ linear.T, linear @ self.covariance @ linear.T + extra)


def sky_offsets(wcs: WCS, shape: tuple[int, int], centre: SkyCoord) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets in arcsec of every pixel from a position, by spherical trigonometry.

    East and north are those of the frame that ``centre`` is in.
    """
    y, x = np.mgrid[:shape[0], :shape[1]]
    world = wcs.pixel_to_world(x, y).transform_to(centre.frame)
    distance, angle = centre.separation(world).to_value(u.arcsec), centre.position_angle(world).to_value(u.rad)
    return distance * np.sin(angle), distance * np.cos(angle)


def position_angle(image: np.ndarray, east: np.ndarray, north: np.ndarray) -> float:
    """Return the angle of the major axis of an image's second moments, degrees north through east."""
    total = image.sum()
    e, n = (image * east).sum() / total, (image * north).sum() / total
    ee = (image * (east - e) ** 2).sum() / total
    nn = (image * (north - n) ** 2).sum() / total
    en = (image * (east - e) * (north - n)).sum() / total
    return float(np.degrees(0.5 * np.arctan2(2 * en, nn - ee)) % 180)


def angle_between(a: float, b: float) -> float:
    """Return the difference of two axes, degrees in [0, 90]."""
    return float(abs((a - b + 90) % 180 - 90))


def grids() -> dict[str, WCS]:
    """Return image grids of every kind that users bring, of 1.8 arcsec or so to a pixel."""
    def make(ctype, crval, cdelt, turn=0.0, flip=False, radesys="ICRS"):
        w = WCS(naxis=2)
        w.wcs.ctype, w.wcs.crval, w.wcs.crpix = list(ctype), list(crval), [129.3, 130.8]
        w.wcs.cdelt = np.array([cdelt[0] * (1 if flip else -1), cdelt[1]]) / 3600
        t = np.radians(turn)
        w.wcs.pc = [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]
        if radesys:
            w.wcs.radesys = radesys
        w.array_shape = (260, 256)
        w.wcs.set()
        return w

    car = make(("GLON-CAR", "GLAT-CAR"), (120.0, 0.0), (1.8, 1.8), radesys="")
    car.wcs.crpix = [129.3, 130.8 - 20 * 3600 / 1.8]     # 20 degrees off the equator: stretched pixels
    car.wcs.set()
    return {"SIN, rotated": make(("RA---SIN", "DEC--SIN"), (210.0, 54.0), (1.8, 1.8), turn=37),
            "TAN, flipped": make(("RA---TAN", "DEC--TAN"), (10.0, -72.0), (1.5, 1.5), flip=True),
            "ZEA, non-square": make(("RA---ZEA", "DEC--ZEA"), (359.99, 1.0), (2.1, 1.6), turn=-110, radesys="FK5"),
            "CAR, galactic": car}
