"""Synthetic radio galaxies in an image that exists: composition only."""

from __future__ import annotations

import warnings
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

from skygal.cards import Cards
from skygal.cast import make_cast
from skygal.checks import as_count, as_quantity, as_seed
from skygal.faint_scene import draw_faint, whole_truth
from skygal.field import Field
from skygal.fits_files import MOST_AXES
from skygal.header_frequency import spectral_axes, write_frequency_axis
from skygal.header_wcs import read_celestial
from skygal.headers import field_header, primary_header, restate_wcs, unwritable
from skygal.images import SkyImage, choose_hdu, describe_plane, parse_unit, read_image
from skygal.morphology.checkpoint import load_model
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.latents import check_latents, check_pairs, default_mix
from skygal.morphology.measure import ISOPHOTE
from skygal.noise_map import local_rms
from skygal.observation import Observation, faintest_flux, observe
from skygal.population import Distribution, check_faint, sample_population
from skygal.provenance import describe_table, make_provenance, write_provenance
from skygal.rendering.beam import TargetBeam
from skygal.rendering.canvas import Canvas
from skygal.scene import View, draw_scene
from skygal.seeds import Seeds
from skygal.sky import celestial, icrs_to_pixel, on_sky, pixel_area

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
        image = choose_hdu(image, hdu)
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
    solid = beam.beam.sr if beam.psf is None else beam.area * pixel
    known = [(u.Jy / u.beam, u.Jy / u.sr, lambda x: x / solid.value, lambda x: x * solid.value)]
    if unit.is_equivalent(u.Jy / u.pix):
        return float((u.Jy / u.pix).to(unit)) / beam.area
    try:
        return float((1 * u.Jy / u.beam).to_value(unit, known + u.brightness_temperature(frequency, beam_area=solid)))
    except u.UnitConversionError:
        raise u.UnitConversionError("unit must be a brightness such as Jy/beam, mJy/beam, Jy/pixel, Jy/sr or K, "
                                    f"got {unit}") from None


def _area_ratio(beam: TargetBeam, shape: tuple[int, int]) -> np.ndarray:
    """Return, for each pixel, the beam's area at the image's centre over that there."""
    ny, nx = shape
    columns = np.arange(nx)
    return np.stack([beam.area / beam.at(columns, np.full(nx, y))[1] for y in range(ny)])


def _as_unit(unit: Any) -> u.UnitBase:
    """Return the unit that was given."""
    try:
        return parse_unit(unit) if isinstance(unit, str) else u.Unit(unit)
    except TypeError:
        raise TypeError(f"unit must be an astropy unit or a string, got {unit!r}") from None


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


def _not_blank(given: SkyImage) -> np.ndarray:
    """Return which pixels have a brightness and a place on the sky."""
    valid, sky = np.isfinite(given.data), on_sky(given.wcs, given.data.shape)
    if sky is not None:
        valid &= sky
    if not valid.any():
        raise ValueError("image must have pixels on the sky that are not blank, got none")
    return valid


def _pixel_scale(unit: Any, seen: Observation, wcs: WCS, valid: np.ndarray) -> Any:
    """Return how many of ``unit`` one Jy/beam is: a number, or one for each pixel where the beam varies."""
    middle = pixel_area(wcs, *(valid.nonzero()[axis].mean() for axis in (1, 0)))
    scale = _unit_scale(unit, seen.beam, seen.frequency, float(middle) * u.sr)
    if seen.beam.nodes is not None and not _is_per_beam(1 * unit):
        return scale * _area_ratio(seen.beam, valid.shape)
    return scale


def _noise_map(given: SkyImage, seen: Observation, valid: np.ndarray, scale: Any) -> np.ndarray:
    """Return the rms noise at each pixel, Jy/beam, NaN on blank ones: what was given, or what the image shows."""
    if seen.noise > 0:
        return np.where(valid, seen.noise, np.nan)
    width = np.sqrt(4 * np.log(2) / np.pi * abs(seen.beam.area))
    return local_rms(np.where(valid, given.data, np.nan), width) / scale


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
        A FITS file, an image HDU, or an array of shape (ny, nx) with its ``wcs``. Blank pixels (NaN)
        stay blank and no source is centred on them; pixels without a place on the sky stay as they are.
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
    rms : Quantity, optional
        Noise, Jy/beam, taken as the same everywhere. By default it is estimated from the image, box by
        box.
    primary_beam : PrimaryBeam, Quantity, path or HDU, optional
        What the image has not been corrected for, as for `skygal.simulate_field`: sources are weakened by it.
    flux, las, fr_mix, spectral_index, curvature, faint, latents, clip_sigma, model, device, workers, progress
        As for `skygal.simulate_field`; fluxes start at 20 times the median noise by default.

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
    shape, valid = given.data.shape, _not_blank(given)
    if rms is not None:
        rms = as_quantity("rms", rms * u.beam if _is_per_beam(rms) else rms, u.Jy) * u.Jy
    seen = observe(given.wcs, shape, survey=None, frequency=frequency, beam=beam, noise=rms,
                   primary_beam=primary_beam)
    header = _header(given, seen, unit)
    scale = _pixel_scale(unit, seen, given.wcs, valid)
    noise = _noise_map(given, seen, valid, scale)
    typical = float(np.nanmedian(noise))
    faintest = faintest_flux(typical)
    mix = default_mix(chosen) if fr_mix is None else fr_mix
    generator = load_model(model, device=device)
    check_latents(chosen, generator.latent_dim)
    population = sample_population(given.wcs, shape, number, seeds=seeds, frequency=seen.frequency, flux=flux, las=las,
                                   fr_mix=mix, spectral_index=spectral_index, curvature=curvature, mask=valid,
                                   table=table, faintest=faintest)
    check_latents(chosen, generator.latent_dim, len(population))
    check_pairs(chosen, np.asarray(population["fr_class"]))
    cast = make_cast(given.wcs, shape, population, [seen.beam], model=generator, latents=chosen, clip_sigma=clip_sigma,
                     seeds=seeds)
    others = None if faint is None else check_faint(faint, given.wcs)

    def view(table: QTable) -> View:
        gain = seen.gain(table["ra"].to_value(u.deg), table["dec"].to_value(u.deg))
        return View(seen.beam, _at_sources(noise, given.wcs, table, typical), gain=gain, valid=valid)

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
                       "rms": rms, "primary_beam": seen.primary_beam, "flux": faintest if flux is None else flux,
                       "las": las, "fr_mix": mix,
                       "spectral_index": spectral_index, "curvature": curvature, "latents": chosen,
                       "clip_sigma": clip_sigma, "isophote": ISOPHOTE})
    write_provenance(header, provenance)
    drawn = np.where(valid, canvas.model(), 0) * np.asarray(scale, np.float32)
    total = (given.data + drawn).astype(np.float32)
    return Field.assemble(given.wcs, total, drawn, canvas.segmentation, whole_truth(scene, weak), scene.components,
                          header, provenance)


def _at_sources(noise: np.ndarray, wcs: WCS, population: Table, typical: float) -> np.ndarray:
    """Return the noise at each source; the image's median for those that lie outside or on blank."""
    x, y = icrs_to_pixel(wcs, population["ra"].to_value(u.deg), population["dec"].to_value(u.deg))
    ny, nx = noise.shape
    out = np.full(len(population), typical)
    with np.errstate(invalid="ignore"):
        inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    out[inside] = noise[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)]
    return np.where(np.isfinite(out), out, typical)


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
    lost = unwritable(given.header)
    if lost:
        warnings.warn(f"{given.name}: cards that cannot be read are left out of the header that is written: "
                      f"{', '.join(lost)}", stacklevel=3)
    # finders need all three cards, which a header can lack though its beam is known (from its history)
    if given.beam is None or beam != given.beam or not all(key in header for key in ("BMAJ", "BMIN", "BPA")):
        header["BMAJ"], header["BMIN"] = beam.major.to_value(u.deg), beam.minor.to_value(u.deg)
        header["BPA"] = beam.pa.to_value(u.deg)
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
