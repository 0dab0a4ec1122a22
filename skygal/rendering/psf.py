"""PSF images: centred, fitted, and split into the Gaussian that sources are drawn with and the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from skygal.rendering.ellipse import FWHM

if TYPE_CHECKING:
    from skygal.rendering.beam import TargetBeam

__all__ = ["centred_psf", "fit_main_lobe", "remainder"]


def remainder(beam: TargetBeam) -> np.ndarray:
    """Return the kernel that turns sources drawn with a beam's Gaussian into ones with its PSF.

    Parameters
    ----------
    beam : TargetBeam
        Of a PSF image.

    Returns
    -------
    ndarray, shape (2 * ry + 1, 2 * rx + 1)
        Sums to the beam's area. Its sides exceed the PSF's, since a division by a Gaussian's
        transform spreads the PSF's cut border.
    """
    psf = beam.psf
    assert psf is not None
    margin = int(np.ceil(3 * FWHM * np.sqrt(beam.covariance.max())))
    ny, nx = (s + 2 * margin for s in psf.shape)
    spectrum = fft.rfft2(np.roll(np.pad(psf, margin), (-(ny // 2), -(nx // 2)), axis=(0, 1)))
    fy, fx = fft.fftfreq(ny)[:, None], fft.rfftfreq(nx)
    c = beam.covariance
    exponent = 2 * np.pi**2 * (c[1, 1] * fy**2 + c[0, 0] * fx**2 + 2 * c[0, 1] * fx * fy)
    # beyond this the Gaussian lets nothing through that could be brought back
    gain = np.where(exponent < -np.log(1e-6), np.exp(np.minimum(exponent, 20)), 0)
    return np.roll(fft.irfft2(spectrum * gain, s=(ny, nx)), (ny // 2, nx // 2), axis=(0, 1))


def centred_psf(psf: np.ndarray) -> np.ndarray:
    """Return a PSF of unit peak, cut to odd sides about its brightest pixel.

    Raises
    ------
    TypeError
        If it is no two-dimensional array of numbers.
    ValueError
        If it is not finite, has no positive peak or no positive sum, or is cut too close to its peak.
    """
    psf = np.asarray(psf)
    if psf.ndim > 2:
        psf = psf.reshape(psf.shape[-2:]) if psf.size == np.prod(psf.shape[-2:]) else psf
    if psf.ndim != 2 or psf.dtype.kind not in "fiu":
        raise TypeError(f"psf must be a two-dimensional array of numbers, got shape {psf.shape}, "
                        f"dtype {psf.dtype}")
    psf = psf.astype(float)
    if not np.isfinite(psf).all():
        raise ValueError(f"psf must be finite, got {np.count_nonzero(~np.isfinite(psf))} pixels that are not")
    if psf.max() <= 0 or psf.sum() <= 0:
        raise ValueError(f"psf must have a positive peak and sum, got {psf.max():g} and {psf.sum():g}")
    y, x = np.unravel_index(np.argmax(psf), psf.shape)
    half = min(y, x, psf.shape[0] - 1 - y, psf.shape[1] - 1 - x)
    if half < 3:
        raise ValueError(f"psf must reach at least 3 pixels beyond its peak on each side, got {half}")
    return psf[y - half:y + half + 1, x - half:x + half + 1] / psf.max()


def fit_main_lobe(psf: np.ndarray) -> np.ndarray:
    """Return the covariance, in pixels squared, of a Gaussian fitted to a PSF's main lobe.

    The logarithm of the pixels above 0.35 of the peak that connect to it is fitted by a quadratic
    form, weighted by brightness squared, as is done for the restoring beam of a CLEAN image.
    """
    from scipy import ndimage

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
