"""Which sources share pixels, against counting on a plain image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skygal.rendering import footprints
from skygal.rendering.footprints import Footprints


def random_footprints(seed, n, shape):
    rng = np.random.default_rng(seed)
    kept, image = Footprints(shape), np.zeros((n, *shape), bool)
    labels = rng.permutation(10 * n)[:n] + 1
    for k in range(n):
        h, w = rng.integers(1, 40, 2)
        h, w = min(h, shape[0]), min(w, shape[1])
        y, x = rng.integers(0, shape[0] - h + 1), rng.integers(0, shape[1] - w + 1)
        mask = rng.random((h, w)) < rng.choice([0.02, 0.5, 1.0])
        kept.add(int(labels[k]), int(x), int(y), mask)
        image[k, y:y + h, x:x + w] = mask
    return kept, labels, image


@given(st.integers(0, 10**6), st.integers(0, 14), st.tuples(st.integers(1, 150), st.integers(1, 150)),
       st.sampled_from([7, 64, 1024]))
@settings(max_examples=60)
def test_overlaps(seed, n, shape, rows):
    before = footprints.ROWS
    footprints.ROWS = rows
    try:
        kept, labels, image = random_footprints(seed, n, shape)
        expected = labels[(image & (image.sum(axis=0) > 1)).any(axis=(1, 2))]
        np.testing.assert_array_equal(kept.overlapping(), np.sort(expected))
    finally:
        footprints.ROWS = before


@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=40)
def test_overlaps_with_sources_that_are_not_kept(seed, n, m):
    shape = 90, 80
    kept, labels, image = random_footprints(seed, n, shape)
    _, more, others = random_footprints(seed + 1, m, shape)
    more = more + 1000

    def pixels(window):
        y0, y1, x0, x1 = window
        for label, mask in zip(more, others, strict=True):
            index = np.flatnonzero(mask[y0:y1, x0:x1])
            yield np.full(index.size, label), index

    together = np.concatenate([image, others])
    expected = np.r_[labels, more][(together & (together.sum(axis=0) > 1)).any(axis=(1, 2))]
    np.testing.assert_array_equal(kept.overlapping(pixels), np.sort(expected))


def test_more_than_255_on_a_pixel():
    kept = Footprints((3, 3))
    for label in range(600):
        kept.add(label, 1, 1, np.ones((1, 1), bool))
    assert kept.overlapping().size == 600


def test_none():
    assert Footprints((5, 5)).overlapping().size == 0
