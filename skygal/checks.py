"""Checks of arguments: one place for the wording of errors, and for where warnings point.

Every message names the argument, the value that was given and what is allowed.
"""

from __future__ import annotations

import difflib
import operator
import reprlib
import sys
import warnings
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
from astropy import units as u

__all__ = ["as_count", "as_quantity", "as_range", "as_seed", "check_choice", "nearest_names", "open_range", "shorten",
           "show", "show_fields", "warn_caller"]

#: characters of a value that a message shows
SHOWN = 200


def show(value: Any) -> str:
    """Return the ``repr`` of a value for a message, its middle left out where it is long.

    Of containers only the first entries are looked at, so that a list of a million is shown at once.

    Examples
    --------
    >>> from skygal.checks import show
    >>> show([1, 2]), show("z" * 10**6)[-9:]
    ('[1, 2]', "zzzzzzzz'")
    """
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxtuple, short.maxdict, short.maxset = 4, 10, 10, 10, 10
    short.maxstring = short.maxother = short.maxlong = SHOWN
    try:
        text = short.repr(value)
    except ValueError:  # of whole numbers with more than 4300 digits
        return f"a value that is too long to be shown ({type(value).__name__})"
    return shorten(text)


def shorten(text: str, most: int = SHOWN) -> str:
    """Return a text for a message, its middle left out where it is long."""
    return text if len(text) <= most else f"{text[:most // 2]}...{text[-most // 2:]}"


def show_fields(value: Any) -> str:
    """Return the ``repr`` of a dataclass on one line: of an array or a table its size, not what it holds.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.checks import show_fields
    >>> from skygal.morphology.conditions import ConditionTable
    >>> show_fields(ConditionTable(np.zeros(9, np.float32), np.zeros((2, 9), np.float32)))
    'ConditionTable(extent=<float32 (9,)>, bending=<float32 (2, 9)>)'
    """
    shown = ", ".join(f"{each.name}={_outline(getattr(value, each.name))}" for each in fields(value) if each.repr)
    return f"{type(value).__name__}({shown})"


def _outline(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        unit = f" {value.unit}" if isinstance(value, u.Quantity) else ""
        return f"<{value.dtype} {value.shape}{unit}>"
    if isinstance(value, (list, tuple, dict)) and len(value) > 3:
        return f"<{type(value).__name__} of {len(value)}>"
    text = repr(value)
    # a WCS, a table and a header show themselves on many lines
    return f"<{type(value).__name__}>" if "\n" in text else shorten(text)


def warn_caller(message: str) -> None:
    """Issue a UserWarning that points at the line outside this package which called into it."""
    # level 1 would be the line below
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "skygal":
        frame, level = frame.f_back, level + 1      # type: ignore[assignment]
    warnings.warn(message, UserWarning, stacklevel=level)


def nearest_names(value: str, allowed: Iterable[str]) -> str:
    """Return a hint such as ``" (did you mean 'FIRST'?)"``, empty if nothing is near."""
    by_lower = {name.lower(): name for name in allowed}
    near = difflib.get_close_matches(str(value)[:SHOWN].lower(), list(by_lower), n=1, cutoff=0.6)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def check_choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``allowed``.

    Raises
    ------
    ValueError
        If it is not; the message lists the choices and the nearest one.
    """
    allowed = list(allowed)
    if not isinstance(value, str) or value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{name} must be one of {choices}, got {show(value)}{nearest_names(value, allowed)}")
    return value


def as_count(name: str, value: Any, *, minimum: int = 0) -> int:
    """Return ``value`` as a whole number of at least ``minimum``.

    Raises
    ------
    TypeError
        If it is not a whole number (a float, even 3.0, is not).
    ValueError
        If it is below ``minimum``.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {show(value)}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {show(number)}")
    return number


def as_seed(name: str, value: Any) -> int:
    """Return a seed, a whole number in [0, 2**63); ``None`` draws a fresh one from the system."""
    if value is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    seed = as_count(name, value)
    if seed >= 2**63:
        raise ValueError(f"{name} must be below 2**63, got {show(seed)}")
    return seed


def as_quantity(name: str, value: Any, unit: u.UnitBase | str, *, minimum: float | None = None,
                positive: bool = True, scalar: bool = True) -> Any:
    """Return the plain number(s) of a quantity in ``unit``.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : `~astropy.units.Quantity`
        What was given. Plain numbers are refused unless ``unit`` is dimensionless.
    unit : unit
        The unit to convert to.
    minimum : float, optional
        The least value allowed, in ``unit``.
    positive : bool
        Whether the value must be above zero.
    scalar : bool
        Whether it must be a single number.

    Raises
    ------
    TypeError
        If ``value`` is no quantity, or not a scalar.
    astropy.units.UnitConversionError
        If its unit cannot be converted (a subclass of both TypeError and ValueError).
    ValueError
        If it is not finite, not positive or below ``minimum``.
    """
    unit = u.Unit(unit)
    kind = "number" if unit == u.dimensionless_unscaled else f"Quantity in units of {unit}"
    if isinstance(value, str):
        try:
            value = u.Quantity(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be a {kind}, got {show(value)}") from None
    if not isinstance(value, u.Quantity):
        if unit != u.dimensionless_unscaled or isinstance(value, bool):
            raise TypeError(f"{name} must be a {kind}, got {show(value)}")
        try:
            value = u.Quantity(value, unit)
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be a number, got {show(value)}") from None
    try:
        number = value.to_value(unit)
    except u.UnitConversionError:
        raise u.UnitConversionError(
            f"{name} must be in units convertible to {unit}, got {value}") from None
    number = np.asarray(number, dtype=float)
    if scalar and number.ndim:
        raise TypeError(f"{name} must be a single value, got an array of shape {number.shape}")
    suffix = "" if unit == u.dimensionless_unscaled else f" {unit}"

    def refuse(bad: np.ndarray, allowed: str) -> None:
        if np.any(bad):
            raise ValueError(f"{name} must be {allowed}, got {number[bad].ravel()[0]}{suffix}")

    refuse(~np.isfinite(number), "finite")
    if positive:
        refuse(number <= 0, "positive")
    if minimum is not None:
        refuse(number < minimum, f"at least {minimum}{suffix}")
    return float(number) if scalar else number


def as_range(name: str, value: Any, unit: u.UnitBase | str) -> tuple[float, float]:
    """Return (low, high) in ``unit`` from a pair of quantities or a quantity of two values.

    Raises
    ------
    TypeError
        If it is not a pair of quantities.
    astropy.units.UnitConversionError
        If a unit cannot be converted.
    ValueError
        If an end is not finite or not positive, or low is not below high.
    """
    try:
        low, high = value
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a (low, high) pair of quantities, got {show(value)}") from None
    low = as_quantity(f"{name} (low end)", low, unit)
    high = as_quantity(f"{name} (high end)", high, unit)
    if low >= high:
        raise ValueError(f"{name} must have low < high, got low = {low} {unit} and high = {high} {unit}")
    return low, high


def open_range(name: str, value: Any, unit: u.UnitBase | str, highest: float) -> tuple[float, float]:
    """Return (low, high) in ``unit`` of a pair of which either may be None: 0 and ``highest`` then.

    Raises
    ------
    TypeError
        If it is not a pair of quantities or None.
    astropy.units.UnitConversionError
        If a unit cannot be converted.
    ValueError
        If an end is negative, not finite or above ``highest``, or low is not below high.
    """
    unit = u.Unit(unit)
    try:
        low, high = (None, None) if value is None else value
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a (low, high) pair of quantities or None, got {show(value)}") from None
    low = 0.0 if low is None else as_quantity(f"{name} (low end)", low, unit, positive=False, minimum=0)
    high = highest if high is None else as_quantity(f"{name} (high end)", high, unit)
    if not low < high <= highest:
        raise ValueError(f"{name} must have low < high, and high at most {highest:g} {unit}, got low = {low:g} {unit} "
                         f"and high = {high:g} {unit}")
    return low, high
