"""Real and generated stamps on the same footing: as the survey would show them, and prepared alike.

Every measure is taken on what comes out of here. A cutout, real or made up, is clipped at 3 sigma, the
clip is subtracted, it is cut to 8 bits, the islands of one source are kept, and it is turned to
its own principal axis: what is published as an 8-bit cutout can be had in no other form, so all others
are brought to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skygal.checks import show_fields
from skygal.data.isolate import find_source
from skygal.data.pedestal import WHITE, estimate_noise, has_pedestal_removed
from skygal.data.stamps import Stamps
from skygal.morphology.measure import largest_size
from skygal.morphology.moments import measure_moments
from skygal.rendering.survey_noise import draw_noise

__all__ = ["CLIP", "Observed", "match_real", "observe_cutouts", "observe_stamps"]

#: clip in units of the noise
CLIP = 3.0
#: stamps whose noise fields are drawn at once
BLOCK = 64


@dataclass(frozen=True, eq=False)
class Observed:
    """Stamps as a survey shows them, aligned.

    Attributes
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx), float32: brightness above the clip, peak 1, the principal axis along x; all
        zero where nothing rises above the noise.
    noise : `~numpy.ndarray`
        Shape (n,), noise rms over the source's peak.
    sized : `~numpy.ndarray` of bool
        Shape (n,), whether the source's angular size helped to find its islands.
    """

    images: np.ndarray
    noise: np.ndarray
    sized: np.ndarray

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: np.ndarray) -> Observed:
        """Return the chosen rows (an index or a boolean array)."""
        return Observed(self.images[rows], self.noise[rows], self.sized[rows])

    @property
    def seen(self) -> np.ndarray:
        """Which stamps show anything, shape (n,)."""
        return np.asarray(self.images.any(axis=(1, 2)))


def _quantise(image: np.ndarray, clip: float, peak: float) -> np.ndarray:
    """Return the image above ``clip``, which is subtracted, in 8 bits of ``peak``."""
    if not peak > clip:
        return np.zeros(image.shape)
    return np.clip(np.floor(WHITE * (image - clip) / (peak - clip)), 0, WHITE)


def _align(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image turned to its principal axis, in a frame, peak 1."""
    from scipy import ndimage

    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return np.zeros(shape, np.float32)
    # the spline needs the image's surroundings, but not all of them
    image = np.pad(image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1], 12)
    _, centre, covariance = measure_moments(image[None])
    cos, sin = np.linalg.eigh(covariance[0])[1][:, 1]
    y, x = np.indices(shape, float)
    x, y = x - (shape[1] - 1) / 2, y - (shape[0] - 1) / 2
    turned = ndimage.map_coordinates(
        image, [centre[0, 1] + sin * x + cos * y, centre[0, 0] + cos * x - sin * y], order=3, mode="constant")
    # the spline's ringing about what was cut to nothing
    turned = np.where(turned > 0.5 / WHITE * image.max(), turned, 0.0)
    return (turned / max(turned.max(), 1e-30)).astype(np.float32)


def observe_cutouts(stamps: Stamps, rows: np.ndarray, *, shape: tuple[int, int] = (80, 144), pixel_scale: float = 1.8,
                    progress: bool = False) -> Observed:
    """Prepare real cutouts.

    Parameters
    ----------
    stamps : Stamps
        The cutouts, as read: unclipped with their noise, or clipped in 8 bits.
    rows : array_like of int
        Which of them.
    shape : tuple of int
        Rows and columns of the frame.
    pixel_scale : float
        Arcsec.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Observed
    """
    from tqdm import tqdm

    rows = np.asarray(rows)
    images, noise = np.zeros((len(rows), *shape), np.float32), np.full(len(rows), np.nan)
    for k, i in enumerate(tqdm(rows, desc="observing", unit="stamp", disable=not progress)):
        image = np.nan_to_num(np.asarray(stamps.images[i], float), nan=0.0, posinf=0.0, neginf=0.0)
        las, rms = stamps.las[i] / pixel_scale, stamps.rms[i]
        if np.isfinite(rms):
            mask = find_source(image, CLIP * rms, las=las)
            peak = image[mask].max() if mask.any() else 0.0
            flat = _quantise(image, CLIP * rms, peak)
            noise[k] = rms / peak if peak > 0 else np.nan
        elif has_pedestal_removed(image):
            flat, level = image, estimate_noise(image)
        else:
            # only set to zero below the clip, which is then the faintest pixel
            lit = image[image > 0]
            level = lit.min() / image.max() / CLIP if lit.size else np.nan
            flat = _quantise(image, CLIP * level * image.max(), image.max()) if lit.size else image
        mask = find_source(flat, 0.0, las=las)
        flat = np.where(mask, flat, 0.0)
        if not np.isfinite(rms) and mask.any():
            # from the peak of the image to that of the source
            noise[k] = level / (flat.max() / WHITE * (1 - CLIP * level) + CLIP * level)
        images[k] = _align(flat, shape)
    return Observed(images, noise, np.isfinite(stamps.las[rows]))


def observe_stamps(stamps: np.ndarray, noise: np.ndarray, *, beam_sigma: float, rng: np.random.Generator,
                   sized: np.ndarray | bool = False, progress: bool = False) -> Observed:
    """Show noiseless stamps as a survey would, and prepare them as real cutouts are.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, with the survey's beam.
    noise : array_like
        Shape (n,), noise rms over the stamp's peak.
    beam_sigma : float
        Standard deviation of the beam in pixels.
    rng : `~numpy.random.Generator`
        Draws the angle on the sky, the place within a pixel, and the noise.
    sized : array_like of bool
        Shape (n,) or one for all: whether the stamp's largest angular size, as of the noiseless stamp, is known
        when its islands are looked for, as it is for cutouts from a catalogue with sizes.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Observed
        In the frame of ``stamps``.

    Raises
    ------
    ValueError
        If ``noise`` does not fit ``stamps``, or is not in (0, 1/3).
    """
    from scipy import ndimage
    from tqdm import tqdm

    stamps, noise = np.asarray(stamps, np.float32), np.asarray(noise, float)
    if noise.shape != stamps.shape[:1]:
        raise ValueError(f"noise must have shape {stamps.shape[:1]}, got {noise.shape}")
    bad = ~((noise > 0) & (noise < 1 / CLIP))
    if bad.any():
        raise ValueError(f"noise must be between 0 and 1/3 of the peak, got {noise[bad][0]}")
    n, shape = len(stamps), stamps.shape[1:]
    sized = np.broadcast_to(np.asarray(sized, bool), n)
    las = np.full(n, np.nan)
    if sized.any():
        las[sized] = largest_size(stamps[sized])
    # a square that holds the stamp at any angle, with room for noise around it
    side = int(np.ceil(np.hypot(*shape))) + 8
    y, x = np.indices((side, side), float) - (side - 1) / 2
    images = np.zeros(stamps.shape, np.float32)
    for i in tqdm(range(n), desc="observing", unit="stamp", disable=not progress):
        if i % BLOCK == 0:
            fields = draw_noise(min(BLOCK, n - i), (side, side), beam_sigma=beam_sigma, rng=rng)
        angle, (dx, dy) = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5, 2)
        cos, sin = np.cos(angle), np.sin(angle)
        at = [(shape[0] - 1) / 2 + sin * (x - dx) + cos * (y - dy),
              (shape[1] - 1) / 2 + cos * (x - dx) - sin * (y - dy)]
        sky = ndimage.map_coordinates(stamps[i], at, order=3, mode="constant")
        sky = np.maximum(sky, 0.0) / max(float(stamps[i].max()), 1e-30) + noise[i] * fields[i % BLOCK]
        flat = _quantise(sky, CLIP * noise[i], float(sky.max()))
        images[i] = _align(np.where(find_source(flat, 0.0, las=las[i]), flat, 0.0), shape)
    return Observed(images, noise, sized)


def match_real(features: np.ndarray, fr_class: np.ndarray, real_features: np.ndarray, real_class: np.ndarray, *,
               rng: np.random.Generator, neighbours: int = 15) -> np.ndarray:
    """Draw for each stamp a real one of its class that is like it, whose noise it is to have.

    Parameters
    ----------
    features : array_like
        Shape (n, d), of the stamps: what the noise over the peak goes with, such as the logarithms of extent
        and of flux over peak. (In a sample limited by flux, noise over peak grows with flux over peak.)
    fr_class : array_like
        Shape (n,), of the stamps.
    real_features, real_class : array_like
        Shapes (m, d) and (m,), of real stamps.
    rng : `~numpy.random.Generator`
        The source of randomness.
    neighbours : int
        It is one of so many stamps of the class, those nearest in features of unit scatter.

    Returns
    -------
    `~numpy.ndarray` of int
        Shape (n,), rows of the real stamps.

    Raises
    ------
    ValueError
        If there is no real stamp of a class.
    """
    features, real_features = np.asarray(features, float), np.asarray(real_features, float)
    out = np.empty(len(features), int)
    real_class = np.asarray(real_class)
    scale = real_features.std(axis=0) + 1e-12
    for name in np.unique(fr_class):
        here, there = np.flatnonzero(np.asarray(fr_class) == name), np.flatnonzero(real_class == name)
        if not there.size:
            raise ValueError(f"fr_class must have real stamps, got none of {name}")
        away = (((features[here, None] - real_features[None, there]) / scale) ** 2).sum(axis=2)
        order = np.argsort(away, axis=1, kind="stable")[:, :neighbours]
        pick = rng.integers(order.shape[1], size=len(here))
        out[here] = there[order[np.arange(len(here)), pick]]
    return out
