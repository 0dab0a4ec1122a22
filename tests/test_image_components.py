"""Components, peaks and signal to noise are what the image shows, counted on its pixels by other programs."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.detection import find_peaks
from radio_beam import Beam
from scipy.special import erf

import skygal
from skygal.observation.ellipse import FWHM
from skygal.rendering import drawing, image_components, transform
from skygal.rendering.hills import Rule, find_components, share_out
from skygal.rendering.image_components import COARSE, FLOOR, LEAST_PEAK, PROMINENCE

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser", "ignore:.* lie outside the image",
                                        "ignore:No local peaks")


def make_wcs(shape, scale=1.8):
    return skygal.make_wcs("12h00m00s +30d00m00s", shape, scale * u.arcsec)


def apart(survey, scale, cell, side=7, seed=0, **options):
    """Sources in cells of their own, each 10 to 90 arcsec, and the pixels of each cell."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    place = np.stack([x.ravel(), y.ravel()], axis=1) * cell + cell / 2 + rng.uniform(-0.5, 0.5, (side**2, 2))
    table = QTable({"x": place[:, 0], "y": place[:, 1], "flux": np.ones(side**2) * u.Jy,
                    "las": rng.uniform(10, 90, side**2) * u.arcsec, "pa": rng.uniform(0, 180, side**2) * u.deg})
    field = skygal.simulate_field(make_wcs(side * cell, scale), table=table, survey=survey, noise=False, seed=seed,
                                  **options)
    pixels = [field.model[j * cell:(j + 1) * cell, i * cell:(i + 1) * cell].astype(float)
              for j in range(side) for i in range(side)]
    return field, pixels


def of(field, source_id):
    return field.components[field.components["source_id"] == source_id]


@pytest.mark.parametrize(("survey", "scale", "cell"), [("FIRST", 1.8, 100), ("NVSS", 15, 30), ("EMU", 2, 120)])
def test_as_many_as_the_image_has_maxima(survey, scale, cell):
    field, cells = apart(survey, scale, cell)
    number, maxima = np.asarray(field.truth["n_components"]), []
    for k, pixels in enumerate(cells):
        found = find_peaks(pixels, 0.01 * pixels.max(), box_size=3)
        at = np.stack([found["x_peak"], found["y_peak"]], axis=1) + np.array([k % 7, k // 7]) * cell
        maxima.append(len(found))
        own = of(field, k + 1)
        # each of ours is one of theirs
        for row in own:
            away = np.abs(at - (row["x_peak"], row["y_peak"])).max(axis=1)
            assert away.min() <= 0.5 + 1e-9
            assert row["peak_flux"].value == pytest.approx(found["peak_value"][away.argmin()], rel=1e-5)
        assert own["peak_flux"].max() == field.truth["peak_flux"][k]
    maxima = np.array(maxima)
    # shallow ripples are no components of ours
    assert (number >= 1).all() and (number <= maxima).all()
    assert number.mean() == pytest.approx(maxima.mean(), rel=0.08)
    words = {1: "single", 2: "double", 3: "triple"}
    assert field.truth["morphology"].tolist() == [words.get(n, "multiple") for n in number]
    assert (number <= field.truth["n_components_stamp"]).mean() > 0.8
    if survey == "FIRST":
        assert number.mean() > 1.6 and set(field.components["kind"]) == {"core", "lobe", "whole"}
    else:
        assert number.mean() < (1.2 if survey == "NVSS" else 2) and field.truth["n_components_stamp"].mean() > 2.5


def ascents(pixels):
    """Sum and flux-weighted centre (x, y) of the pixels that lead up to each maximum (y, x), by steepest ascent."""
    sums = {}
    for start in zip(*np.nonzero(pixels), strict=True):
        at = start
        while True:
            j, i = at
            near = pixels[j - 1:j + 2, i - 1:i + 2]
            dj, di = np.unravel_index(near.argmax(), near.shape)
            if near[dj, di] <= pixels[at]:
                break
            at = (j + dj - 1, i + di - 1)
        value = pixels[start]
        sums.setdefault(at, []).append((value, value * start[1], value * start[0]))
    total = {at: np.sum(parts, axis=0) for at, parts in sums.items()}
    return {at: (flux, np.array([x, y]) / flux) for at, (flux, x, y) in total.items()}


def test_fluxes_and_places_of_components():
    """Held to ascents from all pixels, one by one, to the photutils maxima of sources whose maxima all count."""
    field, cells = apart("FIRST", 1.8, 100)
    truth, compared = field.truth, 0
    for k, pixels in enumerate(cells):
        own = of(field, k + 1)
        assert own["flux"].sum().value == pytest.approx(truth["flux"][k].value, rel=1e-9)
        assert own["flux_fraction"].sum() == pytest.approx(1, rel=1e-9)
        for name in ("x", "y"):
            assert np.average(own[name], weights=own["flux_fraction"]) == pytest.approx(truth[name][k], abs=1e-6)
        assert own["component_id"].tolist() == list(range(1, len(own) + 1)) and (np.diff(own["flux"]) <= 0).all()
        if len(own) == 1:
            assert own["kind"][0] == "whole" and own["x"][0] == truth["x"][k]
            continue
        assert "whole" not in own["kind"] and np.count_nonzero(own["kind"] == "core") <= 1
        corner = np.array([k % 7, k // 7]) * 100
        pixels[pixels < 1e-4 * pixels.max()] = 0
        found = find_peaks(pixels, 1e-4 * pixels.max(), box_size=3)
        if len(found) != len(own):
            continue
        sums = ascents(pixels)
        for row in own:
            x, y = (int(a) for a in np.rint((row["x_peak"] - corner[0], row["y_peak"] - corner[1])))
            flux, middle = max((sums[j, i] for j in range(y - 1, y + 2) for i in range(x - 1, x + 2) if (j, i) in sums),
                               key=lambda one: one[0])
            assert flux / pixels.sum() == pytest.approx(row["flux_fraction"], abs=0.02)
            assert np.hypot(*(middle + corner - (row["x"], row["y"]))) < 0.5
            compared += 1
    assert compared > 20
    for end in ("", "_peak"):
        sky = field.wcs.pixel_to_world(field.components[f"x{end}"], field.components[f"y{end}"])
        np.testing.assert_allclose(sky.ra.deg, field.components[f"ra{end}"].value, atol=1e-8)


def test_a_core_is_where_the_core_is():
    field, _ = apart("FIRST", 1.8, 100)
    cores = field.components[field.components["kind"] == "core"]
    truth = field.truth[cores["source_id"] - 1]
    x, y = field.wcs.world_to_pixel_values(truth["ra_core"], truth["dec_core"])
    assert len(cores) > 5
    # within half a beam
    assert np.hypot(x - cores["x_peak"], y - cores["y_peak"]).max() <= 1.5 + 0.1
    assert np.isnan(field.truth["ra_core"][field.truth["core_frac"] == 0]).all()


def test_sources_far_smaller_than_the_beam_are_single():
    table = QTable({"flux": np.full(40, 0.1) * u.Jy, "las": np.geomspace(1, 12, 40) * u.arcsec})
    field = skygal.simulate_field(make_wcs(256, 15), table=table, survey="NVSS", noise=False, seed=2)
    assert (field.truth["n_components"] == 1).all() and set(field.truth["morphology"]) == {"single"}
    assert (field.truth["n_components_stamp"] > 1).any() and len(field.components) == 40


def test_every_source_has_a_component():
    n = 30
    rng = np.random.default_rng(0)
    faint = QTable({"x": rng.uniform(-20, 148, n), "y": rng.uniform(-20, 148, n), "flux": np.full(n, 0.1) * u.mJy,
                    "kind": np.tile(["point", "gaussian", "exponential"], 10), "b_maj": np.full(n, 3.0) * u.arcsec,
                    "b_min": np.full(n, 2.0) * u.arcsec})
    table = QTable({"x": [20.0, 127.0, -500.0, 64.0], "y": [20.0, 60.0, -500.0, 1e5], "flux": [1.0] * 4 * u.mJy})
    field = skygal.simulate_field(make_wcs(128), table=table, faint=faint, survey="FIRST", seed=1)
    truth, parts = field.truth, field.components
    np.testing.assert_array_equal(np.unique(parts["source_id"]), np.sort(truth["source_id"]))
    number = [np.count_nonzero(parts["source_id"] == k) for k in truth["source_id"]]
    np.testing.assert_array_equal(number, truth["n_components"])
    total = np.array([of(field, k)["flux"].sum().value for k in truth["source_id"]])
    np.testing.assert_allclose(total, truth["flux_apparent"].value, rtol=1e-9)
    bulk = truth[4:]
    assert (bulk["n_components"] == 1).all() and (bulk["n_components_stamp"] == 0).all()
    mine = parts[np.isin(parts["source_id"], bulk["source_id"])]
    assert set(mine["kind"]) == {"whole"}
    for name in ("x", "y", "ra", "dec", "peak_flux", "spectral_index"):
        np.testing.assert_array_equal(mine[name], bulk[name])


def test_off_the_sky():
    """A source that the projection cannot show has a row, without a place."""
    wcs = skygal.make_wcs("0h +0d", 64, 1 * u.deg)
    table = QTable({"ra": [0.0, 180.0] * u.deg, "dec": [0.0, 0.0] * u.deg, "flux": [1, 1] * u.Jy,
                    "las": [4, 4] * u.deg})
    field = skygal.simulate_field(wcs, table=table, beam=3 * u.deg, noise=1 * u.mJy, seed=1)
    assert of(field, 2)["flux_fraction"].tolist() == [1.0] and np.isnan(of(field, 2)["x"][0])
    assert field.truth["peak_flux"][1] == 0 and field.truth["snr"][1] == 0 and field.truth["snr"][0] > 1


@given(st.integers(0, 10**6), st.sampled_from([1.0, 1.5, 2.0, 2.5, 3.0, 4.0]))
@settings(max_examples=15)
def test_smooth_ridges_on_coarse_pixels_are_one_hill(seed, fwhm):
    """Straight lines of even brightness, at any angle, seen with beams that pixels sample well or badly."""
    rng, sigma, n = np.random.default_rng(seed), fwhm / FWHM, 100
    y, x = np.mgrid[:40, :40] - 19.5
    images = []
    for angle, (dx, dy), half in zip(rng.uniform(0, np.pi, n), rng.uniform(-0.5, 0.5, (n, 2)), rng.uniform(3, 12, n),
                                     strict=True):
        along = (x - dx) * np.cos(angle) + (y - dy) * np.sin(angle)
        across = (y - dy) * np.cos(angle) - (x - dx) * np.sin(angle)
        line = erf((along + half) / sigma / 2**0.5) - erf((along - half) / sigma / 2**0.5)
        images.append(np.exp(-0.5 * (across / sigma) ** 2) * line)
    rule = Rule(PROMINENCE + COARSE / fwhm**4, least_peak=LEAST_PEAK, floor=FLOOR, between_pixels=True)
    number = np.bincount(find_components(np.array(images, np.float32), rule).stamp, minlength=n)
    assert np.mean(number > 1) <= 0.15
    plain = [len(find_peaks(image, 0.01 * image.max(), box_size=3)) for image in images[:20]]
    assert np.mean(plain) > 1.3 and number.mean() < 1.3


@given(st.integers(0, 10**6), st.floats(2.0, 4.0), st.floats(0.0, np.pi), st.floats(1.4, 4.0))
@settings(max_examples=40)
def test_two_points_are_two_from_where_the_beam_separates_them(seed, fwhm, angle, apart_by):
    """Two equal Gaussians have a saddle from 0.85 FWHM on (Sparrow's limit), of a tenth of their peak from 1.2."""
    rng, sigma = np.random.default_rng(seed), fwhm / FWHM
    y, x = np.mgrid[:48, :48] - 23.5 - rng.uniform(-0.5, 0.5, 2)[:, None, None]
    step = 0.5 * apart_by * fwhm * np.array([np.cos(angle), np.sin(angle)])
    image = sum(np.exp(-0.5 * ((x - s * step[0]) ** 2 + (y - s * step[1]) ** 2) / sigma**2) for s in (-1, 1))
    rule = Rule(PROMINENCE + COARSE / fwhm**4, least_peak=LEAST_PEAK, floor=FLOOR, between_pixels=True)
    found, pixels = share_out(image[None].astype(np.float32), rule)
    assert len(found.flux) == 2
    assert np.bincount(pixels.component).sum() == pixels.value.size
    assert found.flux[0] / found.flux.sum() == pytest.approx(0.5, abs=0.1)


def dirty_beam(level=0.15):
    y, x = np.mgrid[-40:41, -40:41]
    r = np.hypot(x, y)
    psf = np.exp(-(r**2) / 4.5) + level * np.cos(r * 0.9) * np.exp(-r / 12) * (r > 3)
    return psf / psf.max()


def test_sidelobes_are_no_components():
    table = QTable({"x": np.arange(8) * 60.0 + 40, "y": np.full(8, 60.0), "flux": np.full(8, 0.1) * u.Jy,
                    "las": np.full(8, 2.0) * u.arcsec})
    wcs = make_wcs((120, 500))
    dirty = skygal.simulate_field(wcs, table=table, psf=dirty_beam(), noise=False, seed=2)
    assert (dirty.truth["n_components"] == 1).all()
    peaks = find_peaks(dirty.model.astype(float), 0.01 * dirty.model.max(), box_size=3)
    assert len(peaks) > 30
    # and with structure, as many as through the Gaussian of the main lobe
    table["las"] = np.full(8, 80.0) * u.arcsec
    table["y"] = 60.3
    dirty = skygal.simulate_field(wcs, table=table, psf=dirty_beam(), noise=False, seed=2)
    clean = skygal.simulate_field(wcs, table=table, beam=Beam.from_fits_header(dirty.header), noise=False, seed=2)
    assert (clean.truth["n_components"] > 1).sum() >= 4
    assert abs(np.mean(clean.truth["n_components"]) - np.mean(dirty.truth["n_components"])) <= 0.5
    for row in dirty.truth:
        assert of(dirty, row["source_id"])["peak_flux"].max().value == pytest.approx(row["peak_flux"].value, rel=1e-6)


SOURCES = {"n_sources": 40, "survey": "FIRST", "flux": (2 * u.mJy, 1 * u.Jy), "las": (10 * u.arcsec, 90 * u.arcsec),
           "seed": 6}


def cut_and_whole(noise=False):
    """The same sky on an image and on one that leaves much of it out."""
    whole = skygal.simulate_field(make_wcs(300), noise=noise, **SOURCES)
    table = whole.truth["ra", "dec", "flux", "las", "pa", "fr_class", "spectral_index"]
    part = skygal.simulate_field(whole.wcs, table=table, shape=(170, 300), survey="FIRST", noise=noise, seed=6)
    again = skygal.simulate_field(whole.wcs, table=table, shape=(300, 300), survey="FIRST", noise=noise, seed=6)
    return again, part


def test_components_are_of_the_whole_source_wherever_the_image_ends():
    whole, part = cut_and_whole()
    assert part.truth["edge"].sum() >= 5
    assert (part.truth["flux_in_image"] == 0).any()
    for name in ("n_components", "morphology"):
        np.testing.assert_array_equal(part.truth[name], whole.truth[name])
    for name in ("source_id", "component_id", "kind", "x", "y", "x_peak", "y_peak", "flux", "spectral_index"):
        if name in ("source_id", "component_id", "kind"):
            np.testing.assert_array_equal(part.components[name], whole.components[name], err_msg=name)
        else:
            # the beam is that at the image's centre
            np.testing.assert_allclose(part.components[name], whole.components[name], rtol=1e-4, atol=1e-3)
    inside = (part.components["y_peak"] < 168.5) & (part.components["y_peak"] > 0)
    np.testing.assert_allclose(part.components["peak_flux"][inside], whole.components["peak_flux"][inside], rtol=1e-4)


def test_components_do_not_depend_on_what_is_drawn_together(monkeypatch):
    first = skygal.simulate_field(make_wcs(300), noise=False, **SOURCES)
    monkeypatch.setattr(drawing, "PATCH_PIXELS", 2**15)
    monkeypatch.setattr(transform, "GRID_PIXELS", 2**13)
    monkeypatch.setattr(image_components, "CROP_PIXELS", 2**11)
    second = skygal.simulate_field(make_wcs(300), noise=False, **SOURCES)
    for table in ("truth", "components"):
        one, two = getattr(first, table), getattr(second, table)
        for name in one.colnames:
            np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(two[name]), err_msg=name)


def test_a_source_too_large_to_be_drawn_whole_has_the_same_components(monkeypatch):
    whole, _ = cut_and_whole()
    table = whole.truth["ra", "dec", "flux", "las", "pa", "fr_class", "spectral_index"]
    monkeypatch.setattr(drawing, "LARGEST_PATCH", 100)
    small = skygal.simulate_field(whole.wcs, table=table, shape=(14, 14), survey="FIRST", noise=False, seed=6)
    number = np.asarray(small.truth["n_components"])
    assert (np.abs(number - whole.truth["n_components"]) <= 1).all()
    assert np.mean(number == whole.truth["n_components"]) > 0.7 and number.max() > 2
    for k in small.truth["source_id"][number == whole.truth["n_components"]]:
        one, two = of(small, k), of(whole, k)
        np.testing.assert_allclose(one["flux_fraction"], two["flux_fraction"], atol=0.1)


@pytest.mark.parametrize("options", [{}, {"psf": dirty_beam(0.05)}])
def test_peaks_and_signal_to_noise_are_those_in_the_image(options):
    """One source at a time, at every distance from the border, against the pixels."""
    rms = 1e-4
    for x in (-60.0, -14.0, -2.0, 5.0, 30.0):
        table = QTable({"x": [x], "y": [32.0], "flux": [0.3] * u.Jy, "las": [30] * u.arcsec, "pa": [90] * u.deg})
        faint = QTable({"x": [x], "y": [32.0], "flux": [0.3] * u.Jy, "kind": ["gaussian"], "b_maj": [12] * u.arcsec,
                        "b_min": [6] * u.arcsec, "pa": [90] * u.deg})
        given_ = {"survey": "FIRST", "noise": rms * u.Jy, "seed": 3, **options}
        galaxy = skygal.simulate_field(make_wcs(64), table=table, **given_)
        bulk = skygal.simulate_field(make_wcs(64), 0, faint=faint, **given_)
        for field in (galaxy, bulk) if not options else (galaxy,):
            row, brightest = field.truth[0], max(float(field.model.max()), 0)
            assert row["peak_flux"].value == pytest.approx(brightest, rel=1e-4, abs=3e-7)
            assert row["snr"] == pytest.approx(row["peak_flux"].value / rms)
            assert (field.components["peak_flux"] <= row["peak_flux"]).all()
            if field.model.max() <= 0:
                assert row["snr"] == 0


def test_peaks_on_blank_pixels_do_not_count():
    image = np.zeros((64, 64), np.float32)
    image[:, :30] = np.nan
    places = {"x": [10.0, 26.0, 50.0], "y": [12.0, 32.0, 50.0], "flux": [100, 100, 100] * u.mJy}
    galaxies = QTable({**places, "las": [20, 20, 20] * u.arcsec})
    faint = QTable({**places, "kind": ["point"] * 3})
    options = {"wcs": make_wcs(64), "beam": 5.4 * u.arcsec, "unit": "Jy/beam", "frequency": 1.4 * u.GHz,
               "noise": 0.1 * u.mJy, "seed": 1}
    for row in range(3):
        for field in (skygal.inject(image, table=galaxies[row:row + 1], **options),
                      skygal.inject(image, 0, faint=faint[row:row + 1], **options)):
            seen = np.where(np.isnan(image), 0, field.model)
            truth = field.truth[0]
            assert truth["peak_flux"].value == pytest.approx(max(seen.max(), 0), rel=1e-4, abs=1e-7)
            assert truth["snr"] == pytest.approx(truth["peak_flux"].value / 1e-4)
            assert (field.components["peak_flux"] <= truth["peak_flux"]).all()


def test_without_noise_the_signal_to_noise_is_infinite_or_nothing():
    table = QTable({"x": [30.0, 500.0], "y": [30.0, 500.0], "flux": [1, 1] * u.Jy, "las": [10, 10] * u.arcsec})
    truth = skygal.simulate_field(make_wcs(64), table=table, survey="FIRST", noise=False, seed=1).truth
    assert truth["snr"].tolist() == [np.inf, 0.0] and truth["peak_flux"][1] == 0
