"""Files from outside: whole, ordinary files, no larger than what is expected of them.

A named pipe never ends to be waited for, ``/dev/zero`` never ends at all, and a header of a few bytes may ask for more
memory than there is. So every file is opened here, and what it says of its size is held against
the bytes that it has before anything is made of that size.
"""

from __future__ import annotations

import math
import os
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skygal.checks import shorten, show

__all__ = ["check_file", "check_layout", "check_texts", "check_unpacked", "open_file", "read_bytes", "read_npy",
           "read_npz", "read_text", "write_input"]

#: bytes of settings, at most
LARGEST_SETTINGS = 2**18
#: bytes of arrays that are held in memory, at most
LARGEST_ARRAYS = 2**36
#: an archive may unpack to this many bytes, or to that many times its own
LARGEST_UNPACKED, LARGEST_RATIO = 2**28, 100
#: entries along an axis of an array without values
LONGEST_EMPTY = 2**16
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # Windows has none
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))


def _named(name: str, path: str | os.PathLike) -> str:
    return f"{name} {show(os.fspath(path))}"


def _one_line(error: Exception) -> str:
    return shorten(" ".join(str(error).split()), 400)


def _check(found: os.stat_result, name: str, path: str | os.PathLike, largest: int | None) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise ValueError(f"{_named(name, path)} cannot be read: it is {kind}, not a file")
    if largest is not None and found.st_size > largest:
        raise ValueError(f"{_named(name, path)} cannot be read: it must have at most {largest} bytes, got "
                         f"{found.st_size}")


def check_file(path: str | os.PathLike, name: str, *, largest: int | None = None) -> None:
    """Check that a path leads to an ordinary file, without opening it.

    Parameters
    ----------
    path : path
        Symbolic links are followed.
    name : str
        What the file is, for messages, such as "config file".
    largest : int, optional
        Bytes that it may have.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a folder, a pipe, a socket or a device, too large, or cannot be looked at.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{_named(name, path)} does not exist") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{_named(name, path)} cannot be read: {_reason(error)}") from None
    _check(found, name, path, largest)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


@contextmanager
def open_file(path: str | os.PathLike, name: str, *, largest: int | None = None) -> Iterator[BinaryIO]:
    """Open an ordinary file for reading; see `check_file` for the parameters and what is raised."""
    # looked at before, for a device may mind being opened, and after, since the name may by then be another file's
    check_file(path, name, largest=largest)
    try:
        # a pipe is not waited for
        file = open(path, "rb", opener=lambda at, flags: os.open(at, flags | _NO_WAIT))  # noqa: SIM115
    except OSError as error:
        raise ValueError(f"{_named(name, path)} cannot be read: {_reason(error)}") from None
    with file:
        _check(os.fstat(file.fileno()), name, path, largest)
        yield file


def read_bytes(path: str | os.PathLike, name: str, *, largest: int) -> bytes:
    """Return the bytes of an ordinary file; see `check_file` for the parameters and what is raised."""
    with open_file(path, name, largest=largest) as file:
        try:
            return file.read(os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise ValueError(f"{_named(name, path)} cannot be read: {_reason(error)}") from None


def read_text(path: str | os.PathLike, name: str) -> str:
    """Return the text (UTF-8) of a file of settings; see `check_file` for the parameters and what is raised."""
    data = read_bytes(path, name, largest=LARGEST_SETTINGS)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{_named(name, path)} cannot be read: it is no text in UTF-8 ({error.reason} at byte "
                         f"{error.start})") from None


def check_layout(shape: Any, dtype: np.dtype, size: int) -> None:
    """Check that an array is of numbers or texts, and has just as many bytes as there are.

    Raises
    ------
    ValueError
        If not.
    """
    if dtype.kind not in "biufcSU" or not dtype.itemsize:
        raise ValueError(f"must hold numbers or texts, got an array of {show(dtype.str)}")
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"must have a shape of whole numbers that are not negative, got {show(shape)}")
    needed = math.prod(shape) * dtype.itemsize
    if needed != size or not needed and max(shape) > LONGEST_EMPTY:
        raise ValueError(f"declares an array of {dtype} and the shape {show(shape)}, {show(needed)} bytes, but has "
                         f"{size}")


def check_texts(values: np.ndarray) -> np.ndarray:
    """Return an array, if its texts are of characters that there are; ValueError if not."""
    if values.dtype.kind == "U" and values.size and np.ascontiguousarray(values).ravel().view(
            values.dtype.str[0] + "u4").max() > 0x10FFFF:
        raise ValueError("has texts with characters that there are not")
    return values


def _check_header(file: Any, size: int) -> None:
    """Check the header of an NPY file of ``size`` bytes, from its start on; ValueError if its array does not fit."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"must have the NPY version 1.0 or 2.0, got {version[0]}.{version[1]}")
    try:
        shape, _, dtype = readers[version](file)
    except (SyntaxError, TypeError, KeyError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"has a damaged NPY header ({type(error).__name__})") from None
    check_layout(shape, dtype, size - file.tell())


def read_npy(path: str | os.PathLike, name: str) -> np.ndarray:
    """Return the array of numbers or texts in an NPY file.

    Parameters
    ----------
    path, name
        See `check_file`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such file, or its header does not fit its bytes.
    """
    with open_file(path, name, largest=LARGEST_ARRAYS) as file:
        try:
            _check_header(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            return check_texts(np.lib.format.read_array(file, allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{_named(name, path)} cannot be read as an array: {_one_line(error)}") from None


def read_npz(path: str | os.PathLike, name: str, *, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of numbers or texts in an NPZ file.

    Parameters
    ----------
    path, name
        See `check_file`.
    only : collection of str, optional
        The arrays to read, where they are there; by default all.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such file, unpacks to more than it may, or the headers of its arrays do not fit their bytes.
    """
    with open_file(path, name) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()
                           if info.filename.endswith(".npy")}
                members = {key: info for key, info in members.items() if only is None or key in only}
                check_unpacked(members.values(), os.fstat(file.fileno()).st_size)
                return {key: _member(archive, info, key) for key, info in members.items()}
        except (ValueError, OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
                zlib.error) as error:
            raise ValueError(f"{_named(name, path)} cannot be read as an NPZ file of plain arrays: "
                             f"{_one_line(error)}") from None


def check_unpacked(members: Iterable[zipfile.ZipInfo], size: int, largest: int = LARGEST_ARRAYS) -> None:
    """Check what the members of an archive of ``size`` bytes say that they unpack to.

    Raises
    ------
    ValueError
        If it is more than ``largest``, or over 256 MiB and 100 times the archive.
    """
    total = sum(info.file_size for info in members)
    if total > max(LARGEST_UNPACKED, LARGEST_RATIO * size):
        raise ValueError(f"unpacks from {size} to {total} bytes, more than {LARGEST_RATIO} times as much")
    if total > largest:
        raise ValueError(f"unpacks to {total} bytes, more than {largest}")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str) -> np.ndarray:
    try:
        with archive.open(info) as file:
            _check_header(file, info.file_size)
        with archive.open(info) as file:
            return check_texts(np.lib.format.read_array(file, allow_pickle=False))
    except ValueError as error:
        raise ValueError(f"{show(key)} {error}") from None


def write_input(given: Any, path: Path) -> None:
    """Write a table (``.ecsv``) or an array (``.npy``) that something was made from into a new folder."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, given, allow_pickle=False)
    else:
        given.write(path, format="ascii.ecsv")
