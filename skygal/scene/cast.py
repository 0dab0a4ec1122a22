"""Galaxies with their places in an image and in the model's latent space, before they are seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.latents import Latents, sample_keys, sample_latents
from skygal.seeds import Seeds
from skygal.wcs import icrs_to_pixel, pixel_affine

__all__ = ["SHARPEST", "Cast", "make_cast"]

#: Arcsec. A stamp is asked for so large, as far as the model knows such stamps, that its source can be seen with a beam
#: of this FWHM: the same one for all images, so that one seed shows one sky to all surveys.
SHARPEST = 0.4


@dataclass(frozen=True)
class Cast:
    """Galaxies on a pixel grid, however they are seen.

    Attributes
    ----------
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    population : QTable
        From `skygal.population.sample_population`.
    position : ndarray, shape (n, 2)
        Image pixels (x, y).
    jacobian : ndarray, shape (n, 2, 2)
        Pixels per arcsec (east, north) at each.
    plan : Latents
        What each is decoded from.
    model : Generator
        The trained model.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    """

    wcs: WCS
    shape: tuple[int, int]
    population: QTable
    position: np.ndarray
    jacobian: np.ndarray
    plan: Latents
    model: Any
    clip_sigma: float | None

    def __len__(self) -> int:
        return len(self.population)


def make_cast(wcs: WCS, shape: tuple[int, int], population: QTable, *, model: Any, latents: str | np.ndarray,
              clip_sigma: float | None, seeds: Seeds) -> Cast:
    """Give a population its places in an image and in the model's latent space.

    What a source looks like does not depend on who looks.

    Parameters
    ----------
    wcs, shape, population, model, clip_sigma
        See `Cast`.
    latents : str or ndarray
        See `skygal.morphology.latents.sample_latent_values`.
    seeds : Seeds
        The run's random streams.
    """
    ra, dec = population["ra"].to_value(u.deg), population["dec"].to_value(u.deg)
    position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)
    jacobian = pixel_affine(wcs, ra, dec)
    # a stamp that is zoomed down to the size asked for carries a beam that is zoomed down with it
    least = population["las"].to_value(u.arcsec) * (model.beam_fwhm / SHARPEST)
    fr_class = np.asarray(population["fr_class"]).astype(str)
    plan = sample_latents(model, latents, fr_class, sample_keys(seeds, "latent", latents, fr_class),
                        least=least / SIZE_TO_EXTENT)
    return Cast(wcs, shape, population, position, jacobian, plan, model, clip_sigma)
