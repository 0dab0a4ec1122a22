"""Which sources of a sky are drawn as galaxies and which by formula, for a beam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from skygal.checks import as_quantity, show, show_fields
from skygal.population.sky_parts import CLASSES

__all__ = ["Split", "split_by_beam"]

#: beams that an FRI or FRII is larger than, at least, to be drawn as a galaxy
EXTENDED = 3.0
#: FWHM in beams from which on core and jet of a compact source are drawn apart
APART = 0.5
#: FWHM in beams below which a source is drawn as a point; its peak is then too high by the square of this, at most
POINTLIKE = 0.02
_COLUMNS = ("source_id", "ra", "dec", "flux", "population", "las", "kind", "b_maj", "b_min", "pa", "core_frac",
            "spectral_index", "curvature", "redshift")
_GALAXIES = ("source_id", "ra", "dec", "flux", "las", "pa", "population", "spectral_index", "curvature", "redshift")
_FAINT = ("source_id", "ra", "dec", "flux", "kind", "b_maj", "b_min", "pa", "spectral_index", "curvature", "redshift")


@dataclass(frozen=True, eq=False)
class Split:
    """A sky's sources, by how they are drawn.

    Attributes
    ----------
    galaxies : `~astropy.table.QTable`
        Columns that `skygal.simulate_field` takes as ``table``: FRI and FRII that the beam resolves.
    faint : `~astropy.table.QTable`
        Columns that `check_faint` takes: all others, as points, Gaussians and exponential discs. A compact source whose
        jet the beam shows has two rows, of its core and of its jet.
    parent : ndarray of int, shape (n,)
        For each row of ``faint`` the ``source_id`` of the source that it belongs to. A core has its source's own
        number, a jet one after the largest.
    """

    galaxies: QTable
    faint: QTable
    parent: np.ndarray

    __repr__ = show_fields


def split_by_beam(table: Table, beam: Any, *, extended: float = EXTENDED) -> Split:
    """Return which sources are drawn by the generator as galaxies, and the others as points, Gaussians and discs.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        From `Sky.sample` or `read_catalogue`.
    beam : Quantity or `~radio_beam.Beam`
        The beam's FWHM, one for all or one for each source, or an elliptical Gaussian, of which the geometric mean of
        the axes counts.
    extended : float
        FRI and FRII are galaxies if they are larger, end to end, than so many beams.

    Returns
    -------
    Split

    Raises
    ------
    TypeError, ValueError
        If an argument is not as it must be.

    Notes
    -----
    The fluxes of the rows sum to those of the table. Cores of compact sources are points; the jet is a Gaussian about
    them.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.population import Sky, split_by_beam
    >>> from skygal.seeds import Seeds
    >>> from skygal.wcs import make_wcs
    >>> wcs = make_wcs("12h00m00s +30d00m00s", 1024, 5 * u.arcsec)
    >>> sources = Sky.read().sample(wcs, seeds=Seeds(1), frequency=1.4 * u.GHz, flux=1 * u.mJy)
    >>> sharp, coarse = (split_by_beam(sources, beam) for beam in (2.5 * u.arcsec, 45 * u.arcsec))
    >>> print(len(sources), len(sharp.galaxies), len(coarse.galaxies))
    185 46 0
    """
    missing = [name for name in _COLUMNS if name not in getattr(table, "colnames", ())]
    if missing:
        raise ValueError(f"table must have the columns of Sky.sample, missing {', '.join(missing)}")
    table = QTable(table, copy=False)
    # as FITS files hold words
    table.convert_bytestring_to_unicode()
    extended = as_quantity("extended", extended, u.one)
    fwhm = _fwhm(beam, len(table))
    population = np.asarray(table["population"])
    unknown = ~np.isin(population, (*CLASSES, ""))
    if unknown.any():
        raise ValueError(f"population must be one of {', '.join(CLASSES)} or empty, got "
                         f"{show(str(population[unknown][0]))}")
    las, major = (u.Quantity(table[name]).to_value(u.arcsec) for name in ("las", "b_maj"))
    large = np.isin(population, ("FRI", "FRII")) & (las > extended * fwhm)
    galaxies = table[_GALAXIES][large]
    galaxies.rename_column("population", "fr_class")
    small = np.flatnonzero(~large)
    core = np.asarray(table["core_frac"])[small]
    apart = (core > 0) & (core < 1) & (major[small] >= APART * fwhm[small])
    # jets follow after all others
    rows, jets = np.concatenate([small, small[apart]]), slice(len(small), None)
    faint = QTable({name: table[name][rows] for name in _FAINT}, copy=False)
    parent = np.asarray(faint["source_id"], np.int64)
    faint["source_id"] = np.where(np.arange(len(rows)) < len(small), parent, 0)
    faint["source_id"][jets] = np.max(np.asarray(table["source_id"]), initial=0) + 1 + np.arange(np.sum(apart))
    total = faint["flux"][jets].copy()
    faint["flux"][np.flatnonzero(apart)] = core[apart] * total
    faint["flux"][jets] = total - faint["flux"][np.flatnonzero(apart)]
    point = np.concatenate([apart | (major[small] < POINTLIKE * fwhm[small]), np.zeros(np.sum(apart), bool)])
    faint["kind"] = np.where(point, "point", faint["kind"])
    for name in ("b_maj", "b_min"):
        faint[name][point] = 0 * u.arcsec
    return Split(galaxies, faint, parent)


def _fwhm(beam: Any, n: int) -> np.ndarray:
    """Return the beam's FWHM at each source, arcsec."""
    # a Beam is a Quantity too: its solid angle
    if all(hasattr(beam, name) for name in ("major", "minor")):
        beam = np.sqrt(beam.major * beam.minor)
    values = as_quantity("beam", beam, u.arcsec, scalar=False)
    if values.ndim and values.shape != (n,):
        raise ValueError(f"beam must be one for all or one for each of {n} sources, got shape {values.shape}")
    return np.broadcast_to(values, (n,))
