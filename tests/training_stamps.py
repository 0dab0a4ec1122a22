"""Made-up stamps for the training tests: doubles and cores with jets, in every published layout."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np

from skygal.training.settings import TrainSettings

#: a model that trains in a second
SMALL = TrainSettings(classes=("FRI", "FRII"), shape=(24, 40), latent_dim=4, decoder_widths=(16,), encoder_widths=(16,),
                      flow_layers=2, flow_width=8, epochs=4, adversarial_epochs=2, discriminator_widths=(4, 8),
                      precision="float32", acceptance_stamps=0, batch_size=8, checkpoint_every=2, warmup_epochs=1,
                      seed=3)
#: the same without the second phase
PLAIN = replace(SMALL, adversarial_epochs=0)


def blob(x: float, y: float, flux: float, size: int, sigma: float = 1.4) -> np.ndarray:
    """Return a Gaussian at an offset from the middle of a square frame."""
    yy, xx = np.indices((size, size)) - (size - 1) / 2
    return flux * np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / sigma**2)


def source(kind: str, rng: np.random.Generator, size: int = 64) -> np.ndarray:
    """Return a double (FRII) or a core with fading jets (FRI) at any angle, peak about 1."""
    angle, reach = rng.uniform(0, np.pi), rng.uniform(4, 9)
    along = np.array([np.cos(angle), np.sin(angle)])
    knots = [(-1, 1.0), (1, rng.uniform(0.5, 1.0))] if kind == "FRII" else [
        (0, 1.0), (-0.5, 0.5), (0.5, 0.5), (-1, 0.2), (1, 0.2)]
    return np.sum([blob(*(reach * at * along), flux, size) for at, flux in knots], axis=0)


def stamps(n: int = 60, size: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, size, size) with noise of rms 0.01, and labels 0 (FRI) and 1 (FRII) in turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = np.stack([source(("FRI", "FRII")[label], rng, size) for label in labels])
    return (images + 0.01 * rng.standard_normal(images.shape)).astype(np.float32), labels


def write_npz(path: Path, n: int = 60, **columns: np.ndarray) -> Path:
    """Write stamps, smaller ones, as an NPZ file, spread over the sky."""
    images, labels = stamps(n, size=48)
    rng = np.random.default_rng(9)
    given = {"image": images, "label": labels, "ra": rng.uniform(0, 360, n), "dec": rng.uniform(-30, 60, n),
             "rms": np.full(n, 0.01)}
    np.savez(path, **{key: value for key, value in {**given, **columns}.items() if value is not None})
    return path


def write_batch(path: Path, n: int = 6, **entries: object) -> Path:
    """Write clipped stamps as a batch."""
    images, labels = stamps(n)
    clipped = np.clip(np.where(images > 0.03, images, 0) * 255, 0, 255).astype(np.uint8)
    batch = {"batch_label": "testing", "labels": labels.tolist(), "data": [image.ravel() for image in clipped],
             "filenames": [f"{i}.png" for i in range(n)], **entries}
    path.write_bytes(pickle.dumps({key: value for key, value in batch.items() if value is not None}))
    return path
