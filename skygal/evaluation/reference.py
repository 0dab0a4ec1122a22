"""The real side of an evaluation: observed stamps, judges, and how real training stamps fare beside held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import show_fields
from skygal.evaluation.judges import CrossJudge, fold_by_sky, train_judges
from skygal.evaluation.observed import Observed, observe_cutouts, observe_cutouts_as_frdeep, observe_stamps
from skygal.observation.ellipse import FWHM
from skygal.seeds import Seeds

if TYPE_CHECKING:
    from skygal.training.data.cutouts import Cutouts
    from skygal.training.data.prepare import TrainingSet

__all__ = ["CLASSES", "Effort", "Reference", "add_beam", "make_reference"]

#: the classes that judges tell apart
CLASSES = ("FRI", "FRII")
#: scatter of ln(noise) between the views that a judge learns from
NOISE_SCATTER = 0.35


@dataclass(frozen=True)
class Effort:
    """How much work an evaluation is.

    Attributes
    ----------
    folds, judge_seeds, judge_epochs : int
        Of the cross-fitted judges.
    views : int
        GeneratedSample-up views (other noise, other angle) of each stamp that a judge learns from, beside its own.
    test_seeds, test_epochs : int
        Of two-sample tests.
    transfer_seeds, transfer_epochs : int
        Of train-on-synthetic tests.
    few : int
        Real stamps in the test of real plus synthetic on few.
    n_boot : int
        Draws of a bootstrap.
    """

    folds: int = 5
    judge_seeds: int = 2
    judge_epochs: int = 30
    views: int = 2
    test_seeds: int = 3
    test_epochs: int = 30
    transfer_seeds: int = 3
    transfer_epochs: int = 30
    few: int = 100
    n_boot: int = 200

    @classmethod
    def quick(cls) -> Effort:
        """Return what takes about three minutes."""
        return cls(folds=3, judge_seeds=1, judge_epochs=20, views=1, test_seeds=1, test_epochs=20, transfer_seeds=1,
                   transfer_epochs=15, n_boot=100)


def add_beam(images: np.ndarray, *, beam_sigma: float) -> np.ndarray:
    """Return restored stamps (n, ny, nx) at the survey's resolution, peak 1.

    Parameters
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx), sharper by sqrt(2) than the beam; see `skygal.training.data.prepare.TrainingSet`.
    beam_sigma : float
        Standard deviation of the full beam in pixels.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, ny, nx), float32.
    """
    from scipy import ndimage

    width = beam_sigma / np.sqrt(2)
    seen = ndimage.gaussian_filter(images, (0, width, width), mode="constant")
    return seen / seen.max(axis=(1, 2), keepdims=True)


@dataclass(frozen=True, eq=False)
class Reference:
    """Real stamps, observed, and judges of them.

    Attributes
    ----------
    real : Observed
        All FRI and FRII.
    restored : `~numpy.ndarray`
        Shape (n, ny, nx), float16: the same, noiseless, at the survey's resolution.
    label : `~numpy.ndarray` of int
        Shape (n,), index into `CLASSES`.
    extent : `~numpy.ndarray`
        Shape (n,), arcsec.
    split : `~numpy.ndarray` of str
        Shape (n,).
    fold : `~numpy.ndarray` of int
        Shape (n,), fold of the held-out (validation and test) stamps, -1 for the training split.
    as_frdeep : `~numpy.ndarray`
        Shape (n, 100, 100), float16: the same in the form that the paper's classifier knows, see
        `skygal.evaluation.observed`.
    las : `~numpy.ndarray`
        Shape (n,), largest angular size in pixels, NaN where unknown.
    judge : CrossJudge
        Learnt from held-out stamps alone.
    beam_fwhm : float
        In pixels.
    effort : Effort
        How much work is done.
    seed : int
        Of everything random.
    """

    real: Observed
    restored: np.ndarray
    label: np.ndarray
    extent: np.ndarray
    split: np.ndarray
    fold: np.ndarray
    as_frdeep: np.ndarray
    las: np.ndarray
    judge: CrossJudge
    beam_fwhm: float
    effort: Effort
    seed: int

    __repr__ = show_fields

    @property
    def beam_sigma(self) -> float:
        """Standard deviation of the beam in pixels."""
        return self.beam_fwhm / FWHM

    def rows(self, split: str) -> np.ndarray:
        """Return the rows of a split."""
        return np.flatnonzero(self.split == split)

    @cached_property
    def train(self) -> np.ndarray:
        """Rows of the training split."""
        return self.rows("train")

    @cached_property
    def test(self) -> np.ndarray:
        """Rows of the test split."""
        return self.rows("test")

    @cached_property
    def cache(self) -> dict[str, Any]:
        """What measures of real stamps alone have found, so that it is found once."""
        return {}

    def generator(self, name: str) -> np.random.Generator:
        """Return the random stream of a measure."""
        return Seeds(self.seed).generator(f"evaluate {name}")


def make_reference(data: TrainingSet, stamps: Cutouts, *, beam_fwhm: float = 5.4, pixel_scale: float = 1.8,
                   seed: int = 0, effort: Effort | None = None, progress: bool = False) -> Reference:
    """Observe real stamps and train judges on the held-out ones.

    Parameters
    ----------
    data : TrainingSet
        Prepared stamps; those of other classes than FRI and FRII are left out.
    stamps : Cutouts
        The cutouts they come from, as `skygal.training.data.readers.read_stamps` gave them, so that ``data.row``
        points into them.
    beam_fwhm, pixel_scale : float
        The survey's, arcsec.
    seed : int
        Of everything random.
    effort : Effort, optional
        How much work to do.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    Reference

    Raises
    ------
    ValueError
        If a split has no stamps of a class.
    """
    effort = effort or Effort()
    data = data.select(np.isin(data.fr_class, CLASSES))
    label = np.array([CLASSES.index(name) for name in data.fr_class])
    for split in ("train", "test"):
        count = np.bincount(label[data.split == split], minlength=2)
        if count.min() < 2:
            raise ValueError(f"stamps must hold two of each of FRI and FRII in the {split} split, "
                             f"got {count[0]} and {count[1]}")
    sigma = beam_fwhm / pixel_scale / FWHM
    real = observe_cutouts(stamps, data.row, shape=data.images.shape[1:], pixel_scale=pixel_scale, progress=progress)
    restored = add_beam(data.images, beam_sigma=sigma)
    fold = np.full(len(data), -1)
    held = np.flatnonzero(data.split != "train")
    rows = data.row[held]
    fold[held] = fold_by_sky(stamps.ra[rows], stamps.dec[rows], stamps.name[rows], effort.folds)
    rng = Seeds(seed).generator("judge views")
    views = [real.images[held]]
    for _ in range(effort.views):
        # other noise, so that the judge looks at the source
        level = np.clip(real.noise[held] * np.exp(NOISE_SCATTER * rng.standard_normal(len(held))), 1e-4, 0.2)
        views.append(observe_stamps(restored[held], level, beam_sigma=sigma, rng=rng, sized=real.sized[held],
                                    progress=progress).images)
        # a source that noise would hide stays as it was
        lost = ~views[-1].any(axis=(1, 2))
        views[-1][lost] = real.images[held][lost]
    judge = train_judges(np.stack(views), label[held], fold[held], seeds=range(effort.judge_seeds),
                         epochs=effort.judge_epochs, progress=progress)
    as_frdeep = observe_cutouts_as_frdeep(stamps, data.row).astype(np.float16)
    return Reference(real, restored.astype(np.float16), label, data.extent, data.split, fold, as_frdeep,
                     stamps.las[data.row] / pixel_scale, judge, beam_fwhm / pixel_scale, effort, seed)
