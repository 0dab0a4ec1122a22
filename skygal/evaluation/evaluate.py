"""How real generated stamps are: all measures in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import check_choice
from skygal.evaluation import measures
from skygal.evaluation.bench import CLASSES, Bench, Effort, make_bench
from skygal.evaluation.measures import MEASURES, Made, Row
from skygal.evaluation.observe import match_noise, observe_stamps
from skygal.morphology.moments import measure_moments

if TYPE_CHECKING:
    from skygal.evaluation.ramis import PaperClassifier
    from skygal.training.prepare import TrainingSet
    from skygal.training.readers import Stamps

__all__ = ["evaluate_stamps", "observe_made"]

#: pixels fainter than this, of the peak, are not part of a generated source when its extent is measured
FLOOR = 0.005


def observe_made(generated: np.ndarray, fr_class: np.ndarray, bench: Bench, *, progress: bool = False) -> Made:
    """Observe generated stamps with the noise of real training stamps of their class and about their extent.

    Parameters
    ----------
    generated : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, aligned, with the survey's beam.
    fr_class : array_like of str
        Shape (n,), "FRI" or "FRII".
    bench : Bench
        The real stamps.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Made
        Without stamps on which nothing rises above the noise.

    Raises
    ------
    ValueError
        If the shapes do not fit, a class is unknown, or a stamp has no flux.
    """
    generated, fr_class = np.asarray(generated, np.float32), np.asarray(fr_class)
    shape = bench.real.images.shape[1:]
    if generated.ndim != 3 or generated.shape[1:] != shape:
        raise ValueError(f"generated must have shape (n, {shape[0]}, {shape[1]}), got {generated.shape}")
    if fr_class.shape != (len(generated),):
        raise ValueError(f"fr_class must have shape ({len(generated)},), got {fr_class.shape}")
    for name in np.unique(fr_class):
        check_choice("fr_class", str(name), CLASSES)
    peak = generated.max(axis=(1, 2))
    if not (np.isfinite(peak) & (peak > 0)).all():
        raise ValueError(f"generated must have flux, got {np.count_nonzero(~(peak > 0))} stamps without any")
    images = generated / peak[:, None, None]
    covariance = measure_moments(np.where(images > FLOOR, images, 0))[2]
    scale = np.median(bench.extent / _extent(bench.restored))
    extent = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance)[:, -1], 1e-3)) * scale
    label = np.array([CLASSES.index(name) for name in fr_class])
    train = bench.train
    noise = match_noise(extent, label, bench.extent[train], bench.label[train], bench.real.noise[train],
                        rng=bench.generator("noise levels"))
    seen = observe_stamps(images, noise, beam_sigma=bench.beam_sigma, rng=bench.generator("noise"), progress=progress)
    shown = seen.seen
    return Made(images[shown], seen.select(shown), label[shown])


def _extent(restored: np.ndarray) -> np.ndarray:
    """Return the extent in pixels of noiseless stamps."""
    images = restored.astype(np.float32)
    covariance = measure_moments(np.where(images > FLOOR, images, 0))[2]
    return np.sqrt(np.maximum(np.linalg.eigvalsh(covariance)[:, -1], 1e-3))


def evaluate_stamps(generated: np.ndarray, fr_class: np.ndarray, data: TrainingSet | None = None,
                    stamps: Stamps | None = None, *, bench: Bench | None = None,
                    paper: PaperClassifier | None = None, which: Iterable[str] = MEASURES, seed: int = 0,
                    effort: Effort | None = None, progress: bool = False) -> list[Row]:
    """Measure how real generated stamps are.

    Parameters
    ----------
    generated : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, the principal axis along x, with the survey's beam; about 1000 or more of
        each class, in the distribution of extents of the training stamps.
    fr_class : array_like of str
        Shape (n,), the class asked for, "FRI" or "FRII".
    data : TrainingSet, optional
        Prepared real stamps; needed where no ``bench`` is given.
    stamps : Stamps, optional
        The cutouts they come from.
    bench : Bench, optional
        What `skygal.evaluation.bench.make_bench` made of ``data`` and ``stamps``, to be used again.
    paper : PaperClassifier, optional
        The paper's judge.
    which : iterable of str
        The measures to take, out of `skygal.evaluation.measures.MEASURES`.
    seed : int
        Of judges and noise, where no ``bench`` is given.
    effort : Effort, optional
        How much work to do, where no ``bench`` is given.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    list of Row

    Raises
    ------
    ValueError
        If a measure is unknown, or neither ``bench`` nor ``data`` and ``stamps`` are given.
    """
    from tqdm import tqdm

    which = [check_choice("which", name, MEASURES) for name in which]
    if bench is None:
        if data is None or stamps is None:
            raise ValueError("bench, or data and stamps, must be given, got none")
        bench = make_bench(data, stamps, seed=seed, effort=effort, progress=progress)
    made = observe_made(generated, fr_class, bench, progress=progress)
    take: dict[str, Callable[..., list[Row]]] = {
        "ramis": lambda: measures.measure_ramis(bench, made, paper),
        "fidelity": lambda: measures.measure_fidelity(bench, made, paper),
        "frechet": lambda: measures.measure_frechet(bench, made),
        "two-sample": lambda: measures.measure_two_sample(bench, made),
        "pipeline": lambda: measures.measure_pipeline(bench),
        "transfer": lambda: measures.measure_transfer(bench, made),
        "shapes": lambda: measures.measure_shapes(bench, made),
        "closeness": lambda: measures.measure_closeness(bench, made)}
    rows: list[Row] = []
    for name in tqdm(which, desc="measuring", unit="measure", disable=not progress):
        rows += take[name]()
    return rows


def format_rows(rows: Iterable[Row]) -> str:
    """Return rows as a table of plain text."""
    lines = [f"{'measure':58s} {'group':20s} {'generated':>17s} {'real':>17s}  target"]
    for row in rows:
        met = "" if row.met is None else ("met" if row.met else "not met")
        lines.append(f"{row.measure:58s} {row.group:20s} {_figure(row.generated, row.generated_error):>17s} "
                     f"{_figure(row.real, row.real_error):>17s}  {row.target}{': ' if met else ''}{met}")
    return "\n".join(lines)


def _figure(value: Any, error: float) -> str:
    return f"{value:.3f} +- {error:.3f}"
