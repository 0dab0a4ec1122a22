"""Primary beams: how much of the sky's power antennas let through, by place and frequency."""

from __future__ import annotations

import os
import pickle
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from skygal.checks import as_quantity, show, show_fields
from skygal.io.images import read_image
from skygal.wcs import icrs_to_pixel, local_affine, pixel_area, pixel_to_icrs, tangent_vectors, unit_vectors

__all__ = ["AiryPrimaryBeam", "GaussianPrimaryBeam", "ImagePrimaryBeam", "PrimaryBeam", "as_primary_beam",
           "read_primary_beam"]

#: speed of light, m/s
_LIGHT = 299792458.0
#: FWHM of a dish with the usual taper, in wavelengths over diameters (Condon & Ransom 2016, 2016era..book.....C, 3.2)
TAPERED = 1.2
#: power below this part of the peak, with a minus sign, is no rounding
_NEGATIVE = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class PrimaryBeam(ABC):
    """A power pattern: voltage squared, 1 where the antennas point.

    Attributes
    ----------
    pointing : `~astropy.coordinates.SkyCoord` or (float, float) or None
        Where the antennas point; kept as ICRS (ra, dec) in degrees. `as_primary_beam` puts the image's
        centre for None.
    """

    pointing: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pointing", _as_pointing(self.pointing))

    def gain(self, ra: Any, dec: Any, frequency: u.Quantity) -> np.ndarray:
        """Return the power that is let through.

        Parameters
        ----------
        ra, dec : array_like
            ICRS, degrees.
        frequency : Quantity
            One frequency.

        Returns
        -------
        ndarray
            In the shape of ``ra`` and ``dec``, in [0, 1]; 0 on the far side of the sky and where a
            position is NaN.

        Raises
        ------
        TypeError, ValueError
            If the frequency is not one positive quantity, or there is no pointing.
        """
        if self.pointing is None:
            raise ValueError("pointing must be given before the gain of a primary beam can be told")
        hertz = as_quantity("frequency", frequency, "Hz")
        ra, dec = np.broadcast_arrays(np.asarray(ra, float), np.asarray(dec, float))
        place, centre = unit_vectors(ra, dec), unit_vectors(*self.pointing)
        east, north = tangent_vectors(*self.pointing)
        found = np.zeros(ra.shape)
        seen = _along(place, centre) > 0
        found[seen] = self._power(_along(place[seen], east), _along(place[seen], north), hertz)
        return np.clip(found, 0, 1)

    def fwhm(self, frequency: u.Quantity) -> u.Quantity:
        """Return the full width at half power, degrees."""
        return self._width(as_quantity("frequency", frequency, "Hz")) * u.deg

    @abstractmethod
    def _power(self, l: np.ndarray, m: np.ndarray, hertz: float) -> np.ndarray:  # noqa: E741
        """Return the power at direction cosines to the east and to the north of the pointing."""

    @abstractmethod
    def _width(self, hertz: float) -> float:
        """Return the full width at half power, degrees."""


def _as_pointing(pointing: Any) -> tuple[float, float] | None:
    if pointing is None:
        return None
    if isinstance(pointing, SkyCoord):
        if not pointing.isscalar:
            raise ValueError(f"pointing must be one position, got {pointing.size}")
        pointing = pointing.icrs.ra.deg, pointing.icrs.dec.deg
    try:
        ra, dec = (float(angle) for angle in pointing)
    except (TypeError, ValueError):
        raise TypeError(f"pointing must be a SkyCoord or (ra, dec) in degrees, got {show(pointing)}") from None
    if not (np.isfinite(ra) and abs(dec) <= 90):
        raise ValueError(f"pointing must be finite with dec in [-90, 90], got ({ra}, {dec})")
    return ra, dec


def _along(vectors: np.ndarray, axis: np.ndarray) -> np.ndarray:
    # not a matrix product, whose rounding may depend on how many vectors there are
    return vectors[..., 0] * axis[0] + vectors[..., 1] * axis[1] + vectors[..., 2] * axis[2]


@dataclass(frozen=True)
class GaussianPrimaryBeam(PrimaryBeam):
    """A circular Gaussian, whose width goes as 1 / frequency.

    Attributes
    ----------
    full_width : Quantity
        Full width at half power, an angle, at ``frequency``.
    frequency : Quantity
        Where it has that width.

    Raises
    ------
    TypeError, ValueError
        If one is not a positive, finite quantity.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.observation.primary_beam import GaussianPrimaryBeam
    >>> beam = GaussianPrimaryBeam(1 * u.deg, 1.5 * u.GHz, pointing=(180.0, 30.0))
    >>> beam.gain(180.0, 30.25, 3 * u.GHz).round(6)
    np.float64(0.5)
    """

    full_width: u.Quantity
    frequency: u.Quantity

    def __post_init__(self) -> None:
        super().__post_init__()
        as_quantity("primary beam's FWHM", self.full_width, u.deg)
        as_quantity("primary beam's frequency", self.frequency, "Hz")

    @classmethod
    def from_diameter(cls, diameter: u.Quantity, *, factor: float = TAPERED, pointing: Any = None) -> PrimaryBeam:
        """Return the beam of a dish: FWHM = factor * wavelength / diameter.

        The factor is 1.2 for the usual taper (Condon & Ransom 2016, 2016era..book.....C, 3.2), and 1.03 for a
        dish that is illuminated evenly (the Airy pattern's main lobe).
        """
        metres = as_quantity("dish diameter", diameter, u.m)
        factor = as_quantity("factor", factor, u.dimensionless_unscaled)
        return cls(np.degrees(factor * _LIGHT / 1e9 / metres) * u.deg, 1 * u.GHz, pointing=pointing)

    def _width(self, hertz: float) -> float:
        return float(self.full_width.to_value(u.deg) * self.frequency.to_value(u.Hz) / hertz)

    def _power(self, l: np.ndarray, m: np.ndarray, hertz: float) -> np.ndarray:  # noqa: E741
        angle = np.degrees(np.arcsin(np.minimum(np.hypot(l, m), 1)))
        return np.exp(-4 * np.log(2) * (angle / self._width(hertz)) ** 2)


@dataclass(frozen=True)
class AiryPrimaryBeam(PrimaryBeam):
    """The pattern of a round dish that is illuminated evenly.

    Attributes
    ----------
    diameter : Quantity
        Of the dish.
    blockage : Quantity
        Diameter of what shades the dish's middle.

    Raises
    ------
    TypeError, ValueError
        If the diameter is not a positive, finite length, or the blockage is not smaller.

    Notes
    -----
    With u = pi D sin(theta) / lambda, e the blockage over the diameter and A(u) = 2 J1(u) / u, the power is
    ((A(u) - e^2 A(e u)) / (1 - e^2))^2 (Born & Wolf 1999, Principles of Optics, 8.6.2). Real dishes are
    tapered, with a wider main lobe and lower sidelobes.
    """

    diameter: u.Quantity
    blockage: u.Quantity = field(default_factory=lambda: 0 * u.m)

    def __post_init__(self) -> None:
        super().__post_init__()
        diameter = as_quantity("dish diameter", self.diameter, u.m)
        blockage = as_quantity("blockage", self.blockage, u.m, positive=False, minimum=0.0)
        if blockage >= diameter:
            raise ValueError(f"blockage must be smaller than the dish, {diameter} m, got {blockage} m")

    def _airy(self, argument: np.ndarray) -> np.ndarray:
        from scipy.special import j1

        def disc(v: np.ndarray) -> np.ndarray:
            safe = np.where(v > 1e-6, v, 1)
            return np.where(v > 1e-6, 2 * j1(safe) / safe, 1)

        e = float((self.blockage / self.diameter).to_value(u.dimensionless_unscaled))
        return ((disc(argument) - e**2 * disc(e * argument)) / (1 - e**2)) ** 2

    def _scale(self, hertz: float) -> float:
        return np.pi * self.diameter.to_value(u.m) * hertz / _LIGHT

    def _width(self, hertz: float) -> float:
        from scipy.optimize import brentq

        half = brentq(lambda v: float(self._airy(np.asarray(v))) - 0.5, 0.1, 2.4)
        return float(2 * np.degrees(np.arcsin(min(1, half / self._scale(hertz)))))

    def _power(self, l: np.ndarray, m: np.ndarray, hertz: float) -> np.ndarray:  # noqa: E741
        return self._airy(self._scale(hertz) * np.hypot(l, m))


@dataclass(frozen=True, eq=False)
class ImagePrimaryBeam(PrimaryBeam):
    """A power pattern that is known as an image.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        Power, of any peak; it is divided by it.
    wcs : `~astropy.wcs.WCS`
        Its 2-d celestial WCS.
    frequency : Quantity
        Where it was measured. At others its offsets from the peak, as direction cosines, go as 1 / frequency.
    pointing : optional
        By default where the image has its peak; else it is moved there, its north staying north.

    Raises
    ------
    TypeError, ValueError
        If it is not a two-dimensional array of finite numbers that are not negative, has no peak within its border,
        or the frequency is not a positive quantity.

    Notes
    -----
    Between pixels it is interpolated by cubic splines; beyond them it is 0.
    """

    data: np.ndarray = field(repr=False)
    wcs: WCS = field(repr=False)
    frequency: u.Quantity
    _spline: np.ndarray = field(init=False, repr=False, compare=False)
    _centre: tuple[float, float] = field(init=False, repr=False, compare=False)

    __repr__ = show_fields

    def __post_init__(self) -> None:
        from scipy import ndimage

        super().__post_init__()
        as_quantity("primary beam's frequency", self.frequency, "Hz")
        # a WCS that is sent to another process is rounded on the way: here it is so from the start
        object.__setattr__(self, "wcs", pickle.loads(pickle.dumps(self.wcs)))
        y, x = _pattern_peak(self.data)
        spline = ndimage.spline_filter(np.asarray(self.data, float))
        spline /= ndimage.map_coordinates(spline, [[y], [x]], prefilter=False)[0]
        centre = tuple(float(a) for a in pixel_to_icrs(self.wcs, x, y))
        if not np.isfinite(centre).all():
            raise ValueError(f"primary beam image must have its peak on the sky, got pixel ({x:.1f}, {y:.1f})")
        object.__setattr__(self, "_spline", spline)
        object.__setattr__(self, "_centre", centre)
        if self.pointing is None:
            object.__setattr__(self, "pointing", centre)

    def _width(self, hertz: float) -> float:
        from scipy import ndimage

        labels, _ = ndimage.label(self._spline >= 0.5)
        y, x = np.unravel_index(np.argmax(self._spline), self._spline.shape)
        solid = np.count_nonzero(labels == labels[y, x]) * float(pixel_area(self.wcs, x, y))
        return float(2 * np.degrees(np.sqrt(solid / np.pi)) * self.frequency.to_value(u.Hz) / hertz)

    def _power(self, l: np.ndarray, m: np.ndarray, hertz: float) -> np.ndarray:  # noqa: E741
        from scipy import ndimage

        ratio = hertz / self.frequency.to_value(u.Hz)
        l, m = l * ratio, m * ratio  # noqa: E741
        n2 = 1 - l**2 - m**2
        centre, (east, north) = unit_vectors(*self._centre), tangent_vectors(*self._centre)
        v = l[:, None] * east + m[:, None] * north + np.sqrt(np.maximum(n2, 0))[:, None] * centre
        ra, dec = np.degrees(np.arctan2(v[:, 1], v[:, 0])), np.degrees(np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1])))
        x, y = icrs_to_pixel(self.wcs, ra, dec)
        good = (n2 > 0) & np.isfinite(x) & np.isfinite(y)
        found = np.zeros(l.shape)
        found[good] = ndimage.map_coordinates(self._spline, [y[good], x[good]], prefilter=False)
        return found


def _pattern_peak(data: np.ndarray) -> tuple[float, float]:
    """Return where (y, x) a power pattern has its peak, between the brightest pixels."""
    data = np.asarray(data)
    if data.ndim != 2 or data.dtype.kind not in "fiu":
        raise TypeError("primary beam image must be a two-dimensional array of numbers, "
                        f"got shape {data.shape}, dtype {data.dtype}")
    data = data.astype(float)
    if not np.isfinite(data).all():
        raise ValueError(f"primary beam image must be finite, got {np.count_nonzero(~np.isfinite(data))} pixels that "
                         "are not; where the pattern was cut off, put 0")
    if data.min() < -_NEGATIVE * abs(data.max()):
        raise ValueError(f"primary beam image must not be negative, since it is power, got {data.min():g}")
    y, x = (int(k) for k in np.unravel_index(np.argmax(data), data.shape))
    if data.max() <= 0 or data.min() == data.max() or not (0 < y < data.shape[0] - 1 and 0 < x < data.shape[1] - 1):
        raise ValueError("primary beam image must have a positive peak within its border, "
                         f"got its largest value, {data.max():g}, at pixel ({x}, {y})")

    # of the logarithms, since a main lobe is nearly a Gaussian; what is zero is far below
    down, across = data[y - 1:y + 2, x], data[y, x - 1:x + 2]
    rows, columns = (np.log(np.maximum(line, 1e-9 * data.max())) for line in (down, across))

    def shift(before: float, here: float, after: float) -> float:
        bend = 2 * here - before - after
        return 0.5 * (after - before) / bend if bend > 0 else 0.0

    return y + shift(*rows), x + shift(*columns)


def read_primary_beam(source: Any, *, frequency: u.Quantity | None = None, pointing: Any = None) -> PrimaryBeam:
    """Return the primary beam of a FITS image of the power pattern.

    Parameters
    ----------
    source : path or HDU
        With a celestial WCS.
    frequency : Quantity, optional
        Where it was measured; by default what the header says.
    pointing : optional
        By default where it has its peak.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no such image, or no frequency is given.
    """
    image = read_image(source)
    if frequency is None and image.frequency is None:
        raise ValueError("frequency must be given, since the primary beam image's header has none")
    return ImagePrimaryBeam(image.data, image.wcs, image.frequency if frequency is None else frequency,
                            pointing=pointing)


def as_primary_beam(value: Any, wcs: WCS, shape: tuple[int, int], *,
                    frequency: u.Quantity | None = None) -> PrimaryBeam | None:
    """Return a primary beam with a pointing, from the ways in which one may be given.

    Parameters
    ----------
    value : PrimaryBeam, Quantity, path, HDU, str or None
        A length, also as ``"25 m"``, is a dish's diameter, and stands for its Airy pattern; a FITS image is a power
        pattern. None is none.
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx): the pointing is at its centre, unless there is one. (A FITS
        image has one: its peak.)
    frequency : Quantity, optional
        The highest that it is needed at, to check its width.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it is not allowed, or narrower than a pixel.
    """
    if value is None:
        return None
    if isinstance(value, str) and not os.path.exists(value):
        try:
            value = u.Quantity(value)
        except (TypeError, ValueError):
            raise FileNotFoundError(
                f"primary beam {show(value)} is neither a file nor a dish's diameter, such as '25 m'") from None
    if isinstance(value, u.Quantity):
        value = AiryPrimaryBeam(value)
    elif isinstance(value, (str, os.PathLike, fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        value = read_primary_beam(value)
    elif not isinstance(value, PrimaryBeam):
        raise TypeError("primary_beam must be a PrimaryBeam, a Quantity (a dish's diameter) or a FITS image of the "
                        f"power pattern, got {type(value).__name__}")
    places = np.array([[(n - 1) / 2 for n in shape[::-1]], wcs.wcs.crpix - 1])
    affines = local_affine(wcs, *places.T)
    k = 0 if np.isfinite(affines[0]).all() else 1
    if value.pointing is None:
        value = replace(value, pointing=tuple(float(a) for a in pixel_to_icrs(wcs, *places[k])))
    if frequency is not None:
        pixel = 1 / np.sqrt(abs(np.linalg.det(affines[k])))
        width = value.fwhm(frequency).to_value(u.arcsec)
        if width < pixel:
            raise ValueError(f"primary_beam must be wider than a pixel, {pixel:.3g} arcsec, "
                             f"got a FWHM of {width:.3g} arcsec at {frequency}")
    return value
