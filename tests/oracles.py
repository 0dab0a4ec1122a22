"""Independent oracles: skies that are known in closed form or by quadrature, evaluated without the package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip

FWHM = np.sqrt(8 * np.log(2))
#: parameters (PV2_m) of the projections that need some
CONIC = ("COP", "COE", "COD", "COO")
ZENITHAL = ("AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR", "XPH")
PARAMETERS = {"AZP": {1: 2.0, 2: 10.0}, "SZP": {1: 2.0, 2: 30.0, 3: 80.0}, "SIN": {1: 0.05, 2: -0.1}, "AIR": {1: 45.0},
              "ZPN": {0: 0.05, 1: 0.975, 2: -0.807, 3: 0.337, 4: -0.065}, "CYP": {1: 1.0, 2: 0.7}, "CEA": {1: 0.8},
              "BON": {1: 45.0}, "HPX": {1: 4, 2: 3}, **dict.fromkeys(CONIC, {1: 45.0, 2: 25.0})}


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


def waves(stamp: np.ndarray, centre: np.ndarray, position: np.ndarray, affine: np.ndarray, kernel: np.ndarray,
          shape: tuple[int, int]) -> np.ndarray:
    """Return a stamp on an image's grid: its samples' band-limited function, convolved with a Gaussian.

    The Fourier integral over all frequencies that the samples know, by Gauss-Legendre quadrature in double
    precision: no period, no patch, nothing left out. A stamp's sum is what the image sums to. ``kernel`` is in
    stamp pixels squared.
    """
    rows, columns = np.flatnonzero(stamp.any(axis=1)), np.flatnonzero(stamp.any(axis=0))
    y, x = np.mgrid[:shape[0], :shape[1]]
    u, v = np.linalg.inv(affine) @ np.stack([x.ravel() - position[0], y.ravel() - position[1]]) + centre[:, None]
    far = max(np.ptp(np.r_[u, columns]), np.ptp(np.r_[v, rows]))
    nodes, weights = np.polynomial.legendre.leggauss(2 * (int(np.pi / 4 * far) + 20))
    f, w = nodes / 2, weights / 2
    own = stamp[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].astype(float)
    spectrum = (np.exp(-2j * np.pi * np.outer(f, np.arange(rows[0], rows[-1] + 1))) @ own
                @ np.exp(-2j * np.pi * np.outer(np.arange(columns[0], columns[-1] + 1), f)))
    fv, fu = f[:, None], f[None, :]
    spectrum *= np.outer(w, w) * np.exp(-2 * np.pi**2 * (kernel[0, 0] * fu**2 + kernel[1, 1] * fv**2
                                                          + 2 * kernel[0, 1] * fu * fv))
    # it is that of a real function: half of the frequencies along v will do
    half = f > 0
    out = np.empty(u.size)
    for start in range(0, u.size, 8192):
        part = slice(start, start + 8192)
        along = np.exp(2j * np.pi * np.outer(u[part], f)) @ spectrum[half].T
        out[part] = 2 * np.einsum("pk,pk->p", along, np.exp(2j * np.pi * np.outer(v[part], f[half]))).real
    return out.reshape(shape) / abs(np.linalg.det(affine))


@dataclass(frozen=True)
class Errors:
    """How far an image is from what it must look like.

    ``flux`` is relative, ``centroid`` in pixels, ``moments`` relative along any axis, ``angle`` that of the major
    axis in degrees, ``pixel`` the largest difference and ``bowl`` the lowest pixel below what it must be (or zero,
    if that is lower), both over the peak.
    """

    flux: float = 0.0
    centroid: float = 0.0
    moments: float = 0.0
    angle: float = 0.0
    pixel: float = 0.0
    bowl: float = 0.0

    @classmethod
    def of(cls, image: np.ndarray, expected: np.ndarray) -> Errors:
        """Compare two images."""
        image, expected = image.astype(float), expected.astype(float)
        peak = expected.max()
        flux, middle, moments = image_moments(image)
        truth, place, second = image_moments(expected)
        root = np.linalg.inv(np.linalg.cholesky(second))
        return cls(abs(flux / truth - 1), float(np.hypot(*(middle - place))),
                   float(abs(np.linalg.eigvalsh(root @ (moments - second) @ root.T)).max()),
                   angle_between(_angle(moments), _angle(second)), float(abs(image - expected).max() / peak),
                   float(max(0.0, (np.minimum(expected, 0) - image).max() / peak)))

    def worst(self, other: Errors) -> Errors:
        """Return the larger of each."""
        return Errors(*(max(a, b) for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def beyond(self, limits: Errors) -> dict[str, float]:
        """Return what is larger than allowed."""
        return {name: value for name, value in vars(self).items() if not value <= vars(limits)[name]}


#: what an isolated source has to keep to
TARGETS = Errors(flux=1e-4, centroid=0.01, moments=0.01, angle=0.3, pixel=1e-3, bowl=1e-3)


def image_moments(image: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the sum of an image, its centre (x, y), and the second moments about that."""
    y, x = np.mgrid[:image.shape[0], :image.shape[1]]
    total = image.sum()
    middle = np.array([(image * x).sum(), (image * y).sum()]) / total
    dx, dy = x - middle[0], y - middle[1]
    cross = (image * dx * dy).sum()
    return total, middle, np.array([[(image * dx**2).sum(), cross], [cross, (image * dy**2).sum()]]) / total


def _angle(moments: np.ndarray) -> float:
    return float(np.degrees(0.5 * np.arctan2(2 * moments[0, 1], moments[0, 0] - moments[1, 1])))


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


def projected(code: str, away: tuple[float, float], *, scale: float = 0.05, turn: float = 0.0, flip: bool = False,
              narrow: float = 1.0, shape: tuple[int, int] = (220, 212), names=("RA--", "DEC-")) -> WCS:
    """Return a grid in any of the FITS projections, far from its reference point.

    The image's middle is ``away`` degrees in longitude and latitude from the reference point; pixels are ``scale``
    arcsec in y and ``narrow`` times that in x, by the header.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [name + "-" + code for name in names]
    lat = 50.0 if code in ZENITHAL else 45.0 if code in CONIC else 0.0
    wcs.wcs.crval, wcs.wcs.crpix = [30.0, lat], [0, 0]
    wcs.wcs.cdelt = np.array([narrow if flip else -narrow, 1]) * scale / 3600
    t = np.radians(turn)
    wcs.wcs.pc = [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]
    wcs.wcs.set_pv([(2, m, value) for m, value in PARAMETERS.get(code, {}).items()])
    wcs.wcs.set()
    place = wcs.wcs_world2pix([[30 + away[0], lat + away[1]]], 0)[0]
    wcs.wcs.crpix = np.array(shape[::-1]) / 2 + 0.3 - place
    wcs.array_shape = shape
    wcs.wcs.set()
    return wcs


def distorted(shape: tuple[int, int] = (220, 212)) -> WCS:
    """Return a TAN grid with a SIP distortion of several pixels."""
    wcs = projected("TAN", (0.05, 0.04), scale=0.1, turn=20, shape=shape)
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[1, 1], a[0, 2], a[3, 0] = 2e-6, -1.5e-6, 1e-6, 1e-10
    b[2, 0], b[1, 1], b[0, 2], b[0, 3] = -1e-6, 2e-6, 1.5e-6, -1e-10
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


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
