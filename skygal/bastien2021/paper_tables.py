"""Runs of the paper's networks beside its published numbers."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skygal.bastien2021.settings import LATENT_DIMS, PaperSettings
from skygal.checks import shorten, show

__all__ = ["AUTHORS_CURVES", "PAPER_TABLES", "TARGET", "Run", "as_markdown", "curve_table", "read_runs",
           "result_table", "target_table", "time_to_target"]

#: Tables 3 (VAE, 8000 epochs) and 4 (CVAE, 5000 epochs) of Bastien et al. (2021, 2021MNRAS.503.3351B)
PAPER_TABLES: dict[bool, dict[str, tuple[float, ...]]] = {
    False: {"learning_rate": (1.07e-3, 0.96e-3, 1.04e-3, 0.94e-3, 0.88e-3, 0.94e-3),
            "train_loss": (133.6, 127.2, 136.3, 127.2, 128.3, 127.4),
            "test_loss": (125.7, 121.0, 127.6, 120.6, 121.2, 121.1),
            "ramis": (1.17, 1.10, 1.12, 1.16, 1.18, 1.13)},
    True: {"learning_rate": (0.90e-3, 1.08e-3, 0.90e-3, 0.94e-3, 0.88e-3, 0.96e-3),
           "train_loss": (136.9, 130.9, 145.8, 133.1, 136.0, 132.8),
           "test_loss": (129.1, 125.0, 136.7, 124.3, 127.3, 125.1),
           "ramis": (1.18, 1.14, 1.18, 1.11, 1.17, 1.10),
           "fri_fraction": (0.575, 0.755, 0.534, 0.371, 0.650, 0.759),
           "frii_fraction": (0.372, 0.318, 0.515, 0.617, 0.356, 0.247)}}
PAPER_EPOCHS = {False: 8000, True: 5000}
#: images to a step and angles of each image, in the authors' code
PAPER_BATCH, PAPER_ROTATIONS = 100, 36
#: (epoch, test loss, RAMIS) of the authors' training logs, by (conditional, latent dimension); 0 is after one pass
AUTHORS_CURVES: dict[tuple[bool, int], tuple[tuple[int, float, float], ...]] = {
    (True, 32): ((0, 166.9, 1.00), (10, 153.9, 1.00), (100, 151.2, 1.00), (500, 142.1, 1.01), (1000, 138.9, 1.03),
                 (2000, 133.2, 1.08), (5000, 127.1, 1.16)),
    (True, 2): ((0, 165.9, 1.01), (10, 150.3, 1.08), (100, 148.9, 1.13), (500, 138.5, 1.18), (1000, 136.2, 1.21),
                (2000, 130.7, 1.19), (5000, 130.4, 1.19)),
    (False, 32): ((0, 161.6, 1.00), (10, 153.5, 1.00), (100, 150.2, 1.00), (500, 148.2, 1.00), (1000, 138.3, 1.02),
                  (2000, 128.2, 1.10), (5000, 123.0, 1.18)),
    (False, 2): ((0, 161.9, 1.01), (10, 150.9, 1.08), (100, 144.9, 1.19), (500, 127.8, 1.15), (1000, 127.0, 1.17),
                 (2000, 126.4, 1.14), (5000, 126.6, 1.15))}
#: the authors' test loss with the CVAE, d = 32, after 5000 epochs
TARGET = 127.1
COLUMNS = ("test_loss", "ramis", "fri_fraction", "frii_fraction")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    weights : `~pathlib.Path`
        The weights file.
    settings : PaperSettings
        What it was trained with.
    rows : list of dict
        Its metrics, a row every few epochs.
    seconds : dict of int to float
        The time at which each row's epoch was reached.
    """

    weights: Path
    settings: PaperSettings
    rows: list[dict[str, float]]
    seconds: dict[int, float]

    @property
    def name(self) -> str:
        """The weights file's stem."""
        return self.weights.stem

    @property
    def kind(self) -> str:
        """VAE or CVAE."""
        return "CVAE" if self.settings.conditional else "VAE"

    @property
    def passes(self) -> float:
        """Images seen in the run over those of one epoch of the paper (550 x 36)."""
        return self.passes_at(self.settings.epochs)

    @property
    def minutes(self) -> float | None:
        """Minutes to the last logged epoch, if known."""
        return self.seconds[max(self.seconds)] / 60 if self.seconds else None

    @property
    def label(self) -> str:
        """Kind, latent dimension, schedule and passes, for a picture."""
        passes = f"{self.passes:.3g} pass{'' if self.passes == 1 else 'es'}"
        return f"{self.kind}, d = {self.settings.latent_dim}\n{self.settings.schedule}, {passes}"

    def passes_at(self, epoch: float) -> float:
        """Return the passes over 550 x 36 images after an epoch of the run, which may turn them by fewer angles."""
        return epoch * self.settings.rotations / PAPER_ROTATIONS


def _rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def read_runs(folder: str | os.PathLike) -> list[Run]:
    """Return the finished runs in a folder, in the order of kind, latent dimension and name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or no finished run in it, or a run lacks its metrics.
    ValueError
        If a run's files are damaged.
    """
    from skygal.bastien2021.generator import FORMAT
    from skygal.io.weights import read_description

    home = Path(folder)
    if not home.is_dir():
        raise FileNotFoundError(f"folder of runs {show(os.fspath(folder))} not found")
    runs = []
    for path in sorted(home.glob("*.safetensors")):
        described = read_description(path, "run")
        try:
            if described.get("format") != FORMAT[0] or "settings" not in described["metadata"]:
                continue
            metrics, seconds = path.with_suffix(".csv"), path.with_suffix(".seconds.csv")
            if not metrics.is_file():
                raise FileNotFoundError(f"run {show(str(path))} must have its metrics beside it, got no {metrics.name}")
            rows = _rows(metrics)
            times = {int(row["epoch"]): row["seconds"] for row in _rows(seconds)} if seconds.is_file() else {}
            runs.append(Run(path, PaperSettings.from_dict(described["metadata"]["settings"]), rows, times))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"run {show(str(path))} is damaged: {shorten(str(error))}") from None
    if not runs:
        raise FileNotFoundError(f"folder {show(os.fspath(folder))} must hold runs of the bastien2021 presets, got none")
    return sorted(runs, key=lambda run: (run.settings.conditional, run.settings.latent_dim, run.name))


def as_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return {"learning_rate": f"{1e3 * value:.2f}", "ramis": f"{value:.2f}"}.get(
        key, f"{100 * value:.1f}" if key.endswith("fraction") else f"{value:.1f}")


def _chosen(runs: Sequence[Run], conditional: bool, latent_dim: int) -> Run | None:
    """Return the run that saw most images, of those of a kind and latent dimension."""
    own = [run for run in runs if (run.settings.conditional, run.settings.latent_dim) == (conditional, latent_dim)]
    return max(own, key=lambda run: run.passes, default=None)


def result_table(runs: Sequence[Run], *, conditional: bool) -> str:
    """Return Table 3 (VAE) or 4 (CVAE) with ours beside the paper's, as Markdown.

    Of several runs with one latent dimension, the one that saw most images is taken.
    """
    paper = PAPER_TABLES[conditional]
    names = {"learning_rate": "initial rate (1e-3)", "train_loss": "train loss", "test_loss": "test loss",
             "ramis": "RAMIS", "fri_fraction": "FRI count / %", "frii_fraction": "FRII count / %"}
    chosen = [_chosen(runs, conditional, d) for d in LATENT_DIMS]
    lines = [["passes over 550 x 36 images", "paper", *[str(PAPER_EPOCHS[conditional])] * len(LATENT_DIMS)],
             ["", "here", *["-" if run is None else f"{run.passes:g}" for run in chosen]],
             ["minutes", "here", *["-" if run is None or run.minutes is None else f"{run.minutes:.1f}"
                                   for run in chosen]],
             ["images to a step", "paper", *[str(PAPER_BATCH)] * len(LATENT_DIMS)],
             ["", "here", *["-" if run is None else str(run.settings.batch_size) for run in chosen]],
             ["schedule", "here", *["-" if run is None else run.settings.schedule for run in chosen]]]
    for key, name in names.items():
        if key not in paper:
            continue
        lines.append([name, "paper", *[_shown(key, value) for value in paper[key]]])
        last = [None if run is None else run.settings.learning_rate if key == "learning_rate" else run.rows[-1][key]
                for run in chosen]
        lines.append(["", "here", *[_shown(key, value) for value in last]])
    if conditional:
        for key, other, name in (("fri_fraction", "frii_fraction", "FRI count / %, other way round"),
                                 ("frii_fraction", "fri_fraction", "FRII count / %, other way round")):
            swapped = [None if run is None else 1 - run.rows[-1][other] for run in chosen]
            lines.append([name, "here", *[_shown(key, value) for value in swapped]])
    return as_markdown(["", "", *[f"d = {d}" for d in LATENT_DIMS]], lines)


def curve_table(runs: Sequence[Run]) -> str:
    """Return our test losses and RAMIS beside the authors' at equal epochs, as Markdown.

    The authors' epoch e is after e + 1 passes, and is compared with our row at e + 1 passes, or the nearest before it;
    a run that ended before has none.
    """
    lines = []
    for (conditional, latent_dim), curve in AUTHORS_CURVES.items():
        own = [run for run in runs if (run.settings.conditional, run.settings.latent_dim) == (conditional, latent_dim)]
        for epoch, loss, score in curve:
            for run in own:
                if run.passes_at(run.rows[-1]["epoch"]) < epoch + 1:
                    continue
                row = max((row for row in run.rows if run.passes_at(row["epoch"]) <= epoch + 1),
                          key=lambda row: row["epoch"], default=None)
                if row is not None:
                    lines.append([run.kind, str(latent_dim), str(epoch), f"{loss:.1f} ({score:.2f})", run.name,
                                  f"{row['test_loss']:.1f} ({row['ramis']:.2f}) after {run.passes_at(row['epoch']):g}"])
    return as_markdown(["network", "d", "authors' epoch", "authors: test loss (RAMIS)", "run", "here, after passes"],
                       lines)


def time_to_target(run: Run, target: float = TARGET) -> tuple[int, float | None] | None:
    """Return the first logged epoch with a test loss of at most ``target``, and its time in seconds if known."""
    for row in run.rows:
        if row["test_loss"] <= target:
            epoch = int(row["epoch"])
            return epoch, run.seconds.get(epoch)
    return None


def target_table(runs: Sequence[Run]) -> str:
    """Return when runs of the CVAE with d = 32 get to the authors' test loss, as Markdown."""
    lines = [[f"authors (Adagrad, {PAPER_BATCH} to a step)", str(TARGET), str(PAPER_EPOCHS[True]), "-", "-"]]
    for run in runs:
        if not run.settings.conditional or run.settings.latent_dim != 32:
            continue
        best = min(run.rows, key=lambda row: row["test_loss"])
        found = time_to_target(run)
        lines.append([f"{run.name} ({run.settings.schedule}, {run.settings.batch_size} to a step)",
                      f"{best['test_loss']:.1f} in epoch {best['epoch']:.0f}",
                      "not reached" if found is None else str(found[0]),
                      "-" if found is None else f"{PAPER_EPOCHS[True] / run.passes_at(found[0]):.0f} times sooner",
                      "-" if found is None or found[1] is None else f"{found[1] / 60:.1f} min"])
    return as_markdown(["run", "least test loss", f"first epoch with at most {TARGET}", "", "time"], lines)
