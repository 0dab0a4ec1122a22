"""Beam matching: the Gaussian that a stamp still lacks."""

from __future__ import annotations

import numpy as np

__all__ = ["matching_kernel"]

#: eigenvalues of the kernel above this part of the native beam's count as not negative
TOLERANCE = 1e-3


def matching_kernel(affine: np.ndarray, target: np.ndarray, native: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gaussian that a stamp still lacks, in the stamp's own frame.

    Parameters
    ----------
    affine : ndarray, shape (..., 2, 2)
        Stamp pixels to image pixels.
    target : ndarray, shape (..., 2, 2)
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
