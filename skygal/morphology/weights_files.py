"""What a weights file holds, checked before a network is built of it.

A digest tells of damage, not of intent: whoever writes a file writes its digest too. So tensors must be of the kinds,
shapes and numbers that the architecture needs, and the architecture must need no more than there is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import shorten, show
from skygal.io.inputs import check_file

if TYPE_CHECKING:
    import torch

    from skygal.bastien2021.networks import PaperArchitecture
    from skygal.morphology.networks import Architecture

__all__ = ["CVAE", "FORMATS", "PAPER", "check_architecture", "check_paper_tensors", "check_tensors", "digest",
           "fill_module", "read_tensors", "read_weights"]

#: name and version of the formats: of models with an encoder for any stamps, and of the paper's networks
CVAE, PAPER = ("skygal-cvae", 2), ("skygal-bastien2021", 1)
FORMATS = (CVAE, PAPER)

#: bytes of a weights file, and tensors in it, at most
LARGEST, MOST = 2**32, 10_000
#: kinds of tensors that NumPy has too
KINDS = ("F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
#: pixels on a side of a stamp or a sky, and levels of a sky, at most
SIDE, LEVELS = 1024, 16


def digest(tensors: Mapping[str, np.ndarray], description: str) -> str:
    """Return the SHA-256 of the description and of every tensor's name, type, shape and bytes."""
    found = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        found.update(f"{name}:{value.dtype.str}:{value.shape};".encode())
        found.update(value.tobytes())
    return found.hexdigest()


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

    check_file(path, name, largest=LARGEST)
    shown = f"{name} {show(os.fspath(path))}"
    try:
        with safe_open(path, framework="np") as file:
            keys = list(file.keys())
            kinds = {key: file.get_slice(key).get_dtype() for key in keys}
            wrong = next((key for key in keys if kinds[key] not in KINDS), None)
            header = dict(file.metadata() or {})
            tensors = {} if wrong is not None or len(keys) > MOST else {key: file.get_tensor(key) for key in keys}
    except Exception as error:  # of the file's own parser, or of kinds that NumPy has not
        raise ValueError(f"{shown} is truncated or no safetensors file: {shorten(str(error))}") from None
    if wrong is not None:
        raise ValueError(f"{shown} must hold tensors of {', '.join(KINDS)}, got {show(wrong)} of {kinds[wrong]}")
    if len(keys) > MOST:
        raise ValueError(f"{shown} must hold at most {MOST} tensors, got {len(keys)}")
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


def check_architecture(arch: Architecture) -> None:
    """Check that the entries of an architecture are numbers that a network can be built by.

    Raises
    ------
    ValueError
        Naming the entry.
    """
    wholes = {"latent_dim": (arch.latent_dim,), "flow_layers": (arch.flow_layers,), "flow_width": (arch.flow_width,),
              "decoder_widths": arch.decoder_widths, "encoder_widths": arch.encoder_widths}
    limits: list[tuple[str, Sequence[int], float]] = [(name, values, math.inf) for name, values in wholes.items()]
    limits += [("shape", arch.shape, SIDE), ("sky_shape", arch.sky_shape, SIDE),
               ("sky_levels", (arch.sky_levels,), LEVELS)]
    for name, values, most in limits:
        if not all(1 <= value <= most for value in values):
            raise ValueError(f"{name} must be from 1 to {most}, got {show(values)}" if most < math.inf else
                             f"{name} must be above 0, got {show(values)}")
    for name in ("shape", "sky_shape"):
        if len(getattr(arch, name)) != 2:
            raise ValueError(f"{name} must be two numbers, got {show(getattr(arch, name))}")
    for name in ("pixel_scale", "beam_fwhm", "sky_reach", "log_extent_std", "bending_std"):
        if not 0 < getattr(arch, name) < 1e6:
            raise ValueError(f"{name} must be above 0 and below 1e6, got {show(getattr(arch, name))}")
    if not abs(arch.log_extent_mean) < 100:
        raise ValueError(f"log_extent_mean must be within 100 of 0, got {show(arch.log_extent_mean)}")
    if len(set(arch.classes)) < len(arch.classes) or not all(arch.classes):
        raise ValueError(f"classes must be different words, got {show(arch.classes)}")


def _dense(*sizes: int) -> int:
    """Return the numbers in layers of these sizes, with their biases."""
    return sum((a + 1) * b for a, b in pairwise(sizes))


def check_tensors(arch: Architecture, tensors: Mapping[str, np.ndarray]) -> None:
    """Check that there are just the tensors, and as many numbers in them, as networks of an architecture have.

    Raises
    ------
    ValueError
        Naming the tensor.
    """
    check_architecture(arch)
    d, k, width = arch.latent_dim, arch.condition_dim, arch.flow_width
    nodes = sum(math.prod(-(-side // 2**level) for side in arch.sky_shape) for level in range(arch.sky_levels))
    sizes = {"decoder": _dense(d + k, *arch.decoder_widths, nodes),
             "flow": _dense(k, width, 2 * d) + arch.flow_layers * _dense(d + k, width, width, 2 * d),
             "acceptance": _dense(d + k, width, width, 1) + 1}
    _check_parts(tensors, sizes, optional={"acceptance"}, others={
        f"{kind}.{name}" for kind in ("extents", "bendings") for name in arch.classes})
    for name in arch.classes:
        _check_rising(f"extents.{name}", tensors, ndim=1, low=0.0, high=math.inf)
        _check_rising(f"bendings.{name}", tensors, ndim=2, low=-1e-3, high=math.pi + 1e-3)


def check_paper_tensors(arch: PaperArchitecture, tensors: Mapping[str, np.ndarray], classes: Sequence[str]) -> None:
    """Do for the paper's networks what `check_tensors` does for the package's."""
    if not isinstance(arch.conditional, bool):
        raise ValueError(f"conditional must be true or false, got {show(arch.conditional)}")
    sizes = {"decoder": _dense(arch.latent_dim + arch.labels, *arch.widths[::-1], arch.pixels),
             "encoder": _dense(arch.pixels + arch.labels, *arch.widths) + 2 * _dense(arch.widths[-1], arch.latent_dim)}
    _check_parts(tensors, sizes, optional={"encoder"}, others={f"extents.{name}" for name in classes})
    for name in classes:
        _check_rising(f"extents.{name}", tensors, ndim=1, low=0.0, high=math.inf)


def _check_parts(tensors: Mapping[str, np.ndarray], sizes: Mapping[str, int], *, optional: set[str],
                 others: set[str]) -> None:
    """Refuse tensors of no part, and parts of more or fewer numbers than they must have."""
    for key in sorted(others - set(tensors)):
        raise ValueError(f"{key!r} is missing")
    there = dict.fromkeys(sizes, 0)
    for key, value in tensors.items():
        part = key.partition(".")[0]
        if part in there:
            there[part] += value.size
        elif key not in others:
            raise ValueError(f"{show(key)} is unknown")
    for part, size in sizes.items():
        if there[part] != size and (there[part] or part not in optional):
            raise ValueError(f"'{part}' must have {show(size)} numbers, got {there[part]}")


def _check_rising(key: str, tensors: Mapping[str, np.ndarray], *, ndim: int, low: float, high: float) -> None:
    values = tensors[key].astype(float)
    if values.ndim != ndim or not values.size or values.shape[-1] < 2:
        raise ValueError(f"{key!r} must have {ndim} axes with two values at least along the last, got shape "
                         f"{show(values.shape)}")
    if not ((values >= low) & (values <= high)).all() or (np.diff(values) < 0).any() or low == 0 and not values.all():
        raise ValueError(f"{key!r} must hold quantiles that rise, within {low:.3g} and {high:.3g}, got {show(values)}")


def fill_module(module: torch.nn.Module, part: str, tensors: Mapping[str, np.ndarray]) -> None:
    """Give a network its numbers.

    Parameters
    ----------
    module : `~torch.nn.Module`
        Changed in place.
    part : str
        What its tensors' names begin with, before a dot; empty for a network that has the names themselves.
    tensors : mapping of str to `~numpy.ndarray`
        Those of other parts are left alone.

    Raises
    ------
    ValueError
        Naming the tensor that is missing, unknown or of another shape.
    """
    import torch

    start = f"{part}." if part else ""
    given = {key: value for key, value in tensors.items() if key.startswith(start)}
    wanted = {start + key: tuple(value.shape) for key, value in module.state_dict().items()}
    for key in sorted(set(wanted) | set(given)):
        if key not in given or key not in wanted:
            raise ValueError(f"{show(key)} is {'unknown' if key in given else 'missing'}")
        if given[key].shape != wanted[key]:
            raise ValueError(f"{show(key)} must have shape {wanted[key]}, got {given[key].shape}")
    module.load_state_dict({key.removeprefix(start): torch.from_numpy(np.asarray(value, np.float32))
                            for key, value in given.items()})
