"""Single cards of a FITS header, read with checks that name them."""

from __future__ import annotations

import math
import numbers
from typing import Any

from astropy.io import fits
from astropy.io.fits.verify import VerifyError

__all__ = ["Cards"]

#: characters of a value that a message shows
SHOWN_CHARACTERS = 60


class Cards:
    """A header whose cards are read one by one: a card that is there but cannot be used is an error, never a default.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header. `fits.Header.get` returns its default for a card that it cannot parse; this does not.

    Notes
    -----
    Messages begin with the keyword: whoever knows the file puts its name before them.
    """

    def __init__(self, header: fits.Header) -> None:
        self.header = header

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.header

    def show(self, keyword: str) -> str:
        """Return ``KEYWORD = value`` for a message."""
        return f"{keyword} = {self._shown(keyword)}" if keyword in self.header else f"no {keyword}"

    def refusal(self, keyword: str, allowed: str) -> ValueError:
        """Return the error that says what a card must be."""
        return ValueError(f"{keyword} must be {allowed}, got {self._shown(keyword)}")

    def value(self, keyword: str, allowed: str = "a FITS value") -> Any:
        """Return a card's value; None where it is missing or empty; ``allowed`` is for the message.

        Raises
        ------
        ValueError
            If it cannot be parsed, or is there twice with different values.
        """
        if keyword not in self.header:
            return None
        try:
            found = [self.header[keyword, k] for k in range(self.header.count(keyword))]
        except (VerifyError, ValueError):
            raise self.refusal(keyword, allowed) from None
        if any(other != found[0] for other in found):
            raise ValueError(f"{keyword} must be there once, got {' and '.join(map(_cut, found))}")
        return None if isinstance(found[0], fits.card.Undefined) else found[0]

    def number(self, keyword: str, default: float | None = None) -> float | None:
        """Return a finite number; ``default`` where there is no card.

        Raises
        ------
        ValueError
            If it is anything else: a bool, a string, not finite, or there without a value.
        """
        value = self.value(keyword, "a finite number")
        if value is None and keyword not in self.header:
            return default
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise self.refusal(keyword, "a finite number")
        return float(value)

    def whole(self, keyword: str, default: int | None = None, *, least: int = 0, most: int | None = None) -> int | None:
        """Return a whole number from ``least`` to ``most``; ``default`` where there is no card.

        Raises
        ------
        ValueError
            If it is anything else.
        """
        value = self.value(keyword)
        if value is None and keyword not in self.header:
            return default
        wrong = isinstance(value, bool) or not isinstance(value, numbers.Integral)
        if wrong or value < least or (most is not None and value > most):
            ends = f"from {least} to {most}" if most is not None else f"of at least {least}"
            raise self.refusal(keyword, f"a whole number {ends}")
        return int(value)

    def text(self, keyword: str) -> str:
        """Return a string without the blanks around it; empty where it is missing or empty.

        Raises
        ------
        ValueError
            If it is no string.
        """
        value = self.value(keyword, "a string")
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.refusal(keyword, "a string")
        return value.strip()

    def _shown(self, keyword: str) -> str:
        try:
            value = self.header[keyword]
        except KeyError:
            return "no such card"
        except (VerifyError, ValueError):
            # what astropy cannot parse it does not show either, but for its private image of the card
            image = str(getattr(self.header.cards[keyword], "_image", "") or "")
            return _cut(image[9:].partition("/ ")[0].strip())
        return "no value" if value is None or isinstance(value, fits.card.Undefined) else _cut(value)


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS - 3]}..."
