"""Catalogues that are known: by which columns one is told, what they mean, and in which units.

A new one is an entry of `FORMATS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from astropy import units as u

from skygal.checks import check_choice

__all__ = ["DETECTED", "FORMATS", "QUANTITIES", "SDC1_COLUMNS", "CatalogueFormat", "find_format"]

#: what a column can be, and the unit in which it is kept; None for words. ``fitted_`` sizes have the beam in them.
QUANTITIES: dict[str, u.UnitBase | None] = {
    "ra": u.deg, "dec": u.deg, "flux": u.Jy, "population": None, "kind": None, "las": u.arcsec, "b_maj": u.arcsec,
    "b_min": u.arcsec, "pa": u.deg, "fitted_maj": u.arcsec, "fitted_min": u.arcsec, "fitted_pa": u.deg,
    "psf_maj": u.arcsec, "psf_min": u.arcsec, "psf_pa": u.deg, "core_frac": u.one, "spectral_index": u.one,
    "curvature": u.one, "redshift": u.one, "components": None}

_PER_BEAM = u.Jy / u.beam
#: what else a row of a source finder's catalogue can have, which scoring reads and populations do not: ``pixel_`` sizes
#: are in pixels, and their angle is counted from the columns' axis towards the rows'; ``flux_sum`` is a sum of pixels
DETECTED: dict[str, u.UnitBase | None] = {
    "id": None, "parent": None, "label": None, "peak": _PER_BEAM, "rms": _PER_BEAM, "confidence": u.one, "x": u.one,
    "y": u.one, "flux_sum": _PER_BEAM, "pixel_maj": u.one, "pixel_min": u.one, "pixel_pa": u.deg, "ra_err": u.arcsec,
    "dec_err": u.arcsec, "flux_err": u.Jy, "flux_sum_err": _PER_BEAM, "peak_err": _PER_BEAM,
    "fitted_maj_err": u.arcsec, "fitted_min_err": u.arcsec, "fitted_pa_err": u.deg}

#: columns of the first SKA Science Data Challenge, whose files of truth have no header; training sets have three more
SDC1_COLUMNS = ("id", "ra_core", "dec_core", "ra_cent", "dec_cent", "flux", "core_frac", "b_maj", "b_min", "pa", "size",
                "class", "selection", "x", "y")


@dataclass(frozen=True)
class CatalogueFormat:
    """How the columns of one kind of catalogue are read.

    Parameters
    ----------
    name : str
    tells : tuple of str
        Columns that such a catalogue has and others have not, lower case; "a|b" is one or the other.
    columns : mapping of str to (str, unit)
        For each quantity the column, lower case, and its unit where the table gives none.
    passed : str
        Pattern of the columns, lower case, that are known and not needed.
    frequency : float, optional
        Of its fluxes, Hz.
    rows : str
        "gaussians": each row is a point or a Gaussian. "sources": so, but what is made of several Gaussians is a radio
        galaxy. "sdc1" and "trecs": by their classes.
    keep : (str, callable), optional
        Column of those rows that count, and which values do.
    detected : mapping of str to (str, unit)
        As ``columns``, for the quantities of `DETECTED`. "a|b" is the first that is there; words "a+b" are joined, and
        all but the last may be missing. A unit None of a number: it counts only where the table gives one.
    level : "component", "source" or "island"
        What a row is to the program that wrote it.
    widths : "fwhm", "sigma", "2 sigma" or "half"
        What fitted sizes and those in pixels are: FWHM, one standard deviation or two, or half of the FWHM.
    turn : float
        Degrees to add to angles in pixels, so that they are counted from the columns' axis.
    errors : str
        Pattern of the names of errors, such as ``"e_{}"``; they are in the unit of what they are of, those of positions
        in ``place``.
    place : unit, optional
        Of errors of positions where the table gives none; None if it must.
    first : int
        Number of the first pixel in x and y.
    area : str
        Column of the beam's area in pixels, where fluxes may be sums of pixels instead.
    """

    name: str
    tells: tuple[str, ...]
    columns: Mapping[str, tuple[str, u.UnitBase | None]]
    passed: str = ""
    frequency: float | None = None
    rows: str = "gaussians"
    keep: tuple[str, Callable] | None = field(default=None, compare=False)
    detected: Mapping[str, tuple[str, u.UnitBase | None]] = field(default_factory=dict)
    level: str = "component"
    widths: str = "fwhm"
    turn: float = 0.0
    errors: str = ""
    place: u.UnitBase | None = None
    first: int = 0
    area: str = ""

    def passes(self, name: str) -> bool:
        """Return whether a column is known and not needed."""
        return bool(self.passed) and re.fullmatch(self.passed, name.strip().lower()) is not None


def _sky(ra: str = "ra", dec: str = "dec") -> dict:
    return {"ra": (ra, u.deg), "dec": (dec, u.deg)}


def _axes(unit: u.UnitBase, names: Mapping[str, tuple[str, str, str]]) -> dict:
    """Return columns of major and minor axis and angle, for ``b``, ``fitted`` and ``psf``."""
    ends = {"b": ("b_maj", "b_min", "pa")}
    return {quantity: (column, u.deg if quantity.endswith("pa") else unit) for kind, columns in names.items()
            for quantity, column in zip(ends.get(kind, (f"{kind}_maj", f"{kind}_min", f"{kind}_pa")), columns,
                                        strict=True)}


_DC = {"fitted": ("maj", "min", "pa"), "b": ("dc_maj", "dc_min", "dc_pa")}
_PYBDSF = (r"e_.*|.*_img_plane|(resid_|wave_)?isl_(id|rms|mean|total_flux)|(ra|dec)_max|peak_flux|[xy]posn|wave_id|"
           r"(source|gaus|gaussian)_(id|name)")
_CODE = {"components": ("s_code", None)}


def _row(id: str, parent: str, peak: str, rms: str, unit: u.UnitBase) -> dict:
    """Return columns of `DETECTED`: names, and brightness in a unit; empty ones are not there."""
    found = {"id": (id, None), "parent": (parent, None), "peak": (peak, unit / u.beam), "rms": (rms, unit / u.beam)}
    return {name: column for name, column in found.items() if column[0]}


#: The formats, the ones with the most telling columns first.
FORMATS: tuple[CatalogueFormat, ...] = (
    # Bonaldi et al. 2019, 2019MNRAS.482....2B, and later versions: see `skygal.population.trecs`
    CatalogueFormat("T-RECS", ("radioclass|popflag", "latitude", "longitude", "redshift", "size"),
                    _sky("longitude", "latitude"),
                    passed=r"[ilp]\d*t?|id_(cont|hi)|lum1400|logsfr|mhi|phys size|angle|hi (flux|size)|v_max|w50|"
                           r"(mh|mstar|mhi_pred|[xy]_coord|inclination|axis ratio|bmaj|bmin|pa|optclass)(_1)?",
                    rows="trecs"),
    CatalogueFormat("SDC1", ("ra_cent", "dec_cent", "core_frac", "size", "class"),
                    {**_sky("ra_cent", "dec_cent"), "flux": ("flux", u.Jy), "core_frac": ("core_frac", u.one),
                     **_axes(u.arcsec, {"b": ("b_maj", "b_min", "pa")})},
                    passed=r"id|ra_core|dec_core|selection|[xy]", rows="sdc1", detected={"id": ("id", None)},
                    level="source"),
    # Hale et al. 2021, doi:10.1017/pasa.2021.47
    CatalogueFormat("RACS-low Gaussians", ("total_flux_gaussian", "gaussian_id"),
                    {**_sky(), "flux": ("total_flux_gaussian", u.mJy), **_axes(u.arcsec, _DC)},
                    passed=_PYBDSF + r"|total_flux_source|noise|tile_id|sbid|n_gaus|s_code|separation_tile_centre",
                    frequency=887.5e6,
                    detected=_row("gaussian_id", "source_id", "peak_flux", "noise", u.mJy), errors="e_{}",
                    place=u.arcsec),
    CatalogueFormat("RACS-low", ("total_flux_source",),
                    {**_sky(), "flux": ("total_flux_source", u.mJy), **_axes(u.arcsec, _DC), **_CODE},
                    passed=_PYBDSF + r"|noise|tile_id|sbid|n_gaus|separation_tile_centre",
                    frequency=887.5e6, rows="sources", level="source",
                    detected=_row("source_id", "", "peak_flux", "noise", u.mJy), errors="e_{}", place=u.arcsec),
    # CIRADA's VLASS Quick Look components, Gordon et al. 2021 (2021ApJS..255...30G)
    CatalogueFormat("VLASS", ("component_name", "total_flux", "duplicate_flag"),
                    {**_sky(), "flux": ("total_flux", u.mJy), **_axes(u.arcsec, _DC)},
                    passed=_PYBDSF + r"|component_(name|id)|s_code|quality_flag|peak_to_ring|(sub)?tile",
                    frequency=3e9, keep=("duplicate_flag", lambda flag: flag < 2),
                    detected=_row("component_name", "tile+subtile+isl_id", "peak_flux", "isl_rms", u.mJy),
                    errors="e_{}"),
    # Shimwell et al. 2022, 2022A&A...659A...1S
    CatalogueFormat("LoTSS", ("source_name", "total_flux", "mosaic_id"),
                    {**_sky(), "flux": ("total_flux", u.mJy), **_axes(u.arcsec, _DC), **_CODE},
                    passed=_PYBDSF + r"|mosaic_id|number_pointings|masked_fraction",
                    frequency=144e6, rows="sources", level="source",
                    detected=_row("source_name", "", "peak_flux", "isl_rms", u.mJy), errors="e_{}"),
    CatalogueFormat("PyBDSF Gaussians", ("gaus_id", "isl_id", "total_flux"),
                    {**_sky(), "flux": ("total_flux", u.Jy), **_axes(u.deg, _DC)}, passed=_PYBDSF + "|s_code",
                    detected=_row("gaus_id", "source_id", "peak_flux", "isl_rms", u.Jy), errors="e_{}", place=u.deg),
    CatalogueFormat("PyBDSF", ("isl_id", "total_flux", "s_code"),
                    {**_sky(), "flux": ("total_flux", u.Jy), **_axes(u.deg, _DC), **_CODE}, passed=_PYBDSF,
                    rows="sources", level="source",
                    detected=_row("source_id", "isl_id", "peak_flux", "isl_rms", u.Jy), errors="e_{}", place=u.deg),
    CatalogueFormat("Aegean", ("int_flux", "a", "b", "psf_a", "psf_b", "psf_pa"),
                    {**_sky(), "flux": ("int_flux", u.Jy),
                     **_axes(u.arcsec, {"fitted": ("a", "b", "pa"), "psf": ("psf_a", "psf_b", "psf_pa")})},
                    passed=r"err_.*|island|source|background|local_rms|(ra|dec)_str|peak_flux|flags|residual_.*|uuid",
                    detected=_row("island+source", "island", "peak_flux", "local_rms", u.Jy), errors="err_{}",
                    place=u.deg),
    # ASKAP's catalogues: EMU, and the tiles of RACS in CASDA
    CatalogueFormat("Selavy", ("ra_deg_cont", "flux_int", "maj_axis_deconv"),
                    {**_sky("ra_deg_cont", "dec_deg_cont"), "flux": ("flux_int", u.mJy),
                     **_axes(u.arcsec, {"fitted": ("maj_axis", "min_axis", "pos_ang"),
                                        "b": ("maj_axis_deconv", "min_axis_deconv", "pos_ang_deconv")})},
                    passed=r".*_err|(component|island)_(id|name)|(ra_hms|dec_dms)_cont|flux_peak|chi_squared.*|rms_.*|"
                           r"freq|spectral_.*|has_siblings|fit_is_estimate|flag_c?\d|comment",
                    detected={**_row("component_id", "island_id", "flux_peak", "rms_image", u.mJy),
                              "ra_err": ("ra_err", u.arcsec), "dec_err": ("dec_err", u.arcsec)}, errors="{}_err"),
    CatalogueFormat("Hebog", ("gaussian_component_id", "integrated_flux", "deconvolved_major"),
                    {**_sky("right_ascension", "declination"), "flux": ("integrated_flux", u.Jy),
                     **_axes(u.deg, {"fitted": ("fitted_major", "fitted_minor", "fitted_position_angle"),
                                     "b": ("deconvolved_major", "deconvolved_minor", "deconvolved_position_angle")})},
                    passed=r".*_error|.*_ids?|peak_flux|local_rms|quality_flags|spectral_.*|reference_frequency",
                    detected=_row("gaussian_component_id", "source_id", "peak_flux", "local_rms", u.Jy),
                    errors="{}_error", place=u.deg),
    # White et al. 1997 (1997ApJ...475..479W) and its last release, Helfand et al. 2015 (2015ApJ...801...26H)
    CatalogueFormat("FIRST", ("fint", "major", "minor", "posang"),
                    {**_sky(), "flux": ("fint", u.mJy),
                     **_axes(u.arcsec, {"fitted": ("fitted_major", "fitted_minor", "fitted_posang"),
                                        "b": ("major", "minor", "posang")})},
                    passed=r"fpeak|rms|sideprob|fldname", frequency=1.4e9,
                    detected=_row("", "", "fpeak", "rms", u.mJy)),
    CatalogueFormat("FIRST of VizieR", ("fint", "fmaj", "fmin", "maj", "min"),
                    {**_sky("raj2000", "dej2000"), "flux": ("fint", u.mJy),
                     **_axes(u.arcsec, {"fitted": ("fmaj", "fmin", "fpa"), "b": ("maj", "min", "pa")})},
                    passed=r"fpeak|rms|p\(?_?s\)?_?|first|field|recno", frequency=1.4e9,
                    detected=_row("first", "", "fpeak", "rms", u.mJy)),
)


def find_format(names: Iterable[str], wanted: str | None = None,
                formats: Sequence[CatalogueFormat] = FORMATS) -> CatalogueFormat | None:
    """Return the format of a table with these columns, lower case, or that of a name; None if it is none of them.

    Raises
    ------
    ValueError
        If there is no format of the name wanted, or the table lacks its columns.
    """
    here = set(names)
    if wanted is None:
        return next((one for one in formats if not _lacking(one, here)), None)
    found = next(one for one in formats if one.name == check_choice("format", wanted, [one.name for one in formats]))
    lacking = _lacking(found, here)
    if lacking:
        raise ValueError(f"catalogue must have the columns of {found.name}, missing {', '.join(lacking)}")
    return found


def _lacking(one: CatalogueFormat, here: set[str]) -> list[str]:
    return [name.replace("|", " or ") for name in one.tells if not here.intersection(name.split("|"))]
