"""Flux-weighted moments of images, in plain numpy."""

from __future__ import annotations

import numpy as np

__all__ = ["column_sums", "measure_moments"]


def column_sums(images: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sums over each column of the brightness, and of brightness times ``y``, both of shape (n, nx).

    Row by row, and not as a product of matrices, whose rounding would depend on how many images there are.

    Parameters
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx).
    y : `~numpy.ndarray`
        Shape (ny,), the rows' places.
    """
    flux, height, row, part = (np.zeros((len(images), images.shape[2])) for _ in range(4))
    for j, place in enumerate(y.tolist()):
        row[:] = images[:, j]
        flux += row
        height += np.multiply(row, place, out=part)
    return flux, height


def measure_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure the flux, centre and covariance of each image.

    Parameters
    ----------
    images : `~numpy.ndarray`
        Images, shape (n, ny, nx), any unit; every value finite.

    Returns
    -------
    flux : `~numpy.ndarray`
        The sums of the pixels, shape (n,), in the unit of ``images``.
    centre : `~numpy.ndarray`
        The flux-weighted centres (x, y), shape (n, 2), in pixels from the centre of pixel (0, 0).
    covariance : `~numpy.ndarray`
        The flux-weighted covariances, shape (n, 2, 2), in pixel^2, in the order x, y.

    Raises
    ------
    ValueError
        If ``images`` does not have three dimensions.

    Notes
    -----
    With I the pixels' values and r their positions, the centre is sum(I r) / sum(I) and the
    covariance is sum(I (r - centre)(r - centre)^T) / sum(I). An image whose sum is zero has no
    centre: its centre and covariance are NaN. Nothing is clipped, so negative pixels count as
    negative weights.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.morphology.moments import measure_moments
    >>> image = np.zeros((1, 5, 9))
    >>> image[0, 2, [2, 6]] = 1.0
    >>> flux, centre, covariance = measure_moments(image)
    >>> flux.tolist(), centre.tolist(), covariance[0].tolist()
    ([2.0], [[4.0, 2.0]], [[4.0, 0.0], [0.0, 0.0]])
    """
    images = np.asarray(images)
    if images.ndim != 3:
        raise ValueError(f"images must have shape (n, ny, nx), got {images.shape}")
    n, ny, nx = images.shape
    # Positions are taken from the middle of the frame, which keeps the differences of squares small.
    x = np.arange(nx) - (nx - 1) / 2
    y = np.arange(ny) - (ny - 1) / 2
    columns, height = column_sums(images, y)
    rows = images.sum(axis=2, dtype=np.float64)
    flux = columns.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x = (columns * x).sum(axis=1) / flux
        mean_y = (rows * y).sum(axis=1) / flux
        var_x = (columns * (x - mean_x[:, None]) ** 2).sum(axis=1) / flux
        var_y = (rows * (y - mean_y[:, None]) ** 2).sum(axis=1) / flux
        cross = (height * x).sum(axis=1) / flux - mean_x * mean_y
    centre = np.stack([mean_x + (nx - 1) / 2, mean_y + (ny - 1) / 2], axis=1)
    covariance = np.stack([var_x, cross, cross, var_y], axis=1).reshape(n, 2, 2)
    covariance[~np.isfinite(centre).all(axis=1)] = np.nan
    return flux, centre, covariance
