"""Masks and boxes: beside what is counted by hand, and beside COCO's own program where that is."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skygal.scoring.masks import (
    average_precision,
    beam_distance,
    box_diou,
    box_iou,
    mask_iou,
    score_masks,
)


def disc(shape, y, x, r):
    yy, xx = np.mgrid[:shape[0], :shape[1]]
    return (yy - y)**2 + (xx - x)**2 <= r**2


def test_labels_against_themselves_and_against_nothing():
    labels = np.zeros((40, 50), np.int32)
    labels[disc(labels.shape, 10, 10, 5)], labels[disc(labels.shape, 25, 35, 8)] = 7, 3
    same = score_masks(labels, labels)
    assert same.label.tolist() == same.best.tolist() == [3, 7]
    assert np.all(same.iou == 1) and np.all(same.dice == 1)
    assert (same.matched, same.found, same.quality) == (2, 2, 1)
    none = score_masks(labels, np.zeros_like(labels))
    assert np.all(none.iou == 0) and np.all(none.best == 0) and none.quality == 0
    assert np.isnan(score_masks(0 * labels, 0 * labels).quality)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_labels_beside_a_loop(seed):
    rng = np.random.default_rng(seed)
    truth, found = (np.kron(rng.integers(0, 4, (5, 6)), np.ones((3, 3), int)) for _ in range(2))
    found = np.roll(found, rng.integers(0, 3), axis=1)
    got = score_masks(truth, found)
    pairs, matched = {}, 0
    for a in range(1, 4):
        for b in range(1, 4):
            x, y = truth == a, found == b
            if (x & y).any():
                pairs[a, b] = (x & y).sum() / (x | y).sum(), 2 * (x & y).sum() / (x.sum() + y.sum())
                matched += pairs[a, b][0] > 0.5
    assert got.label.tolist() == [a for a in range(1, 4) if (truth == a).any()]
    for label, iou, dice in zip(got.label, got.iou, got.dice, strict=True):
        best = max((value for (a, _), value in pairs.items() if a == label), default=(0, 0))
        assert (iou, dice) == pytest.approx(best)
    assert got.matched == matched
    assert got.found == sum((found == b).any() for b in range(1, 4))


def test_blocks_of_rows_are_one_image(monkeypatch):
    rng = np.random.default_rng(1)
    truth, found = rng.integers(0, 9, (2, 64, 30))
    whole = score_masks(truth, found)
    monkeypatch.setattr("skygal.scoring.masks.CHUNK", 90)
    parts = score_masks(truth, found)
    assert np.array_equal(whole.iou, parts.iou) and np.array_equal(whole.best, parts.best)


@pytest.mark.parametrize(("truth", "found", "error"), [
    (np.zeros((3, 3), int), np.zeros((3, 4), int), r"found must be a label image of shape \(3, 3\), got \(3, 4\)"),
    (np.zeros((3, 3), int), -np.ones((3, 3), int), "found must hold labels from 0, got -1"),
    (np.full((3, 3), 0.5), np.zeros((3, 3), int), "truth must hold whole numbers, got float64"),
])
def test_what_are_no_labels(truth, found, error):
    with pytest.raises((TypeError, ValueError), match=error):
        score_masks(truth, found)


def test_boxes():
    a = [[0, 0, 6, 6]]
    # one pixel off in both ways: 25 of 47 pixels
    assert box_iou(a, [[1, 1, 6, 6]])[0, 0] == pytest.approx(25 / 47)
    assert box_iou(a, [[6, 0, 6, 6]])[0, 0] == 0 and box_iou(a, a)[0, 0] == 1
    assert box_iou([[0, 0, 0, 0]], [[0, 0, 0, 0]])[0, 0] == 0
    assert box_diou(a, a)[0, 0] == 1
    assert box_diou(a, [[6, 0, 6, 6]])[0, 0] == pytest.approx(-36 / (144 + 36))
    assert beam_distance(a, [[3, 4, 6, 6]], 2.5)[0, 0] == -2
    masks = [disc((20, 20), 8, 8, 4), disc((20, 20), 10, 8, 4)]
    both = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert np.allclose(mask_iou(masks, masks), [[1, both], [both, 1]])


def test_average_precision_by_hand():
    """Two true boxes; of three detections the first and the third are right."""
    truth = [[0, 0, 10, 10], [50, 50, 10, 10]]
    found = [[0, 0, 10, 10], [20, 20, 10, 10], [50, 50, 10, 10]]
    got = average_precision(truth, found, [0.9, 0.8, 0.7], thresholds=[0.5])
    # precision 1 up to recall 0.5 (51 of 101 points), 2/3 beyond
    assert got["ap"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert average_precision(truth, found, [0.9, 0.8, 0.7], thresholds=[0.5], points="all")["ap"] == pytest.approx(
        0.5 + 0.5 * 2 / 3)
    assert got["recall"] == {0.5: 1.0}
    assert average_precision(truth, [], [])["ap"] == 0 and np.isnan(average_precision([], found, [1, 1, 1])["ap"])
    # the first is 1.13 beams off and the second 0.6: the surer one is wrong
    near = [[4, 4, 10, 10], [50, 53, 10, 10]]
    at = average_precision(truth, near, [1, 1], likeness=lambda a, b: beam_distance(a, b, 5.0), thresholds=[-1, -0.5])
    assert at["by_threshold"] == {-1.0: pytest.approx(51 / 2 / 101), -0.5: 0}


@pytest.mark.parametrize(("given", "error"), [
    ({"confidence": [1.0]}, "confidence must be 2 finite numbers"),
    ({"confidence": [1.0, np.nan]}, "confidence must be 2 finite numbers"),
    ({"confidence": [1.0, 0.5], "found_class": [1]}, "found_class must have one value each of 2, got 1"),
    ({"confidence": [1.0, 0.5], "points": "voc"}, "points must be one of 'coco', 'all', got 'voc'"),
])
def test_what_is_no_detection(given, error):
    with pytest.raises(ValueError, match=error):
        average_precision([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2, **given)


@pytest.mark.parametrize("seed", range(6))
def test_beside_pycocotools(seed):
    coco = pytest.importorskip("pycocotools.coco", reason="needs pip install 'skygal[exports-test]'")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    n, m = 60, 150
    truth = np.column_stack([rng.uniform(0, 80, (n, 2)), rng.uniform(3, 20, (n, 2))])
    some = rng.integers(0, n, m)
    found = truth[some] + rng.normal(0, 1.0, (m, 4))
    found[:, 2:] = np.maximum(found[:, 2:], 1)
    # with ties, and more than a hundred in the first image
    confidence = np.round(rng.random(m), 1 if seed % 2 else 6)
    truth_image, truth_class = rng.integers(1, 4, n), rng.integers(1, 4, n)
    found_image, found_class = truth_image[some], truth_class[some]
    if seed > 3:
        found_image[:], found_class[:] = 1, 1
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {"info": {}, "images": [{"id": k} for k in range(1, 4)],
                         "categories": [{"id": k} for k in range(1, 4)],
                         "annotations": [{"id": k + 1, "image_id": int(truth_image[k]), "iscrowd": 0,
                                          "category_id": int(truth_class[k]), "bbox": truth[k].tolist(),
                                          "area": float(truth[k, 2] * truth[k, 3])} for k in range(n)]}
        known.createIndex()
        results = known.loadRes([{"image_id": int(found_image[k]), "category_id": int(found_class[k]),
                                  "bbox": found[k].tolist(), "score": float(confidence[k])} for k in range(m)])
        run = COCOeval(known, results, "bbox")
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, 2]
    got = average_precision(truth, found, confidence, truth_class=truth_class, found_class=found_class,
                            truth_image=truth_image, found_image=found_image)
    assert got["ap"] == pytest.approx(precision.mean(), abs=1e-9)
    for k, value in enumerate(got["by_threshold"].values()):
        assert value == pytest.approx(precision[k].mean(), abs=1e-9)
    for k in range(3):
        assert got["by_class"][str(k + 1)] == pytest.approx(precision[:, :, k].mean(), abs=1e-9)
