"""Which places in latent space to keep: the last of the training's three phases.

The decoder's stamps are shown to two guides that learnt from the real training stamps: one names the class, one tells
real stamps from the decoder's. What they say of a stamp follows from its latents and condition, so that a small network
learns to foretell it; the prior is resampled by that (Bauer & Mnih 2019, 2018arXiv181011428B, with the density ratio of
2018arXiv181006758A).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from skygal.morphology.generator import CvaeGenerator
from skygal.morphology.latents import sample_conditions
from skygal.morphology.networks import Acceptance
from skygal.training.augment import StampBatches
from skygal.training.data.prepare import TrainingSet
from skygal.training.stamp_classifier import train_classifier
from skygal.training.torch_view import TorchView

__all__ = ["train_acceptance"]

#: the two classes that the first guide tells apart; others, and one of these alone, are judged by the second alone
CLASSES = ("FRI", "FRII")
#: networks in each guide
GUIDES = 2
#: learning rate of the second guide: at a higher one it calls everything the same
TELLING_RATE = 1e-3
#: noise fields that each generated stamp is shown with
VIEWS = 2
#: the log density ratio of the places that are always kept: this quantile of all
ALWAYS = 0.9
PLACES_AT_ONCE = 512


def train_acceptance(generator: CvaeGenerator, data: TrainingSet, *, n: int, sharpness: tuple[float, float], seed: int,
                     epochs: int = 30, progress: bool = False) -> Acceptance:
    """Train the network that resamples the prior.

    Parameters
    ----------
    generator : CvaeGenerator
        The trained model.
    data : TrainingSet
        The stamps that it learnt from (the training split alone).
    n : int
        Stamps to generate.
    sharpness : (float, float)
        Power of the probability of the class asked for, of FRIs and of FRIIs; 0 leaves it to the decoder.
    seed : int
        Of networks, latents and noise.
    epochs : int
        Of the second guide; the first and the resampling network take two thirds of it.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Acceptance
    """
    given, ratio, named = _guided(generator, data, n, seed=seed, epochs=epochs, progress=progress)
    u, condition = torch.from_numpy(given[0]), torch.from_numpy(generator.condition(*given)).float()
    power = sum(np.where(given[1] == name, one, 0.0) for name, one in zip(CLASSES, sharpness, strict=True))
    target = torch.from_numpy((ratio + power * named).astype(np.float32))
    return _fit(generator, u, condition, target, epochs=_fewer(epochs), seed=seed)


def _fewer(epochs: int) -> int:
    return max(1, 2 * epochs // 3)


def _guided(generator: CvaeGenerator, data: TrainingSet, n: int, *, seed: int, epochs: int,
            progress: bool) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Return draws (latents, class, extent, bending) and what the guides say of each.

    The latter are ln of how much more often real stamps look like it, and ln p(class | stamp), 0 where the class is
    none that the first guide tells apart.
    """
    from tqdm import tqdm

    rng = np.random.default_rng(seed)
    known = data.select(np.isin(data.fr_class, generator.classes))
    # as many of each class as there are real ones, so that the second guide learns nothing from the mix
    draws = rng.integers(len(known), size=n)
    fr_class = known.fr_class[draws]
    keys = rng.integers(2**63, size=n)
    extent, bending = sample_conditions(generator, fr_class, keys)
    u = rng.standard_normal((n, generator.latent_dim)).astype(np.float32)
    nearest = _nearest_noise(extent, fr_class, known, rng)
    views = np.stack([_observed(generator, u, fr_class, extent, bending, nearest, seed=seed + view)
                      for view in range(VIEWS)])
    half = n // 2
    label = np.array([CLASSES.index(c) if c in CLASSES else -1 for c in known.fr_class])
    real, two = _real_views(generator, known, seed=seed), label >= 0
    logit, ratio = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for k in tqdm(range(GUIDES), desc="resampling the prior", unit="guide", disable=not progress):
        if set(CLASSES) <= set(known.fr_class):
            judge = train_classifier(real[:, two], label[two], seed=seed + k, epochs=_fewer(epochs), zoom=0.1)
            odds = sum(_log_odds(judge.classify(view)) for view in views) / VIEWS / GUIDES
            logit += np.where(fr_class == CLASSES[1], odds, np.where(fr_class == CLASSES[0], -odds, 0.0))
        # each half is told from real stamps by guides that learnt on the other
        for mine, other in ((slice(0, half), slice(half, n)), (slice(half, n), slice(0, half))):
            pick = rng.choice(np.arange(n)[other], min(len(known), half), replace=False)
            fake = views[np.arange(1 + VIEWS) % VIEWS][:, pick]
            telling = train_classifier(np.concatenate([real, fake], axis=1), np.repeat([1, 0], [len(known), len(pick)]),
                                       seed=seed + 10 + k, epochs=epochs, learning_rate=TELLING_RATE)
            ratio[mine] += sum(_log_odds(telling.classify(view[mine])) for view in views) / VIEWS / GUIDES
    named = np.where(np.isin(fr_class, CLASSES), -np.logaddexp(0, -logit), 0.0).astype(np.float32)
    return (u, fr_class, extent, bending), ratio, named


def _log_odds(probability: np.ndarray) -> np.ndarray:
    p = np.clip(probability[:, 1].astype(float), 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p)).astype(np.float32)


def _nearest_noise(extent: np.ndarray, fr_class: np.ndarray, known: TrainingSet,
                   rng: np.random.Generator) -> np.ndarray:
    """Return noise levels of real stamps of the class and about the extent."""
    out = np.empty(len(extent), np.float32)
    for name in np.unique(fr_class):
        here, there = np.flatnonzero(fr_class == name), np.flatnonzero(known.fr_class == name)
        order = there[np.argsort(known.extent[there], kind="stable")]
        place = np.searchsorted(known.extent[order], extent[here]) + rng.integers(-7, 8, len(here))
        out[here] = known.noise[order[np.clip(place, 0, len(order) - 1)]]
    return out


def _real_views(generator: CvaeGenerator, known: TrainingSet, *, seed: int) -> np.ndarray:
    """Return real stamps (1 + VIEWS, n, ny, nx): the cutouts' own pixels, then restored and seen with other noise."""
    view, draw = TorchView(generator.arch.shape, generator.arch.beam_sigma), torch.Generator().manual_seed(seed)
    batches = StampBatches(torch.from_numpy(known.images), torch.full((len(known),), -1),
                           torch.from_numpy(known.noise.astype(np.float32)), generator.arch)
    out = np.empty((1 + VIEWS, *known.seen.shape), np.float32)
    out[0] = known.seen
    for rows in torch.arange(len(known)).split(PLACES_AT_ONCE):
        stamps, _ = batches.plain(rows)
        for k in range(1, 1 + VIEWS):
            out[k, rows] = view.turned(stamps, batches.noise[rows], draw).numpy()
    return out


def _observed(generator: CvaeGenerator, u: np.ndarray, fr_class: np.ndarray, extent: np.ndarray, bending: np.ndarray,
              noise: np.ndarray, *, seed: int) -> np.ndarray:
    """Return stamps as the survey shows them, from their latents."""
    view, draw = TorchView(generator.arch.shape, generator.arch.beam_sigma), torch.Generator().manual_seed(seed)
    out = np.empty((len(u), *generator.shape), np.float32)
    for start in range(0, len(u), PLACES_AT_ONCE):
        part = slice(start, start + PLACES_AT_ONCE)
        stamps = torch.from_numpy(generator.decode(u[part], fr_class[part], extent[part], bending[part]))
        out[part] = view.turned(stamps, torch.from_numpy(noise[part]), draw).numpy()
    return out


def _fit(generator: CvaeGenerator, u: torch.Tensor, condition: torch.Tensor, target: torch.Tensor, *, epochs: int,
         seed: int) -> Acceptance:
    """Return the network that foretells the target, with the level above which all is kept."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Acceptance(generator.arch)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
        steps = max(1, len(u) // 128)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(u)).tensor_split(steps):
                loss = functional.mse_loss(net(u[rows], condition[rows]), target[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        net.eval()
        with torch.no_grad():
            net.level.fill_(float(torch.quantile(net(u, condition), ALWAYS)))
    return net
