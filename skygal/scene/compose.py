"""The composition: one sky in each of several images, from what was asked for to pixels and truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table
from tqdm import tqdm

from skygal.checks import open_range, show
from skygal.morphology.checkpoint import shared_model
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.galaxies import Galaxies, sample_galaxies
from skygal.morphology.latents import check_latents, check_pairs, default_mix
from skygal.observation.frame import Frame
from skygal.population import check_faint, counted_to, sample_population
from skygal.population.catalogues import is_catalogue
from skygal.population.sky_tables import sky_tables
from skygal.rendering.canvas import Canvas
from skygal.scene.chunks import chunked_planes
from skygal.scene.faint import place_faint
from skygal.scene.galaxies import place_stamps
from skygal.scene.ground import Ground
from skygal.scene.layer import Layer, components_of, truth_of
from skygal.scene.scene import Scene
from skygal.seeds import Seeds
from skygal.settings import Morphology, Population, Run, faintest_flux

__all__ = ["Made", "SampledSky", "make_images", "sample_sky"]


@dataclass(frozen=True, eq=False)
class SampledSky:
    """The sources of a run, before they are seen.

    Attributes
    ----------
    galaxies : Galaxies
        Those that the model decodes.
    faint : QTable or None
        Those by formula, from `skygal.population.check_faint`.
    settings : dict
        What they were drawn with: the settings of population and morphology, with what was not given filled in.
    frequency : Quantity
        That of their fluxes.
    """

    galaxies: Galaxies
    faint: QTable | None
    settings: dict[str, Any]
    frequency: u.Quantity


class Made(NamedTuple):
    """An image: its pixels, in memory or lazy, and the columns of its truth and components."""

    image: Any
    model: Any
    segmentation: Any
    truth: dict[str, np.ndarray]
    components: dict[str, np.ndarray]


def sample_sky(frame: Frame, population: Population, morphology: Morphology, *, noise: float, seeds: Seeds,
               mask: np.ndarray | None = None, sharpest: Any = None, device: str = "cpu") -> SampledSky:
    """Draw the sources of a run.

    Parameters
    ----------
    frame : Frame
        The image in which fluxes are as asked for.
    population, morphology : Population, Morphology
        What is asked for.
    noise : float
        Of that image, Jy/beam: where fluxes begin by default.
    seeds : Seeds
        The run's random streams.
    mask : ndarray of bool, shape (ny, nx), optional
        Where sources may be.
    sharpest : `~radio_beam.Beam`, optional
        The sharpest beam of all images, by which it is decided which sources of a whole sky the model draws.
    device : str
        "cpu" or "cuda", for the model.

    Raises
    ------
    TypeError, ValueError
        For a setting that is not allowed.
    """
    if population.clustering is not None and population.sky is None:
        raise ValueError("clustering must be left out where there is no sky, got " + show(population.clustering))
    if isinstance(population.n_sources, (Table, str, PathLike)):
        kind = type(population.n_sources).__name__
        raise TypeError(f"n_sources must be a whole number, got a {kind}: give it as table")
    latents, clip_sigma = check_latents(morphology.latents), check_clip_sigma(morphology.clip_sigma)
    bending = open_range("bending", morphology.bending, u.rad, np.pi)
    if morphology.bending is not None and (isinstance(latents, np.ndarray) or latents == "pairs"):
        raise ValueError(f"bending must be left out with latents that are given or paired, got {morphology.bending}")
    faintest = faintest_flux(noise)
    asked = population
    if population.sky is not None:
        population = _from_sky(frame, population, faintest, seeds, mask,
                               frame.beam.beam if sharpest is None else sharpest)
    faint = None if population.faint is None else check_faint(population.faint, frame.wcs)
    counted = counted_to(faint)
    if counted is not None:
        faintest = max(faintest, counted)
    mix = default_mix(latents) if population.fr_mix is None else population.fr_mix
    model = shared_model(morphology.model, device=device)
    check_latents(latents, model.latent_dim)
    drawn = sample_population(frame.wcs, frame.shape, population.n_sources, seeds=seeds, frequency=frame.frequency,
                              flux=population.flux, las=population.las, fr_mix=mix, classes=tuple(model.classes),
                              spectral_index=population.spectral_index, curvature=population.curvature,
                              table=population.table, faintest=faintest, counted=counted, mask=mask)
    check_latents(latents, model.latent_dim, len(drawn))
    check_pairs(latents, np.asarray(drawn["fr_class"]))
    galaxies = sample_galaxies(drawn, model=model, latents=latents, clip_sigma=clip_sigma, seeds=seeds,
                              bending=bending)
    n = len(drawn) + (0 if asked.sky is None or faint is None else len(np.unique(np.asarray(faint["parent_id"]))))
    settings = {**asked.given(), **morphology.given(), "n_sources": n, "latents": latents,
                "fr_mix": mix if asked.sky is None else None,
                "flux": faintest if asked.flux is None and not is_catalogue(asked.sky) else asked.flux}
    return SampledSky(galaxies, faint, settings, frame.frequency)


def _from_sky(frame: Frame, population: Population, faintest: u.Quantity, seeds: Seeds, mask: np.ndarray | None,
              beam: Any) -> Population:
    """Return the settings that have the sources of a whole sky as tables: those the model draws, and all others."""
    others = ("table", "faint", "las", "fr_mix", "spectral_index", "curvature")
    for name in (*others, "n_sources", "flux", "clustering") if is_catalogue(population.sky) else others:
        if getattr(population, name) is not None:
            raise ValueError(f"{name} must be left out where sky is given, which has its own, got "
                             f"{show(getattr(population, name))}")
    table, faint = sky_tables(population.sky, frame.wcs, frame.shape, beam, seeds=seeds, frequency=frame.frequency,
                              flux=faintest if population.flux is None else population.flux, mask=mask,
                              n=population.n_sources, clustering=population.clustering, widest=frame.beam.beam.major)
    return replace(population, n_sources=None, flux=None, table=table, faint=faint)


def make_images(sky: SampledSky, views: Sequence[tuple[Frame, Ground]], runs: Sequence[Run]) -> Iterator[Made]:
    """Make an image of the sky in each frame, over its ground.

    Parameters
    ----------
    sky : SampledSky
        From `sample_sky`.
    views : sequence of (Frame, Ground)
        On any grids.
    runs : sequence of Run
        How each is made, from `Run.checked`.

    Yields
    ------
    Made

    Notes
    -----
    In views next to each other that have the same frame, and so differ in their ground alone, the sources are drawn
    and measured once. The pixels of the model are then one array.
    """
    for _, same in groupby(zip(views, runs, strict=True), key=lambda one: id(one[0][0])):
        seen, made = zip(*same, strict=True)
        # in a function of its own: what it takes to make images is gone while the caller has the last one
        yield from _make_depths(sky, seen[0][0], [ground for _, ground in seen], made[0])


def _make_depths(sky: SampledSky, frame: Frame, grounds: Sequence[Ground], run: Run) -> Iterator[Made]:
    """Yield an image over each ground."""
    canvas = None if run.chunks is not None else Scene.of(frame, grounds, ()).canvas(frame.window)
    layers = _place(sky, frame, _rms(grounds, sky.galaxies.population),
                    None if sky.faint is None else _rms(grounds, sky.faint), run, canvas)
    components = components_of(layers)
    truths = _truths(layers, frame.shape, len(grounds), run)
    if canvas is None:
        lazy = chunked_planes(Scene.of(frame, grounds, layers), run.chunks, device=run.device)
        del layers
        for planes in lazy:
            yield Made(*planes, next(truths), components)
        return
    drawn, segmentations, (ny, nx) = canvas.model(), canvas.segmentations, frame.shape
    del layers, canvas
    for ground, segmentation in zip(grounds, segmentations, strict=True):
        truth = next(truths)
        with tqdm(total=ny * nx, desc="noise", unit="pixel", unit_scale=True, disable=not run.progress, delay=2) as bar:
            image, model = ground.under(frame.window, drawn, frame.valid, workers=run.workers, progress=bar.update)
        yield Made(image, model, segmentation, truth, components)


def _truths(layers: Sequence[Layer], shape: tuple[int, int], depths: int, run: Run
            ) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of truth at each depth, one at a time, and keep no layer longer than that takes."""
    for depth in range(depths):
        truth = truth_of(layers, shape, depth=depth, workers=run.workers)
        if depth == depths - 1:
            layers = ()
        yield truth


def _place(sky: SampledSky, frame: Frame, rms: np.ndarray, rms_faint: np.ndarray | None, run: Run,
           canvas: Canvas | None) -> tuple[Layer, ...]:
    """Return the sources placed and measured; add them to the canvas, if there is one."""
    ratio = float(frame.frequency / sky.frequency)
    with tqdm(total=len(sky.galaxies), desc="sources", disable=not run.progress, delay=2) as bar:
        galaxies = place_stamps(sky.galaxies, frame, rms, ratio=ratio, progress=bar.update, canvas=canvas,
                                device=run.device)
    if sky.faint is None or rms_faint is None:
        return (galaxies,)
    faint = place_faint(sky.faint, frame, rms_faint, ratio=ratio, taken=galaxies.places.labels, workers=run.workers)
    if canvas is not None:
        faint.draw(canvas)
    return galaxies, faint


def _rms(grounds: Sequence[Ground], sources: QTable) -> np.ndarray:
    """Return the noise at each source, over each ground, shape (depths, n)."""
    place = sources["ra"].to_value(u.deg), sources["dec"].to_value(u.deg)
    return np.stack([ground.rms_at(*place) for ground in grounds])
