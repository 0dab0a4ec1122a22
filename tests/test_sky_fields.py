"""Fields of the whole radio sky: what is drawn is what the sky has, each source by the means that its size asks for."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from field_checks import check_field

import skygal
from skygal.population import Clustering, Sky
from skygal.seeds import Seeds

SIDE = 400


def grid(pixel=1.8, side=SIDE):
    return skygal.make_wcs("12h00m00s +30d00m00s", side, pixel * u.arcsec)


@pytest.fixture(scope="module")
def field():
    return skygal.simulate_field(grid(2.5, 600), survey="FIRST", flux=0.3 * u.mJy, sky="default", seed=3)


def test_no_word_on_sources_is_the_whole_sky():
    bare = skygal.simulate_field(grid(), survey="FIRST", seed=1)
    said = skygal.simulate_field(grid(), survey="FIRST", seed=1, sky="default")
    np.testing.assert_array_equal(bare.image, said.image)
    assert bare.provenance["configuration"]["sky"] == "default"
    assert bare.truth["flux_requested"].min() >= skygal.read_survey("FIRST").noise.to_value(u.Jy / u.beam) * u.Jy
    # any other word leaves galaxies alone
    for word in ({"n_sources": 3}, {"flux": 1 * u.mJy}, {"las": 10 * u.arcsec}, {"fr_mix": "balanced"}):
        other = skygal.simulate_field(grid(), survey="FIRST", seed=1, **word)
        assert set(other.truth["fr_class"]) <= {"FRI", "FRII"} and other.provenance["configuration"]["sky"] is None


def test_truth_is_what_the_sky_has(field):
    frequency = skygal.read_survey("FIRST").frequency
    drawn = Sky.read().sample(grid(2.5, 600), seeds=Seeds(3), frequency=frequency, flux=0.3 * u.mJy)
    truth = field.truth
    assert field.provenance["configuration"]["n_sources"] == len(drawn) == len(set(truth["parent_id"]))
    row = {int(k): i for i, k in enumerate(drawn["source_id"])}
    order = [row[int(k)] for k in truth["parent_id"]]
    assert (np.asarray(truth["population"]) == np.asarray(drawn["population"])[order]).all()
    np.testing.assert_allclose(truth["redshift"], drawn["redshift"][order])
    # the parts of a source add up to it
    flux = np.bincount(order, truth["flux_requested"].to_value(u.Jy), minlength=len(drawn))
    np.testing.assert_allclose(flux, drawn["flux"].to_value(u.Jy), rtol=1e-9)
    assert len(set(truth["population"])) >= 4


def test_the_beam_decides_who_is_a_galaxy(field):
    truth = field.truth
    galaxies = np.asarray(truth["fr_class"]) != "none"
    assert (truth["las_requested"][galaxies] > 3 * 5.4 * u.arcsec).all() and galaxies.any()
    assert set(truth["population"][galaxies]) <= {"FRI", "FRII"}
    assert (truth["population"][galaxies] == truth["fr_class"][galaxies]).all()
    coarse = skygal.simulate_field(grid(2.5, 600), beam=45 * u.arcsec, noise=0.1 * u.mJy, flux=0.3 * u.mJy,
                                   sky="default", seed=3)
    assert (np.asarray(coarse.truth["fr_class"]) != "none").sum() < galaxies.sum()
    assert coarse.truth["flux"].sum().value == pytest.approx(truth["flux"].sum().value, rel=1e-3)
    np.testing.assert_array_equal(np.sort(list(set(coarse.truth["parent_id"]))), np.sort(list(set(truth["parent_id"]))))


def test_flux_in_the_pixels(field):
    area = np.pi / (4 * np.log(2)) * (5.4 / 2.5)**2
    assert field.model.sum(dtype=float) / area == pytest.approx(field.truth["flux_in_image"].sum().value, rel=1e-4)


@pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")
def test_jets_apart_are_parts():
    field = skygal.simulate_field(grid(0.3, 600), beam=0.7 * u.arcsec, noise=False, flux=0.05 * u.mJy, sky="default",
                                  n_sources=900, seed=2)
    truth = field.truth
    part = np.asarray(truth["parent_id"] != truth["source_id"])
    assert part.any() and set(truth["population"][part]) == {"FR0"}
    assert set(truth["parent_id"][part]) <= set(truth["source_id"][~part])
    assert field.provenance["configuration"]["n_sources"] == 900 == (~part).sum()


def test_frequencies_share_the_sky():
    low, high = skygal.simulate_fields(grid(3.0, 500), frequency=[0.9, 1.8] * u.GHz, beam=[12, 6] * u.arcsec,
                                       noise=0.2 * u.mJy, seed=4)
    np.testing.assert_array_equal(low.truth["source_id"], high.truth["source_id"])
    assert (np.asarray(low.truth["fr_class"]) == np.asarray(high.truth["fr_class"])).all()
    index = np.log(high.truth["flux"] / low.truth["flux"]).value / np.log(2)
    assert -1.1 < np.median(index) < -0.4


def test_chunks_and_clustering():
    given = {"survey": "FIRST", "sky": "sdc1", "flux": 0.2 * u.mJy, "clustering": True, "seed": 5}
    whole, lazy = (skygal.simulate_field(grid(), chunks=chunks, **given) for chunks in (None, 150))
    np.testing.assert_array_equal(lazy.compute().image, whole.image)
    plain = skygal.simulate_field(grid(), **{**given, "clustering": None})
    assert len(plain.truth) != len(whole.truth) or (plain.truth["ra"] != whole.truth["ra"]).any()
    other = skygal.simulate_field(grid(), **{**given, "clustering": Clustering()})
    np.testing.assert_array_equal(other.image, whole.image)


def test_injection(tmp_path):
    made = skygal.simulate_field(grid(), 0, survey="FIRST", seed=7)
    path = made.write(tmp_path / "mosaic") / "field.fits"
    field = skygal.inject(path, sky="default", flux=0.3 * u.mJy, seed=8)
    assert len(set(field.truth["population"])) >= 3
    np.testing.assert_allclose(field.image, fits.getdata(path)[0, 0] + field.model, atol=1e-9)
    # without it they are galaxies, as they were
    assert set(skygal.inject(path, seed=8, flux=1 * u.mJy).truth["fr_class"]) <= {"FRI", "FRII"}


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"sky": "defalt"}, ValueError, "did you mean 'default'"),
    ({"sky": "default", "table": Table({"flux": [1] * u.mJy})}, ValueError,
     "table must be left out where sky is given, which has its own, got"),
    ({"sky": "default", "las": 3 * u.arcsec}, ValueError, "las must be left out where sky is given"),
    ({"n_sources": 2, "clustering": True}, ValueError, "clustering must be left out where there is no sky, got True"),
    ({"sky": "default", "clustering": 3}, TypeError, "clustering must be a skygal.population.Clustering, got 3"),
])
def test_bad_input(given, error, message):
    with pytest.raises(error, match=message):
        skygal.simulate_field(grid(), survey="FIRST", seed=1, **given)

def test_a_stamp_that_no_beam_smooths_rings_at_its_edge_and_keeps_its_flux():
    # 45" in beams of 0.6": larger than any stamp is in its own; the image ends in the ring around it
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 306, 0.2 * u.arcsec)
    with pytest.warns(UserWarning, match="coarser than the image's beam"):
        field = skygal.simulate_field(wcs, 57, sky="default", beam=0.6 * u.arcsec, noise=5 * u.uJy, flux=3 * u.mJy,
                                      seed=6458113978484928718)
    truth = field.truth
    ratio = truth["flux_in_image"].value / truth["flux_apparent"].value
    limited = np.asarray(truth["beam_limited"])
    assert ratio[~limited].max() < 1 + 1e-6
    assert 1 + 1e-5 < ratio[limited].max() < 1 + 1e-4
    assert list(check_field(field)) == []
