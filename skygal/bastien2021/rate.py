"""The search for the initial learning rate of Bastien et al. (2021, 2021MNRAS.503.3351B, Section 5.2)."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from skygal.bastien2021.settings import PaperSettings, preset_settings
from skygal.checks import as_count

__all__ = ["RATES", "best_rate", "search_rate"]

#: the paper's: 0.0005 to 0.0015 in steps of 0.0001
RATES = tuple(round(5e-4 + 1e-4 * i, 4) for i in range(11))


def search_rate(source: str | os.PathLike, output: str | os.PathLike, *, settings: PaperSettings | None = None,
                rates: Sequence[float] = RATES, epochs: int = 10, images: int | None = None, device: str = "cpu",
                progress: bool = False, overwrite: bool = False) -> list[dict[str, float]]:
    """Train for a few epochs at each of several rates, from the same first weights, and write the train losses.

    Parameters
    ----------
    source : path
        FRDEEP; see `skygal.bastien2021.images.read_frdeep`.
    output : path
        A CSV file with the columns ``learning_rate`` and ``train_loss``, the mean loss of an image over the last epoch.
    settings : PaperSettings, optional
        Those of the preset "bastien2021-cvae" if not given; its epochs and rate do not count.
    rates : sequence of float
        The rates.
    epochs : int
        How long to train at each.
    images : int, optional
        Train on so many images (before rotation) out of FRDEEP, a random part; on all if not given.
    device : str
        Where to train.
    progress : bool
        Whether to show a progress bar.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    list of dict
        The file's rows, in the order of ``rates``; a rate at which the loss is not finite has the loss inf.

    Raises
    ------
    ValueError
        If there are no rates, one is not positive, or ``images`` is more than there are.
    """
    from tqdm import tqdm

    from skygal.bastien2021.images import read_frdeep
    from skygal.bastien2021.loop import PaperTrainer, keep_freed_memory
    from skygal.evaluation.ramis import PaperClassifier
    from skygal.io.atomic import check_writable, whole_file
    from skygal.morphology.checkpoint import check_device
    from skygal.training.loop import quiet_torch

    settings = settings or preset_settings("bastien2021-cvae")
    epochs = as_count("epochs", epochs, minimum=1)
    if not rates:
        raise ValueError("rates must be at least one learning rate, got none")
    for rate in rates:
        if not 0 < rate < float("inf"):
            raise ValueError(f"rates must be positive, got {rate}")
    check_device(device)
    check_writable(output, overwrite=overwrite, folder=False)
    data = read_frdeep(source)
    if images is not None:
        images = as_count("images", images, minimum=1)
        if images > len(data.train):
            raise ValueError(f"images must be at most the {len(data.train)} of FRDEEP, got {images}")
        kept = np.sort(np.random.default_rng(settings.seed).permutation(len(data.train))[:images])
        data = replace(data, train=data.train[kept], train_label=data.train_label[kept])
    rows: list[dict[str, float]] = []
    with quiet_torch(settings.seed), keep_freed_memory(), \
            tqdm(total=len(rates) * epochs, desc="rates", unit="epoch", disable=not progress) as bar:
        for rate in rates:
            own = replace(settings, epochs=epochs, learning_rate=rate)
            trainer = PaperTrainer(data, own, PaperClassifier(), device)
            loss = math.inf
            for _ in range(epochs):
                loss = trainer.run_epoch()
                bar.update()
                if not math.isfinite(loss):
                    loss = math.inf
                    break
            rows.append({"learning_rate": rate, "train_loss": loss})
            bar.set_postfix(rate=rate, loss=f"{loss:.1f}")
    with whole_file(output, overwrite=overwrite) as part, Path(part).open("w", newline="") as file:
        writer = csv.DictWriter(file, ["learning_rate", "train_loss"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def best_rate(rows: Sequence[dict[str, float]]) -> float:
    """Return the rate with the least train loss.

    Raises
    ------
    ValueError
        If none has a finite one.
    """
    finite = [row for row in rows if math.isfinite(row["train_loss"])]
    if not finite:
        raise ValueError("rates must hold one with a finite loss, got none in "
                         f"{[row['learning_rate'] for row in rows]}")
    return min(finite, key=lambda row: row["train_loss"])["learning_rate"]
