"""SVI training of the networks of Bastien et al. (2021): epochs, metrics, checkpoints that resume to the bit."""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import SVI, Trace_ELBO

from skygal.bastien2021.frdeep import PaperImages, crop_images, rotate_and_crop
from skygal.bastien2021.networks import CLASSES, PaperArchitecture, PaperModel, spread_weights
from skygal.bastien2021.settings import PaperSettings
from skygal.checks import show
from skygal.evaluation.ramis import PaperClassifier, ramis
from skygal.io.atomic import whole_file
from skygal.io.torch_files import check_moments, read_torch
from skygal.training.run_files import restoring

__all__ = ["BOX", "PaperTrainer", "keep_freed_memory", "sample_paper_images"]

#: half the side of the box of latents
BOX = 4.0
#: the fast schedule: share of the run in which the rate rises, where it starts and ends, AdamW's numbers
RISE, START, END, BETAS, DECAY = 0.05, 0.05, 0.01, (0.9, 0.99), 1e-4
FIRST_ROWS = 512    # images by which the fast schedule sets the first weights
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4    # glibc's mallopt


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Let the C library keep freed memory for the next step, where it can be told so (glibc).

    Each step frees and allocates some GB; a kernel that hands out fresh pages every time takes longer than the
    arithmetic (three times, on two cores of 2023).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        yield
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        mallopt(M_MMAP_MAX, 65536)
        mallopt(M_TRIM_THRESHOLD, 128 * 1024)


class _Optimizer(pyro.optim.PyroOptim):
    """One optimizer for all parameters, as Pyro's SVI takes it; its state is saved whole."""

    def __init__(self, model: torch.nn.Module, settings: PaperSettings, steps: int) -> None:
        kind, options = (torch.optim.Adagrad, {}) if settings.schedule == "paper" else (
            torch.optim.AdamW, {"betas": BETAS, "weight_decay": DECAY})
        super().__init__(kind, {})
        self.parameters = list(model.parameters())
        self.rate, self.steps, self.step = float(settings.learning_rate or 0), steps, 0
        self.annealed = settings.schedule == "fast"
        try:
            self.inner = kind(self.parameters, lr=self.rate, fused=True, **options)
        except (RuntimeError, TypeError):   # a torch or a device without it
            self.inner = kind(self.parameters, lr=self.rate, **options)

    @property
    def now(self) -> float:
        """The learning rate of the next step."""
        if not self.annealed:
            return self.rate
        done = self.step / self.steps
        if done < RISE:
            return self.rate * (START + (1 - START) * done / RISE)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, (done - RISE) / (1 - RISE))))
        return self.rate * (END + (1 - END) * fall)

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Take a step; ``params`` are the model's own."""
        if self.annealed:
            self.inner.param_groups[0]["lr"] = self.now
        self.step += 1
        self.inner.step()
        # SVI would fill them with zeros, which costs as much as a step
        self.inner.zero_grad(set_to_none=True)


def _one_hot(label: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(label, len(CLASSES)).float()


def sample_paper_images(model: PaperModel, n: int, *, generator: torch.Generator, latents: str = "uniform",
                        labels: torch.Tensor | None = None) -> np.ndarray:
    """Draw images of a model, dropout as the model's mode has it.

    Parameters
    ----------
    model : PaperModel
        In training mode, dropout is on, as while the authors drew.
    n : int
        How many.
    generator : `~torch.Generator`
        Draws the latents.
    latents : str
        "uniform": the box of +-4; "prior": N(0, I).
    labels : `~torch.Tensor`, optional
        Shape (n,), 0 or 1; for the CVAE.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, side, side), float32: the probability of each pixel.
    """
    arch, device = model.arch, next(model.parameters()).device
    size = (n, arch.latent_dim)
    z = (2 * BOX * torch.rand(size, generator=generator) - BOX if latents == "uniform"
         else torch.randn(size, generator=generator))
    given = None if labels is None else _one_hot(labels).to(device)
    with torch.no_grad():
        images = model.logits(z.to(device), given).sigmoid()
    return images.cpu().numpy().reshape(n, arch.side, arch.side)


class PaperTrainer:
    """A model in training.

    Parameters
    ----------
    data : PaperImages
        FRDEEP.
    settings : PaperSettings
        The settings.
    classifier : PaperClassifier
        Names the class of what is generated.
    device : str
        Where to train.
    """

    def __init__(self, data: PaperImages, settings: PaperSettings, classifier: PaperClassifier,
                 device: str = "cpu") -> None:
        self.settings, self.classifier, self.device, self.epoch = settings, classifier, device, 0
        self.rows: list[dict[str, float]] = []
        self.seconds: list[dict[str, float]] = []
        self.arch = PaperArchitecture(latent_dim=settings.latent_dim, conditional=settings.conditional,
                                      widths=settings.widths, dropout=settings.dropout)
        turned = rotate_and_crop(data.train, settings.rotations, self.arch.side)
        self.images = torch.from_numpy(turned.reshape(-1, self.arch.pixels))
        self.labels = torch.from_numpy(np.tile(data.train_label, settings.rotations))
        self.test_images = torch.from_numpy(crop_images(data.test, self.arch.side).reshape(-1, self.arch.pixels).copy())
        self.test_labels = torch.from_numpy(data.test_label)
        if len(self.images) < settings.batch_size:
            raise ValueError(f"batch_size must be at most the {len(self.images)} training images, "
                             f"got {settings.batch_size}")
        torch.manual_seed(self._seed(0))
        self.model = PaperModel(self.arch, autocast=settings.precision == "bfloat16").to(device)
        if settings.schedule == "fast":
            rows = torch.randperm(len(self.images))[:FIRST_ROWS]
            spread_weights(self.model, *self._batch(self.images[rows], self.labels[rows]))
        self.steps = -(-len(self.images) // settings.batch_size)
        self.optimizer = _Optimizer(self.model, settings, self.steps * settings.epochs)
        self.svi = SVI(self.model.model, self.model.guide, self.optimizer, loss=Trace_ELBO())
        digest = hashlib.sha256(json.dumps(settings.to_dict(), sort_keys=True).encode())
        for part in (self.images, self.labels, self.test_images, self.test_labels):
            digest.update(part.numpy().tobytes())
        self.fingerprint = digest.hexdigest()

    def _seed(self, *numbers: int) -> int:
        """Return the seed of one epoch: a resumed run draws as an unbroken one."""
        words = np.random.SeedSequence(self.settings.seed, spawn_key=numbers).generate_state(1, np.uint64)
        return int(words[0] >> np.uint64(1))

    def _batch(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        scaled = images.to(self.device).float() / 255 if images.dtype == torch.uint8 else images.to(self.device)
        return scaled, _one_hot(labels).to(self.device) if self.settings.conditional else None

    def _risen(self, share: float | None) -> float:
        """Return how far what comes in over a share of the run has come, from 0 to 1."""
        steps = (share or 0.0) * self.settings.epochs * self.steps
        return 1.0 if steps == 0 else min(1.0, (self.optimizer.step + 1) / steps)

    @property
    def kl_weight(self) -> float:
        """Weight of the Kullback-Leibler term in the next step."""
        return self._risen(self.settings.kl_warmup)

    def run_epoch(self, progress: Any = None) -> float:
        """Train for an epoch; return the mean loss of an image in nats."""
        torch.manual_seed(self._seed(1, self.epoch))
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self._seed(2, self.epoch)))
        self.model.train()
        total = 0.0
        for rows in order.split(self.settings.batch_size):
            images, labels = self._batch(self.images[rows], self.labels[rows])
            self.model.set_dropout(self.settings.dropout * self._risen(self.settings.dropout_warmup))
            total += self.svi.step(images, labels, self.kl_weight)
            if progress is not None:
                progress.update()
        self.model.set_dropout(self.settings.dropout)
        self.epoch += 1
        return total / len(self.images)

    def test_loss(self) -> float:
        """Return the loss of a test image in nats, as the authors take it: dropout on, the class's ln 2 included.

        It is the mean of ``test_draws`` passes, in float32, where they took one.
        """
        torch.manual_seed(self._seed(3, self.epoch))
        self.model.train()
        images, labels = self._batch(self.test_images, self.test_labels)
        autocast, self.model.autocast = self.model.autocast, False
        with torch.no_grad():
            loss = sum(self.svi.evaluate_loss(images, labels) for _ in range(self.settings.test_draws))
        self.model.autocast = autocast
        return loss / (self.settings.test_draws * len(images))

    def score(self, loss: float, seconds: float) -> dict[str, float]:
        """Return a row of the metrics, and keep it."""
        row: dict[str, float] = {"epoch": self.epoch, "train_loss": loss, "test_loss": self.test_loss()}
        torch.manual_seed(self._seed(4, self.epoch))
        generator = torch.Generator().manual_seed(self._seed(5, self.epoch))
        n = self.settings.samples
        labels = torch.arange(len(CLASSES)).repeat_interleave(n)
        made = sample_paper_images(self.model, 2 * n, generator=generator,
                                   labels=labels if self.settings.conditional else None)
        probabilities = self.classifier.classify(made)
        called = probabilities.argmax(axis=1)
        row["ramis"] = ramis(probabilities)
        for i, name in enumerate(CLASSES):
            asked = called[i * n:(i + 1) * n] if self.settings.conditional else called
            row[f"{name.lower()}_fraction"] = float((asked == i).mean())
        row |= {"kl_weight": self.kl_weight, "learning_rate": self.optimizer.now}
        self.rows.append(row)
        self.seconds.append({"epoch": self.epoch, "seconds": round(seconds, 1)})
        return row

    def save(self, path: Path) -> None:
        """Write a checkpoint: whole, or the one before stays."""
        state = {"kind": "bastien2021", "architecture": self.arch.to_dict(), "fingerprint": self.fingerprint,
                 "epoch": self.epoch, "rows": self.rows, "seconds": self.seconds, "model": self.model.state_dict(),
                 "optimizer": self.optimizer.inner.state_dict(), "step": self.optimizer.step}
        with whole_file(path, overwrite=True) as temporary:
            torch.save(state, temporary)

    def load(self, path: str | os.PathLike) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        ValueError
            If it is damaged, of another kind of model or architecture, or of a run with other settings or images.
        """
        shown = show(os.fspath(path))
        try:
            state = read_torch(path, "checkpoint")
            kind, given, fingerprint = (state.get(key) for key in ("kind", "architecture", "fingerprint"))
        except (ValueError, AttributeError) as error:
            reason = str(error).removeprefix(f"checkpoint {shown}").strip()
            raise ValueError(f"checkpoint {shown} is damaged: {reason}") from None
        if kind != "bastien2021":
            raise ValueError(f"checkpoint {shown} must be of a bastien2021 preset, got one of another kind of model")
        if not isinstance(given, dict):
            raise ValueError(f"checkpoint {shown} is damaged: its architecture must be keys and values, "
                             f"got {show(given)}")
        if given != self.arch.to_dict():
            different = ", ".join(f"{key} {value} (not {show(given.get(key))})"
                                  for key, value in self.arch.to_dict().items() if value != given.get(key))
            raise ValueError(f"checkpoint {shown} must be of this architecture, {different}")
        if fingerprint != self.fingerprint:
            raise ValueError(f"checkpoint {shown} must be of the same settings and images, got one of another run")
        with restoring(path):
            self.model.load_state_dict(state["model"])
            self.optimizer.inner.load_state_dict(state["optimizer"])
            check_moments(self.optimizer.inner)
            self.optimizer.step, self.epoch = int(state["step"]), int(state["epoch"])
            self.rows, self.seconds = list(state["rows"]), list(state["seconds"])
