"""Results show themselves: in a line, in a notebook, in a picture; comparing them is safe."""

import ast
import base64
import copy
import importlib
import io
import re
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from pathlib import Path

import dask
import numpy as np
import pytest
from astropy import units as u

import skygal
from skygal.io.pictures import brightness_norm, shrink
from skygal.observation.primary_beam import ImagePrimaryBeam
from skygal.population import MiraBestSizes, PowerLaw, WindhorstSizes, read_counts
from skygal.seeds import Seeds

PACKAGE = Path(skygal.__file__).parent
WCS = skygal.make_wcs("12h00m00s +30d00m00s", 128, 1.8 * u.arcsec)
GIVEN = {"survey": "FIRST", "flux": 20 * u.mJy, "las": (10 * u.arcsec, 30 * u.arcsec), "seed": 3}


@pytest.fixture(scope="module")
def field():
    return skygal.simulate_field(WCS, 7, **GIVEN)


@pytest.fixture(scope="module")
def lazy():
    return skygal.simulate_field(WCS, 7, chunks=64, **GIVEN)


@pytest.fixture(scope="module")
def stamps():
    return skygal.sample_stamps(6, seed=1)


def with_other(field, **parts):
    """Return a field of which some is made up, so that it is not what it says (see field_checks.py)."""
    made_up = copy.copy(field)
    vars(made_up).update(parts)
    return made_up


def array_holders():
    """Return every dataclass of the package with an array, a table or a header in it, or with such a one in it."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "galsim":  # needs GalSim, and holds numbers alone
            continue
        text = path.read_text(encoding="utf-8")
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(text).body if "@dataclass" in text else ():
            if isinstance(node, ast.ClassDef) and "dataclass" in " ".join(map(ast.unparse, node.decorator_list)):
                found.append(getattr(importlib.import_module(name), node.name))
                assert is_dataclass(found[-1])
    holds = {"ndarray", "QTable", "Table", "Header"}
    while True:
        more = {one for one in found if one.__name__ not in holds
                and any(set(re.findall(r"\w+", str(each.type))) & holds for each in fields(one))}
        if not more:
            return [one for one in found if one.__name__ in holds]
        holds |= {one.__name__ for one in more}


def test_what_holds_arrays_compares_by_identity():
    """Comparing arrays gives arrays, of which none can tell whether two objects are the same."""
    holders = array_holders()
    assert len(holders) > 40
    # its parts compare: a table of counts by identity, and two fluxes
    allowed = {"CountedFlux"}
    assert [one.__qualname__ for one in holders if one.__eq__ is not object.__eq__
            and one.__name__ not in allowed] == []


def test_objects_compare_and_can_be_kept_in_sets(field, lazy, stamps):
    counts = read_counts()
    survey = skygal.read_survey("VLASS")
    lobe = np.exp(-np.linspace(-2, 2, 33)**2)
    patterns = [ImagePrimaryBeam(np.outer(lobe, part), WCS, 1 * u.GHz, pointing=(0.0, 0.0)) for part in (lobe, lobe**2)]
    beams = [skygal.GaussianPrimaryBeam(1 * u.deg, 1 * u.GHz), skygal.AiryPrimaryBeam(25 * u.m)]
    others = [field, lazy, stamps, counts, counts.between(1 * u.mJy, 1 * u.Jy), survey, skygal.load_model(), *beams,
              skygal.SyntheticStamps(4, seed=1), PowerLaw(1 * u.mJy, 1 * u.Jy, -2.0), MiraBestSizes(), WindhorstSizes(),
              Seeds(1), *patterns]
    for k, one in enumerate(others):
        assert (one == one) is True and (one != one) is False
        assert [other for other in others if one == other] == [one], k
        assert one in {one}
    assert survey == skygal.read_survey("vlass") and hash(survey) == hash(skygal.read_survey("vlass"))
    assert skygal.AiryPrimaryBeam(25 * u.m) == beams[1] != skygal.AiryPrimaryBeam(13 * u.m)


def test_a_field_says_what_it_is_in_a_line(field, lazy):
    counts = {name: np.count_nonzero(field.truth["fr_class"] == name) for name in ("FRI", "FRII")}
    text = repr(field)
    assert text == (f"<Field 128 x 128 pixels: 7 sources ({counts['FRI']} FRI, {counts['FRII']} FRII), 1.4 GHz, "
                    'beam 5.4", noise 150 uJy/beam, model first-cvae, seed 3>')
    assert repr(lazy) == text.replace("pixels:", "pixels, lazy:")
    none = skygal.simulate_field(WCS, 0, beam=(6 * u.arcsec), frequency=150 * u.MHz, seed=1)
    assert "0 sources, 150 MHz" in repr(none) and "no noise" in repr(none)
    wide = with_other(field, image=np.zeros((100, 300)))
    assert "Field 100 x 300 pixels" in repr(wide)


def test_noise_that_varies_is_told_as_a_range(field):
    truth = field.truth.copy()
    truth["local_rms"] = np.linspace(1e-4, 2e-3, len(truth)) * u.Jy / u.beam
    assert "noise 100 uJy/beam to 2 mJy/beam" in repr(with_other(field, truth=truth))


def test_stamps_say_what_they_are_in_a_line(stamps):
    assert repr(stamps) == '<StampSet 6 of 150 x 150 pixels: 3 FRI, 3 FRII, pixel 1.8", beam 5.4", ' \
                           'model first-cvae, seed 1>'


@pytest.mark.parametrize("make", [read_counts, lambda: skygal.read_survey("FIRST"), skygal.load_model,
                                  lambda: skygal.load_model().tables["FRI"], lambda: skygal.SyntheticStamps(9, seed=1),
                                  lambda: skygal.SyntheticStamps(9, seed=1).stream()])
def test_others_do_as_well(make):
    text = repr(make())
    assert "\n" not in text and len(text) < 300 and " object at 0x" not in text


class _Reader(HTMLParser):
    """Checks that tags are closed in order, and keeps pictures and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.pictures, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs))
        elif tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def picture(html):
    """Return the pixels of the only picture, row 0 below."""
    from PIL import Image

    (found,) = _Reader(html).pictures
    kind, _, data = found["src"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))[::-1]


def test_notebooks_show_a_picture_and_the_head_of_truth(field):
    html = field._repr_html_()
    shown = picture(html)
    assert shown.shape == (128, 128, 3)
    assert shown.sum(axis=2).argmax() in np.flatnonzero(field.image >= np.quantile(field.image, 0.99))
    text = " ".join(_Reader(html).texts)
    assert repr(field)[1:-1] in text
    assert html.count("<tr>") == 2 + 5
    assert f"{field.truth['ra'][4].value:.5f}" in text and f"{field.truth['ra'][5].value:.5f}" not in text
    assert "of 7 rows the first 5" in text


def test_blank_pixels_are_grey_in_pictures(field):
    image = field.image.copy()
    image[:40] = np.nan
    shown = picture(with_other(field, image=image)._repr_html_())
    assert (np.ptp(shown[:40].astype(int), axis=2) == 0).all() and np.ptp(shown[50:].astype(int), axis=2).max() > 50


def test_notebooks_compute_nothing_of_lazy_fields(lazy):
    def refuse(*_, **__):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        html = lazy._repr_html_()
        assert repr(lazy)
    assert _Reader(html).pictures == [] and "lazy" in html and html.count("<tr>") == 7


def test_without_matplotlib_there_is_no_picture(field, stamps, monkeypatch):
    monkeypatch.setattr("skygal.io.pictures.find_spec", lambda name: None)
    for one in (field, stamps):
        assert _Reader(one._repr_html_()).pictures == [] and "<table" in one._repr_html_()


def test_a_field_without_sources_shows_itself():
    none = skygal.simulate_field(WCS, 0, survey="FIRST", seed=1)
    html = none._repr_html_()
    assert picture(html).shape == (128, 128, 3) and "noise 150 uJy/beam" in html
    assert none.plot().get_legend() is None
    _close()


def test_notebooks_show_stamps_beside_each_other(stamps):
    shown = picture(stamps._repr_html_())
    assert shown.shape == (150, 5 * 150 + 4 * 3, 3)
    for k in range(5):
        # the brightest pixel of each, in its own frame
        part = shown[:, 153 * k:153 * k + 150].astype(int).sum(axis=2)
        assert part[np.unravel_index(stamps.images[k].argmax(), (150, 150))] == part.max()


def test_large_pictures_keep_single_bright_pixels():
    image = np.full((1000, 701), np.nan, np.float32)
    image[:, :600] = 0
    image[999, 17] = 5
    small = shrink(image, 320)
    assert max(small.shape) <= 320 and small[-1, 17 // 4] == 5 and np.nansum(small) == 5
    assert np.isnan(small[:, 150:]).all() and np.isfinite(small[:, :150]).all()


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.full((4, 4), -3.0), np.eye(9)])
def test_any_image_has_a_scale(image):
    norm = brightness_norm(image)
    assert np.isfinite([norm.vmin, norm.vmax]).all() and norm.vmin < norm.vmax
    assert np.isfinite(norm(np.nan_to_num(image))).all()


def _close():
    import matplotlib.pyplot as plt

    plt.close("all")


def marks(axes):
    """Return the number of marks of each class by the colour and dashes that the legend gives it."""
    names = {(line.get_color(), line.get_linestyle()): text.get_text() for line, text in
             zip(axes.get_legend().get_lines(), axes.get_legend().get_texts(), strict=True)}
    return names, axes.collections


def test_every_class_is_marked_and_faint_sources_are_not(field):
    names = ["FRI", "FRII", "hybrid", "compact", "bent", "unheard of", "none"]
    truth = field.truth.copy()
    truth["fr_class"] = names
    truth["x"], truth["y"] = np.arange(7.0) + 10, np.full(7, 64.0)
    axes = with_other(field, truth=truth).plot()
    legend, collections = marks(axes)
    assert list(legend.values()) == [f"{name} (1)" for name in names[:-1]] + ["faint, not marked (1)"]
    # a look each, none twice
    assert len(legend) == 7
    assert [tuple(one.get_offsets()[0]) for one in collections] == [(10.0 + k, 64.0) for k in range(6)]
    # as wide as LAS, and 5 pixels on either side
    assert collections[0]._widths[0] * 2 == pytest.approx(truth["las"][0].to_value("arcsec") / 1.8 + 10)
    _close()


def test_sources_beyond_the_image_are_not_marked(field):
    truth = field.truth.copy()
    truth["x"] = [-1.0, 128.0, np.nan, 0.0, 127.0, 5.0, 64.0]
    truth["y"] = 64.0
    truth["fr_class"] = "FRI"
    axes = with_other(field, truth=truth).plot()
    assert axes.collections[0].get_offsets()[:, 0].tolist() == [0.0, 127.0, 5.0, 64.0]
    assert field.plot(truth=False).get_legend() is None
    _close()
