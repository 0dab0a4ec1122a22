"""The report that holds runs of the paper's networks beside its tables and figures."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.bastien2021.paper_tables import (
    Run,
    as_markdown,
    curve_table,
    read_runs,
    result_table,
    target_table,
)
from skygal.checks import show

if TYPE_CHECKING:
    from skygal.bastien2021.frdeep import PaperImages
    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["write_paper_report"]

#: how many real images are reconstructed, latents are twinned, and classifiers scored
SHOWN, TWINS, CLASSIFIERS = 6, 6, 2
#: pixels brighter than this, of the peak, tell how extended an image is
BRIGHT = 0.05
#: passes over the test images for the loss of the final weights
DRAWS = 40


def write_paper_report(runs: str | os.PathLike, frdeep: str | os.PathLike, output: str | os.PathLike, *,
                       classifiers: Sequence[str | os.PathLike] = (), samples: int = 200, seed: int = 0,
                       progress: bool = False, overwrite: bool = False) -> Path:
    """Write a report of runs of the bastien2021 presets: ``report.md``, ``report.json`` and pictures.

    Parameters
    ----------
    runs : path
        The folder with finished runs: ``NAME.safetensors``, ``NAME.csv`` and ``NAME.seconds.csv`` of each, searches for
        the learning rate (``NAME.rates.csv``, of `skygal.bastien2021.train.search_rate`), and classifiers
        (``*.classifier.safetensors``).
    frdeep : path
        FRDEEP; see `skygal.bastien2021.frdeep.read_frdeep`.
    output : path
        The folder to write.
    classifiers : sequence of path
        The paper's classifiers; by default those in the folder of runs, and if there are none, two are trained. The
        first one names classes; the experiments are drawn for all.
    samples : int
        Images of each class for the class balance.
    seed : int
        Of the classifiers, latents, dropout and noise.
    progress : bool
        Whether to show progress.
    overwrite : bool
        Whether a report that is there may be replaced.

    Returns
    -------
    `~pathlib.Path`
        The report, ``output/report.md``.

    Raises
    ------
    FileNotFoundError
        If a folder, a classifier or FRDEEP is missing, or there are no runs.
    ValueError
        If a run's files are damaged.
    FileExistsError
        If the output exists.
    ModuleNotFoundError
        If matplotlib is missing.
    """
    from tqdm import tqdm

    from skygal.checks import as_count
    from skygal.evaluation.report import check_pictures
    from skygal.io.atomic import check_writable, whole_directory

    samples = as_count("samples", samples, minimum=1)
    check_writable(output, overwrite=overwrite)
    check_pictures()
    from skygal.bastien2021.experiments import run_experiments
    from skygal.bastien2021.figures import plot_curves, plot_experiments, plot_rates
    from skygal.bastien2021.frdeep import read_frdeep

    found = read_runs(runs)
    rates = {path.name.removesuffix(".rates.csv"): _read_rates(path) for path in sorted(Path(runs).glob("*.rates.csv"))}
    data = read_frdeep(frdeep)
    judges = _classifiers(runs, classifiers, data, seed, progress)
    scores = [_score_classifier(judge, data) for judge in judges]
    experiments = [run_experiments(judge, data.train, seed=seed, progress=progress) for judge in judges]
    with whole_directory(output, overwrite=overwrite) as folder:
        plot_curves(found, folder / "curves.png")
        plot_experiments(experiments, folder / "experiments.png")
        if rates:
            plot_rates(rates, folder / "rates.png")
        models: dict[str, Any] = {}
        pictures = _Pictures(folder, data)
        for run in tqdm(found, desc="models", disable=not progress):
            models[run.name] = pictures.add(run, judges[0], samples, seed)
        pictures.finish()
        record = {"classifiers": scores, "experiments": experiments, "models": models, "rates": rates,
                  "runs": {run.name: {"settings": run.settings.to_dict(), "metrics": run.rows,
                                      "seconds": run.seconds} for run in found}}
        (folder / "report.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        (folder / "report.md").write_text(_text(found, record, folder), encoding="utf-8")
    return Path(output) / "report.md"


def _read_rates(path: Path) -> list[dict[str, float]]:
    try:
        with path.open(newline="") as file:
            return [{key: float(row[key]) for key in ("learning_rate", "train_loss")} for row in csv.DictReader(file)]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"search {show(str(path))} must hold the columns learning_rate and train_loss: "
                         f"{error}") from None


def _classifiers(runs: str | os.PathLike, given: Sequence[str | os.PathLike], data: PaperImages, seed: int,
                 progress: bool) -> list[PaperClassifier]:
    from skygal.evaluation.ramis import load_paper_classifier, train_paper_classifier

    paths = list(given) or sorted(Path(runs).glob("*.classifier.safetensors"))
    return [load_paper_classifier(path) for path in paths] or [
        train_paper_classifier(data.train, data.train_label, seed=seed + i, progress=progress)
        for i in range(CLASSIFIERS)]


def _score_classifier(judge: PaperClassifier, data: PaperImages) -> dict[str, float]:
    """Return accuracies and RAMIS on FRDEEP."""
    from skygal.bastien2021.frdeep import crop_images
    from skygal.evaluation.ramis import ramis

    out = {"test_accuracy": float((judge.classify(data.test).argmax(axis=1) == data.test_label).mean())}
    for key, images in (("", data.train), ("cropped_", crop_images(data.train))):
        p = judge.classify(images)
        right = p.argmax(axis=1) == data.train_label
        out |= {f"{key}accuracy": float(right.mean()), f"{key}ramis": ramis(p),
                f"{key}fri": float(right[data.train_label == 0].mean()),
                f"{key}frii": float(right[data.train_label == 1].mean())}
    return out


class _Pictures:
    """Draws what each model makes, and keeps of it what goes into one picture of all."""

    def __init__(self, folder: Path, data: PaperImages) -> None:
        from skygal.bastien2021.frdeep import crop_images

        self.folder = folder
        # evenly over the images, so that both classes are shown
        rows = np.linspace(0, len(data.train) - 1, SHOWN + 2).astype(int)[1:-1]
        self.images, self.labels = crop_images(data.train[rows]), data.train_label[rows]
        self.reconstructed: list[tuple[str, np.ndarray]] = []
        self.test, self.test_label = crop_images(data.test), data.test_label
        # whose latents are twinned: extended ones, on which the classes differ
        crops = crop_images(data.train)
        bright = (crops > BRIGHT).sum(axis=(1, 2))
        chosen = np.argsort(bright, kind="stable")[(np.linspace(0.6, 0.95, TWINS) * (len(bright) - 1)).astype(int)]
        self.twinned, self.twinned_label = crops[chosen], data.train_label[chosen]

    def add(self, run: Run, judge: PaperClassifier, samples: int, seed: int) -> dict[str, Any]:
        """Draw a run's own pictures; return its figures."""
        from skygal.bastien2021 import experiments
        from skygal.bastien2021 import figures as paper_figures
        from skygal.bastien2021.weights import load_paper_model

        model = load_paper_model(run.weights)
        self.reconstructed.append((run.label, experiments.reconstruct(model, self.images, self.labels)))
        out: dict[str, Any] = experiments.class_balance(model, judge, n=samples, seed=seed)
        out["test_loss"], out["test_loss_error"] = experiments.measure_test_loss(model, self.test, self.test_label,
                                                                                 draws=DRAWS, seed=seed)
        twins = experiments.make_twins(model, experiments.locate(model, self.twinned, self.twinned_label))
        out["floor_without_dropout"] = experiments.floor_share(twins)
        if run.settings.latent_dim == 2:
            paper_figures.plot_map(experiments.decode_grid(model), self.folder / f"{run.name}-map.png")
        if run.settings.conditional and run.settings.latent_dim == 32:
            paper_figures.plot_twins(twins, self.folder / f"{run.name}-twins.png")
            paper_figures.plot_floor(twins[0, 0], self.folder / f"{run.name}-floor.png")
        return out

    def finish(self) -> None:
        """Draw the reconstructions of all."""
        from skygal.bastien2021.figures import plot_reconstructions

        plot_reconstructions(self.images, self.reconstructed, self.folder / "reconstructions.png")


def _text(runs: Sequence[Run], record: dict[str, Any], folder: Path) -> str:
    """Return the report."""
    percent = "{:.1f}".format
    names = {"accuracy": ("training accuracy", 0.853), "test_accuracy": ("test accuracy", 0.86),
             "ramis": ("RAMIS, whole images", 1.405), "fri": ("FRI named FRI", 0.905),
             "frii": ("FRII named FRII", 0.812),
             "cropped_ramis": ("RAMIS, 25-pixel edge blanked", 1.273), "cropped_fri": ("FRI, edge blanked", 0.760),
             "cropped_frii": ("FRII, edge blanked", 0.880)}
    judge_rows = [[name, f"{paper:.3f}", *[f"{score[key]:.3f}" for score in record["classifiers"]]]
                  for key, (name, paper) in names.items()]
    balance = []
    for run in runs:
        for latents in ("uniform", "prior"):
            row = record["models"][run.name][latents]
            balance.append([run.name, latents, *["-" if np.isnan(row[key]) else percent(100 * row[key]) for key in
                                                 ("called_fri", "fri_as_fri", "frii_as_frii")], f"{row['ramis']:.2f}",
                            percent(100 * row["floor"])])

    def picture(name: str, title: str) -> str:
        return f"![{title}]({name})\n" if (folder / name).is_file() else ""

    def pictures(suffix: str, title: str) -> str:
        return "\n".join(picture(f"{run.name}-{suffix}.png", f"{title}, {run.name}") for run in runs
                         if (folder / f"{run.name}-{suffix}.png").is_file())

    parts = [
        "# Bastien et al. 2021, reproduced\n",
        "Numbers of the paper: MNRAS 503, 3351 (2021MNRAS.503.3351B), and its authors' training logs and published "
        "classifier. Losses are in nats an image, the Bernoulli likelihood of 10,000 pixels, dropout on; those of the "
        "CVAE include the class's ln 2. RAMIS here is by our first classifier, the paper's by theirs; a classifier's "
        "scores of real images, below, are the measure of its others.\n",
        "## The classifier and RAMIS\n",
        as_markdown(["", "paper's weights", *[f"here, {i + 1}" for i in range(len(judge_rows[0]) - 2)]], judge_rows),
        picture("experiments.png", "RAMIS of blurred, noisy and cropped images"),
        "## Learning rates\n" if record["rates"] else "",
        picture("rates.png", "Train loss against learning rate"),
        "## Table 3: VAE\n", result_table(runs, conditional=False),
        "## Table 4: CVAE\n", result_table(runs, conditional=True),
        "Counts are the share of 100 images made as each class, latents uniform in +-4, that the classifier names so. "
        "The authors' scoring script feeds the label (0, 1) for the set it calls FRI and (1, 0) for the one it calls "
        "FRII, while training has FRI as (1, 0). If the paper's counts came from it, its FRI count is the share of "
        "FRIIs named FRI, and its FRII count that of FRIs named FRII: the lines \"other way round\" are ours counted "
        "so.\n",
        "## Training curves at equal epochs\n", curve_table(runs), picture("curves.png", "Training curves"),
        "## To the authors' test loss\n", target_table(runs),
        "Times are of the machine the run was made on, scoring and checkpoints included. The losses of single epochs "
        f"scatter: fifty images, each with fresh dropout. Of the final weights, over {DRAWS} passes:\n",
        as_markdown(["run", "test loss"], [[run.name, f"{record['models'][run.name]['test_loss']:.2f} +- "
                                            f"{record['models'][run.name]['test_loss_error']:.2f}"] for run in runs]),
        "## Class balance and noise floor\n",
        as_markdown(["run", "latents", "named FRI / %", "FRI as FRI / %", "FRII as FRII / %", "RAMIS",
                     "pixels under 5e-5 / %"], balance),
        "Dropout on, as the authors drew. Some 95 % of the pixels of a real stamp are zero.\n",
        "## Reconstructions\n", "At the location of q(z | x), dropout off; first row: FRDEEP.\n",
        picture("reconstructions.png", "Reconstructions"),
        "## Map of two latents\n", "From -4 to 4 in steps of 0.4, the middle 60 x 60 pixels; a CVAE's as FRI.\n",
        pictures("map", "Map"),
        "## Class twins\n",
        "The same latents, those of extended training images, as FRI and as FRII.\n", pictures("twins", "Twins"),
        "## The noise floor of an image\n", pictures("floor", "Floor")]
    return "\n".join(part for part in parts if part)
