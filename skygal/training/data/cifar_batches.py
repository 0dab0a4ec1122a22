"""Cutouts in the layout of CIFAR-10's batches, in which FRDEEP and MiraBest are published."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from skygal.checks import show
from skygal.io.inputs import read_bytes
from skygal.training.data.cutouts import (
    MIRABEST,
    MIRABEST_BATCHES,
    SMALL,
    Cutouts,
    join_cutouts,
    make_cutouts,
    read_labels,
)
from skygal.training.data.plain_pickle import load_plain_pickle

__all__ = ["find_batches", "load_batch", "read_batch", "read_batches"]

BATCH_KEYS = {"data", "labels"}
#: bytes of a batch at most: it is held in memory; the largest published one has 11 million
LARGEST = 2**32


def find_batches(folder: Path) -> list[Path]:
    """Return the batch files of a folder, sorted: ``data_batch_1`` ... and ``test_batch``."""
    return sorted(path for path in folder.iterdir()
                  if path.is_file() and (path.name.startswith("data_batch") or path.name == "test_batch"))


def read_batches(files: list[Path]) -> Cutouts:
    """Read the batches of one folder.

    Parameters
    ----------
    files : list of path
        From `find_batches`.

    Raises
    ------
    FileNotFoundError
        If the numbers of ``data_batch_1``, ``data_batch_2`` ... have a gap.
    ValueError
        If a batch cannot be read (see `read_batch`), or the images of two differ in shape.
    """
    numbers = {int(found[1]) for path in files if (found := re.fullmatch(r"data_batch_(\d+)", path.name))}
    if missing := sorted(set(range(1, max(numbers, default=0) + 1)) - numbers):
        raise FileNotFoundError(f"stamps {str(files[0].parent)!r} lack data_batch_{missing[0]}, though there is "
                                f"data_batch_{max(numbers)}")
    parts = [read_batch(path) for path in files]
    shapes = [{image.shape for image in part.images} for part in parts]
    for path, shape in zip(files[1:], shapes[1:], strict=True):
        if shape and shapes[0] and shape != shapes[0]:
            raise ValueError(f"images of stamps {show(str(path))} must have the shape of {files[0].name}'s, "
                             f"{min(shapes[0])}, got {min(shape)}")
    return join_cutouts(parts)


def read_batch(path: str | os.PathLike) -> Cutouts:
    """Read one batch: a pickled dict with ``data``, ``labels`` and maybe ``filenames``.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Cutouts
        Clipped cutouts (they have no noise rms). Label, position and angular size are taken from
        names such as ``100_010.451-009.284_0.0529_0080.60``; a label that no name tells is looked up
        in the ``label_names`` of the ``batches.meta`` beside the file, and else by its value.

    Raises
    ------
    ValueError
        If the file is damaged, holds anything but plain values, its arrays do not fit, or what its
        labels mean cannot be told.
    """
    path = Path(path)
    shown = show(str(path))
    try:
        batch = load_batch(path)
    except ValueError as error:
        raise ValueError(f"stamps {shown} cannot be read as a batch: {error}") from None
    if not set(batch) >= BATCH_KEYS:
        raise ValueError(f"stamps {shown} must hold 'data' and 'labels', got {show(sorted(map(str, batch)))}")
    try:
        labels = np.asarray(batch["labels"])
        data = np.asarray(batch["data"])
        if data.dtype.kind not in "uif" or labels.dtype.kind not in "iu" or data.ndim < 2:
            raise ValueError(f"data of {data.dtype} {data.shape} and labels of {labels.dtype}")
    except ValueError as error:
        raise ValueError(f"stamps {shown} must hold rows of numbers of one length and whole labels: "
                         f"{error}") from None
    side = int(round(np.sqrt(data[0].size))) if len(data) else 0
    if side < 1 or side * side != data[0].size or labels.shape != (len(data),):
        raise ValueError(f"stamps {shown} must hold square images and a label for each, "
                         f"got data of shape {data.shape} and labels of shape {labels.shape}")
    names = _texts(batch.get("filenames", batch.get("filename")))
    if names is None or len(names) != len(data):
        names = [f"{path.name} {i}" for i in range(len(data))]
    from skygal.training.data.image_files import parse_name

    # MiraBest's names come with the folder in which the batch was made
    parsed = [parse_name(re.split(r"[/\\]", name)[-1]) or {} for name in names]
    columns = {key: np.asarray([found.get(key, np.nan) for found in parsed]) for key in ("ra", "dec", "las")}
    named = np.asarray([int(found.get("label", -1)) for found in parsed])
    fr_class, morphology = _batch_classes(labels, named, _label_names(path.parent), shown)
    return make_cutouts(list(data.reshape(len(data), side, side)), fr_class, morphology=morphology,
                        name=np.asarray(names), **columns)


def load_batch(path: Path) -> dict[str, Any]:
    """Return what a batch file holds, its keys as text.

    Raises
    ------
    ValueError
        If the file is damaged, no dict, or holds anything but plain values; the caller names it.
    """
    batch = load_plain_pickle(read_bytes(path, "file", largest=LARGEST))
    if not isinstance(batch, dict):
        raise ValueError(f"must hold a dict, got {type(batch).__name__}")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in batch.items()}


def _texts(values: Any) -> list[str] | None:
    """Return a list of texts, None for anything else."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist()
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, (str, bytes, int)) for value in values):
        return None
    return [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in values]


def _label_names(folder: Path) -> list[str] | None:
    """Return the ``label_names`` of a folder's ``batches.meta``; None if it has none that can be read."""
    try:
        return _texts(load_batch(folder / "batches.meta").get("label_names"))
    except (OSError, ValueError):
        return None


def _batch_classes(labels: np.ndarray, named: np.ndarray, meta: list[str] | None,
                   shown: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and morphologies of a batch.

    Parameters
    ----------
    labels : `~numpy.ndarray`
        Shape (n,), the batch's own.
    named : `~numpy.ndarray`
        Shape (n,), three-digit labels out of the file names, -1 where a name has none.
    meta : list of str or None
        What each label stands for, three-digit labels or names of classes.
    shown : str
        The file, for messages.
    """
    rest = named < 0
    out = np.full((2, len(labels)), "", object)
    out[:, ~rest] = read_labels(named[~rest], shown)
    if rest.any():
        own = labels[rest]
        if own.max() >= 100:
            out[:, rest] = read_labels(own, shown)
        else:
            table = _small_labels(labels, rest, out, meta, shown)
            for label in own.tolist():
                if label not in table:
                    raise ValueError(f"labels in {shown} must be one of {', '.join(map(str, table))}, got {label}")
            out[:, rest] = np.asarray([table[label] for label in own.tolist()]).T
    return out[0].astype(str), out[1].astype(str)


def _small_labels(labels: np.ndarray, rest: np.ndarray, named: np.ndarray, meta: list[str] | None,
                  shown: str) -> dict[int, tuple[str, str]]:
    """Return what small labels stand for; those not in ``rest`` are told by their names, as in ``named``."""
    if meta is not None:
        found = [read_labels(np.asarray([int(name) if re.fullmatch("[0-9]{1,9}", name) else name]),
                             f"batches.meta of {shown}") for name in meta]
        return {i: (str(fr_class[0]), str(morphology[0])) for i, (fr_class, morphology) in enumerate(found)}
    known = ~rest
    if labels.max() > 3 or known.any() and list(zip(*named[:, known], strict=True)) == [
            MIRABEST_BATCHES.get(label) for label in labels[known].tolist()]:
        return MIRABEST_BATCHES
    if labels.max() <= 1 and rest.all():
        # all that FRDEEP has; a whole batch of MiraBest has more
        return {label: SMALL[label] for label in (0, 1)}
    raise ValueError(f"labels in {shown} must be told by a batches.meta beside it or by file names that begin "
                     f"with one of {', '.join(map(str, MIRABEST))}, got label {labels[rest].max()} without either")
