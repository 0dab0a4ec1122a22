"""Measures that judges of class take: inception score, class fidelity, Frechet distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from skygal.evaluation.bench import CLASSES, Bench
from skygal.evaluation.frechet import frechet_distance
from skygal.evaluation.observed import observe_stamps_as_frdeep
from skygal.evaluation.ramis import ramis
from skygal.evaluation.resample import bootstrap_error, matched_rows
from skygal.evaluation.rows import Made, Row, accuracy_error

if TYPE_CHECKING:
    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["measure_fidelity", "measure_frechet", "measure_judge", "measure_ramis"]

#: draws of generated and of training stamps over which a Frechet distance is averaged
DRAWS = 20


def _opinions(bench: Bench, made: Made, paper: PaperClassifier | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return each judge's class probabilities of the generated and of the test stamps.

    The paper's judge sees them as it saw its own: at any angle, with all specks.
    """
    test = bench.test
    if "robust judge" not in made.cache:
        made.cache["robust judge"] = (bench.judge.classify(made.seen.images, bench.judge.deal(len(made))),
                                      bench.judge.classify(bench.real.images[test], bench.fold[test]))
    out = {"robust judge": made.cache["robust judge"]}
    if paper is not None:
        if "framed" not in made.cache:
            made.cache["framed"] = observe_stamps_as_frdeep(made.images, made.seen.noise, beam_sigma=bench.beam_sigma,
                                                rng=bench.generator("framed"))
        out["paper's judge"] = (paper.classify(made.cache["framed"]), paper.classify(bench.framed))
    return out


def measure_judge(bench: Bench) -> list[Row]:
    """Return the robust judge's balanced accuracy on held-out (validation and test) stamps that it did not see."""
    held = np.flatnonzero(bench.fold >= 0)
    found = bench.judge.classify(bench.real.images[held], bench.fold[held]).argmax(axis=1)
    right = [found[bench.label[held] == k] == k for k in range(len(CLASSES))]
    error = 0.5 * np.sqrt(sum(accuracy_error(part) ** 2 for part in right))
    return [Row("balanced accuracy of the judge", "held-out", float("nan"), float("nan"),
                float(np.mean([part.mean() for part in right])), float(error))]


def measure_ramis(bench: Bench, made: Made, paper: PaperClassifier | None = None) -> list[Row]:
    """Return the inception score by each judge, of generated and of held-out (test) stamps.

    The generated ones are in the test stamps' mix of classes; errors are by the bootstrap. "At least real" is meant
    within the error of the difference.
    """
    rng, test = bench.generator("ramis"), bench.test
    rows = matched_rows(made.label, bench.label[test], rng=rng)
    out = []
    for group, (generated, held) in _opinions(bench, made, paper).items():
        found = generated[rows], held
        value, real = (ramis(p) for p in found)
        errors = [bootstrap_error(ramis, p, rng=rng, n_boot=bench.effort.n_boot) for p in found]
        out.append(Row("RAMIS", group, value, errors[0], real, errors[1], "at least real",
                       value >= real - math.hypot(*errors)))
    return out


def measure_fidelity(bench: Bench, made: Made, paper: PaperClassifier | None = None) -> list[Row]:
    """Return how often each judge names the class asked for, of generated and of held-out (test) stamps.

    Errors are binomial; "at least real" is meant within the error of the difference. Last, the robust judge's
    opinion of the real training stamps, in the column of generated ones: it has not seen them either, and the model
    has learnt from them.
    """
    test, train, out = bench.test, bench.train, []
    for group, (generated, held) in _opinions(bench, made, paper).items():
        found, real = generated.argmax(axis=1), held.argmax(axis=1)
        for k, name in enumerate(CLASSES):
            one, two = found[made.label == k] == k, real[bench.label[test] == k] == k
            errors = accuracy_error(one), accuracy_error(two)
            out.append(Row(f"class fidelity, {name}", group, float(one.mean()), errors[0], float(two.mean()), errors[1],
                           "at least real", bool(one.mean() >= two.mean() - math.hypot(*errors))))
    if "training fidelity" not in bench.cache:
        bench.cache["training fidelity"] = bench.judge.classify(bench.real.images[train],
                                                                bench.judge.deal(len(train))).argmax(axis=1)
    for k, name in enumerate(CLASSES):
        right = bench.cache["training fidelity"][bench.label[train] == k] == k
        out.append(Row(f"class fidelity of training stamps, {name}", "robust judge", float(right.mean()),
                       accuracy_error(right), out[k].real, out[k].real_error))
    return out


def measure_frechet(bench: Bench, made: Made) -> list[Row]:
    """Return the Frechet distance in judge features to held-out stamps, and over that of real training stamps.

    In each fold it is taken in the features of a judge that did not see it, in units of the features' own scatter
    over training stamps, between as many stamps as the fold has (of validation and test splits), the classes in
    their mix; then averaged over folds, networks and draws. So many are few for 32 features: both columns are too
    high, by about the same. Errors are by the bootstrap over all samples, that of the ratio with the held-out stamps
    in common.
    """
    rng = bench.generator("frechet")
    values, drawn = [], []
    pools = {"generated": (made.seen.images, made.label),
             "real": (bench.real.images[bench.train], bench.label[bench.train])}
    dealt = {name: bench.judge.deal(len(label)) for name, (_, label) in pools.items()}
    for k in range(bench.judge.n_folds):
        rows = np.flatnonzero(bench.fold == k)
        for net in range(len(bench.judge.nets[k])):
            # generated stamps are dealt out to the folds; of training stamps there are too few for that
            mine = {name: np.flatnonzero(dealt[name] == k) if name == "generated" else np.arange(len(label))
                    for name, (_, label) in pools.items()}
            found = {name: bench.judge.nets[k][net].features(images[mine[name]])
                     for name, (images, _) in pools.items()}
            held = bench.judge.nets[k][net].features(bench.real.images[rows])
            scale = np.sqrt(found["real"].var(axis=0).mean()) + 1e-12

            def distance(name: str, among: np.ndarray, found: dict = found, mine: dict = mine, rows: np.ndarray = rows,
                         scale: float = scale) -> float:
                pick = matched_rows(pools[name][1][mine[name]], bench.label[rows], rng=rng)[:len(rows)]
                return frechet_distance(found[name][pick] / scale, among / scale)

            values.append([np.mean([distance(name, held) for _ in range(DRAWS)]) for name in pools])
            again = [held[rng.integers(len(held), size=len(held))] for _ in range(bench.effort.n_boot)]
            drawn.append([[distance(name, some) for name in pools] for some in again])
    generated, real = np.mean(values, axis=0)
    # networks of a fold share its stamps, so their scatter is no error; folds are independent
    spread = np.asarray(drawn).mean(axis=0)
    ratio = spread[:, 0] / spread[:, 1]
    errors = spread.std(axis=0, ddof=1)
    return [Row("Frechet distance", "judge features", float(generated), float(errors[0]), float(real),
                float(errors[1])),
            Row("Frechet distance over that of real", "judge features", float(generated / real),
                float(ratio.std(ddof=1)), 1.0, 0.0, "at most 1.2", bool(generated <= 1.2 * real))]
