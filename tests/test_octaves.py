"""Octaves: one sky at every resolution, drawn source by source, and what may be asked of them."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.table import QTable
from scipy import ndimage

import skygal
from skygal.evaluation.sharp_table import draw_sources
from skygal.io.weights import read_weights, write_weights
from skygal.morphology import batches, octave_networks, octave_seeing
from skygal.morphology.batches import begin_octaves, make_stamps
from skygal.morphology.checkpoint import WEIGHTS, load_model
from skygal.morphology.clip import clip_stamps
from skygal.morphology.latents import sample_keys, sample_latents
from skygal.morphology.measure import largest_size, measure_stamps
from skygal.morphology.octave_inputs import BEGUN, class_flags
from skygal.morphology.octave_networks import GRAIN, GRAIN_FWHM, add_grain
from skygal.morphology.octave_seeing import blur, convolve, repeat_linearly, see_coarsely, smooth, upsample
from skygal.morphology.octave_skies import agree, approach, correct, restore
from skygal.morphology.octaves import FORMAT, OCTAVES, SHOWN, SkyMap, begin_skies, draw_next, widen_stamps
from skygal.observation.ellipse import FWHM
from skygal.seeds import Seeds
from skygal.stamps.across import draw_across

SHARP = "first-atlas"


@pytest.fixture(scope="module")
def model():
    return load_model(SHARP)


@pytest.fixture(scope="module")
def batch(model):
    n = 6
    fr_class = np.array(["FRI", "FRII"] * (n // 2))
    keys = sample_keys(Seeds(5), "test", "balanced", fr_class)
    latents = sample_latents(model, "balanced", fr_class, keys, least=np.full(n, model.extent[0]),
                             most=np.full(n, model.extent[1]))
    return next(make_stamps(model, latents, 3.0))


def draw(model, batch, octaves, rows=slice(None)):
    shapes = batch.shapes[rows]
    return model.octaves.draw(batch.stamps[rows], shapes.centre, shapes.las, batch.latents.fr_class[rows],
                              batch.latents.keys[rows], np.full(len(shapes.las), octaves), 3.0)


def mirrored(batch):
    """Return which sources the networks see mirrored, along rows and along columns."""
    return np.array([Seeds(int(key)).generator("octave mirror").random(2) < 0.5 for key in batch.latents.keys])


def gaussian(side, sigma, place=(0.0, 0.0)):
    y, x = np.indices((side, side)) - (side // 2)
    return np.exp(-0.5 * ((x - place[0])**2 + (y - place[1])**2) / sigma**2).astype(np.float32)


def test_a_coarse_beam_sees_a_gaussian_as_a_wider_one():
    fine = gaussian(64, 3 / FWHM)
    seen = smooth(torch.from_numpy(fine)[None, None])[0, 0].numpy()
    # a beam of three pixels seen with one of six: of the same flux on pixels of twice the side
    expected = gaussian(32, 3 / FWHM) / 4
    np.testing.assert_allclose(seen, expected, atol=3e-4)


def test_smooth_maps_are_known_between_their_pixels():
    coarse = gaussian(32, 3 / FWHM)
    fine = upsample(torch.from_numpy(coarse)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(fine[::2, ::2], coarse, atol=1e-6)
    np.testing.assert_allclose(fine, gaussian(64, 6 / FWHM), atol=6e-3)
    ramp = torch.arange(8.0).reshape(1, 1, 1, 8).expand(1, 1, 4, 8)
    np.testing.assert_allclose(repeat_linearly(ramp)[0, 0, 0, :15].numpy(), np.arange(15) / 2)


def test_corrections_draw_nearer_and_stay_positive():
    rng = np.random.default_rng(0)
    sky = torch.from_numpy(rng.random((1, 1, 64, 64)).astype(np.float32))
    coarse = smooth(torch.from_numpy(gaussian(64, 6.0))[None, None])
    before, after = sky, correct(sky, coarse, 6)
    assert (after > 0).all()
    errors = [(smooth(some)[0, 0, 8:-8, 8:-8] - coarse[0, 0, 8:-8, 8:-8]).abs().max() for some in (before, after)]
    assert errors[1] < 0.2 * errors[0]


def test_mixed_corrections_agree_far_closer():
    from scipy import ndimage

    rng = np.random.default_rng(0)
    rough = [6 * ndimage.gaussian_filter(rng.standard_normal((96, 96)), 2.0) for _ in range(2)]
    sky = torch.from_numpy(gaussian(96, 12.0) * np.exp(rough[0]))[None, None]
    coarse = see_coarsely(sky)
    sky, coarse = sky / coarse.max(), coarse / coarse.max()
    begun = sky * torch.from_numpy(np.exp(rough[1]))
    plain, mixed = (found(begun, coarse, 24) for found in (correct, agree))
    assert (mixed > 0).all() and mixed.dtype == torch.float64
    errors = [float((see_coarsely(some) - coarse).square().mean().sqrt()) for some in (begun, plain, mixed)]
    assert errors[0] > 3e-2 and errors[2] < 1.5e-4 and errors[2] < 0.3 * errors[1], errors


def test_a_sky_is_brought_closer_to_what_is_shown_where_that_can_be_trusted():
    """Where that is bright; what it shows at less than some hundredths of its peak stays."""
    known, begun = gaussian(128, 14.0), 0.7 * np.roll(gaussian(128, 17.0), 6, 1)
    known[:, 110:] += 4e-3
    begun[:, 110:] += 2e-3
    sky, shown = torch.from_numpy(begun)[None, None].double(), torch.from_numpy(known)[None, None].double()
    shown = convolve(shown, 12.0, 4)
    found = approach(sky, shown, 16)
    assert (found > 0).all() and found.dtype == torch.float64
    seen = shown / shown.max()
    before, after = (convolve(some, 12.0, 4) / shown.max() for some in (sky, found))
    either = torch.maximum(before, seen) > 0.2
    assert (before - seen)[either].abs().max() > 0.2 and (after - seen)[either].abs().max() < 0.04
    far = ..., slice(0, 4), slice(29, 31)
    assert (before[far] < 0.7 * seen[far]).all() and (seen[far] < 6e-3).all()
    np.testing.assert_allclose(after[far], before[far], rtol=0.1)
    np.testing.assert_allclose(approach(found, convolve(found, 12.0, 4), 8), found, rtol=1e-9)


def test_long_maps_are_convolved_as_short_ones_are(monkeypatch):
    """Block by block, whatever is left in the last one, and however many pixels are kept."""
    def eighth(maps):
        return smooth(maps, ratio=8)

    rng = np.random.default_rng(3)
    for shape in ((136, 264), (40, 392), (200, 128)):
        maps = torch.from_numpy(rng.random((2, 1, *shape)))
        found = [[did(maps).numpy() for did in (smooth, eighth, see_coarsely, upsample, blur)]]
        monkeypatch.setattr(octave_seeing, "BLOCK", 10**6)
        found += [[did(maps).numpy() for did in (smooth, eighth, see_coarsely, upsample, blur)]]
        monkeypatch.undo()
        for some, others in zip(*found, strict=True):
            np.testing.assert_allclose(some, others, atol=1e-13)


def test_a_few_rows_at_a_time_make_the_same_convolution():
    """With a stride, or apart, of odd sides and of wide maps."""
    torch.manual_seed(0)
    for stride, apart in ((1, 1), (2, 1), (1, 2)):
        layer = octave_networks._Convolution(5, 7, stride=stride, apart=apart).double()
        for shape in ((2, 5, 38, 62), (1, 5, 301, 500), (1, 5, 2, 4), (1, 5, 30, 2100)):
            maps = torch.rand(shape, dtype=torch.float64)
            whole = layer(maps).detach().numpy()
            with torch.inference_mode():
                np.testing.assert_allclose(layer(maps).numpy(), whole, atol=1e-14)


def test_restored_skies_are_sharper_stay_positive_and_damp_grain():
    from scipy import ndimage

    coarse = smooth(torch.from_numpy(gaussian(64, 1.6) + 0.3 * gaussian(64, 9.0))[None, None])
    grain = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 1, 32, 32)).astype(np.float32))
    before, clean, noisy = (sky[0, 0].numpy() for sky in (upsample(coarse), restore(coarse, 16),
                                                          restore(add_grain(coarse, grain), 16)))
    assert (noisy > 0).all() and clean.max() > 1.3 * before.max()
    errors = [np.abs(ndimage.gaussian_filter(sky, 6 / FWHM)[::2, ::2] - coarse[0, 0].numpy()).max()
              for sky in (before, clean)]
    assert errors[1] < 0.4 * errors[0]
    lit = clean > 0.01
    assert np.log(noisy[lit] / clean[lit]).std() < 2.5 * GRAIN


def test_grain_is_as_strong_and_as_wide_as_it_says():
    noise = torch.from_numpy(np.random.default_rng(2).standard_normal((8, 1, 96, 96)).astype(np.float32))
    grain = torch.log(add_grain(torch.ones_like(noise), noise))[:, 0, 8:-8, 8:-8].numpy()
    assert grain.std() == pytest.approx(GRAIN, rel=0.03)
    # neighbours of noise that a Gaussian has smoothed go together as exp(-distance^2 / 4 sigma^2)
    sigma = GRAIN_FWHM / FWHM
    together = np.mean(grain[:, :, 1:] * grain[:, :, :-1]) / grain.var()
    assert together == pytest.approx(np.exp(-1 / (4 * sigma**2)), abs=0.04)


def test_each_octave_smoothed_is_near_the_map_before(model, batch):
    """The first to a twentieth of the peak, later ones to a ten-thousandth: the root of the mean square."""
    anchors = widen_stamps(batch.stamps, batch.shapes.centre, 3.0, model.octaves.factor, octave=BEGUN)
    errors = np.zeros((len(anchors), 2))
    for k, anchor in enumerate(anchors):
        sky, key = SkyMap(anchor, octave=BEGUN), int(batch.latents.keys[k])
        for number, network in enumerate((model.octaves.first, model.octaves.later)):
            before = sky.lit()
            sky = draw_next(network, sky, batch.shapes.las[k] / 9, class_flags(str(batch.latents.fr_class[k])),
                            Seeds(key).generator("octave", sky.octave))
            again = smooth(torch.from_numpy(sky.whole())[None, None], ratio=network.ratio)[0, 0].numpy()
            errors[k, number] = np.sqrt(np.mean((again - before.whole())**2)) / before.whole().max()
            assert (sky.image > 0).all()
        assert sky.octave == 4
    assert (np.median(errors, axis=0) < [5e-2, 1e-4]).all(), np.median(errors, axis=0)


def test_fris_keep_to_what_their_stamps_show_and_others_are_left(model, batch, monkeypatch):
    skies = begin_skies(batch.stamps, batch.shapes.centre, batch.latents.fr_class, batch.latents.keys, 3.0,
                        model.octaves.factor)
    ratios = {"FRI": [], "FRII": []}
    for k, sky in enumerate(skies):
        name, sky, found = str(batch.latents.fr_class[k]), sky.lit(), []
        for times in (0, octave_networks.APPROACHES):
            monkeypatch.setattr(octave_networks, "APPROACHES", times)
            drawn = draw_next(model.octaves.first, sky, batch.shapes.las[k] / 9, class_flags(name),
                              np.random.default_rng(k))
            found.append(drawn.smoothed().smoothed().image - sky.image)
        monkeypatch.undo()
        bright = sky.image > 0.3 * sky.image.max()
        ratios[name].append(np.sqrt(np.mean(found[1][bright]**2) / np.mean(found[0][bright]**2)))
    assert min(map(len, ratios.values())) >= 2
    assert set(ratios["FRII"]) == {1.0} and max(ratios["FRI"]) < 0.5, ratios


@pytest.mark.parametrize("octave", [1, 2])
def test_the_first_octaves_are_the_third_smoothed(octave, model, batch):
    drawn = zip(draw(model, batch, octave), draw(model, batch, octave + 1), mirrored(batch), strict=True)
    for (one, _), (two, _), axes in drawn:
        # as the networks saw them: pixels of the one are on every second of the other, from the first
        one, two = (np.flip(image, tuple(np.flatnonzero(axes))) for image in (one, two))
        again = smooth(torch.from_numpy(np.pad(two, 8))[None, None])[0, 0].numpy()
        again /= again.sum()
        # they are cut out in another place
        y, x = (np.array(np.unravel_index(some.argmax(), some.shape)) for some in (one, again))
        for dy, dx in ((0, 1), (1, 0), (-2, 3)):
            assert one[tuple(y + [dy, dx])] == pytest.approx(again[tuple(x + [dy, dx])], abs=1e-4 * float(one.max()))


def test_flux_and_places_are_those_of_the_stamp(model, batch):
    for octaves in (1, 2):
        for k, (image, pixels) in enumerate(draw(model, batch, octaves)):
            assert image.dtype == np.float32 and image.sum(dtype=float) == pytest.approx(1, abs=1e-5)
            assert pixels == pytest.approx(2**octaves / 3)
            assert (image >= 0).all() and np.ptp(np.nonzero(image)[1]) > batch.shapes.las[k] * pixels


def lopsided(image):
    """Return the third moments of where brightness is, along rows and along columns, in units of its spread."""
    out = []
    for axis in (0, 1):
        weight = image.sum(axis=axis, dtype=float) / image.sum(dtype=float)
        at = np.arange(len(weight)) - (weight * np.arange(len(weight))).sum()
        out.append((weight * at**3).sum() / (weight * at**2).sum()**1.5)
    return out


def test_what_is_drawn_lies_as_its_stamp_whatever_way_the_networks_see_it(model):
    fr_class = np.tile(["FRI", "FRII"], 12)
    keys = sample_keys(Seeds(8), "test", "balanced", fr_class)
    least, most = (np.full(len(keys), extent) for extent in model.extent)
    made = next(make_stamps(model, sample_latents(model, "balanced", fr_class, keys, least=least, most=most), 3.0))
    seen = widen_stamps(made.stamps, made.shapes.centre, 3.0, 3.0)
    # mirrored about the middle pixel
    turned = widen_stamps(made.stamps, made.shapes.centre, 3.0, 3.0, np.tile([True, False], (len(keys), 1)))
    np.testing.assert_allclose(turned[:, 1:], seen[:, :0:-1], rtol=1e-5, atol=1e-9)
    axes = mirrored(made)
    assert (axes.sum(axis=0) > 5).all() and ((~axes).sum(axis=0) > 5).all()
    known = np.array([lopsided(image) for image in seen])
    found = np.array([lopsided(image) for image, _ in draw(model, made, 1)])
    for axis in (0, 1):
        for part in (axes[:, 1 - axis], ~axes[:, 1 - axis]):
            assert np.corrcoef(known[part, axis], found[part, axis])[0, 1] > 0.6


def test_a_source_does_not_depend_on_the_others(model, batch):
    whole = draw(model, batch, 2)
    again = draw(model, batch, 2, slice(3, 5))
    for (a, _), (b, _) in zip(whole[3:5], again, strict=True):
        np.testing.assert_array_equal(a, b)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = draw(model, batch, 2, slice(3, 5))
    finally:
        torch.set_num_threads(before)
    for (a, _), (b, _) in zip(again, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def test_octaves_begin_with_what_first_shows(monkeypatch):
    """All but the faint outskirts and bridge, which octaves draw themselves."""
    y, x = np.indices((60, 120)) - [[[30]], [[60]]]

    def blob(at, peak, wide):
        return peak * np.exp(-0.5 * ((x - at)**2 + y**2) / wide**2)

    images = np.array([blob(-30, 1, 4) + blob(30, 0.8, 4) + blob(0, SHOWN / 2, 8)], np.float32)
    monkeypatch.setattr(batches, "soften", lambda stamps, fwhm: stamps)
    assert clip_stamps(images, 3.0, beam_fwhm=3.0)[0, 30, 60] > 0
    found = begin_octaves(images, 3.0, beam_fwhm=3.0)
    assert not found[:, :, 55:65].any() and found[found > 0].min() == pytest.approx(SHOWN, rel=0.1)
    assert found.sum() > 0.9 * images.sum()
    np.testing.assert_array_equal(begin_octaves(images, None, beam_fwhm=3.0), images)


def test_octaves_are_as_many_as_the_beam_needs(model):
    # of a stamp whose beam is three pixels; octave 0 is what a beam of nine sees, and counts from two beams across
    width = np.array([100.0, 18.0, 17.9, 9.0, 4.5, 4.4, 2.25, 2.2, 0.5, 0.01])
    np.testing.assert_array_equal(model.octaves.needed(width, 3.0), [0, 0, 1, 1, 1, 2, 2, 3, 5, OCTAVES])


def test_the_first_octave_keeps_what_the_stamp_is(model, batch):
    """Of its size and at its place: seen with the wide beam, the two are alike."""
    shapes = batch.shapes
    for k, (image, pixels) in enumerate(draw(model, batch, 1)):
        found = measure_stamps(image[None], beam_fwhm=3.0)[0]
        wide = measure_stamps(widen_stamps(batch.stamps[k:k + 1], shapes.centre[k:k + 1], 3.0, 1.5), beam_fwhm=2.0)[0]
        assert found.las[0] / pixels == pytest.approx(wide.las[0] * 1.5, rel=0.2)


def field(beam, pixel, las, side, model=SHARP, n=5, **given):
    wcs = skygal.make_wcs(center="150.0 20.0", size=side, pixel_scale=pixel * u.arcsec)
    table = QTable({"fr_class": ["FRI", "FRII"] * (n // 2) + ["FRI"] * (n % 2), "las": np.full(n, las) * u.arcsec,
                    "flux": np.full(n, 10.0) * u.mJy})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skygal.simulate_field(wcs, table=table, beam=beam * u.arcsec, noise=False, seed=3, model=model, **given)


def test_one_seed_is_one_sky_at_every_resolution():
    """The sharp view smoothed is the coarse one, to a root mean square of 4e-3 of its peak."""
    from scipy import ndimage

    sharp, coarse = (field(beam, 0.4, 24.0, 220) for beam in (1.2, 4.0))
    sigma = np.sqrt(4.0**2 - 1.2**2) / FWHM / 0.4
    seen = ndimage.gaussian_filter(sharp.image.astype(float), sigma) * (4.0 / 1.2)**2
    inner = slice(30, -30)
    error = (seen - coarse.image)[inner, inner] / coarse.image.max()
    assert np.sqrt(np.mean(error**2)) < 4e-3
    for name in ("flux", "ra", "dec", "las", "latent_seed", "zoom"):
        np.testing.assert_allclose(np.asarray(sharp.truth[name]), np.asarray(coarse.truth[name]), rtol=1e-6)


def test_sources_are_hardly_ever_limited_by_their_stamps():
    plain, sharp = (field(1.0, 0.35, 30.0, 150, model=name, n=12) for name in (None, SHARP))
    assert plain.truth["beam_limited"].any() and not sharp.truth["beam_limited"].any()
    inside = sharp.truth["flux_in_image"] > 0.99 * sharp.truth["flux"]
    assert inside.any()


def test_chunks_have_the_same_pixels():
    whole, parts = field(1.5, 0.5, 15.0, 160), field(1.5, 0.5, 15.0, 160, chunks=64)
    np.testing.assert_array_equal(whole.image, np.asarray(parts.image))
    np.testing.assert_array_equal(whole.truth["flux_in_image"], parts.truth["flux_in_image"])


def test_stamps_with_any_number_of_beams_across():
    stamps = skygal.sample_stamps(3, model=SHARP, beams_across=30, seed=2)
    assert stamps.images.shape == (3, 180, 180)
    np.testing.assert_allclose(stamps.table["las"].to_value(u.arcsec), 30 * 5.4)
    np.testing.assert_allclose(stamps.images.max(axis=(1, 2)), 1)
    assert (stamps.images[:, :4].max(axis=(1, 2)) < 1e-2).all()
    again = skygal.sample_stamps(5, model=SHARP, beams_across=30, seed=2)
    np.testing.assert_array_equal(stamps.images[np.flatnonzero(stamps.table["fr_class"] == "FRI")[:1]],
                                  again.images[np.flatnonzero(again.table["fr_class"] == "FRI")[:1]])


def test_a_source_with_more_beams_smoothed_has_fewer(model, batch):
    from scipy import ndimage

    images = [draw_across(model, batch, beams=beams, size=size, turned=False)[0][0] for beams, size in
              ((10, 61), (30, 181))]
    sigma = 3 / FWHM * np.sqrt(9 - 1)
    seen = ndimage.gaussian_filter(images[1].astype(float), sigma)[::3, ::3]
    error = seen / seen.sum() - images[0] / images[0].sum()
    assert np.sqrt(np.mean(error**2)) < 4e-3 * seen.max() / seen.sum()


@pytest.mark.parametrize(("given", "words"), [
    ({"beams_across": 30}, "beams_across must be left out of a model without octaves"),
    ({"beams_across": 500, "model": SHARP}, "beams_across must be at most"),
    ({"beams_across": -3, "model": SHARP}, "beams_across must be positive"),
    ({"beams_across": "many", "model": SHARP}, "beams_across must be"),
    ({"beams_across": 30, "model": SHARP, "las": (60 * u.arcsec, None)}, "las must be left out with beams_across"),
])
def test_what_cannot_be_shown_is_refused(given, words):
    with pytest.raises((TypeError, ValueError), match=words):
        skygal.sample_stamps(2, seed=1, **given)


def broken(tmp_path, change, **architecture):
    """Return a file of the model's weights, changed."""
    tensors, description, _ = read_weights(WEIGHTS / f"{SHARP}.safetensors", [FORMAT])
    tensors = change(dict(tensors)) or tensors
    return write_weights(tmp_path / "broken.safetensors", tensors, form=FORMAT, name="broken",
                         architecture={**description["architecture"], **architecture}, metadata={})


@pytest.mark.parametrize(("architecture", "words"), [
    ({"base_sha256": "0" * 64}, "octaves fit the model alone that they were trained for"),
    ({"base": "other"}, "base must be"),
    ({"first": [33, 64, 16]}, "must have shape"),
    ({"later": [24, 48, 10**9]}, "later must be three numbers from 1 to"),
    ({"first": 32}, "first must be three numbers from 1 to"),
    ({"factor": "wide"}, "factor and extent must be"),
    ({"extent": [1.0]}, "factor and extent must be"),
    ({"more": 1}, "architecture must have the entries"),
])
def test_octaves_that_do_not_fit_are_refused(tmp_path, architecture, words):
    with pytest.raises(ValueError, match=words):
        load_model(broken(tmp_path, lambda tensors: None, **architecture))


def test_tampered_weights_are_refused(tmp_path):
    path = tmp_path / "tampered.safetensors"
    shutil.copy(WEIGHTS / f"{SHARP}.safetensors", path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="was changed since it was written"):
        load_model(path)
    with pytest.raises(ValueError, match="is missing"):
        load_model(broken(tmp_path, lambda tensors: {k: v for k, v in tensors.items() if k != "later.out.bias"}))


def test_cores_brighter_than_their_sources_are_refused(tmp_path):
    with pytest.raises(ValueError, match="first.cores must be logarithms of shares, at most 0, got 3"):
        load_model(broken(tmp_path, lambda tensors: {**tensors, "first.cores": np.full((2, 9), 3, np.float16)}))


def test_weights_are_the_same_however_their_axes_lie(tmp_path):
    value = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    others = np.asfortranarray(value), np.moveaxis(np.moveaxis(value, 0, 2).copy(), 2, 0)
    for number, laid in enumerate((value, *others)):
        path = write_weights(tmp_path / f"{number}.safetensors", {"a": laid}, form=FORMAT, name="laid", architecture={},
                             metadata={})
        np.testing.assert_array_equal(read_weights(path, [FORMAT])[0]["a"], value)
    path = write_weights(tmp_path / "number.safetensors", {"a": value[1, 2, 3]}, form=FORMAT, name="one",
                         architecture={}, metadata={})
    assert read_weights(path, [FORMAT])[0]["a"].shape == ()


def test_an_evaluation_draws_such_a_model_as_an_image_does(model):
    """At the sizes of the model's stamps, from the large ones that octaves begin with."""
    from skygal.evaluation.generated import sample_generated
    from skygal.morphology.measure import largest_size

    base = load_model(model.base)
    seen, like = (sample_generated(each, "FRII", 12, rng=np.random.default_rng(1)) for each in (model, base))
    assert seen.shape == like.shape == (12, *model.shape) and (seen >= 0).all() and seen.any(axis=(1, 2)).all()
    assert not np.array_equal(seen, like)
    size, wanted = largest_size(seen), largest_size(np.maximum(like, 0))
    assert np.median(np.abs(np.log(size / wanted))) < 0.05 and np.corrcoef(np.log(size), np.log(wanted))[0, 1] > 0.9


@pytest.mark.parametrize("frii", [0.0, 1.0])
def test_what_is_drawn_is_as_large_as_it_is_asked_to_be(frii, model):
    """Also where a stamp has a bright middle, beside which its lobes are faint (the isophote is 5 % of the rest)."""
    maps, beams = draw_sources(model, 40, 20, frii=frii, seed=3), 20
    rest = [np.minimum(image, ndimage.median_filter(image, 15).max()) for image in maps]
    # the image's own beam adds to it
    sizes = np.array([largest_size(image[None])[0] for image in rest]) / 4 / beams
    assert np.median(sizes) == pytest.approx(1.04, abs=0.05)
    assert 0.85 < sizes.min() and sizes.max() < 1.25
