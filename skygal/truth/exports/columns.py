"""Columns of truth as plain numbers, and what must be said of them before they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.checks import show

__all__ = ["finite", "numbers", "require_package"]


def numbers(table: QTable, name: str, unit: Any = u.one) -> np.ndarray:
    """Return a column in a unit, as plain native floats."""
    column = table[name]
    values = column.to_value(unit) if isinstance(column, u.Quantity) else np.ma.filled(column, np.nan) \
        if column.dtype.kind == "f" else np.asarray(column)
    return np.asarray(values, float)


def finite(table: QTable, names: Sequence[str], written_as: str) -> None:
    """Check that columns hold finite numbers.

    Raises
    ------
    ValueError
        Naming the column, the value and the sources.
    """
    for name in names:
        unit = getattr(table[name], "unit", None) or u.one
        values = numbers(table, name, unit)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            ids = ", ".join(str(k) for k in np.asarray(table["source_id"])[bad[:10]])
            raise ValueError(f"{name} of truth must be finite to be written as {written_as}, got {values[bad[0]]} of "
                             f"source_id {ids}" + (f" and {bad.size - 10} others" if bad.size > 10 else ""))


def require_package(name: str, written_as: str) -> Any:
    """Return an optional package.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed, with how to install it.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise ModuleNotFoundError(f"format {show(written_as)} needs {name}: pip install 'skygal[exports]'") from None
