"""Labelled stamps by the number: what `skygal.sample_stamps` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.checks import as_count, as_seed, check_choice, open_range, show
from skygal.io.pictures import ROWS, notebook_html, picture_html, table_html
from skygal.morphology.batches import Batch, Limits, make_stamps_within
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.latents import Latents, check_latents, sample_keys, sample_latents
from skygal.morphology.measure import Shapes, measure_stamps
from skygal.population.classes import check_mix, sample_classes
from skygal.seeds import Seeds
from skygal.stamps.across import check_beams_across, draw_across, turns

__all__ = ["StampSet", "iter_stamps", "sample_stamps"]

SCALES = ("peak", "sum")
ORIENTATIONS = ("random", "aligned")
#: columns of the table that a notebook shows, the format of each, and pixels that stamps are shown in side by side
HEAD = {"stamp_id": "", "fr_class": "", "las": ".1f", "b_maj": ".1f", "b_min": ".1f", "pa": ".1f", "core_frac": ".2f",
        "n_components": "", "bending": ".0f"}
WIDTH = 800
#: stamps that `iter_stamps` gives together; a multiple of those that are drawn anew together
PART = 1024
#: the same of stamps with any number of beams across, which are larger
SHARP_PART = 128
#: pixels of the square frame where nothing else is asked for
DEFAULT_SIZE = 150


@dataclass(frozen=True, eq=False)
class StampSet:
    """Stamps with their labels.

    Attributes
    ----------
    images : ndarray, shape (n, ny, nx), float32
        North up, east left, the source's flux-weighted centre in the middle.
    table : `~astropy.table.QTable`
        A row a stamp: ``fr_class``, what was measured on it (``las``, ``b_maj``, ``b_min``, ``pa``,
        ``core_frac``, ``n_components``), ``extent`` asked for, ``latent_seed`` and ``latents``.
    pixel_scale : `~astropy.units.Quantity`
        Angle per pixel.
    beam_fwhm : `~astropy.units.Quantity`
        FWHM of the circular beam that the stamps carry.
    """

    images: np.ndarray
    table: QTable
    pixel_scale: Any
    beam_fwhm: Any

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"<{self._in_words()}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the first stamps and the head of the table."""
        first = [image / (image.max() or 1) for image in self.images[:ROWS]]
        # a line between each two
        between = np.full((self.images.shape[1], max(1, self.images.shape[2] // 50)), np.nan)
        strip = np.hstack([part for image in first for part in (image, between)][:-1]) if first else between
        picture = picture_html(strip, f"the first {len(first)} stamps", side=WIDTH) if first else ""
        return notebook_html(self._in_words(), [picture, table_html(self.table, HEAD, "table")])

    def _in_words(self) -> str:
        """Return in a line what the stamps are."""
        names, counts = np.unique(np.asarray(self.table["fr_class"]), return_counts=True)
        said = [", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))] * bool(len(self))
        said += [f'{name} {value.to_value("arcsec"):.3g}"' for name, value in (("pixel", self.pixel_scale),
                                                                            ("beam", self.beam_fwhm))]
        said += [f"{key} {self.table.meta[key]}" for key in ("model", "seed") if key in self.table.meta]
        n, ny, nx = self.images.shape
        return f"StampSet {n} of {ny} x {nx} pixels: {', '.join(said)}"

    @classmethod
    def join(cls, parts: Sequence[StampSet]) -> StampSet:
        """Return the stamps of several parts of one sample as one."""
        first = parts[0]
        table = QTable({name: np.concatenate([part.table[name] for part in parts]) for name in first.table.colnames})
        table.meta.update(first.table.meta)
        return cls(np.concatenate([part.images for part in parts]), table, first.pixel_scale, first.beam_fwhm)

    def write(self, path: str | Path, *, format: str = "fits", bits: int = 8, overwrite: bool = False) -> Path:
        """Write the stamps and their table.

        Parameters
        ----------
        path : path
            The directory, or for "npz" the file, to write.
        format : str
            "fits", "npz" or "png": see `skygal.stamps.files.write_stamps`.
        bits : int
            8 or 16, of the PNG images.
        overwrite : bool
            Whether to replace what skygal wrote there before.

        Raises
        ------
        ValueError
            If the format is unknown.
        FileExistsError
            If the path exists and ``overwrite`` is not set.
        """
        from skygal.stamps.files import write_stamps

        return write_stamps([self], path, n=len(self), format=format, bits=bits, overwrite=overwrite)


def sample_stamps(n: int, *, fr_class: str | None = None, fr_mix: Mapping[str, float] | None = None,
                  las: Any = None, bending: Any = None, latents: Any = "balanced", seed: int | None = None,
                  model: Any = None, clip_sigma: float | None = 3.0, beams_across: Any = None, scale: str = "peak",
                  orientation: str = "random", size: int | None = None, device: str = "cpu",
                  progress: bool = False) -> StampSet:
    """Sample postage stamps of radio galaxies, as FIRST would see them without noise.

    Parameters
    ----------
    n : int
        How many.
    fr_class : str, optional
        For all: "FRI", "FRII", or another of the model's classes ("hybrid", "compact").
    fr_mix : dict, optional
        Share of each class, as ``{"FRI": 0.4, "FRII": 0.6}``. By default equal numbers.
    las : pair of `~astropy.units.Quantity`, optional
        Least and largest angular size, at FIRST's scale; None for either end leaves it open. Every stamp
        measures as much, in its column ``las``.
    bending : pair of `~astropy.units.Quantity`, optional
        Least and largest bending, 0 to 180 degrees, likewise; a source with arms at an angle of 140 degrees has a
        bending of 40. See `skygal.morphology.conditions`.
    latents : str or array_like
        "balanced" or "prior" (the model's own prior: N(0, I), resampled; see `Generator.acceptance`), "uniform" (a
        box of +-4),
        "pairs" (stamps 2k and 2k + 1 share latents, one of each class), or an array of shape
        (n, latent_dim). Those further from the origin than sqrt(latent_dim) + 1 are drawn in to the
        shell that the model has learnt (see `Generator.decode`).
    seed : int, optional
        The same seed gives the same stamps. Those of two classes have nothing in common, unless they are pairs.
    model : str, path or Generator, optional
        A shipped model's name or a weights file; the default model if not given.
    clip_sigma : float or None
        Threshold above the decoder's floor, in its scatter; None leaves the floor in.
    beams_across : float, optional
        How many beams fit across the largest angular size of every source, at any resolution: of a model with octaves,
        such as "first-atlas", at most what they show. Then ``las`` must be left out, and a source is seen as FIRST
        would see one of that size.
    scale : str
        "peak" for a brightest pixel of 1, "sum" for a sum of 1.
    orientation : str
        "random" position angles in a square frame, or "aligned": along x, in the model's frame (with ``beams_across``
        in a square one too).
    size : int, optional
        Side of the square frame in pixels of 1.8 arcsec: 150, or with ``beams_across`` twice the
        source's size, if not given.
    device : str
        "cpu" or "cuda".
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    StampSet

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; the message says what is.

    Examples
    --------
    >>> import skygal
    >>> stamps = skygal.sample_stamps(4, seed=1)
    >>> stamps.images.shape
    (4, 150, 150)
    >>> sorted(stamps.table["fr_class"].tolist())
    ['FRI', 'FRI', 'FRII', 'FRII']

    Bent FRIs at least 60 pixels long:

    >>> from astropy import units as u
    >>> bent = skygal.sample_stamps(2, fr_class="FRI", las=(108 * u.arcsec, None), bending=(30 * u.deg, None), seed=1)
    >>> bool((bent.table["las"] >= 108 * u.arcsec).all() and (bent.table["bending"] >= 30 * u.deg).all())
    True

    FRIIs of 40 beams across:

    >>> sharp = skygal.sample_stamps(2, fr_class="FRII", model="first-atlas", beams_across=40, seed=1)
    >>> sharp.images.shape
    (2, 240, 240)
    """
    return StampSet.join(list(iter_stamps(
        n, fr_class=fr_class, fr_mix=fr_mix, las=las, bending=bending, latents=latents, seed=seed, model=model,
        clip_sigma=clip_sigma, beams_across=beams_across, scale=scale, orientation=orientation, size=size,
        device=device, progress=progress)))


def iter_stamps(n: int, *, fr_class: str | None = None, fr_mix: Mapping[str, float] | None = None,
                las: Any = None, bending: Any = None, latents: Any = "balanced", seed: int | None = None,
                model: Any = None, clip_sigma: float | None = 3.0, beams_across: Any = None, scale: str = "peak",
                orientation: str = "random", size: int | None = None, device: str = "cpu",
                progress: bool = False) -> Iterator[StampSet]:
    """Sample stamps as `sample_stamps` does, in parts of 1024, so that memory does not grow with their number.

    Parameters
    ----------
    n, fr_class, fr_mix, las, bending, latents, seed, model, clip_sigma, beams_across, scale, orientation, size
        See `sample_stamps`.
    device, progress
        See `sample_stamps`.

    Yields
    ------
    StampSet
        Together they are what `sample_stamps` returns.
    """
    from tqdm import tqdm

    n = as_count("n", n, minimum=1)
    size = None if size is None else as_count("size", size, minimum=16)
    clip_sigma = check_clip_sigma(clip_sigma)
    check_choice("scale", scale, SCALES)
    check_choice("orientation", orientation, ORIENTATIONS)
    sample = _make_sample(n, fr_class, fr_mix, las, bending, check_latents(latents), Seeds(as_seed("seed", seed)),
                          model, device)
    part: int = PART
    shown: Callable[[Batch], tuple[np.ndarray, Shapes]] = _as_they_are
    if beams_across is not None:
        if las is not None:
            raise ValueError(f"las must be left out with beams_across, got {show(las)}")
        beams, part = check_beams_across(beams_across, sample.generator), SHARP_PART
        sample = replace(sample, extent=sample.generator.extent)
        shown = partial(draw_across, sample.generator, beams=beams, size=size, turned=orientation == "random")
    elif orientation == "random":
        shown = partial(_turned, sample.generator, size=DEFAULT_SIZE if size is None else size)
    with tqdm(total=n, desc="stamps", disable=not progress, delay=2) as bar:
        for start in range(0, n, part):
            yield sample.part(slice(start, start + part), shown, clip_sigma=clip_sigma, scale=scale, update=bar.update)


def _make_sample(n: int, fr_class: Any, fr_mix: Any, las: Any, bending: Any, latents: str | np.ndarray, seeds: Seeds,
                 model: Any, device: str) -> _Sample:
    """Return what was asked for, checked."""
    from skygal.morphology.checkpoint import shared_model

    generator = shared_model(model, device=device)
    latents = check_latents(latents, generator.latent_dim, n)
    pairs = isinstance(latents, str) and latents == "pairs"
    if pairs and (fr_class is not None or fr_mix is not None):
        raise ValueError(f"fr_class and fr_mix must be left out with latents='pairs', got {show(fr_class)} and "
                         f"{show(fr_mix)}")
    if fr_class is not None and fr_mix is not None:
        raise ValueError(f"only one of fr_class and fr_mix may be given, got {show(fr_class)} and {show(fr_mix)}")
    mix = check_mix(fr_mix)
    if mix == "survey":
        raise ValueError("fr_mix must be None or the share of each class: stamps have no flux, got 'survey'")
    if fr_class is not None:
        classes = np.full(n, check_choice("fr_class", fr_class, generator.classes))
    else:
        classes = sample_classes(mix, np.zeros(n), np.zeros(n), seeds.generator("stamp class"))
    # not a field's stream: what a network learns from must not be in the field of the same seed that it is tried on
    keys = sample_keys(seeds, "stamp", latents, np.asarray(classes).astype(str))
    limits = Limits(open_range("las", las, u.arcsec, np.inf), open_range("bending", bending, u.rad, np.pi))
    if (las is not None or bending is not None) and (pairs or isinstance(latents, np.ndarray)):
        raise ValueError("las and bending must be left out with latents that are given or paired, got "
                         f"las={las} and bending={bending}")
    return _Sample(generator, latents, classes, keys, limits, seeds.seed)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Stamps that were asked for, before they are decoded: a class and a key each, and what limits them.

    ``extent`` are the least and largest extent, arcsec, where octaves follow.
    """

    generator: Any
    latents: str | np.ndarray
    classes: np.ndarray
    keys: np.ndarray
    limits: Limits
    seed: int
    extent: tuple[float, float] | None = None

    def draw(self, classes: np.ndarray, keys: np.ndarray) -> Latents:
        """Return what to decode for sources of these classes and keys."""
        low, high = self.extent or tuple(end / SIZE_TO_EXTENT for end in self.limits.las)
        return sample_latents(self.generator, self.latents, classes, keys, least=low, most=high,
                              bending=self.limits.bending)

    def part(self, here: slice, shown: Callable[[Batch], tuple[np.ndarray, Shapes]], *, clip_sigma: float | None,
             scale: str, update: Callable[[int], object]) -> StampSet:
        """Return some of the stamps, as ``shown`` gives those of a batch and their shapes."""
        generator = self.generator
        if isinstance(self.latents, np.ndarray) and self.latents.ndim == 2:
            plan = sample_latents(generator, self.latents[here], self.classes[here], self.keys[here])
        else:
            plan = self.draw(self.classes[here], self.keys[here])
        images, shapes, decoded, bendings = [], [], [], []
        classes = self.classes[here]
        for batch in make_stamps_within(generator, plan, clip_sigma, self.limits,
                                 redraw=lambda rows, keys: self.draw(classes[rows], keys)):
            stamps, measured = shown(batch)
            whole = stamps.max(axis=(1, 2)) if scale == "peak" else stamps.sum(axis=(1, 2))
            images.append(stamps / whole[:, None, None])
            shapes.append(measured)
            decoded.append(batch.latents)
            bendings.append(np.abs(batch.bending))
            update(len(stamps))
        shape, made, pixel = Shapes.join(shapes), Latents.join(decoded), generator.pixel_scale * u.arcsec
        numbers = np.arange(here.start + 1, here.start + len(made) + 1)
        table = QTable({"stamp_id": numbers, "fr_class": self.classes[here],
                        "las": shape.las * pixel, "b_maj": shape.b_maj * pixel, "b_min": shape.b_min * pixel,
                        "pa": shape.pa * u.deg, "core_frac": shape.core_frac, "n_components": shape.n_components,
                        "bending": np.degrees(np.concatenate(bendings)) * u.deg, "extent": made.extent * u.arcsec,
                        "latent_seed": made.keys, "latents": made.values})
        table.meta.update(seed=self.seed, model=generator.name, model_sha256=generator.sha256)
        return StampSet(np.concatenate(images), table, pixel, generator.beam_fwhm * u.arcsec)


def _as_they_are(batch: Batch) -> tuple[np.ndarray, Shapes]:
    return batch.stamps, batch.shapes


def _turned(generator: Any, batch: Batch, *, size: int) -> tuple[np.ndarray, Shapes]:
    """Return stamps at the angles of their keys, in square frames, and their shapes."""
    from skygal.observation.beam import native_covariance
    from skygal.rendering.transform import render_stamps

    n, fwhm = len(batch.stamps), generator.beam_fwhm / generator.pixel_scale
    affine = turns(batch.latents.keys)
    stamps = render_stamps(batch.stamps, batch.shapes.centre, np.full((n, 2), (size - 1) / 2), affine,
                           np.zeros((n, 2, 2)), native_covariance(fwhm), (size, size))
    for stamp, original in zip(stamps, batch.stamps, strict=True):
        # the clipped edge's own ripples
        stamp[stamp < 0.5 * original[original > 0].min()] = 0
    # a size is the same at any angle, but for the pixels
    return stamps, replace(measure_stamps(stamps, beam_fwhm=fwhm)[0], las=batch.shapes.las)
