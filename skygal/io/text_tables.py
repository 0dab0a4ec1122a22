"""Tables of text as source finders and data challenges write them, beside those that `skygal.io.table_files` reads."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from astropy import units as u
from astropy.io import ascii
from astropy.table import Table

from skygal.checks import shorten, show
from skygal.io.inputs import open_file, read_bytes

__all__ = ["read_text_table"]

#: bytes of a table of text at most, and those that tell what it is
LARGEST_TEXT, START = 2**32, 2**16
_SEXTRACTOR = re.compile(r"#\s+1\s+[A-Z]\w*(\s|$)")
_NAME = re.compile(r"[A-Za-z_][\w./]*")
#: what stands between blanks, those in quotes included
_WORDS = re.compile(r'"[^"]*"|\S+')


def read_text_table(path: str | os.PathLike, name: str, bare: Sequence[Sequence[str]] = ()) -> Table | None:
    """Return the table in a file of text whose header is a comment, has tabs, or is not there; None for other files.

    Of headers of several lines units are read, as Selavy, SoFiA and VizieR write them; SExtractor has a line a column.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What it is, for messages, such as "catalogue".
    bare : sequence of sequence of str
        Names of the columns of tables without a header: a file whose first row of numbers, or of some with tabs between
        them, has as many columns as one of these is such a table, and lines before that row are passed over.

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
    data = read_bytes(path, name, largest=LARGEST_TEXT)
    try:
        table = _read(data.decode("utf-8-sig").splitlines(), layout)
        for column, unit in zip(table.colnames, layout.units, strict=False):
            known = u.Unit(unit.strip("[] "), parse_strict="silent") if unit.strip("[]- ") else None
            if known is not None and not isinstance(known, u.UnrecognizedUnit) and table[column].dtype.kind in "if":
                table[column].unit = known
        return table
    except Exception as error:  # readers raise whatever the format's parser does
        reason = shorten(" ".join(str(error).split()), 300)
        raise ValueError(f"{name} {show(os.fspath(path))} cannot be read: {reason}") from None


@dataclass(frozen=True)
class _Layout:
    """How the rows of a file are read."""

    #: lines before the first row, the columns' names, and what parts them
    skipped: int
    names: list[str]
    delimiter: str
    units: tuple[str, ...] = ()
    #: where in a line the name of each column ends, where blanks part what may be empty
    ends: tuple[int, ...] = ()
    sextractor: bool = False


def _read(lines: list[str], layout: _Layout) -> Table:
    if layout.sextractor:
        return ascii.read(lines, format="sextractor", guess=False)
    lines = [line for line in lines[layout.skipped:] if line.strip()
             and not (layout.ends and line.lstrip().startswith("#"))]
    if layout.ends:
        lines = ["\t".join(_cells(line, layout.ends)) for line in lines]
    if layout.delimiter == "\t":
        lines = ["\t".join(cell.strip() for cell in line.split("\t")) for line in lines]
    if layout.ends or layout.delimiter == "\t":
        return ascii.read(["\t".join(layout.names), *lines], format="tab", guess=False)
    return ascii.read(lines, format="no_header", names=layout.names, delimiter=layout.delimiter, guess=False)


def _cells(line: str, ends: Sequence[int]) -> list[str]:
    """Return the words of a line by columns; where some are empty, each word is in the column that ends next to it."""
    found = [(match[0].strip('"').strip(), match.end()) for match in _WORDS.finditer(line)]
    count, extra = len(ends), len(found) - len(ends)
    if extra >= 0:
        words = [word for word, _ in found]
        return [*words[:count - 1], " ".join(words[count - 1:])]
    cells, least = [""] * count, 0
    for k, (word, end) in enumerate(found):
        place = min(range(least, count - len(found) + k + 1), key=lambda m: abs(ends[m] - end))
        cells[place], least = word, place + 1
    return cells


def _layout(start: bytes, bare: Sequence[Sequence[str]]) -> _Layout | None:
    """Return how a file of these first bytes is to be read, None if it is no such table."""
    if b"\0" in start or start.startswith((b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"# %ECSV")):
        return None
    text = start.decode("utf-8-sig", "ignore")
    if text.lstrip().startswith("<"):
        return None
    lines = text.splitlines()
    if len(start) == START:
        lines = lines[:-1]
    if _SEXTRACTOR.match(text):
        return _Layout(0, [], " ", sextractor=True)
    header: list[str] = []
    for k, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        names = next((names for names in bare if len(names) == len(words)), None)
        if names is not None and all(map(_is_number, words)):
            return _Layout(k, list(names), " ")
        fields = [field.strip() for field in line.strip().split("\t")]
        names = next((names for names in bare if len(names) == len(fields)), None)
        if names is not None and not line.startswith("#") and 2 * sum(map(_is_number, fields)) > len(fields):
            return _Layout(k, list(names), "\t")
        if line.startswith("#"):
            delimiter = "," if "," in line else " "
            found = _with_units(lines, k)
            if found is not None:
                return found
            header = [word.strip() for word in line.lstrip("# ").split(None if delimiter == " " else ",")]
            continue
        if header:
            fields = line.split("," if delimiter == "," else None)
            if len(fields) == len(header) > 1 and any(map(_is_number, fields)):
                return _Layout(k, header, delimiter)
            header = []
        if "\t" in line and "," not in line:
            return _tabs(lines, k)
        if k > 100:
            return None
    return None


def _with_units(lines: list[str], k: int) -> _Layout | None:
    """Return the layout where line k has the names of columns and the next one their units, both as comments."""
    if k + 1 >= len(lines) or not lines[k + 1].startswith("#"):
        return None
    names, units = ([(match[0], match.start(), match.end()) for match in re.finditer(r"[^\s#]\S*", line)]
                    for line in lines[k:k + 2])
    words = [word for word, *_ in units]
    if len(names) < 3 or not all(_NAME.fullmatch(word) for word, *_ in names) or not (
            any(word in ("-", "--") or word.startswith("[") for word in words)):
        return None
    rows = next((m for m in range(k + 2, len(lines)) if lines[m].strip() and not lines[m].startswith("#")),
                len(lines))
    ends = tuple(end for *_, end in names)
    # a unit of two words has one end
    said = [""] * len(names)
    for word, _, end in units:
        place = min(range(len(ends)), key=lambda m: abs(ends[m] - end)) if len(units) != len(names) else said.index("")
        said[place] = (said[place] + " " + word).strip()
    return _Layout(rows, [word for word, *_ in names], " ", tuple(said), ends)


def _tabs(lines: list[str], k: int) -> _Layout:
    """Return the layout of columns that tabs part, below whose names VizieR writes units and dashes."""
    names = [word.strip() for word in lines[k].split("\t")]
    for m in (k + 1, k + 2):
        if m < len(lines) and lines[m].strip() and not lines[m].strip("-\t "):
            units = tuple(word.strip() for word in lines[m - 1].split("\t")) if m == k + 2 else ()
            return _Layout(m + 1, names, "\t", units)
    return _Layout(k + 1, names, "\t")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
