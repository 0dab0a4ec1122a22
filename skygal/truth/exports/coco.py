"""Boxes and masks as COCO instances (Lin et al. 2014, arXiv:1405.0312), of a field or of pictures of its parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.io.provenance import restore_provenance
from skygal.truth.exports.formats import Format
from skygal.truth.exports.masks import encode_mask, iter_masks, truth_boxes
from skygal.truth.exports.tiles import Classes, iter_tiles

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS"]


def _annotation(number: int, image: int, category: int, box: list[int], mask: np.ndarray, corner: tuple[int, int],
                shape: tuple[int, int], source: int) -> dict[str, Any]:
    """Return an annotation; ``box`` is (y0, y1, x0, x1), one past the last row and column."""
    y0, y1, x0, x1 = box
    return {"id": number, "image_id": image, "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(np.count_nonzero(mask)), "iscrowd": 0, "source_id": source,
            "segmentation": {"size": list(shape), "counts": encode_mask(mask, *corner, shape)}}


def _write(path: Path, field: Field, images: list[dict[str, Any]], classes: Classes,
           annotations: Iterable[dict[str, Any]], note: str) -> None:
    """Write the file, one annotation at a time; ``images`` may grow as they come."""
    found = restore_provenance(field.provenance)
    info = {"description": f"skygal {found.get('skygal_version', '')}, seed {found.get('seed', '')}; {note}",
            "version": str(found.get("skygal_version", ""))}
    kinds = [{"id": number, "name": name, "supercategory": "radio source"} for number, name in classes.names.items()]
    with open(path, "w", encoding="ascii") as file:
        file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"categories": {json.dumps(kinds)},\n'
                   '"annotations": [')
        for k, one in enumerate(annotations):
            file.write((",\n" if k else "\n") + json.dumps(one))
        file.write(f'],\n"images": {json.dumps(images)}}}\n')


def write_coco(field: Field, path: Path, *, progress: bool = False, categories: str | None = None,
               file_name: str = "field.fits") -> None:
    """Write boxes and masks of sources in the field as one image.

    Parameters
    ----------
    field, path, progress
    categories : str, optional
        See `skygal.truth.exports.tiles.Classes.of`.
    file_name : str
        What the image is called.

    Notes
    -----
    Rows are counted as in the FITS array, the first one 0. A box runs along the edges of the pixels of the source that
    truth's ``bbox`` has, its mask is what it has in the segmentation; sources without a pixel there are left out.
    """
    ny, nx = shape = field.segmentation.shape
    truth, boxes, classes = field.truth, truth_boxes(field.truth), Classes.of(field, categories)
    ids = np.asarray(truth["source_id"], np.int64)
    boxes[classes.number == 0] = 0

    def found() -> Iterator[dict[str, Any]]:
        number = 0
        for row, mask in iter_masks(field.segmentation, ids, boxes, progress=progress):
            if mask.any():
                number += 1
                box = boxes[row].tolist()
                # annotations begin at 1: the COCO API takes a match with number 0 for none
                yield _annotation(number, 1, int(classes.number[row]), box, mask, (box[0], box[2]), shape,
                                  int(ids[row]))

    images = [{"id": 1, "width": nx, "height": ny, "file_name": file_name}]
    _write(path, field, images, classes, found(), "rows as in the FITS array")


def write_coco_tiles(field: Field, path: Path, *, progress: bool = False, tile: int = 512,
                     categories: str | None = None, limits: Any = None) -> None:
    """Write a folder of pictures, ``images/*.png``, and their boxes and masks, ``annotations.json``.

    Parameters
    ----------
    field, path, progress
    tile : int
        Pixels on a side of a picture, at most.
    categories : str, optional
        See `skygal.truth.exports.tiles.Classes.of`.
    limits : (Quantity, Quantity) or (float, float), optional
        Brightness that is black and white, Jy/beam; see `skygal.truth.exports.tiles.Grey.of`.

    Notes
    -----
    Rows are counted downward, as in the pictures, which have the field's last row on top. Boxes are cut at the
    picture's edges; sources without a pixel in a picture are left out of it.
    """
    ids = np.asarray(field.truth["source_id"], np.int64)
    classes = Classes.of(field, categories)
    images: list[dict[str, Any]] = []
    (path / "images").mkdir()

    def found() -> Iterator[dict[str, Any]]:
        number = 0
        for one in iter_tiles(field, tile, limits, progress=progress):
            ny, nx = shape = one.grey.shape
            images.append({"id": len(images) + 1, "width": nx, "height": ny, "file_name": f"{one.name}.png"})
            one.save(path / "images")
            for row, box in zip(one.rows.tolist(), one.boxes.tolist(), strict=True):
                top, bottom, left, right = box
                if classes.number[row]:
                    number += 1
                    mask = one.labels[top:bottom, left:right] == ids[row]
                    yield _annotation(number, len(images), int(classes.number[row]), box, mask, (top, left), shape,
                                      int(ids[row]))

    _write(path / "annotations.json", field, images, classes, found(), "rows downward, as in the pictures")


FORMATS = (Format("coco", (".json",), write_coco, joined=True), Format("coco_tiles", (), write_coco_tiles, joined=True))
