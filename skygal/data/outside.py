"""Stamps of sources that others do not show: for tests on what a model has never seen."""

from __future__ import annotations

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity
from skygal.data.matching import fill_positions
from skygal.data.stamps import Stamps, select_stamps

__all__ = ["leave_out"]


def leave_out(stamps: Stamps, known: Stamps, *, radius: u.Quantity = 60 * u.arcsec, name: str = "") -> Stamps:
    """Return the stamps of sources that another set does not show.

    Parameters
    ----------
    stamps : Stamps
        The cutouts to choose from; those without a position are left out.
    known : Stamps
        The cutouts whose sources are to be left out. Where one of these has no position, it takes that of another one
        that shows the same source, if there is such (`skygal.data.matching.fill_positions`).
    radius : `~astropy.units.Quantity`
        Entries nearer than this are the same source.
    name : str
        A text that the names of those chosen must hold, such as a catalogue's.

    Returns
    -------
    Stamps

    Raises
    ------
    TypeError, ValueError
        If ``radius`` is no positive angle.

    Examples
    --------
    The stamps of MiraBest in the wheel of ``firstgalaxydata`` which a file of training stamps does not hold::

        outside = leave_out(read_stamps("firstgalaxydata"), read_stamps("train.npz"), name="MiraBest")
    """
    from astropy.coordinates import SkyCoord

    limit = as_quantity("radius", radius, u.arcsec) * u.arcsec
    known = fill_positions(known)
    chosen = np.isfinite(stamps.ra) & np.isfinite(stamps.dec) & (np.char.find(stamps.name, name) >= 0)
    placed = np.isfinite(known.ra) & np.isfinite(known.dec)
    if chosen.any() and placed.any():
        rows = np.flatnonzero(chosen)
        places, others = (SkyCoord(ra * u.deg, dec * u.deg) for ra, dec in (
            (stamps.ra[rows], stamps.dec[rows]), (known.ra[placed], known.dec[placed])))
        chosen[rows[places.match_to_catalog_sky(others)[1] < limit]] = False
    return select_stamps(stamps, chosen)
