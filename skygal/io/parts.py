"""Hidden folders to write in, which are told from those of runs that were killed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from skygal.checks import warn_caller
from skygal.io.disk import sync_folder
from skygal.io.manifest import MANIFEST, read_manifest, remove_written

__all__ = ["Part", "clear_parts", "hidden_name", "longest_name", "remove_replaced"]

#: seconds in which a library may still write into a folder that is being removed
SETTLE_SECONDS = 10.0
#: bytes that a name gets around it while it is hidden
HIDING_BYTES = len(b"..01234567.part")


class Part:
    """A hidden folder beside an output, in which the output is made.

    Its file `MANIFEST` is locked while the process lives, and says which process that is, so that another run knows
    whether somebody still writes there.

    Parameters
    ----------
    final : path
        The output; its folder exists.

    Attributes
    ----------
    path : `~pathlib.Path`
        The folder.
    aside : `~pathlib.Path`
        Where the output before goes if the two cannot change places at once.
    """

    path: Path
    aside: Path

    def __init__(self, final: Path) -> None:
        while True:
            token = secrets.token_hex(4)
            self.path = final.with_name(hidden_name(final, token, "part"))
            self.aside = final.with_name(hidden_name(final, token, "old"))
            try:
                self.path.mkdir()
                opened = os.open(self.path / MANIFEST, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            except (FileExistsError, FileNotFoundError):
                if not final.parent.is_dir():
                    raise
                continue  # another run took the empty folder for one that was left behind
            self._opened: int | None = opened
            if _lock(opened) is not False and self.is_at(self.path):
                break
            self.close()
        os.write(opened, json.dumps(_this_process()).encode())

    def is_at(self, path: Path) -> bool:
        """Return whether a folder is this one, whatever its name is now."""
        with suppress(OSError):
            if self._opened is not None:
                return os.path.samestat(os.lstat(path / MANIFEST), os.fstat(self._opened))
        return False

    def seal(self, listing: bytes) -> None:
        """Put the list of what was written in place of the process; return when it is on disk."""
        assert self._opened is not None
        os.lseek(self._opened, 0, os.SEEK_SET)
        os.truncate(self._opened, 0)
        rest = memoryview(listing)
        while rest:
            rest = rest[os.write(self._opened, rest):]
        os.fsync(self._opened)
        if os.name == "nt":
            self.close()  # Windows renames no folder with an open file

    def close(self) -> None:
        """Let go of the folder."""
        opened, self._opened = self._opened, None
        if opened is not None:
            os.close(opened)

    def remove(self) -> None:
        """Remove the folder with all that was written in it."""
        self.close()
        _remove(self.path)


def hidden_name(final: Path, token: str, kind: str) -> str:
    """Return the name that an output has while it is not in place, no longer than the file system allows."""
    name = final.name
    room = longest_name(final.parent) - HIDING_BYTES
    if len(os.fsencode(name)) > room:
        mark = "~" + hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
        while len(os.fsencode(name)) > room - len(mark):
            name = name[:-1]
        name += mark
    return f".{name}.{token}.{kind}"


def longest_name(folder: Path) -> int:
    """Return how many bytes a name in a folder may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def _lock(opened: int) -> bool | None:
    """Lock an open file for as long as it is open; None if the system or the file system cannot."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _started(process: int) -> str:
    """Return when a process was started, in the system's own count; "" where that is not told."""
    # the name, in parentheses, may hold blanks
    return next(iter(_first_line(f"/proc/{process}/stat").rpartition(")")[2].split()[19:20]), "")


def _this_process() -> dict[str, Any]:
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:12]
    return {"host": host, "boot": _first_line("/proc/sys/kernel/random/boot_id"), "process": os.getpid(),
            "started": _started(os.getpid())}


def _is_left_behind(part: Path) -> bool | None:
    """Return whether nobody writes into a hidden folder any more; None if that cannot be known."""
    try:
        opened = os.open(part / MANIFEST, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with open(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        locked = _lock(opened)
        try:
            found = json.loads(file.read())
            host, boot, process, started = (found[key] for key in ("host", "boot", "process", "started"))
        except (ValueError, KeyError, TypeError):
            # the list of a whole output, or of one that was being sealed
            return locked
    here = _this_process()
    if host != here["host"]:
        return None  # some file systems keep locks to one machine
    if locked is not None:
        return locked
    if os.name == "nt" or not isinstance(process, int):
        return None
    if boot != here["boot"]:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return started != _started(process)


def _remove(path: Path) -> None:
    """Remove a hidden folder, its `MANIFEST` last, by which the next run knows it if this one is killed now."""
    end = time.monotonic() + SETTLE_SECONDS
    while os.path.lexists(path):
        with suppress(OSError):
            for entry in list(os.scandir(path)):
                if entry.name == MANIFEST:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)
        with suppress(OSError):
            if os.listdir(path) == [MANIFEST]:
                (path / MANIFEST).unlink()
            path.rmdir()
        if time.monotonic() > end:
            return
        if os.path.lexists(path):
            time.sleep(0.05)


def clear_parts(final: Path) -> None:
    """Put right what runs that were killed have left of an output, and warn of what cannot be.

    What they were writing is removed. An output that one of them was replacing gets its name back. What a run that
    goes on is writing is left alone.

    Parameters
    ----------
    final : path
        The output.

    Warns
    -----
    UserWarning
        If an output was given back its name, or something is left that cannot be told from the work of a run that
        goes on, or from a user's.
    """
    before = re.escape(hidden_name(final, "", "")[:-1])
    pattern = re.compile(rf"{before}([0-9a-f]{{8}})\.(part|old)", re.DOTALL)
    try:
        tokens = {match[1] for name in os.listdir(final.parent) if (match := pattern.fullmatch(name))}
    except OSError:
        return
    for token in sorted(tokens):
        part, aside = (final.with_name(hidden_name(final, token, kind)) for kind in ("part", "old"))
        if part.is_dir() and not part.is_symlink():
            with suppress(OSError):
                part.rmdir()  # killed before it wrote anything
        if os.path.lexists(part):
            left = None if part.is_symlink() else _is_left_behind(part)
            if left is False:
                continue
            if left is None and os.path.lexists(part):
                warn_caller(f"{str(part)!r} is left from a run that was killed, or of one that goes on elsewhere: "
                            "remove it if none does")
            if left is None:
                continue
        if aside.is_dir() and not aside.is_symlink():
            _settle(aside, final)
        if not os.path.lexists(part):
            continue
        if read_manifest(part) is not None:
            # a whole output: the one before, which its successor has changed places with, or one that never took it
            remove_replaced(part)
            continue
        _remove(part)
        if os.path.lexists(part):
            warn_caller(f"{str(part)!r} is left from a run that was killed, and cannot be removed")


def _settle(aside: Path, final: Path) -> None:
    """Give an output that was being replaced its name back, or remove it if its successor is in place."""
    if os.path.lexists(final):
        remove_replaced(aside)
        return
    os.rename(aside, final)
    sync_folder(final.parent)
    warn_caller(f"output {str(final)!r} was being replaced by a run that was killed: the one before is back")


def remove_replaced(hidden: Path) -> None:
    """Remove an output that was replaced; what a user put or changed there in the last moment is kept and told."""
    if not remove_written(hidden):
        warn_caller(f"what was replaced holds what skygal did not write, and is kept as {str(hidden)!r}")
