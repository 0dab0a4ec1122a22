"""Tiles of fields as a torch dataset, with boxes, masks and classes, made while a detector trains on them."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from astropy import units as u
from torch.utils.data import Dataset

from skygal.checks import as_count, as_quantity, as_seed, check_choice, nearest_names, show
from skygal.morphology.checkpoint import shared_model
from skygal.observation.frame import Frame
from skygal.observation.observe import make_frames
from skygal.observation.surveys import Survey, read_survey
from skygal.population import Sky
from skygal.population.sky_parts import CLASSES
from skygal.rendering.blocks import Window
from skygal.rendering.contributions import Contribution, ContributionCanvas
from skygal.scene.compose import SampledSky, sample_sky
from skygal.scene.faint import place_faint
from skygal.scene.galaxies import place_stamps
from skygal.scene.ground import NoiseGround
from skygal.seeds import Seeds
from skygal.settings import Morphology, Population, View
from skygal.wcs import make_wcs

__all__ = ["SyntheticFields"]

MASKS = ("footprint", "whole")
#: settings of `skygal.simulate_field` that make sense for many tiles
SETTINGS = ("bending", "beam", "clip_sigma", "clustering", "curvature", "flux", "fr_mix", "frequency", "las", "latents",
            "model", "noise", "sky", "spectral_index", "survey")
#: how far around a tile there are sources: by default this angle, and at least so many FWHMs of the beam
MARGIN, MARGIN_BEAMS = 60 * u.arcsec, 3.0
#: what placing the sources of each tile would tell again and again
SAID_OFTEN = r".* sources (have stamps coarser|lie outside)"


class _Seen(NamedTuple):
    """How tiles are seen: the frame of one with its surroundings, the tile in it, and the noise."""

    frame: Frame
    window: Window
    noise: float


class _Instance(NamedTuple):
    """A source in a tile: its number, its class, its brightness there, its mask, and its peak there over the noise."""

    number: int
    label: int
    seen: np.ndarray
    mask: np.ndarray
    peak: float


class SyntheticFields(Dataset):
    """Tiles of simulated fields with the boxes, masks and classes of their sources, for the training of a detector.

    Item i depends on ``seed`` and i alone, to the bit on one machine, whatever the length, the order, the batches and
    the number of worker processes. Each is a piece of a sky of its own. Sources are in a margin around it too, and
    reach in. Nothing is stored.

    Parameters
    ----------
    n : int
        The length.
    n_sources : float, optional
        Mean number of sources that are centred in a tile; each has a Poisson number. By default as many as
        `skygal.simulate_field` would put there: where nothing else says which, those of the whole radio sky.
    size : int
        Side of a tile, in pixels.
    pixel_scale : `~astropy.units.Quantity`, optional
        Side of a pixel; the survey's, or 1.8 arcsec.
    center : str or `~astropy.coordinates.SkyCoord`
        Where on the sky all tiles lie, which matters to the beams of some surveys.
    margin : `~astropy.units.Quantity`, optional
        How far beyond the border there are sources, an angle; by default one arcmin, and at least three beams.
    masks : "footprint" or "whole"
        Which pixels are a source's: those where it alone rises above the noise (and above 1 % of its peak), or all
        above 1 % of its peak, under the noise or not. Masks of neighbours may overlap.
    snr : float
        Sources whose noiseless peak in the tile is below so many times the noise are in the image, but not in the
        target. Without noise all are.
    deblended : bool
        Whether targets have ``"deblended"``, what each source by itself adds to the image.
    seed : int, optional
        Kept in the attribute ``seed``; drawn anew if not given.
    transforms : callable, optional
        From image and target to what is returned for them, as torchvision's datasets have it.
    **settings
        Of `skygal.simulate_field`: survey, frequency, beam, noise (one for all pixels), flux, las, fr_mix,
        spectral_index, curvature, sky, clustering, latents (in words), bending, clip_sigma, model.

    Attributes
    ----------
    classes : tuple of str
        In the order of their labels, from 0 on; the first, "background", is no source's.
    class_to_idx : dict of str to int
        The label of each.
    seed : int
        As given or drawn.
    noise : float
        Of the tiles, Jy/beam; 0 for none.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; the message says what is.

    Notes
    -----
    An item is a pair. The image is a float32 tensor (1, size, size) in Jy/beam, its first row the southern one. The
    target is what torchvision's detectors train on: a dict of ``boxes`` (float32, (n, 4): xmin, ymin, xmax, ymax,
    the outer edges of the mask's pixels, the first pixel reaching from 0 to 1), ``labels`` (int64, (n,)), ``masks``
    (uint8, (n, size, size)), ``image_id`` (int: i), ``area`` (float32, (n,): the mask's pixels) and ``iscrowd`` (int64
    zeros, (n,)); besides them ``source_id`` (int64, (n,)), ``flux`` (float32, (n,): Jy of the source within the tile),
    ``snr`` (float32, (n,): its peak there over the noise, infinite without) and, if asked for, ``deblended`` (float32,
    (n, size, size), Jy/beam). Parts of one source, such as the core and the jet of an FR0, are one.

    With ``deblended`` there is also ``others`` (float32, (size, size), Jy/beam), what all sources add that are not in
    the target: too faint ones, and wings of sources beyond the border. It and the deblended images sum to the
    noiseless one.

    Examples
    --------
    >>> import skygal
    >>> fields = skygal.SyntheticFields(100, 4, size=128, survey="FIRST", flux="3 mJy", las="mirabest", seed=1)
    >>> image, target = fields[0]
    >>> tuple(image.shape), fields.classes
    ((1, 128, 128), ('background', 'FRI', 'FRII', 'hybrid', 'compact'))
    >>> tuple(target["masks"].shape[1:]), target["boxes"].shape[1]
    ((128, 128), 4)
    """

    def __init__(self, n: int, n_sources: float | None = None, *, size: int = 256, pixel_scale: Any = None,
                 center: Any = "12h00m00s +30d00m00s", margin: Any = None, masks: str = "footprint", snr: float = 5.0,
                 deblended: bool = False, seed: int | None = None, transforms: Callable | None = None,
                 **settings: Any) -> None:
        for name in settings:
            if name not in SETTINGS:
                raise TypeError(f"SyntheticFields has no argument {name!r}{nearest_names(name, SETTINGS)}")
        self.n, self.size = as_count("n", n, minimum=1), as_count("size", size, minimum=16)
        self.seed = as_seed("seed", seed)
        self.n_sources = None if n_sources is None else as_quantity("n_sources", n_sources, "", positive=False,
                                                                    minimum=0)
        self.masks = check_choice("masks", masks, MASKS)
        self.snr = as_quantity("snr", snr, "", positive=False, minimum=0)
        self.deblended, self.transforms = bool(deblended), transforms
        survey = settings.pop("survey", None)
        self._survey = read_survey(survey) if isinstance(survey, (str, PathLike)) else survey
        if self._survey is not None and not isinstance(self._survey, Survey):
            raise TypeError(f"survey must be a name, a path or a Survey, got {type(self._survey).__name__}")
        self._view = View.of(settings).given()
        latents = settings.get("latents", "balanced")
        if not isinstance(latents, str) or latents == "pairs":
            raise ValueError(f"latents must be 'balanced', 'prior' or 'uniform', got {show(latents)}")
        self._morphology = replace(Morphology.of(settings), model=shared_model(settings.get("model")))
        population = Population.of(settings)
        if population.is_left_open() and n_sources is None:
            population = replace(population, sky="default")
        if population.sky is not None and not isinstance(population.sky, Sky):
            population = replace(population, sky=Sky.read(population.sky))
        self._population = population
        self.classes = ("background", *(CLASSES if population.sky is not None else self._morphology.model.classes))
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        self._center = center
        self._pixel_scale = as_quantity("pixel_scale", self._default_scale() if pixel_scale is None else pixel_scale,
                                        "arcsec")
        self._margin = None if margin is None else as_quantity("margin", margin, "arcsec", positive=False, minimum=0)
        self._seen: _Seen | None = None
        self.noise = self._see().noise
        # what cannot be had is told now
        self._sample(Seeds(self.seed))

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return f"SyntheticFields({self.n}, size={self.size}, classes={self.classes}, seed={self.seed})"

    def __getstate__(self) -> dict[str, Any]:
        # a WCS rounds when it is pickled: each process makes its own
        return {**self.__dict__, "_seen": None}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = operator.index(index)
        if not -self.n <= index < self.n:
            raise IndexError(f"index must be between {-self.n} and {self.n - 1}, got {index}")
        index %= self.n
        seeds = Seeds(int(Seeds(self.seed).generator("field", index).integers(2**63)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=SAID_OFTEN)
            pixels, model, found = self._make(seeds)
        image = torch.from_numpy(pixels)[None]
        target = self._target(index, found)
        if self.deblended:
            target["others"] = torch.from_numpy(model) - target["deblended"].sum(dim=0)
        return (image, target) if self.transforms is None else self.transforms(image, target)

    def _default_scale(self) -> u.Quantity:
        return self._morphology.model.pixel_scale * u.arcsec if self._survey is None else self._survey.pixel_scale

    def _see(self) -> _Seen:
        """Return how tiles are seen, made once in each process."""
        if self._seen is None:
            margin = self._margin
            if margin is None:
                # the beam may depend on the grid: a first one tells it
                beam = self._frame(self.size)[0].beam.beam
                margin = max(MARGIN.to_value(u.arcsec), MARGIN_BEAMS * beam.major.to_value(u.arcsec))
            around = int(np.ceil(margin / self._pixel_scale))
            frame, noise = self._frame(self.size + 2 * around)
            self._seen = _Seen(frame, (around, around + self.size, around, around + self.size), noise)
        return self._seen

    def _frame(self, side: int) -> tuple[Frame, float]:
        """Return a frame of so many pixels on a side, and its noise."""
        wcs = make_wcs(self._center, side, self._pixel_scale * u.arcsec)
        (frame,), (noise,) = make_frames(wcs, (side, side), [self._view], self._survey)
        if not isinstance(noise, float):
            raise TypeError(f"noise must be one for all pixels, got {show(self._view['noise'])}")
        return frame, noise

    def _sample(self, seeds: Seeds) -> SampledSky:
        """Return the sources of a tile and its surroundings."""
        frame, _, noise = self._see()
        population = self._population
        if self.n_sources is not None:
            mean = self.n_sources * (frame.shape[0] / self.size) ** 2
            population = replace(population, n_sources=int(seeds.generator("number of sources").poisson(mean)))
        return sample_sky(frame, population, self._morphology, noise=noise, seeds=seeds)

    def _make(self, seeds: Seeds) -> tuple[np.ndarray, np.ndarray, list[_Instance]]:
        """Return the pixels of a tile, those without noise, and the sources that are told of it."""
        frame, window, noise = self._see()
        sky = self._sample(seeds)
        canvas = ContributionCanvas(window, frame.shape, frame.beam)
        galaxies = place_stamps(sky.galaxies, frame, np.full(len(sky.galaxies), noise), ratio=1.0,
                                progress=lambda _: None, canvas=canvas)
        truths = [galaxies.truth]
        if sky.faint is not None:
            faint = place_faint(sky.faint, frame, np.full(len(sky.faint), noise), ratio=1.0,
                                taken=galaxies.places.labels)
            faint.draw(canvas)
            truths.append(faint.truth)
        image, model = NoiseGround(frame.beam, noise, seeds).under(window, canvas.model(), None)
        return image, model, self._instances(canvas, [truth for truth in truths if truth])

    def _instances(self, canvas: ContributionCanvas, truths: list[Mapping[str, np.ndarray]]) -> list[_Instance]:
        """Return the sources with pixels in a tile that are bright enough, by their numbers."""
        noise = self.noise
        parts: dict[int, list[Contribution]] = {}
        kinds: dict[int, str] = {}
        for truth in truths:
            for label, parent, kind in zip(truth["source_id"].tolist(), truth["parent_id"].tolist(),
                                           truth["population"].tolist(), strict=True):
                if label in canvas.parts:
                    parts.setdefault(parent, []).extend(canvas.parts[label])
                    kinds[parent] = kind
        found = []
        for number in sorted(parts):
            whole = Contribution.join(parts[number])
            seen = whole.within(canvas.window)
            mask = seen > whole.limit(noise if self.masks == "footprint" else 0.0)
            peak = float(seen.max(initial=0))
            if mask.any() and peak >= self.snr * noise:
                found.append(_Instance(number, self.class_to_idx[kinds[number]], seen, mask, peak))
        return found

    def _target(self, index: int, found: list[_Instance]) -> dict[str, Any]:
        """Return sources as torchvision's detectors take them."""
        shape = (len(found), self.size, self.size)
        masks = np.array([one.mask for one in found], np.uint8).reshape(shape)
        seen = np.array([one.seen for one in found], np.float32).reshape(shape)
        columns, rows = (masks.max(axis=axis, initial=0) for axis in (1, 2))
        boxes = np.stack([columns.argmax(axis=1), rows.argmax(axis=1), self.size - columns[:, ::-1].argmax(axis=1),
                          self.size - rows[:, ::-1].argmax(axis=1)], axis=1).astype(np.float32)
        area = self._see().frame.beam.area
        snr = [one.peak / self.noise if self.noise else np.inf for one in found]
        target = {
            "boxes": torch.from_numpy(boxes), "labels": torch.tensor([one.label for one in found], dtype=torch.int64),
            "masks": torch.from_numpy(masks), "image_id": index,
            "area": torch.from_numpy(masks.sum(axis=(1, 2), dtype=np.float32)),
            "iscrowd": torch.zeros(len(found), dtype=torch.int64),
            "source_id": torch.tensor([one.number for one in found], dtype=torch.int64),
            "flux": torch.from_numpy((seen.sum(axis=(1, 2), dtype=float) / area).astype(np.float32)),
            "snr": torch.tensor(snr, dtype=torch.float32)}
        return {**target, "deblended": torch.from_numpy(seen)} if self.deblended else target
