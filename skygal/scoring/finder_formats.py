"""Catalogues of source finders that only scoring reads: none of them says what it is of, as a survey's does.

The formats that are populations too are in `skygal.population.catalogue_formats`.
"""

from __future__ import annotations

from astropy import units as u

from skygal.population.catalogue_formats import FORMATS, CatalogueFormat

__all__ = ["FORMATS_TO_SCORE"]

_BEAM = u.Jy / u.beam


def _fitted(unit: u.UnitBase, major: str, minor: str, pa: str) -> dict:
    return {"fitted_maj": (major, unit), "fitted_min": (minor, unit), "fitted_pa": (pa, u.deg)}


def _sky(ra: str = "ra", dec: str = "dec") -> dict:
    return {"ra": (ra, u.deg), "dec": (dec, u.deg)}


def _peak(peak: str, rms: str | None = None, unit: u.UnitBase = _BEAM) -> dict:
    return {"peak": (peak, unit)} | ({} if rms is None else {"rms": (rms, unit)})


#: the ones with the most telling columns first, and before those of `FORMATS`
_FINDERS: tuple[CatalogueFormat, ...] = (
    CatalogueFormat("skygal truth", ("source_id", "flux_apparent", "peak_flux", "latent_seed"),
                    {**_sky(), "flux": ("flux_apparent", u.Jy), "b_maj": ("b_maj", u.arcsec),
                     "b_min": ("b_min", u.arcsec), "pa": ("pa", u.deg)}, level="source",
                    detected={"id": ("source_id", None), "label": ("fr_class", None), **_peak("peak_flux", "local_rms")}),
    CatalogueFormat("skygal components", ("source_id", "component_id", "flux_fraction"),
                    {**_sky(), "flux": ("flux", u.Jy)},
                    detected={"id": ("component_id", None), "parent": ("source_id", None), **_peak("peak_flux")}),
    CatalogueFormat("Hebog sources", ("source_id", "island_id", "integrated_flux", "deconvolved_major"),
                    {**_sky("right_ascension", "declination"), "flux": ("integrated_flux", u.Jy),
                     **_fitted(u.deg, "fitted_major", "fitted_minor", "fitted_position_angle"),
                     "b_maj": ("deconvolved_major", u.deg), "b_min": ("deconvolved_minor", u.deg),
                     "pa": ("deconvolved_position_angle", u.deg)}, level="source",
                    detected={"id": ("source_id", None), "parent": ("island_id", None),
                              **_peak("peak_flux", "local_rms"), "flux_err": ("integrated_flux_error", u.Jy)}),
    CatalogueFormat("Aegean islands", ("island", "components", "int_flux", "eta", "max_angular_size"),
                    {**_sky(), "flux": ("int_flux", u.Jy)}, level="island",
                    detected={"id": ("island", None), **_peak("peak_flux", "local_rms")}),
    CatalogueFormat("Selavy islands", ("island_id", "n_components", "flux_int", "ra_deg_cont"),
                    {**_sky("ra_deg_cont", "dec_deg_cont"), "flux": ("flux_int", u.mJy),
                     **_fitted(u.arcsec, "maj_axis", "min_axis", "pos_ang")}, level="island",
                    detected={"id": ("island_id", None), **_peak("flux_peak", "background_noise", u.mJy / u.beam)}),
    # half axes
    CatalogueFormat("PySE", ("smaj_asec", "smin_asec", "theta_celes", "flux", "peak"),
                    {**_sky(), "flux": ("flux", u.Jy), **_fitted(u.arcsec, "smaj_asec", "smin_asec", "theta_celes")},
                    widths="half", level="source",
                    detected={**_peak("peak"), "ra_err": ("ra_err", u.deg), "dec_err": ("dec_err", u.deg),
                              "flux_err": ("flux_err", u.Jy), "peak_err": ("peak_err", _BEAM)}),
    CatalogueFormat("CAESAR", ("x_wcs", "y_wcs", "speak", "bmaj_wcs"),
                    {**_sky("x_wcs", "y_wcs"), "flux": ("s", u.Jy),
                     **_fitted(u.arcsec, "bmaj_wcs", "bmin_wcs", "pa_wcs"), "b_maj": ("bmaj_deconv_wcs", u.arcsec),
                     "b_min": ("bmin_deconv_wcs", u.arcsec), "pa": ("pa_deconv_wcs", u.deg)},
                    detected={"id": ("componentid", None), "parent": ("name", None), **_peak("speak")}),
    CatalogueFormat("ProFound", ("segid", "racen", "deccen", "flux"),
                    {**_sky("racen", "deccen"), **_fitted(u.deg, "semimaj", "semimin", "ang")}, widths="sigma",
                    level="source",
                    detected={"id": ("segid", None), "flux_sum": ("flux", _BEAM), "rms": ("skyrms_mean", _BEAM)}),
    # angles of ellipses count from a zero point that the file does not say, so that they are left out
    CatalogueFormat("SoFiA-2", ("f_sum", "f_max", "ell_maj", "rms"), _sky(), level="source", widths="fwhm",
                    detected={"id": ("id", None), "x": ("x", u.one), "y": ("y", u.one), "flux_sum": ("f_sum", _BEAM),
                              **_peak("f_max", "rms"), "confidence": ("rel", u.one)}),
    CatalogueFormat("photutils", ("label", "segment_flux", "semimajor_axis|semimajor_sigma"), _sky(), widths="sigma",
                    level="source",
                    detected={"id": ("label", None), "flux_sum": ("segment_flux", _BEAM), **_peak("max_value"),
                              "x": ("x_centroid", u.one), "y": ("y_centroid", u.one),
                              "pixel_maj": ("semimajor_axis", u.one), "pixel_min": ("semiminor_axis", u.one),
                              "pixel_pa": ("orientation", u.deg)}),
    CatalogueFormat("SExtractor", ("number", "flux_auto", "flux_max"), _sky("alpha_j2000", "delta_j2000"),
                    widths="sigma", level="source",
                    detected={"id": ("number", None), "flux_sum": ("flux_auto", _BEAM), **_peak("flux_max"),
                              "pixel_maj": ("a_image", u.one), "pixel_min": ("b_image", u.one),
                              "pixel_pa": ("theta_image", u.deg)}),
    CatalogueFormat("VLASS of VizieR", ("compname", "ftot", "fpeak", "islrms"),
                    {**_sky("raj2000", "dej2000"), "flux": ("ftot", u.mJy), **_fitted(u.arcsec, "maj", "min", "pa"),
                     "b_maj": ("dcmaj", u.arcsec), "b_min": ("dcmin", u.arcsec), "pa": ("dcpa", u.deg)},
                    keep=("dupflag", lambda flag: flag < 2),
                    detected={"id": ("compname", None), "parent": ("islid", None),
                              **_peak("fpeak", "islrms", u.mJy / u.beam)}),
    CatalogueFormat("TGSS", ("stotal", "speak", "noise", "maj"),
                    {**_sky("raj2000", "dej2000"), "flux": ("stotal", u.mJy), **_fitted(u.arcsec, "maj", "min", "pa")},
                    detected=_peak("speak", "noise", u.mJy / u.beam)),
    CatalogueFormat("SUMSS", ("st", "sp", "majaxis"),
                    {**_sky("raj2000", "dej2000"), "flux": ("st", u.mJy),
                     **_fitted(u.arcsec, "majaxis", "minaxis", "pa")}, detected=_peak("sp", None, u.mJy / u.beam)),
    # sizes without the beam
    CatalogueFormat("NVSS", ("nvss", "s1.4|s1_4", "majaxis"),
                    {**_sky("raj2000", "dej2000"), "flux": ("s1.4", u.mJy), "b_maj": ("majaxis", u.arcsec),
                     "b_min": ("minaxis", u.arcsec), "pa": ("pa", u.deg)}, detected={"id": ("nvss", None)}),
    CatalogueFormat("GLEAM", ("int_flux_wide", "peak_flux_wide", "a_wide"),
                    {**_sky("raj2000", "dej2000"), "flux": ("int_flux_wide", u.Jy),
                     **_fitted(u.arcsec, "a_wide", "b_wide", "pa_wide")},
                    detected=_peak("peak_flux_wide", "local_rms_wide")),
)

#: What `skygal.scoring.read_detections` knows.
FORMATS_TO_SCORE: tuple[CatalogueFormat, ...] = (
    *_FINDERS, *(one for one in FORMATS if one.name not in ("T-RECS",)))
