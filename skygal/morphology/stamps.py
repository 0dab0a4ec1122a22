"""Stamps by the batch: latents, decode, clip, measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable

from skygal.checks import as_count, as_seed, check_choice, open_range
from skygal.morphology.clip import check_clip_sigma, clip_stamps
from skygal.morphology.components import Components
from skygal.morphology.conditions import SIZE_TO_EXTENT, measure_bending
from skygal.morphology.generator import BLOCK
from skygal.morphology.latents import Latents, check_latents, draw_conditions, draw_latents, largest_extent
from skygal.morphology.measure import Shapes, largest_size, measure_stamps
from skygal.seeds import Seeds, next_keys

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = ["Batch", "StampSet", "make_stamps", "sample_stamps"]

#: stamps to a batch; a multiple of the generator's block
BATCH = 64
#: how often a stamp that is too small is asked for again with a larger extent
TRIES = 3
#: how often one that is not as asked for is drawn anew
DRAWS = 40
SCALES = ("peak", "sum")
ORIENTATIONS = ("random", "aligned")


@dataclass(frozen=True)
class Limits:
    """What every stamp must measure.

    Attributes
    ----------
    las : tuple of float
        Least and largest angular size, arcsec.
    bending : tuple of float
        Least and largest absolute bending, radians.
    """

    las: tuple[float, float] = (0.0, np.inf)
    bending: tuple[float, float] = (0.0, np.pi)

    def met(self, las: np.ndarray, bending: np.ndarray) -> np.ndarray:
        """Return which of the stamps are within the limits."""
        size, bend = self.las, np.abs(bending)
        return (las >= size[0]) & (las <= size[1]) & (bend >= self.bending[0]) & (bend <= self.bending[1])


@dataclass(frozen=True)
class Batch:
    """Stamps number ``start`` and on: clipped, of unit sum, with what was measured on them.

    ``latents`` are those that each was decoded from in the end, and ``bending`` is measured.
    """

    start: int
    latents: Latents
    bending: np.ndarray
    stamps: np.ndarray
    shapes: Shapes
    components: Components


def make_stamps(model: Generator, latents: Latents, clip_sigma: float | None,
                least: np.ndarray | None = None) -> Iterator[Batch]:
    """Decode, clip and measure stamps, a bounded batch at a time.

    Parameters
    ----------
    model : Generator
        The trained model.
    latents : Latents
        What to decode.
    clip_sigma : float or None
        See `skygal.morphology.clip.clip_stamps`.
    least : ndarray, shape (n,), optional
        Largest angular size, in stamp pixels, that each stamp should reach. One that falls short is
        asked for again with a larger extent, as far as the model knows them.

    Yields
    ------
    Batch
    """
    fwhm = model.beam_fwhm / model.pixel_scale
    for start in range(0, len(latents), BATCH):
        part = latents[start:start + BATCH]
        stamps = clip_stamps(model.decode(part.values, part.fr_class, part.extent, part.bending), clip_sigma,
                             beam_fwhm=fwhm)
        las = largest_size(stamps)
        if least is not None:
            extent = part.extent.copy()
            _enlarge(model, part, clip_sigma, least[start:start + BATCH], stamps, las, extent)
            part = replace(part, extent=extent)
        yield _measured(start, part, stamps, las, fwhm)


def _measured(start: int, part: Latents, stamps: np.ndarray, las: np.ndarray, fwhm: float) -> Batch:
    """Return the batch of clipped stamps."""
    shapes, components = measure_stamps(stamps, beam_fwhm=fwhm, las=las)
    unit = stamps / shapes.flux[:, None, None].astype(np.float32)
    of_stamp = shapes.flux[components.stamp]
    return Batch(start, part, measure_bending(stamps), unit, shapes,
                 replace(components, flux=components.flux / of_stamp, peak_value=components.peak_value / of_stamp))


def draw_within(model: Generator, plan: Latents, clip_sigma: float | None, limits: Limits, *,
                redraw: Callable[[np.ndarray, np.ndarray], Latents]) -> Iterator[Batch]:
    """Decode, clip and measure stamps that are all within limits.

    Parameters
    ----------
    model, plan, clip_sigma
        See `make_stamps`.
    limits : Limits
        What each stamp must measure.
    redraw : callable
        Returns fresh latents for classes and keys.

    Yields
    ------
    Batch

    Raises
    ------
    ValueError
        If the model makes no such stamp in `DRAWS` draws.
    """
    fwhm = model.beam_fwhm / model.pixel_scale
    for batch in make_stamps(model, plan, clip_sigma):
        part, stamps = batch.latents, batch.stamps * batch.shapes.flux[:, None, None].astype(np.float32)
        las, bend = batch.shapes.las * model.pixel_scale, batch.bending.copy()
        for draw in range(1, DRAWS):
            missed = np.flatnonzero(~limits.met(las, bend))
            if not missed.size:
                break
            fresh = redraw(part.fr_class[missed], next_keys(plan[batch.start:batch.start + BATCH].keys[missed], draw))
            columns = {}
            for field in fields(Latents):
                columns[field.name] = getattr(part, field.name).copy()
                columns[field.name][missed] = getattr(fresh, field.name)
            part = Latents(**columns)
            for block in np.unique(missed // BLOCK):
                # each in the block it was in before, so that its rounding does not depend on which others are anew
                here = slice(block * BLOCK, (block + 1) * BLOCK)
                rows = missed[missed // BLOCK == block]
                raw = model.decode(part.values[here], part.fr_class[here], part.extent[here], part.bending[here])
                stamps[rows] = clip_stamps(raw[rows - here.start], clip_sigma, beam_fwhm=fwhm)
            las[missed], bend[missed] = largest_size(stamps[missed]) * model.pixel_scale, measure_bending(stamps[missed])
        missed = np.flatnonzero(~limits.met(las, bend))
        if missed.size:
            k = missed[0]
            raise ValueError(f"las and bending must be in reach of the model, got none of class {part.fr_class[k]} with "
                             f"las {limits.las[0]:g} to {limits.las[1]:g} arcsec and bending "
                             f"{np.degrees(limits.bending[0]):g} to {np.degrees(limits.bending[1]):g} deg in {DRAWS} "
                             f"draws; the nearest of the last had {las[k]:.1f} arcsec and "
                             f"{abs(np.degrees(bend[k])):.1f} deg")
        yield _measured(batch.start, part, stamps, largest_size(stamps), fwhm)


def _enlarge(model: Generator, part: Latents, clip_sigma: float | None, least: np.ndarray, stamps: np.ndarray,
             las: np.ndarray, extent: np.ndarray) -> None:
    """Replace stamps smaller than ``least`` by ones of a larger extent, in place."""
    largest = np.array([largest_extent(model, name) for name in part.fr_class])
    for _ in range(TRIES):
        short = np.flatnonzero((las < least) & (extent < largest))
        if not short.size:
            return
        extent[short] = np.minimum(1.1 * extent[short] * least[short] / las[short], largest[short])
        # each in the block it was in before, so that its rounding does not depend on which others are short
        for block in np.unique(short // BLOCK):
            here = slice(block * BLOCK, (block + 1) * BLOCK)
            rows = short[short // BLOCK == block]
            raw = model.decode(part.values[here], part.fr_class[here], extent[here], part.bending[here])[rows - here.start]
            stamps[rows] = clip_stamps(raw, clip_sigma, beam_fwhm=model.beam_fwhm / model.pixel_scale)
            las[rows] = largest_size(stamps[rows])


@dataclass(frozen=True)
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

    def write(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write ``stamps.fits`` (a cube), its table as ``table.fits`` and ``table.ecsv``, and ``skygal.yaml``.

        Raises
        ------
        FileExistsError
            If the directory exists and ``overwrite`` is not set.
        """
        from astropy.io import fits

        from skygal.atomic import whole_directory
        from skygal.config import dump_config
        from skygal.truth import write_truth

        header = fits.Header()
        header["BUNIT"] = ("", "relative brightness")
        header["CDELT1"] = (-self.pixel_scale.to_value("deg"), "degrees a pixel; east is left")
        header["CDELT2"] = (self.pixel_scale.to_value("deg"), "degrees a pixel; north is up")
        for key in ("BMAJ", "BMIN"):
            header[key] = (self.beam_fwhm.to_value("deg"), "degrees, FWHM of the stamps' beam")
        header["BPA"] = 0.0
        with whole_directory(directory, overwrite=overwrite) as folder:
            fits.PrimaryHDU(self.images, header).writeto(folder / "stamps.fits")
            for suffix in ("fits", "ecsv"):
                write_truth(self.table, folder / f"table.{suffix}")
            (folder / "skygal.yaml").write_text(dump_config(self.table.meta), encoding="utf-8")
        return Path(directory)


def _turn(stamp: np.ndarray, centre: np.ndarray, angle: float, size: int, native: np.ndarray) -> np.ndarray:
    """Return the stamp turned by ``angle`` (radians, north through east) in a square frame."""
    from skygal.rendering.transform import render_stamp

    cos, sin = np.cos(angle), np.sin(angle)
    affine = np.array([[cos, -sin], [sin, cos]])     # counter-clockwise is north through east
    patch = render_stamp(stamp, centre, np.full(2, (size - 1) / 2), affine, np.zeros((2, 2)), native)
    out = np.zeros((size, size), np.float32)
    if (met := patch.overlap(out.shape)) is not None:
        out[met[0]] = patch.data[met[1]]
    # the clipped edge's own ripples
    return np.where(out < 0.5 * stamp[stamp > 0].min(), np.float32(0), out)


def sample_stamps(n: int, *, fr_class: str | None = None, fr_mix: Mapping[str, float] | None = None,
                  las: Any = None, bending: Any = None, latents: Any = "balanced", seed: int | None = None,
                  model: Any = None, clip_sigma: float | None = 3.0, scale: str = "peak",
                  orientation: str = "random", size: int = 150, device: str = "cpu",
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
        "balanced" or "prior" (N(0, I), which is the model's own prior), "uniform" (a box of +-4),
        "pairs" (stamps 2k and 2k + 1 share latents, one of each class), or an array of shape
        (n, latent_dim). Those further from the origin than sqrt(latent_dim) + 1 are drawn in to the
        shell that the model has learnt (see `Generator.decode`).
    seed : int, optional
        The same seed gives the same stamps.
    model : str, path or Generator, optional
        A shipped model's name or a weights file; the default model if not given.
    clip_sigma : float or None
        Threshold above the decoder's floor, in its scatter; None leaves the floor in.
    scale : str
        "peak" for a brightest pixel of 1, "sum" for a sum of 1.
    orientation : str
        "random" position angles in a square frame, or "aligned": along x, in the model's frame.
    size : int
        Side of the square frame in pixels of 1.8 arcsec.
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
    """
    from astropy import units as u
    from tqdm import tqdm

    from skygal.morphology.checkpoint import load_model
    from skygal.population.classes import check_mix, sample_classes
    from skygal.rendering.beam import native_covariance

    n = as_count("n", n, minimum=1)
    size = as_count("size", size, minimum=16)
    clip_sigma = check_clip_sigma(clip_sigma)
    check_choice("scale", scale, SCALES)
    check_choice("orientation", orientation, ORIENTATIONS)
    seeds = Seeds(as_seed("seed", seed))
    chosen = check_latents(latents)
    generator = load_model(model, device=device)
    chosen = check_latents(chosen, generator.latent_dim, n)
    pairs = isinstance(chosen, str) and chosen == "pairs"
    if pairs and (fr_class is not None or fr_mix is not None):
        raise ValueError(f"fr_class and fr_mix must be left out with latents='pairs', got {fr_class!r} and {fr_mix!r}")
    if fr_class is not None and fr_mix is not None:
        raise ValueError(f"only one of fr_class and fr_mix may be given, got {fr_class!r} and {fr_mix!r}")
    mix = check_mix(fr_mix)
    if mix == "survey":
        raise ValueError("fr_mix must be None or the share of each class: stamps have no flux, got 'survey'")
    if fr_class is not None:
        classes = np.full(n, check_choice("fr_class", fr_class, generator.classes))
    else:
        classes = sample_classes(mix, np.zeros(n), np.zeros(n), seeds.generator("class"))
    keys = seeds.keys("latent", n)
    if pairs:
        keys = np.repeat(keys[:(n + 1) // 2], 2)[:n]
    limits = Limits(open_range("las", las, u.arcsec, np.inf), open_range("bending", bending, u.rad, np.pi))
    if (las is not None or bending is not None) and (pairs or isinstance(chosen, np.ndarray)):
        raise ValueError("las and bending must be left out with latents that are given or paired, got "
                         f"las={las} and bending={bending}")

    def draw(classes: np.ndarray, keys: np.ndarray) -> Latents:
        low, high = (end / SIZE_TO_EXTENT for end in limits.las)
        return Latents(draw_latents(chosen, keys, generator.latent_dim), classes,
                       *draw_conditions(generator, classes, keys, least=low, most=high, bending=limits.bending), keys)

    plan = draw(classes, keys)
    fwhm = generator.beam_fwhm / generator.pixel_scale
    native = native_covariance(fwhm)
    images, shapes, decoded, bendings = [], [], [], []
    with tqdm(total=n, desc="stamps", disable=not progress, delay=2) as bar:
        for batch in draw_within(generator, plan, clip_sigma, limits, redraw=draw):
            stamps, measured = batch.stamps, batch.shapes
            if orientation == "random":
                stamps = np.stack([_turn(stamp, centre, _angle(key), size, native) for stamp, centre, key
                                   in zip(stamps, measured.centre, batch.latents.keys, strict=True)])
                # a size is the same at any angle, but for the pixels
                measured = replace(measure_stamps(stamps, beam_fwhm=fwhm)[0], las=measured.las)
            images.append(stamps / stamps.max(axis=(1, 2), keepdims=True) if scale == "peak"
                          else stamps / stamps.sum(axis=(1, 2), keepdims=True))
            shapes.append(measured)
            decoded.append(batch.latents)
            bendings.append(np.abs(batch.bending))
            bar.update(len(stamps))
    measured, made = Shapes.join(shapes), Latents.join(decoded)
    pixel = generator.pixel_scale * u.arcsec
    table = QTable({"stamp_id": np.arange(1, n + 1), "fr_class": classes, "las": measured.las * pixel,
                    "b_maj": measured.b_maj * pixel, "b_min": measured.b_min * pixel, "pa": measured.pa * u.deg,
                    "core_frac": measured.core_frac, "n_components": measured.n_components,
                    "bending": np.degrees(np.concatenate(bendings)) * u.deg, "extent": made.extent * u.arcsec,
                    "latent_seed": made.keys, "latents": made.values})
    table.meta.update(seed=seeds.seed, model=generator.name, model_sha256=generator.sha256)
    return StampSet(np.concatenate(images), table, pixel, generator.beam_fwhm * u.arcsec)


def _angle(key: int) -> float:
    """Return the angle that belongs to a key, from a stream apart from that of its latents."""
    return float(Seeds(int(key)).generator("angle").uniform(0, 2 * np.pi))
