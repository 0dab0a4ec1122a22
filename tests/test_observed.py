"""Real and generated stamps come out of the observation on the same footing."""

import numpy as np
import pytest
from training_stamps import blob, stamps

from skygal.evaluation.generated import match_noise
from skygal.evaluation.observed import observe_cutouts, observe_stamps
from skygal.morphology.moments import measure_moments
from skygal.stamps.survey_view import sample_noise
from skygal.training.data.cutouts import make_cutouts

SIGMA = 3 / 2.3548200450309493


def double(size=(80, 144), apart=9.0, ratio=1.0):
    """Return a noiseless double along x at FIRST's beam."""
    y, x = np.indices(size) - (np.array(size)[:, None, None] - 1) / 2
    return sum(flux * np.exp(-((x - at) ** 2 + y**2) / (2 * SIGMA**2)) for at, flux in ((apart, 1.0), (-apart, ratio)))


def test_an_observed_stamp_is_clipped_in_8_bits_and_aligned():
    clean = np.repeat(double()[None], 6, axis=0)
    seen = observe_stamps(clean, np.full(6, 0.02), beam_sigma=SIGMA, rng=np.random.default_rng(0))
    assert seen.images.shape == (6, 80, 144) and seen.images.dtype == np.float32
    assert seen.images.max(axis=(1, 2)) == pytest.approx(1)
    assert seen.visible.all() and seen.images.min() >= 0
    _, centre, covariance = measure_moments(seen.images)
    assert centre == pytest.approx(np.broadcast_to([71.5, 39.5], (6, 2)), abs=0.2)
    assert np.abs(covariance[:, 0, 1] / covariance[:, 0, 0]).max() < 0.02
    assert np.sqrt(covariance[:, 0, 0]) == pytest.approx(np.hypot(9.0, SIGMA), abs=0.6)


def test_far_lobes_are_kept_where_the_size_is_known():
    wide = np.repeat(double(apart=30)[None], 2, axis=0)
    seen = observe_stamps(wide, np.full(2, 0.02), beam_sigma=SIGMA, rng=np.random.default_rng(0), sized=[False, True])
    spread = np.sqrt(measure_moments(seen.images)[2][:, 0, 0])
    assert spread[0] < 3 and spread[1] == pytest.approx(30, abs=1)
    assert seen.sized.tolist() == [False, True]


def test_what_noise_hides_is_blank():
    rng = np.random.default_rng(0)
    wide = np.exp(-(np.indices((80, 144)).astype(float)[1] - 71.5) ** 2 / 1e3)[None]
    seen = observe_stamps(np.concatenate([double()[None], wide]), np.array([0.01, 0.33]), beam_sigma=SIGMA, rng=rng)
    assert seen.visible[0]
    assert observe_stamps(np.zeros((0, 80, 144)), np.zeros(0), beam_sigma=SIGMA, rng=rng).visible.shape == (0,)


def test_unclipped_and_subtracted_cutouts_look_alike():
    """The same sky, as MiraBest and as the Radio Galaxy Dataset publish it, comes out the same."""
    rng = np.random.default_rng(1)
    sky = blob(14, 5, 1.0, 200) + blob(-14, -5, 0.8, 200) + blob(0, 0, 0.3, 200)
    rms = 0.02
    noisy = sky + rms * sample_noise(1, sky.shape, beam_sigma=SIGMA, rng=rng)[0]
    published = np.clip(np.floor(255 * (noisy - 3 * rms) / (noisy.max() - 3 * rms)), 0, 255)
    both = make_cutouts([noisy, published], np.array(["FRII", "FRII"]), rms=np.array([rms, np.nan]))
    seen = observe_cutouts(both, [0, 1])
    assert seen.images[0] == pytest.approx(seen.images[1], abs=1e-5)
    assert seen.noise[0] == pytest.approx(rms / noisy.max())
    assert seen.noise[1] == pytest.approx(seen.noise[0], rel=1.0)


def test_a_cutout_zeroed_below_the_clip_is_brought_to_the_same():
    rng = np.random.default_rng(1)
    noisy = blob(14, 5, 1.0, 200) + blob(-14, -5, 0.8, 200)
    noisy += 0.02 * sample_noise(1, (200, 200), beam_sigma=SIGMA, rng=rng)[0]
    zeroed = np.where(noisy > 0.06, np.floor(255 * noisy / noisy.max()), 0)
    both = make_cutouts([noisy, zeroed], np.array(["FRII", "FRII"]), rms=np.array([0.02, np.nan]))
    seen = observe_cutouts(both, [0, 1])
    assert np.abs(seen.images[0] - seen.images[1]).mean() < 2e-3
    assert seen.noise[1] == pytest.approx(0.02 / noisy.max(), rel=0.1)


def test_the_papers_form_of_cutouts_and_stamps():
    """Zero below the clip, not subtracted, with specks, at any angle."""
    from skygal.evaluation.observed import SIDE, observe_cutouts_as_frdeep, observe_stamps_as_frdeep

    rng = np.random.default_rng(1)
    noisy = blob(9, 5, 1.0, 200) + blob(-9, -5, 0.8, 200)
    noisy += 0.02 * sample_noise(1, (200, 200), beam_sigma=SIGMA, rng=rng)[0]
    subtracted = np.clip(np.floor(255 * (noisy - 0.06) / (noisy.max() - 0.06)), 0, 255)
    zeroed = np.where(noisy > 0.06, np.floor(255 * noisy / noisy.max()), 0)
    cut = make_cutouts([noisy, subtracted, zeroed, noisy[60:140, 60:140]], np.array(["FRII"] * 4),
                       rms=np.array([0.02, np.nan, np.nan, 0.02]))
    seen = observe_cutouts_as_frdeep(cut, [0, 1, 2, 3])
    assert seen.shape == (4, SIDE, SIDE) and seen.max(axis=(1, 2)) == pytest.approx(1)
    assert seen[0][seen[0] > 0].min() >= 0.05
    assert seen[2] == pytest.approx(seen[0], abs=1.5 / 255)
    # what hardly rises above the clip was lost when that was subtracted
    both = (seen[1] > 0) & (seen[0] > 0)
    assert np.abs(seen[1] - seen[0])[both].max() < 0.05 and both.sum() > 0.8 * (seen[0] > 0).sum()
    assert seen[3, 10:-10, 10:-10] == pytest.approx(seen[0, 10:-10, 10:-10]) and not seen[3, :10].any()
    made = observe_stamps_as_frdeep(np.repeat(double()[None], 4, axis=0), np.full(4, 0.02), beam_sigma=SIGMA, rng=rng)
    assert made.shape == (4, SIDE, SIDE) and made[made > 0].min() >= 0.05
    angles = np.linalg.eigh(measure_moments(np.where(made > 0.3, made, 0))[2])[1][:, :, 1]
    assert np.ptp(np.arctan2(angles[:, 1], angles[:, 0]) % np.pi) > 0.3
    # both have specks
    for image in (seen[0], made[0]):
        assert (image[:20] > 0).sum() + (image[-20:] > 0).sum() > 0


def test_neighbours_and_blanks():
    images, labels = stamps(4, size=96)
    images[0, :8, :8] = 1.0
    cut = make_cutouts(list(images), np.where(labels == 0, "FRI", "FRII"), rms=np.full(4, 0.01))
    seen = observe_cutouts(cut, [0, 2], shape=(32, 48))
    assert len(seen) == 2 and seen.images.shape == (2, 32, 48)
    hidden = observe_cutouts(make_cutouts([images[1]], np.array(["FRII"]), rms=np.array([10.0])), [0], shape=(32, 48))
    assert not hidden.visible.any() and np.isnan(hidden.noise[0])


def test_the_same_seed_gives_the_same_observation():
    clean = np.repeat(double()[None], 3, axis=0)
    one, two = (observe_stamps(clean, np.full(3, 0.05), beam_sigma=SIGMA, rng=np.random.default_rng(4))
                for _ in range(2))
    assert np.array_equal(one.images, two.images)


def test_real_stamps_are_matched_by_class_and_extent():
    rng = np.random.default_rng(0)
    extent = np.linspace(5, 50, 100)
    features = np.stack([np.tile(extent, 2), np.zeros(200)], axis=1)
    rows = match_noise([[6.0, 0], [49.0, 0], [30.0, 0]], ["a", "a", "b"], features, np.repeat(["a", "b"], 100), rng=rng)
    assert np.tile(extent, 2)[rows] == pytest.approx([6, 49, 30], abs=4.5)
    assert (rows < 100).tolist() == [True, True, False]
    with pytest.raises(ValueError, match="fr_class must have real stamps, got none of c"):
        match_noise([[6.0]], ["c"], extent[:, None], np.repeat("a", 100), rng=rng)


@pytest.mark.parametrize("noise, words", [
    (np.ones(2), r"noise must have shape \(1,\), got \(2,\)"),
    (np.array([0.5]), "noise must be between 0 and 1/3 of the peak, got 0.5"),
    (np.array([np.nan]), "noise must be between 0 and 1/3 of the peak, got nan")])
def test_bad_noise_is_refused(noise, words):
    with pytest.raises(ValueError, match=words):
        observe_stamps(double()[None], noise, beam_sigma=SIGMA, rng=np.random.default_rng(0))


def test_another_judge_sees_the_source_alone_in_the_middle():
    from skygal.evaluation.observed import SIDE, show_otherwise

    image = np.zeros((3, SIDE, SIDE), np.float32)
    y, x = np.indices((SIDE, SIDE))
    image[0] = np.exp(-0.5 * ((x - 60)**2 + (y - 45)**2) / 16)
    image[0][image[0] < 0.01] = 0
    # a speck beside it, of four pixels, and a source far away
    image[0, 45:47, 75:77], image[0, 5:12, 5:12] = 0.1, 0.9
    image[1, 50, 50] = 1.0
    seen = show_otherwise(image, np.array([np.nan, np.nan, 20.0]))
    assert seen.shape == (3, 64, 64) and seen.max() == pytest.approx(1) and (seen[1:] == -1).all()
    lit = np.argwhere(seen[0] > -1)
    assert np.abs(lit.mean(axis=0) - 31.5).max() < 0.6
    # to 2 % of the peak, where the logarithm is -1
    assert np.ptp(lit, axis=0) == pytest.approx(2 * 4 * np.sqrt(2 * np.log(50)), abs=1.5)
    assert seen[0][seen[0] > -1].min() == pytest.approx(-1, abs=0.1)


def test_another_judge_sees_nothing_of_lobes_beyond_its_window():
    from skygal.evaluation.observed import SIDE, show_otherwise

    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    lobes = sum(np.exp(-0.5 * ((x - at)**2 + y**2) / 4) for at in (-40, 40))
    image = np.where(lobes > 0.05, lobes, 0).astype(np.float32)
    seen = show_otherwise(np.stack([image, image + np.where(np.hypot(x, y) < 2, 0.1, 0).astype(np.float32)]),
                          np.array([90.0, 90.0]))
    assert (seen[0] == -1).all()
    # in units of the whole source's peak
    assert seen[1].max() == pytest.approx(1 + 2 * np.log10(0.1 / image.max()) / -np.log10(0.02), abs=0.01)
