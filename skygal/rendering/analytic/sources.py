"""Sources whose brightness is a formula: points, Gaussians and exponential discs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from skygal.checks import check_choice

__all__ = ["EXPONENTIAL", "GAUSSIAN", "KINDS", "POINT", "Analytic"]

#: names of the kinds; their codes are the places in this list
KINDS = ("point", "gaussian", "exponential")
POINT, GAUSSIAN, EXPONENTIAL = range(3)
#: bad rows that an error shows
SHOWN = 10


@dataclass(frozen=True, eq=False)
class Analytic:
    """Sources on the pixel grid of an image.

    Attributes
    ----------
    kind : ndarray of int8, shape (n,)
        `POINT`, `GAUSSIAN` or `EXPONENTIAL`: places in `KINDS`.
    position : ndarray, shape (n, 2)
        (x, y) in pixels of the image, pixel centres at integers. NaN where the image's projection cannot
        show it: such a source has no pixels.
    flux : ndarray, shape (n,)
        Jy; negative for what is to be taken away.
    covariance : ndarray, shape (n, 2, 2)
        The source's own, without the beam, in (x, y) pixels squared. Zero for points. For exponential
        discs the shape matrix C of the scale length: the brightness is exp(-r), r^2 = d^T C^-1 d.
    beam : ndarray, shape (n, 2, 2)
        Covariance of the image's beam at the source, (x, y) pixels squared.
    area : ndarray, shape (n,)
        The beam's area there in pixels: what the sum of the pixels is divided by to get the flux.

    Notes
    -----
    The columns are taken as they are; `make` checks them.
    """

    kind: np.ndarray
    position: np.ndarray
    flux: np.ndarray
    covariance: np.ndarray
    beam: np.ndarray
    area: np.ndarray

    def __len__(self) -> int:
        return len(self.flux)

    def __getitem__(self, rows: slice | np.ndarray) -> Analytic:
        return Analytic(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def make(cls, kind: Any, position: Any, *, flux: Any, beam: Any, covariance: Any = None, area: Any = None
             ) -> Analytic:
        """Return sources, checked.

        Parameters
        ----------
        kind : str, int or array_like of either, shape (n,)
            Names or codes of `KINDS`.
        position : array_like, shape (n, 2)
            (x, y) in pixels.
        flux : array_like, shape (n,) or ()
            Jy.
        beam : array_like, shape (2, 2) or (n, 2, 2)
            Covariance of the beam, pixels squared.
        covariance : array_like, shape (2, 2) or (n, 2, 2), optional
            The sources' own; none by default. That of points does not count.
        area : array_like, shape (n,) or (), optional
            The beam's area in pixels; by default that of the Gaussian ``beam``.

        Raises
        ------
        TypeError
            If a column is not numbers, or ``kind`` neither names nor codes.
        ValueError
            If a column has the wrong shape, or rows that are not allowed; the message counts them and
            shows the first ten.

        Examples
        --------
        >>> import numpy as np
        >>> from skygal.rendering.analytic.bulk import Analytic
        >>> sources = Analytic.make(["point", "gaussian"], [[10, 12], [3.5, 8]], flux=[1e-3, 2e-3],
        ...                         beam=1.5 * np.eye(2), covariance=4 * np.eye(2))
        >>> print(sources.area.round(2), sources.covariance[:, 0, 0])
        [9.42 9.42] [0. 4.]
        """
        position = _column("position", position, None, (2,))
        n = len(position)
        kind = np.array(np.broadcast_to(_codes(kind), (n,)))
        flux = _column("flux", flux, n, ())
        beam = _column("beam", beam, n, (2, 2))
        own = _column("covariance", np.zeros((2, 2)) if covariance is None else covariance, n, (2, 2))
        _refuse("flux must be finite", ~np.isfinite(flux))
        _refuse("beam must be a symmetric, positive definite matrix", ~_definite(beam, strictly=True))
        points = kind == POINT
        own = np.where(points[:, None, None], 0.0, own)
        _refuse("covariance must be a symmetric matrix without negative eigenvalues", ~_definite(own, strictly=False))
        if area is None:
            area = 2 * np.pi * np.sqrt(beam[:, 0, 0] * beam[:, 1, 1] - beam[:, 0, 1] ** 2)
        area = _column("area", area, n, ())
        _refuse("area must be positive and finite", ~((area > 0) & np.isfinite(area)))
        return cls(kind, position, flux, own, beam, area)


def _codes(kind: Any) -> np.ndarray:
    kind = np.asarray(kind)
    if not kind.size:
        return kind.astype(np.int8)
    if kind.dtype.kind in "USO":
        names, place = np.unique(kind.astype(str), return_inverse=True)
        codes = np.array([KINDS.index(check_choice("kind", str(name), KINDS)) for name in names], np.int8)
        return codes[place.reshape(kind.shape)]
    if kind.dtype.kind not in "iu":
        raise TypeError(f"kind must be names or codes of {', '.join(KINDS)}, got {kind.dtype}")
    _refuse(f"kind must be 0 to {len(KINDS) - 1}", np.atleast_1d((kind < 0) | (kind >= len(KINDS))))
    return kind.astype(np.int8)


def _column(name: str, values: Any, n: int | None, each: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, got {type(values).__name__}") from None
    if n is None and array.ndim == 1 + len(each) and array.shape[1:] == each:
        return array
    try:
        if n is None:
            raise ValueError
        return np.broadcast_to(array, (n, *each))
    except ValueError:
        wanted: Sequence[Any] = ("n" if n is None else n, *each)
        raise ValueError(f"{name} must have the shape ({', '.join(map(str, wanted))}{',' if not each else ''}), "
                         f"got {array.shape}") from None


def _definite(matrix: np.ndarray, *, strictly: bool) -> np.ndarray:
    xx, yy, xy = matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 1]
    with np.errstate(invalid="ignore"):
        det = xx * yy - xy**2
        # an edge-on disc, of no thickness, has a determinant of zero but for rounding
        good = (xx > 0) & (yy > 0) & (det > 0) if strictly else (xx >= 0) & (yy >= 0) & (det >= -1e-9 * xx * yy)
        symmetric = np.abs(xy - matrix[:, 1, 0]) <= 1e-9 * np.sqrt(np.abs(xx * yy))
    return good & symmetric & np.isfinite(matrix).all(axis=(1, 2))


def _refuse(rule: str, bad: np.ndarray) -> None:
    if bad.any():
        rows = np.flatnonzero(bad)
        shown = ", ".join(map(str, rows[:SHOWN])) + (", ..." if rows.size > SHOWN else "")
        raise ValueError(f"{rule}, got {rows.size} bad {'row' if rows.size == 1 else 'rows'} of {bad.size} "
                         f"(counted from 0: {shown})")
