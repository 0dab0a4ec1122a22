"""Plans: patches that hold their sources, orders that hold their waves, blocks that tile any window once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import FWHM

from skygal.rendering.plan import FLOOR, PATCH_BLOCK, ladder, plan_patches

NATIVE = np.eye(2) * (3 / FWHM) ** 2


def planned(n, seed, *, zoom=(0.05, 3.0), width=(0.1, 6.0), lit=None):
    rng = np.random.default_rng(seed)
    stamps = np.zeros((n, 30, 44), np.float32)
    for stamp in stamps:
        (y0, y1), (x0, x1) = (np.sort(rng.integers(0, side, 2)) for side in stamp.shape)
        stamp[y0:y1 + 1, x0:x1 + 1] = rng.uniform(0.1, 1, (y1 - y0 + 1, x1 - x0 + 1))
    if lit is not None:
        stamps[:] = lit
    affine = rng.normal(0, 1, (n, 2, 2)) + np.eye(2)
    affine *= (rng.uniform(*zoom, n) / np.sqrt(np.abs(np.linalg.det(affine))))[:, None, None]
    root = rng.normal(0, 1, (n, 2, 2)) * rng.uniform(*width, n)[:, None, None]
    kernel = root @ np.swapaxes(root, 1, 2)
    centre, position = rng.uniform(5, 25, (n, 2)), rng.uniform(-50, 400, (n, 2))
    return stamps, centre, position, affine, kernel, plan_patches(stamps, centre, position, affine, kernel, NATIVE)


@given(st.integers(0, 10**6))
def test_patches_hold_their_sources(seed):
    stamps, centre, position, affine, kernel, plan = planned(6, seed)
    for k in range(6):
        y, x = np.nonzero(stamps[k])
        places = position[k] + (np.stack([x, y], axis=1) - centre[k]) @ affine[k].T
        spread = affine[k] @ kernel[k] @ affine[k].T
        # every pixel, and around it the Gaussian to 4.5 sigma
        around = 4.5 * np.sqrt(np.diagonal(spread))
        corner, size = plan.corner[k], plan.size[k]
        assert (places.min(axis=0) - around >= corner - 1).all()
        assert (places.max(axis=0) + around <= corner + size).all()
        # but not much more, were it not for the parallelogram
        assert (size >= 1).all()


@given(st.integers(0, 10**6))
def test_coefficients_hold_all_that_passes(seed):
    _, _, _, affine, kernel, plan = planned(6, seed)
    for k in range(6):
        axes = [1, 0] if plan.swap[k] else [0, 1]
        beam = kernel[k][np.ix_(axes, axes)] + NATIVE
        f = np.linspace(-0.5, 0.5, 201)
        fu, fv = np.meshgrid(f, f)
        passes = np.exp(-2 * np.pi**2 * (beam[0, 0] * fu**2 + beam[1, 1] * fv**2 + 2 * beam[0, 1] * fu * fv)) > FLOOR
        assert (np.abs(fu[passes]) * plan.period[k, 0] <= plan.order[k, 0] + 1).all()
        assert (np.abs(fv[passes]) * plan.period[k, 1] <= plan.order[k, 1] + 1).all()
        # at a fixed x of the image: u = lean v + ..., so that a wave (fu, fv) is one of fv + lean fu along v
        lean = plan.inverse[k, 0, 1] / plan.inverse[k, 1, 1]
        assert abs(lean) <= max(1.0, np.linalg.cond(affine[k]))
        assert (np.abs(fv + lean * fu)[passes] * plan.period[k, 1] <= plan.sheared[k] + 1).all()


def test_what_is_lit_is_found_to_the_pixel():
    stamp = np.zeros((30, 44), np.float32)
    stamp[7, 40], stamp[21, 3], stamp[12, 12] = 1, -2, np.float32(1e-42)
    *_, plan = planned(3, 0, lit=stamp)
    for k in range(3):
        first, lit = plan.first[k], plan.lit[k]
        if plan.swap[k]:
            first, lit = first[::-1], lit[::-1]
        assert first.tolist() == [3, 7] and lit.tolist() == [38, 15]


def test_an_empty_stamp():
    with pytest.raises(ValueError, match="stamp must have a pixel that is not zero"):
        planned(2, 0, lit=np.zeros((30, 44), np.float32))


def test_plans_come_from_the_source_alone():
    stamps, centre, position, affine, kernel, plan = planned(8, 5)
    for k in (0, 5):
        own = plan_patches(*(a[k:k + 1] for a in (stamps, centre, position, affine, kernel)), NATIVE)
        for name, value in vars(own).items():
            np.testing.assert_array_equal(value[0], getattr(plan, name)[k])


@given(st.lists(st.integers(1, 10**6), min_size=1))
def test_the_ladder_has_few_rungs(numbers):
    found, numbers = ladder(np.array(numbers)), np.array(numbers)
    assert (found >= numbers).all() and (found >= 8).all()
    assert (found < np.maximum(2 * numbers, 9)).all() and (found < 1.5 * numbers + 1)[numbers > 64].all()
    # 2^k, and 1.5 2^k above 64
    mantissa = np.frexp(found)[0]
    assert ((mantissa == 0.5) | ((mantissa == 0.75) & (found > 64))).all()
    assert (ladder(found) == found).all()


@given(st.integers(0, 10**6), st.tuples(st.integers(-300, 900), st.integers(1, 1500)),
       st.tuples(st.integers(-300, 900), st.integers(1, 1500)))
def test_blocks_tile_what_meets_a_window_once(seed, rows, columns):
    *_, plan = planned(4, seed, zoom=(5, 30), width=(1, 4))
    y0, x0 = rows[0], columns[0]
    window = y0, y0 + rows[1], x0, x0 + columns[1]
    blocks = plan.blocks(window)
    assert (blocks.size >= 1).all() and (blocks.size <= PATCH_BLOCK).all()
    for k in range(4):
        own = blocks[blocks.source == k]
        corner, size = plan.corner[k], plan.size[k]
        assert ((own.corner - corner) % PATCH_BLOCK == 0).all()
        assert (own.corner + own.size <= corner + size).all()
        assert len({tuple(c) for c in own.corner.tolist()}) == len(own.source)
        low, high = np.maximum(corner, [x0, y0]), np.minimum(corner + size, [window[3], window[1]])
        meets = np.clip(np.minimum(own.corner + own.size, high) - np.maximum(own.corner, low), 0, None).prod(axis=1)
        assert meets.sum() == np.clip(high - low, 0, None).prod()
        # none is made in vain, but for those that the patch's end has shortened
        assert (meets[(own.size == PATCH_BLOCK).all(axis=1)] > 0).all()
    each = plan.blocks(np.tile(window, (4, 1)))
    np.testing.assert_array_equal(each.corner, blocks.corner)


def test_places_beyond_all_numbers():
    stamps, centre, _, affine, kernel, _ = planned(2, 3)
    plan = plan_patches(stamps, centre, np.array([[1e300, 0], [-1e300, 1e25]]), affine, kernel, NATIVE)
    assert plan.blocks((0, 1000, 0, 1000)).source.size == 0
