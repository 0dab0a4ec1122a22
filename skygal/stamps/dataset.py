"""Labelled stamps as torch datasets, made while a network trains on them."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from skygal.checks import as_count, as_quantity, as_seed, check_choice, open_range, show
from skygal.morphology.batches import Limits, decode_within
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.generator import DECODE_BLOCK
from skygal.morphology.latents import Latents, check_latents, sample_latents
from skygal.morphology.moments import measure_moments
from skygal.seeds import Seeds
from skygal.stamps.survey_view import StampView

__all__ = ["StampStream", "SyntheticStamps"]

#: pixels of the images that are made together, some of them ahead of their turn
IMAGE_PIXELS = 2**22
#: the fractional parts of its multiples fill 0 to 1 as evenly as can be: the golden ratio
GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class _Part:
    """What is kept of one stamp: its lit pixels, the centre of the source in them, and its key."""

    pixels: np.ndarray
    centre: np.ndarray
    key: int


class SyntheticStamps(Dataset):
    """Generated stamps with their classes, for the training of a classifier.

    Item i depends on ``seed`` and i alone, to the bit on one machine, whatever the length, the order, the
    batches and the number of worker processes. Nothing is stored: stamps are decoded 128 at a time, and each
    worker keeps those that it decoded last. Images are made many at a time: where a batch asks for them, as a
    DataLoader's does, or in turn.

    Parameters
    ----------
    n : int
        The length.
    classes : sequence of str, optional
        Names of the model's classes, in the order of their labels. By default FRI and FRII, or those of ``fr_mix``.
    fr_mix : dict of str to float, optional
        Share of each class; by default the same for all: any whole number of rounds through the classes, from
        the first item on, holds each equally often.
    seed : int, optional
        Kept in the attribute ``seed``; drawn anew if not given.
    model : str, path or Generator, optional
        See `skygal.load_model`.
    size : int
        Side of the square image, in pixels.
    pixel_scale : `~astropy.units.Quantity`, optional
        Side of a pixel; the model's own (FIRST's 1.8 arcsec) if not given.
    beam : `~radio_beam.Beam` or `~astropy.units.Quantity`, optional
        The beam to see the sources with, or its FWHM; at least the model's own (5.4 arcsec), which is the default.
    noise : float, pair of float or array_like, optional
        Noise rms over the source's peak; drawn log-uniformly from a pair (low, high), or out of an array of three
        or more levels, such as those of real stamps. It has the beam's correlation and FIRST's spectrum.
    noise_clip : float, optional
        Pixels below this many times the noise become zero, as in FRDEEP (3).
    orientation : str
        "random", or "aligned": the principal axis along x.
    las, bending : pair of `~astropy.units.Quantity`, optional
        Limits of the sources' size and bending; see `skygal.sample_stamps`.
    latents : str
        "balanced" or "prior", the model's prior, or "uniform".
    clip_sigma : float or None
        Clip of the decoder's own floor; see `skygal.sample_stamps`.
    transform : callable, optional
        From an image (tensor) to what is returned for it.
    target_transform : callable, optional
        From a label (int) to what is returned for it.
    cache : float
        Mebibytes of decoded stamps that each process may keep. A stamp takes about 3.5 KiB; if those of the whole
        length fit, each is decoded once, in whatever order.

    Attributes
    ----------
    classes : tuple of str
        In the order of their labels.
    class_to_idx : dict of str to int
        The label of each class, as in torchvision's ``ImageFolder``.
    seed : int
        As given or drawn.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; the message says what is.

    Notes
    -----
    An item is a float32 tensor (1, size, size), north up, of peak 1 (noise included), and its label. The source's
    flux-weighted centre is in the middle.

    Examples
    --------
    >>> import skygal
    >>> stamps = skygal.SyntheticStamps(1000, noise=(0.005, 0.05), noise_clip=3, size=64, seed=1)
    >>> image, label = stamps[0]
    >>> tuple(image.shape), stamps.classes
    ((1, 64, 64), ('FRI', 'FRII'))
    """

    def __init__(self, n: int, *, classes: Sequence[str] | None = None, fr_mix: Mapping[str, float] | None = None,
                 seed: int | None = None, model: Any = None, size: int = 150, pixel_scale: Any = None,
                 beam: Any = None, noise: Any = None, noise_clip: float | None = None, orientation: str = "random",
                 las: Any = None, bending: Any = None, latents: str = "balanced", clip_sigma: float | None = 3.0,
                 transform: Callable | None = None, target_transform: Callable | None = None,
                 cache: float = 256.0) -> None:
        from astropy import units as u

        from skygal.morphology.checkpoint import load_model

        self.n = as_count("n", n, minimum=1)
        self.seed = as_seed("seed", seed)
        self.model = load_model(model)
        self.classes, self.shares = _check_classes(classes, fr_mix, self.model.classes)
        self.first = Seeds(self.seed).generator("dataset class").random()
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        if not isinstance(latents, str) or check_latents(latents) == "pairs":
            raise ValueError(f"latents must be one of 'balanced', 'prior', 'uniform', got {show(latents)}")
        self.latents, self.clip_sigma = latents, check_clip_sigma(clip_sigma)
        self.limits = Limits(open_range("las", las, u.arcsec, np.inf), open_range("bending", bending, u.rad, np.pi))
        self.view = StampView(self.model, size=size, pixel_scale=pixel_scale, beam=beam, noise=noise,
                              noise_clip=noise_clip)
        self.turned = check_choice("orientation", orientation, ("random", "aligned")) == "random"
        self.transform, self.target_transform = transform, target_transform
        self.room = as_quantity("cache", cache, "", positive=False, minimum=0) * 2**20
        self._kept: OrderedDict[int, tuple[list[_Part], int]] = OrderedDict()
        self._ahead: dict[int, np.ndarray] = {}
        self._last: int | None = None

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return (f"SyntheticStamps({self.n}, classes={self.classes}, seed={self.seed}, "
                f"model={self.model.name!r}, size={self.view.size})")

    def __getstate__(self) -> dict[str, Any]:
        # a worker that is spawned decodes its own
        return {**self.__dict__, "_kept": OrderedDict(), "_ahead": {}, "_last": None}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = self._index(index)
        image = self._ahead.pop(index, None)
        if image is None:
            # whoever asks for items in turn gets them as quickly as a batch
            ahead = self._at_once if self._last == index - 1 else 1
            numbers = range(index, min(index + ahead, (index // DECODE_BLOCK + 1) * DECODE_BLOCK, self.n))
            self._ahead = dict(zip(numbers, self._images(numbers), strict=True))
            image = self._ahead.pop(index)
        self._last = index
        return self._given(index, image)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, Any]]:
        """Return several items, as a DataLoader asks for them."""
        numbers = [self._index(index) for index in indices]
        return [item for start in range(0, len(numbers), self._at_once)
                for item in self._items(numbers[start:start + self._at_once])]

    def stream(self, start: int = 0) -> StampStream:
        """Return an endless dataset of the same items and more, in order from number ``start`` on."""
        return StampStream(self, start)

    def label(self, index: int) -> int:
        """Return the label of an item, which nothing is decoded for."""
        return int(self._labels(index, 1)[0])

    @property
    def _at_once(self) -> int:
        return max(1, IMAGE_PIXELS // self.view.size**2)

    def _index(self, index: int) -> int:
        """Return the number of an item."""
        index = operator.index(index)
        if not -self.n <= index < self.n:
            raise IndexError(f"index must be between {-self.n} and {self.n - 1}, got {index}")
        return index % self.n

    def _items(self, numbers: Sequence[int]) -> list[tuple[Any, Any]]:
        return [self._given(number, image) for number, image in zip(numbers, self._images(numbers), strict=True)]

    def _given(self, index: int, made: np.ndarray) -> tuple[Any, Any]:
        """Return an item as its user wants it."""
        image: Any = torch.from_numpy(made)[None]
        if self.transform is not None:
            image = self.transform(image)
        label = self.label(index)
        return image, label if self.target_transform is None else self.target_transform(label)

    def _images(self, numbers: Iterable[int]) -> list[np.ndarray]:
        """Return the images of items, each an array of its own."""
        place: dict[int, list[int]] = {}
        for number in numbers:
            place.setdefault(number // DECODE_BLOCK, []).append(number)
        # a block at a time, which may not be kept for long
        part = {number: self._block(block)[number % DECODE_BLOCK] for block, of in place.items() for number in of}
        parts = [part[number] for number in numbers]
        streams = [Seeds(part.key).generator("view") for part in parts]
        angles = np.array([rng.uniform(0, 2 * np.pi) for rng in streams]) * self.turned
        return self.view.show([part.pixels for part in parts], np.stack([part.centre for part in parts]), angles,
                              streams)

    def _labels(self, start: int, n: int) -> np.ndarray:
        """Return the labels of items number ``start`` and on, shape (n,)."""
        index = np.arange(start, start + n)
        if self.shares is None:
            return index % len(self.classes)
        # as near to the shares as can be after any number of items
        return np.minimum(np.searchsorted(np.cumsum(self.shares), (self.first + index * GOLDEN) % 1, side="right"),
                          len(self.classes) - 1)

    def _block(self, block: int) -> list[_Part]:
        """Return the stamps of a block, decoded if they are not kept."""
        kept = self._kept.pop(block, None)
        new = kept is None
        if kept is None:
            parts = self._decode(block)
            kept = parts, sum(part.pixels.nbytes for part in parts)
        self._kept[block] = kept
        if new:
            held = sum(size for _, size in self._kept.values())
            while held > self.room and len(self._kept) > 1:
                held -= self._kept.popitem(last=False)[1][1]
        return kept[0]

    def _decode(self, block: int) -> list[_Part]:
        fr_class = np.asarray(self.classes)[self._labels(block * DECODE_BLOCK, DECODE_BLOCK)]
        keys = Seeds(int(Seeds(self.seed).generator("block", block).integers(2**63))).keys_of("latent", fr_class)
        least, most = (end / SIZE_TO_EXTENT for end in self.limits.las)

        def draw(fr_class: np.ndarray, keys: np.ndarray) -> Latents:
            return sample_latents(self.model, self.latents, fr_class, keys, least=least, most=most,
                                  bending=self.limits.bending)

        _, stamps = decode_within(self.model, draw(fr_class, keys), self.clip_sigma, self.limits,
                                  redraw=lambda rows, keys: draw(fr_class[rows], keys))
        flux, centre, _ = measure_moments(stamps)
        lit = stamps != 0
        (top, bottom), (left, right) = (_first_and_last(lit.any(axis=axis)) for axis in (2, 1))
        stamps /= flux[:, None, None].astype(np.float32)
        return [_Part(stamp[y0:y1, x0:x1].copy(), where - (x0, y0), key) for stamp, y0, y1, x0, x1, where, key in
                zip(stamps, top, bottom, left, right, centre, keys.tolist(), strict=True)]


def _first_and_last(lit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of the first of each row that is set, and of the one after the last."""
    return lit.argmax(axis=1), lit.shape[1] - lit[:, ::-1].argmax(axis=1)


class StampStream(IterableDataset):
    """An endless series of the items of a `SyntheticStamps`, whose length does not count here.

    Each of a DataLoader's workers decodes blocks of its own: together they give every item once.

    Parameters
    ----------
    stamps : SyntheticStamps
        What the items are like.
    start : int
        Number of the first item; a multiple of 128 wastes nothing.
    """

    def __init__(self, stamps: SyntheticStamps, start: int = 0) -> None:
        self.stamps, self.start = stamps, as_count("start", start)
        self.classes, self.class_to_idx = stamps.classes, stamps.class_to_idx

    def __repr__(self) -> str:
        return f"StampStream({self.stamps!r}, start={self.start})"

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        block = self.start // DECODE_BLOCK + number
        while True:
            index, end, step = max(self.start, block * DECODE_BLOCK), (block + 1) * DECODE_BLOCK, self.stamps._at_once
            for start in range(index, end, step):
                yield from self.stamps._items(range(start, min(start + step, end)))
            block += workers


def _check_classes(classes: Any, fr_mix: Any, known: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Return the classes and their shares, None where all have the same."""
    if fr_mix is not None and not isinstance(fr_mix, Mapping):
        raise TypeError(f"fr_mix must be None or a dict such as {{'FRI': 0.3, 'FRII': 0.7}}, got {show(fr_mix)}")
    if classes is None:
        classes = [name for name in known if name in fr_mix] + [name for name in fr_mix if name not in known] \
            if fr_mix else ("FRI", "FRII")
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not len(classes):
        raise TypeError(f"classes must be a list of names, got {show(classes)}")
    for name in classes:
        check_choice("classes", name, known)
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes must differ, got {tuple(classes)}")
    if fr_mix is None:
        return tuple(classes), None
    for name in fr_mix:
        check_choice("fr_mix (class)", name, classes)
    shares = np.array([as_quantity(f"fr_mix[{name!r}]", fr_mix.get(name, 0.0), "", positive=False, minimum=0)
                       for name in classes])
    if abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fr_mix must have shares that sum to 1, got {shares.sum():.6g} from {dict(fr_mix)}")
    return tuple(classes), shares / shares.sum()
