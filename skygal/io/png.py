"""PNG images (ISO/IEC 15948), written."""

from __future__ import annotations

import struct
import zlib

import numpy as np

__all__ = ["encode_grey"]


def encode_grey(pixels: np.ndarray) -> bytes:
    """Return a grey image as a PNG file, its first row on top.

    Parameters
    ----------
    pixels : `~numpy.ndarray`
        Shape (ny, nx), uint8 or uint16.

    Returns
    -------
    bytes
    """
    ny, nx = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    # each row begins with the number of its filter: 0, none
    rows = np.zeros((ny, 1 + nx * bits // 8), np.uint8)
    rows[:, 1:] = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(ny, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", nx, ny, bits, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + chunk(b"IEND", b""))
