"""A field's sky in Jy/pixel, for programs that predict visibilities and put their own beam on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS
from radio_beam import Beam

from skygal.checks import as_count, check_choice, open_range, show, show_fields
from skygal.io.headers import field_header
from skygal.io.provenance import write_provenance
from skygal.io.streaming import stream_fits
from skygal.morphology.batches import make_stamps
from skygal.morphology.checkpoint import load_model
from skygal.morphology.galaxies import extent_limits
from skygal.morphology.latents import LATENTS, Latents, sample_latents
from skygal.observation.beam import TargetBeam
from skygal.observation.ellipse import FWHM
from skygal.observation.frame import Frame
from skygal.population.spectra import Colours
from skygal.rendering.canvas import Canvas
from skygal.rendering.places import StampPlaces
from skygal.scene.faint import DISC_MOMENT, FaintLayer, place_faint
from skygal.scene.galaxies import MAPS_AT_ONCE, GalaxyLayer, see_stamps
from skygal.scene.layer import Layer
from skygal.truth.exports.columns import finite, numbers
from skygal.truth.exports.formats import Format
from skygal.truth.exports.sky_model import field_frequency
from skygal.wcs import icrs_to_pixel, pixel_affine

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS", "ModelImage", "finer_grid"]

#: FWHM, in pixels of the model, to which all is smoothed at least: the narrowest that pixels tell the flux of to 1e-6
NARROWEST = 2.0
#: pixels that are made at once
AT_ONCE = 2**24
#: pixels around a stamp in which the smoothing may leave something of it
AROUND = 12
#: zooms that differ by more than this part are those of other stamps
SAME = 1e-3


def finer_grid(wcs: WCS, times: int) -> WCS:
    """Return a WCS whose pixels are so many times smaller, each of the old ones being made of whole new ones."""
    fine = wcs.deepcopy()
    fine.wcs.crpix = (np.asarray(wcs.wcs.crpix) - 0.5) * times + 0.5
    if wcs.wcs.has_cd():
        fine.wcs.cd = wcs.wcs.cd / times
    else:
        fine.wcs.cdelt = wcs.wcs.cdelt / times
    shape = wcs.array_shape
    fine.array_shape = None if shape is None else tuple(side * times for side in shape)
    fine.wcs.set()
    return fine


@dataclass(frozen=True, eq=False)
class ModelImage:
    """The sky of a field, on a grid, of which a band of rows is drawn when it is asked for.

    Attributes
    ----------
    shape : (int, int)
        (ny, nx).
    beam : TargetBeam
        What all is smoothed to at least.
    layers : sequence of Layer
        What it is drawn from.
    """

    shape: tuple[int, int]
    beam: TargetBeam
    layers: tuple[Layer, ...]

    __repr__ = show_fields

    @cached_property
    def chunks(self) -> tuple[tuple[int, ...]]:
        """The rows of the bands that it is best drawn in."""
        ny, nx = self.shape
        side = max(1, min(ny, AT_ONCE // nx))
        return (tuple(min(side, ny - first) for first in range(0, ny, side)),)

    def __getitem__(self, rows: slice) -> np.ndarray:
        canvas = Canvas((rows.start, rows.stop, 0, self.shape[1]), self.shape, self.beam)
        for layer in self.layers:
            layer.draw(canvas, layer.shared)
        return canvas.model() / np.float32(self.beam.area)


def _generator(field: Field, model: Any) -> Any:
    """Return the model that a field's galaxies are from."""
    name, digest = (field.provenance.get(key) for key in ("model", "model_sha256"))
    found = load_model(name if model is None else model)
    if digest != found.sha256:
        raise ValueError(f"model must be the one that the field was made with, {show(name)} of SHA-256 {show(digest)}, "
                         f"got {found.name!r} of {found.sha256!r}")
    return found


def _plan(field: Field, truth: QTable, generator: Any) -> tuple[Latents, float | None]:
    """Return what galaxies are decoded from, and where they are clipped."""
    settings = field.provenance.get("configuration") or {}
    latents, clip = settings.get("latents", "balanced"), settings.get("clip_sigma")
    if latents not in LATENTS:
        raise ValueError(f"latents of the field must be among {', '.join(LATENTS)} to be drawn again, got "
                         f"{show(latents)}")
    least, most = extent_limits(generator, numbers(truth, "las_requested", u.arcsec))
    fr_class = np.asarray(truth["fr_class"]).astype(str)
    plan = sample_latents(generator, latents, fr_class, np.asarray(truth["latent_seed"], np.int64), least=least,
                          most=most, bending=open_range("bending", settings.get("bending"), u.rad, np.pi))
    return plan, None if clip is None else float(clip)


def _placements(truth: QTable, plan: Latents, clip_sigma: float | None, generator: Any, wcs: WCS, ratio: float,
                gain: np.ndarray, beam: TargetBeam) -> StampPlaces:
    """Return galaxies as they are drawn: as the field has them, without its beam."""
    centroid = np.stack(icrs_to_pixel(wcs, *(numbers(truth, name, u.deg) for name in ("ra", "dec"))), axis=-1)
    jacobian = pixel_affine(wcs, *(numbers(truth, name, u.deg) for name in ("ra", "dec")))
    las, pa = numbers(truth, "las_requested", u.arcsec), numbers(truth, "pa", u.rad)
    index, bend = (numbers(truth, name) for name in ("spectral_index", "curvature"))
    asked, kept = numbers(truth, "flux_requested", u.Jy) * gain, []
    for batch in (part for whole in make_stamps(generator, plan, clip_sigma) for part in whole.parts(MAPS_AT_ONCE)):
        here, stamp = slice(batch.start, batch.start + len(batch.stamps)), batch.shapes
        sight = see_stamps(generator, batch, las[here], pa[here], jacobian[here], centroid[here], beam)
        shapes, affine = sight.shapes, sight.affine
        _check_same(truth[here], sight.zoom)
        colours = Colours.of(index[here], shapes.core_frac, ratio, curvature=bend[here])
        # truth has the centroid that a core of another colour draws to itself
        to_core = np.einsum("nij,nj->ni", affine, shapes.core - shapes.centre)
        position = centroid[here] - to_core * (colours.extra / (1 + colours.extra))[:, None]
        known = np.isfinite(position).all(axis=1) & np.isfinite(affine).all(axis=(1, 2))
        sides = np.concatenate([np.tile(view.images.shape[:0:-1], (len(view.images), 1)) for view in sight.views])
        reach = np.einsum("nij,nj->ni", np.abs(affine), sides.astype(float)) + AROUND
        with np.errstate(invalid="ignore"):
            low, high = np.floor(position - reach), np.ceil(position + reach) + 1
        box = np.stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]], axis=1)
        box = np.where(known[:, None], np.clip(np.nan_to_num(box), -2**40, 2**40), 0).astype(np.int64)
        kept.append(StampPlaces(np.arange(here.start, here.stop), batch.latents, stamp.flux,
                                np.column_stack([stamp.centre, stamp.las]), sight.octaves, shapes.centre, shapes.core,
                                colours.extra, position, affine, asked[here] * colours.lobes,
                                np.full((len(box), 1), np.inf, np.float32), np.zeros(len(box), int), box))
    return StampPlaces.join(kept, plan[:0])


def _check_same(truth: QTable, zoom: np.ndarray) -> None:
    """Refuse galaxies that come out as others than those which the field has."""
    given = numbers(truth, "zoom")
    other = np.flatnonzero(~np.isclose(zoom, given, rtol=SAME, atol=0))
    if other.size:
        k = other[0]
        raise ValueError(f"zoom of truth must be what its latent_seed gives, to be drawn again, got {given[k]:g} "
                         f"instead of {zoom[k]:g} of source_id {truth['source_id'][k]}")


def _faint(truth: QTable, frame: Frame, ratio: float, gain: np.ndarray) -> FaintLayer:
    """Return the sources whose brightness is a formula."""
    kind = np.asarray(truth["morphology"]).astype(str)
    # truth has the FWHM of the Gaussian with a disc's second moments
    scale = np.where(kind == "exponential", 1 / (FWHM * np.sqrt(DISC_MOMENT)), 1.0)
    own = {name: np.asarray(truth[name]) for name in ("source_id", "population", "parent_id")}
    table = QTable({**own, "ra": truth["ra"], "dec": truth["dec"],
                    "flux": truth["flux_requested"] * gain, "kind": kind, "b_maj": truth["b_maj"] * scale,
                    "b_min": truth["b_min"] * scale, "pa": truth["pa"],
                    **{name: numbers(truth, name) for name in ("spectral_index", "curvature", "redshift")}})
    return place_faint(table, frame, np.zeros(len(table)), ratio=ratio, taken=np.zeros(0, int))


def sky_image(field: Field, *, oversample: int = 2, flux: str = "intrinsic", model: Any = None
              ) -> tuple[ModelImage, WCS]:
    """Return the sky of a field as an image in Jy/pixel, and its WCS.

    Parameters
    ----------
    field
    oversample : int
        How many pixels of it make a side of one of the field's.
    flux : "intrinsic" or "apparent"
        As on the sky, or after the primary beam.
    model : str or path, optional
        The trained model, where it is not one that comes with the package.

    Raises
    ------
    ValueError
        If a value in truth is not finite, or the field's galaxies cannot be drawn again: since the model is another
        one, or latents were given as numbers.
    """
    oversample = as_count("oversample", oversample, minimum=1)
    check_choice("flux", flux, ("intrinsic", "apparent"))
    truth = field.truth
    finite(truth, ("flux_requested", "flux", "flux_apparent", "las_requested", "spectral_index", "curvature", "pa"),
           "model")
    frequency, reference = field_frequency(field)
    ratio = frequency / reference
    whole, seen = (numbers(truth, name, u.Jy) for name in ("flux", "flux_apparent"))
    gain = np.divide(seen, whole, out=np.zeros(len(whole)), where=whole > 0) if flux == "apparent" \
        else np.ones(len(truth))
    shape = tuple(side * oversample for side in field.image.shape)
    coarse = field.wcs.deepcopy()
    coarse.array_shape = field.image.shape
    wcs = finer_grid(coarse, oversample)
    sigma = NARROWEST / FWHM
    pixel = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))
    beam = TargetBeam(np.eye(2) * sigma**2, 2 * np.pi * sigma**2, Beam(NARROWEST * pixel * u.deg))
    stamped = np.asarray(truth["latent_seed"]) >= 0
    layers: list[Layer] = []
    if stamped.any():
        generator = _generator(field, model)
        plan, clip = _plan(field, truth[stamped], generator)
        places = _placements(truth[stamped], plan, clip, generator, wcs, ratio, gain[stamped], beam)
        layers.append(GalaxyLayer(places, shape, beam, clip, shared=generator))
    if not stamped.all():
        layers.append(_faint(truth[~stamped], Frame(wcs, shape, beam, frequency * u.Hz), ratio, gain[~stamped]))
    return ModelImage(shape, beam, tuple(layers)), wcs


def write_model(field: Field, path: Path, *, progress: bool = False, oversample: int = 2, flux: str = "intrinsic",
                model: Any = None) -> None:
    """Write the sky of a field in Jy/pixel, without the field's beam.

    Parameters
    ----------
    field, path, progress, oversample, flux, model
        See `sky_image`.

    Notes
    -----
    Sources are drawn again, from truth: galaxies at their stamps' own resolution, points and discs as they are, all
    smoothed by no more than a Gaussian of 2 pixels of the model (card SKYFWHM), which pixels need to tell fluxes and
    places between them. There is no noise, and blank parts of the image have their sources.
    """
    image, wcs = sky_image(field, oversample=oversample, flux=flux, model=model)
    frequency, _ = field_frequency(field)
    header = field_header(wcs, image.shape, beam=None, frequency=frequency * u.Hz, unit="Jy/pixel")
    header["SKYFWHM"] = (float(image.beam.beam.major.to_value(u.deg)), "[deg] what sources are smoothed by at most")
    write_provenance(header, field.provenance)
    stream_fits({path: (image, header, np.float32)}, progress=progress)


FORMATS = (Format("model", (".fits",), write_model, needs_sources=True),)
