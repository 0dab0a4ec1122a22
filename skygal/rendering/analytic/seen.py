"""Points, Gaussians and discs in a frame: with its beam, and with what a PSF image does to them."""

from __future__ import annotations

import numpy as np
from astropy import units as u

from skygal.observation.beam import TargetBeam
from skygal.observation.ellipse import ellipse_covariance
from skygal.observation.frame import Frame
from skygal.rendering.analytic.bulk import Analytic, reach
from skygal.rendering.analytic.pixels import Boxes, make_patches

__all__ = ["boxes_of", "flux_in_frame", "place_analytic"]


def boxes_of(sources: Analytic, known: np.ndarray) -> np.ndarray:
    """Return (y0, y1, x0, x1) of each source's pixels, shape (n, 4); zeros for those that are not ``known``."""
    half = reach(sources)
    centre = np.where(known[:, None], np.floor(np.where(known[:, None], sources.position, 0) + 0.5), 0).astype(np.int64)
    low, high = (centre - half)[:, ::-1], (centre + half + 1)[:, ::-1]
    box = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
    box[~known] = 0
    return box


def place_analytic(target: TargetBeam, kind: np.ndarray, position: np.ndarray, flux: np.ndarray, own: np.ndarray,
                   jacobian: np.ndarray) -> tuple[Analytic, Analytic]:
    """Return sources as they are added up, and as they appear: the same unless the beam is a PSF image.

    Parameters
    ----------
    target : TargetBeam
        The image's beam.
    kind, position, flux : ndarray
        See `Analytic`.
    own : ndarray, shape (n, 2, 2)
        Covariance of each without the beam, pixels squared.
    jacobian : ndarray, shape (n, 2, 2)
        Pixels per arcsec (east, north) at each.
    """
    beam, area = target.at(*np.nan_to_num(position).T)
    if target.psf is None:
        sources = Analytic(kind, position, flux, own, beam, area)
        return sources, sources
    lobe = target.beam
    fitted = ellipse_covariance(lobe.major.to_value(u.arcsec), lobe.minor.to_value(u.arcsec), lobe.pa.to_value(u.rad))
    main = jacobian @ fitted @ np.swapaxes(jacobian, 1, 2)
    peak = 2 * np.pi * np.sqrt(np.linalg.det(main))
    return (Analytic(kind, position, flux, own, beam, np.ones(len(flux))),
            Analytic(kind, position, flux, own, main, peak))


def flux_in_frame(sources: Analytic, frame: Frame) -> np.ndarray:
    """Return what of each source's flux a PSF image spreads into the image, Jy, shape (n,)."""
    boxes = Boxes.of(sources, integrated=False)
    low, high = boxes.centre - boxes.half, boxes.centre + boxes.half
    whole = frame.interior(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    out = np.where(whole, sources.flux, 0.0)
    for rows in boxes.in_groups(np.flatnonzero(~whole & (boxes.half[:, 0] >= 0))):
        for patches in make_patches(sources, boxes, rows, integrated=False):
            for k, (x, y), values in zip(patches.rows, patches.corner.tolist(), patches.values, strict=True):
                out[k] += frame.flux_within(x, y, values)
    return out
