"""Training of the conditional VAE by stochastic variational inference."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skygal.checks import show
from skygal.morphology.conditions import ConditionTable
from skygal.training.data.cutouts import join_cutouts
from skygal.training.data.prepare import TrainingSet, prepare_stamps
from skygal.training.data.readers import read_stamps
from skygal.training.run_files import check_run, drop_aside, set_aside, write_metrics
from skygal.training.settings import TrainSettings

if TYPE_CHECKING:
    from skygal.training.loop import Trainer

__all__ = ["load_training_set", "train_model"]


def load_training_set(sources: Sequence[str | os.PathLike], settings: TrainSettings, *,
                      progress: bool = False) -> TrainingSet:
    """Read and prepare stamps of one or more sources.

    Parameters
    ----------
    sources : sequence of path or str
        See `skygal.training.data.readers.read_stamps`. Of a source that is in two of them, the first counts.
    settings : TrainSettings
        Classes, frame, beam and pixel.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        If there are no sources, no stamps of a class, or too few for a split.
    FileNotFoundError
        If a source is missing.
    """
    if isinstance(sources, (str, os.PathLike)):
        raise TypeError(f"sources must be a list of paths, got {show(sources)}")
    if not sources:
        raise ValueError("sources must name at least one file, folder or package of stamps, got none")
    stamps = join_cutouts([read_stamps(source) for source in sources])
    data = prepare_stamps(stamps, classes=(*settings.classes, *settings.unlabelled), shape=settings.shape,
                          beam_fwhm=settings.beam_fwhm, pixel_scale=settings.pixel_scale,
                          exclude=settings.exclude, progress=progress)
    if stamps.skipped:
        data.dropped["blank"] = data.dropped.get("blank", 0) + stamps.skipped
    for fr_class in settings.classes:
        if not ((data.fr_class == fr_class) & (data.split == "train")).any():
            raise ValueError(f"stamps must hold each class of {', '.join(settings.classes)} in the training split, got "
                             f"none of {fr_class} (left out: {data.dropped or 'none'}): give classes without it, "
                             "or more stamps")
    count = {split: int((data.split == split).sum()) for split in ("train", "validation")}
    if count["train"] < settings.batch_size or count["validation"] < 1:
        raise ValueError(f"stamps must suffice for a batch of {settings.batch_size} and one for validation, "
                         f"got {count['train']} and {count['validation']}")
    return data


def train_model(sources: Sequence[str | os.PathLike], output: str | os.PathLike, *,
                settings: TrainSettings | None = None, resume: bool = False, device: str = "cpu",
                progress: bool = False, overwrite: bool = False, name: str | None = None) -> Path:
    """Train a model on stamps and write its weights.

    Parameters
    ----------
    sources : sequence of path or str
        See `skygal.training.data.readers.read_stamps`.
    output : path
        The weights file, ``*.safetensors``. Beside it ``*.ckpt``, from which training resumes, and
        ``*.csv`` with the metrics of each checkpoint are written.
    settings : TrainSettings, optional
        The defaults are those of the weights that come with the package.
    resume : bool
        Whether to go on from ``*.ckpt``; the result is that of an unbroken run, bit by bit, on the
        same machine with the same number of threads.
    device : str
        "cpu", "cuda" or "cuda:N".
    progress : bool
        Whether to show a progress bar.
    overwrite : bool
        Whether an output that is there may be replaced.
    name : str, optional
        The model's name; the file's stem if not given.

    Returns
    -------
    `~pathlib.Path`
        The weights file: the mean over the last adversarial steps, or without any the weights of the
        checkpoint with the best validation ELBO after the warm-up.

    Raises
    ------
    ValueError
        If the output's name has another suffix, the stamps do not suffice, or the checkpoint is
        damaged or was made with other settings or stamps.
    FileExistsError
        If the output exists.
    FileNotFoundError
        If a source, or the checkpoint to resume from, is missing.

    Notes
    -----
    Interrupted (Ctrl-C), the last checkpoint stays and no weights are written. A run that is replaced is kept in the
    folder ``*.old`` from the first checkpoint until the new weights are written.
    """
    settings = settings or TrainSettings()
    output, checkpoint, metrics = check_run(output, overwrite=overwrite, resume=resume)
    from skygal.morphology.checkpoint import check_device, load_model, save_model
    from skygal.morphology.generator import CvaeGenerator
    from skygal.training.acceptance import train_acceptance
    from skygal.training.loop import Trainer, quiet_torch

    check_device(device)
    data = load_training_set(sources, settings, progress=progress)
    with quiet_torch(settings.seed):
        trainer = Trainer(data, settings, device)
        if resume:
            trainer.load(checkpoint)
        _run(trainer, checkpoint, metrics, progress, () if resume else (output, output.with_suffix(".yaml")))
        best = trainer.best_model()
    splits = {split: {fr_class: int(((data.split == split) & (data.fr_class == fr_class)).sum())
                      for fr_class in settings.classes} for split in ("train", "validation", "test")}
    train = data.select(data.split == "train")
    tables = {fr_class: ConditionTable.of_stamps(train.extent[here], train.bending[here])
              for fr_class in settings.classes for here in [train.fr_class == fr_class]}
    from skygal import __version__

    metadata = {"settings": settings.to_dict(), "stamps": splits, "left_out": data.dropped,
                "sources": [Path(source).name for source in sources], "skygal": __version__,
                "validation": trainer.best_row}
    written: dict[str, Any] = {"name": name or output.stem, "tables": tables, "metadata": metadata}
    acceptance = None
    if settings.acceptance_stamps:
        with tempfile.TemporaryDirectory() as folder:
            # of the weights as they are kept, in 16 bits
            generator = load_model(save_model(best, Path(folder) / output.name, **written), device=device)
        assert isinstance(generator, CvaeGenerator)
        with quiet_torch(settings.seed):
            acceptance = train_acceptance(generator, train, n=settings.acceptance_stamps, sharpness=settings.sharpness,
                                          seed=settings.seed, progress=progress)
    save_model(best, output, acceptance=acceptance, overwrite=overwrite, **written)
    drop_aside(output)
    return output


def _run(trainer: Trainer, checkpoint: Path, metrics: Path, progress: bool, replaced: Sequence[Path]) -> None:
    """Train to the last epoch; write checkpoint and metrics every few, when what they replace is out of the way."""
    from tqdm import tqdm

    settings = trainer.settings
    started = time.monotonic() - (trainer.rows[-1]["seconds"] if trainer.rows else 0.0)
    with tqdm(total=trainer.epochs, initial=trainer.epoch, desc="training", unit="epoch",
              disable=not progress) as bar:
        while trainer.epoch < trainer.epochs:
            losses = trainer.run_epoch()
            if not all(math.isfinite(loss) for loss in losses.values()):
                raise ValueError(f"loss must stay finite, got {losses} in epoch {trainer.epoch}: "
                                 f"learning_rate {settings.learning_rate} or adversarial_rate "
                                 f"{settings.adversarial_rate} may be too high")
            bar.update()
            if trainer.epoch % settings.checkpoint_every == 0 or trainer.epoch in (settings.epochs, trainer.epochs):
                row = trainer.score(losses, time.monotonic() - started)
                if replaced:
                    set_aside(replaced[0], (checkpoint, metrics, *replaced[1:]))
                trainer.save(checkpoint)
                write_metrics(metrics, trainer.rows)
                bar.set_postfix(elbo=f"{row['validation_elbo']:.1f}")
