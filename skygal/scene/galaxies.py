"""Galaxies in a frame: stamps brought onto the sky, measured there, and drawn again in any window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.checks import show_fields, warn_caller
from skygal.morphology.batches import Batch, decode_at, finish_stamps
from skygal.morphology.galaxies import Galaxies
from skygal.morphology.generator import DECODE_BLOCK
from skygal.morphology.measure import Shapes
from skygal.morphology.point import add_points
from skygal.morphology.views import StampView, draw_views, view_fwhm, view_shapes
from skygal.observation.beam import FWHM, TargetBeam, native_covariance
from skygal.observation.frame import Frame
from skygal.population.spectra import Colours
from skygal.rendering.blocks import Window
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.image_components import Hills, SeenSources, find_hills
from skygal.rendering.measured import Measured, hidden
from skygal.rendering.places import StampPlaces
from skygal.rendering.zoom import stamp_affines, stamp_scale
from skygal.scene.layer import Depth, within_boxes
from skygal.wcs import icrs_to_pixel, pixel_affine, pixel_to_icrs

__all__ = ["MAPS_AT_ONCE", "GalaxyLayer", "Sight", "place_stamps", "see_stamps"]

MORPHOLOGIES = {1: "single", 2: "double", 3: "triple"}
#: power of a primary beam below which pixels, in single precision, no longer tell the flux
HARDLY = 1e-20
#: sources that are decoded at once
STAMPS_AT_ONCE = 512
#: the same where octaves may be drawn after the stamps, each of them up to a few megabytes
MAPS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class GalaxyLayer:
    """Galaxies that a model decodes, in a frame: a `skygal.scene.layer.Layer`.

    Attributes
    ----------
    places : StampPlaces
        What it takes to draw them.
    shape : (int, int)
        (ny, nx) of the image.
    beam : TargetBeam
        Its beam.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    device : str
        Where stamps are rendered: "cpu" or "cuda".
    truth, components, depths, shared
        See `skygal.scene.layer.Layer`; what is shared is the model.
    """

    places: StampPlaces
    shape: tuple[int, int]
    beam: TargetBeam
    clip_sigma: float | None
    device: str = "cpu"
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    components: dict[str, np.ndarray] = field(default_factory=dict)
    depths: tuple[Depth, ...] = ()
    shared: Any = None

    def within(self, window: Window) -> GalaxyLayer:
        """Return what it takes to draw a window."""
        places = self.places[within_boxes(self.places.box, window)]
        return GalaxyLayer(places, self.shape, self.beam, self.clip_sigma, self.device)

    def draw(self, canvas: Canvas, shared: Any) -> None:
        """Decode the sources again and add them to a canvas."""
        mine = self.places[within_boxes(self.places.box, canvas.reach)]
        fwhm = shared.beam_fwhm / shared.pixel_scale
        for start in range(0, len(mine), STAMPS_AT_ONCE):
            part = mine[start:start + STAMPS_AT_ONCE]
            stamps = decode_at(shared, part.latents, part.number % DECODE_BLOCK)
            stamps = finish_stamps(shared, stamps, self.clip_sigma)
            stamps /= part.total[:, None, None].astype(np.float32)
            for view in draw_views(shared, stamps, part.latents, part.stamp[:, :2], part.stamp[:, 2], part.octaves):
                mine_here, own = part[view.part], view_fwhm(view, fwhm)
                for drawn in draw_stamps(_sources(mine_here, view.images, own), self.beam, native_covariance(own),
                                         self.shape, window=canvas.reach, device=self.device):
                    canvas.add(drawn, mine_here.limits, mine_here.labels)


def _sources(places: StampPlaces, images: np.ndarray, fwhm: float) -> Stamps:
    """Return images of unit sum, whose beam has a FWHM in pixels, where they are placed."""
    return Stamps(add_points(images, places.core, places.extra, fwhm=fwhm), places.centre, places.position,
                  places.affine, places.flux)


def _octaves(model: Any, affine: np.ndarray, position: np.ndarray, beam: TargetBeam) -> np.ndarray:
    """Return how many octaves each stamp needs, shape (n,), to be seen with the image's beam."""
    octaves = np.zeros(len(position), int)
    rows = np.flatnonzero(np.isfinite(position).all(axis=1) & np.isfinite(affine).all(axis=(1, 2)))
    if model.octaves is not None and rows.size:
        inverse = np.linalg.inv(affine[rows])
        covariance = inverse @ beam.at(*position[rows].T)[0] @ np.swapaxes(inverse, -1, -2)
        octaves[rows] = model.octaves.needed(FWHM * np.sqrt(np.linalg.eigvalsh(covariance)[:, 0]),
                                              model.beam_fwhm / model.pixel_scale)
    return octaves


def place_stamps(galaxies: Galaxies, frame: Frame, rms: np.ndarray, *, ratio: float,
                 progress: Callable[[int], object], canvas: Canvas | None = None, device: str = "cpu") -> GalaxyLayer:
    """Draw galaxies in a frame, measure them, and keep what is needed to draw them again.

    Parameters
    ----------
    galaxies : Galaxies
        What is to be drawn.
    frame : Frame
        The image.
    rms : ndarray, shape (n,) or (depths, n)
        Noise at each, Jy/beam; 0 for none.
    ratio : float
        The frequency over the one that the population's fluxes are for.
    progress : callable
        Called with the number of sources that have just been drawn.
    canvas : Canvas, optional
        What the sources are added to; by default they are measured only.
    device : str
        Where stamps are rendered: "cpu" or "cuda".

    Warns
    -----
    UserWarning
        With the number of sources whose stamps are coarser than the image's beam, and of those
        that lie wholly outside the image.
    """
    population, model = galaxies.population, galaxies.model
    las, pa = population["las"].to_value(u.arcsec), population["pa"].to_value(u.rad)
    ids, asked = np.asarray(population["source_id"]), population["flux"].to_value(u.Jy)
    place = population["ra"].to_value(u.deg), population["dec"].to_value(u.deg)
    positions, jacobian = np.stack(icrs_to_pixel(frame.wcs, *place), axis=-1), pixel_affine(frame.wcs, *place)
    gain = frame.gain(*place)
    gain = np.ones(len(population)) if gain is None else gain
    beam, fwhm = frame.beam, model.beam_fwhm / model.pixel_scale
    native = native_covariance(fwhm)
    measured = Measured(frame, asked * gain, rms, ids)
    columns: list[dict[str, np.ndarray]] = []
    parts: list[dict[str, np.ndarray]] = []
    kept: list[StampPlaces] = []
    at_once = STAMPS_AT_ONCE if model.octaves is None else MAPS_AT_ONCE
    for batch in (part for whole in _ahead(galaxies.stamps()) for part in whole.parts(at_once)):
        here, stamp = slice(batch.start, batch.start + len(batch.stamps)), batch.shapes
        position = positions[here]
        sight = see_stamps(model, batch, las[here], pa[here], jacobian[here], position, beam)
        shapes, affine = sight.shapes, sight.affine
        index, bend = (np.asarray(population[name], float)[here] for name in ("spectral_index", "curvature"))
        colours = Colours.of(index, shapes.core_frac, ratio, curvature=bend)
        flux = asked[here] * gain[here] * colours.lobes
        measured.flux[here] = flux * (1 + colours.extra)
        found = _describe(batch, sight, colours, position)
        found["flux"] = asked[here] * colours.lobes * (1 + colours.extra)
        places = StampPlaces(np.arange(here.start, here.stop), batch.latents, stamp.flux,
                             np.column_stack([stamp.centre, stamp.las]), sight.octaves, shapes.centre, shapes.core,
                             colours.extra, position, affine, flux, measured.all_limits[here], ids[here],
                             np.zeros((len(batch.stamps), 4), int))
        ends = [np.stack([found[f"x{end}"], found[f"y{end}"]], axis=1) for end in ("_core", "")]
        found["n_components"] = np.zeros(len(places), int)
        area = beam.at(*np.nan_to_num(position).T)[1] if beam.psf is None else np.ones(len(places))
        for view in sight.views:
            part, own = places[view.part], view_fwhm(view, fwhm)
            sources, native, first = _sources(part, view.images, own), native_covariance(own), view.part.start
            seen = SeenSources(sources, *(end[view.part] for end in ends))
            peaks = measured.peak_flux[here][view.part]
            for drawn in draw_stamps(sources, beam, native, frame.shape, device=device):
                measured.add(drawn, batch.start + first, area[view.part])
                hills = find_hills(drawn, seen, frame, native, peaks)
                found["n_components"][view.part] += np.bincount(hills.source, minlength=len(part))
                mine = (a[here][view.part] for a in (np.asarray(population["curvature"], float), ids))
                parts.append(_components(hills, colours[view.part], shapes.core_frac[view.part], *mine))
                drawn.boxes(part.box)
                if canvas is not None:
                    canvas.add(drawn, part.limits, part.labels)
                progress(drawn.stop - drawn.start)
        columns.append(found)
        kept.append(places)
    for outlines in measured.outlines:
        outlines.edge[hidden(measured.flux, positions, frame.shape)] = False
    _warn(measured, ids, sharp=model.octaves is not None)
    truth, components = _tables(population, frame, positions, measured, gain, _join(columns), _join(parts))
    places = StampPlaces.join(kept, galaxies.latents[:0], len(measured.outlines))
    depths = tuple(Depth(one.columns() if len(ids) else {}, one.footprints) for one in measured.outlines)
    return GalaxyLayer(places, frame.shape, beam, galaxies.clip_sigma, device, truth, components, depths, model)


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, the next one being made while the last one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


@dataclass(frozen=True, eq=False)
class Sight:
    """What is drawn of a batch of stamps, and how it comes to lie in an image.

    Attributes
    ----------
    octaves : ndarray of int, shape (n,)
        How many are drawn after each stamp, see `skygal.morphology.octaves.Octaves.needed`.
    views : list of StampView
        What is drawn.
    shapes : Shapes
        Measured on that, in its own pixels.
    scale : ndarray, shape (n,)
        Arcsec that one of these pixels takes on the sky.
    affine : ndarray, shape (n, 2, 2)
        From them to pixels of the image.
    zoom : ndarray, shape (n,)
        By how much the stamp is larger on the sky than as the model made it.
    """

    octaves: np.ndarray
    views: list[StampView]
    shapes: Shapes
    scale: np.ndarray
    affine: np.ndarray
    zoom: np.ndarray

    __repr__ = show_fields


def see_stamps(model: Any, batch: Batch, las: np.ndarray, pa: np.ndarray, jacobian: np.ndarray, position: np.ndarray,
               beam: TargetBeam) -> Sight:
    """Return what is drawn of stamps for an image.

    Parameters
    ----------
    model : Generator
        The trained model.
    batch : Batch
        Its stamps.
    las, pa : ndarray, shape (n,)
        Size (arcsec) and position angle (radians) of each on the sky.
    jacobian : ndarray, shape (n, 2, 2)
        See `skygal.wcs.pixel_affine`.
    position : ndarray, shape (n, 2)
        Where each comes to lie, pixels of the image.
    beam : TargetBeam
        The image's beam.
    """
    stamp = batch.shapes
    scale = stamp_scale(las, stamp.las)
    affine = stamp_affines(jacobian, pa - np.radians(stamp.pa), scale)
    octaves = _octaves(model, affine, position, beam)
    views = list(draw_views(model, batch.stamps, batch.latents, stamp.centre, stamp.las, octaves))
    shapes = Shapes.join([view_shapes(view, stamp) for view in views])
    pixels = np.repeat([view.pixels for view in views], [len(view.images) for view in views])
    return Sight(octaves, views, shapes, scale / pixels, affine / pixels[:, None, None], scale / batch.pixel_scale)


def _describe(batch: Batch, sight: Sight, colours: Colours, position: np.ndarray) -> dict[str, np.ndarray]:
    """Return columns of a batch's sources that follow from what is drawn of them."""
    extra, total = colours.extra, 1 + colours.extra
    shapes, scale, affine = sight.shapes, sight.scale, sight.affine
    to_core = np.einsum("nij,nj->ni", affine, shapes.core - shapes.centre)
    core = np.where(shapes.core_frac[:, None] == 0, np.nan, position + to_core)
    # a core of another colour draws the centroid to itself
    centre = np.where(extra[:, None] == 0, position, position + to_core * (extra / total)[:, None])
    return {"latent_seed": batch.latents.keys, "zoom": sight.zoom, "extent": batch.latents.extent,
            "bending": np.degrees(np.abs(batch.bending)), "n_components_stamp": shapes.n_components,
            "core_frac": np.where(extra == 0, shapes.core_frac, (shapes.core_frac + extra) / total),
            "b_maj": shapes.b_maj * scale, "b_min": shapes.b_min * scale,
            "x": centre[:, 0], "y": centre[:, 1], "x_core": core[:, 0], "y_core": core[:, 1]}


def _components(hills: Hills, colours: Colours, core_frac: np.ndarray, bend: np.ndarray, ids: np.ndarray
                ) -> dict[str, np.ndarray]:
    """Return columns of the components of sources, whose flux of unit sum has the part ``core_frac`` in the core."""
    k = hills.source
    n = np.bincount(k, minlength=len(ids))
    # what it holds at the frequency of the spectral index, where the core is not yet brighter, or fainter
    before = hills.fraction * (1 + colours.extra[k]) - hills.core * colours.extra[k]
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = np.where(hills.core > 0, np.clip(core_frac[k] * hills.core / before, 0, 1), 0)
    return {"source_id": ids[k], "component_id": np.arange(k.size) - (np.cumsum(n) - n)[k] + 1,
            "kind": np.where(n[k] == 1, "whole", np.where(hills.is_core, "core", "lobe")),
            "x": hills.centre[:, 0], "y": hills.centre[:, 1], "x_peak": hills.peak[:, 0], "y_peak": hills.peak[:, 1],
            "flux_fraction": hills.fraction, "peak_flux": hills.peak_flux,
            "spectral_index": colours.lobe_index[k] + flat * (colours.core_index - colours.lobe_index)[k],
            "curvature": bend[k]}


def _tables(population: QTable, frame: Frame, position: np.ndarray, measured: Measured, gain: np.ndarray,
            found: dict[str, np.ndarray], components: dict[str, np.ndarray]
            ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the columns of truth and components."""
    if not len(population):
        return {}, {}
    ra, dec = (np.array(population[name].to_value(u.deg)) for name in ("ra", "dec"))
    x, y = position.T
    moved = np.flatnonzero(((found["x"] != x) | (found["y"] != y)) & np.isfinite(x))
    ra[moved], dec[moved] = pixel_to_icrs(frame.wcs, found["x"][moved], found["y"][moved])
    found["ra_core"], found["dec_core"] = pixel_to_icrs(frame.wcs, found.pop("x_core"), found.pop("y_core"))
    for end in ("", "_peak"):
        components[f"ra{end}"], components[f"dec{end}"] = pixel_to_icrs(frame.wcs, components[f"x{end}"],
                                                                        components[f"y{end}"])
    components["flux"] = components["flux_fraction"] * np.repeat(measured.flux, found["n_components"])
    with np.errstate(divide="ignore", invalid="ignore"):
        # where the primary beam lets hardly anything through, only what was asked for is known
        flux = np.where(gain > HARDLY, measured.flux / gain, found.pop("flux"))
    las = population["las"].to_value(u.arcsec)
    truth = {
        **found, "source_id": np.asarray(population["source_id"]), "parent_id": np.asarray(population["source_id"]),
        "fr_class": np.asarray(population["fr_class"]).astype(str),
        "population": np.asarray(population["fr_class"]).astype(str), "ra": ra, "dec": dec,
        "flux": flux, "flux_apparent": measured.flux, "las": las, "pa": population["pa"].to_value(u.deg),
        "morphology": np.array([MORPHOLOGIES.get(int(k), "multiple") for k in found["n_components"]], str),
        "spectral_index": np.asarray(population["spectral_index"], float),
        "curvature": np.asarray(population["curvature"], float),
        "redshift": np.asarray(population["redshift"], float),
        "las_requested": las, "flux_requested": population["flux"].to_value(u.Jy),
        **measured.columns(),
    }
    return truth, components


def _join(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _warn(measured: Measured, ids: np.ndarray, *, sharp: bool) -> None:
    n, limited = len(ids), np.count_nonzero(measured.beam_limited)
    if limited:
        warn_caller(f"{limited} of {n} sources have stamps coarser than the image's beam, even at the largest extent "
                    "the model knows: they are drawn unsharpened and marked beam_limited in truth"
                    + ("" if sharp else "; model='first-atlas' draws sources sharper"))
    outside = ids[measured.edge & (measured.bbox[:, 0] < 0) & (measured.flux_in_image == 0)]
    if outside.size:
        warn_caller(f"{outside.size} of {n} sources lie outside the image and are in truth with "
                    f"flux_in_image = 0: source_id {', '.join(map(str, outside[:10]))}"
                    + (" and others" if outside.size > 10 else ""))
