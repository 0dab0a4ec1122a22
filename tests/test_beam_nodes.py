"""Beams that vary over the image: from functions and tables, on any grid."""

import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from radio_beam import Beam

import skygal
from skygal.observation.beam import TargetBeam, ellipse_axes, ellipse_covariance
from skygal.observation.beam_nodes import BeamNodes, nodes_from_function, nodes_from_table
from skygal.observation.observe import make_frame
from skygal.wcs import pixel_affine, pixel_to_icrs

GRID = skygal.make_wcs("10h00m00s +40d00m00s", (900, 1300), 2 * u.arcsec)
SHAPE = (900, 1300)
BEAM = Beam(9 * u.arcsec, 7 * u.arcsec, 30 * u.deg)


def see(beam, wcs=GRID, shape=SHAPE):
    return make_frame(wcs, shape, beam=beam).beam


def smooth(ra, dec):
    """A beam that grows to the north and turns with right ascension."""
    return (10 + 4 * (dec - 40)) * u.arcsec, (7 + 0 * ra) * u.arcsec, (20 + 30 * (ra - 150)) * u.deg


def on_pixels(major, minor, pa, wcs, ra, dec):
    """The covariance by hand, at one place of a grid that is north up or not."""
    affine = pixel_affine(wcs, ra, dec)[0]
    return affine @ ellipse_covariance(major, minor, np.radians(pa)) @ affine.T


def test_constant_beams_broadcast():
    target = see(BEAM)
    covariance, area = target.at([3, 4, np.nan], [1, 2, 3])
    assert covariance.shape == (3, 2, 2) and area.tolist() == [target.area] * 3
    np.testing.assert_array_equal(covariance[2], target.covariance)
    assert target.narrowest is target.covariance and target.widest is target.covariance and target.nodes is None


@pytest.mark.parametrize("wcs", [GRID, skygal.make_wcs(SkyCoord(120, 5, unit="deg", frame="galactic"), SHAPE,
                                                       2 * u.arcsec)], ids=["icrs", "galactic"])
def test_a_function_that_does_not_vary_is_a_beam(wcs):
    # the angle of a beam is from the north of the image's own frame, given as a beam or as a function
    expected = see(BEAM, wcs)
    for function in (lambda ra, dec: BEAM, lambda ra, dec: (9 * u.arcsec, 7 * u.arcsec, 30 * u.deg)):
        found = see(function, wcs)
        np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-5, atol=1e-5)
        assert found.area == pytest.approx(expected.area, rel=3e-6)
        assert found.beam.major.to_value("arcsec") == pytest.approx(9, rel=1e-5)
        assert found.beam.pa.to_value("deg") == pytest.approx(30, abs=1e-2)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1299), st.floats(0, 899), st.floats(0, 6.28), st.booleans(), st.sampled_from(["TAN", "SIN", "ZEA"]))
def test_a_function_is_met_everywhere(x, y, turn, flip, projection):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix = [150, 40], [650.5, 450.5]
    wcs.wcs.cd = 2 / 3600 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(
        [1 if flip else -1, 1])
    target = see(smooth, wcs)
    ra, dec = pixel_to_icrs(wcs, x, y)
    expected = on_pixels(*(q.value for q in smooth(ra, dec)), wcs, ra, dec)
    (covariance,), (area,) = target.at([x], [y])
    np.testing.assert_allclose(covariance, expected, atol=2e-3 * expected.max())
    assert area == pytest.approx(2 * np.pi * np.sqrt(np.linalg.det(expected)), rel=2e-3)
    low, high = np.linalg.eigvalsh(covariance)
    assert np.linalg.eigvalsh(target.narrowest)[0] <= low * (1 + 1e-9)
    assert np.linalg.eigvalsh(target.widest)[1] >= high * (1 - 1e-9)


def test_the_two_forms_of_a_function_agree():
    def beams(ra, dec):
        return Beam(*smooth(ra, dec))

    np.testing.assert_allclose(nodes_from_function(beams, GRID, SHAPE).covariance,
                               nodes_from_function(smooth, GRID, SHAPE).covariance, rtol=1e-12, atol=1e-10)


def test_beyond_the_image_the_beam_is_that_at_its_edge():
    target = see(smooth)
    np.testing.assert_array_equal(target.at([-50, 3000], [20, 5000])[0], target.at([0, 1299], [20, 899])[0])


def test_places_do_not_depend_on_each_other():
    target = see(smooth)
    x, y = np.random.default_rng(0).uniform(0, 900, (2, 37))
    together = target.at(x, y)[0]
    for k in range(37):
        np.testing.assert_array_equal(target.at(x[k:k + 1], y[k:k + 1])[0][0], together[k])


def test_a_varying_beam_can_be_sent_to_another_process():
    target = see(smooth)
    again = pickle.loads(pickle.dumps(target))
    np.testing.assert_array_equal(again.at([100.0], [700.0])[0], target.at([100.0], [700.0])[0])


def test_nodes_lie_at_the_corners_of_blocks_whatever_the_size():
    for n, step in ((1, 1), (2, 1), (128, 127), (129, 128), (2048, 128), (2049, 512), (16384, 512), (16385, 1024),
                    (32768, 1024)):
        nodes = nodes_from_function(lambda ra, dec: BEAM, GRID, (n, 10))
        assert nodes.y[0] == 0 and nodes.y[1] == step and nodes.y[-1] == max(n - 1, 1) and len(nodes.y) <= 33
        assert np.all(np.diff(nodes.y) > 0)


def test_off_the_sky_the_nearest_beam_is_taken():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---AIT", "DEC--AIT"], [-0.2, 0.2]
    wcs.wcs.crpix, wcs.wcs.crval = [900.5, 450.5], [0, 0]
    nodes = nodes_from_function(lambda ra, dec: Beam(1 * u.deg), wcs, (900, 1800))
    assert np.isfinite(nodes.covariance).all()
    nowhere = wcs.deepcopy()
    nowhere.wcs.crpix = [9000, 9000]
    with pytest.raises(ValueError, match=r"beam must be defined somewhere in the image of shape \(90, 90\)"):
        nodes_from_function(lambda ra, dec: Beam(1 * u.deg), nowhere, (90, 90))


def make_table(n=9, seed=0, **columns):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-100, 1400, n), rng.uniform(-100, 1000, n)
    ra, dec = pixel_to_icrs(GRID, x, y)
    table = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "bmaj": rng.uniform(8, 12, n) * u.arcsec,
                    "bmin": rng.uniform(6, 8, n) * u.arcsec, "bpa": rng.uniform(0, 180, n) * u.deg})
    for name, values in columns.items():
        table[name] = values
    return table, x, y


def test_a_table_is_linear_between_its_places():
    # at three places and between them, by barycentric weights
    x, y = np.array([0.0, 1299, 0]), np.array([0.0, 0, 899])
    ra, dec = pixel_to_icrs(GRID, x, y)
    table = Table({"ra": ra, "dec": dec, "bmaj": [9, 10, 12] * u.arcsec, "bmin": [7, 8, 6] * u.arcsec,
                   "bpa": [10.0, 60, 100]})
    target = see(table)
    corners = np.array([on_pixels(row["bmaj"], row["bmin"], row["bpa"], GRID, row["ra"], row["dec"]) for row in table])
    for a, b in ((0, 0), (1, 0), (0, 1), (0.3, 0.2), (0.5, 0.1)):
        expected = (1 - a - b) * corners[0] + a * corners[1] + b * corners[2]
        np.testing.assert_allclose(target.at([a * 1299], [b * 899])[0][0], expected, atol=1e-6)
    # outside of the triangle that of the nearest point of its long side, here its foot
    side = np.array([-1299, 899])
    part = np.dot([0, 899], side) / np.dot(side, side)
    np.testing.assert_allclose(target.at([1299], [899])[0][0], (1 - part) * corners[1] + part * corners[2], atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_pixels_and_degrees_say_the_same(n):
    table, x, y = make_table(n)
    other = QTable({"x": x, "y": y, **{name: table[name] for name in ("bmaj", "bmin", "bpa")}})
    first, second = nodes_from_table(table, GRID, SHAPE), nodes_from_table(other, GRID, SHAPE)
    np.testing.assert_allclose(first.covariance, second.covariance, rtol=1e-6, atol=1e-6)
    other["x"].unit = u.pix
    np.testing.assert_array_equal(nodes_from_table(Table(other), GRID, SHAPE).covariance, second.covariance)


def test_one_place_is_a_constant_beam_and_places_may_lie_on_a_line():
    table, _, _ = make_table(1)
    nodes = nodes_from_table(table, GRID, SHAPE)
    assert np.ptp(nodes.covariance, axis=(0, 1)).max() == 0
    for places in ([200, 600, 1000.0], [1000, 200, 600.0]):
        widths = np.array(places) / 100
        line = QTable({"x": places, "y": [450.0] * 3, "bmaj": widths * u.arcsec, "bmin": widths * u.arcsec,
                       "bpa": [0, 0, 0] * u.deg})
        nodes = nodes_from_table(line, GRID, SHAPE)
        # the square of the width is linear between places, and constant beyond
        expected = np.interp(nodes.x, [200, 600, 1000], [4, 36, 100])
        found = ellipse_axes(nodes.covariance)[0] * 2
        np.testing.assert_allclose(found**2, np.broadcast_to(expected, found.shape), rtol=1e-4)
    twice = QTable({"x": [5.0, 5], "y": [5.0, 5], "bmaj": [9, 9] * u.arcsec, "bmin": [9, 9] * u.arcsec,
                    "bpa": [0, 0] * u.deg})
    assert np.isfinite(nodes_from_table(twice, GRID, SHAPE).covariance).all()


def test_places_that_the_grid_cannot_show_have_no_part():
    table, _, _ = make_table(9)
    expected = nodes_from_table(table, GRID, SHAPE)
    far = table[:1].copy()
    far["ra"], far["dec"], far["bmaj"] = [330.0] * u.deg, [-40.0] * u.deg, [50.0] * u.arcsec
    from astropy.table import vstack
    np.testing.assert_array_equal(nodes_from_table(vstack([far, table]), GRID, SHAPE).covariance, expected.covariance)
    with pytest.raises(ValueError, match="beam table must have a place on the image's projection, got none of 1"):
        nodes_from_table(far, GRID, SHAPE)


def test_a_table_in_a_file(tmp_path):
    table, _, _ = make_table(9)
    table.write(tmp_path / "beams.ecsv")
    np.testing.assert_allclose(see(tmp_path / "beams.ecsv").nodes.covariance, see(table).nodes.covariance, rtol=1e-9)
    (tmp_path / "bad.ecsv").write_text("x")
    with pytest.raises(ValueError, match="beam table '.*bad.ecsv' cannot be read"):
        see(tmp_path / "bad.ecsv")


def without(name):
    table, _, _ = make_table(9)
    del table[name]
    return table


def with_column(**columns):
    return make_table(9, **columns)[0]


def masked():
    table = Table(make_table(9)[0])
    table["bpa"] = MaskedColumn(np.zeros(9), mask=np.arange(9) == 4, unit="deg")
    return table


@pytest.mark.parametrize("table, message", [
    (without("bmin"), "beam table must have the columns ra and dec, or x and y, and bmaj, bmin and bpa, got no bmin"),
    (without("ra"), "got no ra"),
    (make_table(0)[0], "beam table must have a row, got none"),
    (with_column(bmaj=np.arange(9.0)), "beam table must give a unit for bmaj, such as arcsec"),
    (with_column(bmaj=np.arange(9.0) * u.Jy), "beam table must have numbers in units convertible to arcsec in bmaj"),
    (with_column(bmin=[7, 7, -1, 7, 0, 7, 7, 7, 20] * u.arcsec),
     r"beam table must be finite with bmaj >= bmin > 0, got .* bmin = -1 arcsec.*; bad at row 2; row 4; row 8$"),
    (with_column(bpa=[0, 0, 0, 0, 0, 0, 0, 0, np.nan] * u.deg), "bpa = nan deg; bad at row 8$"),
    (masked(), "bpa = nan deg; bad at row 4$"),
    (with_column(ra=[150, 150, np.nan, 150, 150, 150, 150, 150, 150] * u.deg),
     "beam table must have finite places; bad at row 2$")])
def test_bad_tables(table, message):
    with pytest.raises(ValueError, match=message):
        see(table)


def test_no_more_than_fifty_are_named():
    table, _, _ = make_table(60, bmin=np.full(60, np.nan) * u.arcsec)
    with pytest.raises(ValueError, match="bad at row 0; row 1; .*; row 49; and 10 more$"):
        see(table)


@pytest.mark.parametrize("function, error, message", [
    (lambda ra, dec: 5.0, TypeError, "must return a radio_beam.Beam or Quantities .major, minor, pa., got float"),
    (lambda ra, dec: (5.0, 5.0, 0.0), TypeError, "must return a radio_beam.Beam or Quantities"),
    (lambda ra, dec: (5 * u.Jy, 5 * u.arcsec, 0 * u.deg), TypeError, "must return a radio_beam.Beam or Quantities"),
    (lambda ra, dec: (np.ones(3) * u.arcsec, 1 * u.arcsec, 0 * u.deg), ValueError,
     r"beam must return arrays of the shape of ra, \(108,\), got \(3,\)"),
    (lambda ra, dec: (np.where(dec > 40.2, -1, 9) * u.arcsec, 5 * u.arcsec, 0 * u.deg), ValueError,
     "beam must be finite with bmaj >= bmin > 0, got bmaj = -1.* bad at ra = "),
    (lambda ra, dec: (np.nan * u.arcsec, 5 * u.arcsec, 0 * u.deg), ValueError, "got bmaj = nan")])
def test_bad_functions(function, error, message):
    with pytest.raises(error, match=message):
        see(function)


def test_the_narrowest_beam_is_warned_of():
    nodes = BeamNodes(np.array([0.0, 99]), np.array([0.0, 99]), np.eye(2) * np.array([4, 4, 4, 0.3])[:, None, None])
    nodes = BeamNodes(nodes.x, nodes.y, nodes.covariance.reshape(2, 2, 2, 2))
    with pytest.warns(UserWarning, match=r"beam should be at least 2 pixels wide, got 1\.29 pixels"):
        TargetBeam.from_nodes(nodes, np.diag([-1.0, 1.0]))


def test_what_a_beam_may_be():
    with pytest.raises(TypeError, match="a table of beams or a function of .ra, dec., got float"):
        see(5.4)
