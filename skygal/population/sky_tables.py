"""The sources of a whole sky, drawn or from a catalogue, as the tables that a field is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.population.catalogues import is_catalogue, read_catalogue
from skygal.population.clustering import Clustering
from skygal.population.sky import Sky
from skygal.population.split import split_by_beam
from skygal.seeds import Seeds
from skygal.wcs import icrs_to_pixel, pixel_area

__all__ = ["sky_tables"]

#: how far beyond the border of an image, in beams, sources of a catalogue are still drawn
BEAMS_BEYOND = 3


def sky_tables(sky: Any, wcs: WCS, shape: Sequence[int], beam: Any, *, seeds: Seeds, frequency: u.Quantity,
               flux: Any = None, mask: np.ndarray | None = None, n: int | None = None, clustering: Any = None,
               widest: u.Quantity) -> tuple[QTable, QTable]:
    """Return the sources that the model draws, and all others, as `sample_population` and `check_faint` take them.

    Parameters
    ----------
    sky : str, path, Sky or Table
        The name of a sky, a YAML file of one, one itself, or a catalogue, see `read_catalogue`.
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    beam : `~radio_beam.Beam`
        By which it is decided who is drawn by the model, see `split_by_beam`.
    seeds, frequency, flux, mask, n
        See `Sky.sample`; of a catalogue, sources in and near the image are taken, whatever their flux.
    clustering : bool, `Clustering` or None
        Whether, and how, sources of a sky cluster.
    widest : Quantity
        FWHM of the image's beam: sources of a catalogue reach in from so far.

    Raises
    ------
    TypeError, ValueError
        If the sky is none, or an argument is not allowed.
    """
    if is_catalogue(sky):
        drawn = _in_reach(read_catalogue(sky, frequency=frequency), wcs, shape, widest)
    else:
        known = sky if isinstance(sky, Sky) else Sky.read(sky)
        drawn = known.sample(wcs, shape, seeds=seeds, frequency=frequency, flux=flux, mask=mask, n=n,
                             clustering=Clustering() if clustering is True else clustering)
    split = split_by_beam(drawn, beam)
    faint = split.faint
    # rows are numbered rising
    row = np.searchsorted(np.asarray(drawn["source_id"]), split.parent)
    faint["parent_id"], faint["population"] = split.parent, np.asarray(drawn["population"])[row]
    return split.galaxies, faint


def _in_reach(sources: QTable, wcs: WCS, shape: Sequence[int], widest: u.Quantity) -> QTable:
    """Return the sources that are no further from an image than half their size and three beams."""
    x, y = icrs_to_pixel(wcs, sources["ra"].to_value(u.deg), sources["dec"].to_value(u.deg))
    ny, nx = shape
    side = np.sqrt(float(pixel_area(wcs, (nx - 1) / 2, (ny - 1) / 2)) * u.sr).to(u.arcsec)
    with np.errstate(divide="ignore"):  # off the sky a pixel has no side
        reach = 0.5 + ((sources["las"] / 2 + BEAMS_BEYOND * widest) / side).to_value(u.one)
    return sources[(x > -reach) & (x < nx - 1 + reach) & (y > -reach) & (y < ny - 1 + reach)]
