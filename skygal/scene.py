"""From a population to pixels and truth: the part that a blank field and an injection share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.latents import draw_sources
from skygal.morphology.stamps import Batch, make_stamps
from skygal.rendering.beam import FWHM, TargetBeam, native_covariance
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.measured import Frame, Measured, brightest_near
from skygal.seeds import Seeds
from skygal.sky import icrs_to_pixel, pixel_affine, pixel_to_icrs
from skygal.tiles import Placements

__all__ = ["Scene", "draw_scene", "stamp_affines"]

MORPHOLOGIES = {1: "single", 2: "double", 3: "triple"}


@dataclass(frozen=True)
class Scene:
    """What is in a noiseless sky.

    Attributes
    ----------
    truth, components : dict of str to ndarray
        Columns, in the units of `skygal.truth.schema`.
    placements : Placements
        What it takes to draw any part of it again.
    """

    truth: dict[str, np.ndarray]
    components: dict[str, np.ndarray]
    placements: Placements


def stamp_affines(jacobian: np.ndarray, turn: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return, for each source, the map from stamp pixels to image pixels.

    Parameters
    ----------
    jacobian : ndarray, shape (n, 2, 2)
        Pixels per arcsec (east, north) at each source, see `skygal.sky.pixel_affine`.
    turn : ndarray, shape (n,)
        How far the stamp is turned on the sky, radians, north through east.
    scale : ndarray, shape (n,)
        Arcsec that one stamp pixel takes on the sky.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    # a stamp's x runs to the west, its y to the north
    on_sky = np.stack([np.stack([-cos, sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    return jacobian @ (on_sky * scale[:, None, None])


def draw_scene(wcs: WCS, shape: tuple[int, int], population: QTable, beam: TargetBeam, *, model: Any,
               latents: str | np.ndarray, clip_sigma: float | None, seeds: Seeds, rms: np.ndarray,
               progress: Callable[[int], object], valid: np.ndarray | None = None,
               canvas: Canvas | None = None, device: str = "cpu") -> Scene:
    """Draw a population, measure it, and keep what is needed to draw it again.

    Parameters
    ----------
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    population : QTable
        From `skygal.population.sample_population`.
    beam : TargetBeam
        The image's beam.
    model : Generator
        The trained model.
    latents : str or ndarray
        See `skygal.morphology.latents.draw_latents`.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    seeds : Seeds
        The run's random streams.
    rms : ndarray, shape (n,)
        Noise at each source, Jy/beam; 0 for none.
    progress : callable
        Called with the number of sources that have just been drawn.
    valid : ndarray of bool, shape (ny, nx), optional
        Where the image has pixels at all; by default everywhere.
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
    n = len(population)
    ra, dec = population["ra"].to_value(u.deg), population["dec"].to_value(u.deg)
    las, pa = population["las"].to_value(u.arcsec), population["pa"].to_value(u.rad)
    classes = np.asarray(population["fr_class"]).astype(str)
    flux, ids = population["flux"].to_value(u.Jy), np.asarray(population["source_id"])
    position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)
    keys = seeds.keys("latent", n)
    if isinstance(latents, str) and latents == "pairs":
        keys = np.repeat(keys[:(n + 1) // 2], 2)[:n]
    jacobian = pixel_affine(wcs, ra, dec)
    least = _least_size(jacobian, las, position, beam, model)
    plan = draw_sources(model, latents, classes, keys, least=least / SIZE_TO_EXTENT)
    native = native_covariance(model.beam_fwhm / model.pixel_scale)
    measured = Measured(Frame(shape, beam, valid), flux, rms, ids)
    columns: list[dict[str, np.ndarray]] = []
    parts: list[dict[str, np.ndarray]] = []
    kept: list[Placements] = []
    for batch in _ahead(make_stamps(model, plan, clip_sigma, least / model.pixel_scale)):
        here, shapes = slice(batch.start, batch.start + len(batch.stamps)), batch.shapes
        zoom = las[here] / (shapes.las * model.pixel_scale)
        affine = stamp_affines(jacobian[here], pa[here] - np.radians(shapes.pa), zoom * model.pixel_scale)
        columns.append({"zoom": zoom, "extent": batch.latents.extent, "bending": np.degrees(np.abs(batch.bending)),
                        "core_frac": shapes.core_frac, "n_components": shapes.n_components,
                        "b_maj": shapes.b_maj * zoom * model.pixel_scale,
                        "b_min": shapes.b_min * zoom * model.pixel_scale,
                        **_core_place(shapes, affine, position[here])})
        part = _component_columns(batch, affine, position[here], ids[here])
        peaks = _onto_image(batch.components.peak, batch.components.stamp, shapes.centre, affine, position[here])
        part["peak_flux"] = np.full(len(peaks), np.nan)
        parts.append(part)
        sources = Stamps(batch.stamps, shapes.centre, position[here], affine, flux[here])
        box = np.zeros((len(sources), 4), int)
        area = beam.at(*np.nan_to_num(position[here]).T)[1] if beam.psf is None else np.ones(len(sources))
        for drawn in draw_stamps(sources, beam, native, shape, device=device):
            measured.add(drawn, batch.start, area)
            near = brightest_near(drawn, peaks, batch.components.stamp)
            part["peak_flux"] = np.where(np.isnan(near), part["peak_flux"], near)
            drawn.boxes(box)
            if canvas is not None:
                canvas.add(drawn, measured.limits[here], ids[here])
            progress(drawn.stop - drawn.start)
        kept.append(Placements(np.arange(here.start, here.stop), batch.latents, shapes.flux, shapes.centre,
                               position[here], affine, flux[here], measured.limits[here], ids[here], box))
    _warn(measured, ids)
    found, components = _join(columns), _join(parts)
    if n:
        found["ra_core"], found["dec_core"] = pixel_to_icrs(wcs, found.pop("x_core"), found.pop("y_core"))
        components["ra"], components["dec"] = pixel_to_icrs(wcs, components["x"], components["y"])
        components["flux"] = components["flux_fraction"] * np.repeat(measured.flux, found["n_components"])
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = measured.peak_flux / rms
    truth = {
        "source_id": ids, "fr_class": classes, "ra": ra, "dec": dec, "x": position[:, 0], "y": position[:, 1],
        "flux": measured.flux, "flux_apparent": measured.flux, "peak_flux": measured.peak_flux, "las": las,
        "pa": np.degrees(pa), **found,
        "morphology": np.array([MORPHOLOGIES.get(int(k), "multiple") for k in found.get("n_components", ())], str),
        "spectral_index": np.asarray(population["spectral_index"], float),
        "redshift": np.asarray(population["redshift"], float), "snr": snr, "local_rms": rms,
        "flux_in_image": measured.flux_in_image, "edge": measured.edge,
        "blended": np.isin(ids, list(measured.footprints.overlapping())), "beam_limited": measured.beam_limited,
        **{f"bbox_{end}": measured.bbox[:, k] for k, end in enumerate(("xmin", "xmax", "ymin", "ymax"))},
        "las_requested": las, "flux_requested": flux, "latent_seed": keys,
    }
    return Scene(truth, components, Placements.join(kept) if kept else Placements.none())


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, the next one being made while the last one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _core_place(shapes: Any, affine: np.ndarray, position: np.ndarray) -> dict[str, np.ndarray]:
    """Return where cores come to lie in the image, NaN for sources without one."""
    core = position + np.einsum("nij,nj->ni", affine, shapes.core - shapes.centre)
    core[shapes.core_frac == 0] = np.nan
    return {"x_core": core[:, 0], "y_core": core[:, 1]}


def _join(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _least_size(jacobian: np.ndarray, las: np.ndarray, position: np.ndarray, beam: TargetBeam,
                model: Any) -> np.ndarray:
    """Return how large, in arcsec at the model's scale, each source's stamp has to be.

    A stamp that is zoomed down to the size asked for carries a beam that is zoomed down with it:
    it must not end up wider than the image's.
    """
    known = np.isfinite(jacobian).all(axis=(1, 2))
    inverse = np.linalg.inv(np.where(known[:, None, None], jacobian, np.eye(2)))
    covariance, _ = beam.at(*np.nan_to_num(position).T)
    on_sky = inverse @ covariance @ np.swapaxes(inverse, 1, 2)
    narrow = FWHM * np.sqrt(np.linalg.eigvalsh(on_sky)[:, 0])
    return np.where(known, las * model.beam_fwhm / narrow, 0)


def _onto_image(place: np.ndarray, stamp: np.ndarray, centre: np.ndarray, affines: np.ndarray,
                position: np.ndarray) -> np.ndarray:
    """Return where points (x, y) of stamps come to lie in the image."""
    return position[stamp] + np.einsum("nij,nj->ni", affines[stamp], place - centre[stamp])


def _component_columns(batch: Batch, affines: np.ndarray, position: np.ndarray,
                       ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return the components of a batch: in pixels of the image, and with their part of the flux."""
    found, shapes = batch.components, batch.shapes
    k = found.stamp
    at = _onto_image(found.centre, k, shapes.centre, affines, position)
    first = np.r_[True, np.diff(k) > 0]
    number = np.arange(k.size) - np.flatnonzero(first)[np.cumsum(first) - 1] + 1
    is_core = (np.abs(found.peak - shapes.core[k]).max(axis=1) <= 0.5) & (shapes.core_frac[k] > 0)
    return {"source_id": ids[k], "component_id": number, "kind": np.where(is_core, "core", "lobe"),
            "x": at[:, 0], "y": at[:, 1], "flux_fraction": found.flux}


def _warn(measured: Measured, ids: np.ndarray) -> None:
    n, limited = len(ids), np.count_nonzero(measured.beam_limited)
    if limited:
        warnings.warn(f"{limited} of {n} sources have stamps coarser than the image's beam, even at the "
                      "largest extent the model knows: they are drawn unsharpened and marked beam_limited in truth",
                      stacklevel=4)
    outside = ids[measured.edge & (measured.bbox[:, 0] < 0) & (measured.flux_in_image == 0)]
    if outside.size:
        warnings.warn(f"{outside.size} of {n} sources lie outside the image and are in truth with "
                      f"flux_in_image = 0: source_id {', '.join(map(str, outside[:10]))}"
                      + (" and others" if outside.size > 10 else ""), stacklevel=4)
