"""A judge of class: a small network that tells FRI from FRII on stamps as a survey would show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

__all__ = ["ClassJudge", "observe_stamps", "train_judge"]


def observe_stamps(stamps: np.ndarray, noise: np.ndarray, *, beam_sigma: float,
                   rng: np.random.Generator) -> np.ndarray:
    """Show stamps as a survey's cutouts: with beam-correlated noise, clipped at 3 sigma, specks removed.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, at the beam's resolution.
    noise : `~numpy.ndarray`
        Shape (n,), noise rms as a fraction of the stamp's peak.
    beam_sigma : float
        Standard deviation of the beam in pixels.
    rng : `~numpy.random.Generator`
        Draws the noise.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, ny, nx), float32, peak 1; islands of under 8 pixels removed.
    """
    from scipy import ndimage

    out = np.zeros(stamps.shape, np.float32)
    # As in training (skygal.training.augment), the noise's autocorrelation is the beam itself, as in a naturally
    # weighted image, so its kernel is narrower by sqrt(2). skygal.rendering.noise, for fields, takes the whole beam
    # as kernel; the figures of the shipped weights hold for the noise drawn here.
    width = beam_sigma / np.sqrt(2)
    for i, (stamp, rms) in enumerate(zip(stamps, noise, strict=True)):
        white = ndimage.gaussian_filter(rng.standard_normal(stamp.shape), width, mode="wrap")
        seen = stamp / max(stamp.max(), 1e-30) + rms * white / white.std()
        labels, n = ndimage.label(seen > 3 * rms, structure=np.ones((3, 3)))
        size = np.bincount(labels.ravel(), minlength=n + 1)
        size[0] = 0
        clipped = np.where((size >= 8)[labels], seen, 0.0)
        out[i] = clipped / max(clipped.max(), 1e-30)
    return out


class ClassJudge(nn.Module):
    """Three convolutions and two dense layers on aligned stamps of two pixels to one."""

    def __init__(self, classes: Sequence[str], shape: tuple[int, int]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        layers: list[nn.Module] = []
        for a, b in ((1, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers)
        flat = 48 * (shape[0] // 16) * (shape[1] // 16)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(flat, 64), nn.ReLU(),
                                  nn.Dropout(0.5), nn.Linear(64, len(self.classes)))

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes) of stamps (n, ny, nx) of peak 1."""
        return self.head(self.body(functional.avg_pool2d(torch.sqrt(stamps[:, None].clamp_min(0.0)), 2)))

    def classify(self, stamps: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (n, classes), the mean over the four flips of each stamp."""
        self.eval()
        out = []
        with torch.no_grad():
            for start in range(0, len(stamps), 128):
                part = torch.from_numpy(np.ascontiguousarray(stamps[start:start + 128], np.float32))
                views = (part, part.flip(1), part.flip(2), part.flip(1, 2))
                out.append(sum(self(view).softmax(dim=1) for view in views).numpy() / 4)
        return np.concatenate(out) if out else np.zeros((0, len(self.classes)))


def train_judge(stamps: np.ndarray, fr_class: np.ndarray, noise: np.ndarray, *, classes: Sequence[str],
                beam_sigma: float, seed: int, epochs: int = 20, batch_size: int = 32) -> ClassJudge:
    """Train a judge on real stamps.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx): restored, aligned, at the beam's resolution.
    fr_class : `~numpy.ndarray` of str
        Shape (n,).
    noise : `~numpy.ndarray`
        Shape (n,), rms over peak; each epoch draws fresh noise at a level of the sample's.
    classes : sequence of str
        The classes; they weigh the same.
    beam_sigma : float
        Standard deviation of the beam in pixels.
    seed : int
        Of weights, order and noise.
    epochs, batch_size : int
        Length of the training.

    Returns
    -------
    ClassJudge
    """
    rng = np.random.default_rng(seed)
    label = torch.tensor([list(classes).index(name) for name in fr_class])
    weight = len(label) / (len(classes) * torch.bincount(label, minlength=len(classes)).clamp_min(1).float())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = ClassJudge(classes, stamps.shape[1:])
        optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 4e-3, total_steps=epochs * -(-len(label) // batch_size))
        for epoch in range(epochs):
            if epoch % 4 == 0:
                seen = torch.from_numpy(observe_stamps(stamps, rng.permutation(noise), beam_sigma=beam_sigma, rng=rng))
            judge.train()
            order = torch.randperm(len(label))
            for rows in order.split(batch_size):
                part = seen[rows]
                flip = torch.rand(2, len(rows), 1, 1) < 0.5
                part = torch.where(flip[0], part.flip(1), part)
                part = torch.where(flip[1], part.flip(2), part)
                loss = functional.cross_entropy(judge(part), label[rows], weight=weight)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return judge.eval()
