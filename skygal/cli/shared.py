"""The options that several commands share; nothing heavy is imported here."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skygal.settings import Run, Settings

if TYPE_CHECKING:
    from skygal.training.settings import TrainSettings

__all__ = [
    "RUN",
    "RUN_ONLY",
    "TRAINING",
    "WHOLE",
    "WORDS",
    "add_options",
    "add_settings",
    "add_training_options",
    "check_ready",
    "kept",
    "named_inputs",
    "training_ready",
]

#: options that say how a command runs, not what it makes
RUN_ONLY = {"config", "output", "overwrite", "plot"} | {one.name for one in fields(Run) if not one.metadata["kept"]}
#: options that may name a file, or a folder, to read
FILES = ("atlas", "sharp", "image", "table", "faint", "sky", "beam", "psf", "primary_beam", "wcs", "latents", "model",
         "classifier", "config", "state_dict")
FOLDERS = ("sources", "source", "frdeep", "paper")
#: names for `add_options`, of every command
RUN = ("seed", "device", "output", "overwrite", "progress", "config")
#: settings of a training run (`skygal.training.settings.TrainSettings`) and what they are
TRAINING = {
    "classes": "Classes to learn, such as 'FRI,FRII'.",
    "unlabelled": "Classes to learn from without their name, such as 'bent'.",
    "shape": "Rows and columns of a stamp.",
    "latent_dim": "Number of latents.",
    "decoder_widths": "Hidden layers of the decoder.",
    "encoder_widths": "Hidden layers of the encoder.",
    "flow_layers": "Coupling layers of the prior.",
    "flow_width": "Width of the prior's hidden layers.",
    "sigma": "Scatter of a pixel on the square-root scale.",
    "epochs": "Passes over the stamps.",
    "batch_size": "Stamps to a step.",
    "learning_rate": "Highest learning rate.",
    "weight_decay": "Weight decay.",
    "warmup_epochs": "Epochs over which the Kullback-Leibler term comes in.",
    "dropout": "Dropout in the encoder.",
    "flow_dropout": "Dropout in the prior.",
    "zoom": "Scatter of ln(zoom) of the varied stamps.",
    "noise": "Noise added to what the encoder sees, in each stamp's own.",
    "adversarial_epochs": "Passes in which discriminators teach too.",
    "adversarial_rate": "Learning rate in those.",
    "discriminator_widths": "Channels of the convolutions of the one that looks at pixels.",
    "penalty": "Weight of its squared gradients.",
    "structure_weight": "Weight of the one that looks at power by scale and symmetry, against that.",
    "likelihood_weight": "Weight of the ELBO against them.",
    "average": "How much of the weights' mean each step keeps.",
    "precision": "'bfloat16' or 'float32', of what is safe in it.",
    "acceptance_stamps": "Stamps to learn from which places in latent space to keep; 0: all are.",
    "sharpness": "How much that minds the class asked for, of FRIs and of FRIIs.",
    "checkpoint_every": "Epochs between checkpoints.",
    "pixel_scale": "Pixel of the survey, arcsec.",
    "beam_fwhm": "Beam of the survey, arcsec.",
    "exclude": "Leave out cutouts whose name holds one of these texts.",
}


class _Whole(click.ParamType):
    """A whole number; unlike click's own, 3.5 in a file is refused and not cut to 3."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        try:
            return int(value if isinstance(value, str) else "")
        except ValueError:
            self.fail(f"must be a whole number, got {value!r}", param, ctx)


class _Words(click.ParamType):
    """Words that the command itself reads: a string, or what a configuration file makes of them."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, _LeftOut):
            raise ValueError(f"{value.name} must be given: config file {value.path!r} comes from a call in Python, in "
                             "which it was an object that no file can hold")
        return value


class _LeftOut:
    """What a file of settings could not hold."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path


WHOLE, WORDS = _Whole(), _Words()


def _read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """Make the file's settings the defaults of all options."""
    if path is not None:
        from skygal.io.config import load_config

        names = {option.name for option in ctx.command.params if option.name} - {"config"}
        found = load_config(path, names | {"left_out"})
        found.update({str(name): _LeftOut(str(name), path) for name in found.pop("left_out", ())})
        for option in ctx.command.params:
            # one of a list of arguments may be written without the list
            if option.nargs == -1 and isinstance(found.get(option.name or ""), str):
                found[str(option.name)] = [found[str(option.name)]]
            flag = found.get(option.name or "")
            if getattr(option, "is_flag", False) and not isinstance(flag, (bool, str, type(None))):
                raise ValueError(f"{option.name} must be true or false, got a {type(flag).__name__}")
        ctx.default_map = {**(ctx.default_map or {}), **found}
    return path


def add_settings(*parts: type[Settings], leave: Collection[str] = (), only: Collection[str] = ()) -> Callable:
    """Add an option for each setting, but those to ``leave``; or ``only`` some."""
    found = [one for part in parts for one in fields(part) if one.name not in leave and (not only or one.name in only)]

    def add(function: Callable) -> Callable:
        for one in reversed(found):
            kind = WHOLE if one.name in ("n_sources", "workers") else WORDS
            function = click.option(f"--{one.name.replace('_', '-')}", one.name, type=kind, default=one.default,
                                    show_default=one.default is not None, help=one.metadata["help"])(function)
        return function

    return add


def add_options(*names: str) -> Callable:
    """Add the options that several commands share, in the order given."""
    shared = {
        "seed": click.option("--seed", type=WHOLE, help="The same seed gives the same result."),
        "device": click.option("--device", default="cpu", show_default=True, help="'cpu' or 'cuda'."),
        "format": click.option("--format", default="fits", show_default=True, help="Of the images: 'fits' or 'zarr'."),
        "plot": click.option("--plot/--no-plot", default=False, help="Draw a picture too (needs matplotlib)."),
        "output": click.option("--output", type=click.Path(), required=True, help="What to write."),
        "overwrite": click.option("--overwrite/--no-overwrite", default=False,
                                  help="Replace what skygal wrote before."),
        "progress": click.option("--progress/--no-progress", default=True, help="Show progress."),
        "config": click.option("--config", type=click.Path(), is_eager=True, callback=_read_config,
                               help="YAML file with any of these options; the command line wins."),
    }

    def add(function: Callable) -> Callable:
        for name in reversed(names):
            function = shared[name](function)
        return function

    return add


def named_inputs(given: dict[str, Any]) -> list[str]:
    """Return the files and folders that a command is to read, as far as they are there."""
    found: list[str] = []
    for names, is_there in ((FILES, os.path.isfile), (FOLDERS, os.path.exists)):
        for name in names:
            values = given.get(name)
            for value in values if isinstance(values, (list, tuple)) else [values]:
                # one for each frequency may be in one text
                words = {value, *(word.strip() for word in value.split(";"))} if isinstance(value, str) else ()
                found += [word for word in sorted(words) if "\0" not in word and is_there(word)]
    return found


def check_ready(given: dict[str, Any], *, folder: bool = True) -> None:
    """Check that the output can be written, and replaces nothing that is read, before any work is done."""
    from skygal.io.atomic import check_writable

    check_writable(given["output"], overwrite=given["overwrite"], folder=folder, inputs=named_inputs(given))
    plot = given.get("plot", False)
    if plot:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise ModuleNotFoundError("plot needs matplotlib: pip install 'skygal[plot]'") from None


def kept(given: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the options that a file of settings for the same result must hold."""
    return {name: value for name, value in given.items() if name not in RUN_ONLY and value is not None} | {"seed": seed}


def add_training_options(function: Callable) -> Callable:
    """Add an option for each setting of a training run."""
    for name, text in reversed(TRAINING.items()):
        function = click.option(f"--{name.replace('_', '-')}", name, type=WORDS, help=text)(function)
    return function


def parse_settings(words: dict[str, Any]) -> TrainSettings:
    """Return the settings of a training run from words; what is None keeps its default.

    Raises
    ------
    TypeError, ValueError
        If a setting is not what it must be.
    """
    from skygal.training.settings import TrainSettings

    chosen: dict[str, Any] = {}
    for field in fields(TrainSettings):
        value = words.get(field.name)
        if value is None:
            continue
        if isinstance(field.default, tuple):
            parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
            kind = type(field.default[0]) if field.default else str
            chosen[field.name] = tuple(_number(field.name, part, kind) for part in parts)
        else:
            chosen[field.name] = _number(field.name, value, type(field.default))
    return TrainSettings(**chosen)


def _number(name: str, value: Any, kind: type) -> Any:
    from skygal.checks import show

    if kind is str:
        return str(value).strip()
    try:
        # a float in a file is no whole number: the settings themselves refuse it
        if kind is float and isinstance(value, bool):
            raise TypeError
        return kind(value) if isinstance(value, str) or kind is float else value
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, got {show(value)}") from None


def training_ready(given: dict[str, Any]) -> None:
    """Check the files that a training writes beside its weights before any work is done."""
    from skygal.io.atomic import check_writable

    for suffix in (".yaml", ".ckpt", ".csv"):
        path = Path(given["output"]).with_suffix(suffix)
        if given["config"] is not None and path.resolve() == Path(given["config"]).resolve():
            raise FileExistsError(f"output {str(path)!r} is the config file itself, which is not replaced: "
                                  "give output another name")
        check_writable(path, overwrite=given["overwrite"] or given["resume"], folder=False, inputs=named_inputs(given))
