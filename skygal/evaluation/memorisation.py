"""Whether generated stamps are copies of training stamps: how near the nearest one is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skygal.evaluation.generated import GeneratedSample
from skygal.evaluation.reference import Reference
from skygal.evaluation.results import Result
from skygal.evaluation.statistics import bootstrap_error, matched_rows

__all__ = ["Closeness", "compare_distances", "measure_closeness", "nearest_distance", "nearest_stamp"]

#: rows of a distance matrix made at once
ROWS_AT_ONCE = 256


def nearest_distance(points: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Euclidean distance of each point to the nearest of others, and which that is.

    Parameters
    ----------
    points, among : array_like
        Shapes (n, d) and (m, d).

    Returns
    -------
    distance, index : `~numpy.ndarray`
        Shape (n,).

    Raises
    ------
    ValueError
        If the shapes do not fit, or ``among`` is empty.
    """
    points, among = np.asarray(points, np.float32), np.asarray(among, np.float32)
    if points.ndim != 2 or among.ndim != 2 or points.shape[1] != among.shape[1] or not len(among):
        raise ValueError(f"points must have shapes (n, d) and (m, d), m of at least 1, got {points.shape} and "
                         f"{among.shape}")
    squares = (among**2).sum(axis=1)
    index = np.concatenate([(squares - 2 * part @ among.T).argmin(axis=1)
                            for part in np.split(points, range(ROWS_AT_ONCE, len(points), ROWS_AT_ONCE))])
    # differences of large squares are not exact enough for copies
    return np.linalg.norm(points - among[index], axis=1), index


def nearest_stamp(stamps: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each stamp is from the nearest of others in any flip, and which that is.

    Parameters
    ----------
    stamps, among : `~numpy.ndarray`
        Shapes (n, ny, nx) and (m, ny, nx), not negative, peak 1, even numbers of rows and columns.

    Returns
    -------
    distance, index : `~numpy.ndarray`
        Shape (n,): the root of the sum of squared differences of square roots, two pixels to one, over
        the root of the sum of the stamp's own brightness.
    """
    def flat(images: np.ndarray) -> np.ndarray:
        n, ny, nx = images.shape
        coarse = images.astype(np.float32).reshape(n, ny // 2, 2, nx // 2, 2).mean(axis=(2, 4))
        return np.sqrt(np.maximum(coarse, 0)).reshape(n, -1)

    others = flat(np.asarray(among))
    best = [nearest_distance(flat(view), others) for view in
            (stamps, stamps[:, ::-1], stamps[:, :, ::-1], stamps[:, ::-1, ::-1])]
    distance = np.stack([found[0] for found in best])
    flip = distance.argmin(axis=0)
    rows = np.arange(len(stamps))
    size = np.linalg.norm(flat(np.asarray(stamps)), axis=1)
    return distance[flip, rows] / np.maximum(size, 1e-12), np.stack([found[1] for found in best])[flip, rows]


@dataclass(frozen=True)
class Closeness:
    """How near one sample of distances is, beside another.

    Attributes
    ----------
    below_1, below_5 : float
        The part of the sample that is nearer than the reference's first and fifth percentile.
    median_ratio : float
        Its median over the reference's.
    """

    below_1: float
    below_5: float
    median_ratio: float


def compare_distances(distance: np.ndarray, reference: np.ndarray) -> Closeness:
    """Compare distances to the nearest training stamp with those of real held-out stamps.

    Raises
    ------
    ValueError
        If a sample is empty.
    """
    if not len(distance) or not len(reference):
        raise ValueError(f"distances must not be empty, got {len(distance)} and {len(reference)} values")
    low, five = np.percentile(reference, [1, 5])
    return Closeness(float((distance < low).mean()), float((distance < five).mean()),
                     float(np.median(distance) / max(float(np.median(reference)), 1e-12)))


def measure_closeness(reference: Reference, sample: GeneratedSample) -> list[Result]:
    """Return how near generated stamps are to the nearest training stamp, beside held-out (test) ones.

    In pixels (in the best flip) as observed and noiseless, and in the features of the judges. For each, the part
    that is nearer than all but 5 % of held-out stamps, and the median distance over theirs; errors by the bootstrap.
    """
    rng, test, train, images = reference.generator("closeness"), reference.test, reference.train, reference.real.images
    rows = matched_rows(sample.label, reference.label[test], rng=rng)
    restored = reference.restored.astype(np.float32)
    space = {"pixels, observed": (nearest_stamp(sample.observed.images[rows], images[train])[0],
                                  nearest_stamp(images[test], images[train])[0]),
             "pixels, noiseless": (nearest_stamp(sample.images[rows], restored[train])[0],
                                   nearest_stamp(restored[test], restored[train])[0]),
             "judge features": _feature_distances(reference, sample.observed.images[rows])}
    out = []
    for group, (mine, held) in space.items():
        near = compare_distances(mine, held)

        def error(name: str, mine: np.ndarray = mine, held: np.ndarray = held) -> float:
            return bootstrap_error(lambda a, b: getattr(compare_distances(a, b), name), mine, held, rng=rng,
                                   n_boot=reference.effort.n_boot)

        below = error("below_5")
        out.append(Result("nearer to a training stamp than 95 % of held-out", group, near.below_5, below, 0.05, np.nan,
                          "no more than real", bool(near.below_5 <= 0.05 + 2 * below)))
        out.append(Result("median distance to the nearest training stamp, over held-out's", group, near.median_ratio,
                          error("median_ratio"), 1.0, np.nan))
    return out


def _feature_distances(reference: Reference, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distances to the nearest training stamp, of generated and of test stamps, in features of their judges."""
    test, train = reference.test, reference.train
    fold = reference.judge.deal(len(stamps))
    generated, real = np.zeros(len(stamps)), np.zeros(len(test))
    for k, nets in enumerate(reference.judge.nets):
        known = nets[0].features(reference.real.images[train])
        # features of different judges have different scales
        size = known.std() + 1e-12
        for distance, part, which in ((generated, stamps, fold == k),
                                      (real, reference.real.images[test], reference.fold[test] == k)):
            if which.any():
                distance[which] = nearest_distance(nets[0].features(part[which]), known)[0] / size
    return generated, real
