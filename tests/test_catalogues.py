"""Given catalogues become populations: each format in its own units, angles and sizes; what is wrong is refused."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table, vstack
from astropy.wcs import WCS
from radio_beam import Beam

import skygal
from skygal.cli.main import main
from skygal.observation.surveys import read_survey
from skygal.population import check_faint, frii_fraction, list_catalogues, read_catalogue, split_by_beam
from skygal.population.catalogue_formats import FORMATS
from skygal.population.catalogue_rows import subtract_beam
from skygal.population.trecs import flux_columns
from skygal.truth.exports.sdc1 import sdc1_columns

FILES = Path(__file__).parent / "catalogues"
ROW = {"ra": 10.5, "dec": -30.25, "flux": 3e-3, "b_maj": 12.0, "b_min": 8.0, "pa": 60.0}


def plain(table, **changes):
    """Return a table of one row or several, plain numbers without units."""
    return Table({name: np.atleast_1d(value) for name, value in {**table, **changes}.items()})


PYBDSF = {"Source_id": 0, "Isl_id": 0, "RA": 10.5, "DEC": -30.25, "Total_flux": 3e-3, "Peak_flux": 2e-3,
          "Maj": 13.4 / 3600, "Min": 10 / 3600, "PA": 62.0, "DC_Maj": 12 / 3600, "DC_Min": 8 / 3600, "DC_PA": 60.0,
          "Isl_rms": 1e-4, "S_Code": "S"}
ARCSEC = {**PYBDSF, "Maj": 13.4, "Min": 10.0, "DC_Maj": 12.0, "DC_Min": 8.0, "Total_flux": 3.0, "Peak_flux": 2.0}
#: one and the same source as each format writes it: mJy or Jy, degrees or arcsec, FWHM, angles east of north
SPELLED = {
    "PyBDSF": PYBDSF,
    "PyBDSF Gaussians": {"Gaus_id": 0, **PYBDSF},
    "LoTSS": {**ARCSEC, "Source_Name": "ILTJ", "Mosaic_ID": "P1"},
    "VLASS": {**ARCSEC, "Component_name": "VLASS1QLCIR", "Duplicate_flag": 0, "Quality_flag": 0},
    "RACS-low Gaussians": {"Gaussian_ID": "g", "Source_ID": "s", "RA": 10.5, "Dec": -30.25, "Total_flux_Gaussian": 3.0,
                           "Total_flux_Source": 9.0, "Maj": 25.0, "Min": 25.0, "PA": 0.0, "DC_Maj": 12.0,
                           "DC_Min": 8.0, "DC_PA": 60.0, "S_Code": "M", "Noise": 0.2},
    "RACS-low": {"Source_ID": "s", "RA": 10.5, "Dec": -30.25, "Total_flux_Source": 3.0, "Maj": 25.0, "Min": 25.0,
                 "PA": 0.0, "DC_Maj": 12.0, "DC_Min": 8.0, "DC_PA": 60.0, "S_Code": "S", "Noise": 0.2},
    # 12" x 8" with a round beam of 6" has axes of sqrt(144 + 36) and 10
    "Aegean": {"island": 1, "source": 0, "ra": 10.5, "dec": -30.25, "peak_flux": 2e-3, "int_flux": 3e-3,
               "a": np.sqrt(180), "b": 10.0, "pa": 60.0, "err_a": -1.0, "psf_a": 6.0, "psf_b": 6.0, "psf_pa": 17.0,
               "flags": 0},
    "Selavy": {"component_id": "SB1_component_1a", "ra_deg_cont": 10.5, "dec_deg_cont": -30.25, "flux_peak": 2.0,
               "flux_int": 3.0, "maj_axis": 13.4, "min_axis": 10.0, "pos_ang": -118.0, "maj_axis_deconv": 12.0,
               "min_axis_deconv": 8.0, "pos_ang_deconv": -120.0, "rms_image": 0.1},
    "Hebog": {"GAUSSIAN_COMPONENT_ID": "g", "RIGHT_ASCENSION": 10.5, "DECLINATION": -30.25, "INTEGRATED_FLUX": 3e-3,
              "FITTED_MAJOR": 13.4 / 3600, "FITTED_MINOR": 10 / 3600, "FITTED_POSITION_ANGLE": 62.0,
              "DECONVOLVED_MAJOR": 12 / 3600, "DECONVOLVED_MINOR": 8 / 3600, "DECONVOLVED_POSITION_ANGLE": 60.0},
    "FIRST": {"RA": 10.5, "DEC": -30.25, "FINT": 3.0, "FPEAK": 2.0, "RMS": 0.14, "MAJOR": 12.0, "MINOR": 8.0,
              "POSANG": 60.0, "FITTED_MAJOR": 13.0, "FITTED_MINOR": 10.0, "FITTED_POSANG": 62.0, "SIDEPROB": 0.01},
    "FIRST of VizieR": {"RAJ2000": "00 42 00.000", "DEJ2000": "-30 15 00.00", "Fint": 3.0, "Fpeak": 2.0, "Rms": 0.14,
                        "Maj": 12.0, "Min": 8.0, "PA": 60.0, "fMaj": 13.0, "fMin": 10.0, "fPA": 62.0, "p(S)": 0.01},
    # clockwise from west
    "SDC1": {"id": 1, "ra_core": 10.0, "dec_core": -30.0, "ra_cent": 10.5, "dec_cent": -30.25, "flux": 3e-3,
             "core_frac": 0.0, "b_maj": 12.0, "b_min": 8.0, "pa": 30.0, "size": 2, "class": 1},
}


@pytest.mark.parametrize("name", SPELLED)
def test_one_source_in_every_spelling(name):
    with pytest.warns(UserWarning, match=f"catalogue is read as {name}: ra = .* \\((mJy|Jy)\\)") as told:
        found = read_catalogue(plain(SPELLED[name]))
    assert len(told) == 1 and "not used" not in str(told[0].message)
    for column, value in ROW.items():
        assert found[column][0].value == pytest.approx(value, rel=1e-9), column
    assert found["kind"][0] == "gaussian"
    # asked for by name nothing needs to be told
    again = read_catalogue(plain(SPELLED[name]), format=name)
    assert all(np.all((again[column] == found[column]) | (column == "redshift")) for column in found.colnames)


def test_every_format_is_among_them():
    assert {one.name for one in FORMATS} == set(SPELLED) | {"T-RECS"}
    assert list_catalogues() == [*(one.name for one in FORMATS), "skygal"]


@pytest.mark.parametrize(("name", "survey"), [("LoTSS", "LoTSS"), ("FIRST", "FIRST"), ("FIRST of VizieR", "FIRST"),
                                              ("RACS-low", "RACS_low"), ("RACS-low Gaussians", "RACS_low"),
                                              ("VLASS", "VLASS")])
def test_fluxes_go_to_the_frequency_wanted(name, survey):
    own = read_survey(survey).frequency.to_value(u.Hz)
    table = plain(SPELLED[name])
    assert read_catalogue(table, format=name).meta["FREQ"] == own
    found = read_catalogue(table, format=name, frequency=2 * own * u.Hz)
    assert found["flux"][0].to_value(u.Jy) == pytest.approx(3e-3 * 2**-0.72)
    assert found.meta["FREQ"] == 2 * own


# what PyBDSF and Aegean found of Gaussians that are known, in files that they wrote


IMAGE = WCS({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 180.0, "CRVAL2": 30.0, "CRPIX1": 256.0,
             "CRPIX2": 256.0, "CDELT1": -1.5 / 3600, "CDELT2": 1.5 / 3600, "NAXIS": 2})


@pytest.mark.parametrize("file", ["pybdsf_srl.fits", "pybdsf_srl.csv", "pybdsf_gaul.txt", "hebog_gaussians.fits",
                                  "aegean_comp.csv", "aegean_comp.tab"])
def test_finders_files(file):
    """Gaussians of 0.1 Jy, 12" x 8" along 60 deg, and of 0.08 Jy, under a beam of 6"."""
    with pytest.warns(UserWarning, match="catalogue is read as (PyBDSF|Hebog|Aegean)") as told:
        found = read_catalogue(FILES / file)
    assert len(told) == 1 and "not used" not in str(told[0].message)
    assert len(found) == 4
    x, y = IMAGE.world_to_pixel(SkyCoord(found["ra"], found["dec"]))
    for flux, place in ((0.1, (150, 350)), (0.08, (185, 370))):
        row = int(np.argmin(np.hypot(x - place[0], y - place[1])))
        assert np.hypot(x[row] - place[0], y[row] - place[1]) < 0.1
        assert found["flux"][row].to_value(u.Jy) == pytest.approx(flux, rel=0.02)
        # Aegean's own shapes are off, and no oracle
        if "aegean" not in file:
            assert found["b_maj"][row].to_value(u.arcsec) == pytest.approx(12, rel=0.03)
            assert found["b_min"][row].to_value(u.arcsec) == pytest.approx(8, rel=0.03)
            assert found["pa"][row].to_value(u.deg) == pytest.approx(60, abs=3)
    assert found.meta.get("FREQ") == (1.4e9 if file == "pybdsf_srl.fits" else None)


def test_sizes_without_the_beam():
    rng = np.random.default_rng(5)
    major, minor = rng.uniform(10, 30, 50), rng.uniform(4, 10, 50)
    pa, beam = rng.uniform(0, 180, 50), Beam(6 * u.arcsec, 5 * u.arcsec, 20 * u.deg)
    for a, b, angle in zip(major, minor, pa, strict=True):
        seen = Beam(a * u.arcsec, b * u.arcsec, angle * u.deg).convolve(beam)
        found = subtract_beam(*(np.array([value]) for value in (
            seen.major.to_value(u.arcsec), seen.minor.to_value(u.arcsec), seen.pa.to_value(u.deg), 6.0, 5.0, 20.0)))
        assert np.allclose(np.ravel(found)[:2], (a, b), rtol=1e-6)
        assert np.isclose(np.cos(2 * np.radians(found[2][0] - angle)), 1, atol=1e-6)


@pytest.mark.parametrize(("a", "b", "kind"), [(6.0, 6.0, "point"), (5.0, 4.0, "point"), (9.0, 5.0, "gaussian")])
def test_what_is_no_larger_than_the_beam_is_a_point_or_a_line(a, b, kind):
    found = read_catalogue(plain(SPELLED["Aegean"], a=a, b=b), format="Aegean")
    assert found["kind"][0] == kind
    if kind == "point":
        assert found["b_maj"][0] == found["b_min"][0] == found["las"][0] == 0
    else:
        assert found["b_maj"][0].to_value(u.arcsec) == pytest.approx(np.sqrt(45))
        assert 0 < found["b_min"][0] < 0.01 * u.arcsec
    check_faint(split_by_beam(found, 6 * u.arcsec).faint, IMAGE)


def test_a_size_that_a_finder_could_not_deconvolve_is_none():
    found = read_catalogue(plain(SPELLED["Hebog"], DECONVOLVED_MAJOR=np.nan, DECONVOLVED_MINOR=np.nan), format="Hebog")
    assert found["kind"][0] == "point"


def test_fitted_sizes_alone_need_the_beam():
    table = Table({"ra": [10.5], "dec": [-30.25], "flux": [3e-3], "Maj": [np.sqrt(180)], "Min": [10.0], "PA": [60.0]})
    columns = {"fitted_maj": "Maj", "fitted_min": "Min", "fitted_pa": "PA"}
    with pytest.raises(ValueError, match="beam must be given where the catalogue has fitted sizes alone"):
        read_catalogue(table, columns=columns)
    for beam in (6 * u.arcsec, Beam(6 * u.arcsec)):
        found = read_catalogue(table, columns=columns, beam=beam)
        assert found["b_maj"][0].to_value(u.arcsec) == pytest.approx(12)
    with pytest.raises(ValueError, match="both axes and the angle of fitted sizes, got no fitted_pa"):
        read_catalogue(table[["ra", "dec", "flux", "Maj", "Min"]], columns={k: columns[k] for k in list(columns)[:2]},
                       beam=6 * u.arcsec)


# SDC1


def sdc1_file(path, rows, names=""):
    np.savetxt(path, rows, fmt="%.9g", header=names, comments="")
    return path


@pytest.mark.parametrize("columns", [12, 15])
@pytest.mark.parametrize("names", ["", "id ra_core dec_core ra_cent dec_cent flux core_frac b_maj b_min pa size class"])
def test_sdc1_text(tmp_path, columns, names):
    row = [1.0, 0.1, -30.1, 359.9, -30.2, 2e-5, 0.02, 10.0, 4.0, 100.0]
    rows = [[*row, 1, 1], [*row[:6], 0.8, 1.0, 0.5, 0.0, 2, 2], [*row[:6], 0.0, 0.4, 0.2, 90.0, 3, 3]]
    rows = [[*each, 1, 20.5, 30.5][:columns] for each in rows]
    with pytest.warns(UserWarning, match="catalogue is read as SDC1"):
        found = read_catalogue(sdc1_file(tmp_path / "truth.txt", rows, names), frequency=560 * u.MHz)
    assert found["population"][0] in ("FRI", "FRII") and list(found["population"][1:]) == ["FR0", "SFG"]
    assert list(found["kind"]) == ["gaussian", "gaussian", "exponential"]
    assert np.allclose(found["ra"].value, 359.9) and np.allclose(found["dec"].value, -30.2)
    assert np.allclose(found["pa"].value, [(90 - 100) % 180, 90, 0])
    # LAS, FWHM of the Gaussian of its second moment; FWHM; scale length
    line = np.sqrt(8 * np.log(2) / 12)
    assert np.allclose(found["b_maj"].value, [10 * line, 1.0, 0.4])
    assert np.allclose(found["b_min"].value, [4 * line, 0.5, 0.2])
    assert found["las"][0] == 10 * u.arcsec
    assert np.allclose(found["core_frac"], [0.02, 0.8, 0.0]) and np.allclose(found["flux"].value, 2e-5)
    parts = split_by_beam(found, 1.5 * u.arcsec)
    assert list(parts.galaxies["source_id"]) == [1] and len(parts.faint) == 3


def test_sdc1_is_read_as_it_is_exported():
    """Our own export of a field, read again, has the sources' angles and sizes."""
    wcs = skygal.make_wcs("0 -30", 128, 0.6 * u.arcsec)
    faint = Table({"x": [30.0, 90.0], "y": [30.0, 90.0], "flux": [1e-3, 2e-3], "kind": ["gaussian", "exponential"],
                   "b_maj": [6.0, 3.0], "b_min": [2.0, 1.5], "pa": [20.0, 110.0]})
    truth = skygal.simulate_field(wcs, 0, faint=faint, beam=1.5 * u.arcsec, seed=1).truth
    found = read_catalogue(Table(sdc1_columns(truth)), format="SDC1")
    for name in ("b_maj", "b_min", "pa", "flux"):
        assert np.allclose(found[name].value, faint[name], rtol=1e-6), name
    assert list(found["kind"]) == list(faint["kind"])


def test_sdc1_axes_in_the_other_order():
    found = read_catalogue(plain(SPELLED["SDC1"], b_maj=8.0, b_min=12.0, pa=120.0), format="SDC1")
    assert found["b_maj"][0] == 12 * u.arcsec and found["pa"][0].value == pytest.approx(60)


# T-RECS


SHARED = {"latitude": -30.25, "redshift": 0.5, "I1400": 2.0, "I150": 8.0, "P1400": 0.1, "I1T": 0.5}


def trecs(rows):
    """Return a catalogue, with units that FITS does not know."""
    table = vstack([Table({name: [value] for name, value in row.items()}) for row in rows])
    for name in table.colnames:
        table[name] = table[name].astype("f4" if name not in ("latitude", "longitude") else float)
        table[name].unit = u.Unit("degs", parse_strict="silent") if "itude" in name else u.mJy
    return table


def disc(**changes):
    return {**SHARED, "longitude": 359.5, "ID_cont": 1, "Lum1400": -100, "logSFR": 1.0, "size": 0.6, "inclination": 40,
            "axis ratio": 0.25, "bmaj": 1.2, "bmin": 0.3, "PA": 200.0, "Rs": -100, "RadioClass": 1, **changes}


def jets(kind, rs, **changes):
    return {**SHARED, "longitude": 0.5, "ID_cont": 2, "Lum1400": 32.0, "logSFR": -100, "size": 20.0,
            "inclination": -100, "axis ratio": -100, "bmaj": -100, "bmin": -100, "PA": -100, "Rs": rs,
            "RadioClass": kind, **changes}


def test_trecs(tmp_path):
    table = trecs([disc(), jets(6, 0.7), jets(6, 0.3), jets(4, 0.0, size=0.5), disc(RadioClass=3), jets(5, 0.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        table.write(tmp_path / "wrapped.fits")
    with pytest.warns(UserWarning, match=r"catalogue is read as T-RECS: .*flux = I150 to I1400 \(mJy\)") as told:
        found = read_catalogue(tmp_path / "wrapped.fits", frequency=600 * u.MHz)
    assert len(told) == 1 and "not used" not in str(told[0].message)
    assert list(found["population"]) == ["SFG", "FRII", "FRI", "FR0", "SFG", "FR0"]
    assert list(found["kind"]) == ["exponential", "gaussian", "gaussian", "gaussian", "exponential", "gaussian"]
    index = np.log(2 / 8) / np.log(1400 / 150)
    assert np.allclose(found["spectral_index"], index)
    assert np.allclose(found["flux"].value, 8e-3 * (600 / 150)**index)
    assert np.allclose(found["ra"].value, [359.5, 0.5, 0.5, 0.5, 359.5, 0.5])
    # scale lengths of discs; largest sizes of steep, FWHM of flat nuclei
    assert np.allclose(found["b_maj"][[0, 3]].value, [1.2, 0.5]) and np.isclose(found["b_min"][0].value, 0.3)
    assert np.allclose(found["las"][[1, 2]].value, 20) and np.isclose(found["pa"][0].value, 20)
    assert np.allclose(found["core_frac"], [0, 0, 0, 0.75, 0, 0.75])
    # sentinels are none of these
    assert np.all(found["b_min"] > 0) and np.all(found["redshift"] == 0.5)
    assert np.all((found["pa"].value >= 0) & (found["pa"].value < 180))
    at_1400 = read_catalogue(table, format="T-RECS", frequency=1.4 * u.GHz)
    assert np.allclose(at_1400["flux"].to_value(u.mJy), 2)
    parts = split_by_beam(found, 6 * u.arcsec)
    assert sorted(parts.galaxies["fr_class"]) == ["FRI", "FRII"]
    check_faint(parts.faint, IMAGE)


def test_trecs_of_2018():
    common = {**SHARED, "longitude": 10.0}
    sfg = trecs([{**common, "size": 0.6, "e1": 0.0, "e2": 0.6, "PopFlag": 1, "logSFR": 1.0}])
    found = read_catalogue(sfg, format="T-RECS", frequency=1400 * u.MHz)
    # |e| = (a - b) / (a + b) = 0.6: b / a = 0.25, and the size is sqrt(a b)
    assert np.allclose([found["b_maj"][0].value, found["b_min"][0].value], [1.2, 0.3])
    assert found["pa"][0].value == pytest.approx(45) and found["kind"][0] == "exponential"
    agn = trecs([{**common, "size": 20.0, "phys size": 300.0, "angle": 0.7, "Rs": 0.6, "PopFlag": 6}])
    with pytest.warns(UserWarning, match="read as T-RECS"):
        assert read_catalogue(agn, frequency=1400 * u.MHz)["population"][0] == "FRII"


def test_trecs_with_hi():
    """Columns of the continuum have _1 where those of HI have their name; jets stand on the disc of HI."""
    both = {"MHI": 9.5, "HI size": 30.0, "bmaj": 31.0, "bmin": 29.0, "PA": 30.0, "axis ratio": 0.9, "bmaj_1": 1.2,
            "bmin_1": 0.3, "PA_1": 70.0, "axis ratio_1": 0.25}
    alone = dict.fromkeys(("I1400", "I150", "I1T", "RadioClass", "size", "bmaj_1", "bmin_1", "PA_1", "Rs"), -100.0)
    agn = {"bmaj_1": -100, "bmin_1": -100, "PA_1": -100}
    table = trecs([disc(**both), {**disc(**both), **alone}, {**jets(6, 0.7), **both, **agn}])
    with pytest.warns(UserWarning, match="1 of 3 rows have no continuum source and are left out"):
        found = read_catalogue(table, frequency=1.4 * u.GHz)
    assert list(found["source_id"]) == [1, 3] and list(found["population"]) == ["SFG", "FRII"]
    assert np.isclose(found["b_maj"][0].value, 1.2) and np.allclose(found["pa"].value, [70, 120])


def test_trecs_sentinels_are_refused_where_they_matter():
    for changes, message in (({"I1400": -100}, "positive, finite I1400, got 1 bad row of 2"),
                             ({"bmaj": -100}, "b_maj finite, and 0 where there is no size, got 1 bad row of 2"),
                             ({"latitude": -100}, "dec from -90 to 90 deg, got 1 bad row of 2"),
                             ({"RadioClass": -100}, "from 1 to 6, got 1 bad row of 2"),
                             ({"RadioClass": 7}, "from 1 to 6, got 1 bad row of 2")):
        with pytest.raises(ValueError, match=message):
            read_catalogue(trecs([disc(), disc(**changes)]), frequency=1.2 * u.GHz, format="T-RECS")


def test_trecs_frequencies():
    table = trecs([disc()])
    with pytest.raises(ValueError, match=r"frequency must be given .* has several, 150, 1400, 1e\+06 MHz, got None"):
        read_catalogue(table, format="T-RECS")
    with pytest.raises(ValueError, match="frequency must be within those of the catalogue, .* got 100 MHz"):
        read_catalogue(table, format="T-RECS", frequency=100 * u.MHz)
    table.remove_columns(["I150", "I1T"])
    found = read_catalogue(table, format="T-RECS")
    assert found["flux"][0].to_value(u.Jy) == pytest.approx(2e-3) and found.meta["FREQ"] == 1.4e9
    table.remove_column("I1400")
    with pytest.raises(ValueError, match="fluxes in columns such as I1400"):
        read_catalogue(table, format="T-RECS")
    assert flux_columns(["I20000", "I150", "IT", "Isl_rms"]) == {150: "I150", 20000: "I20000"}


# any table


def test_a_map_of_columns():
    table = Table({"alpha": [10.0, 10.1, 10.2], "delta": [-30.0] * 3, "S": [3.0, 4.0, 5.0], "ext": [0.0, 0.5, np.nan],
                   "kindly": ["b", "a", "c"]})
    columns = {"ra": "alpha", "dec": ("delta", "deg"), "flux": ("S", "mJy"), "las": ("ext", u.arcmin)}
    message = r"^catalogue has columns that are not used: 'kindly' \(did you mean 'kind'\?\)$"
    with pytest.warns(UserWarning, match=message):
        found = read_catalogue(table, columns=columns)
    assert list(found["flux"].to_value(u.mJy)) == [3, 4, 5]
    assert list(found["kind"]) == ["point", "gaussian", "point"]
    assert found["las"][1] == 30 * u.arcsec and found["population"][1] in ("FRI", "FRII")
    assert list(found["population"][[0, 2]]) == ["", ""]
    # the column's own unit wins
    table["S"].unit = u.Jy
    assert read_catalogue(table["alpha", "delta", "S", "ext"], columns=columns)["flux"][0] == 3 * u.Jy


@pytest.mark.parametrize(("unit", "size"), [
    ("2 arcsec", np.sqrt(180) / 2), ("2.354820045 arcsec", np.sqrt(180) / 2.354820045), ("deg", np.sqrt(180) / 3600),
    (2 * u.arcsec, np.sqrt(180) / 2)])
def test_half_widths_and_standard_deviations_are_units_with_a_factor(unit, size):
    """As PySE's halves of the FWHM are, 6.694 of a FWHM of 13.4, and photutils' standard deviations."""
    table = Table({"ra": [10.5], "dec": [-30.25], "flux": [0.1], "smaj": [size], "smin": [size], "theta": [0.0]})
    found = read_catalogue(table, columns={"fitted_maj": ("smaj", unit), "fitted_min": ("smin", unit),
                                           "fitted_pa": "theta"}, beam=6 * u.arcsec)
    assert found["b_maj"][0].to_value(u.arcsec) == pytest.approx(12)


def test_a_map_beside_a_format():
    table = plain({**SPELLED["LoTSS"], "LAS": 60.0})
    with pytest.warns(UserWarning, match="not used: 'LAS' "):
        assert read_catalogue(table, format="LoTSS")["population"][0] == ""
    found = read_catalogue(table, format="LoTSS", columns={"las": "LAS"})
    assert found["las"][0] == 60 * u.arcsec and found["population"][0] in ("FRI", "FRII")
    assert found["b_maj"][0] == 12 * u.arcsec


def test_what_is_read_is_read_again_as_it_is():
    table = plain({name: [value] * 2 for name, value in SPELLED["LoTSS"].items()}, S_Code=["M", "S"])
    found = read_catalogue(table, format="LoTSS")
    again = read_catalogue(found)
    assert again.meta == {"CATALOG": "skygal", "FREQ": 144e6}
    for name in found.colnames:
        assert np.array_equal(again[name].astype(str), found[name].astype(str)), name


def test_sources_of_several_gaussians_are_radio_galaxies():
    table = plain({name: [value] * 3 for name, value in SPELLED["LoTSS"].items()}, S_Code=["M", "S", "C"])
    found = read_catalogue(table, format="LoTSS")
    assert found["population"][0] in ("FRI", "FRII") and list(found["population"][1:]) == ["", ""]
    # the length of an even line of that second moment
    assert np.allclose(found["las"].value, 12 / np.sqrt(8 * np.log(2) / 12))
    parts = split_by_beam(found, 5 * u.arcsec)
    assert list(parts.galaxies["source_id"]) == [1] and list(parts.faint["source_id"]) == [2, 3]


def test_duplicates_are_left_out():
    table = plain({name: [value] * 3 for name, value in SPELLED["VLASS"].items()}, Duplicate_flag=[0, 2, 1])
    with pytest.warns(UserWarning, match="1 of 3 rows are duplicates by duplicate_flag and are left out"):
        assert list(read_catalogue(table, format="VLASS")["source_id"]) == [1, 3]


def many(n=2000):
    rng = np.random.default_rng(8)
    return Table({"ra": rng.uniform(0, 360, n), "dec": rng.uniform(-80, 80, n), "flux": 10**rng.uniform(-3, 0, n),
                  "las": rng.uniform(10, 100, n)})


def test_rows_in_any_order_are_the_same_sources():
    table, order = many(), np.random.default_rng(1).permutation(2000)
    found, other = read_catalogue(table), read_catalogue(table[order])
    for name in ("population", "pa", "flux", "las", "b_min"):
        assert np.array_equal(other[name], found[name][order]), name
    assert np.array_equal(read_catalogue(table[:10])["pa"], found["pa"][:10])
    assert not np.array_equal(read_catalogue(table, seed=1)["pa"], found["pa"])


def test_what_is_drawn_follows_its_distribution():
    n = 20000
    found = read_catalogue(many(n))
    angles = np.histogram(found["pa"].value, np.linspace(0, 180, 19))[0]
    assert np.sum((angles - n / 18)**2 / (n / 18)) < 40                         # 17 degrees of freedom, p = 0.001
    expected = frii_fraction(found["flux"])
    two = found["population"] == "FRII"
    assert abs(two.sum() - expected.sum()) < 4 * np.sqrt(np.sum(expected * (1 - expected)))
    assert abs(np.corrcoef(found["pa"].value, two)[0, 1]) < 4 / np.sqrt(n)


def test_a_million_rows():
    import time

    table = many(10**6)
    start = time.process_time()
    assert len(read_catalogue(table)) == 10**6
    assert time.process_time() - start < 10


# a catalogue as the sky of a field


def test_a_field_of_a_catalogue(tmp_path):
    wcs = skygal.make_wcs("10.5 -30.25", 128, 1.5 * u.arcsec)
    table = Table({"ra": [10.5, 10.51, 10.49], "dec": [-30.25, -30.26, -30.24], "flux": [30.0, 5.0, 4.0] * u.mJy,
                   "las": [60.0, 0.0, 0.0] * u.arcsec, "population": ["FRII", "FR0", ""]})
    table.write(tmp_path / "mine.ecsv")
    for sky in (table, tmp_path / "mine.ecsv", str(tmp_path / "mine.ecsv")):
        field = skygal.simulate_field(wcs, sky=sky, beam=6 * u.arcsec, seed=1)
        truth = field.truth
        assert list(truth["source_id"]) == [1, 2, 3] and list(truth["fr_class"]) == ["FRII", "none", "none"]
        assert list(truth["population"]) == ["FRII", "FR0", ""] and list(truth["parent_id"]) == [1, 2, 3]
        assert np.allclose(truth["flux"].to_value(u.mJy), [30, 5, 4], rtol=1e-3)
    # half a degree away and on the other side of the sky, just beyond the border, and there with a large size
    table = Table({"ra": [10.5, 11.0, 190.5, 10.5, 10.5], "dec": [-30.25, -30.25, 30.25, -30.25 + 104 / 3600,
                                                                 -30.25 + 118 / 3600],
                   "flux": [30.0] * 5 * u.mJy, "las": [0.0, 0.0, 0.0, 0.0, 40.0] * u.arcsec})
    field = skygal.simulate_field(wcs, sky=table, beam=6 * u.arcsec, seed=1)
    assert sorted(field.truth["source_id"]) == [1, 4, 5]
    with pytest.raises(ValueError, match="n_sources must be left out where sky is given, which has its own, got 3"):
        skygal.simulate_field(wcs, 3, sky=table, beam=6 * u.arcsec)
    with pytest.raises(ValueError, match="flux must be left out where sky is given"):
        skygal.simulate_field(wcs, sky=table, beam=6 * u.arcsec, flux=1 * u.mJy)


def test_injected_and_by_command(tmp_path):
    table = Table({"ra": [10.5], "dec": [-30.25], "flux": [30.0] * u.mJy})
    table.write(tmp_path / "mine.ecsv")
    wcs = skygal.make_wcs("10.5 -30.25", 64, 1.5 * u.arcsec)
    field = skygal.inject(np.random.default_rng(1).normal(0, 1e-5, (64, 64)), sky=table, wcs=wcs, beam=6 * u.arcsec,
                          frequency=1.4 * u.GHz, unit="Jy/beam", seed=1)
    assert field.truth["flux"][0].to_value(u.mJy) == pytest.approx(30)
    assert main(["simulate", "--sky", str(tmp_path / "mine.ecsv"), "--center", "10.5 -30.25", "--size", "64",
                 "--pixel-scale", "1.5arcsec", "--beam", "6arcsec", "--seed", "1",
                 "--output", str(tmp_path / "out")]) == 0
    truth = Table.read(tmp_path / "out" / "truth.ecsv")
    assert list(truth["source_id"]) == [1] and truth["flux"][0] == pytest.approx(0.03)


# what is refused


@pytest.mark.parametrize(("changes", "message"), [
    ({"flux": [1.0, np.nan, -1.0]}, r"positive, finite flux, got 2 bad rows of 3 \(counted from 0: 1, 2\)"),
    ({"ra": [1.0, np.nan, 500.0]}, "ra from -360 to 360 deg, got 2 bad rows"),
    ({"dec": [1.0, 91.0, 2.0]}, "dec from -90 to 90 deg, got 1 bad row"),
    ({"b_maj": [1.0, np.nan, 2.0]}, "b_maj finite, and 0 where there is no size, got 1 bad row"),
    ({"b_min": [1.0, 9.0, 2.0]}, "b_min from 0 to b_maj, got 1 bad row"),
    ({"las": [1.0, -1.0, 2.0]}, "las from 0, or NaN where it is unknown, got 1 bad row"),
    ({"redshift": [-100.0, 1.0, np.nan]}, "redshift positive, or NaN where it is unknown, got 1 bad row"),
    ({"population": ["FRI", "quasar", ""]}, "population one of SFG, RQ-AGN, FR0, FRI, FRII or empty, got 1 bad row"),
    ({"kind": ["point", "sersic", "disc"]}, "kind one of point, gaussian, exponential, got 2 bad rows"),
    ({"core_frac": [0.0, 1.5, 0.0]}, "core_frac from 0 to 1, got 1 bad row"),
    ({"pa": [0.0, np.inf, np.nan]}, "finite pa, or NaN where it is unknown, got 1 bad row"),
])
def test_bad_rows_are_counted(changes, message):
    good = {"ra": [1.0, 2.0, 3.0], "dec": [1.0] * 3, "flux": [1.0] * 3, "b_maj": [3.0] * 3, "b_min": [1.0] * 3,
            "kind": ["gaussian"] * 3}
    read_catalogue(Table(good))
    with pytest.raises(ValueError, match=message):
        read_catalogue(Table({**good, **changes}))


def test_masked_rows_are_bad_rows():
    table = Table({"ra": [1.0, 2.0], "dec": [1.0, 2.0], "flux": MaskedColumn([1.0, 2.0], mask=[False, True])})
    with pytest.raises(ValueError, match="positive, finite flux, got 1 bad row of 2"):
        read_catalogue(table)


@pytest.mark.parametrize(("columns", "message"), [
    ({"ra": [1.0], "dec": [1.0], "Peak_flux": [1.0]}, "fluxes in a column flux, .* LoTSS, .* got 'Peak_flux'"),
    ({"ra": [1.0], "dec": [1.0], "z": [1.0]}, "fluxes in a column flux, one that columns=.* got 'ra', 'dec'"),
    ({"flux": [1.0], "glon": [1.0]}, r"positions, ra \(ICRS\), in a column ra"),
    ({"ra": [1.0], "flux": [1.0]}, r"positions, dec \(ICRS\), in a column dec"),
    ({"ra": [1.0], "dec": [1.0], "flux": [1.0], "b_maj": [2.0]}, "both axes of the sources, b_maj and b_min"),
    ({"ra": [1.0], "RA": [1.0], "dec": [1.0], "flux": [1.0]}, "one column ra, in upper or lower case, got 'ra', 'RA'"),
    ({"ra": ["12:30"], "dec": [1.0], "flux": [1.0]}, "ra must be degrees or such as 12:34:56.7, got '12:30'"),
    ({"ra": ["1"], "dec": [1.0], "flux": [1.0]}, "ra must be degrees or such as 12:34:56.7, got '1'"),
    ({"ra": [1.0], "dec": [1.0], "flux": ["bright"]}, "column flux must be numbers"),
])
def test_what_is_missing_is_named(columns, message):
    with pytest.raises(ValueError, match=message):
        read_catalogue(Table(columns))


@pytest.mark.parametrize(("name", "column", "unit"), [
    ("PyBDSF", "Total_flux", u.mag), ("LoTSS", "Total_flux", u.mJy / u.beam), ("LoTSS", "DC_Maj", u.Jy),
    ("FIRST", "POSANG", u.arcsec / u.s)])
def test_wrong_units_are_refused(name, column, unit):
    table = plain(SPELLED[name])
    table[column].unit = unit
    with pytest.raises(ValueError, match=f"table column {column} must be in units convertible to"):
        read_catalogue(table, format=name)


def test_units_of_the_file_win():
    table = plain(SPELLED["PyBDSF"], DC_Maj=12.0, DC_Min=8.0, Maj=13.4, Min=10.0, Total_flux=3.0)
    for name in ("DC_Maj", "DC_Min", "Maj", "Min"):
        table[name].unit = u.arcsec
    table["Total_flux"].unit = u.mJy
    found = read_catalogue(table, format="PyBDSF")
    assert found["b_maj"][0].to_value(u.arcsec) == pytest.approx(12) and found["flux"][0].value == pytest.approx(3e-3)


@pytest.mark.parametrize(("name", "size", "unit"), [("PyBDSF", 6.0, "deg"), ("LoTSS", 0.0017, "arcsec")])
def test_sizes_that_cannot_be_in_the_unit_meant(name, size, unit):
    """The same names in degrees and arcsec: a beam is not of 6 degrees, nor of 2 mas."""
    with pytest.raises(ValueError, match=f"Maj in {unit}, as {name} has it, got a median of {size:.3g} without"):
        read_catalogue(plain(SPELLED[name], Maj=size), format=name)


def test_arguments():
    table = Table({"ra": [1.0], "dec": [1.0], "S_int": [1.0]})
    with pytest.raises(ValueError, match="format must be one of 'T-RECS', .* got 'lotts'.*did you mean 'LoTSS'"):
        read_catalogue(table, format="lotts")
    with pytest.raises(ValueError, match="must have the columns of FIRST, missing fint, major, minor, posang"):
        read_catalogue(table, format="FIRST")
    with pytest.raises(ValueError, match=r"columns\['flux'\] must be a column of the catalogue, got 'S_in'.*'S_int'"):
        read_catalogue(table, columns={"flux": "S_in"})
    with pytest.raises(ValueError, match=r"columns \(quantity\) must be one of 'ra', .* got 'fluxx'.*'flux'"):
        read_catalogue(table, columns={"fluxx": "S_int"})
    with pytest.raises(ValueError, match=r"columns\['flux'\] must be in units convertible to Jy"):
        read_catalogue(table, columns={"flux": ("S_int", "arcsec")})
    with pytest.raises(TypeError, match=r"columns\['flux'\] must be a column's name, or its name and unit, got 3"):
        read_catalogue(table, columns={"flux": 3})
    with pytest.raises(TypeError, match="catalogue must be an astropy Table or a path, got int"):
        read_catalogue(3)
    with pytest.raises(FileNotFoundError, match="catalogue must be an existing file"):
        read_catalogue("nowhere.fits")


@pytest.mark.parametrize("text", ["# a, b, c\n1.0, 2.0, 3.0\n1.0, 2.0\n", "a\tb\n1\t2\n1\n"])
def test_damaged_text(tmp_path, text):
    path = tmp_path / "table.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match="catalogue .* cannot be read: "):
        read_catalogue(path)


def test_plain_csv_is_read_as_ever(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("ra,dec,flux\n1.5,2.5,3e-3\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_catalogue(path)
    assert found["ra"][0] == 1.5 * u.deg and found["kind"][0] == "point"
