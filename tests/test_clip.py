"""Clipping: the floor and specks go, lobes stay."""

import numpy as np
import pytest

from skygal.morphology.clip import clip_stamps, noise_floor

Y, X = np.mgrid[:80, :120]


def blob(x, y, peak, width=1.6):
    return peak * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 2 / width**2)


def stamp(seed=0, floor=2e-3, scatter=5e-4):
    """A double with one faint, detached lobe, on a floor with rings and a speck."""
    rng = np.random.default_rng(seed)
    r = np.hypot(X - 60, Y - 40)
    rings = floor + 1e-3 * (1 + np.cos(r / 3)) / 2 + rng.normal(0, scatter, X.shape)
    source = blob(35, 40, 1.0, 2.5) + blob(90, 41, 0.05, 4)
    speck = np.zeros(X.shape)
    speck[10:12, 100:102] = 0.02
    return np.abs(rings), source, speck


def test_floor_rings_and_specks_go_lobes_stay():
    floor, source, speck = stamp()
    (clipped,) = clip_stamps((floor + source + speck)[None], 3.0, beam_fwhm=3.0)
    assert clipped[10:12, 100:102].max() == 0
    assert clipped[source < 1e-5].max() == 0
    assert (clipped[source > 0.01] > 0).all()
    kept = clipped[(X > 75) & (source > 1e-4)]
    assert kept.sum() == pytest.approx(source[X > 75].sum(), rel=0.2)


def test_floor_is_measured_on_each_stamp():
    floor, source, _ = stamp()
    level, scatter = noise_floor(np.stack([floor + source, 10 * (floor + source), source * 0]))
    assert level[0] == pytest.approx(np.median(floor), rel=0.05)
    np.testing.assert_allclose([level[1], scatter[1]], [10 * level[0], 10 * scatter[0]], rtol=1e-6)
    assert level[2] == scatter[2] == 0


def test_sigma_is_the_threshold():
    floor, source, _ = stamp()
    image = (floor + source)[None]
    sizes = [np.count_nonzero(clip_stamps(image, s, beam_fwhm=3.0)) for s in (1.0, 3.0, 10.0)]
    assert sizes[0] > sizes[1] > sizes[2] > 0
    level, scatter = noise_floor(image)
    clipped = clip_stamps(image, 3.0, beam_fwhm=3.0)
    assert clipped[clipped > 0].min() > (level + 3 * scatter)[0]


def test_what_is_fainter_than_asked_for_goes_however_low_the_floor_is():
    image = (blob(60, 40, 1.0, 9) + blob(20, 40, 0.03, 9))[None].astype(np.float32)
    for faintest in (0.002, 0.02, 0.1):
        clipped = clip_stamps(image, 1.0, beam_fwhm=3.0, faintest=faintest)
        lit = clipped > 0
        np.testing.assert_array_equal(lit, image > max(faintest * image.max(), np.sum(noise_floor(image))))
        assert lit[:, :, :40].any() == (faintest < 0.03)
        np.testing.assert_array_equal(clipped[lit], image[lit])
    # never more than half of the peak
    assert clip_stamps(image, 1.0, beam_fwhm=3.0, faintest=0.9)[0].min() == 0


def test_off():
    image = np.random.default_rng(0).random((2, 30, 30)).astype(np.float32)
    np.testing.assert_array_equal(clip_stamps(image, None, beam_fwhm=3.0), image)


def test_an_unresolved_source_survives():
    clipped = clip_stamps(blob(60, 40, 1.0, 3 / 2.3548)[None] + 1e-4, 3.0, beam_fwhm=3.0)
    assert clipped.sum() > 0


def test_a_stamp_that_is_all_floor_keeps_its_peak():
    image = np.random.default_rng(0).random((1, 80, 120)) + blob(60, 40, 1.0, 4)
    assert clip_stamps(image, 10.0, beam_fwhm=3.0).max() == np.float32(image.max())


def test_a_batch_is_its_stamps_one_by_one():
    images = np.stack([sum(stamp(seed)) for seed in range(4)])
    together = clip_stamps(images, 3.0, beam_fwhm=3.0)
    for image, expected in zip(images, together, strict=True):
        np.testing.assert_array_equal(clip_stamps(image[None], 3.0, beam_fwhm=3.0)[0], expected)


@pytest.mark.parametrize(("value", "message"), [
    (-1, r"clip_sigma must be positive, got -1\.0"), (0, r"clip_sigma must be positive, got 0\.0"),
    (np.nan, "clip_sigma must be finite, got nan"), ("three", "clip_sigma must be a number")])
def test_bad_sigma(value, message):
    with pytest.raises((TypeError, ValueError), match=message):
        clip_stamps(np.ones((1, 30, 30)), value, beam_fwhm=3.0)


def plain(*boxes, peak=1.0):
    """Return a stamp of even boxes (y, x, height, width, brightness) on nothing, beside a source of unit peak."""
    out = blob(60, 40, peak, 2.5)
    out[out < 0.05] = 0
    for y, x, height, width, value in boxes:
        out[y:y + height, x:x + width] = value
    return out


def clip(*stamps, **options):
    return clip_stamps(np.stack(stamps), **{"clip_sigma": 3.0, "beam_fwhm": 3.0, **options})


def test_the_brightest_island_is_kept_however_small():
    # one of 4 pixels, where the beam's area has 10.2; what is larger is fainter, and neither part of the other
    small = np.zeros(X.shape)
    small[40:42, 60:62], small[10:12, 10:12] = 1.0, 0.9
    other = np.zeros(X.shape)
    other[20:22, 30:32] = 1.0
    for image, kept in zip(clip(small, other), (small > 0.95, other > 0), strict=True):
        np.testing.assert_array_equal(image > 0, kept)


def test_islands_under_the_beams_area_are_specks():
    # a beam of 3 pixels FWHM covers 10.2 of them
    (clipped,) = clip(plain((5, 5, 2, 5, 0.5), (5, 20, 1, 11, 0.5), (70, 5, 3, 4, 0.5)))
    assert not clipped[5:7, 5:10].any() and (clipped[5, 20:31] == 0.5).all() and (clipped[70:73, 5:9] == 0.5).all()


@pytest.mark.parametrize(("share", "kept"), [(0.0017, False), (0.0023, True)])
def test_islands_with_less_than_a_fifth_of_a_percent_of_the_flux_are_specks(share, kept):
    source = plain(peak=10.0)
    # 16 pixels, each above the floor: three thousandths of the peak
    value = share * source.sum() / (1 - share) / 16
    assert value > 3.1e-3 * source.max()
    (clipped,) = clip(plain((5, 5, 4, 4, value), peak=10.0))
    assert clipped[5:9, 5:9].any() == kept and clipped[40, 60] > 0


def test_a_smooth_floor_is_cut_at_three_thousandths_of_the_peak():
    """Or what a decoder draws as a wide, noiseless halo would be taken as the source's."""
    image = blob(60, 40, 1.0, 6)
    (clipped,) = clip(image)
    np.testing.assert_array_equal(clipped > 0, image > 3e-3)


def test_the_threshold_is_at_most_half_of_the_peak():
    floor = np.random.default_rng(0).random(X.shape) + blob(60, 40, 1.0, 4)
    (clipped,) = clip(floor, clip_sigma=30.0)
    bright = clipped[35:46, 55:66] > 0
    np.testing.assert_array_equal(bright, (floor > 0.5 * floor.max())[35:46, 55:66])


def test_pixels_that_touch_by_a_corner_are_of_one_island():
    image = plain()
    for k in range(12):
        image[5 + k, 5 + k] = 0.5
    (clipped,) = clip(image)
    assert (clipped[range(5, 17), range(5, 17)] == 0.5).all()
