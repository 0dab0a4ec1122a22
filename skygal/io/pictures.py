"""How results are shown: images on a colour scale, and small pictures and tables for notebooks."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.util import find_spec
from typing import Any

import numpy as np
from astropy.table import QTable

__all__ = ["BLANK", "COLOURS", "ROWS", "brightness_norm", "notebook_html", "picture_html", "shrink", "table_html"]

#: of images, and of what is blank in them
COLOURS, BLANK = "inferno", (0.5, 0.5, 0.5, 1.0)
#: pixels on a side of a small picture, at most, and rows of a table's head
SIDE, ROWS = 320, 5


def brightness_norm(pixels: np.ndarray) -> Any:
    """Return the scale of an image: from just below the noise, by arcsinh, to 60 times the noise or the peak.

    Parameters
    ----------
    pixels : ndarray
        The image, in any unit. NaN is left out.

    Returns
    -------
    `~matplotlib.colors.Normalize`
    """
    from matplotlib.colors import FuncNorm

    good = pixels[np.isfinite(pixels)]
    middle = float(np.median(good)) if good.size else 0.0
    spread = 1.4826 * float(np.median(np.abs(good - middle))) if good.size else 0.0
    top = float(np.max(good, initial=0.0))
    if spread:
        low, high = middle - 2 * spread, max(min(middle + 60 * spread, top), middle + 10 * spread)
    else:
        low, high = 0.0, 0.3 * top
    high = max(high, low + 1e-30)
    soft = 0.15 * (high - low)
    there, back = (lambda value: np.arcsinh((value - low) / soft)), (lambda shown: low + soft * np.sinh(shown))
    return FuncNorm((there, back), low, high, clip=True)


def shrink(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Return an image of at most ``side`` pixels on a side, each the brightest of a block, NaN where all are NaN."""
    step = max(1, -(-max(image.shape) // side))
    rows = np.fmax.reduceat(image, np.arange(0, image.shape[0], step), axis=0)
    return np.fmax.reduceat(rows, np.arange(0, image.shape[1], step), axis=1)


def picture_html(image: np.ndarray, text: str, *, side: int = SIDE) -> str:
    """Return an image as HTML, its row 0 below; nothing without matplotlib.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    text : str
        What it shows, in words.
    side : int
        Pixels on the longer side, at most: to so many it is shrunk.

    Returns
    -------
    str
        An ``img`` that holds its PNG.
    """
    if find_spec("matplotlib") is None:
        return ""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    small = shrink(image, side)
    shown = colormaps[COLOURS](brightness_norm(small)(np.nan_to_num(small)))
    shown[~np.isfinite(small)] = BLANK
    file = io.BytesIO()
    imsave(file, shown, origin="lower", format="png")
    # small images in larger pixels, whole ones
    zoom = max(1, side // max(small.shape))
    return (f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}" alt="{escape(text)}" '
            f'width="{zoom * small.shape[1]}" height="{zoom * small.shape[0]}" '
            'style="image-rendering: pixelated; max-width: none; margin: 0">')


def table_html(table: QTable, columns: Mapping[str, str], name: str) -> str:
    """Return the first five rows of a table as HTML.

    Parameters
    ----------
    table : QTable
        Of which those columns are shown that it has.
    columns : dict of str to str
        Which, and the format of each.
    name : str
        What the table is called.
    """
    columns = {key: form for key, form in columns.items() if key in table.colnames}
    head = table[list(columns)][:ROWS].copy()
    for key, form in columns.items():
        head[key].info.format = form or None
    lines = head.pformat(html=True, max_width=-1, max_lines=-1, show_unit=True)
    rest = f", of {len(table)} rows the first {ROWS}" if len(table) > ROWS else ""
    title = f"{name}: {len(columns)} of {len(table.colnames)} columns{rest}"
    return f'<div><div>{escape(title)}</div>{"".join(lines)}</div>'


def notebook_html(title: str, parts: Sequence[str]) -> str:
    """Return what a notebook shows of a result: a line, and pictures and tables beside each other, or below.

    It takes colours and letters from the page, so that it is as readable on dark pages as on light ones.
    """
    return (f'<div><div><b>{escape(title)}</b></div><div style="display: flex; flex-wrap: wrap; gap: 1em; '
            f'align-items: flex-start; margin-top: 0.5em">{"".join(part for part in parts if part)}</div></div>')
