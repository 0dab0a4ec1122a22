"""Detections as COCO writes them: boxes, classes and scores, of one image, and no fluxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS

from skygal.checks import show
from skygal.io.inputs import read_bytes
from skygal.wcs import pixel_to_icrs

__all__ = ["DOWNWARD", "UPWARD", "read_coco"]

#: bytes of a file at most
LARGEST = 2**31
#: formats: rows are counted as in the FITS array, or downward as in a picture that has its last row on top
UPWARD, DOWNWARD = "COCO", "COCO of pictures"


def read_coco(path: Path, name: str, wcs: WCS | None, shape: tuple[int, int] | None, format: str | None
              ) -> tuple[str, dict[str, np.ndarray], dict[str, str], dict[str, int], list[str]]:
    """Return the format, columns, what they were read from, why entries are left out, and what was guessed.

    Parameters
    ----------
    path : path
        A list of results, with ``bbox``, ``category_id`` and ``score``, or a file of annotations.
    name : str
        What it is, for messages.
    wcs : `~astropy.wcs.WCS`
    shape : (int, int), optional
        Of the image, for rows that are counted downward.
    format : `UPWARD`, `DOWNWARD` or None
        None to find it: annotations of skygal say it, others are taken to be `UPWARD`.

    Raises
    ------
    ValueError
        If it is no such file, is of several images, or ``wcs`` is None, or ``shape`` where it is needed.
    """
    shown = f"{name} {show(str(path))}"
    try:
        data = json.loads(read_bytes(path, name, largest=LARGEST))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown} cannot be read: it is no JSON ({type(error).__name__})") from None
    entries = data.get("annotations") if isinstance(data, dict) else data
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise ValueError(f"{shown} must be a list of detections with a bbox, or have one as 'annotations'")
    names: dict[Any, str] = {}
    guessed: list[str] = []
    if isinstance(data, dict):
        for kind in data.get("categories") or []:
            if isinstance(kind, dict) and "id" in kind:
                names[kind["id"]] = str(kind.get("name", kind["id"]))
        if format is None and isinstance(data.get("info"), dict):
            said = str(data["info"].get("description", ""))
            format = DOWNWARD if "rows downward" in said else UPWARD if "rows as in the FITS array" in said else None
    if format is None:
        format = UPWARD
        guessed.append(f"rows of boxes are taken to be counted as in the FITS array (else format={DOWNWARD!r})")
    if wcs is None:
        raise ValueError(f"wcs must be given for the boxes in {shown}, got None")
    if format == DOWNWARD and shape is None:
        raise ValueError(f"shape must be given for rows that are counted downward, as in {shown}, got None")
    images = {one.get("image_id") for one in entries}
    if len(images) > 1:
        raise ValueError(f"{shown} must have the detections of one image, got {len(images)} image_id")
    boxes = np.full((len(entries), 4), np.nan)
    for k, one in enumerate(entries):
        box = one.get("bbox")
        if isinstance(box, (list, tuple)) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box):
            boxes[k] = box
    crowd = np.array([bool(one.get("iscrowd")) for one in entries], bool)
    bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= 0).all(axis=1))
    dropped = {why: int(count.sum()) for why, count in (("without a box", bad & ~crowd), ("crowds", crowd))
               if count.any()}
    keep = np.flatnonzero(~bad & ~crowd)
    # boxes run along the edges of pixels, the first of which is at -0.5
    x, y = (boxes[keep, :2] + boxes[keep, 2:] / 2 - 0.5).T
    if format == DOWNWARD:
        assert shape is not None
        y = shape[0] - 1 - y
    ra, dec = pixel_to_icrs(wcs, x, y)
    kept = [entries[k] for k in keep.tolist()]
    score = [one.get("score") for one in kept]
    columns = {
        "row": keep, "ra": ra, "dec": dec,
        "id": np.array([str(one.get("source_id", one.get("id", k)))
                        for k, one in zip(keep.tolist(), kept, strict=True)], dtype=str),
        "label": np.array([names.get(one.get("category_id"), str(one.get("category_id", ""))) for one in kept],
                          dtype=str),
        "confidence": np.array([s if isinstance(s, (int, float)) else np.nan for s in score], float)}
    units = {"ra": "centre of bbox", "dec": "centre of bbox", "label": "category_id", "confidence": "score",
             "id": "source_id, or id"}
    return format, columns, units, dropped, guessed
