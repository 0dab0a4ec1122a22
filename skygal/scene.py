"""From a population to pixels and truth: the part that a blank field and an injection share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
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
from skygal.rendering.canvas import Canvas, Placed, Source
from skygal.seeds import Seeds
from skygal.sky import icrs_to_pixel, pixel_affine, pixel_to_icrs

__all__ = ["Scene", "draw_scene", "stamp_affines"]

MORPHOLOGIES = {1: "single", 2: "double", 3: "triple"}


@dataclass(frozen=True)
class Scene:
    """A noiseless sky and what is in it.

    Attributes
    ----------
    model : ndarray, shape (ny, nx), float32
        Jy/beam.
    segmentation : ndarray of int32, shape (ny, nx)
        The ``source_id`` of the brightest source at each pixel where one rises above the noise
        there, or above a hundredth of its own peak where that is more; 0 elsewhere.
    truth, components : dict of str to ndarray
        Columns, in the units of `skygal.truth.schema`.
    """

    model: np.ndarray
    segmentation: np.ndarray
    truth: dict[str, np.ndarray]
    components: dict[str, np.ndarray]


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
               workers: int, progress: Callable[[int], object], valid: np.ndarray | None = None) -> Scene:
    """Draw a population.

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
    workers : int
        Threads.
    progress : callable
        Called with the number of sources that have just been drawn.
    valid : ndarray of bool, shape (ny, nx), optional
        Where the image has pixels at all; by default everywhere.

    Warns
    -----
    UserWarning
        With the number of sources whose stamps are coarser than the image's beam, and of those
        that lie wholly outside the image.
    """
    n = len(population)
    ra, dec = population["ra"].to_value(u.deg), population["dec"].to_value(u.deg)
    las = population["las"].to_value(u.arcsec)
    classes = np.asarray(population["fr_class"]).astype(str)
    position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)
    keys = seeds.keys("latent", n)
    if isinstance(latents, str) and latents == "pairs":
        keys = np.repeat(keys[:(n + 1) // 2], 2)[:n]
    jacobian = pixel_affine(wcs, ra, dec)
    least = _least_size(jacobian, las, beam, model)
    plan = draw_sources(model, latents, classes, keys, least=least / SIZE_TO_EXTENT)
    canvas = Canvas(shape, beam, native_covariance(model.beam_fwhm / model.pixel_scale), valid)
    ids = np.asarray(population["source_id"])
    flux, pa = population["flux"].to_value(u.Jy), population["pa"].to_value(u.rad)
    measured: list[dict[str, np.ndarray]] = []
    parts: list[dict[str, np.ndarray]] = []
    affines = np.empty((n, 2, 2))

    def sources() -> Iterator[Source]:
        for batch in make_stamps(model, plan, clip_sigma, least / model.pixel_scale):
            here = slice(batch.start, batch.start + len(batch.stamps))
            shapes = batch.shapes
            zoom = las[here] / (shapes.las * model.pixel_scale)
            affines[here] = stamp_affines(jacobian[here], pa[here] - np.radians(shapes.pa), zoom * model.pixel_scale)
            measured.append({"zoom": zoom, "extent": batch.latents.extent, "bending": np.degrees(np.abs(batch.bending)),
                             "core_frac": shapes.core_frac, "n_components": shapes.n_components,
                             "b_maj": shapes.b_maj * zoom * model.pixel_scale,
                             "b_min": shapes.b_min * zoom * model.pixel_scale,
                             "core_offset": shapes.core - shapes.centre})
            found = batch.components
            parts.append(_component_columns(batch, affines[here], position[here], ids[here]))
            peaks = _onto_image(found.peak, found.stamp, shapes.centre, affines[here], position[here])
            first = np.searchsorted(found.stamp, np.arange(len(batch.stamps) + 1))
            for i, stamp in enumerate(batch.stamps):
                k = batch.start + i
                yield Source(stamp, shapes.centre[i], position[k], affines[k], flux[k], rms[k], int(ids[k]),
                             peaks[first[i]:first[i + 1]])

    placed: list[Placed] = []
    for one in canvas.draw(sources(), workers=workers):
        placed.append(one)
        progress(1)
    _warn(placed, ids)
    n_parts = np.array([len(p.brightness) for p in placed], int)
    columns = _join(measured)
    components = _join(parts)
    total = np.array([p.flux for p in placed])
    if n:
        core = position + np.einsum("nij,nj->ni", affines, columns.pop("core_offset"))
        core[columns["core_frac"] == 0] = np.nan
        columns["ra_core"], columns["dec_core"] = pixel_to_icrs(wcs, core[:, 0], core[:, 1])
        components["ra"], components["dec"] = pixel_to_icrs(wcs, components["x"], components["y"])
        components["flux"] = components["flux_fraction"] * np.repeat(total, n_parts)
        components["peak_flux"] = np.concatenate([p.brightness for p in placed])
    peak = np.array([p.peak_flux for p in placed])
    bbox = np.array([p.bbox for p in placed], int).reshape(n, 4)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = peak / rms
    truth = {
        "source_id": ids, "fr_class": classes, "ra": ra, "dec": dec, "x": position[:, 0], "y": position[:, 1],
        "flux": total, "flux_apparent": total, "peak_flux": peak, "las": las, "pa": np.degrees(pa), **columns,
        "morphology": np.array([MORPHOLOGIES.get(int(k), "multiple") for k in n_parts], str),
        "spectral_index": np.asarray(population["spectral_index"], float),
        "redshift": np.asarray(population["redshift"], float), "snr": snr, "local_rms": rms,
        "flux_in_image": np.array([p.flux_in_image for p in placed]), "edge": np.array([p.edge for p in placed], bool),
        "blended": np.isin(ids, list(canvas.overlaps)),
        "beam_limited": np.array([p.beam_limited for p in placed], bool),
        **{f"bbox_{end}": bbox[:, k] for k, end in enumerate(("xmin", "xmax", "ymin", "ymax"))},
        "las_requested": las, "flux_requested": flux, "latent_seed": keys,
    }
    return Scene(canvas.model(), canvas.segmentation, truth, components)


def _join(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _least_size(jacobian: np.ndarray, las: np.ndarray, beam: TargetBeam, model: Any) -> np.ndarray:
    """Return how large, in arcsec at the model's scale, each source's stamp has to be.

    A stamp that is zoomed down to the size asked for carries a beam that is zoomed down with it:
    it must not end up wider than the image's.
    """
    known = np.isfinite(jacobian).all(axis=(1, 2))
    inverse = np.linalg.inv(np.where(known[:, None, None], jacobian, np.eye(2)))
    on_sky = inverse @ beam.covariance @ np.swapaxes(inverse, 1, 2)
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


def _warn(placed: list[Placed], ids: np.ndarray) -> None:
    limited = sum(p.beam_limited for p in placed)
    if limited:
        warnings.warn(f"{limited} of {len(placed)} sources have stamps coarser than the image's beam, even at the "
                      "largest extent the model knows: they are drawn unsharpened and marked beam_limited in truth",
                      stacklevel=4)
    outside = [int(i) for i, p in zip(ids, placed, strict=True) if p.edge and p.bbox[0] < 0 and p.flux_in_image == 0]
    if outside:
        warnings.warn(f"{len(outside)} of {len(placed)} sources lie outside the image and are in truth with "
                      f"flux_in_image = 0: source_id {', '.join(map(str, outside[:10]))}"
                      + (" and others" if len(outside) > 10 else ""), stacklevel=4)
