"""Whole files or none: output appears under its name only when all of it is written, and safe on disk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skygal.io.disk import exchange, keep_access, name_what_ran_out, sync_file, sync_files, sync_folder
from skygal.io.manifest import MANIFEST, Tree, dump_manifest, walk
from skygal.io.parts import Part, remove_replaced
from skygal.io.writable import check_writable, check_writable_now

__all__ = ["MANIFEST", "check_writable", "whole_directory", "whole_file"]

_NOT_WRITTEN = "output could not be written"


@contextmanager
def whole_directory(path: str | os.PathLike, *, overwrite: bool = False,
                    inputs: Iterable[str | os.PathLike] = ()) -> Iterator[Path]:
    """Write a folder as a whole: it appears at success, and nothing is left behind at failure.

    Parameters
    ----------
    path : path
        The folder to write.
    overwrite : bool
        Whether to replace a folder written before.
    inputs : iterable of path
        What was read to make it; see `check_writable`.

    Yields
    ------
    `~pathlib.Path`
        A temporary folder beside it to write in. It is renamed to ``path`` when the block ends, and
        removed on any exception, Ctrl-C included.

    Raises
    ------
    OSError
        As `check_writable`, and when the disk is full, naming ``path`` and what ran out. Where the system refuses to
        rename a folder that is done, it is kept as ``path`` with ``.new`` behind.

    Notes
    -----
    Everything is on disk before the name is given, so that a power cut leaves the folder of before or the new one.
    Where the system can (Linux, macOS), the two change places at once, and the name is missing at no moment; elsewhere
    a run that is killed between the two steps is put right by the next one. Owner, mode and access lists are kept of
    what is replaced.

    Examples
    --------
    >>> import os, tempfile
    >>> from skygal.io.atomic import whole_directory
    >>> with tempfile.TemporaryDirectory() as home:
    ...     with whole_directory(os.path.join(home, "out")) as folder:
    ...         _ = (folder / "note.txt").write_text("done")
    ...     sorted(os.listdir(os.path.join(home, "out")))
    ['.skygal', 'note.txt']
    """
    inputs = tuple(inputs)
    with _part(path, overwrite, True, inputs) as (part, final):
        if final.is_dir():
            # no more open to others while it is written than it will be
            part.path.chmod(final.stat().st_mode & 0o7777 | 0o700)
        yield part.path
        tree = walk(part.path)
        sync_files([part.path / name for name in tree.files])
        if final.is_dir():
            _keep_all_access(final, part.path, tree)
        # walked again: some file systems settle a time only when the bytes are on disk
        part.seal(dump_manifest(walk(part.path)))
        for name in reversed(tree.folders):
            sync_folder(part.path / name)
        sync_folder(part.path)
        check_writable_now(path, overwrite=overwrite, inputs=inputs)
        try:
            if not final.exists():
                os.rename(part.path, final)
            elif not exchange(part.path, final):
                os.rename(final, part.aside)
                os.rename(part.path, final)
        except OSError as error:
            raise _keep_finished(part, final, error, os.fspath(path)) from error


@contextmanager
def whole_file(path: str | os.PathLike, *, overwrite: bool = False,
               inputs: Iterable[str | os.PathLike] = ()) -> Iterator[Path]:
    """Write a file as a whole: it appears at success, and nothing is left behind at failure.

    Parameters
    ----------
    path : path
        The file to write.
    overwrite : bool
        Whether to replace a file that is there.
    inputs : iterable of path
        What was read to make it; see `check_writable`.

    Yields
    ------
    `~pathlib.Path`
        The path to write to: the same name in a hidden folder beside it.

    Raises
    ------
    OSError
        As `check_writable`, and when the disk is full, naming ``path`` and what ran out.
    """
    inputs = tuple(inputs)
    with _part(path, overwrite, False, inputs) as (part, final):
        part.path.chmod(0o700)
        new = part.path / final.name
        yield new
        sync_file(new)
        if final.exists():
            keep_access(final, new)
        check_writable_now(path, overwrite=overwrite, folder=False, inputs=inputs)
        os.replace(new, final)


@contextmanager
def _part(path: str | os.PathLike, overwrite: bool, folder: bool,
          inputs: tuple[str | os.PathLike, ...]) -> Iterator[tuple[Part, Path]]:
    """Make a hidden folder beside an output; at the end sync the names and remove what is not the output."""
    final = check_writable(path, overwrite=overwrite, folder=folder, inputs=inputs)
    made = _make_parents(final)
    part = None
    try:
        part = Part(final)
        yield part, final
        for place in {final.parent, *(parent.parent for parent in made)}:
            sync_folder(place)
    except BaseException as error:
        full = None if part is None else name_what_ran_out(error, part.path)
        if part is not None:
            _undo(part, final, folder)
        _remove_empty(made)
        if full is not None:
            reason = getattr(error, "strerror", None) or ""
            raise OSError(full[0], reason if reason.startswith(_NOT_WRITTEN) else f"{_NOT_WRITTEN} ({full[1]})",
                          os.fspath(path)) from error
        raise
    _tidy(part, folder)


def _keep_finished(part: Part, final: Path, error: OSError, shown: str) -> OSError:
    """Give a folder that is done, and cannot take its name, another one; return the error that says so."""
    names = (final.with_name(f"{final.name}.new{k or ''}") for k in itertools.count())
    try:
        new = next(name for name in names if not os.path.lexists(name))
        os.rename(part.path, new)
    except OSError:
        return error
    return OSError(error.errno, f"output could not be replaced ({error.strerror}), the new one is kept as {str(new)!r}",
                   shown)


def _undo(part: Part, final: Path, folder: bool) -> None:
    """Leave the output of before, or the new one where it is in place already."""
    if part.is_at(final):
        _tidy(part, folder)
        return
    if os.path.lexists(part.aside) and not os.path.lexists(final):
        os.rename(part.aside, final)
    part.remove()


def _tidy(part: Part, folder: bool) -> None:
    """Remove what was needed to write an output that is in place, and the one that it has replaced."""
    if not folder:
        part.remove()
    for replaced in (part.path, part.aside):
        if os.path.lexists(replaced):
            remove_replaced(replaced)
    part.close()


def _keep_all_access(old: Path, new: Path, tree: Tree) -> None:
    before = walk(old)
    for name in {*tree.files} & {*before.files} | {*tree.folders} & {*before.folders}:
        keep_access(old / name, new / name)
    keep_access(old, new)


def _make_parents(path: Path) -> list[Path]:
    """Make the missing parents of ``path``; return those made, innermost first."""
    missing = []
    parent = path.parent
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
    return missing


def _remove_empty(parents: list[Path]) -> None:
    for folder in parents:
        with suppress(OSError):
            folder.rmdir()  # unless someone else has put something there in the meantime
