"""Synthetic radio galaxies in an image that exists: composition only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from skygal import settings
from skygal.checks import as_quantity, nearest_names, show, warn_caller
from skygal.field import Field
from skygal.io.given_image import as_image, header_upon
from skygal.io.images import SkyImage
from skygal.io.provenance import make_provenance, write_provenance
from skygal.io.words import parse_hdu
from skygal.morphology.measure import ISOPHOTE
from skygal.observation.brightness import BrightnessScale, is_per_beam
from skygal.observation.frame import Frame
from skygal.observation.image_noise import given_noise, shown_noise
from skygal.observation.noise import NoiseMap, as_rms, read_noise
from skygal.observation.observe import frame_of_image, sharpest_beam
from skygal.population import Distribution
from skygal.scene.compose import make_images, sample_sky
from skygal.scene.ground import ImageGround
from skygal.seeds import Seeds
from skygal.settings import Morphology, Population, Run, View, join_views

__all__ = ["inject", "inject_fields"]


def inject(image: Any, n_sources: int | None = None, *, wcs: WCS | fits.Header | None = None,
           hdu: int | str | None = None, seed: int | None = None, frequency: u.Quantity | str | None = None,
           beam: settings.BeamLike | None = None, psf: settings.ImageLike | None = None,
           unit: u.UnitBase | str | None = None, noise: settings.NoiseLike | None = None,
           flux: settings.FluxLike | None = None, las: settings.SizeLike | None = None,
           fr_mix: str | Mapping[str, float] | None = None, spectral_index: settings.NumberLike | None = None,
           curvature: settings.NumberLike | None = None, table: settings.TableLike | None = None,
           faint: settings.TableLike | None = None, sky: settings.SkyLike | None = None,
           clustering: settings.ClusteringLike | None = None, primary_beam: settings.PrimaryBeamLike | None = None,
           latents: settings.LatentsLike = "balanced", bending: settings.RangeLike | None = None,
           clip_sigma: float | None = 3.0, model: settings.ModelLike | None = None,
           chunks: settings.ChunksLike | None = None, device: str = "cpu", workers: int = 2,
           progress: bool = False) -> Field:
    """Inject synthetic radio galaxies into an existing image.

    The image itself, file or array, is not changed.

    Parameters
    ----------
    image : path, HDU or ndarray
        A FITS file, an image HDU, or an array of shape (ny, nx) with its ``wcs``. Blank pixels (NaN, or a
        constant that stands for nothing, see `skygal.observation.blank.blank_pixels`) stay as they are and no source is
        centred on them; so do pixels without a place on the sky.
    n_sources : int, optional
        Number of sources. By default it is drawn from the source counts, the flux range and the solid angle that is not
        blank, or is the length of ``table``.
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`, optional
        For an array; a header brings its beam, unit and frequency along.
    hdu : int or str, optional
        Which HDU of a file, by number or EXTNAME; by default the first, or where that is empty the only image.
    seed : int, optional
        The same seed gives the same sources.
    beam, psf : optional
        Needed where the header has no beam; see `skygal.simulate_field`.
    unit : unit, optional
        Brightness unit of the image, where the header has none or a wrong one.
    frequency : Quantity, optional
        Where the header has none.
    noise : Quantity, str, ndarray, path or HDU, optional
        The rms that the image has, Jy/beam: one for all of it, or a map. A map is a FITS image on any grid that meets
        the image's, in the unit of its BUNIT, or an array or Quantity of the image's shape (in the image's unit if it
        has none); NaN where it is blank. By default it is estimated from the image, see
        `skygal.observation.local_rms.measure_rms`.
    primary_beam : PrimaryBeam, Quantity, path or HDU, optional
        What the image has not been corrected for, as for `skygal.simulate_field`: sources are weakened by it.
    chunks : int or (int, int), optional
        As for `skygal.simulate_field`; the pixels of a FITS file that is not compressed then stay in it, and are read
        when those of the field are made. It must not change until then.
    table, flux, las, fr_mix, spectral_index, curvature, faint, sky, clustering : optional
    latents, bending, clip_sigma, model, device, workers, progress : optional
        As for `skygal.simulate_field`; fluxes start at the median noise by default.

    Returns
    -------
    Field
        ``image`` is the given one plus ``model``, in its own unit; fluxes in ``truth`` are in Jy, and
        ``local_rms`` there is the noise at each source.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed, or that the header does not make up for; before any work.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    UserWarning
        If a constant is taken as blank, the image shows no noise, or some of its pixels show sky that others show.
        If the image was made by skygal with the same seed, so that sources may be put on those that are there.

    Examples
    --------
    >>> import numpy as np, skygal
    >>> from astropy import units as u
    >>> from radio_beam import Beam
    >>> wcs = skygal.make_wcs("12h00m00s +30d00m00s", 256, 1.8 * u.arcsec)
    >>> mosaic = np.random.default_rng(1).normal(0, 1e-4, (256, 256))
    >>> field = skygal.inject(mosaic, 3, wcs=wcs, beam=Beam(5.4 * u.arcsec), unit="Jy/beam",
    ...                       frequency=1.4 * u.GHz, seed=1)
    >>> bool(np.allclose(field.image - mosaic, field.model, atol=1e-7))
    True
    """
    given = dict(locals())
    return _inject([image], [View.of(given).given()], given)[0]


def inject_fields(images: Sequence[Any], n_sources: int | None = None, *, frequency: Any = None, beam: Any = None,
                  psf: Any = None, noise: Any = None, primary_beam: Any = None, **options: Any) -> list[Field]:
    """Inject one sky into several images, at several frequencies or of several surveys.

    Parameters
    ----------
    images : sequence of path, HDU or ndarray
        Each as for `inject`, on any grids that show the same sky.
    n_sources : int, optional
        As for `inject`. Sources are drawn for the first image, where that is not blank; fluxes, spectral indices and
        core fractions are drawn for, or given at, its frequency.
    frequency, beam, psf, noise, primary_beam : optional
        As for `inject`: one for all images, or a list of one for each.
    **options
        The other arguments of `inject`. A ``wcs`` is that of all images.

    Returns
    -------
    list of Field
        One for each image.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; before any work.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import numpy as np, skygal
    >>> from astropy import units as u
    >>> wcs = skygal.make_wcs("12h00m00s +30d00m00s", 256, 1.8 * u.arcsec)
    >>> mosaics = [np.random.default_rng(k).normal(0, 1e-4, (256, 256)) for k in range(2)]
    >>> low, high = skygal.inject_fields(mosaics, 3, wcs=wcs, beam="5.4arcsec", unit="Jy/beam",
    ...                                  frequency=[1.4, 3] * u.GHz, seed=1)
    >>> bool((high.truth["flux"] < low.truth["flux"]).all())
    True
    """
    known = signature(inject).parameters
    allowed = [name for name in known if name not in ("image", "n_sources")]
    for name in options:
        if name not in allowed:
            raise TypeError(f"inject_fields has no argument {name!r}{nearest_names(name, allowed)}")
    if not isinstance(images, (list, tuple)) or not images:
        raise TypeError(f"images must be a list of at least one image, got {show(images)}")
    views = View.of_each({"frequency": frequency, "beam": beam, "psf": psf, "noise": noise,
                          "primary_beam": primary_beam}, n=len(images))
    return _inject(images, views, {**{name: one.default for name, one in known.items()}, **options,
                                   "n_sources": n_sources})


def _inject(images: Sequence[Any], views: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> list[Field]:
    """Return a field for each image and how it is seen, of the other arguments of `inject` by name."""
    population, morphology, run = Population.of(given), Morphology.of(given), Run.of(given)
    if population.n_sources is None and population.table is None and isinstance(population.flux, Distribution):
        raise ValueError("n_sources must be given where flux is a distribution, since only the source counts say how "
                         "many there are, got None")
    hdu = parse_hdu("hdu", given["hdu"])
    found = [as_image(image, given["wcs"], hdu, lazy=run.chunks is not None) for image in images]
    runs = [run.checked(image.data.shape) for image, _ in found]
    run = replace(run, seed=runs[0].seed)
    seeds = Seeds(run.seed)
    seen = [frame_of_image(image, view, given["unit"]) for (image, _), view in zip(found, views, strict=True)]
    headers = [header_upon(image, beam=frame.beam.beam, frequency=frame.frequency, unit=unit)
               for (image, _), (unit, frame) in zip(found, seen, strict=True)]
    grounds = [_ground(image, frame, unit, view["noise"])
               for (image, _), (unit, frame), view in zip(found, seen, views, strict=True)]
    first, header = seen[0][1], found[0][0].header
    sources = sample_sky(first, population, morphology, noise=grounds[0].rms.level, seeds=seeds, mask=first.valid,
                         sharpest=sharpest_beam([frame for _, frame in seen]), device=run.device)
    if population.table is None and "SKYGALV" in header and header.get("SEED") == seeds.seed:
        warn_caller(f"seed should be another than that of the image's own sources, got {seeds.seed}: the new ones may "
                    "lie just where these are")
    asked = {"image": [name for _, name in found] if len(found) > 1 else found[0][1], "hdu": given["hdu"],
             "unit": given["unit"], **join_views(views), **population.given(), **morphology.given()}
    options, inputs = settings.spell(asked)
    fields = []
    for k, made in enumerate(make_images(sources, [(frame, ground) for (_, frame), ground in
                                                   zip(seen, grounds, strict=True)], runs)):
        unit, frame = seen[k]
        resolved = {"command": "inject", "image": found[k][1], "hdu": given["hdu"], **sources.settings,
                    "unit": str(unit), "isophote": ISOPHOTE, "reference_frequency": first.frequency, **frame.given(),
                    "noise": grounds[k].rms.told()}
        provenance = make_provenance(seed=seeds.seed, model=sources.galaxies.model, frequency=frame.frequency,
                                     configuration=resolved, options=options)
        write_provenance(headers[k], provenance)
        fields.append(Field.assemble(frame.wcs, *made, headers[k], provenance, inputs))
    return fields


def _ground(found: SkyImage, frame: Frame, unit: u.UnitBase, noise: Any) -> ImageGround:
    """Return the image as what sources are added to, with the noise that was given, or that it shows."""
    valid = frame.valid
    assert valid is not None
    # the mean place (x, y) of its pixels
    counts = [np.count_nonzero(valid, axis=axis) for axis in (0, 1)]
    x, y = (float(np.dot(count, np.arange(count.size)) / count.sum()) for count in counts)
    scale = BrightnessScale.of(unit, frame.beam, frame.frequency, found.wcs, (x, y))
    noise = read_noise("noise", noise, found.wcs, frame.shape)
    if noise is None:
        return ImageGround(found.data, scale, shown_noise(found.data, frame, scale))
    if not isinstance(noise, NoiseMap):
        per_beam = isinstance(noise, u.Quantity) and is_per_beam(noise.unit)
        noise = as_quantity("noise", noise * u.beam if per_beam else noise, u.Jy) * u.Jy
    given = as_rms("noise", noise, frame.beam, frame.frequency, unit=unit)
    return ImageGround(found.data, scale, given_noise(given, frame))
