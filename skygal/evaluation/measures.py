"""Each measure of an evaluation: generated stamps against held-out real ones, beside real training stamps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.evaluation.bench import CLASSES, Bench
from skygal.evaluation.frechet import frechet_distance
from skygal.evaluation.neighbours import compare_distances, nearest_distance, nearest_stamp
from skygal.evaluation.observe import Observed
from skygal.evaluation.ramis import ramis
from skygal.evaluation.resample import bootstrap_error, matched_rows
from skygal.evaluation.shapes import STATISTICS, compare_samples, shape_statistics
from skygal.evaluation.two_sample import balanced_accuracy, train_and_test, two_sample_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["MEASURES", "Made", "Row", "measure_closeness", "measure_fidelity", "measure_frechet", "measure_pipeline",
           "measure_ramis", "measure_shapes", "measure_transfer", "measure_two_sample"]

#: p-values from here on say that two samples may be of one kind
LEAST_P = 0.05


@dataclass(frozen=True)
class Made:
    """Generated stamps, noiseless and observed.

    Attributes
    ----------
    images : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless.
    seen : Observed
        The same, observed.
    label : `~numpy.ndarray` of int
        Shape (n,), index of the class asked for.
    """

    images: np.ndarray
    seen: Observed
    label: np.ndarray


@dataclass(frozen=True)
class Row:
    """One figure of an evaluation.

    Attributes
    ----------
    measure, group : str
        What is measured, and on which classes or by which judge.
    generated, generated_error : float
        Generated stamps against held-out real ones.
    real, real_error : float
        The same measure for real stamps: training against held-out ones, or held-out ones alone.
    target : str
        What is asked for; empty where nothing is.
    met : bool or None
        Whether it is met; None where nothing is asked for.
    """

    measure: str
    group: str
    generated: float
    generated_error: float
    real: float
    real_error: float
    target: str = ""
    met: bool | None = None


def _accuracy_error(right: np.ndarray) -> float:
    return float(np.sqrt(right.mean() * (1 - right.mean()) / max(len(right), 1)))


def measure_ramis(bench: Bench, made: Made, paper: PaperClassifier | None = None) -> list[Row]:
    """Return the inception score by each judge, generated and held-out (test) stamps, classes in the latter's mix."""
    rng = bench.generator("ramis")
    rows, test = matched_rows(made.label, bench.label[bench.test], rng=rng), bench.test
    images = made.seen.images[rows]
    judged = {"robust judge": (bench.judge.classify(images, bench.judge.deal(len(rows))),
                               bench.judge.classify(bench.real.images[test], bench.fold[test]))}
    if paper is not None:
        judged["paper's judge"] = (paper.classify(images), paper.classify(bench.real.images[test]))
    out = []
    for group, (generated, real) in judged.items():
        value, limit = ramis(generated), ramis(real)
        errors = [bootstrap_error(ramis, p, rng=rng, n_boot=bench.effort.n_boot) for p in (generated, real)]
        out.append(Row("RAMIS", group, value, errors[0], limit, errors[1], "at least real",
                       value >= limit - float(np.hypot(*errors))))
    return out


def measure_fidelity(bench: Bench, made: Made, paper: PaperClassifier | None = None) -> list[Row]:
    """Return how often each judge names the class asked for, generated and held-out (test) stamps."""
    test, out = bench.test, []
    judges: dict[str, Callable] = {"robust judge": bench.judge.classify}
    if paper is not None:
        judges["paper's judge"] = lambda images, fold: paper.classify(images)
    for group, judge in judges.items():
        found = judge(made.seen.images, bench.judge.deal(len(made.label))).argmax(axis=1)
        real = judge(bench.real.images[test], bench.fold[test]).argmax(axis=1)
        for k, name in enumerate(CLASSES):
            one, two = found[made.label == k] == k, real[bench.label[test] == k] == k
            errors = _accuracy_error(one), _accuracy_error(two)
            out.append(Row(f"class fidelity, {name}", group, float(one.mean()), errors[0], float(two.mean()), errors[1],
                           "at least real", bool(one.mean() >= two.mean() - np.hypot(*errors))))
    return out


def measure_frechet(bench: Bench, made: Made, *, repeats: int = 20) -> list[Row]:
    """Return the Frechet distance in judge features to held-out (test) stamps.

    It is taken in each fold, in the features of the judge that did not see the fold, between as many stamps as the
    fold has, the classes in its mix, and averaged over folds and draws; so is that of real training stamps.
    """
    rng, values = bench.generator("frechet"), {"generated": [], "real": []}
    sources = {"generated": (made.seen.images, made.label), "real": (bench.real.images[bench.train],
                                                                     bench.label[bench.train])}
    draws: dict[str, list[list[float]]] = {name: [] for name in values}
    errors: dict[str, list[float]] = {name: [] for name in values}
    for k in range(bench.judge.n_folds):
        rows = bench.test[bench.fold[bench.test] == k]
        if len(rows) < 4:
            continue
        held = bench.judge.features(bench.real.images[rows], np.full(len(rows), k))
        for name, (images, label) in sources.items():
            features = bench.judge.features(images, np.full(len(images), k))
            drawn = []
            for _ in range(repeats):
                pick = matched_rows(label, bench.label[rows], rng=rng)[:len(rows)]
                drawn.append(frechet_distance(features[pick], held))
            draws[name].append(drawn)
            some = features[matched_rows(label, bench.label[rows], rng=rng)[:len(rows)]]
            errors[name].append(bootstrap_error(frechet_distance, some, held, rng=rng, n_boot=50))
    value = {name: float(np.mean(found)) for name, found in draws.items()}
    error = {name: float(np.sqrt(np.square(found).sum()) / len(found)) for name, found in errors.items()}
    # one part of the error is the held-out stamps', which both share: the ratio's is that over folds
    ratio = [np.mean(a) / np.mean(b) for a, b in zip(draws["generated"], draws["real"], strict=True)]
    return [Row("Frechet distance", "judge features", value["generated"], error["generated"], value["real"],
                error["real"]),
            Row("Frechet distance over real's", "judge features", value["generated"] / value["real"],
                float(np.std(ratio) / np.sqrt(len(ratio))), 1.0, 0.0, "at most 1.2",
                value["generated"] <= 1.2 * value["real"])]


def _told_apart(first: tuple, second: tuple) -> tuple[float, float]:
    """Return balanced accuracy and its error of whether stamps of two samples were told right, (seeds, n) each."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    value = 0.5 * (one.mean() + two.mean())
    # seeds share the stamps: the error is that of the stamps, plus the seeds' scatter
    stamps = 0.5 * np.sqrt(one.mean(axis=0).var() / one.shape[1] + two.mean(axis=0).var() / two.shape[1])
    seeds = (0.5 * (one.mean(axis=1) + two.mean(axis=1))).std() / np.sqrt(len(one))
    return float(value), float(np.hypot(stamps, seeds))


def _halves(made: Made, bench: Bench, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return generated rows to learn from, in the training split's mix and number, and others to test on."""
    rng = bench.generator(name)
    rows = rng.permutation(len(made.label))
    cut = int(len(rows) * len(bench.train) / (len(bench.train) + len(bench.test)))
    first, second = rows[:cut], rows[cut:]
    learn = first[matched_rows(made.label[first], bench.label[bench.train], rng=rng)][:len(bench.train)]
    test = second[matched_rows(made.label[second], bench.label[bench.test], rng=rng)]
    return learn, test


def measure_two_sample(bench: Bench, made: Made) -> list[Row]:
    """Return how well a network tells generated stamps from real ones.

    It learns generated against real training stamps and is tried on new generated and held-out (test) ones. Real
    beside real: training against held-out stamps, learnt on all folds but one and tried on that.
    """
    effort, images = bench.effort, bench.real.images
    learn, test = _halves(made, bench, "two-sample")
    told = two_sample_test(made.seen.images[learn], images[bench.train], made.seen.images[test], images[bench.test],
                           seeds=range(effort.test_seeds), epochs=effort.test_epochs)
    value, error = _told_apart(*told)
    if "two-sample" not in bench.cache:
        rng = bench.generator("two-sample, real")
        fold = rng.integers(bench.judge.n_folds, size=len(bench.train))
        one, two = [], []
        for k in range(bench.judge.n_folds):
            held = bench.fold[bench.test] == k
            found = two_sample_test(images[bench.train[fold != k]], images[bench.test[~held]],
                                    images[bench.train[fold == k]], images[bench.test[held]],
                                    seeds=range(max(1, effort.test_seeds // 2)), epochs=effort.test_epochs)
            one.append(found[0])
            two.append(found[1])
        bench.cache["two-sample"] = _told_apart(np.concatenate(one, axis=1), np.concatenate(two, axis=1))
    return [Row("two-sample accuracy", "all", value, error, *bench.cache["two-sample"], "at most 0.55",
                value <= 0.55)]


def measure_pipeline(bench: Bench) -> list[Row]:
    """Return how well a network tells restored and again observed real stamps from the cutouts themselves.

    What it finds is what restoring and observing give away, whatever the generator: it learns on the training
    split and is tried on the test split.
    """
    from skygal.evaluation.observe import observe_stamps

    if "pipeline" not in bench.cache:
        rng, effort = bench.generator("pipeline"), bench.effort
        again = {name: observe_stamps(bench.restored[rows].astype(np.float32), bench.real.noise[rows],
                                      beam_sigma=bench.beam_sigma, rng=rng).images
                 for name, rows in (("train", bench.train), ("test", bench.test))}
        told = two_sample_test(again["train"], bench.real.images[bench.train], again["test"],
                               bench.real.images[bench.test], seeds=range(effort.test_seeds),
                               epochs=effort.test_epochs)
        bench.cache["pipeline"] = _told_apart(*told)
    return [Row("two-sample accuracy of restored real stamps", "observed again", *bench.cache["pipeline"], 0.5, 0.0)]


def measure_transfer(bench: Bench, made: Made) -> list[Row]:
    """Return the balanced accuracy on held-out (test) stamps of classifiers that learnt from synthetic ones.

    Generated stamps alone, as many as there are real training stamps and in their mix; and real ones with as many
    generated ones beside them, for few real stamps and for all.
    """
    effort, images, label = bench.effort, bench.real.images, bench.label
    learn, _ = _halves(made, bench, "transfer")
    seeds, words = range(effort.transfer_seeds), {"epochs": effort.transfer_epochs}
    new, truth = images[bench.test], label[bench.test]

    def score(predicted: np.ndarray) -> np.ndarray:
        return np.array([balanced_accuracy(row, truth) for row in predicted])

    def error(predicted: np.ndarray) -> float:
        value = np.mean([[(row[truth == k] == k).mean() for k in (0, 1)] for row in predicted], axis=0)
        count = np.bincount(truth, minlength=2)
        stamps = 0.5 * np.sqrt((value * (1 - value) / count).sum())
        return float(np.hypot(stamps, score(predicted).std() / np.sqrt(len(predicted))))

    rng = bench.generator("transfer, few")
    few = bench.train[matched_rows(label[bench.train], label[bench.train], rng=rng)[:min(effort.few,
                                                                                      len(bench.train))]]
    alone = bench.cache.setdefault("transfer", {
        name: train_and_test(images[rows], label[rows], new, seeds=seeds, epochs=epochs)
        for name, rows, epochs in (("all", bench.train, effort.transfer_epochs),
                                   (f"{len(few)}", few, 3 * effort.transfer_epochs))})
    fake = train_and_test(made.seen.images[learn], made.label[learn], new, seeds=seeds, **words)
    base = alone["all"]
    change = float((score(fake) - score(base)).mean())
    out = [Row("train on synthetic, test on real", "balanced accuracy", float(score(fake).mean()), error(fake),
               float(score(base).mean()), error(base), "within 0.02 of real", change >= -0.02)]
    for name, rows in ((f"{len(few)}", few), ("all", bench.train)):
        n_fake = len(learn)
        stamps = np.concatenate([images[rows], made.seen.images[learn]])
        # the real stamps together weigh as much as the synthetic ones
        weight = np.concatenate([np.full(len(rows), 0.5 / len(rows)), np.full(n_fake, 0.5 / n_fake)])
        both = train_and_test(stamps, np.concatenate([label[rows], made.label[learn]]), new, seeds=seeds,
                              weight=weight * len(weight), **words)
        gain = score(both) - score(alone[name])
        # paired: the same test stamps and seeds
        right = (both == truth).mean(axis=0) - (alone[name] == truth).mean(axis=0)
        spread = float(right.std() / np.sqrt(len(right)))
        least, text = (0.02, "+0.02") if name != "all" else (0.0, "no loss")
        out.append(Row(f"gain of real + synthetic over real alone, {name} real", "balanced accuracy",
                       float(gain.mean()), float(np.hypot(spread, gain.std() / np.sqrt(len(gain)))),
                       float(score(alone[name]).mean()), error(alone[name]), text, bool(gain.mean() >= least)))
    return out


def measure_shapes(bench: Bench, made: Made) -> list[Row]:
    """Return the Kolmogorov-Smirnov p-value of each shape statistic against held-out (test) stamps.

    Generated stamps, pooled in the held-out ones' mix of classes and class by class; beside them real training
    stamps. The error columns hold the statistic itself, the largest difference of the cumulative distributions.
    """
    rng = bench.generator("shapes")
    mine, real = shape_statistics(made.seen.images, beam_fwhm=bench.beam_fwhm), bench.statistics
    test, train, out = bench.test, bench.train, []
    pooled = matched_rows(made.label, bench.label[test], rng=rng)
    pooled_train = train[matched_rows(bench.label[train], bench.label[test], rng=rng)]
    groups: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = [("all", pooled, pooled_train, test)]
    groups += [(name, np.flatnonzero(made.label == k), train[bench.label[train] == k], test[bench.label[test] == k])
               for k, name in enumerate(CLASSES)]
    for name in STATISTICS:
        for group, rows, train_rows, test_rows in groups:
            generated = compare_samples(mine[name][rows], real[name][test_rows])
            beside = compare_samples(real[name][train_rows], real[name][test_rows])
            out.append(Row(f"KS p-value, {name}", group, generated[1], generated[0], beside[1], beside[0], "over 0.05",
                           generated[1] > LEAST_P))
    return out


def measure_closeness(bench: Bench, made: Made) -> list[Row]:
    """Return how near generated stamps are to the nearest training stamp, beside held-out (test) ones.

    In pixels, observed (any flip), in pixels, noiseless, and in the features of the judges.
    """
    rng, test, train = bench.generator("closeness"), bench.test, bench.train
    rows = matched_rows(made.label, bench.label[test], rng=rng)
    space: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    images = bench.real.images
    space["pixels, observed"] = (nearest_stamp(made.seen.images[rows], images[train])[0],
                                 nearest_stamp(images[test], images[train])[0])
    restored = bench.restored.astype(np.float32)
    space["pixels, noiseless"] = (nearest_stamp(made.images[rows], restored[train])[0],
                                  nearest_stamp(restored[test], restored[train])[0])
    fold = bench.judge.deal(len(rows))
    generated, real = np.zeros(len(rows)), np.zeros(len(test))
    for k in range(bench.judge.n_folds):
        here, held = np.flatnonzero(fold == k), np.flatnonzero(bench.fold[test] == k)
        known = bench.judge.features(images[train], np.full(len(train), k))
        # features of different judges have different scales
        size = known.std()
        for distance, part, which in ((generated, made.seen.images[rows], here), (real, images[test], held)):
            if which.size:
                found = bench.judge.features(part[which], np.full(len(which), k))
                distance[which] = nearest_distance(found, known)[0] / size
    space["judge features"] = (generated, real)
    out = []
    for group, (mine, other) in space.items():
        near = compare_distances(mine, other)
        ratio_error = bootstrap_error(lambda a, b: compare_distances(a, b).median_ratio, mine, other, rng=rng,
                                      n_boot=bench.effort.n_boot)
        five_error = bootstrap_error(lambda a, b: compare_distances(a, b).below_5, mine, other, rng=rng,
                                     n_boot=bench.effort.n_boot)
        asked: dict[str, Any] = {}
        if group != "pixels, noiseless":
            asked = {"target": "no more than real", "met": near.below_5 <= 0.05 + 2 * five_error}
        out.append(Row("nearer to a training stamp than 95 % of real", group, near.below_5, five_error, 0.05,
                       float(np.sqrt(0.05 * 0.95 / len(other))), **asked))
        out.append(Row("median distance to the nearest training stamp, over real's", group, near.median_ratio,
                       ratio_error, 1.0, 0.0))
    return out


#: what `skygal.evaluation.evaluate.evaluate_stamps` takes, in the order of its table
MEASURES = ("ramis", "fidelity", "frechet", "two-sample", "pipeline", "transfer", "shapes", "closeness")
