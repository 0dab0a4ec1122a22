"""Synthetic radio galaxies in an image that exists: composition only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS
from tqdm import tqdm

from skygal.checks import as_count, as_quantity, as_seed, show, warn_caller
from skygal.field import Field
from skygal.io.cards import Cards
from skygal.io.fits_files import MOST_AXES
from skygal.io.header_beam import beam_table
from skygal.io.header_frequency import spectral_axes, write_frequency_axis
from skygal.io.header_wcs import celestial, read_celestial
from skygal.io.headers import field_header, primary_header, restate_wcs, unwritable
from skygal.io.images import SkyImage, choose_hdu, describe_plane, parse_unit, read_image
from skygal.io.provenance import describe_table, make_provenance, write_provenance
from skygal.morphology.checkpoint import load_model
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.latents import check_latents, check_pairs, default_mix
from skygal.morphology.measure import ISOPHOTE
from skygal.observation.beam import TargetBeam
from skygal.observation.blank import blank_pixels, mirrored
from skygal.observation.local_rms import local_rms
from skygal.observation.noise import NoiseMap, area_ratio, as_rms, jy_per_beam_in, read_noise
from skygal.observation.observe import Observation, faintest_flux, observe
from skygal.population import Distribution, check_faint, counted_to, sample_population
from skygal.rendering.canvas import Canvas
from skygal.scene.cast import make_cast
from skygal.scene.faint import draw_faint, whole_components, whole_truth
from skygal.scene.galaxies import View, draw_scene
from skygal.seeds import Seeds
from skygal.wcs import on_sky, pixel_area

__all__ = ["inject"]

def _as_image(image: Any, wcs: Any, hdu: Any) -> tuple[SkyImage, str]:
    """Return the image that was given and what to call it."""
    if isinstance(image, np.ndarray):
        return _as_array_image(image, wcs), "array"
    hdus = fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU
    if not isinstance(image, (str, PathLike, fits.HDUList, *hdus)):
        raise TypeError(f"image must be a FITS file, an image HDU or an array, got {type(image).__name__}")
    if wcs is not None:
        raise ValueError("wcs must be left out where image is a FITS file or HDU, which has its own, "
                         f"got {type(wcs).__name__}")
    if not (hdu is None or isinstance(hdu, str)):
        hdu = as_count("hdu", hdu)
    if isinstance(image, (str, PathLike)):
        return read_image(image, hdu=hdu), fspath(image)
    if isinstance(image, fits.HDUList):
        return read_image(choose_hdu(image, hdu), beams=beam_table(image)), "HDU"
    return read_image(image), "HDU"


def _as_array_image(image: Any, wcs: Any) -> SkyImage:
    """Return the image that an array and its WCS or header make up."""
    own_unit = None
    if isinstance(image, u.Quantity):
        image, own_unit = image.value, image.unit
    if isinstance(image, np.ma.MaskedArray):
        image = np.ma.filled(image.astype(float), np.nan)
    if image.ndim != 2 or image.dtype.kind not in "fiu" or not image.size:
        raise ValueError(f"image must be a two-dimensional array of numbers, got shape {image.shape}, "
                         f"dtype {image.dtype}")
    if wcs is None:
        raise ValueError("wcs must be given with an image that is an array")
    sky = celestial(wcs)
    known = sky.array_shape is not None and all(sky.array_shape)
    if known and tuple(sky.array_shape) != image.shape:
        raise ValueError(f"wcs must be that of the image, of shape {image.shape}, got one of shape "
                         f"{tuple(sky.array_shape)}")
    if not isinstance(wcs, fits.Header):
        sky.array_shape = image.shape
        return SkyImage(image, sky, None, own_unit, None, fits.Header())
    # a header brings its beam, unit and frequency along
    sky, axes = read_celestial(wcs)
    found = describe_plane(image, sky, axes, wcs, "wcs header")
    header = found.header
    header["NAXIS"] = max(Cards(wcs).whole("NAXIS", most=MOST_AXES) or 2, *axes)
    for axis in range(1, header["NAXIS"] + 1):
        header[f"NAXIS{axis}"] = 1 if axis not in axes else image.shape[1 - axes.index(axis)]
    if own_unit is not None:
        header["BUNIT"] = _spell(own_unit)
    return replace(found, unit=own_unit or found.unit)


def _unit_scale(unit: Any, beam: TargetBeam, frequency: u.Quantity, pixel: u.Quantity) -> float:
    """Return how many of ``unit`` one Jy/beam is; ``pixel`` is the solid angle of one."""
    # a PSF image spreads the flux over more than the Gaussian fitted to its main lobe
    return jy_per_beam_in(unit, beam.beam.sr if beam.psf is None else beam.area * pixel, beam.area, frequency)


def _as_unit(unit: Any) -> u.UnitBase:
    """Return the unit that was given."""
    try:
        return parse_unit(unit) if isinstance(unit, str) else u.Unit(unit)
    except TypeError:
        raise TypeError(f"unit must be an astropy unit or a string, got {show(unit)}") from None


def _as_sources(sources: Any, flux: Any) -> tuple[int | None, Any]:
    """Return how many sources are asked for, or the table that was given; neither where the counts decide."""
    if isinstance(sources, (Table, str, PathLike)):
        return None, sources
    if sources is not None:
        return as_count("sources", sources), None
    if isinstance(flux, Distribution):
        raise ValueError("sources must be given where flux is a distribution, since only the source counts say how "
                         "many there are, got None")
    return None, None


def _not_blank(given: SkyImage, beam: TargetBeam) -> np.ndarray:
    """Return which pixels have a brightness and a place on the sky."""
    header = given.header
    card = None if "BSCALE" in header or "BZERO" in header else header.get("BLANK")
    card = card if isinstance(card, (int, float)) and np.isfinite(card) else None
    sky = on_sky(given.wcs, given.data.shape)
    valid = ~blank_pixels(given.data, _width(beam), sky=sky, card=card, name=given.name)
    if not valid.any():
        raise ValueError("image must have pixels on the sky that are not blank, got none")
    return valid


def _pixel_scale(unit: Any, seen: Observation, wcs: WCS, valid: np.ndarray) -> Any:
    """Return how many of ``unit`` one Jy/beam is: a number, or one for each pixel where the beam varies."""
    middle = pixel_area(wcs, *(valid.nonzero()[axis].mean() for axis in (1, 0)))
    scale = _unit_scale(unit, seen.beam, seen.frequency, float(middle) * u.sr)
    if seen.beam.nodes is not None and not _is_per_beam(1 * unit):
        return scale * area_ratio(seen.beam, valid.shape)
    return scale


def _shown_noise(given: SkyImage, beam: TargetBeam, valid: np.ndarray, scale: Any) -> np.ndarray:
    """Return the rms noise that an image shows, Jy/beam, NaN on blank pixels."""
    shown = local_rms(np.where(valid, mirrored(given.data, valid), np.nan), _width(beam)) / scale
    none = shown == 0
    if none.any():
        share = 100 * np.count_nonzero(none) / np.count_nonzero(valid)
        if share < 100:
            shown[none] = np.median(shown[shown > 0])
        warn_caller(f"image shows no noise in {share:.3g} % of its pixels, where "
                    + ("local_rms is 0 and snr infinite" if share == 100 else "the median of the others is taken")
                    + ": give rms to say what it is")
    return shown


def _width(beam: TargetBeam) -> float:
    """Return the FWHM, in pixels, of a round beam of the same area."""
    return float(np.sqrt(4 * np.log(2) / np.pi * abs(beam.area)))


def _with_noise(seen: Observation, given: SkyImage, rms: Any, *, unit: Any, valid: np.ndarray,
                scale: Any) -> Observation:
    """Return how the sky is seen, with the noise, Jy/beam, that was given, or that the image shows."""
    if rms is None:
        return seen.with_noise(NoiseMap(_shown_noise(given, seen.beam, valid, scale), given.wcs))
    found = as_rms("rms", rms, seen.beam, seen.frequency, unit=unit)
    if isinstance(found, NoiseMap):
        found = replace(found, values=np.where(valid, found.values, np.float32(np.nan)))
        known, all_of = np.count_nonzero(np.isfinite(found.values)), np.count_nonzero(valid)
        if not known:
            raise ValueError("rms map must have values where the image is not blank, got none")
        if known < all_of:
            warn_caller(f"rms map has no values for {all_of - known} of {all_of} pixels of the image that are not "
                        "blank: sources there have the local_rms of the nearest one that it has")
    return seen.with_noise(found)


def _is_per_beam(value: Any) -> bool:
    return isinstance(value, u.Quantity) and value.unit.is_equivalent(u.Jy / u.beam)


def inject(image: Any, sources: int | Table | str | PathLike | None = None, *, wcs: WCS | fits.Header | None = None,
           hdu: int | str | None = None, seed: int | None = None, beam: Any = None, unit: Any = None,
           frequency: Any = None, rms: Any = None, flux: Any = None, las: Any = None,
           fr_mix: str | Mapping[str, float] | None = None, spectral_index: Any = None, curvature: Any = None,
           faint: Any = None, primary_beam: Any = None, latents: Any = "balanced", clip_sigma: float | None = 3.0,
           model: Any = None, device: str = "cpu", workers: int = 2, progress: bool = False) -> Field:
    """Inject synthetic radio galaxies into an existing image.

    The image itself, file or array, is not changed.

    Parameters
    ----------
    image : path, HDU or ndarray
        A FITS file, an image HDU, or an array of shape (ny, nx) with its ``wcs``. Blank pixels (NaN, or a
        constant that stands for nothing, see `skygal.observation.blank.blank_pixels`) stay as they are and no source is
        centred on them; so do pixels without a place on the sky.
    sources : int, `~astropy.table.Table` or path, optional
        How many, or a population of one's own with any of the columns ra, dec (or x, y), flux, las,
        pa, fr_class, spectral_index, curvature, redshift; the others are drawn. By default the number is drawn
        from the source counts, the flux range and the solid angle that is not blank.
    wcs : `~astropy.wcs.WCS` or `~astropy.io.fits.Header`, optional
        For an array; a header brings its beam, unit and frequency along.
    hdu : int or str, optional
        Which HDU of a file, by number or EXTNAME; by default the first, or where that is empty the only image.
    seed : int, optional
        The same seed gives the same sources.
    beam : `~radio_beam.Beam`, Quantity, ndarray, path, Table or callable, optional
        Needed where the header has none; see `skygal.simulate_field`.
    unit : unit, optional
        Brightness unit of the image, where the header has none or a wrong one.
    frequency : Quantity, optional
        Where the header has none.
    rms : Quantity, str, ndarray, path or HDU, optional
        Noise, Jy/beam: one for all of the image, or a map. A map is a FITS image on any grid that meets the image's,
        in the unit of its BUNIT, or an array or Quantity of the image's shape (in the image's unit if it has none);
        NaN where it is blank. By default it is estimated from the image, see `skygal.observation.local_rms.local_rms`.
    primary_beam : PrimaryBeam, Quantity, path or HDU, optional
        What the image has not been corrected for, as for `skygal.simulate_field`: sources are weakened by it.
    flux, las, fr_mix, spectral_index, curvature, faint, latents, clip_sigma, model, device, workers, progress
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
    seeds = Seeds(as_seed("seed", seed))
    number, table = _as_sources(sources, flux)
    workers = as_count("workers", workers, minimum=1)
    clip_sigma = check_clip_sigma(clip_sigma)
    chosen = check_latents(latents)
    given, name = _as_image(image, wcs, hdu)
    beam = given.beam if beam is None else beam
    frequency = given.frequency if frequency is None else frequency
    unit = given.unit if unit is None else _as_unit(unit)
    for what, value in (("beam", beam), ("frequency", frequency), ("unit", unit)):
        if value is None:
            raise ValueError(f"{what} must be given, since {given.why_none(what)}")
    shape = given.data.shape
    rms = read_noise("rms", rms, given.wcs, shape)
    if rms is not None and not isinstance(rms, NoiseMap):
        rms = as_quantity("rms", rms * u.beam if _is_per_beam(rms) else rms, u.Jy) * u.Jy
    seen = observe(given.wcs, shape, survey=None, frequency=frequency, beam=beam, noise=None,
                   primary_beam=primary_beam)
    valid = _not_blank(given, seen.beam)
    header = _header(given, seen, unit)
    scale = _pixel_scale(unit, seen, given.wcs, valid)
    seen = _with_noise(seen, given, rms, unit=unit, valid=valid, scale=scale)
    others = None if faint is None else check_faint(faint, given.wcs)
    faintest, counted = faintest_flux(seen.noise), counted_to(others)
    if counted is not None:
        faintest = max(faintest, counted)
    mix = default_mix(chosen) if fr_mix is None else fr_mix
    generator = load_model(model, device=device)
    check_latents(chosen, generator.latent_dim)
    population = sample_population(given.wcs, shape, number, seeds=seeds, frequency=seen.frequency, flux=flux, las=las,
                                   fr_mix=mix, spectral_index=spectral_index, curvature=curvature, mask=valid,
                                   table=table, faintest=faintest, counted=counted)
    check_latents(chosen, generator.latent_dim, len(population))
    check_pairs(chosen, np.asarray(population["fr_class"]))
    if table is None and "SKYGALV" in given.header and given.header.get("SEED") == seeds.seed:
        warn_caller(f"seed should be another than that of the image's own sources, got {seeds.seed}: the new ones may "
                    "lie just where these are")
    cast = make_cast(given.wcs, shape, population, model=generator, latents=chosen, clip_sigma=clip_sigma, seeds=seeds)

    def view(table: QTable) -> View:
        place = table["ra"].to_value(u.deg), table["dec"].to_value(u.deg)
        return View(seen.beam, seen.rms(*place), gain=seen.gain(*place), valid=valid)

    canvas = Canvas((0, shape[0], 0, shape[1]), shape, seen.beam, valid)
    with tqdm(total=len(population), desc="sources", disable=not progress, delay=2) as bar:
        scene = draw_scene(cast, view(population), progress=bar.update, canvas=canvas, device=device)
    weak = None
    if others is not None:
        weak = draw_faint(others, given.wcs, shape, view(others), taken=np.asarray(population["source_id"]))
        weak.faint.add_to(canvas)
    provenance = make_provenance(
        seed=seeds.seed, model=generator.name, model_sha256=generator.sha256, frequency=seen.frequency,
        configuration={"command": "inject", "image": name, "hdu": hdu, "sources": len(population),
                       "table": describe_table(table), "faint": describe_table(faint),
                       "beam": seen.beam.beam, "psf": seen.beam.psf, "unit": str(unit), "frequency": seen.frequency,
                       "rms": None if rms is None else seen.told_noise(), "primary_beam": seen.primary_beam,
                       "flux": faintest if flux is None else flux, "las": las, "fr_mix": mix,
                       "spectral_index": spectral_index, "curvature": curvature, "latents": chosen,
                       "clip_sigma": clip_sigma, "isophote": ISOPHOTE})
    write_provenance(header, provenance)
    drawn = np.where(valid, canvas.model(), 0) * np.asarray(scale, np.float32)
    with np.errstate(over="ignore"):
        total = (given.data + drawn).astype(np.float32)
    # what stands for blank may be more than a float32 holds
    total[~valid & ~np.isfinite(total)] = np.nan
    return Field.assemble(given.wcs, total, drawn, canvas.segmentation, whole_truth(scene, weak),
                          whole_components(scene, weak), header, provenance)


def _spell(unit: Any) -> str:
    """Return a brightness unit as radio software spells it."""
    if unit == u.Jy / u.beam:
        return "JY/BEAM"
    for area, name in ((u.beam, "beam"), (u.pix, "pixel"), (u.sr, "sr")):
        if (unit * area).is_equivalent(u.Jy) and len((unit * area).bases) == 1:
            return f"{(unit * area).to_string('fits')}/{name}"
    return unit.to_string("fits")


def _header(given: SkyImage, seen: Observation, unit: Any) -> fits.Header:
    """Return the image's own header, as that of a primary HDU; a new one for a bare array."""
    beam = seen.beam.beam
    frequency = seen.frequency.to_value(u.Hz)
    if not len(given.header):
        return field_header(given.wcs, given.data.shape, beam=beam, frequency=seen.frequency, unit=_spell(unit))
    header = primary_header(given.header)
    header.remove("CASAMBM", ignore_missing=True)
    lost = unwritable(given.header)
    if lost:
        warn_caller(f"{given.name}: cards that cannot be read are left out of the header that is written: "
                    f"{', '.join(lost)}")
    # finders need all three cards, which a header can lack though its beam is known (from its history)
    for key, value in (("BMAJ", beam.major), ("BMIN", beam.minor), ("BPA", beam.pa)):
        if header.get(key) != value.to_value(u.deg):
            header.remove(key, ignore_missing=True, remove_all=True)
            header[key] = (value.to_value(u.deg), "[deg]")
    if unit != given.unit or "BUNIT" not in header:
        header["BUNIT"] = _spell(unit)
    if given.frequency is None or seen.frequency != given.frequency:
        _set_frequency(header, frequency)
    try:
        return restate_wcs(header, given.wcs, given.axes, frequency)
    except ValueError as error:
        raise ValueError(f"{given.name} cannot be used: {error}") from None


def _set_frequency(header: fits.Header, frequency: float) -> None:
    """Write a frequency (Hz) wherever a reader may look for it."""
    for axis in spectral_axes(header):
        write_frequency_axis(header, axis, frequency)
    for key in ("RESTFRQ", "RESTFREQ"):
        header[key] = (frequency, "[Hz] rest frequency")
