"""Stamps onto the grid: the same bits in any company, window and number of threads; symmetries; extremes; bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import FWHM, Blobs, image_moments

from skygal.rendering.plan import plan_patches
from skygal.rendering.transform import render_blocks, render_stamp

NATIVE = np.eye(2) * (3 / FWHM) ** 2
FAR = (-(10**6), 10**6, -(10**6), 10**6)


def some(n, seed=0, side=40, zoom=(0.05, 1.5)):
    """Return stamps and all that it takes to plan their patches."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    stamps = np.stack([Blobs.random(rng, length=side / 4, width=3).on_grid(x, y) for _ in range(n)])
    stamps[stamps < 1e-3 * stamps.max(axis=(1, 2), keepdims=True)] = 0
    size, turn = rng.uniform(*zoom, n), rng.uniform(0, 2 * np.pi, n)
    c, s = np.cos(turn), np.sin(turn)
    affine = size[:, None, None] * np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    inverse = np.linalg.inv(affine)
    kernel = inverse @ (np.eye(2) * np.maximum(size, 0.5)[:, None, None] ** 2) @ np.swapaxes(inverse, 1, 2)
    return (stamps.astype(np.float32), np.full((n, 2), (side - 1) / 2), rng.uniform(-200, 200, (n, 2)), affine, kernel)


def patches(stamps, plan, window=FAR, **options):
    """Return corner, size and pixels of each part, by source and corner."""
    return {(int(k), *corner.tolist()): data[:size[1], :size[0]].copy()
            for p in render_blocks(stamps, plan, plan.blocks(window), **options)
            for k, corner, size, data in zip(p.source, p.corner, p.size, p.data, strict=True)}


def test_company_and_order_do_not_change_a_bit():
    stamps, *where = some(30)
    plan = plan_patches(stamps, *where, NATIVE)
    together = patches(stamps, plan)
    for k in range(30):
        own = plan_patches(stamps[k:k + 1], *(a[k:k + 1] for a in where), NATIVE)
        for (_, *corner), data in patches(stamps[k:k + 1], own).items():
            np.testing.assert_array_equal(data, together[(k, *corner)])
    order = np.random.default_rng(1).permutation(30)
    shuffled = patches(stamps[order], plan_patches(stamps[order], *(a[order] for a in where), NATIVE))
    for (k, *corner), data in shuffled.items():
        np.testing.assert_array_equal(data, together[(int(order[k]), *corner)])


@pytest.mark.parametrize("threads", [2, 4, 7])
def test_threads_do_not_change_a_bit(threads):
    import torch

    stamps, *where = some(9, seed=1, zoom=(0.3, 4))
    alone = patches(stamps, plan_patches(stamps, *where, NATIVE))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        again = patches(stamps, plan_patches(stamps, *where, NATIVE))
        one = patches(stamps[3:4], plan_patches(stamps[3:4], *(a[3:4] for a in where), NATIVE))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert again.keys() == alone.keys()
    for key, data in alone.items():
        np.testing.assert_array_equal(again[key], data)
    for (_, *corner), data in one.items():
        np.testing.assert_array_equal(data, alone[(3, *corner)])


def test_scale_and_choice_of_stamps():
    stamps, *where = some(6, seed=2)
    plan = plan_patches(stamps, *where, NATIVE)
    plain = patches(stamps, plan)
    of = np.array([5, 4, 3, 2, 1, 0])
    again = patches(np.ascontiguousarray(stamps[::-1]), plan, of=of, scale=np.full(6, 4.0))
    for key, data in plain.items():                              # a power of two rounds nothing
        np.testing.assert_array_equal(again[key], 4 * data)


def test_large_patches_come_in_blocks_that_fit_together():
    y, x = np.mgrid[:40, :40] - 19.5
    stamp = Blobs.random(np.random.default_rng(0), length=9).on_grid(x, y).astype(np.float32)
    affine, kernel = np.array([[[22.0, 3], [-2, 25]]]), np.eye(2)[None]
    plan = plan_patches(stamp[None], np.full((1, 2), 19.5), np.zeros((1, 2)), affine, kernel, NATIVE)
    assert len(patches(stamp[None], plan)) > 3
    whole = render_stamp(stamp, np.full(2, 19.5), np.array([650.0, 650.0]), affine[0], kernel[0], NATIVE, (1300, 1300))
    truth = Blobs.random(np.random.default_rng(0), length=9).mapped(affine[0], affine[0] @ kernel[0] @ affine[0].T)
    y, x = np.mgrid[:1300, :1300] - 650.0
    expected = truth.on_grid(x, y)
    assert abs(whole - expected).max() < 1e-3 * expected.max()
    # and at their seams there is nothing to see
    assert abs(np.diff(whole, 2, axis=0)).max() < 1.01 * abs(np.diff(expected, 2, axis=0)).max() + 1e-4 * expected.max()


@given(st.integers(0, 10**6))
@example(245510)                # its light reaches its frame: an end of it lies where samples begin anew
@settings(max_examples=20)
def test_symmetries(seed):
    """A stamp that is mirrored, or turned by a right angle, under a map that undoes it is the same source."""
    (stamp,), (centre,), _, (affine,), (kernel,) = some(1, seed, zoom=(0.2, 1.2))
    middle, shape = np.array([60.2, 58.9]), (120, 124)
    plain = render_stamp(stamp, centre, middle, affine, kernel, NATIVE, shape)
    for moved, back in ((stamp[:, ::-1], np.diag([-1.0, 1])), (stamp.T, np.array([[0.0, 1], [1, 0]])),
                        (stamp[::-1, ::-1], -np.eye(2))):
        again = render_stamp(moved, centre, middle, affine @ back, back @ kernel @ back.T, NATIVE, shape)
        assert abs(again - plain).max() < 1e-6 * plain.max()


@given(st.integers(0, 10**6), st.integers(-20, 20), st.integers(-20, 20))
@settings(max_examples=20)
def test_whole_pixels_move_nothing_else(seed, dx, dy):
    (stamp,), (centre,), _, (affine,), (kernel,) = some(1, seed, zoom=(0.1, 0.7))
    plain = render_stamp(stamp, centre, np.array([60.25, 58.5]), affine, kernel, NATIVE, (120, 120))
    moved = render_stamp(stamp, centre, np.array([60.25 + dx, 58.5 + dy]), affine, kernel, NATIVE, (120, 120))
    assert abs(np.roll(moved, (-dy, -dx), axis=(0, 1))[25:95, 25:95] - plain[25:95, 25:95]).max() < 1e-6 * plain.max()


def test_linear():
    (a, b), *where = some(2, seed=4, zoom=(0.4, 0.6))
    first = [w[0] for w in where]
    first[1] = np.array([50.3, 50.4])
    one, two, both = (render_stamp(s, *first, NATIVE, (100, 100)) for s in (a, b, 2 * a - 3 * b))
    assert abs(both - (2 * one - 3 * two)).max() < 1e-5 * abs(both).max()


@pytest.mark.parametrize("kind", ["pixel", "row", "tiny zoom", "needle", "far", "faint", "negative"])
def test_extremes(kind):
    stamp, affine, kernel = np.zeros((40, 40), np.float32), np.eye(2) * 0.5, np.eye(2) * 9.0
    position = np.array([50.2, 50.7])
    stamp[20, 20] = 1
    if kind == "row":
        stamp[20] = 1
    elif kind == "tiny zoom":
        stamp[18:23, 15:25] = 1
        affine, kernel = np.eye(2) * 1e-4, np.eye(2) * 4e8
    elif kind == "needle":
        affine = np.array([[0.8, 0.0], [0.0, 1e-3]])
        kernel = np.linalg.inv(affine) @ (np.eye(2) * 4) @ np.linalg.inv(affine).T
    elif kind == "far":
        position = np.array([1e9, -1e9])
    elif kind == "faint":
        stamp *= np.float32(1e-30)
    elif kind == "negative":
        stamp *= -1
    image = render_stamp(stamp, np.full(2, 20.0), position, affine, kernel, NATIVE, (100, 100))
    assert np.isfinite(image).all()
    if kind == "far":
        assert not image.any()
        return
    total, middle, moments = image_moments(image.astype(float))
    assert total == pytest.approx(stamp.sum(dtype=float), rel=1e-4)
    inner = stamp.astype(float) / stamp.sum(dtype=float)
    _, at, spread = image_moments(inner)
    np.testing.assert_allclose(middle, position + affine @ (at - 20), atol=1e-3)
    np.testing.assert_allclose(moments, affine @ (spread + kernel) @ affine.T, rtol=0.01, atol=0.01)


@given(st.integers(0, 300), st.integers(1, 60), st.integers(0, 300), st.integers(1, 60))
@settings(max_examples=20)
def test_any_window_is_cut_from_the_same_pixels(y0, high, x0, wide):
    (stamp,), (centre,), _, (affine,), (kernel,) = some(1, 3, zoom=(6, 7))
    position = np.array([160.3, 161.1])
    whole = render_stamp(stamp, centre, position, affine, kernel, NATIVE, (360, 360))
    part = render_stamp(stamp, centre, position - [x0, y0], affine, kernel, NATIVE, (high, wide))
    # here the place is another number, so that it is rounded otherwise
    assert abs(part - whole[y0:y0 + high, x0:x0 + wide]).max() < 1e-6 * whole.max()
    plan = plan_patches(stamp[None], centre[None], position[None], affine[None], kernel[None], NATIVE)
    every = patches(stamp[None], plan)
    for key, data in patches(stamp[None], plan, (y0, y0 + high, x0, x0 + wide)).items():
        np.testing.assert_array_equal(data, every[key])


def test_no_source_at_all():
    stamps, *where = some(2)
    plan = plan_patches(stamps, *where, NATIVE)
    assert patches(stamps, plan, (10**5, 10**5 + 9, 10**5, 10**5 + 9)) == {}
    assert patches(stamps[:0], plan[np.zeros(0, int)]) == {}
