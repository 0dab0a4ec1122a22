"""The three experiments on RAMIS of Bastien et al. (2021, 2021MNRAS.503.3351B, Section 4.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skygal.checks import as_count
from skygal.evaluation.ramis import PaperClassifier, paste_in_frame, ramis

__all__ = ["EDGES", "KERNELS", "NOISES", "PUBLISHED", "add_noise", "blank_edge", "blur_images", "run_experiments"]

#: sides of the Gaussian kernels, amplitudes of the noise, widths of the blanked edge (pixels)
KERNELS = tuple(range(1, 20, 2))
NOISES = tuple(round(0.001 * i, 3) for i in range(12))
EDGES = tuple(range(0, 76, 5))
#: the paper's scores at these values, read in its text
PUBLISHED: dict[str, dict[float, float]] = {
    "blur": {1: 1.40, 19: 1.05}, "noise": {0.0: 1.40}, "edge": {0: 1.40, 25: 1.25, 75: 1.0}}


def blur_images(images: np.ndarray, kernel: int) -> np.ndarray:
    """Return images convolved with a Gaussian kernel of ``kernel`` x ``kernel`` pixels; 1 leaves them as they are.

    Notes
    -----
    The paper gives the side k only. Its width here is 0.3 ((k - 1) / 2 - 1) + 0.8 pixels, which image libraries take
    where only a side is given.

    Raises
    ------
    ValueError
        If the side is not odd and positive.
    """
    from scipy import ndimage

    kernel = as_count("kernel", kernel, minimum=1)
    if kernel % 2 == 0:
        raise ValueError(f"kernel must be odd, got {kernel}")
    if kernel == 1:
        return np.array(images, np.float32)
    x = np.arange(kernel) - kernel // 2
    weight = np.exp(-0.5 * (x / (0.3 * (kernel // 2 - 1) + 0.8))**2)
    weight /= weight.sum()
    out = np.asarray(images, np.float32)
    for axis in (1, 2):
        out = ndimage.correlate1d(out, weight, axis=axis, mode="constant")
    return out


def add_noise(images: np.ndarray, amplitude: float, *, rng: np.random.Generator) -> np.ndarray:
    """Return images with white Gaussian noise of this standard deviation added, the images' peak being 1."""
    if not 0 <= amplitude < float("inf"):
        raise ValueError(f"amplitude must be at least 0, got {amplitude}")
    return (images + amplitude * rng.standard_normal(images.shape)).astype(np.float32)


def blank_edge(images: np.ndarray, width: int) -> np.ndarray:
    """Return images with a strip of ``width`` pixels along each edge set to zero."""
    width = as_count("width", width)
    out = np.zeros_like(images, dtype=np.float32)
    inner = tuple(slice(width, max(width, size - width)) for size in images.shape[1:])
    out[(slice(None), *inner)] = images[(slice(None), *inner)]
    return out


def run_experiments(classifier: PaperClassifier, images: np.ndarray, *, seed: int = 0,
                    progress: bool = False) -> dict[str, list[tuple[float, float]]]:
    """Score images blurred, with noise, and with blanked edges.

    Parameters
    ----------
    classifier : PaperClassifier
        The classifier.
    images : `~numpy.ndarray`
        Shape (n, ny, nx), scaled from 0 to 1: FRDEEP's training images.
    seed : int
        Of the noise.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    dict
        ``blur``, ``noise`` and ``edge``: pairs of the varied value and RAMIS.
    """
    from tqdm import tqdm

    framed = paste_in_frame(images)
    rng = np.random.default_rng(seed)
    plan: list[tuple[str, float, Callable[[], np.ndarray]]] = [
        *(("blur", k, lambda k=k: blur_images(framed, k)) for k in KERNELS),
        *(("noise", a, lambda a=a: add_noise(framed, a, rng=rng)) for a in NOISES),
        *(("edge", w, lambda w=w: blank_edge(framed, w)) for w in EDGES)]
    out: dict[str, list[tuple[float, float]]] = {"blur": [], "noise": [], "edge": []}
    for kind, value, make in tqdm(plan, desc="experiments", disable=not progress):
        out[kind].append((value, ramis(classifier.classify(make()))))
    return out
