"""Sources that are drawn in parts, as a core and a jet, are one source in what is written for other programs."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from export_fields import small_field

import skygal
from skygal.observation.ellipse import FWHM, ellipse_covariance
from skygal.truth.exports.sky_model import make_sky_model
from skygal.truth.exports.whole import join_sources

#: rows of the table below that are parts of the source 7
PARTS = [0, 1, 2]


@cache
def field_of_parts(chunks=None):
    """Return a field of a core with two jets, across 0 h, and a source by itself."""
    wcs = skygal.make_wcs("00h00m00s +20d00m00s", 96, 1.8 * u.arcsec)
    x, y = np.array([[47.5, 47.5, 56.5, 20], [47.5, 47.5, 50.5, 70]])
    ra, dec = wcs.pixel_to_world_values(x, y)
    faint = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": [4, 6, 2, 5] * u.mJy, "source_id": [7, 20, 21, 9],
                    "parent_id": [7, 7, 7, 9], "kind": ["point", "gaussian", "gaussian", "gaussian"],
                    "population": ["FR0"] * 4, "b_maj": [0, 8, 3, 6] * u.arcsec, "b_min": [0, 3, 3, 5] * u.arcsec,
                    "pa": [0, 60, 0, 10] * u.deg, "spectral_index": [0, -0.8, -0.5, -0.7]})
    return skygal.simulate_field(wcs, 0, faint=faint, survey="FIRST", seed=3, chunks=chunks)


def test_a_source_has_the_sums_and_moments_of_its_parts():
    field = field_of_parts()
    joined = join_sources(field).truth
    assert list(joined["source_id"]) == [7, 9]
    one, parts = joined[0], field.truth[PARTS]
    flux = parts["flux"].value
    for name in ("flux", "flux_apparent", "flux_in_image", "flux_requested"):
        assert one[name].value == pytest.approx(parts[name].value.sum(), rel=1e-14)
    offset = np.stack([(parts["ra"].value + 180) % 360 * np.cos(np.radians(20)), parts["dec"].value], axis=1) * 3600
    mean = np.average(offset, axis=0, weights=flux)
    got = (one["ra"].value + 180) % 360 * np.cos(np.radians(20)) * 3600, one["dec"].value * 3600
    assert got == pytest.approx(mean, abs=2e-3)
    own = ellipse_covariance(parts["b_maj"].value, parts["b_min"].value, np.radians(parts["pa"].value))
    apart = offset - mean
    wanted = np.average(own + apart[:, :, None] * apart[:, None, :], axis=0, weights=flux)
    found = ellipse_covariance(one["b_maj"].value, one["b_min"].value, np.radians(one["pa"].value))
    np.testing.assert_allclose(found, wanted, atol=2e-3 * wanted.max())
    assert one["core_frac"] == pytest.approx(1 / 3, rel=1e-3) and one["spectral_index"] == pytest.approx(-5.8 / 12)
    assert one["ra_core"].value == parts["ra"][0].value
    # the two at one place peak at the same pixel
    pixels = field.model[40:55, 40:55]
    assert one["peak_flux"].value == pytest.approx(pixels.max(), rel=0.01)
    assert [one[f"bbox_{end}"] for end in ("xmin", "ymin")] == [parts[f"bbox_{end}"].min() for end in ("xmin", "ymin")]
    assert [one[f"bbox_{end}"] for end in ("xmax", "ymax")] == [parts[f"bbox_{end}"].max() for end in ("xmax", "ymax")]


def test_components_of_a_source_are_its_parts():
    field = join_sources(field_of_parts())
    assert list(field.components["source_id"]) == [7, 7, 7, 9] and list(field.components["component_id"]) == [1, 2, 3,
                                                                                                              1]
    np.testing.assert_allclose(field.components["flux_fraction"], [1 / 3, 1 / 2, 1 / 6, 1], rtol=1e-4)
    assert list(field.truth["n_components"]) == [3, 1]


def test_whole_sources_stay_as_they_are():
    field = small_field()
    assert join_sources(field) is field


@pytest.mark.parametrize("chunks", [None, 40])
def test_coco_has_one_box_and_one_mask(tmp_path, chunks):
    field = field_of_parts(chunks)
    labels = np.asarray(field.segmentation)
    # the parts are seen, each with pixels of its own
    assert {7, 9, 20, 21} & set(np.unique(labels)) > {9, 21}
    found = json.loads(field.export(tmp_path / "a.json", "coco").read_text())["annotations"]
    assert [one["source_id"] for one in found] == [7, 9]
    assert found[0]["area"] == np.isin(labels, [7, 20, 21]).sum()
    y, x = np.nonzero(np.isin(labels, [7, 20, 21]))
    left, bottom, wide, high = found[0]["bbox"]
    assert left <= x.min() and x.max() < left + wide and bottom <= y.min() and y.max() < bottom + high
    tiles = json.loads((field.export(tmp_path / "tiles", "coco_tiles", tile=96) / "annotations.json").read_text())
    assert sorted(one["area"] for one in tiles["annotations"]) == sorted(one["area"] for one in found)
    lines = (field.export(tmp_path / "yolo", "yolo", tile=96) / "labels/train").glob("*.txt")
    assert sum(len(path.read_text().splitlines()) for path in lines) == 2


def test_sdc1_and_regions_have_one_row_a_source(tmp_path):
    field = field_of_parts()
    rows = np.loadtxt(field.export(tmp_path / "sky.txt", "sdc1"))
    assert rows[:, 0].tolist() == [7, 9] and rows[0, 5] == pytest.approx(0.012, rel=1e-4)
    assert rows[0, 6] == pytest.approx(1 / 3, rel=1e-3) and rows[0, 10] == 2
    text = field.export(tmp_path / "sky.reg").read_text()
    assert text.count("ellipse(") == 2


def test_lists_have_a_patch_a_source_with_its_parts_as_they_are(tmp_path):
    field = field_of_parts()
    sky = make_sky_model(field, "bbs")
    assert sky.source_id.tolist() == [7, 7, 7, 9] and sky.component_id.tolist() == [1, 2, 3, 1]
    np.testing.assert_allclose(sky.major, [0, 8, 3, 6], rtol=1e-9)
    assert sky.flux.sum() == pytest.approx(field.truth["flux"].value.sum(), rel=1e-14)
    lines = field.export(tmp_path / "sky.skymodel").read_text().splitlines()[1:]
    patches = [line for line in lines if line.startswith(" , , ")]
    assert [line.split(",")[2].strip() for line in patches] == ["s7", "s9"]
    assert lines[1].startswith("s7c1, POINT, s7") and lines[3].startswith("s7c3, GAUSSIAN, s7")
    seconds = float(patches[0].split(",")[3].split(":")[2])
    joined = join_sources(field).truth
    assert seconds == pytest.approx(joined["ra"][0].value * 240 % 60, abs=1e-5)


def test_snr_is_that_of_the_whole_source():
    field = field_of_parts()
    whole, alone = join_sources(field).truth["snr"][0], field.truth["snr"][PARTS].max()
    assert whole > alone * 1.2
    from skygal.truth.exports.formats import _brighter
    assert np.asarray(_brighter(field, alone * 1.1).truth["source_id"]).tolist()[:3] == [7, 20, 21]


def test_the_covariance_of_a_round_source_is_its_width():
    # what the moments above are in: FWHM squared over 8 ln 2
    assert ellipse_covariance(3.0, 3.0, 0.0)[0, 0] == pytest.approx((3 / FWHM) ** 2)
