"""What is written for other programs, read by these programs' own readers, where they are installed (exports-test)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from export_fields import changed, rows, small_field

from skygal.observation.ellipse import ellipse_covariance
from skygal.truth.exports.sky_model import make_sky_model

pytestmark = [pytest.mark.filterwarnings("ignore:.* sources have stamps coarser"),
              # the readers' own, and those of what they stand on
              pytest.mark.filterwarnings("ignore::DeprecationWarning"),
              pytest.mark.filterwarnings("ignore::FutureWarning"),
              pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def field():
    return small_field()


def reader(name):
    """Return an optional reader; its warnings on being imported are its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def apart(positions, table):
    return positions.separation(SkyCoord(table["ra"], table["dec"])).to_value(u.mas).max()


@pytest.mark.parametrize(("name", "format"), [("sky.reg", "ds9"), ("sky.crtf", "crtf")])
def test_regions(field, tmp_path, name, format):
    regions = reader("regions")
    found = regions.Regions.read(str(field.export(tmp_path / name)), format=format)
    assert len(found) == len(field.truth)
    assert apart(SkyCoord([one.center.icrs for one in found]), field.truth) < 0.01
    header = field.header
    beam = ellipse_covariance(header["BMAJ"] * 3600, header["BMIN"] * 3600, np.radians(header["BPA"]))
    for row, one in zip(field.truth, found, strict=True):
        assert isinstance(one, regions.EllipseSkyRegion) and one.center.frame.name == "icrs"
        # its angle is that of the width, from the axis of longitude through that of latitude
        got = ellipse_covariance(one.width.to_value("arcsec"), one.height.to_value("arcsec"),
                                 one.angle.to_value("rad") - np.pi / 2)
        ratio = (row["b_min"] / row["b_maj"]).value if row["b_maj"] > 0 else 1
        las = row["las"].value
        wanted = beam + ellipse_covariance(las, las * ratio, row["pa"].to_value("rad"))
        np.testing.assert_allclose(got, wanted, atol=1e-4)
        text = one.meta.get("text", one.meta.get("label"))
        assert str(text) == str(row["source_id"])
    points = regions.Regions.read(str(field.export(tmp_path / f"parts{Path(name).suffix}", level="components")),
                                  format=format)
    assert apart(SkyCoord([one.center.icrs for one in points]), field.components) < 0.01


@pytest.mark.parametrize("tiles", [False, True])
def test_coco(field, tmp_path, tiles, capsys):
    coco, evaluation = reader("pycocotools.coco"), reader("pycocotools.cocoeval")
    path = field.export(tmp_path / "tiles", "coco_tiles", tile=100) / "annotations.json" if tiles else \
        field.export(tmp_path / "sky.json", "coco")
    truth = coco.COCO(str(path))
    keys = ("image_id", "category_id", "bbox", "segmentation")
    perfect = [{**{key: one[key] for key in keys}, "score": 0.9} for one in truth.dataset["annotations"]]
    for kind in ("bbox", "segm"):
        run = evaluation.COCOeval(truth, truth.loadRes(json.loads(json.dumps(perfect))), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
        # at IoU 0.5 to 0.95, at 0.5, at 0.75
        assert run.stats[:3].tolist() == pytest.approx([1, 1, 1])
    for one in truth.dataset["annotations"]:
        mask = truth.annToMask(one).astype(bool)
        assert mask.sum() == one["area"] and mask.shape == (truth.imgs[one["image_id"]]["height"],
                                                            truth.imgs[one["image_id"]]["width"])
        if not tiles:
            assert np.array_equal(mask, np.asarray(field.segmentation) == one["source_id"])


def test_lsmtool(field, tmp_path):
    lsmtool = reader("lsmtool")
    found = lsmtool.load(str(field.export(tmp_path / "sky.skymodel")))
    sky = make_sky_model(field, "bbs")
    order = np.argsort([f"s{a}c{b}" for a, b in zip(sky.source_id, sky.component_id, strict=True)])
    table = found.table
    table.sort("Name")
    np.testing.assert_allclose(np.asarray(table["I"], float), sky.flux[order], rtol=1e-6)
    for name, values in (("MajorAxis", sky.major), ("MinorAxis", sky.minor), ("Orientation", sky.pa)):
        np.testing.assert_allclose(np.ma.filled(table[name].astype(float), 0), values[order], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.asarray(table["SpectralIndex"])[:, 1], sky.curvature[order] * np.log(10), rtol=1e-6,
                               atol=1e-12)
    patches = found.getPatchPositions()
    at = SkyCoord([tuple(float(one.deg) for one in patches[f"s{k}"]) for k in field.truth["source_id"]], unit="deg")
    assert apart(at, field.truth) < 0.1


def test_codex_africanus(field, tmp_path):
    wsclean = reader("africanus.model.wsclean")
    found = dict(wsclean.load(str(field.export(tmp_path / "sky.txt", "wsclean"))))
    sky = make_sky_model(field, "wsclean")
    assert apart(SkyCoord(found["Ra"], found["Dec"], unit="rad"), {"ra": sky.ra * u.deg, "dec": sky.dec * u.deg}) < 0.1
    np.testing.assert_allclose(found["I"], sky.flux, rtol=1e-6)
    np.testing.assert_allclose(np.degrees(found["MajorAxis"]) * 3600, sky.major, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.degrees(found["Orientation"]), sky.pa, rtol=1e-6, atol=1e-9)
    assert all(found["LogarithmicSI"]) and set(found["ReferenceFrequency"]) == {1.4e9}
    np.testing.assert_allclose([one[0] for one in found["SpectralIndex"]], sky.index, rtol=1e-6)


def test_pyradiosky(field, tmp_path):
    reader("h5py")
    pyradiosky = reader("pyradiosky")
    found = pyradiosky.SkyModel.from_file(str(field.export(tmp_path / "sky.skyh5")))
    sky = make_sky_model(field, "skyh5")
    assert found.Ncomponents == len(sky) and found.component_type == "point"
    assert apart(found.skycoord.icrs, {"ra": sky.ra * u.deg, "dec": sky.dec * u.deg}) < 1e-3
    np.testing.assert_allclose(found.stokes[0, 0].to_value("Jy"), sky.flux, rtol=1e-12)
    assert not found.stokes[1:].value.any()
    assert found.extended_model_group.tolist() == [f"s{k}" for k in sky.source_id]
    np.testing.assert_allclose(found.extra_columns["major"], sky.major)
    assert [str(word) for word in found.extra_columns["fr_class"]] == \
        np.asarray(field.truth["fr_class"])[sky.source].tolist()
    # in a group or not, at another frequency as the power law has it
    there = found.at_frequencies(np.array([700.0]) * u.MHz, inplace=False)
    np.testing.assert_allclose(there.stokes[0, 0].to_value("Jy"), sky.flux * 0.5**sky.index, rtol=1e-9)


@pytest.mark.parametrize("ending", [".fits", ".json"])
def test_moc(field, tmp_path, ending):
    mocpy = reader("mocpy")
    path = str(field.export(tmp_path / f"sky{ending}", "moc"))
    found = mocpy.MOC.load(path, format=ending[1:])
    area = found.sky_fraction * 4 * np.pi * (180 / np.pi)**2
    ny, nx = field.image.shape
    wanted = ny * nx * (1.8 / 3600)**2
    # cells that the border runs through are whole
    assert wanted < area < 1.06 * wanted
    rng = np.random.default_rng(1)
    at = field.wcs.pixel_to_world(rng.uniform(0, nx - 1, 1000), rng.uniform(0, ny - 1, 1000)).icrs
    assert found.contains_lonlat(at.ra, at.dec).all()
    out = field.wcs.pixel_to_world([-20, nx + 20, 90], [90, 90, -20]).icrs
    assert not found.contains_lonlat(out.ra, out.dec).any()


def test_moc_has_no_blank_part(field, tmp_path):
    mocpy = reader("mocpy")
    image = np.array(field.image)
    image[:, :96] = np.nan
    found = mocpy.MOC.load(str(changed(field, image=image).export(tmp_path / "a.fits", "moc")), format="fits")
    at = field.wcs.pixel_to_world([40, 80, 110, 180], [90, 90, 90, 90]).icrs
    assert found.contains_lonlat(at.ra, at.dec).tolist() == [False, False, True, True]
    image[:] = np.nan
    with pytest.raises(ValueError, match="image must have pixels that are not blank to be written as moc"):
        changed(field, image=image).export(tmp_path / "b.fits", "moc")
    with pytest.raises(ValueError, match="order must be at most 15, at which cells are 2 pixels wide, got 16"):
        field.export(tmp_path / "b.fits", "moc", order=16)


def test_the_scorer_of_sdc1(field, tmp_path):
    """Truth scored against itself has all points."""
    scorer = reader("ska_sdc").Sdc1Scorer
    inner = rows(field, ~np.asarray(field.truth["edge"]))
    truth = str(inner.export(tmp_path / "truth.txt", "sdc1"))
    submitted = str(inner.export(tmp_path / "found.txt", "sdc1", header=True))
    for mode in (0, 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = scorer.from_txt(submitted, truth, 9200).run(mode=mode)
        assert got.n_det == got.n_match == len(inner.truth) and got.n_bad == got.n_false == 0
        assert got.value == pytest.approx(len(inner.truth)) and got.acc_pc == pytest.approx(100)


@pytest.mark.slow
def test_simms_predicts_the_flux(tmp_path):
    """An interferometer sees the sky: its shortest baselines all of the flux, from pixels as from components.

    simms may live in an environment of its own, whose folder of programs SKYGAL_SIMMS names.
    """
    simms = shutil.which("simms", path=os.environ.get("SKYGAL_SIMMS"))
    if simms is None:
        pytest.skip("needs simms: pip install 'skygal[exports-test]'")
    import skygal

    wcs = skygal.make_wcs("12h00m00s -30d00m00s", 256, 1.8 * u.arcsec)
    from astropy.table import QTable

    table = QTable({"ra": [180.0, 180.004, 179.997] * u.deg, "dec": [-30.0, -29.997, -30.004] * u.deg,
                    "flux": [1.0, 0.5, 0.25] * u.Jy, "las": [30, 20, 15] * u.arcsec})
    field = skygal.simulate_field(wcs, table=table, survey="FIRST", seed=1)
    field.export(tmp_path / "model.fits", "model")
    field.export(tmp_path / "sky.txt", "wsclean")
    for words in (["telsim", "--telescope", "kat-7", "--direction", "J2000,12h00m00s,-30d00m00s", "--starttime",
                   "2026-03-14T22:00:00", "--dtime", "60", "--ntime", "4", "--startfreq", "1.4GHz", "--dfreq", "1MHz",
                   "--nchan", "1", "--correlations", "XX,YY", "a.ms"],
                  ["skysim", "--fits-sky", "model.fits", "--column", "DATA", "a.ms"],
                  ["skysim", "--wsclean-sky", "sky.txt", "--column", "MODEL_DATA", "a.ms"]):
        done = subprocess.run([simms, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    code = ("import numpy as np; from casacore.tables import table\n"
            "t = table('a.ms', ack=False); uvw = t.getcol('UVW')\n"
            "k = np.argmin(np.hypot(uvw[:, 0], uvw[:, 1]))\n"
            "d, m = t.getcol('DATA')[:, 0, 0], t.getcol('MODEL_DATA')[:, 0, 0]\n"
            "print(abs(d[k]), abs(m[k]), abs(d - m).max())\n")
    python = Path(simms).with_name("python")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(python) if python.exists() else sys.executable, "-c", code], cwd=tmp_path, text=True,
                          capture_output=True, timeout=300, env=clean)
    assert done.returncode == 0, done.stderr
    pixels, components, differ = map(float, re.findall(r"[-\d.e]+", done.stdout)[-3:])
    assert pixels == pytest.approx(1.75, rel=0.01) and components == pytest.approx(1.75, rel=0.01)
    assert differ < 0.01 * 1.75
