"""FITS files from anywhere: what they declare is checked before anything is allocated.

Headers are read here block by block, and pixels from where the headers say they are; astropy is shown what is sound:
cards without bytes that FITS does not allow, and tables of compressed tiles that are all there.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits

from skygal.checks import nearest_names, show, show_fields
from skygal.io.cards import Cards

__all__ = ["FitsHdu", "choose_image", "open_hdus", "read_first", "read_pixels"]

FITS_BLOCK, FITS_CARD = 2880, 80
#: blocks of one header at most: 100 MB
LONGEST_HEADER = 36_000
#: axes at most, those of NumPy before its second version
MOST_AXES = 32
#: pixels at most of a header that stands alone, without any
MOST_BARE_PIXELS = 2**32
#: deflate makes no data smaller than by this factor
DEFLATE_RATIO = 1032
#: first bytes of compressed files, what opens them, and by how much they may shrink data
_PACKED: tuple[tuple[bytes, Any, float], ...] = ((b"\x1f\x8b", gzip.open, DEFLATE_RATIO), (b"BZh", bz2.open, math.inf),
                                                 (b"\xfd7zXZ\x00", lzma.open, math.inf))
_BYTES = {8: 1, 16: 2, 32: 4, 64: 8, -32: 4, -64: 8}


@dataclass(frozen=True, eq=False)
class FitsHdu:
    """An HDU that has been found in a file: its header, and where its data lie.

    Attributes
    ----------
    index : int
        0 for the primary one.
    name : str
        EXTNAME, empty if it has none.
    header : `~astropy.io.fits.Header`
        As stored, bytes that FITS does not allow replaced.
    text : bytes
        The same, whole blocks.
    body, size : int
        Where its data begin in the (uncompressed) file, and how many bytes they are by the header.
    shape : tuple of int
        The image's, slowest axis first.
    is_packed : bool
        Whether it is a table of compressed tiles.
    is_image : bool
        Whether it is an image of two axes or more, compressed by tiles or not.
    """

    index: int
    name: str
    header: fits.Header
    text: bytes
    body: int
    size: int
    shape: tuple[int, ...]
    is_packed: bool
    is_image: bool

    __repr__ = show_fields

    def image_header(self) -> fits.Header:
        """Return the header with the image's own BITPIX and NAXIS, whether it is compressed or not."""
        header = self.header.copy()
        if self.is_packed:
            for k, length in enumerate(self.shape[::-1], 1):
                header[f"NAXIS{k}"] = length
            header["NAXIS"], header["BITPIX"] = len(self.shape), self.header["ZBITPIX"]
        return header


@contextmanager
def open_hdus(path: str | os.PathLike, name: str) -> Iterator[tuple[Iterator[FitsHdu], OpenFits]]:
    """Open a FITS file, compressed as a whole (gzip, bzip2, xz) or not, for the HDUs in it to be read one by one.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What to call it in messages: ``"image 'a.fits'"``.

    Yields
    ------
    hdus : iterator of FitsHdu
        Raises ValueError where a header is not sound.
    file : OpenFits
        For `read_pixels`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no regular file (a pipe or a device would never end), or no FITS file.
    """
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{name} does not exist") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(f"{name} is not a FITS file, but {_kind(state.st_mode)}")
    try:
        with open(path, "rb") as plain:
            start = plain.read(8)
            opener, shrink = next(((opener, shrink) for magic, opener, shrink in _PACKED if start.startswith(magic)),
                                  (None, 1.0))
            stream: Any = plain if opener is None else opener(path, "rb")
            with stream:
                file = OpenFits(stream, name, state.st_size, opener is not None, shrink)
                yield file.scan(), file
    except (OSError, EOFError, lzma.LZMAError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"),
             (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket"))
    return next((word for is_kind, word in kinds if is_kind(mode)), "something else")


@dataclass(frozen=True)
class OpenFits:
    """A FITS file that is open: ``stream`` gives its bytes, uncompressed; ``length`` is its size on disk."""

    stream: BinaryIO
    name: str
    length: int
    packed: bool
    shrink: float

    def scan(self) -> Iterator[FitsHdu]:
        """Yield the HDUs in their order; what follows the last sound one is left out."""
        offset = index = 0
        while True:
            self.stream.seek(offset)
            text = self._read_header(index)
            if text is None:
                return
            found = _inspect(text, index, offset + len(text), f"{self.name}, HDU {index}")
            yield found
            offset = found.body + -(-found.size // FITS_BLOCK) * FITS_BLOCK
            index += 1

    def _read_header(self, index: int) -> bytes | None:
        """Return the blocks of the header that begins here, cleaned; None if there is none."""
        text = bytearray()
        for _ in range(LONGEST_HEADER):
            block = self.stream.read(FITS_BLOCK)
            if not text and not block.startswith(b"XTENSION=" if index else b"SIMPLE  ="):
                if index:
                    return None
                raise ValueError(f"{self.name} is not a FITS file: it does not begin with SIMPLE")
            text += _clean(block.ljust(FITS_BLOCK))
            if any(text[k:k + 8] == b"END     " for k in range(len(text) - FITS_BLOCK, len(text), FITS_CARD)):
                return bytes(text)
            if len(block) < FITS_BLOCK:
                break
        raise ValueError(f"{self.name}, HDU {index}, is not FITS: its header has no END card")

    def check_pixels(self, hdu: FitsHdu, *, bare: bool = False) -> None:
        """Refuse an HDU that declares more data than are in the file.

        Parameters
        ----------
        hdu : FitsHdu
            From `scan`.
        bare : bool
            Whether a header without any data will do, up to 2**32 pixels.

        Raises
        ------
        ValueError
            Naming the cards.
        """
        there = self.length * self.shrink if self.packed else max(self.length - hdu.body, 0)
        alone = bare and math.prod(hdu.shape) <= MOST_BARE_PIXELS and (self.packed or there == 0)
        if hdu.size > there and not alone:
            raise ValueError(f"{self.name}, HDU {hdu.index}, is truncated: {_declared(hdu)} need {hdu.size:g} bytes, "
                             f"got {there:g}")
        pixels = math.prod(hdu.shape) * _BYTES[hdu.header["ZBITPIX" if hdu.is_packed else "BITPIX"]]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
        if not bare and pixels > memory:
            raise ValueError(f"{self.name}, HDU {hdu.index}, does not fit into memory: {_declared(hdu)} need "
                             f"{pixels / 2**30:.4g} GiB, this machine has {memory / 2**30:.4g} GiB")


def _declared(hdu: FitsHdu) -> str:
    prefix = "ZNAXIS" if hdu.is_packed else "NAXIS"
    return ", ".join(f"{prefix}{k} = {length}" for k, length in enumerate(hdu.shape[::-1], 1))


def _clean(block: bytes) -> bytes:
    # a newline, tab or NUL stands for nothing: what is left is read, or refused as a card that cannot be
    return re.sub(rb"[^\x20-\x7e]", b"?", re.sub(rb"[\x00-\x1f\x7f]", b" ", block))


def _inspect(text: bytes, index: int, body: int, name: str) -> FitsHdu:
    """Return the HDU that a header declares."""
    header = fits.Header.fromstring(text)
    cards = Cards(header)
    try:
        if index == 0 and cards.value("SIMPLE") is not True:
            raise cards.refusal("SIMPLE", "T")
        shape = _shape(cards, "")
        kind = cards.text("XTENSION").upper() if index else ""
        if index == 0 and cards.value("GROUPS") is True and shape and shape[-1] == 0:
            raise ValueError("GROUPS must not be T: random groups are no image, got T")
        extra = cards.whole("PCOUNT", 0) or 0 if index else 0
        groups = cards.whole("GCOUNT", 1, least=0) if index else 1
        assert groups is not None
        size = _BYTES[header["BITPIX"]] * groups * (extra + math.prod(shape)) if shape else 0
        packed = kind in ("BINTABLE", "A3DTABLE") and cards.value("ZIMAGE") is True
        if packed:
            _check_tiles(cards, rows=shape[0])
            shape = _shape(cards, "Z")
    except ValueError as error:
        raise ValueError(f"{name}, cannot be used: {error}") from None
    image = (index == 0 or packed or kind in ("IMAGE", "IUEIMAGE")) and len(shape) >= 2 and 0 not in shape
    try:
        label = cards.text("EXTNAME")
    except ValueError:
        label = ""
    return FitsHdu(index, label, header, text, body, size, shape, packed, image)


def _shape(cards: Cards, prefix: str) -> tuple[int, ...]:
    """Return the shape that a header declares, slowest axis first."""
    if cards.value(f"{prefix}BITPIX") not in _BYTES or isinstance(cards.value(f"{prefix}BITPIX"), (bool, float)):
        raise cards.refusal(f"{prefix}BITPIX", "one of 8, 16, 32, 64, -32, -64")
    axes = cards.whole(f"{prefix}NAXIS", most=MOST_AXES)
    if axes is None:
        raise cards.refusal(f"{prefix}NAXIS", f"a whole number from 0 to {MOST_AXES}")
    sides = [cards.whole(f"{prefix}NAXIS{k}") for k in range(1, axes + 1)]
    for k, side in enumerate(sides, 1):
        if side is None:
            raise cards.refusal(f"{prefix}NAXIS{k}", f"given, since {prefix}NAXIS = {axes}")
    return tuple(side for side in sides[::-1] if side is not None)


def _check_tiles(cards: Cards, rows: int) -> None:
    """Refuse a compressed image whose tiles do not make up what it declares."""
    shape = _shape(cards, "Z")
    tiles = 1
    for k, side in enumerate(shape[::-1], 1):
        tile = cards.whole(f"ZTILE{k}", side if k == 1 else 1, least=1)
        assert tile is not None
        tiles *= -(-side // tile)
    if tiles != rows:
        declared = ", ".join(f"ZNAXIS{k} = {side}" for k, side in enumerate(shape[::-1], 1))
        raise ValueError(f"NAXIS2 must be the number of tiles, {tiles} for {declared}, got {rows}")


def choose_image(hdus: Iterator[FitsHdu], hdu: int | str | None, name: str) -> FitsHdu:
    """Return the HDU that was asked for, or the one that holds the image.

    Parameters
    ----------
    hdus : iterator of FitsHdu
        Of one file; looked at as far as needed.
    hdu : int, str or None
        Its number or its EXTNAME; by default the first, or where that is empty, the only image after it.
    name : str
        The file, for messages.

    Raises
    ------
    ValueError
        If there is no such HDU, it holds no image, or several do and none was asked for.
    """
    found = []
    for one in hdus:
        found.append(one)
        if one.is_image and (hdu == one.index or (hdu is None and one.index == 0)):
            return one
    images = [one for one in found if one.is_image]
    hint = f"; images are in HDU {', '.join(map(_called, images))}" if images else ""
    if hdu is None:
        if len(images) == 1:
            return images[0]
        if images:
            raise ValueError(f"hdu must be given, since {name} holds several images, in HDU "
                             f"{', '.join(map(_called, images))}")
        raise ValueError(f"{name}, HDU 0, holds no image{_empty(found[0])}")
    if isinstance(hdu, str):
        chosen = [one for one in found if one.name.upper() == hdu.strip().upper()]
        if len(chosen) != 1:
            names = [one.name for one in found if one.name]
            many = "not there" if not chosen else f"that of {len(chosen)} HDUs: give the number"
            raise ValueError(f"hdu must be a number or an EXTNAME in {name}, got {show(hdu)}, which is {many}"
                             f"{nearest_names(hdu, names) if not chosen else ''}{hint}")
    else:
        chosen = [one for one in found if one.index == hdu]
        if not chosen:
            raise ValueError(f"hdu must be from 0 to {len(found) - 1} in {name}, got {hdu}")
    if not chosen[0].is_image:
        raise ValueError(f"{name}, HDU {chosen[0].index}, holds no image{hint or _empty(chosen[0])}")
    return chosen[0]


def _empty(hdu: FitsHdu) -> str:
    sides = [f"NAXIS{k} = 0" for k, side in enumerate(hdu.shape[::-1], 1) if side == 0]
    return f": {sides[0] if sides else f'NAXIS = {len(hdu.shape)}'}"


def _called(hdu: FitsHdu) -> str:
    return f"{hdu.index} ({hdu.name!r})" if hdu.name else str(hdu.index)


def read_pixels(file: OpenFits, hdu: FitsHdu) -> np.ndarray:
    """Return an image's pixels, BSCALE and BZERO applied, as native floats; NaN where they are BLANK.

    Raises
    ------
    ValueError
        If not all of the data are there, or they cannot be read.
    """
    file.check_pixels(hdu)
    raw = bytearray(hdu.size)
    view = memoryview(raw)
    filled = 0
    file.stream.seek(hdu.body)
    while filled < hdu.size and (count := file.stream.readinto(view[filled:])):  # type: ignore[attr-defined]
        filled += count
    if filled < hdu.size:
        raise ValueError(f"{file.name}, HDU {hdu.index}, is truncated: {_declared(hdu)} need {hdu.size} bytes, "
                         f"got {filled}")
    if hdu.is_packed:
        return _unpack(bytes(raw), hdu, f"{file.name}, HDU {hdu.index}")
    cards = Cards(hdu.header)
    try:
        scale, zero, blank = cards.number("BSCALE", 1.0), cards.number("BZERO", 0.0), cards.value("BLANK")
        if hdu.header["BITPIX"] > 0:
            blank = cards.whole("BLANK", least=-2**63)
    except ValueError as error:
        raise ValueError(f"{file.name}, HDU {hdu.index}, cannot be used: {error}") from None
    kind = f"{'f' if hdu.header['BITPIX'] < 0 else 'u' if hdu.header['BITPIX'] == 8 else 'i'}" \
           f"{_BYTES[hdu.header['BITPIX']]}"
    stored = np.frombuffer(raw, f">{kind}").reshape(hdu.shape)
    if kind[0] == "f":
        pixels = stored if sys.byteorder == "big" else stored.byteswap(inplace=True).view(kind)
    else:
        pixels = stored.astype(np.float32 if kind[1] in "12" else np.float64)
        if blank is not None:
            pixels[stored == blank] = np.nan
    if (scale, zero) != (1.0, 0.0):
        pixels *= scale
        pixels += zero
    return pixels


def read_first(path: str | os.PathLike, name: str) -> tuple[np.ndarray, fits.Header]:
    """Return the pixels and the header of the first image in a FITS file.

    Parameters
    ----------
    path : path
        The file.
    name : str
        What to call it in messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no FITS file, has no image, or not all of its pixels.
    """
    with open_hdus(path, name) as (hdus, file):
        for hdu in hdus:
            if hdu.is_image:
                return read_pixels(file, hdu), hdu.image_header()
    raise ValueError(f"{name} holds no image")


def _unpack(raw: bytes, hdu: FitsHdu, name: str) -> np.ndarray:
    """Return the pixels of a table of compressed tiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table = fits.BinTableHDU.fromstring(hdu.text + raw)
            pixels = np.asarray(fits.CompImageHDU(bintable=table).data)
        except MemoryError:
            raise ValueError(f"{name}, does not fit into memory: {_declared(hdu)}") from None
        except Exception as error:  # whatever a tile's bytes make of the decoders
            raise ValueError(f"{name}, has tiles that cannot be unpacked ({type(error).__name__}), the file may be "
                             f"damaged: {_declared(hdu)}, ZCMPTYPE = {hdu.header.get('ZCMPTYPE')!r}") from None
    if pixels.shape != hdu.shape:
        raise ValueError(f"{name}, cannot be used: {_declared(hdu)}, but its tiles hold {pixels.shape[::-1]}")
    return pixels.astype(pixels.dtype.newbyteorder("=") if pixels.dtype.kind == "f" else np.float64)
