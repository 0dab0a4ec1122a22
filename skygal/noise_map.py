"""The noise of an image that exists, estimated from the image."""

from __future__ import annotations

import numpy as np

__all__ = ["local_rms"]

#: side, in beams, of the boxes in which the noise is estimated, and the least in pixels
BOX_BEAMS, BOX_PIXELS = 20, 32


def local_rms(data: np.ndarray, beam_pixels: float) -> np.ndarray:
    """Return a map of the noise: the scaled median absolute deviation in boxes of 20 beams.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        An image; NaN where it is blank.
    beam_pixels : float
        FWHM of the beam in pixels.

    Returns
    -------
    ndarray, shape (ny, nx)
        In the image's unit; NaN where the image is blank.
    """
    from astropy.stats import SigmaClip, mad_std
    from photutils.background import Background2D, MADStdBackgroundRMS

    blank = ~np.isfinite(data)
    rms = np.full(data.shape, np.nan, np.float32)
    # boxes are laid over the part that is not blank; pixels closer than the beam hardly tell more
    part = tuple(slice(k.min(), k.max() + 1) for k in map(np.flatnonzero, (~blank.all(axis=1), ~blank.all(axis=0))))
    step = max(1, int(beam_pixels / 1.5))
    thin = data[part][::step, ::step]
    hole = ~np.isfinite(thin)
    side = max(BOX_PIXELS, round(BOX_BEAMS * beam_pixels)) // step
    clip = SigmaClip(3.0, maxiters=10)
    try:
        found = Background2D(np.where(hole, 0, thin), [min(n, side) for n in thin.shape], mask=hole, sigma_clip=clip,
                             bkg_rms_estimator=MADStdBackgroundRMS(), exclude_percentile=90.0).background_rms
    except ValueError:
        # no box has enough pixels to say anything: take all that there are
        found = np.full(thin.shape, mad_std(clip(data[~blank], masked=False)))
    rms[part] = found.astype(np.float32).repeat(step, 0).repeat(step, 1)[:data[part].shape[0], :data[part].shape[1]]
    rms[blank] = np.nan
    return rms
