"""Judges that never saw the stamp they judge, nor any that the generator learnt from."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skygal.checks import as_count
from skygal.data.prepare import sky_cells
from skygal.training.stamp_net import StampNet, train_net

__all__ = ["CrossJudge", "fold_by_sky", "train_judges"]


def fold_by_sky(ra: np.ndarray, dec: np.ndarray, name: np.ndarray, n_folds: int) -> np.ndarray:
    """Assign stamps to folds by their place on the sky.

    Parameters
    ----------
    ra, dec : array_like
        Shape (n,), degrees; NaN where unknown.
    name : array_like of str
        Shape (n,), used where there is no position.
    n_folds : int
        How many, at least 2.

    Returns
    -------
    `~numpy.ndarray` of int
        Shape (n,), 0 to ``n_folds`` - 1. Stamps of one cell of 4 degrees are in one fold; cells are dealt out
        so that folds are about equal.
    """
    as_count("n_folds", n_folds, minimum=2)
    cells, number, count = np.unique(sky_cells(ra, dec, name), return_inverse=True, return_counts=True)
    fold, size = np.zeros(len(cells), int), np.zeros(n_folds, int)
    # the fullest cells first, each to the emptiest fold; a checksum decides between equals
    for cell in sorted(range(len(cells)), key=lambda c: (-count[c], zlib.crc32(f"fold:{cells[c]}".encode()))):
        fold[cell] = int(np.argmin(size))
        size[fold[cell]] += count[cell]
    return fold[number] if len(number) else np.zeros(0, int)


@dataclass(frozen=True)
class CrossJudge:
    """Judges for held-out stamps, a few for each fold, which were trained on the other folds.

    A real stamp is judged by its own fold's judges; generated stamps, which none saw, are dealt out to the folds, so
    that both are judged by judges of the same making.

    Attributes
    ----------
    nets : tuple of tuple of StampNet
        For each fold, networks that differ by their seed.
    """

    nets: tuple[tuple[StampNet, ...], ...]

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.nets)

    def deal(self, n: int) -> np.ndarray:
        """Return folds for ``n`` stamps that no judge saw, in turn."""
        return np.arange(n) % self.n_folds

    def classify(self, images: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (n, n_classes), of stamps by the judges of their fold."""
        fold = np.asarray(fold)
        if fold.shape != (len(images),) or (fold.size and not (0 <= fold.min() and fold.max() < self.n_folds)):
            raise ValueError(f"fold must have shape ({len(images)},) and be below {self.n_folds}, got {fold.shape}"
                             + (f" up to {fold.max()}" if fold.size else ""))
        out = np.zeros((len(images), self.nets[0][0].n_classes), np.float32)
        for k, nets in enumerate(self.nets):
            rows = np.flatnonzero(fold == k)
            if rows.size:
                out[rows] = np.mean([net.classify(images[rows]) for net in nets], axis=0)
        return out


def train_judges(views: np.ndarray, label: np.ndarray, fold: np.ndarray, *, seeds: Sequence[int], n_classes: int = 2,
                 epochs: int = 30, progress: bool = False) -> CrossJudge:
    """Train judges on all folds but one, for each fold.

    Parameters
    ----------
    views : `~numpy.ndarray`
        Shape (views, n, ny, nx): observed stamps, each seen several times.
    label : array_like of int
        Shape (n,).
    fold : array_like of int
        Shape (n,), from `fold_by_sky`.
    seeds : sequence of int
        One network is trained for each fold and seed.
    n_classes : int
        Number of classes.
    epochs : int
        Of each network.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    CrossJudge
    """
    from tqdm import tqdm

    folds = int(np.max(fold)) + 1
    nets: list[tuple[StampNet, ...]] = []
    with tqdm(total=folds * len(seeds), desc="judges", unit="net", disable=not progress) as bar:
        for k in range(folds):
            rows = np.flatnonzero(fold != k)
            made = []
            for seed in seeds:
                made.append(train_net(views[:, rows], label[rows], n_classes=n_classes, seed=seed * folds + k,
                                      epochs=epochs, zoom=0.1))
                bar.update()
            nets.append(tuple(made))
    return CrossJudge(tuple(nets))
