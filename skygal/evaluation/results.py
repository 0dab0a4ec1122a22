"""The results of an evaluation as a table: plain text, Markdown, CSV and ECSV."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Result", "csv_table", "format_results", "format_value", "markdown_table", "results_table"]


@dataclass(frozen=True)
class Result:
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


def format_results(rows: Iterable[Result]) -> str:
    """Return rows as a table of plain text, one line each.

    Examples
    --------
    >>> from skygal.evaluation.results import Result, format_results
    >>> print(format_results([Result("RAMIS", "robust judge", 1.31, 0.01, 1.42, 0.02, "at least real", False)]))
    measure  group           generated             real  target
    RAMIS    robust judge  1.310 ± 0.010  1.420 ± 0.020  at least real: not met
    """
    cells = [("measure", "group", "generated", "real", "target")]
    for row in rows:
        met = "" if row.met is None else (": met" if row.met else ": not met")
        cells.append((row.measure, row.group, format_value(row.generated, row.generated_error),
                      format_value(row.real, row.real_error), row.target + met))
    width = [max(len(line[k]) for line in cells) for k in range(5)]
    return "\n".join(f"{a:<{width[0]}}  {b:<{width[1]}}  {c:>{width[2]}}  {d:>{width[3]}}  {e}".rstrip()
                     for a, b, c, d, e in cells)


def format_value(value: float, error: float) -> str:
    """Return a value and its error as text; a hyphen where there is none."""
    if not np.isfinite(value):
        return "-"
    return f"{value:.3f} ± {error:.3f}" if np.isfinite(error) else f"{value:.3f}"


def results_table(rows: list[Result], about: dict[str, Any]) -> Table:
    """Return rows as a table, with what they were taken on in its ``meta``."""
    from astropy.table import Table

    table = Table({name: [getattr(row, name) for row in rows] for name in
                   ("measure", "group", "generated", "generated_error", "real", "real_error", "target")})
    table["met"] = ["" if row.met is None else "yes" if row.met else "no" for row in rows]
    table.meta.update(about)
    return table


def _cells(row: Result) -> list[str]:
    """Return a row as it is shown."""
    met = "" if row.met is None else "met" if row.met else "not met"
    return [row.measure, row.group, format_value(row.generated, row.generated_error),
            format_value(row.real, row.real_error), row.target, met]


def markdown_table(rows: list[Result]) -> str:
    """Return rows as a table in Markdown."""
    lines = ["| measure | | generated | real | target | |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def csv_table(rows: list[Result]) -> str:
    """Return rows as they are shown, as comma-separated text."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["measure", "of or by", "generated", "real", "target", ""])
    # a hyphen alone would be a list in reStructuredText
    writer.writerows(["" if cell == "-" else cell for cell in _cells(row)] for row in rows)
    return text.getvalue()
