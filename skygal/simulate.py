"""A field of radio galaxies on a blank sky: composition only."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from tqdm import tqdm

from skygal.checks import as_count, as_seed
from skygal.chunked import check_chunks, chunked_planes
from skygal.field import Field
from skygal.headers import field_header
from skygal.morphology.checkpoint import load_model
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.latents import check_latents, check_pairs, default_mix
from skygal.morphology.measure import ISOPHOTE
from skygal.observation import faintest_flux, observe
from skygal.population import sample_population
from skygal.provenance import describe_table, make_provenance
from skygal.rendering.canvas import Canvas
from skygal.scene import View, draw_scene, make_cast
from skygal.seeds import Seeds
from skygal.sky import celestial, image_shape
from skygal.surveys import Survey, read_survey
from skygal.tiles import Recipe

__all__ = ["simulate_field"]


def simulate_field(wcs: WCS | fits.Header, n_sources: int | None = None, *, shape: tuple[int, int] | None = None,
                   seed: int | None = None, survey: str | PathLike | Survey | None = None, frequency: Any = None,
                   beam: Any = None, noise: Any = None, flux: Any = None, las: Any = None,
                   fr_mix: str | Mapping[str, float] | None = None, spectral_index: Any = None, table: Any = None,
                   latents: Any = "balanced", clip_sigma: float | None = 3.0, model: Any = None,
                   chunks: Any = None, device: str = "cpu", workers: int = 2, progress: bool = False) -> Field:
    """Simulate a field of resolved radio galaxies, with its truth.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`
        Any WCS with a celestial pair of axes, 4-d radio headers included.
    n_sources : int, optional
        Number of sources. By default it is drawn from the source counts, the flux range and the
        image's solid angle, or is the length of ``table``.
    shape : (int, int), optional
        (ny, nx); by default that of the WCS.
    seed : int, optional
        The same seed gives the same image and truth. By default a fresh one, recorded in truth.
    survey : str, path or Survey, optional
        Named survey (see `skygal.list_surveys`), or a YAML file of one, whose frequency, beam and noise are used where
        they are not given.
    frequency : Quantity, optional
        Observing frequency; 1.4 GHz if neither it nor a survey is given.
    beam : `~radio_beam.Beam`, Quantity, ndarray or path, optional
        Elliptical Gaussian, FWHM of a circular one, or a PSF image (an array, or a FITS or ``.npy``
        file) on the pixels of the field with its peak as the source's place. By default 3 pixels
        wide. It is the same on all of the grid, and a Gaussian's axes and angle are those at the
        image's centre.
    noise : Quantity or False, optional
        Standard deviation of the noise, Jy/beam; False for none even with a survey.
    flux : (Quantity, Quantity), Quantity or distribution, optional
        Range of the fluxes, or their faint end, drawn from the source counts; or a distribution
        from `skygal.population`. By default from 20 times the noise (1 mJy without noise) up.
    las : (Quantity, Quantity), Quantity, distribution or relation, optional
        Range of the largest angular sizes, one for all, a distribution, or a relation of size to flux
        and class; by default `skygal.population.MiraBestSizes`.
    fr_mix : "balanced", "survey" or dict, optional
        Equal numbers, the observed mix given the flux, or the share of each class, as
        ``{"FRI": 0.4, "FRII": 0.6}``. By default "balanced" ("survey" with ``latents="prior"``).
    spectral_index : float, (float, float) or distribution, optional
        Of S ~ nu^alpha: one for all, a range, or a distribution.
    table : `~astropy.table.Table` or path, optional
        A population of one's own, with any of the columns ra, dec (or x, y), flux, las, pa,
        fr_class, spectral_index, redshift; the others are drawn.
    latents : str or array_like
        "balanced" or "prior" (both N(0, I), the model's own prior), "uniform" (a box of +-4),
        "pairs" (sources 2k and 2k + 1 share latents, one of each class), or an array of shape
        (n_sources, latent_dim). Those further from the origin than sqrt(latent_dim) + 1 are drawn in
        to the shell that the model has learnt (see `Generator.decode`).
    clip_sigma : float or None
        Threshold above the decoder's floor, in its scatter; None leaves the floor in.
    model : str, path or Generator, optional
        A shipped model's name or a weights file.
    chunks : int or (int, int), optional
        Sides of chunks, in rows and columns: image, model and segmentation are then lazy Dask arrays, whose
        pixels are made, chunk by chunk, when they are asked for or written, by any of Dask's schedulers.
        The pixels are the same. By default they are made at once, in memory.
    device : str
        "cpu" or "cuda", for decoding and drawing.
    workers : int
        Threads for the noise. The result does not depend on their number.
    progress : bool
        Whether to show progress.

    Returns
    -------
    Field

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed, before any work; the message says what is.

    Notes
    -----
    Fluxes are integrated: the noiseless model sums, over the beam's area in pixels, to the sum of
    ``flux_in_image``. An unresolved source of S Jy peaks at S Jy/beam.

    Examples
    --------
    >>> import skygal
    >>> from astropy import units as u
    >>> wcs = skygal.make_wcs("12h00m00s +30d00m00s", 256, 1.8 * u.arcsec)
    >>> field = skygal.simulate_field(wcs, 5, survey="FIRST", seed=1)
    >>> field.image.shape, len(field.truth)
    ((256, 256), 5)
    """
    sky = celestial(wcs)
    size = image_shape(sky, shape)
    seeds = Seeds(as_seed("seed", seed))
    if n_sources is not None:
        n_sources = as_count("n_sources", n_sources)
    workers = as_count("workers", workers, minimum=1)
    sides = None if chunks is None else check_chunks(chunks, size)
    known = read_survey(survey) if isinstance(survey, (str, PathLike)) else survey
    if known is not None and not isinstance(known, Survey):
        raise TypeError(f"survey must be a name, a path or a Survey, got {type(survey).__name__}")
    clip_sigma = check_clip_sigma(clip_sigma)
    chosen = check_latents(latents)
    seen = observe(sky, size, survey=known, frequency=frequency, beam=beam, noise=noise)
    faintest = faintest_flux(seen.noise)
    mix = default_mix(chosen) if fr_mix is None else fr_mix
    generator = load_model(model, device=device)
    check_latents(chosen, generator.latent_dim)
    # a WCS that a header cannot hold is refused here, before the work
    field_header(sky, size, beam=seen.beam.beam, frequency=seen.frequency)
    population = sample_population(sky, size, n_sources, seeds=seeds, frequency=seen.frequency, flux=flux, las=las,
                                   fr_mix=mix, spectral_index=spectral_index, table=table, faintest=faintest)
    check_latents(chosen, generator.latent_dim, len(population))
    check_pairs(chosen, np.asarray(population["fr_class"]))
    cast = make_cast(sky, size, population, [seen.beam], model=generator, latents=chosen, clip_sigma=clip_sigma,
                     seeds=seeds)
    window = (0, size[0], 0, size[1])
    canvas = Canvas(window, size, seen.beam) if sides is None else None
    with tqdm(total=len(population), desc="sources", disable=not progress, delay=2) as bar:
        scene = draw_scene(cast, View(seen.beam, np.full(len(population), seen.noise)), progress=bar.update,
                           canvas=canvas, device=device)
    recipe = Recipe(size, seen.beam, seen.noise, seeds, clip_sigma, scene.placements, device)
    planes: Any
    if canvas is None:
        assert sides is not None
        planes = chunked_planes(recipe, generator, sides)
    else:
        with tqdm(total=size[0] * size[1], desc="noise", unit="pixel", unit_scale=True, disable=not progress,
                  delay=2) as bar:
            drawn = canvas.model()
            planes = {"image": recipe.observe(window, drawn, workers=workers, progress=bar.update), "model": drawn,
                      "segmentation": canvas.segmentation}
    provenance = make_provenance(
        seed=seeds.seed, model=generator.name, model_sha256=generator.sha256, frequency=seen.frequency,
        configuration={"command": "simulate_field", "n_sources": len(population), "shape": size,
                       "survey": known.name if known is not None else None, "frequency": seen.frequency,
                       "beam": seen.beam.beam, "psf": seen.beam.psf, "noise": seen.noise * u.Jy / u.beam,
                       "flux": faintest if flux is None else flux, "las": las, "fr_mix": mix,
                       "spectral_index": spectral_index, "table": describe_table(table),
                       "latents": chosen, "clip_sigma": clip_sigma, "isophote": ISOPHOTE})
    header = field_header(sky, size, beam=seen.beam.beam, frequency=seen.frequency, provenance=provenance)
    return Field.assemble(sky, planes["image"], planes["model"], planes["segmentation"], scene, header, provenance)
