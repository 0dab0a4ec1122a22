"""The Frechet distance between two sets of features."""

from __future__ import annotations

import numpy as np

__all__ = ["frechet_distance"]


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the squared Frechet distance between the Gaussians of two samples.

    Parameters
    ----------
    first, second : array_like
        Shapes (n, d) and (m, d), with at least two rows each.

    Returns
    -------
    float
        In the square of the features' unit.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    |mu1 - mu2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson & Landau 1982, doi:10.1016/0047-259X(82)90077-X; for
    generators, Heusel et al. 2017, 2017arXiv170608500H). The estimate from small samples is too high,
    by about the same for samples of the same sizes: compare only such.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.evaluation.frechet import frechet_distance
    >>> x = np.random.default_rng(0).standard_normal((500, 3))
    >>> round(frechet_distance(x, x + [3, 0, 0]), 6)
    9.0
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise ValueError("features must have shapes (n, d) and (m, d) with n, m of at least 2, "
                         f"got {first.shape} and {second.shape}")
    one, two = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (first, second))
    # the root of C1 C2 has the trace of that of the symmetric C1^(1/2) C2 C1^(1/2)
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
    away = first.mean(axis=0) - second.mean(axis=0)
    return float(away @ away + np.trace(one) + np.trace(two) - 2 * cross)
