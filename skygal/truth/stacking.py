"""Metadata that stack as their tables do: what differs from run to run becomes a list.

`astropy.table.vstack` takes the last of two values that differ and warns, and puts any two lists together. Metadata of
truth tables are plain values of types of their own, by which astropy knows that these are to be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml
from astropy import units as u
from astropy.io.misc.yaml import AstropyDumper
from astropy.utils.metadata import MergeStrategy

__all__ = ["stackable"]


class _OfRun:
    """A value in the metadata of a run."""


class _Int(_OfRun, int):
    pass


class _Float(_OfRun, float):
    pass


class _Text(_OfRun, str):
    pass


class _List(_OfRun, list):
    pass


class Several(_OfRun, list):
    """Values of several runs, each different one once."""


class Frequency(_OfRun, u.Quantity):
    """A Quantity in the metadata of a run."""


class KeepAll(MergeStrategy):
    """Keep the values of both, one if they are the same."""

    types = (_OfRun, _OfRun)
    enabled = True

    @classmethod
    def merge(cls, left: Any, right: Any) -> Any:
        """Return the value of both, or all values there are."""
        found: list[Any] = []
        for value in (each for side in (left, right) for each in (side if isinstance(side, Several) else [side])):
            if not any(_same(value, other) for other in found):
                found.append(value)
        return found[0] if len(found) == 1 else Several(found)


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, list) == isinstance(b, list) and bool(np.all(a == b))


def stackable(value: Any) -> Any:
    """Return metadata, a mapping or what is in it, as values that are equal to the given ones and can be stacked."""
    if isinstance(value, Mapping):
        return {key: stackable(item) for key, item in value.items()}
    if isinstance(value, (bool, _OfRun)) or value is None:
        return value
    if isinstance(value, u.Quantity):
        return value.view(Frequency)
    if isinstance(value, (list, tuple)):
        return _List(value)
    for plain, own in ((int, _Int), (float, _Float), (str, _Text)):
        if isinstance(value, plain):
            return own(value)
    return value


def _represent(dumper: yaml.SafeDumper, value: Any) -> yaml.Node:
    """Write a value as the plain one that it is."""
    plain = next(kind for kind in (int, float, str, list) if isinstance(value, kind))
    return dumper.represent_data(plain(value))


for _dumper in (yaml.SafeDumper, AstropyDumper):
    for _kind in (_Int, _Float, _Text, _List, Several):
        _dumper.add_representer(_kind, _represent)
