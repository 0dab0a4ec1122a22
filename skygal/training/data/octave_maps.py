"""What octaves learn from: pieces of an atlas's maps at many scales, each with the coarse map of half as many beams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skygal.morphology.octave_inputs import PIXELS_PER_BEAM, class_flags, place_maps
from skygal.training.data.atlas import SIGMA, Atlas

__all__ = ["AtlasMap", "Piece", "atlas_maps", "cut_piece", "see_source", "source_axis"]

#: beams across the source, at least, in a fine map
FEWEST = 9.0
#: of the best that a map shows, the finest beam that it is seen with
FINEST = 0.99
#: degrees by which maps are turned out of their axis, at most
TURN = 12.0
#: of the peak: what is fainter is no part of the source
FAINTEST = 1e-4
#: pixels around that
AROUND = 14
#: of the coarse map's peak: a piece has something brighter near its middle
LIT = 0.01
#: coarse pixels between that and the piece's rim
INSIDE = 6


@dataclass(frozen=True, eq=False)
class AtlasMap:
    """A source seen with a beam, its axis along x.

    Attributes
    ----------
    source : int
        Which of the atlas.
    beams : float
        Beams across it.
    fine : ndarray, shape (2h, 2w), float32
        Of peak 1, 3 pixels to the FWHM of the beam.
    coarse : ndarray, shape (h, w), float32
        As a beam of twice the width sees it.
    middle : (float, float)
        Row and column of its centre in the coarse map.
    flags : (float, float)
        See `skygal.morphology.octave_inputs.class_flags`.
    """

    source: int
    beams: float
    fine: np.ndarray
    coarse: np.ndarray
    middle: tuple[float, float]
    flags: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Piece:
    """A square part of a source.

    Attributes
    ----------
    fine : ndarray, shape (2 side, 2 side), float32, or None
        If it is known.
    coarse : ndarray, shape (side, side), float32
        In parts of the whole coarse map's peak, as ``fine``.
    information : ndarray, shape (INFORMATION, side, side), float32
        See `skygal.morphology.octave_inputs.place_maps`.
    beams : float
        Beams across the source in the fine map.
    """

    fine: np.ndarray | None
    coarse: np.ndarray
    information: np.ndarray
    beams: float


def atlas_maps(atlas: Atlas, rows: np.ndarray, views: int, rng: np.random.Generator) -> list[AtlasMap]:
    """Return maps of sources at scales from `FEWEST` beams to the finest that each shows, evenly spread in logarithm.

    Parameters
    ----------
    atlas : Atlas
        The sources.
    rows : ndarray of int
        Which of them.
    views : int
        How many maps of each.
    rng : numpy.random.Generator
        Draws scales, angles and places.
    """
    maps = []
    for k in rows.tolist():
        most = FINEST * atlas.las[k] / atlas.beam[k, 0]
        if most <= FEWEST:
            continue
        share = (np.arange(views) + rng.random(views)) / views
        axis = source_axis(atlas.image[k])
        for beams in FEWEST * (most / FEWEST)**share:
            turn = axis[0] + np.radians(rng.uniform(-TURN, TURN)) + np.pi * rng.integers(2)
            maps.append(see_source(atlas, k, float(beams), turn, axis[1:], rng.uniform(-0.5, 0.5, 2)))
    return maps


def source_axis(image: np.ndarray) -> tuple[float, float, float]:
    """Return the angle of a map's major axis, radians, and its centre (row, column), both of the square root."""
    weight = np.sqrt(np.where(image > 0.003 * image.max(), image, 0))
    y, x = np.indices(image.shape)
    total = weight.sum()
    row, column = (weight * y).sum() / total, (weight * x).sum() / total
    y, x = y - row, x - column
    angle = 0.5 * np.arctan2(2 * (weight * x * y).sum(), (weight * (x**2 - y**2)).sum())
    return float(angle), float(row), float(column)


def see_source(atlas: Atlas, k: int, beams: float, turn: float, centre: tuple[float, ...], shift: np.ndarray
               ) -> AtlasMap:
    """Return a source seen with so many beams across, turned about its centre and shifted by parts of a pixel."""
    import torch
    from scipy import ndimage

    from skygal.morphology.octave_networks import smooth

    fwhm = atlas.las[k] / beams / atlas.pixel[k]
    major, minor, angle = atlas.beam[k] / [atlas.pixel[k], atlas.pixel[k], 1]
    along, across = np.square(SIGMA) * (fwhm**2 - np.square([major, minor]))
    pad = int(np.ceil(2 * fwhm)) + 20
    wide = np.pad(atlas.image[k].astype(float), pad)
    v, u = np.fft.fftfreq(wide.shape[0])[:, None], np.fft.rfftfreq(wide.shape[1])
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    decay = along * (v * cos - u * sin)**2 + across * (u * cos + v * sin)**2
    wide = np.fft.irfft2(np.fft.rfft2(wide) * np.exp(-2 * np.pi**2 * decay), wide.shape)
    side = 2 * int(np.ceil((1.25 * beams + 8) * PIXELS_PER_BEAM / 2)) + 1
    step = fwhm / PIXELS_PER_BEAM * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    middle = (side - 1) / 2 + shift
    seen = ndimage.affine_transform(wide, step, np.array(centre) + pad - step @ middle, (side, side), order=3)
    seen = np.maximum(seen, 0).astype(np.float32) / np.float32(seen.max())
    parts = []
    for axis in (1, 0):
        lit = np.flatnonzero((seen > FAINTEST).any(axis=axis))
        begin = max(0, int(lit[0]) - AROUND)
        # two pixels of the coarse map, four of this one, to one of the latents
        parts.append(slice(begin, begin - (begin - int(lit[-1]) - AROUND - 1) // 4 * 4))
    fine = np.pad(seen, [(0, max(0, part.stop - side)) for part in parts])[tuple(parts)]
    coarse = smooth(torch.from_numpy(np.ascontiguousarray(fine))[None, None])[0, 0].numpy()
    place = tuple(float(m - part.start) / 2 for m, part in zip(middle, parts, strict=True))
    return AtlasMap(k, beams, fine, coarse, (place[0], place[1]), class_flags(atlas.fr_class(k)))


def cut_piece(fine: np.ndarray | None, coarse: np.ndarray, middle: tuple[float, float], beams: float,
              flags: tuple[float, float], side: int, rng: np.random.Generator) -> Piece:
    """Return a piece of a source about some lit pixel.

    Parameters
    ----------
    fine, coarse, middle, beams, flags
        See `AtlasMap`; the fine map may be unknown.
    side : int
        Coarse pixels along either side, even.
    rng : numpy.random.Generator
        Draws the place.
    """
    peak = coarse.max()
    y, x = np.nonzero(coarse > LIT * peak)
    pick = rng.integers(len(y))
    y0, x0 = (int(at[pick] - rng.integers(INSIDE, side - INSIDE)) // 2 * 2 for at in (y, x))
    information = place_maps((side, side), (middle[0] - y0, middle[1] - x0), beams, flags)
    cut = None if fine is None else _cut(fine, 2 * y0, 2 * x0, 2 * side) / peak
    return Piece(cut, _cut(coarse, y0, x0, side) / peak, information, beams)


def _cut(image: np.ndarray, y0: int, x0: int, side: int) -> np.ndarray:
    """Return a square of an image that begins at a pixel, zero beyond the image."""
    out = np.zeros((side, side), np.float32)
    ya, yb, xa, xb = max(0, y0), min(image.shape[0], y0 + side), max(0, x0), min(image.shape[1], x0 + side)
    out[ya - y0:yb - y0, xa - x0:xb - x0] = image[ya:yb, xa:xb]
    return out
