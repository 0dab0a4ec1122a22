"""One stamp onto the image's grid: beam matching, rotation, zoom, placement, flux.

A stamp is a band-limited function, since it carries a beam of its own. Its Fourier transform is
taken at just the frequencies that the target beam lets through, multiplied there by the Gaussian
that it lacks (target beam less own beam, in the stamp's frame), transformed back onto a grid that
samples the target beam finely, and read off at the image's pixel centres by cubic B-splines whose
own transfer function has been divided out. No step depends on another source, so that a source's
pixels are the same whatever it is drawn together with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, ndimage

from skygal.rendering.beam import FWHM

__all__ = ["Patch", "matching_kernel", "render_stamp"]

#: how far, in standard deviations of the kernel, a source's patch reaches beyond the stamp
REACH = 5.0
#: spectrum below this part of its peak is left out
FLOOR = 1e-6
#: samples of the intermediate grid to one FWHM of the target beam
SAMPLES = 7.0
#: a patch of more pixels than this, and than four times the window, is made within the window only
LARGEST_PATCH = 2**20
#: eigenvalues of the kernel above this part of the native beam's count as not negative
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Patch:
    """A source's own pixels: ``data[j, i]`` belongs at image pixel (y0 + j, x0 + i).

    ``cut`` tells that the source was too large for all of its pixels to be made.
    """

    x0: int
    y0: int
    data: np.ndarray
    cut: bool = False

    def overlap(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """Return the slices of an image and of the patch that meet, or None if they do not."""
        ny, nx = self.data.shape
        low = max(0, self.y0), max(0, self.x0)
        high = min(shape[0], self.y0 + ny), min(shape[1], self.x0 + nx)
        if low[0] >= high[0] or low[1] >= high[1]:
            return None
        return ((slice(low[0], high[0]), slice(low[1], high[1])),
                (slice(low[0] - self.y0, high[0] - self.y0), slice(low[1] - self.x0, high[1] - self.x0)))


def matching_kernel(affine: np.ndarray, target: np.ndarray, native: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gaussian that a stamp still lacks, in the stamp's own frame.

    Parameters
    ----------
    affine : ndarray, shape (..., 2, 2)
        Stamp pixels to image pixels.
    target : ndarray, shape (2, 2)
        Covariance of the image's beam, in image pixels squared.
    native : ndarray, shape (2, 2)
        Covariance of the beam that the stamp carries, in stamp pixels squared.

    Returns
    -------
    kernel : ndarray, shape (..., 2, 2)
        target - native, both in the stamp's frame, in stamp pixels squared.
    limited : ndarray of bool
        Whether the native beam is the wider one along some axis. No Gaussian can mend that: the
        kernel is zero along that axis, nothing is sharpened.
    """
    inverse = np.linalg.inv(affine)
    values, vectors = np.linalg.eigh(inverse @ target @ np.swapaxes(inverse, -1, -2) - native)
    limited = values[..., 0] < -TOLERANCE * native[0, 0]
    kept = np.clip(values, 0, None)
    return (vectors * kept[..., None, :]) @ np.swapaxes(vectors, -1, -2), limited


@lru_cache(maxsize=512)
def _waves(size: int, period: int, order: int) -> np.ndarray:
    """Return exp(-2 pi i f u) for u = 0..size-1, shape (size, 2 * (order + 1)): real and imaginary parts in turn."""
    waves = np.exp(-2j * np.pi / period * np.outer(np.arange(size), np.arange(order + 1))).view(float)
    waves.setflags(write=False)
    return waves


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b``, in parts too small for the linear algebra library to share out among threads.

    Threads gain nothing at this size, and the rounding could depend on their number.
    """
    rows = max(1, 200_000 // b.size)
    return a @ b if len(a) <= rows else np.concatenate([a[k:k + rows] @ b for k in range(0, len(a), rows)])


def _spectrum(stamp: np.ndarray, ax: _Axis, ay: _Axis) -> np.ndarray:
    """Return the Fourier transform from the first pixel on, at fy of both signs and fx from 0 up."""
    along = _product(stamp, _waves(stamp.shape[1], ax.period, ax.order)).T.copy()
    both = _product(along, _waves(stamp.shape[0], ay.period, ay.order)).reshape(ax.order + 1, 2, ay.order + 1, 2)
    (cc, cs), (sc, ss) = both[:, 0].transpose(2, 1, 0), both[:, 1].transpose(2, 1, 0)
    up, down = cc - ss + 1j * (cs + sc), cc + ss + 1j * (sc - cs)
    return np.concatenate([down[:0:-1], up])


def _crop(stamp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a stamp that is not zero, with sides a multiple of 8, and its first pixel (x, y)."""
    rows, columns = np.flatnonzero(stamp.any(axis=1)), np.flatnonzero(stamp.any(axis=0))
    if not rows.size:
        raise ValueError("stamp must have a pixel that is not zero")
    ny, nx = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    part = np.zeros((ny + -ny % 8, nx + -nx % 8))
    part[:ny, :nx] = stamp[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    return part, np.array([columns[0], rows[0]])


def _period(length: float) -> int:
    """Return a whole period of at least ``length``, on a ladder of few values."""
    step = 2 ** max(0, math.floor(math.log2(max(length, 8))) - 3)
    return math.ceil(length / step) * step


@lru_cache(maxsize=512)
def _response(period: int, order: int, samples: int, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies, and the scale of the inverse transform over the spline's response to them."""
    f = np.arange(-order if signed else 0, order + 1) / period
    return f, (samples / period) / np.sinc(f * period / samples) ** 4


@dataclass(frozen=True)
class _Axis:
    """The frequencies and the intermediate grid along one axis of a stamp."""

    start: float      # of the grid, in stamp pixels from the source's centre
    period: int
    order: int        # frequencies -order..order over the period
    samples: int      # of the intermediate grid over one period

    @classmethod
    def plan(cls, low: float, high: float, kernel: float, precision: float) -> _Axis:
        period = _period(high - low + 2 * (REACH * math.sqrt(kernel) + 2))
        band = min(0.5, math.sqrt(-math.log(FLOOR) / (2 * math.pi**2) * precision))
        order = math.ceil(band * period)
        finest = SAMPLES * period * math.sqrt(precision) / FWHM
        samples = fft.next_fast_len(math.ceil(max(finest, 2 * order + 2)), real=True)
        return cls((low + high - period) / 2, period, order, samples)

    @property
    def density(self) -> float:
        """Samples of the grid per stamp pixel."""
        return self.samples / self.period

    def factor(self, shift: float, signed: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the frequencies, and the phase to the grid's start over the spline's response."""
        f, response = _response(self.period, self.order, self.samples, signed)
        return f, response * np.exp(2j * math.pi * (shift + self.start) * f)


def render_stamp(stamp: np.ndarray, centre: np.ndarray, position: np.ndarray, affine: np.ndarray,
                 kernel: np.ndarray, native: np.ndarray, *,
                 window: tuple[int, int, int, int] | None = None) -> Patch:
    """Return a stamp as it appears on the image's grid.

    Parameters
    ----------
    stamp : ndarray, shape (ny, nx)
        Brightness. Its sum is what the patch sums to.
    centre : ndarray, shape (2,)
        The point (x, y) of the stamp, in its pixels, that comes to lie at ``position``.
    position : ndarray, shape (2,)
        Where to: (x, y) in pixels of the image.
    affine : ndarray, shape (2, 2)
        Stamp pixels to image pixels.
    kernel, native : ndarray, shape (2, 2)
        Covariances, in stamp pixels squared, of the Gaussian to convolve with (see
        `matching_kernel`) and of the beam that the stamp carries.
    window : (int, int, int, int), optional
        xmin, xmax, ymin, ymax, ends included, of the pixels that matter. The patch reaches beyond, so
        that it holds the whole source, unless that would be a great many pixels.

    Returns
    -------
    Patch
        Brightness per image pixel, float64.
    """
    part, corner = _crop(stamp)
    (x_low, y_low), (ny, nx) = (corner - centre).tolist(), part.shape
    (kxx, kxy), (_, kyy) = kernel.tolist()
    (cxx, cxy), (_, cyy) = (kernel + native).tolist()
    det = cxx * cyy - cxy**2
    ax = _Axis.plan(x_low, x_low + nx - 1, kxx, cyy / det)
    ay = _Axis.plan(y_low, y_low + ny - 1, kyy, cxx / det)

    fx, px = ax.factor(-x_low, False)
    fy, py = ay.factor(-y_low, True)
    spectrum = _spectrum(part, ax, ay)
    spectrum *= np.multiply.outer(py, px)
    # one exponent: apart, its terms can be out of range where their sum is not
    spectrum *= np.exp(-2 * math.pi**2 * (np.multiply.outer(2 * kxy * fy, fx) + kxx * fx**2 + (kyy * fy**2)[:, None]))
    grid = np.zeros((ay.samples, ax.samples // 2 + 1), complex)
    grid[:ay.order + 1, :ax.order + 1] = spectrum[ay.order:]
    grid[-ay.order:, :ax.order + 1] = spectrum[:ay.order]
    fine = fft.irfft2(grid, s=(ay.samples, ax.samples))

    # the patch is the bounding box, on the image, of one period of the grid
    (a, b), (c, d) = affine.tolist()
    x, y = position.tolist()
    middle_x, middle_y = ax.start + ax.period / 2, ay.start + ay.period / 2
    wide = (abs(a) * ax.period + abs(b) * ay.period) / 2
    high = (abs(c) * ax.period + abs(d) * ay.period) / 2
    x_middle, y_middle = x + a * middle_x + b * middle_y, y + c * middle_x + d * middle_y
    x0, x1 = math.ceil(x_middle - wide), math.floor(x_middle + wide)
    y0, y1 = math.ceil(y_middle - high), math.floor(y_middle + high)
    cut = False
    if window is not None:
        cut = 4 * wide * high > max(LARGEST_PATCH, 4 * (window[1] - window[0] + 1) * (window[3] - window[2] + 1))
        if cut:
            x0, x1, y0, y1 = max(x0, window[0]), min(x1, window[1]), max(y0, window[2]), min(y1, window[3])
    shape = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)
    scale = a * d - b * c
    # grid index (y, x) of image pixel (y, x): down and across by rows of the inverse
    matrix = np.array([[a * ay.density, -c * ay.density], [-b * ax.density, d * ax.density]]) / scale
    offset = matrix @ (y0 - y, x0 - x) - (ay.start * ay.density, ax.start * ax.density)
    patch = ndimage.affine_transform(fine, matrix, offset=offset, output_shape=shape, order=3,
                                     mode="grid-constant", prefilter=False)
    patch /= abs(scale)
    return Patch(x0, y0, patch, cut)
