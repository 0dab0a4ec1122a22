"""The command that trains octaves, which draw a model's galaxies sharper."""

from __future__ import annotations

from typing import Any

import click

from skygal import __version__
from skygal.cli.shared import RUN, WHOLE, WORDS, add_options, check_ready, kept, training_ready

__all__ = ["train_octaves"]

#: settings that have options
SETTINGS = ("first_steps", "steps", "warmup", "views", "fold", "folds")


@click.command(name="train-octaves", short_help="Train what draws galaxies sharper, on an atlas.")
@click.argument("atlas", type=WORDS)
@click.option("--first-steps", type=WHOLE, help="Steps of training of the first octaves.  [default: 2400]")
@click.option("--steps", type=WHOLE, help="Steps of training of the others.  [default: 2000]")
@click.option("--warmup", type=WHOLE, help="Steps before the critic and stamps have a say.  [default: 200]")
@click.option("--views", type=WHOLE, help="Maps of each source of the atlas at a time.  [default: 6]")
@click.option("--folds", type=WHOLE, help="Leave out a part of the sources: one in so many.")
@click.option("--fold", type=WHOLE, help="Which part, from 0.")
@click.option("--name", type=WORDS, help="The model's name; the file's stem if left out.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint beside the output.")
@add_options(*RUN)
def train_octaves(**given: Any) -> None:
    """Train octaves on ATLAS, maps of well-resolved radio galaxies (*.npz), and write a model that has them.

    Beside the weights (*.safetensors) go the settings (*.yaml), the checkpoint (*.ckpt) and its losses (*.csv).
    """
    check_ready(given, folder=False)
    training_ready(given)
    from dataclasses import asdict

    from skygal.checks import as_seed
    from skygal.io.atomic import whole_file
    from skygal.io.config import dump_config
    from skygal.training.octave_settings import OctaveSettings
    from skygal.training.octaves import train_octaves as run

    seed = OctaveSettings().seed if given["seed"] is None else as_seed("seed", given["seed"])
    settings = OctaveSettings(seed=seed, **{name: given[name] for name in SETTINGS if given[name] is not None})
    written = run(given["atlas"], given["output"], settings=settings, name=given["name"],
                  **{name: given[name] for name in ("resume", "device", "progress", "overwrite")})
    own = kept({name: value for name, value in given.items() if name != "resume"}, seed)
    settled = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    record = {"skygal_version": __version__, "command": "train-octaves", "options": {**settled, **own}}
    with whole_file(written.with_suffix(".yaml"), overwrite=True) as part:
        part.write_text(dump_config(record), encoding="utf-8")
    click.echo(f"{written}")
