"""Latents: where in the model's latent space each source is taken from.

What a source is depends on its key alone, so that the source can be made again from the truth
catalogue, whatever else was in the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import check_choice
from skygal.seeds import key_generator

if TYPE_CHECKING:
    from skygal.morphology.generator import Generator

__all__ = ["LATENTS", "Latents", "check_latents", "check_pairs", "default_mix", "draw_extents", "draw_latents",
           "largest_extent"]

#: the named ways to draw latents
LATENTS = ("balanced", "prior", "uniform", "pairs")
#: half the side of the box of Bastien et al. (2021, 2021MNRAS.503.3351B)
BOX = 4.0
#: no extent beyond this part of the training distribution is asked for: the few sources there are too
#: few to learn from
LARGEST_RANK = 0.98


@dataclass(frozen=True)
class Latents:
    """What the decoder needs for ``n`` sources.

    Attributes
    ----------
    values : ndarray, shape (n, d), float32
        Places in latent space.
    fr_class : ndarray of str, shape (n,)
        The class to decode as.
    extent : ndarray, shape (n,)
        Angular extent asked for, arcsec at the model's own scale: the standard deviation of the
        brightness along the major axis.
    keys : ndarray of int64, shape (n,)
        The keys that values and extent were drawn with.
    """

    values: np.ndarray
    fr_class: np.ndarray
    extent: np.ndarray
    keys: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, part: slice) -> Latents:
        return Latents(self.values[part], self.fr_class[part], self.extent[part], self.keys[part])


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


def draw_latents(latents: str | np.ndarray, keys: np.ndarray, latent_dim: int) -> np.ndarray:
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
    out = np.empty((len(keys), latent_dim), np.float32)
    for row, key in zip(out, keys, strict=True):
        rng = key_generator(key)
        rng.random()        # the first number is the extent's
        row[:] = rng.uniform(-BOX, BOX, latent_dim) if latents == "uniform" else rng.standard_normal(latent_dim)
    return out


def largest_extent(model: Generator, fr_class: str) -> float:
    """Return the largest extent, in arcsec, that a model is asked for of a class."""
    quantiles = np.asarray(model.extents[str(fr_class)], float)
    return float(np.interp(LARGEST_RANK, np.linspace(0, 1, quantiles.size), quantiles))


def draw_extents(model: Generator, fr_class: np.ndarray, keys: np.ndarray, least: Any = 0.0) -> np.ndarray:
    """Return the angular extent of each source, from the training distribution of its class.

    Parameters
    ----------
    model : Generator
        Its ``extents`` holds the quantiles of each class.
    fr_class : ndarray of str, shape (n,)
    keys : ndarray of int, shape (n,)
    least : array_like
        Smallest extent allowed, arcsec. The part of the distribution above it is drawn from; above
        `largest_extent`, that is taken.

    Returns
    -------
    ndarray, shape (n,), arcsec
    """
    share = np.array([key_generator(key).random() for key in keys])
    least = np.broadcast_to(np.asarray(least, float), share.shape)
    out = np.empty(len(keys))
    for name in np.unique(fr_class):
        here = fr_class == name
        quantiles = np.asarray(model.extents[str(name)], float)
        rank = np.linspace(0, 1, quantiles.size)
        first = np.minimum(np.interp(least[here], quantiles, rank), LARGEST_RANK)
        out[here] = np.interp(first + (LARGEST_RANK - first) * share[here], rank, quantiles)
    return out
