"""What is written for other programs, read as their formats say; see also test_export_readers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from astropy.wcs import WCS
from export_fields import changed, rows, small_field, with_column
from PIL import Image
from scipy import signal

import skygal
from skygal.observation.ellipse import FWHM, ellipse_covariance
from skygal.truth.exports import export_field, list_formats
from skygal.truth.exports.bbs import sexagesimal
from skygal.truth.exports.masks import encode_mask, iter_masks
from skygal.truth.exports.sdc1 import in_training_area
from skygal.truth.exports.sky_model import make_sky_model

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")
MAS = 1 / 3.6e6


@pytest.fixture(scope="module")
def field():
    return small_field()


def apart(ra, dec, truth):
    """Return how far positions in degrees are from those of truth, mas."""
    return SkyCoord(ra * u.deg, dec * u.deg).separation(SkyCoord(truth["ra"], truth["dec"])).to_value(u.mas)


# ---- SDC1

def read_sdc1(path):
    found = np.loadtxt(path, ndmin=2)
    names = ["id", "ra_core", "dec_core", "ra_cent", "dec_cent", "flux", "core_frac", "b_maj", "b_min", "pa", "size",
             "class"]
    assert found.shape[1] == 12
    return dict(zip(names, found.T, strict=True))


def test_sdc1_has_truth_in_the_units_of_the_challenge(field, tmp_path):
    got = read_sdc1(field.export(tmp_path / "sky.txt", "sdc1"))
    truth = field.truth
    assert np.array_equal(got["id"], truth["source_id"])
    assert apart(got["ra_cent"], got["dec_cent"], truth).max() < 1e-3
    np.testing.assert_allclose(got["flux"], truth["flux"].to_value("Jy"), rtol=1e-8)
    assert np.all((got["ra_cent"] > -180) & (got["ra_cent"] <= 180)) and got["ra_cent"].min() < 0 < got["ra_cent"].max()
    core = np.isfinite(truth["ra_core"])
    assert 0 < core.sum() < len(truth)
    assert np.abs((got["ra_core"] - truth["ra_core"].value + 180) % 360 - 180)[core].max() < 1e-9
    assert np.array_equal(got["ra_core"][~core], got["ra_cent"][~core])
    # clockwise from west: a source along the meridian has 90, and one to the north-east 45
    np.testing.assert_allclose(np.cos(2 * np.radians(got["pa"] + truth["pa"].value)), -1, atol=1e-8)
    kind = np.asarray(truth["morphology"])
    sizes = np.select([kind == "exponential", np.isin(kind, ["point", "gaussian"])], [3, 2], 1)
    assert np.array_equal(got["size"], sizes)
    assert got["class"].tolist() == [1, 1, 1, 1, 2, 1, 3]
    galaxies = got["size"] == 1
    np.testing.assert_allclose(got["b_maj"][galaxies], truth["las"][galaxies].value, rtol=1e-8)
    # what was asked for: a scale length of 1.5" and axes of 4" and 2"
    np.testing.assert_allclose(got["b_maj"][-2:], [4, 1.5], rtol=1e-6)
    np.testing.assert_allclose(got["b_min"][-2:], [2, 1], rtol=1e-6)
    # no zero, by which the scorer divides, and nothing negative or NaN
    assert all(np.isfinite(column).all() for column in got.values())
    assert got["b_maj"].min() > 0 and got["b_min"].min() > 0 and got["core_frac"].min() >= 0


def test_sdc1_header_and_areas(field, tmp_path):
    lines = field.export(tmp_path / "a.txt", "sdc1", header=True).read_text().splitlines()
    assert lines[0].split()[:3] == ["id", "ra_core", "dec_core"] and len(lines) == len(field.truth) + 1
    ra, dec = np.array([-0.1, 359.9, 0.1, -0.3]), np.array([-29.8, -29.8, -29.8, -29.8])
    assert in_training_area(ra, dec, 1400).tolist() == [True, True, False, False]
    inside = with_column(field, **{name: np.full(len(field.truth), value) * u.deg for name, value in
                                   (("ra_core", 359.9), ("dec_core", -29.8))})
    inside.truth["ra_core"][0] = 10 * u.deg
    parts = [read_sdc1(inside.export(tmp_path / f"{area}.txt", "sdc1", area=area))["id"]
             for area in ("training", "test")]
    assert [len(part) for part in parts] == [len(field.truth) - 1, 1]
    elsewhere = changed(field, provenance={**field.provenance, "frequency": 3e9 * u.Hz})
    with pytest.raises(ValueError, match="area must be 'all' at frequencies other than 560, 1400, 9200 MHz, got"):
        elsewhere.export(tmp_path / "x.txt", "sdc1", area="test")


def test_sdc1_classes_follow_populations(field, tmp_path):
    other = with_column(field, population=["FRI", "FRII", "FRII", "FRI", "SFG", "RQ-AGN", "FR0"])
    # of what is no galaxy with a stamp: a flat point, a steep Gaussian, a steep disc
    assert read_sdc1(other.export(tmp_path / "a.txt", "sdc1"))["class"].tolist() == [1, 1, 1, 1, 3, 3, 1]


def test_sdc1_leaves_out_what_has_no_pixel(field, tmp_path):
    one = with_column(field, flux_in_image=np.where(np.arange(len(field.truth)) == 2, 0, 1) * u.Jy)
    assert 3 not in read_sdc1(one.export(tmp_path / "a.txt", "sdc1"))["id"]


# ---- regions

def covariance_of(truth, k, header):
    """Return the covariance (east, north) of the ellipse that is promised: LAS and axis ratio, with the beam."""
    ratio = (truth["b_min"][k] / truth["b_maj"][k]).value if truth["b_maj"][k] > 0 else 1
    las = truth["las"][k].value
    own = ellipse_covariance(las, las * ratio, truth["pa"][k].to_value(u.rad))
    return own + ellipse_covariance(header["BMAJ"] * 3600, header["BMIN"] * 3600, np.radians(header["BPA"]))


def test_regions_are_ellipses_on_the_sky(field, tmp_path):
    ds9 = field.export(tmp_path / "sky.reg").read_text().splitlines()
    crtf = field.export(tmp_path / "sky.crtf").read_text().splitlines()
    assert ds9[:2] == ["# Region file format: DS9", "icrs"] and crtf[0] == "#CRTFv0"
    for k, (first, second) in enumerate(zip(ds9[2:], crtf[1:], strict=True)):
        ra, dec, major, minor, angle = map(float, re.fullmatch(
            r'ellipse\(([\d.]+),([-\d.]+),([\d.]+)",([\d.]+)",([\d.]+)\) # .*', first).groups())
        found = tuple(map(float, re.fullmatch(
            r"ellipse \[\[([\d.]+)deg, ([-\d.]+)deg\], \[([\d.]+)arcsec, ([\d.]+)arcsec\], ([\d.]+)deg\], "
            r"coord=ICRS, .*",
            second).groups()))
        assert apart(np.array([ra]), np.array([dec]), field.truth[k:k + 1]).max() < 0.01
        # DS9 counts from west, or east, through north: 90 degrees for one along the meridian
        wanted = covariance_of(field.truth, k, field.header)
        np.testing.assert_allclose(ellipse_covariance(2 * major, 2 * minor, np.radians(angle - 90)), wanted, atol=1e-4)
        np.testing.assert_allclose(found, (ra, dec, major, minor, angle - 90), atol=1e-6)
    assert "text={1} tag={FRI}" in ds9[2] and "label='2'" in crtf[2]


def test_regions_of_components_are_points(field, tmp_path):
    lines = field.export(tmp_path / "a.reg", level="components").read_text().splitlines()[2:]
    assert len(lines) == len(field.components)
    found = [re.match(r"point\(([\d.]+),([-\d.]+)\)", line).groups() for line in lines]
    ra, dec = np.array(found, float).T
    assert apart(ra, dec, field.components).max() < 0.01
    lines = field.export(tmp_path / "a.crtf", level="components").read_text().splitlines()[1:]
    assert len(lines) == len(field.components) and all(line.startswith("symbol [[") for line in lines)
    with pytest.raises(ValueError, match="level must be one of 'sources', 'components', got 'source'"):
        field.export(tmp_path / "b.reg", level="source")


# ---- VOTable

def test_votable_keeps_every_bit_and_has_ucds(field, tmp_path):
    path = field.export(tmp_path / "sky.vot", level="both")
    found = parse(path, verify="exception")
    for name, table in (("sources", field.truth), ("components", field.components)):
        element = found.get_table_by_id(name)
        for one in element.fields:
            assert check_ucd(one.ucd, check_controlled_vocabulary=True), (one.name, one.ucd)
            assert one.description
        got = element.to_table()
        assert got.colnames == table.colnames
        for column in table.colnames:
            values = getattr(table[column], "value", table[column])
            assert np.array_equal(np.ma.getdata(got[column]), np.asarray(values),
                                  equal_nan=np.asarray(values).dtype.kind == "f"), column
            assert (got[column].unit or u.one) == (getattr(table[column], "unit", None) or u.one)
    ra = next(one for one in found.get_table_by_id("sources").fields if one.name == "ra")
    assert ra.ref == "icrs" and found.get_coosys_by_id("icrs").system == "ICRS"
    flux = next(one for one in found.get_table_by_id("sources").fields if one.name == "flux")
    assert flux.ucd == "phot.flux.density;em.radio.750-1500MHz"
    params = {one.name: one.value for one in found.resources[0].params}
    assert params["seed"] == str(field.provenance["seed"]) and params["frequency"] == 1.4e9
    assert len(Table.read(field.export(tmp_path / "one.xml"), format="votable")) == len(field.truth)


def test_votable_without_sources(field, tmp_path):
    path = rows(field, slice(0, 0)).export(tmp_path / "sky.vot")
    assert len(Table.read(path, format="votable")) == 0


# ---- masks, COCO, YOLO

def decode(rle):
    """Return the mask in compressed run lengths, as the COCO API's rleFrString and rleDecode read them."""
    text, counts, k = rle["counts"], [], 0
    while k < len(text):
        number, shift, more = 0, 0, True
        while more:
            digit = ord(text[k]) - 48
            number |= (digit & 0x1F) << 5 * shift
            more = bool(digit & 0x20)
            k, shift = k + 1, shift + 1
            if not more and digit & 0x10:
                number |= -1 << 5 * shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    height, width = rle["size"]
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    return flat.reshape(width, height).T.astype(bool)


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(3, 300, 2))
    y0, x0 = (int(rng.integers(0, side)) for side in shape)
    y1, x1 = int(rng.integers(y0 + 1, shape[0] + 1)), int(rng.integers(x0 + 1, shape[1] + 1))
    mask = rng.random((y1 - y0, x1 - x0)) < rng.choice([0.02, 0.5, 1.0])
    whole = np.zeros(shape, bool)
    whole[y0:y1, x0:x1] = mask
    got = decode({"size": shape, "counts": encode_mask(mask, y0, x0, shape)})
    assert np.array_equal(got, whole)


def test_masks_come_the_same_whatever_the_bands():
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(1)
    labels = np.kron(rng.integers(0, 30, (10, 9)), np.ones((7, 5), int))
    ids = np.arange(1, 30)
    boxes = np.zeros((29, 4), int)
    for k, label in enumerate(ids):
        y, x = np.nonzero(labels == label)
        if y.size:
            boxes[k] = y.min(), y.max() + 1, x.min(), x.max() + 1
    for chunks in ((70, 45), (11, 45), (1, 45), (32, 20)):
        found = dict(iter_masks(da.from_array(labels, chunks), ids, boxes))
        for k, label in enumerate(ids):
            y0, y1, x0, x1 = boxes[k]
            assert (k in found) == (y1 > y0)
            if k in found:
                assert np.array_equal(found[k], (labels == label)[y0:y1, x0:x1])


def check_annotations(content, labels, truth, *, clipped):
    names = {one["id"]: one["name"] for one in content["categories"]}
    assert [one["id"] for one in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    for one in content["annotations"]:
        image = labels[one["image_id"]]
        row = truth[truth["source_id"] == one["source_id"]][0]
        mask = decode(one["segmentation"])
        assert np.array_equal(mask, image == one["source_id"]) and one["area"] == mask.sum() and one["iscrowd"] == 0
        assert names[one["category_id"]] == row["fr_class"]
        x, y, w, h = one["bbox"]
        if not clipped:
            assert (x, y) == (row["bbox_xmin"], row["bbox_ymin"])
            assert (x + w, y + h) == (row["bbox_xmax"] + 1, row["bbox_ymax"] + 1)
        # the box is of pixels' edges, and has the mask in it
        inside = np.zeros_like(mask)
        inside[y:y + h, x:x + w] = True
        assert w > 0 and h > 0 and x >= 0 and y >= 0 and not (mask & ~inside).any()


def test_coco_of_a_field(field, tmp_path):
    content = json.loads(field.export(tmp_path / "sky.json", "coco").read_text())
    labels = np.asarray(field.segmentation)
    assert content["images"] == [{"id": 1, "width": 192, "height": 192, "file_name": "field.fits"}]
    assert {one["source_id"] for one in content["annotations"]} == set(np.unique(labels)) - {0}
    assert [one["name"] for one in content["categories"]] == ["FRI", "FRII", "none"]
    check_annotations(content, {1: labels}, field.truth, clipped=False)


def test_coco_of_tiles(field, tmp_path):
    folder = field.export(tmp_path / "tiles", "coco_tiles", tile=100)
    content = json.loads((folder / "annotations.json").read_text())
    labels = {}
    for image in content["images"]:
        y0, x0 = map(int, image["file_name"].removesuffix(".png").split("_"))
        grey = np.asarray(Image.open(folder / "images" / image["file_name"]))
        assert grey.shape == (image["height"], image["width"]) == (96, 96) and grey.dtype == np.uint8
        part = slice(y0, y0 + 96), slice(x0, x0 + 96)
        # rows are counted downward: the last one of the field is on top
        labels[image["id"]] = np.asarray(field.segmentation)[part][::-1]
        brightness = np.asarray(field.image)[part][::-1]
        order = np.argsort(brightness, axis=None)
        assert np.all(np.diff(grey.ravel()[order].astype(int)) >= 0) and grey.max() > 100
    assert len(labels) == 4
    check_annotations(content, labels, field.truth, clipped=True)
    seen = {(k, source) for k, part in labels.items() for source in np.unique(part) if source}
    assert {(one["image_id"], one["source_id"]) for one in content["annotations"]} == seen


def test_categories(field, tmp_path):
    content = json.loads(field.export(tmp_path / "a.json", "coco", categories="FRII, FRI").read_text())
    assert [(one["id"], one["name"]) for one in content["categories"]] == [(1, "FRII"), (2, "FRI")]
    assert {one["source_id"] for one in content["annotations"]} == {1, 2, 3, 4}
    content = json.loads(field.export(tmp_path / "b.json", "coco", categories="radiogalaxynet").read_text())
    names = {one["id"]: one["name"] for one in content["categories"]}
    assert names == {1: "FR-II", 2: "FR-I", 3: "FR-X", 4: "R"}
    found = {one["source_id"]: names[one["category_id"]] for one in content["annotations"]}
    assert found[1] == "FR-I" and found[2] == "FR-II" and found[5] == "R"
    with pytest.raises(ValueError, match="categories must be names of classes, each once, got 'FRI,FRI'"):
        field.export(tmp_path / "c.json", "coco", categories="FRI,FRI")


def test_yolo(field, tmp_path):
    folder = field.export(tmp_path / "yolo", tile=100, format="yolo", validation=2)
    settings = yaml.safe_load((folder / "data.yaml").read_text())
    assert settings == {"train": "images/train", "val": "images/val", "names": ["FRI", "FRII", "none"]}
    count = 0
    for part in ("train", "val"):
        pictures = sorted((folder / "images" / part).iterdir())
        assert [path.stem for path in pictures] == [path.stem for path in sorted((folder / "labels" / part).iterdir())]
        assert len(pictures) == 2
        for path in pictures:
            y0, x0 = map(int, path.stem.split("_"))
            labels = np.asarray(field.segmentation)[y0:y0 + 96, x0:x0 + 96][::-1]
            text = (folder / "labels" / part / f"{path.stem}.txt").read_text()
            boxes = np.array([line.split() for line in text.splitlines()], float).reshape(-1, 5)
            assert len(boxes) == len(set(np.unique(labels)) - {0})
            assert np.all((boxes[:, 1:] > 0) & (boxes[:, 1:] <= 1))
            for (kind, x, y, w, h), source in zip(boxes, sorted(set(np.unique(labels)) - {0}), strict=True):
                row = field.truth[field.truth["source_id"] == source][0]
                ends = np.clip([row["bbox_xmin"] - x0, row["bbox_xmax"] + 1 - x0, 96 - (row["bbox_ymax"] + 1 - y0),
                                96 - (row["bbox_ymin"] - y0)], 0, 96)
                np.testing.assert_allclose(96 * np.array([x - w / 2, x + w / 2, y - h / 2, y + h / 2]), ends, atol=1e-6)
                assert settings["names"][int(kind)] == row["fr_class"]
                count += 1
    assert count >= len(field.truth)


def test_yolo_without_sources(field, tmp_path):
    empty = changed(rows(field, slice(0, 0)), segmentation=np.zeros(field.segmentation.shape, np.int32))
    folder = empty.export(tmp_path / "yolo", "yolo")
    assert yaml.safe_load((folder / "data.yaml").read_text())["val"] == "images/train"
    assert [path.read_text() for path in (folder / "labels" / "train").iterdir()] == [""]


@pytest.mark.parametrize(("limits", "error", "words"), [
    ((2, 1), ValueError, "low < high"), ((1 * u.Jy, 2 * u.Jy), ValueError, "Jy / beam"), (3, TypeError, "pair")])
def test_bad_limits(field, tmp_path, limits, error, words):
    with pytest.raises(error, match=f"limits.*{words}"):
        field.export(tmp_path / "a", "yolo", limits=limits)
    assert list(tmp_path.iterdir()) == []


# ---- component lists

def read_list(path):
    """Return the rows of a component list by name, and its patches."""
    lines = path.read_text().splitlines()
    names = [re.match(r"\w+", word.strip())[0] for word in lines[0].split("=", 1)[1].split(",")]
    found, patches = {}, {}
    for line in lines[1:]:
        words = [word.strip() for word in re.split(r",(?![^\[]*\])", line)]
        if not words[0]:
            patches[words[2]] = words[3:]
            continue
        assert len(words) == len(names)
        row = dict(zip(names, words, strict=True))
        assert row["Name"] not in found
        found[row["Name"]] = row
    return found, patches


def degrees(ra, dec):
    h, m, s = map(float, ra.split(":"))
    sign, d, arcm, arcs = re.fullmatch(r"([-+])(\d\d)\.(\d\d)\.(\d\d\.\d+)", dec).groups()
    return 15 * (h + m / 60 + s / 3600), (-1 if sign == "-" else 1) * (int(d) + int(arcm) / 60 + float(arcs) / 3600)


def test_sexagesimal_never_has_sixty_seconds():
    assert sexagesimal(359.9999999999, "ra") == "00:00:00.000000" and sexagesimal(-29.9999999999999, "dec") == \
        "-30.00.00.00000"
    assert sexagesimal(-1e-4, "dec").startswith("-00.00.00.36")


def test_lists_have_a_patch_a_source_and_a_row_a_component(field, tmp_path):
    found, patches = read_list(field.export(tmp_path / "sky.skymodel"))
    plain, none = read_list(field.export(tmp_path / "sky.txt", "wsclean"))
    assert none == {} and plain == {name: {key: value for key, value in row.items() if key != "Patch"}
                                    for name, row in found.items()}
    assert len(found) == len(field.components) and list(patches) == [f"s{k}" for k in field.truth["source_id"]]
    at = np.array([degrees(*words) for words in patches.values()]).T
    assert apart(*at, field.truth).max() < 0.02
    at = np.array([degrees(row["Ra"], row["Dec"]) for row in found.values()]).T
    assert apart(*at, field.components).max() < 0.02
    for row in field.truth:
        mine = [one for one in found.values() if one["Patch"] == f"s{row['source_id']}"]
        assert len(mine) == row["n_components"]
        assert sum(float(one["I"]) for one in mine) == pytest.approx(row["flux"].value, rel=1e-10)
        # S = S0 10^(a0 x + a1 x^2), x = log10(nu / nu0)
        for one, part in zip(mine, field.components[field.components["source_id"] == row["source_id"]], strict=True):
            a0, a1 = json.loads(one["SpectralIndex"])
            ratio = 0.3
            wanted = ratio**(part["spectral_index"] + part["curvature"] * np.log(ratio))
            assert 10**(a0 * np.log10(ratio) + a1 * np.log10(ratio)**2) == pytest.approx(wanted, rel=1e-6)
            assert one["LogarithmicSI"] == "true" and float(one["ReferenceFrequency"]) == 1.4e9
    kinds = [one["Type"] for one in found.values()]
    assert kinds[-3:] == ["POINT", "GAUSSIAN", "GAUSSIAN"]
    gaussian = list(found.values())[-2]
    assert [float(gaussian[name]) for name in ("MajorAxis", "MinorAxis", "Orientation")] == pytest.approx([4, 2, 120])


def test_lists_have_each_source_s_second_moments(field):
    sky = make_sky_model(field, "bbs")
    checked = 0
    for k, row in enumerate(field.truth):
        mine = sky.source == k
        own = ellipse_covariance(sky.major[mine], sky.minor[mine], np.radians(sky.pa[mine]))
        east = ((sky.ra[mine] - row["ra"].value + 180) % 360 - 180) * np.cos(row["dec"].to_value(u.rad)) * 3600
        offset = np.stack([east, (sky.dec[mine] - row["dec"].value) * 3600], axis=1)
        share = sky.flux[mine] / sky.flux[mine].sum()
        offset -= share @ offset
        got = np.einsum("n,nij->ij", share, own) + np.einsum("n,ni,nj->ij", share, offset, offset)
        wanted = ellipse_covariance(row["b_maj"].value, row["b_min"].value, row["pa"].to_value(u.rad))
        # components that are further apart than the moments leave nothing to spread them by
        spread = np.linalg.eigvalsh(wanted - np.einsum("n,ni,nj->ij", share, offset, offset))
        if spread[0] > 1e-3 * spread[1]:
            np.testing.assert_allclose(got, wanted, atol=1e-3 * np.trace(wanted) + 1e-6)
            checked += 1
    assert checked >= 4


def test_apparent_fluxes_and_other_frequencies(tmp_path):
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 128, 30 * u.arcsec)
    _, high = skygal.simulate_fields(wcs, 3, frequency=[1, 2] * u.GHz, beam=100 * u.arcsec, noise=False, seed=2,
                                     primary_beam="25 m", flux=(10 * u.mJy, 1 * u.Jy), curvature=-0.2)
    for flux, name in (("intrinsic", "flux"), ("apparent", "flux_apparent")):
        sky = make_sky_model(high, "bbs", flux=flux)
        np.testing.assert_allclose(np.bincount(sky.source, sky.flux), high.truth[name].value, rtol=1e-12)
    assert sky.frequency == 2e9
    # the slope of nu^(a + b ln(nu / 1 GHz)) at 2 GHz
    parts = high.components
    np.testing.assert_allclose(sky.index, parts["spectral_index"] + 2 * -0.2 * np.log(2), rtol=1e-12)


def test_oskar(field, tmp_path):
    with pytest.warns(UserWarning, match="oskar has no curvature of spectra in its fixed columns"):
        path = field.export(tmp_path / "sky.osm")
    got = np.loadtxt(path)
    sky = make_sky_model(field, "oskar")
    assert got.shape == (len(field.components), 12)
    zero = np.zeros(len(sky))
    wanted = [sky.ra, sky.dec, sky.flux, zero, zero, zero, zero + 1.4e9, sky.index, zero, sky.major, sky.minor, sky.pa]
    np.testing.assert_allclose(got, np.transpose(wanted), rtol=1e-9, atol=1e-12)
    # no Gaussian without a minor axis, for which there is no ellipse
    assert np.all((got[:, 10] > 0) == (got[:, 9] > 0))
    lines = field.export(tmp_path / "named.osm", columns="named").read_text().splitlines()
    assert lines[0].startswith("Format = RaD, DecD, I, ") and "SpectralCurvature" in lines[0]
    named = np.array([line.split(",") for line in lines[1:]], float)
    wanted = np.transpose([sky.ra, sky.dec, sky.flux, sky.curvature])
    np.testing.assert_allclose(named[:, [0, 1, 2, 5]], wanted, rtol=1e-9)


def test_components_without_a_place_are_at_their_source(field):
    parts = field.components.copy()
    parts["ra"][0] = np.nan * u.deg
    sky = make_sky_model(changed(field, components=parts), "bbs")
    assert sky.ra[0] == field.truth["ra"][0].value and np.isfinite(sky.major).all()


# ---- the sky in Jy/pixel

def test_the_sky_has_all_the_flux_at_its_place(field, tmp_path):
    inner = rows(field, ~np.asarray(field.truth["edge"]))
    for oversample in (1, 2, 3):
        path = inner.export(tmp_path / f"{oversample}.fits", "model", oversample=oversample)
        header, pixels = fits.getheader(path), fits.getdata(path).squeeze().astype(float)
        assert header["BUNIT"] == "Jy/pixel" and "BMAJ" not in header and header["NAXIS"] == 4
        assert pixels.sum() == pytest.approx(inner.truth["flux"].value.sum(), rel=1e-5)
        wcs = WCS(header).celestial
        assert header["SKYFWHM"] == pytest.approx(3.6 / 3600 / oversample)
        for row in inner.truth:
            one = rows(inner, np.asarray(inner.truth["source_id"]) == row["source_id"])
            image, _ = skygal_sky(one, oversample)
            y, x = np.indices(image.shape)
            total = image.sum()
            assert total == pytest.approx(row["flux"].value, rel=2e-6)
            ra, dec = wcs.pixel_to_world_values((image * x).sum() / total, (image * y).sum() / total)
            assert apart(np.array([ra]), np.array([dec]), one.truth).max() < 1


def skygal_sky(field, oversample):
    from skygal.truth.exports.model import sky_image

    image, wcs = sky_image(field, oversample=oversample)
    return image[0:image.shape[0]].astype(float), wcs


def test_the_sky_seen_with_the_beam_is_the_model(field, tmp_path):
    """Of sources whose own beam is narrower than the sky's pixels, in one go and band by band."""
    keep = np.asarray(field.truth["latent_seed"]) < 0
    sky, _ = skygal_sky(rows(field, keep), 1)
    beam = (field.header["BMAJ"] / field.header["CDELT2"])**2 / FWHM**2
    y, x = np.indices((63, 63)) - 31
    kernel = np.exp(-(x**2 + y**2) / 2 / (beam - 4 / FWHM**2))
    got = signal.fftconvolve(sky, kernel / kernel.sum(), mode="same") * 2 * np.pi * beam
    for row in field.truth[keep]:
        x, y = int(row["x"]), int(row["y"])
        part = slice(y - 8, y + 9), slice(x - 8, x + 9)
        np.testing.assert_allclose(got[part], np.asarray(field.model)[part], atol=2e-3 * row["peak_flux"].value)


def test_the_sky_is_not_smoothed_by_the_field_s_beam(field):
    sky, wcs = skygal_sky(rows(field, np.asarray(field.truth["morphology"]) == "gaussian"), 2)
    y, x = np.indices(sky.shape)
    total = sky.sum()
    centre = (sky * x).sum() / total, (sky * y).sum() / total
    trace = (sky * ((x - centre[0])**2 + (y - centre[1])**2)).sum() / total * 0.9**2
    # the Gaussian's own 4" by 2", and 2 pixels of 0.9"
    assert trace == pytest.approx((4**2 + 2**2 + 2 * 1.8**2) / FWHM**2, rel=1e-3)


def test_bands_of_the_sky_are_those_of_the_whole(field):
    from skygal.truth.exports.model import sky_image

    image, _ = sky_image(field, oversample=1)
    whole = image[0:192]
    bands = [image[first:first + 50] for first in range(0, 150, 50)] + [image[150:192]]
    assert np.array_equal(np.concatenate(bands), whole)


def test_the_sky_at_another_frequency_and_through_the_primary_beam():
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 160, 6 * u.arcsec)
    fields = skygal.simulate_fields(wcs, 4, frequency=[1, 3] * u.GHz, beam=18 * u.arcsec, noise=False, seed=4,
                                    primary_beam="25 m", flux=(10 * u.mJy, 1 * u.Jy),
                                    las=(20 * u.arcsec, 40 * u.arcsec))
    from skygal.truth.exports.model import sky_image

    inner = rows(fields[1], ~np.asarray(fields[1].truth["edge"]))
    assert len(inner.truth) > 1
    for flux, name in (("intrinsic", "flux"), ("apparent", "flux_apparent")):
        for row in inner.truth:
            one = rows(inner, np.asarray(inner.truth["source_id"]) == row["source_id"])
            image, sky = sky_image(one, oversample=1, flux=flux)
            pixels = image[0:160].astype(float)
            assert pixels.sum() == pytest.approx(row[name].value, rel=1e-5)
            y, x = np.indices(pixels.shape)
            at = sky.pixel_to_world_values((pixels * x).sum() / pixels.sum(), (pixels * y).sum() / pixels.sum())
            assert apart(*np.array([at]).T, one.truth).max() < 60    # a hundredth of a pixel


def test_what_cannot_be_drawn_again(field, tmp_path):
    settings = field.provenance["configuration"]
    for change, words in (({"model_sha256": "0" * 64}, "model must be the one that the field was made with"),
                          ({"configuration": {**settings, "latents": "array of shape (4, 32)"}},
                           "latents of the field must be among")):
        with pytest.raises(ValueError, match=words):
            changed(field, provenance={**field.provenance, **change}).export(tmp_path / "a.fits", "model")
    moved = with_column(field, latent_seed=np.asarray(field.truth["latent_seed"]) + 1)
    with pytest.raises(ValueError, match="zoom of truth must be what its latent_seed gives"):
        rows(moved, slice(0, 4)).export(tmp_path / "a.fits", "model")
    assert list(tmp_path.iterdir()) == []


# ---- HiPS

def test_hips_shows_the_field(field, tmp_path):
    folder = field.export(tmp_path / "hips", "hips", plane="model", tile=64)
    text = (folder / "properties").read_text()
    order = int(re.search(r"hips_order\s*= (\d+)", text)[1])
    assert "hips_tile_width      = 64" in text
    tiles = sorted(folder.glob(f"Norder{order}/*/*.fits"))
    assert tiles and (folder / "Norder0").is_dir()
    total = peak = 0.0
    for path in tiles:
        pixels = fits.getdata(path)
        # all pixels of an order are of one solid angle
        area = 4 * np.pi / (12 * 4**order * 64**2) * (180 / np.pi * 3600)**2
        total += np.nansum(pixels, dtype=float) * area
        peak = max(peak, np.nanmax(pixels))
    assert peak == pytest.approx(np.asarray(field.model).max(), rel=0.1)
    # brightness times solid angle
    assert total == pytest.approx(np.asarray(field.model).sum(dtype=float) * 1.8**2, rel=0.02)
    with pytest.raises(ValueError, match="plane must be one of 'image', 'model', 'segmentation', got 'noise'"):
        field.export(tmp_path / "b", "hips", plane="noise")


# ---- what is refused

def test_formats_and_endings(field, tmp_path):
    assert {"bbs", "coco", "crtf", "ds9", "hips", "moc", "model", "oskar", "sdc1", "skyh5", "votable", "wsclean",
            "yolo"} <= set(list_formats())
    with pytest.raises(ValueError, match=r"format must be one of .*, got 'votabel' \(did you mean 'votable'\?\)"):
        field.export(tmp_path / "a.vot", "votabel")
    with pytest.raises(ValueError, match=r"path must end in .txt to be written as sdc1, got '.*a.csv'"):
        field.export(tmp_path / "a.csv", "sdc1")
    with pytest.raises(ValueError, match=r"format must be given for the path '.*a.txt', one of 'sdc1', 'wsclean'"):
        field.export(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="format must be given for the path '.*a.png', one of 'bbs'"):
        field.export(tmp_path / "a.png")
    with pytest.raises(ValueError, match="path must be the name of a folder to be written as yolo, got '.*a.reg'"):
        field.export(tmp_path / "a.reg", "yolo")
    with pytest.raises(TypeError, match=r"options of ds9 must be among level, got 'levl' \(did you mean 'level'\?\)"):
        field.export(tmp_path / "a.reg", levl="sources")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(field, tmp_path):
    path = tmp_path / "a.reg"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        field.export(path)
    assert path.read_text() == "mine"
    assert field.export(path, overwrite=True) == path
    assert path.read_text().startswith("# Region")
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        field.export(tmp_path / "yolo", "yolo", overwrite=True)
    assert (tmp_path / "yolo" / "mine.txt").read_text() == "mine"


def test_nothing_is_left_of_what_fails(field, tmp_path):
    for name, format in (("a.txt", "sdc1"), ("a.reg", "ds9"), ("a.osm", "oskar"), ("a.skymodel", "bbs")):
        with pytest.raises(ValueError, match=r"ra of truth must be finite to be written as \w+, got nan of .* 2, 3"):
            broken = with_column(field, ra=np.where(np.isin(np.arange(len(field.truth)), [1, 2]), np.nan,
                                                    field.truth["ra"].value) * u.deg)
            export_field(broken, tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "format"), [("a.txt", "sdc1"), ("a.osm", "oskar"), ("a.skymodel", "bbs"),
                                              ("a.txt", "wsclean"), ("a.skyh5", "skyh5"), ("a.fits", "model")])
def test_a_field_without_sources(field, tmp_path, name, format):
    with pytest.raises(ValueError, match=f"field must have sources to be written as {format}, got none"):
        rows(field, slice(0, 0)).export(tmp_path / name, format)
    with pytest.raises(ValueError, match="got none of snr 1e\\+06 or more"):
        field.export(tmp_path / name, format, snr=1e6)


def test_empty_where_a_format_allows_it(field, tmp_path):
    empty = rows(field, slice(0, 0))
    assert len(empty.export(tmp_path / "a.reg").read_text().splitlines()) == 2
    assert json.loads(empty.export(tmp_path / "a.json", "coco").read_text())["annotations"] == []


def test_snr_and_sources_outside(field, tmp_path):
    snr = np.asarray(field.truth["snr"])
    level = float(np.sort(snr)[3])
    got = field.export(tmp_path / "a.reg", snr=level).read_text().splitlines()[2:]
    assert len(got) == (snr >= level).sum() == 4
    far = {name: np.where(np.arange(len(snr)) == 6, -1, np.asarray(field.truth[name])) for name in
           ("bbox_xmin", "bbox_xmax", "bbox_ymin", "bbox_ymax")}
    content = json.loads(with_column(field, **far).export(tmp_path / "a.json", "coco").read_text())
    assert 7 not in {one["source_id"] for one in content["annotations"]} and content["annotations"]


def test_a_missing_package_says_how_to_install_it(field, tmp_path, monkeypatch):
    import sys

    for package, name, format in (("h5py", "a.skyh5", "skyh5"), ("mocpy", "a.fits", "moc")):
        monkeypatch.setitem(sys.modules, package, None)
        words = rf"format '{format}' needs {package}: pip install 'skygal\[exports\]'"
        with pytest.raises(ModuleNotFoundError, match=words):
            field.export(tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


def test_every_option_is_documented():
    for one in list_formats().values():
        text = one.write.__doc__
        for name in one.options:
            assert name in text or "for the parameters" in text or "See `" in text, (one.name, name)
        assert one.write.__module__.startswith("skygal.truth.exports.")
    page = Path(__file__).parents[1] / "docs" / "exports.rst"
    if page.exists():
        for name in list_formats():
            assert f"``{name}``" in page.read_text(encoding="utf-8"), name
    help_text = (Path(skygal.__file__).parent / "cli" / "export.py").read_text(encoding="utf-8")
    for name in list_formats():
        assert re.search(rf"\b{name}\b", help_text), name
