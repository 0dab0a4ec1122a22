"""Latents: where in the model's latent space each source is taken from.

What a source is depends on its key, its class and the limits set to it, whatever else is in the field.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import check_choice, show_fields
from skygal.seeds import Seeds, key_generator

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = [
    "LATENTS",
    "Latents",
    "check_latents",
    "check_pairs",
    "default_mix",
    "largest_extent",
    "sample_conditions",
    "sample_keys",
    "sample_latent_values",
    "sample_latents",
]

#: the named ways to draw latents
LATENTS = ("balanced", "prior", "uniform", "pairs")
#: half the side of the box of Bastien et al. (2021, 2021MNRAS.503.3351B)
BOX_HALF_SIDE = 4.0
#: no extent beyond this part of the training distribution is asked for: the few sources there are too
#: few to learn from
LARGEST_RANK = 0.98
#: places in latent space that are tried for a source; the one after the last is taken as it is
MOST_TRIES = 40
#: numbers of a source's stream that its condition takes
CONDITION_DRAWS = 3


@dataclass(frozen=True, eq=False)
class Latents:
    """What the decoder needs for ``n`` sources.

    Attributes
    ----------
    values : ndarray, shape (n, d), float32
        Places in latent space.
    fr_class : ndarray of str, shape (n,)
        The class to decode as.
    extent : ndarray, shape (n,)
        Angular extent asked for, arcsec at the model's own scale; see `skygal.morphology.conditions`.
    bending : ndarray, shape (n,)
        Bending asked for, radians, from the same place; its sign is the side that the ends lie on.
    keys : ndarray of int64, shape (n,)
        The keys that values and extent were drawn with.
    """

    values: np.ndarray
    fr_class: np.ndarray
    extent: np.ndarray
    bending: np.ndarray
    keys: np.ndarray

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def join(cls, parts: list[Latents]) -> Latents:
        """Return several sets as one."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __getitem__(self, part: slice | np.ndarray) -> Latents:
        return Latents(*(getattr(self, field.name)[part] for field in fields(self)))


def check_latents(latents: Any, latent_dim: int | None = None, n: int | None = None) -> str | np.ndarray:
    """Return ``latents`` as one of the names in `LATENTS` or as an array of shape (n, d) or (d,).

    Raises
    ------
    ValueError
        If it is an unknown name, or an array of another shape or with values that are not finite.
    TypeError
        If it is neither a name nor an array of numbers.
    """
    if isinstance(latents, str):
        return check_choice("latents", latents, LATENTS)
    try:
        values = np.asarray(latents, np.float32)
    except (TypeError, ValueError):
        values = None
    if values is None or values.ndim not in (1, 2):
        raise TypeError(f"latents must be one of {', '.join(map(repr, LATENTS))} or an array of shape "
                        f"(n_sources, latent_dim), got {type(latents).__name__}"
                        + (f" of shape {values.shape}" if values is not None else ""))
    if latent_dim is not None:
        rows = values.shape[0] if values.ndim == 2 else None
        if values.shape[-1] != latent_dim or (rows is not None and n is not None and rows != n):
            raise ValueError(f"latents must have shape ({'n_sources' if n is None else n}, {latent_dim}) or "
                             f"({latent_dim},), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"latents must be finite, got {np.count_nonzero(~np.isfinite(values))} values that are not")
    return values


def default_mix(latents: str | np.ndarray) -> str:
    """Return the class mix that goes with ``latents`` where none is asked for."""
    return "survey" if isinstance(latents, str) and latents == "prior" else "balanced"


def check_pairs(latents: str | np.ndarray, fr_class: np.ndarray) -> None:
    """Check that with "pairs" each pair has one source of each class.

    Raises
    ------
    ValueError
        If a pair has not.
    """
    if isinstance(latents, str) and latents == "pairs":
        even = fr_class[:len(fr_class) // 2 * 2]
        alike = np.flatnonzero(even[::2] == even[1::2])
        if alike.size:
            k = 2 * int(alike[0])
            raise ValueError("latents='pairs' must have one source of each class in each pair, got "
                             f"{fr_class[k]} and {fr_class[k + 1]} as sources {k} and {k + 1} (0-based): leave fr_mix "
                             "out, or give a table with such classes")


def sample_keys(seeds: Seeds, name: str, latents: str | np.ndarray, fr_class: np.ndarray) -> np.ndarray:
    """Return the key of each source, int64 of shape (n,), from the stream ``name``.

    One key is shared by both of each pair with "pairs". Otherwise sources of two classes never share a key, also where
    the one takes the other's place in a run of the same seed: nobody should get twins who did not ask for them.
    """
    n = len(fr_class)
    if isinstance(latents, str) and latents == "pairs":
        return np.repeat(seeds.keys(f"{name}: pairs", (n + 1) // 2), 2)[:n]
    return seeds.keys_of(name, fr_class)


def sample_latent_values(latents: str | np.ndarray, keys: np.ndarray, latent_dim: int) -> np.ndarray:
    """Return a place in latent space for each key.

    Parameters
    ----------
    latents : str or ndarray
        A name (see `LATENTS`) or the values themselves, (n, d), or (d,) for one place for all.
        "uniform" fills the box of +-4 of Bastien et al. (2021); the others are N(0, I), the model's
        prior.
    keys : ndarray of int, shape (n,)
        One key a source.
    latent_dim : int
        Dimensions of the latent space.

    Returns
    -------
    ndarray, shape (n, latent_dim), float32
    """
    if isinstance(latents, np.ndarray):
        return np.array(np.broadcast_to(latents, (len(keys), latent_dim)), np.float32)
    streams, _ = _streams(keys)
    return _places(latents, streams, latent_dim)


def _streams(keys: np.ndarray) -> tuple[list[np.random.Generator], np.ndarray]:
    """Return each source's own stream, and its first numbers, which are the condition's, shape (n, 3)."""
    streams = [key_generator(key) for key in keys]
    return streams, np.array([rng.random(CONDITION_DRAWS) for rng in streams]).reshape(-1, CONDITION_DRAWS)


def _places(latents: str, streams: list[np.random.Generator], latent_dim: int) -> np.ndarray:
    """Return the next place in latent space of each stream, shape (n, latent_dim)."""
    out = np.empty((len(streams), latent_dim), np.float32)
    for row, rng in zip(out, streams, strict=True):
        uniform = latents == "uniform"
        row[:] = rng.uniform(-BOX_HALF_SIDE, BOX_HALF_SIDE, latent_dim) if uniform else rng.standard_normal(latent_dim)
    return out


def largest_extent(model: Generator, fr_class: str) -> float:
    """Return the largest extent, in arcsec, that a model is asked for of a class."""
    return float(model.tables[str(fr_class)].extent_at(LARGEST_RANK))


def sample_conditions(model: Generator, fr_class: np.ndarray, keys: np.ndarray, *, least: Any = 0.0,
                    most: Any = np.inf, bending: tuple[float, float] = (0.0, np.pi)) -> tuple[np.ndarray, np.ndarray]:
    """Return extent and bending of each source, from the training distributions of its class.

    Parameters
    ----------
    model : Generator
        Its ``tables`` hold the distributions.
    fr_class : ndarray of str, shape (n,)
    keys : ndarray of int, shape (n,)
    least, most : array_like
        Smallest and largest extent allowed, arcsec. The part of the distribution between them is drawn from;
        above `largest_extent`, that is taken.
    bending : tuple of float
        Least and largest absolute bending, radians.

    Returns
    -------
    extent : ndarray, shape (n,), arcsec
    bending : ndarray, shape (n,), radians
        Bent to either side.
    """
    _, share = _streams(keys)
    return _conditions(model, fr_class, share, least, most, bending)


def _conditions(model: Generator, fr_class: np.ndarray, share: np.ndarray, least: Any = 0.0,
                most: Any = np.inf, bending: tuple[float, float] = (0.0, np.pi)) -> tuple[np.ndarray, np.ndarray]:
    """Return what `sample_conditions` does, of the first numbers of each source's stream."""
    n = len(share)
    least, most = (np.broadcast_to(np.asarray(limit, float), n) for limit in (least, most))
    extent, bend = np.empty(n), np.empty(n)
    for name in np.unique(fr_class):
        here, table = fr_class == name, model.tables[str(name)]
        first = np.minimum(table.rank_of(least[here]), LARGEST_RANK)
        last = np.clip(table.rank_of(most[here]), first, LARGEST_RANK)
        extent[here] = table.extent_at(first + (last - first) * share[here, 0])
        bend[here] = table.bending_at(extent[here], share[here, 1], *bending)
    return extent, np.where(share[:, 2] < 0.5, -bend, bend)


def sample_latents(model: Generator, latents: str | np.ndarray, fr_class: np.ndarray, keys: np.ndarray,
                 **limits: Any) -> Latents:
    """Return what to decode for sources of these classes and keys.

    Parameters
    ----------
    model : Generator
        The trained model.
    latents : str or ndarray
        See `sample_latent_values`. With "balanced" and "prior" the model's resampled prior is drawn from: a place in
        latent space is kept with the probability that `Generator.acceptance` gives, or else the next one of the
        source's own stream is tried, up to 40 of them.
    fr_class : ndarray of str, shape (n,)
    keys : ndarray of int, shape (n,)
    **limits
        Of extent and bending; see `sample_conditions`.

    Returns
    -------
    Latents
    """
    fr_class = np.asarray(fr_class).astype(str)
    streams, share = _streams(keys)
    extent, bending = _conditions(model, fr_class, share, **limits)
    if isinstance(latents, np.ndarray):
        values = sample_latent_values(latents, keys, model.latent_dim)
    else:
        values = _places(latents, streams, model.latent_dim)
    if isinstance(latents, str) and latents in ("balanced", "prior"):
        open_rows = np.arange(len(keys))
        for _ in range(MOST_TRIES):
            rows = open_rows
            chance = model.acceptance(values[rows], fr_class[rows], extent[rows], bending[rows])
            open_rows = rows[np.array([streams[i].random() for i in rows], float) >= chance]
            if not open_rows.size:
                break
            for i in open_rows:
                values[i] = streams[i].standard_normal(model.latent_dim)
    return Latents(values, fr_class, extent, bending, keys)
