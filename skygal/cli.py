"""The command line: thin commands around the functions of the same name.

Nothing heavy is imported before a command runs, so that ``skygal --help`` answers at once.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from skygal import __version__

__all__ = ["cli", "main"]

# options that say how a command runs, not what it makes
_RUN_ONLY = {"config", "output", "overwrite", "progress", "plot", "device", "workers"}


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


_WHOLE, _WORDS = _Whole(), _Words()


def _read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """Make the file's settings the defaults of all options."""
    if path is not None:
        from skygal.config import load_config

        names = {option.name for option in ctx.command.params if option.name} - {"config"}
        ctx.default_map = {**(ctx.default_map or {}), **load_config(path, names)}
    return path


def _options(*names: str) -> Callable:
    """Add the options that several commands share, in the order given."""
    shared = {
        "frequency": click.option("--frequency", type=_WORDS, help="Observing frequency, such as '1.4 GHz'."),
        "beam": click.option("--beam", type=_WORDS,
                             help="FWHM of the beam: '5.4arcsec', '6x5arcsec' or '6x5arcsec,30deg'."),
        "psf": click.option("--psf", type=_WORDS, help="PSF image (FITS or .npy) instead of a Gaussian beam."),
        "n_sources": click.option("--n-sources", type=_WHOLE,
                                  help="Number of sources; drawn from the source counts if left out."),
        "table": click.option("--table", type=_WORDS, help="A population of your own (FITS, ECSV or CSV)."),
        "flux": click.option("--flux", type=_WORDS, help="Range of fluxes: '1 mJy, 1 Jy'."),
        "las": click.option("--las", type=_WORDS,
                            help="Range of largest angular sizes: '20 arcsec, 60 arcsec'."),
        "fr_mix": click.option("--fr-mix", type=_WORDS,
                               help="Classes: 'balanced', 'survey' or 'FRI:0.3,FRII:0.7'."),
        "spectral_index": click.option("--spectral-index", type=_WORDS,
                                       help="Spectral index, or its range: '-0.9,-0.6'."),
        "latents": click.option("--latents", type=_WORDS, default="balanced", show_default=True,
                                help="'balanced', 'prior', 'uniform', 'pairs' or a .npy file."),
        "clip_sigma": click.option("--clip-sigma", type=_WORDS, default=3.0, show_default=True,
                                   help="Clip of the generator's noise floor, or 'none'."),
        "model": click.option("--model", type=_WORDS, help="A shipped model's name or a weights file."),
        "seed": click.option("--seed", type=_WHOLE, help="The same seed gives the same result."),
        "device": click.option("--device", default="cpu", show_default=True, help="'cpu' or 'cuda'."),
        "workers": click.option("--workers", type=_WHOLE, default=2, show_default=True,
                                help="Threads; the result does not depend on them."),
        "plot": click.option("--plot/--no-plot", default=False, help="Draw a picture too (needs matplotlib)."),
        "output": click.option("--output", type=click.Path(), required=True, help="Folder to write."),
        "overwrite": click.option("--overwrite/--no-overwrite", default=False,
                                  help="Replace a folder that skygal wrote before."),
        "progress": click.option("--progress/--no-progress", default=True, help="Show progress."),
        "config": click.option("--config", type=click.Path(), is_eager=True, callback=_read_config,
                               help="YAML file with any of these options; the command line wins."),
    }

    def add(function: Callable) -> Callable:
        for name in reversed(names):
            function = shared[name](function)
        return function

    return add


_RUN = ("seed", "device", "output", "overwrite", "progress", "config")
_POPULATION = ("n_sources", "table", "flux", "las", "fr_mix", "spectral_index", "latents", "clip_sigma", "model")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="skygal")
@click.option("--traceback", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, traceback: bool) -> None:
    """Realistic, resolved radio galaxies in any radio sky image, with exact truth."""
    ctx.obj = {"traceback": traceback}


def _ready(output: str, overwrite: bool, *, plot: bool = False, folder: bool = True) -> None:
    """Check that the output can be written before any work is done."""
    from skygal.output import check_writable

    check_writable(output, overwrite=overwrite, folder=folder)
    if plot:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise ModuleNotFoundError("plot needs matplotlib: pip install 'skygal[plot]'") from None


def _population(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that simulate and inject share."""
    from skygal import options

    words: dict[str, Any] = {name: given[name] for name in ("model", "seed", "device", "workers", "progress")}
    if given["beam"] is not None and given["psf"] is not None:
        raise ValueError(f"beam must be left out where psf is given, got {given['beam']!r}")
    words["beam"] = None if given["beam"] is None else options.parse_beam(given["beam"])
    if given["psf"] is not None:
        words["beam"] = options.parse_psf(given["psf"])
    for name, parse in (("frequency", options.parse_quantity), ("flux", options.parse_range),
                        ("las", options.parse_range)):
        words[name] = None if given[name] is None else parse(name, given[name])
    words["fr_mix"] = None if given["fr_mix"] is None else options.parse_mix(given["fr_mix"])
    index = given["spectral_index"]
    words["spectral_index"] = None if index is None else options.parse_range("spectral_index", index, plain=True)
    return words | _decoding(given)


def _decoding(given: dict[str, Any]) -> dict[str, Any]:
    from skygal import options

    clip = given["clip_sigma"]
    return {"latents": options.parse_latents(given["latents"]),
            "clip_sigma": None if clip in (None, "none") else options.parse_number("clip_sigma", clip)}


def _with_options(field: Any, command: str, given: dict[str, Any]) -> Any:
    """Return the field with the command's own options in its provenance, to run it again from."""
    options = {name: value for name, value in given.items() if name not in _RUN_ONLY and value is not None}
    options["seed"] = field.provenance["seed"]
    return replace(field, provenance={**field.provenance, "command": command, "options": options})


@cli.command()
@click.option("--survey", type=_WORDS, help="Named survey: its frequency, beam, pixel and noise are the defaults.")
@click.option("--size", type=_WORDS, help="Pixels: N or NXxNY.  [default: 1024]")
@click.option("--pixel-scale", type=_WORDS, help="Side of a pixel, such as '1.8 arcsec'.")
@click.option("--center", type=_WORDS, help="RA and Dec of the image's centre: '12h00m +30d' or '180 30'.")
@click.option("--projection", type=_WORDS, help="SIN, TAN, ARC, ZEA, STG or CAR.  [default: SIN]")
@click.option("--wcs", type=_WORDS, help="Take the pixel grid from this FITS file.")
@click.option("--noise", type=_WORDS, help="Rms per beam, such as '0.15 mJy', or 'none'.")
@_options("frequency", "beam", "psf", *_POPULATION, "workers", "plot", *_RUN)
def simulate(**given: Any) -> None:
    """Simulate a field of radio galaxies, with its truth."""
    _ready(given["output"], given["overwrite"], plot=given["plot"])
    from skygal import options

    wcs = options.parse_wcs(**{name: given[name] for name in
                               ("wcs", "center", "size", "pixel_scale", "projection", "survey")})
    noise = given["noise"]
    if noise is not None:
        noise = False if noise in (False, "none") else options.parse_quantity("noise", noise)
    arguments = _population(given)
    from skygal.simulate import simulate_field

    field = simulate_field(wcs, given["n_sources"], survey=given["survey"], noise=noise, table=given["table"],
                           **arguments)
    _with_options(field, "simulate", given).write(given["output"], overwrite=given["overwrite"],
                                                  plot=given["plot"])
    click.echo(f"{given['output']}: {len(field.truth)} sources in {field.image.shape[1]} x "
               f"{field.image.shape[0]} pixels, seed {field.provenance['seed']}")


@cli.command()
@click.argument("image", type=_WORDS)
@click.option("--hdu", type=_WHOLE, default=0, show_default=True, help="Which HDU of the file.")
@click.option("--unit", type=_WORDS, help="Brightness unit, where the header has none.")
@click.option("--rms", type=_WORDS, help="Noise per beam; estimated from the image if left out.")
@_options("frequency", "beam", "psf", *_POPULATION, "workers", "plot", *_RUN)
def inject(**given: Any) -> None:
    """Inject radio galaxies into IMAGE, a FITS file, which itself is not changed."""
    _ready(given["output"], given["overwrite"], plot=given["plot"])
    from skygal import options

    if given["table"] is not None and given["n_sources"] is not None:
        raise ValueError(f"n_sources must be left out where table is given, got {given['n_sources']}")
    rms = None if given["rms"] is None else options.parse_quantity("rms", given["rms"])
    arguments = _population(given)
    from skygal.inject import inject as run

    sources = given["n_sources"] if given["table"] is None else given["table"]
    field = run(given["image"], sources, hdu=given["hdu"], unit=given["unit"], rms=rms, **arguments)
    _with_options(field, "inject", given).write(given["output"], overwrite=given["overwrite"],
                                                plot=given["plot"])
    click.echo(f"{given['output']}: {len(field.truth)} sources in {given['image']}, "
               f"seed {field.provenance['seed']}")


@cli.command()
@click.option("--n", type=_WHOLE, required=True, help="Number of stamps.")
@click.option("--fr-class", type=_WORDS, help="FRI or FRII; equal numbers of both if left out.")
@click.option("--scale", default="peak", show_default=True, help="Brightest pixel 1: 'peak'; sum 1: 'sum'.")
@click.option("--orientation", default="random", show_default=True, help="'random' or 'aligned'.")
@click.option("--size", type=_WHOLE, default=150, show_default=True, help="Pixels on a side.")
@_options("latents", "clip_sigma", "model", *_RUN)
def stamps(**given: Any) -> None:
    """Sample labelled postage stamps of radio galaxies."""
    _ready(given["output"], given["overwrite"])
    arguments = {name: given[name] for name in ("fr_class", "scale", "orientation", "size", "model", "seed",
                                                "device", "progress")} | _decoding(given)
    from skygal.morphology.stamps import sample_stamps

    found = sample_stamps(given["n"], **arguments)
    found.write(given["output"], overwrite=given["overwrite"])
    click.echo(f"{given['output']}: {len(found)} stamps")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


def _stop(number: int, frame: Any) -> None:
    # so that what is half written is removed, as on Ctrl-C
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``skygal``; by default those of the process.

    Returns
    -------
    int
        0, 1 (it failed), 2 (it was called wrongly) or 130 (interrupted); errors are one line each.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    before = signal.signal(signal.SIGTERM, _stop) if arguments is None else None
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        try:
            cli.main(words, prog_name="skygal", standalone_mode=False)
        except click.exceptions.Exit as error:
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("Interrupted: nothing is written", err=True)
            return 130
        except click.ClickException as error:
            click.echo(f"Error: {' '.join(error.format_message().split())}", err=True)
            return 2
        except Exception as error:
            if "--traceback" in words:
                raise
            text = str(error) if not isinstance(error, KeyError) else f"missing {error}"
            click.echo(f"Error: {' '.join(text.split()) or type(error).__name__}", err=True)
            return 2 if isinstance(error, (TypeError, ValueError)) else 1
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
