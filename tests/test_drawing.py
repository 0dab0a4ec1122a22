"""Batches of sources: who is drawn, in which order and how much at once; what is measured of them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Blobs
from radio_beam import Beam

from skygal.observation.beam import TargetBeam, native_covariance
from skygal.observation.frame import Frame
from skygal.rendering import drawing
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.measured import FAINTEST, Measured
from skygal.rendering.neighbours import find_neighbours

NATIVE, SHAPE = native_covariance(3.0), (150, 170)
BEAM = TargetBeam.from_beam(Beam(5 * u.arcsec, 4 * u.arcsec, 30 * u.deg), np.diag([-1.0, 1.0]))


def psf_beam():
    y, x = np.mgrid[-20:21, -20:21]
    return TargetBeam.from_psf(np.exp(-(x**2 + 0.7 * y**2) / 5) - 0.02 * np.exp(-((x - 9) ** 2 + y**2) / 9),
                               np.diag([-1.0, 1.0]))


def sources(n, seed=0, zoom=(0.1, 1.0), margin=30):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:36, :40]
    stamps = np.stack([Blobs.random(rng, length=9, width=3).on_grid(x - 19.5, y - 17.5) for _ in range(n)])
    size, turn = rng.uniform(*zoom, n), rng.uniform(0, 6.3, n)
    c, s = np.cos(turn), np.sin(turn)
    affine = size[:, None, None] * np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    place = rng.uniform(-margin, [SHAPE[1] + margin, SHAPE[0] + margin], (n, 2))
    return Stamps(stamps.astype(np.float32), np.tile([19.5, 17.5], (n, 1)), place, affine, rng.uniform(0.1, 1, n))


def pixels(many, beam=BEAM, **options):
    """Return first pixel, what is added and what is seen of each source that is drawn, and who is cut and limited."""
    found, cut, limited = {}, [], []
    stop = 0
    for drawn in draw_stamps(many, beam, NATIVE, SHAPE, **options):
        assert drawn.start == stop
        stop = drawn.stop
        order = []
        for source, corner, data, seen in drawn.in_order():
            order.append(source)
            found[source] = corner, data.copy(), seen.copy()
        assert order == sorted(set(order)) and all(drawn.start <= k < stop for k in order)
        cut.append(drawn.cut)
        limited.append(drawn.limited)
    assert stop == len(many)
    return found, np.concatenate(cut) if cut else np.zeros(0), np.concatenate(limited) if limited else np.zeros(0)


@pytest.mark.parametrize("beam", [BEAM, psf_beam()], ids=["gaussian", "psf"])
def test_runs_do_not_change_a_bit(monkeypatch, beam):
    many = sources(25)
    whole, cut, limited = pixels(many, beam)
    assert sorted(whole) == list(range(25)) and not cut.any()
    monkeypatch.setattr(drawing, "PATCH_PIXELS", 9000)
    runs = list(draw_stamps(many, beam, NATIVE, SHAPE))
    assert len(runs) > 3
    # at most one source more than fits is held
    largest = max(data.size for _, data, _ in whole.values())
    assert max(sum(p.data.size for p in run.patches) for run in runs) < 4 * (9000 + largest)
    again, _, also = pixels(many, beam)
    np.testing.assert_array_equal(also, limited)
    for k, (corner, data, seen) in whole.items():
        assert again[k][0] == corner
        np.testing.assert_array_equal(again[k][1], data)
        np.testing.assert_array_equal(again[k][2], seen)


def test_none_at_all():
    assert pixels(sources(3)[np.zeros(0, int)])[0] == {}


def test_sources_without_a_place_are_left_out():
    many = sources(6)
    many.position[1], many.affine[4] = np.nan, np.nan
    found, cut, limited = pixels(many)
    assert sorted(found) == [0, 2, 3, 5]
    assert not cut[[1, 4]].any() and not limited[[1, 4]].any()
    nowhere = Stamps(many.stamps, many.centre, np.full((6, 2), np.nan), many.affine, many.flux)
    assert pixels(nowhere)[0] == {}


def test_flux_and_boxes():
    many = sources(20)
    box = np.zeros((20, 4), int)
    for drawn in draw_stamps(many, BEAM, NATIVE, SHAPE):
        drawn.boxes(box)
    for k, (corner, data, seen) in pixels(many)[0].items():
        assert data.sum(dtype=float) == pytest.approx(many.flux[k] * BEAM.area * many.stamps[k].sum(), rel=1e-4)
        assert data is not seen and np.array_equal(data, seen)
        assert box[k].tolist() == [corner[1], corner[1] + data.shape[0], corner[0], corner[0] + data.shape[1]]


@pytest.mark.parametrize("beam", [BEAM, psf_beam()], ids=["gaussian", "psf"])
def test_a_window_is_cut_from_the_same_pixels(beam):
    many = sources(30, seed=3)
    whole, _, _ = pixels(many, beam)
    window = (40, 90, 20, 65)
    part, _, _ = pixels(many, beam, window=window)
    assert 0 < len(part) and (beam.psf is not None or len(part) < 30)
    for k, (corner, data, _) in part.items():
        (x, y), all_of_it, _ = whole[k]
        dx, dy = corner[0] - x, corner[1] - y
        np.testing.assert_array_equal(data, all_of_it[dy:dy + data.shape[0], dx:dx + data.shape[1]])
    for k in set(whole) - set(part):
        (x, y), data, _ = whole[k]
        y0, y1, x0, x1 = window
        assert x >= x1 or y >= y1 or x + data.shape[1] <= x0 or y + data.shape[0] <= y0


def test_only_what_is_in_the_image_is_made_of_a_giant(monkeypatch):
    monkeypatch.setattr(drawing, "LARGEST_PATCH", 1000)
    many = sources(2, zoom=(30, 31), margin=-60)
    found, cut, limited = pixels(many)
    assert cut.all() and limited.all()
    assert sum(data.size for _, data, _ in found.values()) < 2 * 1024 * 1024
    measured = Measured(Frame(None, SHAPE, BEAM, None), many.flux, np.zeros(2), np.array([1, 2]))
    canvas = Canvas((0, SHAPE[0], 0, SHAPE[1]), SHAPE, BEAM)
    for drawn in draw_stamps(many, BEAM, NATIVE, SHAPE):
        measured.add(drawn, 0, np.full(2, BEAM.area))
        canvas.add(drawn, measured.limits, np.array([1, 2]))
    np.testing.assert_array_equal(measured.flux, many.flux)
    assert measured.edge.all()
    assert measured.flux_in_image.sum() == pytest.approx(canvas.model().sum(dtype=float) / BEAM.area, rel=1e-5)


def test_a_stamp_of_nothing():
    many = sources(3)
    many.stamps[1] = 0
    with pytest.raises(ValueError, match="stamp must have a pixel that is not zero"):
        pixels(many)


@pytest.mark.parametrize(("field", "index", "value", "message"), [
    ("stamps", (1, 3, 4), np.nan, "stamps must be finite, got nan in stamp 1"),
    ("stamps", (2, 0, 0), np.inf, "stamps must be finite, got inf in stamp 2"),
    ("flux", 2, np.nan, "flux must be finite, got nan of source 2"),
    ("centre", (0, 1), np.inf, "centre must be finite, got inf of source 0"),
    ("affine", 1, [[1.0, 2.0], [2.0, 4.0]], r"affine must be invertible, got \[\[1. 2.\]\n \[2. 4.\]\] of source 1"),
])
def test_bad_sources(field, index, value, message):
    many = sources(3)
    getattr(many, field)[index] = value
    with pytest.raises(ValueError, match=message):
        pixels(many)


@pytest.mark.parametrize(("field", "value", "message"), [
    ("flux", np.ones(2), r"flux must have shape \(3,\), got \(2,\)"),
    ("centre", np.ones((3, 3)), r"centre must have shape \(3, 2\), got \(3, 3\)"),
    ("position", np.ones(3), r"position must have shape \(3, 2\), got \(3,\)"),
    ("affine", np.ones((2, 2)), r"affine must have shape \(3, 2, 2\), got \(2, 2\)"),
    ("stamps", np.ones((3, 9)), r"stamps must have shape \(n, ny, nx\), got \(3, 9\)"),
])
def test_bad_shapes(field, value, message):
    three = sources(3)
    columns = {name: getattr(three, name) for name in ("stamps", "centre", "position", "affine", "flux")}
    with pytest.raises(ValueError, match=message):
        Stamps(**{**columns, field: value})


@given(st.integers(0, 10**6), st.just(0.0) | st.floats(1e-3, 0.4), st.booleans())
@settings(max_examples=25)
def test_measures_against_pixels_one_by_one(seed, rms, blank):
    """Bounding boxes, edges, peaks, fluxes and labels, source by source, on images of one source each."""
    many = sources(7, seed, margin=10)
    valid = None
    if blank:
        valid = np.ones(SHAPE, bool)
        valid[60:80, :100] = False
    n, labels = len(many), np.arange(1, len(many) + 1)
    measured = Measured(Frame(None, SHAPE, BEAM, None, None, valid), many.flux, np.full(n, rms), labels)
    canvas = Canvas((0, SHAPE[0], 0, SHAPE[1]), SHAPE, BEAM, valid)
    for drawn in draw_stamps(many, BEAM, NATIVE, SHAPE):
        measured.add(drawn, 0, np.full(n, BEAM.area))
        canvas.add(drawn, measured.limits, labels)
    pad = 200
    alone = np.zeros((n, SHAPE[0] + 2 * pad, SHAPE[1] + 2 * pad), np.float32)
    for k, ((x, y), _, seen) in pixels(many)[0].items():
        alone[k, y + pad:y + pad + seen.shape[0], x + pad:x + pad + seen.shape[1]] = seen
    counts = np.zeros(alone.shape, bool)
    counts[:, pad:-pad, pad:-pad] = True if valid is None else valid
    lit = alone > measured.limits[:, None, None]
    np.testing.assert_array_equal(measured.peak_flux, np.where(counts, alone, 0).max(axis=(1, 2)))
    largest = alone.max(axis=(1, 2))
    np.testing.assert_allclose(measured.limits, np.minimum(np.maximum(rms, FAINTEST * largest), 0.5 * largest),
                               rtol=1e-6)
    np.testing.assert_array_equal(measured.edge, (lit & ~counts).any(axis=(1, 2)))
    inside = (lit & counts)[:, pad:-pad, pad:-pad]
    for k in range(n):
        y, x = np.nonzero(inside[k])
        assert measured.bbox[k].tolist() == ([x.min(), x.max(), y.min(), y.max()] if x.size else [-1] * 4)
        within = alone[k][counts[k]].sum(dtype=float) / BEAM.area
        assert measured.flux_in_image[k] == pytest.approx(within, rel=1e-6, abs=1e-9)
    bright = np.where(inside, alone[:, pad:-pad, pad:-pad], -np.inf)
    expected = np.where(inside.any(axis=0), labels[bright.argmax(axis=0)], 0)
    np.testing.assert_array_equal(canvas.segmentation, expected)
    seen = np.where(counts, alone, 0)[:, pad:-pad, pad:-pad].astype(float)
    found, everything = find_neighbours([measured.footprints], SHAPE), seen.sum(axis=0)
    for label, blended, share in zip(found.labels, found.blended, found.share, strict=True):
        k, own = label - 1, inside[label - 1]
        neighbour = np.delete(seen, k, axis=0).max(axis=0)[own].max(initial=0)
        matters = rms if rms > 0 else FAINTEST * largest[k]
        # brightness is kept to three digits
        assert blended == (neighbour > matters) or neighbour == pytest.approx(matters, rel=1e-3)
        expected = 1 - seen[k][own].sum() / everything[own].sum() if own.any() else 0
        assert share == pytest.approx(expected, abs=5e-3)
    assert set(labels[inside.any(axis=(1, 2))]) <= set(found.labels)
