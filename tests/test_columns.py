"""No column of a user's table is overlooked: it is used, refused or named."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK4, FK5, ICRS, Galactic, SkyCoord
from astropy.table import MaskedColumn, QTable, Table

import skygal
from skygal.population import check_faint, sample_population
from skygal.population.lookalikes import holds_flux, holds_position
from skygal.seeds import Seeds
from skygal.wcs import make_wcs

WCS = make_wcs("150 30", 100, 1.8 * u.arcsec)
RA, DEC = [150.001, 149.999], [30.01, 29.99]


def population(columns, **options):
    table = columns if isinstance(columns, Table) else QTable(columns)
    return sample_population(WCS, table=table, seeds=Seeds(1), frequency=1.4 * u.GHz, **options)


def faint(columns):
    return check_faint(QTable({"kind": ["point"] * 2, "flux": [1, 2] * u.mJy, **columns}), WCS)


@pytest.mark.parametrize(("a", "b"), [("RA", "DEC"), ("Ra", " Dec "), ("RAJ2000", "DEJ2000"), ("raj2000", "decj2000"),
                                      ("RA_ICRS", "DE_ICRS"), ("RA_J2000", "DEC_J2000")])
@pytest.mark.parametrize("read", [population, faint])
def test_names_of_positions(read, a, b):
    for table in ({a: RA, b: DEC}, {a: (RA * u.deg).to(u.hourangle), b: (DEC * u.deg).to(u.rad)}):
        found = read(table)
        np.testing.assert_allclose([found["ra"].value, found["dec"].value], [RA, DEC], rtol=1e-14)


@pytest.mark.parametrize("read", [population, faint])
@pytest.mark.parametrize("frame", [ICRS(), Galactic(), FK5(equinox="J2000"), FK4(equinox="B1950")])
def test_coordinates(read, frame, tmp_path):
    sky = SkyCoord(RA, DEC, unit="deg").transform_to(frame)
    found = read({"where": sky})
    np.testing.assert_allclose([found["ra"].value, found["dec"].value], [RA, DEC], rtol=1e-10)
    QTable({"where": sky, "flux": [1, 2] * u.Jy}).write(tmp_path / "mine.ecsv")
    again = sample_population(WCS, table=tmp_path / "mine.ecsv", seeds=Seeds(1), frequency=1.4 * u.GHz)
    np.testing.assert_allclose(again["ra"].value, RA, rtol=1e-10)


def test_coordinates_that_are_none():
    sky = SkyCoord([150.0, np.nan], [30.0, 30.0], unit="deg")
    with pytest.raises(ValueError, match=r"ra from -360 to 360 deg, got 1 bad row of 2 \(counted from 0: 1\)"):
        population({"where": sky})
    with pytest.raises(ValueError, match="table must have one column of coordinates, or ra and dec, got 'a', 'b'"):
        population({"a": sky, "b": sky})
    with pytest.raises(ValueError, match="table column where must be coordinates that can be taken to ICRS, got "):
        population({"where": SkyCoord(RA, DEC, unit="deg", frame="altaz")})
    with pytest.raises(ValueError, match="table column where must have one value a row"):
        population({"where": SkyCoord([[1, 2], [3, 4]], [[1, 2], [3, 4]], unit="deg")})


def test_sky_positions_win_and_the_others_are_named():
    with pytest.warns(UserWarning, match="columns that are not used: 'x', 'y', 'RAJ2000', 'DEJ2000', 'where'$"):
        found = population({"x": [1, np.nan], "y": [1, 1], "ra": RA, "dec": DEC, "RAJ2000": [1, 2], "DEJ2000": [1, 2],
                            "where": SkyCoord([1, 2], [3, 4], unit="deg")})
    assert found["ra"].value.tolist() == RA


#: names from VizieR, SExtractor, photutils, SoFiA, Selavy, T-RECS, the SKA challenges, and by hand
POSITIONS = [("RAdeg", "DEdeg"), ("_RAJ2000", "_DEJ2000"), ("RAB1950", "DEB1950"), ("RA (deg)", "DEC (deg)"),
             ("ra_deg_cont", "dec_deg_cont"), ("RA (core)", "DEC (core)"), ("right_ascension", "declination"),
             ("ALPHA_J2000", "DELTA_J2000"), ("ALPHAWIN_SKY", "DELTAWIN_SKY"), ("alpha", "delta"), ("GLON", "GLAT"),
             ("l", "b"), ("lon", "lat"), ("longitude", "latitude"), ("X_IMAGE", "Y_IMAGE"), ("xcentroid", "ycentroid"),
             ("x_pix", "y_pix"), ("Xposn", "Yposn"), ("x_0", "y_0"), ("x_coord", "y_coord"), ("coord.ra", "coord.dec"),
             ("RADEC", "decl"), ("pos1", "pos2"), ("x [pixel]", "y [pixel]"), ("ra_core", "dec_core"), ("RA1", "DEC1")]
#: and from PyBDSF, Aegean, FIRST, NVSS, TGSS, SUMSS too
FLUXES = ["Total_flux", "int_flux", "flux_mJy", "Peak_flux", "FLUX (Jy)", "Fint", "FPEAK", "S1.4", "S_int", "Stotal",
          "S150MHz", "S_1400", "Sp", "s", "F", "flux_density", "fluxDensity", "Isl_Total_flux", "I1400", "Itot_1400",
          "mJy", "S_nu", "integrated flux", "SINT14"]


@pytest.mark.parametrize("names", POSITIONS)
def test_positions_under_other_names_are_refused(names):
    with pytest.raises(ValueError, match=r"table must have positions in the columns ra and dec \(ICRS\) or RAJ2000 .*, "
                                         f"got {names[0]!r}".replace("(deg)", r"\(deg\)").replace("(core)", r"\(core\)")
                                         .replace("[pixel]", r"\[pixel\]")):
        population({"flux": [1, 2] * u.mJy, names[0]: RA, names[1]: DEC})
    with pytest.raises(ValueError, match="faint must have positions in the columns ra and dec"):
        faint({names[0]: RA, names[1]: DEC})
    # beside positions that are used they are only named
    with pytest.warns(UserWarning, match="not used"):
        population({"ra": RA, "dec": DEC, names[0]: RA, names[1]: DEC})


def test_positions_as_text_are_refused():
    for names in (("ra", "dec"), ("RAJ2000", "DEJ2000")):
        with pytest.raises(ValueError, match="table column ra must be numbers, got <U"):
            population({names[0]: ["10 00 00", "10 00 01"], names[1]: ["+30 00 00", "+30 00 01"]})
    with pytest.raises(ValueError, match="got 'ra_hms', 'dec_dms': convert and rename them"):
        population({"ra_hms": ["10 00 00"] * 2, "dec_dms": ["+30 00 00"] * 2})


@pytest.mark.parametrize("name", FLUXES)
def test_fluxes_under_other_names_are_refused(name):
    with pytest.raises(ValueError, match="table must have integrated fluxes in the column flux, got .*: rename the one "
                                         "that is meant, or take it out"):
        population({"ra": RA, "dec": DEC, name: [1.0, 2.0]})
    with pytest.warns(UserWarning, match="not used"):
        population({"ra": RA, "dec": DEC, "flux": [1, 2] * u.mJy, name: [1.0, 2.0]})


@pytest.mark.parametrize("unit", ["mJy", "Jy/beam", "MJy/sr", "uJy", "W m-2 Hz-1"])
def test_fluxes_are_known_by_their_unit(unit):
    with pytest.raises(ValueError, match="integrated fluxes in the column flux, got 'strength'"):
        population({"ra": RA, "dec": DEC, "strength": [1.0, 2.0] * u.Unit(unit)})


@pytest.mark.parametrize("name", ["name", "E_RA", "e_RAJ2000", "dec_err", "radius", "rms", "Maj", "z", "size", "class",
                                  "id", "Resid_Isl_rms", "si", "epoch", "decay", "grade", "S_Code", "field", "delay",
                                  "position_angle", "pos_ang", "flux_err", "e_S1.4", "Flag", "flux_ratio", "source",
                                  "island", "extent", "fwhm", "year", "x_ray_id", "type", "core_frac", "Ncomp", "peak"])
def test_other_columns_are_named_and_nothing_more(name):
    assert not holds_position(name, np.zeros(2)) and not holds_flux(name, np.zeros(2))
    with pytest.warns(UserWarning, match=f"table has columns that are not used: {name!r}"):
        population({"ra": RA, "dec": DEC, name: [1, 2]})


@pytest.mark.parametrize(("name", "known"), [
    ("las_arcsec", "las"), ("LAS (arcsec)", "las"), ('LAS ["]', "las"), ("pa_deg", "pa"), ("PA [deg]", "pa"),
    ("fr-class", "fr_class"), ("FRclass", "fr_class"), ("Spectral Index", "spectral_index"), ("SourceID", "source_id"),
    ("red shift", "redshift")])
def test_known_names_with_a_unit_or_other_punctuation_are_refused(name, known):
    table = {"ra": RA, "dec": DEC, name: [1, 2]}
    with pytest.raises(ValueError, match=f"must have {known} under this name, its unit being the column's, got .*: "
                                         "rename it, or take it out"):
        population(table)


def test_optional_columns_of_faint_sources_are_not_overlooked():
    with pytest.raises(ValueError, match="faint must have pa under this name, .*, got 'PA_deg'"):
        faint({"ra": RA, "dec": DEC, "PA_deg": [1, 2]})
    with pytest.raises(ValueError, match="faint must have b_maj under this name, .*, got 'BMAJ'"):
        faint({"ra": RA, "dec": DEC, "BMAJ": [1, 2]})
    with pytest.raises(ValueError, match="faint must have integrated fluxes in the column flux, got 'Total_flux'"):
        check_faint(Table({"ra": RA, "dec": DEC, "kind": ["point"] * 2, "Total_flux": [1.0, 2.0]}), WCS)
    with pytest.warns(UserWarning, match=r"faint has columns that are not used: 'z' \(did you mean 'redshift'\?\)$"):
        faint({"ra": RA, "dec": DEC, "z": [1, 2]})


def test_unused_columns_are_named_with_the_nearest_missing_name():
    with pytest.warns(UserWarning) as caught:
        population({"ra": RA, "dec": DEC, "flux": [1, 2] * u.mJy, "z": [1, 2], "curvatur": [1, 2], "Maj": [1, 2],
                    "alpha": [1, 2], "Peak_flux": [1, 2], **{f"c{k}": [1, 2] for k in range(7)}})
    assert str(caught[0].message) == (
        "table has columns that are not used: 'z' (did you mean 'redshift'?), 'curvatur' (did you mean 'curvature'?), "
        "'Maj' (did you mean 'las'?), 'alpha' (did you mean 'spectral_index'?), 'Peak_flux', 'c0', 'c1', 'c2', 'c3', "
        "'c4' and 2 more")


@pytest.mark.parametrize(("names", "what"), [(("ra", "RA"), "ra"), (("dec", "DEC "), "dec"), (("flux", "Flux"), "flux"),
                                             (("RAJ2000", "raj2000"), "raj2000"), (("Las", "LAS"), "las")])
def test_a_name_in_two_spellings_is_refused(names, what):
    with pytest.raises(ValueError, match=f"must have one column {what}, in upper or lower case, got {names[0]!r}, "):
        population({"ra": RA, "dec": DEC, names[0]: [1.0, 2.0], names[1]: [1.0, 2.0]})


@pytest.mark.parametrize(("columns", "lacking"), [({"ra": RA}, "dec"), ({"DEC": DEC}, "ra"), ({"y": [1, 2]}, "x"),
                                                  ({"ra": RA, "x": [1, 2], "y": [1, 2]}, "dec")])
def test_half_a_pair_is_refused(columns, lacking):
    with pytest.raises(ValueError, match=f"or neither, got no {lacking}"):
        population({"flux": [1, 2] * u.Jy, **columns})


IDS = [2**31, 2**40, 2**53 + 1, 2**62, -1, 0, 1.5, np.nan, np.inf]


@pytest.mark.parametrize("bad", IDS)
@pytest.mark.parametrize("read", [population, faint])
def test_numbers_that_the_segmentation_cannot_hold(read, bad):
    with pytest.raises(ValueError, match=r"positive source_id below 2\^31, got 1 bad row of 2 \(counted from 0: 1\)"):
        read({"ra": RA, "dec": DEC, "source_id": [1, bad]})


@pytest.mark.parametrize("read", [population, faint])
def test_other_kinds_of_ids(read):
    place = {"ra": RA, "dec": DEC}
    for good in ([3, 2**31 - 1], np.array([3, 2**31 - 1], np.uint32), [3.0, 2147483647.0],
                 np.array([3, 2**31 - 1], ">i8"), MaskedColumn([3, 2**31 - 1]), np.array([3, 2**31 - 1], object)):
        assert read({**place, "source_id": good})["source_id"].tolist() == [3, 2**31 - 1]
    for bad, kind in (([True, False], "bool"), (["1", "2"], "<U1"), ([b"1", b"2"], ".S1"), ([1 + 0j, 2], "complex128"),
                      (np.array([1, "2"], object), "'2'"), (np.array([1, True], object), "True"),
                      (np.array(["2001", "2002"], "M8[s]"), "datetime64")):
        with pytest.raises(ValueError, match=f"table column source_id must be numbers, got .*{kind}"):
            read(Table({**place, "source_id": bad}) if read is population else {**place, "source_id": bad})
    with pytest.raises(ValueError, match=r"source_id without duplicates, got 2 bad rows"):
        read({**place, "source_id": np.array([7, 7], np.uint64)})
    with pytest.raises(ValueError, match=r"whole, positive source_id below 2\^31, got 1 bad row"):
        read({**place, "source_id": MaskedColumn([7, 8], mask=[False, True])})


def test_the_largest_id_is_drawn():
    wcs = make_wcs("150 30", 64, 1.8 * u.arcsec)
    mine = QTable({"x": [20.0], "y": [20.0], "flux": [1] * u.Jy, "las": [9] * u.arcsec, "source_id": [2**31 - 1]})
    others = QTable({"x": [50.0, 50.0], "y": [20.0, 50.0], "flux": [1, 1] * u.Jy, "kind": ["point"] * 2,
                     "source_id": [2**31 - 1, 1]})
    field = skygal.simulate_field(wcs, table=mine, faint=others, beam=6 * u.arcsec, seed=1)
    # numbers that are there twice cannot go on from the largest: the lowest free ones are taken
    assert field.truth["source_id"].tolist() == [2**31 - 1, 1, 2]
    assert set(np.unique(field.segmentation)) == {0, 1, 2, 2**31 - 1}


@pytest.mark.parametrize(("name", "values", "message"), [
    ("flux", ["0.1", "0.2"], "table column flux must be numbers, got <U3"),
    ("flux", [1, 2] * u.Jy / u.beam, "table column flux must be in units convertible to Jy, got Jy / beam"),
    ("flux", [1, 2] * u.W, "table column flux must be in units convertible to Jy, got W"),
    ("las", [1, 2] * u.one * u.s, "table column las must be in units convertible to arcsec, got s"),
    ("spectral_index", [1, 2] * u.deg, "table column spectral_index must have no unit, got deg"),
    ("redshift", [1, 2] * u.km / u.s, "table column redshift must have no unit, got km / s"),
    ("ra", [1e6, 1], r"ra from -360 to 360 deg, got 1 bad row"),
    ("flux", MaskedColumn([1.0, 2.0], mask=True), "positive, finite flux, got 2 bad rows"),
    ("flux", np.array([1.0, None], object), "positive, finite flux, got 1 bad row"),
    ("fr_class", MaskedColumn(["FRI", "FRI"], mask=[False, True]), "fr_class one of FRI, FRII, got 1 bad row"),
])
def test_values_that_are_refused(name, values, message):
    with pytest.raises(ValueError, match=message):
        population(QTable({"ra": RA, "dec": DEC, name: values}))


def test_units_that_are_not_known():
    table = Table({"ra": RA, "dec": DEC, "flux": [1.0, 2.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table["flux"].unit = u.Unit("mJy/bm", parse_strict="silent")
    with pytest.raises(ValueError, match="table column flux must be in units convertible to Jy, got mJy/bm"):
        population(table)
    table.rename_column("flux", "strength")
    with pytest.raises(ValueError, match="integrated fluxes in the column flux, got 'strength'"):
        population(table)


def test_pixels_may_have_the_unit_pixel():
    plain, pixel = (population({"x": [10, 20] * unit, "y": [30, 40] * unit}) for unit in (u.one, u.pix))
    np.testing.assert_array_equal(plain["ra"], pixel["ra"])


def test_empty_tables():
    assert len(population({"ra": [], "dec": [], "flux": [] * u.Jy})) == 0
    assert len(population(Table(names=["ra", "dec", "fr_class"], dtype=["U1", "U1", "U3"]))) == 0
    assert len(check_faint(Table(names=["ra", "dec", "flux", "kind"], dtype=[float, float, float, "U5"]), WCS)) == 0
    for table in (Table(), QTable({"name": ["a"]})):
        with pytest.raises(ValueError, match="table must have at least one of the columns"):
            population(table)
        with pytest.raises(ValueError, match=r"faint must have the columns .*, missing flux, kind, ra, dec"):
            check_faint(table, WCS)
