"""Region files of DS9 and CASA (CRTF) as catalogues: places, sizes and labels, and no fluxes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle
from astropy.wcs import WCS

from skygal.checks import show
from skygal.io.inputs import read_bytes
from skygal.scoring.shapes import ellipse_on_sky, frame_to_icrs, longer_first
from skygal.wcs import pixel_to_icrs

__all__ = ["is_region_file", "read_regions"]

#: bytes of a region file at most, those that tell one, and characters of a line
LARGEST, START, LONGEST = 2**30, 4096, 100_000
FRAMES = {"icrs": "icrs", "fk5": "fk5", "j2000": "fk5", "fk4": "fk4", "b1950": "fk4", "galactic": "galactic",
          "image": "image", "physical": "image"}
_SHAPES = ("point", "circle", "ellipse", "box", "polygon", "symbol", "centerbox", "rotbox", "poly")
_DS9_LINE = re.compile(r"([+-]?)\s*([a-z]+)\s*[( ]\s*([^)#]*?)\s*\)?\s*(?:\|\|)?\s*(?:#(.*))?$", re.I)
_CRTF_LINE = re.compile(r"(ann\s+|[+-])?\s*([a-z]+)\s*(\[.*\])\s*(?:,(.*))?$", re.I)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_UNITS = {'"': 1 / 3600, "'": 1 / 60, "d": 1.0, "r": 180 / np.pi, "deg": 1.0, "arcsec": 1 / 3600, "arcmin": 1 / 60,
          "rad": 180 / np.pi}
_PIXELS = ("p", "i", "pix")
#: labels of PyBDSF, whose ellipses have full axes where DS9 has half of them
_PYBDSF = re.compile(r".*_i\d+_s\d+(?:_g\d+)?")


@dataclass
class _Rows:
    """What has been read: a list a quantity."""

    frame: list[str] = field(default_factory=list)
    numbers: list[tuple[float, ...]] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    tag: list[str] = field(default_factory=list)
    dropped: Counter = field(default_factory=Counter)
    row: list[int] = field(default_factory=list)
    #: regions so far, those that are left out too
    seen: int = 0

    def add(self, frame: str, numbers: tuple[float, ...], label: str, tag: str) -> None:
        """Add x, y (deg or pixels), both axes, and the angle of the first (deg) by the frame's own way of counting."""
        self.frame.append(frame)
        self.numbers.append(numbers)
        self.label.append(label)
        self.tag.append(tag)
        self.row.append(self.seen - 1)


def is_region_file(path: Path, start: bytes) -> bool:
    """Return whether a file with these first bytes holds regions."""
    text = start[:START].decode("utf-8", "ignore").lstrip("\ufeff \n\r\t").lower()
    return path.suffix.lower() in (".reg", ".ds9", ".crtf") or text.startswith(("#crtf", "# region file format"))


def read_regions(path: Path, name: str, wcs: WCS | None) -> tuple[str, dict[str, np.ndarray], dict[str, str],
                                                                  dict[str, int]]:
    """Return the format, columns, what they were read from, and why regions are left out.

    Parameters
    ----------
    path : path
    name : str
        What it is, for messages.
    wcs : `~astropy.wcs.WCS` or None
        For regions in pixels.

    Returns
    -------
    format : str
    columns : dict of str to ndarray
        row, ra, dec (ICRS, deg), b_maj, b_min (arcsec, full axes), pa (deg), label and id.
    units, dropped : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line cannot be understood, or is in pixels and ``wcs`` is None.
    """
    shown = f"{name} {show(str(path))}"
    try:
        text = read_bytes(path, name, largest=LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{shown} cannot be read: it is no text in UTF-8") from None
    crtf = path.suffix.lower() == ".crtf" or text.lstrip().lower().startswith("#crtf")
    rows = _Rows()
    for number, line in _lines(text, crtf):
        try:
            if len(line) > LONGEST:
                raise ValueError(f"more than {LONGEST} characters")
            (_read_crtf if crtf else _read_ds9)(line, rows)
        except ValueError as error:
            raise ValueError(f"{shown} line {number} cannot be read: {error}, got {show(line)}") from None
    if wcs is None and "image" in rows.frame:
        raise ValueError(f"wcs must be given where regions are in pixels, as in {shown}, got None")
    full = not crtf and bool(rows.label) and all(_PYBDSF.fullmatch(label) for label in rows.label)
    columns = _on_sky(rows, wcs, crtf, 1.0 if full else 2.0)
    sizes = "full axes of ellipses, as PyBDSF writes them" if full else "twice the radii of circles and ellipses"
    units = {"ra": "centre", "dec": "centre", "b_maj": sizes, "b_min": sizes, "pa": "angle of ellipses",
             **({"id": "label"} if crtf else {"id": "text", "label": "tag"})}
    return "CRTF regions" if crtf else "DS9 regions", columns, units, dict(rows.dropped)


def _lines(text: str, crtf: bool) -> Iterator[tuple[int, str]]:
    """Yield the statements and the lines on which they are; DS9 parts some by semicolons."""
    frame, shared = "image", ""
    for number, line in enumerate(text.splitlines(), 1):
        if crtf:
            if line.strip().lower().startswith("global"):
                shared = line.strip()[6:].strip()
            elif line.strip() and not line.lstrip().startswith("#"):
                # what a line says itself counts before what is said of all
                yield number, f"{line.strip()}{', ' if shared else ''}{shared}"
            continue
        before, mark, words = line.partition("#")
        parts = before.split(";")
        for k, part in enumerate(parts):
            word = part.strip().lower()
            if word in FRAMES:
                frame = FRAMES[word]
            elif word and not word.startswith("global"):
                yield number, f"{frame} {part.strip()} {mark + words if k == len(parts) - 1 else ''}".strip()


def _read_ds9(line: str, rows: _Rows) -> None:
    frame, _, rest = line.partition(" ")
    match = _DS9_LINE.fullmatch(rest)
    if match is None:
        raise ValueError(f"it must be a frame ({', '.join(FRAMES)}), or a shape and its numbers in brackets")
    sign, shape, inside, words = match[1], match[2].lower(), match[3], match[4] or ""
    rows.seen += 1
    if sign == "-":
        rows.dropped["excluded regions"] += 1
        return
    if shape not in _SHAPES:
        rows.dropped[f"of the shape {shape}"] += 1
        return
    values = [word for word in re.split(r"[\s,]+", inside) if word]
    label = re.search(r"text=(?:\{([^}]*)\}|\"([^\"]*)\"|'([^']*)')", words)
    tag = re.search(r"tag=(?:\{([^}]*)\}|\"([^\"]*)\"|'([^']*)')", words)
    said = [next((part for part in found.groups() if part is not None), "") if found else "" for found in (label, tag)]
    if shape == "polygon":
        corners = [_place(value, frame, hours=k % 2 == 0) for k, value in enumerate(values)]
        rows.add(frame, (*_middle(corners, frame), np.nan, np.nan, np.nan), *said)
        return
    count = len(values)
    sizes = [_size(value, frame) for value in values[2:4]] if shape in ("circle", "ellipse") else []
    shaped = (np.nan, np.nan, np.nan)
    if shape == "circle" and count == 3:
        shaped = (sizes[0], sizes[0], 0.0)
    elif shape == "ellipse" and count in (4, 5):
        shaped = (sizes[0], sizes[1], _angle(values[4]) if count == 5 else 0.0)
    elif shape == "point" and count >= 2 or shape == "box" and count in (4, 5):
        pass
    elif shape in ("ellipse", "box") and count > 5:
        rows.dropped["rings"] += 1
        return
    else:
        raise ValueError(f"{shape} must have as many numbers as DS9 gives it")
    x, y = (_place(value, frame, hours=k == 0) for k, value in enumerate(values[:2]))
    rows.add(frame, (x, y, *shaped), *said)


def _read_crtf(line: str, rows: _Rows) -> None:
    match = _CRTF_LINE.fullmatch(line.strip())
    if match is None:
        raise ValueError("it must be a shape and its numbers in square brackets")
    mark, shape, inside, words = (match[1] or "").strip(), match[2].lower(), match[3], match[4] or ""
    rows.seen += 1
    if mark == "-":
        rows.dropped["excluded regions"] += 1
        return
    if mark == "ann" or shape not in _SHAPES:
        rows.dropped["annotations" if mark == "ann" else f"of the shape {shape}"] += 1
        return
    keys: dict[str, str] = {}
    for key, *quoted in re.findall(r"(\w+)\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|\[([^\]]*)\]|([^,\s]+))", words):
        keys.setdefault(key.lower(), next((part for part in quoted if part), ""))
    frame = FRAMES.get(keys.get("coord", "j2000").lower())
    if frame is None:
        raise ValueError(f"coord must be one of {', '.join(FRAMES)}")
    values = [word for word in re.split(r"[\s,\[\]]+", inside) if word]
    if shape == "symbol":
        values = values[:2]
    if len(values) > 1 and all(re.fullmatch(_NUMBER + "pix", word) for word in values[:2]):
        frame = "image"
    if shape in ("poly", "box"):
        corners = [_place(value, frame, hours=k % 2 == 0, dots=True) for k, value in enumerate(values)]
        place = _middle(corners, frame) if shape == "poly" else tuple(
            (corners[k] + corners[k + 2]) / 2 for k in (0, 1)) if len(corners) == 4 else ()
        if not place:
            raise ValueError("a box must have two corners")
        rows.add(frame, (*place, np.nan, np.nan, np.nan), keys.get("label", ""), "")
        return
    count = {"symbol": (2,), "circle": (3,), "ellipse": (5,), "centerbox": (4,), "rotbox": (5,)}.get(shape, (0,))
    if len(values) not in count:
        raise ValueError(f"{shape} must have {count[0]} numbers")
    x, y = (_place(value, frame, hours=k == 0, dots=True) for k, value in enumerate(values[:2]))
    shaped = (np.nan, np.nan, np.nan)
    if shape == "circle":
        shaped = (_size(values[2], frame), _size(values[2], frame), 0.0)
    elif shape == "ellipse":
        shaped = (_size(values[2], frame), _size(values[3], frame), _angle(values[4]))
    rows.add(frame, (x, y, *shaped), keys.get("label", ""), "")


def _place(word: str, frame: str, *, hours: bool, dots: bool = False) -> float:
    """Return degrees, or 0-based pixels, of a coordinate."""
    match = re.fullmatch(rf"({_NUMBER})(deg|rad|pix|[drpi])?", word, re.I)
    if match is not None:
        unit = (match[2] or "").lower()
        if frame == "image" or unit in _PIXELS:
            if frame != "image" or unit not in ("", *_PIXELS):
                raise ValueError("places must be in pixels, or on the sky")
            # DS9 counts from 1, CASA from 0
            return float(match[1]) - (0 if dots else 1)
        return float(match[1]) * _UNITS[unit or "d"]
    if frame == "image":
        raise ValueError("places must be in pixels")
    if dots and re.fullmatch(r"[+-]?\d+\.\d+\.\d+(?:\.\d*)?", word):
        first, second, rest = word.split(".", 2)
        word, hours = f"{first}d{second}m{rest}s", False
    try:
        return Angle(word, u.hourangle if hours and frame != "galactic" else u.deg).deg
    except (ValueError, u.UnitsError):
        raise ValueError(f"a place must be in degrees, or such as 12:34:56.7, got {show(word)}") from None


def _size(word: str, frame: str) -> float:
    """Return a radius: arcsec, or pixels in frames of pixels."""
    match = re.fullmatch(rf"({_NUMBER})(deg|arcsec|arcmin|rad|pix|[\"'drpi])?", word, re.I)
    unit = "" if match is None else (match[2] or "").lower()
    if match is None or (frame == "image") != (unit in ("", *_PIXELS) and frame == "image") or (
            frame != "image" and unit in _PIXELS):
        raise ValueError(f"a radius must be a number with a unit as its place has, got {show(word)}")
    return float(match[1]) if frame == "image" else 3600 * float(match[1]) * _UNITS[unit or "d"]


def _angle(word: str) -> float:
    match = re.fullmatch(rf"({_NUMBER})(deg|rad|[dr])?", word, re.I)
    if match is None:
        raise ValueError(f"an angle must be in degrees, got {show(word)}")
    return float(match[1]) * _UNITS[(match[2] or "d").lower()]


def _middle(corners: list[float], frame: str) -> tuple[float, float]:
    """Return the centre of area of a polygon, flat as it is small."""
    x, y = np.array(corners[::2]), np.array(corners[1::2])
    if len(corners) < 6 or len(corners) % 2:
        raise ValueError("a polygon must have three corners or more")
    x0, y0 = x[0], y[0]
    dx = x - x0 if frame == "image" else (x - x0 + 180) % 360 - 180
    dy = y - y0
    cross = dx * np.roll(dy, -1) - np.roll(dx, -1) * dy
    if np.sum(cross) == 0:
        return float(x0 + dx.mean()), float(y0 + dy.mean())
    return (float(x0 + np.sum((dx + np.roll(dx, -1)) * cross) / (3 * np.sum(cross))),
            float(y0 + np.sum((dy + np.roll(dy, -1)) * cross) / (3 * np.sum(cross))))


def _on_sky(rows: _Rows, wcs: WCS | None, crtf: bool, axes: float) -> dict[str, np.ndarray]:
    """Return the columns; radii times ``axes`` are full axes."""
    x, y, first, second, angle = np.array(rows.numbers, float).reshape(-1, 5).T
    out: dict[str, Any] = {name: np.full(len(x), np.nan) for name in ("ra", "dec", "b_maj", "b_min", "pa")}
    frames = np.array(rows.frame, dtype=str)
    for frame in set(rows.frame):
        here = frames == frame
        a, b = axes * first[here], axes * second[here]
        if frame == "image":
            assert wcs is not None
            out["ra"][here], out["dec"][here] = pixel_to_icrs(wcs, x[here], y[here])
            # in CRTF from the axis of rows, on which a first radius lies at angle 0
            shape = ellipse_on_sky(wcs, x[here], y[here], a, b, angle[here] + (90 if crtf else 0))
        else:
            out["ra"][here], out["dec"][here], turn = frame_to_icrs(x[here], y[here], frame)
            # in DS9 from the axis of longitude, in CRTF from that of latitude
            shape = (a, b, angle[here] - (0 if crtf else 90) + turn)
        for name, values in zip(("b_maj", "b_min", "pa"), shape, strict=True):
            out[name][here] = values
    out["b_maj"], out["b_min"], out["pa"] = longer_first(out["b_maj"], out["b_min"], out["pa"])
    return {**out, "row": np.array(rows.row, int), "id": np.array(rows.label, dtype=str),
            "label": np.array(rows.tag, dtype=str)}
