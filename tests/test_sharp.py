"""Measures of sharpness on maps whose values can be worked out, and the atlas seen with coarser beams."""

import numpy as np
import pytest

from skygal.evaluation.sharp import BEAM_AREA, measure_sharpness
from skygal.training.data.atlas import PIXELS_PER_BEAM, SIGMA, read_atlas, smooth_map

POINT = PIXELS_PER_BEAM * SIGMA


def gaussians(size, places, sigma):
    y, x = np.indices((size, size))
    return sum(np.exp(-((x - a)**2 + (y - b)**2) / (2 * sigma**2)) for a, b in places)


@pytest.mark.parametrize("wide", [1.0, 2.0, 5.0])
def test_gaussian_is_the_closed_form(wide):
    sigma = wide * POINT
    found = measure_sharpness(gaussians(161, [(80, 80)], sigma))
    area = 2 * np.pi * sigma**2 * np.log(50)
    assert found["maxima"] == pytest.approx(10 * BEAM_AREA / area, rel=0.06)
    assert found["islands"] == 1
    # standard deviation over FWHM; the mean's own power is left out, a part of some 1e-2 at most
    assert found["fine power"] == pytest.approx(np.exp(-(np.pi * wide * SIGMA)**2), rel=0.06, abs=1e-9)
    # ln I is spread evenly above any level; a small source has few pixels
    for part in (25, 50, 75):
        assert found[f"brightness {part}"] == pytest.approx((1 - part / 100) * np.log10(0.02), abs=0.1)
    assert found["edge"] == pytest.approx(PIXELS_PER_BEAM / sigma * np.sqrt(2 * np.log(20)), rel=0.05)
    assert found["hotspot contrast"] == pytest.approx(1 - 16**(-1 / wide**2), abs=0.005)
    assert found["core contrast"] == found["hotspot contrast"]


def test_points_apart_are_islands_and_maxima():
    places = [(20, 20), (60, 20), (20, 60)]
    found = measure_sharpness(gaussians(81, places, POINT) - 0.25 * gaussians(81, places[:1], POINT))
    assert found["islands"] == 3
    assert found["hotspot contrast"] == pytest.approx(15 / 16, abs=0.005)
    assert np.isnan(measure_sharpness(gaussians(81, [(20, 40), (60, 40)], POINT))["core contrast"])


def test_solidity_is_that_of_what_is_lit():
    y, x = np.indices((200, 200)) - 99.5
    # pixels' corners make the hull of something round a little larger
    assert measure_sharpness(1.0 * (np.hypot(x / 2, y) < 40))["solidity"] == pytest.approx(1, abs=0.03)
    # a square without one of its quarters, whose hull lacks half of that
    square = (np.abs(x) < 60) & (np.abs(y) < 60)
    assert measure_sharpness(1.0 * (square & ((x < 0) | (y < 0))))["solidity"] == pytest.approx(6 / 7, rel=1e-9)
    two = measure_sharpness(1.0 * (square & (np.abs(x) > 30)))
    assert two["islands"] == 2 and two["solidity"] == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("slope", [-3.0, -1.0])
def test_slope_is_that_of_a_power_law_seen_with_the_beam(slope):
    rng = np.random.default_rng(1)
    f = PIXELS_PER_BEAM * np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    f[0, 0] = np.inf
    wave = np.fft.fft2(rng.normal(size=(256, 256))) * f**(slope / 2) * np.exp(-2 * (np.pi * SIGMA * f)**2)
    field = np.fft.ifft2(np.where(np.isfinite(f), wave, 0)).real
    assert measure_sharpness(field - field.min())["slope"] == pytest.approx(slope, abs=0.2)


@pytest.mark.parametrize("bad", [np.zeros((8, 8)), np.ones(8), np.full((8, 8), np.nan)])
def test_map_without_flux_is_told(bad):
    with pytest.raises(ValueError, match="image must be"):
        measure_sharpness(bad)


@pytest.mark.parametrize("angle", [0.0, 35.0, 90.0])
def test_a_point_seen_with_a_coarser_beam_is_round(angle):
    major, minor = 4.0, 2.5
    y, x = np.indices((81, 81)) - 40.0
    turn = np.radians(angle)
    # north is up, east left
    along, across = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    own = np.exp(-((along / major)**2 + (across / minor)**2) / (2 * SIGMA**2))
    seen = smooth_map(own, [major, minor, angle], 8.0, 41)
    np.testing.assert_allclose(seen, gaussians(41, [(20, 20)], POINT), atol=2e-3)
    with pytest.raises(ValueError, match="fwhm must be at least"):
        smooth_map(own, [major, minor, angle], 3.0, 41)


def atlas_file(path, **other):
    image = np.stack([gaussians(64, [(20, 32), (44, 32)], 2.0)] * 3).astype(np.float16)
    data = {"image": image, "scale": np.full(3, 0.5), "name": np.array(["a", "b", "c"]), "label": np.full(3, 200),
            "pixel": np.ones(3), "beam": np.tile([2 / SIGMA, 2 / SIGMA, 0], (3, 1)), "las99": np.full(3, 40.0),
            "quality": np.array([1, 0, 1])} | other
    np.savez(path, **{key: value for key, value in data.items() if value is not None})
    return path


def test_atlas_is_read_and_seen_coarser(tmp_path):
    atlas = read_atlas(atlas_file(tmp_path / "atlas.npz"))
    assert atlas.name.tolist() == ["a", "c"] and atlas.image.max() == pytest.approx(0.5, rel=1e-3)
    maps, rows = atlas.at(6)
    assert rows.tolist() == [0, 1] and maps.max() == 1
    # 24 pixels apart, seen with a beam of 40/6: 24 / (40/6) * 4 pixels apart
    row = maps[0][maps[0].max(axis=1).argmax()]
    peaks = np.flatnonzero((row[1:-1] > row[:-2]) & (row[1:-1] > row[2:]) & (row[1:-1] > 0.1)) + 1
    assert np.ptp(peaks) == pytest.approx(24 / (40 / 6) * 4, abs=1)
    with pytest.raises(ValueError, match="beams must be fewer than the 8"):
        atlas.at(9)


@pytest.mark.parametrize(("other", "words"), [
    ({"beam": None}, "lacks beam"), ({"pixel": np.ones(2)}, "pixel must have the 3 rows"),
    ({"las99": np.array([1.0, 0.0, 1.0])}, "las99 must be positive")])
def test_what_is_no_atlas_is_told(tmp_path, other, words):
    with pytest.raises(ValueError, match=words):
        read_atlas(atlas_file(tmp_path / "atlas.npz", **other))
