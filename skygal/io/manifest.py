"""The list of what was written into a folder, by which it is told from what a user put or changed there."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST", "Tree", "dump_manifest", "find_foreign", "read_manifest", "remove_written", "walk"]

#: The file that lists what was written into a folder; only a folder with it is ever replaced.
MANIFEST = ".skygal"
MANIFEST_FORMAT = 2


@dataclass(frozen=True)
class Tree:
    """What lies in a folder, `MANIFEST` left out; names are relative, with ``/``.

    Attributes
    ----------
    files : dict of str to list of int
        Size in bytes and time of the last change, ns, of each file.
    folders : list of str
        Folders, an outer one before those in it.
    others : list of str
        Links, devices and the like, which skygal does not make.
    """

    files: dict[str, list[int]]
    folders: list[str]
    others: list[str]


def _entries(folder: str, before: str = "") -> Iterator[tuple[str, os.DirEntry]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = before + entry.name
        yield name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, f"{name}/")


def walk(folder: str | os.PathLike) -> Tree:
    """Return what lies in a folder; no link is followed."""
    tree = Tree({}, [], [])
    for name, entry in _entries(os.fspath(folder)):
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            tree.folders.append(name)
        elif not stat.S_ISREG(found.st_mode):
            tree.others.append(name)
        elif name != MANIFEST:
            tree.files[name] = [found.st_size, found.st_mtime_ns]
    return tree


def dump_manifest(tree: Tree) -> bytes:
    """Return the list's text. It is sealed with its own hash, against damage rather than malice."""
    content = {"files": tree.files, "folders": tree.folders}
    return json.dumps({"skygal": MANIFEST_FORMAT, "sha256": _seal(content), **content}, indent=0).encode()


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: str | os.PathLike) -> Tree | None:
    """Return what skygal wrote into a folder, None if there is no sound list of it."""
    try:
        text = _read_own(Path(folder) / MANIFEST)
        found = json.loads(text)
        content = {key: found[key] for key in ("files", "folders")}
        if found["skygal"] != MANIFEST_FORMAT or found["sha256"] != _seal(content):
            return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return Tree(dict(content["files"]), list(content["folders"]), [])


def _read_own(path: Path) -> bytes:
    # neither a link to elsewhere nor a pipe, which would hang
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise ValueError("no file")
        return file.read()


def find_foreign(folder: Path) -> str | None:
    """Return why a folder may not be replaced: what in it is not as skygal wrote it; None if all is."""
    listed, tree = read_manifest(folder), walk(folder)
    ours = listed or Tree({}, [], [])
    foreign = sorted({*tree.files, *tree.folders, *tree.others} - ours.files.keys() - set(ours.folders)
                     | set(tree.files) & set(ours.folders) | set(tree.folders) & ours.files.keys()
                     | set(tree.others))
    broken = listed is None and os.path.lexists(folder / MANIFEST)
    if foreign or broken:
        more = f"{(foreign or [MANIFEST])[0]!r}{' and more' if len(foreign) > 1 else ''}"
        why = f"; its {MANIFEST} is damaged, or not of this version" if broken else ""
        return f"holds what skygal did not write ({more}){why}"
    changed = [name for name in tree.files if tree.files[name] != ours.files[name]]
    if changed:
        more = f"{changed[0]!r}{' and more' if len(changed) > 1 else ''}"
        return f"holds what was changed since skygal wrote it ({more})"
    return None


def remove_written(folder: Path) -> bool:
    """Remove from a folder what is as skygal wrote it, and the folder if it is empty then; return whether it is gone.

    What a user has put or changed there in the meantime stays.
    """
    listed = read_manifest(folder) or Tree({}, [], [])
    try:
        tree = walk(folder)
    except OSError:
        return False
    # names come from the folder and never from the list, which may say anything
    for name in tree.files:
        if tree.files[name] == listed.files.get(name):
            with suppress(OSError):
                (folder / name).unlink()
    for name in reversed(tree.folders):
        if name in listed.folders:
            with suppress(OSError):
                (folder / name).rmdir()
    if set(os.listdir(folder)) <= {MANIFEST}:
        # the list goes last: without it, nothing tells what is left
        with suppress(OSError):
            (folder / MANIFEST).unlink()
        with suppress(OSError):
            folder.rmdir()
    return not os.path.lexists(folder)
