"""PSF images: read, centred, resampled, fitted, and divided by the Gaussian that sources are drawn with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from scipy import fft, ndimage

from skygal.checks import show, show_fields
from skygal.io.cards import Cards
from skygal.io.fits_files import read_first
from skygal.io.header_wcs import celestial
from skygal.io.inputs import read_npy
from skygal.observation.ellipse import FWHM
from skygal.wcs import local_affine

__all__ = ["PsfImage", "centred_psf", "divide_gaussian", "fit_main_lobe", "read_psf_image", "resample_psf"]

#: a sum below this part of the sum of sizes is one of zero, rounded
SMALLEST_SUM = 1e-9
#: pixels of nothing around a PSF that is resampled
RESAMPLING_MARGIN = 12
#: a peak this near to a pixel's centre, in pixels, is on it
ON_PIXEL = 1e-3
#: of a PSF that has been resampled, in pixels
LARGEST_SIDE = 8192


def divide_gaussian(psf: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the kernel that turns sources drawn with a Gaussian of unit sum into ones with a PSF.

    Parameters
    ----------
    psf : ndarray, shape (ny, nx)
        With odd sides, its peak in the middle.
    covariance : ndarray, shape (2, 2)
        The Gaussian's, in (x, y) pixels squared.

    Returns
    -------
    ndarray, shape (2 * ry + 1, 2 * rx + 1)
        With the PSF's sum. Its sides exceed the PSF's, since a division by a Gaussian's
        transform spreads the PSF's cut border.
    """
    margin = int(np.ceil(3 * FWHM * np.sqrt(covariance.max())))
    ny, nx = (s + 2 * margin for s in psf.shape)
    spectrum = fft.rfft2(np.roll(np.pad(psf, margin), (-(ny // 2), -(nx // 2)), axis=(0, 1)))
    fy, fx = fft.fftfreq(ny)[:, None], fft.rfftfreq(nx)
    c = covariance
    exponent = 2 * np.pi**2 * (c[1, 1] * fy**2 + c[0, 0] * fx**2 + 2 * c[0, 1] * fx * fy)
    # beyond this the Gaussian lets nothing through that could be brought back
    gain = np.where(exponent < -np.log(1e-6), np.exp(np.minimum(exponent, 20)), 0)
    return np.roll(fft.irfft2(spectrum * gain, s=(ny, nx)), (ny // 2, nx // 2), axis=(0, 1))


def _checked(psf: np.ndarray) -> np.ndarray:
    """Return a PSF as two-dimensional array of floats with a positive peak and sum."""
    psf = np.asarray(psf)
    if psf.ndim > 2:
        psf = psf.reshape(psf.shape[-2:]) if psf.size == np.prod(psf.shape[-2:]) else psf
    if psf.ndim != 2 or psf.dtype.kind not in "fiu":
        raise TypeError(f"psf must be a two-dimensional array of numbers, got shape {psf.shape}, "
                        f"dtype {psf.dtype}")
    psf = psf.astype(float)
    if not np.isfinite(psf).all():
        raise ValueError(f"psf must be finite, got {np.count_nonzero(~np.isfinite(psf))} pixels that are not")
    _check_sum(psf)
    return psf


def _check_sum(psf: np.ndarray) -> None:
    # a dirty beam's sum may be small, but the rounding of a sum that is zero is smaller still
    if psf.max() <= 0 or psf.sum() <= SMALLEST_SUM * np.abs(psf).sum():
        raise ValueError(f"psf must have a positive peak and sum, got {psf.max():g} and {psf.sum():g}: "
                         "fluxes in Jy/beam need a beam with an area")


def centred_psf(psf: np.ndarray) -> np.ndarray:
    """Return a PSF of unit peak, cut to a square of odd sides with its peak on the middle pixel.

    Parameters
    ----------
    psf : array_like, shape (ny, nx)
        Axes of one pixel before these are dropped. Its peak may lie between its pixels.

    Raises
    ------
    TypeError
        If it is no two-dimensional array of numbers.
    ValueError
        If it is not finite, has no positive peak or no positive sum, or is cut too close to its peak.

    Notes
    -----
    A peak between pixels is brought onto one by a shift of its Fourier series; one that is on a pixel,
    to a thousandth of its side, leaves the pixels as they were given.
    """
    psf = _checked(psf)
    brightest = np.array(np.unravel_index(np.argmax(psf), psf.shape))
    _room(psf, brightest)
    peak = _own_peak(psf, brightest)
    middle = np.rint(peak).astype(int)
    half = _room(psf, middle)
    if np.abs(peak - middle).max() > ON_PIXEL:
        psf = _shifted(psf, middle - peak)
    y, x = middle
    cut = psf[y - half:y + half + 1, x - half:x + half + 1] / psf[y, x]
    _check_sum(cut)
    return cut


def _room(psf: np.ndarray, place: np.ndarray) -> int:
    """Return how many pixels a PSF has on each side of one of them."""
    half = int(np.min([place, np.array(psf.shape) - 1 - place]))
    if half < 3:
        raise ValueError(f"psf must reach at least 3 pixels beyond its peak on each side, got {half}")
    return half


def _own_peak(psf: np.ndarray, brightest: np.ndarray) -> np.ndarray:
    """Return the place (y, x) of the maximum between pixels next to the brightest one."""
    # what is cut off at the border would ring at the peak of a wide lobe: let it fade out
    soft = psf * np.multiply.outer(*(_fading(n) for n in psf.shape))
    size = [fft.next_fast_len(n + 2 * RESAMPLING_MARGIN) for n in psf.shape]
    spectrum = fft.fft2(soft, s=size)
    fy, fx = (fft.fftfreq(n) for n in size)

    def series(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        waves = np.exp(2j * np.pi * np.outer(y, fy)), np.exp(2j * np.pi * np.outer(fx, x))
        return (waves[0] @ spectrum @ waves[1]).real

    around = np.arange(-8, 9) / 8
    values = series(brightest[0] + around, brightest[1] + around)
    start = brightest + around[np.array(np.unravel_index(np.argmax(values), values.shape))]
    return _maximum(lambda place, step: series(place[0] + step, place[1] + step), start)


def _fading(n: int) -> np.ndarray:
    """Return a window of ``n`` pixels that is one in its inner half and fades out towards its ends."""
    k = np.arange(n)
    return np.sin(np.pi / 2 * np.minimum(1, np.minimum(k + 1, n - k) / (n / 4))) ** 2


def _shifted(psf: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return a PSF, nothing around it, moved by (y, x) pixels."""
    size = [fft.next_fast_len(n + 2 * RESAMPLING_MARGIN, real=True) for n in psf.shape]
    spectrum = ndimage.fourier_shift(fft.rfft2(psf, s=size), by, n=size[1])
    return fft.irfft2(spectrum, s=size)[:psf.shape[0], :psf.shape[1]]


def resample_psf(psf: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return a PSF on another grid, with its peak, which may lie between its pixels, on the middle pixel.

    Parameters
    ----------
    psf : array_like, shape (ny, nx)
        A PSF on a grid of its own, sampled at least at its Nyquist rate there.
    matrix : ndarray, shape (2, 2)
        Offsets (x, y) in pixels of the new grid to those in its own pixels: scale, rotation, parity.

    Returns
    -------
    ndarray, shape (2 * ry + 1, 2 * rx + 1)
        Of unit peak, zero beyond the pixels that were given.

    Raises
    ------
    TypeError
        If the PSF is no two-dimensional array of numbers.
    ValueError
        If it is not finite, has no positive peak or sum, or ``matrix`` is not finite or not invertible.

    Notes
    -----
    The PSF is what its Fourier series says between its pixels, less what the new pixels cannot carry:
    frequencies above half a cycle per new pixel are left out. It is read off an oversampled grid by
    splines of fifth degree whose own response has been divided out (Unser 1999,
    doi:10.1109/79.799930).
    """
    psf, matrix = _checked(psf), np.asarray(matrix, float)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise ValueError(f"matrix must be finite and invertible, got {matrix.tolist()}")
    fine, k = _oversampled(psf, matrix)
    peak = _peak(fine, k * (np.array(np.unravel_index(np.argmax(psf), psf.shape)) + RESAMPLING_MARGIN))
    own = peak / k - RESAMPLING_MARGIN                                    # (y, x) in the PSF's pixels
    # offsets of its corners, seen from the peak, on the new grid
    edges = [(-0.5 - o, n - 0.5 - o) for o, n in zip(own, psf.shape, strict=True)]
    corners = np.linalg.inv(matrix) @ np.array([(x, y) for y in edges[0] for x in edges[1]]).T
    rx, ry = np.floor(np.abs(corners).max(axis=1)).astype(int)
    if max(rx, ry) > LARGEST_SIDE // 2:
        raise ValueError(f"psf must be at most {LARGEST_SIDE} of the image's pixels wide, got {2 * max(rx, ry) + 1}")
    turned = matrix[::-1, ::-1]                                 # of (y, x)
    out = ndimage.affine_transform(fine, k * turned, offset=peak - k * turned @ (ry, rx),
                                   output_shape=(2 * ry + 1, 2 * rx + 1), order=5, prefilter=False, mode="constant")
    y, x = np.arange(-ry, ry + 1)[:, None], np.arange(-rx, rx + 1)
    for (low, high), (by_y, by_x) in zip(edges, turned, strict=True):
        place = by_y * y + by_x * x
        out[(place < low) | (place > high)] = 0
    return out / out[ry, rx]


def _oversampled(psf: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """Return spline coefficients of a PSF, with its margin, on a grid so many times finer."""
    size = [fft.next_fast_len(n + 2 * RESAMPLING_MARGIN) for n in psf.shape]
    k = 4 if max(size) <= 1024 else 2
    before = RESAMPLING_MARGIN
    spectrum = fft.fft2(np.pad(psf, [(before, s - n - before) for s, n in zip(size, psf.shape, strict=True)]))
    fy, fx = (fft.fftfreq(n) for n in size)
    for along in matrix.T:                                      # frequencies along the new grid's axes
        spectrum[np.abs(along[0] * fx + along[1] * fy[:, None]) > 0.5] = 0
    spectrum /= np.multiply.outer(np.sinc(fy / k) ** 6, np.sinc(fx / k) ** 6) / k**2
    whole = np.zeros([k * n for n in size], complex)
    parts = [(slice(0, (n + 1) // 2), slice(0, (n + 1) // 2)) for n in size]
    backs = [(slice(-(n // 2), None), slice(-(n // 2), None)) for n in size]
    for to_y, from_y in (parts[0], backs[0]):
        for to_x, from_x in (parts[1], backs[1]):
            whole[to_y, to_x] = spectrum[from_y, from_x]
    return fft.ifft2(whole, overwrite_x=True).real, k


def _peak(fine: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the place (y, x) of the maximum of a spline near ``start``."""
    def around(place: np.ndarray, step: np.ndarray) -> np.ndarray:
        stencil = np.meshgrid(place[0] + step, place[1] + step, indexing="ij")
        return ndimage.map_coordinates(fine, stencil, order=5, prefilter=False)

    return _maximum(around, start.astype(float))


def _maximum(around: Callable[[np.ndarray, np.ndarray], np.ndarray], place: np.ndarray) -> np.ndarray:
    """Return the place (y, x) of a maximum, by Newton's method; ``around`` gives values at steps from a place."""
    step = 0.5
    for _ in range(12):
        v = around(place, np.array([-step, 0, step]))
        slope = np.array([v[2, 1] - v[0, 1], v[1, 2] - v[1, 0]]) / (2 * step)
        cross = (v[2, 2] - v[2, 0] - v[0, 2] + v[0, 0]) / (4 * step**2)
        bend = np.array([[(v[2, 1] - 2 * v[1, 1] + v[0, 1]) / step**2, cross],
                         [cross, (v[1, 2] - 2 * v[1, 1] + v[1, 0]) / step**2]])
        if np.linalg.eigvalsh(bend)[1] >= 0:
            raise ValueError("psf must have a main lobe that falls off on every side of its peak")
        move = np.clip(-np.linalg.solve(bend, slope), -2, 2)
        place = place + move
        if np.abs(move).max() < 1e-9:
            break
    return place


def fit_main_lobe(psf: np.ndarray) -> np.ndarray:
    """Return the covariance, in pixels squared, of a Gaussian fitted to a PSF's main lobe.

    The logarithm of the pixels above 0.35 of the peak that connect to it is fitted by a quadratic
    form, weighted by brightness squared, as is done for the restoring beam of a CLEAN image.
    """
    labels, _ = ndimage.label(psf > 0.35)
    half = psf.shape[0] // 2
    y, x = np.nonzero(labels == labels[half, half])
    value = psf[y, x]
    dx, dy = x - half, y - half
    design = np.stack([dx**2, 2 * dx * dy, dy**2], axis=1) * -0.5
    keep = (dx != 0) | (dy != 0)
    if np.count_nonzero(keep) < 4:
        raise ValueError("psf must have a main lobe at least 2 pixels wide, got "
                         f"{np.count_nonzero(keep) + 1} pixels above 0.35 of its peak")
    a, b, c = np.linalg.lstsq(design[keep] * value[keep, None], np.log(value[keep]) * value[keep], rcond=None)[0]
    precision = np.array([[a, b], [b, c]])
    if np.linalg.eigvalsh(precision)[0] <= 0:
        raise ValueError("psf must have a main lobe that falls off on every side of its peak")
    return np.linalg.inv(precision)


@dataclass(frozen=True, eq=False)
class PsfImage:
    """A PSF image and its grid.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        Pixel values.
    affine : ndarray, shape (2, 2), or None
        Pixels (x, y) per arcsec (east, north) at its brightest pixel; None where the file does not say.
    """

    data: np.ndarray = field(repr=False)
    affine: np.ndarray | None

    __repr__ = show_fields


def read_psf_image(path: str | os.PathLike) -> PsfImage:
    """Return the PSF image in a FITS or ``.npy`` file, axes of one pixel dropped.

    A FITS header gives the grid if it has a celestial WCS, or CDELT with an angle in CUNIT (CDELT1 is
    negative where east is left).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, holds no two-dimensional image, or its header has a grid that cannot be read.
    """
    name = f"psf file {show(os.fspath(path))}"
    header = None
    if os.fspath(path).endswith(".npy"):
        data = read_npy(path, "psf file")
    else:
        data, header = read_first(path, name)
    if data.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold numbers, got {data.dtype}")
    if np.squeeze(data).ndim != 2:
        raise ValueError(f"{name} must hold a two-dimensional image, got the shape {data.shape}")
    data = np.squeeze(data).astype(float)
    try:
        return PsfImage(data, None if header is None else _psf_grid(header, data))
    except ValueError as error:
        # the library's text ends with what is wrong, after where in its own source it was found
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"{name} has a grid that cannot be read: {reason}") from None


def _psf_grid(header: fits.Header, data: np.ndarray) -> np.ndarray | None:
    """Return pixels per arcsec (east, north) at the brightest pixel, None if the header does not say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    if wcs.has_celestial:
        y, x = np.unravel_index(np.argmax(np.nan_to_num(data)), data.shape)
        # card by card: one that is no number would be read as a degree a pixel
        affine = local_affine(celestial(header), x, y)[0]
        return affine if np.isfinite(affine).all() else None
    cards = Cards(header)
    for key in ("CDELT1", "CDELT2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        cards.number(key)
    units = [u.Unit(unit) for unit in wcs.wcs.cunit][:2]
    if len(units) < 2 or not all(unit.is_equivalent(u.deg) for unit in units):
        return None
    # the steps of a plain grid: arcsec (east, north) per pixel
    steps = wcs.pixel_scale_matrix[:2, :2] * [[unit.to(u.arcsec)] for unit in units]
    return np.linalg.inv(steps) if np.linalg.det(steps) else None
