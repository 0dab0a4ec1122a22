"""What judges of class say of generated stamps: inception score, class fidelity, Frechet distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from skygal.evaluation.generated import GeneratedSample, sample_as_frdeep
from skygal.evaluation.ramis import ramis
from skygal.evaluation.reference import CLASSES, Reference
from skygal.evaluation.results import Result
from skygal.evaluation.statistics import accuracy_error, bootstrap_error, matched_rows

if TYPE_CHECKING:
    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["frechet_distance", "measure_fidelity", "measure_frechet", "measure_judge", "measure_ramis"]

#: draws of generated and of training stamps over which a Frechet distance is averaged
DRAWS = 20


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the squared Frechet distance between the Gaussians of two samples.

    Parameters
    ----------
    first, second : array_like
        Shapes (n, d) and (m, d), with at least two rows each.

    Returns
    -------
    float
        In the square of the features' unit.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    |mu1 - mu2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson & Landau 1982, doi:10.1016/0047-259X(82)90077-X; for
    generators, Heusel et al. 2017, 2017arXiv170608500H). The estimate from small samples is too high,
    by about the same for samples of the same sizes: compare only such.

    Examples
    --------
    >>> import numpy as np
    >>> from skygal.evaluation.fidelity import frechet_distance
    >>> x = np.random.default_rng(0).standard_normal((500, 3))
    >>> round(frechet_distance(x, x + [3, 0, 0]), 6)
    9.0
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise ValueError("features must have shapes (n, d) and (m, d) with n, m of at least 2, "
                         f"got {first.shape} and {second.shape}")
    one, two = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (first, second))
    # the root of C1 C2 has the trace of that of the symmetric C1^(1/2) C2 C1^(1/2)
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
    away = first.mean(axis=0) - second.mean(axis=0)
    return float(away @ away + np.trace(one) + np.trace(two) - 2 * cross)


def _opinions(reference: Reference, sample: GeneratedSample,
              paper: PaperClassifier | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return each judge's class probabilities of the generated and of the test stamps.

    The paper's judge sees them as it saw its own: at any angle, with all specks.
    """
    test, judge = reference.test, reference.judge
    if "robust judge" not in sample.cache:
        sample.cache["robust judge"] = (judge.classify(sample.observed.images, judge.deal(len(sample))),
                                        judge.classify(reference.real.images[test], reference.fold[test]))
    out = {"robust judge": sample.cache["robust judge"]}
    if paper is not None:
        out["paper's judge"] = (paper.classify(sample_as_frdeep(reference, sample)),
                                paper.classify(reference.as_frdeep[test]))
    return out


def measure_judge(reference: Reference) -> list[Result]:
    """Return the robust judge's balanced accuracy on held-out (validation and test) stamps that it did not see."""
    held = np.flatnonzero(reference.fold >= 0)
    found = reference.judge.classify(reference.real.images[held], reference.fold[held]).argmax(axis=1)
    right = [found[reference.label[held] == k] == k for k in range(len(CLASSES))]
    error = 0.5 * np.sqrt(sum(accuracy_error(part) ** 2 for part in right))
    return [Result("balanced accuracy of the judge", "held-out", float("nan"), float("nan"),
                   float(np.mean([part.mean() for part in right])), float(error))]


def measure_ramis(reference: Reference, sample: GeneratedSample, paper: PaperClassifier | None = None) -> list[Result]:
    """Return the inception score by each judge, of generated and of held-out (test) stamps.

    The generated ones are in the test stamps' mix of classes; errors are by the bootstrap. "At least real" is meant
    within the error of the difference.
    """
    rng, test = reference.generator("ramis"), reference.test
    rows = matched_rows(sample.label, reference.label[test], rng=rng)
    out = []
    for group, (generated, held) in _opinions(reference, sample, paper).items():
        found = generated[rows], held
        value, real = (ramis(p) for p in found)
        errors = [bootstrap_error(ramis, p, rng=rng, n_boot=reference.effort.n_boot) for p in found]
        out.append(Result("RAMIS", group, value, errors[0], real, errors[1], "at least real",
                          value >= real - math.hypot(*errors)))
    return out


def measure_fidelity(reference: Reference, sample: GeneratedSample,
                     paper: PaperClassifier | None = None) -> list[Result]:
    """Return how often each judge names the class asked for, of generated and of held-out (test) stamps.

    Errors are binomial; "at least real" is meant within the error of the difference. Last, the robust judge's
    opinion of the real training stamps, in the column of generated ones: it has not seen them either, and the model
    has learnt from them.
    """
    test, train, out = reference.test, reference.train, []
    for group, (generated, held) in _opinions(reference, sample, paper).items():
        found, real = generated.argmax(axis=1), held.argmax(axis=1)
        for k, name in enumerate(CLASSES):
            one, two = found[sample.label == k] == k, real[reference.label[test] == k] == k
            errors = accuracy_error(one), accuracy_error(two)
            out.append(Result(f"class fidelity, {name}", group, float(one.mean()), errors[0], float(two.mean()),
                              errors[1], "at least real", bool(one.mean() >= two.mean() - math.hypot(*errors))))
    if "training fidelity" not in reference.cache:
        reference.cache["training fidelity"] = reference.judge.classify(reference.real.images[train],
                                                                        reference.judge.deal(len(train))).argmax(axis=1)
    for k, name in enumerate(CLASSES):
        right = reference.cache["training fidelity"][reference.label[train] == k] == k
        out.append(Result(f"class fidelity of training stamps, {name}", "robust judge", float(right.mean()),
                          accuracy_error(right), out[k].real, out[k].real_error))
    return out


def measure_frechet(reference: Reference, sample: GeneratedSample) -> list[Result]:
    """Return the Frechet distance in judge features to held-out stamps, and over that of real training stamps.

    In each fold it is taken in the features of a judge that did not see it, in units of the features' own scatter
    over training stamps, between as many stamps as the fold has (of validation and test splits), the classes in
    their mix; then averaged over folds, networks and draws. So many are few for 32 features: both columns are too
    high, by about the same. Errors are by the bootstrap over all samples, that of the ratio with the held-out stamps
    in common.
    """
    rng = reference.generator("frechet")
    values, drawn = [], []
    pools = {"generated": (sample.observed.images, sample.label),
             "real": (reference.real.images[reference.train], reference.label[reference.train])}
    dealt = {name: reference.judge.deal(len(label)) for name, (_, label) in pools.items()}
    for k in range(reference.judge.n_folds):
        rows = np.flatnonzero(reference.fold == k)
        for net in range(len(reference.judge.nets[k])):
            # generated stamps are dealt out to the folds; of training stamps there are too few for that
            mine = {name: np.flatnonzero(dealt[name] == k) if name == "generated" else np.arange(len(label))
                    for name, (_, label) in pools.items()}
            found = {name: reference.judge.nets[k][net].features(images[mine[name]])
                     for name, (images, _) in pools.items()}
            held = reference.judge.nets[k][net].features(reference.real.images[rows])
            scale = np.sqrt(found["real"].var(axis=0).mean()) + 1e-12

            def distance(name: str, among: np.ndarray, found: dict = found, mine: dict = mine, rows: np.ndarray = rows,
                         scale: float = scale) -> float:
                pick = matched_rows(pools[name][1][mine[name]], reference.label[rows], rng=rng)[:len(rows)]
                return frechet_distance(found[name][pick] / scale, among / scale)

            values.append([np.mean([distance(name, held) for _ in range(DRAWS)]) for name in pools])
            again = [held[rng.integers(len(held), size=len(held))] for _ in range(reference.effort.n_boot)]
            drawn.append([[distance(name, some) for name in pools] for some in again])
    generated, real = np.mean(values, axis=0)
    # networks of a fold share its stamps, so their scatter is no error; folds are independent
    spread = np.asarray(drawn).mean(axis=0)
    ratio = spread[:, 0] / spread[:, 1]
    errors = spread.std(axis=0, ddof=1)
    return [Result("Frechet distance", "judge features", float(generated), float(errors[0]), float(real),
                   float(errors[1])),
            Result("Frechet distance over that of real", "judge features", float(generated / real),
                   float(ratio.std(ddof=1)), 1.0, 0.0, "at most 1.2", bool(generated <= 1.2 * real))]
