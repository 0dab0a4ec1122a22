"""Scores of masks and boxes: IoU and Dice of label images, and average precision of detections with a confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skygal.checks import check_choice, show, show_fields

__all__ = ["MaskScores", "average_precision", "beam_distance", "box_diou", "box_iou", "mask_iou", "score_masks"]

#: pixels of label images that are looked at at once
CHUNK = 2**22
#: thresholds of COCO, and its points of recall
IOU_THRESHOLDS, RECALL_POINTS = np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class MaskScores:
    """How well the labels of one image agree with those of another.

    Attributes
    ----------
    label : ndarray of int, shape (n,)
        Those of truth.
    best : ndarray of int, shape (n,)
        The label found that overlaps each one most, by IoU; 0 for none.
    iou, dice : ndarray, shape (n,)
        Of these two; 0 for none.
    matched : int
        Pairs with an IoU of more than one half, of which each label has one at most.
    found : int
        Labels found.
    quality : float
        Panoptic quality: the sum of the matched pairs' IoU over their number and half of all that are unmatched
        (Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963); NaN where there is nothing in either image.
    """

    label: np.ndarray
    best: np.ndarray
    iou: np.ndarray
    dice: np.ndarray
    matched: int
    found: int
    quality: float

    __repr__ = show_fields


def score_masks(truth: Any, found: Any) -> MaskScores:
    """Compare a label image with the true one.

    Parameters
    ----------
    truth, found : array_like of int, shape (ny, nx)
        0 where there is nothing; they may be mapped from disk, and are read once in blocks of rows.

    Returns
    -------
    MaskScores

    Raises
    ------
    TypeError
        If the labels are no whole numbers.
    ValueError
        If their shapes differ, or a label is negative.
    """
    if tuple(truth.shape) != tuple(found.shape) or len(truth.shape) != 2:
        raise ValueError(f"found must be a label image of shape {tuple(truth.shape)}, got {tuple(found.shape)}")
    pairs, counts = np.empty((0, 2), np.int64), np.empty(0, np.int64)
    step = max(1, CHUNK // max(truth.shape[1], 1))
    for start in range(0, truth.shape[0], step):
        a, b = (_labels(name, image[start:start + step]) for name, image in (("truth", truth), ("found", found)))
        some = (a > 0) | (b > 0)
        here, number = np.unique(np.stack([a[some], b[some]], axis=-1), axis=0, return_counts=True)
        pairs, back = np.unique(np.concatenate([pairs, here]), axis=0, return_inverse=True)
        counts = np.bincount(back.ravel(), np.concatenate([counts, number]), len(pairs)).astype(np.int64)
    true, first = np.unique(pairs[pairs[:, 0] > 0, 0], return_inverse=True)
    other, second = np.unique(pairs[pairs[:, 1] > 0, 1], return_inverse=True)
    true_size = np.bincount(first, counts[pairs[:, 0] > 0], len(true))
    size = np.bincount(second, counts[pairs[:, 1] > 0], len(other))
    both = (pairs > 0).all(axis=1)
    i, j = np.searchsorted(true, pairs[both, 0]), np.searchsorted(other, pairs[both, 1])
    overlap = counts[both].astype(float)
    iou = overlap / (true_size[i] + size[j] - overlap)
    order = np.lexsort((other[j], -iou, i))
    top = order[np.r_[True, i[order][1:] != i[order][:-1]]] if len(order) else order
    best, most, dice = np.zeros(len(true), np.int64), np.zeros(len(true)), np.zeros(len(true))
    best[i[top]], most[i[top]] = other[j[top]], iou[top]
    dice[i[top]] = 2 * overlap[top] / (true_size[i[top]] + size[j[top]])
    matched = iou > 0.5
    n, left = int(matched.sum()), len(true) + len(other)
    quality = float(iou[matched].sum() / (n + (left - 2 * n) / 2)) if left else float("nan")
    return MaskScores(true, best, most, dice, n, len(other), quality)


def _labels(name: str, rows: Any) -> np.ndarray:
    values = np.asarray(rows)
    if values.dtype.kind == "f" and np.array_equal(values, np.rint(np.nan_to_num(values))):
        values = values.astype(np.int64)
    if values.dtype.kind not in "iub":
        raise TypeError(f"{name} must hold whole numbers, got {values.dtype}")
    values = values.astype(np.int64)
    if values.size and values.min() < 0:
        raise ValueError(f"{name} must hold labels from 0, got {values.min()}")
    return values


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union of boxes, shape (n, m).

    Parameters
    ----------
    a, b : array_like, shape (n, 4) and (m, 4)
        Left, top, width, height, of edges of pixels, as COCO has them.
    """
    overlap, areas = _overlap(a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(overlap / (areas - overlap))


def _overlap(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(boxes, float).reshape(-1, 4) for boxes in (a, b))
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=-1)
    return overlap, a[:, None, 2] * a[:, None, 3] + b[None, :, 2] * b[None, :, 3]


def box_diou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return IoU less the squared distance of centres over that of the hull's corners, from -1 to 1, shape (n, m).

    Zheng et al. 2020, doi:10.1609/aaai.v34i07.6999: kinder than IoU to boxes of a few pixels.
    """
    iou = box_iou(a, b)
    a, b = (np.asarray(boxes, float).reshape(-1, 4) for boxes in (a, b))
    apart = ((a[:, None, :2] + a[:, None, 2:] / 2 - b[None, :, :2] - b[None, :, 2:] / 2)**2).sum(axis=-1)
    low = np.minimum(a[:, None, :2], b[None, :, :2])
    high = np.maximum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    hull = ((high - low)**2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return iou - np.nan_to_num(apart / hull)


def mask_iou(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> np.ndarray:
    """Return intersection over union of masks, boolean images of one shape, shape (n, m)."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    flat_a, flat_b = (np.stack([np.asarray(mask, bool).ravel() for mask in masks]).astype(np.float64)
                      for masks in (a, b))
    overlap = flat_a @ flat_b.T
    union = flat_a.sum(axis=1)[:, None] + flat_b.sum(axis=1)[None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def beam_distance(a: np.ndarray, b: np.ndarray, beam: float) -> np.ndarray:
    """Return minus the distance of boxes' centres in beams, so that nearer is more, shape (n, m).

    With thresholds such as -0.5, `average_precision` is at a distance in beams: sources of a few pixels can be found
    well and overlap little.
    """
    a, b = (np.asarray(boxes, float).reshape(-1, 4) for boxes in (a, b))
    apart = a[:, None, :2] + a[:, None, 2:] / 2 - b[None, :, :2] - b[None, :, 2:] / 2
    return -np.linalg.norm(apart, axis=-1) / beam


def average_precision(truth: Any, found: Any, confidence: Any, *, truth_class: Any = None, found_class: Any = None,
                      truth_image: Any = None, found_image: Any = None,
                      likeness: Callable[[Any, Any], np.ndarray] = box_iou,
                      thresholds: Sequence[float] | np.ndarray = IOU_THRESHOLDS, points: str = "coco",
                      most: int | None = 100) -> dict[str, Any]:
    """Return the average precision of detections.

    Parameters
    ----------
    truth, found : sequence
        What ``likeness`` compares: boxes, or masks.
    confidence : array_like, shape (len(found),)
        Larger for detections that are surer.
    truth_class, found_class, truth_image, found_image : array_like, optional
        Class and image of each; by default one.
    likeness : callable
        Of two sequences the matrix of how alike they are; a pair counts from a threshold on. `box_iou`, `box_diou`,
        `mask_iou`, or `beam_distance` with a beam.
    thresholds : sequence of float
        From how alike on; by default 0.5 to 0.95 in steps of 0.05.
    points : "coco" or "all"
        Where precision is averaged: at 101 recalls, as COCO has it, or over all, as VOC has it since 2010.
    most : int, optional
        Detections an image and class that count, the surest; None: all. COCO's is 100.

    Returns
    -------
    dict
        ``ap``: mean over classes and thresholds; ``by_threshold`` (of each the mean over classes), ``by_class`` (name:
        mean over thresholds), and ``recall``, the greatest one at each threshold, mean over classes. NaN without truth.

    Raises
    ------
    ValueError
        If lengths differ, a confidence is not finite, or ``points`` is unknown.

    Notes
    -----
    The rule is COCO's (Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48): detections of an image and class, the surest
    first, each take the most alike true one that is left; precision at a recall is the greatest at that or a larger
    one.
    """
    check_choice("points", points, ("coco", "all"))
    confidence = np.asarray(confidence, float)
    n, m = len(truth), len(found)
    columns = {"truth_class": (truth_class, n), "found_class": (found_class, m), "truth_image": (truth_image, n),
               "found_image": (found_image, m)}
    given = {}
    for name, (values, length) in columns.items():
        given[name] = np.zeros(length, int) if values is None else np.asarray(values)
        if len(given[name]) != length:
            raise ValueError(f"{name} must have one value each of {length}, got {len(given[name])}")
    if confidence.shape != (m,) or not np.isfinite(confidence).all():
        raise ValueError(f"confidence must be {m} finite numbers, got {show(confidence)}")
    classes = np.unique(given["truth_class"])
    table = np.full((len(classes), len(thresholds)), np.nan)
    recall = np.full_like(table, np.nan)
    for k, one in enumerate(classes):
        mine, theirs = given["truth_class"] == one, given["found_class"] == one
        scores, hits = _hits(truth, found, confidence, mine, theirs, given["truth_image"], given["found_image"],
                             likeness, np.asarray(thresholds, float), most)
        for t in range(len(thresholds)):
            table[k, t], recall[k, t] = _area(scores, hits[t], int(mine.sum()), points)
    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if values.size else float("nan")

    return {"ap": mean(table), "by_threshold": {float(f"{t:.6g}"): mean(table[:, k]) for k, t in enumerate(thresholds)},
            "by_class": {str(one): mean(table[k]) for k, one in enumerate(classes)},
            "recall": {float(f"{t:.6g}"): mean(recall[:, k]) for k, t in enumerate(thresholds)}}


def _hits(truth: Any, found: Any, confidence: np.ndarray, mine: np.ndarray, theirs: np.ndarray,
          truth_image: np.ndarray, found_image: np.ndarray, likeness: Callable[[Any, Any], np.ndarray],
          thresholds: np.ndarray, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences of one class's detections, image after image, and which of them are right by threshold."""
    scores, hits = [np.empty(0)], [np.empty((len(thresholds), 0), bool)]
    for image in np.unique(found_image[theirs]):
        rows = np.flatnonzero(theirs & (found_image == image))
        rows = rows[np.argsort(-confidence[rows], kind="stable")][:most]
        there = np.flatnonzero(mine & (truth_image == image))
        scores.append(confidence[rows])
        right = np.zeros((len(thresholds), len(rows)), bool)
        if there.size:
            alike = np.asarray(likeness([found[k] for k in rows], [truth[k] for k in there]))
            for t, least in enumerate(thresholds):
                taken = np.zeros(len(there), bool)
                for r in range(len(rows)):
                    free = np.where(taken, -np.inf, alike[r])
                    # of equal ones the last, as COCO's own program takes it
                    best = len(free) - 1 - int(np.argmax(free[::-1]))
                    if free[best] >= min(least, 1 - 1e-10):
                        taken[best] = right[t, r] = True
        hits.append(right)
    return np.concatenate(scores), np.concatenate(hits, axis=1)


def _area(scores: np.ndarray, right: np.ndarray, n: int, points: str) -> tuple[float, float]:
    """Return the mean of precision over recall, and the greatest recall."""
    if not len(scores):
        return 0.0, 0.0
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    recall, precision = hits / n, hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if points == "coco":
        at = np.searchsorted(recall, RECALL_POINTS, side="left")
        return float(np.append(envelope, 0.0)[at].mean()), float(recall[-1])
    steps = np.diff(np.concatenate([[0.0], recall]))
    return float((steps * envelope).sum()), float(recall[-1])
