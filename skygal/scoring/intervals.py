"""Intervals of rates."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

__all__ = ["wilson"]


def wilson(hits: Any, total: Any, level: float = 0.6827) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the interval of a rate of which ``hits`` of ``total`` were seen.

    Parameters
    ----------
    hits, total : array_like of int
    level : float
        How often the interval holds the true rate, 0 to 1.

    Returns
    -------
    low, high : ndarray
        NaN where ``total`` is 0.

    Raises
    ------
    ValueError
        If there are more hits than there are in all, or fewer than none, or the level is not between 0 and 1.

    Notes
    -----
    Wilson (1927), doi:10.1080/01621459.1927.10502953. It stays between 0 and 1 and has a width at 0 and 1 as well.

    Examples
    --------
    >>> from skygal.scoring.intervals import wilson
    >>> low, high = wilson([0, 5, 10], 10)
    >>> print(low.round(3), high.round(3))
    [0.    0.349 0.909] [0.091 0.651 1.   ]
    """
    k, n = np.broadcast_arrays(np.asarray(hits, float), np.asarray(total, float))
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if np.any((k < 0) | (k > n)):
        raise ValueError("hits must be from 0 to total")
    z = float(ndtri(0.5 + level / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(n > 0, k / n, np.nan)
        centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
