"""What goes into an evaluation and what comes out: generated stamps, and a table's rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from skygal.checks import show_fields
from skygal.evaluation.observe import Observed

__all__ = ["Made", "Row", "accuracy_error", "figure", "format_rows", "hold_out"]


@dataclass(frozen=True, eq=False)
class Made:
    """Generated stamps, noiseless and observed.

    Attributes
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless.
    seen : Observed
        The same, observed.
    label : `~numpy.ndarray` of int
        Shape (n,), index of the class asked for.
    hidden : int
        Stamps left out because nothing rises above the noise.
    """

    images: np.ndarray
    seen: Observed
    label: np.ndarray
    hidden: int = 0

    __repr__ = show_fields

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def cache(self) -> dict[str, Any]:
        """What several measures use, so that it is found once."""
        return {}


@dataclass(frozen=True)
class Row:
    """One figure of an evaluation.

    Attributes
    ----------
    measure, group : str
        What is measured, and on which classes, by which judge or in which space.
    generated, generated_error : float
        Generated stamps, or generated against held-out real ones.
    real, real_error : float
        The same of real stamps: held-out ones, or training against held-out ones.
    target : str
        What is asked for; empty where nothing is.
    met : bool or None
        Whether it is met; None where nothing is asked for.
    """

    measure: str
    group: str
    generated: float
    generated_error: float
    real: float
    real_error: float
    target: str = ""
    met: bool | None = None


def accuracy_error(right: np.ndarray) -> float:
    """Return the binomial standard error of the mean of booleans."""
    right = np.asarray(right, float)
    return float(np.sqrt(right.mean() * (1 - right.mean()) / max(len(right), 1)))


def hold_out(n: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of rows out of ``n``, at random, ``share`` of them in the first."""
    rows = rng.permutation(n)
    cut = int(round(n * share))
    return rows[:cut], rows[cut:]


def format_rows(rows: Iterable[Row]) -> str:
    """Return rows as a table of plain text, one line each.

    Examples
    --------
    >>> from skygal.evaluation.rows import Row, format_rows
    >>> print(format_rows([Row("RAMIS", "robust judge", 1.31, 0.01, 1.42, 0.02, "at least real", False)]))
    measure  group           generated             real  target
    RAMIS    robust judge  1.310 ± 0.010  1.420 ± 0.020  at least real: not met
    """
    cells = [("measure", "group", "generated", "real", "target")]
    for row in rows:
        met = "" if row.met is None else (": met" if row.met else ": not met")
        cells.append((row.measure, row.group, figure(row.generated, row.generated_error),
                      figure(row.real, row.real_error), row.target + met))
    width = [max(len(line[k]) for line in cells) for k in range(5)]
    return "\n".join(f"{a:<{width[0]}}  {b:<{width[1]}}  {c:>{width[2]}}  {d:>{width[3]}}  {e}".rstrip()
                     for a, b, c, d, e in cells)


def figure(value: float, error: float) -> str:
    """Return a value and its error as text; a hyphen where there is none."""
    if not np.isfinite(value):
        return "-"
    return f"{value:.3f} ± {error:.3f}" if np.isfinite(error) else f"{value:.3f}"
