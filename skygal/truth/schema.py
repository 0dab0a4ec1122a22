"""What the truth tables hold: one definition a column, for code, files and documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Column as TableColumn
from astropy.table import QTable

from skygal.checks import nearest_names, show
from skygal.truth.stacking import stackable

__all__ = ["COMPONENTS", "TRUTH", "Column", "join_columns", "make_components", "make_truth"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
        Its name.
    dtype : type
        ``int``, ``float``, ``bool`` or ``str``.
    unit : str
        The unit in FITS spelling, empty for none.
    description : str
        The definition.
    empty : optional
        What it holds for sources that have no such thing; by default NaN, -1, False or an empty string.
    """

    name: str
    dtype: type
    unit: str
    description: str
    empty: Any = None

    def none(self, n: int) -> np.ndarray:
        """Return the column of ``n`` sources that have no such thing."""
        empty = {int: -1, float: np.nan, bool: False, str: ""}[self.dtype] if self.empty is None else self.empty
        return np.full(n, empty)


_ID = Column("source_id", int, "", "Number of the source, from 1")

#: The columns of the source table, in order.
TRUTH: tuple[Column, ...] = (
    _ID,
    Column("fr_class", str, "", "Class that was asked of the generator: FRI, FRII or another that its model knows"),
    Column("population", str, "",
           "Population that it belongs to: SFG, RQ-AGN, FR0, FRI or FRII of a sky, or the class of a galaxy; empty "
           "where unknown"),
    Column("morphology", str, "",
           "Structure that the image shows, n_components in words: single, double, triple or multiple; of faint "
           "sources their kind: point, gaussian or exponential"),
    Column("ra", float, "deg", "Right ascension (ICRS) of the flux-weighted centroid"),
    Column("dec", float, "deg", "Declination (ICRS) of the flux-weighted centroid"),
    Column("ra_core", float, "deg", "Right ascension (ICRS) of the core, NaN without one"),
    Column("dec_core", float, "deg", "Declination (ICRS) of the core, NaN without one"),
    Column("x", float, "", "Column of the centroid in the image, pixels, 0-based, pixel centres at integers"),
    Column("y", float, "", "Row of the centroid in the image, pixels, 0-based, pixel centres at integers"),
    Column("flux", float, "Jy",
           "Integrated flux on the sky at the field's frequency, of the whole source: what its pixels sum "
           "to, with those beyond the image"),
    Column("flux_apparent", float, "Jy", "flux after the primary beam; equal to flux where there is none"),
    Column("peak_flux", float, "Jy beam-1",
           "Largest pixel of the source alone in the image, without noise; 0 if it has none there"),
    Column("las", float, "arcsec",
           "Largest angular size: the greatest distance across the isophote at 5 % of the stamp's peak, the "
           "stamp's own beam included; of sources that octaves draw, that of their coarsest view without its beam"),
    Column("b_maj", float, "arcsec",
           "FWHM along the major axis of the Gaussian with the source's second moments, deconvolved from "
           "the stamp's own beam"),
    Column("b_min", float, "arcsec",
           "FWHM along the minor axis of the Gaussian with the source's second moments, deconvolved from "
           "the stamp's own beam"),
    Column("pa", float, "deg", "Position angle of the major axis, east of north (ICRS), in [0, 180)"),
    Column("core_frac", float, "", "Fraction of the flux that is in the core"),
    Column("n_components", int, "",
           "Number of components that the image's beam separates, at least 1: of rows in the table of components"),
    Column("n_components_stamp", int, "",
           "Number of components of the stamp that the source was drawn from, at the stamp's own resolution; 0 without "
           "a stamp", 0),
    Column("spectral_index", float, "",
           "Spectral index alpha of the whole source, at the frequency that the fluxes were asked for: flux "
           "proportional to frequency**alpha there"),
    Column("curvature", float, "",
           "Curvature beta of the spectrum: frequency**(alpha + beta ln(frequency / that frequency))"),
    Column("redshift", float, "", "Redshift, NaN where unknown"),
    Column("snr", float, "", "peak_flux / local_rms; infinite without noise, 0 if no pixel of it is in the image"),
    Column("local_rms", float, "Jy beam-1", "Rms of the noise at the source, 0 without noise"),
    Column("flux_in_image", float, "Jy",
           "Flux of the part inside the image: the sum of the source's pixels over the beam's area in "
           "pixels"),
    Column("edge", bool, "", "Whether part of the source lies outside the image"),
    Column("blended", bool, "",
           "Whether another source alone is brighter, at one of the source's pixels, than local_rms; without noise, "
           "than 1 % of the source's own peak"),
    Column("neighbour_flux_frac", float, "",
           "Other sources' share of the flux in the source's pixels in the image, 0 to 1", 0.0),
    Column("beam_limited", bool, "",
           "Whether the stamp's own beam is wider than the field's, so that the source is smoother than "
           "the field could show"),
    Column("bbox_xmin", int, "", "First column of the source's pixels in the image, 0-based; -1 if none"),
    Column("bbox_xmax", int, "", "Last column, inclusive; -1 if none"),
    Column("bbox_ymin", int, "", "First row, 0-based; -1 if none"),
    Column("bbox_ymax", int, "", "Last row, inclusive; -1 if none"),
    Column("zoom", float, "", "Angular scale of the source over that of the stamp"),
    Column("extent", float, "arcsec",
           "Extent along the principal axis that was asked of the generator, at the stamp's own scale: the standard "
           "deviation of the square root of the brightness, the stamp's beam included"),
    Column("bending", float, "deg",
           "How far the two arms are from lying in line, measured on the stamp: 0 for a straight source, up to 180"),
    Column("las_requested", float, "arcsec", "Largest angular size that was asked for"),
    Column("flux_requested", float, "Jy", "Flux that was asked for"),
    Column("parent_id", int, "",
           "source_id of the source that it is a part of, as a jet that is drawn apart from its core; its own if it is "
           "whole"),
    Column("latent_seed", int, "", "Key of the source's own random stream, which gave its latent vector"),
)

#: The columns of the component table, in order.
COMPONENTS: tuple[Column, ...] = (
    _ID,
    Column("component_id", int, "", "Number of the component within its source, from 1"),
    Column("kind", str, "",
           "core, for the one at the source's core; lobe, for others; whole, for a source of one component"),
    Column("ra", float, "deg", "Right ascension (ICRS) of the component's centroid"),
    Column("dec", float, "deg", "Declination (ICRS) of the component's centroid"),
    Column("x", float, "", "Column of its centroid in the image, pixels, 0-based, pixel centres at integers"),
    Column("y", float, "", "Row of its centroid in the image, pixels, 0-based, pixel centres at integers"),
    Column("ra_peak", float, "deg", "Right ascension (ICRS) of the component's maximum"),
    Column("dec_peak", float, "deg", "Declination (ICRS) of the component's maximum"),
    Column("x_peak", float, "", "Column of its maximum in the image, between pixels, 0-based"),
    Column("y_peak", float, "", "Row of its maximum in the image, between pixels, 0-based"),
    Column("flux", float, "Jy", "Flux of the component; those of a source add up to its flux_apparent"),
    Column("peak_flux", float, "Jy beam-1",
           "Largest pixel of the component in the image, without noise or other sources; 0 if it has none there"),
    Column("flux_fraction", float, "", "flux over that of the source"),
    Column("spectral_index", float, "",
           "Spectral index of all that is in the component, at the frequency that fluxes were asked for: the core is "
           "flatter than the rest"),
    Column("curvature", float, "", "Curvature of its spectrum, that of the source"),
)

_DTYPES = {int: np.int64, float: np.float64, bool: np.bool_, str: np.str_}


def make_truth(columns: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> QTable:
    """Return the table of sources.

    Parameters
    ----------
    columns : mapping of str to array_like
        One array a column of `TRUTH`, all of the same length: plain numbers in the column's unit, or
        quantities.
    meta : mapping, optional
        Metadata, as from `skygal.io.provenance.make_provenance`.

    Returns
    -------
    `~astropy.table.QTable`
        With units, descriptions and metadata; the columns in the schema's order.

    Raises
    ------
    ValueError
        If a column is missing, unknown, of another length or not one-dimensional.
    TypeError
        If a column's values cannot be of its type.
    astropy.units.UnitConversionError
        If a quantity's unit is not convertible.
    """
    return _make("truth", TRUTH, columns, meta)


def make_components(columns: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> QTable:
    """Return the table of components; as `make_truth`, with the columns of `COMPONENTS`."""
    return _make("components", COMPONENTS, columns, meta)


def join_columns(schema: Sequence[Column], parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the columns of sources of several kinds together.

    Parameters
    ----------
    schema : sequence of Column
        `TRUTH` or `COMPONENTS`.
    parts : sequence of mapping
        Columns of each kind, those that it has, with ``source_id`` among them; none at all for no sources.
    """
    filled = [(part, len(part["source_id"])) for part in parts if part]
    if not filled:
        return {column.name: column.none(0) for column in schema}
    names = dict.fromkeys([*(column.name for column in schema), *(name for part, _ in filled for name in part)])
    empty = {column.name: column.none for column in schema}
    return {name: np.concatenate([part[name] if name in part else empty[name](n) for part, n in filled])
            for name in names}


def _make(table: str, schema: tuple[Column, ...], columns: Mapping[str, Any],
          meta: Mapping[str, Any] | None) -> QTable:
    names = [column.name for column in schema]
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f"{table} must have all its columns, missing {', '.join(missing)}")
    unknown = [str(name) for name in columns if name not in names]
    if unknown:
        raise ValueError(f"{table} must have only its own columns, got {show(unknown[0])}"
                         f"{nearest_names(unknown[0], names)}")
    out = QTable(meta=stackable(meta or {}))
    length = None
    for column in schema:
        values = _values(table, column, columns[column.name])
        length = len(values) if length is None else length
        if len(values) != length:
            raise ValueError(f"{table} must have columns of one length, got {len(values)} values of "
                             f"{column.name!r} and {length} of {names[0]!r}")
        if column.unit and column.dtype is float:
            out[column.name] = u.Quantity(values, u.Unit(column.unit, format="fits"), copy=True)
            out[column.name].info.description = column.description
        else:
            out[column.name] = TableColumn(values, unit=column.unit or None, description=column.description)
    return out


def _values(table: str, column: Column, values: Any) -> np.ndarray:
    name = f"{table} column {column.name!r}"
    if isinstance(values, u.Quantity):
        unit = u.Unit(column.unit, format="fits")
        try:
            values = values.to_value(unit)
        except u.UnitConversionError:
            raise u.UnitConversionError(f"{name} must be in units convertible to "
                                        f"{column.unit or 'a plain number'}, got {values.unit}") from None
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got the shape {array.shape}")
    if not array.size:
        return np.empty(0, dtype="U1" if column.dtype is str else _DTYPES[column.dtype])
    kinds = {int: "iu", float: "iuf", bool: "b", str: "U"}[column.dtype]
    if array.dtype.kind == "O" and column.dtype is str:
        array = array.astype(str)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name} must be of type {column.dtype.__name__}, got {array.dtype}")
    return array if column.dtype is str else array.astype(_DTYPES[column.dtype])
