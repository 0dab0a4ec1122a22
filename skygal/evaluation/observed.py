"""Real and generated stamps on the same footing: as the survey would show them, and prepared alike.

Every measure is taken on what comes out of here. A cutout, real or made up, is clipped at 3 sigma, the
clip is subtracted, it is cut to 8 bits, the islands of one source are kept, and it is turned to
its own principal axis: what is published as an 8-bit cutout can be had in no other form, so all others
are brought to it.

The paper's classifier is shown another form. It learnt from FRDEEP's cutouts, which lie at any angle and are zero below
3 sigma, with every speck of noise left in, and it leans on the specks: without them it calls nearly everything FRII.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skygal.checks import show_fields
from skygal.morphology.measure import largest_size
from skygal.morphology.moments import measure_moments
from skygal.stamps.survey_view import CLIP, WHITE, clip_to_white, sample_skies, turn_image
from skygal.training.data.clipped_cutouts import estimate_clipped_noise, has_clip_subtracted, restore_clip
from skygal.training.data.cutouts import Cutouts
from skygal.training.data.isolate import find_source

__all__ = ["SIDE", "Observed", "observe_cutouts", "observe_cutouts_as_frdeep", "observe_stamps",
           "observe_stamps_as_frdeep", "show_otherwise"]

#: of the peak: where `show_otherwise` cuts; pixels that an island has at least there; and sides of the image
CUT, SMALL, SHOWN = 0.02, 6, 64
#: side of the images in FRDEEP's form, pixels: 150 less an edge of 25 on each side, as in the paper
SIDE = 100


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
    def visible(self) -> np.ndarray:
        """Which stamps show anything, shape (n,)."""
        return np.asarray(self.images.any(axis=(1, 2)))


def _align(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image turned to its principal axis, in a frame, peak 1."""
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return np.zeros(shape, np.float32)
    # the spline needs the image's surroundings, but not all of them
    image = np.pad(image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1], 12)
    _, centre, covariance = measure_moments(image[None])
    turned = turn_image(image, shape, centre[0], np.linalg.eigh(covariance[0])[1][:, 1])
    # the spline's ringing about what was cut to nothing
    turned = np.where(turned > 0.5 / WHITE * image.max(), turned, 0.0)
    return (turned / max(turned.max(), 1e-30)).astype(np.float32)


def observe_cutouts(stamps: Cutouts, rows: np.ndarray, *, shape: tuple[int, int] = (80, 144), pixel_scale: float = 1.8,
                    progress: bool = False) -> Observed:
    """Prepare real cutouts.

    Parameters
    ----------
    stamps : Cutouts
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
        image = stamps.filled(i)
        las, rms = stamps.las[i] / pixel_scale, stamps.rms[i]
        if np.isfinite(rms):
            mask = find_source(image, CLIP * rms, las=las)
            peak = image[mask].max() if mask.any() else 0.0
            flat = clip_to_white(image, CLIP * rms, peak)
            noise[k] = rms / peak if peak > 0 else np.nan
        elif has_clip_subtracted(image):
            flat, level = image, estimate_clipped_noise(image)
        else:
            # only set to zero below the clip, which is then the faintest pixel
            lit = image[image > 0]
            level = lit.min() / image.max() / CLIP if lit.size else np.nan
            flat = clip_to_white(image, CLIP * level * image.max(), image.max()) if lit.size else image
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
    images = np.zeros(stamps.shape, np.float32)
    skies = sample_skies(stamps, noise, side, beam_sigma=beam_sigma, rng=rng, shift=0.5)
    for i, sky in enumerate(tqdm(skies, desc="observing", unit="stamp", total=n, disable=not progress)):
        flat = clip_to_white(sky, CLIP * noise[i], float(sky.max()))
        images[i] = _align(np.where(find_source(flat, 0.0, las=las[i]), flat, 0.0), shape)
    return Observed(images, noise, sized)


def _middle(image: np.ndarray) -> np.ndarray:
    """Return the middle of an image, filled up with zeros."""
    pad = [max(0, -(-(SIDE - size) // 2)) for size in image.shape]
    image = np.pad(image, [(size, size) for size in pad])
    y, x = ((size - SIDE) // 2 for size in image.shape)
    return image[y:y + SIDE, x:x + SIDE]


def _zero_below(image: np.ndarray, clip: float) -> np.ndarray:
    """Return an image set to zero below ``clip``, in 255 steps of its peak."""
    peak = max(float(image.max()), 1e-30)
    return np.where(image > clip, np.floor(WHITE * np.maximum(image, 0) / peak) / WHITE, 0)


def observe_cutouts_as_frdeep(stamps: Cutouts, rows: np.ndarray) -> np.ndarray:
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
        image = stamps.filled(i)
        if np.isfinite(stamps.rms[i]):
            clip = CLIP * stamps.rms[i]
        elif has_clip_subtracted(image):
            image, clip = restore_clip(image, estimate_clipped_noise(image)), 0.0
        else:
            clip = 0.0
        frame[:] = _zero_below(_middle(image), clip)
    return out


def observe_stamps_as_frdeep(stamps: np.ndarray, noise: np.ndarray, *, beam_sigma: float,
                             rng: np.random.Generator) -> np.ndarray:
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
    out = np.zeros((len(stamps), SIDE, SIDE), np.float32)
    for image, level, sky in zip(out, noise, sample_skies(stamps, noise, SIDE, beam_sigma=beam_sigma, rng=rng),
                                 strict=True):
        image[:] = _zero_below(sky, CLIP * level)
    return out


def show_otherwise(images: np.ndarray, las: np.ndarray) -> np.ndarray:
    """Return images in FRDEEP's form as another judge might be shown them, at any angle, without specks.

    Parameters
    ----------
    images : `~numpy.ndarray`
        Shape (n, 100, 100), of `observe_cutouts_as_frdeep` or `observe_stamps_as_frdeep`.
    las : array_like
        Shape (n,), largest angular sizes in pixels, NaN where unknown, by which islands of a source are found.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, 64, 64), float32: the source alone, cut at 2 % of its peak, islands under 6 pixels left out, its
        flux-weighted centre in the middle, as the logarithm of brightness: 1 at the source's peak, -1 at the cut
        and outside.
    """
    from scipy import ndimage

    out = np.full((len(images), SHOWN, SHOWN), -1, np.float32)
    rows, columns = (slice((side - SHOWN) // 2, (side + SHOWN) // 2) for side in images.shape[1:])
    for shown, image, size in zip(out, images, las, strict=True):
        source = np.where(find_source(image, 0.0, las=size), image, 0).astype(float)
        source[source < CUT * source.max()] = 0
        island, _ = ndimage.label(source > 0, np.ones((3, 3)))
        source[np.bincount(island.ravel())[island] < SMALL] = 0
        if not source.any():
            continue
        middle = ndimage.center_of_mass(source)
        shift = [round((side - 1) / 2 - at) for side, at in zip(source.shape, middle, strict=True)]
        # of the whole source's peak: lobes far apart may both lie beyond what is shown
        source = ndimage.shift(source / source.max(), shift, order=0)[rows, columns]
        shown[:] = 1 + 2 * np.log10(np.maximum(source, CUT)) / -np.log10(CUT)
    return out
