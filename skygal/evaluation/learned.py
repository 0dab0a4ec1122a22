"""Measures by networks that learn from the stamps: two-sample tests and transfer from synthetic to real."""

from __future__ import annotations

import numpy as np

from skygal.evaluation.bench import Bench
from skygal.evaluation.observed import observe_stamps
from skygal.evaluation.resample import bootstrap_error, matched_rows
from skygal.evaluation.rows import Made, Row, hold_out
from skygal.evaluation.two_sample import (
    balanced_accuracy,
    told_accuracy,
    told_area,
    train_and_test,
    two_sample_test,
)

__all__ = ["measure_pipeline", "measure_transfer", "measure_two_sample"]

#: how many times the epochs of a training on few stamps are those of one on many
FEW_EPOCHS = 5


def _learn_and_test(made: Made, bench: Bench, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return generated rows to learn from, as many as the training split and in its mix, and others to test on."""
    rng = bench.generator(name)
    first, second = hold_out(len(made), len(bench.train) / (len(bench.train) + len(bench.test)), rng)
    learn = first[matched_rows(made.label[first], bench.label[bench.train], rng=rng)][:len(bench.train)]
    return learn, second[matched_rows(made.label[second], bench.label[bench.test], rng=rng)]


def _told(bench: Bench, first: np.ndarray, second: np.ndarray) -> list[tuple[float, float]]:
    """Return accuracy and area of a two-sample test's probabilities, each with its error from the stamps."""
    rng = bench.generator("two-sample errors")
    return [(measure(first, second), bootstrap_error(measure, first, second, rng=rng, n_boot=bench.effort.n_boot))
            for measure in (told_accuracy, told_area)]


def measure_two_sample(bench: Bench, made: Made) -> list[Row]:
    """Return how well networks tell generated stamps from real ones.

    They learn from generated and real training stamps and are tried on new generated and held-out (test) ones. Beside
    it, training against held-out real stamps: learnt on all folds but one, tried on that one.
    """
    effort, images = bench.effort, bench.real.images
    learn, test = _learn_and_test(made, bench, "two-sample")
    told = _told(bench, *two_sample_test(
        made.seen.images[learn], images[bench.train], made.seen.images[test], images[bench.test],
        seeds=range(effort.test_seeds), epochs=effort.test_epochs))
    if "two-sample" not in bench.cache:
        fold = bench.generator("two-sample, real").integers(bench.judge.n_folds, size=len(bench.train))
        parts = []
        for k in range(bench.judge.n_folds):
            held = bench.fold[bench.test] == k
            parts.append(two_sample_test(images[bench.train[fold != k]], images[bench.test[~held]],
                                         images[bench.train[fold == k]], images[bench.test[held]],
                                         seeds=[k], epochs=effort.test_epochs))
        bench.cache["two-sample"] = _told(bench, *(np.concatenate(side) for side in zip(*parts, strict=True)))
    (accuracy, accuracy_error), (area, area_error) = told
    real, real_area = bench.cache["two-sample"]
    return [Row("two-sample accuracy", "all", accuracy, accuracy_error, real[0], real[1], "at most 0.55",
                accuracy <= 0.55),
            Row("two-sample area under the curve", "all", area, area_error, real_area[0], real_area[1])]


def measure_pipeline(bench: Bench) -> list[Row]:
    """Return how well networks tell real stamps, restored and observed again, from their own cutouts.

    What they find is what restoring and observing give away, whatever the generator. They learn on the training
    split and are tried on the test split; the figure is in the column of generated stamps.
    """
    if "pipeline" not in bench.cache:
        rng, effort = bench.generator("pipeline"), bench.effort
        again = [observe_stamps(bench.restored[rows].astype(np.float32), bench.real.noise[rows],
                                beam_sigma=bench.beam_sigma, rng=rng, sized=bench.real.sized[rows]).images
                 for rows in (bench.train, bench.test)]
        bench.cache["pipeline"] = _told(bench, *two_sample_test(
            again[0], bench.real.images[bench.train], again[1], bench.real.images[bench.test],
            seeds=range(effort.test_seeds), epochs=effort.test_epochs))
    return [Row(f"two-sample {name} of real stamps observed again", "all", value, error, 0.5, np.nan)
            for name, (value, error) in zip(("accuracy", "area"), bench.cache["pipeline"], strict=True)]


def measure_transfer(bench: Bench, made: Made) -> list[Row]:
    """Return balanced accuracies on held-out (test) stamps of classifiers that learnt from synthetic ones.

    First from generated stamps alone, as many as there are real training stamps and in their mix. Then the gain of
    as many beside few real stamps (others for each seed), and beside all of them, over the real ones alone, each stamp
    counting the same. Gains are paired by seed and by test stamp.
    """
    effort, images, label = bench.effort, bench.real.images, bench.label
    learn, _ = _learn_and_test(made, bench, "transfer")
    fake, fake_label = made.seen.images[learn], made.label[learn]
    new, truth = images[bench.test], label[bench.test]
    n_few = min(effort.few, len(bench.train))
    rng = bench.generator("transfer, few")
    few = [bench.train[matched_rows(label[bench.train], label[bench.train], rng=rng)[:n_few]]
           for _ in range(effort.transfer_seeds)]
    sets = {f"{n_few}": few, "all": [bench.train] * effort.transfer_seeds}

    def train(seed: int, rows: np.ndarray, epochs: int, *, add: bool = False) -> np.ndarray:
        stamps, names = images[rows], label[rows]
        if add:
            stamps, names = np.concatenate([stamps, fake]), np.concatenate([names, fake_label])
        return train_and_test(stamps, names, new, seeds=[seed], epochs=epochs)[0]

    if "transfer" not in bench.cache:
        bench.cache["transfer"] = {
            # few stamps make few steps of an epoch
            name: np.stack([train(seed, rows, effort.transfer_epochs * (1 if name == "all" else FEW_EPOCHS))
                            for seed, rows in enumerate(parts)]) for name, parts in sets.items()}
    alone = bench.cache["transfer"]
    synthetic = train_and_test(fake, fake_label, new, seeds=range(effort.transfer_seeds),
                               epochs=effort.transfer_epochs)
    change = float(_score(synthetic, truth).mean() - _score(alone["all"], truth).mean())
    out = [Row("train on synthetic, test on real", "balanced accuracy", *_mean_and_error(synthetic, truth),
               *_mean_and_error(alone["all"], truth), "within 0.02 of real", change >= -0.02)]
    for name, parts in sets.items():
        both = np.stack([train(seed, rows, effort.transfer_epochs, add=True) for seed, rows in enumerate(parts)])
        gain = _score(both, truth) - _score(alone[name], truth)
        better = (both == truth).mean(axis=0) - (alone[name] == truth).mean(axis=0)
        error = float(np.hypot(_spread(better, truth), gain.std() / np.sqrt(len(gain))))
        least, text = (0.0, "no loss") if name == "all" else (0.02, "at least 0.02")
        out.append(Row(f"gain of real + synthetic over real alone, {name} real stamps", "balanced accuracy",
                       float(gain.mean()), error, *_mean_and_error(alone[name], truth), text,
                       bool(gain.mean() >= least)))
    return out


def _score(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the balanced accuracy of each seed's predictions (seeds, n)."""
    return np.array([balanced_accuracy(row, truth) for row in predicted])


def _spread(right: np.ndarray, truth: np.ndarray) -> float:
    """Return the standard error, from the stamps, of the mean of two classes' means."""
    return float(0.5 * np.sqrt(sum(right[truth == k].var() / (truth == k).sum() for k in (0, 1))))


def _mean_and_error(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the balanced accuracy over seeds, and its error from stamps and seeds."""
    score = _score(predicted, truth)
    stamps = _spread((predicted == truth).mean(axis=0), truth)
    return float(score.mean()), float(np.hypot(stamps, score.std() / np.sqrt(len(score))))
