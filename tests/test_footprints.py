"""What neighbours add to sources, against plain images of one source each."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from hypothesis import example, given
from hypothesis import strategies as st

import skygal
from skygal.rendering import neighbours
from skygal.rendering.analytic.bulk import Analytic, draw
from skygal.rendering.analytic.neighbours import FaintPixels
from skygal.rendering.footprints import Footprints
from skygal.rendering.neighbours import find_neighbours


def random_footprints(rng, n, shape):
    """Sources of random pixels, to three digits of the brightest, and each in an image of its own."""
    kept, images = Footprints(), np.zeros((n, *shape), np.float32)
    labels, limits, matters = rng.permutation(10 * n)[:n] + 1, np.zeros(n), np.zeros(n)
    for k in range(n):
        h, w = (min(side, most) for side, most in zip(rng.integers(1, 40, 2), shape, strict=True))
        y, x = rng.integers(0, shape[0] - h + 1), rng.integers(0, shape[1] - w + 1)
        scale = np.float32(10.0 ** rng.uniform(-6, 0))
        parts = rng.choice([0, 0.25, 0.5, 1], (h, w)) * (rng.random((h, w)) < rng.choice([0.02, 0.5, 1.0]))
        values = (parts * scale).astype(np.float32)
        largest = values.max()
        limits[k], matters[k] = 0.3 * largest, rng.choice([0.01 * largest, 1e-3])
        kept.add(int(labels[k]), int(x), int(y), values, limit=limits[k], matters=matters[k])
        images[k, y:y + h, x:x + w] = values
    return kept, labels, images, limits, matters


def assert_neighbours(found, labels, images, limits, matters, *, tolerance):
    """Hold what was found to sums and maxima over images of one source each."""
    images = images.astype(float)
    rows = {label: k for k, label in enumerate(found.labels)}
    for k, label in enumerate(labels):
        own = images[k] > limits[k]
        if not images[k].any():
            continue
        rest = np.delete(images, k, axis=0)
        brightest = rest.max(axis=0, initial=0)[own].max(initial=0)
        if abs(brightest / matters[k] - 1) > 1e-3:
            assert found.blended[rows[label]] == (brightest > matters[k])
        share = rest.sum(axis=0)[own].sum() / images.sum(axis=0)[own].sum() if own.any() else 0
        assert found.share[rows[label]] == pytest.approx(share, abs=tolerance)


@given(st.integers(0, 10**6), st.integers(0, 14), st.tuples(st.integers(1, 150), st.integers(1, 150)),
       st.sampled_from([7, 64, 1024]))
def test_kept_sources(seed, n, shape, rows):
    before = neighbours.ROWS
    neighbours.ROWS = rows
    try:
        kept, *rest = random_footprints(np.random.default_rng(seed), n, shape)
        found = find_neighbours([kept], shape)
        assert (np.diff(found.labels) > 0).all()
        assert_neighbours(found, *rest, tolerance=1e-6)
    finally:
        neighbours.ROWS = before


# sources of a millionth, in the wings of others
@example(142299, 4, 6, False, 16)
@example(673, 6, 4, True, 16)
@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 12), st.booleans(), st.sampled_from([16, 1024]))
def test_with_faint_sources(seed, n, m, blank, rows):
    rng, shape = np.random.default_rng(seed), (90, 80)
    kept, labels, images, limits, matters = random_footprints(rng, n, shape)
    faint = Analytic.make("gaussian", rng.uniform(-10, 100, (m, 2)), flux=10.0 ** rng.uniform(-3, 0, m),
                          beam=2 * np.eye(2), covariance=rng.uniform(0, 9, m)[:, None, None] * np.eye(2))
    alone = np.zeros((m, *shape), np.float32)
    for k in range(m):
        draw(faint[k:k + 1], (0, 90, 0, 80), alone[k])
    valid = np.ones(shape, bool)
    if blank:
        valid[:, 30:50] = False
        images, alone = images * valid, alone * valid
        kept = Footprints()
        for k in range(n):
            kept.add(int(labels[k]), 0, 0, images[k], limit=limits[k], matters=matters[k])
    peak = faint.flux * faint.area / (2 * np.pi * np.sqrt(np.linalg.det(faint.beam + faint.covariance)))
    low, matter = (0.01 * peak).astype(np.float32), rng.choice([3e-3, 0.1], m) * peak
    least = (rng.choice([0, 1e-6, 1e-3], m) * peak).astype(np.float32)
    others = FaintPixels(faint, np.arange(m) + 1000, low, least, matter, valid if blank else None)
    before = neighbours.ROWS
    neighbours.ROWS = rows
    try:
        found = find_neighbours([kept, others], shape)
    finally:
        neighbours.ROWS = before
    assert found.labels.size >= m
    counted = np.where(alone > least[:, None, None], alone, 0)
    assert_neighbours(found, np.r_[labels, others.labels], np.concatenate([images, counted]), np.r_[limits, low],
                      np.r_[matters, matter], tolerance=2e-3)


def test_600_on_a_pixel():
    kept = Footprints()
    for label in range(600):
        kept.add(label, 1, 1, np.ones((1, 1), np.float32), limit=0.5, matters=0.1)
    found = find_neighbours([kept], (3, 3))
    assert found.blended.all() and found.labels.tolist() == list(range(600))
    assert found.share == pytest.approx(599 / 600)


def test_none():
    kept = Footprints()
    assert find_neighbours([kept], (5, 5)).labels.size == 0
    kept.add(3, 0, 0, np.zeros((2, 2), np.float32), limit=0.0, matters=0.0)
    assert find_neighbours([kept], (5, 5)).labels.size == 0


def simulate(faint=None, noise=0.1 * u.mJy, n=12, side=400, **options):
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", side, 1.8 * u.arcsec)
    return skygal.simulate_field(wcs, n, faint=faint, survey="FIRST", noise=noise, flux=(2 * u.mJy, 1 * u.Jy),
                                 las=(10 * u.arcsec, 60 * u.arcsec), seed=4, **options)


def points(n, flux, side=400):
    rng = np.random.default_rng(0)
    return QTable({"x": rng.uniform(0, side, n), "y": rng.uniform(0, side, n), "flux": np.full(n, flux) * u.mJy,
                   "kind": np.full(n, "point")})


def test_sources_far_below_the_noise_blend_nobody():
    alone, crowded = simulate(), simulate(points(20_000, 0.04))
    before, after = alone.truth, crowded.truth
    np.testing.assert_array_equal(after["blended"][:12], before["blended"])
    # those on a galaxy are blended with it, the others not with each other
    hidden = np.zeros(20_012, bool)
    np.put(hidden, np.arange(12), before["blended"])
    x, y = (np.rint(after[name]).astype(int) for name in ("x", "y"))
    on_galaxy = alone.model[np.clip(y, 0, 399), np.clip(x, 0, 399)] > 0.1e-3
    assert np.mean(after["blended"][12:][~on_galaxy[12:]]) < 0.3
    assert after["blended"][12:][on_galaxy[12:]].all()
    # but their flux is told: what they are brighter by than the galaxies
    more = crowded.model.astype(float) - alone.model
    for row in after[:12][~after["edge"][:12] & ~after["blended"][:12]]:
        own = crowded.segmentation == row["source_id"]
        share = more[own].sum() / crowded.model[own].sum(dtype=float)
        assert row["neighbour_flux_frac"] == pytest.approx(share, abs=0.1 * share + 2e-3)


def test_without_noise_what_counts_is_the_sources_own_brightness():
    table = QTable({"x": [100.0, 101.0, 300.0, 301.0], "y": [200.0] * 4, "flux": [1, 1e-3, 1, 1e-1] * u.mJy,
                    "kind": ["point"] * 4})
    truth = simulate(table, noise=False, n=0).truth
    assert truth["blended"].tolist() == [False, True, True, True]
    share = truth["neighbour_flux_frac"]
    assert share[0] == pytest.approx(1e-3, rel=0.1) and share[2] == pytest.approx(0.09, rel=0.05)
    assert share[1] > 0.99 and 0.8 < share[3] < 1
    # at a noise above the lesser ones of both pairs
    noisy = simulate(table, noise=0.2 * u.mJy, n=0).truth
    assert noisy["blended"].tolist() == [False, True, False, True]
    alone = simulate(table[:1], noise=False, n=0).truth
    assert alone["neighbour_flux_frac"][0] == 0


@pytest.mark.parametrize(("noise", "own"), [(False, 1.28), (0.1 * u.mJy, 0.91)])
def test_the_wing_of_a_source_10000_times_brighter(noise, own):
    # where the lesser one's pixels end, in beams from its middle, the other is at 2.6e-5 of its peak
    far = (1.95 + own) * 5.4 / 1.8
    table = QTable({"x": [100.0, 100 + far], "y": [200.0] * 2, "flux": [10, 1e-3] * u.Jy, "kind": ["point"] * 2})
    truth = simulate(table, noise=noise, n=0).truth
    assert truth["blended"].tolist() == [False, True]


@pytest.mark.parametrize("noise", [False, 0.3 * u.mJy])
def test_chunks_and_shuffled_rows_change_nothing(noise):
    faint = points(300, 0.5)
    one = simulate(faint, noise=noise)
    two = simulate(faint, noise=noise, chunks=(100, 170))
    for name in ("blended", "neighbour_flux_frac"):
        np.testing.assert_array_equal(one.truth[name], two.truth[name])
    order = np.random.default_rng(1).permutation(300)
    faint["source_id"] = np.arange(101, 401)
    ahead, shuffled = simulate(faint, noise=noise).truth, simulate(faint[order], noise=noise).truth
    ahead.sort("source_id"), shuffled.sort("source_id")
    np.testing.assert_array_equal(ahead["blended"], shuffled["blended"])
    np.testing.assert_allclose(ahead["neighbour_flux_frac"], shuffled["neighbour_flux_frac"], atol=1e-6)
