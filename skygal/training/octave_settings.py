"""How octaves are trained, and which of an atlas's sources are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skygal.checks import as_count, as_seed

__all__ = ["OctaveSettings", "left_out"]


@dataclass(frozen=True)
class OctaveSettings:
    """How octaves are trained.

    Attributes
    ----------
    seed : int
        Of all that is random.
    first_steps, steps : int
        How many, of the first octaves and then of the others.
    warmup : int
        How many of them before the critic and stamps have a say.
    batch : int
        Pieces to a step of each kind.
    first_side, side : int
        Coarse pixels along them, of the first two octaves and of the others.
    views : int
        Maps of each source of the atlas at a time.
    kl_weight : float
        Of the Kullback-Leibler term.
    adversarial, slope : float
        Weight of the critic's say on what is drawn after stamps, and of its own squared slope at real maps (Mescheder
        et al. 2018, arXiv:1801.04406).
    structure : float
        Weight of how far patches of what is drawn are from the atlas's.
    spectrum : float
        Weight of how far the power of what is drawn is from the atlas's, by frequency.
    truth : float
        Weight of how far what is drawn, smoothed, is from the coarse map; the first octaves are free of it.
    first_rate, rate, last_rate, critic_rate : float
        Learning rates: before the critic, with it, at the end, and its own.
    averaging : float
        Of the weights that are kept, from step to step.
    stamps, refresh, drawn : int
        Stamps that octaves are drawn after, half of them FRII, steps until others of them and other maps are taken, and
        how many stamps at a time.
    checkpoint_every : int
        Steps between checkpoints, a multiple of ``refresh``.
    factor : float
        See `skygal.morphology.octaves.Octaves`.
    errors : float
        Largest standard deviation of the natural logarithm of errors that the first octaves take stamps to have.
    frii : float
        Of the steps, the share that looks at FRII sources. Each looks at one class, of which hybrids are too, so that
        structure is compared within it.
    bend : float
        Degrees by which the halves of an atlas's source are each bent, one standard deviation.
    sizes : tuple of float
        Least and largest size of these stamps, arcsec.
    fold, folds : int
        With ``folds`` above 0, the sources of fold number ``fold`` are left out.
    """

    seed: int = 1
    first_steps: int = 2400
    steps: int = 2000
    warmup: int = 200
    batch: int = 8
    first_side: int = 16
    side: int = 32
    views: int = 6
    kl_weight: float = 0.3
    adversarial: float = 0.4
    slope: float = 0.3
    structure: float = 2.0
    spectrum: float = 0.3
    truth: float = 0.3
    first_rate: float = 1e-3
    rate: float = 4e-4
    last_rate: float = 1e-4
    critic_rate: float = 1e-3
    averaging: float = 0.995
    stamps: int = 800
    refresh: int = 100
    drawn: int = 30
    checkpoint_every: int = 500
    factor: float = 3.0
    errors: float = 0.15
    frii: float = 0.65
    bend: float = 12.0
    sizes: tuple[float, float] = (66.0, 82.0)
    fold: int = 0
    folds: int = 0

    def __post_init__(self) -> None:
        as_seed("seed", self.seed)
        for name in ("first_steps", "steps", "batch", "views", "stamps", "refresh", "drawn"):
            as_count(name, getattr(self, name), minimum=1)
        if self.checkpoint_every < 1 or self.checkpoint_every % self.refresh:
            raise ValueError(f"checkpoint_every must be a multiple of refresh, {self.refresh}, got "
                             f"{self.checkpoint_every}")
        for name in ("first_side", "side"):
            if (value := getattr(self, name)) % 4 or value < 16:
                raise ValueError(f"{name} must be a multiple of 4, 16 at least, got {value}")
        if not 0 <= self.frii <= 1:
            raise ValueError(f"frii must be from 0 to 1, got {self.frii}")
        if self.folds and not 0 <= self.fold < self.folds:
            raise ValueError(f"fold must be from 0 to {self.folds - 1}, got {self.fold}")


def left_out(sources: int, fold: int, folds: int) -> np.ndarray:
    """Return which of so many sources are those of a fold, the same for all seeds; none with no folds."""
    order = np.random.default_rng(0).permutation(sources)
    return np.sort(order[fold::folds]) if folds else order[:0]
