"""Images on disk that need not fit into memory: several at once, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from tqdm import tqdm

from skygal.io.headers import primary_header

__all__ = ["Plane", "iter_bands", "stream_fits", "stream_zarr"]

#: rows at a time of an image that is in memory
ROWS_AT_ONCE = 1024

#: an image's pixels (an array, or a lazy one), its header, and the type that they are stored as
Plane = tuple[Any, fits.Header, type]


def iter_bands(arrays: list[Any], progress: bool) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Yield bands of rows and their pixels: rows of chunks of lazy arrays, where what these share is made once."""
    rows = arrays[0].shape[0]
    even = tuple(min(ROWS_AT_ONCE, rows - first) for first in range(0, rows, ROWS_AT_ONCE))
    sides = getattr(arrays[0], "chunks", (even,))[0]
    lazy = hasattr(arrays[0], "dask")
    with tqdm(total=rows, desc="rows", disable=not progress, delay=2) as bar:
        first = 0
        for side in sides:
            band = slice(first, first + side)
            parts = [array[band] for array in arrays]
            if lazy:
                import dask

                parts = list(dask.compute(*parts))
            yield band, parts
            # whoever asked for them may still hold the list while the next band is made
            parts.clear()
            bar.update(side)
            first += side


def stream_fits(planes: Mapping[Path, Plane], *, progress: bool = False) -> None:
    """Write images into FITS files, one each, as primary HDUs.

    Parameters
    ----------
    planes : mapping of path to Plane
        Images of one shape. The files must not exist.
    progress : bool
        Whether to show progress.

    Notes
    -----
    A file is complete only when the function returns: write into a folder that takes its name then
    (see `skygal.io.atomic.whole_directory`).
    """
    streams = []
    try:
        for path, (_, header, dtype) in planes.items():
            streams.append(fits.StreamingHDU(path, primary_header(header, dtype)))
        for _, parts in iter_bands([array for array, _, _ in planes.values()], progress):
            for stream, part, (_, _, dtype) in zip(streams, parts, planes.values(), strict=True):
                stream.write(np.ascontiguousarray(part, dtype=np.dtype(dtype).newbyteorder(">")))
    finally:
        for stream in streams:
            stream.close()


def stream_zarr(path: Path, arrays: Mapping[str, Any], attributes: Mapping[str, Any], *,
                progress: bool = False) -> None:
    """Write arrays of one shape into a new Zarr group.

    Parameters
    ----------
    path : path
        The group, which must not exist.
    arrays : mapping of str to array
        By name; stored in the chunks that they have.
    attributes : mapping
        Of the group; plain types.
    progress : bool
        Whether to show progress.
    """
    import zarr

    group = zarr.open_group(path, mode="w-")
    group.attrs.update(attributes)
    stored = []
    for name, array in arrays.items():
        chunks = tuple(max(sides) for sides in array.chunks) if hasattr(array, "chunks") else \
            tuple(min(ROWS_AT_ONCE, side) for side in array.shape)
        stored.append(group.create_array(name, shape=array.shape, chunks=chunks, dtype=array.dtype))
    # Zarr writes in threads of its own, which an interrupt would leave at work in a folder that is being removed:
    # so that a write that has begun ends first
    with ThreadPoolExecutor(1) as writer:
        for band, parts in iter_bands(list(arrays.values()), progress):
            for target, part in zip(stored, parts, strict=True):
                writer.submit(target.__setitem__, band, part).result()
