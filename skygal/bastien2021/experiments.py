"""The paper's experiments: RAMIS of degraded images, and what its networks make of latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy import ndimage

from skygal.bastien2021.loop import BOX, sample_paper_images
from skygal.bastien2021.networks import CLASSES, PaperModel
from skygal.checks import as_count
from skygal.evaluation.ramis import PaperClassifier, paste_in_frame, ramis

__all__ = ["EDGES", "FLOOR", "KERNELS", "NOISES", "PUBLISHED", "add_noise", "axis_profile", "blank_edge", "blur_images",
           "class_balance", "decode_grid", "floor_share", "locate", "make_twins", "measure_test_loss", "reconstruct",
           "run_experiments"]

#: sides of the Gaussian kernels, amplitudes of the noise, widths of the blanked edge (pixels)
KERNELS = tuple(range(1, 20, 2))
NOISES = tuple(round(0.001 * i, 3) for i in range(12))
EDGES = tuple(range(0, 76, 5))
#: the paper's scores at these values, read in its text
PUBLISHED: dict[str, dict[float, float]] = {
    "blur": {1: 1.40, 19: 1.05}, "noise": {0.0: 1.40}, "edge": {0: 1.40, 25: 1.25, 75: 1.0}}
#: pixels fainter than this count as zeroed (Section 6.2 of the paper)
FLOOR = 5e-5
#: between two latents on the map
MAP_STEP = 0.4


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


@contextmanager
def _seeded(model: PaperModel, seed: int, *, dropout: bool) -> Iterator[torch.Generator]:
    """Seed the dropout and set it; leave torch's random state and the model's mode as they were."""
    before = model.training
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model.train(dropout)
        try:
            yield torch.Generator().manual_seed(seed + 1)
        finally:
            model.train(before)


def _one_hot(labels: np.ndarray, model: PaperModel) -> torch.Tensor | None:
    if not model.arch.conditional:
        return None
    return torch.nn.functional.one_hot(torch.from_numpy(np.asarray(labels, np.int64)), len(CLASSES)).float()


def measure_test_loss(model: PaperModel, images: np.ndarray, labels: np.ndarray, *, draws: int = 40,
                      seed: int = 0) -> tuple[float, float]:
    """Return the loss of a test image in nats, dropout on, over many draws, and its standard error.

    Parameters
    ----------
    model : PaperModel
        The model.
    images : `~numpy.ndarray`
        Shape (n, side, side), scaled from 0 to 1.
    labels : `~numpy.ndarray`
        Shape (n,), 0 or 1.
    draws : int
        Passes over the images, each with fresh latents and dropout.
    seed : int
        Of both.

    Returns
    -------
    loss, error : float
        The mean over the passes, and its error from their scatter.
    """
    from pyro.infer import Trace_ELBO

    flat = torch.from_numpy(np.ascontiguousarray(images, np.float32).reshape(len(images), -1))
    given = _one_hot(labels, model)
    with _seeded(model, seed, dropout=True):
        losses = [Trace_ELBO().loss(model.model, model.guide, flat, given) / len(images) for _ in range(draws)]
    return float(np.mean(losses)), float(np.std(losses, ddof=1) / np.sqrt(draws))


def locate(model: PaperModel, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the location of q(z | x) of images (n, side, side), shape (n, d), dropout off."""
    flat = torch.from_numpy(np.ascontiguousarray(images, np.float32).reshape(len(images), -1))
    with _seeded(model, 0, dropout=False):
        return model.encode(flat, _one_hot(labels, model))[0].numpy()


def reconstruct(model: PaperModel, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return images encoded and decoded, at the location of q(z | x), dropout off.

    Parameters
    ----------
    model : PaperModel
        The model.
    images : `~numpy.ndarray`
        Shape (n, side, side), scaled from 0 to 1.
    labels : `~numpy.ndarray`
        Shape (n,), 0 or 1.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, side, side), float32.
    """
    loc = torch.from_numpy(locate(model, images, labels))
    with _seeded(model, 0, dropout=False):
        return model.logits(loc, _one_hot(labels, model)).sigmoid().numpy().reshape(images.shape)


def decode_grid(model: PaperModel) -> np.ndarray:
    """Return the FRIs on a grid of two latents, dropout off (Section 6.3 of the paper).

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, n, side, side): the first axis runs along the second latent, from -4 to 4 in steps of 0.4.

    Raises
    ------
    ValueError
        If the model has another number of latents.
    """
    if model.arch.latent_dim != 2:
        raise ValueError(f"model must have 2 latents for a map, got {model.arch.latent_dim}")
    n = round(2 * BOX / MAP_STEP) + 1
    axis = np.linspace(-BOX, BOX, n, dtype=np.float32)
    z = torch.from_numpy(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
    with _seeded(model, 0, dropout=False):
        images = model.logits(z, _one_hot(np.zeros(len(z)), model)).sigmoid()
    return images.numpy().reshape(n, n, model.arch.side, model.arch.side)


def make_twins(model: PaperModel, latents: np.ndarray) -> np.ndarray:
    """Return the same latents decoded as FRI and as FRII, dropout off.

    Returns
    -------
    `~numpy.ndarray`
        Shape (2, n, side, side).
    """
    z = torch.from_numpy(np.asarray(latents, np.float32))
    with _seeded(model, 0, dropout=False):
        parts = [model.logits(z, _one_hot(np.full(len(z), i), model)).sigmoid().numpy() for i in range(len(CLASSES))]
    return np.stack(parts).reshape(2, len(z), model.arch.side, model.arch.side)


def axis_profile(image: np.ndarray, *, of: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets (pixels) and brightness along the principal axis through the flux-weighted centre.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Shape (ny, nx), non-negative.
    of : `~numpy.ndarray`, optional
        Take centre and axis from this image; from the image itself if not given.
    """
    weight = np.asarray(image if of is None else of, float)
    weight = np.where(weight > 0.01 * weight.max(), weight, 0)
    y, x = np.indices(weight.shape)
    total = weight.sum()
    cy, cx = (weight * y).sum() / total, (weight * x).sum() / total
    xx, yy, xy = ((weight * a * b).sum() / total for a, b in ((x - cx, x - cx), (y - cy, y - cy), (x - cx, y - cy)))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    offset = np.arange(-(min(image.shape) // 2), min(image.shape) // 2 + 1)
    along = [cy + offset * np.sin(angle), cx + offset * np.cos(angle)]
    return offset, ndimage.map_coordinates(np.asarray(image, float), along, order=1, mode="constant")


def floor_share(images: np.ndarray) -> float:
    """Return the share of pixels fainter than 5e-5 (Section 6.2 of the paper; about 0.95 of real ones are zero)."""
    return float((np.asarray(images) < FLOOR).mean())


def class_balance(model: PaperModel, classifier: PaperClassifier, *, n: int = 200,
                  seed: int = 0) -> dict[str, dict[str, float]]:
    """Return how a classifier names what a model makes with latents from the box and from the prior, dropout on.

    Parameters
    ----------
    model : PaperModel
        The model.
    classifier : PaperClassifier
        The classifier.
    n : int
        Images of each class.
    seed : int
        Of latents and dropout.

    Returns
    -------
    dict
        For "uniform" (the box of +-4) and "prior" (N(0, I)): ``ramis``; ``fri_as_fri``, ``frii_as_frii``, the share of
        each class's images that is named so (NaN for a VAE); ``called_fri``, of all; and ``floor``, see `floor_share`.
    """
    labels = torch.arange(len(CLASSES)).repeat_interleave(n)
    out = {}
    for latents in ("uniform", "prior"):
        with _seeded(model, seed, dropout=True) as generator:
            images = sample_paper_images(model, 2 * n, generator=generator, latents=latents,
                                         labels=labels if model.arch.conditional else None)
        probabilities = classifier.classify(images)
        called = probabilities.argmax(axis=1)
        right = [float((called[i * n:(i + 1) * n] == i).mean()) if model.arch.conditional else float("nan")
                 for i in range(len(CLASSES))]
        out[latents] = {"ramis": ramis(probabilities), "fri_as_fri": right[0], "frii_as_frii": right[1],
                        "called_fri": float((called == 0).mean()), "floor": floor_share(images)}
    return out
