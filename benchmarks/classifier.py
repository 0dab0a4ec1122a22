"""Whether generated stamps help when a classifier learns from few real ones.

    python benchmarks/classifier.py SOURCE... [--real 50 100 200] [--seeds 5] [--steps 500] [--model NAME]

A SOURCE is what `skygal train` reads. Real FRI and FRII stamps of the training cells of the sky (those that
the shipped model learnt from too) are drawn at random, each time as many of either class; all those of the test
cells, which neither the model nor the classifier has seen, are what it is measured on. Each classifier, a small
network on cutouts of 150 x 150 pixels at any angle, is trained with the same number of steps on

    real        the real stamps alone
    both        batches of which half are real and half generated
    synthetic   generated stamps alone, as many as the steps use

and scored by its balanced accuracy. Real and generated stamps are brought to the same form: clipped at 3 sigma, the
clip subtracted, the peak 1. Noise is added to generated ones at the levels of the real training stamps.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

import skygal
from skygal.training.data.cross_match import flatten_cutout
from skygal.training.data.cutouts import join_cutouts
from skygal.training.data.readers import read_stamps
from skygal.training.settings import TrainSettings
from skygal.training.train import load_training_set

CLASSES = ("FRI", "FRII")
BATCH = 32


def as_seen(images: np.ndarray) -> torch.Tensor:
    """Return flattened cutouts as the network takes them: square roots, two pixels to one, shape (n, 1, 75, 75)."""
    return functional.avg_pool2d(torch.from_numpy(images)[:, None].sqrt(), 2)


def flatten_image(image: torch.Tensor) -> torch.Tensor:
    """Return a generated image in the form of the real ones; the `transform` of the dataset."""
    return as_seen(flatten_cutout(image[0].numpy())[None])[0]


def build_network() -> nn.Module:
    """Return four convolutions and a mean over the frame."""
    layers: list[nn.Module] = []
    for a, b in ((1, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 2))


def turned(images: torch.Tensor) -> torch.Tensor:
    """Return images at random angles, half of them mirrored."""
    angle = 2 * torch.pi * torch.rand(len(images))
    cos, sin = angle.cos(), angle.sin()
    flip = torch.where(torch.rand(len(images)) < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(angle)
    theta = torch.stack([torch.stack([flip * cos, -sin, zero], 1), torch.stack([flip * sin, cos, zero], 1)], 1)
    return functional.grid_sample(images, functional.affine_grid(theta, list(images.shape), align_corners=False),
                                  align_corners=False)


def train(batches, steps: int, seed: int) -> nn.Module:
    """Train a network on batches of images and labels."""
    torch.manual_seed(seed)
    network = build_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(steps):
        images, labels = next(batches)
        loss = functional.cross_entropy(network(turned(images)), labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the balanced accuracy, each image seen in four orientations."""
    with torch.no_grad():
        votes = torch.cat([sum(network(torch.rot90(part, k, (2, 3))).softmax(1) for k in range(4)).argmax(1)
                           for part in images.split(256)])
    return float(np.mean([(votes[labels == k] == k).float().mean() for k in range(2)]))


def draw(images: torch.Tensor, labels: torch.Tensor, size: int, seed: int):
    """Yield endless batches of half of each class."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.nonzero(labels == k)[:, 0] for k in range(2)]
    while True:
        picked = torch.cat([part[torch.randint(len(part), (size // 2,), generator=generator)] for part in rows])
        yield images[picked], labels[picked]


def mixed(first, second):
    """Yield batches of both."""
    for (a, x), (b, y) in zip(first, second, strict=False):
        yield torch.cat([a, b]), torch.cat([x, y])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("sources", nargs="*", help="real stamps, as `skygal train` reads them")
    options.add_argument("--real", type=int, nargs="*", default=[50, 100, 200], help="real training stamps")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--steps", type=int, default=500, help="of each training")
    options.add_argument("--synthetic", type=int, default=4000, help="generated stamps that are drawn from")
    options.add_argument("--model")
    options.add_argument("--workers", type=int, default=0)
    given = options.parse_args()
    if not given.sources:
        print("needs real stamps: python benchmarks/classifier.py SOURCE... (see docs/training.rst)")
        return
    data = load_training_set(given.sources, TrainSettings(classes=CLASSES, unlabelled=()), progress=True)
    cutouts = join_cutouts([read_stamps(source) for source in given.sources])
    images = as_seen(np.stack([flatten_cutout(cutouts.images[i], cutouts.rms[i]) for i in data.row]))
    labels = torch.tensor([CLASSES.index(name) for name in data.fr_class])
    train_rows, test_rows = (torch.from_numpy(np.flatnonzero(data.split == split)) for split in ("train", "test"))
    test = images[test_rows], labels[test_rows]
    print(f"real stamps: {len(train_rows)} of the training cells, {len(test_rows)} of the test cells "
          f"({', '.join(f'{name} {int((test[1] == k).sum())}' for k, name in enumerate(CLASSES))})")
    levels = data.noise[train_rows.numpy()]
    generated = skygal.SyntheticStamps(given.synthetic, model=given.model, noise=np.minimum(levels, 0.2), noise_clip=3,
                                       seed=1, transform=flatten_image)
    started = time.monotonic()
    found = list(tqdm(DataLoader(generated, batch_size=64, num_workers=given.workers), "generating"))
    made = tuple(torch.cat(parts) for parts in zip(*found, strict=True))
    print(f"{given.synthetic} generated in {time.monotonic() - started:.0f} s by {generated.model.name!r}")

    scores: dict[tuple[str, int], list[float]] = {}
    fewest = int(torch.bincount(labels[train_rows]).min())
    sizes = [n for n in given.real if n // 2 <= fewest] + [0]
    with tqdm(total=given.seeds * (2 * len(sizes) + 1), desc="training") as bar:
        for seed in range(given.seeds):
            runs = {("synthetic", 0): draw(*made, BATCH, seed)}
            shuffled = train_rows[torch.randperm(len(train_rows), generator=torch.Generator().manual_seed(seed))]
            for n in sizes:
                # n = 0 stands for all of them
                rows = shuffled if n == 0 else torch.cat([shuffled[labels[shuffled] == k][:n // 2] for k in range(2)])
                real = images[rows], labels[rows]
                runs["real", n] = draw(*real, BATCH, seed)
                runs["both", n] = mixed(draw(*real, BATCH // 2, seed), draw(*made, BATCH // 2, seed))
            for key, batches in runs.items():
                scores.setdefault(key, []).append(accuracy(train(batches, given.steps, seed), *test))
                bar.update()
    report(scores, sizes, len(train_rows), len(test_rows))


def report(scores: dict[tuple[str, int], list[float]], sizes: list[int], total: int, tested: int) -> None:
    """Print means over seeds with their standard errors, and the gain pair by pair."""

    def text(values: np.ndarray) -> str:
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
        return f"{100 * values.mean():6.1f} +- {100 * error:3.1f}"

    print(f"balanced accuracy in per cent, {len(scores['synthetic', 0])} seeds; the {tested} test stamps alone leave "
          f"+- {100 * 0.35 / np.sqrt(tested):.1f} that all share")
    print(f"{'real stamps':>12s} {'real':>14s} {'both':>14s} {'gain':>14s}")
    for n in sizes:
        real, both = (np.asarray(scores[kind, n]) for kind in ("real", "both"))
        print(f"{n or total:12d} {text(real):>14s} {text(both):>14s} {text(both - real):>14s}")
    print(f"{'synthetic alone':>27s} {text(np.asarray(scores['synthetic', 0])):>14s}")


if __name__ == "__main__":
    main()
