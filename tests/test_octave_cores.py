"""Cores: points of known flux found in maps, in the places of turned views, and drawn on the ridges of sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from skygal.morphology.measure import measure_stamps
from skygal.morphology.octave_cores import ALONG, CORE_LEVELS, CORE_PARTS, FARTHEST, place_core, take_cores
from skygal.morphology.octave_inputs import BEGUN, FRAME
from skygal.morphology.octave_networks import FirstOctaves, Octave
from skygal.morphology.octave_seeing import smooth
from skygal.morphology.octaves import SkyMap, begin_core, begin_skies, draw_next, widen_stamps
from skygal.morphology.point import point_map
from skygal.morphology.views import StampView, view_shapes
from skygal.observation.ellipse import FWHM
from skygal.training.data.atlas import Atlas
from skygal.training.data.cores import find_core, find_maxima
from skygal.training.data.octave_maps import UNSEEN, atlas_maps, core_levels, cut_piece

FRII = (0.0, 1.0)


def double(side, half, wide, bend=0.0):
    """Return two lobes with a bridge, the middle moved up by ``bend``."""
    y, x = np.indices((side, side)) - side // 2
    ridge = bend * (1 - (x / half)**2)
    lobes = sum(np.exp(-0.5 * (((x - at) / wide)**2 + ((y - ridge) / wide)**2)) for at in (-half, half))
    return lobes + 0.1 * np.exp(-0.5 * ((y - ridge) / wide)**2) * (np.abs(x) < half)


@pytest.mark.parametrize(("row", "column"), [(20.0, 30.0), (20.3, 29.6)])
def test_a_point_has_its_flux_and_the_width_of_the_beam(row, column):
    found = point_map((41, 61), row, column, 2.5, 4.0)
    y, x = np.indices(found.shape)
    assert found.sum() == pytest.approx(2.5, rel=1e-6)
    assert (found * y).sum() / 2.5 == pytest.approx(row, abs=1e-6)
    assert (found * x).sum() / 2.5 == pytest.approx(column, abs=1e-6)
    assert np.sqrt((found * (x - column)**2).sum() / 2.5) == pytest.approx(4.0 / FWHM, rel=1e-4)
    # half of the peak is half a FWHM away
    assert point_map((41, 61), 20, 30, 1, 4.0)[20, 32] == pytest.approx(point_map((41, 61), 20, 30, 1, 4.0).max() / 2)


@pytest.mark.parametrize("bend", [0.0, 12.0])
def test_cores_are_near_the_middle_and_on_the_ridge(bend):
    image = double(129, 40.0, 6.0, bend)
    rng, half = np.random.default_rng(0), 46.0
    found = np.array([place_core(image, (64.0, 64.0), half / 1.5, CORE_LEVELS, FRII, rng) for _ in range(400)])
    along = (found[:, 1] - 64) / half
    assert along.std() == pytest.approx(ALONG, rel=0.1) and np.abs(along).max() <= FARTHEST + 1e-9
    np.testing.assert_allclose(found[:, 0], 64 + bend * (1 - ((found[:, 1] - 64) / 40)**2), atol=0.6)


@pytest.mark.parametrize(("flags", "levels"), [
    ((1.0, 0.0), CORE_LEVELS[0]), (FRII, CORE_LEVELS[1]), ((1.0, 1.0), np.mean(CORE_LEVELS, axis=0)),
    ((0.0, 0.0), CORE_LEVELS[0])])
def test_cores_are_as_bright_as_the_quantiles_say(flags, levels):
    rng = np.random.default_rng(1)
    shares = [place_core(double(65, 20.0, 4.0), (32.0, 32.0), 16.0, CORE_LEVELS, flags, rng)[2] for _ in range(4000)]
    ranks = np.linspace(0, 1, len(levels))
    assert np.log(shares).min() >= min(levels) - 1e-9 and np.log(shares).max() <= max(levels) + 1e-9
    np.testing.assert_allclose(np.quantile(np.log(shares), ranks[2:-1]), levels[2:-1], atol=0.2)


def test_places_do_not_jump():
    """Half a pixel further along, the ridge is as much further up, wherever pixels begin."""
    image, half = double(129, 40.0, 6.0, 12.0), 46.0
    rows = [place_core(image, (64.0, 64.0 + shift), half / 1.5, CORE_LEVELS, FRII, np.random.default_rng(3))[:2]
            for shift in np.linspace(0, 2, 81)]
    steps = np.abs(np.diff(rows, axis=0))
    np.testing.assert_allclose(steps[:, 1], 0.025, atol=1e-9)
    assert steps[:, 0].max() < 0.025


def test_a_dark_column_has_its_core_in_the_middle():
    assert place_core(np.zeros((33, 65)), (16.0, 30.0), 13.0, CORE_LEVELS, FRII, np.random.default_rng(0))[0] == 16


@pytest.mark.parametrize("share", [0.004, 0.03])
def test_a_core_that_is_in_a_map_is_found(share):
    beam, wide = 4.0, double(161, 55.0, 9.0)
    image = wide + point_map(wide.shape, 83, 74, share * wide.sum() / (1 - share), beam)
    row, column, found = find_core(image / image.max(), beam)
    assert (row, column) == (83, 74) and found == pytest.approx(share, rel=0.15)
    assert find_core(wide / wide.max(), beam) is None
    # a hotspot far out is none
    assert find_core(wide + point_map(wide.shape, 80, 140, 0.03 * wide.sum(), beam), beam) is None


def test_maxima_of_points_are_fifteen_sixteenths_above_their_ring():
    image = point_map((80, 80), 20, 25, 1.0, 4.0) + point_map((80, 80), 60, 50, 3.0, 4.0)
    tops, contrast = find_maxima(image, 0.0, 4.0)
    np.testing.assert_array_equal(tops, [[20, 25], [60, 50]])
    np.testing.assert_allclose(contrast, 15 / 16, atol=0.005)


def atlas_with_cores(shares):
    """Return doubles of 40 beams across at several angles, with cores of known shares off their middles."""
    y, x = np.indices((201, 201)) - 100.0
    images = []
    for k, share in enumerate(shares):
        angle = 0.7 * k
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        wide = sum(np.exp(-0.5 * (((along - at) / 14)**2 + (across / 10)**2)) for at in (-55, 55))
        core = np.exp(-0.5 * ((along - 6)**2 + (across - 4)**2) * (FWHM / 4)**2)
        images.append(wide + core * (share * wide.sum() / core.sum()))
    n = len(shares)
    return Atlas(np.array(images, np.float32), np.array([f"double {k}" for k in range(n)]), np.full(n, 200), np.ones(n),
                 np.tile([4.0, 4.0, 0.0], (n, 1)), np.full(n, 160.0))


def test_cores_are_where_the_turned_views_show_them():
    shares = [0.05, 0.04, 0.06, 0.05, 0.0]
    atlas = atlas_with_cores(shares)
    found = [core[2] if core else 0 for core in atlas.cores]
    np.testing.assert_allclose(found, np.array(shares) / (1 + np.array(shares)), rtol=0.2)
    rng = np.random.default_rng(0)
    maps = atlas_maps(atlas, np.arange(5), 3, rng)
    assert len(maps) == 15
    for one in maps:
        assert (one.core is None) == (one.source == 4)
        if one.core is None:
            continue
        row, column = (round(2 * at) for at in one.core[:2])
        near = one.fine[row - 4:row + 5, column - 4:column + 5]
        assert np.abs(np.subtract(np.unravel_index(near.argmax(), near.shape), 4)).max() <= 1
        # alone, it is what is above what is around it
        piece = cut_piece(one.fine, one.given, one.middle, one.beams, one.flags, 64, rng, ratio=2, core=one.core)
        y, x = np.unravel_index(piece.core.argmax(), piece.core.shape)
        if piece.core.max() > 0.05 and min(y, x) > 4 and max(y, x) < 123:
            rim = piece.fine[y - 4:y + 5, x - 4:x + 5]
            assert piece.core.max() == pytest.approx(rim.max() - rim[0].mean(), rel=0.35)
        assert cut_piece(one.fine, one.given, one.middle, one.beams, one.flags, 32, rng, ratio=2).core.max() == 0
    levels = core_levels({one.source: one for one in maps}.values())
    assert levels.shape == np.shape(CORE_LEVELS) and np.all(levels[0] == CORE_LEVELS[0])
    assert levels[1, 0] == pytest.approx(np.log(UNSEEN)) and np.exp(levels[1, -1]) == pytest.approx(0.057, rel=0.2)


def test_what_is_drawn_has_a_core():
    torch.manual_seed(0)
    network = FirstOctaves(cores=np.full((2, 9), np.log(0.06))).double().eval()
    side = 33
    image = np.zeros(tuple(2**BEGUN * along for along in FRAME), np.float32)
    image[16:16 + side, 32:32 + side] = double(side, 6.0, 2.0)
    given = SkyMap(image, octave=BEGUN)
    sky = draw_next(network, given, 5.0, FRII, np.random.default_rng(4))
    bare = draw_next(without_cores(network), given, 5.0, FRII, np.random.default_rng(4))
    np.testing.assert_array_equal(sky.image, bare.image)
    # a point in this octave, and in those before and after
    shown = replace(given, core=(FRAME[0] + 1, FRAME[1] - 2, 0.2 * float(image.sum())))
    other = draw_next(network, shown, 5.0, FRII, np.random.default_rng(4))
    np.testing.assert_array_equal(other.image, sky.image)
    place = 4 * (FRAME[0] + 1), 4 * (FRAME[1] - 2)
    assert other.core == pytest.approx((*place, 0.2 * other.image.sum()), rel=1e-3)
    later = draw_next(Octave().double().eval(), sky, 5.0, FRII, np.random.default_rng(5))
    for one in (sky, sky.smoothed(), sky.smoothed().smoothed(), sky.lit(), later):
        core = one.whole() - one.image
        assert core.sum() / one.image.sum(dtype=float) == pytest.approx(0.06, rel=2e-3)
        row, column = (at - first for at, first in zip(one.core, one.first, strict=False))
        np.testing.assert_allclose(core, point_map(core.shape, row, column, core.sum(), 3.0), atol=1e-3 * core.max())
        assert (row - one.middle[0], column - one.middle[1]) == pytest.approx(
            2.0**(one.octave - 3) * np.subtract((sky.core[0] - sky.first[0], sky.core[1] - sky.first[1]), sky.middle))
    np.testing.assert_allclose(sky.smoothed().whole(), smooth(torch.from_numpy(sky.whole())[None, None])[0, 0].numpy(),
                               atol=1e-4 * sky.image.max())


@pytest.mark.parametrize(("row", "column"), [(40, 60), (40.3, 62.6)])
def test_a_core_that_a_stamp_shows_is_taken_out_of_it(row, column):
    """Of it, as much as its rank among sources of its class says."""
    wide = double(121, 40.0, 6.0)[20:101]
    stamps = (wide + point_map(wide.shape, row, column, 0.05 * wide.sum(), 3.0)).astype(np.float32)[None]
    whole = float(stamps.sum(dtype=float))
    for flags, rank, part in ((FRII, 1.0, 1.0), ((1.0, 0.0), 1.0, 0.9), ((1.0, 1.0), 1.0, 0.95), (FRII, 0.0, 0.0),
                              ((1.0, 0.0), 0.5, CORE_PARTS[0][4]), (FRII, 0.25, CORE_PARTS[1][2])):
        bare, place, flux = take_cores(stamps, [flags], np.array([rank]), fwhm=3.0)
        np.testing.assert_allclose(place[0], [column, row], atol=0.1)
        assert flux[0] == pytest.approx(part * 0.05 * wide.sum(), rel=0.1, abs=1e-9)
        assert bare.dtype == np.float32 and bare.sum(dtype=float) + flux[0] == pytest.approx(whole, rel=1e-4)
        rest = wide + point_map(wide.shape, row, column, 0.05 * (1 - part) * wide.sum(), 3.0)
        assert np.abs(bare[0] - rest).max() < 0.1 * (stamps.max() - wide[int(row), int(column)])
    # where there is none, the stamp stays as it is
    bare, _, flux = take_cores(wide[None].astype(np.float32), [FRII], np.array([1.0]), fwhm=3.0)
    np.testing.assert_array_equal(bare[0], wide.astype(np.float32))
    assert flux[0] == 0


@pytest.mark.parametrize("axes", [(False, False), (True, False), (False, True), (True, True)])
def test_what_octaves_begin_with_has_the_stamp_s_core_in_its_place(axes):
    rng, fwhm = np.random.default_rng(2), 3.0
    wide = double(145, 25.0, 6.0)[32:113]
    stamp = (wide + point_map(wide.shape, 43.4, 68.7, 0.1 * wide.sum(), fwhm)).astype(np.float32)[None]
    centre, keys = np.array([[71.3, 40.6]]), rng.integers(2**62, size=20)
    seen = widen_stamps(stamp, centre, fwhm, 3.0, np.array([axes]), octave=BEGUN)[0]
    shares = []
    for key in keys:
        sky, = begin_skies(stamp, centre, np.array(["FRII"]), np.array([key]), fwhm, 3.0, np.array([axes]))
        assert np.abs(sky.whole() - seen).max() < 2e-3 * seen.max()
        row, column, share = begin_core(sky.lit(), 5.0, np.full((2, 9), -60.0), FRII, rng)
        if sky.core[2]:
            at = np.array([43.4 - 40.6, 68.7 - 71.3]) / 3 * 2 * np.where(axes, -1, 1)
            np.testing.assert_allclose((row, column), np.add(at, sky.lit().middle), atol=0.05)
        shares.append(share)
    # of all of it, most of its flux to nothing
    assert 0.08 < max(shares) < 0.11 and min(shares) < 0.01


def test_a_bright_core_leaves_the_source_its_size():
    """It outshines all else in a sharp view, and is found as far from the middle as in a coarse one."""
    stamp = double(129, 40.0, 6.0)[None]
    shapes = measure_stamps(stamp, beam_fwhm=3.0)[0]
    for pixels, share in ((1.5, 0.1), (1.5, 1e-3), (4.0, 0.1)):
        wide = double(round(64.5 * pixels) * 2 + 1, 40.0 * pixels, 6.0 * pixels)
        middle = len(wide) // 2
        sharp = wide + point_map(wide.shape, middle, middle + 10 * pixels, share * wide.sum(), 3.0)
        found = view_shapes(StampView(slice(0, 1), (sharp / sharp.sum())[None], pixels), shapes)
        assert found.las[0] == pytest.approx(shapes.las[0] * pixels)
        if share > 0.01:
            assert found.core_frac[0] == pytest.approx(share / (1 + share), rel=0.05)
            assert found.core[0, 0] == pytest.approx(middle + 10 * pixels, abs=0.1)


def without_cores(network):
    """Return the same network, whose cores are nothing."""
    other = FirstOctaves(cores=np.full((2, 9), -60.0)).double().eval()
    other.load_state_dict({key: value for key, value in network.state_dict().items() if key != "cores"}, strict=False)
    return other
