"""Configuration: plain keys and values, in YAML files and in the headers of what is written.

A quantity is a string with its unit, such as ``"0.15 mJy"``; a range is a pair, ``[1 mJy, 1 Jy]``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from astropy import units as u
from astropy.table import Table

from skygal.checks import nearest_names, shorten, show
from skygal.io.inputs import read_text

__all__ = ["INPUTS", "as_plain", "check_nesting", "dump_config", "load_config", "parse_yaml"]


#: where, in the folder of what was made, lie tables and arrays that settings were given as
INPUTS = "inputs"
#: how deep lists and mappings may lie in each other
DEEPEST = 20


class _Loader(yaml.SafeLoader):
    """A safe loader that reads 1e-3 as a number and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Return the mapping of a node whose keys are all different."""
        seen: set[str | int | float | None] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            wrong = not isinstance(key, str | int | float | None)
            if wrong or key in seen:
                problem = f"a key must be a word, got {show(key)}" if wrong else f"{show(key)} is given twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes what `_Loader` would take for a number."""


# YAML 1.1 takes 1e-3 for a string, since it has no point, and 12:30:00.5 for a number
_FLOAT = re.compile(r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
                    r"|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:float"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
# on one line, with escapes: header cards lose lines that are empty and blanks that end one
_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar(
    "tag:yaml.org,2002:str", text, style='"' if "\n" in text else None))


def check_nesting(text: str, deepest: int, *, aliases: bool) -> None:
    """Check a YAML text before anything is made of it: how deep it goes, and whether values stand for others.

    Raises
    ------
    yaml.YAMLError
        If lists and mappings lie deeper in each other than ``deepest``, or there are aliases and there must be none: a
        few hundred bytes, nine lists of nine aliases to lists ..., would be more than a machine's memory.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > deepest or isinstance(event, yaml.AliasEvent) and not aliases:
            problem = "aliases are not admitted" if depth <= deepest else f"it is nested deeper than {deepest}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=cast(Any, event.start_mark))


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds: plain values.

    Raises
    ------
    ValueError
        If it is no YAML, has aliases, a key twice or lists nested too deep; the caller names the text.
    """
    try:
        check_nesting(text, DEEPEST, aliases=False)
        return yaml.load(text, Loader=_Loader)
    except Exception as error:  # constructors raise whatever their conversions do: of no date, of thousands of digits
        raise ValueError(shorten(" ".join(str(error).split()) or type(error).__name__)) from None


def load_config(path: str | os.PathLike, allowed: Iterable[str]) -> dict[str, Any]:
    """Read a YAML file of settings.

    Parameters
    ----------
    path : path
        The file: one mapping of keys to values. In keys ``-`` and ``_`` mean the same. A
        ``skygal.yaml`` that a command wrote beside its output will do: its ``options`` are read.
    allowed : iterable of str
        The keys that may be in it.

    Returns
    -------
    dict
        The settings, with ``_`` in their keys.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not YAML, not a mapping, or has a key that is not allowed; the message names the
        file and the nearest allowed key.
    """
    name = show(os.fspath(path))
    text = read_text(path, "config file")
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"config file {name} is not valid YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"config file {name} must hold keys and values, got a {type(content).__name__}")
    if "skygal_version" in content:
        if "options" not in content:
            raise ValueError(f"config file {name} has no 'options': it comes from a call in Python")
        content = content["options"]
        if not isinstance(content, dict):
            raise ValueError(f"options in config file {name} must be keys and values, got {show(content)}")
    home = Path(path).parent
    allowed = sorted(allowed)
    settings: dict[str, Any] = {}
    for key, value in content.items():
        plain = str(key).replace("-", "_")
        if plain not in allowed:
            hint = nearest_names(plain, allowed) or f"; the keys are {', '.join(allowed)}"
            raise ValueError(f"config file {name} has an unknown key {show(str(key))}{hint}")
        if plain in settings:
            raise ValueError(f"config file {name} has the key {show(plain)} twice")
        # tables and arrays that something was made from lie beside the file
        there = isinstance(value, str) and value.startswith(f"{INPUTS}/") and (home / value).is_file()
        settings[plain] = os.fspath(home / value) if there else value
    return settings


def as_plain(value: Any) -> Any:
    """Return a value as the plain types that YAML and headers can hold.

    Quantities become strings with their unit, arrays lists, beams ``"MAJORxMINOR arcsec, PA deg"``,
    and anything else its ``repr``. A large array becomes a note of its shape, a table one of its rows and columns.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.io.config import as_plain
    >>> as_plain({"flux": (1 * u.mJy, 1 * u.Jy), "size": (64, 64)})
    {'flux': ['1.0 mJy', '1.0 Jy'], 'size': [64, 64]}
    """
    if value is None or isinstance(value, bool):
        return value
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)
    # a Beam is a Quantity too: its solid angle
    if all(hasattr(value, name) for name in ("major", "minor", "pa")):
        major, minor = value.major.to_value(u.arcsec), value.minor.to_value(u.arcsec)
        return f"{float(major)!r}x{float(minor)!r} arcsec, {float(value.pa.to_value(u.deg))!r} deg"
    if isinstance(value, u.Quantity):
        if not value.isscalar:
            return [as_plain(item) for item in value] if value.size <= 64 else _note(value)
        return f"{float(value.value)!r} {value.unit}".strip()
    if isinstance(value, np.generic):
        return as_plain(value.item())
    if isinstance(value, np.ndarray):
        return as_plain(value.tolist()) if value.size <= 64 else _note(value)
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Table):
        return f"table of {len(value)} rows with the columns {', '.join(value.colnames)}"
    # an address in memory tells nothing, and would be another the next time
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _note(array: np.ndarray) -> str:
    return f"array of shape {array.shape}"


def dump_config(settings: Mapping[str, Any]) -> str:
    """Return settings as YAML text that `load_config` reads back, ASCII only.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.io.config import dump_config
    >>> print(dump_config({"survey": "FIRST", "flux": (1 * u.mJy, 1 * u.Jy)}), end="")
    survey: FIRST
    flux: [1.0 mJy, 1.0 Jy]
    """
    return yaml.dump(as_plain(settings), Dumper=_Dumper, sort_keys=False, default_flow_style=None,
                     width=10**6)
