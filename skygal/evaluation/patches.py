"""A two-sample test on patches: how well a small network tells small parts of drawn sources from those of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skygal.evaluation.sharp import FAINTEST
from skygal.rendering.threads import one_thread
from skygal.training.data.atlas import PIXELS_PER_BEAM

if TYPE_CHECKING:
    import torch

__all__ = ["PATCH", "cut_patches", "learn_to_tell", "split_test", "tell_patches", "told_middle", "told_second"]

#: pixels along a patch: 8 beams
PATCH = 8 * PIXELS_PER_BEAM
#: of the patch's peak: what is fainter is nothing
DARK = 1e-3
#: patches of each source to learn from and to be tried on, and of each class to a step
PATCHES, BATCH = 32, 16
EPOCHS, RATE, DECAY, DROPOUT = 10, 3e-3, 1e-2, 0.3
TOLD_AT_ONCE = 256


def cut_patches(maps: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut patches about random pixels above 2 % of each map's peak.

    Parameters
    ----------
    maps : sequence of `~numpy.ndarray`
        4 pixels to the FWHM of a beam, each with some flux.
    rng : `~numpy.random.Generator`
        Draws the places.

    Returns
    -------
    `~numpy.ndarray`, `~numpy.ndarray`
        Shape (m, 32, 32), float32: the logarithm of brightness, 1 at the patch's peak and -1 three decades below; and
        the number of the map that each is of.
    """
    patches, half = [], PATCH // 2
    for image in maps:
        wide = np.pad(np.asarray(image, np.float32), half)
        y, x = np.nonzero(wide > FAINTEST * wide.max())
        for k in rng.integers(len(y), size=PATCHES):
            part = wide[y[k] - half:y[k] + half, x[k] - half:x[k] + half]
            patches.append(2 / 3 * np.log10(np.maximum(part / part.max(), DARK)) + 1)
    return np.array(patches, np.float32), np.repeat(np.arange(len(maps)), PATCHES)


def tell_patches(real: Sequence[np.ndarray], drawn: Sequence[np.ndarray], real_fold: np.ndarray,
                 drawn_fold: np.ndarray, *, seeds: Sequence[int]) -> tuple[float, float]:
    """Measure how often networks tell patches of drawn sources from those of real ones.

    Parameters
    ----------
    real, drawn : sequence of `~numpy.ndarray`
        Maps, see `cut_patches`.
    real_fold, drawn_fold : `~numpy.ndarray` of int
        The part that each is in: networks learn from all parts but one, and are tried on that.
    seeds : sequence of int
        One network of each part for each.

    Returns
    -------
    float, float
        Balanced accuracy, mean over seeds, and its error from the scatter between sources: 0.5 where nothing is told.

    Raises
    ------
    ValueError
        If there are fewer than two parts, or one without real or without drawn sources.
    """
    folds = np.unique(real_fold)
    if len(folds) < 2 or not np.array_equal(folds, np.unique(drawn_fold)):
        raise ValueError("real_fold and drawn_fold must have the same parts, two at least, got "
                         f"{folds.tolist()} and {np.unique(drawn_fold).tolist()}")
    right = [np.zeros((len(seeds), len(maps))) for maps in (real, drawn)]
    for number, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        (first, of_first), (second, of_second) = (cut_patches(maps, rng) for maps in (real, drawn))
        for fold in folds:
            learn = first[real_fold[of_first] != fold], second[drawn_fold[of_second] != fold]
            network = learn_to_tell(*learn, rng=rng, seed=int(rng.integers(2**31)))
            for kind, (patches, source, part) in enumerate(((first, of_first, real_fold),
                                                            (second, of_second, drawn_fold))):
                told = told_second(network, patches) == bool(kind)
                mean = np.bincount(source, told) / np.bincount(source)
                right[kind][number] = np.where(part == fold, mean, right[kind][number])
    means = [values.mean(axis=0) for values in right]
    error = np.sqrt(sum(values.var(ddof=1) / len(values) for values in means)) / 2
    return float(np.mean([values.mean() for values in means])), float(error)


def split_test(maps: Sequence[np.ndarray], *, seeds: Sequence[int], folds: int = 3) -> tuple[float, float]:
    """Measure how often networks tell one half of the sources from the other: what `tell_patches` says of equals.

    Parameters
    ----------
    maps : sequence of `~numpy.ndarray`
        See `cut_patches`.
    seeds : sequence of int
        Each has halves of its own.
    folds : int
        Parts of either half.

    Returns
    -------
    float, float
        Balanced accuracy, mean over seeds, and its error from the scatter between the sources of one pair of halves.

    Raises
    ------
    ValueError
        If there are fewer than two sources to a part of either half.
    """
    if len(maps) < 4 * folds:
        raise ValueError(f"maps must be at least {4 * folds}, two to each of {folds} parts of either half, "
                         f"got {len(maps)}")
    found = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(maps))
        first, second = ([maps[k] for k in order[start::2]] for start in (0, 1))
        parts = np.arange(len(first)) % folds
        found.append(tell_patches(first, second, parts, parts[:len(second)], seeds=(seed,)))
    accuracy, error = np.transpose(found)
    # the halves of all seeds share their sources, whose scatter more seeds do not lessen
    return float(accuracy.mean()), float(np.sqrt(np.mean(error**2)))


def _network() -> torch.nn.Sequential:
    """Return a network that sees each pixel: three layers of features, the mean of the last."""
    from torch import nn

    def layer(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(*layer(1, 12), *layer(12, 24), *layer(24, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Dropout(DROPOUT), nn.Linear(32, 1))


def learn_to_tell(first: np.ndarray, second: np.ndarray, *, rng: np.random.Generator, seed: int,
                  epochs: int = EPOCHS) -> torch.nn.Module:
    """Return a network that gives positive numbers for images of the second kind; both count the same.

    Parameters
    ----------
    first, second : `~numpy.ndarray`
        Shapes (n, ny, nx) and (m, ny, nx), float32, from -1 to 1 mostly.
    rng : `~numpy.random.Generator`
        Draws what is learnt from at each step.
    seed : int
        Of the network.
    epochs : int
        Length of the training.

    Raises
    ------
    ValueError
        If an image is not finite: what learnt from it would tell nothing.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from skygal.training.loop import quiet_torch

    for name, images in (("first", first), ("second", second)):
        if bad := np.count_nonzero(~np.isfinite(images).all(axis=(1, 2))):
            raise ValueError(f"{name} must be finite images, got {bad} of {len(images)} that are not")
    kinds = [torch.from_numpy(patches)[:, None] for patches in (first, second)]
    steps = epochs * max(map(len, kinds)) // BATCH
    label = torch.repeat_interleave(torch.tensor([0.0, 1.0]), BATCH)
    with one_thread(), quiet_torch(seed):
        network = _network()
        optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
        for _ in range(steps):
            batch = torch.cat([patches[rng.integers(len(patches), size=BATCH)] for patches in kinds])
            for axis in (2, 3):
                batch = batch.flip(axis) if rng.random() < 0.5 else batch
            batch = batch.transpose(2, 3) if rng.random() < 0.5 else batch
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(network(batch)[:, 0], label).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def told_second(network: torch.nn.Module, patches: np.ndarray, above: float = 0.0) -> np.ndarray:
    """Return which images (n, ny, nx) a network takes for the second kind: those of numbers above that."""
    return _numbers(network, patches) > above


def told_middle(network: torch.nn.Module, first: np.ndarray, second: np.ndarray) -> float:
    """Return the number halfway between the mean ones of two kinds of images that a network learnt from.

    After few steps all numbers may be positive, or all negative, and yet tell the kinds apart.
    """
    return float(np.mean([_numbers(network, images).mean(dtype=float) for images in (first, second)]))


def _numbers(network: torch.nn.Module, patches: np.ndarray) -> np.ndarray:
    import torch

    with one_thread(), torch.inference_mode():
        return np.concatenate([network(part[:, None])[:, 0].numpy()
                               for part in torch.from_numpy(patches).split(TOLD_AT_ONCE)])
