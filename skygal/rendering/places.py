"""Stamps in their places, known by numbers alone: what it takes to draw them again, bit by bit the same."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

__all__ = ["StampPlaces"]


@dataclass(frozen=True, eq=False)
class StampPlaces:
    """What it takes to draw the same stamps in the same places again, bit by bit, without their pixels.

    Attributes
    ----------
    number : ndarray of int, shape (n,)
        Each source's number in the population, from 0, rising.
    latents : Latents
        What its stamp is decoded from, see `skygal.morphology.latents`.
    total : ndarray, shape (n,)
        Sum of the decoded and clipped stamp.
    stamp : ndarray, shape (n, 3)
        Centre (x, y) and largest size of the stamp, in its pixels.
    octaves : ndarray of int, shape (n,)
        How many are drawn after the stamp, see `skygal.morphology.octaves.Octaves.needed`.
    centre, position, affine, flux : ndarray
        See `skygal.rendering.drawing.Stamps`; in pixels of what is drawn, the stamp or the last octave.
    core : ndarray, shape (n, 2)
        Its core (x, y), likewise.
    extra : ndarray, shape (n,)
        Unresolved flux that is added to the stamp there, in parts of its own.
    limits : ndarray, shape (n, depths), float32
        Jy/beam above which a pixel is labelled as the source's.
    labels : ndarray of int, shape (n,)
        Its ``source_id``.
    box : ndarray of int, shape (n, 4)
        (y0, y1, x0, x1) of its pixels, one past the last row and column; four zeros for none.
    """

    number: np.ndarray
    latents: Any
    total: np.ndarray
    stamp: np.ndarray
    octaves: np.ndarray
    centre: np.ndarray
    core: np.ndarray
    extra: np.ndarray
    position: np.ndarray
    affine: np.ndarray
    flux: np.ndarray
    limits: np.ndarray
    labels: np.ndarray
    box: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, part: slice | np.ndarray) -> StampPlaces:
        return StampPlaces(*(getattr(self, column.name)[part] for column in fields(self)))

    @classmethod
    def join(cls, parts: list[StampPlaces], none: Any, depths: int = 1) -> StampPlaces:
        """Return several sets as one; where there is no set, none with these latents of no source."""
        if not parts:
            whole, number, pair = np.zeros(0, int), np.zeros(0), np.zeros((0, 2))
            return cls(whole, none, number, np.zeros((0, 3)), whole, pair, pair, number, pair, np.zeros((0, 2, 2)),
                       number, np.zeros((0, depths), np.float32), whole, np.zeros((0, 4), int))
        columns: dict[str, Any] = {}
        for column in fields(cls):
            values = [getattr(part, column.name) for part in parts]
            columns[column.name] = type(none).join(values) if column.name == "latents" else np.concatenate(values)
        return cls(**columns)
