"""The training loop: epochs, validation, checkpoints that resume to the bit."""

from __future__ import annotations

import copy
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

from skygal.checks import show
from skygal.io.atomic import whole_file
from skygal.io.torch_files import check_moments, read_torch
from skygal.morphology.model import GalaxyModel, LatentPrior
from skygal.morphology.networks import Architecture, stretch
from skygal.training.adversarial import AdversarialPhase
from skygal.training.augment import StampBatches
from skygal.training.data.prepare import TrainingSet
from skygal.training.run_files import restoring
from skygal.training.settings import TrainSettings

__all__ = ["Trainer", "quiet_torch"]

#: samples of the guide for a validation score
SCORE_SAMPLES = 8
SCORE_BLOCK = 64  # stamps scored at once
#: how far below a whole learning rate the cosine ends
LAST_RATE = 0.02
RISE = 100  # steps to the whole learning rate
CLIP_NORM = 2000.0
LOSSES = ("train_loss", "discriminator_loss", "generator_loss")


@contextmanager
def quiet_torch(seed: int) -> Iterator[None]:
    """Seed torch for a run and leave its random state, its denormals and Pyro's store as they were."""
    # torch tells no one whether it flushes them, so one is halved
    flushed = not (torch.full((1,), 1e-40) * 0.5).any().item()
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        torch.manual_seed(seed)
        # numbers too small for a normal float slow a CPU tenfold
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(flushed)


class AnnealedAdamW(pyro.optim.PyroOptim):
    """One AdamW for all parameters, as Pyro's SVI takes it; its state is saved whole."""

    def __init__(self, model: torch.nn.Module, settings: TrainSettings, steps: int) -> None:
        super().__init__(torch.optim.AdamW, {})
        self.parameters = list(model.parameters())
        self.adam = torch.optim.AdamW(self.parameters, lr=settings.learning_rate, betas=(0.9, 0.99),
                                      weight_decay=settings.weight_decay, fused=True)
        self.rate, self.steps, self.step = settings.learning_rate, steps, 0

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Take a step; ``params`` are the model's own."""
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / self.steps)))
        self.step += 1
        self.adam.param_groups[0]["lr"] = (
            self.rate * min(1.0, self.step / RISE) * (LAST_RATE + (1 - LAST_RATE) * fall))
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        self.adam.step()


class Trainer:
    """A model in training: first by its likelihood alone, then by a discriminator as well.

    Parameters
    ----------
    data : TrainingSet
        The stamps.
    settings : TrainSettings
        The settings.
    device : str
        Where to train.
    """

    def __init__(self, data: TrainingSet, settings: TrainSettings, device: str) -> None:
        self.settings, self.epoch, self.device = settings, 0, device
        self.rows: list[dict[str, float]] = []
        train, validation = (data.select(data.split == split) for split in ("train", "validation"))
        log_extent = np.log(train.extent)
        self.arch = Architecture(
            classes=settings.classes, shape=settings.shape, latent_dim=settings.latent_dim,
            decoder_widths=settings.decoder_widths, encoder_widths=settings.encoder_widths,
            flow_layers=settings.flow_layers, flow_width=settings.flow_width,
            pixel_scale=float(settings.pixel_scale), beam_fwhm=float(settings.beam_fwhm),
            log_extent_mean=float(log_extent.mean()), log_extent_std=float(max(log_extent.std(), 0.05)))
        self.train, self.validation = (
            StampBatches(torch.from_numpy(part.images).to(device),
                         torch.tensor([settings.classes.index(name) if name in settings.classes else -1
                                       for name in part.fr_class], device=device),
                         torch.from_numpy(part.noise.astype(np.float32)).to(device), self.arch)
            for part in (train, validation))
        self.seen = torch.from_numpy(train.seen).to(device)
        self.model = GalaxyModel(self.arch, sigma=settings.sigma, dropout=settings.dropout,
                                 flow_dropout=settings.flow_dropout).to(device)
        self.steps = len(self.train) // settings.batch_size
        self.optimizer = AnnealedAdamW(self.model, settings, self.steps * settings.epochs)
        self.elbo = Trace_ELBO()
        self.svi = SVI(self.model.model, self.model.guide, self.optimizer, loss=self.elbo)
        self.adversarial = AdversarialPhase(self) if settings.adversarial_epochs else None
        self.best: dict[str, torch.Tensor] | None = None
        self.best_row: dict[str, float] = {}
        digest = hashlib.sha256(json.dumps(settings.to_dict(), sort_keys=True).encode())
        for part in (train, validation):
            digest.update(np.ascontiguousarray(part.images).tobytes())
        self.fingerprint = digest.hexdigest()

    @property
    def epochs(self) -> int:
        """Epochs of both phases."""
        return self.settings.epochs + self.settings.adversarial_epochs

    def _seed(self, number: int) -> int:
        """Return the seed of one epoch: a resumed run draws as an unbroken one."""
        words = np.random.SeedSequence(self.settings.seed, spawn_key=(number,)).generate_state(1, np.uint64)
        return int(words[0] >> np.uint64(1))

    def run_epoch(self) -> dict[str, float]:
        """Train for an epoch; return its mean losses, in nats a stamp."""
        settings = self.settings
        torch.manual_seed(self._seed(self.epoch))
        generator = torch.Generator().manual_seed(self._seed(self.epoch) ^ 1)
        order = torch.randperm(len(self.train), generator=generator)
        self.model.train()
        if self.epoch == settings.epochs and self.best is not None:
            self.model.load_state_dict(self.best)
        total: dict[str, float] = dict.fromkeys(LOSSES, 0.0)
        for step in range(self.steps):
            rows = order[step * settings.batch_size:(step + 1) * settings.batch_size]
            if self.epoch < settings.epochs:
                weight = min(1.0, (self.epoch + 1) / max(settings.warmup_epochs, 1))
                view, stamps, condition = self.train.varied(rows, generator, settings.zoom, settings.noise)
                losses = {"train_loss": self.svi.step(view, condition, stamps, weight) / len(rows)}
            else:
                assert self.adversarial is not None
                losses = self.adversarial.step(rows, generator, self.epoch - settings.epochs + step / self.steps)
            for name, value in losses.items():
                total[name] += value / self.steps
        self.epoch += 1
        return total

    def score(self, losses: dict[str, float], seconds: float) -> dict[str, float]:
        """Score the validation stamps; keep the weights if they are the best so far, or of the second phase."""
        torch.manual_seed(self._seed(self.epoch) ^ 2)
        second = self.adversarial is not None and self.epoch > self.settings.epochs
        model = self.adversarial.average if second and self.adversarial is not None else self.model
        elbo, reconstruction, divergence = elbo_terms(model, self.validation)
        row = {"epoch": self.epoch, "seconds": round(seconds, 1), **losses, "validation_elbo": elbo,
               "validation_reconstruction": reconstruction, "validation_kl": divergence,
               "learning_rate": self.optimizer.adam.param_groups[0]["lr"]}
        self.rows.append(row)
        # under a lighter Kullback-Leibler term codes are not yet where the prior looks for them
        settled = self.epoch >= min(self.settings.warmup_epochs, self.settings.epochs)
        # the second phase is for what the ELBO does not see, so that its last weights count
        if settled and (self.best is None or second or elbo > self.best_row["validation_elbo"]):
            self.best = copy.deepcopy(model.state_dict())
            self.best_row = row
        return row

    def best_model(self) -> GalaxyModel:
        """Return the model with its best weights, ready to decode."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        return self.model.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint: whole, or the one before stays."""
        state = {"fingerprint": self.fingerprint, "epoch": self.epoch, "rows": self.rows,
                 "model": self.model.state_dict(), "adam": self.optimizer.adam.state_dict(),
                 "step": self.optimizer.step, "best": self.best, "best_row": self.best_row,
                 # the word for the second phase in files that were written before
                 "game": None if self.adversarial is None else self.adversarial.state_dict()}
        with whole_file(path, overwrite=True) as temporary:
            torch.save(state, temporary)

    def load(self, path: str | os.PathLike) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        ValueError
            If it is damaged, or of a run with other settings or stamps.
        """
        shown = f"checkpoint {show(os.fspath(path))}"
        try:
            state = read_torch(path, "checkpoint")
            fingerprint = state["fingerprint"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{shown} is damaged: {str(error).removeprefix(shown).strip()}") from None
        if fingerprint != self.fingerprint:
            raise ValueError(f"{shown} must be of the same settings and stamps, got one of another run")
        with restoring(path):
            self.model.load_state_dict(state["model"])
            self.optimizer.adam.load_state_dict(state["adam"])
            check_moments(self.optimizer.adam)
            self.optimizer.step, self.epoch, self.rows = int(state["step"]), int(state["epoch"]), list(state["rows"])
            self.best, self.best_row = state["best"], state["best_row"]
            if self.adversarial is not None:
                self.adversarial.load_state_dict(state["game"])


def elbo_terms(model: GalaxyModel, batches: StampBatches) -> tuple[float, float, float]:
    """Return ELBO, reconstruction term and Kullback-Leibler divergence of a stamp, means in nats.

    The Gaussian's constant is left out: reconstruction is -sum((sqrt(x) - sqrt(decoded))^2) / (2 sigma^2).
    """
    model.eval()
    total = np.zeros(2)
    with torch.no_grad():
        for start in range(0, len(batches), SCORE_BLOCK):
            rows = torch.arange(start, min(start + SCORE_BLOCK, len(batches)))
            stamps, condition = batches.plain(rows)
            loc, scale = model.encoder(stretch(stamps), condition)
            prior = LatentPrior(model.flow, condition, model.arch.latent_dim)
            for _ in range(SCORE_SAMPLES):
                z = loc + scale * torch.randn(loc.shape).to(loc.device)
                residual = (stretch(model.decoder(z, condition)) - stretch(stamps)) / model.sigma
                total[0] -= 0.5 * float((residual**2).sum())
                total[1] += float((torch.distributions.Normal(loc, scale).log_prob(z).sum(dim=1)
                                   - prior.log_prob(z)).sum())
    reconstruction, divergence = (total / (SCORE_SAMPLES * len(batches))).tolist()
    return reconstruction - divergence, reconstruction, divergence
