"""A cast to pixels and truth: the part that a blank field and an injection share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from astropy import units as u

from skygal.checks import warn_caller
from skygal.morphology.batches import Batch, make_stamps
from skygal.morphology.point import add_points
from skygal.observation.beam import TargetBeam, native_covariance
from skygal.population.spectra import Colours
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.measured import Frame, Measured
from skygal.scene.cast import Cast
from skygal.scene.image_components import Hills, SeenSources, find_hills
from skygal.scene.recipe import Placements
from skygal.wcs import pixel_to_icrs

__all__ = ["Scene", "View", "draw_scene", "hidden", "stamp_affines"]

MORPHOLOGIES = {1: "single", 2: "double", 3: "triple"}
#: power of a primary beam below which pixels, in single precision, no longer tell the flux
HARDLY = 1e-20


@dataclass(frozen=True)
class View:
    """How a cast is seen.

    Attributes
    ----------
    beam : TargetBeam
        The image's beam.
    rms : ndarray, shape (n,)
        Noise at each source, Jy/beam; 0 for none.
    ratio : float
        The frequency over the one that the population's fluxes are for.
    gain : ndarray, shape (n,), or None
        The primary beam at each source; None for 1.
    valid : ndarray of bool, shape (ny, nx), or None
        Where the image has pixels at all; None for everywhere.
    """

    beam: TargetBeam
    rms: np.ndarray
    ratio: float = 1.0
    gain: np.ndarray | None = None
    valid: np.ndarray | None = None


@dataclass(frozen=True)
class Scene:
    """What is in a noiseless sky.

    Attributes
    ----------
    truth, components : dict of str to ndarray
        Columns, in the units of `skygal.truth.schema`; what neighbours add is yet to come.
    measured : Measured
        The sources' pixels.
    placements : Placements
        What it takes to draw any part of it again.
    shape : (int, int)
        (ny, nx) of the image.
    """

    truth: dict[str, np.ndarray]
    components: dict[str, np.ndarray]
    measured: Measured
    placements: Placements
    shape: tuple[int, int]


def stamp_affines(jacobian: np.ndarray, turn: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return, for each source, the map from stamp pixels to image pixels.

    Parameters
    ----------
    jacobian : ndarray, shape (n, 2, 2)
        Pixels per arcsec (east, north) at each source, see `skygal.wcs.pixel_affine`.
    turn : ndarray, shape (n,)
        How far the stamp is turned on the sky, radians, north through east.
    scale : ndarray, shape (n,)
        Arcsec that one stamp pixel takes on the sky.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    # a stamp's x runs to the west, its y to the north
    on_sky = np.stack([np.stack([-cos, sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    return jacobian @ (on_sky * scale[:, None, None])


def draw_scene(cast: Cast, view: View, *, progress: Callable[[int], object], canvas: Canvas | None = None,
               device: str = "cpu") -> Scene:
    """Draw a cast, measure it, and keep what is needed to draw it again.

    Parameters
    ----------
    cast, view : Cast, View
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
    n, population, model = len(cast), cast.population, cast.model
    las, pa = population["las"].to_value(u.arcsec), population["pa"].to_value(u.rad)
    ids = np.asarray(population["source_id"])
    asked = population["flux"].to_value(u.Jy)
    gain = np.ones(n) if view.gain is None else view.gain
    beam, native = view.beam, native_covariance(model.beam_fwhm / model.pixel_scale)
    frame = Frame(cast.shape, beam, view.valid)
    measured = Measured(frame, asked * gain, view.rms, ids)
    columns: list[dict[str, np.ndarray]] = []
    parts: list[dict[str, np.ndarray]] = []
    kept: list[Placements] = []
    for batch in _ahead(make_stamps(model, cast.plan, cast.clip_sigma)):
        here, shapes = slice(batch.start, batch.start + len(batch.stamps)), batch.shapes
        scale = las[here] / shapes.las
        affine = stamp_affines(cast.jacobian[here], pa[here] - np.radians(shapes.pa), scale)
        index, bend = (np.asarray(population[name], float)[here] for name in ("spectral_index", "curvature"))
        colours = Colours.of(index, shapes.core_frac, view.ratio, curvature=bend)
        flux, position = asked[here] * gain[here] * colours.lobes, cast.position[here]
        measured.flux[here] = flux * (1 + colours.extra)
        found = _describe(batch, colours, scale, affine, position)
        found["flux"] = asked[here] * colours.lobes * (1 + colours.extra)
        stamps = add_points(batch.stamps, shapes.core, colours.extra, fwhm=model.beam_fwhm / model.pixel_scale)
        sources = Stamps(stamps, shapes.centre, position, affine, flux)
        seen = SeenSources(sources, *(np.stack([found[f"x{end}"], found[f"y{end}"]], axis=1) for end in ("_core", "")))
        found["n_components"] = np.zeros(len(sources), int)
        box = np.zeros((len(sources), 4), int)
        area = beam.at(*np.nan_to_num(position).T)[1] if beam.psf is None else np.ones(len(sources))
        for drawn in draw_stamps(sources, beam, native, cast.shape, device=device):
            measured.add(drawn, batch.start, area)
            hills = find_hills(drawn, seen, frame, native, measured.peak_flux[here])
            found["n_components"] += np.bincount(hills.source, minlength=len(sources))
            parts.append(_components(hills, colours, shapes.core_frac, bend, ids[here]))
            drawn.boxes(box)
            if canvas is not None:
                canvas.add(drawn, measured.limits[here], ids[here])
            progress(drawn.stop - drawn.start)
        columns.append(found)
        kept.append(Placements(np.arange(here.start, here.stop), batch.latents, shapes.flux, shapes.centre, shapes.core,
                               colours.extra, position, affine, flux, measured.limits[here], ids[here], box))
    measured.edge[hidden(measured.flux, cast.position, cast.shape)] = False
    _warn(measured, ids)
    truth, components = _tables(cast, view, measured, gain, _join(columns), _join(parts))
    return Scene(truth, components, measured, Placements.join(kept) if kept else Placements.none(),
                 cast.shape)


def hidden(flux: np.ndarray, position: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return which sources in an image are not seen at all: a primary beam lets nothing of them through."""
    size = np.array(shape[::-1])
    with np.errstate(invalid="ignore"):
        return (flux == 0) & (np.abs(position - (size - 1) / 2) < size / 2).all(axis=1)


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, the next one being made while the last one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _describe(batch: Batch, colours: Colours, scale: np.ndarray, affine: np.ndarray, position: np.ndarray
              ) -> dict[str, np.ndarray]:
    """Return columns of a batch's sources that follow from their stamps."""
    shapes, extra, total = batch.shapes, colours.extra, 1 + colours.extra
    to_core = np.einsum("nij,nj->ni", affine, shapes.core - shapes.centre)
    core = np.where(shapes.core_frac[:, None] == 0, np.nan, position + to_core)
    # a core of another colour draws the centroid to itself
    centre = np.where(extra[:, None] == 0, position, position + to_core * (extra / total)[:, None])
    return {"zoom": scale / batch.pixel_scale, "extent": batch.latents.extent,
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


def _tables(cast: Cast, view: View, measured: Measured, gain: np.ndarray, found: dict[str, np.ndarray],
            components: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the columns of truth and components."""
    if not len(cast):
        return {}, {}
    population = cast.population
    ra, dec = (np.array(population[name].to_value(u.deg)) for name in ("ra", "dec"))
    x, y = cast.position.T
    moved = np.flatnonzero(((found["x"] != x) | (found["y"] != y)) & np.isfinite(x))
    ra[moved], dec[moved] = pixel_to_icrs(cast.wcs, found["x"][moved], found["y"][moved])
    found["ra_core"], found["dec_core"] = pixel_to_icrs(cast.wcs, found.pop("x_core"), found.pop("y_core"))
    for end in ("", "_peak"):
        components[f"ra{end}"], components[f"dec{end}"] = pixel_to_icrs(cast.wcs, components[f"x{end}"],
                                                                        components[f"y{end}"])
    components["flux"] = components["flux_fraction"] * np.repeat(measured.flux, found["n_components"])
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.where(measured.peak_flux == 0, 0, measured.peak_flux / view.rms)
        # where the primary beam lets hardly anything through, only what was asked for is known
        flux = np.where(gain > HARDLY, measured.flux / gain, found.pop("flux"))
    las = population["las"].to_value(u.arcsec)
    truth = {
        **found, "source_id": np.asarray(population["source_id"]),
        "fr_class": np.asarray(population["fr_class"]).astype(str), "ra": ra, "dec": dec,
        "flux": flux, "flux_apparent": measured.flux, "las": las, "pa": population["pa"].to_value(u.deg),
        "morphology": np.array([MORPHOLOGIES.get(int(k), "multiple") for k in found["n_components"]], str),
        "spectral_index": np.asarray(population["spectral_index"], float),
        "curvature": np.asarray(population["curvature"], float),
        "redshift": np.asarray(population["redshift"], float), "snr": snr, "local_rms": view.rms,
        "las_requested": las, "flux_requested": population["flux"].to_value(u.Jy), "latent_seed": cast.plan.keys,
        **measured.columns(),
    }
    return truth, components


def _join(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _warn(measured: Measured, ids: np.ndarray) -> None:
    n, limited = len(ids), np.count_nonzero(measured.beam_limited)
    if limited:
        warn_caller(f"{limited} of {n} sources have stamps coarser than the image's beam, even at the largest extent "
                    "the model knows: they are drawn unsharpened and marked beam_limited in truth")
    outside = ids[measured.edge & (measured.bbox[:, 0] < 0) & (measured.flux_in_image == 0)]
    if outside.size:
        warn_caller(f"{outside.size} of {n} sources lie outside the image and are in truth with "
                    f"flux_in_image = 0: source_id {', '.join(map(str, outside[:10]))}"
                    + (" and others" if outside.size > 10 else ""))
