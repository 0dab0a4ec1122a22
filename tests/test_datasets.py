"""Torch datasets of generated stamps: the same item whoever asks for it, and as asked for."""

from __future__ import annotations

import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
import torch
from astropy import units as u
from radio_beam import Beam
from torch.utils.data import DataLoader, Subset
from training_stamps import blob

import skygal
from skygal.morphology.moments import measure_moments
from skygal.observation.beam import FWHM
from skygal.stamps import dataset as datasets
from skygal.stamps.survey_view import StampView, noise_power

FWHM_ARCSEC = 5.4


@pytest.fixture(scope="module")
def stamps():
    return skygal.SyntheticStamps(200, size=64, noise=(0.005, 0.05), noise_clip=3, seed=1)


def images_of(dataset, numbers):
    return torch.stack([dataset[i][0] for i in numbers])


class TestItems:
    def test_like_torchvision(self, stamps):
        image, label = stamps[0]
        assert image.shape == (1, 64, 64) and image.dtype == torch.float32 and image.max() == 1 and image.min() == 0
        assert isinstance(label, int) and stamps.classes == ("FRI", "FRII")
        assert stamps.class_to_idx == {"FRI": 0, "FRII": 1} and len(stamps) == 200
        assert repr(stamps).startswith("SyntheticStamps(200, classes=('FRI', 'FRII'), seed=1")

    def test_an_item_depends_on_seed_and_number_alone(self, stamps):
        numbers = [150, 3, 3, 128, 0]
        found = images_of(stamps, numbers)
        assert all(torch.equal(a, b) for a, (b, _) in zip(found, stamps.__getitems__(numbers), strict=True))
        other = skygal.SyntheticStamps(1000, size=64, noise=(0.005, 0.05), noise_clip=3, seed=1, cache=0)
        assert torch.equal(found, images_of(other, numbers)) and len(other._kept) == 1
        assert torch.equal(found[1], found[2]) and not torch.equal(found[1], found[4])
        again = skygal.SyntheticStamps(200, size=64, noise=(0.005, 0.05), noise_clip=3, seed=2)
        assert not torch.equal(again[3][0], found[1])

    def test_classes_are_no_twins(self):
        first, second = (skygal.SyntheticStamps(64, classes=[name], size=64, seed=1) for name in ("FRI", "FRII"))
        keys = [[part.key for part in dataset._block(0)] for dataset in (first, second)]
        assert np.unique(np.concatenate(keys)).size == len(keys[0]) + len(keys[1])

    @pytest.mark.parametrize("given", [{}, {"size": 151, "beam": Beam(9 * u.arcsec, 7 * u.arcsec, 40 * u.deg)},
                                       {"size": 60, "orientation": "aligned", "noise": None, "noise_clip": None}])
    def test_nor_on_how_they_are_asked_for(self, given, monkeypatch):
        """One by one, in turn, back, in batches, in a stream, many or few at a time: the same bits."""
        made = {"size": 64, "noise": (0.005, 0.05), "noise_clip": 3, "seed": 1, **given}
        whole = skygal.SyntheticStamps(140, **made)
        wanted = [image for image, _ in whole.__getitems__(range(120, 140))]
        alone, in_turn, back = (skygal.SyntheticStamps(140, cache=cache, **made) for cache in (0, 256, 256))
        assert all(torch.equal(alone[i][0], wanted[i - 120]) for i in (139, 120, 131))
        assert all(torch.equal(in_turn[i][0], wanted[i - 120]) for i in range(120, 140))
        assert all(torch.equal(back[i][0], wanted[i - 120]) for i in range(139, 119, -1))
        assert all(torch.equal(item[0], one) for item, one in zip(whole.stream(start=120), wanted, strict=False))
        shuffled = np.random.default_rng(0).permutation(np.arange(120, 140))
        for start in range(0, 20, 7):
            part = shuffled[start:start + 7]
            assert all(torch.equal(item[0], wanted[i - 120]) for i, item in zip(part, in_turn.__getitems__(part),
                                                                               strict=True))
        monkeypatch.setattr(datasets, "IMAGE_PIXELS", 1)
        assert all(torch.equal(a, b) for (a, _), b in zip(in_turn.__getitems__(range(120, 140)), wanted, strict=True))
        # each has memory of its own: to keep one is to keep no other
        assert wanted[0].untyped_storage().nbytes() == 4 * made["size"] ** 2

    def test_in_turn_is_as_quick_as_a_batch(self, stamps, monkeypatch):
        calls = []
        show = StampView.show
        monkeypatch.setattr(StampView, "show", lambda self, stamps, *rest: calls.append(len(stamps)) or show(
            self, stamps, *rest))
        found = skygal.SyntheticStamps(200, size=64, seed=1)
        for i in range(200):
            found[i]
        # one to see that they come in turn, and then to the end of a block
        assert calls == [1, 127, 72]
        found.__getitems__([5, 190, 7])
        assert calls == [1, 127, 72, 3]

    def test_a_block_is_decoded_once_for_a_batch(self, monkeypatch):
        blocks = []
        found = skygal.SyntheticStamps(300, size=64, seed=1, cache=0)
        decode = found._decode
        monkeypatch.setattr(found, "_decode", lambda block: blocks.append(block) or decode(block))
        found.__getitems__([0, 290, 1, 130, 291])
        assert sorted(blocks) == [0, 1, 2]

    def test_threads(self, stamps):
        """Items asked for by several threads at once are those of one."""
        found = skygal.SyntheticStamps(200, size=64, noise=(0.005, 0.05), noise_clip=3, seed=1, cache=0)
        numbers = [0, 150, 1, 151, 2, 152, 3, 153] * 3
        with ThreadPoolExecutor(4) as pool:
            images = list(pool.map(lambda i: found[i][0], numbers))
        assert all(torch.equal(image, stamps[i][0]) for i, image in zip(numbers, images, strict=True))

    def test_not_on_threads(self, stamps):
        fresh = pickle.loads(pickle.dumps(stamps))
        torch.set_num_threads(2)
        try:
            assert torch.equal(fresh[70][0], stamps[70][0]) and torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(1)

    def test_what_is_returned_is_the_callers(self, stamps):
        image = stamps[5][0]
        kept = image.clone()
        image.zero_()
        assert torch.equal(stamps[5][0], kept)

    def test_index(self, stamps):
        assert stamps.__getitems__([]) == [] and torch.equal(stamps.__getitems__([-1])[0][0], stamps[199][0])
        with pytest.raises(IndexError, match="index must be between -200 and 199, got 200"):
            stamps.__getitems__([3, 200])
        assert torch.equal(stamps[-1][0], stamps[199][0]) and torch.equal(stamps[torch.tensor(7)][0], stamps[7][0])
        assert torch.equal(stamps[np.int64(7)][0], stamps[7][0])
        for bad in (200, -201):
            with pytest.raises(IndexError, match=f"index must be between -200 and 199, got {bad}"):
                stamps[bad]
        assert len(list(Subset(stamps, range(4)))) == 4

    def test_fresh_seed(self):
        first, second = (skygal.SyntheticStamps(4) for _ in range(2))
        assert first.seed != second.seed

    def test_transforms(self, stamps):
        found = skygal.SyntheticStamps(4, size=64, noise=(0.005, 0.05), noise_clip=3, seed=1,
                                       transform=lambda image: image.sqrt(), target_transform=float)
        image, label = found[1]
        assert torch.equal(image, stamps[1][0].sqrt()) and isinstance(label, float)


class TestClasses:
    def test_balanced_throughout(self, stamps):
        labels = [stamps.label(i) for i in range(200)]
        assert labels == [stamps[i][1] for i in range(200)]
        assert all(sorted(labels[k:k + 2]) == [0, 1] for k in range(0, 200, 2))

    def test_mix(self):
        found = skygal.SyntheticStamps(1000, fr_mix={"FRII": 0.75, "FRI": 0.25}, seed=4)
        labels = np.array([found.label(i) for i in range(1000)])
        assert found.classes == ("FRI", "FRII")
        # as even as the golden ratio makes it, in any run of items
        for start, stop in ((0, 100), (100, 400), (0, 1000)):
            assert labels[start:stop].mean() == pytest.approx(0.75, abs=3 / (stop - start))

    def test_order_of_the_labels(self):
        known = skygal.load_model().classes
        found = skygal.SyntheticStamps(4, classes=known[::-1], seed=1)
        assert found.classes == known[::-1] and {found.label(i) for i in range(len(known))} == set(range(len(known)))
        only = skygal.SyntheticStamps(4, classes=["FRII"], seed=1)
        assert [only[i][1] for i in range(4)] == [0] * 4


class TestLoader:
    @pytest.mark.parametrize("workers, context", [
        (0, None), (1, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)])
    # torch warns of forks where threads are
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_workers_give_the_same(self, stamps, workers, context):
        subset = Subset(stamps, range(122, 134))
        loader = DataLoader(subset, batch_size=5, num_workers=workers, multiprocessing_context=context)
        images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
        assert torch.equal(images, images_of(stamps, range(122, 134))) and labels.tolist() == [0, 1] * 6

    def test_stream_goes_on(self):
        found = skygal.SyntheticStamps(3, size=32, seed=1)
        longer = skygal.SyntheticStamps(200, size=32, seed=1)
        items = list(islice(found.stream(), 140))
        assert all(torch.equal(items[i][0], longer[i][0]) and items[i][1] == longer[i][1] for i in (0, 127, 128, 139))
        (item,) = islice(found.stream(start=69), 1)
        assert torch.equal(item[0], longer[69][0]) and found.stream().classes == found.classes

    def test_workers_share_a_stream(self):
        found = skygal.SyntheticStamps(1, size=32, seed=1)
        loader = DataLoader(found.stream(start=2), batch_size=126, num_workers=2)
        batches = list(islice(loader, 4))
        longer = skygal.SyntheticStamps(512, size=32, seed=1)
        # worker 0 has blocks 0, 2, ..., worker 1 has 1, 3, ...; batches come in turn
        wanted = (range(2, 128), range(128, 254), range(256, 382), [254, 255, *range(384, 508)])
        for (images, _), numbers in zip(batches, wanted, strict=True):
            assert torch.equal(images, images_of(longer, numbers))


class TestViews:
    def test_source_in_the_middle(self):
        plain = skygal.SyntheticStamps(8, size=151, seed=2)
        for image, _ in (plain[i] for i in range(8)):
            _, centre, _ = measure_moments(image.numpy().astype(float))
            assert centre[0] == pytest.approx([75, 75], abs=0.1)

    def test_aligned(self):
        aligned, turned = (skygal.SyntheticStamps(8, seed=2, orientation=word, las=(60 * u.arcsec, None))
                           for word in ("aligned", "random"))
        angles = []
        for dataset in (aligned, turned):
            covariance = np.concatenate([measure_moments(dataset[i][0].numpy().astype(float))[2] for i in range(8)])
            axis = np.linalg.eigh(covariance)[1][:, :, 1]
            angles.append(np.degrees(np.abs(np.arctan(axis[:, 1] / axis[:, 0]))))
        assert np.median(angles[0]) < 5 and np.median(angles[1]) > 15

    @pytest.mark.parametrize("pixel", [0.9, 1.8, 2.7])
    def test_pixel(self, pixel):
        """The second moments, on the sky, do not depend on the pixel."""
        native = skygal.SyntheticStamps(4, size=161, seed=3, las=(None, 60 * u.arcsec))
        other = skygal.SyntheticStamps(4, size=321, seed=3, las=(None, 60 * u.arcsec), pixel_scale=pixel * u.arcsec)
        for i in range(4):
            a, b = (measure_moments(data[i][0].numpy().astype(float))[2][0] * scale**2
                    for data, scale in ((native, 1.8), (other, pixel)))
            np.testing.assert_allclose(a, b, atol=0.03 * np.trace(a))

    def test_beam(self):
        """A beam's covariance less the model's own is what a source's second moments gain."""
        beam = Beam(12 * u.arcsec, 8 * u.arcsec, 30 * u.deg)
        native = skygal.SyntheticStamps(4, size=201, seed=3, las=(None, 60 * u.arcsec))
        seen = skygal.SyntheticStamps(4, size=201, seed=3, las=(None, 60 * u.arcsec), beam=beam)
        # north through east, x to the west
        axis = np.array([-np.sin(np.radians(30)), np.cos(np.radians(30))])
        sky = 12**2 * np.outer(axis, axis) + 8**2 * (np.eye(2) - np.outer(axis, axis))
        gain = (sky - FWHM_ARCSEC**2 * np.eye(2)) / FWHM**2 / 1.8**2
        for i in range(4):
            a, b = (measure_moments(data[i][0].numpy().astype(float))[2][0] for data in (native, seen))
            np.testing.assert_allclose(b - a, gain, atol=0.12 * np.trace(gain))

    def test_noise_level_and_correlation(self):
        model = skygal.load_model()
        stamp = blob(0, 0, 1.0, 21, 1.27)
        view = StampView(model, size=256, noise=0.1)
        (image,) = view.show([stamp], np.array([[10.0, 10.0]]), np.zeros(1), [np.random.default_rng(0)])
        empty = image[:100]
        rms = empty.std()
        # the peak itself has noise
        assert rms == pytest.approx(0.1, rel=0.25)
        # neighbours within the beam are alike, those far off are not
        near, far = ((empty[:, :-lag] * empty[:, lag:]).mean() / rms**2 for lag in (1, 40))
        assert near > 0.7 and abs(far) < 0.15

    @pytest.mark.parametrize("size", [16, 37, 64])
    def test_noise_is_what_its_spectrum_says(self, size):
        """Rms, covariance along both axes and normal distribution, over many draws."""
        view = StampView(skygal.load_model(), size=size, noise=0.1, beam=Beam(9 * u.arcsec, 6 * u.arcsec, 20 * u.deg))
        rng = np.random.default_rng(1)
        drawn = np.stack([view._noise(rng, np.float32(0.1)) for _ in range(1500)]).astype(float) / 0.1
        assert drawn.shape == (1500, size, size) and drawn.mean() == pytest.approx(0, abs=0.02)
        assert drawn.std() == pytest.approx(1, rel=0.02)
        # the same everywhere, also in the transform's own first row and column
        for part in (drawn[:, 0], drawn[:, :, 0], drawn[:, size // 2], drawn[:, :, -1]):
            assert part.std() == pytest.approx(1, rel=0.1)
        kurtosis = (drawn**4).mean() / drawn.var()**2
        assert kurtosis == pytest.approx(3, abs=0.15)
        # against the inverse transform of the power itself
        n = view.period
        x, y = np.fft.fftfreq(n)[None, :], np.fft.fftfreq(n)[:, None]
        (a, b), (_, c) = view.target.tolist()
        power = noise_power(np.sqrt(a * x**2 + 2 * b * x * y + c * y**2), 1.0)
        power[0, 0] = 0
        wanted = np.fft.ifft2(power).real
        wanted /= wanted[0, 0]
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 3), (3, 0)):
            shifted = drawn[:, dy:, max(dx, 0):size + min(dx, 0)]
            here = drawn[:, :size - dy, max(-dx, 0):size + min(-dx, 0)]
            assert (shifted * here).mean() == pytest.approx(wanted[dy, dx], abs=0.04), (dy, dx)

    def test_levels(self):
        model = skygal.load_model()
        rng = np.random.default_rng(0)
        pair = StampView(model, noise=(0.01, 0.1))
        drawn = np.array([pair._level(rng) for _ in range(2000)])
        assert drawn.min() >= 0.01 and drawn.max() <= 0.1 and np.median(drawn) == pytest.approx(10**-1.5, rel=0.05)
        three = StampView(model, noise=[0.01, 0.02, 0.05])
        assert Counter(three._level(rng) for _ in range(300)).keys() == {0.01, 0.02, 0.05}
        assert StampView(model, noise=0.02)._level(rng) == 0.02

    def test_clip(self, stamps):
        for i in range(10):
            lit = stamps[i][0][stamps[i][0] > 0]
            assert lit.min() > 0.01 and (stamps[i][0] == 0).float().mean() > 0.5

    def test_limits(self):
        long = skygal.SyntheticStamps(6, seed=1, las=(80 * u.arcsec, None), size=200)
        short = skygal.SyntheticStamps(6, seed=1, las=(None, 25 * u.arcsec), size=200)
        spread = [[float(np.trace(measure_moments(data[i][0].numpy().astype(float))[2][0])) for i in range(6)]
                  for data in (long, short)]
        assert min(spread[0]) > max(spread[1])


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"n": 0}, ValueError, "n must be at least 1, got 0"),
    ({"classes": "FRI"}, TypeError, "classes must be a list of names, got 'FRI'"),
    ({"classes": ["FRI", "FRIII"]}, ValueError, "classes must be one of 'FRI', .*got 'FRIII'"),
    ({"classes": ["FRI", "FRI"]}, ValueError, r"classes must differ, got \('FRI', 'FRI'\)"),
    ({"fr_mix": "balanced"}, TypeError, "fr_mix must be None or a dict such as .* got 'balanced'"),
    ({"fr_mix": {"FRI": 0.5}}, ValueError, "fr_mix must have shares that sum to 1, got 0.5 from {'FRI': 0.5}"),
    ({"fr_mix": {"FRI": -0.5, "FRII": 1.5}}, ValueError, r"fr_mix\['FRI'\] must be at least 0"),
    ({"fr_mix": {"FRX": 1.0}}, ValueError, "classes must be one of .*got 'FRX'"),
    ({"classes": ["FRI"], "fr_mix": {"FRII": 1.0}}, ValueError, r"fr_mix \(class\) must be one of 'FRI', got 'FRII'"),
    ({"latents": "pairs"}, ValueError, "latents must be one of 'balanced', 'prior', 'uniform', got 'pairs'"),
    ({"latents": np.zeros(3)}, ValueError, "latents must be one of 'balanced', 'prior', 'uniform', got array"),
    ({"size": 8}, ValueError, "size must be at least 16, got 8"),
    ({"orientation": "up"}, ValueError, "orientation must be one of 'random', 'aligned', got 'up'"),
    ({"cache": -1}, ValueError, "cache must be at least 0"),
    ({"pixel_scale": 3}, TypeError, "pixel_scale must be a Quantity in units of arcsec, got 3"),
    ({"pixel_scale": 3 * u.arcsec}, ValueError, "pixel_scale must be at most half of the beam's FWHM, got 3 arcsec"),
    ({"beam": 4 * u.arcsec}, ValueError, "beam must be at least the model's own, 5.4 arcsec, .* got 4.0 arcsec"),
    ({"beam": 4}, TypeError, "beam must be a Quantity in units of arcsec, got 4"),
    ({"noise": "low"}, TypeError, r"noise must be None, a number, a pair \(low, high\) or an array .*got 'low'"),
    ({"noise": 1.5}, ValueError, "noise must be between 0 and 1, the sources' peak, got 1.5"),
    ({"noise": (0.2, 0.1)}, ValueError, "noise must have low < high, got 0.2 and 0.1"),
    ({"noise": 0.4, "noise_clip": 3}, ValueError, "noise_clip times noise must be below 1, .* got 3 times 0.4"),
    ({"noise_clip": 3}, ValueError, "noise_clip must be left out where noise is None, got 3"),
    ({"las": 3}, TypeError, r"las must be a \(low, high\) pair of quantities or None, got 3"),
    ({"clip_sigma": 0}, ValueError, "clip_sigma must be positive, got 0"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"model": "nosuch"}, ValueError, "nosuch"),
])
def test_bad_input(change, error, message):
    given = {"n": 2, "seed": 1, **change}
    with pytest.raises(error, match=message):
        skygal.SyntheticStamps(given.pop("n"), **given)


def test_bad_start(stamps):
    with pytest.raises(ValueError, match="start must be at least 0, got -1"):
        stamps.stream(-1)
