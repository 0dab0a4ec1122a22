"""Classifier tests: whether a network tells two samples apart, and what it learns from one about another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skygal.evaluation.network import train_net

__all__ = ["balanced_accuracy", "train_and_test", "two_sample_test"]


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
                    seeds: Sequence[int], epochs: int = 12) -> tuple[np.ndarray, np.ndarray]:
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
        Of each network.

    Returns
    -------
    `~numpy.ndarray`, `~numpy.ndarray`
        For each network, whether each stamp was told right: shapes (seeds, len(new_first)) and
        (seeds, len(new_second)). The mean of the two means is the balanced accuracy: 0.5 where the
        samples cannot be told apart (Lopez-Paz & Oquab 2017, 2016arXiv161006545L).
    """
    label = np.repeat([0, 1], [len(first), len(second)])
    stamps = np.concatenate([first, second])
    one, two = [], []
    for seed in seeds:
        net = train_net(stamps, label, seed=seed, epochs=epochs)
        one.append(net.classify(new_first)[:, 0] > 0.5)
        two.append(net.classify(new_second)[:, 0] <= 0.5)
    return np.stack(one), np.stack(two)


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
