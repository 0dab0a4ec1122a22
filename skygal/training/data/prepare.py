"""Cutouts to training stamps: one source each, restored, centred and turned to its principal axis."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, fields

import numpy as np

from skygal.checks import show_fields
from skygal.morphology.conditions import measure_extent_bending
from skygal.morphology.moments import measure_moments
from skygal.observation.ellipse import FWHM
from skygal.stamps.survey_view import CLIP, WHITE, clip_to_white, turn_image
from skygal.training.data.clipped_cutouts import estimate_clipped_noise, has_clip_subtracted, restore_clip
from skygal.training.data.cross_match import fill_positions, match_cutouts
from skygal.training.data.cutouts import Cutouts
from skygal.training.data.isolate import find_source, restore_source
from skygal.wcs import unit_vectors

__all__ = ["TrainingSet", "prepare_stamps", "sky_cells", "split_by_sky"]

SPLITS = ("train", "validation", "test")
#: share of the sky in the training and in the validation split; the rest, which judges and measures use, is the test's
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.08
#: cells of the split, degrees; a source and its neighbours lie in one
CELL = 4.0
#: two entries nearer than this are the same source, arcsec
SAME_SOURCE = 60.0
#: a principal axis shorter than this times the beam's sigma is no resolved source
LEAST_EXTENT = 1.25


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Aligned stamps of one source each.

    Attributes
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx), float32, peak 1 when seen with the full beam; sharper than that: to be
        convolved with a Gaussian of FWHM ``beam / sqrt(2)`` to get there.
    fr_class : `~numpy.ndarray` of str
        Shape (n,).
    seen : `~numpy.ndarray`
        Shape (n, ny, nx), float32: the cutouts' own pixels in the same frame, as the 8-bit sets are published: what
        rises above the clip, peak about 1, in 255 steps.
    extent : `~numpy.ndarray`
        Shape (n,), arcsec, at the full beam's resolution: see `skygal.morphology.conditions`.
    bending : `~numpy.ndarray`
        Shape (n,), radians, from the same place.
    noise : `~numpy.ndarray`
        Shape (n,), the original's noise rms over its peak.
    split : `~numpy.ndarray` of str
        Shape (n,), "train", "validation" or "test".
    name : `~numpy.ndarray` of str
        Shape (n,).
    row : `~numpy.ndarray` of int
        Shape (n,), each stamp's place among the cutouts as they were read.
    dropped : dict of str to int
        How many cutouts were left out, and why.
    """

    images: np.ndarray
    seen: np.ndarray
    fr_class: np.ndarray
    extent: np.ndarray
    bending: np.ndarray
    noise: np.ndarray
    split: np.ndarray
    name: np.ndarray
    row: np.ndarray
    dropped: dict[str, int]

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: np.ndarray) -> TrainingSet:
        """Return the chosen rows (an index or a boolean array)."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return TrainingSet(**{name: value if name == "dropped" else value[rows] for name, value in columns.items()})


def sky_cells(ra: np.ndarray, dec: np.ndarray, name: np.ndarray) -> list[str]:
    """Return the names of the cells of sky, 4 degrees a side, that sources lie in.

    Where there is no position, that is the source's own name.

    Parameters
    ----------
    ra, dec : array_like
        Shape (n,), degrees; NaN where unknown.
    name : array_like of str
        Shape (n,).
    """
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    cells = []
    for i in range(len(ra)):
        if np.isfinite(ra[i]) and np.isfinite(dec[i]):
            band = int(np.floor((dec[i] + 90) / CELL))
            around = max(1, int(round(360 / CELL * np.cos(np.radians(min(band * CELL + CELL / 2, 179.9) - 90)))))
            cells.append(f"{band}:{int(np.floor(ra[i] % 360 / 360 * around))}")
        else:
            cells.append(str(name[i]))
    return cells


def split_by_sky(ra: np.ndarray, dec: np.ndarray, name: np.ndarray) -> np.ndarray:
    """Assign sources to splits by their place on the sky.

    Parameters
    ----------
    ra, dec : array_like
        Shape (n,), degrees; NaN where unknown.
    name : array_like of str
        Shape (n,), used where there is no position.

    Returns
    -------
    `~numpy.ndarray` of str
        "train" (about 70 %), "validation" (about 8 %) or "test".

    Notes
    -----
    The sky is cut into cells of 4 degrees in declination and about as much in right ascension, and
    a checksum of a cell's number chooses its split: it is the same in every run, and two sources in
    one cell, or two images of one source, never stand on both sides.
    """
    out = np.empty(len(ra), "<U10")
    for i, cell in enumerate(sky_cells(ra, dec, name)):
        share = zlib.crc32(f"skygal:{cell}".encode()) / 2**32
        out[i] = SPLITS[0 if share < TRAIN_SHARE else 1 if share < TRAIN_SHARE + VALIDATION_SHARE else 2]
    return out


def _repeats(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return which entries lie within a minute of arc of an earlier one."""
    from scipy.spatial import cKDTree

    repeat = np.zeros(len(ra), bool)
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if known.size:
        for a, b in sorted(cKDTree(unit_vectors(ra[known], dec[known])).query_pairs(np.radians(SAME_SOURCE / 3600))):
            if not repeat[known[a]]:
                repeat[known[b]] = True
    return repeat


def _as_seen(stamps: Cutouts, i: int) -> tuple[np.ndarray, float, float]:
    """Return a cutout, three times its noise, and the brightness below which it says nothing.

    The last two are 0 where the cutout was set to zero below: its faintest pixel tells. A clip that was subtracted
    from a cutout is put back, and half a step, since values were cut to whole steps.
    """
    image = stamps.filled(i)
    if np.isfinite(stamps.rms[i]):
        return image, CLIP * stamps.rms[i], CLIP * stamps.rms[i]
    if has_clip_subtracted(image):
        rms = estimate_clipped_noise(image)
        step = (1 - CLIP * rms) / WHITE
        return np.where(image > 0, restore_clip(image, rms) + 0.5 * step, 0.0), CLIP * rms, CLIP * rms + step
    return image, 0.0, 0.0


def _clipped(image: np.ndarray, mask: np.ndarray, level: float) -> np.ndarray:
    """Return what rises above ``level`` in the mask, peak 1, in whole steps."""
    # published values are whole already, but for rounding
    return np.where(mask, clip_to_white(image, level, image[mask].max(), slack=1e-6), 0) / WHITE


def prepare_stamps(stamps: Cutouts, *, classes: tuple[str, ...] = ("FRI", "FRII", "hybrid", "compact", "bent"),
                   shape: tuple[int, int] = (80, 144), beam_fwhm: float = 5.4,
                   pixel_scale: float = 1.8, exclude: tuple[str, ...] = (),
                   progress: bool = False) -> TrainingSet:
    """Prepare cutouts for training.

    Parameters
    ----------
    stamps : Cutouts
        The cutouts, as read.
    classes : tuple of str
        The classes to keep.
    shape : tuple of int
        Rows and columns of the frame: minor and major axis.
    beam_fwhm, pixel_scale : float
        The survey's, arcsec.
    exclude : tuple of str
        Cutouts whose name holds one of these texts are left out.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    TrainingSet

    Raises
    ------
    ValueError
        If the cutouts have another pixel scale, or no stamp is left.
    """
    from tqdm import tqdm

    sigma = beam_fwhm / pixel_scale / FWHM
    same = match_cutouts(stamps, progress=progress)
    stamps = fill_positions(stamps, same)
    # without a position, an entry repeats an earlier one if it shows the same pixels
    repeat = _repeats(stamps.ra, stamps.dec) | (~np.isfinite(stamps.ra) & (same != np.arange(len(stamps))))
    keep, made, why = [], [], Counter[str]()
    for i in tqdm(range(len(stamps)), desc="preparing", unit="stamp", disable=not progress):
        if stamps.fr_class[i] not in classes:
            why["of another class"] += 1
        elif any(text in str(stamps.name[i]) for text in exclude):
            why["excluded"] += 1
        elif repeat[i]:
            why["repeated"] += 1
        elif np.isfinite(scale := stamps.pixel_scale[i]) and abs(scale / pixel_scale - 1) > 0.01:
            raise ValueError(f"pixel scale of stamps must be {pixel_scale} arcsec, "
                             f"got {scale} arcsec for {stamps.name[i]}")
        elif isinstance(one := _prepare(stamps, i, shape, sigma, pixel_scale), str):
            why[one] += 1
        else:
            keep.append(i)
            made.append(one)
    if not keep:
        raise ValueError(f"stamps must hold sources of {', '.join(classes)}, got none "
                         f"(left out: {dict(why) or 'none'})")
    rows = np.asarray(keep, int)
    images, seen, extent, bending, noise = (np.stack(column) for column in zip(*made, strict=True))
    return TrainingSet(images, seen, stamps.fr_class[rows], extent * pixel_scale, bending, noise,
                       split_by_sky(stamps.ra[rows], stamps.dec[rows], stamps.name[rows]), stamps.name[rows], rows,
                       dict(why))


def _prepare(stamps: Cutouts, i: int, shape: tuple[int, int], sigma: float,
             pixel_scale: float) -> tuple[np.ndarray, ...] | str:
    """Return a source restored and as seen, its extent (pixels), bending and noise over peak, or what is wrong."""
    from scipy import ndimage

    image, clip, limit = _as_seen(stamps, i)
    mask = find_source(image, clip, las=stamps.las[i] / pixel_scale)
    if not mask.any():
        return "blank"
    if mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return "cut by the border"
    level = clip if clip > 0 else float(image[mask].min())
    sharp = restore_source(image, mask, level, beam_sigma=sigma, limit=max(limit, level))
    _, centre, covariance = measure_moments(sharp[None])
    values, vectors = np.linalg.eigh(covariance[0])
    turned = np.maximum(turn_image(sharp, shape, centre[0], vectors[:, 1]), 0.0)
    if turned.sum() < 0.99 * sharp.sum():
        return "too large for the frame"
    # the beam still adds half of its variance
    if stamps.fr_class[i] != "compact" and values[1] + 0.5 * sigma**2 < (LEAST_EXTENT * sigma) ** 2:
        return "unresolved"
    full = ndimage.gaussian_filter(turned, sigma * np.sqrt(0.5), mode="constant")
    peak = full.max()
    seen = turn_image(_clipped(image, mask, level), shape, centre[0], vectors[:, 1], order=1)
    extent, bending = measure_extent_bending(full[None], *(np.arange(size) - (size - 1) / 2 for size in shape[::-1]))
    return (turned / peak).astype(np.float32), seen.astype(np.float32), extent[0], bending[0], level / CLIP / peak
