"""Readers of published and own stamps: which one a file or a folder is for, and NPZ files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from skygal.checks import show, warn_caller
from skygal.io.inputs import read_npz
from skygal.training.data import cifar_batches, image_files
from skygal.training.data.cutouts import MORPHOLOGIES, NUMBERS, Cutouts, make_cutouts, read_labels

__all__ = ["read_arrays", "read_stamps"]

COLUMNS = ("ra", "dec", "pixel_scale", "rms", "las", "name", "morphology")


def read_stamps(path: str | os.PathLike) -> Cutouts:
    """Read stamps, whatever their format.

    Parameters
    ----------
    path : path or str
        An ``.npz`` file, a batch file or a folder of batches in the layout of CIFAR-10 (FRDEEP and
        MiraBest are published so), a FITS or PNG file or a folder of such cutouts, what
        ``skygal stamps`` writes, the wheel of ``firstgalaxydata`` (``.whl``) or its
        ``galaxy_data.zip``, or the word ``firstgalaxydata`` for the installed package's.

    Returns
    -------
    Cutouts

    Warns
    -----
    UserWarning
        If cutouts are left out, since they are blank, constant or nowhere finite: how many.

    Raises
    ------
    FileNotFoundError
        If there is nothing under that name, or no stamps in the folder, or a batch is missing.
    ValueError
        If the format is unknown, or the file is damaged or holds something else than stamps.

    Notes
    -----
    An ``.npz`` file holds ``image`` (n, ny, nx) and ``label`` (integers as in MiraBest or the Radio
    Galaxy Dataset) or ``fr_class`` (names); and, each of shape (n,) and optional, ``scale`` (the
    factor of integer images), ``ra``, ``dec`` (deg), ``pixel_scale``, ``las`` (arcsec), ``rms``
    (in the unit of the scaled image; cutouts without one count as clipped), ``morphology`` and
    ``name`` or ``source``. In integer images -32768 stands for NaN. FRDEEP's ``train_image``, ``train_label``,
    ``test_image`` ... are joined.

    The labels of a batch are places in the ``label_names`` of the ``batches.meta`` beside it; the three-digit
    label in a cutout's own name wins. Without either, labels up to 9 are MiraBest's, and 0 and 1 alone FRDEEP's
    FRI and FRII.
    """
    stamps = _read(path)
    if stamps.skipped:
        warn_caller(f"stamps {show(os.fspath(path))}: {stamps.skipped} of {len(stamps) + stamps.skipped} cutouts are "
                    "left out, since they are blank, constant or nowhere finite")
    return stamps


def _read(path: str | os.PathLike) -> Cutouts:

    shown = os.fspath(path)
    if shown == image_files.PACKAGE:
        return image_files.read_wheel(image_files.find_installed())
    path = Path(shown)
    if not path.exists():
        raise FileNotFoundError(f"stamps {shown!r} not found; give a file, a folder or {image_files.PACKAGE!r}")
    if path.is_dir():
        if found := cifar_batches.find_batches(path):
            return cifar_batches.read_batches(found)
        return image_files.read_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_arrays(path)
    if suffix in (".whl", ".zip"):
        return image_files.read_wheel(path)
    if image_files.is_fits(path) or suffix == ".png":
        return image_files.read_image_files([path])
    return cifar_batches.read_batch(path)


def read_arrays(path: Path) -> Cutouts:
    """Read an ``.npz`` file in the layout that `skygal.training.data.readers.read_stamps` describes.

    Raises
    ------
    ValueError
        If it is damaged, or an array is missing or of the wrong shape.
    """
    data = read_npz(path, "stamps")
    if "train_image" in data:
        for key in ("image", "label", "name"):
            found = [data[f"{part}_{key}"] for part in ("train", "test") if f"{part}_{key}" in data]
            if found:
                data[key] = np.concatenate(found)
    if "name" not in data and "source" in data:
        data["name"] = np.asarray([f"{source} {i}" for i, source in enumerate(data["source"].tolist())])
    if "image" not in data or not ("label" in data or "fr_class" in data):
        raise ValueError(f"stamps {show(str(path))} must hold 'image' and 'label' or 'fr_class', got {sorted(data)}")
    image = data["image"]
    if image.ndim != 3:
        raise ValueError(f"'image' in {show(str(path))} must have shape (n, ny, nx), got {image.shape}")
    for key in ("image", "scale", *NUMBERS):
        if key in data and data[key].dtype.kind not in "uif":
            raise ValueError(f"{key!r} in {show(str(path))} must hold real numbers, got {data[key].dtype}")
    labels = data["fr_class"] if "fr_class" in data else data["label"]
    columns = {key: data[key] for key in COLUMNS if key in data}
    for key, value in {"labels": labels, "scale": data.get("scale", labels), **columns}.items():
        if value.shape != image.shape[:1]:
            raise ValueError(f"{key!r} in {show(str(path))} must have shape {image.shape[:1]}, got {value.shape}")
    images = image
    if image.dtype == np.int16:
        images = np.where(image == -32768, np.float32(np.nan), image)
    if "scale" in data:
        images = images * np.asarray(data["scale"], np.float32)[:, None, None]
    fr_class, morphology = read_labels(labels, repr(str(path)))
    given = columns.setdefault("morphology", morphology)
    unknown = np.setdiff1d(given, MORPHOLOGIES)
    if unknown.size:
        raise ValueError(f"'morphology' in {show(str(path))} must be one of {', '.join(map(repr, MORPHOLOGIES))}, "
                         f"got {show(str(unknown[0]))}")
    return make_cutouts(images, fr_class, **columns)
