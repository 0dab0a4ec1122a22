"""Pictures of scores: what is drawn is what is in the score, whatever catalogues are called."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from astropy.table import Table
from export_fields import small_field

import skygal
from skygal.scoring import plots
from skygal.scoring.plots import plot_scores

pytest.importorskip("matplotlib")


@cache
def score(name="all of $it$ & <more>"):
    table = small_field().components.copy()
    table["label"] = np.where(np.arange(len(table)) % 2, "FR1", "FR 2")
    table["flux"] = table["flux"] * 1.1
    columns = {"ra": "ra", "dec": "dec", "flux": "flux", "peak": "peak_flux", "label": "label"}
    return skygal.score(small_field(), Table(table), name=name, columns=columns)


def size(path):
    """Return width and height of a PNG file."""
    start = path.read_bytes()[:24]
    assert start[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")


def test_all_pictures_are_drawn(tmp_path):
    names = ["completeness_sources", "completeness_components", "reliability", "errors", "positions", "sources",
             "classes"]
    written = plot_scores([score(), score("another")], tmp_path)
    assert [path.stem for path in written] == names
    assert all(min(size(path)) > 200 for path in written)


def test_rates_stand_where_they_are():
    """The points of a panel are hits over total, their bars the interval, in the bins' own places."""
    figure = plots._rates([score()], "completeness", ("host",))
    axis = next(axis for axis in figure.axes if axis.get_xlabel() == plots.WORDS["snr"])
    curve = next(one for one in score().curves if (one.rate, one.level, one.against) == ("completeness", "host", "snr"))
    known = np.flatnonzero(curve.total)
    line, _, (bars,) = axis.containers[0]
    assert np.allclose(line.get_xdata(), known + 0.5)
    assert np.allclose(line.get_ydata(), curve.hits[known] / curve.total[known])
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert np.allclose(ends, np.stack([curve.low[known], curve.high[known]], axis=1))
    labels = [text.get_text() for text in axis.get_xticklabels()]
    assert labels == [f"{edge:g}" if np.isfinite(edge) else "" for edge in curve.edges]


def test_medians_of_fluxes():
    figure = plots._errors([score()])
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "flux over true")
    line = axis.containers[0][0]
    assert np.allclose(line.get_ydata(), 1.1)


def test_east_is_left():
    axis = plots._positions([score()]).axes[0]
    assert axis.get_xlim()[0] > 0 > axis.get_xlim()[1]


def test_classes_are_counted():
    figure = plots._classes([score()])
    numbers = sum(int(text.get_text()) for text in figure.axes[0].texts)
    assert numbers == score().classification["total"] > 0
    assert figure.axes[0].get_ylabel() == "FR class of the truth"


def test_what_is_not_there_is_not_drawn(tmp_path):
    """No rows at all, and a catalogue without classes."""
    empty = skygal.score(small_field(), Table({"ra": np.empty(0), "dec": np.empty(0), "flux": np.empty(0)}))
    assert [path.stem for path in plot_scores([empty], tmp_path)] == ["completeness_sources", "completeness_components"]
    assert plots._classes([replace(score(), classification=None)]) is None


def test_a_score_is_written_with_and_without(tmp_path):
    empty = skygal.score(small_field(), Table({"ra": np.empty(0), "dec": np.empty(0), "flux": np.empty(0)}))
    empty.write(tmp_path / "with", plots=True)
    empty.write(tmp_path / "without", plots=False)
    pictures = {path.name for path in (tmp_path / "with").glob("*.png")}
    assert "completeness_sources.png" in pictures and not list((tmp_path / "without").glob("*.png"))
