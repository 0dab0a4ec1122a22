"""Catalogues of the first SKA Science Data Challenge (Bonaldi et al. 2021, 2021MNRAS.500.3821B)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.checks import check_choice
from skygal.io.provenance import restore_provenance
from skygal.truth.exports.columns import finite, numbers
from skygal.truth.exports.formats import Format

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["COLUMNS", "FORMATS", "TRAINING_AREAS", "in_training_area", "sdc1_columns"]

#: The columns, in this order, without a header in truth.
COLUMNS = ("id", "ra_core", "dec_core", "ra_cent", "dec_cent", "flux", "core_frac", "b_maj", "b_min", "pa", "size",
           "class")
#: By frequency in MHz, the ends in degrees of the training area: RA from -180 to 180, then Dec (ska-sdc 2.0.0).
TRAINING_AREAS = {560: (-0.6723, 0.0, -29.9400, -29.4061), 1400: (-0.2688, 0.0, -29.9400, -29.7265),
                  9200: (-0.04092, 0.0, -29.9400, -29.9074)}
#: a size of zero divides by zero in the scorer: no size is below this, arcsec
LEAST_SIZE = 1e-3
#: what a size is of: largest angular size, FWHM of a Gaussian, scale length of an exponential disc
LAS, GAUSSIAN, EXPONENTIAL = 1, 2, 3
#: classes: steep-spectrum and flat-spectrum active nuclei, star-forming galaxies
STEEP, FLAT, STAR_FORMING = 1, 2, 3
#: populations whose radio emission is, in the main, of stars: the challenge has no radio-quiet nuclei
STELLAR = ("SFG", "RQ-AGN")
#: spectral index above which a nucleus without a stamp counts as flat
FLATTER = -0.5
#: FWHM of the Gaussian with the second moments of an exponential disc, in its scale lengths
_DISC_FWHM = float(np.sqrt(3 * 8 * np.log(2)))


def in_training_area(ra: np.ndarray, dec: np.ndarray, frequency: float) -> np.ndarray:
    """Return which positions (degrees) are in the training area of the challenge at a frequency in MHz.

    Notes
    -----
    The bounds are those that ska-sdc 2.0.0 cuts at, by core position, ends excluded.
    """
    low, high, south, north = TRAINING_AREAS[int(frequency)]
    ra = (np.asarray(ra, float) + 180) % 360 - 180
    return (ra > low) & (ra < high) & (dec > south) & (dec < north)


def sdc1_columns(truth: QTable) -> dict[str, np.ndarray]:
    """Return the twelve columns of sources, in their units (degrees, Jy, arcsec).

    Parameters
    ----------
    truth : `~astropy.table.QTable`
        See `skygal.truth.schema`. All rows are taken.

    Notes
    -----
    Sources without a core have their centroid in its place. Galaxies from stamps have their LAS as size, the minor axis
    in proportion; Gaussians and points the FWHM, discs the scale length, and none is zero. The angle is counted
    clockwise from west as the challenge has it: 90 degrees less the position angle. Star-forming galaxies are those of
    the populations SFG and RQ-AGN, and discs of none; of all others points and Gaussians with spectra flatter than -0.5
    are flat-spectrum nuclei.
    """
    degrees = {name: numbers(truth, name, u.deg) for name in ("ra", "dec", "ra_core", "dec_core", "pa")}
    kind, index = np.asarray(truth["morphology"]).astype(str), numbers(truth, "spectral_index")
    population = np.asarray(truth["population"]).astype(str)
    stars = np.isin(population, STELLAR) | (population == "") & (kind == "exponential")
    disc, plain = kind == "exponential", np.isin(kind, ("point", "gaussian"))
    major, minor = numbers(truth, "b_maj", u.arcsec), numbers(truth, "b_min", u.arcsec)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(major > 0, minor / major, 1)
    size = np.select([disc, plain], [major / _DISC_FWHM, major], numbers(truth, "las", u.arcsec))
    core = np.isfinite(degrees["ra_core"]) & np.isfinite(degrees["dec_core"])
    ra, dec, ra_core, dec_core = (
        degrees["ra"], degrees["dec"], np.where(core, degrees["ra_core"], degrees["ra"]),
        np.where(core, degrees["dec_core"], degrees["dec"]))
    return {"id": np.asarray(truth["source_id"]), "ra_core": (ra_core + 180) % 360 - 180, "dec_core": dec_core,
            "ra_cent": (ra + 180) % 360 - 180, "dec_cent": dec, "flux": numbers(truth, "flux", u.Jy),
            "core_frac": np.maximum(numbers(truth, "core_frac"), 0), "b_maj": np.maximum(size, LEAST_SIZE),
            "b_min": np.maximum(size * ratio, LEAST_SIZE), "pa": (90 - degrees["pa"]) % 180,
            "size": np.select([disc, plain], [EXPONENTIAL, GAUSSIAN], LAS),
            "class": np.select([stars, plain & (index > FLATTER)], [STAR_FORMING, FLAT], STEEP)}


def write_sdc1(field: Field, path: Path, *, progress: bool = False, area: str = "all", header: bool = False) -> None:
    """Write the truth as the scorer of the challenge reads it: twelve columns of text, separated by blanks.

    Parameters
    ----------
    field, path, progress
    area : "all", "training" or "test"
        The sources inside the challenge's own training area, those outside, or both.
    header : bool
        Whether the first line has the names, as in a submission.

    Raises
    ------
    ValueError
        If a value is not finite, or there is no training area at the field's frequency.

    Notes
    -----
    Sources that have no pixel in the image are left out.
    """
    check_choice("area", area, ("all", "training", "test"))
    truth = field.truth[numbers(field.truth, "flux_in_image", u.Jy) > 0]
    finite(truth, ("ra", "dec", "flux", "las", "b_maj", "b_min", "pa", "core_frac", "spectral_index"), "sdc1")
    columns = sdc1_columns(truth)
    if area != "all":
        megahertz = restore_provenance(field.provenance)["frequency"].to_value(u.MHz)
        band = min(TRAINING_AREAS, key=lambda one: abs(one - megahertz))
        if abs(megahertz / band - 1) > 0.01:
            known = ", ".join(map(str, TRAINING_AREAS))
            raise ValueError(f"area must be 'all' at frequencies other than {known} MHz, got {area!r} at "
                             f"{megahertz:g} MHz")
        inside = in_training_area(columns["ra_core"], columns["dec_core"], band)
        columns = {name: values[inside == (area == "training")] for name, values in columns.items()}
    whole = ("id", "size", "class")
    forms = ["%d" if name in whole else "%.10f" if name.startswith(("ra", "dec")) else "%.9g" for name in COLUMNS]
    with open(path, "w", encoding="ascii") as file:
        if header:
            file.write(" ".join(COLUMNS) + "\n")
        for row in zip(*(columns[name].tolist() for name in COLUMNS), strict=True):
            file.write(" ".join(form % value for form, value in zip(forms, row, strict=True)) + "\n")


FORMATS = (Format("sdc1", (".txt",), write_sdc1, needs_sources=True, joined=True),)
