"""A stamp as FIRST shows it: its noise, its clip at 3 sigma and the 8 bits of its cutouts.

All that makes a noiseless stamp look like a cutout of the survey starts here: the images of `skygal.SyntheticStamps`
(`StampView`), what an evaluation measures (`skygal.evaluation.observed`), what a discriminator compares, with gradients
(`skygal.training.torch_view`), and the form that real cutouts are brought to (`skygal.training.data.clipped_cutouts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from scipy import fft

from skygal.checks import as_count, as_quantity, show
from skygal.observation.beam import FWHM, ellipse_covariance, native_covariance
from skygal.rendering.beam_matching import matching_kernel
from skygal.rendering.transform import render_stamps

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = ["CLIP", "WHITE", "StampView", "clip_to_white", "noise_power", "sample_noise", "sample_skies", "turn_image"]

#: FIRST's cutouts are published above so many times their noise
CLIP = 3.0
#: the brightest value of an 8-bit cutout
WHITE = 255
#: power of the noise over that of noise whose autocorrelation is the beam, at frequencies in cycles per beam sigma:
#: azimuthal means over 3590 patches of 64 x 64 pixels of MiraBest's unclipped cutouts without a pixel above 5 sigma
FREQUENCY = np.array([0.0, 0.022, 0.057, 0.096, 0.134, 0.173, 0.211, 0.250, 0.288, 0.327, 0.364, 0.401, 0.439, 0.476,
                      0.515, 0.553, 0.6])
EXCESS = np.array([4.5, 3.71, 1.83, 0.877, 0.694, 0.658, 0.695, 0.819, 0.968, 1.166, 1.273, 1.308, 1.566, 1.570, 1.441,
                   1.290, 0.4])
#: stamps whose noise fields are drawn at once
SKIES_AT_ONCE = 64
#: a beam needs as many pixels to its FWHM
LEAST_BEAM = 2.0


def noise_power(frequency: np.ndarray, beam_sigma: float) -> np.ndarray:
    """Return the power spectrum of the noise, up to a factor.

    Parameters
    ----------
    frequency : array_like
        Cycles per pixel.
    beam_sigma : float
        Standard deviation of the beam in pixels.

    Returns
    -------
    `~numpy.ndarray`
        In the shape of ``frequency``.

    Notes
    -----
    The noise of a naturally weighted interferometer has the beam itself for its autocorrelation. FIRST's
    differs from that by what its weights and its unremoved sidelobes do: up to four times the power
    beyond 15 pixels, and 1.5 times at the finest scales. Its values are Gaussian (kurtosis 3.0).
    """
    k = np.asarray(frequency, float) * beam_sigma
    return np.exp(-2 * (np.pi * k) ** 2) * np.interp(k, FREQUENCY, EXCESS)


def _summed_power(amplitude: np.ndarray, nx: int) -> float:
    """Return the summed power of waves, by Parseval, with the half of the plane that a real transform leaves out.

    ``amplitude`` has shape (ny, nx // 2 + 1).
    """
    weight = np.full(amplitude.shape, 2.0)
    weight[:, _real_columns(nx)] = 1.0
    return (weight * amplitude**2).sum()


def _real_columns(nx: int) -> list[int]:
    """Return the columns of a real transform that have no other half."""
    return [0, -1] if nx % 2 == 0 else [0]


def sample_noise(n: int, shape: tuple[int, int], *, beam_sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Sample noise fields of rms 1.

    Parameters
    ----------
    n : int
        How many.
    shape : tuple of int
        Rows and columns.
    beam_sigma : float
        Standard deviation of the beam in pixels.
    rng : `~numpy.random.Generator`
        The source of randomness.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, ny, nx), float32; its edges wrap around.
    """
    ny, nx = shape
    k = np.hypot(fft.fftfreq(ny)[:, None], fft.rfftfreq(nx)[None, :])
    transfer = np.sqrt(noise_power(k, beam_sigma))
    transfer[0, 0] = 0.0
    transfer /= np.sqrt(_summed_power(transfer, nx) / (ny * nx))
    white = rng.standard_normal((n, ny, nx), dtype=np.float32)
    return fft.irfft2(fft.rfft2(white) * transfer.astype(np.float32), s=shape).astype(np.float32)


def clip_to_white(image: np.ndarray, clip: float, peak: float, *, slack: float = 0.0) -> np.ndarray:
    """Return what rises above a clip, less the clip, in whole steps, as 8-bit cutouts are published.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Any shape.
    clip, peak : float
        In the image's unit: what becomes 0, and what becomes 255.
    slack : float
        Values short of a whole step by no more than this, in steps, count as there.

    Returns
    -------
    `~numpy.ndarray`
        Whole numbers from 0 to 255, float64; all zero where the peak does not rise above the clip.
    """
    if not peak > clip:
        return np.zeros(image.shape)
    return np.clip(np.floor(WHITE * (image - clip) / (peak - clip) + slack), 0, WHITE)


def turn_image(image: np.ndarray, shape: tuple[int, int], centre: Sequence[float] | np.ndarray,
               axis: Sequence[float] | np.ndarray, *, order: int = 3,
               offset: Sequence[float] | np.ndarray = (0.0, 0.0)) -> np.ndarray:
    """Return an image turned about a point, which comes to the middle of a frame.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Shape (ny, nx).
    shape : tuple of int
        Rows and columns of the frame.
    centre : sequence of float
        (x, y) of the point, pixels.
    axis : sequence of float
        (x, y), of length 1: the direction in the image that comes to lie along the rows.
    order : int
        Of the spline.
    offset : sequence of float
        (x, y) of the point's place from the middle, pixels.

    Returns
    -------
    `~numpy.ndarray`
        Of ``shape``, zero beyond the image.
    """
    from scipy import ndimage

    cos, sin = axis
    y, x = np.indices(shape, float)
    x, y = x - (shape[1] - 1) / 2 - offset[0], y - (shape[0] - 1) / 2 - offset[1]
    return ndimage.map_coordinates(image, [centre[1] + sin * x + cos * y, centre[0] + cos * x - sin * y], order=order,
                                   mode="constant")


def sample_skies(stamps: np.ndarray, noise: np.ndarray, side: int, *, beam_sigma: float, rng: np.random.Generator,
                 shift: float = 0.0) -> Iterator[np.ndarray]:
    """Yield each stamp as it lies on the sky: at a random angle, with the survey's noise.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, with the survey's beam.
    noise : array_like
        Shape (n,), noise rms over the stamp's peak.
    side : int
        Rows and columns of the sky.
    beam_sigma : float
        Standard deviation of the beam in pixels.
    rng : `~numpy.random.Generator`
        Draws noise, angles and shifts.
    shift : float
        How far the stamp's middle is moved at most along either axis, pixels.

    Yields
    ------
    `~numpy.ndarray`
        Shape (side, side), the stamp's own peak about 1.
    """
    middle = [(size - 1) / 2 for size in stamps.shape[:0:-1]]
    for i, stamp in enumerate(stamps):
        if i % SKIES_AT_ONCE == 0:
            fields = sample_noise(min(SKIES_AT_ONCE, len(stamps) - i), (side, side), beam_sigma=beam_sigma, rng=rng)
        angle = rng.uniform(0, 2 * np.pi)
        offset = rng.uniform(-shift, shift, 2) if shift > 0 else (0.0, 0.0)
        sky = turn_image(stamp, (side, side), middle, (np.cos(angle), np.sin(angle)), offset=offset)
        yield np.maximum(sky, 0.0) / max(float(stamp.max()), 1e-30) + noise[i] * fields[i % SKIES_AT_ONCE]


class StampView:
    """How stamps are shown; see `skygal.SyntheticStamps` for the parameters.

    Attributes
    ----------
    size : int
        Side of the image in pixels.
    pixel_scale : float
        Arcsec.
    """

    def __init__(self, model: Generator, *, size: int = 150, pixel_scale: Any = None, beam: Any = None,
                 noise: Any = None, noise_clip: float | None = None) -> None:
        self.size = as_count("size", size, minimum=16)
        self.pixel_scale = model.pixel_scale
        if pixel_scale is not None:
            self.pixel_scale = as_quantity("pixel_scale", pixel_scale, u.arcsec)
        self.native = native_covariance(model.beam_fwhm / model.pixel_scale)
        self.target = _beam_covariance(beam, model) / self.pixel_scale**2
        narrow = FWHM * float(np.sqrt(np.linalg.eigvalsh(self.target)[0]))
        if narrow < LEAST_BEAM * (1 - 1e-6):
            raise ValueError(f"pixel_scale must be at most half of the beam's FWHM, got {self.pixel_scale:g} arcsec "
                             f"for a beam of {narrow * self.pixel_scale:g} arcsec")
        self.zoom = model.pixel_scale / self.pixel_scale
        # nothing is added to the model's own beam: its clipped edges stay as they are
        self.plain = bool(np.allclose(self.target, self.native * self.zoom**2))
        self.levels = _check_noise(noise)
        self.noise_clip = None if noise_clip is None else as_quantity("noise_clip", noise_clip, "")
        if self.noise_clip is not None:
            if self.levels is None:
                raise ValueError(f"noise_clip must be left out where noise is None, got {noise_clip}")
            if self.noise_clip * self.levels.max() >= 1:
                raise ValueError("noise_clip times noise must be below 1, the sources' peak, "
                                 f"got {self.noise_clip:g} times {self.levels.max():g}")
        # no prime numbers, which are slow
        self.period = fft.next_fast_len(self.size, real=True)
        self.transfer = None if self.levels is None else _noise_transfer(self.period, self.target)

    def show(self, stamps: Sequence[np.ndarray], centres: np.ndarray, angles: np.ndarray,
             streams: Sequence[np.random.Generator]) -> list[np.ndarray]:
        """Return the images of stamps, each of which depends on its own arguments alone.

        Parameters
        ----------
        stamps : sequence of `~numpy.ndarray`
            Shape (ny, nx), each its own, noiseless, at the model's pixel and beam.
        centres : `~numpy.ndarray`
            (x, y) of the point of each that comes to the middle, shape (n, 2).
        angles : `~numpy.ndarray`
            By which each is turned, radians, counter-clockwise, shape (n,).
        streams : sequence of `~numpy.random.Generator`
            Level and noise of each are drawn from its own.

        Returns
        -------
        list of `~numpy.ndarray`
            Shape (size, size), float32, of peak 1.
        """
        n, (high, wide) = len(stamps), np.max([stamp.shape for stamp in stamps], axis=0)
        whole = np.zeros((n, high, wide), np.float32)
        for frame, stamp in zip(whole, stamps, strict=True):
            frame[:stamp.shape[0], :stamp.shape[1]] = stamp
        cos, sin = np.cos(angles), np.sin(angles)
        affine = self.zoom * np.stack([cos, -sin, sin, cos], axis=-1).reshape(n, 2, 2)
        kernel = np.zeros((n, 2, 2)) if self.plain else matching_kernel(affine, self.target, self.native)[0]
        images = render_stamps(whole, centres, np.full((n, 2), (self.size - 1) / 2), affine, kernel, self.native,
                               (self.size, self.size))
        return [self._seen(image, stamp, rng) for image, stamp, rng in zip(images, stamps, streams, strict=True)]

    def _seen(self, image: np.ndarray, stamp: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an image of the stamp with the noise, of peak 1."""
        if self.plain:
            # the clipped edge's own ripples
            floor = np.float32(0.5 * float(stamp[stamp > 0].min()) / self.zoom**2)
            np.multiply(image, image >= floor, out=image)
        if self.levels is not None:
            rms = np.float32(self._level(rng)) * image.max()
            image += self._noise(rng, rms)
            if self.noise_clip is not None:
                np.multiply(image, image >= np.float32(self.noise_clip) * rms, out=image)
        return image / image.max()

    def _noise(self, rng: np.random.Generator, rms: np.float32) -> np.ndarray:
        """Return noise of an rms, drawn wave by wave: a pixel sums up so many that 16 bits a number will do."""
        assert self.transfer is not None
        draws = rng.bit_generator.random_raw((self.transfer.size + 1) // 2).view(np.int16)[:2 * self.transfer.size]
        power, phase = draws.reshape(2, *self.transfer.shape).astype(np.float32)
        # evenly spread over 0 to 1: the power of complex Gaussian noise is distributed exponentially
        np.abs(np.add(power, 0.5, out=power), out=power)
        power *= np.float32(2**-15)
        amplitude = np.sqrt(np.negative(np.log(power, out=power), out=power), out=power)
        amplitude *= self.transfer * rms
        phase *= np.float32(np.pi / 2**15)
        waves = np.empty(self.transfer.shape, np.complex64)
        np.multiply(amplitude, np.cos(phase), out=waves.real)
        np.multiply(amplitude, np.sin(phase), out=waves.imag)
        return fft.irfft2(waves, s=(self.period, self.period), overwrite_x=True)[:self.size, :self.size]

    def _level(self, rng: np.random.Generator) -> float:
        assert self.levels is not None
        if self.levels.size == 2:
            low, high = np.log(self.levels)
            return float(np.exp(rng.uniform(low, high)))
        return float(self.levels[rng.integers(self.levels.size)])


def _beam_covariance(beam: Any, model: Generator) -> np.ndarray:
    """Return the covariance of the beam in arcsec squared, x to the west."""
    from radio_beam import Beam

    own = model.beam_fwhm
    if beam is None:
        major, minor, angle = own, own, 0.0
    elif isinstance(beam, Beam):
        major, minor, angle = beam.major.to_value(u.arcsec), beam.minor.to_value(u.arcsec), beam.pa.to_value(u.rad)
    else:
        major = minor = as_quantity("beam", beam, u.arcsec)
        angle = 0.0
    if not (np.isfinite([major, minor, angle]).all() and minor >= own * (1 - 1e-6)):
        raise ValueError(f"beam must be at least the model's own, {own:g} arcsec, along either axis, got {beam}")
    east_north = ellipse_covariance(np.array(major), np.array(minor), np.array(angle))
    return east_north * np.array([[1, -1], [-1, 1]])


def _check_noise(noise: Any) -> np.ndarray | None:
    """Return the levels: one, the two ends of a range, or more to draw from."""
    if noise is None:
        return None
    try:
        levels = np.atleast_1d(np.asarray(noise, float))
    except (TypeError, ValueError):
        levels = np.zeros((0, 0))
    if levels.ndim != 1 or not levels.size:
        raise TypeError("noise must be None, a number, a pair (low, high) or an array of levels, as parts of the peak, "
                        f"got {show(noise)}")
    bad = ~(np.isfinite(levels) & (levels > 0) & (levels < 1))
    if bad.any():
        raise ValueError(f"noise must be between 0 and 1, the sources' peak, got {levels[bad][0]:g}")
    if levels.size == 2 and levels[0] >= levels[1]:
        raise ValueError(f"noise must have low < high, got {levels[0]:g} and {levels[1]:g}")
    return levels


def _noise_transfer(size: int, covariance: np.ndarray) -> np.ndarray:
    """Return the amplitudes of the waves of noise of rms 1, which wraps around, as `scipy.fft.irfft2` takes them."""
    x, y = fft.rfftfreq(size)[None, :], fft.fftfreq(size)[:, None]
    (a, b), (_, c) = covariance.tolist()
    transfer = np.sqrt(noise_power(np.sqrt(a * x**2 + 2 * b * x * y + c * y**2), 1.0))
    transfer[0, 0] = 0.0
    transfer *= size**2 / np.sqrt(_summed_power(transfer, size))
    # both y and -y are drawn here, of which the inverse transform takes the mean
    transfer[:, _real_columns(size)] *= np.sqrt(2)
    return transfer.astype(np.float32)
