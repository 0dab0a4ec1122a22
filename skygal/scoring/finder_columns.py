"""The columns of a source finder's table as quantities, whatever they are called and in whatever unit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table

from skygal.io.images import parse_unit
from skygal.population.catalogue_columns import Reading
from skygal.population.catalogue_formats import CatalogueFormat
from skygal.population.columns import as_column
from skygal.scoring.finder_formats import FORMATS_TO_SCORE

__all__ = ["FinderColumns"]

#: what only populations are made of
_OF_POPULATIONS = ("population", "kind", "las", "components", "spectral_index", "curvature", "redshift")
_WIDTHS = {"sigma": "standard deviation", "2 sigma": "two standard deviations", "half": "half of FWHM"}
_WITH_ERRORS = ("ra", "dec", "flux", "flux_sum", "peak", "fitted_maj", "fitted_min", "fitted_pa")
#: what some programs write for want of a value, of which no flux or size is
SENTINELS = (-99.0, -999.0, -9999.0, -99999.0)
#: units as others spell them, in lower case, which says what is meant in catalogues
_SPELLINGS = {"jy": u.Jy, "mjy": u.mJy, "ujy": u.uJy, "mjy/beam": u.mJy / u.beam, "ujy/beam": u.uJy / u.beam,
              "degree": u.deg, "degrees": u.deg, "degs": u.deg, "asec": u.arcsec, "arcsecs": u.arcsec,
              "arcseconds": u.arcsec, "pixels": u.pix}
#: medians of fluxes, Jy, that no image has: what is outside is in another unit than is meant
_FAINTEST, _BRIGHTEST = 1e-7, 10.0


class FinderColumns(Reading):
    """Which column of a finder's table is which quantity, see `skygal.population.catalogue_columns.Reading`.

    Columns of formats may be written ``a|b``, of which the first counts that is there, and words ``a+b``, which are
    joined; of those the last must be there. A unit None of a number means that the table must give it.
    """

    def __init__(self, data: Table, format: str | None, columns: Mapping[str, Any] | None) -> None:
        prefix = "" if format == "skygal" or (format is None and columns) else _prefix(data.colnames)
        if prefix:
            plain = data.copy(copy_data=False)
            plain.rename_columns(data.colnames, [name[len(prefix):] for name in data.colnames])
            data = plain
        for name in data.colnames:
            if isinstance(getattr(data[name], "unit", None), u.UnrecognizedUnit):
                data = _with_known_unit(data, name)
        #: what stands before the names of all columns
        self.prefix = prefix
        #: what has been taken for granted
        self.guessed: list[str] = []
        #: quantities that the user has said the columns of
        self.given = frozenset(columns or ())
        #: those of which the user has said the unit as well
        self.settled = frozenset(name for name, value in (columns or {}).items() if not isinstance(value, str))
        super().__init__(data, format, columns, FORMATS_TO_SCORE, detected=True)

    def _known(self, format: CatalogueFormat) -> dict[str, tuple[str, Any]]:
        named = {**format.columns, **format.detected}
        if format.errors:
            for name in _WITH_ERRORS:
                if name in named and f"{name}_err" not in named:
                    names, unit = named[name]
                    named[f"{name}_err"] = ("|".join(format.errors.format(key) for key in names.split("|")),
                                            format.place if name in ("ra", "dec") else unit)
        found = {}
        for name, (names, unit) in named.items():
            key = next((key for key in names.split("|") if key.rpartition("+")[2] in self.own), None)
            if key is not None and name not in _OF_POPULATIONS:
                parts = [part for part in key.split("+") if part in self.own]
                if unit is None and self.quantities[name] is not None and self._own_unit(key) is None:
                    continue
                found[name] = ("+".join(parts), unit)
        return found

    def _own_unit(self, key: str) -> Any:
        return getattr(self.data[self.own[key][0]], "unit", None)

    def quantity(self, name: str) -> np.ndarray:
        """Return the quantity of a name in its unit; raises ValueError if the column's is another."""
        key, unit = self.columns[name]
        wanted = self.quantities[name]
        if wanted is None:
            return self._words(name, key)
        own = self._own_unit(key)
        if own is not None and wanted == u.Jy / u.beam and own in (u.ct, u.adu):
            # what SExtractor calls the values of any image
            own = None
        factor = float(getattr(unit, "scale", 1.0)) if own is not None else 1.0
        if name in ("ra", "dec"):
            self._check_precision(key)
        if name == "flux_sum" and own is not None and own.is_equivalent(u.Jy):
            # a flux already: the image was in Jy/pixel, or the program has divided
            values = as_column(self._column(key), self.own[key][0], u.Jy)
        elif wanted == u.Jy / u.beam and own is not None and own.is_equivalent(u.Jy):
            # some leave the beam out of the unit of what is in one
            values = as_column(self._column(key), self.own[key][0], u.Jy)
        elif wanted == u.one and own is not None and own.is_equivalent(u.pix):
            values = as_column(self._column(key), "x", u.one)
        elif own is None and self._own_unit(key) is not None:
            values = self.need(key) * unit.to(wanted)
        else:
            values = super().quantity(name)
        self.used[key] = name
        if own is None and name in ("flux", "flux_sum") and name not in self.settled:
            self._check_flux(name, key, values, unit)
        if own is None and name == "flux_sum" and name not in self.settled and len(values):
            self.guessed.append(f"{self.own[key][0]}, which has no unit, is taken to be a sum of pixels in {unit} "
                                f"(else columns={{'flux': ({self.own[key][0]!r}, 'Jy')}})")
        if name not in ("ra", "dec", "x", "y"):
            raw = np.ma.getdata(np.ma.asarray(getattr(self._column(key), "value", self._column(key))))
            if raw.dtype.kind in "if":
                values = np.where(np.isin(raw, SENTINELS), np.nan, values)
        return values * factor

    def own_unit(self, name: str) -> Any:
        """Return the unit that the table gives the column of a quantity, None for none."""
        return self._own_unit(self.columns[name][0])

    def is_flux(self) -> bool:
        """Return whether what is called a sum of pixels is a flux by its unit."""
        own = self.own_unit("flux_sum")
        return own is not None and bool(own.is_equivalent(u.Jy))

    def _words(self, name: str, key: str) -> np.ndarray:
        """Return words, or the whole numbers of a parent, which are not looked at as words."""
        parts = []
        column = None if "+" in key else self._column(key)
        if name == "parent" and np.asarray(column).dtype.kind in "iu" and not np.any(getattr(column, "mask", False)):
            self.used[key] = name
            return np.asarray(column)
        for part in key.split("+"):
            self.used[part] = name
            parts.append(as_column(self._column(part), self.own[part][0], None))
        words = parts[0]
        for more in parts[1:]:
            words = np.strings.add(np.strings.add(words, "."), more)
        return words

    def _check_precision(self, key: str) -> None:
        dtype = getattr(self._column(key), "dtype", np.dtype(float))
        if dtype.kind == "f" and dtype.itemsize < 8 and len(self.data):
            largest = float(np.nanmax(np.abs(np.ma.filled(np.ma.asarray(self._column(key)), 0)), initial=0))
            step = 3600 * float(np.spacing(np.float32(largest)))
            if step > 1e-3:
                self.guessed.append(f"{self.own[key][0]} has {8 * dtype.itemsize}-bit numbers, in steps of "
                                    f"{step:.2g} arcsec there")

    def _check_size(self, name: str, own: str, values: np.ndarray, unit: Any) -> None:
        if name not in self.settled:
            super()._check_size(name, own, values, unit)

    def _check_flux(self, name: str, key: str, values: np.ndarray, unit: Any) -> None:
        """Refuse fluxes that cannot be in the unit which is meant for want of another."""
        some = values[values > 0]
        middle = float(np.median(some)) if some.size else np.nan
        if (middle > _BRIGHTEST and name == "flux") or middle < _FAINTEST:
            raise ValueError(
                f"catalogue must have {self.own[key][0]} in {unit}, as {self.name} has it, got a median of "
                f"{middle / u.Unit(unit).to(self.quantities[name]):.3g} without a unit: give the column its unit, or "
                f"columns={{{name!r}: ({self.own[key][0]!r}, {'mJy' if middle > 1 else 'Jy'!r})}}")

    def told(self) -> dict[str, str]:
        """Return of each quantity which column it is, and in which unit."""
        out = {}
        for name, (key, meant) in self.columns.items():
            shown = "+".join(self.prefix + self.own[part][0] for part in key.split("+"))
            unit = None if self.quantities[name] is None else self._own_unit(key)
            words = (f"{unit}" if unit is not None else "" if meant is None or meant == u.one else f"{meant}")
            widths = "fwhm" if self.format is None else self.format.widths
            if widths != "fwhm" and name in ("fitted_maj", "fitted_min", "pixel_maj", "pixel_min"):
                words += (", " if words else "") + _WIDTHS[widths]
            out[name] = shown + (f" ({words})" if words else "")
        return out


def _with_known_unit(data: Table, name: str) -> Table:
    """Return a table of which a column has the unit that is meant by one that astropy does not know, if any is."""
    text = str(data[name].unit).strip().lower()
    known = _SPELLINGS.get(text)
    for parse in (parse_unit, u.Unit):
        if known is None:
            with suppress(TypeError, ValueError):
                known = parse(text)
    if known is None:
        return data
    plain = data.copy(copy_data=False)
    plain[name].unit = known
    return plain


def _prefix(names: list[str]) -> str:
    """Return what all columns have before names of a known format, as Aegean writes on request."""
    from skygal.population.catalogue_formats import find_format

    lower = [str(name).strip().lower() for name in names]
    if len(names) < 3 or find_format(lower, None, FORMATS_TO_SCORE) is not None:
        return ""
    shared = os.path.commonprefix(lower)
    for size in range(len(shared), 0, -1):
        if find_format([name[size:] for name in lower], None, FORMATS_TO_SCORE) is not None:
            return names[0][:size]
    return ""
