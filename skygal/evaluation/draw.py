"""Generated stamps for an evaluation, in the distributions of the training stamps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import as_count

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = ["draw_stamps"]


def draw_stamps(generator: Generator, fr_class: str, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw stamps of one class from the model's prior, extent and bending as of its training stamps.

    Parameters
    ----------
    generator : Generator
        The model.
    fr_class : str
        The class.
    n : int
        How many.
    rng : `~numpy.random.Generator`
        Draws what each stamp is.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, ny, nx), float32, noiseless and unclipped, at the resolution of the model's beam.
    """
    from skygal.morphology.latents import sample_latents

    n = as_count("n", n, minimum=1)
    keys, name = rng.integers(2**63, size=n, dtype=np.int64), np.full(n, fr_class)
    plan = sample_latents(generator, "prior", name, keys)
    return generator.decode(plan.values, name, plan.extent, plan.bending)
