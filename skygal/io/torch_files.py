"""What ``torch.save`` wrote, read as tensors and plain values alone."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING, Any

from skygal.checks import shorten, show
from skygal.io.inputs import check_unpacked, open_file

if TYPE_CHECKING:
    import torch

__all__ = ["check_moments", "read_torch"]

#: bytes of a checkpoint at most
LARGEST_CHECKPOINT = 2**36


def read_torch(path: str | os.PathLike, name: str) -> Any:
    """Return what a file holds that ``torch.save`` wrote; no code that a pickle may hold is run.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What it is, for messages, such as "checkpoint".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, holds anything but tensors and plain values, or tensors that it has not the bytes of.
    """
    import torch

    with open_file(path, name, largest=LARGEST_CHECKPOINT) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    # torch packs nothing
                    check_unpacked(archive.infolist(), size, largest=size)
            file.seek(0)
            found = torch.load(file, map_location="cpu", weights_only=True)
            _check(found, size)
        except Exception as error:  # of torch's own reader, which raises whatever its parts do
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ValueError(f"{name} {show(os.fspath(path))} must be a whole file of tensors and plain values, and "
                             f"nothing else: {shorten(reason)}") from None
    return found


def _check(value: Any, size: int) -> None:
    """Refuse tensors of more numbers than a file of ``size`` bytes has, such as one number seen as a million."""
    import torch

    seen: set[int] = set()
    left = [value]
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            if item.layout != torch.strided or item.device.type != "cpu" or item.is_quantized:
                raise ValueError(f"got a tensor of the kind {item.layout} on {item.device}")
            if item.numel() * item.element_size() > size:
                raise ValueError(f"got a tensor of the shape {show(tuple(item.shape))} in {size} bytes")
        elif isinstance(item, dict):
            left += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set)):
            left += item


def check_moments(optimizer: torch.optim.Optimizer) -> None:
    """Check that what an optimizer was told to remember has its parameters' shapes; ValueError if not."""
    for parameter, remembered in optimizer.state.items():
        for key, value in remembered.items():
            shape = tuple(getattr(value, "shape", ()))
            if shape not in ((), tuple(parameter.shape)):
                raise ValueError(f"{show(key)} must have a parameter's shape {tuple(parameter.shape)}, got {shape}")
