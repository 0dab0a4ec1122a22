"""Figures that benchmarks note beside what they print, for the table that the documentation shows.

`run.py` says where, in the environment; without it nothing is noted.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

__all__ = ["COLUMNS", "PLACE", "TABLE", "note", "read_figures", "write_figures"]

#: environment variable with the file that figures are added to
PLACE = "SKYGAL_FIGURES"
TABLE = Path(__file__).resolve().parents[1] / "docs" / "_static" / "benchmarks.csv"
COLUMNS = ("command", "figure", "value", "unit", "machine", "version", "date")


def note(figure: str, value: float, unit: str = "") -> None:
    """Add a figure, to four digits, to those that are being collected."""
    if PLACE in os.environ:
        with open(os.environ[PLACE], "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([figure, f"{value:.4g}", unit])


def read_figures(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none if there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_figures(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as a table, whole or not at all; those of a benchmark that they do not speak of stay."""
    def script(row: dict[str, str]) -> str:
        return row["command"].split()[0]

    new = {script(row) for row in rows}
    kept = [row for row in read_figures(path) if script(row) not in new]
    temporary = path.with_name(f".{path.name}.new")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(kept + rows, key=script))
    temporary.replace(path)
