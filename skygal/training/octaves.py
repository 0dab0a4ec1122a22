"""Training of octaves: a conditional VAE on an atlas's maps, and a critic that compares what it draws with them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.training.data.atlas import read_atlas
from skygal.training.octave_settings import OctaveSettings, left_out
from skygal.training.octave_trainer import OctaveTrainer
from skygal.training.run_files import check_run, drop_aside, set_aside, write_metrics

__all__ = ["train_octaves"]

#: steps to a row of the metrics
SHOWN = 100


def train_octaves(atlas: str | os.PathLike, output: str | os.PathLike, *, settings: OctaveSettings | None = None,
                  resume: bool = False, progress: bool = False, overwrite: bool = False, name: str | None = None
                  ) -> Path:
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
        If the output's name has another suffix, the atlas does not suffice, or the checkpoint is damaged or of
        other settings.
    FileExistsError, FileNotFoundError
        If the output exists; if the atlas or the checkpoint does not.
    """
    from skygal import __version__
    from skygal.morphology.checkpoint import DEFAULT_MODEL, load_model
    from skygal.morphology.generator import CvaeGenerator
    from skygal.morphology.octave_networks import Octave
    from skygal.morphology.octaves import save_octaves
    from skygal.training.loop import quiet_torch

    settings = settings or OctaveSettings()
    output, checkpoint, metrics = check_run(output, overwrite=overwrite, resume=resume)
    known, base = read_atlas(atlas), load_model(DEFAULT_MODEL)
    assert isinstance(base, CvaeGenerator)
    with quiet_torch(settings.seed):
        trainer = OctaveTrainer(known, base, settings)
        if resume:
            trainer.load(checkpoint)
        _run(trainer, checkpoint, metrics, progress, () if resume else (output, output.with_suffix(".yaml")))
        network = Octave()
        network.load_state_dict(trainer.kept)
    low, high = settings.sizes
    missing = left_out(len(known.image), settings.fold, settings.folds)
    save_octaves(network, output, name=name or output.stem, base=base, factor=settings.factor,
                 extent=(low / SIZE_TO_EXTENT, high / SIZE_TO_EXTENT), overwrite=overwrite,
                 metadata={"settings": asdict(settings), "atlas": Path(atlas).name, "skygal": __version__,
                           "left_out": known.name[missing].tolist()})
    drop_aside(output)
    return output


def _run(trainer: OctaveTrainer, checkpoint: Path, metrics: Path, progress: bool, replaced: Sequence[Path]) -> None:
    """Train to the last step; write metrics and checkpoints, when what they replace is out of the way."""
    from tqdm import tqdm

    settings, started, sums = trainer.settings, time.monotonic(), []
    before = trainer.rows[-1]["seconds"] if trainer.rows else 0.0
    with tqdm(total=settings.steps, initial=trainer.step, desc="training", disable=not progress) as bar:
        while trainer.step < settings.steps:
            losses = trainer.run_step()
            if not all(math.isfinite(loss) for loss in losses.values()):
                raise ValueError(f"loss must stay finite, got {losses} in step {trainer.step}: rate {settings.rate} or "
                                 f"critic_rate {settings.critic_rate} may be too high")
            sums.append(losses)
            bar.update()
            shown = trainer.step % SHOWN == 0 or trainer.step == settings.steps
            kept = trainer.step % settings.checkpoint_every == 0 or trainer.step == settings.steps
            if (shown or kept) and replaced:
                set_aside(replaced[0], (checkpoint, metrics, *replaced[1:]))
                replaced = ()
            if shown:
                names = ("elbo", "structure_after_atlas", "structure_after_stamps", "spectrum_after_atlas",
                         "spectrum_after_stamps", "critic", "right_real", "right_after_atlas", "right_after_stamps")
                means = {key: float(np.mean([row[key] for row in sums if key in row] or [math.nan])) for key in names}
                sums = []
                trainer.rows.append({"step": trainer.step, "seconds": before + time.monotonic() - started, **means})
                write_metrics(metrics, trainer.rows)
                bar.set_postfix(critic=f"{means['critic']:.3f}")
            if kept:
                trainer.save(checkpoint)
