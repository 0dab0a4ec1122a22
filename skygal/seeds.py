"""Randomness: every stream of random numbers comes from one seed and a name.

A named stream is independent of every other, so that changing how one step draws leaves the
others as they were. A source has a key of its own, so that what belongs to it does not depend on
how many others there are, nor on the order in which they are made.
"""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["Seeds", "key_generator", "next_keys"]


class Seeds:
    """The random streams of one run.

    Parameters
    ----------
    seed : int
        A whole number in [0, 2**63).

    Examples
    --------
    >>> from skygal.seeds import Seeds
    >>> a, b = Seeds(1).generator("flux"), Seeds(1).generator("flux")
    >>> bool(a.random() == b.random())
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def _sequence(self, name: str, *numbers: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(name.encode()), *numbers))

    def generator(self, name: str, *numbers: int) -> np.random.Generator:
        """Return the generator of the stream ``name`` (and its numbered part, if any)."""
        return np.random.Generator(np.random.Philox(self._sequence(name, *numbers)))

    def keys(self, name: str, n: int) -> np.ndarray:
        """Return ``n`` keys, int64 in [0, 2**63); the first k of them do not depend on ``n``."""
        raw = np.random.Philox(self._sequence(name)).random_raw(n)
        return (np.atleast_1d(raw) >> np.uint64(1)).astype(np.int64)

    def keys_of(self, name: str, labels: np.ndarray) -> np.ndarray:
        """Return a key for each of the labels, shape (n,), those of each kind of label from a stream of their own.

        Key number i depends on the seed, on i and on the i-th label alone.
        """
        out = np.empty(len(labels), np.int64)
        for label in np.unique(labels):
            here = np.flatnonzero(labels == label)
            out[here] = self.keys(f"{name}: {label}", here[-1] + 1)[here]
        return out

    def uniforms_of(self, name: str, *values: np.ndarray) -> np.ndarray:
        """Return a number in [0, 1) for each row of some values, shape (n,), which does not depend on its place.

        It is a hash of the row, of the seed and of the name (SplitMix64, Steele et al. 2014,
        doi:10.1145/2660193.2660195).
        """
        mixed = np.full(len(values[0]), self._sequence(name).generate_state(1, np.uint64)[0])
        for value in values:
            # 0.0 and -0.0 are one place
            mixed ^= (np.asarray(value, float) + 0.0).view(np.uint64)
            mixed += np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
        return (mixed >> np.uint64(11)) * 2.0**-53


def key_generator(key: int) -> np.random.Generator:
    """Return the counter-based generator that belongs to one source's key."""
    return np.random.Generator(np.random.Philox(key=int(key)))


def next_keys(keys: np.ndarray, draw: int | np.ndarray) -> np.ndarray:
    """Return the keys that take the place of ``keys`` where those are not to be had, in draw number ``draw``."""
    words = [np.random.SeedSequence(int(key), spawn_key=(int(number),)).generate_state(1, np.uint64)[0]
             for key, number in np.broadcast(keys, draw)]
    return (np.asarray(words, np.uint64) >> np.uint64(1)).astype(np.int64)
