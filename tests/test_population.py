"""Whole populations, and tables of one's own."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from scipy import stats

from skygal.population import Constant, MiraBestSizes, PowerLaw, WindhorstSizes, read_counts, sample_population
from skygal.seeds import Seeds
from skygal.wcs import icrs_to_pixel, make_wcs

SHAPE = (300, 400)
WCS = make_wcs("150 30", SHAPE, 1.8 * u.arcsec)
UNITS = {"ra": u.deg, "dec": u.deg, "flux": u.Jy, "las": u.arcsec, "pa": u.deg}
COLUMNS = ["source_id", "ra", "dec", "flux", "las", "pa", "fr_class", "spectral_index", "curvature", "redshift"]


def sample(n=None, *, seed=1, frequency=1.4 * u.GHz, wcs=WCS, shape=SHAPE, **options):
    return sample_population(wcs, shape, n, seeds=Seeds(seed), frequency=frequency, **options)


def test_columns():
    t = sample(50)
    assert t.colnames == COLUMNS and len(t) == 50
    assert {name: t[name].unit for name in UNITS} == UNITS
    assert t["source_id"].dtype == np.int64 and list(t["source_id"]) == list(range(1, 51))
    assert np.isnan(t["redshift"]).all()
    assert t["pa"].min() >= 0 * u.deg and t["pa"].max() < 180 * u.deg
    x, y = icrs_to_pixel(WCS, t["ra"].value, t["dec"].value)
    assert np.all((x > -0.5) & (x < 399.5) & (y > -0.5) & (y < 299.5))
    assert t["flux"].min() >= 1 * u.mJy
    assert (t["fr_class"] == "FRI").sum() == 25


@pytest.mark.parametrize("options", [{}, {"fr_mix": "survey"}, {"las": (5, 50) * u.arcsec},
                                     {"flux": PowerLaw(1 * u.mJy, 1 * u.Jy, -2)}])
def test_source_i_does_not_depend_on_the_number(options):
    few, many = sample(10, **options), sample(500, **options)
    for name in COLUMNS:
        np.testing.assert_array_equal(few[name], many[name][:10])


def test_each_column_has_its_own_stream():
    a, b = sample(30), sample(30, flux=(0.1, 1) * u.Jy, las=(5, 50) * u.arcsec)
    for name in ("ra", "dec", "pa", "fr_class", "spectral_index"):
        np.testing.assert_array_equal(a[name], b[name])
    assert not np.any(sample(30, seed=2)["ra"] == a["ra"])


def test_pa_uniform_and_columns_unrelated():
    t = sample(4000)
    assert stats.kstest(t["pa"].value, "uniform", (0, 180)).pvalue > 1e-3
    numbers = np.array([t[name] for name in ("ra", "dec", "flux", "pa", "spectral_index")])
    r = stats.spearmanr(numbers.T).statistic
    assert np.abs(r - np.eye(5)).max() < 0.06


def expected_sizes(low, larger):
    """Return the share above ``larger`` arcsec of sources above ``low`` Jy, and how many these are a square degree.

    The counts and the relation of Windhorst et al. 1990, integrated here.
    """
    counts = read_counts()
    edges = np.geomspace(low, counts.high.value, 20_001)
    s = np.sqrt(edges[1:] * edges[:-1])
    n = counts.differential(s * u.Jy).to_value(1 / u.Jy / u.deg**2) * np.diff(edges)
    share = 0.5 ** ((larger / (2 * np.maximum(s / 1e-3, 1) ** 0.3)) ** 0.62)
    return (n * share).sum() / n.sum(), n.sum()


def test_default_sizes_are_those_of_all_sources():
    """So many are large as the counts' own relation says: 0.22 a square degree above 100 mJy and 60 arcsec."""
    n = 200_000
    for low, larger in ((0.1, 60), (0.1, 15), (1e-3, 2.959), (1e-3, 35)):
        share, number = expected_sizes(low, larger)
        drawn = sample(n, flux=low * u.Jy)["las"].to_value(u.arcsec)
        assert np.mean(drawn > larger) == pytest.approx(share, abs=4 * np.sqrt(share / n))
        if (low, larger) == (0.1, 60):
            assert number * np.mean(drawn > larger) == pytest.approx(0.220, abs=0.005)
        if low == 1e-3:
            assert np.median(drawn) == pytest.approx(2.96, abs=0.05)


def test_sizes_by_name():
    t = sample(200, las="mirabest")
    np.testing.assert_array_equal(t["las"], sample(200, las=MiraBestSizes())["las"])
    np.testing.assert_array_equal(sample(200, las="Windhorst")["las"], sample(200)["las"])
    with pytest.raises(ValueError, match="one of 'windhorst', 'mirabest', got 'mirabst' .did you mean 'mirabest'"):
        sample(2, las="mirabst")
    # a range cuts the relation of all sources
    np.testing.assert_array_equal(sample(200, las=(5, 50) * u.arcsec)["las"],
                                  sample(200, las=WindhorstSizes(5 * u.arcsec, 50 * u.arcsec))["las"])


def test_sizes_follow_the_flux_at_1400_mhz():
    t = sample(4000, frequency=144 * u.MHz, flux=Constant(1 * u.Jy))
    flux = (1.4 / 0.144)**-0.7
    assert np.median(t["las"].value) == pytest.approx(2 * (1000 * flux)**0.3, rel=0.06)
    t = sample(4000, frequency=144 * u.MHz, flux=Constant(1 * u.Jy), fr_mix={"FRI": 1.0}, las="mirabest")
    flux = (1.4 / 0.144)**-0.7
    assert np.median(np.log(t["las"].value)) == pytest.approx(4.14 + 0.38 * np.log(flux / 0.1), abs=0.04)


def test_options():
    assert np.all(sample(5, las=7 * u.arcsec)["las"] == 7 * u.arcsec)
    assert sample(200, las=WindhorstSizes())["las"].min() < 3 * u.arcsec
    t = sample(200, flux=(2, 3) * u.mJy, las=(10 * u.arcsec, 1 * u.arcmin), spectral_index=-0.7)
    assert t["flux"].min() >= 2 * u.mJy and t["flux"].max() <= 3 * u.mJy
    assert t["las"].min() >= 10 * u.arcsec and t["las"].max() <= 60 * u.arcsec
    assert np.all(t["spectral_index"] == -0.7)
    assert sample(100, flux=20 * u.mJy)["flux"].min() >= 20 * u.mJy
    assert len(sample(0)) == 0 and sample(0).colnames == COLUMNS


def test_number_from_the_counts():
    wcs = make_wcs("150 30", 1000, 7.2 * u.arcsec)
    expected = read_counts().number(5 * u.mJy, 1 * u.Jy).to_value(1 / u.deg**2) * 4
    got = [len(sample(seed=seed, wcs=wcs, shape=(1000, 1000), flux=(5 * u.mJy, 1 * u.Jy))) for seed in range(8)]
    assert stats.poisson(8 * expected).cdf(sum(got)) == pytest.approx(0.5, abs=0.499)
    mask = np.zeros((1000, 1000), bool)
    mask[:, :500] = True
    half = [len(sample(seed=seed, wcs=wcs, shape=(1000, 1000), flux=(5 * u.mJy, 1 * u.Jy), mask=mask))
            for seed in range(8)]
    assert stats.poisson(4 * expected).cdf(sum(half)) == pytest.approx(0.5, abs=0.499)


def test_the_counts_begin_above_the_faint_end():
    with pytest.warns(UserWarning, match="flux starts at 20.06 uJy, where the source counts begin at 1.4 GHz, not at"):
        t = sample(10, flux=1 * u.uJy)
    assert t["flux"].min() >= 20 * u.uJy


def test_the_faint_end_that_is_not_asked_for():
    assert sample(500, faintest=0.3 * u.mJy)["flux"].min().value == pytest.approx(3e-4, rel=0.01)
    # counts that begin under what can be detected are taken as they are
    assert sample(500, faintest=5 * u.uJy)["flux"].min().value == pytest.approx(20.06e-6, rel=0.01)
    with pytest.warns(UserWarning, match="flux starts at 20.06 uJy, where the source counts begin at .*, not at 3 uJy"):
        sample(5, faintest=3 * u.uJy)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"n": -1}, ValueError, "n_sources must be at least 0, got -1"),
    ({"n": 2.5}, TypeError, "n_sources must be a whole number, got 2.5"),
    ({"frequency": 0 * u.GHz}, ValueError, "frequency must be positive"),
    ({"frequency": 3 * u.m}, u.UnitConversionError, "frequency must be in units convertible to Hz"),
    ({"flux": -1 * u.mJy}, ValueError, "flux must be positive, got -0.001 Jy"),
    ({"flux": np.nan * u.mJy}, ValueError, "flux must be finite"),
    ({"flux": 1000 * u.Jy}, ValueError, "flux must have low < high"),
    ({"flux": (3, 1) * u.mJy}, ValueError, "flux must have low < high"),
    ({"flux": (1, 2, 3) * u.mJy}, TypeError, r"flux must be a \(low, high\) pair of quantities"),
    ({"flux": (1 * u.nJy, 1 * u.Jy)}, ValueError, "flux must lie within the source counts"),
    ({"flux": 3}, TypeError, "flux must be a Quantity in units of Jy, got 3"),
    ({"las": (3, 1) * u.arcsec}, ValueError, "las must have low < high"),
    ({"las": (1, 2, 3) * u.arcsec}, TypeError, r"las must be a \(low, high\) pair of quantities"),
    ({"las": 0 * u.arcsec}, ValueError, "las must be positive"),
    ({"las": 3 * u.Jy}, u.UnitConversionError, "las must be in units convertible to arcsec"),
    ({"n": None, "flux": Constant(1 * u.Jy)}, ValueError, "n_sources must be given where flux is a distribution"),
    ({"mask": np.ones((3, 3), bool)}, ValueError, "mask must have the image's shape"),
])
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        sample(**{"n": 5, **options})


def test_bad_seeds():
    with pytest.raises(TypeError, match="seeds must be a skygal.seeds.Seeds, got int"):
        sample_population(WCS, SHAPE, 3, seeds=1, frequency=1.4 * u.GHz)


def test_given_columns_win():
    table = QTable({"flux": [1, 2, 3] * u.mJy, "fr_class": ["FRII", "FRI", "FRI"]})
    t = sample(table=table)
    np.testing.assert_allclose(t["flux"].to_value(u.mJy), [1, 2, 3])
    assert list(t["fr_class"]) == ["FRII", "FRI", "FRI"] and t.colnames == COLUMNS
    drawn = sample(3)
    np.testing.assert_array_equal(t["ra"], drawn["ra"])
    np.testing.assert_array_equal(t["pa"], drawn["pa"])
    # units that are left out are the standard ones
    assert sample(table=Table({"flux": [0.5]}))["flux"][0] == 0.5 * u.Jy


def test_pixels_and_angles():
    t = sample(table=Table({"x": [10.0, -50.0], "y": [20.0, 30.0], "pa": [-10.0, 190.0]}))
    x, y = icrs_to_pixel(WCS, t["ra"].value, t["dec"].value)
    np.testing.assert_allclose([x, y], [[10, -50], [20, 30]], atol=1e-6)
    np.testing.assert_allclose(t["pa"].value, [170, 10])
    t = sample(table=QTable({"ra": [-10] * u.deg, "dec": [30] * u.deg}))
    assert t["ra"][0] == 350 * u.deg


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "csv", "vot"])
def test_files(tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    Table({"source_id": [7, 9], "flux": [0.01, 0.02], "fr_class": ["FRI", "FRII"], "redshift": [0.1, np.nan]}).write(
        path, format="votable" if suffix == "vot" else None)
    for given in (path, str(path)):
        t = sample(table=given)
        assert list(t["source_id"]) == [7, 9] and list(t["fr_class"]) == ["FRI", "FRII"]
        assert t["redshift"][0] == 0.1 and np.isnan(t["redshift"][1])


def test_every_bad_row_is_counted():
    flux = np.ones(40)
    flux[3:18] = [np.nan, 0, -1] * 5
    las = np.ones(40)
    las[39] = np.inf
    with pytest.raises(ValueError, match=(
            r"table must have positive, finite flux, got 15 bad rows of 40 \(counted from 0: 3, 4, 5, 6, 7, 8, 9, 10,"
            r" 11, 12, \.\.\.\); positive, finite las, got 1 bad row of 40 \(counted from 0: 39\)")):
        sample(table=Table({"flux": flux, "las": las}))


@pytest.mark.parametrize(("columns", "message"), [
    ({"fr_class": ["FRI", "FR2"]}, r"fr_class one of FRI, FRII, got 1 bad row of 2 \(counted from 0: 1\)"),
    ({"ra": [1.0, 2.0], "dec": [0.0, 91.0]}, "dec from -90 to 90 deg, got 1 bad row"),
    ({"ra": [1.0, np.nan], "dec": [0.0, 1.0]}, "ra from -360 to 360 deg, got 1 bad row"),
    ({"source_id": [4, 4]}, "source_id without duplicates, got 2 bad rows"),
    ({"source_id": [0, 1.5]}, r"whole, positive source_id below 2\^31, got 2 bad rows"),
    ({"redshift": [-0.1, 0.1]}, "redshift positive, or NaN where it is unknown, got 1 bad row"),
    ({"spectral_index": [np.nan, 0.1]}, "finite spectral_index, got 1 bad row"),
    ({"curvature": [np.nan, 0.1]}, "finite curvature, got 1 bad row"),
    ({"flux": MaskedColumn([1.0, 2.0], mask=[True, False])}, "positive, finite flux, got 1 bad row"),
    ({"flux": [1, 2] * u.m}, "table column flux must be in units convertible to Jy, got m"),
    ({"flux": ["a", "b"]}, "table column flux must be numbers"),
    ({"flux": [[1, 2], [3, 4]]}, "table column flux must have one value a row"),
    ({"ra": [1.0]}, "table must have both ra and dec or neither, got no dec"),
    ({"y": [1.0]}, "table must have both x and y or neither, got no x"),
    ({"brightness": [1.0]}, "table must have at least one of the columns source_id, .*, got brightness"),
])
def test_bad_tables(columns, message):
    with pytest.raises(ValueError, match=message):
        sample(table=QTable(columns))


def test_pixels_off_the_sky():
    wcs = make_wcs("150 30", 100, 3 * u.deg)
    with pytest.raises(ValueError, match="x and y where the image has sky, got 1 bad row of 2"):
        sample(wcs=wcs, shape=(100, 100), table=Table({"x": [49.5, 0.0], "y": [49.5, 0.0]}))


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="table must be an existing file, got 'none.fits'"):
        sample(table="none.fits")
    path = tmp_path / "broken.fits"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="table must be a FITS, ECSV, CSV or VOTable file, got .*broken.fits"):
        sample(table=path)
    with pytest.raises(TypeError, match="table must be an astropy Table or a path, got int"):
        sample(table=3)
    with pytest.raises(ValueError, match="n_sources must be left out or the table's number of rows, 1, got 3"):
        sample(3, table=Table({"flux": [1.0]}))
