"""PNG images of stamps."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np

from skygal.checks import shorten, show

__all__ = ["LARGEST", "read_png"]

#: bytes of an image's file, and pixels in it, at most: a cutout has some 10**4
LARGEST, PIXELS = 2**26, 2**24


def read_png(data: bytes, name: str) -> np.ndarray:
    """Return a grey image, bottom row first as in FITS.

    Parameters
    ----------
    data : bytes
        The file's contents, 8 or 16 bit; colours become grey.
    name : str
        The file, for messages.

    Returns
    -------
    `~numpy.ndarray`
        Shape (ny, nx), uint8 or uint16.

    Raises
    ------
    ImportError
        If pillow, which reads PNG files, is not installed.
    ValueError
        If the image is damaged.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ImportError("reading PNG images needs pillow: pip install pillow, or 'skygal[data]'") from None
    try:
        # PNG alone: pillow would try every format that it knows
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"image {show(name)} must have at most {PIXELS} pixels, got {image.width} x "
                                 f"{image.height}")
            # pillow has 16-bit grey as I;16, or as I (32 bits) in older versions
            deep = image.mode.startswith("I")
            return np.asarray(image if deep else image.convert("L"), np.uint16 if deep else np.uint8)[::-1]
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, SyntaxError, OSError,
            EOFError, struct.error, zlib.error) as error:
        raise ValueError(f"image {show(name)} is damaged: {shorten(str(error))}") from None
