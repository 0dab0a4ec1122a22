"""How a model's sources look at any resolution, beside an atlas's: measures, a patch test, copies and consistency."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from skygal.checks import as_count
from skygal.evaluation.patches import split_test, tell_patches
from skygal.evaluation.results import format_value
from skygal.evaluation.sharp import MEASURES, measure_sharpness
from skygal.training.data.atlas import FINEST, PIXELS_PER_BEAM, SIGMA, Atlas

__all__ = ["SCALES", "Held", "Sharpness", "draw_after_atlas", "draw_sources", "evaluate_sharp", "write_sharp_report"]

#: beams across the sources
SCALES = (12, 20, 30, 45)
#: what is measured, the last octaves after real coarse maps; and beams from which these are no longer the first ones
KINDS, LATER = ("real", "drawn", "after"), 42
#: beams across a source after the first octaves, about; fewer, where the atlas shows fewer
AFTER_FIRST = 36
#: sources that two halves of them can be told apart by
ENOUGH = 12
#: quantile samples of a median's error
BOOTSTRAPS = 300
#: sources of each kind in a picture, and decades of brightness that it shows
SHOWN, DECADES = 8, 3.5


@dataclass(frozen=True, eq=False)
class Held:
    """A model and the atlas's sources that it is held beside.

    Attributes
    ----------
    model : Generator
        The trained model.
    rows : ndarray of int
        Sources of the atlas that its training did not see.
    """

    model: Any
    rows: np.ndarray


@dataclass(eq=False)
class Sharpness:
    """What was measured at each scale.

    Attributes
    ----------
    rows : list of dict
        One for each scale and measure: ``beams``, ``measure``, and for each of ``real``, ``drawn`` and ``after``
        (octaves after the real sources' own coarse maps) the value and its error, as ``real_error``.
    maps : dict
        Real and drawn maps of each scale, for pictures.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    maps: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = field(default_factory=dict)


def draw_sources(model: Any, n: int, beams: float, *, frii: float, seed: int) -> list[np.ndarray]:
    """Draw sources with so many beams across, aligned, without noise.

    Parameters
    ----------
    model : Generator
        With octaves or without; without, what it can show.
    n : int
        How many.
    beams : float
        Beams across each.
    frii : float
        Share of FRII; the rest are FRI.
    seed : int
        Of what is drawn.

    Returns
    -------
    list of `~numpy.ndarray`
        Maps of peak 1, 4 pixels to the FWHM of a beam: n of them, or of a model without octaves none, if its stamps are
        coarser than that.
    """
    from skygal.morphology.batches import make_stamps
    from skygal.morphology.conditions import SIZE_TO_EXTENT
    from skygal.morphology.latents import sample_keys, sample_latents
    from skygal.seeds import Seeds
    from skygal.stamps.across import draw_across

    seeds = Seeds(seed)
    fwhm = model.beam_fwhm / model.pixel_scale
    classes = np.where(np.arange(n) < round(frii * n), "FRII", "FRI")
    keys = sample_keys(seeds, "sharp", "balanced", classes)
    least, most = model.extent or (beams * model.beam_fwhm / SIZE_TO_EXTENT, np.inf)
    latents = sample_latents(model, "balanced", classes, keys, least=np.full(n, least), most=np.full(n, most))
    maps: list[np.ndarray] = []
    for batch in make_stamps(model, latents, 3.0):
        images, _ = draw_across(model, batch, beams=beams, size=None, turned=False, pixels=PIXELS_PER_BEAM)
        sharp = model.octaves is not None or batch.shapes.las >= beams * fwhm
        maps += [image / image.max() for image in images[np.broadcast_to(sharp, len(images))]]
    return maps if len(maps) >= n // 2 else []


def draw_after_atlas(model: Any, atlas: Atlas, rows: np.ndarray, beams: float, *, seed: int) -> list[np.ndarray]:
    """Draw octaves after the atlas's own coarse maps: what they add is seen apart from what stamps are like.

    Parameters
    ----------
    model : Generator
        With octaves.
    atlas : Atlas
        Real sources.
    rows : ndarray of int
        Which of them.
    beams : float
        Beams across each: of what the first octaves draw, all at once, after what a survey with little noise shows, or
        from 42 on one later octave.
    seed : int
        Of the latents.

    Returns
    -------
    list of `~numpy.ndarray`
        Maps of peak 1, 4 pixels to the FWHM of a beam.
    """
    from skygal.morphology.octave_inputs import BEGUN, FIRST_PIXELS, FRAME
    from skygal.morphology.octave_inputs import PIXELS_PER_BEAM as OWN_PIXELS
    from skygal.morphology.octaves import SkyMap, draw_next
    from skygal.training.data.octave_maps import QUIET, AtlasView, see_source, source_axis, survey_source

    maps = []
    for k in rows.tolist():
        turn, *centre = source_axis(atlas.image[k])
        rng, shown = np.random.default_rng([seed, k]), beams
        view = AtlasView(k, beams, turn, (centre[0], centre[1]), np.zeros(2))
        if beams < LATER:
            begun, pixels, network = BEGUN, FIRST_PIXELS, model.octaves.first
            shown = max(beams, min(AFTER_FIRST, FINEST * atlas.las[k] / atlas.beam[k, 0]))
            found = survey_source(atlas, replace(view, beams=shown), sharper=model.octaves.factor, noise=QUIET,
                                  errors=0, rng=rng)
        else:
            begun, pixels, network = 3, 1, model.octaves.later
            found = see_source(atlas, view)
        # it takes the place of what was drawn: the source's centre comes to lie where that of a stamp does
        frame = [side * 2**begun for side in FRAME]
        wide = np.pad(found.given, [(side, side) for side in frame])
        place = tuple(slice(round(pixels * at) + side // 2, round(pixels * at) + side // 2 + side)
                      for at, side in zip(found.middle, frame, strict=True))
        sky = draw_next(network, SkyMap(wide[place], octave=begun), found.beams * pixels / 2**begun, found.flags, rng)
        fewer = shown / beams
        image = np.pad(sky.whole(), math.ceil(4 * OWN_PIXELS * fewer))
        image = ndimage.gaussian_filter(image, SIGMA * OWN_PIXELS * math.sqrt(fewer**2 - 1))
        image = ndimage.zoom(image, PIXELS_PER_BEAM / OWN_PIXELS / fewer, order=3)
        maps.append(np.maximum(image, 0) / image.max())
    return maps


def evaluate_sharp(atlas: Atlas, models: Sequence[Held], *, scales: Sequence[int] = SCALES, n: int = 60, seed: int = 0,
                   networks: int = 3, progress: bool = False) -> Sharpness:
    """Measure sources of models beside an atlas's, those of round beams.

    Parameters
    ----------
    atlas : Atlas
        Real sources.
    models : sequence of Held
        One, or one for each part of the atlas that it was trained without.
    scales : sequence of int
        Beams across the sources.
    n : int
        Sources to draw, in all.
    seed : int
        Of the draws and the networks.
    networks : int
        Networks of each part for the patch test.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Sharpness

    Raises
    ------
    ValueError
        If there is no model, or a number is not positive.
    """
    from tqdm import tqdm

    if not models:
        raise ValueError("models must be one at least, got none")
    n, networks = as_count("n", n, minimum=6), as_count("networks", networks, minimum=1)
    found, seeds = Sharpness(), range(seed, seed + networks)
    known = atlas.has_round_beam()
    frii = float(np.mean([atlas.fr_class(k) == "FRII" for k in range(len(atlas.image))]))
    for beams in tqdm(scales, desc="scales", disable=not progress):
        real, real_part, drawn, drawn_part, after = [], [], [], [], []
        for number, held in enumerate(models):
            seen = np.intersect1d(held.rows, np.flatnonzero(atlas.shows(beams) & known))
            real += list(atlas.at(beams, seen)[0])
            real_part += [number] * len(seen)
            made = draw_sources(held.model, -(-n // len(models)), beams, frii=frii, seed=seed + number)
            drawn += made
            drawn_part += [number] * len(made)
            if held.model.octaves is not None:
                after += draw_after_atlas(held.model, atlas, seen, beams, seed=seed)
        found.maps[beams] = real, drawn
        values = [[measure_sharpness(image) for image in maps] for maps in (real, drawn, after)]
        for name in MEASURES:
            row: dict[str, Any] = {"beams": beams, "measure": name}
            for kind, maps in zip(KINDS, values, strict=True):
                row[kind], row[f"{kind}_error"] = _median([one[name] for one in maps], seed)
            found.rows.append(row)
        parts = [np.array(part) for part in (real_part, drawn_part)]
        if len(models) == 1:
            parts = [np.arange(len(maps)) % 3 for maps in (real, drawn)]
        told = tell_patches(real, drawn, *parts, seeds=seeds) if drawn else (np.nan, np.nan)
        told_after = tell_patches(real, after, parts[0], parts[0], seeds=seeds) if after else (np.nan, np.nan)
        equals = split_test(real, seeds=seeds) if len(real) >= ENOUGH else (np.nan, np.nan)
        found.rows.append({"beams": beams, "measure": "patch accuracy", "real": equals[0], "real_error": equals[1],
                           "drawn": told[0], "drawn_error": told[1], "after": told_after[0],
                           "after_error": told_after[1]})
        if models[0].model.octaves is not None:
            near, others = _copies(real, drawn)
            found.rows.append({"beams": beams, "measure": "nearest real source", "real": others[0],
                               "real_error": others[1], "drawn": near[0], "drawn_error": near[1], "after": np.nan,
                               "after_error": np.nan})
    return found


def _median(values: Sequence[float], seed: int) -> tuple[float, float]:
    """Return the median of numbers, those that are none left out, and its error from resamples."""
    known = np.array([value for value in values if np.isfinite(value)])
    if not known.size:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    resampled = np.median(known[rng.integers(known.size, size=(BOOTSTRAPS, known.size))], axis=1)
    return float(np.median(known)), float(resampled.std())


def _copies(real: Sequence[np.ndarray], drawn: Sequence[np.ndarray]
            ) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return how far the nearest real source is, of drawn ones and of other real ones, in the median.

    Maps are compared as 32 x 32 pixels of their lit part, on a logarithmic scale, in either direction; the distance is
    one less the largest correlation.
    """
    def vectors(maps: Sequence[np.ndarray]) -> np.ndarray:
        out = []
        for image in maps:
            y, x = np.nonzero(image > 1e-3)
            part = np.log10(np.maximum(image[y.min():y.max() + 1, x.min():x.max() + 1], 1e-3))
            small = ndimage.zoom(part, np.array([32, 32]) / part.shape, order=1)
            small = small - small.mean()
            out.append(small / np.linalg.norm(small))
        return np.array(out)

    known, made = vectors(real), vectors(drawn)

    def nearest(some: np.ndarray, apart: bool) -> tuple[float, float]:
        best = np.full((len(some), len(known)), -1.0)
        for rows, columns in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            best = np.maximum(best, np.einsum("nij,mij->nm", some[:, ::rows, ::columns], known))
        if apart:
            np.fill_diagonal(best, -1)
        return _median((1 - best.max(axis=1)).tolist(), 0)

    return nearest(made, False), nearest(known, True)


def write_sharp_report(found: Sharpness, output: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """Write what was measured as a folder: sharp.json, sharp.md and a picture of each scale.

    Parameters
    ----------
    found : Sharpness
        From `evaluate_sharp`.
    output : path
        The folder; it appears whole or not at all.
    overwrite : bool
        Whether a folder that skygal wrote may be replaced.

    Returns
    -------
    `~pathlib.Path`
        The folder.

    Raises
    ------
    FileExistsError
        If it is there.
    """
    from skygal.io.atomic import whole_directory

    lines = ["| beams across | measure | real | drawn | after real maps |", "| --- | --- | --- | --- | --- |"]
    for row in found.rows:
        values = (format_value(row[kind], row[f"{kind}_error"]) for kind in KINDS)
        lines.append(f"| {row['beams']} | {row['measure']} | {' | '.join(values)} |")
    rows = [{key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
            for row in found.rows]
    with whole_directory(output, overwrite=overwrite) as folder:
        (folder / "sharp.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "sharp.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        for beams, (real, drawn) in found.maps.items():
            _plot(real, drawn, folder / f"beams{beams}.png", beams)
    return Path(output)


def _plot(real: Sequence[np.ndarray], drawn: Sequence[np.ndarray], path: Path, beams: int) -> None:
    """Draw real sources above drawn ones, unselected: every so many of them, in order."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * SHOWN, 3.4), layout="constrained")
    axes = figure.subplots(2, SHOWN)
    for line, maps, word in zip(axes, (real, drawn), ("real", "drawn"), strict=True):
        chosen = [maps[k] for k in np.linspace(0, len(maps) - 1, min(SHOWN, len(maps))).astype(int)]
        for number, axis in enumerate(line):
            axis.set_axis_off()
            if number < len(chosen):
                axis.imshow(np.log10(np.maximum(_centred(chosen[number]), 10**-DECADES)), origin="lower",
                            cmap="inferno", vmin=-DECADES, vmax=0)
        line[0].set_title(f"{word}, {beams} beams across", fontsize=8, loc="left")
    figure.savefig(path, dpi=100)


def _centred(image: np.ndarray) -> np.ndarray:
    """Return the square around what is lit."""
    y, x = np.nonzero(image > 10**-DECADES)
    half = max(np.ptp(y), np.ptp(x)) // 2 + PIXELS_PER_BEAM
    middle = (y.min() + y.max()) // 2 + half, (x.min() + x.max()) // 2 + half
    wide = np.pad(image, half)
    return wide[middle[0] - half:middle[0] + half, middle[1] - half:middle[1] + half]
