"""Cutouts of one source are told by their pixels, those of different sources kept apart."""

import numpy as np
import pytest
from scipy import ndimage
from training_stamps import blob

from skygal.training.data.cross_match import compare_cutouts, fill_positions, flatten_cutout, match_cutouts
from skygal.training.data.cutouts import make_cutouts


def sky(seed: int, size: int = 180, kind: str = "extended") -> np.ndarray:
    """Return a made-up source with beam-correlated noise of rms 0.01, peak about 1."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), 1.0)
    if kind == "compact":
        image = blob(0, 0, 1.0, size)
    else:
        image = np.sum([blob(*rng.uniform(-14, 14, 2), flux, size, rng.uniform(1.3, 3.0))
                        for flux in rng.uniform(0.2, 1.0, 5)], axis=0)
        image /= image.max()
    return image + 0.01 * noise / noise.std()


def cutout(image, *, shift=(0.0, 0.0), clip=0.03, offset=0.0, size=150):
    """Return 8-bit pixels as the published sets have them: resampled, clipped, the peak at 255."""
    moved = ndimage.shift(image, shift, order=3)
    first = (len(moved) - size) // 2
    part = moved[first:first + size, first:first + size]
    part = np.where(part > clip, part - offset, 0)
    return np.round(255 * part / part.max()).astype(np.uint8)


def cutouts(images, placed, **columns):
    n = len(images)
    ra = np.where(placed, 10.0 * np.arange(n), np.nan)
    return make_cutouts(images, np.full(n, "FRI"), ra=ra, dec=np.where(placed, 20.0, np.nan), **columns)


class TestCompare:
    def test_one_source(self):
        image = sky(1)
        a = flatten_cutout(cutout(image))
        b = flatten_cutout(cutout(image, shift=(1.3, -0.6), clip=0.05, offset=0.04, size=160))
        found = compare_cutouts(a, b)
        assert found.misfit < 0.005 and found.pixels > 100
        assert found.shift == pytest.approx((1.3, -0.6), abs=0.1)
        back = compare_cutouts(b, a)
        assert back.misfit == found.misfit and back.shift == pytest.approx((-found.shift[0], -found.shift[1]))

    def test_far_shift_from_a_hint(self):
        image = sky(1)
        a, b = (flatten_cutout(cutout(image, shift=shift)) for shift in ((0, 0), (7, -5)))
        assert compare_cutouts(a, b, near=(6, -6)).misfit < 0.005

    def test_two_sources(self):
        a, b = (flatten_cutout(cutout(sky(seed))) for seed in (1, 2))
        assert compare_cutouts(a, b).misfit > 0.1

    def test_nothing_to_compare(self):
        blank, lit = np.zeros((150, 150), np.float32), flatten_cutout(cutout(sky(1)))
        assert compare_cutouts(blank, lit).misfit == compare_cutouts(lit, blank).misfit == 1
        assert compare_cutouts(blank, blank).misfit == 1 and compare_cutouts(blank, blank).pixels == 0


class TestFlatten:
    def test_clip_is_the_faintest_pixel_or_three_sigma(self):
        image = np.zeros((200, 200))
        image[100, 100:103] = 10, 6, 2
        assert sorted(np.unique(flatten_cutout(image)).tolist()) == [0, 0.5, 1]
        assert flatten_cutout(image, 1.0)[75, 75:78] == pytest.approx([1, 3 / 7, 0])

    def test_small_and_blank(self):
        image = np.full((20, 31), np.nan)
        assert flatten_cutout(image).shape == (150, 150) and not flatten_cutout(image).any()
        image[10, 15], image[10, 16] = 2, 1
        assert flatten_cutout(image).argmax() == (65 + 10) * 150 + 59 + 15


class TestMatch:
    def test_takes_the_position(self):
        images = [cutout(sky(seed)) for seed in range(6)]
        again = [cutout(sky(seed), shift=(0.4, -1.2), clip=0.06, offset=0.05, size=170) for seed in (3, 1)]
        stamps = cutouts([*again, *images, cutout(sky(9))], np.array([False] * 2 + [True] * 6 + [False]))
        same = match_cutouts(stamps)
        assert same.tolist() == [5, 3, 2, 3, 4, 5, 6, 7, 8]
        filled = fill_positions(stamps)
        assert filled.ra[:2].tolist() == [50, 30] and filled.dec[:2].tolist() == [20, 20] and np.isnan(filled.ra[8])
        assert filled.ra[2:8].tolist() == stamps.ra[2:8].tolist() and filled.name.tolist() == stamps.name.tolist()
        assert len(filled) == len(stamps) and filled.fr_class.tolist() == stamps.fr_class.tolist()

    def test_unclipped_cutouts(self):
        first = (len(sky(4)) - 160) // 2
        raw = sky(4)[first:first + 160, first:first + 160] * 3e-3
        stamps = make_cutouts([raw, cutout(sky(5)), cutout(sky(4))], np.full(3, "FRI"),
                              rms=np.array([3e-5, np.nan, np.nan]), ra=np.array([1.0, 2.0, np.nan]),
                              dec=np.array([0.0, 0.0, np.nan]))
        assert match_cutouts(stamps).tolist() == [0, 1, 0]

    def test_without_any_position_the_earlier_one_counts(self):
        images = [cutout(sky(1)), cutout(sky(2)), cutout(sky(1), shift=(0.5, 0.5)), cutout(sky(1), clip=0.05)]
        stamps = cutouts(images, np.zeros(4, bool), name=np.array(list("abcd")))
        assert match_cutouts(stamps).tolist() == [0, 1, 0, 0]
        filled = fill_positions(stamps)
        assert np.isnan(filled.ra).all() and filled.name.tolist() == ["a", "b", "a", "a"]

    def test_two_copies_with_positions(self):
        """Two sets may both show the source: the next best is then no other source."""
        images = [cutout(sky(1)), cutout(sky(1), shift=(0.2, 0.3)), cutout(sky(2)), cutout(sky(1), shift=(-0.4, 0))]
        stamps = make_cutouts(images, np.full(4, "FRI"), ra=np.array([5.0, 5.002, 9.0, np.nan]),
                              dec=np.array([1.0, 1.0, 1.0, np.nan]))
        assert match_cutouts(stamps)[3] in (0, 1)

    def test_hardly_resolved_sources_stay_apart(self):
        images = [cutout(sky(seed, kind="compact")) for seed in range(4)]
        assert match_cutouts(cutouts(images, np.array([True, True, False, False]))).tolist() == [0, 1, 2, 3]

    def test_mirrored_is_not_found(self):
        images = [cutout(sky(1)), cutout(sky(2)), np.ascontiguousarray(cutout(sky(1))[:, ::-1])]
        assert match_cutouts(cutouts(images, np.array([True, True, False]))).tolist() == [0, 1, 2]

    def test_all_have_positions(self):
        stamps = cutouts([np.eye(4), np.eye(9)], np.array([True, True]))
        assert match_cutouts(stamps).tolist() == [0, 1]

    def test_given_matches(self):
        stamps = cutouts([cutout(sky(1)), cutout(sky(2))], np.array([True, False]))
        assert fill_positions(stamps, np.array([0, 0])).ra.tolist() == [0, 0]
