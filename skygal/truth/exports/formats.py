"""The formats that there are, and the way in: a module of this room that has FORMATS is found by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import Parameter, signature
from os import PathLike, fspath
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import as_quantity, check_choice, nearest_names, show
from skygal.io.atomic import check_writable, whole_directory, whole_file
from skygal.io.provenance import input_files
from skygal.truth.exports.whole import join_sources, parents_of

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["Format", "export_field", "list_formats"]

#: arguments of a writer that are not options
_GIVEN = ("field", "path", "progress")


@dataclass(frozen=True)
class Format:
    """A format that fields can be written in.

    Attributes
    ----------
    name : str
        What ``format`` calls it.
    endings : tuple of str
        What the name of its file may end in; empty for a folder.
    write : callable
        ``write(field, path, *, progress, **options)``: it writes a file, or into a folder that is there and empty.
    needs_sources : bool
        Whether a field without sources cannot be written in it.
    joined : bool
        Whether ``write`` gets a field of `skygal.truth.exports.whole.join_sources`, with one row a source.
    """

    name: str
    endings: tuple[str, ...]
    write: Callable[..., None]
    needs_sources: bool = False
    joined: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether a folder is written, not a file."""
        return not self.endings

    @property
    def options(self) -> dict[str, Any]:
        """The options by name, with their defaults."""
        return {name: part.default for name, part in signature(self.write).parameters.items()
                if part.kind is Parameter.KEYWORD_ONLY and name not in _GIVEN}


@cache
def list_formats() -> dict[str, Format]:
    """Return the formats by name."""
    found = [one for module in iter_modules([str(Path(__file__).parent)])
             for one in getattr(import_module(f"{__package__}.{module.name}"), "FORMATS", ())]
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def export_field(field: Field, path: str | PathLike, format: str | None = None, *, overwrite: bool = False,
                 snr: float | None = None, progress: bool = False, inputs: Iterable[str | PathLike] = (),
                 **options: Any) -> Path:
    """Write a field in the format of another program, whole or not at all.

    Parameters
    ----------
    field : Field
    path : path
        The file, or the folder, to be made.
    format : str, optional
        One of `list_formats`, see :doc:`/exports`. By default what the ending of ``path`` says, if one format alone has
        it.
    overwrite : bool
        Whether what skygal wrote before may be replaced.
    snr : float, optional
        Only sources of at least this ``snr``.
    progress : bool
        Whether to show progress, where it takes more than two seconds.
    inputs : iterable of path
        What must not be replaced, beside the files that the field was made from or is read from.
    **options
        Those of the format.

    Returns
    -------
    path
        What was written.

    Raises
    ------
    ValueError
        If the format is unknown or cannot be told, the ending is not one of its, an option is not allowed, or the field
        does not have what the format must hold: sources, or finite values of a column.
    TypeError
        If there is no such option.
    ModuleNotFoundError
        If an optional package that the format needs is not installed; the message says how to install it.
    OSError
        If it cannot be written; nothing is left behind.
    """
    chosen = choose_format(path, format)
    unknown = [name for name in options if name not in chosen.options]
    if unknown:
        allowed = ", ".join(chosen.options) or "no options"
        raise TypeError(f"options of {chosen.name} must be among {allowed}, got {show(unknown[0])}"
                        f"{nearest_names(unknown[0], chosen.options)}")
    kept = [*input_files(field.provenance), *_files_of(field), *inputs]
    check_writable(path, overwrite=overwrite, folder=chosen.is_folder, inputs=kept)
    if snr is not None:
        field = _brighter(field, as_quantity("snr", snr, ""))
    if chosen.needs_sources and not len(field.truth):
        raise ValueError(f"field must have sources to be written as {chosen.name}, got none"
                         + ("" if snr is None else f" of snr {snr:g} or more"))
    whole = whole_directory if chosen.is_folder else whole_file
    with whole(path, overwrite=overwrite, inputs=kept) as part:
        chosen.write(join_sources(field) if chosen.joined else field, part, progress=progress, **options)
    return Path(path)


def choose_format(path: str | PathLike, format: str | None) -> Format:
    """Return the format of a name that was given, or of the only one that ``path`` may be in.

    Raises
    ------
    ValueError
        If there is none, or several, or the ending is not one of the format's.
    """
    formats, text = list_formats(), str(fspath(path))
    fitting = [one for one in formats.values() if text.lower().endswith(one.endings) and one.endings]
    if format is not None:
        chosen = formats[check_choice("format", format, formats)]
        if chosen not in fitting and not chosen.is_folder:
            raise ValueError(f"path must end in {' or '.join(chosen.endings)} to be written as {chosen.name}, got "
                             f"{show(text)}")
        if chosen.is_folder and fitting:
            raise ValueError(f"path must be the name of a folder to be written as {chosen.name}, got {show(text)}")
        return chosen
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(repr(one.name) for one in fitting or formats.values())
    raise ValueError(f"format must be given for the path {show(text)}, one of {names}")


def _files_of(field: Field) -> list[str]:
    """Return the files of a field that was read: those beside the ones that its pixels are mapped from."""
    planes = (field.image, field.model, field.segmentation)
    homes = {Path(plane.filename).parent for plane in planes if isinstance(plane, np.memmap) and plane.filename}
    return [str(path) for home in sorted(homes) if home.is_dir() for path in sorted(home.iterdir()) if path.is_file()]


def _brighter(field: Field, snr: float) -> Field:
    """Return a field with the rows of sources of at least an ``snr``; its pixels, which show all, are the same.

    Of a source in several parts that of the whole counts.
    """
    part = copy(field)
    joined = join_sources(field).truth
    kept = np.asarray(joined["source_id"])[np.asarray(joined["snr"]) >= snr]
    truth = field.truth[np.isin(parents_of(field.truth), kept)]
    rows = np.isin(np.asarray(field.components["source_id"]), np.asarray(truth["source_id"]))
    for name, table in (("truth", truth), ("components", field.components[rows])):
        object.__setattr__(part, name, table)
    return part
