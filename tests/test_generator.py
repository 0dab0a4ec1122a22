"""Decoding with the shipped model: shapes, bits, and stamps that make sense."""

import numpy as np
import pytest

from skygal.morphology.checkpoint import load_model
from skygal.morphology.conditions import measure_extent_bending
from skygal.morphology.generator import DECODE_BLOCK
from skygal.morphology.moments import measure_moments


@pytest.fixture(scope="module")
def generator():
    return load_model()


def inputs(generator, n, seed=0):
    rng = np.random.default_rng(seed)
    fr_class = np.where(rng.random(n) < 0.5, "FRI", "FRII")
    extent = np.array([rng.choice(generator.tables[name].extent[6:-3]) for name in fr_class])
    bending = rng.choice([-1, 1], n) * np.array([rng.choice(generator.tables[name].bending[1]) for name in fr_class])
    return rng.standard_normal((n, generator.latent_dim)), fr_class, extent, bending


def measured(stamps):
    """Return extent and bending of stamps that are cut at a two-hundredth of their peak."""
    kept = np.where(stamps > 0.005 * stamps.max(axis=(1, 2), keepdims=True), stamps, 0).astype(float)
    return measure_extent_bending(kept, *(np.arange(size) - (size - 1) / 2 for size in stamps.shape[:0:-1]))


def test_shapes(generator):
    stamps = generator.decode(*inputs(generator, 5))
    assert stamps.shape == (5, *generator.shape) and stamps.dtype == np.float32
    assert np.isfinite(stamps).all() and (stamps >= 0).all()


def test_no_rows(generator):
    stamps = generator.decode(np.zeros((0, generator.latent_dim)), np.zeros(0, str), np.zeros(0))
    assert stamps.shape == (0, *generator.shape)


def test_bits_do_not_depend_on_what_follows(generator):
    given = inputs(generator, 2 * DECODE_BLOCK + 9)
    whole = generator.decode(*given)
    for n in (1, DECODE_BLOCK - 1, DECODE_BLOCK, DECODE_BLOCK + 1):
        np.testing.assert_array_equal(generator.decode(*(value[:n] for value in given)), whole[:n])
    later = generator.decode(*(value[DECODE_BLOCK:] for value in given))
    np.testing.assert_array_equal(later, whole[DECODE_BLOCK:])


def test_bits_do_not_depend_on_the_others(generator):
    given = inputs(generator, DECODE_BLOCK)
    others = inputs(generator, DECODE_BLOCK, seed=1)
    mine = np.array([0, 1, 17, DECODE_BLOCK - 1])
    mixed = [np.array(value) for value in others]
    for value, own in zip(mixed, given, strict=True):
        value[mine] = own[mine]
    np.testing.assert_array_equal(generator.decode(*mixed)[mine], generator.decode(*given)[mine])


def test_straight_if_not_told(generator):
    latents, fr_class, extent, _ = inputs(generator, 3)
    np.testing.assert_array_equal(generator.decode(latents, fr_class, extent),
                                  generator.decode(latents, fr_class, extent, np.zeros(3)))


def test_stamps_lie_along_x_in_the_middle(generator):
    stamps = generator.decode(*inputs(generator, 400))
    _, centre, covariance = measure_moments(np.where(stamps > 0.01 * stamps.max(axis=(1, 2), keepdims=True), stamps, 0))
    values, vectors = np.linalg.eigh(covariance)
    resolved = values[:, 1] > 1.5 * values[:, 0]
    angle = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
    off = np.abs((angle[resolved] + 90) % 180 - 90)
    assert resolved.mean() > 0.7 and np.median(off) < 5
    middle = (np.array(generator.shape[::-1]) - 1) / 2
    assert np.median(np.hypot(*(centre - middle).T)) < 2


def test_extent_follows_what_was_asked(generator):
    latents, fr_class, extent, bending = inputs(generator, 400)
    found = measured(generator.decode(latents, fr_class, extent, bending))[0] * generator.pixel_scale
    assert np.corrcoef(np.log(found), np.log(extent))[0, 1] > 0.9
    assert abs(np.median(np.log(found / extent))) < 0.15


def test_bending_follows_what_was_asked(generator):
    n = 200
    latents = np.random.default_rng(5).standard_normal((n, generator.latent_dim))
    asked = np.random.default_rng(6).choice([-0.8, 0.8], n)
    found, straight = (measured(generator.decode(latents, np.full(n, "FRI"), np.full(n, 25.0), bend))[1]
                       for bend in (asked, 0 * asked))
    # to the side that was asked for, and by more than half of that
    assert (np.sign(found) == np.sign(asked)).mean() > 0.9
    assert 0.4 < np.median(np.abs(found)) < 1.2 and np.median(np.abs(straight)) < 0.3


def test_flux_stays_off_the_border(generator):
    stamps = generator.decode(*inputs(generator, 200))
    edge = stamps[:, [0, -1]].sum(axis=(1, 2)) + stamps[:, :, [0, -1]].sum(axis=(1, 2))
    assert np.median(edge / stamps.sum(axis=(1, 2))) < 1e-3


@pytest.mark.parametrize("draw", ["zero", "uniform"])
def test_latents_off_the_prior_give_sane_stamps(generator, draw):
    n = 64
    latents = np.zeros((n, generator.latent_dim)) if draw == "zero" else \
        np.random.default_rng(1).uniform(-4, 4, (n, generator.latent_dim))
    stamps = generator.decode(latents, *inputs(generator, n)[1:])
    peak = stamps.max(axis=(1, 2))
    assert np.isfinite(stamps).all() and peak.min() > 0.005 and peak.max() < 5 and 0.3 < np.median(peak) < 2
    # a source on a dark ground, not a filled frame
    filled = np.median(stamps, axis=(1, 2)) > 0.02 * peak
    assert filled.mean() <= 0.02


def test_classes_differ(generator):
    # an FRII's light lies in its ends: less of it in the middle third of its length
    n = 300
    latents = np.random.default_rng(2).standard_normal((n, generator.latent_dim))
    share = {}
    for fr_class in ("FRI", "FRII"):
        stamps = generator.decode(latents, np.full(n, fr_class), np.full(n, 20.0))
        profile = stamps.sum(axis=1)
        x = np.abs(np.arange(generator.shape[1]) - (generator.shape[1] - 1) / 2) * generator.pixel_scale
        share[fr_class] = (profile * (x < 10)).sum() / profile.sum()
    assert share["FRI"] > share["FRII"] + 0.03


@pytest.mark.parametrize("change, message", [
    ({"latents": np.zeros((3, 2))}, r"latents must have shape \(n, \d+\), got \(3, 2\)"),
    ({"latents": "nan"}, "latents must be finite, got nan"),
    ({"fr_class": np.array(["FRI"])}, r"fr_class must have shape \(3,\), got \(1,\)"),
    ({"fr_class": np.array(["FRI", "FR2", "FRI"])}, "fr_class must be one of 'FRI', 'FRII', .*, got 'FR2'"),
    ({"extent": np.array([3.0])}, r"extent must have shape \(3,\), got \(1,\)"),
    ({"extent": np.array([3.0, -1.0, 3.0])}, "extent must be positive and finite, got -1.0 arcsec"),
    ({"extent": np.array([3.0, np.nan, 3.0])}, "extent must be positive and finite, got nan arcsec"),
    ({"bending": np.zeros(2)}, r"bending must have shape \(3,\), got \(2,\)"),
    ({"bending": np.array([0.0, -3.2, 9.0])}, "bending must be between -pi and pi, got -3.2"),
    ({"bending": np.array([0.0, 1.0, np.nan])}, "bending must be between -pi and pi, got nan"),
])
def test_refuses(generator, change, message):
    given = {"latents": np.zeros((3, generator.latent_dim)), "fr_class": np.full(3, "FRI"),
             "extent": np.full(3, 10.0), **change}
    if isinstance(given["latents"], str):
        given["latents"] = np.full((3, generator.latent_dim), np.nan)
    with pytest.raises(ValueError, match=message):
        generator.decode(**given)


def test_says_what_it_is(generator):
    assert repr(generator) == f"CvaeGenerator('first-cvae', sha256='{generator.sha256[:12]}', device='cpu')"


def test_latents_are_drawn_in_along_their_direction(generator):
    rng = np.random.default_rng(4)
    u = rng.standard_normal((1, generator.latent_dim))
    u *= 3 * np.sqrt(generator.latent_dim) / np.linalg.norm(u)
    near, far = (generator.decode(u * scale, ["FRI"], [20.0]) for scale in (1, 2))
    np.testing.assert_allclose(near, far, atol=1e-3 * near.max())
    small = generator.decode(u / 6, ["FRI"], [20.0])
    assert np.abs(small - generator.decode(u / 5, ["FRI"], [20.0])).max() > 1e-3
