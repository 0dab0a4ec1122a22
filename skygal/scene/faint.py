"""Faint sources, whose brightness is a formula, on an image: placed, measured, and told in truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.observation.ellipse import FWHM, ellipse_covariance
from skygal.population.faint import number_apart
from skygal.rendering.analytic.bulk import KINDS, POINT, Analytic, AnalyticTruth, measure, reach
from skygal.rendering.analytic.pixels import Boxes, make_patches
from skygal.rendering.blocks import Window
from skygal.rendering.canvas import Canvas
from skygal.rendering.measured import FAINTEST, Frame, least_seen, matters_above
from skygal.rendering.neighbours import find_neighbours
from skygal.scene.faint_neighbours import FaintNeighbours
from skygal.scene.galaxies import Scene, View, hidden
from skygal.wcs import icrs_to_pixel, pixel_affine

__all__ = ["Faint", "FaintScene", "draw_faint", "whole_components", "whole_truth"]

#: diameter of the isophote at 5 % of the peak: of a Gaussian in FWHMs, of an exponential disc in scale lengths
GAUSSIAN_SIZE, DISC_SIZE = float(np.sqrt(np.log(20) / np.log(2))), float(2 * np.log(20))
#: second moment of an exponential disc along an axis, in scale lengths squared
DISC_MOMENT = 3.0


@dataclass(frozen=True)
class Faint:
    """Faint sources, ready to be drawn.

    Attributes
    ----------
    sources : Analytic
        As they are added up.
    seen : Analytic
        As they appear: the same without a PSF image, else with the Gaussian fitted to its main lobe.
    limits : ndarray, shape (n,), float32
        Jy/beam above which a pixel is labelled as the source's.
    labels : ndarray of int, shape (n,)
        Their ``source_id``.
    box : ndarray of int, shape (n, 4)
        (y0, y1, x0, x1) of the pixels, one past the last row and column; y0 = y1 for none.
    """

    sources: Analytic
    seen: Analytic
    limits: np.ndarray
    labels: np.ndarray
    box: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> Faint:
        sources = self.sources[rows]
        seen = sources if self.seen is self.sources else self.seen[rows]
        return Faint(sources, seen, self.limits[rows], self.labels[rows], self.box[rows])

    def within(self, window: Window) -> Faint:
        """Return the sources with pixels in a window (y0, y1, x0, x1)."""
        y0, y1, x0, x1 = window
        bottom, top, left, right = self.box.T
        return self[np.flatnonzero((bottom < top) & (left < x1) & (right > x0) & (bottom < y1) & (top > y0))]

    def add_to(self, canvas: Canvas) -> None:
        """Add the sources to a canvas."""
        canvas.add_analytic(self.sources, self.seen, self.limits, self.labels)


@dataclass(frozen=True)
class FaintScene:
    """Faint sources, the columns that they have in truth, and themselves as neighbours."""

    truth: dict[str, np.ndarray]
    components: dict[str, np.ndarray]
    faint: Faint
    neighbours: FaintNeighbours


def draw_faint(table: QTable, wcs: WCS, shape: tuple[int, int], view: View, *, taken: np.ndarray) -> FaintScene:
    """Place faint sources on an image, and measure each by itself.

    Parameters
    ----------
    table : QTable
        From `skygal.population.check_faint`.
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    view : View
        How they are seen.
    taken : ndarray of int
        ``source_id`` of other sources: where one of these has it too, see `skygal.population.faint.number_apart`.
    """
    ra, dec = table["ra"].to_value(u.deg), table["dec"].to_value(u.deg)
    ids = number_apart(np.asarray(table["source_id"], np.int64), taken)
    position = np.stack(icrs_to_pixel(wcs, ra, dec), axis=-1)
    jacobian = pixel_affine(wcs, ra, dec)
    known = np.isfinite(position).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    position = np.where(known[:, None], position, np.nan)
    jacobian = np.where(known[:, None, None], jacobian, np.eye(2))
    kind = np.argmax(np.asarray(table["kind"]).astype(str)[:, None] == np.array(KINDS), axis=1).astype(np.int8)
    b_maj, b_min = table["b_maj"].to_value(u.arcsec), table["b_min"].to_value(u.arcsec)
    gain = np.ones(len(table)) if view.gain is None else view.gain
    index = np.asarray(table["spectral_index"], float)
    curvature = np.asarray(table["curvature"], float)
    colour = view.ratio**(index + curvature * np.log(view.ratio))
    flux = table["flux"].to_value(u.Jy) * colour * gain
    # the covariance of a Gaussian is that of its FWHM; a disc's matrix that of its scale length itself
    own = jacobian @ ellipse_covariance(b_maj, b_min, table["pa"].to_value(u.rad)) @ np.swapaxes(jacobian, 1, 2)
    own *= np.choose(kind, [0.0, 1.0, FWHM**2])[:, None, None]
    sources, seen = _seen_with(view, kind, position, flux, own, jacobian)
    measured = measure(seen, shape, valid=view.valid,
                       limit=lambda peak, rows: np.clip(view.rms[rows], FAINTEST * peak, 0.5 * peak))
    inside = measured.flux_in_image if view.beam.psf is None else _flux_in_image(sources, shape, view, measured)
    total = measured.flux if view.beam.psf is None else flux
    with np.errstate(divide="ignore", invalid="ignore"):
        intrinsic = np.where(gain > 0, total / gain, table["flux"].to_value(u.Jy) * colour)
        snr = np.where(measured.peak_in_image == 0, 0, measured.peak_in_image / view.rms)
    none = np.full(len(table), np.nan)
    las = np.choose(kind, [0 * b_maj, GAUSSIAN_SIZE * b_maj, DISC_SIZE * b_maj])
    fwhm = np.choose(kind, [0, 1, FWHM * np.sqrt(DISC_MOMENT)])
    ends = {f"bbox_{end}": measured.bbox[:, k] for k, end in enumerate(("xmin", "xmax", "ymin", "ymax"))}
    truth = {
        "source_id": ids, "fr_class": np.full(len(table), "none"), "morphology": np.array(KINDS)[kind], "ra": ra,
        "dec": dec, "ra_core": none, "dec_core": none, "x": position[:, 0], "y": position[:, 1], "flux": intrinsic,
        "flux_apparent": total, "peak_flux": measured.peak_in_image, "las": las, "b_maj": fwhm * b_maj,
        "b_min": fwhm * b_min, "pa": table["pa"].to_value(u.deg), "core_frac": np.where(kind == POINT, 1.0, 0.0),
        "n_components": np.ones(len(table), int), "n_components_stamp": np.zeros(len(table), int),
        "spectral_index": index, "curvature": curvature,
        "redshift": np.asarray(table["redshift"], float), "snr": snr, "local_rms": view.rms,
        "flux_in_image": inside, "edge": measured.edge & ~hidden(flux, position, shape),
        "beam_limited": np.zeros(len(table), bool), **ends,
        "zoom": none, "extent": none, "bending": none, "las_requested": las,
        "flux_requested": table["flux"].to_value(u.Jy), "latent_seed": np.full(len(table), -1),
    }
    half = reach(sources)
    centre = np.where(known[:, None], np.floor(np.where(known[:, None], position, 0) + 0.5), 0).astype(np.int64)
    low, high = (centre - half)[:, ::-1], (centre + half + 1)[:, ::-1]
    box = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
    box[~known] = 0
    whole = np.ones(len(table))
    components = {
        "source_id": ids, "component_id": np.ones(len(table), int), "kind": np.full(len(table), "whole"), "ra": ra,
        "dec": dec, "x": position[:, 0], "y": position[:, 1], "ra_peak": ra, "dec_peak": dec, "x_peak": position[:, 0],
        "y_peak": position[:, 1], "flux": total, "peak_flux": measured.peak_in_image, "flux_fraction": whole,
        "spectral_index": index, "curvature": curvature}
    peak = np.nan_to_num(measured.peak_flux)
    neighbours = FaintNeighbours(seen, ids, measured.limit, least_seen(peak, view.rms).astype(np.float32),
                                 matters_above(peak, view.rms), view.valid)
    return FaintScene(truth, components, Faint(sources, seen, measured.limit, ids, box), neighbours)


def _seen_with(view: View, kind: np.ndarray, position: np.ndarray, flux: np.ndarray, own: np.ndarray,
               jacobian: np.ndarray) -> tuple[Analytic, Analytic]:
    """Return sources as they are added up and as they appear."""
    beam, area = view.beam.at(*np.nan_to_num(position).T)
    if view.beam.psf is None:
        sources = Analytic(kind, position, flux, own, beam, area)
        return sources, sources
    lobe = view.beam.beam
    fitted = ellipse_covariance(lobe.major.to_value(u.arcsec), lobe.minor.to_value(u.arcsec), lobe.pa.to_value(u.rad))
    main = jacobian @ fitted @ np.swapaxes(jacobian, 1, 2)
    peak = 2 * np.pi * np.sqrt(np.linalg.det(main))
    return (Analytic(kind, position, flux, own, beam, np.ones(len(flux))),
            Analytic(kind, position, flux, own, main, peak))


def _flux_in_image(sources: Analytic, shape: tuple[int, int], view: View, measured: AnalyticTruth) -> np.ndarray:
    """Return what of the flux a PSF image spreads into the image, Jy."""
    frame = Frame(shape, view.beam, view.valid)
    boxes = Boxes.of(sources, integrated=False)
    low, high = boxes.centre - boxes.half, boxes.centre + boxes.half
    whole = frame.interior(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    out = np.where(whole, sources.flux, 0.0)
    for rows in boxes.in_groups(np.flatnonzero(~whole & (boxes.half[:, 0] >= 0))):
        for patches in make_patches(sources, boxes, rows, integrated=False):
            for k, (x, y), values in zip(patches.rows, patches.corner.tolist(), patches.values, strict=True):
                out[k] += frame.flux_within(x, y, values)
    return out


def whole_truth(scene: Scene, faint: FaintScene | None) -> dict[str, np.ndarray]:
    """Return the columns of truth of galaxies and faint sources together, with what neighbours add to each."""
    truth = _together(scene.truth, {} if faint is None else faint.truth)
    if truth:
        layers = [scene.measured.footprints] + ([] if faint is None else [faint.neighbours])
        found = find_neighbours(layers, scene.shape)
        ids = truth["source_id"]
        truth["blended"], truth["neighbour_flux_frac"] = np.zeros(len(ids), bool), np.zeros(len(ids))
        order = np.argsort(ids)
        rows = order[np.searchsorted(ids[order], found.labels)]
        truth["blended"][rows], truth["neighbour_flux_frac"][rows] = found.blended, found.share
    return truth


def whole_components(scene: Scene, faint: FaintScene | None) -> dict[str, np.ndarray]:
    """Return the columns of the components of galaxies and faint sources together."""
    return _together(scene.components, {} if faint is None else faint.components)


def _together(*parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    filled = [part for part in parts if part]
    return {name: np.concatenate([part[name] for part in filled]) for name in filled[0]} if filled else {}
