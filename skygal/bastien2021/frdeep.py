"""FRDEEP as Bastien et al. (2021, 2021MNRAS.503.3351B, Section 3.4) train on it: crops and rotations."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skygal.bastien2021.networks import CLASSES
from skygal.checks import as_count, show, show_fields, warn_caller
from skygal.io.inputs import read_npz

__all__ = ["FRDEEP_SIDE", "PaperImages", "crop_images", "read_frdeep", "rotate_and_crop"]

#: side of FRDEEP's images, pixels
FRDEEP_SIDE = 150
ARRAYS = ("train_image", "train_label", "test_image", "test_label")
TURNED_AT_ONCE = 500


@dataclass(frozen=True, eq=False)
class PaperImages:
    """FRDEEP's images, as published: clipped, 1.8 arcsec to a pixel.

    Attributes
    ----------
    train, test : `~numpy.ndarray`
        Shape (n, 150, 150), float32, scaled from 0 to 1 over the whole set.
    train_label, test_label : `~numpy.ndarray`
        Shape (n,), int64: 0 for FRI, 1 for FRII.
    skipped : int
        Blank images and images with NaN, which were left out.
    """

    train: np.ndarray
    train_label: np.ndarray
    test: np.ndarray
    test_label: np.ndarray
    skipped: int = 0

    __repr__ = show_fields


def read_frdeep(source: str | os.PathLike) -> PaperImages:
    """Read FRDEEP with its own split into training and test images.

    Parameters
    ----------
    source : path
        The folder with ``data_batch_1`` ... and ``test_batch`` in the layout of CIFAR-10, as published
        (Zenodo 10.5281/zenodo.4255826), or an ``.npz`` file with ``train_image``, ``train_label``,
        ``test_image`` and ``test_label``.

    Returns
    -------
    PaperImages

    Raises
    ------
    FileNotFoundError
        If the source or one of its batches is missing.
    ValueError
        If a batch is damaged, images are not 150 x 150 pixels, labels are not 0 and 1 (FRI and FRII), a class is
        missing from the training images, or no image is left.

    Warns
    -----
    UserWarning
        If blank images or images with NaN are left out: how many.
    """
    path = Path(source)
    shown = show(os.fspath(source))
    if not path.exists():
        raise FileNotFoundError(f"FRDEEP {shown} not found; give its folder of batches or an .npz file")
    parts = _read_folder(path, shown) if path.is_dir() else _read_arrays(path, shown)
    skipped = 0
    out: list[np.ndarray] = []
    for split, (images, labels) in zip(("training", "test"), parts, strict=True):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim != 3 or images.shape[1:] != (FRDEEP_SIDE, FRDEEP_SIDE) or labels.shape != (len(images),):
            raise ValueError(f"{split} images of {shown} must have shape (n, {FRDEEP_SIDE}, {FRDEEP_SIDE}) and a label "
                             f"each, got {images.shape} and {labels.shape}")
        if images.dtype.kind not in "uif" or labels.dtype.kind not in "iu" or not np.isin(labels, (0, 1)).all():
            wrong = labels[~np.isin(labels, (0, 1))]
            raise ValueError(f"labels of the {split} images of {shown} must be 0 (FRI) or 1 (FRII), got "
                             f"{wrong[0] if wrong.size else labels.dtype}")
        images = images.astype(np.float32)
        good = np.isfinite(images).all(axis=(1, 2)) & (images > 0).any(axis=(1, 2))
        skipped += int((~good).sum())
        if not good.any() or split == "training" and len(np.unique(labels[good])) < len(CLASSES):
            wanted = "sources of both classes" if split == "training" else "sources"
            raise ValueError(f"{split} images of {shown} must show {wanted}, got {int(good.sum())} images of classes "
                             f"{np.unique(labels[good]).tolist()} that are neither blank nor NaN")
        out += [images[good], labels[good].astype(np.int64)]
    if skipped:
        warn_caller(f"{skipped} images of {shown} are blank or hold NaN and are left out")
    low, high = min(out[0].min(), out[2].min()), max(out[0].max(), out[2].max())
    scaled = [(images - low) / (high - low) for images in (out[0], out[2])]
    return PaperImages(scaled[0], out[1], scaled[1], out[3], skipped)


def _read_arrays(path: Path, shown: str) -> list[tuple[Any, Any]]:
    """Return (images, labels) of training and test out of an .npz file."""
    try:
        found = read_npz(path, "file", only=ARRAYS)
    except ValueError as error:
        raise ValueError(f"FRDEEP {shown} is damaged or no .npz file: {error}") from None
    if missing := [name for name in ARRAYS if name not in found]:
        raise ValueError(f"FRDEEP {shown} must hold {', '.join(ARRAYS)}, got no {', '.join(missing)}")
    return [(found["train_image"], found["train_label"]), (found["test_image"], found["test_label"])]


def _read_folder(path: Path, shown: str) -> list[tuple[Any, Any]]:
    """Return (images, labels) of training and test out of a folder of batches."""
    from skygal.training.data.cifar_batches import find_batches, load_batch

    batches = find_batches(path)
    for name in ("data_batch", "test_batch"):
        if not any(file.name.startswith(name) for file in batches):
            raise FileNotFoundError(f"FRDEEP {shown} must hold data_batch_1 ... and test_batch, got no {name}")
    numbers = sorted(int(tail) for file in batches if (tail := file.name.rpartition("_")[2]).isdecimal())
    if numbers and numbers != list(range(1, len(numbers) + 1)):
        raise FileNotFoundError(f"FRDEEP {shown} must hold data_batch_1 to data_batch_{numbers[-1]}, got only "
                                f"{', '.join(map(str, numbers))}")
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"data_batch": [], "test_batch": []}
    for file in batches:
        try:
            found = load_batch(file)
            images, labels = np.asarray(found["data"]), np.asarray(found["labels"])
            if labels.dtype.kind not in "iu" or images.dtype.kind not in "uif":
                raise ValueError(f"got data of {images.dtype} and labels of {labels.dtype}")
            images = images.reshape(len(labels), FRDEEP_SIDE, FRDEEP_SIDE)
        except (ValueError, AttributeError, KeyError) as error:
            raise ValueError(f"batch {show(str(file))} must hold 'data', rows of {FRDEEP_SIDE**2} numbers, and as many "
                             f"'labels': {error}") from None
        parts[file.name[:10]].append((images, labels))
    return [(np.concatenate([images for images, _ in part]), np.concatenate([labels for _, labels in part]))
            for part in parts.values()]


def crop_images(images: np.ndarray, side: int = 100) -> np.ndarray:
    """Return the middle ``side`` x ``side`` pixels of images (n, ny, nx)."""
    y, x = ((size - side) // 2 for size in images.shape[1:])
    return images[:, y:y + side, x:x + side]


def rotate_and_crop(images: np.ndarray, rotations: int = 36, side: int = 100) -> np.ndarray:
    """Return each image turned by each of several angles, and its middle.

    Parameters
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx), values from 0 to 1.
    rotations : int
        How many angles, evenly spaced from 0; 36 are steps of 10 degrees.
    side : int
        Rows and columns of the middle that is kept.

    Returns
    -------
    `~numpy.ndarray`
        Shape (rotations, n, side, side), uint8 in steps of 1/255, as the images themselves have them, so that
        the clipped gap between 0 and 1/255 stays.
    """
    import torch
    from torch.nn import functional

    as_count("rotations", rotations, minimum=1)
    n, ny, nx = images.shape
    out = np.empty((rotations, n, side, side), np.uint8)
    source = torch.from_numpy(np.ascontiguousarray(images, np.float32))[:, None]
    offset = (np.arange(side) - (side - 1) / 2).astype(np.float32)
    y, x = torch.from_numpy(offset)[:, None], torch.from_numpy(offset)[None, :]
    for i in range(rotations):
        angle = 2 * np.pi * i / rotations
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        # grid_sample counts half the image as 1, pixel edges included
        grid = torch.stack([(cos * x - sin * y) * 2 / nx, (sin * x + cos * y) * 2 / ny], dim=2)
        for start in range(0, n, TURNED_AT_ONCE):
            part = source[start:start + TURNED_AT_ONCE]
            turned = functional.grid_sample(part, grid.expand(len(part), -1, -1, -1), align_corners=False)
            out[i, start:start + TURNED_AT_ONCE] = (turned[:, 0] * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return out
