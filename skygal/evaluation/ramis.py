"""The radio astronomy morphology inception score and the classifier behind it.

Both are those of Bastien et al. (2021, 2021MNRAS.503.3351B, Section 4); the classifier is after Aniyan & Thorat
(2017, 2017ApJS..230...20A) and Tang, Scaife & Leahy (2019, 2019MNRAS.488.3358T).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from skygal.checks import as_count, as_seed, shorten, show

__all__ = ["FRAME", "PaperClassifier", "load_paper_classifier", "paste_in_frame", "ramis", "train_paper_classifier"]

#: side of the classifier's images, pixels
FRAME = 150
#: validation images in 550 training ones
VALIDATION_SHARE = 110 / 550
#: weights of FRI and FRII in the cross entropy, Adagrad's rate, and images to a step
CLASS_WEIGHTS, LEARNING_RATE, BATCH_SIZE = (0.6, 0.4), 1e-3, 16
CHANNELS = (6, 16, 24, 24, 16)
KERNELS = (11, 5, 3, 3, 3)
POOLS = (2, 3, 1, 1, 5)
WIDTH = 256
#: images that are classified together
IMAGES_AT_ONCE = 100


def ramis(probabilities: Any) -> float:
    """Return the radio astronomy morphology inception score, exp(mean KL(p(y|x) || p(y))).

    Parameters
    ----------
    probabilities : array_like
        Class probabilities p(y|x) of each image, shape (n, classes); each row sums to 1.

    Returns
    -------
    float
        From 1 (each image looks like the mean one) to the number of classes (each is sure, all classes alike).

    Raises
    ------
    ValueError
        If the shape is another, or rows are no probabilities.

    Notes
    -----
    Equation 13 of Bastien et al. (2021, 2021MNRAS.503.3351B), the inception score of Salimans et al. (2016,
    arXiv:1606.03498) with a classifier of radio galaxies; p(y) is the mean of p(y|x) over the images.

    Examples
    --------
    >>> from skygal.evaluation.ramis import ramis
    >>> ramis([[1, 0], [0, 1]]), ramis([[0.3, 0.7], [0.3, 0.7]])
    (2.0, 1.0)
    """
    p = np.asarray(probabilities, float)
    if p.ndim != 2 or 0 in p.shape:
        raise ValueError(f"probabilities must have shape (n, classes), got {p.shape}")
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(axis=1), 1, atol=1e-4)):
        raise ValueError("probabilities must be at least 0 and sum to 1 in each row, got a row "
                         f"{p[~(np.isclose(p.sum(axis=1), 1, atol=1e-4) & (p >= 0).all(axis=1))][0]}")
    marginal = p.mean(axis=0)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))


def paste_in_frame(images: Any) -> np.ndarray:
    """Return images pasted into the middle of frames of zeros.

    Parameters
    ----------
    images : array_like
        Shape (n, ny, nx), neither side over 150 pixels.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, 150, 150), float32.

    Raises
    ------
    ValueError
        If the shape is another, or a value is not finite.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 3 or max(images.shape[1:]) > FRAME:
        raise ValueError(f"images must have shape (n, ny, nx) with sides of at most {FRAME} pixels, got {images.shape}")
    if not np.isfinite(images).all():
        raise ValueError(f"images must be finite, got {np.count_nonzero(~np.isfinite(images))} values that are not")
    y, x = (FRAME - size for size in images.shape[1:])
    return np.pad(images, ((0, 0), (y // 2, y - y // 2), (x // 2, x - x // 2)))


class PaperClassifier(nn.Module):
    """The paper's classifier: five convolutions, then dense layers of which the second is used twice.

    Attributes
    ----------
    classes : tuple of str
        "FRI", "FRII", in the order of its outputs.
    history : list of dict
        One entry an epoch of its training: ``epoch``, ``train_loss``, ``validation_loss``,
        ``validation_accuracy``.

    Notes
    -----
    Each convolution (11, 5, 3, 3 and 3 pixels; 6, 16, 24, 24 and 16 channels) is followed by ReLU and
    batch normalisation, the first, second and fifth by max pooling over 2, 3 and 5 pixels. Dense layers:
    400-256-256-256-2 with dropout of 0.5; the layer 256-256 is applied twice.
    """

    classes = ("FRI", "FRII")

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for channels, kernel, pool in zip(CHANNELS, KERNELS, POOLS, strict=True):
            layers += [nn.Conv2d(before, channels, kernel, padding=kernel // 2), nn.ReLU(), nn.BatchNorm2d(channels)]
            layers += [nn.MaxPool2d(pool)] if pool > 1 else []
            before = channels
        self.body = nn.Sequential(*layers, nn.Flatten())
        flat = CHANNELS[-1] * (FRAME // int(np.prod(POOLS)))**2
        self.first, self.shared, self.last = nn.Linear(flat, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)
        self.dropout = nn.Dropout(0.5)
        self.history: list[dict[str, float]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 2) of images (n, 150, 150)."""
        x = functional.relu(self.first(self.body(images[:, None])))
        for _ in range(2):
            x = functional.relu(self.shared(self.dropout(x)))
        return self.last(self.dropout(x))

    def classify(self, images: Any) -> np.ndarray:
        """Return class probabilities.

        Parameters
        ----------
        images : array_like
            Shape (n, ny, nx), brightest pixel about 1; those smaller than 150 x 150 pixels are pasted
            into the middle of zeros.

        Returns
        -------
        `~numpy.ndarray`
            Shape (n, 2): the probabilities of FRI and FRII.

        Raises
        ------
        ValueError
            If an image is larger than the frame, or a value is not finite.
        """
        framed = torch.from_numpy(paste_in_frame(images))
        device = self.last.weight.device
        training = self.training
        self.eval()
        with torch.inference_mode():
            out = [self(part.to(device)).softmax(dim=1).cpu().numpy() for part in framed.split(IMAGES_AT_ONCE)]
        self.train(training)
        return np.concatenate(out).astype(float) if out else np.zeros((0, 2))

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """Write the weights (``*.safetensors``), whole or not at all."""
        import json

        from skygal.io.weights import write_tensors

        tensors = {key: value.detach().cpu().contiguous().numpy() for key, value in self.state_dict().items()}
        return write_tensors(path, tensors, {"format": "skygal-paper-classifier", "history": json.dumps(self.history)},
                             overwrite=overwrite)


def load_paper_classifier(path: str | os.PathLike) -> PaperClassifier:
    """Read a classifier that `PaperClassifier.save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated or holds something else.
    """
    import json

    from skygal.io.weights import read_tensors
    from skygal.morphology.weights_checks import fill_module

    shown = f"classifier file {show(os.fspath(path))}"
    if not os.path.exists(path):
        raise FileNotFoundError(f"{shown} not found")
    classifier = PaperClassifier()
    try:
        state, header = read_tensors(path, "classifier file")
        if header.get("format") != "skygal-paper-classifier":
            raise ValueError(f"format must be skygal-paper-classifier, got {show(header.get('format'))}")
        for key, value in state.items():
            if value.dtype.kind not in "fi" or not np.isfinite(value).all():
                raise ValueError(f"{show(key)} must be of finite numbers, got {value.dtype}")
        fill_module(classifier, "", state)
        classifier.history = json.loads(header["history"])
    except (RuntimeError, ValueError, KeyError, RecursionError) as error:
        reason = shorten(str(error).split("\n")[0].removeprefix(f"{shown} "))
        raise ValueError(f"{shown} is truncated or no classifier: {reason}") from None
    return classifier.eval()


def _turned(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images (n, side, side), each turned about its centre by a random angle."""
    angle = 2 * np.pi * torch.rand(len(images), generator=generator)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(len(images))
    affine = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).reshape(-1, 2, 3).to(images.device)
    grid = functional.affine_grid(affine, [len(images), 1, *images.shape[1:]], align_corners=False)
    return functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def _checked_labels(labels: Any, n: int) -> torch.Tensor:
    label = np.asarray(labels)
    if label.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), got {label.shape}")
    wrong = label[~np.isin(label, (0, 1))]
    if label.dtype.kind not in "iu" or wrong.size:
        raise ValueError(f"labels must be 0 (FRI) or 1 (FRII), got {wrong[0] if wrong.size else label.dtype}")
    return torch.from_numpy(label.astype(np.int64))


def train_paper_classifier(images: Any, labels: Any, *, seed: int, epochs: int = 30,
                           progress: bool = False) -> PaperClassifier:
    """Train the paper's classifier.

    Parameters
    ----------
    images : array_like
        Shape (n, ny, nx), at most 150 x 150 pixels, scaled from 0 to 1; FRDEEP's training images.
    labels : array_like of int
        Shape (n,), 0 for FRI, 1 for FRII.
    seed : int
        Of weights, split, order, rotations and dropout.
    epochs : int
        The length of the training.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    PaperClassifier
        With the weights of the epoch with the least loss on the fifth of the images that is kept out for validation.

    Raises
    ------
    ValueError
        If shapes do not fit, labels are others, or an option is out of range.
    """
    from tqdm import tqdm

    framed = torch.from_numpy(paste_in_frame(images))
    label = _checked_labels(labels, len(framed))
    epochs = as_count("epochs", epochs, minimum=1)
    held = round(VALIDATION_SHARE * len(framed))
    if len(framed) - held < BATCH_SIZE:
        raise ValueError(f"images must suffice for a batch of {BATCH_SIZE}, got {len(framed) - held} after validation")
    weight = torch.tensor(CLASS_WEIGHTS)
    generator = torch.Generator().manual_seed(as_seed("seed", seed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = PaperClassifier()
        optimizer = torch.optim.Adagrad(classifier.parameters(), lr=LEARNING_RATE)
        order = torch.randperm(len(framed), generator=generator)
        kept_out, train = order[:held], order[held:]
        best: tuple[float, dict[str, torch.Tensor]] | None = None
        for epoch in tqdm(range(epochs), desc="classifier", unit="epoch", disable=not progress):
            classifier.train()
            total = 0.0
            # the last few images join the last batch: a batch of one has no statistics
            parts = train[torch.randperm(len(train), generator=generator)].tensor_split(len(train) // BATCH_SIZE)
            for rows in parts:
                loss = functional.cross_entropy(classifier(_turned(framed[rows], generator)), label[rows],
                                                weight=weight)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(rows)
            row = {"epoch": epoch + 1, "train_loss": total / len(train)}
            if held:
                p = torch.from_numpy(classifier.classify(framed[kept_out].numpy()))
                row["validation_loss"] = float(functional.nll_loss(p.clamp_min(1e-12).log(), label[kept_out],
                                                                   weight=weight.double()))
                row["validation_accuracy"] = float((p.argmax(dim=1) == label[kept_out]).double().mean())
                if best is None or row["validation_loss"] < best[0]:
                    best = (row["validation_loss"], {k: v.clone() for k, v in classifier.state_dict().items()})
            classifier.history.append(row)
    if best is not None:
        classifier.load_state_dict(best[1])
    return classifier.eval()
