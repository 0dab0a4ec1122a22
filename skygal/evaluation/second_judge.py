"""The paper's classifier as a second judge, kept apart from the stamps it judges."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import show
from skygal.data.cutouts import Cutouts, join_cutouts
from skygal.data.readers import read_stamps

if TYPE_CHECKING:
    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["apart_from", "train_second_judge"]

CLASSES = ("FRI", "FRII")


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
    from skygal.data.cross_match import match_cutouts

    n = len(stamps)
    same = match_cutouts(join_cutouts([stamps, images]), progress=progress)
    held = np.zeros(len(same), bool)
    held[np.asarray(rows, int)] = True
    # an image may be like an earlier image, which is like a cutout
    for row in range(n, len(same)):
        held[row] = held[same[row]]
    return ~held[n:]


def train_second_judge(source: str | os.PathLike, stamps: Cutouts, rows: np.ndarray, *, seed: int, epochs: int = 30,
                       progress: bool = False) -> PaperClassifier:
    """Train the paper's classifier on FRDEEP, without the images that show held-out sources.

    Parameters
    ----------
    source : path or str
        FRDEEP; see `skygal.data.readers.read_stamps`.
    stamps : Cutouts
        The real cutouts of an evaluation.
    rows : array_like of int
        Those that the judge is to judge.
    seed, epochs, progress
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
                                  epochs=epochs, progress=progress)
