"""What octaves learn from: pieces of an atlas's maps at many scales, each with a coarse map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from skygal.morphology.octave_cores import CORE_LEVELS
from skygal.morphology.octave_inputs import (
    CLOSER,
    FIRST_PIXELS,
    FIRST_RATIO,
    PIXELS_PER_BEAM,
    class_flags,
    place_maps,
)
from skygal.morphology.point import point_map
from skygal.training.data.atlas import FINEST, SIGMA, Atlas, widen_map

__all__ = ["AtlasMap", "AtlasView", "Piece", "atlas_maps", "core_levels", "cut_piece", "first_maps", "see_source",
           "source_axis", "survey_source"]

#: beams across the source, at least, in a fine map
FEWEST = 16.0
#: the same in maps that the first octaves learn from, and at most
FIRST_BEAMS = (24.0, 44.0)
#: noise over peak that hardly matters
QUIET = 0.003
#: noise over peak that a survey shows them with: the median of FIRST's sources of 50 to 95 arcsec (MiraBest), the
#: standard deviation of its natural logarithm, and the least and the most
NOISE, NOISE_SCATTER, NOISE_RANGE = 0.019, 0.6, (QUIET, 0.08)
#: standard deviations of the noise below which nothing is shown
CLIP = 3.0
#: degrees by which maps are turned out of their axis, at most
TURN = 12.0
#: degrees by which either half of a source is bent, at most; and of its size, where about half of that is reached
MOST_BENT, BENDING = 36.0, 0.11
#: iterations until it is known where something is after that
BENDINGS = 50
#: of the peak: what is fainter is no part of the source
FAINTEST = 1e-4
#: pixels of the coarse map around that
AROUND = 7
#: of the coarse map's peak: a piece has something brighter near its middle
LIT = 0.01
#: coarse pixels between that and the piece's rim
INSIDE = 6
#: share of the flux that the core is taken to have where none is seen
UNSEEN = 1e-4
#: sources that tell how bright cores are, at least
FEW = 5


@dataclass(frozen=True, eq=False)
class AtlasView:
    """How a source of an atlas is looked at.

    Attributes
    ----------
    source : int
        Which of the atlas.
    beams : float
        Beams across it.
    turn : float
        Angle by which it is turned about its centre, radians.
    centre : (float, float)
        Row and column of that.
    shift : ndarray, shape (2,)
        Parts of a pixel that it is shifted by.
    bend : float
        Angle by which each half of it is bent to the same side, radians.
    """

    source: int
    beams: float
    turn: float
    centre: tuple[float, float]
    shift: np.ndarray
    bend: float = 0.0


@dataclass(frozen=True, eq=False)
class AtlasMap:
    """A source seen with a beam, its axis along x.

    Attributes
    ----------
    source : int
        Which of the atlas.
    beams : float
        Beams across it in the coarse map.
    fine : ndarray, shape (2h, 2w) or (8h, 8w), float32
        Of peak 1, 3 pixels to the FWHM of the beam, but seen with a sharper one (by `CLOSER`, to learn from).
    given : ndarray, shape (h, w) or (2h, 2w), float32
        The coarse map, as a beam of twice the width sees the source; or what a beam of four times the width sees of
        what a survey showed of it without its core, which has a coarse map of twice the pixels.
    middle : (float, float)
        Row and column of its centre in the coarse map.
    flags : (float, float)
        See `skygal.morphology.octave_inputs.class_flags`.
    core : (float, float, float) or None
        Row, column and flux of its core in the coarse map, in parts of all of that.
    """

    source: int
    beams: float
    fine: np.ndarray
    given: np.ndarray
    middle: tuple[float, float]
    flags: tuple[float, float]
    core: tuple[float, float, float] | None


@dataclass(frozen=True, eq=False)
class Piece:
    """A square part of a source.

    Attributes
    ----------
    fine : ndarray, shape (2 side, 2 side) or (8 side, 8 side), float32, or None
        If it is known.
    given : ndarray, shape (side, side) or (2 side, 2 side), float32
        In parts of the whole coarse map's peak, as ``fine``.
    information : ndarray, shape (INFORMATION, side, side), float32
        See `skygal.morphology.octave_inputs.place_maps`.
    beams : float
        Beams across the source in the coarse map.
    core : ndarray, shape (2 side, 2 side) or (8 side, 8 side), float32
        The core alone, zero where none is told apart.
    """

    fine: np.ndarray | None
    given: np.ndarray
    information: np.ndarray
    beams: float
    core: np.ndarray


def atlas_maps(atlas: Atlas, rows: np.ndarray, views: int, rng: np.random.Generator, *, bend: float = 0.0
               ) -> list[AtlasMap]:
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
        Draws scales, angles, bends and places.
    bend : float
        Degrees by which the halves of a source are each bent, one standard deviation.
    """
    return [see_source(atlas, view, closer=CLOSER) for view in _views(atlas, rows, views, (FEWEST, np.inf), bend, rng)]


def first_maps(atlas: Atlas, rows: np.ndarray, views: int, sharper: float, errors: float, rng: np.random.Generator,
               *, bend: float = 0.0) -> list[AtlasMap]:
    """Return maps of sources after the first octaves, each with what is known of it before them.

    That is what a survey shows with its noise, clipped, and it has errors as a model has.

    Parameters
    ----------
    atlas, rows, views, rng, bend
        See `atlas_maps`.
    sharper : float
        How many times sharper than the coarse maps' beam the survey's is.
    errors : float
        Largest standard deviation of the natural logarithm of errors, each one beam of the coarse map wide.
    """
    return [survey_source(atlas, view, sharper=sharper, noise=_noise(rng), errors=errors * rng.random(), rng=rng,
                          closer=CLOSER)
            for view in _views(atlas, rows, views, FIRST_BEAMS, bend, rng)]


def _noise(rng: np.random.Generator) -> float:
    return float(np.clip(NOISE * np.exp(NOISE_SCATTER * rng.standard_normal()), *NOISE_RANGE))


def _views(atlas: Atlas, rows: np.ndarray, views: int, beams: tuple[float, float], bend: float,
           rng: np.random.Generator) -> Iterator[AtlasView]:
    """Yield views that `CLOSER` ones are known of."""
    for k in rows.tolist():
        most = min(beams[1], FINEST * atlas.las[k] / atlas.beam[k, 0] / CLOSER)
        if most <= beams[0]:
            continue
        share = (np.arange(views) + rng.random(views)) / views
        axis = source_axis(atlas.image[k])
        for found in beams[0] * (most / beams[0])**share:
            turn = axis[0] + np.radians(rng.uniform(-TURN, TURN)) + np.pi * rng.integers(2)
            bent = np.radians(np.clip(bend * rng.standard_normal(), -MOST_BENT, MOST_BENT))
            yield AtlasView(k, float(found), turn, axis[1:], rng.uniform(-0.5, 0.5, 2), float(bent))


def source_axis(image: np.ndarray) -> tuple[float, float, float]:
    """Return the angle of a map's major axis, radians, and its centre (row, column), both of the square root."""
    weight = np.sqrt(np.where(image > 0.003 * image.max(), image, 0))
    y, x = np.indices(image.shape)
    total = weight.sum()
    row, column = (weight * y).sum() / total, (weight * x).sum() / total
    y, x = y - row, x - column
    angle = 0.5 * np.arctan2(2 * (weight * x * y).sum(), (weight * (x**2 - y**2)).sum())
    return float(angle), float(row), float(column)


def see_source(atlas: Atlas, view: AtlasView, *, closer: float = 1.0) -> AtlasMap:
    """Return a source as it is looked at.

    Its fine map is seen with a beam so many times sharper, which must not be sharper than the atlas's.
    """
    return _see(atlas, view, 2, closer)[0]


def _see(atlas: Atlas, view: AtlasView, ratio: int, closer: float) -> tuple[AtlasMap, list[slice]]:
    """Return what `see_source` does, and which part of all that was looked at its fine map is."""
    import torch

    from skygal.morphology.octave_seeing import smooth

    k, seen = view.source, _look(atlas, view, closer, ratio)
    parts = _lit_parts(seen, ratio)
    fine = _cut_parts(seen, parts) / np.float32(seen.max())
    coarse = smooth(torch.from_numpy(fine)[None, None], closer, ratio)[0, 0].numpy()
    middle, core = (len(seen) - 1) / 2 + view.shift, atlas.cores[k]
    if core is not None:
        at = np.linalg.solve(_step(atlas, view), np.subtract(core[:2], view.centre))
        row, column = ((here - part.start) / ratio for here, part in zip(
            (_bent(at, view, -1) + middle).tolist(), parts, strict=True))
        core = row, column, core[2]
    # bent, it has its centre elsewhere
    y, x = source_axis(fine)[1:] if view.bend else (middle - [part.start for part in parts]).tolist()
    return AtlasMap(k, view.beams * np.cos(view.bend) / ratio, fine, coarse, (y / ratio, x / ratio),
                    class_flags(atlas.fr_class(k)), core), parts


def _step(atlas: Atlas, view: AtlasView) -> np.ndarray:
    """Return the pixels of a source's own map to a pixel of one that is seen so, along its axes."""
    cos, sin, k = np.cos(view.turn), np.sin(view.turn), view.source
    return atlas.las[k] / view.beams / atlas.pixel[k] / PIXELS_PER_BEAM * np.array([[cos, sin], [-sin, cos]])


def _bent(offsets: np.ndarray, view: AtlasView, sign: int) -> np.ndarray:
    """Return offsets (row, column) from a source's centre, turned about it by the angle at their column.

    Either end of the source is turned by the whole angle, and so not deformed. With ``sign`` -1 the offsets are those
    in the unbent source, and those in the bent one are returned.
    """
    row, column = offsets
    width = 2 * BENDING * view.beams * PIXELS_PER_BEAM

    def turned(at: np.ndarray) -> np.ndarray:
        angle = sign * view.bend * np.tanh(at / width)
        return np.array([np.cos(angle) * row - np.sin(angle) * column, np.sin(angle) * row + np.cos(angle) * column])

    if sign > 0:
        return turned(column)
    found = offsets
    for _ in range(BENDINGS):
        found = turned(found[1])
    return found


def survey_source(atlas: Atlas, view: AtlasView, *, sharper: float, noise: float, errors: float,
                  rng: np.random.Generator, closer: float = 1.0) -> AtlasMap:
    """Return what `see_source` does, with what is given from a survey's image.

    Parameters
    ----------
    atlas, view, closer
        See `see_source`.
    sharper : float
        How many times sharper than the coarse map's beam, which is eight times the fine one's, the survey's is.
    noise : float
        Of the survey's image, in parts of its peak.
    errors : float
        Standard deviation of the natural logarithm of the errors, each one beam of the coarse map wide.
    rng : numpy.random.Generator
        Draws noise and errors.
    """
    from scipy import ndimage

    ratio = FIRST_PIXELS * FIRST_RATIO
    found, parts = _see(atlas, view, ratio, closer)
    sharper = sharper / ratio
    sharp = _look(atlas, view, sharper, ratio)
    noise = noise * float(sharp.max())
    beam = SIGMA * PIXELS_PER_BEAM
    shown = sharp + noise * _grain(sharp.shape, beam / sharper, rng)
    island, _ = ndimage.label(shown > CLIP * noise, np.ones((3, 3)))
    shown = np.where(np.isin(island, np.unique(island[(sharp > noise) & (island > 0)])), shown, 0)
    # from the survey's beam to the one of what is given
    seen = ndimage.gaussian_filter(shown, beam * np.sqrt(FIRST_RATIO**2 - sharper**-2.0))
    given = _cut_parts(seen, parts)[::FIRST_RATIO, ::FIRST_RATIO]
    given = given * np.exp(errors * _grain(given.shape, FIRST_PIXELS * beam, rng))
    given *= FIRST_PIXELS**2 * found.given.sum(dtype=float) / given.sum()
    if found.core is None:
        return replace(found, given=given.astype(np.float32))
    row, column, share = found.core
    core = point_map(given.shape, FIRST_PIXELS * row, FIRST_PIXELS * column, share * given.sum(), PIXELS_PER_BEAM)
    given = np.maximum(given - core, 0)
    return replace(found, given=given.astype(np.float32), core=(row, column, core.sum() / given.sum()))


def _grain(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise of unit standard deviation that a beam has seen."""
    from scipy import ndimage

    grain = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return grain / grain.std()


def _look(atlas: Atlas, view: AtlasView, sharper: float, ratio: int) -> np.ndarray:
    """Return a source on pixels of a third of a beam, seen with a beam so many times sharper, (side, side).

    Around it there is room for what a beam wider by the ratio sees of it.
    """
    from scipy import ndimage

    k = view.source
    fwhm, pixels = atlas.las[k] / view.beams / atlas.pixel[k], [atlas.pixel[k], atlas.pixel[k], 1]
    pad = int(np.ceil(2 * fwhm)) + 20
    wide = widen_map(atlas.image[k], atlas.beam[k] / pixels, fwhm / sharper, pad)
    side = 2 * int(np.ceil((1.25 * view.beams + 4 * ratio) * PIXELS_PER_BEAM / 2)) + 1
    offsets = np.indices((side, side)) - ((side - 1) / 2 + view.shift)[:, None, None]
    places = np.tensordot(_step(atlas, view), _bent(offsets, view, 1), 1) + (np.array(view.centre) + pad)[:, None, None]
    seen = ndimage.map_coordinates(wide, places, order=3)
    return np.maximum(seen, 0).astype(np.float32)


def _lit_parts(seen: np.ndarray, ratio: int) -> list[slice]:
    """Return rows and columns of a map that hold the source; they may end beyond it.

    They are a multiple of two pixels of the coarse map, which are one of the latents.
    """
    parts, around, multiple = [], AROUND * ratio, 2 * ratio
    for axis in (1, 0):
        lit = np.flatnonzero((seen > FAINTEST * seen.max()).any(axis=axis))
        begin = max(0, int(lit[0]) - around)
        parts.append(slice(begin, begin - (begin - int(lit[-1]) - around - 1) // multiple * multiple))
    return parts


def _cut_parts(seen: np.ndarray, parts: list[slice]) -> np.ndarray:
    """Return rows and columns of a map, zero beyond it."""
    wide = np.pad(seen, [(0, max(0, part.stop - side)) for part, side in zip(parts, seen.shape, strict=True)])
    return np.ascontiguousarray(wide[tuple(parts)])


def core_levels(maps: Iterable[AtlasMap]) -> np.ndarray:
    """Return how bright the cores of sources are, one map of each: see `skygal.morphology.octave_cores.CORE_LEVELS`.

    A class with few sources has those.
    """
    out, found = np.array(CORE_LEVELS), list(maps)
    shares = np.log([max(UNSEEN, one.core[2] if one.core else 0) for one in found])
    for kind in range(2):
        known = shares[[one.flags[kind] > 0 for one in found]]
        if len(known) >= FEW:
            out[kind] = np.quantile(known, np.linspace(0, 1, out.shape[1]))
    return out


def cut_piece(fine: np.ndarray | None, given: np.ndarray, middle: tuple[float, float], beams: float,
              flags: tuple[float, float], side: int, rng: np.random.Generator, *, ratio: int, pixels: int = 1,
              core: tuple[float, float, float] | None = None) -> Piece:
    """Return a piece of a source about some lit pixel.

    Parameters
    ----------
    fine, given, middle, beams, flags
        See `AtlasMap`; the fine map may be unknown.
    side : int
        Coarse pixels along either side, even.
    rng : numpy.random.Generator
        Draws the place.
    ratio, pixels : int
        How many times smaller the pixels of the fine map are than those of what is given, and those than coarse ones.
    core : (float, float, float), optional
        See `AtlasMap`, if it is to be told apart. It is shown as fine maps are (see `CLOSER`).
    """
    coarse = given if pixels == 1 else _halved(given)
    peak = coarse.max()
    y, x = np.nonzero(coarse > LIT * peak)
    pick = rng.integers(len(y))
    y0, x0 = (int(at[pick] - rng.integers(INSIDE, side - INSIDE)) // 2 * 2 for at in (y, x))
    information = place_maps((side, side), (middle[0] - y0, middle[1] - x0), beams, flags)
    ratio *= pixels
    cut = None if fine is None else _cut(fine, ratio * y0, ratio * x0, ratio * side) / peak
    row, column, share = core or (0.0, 0.0, 0.0)
    point = point_map((ratio * side, ratio * side), ratio * (row - y0), ratio * (column - x0),
                      ratio**2 * share * float(coarse.sum()) / peak, PIXELS_PER_BEAM / CLOSER)
    shown = _cut(given, pixels * y0, pixels * x0, pixels * side) / peak
    return Piece(cut, shown, information, beams, point.astype(np.float32))


def _halved(given: np.ndarray) -> np.ndarray:
    """Return a map as a beam of twice the width sees it, on every second pixel."""
    import torch

    from skygal.morphology.octave_seeing import smooth

    return smooth(torch.from_numpy(given)[None, None])[0, 0].numpy()


def _cut(image: np.ndarray, y0: int, x0: int, side: int) -> np.ndarray:
    """Return a square of an image that begins at a pixel, zero beyond the image."""
    out = np.zeros((side, side), np.float32)
    ya, yb, xa, xb = max(0, y0), min(image.shape[0], y0 + side), max(0, x0), min(image.shape[1], x0 + side)
    out[ya - y0:yb - y0, xa - x0:xb - x0] = image[ya:yb, xa:xb]
    return out
