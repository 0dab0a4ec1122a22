"""What the weights of a model must be, checked before a network is built of them.

A digest tells of damage, not of intent: whoever writes a file writes its digest too. So tensors must be of the
shapes and numbers that the architecture needs, and the architecture must need no more than there is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import show

if TYPE_CHECKING:
    import torch

    from skygal.morphology.networks import Architecture

__all__ = ["check_architecture", "check_parts", "check_quantiles", "check_tensors", "count_dense", "fill_module"]

#: pixels on a side of a stamp or a sky, and levels of a sky, at most
LARGEST_SIDE, MOST_LEVELS = 1024, 16


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
    limits += [("shape", arch.shape, LARGEST_SIDE), ("sky_shape", arch.sky_shape, LARGEST_SIDE),
               ("sky_levels", (arch.sky_levels,), MOST_LEVELS)]
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


def count_dense(*sizes: int) -> int:
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
    sizes = {"decoder": count_dense(d + k, *arch.decoder_widths, nodes),
             "flow": count_dense(k, width, 2 * d) + arch.flow_layers * count_dense(d + k, width, width, 2 * d),
             "acceptance": count_dense(d + k, width, width, 1) + 1}
    check_parts(tensors, sizes, optional={"acceptance"}, others={
        f"{kind}.{name}" for kind in ("extents", "bendings") for name in arch.classes})
    for name in arch.classes:
        check_quantiles(f"extents.{name}", tensors, ndim=1, low=0.0, high=math.inf)
        check_quantiles(f"bendings.{name}", tensors, ndim=2, low=-1e-3, high=math.pi + 1e-3)


def check_parts(tensors: Mapping[str, np.ndarray], sizes: Mapping[str, int], *, optional: set[str],
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


def check_quantiles(key: str, tensors: Mapping[str, np.ndarray], *, ndim: int, low: float, high: float) -> None:
    """Refuse what is no table of quantiles: rising numbers within limits, along the last of ``ndim`` axes."""
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
