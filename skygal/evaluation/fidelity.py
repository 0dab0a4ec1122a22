"""Class fidelity: how often a judge names the class that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import as_count

if TYPE_CHECKING:
    from skygal.evaluation.judge import ClassJudge
    from skygal.morphology.generator import Generator
    from skygal.training.prepare import TrainingSet

__all__ = ["draw_stamps", "measure_fidelity", "see_with_beam"]


def see_with_beam(data: TrainingSet, *, beam_sigma: float) -> np.ndarray:
    """Return prepared stamps at the survey's resolution, peak 1.

    Parameters
    ----------
    data : TrainingSet
        The stamps, sharper by sqrt(2) than the beam.
    beam_sigma : float
        Standard deviation of the full beam in pixels.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, ny, nx), float32.
    """
    from scipy import ndimage

    width = beam_sigma / np.sqrt(2)
    seen = ndimage.gaussian_filter(data.images, (0, width, width), mode="constant")
    return seen / seen.max(axis=(1, 2), keepdims=True)


def draw_stamps(generator: Generator, fr_class: str, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw stamps of one class from the model's prior, with extents of its training stamps.

    Parameters
    ----------
    generator : Generator
        The model.
    fr_class : str
        The class.
    n : int
        How many.
    rng : `~numpy.random.Generator`
        Draws latents and extents.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, ny, nx), float32, in the order of their extents.
    """
    quantiles = generator.extents[fr_class]
    extent = np.sort(np.interp(rng.random(n), np.linspace(0, 1, len(quantiles)), quantiles))
    return generator.decode(rng.standard_normal((n, generator.latent_dim)), np.full(n, fr_class), extent)


def measure_fidelity(generator: Generator, data: TrainingSet, judges: Sequence[ClassJudge], *, n: int = 500,
                     seed: int = 0) -> dict[str, dict[str, float]]:
    """Measure class fidelity of a model's stamps, and of the real held-out ones.

    Parameters
    ----------
    generator : Generator
        The model.
    data : TrainingSet
        Prepared stamps; those outside the training split are the held-out ones, and noise levels
        for generated stamps are drawn from the training split's.
    judges : sequence of ClassJudge
        Judges that never saw the held-out stamps; their mean is given.
    n : int
        Stamps to generate of each class.
    seed : int
        Of latents, extents and noise.

    Returns
    -------
    dict
        For each class, ``generated`` and ``real`` (fractions named right), ``generated_error`` and
        ``real_error`` (binomial standard errors), and ``judges_spread`` (the standard deviation
        of ``generated`` between judges).
    """
    from skygal.evaluation.judge import observe_stamps

    as_count("n", n, minimum=1)
    rng = np.random.default_rng(seed)
    sigma = generator.arch.beam_sigma
    train, held = data.select(data.split == "train"), data.select(data.split != "train")
    out = {}
    for fr_class in generator.classes:
        own = held.select(held.fr_class == fr_class)
        level = train.noise[train.fr_class == fr_class]
        made = observe_stamps(draw_stamps(generator, fr_class, n, rng=rng), rng.choice(level, n), beam_sigma=sigma,
                              rng=rng)
        real = observe_stamps(see_with_beam(own, beam_sigma=sigma), own.noise, beam_sigma=sigma, rng=rng)
        right = {kind: [float((judge.classify(images).argmax(axis=1) == judge.classes.index(fr_class)).mean())
                        for judge in judges] for kind, images in (("generated", made), ("real", real))}
        row = {kind: float(np.mean(values)) for kind, values in right.items()}
        for kind, count in (("generated", n), ("real", len(own))):
            row[f"{kind}_error"] = float(np.sqrt(row[kind] * (1 - row[kind]) / max(count, 1)))
        out[fr_class] = {**row, "judges_spread": float(np.std(right["generated"]))}
    return out
