"""Pictures of the paper's networks; each is a small PNG file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skygal.bastien2021.experiments import PUBLISHED, axis_profile
from skygal.bastien2021.paper_tables import AUTHORS_CURVES, PAPER_EPOCHS, PAPER_TABLES, TARGET, Run
from skygal.bastien2021.settings import LATENT_DIMS

__all__ = ["plot_curves", "plot_experiments", "plot_floor", "plot_map", "plot_rates", "plot_reconstructions",
           "plot_twins"]

DPI = 90
#: colours of a file: pictures stay as they look, in a third of the bytes or less
COLOURS = 256
#: how a schedule's runs are drawn, beside the authors' dashes
LINES = {"fast": ".-", "paper": "x:"}
#: stretch of the pictures: the root shows lobes beside cores
POWER = 0.5


def _figure(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=kwargs.pop("figsize"), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(*args, **kwargs)


def _save(figure: Any, path: Path, dpi: int = DPI) -> None:
    """Write a figure as a PNG file with a palette."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format="png")
    # the default method, the median cut, spends its colours on the dark pixels, and spoils the few bright ones
    image = Image.open(buffer).convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=3,
                                                       dither=Image.Dither.NONE)
    image.save(path, format="PNG", optimize=True)


def _show(axes: Any, image: np.ndarray, title: str = "") -> None:
    axes.imshow(np.clip(image, 0, None) ** POWER, cmap="inferno", vmin=0, origin="lower", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    if title:
        axes.set_title(title, fontsize=8)


def plot_curves(runs: Sequence[Run], path: Path) -> None:
    """Plot our test losses and RAMIS against passes, beside the authors' logs and what their tables end at."""
    from matplotlib.lines import Line2D

    figure, rows = _figure(2, 2, figsize=(9, 6.5), sharex=True)
    for column, conditional in enumerate((False, True)):
        own = [run for run in runs if run.settings.conditional == conditional]
        for axes, key, name in zip(rows[:, column], ("test_loss", "ramis"), ("test loss / nats", "RAMIS"), strict=True):
            for (kind, latent_dim), curve in AUTHORS_CURVES.items():
                if kind == conditional:
                    axes.plot([point[0] + 1 for point in curve],
                              [point[1 if key == "test_loss" else 2] for point in curve],
                              "--", color=_colour(latent_dim))
            for latent_dim, value in zip(LATENT_DIMS, PAPER_TABLES[conditional][key], strict=True):
                axes.plot(PAPER_EPOCHS[conditional], value, "*", color=_colour(latent_dim), markersize=8)
            for run in own:
                axes.plot([run.passes_at(row["epoch"]) for row in run.rows], [row[key] for row in run.rows],
                          LINES[run.settings.schedule], color=_colour(run.settings.latent_dim), markersize=4)
            axes.set(xscale="log", ylabel=name)
        rows[0, column].set(ylim=(115, 180), title="CVAE" if conditional else "VAE")
        rows[1, column].set_xlabel("passes over 550 x 36 images")
    rows[0, 1].axhline(TARGET, color="grey", linewidth=0.6)
    # the upper right corners, where every loss has fallen, hold no curve
    rows[0, 0].legend(handles=[Line2D([], [], color=_colour(d), label=f"d = {d}") for d in LATENT_DIMS], fontsize=7,
                      loc="upper right", ncols=2)
    used = [name for name in LINES if name in {run.settings.schedule for run in runs}]
    rows[0, 1].legend(handles=[*[Line2D([], [], color="k", linestyle=LINES[name][1:], marker=LINES[name][0],
                                        markersize=4, label=f"here, {name} schedule") for name in used],
                               Line2D([], [], color="k", linestyle="--", label="authors' logs"),
                               Line2D([], [], color="k", linestyle="", marker="*", label="Tables 3 and 4")],
                      fontsize=7, loc="upper right")
    _save(figure, path)


def _colour(latent_dim: int) -> str:
    return f"C{LATENT_DIMS.index(latent_dim)}" if latent_dim in LATENT_DIMS else "grey"


def plot_experiments(results: Sequence[dict[str, list[tuple[float, float]]]], path: Path) -> None:
    """Plot the three experiments for each of several classifiers, and what the paper's text says."""
    figure, panels = _figure(1, 3, figsize=(9, 3), sharey=True)
    names = {"blur": "side of the Gaussian kernel / pixels", "noise": "noise amplitude",
             "edge": "blanked edge / pixels"}
    for axes, (kind, name) in zip(panels, names.items(), strict=True):
        for result in results:
            values = np.array(result[kind])
            axes.plot(values[:, 0], values[:, 1], ".-")
        axes.plot(list(PUBLISHED[kind]), list(PUBLISHED[kind].values()), "k*", label="paper's text")
        axes.set(xlabel=name, ylim=(0.98, 2.0))
    panels[0].set_ylabel("RAMIS")
    panels[0].legend(fontsize=7)
    _save(figure, path)


def plot_reconstructions(images: np.ndarray, reconstructed: Sequence[tuple[str, np.ndarray]], path: Path) -> None:
    """Plot real images in the first row and each model's reconstructions below, with its label."""
    n = len(images)
    figure, rows = _figure(1 + len(reconstructed), n, figsize=(0.9 * n + 1.2, 0.94 * (1 + len(reconstructed))),
                           squeeze=False)
    for axes, image in zip(rows[0], images, strict=True):
        _show(axes, image)
    _label(rows[0, 0], "FRDEEP")
    for line, (name, made) in zip(rows[1:], reconstructed, strict=True):
        for axes, image in zip(line, made, strict=True):
            _show(axes, image)
        _label(line[0], name)
    _save(figure, path)


def _label(axes: Any, text: str) -> None:
    axes.set_ylabel(text, fontsize=7, rotation=0, ha="right", va="center")


def plot_map(grid: np.ndarray, path: Path) -> None:
    """Plot the map of two latents as one mosaic: of each image the middle 60 pixels, every other one."""
    edge = max(0, (grid.shape[-1] - 60) // 2)
    inner = grid[:, :, edge:grid.shape[2] - edge:2, edge:grid.shape[3] - edge:2]
    mosaic = np.concatenate([np.concatenate(list(row), axis=1) for row in inner], axis=0)
    figure, axes = _figure(figsize=(8, 8))
    axes.imshow(mosaic ** POWER, cmap="inferno", origin="lower", extent=(-4.2, 4.2, -4.2, 4.2))
    axes.set(xlabel="first latent", ylabel="second latent")
    _save(figure, path, dpi=80)


def plot_twins(twins: np.ndarray, path: Path) -> None:
    """Plot the same latents as FRI and FRII, and both profiles along the FRI's principal axis."""
    n = twins.shape[1]
    figure, rows = _figure(n, 3, figsize=(6, 1.7 * n), squeeze=False, width_ratios=(1, 1, 1.8))
    for i, (first, second, third) in enumerate(rows):
        _show(first, twins[0, i], "FRI" if i == 0 else "")
        _show(second, twins[1, i], "FRII" if i == 0 else "")
        for k, name in enumerate(("FRI", "FRII")):
            offset, value = axis_profile(twins[k, i], of=twins[0, i])
            third.plot(offset, value, color=("C0", "C3")[k], label=name, linewidth=1)
        third.tick_params(labelsize=7)
        if i == 0:
            third.legend(fontsize=7)
            third.set_title("along the FRI's principal axis / pixels", fontsize=8)
    _save(figure, path)


def plot_floor(image: np.ndarray, path: Path) -> None:
    """Plot a generated image as it is and its floor on a logarithmic scale, saturated at the 95th percentile."""
    figure, (left, right) = _figure(1, 2, figsize=(6, 2.9))
    _show(left, image, "square root")
    top = max(float(np.quantile(image, 0.95)), 1e-12)
    shown = right.imshow(np.log10(np.clip(image, 1e-9, top)), cmap="viridis", origin="lower")
    right.set(xticks=[], yticks=[])
    right.set_title("log10, up to the 95th percentile", fontsize=8)
    figure.colorbar(shown, ax=right)
    _save(figure, path)


def plot_rates(rates: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Plot train loss against learning rate for each search."""
    figure, axes = _figure(figsize=(4.5, 3))
    for name, rows in rates.items():
        axes.plot([1e3 * row["learning_rate"] for row in rows], [row["train_loss"] for row in rows], ".-", label=name)
    least = min(row["train_loss"] for rows in rates.values() for row in rows)
    # the loss of a rate that blows up would hide the others
    axes.set(xlabel="learning rate (1e-3)", ylabel="train loss / nats", ylim=(0.95 * least, 3 * least))
    axes.legend(fontsize=7)
    _save(figure, path)
