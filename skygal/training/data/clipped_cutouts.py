"""The noise of cutouts that were clipped, had the clip subtracted, and were scaled to 8 bits."""

from __future__ import annotations

import numpy as np

from skygal.stamps.survey_view import CLIP, WHITE

__all__ = ["estimate_clipped_noise", "has_clip_subtracted", "restore_clip"]

#: chance of a pixel's being brighter than the clip for another reason than noise; those fall off over one rms
STRAY = 2e-4
#: mean and scatter of ln(rms / peak) over MiraBest, from which the estimate starts
PRIOR = (-4.55, 0.91)
#: the estimate is this part too high, in ln, on 507 MiraBest sources with known rms; scatter 0.30
BIAS = 0.14
#: specks brighter than this, in 8-bit units, count as one
BRIGHTEST = 12


def has_clip_subtracted(image: np.ndarray) -> bool:
    """Return whether an 8-bit cutout starts at 1, as it does where the clip was subtracted.

    One that was only set to zero below the clip starts at the clip itself, which is brighter for all
    but the brightest sources (and for those the pedestal is nothing).
    """
    lit = image[image > 0]
    return bool(lit.size) and lit.min() == 1 and lit.max() <= WHITE and bool((lit == np.round(lit)).all())


def estimate_clipped_noise(image: np.ndarray) -> float:
    """Estimate the noise of a cutout whose clip at 3 sigma was subtracted.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Shape (ny, nx): ``255 (I - 3 rms) / (max(I) - 3 rms)``, cut to whole numbers, zero below.

    Returns
    -------
    float
        The noise rms over the brightness that 255 stands for, both before the clip was subtracted.

    Raises
    ------
    ValueError
        If the image has no positive pixel, or one above 255.

    Notes
    -----
    Of N pixels far from sources, those of value k or more are the fraction Q(3 + k u), with Q the
    normal distribution's upper tail and u = (peak / rms - 3) / 255 the size of a unit in rms. The
    estimate is the posterior mean of ln(rms / peak) over a grid, with a few strays allowed for and
    the distribution of MiraBest's cutouts as the prior.
    """
    from scipy import ndimage
    from scipy.stats import norm

    from skygal.training.data.isolate import find_source

    image = np.asarray(image, float)
    if not 0 < image.max() <= WHITE:
        raise ValueError(f"image must be brightest between 0 and {WHITE}, got {image.max()}")
    value = np.floor(image).astype(int)
    labels, n = ndimage.label(value > 0, structure=np.ones((3, 3)))
    size = np.bincount(labels.ravel(), minlength=n + 1)
    size[0] = 0
    # neither the source nor anything else that is more than a speck
    near = ndimage.binary_dilation(find_source(value, 0.0), iterations=12)
    near |= ndimage.binary_dilation((size > BRIGHTEST)[labels], iterations=6)
    found = np.bincount(np.clip(value[~near], 0, BRIGHTEST), minlength=BRIGHTEST + 1)
    rms = np.exp(np.linspace(np.log(1e-3), np.log(0.12), 200))
    unit = (1 / rms - CLIP)[:, None] / WHITE * np.arange(1, BRIGHTEST + 1)
    above = norm.sf(CLIP + unit) + STRAY * np.exp(-unit)
    chance = np.concatenate([1 - above[:, :1], above[:, :-1] - above[:, 1:], above[:, -1:]], axis=1)
    log_post = np.log(np.maximum(chance, 1e-12)) @ found + norm.logpdf(np.log(rms), *PRIOR)
    weight = np.exp(log_post - log_post.max())
    return float(np.exp((weight * np.log(rms)).sum() / weight.sum() - BIAS))


def restore_clip(image: np.ndarray, noise: float) -> np.ndarray:
    """Return a cutout with the subtracted clip added again.

    Parameters
    ----------
    image : `~numpy.ndarray`
        8-bit: clipped at 3 rms, which was subtracted.
    noise : float
        The rms over the brightness of 255, as from `estimate_clipped_noise`.

    Returns
    -------
    `~numpy.ndarray`
        Float, 1 where ``image`` is 255, zero where it is zero.

    Raises
    ------
    ValueError
        If ``noise`` is not in [0, 1/3).
    """
    if not 0 <= noise < 1 / 3:
        raise ValueError(f"noise must be in [0, 1/3), got {noise}")
    image = np.asarray(image, float)
    return np.where(image > 0, image / WHITE * (1 - CLIP * noise) + CLIP * noise, 0.0)
