"""Galaxies with their places in an image and in the model's latent space, before they are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.morphology.batches import Batch, Limits, draw_within, make_stamps
from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.latents import Latents, draw_keys, draw_sources
from skygal.seeds import Seeds
from skygal.wcs import icrs_to_pixel, pixel_affine

__all__ = ["SHARPEST", "PlacedGalaxies", "place_galaxies"]

#: Arcsec. A stamp is asked for so large, as far as the model knows such stamps, that its source can be seen with a beam
#: of this FWHM: the same one for all images, so that one seed shows one sky to all surveys.
SHARPEST = 0.4


@dataclass(frozen=True, eq=False)
class PlacedGalaxies:
    """Galaxies on a pixel grid, however they are seen.

    Attributes
    ----------
    wcs : `~astropy.wcs.WCS`
        The image's celestial WCS.
    population : QTable
        From `skygal.population.sample_population`.
    position : ndarray, shape (n, 2)
        Image pixels (x, y).
    jacobian : ndarray, shape (n, 2, 2)
        Pixels per arcsec (east, north) at each.
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

    wcs: WCS
    population: QTable
    position: np.ndarray
    jacobian: np.ndarray
    latents: Latents
    model: Any
    clip_sigma: float | None
    limits: Limits
    resample: Callable[[np.ndarray, np.ndarray], Latents]

    def __len__(self) -> int:
        return len(self.population)

    def stamps(self) -> Iterator[Batch]:
        """Yield their stamps, measured, a bounded batch at a time."""
        if self.limits == Limits():
            return make_stamps(self.model, self.latents, self.clip_sigma)
        return draw_within(self.model, self.latents, self.clip_sigma, self.limits, redraw=self.resample)


def place_galaxies(wcs: WCS, population: QTable, *, model: Any, latents: str | np.ndarray,
                   clip_sigma: float | None, seeds: Seeds, bending: tuple[float, float] = (0.0, np.pi)
                   ) -> PlacedGalaxies:
    """Give a population its places in an image and in the model's latent space.

    What a source looks like does not depend on who looks.

    Parameters
    ----------
    wcs, population, model, clip_sigma
        See `PlacedGalaxies`.
    latents : str or ndarray
        See `skygal.morphology.latents.draw_latents`.
    seeds : Seeds
        The run's random streams.
    bending : tuple of float
        Least and largest bending of each, radians.
    """
    ra, dec = population["ra"].to_value(u.deg), population["dec"].to_value(u.deg)
    position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)
    jacobian = pixel_affine(wcs, ra, dec)
    # a stamp that is zoomed down to the size asked for carries a beam that is zoomed down with it
    least = population["las"].to_value(u.arcsec) * (model.beam_fwhm / SHARPEST) / SIZE_TO_EXTENT
    fr_class = np.asarray(population["fr_class"]).astype(str)
    keys = draw_keys(seeds, "latent", latents, fr_class)

    def sample(rows: np.ndarray, keys: np.ndarray) -> Latents:
        return draw_sources(model, latents, fr_class[rows], keys, least=least[rows], bending=bending)

    return PlacedGalaxies(wcs, population, position, jacobian, sample(np.arange(len(keys)), keys), model, clip_sigma,
                          Limits(bending=bending), sample)
