"""The page of scores, its cutouts and figures."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import Cutout2D
from astropy.table import QTable, Table
from PIL import Image

import skygal
from skygal.scoring import read_truth_set
from skygal.scoring.charts import draw_curves, draw_medians
from skygal.scoring.cutouts import KINDS, choose_cutouts, make_cutouts
from skygal.scoring.page import make_page, write_page
from skygal.scoring.score import score_detections


@cache
def case():
    """Return a score with one source missed, one split, two merged, one row made up, and the rest found."""
    wcs = skygal.make_wcs("01h00m +20d", 300, 1.8 * u.arcsec)
    x, y = np.array([60.0, 190, 197, 240, 40, 292]), np.array([128.0, 100, 100, 220, 240, 290])
    ra, dec = wcs.pixel_to_world_values(x, y)
    table = QTable({"ra": ra * u.deg, "dec": dec * u.deg, "flux": [50, 20, 20, 30, 10, 15] * u.mJy,
                    "las": [80, 8, 8, 20, 12, 20] * u.arcsec, "pa": [30.0, 0, 0, 120, 0, 60] * u.deg,
                    "fr_class": ["FRII", "FRI", "FRI", "FRII", "FRI", "FRI"]})
    field = skygal.simulate_field(wcs, table=table, beam=(5.4 * u.arcsec), noise=0.05 * u.mJy, seed=4)
    long, other = (field.components[field.components["source_id"] == k] for k in (1, 4))
    edge = field.truth[field.truth["source_id"] == 6]
    at = wcs.pixel_to_world_values([150.0], [30.0])
    rows = {"ra": [*long["ra"].value, (ra[1] + ra[2]) / 2, *other["ra"].value[:1], *edge["ra"].value, at[0][0]],
            "dec": [*long["dec"].value, dec[1], *other["dec"].value[:1], *edge["dec"].value, at[1][0]],
            "flux": [*long["flux"].value, 0.04, 0.03, 0.015, 5e-4]}
    n = len(rows["ra"])
    found = Table({**rows, "peak": np.array(rows["flux"]) / 2, "id": [f"</script><b>{k}" for k in range(n)],
                   "fitted_maj": [9.0] * len(long) + [30.0, 9, 9, 6], "fitted_min": [6.0] * len(long) + [12.0, 6, 6, 5],
                   "fitted_pa": [20.0] * len(long) + [90.0, 0, 0, 45]})
    return field, skygal.score(field, found, name="<img src=x onerror=alert(1)>.fits")


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), float)


def test_what_is_chosen():
    field, score = case()
    chosen = choose_cutouts(score, 100)
    kinds = {kind: [which for one, which in chosen if one == kind] for kind in KINDS}
    ids = score.truth.hosts["source_id"]
    assert [int(ids[k]) for k in kinds["split"]] == [1]
    assert 5 in [int(ids[k]) for k in kinds["missed"]] and len(kinds["false"]) == 1
    assert len(kinds["merged"]) == 1
    assert len(chosen) == len(set(chosen)) and len(choose_cutouts(score, 3)) == 3
    assert choose_cutouts(score, 0) == []


def test_cutouts_lie_where_they_say():
    """Pixels are those of astropy's cutout, upside down; ellipses, points and outlines are over the source."""
    field, score = case()
    chosen = choose_cutouts(score, 100)
    items = list(make_cutouts(score, chosen))
    assert len(items) == len(chosen)
    hosts = score.truth.hosts
    for (kind, which), item in zip(chosen, items, strict=True):
        side = item["width"]
        assert side == item["height"] and side % 2 == 1
        if kind == "false":
            continue
        place = np.rint([hosts["x"][which], hosts["y"][which]]).astype(int)
        plain = Cutout2D(field.image, tuple(place.tolist()), side, mode="partial", fill_value=np.nan).data
        step = -(-side // 64)
        if step == 1:
            shown = pixels(item["image"])
            known = np.isfinite(plain[::-1])
            # the stretch keeps order; the brightest is white
            order = np.argsort(plain[::-1][known], kind="stable")
            assert np.all(np.diff(shown[known][order]) >= 0) and shown.max() == 255
            assert np.all(shown[~known] == 0)
        (own,) = [one for one in item["sources"] if one[5]]
        assert own[6] == str(hosts["source_id"][which])
        # of the place in the cutout back to the image
        left, top = place[0] - side // 2 - 0.5, place[1] + side // 2 + 0.5
        assert (left + own[0], top - own[1]) == pytest.approx((hosts["x"][which], hosts["y"][which]), abs=0.02)
        # the outline encloses the pixels of the segmentation
        corners = np.array(re.findall(r"M(-?\d+) (-?\d+)", item["outline"]), float)
        rows, columns = np.nonzero(np.asarray(field.segmentation) == hosts["source_id"][which])
        inside = (columns > left) & (columns < left + side) & (rows < top) & (rows > top - side)
        assert (columns[inside].min() - 0.5, rows[inside].max() + 0.5) == pytest.approx(
            (left + corners[:, 0].min(), top - corners[:, 1].min()))
        parts = field.components[field.components["source_id"] == hosts["source_id"][which]]
        assert len(item["points"]) == len(parts)
        for (x, y, word), part in zip(item["points"], parts, strict=True):
            assert (left + x, top - y, word) == (pytest.approx(part["x"], abs=0.02), pytest.approx(part["y"], abs=0.02),
                                                 part["kind"])


def test_pictures_of_averaged_blocks_lie_over_their_pixels():
    """The largest cutouts are averaged; a bright pixel must be shown within the block that is drawn over it."""
    _, score = case()
    split = next(which for kind, which in choose_cutouts(score, 100) if kind == "split")
    place = np.rint([score.truth.hosts[name][split] for name in ("x", "y")]).astype(int)
    (plain,) = make_cutouts(score, [("split", split)])
    half = plain["width"] // 2
    hosts = {**score.truth.hosts, "las": score.truth.hosts["las"] * 6, "b_maj": score.truth.hosts["b_maj"] * 6}
    for dx, dy in ((0, 0), (half - 1, half - 1), (-half, half - 2), (20, -half)):
        image = np.zeros_like(score.truth.image)
        image[place[1] + dy, place[0] + dx] = 1.0
        (item,) = make_cutouts(replace(score, truth=replace(score.truth, image=image, hosts=hosts)), [("split", split)])
        side, drawn = item["width"], item["drawn"]
        assert side > 64 and drawn >= side
        shown = pixels(item["image"])
        (row, column), = np.argwhere(shown == shown.max())
        scale = drawn / len(shown)
        # as the page draws it: flush with the left and the lower edge
        x, y = side // 2 + dx + 0.5, side // 2 - dy + 0.5
        assert column * scale <= x <= (column + 1) * scale
        assert row * scale <= y - (side - drawn) <= (row + 1) * scale


def test_angles_are_those_of_the_sky():
    """A row's ellipse, turned as SVG turns, has its position angle, on a grid that is turned and mirrored too."""
    _, score = case()
    (split,) = [one for one in choose_cutouts(score, 100) if one[0] == "split"]
    for angle, flip in ((0, 1), (40, 1), (70, -1)):
        wcs = skygal.make_wcs("01h00m +20d", 300, 1.8 * u.arcsec)
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        wcs.wcs.pc = np.array([[flip * c, -s], [flip * s, c]])
        wcs.wcs.set()
        truth = replace(score.truth, wcs=wcs)
        (item,) = make_cutouts(replace(score, truth=truth), [split])
        x, y, a, b, turn, *_ = next(row for row in item["rows"] if row[5] == "own")
        assert a > b
        along = np.array([np.cos(np.radians(turn)), -np.sin(np.radians(turn))])
        middle = np.array([150.0, 150.0])
        lon, lat = wcs.pixel_to_world_values(*np.array([middle, middle + along]).T)
        east, north = (lon[1] - lon[0]) * np.cos(np.radians(lat[0])), lat[1] - lat[0]
        assert np.degrees(np.arctan2(east, north)) % 180 == pytest.approx(20, abs=0.5)
        assert (a, b) == pytest.approx((9 / 2 / 1.8, 6 / 2 / 1.8), abs=0.01)


class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_is_whole_and_safe(tmp_path):
    _, score = case()
    path = write_page([score, score], tmp_path / "index.html")
    text = path.read_text(encoding="utf-8")
    parser = Parser()
    parser.feed(text)
    # nothing from elsewhere, and no markup of the catalogue's
    assert parser.links == [] and "img" not in parser.tags and "b" not in parser.tags
    assert parser.tags.count("script") == 2 and not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert data["names"] == [score.found.name] * 2
    assert {item["catalogue"] for item in data["items"]} == {0, 1}
    assert any("</script>" in row[6] for item in data["items"] for row in item["rows"])
    assert parser.tags.count("svg") >= 10 and "Completeness of sources" in text
    with pytest.raises(ValueError, match="scores must be at least one, got none"):
        make_page([])


def test_a_page_without_an_image():
    field, score = case()
    alone = score_detections(read_truth_set(field.truth, beam=5.4 * u.arcsec), score.found)
    text = make_page([alone])
    assert "Completeness" in text and 'id="gallery"' not in text


def test_errors_are_told_by_class():
    _, score = case()
    text = make_page([score])
    for group in ("snr", "fr_class"):
        for row in score.errors[group]:
            assert f'<th scope="row">{row["bin"]}</th><td>{row["n"]}</td><td>{row["ra"]:.3f} (' in text


def test_points_of_a_chart_are_the_rates():
    _, score = case()
    curve = next(one for one in score.curves if (one.rate, one.level, one.against) == ("completeness", "host", "snr"))
    text = draw_curves([("a", curve)], "title")
    told = re.findall(r"<title>a: (\d+) of (\d+) = ", text)
    assert [(int(k), int(n)) for k, n in told] == [(k, n) for k, n in zip(curve.hits, curve.total, strict=True) if n]
    heights = [float(y) for y in re.findall(r'class="point" transform="translate\([\d.]+ ([\d.]+)\)', text)]
    rates = curve.hits[curve.total > 0] / curve.total[curve.total > 0]
    # one straight scale for all
    assert np.allclose(heights, 208 - 192 * rates, atol=0.06)
    text = draw_medians([("a", [("3 to 4", 1.5, 0.5, 7), ("4 to 5", 1.1, 0.2, 9)])], "up", "across", 1.0, "title")
    assert text.count('class="point"') == 2 and "7 rows" in text


def test_files_of_a_score(tmp_path):
    _, score = case()
    folder = replace(score, found=replace(score.found, name="cat.fits")).write(tmp_path / "out", plots=True)
    names = {path.name for path in folder.iterdir()}
    assert {"index.html", "score.json", "rows.ecsv", "completeness_sources.png", "errors.png",
            "sources.png"} <= names
    for path in folder.glob("*.png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 5
    plain = score.write(tmp_path / "plain", page=False)
    assert not (plain / "index.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_shows_it(tmp_path):
    _, score = case()
    path = write_page([score], tmp_path / "index.html")
    done = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000",
                           "--dump-dom", f"file://{path}"], capture_output=True, text=True, timeout=120)
    cards = re.findall(r'<button type="button" class="card">', done.stdout)
    expected = [kind for kind, _ in choose_cutouts(score, 2000) if kind != "found"]
    assert len(cards) == len(expected) and f"{len(expected)} of " in done.stdout
    assert "onerror" not in re.sub(r"&lt;.*?&gt;", "", done.stdout.split('id="data"')[0])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_filters_sorts_and_draws(tmp_path):
    """The form is worked by a script behind the page's own, and what is shown after each step is told."""
    _, score = case()
    path = write_page([score], tmp_path / "index.html")
    steps = """
    const form = document.getElementById("choose"), told = [];
    const tell = () => { form.dispatchEvent(new Event("input"));
      told.push([...document.querySelectorAll("button.card > span")].map(one => one.textContent)); };
    for (const box of form.querySelectorAll("input[name=kind]")) box.checked = true;
    tell();
    form.elements["up"].checked = true; tell();
    form.elements["up"].checked = false; form.elements["class"].value = "FRII"; tell();
    form.elements["class"].value = ""; form.elements["flux-low"].value = "25"; tell();
    form.elements["flux-low"].value = ""; form.elements["las-high"].value = "10"; tell();
    form.elements["las-high"].value = ""; form.elements["sort"].value = "las"; tell();
    const drawn = name => document.querySelectorAll("#gallery " + name).length;
    const before = [drawn(".source"), drawn(".row")];
    form.elements["truth"].checked = false; tell(); const bare = [drawn(".source"), drawn(".row")];
    form.elements["rows"].checked = false; tell();
    document.querySelector("button.card").click();
    document.body.innerHTML = "<pre id=told></pre>";
    document.getElementById("told").textContent = JSON.stringify({told, before, bare, open: true});
    """
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", f"<script>{steps}</script></body>"),
                    encoding="utf-8")
    done = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000",
                           "--dump-dom", f"file://{path}"], capture_output=True, text=True, timeout=120)
    from html import unescape

    got = json.loads(unescape(re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    items = list(make_cutouts(score, choose_cutouts(score, 2000)))

    def shown(chosen, key, *, up=False):
        ranked = sorted(chosen, key=lambda item: (item[key] if item[key] is not None else -1) * (1 if up else -1))
        return [f"{item['kind']} {item['id']}" for item in ranked]

    every, faint_first, class_two, bright, small, by_size = ([text.split(" (")[0] for text in step]
                                                             for step in got["told"][:6])
    assert every == shown(items, "snr") and faint_first == shown(items, "snr", up=True)
    assert class_two == shown([item for item in items if item["class"] == "FRII"], "snr")
    assert bright == shown([item for item in items if item["flux"] >= 25], "snr") and len(bright) < len(every)
    assert small == shown([item for item in items if item["las"] is not None and item["las"] <= 10], "snr")
    assert by_size == shown(items, "las")
    assert min(got["before"]) > 0 and got["bare"] == [0, got["before"][1]]
