"""Tables in files: FITS, ECSV, CSV and VOTable, read so that none reaches out, hangs or fills memory.

astropy's readers do more than read: a VOTable may name a URL or another file for its rows, which are fetched; the YAML
in the header of an ECSV or FITS table may build arrays that reach beyond their bytes, and unfold aliases without end.
What a file asks for is looked at here first, and astropy is handed bytes, never a name.
"""

from __future__ import annotations

import io
import math
import os
import re
import textwrap
from typing import Any
from xml.parsers import expat

import yaml
from astropy.io import ascii, fits
from astropy.io.ascii.ecsv import EcsvHeader
from astropy.table import Table

from skygal.checks import shorten, show, warn_caller
from skygal.io.config import check_nesting
from skygal.io.fits_files import FitsHdu, open_hdus
from skygal.io.inputs import LARGEST_SETTINGS, LARGEST_UNPACKED, open_file, read_bytes

__all__ = ["read_table", "table_hdu"]

#: bytes of a table of text at most
LARGEST_TEXT = 2**32
#: columns at most; FITS allows 999
MOST_COLUMNS = 10_000
#: how deep elements of a VOTable, or the YAML of a header, may lie in each other
DEEPEST = 50
#: nodes of a header's YAML, all aliases written out
MOST_NODES = 200_000
#: characters of an attribute in a VOTable
LONGEST_ATTRIBUTE = 4096
#: bytes in memory for each of a VOTable, if they are more than 256 MiB: texts of few letters have wide columns
MOST_WIDENED = 250
#: frames of positions: to others the way leads over tables of the Earth's rotation, which are fetched
TABLE_FRAMES = ("icrs", "fk4", "fk4noeterms", "fk5", "galactic", "supergalactic")
#: what the end of a file's name says that it is
_ENDINGS = (((".fits", ".fit", ".fits.gz"), ("FITS",)), ((".vot", ".xml"), ("VOTable",)), ((".ecsv",), ("ECSV",)),
            ((".csv",), ("CSV", "ECSV")))
_YAML = "tag:yaml.org,2002:"
_TAGS = {_YAML + word for word in ("null", "bool", "int", "float", "str", "seq", "map", "omap", "timestamp", "merge",
                                   "python/tuple", "python/unicode", "python/complex")}
_SIZES = {"L": 1, "X": 1 / 8, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16}


def read_table(path: str | os.PathLike, name: str, *, hdu: str | int | None = None) -> Table:
    """Return the table in a FITS, ECSV, CSV or VOTable file; its first bytes tell which.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What it is, for messages, such as "table".
    hdu : str or int, optional
        Of a FITS file, the extension's name or number; by default its first table.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such file, is damaged, takes anything from elsewhere, or asks for more memory than its rows need.

    Warns
    -----
    UserWarning
        If a FITS file has several tables and none was asked for.
    """
    shown = f"{name} {show(os.fspath(path))}"
    with open_file(path, name) as file:
        start = file.read(512)
    try:
        kind = _kind(start)
        wanted = next((kinds for endings, kinds in _ENDINGS if os.fspath(path).lower().endswith(endings)), (kind,))
        if kind not in wanted:
            raise ValueError(f"by its name it must be {' or '.join(wanted)}, by its first bytes it is none")
        if kind == "FITS":
            table = _read_fits(path, shown, hdu)
        else:
            data = read_bytes(path, name, largest=LARGEST_TEXT)
            table = _read_votable(data) if kind == "VOTable" else _read_text(data, kind)
    except FileNotFoundError:
        raise
    except Exception as error:  # readers raise whatever the format's parser does
        reason = " ".join(str(error.__cause__ or error).split())
        if not isinstance(error, (ValueError, OSError)):
            reason = f"it is damaged ({type(error).__name__}: {reason})"
        raise ValueError(reason if reason.startswith(shown) else f"{shown} cannot be read: {shorten(reason, 300)}"
                         ) from None
    for column in table.colnames:
        frame = getattr(getattr(table[column], "frame", None), "name", "icrs")
        if frame not in TABLE_FRAMES:
            raise ValueError(f"{shown} must have its positions in one of {', '.join(TABLE_FRAMES)}, "
                             f"got column {show(column)} in {show(frame)}")
    return table


def _kind(start: bytes) -> str:
    """Return the format that a file's first bytes tell."""
    if start.startswith((b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")):
        return "FITS"
    for coding in ("utf-8-sig", "utf-16"):
        text = start.decode(coding, "ignore")
        if re.match(r"\s*<(\?xml|!--|!DOCTYPE|(\w+:)?VOTABLE\b)", text):
            return "VOTable"
        if re.match(r"\s*# %ECSV", text):
            return "ECSV"
    return "CSV"


def _read_text(data: bytes, kind: str) -> Table:
    """Return a table of ECSV or CSV."""
    lines = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if kind == "ECSV":
        check_yaml(textwrap.dedent("\n".join(EcsvHeader().process_lines(lines))))
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    if "\0" in first or not first:
        raise ValueError("it is no table of text" if first else "it is empty")
    if max(first.count(","), first.count(" ")) >= MOST_COLUMNS:
        raise ValueError(f"it has more than {MOST_COLUMNS} columns")
    return ascii.read(lines, format=kind.lower(), guess=False)


def check_yaml(text: str) -> None:
    """Check the YAML in a table's header, of which astropy makes objects.

    Raises
    ------
    ValueError
        If it is too long, or nested or repeated without end, or would make more than astropy's units, times, angles and
        positions.
    """
    if len(text) > LARGEST_SETTINGS:
        raise ValueError(f"its header has more than {LARGEST_SETTINGS} characters")
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: tuple[int, ...] = ()) -> int:
        # astropy writes aliases itself, for units that are used twice
        if id(node) in above:
            raise ValueError("its YAML holds itself")
        if id(node) not in sizes:
            if node.tag not in _TAGS and not node.tag.startswith("!astropy."):
                raise ValueError(f"its YAML has a value of the kind {show(node.tag)}, which is not read")
            inner = [item for pair in node.value for item in pair] if isinstance(node, yaml.MappingNode) else (
                node.value if isinstance(node, yaml.SequenceNode) else [])
            sizes[id(node)] = 1 + sum(size(item, (*above, id(node))) for item in inner)
            if sizes[id(node)] > MOST_NODES:
                raise ValueError(f"its YAML has more than {MOST_NODES} values, aliases written out")
        return sizes[id(node)]

    try:
        check_nesting(text, DEEPEST, aliases=True)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"its header is not valid YAML: {error}") from None
    if node is not None:
        size(node)


def table_hdu(path: str | os.PathLike, shown: str, which: str | int | None = None) -> fits.BinTableHDU:
    """Return the table of a FITS file, made of the bytes of its HDU alone.

    Parameters
    ----------
    path : path
        The file.
    shown : str
        What to call it in messages.
    which : str or int, optional
        The extension's name or number; by default the first table.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it has no such table, or one that declares more than is there.
    """
    tables: list[int] = []
    raw = b""
    with open_hdus(path, shown) as (hdus, file):
        for hdu in hdus:
            if str(hdu.header.get("XTENSION", "")).strip().upper() not in ("BINTABLE", "TABLE"):
                continue
            if which is None or which == hdu.index or isinstance(which, str) and which == hdu.name.upper():
                tables.append(hdu.index)
                if len(tables) == 1:
                    file.check_pixels(hdu)
                    _check_fields(hdu)
                    file.stream.seek(hdu.body)
                    raw = hdu.text + _exactly(file.stream, hdu.size)
    if not tables:
        raise ValueError("it has no table" + ("" if which is None else f" in HDU {show(which)}"))
    if len(tables) > 1:
        warn_caller(f"{shown} has several tables, in HDU {', '.join(map(str, tables))}; the first is read")
    primary = fits.PrimaryHDU().header.tostring().encode("ascii")
    with fits.open(io.BytesIO(primary + raw + b"\0" * (-len(raw) % 2880)), memmap=False) as found:
        found[1].data  # noqa: B018  (read now, while the bytes are open)
        return found[1]


def _read_fits(path: str | os.PathLike, shown: str, which: str | int | None) -> Table:
    hdu = table_hdu(path, shown, which)
    check_yaml(_serialized(hdu.header))
    return Table.read(hdu, format="fits")


def _exactly(stream: Any, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise ValueError(f"it is truncated: its rows need {size} bytes, got {len(data)}")
    return data


def _check_fields(hdu: FitsHdu) -> None:
    """Refuse a table whose columns do not make up its rows."""
    header = hdu.header
    count, width = header.get("TFIELDS"), header["NAXIS1"] if header["NAXIS"] == 2 else None
    if width is None or type(count) is not int or not 0 <= count <= 999:
        raise ValueError(f"it must have NAXIS = 2 and TFIELDS from 0 to 999, got {show(header['NAXIS'])} and "
                         f"{show(count)}")
    total = 0
    for k in range(1, count + 1):
        form = str(header.get(f"TFORM{k}", "")).strip()
        if header["XTENSION"].strip().upper() == "TABLE":
            found = re.fullmatch(r"[AIFED](\d{1,6})(\.\d+)?", form)
            start = header.get(f"TBCOL{k}")
            fits_in = found is not None and type(start) is int and 1 <= start <= width - int(found[1]) + 1
        else:
            found = re.match(r"(\d{0,12})([LXBIJKAEDCM])", form)
            if found is None and re.match(r"\d?[PQ]", form):
                raise ValueError(f"TFORM{k} must be of one size in all rows, got {show(form)}")
            fits_in = found is not None
            if found is not None:
                total += math.ceil(int(found[1] or 1) * _SIZES[found[2]])
        if not fits_in:
            raise ValueError(f"TFORM{k} must be a format of a column within NAXIS1 = {width} bytes, got {show(form)}")
    if header["XTENSION"].strip().upper() != "TABLE" and total != width:
        raise ValueError(f"TFORM1 to TFORM{count} must make up NAXIS1 = {width} bytes, got {total}")


def _serialized(header: fits.Header) -> str:
    """Return the YAML that astropy reads from a table's comments."""
    lines: list[str] = []
    goes_on = inside = False
    for line in map(str, header.get("COMMENT", ())):
        if line.startswith("--") and line.endswith("-ASTROPY-SERIALIZED-COLUMNS--"):
            inside = "BEGIN" in line
        elif inside:
            # a backslash behind 70 characters: the line goes on
            lines[-1:] = [lines[-1] + line[:70]] if goes_on else [*lines[-1:], line[:70]]
            goes_on = len(line) == 71
    return textwrap.dedent("\n".join(lines))


def _read_votable(data: bytes) -> Table:
    """Return the table of a VOTable that holds its rows itself."""
    _Scan().check(data)
    return Table.read(io.BytesIO(data), format="votable")


class _Scan:
    """Looks through the elements of a VOTable for what would be fetched or allocated."""

    def __init__(self) -> None:
        self.depth = self.fields = 0
        self.width = self.cells = self.rows = 0

    def check(self, data: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise ValueError(f"it is no whole VOTable: {error}") from None
        # a char has four bytes in memory, and no number more than sixteen; a mask has one more
        self._table_ends()
        if self.cells > max(LARGEST_UNPACKED, MOST_WIDENED * len(data)):
            raise ValueError(f"its arraysize and nrows ask for {self.cells} bytes, {len(data)} are there")

    def _doctype(self, *_: Any) -> None:
        raise ValueError("a DOCTYPE is not read")

    def _table_ends(self) -> None:
        self.cells += self.rows * self.width
        self.rows = self.width = self.fields = 0

    def _end(self, tag: str) -> None:
        self.depth -= 1

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        attributes = {key.rpartition(":")[2]: value for key, value in attributes.items()}
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"its elements are nested deeper than {DEEPEST}")
        for key, value in attributes.items():
            if len(value) > LONGEST_ATTRIBUTE:
                raise ValueError(f"{key} of {show(tag)} has more than {LONGEST_ATTRIBUTE} characters")
        if tag in ("FITS", "PARQUET") or tag == "STREAM" and "href" in attributes:
            raise ValueError("it must hold its rows itself, got " + (
                f"a STREAM of {show(attributes['href'])}" if tag == "STREAM" else f"an element {tag}"))
        if tag == "TABLE":
            self._table_ends()
            self.rows = _whole(attributes.get("nrows", "0"), "nrows")
        elif tag == "TR":
            self.rows += 1
        elif tag in ("FIELD", "PARAM"):
            self._field(attributes)

    def _field(self, attributes: dict[str, str]) -> None:
        self.fields += 1
        if self.fields > MOST_COLUMNS:
            raise ValueError(f"it has more than {MOST_COLUMNS} columns")
        sides = attributes.get("arraysize", "1").strip()
        count = math.prod(_whole(side, "arraysize") for side in sides.removesuffix("*").removesuffix("x").split("x")
                          if side)
        if count > 10**6:
            raise ValueError(f"arraysize must be at most 10**6, got {show(sides)}")
        self.width += count * (5 if attributes.get("datatype") in ("char", "unicodeChar") else 17)


def _whole(text: str, name: str) -> int:
    if not re.fullmatch(r"\s*\d{1,15}\s*", text, re.ASCII):
        raise ValueError(f"{name} must be a whole number, got {show(text)}")
    return int(text)
