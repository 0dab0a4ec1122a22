"""Figures of scores as PNG, by matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.scoring.charts import COLOURS

if TYPE_CHECKING:
    from skygal.scoring.score import Score

__all__ = ["plot_scores"]

#: what is told of rates: file, rate, level, quantities
_RATES = (("completeness", "completeness", "host", ("snr", "flux", "las", "population")),
          ("reliability", "reliability", "host", ("snr", "flux")),
          ("components", "completeness", "component", ("snr", "kind")))
_ERRORS = (("flux", "flux, row / truth", 1.0), ("peak", "peak, row / truth", 1.0),
           ("b_maj", "major axis with the beam, row / truth", 1.0), ("ra", "east offset (arcsec)", 0.0),
           ("dec", "north offset (arcsec)", 0.0))


def plot_scores(scores: Sequence[Score], directory: Path) -> list[Path]:
    """Write figures of rates, errors and recovered fluxes.

    Parameters
    ----------
    scores : sequence of Score
        Of catalogues against one truth; each has a colour.
    directory : `~pathlib.Path`
        A folder that is there; ``completeness.png``, ``reliability.png``, ``components.png``, ``errors.png`` and
        ``recovered.png`` are written into it, those of which there is something to show.

    Returns
    -------
    list of `~pathlib.Path`

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError("plots need matplotlib: pip install 'skygal[plot]'") from None
    written = []
    for name, rate, level, quantities in _RATES:
        found = [quantity for quantity in quantities if any(_curve(score, rate, level, quantity) for score in scores)]
        if found:
            written.append(_save(directory / f"{name}.png", [partial(_draw_rate, scores, rate, level, one)
                                                             for one in found]))
    errors = [one for one in _ERRORS if any(row.get(one[0]) is not None for score in scores
                                            for row in score.errors.get("snr", ()))]
    if errors:
        written.append(_save(directory / "errors.png", [partial(_draw_error, scores, *one) for one in errors]))
    groups = [group for group in ("snr", "fr_class", "population")
              if any(score.hosts["recovered"].get(group) for score in scores)]
    if groups:
        written.append(_save(directory / "recovered.png", [partial(_draw_recovered, scores, one) for one in groups]))
    return written


def _save(path: Path, draw: Sequence[Callable[[Any], None]]) -> Path:
    from matplotlib.figure import Figure

    n = len(draw)
    figure = Figure(figsize=(4.2 * min(n, 3), 3.4 * -(-n // 3)), layout="constrained")
    axes = figure.subplots(-(-n // 3), min(n, 3), squeeze=False).ravel()
    for one, axis in zip(draw, axes, strict=False):
        one(axis)
    for axis in axes[n:]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)
    return path


def _curve(score: Score, rate: str, level: str, against: str) -> Any:
    return next((curve for curve in score.curves if (curve.rate, curve.level, curve.against) == (rate, level, against)
                 and curve.total.sum()), None)


def _draw_rate(scores: Sequence[Score], rate: str, level: str, against: str, axis: Any) -> None:
    for k, score in enumerate(scores):
        curve = _curve(score, rate, level, against)
        if curve is None:
            continue
        there = curve.total > 0
        value = curve.hits[there] / curve.total[there]
        ends = np.clip([value - curve.low[there], curve.high[there] - value], 0, None)
        if curve.names or curve.edges[0] <= 0:
            place = np.arange(len(there)) + 0.08 * (k - (len(scores) - 1) / 2)
            words = curve.names or [f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}" for low, high in
                                    zip(curve.edges[:-1], curve.edges[1:], strict=True)]
            axis.set_xticks(np.arange(len(there)), words, rotation=30, ha="right")
        else:
            edges = np.where(np.isinf(curve.edges), 3 * curve.edges[-2], curve.edges)
            place = np.sqrt(edges[:-1] * edges[1:])
            axis.set_xscale("log")
        axis.errorbar(place[there], value, ends, fmt="o-" if not curve.names else "o", ms=4, lw=1, elinewidth=1.5,
                      color=COLOURS[k % len(COLOURS)], label=score.found.name)
        note = f"\n{curve.selection}" if curve.selection else ""
        axis.set_xlabel(against + (f" ({curve.unit})" if curve.unit else "") + note)
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel(f"{rate} of {'sources' if level == 'host' else 'components'}"
                    if rate == "completeness" else rate)
    axis.grid(alpha=0.3)


def _draw_error(scores: Sequence[Score], quantity: str, words: str, right: float, axis: Any) -> None:
    names = list(dict.fromkeys(row["bin"] for score in scores for row in score.errors.get("snr", ())))
    for k, score in enumerate(scores):
        rows = [row for row in score.errors.get("snr", ()) if row.get(quantity) is not None]
        place = [names.index(row["bin"]) + 0.1 * (k - (len(scores) - 1) / 2) for row in rows]
        scatter = [row[f"{quantity}_scatter"] or 0.0 for row in rows]
        axis.errorbar(place, [row[quantity] for row in rows], scatter, fmt="o-", ms=4, lw=1,
                      color=COLOURS[k % len(COLOURS)], label=score.found.name)
    axis.axhline(right, color="0.4", ls="--", lw=1)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axis.set_xlabel("true signal-to-noise ratio")
    axis.set_ylabel(words)
    axis.grid(alpha=0.3)


def _draw_recovered(scores: Sequence[Score], group: str, axis: Any) -> None:
    names = list(dict.fromkeys(row["bin"] for score in scores for row in score.hosts["recovered"].get(group, ())))
    for k, score in enumerate(scores):
        rows = [row for row in score.hosts["recovered"].get(group, ()) if row["recovered"] is not None]
        place = [names.index(row["bin"]) + 0.1 * (k - (len(scores) - 1) / 2) for row in rows]
        middle = np.array([row["recovered"] for row in rows])
        ends = np.abs([[row["recovered"] - row["recovered_low"] for row in rows],
                       [row["recovered_high"] - row["recovered"] for row in rows]])
        axis.errorbar(place, middle, ends, fmt="o", ms=4, color=COLOURS[k % len(COLOURS)], label=score.found.name)
    axis.axhline(1, color="0.4", ls="--", lw=1)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axis.set_xlabel(group)
    axis.set_ylabel("flux of all rows / true flux")
    axis.grid(alpha=0.3)
