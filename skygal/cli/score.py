"""The command ``score``: source finders' catalogues against the truth."""

from __future__ import annotations

from typing import Any

import click

from skygal.cli.shared import WORDS, add_options

__all__ = ["score"]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="[TRUTH] CATALOGUE...", type=click.Path())
@click.option("--against", type=click.Path(), help="The truth, where all that is named is a catalogue.")
@click.option("--format", type=WORDS, help="Of the catalogues; by default found from their columns.")
@click.option("--columns", type=WORDS, multiple=True,
              help="Which column is what, such as 'flux=S_int' or 'flux=S_int mJy'; may be given several times.")
@click.option("--level", type=WORDS, help="What a row is: component, source or island.")
@click.option("--components", type=click.Path(), help="The table of components, where the truth is a table.")
@click.option("--beam", type=WORDS, help="Of the image, where the truth is a table: '5.4arcsec' or '6x5arcsec,30deg'.")
@click.option("--sdc1", type=WORDS, help="Also give SDC1's score; several rows of a source: 'penalised' or 'shared'.")
@click.option("--output", type=click.Path(), help="Folder to write; without it the numbers are only printed.")
@click.option("--page/--no-page", default=True, help="Write a page with curves, tables and cutouts: index.html.")
@click.option("--plots/--no-plots", default=False, help="Write figures as PNG too (needs matplotlib).")
@add_options("overwrite", "progress", "config")
def score(**given: Any) -> None:
    """Score CATALOGUE, of a source finder, against TRUTH: a folder that skygal wrote, or its table of sources.

    Of several catalogues each is scored, and the later ones are compared with the first.
    """
    from skygal.io.atomic import check_writable
    from skygal.io.words import parse_beam
    from skygal.scoring.score import compare_scores, write_scores
    from skygal.scoring.score import score as score_one
    from skygal.scoring.truth import read_truth_set

    truth, catalogues = _named(given)
    inputs = [truth, *catalogues, *([given["components"]] if given["components"] else [])]
    if given["output"] is not None:
        check_writable(given["output"], overwrite=given["overwrite"], folder=True, inputs=inputs)
    columns = dict(_parse_column(text) for text in given["columns"]) or None
    known = read_truth_set(truth, components=given["components"], beam=parse_beam("beam", given["beam"]))
    scores = [score_one(known, path, format=given["format"], columns=columns, level=given["level"], name=name,
                        sdc1=given["sdc1"])
              for path, name in zip(catalogues, _names(catalogues), strict=True)]
    for one in scores:
        click.echo(f"{one.found.name} is read as {one.found.format}: "
                   + ", ".join(f"{name} = {column}" for name, column in one.found.units.items()))
        for words, value in one.lines():
            click.echo(f"  {words}: {value}")
    for row in compare_scores(scores):
        click.echo(f"{row['other']} beside {row['first']}: both found {row['both']}, only {row['first']} "
                   f"{row['only_first']}, only {row['other']} {row['only_other']} (chance {row['chance']:.2g}), "
                   f"neither {row['neither']}; flux ratio {_shown(row['flux_ratio'])}")
    if given["output"] is None:
        return
    click.echo(write_scores(scores, given["output"], overwrite=given["overwrite"], page=given["page"],
                            plots=given["plots"], progress=given["progress"], inputs=inputs))


def _shown(number: float | None) -> str:
    return "unknown" if number is None else f"{number:.3f}"


def _named(given: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the truth and the catalogues."""
    paths = list(given["paths"])
    if given["against"] is not None:
        return given["against"], paths
    if len(paths) < 2:
        raise ValueError(f"catalogue must be named after the truth {paths[0]!r}, or the truth by --against")
    return paths[0], paths[1:]


def _names(paths: list[str]) -> list[str]:
    """Return names of catalogues, each one its own."""
    from pathlib import Path

    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return [Path(path).name for path in paths]
    return [f"{k}-{Path(path).name}" for k, path in enumerate(paths, 1)]


def _parse_column(text: Any) -> tuple[str, Any]:
    """Return quantity, and column or column and unit, of ``"flux=S_int mJy"``."""
    from skygal.checks import show

    name, sign, value = text.partition("=") if isinstance(text, str) else ("", "", "")
    if not name.strip() or not sign or not value.strip():
        raise ValueError(f"columns must be a quantity and its column such as 'flux=S_int mJy', got {show(text)}")
    column, _, unit = value.strip().partition(" ")
    return name.strip(), (column, unit.strip()) if unit.strip() else column
