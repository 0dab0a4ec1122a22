"""Catalogues of source finders and surveys that only scoring reads, beside those that are populations too.

The latter are in `skygal.population.catalogue_formats`.
"""

from __future__ import annotations

from astropy import units as u

from skygal.population.catalogue_formats import FORMATS, CatalogueFormat

__all__ = ["CAESAR_COLUMNS", "FORMATS_TO_SCORE"]

_BEAM = u.Jy / u.beam
_MILLI = u.mJy / u.beam


def _fitted(unit: u.UnitBase, major: str, minor: str, pa: str) -> dict:
    return {"fitted_maj": (major, unit), "fitted_min": (minor, unit), "fitted_pa": (pa, u.deg)}


def _bare(unit: u.UnitBase, major: str, minor: str, pa: str) -> dict:
    return {"b_maj": (major, unit), "b_min": (minor, unit), "pa": (pa, u.deg)}


def _pixels(x: str, y: str, major: str, minor: str, pa: str, angle: u.UnitBase = u.deg) -> dict:
    return {"x": (x, u.one), "y": (y, u.one), "pixel_maj": (major, u.one), "pixel_min": (minor, u.one),
            "pixel_pa": (pa, angle)}


def _sky(ra: str = "ra", dec: str = "dec") -> dict:
    return {"ra": (ra, u.deg), "dec": (dec, u.deg)}


def _row(id: str = "", parent: str = "", peak: str = "", rms: str = "", unit: u.UnitBase = _BEAM) -> dict:
    found = {"id": (id, None), "parent": (parent, None), "peak": (peak, unit), "rms": (rms, unit)}
    return {name: column for name, column in found.items() if column[0]}


#: columns of CAESAR's text, of components and of islands, which has no header
CAESAR_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("name", "npix", "componentId", "iauName", "x", "y", "x_err", "y_err", "x_wcs", "y_wcs", "x_wcs_err",
     "y_wcs_err", "nu", "Speak", "Speak_err", "S", "S_err", "S_island", "S_island_err", "beamArea", "bmaj", "bmin",
     "pa", "bmaj_err", "bmin_err", "pa_err", "bmaj_wcs", "bmin_wcs", "pa_wcs", "bmaj_wcs_err", "bmin_wcs_err",
     "pa_wcs_err", "bmaj_beam", "bmin_beam", "pa_beam", "bmaj_deconv_wcs", "bmin_deconv_wcs", "pa_deconv_wcs",
     "eccentricity_ratio", "area_ratio", "rot_angle_vs_beam", "bkgSum", "rmsSum", "chi2", "ndf", "fit_quality",
     "sourcenessId", "morphId"),
    ("name", "iauName", "npix", "nComponents", "nNested", "x", "y", "x_w", "y_w", "x_wcs", "y_wcs", "x_w_wcs",
     "y_w_wcs", "xmin", "xmax", "ymin", "ymax", "xmin_wcs", "xmax_wcs", "ymin_wcs", "ymax_wcs", "nu", "Stot",
     "Smax", "S", "Serr", "beamArea", "bkgSum", "rmsSum", "morphId", "sourcenessId", "isGoodSource",
     "sourceNestedLevel"),
)

#: those whose columns others have too
_FIRST: tuple[CatalogueFormat, ...] = (
    CatalogueFormat("skygal truth", ("source_id", "flux_apparent", "peak_flux", "latent_seed"),
                    {**_sky(), "flux": ("flux_apparent", u.Jy), **_bare(u.arcsec, "b_maj", "b_min", "pa")},
                    level="source",
                    detected={**_row("source_id", "parent_id", "peak_flux", "local_rms"), "label": ("fr_class", None),
                              "confidence": ("snr", u.one)}),
    CatalogueFormat("skygal components", ("source_id", "component_id", "flux_fraction"),
                    {**_sky(), "flux": ("flux", u.Jy)},
                    detected=_row("source_id+component_id", "source_id", "peak_flux")),
    CatalogueFormat("Selavy islands", ("island_id", "n_components", "flux_int", "ra_deg_cont"),
                    {**_sky("ra_deg_cont", "dec_deg_cont"), "flux": ("flux_int", u.mJy),
                     **_fitted(u.arcsec, "maj_axis", "min_axis", "pos_ang")}, level="island",
                    detected=_row("island_id", "", "flux_peak", "background_noise", _MILLI), errors="{}_err"),
    CatalogueFormat("Aegean islands", ("island", "components", "int_flux", "eta", "max_angular_size"),
                    {**_sky(), "flux": ("int_flux", u.Jy)}, level="island",
                    detected=_row("island", "", "peak_flux", "local_rms"), errors="err_{}", place=u.deg),
)

#: The others, of which none is like another.
_FURTHER: tuple[CatalogueFormat, ...] = (
    CatalogueFormat("Hebog sources", ("source_id", "integrated_flux", "fitted_major"),
                    {**_sky("right_ascension", "declination"), "flux": ("integrated_flux", u.Jy),
                     **_fitted(u.deg, "fitted_major", "fitted_minor", "fitted_position_angle"),
                     **_bare(u.deg, "deconvolved_major", "deconvolved_minor", "deconvolved_position_angle")},
                    level="source", detected=_row("source_id", "island_id", "peak_flux", "local_rms"),
                    errors="{}_error", place=u.deg),
    # half axes
    CatalogueFormat("PySE", ("smaj_asec", "smin_asec", "theta_celes", "flux", "peak"),
                    {**_sky(), "flux": ("flux", u.Jy), **_fitted(u.arcsec, "smaj_asec", "smin_asec", "theta_celes")},
                    widths="half", level="source", detected={**_row(peak="peak"), "confidence": ("sig", u.one)},
                    errors="{}_err", place=u.deg),
    # Riggi et al. 2016, 2016MNRAS.460.1486R; fluxes are sums of pixels, sizes without the beam are mostly not there
    CatalogueFormat("CAESAR", ("x_wcs", "y_wcs", "speak", "bmaj_wcs"),
                    {**_sky("x_wcs", "y_wcs"), "flux": ("s", u.Jy),
                     **_fitted(u.arcsec, "bmaj_wcs", "bmin_wcs", "pa_wcs"), "psf_maj": ("bmaj_beam", u.arcsec),
                     "psf_min": ("bmin_beam", u.arcsec), "psf_pa": ("pa_beam", u.deg)},
                    detected=_row("name+componentid", "name", "speak"), errors="{}_err", place=u.deg, area="beamarea"),
    CatalogueFormat("CAESAR islands", ("x_w_wcs", "y_w_wcs", "s", "smax"),
                    {**_sky("x_w_wcs", "y_w_wcs"), "flux": ("s", u.Jy)}, level="island",
                    detected={**_row("name", "", "smax"), "flux_err": ("serr", u.Jy)}, area="beamarea"),
    # Robotham et al. 2018, 2018MNRAS.476.3137R; standard deviations
    CatalogueFormat("ProFound", ("segid", "racen", "deccen", "flux"),
                    {**_sky("racen", "deccen"), **_fitted(u.deg, "semimaj", "semimin", "ang")}, widths="sigma",
                    level="source", detected={**_row("segid", rms="skyrms_mean"), "flux_sum": ("flux", _BEAM),
                                              "flux_sum_err": ("flux_err", _BEAM)}),
    # Westmeier et al. 2021, 2021MNRAS.506.3962W; two standard deviations, angles from the second axis
    CatalogueFormat("SoFiA-2", ("f_sum", "f_max", "rms"), _sky(), level="source", widths="2 sigma", turn=90,
                    detected={**_row("id", "", "f_max", "rms"), "flux_sum": ("f_sum", _BEAM),
                              "flux_sum_err": ("err_f_sum", _BEAM), "confidence": ("rel", u.one),
                              **_pixels("x", "y", "ell_maj", "ell_min", "ell_pa")}),
    # before its third release under other names
    CatalogueFormat("photutils", ("label", "segment_flux", "semimajor_axis|semimajor_sigma"),
                    _sky("ra|sky_centroid.ra", "dec|sky_centroid.dec"), widths="sigma", level="source",
                    detected={**_row("label", "", "max_value"), "flux_sum": ("segment_flux", _BEAM),
                              "flux_sum_err": ("segment_flux_err|segment_fluxerr", _BEAM),
                              **_pixels("x_centroid|xcentroid", "y_centroid|ycentroid",
                                        "semimajor_axis|semimajor_sigma", "semiminor_axis|semiminor_sigma",
                                        "orientation")}),
    # Bertin & Arnouts 1996, 1996A&AS..117..393B; what is in pixels counts them from 1
    CatalogueFormat("SExtractor", ("number", "flux_auto|flux_iso", "x_image|alpha_j2000|alpha_sky"),
                    _sky("alpha_j2000|alpha_sky", "delta_j2000|delta_sky"), widths="sigma", level="source", first=1,
                    detected={**_row("number", "", "flux_max"), "flux_sum": ("flux_auto|flux_iso", _BEAM),
                              "flux_sum_err": ("fluxerr_auto|fluxerr_iso", _BEAM),
                              **_pixels("x_image", "y_image", "a_image", "b_image", "theta_image")}),
    # the same in Python (Barbary 2016, doi:10.21105/joss.00058), counted from 0
    CatalogueFormat("SEP", ("cflux", "cpeak", "flux", "x", "y", "theta"), {}, widths="sigma", level="source",
                    detected={**_row(peak="peak"), "flux_sum": ("flux", _BEAM),
                              **_pixels("x", "y", "a", "b", "theta", u.rad)}),
    # Gordon et al. 2021, 2021ApJS..255...30G
    CatalogueFormat("VLASS of VizieR", ("compname", "ftot", "fpeak", "islrms"),
                    {**_sky("raj2000", "dej2000"), "flux": ("ftot", u.mJy), **_fitted(u.arcsec, "maj", "min", "pa"),
                     **_bare(u.arcsec, "dcmaj", "dcmin", "dcpa")}, keep=("dupflag", lambda flag: flag < 2),
                    detected=_row("compname", "tile+subtile+islid", "fpeak", "islrms", _MILLI), errors="e_{}"),
    # Intema et al. 2017, 2017A&A...598A..78I
    CatalogueFormat("TGSS", ("stotal", "speak", "maj"),
                    {**_sky("raj2000|ra", "dej2000|dec"), "flux": ("stotal", u.mJy),
                     **_fitted(u.arcsec, "maj", "min", "pa")}, level="source",
                    detected=_row("", "", "speak", "noise", _MILLI), errors="e_{}"),
    # Mauch et al. 2003, 2003MNRAS.342.1117M
    CatalogueFormat("SUMSS", ("st", "sp", "majaxis"),
                    {**_sky("raj2000|ra", "dej2000|dec"), "flux": ("st", u.mJy),
                     **_fitted(u.arcsec, "majaxis", "minaxis", "pa")},
                    detected=_row("", "", "sp", "", _MILLI), errors="e_{}"),
    # Condon et al. 1998, 1998AJ....115.1693C; sizes without the beam
    CatalogueFormat("NVSS", ("nvss", "s1.4|s1_4", "majaxis"),
                    {**_sky("raj2000|ra", "dej2000|dec"), "flux": ("s1.4|s1_4", u.mJy),
                     **_bare(u.arcsec, "majaxis", "minaxis", "pa")},
                    detected=_row("nvss"), errors="e_{}"),
    # Hurley-Walker et al. 2017, 2017MNRAS.464.1146H: Aegean's columns, with a suffix a band
    CatalogueFormat("GLEAM", ("int_flux_wide", "peak_flux_wide", "a_wide"),
                    {**_sky("raj2000|ra", "dej2000|dec"), "flux": ("int_flux_wide", u.Jy),
                     **_fitted(u.arcsec, "a_wide", "b_wide", "pa_wide"), "psf_maj": ("psf_a_wide", u.arcsec),
                     "psf_min": ("psf_b_wide", u.arcsec), "psf_pa": ("psf_pa_wide", u.deg)},
                    detected=_row("", "", "peak_flux_wide", "local_rms_wide"), errors="err_{}"),
)

#: What `skygal.scoring.read_detections` knows, the ones with the most telling columns first.
FORMATS_TO_SCORE: tuple[CatalogueFormat, ...] = (*_FIRST, *(one for one in FORMATS if one.name != "T-RECS"), *_FURTHER)
