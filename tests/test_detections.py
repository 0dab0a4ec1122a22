"""Catalogues of source finders are read as what they mean, whatever wrote them; what is wrong or in doubt is named."""

import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.segmentation import SourceCatalog, detect_sources
from radio_beam import Beam

import skygal
from skygal.observation.ellipse import ellipse_covariance
from skygal.scoring import Detections, list_finder_formats, read_detections
from skygal.scoring.finder_formats import CAESAR_COLUMNS, FORMATS_TO_SCORE
from skygal.scoring.shapes import ellipse_on_sky, frame_to_icrs, longer_first
from skygal.wcs import pixel_affine, pixel_to_icrs

FILES = Path(__file__).parent / "catalogues"
BEAM = 6 * u.arcsec
IMAGE = WCS({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 180.0, "CRVAL2": 30.0, "CRPIX1": 256.0,
             "CRPIX2": 256.0, "CDELT1": -1.5 / 3600, "CDELT2": 1.5 / 3600, "NAXIS": 2})
#: pixels in the beam
AREA = np.pi * 36 / (4 * np.log(2)) / 1.5**2
#: 12" x 8" along 60 deg under a round beam of 6"
WIDE = np.sqrt(180)
X, Y = 150.0, 350.0
RA, DEC = (float(one) for one in pixel_to_icrs(IMAGE, X, Y))


def quiet(*args, **kwargs):
    """Return detections, if nothing is told."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_detections(*args, **kwargs)


def plain(row, **changes):
    """Return a table of one row or several, plain numbers without units."""
    return Table({name: np.atleast_1d(value) for name, value in {**row, **changes}.items()})


BDSF = {"Source_id": 3, "Isl_id": 1, "RA": RA, "E_RA": 1e-5, "DEC": DEC, "Total_flux": 0.1, "E_Total_flux": 2e-3,
        "Peak_flux": 0.03, "Maj": WIDE / 3600, "E_Maj": 1e-5, "Min": 10 / 3600, "PA": 60.0, "DC_Maj": 12 / 3600,
        "DC_Min": 8 / 3600, "DC_PA": 60.0, "Isl_rms": 1e-4, "S_Code": "S"}
SURVEY = {**BDSF, "Total_flux": 100.0, "E_Total_flux": 2.0, "Peak_flux": 30.0, "Maj": WIDE, "Min": 10.0, "DC_Maj": 12.0,
          "DC_Min": 8.0, "Isl_rms": 0.1}
PIXELS = {"x": X, "y": Y}
RACS = {name: value for name, value in SURVEY.items() if name not in ("Source_id", "Isl_id")}
#: standard deviations in pixels, and the angle from +x where north is up and east left
SIGMA = (WIDE / 1.5 / 2.354820045, 10 / 1.5 / 2.354820045)
#: one and the same source as each format writes it
SPELLED = {
    "PyBDSF": BDSF,
    "PyBDSF Gaussians": {"Gaus_id": 5, **BDSF},
    "LoTSS": {**SURVEY, "Source_Name": "ILTJ", "Mosaic_ID": "P1"},
    "VLASS": {**SURVEY, "Component_name": "VLASS1QLCIR", "Duplicate_flag": 0, "Subtile": "J1", "Tile": "T1"},
    "RACS-low Gaussians": {**RACS, "Gaussian_ID": "g", "Source_ID": "s", "Total_flux_Gaussian": 100.0,
                           "Total_flux_Source": 900.0, "Noise": 0.1},
    "RACS-low": {**RACS, "Source_ID": "s", "Total_flux_Source": 100.0, "Noise": 0.1},
    "Aegean": {"island": 2, "source": 1, "ra": RA, "err_ra": 1e-5, "dec": DEC, "peak_flux": 0.03, "int_flux": 0.1,
               "err_int_flux": -1.0, "a": WIDE, "err_a": 0.1, "b": 10.0, "pa": 60.0, "psf_a": 6.0, "psf_b": 6.0,
               "psf_pa": 17.0, "local_rms": 1e-4, "flags": 0, "uuid": "f"},
    "Aegean islands": {"island": 2, "components": 1, "ra": RA, "dec": DEC, "peak_flux": 0.03, "int_flux": 0.1,
                       "eta": 0.98, "max_angular_size": 0.004, "local_rms": 1e-4},
    "Selavy": {"island_id": "SB1_island_1", "component_id": "SB1_component_1a", "ra_deg_cont": RA, "ra_err": 0.05,
               "dec_deg_cont": DEC, "flux_peak": 30.0, "flux_int": 100.0, "flux_int_err": 2.0, "maj_axis": WIDE,
               "min_axis": 10.0, "pos_ang": -120.0, "maj_axis_deconv": 12.0, "min_axis_deconv": 8.0,
               "pos_ang_deconv": -120.0, "rms_image": 0.1},
    "Selavy islands": {"island_id": "SB1_island_1", "n_components": 1, "ra_deg_cont": RA, "dec_deg_cont": DEC,
                       "flux_int": 100.0, "flux_peak": 30.0, "maj_axis": WIDE, "min_axis": 10.0, "pos_ang": 60.0,
                       "background_noise": 0.1},
    "Hebog": {"GAUSSIAN_COMPONENT_ID": "g", "SOURCE_ID": "s", "ISLAND_ID": "i", "RIGHT_ASCENSION": RA,
              "DECLINATION": DEC, "PEAK_FLUX": 0.03, "INTEGRATED_FLUX": 0.1, "LOCAL_RMS": 1e-4,
              "FITTED_MAJOR": WIDE / 3600, "FITTED_MINOR": 10 / 3600, "FITTED_POSITION_ANGLE": 60.0,
              "DECONVOLVED_MAJOR": 12 / 3600, "DECONVOLVED_MINOR": 8 / 3600, "DECONVOLVED_POSITION_ANGLE": 60.0},
    "FIRST": {"RA": RA, "DEC": DEC, "FINT": 100.0, "FPEAK": 30.0, "RMS": 0.1, "MAJOR": 12.0, "MINOR": 8.0,
              "POSANG": 60.0, "FITTED_MAJOR": WIDE, "FITTED_MINOR": 10.0, "FITTED_POSANG": 60.0, "SIDEPROB": 0.01},
    "FIRST of VizieR": {"RAJ2000": SkyCoord(RA, DEC, unit="deg").ra.to_string(u.hour, sep=" ", precision=6),
                        "DEJ2000": SkyCoord(RA, DEC, unit="deg").dec.to_string(sep=" ", precision=6, alwayssign=True),
                        "Fint": 100.0, "Fpeak": 30.0, "Rms": 0.1, "Maj": 12.0, "Min": 8.0, "PA": 60.0, "fMaj": WIDE,
                        "fMin": 10.0, "fPA": 60.0},
    # clockwise from west
    "SDC1": {"id": 1, "ra_core": RA, "dec_core": DEC, "ra_cent": RA, "dec_cent": DEC, "flux": 0.1, "core_frac": 0.0,
             "b_maj": 12.0, "b_min": 8.0, "pa": 30.0, "size": 2, "class": 3},
    "PySE": {"ra": RA, "ra_err": 1e-5, "dec": DEC, "flux": 0.1, "flux_err": 2e-3, "peak": 0.03,
             "smaj_asec": WIDE / 2, "smin_asec": 5.0, "theta_celes": 60.0, "sig": 250.0},
    "CAESAR": {"name": "S1", "componentId": 2, "x_wcs": RA, "y_wcs": DEC, "S": 0.1 * AREA, "Speak": 0.03,
               "bmaj_wcs": WIDE, "bmin_wcs": 10.0, "pa_wcs": 60.0, "bmaj_beam": 6.0, "bmin_beam": 6.0, "pa_beam": 0.0,
               "bmaj_deconv_wcs": 0.0, "bmin_deconv_wcs": 0.0, "pa_deconv_wcs": 0.0, "beamArea": AREA},
    "CAESAR islands": {"name": "S1", "x_w_wcs": RA, "y_w_wcs": DEC, "S": 0.1 * AREA, "Smax": 0.03, "beamArea": AREA},
    "ProFound": {"segID": 7, "RAcen": RA, "Deccen": DEC, "flux": 0.1 * AREA, "semimaj": WIDE / 2.354820045 / 3600,
                 "semimin": 10 / 2.354820045 / 3600, "ang": 60.0, "skyRMS_mean": 1e-4},
    "SoFiA-2": {"id": 7, "ra": RA, "dec": DEC, "f_sum": 0.1 * AREA, "f_max": 0.03, "rms": 1e-4, "rel": 0.9,
                "ell_maj": 2 * SIGMA[0], "ell_min": 2 * SIGMA[1], "ell_pa": 60.0},
    "photutils": {"label": 7, "x_centroid": X, "y_centroid": Y, "semimajor_axis": SIGMA[0], "semiminor_axis": SIGMA[1],
                  "orientation": 150.0, "max_value": 0.03, "segment_flux": 0.1 * AREA, "kron_flux": 9.0},
    "SExtractor": {"NUMBER": 7, "X_IMAGE": X + 1, "Y_IMAGE": Y + 1, "FLUX_AUTO": 0.1 * AREA, "FLUX_MAX": 0.03,
                   "A_IMAGE": SIGMA[0], "B_IMAGE": SIGMA[1], "THETA_IMAGE": -30.0},
    "SEP": {**PIXELS, "cflux": 1.0, "cpeak": 1.0, "flux": 0.1 * AREA, "peak": 0.03, "a": SIGMA[0], "b": SIGMA[1],
            "theta": np.radians(-30.0)},
    "VLASS of VizieR": {"RAJ2000": RA, "DEJ2000": DEC, "CompName": "J1", "IslId": 2, "Ftot": 100.0, "e_Ftot": 2.0,
                        "Fpeak": 30.0, "Islrms": 0.1, "Maj": WIDE, "Min": 10.0, "PA": 60.0, "DCMaj": 12.0,
                        "DCMin": 8.0, "DCPA": 60.0, "DupFlag": 0},
    "TGSS": {"RAJ2000": RA, "DEJ2000": DEC, "Stotal": 100.0, "Speak": 30.0, "Maj": WIDE, "Min": 10.0, "PA": 60.0,
             "Noise": 0.1},
    "SUMSS": {"RAJ2000": RA, "DEJ2000": DEC, "St": 100.0, "Sp": 30.0, "MajAxis": WIDE, "MinAxis": 10.0, "PA": 60.0},
    "NVSS": {"NVSS": "120000+300000", "RAJ2000": RA, "DEJ2000": DEC, "S1.4": 100.0, "MajAxis": 12.0, "MinAxis": 8.0,
             "PA": 60.0},
    "GLEAM": {"RAJ2000": RA, "DEJ2000": DEC, "int_flux_wide": 0.1, "peak_flux_wide": 0.03, "a_wide": WIDE,
              "b_wide": 10.0, "pa_wide": 60.0, "local_rms_wide": 1e-4},
    "skygal truth": {"source_id": 4, "parent_id": 4, "ra": RA, "dec": DEC, "flux": 0.2, "flux_apparent": 0.1,
                     "peak_flux": 0.03, "local_rms": 1e-4, "snr": 300.0, "latent_seed": -1, "fr_class": "FRII",
                     "b_maj": 12.0, "b_min": 8.0, "pa": 60.0},
    "skygal components": {"source_id": 4, "component_id": 2, "ra": RA, "dec": DEC, "flux": 0.1, "peak_flux": 0.03,
                          "flux_fraction": 1.0},
}
SPELLED["Hebog sources"] = {name: value for name, value in SPELLED["Hebog"].items() if "COMPONENT" not in name}
GUESSED = ("ProFound", "SoFiA-2", "photutils", "SExtractor", "SEP")
NO_SIZE = ("Aegean islands", "CAESAR islands", "skygal components")


@pytest.mark.parametrize("name", SPELLED)
def test_one_source_in_every_spelling(name):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = read_detections(plain(SPELLED[name]), wcs=IMAGE, beam=BEAM)
    assert found.format == name and len(found) == 1 and not found.dropped
    # only that a sum of pixels without a unit is one of Jy/beam is taken for granted
    assert [("sum of pixels in Jy / beam" in str(one.message)) for one in told] == [True] * (name in GUESSED)
    assert SkyCoord(found.ra, found.dec, unit="deg").separation(SkyCoord(RA, DEC, unit="deg")).arcsec[0] < 1e-3
    assert found.flux[0] == pytest.approx(0.1, rel=1e-4)
    if name in NO_SIZE:
        assert np.isnan(found.b_maj[0])
    else:
        assert (found.b_maj[0], found.b_min[0]) == pytest.approx((WIDE, 10), rel=1e-3)
        assert (found.deconv_maj[0], found.deconv_min[0]) == pytest.approx((12, 8), rel=1e-3)
        assert found.pa[0] == pytest.approx(60, abs=0.1) and found.deconv_pa[0] == pytest.approx(60, abs=0.1)
    if "peak" in found.units:
        assert found.peak[0] == pytest.approx(0.03)
    if "rms" in found.units:
        assert found.rms[0] == pytest.approx(1e-4)
    assert {"ra", "dec", "flux"} <= set(found.units)
    # asked for by name it is the same
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = read_detections(plain(SPELLED[name]), wcs=IMAGE, beam=BEAM, format=name)
    assert again.flux[0] == found.flux[0] and again.ra[0] == found.ra[0] and again.units == found.units


def test_every_format_is_among_them():
    assert {one.name for one in FORMATS_TO_SCORE} == set(SPELLED)
    assert set(SPELLED) < set(list_finder_formats()) and "T-RECS" not in list_finder_formats()


def test_ids_parents_levels_and_errors():
    found = quiet(plain(SPELLED["PyBDSF Gaussians"], E_RA=[1e-5]))
    assert (found.id[0], found.parent[0], found.level) == ("5", 0, "component")
    assert found.errors["ra"][0] == pytest.approx(0.036) and found.errors["flux"][0] == pytest.approx(2e-3)
    assert found.errors["b_maj"][0] == pytest.approx(0.036) and np.isnan(found.errors["dec"][0])
    assert found.confidence[0] == pytest.approx(300) and found.units["confidence"] == "peak over rms"
    assert quiet(plain(BDSF)).level == "source" and quiet(plain(BDSF), level="component").level == "component"
    aegean = quiet(plain(SPELLED["Aegean"]))
    assert aegean.id[0] == "2.1"
    # -1: not fitted
    assert np.isnan(aegean.errors["flux"][0]) and aegean.errors["b_maj"][0] == pytest.approx(0.1)
    assert quiet(plain(SPELLED["Selavy"])).errors["ra"][0] == pytest.approx(0.05)
    # islands of two subtiles may have one number
    vlass = quiet(plain({name: [value] * 3 for name, value in SPELLED["VLASS"].items()}, Subtile=["J1", "J1", "J2"],
                        Component_name=["a", "b", "c"]))
    assert vlass.parent[0] == vlass.parent[1] != vlass.parent[2] and vlass.flux[0] == pytest.approx(0.1)
    # in which unit errors of positions are is not known where the file does not say it
    table = plain(SPELLED["LoTSS"])
    assert np.isnan(quiet(table).errors["ra"][0])
    table["E_RA"].unit = u.arcsec
    assert quiet(table).errors["ra"][0] == pytest.approx(1e-5)
    assert quiet(plain(SPELLED["skygal truth"]), beam=BEAM).label[0] == "FRII"
    assert quiet(plain(SPELLED["SDC1"])).label[0] == "SFG"


@pytest.mark.parametrize(("file", "format", "level"), [
    ("pybdsf_srl.fits", "PyBDSF", "source"), ("pybdsf_srl.csv", "PyBDSF", "source"),
    ("pybdsf_gaul.txt", "PyBDSF Gaussians", "component"), ("hebog.fits", "Hebog sources", "source"),
    ("hebog_gaussians.fits", "Hebog", "component"), ("aegean_comp.csv", "Aegean", "component"),
    ("aegean_comp.tab", "Aegean", "component"), ("aegean_isle.csv", "Aegean islands", "island"),
    ("pybdsf.reg", "DS9 regions", "source")])
def test_finders_files(file, format, level):
    """Gaussians of 0.1 Jy, 12" x 8" along 60 deg, and of 0.08 Jy, under a beam of 6", as the programs wrote them."""
    found = quiet(FILES / file, beam=BEAM)
    assert (found.format, found.level, found.name) == (format, level, file)
    assert set(found.id) == set(np.unique(found.id)) and "" not in found.id
    x, y = IMAGE.world_to_pixel(SkyCoord(found.ra, found.dec, unit="deg"))
    for flux, place in ((0.1, (150, 350)), (0.08, (185, 370))):
        row = int(np.argmin(np.hypot(x - place[0], y - place[1])))
        # an island of Aegean is where its brightest pixel is
        assert np.hypot(x[row] - place[0], y[row] - place[1]) < (1.5 if level == "island" else 0.1)
        if "reg" in file:
            assert np.isnan(found.flux[row])
        else:
            assert found.flux[row] == pytest.approx(flux, rel=0.02)
            # its Gaussian's peak
            assert found.peak[row] == pytest.approx(flux * 36 / (WIDE * 10), rel=0.03)
            assert 8e-5 < found.rms[row] < 1.2e-4
        # Aegean's own shapes are off, and no oracle
        if "aegean" not in file:
            assert found.b_maj[row] == pytest.approx(WIDE, rel=0.03)
            assert found.b_min[row] == pytest.approx(10, rel=0.03)
            assert found.pa[row] == pytest.approx(60, abs=3)
        if "aegean" not in file and "reg" not in file:
            assert found.deconv_maj[row] == pytest.approx(12, rel=0.03)
            assert 1e-3 < found.errors["ra"][row] < 0.1 and 1e-3 < found.errors["b_maj"][row] < 0.1


def test_pyse_has_halves_of_the_fwhm():
    """The first of its rows is of 0.1 Jy, 12" x 8" along 0 deg, under a beam of 6"."""
    found = quiet(FILES / "pyse.csv", beam=BEAM)
    assert found.format == "PySE" and found.flux == pytest.approx(np.full(5, 0.1), rel=0.02)
    assert (found.b_maj[0], found.b_min[0]) == pytest.approx((WIDE, 10), rel=5e-3)
    assert (found.deconv_maj[0], found.deconv_min[0]) == pytest.approx((12, 8), rel=0.01)
    assert found.units["b_maj"] == "smaj_asec (arcsec, half of FWHM)" and found.confidence[0] > 200


def test_the_level_chooses_among_tables_of_a_file():
    sources, gaussians = (quiet(FILES / "hebog.fits", level=level) for level in ("source", "component"))
    assert sources.format == "Hebog sources" and gaussians.format == "Hebog"
    assert len(set(gaussians.parent)) == len(gaussians) and all(gaussians.id != sources.id)
    # padded bytes
    assert all(one == one.strip() and one.isascii() for one in gaussians.id)


def test_32_bit_positions_are_told():
    with pytest.warns(UserWarning, match="ra has 32-bit numbers, in steps of 0.055 arcsec there"):
        found = read_detections(FILES / "aegean_comp.fits")
    other = quiet(FILES / "aegean_comp.csv")
    away = SkyCoord(found.ra, found.dec, unit="deg")[:, None].separation(SkyCoord(other.ra, other.dec, unit="deg"))
    nearest = np.sort(away.arcsec.min(axis=1))[:3]
    assert 1e-4 < nearest.max() < 0.03


# what photutils measures of Gaussians, on a grid that is turned


def gaussians(turn, flip=False):
    """Return an image of Gaussians of 18" x 10", its WCS, places, fluxes and angles."""
    wcs = skygal.make_wcs("12h +30d", 160, 1.5 * u.arcsec)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.pc = [[c, -s], [s, c]]
    if flip:
        wcs.wcs.cdelt = [1.5 / 3600, 1.5 / 3600]
    image, rows = np.zeros((160, 160)), []
    y, x = np.mgrid[:160, :160]
    for k, (x0, y0) in enumerate([(40.3, 40.1), (120.2, 41.7), (41.6, 119.4), (118.9, 120.5)]):
        ra, dec = pixel_to_icrs(wcs, x0, y0)
        pa, affine = 20 + 40.0 * k, pixel_affine(wcs, ra, dec)[0]
        inverse = np.linalg.inv(affine @ ellipse_covariance(np.array(18.0), np.array(10.0), np.radians(pa)) @ affine.T)
        away = np.stack([x - x0, y - y0], -1)
        image += 0.02 * (k + 1) * np.exp(-0.5 * np.einsum("...i,ij,...j", away, inverse, away))
        rows.append((float(ra), float(dec), 0.02 * (k + 1) * 5, pa))
    return image, wcs, np.array(rows)


@pytest.mark.parametrize(("turn", "flip"), [(0, False), (33, False), (-70, True)])
def test_photutils_own_tables(tmp_path, turn, flip):
    image, wcs, rows = gaussians(turn, flip)
    labels = detect_sources(image, 1e-5, 5)
    objects = SourceCatalog(image * u.Jy / u.beam, labels, wcs=wcs)
    table = objects.to_table()
    QTable(table).write(tmp_path / "cat.ecsv")
    bare = SourceCatalog(image * 1e3 * u.mJy / u.beam, labels).to_table()
    old = Table(table)
    for new, before in (("x_centroid", "xcentroid"), ("y_centroid", "ycentroid"), ("semimajor_axis", "semimajor_sigma"),
                        ("semiminor_axis", "semiminor_sigma")):
        old.rename_column(new, before)
    old["orientation"] = (old["orientation"] + 90 * u.deg) % (180 * u.deg) - 90 * u.deg
    old.remove_column("sky_centroid")
    for catalogue in (objects, table, tmp_path / "cat.ecsv", bare, old, labels.data):
        found = quiet(catalogue, wcs=wcs, beam=BEAM, **({"image": image} if catalogue is labels.data else {}))
        assert found.format == ("segmentation map" if catalogue is labels.data else "photutils")
        away = SkyCoord(found.ra, found.dec, unit="deg")[:, None].separation(
            SkyCoord(rows[:, 0], rows[:, 1], unit="deg")[None])
        of = np.argmin(away, axis=1)
        assert away.arcsec.min(axis=1).max() < 0.01 and sorted(of) == [0, 1, 2, 3]
        assert found.flux == pytest.approx(rows[of, 2], rel=2e-3)
        assert found.b_maj == pytest.approx(np.full(4, 18.0), rel=3e-3)
        assert found.b_min == pytest.approx(np.full(4, 10.0), rel=3e-3)
        assert np.abs((found.pa - rows[of, 3] + 90) % 180 - 90).max() < 0.1
        assert found.deconv_maj == pytest.approx(np.full(4, np.sqrt(18**2 - 36)), rel=3e-3)
        assert list(found.id) == ["1", "2", "3", "4"]
    # a sum that its unit says to be none is a flux already
    table["segment_flux"] = np.asarray(table["segment_flux"]) / AREA * u.Jy
    assert quiet(table, wcs=wcs).flux == pytest.approx(rows[of, 2], rel=2e-3)


def test_what_is_in_pixels_needs_the_image():
    table = plain(SPELLED["photutils"])
    with pytest.raises(ValueError, match=r"wcs must be given for positions in pixels \(x_centroid, y_centroid\)"):
        read_detections(table, beam=BEAM)
    with pytest.raises(ValueError, match="wcs and beam must be given for sums of pixels, .* got no beam"):
        read_detections(table, wcs=IMAGE)
    with pytest.raises(ValueError, match="wcs and beam must be given for sums of pixels, .* got no wcs"):
        read_detections(plain(SPELLED["ProFound"]), beam=BEAM)
    # positions and a flux that are not need neither
    found = quiet(Table({"ra": [RA], "dec": [DEC], "S": [0.1], **{name: [SPELLED["photutils"][name]] for name in
                                                               ("label", "segment_flux", "semimajor_axis")}}),
                  format="photutils", columns={"flux": ("S", "Jy")})
    assert found.flux[0] == 0.1 and np.isnan(found.b_maj[0])


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 360), st.floats(0.2, 1), st.floats(1, 20), st.floats(0, 180), st.floats(-70, 70), st.booleans())
def test_ellipses_in_pixels_are_those_on_the_sky(turn, ratio, size, angle, dec, flip):
    """Four points of an ellipse in the image lie as far from its centre, and in those directions, on the sky."""
    scale = 1.5 / 3600
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 80.0, "CRVAL2": dec, "CRPIX1": 50.0,
               "CRPIX2": 50.0, "CDELT1": scale if flip else -scale, "CDELT2": scale, "PC1_1": c, "PC1_2": -s,
               "PC2_1": s, "PC2_2": c})
    x, y = np.array([60.0]), np.array([45.0])
    major, minor, pa = ellipse_on_sky(wcs, x, y, np.array([size]), np.array([ratio * size]), np.array([angle]))
    centre = SkyCoord(*pixel_to_icrs(wcs, x, y), unit="deg")
    for length, away, plus in ((size, major, 0), (ratio * size, minor, 90)):
        end = SkyCoord(*pixel_to_icrs(wcs, x + 0.5 * length * np.cos(np.radians(angle + plus)),
                                      y + 0.5 * length * np.sin(np.radians(angle + plus))), unit="deg")
        assert 2 * centre.separation(end).arcsec[0] == pytest.approx(away[0], rel=1e-3)
        if ratio < 0.95:
            off = (centre.position_angle(end).deg[0] - pa[0] - plus + 90) % 180 - 90
            assert abs(off) < 0.1


def test_galactic_positions_and_angles():
    """Aegean calls them lon and lat on galactic images, and counts angles from galactic north."""
    place = SkyCoord(RA, DEC, unit="deg")
    end = place.directional_offset_by(60 * u.deg, 5 * u.arcsec).galactic
    angle = place.galactic.position_angle(end).deg
    row = {name: value for name, value in SPELLED["Aegean"].items() if name not in ("ra", "dec", "err_ra")}
    found = quiet(plain(row, lon=place.galactic.l.deg, lat=place.galactic.b.deg, pa=angle))
    assert SkyCoord(found.ra, found.dec, unit="deg").separation(place).arcsec[0] < 1e-6
    assert found.pa[0] == pytest.approx(60, abs=1e-3) and found.units["ra"] == "lon (galactic, deg)"


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 360), st.floats(-89, 89), st.sampled_from(["galactic", "fk5", "fk4"]))
def test_north_of_another_frame(lon, lat, frame):
    ra, dec, turn = frame_to_icrs(np.array([lon]), np.array([lat]), frame)
    here = SkyCoord(lon, lat, unit="deg", frame=frame)
    north = here.directional_offset_by(0 * u.deg, 1 * u.arcsec).icrs
    assert here.icrs.separation(SkyCoord(ra, dec, unit="deg"))[0] < 1 * u.uarcsec
    off = SkyCoord(ra, dec, unit="deg").position_angle(north).deg[0] - turn[0]
    assert abs((off + 180) % 360 - 180) < 0.01


def test_the_longer_axis_comes_first():
    major, minor, pa = longer_first(np.array([3.0, 9.0, np.nan]), np.array([5.0, 2.0, 1.0]), np.array([100.0, -10, 0]))
    assert list(major[:2]) == [5, 9] and list(minor[:2]) == [3, 2] and list(pa[:2]) == [10, 170]
    assert np.isnan(major[2])


# traps of files


SELAVY = """\
#        island_id        component_id  ra_deg_cont dec_deg_cont  flux_int flux_peak maj_axis min_axis pos_ang \
maj_axis_deconv min_axis_deconv pos_ang_deconv rms_image flag_c4   comment
#               --                  --        [deg]        [deg]     [mJy] [mJy/beam] [arcsec] [arcsec]   [deg] \
       [arcsec]        [arcsec]          [deg]  [mJy/beam]     --
      SB1_island_1    SB1_component_1a   187.500000   -45.100000   100.000    30.000    13.42    10.00  -60.00 \
          12.00            8.00         -60.00     0.100       0
      SB1_island_1    SB1_component_1b   187.600000   -45.200000     2.234     1.200     9.10     6.00   12.00 \
           6.80            0.00          12.00     0.100       1   two words
"""
SOFIA = """\
# SoFiA catalogue
# Creator:   SoFiA 2.3.0
#
#               1    2          3          4            5        6        7        8
#            name   id         ra        dec        f_sum    f_max      rms      rel
#               -    -        deg        deg      Jy/beam  Jy/beam  Jy/beam        -

   "SoFiA J12 +30"   1  180.01000   30.25000  1.812e+00  3.0e-02  1.0e-04     0.95
   "SoFiA J13 +30"   2  180.02000   30.26000  0.906e+00  1.5e-02  1.0e-04     0.85
"""
SEX = """\
#   1 NUMBER                 Running object number
#   2 X_IMAGE                Object position along x                     [pixel]
#   3 Y_IMAGE                Object position along y                     [pixel]
#   4 FLUX_AUTO              Flux within a Kron-like elliptical aperture [count]
#   5 FLUX_APER              Flux vector within fixed circular aperture  [count]
#   8 FLUX_MAX               Peak flux above background                  [count]
#   9 A_IMAGE                Profile RMS along major axis                [pixel]
#  10 B_IMAGE                Profile RMS along minor axis                [pixel]
#  11 THETA_IMAGE            Position angle (CCW/x)                      [deg]
         1   151.0   351.0  1.8129  1 2 3  0.03   3.798   2.831   -30.0
"""
VIZIER = "#\n#   VizieR\n#Table\tVIII/65\nNVSS\tRAJ2000\tDEJ2000\tS1.4\tl_MajAxis\tMajAxis\tMinAxis\tPA\n" \
         "\tdeg\tdeg\tmJy\t\tarcsec\tarcsec\tdeg\n--------\t-----\t-----\t-----\t-\t---\t---\t---\n" \
         "1200+30\t180.01\t30.25\t 100.0\t \t12.0\t8.0\t60.0\n1201+30\t180.02\t30.26\t   3.5\t<\t45.0\t30.0\t \n"


def write(path, text):
    path.write_text(text)
    return path


def test_selavy_text(tmp_path):
    """Words stand under the ends of their columns' names; the last column is often empty."""
    found = quiet(write(tmp_path / "selavy.txt", SELAVY))
    assert found.format == "Selavy" and list(found.id) == ["SB1_component_1a", "SB1_component_1b"]
    assert found.flux == pytest.approx([0.1, 2.234e-3]) and found.parent[0] == found.parent[1] >= 0
    assert found.b_maj == pytest.approx([13.42, 9.1]) and found.pa == pytest.approx([120, 12])
    assert found.deconv_min[1] == 0 and found.units["flux"] == "flux_int (mJy)"
    # none was found
    empty = quiet(write(tmp_path / "none.txt", "".join(SELAVY.splitlines(keepends=True)[:2])))
    assert len(empty) == 0 and empty.format == "Selavy" and empty.flux.dtype == float


def test_sofia_text_and_votable(tmp_path):
    found = quiet(write(tmp_path / "sofia.txt", SOFIA), wcs=IMAGE, beam=BEAM)
    assert found.format == "SoFiA-2" and found.flux == pytest.approx([0.1, 0.05], rel=1e-3)
    assert list(found.confidence) == [0.95, 0.85] and list(found.id) == ["1", "2"]
    assert "a sum of pixels, over the beam's area" in found.units["flux"]
    table = Table({"id": [1, 2], "ra": found.ra * u.deg, "dec": found.dec * u.deg,
                   "f_sum": [1.812, 0.906] * u.Jy / u.beam, "f_max": [0.03, 0.015] * u.Jy / u.beam,
                   "rms": [1e-4, 1e-4] * u.Jy / u.beam, "rel": [0.95, 0.85]})
    table.write(tmp_path / "sofia.xml", format="votable")
    assert quiet(tmp_path / "sofia.xml", wcs=IMAGE, beam=BEAM).flux == pytest.approx(found.flux)


def test_sextractor_text_and_ldac(tmp_path):
    """What it calls counts are the image's values; its first pixel has the number 1."""
    with pytest.warns(UserWarning, match="FLUX_AUTO, which has no unit, is taken to be a sum of pixels in Jy / beam"):
        found = read_detections(write(tmp_path / "sex.cat", SEX), wcs=IMAGE, beam=BEAM)
    assert found.format == "SExtractor" and found.flux[0] == pytest.approx(0.1, rel=1e-3)
    assert (found.ra[0], found.dec[0]) == pytest.approx((RA, DEC), abs=1e-9)
    assert (found.b_maj[0], found.pa[0]) == pytest.approx((WIDE, 60), rel=1e-3)
    header = fits.BinTableHDU(Table({"Field Header Card": ["SIMPLE  = T" * 8]}), name="LDAC_IMHEAD")
    rows = fits.BinTableHDU(plain(SPELLED["SExtractor"]), name="LDAC_OBJECTS")
    fits.HDUList([fits.PrimaryHDU(), header, rows]).writeto(tmp_path / "sex.ldac")
    with pytest.warns(UserWarning, match="sum of pixels") as told:
        assert read_detections(tmp_path / "sex.ldac", wcs=IMAGE, beam=BEAM).flux[0] == pytest.approx(0.1)
    assert len(told) == 1


def test_vizier_text(tmp_path):
    """Units are below the names, and sizes may be upper limits: such a source has none."""
    found = quiet(write(tmp_path / "nvss.tsv", VIZIER), beam=45 * u.arcsec)
    assert found.format == "NVSS" and found.flux == pytest.approx([0.1, 3.5e-3])
    assert list(found.deconv_maj) == [12, 0] and found.b_maj == pytest.approx([np.hypot(45, 12), 45])


def test_prefixes_and_cases():
    table = plain(SPELLED["Aegean"])
    table.rename_columns(table.colnames, [f"wide_{name}" for name in table.colnames])
    found = quiet(table)
    assert found.format == "Aegean" and found.units["flux"] == "wide_int_flux (Jy)" and found.flux[0] == 0.1
    lower = plain({name.lower(): value for name, value in SPELLED["RACS-low"].items()})
    assert quiet(lower).flux[0] == pytest.approx(0.1)


def test_rows_that_do_not_count_are_counted():
    many = {name: [value] * 6 for name, value in BDSF.items()}
    table = plain(many, Source_id=[0, -1, 2, 3, 4, 5], Total_flux=[0.1, 0.2, np.nan, 0.3, np.inf, -0.1],
                  RA=[1.0, 2.0, 3.0, np.nan, 5.0, -6.0], DEC=[1.0] * 5 + [95.0])
    with pytest.warns(UserWarning, match="rows are left out: 1 islands without a fit, 2 without a position, 2 without"):
        found = read_detections(table)
    assert found.dropped == {"islands without a fit": 1, "without a position": 2, "without a flux": 2}
    assert list(found.row) == [0] and list(found.id) == ["0"]
    table = plain({name: [value] * 3 for name, value in SPELLED["VLASS"].items()}, Duplicate_flag=[0, 2, 1],
                  Component_name=["a", "b", "c"])
    with pytest.warns(UserWarning, match="1 duplicates by duplicate_flag"):
        assert list(read_detections(table).row) == [0, 2]
    masked = Table({"ra": [1.0, 2.0], "dec": [1.0, 2.0], "flux": MaskedColumn([1.0, 2.0], mask=[False, True])})
    with pytest.warns(UserWarning, match="1 without a flux"):
        assert len(read_detections(masked)) == 1


def test_sentinels_are_no_values():
    table = plain({name: [value] * 2 for name, value in SPELLED["Selavy"].items()}, flux_int=[100.0, -99.0],
                  maj_axis=[-99.0, 9.0], rms_image=[-99.0, 0.1], component_id=["a", "b"])
    with pytest.warns(UserWarning, match="1 without a flux"):
        found = read_detections(table)
    assert np.isnan(found.b_maj[0]) and np.isnan(found.rms[0]) and found.flux[0] == pytest.approx(0.1)


def test_ids_that_come_twice_are_kept_and_told():
    table = Table({"id": ["a", "a", "b", "a"], "ra": [1.0, 2, 3, 4], "dec": [0.0] * 4, "flux": [1.0] * 4})
    with pytest.warns(UserWarning, match="2 rows have the id of another, and are kept"):
        assert len(read_detections(table)) == 4


@pytest.mark.parametrize("name", ["PyBDSF", "photutils", "Selavy", "skygal"])
def test_a_catalogue_of_nothing(tmp_path, name):
    row = {"ra": 1.0, "dec": 1.0, "flux": 1.0} if name == "skygal" else SPELLED[name]
    empty = plain(row)[:0]
    found = read_detections(empty, wcs=IMAGE, beam=BEAM, format=name)
    assert len(found) == 0 and found.format == name and not found.dropped
    empty.write(tmp_path / "none.fits")
    Table(empty).write(tmp_path / "none.csv")
    for path in (tmp_path / "none.fits", tmp_path / "none.csv"):
        assert len(read_detections(path, wcs=IMAGE, beam=BEAM, format=name)) == 0
    for kind in ("iuf", "U"):
        assert any(getattr(found, field).dtype.kind in kind for field in ("flux", "id"))


# units


def test_either_unit_is_the_same():
    table = plain(BDSF)
    found = quiet(table)
    for name, unit, factor in (("Total_flux", u.mJy, 1e3), ("Peak_flux", u.uJy / u.beam, 1e6),
                               ("RA", u.rad, np.pi / 180), ("Maj", u.arcsec, 3600), ("DC_Min", u.mas, 3.6e6),
                               ("Isl_rms", u.mJy / u.beam, 1e3)):
        other = plain(BDSF)
        other[name] = other[name] * factor
        other[name].unit = unit
        again = quiet(other)
        for field in ("ra", "dec", "flux", "peak", "rms", "b_maj", "deconv_min"):
            assert getattr(again, field) == pytest.approx(getattr(found, field)), (name, field)
    # the beam is often left out of the unit of a brightness
    other = plain(BDSF)
    other["Peak_flux"].unit = u.Jy
    assert quiet(other).peak[0] == pytest.approx(0.03)


def test_units_as_others_spell_them(tmp_path):
    table = plain(BDSF)
    for name, text in (("Total_flux", "JY"), ("Peak_flux", "JY/BEAM"), ("Maj", "DEG"), ("RA", "Degrees")):
        table[name].unit = u.Unit(text, parse_strict="silent")
    found = quiet(table)
    assert found.flux[0] == 0.1 and found.peak[0] == 0.03 and found.b_maj[0] == pytest.approx(WIDE)
    # the table itself is as it was
    assert str(table["Total_flux"].unit) == "JY"
    table["Total_flux"].unit = u.Unit("furlong", parse_strict="silent")
    with pytest.raises(ValueError, match="Total_flux must be in units convertible to Jy, got furlong"):
        read_detections(table)


def test_ascii_votable_of_casda(tmp_path):
    """Selavy's UCDs of deconvolved sizes are none of the IVOA's."""
    table = plain(SPELLED["Selavy"])
    for name, ucd in (("maj_axis_deconv", "phys.angSize.smajAxis;em.radio;askap:meta.deconvolved"),
                      ("flux_int", "phot.flux.density;em.radio;stat.fit")):
        table[name].info.meta = {"ucd": ucd}
    table["flux_int"].unit = u.mJy
    table.write(tmp_path / "selavy.xml", format="votable")
    assert b"askap:meta.deconvolved" in (tmp_path / "selavy.xml").read_bytes()
    assert quiet(tmp_path / "selavy.xml").flux[0] == pytest.approx(0.1)


def test_units_in_doubt_are_refused_with_the_option_that_settles_it():
    arcsec = plain(BDSF, Maj=WIDE, Min=10.0, DC_Maj=12.0, DC_Min=8.0)
    with pytest.raises(ValueError, match=r"Maj in deg, as PyBDSF has it, got a median of 13.4 without a unit.*"
                                         r"columns=\{'fitted_maj': \('Maj', 'arcsec'\)\}"):
        read_detections(arcsec)
    columns = {**{name: (column, "arcsec") for name, column in (
        ("fitted_maj", "Maj"), ("fitted_min", "Min"), ("b_maj", "DC_Maj"), ("b_min", "DC_Min"))}}
    assert quiet(arcsec, format="PyBDSF", columns=columns).b_maj[0] == pytest.approx(WIDE)
    with pytest.raises(ValueError, match=r"Total_flux in Jy, .* got a median of 500 without a unit.*"
                                         r"columns=\{'flux': \('Total_flux', 'mJy'\)\}"):
        read_detections(plain(BDSF, Total_flux=500.0))
    assert quiet(plain(BDSF, Total_flux=500.0), format="PyBDSF",
                 columns={"flux": ("Total_flux", "mJy")}).flux[0] == pytest.approx(0.5)
    # what the user says counts
    assert quiet(plain(BDSF, Total_flux=500.0), format="PyBDSF",
                 columns={"flux": ("Total_flux", "Jy"), "fitted_maj": ("Maj", "deg")}).flux[0] == 500
    wide = plain(BDSF, Maj=0.5, Min=0.3)
    assert quiet(wide, format="PyBDSF", columns={"fitted_maj": ("Maj", "deg")}).b_maj[0] == 1800
    mine = Table({"ra": [1.0], "dec": [2.0], "flux": [1.0], "fitted_maj": [0.002], "fitted_min": [0.001]})
    with pytest.raises(ValueError, match=r"fitted_maj in arcsec, .* columns=\{'fitted_maj': \('fitted_maj', 'deg'\)"):
        read_detections(mine)
    with pytest.raises(ValueError, match="Stotal in mJy, .* got a median of 5e-05 without a unit"):
        read_detections(plain(SPELLED["TGSS"], Stotal=5e-5))


def test_caesars_fluxes_may_be_no_sums():
    """A Gaussian's flux over its peak is its area, in beams, or in pixels if it is a sum of them."""
    row = {name: [value] * 5 for name, value in SPELLED["CAESAR"].items()}
    fluxes = plain(row, S=[0.1] * 5, componentId=range(5))
    with pytest.warns(UserWarning, match="fluxes are taken to be in Jy, and no sums of pixels"):
        found = read_detections(fluxes)
    assert found.flux == pytest.approx(np.full(5, 0.1)) and found.units["flux"] == "S (Jy)"
    assert quiet(fluxes, format="CAESAR", columns={"flux": ("S", "mJy")}).flux == pytest.approx(np.full(5, 1e-4))
    sums = quiet(plain(row, componentId=range(5)))
    assert sums.units["flux"] == "S (Jy / beam), a sum of pixels, over beamarea"


def test_caesar_text(tmp_path):
    """Rows have tabs, and no line says their names."""
    for name, columns in zip(("CAESAR", "CAESAR islands"), CAESAR_COLUMNS, strict=True):
        one = {"npix": 50, "iauName": "J1200+3000", "nu": -999, "nComponents": 1, **SPELLED[name]}
        rows = ["\t".join(str(one.get(column, 0.5)) for column in columns),
                "\t".join(str({**one, "name": "S2"}.get(column, 0.5)) for column in columns)]
        text = "#\n# ---- HEADER ----\n# name - Island source name\n# Npix - Number of pixels\n#\n" + "\n".join(rows)
        found = quiet(write(tmp_path / "catalog.dat", text + "\n"))
        assert found.format == name and found.flux == pytest.approx([0.1, 0.1]) and found.ra == pytest.approx([RA, RA])
        assert list(found.id) == (["S1.2", "S2.2"] if name == "CAESAR" else ["S1", "S2"])


def test_halves_and_standard_deviations_by_a_map():
    for unit, part in (("2 arcsec", 2), ("2.354820045 arcsec", 2.354820045)):
        table = Table({"ra": [10.5], "dec": [-30.25], "S": [0.1], "a": [WIDE / part], "b": [10 / part], "t": [60.0]})
        columns = {"flux": "S", "fitted_maj": ("a", unit), "fitted_min": ("b", unit), "fitted_pa": "t"}
        assert quiet(table, columns=columns).b_maj[0] == pytest.approx(WIDE)
        # the factor holds whatever unit the table has
        table["a"].unit = table["b"].unit = u.arcsec
        found = quiet(table, columns=columns, beam=Beam(6 * u.arcsec))
        assert (found.b_min[0], found.deconv_maj[0], found.deconv_pa[0]) == pytest.approx((10, 12, 60))


def test_any_table_by_a_map():
    table = Table({"alpha": [10.0, 10.1], "delta": [-30.0, -30.1], "S": [3.0, 4.0], "host": ["a", "a"],
                   "kind": ["FRI", "FRII"], "p": [0.5, 0.9], "dS": [0.1, 0.0]})
    columns = {"ra": "alpha", "dec": "delta", "flux": ("S", "mJy"), "parent": "host", "label": "kind",
               "confidence": "p", "flux_err": ("dS", "mJy")}
    found = quiet(table, columns=columns, level="island", name="mine")
    assert (found.format, found.level, found.name) == ("skygal", "island", "mine")
    assert found.flux == pytest.approx([3e-3, 4e-3]) and list(found.label) == ["FRI", "FRII"]
    assert found.parent[0] == found.parent[1] >= 0 and list(found.confidence) == [0.5, 0.9]
    assert found.errors["flux"][0] == pytest.approx(1e-4) and np.isnan(found.errors["flux"][1])
    assert found.units["flux"] == "S (mJy)"
    # without a parent there is none
    assert list(quiet(table["alpha", "delta", "S"], columns={k: columns[k] for k in ("ra", "dec", "flux")}).parent) == [
        -1, -1]
    for same in (dict(table), table.as_array(), found):
        assert len(quiet(same, columns=columns)) == 2


def test_turns_of_right_ascension_and_swapped_axes():
    rows = {"ra": [-1.0, 361.0, 359.0], "dec": [0.0] * 3, "flux": [1.0] * 3, "fitted_maj": [5.0] * 3,
            "fitted_min": [9.0] * 3, "fitted_pa": [-10.0] * 3}
    found = quiet(Table(rows))
    assert list(found.ra) == [359, 1, 359] and list(found.b_maj) == [9] * 3 and list(found.pa) == [80] * 3


# all that is wrong is named at once


def test_all_problems_are_named_at_once():
    table = plain({"RA_deg": 1.0, "Decl": 2.0, "S_peak": 3.0, "size": 1.0})
    with pytest.raises(ValueError, match=r"positions, ra \(ICRS\), in a column ra and positions, dec .* and "
                                         r"integrated fluxes in a column flux.*'S_peak', 'RA_deg', 'Decl'"):
        read_detections(table)
    with pytest.raises(ValueError, match=r"(?s)columns\['ra'\] must be a column of the catalogue, got 'RA_dg' \(did "
                                         r"you mean 'RA_deg'\?\).*columns\['flux'\] must be in units convertible to"):
        read_detections(table, columns={"ra": "RA_dg", "dec": "Decl", "flux": ("S_peak", "arcsec")})
    with pytest.raises(ValueError, match=r"columns \(quantity\) must be one of .* got 'fluxx' \(did you mean 'flux'"):
        read_detections(table, columns={"fluxx": "S_peak"})
    wrong = plain(BDSF)
    wrong["Total_flux"].unit, wrong["Maj"].unit, wrong["DEC"].unit = u.mag, u.Jy, u.s
    with pytest.raises(ValueError) as error:
        read_detections(wrong)
    for column in ("Total_flux", "Maj", "DEC"):
        assert f"table column {column} must be in units convertible" in str(error.value)
    two = Table({"ra": [1.0], "RA": [1.0], "dec": [1.0], "flux": [1.0], "FLUX": [1.0]})
    with pytest.raises(ValueError, match="one column ra, .* got 'ra', 'RA'.*one column flux, .* got 'flux', 'FLUX'"):
        read_detections(two)


def test_arguments(tmp_path):
    table = plain(BDSF)
    with pytest.raises(ValueError, match="format must be one of .*got 'PyBDFS'.*did you mean 'PyBDSF'"):
        read_detections(table, format="PyBDFS")
    with pytest.raises(ValueError, match="must have the columns of FIRST, missing fint, major, minor, posang"):
        read_detections(table, format="FIRST")
    with pytest.raises(ValueError, match="level must be one of 'component', 'source', 'island', got 'row'"):
        read_detections(table, level="row")
    with pytest.raises(ValueError, match="format must be one of tables, or left out, got 'COCO'"):
        read_detections(table, format="COCO")
    with pytest.raises(TypeError, match="catalogue must be an astropy Table or a path, got int"):
        read_detections(3)
    with pytest.raises(FileNotFoundError, match="catalogue must be an existing file, got 'nowhere.fits'"):
        read_detections("nowhere.fits")
    with pytest.raises(FileNotFoundError, match="a folder with truth.fits or truth.ecsv"):
        read_detections(tmp_path)
    with pytest.raises(TypeError, match="wcs must be an astropy.wcs.WCS or a FITS header"):
        read_detections(table, wcs="north")
    with pytest.raises(TypeError, match="beam must be a Quantity"):
        read_detections(table, beam=6.0)
    assert isinstance(quiet(table, wcs=IMAGE.to_header()), Detections)


@pytest.mark.parametrize("damage", [b"", b"SIMPLE  = nothing", b"\x00\x01\x02", b"a b c\n1 2\n", b"{\"a\": "])
def test_damaged_files_are_refused(tmp_path, damage):
    for ending in ("fits", "csv", "txt", "vot", "json", "reg"):
        path = tmp_path / f"bad.{ending}"
        path.write_bytes(damage)
        if ending == "reg" and damage == b"":
            assert len(read_detections(path, wcs=IMAGE)) == 0
            continue
        with pytest.raises(ValueError, match="catalogue"):
            read_detections(path, wcs=IMAGE)
    (tmp_path / "cut.fits").write_bytes((FILES / "pybdsf_srl.fits").read_bytes()[:15000])
    with pytest.raises(ValueError, match="truncated"):
        read_detections(tmp_path / "cut.fits")


def test_packed_fits(tmp_path):
    (tmp_path / "srl.fits.gz").write_bytes(gzip.compress((FILES / "pybdsf_srl.fits").read_bytes()))
    assert len(quiet(tmp_path / "srl.fits.gz")) == 4


# our own: truth, and what is exported of it


@pytest.fixture(scope="module")
def field():
    wcs = skygal.make_wcs("12h +30d", 160, 1.5 * u.arcsec)
    faint = QTable({"ra": pixel_to_icrs(wcs, [40.0, 110.0, 60.0], [50.0, 45.0, 120.0])[0] * u.deg,
                    "dec": pixel_to_icrs(wcs, [40.0, 110.0, 60.0], [50.0, 45.0, 120.0])[1] * u.deg,
                    "flux": [50.0, 30.0, 20.0] * u.mJy, "kind": ["gaussian", "exponential", "gaussian"],
                    "b_maj": [18.0, 5.0, 12.0] * u.arcsec, "b_min": [9.0, 3.0, 12.0] * u.arcsec,
                    "pa": [20.0, 110.0, 0.0] * u.deg})
    return skygal.simulate_field(wcs, 0, faint=faint, beam=BEAM, noise=20 * u.uJy, seed=1)


@pytest.fixture(scope="module")
def folder(field, tmp_path_factory):
    path = tmp_path_factory.mktemp("truth") / "field"
    field.write(path)
    for name in ("regions.reg", "regions.crtf", "boxes.json", "truth.vot", "sdc1.txt"):
        field.export(path.parent / name, format={"boxes.json": "coco", "sdc1.txt": "sdc1"}.get(name))
    return path


def test_truth_is_a_catalogue(field, folder):
    truth = field.truth
    for catalogue in (folder, folder / "truth.fits", truth, folder.parent / "truth.vot"):
        found = quiet(catalogue, beam=BEAM)
        assert found.format == "skygal truth" and found.level == "source"
        assert found.flux == pytest.approx(truth["flux_apparent"].value)
        assert found.ra == pytest.approx(truth["ra"].value)
        assert found.peak == pytest.approx(truth["peak_flux"].value)
        assert list(found.id) == [str(one) for one in truth["source_id"]]
        assert found.deconv_maj == pytest.approx(truth["b_maj"].value)
        assert found.b_maj[0] == pytest.approx(np.hypot(18, 6), rel=0.01)
    parts = quiet(folder, level="component")
    assert parts.format == "skygal components" and len(parts) == len(field.components)
    assert parts.flux == pytest.approx(field.components["flux"].value)
    assert len(set(parts.id)) == len(parts) and "." in parts.id[0]
    # parts of one source have one parent
    assert [parts.parent[0] == one for one in parts.parent] == [
        one == field.components["source_id"][0] for one in field.components["source_id"]]


def test_exports_are_catalogues(field, folder):
    truth, at = field.truth, folder.parent
    where = SkyCoord(truth["ra"], truth["dec"])
    for name, format in (("regions.reg", "DS9 regions"), ("regions.crtf", "CRTF regions"), ("boxes.json", "COCO"),
                         ("sdc1.txt", "SDC1")):
        found = quiet(at / name, wcs=field.wcs, beam=BEAM)
        assert found.format == format and len(found) == len(truth)
        order = [list(found.id).index(str(one)) for one in truth["source_id"]]
        away = SkyCoord(found.ra, found.dec, unit="deg")[order].separation(where).arcsec
        assert away.max() < (1.5 if name == "boxes.json" else 1e-3)
        assert np.all(np.isnan(found.flux)) == (name != "sdc1.txt")
        if name == "sdc1.txt":
            # a disc has the FWHM of its second moments
            assert found.deconv_maj[order] == pytest.approx(truth["b_maj"].value, rel=1e-3)
            assert found.flux[order] == pytest.approx(truth["flux"].value, rel=1e-4)
        if "regions" in name:
            off = np.radians(found.pa[order][:2] - truth["pa"].value[:2])
            assert np.cos(2 * off) == pytest.approx([1, 1], abs=1e-4)
            # they are ellipses of the LAS, convolved with the beam
            assert found.b_maj[order] == pytest.approx(np.hypot(truth["las"].value, 6), rel=1e-3)


# regions


DS9 = """# Region file format: DS9 version 4.1
global color=green
fk5
circle(12:00:04.000,+30:00:36.00,9") # text={a} tag={FRI}
ellipse(180.0,30.0,0.1',4.5",150) # text={b;c}
-circle(180.0,30.0,9")
annulus(180.0,30.0,9",12")
box(180.0,30.0,20",10",30) # text={d}
polygon(180.0,30.0,180.0,30.01,179.99,30.01,179.99,30.0)
image; point(151,351) # point=cross
physical;ellipse(151,351,6,4,150)
galactic
point(184.3,76.2)
"""


def test_ds9(tmp_path):
    path = write(tmp_path / "some.reg", DS9)
    with pytest.warns(UserWarning, match="1 excluded regions, 1 of the shape annulus"):
        found = read_detections(path, wcs=IMAGE)
    assert len(found) == 7 and list(found.row) == [0, 1, 4, 5, 6, 7, 8] and np.isnan(found.flux).all()
    assert list(found.id[:3]) == ["a", "b;c", "d"] and found.label[0] == "FRI"
    assert (found.ra[0], found.dec[0]) == pytest.approx((180 + 1 / 60, 30.01), abs=1e-5)
    assert (found.b_maj[1], found.b_min[1]) == pytest.approx((12, 9))
    # counted from the axis of right ascension
    assert found.pa[1] == pytest.approx(60, abs=1e-3)
    assert (found.ra[3], found.dec[3]) == pytest.approx((179.995, 30.005), abs=1e-4)
    # in pixels the first has the number 1
    assert (found.ra[4], found.dec[4]) == pytest.approx((RA, DEC), abs=1e-9)
    assert (found.b_maj[5], found.b_min[5], found.pa[5]) == pytest.approx((18, 12, 60), rel=1e-3)
    place = SkyCoord(184.3, 76.2, unit="deg", frame="galactic").icrs
    assert (found.ra[6], found.dec[6]) == pytest.approx((place.ra.deg, place.dec.deg))
    with pytest.raises(ValueError, match="wcs must be given where regions are in pixels"):
        read_detections(path)


CRTF = """#CRTFv0
global coord=ICRS, color=red
ellipse [[180.0deg, 30.0deg], [6arcsec, 4.5arcsec], 60deg], label='a b'
ellipse [[12:00:00.0, 30.00.00.0], [4.5arcsec, 6arcsec], 150deg], label="c"
circle [[12h00m00s, 30d00m00s], 9arcsec]
symbol [[180.0deg, 30.0deg], +]
centerbox [[150pix, 350pix], [10pix, 6pix]]
poly [[180.0deg, 30.0deg], [180.0deg, 30.01deg], [179.99deg, 30.01deg], [179.99deg, 30.0deg]]
-circle [[180.0deg, 30.0deg], 9arcsec]
ann symbol [[180.0deg, 30.0deg], +]
circle [[184.3deg, 76.2deg], 9arcsec], coord=GALACTIC
"""


def test_crtf(tmp_path):
    with pytest.warns(UserWarning, match="1 excluded regions, 1 annotations"):
        found = read_detections(write(tmp_path / "some.crtf", CRTF), wcs=IMAGE)
    assert len(found) == 7 and list(found.id[:2]) == ["a b", "c"]
    assert found.b_maj[:3] == pytest.approx([12, 12, 18]) and found.pa[:2] == pytest.approx([60, 60])
    assert found.ra[:4] == pytest.approx([180] * 4) and found.dec[:4] == pytest.approx([30] * 4)
    assert (found.ra[4], found.dec[4]) == pytest.approx((RA, DEC), abs=1e-9) and np.isnan(found.b_maj[4])
    assert found.dec[6] == pytest.approx(SkyCoord(184.3, 76.2, unit="deg", frame="galactic").icrs.dec.deg)


@pytest.mark.parametrize(("line", "message"), [
    ("circle(1,2", "line 2 cannot be read"), ("fk5\nellipse(1,2,3)", "line 3 cannot be read: ellipse must have"),
    ("ecliptic", "it must be a frame"), ("fk5\ncircle(north,2,3)", "a place must be in degrees"),
    ("fk5\ncircle(1,2,3q)", "a radius must be a number with a unit"),
    ("fk5\npolygon(1,2,3,4)", "three corners or more"),
    ("fk5\npoint(1p,2p)", "places must be in pixels, or on the sky")])
def test_regions_that_cannot_be_read(tmp_path, line, message):
    path = write(tmp_path / "bad.reg", f"# Region file format: DS9\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_detections(path, wcs=IMAGE)


# boxes and masks


def test_coco_results(tmp_path):
    results = [{"image_id": 1, "category_id": 2, "bbox": [100, 50, 20, 10], "score": 0.9},
               {"image_id": 1, "category_id": 1, "bbox": [10.5, 20, 4, 6], "score": 0.4},
               {"image_id": 1, "category_id": 1, "bbox": [10.5, 20, -4, 6], "score": 0.4},
               {"image_id": 1, "category_id": 1, "score": 0.4}]
    path = write(tmp_path / "found.json", json.dumps(results))
    with pytest.warns(UserWarning, match="rows of boxes are taken to be counted as in the FITS array.*2 without a box"):
        found = read_detections(path, wcs=IMAGE)
    # pixels 100 to 119 and 50 to 59
    assert (found.ra[0], found.dec[0]) == pytest.approx([float(one) for one in pixel_to_icrs(IMAGE, 109.5, 54.5)])
    assert list(found.confidence) == [0.9, 0.4] and list(found.label) == ["2", "1"]
    assert found.dropped == {"without a box": 2}
    path = write(tmp_path / "found.json", json.dumps(results[:1]))
    down = quiet(path, wcs=IMAGE, shape=(512, 512), format="COCO of pictures")
    assert (down.ra[0], down.dec[0]) == pytest.approx([float(one) for one in pixel_to_icrs(IMAGE, 109.5, 511 - 54.5)])
    with pytest.raises(ValueError, match="shape must be given for rows that are counted downward"):
        read_detections(path, wcs=IMAGE, format="COCO of pictures")
    with pytest.raises(ValueError, match="wcs must be given for the boxes"):
        read_detections(path)
    several = write(tmp_path / "several.json", json.dumps([*results[:1], {**results[1], "image_id": 2}]))
    with pytest.raises(ValueError, match="detections of one image, got 2 image_id"):
        read_detections(several, wcs=IMAGE)
    with pytest.raises(ValueError, match="format of coco in a file must be one of 'COCO', 'COCO of pictures'"):
        read_detections(path, wcs=IMAGE, format="PyBDSF")


def test_coco_of_pictures_says_so_itself(tmp_path, field):
    field.export(tmp_path / "tiles", format="coco_tiles", tile=160)
    found = quiet(tmp_path / "tiles" / "annotations.json", wcs=field.wcs, shape=(160, 160))
    assert found.format == "COCO of pictures"
    where = SkyCoord(field.truth["ra"], field.truth["dec"])
    away = SkyCoord(found.ra, found.dec, unit="deg")[:, None].separation(where)
    assert away.arcsec.min(axis=1).max() < 2
    assert set(found.label) <= {"SFG", "FR0", "FRI", "FRII", "other", "source", "gaussian", "exponential", "none"}


def test_maps_of_labels(tmp_path, field):
    labels = np.zeros((160, 160), np.int32)
    labels[30:33, 40:45] = 7
    labels[100, 20] = 2**24 + 1
    labels[5, 5] = -1
    image = np.zeros((160, 160))
    image[31, 42], image[31, 43], image[30, 40] = 0.3, 0.1, np.nan
    fits.PrimaryHDU(labels, field.wcs.to_header()).writeto(tmp_path / "labels.fits")
    for catalogue in (labels, tmp_path / "labels.fits"):
        bare = quiet(catalogue, wcs=field.wcs)
        assert list(bare.id) == ["7", str(2**24 + 1)] and bare.format == "segmentation map"
        assert np.isnan(bare.flux).all()
        assert (bare.ra[0], bare.dec[0]) == pytest.approx([float(one) for one in pixel_to_icrs(field.wcs, 42, 31)])
        found = quiet(catalogue, image=image, wcs=field.wcs, beam=BEAM)
        assert found.flux == pytest.approx([0.4 / AREA, 0], rel=1e-4) and found.peak[0] == 0.3
        assert found.ra[0] == pytest.approx(float(pixel_to_icrs(field.wcs, 42.25, 31)[0]))
    assert len(quiet(tmp_path / "labels.fits")) == 2
    with pytest.raises(ValueError, match="wcs must be given for a map of labels"):
        read_detections(labels)
    with pytest.raises(ValueError, match="image must have the shape of the map of labels"):
        read_detections(labels, image=image[:5], wcs=field.wcs, beam=BEAM)
    with pytest.raises(ValueError, match="labels must be whole numbers"):
        read_detections(labels + 0.5, wcs=field.wcs)
    assert len(quiet(np.zeros((9, 9), int), wcs=field.wcs)) == 0
    blank = np.where(labels > 0, labels, np.nan)
    assert list(quiet(blank, wcs=field.wcs).id) == list(found.id)
    found = quiet(np.asarray(field.segmentation), image=np.asarray(field.model), wcs=field.wcs, beam=BEAM)
    assert found.flux == pytest.approx(field.truth["flux_in_image"].value, rel=0.2)


def test_columns_in_any_order_and_rows_in_any_order():
    rng = np.random.default_rng(2)
    table = Table({name: np.repeat(value, 50) for name, value in BDSF.items()})
    table["RA"], table["Source_id"] = rng.uniform(0, 360, 50), np.arange(50)
    table["Total_flux"] = rng.uniform(0.1, 1, 50)
    order = rng.permutation(50)
    found, other = quiet(table), quiet(table[table.colnames[::-1]][order])
    for name in ("ra", "flux", "b_maj", "pa", "id"):
        assert np.array_equal(getattr(other, name), getattr(found, name)[order])


@pytest.mark.slow
def test_a_million_rows(tmp_path):
    import time

    n, rng = 10**6, np.random.default_rng(3)
    table = Table({name: np.repeat(np.array([value]), n) for name, value in BDSF.items()})
    table["RA"], table["Source_id"], table["Isl_id"] = rng.uniform(0, 360, n), np.arange(n), np.arange(n) // 2
    table.write(tmp_path / "big.fits")
    start = time.process_time()
    found = read_detections(tmp_path / "big.fits")
    assert len(found) == n and len(np.unique(found.parent)) == n // 2
    assert time.process_time() - start < 15
