"""Noise that is given: one number for all of an image, or a map, brought onto the image's pixels."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from skygal.checks import as_quantity, show, show_fields
from skygal.io.header_wcs import celestial
from skygal.io.images import SkyImage, read_image
from skygal.io.words import names_file
from skygal.observation.beam import TargetBeam
from skygal.observation.brightness import area_ratio, jy_per_beam_in
from skygal.wcs import icrs_to_pixel, pixel_area, pixel_to_icrs

__all__ = ["NoiseMap", "as_rms", "nearest_with_value", "pixels_at", "read_noise"]

#: pixels on a side, at most, that are looked at to tell where one grid lies on another
GRID_LATTICE = 65
#: pixels of one grid are no further apart than this, in pixels
SAME_PIXEL = 1e-3
#: pixels that are reprojected at once
PIXELS_AT_ONCE = 2**21


@dataclass(frozen=True, eq=False)
class NoiseMap:
    """A map of the noise on the pixels of an image.

    Attributes
    ----------
    values : ndarray, shape (ny, nx), float32
        Standard deviation of the noise in ``unit``; NaN where the image is blank.
    wcs : `~astropy.wcs.WCS`
        The image's 2-d celestial WCS.
    unit : unit or None
        None for that of the image.
    beam, frequency, pixel : optional
        The map's own beam (`~radio_beam.Beam`), frequency, and solid angle of a pixel (sr), where it has them.
    name : str
        What to call it: its file.
    """

    values: np.ndarray = field(repr=False)
    wcs: WCS = field(repr=False)
    unit: Any = u.Jy / u.beam
    beam: Any = None
    frequency: u.Quantity | None = None
    pixel: float | None = None
    name: str = "array"

    __repr__ = show_fields

    def typical(self) -> float:
        """Return the median of the map."""
        return float(np.nanmedian(self.values))

    def blank(self) -> np.ndarray | None:
        """Return where the map has no values, None if it has them everywhere."""
        missing = np.isnan(self.values)
        return missing if missing.any() else None

    def at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return the values at places (ICRS, degrees): of the pixel, or of the nearest one that has a value.

        For places that the projection cannot show it is the median.
        """
        x, y = icrs_to_pixel(self.wcs, ra, dec)
        row, column, known = pixels_at(x, y, self.values.shape)
        found = self.values[row, column].astype(float)
        for k in np.flatnonzero(np.isnan(found) & known).tolist():
            found[k] = self.values[nearest_with_value(row[k], column[k], self.values.shape,
                                                      lambda part: ~np.isnan(self.values[part]))]
        return found if known.all() else np.where(known, found, self.typical())


def pixels_at(x: np.ndarray, y: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row and column of the pixel nearest to each place, and which places the projection can show.

    Those that it cannot, NaN in ``x`` or ``y``, are given the first pixel.
    """
    known = np.isfinite(x) & np.isfinite(y)
    row, column = (np.rint(np.clip(np.where(known, place, 0), 0, n - 1)).astype(int)
                   for place, n in zip((y, x), shape, strict=True))
    return row, column, known


def nearest_with_value(row: int, column: int, shape: tuple[int, ...],
                       has_value: Callable[[tuple[slice, slice]], np.ndarray]) -> tuple[int, int]:
    """Return the pixel nearest to one that has no value; that itself if none has.

    Parameters
    ----------
    row, column : int
        The pixel.
    shape : (int, int)
        (ny, nx) of the image.
    has_value : callable
        Returns which pixels of a part of the image, a pair of slices, have a value.
    """
    from scipy import ndimage

    def around(reach: int) -> tuple[slice, slice]:
        return slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1)

    reach = 16
    while not has_value(around(reach)).any():
        if reach > max(shape):
            return row, column
        reach *= 4
    # one in the corner of the square lies further off than one beside it may
    part = around(2 * reach)
    nearest = ndimage.distance_transform_edt(~has_value(part), return_distances=False, return_indices=True)
    y, x = nearest[:, row - part[0].start, column - part[1].start].tolist()
    return y + part[0].start, x + part[1].start


def read_noise(name: str, value: Any, wcs: WCS, shape: tuple[int, int]) -> Any:
    """Return the noise that was given, a map on the image's pixels.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    value : Quantity, str, ndarray, path, HDU, NoiseMap, False or None
        See `skygal.simulate_field`. What is no map is returned as it is.
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).

    Returns
    -------
    NoiseMap, or what was given
        In Jy/beam where the map's unit tells that without a beam.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If an array is not one of numbers.
    ValueError
        If a map has another shape than the image, does not overlap it, has no usable unit, or values that
        are not positive or none that are finite.

    Notes
    -----
    A map on another grid is interpolated between its pixels (`reproject.reproject_interp`), and within half a
    pixel of its border and of its blank pixels the nearest one is taken. Its values are not changed by the grids'
    pixels or beams: it is the rms per beam.
    """
    if isinstance(value, str) and not names_file(value):
        return value
    if isinstance(value, (str, os.PathLike, fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return _from_fits(name, value, wcs, shape)
    if isinstance(value, np.ndarray) and value.ndim:
        return _from_array(name, value, wcs, shape)
    return value


def _from_array(name: str, value: np.ndarray, wcs: WCS, shape: tuple[int, int]) -> NoiseMap:
    unit = value.unit if isinstance(value, u.Quantity) else None
    if unit is not None and unit.is_equivalent(u.Jy):
        # as for one number
        unit = unit / u.beam
    if isinstance(value, u.Quantity):
        value = value.value
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(float), np.nan)
    if value.shape != tuple(shape):
        raise ValueError(f"{name} must be one value or a map of the image's shape {tuple(shape)}, "
                         f"got one of shape {value.shape}")
    if value.dtype.kind not in "fiu":
        raise TypeError(f"{name} map must be an array of numbers, got dtype {value.dtype}")
    _check_values(f"{name} map", value)
    return _in_jy_per_beam(NoiseMap(_plain(value), wcs, unit, name=f"array of shape {value.shape}"))


def _plain(values: np.ndarray) -> np.ndarray:
    """Return a copy, which the caller cannot change before a lazy field's pixels are made."""
    values = np.array(values, np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def _from_fits(name: str, value: Any, wcs: WCS, shape: tuple[int, int]) -> NoiseMap:
    is_file = isinstance(value, (str, os.PathLike))
    if is_file and not os.path.exists(value):
        raise FileNotFoundError(f"{name} map {show(os.fspath(value))} does not exist")
    label = f"{name} map {show(os.fspath(value))}" if is_file else f"{name} map"
    try:
        image = read_image(value)
    except ValueError as error:
        raise ValueError(f"{label} cannot be used: {error}") from None
    if image.unit is None:
        got = repr(str(image.header["BUNIT"])) if str(image.header.get("BUNIT", "")).strip() else "none"
        raise ValueError(f"{label} must have a brightness such as 'Jy/beam', 'mJy/beam' or 'K' as its BUNIT, got {got}")
    values = _onto(label, image, wcs, shape)
    middle = [(n - 1) / 2 for n in image.data.shape]
    pixel = float(pixel_area(image.wcs, middle[1], middle[0])) or None
    return _in_jy_per_beam(NoiseMap(values, wcs, image.unit, image.beam, image.frequency, pixel,
                                    os.fspath(value) if is_file else "HDU"))


def _check_values(label: str, values: np.ndarray) -> None:
    """Raise if a map has no values, or such as no rms can have."""
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(f"{label} must have finite values where the image is, got none")
    bad = finite & (values <= 0)
    if bad.any():
        y, x = (int(k[0]) for k in np.nonzero(bad))
        raise ValueError(f"{label} must be positive, and NaN where it is blank, got {values[y, x]:g} at pixel "
                         f"({x}, {y}) and {np.count_nonzero(bad)} such in all")


def _in_jy_per_beam(given: NoiseMap) -> NoiseMap:
    if given.unit is None or not given.unit.is_equivalent(u.Jy / u.beam):
        return given
    scale = np.float32(given.unit.to(u.Jy / u.beam))
    return replace(given, values=given.values if scale == 1 else given.values * scale, unit=u.Jy / u.beam)


def _onto(label: str, image: SkyImage, wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Return a map on the pixels of an image, float32, NaN where there is nothing."""
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, GRID_LATTICE)).round()) for n in shape)
    x, y = np.meshgrid(columns, rows)
    place = pixel_to_icrs(wcs, x, y)
    lost = ~np.isfinite(place[0])
    across, down = (np.where(lost, np.nan, a) for a in icrs_to_pixel(image.wcs, *map(np.nan_to_num, place)))
    moved = np.nan_to_num(np.hypot(across - x, down - y)[~lost], nan=np.inf)
    if image.data.shape == tuple(shape) and moved.max(initial=0) < SAME_PIXEL:
        _check_values(label, image.data)
        return _plain(image.data)
    part, sky = _cut(image, across, down)
    if part.size:
        _check_values(label, part)
        values = _reprojected(part, sky, wcs, shape)
    if not part.size or not np.isfinite(values).any():
        ny, nx = image.data.shape
        places = [f"RA {float(ra):.4f} Dec {float(dec):.4f}" for ra, dec in
                  (pixel_to_icrs(image.wcs, (nx - 1) / 2, (ny - 1) / 2),
                   pixel_to_icrs(wcs, (shape[1] - 1) / 2, (shape[0] - 1) / 2))]
        raise ValueError(f"{label} must overlap the image, which is centred on {places[1]}, got one centred on "
                         f"{places[0]}")
    return values


def _cut(image: SkyImage, across: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, WCS]:
    """Return the part of a map that is needed at places on its grid, and its WCS."""
    edges = []
    for place, n in zip((down, across), image.data.shape, strict=True):
        good = place[np.isfinite(place)]
        if not good.size:
            # nowhere that the map's projection shows
            return image.data[:0], image.wcs
        # between the places that were looked at, a line may bulge
        margin = 2 + 0.05 * np.ptp(good)
        edges.append(slice(int(np.clip(np.floor(good.min() - margin), 0, n)),
                           int(np.clip(np.ceil(good.max() + margin) + 1, 0, n))))
    part = image.data[edges[0], edges[1]]
    return part, image.wcs[edges[0], edges[1]] if part.size else image.wcs


def _reprojected(part: np.ndarray, sky: WCS, wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    from reproject import reproject_interp

    source = np.where(np.isfinite(part), part, np.nan).astype(float)
    sky, onto = celestial(sky), celestial(wcs)
    values = np.full(shape, np.nan, np.float32)
    high = max(1, PIXELS_AT_ONCE // shape[1])
    for top in range(0, shape[0], high):
        band = slice(top, min(top + high, shape[0]))
        onto_band = partial(reproject_interp, (source, sky), onto[band, :],
                            shape_out=(band.stop - band.start, shape[1]), return_footprint=False)
        smooth = onto_band(order="bilinear")
        missing = np.isnan(smooth)
        values[band] = np.where(missing, onto_band(order="nearest-neighbor"), smooth) if missing.any() else smooth
    return values


def as_rms(name: str, given: Any, beam: TargetBeam, frequency: u.Quantity, *,
           unit: Any = u.Jy / u.beam) -> NoiseMap | float:
    """Return noise in Jy/beam, of what `read_noise` returned.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    given : NoiseMap or Quantity
        The noise.
    beam, frequency : TargetBeam, Quantity
        The image's, for a map in another unit that does not say what its own are.
    unit : unit
        That of the image, which an array without a unit is in.

    Raises
    ------
    TypeError, ValueError
        If a number is not a positive quantity, or the unit is no brightness.
    """
    if not isinstance(given, NoiseMap):
        if isinstance(given, u.Quantity) and given.unit.is_equivalent(u.Jy):
            given = given / u.beam
        return as_quantity(name, given, u.Jy / u.beam)
    given = _in_jy_per_beam(given if given.unit is not None else replace(given, unit=unit))
    if given.unit == u.Jy / u.beam:
        return given
    solid, area = beam.beam.sr, beam.area
    if given.beam is not None:
        solid = given.beam.sr
    elif beam.psf is not None:
        # a PSF image spreads the flux over more than the Gaussian fitted to its main lobe
        middle = [(n - 1) / 2 for n in given.values.shape]
        solid = (float(pixel_area(given.wcs, *middle[::-1])) * area * u.sr) or solid
    if given.pixel is not None:
        area = solid.to_value(u.sr) / given.pixel
    try:
        scale: Any = jy_per_beam_in(given.unit, solid, area, given.frequency or frequency)
    except u.UnitConversionError:
        raise u.UnitConversionError(f"{name} map must be a brightness such as Jy/beam, mJy/beam, Jy/pixel, Jy/sr or "
                                    f"K, got one in {given.unit}") from None
    if beam.nodes is not None and given.beam is None:
        scale = scale * area_ratio(beam, (0, given.values.shape[0], 0, given.values.shape[1]))
    return replace(given, values=(given.values / scale).astype(np.float32), unit=u.Jy / u.beam)
