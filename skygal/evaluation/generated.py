"""The generated side of an evaluation: stamps of a model's prior, observed with the noise of real ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import as_count, check_choice, show_fields
from skygal.evaluation.observed import Observed, observe_stamps, observe_stamps_as_frdeep
from skygal.evaluation.reference import CLASSES, Reference
from skygal.morphology.moments import measure_moments

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = ["GeneratedSample", "match_noise", "observe_generated", "sample_as_frdeep", "sample_generated"]

#: pixels fainter than this, of the peak, are no part of a source when its extent is measured
FLOOR = 0.005
#: real stamps that the noise of a generated one may be taken from
NEIGHBOURS = 15


@dataclass(frozen=True, eq=False)
class GeneratedSample:
    """Generated stamps, noiseless and observed.

    Attributes
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless.
    observed : Observed
        The same, observed.
    label : `~numpy.ndarray` of int
        Shape (n,), index of the class asked for.
    hidden : int
        Stamps left out because nothing rises above the noise.
    """

    images: np.ndarray
    observed: Observed
    label: np.ndarray
    hidden: int = 0

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def cache(self) -> dict[str, Any]:
        """What several measures use, so that it is found once."""
        return {}


def sample_generated(generator: Generator, fr_class: str, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """Sample stamps of one class from the model's prior, extent and bending as of its training stamps.

    Those of a model with octaves are drawn as in an image: a stamp of the sizes that its octaves begin with is shown
    at the size of the one that has such an extent.

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
    stamps = generator.decode(plan.values, name, plan.extent, plan.bending)
    return stamps if generator.octaves is None else _draw_sized(generator, stamps, name, keys)


def _draw_sized(generator: Any, like: np.ndarray, name: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return stamps of a model with octaves, of the sizes that stamps (n, ny, nx) have."""
    from skygal.morphology.batches import make_stamps
    from skygal.morphology.latents import sample_latents
    from skygal.morphology.measure import largest_size
    from skygal.stamps.across import draw_across

    fwhm, (ny, nx) = generator.beam_fwhm / generator.pixel_scale, like.shape[1:]
    wanted = largest_size(np.maximum(like, 0))
    least, most = (np.full(len(keys), value) for value in generator.extent)
    out, start = np.zeros_like(like), 0
    for batch in make_stamps(generator, sample_latents(generator, "prior", name, keys, least=least, most=most), 3.0):
        stop = start + len(batch.stamps)
        here = wanted[start:stop]
        images, _ = draw_across(generator, batch, beams=here / fwhm, size=nx, turned=False)
        # small ones are larger, by what the image's beam adds: drawn once more by so much smaller
        smaller = here / largest_size(images)
        images, _ = draw_across(generator, batch, beams=here * smaller / fwhm, size=nx, turned=False)
        rows = (nx - ny) // 2
        out[start:stop], start = images[:, rows:rows + ny], stop
    return out


def match_noise(features: np.ndarray, fr_class: np.ndarray, real_features: np.ndarray, real_class: np.ndarray, *,
                rng: np.random.Generator) -> np.ndarray:
    """Sample for each stamp a real one of its class that is like it, whose noise it is to have.

    Parameters
    ----------
    features : array_like
        Shape (n, d), of the stamps: what the noise over the peak goes with, such as the logarithms of extent
        and of flux over peak. (In a sample limited by flux, noise over peak grows with flux over peak.)
    fr_class : array_like
        Shape (n,), of the stamps.
    real_features, real_class : array_like
        Shapes (m, d) and (m,), of real stamps.
    rng : `~numpy.random.Generator`
        The source of randomness.

    Returns
    -------
    `~numpy.ndarray` of int
        Shape (n,), rows of the real stamps, each out of the 15 of its class that are nearest in features of unit
        scatter.

    Raises
    ------
    ValueError
        If there is no real stamp of a class.
    """
    features, real_features = np.asarray(features, float), np.asarray(real_features, float)
    out = np.empty(len(features), int)
    real_class = np.asarray(real_class)
    scale = real_features.std(axis=0) + 1e-12
    for name in np.unique(fr_class):
        here, there = np.flatnonzero(np.asarray(fr_class) == name), np.flatnonzero(real_class == name)
        if not there.size:
            raise ValueError(f"fr_class must have real stamps, got none of {name}")
        away = (((features[here, None] - real_features[None, there]) / scale) ** 2).sum(axis=2)
        order = np.argsort(away, axis=1, kind="stable")[:, :NEIGHBOURS]
        pick = rng.integers(order.shape[1], size=len(here))
        out[here] = there[order[np.arange(len(here)), pick]]
    return out


def _size_features(stamps: np.ndarray) -> np.ndarray:
    """Return the logarithms of extent in pixels and of flux over peak of noiseless stamps of peak 1, (n, 2)."""
    images = np.asarray(stamps, np.float32)
    flux, _, covariance = measure_moments(np.where(images > FLOOR, images, 0))
    extent = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance)[:, -1], 1e-3))
    return np.log(np.stack([extent, np.maximum(flux, 1e-3)], axis=1))


def observe_generated(generated: np.ndarray, fr_class: np.ndarray, reference: Reference, *,
                      progress: bool = False) -> GeneratedSample:
    """Observe generated stamps with the noise of real training stamps of their class, extent and flux over peak.

    Parameters
    ----------
    generated : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, aligned, with the survey's beam.
    fr_class : array_like of str
        Shape (n,), "FRI" or "FRII".
    reference : Reference
        The real stamps.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    GeneratedSample
        Without stamps on which nothing rises above the noise.

    Raises
    ------
    ValueError
        If the shapes do not fit, a class is unknown, or a stamp has no flux.
    """
    generated, fr_class = np.asarray(generated, np.float32), np.asarray(fr_class)
    ny, nx = reference.real.images.shape[1:]
    if generated.ndim != 3 or generated.shape[1:] != (ny, nx):
        raise ValueError(f"generated must have shape (n, {ny}, {nx}), got {generated.shape}")
    if fr_class.shape != (len(generated),):
        raise ValueError(f"fr_class must have shape ({len(generated)},), got {fr_class.shape}")
    for name in np.unique(fr_class):
        check_choice("fr_class", str(name), CLASSES)
    peak = generated.max(axis=(1, 2))
    good = np.isfinite(peak) & (peak > 0)
    if not good.all():
        raise ValueError(f"generated must have flux, got {np.count_nonzero(~good)} stamps without any")
    images = generated / peak[:, None, None]
    label = np.array([CLASSES.index(name) for name in fr_class])
    train = reference.train
    like = train[match_noise(_size_features(images), label, _size_features(reference.restored[train]),
                             reference.label[train], rng=reference.generator("noise levels"))]
    observed = observe_stamps(images, reference.real.noise[like], beam_sigma=reference.beam_sigma,
                              rng=reference.generator("noise"), sized=reference.real.sized[like], progress=progress)
    shown = observed.visible
    return GeneratedSample(images[shown], observed.select(shown), label[shown], int((~shown).sum()))


def sample_as_frdeep(reference: Reference, sample: GeneratedSample) -> np.ndarray:
    """Return generated stamps in the form that the paper's classifier knows, shape (n, 100, 100)."""
    if "as frdeep" not in sample.cache:
        sample.cache["as frdeep"] = observe_stamps_as_frdeep(
            sample.images, sample.observed.noise, beam_sigma=reference.beam_sigma, rng=reference.generator("framed"))
    return sample.cache["as frdeep"]
