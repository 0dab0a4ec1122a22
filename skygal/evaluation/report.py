"""An evaluation as a folder: the table in Markdown and ECSV, and pictures of real and generated stamps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skygal.evaluation.bench import CLASSES
from skygal.evaluation.rows import Row, figure
from skygal.evaluation.shapes import STATISTICS

if TYPE_CHECKING:
    from astropy.table import Table

    from skygal.evaluation.evaluate import Evaluation

__all__ = ["check_pictures", "csv_table", "figures_table", "markdown_table", "write_report"]

#: stamps in a row of a picture, and rows for each class
COLUMNS, ROWS = 10, 2
#: the two colours, of real and of generated stamps, and that of real training stamps
REAL, MADE, TRAIN = "#1f77b4", "#d62728", "#7f7f7f"


def figures_table(evaluation: Evaluation) -> Table:
    """Return all figures as a table, with what they were taken on in its ``meta``."""
    from astropy.table import Table

    rows = evaluation.rows
    table = Table({name: [getattr(row, name) for row in rows] for name in
                   ("measure", "group", "generated", "generated_error", "real", "real_error", "target")})
    table["met"] = ["" if row.met is None else "yes" if row.met else "no" for row in rows]
    table.meta.update(evaluation.about)
    return table


def _cells(row: Row) -> list[str]:
    """Return a row as it is shown."""
    return [row.measure, row.group, figure(row.generated, row.generated_error), figure(row.real, row.real_error),
            row.target, "" if row.met is None else "met" if row.met else "not met"]


def markdown_table(rows: list[Row]) -> str:
    """Return rows as a table in Markdown."""
    lines = ["| measure | | generated | real | target | |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def csv_table(rows: list[Row]) -> str:
    """Return rows as they are shown, as comma-separated text."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["measure", "of or by", "generated", "real", "target", ""])
    # a hyphen alone would be a list in reStructuredText
    writer.writerows(["" if cell == "-" else cell for cell in _cells(row)] for row in rows)
    return text.getvalue()


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


def _pictures(evaluation: Evaluation, folder: Path) -> None:
    """Draw stamps: observed ones of both kinds, and noiseless generated ones."""
    from matplotlib import image

    bench, made = evaluation.bench, evaluation.made
    rng = bench.generator("pictures")
    real_size, made_size = ((images > 0.02).sum(axis=(1, 2)) for images in (bench.real.images, made.seen.images))
    observed: list[np.ndarray] = []
    clean: list[np.ndarray] = []
    for k in range(len(CLASSES)):
        test = bench.test[_pick(bench.label[bench.test], real_size[bench.test], k, rng, COLUMNS * ROWS)]
        mine = _pick(made.label, made_size, k, rng, COLUMNS * ROWS)
        for start in range(0, COLUMNS * ROWS, COLUMNS):
            part = slice(start, start + COLUMNS)
            observed += [bench.real.images[test[part]], made.seen.images[mine[part]]]
            clean.append(made.images[mine[part]])
    width = min(len(row) for row in observed)
    image.imsave(folder / "observed.png", _grid([row[:width] for row in observed], [REAL, MADE] * ROWS * len(CLASSES)))
    image.imsave(folder / "noiseless.png", _grid([row[:width] for row in clean], [MADE] * ROWS * len(CLASSES)))


def _distributions(evaluation: Evaluation, path: Path) -> None:
    """Draw the cumulative distribution of each shape statistic, a row for each class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from skygal.evaluation.shapes import shape_statistics

    bench, made = evaluation.bench, evaluation.made
    mine, real = shape_statistics(made.seen.images, beam_fwhm=bench.beam_fwhm), bench.statistics
    page = Figure(figsize=(2.1 * len(STATISTICS), 4.4), layout="constrained")
    axes = page.subplots(len(CLASSES), len(STATISTICS), sharey=True)
    for k, name in enumerate(CLASSES):
        for axis, statistic in zip(axes[k], STATISTICS, strict=True):
            for values, colour, words in (
                    (real[statistic][bench.train[bench.label[bench.train] == k]], TRAIN, "real, training"),
                    (real[statistic][bench.test[bench.label[bench.test] == k]], REAL, "real, held-out"),
                    (mine[statistic][made.label == k], MADE, "generated")):
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
    asked = [row for row in evaluation.rows if row.met is not None]
    return f"""# {about['model']}: generated stamps beside real ones

{sum(bool(row.met) for row in asked)} of {len(asked)} targets are met. Model `{about['model']}` (SHA-256
`{about['sha256'][:16]}`), seed {about['seed']}, {', '.join(f'{n} {name}' for name, n in about['generated'].items())}
generated, {about['hidden']} of them hidden by noise. Real stamps: {count}, from {', '.join(about['sources'])}.

{markdown_table(evaluation.rows)}

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
        figures_table(evaluation).write(folder / "figures.ecsv", format="ascii.ecsv")
        (folder / "figures.csv").write_text(csv_table(evaluation.rows), encoding="utf-8")
        _pictures(evaluation, folder)
        _distributions(evaluation, folder / "shapes.png")
        (folder / "report.md").write_text(_text(evaluation), encoding="utf-8")
    return Path(output) / "report.md"
