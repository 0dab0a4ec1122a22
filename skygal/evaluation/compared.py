"""Measures without a judge: distributions of shape, and nearness to training stamps."""

from __future__ import annotations

import numpy as np

from skygal.evaluation.bench import CLASSES, Bench
from skygal.evaluation.neighbours import compare_distances, nearest_distance, nearest_stamp
from skygal.evaluation.resample import bootstrap_error, matched_rows
from skygal.evaluation.rows import Made, Row
from skygal.evaluation.shapes import STATISTICS, compare_samples, peak_density, shape_statistics

__all__ = ["measure_closeness", "measure_shapes"]

#: p-values above say that two samples may be of one kind
LEAST_P = 0.05
LUMPS = "lumps, noiseless"


def measure_shapes(bench: Bench, made: Made) -> list[Row]:
    """Return the Kolmogorov-Smirnov p-value of each shape statistic against held-out (test) stamps.

    Generated stamps, pooled in the held-out ones' mix of classes and class by class; beside them real training
    stamps. All but the last are measured on observed stamps; that one on noiseless stamps and restored ones, since
    lumps under the noise would be seen where a stamp is used with less. A p-value has no error.
    """
    rng = bench.generator("shapes")
    mine = {**shape_statistics(made.seen.images, beam_fwhm=bench.beam_fwhm), LUMPS: peak_density(made.images)}
    real = {**bench.statistics, LUMPS: peak_density(bench.restored)}
    test, train = bench.test, bench.train
    groups = [("all", matched_rows(made.label, bench.label[test], rng=rng),
               train[matched_rows(bench.label[train], bench.label[test], rng=rng)], test)]
    groups += [(name, np.flatnonzero(made.label == k), train[bench.label[train] == k], test[bench.label[test] == k])
               for k, name in enumerate(CLASSES)]
    out = []
    for name in (*STATISTICS, LUMPS):
        for group, rows, beside, held in groups:
            p = compare_samples(mine[name][rows], real[name][held])[1]
            out.append(Row(f"KS p-value, {name}", group, p, np.nan,
                           compare_samples(real[name][beside], real[name][held])[1], np.nan, "over 0.05", p > LEAST_P))
    return out


def measure_closeness(bench: Bench, made: Made) -> list[Row]:
    """Return how near generated stamps are to the nearest training stamp, beside held-out (test) ones.

    In pixels (in the best flip) as observed and noiseless, and in the features of the judges. For each, the part
    that is nearer than all but 5 % of held-out stamps, and the median distance over theirs; errors by the bootstrap.
    """
    rng, test, train, images = bench.generator("closeness"), bench.test, bench.train, bench.real.images
    rows = matched_rows(made.label, bench.label[test], rng=rng)
    restored = bench.restored.astype(np.float32)
    space = {"pixels, observed": (nearest_stamp(made.seen.images[rows], images[train])[0],
                                  nearest_stamp(images[test], images[train])[0]),
             "pixels, noiseless": (nearest_stamp(made.images[rows], restored[train])[0],
                                   nearest_stamp(restored[test], restored[train])[0]),
             "judge features": _feature_distances(bench, made.seen.images[rows])}
    out = []
    for group, (mine, held) in space.items():
        near = compare_distances(mine, held)

        def error(name: str, mine: np.ndarray = mine, held: np.ndarray = held) -> float:
            return bootstrap_error(lambda a, b: getattr(compare_distances(a, b), name), mine, held, rng=rng,
                                   n_boot=bench.effort.n_boot)

        below = error("below_5")
        out.append(Row("nearer to a training stamp than 95 % of held-out", group, near.below_5, below, 0.05, np.nan,
                       "no more than real", bool(near.below_5 <= 0.05 + 2 * below)))
        out.append(Row("median distance to the nearest training stamp, over held-out's", group, near.median_ratio,
                       error("median_ratio"), 1.0, np.nan))
    return out


def _feature_distances(bench: Bench, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distances to the nearest training stamp, of generated and of test stamps, in features of their judges."""
    test, train = bench.test, bench.train
    fold = bench.judge.deal(len(stamps))
    generated, real = np.zeros(len(stamps)), np.zeros(len(test))
    for k, nets in enumerate(bench.judge.nets):
        known = nets[0].features(bench.real.images[train])
        # features of different judges have different scales
        size = known.std() + 1e-12
        for distance, part, which in ((generated, stamps, fold == k),
                                      (real, bench.real.images[test], bench.fold[test] == k)):
            if which.any():
                distance[which] = nearest_distance(nets[0].features(part[which]), known)[0] / size
    return generated, real
