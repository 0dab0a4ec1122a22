"""Stamps in the form of FRDEEP's images, for the paper's classifier.

That classifier learnt from cutouts at any angle that are zero below 3 sigma, with every speck of noise left in, and
it leans on the specks: without them it calls nearly everything FRII. So it is shown what it knows.
"""

from __future__ import annotations

import numpy as np

from skygal.data.clipped_cutouts import WHITE, estimate_clipped_noise, has_clip_subtracted, restore_clip
from skygal.data.cutouts import Cutouts
from skygal.rendering.survey_noise import draw_noise

__all__ = ["SIDE", "frame_cutouts", "frame_stamps"]

#: side of the images, pixels: FRDEEP's 150 less an edge of 25 on each side, as in the paper
SIDE = 100
CLIP = 3.0
BLOCK = 64


def _middle(image: np.ndarray) -> np.ndarray:
    """Return the middle of an image, filled up with zeros."""
    pad = [max(0, -(-(SIDE - size) // 2)) for size in image.shape]
    image = np.pad(image, [(size, size) for size in pad])
    y, x = ((size - SIDE) // 2 for size in image.shape)
    return image[y:y + SIDE, x:x + SIDE]


def _scale(image: np.ndarray, clip: float) -> np.ndarray:
    """Return an image set to zero below ``clip``, in 255 steps of its peak."""
    peak = max(float(image.max()), 1e-30)
    return np.where(image > clip, np.floor(WHITE * np.maximum(image, 0) / peak) / WHITE, 0)


def frame_cutouts(stamps: Cutouts, rows: np.ndarray) -> np.ndarray:
    """Return real cutouts as images of FRDEEP.

    Parameters
    ----------
    stamps : Cutouts
        The cutouts, as read.
    rows : array_like of int
        Which of them.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, 100, 100), float32, the brightest pixel of the middle 1.
    """
    out = np.zeros((len(rows), SIDE, SIDE), np.float32)
    for frame, i in zip(out, rows, strict=True):
        image = np.nan_to_num(np.asarray(stamps.images[i], float), nan=0.0, posinf=0.0, neginf=0.0)
        if np.isfinite(stamps.rms[i]):
            clip = CLIP * stamps.rms[i]
        elif has_clip_subtracted(image):
            image, clip = restore_clip(image, estimate_clipped_noise(image)), 0.0
        else:
            clip = 0.0
        frame[:] = _scale(_middle(image), clip)
    return out


def frame_stamps(stamps: np.ndarray, noise: np.ndarray, *, beam_sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return noiseless stamps as images of FRDEEP.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), peak 1, with the survey's beam.
    noise : array_like
        Shape (n,), noise rms over the peak.
    beam_sigma : float
        Standard deviation of the beam in pixels.
    rng : `~numpy.random.Generator`
        Draws angles and noise.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, 100, 100), float32.
    """
    from scipy import ndimage

    out = np.zeros((len(stamps), SIDE, SIDE), np.float32)
    y, x = np.indices((SIDE, SIDE), float) - (SIDE - 1) / 2
    middle = [(size - 1) / 2 for size in np.shape(stamps)[1:]]
    for i, (stamp, level) in enumerate(zip(stamps, noise, strict=True)):
        if i % BLOCK == 0:
            fields = draw_noise(min(BLOCK, len(stamps) - i), (SIDE, SIDE), beam_sigma=beam_sigma, rng=rng)
        cos, sin = np.cos(angle := rng.uniform(0, 2 * np.pi)), np.sin(angle)
        sky = ndimage.map_coordinates(stamp, [middle[0] + sin * x + cos * y, middle[1] + cos * x - sin * y], order=3,
                                      mode="constant")
        out[i] = _scale(np.maximum(sky, 0) + level * fields[i % BLOCK], CLIP * level)
    return out
