"""Fields of radio galaxies on a blank sky: composition only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from inspect import signature
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from tqdm import tqdm

from skygal.checks import as_count, as_seed, check_choice, nearest_names, show
from skygal.field import Field
from skygal.io.header_wcs import celestial
from skygal.io.headers import field_header
from skygal.io.provenance import describe_table, make_provenance
from skygal.morphology.checkpoint import load_model
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.latents import check_latents, check_pairs, default_mix
from skygal.morphology.measure import ISOPHOTE
from skygal.observation.noise import read_noise
from skygal.observation.observe import Observation, faintest_flux, observe
from skygal.observation.surveys import Survey, read_survey
from skygal.population import check_faint, counted_to, sample_population
from skygal.rendering.canvas import Canvas
from skygal.scene.cast import make_cast
from skygal.scene.chunks import check_chunks, chunked_planes
from skygal.scene.faint import draw_faint, whole_components, whole_truth
from skygal.scene.galaxies import View, draw_scene
from skygal.scene.recipe import Recipe
from skygal.seeds import Seeds
from skygal.wcs import image_shape, on_sky

__all__ = ["simulate_field", "simulate_fields"]

#: what is put into pixels without a place on the sky
OFF_SKY = {"nan": np.nan, "zero": 0.0}


def simulate_field(wcs: WCS | fits.Header, n_sources: int | None = None, *, shape: tuple[int, int] | None = None,
                   seed: int | None = None, survey: str | PathLike | Survey | None = None, frequency: Any = None,
                   beam: Any = None, noise: Any = None, flux: Any = None, las: Any = None,
                   fr_mix: str | Mapping[str, float] | None = None, spectral_index: Any = None, curvature: Any = None,
                   table: Any = None, faint: Any = None, primary_beam: Any = None, latents: Any = "balanced",
                   clip_sigma: float | None = 3.0, model: Any = None, off_sky: str = "nan", chunks: Any = None,
                   device: str = "cpu", workers: int = 2, progress: bool = False) -> Field:
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
    beam : `~radio_beam.Beam`, Quantity, ndarray, path, Table or callable, optional
        Elliptical Gaussian, FWHM of a circular one, or a PSF image, sidelobes and all: an array or ``.npy`` file on the
        field's pixels, its peak as the source's place, or a FITS file with pixels of its own. Or Gaussians that
        change over the field: a table with columns ra, dec (or x, y), bmaj, bmin, bpa, or a function of (ra, dec).
        By default 3 pixels wide. Axes and angle of one Gaussian for all are those at the image's centre.
    noise : Quantity, str, ndarray, path, HDU or False, optional
        Standard deviation of the noise, Jy/beam; False for none even with a survey. Or a map of it: a FITS image on any
        grid that meets the field's, in the unit of its BUNIT, or an array or Quantity of the field's shape (Jy/beam
        if it has no unit). Where the map is NaN the field is blank, and no source is put there.
    flux : (Quantity, Quantity), Quantity or distribution, optional
        Range of the fluxes, or their faint end, drawn from the source counts; or a distribution
        from `skygal.population`. By default from the noise (of a map, its median; 1 mJy without noise) up, or from
        where ``faint`` ends: see :doc:`/choosing`.
    las : (Quantity, Quantity), Quantity, "mirabest", distribution or relation, optional
        Range of the largest angular sizes, one for all, a distribution, or a relation of size to flux
        and class; by default that of all sources, `skygal.population.WindhorstSizes`, most of which are small.
        "mirabest" has those that can be classified, `skygal.population.MiraBestSizes`.
    fr_mix : "balanced", "survey" or dict, optional
        Equal numbers, the observed mix given the flux, or the share of each class, as
        ``{"FRI": 0.4, "FRII": 0.6}``. By default "balanced" ("survey" with ``latents="prior"``).
    spectral_index : float, (float, float) or distribution, optional
        Of S ~ nu^alpha: one for all, a range, or a distribution.
    curvature : float or distribution, optional
        beta of S ~ nu^(alpha + beta ln(nu / nu0)), nu0 being the (first) frequency; 0 by default.
    table : `~astropy.table.Table` or path, optional
        A population of one's own, with any of the columns ra, dec (or x, y), flux, las, pa,
        fr_class, spectral_index, curvature, redshift; the others are drawn.
    faint : `~astropy.table.Table` or path, optional
        Points, Gaussians and exponential discs in bulk, beside the galaxies: see `skygal.population.check_faint`
        for its columns, and `skygal.population.sample_faint`, which draws such a table.
    primary_beam : PrimaryBeam, Quantity, str, path or HDU, optional
        What sources are weakened by: `skygal.AiryPrimaryBeam`, `skygal.GaussianPrimaryBeam`, a dish's diameter for its
        Airy pattern, or a FITS image of the power pattern. It points at the image's centre unless it says otherwise.
    latents : str or array_like
        "balanced" or "prior" (both N(0, I), the model's own prior), "uniform" (a box of +-4),
        "pairs" (sources 2k and 2k + 1 share latents, one of each class), or an array of shape
        (n_sources, latent_dim). Those further from the origin than sqrt(latent_dim) + 1 are drawn in
        to the shell that the model has learnt (see `Generator.decode`).
    clip_sigma : float or None
        Threshold above the decoder's floor, in its scatter; None leaves the floor in.
    model : str, path or Generator, optional
        A shipped model's name or a weights file.
    off_sky : "nan" or "zero"
        What pixels hold that the projection gives no place on the sky, or that a map of the noise has no value
        for. No source is put there.
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
    view = {"frequency": frequency, "beam": beam, "noise": noise, "primary_beam": primary_beam}
    (field,) = _simulate(wcs, n_sources, [view], shape=shape, seed=seed, survey=survey, flux=flux, las=las,
                         fr_mix=fr_mix, spectral_index=spectral_index, curvature=curvature, table=table,
                         faint=faint, latents=latents, clip_sigma=clip_sigma, model=model, off_sky=off_sky,
                         chunks=chunks, device=device, workers=workers, progress=progress)
    return field


def simulate_fields(wcs: WCS | fits.Header, n_sources: int | None = None, *, frequency: Any, beam: Any = None,
                    noise: Any = None, primary_beam: Any = None, **options: Any) -> list[Field]:
    """Simulate one sky at several frequencies.

    Parameters
    ----------
    wcs, n_sources
        See `simulate_field`.
    frequency : sequence of Quantity
        Observing frequencies. Fluxes, spectral indices and core fractions are drawn for, or given at, the first.
    beam, noise, primary_beam : optional
        As for `simulate_field`: one for all frequencies, or a list of one for each. A primary beam of a
        dish goes as 1 / frequency by itself. Maps of the noise as one array are of shape (n, ny, nx).
    **options
        The other arguments of `simulate_field`.

    Returns
    -------
    list of Field
        One for each frequency, with independent noise. `skygal.write_cube` makes them one file.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed, before any work; the message says what is.

    Notes
    -----
    A source's flux goes as the sum of a flat core and steep lobes, whose indices have the source's own as their mean,
    weighted by flux, at the first frequency; see `skygal.population.Colours`. All else of it stays as it is:
    position, size, shape.

    Examples
    --------
    >>> import skygal
    >>> from astropy import units as u
    >>> wcs = skygal.make_wcs("12h00m00s +30d00m00s", 256, 1.8 * u.arcsec)
    >>> low, high = skygal.simulate_fields(wcs, 5, frequency=[1.4, 3] * u.GHz, beam=5.4 * u.arcsec, seed=1)
    >>> bool((high.truth["flux"] < low.truth["flux"]).all())
    True
    """
    allowed = [name for name in signature(simulate_field).parameters if name not in ("wcs", "n_sources")]
    for name in options:
        if name not in allowed:
            raise TypeError(f"simulate_fields has no argument {name!r}{nearest_names(name, allowed)}")
    frequencies = _one_each("frequency", frequency, None)
    if not frequencies:
        raise ValueError("frequency must be a list of at least one frequency, got an empty one")
    n = len(frequencies)
    given = {"frequency": frequencies, "beam": _one_each("beam", beam, n), "noise": _one_each("noise", noise, n),
             "primary_beam": _one_each("primary_beam", primary_beam, n)}
    views = [{name: values[k] for name, values in given.items()} for k in range(n)]
    defaults = {name: p.default for name, p in signature(simulate_field).parameters.items()
                if name in allowed and name not in given}
    return _simulate(wcs, n_sources, views, **{**defaults, **options})


def _one_each(name: str, value: Any, n: int | None) -> list[Any]:
    """Return a value for each of ``n`` frequencies; with ``n`` None, those that are given."""
    # an array of two dimensions is one PSF image, or one map of the noise
    several = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and (
        value.ndim == 3 or (isinstance(value, u.Quantity) and value.ndim == 1)))
    if not several:
        if n is None:
            raise TypeError(f"{name} must be a list of quantities, got {show(value)}")
        return [value] * n
    if n is not None and len(value) != n:
        raise ValueError(f"{name} must be one for all or one for each of {n} frequencies, got {len(value)}")
    return list(value)


def _simulate(wcs: WCS | fits.Header, n_sources: int | None, views: list[dict[str, Any]], *, shape: Any, seed: Any,
              survey: Any, flux: Any, las: Any, fr_mix: Any, spectral_index: Any, curvature: Any, table: Any,
              faint: Any, latents: Any, clip_sigma: float | None, model: Any, off_sky: str, chunks: Any, device: str,
              workers: int, progress: bool) -> list[Field]:
    sky = celestial(wcs)
    size = sky.array_shape = image_shape(sky, shape)
    seeds = Seeds(as_seed("seed", seed))
    if n_sources is not None:
        n_sources = as_count("n_sources", n_sources)
    workers = as_count("workers", workers, minimum=1)
    check_choice("off_sky", off_sky, tuple(OFF_SKY))
    sides = None if chunks is None else check_chunks(chunks, size)
    known = read_survey(survey) if isinstance(survey, (str, PathLike)) else survey
    if known is not None and not isinstance(known, Survey):
        raise TypeError(f"survey must be a name, a path or a Survey, got {type(survey).__name__}")
    clip_sigma = check_clip_sigma(clip_sigma)
    chosen = check_latents(latents)
    # one map for several frequencies is read and held once
    maps: dict[int, Any] = {id(view["noise"]): view["noise"] for view in views}
    maps = {key: read_noise("noise", noise, sky, size) for key, noise in maps.items()}
    seen = [observe(sky, size, survey=known, **{**view, "noise": maps[id(view["noise"])]}) for view in views]
    valid = on_sky(sky, size)
    visible = [_visible(valid, one) for one in seen]
    # where every map is blank nothing is put
    blanked = [part for part in visible if part is not None and part is not valid]
    mask = np.logical_or.reduce(blanked) if len(blanked) == len(visible) else None
    others = None if faint is None else check_faint(faint, sky)
    faintest, counted = faintest_flux(seen[0].noise), counted_to(others)
    if counted is not None:
        faintest = max(faintest, counted)
    mix = default_mix(chosen) if fr_mix is None else fr_mix
    for one in seen:
        # a WCS that a header cannot hold is refused here, before the work
        field_header(sky, size, beam=one.beam.beam, frequency=one.frequency)
    generator = load_model(model, device=device)
    check_latents(chosen, generator.latent_dim)
    population = sample_population(sky, size, n_sources, seeds=seeds, frequency=seen[0].frequency, flux=flux, las=las,
                                   fr_mix=mix, spectral_index=spectral_index, curvature=curvature, table=table,
                                   faintest=faintest, counted=counted, mask=mask)
    n = len(population)
    check_latents(chosen, generator.latent_dim, n)
    check_pairs(chosen, np.asarray(population["fr_class"]))
    cast = make_cast(sky, size, population, model=generator, latents=chosen, clip_sigma=clip_sigma, seeds=seeds)
    configuration = {"command": "simulate_field", "n_sources": n, "shape": size,
                     "survey": known.name if known is not None else None, "reference_frequency": seen[0].frequency,
                     "flux": faintest if flux is None else flux, "las": las, "fr_mix": mix,
                     "spectral_index": spectral_index, "curvature": curvature, "table": describe_table(table),
                     "faint": describe_table(faint), "latents": chosen, "clip_sigma": clip_sigma, "off_sky": off_sky,
                     "isophote": ISOPHOTE}
    fields = []
    for channel, (one, valid) in enumerate(zip(seen, visible, strict=True)):
        view = partial(_view, seen=one, ratio=float(one.frequency / seen[0].frequency), valid=valid)
        canvas = None if sides is not None else Canvas((0, size[0], 0, size[1]), size, one.beam, valid)
        with tqdm(total=n, desc="sources", disable=not progress, delay=2) as bar:
            scene = draw_scene(cast, view(population), progress=bar.update, canvas=canvas, device=device)
        weak = None
        if others is not None:
            weak = draw_faint(others, sky, size, view(others), taken=np.asarray(population["source_id"]))
            if canvas is not None:
                weak.faint.add_to(canvas)
        noise = one.noise if one.noise_map is None else one.noise_map.values
        recipe = Recipe(size, one.beam, noise, seeds, channel, clip_sigma, scene.placements,
                        faint=None if weak is None else weak.faint, blank=None if valid is None else ~valid,
                        fill=OFF_SKY[off_sky], device=device)
        planes = _planes(recipe, canvas, generator, sides, workers, progress)
        provenance = make_provenance(
            seed=seeds.seed, model=generator.name, model_sha256=generator.sha256, frequency=one.frequency,
            configuration={**configuration, "frequency": one.frequency, "channel": channel, "beam": one.beam.beam,
                           "psf": one.beam.psf, "noise": one.told_noise(), "primary_beam": one.primary_beam})
        header = field_header(sky, size, beam=one.beam.beam, frequency=one.frequency, provenance=provenance)
        fields.append(Field.assemble(sky, planes["image"], planes["model"], planes["segmentation"],
                                     whole_truth(scene, weak), whole_components(scene, weak), header, provenance))
    return fields


def _view(sources: QTable, seen: Observation, ratio: float, valid: np.ndarray | None) -> View:
    """Return how sources are seen at one frequency."""
    place = sources["ra"].to_value(u.deg), sources["dec"].to_value(u.deg)
    return View(seen.beam, seen.rms(*place), ratio, seen.gain(*place), valid)


def _visible(sky: np.ndarray | None, seen: Observation) -> np.ndarray | None:
    """Return which pixels are on the sky and have noise of a known size, None if all do."""
    blank = None if seen.noise_map is None else seen.noise_map.blank()
    if blank is None:
        return sky
    visible = ~blank if sky is None else sky & ~blank
    if not visible.any():
        raise ValueError("noise map must have values where the field is on the sky, got none")
    return visible


def _planes(recipe: Recipe, canvas: Canvas | None, model: Any, sides: Any, workers: int, progress: bool) -> Any:
    """Return image, model and segmentation by name: those on the canvas, or lazy ones."""
    if canvas is None:
        return chunked_planes(recipe, model, sides)
    ny, nx = recipe.shape
    with tqdm(total=ny * nx, desc="noise", unit="pixel", unit_scale=True, disable=not progress, delay=2) as bar:
        image, drawn = recipe.observe((0, ny, 0, nx), canvas.model(), workers=workers, progress=bar.update)
    return {"image": image, "model": drawn, "segmentation": canvas.segmentation}
