"""Whole files or none: output appears under its name only when all of it is written."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["MANIFEST", "check_writable", "whole_directory", "whole_file"]

#: The file that lists what was written into a folder; only a folder with it is ever replaced.
MANIFEST = ".skygal"

# what the system says when a disk, a quota or a file's largest size is used up, or the disk fails
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def check_writable(path: str | os.PathLike, *, overwrite: bool = False, folder: bool = True) -> Path:
    """Check, before any work is done, that output can be written; change nothing.

    Parameters
    ----------
    path : path
        The folder or file to be written. Missing parent folders are allowed: they are made later.
    overwrite : bool
        Whether what is there may be replaced. A folder is replaced only if it is empty or holds
        nothing but what was written into it by `whole_directory`.
    folder : bool
        Whether ``path`` is to become a folder, not a file.

    Returns
    -------
    `~pathlib.Path`
        The absolute path, symbolic links resolved.

    Raises
    ------
    FileExistsError
        If something is there already, and ``overwrite`` is false or may not replace it.
    NotADirectoryError
        If one of the parents is a file.
    IsADirectoryError
        If a file is to be written where a folder is.
    PermissionError
        If the folder to write in is not writable.
    """
    shown = os.fspath(path)
    path = Path(os.path.realpath(path))
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(f"output {shown!r} cannot be written: {str(parent)!r} is a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"output {shown!r} cannot be written: no permission to write in "
                              f"{str(parent)!r}")
    if not path.exists():
        return path
    if folder:
        _check_folder(shown, path, overwrite)
    elif path.is_dir():
        raise IsADirectoryError(f"output {shown!r} must be a file, but a folder is there")
    elif not overwrite:
        raise FileExistsError(f"output {shown!r} exists; give overwrite=True (--overwrite) to replace it")
    return path


def _check_folder(shown: str, path: Path, overwrite: bool) -> None:
    if not path.is_dir():
        raise FileExistsError(f"output {shown!r} must be a folder, but a file is there")
    if not overwrite:
        raise FileExistsError(f"output folder {shown!r} exists; give overwrite=True (--overwrite) "
                              "to replace it")
    if path == Path.cwd() or path in Path.cwd().parents:
        raise FileExistsError(f"output folder {shown!r} holds the working directory and cannot be replaced")
    try:
        ours = set((path / MANIFEST).read_text(encoding="utf-8").splitlines()) | {MANIFEST}
    except OSError:
        ours = set()
    foreign = sorted(set(_relative_files(path)) - ours)
    if foreign:
        raise FileExistsError(f"output folder {shown!r} holds what skygal did not write ({foreign[0]!r}"
                              f"{' and more' if len(foreign) > 1 else ''}) and is not replaced")


def _relative_files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]


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


def _remove(path: Path, parents: list[Path]) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    for folder in parents:
        try:
            folder.rmdir()
        except OSError:
            return  # someone else has put something there in the meantime


def _explain(error: BaseException, shown: str) -> None:
    """Raise an error that names the output where the system's own names no file."""
    if isinstance(error, OSError):
        # numpy says "N requested and M written", without a number
        said = str(error).lower()
        full = error.errno in _FULL or "not enough space" in said or ("requested and" in said and "written" in said)
        if full:
            reason = error.strerror or str(error)
            raise OSError(error.errno or errno.ENOSPC, f"output could not be written ({reason})",
                          shown) from error


@contextmanager
def whole_directory(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Write a folder as a whole: it appears at success, and nothing is left behind at failure.

    Parameters
    ----------
    path : path
        The folder to write.
    overwrite : bool
        Whether to replace a folder written before.

    Yields
    ------
    `~pathlib.Path`
        A temporary folder beside it to write in. It is renamed to ``path`` when the block ends, and
        removed on any exception, Ctrl-C included.

    Raises
    ------
    OSError
        As `check_writable`, and when the disk is full, naming ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> from skygal.output import whole_directory
    >>> with tempfile.TemporaryDirectory() as home:
    ...     with whole_directory(os.path.join(home, "out")) as folder:
    ...         _ = (folder / "note.txt").write_text("done")
    ...     sorted(os.listdir(os.path.join(home, "out")))
    ['.skygal', 'note.txt']
    """
    final = check_writable(path, overwrite=overwrite)
    parents = _make_parents(final)
    part = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir()
        yield part
        listing = sorted(_relative_files(part))
        (part / MANIFEST).write_text("".join(f"{name}\n" for name in listing), encoding="utf-8")
        check_writable(path, overwrite=overwrite)
        _swap(part, final)
    except BaseException as error:
        _remove(part, parents)
        _explain(error, os.fspath(path))
        raise


def _swap(part: Path, final: Path) -> None:
    if not final.exists():
        part.rename(final)
        return
    old = final.with_name(f".{final.name}.{secrets.token_hex(4)}.old")
    final.rename(old)
    try:
        part.rename(final)
    except BaseException:
        old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_file(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Write a file as a whole: it appears at success, and nothing is left behind at failure.

    Parameters
    ----------
    path : path
        The file to write.
    overwrite : bool
        Whether to replace a file that is there.

    Yields
    ------
    `~pathlib.Path`
        The name to write to: a temporary one in the same folder, with the same suffix.

    Raises
    ------
    OSError
        As `check_writable`, and when the disk is full, naming ``path``.
    """
    final = check_writable(path, overwrite=overwrite, folder=False)
    parents = _make_parents(final)
    part = final.with_name(f".{secrets.token_hex(4)}.part.{final.name}")
    try:
        yield part
        check_writable(path, overwrite=overwrite, folder=False)
        part.replace(final)
    except BaseException as error:
        _remove(part, parents)
        _explain(error, os.fspath(path))
        raise
