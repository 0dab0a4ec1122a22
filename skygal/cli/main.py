"""The command line: thin commands around the functions of the same name.

Nothing heavy is imported before a command runs, so that ``skygal --help`` answers at once.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from skygal import __version__
from skygal.cli import challenge as cli_challenge
from skygal.cli import evaluate as cli_evaluate
from skygal.cli import export as cli_export
from skygal.cli import fields as cli_fields
from skygal.cli import octaves as cli_octaves
from skygal.cli import paper as cli_paper
from skygal.cli import score as cli_score
from skygal.cli.shared import (
    RUN,
    TRAINING,
    WHOLE,
    WORDS,
    add_options,
    add_settings,
    add_training_options,
    check_ready,
    kept,
    training_ready,
)
from skygal.settings import Morphology

__all__ = ["cli", "main"]

#: characters of a message
LONGEST = 2000


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="skygal")
@click.option("--traceback", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, traceback: bool) -> None:
    """Realistic, resolved radio galaxies in any radio sky image, with exact truth."""
    ctx.obj = {"traceback": traceback}


@cli.command()
@click.option("--n", type=WHOLE, required=True, help="Number of stamps.")
@click.option("--fr-class", type=WORDS, help="FRI, FRII, hybrid or compact; equal numbers of FRI and FRII if left out.")
@click.option("--fr-mix", type=WORDS, help="Share of each class: 'FRI:0.3,FRII:0.7'.")
@click.option("--las", type=WORDS, help="Range of angular sizes: '60 arcsec, 2 arcmin', or '60 arcsec,' for the least.")
@click.option("--bending", type=WORDS, help="Range of bendings of the arms: '30 deg,' (bent) or ', 10 deg' (straight).")
@click.option("--scale", default="peak", show_default=True, help="Brightest pixel 1: 'peak'; sum 1: 'sum'.")
@click.option("--orientation", default="random", show_default=True, help="'random' or 'aligned'.")
@click.option("--beams-across", type=WORDS, help="Beams across every source, of a model with octaves.")
@click.option("--size", type=WHOLE, help="Pixels on a side.  [default: 150, or what --beams-across needs]")
@click.option("--format", default="fits", show_default=True,
              help="'fits' (a cube and its table), 'npz', or 'png' (a folder of images for each class).")
@click.option("--bits", type=WHOLE, default=8, show_default=True, help="8 or 16, of PNG images.")
@add_settings(Morphology, leave=("bending",))
@add_options(*RUN)
def stamps(**given: Any) -> None:
    """Sample labelled postage stamps of radio galaxies."""
    check_ready(given, folder=given["format"] != "npz")
    arguments = {name: given[name] for name in ("fr_class", "scale", "orientation", "size", "model", "seed",
                                                "device", "progress")}
    from skygal.checks import as_count, as_seed
    from skygal.io.words import parse_clip, parse_latents, parse_mix, parse_number, parse_open_range
    from skygal.stamps.files import check_format, write_stamps
    from skygal.stamps.sample import iter_stamps

    check_format(given["output"], given["format"], given["bits"])
    as_count("n", given["n"], minimum=1)
    arguments["seed"] = seed = as_seed("seed", given["seed"])
    for name, parse in (("fr_mix", parse_mix), ("las", parse_open_range), ("bending", parse_open_range),
                        ("latents", parse_latents), ("clip_sigma", parse_clip), ("beams_across", parse_number)):
        arguments[name] = None if given[name] is None else parse(name, given[name])
    write_stamps(iter_stamps(given["n"], **arguments), given["output"], n=given["n"],
                 meta={"skygal_version": __version__, "command": "stamps", "options": kept(given, seed)},
                 **{name: given[name] for name in ("format", "bits", "overwrite")})
    click.echo(f"{given['output']}: {given['n']} stamps, seed {seed}")


@cli.command()
@click.argument("sources", type=WORDS, nargs=-1, required=True)
@add_training_options
@cli_paper.add_preset_options
@click.option("--name", type=WORDS, help="The model's name; the file's stem if left out.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint beside the output.")
@add_options(*RUN)
def train(**given: Any) -> None:
    """Train a model on stamps from SOURCES, and write its weights (*.safetensors).

    A source is a folder of FITS cutouts, an .npz file, a folder of published batches (FRDEEP,
    MiraBest) or the name of an installed package of stamps. Beside the weights go the settings (*.yaml),
    the checkpoint (*.ckpt) and its metrics (*.csv). With --preset, the networks of Bastien et al. 2021 are trained
    instead, on one source, FRDEEP.
    """
    check_ready(given, folder=False)
    training_ready(given)
    from skygal.io.atomic import whole_file
    from skygal.io.config import dump_config

    if given["preset"] is not None:
        written, settled = cli_paper.train_preset(given)
    else:
        cli_paper.check_no_preset(given)
        from skygal.cli.shared import parse_settings
        from skygal.training.train import train_model

        settings = parse_settings({name: given[name] for name in (*TRAINING, "seed")})
        written = train_model(list(given["sources"]), given["output"], settings=settings, name=given["name"],
                              **{name: given[name] for name in ("resume", "device", "progress", "overwrite")})
        settled = settings.to_dict()
    own = kept({name: value for name, value in given.items() if name != "resume"}, settled["seed"])
    record = {"skygal_version": __version__, "command": "train", "options": {**settled, **own}}
    with whole_file(written.with_suffix(".yaml"), overwrite=True) as part:
        part.write_text(dump_config(record), encoding="utf-8")
    click.echo(f"{written}")


cli.add_command(cli_fields.simulate)
cli.add_command(cli_fields.inject)
cli.add_command(cli_evaluate.evaluate)
cli.add_command(cli_export.export)
cli.add_command(cli_score.score)
cli.add_command(cli_challenge.challenge)
cli.add_command(cli_octaves.train_octaves)
cli.add_command(cli_paper.search_rate)
cli.add_command(cli_paper.convert_weights)


def _one_line(text: str) -> str:
    """Return a message on one line, its middle left out where a user's value makes it long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST // 2]} ... {line[-LONGEST // 2:]}"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {_one_line(str(message))}", err=True)


def _stop(number: int, frame: Any) -> None:
    # so that what is half written is removed, as on Ctrl-C; a second signal shall not stop that
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise SystemExit(128 + number)


def _stop_on_signals() -> dict[int, Any]:
    """Stop as on Ctrl-C when the process is ended or its terminal goes; return what was done on the signals before."""
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # under nohup a hangup is ignored, and stays so
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, _stop)
    return before


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
    before = _stop_on_signals() if arguments is None else {}
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        try:
            cli.main(words, prog_name="skygal", standalone_mode=False)
        except click.exceptions.Exit as error:
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("Interrupted", err=True)
            return 130
        except click.ClickException as error:
            click.echo(f"Error: {_one_line(error.format_message())}", err=True)
            return 2
        except Exception as error:
            if "--traceback" in words:
                raise
            text = str(error) if not isinstance(error, KeyError) else f"missing {error}"
            click.echo(f"Error: {_one_line(text) or type(error).__name__}", err=True)
            return 2 if isinstance(error, (TypeError, ValueError)) else 1
        finally:
            for number, action in before.items():
                signal.signal(number, action)
    return 0


if __name__ == "__main__":
    sys.exit(main())
