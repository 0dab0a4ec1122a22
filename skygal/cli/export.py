"""The command ``export``: a written field in the format of another program."""

from __future__ import annotations

from typing import Any

import click

from skygal.cli.shared import WORDS, add_options

__all__ = ["export"]


@click.command()
@click.argument("field", type=click.Path())
@click.option("--format", type=WORDS, help="bbs, coco, coco_tiles, crtf, ds9, hips, moc, model, oskar, sdc1, skyh5, "
              "votable, wsclean or yolo; by default what the output's ending says.")
@click.option("--snr", type=WORDS, help="Only sources of at least this signal-to-noise ratio.")
@click.option("--option", "options", type=WORDS, multiple=True,
              help="An option of the format, such as 'tile=640'; may be given several times.")
@add_options("output", "overwrite", "progress", "config")
def export(**given: Any) -> None:
    """Write FIELD, a folder that skygal made, in the format of another program.

    The documentation of exports says what is in each format, and which options it has.
    """
    from skygal.field import Field
    from skygal.io.words import parse_number
    from skygal.truth.exports.formats import choose_format, export_field

    choose_format(given["output"], given["format"])
    snr = None if given["snr"] is None else parse_number("snr", given["snr"])
    options = dict(_parse_option(text) for text in given["options"])
    field = Field.read(given["field"])
    written = export_field(field, given["output"], given["format"], overwrite=given["overwrite"], snr=snr,
                           progress=given["progress"], inputs=[given["field"]], **options)
    click.echo(f"{written}")


def _parse_option(text: Any) -> tuple[str, Any]:
    """Return name and value of ``"tile=640"``; values are those of YAML."""
    from skygal.checks import show
    from skygal.io.config import parse_yaml

    name, sign, value = text.partition("=") if isinstance(text, str) else ("", "", "")
    if not name.strip() or not sign:
        raise ValueError(f"option must be a name and a value such as 'tile=640', got {show(text)}")
    try:
        return name.strip().replace("-", "_"), parse_yaml(value)
    except ValueError as error:
        raise ValueError(f"option {show(text)} cannot be read: {error}") from None
