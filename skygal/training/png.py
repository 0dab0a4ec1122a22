"""PNG images of stamps."""

from __future__ import annotations

import io

import numpy as np

__all__ = ["read_png"]


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
        with Image.open(io.BytesIO(data)) as image:
            # pillow has 16-bit grey as I;16, or as I (32 bits) in older versions
            deep = image.mode.startswith("I")
            return np.asarray(image if deep else image.convert("L"), np.uint16 if deep else np.uint8)[::-1]
    except (UnidentifiedImageError, SyntaxError, OSError) as error:
        raise ValueError(f"image {name!r} is damaged: {error}") from None
