"""The noise of FIRST's images, as it is between the sources of real cutouts."""

from __future__ import annotations

import numpy as np

__all__ = ["draw_noise", "noise_power"]

#: power of the noise over that of noise whose autocorrelation is the beam, at frequencies in cycles per beam sigma:
#: azimuthal means over 3590 patches of 64 x 64 pixels of MiraBest's unclipped cutouts without a pixel above 5 sigma
FREQUENCY = np.array([0.0, 0.022, 0.057, 0.096, 0.134, 0.173, 0.211, 0.250, 0.288, 0.327, 0.364, 0.401, 0.439, 0.476,
                      0.515, 0.553, 0.6])
EXCESS = np.array([4.5, 3.71, 1.83, 0.877, 0.694, 0.658, 0.695, 0.819, 0.968, 1.166, 1.273, 1.308, 1.566, 1.570, 1.441,
                   1.290, 0.4])


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


def draw_noise(n: int, shape: tuple[int, int], *, beam_sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Draw noise fields of rms 1.

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
    from scipy import fft

    ny, nx = shape
    k = np.hypot(fft.fftfreq(ny)[:, None], fft.rfftfreq(nx)[None, :])
    transfer = np.sqrt(noise_power(k, beam_sigma))
    transfer[0, 0] = 0.0
    # by Parseval, with the half of the plane that a real field's transform leaves out
    weight = np.full(transfer.shape, 2.0)
    weight[:, 0] = 1.0
    if nx % 2 == 0:
        weight[:, -1] = 1.0
    transfer /= np.sqrt((weight * transfer**2).sum() / (ny * nx))
    white = rng.standard_normal((n, ny, nx), dtype=np.float32)
    return fft.irfft2(fft.rfft2(white) * transfer.astype(np.float32), s=shape).astype(np.float32)
