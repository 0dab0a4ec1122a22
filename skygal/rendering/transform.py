"""One stamp onto the image's grid: beam matching, rotation, zoom, placement, flux.

A stamp is a band-limited function, since it carries a beam of its own. Its Fourier transform is
taken at just the frequencies that the target beam lets through, multiplied there by the Gaussian
that it lacks (target beam less own beam, in the stamp's frame), transformed back onto a grid that
samples the target beam finely, and read off at the image's pixel centres by cubic B-splines whose
own transfer function has been divided out. No step depends on another source, so that a source's
pixels are the same whatever it is drawn together with.
"""

from __future__ import annotations

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
#: eigenvalues of the kernel above this part of the native beam's count as not negative
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Patch:
    """A source's own pixels: ``data[j, i]`` belongs at image pixel (y0 + j, x0 + i)."""

    x0: int
    y0: int
    data: np.ndarray

    def overlap(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """Return the slices of an image and of the patch that meet, or None if they do not."""
        ny, nx = self.data.shape
        low = max(0, self.y0), max(0, self.x0)
        high = min(shape[0], self.y0 + ny), min(shape[1], self.x0 + nx)
        if low[0] >= high[0] or low[1] >= high[1]:
            return None
        return ((slice(low[0], high[0]), slice(low[1], high[1])),
                (slice(low[0] - self.y0, high[0] - self.y0), slice(low[1] - self.x0, high[1] - self.x0)))


def matching_kernel(affine: np.ndarray, target: np.ndarray, native: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the Gaussian that a stamp still lacks, in the stamp's own frame.

    Parameters
    ----------
    affine : ndarray, shape (2, 2)
        Stamp pixels to image pixels.
    target : ndarray, shape (2, 2)
        Covariance of the image's beam, in image pixels squared.
    native : ndarray, shape (2, 2)
        Covariance of the beam that the stamp carries, in stamp pixels squared.

    Returns
    -------
    kernel : ndarray, shape (2, 2)
        target - native, both in the stamp's frame, in stamp pixels squared.
    limited : bool
        Whether the native beam is the wider one along some axis. No Gaussian can mend that: the
        kernel is zero along that axis, nothing is sharpened.
    """
    inverse = np.linalg.inv(affine)
    missing = inverse @ target @ inverse.T - native
    values, vectors = np.linalg.eigh((missing + missing.T) / 2)
    limited = bool(values[0] < -TOLERANCE * native[0, 0])
    if values[0] < 0:
        missing = (vectors * np.clip(values, 0, None)) @ vectors.T
    return missing, limited


@lru_cache(maxsize=512)
def _waves(size: int, period: int, order: int) -> np.ndarray:
    """Return exp(-2 pi i f u) for u = 0..size-1, shape (size, 2 * (order + 1)): real and imaginary parts in turn."""
    waves = np.exp(-2j * np.pi / period * np.outer(np.arange(size), np.arange(order + 1))).view(float)
    waves.setflags(write=False)
    return waves


def _spectrum(stamp: np.ndarray, ax: _Axis, ay: _Axis) -> np.ndarray:
    """Return the Fourier transform from the first pixel on, at fy of both signs and fx from 0 up."""
    along = (stamp @ _waves(stamp.shape[1], ax.period, ax.order)).T.copy()
    both = (along @ _waves(stamp.shape[0], ay.period, ay.order)).reshape(ax.order + 1, 2, ay.order + 1, 2)
    (cc, cs), (sc, ss) = both[:, 0].transpose(2, 1, 0), both[:, 1].transpose(2, 1, 0)
    up, down = cc - ss + 1j * (cs + sc), cc + ss + 1j * (sc - cs)
    return np.concatenate([down[:0:-1], up])


def _crop(stamp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a stamp that is not zero, with sides a multiple of 8, and its first pixel (x, y)."""
    rows, columns = np.flatnonzero(stamp.any(axis=1)), np.flatnonzero(stamp.any(axis=0))
    if not rows.size:
        raise ValueError("stamp must have a pixel that is not zero")
    part = stamp[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].astype(float)
    return np.pad(part, [(0, -n % 8) for n in part.shape]), np.array([columns[0], rows[0]])


def _period(length: float) -> int:
    """Return a whole period of at least ``length``, on a ladder of few values."""
    step = 2 ** max(0, int(np.floor(np.log2(max(length, 8)))) - 3)
    return int(np.ceil(length / step)) * step


@dataclass(frozen=True)
class _Axis:
    """The frequencies and the intermediate grid along one axis of a stamp."""

    start: float      # of the grid, in stamp pixels from the source's centre
    period: int
    order: int        # frequencies -order..order over the period
    samples: int      # of the intermediate grid over one period

    @classmethod
    def plan(cls, low: float, high: float, kernel: float, precision: float) -> _Axis:
        reach = REACH * np.sqrt(kernel) + 2
        period = _period(high - low + 2 * reach)
        start = (low + high - period) / 2
        band = min(0.5, np.sqrt(-np.log(FLOOR) / (2 * np.pi**2) * precision))
        order = int(np.ceil(band * period))
        finest = SAMPLES * period * np.sqrt(precision) / FWHM
        samples = fft.next_fast_len(int(np.ceil(max(finest, 2 * order + 2))), real=True)
        return cls(start, period, order, samples)

    def factor(self, shift: float, signed: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the frequencies, and the phase to the grid's start over the spline's response."""
        f = np.arange(-self.order if signed else 0, self.order + 1) / self.period
        phase = np.exp(2j * np.pi * f * (shift + self.start))
        return f, phase / np.sinc(f * self.period / self.samples) ** 4 * (self.samples / self.period)


def render_stamp(stamp: np.ndarray, centre: np.ndarray, position: np.ndarray, affine: np.ndarray,
                 kernel: np.ndarray, native: np.ndarray) -> Patch:
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

    Returns
    -------
    Patch
        Brightness per image pixel, float64.
    """
    part, corner = _crop(stamp)
    first = corner - centre
    last = first + part.shape[::-1] - 1
    precision = np.linalg.inv(kernel + native)
    ax = _Axis.plan(first[0], last[0], kernel[0, 0], precision[0, 0])
    ay = _Axis.plan(first[1], last[1], kernel[1, 1], precision[1, 1])

    spectrum = _spectrum(part, ax, ay)
    fx, px = ax.factor(-first[0], False)
    fy, py = ay.factor(-first[1], True)
    spectrum *= py[:, None] * px
    spectrum *= np.exp(-2 * np.pi**2 * ((kernel[1, 1] * fy**2)[:, None] + kernel[0, 0] * fx**2
                                        + np.multiply.outer(2 * kernel[0, 1] * fy, fx)))
    grid = np.zeros((ay.samples, ax.samples // 2 + 1), complex)
    grid[:ay.order + 1, :ax.order + 1] = spectrum[ay.order:]
    grid[-ay.order:, :ax.order + 1] = spectrum[:ay.order]
    fine = fft.irfft2(grid, s=(ay.samples, ax.samples))

    # the patch is the bounding box, on the image, of one period of the grid
    corners = np.array([[x, y] for x in (ax.start, ax.start + ax.period) for y in (ay.start, ay.start + ay.period)])
    onto = position + corners @ affine.T
    x0, y0 = np.ceil(onto.min(axis=0)).astype(int)
    x1, y1 = np.floor(onto.max(axis=0)).astype(int) + 1
    inverse = np.linalg.inv(affine) * np.array([[ax.samples / ax.period], [ay.samples / ay.period]])
    offset = inverse @ (np.array([x0, y0]) - position)
    offset -= np.array([ax.start * ax.samples / ax.period, ay.start * ay.samples / ay.period])
    patch = ndimage.affine_transform(fine, inverse[::-1, ::-1], offset=offset[::-1],
                                     output_shape=(max(y1 - y0, 1), max(x1 - x0, 1)), order=3,
                                     mode="grid-constant", prefilter=False)
    patch /= abs(np.linalg.det(affine))
    return Patch(int(x0), int(y0), patch)
