"""Post-hoc sigma clipping: from what the decoder puts out to a source on nothing.

A decoder of a smooth likelihood never says zero: around the source it leaves a floor, often with
the faint rings that Bastien et al. (2021, 2021MNRAS.503.3351B) show. The floor's level and scatter
are estimated on each stamp, what does not rise above is set to zero, and so are islands too small
or too faint to be part of a source seen with the stamp's beam.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from skygal.checks import as_quantity
from skygal.observation.ellipse import beam_area

__all__ = ["check_clip_sigma", "clip_stamps", "noise_floor"]

_IN_PLANE = np.zeros((3, 3, 3), int)
_IN_PLANE[1] = 1
#: no floor is taken to be smoother than this part of the stamp's peak: FIRST's images, which the
#: models learn from, hardly ever show a source to a thousandth of its peak, so that what is fainter is the
#: decoder's own
SMOOTHEST = 1e-3
#: islands with less than this part of the stamp's flux are specks
FAINTEST_ISLAND = 2e-3


def check_clip_sigma(clip_sigma: float | None) -> float | None:
    """Return ``clip_sigma`` as a number, or None.

    Raises
    ------
    TypeError, ValueError
        If it is neither None nor a positive number.
    """
    return None if clip_sigma is None else as_quantity("clip_sigma", clip_sigma, "")


def noise_floor(stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return level and scatter of each stamp's floor: median, and 1.4826 times the median deviation.

    A source fills well under half of a stamp, so that both are those of the floor. The scatter is
    at least a thousandth of the peak.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)

    Returns
    -------
    level, scatter : ndarray, shape (n,)
    """
    # every other pixel will do: the stamp's beam is wider than two
    flat = stamps[:, ::2, ::2].reshape(len(stamps), -1)
    level = np.median(flat, axis=1)
    scatter = 1.4826 * np.median(np.abs(flat - level[:, None]), axis=1)
    return level, np.maximum(scatter, SMOOTHEST * flat.max(axis=1))


def clip_stamps(stamps: np.ndarray, clip_sigma: float | None = 3.0, *, beam_fwhm: float,
                faintest: float | None = None) -> np.ndarray:
    """Return stamps with the floor and isolated specks set to zero.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Decoder output.
    clip_sigma : float or None
        Pixels below level + ``clip_sigma`` * scatter of the floor become zero, or below half of the
        peak where that is less. None returns the stamps as they are.
    beam_fwhm : float
        The stamps' own beam, in pixels: islands smaller than its area become zero.
    faintest : float, optional
        Of the peak: what is fainter becomes zero, however low the floor is.

    Returns
    -------
    ndarray, shape (n, ny, nx), float32
        A stamp's brightest island is always kept.
    """
    clip_sigma = check_clip_sigma(clip_sigma)
    stamps = np.asarray(stamps, np.float32)
    if clip_sigma is None:
        return stamps
    level, scatter = noise_floor(stamps)
    # never so high that a stamp that is all floor would be left empty
    peak = stamps.max(axis=(1, 2))
    threshold = np.minimum(level + clip_sigma * scatter, 0.5 * peak)[:, None, None]
    if faintest is not None:
        threshold = np.maximum(threshold, min(faintest, 0.5) * peak[:, None, None])
    kept = np.where(stamps > threshold, stamps, np.float32(0))
    labels, count = ndimage.label(kept, structure=_IN_PLANE)
    lit = np.flatnonzero(labels)
    island = labels.ravel()[lit]
    area = np.bincount(island, minlength=count + 1)
    flux = np.bincount(island, weights=kept.ravel()[lit], minlength=count + 1)
    plane = np.zeros(count + 1, int)
    plane[island] = lit // stamps[0].size
    total = np.bincount(plane, weights=flux, minlength=len(stamps))
    good = (area >= beam_area(beam_fwhm)) & (flux >= FAINTEST_ISLAND * total[plane])
    brightest = np.full(len(stamps), -1)
    order = np.argsort(flux[1:], kind="stable") + 1
    brightest[plane[order]] = order
    good[brightest[brightest > 0]] = True
    out = kept.ravel()
    out[lit[~good[island]]] = 0
    return out.reshape(kept.shape)
