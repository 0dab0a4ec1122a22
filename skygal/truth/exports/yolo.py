"""Pictures and boxes for YOLO detectors, in the folders that Ultralytics' trainers read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from skygal.checks import as_count
from skygal.io.config import dump_config
from skygal.truth.exports.formats import Format
from skygal.truth.exports.tiles import Classes, count_tiles, iter_tiles

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS"]


def write_yolo(field: Field, path: Path, *, progress: bool = False, tile: int = 512, categories: str | None = None,
               limits: Any = None, validation: int = 5) -> None:
    """Write ``images/train/*.png``, ``labels/train/*.txt``, the same of ``val``, and ``data.yaml``.

    Parameters
    ----------
    field, path, progress, tile, categories, limits
        See `skygal.truth.exports.coco.write_coco_tiles`.
    validation : int
        Every picture of this number goes to ``val``; with 0, or if there are fewer, none, and ``val`` is ``train``.

    Notes
    -----
    A line a source: its class, from 0, and centre, width and height of its box in parts of the picture's, from the top
    left. Boxes run along the edges of pixels and are cut at the picture's. A picture without sources has an empty file.
    """
    classes = Classes.of(field, categories)
    validation = as_count("validation", validation)
    every = validation if 0 < validation <= count_tiles(field.image.shape, tile) else 0
    parts = ("train", "val") if every else ("train",)
    for part in parts:
        (path / "images" / part).mkdir(parents=True)
        (path / "labels" / part).mkdir(parents=True)
    for k, one in enumerate(iter_tiles(field, tile, limits, progress=progress), 1):
        part = "val" if every and k % every == 0 else "train"
        ny, nx = one.grey.shape
        one.save(path / "images" / part)
        lines = [f"{classes.number[row] - 1} {(left + right) / 2 / nx:.9f} {(top + bottom) / 2 / ny:.9f} "
                 f"{(right - left) / nx:.9f} {(bottom - top) / ny:.9f}\n"
                 for row, (top, bottom, left, right) in zip(one.rows.tolist(), one.boxes.tolist(), strict=True)
                 if classes.number[row]]
        (path / "labels" / part / f"{one.name}.txt").write_text("".join(lines), encoding="ascii")
    # without a path the folders are looked for beside the file
    settings = {"train": "images/train", "val": f"images/{parts[-1]}",
                "names": [name for _, name in sorted(classes.names.items())]}
    (path / "data.yaml").write_text(dump_config(settings), encoding="utf-8")


FORMATS = (Format("yolo", (), write_yolo, joined=True),)
