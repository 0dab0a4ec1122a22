"""Training of octaves: a conditional VAE on an atlas's maps, and a critic that compares what it draws with them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from skygal.checks import show
from skygal.io.atomic import whole_file
from skygal.io.torch_files import read_torch
from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.training.data.atlas import read_atlas
from skygal.training.octave_settings import OctaveSettings, left_out
from skygal.training.octave_trainer import OctaveTrainer
from skygal.training.run_files import check_run, drop_aside, restoring, set_aside, write_metrics

__all__ = ["train_octaves"]

#: steps to a row of the metrics
SHOWN = 100
#: losses that it has, beside where it is: those of the first octave (0) or of later ones (1)
METRICS = ("elbo", "structure_after_atlas", "structure_after_stamps", "spectrum_after_atlas", "spectrum_after_stamps",
           "critic", "right_real", "right_drawn")


def train_octaves(atlas: str | os.PathLike, output: str | os.PathLike, *, settings: OctaveSettings | None = None,
                  resume: bool = False, device: str = "cpu", progress: bool = False, overwrite: bool = False,
                  name: str | None = None) -> Path:
    """Train octaves on an atlas of well-resolved radio galaxies and write a model that has them.

    Parameters
    ----------
    atlas : path
        See `skygal.training.data.atlas.read_atlas`.
    output : path
        The weights file, ``*.safetensors``. Beside it ``*.ckpt``, from which training resumes, and ``*.csv`` with the
        losses.
    settings : OctaveSettings, optional
        The defaults are those of the weights that come with the package.
    resume : bool
        Whether to go on from ``*.ckpt``.
    device : str
        Where the networks learn: "cpu", "cuda" or "cuda:N".
    progress : bool
        Whether to show a progress bar.
    overwrite : bool
        Whether an output that is there may be replaced.
    name : str, optional
        The model's name; the file's stem if not given.

    Returns
    -------
    `~pathlib.Path`
        The weights file.

    Raises
    ------
    ValueError
        If the output's name has another suffix, the device is none, the atlas does not suffice, or the checkpoint is
        damaged or of other settings.
    FileExistsError, FileNotFoundError
        If the output exists; if the atlas or the checkpoint does not.
    """
    from skygal import __version__
    from skygal.morphology.checkpoint import DEFAULT_MODEL, check_device, load_model
    from skygal.morphology.generator import CvaeGenerator
    from skygal.morphology.octaves import Octaves, save_octaves
    from skygal.training.loop import quiet_torch

    settings = settings or OctaveSettings()
    output, checkpoint, metrics = check_run(output, overwrite=overwrite, resume=resume)
    check_device(device)
    known, base = read_atlas(atlas), load_model(DEFAULT_MODEL)
    assert isinstance(base, CvaeGenerator)
    with quiet_torch(settings.seed):
        first = OctaveTrainer(known, base, settings, device=device)
        later = OctaveTrainer(known, base, settings, first, device=device)
        if resume:
            _load((first, later), checkpoint)
        _run((first, later), checkpoint, metrics, progress, () if resume else (output, output.with_suffix(".yaml")))
    octaves = Octaves(first.trained(), later.trained(), factor=settings.factor)
    least, most = (size / SIZE_TO_EXTENT for size in settings.sizes)
    missing = left_out(len(known.image), settings.fold, settings.folds)
    save_octaves(octaves, output, name=name or output.stem, base=base, extent=(least, most), overwrite=overwrite,
                 metadata={"settings": asdict(settings), "atlas": Path(atlas).name, "skygal": __version__,
                           "left_out": known.name[missing].tolist()})
    drop_aside(output)
    return output


def _run(trainers: Sequence[OctaveTrainer], checkpoint: Path, metrics: Path, progress: bool, replaced: Sequence[Path]
         ) -> None:
    """Train one after another; write metrics and checkpoints, when what they replace is out of the way."""
    from tqdm import tqdm

    settings, started = trainers[0].settings, time.monotonic()
    known = [row["seconds"] for trainer in trainers for row in trainer.rows]
    before, total = max(known, default=0.0), sum(trainer.steps for trainer in trainers)
    with tqdm(total=total, initial=sum(trainer.step for trainer in trainers), desc="training",
              disable=not progress) as bar:
        for trainer in trainers:
            sums: list[dict[str, float]] = []
            while trainer.step < trainer.steps:
                losses = trainer.run_step()
                if not all(math.isfinite(loss) for loss in losses.values()):
                    raise ValueError(f"loss must stay finite, got {losses} in step {trainer.step}: rate "
                                     f"{settings.rate} or critic_rate {settings.critic_rate} may be too high")
                sums.append(losses)
                bar.update()
                shown = trainer.step % SHOWN == 0 or trainer.step == trainer.steps
                kept = trainer.step % settings.checkpoint_every == 0 or trainer.step == trainer.steps
                if (shown or kept) and replaced:
                    set_aside(replaced[0], (checkpoint, metrics, *replaced[1:]))
                    replaced = ()
                if shown:
                    means = {key: float(np.mean([row[key] for row in sums if key in row] or [math.nan]))
                             for key in METRICS}
                    sums = []
                    trainer.rows.append({"octaves": float(trainer.first is not None), "step": trainer.step,
                                         "seconds": before + time.monotonic() - started, **means})
                    write_metrics(metrics, [row for each in trainers for row in each.rows])
                    bar.set_postfix(critic=f"{means['critic']:.3f}")
                if kept:
                    _save(trainers, checkpoint)


def _save(trainers: Sequence[OctaveTrainer], path: Path) -> None:
    """Write a checkpoint, whole."""
    import torch

    state = {"settings": asdict(trainers[0].settings), "trainers": [trainer.state() for trainer in trainers]}
    with whole_file(path, overwrite=True) as part:
        torch.save(state, part)


def _load(trainers: Sequence[OctaveTrainer], path: Path) -> None:
    """Go on from a checkpoint.

    Raises
    ------
    ValueError
        If it is damaged, or of other settings.
    """
    state, own = read_torch(path, "checkpoint"), trainers[0].settings
    with restoring(path):
        values: dict[str, Any] = {field.name: state["settings"][field.name] for field in fields(OctaveSettings)}
        settings = OctaveSettings(**values | {"sizes": tuple(values["sizes"])})
        for trainer, found in zip(trainers, state["trainers"], strict=True):
            trainer.restore(found)
    if settings != own:
        raise ValueError(f"checkpoint {show(os.fspath(path))} must be of the same settings, got {settings}")
