"""Images for detectors: a field cut into grey pictures, and the boxes of its sources in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from skygal.checks import as_count, as_range, show, show_fields
from skygal.truth.exports.columns import numbers
from skygal.truth.exports.masks import truth_boxes

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["Classes", "Grey", "Tile", "count_tiles", "iter_tiles"]

#: brightness at black and white, in units of the noise: as SDC1's 560 MHz map, whose noise is 0.36 uJy/beam, is shown
#: to the detector of github.com/Deyht/CIANNA, examples/SKAO_SDC1 (0.4 to 40 uJy/beam)
BLACK, WHITE = 1.0, 100.0
#: classes in the order of their numbers; others follow by name
KNOWN = ("FRI", "FRII")
#: classes and numbers of RadioGalaxyNET (Gupta et al. 2024, arXiv:2312.00306)
RADIOGALAXYNET = {"FRII": ("FR-II", 1), "FRI": ("FR-I", 2), "hybrid": ("FR-X", 3), "bent": ("FR-X", 3)}
COMPACT = ("R", 4)


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of sources: names by number, from 1, and the number of each row of truth."""

    names: dict[int, str]
    number: np.ndarray

    __repr__ = show_fields

    @classmethod
    def of(cls, field: Field, categories: str | None) -> Classes:
        """Return the classes of a field's sources.

        Parameters
        ----------
        field
        categories : str, optional
            Names in the order of their numbers, such as "FRI, FRII", sources of others being left out; or
            "radiogalaxynet", that data set's names and numbers. By default FRI, FRII and, by name, all others that
            there are.

        Raises
        ------
        ValueError
            If no names are given, or one twice.
        """
        own = np.asarray(field.truth["fr_class"]).astype(str)
        if categories == "radiogalaxynet":
            number = np.array([RADIOGALAXYNET.get(name, COMPACT)[1] for name in own.tolist()], int)
            return cls({**{k: name for name, k in RADIOGALAXYNET.values()}, COMPACT[1]: COMPACT[0]}, number)
        if categories is None:
            names = [*KNOWN, *sorted(set(own.tolist()) - set(KNOWN))]
        else:
            names = [name.strip() for name in categories.split(",")]
        if not all(names) or len(set(names)) != len(names):
            raise ValueError(f"categories must be names of classes, each once, got {show(categories)}")
        number = np.zeros(len(own), int)
        for k, name in enumerate(names, 1):
            number[own == name] = k
        return cls(dict(enumerate(names, 1)), number)


@dataclass(frozen=True)
class Grey:
    """How brightness becomes grey: ``255 tanh(3 t) / tanh 3`` of t = (value - low) / (high - low), cut to 0 to 1."""

    low: float
    high: float

    @classmethod
    def of(cls, field: Field, limits: Any = None) -> Grey:
        """Return the range of a field: 1 to 100 times its noise, or ``limits``, a pair of Quantities or numbers.

        Without noise it ends at the brightest peak of truth, and begins a thousandth of that above 0.

        Raises
        ------
        TypeError, ValueError
            If ``limits`` is no rising pair of brightnesses.
        """
        if limits is not None:
            if isinstance(limits, (tuple, list)) and len(limits) == 2 and all(
                    isinstance(one, (int, float)) for one in limits):
                low, high = map(float, limits)
                if not low < high < np.inf:
                    raise ValueError(f"limits must be a (low, high) pair with low < high, got {show(limits)}")
                return cls(low, high)
            return cls(*as_range("limits", limits, "Jy / beam"))
        rms = numbers(field.truth, "local_rms", "Jy / beam")
        rms = rms[np.isfinite(rms) & (rms > 0)]
        if rms.size:
            noise = float(np.median(rms))
            return cls(BLACK * noise, WHITE * noise)
        peaks = numbers(field.truth, "peak_flux", "Jy / beam")
        top = float(np.max(peaks[np.isfinite(peaks)], initial=0)) or 1.0
        return cls(1e-3 * top, top)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return values as uint8; blank ones are black."""
        part = np.clip((np.nan_to_num(values, nan=-np.inf) - self.low) / (self.high - self.low), 0, 1)
        return np.round(255 * np.tanh(3 * part) / np.tanh(3)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture of a part of a field, and the sources that are seen in it.

    Attributes
    ----------
    name : str
        With the first row and column in the field.
    grey : ndarray of uint8, shape (ny, nx)
        Its last row in the field on top: north up where it is so in the field.
    labels : ndarray of int, shape (ny, nx)
        ``source_id`` of the brightest source, in the same rows.
    rows : ndarray of int, shape (k,)
        Rows of truth of the sources that have pixels in it.
    boxes : ndarray of int, shape (k, 4)
        (top, bottom, left, right) of their boxes in the picture, one past the last row and column.
    """

    name: str
    grey: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    boxes: np.ndarray

    __repr__ = show_fields

    def save(self, folder: Path) -> None:
        """Write the picture as ``NAME.png``, 8 bit."""
        from PIL import Image

        Image.fromarray(self.grey).save(folder / f"{self.name}.png", format="PNG")


def _edges(length: int, tile: int) -> list[int]:
    """Return where tiles begin and end: as even as whole pixels allow, none larger than asked for."""
    count = -(-length // tile)
    return [length * k // count for k in range(count + 1)]


def count_tiles(shape: tuple[int, ...], tile: int) -> int:
    """Return how many tiles `iter_tiles` cuts an image into."""
    return (len(_edges(shape[0], tile)) - 1) * (len(_edges(shape[1], tile)) - 1)


def iter_tiles(field: Field, tile: int, limits: Any = None, *, progress: bool = False) -> Iterator[Tile]:
    """Yield a field in tiles of at most ``tile`` pixels on a side, of which a row at a time is in memory."""
    tile = as_count("tile", tile, minimum=16)
    grey = Grey.of(field, limits)
    ids, boxes = np.asarray(field.truth["source_id"], np.int64), truth_boxes(field.truth)
    order = np.argsort(ids)
    ny, nx = field.image.shape
    rows, columns = _edges(ny, tile), _edges(nx, tile)
    with tqdm(total=ny, desc="rows", disable=not progress, delay=2) as bar:
        for y0, y1 in zip(rows[:-1], rows[1:], strict=True):
            image, labels = (np.asarray(plane[y0:y1]) for plane in (field.image, field.segmentation))
            for x0, x1 in zip(columns[:-1], columns[1:], strict=True):
                part = labels[::-1, x0:x1]
                seen = np.unique(part)
                place = np.searchsorted(ids, seen, sorter=order)
                place = order[np.minimum(place, len(order) - 1)] if len(order) else place[:0]
                known = np.sort(place[ids[place] == seen]) if len(order) else place
                box = np.clip(boxes[known], [y0, y0, x0, x0], [y1, y1, x1, x1]) - [y0, y0, x0, x0]
                box[:, :2] = (y1 - y0) - box[:, 1::-1]
                yield Tile(f"{y0:06d}_{x0:06d}", grey(image[::-1, x0:x1]), part, known, box)
            bar.update(y1 - y0)
