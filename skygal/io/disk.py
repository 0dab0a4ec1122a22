"""What the system is asked for around a write: safe on disk, names exchanged, access kept, what ran out."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

__all__ = ["exchange", "is_mount", "keep_access", "name_what_ran_out", "sync_file", "sync_files", "sync_folder"]

# what the system says when a disk, a quota or a file's largest size is used up, or the disk fails
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
# the same by libraries that lose the system's number
_SAID_FULL = re.compile(r"no space left|not enough space|requested and.*written|pytorchstreamwriter|inline_container",
                        re.IGNORECASE | re.DOTALL)
# a system or file system without an operation says so in one of these ways
_LACKING = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}
#: files that are synced at once: a journal takes many for the price of one
SYNCS_AT_ONCE = 8
#: bytes of a probe that finds out what ran out
PROBE_BYTES = 1 << 20

_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2
_ACCESS_LISTS = ("system.posix_acl_access", "system.posix_acl_default")


def sync_file(path: str | os.PathLike) -> None:
    """Return when a file's bytes are on disk.

    Raises
    ------
    OSError
        If they cannot be: some file systems find out only now that they are full.
    """
    try:
        # Windows syncs only what is open for writing
        opened = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        opened = os.open(path, os.O_WRONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def sync_files(paths: Sequence[Path]) -> None:
    """Return when the bytes of all of these files are on disk."""
    if len(paths) < SYNCS_AT_ONCE:
        for path in paths:
            sync_file(path)
        return
    with ThreadPoolExecutor(SYNCS_AT_ONCE) as pool:
        for _ in pool.map(sync_file, paths):
            pass


def sync_folder(path: str | os.PathLike) -> None:
    """Return when the names in a folder are on disk, where the system has a way to say so."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:
        return  # Windows, or a folder that may be written to and not read
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
    finally:
        os.close(opened)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places, so that neither is missing at any moment.

    Returns
    -------
    bool
        False, and nothing changed, where the system or the file system cannot do that.

    Raises
    ------
    OSError
        If it can and did not.
    """
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform.startswith("linux"):
            call, arguments = libc.renameat2, (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other),
                                               ctypes.c_uint(_RENAME_EXCHANGE))
        elif sys.platform == "darwin":
            call, arguments = libc.renamex_np, (os.fsencode(one), os.fsencode(other), ctypes.c_uint(_RENAME_SWAP))
        else:
            return False
    except (OSError, TypeError, AttributeError):
        return False
    if call(*arguments) == 0:
        return True
    number = ctypes.get_errno()
    # overlay file systems exchange no folder that comes from a layer below
    if number in _LACKING | {errno.EXDEV}:
        return False
    raise OSError(number, os.strerror(number), os.fspath(one), None, os.fspath(other))


def is_mount(path: Path) -> bool:
    """Return whether something is mounted at a path, which then cannot be renamed."""
    if os.path.ismount(path):
        return True
    # a folder of the same file system may be mounted too
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    places = (line.split()[4] for line in lines)
    return os.fsencode(path) in (re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), place) for place in places)


def keep_access(old: Path, new: Path) -> None:
    """Give a file or folder the owner, mode and access lists of the one that it replaces, as far as is allowed."""
    was, now = os.stat(old), os.stat(new)
    mode = stat.S_IMODE(was.st_mode)
    if hasattr(os, "chown") and (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        try:
            os.chown(new, was.st_uid, was.st_gid)
        except OSError:
            with suppress(OSError):
                os.chown(new, -1, was.st_gid)
        if os.stat(new).st_gid != was.st_gid:
            # what one group was allowed is not another's: only what everybody is
            mode &= ~(stat.S_ISGID | stat.S_IRWXG) | (mode & stat.S_IRWXO) << 3
    os.chmod(new, mode)
    if hasattr(os, "getxattr"):
        for name in _ACCESS_LISTS:
            # no list there, none here, or none on this file system
            with suppress(OSError):
                os.removexattr(new, name)
            with suppress(OSError):
                os.setxattr(new, name, os.getxattr(old, name))


def name_what_ran_out(error: BaseException, folder: Path) -> tuple[int, str] | None:
    """Return the number and the words for what ran out while a folder was written to; None if nothing did.

    Parameters
    ----------
    error : exception
        What was raised; numpy, astropy and torch lose the system's own number.
    folder : path
        What was being written, still there.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number not in _FULL:
        if not isinstance(error, (OSError, RuntimeError)) or not _SAID_FULL.search(str(error)):
            return None
        number = None
    limit = _size_limit()
    if number == errno.EFBIG or (number is None and limit is not None and limit <= _largest(folder)):
        return errno.EFBIG, f"{os.strerror(errno.EFBIG)}: " + (
            "the file system takes none of this size" if limit is None else
            f"the limit on a file's size, {limit} bytes (ulimit -f), is reached")
    if number is None:
        number = _probe(folder) or errno.ENOSPC
    said = os.strerror(number)
    if number == errno.ENOSPC and hasattr(os, "statvfs"):
        with suppress(OSError):
            left = os.statvfs(folder)
            if left.f_files and not left.f_favail:
                said += ": no inodes are left, so that no more files can be made"
            else:
                said += f": {left.f_bavail * left.f_frsize / 1e6:.1f} MB are left"
    return number, said


def _size_limit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _largest(folder: Path) -> int:
    sizes: Iterable[int] = (os.lstat(os.path.join(place, name)).st_size
                            for place, _, names in os.walk(folder) for name in names)
    try:
        return max(sizes, default=0)
    except OSError:
        return 0


def _probe(folder: Path) -> int | None:
    """Return the number of the error that a small file meets, None if none."""
    path = folder / ".probe"
    try:
        with open(path, "wb", buffering=0) as file:
            rest = memoryview(bytes(PROBE_BYTES))
            while rest:
                rest = rest[file.write(rest):]
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno
    finally:
        with suppress(OSError):
            path.unlink()
    return None
