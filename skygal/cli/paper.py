"""Commands for the networks of Bastien et al. (2021): presets of ``train``, search-rate, convert-weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from skygal.cli.shared import TRAINING, WHOLE, WORDS, add_options, check_ready

__all__ = ["add_preset_options", "check_no_preset", "convert_weights", "search_rate", "train_preset"]

#: options of a preset alone, and what they are
PRESET_ONLY = {
    "schedule": "'paper' (Adagrad) or 'fast'.",
    "rotations": "Turns of each image.",
    "log_every": "Epochs between rows of the metrics and checkpoints.",
    "test_draws": "Passes over the test images for the test loss.",
    "samples": "Images generated of each class for RAMIS.",
    "kl_warmup": "Share of the run over which the Kullback-Leibler term comes in.",
    "dropout_warmup": "Share of the run over which dropout comes in.",
}
#: settings that a preset shares with other trainings
SHARED = ("latent_dim", "epochs", "batch_size", "learning_rate", "dropout", "precision")
WORDED = ("schedule", "precision")
REAL = ("learning_rate", "kl_warmup", "dropout_warmup", "dropout")


def _options(names: dict[str, str]) -> Callable:
    def add(function: Callable) -> Callable:
        for name, text in reversed(names.items()):
            function = click.option(f"--{name.replace('_', '-')}", name, type=WORDS, help=text)(function)
        return function

    return add


def add_preset_options(function: Callable) -> Callable:
    """Add ``--preset`` and what only presets take."""
    function = _options({name: f"With --preset: {text}" for name, text in PRESET_ONLY.items()})(function)
    function = click.option("--classifier", type=WORDS, help="With --preset: the classifier's weights; trained first "
                            "if left out.")(function)
    return click.option("--preset", type=WORDS, help="'bastien2021-vae' or 'bastien2021-cvae': the networks of Bastien "
                        "et al. 2021, trained on SOURCES, which is FRDEEP.")(function)


def _settings(given: dict[str, Any]) -> Any:
    """Return the settings of a preset."""
    from skygal.bastien2021.settings import PaperSettings, preset_settings

    words: dict[str, Any] = {}
    for name in {field.name for field in fields(PaperSettings)} & {*SHARED, *PRESET_ONLY, "seed"}:
        value = given.get(name)
        if value is None:
            continue
        kind: type = str if name in WORDED else float if name in REAL else int
        try:
            words[name] = kind(value) if isinstance(value, str) or kind is float else value
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, got {value!r}") from None
    return preset_settings(given["preset"], **words)


def check_no_preset(given: dict[str, Any]) -> None:
    """Check that nothing is given that only presets take.

    Raises
    ------
    ValueError
        If something is.
    """
    for name in (*PRESET_ONLY, "classifier"):
        if given[name] is not None:
            raise ValueError(f"{name} must be left out without preset, got {given[name]!r}")


def train_preset(given: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Train a preset; return the weights file and the settings.

    Raises
    ------
    ValueError
        If a setting is given that the presets do not have, or more than one source.
    """
    for name in TRAINING:
        if name not in SHARED and given[name] is not None:
            raise ValueError(f"{name} must be left out with preset {given['preset']!r}, got {given[name]!r}")
    if len(given["sources"]) != 1:
        raise ValueError(f"sources must be one, FRDEEP's, with preset {given['preset']!r}, got {len(given['sources'])}")
    settings = _settings(given)
    from skygal.bastien2021.train import train_paper_model

    written = train_paper_model(given["sources"][0], given["output"], settings=settings,
                                classifier=given["classifier"], name=given["name"],
                                **{name: given[name] for name in ("resume", "device", "progress", "overwrite")})
    kept = settings.to_dict()
    return written, {name: kept[name] for name in kept if name not in ("conditional", "widths")}


@click.command(name="search-rate", short_help="Search the learning rate of a bastien2021 preset.")
@click.argument("source", type=WORDS)
@click.option("--preset", type=WORDS, default="bastien2021-cvae", show_default=True,
              help="'bastien2021-vae' or 'bastien2021-cvae'.")
@click.option("--rates", type=WORDS, help="Rates, with commas.  [default: 0.0005 to 0.0015 in steps of 0.0001]")
@click.option("--epochs", "search_epochs", type=WHOLE, default=10, show_default=True, help="Epochs at each rate.")
@click.option("--images", type=WHOLE, help="Train on so many of the images; on all if left out.")
@_options({"latent_dim": "Number of latents.", "batch_size": "Images to a step.",
           "precision": TRAINING["precision"], **{name: PRESET_ONLY[name] for name in ("schedule", "rotations")}})
@add_options("seed", "device", "output", "overwrite", "progress", "config")
def search_rate(**given: Any) -> None:
    """Search the learning rate of a bastien2021 preset on SOURCE, which is FRDEEP.

    Trains for some epochs at each rate, and writes the last epoch's train loss of each (*.csv).
    """
    check_ready(given, folder=False)
    settings = _settings(given)
    from skygal.bastien2021.train import RATES, best_rate
    from skygal.bastien2021.train import search_rate as run

    rates = RATES
    if given["rates"] is not None:
        parts = given["rates"].split(",") if isinstance(given["rates"], str) else given["rates"]
        try:
            rates = tuple(float(part) for part in (parts if isinstance(parts, list) else [parts]))
        except (TypeError, ValueError):
            raise ValueError(f"rates must be numbers with commas, got {given['rates']!r}") from None
    rows = run(given["source"], given["output"], settings=settings, rates=rates, epochs=given["search_epochs"],
               images=given["images"], **{name: given[name] for name in ("device", "progress", "overwrite")})
    click.echo(f"{given['output']}: least train loss at {best_rate(rows):g}")


@click.command(name="convert-weights", short_help="Turn published weights of Bastien et al. 2021 into a model.")
@click.argument("state_dict", type=WORDS)
@click.option("--name", type=WORDS, help="The model's name; the output's stem if left out.")
@add_options("output", "overwrite")
def convert_weights(**given: Any) -> None:
    """Turn STATE_DICT, published weights of Bastien et al. 2021 (*.pt), into a model (*.safetensors).

    The file is read as tensors alone; no code that it may hold is run.
    """
    check_ready(given, folder=False)
    from skygal.bastien2021.weights import convert_weights as run

    click.echo(f"{run(**given)}")
