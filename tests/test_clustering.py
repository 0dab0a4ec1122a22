"""Clustered positions, held against the correlation that is asked for."""

import numpy as np
import pytest
from astropy import units as u
from scipy.spatial import cKDTree

from skygal.population import Clustering, Sky, sample_positions
from skygal.population import clustering as clustering_module
from skygal.population.clustering import _same_cell
from skygal.seeds import Seeds
from skygal.wcs import make_wcs

WCS = make_wcs("12h00m00s +30d00m00s", 400, 36 * u.arcsec)
SHAPE = (400, 400)


def vectors(ra, dec):
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def pairs(one, other, edges):
    """Numbers of pairs, each counted in both orders, in bins of separation in degrees."""
    chords = 2 * np.sin(np.radians(edges) / 2)
    return np.diff(cKDTree(one).count_neighbors(cKDTree(other), chords)).astype(float)


def landy_szalay(seeds, clustering, edges, expected=2500):
    """w with the numbers that the mean of all skies has, so that no integral of w over the field is lost."""
    random = vectors(*sample_positions(WCS, SHAPE, 8000, np.random.default_rng(0)))
    rr = pairs(random, random, edges)
    terms = []
    for seed in seeds:
        n = Seeds(seed).generator("n").poisson(expected * clustering.mean_density(WCS, SHAPE, seeds=Seeds(seed)))
        data = vectors(*clustering.sample_positions(WCS, SHAPE, n, seeds=Seeds(seed)))
        f = len(random) / expected
        terms.append((pairs(data, data, edges) * f**2 - 2 * pairs(data, random, edges) * f + rr) / rr)
    return np.mean(terms, axis=0), np.std(terms, axis=0) / np.sqrt(len(terms))


@pytest.mark.parametrize("amplitude", [1e-3, 1e-2])
@pytest.mark.parametrize("slope", [0.6, 0.8, 1.1])
def test_what_is_drawn_is_the_power_law(amplitude, slope):
    angle = np.geomspace(20 / 3600, 10, 60)
    found = Clustering(amplitude, slope).correlation(angle * u.deg)
    np.testing.assert_allclose(found, amplitude * angle**-slope, rtol=0.13)


def test_pairs_of_sources():
    clustering = Clustering(0.02, 0.8, smallest=60 * u.arcsec)
    edges = np.geomspace(0.02, 1.5, 7)
    found, error = landy_szalay(range(7), clustering, edges)
    # the mean of the power law over each bin's area
    expected = 0.02 * 2 / 1.2 * np.diff(edges**1.2) / np.diff(edges**2)
    assert (np.abs(found - expected) < 3.5 * error + 0.05 * expected).all(), (found, error, expected)
    assert (error < 0.35 * expected).all()


def test_numbers_in_cells(monkeypatch):
    """The variance of counts in a square of side t is n + n^2 2.2 A t^-0.8, t in degrees."""
    monkeypatch.setattr(clustering_module, "LATTICE", 1500)
    clustering = Clustering(5e-3, 0.8, smallest=60 * u.arcsec)
    wcs = make_wcs("12h00m00s +30d00m00s", 100, 36 * u.arcsec)
    found = [clustering.mean_density(wcs, (100, 100), seeds=Seeds(seed)) for seed in range(90)]
    # 90 draws know a variance to 15 %; that of the logarithm is less skewed
    assert np.std(np.log(found))**2 == pytest.approx(2.2 * 5e-3, rel=0.45)
    assert np.mean(found) == pytest.approx(1, abs=4 * np.std(found) / np.sqrt(90))


def test_two_points_in_one_cell():
    rng = np.random.default_rng(1)
    start = rng.random((200_000, 3))
    way = rng.standard_normal((200_000, 3))
    way /= np.linalg.norm(way, axis=1)[:, None]
    for length in (0.1, 0.5, 1.0):
        inside = ((start + length * way >= 0) & (start + length * way < 1)).all(axis=1).mean()
        assert _same_cell(np.array(length)) == pytest.approx(inside, abs=0.005)


def test_density_does_not_depend_on_what_else_is_asked_for():
    clustering = Clustering(0.01)
    ra, dec = sample_positions(WCS, SHAPE, 500, np.random.default_rng(3))
    whole = clustering.density(ra, dec, Seeds(1))
    np.testing.assert_array_equal(whole[100:120], clustering.density(ra[100:120], dec[100:120], Seeds(1)))
    assert np.corrcoef(whole, clustering.density(ra, dec, Seeds(2)))[0, 1] < 0.3
    assert (whole > 0).all()
    few, many = (clustering.sample_positions(WCS, SHAPE, n, seeds=Seeds(1)) for n in (30, 900))
    np.testing.assert_array_equal(np.array(few), np.array(many)[:, :30])


def test_without_amplitude_nothing_clusters():
    none = Clustering(0.0)
    assert (none.density(np.array([1.0, 200.0]), np.array([-80.0, 3.0]), Seeds(1)) == 1).all()
    assert none.correlation(1 * u.deg) == 0


def test_a_clustered_sky():
    sky = Sky.read()
    draw = {"frequency": 1.4 * u.GHz, "flux": 0.6 * u.mJy}
    alone = sky.sample(WCS, seeds=Seeds(4), **draw)
    again = sky.sample(WCS, seeds=Seeds(4), clustering=None, **draw)
    np.testing.assert_array_equal(alone["ra"], again["ra"])
    together = sky.sample(WCS, seeds=Seeds(4), clustering=Clustering(0.05, smallest=30 * u.arcsec), **draw)
    # fluxes and classes are the same ones, as many as there are of both
    n = min(len(alone), len(together))
    np.testing.assert_array_equal(alone["flux"][:n], together["flux"][:n])
    edges = np.array([0.001, 0.02])
    counted = [pairs(vectors(t["ra"].value, t["dec"].value), vectors(t["ra"].value, t["dec"].value), edges)[0]
               / len(t)**2 for t in (alone, together)]
    assert counted[1] > 1.5 * counted[0]


@pytest.mark.parametrize(("options", "message"), [
    ({"amplitude": -1}, "amplitude must be at least 0, got -1"),
    ({"slope": 2.5}, "slope must be below 2, got 2.5"),
    ({"smallest": 20 * u.deg}, "smallest must be below largest, and that at most 60 deg, got 20.0 deg and 10.0 deg"),
    ({"largest": 90 * u.deg}, "that at most 60 deg"),
    ({"largest": 3 * u.m}, "largest must be in units convertible to deg")])
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        Clustering(**options)


def test_clustering_of_another_kind():
    with pytest.raises(TypeError, match="clustering must be a skygal.population.Clustering, got 0.001"):
        Sky.read().sample(WCS, seeds=Seeds(1), frequency=1.4 * u.GHz, clustering=0.001)
