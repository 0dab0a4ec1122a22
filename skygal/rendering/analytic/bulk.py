"""Points, Gaussians and exponential discs in bulk: added to an image, measured and labelled.

A million of them take seconds; none has an array of its own. Brightness is sampled at pixel centres,
or averaged over pixels.
"""

from __future__ import annotations

import numpy as np

from skygal.rendering.analytic.boxes import Boxes
from skygal.rendering.analytic.measure import AnalyticTruth, measure
from skygal.rendering.analytic.pixels import make_patches
from skygal.rendering.analytic.sources import EXPONENTIAL, GAUSSIAN, KINDS, POINT, Analytic

__all__ = ["EXPONENTIAL", "GAUSSIAN", "KINDS", "POINT", "Analytic", "AnalyticTruth", "draw", "label", "measure",
           "reach"]

def reach(sources: Analytic, *, pixel_integrated: bool = False) -> np.ndarray:
    """Return how far from their positions sources are drawn.

    Parameters
    ----------
    sources : Analytic
    pixel_integrated : bool
        As for `draw`.

    Returns
    -------
    ndarray of int, shape (n, 2)
        Half-widths (x, y) of the box about the pixel that the position (x, y) is in, which is
        floor(position + 1/2): its pixels are from centre - half to centre + half. -1 for sources
        without a position.

    Notes
    -----
    Beyond the box a source is below 1e-6 of its peak. A Gaussian loses less than 2e-6 of its flux
    there, and a disc, whose tail is longer, 2e-5. Half-widths are rounded up to one of a few.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.rendering.analytic.bulk import Analytic, reach
    >>> reach(Analytic.make("point", [[10.2, 20.7]], flux=1e-3, beam=np.eye(2)))
    array([[5, 5]])
    """
    return Boxes.of(sources, integrated=pixel_integrated).half


def draw(sources: Analytic, box: tuple[int, int, int, int], out: np.ndarray, *, pixel_integrated: bool = False) -> None:
    """Add sources to a window of an image.

    Parameters
    ----------
    sources : Analytic
        Those with pixels in the window, at least, in the same order as for any other window.
    box : (int, int, int, int)
        (y0, y1, x0, x1): the window is rows y0 to y1 - 1, columns x0 to x1 - 1 of the image, whose
        pixels may have any whole numbers.
    out : ndarray, shape (y1 - y0, x1 - x0), float32 or float64
        Added to in place, Jy/beam.
    pixel_integrated : bool
        Average the brightness over each pixel rather than sample it at the centre. A point source then
        peaks below its flux. Exact where the Gaussians are aligned with the axes; otherwise
        within 5e-5 of the peak for beams of 2 pixels, and 2e-6 for 3 pixels and wider.

    Raises
    ------
    TypeError
        If ``out`` is of another type.
    ValueError
        If its shape is not the window's.

    Notes
    -----
    Each source's pixels, in float32, and the order in which they are added to a pixel of the image,
    follow from the sources alone. So the result is the same bits for every way of cutting the image
    into windows. Takes some 100 MB for a million sources; more if ``out`` is not contiguous, as
    it is copied then.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.rendering.analytic.bulk import Analytic, draw
    >>> image = np.zeros((32, 32), np.float32)
    >>> draw(Analytic.make("point", [[10, 20]], flux=1e-3, beam=np.eye(2)), (0, 32, 0, 32), image)
    >>> print(image[20, 10].round(6))
    0.001
    """
    box = _check_window(box, out, "out", (np.float32, np.float64))
    y0, y1, x0, x1 = box
    flat = out.reshape(-1) if out.flags.c_contiguous else out.ravel()
    boxes = Boxes.of(sources, integrated=pixel_integrated)
    for rows in boxes.in_groups(np.flatnonzero(boxes.meet(*box))):
        for patches in make_patches(sources, boxes, rows, integrated=pixel_integrated, window=box):
            index, inside = patches.places(box)
            values = patches.values
            if inside is not None:
                index, values = index[inside], values[inside]
            # one value after the other, so that it does not matter which patches were made together
            np.add.at(flat, index.ravel(), values.ravel().astype(out.dtype, copy=False))
    if not out.flags.c_contiguous:
        out[...] = flat.reshape(out.shape)


def label(sources: Analytic, ids: np.ndarray, limit: np.ndarray, box: tuple[int, int, int, int], labels: np.ndarray,
          brightest: np.ndarray, *, pixel_integrated: bool = False) -> None:
    """Label the pixels of a window with the brightest source there.

    Parameters
    ----------
    sources : Analytic
        Those with pixels in the window, at least.
    ids : ndarray of int, shape (n,)
        Their numbers, positive.
    limit : ndarray, shape (n,)
        Jy/beam above which a pixel is a source's; positive.
    box : (int, int, int, int)
        As for `draw`.
    labels : ndarray of int32, shape of the window
        Changed in place.
    brightest : ndarray of float32, shape of the window
        Brightness of the source that the label is of; 0 where there is none yet. Changed in place.
    pixel_integrated : bool
        As for `draw`.

    Raises
    ------
    TypeError
        If an array is of another type.
    ValueError
        If an array's shape is not the window's, or a limit is not positive.

    Notes
    -----
    The brighter source wins, and of equally bright ones that with the lower number: neither order nor
    windows matter.
    """
    box = _check_window(box, labels, "labels", (np.int32,))
    _check_window(box, brightest, "brightest", (np.float32,))
    ids, limit = np.asarray(ids, np.int32), np.asarray(limit, np.float32)
    if not (limit > 0).all():
        raise ValueError(f"limit must be positive, got {limit[~(limit > 0)][0]}")
    # a window of a larger array is no line of pixels: work on a copy of it
    label_line, bright_line = (np.ascontiguousarray(a).reshape(-1) for a in (labels, brightest))
    boxes = Boxes.of(sources, integrated=pixel_integrated, limit=limit)
    for rows in boxes.in_groups(np.flatnonzero(boxes.meet(*box))):
        for patches in make_patches(sources, boxes, rows, integrated=pixel_integrated, window=box):
            above = patches.values > limit[patches.rows][:, None, None]
            index, inside = patches.places(box)
            if inside is not None:
                above &= inside
            which = np.flatnonzero(above.any(axis=(1, 2)))
            source = np.repeat(patches.rows[which], np.count_nonzero(above[which], axis=(1, 2)))
            index, values, number = index[above], patches.values[above], ids[source]
            before = bright_line[index]
            np.maximum.at(bright_line, index, values)
            after = bright_line[index]
            # where a brighter one came, the old label counts no more
            label_line[index[after > before]] = np.iinfo(np.int32).max
            first = values == after
            np.minimum.at(label_line, index[first], number[first])
    labels[...], brightest[...] = label_line.reshape(labels.shape), bright_line.reshape(brightest.shape)


def _check_window(box: tuple[int, int, int, int], array: np.ndarray, name: str, types: tuple[type, ...]
                  ) -> tuple[int, int, int, int]:
    y0, y1, x0, x1 = (int(edge) for edge in box)
    if array.dtype not in types:
        raise TypeError(f"{name} must be {' or '.join(t.__name__ for t in types)}, got {array.dtype}")
    if array.shape != (y1 - y0, x1 - x0):
        raise ValueError(f"{name} must have the shape of box, {(y1 - y0, x1 - x0)}, got {array.shape}")
    return y0, y1, x0, x1
