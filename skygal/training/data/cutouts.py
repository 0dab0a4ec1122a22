"""Real stamps as read: one form for all readers, and what their labels mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skygal.checks import show_fields

__all__ = ["CLASSES", "MORPHOLOGIES", "Cutouts", "join_cutouts", "make_cutouts", "read_labels",
           "select_cutouts"]

#: Every class a reader may name; models are trained on some of them.
CLASSES = ("FRI", "FRII", "compact", "bent", "hybrid")
#: What a label may say beyond the class; empty where it says nothing.
MORPHOLOGIES = ("", "bent", "wide-angle tail", "head-tail", "double-double")
#: class and morphology of MiraBest's three-digit labels (2017MNRAS.466.4346M, 2023RASTI...2..293P)
MIRABEST = {100: ("FRI", ""), 102: ("FRI", "wide-angle tail"), 104: ("FRI", "head-tail"), 110: ("FRI", ""),
            112: ("FRI", "wide-angle tail"), 200: ("FRII", ""), 201: ("FRII", "double-double"), 210: ("FRII", ""),
            300: ("hybrid", ""), 310: ("hybrid", "")}
#: the labels in MiraBest's batches are places in this order of the three-digit ones (10.5281/zenodo.4288837)
MIRABEST_BATCHES = dict(enumerate(MIRABEST.values()))
#: labels of the Radio Galaxy Dataset (10.5281/zenodo.7689127); FRDEEP (10.5281/zenodo.4255826) has the first two
SMALL = {0: ("FRI", ""), 1: ("FRII", ""), 2: ("compact", ""), 3: ("bent", "bent")}
#: classes given by name
NAMED = {name.lower(): (name, "bent" if name == "bent" else "") for name in CLASSES}
#: columns of `Cutouts`: numbers, NaN where unknown, and texts
NUMBERS, TEXTS = ("ra", "dec", "pixel_scale", "rms", "las"), ("fr_class", "name", "morphology")


@dataclass(frozen=True, eq=False)
class Cutouts:
    """Cutouts as read.

    Attributes
    ----------
    images : list of `~numpy.ndarray`
        Each (ny, nx), any unit, the source near the middle; sizes may differ.
    fr_class : `~numpy.ndarray` of str
        Shape (n,), out of `CLASSES`.
    ra, dec : `~numpy.ndarray`
        Shape (n,), degrees, ICRS; NaN where unknown.
    pixel_scale : `~numpy.ndarray`
        Shape (n,), arcsec; NaN where unknown.
    rms : `~numpy.ndarray`
        Shape (n,), noise rms in the image's unit; NaN for cutouts that are clipped already.
    las : `~numpy.ndarray`
        Shape (n,), largest angular size in arcsec; NaN where unknown.
    name : `~numpy.ndarray` of str
        Shape (n,).
    morphology : `~numpy.ndarray` of str
        Shape (n,), out of `MORPHOLOGIES`: what the label says beyond the class.
    skipped : int
        Cutouts that were left out, since they are blank, constant or nowhere finite.
    """

    images: list[np.ndarray]
    fr_class: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    pixel_scale: np.ndarray
    rms: np.ndarray
    las: np.ndarray
    name: np.ndarray
    morphology: np.ndarray
    skipped: int = 0

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.images)

    def filled(self, row: int) -> np.ndarray:
        """Return one image, float64, with zeros where it is not finite."""
        return np.nan_to_num(np.asarray(self.images[row], float), nan=0.0, posinf=0.0, neginf=0.0)


def make_cutouts(images: list[np.ndarray] | np.ndarray, fr_class: np.ndarray, **columns: np.ndarray) -> Cutouts:
    """Return stamps from what a reader found.

    Parameters
    ----------
    images : list of `~numpy.ndarray`
        The cutouts.
    fr_class : `~numpy.ndarray` of str
        Shape (n,).
    **columns : `~numpy.ndarray`
        Any other column of `Cutouts`, shape (n,). Unknown numbers are NaN, an unknown morphology is empty.

    Returns
    -------
    Cutouts
        Without the cutouts that show nothing: blank, constant or nowhere finite.
    """
    n = len(images)
    filled = {key: np.asarray(columns.get(key, np.full(n, np.nan)), float) for key in NUMBERS}
    texts = {"fr_class": fr_class, "name": columns.get("name", [f"stamp {i}" for i in range(n)]),
             "morphology": columns.get("morphology", np.full(n, ""))}
    good = np.asarray([_shows_something(np.asarray(image)) for image in images], bool)
    return Cutouts([np.asarray(image) for image, ok in zip(images, good, strict=True) if ok],
                   **{key: np.asarray(value, str)[good] for key, value in texts.items()},
                   **{key: value[good] for key, value in filled.items()}, skipped=int((~good).sum()))


def _shows_something(image: np.ndarray) -> bool:
    finite = image[np.isfinite(image)] if image.dtype.kind == "f" else image
    return finite.size > 0 and bool(finite.max() > max(0, finite.min()))


def join_cutouts(parts: list[Cutouts]) -> Cutouts:
    """Return the stamps of several sources as one."""
    return Cutouts([image for part in parts for image in part.images],
                   **{key: np.concatenate([getattr(part, key) for part in parts]) for key in (*NUMBERS, *TEXTS)},
                   skipped=sum(part.skipped for part in parts))


def select_cutouts(stamps: Cutouts, rows: np.ndarray) -> Cutouts:
    """Return the chosen stamps (an index or a boolean array); ``skipped`` stays."""
    rows = np.arange(len(stamps))[rows]
    return Cutouts([stamps.images[i] for i in rows],
                   **{key: getattr(stamps, key)[rows] for key in (*NUMBERS, *TEXTS)}, skipped=stamps.skipped)


def read_labels(labels: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and morphologies that integer or text labels stand for.

    Parameters
    ----------
    labels : `~numpy.ndarray`
        Shape (n,): MiraBest's three digits, or 0 to 3 as in the Radio Galaxy Dataset, or names of classes.
    source : str
        Where they come from, for the message.

    Returns
    -------
    fr_class, morphology : `~numpy.ndarray` of str
        Shape (n,), out of `CLASSES` and `MORPHOLOGIES`.

    Raises
    ------
    ValueError
        If a label is unknown.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind in "iu":
        table: dict = MIRABEST if labels.size and labels.max() >= 100 else SMALL
    else:
        labels, table = labels.astype(str), NAMED
    out = []
    for label in labels.tolist():
        key = label.lower() if isinstance(label, str) else label
        if key not in table:
            raise ValueError(f"labels in {source} must be one of {', '.join(map(str, table))}, got {label}")
        out.append(table[key])
    fr_class, morphology = np.asarray(out, str).reshape(-1, 2).T
    return fr_class, morphology
