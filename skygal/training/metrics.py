"""Metrics of a training run as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from skygal.io.atomic import whole_file

__all__ = ["write_metrics"]


def write_metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with the same entries as a CSV file, whole; one that is there is replaced."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
