"""The command ``evaluate``: a model's stamps beside real ones, or runs of a paper's networks beside the paper."""

from __future__ import annotations

from typing import Any

import click

from skygal.cli.shared import WHOLE, WORDS, add_options, check_ready

__all__ = ["evaluate"]


@click.command(short_help="Measure how real a model's stamps are.")
@click.argument("model", type=WORDS)
@click.argument("sources", type=WORDS, nargs=-1)
@click.option("--quick", is_flag=True, help="Smaller samples and fewer networks: a few minutes.")
@click.option("--n", type=WHOLE, help="Stamps to generate of each class.  [default: 1000, with --quick 300]")
@click.option("--exclude", type=WORDS, help="Leave out cutouts whose name holds one of these texts.")
@click.option("--classifier", type=WORDS, help="Weights of the paper's classifier, a second judge (*.safetensors).")
@click.option("--frdeep", type=WORDS, help="FRDEEP: train the paper's classifier on it, without the images that show "
              "held-out sources.")
@click.option("--paper", type=WORDS, help="Folder of runs of the bastien2021 presets, to be held beside the paper; "
              "in place of MODEL, FRDEEP.")
@click.option("--sharp", type=WORDS, help="An atlas of well-resolved galaxies (*.npz): measure how real the model's "
              "sources are at any resolution, beside it. SOURCES are then further models, each trained without a part "
              "of the atlas.")
@add_options("seed", "device", "output", "overwrite", "progress", "config")
def evaluate(**given: Any) -> None:
    """Measure how real a MODEL's stamps are, and write a report.

    MODEL is a shipped model's name or a weights file. SOURCES are the real stamps that it was trained on, in
    the same order, as ``skygal train`` reads them. The output is a folder with the table (report.md, figures.ecsv) and
    pictures.
    """
    check_ready(given)
    for name, run in (("paper", _evaluate_paper), ("sharp", _evaluate_sharp)):
        if given[name] is not None:
            run(given)
            return
    if not given["sources"]:
        raise ValueError("sources must name at least one file, folder or package of stamps, "
                         f"got none beside {given['model']!r}")
    from skygal.cli.shared import parse_settings
    from skygal.evaluation.evaluate import evaluate_model
    from skygal.evaluation.ramis import load_paper_classifier
    from skygal.evaluation.reference import Effort
    from skygal.evaluation.report import check_pictures, write_report
    from skygal.evaluation.results import format_results

    if given["classifier"] is not None and given["frdeep"] is not None:
        raise ValueError(f"frdeep must be left out where classifier is given, got {given['frdeep']!r}")
    check_pictures()
    paper = None if given["classifier"] is None else load_paper_classifier(given["classifier"])
    n = given["n"] if given["n"] is not None else 300 if given["quick"] else 1000
    settings = parse_settings({"exclude": given["exclude"]})
    found = evaluate_model(given["model"], given["sources"], paper=paper, frdeep=given["frdeep"], n=n,
                           exclude=settings.exclude,
                           seed=given["seed"] if given["seed"] is not None else 0,
                           effort=Effort.quick() if given["quick"] else Effort(), device=given["device"],
                           progress=given["progress"])
    written = write_report(found, given["output"], overwrite=given["overwrite"])
    click.echo(format_results(found.results))
    click.echo(f"{written}")


def _evaluate_sharp(given: dict[str, Any]) -> None:
    """Write the report of models beside an atlas."""
    for name in ("exclude", "classifier", "frdeep", "paper"):
        if given[name] is not None:
            raise ValueError(f"{name} must be left out with sharp, got {given[name]!r}")
    import numpy as np

    from skygal.checks import warn_caller
    from skygal.evaluation.report import check_pictures
    from skygal.evaluation.sharp_table import Held, evaluate_sharp, write_sharp_report
    from skygal.morphology.checkpoint import load_model
    from skygal.training.data.atlas import read_atlas

    check_pictures()
    atlas, models = read_atlas(given["sharp"]), []
    for name in (given["model"], *given["sources"]):
        model = load_model(name, device=given["device"])
        # of a model without octaves these are no names of an atlas's sources
        unseen = np.isin(atlas.name, model.metadata.get("left_out", []) if model.octaves is not None else [])
        if model.octaves is not None and not unseen.any():
            warn_caller(f"model {name!r} left out none of the sources in {given['sharp']!r} when it was "
                        "trained, and is held beside what it may have learnt from")
        models.append(Held(model, np.flatnonzero(unseen if unseen.any() else ~unseen)))
    effort: dict[str, Any] = {"n": 24, "networks": 1} if given["quick"] else {"n": 60, "networks": 3}
    effort |= {} if given["n"] is None else {"n": given["n"]}
    found = evaluate_sharp(atlas, models, seed=given["seed"] if given["seed"] is not None else 0,
                           progress=given["progress"], **effort)
    written = write_sharp_report(found, given["output"], overwrite=given["overwrite"])
    click.echo((written / "sharp.md").read_text(encoding="utf-8"))
    click.echo(f"{written}")


def _evaluate_paper(given: dict[str, Any]) -> None:
    """Write the report of runs of the paper's networks."""
    for name, empty in (("sharp", None), ("quick", False), ("n", None), ("exclude", None), ("frdeep", None)):
        if given[name] != empty:
            raise ValueError(f"{name} must be left out with paper, got {given[name]!r}")
    if given["sources"]:
        raise ValueError(f"sources must be left out with paper, got {list(given['sources'])}")
    from skygal.bastien2021.report import write_paper_report

    written = write_paper_report(given["paper"], given["model"], given["output"],
                                 classifiers=() if given["classifier"] is None else (given["classifier"],),
                                 seed=given["seed"] if given["seed"] is not None else 0,
                                 progress=given["progress"], overwrite=given["overwrite"])
    click.echo(f"{written}")
