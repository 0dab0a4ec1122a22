"""The files of a training run: metrics as CSV, and the run that it replaces, kept aside until the new one is done."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skygal.checks import shorten, show
from skygal.io.atomic import check_writable, whole_directory, whole_file
from skygal.io.manifest import find_foreign, read_manifest
from skygal.io.parts import remove_replaced

__all__ = ["check_aside", "check_run", "drop_aside", "restoring", "set_aside", "write_metrics"]


def write_metrics(path: str | os.PathLike, rows: list[dict[str, Any]], *, overwrite: bool = True) -> None:
    """Write rows with the same entries as a CSV file, whole."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


@contextmanager
def restoring(path: str | os.PathLike) -> Iterator[None]:
    """Call it damage of a checkpoint if its entries do not go into the networks and optimizers of a run.

    Raises
    ------
    ValueError
        Naming the file and what is wrong.
    """
    try:
        yield
    except Exception as error:  # of entries that are missing, or made for other networks
        raise ValueError(f"checkpoint {show(os.fspath(path))} is damaged: {type(error).__name__}: "
                         f"{shorten(' '.join(str(error).split()))}") from None


def _home(weights: Path) -> Path:
    return weights.with_suffix(".old")


def _is_aside(home: Path, weights: Path) -> bool:
    listed = read_manifest(home)
    return listed is not None and weights.name in listed.files and find_foreign(home) is None


def check_aside(weights: Path) -> None:
    """Check, before any work is done, that a run that is there can be kept while another replaces it.

    Raises
    ------
    FileExistsError
        If its place, ``*.old``, is taken by something else.
    """
    home = _home(weights)
    if weights.exists() and os.path.lexists(home) and not _is_aside(home, weights):
        raise FileExistsError(f"{str(home)!r} is in the way, where the run that is replaced is kept until the new one "
                              "is done: move it, or give output another name")


def check_run(output: str | os.PathLike, *, overwrite: bool, resume: bool) -> tuple[Path, Path, Path]:
    """Check, before any work is done, the files of a training; return its weights, checkpoint and metrics.

    Raises
    ------
    ValueError
        If the output's name does not end in ``.safetensors``.
    FileExistsError
        If one is there and may not be replaced.
    FileNotFoundError
        If there is no checkpoint to resume from.
    """
    weights = Path(output)
    if weights.suffix != ".safetensors":
        raise ValueError(f"output must end in .safetensors, got {show(os.fspath(weights))}")
    checkpoint, metrics = weights.with_suffix(".ckpt"), weights.with_suffix(".csv")
    check_writable(weights, overwrite=overwrite, folder=False)
    if resume:
        if not checkpoint.is_file():
            raise FileNotFoundError(f"checkpoint {show(str(checkpoint))} to resume from not found")
    else:
        for path in (checkpoint, metrics):
            check_writable(path, overwrite=overwrite, folder=False)
        check_aside(weights)
    return weights, checkpoint, metrics


def set_aside(weights: Path, others: Iterable[Path]) -> None:
    """Move a run into the folder ``*.old``, so that no weights lie beside the checkpoint of another run.

    Parameters
    ----------
    weights : path
        The run's weights; without them there is nothing to keep.
    others : iterable of path
        Its other files. A ``*.yaml`` counts if skygal wrote it.
    """
    if not weights.exists():
        return
    check_aside(weights)
    files = [weights, *(path for path in others if path.is_file() and (path.suffix != ".yaml" or _is_record(path)))]
    with whole_directory(_home(weights), overwrite=True) as folder:
        for path in files:
            try:
                os.link(os.path.realpath(path), folder / path.name)
            except OSError:
                shutil.copy2(path, folder / path.name)
    # the weights first: a kill now leaves a checkpoint without weights, which nobody takes for finished
    for path in files:
        os.unlink(os.path.realpath(path))


def _is_record(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(15) == b"skygal_version:"


def drop_aside(weights: Path) -> None:
    """Remove the run that was set aside, now that another has replaced it."""
    if _is_aside(_home(weights), weights):
        remove_replaced(_home(weights))
