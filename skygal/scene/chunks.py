"""Fields as lazy arrays: each chunk is a task of its own, for any scheduler of Dask."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import show
from skygal.scene.scene import Scene

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["PLANES", "check_chunks", "chunked_planes"]

#: what a chunk holds
PLANES = np.dtype([("image", np.float32), ("model", np.float32), ("segmentation", np.int32)])


def check_chunks(chunks: Any, shape: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sides of chunks, rows and columns.

    Parameters
    ----------
    chunks : int, (int, int) or (tuple, tuple)
        As Dask takes them; the last ones are smaller where they do not divide the image.
    shape : (int, int)
        (ny, nx) of the image.

    Raises
    ------
    ValueError
        If they are no positive whole numbers, or tuples that do not add up to the image's sides.
    TypeError
        If they are something else.
    ImportError
        If Dask is not installed.
    """
    try:
        from dask.array.core import normalize_chunks
    except ImportError:
        raise ImportError("chunks needs Dask: pip install 'skygal[dask]'") from None

    allowed = "a positive whole number, a pair (rows, columns) of them, or two tuples that add up to the image's sides"
    pair = chunks if isinstance(chunks, (tuple, list)) else [chunks]
    sides = [side for part in pair for side in (part if isinstance(part, (tuple, list)) else [part])]
    if not all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides):
        raise TypeError(f"chunks must be {allowed}, got {show(chunks)}")
    if any(side < 1 for side in sides):
        raise ValueError(f"chunks must be {allowed}, got {show(chunks)}")
    try:
        rows, columns = normalize_chunks(chunks, shape)
    except ValueError:
        raise ValueError(f"chunks must be {allowed} {shape}, got {show(chunks)}") from None
    return tuple(int(side) for side in rows), tuple(int(side) for side in columns)


@lru_cache(maxsize=4)
def _shipped(name: str, device: str) -> Any:
    """Return a model that comes with the package, once in each process."""
    from skygal.morphology.checkpoint import load_model

    return load_model(name, device=device)


def _chunk(scene: Scene, window: tuple[int, int, int, int], device: str, *shared: Any) -> np.ndarray:
    """Return a chunk, of type `PLANES`."""
    out = np.empty((window[1] - window[0], window[3] - window[2]), PLANES)
    known = [_shipped(one, device) if isinstance(one, str) else one for one in shared]
    out["image"], out["model"], out["segmentation"] = scene.planes(window, known)
    return out


def chunked_planes(scene: Scene, chunks: tuple[tuple[int, ...], tuple[int, ...]], *, device: str = "cpu") -> da.Array:
    """Return a scene as a lazy array of type `PLANES`.

    Parameters
    ----------
    scene : Scene
        Each chunk's task carries the part of it that the chunk needs. A model that comes with the package is loaded by
        each process that draws; what else layers share is sent to each once.
    chunks : (tuple of int, tuple of int)
        From `check_chunks`.
    device : str
        Where models are loaded: "cpu" or "cuda".
    """
    import dask
    import dask.array as da

    from skygal.morphology.checkpoint import is_shipped

    token = secrets.token_hex(8)
    shared = [one if one is None else one.name if is_shipped(one) else
              dask.delayed(one, name=f"skygal-shared-{k}-{token}", traverse=False)
              for k, one in enumerate(layer.shared for layer in scene.layers)]
    make = dask.delayed(_chunk, pure=False, traverse=False)
    bottom, rows = 0, []
    for i, high in enumerate(chunks[0]):
        left, row = 0, []
        for j, wide in enumerate(chunks[1]):
            window = bottom, bottom + high, left, left + wide
            part = make(scene.within(window), window, device, *shared, dask_key_name=f"skygal-chunk-{token}-{i}-{j}")
            row.append(da.from_delayed(part, (high, wide), PLANES))
            left += wide
        bottom += high
        rows.append(da.concatenate(row, axis=1))
    return da.concatenate(rows, axis=0)
