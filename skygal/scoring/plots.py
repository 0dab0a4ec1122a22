"""Pictures of scores: rates, errors, fluxes, rows of sources and classes, each a PNG file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.scoring.charts import COLOURS, WORDS
from skygal.scoring.measures import SNR_EDGES, component_offsets, edge_names
from skygal.scoring.records import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from skygal.scoring.score import Score

__all__ = ["check_plots", "plot_scores"]

#: of the catalogues, in turn
MARKS = ("o", "s", "^", "D", "v", "P")
#: points of a scatter plot at most
MOST_POINTS = 20_000
LEVELS = {"host": "sources", "component": "components"}


def check_plots() -> None:
    """Check that pictures can be drawn.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError("plots need matplotlib: pip install 'skygal[plot]'") from None


def plot_scores(scores: Sequence[Score], directory: str | os.PathLike) -> list[Path]:
    """Draw the pictures of scores of catalogues against one truth.

    Parameters
    ----------
    scores : sequence of Score
        Each has a colour and a mark.
    directory : path
        A folder that is there; files of the same names in it are replaced.

    Returns
    -------
    list of path
        ``completeness_sources.png``, ``completeness_components.png``, ``reliability.png``, ``errors.png``,
        ``positions.png``, ``sources.png`` and, where a catalogue has classes, ``classes.png``; those of which there is
        something to draw.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    check_plots()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    every = list(scores)
    drawings: dict[str, Callable[[list[Score]], Figure | None]] = {
        "completeness_sources": lambda those: _rates(those, "completeness", ("host",)),
        "completeness_components": lambda those: _rates(those, "completeness", ("component",)),
        "reliability": lambda those: _rates(those, "reliability", ("host", "component")),
        "errors": _errors, "positions": _positions, "sources": _sources, "classes": _classes}
    written = []
    for name, draw in drawings.items():
        figure = draw(every)
        if figure is not None:
            path = Path(directory) / f"{name}.png"
            FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
            written.append(path)
    return written


#: room in inches left of a panel, right, below and above it; and for the names of catalogues above all
LEFT, RIGHT, BELOW, ABOVE, NAMES = 0.6, 0.15, 0.85, 0.25, 0.25


def _page(rows: int, columns: int, width: float = 3.3, height: float = 2.9) -> tuple[Figure, np.ndarray]:
    """Return a figure of panels, each with room for its words: laid out without drawing all twice."""
    from matplotlib.figure import Figure

    wide, high = width * columns, height * rows + NAMES
    figure = Figure(figsize=(wide, high), dpi=110)
    axes = figure.subplots(rows, columns, squeeze=False)
    inner = width - LEFT - RIGHT, height - BELOW - ABOVE
    figure.subplots_adjust(left=LEFT / wide, right=1 - RIGHT / wide, bottom=BELOW / high,
                           top=1 - (ABOVE + NAMES) / high, wspace=(LEFT + RIGHT) / inner[0],
                           hspace=(BELOW + ABOVE) / inner[1])
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
        axis.grid(color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def _legend(figure: Figure, axes: np.ndarray, scores: list[Score]) -> None:
    """Name the catalogues above the panels, in the colours of their marks."""
    from matplotlib.lines import Line2D

    if len(scores) > 1:
        handles = [Line2D([], [], **_style(k), ls="none", label=_plain(one.found.name))
                   for k, one in enumerate(scores)]
        figure.legend(handles=handles, loc="upper center", ncols=min(len(scores), 4), fontsize=8, frameon=False)


def _style(k: int) -> dict[str, Any]:
    """Return colour and mark of a catalogue."""
    return {"color": COLOURS[k % len(COLOURS)], "marker": MARKS[k % len(MARKS)]}


def _plain(text: str) -> str:
    """Return a name that matplotlib takes for no formula."""
    return text.replace("$", r"\$")


def _rates(scores: list[Score], rate: str, levels: tuple[str, ...]) -> Figure | None:
    """Return a panel a quantity: shares with their intervals, a catalogue a colour."""
    wanted = list(dict.fromkeys((curve.level, curve.against) for one in scores for curve in one.curves
                                if curve.rate == rate and curve.level in levels and curve.total.any()))
    if not wanted:
        return None
    # the fewest empty places, of three to five in a row
    columns = min((3, 4, 5), key=lambda n: (-len(wanted) % n, n)) if len(wanted) > 4 else len(wanted)
    figure, axes = _page(-(-len(wanted) // columns), columns)
    for axis, (level, against) in zip(axes.flat, wanted, strict=False):
        curves = [next((curve for curve in one.curves if (curve.rate, curve.level, curve.against)
                        == (rate, level, against)), None) for one in scores]
        _draw_rate(axis, curves)
        axis.set_xlabel(WORDS.get(against, against), fontsize=8)
        axis.set_ylabel(f"{rate}, {LEVELS[level]}", fontsize=8)
        selection = next((curve.selection for curve in curves if curve is not None), "")
        axis.set_title(selection, fontsize=7, color="0.35")
    for axis in axes.flat[len(wanted):]:
        axis.set_axis_off()
    _legend(figure, axes, scores)
    return figure


def _draw_rate(axis: Axes, curves: list[Curve | None]) -> None:
    """Draw one rate of each catalogue: bins of equal width whatever they span, but of flux."""
    there = [curve for curve in curves if curve is not None]
    names = list(dict.fromkeys(name for curve in there for name in curve.names))
    log = bool(there) and there[0].against == "flux"
    for k, curve in enumerate(curves):
        if curve is None:
            continue
        known = curve.total > 0
        shift = (k - (len(curves) - 1) / 2) * 0.5 / max(len(curves), 2)
        place: Any
        if curve.names:
            place = np.array([names.index(name) for name in curve.names]) + shift
        elif log:
            place = np.sqrt(curve.edges[:-1] * curve.edges[1:]) * 10 ** (0.25 * shift)
        else:
            place = np.arange(len(curve.hits)) + 0.5 + shift
        share = curve.hits[known] / curve.total[known]
        bars = np.abs(np.stack([share - curve.low[known], curve.high[known] - share]))
        axis.errorbar(place[known], share, bars, **_style(k), markersize=4,
                      linewidth=0.9 if not curve.names else 0, elinewidth=1.1, capsize=1.5)
    if names:
        axis.set_xticks(range(len(names)), [_plain(name) for name in names], rotation=30 if len(names) > 3 else 0,
                        ha="right" if len(names) > 3 else "center")
        axis.set_xlim(-0.6, len(names) - 0.4)
    elif log:
        axis.set_xscale("log")
    elif there:
        edges = there[0].edges
        axis.set_xticks(range(len(edges)), ["" if np.isinf(edge) else f"{edge:g}" for edge in edges],
                        rotation=45 if len(edges) > 12 else 0)
        axis.set_xlim(0, len(edges) - 1)
    axis.set_ylim(-0.03, 1.05)


def _snr_place(snr: np.ndarray) -> np.ndarray:
    """Return where signal-to-noise ratios stand on an axis that ends at 10,000."""
    return np.clip(snr, 1, 1e4)


def _errors(scores: list[Score]) -> Figure | None:
    """Return ratios of flux, peak and axes and the turn of angles against true signal-to-noise ratio."""
    off = [component_offsets(one.truth, one.found, one.matches) for one in scores]
    quantities = {"flux": "flux over true", "peak": "peak over true", "b_maj": "major axis over true",
                  "b_min": "minor axis over true", "pa": "angle less true (deg)"}
    shown = [name for name in quantities if any(np.isfinite(values[name]).any() for values, _ in off)]
    if not shown:
        return None
    figure, axes = _page(1, len(shown))
    for axis, name in zip(axes[0], shown, strict=True):
        for k, (values, of) in enumerate(off):
            known = np.flatnonzero(np.isfinite(values[name]))
            some = known[:: max(1, -(-known.size // MOST_POINTS))]
            axis.plot(_snr_place(of["snr"][some]), values[name][some], ls="none", marker=".", markersize=2,
                      color=_style(k)["color"], alpha=0.35, rasterized=True)
            _draw_medians(axis, scores[k].errors["snr"], name, k, len(scores))
        axis.axhline(0 if name == "pa" else 1, color="0.3", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_ylim(*((-45, 45) if name == "pa" else (0, 2.2)))
        axis.set_xlabel("true peak over noise", fontsize=8)
        axis.set_ylabel(quantities[name], fontsize=8)
    axes[0, 0].set_title("medians, and 1.4826 times the median absolute deviation", fontsize=7, color="0.35")
    _legend(figure, axes, scores)
    return figure


def _draw_medians(axis: Axes, rows: list[dict[str, Any]], name: str, k: int, n: int) -> None:
    """Draw medians and scatters of bins of signal-to-noise ratio."""
    middles = np.sqrt(SNR_EDGES[:-1] * np.where(np.isinf(SNR_EDGES[1:]), 1e4, SNR_EDGES[1:]))
    place = dict(zip(edge_names(SNR_EDGES), middles.tolist(), strict=True))
    known = [row for row in rows if row[name] is not None]
    x = np.array([place[row["bin"]] for row in known]) * 10 ** (0.03 * (k - (n - 1) / 2))
    axis.errorbar(x, [row[name] for row in known], [row[f"{name}_scatter"] or 0 for row in known],
                  **_style(k), markersize=4, linewidth=0.9, elinewidth=1.1, capsize=1.5,
                  markeredgecolor="white", markeredgewidth=0.5)


def _positions(scores: list[Score]) -> Figure | None:
    """Return offsets on the sky, east to the left, with the beam's half width, and their median."""
    off = [component_offsets(one.truth, one.found, one.matches)[0] for one in scores]
    if not any(values["ra"].size for values in off):
        return None
    columns = min(len(scores), 4)
    figure, axes = _page(-(-len(scores) // columns), columns, 3.5, 3.5)
    turn = np.linspace(0, 2 * np.pi, 181)
    for k, (axis, values) in enumerate(zip(axes.flat, off, strict=False)):
        major, minor, pa = scores[k].truth.beam
        pa = np.radians(pa)
        along, across = major / 2 * np.cos(turn), minor / 2 * np.sin(turn)
        axis.plot(along * np.sin(pa) + across * np.cos(pa), along * np.cos(pa) - across * np.sin(pa), color="0.5",
                  linewidth=0.8, label="half of the beam")
        some = slice(None, None, max(1, -(-values["ra"].size // MOST_POINTS)))
        axis.plot(values["ra"][some], values["dec"][some], ls="none", marker=".", markersize=2, alpha=0.5,
                  color=_style(k)["color"], rasterized=True)
        if values["ra"].size:
            axis.plot(np.median(values["ra"]), np.median(values["dec"]), marker="+", markersize=12, color="black",
                      ls="none", label=f"median {np.median(values['ra']):+.2g}, {np.median(values['dec']):+.2g}")
        side = 0.65 * major
        axis.set(xlim=(side, -side), ylim=(-side, side), aspect="equal")
        axis.set_xlabel("row less truth, east (arcsec)", fontsize=8)
        axis.set_ylabel("north (arcsec)", fontsize=8)
        axis.set_title(_plain(scores[k].found.name), fontsize=8)
        axis.legend(fontsize=6, loc="upper right")
    for axis in axes.flat[len(scores):]:
        axis.set_axis_off()
    return figure


def _sources(scores: list[Score]) -> Figure | None:
    """Return the flux recovered by signal-to-noise ratio, size and class, and how many rows and sources go together."""
    if not any(one.hosts["recovered"]["all"] for one in scores):
        return None
    figure, axes = _page(1, 5)
    place: Any
    for axis, (group, words) in zip(axes[0], (("snr", "true peak over noise"), ("las", "largest size (beams)"),
                                              ("fr_class", "FR class")), strict=False):
        names = list(dict.fromkeys(row["bin"] for one in scores for row in one.hosts["recovered"].get(group, ())))
        if group != "fr_class":
            names.sort(key=lambda name: float(name.removeprefix("from ").split(" ")[0]))
        for k, one in enumerate(scores):
            rows = [row for row in one.hosts["recovered"].get(group, ()) if row["recovered"] is not None]
            place = np.array([names.index(row["bin"]) for row in rows]) + (k - (len(scores) - 1) / 2) * 0.25
            middle = np.array([row["recovered"] for row in rows])
            ends = np.array([[row["recovered_low"], row["recovered_high"]] for row in rows]).reshape(-1, 2).T
            axis.errorbar(place, middle, np.abs(ends - middle), **_style(k), markersize=4,
                          ls="none", elinewidth=1.1, capsize=1.5)
        axis.axhline(1, color="0.3", linewidth=0.8)
        axis.set_ylim(bottom=0)
        axis.set_xticks(range(len(names)), [_plain(name) for name in names], rotation=45, ha="right")
        axis.set_xlabel(words, fontsize=8)
        axis.set_ylabel("flux recovered of a source", fontsize=8)
    axes[0, 0].set_title("median, 16 to 84 %", fontsize=7, color="0.35")
    for axis, (name, words) in zip(axes[0, 3:], (("rows", "rows of a source"), ("blends", "sources in a row")),
                                   strict=True):
        for k, one in enumerate(scores):
            counts = one.hosts[name]
            place = np.arange(len(counts)) + (k - (len(scores) - 1) / 2) * 0.8 / len(scores)
            axis.bar(place, counts.values(), 0.8 / len(scores), color=_style(k)["color"])
            axis.set_xticks(range(len(counts)), counts)
        axis.set_yscale("symlog", linthresh=10)
        axis.set_ylim(0, 2 * max(10, *(max(one.hosts[name].values()) for one in scores)))
        axis.set_xlabel(words, fontsize=8)
        axis.set_ylabel("number", fontsize=8)
    _legend(figure, axes, scores)
    return figure


def _classes(scores: list[Score]) -> Figure | None:
    """Return the confusion matrix of each catalogue that has classes."""
    those = [one for one in scores if one.classification is not None]
    if not those:
        return None
    widest = max(len(one.classification["catalogue"]) for one in those)     # type: ignore[index]
    tallest = max(len(one.classification["truth"]) for one in those)        # type: ignore[index]
    figure, axes = _page(1, len(those), max(3.3, 0.6 * widest + 1.6), max(2.7, 0.4 * tallest + 1.6))
    for axis, one in zip(axes[0], those, strict=True):
        table = one.classification
        assert table is not None
        counts = np.array(table["counts"])
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axis.grid(False)
        for (i, j), count in np.ndenumerate(counts):
            axis.text(j, i, str(count), ha="center", va="center", fontsize=8, color="white" if share[i, j] > 0.6 else
                      "black")
        axis.set_xticks(range(len(table["catalogue"])), [_plain(name) for name in table["catalogue"]], rotation=30,
                        ha="right")
        axis.set_yticks(range(len(table["truth"])), [_plain(name) for name in table["truth"]])
        axis.set_xlabel("class in the catalogue", fontsize=8)
        axis.set_ylabel(f"{WORDS[table['against']]} of the truth", fontsize=8)
        axis.set_title(f"{_plain(one.found.name)}: {table['right']} of {table['total']} alike", fontsize=8)
    return figure
