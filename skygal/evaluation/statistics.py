"""Errors by the bootstrap and of proportions, and samples of a given mix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skygal.checks import as_count

__all__ = ["accuracy_error", "bootstrap_error", "hold_out", "matched_rows"]


def bootstrap_error(statistic: Callable[..., float], *samples: np.ndarray, rng: np.random.Generator,
                    n_boot: int = 200) -> float:
    """Return the standard error of a statistic by the bootstrap.

    Parameters
    ----------
    statistic : callable
        Takes one array for each of ``samples``.
    *samples : `~numpy.ndarray`
        Independent samples, each drawn from anew along its first axis.
    rng : `~numpy.random.Generator`
        The source of randomness.
    n_boot : int
        Number of draws, at least 2.

    Returns
    -------
    float
        The standard deviation over the draws (Efron 1979, doi:10.1214/aos/1176344552).
    """
    as_count("n_boot", n_boot, minimum=2)
    drawn = [statistic(*(sample[rng.integers(len(sample), size=len(sample))] for sample in samples))
             for _ in range(n_boot)]
    return float(np.std(drawn, ddof=1))


def matched_rows(label: np.ndarray, like: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Choose rows without repetition so that classes are as frequent as in another sample.

    Parameters
    ----------
    label : array_like
        Shape (m,), classes to choose from.
    like : array_like
        The sample whose mix is wanted.
    rng : `~numpy.random.Generator`
        The source of randomness.

    Returns
    -------
    `~numpy.ndarray` of int
        Rows of ``label``, as many as there can be, in random order.

    Raises
    ------
    ValueError
        If ``label`` lacks a class.
    """
    label, like = np.asarray(label), np.asarray(like)
    names, count = np.unique(like, return_counts=True)
    share = count / count.sum()
    there = np.array([(label == name).sum() for name in names])
    total = int(np.floor((there / share).min() + 1e-9))
    if not there.all():
        raise ValueError(f"label must hold enough of {', '.join(map(str, names))} for a row, got {there.tolist()}")
    # whole numbers that add up
    wanted = np.floor(share * total + 1e-9).astype(int)
    for k in np.argsort(wanted - share * total, kind="stable")[:total - wanted.sum()]:
        wanted[k] += 1
    rows = [rng.choice(np.flatnonzero(label == name), min(k, m), replace=False)
            for name, k, m in zip(names, wanted, there, strict=True)]
    return rng.permutation(np.concatenate(rows))


def accuracy_error(right: np.ndarray) -> float:
    """Return the binomial standard error of the mean of booleans."""
    right = np.asarray(right, float)
    return float(np.sqrt(right.mean() * (1 - right.mean()) / max(len(right), 1)))


def hold_out(n: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of rows out of ``n``, at random, ``share`` of them in the first."""
    rows = rng.permutation(n)
    cut = int(round(n * share))
    return rows[:cut], rows[cut:]
