"""Fields that the tests of exports share."""

from __future__ import annotations

from copy import copy
from functools import cache

import numpy as np
from astropy import units as u
from astropy.table import QTable

import skygal


@cache
def small_field():
    """Return a field of galaxies and faint sources of each kind, one of them on the border, at 1.4 GHz."""
    wcs = skygal.make_wcs("00h00m04s -30d00m00s", 192, 1.8 * u.arcsec)
    at = np.array([[40.0, 150], [150, 40], [110.3, 110.8], [188, 100]])
    ra, dec = wcs.pixel_to_world_values(*at.T)
    table = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": [20, 15, 30, 12] * u.mJy,
                    "las": [40, 30, 25, 30] * u.arcsec, "fr_class": ["FRI", "FRII", "FRII", "FRI"],
                    "curvature": [-0.1, 0, 0, 0.2]})
    place = np.array([[20.5, 30.25], [90, 60], [60, 90]])
    faint_ra, faint_dec = wcs.pixel_to_world_values(*place.T)
    faint = QTable({"ra": faint_ra * u.deg, "dec": faint_dec * u.deg, "flux": [8, 7, 6] * u.mJy,
                    "kind": ["point", "gaussian", "exponential"], "b_maj": [0, 4, 1.5] * u.arcsec,
                    "b_min": [0, 2, 1] * u.arcsec, "pa": [0, 120, 30] * u.deg, "spectral_index": [0.1, -0.7, -0.8]})
    return skygal.simulate_field(wcs, table=table, faint=faint, survey="FIRST", seed=1)


def changed(field, **values):
    """Return a copy of a field with other attributes, which no longer is what every field is (`field_checks`)."""
    part = copy(field)
    for name, value in values.items():
        object.__setattr__(part, name, value)
    return part


def rows(field, keep):
    """Return a field with some of its sources, and the components of these."""
    truth = field.truth[keep]
    own = np.isin(np.asarray(field.components["source_id"]), np.asarray(truth["source_id"]))
    return changed(field, truth=truth, components=field.components[own])


def with_column(field, **columns):
    """Return a field with other values in columns of its truth."""
    truth = field.truth.copy()
    for name, values in columns.items():
        truth[name] = values
    return changed(field, truth=truth)
