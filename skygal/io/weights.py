"""Weights of networks in files: tensors and a description, with a digest over both that is checked on reading."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skygal.checks import shorten, show
from skygal.io.atomic import whole_file
from skygal.io.inputs import check_file

__all__ = ["digest", "read_description", "read_tensors", "read_weights", "write_tensors", "write_weights"]

#: bytes of a weights file, and tensors in it, at most
LARGEST_FILE, MOST_TENSORS = 2**32, 10_000
#: kinds of tensors that NumPy has too
KINDS = ("F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")


def digest(tensors: Mapping[str, np.ndarray], description: str) -> str:
    """Return the SHA-256 of the description and of every tensor's name, type, shape and bytes."""
    found = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        found.update(f"{name}:{value.dtype.str}:{value.shape};".encode())
        found.update(value.tobytes())
    return found.hexdigest()


def write_tensors(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], header: Mapping[str, str], *,
                  overwrite: bool = False) -> Path:
    """Write tensors and words about them as a safetensors file, whole or not at all; return its path."""
    from safetensors.numpy import save

    # it writes the memory of an array, whatever the order of its axes there
    whole = {key: np.asarray(value, order="C") for key, value in tensors.items()}
    data = save(whole, metadata=dict(header))
    with whole_file(path, overwrite=overwrite) as part:
        part.write_bytes(data)
    return Path(path)


def write_weights(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], *, form: tuple[str, int], name: str,
                  architecture: Mapping[str, Any], metadata: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write a model's file, whole or not at all.

    Parameters
    ----------
    path : path
        The file, usually ``*.safetensors``.
    tensors : mapping of str to `~numpy.ndarray`
        Its weights.
    form : (str, int)
        Name and version of the format.
    name : str
        The model's name.
    architecture, metadata : mapping
        JSON-able: what the networks are built by, and where the weights come from.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    `~pathlib.Path`
        The file's path.
    """
    description = json.dumps({"name": name, "format": form[0], "format_version": form[1],
                              "architecture": dict(architecture), "metadata": dict(metadata)}, sort_keys=True)
    return write_tensors(path, tensors, {"description": description, "sha256": digest(tensors, description)},
                         overwrite=overwrite)


def read_tensors(path: str | os.PathLike, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What it is, for messages, such as "model file".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated, no such file, or holds tensors of kinds that NumPy has not.
    """
    from safetensors import safe_open

    check_file(path, name, largest=LARGEST_FILE)
    shown = f"{name} {show(os.fspath(path))}"
    try:
        with safe_open(path, framework="np") as file:
            keys = list(file.keys())
            kinds = {key: file.get_slice(key).get_dtype() for key in keys}
            wrong = next((key for key in keys if kinds[key] not in KINDS), None)
            header = dict(file.metadata() or {})
            good = wrong is None and len(keys) <= MOST_TENSORS
            tensors = {key: file.get_tensor(key) for key in keys} if good else {}
    except Exception as error:  # of the file's own parser, or of kinds that NumPy has not
        raise ValueError(f"{shown} is truncated or no safetensors file: {shorten(str(error))}") from None
    if wrong is not None:
        raise ValueError(f"{shown} must hold tensors of {', '.join(KINDS)}, got {show(wrong)} of {kinds[wrong]}")
    if len(keys) > MOST_TENSORS:
        raise ValueError(f"{shown} must hold at most {MOST_TENSORS} tensors, got {len(keys)}")
    return tensors, header


def read_weights(path: Path, formats: Sequence[tuple[str, int]]) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """Return the tensors, the description and the digest of a model's file.

    Parameters
    ----------
    path : path
        The file.
    formats : sequence of (str, int)
        Names and versions of the formats that will do, the usual one first.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated, was changed since it was written, is of another format, or a number in it is not finite.
    """
    tensors, header = read_tensors(path, "model file")
    shown = f"model file {show(str(path))}"
    if "description" not in header or "sha256" not in header:
        raise ValueError(f"{shown} is no skygal model: it has no description and digest")
    sha256 = digest(tensors, header["description"])
    if sha256 != header["sha256"]:
        raise ValueError(f"{shown} was changed since it was written: SHA-256 must be {shorten(header['sha256'])}, "
                         f"got {sha256}")
    try:
        description = json.loads(header["description"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown} has a description that is no JSON: {shorten(str(error))}") from None
    if not isinstance(description, dict):
        raise ValueError(f"{shown} must describe itself by keys and values, got {show(description)}")
    if (description.get("format"), description.get("format_version")) not in formats:
        raise ValueError(f"{shown} must have format {formats[0][0]} {formats[0][1]}, got "
                         f"{shorten(str(description.get('format')))} "
                         f"{shorten(str(description.get('format_version')))}")
    for key, kind in (("name", str), ("architecture", dict), ("metadata", dict)):
        if not isinstance(description.get(key), kind):
            raise ValueError(f"{shown} must have a {key} in its description that is a {kind.__name__}, got "
                             f"{show(description.get(key))}")
    for key, value in tensors.items():
        if value.dtype not in (np.float16, np.float32):
            raise ValueError(f"{shown} must hold tensors of float16 or float32, got {show(key)} of {value.dtype}")
        if not np.isfinite(value).all():
            raise ValueError(f"{shown} must hold finite numbers, got {np.count_nonzero(~np.isfinite(value))} that are "
                             f"not in {show(key)}")
    return tensors, description, sha256


def read_description(path: str | os.PathLike, name: str) -> dict[str, Any]:
    """Return how a model's file describes itself, its tensors unread and its digest unchecked; {} if it does not.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What it is, for messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged.
    """
    from safetensors import safe_open

    check_file(path, name, largest=LARGEST_FILE)
    try:
        with safe_open(path, framework="np") as file:
            found = json.loads((file.metadata() or {}).get("description", "{}"))
    except Exception as error:  # of the file's own parser
        raise ValueError(f"{name} {show(os.fspath(path))} is damaged: {shorten(str(error))}") from None
    return found if isinstance(found, dict) else {}
