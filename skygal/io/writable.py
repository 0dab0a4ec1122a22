"""What can be said of an output before any work is done: whether it can be written, and what it would replace."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from skygal.checks import show
from skygal.io.disk import is_mount
from skygal.io.manifest import find_foreign, walk
from skygal.io.parts import clear_parts, hidden_name, longest_name

__all__ = ["check_writable", "check_writable_now"]

#: bytes of a path that must be free for the names in an output
BYTES_INSIDE = 64
_SAID = {errno.EROFS: "it is on a read-only file system", errno.ELOOP: "its symbolic links form a loop",
         errno.EACCES: "no permission to write in", errno.EPERM: "no permission to write in"}


def check_writable(path: str | os.PathLike, *, overwrite: bool = False, folder: bool = True,
                   inputs: Iterable[str | os.PathLike] = ()) -> Path:
    """Check, before any work is done, that output can be written.

    Nothing is changed but what runs that were killed left of this output: what they were writing is removed, and
    an output that one of them was replacing gets its name back.

    Parameters
    ----------
    path : path
        The folder or file to be written. Missing parent folders are allowed: they are made later.
    overwrite : bool
        Whether what is there may be replaced. A folder is replaced only if it is empty or holds
        nothing but what was written into it by `skygal.io.atomic.whole_directory`, unchanged.
    folder : bool
        Whether ``path`` is to become a folder, not a file.
    inputs : iterable of path
        What the work reads. None of it may be replaced by the output.

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
    ValueError
        If it is no name: empty, too long, or with a NUL.
    OSError
        If it cannot be written for another reason: a file system that is read-only or full, a loop of links.

    Warns
    -----
    UserWarning
        Of an output that was given back its name, and of what is left and cannot be removed.
    """
    shown = os.fsdecode(path)
    final = _resolve(shown, folder)
    parent = _nearest(shown, final)
    if parent == final.parent:
        clear_parts(final)
    check_writable_now(path, overwrite=overwrite, folder=folder, inputs=inputs)
    # the surest way to know: file systems have rules of their own, and say "full" as well
    name = hidden_name(final, secrets.token_hex(4), "part") if parent == final.parent else \
        f".skygal.{secrets.token_hex(4)}.part"
    try:
        (parent / name).mkdir()
        (parent / name).rmdir()
    except OSError as error:
        raise _refusal(shown, error, parent) from None
    return final


def check_writable_now(path: str | os.PathLike, *, overwrite: bool = False, folder: bool = True,
                       inputs: Iterable[str | os.PathLike] = ()) -> Path:
    """Check the same once more, right before what is there is replaced; really change nothing."""
    shown = os.fsdecode(path)
    final = _resolve(shown, folder)
    parent = _nearest(shown, final)
    if not os.access(parent, os.W_OK | os.X_OK):
        reads_only = hasattr(os, "statvfs") and os.statvfs(parent).f_flag & getattr(os, "ST_RDONLY", 0)
        raise _refusal(shown, OSError(errno.EROFS if reads_only else errno.EACCES, ""), parent)
    try:
        found = os.lstat(final)
    except FileNotFoundError:
        return final
    if is_mount(final):
        raise FileExistsError(f"output {shown!r} is a mount point, which cannot be replaced: "
                              "give output a name inside it")
    try:
        if folder:
            _check_folder(shown, final, found, overwrite)
        else:
            _check_file(shown, found, overwrite)
        _check_inputs(shown, final, found, inputs)
    except PermissionError as error:
        if error.filename is None:
            raise
        raise PermissionError(f"output {shown!r} cannot be replaced: no permission for "
                              f"{os.fsdecode(error.filename)!r} in it") from None
    above = os.stat(final.parent)
    if above.st_mode & stat.S_ISVTX and hasattr(os, "geteuid") and \
            os.geteuid() not in (0, found.st_uid, above.st_uid):
        raise PermissionError(f"output {shown!r} cannot be replaced: it belongs to another user")
    return final


def _resolve(shown: str, folder: bool) -> Path:
    """Return the absolute path, links resolved, of what is a name."""
    if not shown:
        raise ValueError("output must be a name, got ''")
    if "\0" in shown:
        raise ValueError(f"output must be a name without NUL, got {show(shown)}")
    try:
        os.stat(shown)
    except UnicodeEncodeError:
        raise ValueError(f"output must be a name that the system can write, got {show(shown)}") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EACCES):
            raise _refusal(shown, error, Path(shown)) from None
    final = Path(os.path.realpath(shown))
    separators = tuple(separator for separator in (os.sep, os.altsep) if separator)
    if not folder and shown.endswith(separators) and not final.is_dir():
        raise ValueError(f"output must be the name of a file, got {show(shown)}, a folder's")
    return final


def _nearest(shown: str, final: Path) -> Path:
    """Return the nearest folder above an output that is there; check that the rest can be names in it."""
    parent = final.parent
    while not os.path.lexists(parent) and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(f"output {shown!r} cannot be written: {str(parent)!r} is a file")
    longest = longest_name(parent)
    for name in final.relative_to(parent).parts:
        size = len(os.fsencode(name))
        if size > longest:
            raise ValueError(f"output must have names of at most {longest} bytes, got one of {size}: {name[:40]!r}...")
    room = _longest_path(parent) - len(os.fsencode(final)) - len(os.fsencode(final.name)) - BYTES_INSIDE
    if room < 0:
        raise ValueError(f"output must be a shorter path, by {-room} bytes: the system would not find the files in it")
    return parent


def _longest_path(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_PATH_MAX")
    except (OSError, ValueError, AttributeError):
        return 4096


def _refusal(shown: str, error: OSError, place: Path) -> OSError:
    """Return the error that says why an output cannot be written."""
    said = _SAID.get(error.errno or 0) or (error.strerror or str(error)).lower()
    where = f" {str(place)!r}" if said.endswith("in") else ""
    kind = PermissionError if error.errno in (errno.EACCES, errno.EPERM) else OSError
    return kind(f"output {shown!r} cannot be written: {said}{where}")


def _check_file(shown: str, found: os.stat_result, overwrite: bool) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(f"output {shown!r} must be a file, but a folder is there")
    if not stat.S_ISREG(found.st_mode):
        raise FileExistsError(f"output {shown!r} must be a file, but a device, pipe or socket is there")
    if not overwrite:
        raise FileExistsError(f"output {shown!r} exists; give overwrite=True (--overwrite) to replace it")


def _check_folder(shown: str, path: Path, found: os.stat_result, overwrite: bool) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise FileExistsError(f"output {shown!r} must be a folder, but a file is there")
    if not overwrite:
        raise FileExistsError(f"output folder {shown!r} exists; give overwrite=True (--overwrite) "
                              "to replace it")
    if _lies_in(Path.cwd(), found):
        raise FileExistsError(f"output folder {shown!r} holds the working directory and cannot be replaced")
    foreign = find_foreign(path)
    if foreign:
        raise FileExistsError(f"output folder {shown!r} {foreign} and is not replaced")
    for inner in (path, *(path / name for name in walk(path).folders)):
        if not os.access(inner, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"output folder {shown!r} cannot be replaced: no permission to write in "
                                  f"{str(inner)!r}")


def _lies_in(path: Path, folder: os.stat_result) -> bool:
    """Return whether a path is a folder, or lies in it, whatever the names are by which they are called."""
    for place in (path, *path.parents):
        with suppress(OSError):
            if os.path.samestat(os.stat(place), folder):
                return True
    return False


def _check_inputs(shown: str, path: Path, found: os.stat_result, inputs: Iterable[str | os.PathLike]) -> None:
    """Check that nothing that is read would be replaced."""
    inside: set[tuple[int, int]] | None = None
    for given in inputs:
        try:
            source = os.stat(given)
        except (OSError, ValueError):
            continue  # whoever reads it will say so
        lost = _lies_in(Path(os.path.realpath(given)), found) \
            or _lies_in(Path(os.path.realpath(os.path.dirname(os.fspath(given)))), found)
        if not lost and stat.S_ISREG(source.st_mode) and source.st_nlink > 1 and stat.S_ISDIR(found.st_mode):
            # another name of a file in there
            if inside is None:
                inside = {(at.st_dev, at.st_ino) for name in walk(path).files for at in [os.lstat(path / name)]}
            lost = (source.st_dev, source.st_ino) in inside
        if lost:
            raise FileExistsError(f"input {os.fsdecode(given)!r} lies in what output {shown!r} would replace: "
                                  "give output another name")
