"""Judges: classifiers of FR class that never saw the stamp they judge.

The robust judges learn by cross-fitting on held-out stamps alone; the second judge is the paper's classifier, trained
on FRDEEP without the images that show the sources it is to judge.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import as_count, show
from skygal.training.data.cutouts import Cutouts, join_cutouts
from skygal.training.data.prepare import sky_cells
from skygal.training.data.readers import read_stamps
from skygal.training.stamp_classifier import N_CLASSES, StampClassifier, train_classifier

if TYPE_CHECKING:
    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["CrossJudge", "apart_from", "fold_by_sky", "train_judges", "train_second_judge"]

CLASSES = ("FRI", "FRII")


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
    nets : tuple of tuple of StampClassifier
        For each fold, networks that differ by their seed.
    """

    nets: tuple[tuple[StampClassifier, ...], ...]

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.nets)

    def deal(self, n: int) -> np.ndarray:
        """Return folds for ``n`` stamps that no judge saw, in turn."""
        return np.arange(n) % self.n_folds

    def classify(self, images: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (n, 2), of stamps by the judges of their fold."""
        fold = np.asarray(fold)
        if fold.shape != (len(images),) or (fold.size and not (0 <= fold.min() and fold.max() < self.n_folds)):
            raise ValueError(f"fold must have shape ({len(images)},) and be below {self.n_folds}, got {fold.shape}"
                             + (f" up to {fold.max()}" if fold.size else ""))
        out = np.zeros((len(images), N_CLASSES), np.float32)
        for k, nets in enumerate(self.nets):
            rows = np.flatnonzero(fold == k)
            if rows.size:
                out[rows] = np.mean([net.classify(images[rows]) for net in nets], axis=0)
        return out


def train_judges(views: np.ndarray, label: np.ndarray, fold: np.ndarray, *, seeds: Sequence[int],
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
    nets: list[tuple[StampClassifier, ...]] = []
    with tqdm(total=folds * len(seeds), desc="judges", unit="net", disable=not progress) as bar:
        for k in range(folds):
            rows = np.flatnonzero(fold != k)
            made = []
            for seed in seeds:
                made.append(train_classifier(views[:, rows], label[rows], seed=seed * folds + k,
                                             epochs=epochs, zoom=0.1))
                bar.update()
            nets.append(tuple(made))
    return CrossJudge(tuple(nets))


def apart_from(images: Cutouts, stamps: Cutouts, rows: np.ndarray, *, progress: bool = False) -> np.ndarray:
    """Return which images show none of certain cutouts' sources.

    Parameters
    ----------
    images : Cutouts
        Images without positions, such as FRDEEP's.
    stamps : Cutouts
        Cutouts.
    rows : array_like of int
        The cutouts to be kept apart from.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    `~numpy.ndarray` of bool
        Shape (number of images,).
    """
    from skygal.training.data.cross_match import match_cutouts

    n = len(stamps)
    same = match_cutouts(join_cutouts([stamps, images]), progress=progress)
    held = np.zeros(len(same), bool)
    held[np.asarray(rows, int)] = True
    # an image may be like an earlier image, which is like a cutout
    for row in range(n, len(same)):
        held[row] = held[same[row]]
    return ~held[n:]


def train_second_judge(source: str | os.PathLike, stamps: Cutouts, rows: np.ndarray, *, seed: int,
                       progress: bool = False) -> PaperClassifier:
    """Train the paper's classifier on FRDEEP, without the images that show held-out sources.

    Parameters
    ----------
    source : path or str
        FRDEEP; see `skygal.training.data.readers.read_stamps`.
    stamps : Cutouts
        The real cutouts of an evaluation.
    rows : array_like of int
        Those that the judge is to judge.
    seed, progress
        See `skygal.evaluation.ramis.train_paper_classifier`.

    Returns
    -------
    PaperClassifier

    Raises
    ------
    ValueError
        If the images are larger than 150 x 150 pixels, or too few are left.
    FileNotFoundError
        If the source is missing.
    """
    from skygal.evaluation.ramis import FRAME, paste_in_frame, train_paper_classifier

    images = read_stamps(source)
    for image in images.images:
        if max(image.shape) > FRAME:
            raise ValueError(f"images of {show(os.fspath(source))} must be of at most {FRAME} x {FRAME} pixels, "
                             f"got {image.shape}")
    keep = np.flatnonzero(apart_from(images, stamps, rows, progress=progress) & np.isin(images.fr_class, CLASSES))
    framed = np.zeros((len(keep), FRAME, FRAME), np.float32)
    for frame, i in zip(framed, keep, strict=True):
        image = np.nan_to_num(np.asarray(images.images[i], np.float32))
        frame[:] = paste_in_frame(image[None] / max(image.max(), 1e-30))[0]
    return train_paper_classifier(framed, np.array([CLASSES.index(images.fr_class[i]) for i in keep]), seed=seed,
                                  progress=progress)
