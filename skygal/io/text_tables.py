"""Tables of text as source finders and data challenges write them, beside those that `skygal.io.table_files` reads."""

from __future__ import annotations

import os
from collections.abc import Sequence

from astropy.io import ascii
from astropy.table import Table

from skygal.checks import shorten, show
from skygal.io.inputs import open_file, read_bytes

__all__ = ["read_text_table"]

#: bytes of a table of text at most, and those that tell what it is
LARGEST_TEXT, START = 2**32, 2**16


def read_text_table(path: str | os.PathLike, name: str, bare: Sequence[Sequence[str]] = ()) -> Table | None:
    """Return the table in a file of text whose header is a comment, has tabs, or is not there; None for other files.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What it is, for messages, such as "catalogue".
    bare : sequence of sequence of str
        Names of the columns of tables without a header: a file whose first row of numbers has as many columns as one
        of these is such a table, and lines before that row are passed over.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, or its rows do not have as many columns as its header.
    """
    with open_file(path, name) as file:
        start = file.read(START)
    layout = _layout(start, bare)
    if layout is None:
        return None
    skipped, names, delimiter = layout
    data = read_bytes(path, name, largest=LARGEST_TEXT)
    try:
        lines = data.decode("utf-8-sig").splitlines()[skipped:]
        return ascii.read(lines, format="no_header", names=names, delimiter=delimiter, guess=False)
    except Exception as error:  # readers raise whatever the format's parser does
        reason = shorten(" ".join(str(error).split()), 300)
        raise ValueError(f"{name} {show(os.fspath(path))} cannot be read: {reason}") from None


def _layout(start: bytes, bare: Sequence[Sequence[str]]) -> tuple[int, list[str], str] | None:
    """Return how many lines come before the rows, the columns' names, and what parts them."""
    if b"\0" in start or start.startswith((b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"# %ECSV")):
        return None
    text = start.decode("utf-8-sig", "ignore")
    if text.lstrip().startswith("<"):
        return None
    lines = text.splitlines()
    if len(start) == START:
        lines = lines[:-1]
    header: list[str] = []
    for k, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        names = next((names for names in bare if len(names) == len(words)), None)
        if names is not None and all(map(_is_number, words)):
            return k, list(names), " "
        if line.startswith("#"):
            delimiter = "," if "," in line else " "
            header = [word.strip() for word in line.lstrip("# ").split(None if delimiter == " " else ",")]
            continue
        if header:
            fields = line.split("," if delimiter == "," else None)
            if len(fields) == len(header) > 1 and any(map(_is_number, fields)):
                return k, header, delimiter
            header = []
        elif "\t" in line and "," not in line:
            return k + 1, [word.strip() for word in line.split("\t")], "\t"
        if k > 100:
            return None
    return None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
