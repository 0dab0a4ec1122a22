"""Classifier tests: whether a network tells two samples apart, and what it learns from one about another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skygal.training.stamp_net import train_net

__all__ = ["balanced_accuracy", "told_accuracy", "told_area", "train_and_test", "two_sample_test"]


def balanced_accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    """Return the mean over classes of the part of each that is named right.

    Raises
    ------
    ValueError
        If there is nothing to judge.
    """
    predicted, label = np.asarray(predicted), np.asarray(label)
    if not label.size or predicted.shape != label.shape:
        raise ValueError(f"predicted must have the shape of label, not empty, got {predicted.shape} and {label.shape}")
    return float(np.mean([(predicted[label == k] == k).mean() for k in np.unique(label)]))


def two_sample_test(first: np.ndarray, second: np.ndarray, new_first: np.ndarray, new_second: np.ndarray, *,
                    seeds: Sequence[int], epochs: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Train networks to tell two samples apart, and try them on new stamps of both.

    Parameters
    ----------
    first, second : `~numpy.ndarray`
        Shapes (n, ny, nx) and (m, ny, nx): what the networks learn from; both weigh the same.
    new_first, new_second : `~numpy.ndarray`
        What they are tried on.
    seeds : sequence of int
        One network each.
    epochs : int
        Of each network. With few the networks call everything the same, and the test says nothing.

    Returns
    -------
    `~numpy.ndarray`, `~numpy.ndarray`
        The probability, mean of the networks', of being of the second sample: for each of ``new_first`` and of
        ``new_second``. See `told_accuracy` and `told_area` (Lopez-Paz & Oquab 2017, 2016arXiv161006545L).
    """
    label = np.repeat([0, 1], [len(first), len(second)])
    stamps = np.concatenate([first, second])
    nets = [train_net(stamps, label, seed=seed, epochs=epochs, learning_rate=1e-3) for seed in seeds]
    one, two = (np.mean([net.classify(new)[:, 1] for net in nets], axis=0) for new in (new_first, new_second))
    return one, two


def told_accuracy(first: np.ndarray, second: np.ndarray) -> float:
    """Return the balanced accuracy at a probability of one half: 0.5 where two samples cannot be told apart."""
    return float(0.5 * ((first < 0.5).mean() + (second >= 0.5).mean()))


def told_area(first: np.ndarray, second: np.ndarray) -> float:
    """Return the area under the curve of right against wrong alarms at any threshold.

    It is the chance that a stamp of the second sample has the higher probability of the two (ties count half): 0.5
    where samples cannot be told apart, also where a threshold of one half is off.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([first, second]))[len(first):]
    n, m = len(first), len(second)
    return float((ranks.sum() - m * (m + 1) / 2) / (n * m))


def train_and_test(stamps: np.ndarray, label: np.ndarray, new_stamps: np.ndarray, *, seeds: Sequence[int],
                   epochs: int = 15) -> np.ndarray:
    """Train classifiers of FR class on some stamps and let them name others.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx).
    label : array_like of int
        Shape (n,), 0 or 1.
    new_stamps : `~numpy.ndarray`
        Shape (m, ny, nx).
    seeds : sequence of int
        One network each.
    epochs : int
        Of each network.

    Returns
    -------
    `~numpy.ndarray` of int
        Shape (seeds, m), the class each names.
    """
    return np.stack([train_net(stamps, label, seed=seed, epochs=epochs, zoom=0.1).classify(new_stamps).argmax(axis=1)
                     for seed in seeds])
