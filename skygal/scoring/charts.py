"""Curves and bars as SVG, drawn from the numbers; a page holds them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from skygal.scoring.records import Curve

__all__ = ["COLOURS", "WORDS", "draw_curves", "draw_key", "draw_medians"]

#: of the catalogues, in turn, told apart by all eyes (Okabe & Ito)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
#: what curves are told against, in words
WORDS = {"snr": "peak over noise", "flux": "flux (Jy)", "las": "largest size (beams)",
         "neighbour": "nearest other source (beams)", "bending": "bending of the arms (deg)", "fr_class": "FR class",
         "population": "population", "morphology": "structure", "n_components": "components", "kind": "kind"}
#: marks of the catalogues, in turn: circle, square, diamond, triangles, for those who do not tell colours
MARKS = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "M-3.6 -3.6h7.2v7.2h-7.2z", "M0 -5L5 0L0 5L-5 0z",
         "M0 -5L4.6 3.4h-9.2z", "M0 5L4.6 -3.4h-9.2z", "M-1.5 -4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z")
WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 16, 52


class _Frame:
    """The axes of a chart: places of numbers, ticks and words."""

    def __init__(self, low: float, high: float, floor: float, top: float, *, log: bool) -> None:
        self.low, self.high, self.floor, self.top, self.log = low, high, floor, top, log

    def x(self, value: float) -> float:
        a, b, c = (np.log10(v) if self.log else v for v in (value, self.low, self.high))
        return LEFT + (WIDTH - LEFT - RIGHT) * float((a - b) / (c - b))

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.floor) / (self.top - self.floor)

    def draw(self, ticks: Sequence[tuple[float, str]], sides: Sequence[float], across: str, up: str) -> list[str]:
        out = []
        for value in sides:
            y = self.y(value)
            out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                       f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        # long words stand in two rows, in turn
        crowded = sum(7 * len(words) + 8 for _, words in ticks) > WIDTH - LEFT - RIGHT
        for k, (value, words) in enumerate(ticks):
            x, y = self.x(value), HEIGHT - BOTTOM + (28 if crowded and k % 2 else 16)
            out.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" '
                       f'y2="{HEIGHT - BOTTOM + 4}"/><text x="{x:.1f}" y="{y}" text-anchor="middle">'
                       f"{escape(words)}</text>")
        middle, base = (TOP + HEIGHT - BOTTOM) / 2, HEIGHT - BOTTOM
        out.append(f'<line class="tick" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'
                   f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 5}" text-anchor="middle">{escape(across)}'
                   "</text>"
                   f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
        return out


def draw_curves(curves: Sequence[tuple[str, Curve]], title: str) -> str:
    """Return a chart of one rate of several catalogues, with intervals; bins without anything are left out.

    Parameters
    ----------
    curves : sequence of (str, Curve)
        Names of catalogues, and curves of the same rate against the same quantity.
    title : str
        For those who do not see it.
    """
    first = curves[0][1]
    across = WORDS.get(first.against, first.against)
    if first.names:
        names = list(dict.fromkeys(name for _, curve in curves for name in curve.names))
        frame = _Frame(-0.5, len(names) - 0.5, 0, 1, log=False)
        ticks = [(float(k), name) for k, name in enumerate(names)]
    else:
        edges = _finite_edges(first.edges)
        if edges[0] > 0:
            frame, ticks = _Frame(float(edges[0]), float(edges[-1]), 0, 1, log=True), _ticks(edges)
        else:
            # bins of one width each, since none of the usual scales shows those from 0
            frame = _Frame(0, len(edges) - 1, 0, 1, log=False)
            ticks = [(float(k), f"{edge:g}") for k, edge in enumerate(first.edges) if np.isfinite(edge)]
    out = frame.draw(ticks, (0, 0.25, 0.5, 0.75, 1), across, first.rate)
    for k, (name, curve) in enumerate(curves):
        shift = 3.0 * (k - (len(curves) - 1) / 2)
        points = []
        for b in range(len(curve.total)):
            if not curve.total[b]:
                continue
            if curve.names:
                x = frame.x(names.index(curve.names[b]))
                words = curve.names[b]
            else:
                ends = _finite_edges(curve.edges)[b:b + 2]
                x = frame.x(float(np.sqrt(ends[0] * ends[1])) if frame.log else b + 0.5)
                words = f"{curve.edges[b]:.3g} to {curve.edges[b + 1]:.3g}"
            rate = curve.hits[b] / curve.total[b]
            tip = (f"{name}: {curve.hits[b]} of {curve.total[b]} = {rate:.3f} ({curve.low[b]:.3f} to "
                   f"{curve.high[b]:.3f}), {words}")
            points.append((x + shift, rate, curve.low[b], curve.high[b], tip))
        out += _series(points, frame, k, line=not curve.names)
    return _svg(out, title)


def draw_medians(series: Sequence[tuple[str, Sequence[tuple[str, float, float, int]]]], up: str, across: str,
                 level: float, title: str) -> str:
    """Return a chart of medians with their scatter in named bins.

    Parameters
    ----------
    series : sequence of (str, sequence of (bin, median, scatter, n))
    up, across : str
        What the axes are.
    level : float
        Where a line is drawn: what a perfect catalogue has.
    title : str
    """
    names = list(dict.fromkeys(name for _, rows in series for name, *_ in rows))
    ends = [value for _, rows in series for _, middle, scatter, _ in rows for value in (middle - scatter,
                                                                                        middle + scatter)]
    low, high = min([*ends, level]), max([*ends, level])
    pad = 0.08 * (high - low) or 1.0
    step = _step(high - low + 2 * pad)
    low, high = np.floor((low - pad) / step) * step, np.ceil((high + pad) / step) * step
    frame = _Frame(-0.5, max(len(names), 1) - 0.5, low, high, log=False)
    short = [(k, name.split(" to ")[0].removeprefix("from ")) for k, name in enumerate(names)]
    out = frame.draw(short, np.round(np.arange(low, high + step / 2, step), 6).tolist(), across, up)
    y = frame.y(level)
    out.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for k, (name, rows) in enumerate(series):
        shift = 3.0 * (k - (len(series) - 1) / 2)
        points = [(frame.x(names.index(bin)) + shift, middle, middle - scatter, middle + scatter,
                   f"{name}: median {middle:.3f}, scatter {scatter:.3f}, {n} rows, {bin}")
                  for bin, middle, scatter, n in rows]
        out += _series(points, frame, k, line=True)
    return _svg(out, title)


def _series(points: list[tuple[float, float, float, float, str]], frame: _Frame, which: int, *,
            line: bool) -> list[str]:
    out, colour, mark = [], COLOURS[which % len(COLOURS)], MARKS[which % len(MARKS)]
    if line and len(points) > 1:
        path = " ".join(f"{x:.1f},{frame.y(y):.1f}" for x, y, *_ in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5" opacity="0.6"/>')
    for x, y, low, high, tip in points:
        out.append(f'<g stroke="{colour}" fill="{colour}"><title>{escape(tip)}</title><line x1="{x:.1f}" x2="{x:.1f}" '
                   f'y1="{frame.y(low):.1f}" y2="{frame.y(high):.1f}" stroke-width="2"/>'
                   f'<path class="point" transform="translate({x:.1f} {frame.y(y):.1f})" d="{mark}"/></g>')
    return out


def draw_key(which: int) -> str:
    """Return the mark of a catalogue, by its number."""
    return (f'<svg class="mark" viewBox="-6 -6 12 12" aria-hidden="true"><path fill="{COLOURS[which % len(COLOURS)]}" '
            f'd="{MARKS[which % len(MARKS)]}"/></svg>')


def _svg(parts: list[str], title: str) -> str:
    return (f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
            + "".join(parts) + "</svg>")


def _finite_edges(edges: np.ndarray) -> np.ndarray:
    """Return ends of bins with one in place of infinity."""
    edges = np.asarray(edges, float).copy()
    if np.isinf(edges[-1]):
        edges[-1] = edges[-2] * (edges[-2] / edges[-3] if edges[-3] > 0 else 2)
    return edges


def _ticks(edges: np.ndarray) -> list[tuple[float, str]]:
    low, high = float(edges[0]), float(edges[-1])
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    some = [10**d * k for d in decades for k in ((1, 3) if len(decades) < 5 else (1,))]
    return [(v, f"{v:g}" if 1e-3 <= v < 1e5 else f"1e{round(np.log10(v))}") for v in some
            if low <= v <= high and (1e-3 <= v < 1e5 or abs(np.log10(v) % 1) < 1e-9)]


def _step(span: float) -> float:
    """Return a round step of which five or so make a span."""
    raw = span / 5
    size = 10**np.floor(np.log10(raw))
    return float(size * min((1, 2, 5, 10), key=lambda k: abs(k - raw / size)))
