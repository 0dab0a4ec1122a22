"""An evaluation as a folder: the table in Markdown and ECSV, and pictures of real and generated stamps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skygal.evaluation.reference import CLASSES
from skygal.evaluation.results import csv_table, markdown_table, results_table
from skygal.evaluation.shapes import STATISTICS, reference_statistics, shape_statistics

if TYPE_CHECKING:
    from skygal.evaluation.evaluate import Evaluation

__all__ = ["check_pictures", "write_report"]

#: stamps in a row of a picture, and rows for each class
COLUMNS, ROWS = 10, 2
#: the two colours, of real and of generated stamps, and that of real training stamps
REAL, MADE, TRAIN = "#1f77b4", "#d62728", "#7f7f7f"


def _grid(rows: list[np.ndarray], colours: list[str]) -> np.ndarray:
    """Return stamps on a square-root scale, side by side in rows, each framed in its row's colour."""
    from matplotlib import colormaps, colors

    lines = []
    for stamps, colour in zip(rows, colours, strict=True):
        frame = np.array(colors.to_rgb(colour))
        tiles = []
        for stamp in stamps:
            tile = np.empty((stamp.shape[0] + 2, stamp.shape[1] + 2, 3))
            tile[:] = frame
            tile[1:-1, 1:-1] = colormaps["inferno"](np.sqrt(np.clip(stamp, 0, 1)))[..., :3]
            tiles.append(tile)
        lines.append(np.concatenate(tiles, axis=1))
    return np.concatenate(lines)


def _pick(label: np.ndarray, size: np.ndarray, k: int, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return rows of a class, unselected but for being drawn evenly over its sizes, in their order."""
    rows = np.flatnonzero(label == k)
    rows = rows[np.argsort(size[rows], kind="stable")]
    edges = np.linspace(0, len(rows), n + 1).astype(int)
    return np.array([rows[rng.integers(a, max(b, a + 1))] for a, b in zip(edges[:-1], edges[1:], strict=True)
                     if a < len(rows)])


def _plot_stamps(evaluation: Evaluation, folder: Path) -> None:
    """Draw stamps: observed ones of both kinds, and noiseless generated ones."""
    from matplotlib import image

    reference, sample = evaluation.reference, evaluation.sample
    rng = reference.generator("pictures")
    real_size, made_size = ((images > 0.02).sum(axis=(1, 2))
                            for images in (reference.real.images, sample.observed.images))
    observed: list[np.ndarray] = []
    clean: list[np.ndarray] = []
    for k in range(len(CLASSES)):
        test = reference.test[_pick(reference.label[reference.test], real_size[reference.test], k, rng, COLUMNS * ROWS)]
        mine = _pick(sample.label, made_size, k, rng, COLUMNS * ROWS)
        for start in range(0, COLUMNS * ROWS, COLUMNS):
            part = slice(start, start + COLUMNS)
            observed += [reference.real.images[test[part]], sample.observed.images[mine[part]]]
            clean.append(sample.images[mine[part]])
    width = min(len(row) for row in observed)
    image.imsave(folder / "observed.png", _grid([row[:width] for row in observed], [REAL, MADE] * ROWS * len(CLASSES)))
    image.imsave(folder / "noiseless.png", _grid([row[:width] for row in clean], [MADE] * ROWS * len(CLASSES)))


def _plot_distributions(evaluation: Evaluation, path: Path) -> None:
    """Draw the cumulative distribution of each shape statistic, a row for each class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    reference, sample = evaluation.reference, evaluation.sample
    mine = shape_statistics(sample.observed.images, beam_fwhm=reference.beam_fwhm)
    real = reference_statistics(reference)
    page = Figure(figsize=(2.1 * len(STATISTICS), 4.4), layout="constrained")
    axes = page.subplots(len(CLASSES), len(STATISTICS), sharey=True)
    for k, name in enumerate(CLASSES):
        for axis, statistic in zip(axes[k], STATISTICS, strict=True):
            for values, colour, words in (
                    (real[statistic][reference.train[reference.label[reference.train] == k]], TRAIN, "real, training"),
                    (real[statistic][reference.test[reference.label[reference.test] == k]], REAL, "real, held-out"),
                    (mine[statistic][sample.label == k], MADE, "generated")):
                axis.plot(np.sort(values), np.linspace(0, 1, len(values)), color=colour, label=words, linewidth=1)
            axis.set_title(statistic if k == 0 else "", fontsize=8)
            axis.tick_params(labelsize=6)
        axes[k, 0].set_ylabel(name, fontsize=8)
    axes[0, 0].legend(fontsize=5)
    FigureCanvasAgg(page).print_png(path)


def _text(evaluation: Evaluation) -> str:
    about = evaluation.about
    count = ", ".join(f"{name} {sum(part.values())} ({', '.join(f'{n} {key}' for key, n in part.items())})"
                      for name, part in about["stamps"].items())
    asked = [row for row in evaluation.results if row.met is not None]
    return f"""# {about['model']}: generated stamps beside real ones

{sum(bool(row.met) for row in asked)} of {len(asked)} targets are met. Model `{about['model']}` (SHA-256
`{about['sha256'][:16]}`), seed {about['seed']}, {', '.join(f'{n} {name}' for name, n in about['generated'].items())}
generated, {about['hidden']} of them hidden by noise. Real stamps: {count}, from {', '.join(about['sources'])}.

{markdown_table(evaluation.results)}

Generated stamps got the noise of real training stamps of their class and about their extent; both were clipped at 3
sigma, cut to 8 bits and aligned alike. The judges learnt from validation and test stamps alone, and none judges a real
stamp it learnt from. "Real" is held-out (test) stamps, or training against held-out ones; the real figure of a gain is
the accuracy of real stamps alone.

## Observed

Blue frames: held-out real stamps; red: generated ones. Unselected, in the order of their size; FRI above, FRII below.

![observed](observed.png)

## Noiseless, the same generated stamps

![noiseless](noiseless.png)

## Shapes

Cumulative distributions of observed stamps.

![shapes](shapes.png)
"""


def check_pictures() -> None:
    """Check that pictures can be drawn.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is missing.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError("the report's pictures need matplotlib: pip install 'skygal[plot]'") from None


def write_report(evaluation: Evaluation, output: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """Write an evaluation as ``report.md``, ``figures.ecsv``, ``figures.csv`` (as shown) and pictures.

    Parameters
    ----------
    evaluation : Evaluation
        What `skygal.evaluation.evaluate.evaluate_model` found.
    output : path
        The folder, which appears whole or not at all.
    overwrite : bool
        Whether a report that is there may be replaced.

    Returns
    -------
    `~pathlib.Path`
        The report, ``output/report.md``.

    Raises
    ------
    FileExistsError
        If the output exists.
    ModuleNotFoundError
        If matplotlib is missing.
    """
    from skygal.io.atomic import whole_directory

    check_pictures()
    with whole_directory(output, overwrite=overwrite) as folder:
        results_table(evaluation.results, evaluation.about).write(folder / "figures.ecsv", format="ascii.ecsv")
        (folder / "figures.csv").write_text(csv_table(evaluation.results), encoding="utf-8")
        _plot_stamps(evaluation, folder)
        _plot_distributions(evaluation, folder / "shapes.png")
        (folder / "report.md").write_text(_text(evaluation), encoding="utf-8")
    return Path(output) / "report.md"
