"""Fields as lazy arrays: each chunk is a task of its own, for any scheduler of Dask."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skygal.scene.scene import Scene

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Planes", "chunked_planes"]


class Planes(NamedTuple):
    """The pixels of an image, lazy."""

    image: da.Array
    model: da.Array
    segmentation: da.Array


def _planes(depths: int) -> np.dtype:
    """Return the type of what a chunk holds: the model, which depths share, and the other planes of each."""
    each = [(f"{name}{k}", kind) for k in range(depths) for name, kind in (("image", np.float32),
                                                                           ("segmentation", np.int32))]
    return np.dtype([("model", np.float32), *each])


@lru_cache(maxsize=4)
def _shipped(name: str, device: str) -> Any:
    """Return a model that comes with the package, once in each process."""
    from skygal.morphology.checkpoint import load_model

    return load_model(name, device=device)


def _chunk(scene: Scene, window: tuple[int, int, int, int], device: str, *shared: Any) -> np.ndarray:
    """Return a chunk, of type `_planes`."""
    out = np.empty((window[1] - window[0], window[3] - window[2]), _planes(len(scene.grounds)))
    known = [_shipped(one, device) if isinstance(one, str) else one for one in shared]
    for k, (image, model, segmentation) in enumerate(scene.planes(window, known)):
        out[f"image{k}"], out[f"segmentation{k}"] = image, segmentation
        out["model"] = model
    return out


def chunked_planes(scene: Scene, chunks: tuple[tuple[int, ...], tuple[int, ...]], *, device: str = "cpu"
                   ) -> list[Planes]:
    """Return a scene as lazy arrays, those of each depth.

    Depths that are computed together, as by `dask.compute`, are drawn once.

    Parameters
    ----------
    scene : Scene
        Each chunk's task carries the part of it that the chunk needs. A model that comes with the package is loaded by
        each process that draws; what else layers share is sent to each once.
    chunks : (tuple of int, tuple of int)
        From `skygal.settings.check_chunks`.
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
    kind = _planes(len(scene.grounds))
    bottom, rows = 0, []
    for i, high in enumerate(chunks[0]):
        left, row = 0, []
        # so that not all sources of a large image are gone through for each chunk
        beside = scene.near((bottom, bottom + high, 0, scene.shape[1]))
        for j, wide in enumerate(chunks[1]):
            window = bottom, bottom + high, left, left + wide
            part = make(beside.within(window), window, device, *shared, dask_key_name=f"skygal-chunk-{token}-{i}-{j}")
            row.append(da.from_delayed(part, (high, wide), kind))
            left += wide
        bottom += high
        rows.append(da.concatenate(row, axis=1))
    whole = da.concatenate(rows, axis=0)
    return [Planes(whole[f"image{k}"], whole["model"], whole[f"segmentation{k}"]) for k in range(len(scene.grounds))]
