"""Stamps in NPZ files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skygal.checks import show
from skygal.data.stamps import MORPHOLOGIES, NUMBERS, Stamps, make_stamps, read_labels
from skygal.io.inputs import read_npz

__all__ = ["read_arrays"]

COLUMNS = ("ra", "dec", "pixel_scale", "rms", "las", "name", "morphology")


def read_arrays(path: Path) -> Stamps:
    """Read an ``.npz`` file in the layout that `skygal.data.readers.read_stamps` describes.

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
    return make_stamps(images, fr_class, **columns)
