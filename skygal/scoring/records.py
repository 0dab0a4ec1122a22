"""What scoring hands on from step to step: the truth, a catalogue, which rows belong together, and rates of them.

All are plain arrays in the units that are said here; ``-1`` and NaN stand for what there is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skygal.checks import show_fields

__all__ = ["Curve", "Detections", "Matches", "TruthSet"]


@dataclass(frozen=True, eq=False)
class Detections:
    """The rows of a source finder's catalogue, whatever its format.

    Attributes
    ----------
    name, format : str
        What the catalogue is called in reports, and the format that it was read as.
    level : "component", "source" or "island"
        What a row is.
    row : ndarray of int
        The row in the file, from 0. Rows without a position or a flux are not here: see ``dropped``.
    id, label : ndarray of str
        The finder's own name of the row and its class of it, empty for none.
    parent : ndarray of int
        Equal for rows that the finder takes for parts of one source; -1 where it does not say.
    ra, dec : ndarray
        ICRS, deg.
    flux, peak : ndarray
        Integrated flux, Jy, and peak, Jy/beam.
    b_maj, b_min, pa : ndarray
        FWHM as fitted, with the beam in them, arcsec, and position angle east of north, deg, from 0 to 180.
    deconv_maj, deconv_min, deconv_pa : ndarray
        The same without the beam.
    errors : dict of str to ndarray
        One sigma of the quantities of these names, in their units, but those of ra and dec on the sky in arcsec.
    rms : ndarray
        Noise at the row, Jy/beam.
    confidence : ndarray
        Larger for rows that the finder is surer of.
    units : dict of str to str
        What each quantity was read from: column and unit, as it is told to the user.
    dropped : dict of str to int
        Why rows are left out, and how many.
    """

    name: str
    format: str
    level: str
    row: np.ndarray
    id: np.ndarray
    label: np.ndarray
    parent: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    flux: np.ndarray
    peak: np.ndarray
    b_maj: np.ndarray
    b_min: np.ndarray
    pa: np.ndarray
    deconv_maj: np.ndarray
    deconv_min: np.ndarray
    deconv_pa: np.ndarray
    rms: np.ndarray
    confidence: np.ndarray
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row)

    __repr__ = show_fields


@dataclass(frozen=True, eq=False)
class TruthSet:
    """The truth that a catalogue is scored against.

    Attributes
    ----------
    name : str
        What it is called in reports.
    hosts : dict of str to ndarray
        Columns of `skygal.truth.schema.TRUTH` in its units, of those sources that have a pixel in the image; the parts
        of one source (``parent_id``) are one row. ``neighbour`` is the distance to the nearest other source of at least
        3 sigma, arcsec, infinite if there is none.
    components : dict of str to ndarray, optional
        Columns of `skygal.truth.schema.COMPONENTS` of the same sources, and ``host``, their index in ``hosts``.
    beam : (float, float, float)
        Of the image: major and minor axis (FWHM, arcsec), position angle (deg).
    wcs, shape : optional
        Of the image; None if there is none.
    segmentation, image, model : array_like of shape (ny, nx), optional
        As of a `skygal.Field`; they may be mapped from disk.
    frequency : float, optional
        Hz.
    labels : (ndarray, ndarray)
        The ``source_id`` of all parts, ascending, as they stand in the segmentation, and the index in ``hosts`` of
        each.
    parts : dict of str to ndarray
        What hosts are drawn of, a row of the table of truth each: ``host``, its index in ``hosts``, and ``ra``,
        ``dec``, ``las``, ``b_maj``, ``b_min``, ``pa``, ``flux_apparent``, ``peak_flux``, ``snr``, ``local_rms``; empty
        where each host is its one part.
    area : callable, optional
        Tells of ra and dec (deg) whether the truth holds the sources there, as in a data challenge; None: all.
    """

    name: str
    hosts: Mapping[str, np.ndarray]
    components: Mapping[str, np.ndarray] | None
    beam: tuple[float, float, float]
    wcs: Any = None
    shape: tuple[int, int] | None = None
    segmentation: Any = None
    image: Any = None
    model: Any = None
    frequency: float | None = None
    labels: tuple[np.ndarray, np.ndarray] = field(
        default_factory=lambda: (np.empty(0, np.int64), np.empty(0, np.int64)))
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    area: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.hosts["source_id"])

    __repr__ = show_fields


@dataclass(frozen=True, eq=False)
class Matches:
    """Which row of a catalogue is which source or component of the truth.

    Attributes
    ----------
    component_of_row : ndarray of int, shape (rows,)
        Index of the component that a row is matched with, one to one; -1 for none. Of a truth without components: of
        the source.
    row_of_component : ndarray of int, shape (components,)
        The same from the other side.
    distance : ndarray, shape (rows,)
        Separation of row and component, arcsec; NaN for none.
    likelihood : ndarray, shape (rows,)
        Logarithm of how much likelier the match is than a row that stands there by chance; NaN for none.
    host_of_row : ndarray of int, shape (rows,)
        Index of the source that a row belongs to: that it, or one of whose components, it is matched with, else in
        whose footprint it lies; -1 for rows that are false at the level of hosts.
    rows_of_host : ndarray of int, shape (hosts,)
        How many rows belong to each source.
    hosts_of_row : ndarray of int, shape (rows,)
        How many sources' centres lie within a row's own extent, of those of at least 3 sigma and a tenth of the row's
        flux, its own among them; 0 if it has none: blending.
    why_missed : ndarray of str, shape (hosts,)
        Empty for sources that have a row; else "below 5 sigma", "blended" (the row that covers it is another
        source's), "not found".
    outside : ndarray of bool, shape (rows,)
        Rows that count for nothing: outside the image, on blank pixels, outside the truth's area, or on sources that
        are not in this truth; but none that belongs to a source.
    how : ndarray of str, shape (rows,)
        By what a row belongs to its source: it is matched with a "component" of it or the "source" as a whole, lies in
        its "segmentation" or "ellipse", or has it within its own ("cover"); empty for none.
    """

    component_of_row: np.ndarray
    row_of_component: np.ndarray
    distance: np.ndarray
    likelihood: np.ndarray
    host_of_row: np.ndarray
    rows_of_host: np.ndarray
    hosts_of_row: np.ndarray
    why_missed: np.ndarray
    outside: np.ndarray
    how: np.ndarray = field(default_factory=lambda: np.empty(0, "U12"))

    __repr__ = show_fields


@dataclass(frozen=True, eq=False)
class Curve:
    """A rate in bins of a quantity, such as completeness against true flux.

    Attributes
    ----------
    rate, level, against : str
        "completeness" or "reliability", "component" or "host", and the name of the quantity.
    unit : str
        Of the quantity; empty for none.
    edges : ndarray, shape (bins + 1,)
        Ends of the bins; empty where ``names`` are the bins.
    names : tuple of str
        Bins of words, such as classes.
    hits, total : ndarray of int, shape (bins,)
        How many were matched, of how many.
    low, high : ndarray, shape (bins,)
        Wilson interval of hits / total at 68.27 %; NaN in empty bins.
    selection : str
        Which sources or rows are counted, in words; empty for all.
    """

    rate: str
    level: str
    against: str
    unit: str
    edges: np.ndarray
    names: tuple[str, ...]
    hits: np.ndarray
    total: np.ndarray
    low: np.ndarray
    high: np.ndarray
    selection: str = ""

    __repr__ = show_fields
