"""Isolating, restoring, aligning and splitting, on made-up sources with known answers."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from training_stamps import blob, source, stamps

from skygal.morphology.conditions import measure_bending
from skygal.morphology.moments import measure_moments
from skygal.stamps.survey_view import sample_noise
from skygal.training.data.cutouts import make_cutouts
from skygal.training.data.isolate import find_source, restore_source
from skygal.training.data.prepare import prepare_stamps, split_by_sky

SIGMA = 3 / 2.3548200450309493


def seen_again(sharp):
    """Return a restored source at the survey's resolution."""
    return gaussian_filter(sharp, SIGMA * np.sqrt(0.5))


def cutouts(images, fr_class=None, **columns):
    n = len(images)
    rng = np.random.default_rng(5)
    given = {"ra": rng.uniform(0, 360, n), "dec": rng.uniform(-30, 60, n), "rms": np.full(n, 0.01), **columns}
    return make_cutouts(list(images), fr_class if fr_class is not None else np.where(np.arange(n) % 2, "FRII", "FRI"),
                       **given)


class TestFindSource:
    def test_neighbour_and_specks_stay_out(self):
        image = blob(0, 0, 1.0, 128) + blob(50, 40, 0.8, 128)
        image[100, 20:22] = 0.5
        mask = find_source(image, 0.03)
        assert mask[63, 63] and not mask[100:, :].any() and mask.sum() == (blob(0, 0, 1.0, 128) > 0.03).sum()

    def test_detached_lobe_joins(self):
        image = blob(-12, 0, 1.0, 128) + blob(12, 0, 0.6, 128)
        mask = find_source(image, 0.03)
        assert mask[63, 51] and mask[63, 75]

    def test_faint_island_far_off_does_not_join(self):
        image = blob(0, 0, 1.0, 128) + blob(20, 0, 0.04, 128)
        assert not find_source(image, 0.01)[:, 78:].any()

    def test_angular_size_holds_lobes_together_and_neighbours_off(self):
        image = blob(-35, 0, 1.0, 128) + blob(35, 0, 0.6, 128)
        assert find_source(image, 0.03, las=75.0)[63, [28, 98]].all()
        pair = blob(0, 0, 1.0, 128) + blob(20, 0, 0.6, 128)
        assert not find_source(pair, 0.03, las=6.0)[:, 76:].any()

    def test_blank(self):
        assert not find_source(np.zeros((16, 16)), 0.0).any()
        assert not find_source(np.eye(16) * 0.0 + (np.indices((16, 16)).sum(axis=0) == 3), 0.5).any()


class TestRestoreSource:
    def test_flux_and_shape_come_back_from_a_clipped_image(self):
        clean = blob(-6, 0, 1.0, 64, SIGMA) + blob(6, 1, 0.5, 64, SIGMA)
        noisy = clean + 0.01 * np.random.default_rng(0).standard_normal(clean.shape)
        mask = find_source(noisy, 0.03)
        sharp = restore_source(np.where(mask, noisy, 0), mask, 0.03, beam_sigma=SIGMA)
        assert (sharp >= 0).all()
        assert sharp.sum() == pytest.approx(clean.sum(), rel=0.03)
        flux, centre, covariance = measure_moments(np.stack([clean, sharp]))
        np.testing.assert_allclose(centre[1], centre[0], atol=0.15)
        # the result lacks half of the beam's variance
        np.testing.assert_allclose(covariance[1] + 0.5 * SIGMA**2 * np.eye(2), covariance[0], rtol=0.03, atol=0.35)

    def test_a_bright_point_is_as_sharp_as_it_was_seen(self):
        for shift in (0.0, 0.5):
            clean = blob(shift, shift, 1.0, 48, SIGMA)
            noisy = clean + 0.001 * sample_noise(1, (48, 48), beam_sigma=SIGMA, rng=np.random.default_rng(2))[0]
            mask = find_source(noisy, 0.003)
            again = seen_again(restore_source(noisy, mask, 0.003, beam_sigma=SIGMA))
            # flux over peak goes as the width squared
            assert again.sum() / again.max() == pytest.approx(clean.sum() / clean.max(), rel=0.03)

    def test_noise_on_smooth_faint_emission_does_not_become_structure(self):
        rng = np.random.default_rng(3)
        y, x = np.indices((96, 96)) - 47.5
        clean = np.exp(-(x**2 / 18**2 + y**2 / 10**2) / 2)
        noise = 0.08 * sample_noise(1, clean.shape, beam_sigma=SIGMA, rng=rng)[0]
        mask = find_source(clean + noise, 0.24)
        again = seen_again(restore_source(clean + noise, mask, 0.24, beam_sigma=SIGMA))

        def fine(image):
            return (image - gaussian_filter(image, SIGMA))[clean > 0.4].std()

        assert fine(again - clean) < 0.5 * fine(noise)
        assert again[clean > 0.4].sum() == pytest.approx(clean[clean > 0.4].sum(), rel=0.03)

    def test_as_many_pixels_are_lit_when_it_is_observed_again(self):
        rng = np.random.default_rng(4)
        first, second = [], []
        for _ in range(12):
            clean = sum(blob(at, 0.02 * at**2, rng.uniform(0.2, 1), 96, 1.6) for at in np.linspace(-20, 20, 9))
            fields = 0.02 * clean.max() * sample_noise(2, clean.shape, beam_sigma=SIGMA, rng=rng)
            clip = 0.06 * clean.max()
            mask = find_source(clean + fields[0], clip)
            again = seen_again(restore_source(clean + fields[0], mask, clip, beam_sigma=SIGMA))
            first.append(mask.sum())
            second.append(find_source(again + fields[1], clip).sum())
        assert np.mean(second) == pytest.approx(np.mean(first), rel=0.05)

    def test_what_is_under_a_higher_limit_may_be_brighter(self):
        clean = blob(0, 0, 1.0, 48, 4.0)
        mask = find_source(clean, 0.1)
        low, high = (restore_source(clean, mask, 0.1, beam_sigma=SIGMA, limit=limit) for limit in (0.1, 0.2))
        default = restore_source(clean, mask, 0.1, beam_sigma=SIGMA)
        np.testing.assert_array_equal(low, default)
        assert high[~mask].sum() > 1.02 * low[~mask].sum()

    def test_nothing_gives_nothing(self):
        assert not restore_source(np.ones((9, 9)), np.zeros((9, 9), bool), 0.1, beam_sigma=SIGMA).any()


class TestPrepare:
    def test_sources_are_centred_and_lie_along_x(self):
        images, _ = stamps(20)
        data = prepare_stamps(cutouts(images), shape=(40, 64))
        assert data.images.shape[1:] == (40, 64) and len(data) >= 15
        _, centre, covariance = measure_moments(data.images)
        np.testing.assert_allclose(centre, [[31.5, 19.5]] * len(data), atol=0.1)
        assert (np.abs(covariance[:, 0, 1]) < 0.05 * covariance[:, 0, 0]).all()
        assert (covariance[:, 0, 0] > covariance[:, 1, 1]).all()

    def test_extent_is_that_of_the_source(self):
        rng = np.random.default_rng(3)
        images = np.stack([source("FRII", rng) for _ in range(4)])
        # the sources' own beam is a little wider than the survey's, which they come out with
        _, _, covariance = measure_moments(np.sqrt(np.where(images > 3e-4, images, 0)))
        expected = np.sqrt(np.linalg.eigvalsh(covariance)[:, 1]) * 1.8
        noisy = images + 0.001 * rng.standard_normal(images.shape)
        data = prepare_stamps(cutouts(noisy, np.array(["FRI", "FRII"] * 2), rms=np.full(4, 0.001)), shape=(40, 64))
        # the wings below the clip are not known
        np.testing.assert_allclose(data.extent, expected, rtol=0.07)
        np.testing.assert_allclose(data.noise, 0.001, rtol=0.2)

    def test_bending_is_that_of_the_source(self):
        rng = np.random.default_rng(4)
        arms = [(at, 0.05 * at**2) for at in np.linspace(-14, 14, 15)]
        straight, bent = (sum(blob(x, y * bend - 4 * bend, 1, 96) for x, y in arms) for bend in (0, 1))
        images = np.stack([straight, bent, bent[::-1], bent.T]) + 0.003 * rng.standard_normal((4, 96, 96))
        data = prepare_stamps(cutouts(images, np.full(4, "bent"), rms=np.full(4, 0.003)), shape=(60, 80))
        expected = abs(float(measure_bending(bent[None])[0]))
        assert expected > 0.6 and abs(data.bending[0]) < 0.05
        np.testing.assert_allclose(np.abs(data.bending[1:]), expected, rtol=0.05)

    def test_seen_is_the_cutout_above_its_clip(self):
        images, _ = stamps(12)
        data = prepare_stamps(cutouts(images), shape=(40, 64))
        assert data.seen.shape == data.images.shape and data.seen.dtype == np.float32
        peak = data.seen.max(axis=(1, 2))
        # turning rounds peaks off
        assert (peak <= 1).all() and (peak > 0.8).all() and data.seen.min() == 0
        # most of the frame is dark, and what is lit is in one place with the restored stamp
        assert np.median((data.seen > 0).mean(axis=(1, 2))) < 0.2
        _, centre, _ = measure_moments(data.seen)
        np.testing.assert_allclose(centre, [[31.5, 19.5]] * len(data), atol=0.7)
        full = np.stack([gaussian_filter(image, SIGMA * np.sqrt(0.5)) for image in data.images])
        level = 3 * data.noise[:, None, None]
        expected = np.maximum(full - level, 0) / (1 - level)
        assert np.abs(data.seen - expected).mean() < 0.01

    def test_seen_is_in_whole_steps_where_nothing_is_turned(self):
        # a source along x, in the middle of its pixels' grid
        image = np.round(255 * (blob(-6, 0, 0.7, 65) + blob(0, 0, 1, 65) + blob(6, 0, 0.7, 65)))
        image[image < 8] = 0
        data = prepare_stamps(make_cutouts([image, image[::-1].copy()], np.array(["FRI", "FRII"])), shape=(41, 65))
        steps = 255 * data.seen[0][data.seen[0] > 0]
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
        assert data.seen[0].max() == 1 and np.count_nonzero(data.seen[0]) <= np.count_nonzero(image)

    def test_rows_tell_which_cutout(self):
        images, _ = stamps(12)
        images[[2, 7]] = blob(0, 0, 1, 64, SIGMA)           # unresolved
        data = prepare_stamps(cutouts(images, name=np.arange(12).astype(str)), shape=(40, 64))
        assert data.row.tolist() == [k for k in range(12) if k not in (2, 7)]
        assert data.name.tolist() == [str(k) for k in data.row]
        part = data.select(data.row > 8)
        assert part.row.tolist() == [9, 10, 11] and part.seen.shape == (3, 40, 64) and part.dropped == data.dropped

    def test_what_is_left_out_is_counted(self):
        images, _ = stamps(14)
        images[0] = blob(0, 0, 1.0, 64, SIGMA)              # unresolved
        images[1] = blob(-20, 0, 1, 64) + blob(0, 0, 1, 64) + blob(20, 0, 1, 64)   # longer than the frame
        images[2] = blob(30, 0, 1, 64)                      # on the border
        images[3] = -1e-3                                   # blank, but for one bright pixel
        images[3, 5, 5] = 1
        names = np.array([f"Gendre {i}" for i in range(14)], "<U20")
        names[4] = "MiraBest 4"
        ra, dec = np.linspace(0, 300, 14), np.zeros(14)
        ra[7], dec[7] = ra[6], 0.005
        kinds = np.where(np.arange(14) % 2, "FRII", "FRI")
        kinds[5] = "bent"
        data = prepare_stamps(cutouts(images, kinds, name=names, ra=ra, dec=dec), classes=("FRI", "FRII"),
                              shape=(40, 40), exclude=("MiraBest",))
        assert data.dropped == {"unresolved": 1, "too large for the frame": 1, "cut by the border": 1, "blank": 1,
                                "excluded": 1, "of another class": 1, "repeated": 1}
        assert len(data) == 7

    def test_a_class_must_be_there(self):
        images, _ = stamps(4)
        with pytest.raises(ValueError, match=r"stamps must hold sources of FRII, hybrid, got none "
                                             r"\(left out: {'of another class': 4}\)"):
            prepare_stamps(cutouts(images, np.full(4, "FRI")), classes=("FRII", "hybrid"), shape=(40, 64))

    def test_pixel_scale_must_fit(self):
        images, _ = stamps(2)
        with pytest.raises(ValueError, match="pixel scale of stamps must be 1.8 arcsec, got 1.5 arcsec for stamp 0"):
            prepare_stamps(cutouts(images, pixel_scale=np.full(2, 1.5)))

    def test_nan_pixels_count_as_empty(self):
        images, _ = stamps(4)
        images[:, :3] = np.nan
        assert np.isfinite(prepare_stamps(cutouts(images), shape=(40, 64)).images).all()


class TestSplit:
    def test_shares(self):
        rng = np.random.default_rng(0)
        ra, dec = rng.uniform(0, 360, 20000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20000)))
        split = split_by_sky(ra, dec, np.arange(20000).astype(str))
        share = {name: (split == name).mean() for name in ("train", "validation", "test")}
        assert share["train"] == pytest.approx(0.7, abs=0.05)
        assert share["validation"] == pytest.approx(0.08, abs=0.03)

    def test_a_place_has_one_split_whatever_else_there_is(self):
        ra, dec = np.array([10.0, 370.0, 10.0001]), np.array([5.0, 5.0, 5.0001])
        whole = split_by_sky(ra, dec, np.array(["a", "b", "c"]))
        assert len(set(whole)) == 1
        assert split_by_sky(ra[1:2], dec[1:2], np.array(["z"]))[0] == whole[0]

    def test_names_stand_in_for_places(self):
        nowhere = np.full(200, np.nan)
        names = np.arange(200).astype(str)
        split = split_by_sky(nowhere, nowhere, names)
        assert len(set(split)) == 3
        np.testing.assert_array_equal(split_by_sky(nowhere[:9], nowhere[:9], names[:9]), split[:9])

    def test_poles(self):
        assert set(split_by_sky([0.0, 0.0], [90.0, -90.0], ["n", "s"])) <= {"train", "validation", "test"}
