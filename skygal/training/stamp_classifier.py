"""The small network behind all that learns from stamps: guides of training, judges, two-sample and transfer tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from skygal.checks import as_count

__all__ = ["StampClassifier", "coarsen", "train_classifier"]

#: channels of the convolutions; each halves the image
CHANNELS = (16, 32, 64, 64)
#: FRI and FRII, or two samples
N_CLASSES = 2
BATCH_SIZE = 32
#: size of the last hidden layer, the features of Frechet distances
FEATURES = 32
#: stamps classified at once
CLASSIFIED_AT_ONCE = 128


class StampClassifier(nn.Module):
    """Four convolutions and two dense layers on observed stamps, two pixels to one.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of a stamp.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((1, *CHANNELS[:-1]), CHANNELS, strict=True):
            # what comes after the pooling has a quarter of the work
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.MaxPool2d(2, ceil_mode=True), nn.BatchNorm2d(b),
                       nn.ReLU()]
        self.body = nn.Sequential(*layers)
        side = [size // 2 for size in shape]
        for _ in CHANNELS:
            side = [-(-size // 2) for size in side]
        flat = CHANNELS[-1] * side[0] * side[1]
        self.hidden = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(flat, FEATURES), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.4), nn.Linear(FEATURES, N_CLASSES))

    def _hidden(self, coarse: torch.Tensor) -> torch.Tensor:
        return self.hidden(self.body(coarse[:, None].contiguous(memory_format=torch.channels_last)))

    def forward(self, coarse: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 2) of what `coarsen` gives, (n, ny / 2, nx / 2)."""
        return self.head(self._hidden(coarse)).float()

    def _over_flips(self, stamps: np.ndarray, function, width: int) -> np.ndarray:
        """Return the mean of a function over the four flips of each stamp."""
        self.eval()
        out = np.zeros((len(stamps), width), np.float32)
        with torch.inference_mode():
            for start in range(0, len(stamps), CLASSIFIED_AT_ONCE):
                part = coarsen(stamps[start:start + CLASSIFIED_AT_ONCE])
                views = (part, part.flip(1), part.flip(2), part.flip(1, 2))
                out[start:start + len(part)] = (sum(function(view) for view in views) / 4).float().numpy()
        return out

    def classify(self, stamps: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (n, 2), the mean over the four flips of each stamp."""
        return self._over_flips(stamps, lambda view: self(view).softmax(dim=1), N_CLASSES)

    def features(self, stamps: np.ndarray) -> np.ndarray:
        """Return the last hidden layer, shape (n, 32), the mean over the four flips of each stamp."""
        return self._over_flips(stamps, self._hidden, FEATURES)


def coarsen(stamps: np.ndarray) -> torch.Tensor:
    """Return the square root of stamps (n, ny, nx), two pixels to one: what the network is shown."""
    stretched = torch.from_numpy(np.sqrt(np.maximum(stamps, 0)).astype(np.float32))
    return functional.avg_pool2d(stretched[:, None], 2)[:, 0]


def _vary(part: torch.Tensor, zoom: float, generator: torch.Generator) -> torch.Tensor:
    """Return coarse stamps flipped, shifted by up to a pixel and zoomed."""
    n = len(part)
    flip = torch.rand(2, n, 1, 1, generator=generator) < 0.5
    part = torch.where(flip[0], part.flip(1), part)
    part = torch.where(flip[1], part.flip(2), part)
    dy, dx = torch.randint(-1, 2, (2,), generator=generator).tolist()
    part = part.roll((dy, dx), (1, 2))
    if zoom > 0:
        ratio = torch.exp(-zoom * (torch.randn(n, generator=generator)[:, None]
                                   + 0.5 * torch.randn(n, 2, generator=generator)))
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = ratio[:, 0], ratio[:, 1]
        grid = functional.affine_grid(theta, [n, 1, *part.shape[1:]], align_corners=False)
        part = functional.grid_sample(part[:, None], grid, align_corners=False)[:, 0]
    return part


def train_classifier(stamps: np.ndarray, label: np.ndarray, *, seed: int, epochs: int = 15, zoom: float = 0.0,
                     learning_rate: float = 3e-3) -> StampClassifier:
    """Train a network on observed stamps.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), peak 1; see `skygal.evaluation.observed`. With shape (views, n, ny, nx), each epoch
        takes one of the views of each stamp at random.
    label : array_like of int
        Shape (n,), 0 or 1; both weigh the same.
    seed : int
        Of weights, order and variations.
    epochs : int
        Length of the training.
    zoom : float
        Scatter of ln(zoom) of the varied stamps, which are flipped and shifted by a pixel as well.
    learning_rate : float
        AdamW's highest, in one cycle.

    Returns
    -------
    StampClassifier

    Raises
    ------
    ValueError
        If there are fewer than two stamps, labels do not fit them, or a class has no stamp.
    """
    as_count("epochs", epochs, minimum=1)
    views = np.asarray(stamps)
    views = views[None] if views.ndim == 3 else views
    label = np.asarray(label)
    n = views.shape[1]
    if label.shape != (n,):
        raise ValueError(f"label must have shape ({n},), got {label.shape}")
    count = np.bincount(label, minlength=N_CLASSES)
    if len(count) > N_CLASSES or not count.all():
        raise ValueError(f"label must hold each of 0 to {N_CLASSES - 1} and no other, got {np.unique(label).tolist()}")
    seen, target = torch.stack([coarsen(view) for view in views]), torch.from_numpy(label.astype(np.int64))
    weights = torch.as_tensor(n / (N_CLASSES * count)[label], dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    # a last batch of one would leave nothing to normalise by
    steps = max(1, n // BATCH_SIZE)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = StampClassifier(views.shape[2:]).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
        net.train()
        for _ in range(epochs):
            order = torch.randperm(n, generator=generator)
            view = torch.randint(len(seen), (n,), generator=generator)
            for rows in order.tensor_split(steps):
                part = _vary(seen[view[rows], rows], zoom, generator)
                with torch.autocast("cpu", torch.bfloat16):
                    logits = net(part)
                loss = (functional.cross_entropy(logits, target[rows], reduction="none") * weights[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return net.eval()
