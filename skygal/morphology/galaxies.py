"""Galaxies with their places on the sky and in the model's latent space, before they are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.checks import show_fields
from skygal.morphology.batches import Batch, Limits, make_stamps, make_stamps_within
from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.latents import Latents, sample_keys, sample_latents
from skygal.seeds import Seeds

__all__ = ["Galaxies", "extent_limits", "sample_galaxies"]

#: Arcsec. A stamp that no octaves follow is asked for so large, as far as the model knows such stamps, that its source
#: can be seen with a beam of this FWHM: the same one for all images, so that one seed shows one sky to all surveys.
SHARPEST = 0.4


@dataclass(frozen=True, eq=False)
class Galaxies:
    """Galaxies, however they are seen.

    Attributes
    ----------
    population : QTable
        From `skygal.population.sample_population`.
    latents : Latents
        What each is decoded from, if it is within the limits.
    model : Generator
        The trained model.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    limits : Limits
        What each stamp must measure.
    resample : callable
        Returns latents for other sources, numbered, of other keys.
    """

    population: QTable
    latents: Latents
    model: Any
    clip_sigma: float | None
    limits: Limits
    resample: Callable[[np.ndarray, np.ndarray], Latents]

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.population)

    def stamps(self) -> Iterator[Batch]:
        """Yield their stamps, measured, a bounded batch at a time."""
        if self.limits == Limits():
            return make_stamps(self.model, self.latents, self.clip_sigma)
        return make_stamps_within(self.model, self.latents, self.clip_sigma, self.limits, redraw=self.resample)


def extent_limits(model: Any, las: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest extent of the stamps of sources of given sizes, all in arcsec, shape (n,)."""
    if model.extent is not None:
        least, most = model.extent
        return np.full(len(las), least), np.full(len(las), most)
    # a stamp that is zoomed down to the size asked for carries a beam that is zoomed down with it
    return las * (model.beam_fwhm / SHARPEST) / SIZE_TO_EXTENT, np.full(len(las), np.inf)


def sample_galaxies(population: QTable, *, model: Any, latents: str | np.ndarray,
                    clip_sigma: float | None, seeds: Seeds, bending: tuple[float, float] = (0.0, np.pi)) -> Galaxies:
    """Give a population its places in the model's latent space.

    What a source looks like does not depend on who looks.

    Parameters
    ----------
    population, model, clip_sigma
        See `Galaxies`.
    latents : str or ndarray
        See `skygal.morphology.latents.sample_latent_values`.
    seeds : Seeds
        The run's random streams.
    bending : tuple of float
        Least and largest bending of each, radians.
    """
    least, most = extent_limits(model, population["las"].to_value(u.arcsec))
    fr_class = np.asarray(population["fr_class"]).astype(str)
    keys = sample_keys(seeds, "latent", latents, fr_class)

    def sample(rows: np.ndarray, keys: np.ndarray) -> Latents:
        return sample_latents(model, latents, fr_class[rows], keys, least=least[rows], most=most[rows],
                              bending=bending)

    return Galaxies(population, sample(np.arange(len(keys)), keys), model, clip_sigma, Limits(bending=bending), sample)
