"""The options that several commands share; nothing heavy is imported here."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

__all__ = ["POPULATION", "RUN", "RUN_ONLY", "TRAINING", "WHOLE", "WORDS", "add_options", "add_training_options",
           "check_ready", "decoding", "kept", "named_inputs"]

#: options that say how a command runs, not what it makes
RUN_ONLY = {"config", "output", "overwrite", "progress", "plot", "device", "workers", "chunks"}
#: options that may name a file, or a folder, to read
FILES = ("image", "table", "faint", "beam", "psf", "primary_beam", "wcs", "latents", "model", "classifier", "config",
         "state_dict")
FOLDERS = ("sources", "source", "frdeep", "paper")
#: names for `add_options`: of every command, and of those that draw a population
RUN = ("seed", "device", "output", "overwrite", "progress", "config")
POPULATION = ("n_sources", "table", "faint", "flux", "las", "fr_mix", "spectral_index", "curvature", "latents",
              "clip_sigma", "model")
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
        return value


WHOLE, WORDS = _Whole(), _Words()


def _read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """Make the file's settings the defaults of all options."""
    if path is not None:
        from skygal.io.config import load_config

        names = {option.name for option in ctx.command.params if option.name} - {"config"}
        found = load_config(path, names)
        for option in ctx.command.params:
            # one of a list of arguments may be written without the list
            if option.nargs == -1 and isinstance(found.get(option.name or ""), str):
                found[str(option.name)] = [found[str(option.name)]]
            flag = found.get(option.name or "")
            if getattr(option, "is_flag", False) and not isinstance(flag, (bool, str, type(None))):
                raise ValueError(f"{option.name} must be true or false, got a {type(flag).__name__}")
        ctx.default_map = {**(ctx.default_map or {}), **found}
    return path


def add_options(*names: str) -> Callable:
    """Add the options that several commands share, in the order given."""
    shared = {
        "frequency": click.option("--frequency", type=WORDS,
                                  help="Observing frequency, such as '1.4 GHz'; the header's if left out."),
        "frequencies": click.option("--frequency", type=WORDS,
                                    help="Observing frequency, such as '1.4 GHz', or several: '1 GHz, 1.4 GHz'."),
        "beam": click.option("--beam", type=WORDS,
                             help="FWHM of the beam: '5.4arcsec', '6x5arcsec' or '6x5arcsec,30deg'; or a table of "
                             "beams (*.ecsv, *.vot or *.xml) with columns ra, dec, bmaj, bmin and bpa."),
        "psf": click.option("--psf", type=WORDS, help="PSF image (FITS or .npy) instead of a Gaussian beam."),
        "primary_beam": click.option("--primary-beam", type=WORDS,
                                     help="Primary beam: the diameter of a dish, '25 m', or a FITS image of power."),
        "n_sources": click.option("--n-sources", type=WHOLE,
                                  help="Number of sources; drawn from the source counts if left out."),
        "table": click.option("--table", type=WORDS, help="A population of your own (FITS, ECSV or CSV)."),
        "faint": click.option("--faint", type=WORDS, help="Points, Gaussians and discs in bulk (FITS, ECSV or CSV)."),
        "flux": click.option("--flux", type=WORDS, help="Range of fluxes, '1 mJy, 1 Jy', or the least one.  "
                             "[default: from the noise up]"),
        "las": click.option("--las", type=WORDS,
                            help="Range of largest angular sizes, '20 arcsec, 60 arcsec', or 'mirabest': those of "
                            "galaxies that can be classified.  [default: those of all sources]"),
        "fr_mix": click.option("--fr-mix", type=WORDS,
                               help="Classes: 'balanced', 'survey' or 'FRI:0.3,FRII:0.7'."),
        "spectral_index": click.option("--spectral-index", type=WORDS,
                                       help="Spectral index, or its range: '-0.9,-0.6'."),
        "curvature": click.option("--curvature", type=WORDS, help="Curvature of the spectra; 0 if left out."),
        "latents": click.option("--latents", type=WORDS, default="balanced", show_default=True,
                                help="'balanced', 'prior', 'uniform', 'pairs' or a .npy file."),
        "clip_sigma": click.option("--clip-sigma", type=WORDS, default=3.0, show_default=True,
                                   help="Clip of the generator's noise floor, or 'none'."),
        "model": click.option("--model", type=WORDS, help="A shipped model's name or a weights file."),
        "seed": click.option("--seed", type=WHOLE, help="The same seed gives the same result."),
        "device": click.option("--device", default="cpu", show_default=True, help="'cpu' or 'cuda'."),
        "workers": click.option("--workers", type=WHOLE, default=2, show_default=True,
                                help="Threads; the result does not depend on them."),
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


def decoding(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that say how stamps are made."""
    from skygal.cli import words as options

    clip = given["clip_sigma"]
    return {"latents": options.parse_latents(given["latents"]),
            "clip_sigma": None if clip in (None, "none") else options.parse_number("clip_sigma", clip)}


def kept(given: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the options that a file of settings for the same result must hold."""
    return {name: value for name, value in given.items() if name not in RUN_ONLY and value is not None} | {"seed": seed}


def add_training_options(function: Callable) -> Callable:
    """Add an option for each setting of a training run."""
    for name, text in reversed(TRAINING.items()):
        function = click.option(f"--{name.replace('_', '-')}", name, type=WORDS, help=text)(function)
    return function
