"""Power patterns that are known as images."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy import units as u
from astropy.wcs import WCS

from skygal.checks import as_quantity, show_fields
from skygal.io.images import read_image
from skygal.observation.dish_beam import PrimaryBeam, unit_vectors
from skygal.wcs import icrs_to_pixel, pixel_area, pixel_to_icrs

__all__ = ["ImagePrimaryBeam", "read_primary_beam"]

#: power below this part of the peak, with a minus sign, is no rounding
_NEGATIVE = 1e-6


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

    data: np.ndarray
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
        centre, east, north = (axis[0] for axis in unit_vectors(*(np.array([a]) for a in self._centre)))
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
