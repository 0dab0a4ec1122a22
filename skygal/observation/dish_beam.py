"""Power patterns of dishes: how much of the sky's power antennas let through, by place and frequency."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from skygal.checks import as_quantity, show

__all__ = ["AiryPrimaryBeam", "GaussianPrimaryBeam", "PrimaryBeam", "unit_vectors"]

_C = 299792458.0
#: FWHM of a dish with the usual taper, in wavelengths over diameters (Condon & Ransom 2016, 2016era..book.....C, 3.2)
TAPERED = 1.2


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
        place = unit_vectors(ra, dec)[0]
        centre, east, north = (axis[0] for axis in unit_vectors(*(np.array([a]) for a in self.pointing)))
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


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit vectors to places, and there to the east and the north, shape (..., 3)."""
    a, d = np.radians(ra), np.radians(dec)
    zero = np.zeros_like(a)
    return (np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1),
            np.stack([-np.sin(a), np.cos(a), zero], axis=-1),
            np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=-1))


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
    >>> from skygal.observation.dish_beam import GaussianPrimaryBeam
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
        return cls(np.degrees(factor * _C / 1e9 / metres) * u.deg, 1 * u.GHz, pointing=pointing)

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
        return np.pi * self.diameter.to_value(u.m) * hertz / _C

    def _width(self, hertz: float) -> float:
        from scipy.optimize import brentq

        half = brentq(lambda v: float(self._airy(np.asarray(v))) - 0.5, 0.1, 2.4)
        return float(2 * np.degrees(np.arcsin(min(1, half / self._scale(hertz)))))

    def _power(self, l: np.ndarray, m: np.ndarray, hertz: float) -> np.ndarray:  # noqa: E741
        return self._airy(self._scale(hertz) * np.hypot(l, m))
