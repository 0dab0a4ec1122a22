"""What networks learn from the stamps: two-sample tests, and transfer from synthetic to real."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skygal.evaluation.generated import GeneratedSample, sample_as_frdeep
from skygal.evaluation.observed import observe_stamps, show_otherwise
from skygal.evaluation.patches import learn_to_tell, told_middle, told_second
from skygal.evaluation.reference import Reference
from skygal.evaluation.results import Result
from skygal.evaluation.statistics import bootstrap_error, hold_out, matched_rows
from skygal.morphology.measure import largest_size
from skygal.training.stamp_classifier import train_classifier

__all__ = ["balanced_accuracy", "measure_otherwise", "measure_pipeline", "measure_transfer", "measure_two_sample",
           "told_accuracy", "told_area", "train_and_test", "two_sample_test"]

#: how many times the epochs of a training on few stamps are those of one on many
FEW_EPOCHS = 5


def balanced_accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    """Return the mean over classes of the part of each that is named right.

    Raises
    ------
    ValueError
        If there is nothing to judge.
    """
    predicted, label = np.asarray(predicted), np.asarray(label)
    if not label.size or predicted.shape != label.shape:
        raise ValueError(f"predicted must have the shape of label, not empty, got {predicted.shape} and {label.shape}")
    return float(np.mean([(predicted[label == k] == k).mean() for k in np.unique(label)]))


def two_sample_test(first: np.ndarray, second: np.ndarray, new_first: np.ndarray, new_second: np.ndarray, *,
                    seeds: Sequence[int], epochs: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Train networks to tell two samples apart, and try them on new stamps of both.

    Parameters
    ----------
    first, second : `~numpy.ndarray`
        Shapes (n, ny, nx) and (m, ny, nx): what the networks learn from; both weigh the same.
    new_first, new_second : `~numpy.ndarray`
        What they are tried on.
    seeds : sequence of int
        One network each.
    epochs : int
        Of each network. With few the networks call everything the same, and the test says nothing.

    Returns
    -------
    `~numpy.ndarray`, `~numpy.ndarray`
        The probability, mean of the networks', of being of the second sample: for each of ``new_first`` and of
        ``new_second``. See `told_accuracy` and `told_area` (Lopez-Paz & Oquab 2017, 2016arXiv161006545L).
    """
    label = np.repeat([0, 1], [len(first), len(second)])
    stamps = np.concatenate([first, second])
    nets = [train_classifier(stamps, label, seed=seed, epochs=epochs, learning_rate=1e-3) for seed in seeds]
    one, two = (np.mean([net.classify(new)[:, 1] for net in nets], axis=0) for new in (new_first, new_second))
    return one, two


def told_accuracy(first: np.ndarray, second: np.ndarray) -> float:
    """Return the balanced accuracy at a probability of one half: 0.5 where two samples cannot be told apart."""
    return float(0.5 * ((first < 0.5).mean() + (second >= 0.5).mean()))


def told_area(first: np.ndarray, second: np.ndarray) -> float:
    """Return the area under the curve of right against wrong alarms at any threshold.

    It is the chance that a stamp of the second sample has the higher probability of the two (ties count half): 0.5
    where samples cannot be told apart, also where a threshold of one half is off.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([first, second]))[len(first):]
    n, m = len(first), len(second)
    return float((ranks.sum() - m * (m + 1) / 2) / (n * m))


def train_and_test(stamps: np.ndarray, label: np.ndarray, new_stamps: np.ndarray, *, seeds: Sequence[int],
                   epochs: int = 15) -> np.ndarray:
    """Train classifiers of FR class on some stamps and let them name others.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx).
    label : array_like of int
        Shape (n,), 0 or 1.
    new_stamps : `~numpy.ndarray`
        Shape (m, ny, nx).
    seeds : sequence of int
        One network each.
    epochs : int
        Of each network.

    Returns
    -------
    `~numpy.ndarray` of int
        Shape (seeds, m), the class each names.
    """
    nets = [train_classifier(stamps, label, seed=seed, epochs=epochs, zoom=0.1) for seed in seeds]
    return np.stack([net.classify(new_stamps).argmax(axis=1) for net in nets])


def _learn_and_test(sample: GeneratedSample, reference: Reference, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return generated rows to learn from, as many as the training split and in its mix, and others to test on."""
    rng = reference.generator(name)
    first, second = hold_out(len(sample), len(reference.train) / (len(reference.train) + len(reference.test)), rng)
    learn = first[matched_rows(sample.label[first], reference.label[reference.train], rng=rng)][:len(reference.train)]
    return learn, second[matched_rows(sample.label[second], reference.label[reference.test], rng=rng)]


def _told(reference: Reference, first: np.ndarray, second: np.ndarray) -> list[tuple[float, float]]:
    """Return accuracy and area of a two-sample test's probabilities, each with its error from the stamps."""
    rng = reference.generator("two-sample errors")
    return [(measure(first, second), bootstrap_error(measure, first, second, rng=rng, n_boot=reference.effort.n_boot))
            for measure in (told_accuracy, told_area)]


def measure_two_sample(reference: Reference, sample: GeneratedSample) -> list[Result]:
    """Return how well networks tell generated stamps from real ones.

    They learn from generated and real training stamps and are tried on new generated and held-out (test) ones. Beside
    it, training against held-out real stamps: learnt on all folds but one, tried on that one.
    """
    effort, images = reference.effort, reference.real.images
    learn, test = _learn_and_test(sample, reference, "two-sample")
    told = _told(reference, *two_sample_test(
        sample.observed.images[learn], images[reference.train], sample.observed.images[test], images[reference.test],
        seeds=range(effort.test_seeds), epochs=effort.test_epochs))
    if "two-sample" not in reference.cache:
        fold = reference.generator("two-sample, real").integers(reference.judge.n_folds, size=len(reference.train))
        parts = []
        for k in range(reference.judge.n_folds):
            held = reference.fold[reference.test] == k
            parts.append(two_sample_test(images[reference.train[fold != k]], images[reference.test[~held]],
                                         images[reference.train[fold == k]], images[reference.test[held]],
                                         seeds=[k], epochs=effort.test_epochs))
        reference.cache["two-sample"] = _told(reference, *(np.concatenate(side) for side in zip(*parts, strict=True)))
    (accuracy, accuracy_error), (area, area_error) = told
    real, real_area = reference.cache["two-sample"]
    return [Result("two-sample accuracy", "all", accuracy, accuracy_error, real[0], real[1], "at most 0.55",
                   accuracy <= 0.55),
            Result("two-sample area under the curve", "all", area, area_error, real_area[0], real_area[1])]


def measure_otherwise(reference: Reference, sample: GeneratedSample) -> list[Result]:
    """Return how well other networks tell generated stamps from real ones that are shown in another way.

    See `skygal.evaluation.observed.show_otherwise`, and `skygal.evaluation.patches.learn_to_tell` for the networks,
    which look at every pixel. They learn from generated and real training stamps and are tried on new generated and
    held-out (test) ones; beside it, half of the real training stamps against the other, tried on halves of the test
    ones.
    """
    effort, train, test = reference.effort, reference.train, reference.test
    learn, tried = _learn_and_test(sample, reference, "otherwise")
    if "otherwise" not in reference.cache:
        reference.cache["otherwise"] = show_otherwise(reference.as_frdeep.astype(np.float32), reference.las)
    real = reference.cache["otherwise"]
    size = np.where(sample.observed.sized, largest_size(sample.images), np.nan)
    made = show_otherwise(sample_as_frdeep(reference, sample), size)

    def told(first: np.ndarray, second: np.ndarray, *new: np.ndarray) -> tuple[float, float]:
        rng = reference.generator("otherwise, networks")
        right = np.zeros((2, effort.test_seeds))
        for seed in range(effort.test_seeds):
            network = learn_to_tell(first, second, rng=rng, seed=seed, epochs=max(1, effort.test_epochs // 3))
            middle = told_middle(network, first, second)
            right[:, seed] = [np.mean(told_second(network, part, middle) == bool(kind))
                              for kind, part in enumerate(new)]
        accuracy = right.mean(axis=1)
        error = np.sqrt(sum(part * (1 - part) / len(of) for part, of in zip(accuracy, new, strict=True))) / 2
        return float(accuracy.mean()), float(error)

    value, error = told(real[train], made[learn], real[test], made[tried])
    if "otherwise, real" not in reference.cache:
        halves = [rows[reference.generator("otherwise, halves").permutation(len(rows))] for rows in (train, test)]
        reference.cache["otherwise, real"] = told(*(real[rows[start::2]] for rows in halves for start in (0, 1)))
    equals, equals_error = reference.cache["otherwise, real"]
    return [Result("two-sample accuracy, shown otherwise, other networks", "all", value, error, equals, equals_error,
                   "at most 0.57", value <= 0.57)]


def measure_pipeline(reference: Reference) -> list[Result]:
    """Return how well networks tell real stamps, restored and observed again, from their own cutouts.

    What they find is what restoring and observing give away, whatever the generator. They learn on the training
    split and are tried on the test split; the figure is in the column of generated stamps.
    """
    if "pipeline" not in reference.cache:
        rng, effort = reference.generator("pipeline"), reference.effort
        again = [observe_stamps(reference.restored[rows].astype(np.float32), reference.real.noise[rows],
                                beam_sigma=reference.beam_sigma, rng=rng, sized=reference.real.sized[rows]).images
                 for rows in (reference.train, reference.test)]
        reference.cache["pipeline"] = _told(reference, *two_sample_test(
            again[0], reference.real.images[reference.train], again[1], reference.real.images[reference.test],
            seeds=range(effort.test_seeds), epochs=effort.test_epochs))
    return [Result(f"two-sample {name} of real stamps observed again", "all", value, error, 0.5, np.nan)
            for name, (value, error) in zip(("accuracy", "area"), reference.cache["pipeline"], strict=True)]


def measure_transfer(reference: Reference, sample: GeneratedSample) -> list[Result]:
    """Return balanced accuracies on held-out (test) stamps of classifiers that learnt from synthetic ones.

    First from generated stamps alone, as many as there are real training stamps and in their mix. Then the gain of
    as many beside few real stamps (others for each seed), and beside all of them, over the real ones alone, each stamp
    counting the same. Gains are paired by seed and by test stamp.
    """
    effort, images, label = reference.effort, reference.real.images, reference.label
    learn, _ = _learn_and_test(sample, reference, "transfer")
    fake, fake_label = sample.observed.images[learn], sample.label[learn]
    new, truth = images[reference.test], label[reference.test]
    n_few = min(effort.few, len(reference.train))
    rng = reference.generator("transfer, few")
    few = [reference.train[matched_rows(label[reference.train], label[reference.train], rng=rng)[:n_few]]
           for _ in range(effort.transfer_seeds)]
    sets = {f"{n_few}": few, "all": [reference.train] * effort.transfer_seeds}

    def train(seed: int, rows: np.ndarray, epochs: int, *, add: bool = False) -> np.ndarray:
        stamps, names = images[rows], label[rows]
        if add:
            stamps, names = np.concatenate([stamps, fake]), np.concatenate([names, fake_label])
        return train_and_test(stamps, names, new, seeds=[seed], epochs=epochs)[0]

    if "transfer" not in reference.cache:
        reference.cache["transfer"] = {
            # few stamps make few steps of an epoch
            name: np.stack([train(seed, rows, effort.transfer_epochs * (1 if name == "all" else FEW_EPOCHS))
                            for seed, rows in enumerate(parts)]) for name, parts in sets.items()}
    alone = reference.cache["transfer"]
    synthetic = train_and_test(fake, fake_label, new, seeds=range(effort.transfer_seeds),
                               epochs=effort.transfer_epochs)
    change = float(_score(synthetic, truth).mean() - _score(alone["all"], truth).mean())
    out = [Result("train on synthetic, test on real", "balanced accuracy", *_mean_and_error(synthetic, truth),
                  *_mean_and_error(alone["all"], truth), "within 0.02 of real", change >= -0.02)]
    for name, parts in sets.items():
        both = np.stack([train(seed, rows, effort.transfer_epochs, add=True) for seed, rows in enumerate(parts)])
        gain = _score(both, truth) - _score(alone[name], truth)
        better = (both == truth).mean(axis=0) - (alone[name] == truth).mean(axis=0)
        error = float(np.hypot(_spread(better, truth), gain.std() / np.sqrt(len(gain))))
        least, text = (0.0, "no loss") if name == "all" else (0.02, "at least 0.02")
        out.append(Result(f"gain of real + synthetic over real alone, {name} real stamps", "balanced accuracy",
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
