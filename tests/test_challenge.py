"""A data challenge: what is released, what is kept, and that a kill costs nothing but time."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from skygal.cli.challenge_file import list_challenges, read_challenge
from skygal.cli.main import main
from skygal.truth import read_truth
from skygal.truth.exports.areas import Area, core_positions
from skygal.truth.exports.sdc1 import COLUMNS, TRAINING_AREAS

SEED = 8170349126541803277
BANDS = {"low": 560, "mid": 1400, "high": 3000}
DEPTHS = ("8h", "100h", "1000h")
NOISE = {"low": (60, 20, 6), "mid": (30, 10, 3), "high": (20, 7, 2)}
FILE = f"""
name: small
center: 10h00m00s +20d00m00s
sky: default
seed: {SEED}
flux: 10 uJy
size: 200
bands:
  low: {{frequency: 560 MHz, pixel_scale: 2 arcsec, beam: 6 arcsec, primary_beam: 15 m,
        noise: {{8h: 60 uJy, 100h: 20 uJy, 1000h: 6 uJy}}, training: [149.97 deg, 150 deg, 20 deg, 20.03 deg]}}
  mid: {{frequency: 1.4 GHz, pixel_scale: 1.2 arcsec, beam: "4x3arcsec,30deg", primary_beam: 15 m,
        noise: {{8h: 30 uJy, 100h: 10 uJy, 1000h: 3 uJy}}, training: [149.97 deg, 150 deg, 19.99 deg, 20.02 deg]}}
  high: {{frequency: 3 GHz, pixel_scale: 1 arcsec, beam: 3 arcsec, size: 160x200,
         noise: {{8h: 20 uJy, 100h: 7 uJy, 1000h: 2 uJy}}}}
"""
ONE = """
name: one
center: 10h00m00s +20d00m00s
sky: default
flux: 1 mJy
size: 64
bands: {only: {survey: FIRST}}
"""
#: degrees
MAS = 1 / 3.6e6


def sums(place):
    """Return the checksums that a folder holds of its files, by name."""
    return dict(reversed(line.split("  ", 1)) for line in (place / "SHA256SUMS").read_text().splitlines())


def check_sums(place):
    listed = sums(place)
    assert listed == {name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in listed}
    there = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file() and path.name != ".skygal"}
    assert there - set(listed) == {"SHA256SUMS"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    path = tmp_path_factory.mktemp("asked") / "challenge.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="module")
def made(asked):
    home = asked.parent / "made"
    assert main(["challenge", str(asked), "--output", str(home), "--no-progress"]) == 0
    return home


def views():
    return [(band, depth) for band in BANDS for depth in DEPTHS]


@cache
def table_of(home, side, band, depth, name="truth"):
    """Return a table of what is released or of what is kept."""
    start = {"released": "training", "secret": "test"}[side]
    return read_truth(home / side / band / depth / f"{start}_{name}.fits")


def truths(home, band, depth):
    """Return the tables of what is released and of what is kept."""
    return tuple(table_of(home, side, band, depth) for side in ("released", "secret"))


def test_checksums_are_right(made):
    for side in ("released", "secret"):
        check_sums(made / side)
        for band, depth in views():
            check_sums(made / side / band / depth)


def test_what_is_released_and_what_is_kept_are_all_there_is(made):
    areas = {band.name: band.training for band in read_challenge(made.parent / "challenge.yaml").bands}
    for band, depth in views():
        released, kept = truths(made, band, depth)
        ids = [set(np.asarray(table["source_id"]).tolist()) for table in (released, kept)]
        assert ids[0] and ids[1] and not ids[0] & ids[1]
        labels = set(np.unique(fits.getdata(made / "secret" / band / depth / "segmentation.fits")).tolist()) - {0}
        assert labels <= ids[0] | ids[1]
        for table, there in ((released, True), (kept, False)):
            assert (areas[band].holds(*core_positions(table)) == there).all()
            assert (table["flux_in_image"].value > 0).all()
            # a row a source, parts and all
            np.testing.assert_array_equal(table["parent_id"], table["source_id"])
        # all light in the image is that of sources in one of the tables
        if depth == DEPTHS[-1]:
            header = fits.getheader(made / "secret" / band / depth / "model.fits")
            model = fits.getdata(made / "secret" / band / depth / "model.fits").astype(float)
            area = np.pi * header["BMAJ"] * header["BMIN"] / (4 * np.log(2)) / header["CDELT2"]**2
            shown = sum(table["flux_in_image"].to_value("Jy").sum() for table in (released, kept))
            assert model.sum() / area == pytest.approx(shown, rel=1e-4)
        for table, side in ((released, "released"), (kept, "secret")):
            name = "training" if side == "released" else "test"
            rows = np.loadtxt(made / side / band / depth / f"{name}_sdc1.txt", ndmin=2)
            assert sorted(rows[:, 0].astype(int)) == sorted(np.asarray(table["source_id"]))


def test_all_bands_show_the_same_sky(made):
    whole = {}
    for band in BANDS:
        for depth in DEPTHS:
            tables = truths(made, band, depth)
            found = {}
            for table in tables:
                ra, dec = core_positions(table)
                names = ("flux", "spectral_index", "curvature", "core_frac", "fr_class", "las")
                values = [np.asarray(getattr(table[name], "value", table[name])).tolist() for name in names]
                found.update({int(k): row for k, *row in zip(table["source_id"], ra, dec, *values, strict=True)})
            if depth == DEPTHS[0]:
                whole[band] = found
            # depths differ in the noise alone
            assert found.keys() == whole[band].keys()
    first, kinds = whole["low"], set()
    for band, megahertz in list(BANDS.items())[1:]:
        r = megahertz / BANDS["low"]
        shared = first.keys() & whole[band].keys()
        assert len(shared) > 10 and len(shared) == len(whole[band])
        for k in shared:
            ra, dec, flux, alpha, beta, f, fr_class, las = first[k]
            kinds.add(fr_class)
            place = whole[band][k]
            assert abs(place[0] - ra) < MAS and abs(place[1] - dec) < MAS and place[7] == las
            expected = flux * r**alpha
            if fr_class != "none" and f > 0:
                lobes = max((alpha - f * max(alpha, 0)) / (1 - f), alpha - 0.5)
                expected = flux * (f * r**((alpha - (1 - f) * lobes) / f) + (1 - f) * r**lobes)
            assert place[2] == pytest.approx(expected * r**(beta * np.log(r)), rel=2e-3)
    assert "none" in kinds


def test_depths_differ_in_what_noise_decides_alone(made):
    """Fluxes, places, peaks and components are the same to the bit; what a deeper image shows of a source is larger."""
    decided = {"local_rms", "snr", "edge", "blended", "neighbour_flux_frac", "bbox_xmin", "bbox_xmax", "bbox_ymin",
               "bbox_ymax"}
    for band in BANDS:
        shallow, *deeper = ([truths(made, band, depth)[side] for side in (0, 1)] for depth in DEPTHS)
        for tables in deeper:
            for one, other in zip(shallow, tables, strict=True):
                assert one.colnames == other.colnames and decided <= set(one.colnames)
                differ = {name for name in one.colnames if not np.array_equal(
                    *(np.asarray(getattr(table[name], "value", table[name])) for table in (one, other)),
                    equal_nan=one[name].dtype.kind == "f")}
                assert "local_rms" in differ <= decided
                ends = [np.stack([np.asarray(table[f"bbox_{end}"]) for end in ("xmin", "ymin", "xmax", "ymax")], axis=1)
                        for table in (one, other)]
                both = (ends[0] >= 0).all(axis=1)
                assert (ends[1][both, :2] <= ends[0][both, :2]).all() and (ends[1][both, 2:] >= ends[0][both, 2:]).all()
        for side in ("released", "secret"):
            one, *others = (table_of(made, side, band, depth, "components") for depth in DEPTHS)
            for other in others:
                assert one.colnames == other.colnames and len(one) == len(other) > 0
                for column in one.colnames:
                    np.testing.assert_array_equal(one[column], other[column], err_msg=column)
        labels = [fits.getdata(made / "secret" / band / depth / "segmentation.fits") for depth in DEPTHS]
        assert (np.diff([np.count_nonzero(one) for one in labels]) > 0).all()


def test_depths_are_drawn_once(tmp_path, monkeypatch):
    """Each chunk of a band's depths draws its sources once, and the bits are those of depths made one by one."""
    from skygal.rendering.canvas import Canvas

    path = tmp_path / "three.yaml"
    path.write_text(ONE.replace("{survey: FIRST}", "{survey: FIRST, noise: {1h: 200 uJy, 4h: 100 uJy, 25h: 40 uJy}}")
                    + "seed: 4\n")
    drawn, model = [], Canvas.model
    monkeypatch.setattr(Canvas, "model", lambda self: drawn.append(self.window) or model(self))
    assert main(["challenge", str(path), "--output", str(tmp_path / "a"), "--no-progress", "--chunks", "32"]) == 0
    assert len(drawn) == 4 == len(set(drawn))
    # what is missing is made by itself
    home = tmp_path / "b"
    assert main(["challenge", str(path), "--output", str(home), "--no-progress"]) == 0
    assert len(drawn) == 5
    for name in (".skygal", "released/SHA256SUMS"):
        (home / name).unlink()
    for depth in ("4h", "25h"):
        for file in (home / "secret" / "only" / depth).iterdir():
            file.unlink()
    assert main(["challenge", str(path), "--output", str(home), "--no-progress", "--chunks", "32"]) == 0
    assert len(drawn) == 9
    for side in ("released", "secret"):
        assert sums(home / side) == sums(tmp_path / "a" / side)


def test_noise_is_that_of_each_depth(made):
    for band in BANDS:
        model = fits.getdata(made / "secret" / band / DEPTHS[-1] / "model.fits")[0, 0].astype(float)
        noise = []
        for depth, rms in zip(DEPTHS, NOISE[band], strict=True):
            image = fits.getdata(made / "released" / band / depth / "image.fits")[0, 0].astype(float)
            noise.append((image - model) / (rms * 1e-6))
            assert noise[-1].std() == pytest.approx(1, abs=0.06)
            assert truths(made, band, depth)[0]["local_rms"].to_value(u.uJy / u.beam) == pytest.approx(rms)
        # each has its own
        assert np.abs(np.corrcoef([one.ravel() for one in noise]) - np.eye(3)).max() < 0.1


def test_nothing_that_is_released_tells_the_seed(made):
    telling = {str(SEED).encode(), b"SEED    =", b"seed:", b"latent_seed"}
    for path in (made / "released").rglob("*"):
        if path.is_file():
            assert [word for word in telling if word in path.read_bytes()] == [], path
    assert str(SEED) in (made / "secret" / "challenge.yaml").read_text()


def test_the_folder_says_what_is_in_it(made):
    text = (made / "released" / "README.md").read_text()
    for words in ("560 MHz", "1.4 GHz", "3 GHz", "160 x 200", "1000h: 2 uJy/beam", "low/1000h/training_sdc1.txt",
                  "1400"):
        assert words in text
    # the scorer has no such frequency
    assert "high/1000h" not in text and "high/1000h" not in (made / "secret" / "README.md").read_text()


def test_coverage_maps(made):
    mocpy = pytest.importorskip("mocpy")
    for band in read_challenge(made.parent / "challenge.yaml").bands:
        home = made / "released" / band.name / "areas"
        image, training = (mocpy.MOC.load(home / f"{name}_moc.fits", format="fits") for name in ("image", "training"))
        assert training.difference(image).empty()
        ny, nx = band.wcs.array_shape
        square = (nx * ny * np.prod(np.abs(band.wcs.wcs.cdelt)))
        assert image.sky_fraction * 41252.96 == pytest.approx(square, rel=0.05)
        ra, dec = core_positions(truths(made, band.name, "8h")[0])
        assert training.contains_lonlat(ra * u.deg, dec * u.deg).all()


def test_the_commands_for_scoring_work(made, tmp_path, monkeypatch):
    pytest.importorskip("ska_sdc")
    for side, name in (("released", "training"), ("secret", "test")):
        text = (made / side / "README.md").read_text()
        commands = re.findall(r'python -c "(.*?)"', text, re.DOTALL)
        assert len(commands) == 2
        for band, command in zip(("low", "mid"), commands, strict=True):
            truth = (made / side / band / DEPTHS[-1] / f"{name}_sdc1.txt").read_text()
            monkeypatch.chdir(tmp_path)
            Path("submission.txt").write_text(" ".join(COLUMNS) + "\n" + truth)
            code = command.replace("\\\n", "").replace(f"'{band}/", f"'{made / side / band}/")
            done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            # a point for each source
            assert float(done.stdout.split()[-1]) == pytest.approx(len(truth.splitlines()), abs=1e-6)


def test_what_a_kill_leaves_is_whole_and_goes_on(asked, made, tmp_path):
    home = tmp_path / "killed"
    words = ["challenge", str(asked), "--output", str(home), "--no-progress"]
    # goes on, as after another kill, where the first band is there already
    shutil.copytree(made, home)
    for path in (home / ".skygal", home / "released" / "SHA256SUMS"):
        path.unlink()
    first, *others = BANDS
    for side in ("released", "secret"):
        for band in others:
            shutil.rmtree(home / side / band)
    with subprocess.Popen([sys.executable, "-m", "skygal.cli", *words], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]),
                                                                            os.environ.get("PYTHONPATH", "")])}
                          ) as process:
        for line in process.stdout:
            if "(1 of 6)" in line:
                break
        process.kill()
    assert not (home / "released" / "SHA256SUMS").exists()
    left = [home / side / band / depth for side in ("released", "secret") for band, depth in views()]
    whole = [place for place in left if place.exists()]
    assert 8 <= len(whole) < 18
    before = {}
    for place in whole:
        check_sums(place)
        before[place] = (place / "SHA256SUMS").stat().st_mtime_ns
        same = before[place] == (made / place.relative_to(home) / "SHA256SUMS").stat().st_mtime_ns
        assert same == (place.parent.name == first)
    done = {place: time for place, time in before.items()
            if all(home / side / place.parent.name / place.name in before for side in ("released", "secret"))}
    assert main(words) == 0
    assert {place: (place / "SHA256SUMS").stat().st_mtime_ns for place in done} == done
    for side in ("released", "secret"):
        # the same as one that was never stopped
        assert sums(home / side) == sums(made / side)
    assert not list(home.rglob("*.part"))


def test_a_folder_that_is_there(tmp_path, capsys):
    path, home = tmp_path / "one.yaml", tmp_path / "home"
    path.write_text(ONE)
    words = ["challenge", str(path), "--no-progress", "--output"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    assert main([*words, str(tmp_path / "mine")]) == 1
    assert "exists" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "mine"), "--overwrite"]) == 1
    assert "did not write" in capsys.readouterr().err and (tmp_path / "mine" / "note").read_text() == "keep"

    assert main([*words, str(home)]) == 0
    assert main([*words, str(home)]) == 1
    assert "exists; give overwrite=True" in capsys.readouterr().err
    # a seed of its own each time
    first = sums(home / "released")
    assert main([*words, str(home), "--overwrite", "--seed", "5"]) == 0
    assert sums(home / "released")["only/full/image.fits"] != first["only/full/image.fits"]

    # in chunks the files are the same
    chunked = tmp_path / "chunked"
    assert main([*words, str(chunked), "--seed", "5", "--chunks", "24"]) == 0
    for side in ("released", "secret"):
        assert sums(chunked / side) == sums(home / side)

    # one that was begun with other settings
    (home / ".skygal").unlink()
    assert main([*words, str(home), "--seed", "6"]) == 1
    assert "begun with another seed, 5, not 6" in capsys.readouterr().err
    # what is there is taken for the seed
    assert main([*words, str(home)]) == 0
    assert "only full: there already" in capsys.readouterr().out
    # what has changed since is not
    (home / ".skygal").unlink()
    image = home / "released" / "only" / "full" / "image.fits"
    image.write_bytes(image.read_bytes()[:-2880])
    assert main([*words, str(home)]) == 1
    assert "image.fits" in capsys.readouterr().err


def bad(old, new):
    assert old in FILE
    return FILE.replace(old, new)


@pytest.mark.parametrize(("text", "says"), [
    (bad("flux: 10 uJy", "fluxx: 10 uJy"), r"no keys but .*, got 'fluxx' \(did you mean 'flux'\?\)"),
    (bad("beam: 6 arcsec, ", ""), "band 'low' in challenge file .* must have beam, or a survey that has one"),
    (bad("beam: 6 arcsec", "beem: 6 arcsec"), r"got 'beem' \(did you mean 'beam'\?\)"),
    (bad("beam: 6 arcsec", "beam: 6 Jy"), "beam"),
    (bad("beam: 6 arcsec", "beam: 6"), "beam of band 'low'"),
    (bad("8h: 60 uJy", "8h: 60 arcsec"), "noise of band 'low'"),
    (bad("8h: 60 uJy", "8/h: 60 uJy"), "depth of band 'low' .* must be a name"),
    (bad("noise: {8h: 20 uJy, 100h: 7 uJy, 1000h: 2 uJy}", "noise: 2 uJy"), "noise of band 'high' .* mapping"),
    (bad("frequency: 3 GHz, ", ""), "band 'high' .* must have frequency"),
    (bad("[149.97 deg, 150 deg, 20 deg, 20.03 deg]", "[149 deg, 150 deg, 20 deg, 20.03 deg]"), "lie in the image"),
    (bad("[149.97 deg, 150 deg, 20 deg, 20.03 deg]", "[150 deg, 149.9 deg, 20 deg, 20.03 deg]"), "lower to the higher"),
    (bad("[149.97 deg, 150 deg, 20 deg, 20.03 deg]", "0.1"), "four angles"),
    (bad("pixel_scale: 1 arcsec", "pixel_scale: 9 arcsec"), "begin with the one of the widest image, got 'low'"),
    (bad("bands:", "bands: {}\nname_of: "), "name_of"),
    ("bands: {}", "at least one"), ("[1, 2]", "keys and values"), ("a: [", "must be YAML"),
    (bad(f"seed: {SEED}", "seed: -1"), "seed"),
])
def test_bad_files(tmp_path, text, says):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises((TypeError, ValueError), match=says):
        read_challenge(path)
    assert main(["challenge", str(path), "--output", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_bad_calls(tmp_path):
    with pytest.raises(ValueError, match=r"challenge must be one of 'sdc1'.*got 'sdc2' \(did you mean 'sdc1'"):
        read_challenge("sdc2")
    with pytest.raises(FileNotFoundError, match="existing file"):
        read_challenge(tmp_path / "none.yaml")
    for scale, says in ((0, "positive"), (1.5, "at most 1"), (1e-4, "32 pixels on a side")):
        with pytest.raises(ValueError, match=says):
            read_challenge(scale=scale)


def test_the_default_is_that_of_sdc1():
    assert list_challenges() == ["sdc1"]
    found = read_challenge()
    assert [band.wcs.array_shape for band in found.bands] == [(32768, 32768)] * 3
    for band, side in zip(found.bands, (5.5, 2.2, 0.33), strict=True):
        area = TRAINING_AREAS[int(band.frequency.to_value(u.MHz))]
        assert (band.training.west, band.training.east, band.training.south, band.training.north) == \
            pytest.approx(area, abs=1e-9)
        assert 32768 * abs(band.wcs.wcs.cdelt[1]) == pytest.approx(side, rel=0.02)
        assert list(band.noise) == ["8h", "100h", "1000h"]
    small = read_challenge(scale=0.05)
    for band, whole in zip(small.bands, found.bands, strict=True):
        assert band.wcs.array_shape == (1638, 1638)
        assert band.training.east - band.training.west == pytest.approx(
            0.05 * (whole.training.east - whole.training.west))


def test_areas_over_the_zero_meridian():
    area = Area(-1, 0.5, 10, 11)
    assert area.holds(np.array([359.5, 0.2, 359, 0.5, 1, 180]), np.full(6, 10.5)).tolist() == [True] * 2 + [False] * 4
    half = area.scaled(359.5, 10, 0.5)
    assert (half.west % 360, half.east % 360, half.south, half.north) == pytest.approx((359.25, 0, 10, 10.5))


def test_each_side_is_scored_by_itself(made):
    """A catalogue of all sources is complete and reliable on either side of the training area's border."""
    from astropy.table import vstack

    import skygal

    for band, depth in (("low", "100h"), ("mid", "1000h"), ("high", "8h")):
        tables = [table_of(made, side, band, depth, "components") for side in ("released", "secret")]
        whole = vstack(tables, metadata_conflicts="silent")
        for side, own in zip(("released", "secret"), tables, strict=True):
            score = skygal.score(made / side / band / depth, whole)
            assert (score.matches.rows_of_host > 0).all() and (score.matches.row_of_component >= 0).all()
            assert score.summary["component_reliability"]["rate"] == score.summary["reliability"]["rate"] == 1
            assert (score.matches.component_of_row >= 0).sum() == len(own) == len(whole) - score.summary["outside"]
    with pytest.raises(ValueError, match="holds several fields: give one of .*released/high/1000h"):
        skygal.score(made, whole)


@pytest.mark.filterwarnings("ignore:.*sources have stamps coarser")
def test_a_core_and_its_jet_are_one_source(tmp_path):
    """What a field draws as two rows has one in the tables, the flux of both, two components and one label."""
    import skygal

    path, home = tmp_path / "jets.yaml", tmp_path / "home"
    path.write_text("center: 10h00m00s +20d00m00s\nsky: default\nflux: 30 uJy\nseed: 3\nsize: 1500\nbands: "
                    "{only: {frequency: 1.4 GHz, pixel_scale: 0.2 arcsec, beam: 0.6 arcsec, noise: {1h: 5 uJy}}}")
    assert main(["challenge", str(path), "--output", str(home), "--no-progress"]) == 0
    asked = read_challenge(path)
    band, = asked.bands
    field = skygal.simulate_field(band.wcs, frequency=band.frequency, beam=band.beam, noise=band.noise["1h"], seed=3,
                                  sky="default", flux=asked.flux)
    own, parent = (np.asarray(field.truth[name]) for name in ("source_id", "parent_id"))
    flux = field.truth["flux_in_image"].value
    jets = parent[(own != parent) & (flux > 0)]
    assert len(jets)
    tables = truths(home, "only", "1h")
    told = {int(row["source_id"]): row for table in tables for row in table}
    labels = np.unique(fits.getdata(home / "secret" / "only" / "1h" / "segmentation.fits"))
    assert set(told) == set(parent[flux > 0].tolist()) and set(labels.tolist()) - {0} <= set(told)
    for number in jets.tolist():
        assert told[number]["flux_in_image"].value == pytest.approx(flux[parent == number].sum(), rel=1e-9)
        assert told[number]["n_components"] == 2
