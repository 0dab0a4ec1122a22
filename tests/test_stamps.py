"""Stamps: labels, orientation, scale, seeds, and what is written."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from oracles import angle_between, position_angle

import skygal
from skygal.morphology import batches as stamps_module
from skygal.morphology.batches import Limits, make_stamps_within
from skygal.morphology.conditions import measure_bending
from skygal.morphology.latents import Latents, sample_conditions, sample_latent_values
from skygal.morphology.measure import largest_size
from skygal.seeds import Seeds
from skygal.truth import read_truth


@pytest.fixture(scope="module")
def stamps():
    return skygal.sample_stamps(24, seed=3)


def centre_of(image):
    y, x = np.mgrid[:image.shape[0], :image.shape[1]]
    return (image * x).sum() / image.sum(), (image * y).sum() / image.sum()


def elongation(image):
    """Return the ratio of the standard deviations along the axes."""
    y, x = np.mgrid[:image.shape[0], :image.shape[1]]
    low, high = np.linalg.eigvalsh(np.cov(np.stack([x.ravel(), y.ravel()]), aweights=image.ravel()))
    return np.sqrt(high / low)


def test_classes(stamps):
    assert stamps.images.shape == (24, 150, 150) and stamps.images.dtype == np.float32 and len(stamps) == 24
    assert np.unique(stamps.table["fr_class"], return_counts=True)[1].tolist() == [12, 12]
    assert set(skygal.sample_stamps(3, fr_class="FRI", seed=1).table["fr_class"]) == {"FRI"}
    mixed = skygal.sample_stamps(60, fr_mix={"FRI": 0.1, "FRII": 0.9}, seed=1, orientation="aligned").table["fr_class"]
    assert 0 < np.count_nonzero(mixed == "FRI") < 20
    odd = skygal.sample_stamps(5, seed=2, orientation="aligned").table["fr_class"]
    assert sorted(np.unique(odd, return_counts=True)[1]) == [2, 3]


def test_scales(stamps):
    np.testing.assert_array_equal(stamps.images.max(axis=(1, 2)), 1)
    assert stamps.images.min() == 0
    sums = skygal.sample_stamps(24, seed=3, scale="sum").images
    np.testing.assert_allclose(sums.sum(axis=(1, 2), dtype=float), 1, rtol=1e-5)
    np.testing.assert_allclose(sums / sums.max(axis=(1, 2), keepdims=True), stamps.images, atol=1e-6)


def test_angles_in_the_table_are_those_of_the_images(stamps):
    ny, nx = stamps.images.shape[1:]
    north, west = np.mgrid[:ny, :nx]
    found = [position_angle(image.astype(float), -west.astype(float), north.astype(float)) for image in stamps.images]
    table = stamps.table["pa"].to_value(u.deg)
    long = np.array([elongation(image.astype(float)) > 1.15 for image in stamps.images])
    assert long.sum() > 12
    assert max(angle_between(a, b) for a, b in zip(np.array(found)[long], table[long], strict=True)) < 0.5
    # all quarters are there
    assert (np.histogram(table, bins=4, range=(0, 180))[0] > 0).all()


def test_aligned_lie_along_x():
    aligned = skygal.sample_stamps(16, seed=3, orientation="aligned", clip_sigma=3)
    assert aligned.images.shape[1:] == skygal.load_model().shape
    north, west = np.mgrid[:aligned.images.shape[1], :aligned.images.shape[2]]
    for image, pa in zip(aligned.images.astype(float), aligned.table["pa"].to_value(u.deg), strict=True):
        if elongation(image) > 1.3:
            assert angle_between(position_angle(image, -west, north), pa) < 0.5
            assert angle_between(pa, 90) < 10


def test_turned_and_aligned_are_the_same_sources(stamps):
    aligned = skygal.sample_stamps(24, seed=3, orientation="aligned")
    for name in ("fr_class", "latents", "latent_seed", "extent", "bending"):
        np.testing.assert_array_equal(stamps.table[name], aligned.table[name], err_msg=name)
    np.testing.assert_allclose(stamps.table["las"].value, aligned.table["las"].value, rtol=0.06)
    np.testing.assert_allclose(stamps.table["b_maj"].value, aligned.table["b_maj"].value, rtol=0.03)
    # whether a faint hill counts may hang on a pixel
    assert np.mean(np.isclose(stamps.table["core_frac"], aligned.table["core_frac"], atol=0.06)) > 0.8
    assert np.mean(stamps.table["n_components"] == aligned.table["n_components"]) > 0.8


def test_centre_is_in_the_middle(stamps):
    for image in stamps.images.astype(float):
        assert np.hypot(*(np.array(centre_of(image)) - 74.5)) < 0.1
    for size in (121, 160):
        (image,) = skygal.sample_stamps(1, seed=3, size=size).images.astype(float)
        assert centre_of(image) == pytest.approx(((size - 1) / 2,) * 2, abs=0.1)


def test_pairs():
    pairs = skygal.sample_stamps(7, latents="pairs", seed=5)
    table = pairs.table
    for k in (0, 2, 4):
        assert table["latent_seed"][k] == table["latent_seed"][k + 1]
        assert {table["fr_class"][k], table["fr_class"][k + 1]} == {"FRI", "FRII"}
        np.testing.assert_array_equal(table["latents"][k], table["latents"][k + 1])
        assert angle_between(*table["pa"][k:k + 2].to_value(u.deg)) < 25
        # the same rank in the sizes of either class
        quantiles = [np.asarray(skygal.load_model().tables[str(table["fr_class"][i])].extent) for i in (k, k + 1)]
        ranks = [np.interp(table["extent"][k + j].value, q, np.linspace(0, 1, q.size)) for j, q in enumerate(quantiles)]
        assert ranks[0] == pytest.approx(ranks[1], abs=1e-5)
    assert len(set(table["latent_seed"][::2])) == 4


@pytest.mark.parametrize("latents", ["balanced", "prior", "uniform"])
def test_classes_of_one_seed_are_no_twins(latents):
    """Nor is a class among others: only its own number and class say what a stamp is."""
    given = {"seed": 5, "latents": latents}
    first, second = (skygal.sample_stamps(100, fr_class=name, **given).table for name in ("FRI", "FRII"))
    assert not np.intersect1d(first["latent_seed"], second["latent_seed"]).size
    d = first["latents"].shape[1]
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(first["latents"], second["latents"], strict=True)]
    assert np.abs(alike).max() < 5 / d**0.5 and abs(np.mean(alike)) < 4 / (100 * d) ** 0.5
    # nor their angles, sizes and bendings: equal angles, or equal ranks, would be 1 here
    turned = np.radians(2 * (first["pa"] - second["pa"]).to_value(u.deg))
    assert np.hypot(np.cos(turned).mean(), np.sin(turned).mean()) < 0.4
    for name in ("extent", "bending"):
        rank = [np.argsort(np.argsort(table[name])) for table in (first, second)]
        assert abs(np.corrcoef(*rank)[0, 1]) < 0.4, name
    mixed = skygal.sample_stamps(100, **given).table
    for table, name in ((first, "FRI"), (second, "FRII")):
        here = mixed["fr_class"] == name
        np.testing.assert_array_equal(mixed["latents"][here], table["latents"][here])


def test_streams_are_no_others():
    """Stamps to learn from are not among the sources of the field of the same seed, nor of its dataset's."""
    stamps = skygal.sample_stamps(20, seed=6).table["latent_seed"]
    field = skygal.simulate_field(skygal.make_wcs("12h +30d", 256, 1.8 * u.arcsec), 20, survey="FIRST", seed=6).truth
    dataset = skygal.SyntheticStamps(20, seed=6)
    keys = [stamps, field["latent_seed"], [part.key for part in dataset._block(0)]]
    assert np.unique(np.concatenate(keys)).size == sum(map(len, keys))


def test_seeds_and_number(stamps):
    again, fewer, other = (skygal.sample_stamps(n, seed=s) for n, s in ((24, 3), (9, 3), (9, 4)))
    np.testing.assert_array_equal(again.images, stamps.images)
    np.testing.assert_array_equal(fewer.images, stamps.images[:9])
    for name in stamps.table.colnames:
        np.testing.assert_array_equal(again.table[name], stamps.table[name], err_msg=name)
        np.testing.assert_array_equal(fewer.table[name], stamps.table[name][:9], err_msg=name)
    assert not np.array_equal(other.images, fewer.images)
    fresh = [skygal.sample_stamps(1, orientation="aligned") for _ in range(2)]
    assert fresh[0].table.meta["seed"] != fresh[1].table.meta["seed"]


def test_more_than_a_batch_does_not_change_the_first():
    many = skygal.sample_stamps(140, seed=3, orientation="aligned")
    few = skygal.sample_stamps(130, seed=3, orientation="aligned")
    np.testing.assert_array_equal(many.images[:130], few.images)


def test_latents_given():
    d = skygal.load_model().latent_dim
    values = np.random.default_rng(0).normal(size=(3, d))
    found = skygal.sample_stamps(3, latents=values, fr_class="FRII", seed=1)
    np.testing.assert_allclose(found.table["latents"], values, rtol=1e-6)
    box = np.asarray(skygal.sample_stamps(20, latents="uniform", seed=1, orientation="aligned").table["latents"])
    assert np.abs(box).max() <= 4 and np.abs(box).max() > 3.5 and box.std() == pytest.approx(8 / np.sqrt(12), rel=0.1)
    normal = np.asarray(skygal.sample_stamps(20, seed=1, orientation="aligned").table["latents"])
    assert normal.std() == pytest.approx(1, rel=0.1)


def test_clip():
    raw = skygal.sample_stamps(4, seed=3, clip_sigma=None, orientation="aligned").images
    kept = skygal.sample_stamps(4, seed=3, orientation="aligned").images
    more = skygal.sample_stamps(4, seed=3, clip_sigma=20, orientation="aligned").images
    lit = [np.count_nonzero(images) for images in (raw, kept, more)]
    assert lit[0] > lit[1] > lit[2] > 0
    np.testing.assert_allclose(raw[kept > 0], kept[kept > 0], rtol=1e-6)


WITHIN = {"fr_class": "FRI", "las": (50 * u.arcsec, 90 * u.arcsec), "bending": (20 * u.deg, 60 * u.deg), "seed": 8}


@pytest.fixture(scope="module")
def within():
    return skygal.sample_stamps(70, orientation="aligned", **WITHIN)


def test_limits_are_met(within):
    table = within.table
    for name in ("las", "bending"):
        low, high = WITHIN[name]
        assert (table[name] >= low).all() and (table[name] <= high).all()
    # what the table says is what the images show
    np.testing.assert_allclose(np.degrees(np.abs(measure_bending(within.images))), table["bending"].to_value(u.deg),
                               rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(largest_size(within.images) * 1.8, table["las"].to_value(u.arcsec), rtol=1e-4)
    # they fill the range
    assert np.ptp(table["las"].value) > 25 and np.ptp(table["bending"].value) > 10
    assert len(np.unique(table["latent_seed"])) == 70


def test_some_were_drawn_anew_and_can_be_made_from_the_table(within):
    model = skygal.load_model()
    table = within.table
    first = Seeds(8).keys_of("stamp", np.full(70, "FRI"))
    assert 0 < np.count_nonzero(table["latent_seed"] != first) < 70
    again = sample_latent_values("prior", np.asarray(table["latent_seed"]), model.latent_dim)
    assert np.isclose(again, table["latents"], rtol=1e-6).all(axis=1).mean() > 0.1


def test_limits_do_not_make_stamps_depend_on_their_number(within):
    for n in (1, 9, 65):
        fewer = skygal.sample_stamps(n, orientation="aligned", **WITHIN)
        np.testing.assert_array_equal(fewer.images, within.images[:n])
        for name in within.table.colnames:
            np.testing.assert_array_equal(fewer.table[name], within.table[name][:n], err_msg=name)


def test_limits_do_not_make_stamps_depend_on_the_batching(within, monkeypatch):
    monkeypatch.setattr(stamps_module, "BATCH", 256)
    again = skygal.sample_stamps(70, orientation="aligned", **WITHIN)
    np.testing.assert_array_equal(again.images, within.images)


def test_limits_that_all_meet_change_nothing(stamps):
    wide = skygal.sample_stamps(24, seed=3, bending=(None, 180 * u.deg))
    np.testing.assert_array_equal(wide.images, stamps.images)


def test_limits_out_of_reach(monkeypatch):
    monkeypatch.setattr(stamps_module, "MOST_DRAWS", 30)
    with pytest.raises(ValueError, match="las and bending must be in reach of the model, got none of class compact "
                                         "with las 240 to inf arcsec and bending 0 to 180 deg in 30 draws; the last "
                                         r"had \d+\.\d arcsec and \d+\.\d deg"):
        skygal.sample_stamps(3, fr_class="compact", las=(240 * u.arcsec, None), seed=1)
    with pytest.raises(ValueError, match="las must be at most 259.2 arcsec, the length of the model's stamps, "
                                         "got 2000 arcsec and more"):
        skygal.sample_stamps(3, fr_class="FRII", las=(2000 * u.arcsec, None), seed=1)


def test_batches_within_limits():
    model = skygal.load_model()
    limits = Limits(las=(40.0, 80.0))

    def draw(fr_class, keys):
        return Latents(sample_latent_values("prior", keys, model.latent_dim), fr_class,
                       *sample_conditions(model, fr_class, keys, least=12.0, most=24.0), keys)

    size = stamps_module.BATCH
    plan = draw(np.resize(["FRI", "FRII"], size + 6), Seeds(1).keys("latent", size + 6))
    batches = list(make_stamps_within(model, plan, 3.0, limits,
                                      redraw=lambda rows, keys: draw(plan.fr_class[rows], keys)))
    assert [batch.start for batch in batches] == [0, size] and [len(batch.stamps) for batch in batches] == [size, 6]
    assert np.concatenate([batch.latents.fr_class for batch in batches]).tolist() == plan.fr_class.tolist()
    for batch in batches:
        assert limits.met(batch.shapes.las * model.pixel_scale, batch.bending).all()
        np.testing.assert_allclose(batch.stamps.sum(axis=(1, 2)), 1, rtol=1e-5)
        # each can be decoded from what the batch says of it
        raw = model.decode(batch.latents.values, batch.latents.fr_class, batch.latents.extent, batch.latents.bending)
        lit = batch.stamps > 0
        ratio = batch.stamps / raw * batch.shapes.flux[:, None, None]
        np.testing.assert_allclose(ratio[lit], 1, rtol=1e-4)


def test_limits():
    limits = Limits(las=(10.0, 20.0), bending=(0.1, 0.5))
    las, bending = np.array([9.9, 10, 20, 20.1, 15, 15, 15]), np.array([0.2, 0.2, -0.2, 0.2, 0.05, -0.5, 0.6])
    assert limits.met(las, bending).tolist() == [False, True, True, False, False, True, False]
    assert Limits().met(las, bending).all()


def test_write(stamps, tmp_path):
    folder = stamps.write(tmp_path / "out")
    with fits.open(folder / "stamps.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, stamps.images)
        header = hdus[0].header
        assert [header[k] * 3600 for k in ("CDELT1", "CDELT2", "BMAJ", "BMIN")] == pytest.approx([-1.8, 1.8, 5.4, 5.4])
    for name in ("table.fits", "table.ecsv"):
        table = read_truth(folder / name)
        np.testing.assert_array_equal(table["latents"], stamps.table["latents"])
        np.testing.assert_array_equal(np.asarray(table["fr_class"]).astype(str), stamps.table["fr_class"])
        assert table["pa"].unit == u.deg and table.meta["seed"] == 3
    with pytest.raises(FileExistsError, match="overwrite"):
        stamps.write(folder)
    stamps.write(folder, overwrite=True)


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"n": 0}, ValueError, "n must be at least 1, got 0"),
    ({"n": 2.0}, TypeError, "n must be a whole number, got 2.0"),
    ({"size": 15}, ValueError, "size must be at least 16, got 15"),
    ({"scale": "flux"}, ValueError, "scale must be one of 'peak', 'sum', got 'flux'"),
    ({"orientation": "align"}, ValueError, "orientation must be one of 'random', 'aligned', got 'align' .*'aligned'"),
    ({"fr_class": "FRIII"}, ValueError, "fr_class must be one of 'FRI', 'FRII', .*, got 'FRIII'"),
    ({"las": 60 * u.arcsec}, TypeError, r"las must be a \(low, high\) pair of quantities or None, got <Quantity 60"),
    ({"las": (60, None)}, TypeError, r"las \(low end\) must be a Quantity in units of arcsec, got 60"),
    ({"las": (90 * u.arcsec, 60 * u.arcsec)}, ValueError,
     "las must have low < high, and high at most inf arcsec, got low = 90 arcsec and high = 60 arcsec"),
    ({"bending": (None, 200 * u.deg)}, ValueError, "bending must have low < high, and high at most 3.14159 rad"),
    ({"las": (60 * u.arcsec, None), "latents": "pairs"}, ValueError,
     r"las and bending must be left out with latents that are given or paired, got las=\(<Quantity 60"),
    ({"bending": (0.3 * u.rad, None), "latents": np.zeros(48)}, ValueError,
     "las and bending must be left out with latents that are given or paired, got las=None and bending="),
    ({"fr_class": "FRI", "fr_mix": {"FRI": 1.0}}, ValueError, "only one of fr_class and fr_mix may be given"),
    ({"fr_mix": "survey"}, ValueError, "fr_mix must be None or the share of each class: stamps have no flux"),
    ({"latents": "pairs", "fr_class": "FRI"}, ValueError,
     "fr_class and fr_mix must be left out with latents='pairs', got 'FRI' and None"),
    ({"latents": "pair"}, ValueError, "latents must be one of .*did you mean 'pairs'"),
    ({"latents": np.zeros((3, 2))}, ValueError, r"latents must have shape \(2, \d+\) or \(\d+,\), got \(3, 2\)"),
    ({"latents": object()}, TypeError, "latents must be one of .* or an array .* got object"),
    ({"clip_sigma": -1}, ValueError, "clip_sigma must be positive, got -1.0"),
    ({"seed": 1.5}, TypeError, "seed must be a whole number, got 1.5"),
    ({"model": "nosuch"}, ValueError, "nosuch"),
])
def test_bad_input(change, error, message):
    given = {"n": 2, "seed": 1, **change}
    with pytest.raises(error, match=message):
        skygal.sample_stamps(given.pop("n"), **given)
