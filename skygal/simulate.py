"""Fields of radio galaxies on a blank sky: composition only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from radio_beam import Beam

from skygal import settings
from skygal.checks import check_choice, nearest_names, show
from skygal.field import Field
from skygal.io.header_wcs import celestial
from skygal.io.headers import field_header
from skygal.io.provenance import make_provenance
from skygal.morphology.measure import ISOPHOTE
from skygal.observation.frame import Frame
from skygal.observation.noise import NoiseMap
from skygal.observation.observe import make_frames, sharpest_beam
from skygal.observation.surveys import Survey, read_survey
from skygal.scene.compose import Made, make_images, sample_sky
from skygal.scene.ground import NoiseGround
from skygal.seeds import Seeds
from skygal.settings import Morphology, Population, Run, View, join_views
from skygal.wcs import image_shape

__all__ = ["iter_fields", "simulate_field", "simulate_fields"]

#: what is put into pixels without a place on the sky
OFF_SKY = {"nan": np.nan, "zero": 0.0}


def simulate_field(wcs: WCS | fits.Header, n_sources: int | None = None, *, shape: tuple[int, int] | None = None,
                   seed: int | None = None, survey: str | PathLike | Survey | None = None,
                   frequency: u.Quantity | str | None = None, beam: settings.BeamLike | None = None,
                   psf: settings.ImageLike | None = None, noise: settings.NoiseLike | None = None,
                   flux: settings.FluxLike | None = None, las: settings.SizeLike | None = None,
                   fr_mix: str | Mapping[str, float] | None = None, spectral_index: settings.NumberLike | None = None,
                   curvature: settings.NumberLike | None = None, table: settings.TableLike | None = None,
                   faint: settings.TableLike | None = None, sky: settings.SkyLike | None = None,
                   clustering: settings.ClusteringLike | None = None,
                   primary_beam: settings.PrimaryBeamLike | None = None, latents: settings.LatentsLike = "balanced",
                   bending: settings.RangeLike | None = None, clip_sigma: float | None = 3.0,
                   model: settings.ModelLike | None = None, off_sky: str = "nan",
                   chunks: settings.ChunksLike | None = None, device: str = "cpu", workers: int = 2,
                   progress: bool = False) -> Field:
    """Simulate a field of resolved radio galaxies, with its truth.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`
        Any WCS with a celestial pair of axes, 4-d radio headers included.
    n_sources : int, optional
        Number of sources. By default it is drawn from the source counts, the flux range and the
        image's solid angle, or is the length of ``table``. Without it and any other argument that says which
        sources there are, the field shows the whole radio sky, see ``sky``.
    shape : (int, int), optional
        (ny, nx); by default that of the WCS.
    seed : int, optional
        The same seed gives the same image and truth. By default a fresh one, recorded in truth.
    survey : str, path or Survey, optional
        Named survey (see `skygal.list_surveys`), or a YAML file of one, whose frequency, beam and noise are used where
        they are not given.
    frequency : Quantity, optional
        Observing frequency; 1.4 GHz if neither it nor a survey is given.
    beam : `~radio_beam.Beam`, Quantity, str, path, Table or callable, optional
        Elliptical Gaussian, FWHM of a circular one, or either in words, "6x5arcsec,30deg". Or Gaussians that
        change over the field: a table with columns ra, dec (or x, y), bmaj, bmin, bpa, or a function of (ra, dec).
        By default 3 pixels wide. Axes and angle of one Gaussian for all are those at the image's centre.
    psf : ndarray or path, optional
        Instead of a beam, a PSF image, sidelobes and all: an array or ``.npy`` file on the field's pixels, its peak as
        the source's place, or a FITS file with pixels of its own.
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
        Equal numbers of FRIs and FRIIs, the observed mix given the flux, or the share of each class that the model
        knows, as ``{"FRI": 0.3, "FRII": 0.6, "hybrid": 0.1}``. By default "balanced" ("survey" with
        ``latents="prior"``).
    spectral_index : float, (float, float) or distribution, optional
        Of S ~ nu^alpha: one for all, a range, or a distribution.
    curvature : float or distribution, optional
        beta of S ~ nu^(alpha + beta ln(nu / nu0)), nu0 being the (first) frequency; 0 by default.
    sky : str, path, `skygal.population.Sky` or `~astropy.table.Table`, optional
        The whole radio sky down to the noise, or to ``flux``: star-forming galaxies, radio-quiet and compact AGN, FRIs
        and FRIIs, with their counts, sizes, spectra and redshifts. FRIs and FRIIs that the beam resolves are drawn by
        the model, the others as points, Gaussians and discs. "default", "sdc1" or a YAML file, see :doc:`/sky`.
        Or a catalogue, see :doc:`/catalogues`, of which the sources in and near the image are taken.
    clustering : bool or `skygal.population.Clustering`, optional
        Whether the sources of a sky cluster; by default they do not.
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
    bending : (Quantity, Quantity), optional
        Least and largest bending of each source, 0 to 180 degrees; None for either end leaves it open.
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
    Quantities may be given in words, ``noise="0.15 mJy"``, ranges as pairs of these or ``flux="1 mJy, 1 Jy"``.

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
    given = dict(locals())
    return next(_simulate([View.of(given).given()], given))


def simulate_fields(wcs: WCS | fits.Header | Sequence[WCS | fits.Header], n_sources: int | None = None, *,
                    frequency: Any, beam: Any = None, psf: Any = None, noise: Any = None, primary_beam: Any = None,
                    **options: Any) -> list[Field]:
    """Simulate one sky at several frequencies.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`, `~astropy.io.fits.Header` or a sequence of them
        One grid for all, or one for each frequency, of any pixels and sizes. Sources are drawn in the first, which
        should hold the others: beyond it there are none.
    n_sources
        See `simulate_field`.
    frequency : sequence of Quantity
        Observing frequencies. Fluxes, spectral indices and core fractions are drawn for, or given at, the first.
    beam, psf, noise, primary_beam : optional
        As for `simulate_field`: one for all frequencies, or a list of one for each. A primary beam of a
        dish goes as 1 / frequency by itself. PSF images and maps of the noise as one array are of shape (n, ny, nx).
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
    return list(iter_fields(wcs, n_sources, frequency=frequency, beam=beam, psf=psf, noise=noise,
                            primary_beam=primary_beam, **options))


def iter_fields(wcs: WCS | fits.Header | Sequence[WCS | fits.Header], n_sources: int | None = None, *,
                frequency: Any, beam: Any = None, psf: Any = None, noise: Any = None, primary_beam: Any = None,
                only: Collection[int] | None = None, **options: Any) -> Iterator[Field]:
    """Simulate the fields of `simulate_fields` one at a time, so that one need not wait for another, nor hold it.

    Parameters
    ----------
    wcs, n_sources, frequency, beam, psf, noise, primary_beam, **options
        See `simulate_fields`.
    only : collection of int, optional
        Which of the fields to make, by their numbers from 0; all of them by default. They are the same as among all.

    Yields
    ------
    Field

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed, before any work; the message says what is.
    """
    known = signature(simulate_field).parameters
    allowed = [name for name in known if name not in ("wcs", "n_sources")]
    for name in options:
        if name not in allowed:
            raise TypeError(f"simulate_fields has no argument {name!r}{nearest_names(name, allowed)}")
    views = View.of_each({"frequency": frequency, "beam": beam, "psf": psf, "noise": noise,
                          "primary_beam": primary_beam})
    if isinstance(wcs, (list, tuple)) and len(wcs) != len(views):
        raise ValueError(f"wcs must be one for all or one for each of {len(views)} frequencies, got {len(wcs)}")
    for number in only or ():
        if number not in range(len(views)):
            raise ValueError(f"only must be numbers of fields, 0 to {len(views) - 1}, got {show(number)}")
    given = {**{name: one.default for name, one in known.items()}, **options, "wcs": wcs, "n_sources": n_sources}
    return _simulate(views, given, only)


def _simulate(views: list[dict[str, Any]], given: Mapping[str, Any], only: Collection[int] | None = None
              ) -> Iterator[Field]:
    """Return the fields of the views, of the other arguments of `simulate_field` by name."""
    several = isinstance(given["wcs"], (list, tuple))
    grids = _grids(given["wcs"] if several else [given["wcs"]], given["shape"])
    population, morphology, run = Population.of(given), Morphology.of(given), Run.of(given)
    runs = [run.checked(size) for _, size in grids] * (1 if several else len(views))
    run = runs[0]
    if population.is_left_open():
        population = replace(population, sky="default")
    seeds = Seeds(run.seed)
    check_choice("off_sky", given["off_sky"], tuple(OFF_SKY))
    survey = read_survey(given["survey"]) if isinstance(given["survey"], (str, PathLike)) else given["survey"]
    if survey is not None and not isinstance(survey, Survey):
        raise TypeError(f"survey must be a name, a path or a Survey, got {type(survey).__name__}")
    seen = [make_frames(*grid, [view], survey) for grid, view in zip(grids, views, strict=True)] if several else \
        [make_frames(*grids[0], views, survey)]
    noises = [noise for _, part in seen for noise in part]
    frames = _shared([frame for part, _ in seen for frame in part],
                     [(*grid, view) for grid, view in zip(grids * (1 if several else len(views)), views, strict=True)])
    grounds = [NoiseGround(frame.beam, noise, seeds, channel, OFF_SKY[given["off_sky"]])
               for channel, (frame, noise) in enumerate(zip(frames, noises, strict=True))]
    # where every map of the first grid is blank nothing is put
    here = slice(1) if several else slice(None)
    blank = [frame.valid for frame, noise in zip(frames[here], noises[here], strict=True) if frame.valid is not None
             and isinstance(noise, NoiseMap) and noise.blank() is not None]
    mask = np.logical_or.reduce(blank) if len(blank) == len(frames[here]) else None
    sources = sample_sky(frames[0], population, morphology, noise=grounds[0].level, seeds=seeds, mask=mask,
                         sharpest=sharpest_beam(frames), device=run.device)
    # of the frames it has been seen that headers can hold their grids
    headers = [field_header(*grid, beam=None, frequency=frames[0].frequency, check=False) for grid in grids]
    asked = {"wcs": headers if several else headers[0], "survey": given["survey"], "off_sky": given["off_sky"],
             **join_views(views), **population.given(), **morphology.given()}
    options, inputs = settings.spell(asked)

    def finish(channel: int, made: Made) -> Field:
        frame = frames[channel]
        resolved = {"command": "simulate_field", "shape": frame.shape,
                    "survey": survey.name if survey is not None else None,
                    "reference_frequency": frames[0].frequency, **sources.settings, "off_sky": given["off_sky"],
                    "isophote": ISOPHOTE, "channel": channel, **frame.given(), "noise": grounds[channel].told()}
        provenance = make_provenance(seed=seeds.seed, model=sources.galaxies.model, frequency=frame.frequency,
                                     configuration=resolved, options=options)
        header = field_header(frame.wcs, frame.shape, beam=frame.beam.beam, frequency=frame.frequency,
                              provenance=provenance, check=False)
        return Field.assemble(frame.wcs, *made, header, provenance, inputs)

    chosen = range(len(views)) if only is None else sorted(set(only))
    images = make_images(sources, [(frames[k], grounds[k]) for k in chosen], [runs[k] for k in chosen])
    return (finish(channel, made) for channel, made in zip(chosen, images, strict=True))


def _shared(frames: list[Frame], seen: Sequence[tuple[WCS, tuple[int, int], Mapping[str, Any]]]) -> list[Frame]:
    """Return frames, of which those next to each other that differ in nothing are one, and are drawn once.

    They are of the grid and the settings, ``seen``, of each.
    """
    out: list[Frame] = []
    for k, frame in enumerate(frames):
        if k and _is_same(seen[k - 1], seen[k]) and (frame.valid is out[-1].valid or (
                frame.valid is not None and out[-1].valid is not None and np.array_equal(frame.valid, out[-1].valid))):
            frame = out[-1]
        out.append(frame)
    return out


def _is_same(one: tuple[WCS, tuple[int, int], Mapping[str, Any]], other: tuple[WCS, tuple[int, int], Mapping[str, Any]]
             ) -> bool:
    """Return whether two views are of one grid, and differ at most in their noise, as far as is plain to see."""
    if one[0] is not other[0] or one[1] != other[1]:
        return False
    pairs = [(one[2][name], other[2][name]) for name in one[2] if name != "noise"]
    return all(a is b or (type(a) is type(b) and isinstance(a, (str, float, Beam)) and a == b) or
               (isinstance(a, u.Quantity) and isinstance(b, u.Quantity) and a.isscalar and b.isscalar and a == b)
               for a, b in pairs)


def _grids(wcs: Sequence[Any], shape: Any) -> list[tuple[WCS, tuple[int, int]]]:
    """Return the grids of several fields; of one that is given again it is the same one."""
    known = {id(one): one for one in wcs}
    grids = {key: _grid(one, shape) for key, one in known.items()}
    return [grids[id(one)] for one in wcs]


def _grid(wcs: Any, shape: Any) -> tuple[WCS, tuple[int, int]]:
    """Return the celestial WCS of a field and its (ny, nx)."""
    sky = celestial(wcs)
    size = sky.array_shape = image_shape(sky, shape)
    return sky, size
