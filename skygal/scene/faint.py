"""Faint sources, whose brightness is a formula, on an image: placed, measured, and told in truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.observation.ellipse import FWHM, ellipse_covariance
from skygal.observation.frame import Frame
from skygal.population.faint import number_apart
from skygal.rendering.analytic.bulk import KINDS, POINT, Analytic, measure
from skygal.rendering.analytic.neighbours import FaintPixels
from skygal.rendering.analytic.seen import boxes_of, flux_in_frame, place_analytic
from skygal.rendering.blocks import Window
from skygal.rendering.canvas import Canvas
from skygal.rendering.measured import FAINTEST, hidden, least_seen, matters_above
from skygal.scene.layer import Depth, within_boxes
from skygal.wcs import icrs_to_pixel, pixel_affine

__all__ = ["FaintLayer", "place_faint"]

#: diameter of the isophote at 5 % of the peak: of a Gaussian in FWHMs, of an exponential disc in scale lengths
GAUSSIAN_SIZE, DISC_SIZE = float(np.sqrt(np.log(20) / np.log(2))), float(2 * np.log(20))
#: second moment of an exponential disc along an axis, in scale lengths squared
DISC_MOMENT = 3.0


@dataclass(frozen=True, eq=False)
class FaintLayer:
    """Faint sources in a frame: a `skygal.scene.layer.Layer`.

    Attributes
    ----------
    sources : Analytic
        As they are added up.
    seen : Analytic
        As they appear: the same without a PSF image, else with the Gaussian fitted to its main lobe.
    limits : ndarray, shape (n, depths), float32
        Jy/beam above which a pixel is labelled as the source's.
    labels : ndarray of int, shape (n,)
        Their ``source_id``.
    box : ndarray of int, shape (n, 4)
        (y0, y1, x0, x1) of the pixels, one past the last row and column; y0 = y1 for none.
    truth, components, depths, shared
        See `skygal.scene.layer.Layer`; what is the part ``within`` a window has none.
    """

    sources: Analytic
    seen: Analytic
    limits: np.ndarray
    labels: np.ndarray
    box: np.ndarray
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    components: dict[str, np.ndarray] = field(default_factory=dict)
    depths: tuple[Depth, ...] = ()
    shared: Any = None

    def within(self, window: Window) -> FaintLayer:
        """Return what it takes to draw a window."""
        rows = within_boxes(self.box, window)
        sources = self.sources[rows]
        seen = sources if self.seen is self.sources else self.seen[rows]
        return FaintLayer(sources, seen, self.limits[rows], self.labels[rows], self.box[rows])

    def draw(self, canvas: Canvas, shared: Any = None) -> None:
        """Add the sources to a canvas."""
        mine = self.within(canvas.reach)
        canvas.add_analytic(mine.sources, mine.seen, mine.limits, mine.labels)


def _limit_of(rms: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what gives the limits above which pixels are sources', at the noise at each."""
    return lambda peak, rows: np.clip(rms[rows], FAINTEST * peak, 0.5 * peak)


def place_faint(table: QTable, frame: Frame, rms: np.ndarray, *, ratio: float, taken: np.ndarray,
                workers: int = 1) -> FaintLayer:
    """Place faint sources in a frame, and measure each by itself.

    Parameters
    ----------
    table : QTable
        From `skygal.population.check_faint`.
    frame : Frame
        The image.
    rms : ndarray, shape (n,) or (depths, n)
        Noise at each, Jy/beam; 0 for none.
    ratio : float
        The frequency over the one that the table's fluxes are for.
    taken : ndarray of int
        ``source_id`` of other sources: where one of these has it too, see `skygal.population.faint.number_apart`.
    workers : int
        Threads.
    """
    ra, dec = table["ra"].to_value(u.deg), table["dec"].to_value(u.deg)
    ids = number_apart(np.asarray(table["source_id"], np.int64), taken)
    position = np.stack(icrs_to_pixel(frame.wcs, ra, dec), axis=-1)
    jacobian = pixel_affine(frame.wcs, ra, dec)
    known = np.isfinite(position).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    position = np.where(known[:, None], position, np.nan)
    jacobian = np.where(known[:, None, None], jacobian, np.eye(2))
    kind = np.argmax(np.asarray(table["kind"]).astype(str)[:, None] == np.array(KINDS), axis=1).astype(np.int8)
    b_maj, b_min = table["b_maj"].to_value(u.arcsec), table["b_min"].to_value(u.arcsec)
    given = frame.gain(ra, dec)
    gain = np.ones(len(table)) if given is None else given
    index, curvature = (np.asarray(table[name], float) for name in ("spectral_index", "curvature"))
    colour = ratio**(index + curvature * np.log(ratio))
    flux = table["flux"].to_value(u.Jy) * colour * gain
    # the covariance of a Gaussian is that of its FWHM; a disc's matrix that of its scale length itself
    own = jacobian @ ellipse_covariance(b_maj, b_min, table["pa"].to_value(u.rad)) @ np.swapaxes(jacobian, 1, 2)
    own *= np.choose(kind, [0.0, 1.0, FWHM**2])[:, None, None]
    sources, seen = place_analytic(frame.beam, kind, position, flux, own, jacobian)
    # of a sky much wider than the image most lie outside it
    rms = np.atleast_2d(rms)
    measured = measure(seen, frame.shape, valid=frame.valid, outside=False, workers=workers,
                       limit=[_limit_of(one) for one in rms])
    is_psf = frame.beam.psf is not None
    total = flux if is_psf else measured.flux
    with np.errstate(divide="ignore", invalid="ignore"):
        intrinsic = np.where(gain > 0, total / gain, table["flux"].to_value(u.Jy) * colour)
    las = np.choose(kind, [0 * b_maj, GAUSSIAN_SIZE * b_maj, DISC_SIZE * b_maj])
    fwhm = np.choose(kind, [0, 1, FWHM * np.sqrt(DISC_MOMENT)])
    n = len(table)
    # what is part of another source is so under that one's new number too
    own = np.asarray(table["source_id"], np.int64)
    parent = np.asarray(table["parent_id"], np.int64) if "parent_id" in table.colnames else own
    order = np.argsort(own)
    at = order[np.minimum(np.searchsorted(own[order], parent), max(n - 1, 0))] if n else order
    parent = np.where(own[at] == parent, ids[at], parent)
    both = {"source_id": ids, "ra": ra, "dec": dec, "x": position[:, 0], "y": position[:, 1],
            "peak_flux": measured.peak_in_image, "spectral_index": index, "curvature": curvature}
    truth = {
        **both, "population": np.asarray(table["population"]).astype(str), "parent_id": parent,
        "fr_class": np.full(n, "none"), "morphology": np.array(KINDS)[kind], "flux": intrinsic,
        "flux_apparent": total, "las": las, "b_maj": fwhm * b_maj, "b_min": fwhm * b_min,
        "pa": table["pa"].to_value(u.deg), "core_frac": np.where(kind == POINT, 1.0, 0.0),
        "n_components": np.ones(n, int), "redshift": np.asarray(table["redshift"], float),
        "flux_in_image": flux_in_frame(sources, frame) if is_psf else measured.flux_in_image,
        "las_requested": las,
        "flux_requested": table["flux"].to_value(u.Jy)}
    components = {**both, "component_id": np.ones(n, int), "kind": np.full(n, "whole"), "ra_peak": ra, "dec_peak": dec,
                  "x_peak": position[:, 0], "y_peak": position[:, 1], "flux": total, "flux_fraction": np.ones(n)}
    peak = np.nan_to_num(measured.peak_flux)
    is_hidden = hidden(flux, position, frame.shape)
    depths = []
    for one, outlines in zip(rms, measured.outlines, strict=True):
        ends = {f"bbox_{end}": outlines.bbox[:, k] for k, end in enumerate(("xmin", "xmax", "ymin", "ymax"))}
        pixels = FaintPixels(seen, ids, outlines.limit, least_seen(peak, one).astype(np.float32),
                             matters_above(peak, one), frame.valid)
        depths.append(Depth({"local_rms": one, "edge": outlines.edge & ~is_hidden, **ends}, pixels))
    limits = np.stack([outlines.limit for outlines in measured.outlines], axis=1)
    return FaintLayer(sources, seen, limits, ids, boxes_of(sources, known), truth, components, tuple(depths))
