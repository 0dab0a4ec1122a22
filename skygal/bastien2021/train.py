"""Training of the networks of Bastien et al. (2021, 2021MNRAS.503.3351B), and the search for their learning rate."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skygal.bastien2021.settings import PaperSettings, preset_settings
from skygal.checks import as_count, show
from skygal.io.atomic import check_writable
from skygal.training.run_files import check_aside, drop_aside, set_aside, write_metrics

if TYPE_CHECKING:
    from skygal.bastien2021.frdeep import PaperImages
    from skygal.bastien2021.loop import PaperTrainer
    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["RATES", "best_rate", "run_files", "search_rate", "train_paper_model"]

#: the paper's: 0.0005 to 0.0015 in steps of 0.0001
RATES = tuple(round(5e-4 + 1e-4 * i, 4) for i in range(11))


def run_files(output: str | os.PathLike) -> dict[str, Path]:
    """Return the files of a run: ``weights``, ``checkpoint``, ``metrics``, ``seconds`` and ``classifier``.

    Parameters
    ----------
    output : path
        The weights file, ``*.safetensors``.

    Raises
    ------
    ValueError
        If it ends otherwise.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"output must end in .safetensors, got {show(os.fspath(output))}")
    return {"weights": output, "checkpoint": output.with_suffix(".ckpt"), "metrics": output.with_suffix(".csv"),
            "seconds": output.with_suffix(".seconds.csv"),
            "classifier": output.with_suffix(".classifier.safetensors")}


def train_paper_model(source: str | os.PathLike, output: str | os.PathLike, *, settings: PaperSettings | None = None,
                      classifier: str | os.PathLike | PaperClassifier | None = None, resume: bool = False,
                      device: str = "cpu", progress: bool = False, overwrite: bool = False,
                      name: str | None = None) -> Path:
    """Train the paper's VAE or CVAE on FRDEEP and write its weights.

    Parameters
    ----------
    source : path
        FRDEEP; see `skygal.bastien2021.frdeep.read_frdeep`.
    output : path
        The weights file, ``*.safetensors``: encoder and decoder, float32, 417 MB. Beside it go ``*.ckpt``, from which
        training resumes, ``*.csv`` with the metrics, ``*.seconds.csv`` with the time each row was reached, and the
        classifier's weights (``*.classifier.safetensors``) where it is trained here.
    settings : PaperSettings, optional
        Those of the preset "bastien2021-cvae" if not given.
    classifier : path or PaperClassifier, optional
        Names the class of what is generated; trained first, on the same images with the same seed, if not given.
    resume : bool
        Whether to go on from ``*.ckpt``; the result is that of an unbroken run, bit by bit, on the same machine with
        the same number of threads.
    device : str
        "cpu", "cuda" or "cuda:N".
    progress : bool
        Whether to show a progress bar.
    overwrite : bool
        Whether files that are there may be replaced.
    name : str, optional
        The model's name; the file's stem if not given.

    Returns
    -------
    `~pathlib.Path`
        The weights file, of the last epoch.

    Raises
    ------
    ValueError
        If the output's name ends otherwise, the images do not suffice, the loss is not finite, or the checkpoint is
        damaged, of another architecture or of another run.
    FileExistsError
        If a file exists.
    FileNotFoundError
        If the source, the classifier or the checkpoint to resume from is missing.

    Notes
    -----
    A run that is replaced is kept in the folder ``*.old`` until the new weights are written.

    Columns of ``*.csv``: ``epoch`` (1 is after one pass; the authors' logs begin with 0), ``train_loss`` (mean over the
    epoch's steps, dropout on), ``test_loss``, ``ramis`` of 100 images a class with latents from the box of +-4,
    ``fri_fraction`` and ``frii_fraction`` (of the images made as that class, those the classifier calls so; of all
    images, for the VAE), ``kl_weight`` and ``learning_rate``.
    """
    settings = settings or preset_settings("bastien2021-cvae")
    files = run_files(output)
    check_writable(files["weights"], overwrite=overwrite, folder=False)
    if resume and not files["checkpoint"].is_file():
        raise FileNotFoundError(f"checkpoint {str(files['checkpoint'])!r} to resume from not found")
    for key in ("checkpoint", "metrics", "seconds"):
        check_writable(files[key], overwrite=overwrite or resume, folder=False)
    if not resume:
        check_aside(files["weights"])
    from skygal.bastien2021.frdeep import read_frdeep
    from skygal.bastien2021.loop import PaperTrainer, keep_freed_memory
    from skygal.bastien2021.weights import save_paper_model
    from skygal.morphology.checkpoint import check_device
    from skygal.training.loop import quiet_torch

    check_device(device)
    data = read_frdeep(source)
    # a classifier that was given stays where it is
    replaced = [] if resume else [path for key, path in files.items() if key != "classifier" or classifier is None]
    judge = _classifier(classifier, data, files["classifier"], settings.seed, resume, overwrite, progress, replaced)
    with quiet_torch(settings.seed), keep_freed_memory():
        trainer = PaperTrainer(data, settings, judge, device)
        if resume:
            trainer.load(files["checkpoint"])
        _run(trainer, files, progress, replaced)
    from skygal import __version__

    metadata = {"settings": settings.to_dict(), "skygal": __version__, "source": Path(source).name,
                "left_out": data.skipped, "metrics": trainer.rows[-1],
                "reference": "Bastien et al. 2021, 2021MNRAS.503.3351B"}
    save_paper_model(trainer.model, files["weights"], name=name or files["weights"].stem, metadata=metadata,
                     overwrite=overwrite)
    drop_aside(files["weights"])
    return files["weights"]


def _classifier(given: str | os.PathLike | PaperClassifier | None, data: PaperImages, home: Path, seed: int,
                resume: bool, overwrite: bool, progress: bool, replaced: Sequence[Path]) -> PaperClassifier:
    """Return the classifier: given, read, or trained and kept beside the run."""
    from skygal.evaluation.ramis import PaperClassifier, load_paper_classifier, train_paper_classifier

    if isinstance(given, PaperClassifier):
        return given
    if given is not None:
        return load_paper_classifier(given)
    if resume and home.is_file():
        return load_paper_classifier(home)
    check_writable(home, overwrite=overwrite or resume, folder=False)
    classifier = train_paper_classifier(data.train, data.train_label, seed=seed, progress=progress)
    _set_aside(replaced)
    classifier.save(home, overwrite=overwrite or resume)
    return classifier


def _set_aside(replaced: Sequence[Path]) -> None:
    if replaced:
        set_aside(replaced[0], (*replaced[1:], replaced[0].with_suffix(".yaml")))


def _run(trainer: PaperTrainer, files: dict[str, Path], progress: bool, replaced: Sequence[Path]) -> None:
    """Train to the last epoch; write checkpoint and metrics every few, when what they replace is out of the way."""
    from tqdm import tqdm

    settings = trainer.settings
    started = time.monotonic() - (trainer.seconds[-1]["seconds"] if trainer.seconds else 0.0)
    with tqdm(total=settings.epochs * trainer.steps, initial=trainer.epoch * trainer.steps, desc="training",
              unit="step", disable=not progress) as bar:
        while trainer.epoch < settings.epochs:
            loss = trainer.run_epoch(bar)
            if not math.isfinite(loss):
                raise ValueError(f"loss must stay finite, got {loss} in epoch {trainer.epoch}: "
                                 f"learning_rate {settings.learning_rate} may be too high")
            if trainer.epoch % settings.log_every == 0 or trainer.epoch == settings.epochs:
                row = trainer.score(loss, time.monotonic() - started)
                _set_aside(replaced)
                trainer.save(files["checkpoint"])
                write_metrics(files["metrics"], trainer.rows)
                write_metrics(files["seconds"], trainer.seconds)
                bar.set_postfix(test=f"{row['test_loss']:.1f}", ramis=f"{row['ramis']:.2f}")


def search_rate(source: str | os.PathLike, output: str | os.PathLike, *, settings: PaperSettings | None = None,
                rates: Sequence[float] = RATES, epochs: int = 10, images: int | None = None, device: str = "cpu",
                progress: bool = False, overwrite: bool = False) -> list[dict[str, float]]:
    """Train for a few epochs at each of several rates, from the same first weights, and write the train losses.

    Parameters
    ----------
    source : path
        FRDEEP; see `skygal.bastien2021.frdeep.read_frdeep`.
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

    from skygal.bastien2021.frdeep import read_frdeep
    from skygal.bastien2021.loop import PaperTrainer, keep_freed_memory
    from skygal.evaluation.ramis import PaperClassifier
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
    write_metrics(output, rows, overwrite=overwrite)
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
