"""The command ``challenge``: a thin one around making a data challenge."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from skygal.cli.shared import WORDS, add_options, add_settings
from skygal.settings import Run

__all__ = ["challenge"]

#: images of more pixels are made in chunks, of so many pixels on a side
MOST_PIXELS, CHUNK = 4096**2, 1024


@click.command()
@click.argument("challenge", type=WORDS, default="sdc1")
@click.option("--scale", type=WORDS, default="1", show_default=True,
              help="What the sides of images and training areas are multiplied by, at most 1.")
@click.option("--chunks", type=WORDS, help="Make images in chunks of N or NXxNY pixels, or 'none'; the pixels are the "
              f"same.  [default: {CHUNK} for images of more than {MOST_PIXELS**0.5:.0f} x {MOST_PIXELS**0.5:.0f}]")
@add_settings(Run, only=("workers",))
@add_options("seed", "device", "output", "overwrite", "progress")
def challenge(**given: Any) -> None:
    """Make a data challenge: one sky in several bands and depths, with a part of its truth released.

    CHALLENGE is a YAML file, or the name of one that comes with skygal: sdc1, the default. The output is a folder with
    what entrants get, released, and what they do not, secret. A run that was stopped goes on when it is called again in
    the same way.
    """
    from skygal.cli.challenge_file import read_challenge
    from skygal.cli.challenge_folder import make_challenge
    from skygal.io.words import parse_number

    asked = read_challenge(given["challenge"], scale=parse_number("scale", given["scale"]), seed=given["seed"])
    chunks = _chunks(given["chunks"], max(band.wcs.array_shape[0] * band.wcs.array_shape[1] for band in asked.bands))
    scheduler: Any = nullcontext()
    if chunks is not None:
        import dask

        scheduler = dask.config.set(scheduler="threads", num_workers=given["workers"])
    with scheduler:
        make_challenge(asked, given["output"], overwrite=given["overwrite"], chunks=chunks,
                       inputs=[given["challenge"], asked.sky], device=given["device"], workers=given["workers"],
                       progress=given["progress"], say=click.echo)
    n = len(asked.views())
    click.echo(f"{given['output']}: {len(asked.bands)} bands, {n} images")


def _chunks(words: Any, pixels: int) -> Any:
    """Return the sides of chunks that were asked for, or those of large images."""
    from importlib.util import find_spec

    from skygal.io.words import parse_size

    if words is not None:
        return None if words in (False, "none") else parse_size("chunks", words)
    if pixels <= MOST_PIXELS:
        return None
    if find_spec("dask") is None:
        click.echo("images all in memory: to make them in chunks, pip install 'skygal[dask]'", err=True)
        return None
    return CHUNK, CHUNK
