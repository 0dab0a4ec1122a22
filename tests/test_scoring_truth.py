"""The truth to score against, wherever it comes from: fields, folders, tables alone, components alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table, vstack
from export_fields import changed, small_field

import skygal
from skygal.scoring import read_truth_set
from skygal.truth import write_truth


@cache
def truth_of_field():
    return read_truth_set(small_field())


def same_columns(one, other, names):
    return all(np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_field().write(tmp_path_factory.mktemp("truth") / "field")


@pytest.mark.parametrize("name", ["", "truth.fits", "truth.ecsv"])
def test_a_folder_and_its_tables_are_the_field(folder, name):
    found, field = read_truth_set(folder / name), truth_of_field()
    assert found.name == "field" and found.beam == pytest.approx(field.beam) and found.shape == field.shape
    assert same_columns(found.hosts, field.hosts, field.hosts)
    assert same_columns(found.components, field.components, field.components)
    assert np.array_equal(found.segmentation, field.segmentation) and found.frequency == field.frequency == 1.4e9


@pytest.mark.parametrize("suffix", ["fits", "ecsv"])
def test_tables_alone_know_their_beam_and_find_their_components(tmp_path, suffix):
    field = small_field()
    write_truth(field.truth, tmp_path / f"a_truth.{suffix}")
    write_truth(field.components, tmp_path / f"a_components.{suffix}")
    found, known = read_truth_set(tmp_path / f"a_truth.{suffix}"), truth_of_field()
    assert found.name == f"a_truth.{suffix}" and found.wcs is None and found.beam == pytest.approx(known.beam)
    assert same_columns(found.hosts, known.hosts, known.hosts)
    assert np.array_equal(found.components["host"], known.components["host"])
    # without an image the ellipses alone are footprints
    score = skygal.score(found, field.components)
    assert score.summary["completeness"]["rate"] == score.summary["component_reliability"]["rate"] == 1


def test_components_alone_are_sources_of_what_they_are(tmp_path):
    field = small_field()
    write_truth(field.components, tmp_path / "components.fits")
    found, known = read_truth_set(tmp_path / "components.fits"), truth_of_field()
    assert np.array_equal(found.hosts["source_id"], known.hosts["source_id"])
    assert found.hosts["flux"] == pytest.approx(known.hosts["flux_apparent"])
    several = found.hosts["n_components"] > 1
    assert several.any() and np.array_equal(found.hosts["n_components"], known.hosts["n_components"])
    assert found.hosts["ra"] == pytest.approx(known.hosts["ra"], abs=2e-6)
    assert found.hosts["dec"] == pytest.approx(known.hosts["dec"], abs=2e-6)
    assert (found.hosts["las"][several] > 0).all() and np.isinf(found.hosts["snr"]).all()
    score = skygal.score(tmp_path / "components.fits", field.components)
    assert score.summary["component_completeness"]["rate"] == score.summary["completeness"]["rate"] == 1
    assert skygal.score(tmp_path / "components.fits", field.truth).summary["completeness"]["rate"] == 1


def test_sources_without_components_are_matched_as_wholes():
    field = small_field()
    truth = read_truth_set(field.truth, beam=5.4 * u.arcsec)
    score = skygal.score(truth, field.truth)
    assert truth.components is None and "component_completeness" not in score.summary
    assert score.summary["completeness"]["rate"] == score.summary["reliability"]["rate"] == 1
    assert np.array_equal(score.matches.component_of_row, score.matches.host_of_row)
    assert {curve.level for curve in score.curves} == {"host"} and score.errors["snr"]


def test_what_a_table_lacks_follows_from_the_rest():
    truth = read_truth_set(Table({"ra": [10.0, 11.0], "dec": [0.0, 0.0], "flux": [1.0, 2.0]}), beam=5 * u.arcsec)
    assert truth.hosts["source_id"].tolist() == [1, 2] and truth.hosts["peak_flux"].tolist() == [1, 2]
    assert np.isinf(truth.hosts["snr"]).all() and truth.hosts["neighbour"] == pytest.approx(3600)
    noisy = read_truth_set(QTable({"ra": [10.0] * u.deg, "dec": [0.0] * u.deg, "flux": [2.0] * u.mJy,
                                   "local_rms": [0.1] * u.mJy / u.beam}), beam=5 * u.arcsec)
    assert noisy.hosts["snr"] == pytest.approx(20) and noisy.hosts["flux"] == pytest.approx(2e-3)


@pytest.mark.parametrize(("columns", "error"), [
    ({"source_id": [3, 3]}, "truth must have each source_id once, got 3 2 times"),
    ({"flux": [1.0, np.nan]}, "truth must have finite flux, got nan of source_id 2"),
    ({"ra": [np.nan, np.nan]}, "truth must have finite ra, got nan of source_id 1 and 1 others"),
])
def test_tables_that_cannot_be(columns, error):
    table = Table({"source_id": [1, 2], "ra": [10.0, 11.0], "dec": [0.0, 0.0], "flux": [1.0, 2.0], **columns})
    with pytest.raises(ValueError, match=error):
        read_truth_set(table, beam=5 * u.arcsec)


def test_components_that_cannot_be():
    field = small_field()
    with pytest.raises(ValueError, match="components must have each source_id and component_id once, got 1 and 1 2"):
        read_truth_set(field.truth, components=vstack([field.components, field.components[:1]]), beam=5 * u.arcsec)
    short = field.components.copy()
    short.remove_columns(["component_id", "flux"])
    with pytest.raises(ValueError, match="components must have the columns .* got no component_id, flux"):
        read_truth_set(field.truth, components=short, beam=5 * u.arcsec)
    with pytest.raises(FileNotFoundError, match="truth 'nowhere.fits' does not exist"):
        read_truth_set("nowhere.fits")


def test_the_beam_is_turned_into_icrs():
    """On a galactic grid its angle is from galactic north, which lies elsewhere."""
    from astropy.coordinates import SkyCoord
    from radio_beam import Beam

    centre = SkyCoord(30 * u.deg, 20 * u.deg, frame="galactic")
    field = skygal.simulate_field(skygal.make_wcs(centre, 64, 1.8 * u.arcsec), n_sources=0, noise=1 * u.mJy, seed=1,
                                  beam=Beam(9 * u.arcsec, 5 * u.arcsec, 25 * u.deg))
    turn = centre.icrs.position_angle(SkyCoord(30 * u.deg, 20.01 * u.deg, frame="galactic").icrs).deg
    assert read_truth_set(field).beam == pytest.approx((9, 5, (25 + turn) % 180), abs=0.01)


def test_a_part_whose_parent_is_elsewhere_belongs_to_it():
    """Parts are put together by the parent that they name, though it has no pixel in the image."""
    field = small_field()
    table = field.truth.copy()
    table["parent_id"][:2] = 99
    truth = read_truth_set(changed(field, truth=table))
    host = int(np.flatnonzero(truth.hosts["source_id"] == 99)[0])
    brighter = int(np.argmax(field.truth["flux_apparent"][:2]))
    assert truth.hosts["fr_class"][host] == field.truth["fr_class"][brighter]
    assert truth.hosts["n_components"][host] == field.truth["n_components"][:2].sum()
    # each part is known as a row, though the two together are one source
    score = skygal.score(changed(field, truth=table), field.truth)
    assert score.matches.host_of_row[:2].tolist() == [host, host] and score.summary["reliability"]["rate"] == 1
