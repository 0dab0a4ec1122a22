"""How real generated stamps are: all measures in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import as_count, as_seed, check_choice, show, show_fields
from skygal.evaluation import compared, judged, learned
from skygal.evaluation.bench import CLASSES, Bench, Effort, make_bench
from skygal.evaluation.observe import match_real, observe_stamps
from skygal.evaluation.rows import Made, Row
from skygal.morphology.moments import measure_moments

if TYPE_CHECKING:
    from skygal.data.prepare import TrainingSet
    from skygal.data.stamps import Stamps
    from skygal.evaluation.ramis import PaperClassifier

__all__ = ["MEASURES", "Evaluation", "evaluate_model", "evaluate_stamps", "observe_made"]

#: the measures, in the order of the table
MEASURES = ("judge", "ramis", "fidelity", "frechet", "two-sample", "pipeline", "transfer", "shapes", "closeness")
#: pixels fainter than this, of the peak, are no part of a source when its extent is measured
FLOOR = 0.005


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's figures, and what they were taken on.

    Attributes
    ----------
    rows : list of Row
        The figures.
    made : Made
        The generated stamps.
    bench : Bench
        The real ones.
    about : dict
        Model, seed, numbers of stamps, sources.
    """

    rows: list[Row]
    made: Made
    bench: Bench
    about: dict[str, Any]

    __repr__ = show_fields


def _size_features(stamps: np.ndarray) -> np.ndarray:
    """Return the logarithms of extent in pixels and of flux over peak of noiseless stamps of peak 1, (n, 2)."""
    images = np.asarray(stamps, np.float32)
    flux, _, covariance = measure_moments(np.where(images > FLOOR, images, 0))
    extent = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance)[:, -1], 1e-3))
    return np.log(np.stack([extent, np.maximum(flux, 1e-3)], axis=1))


def observe_made(generated: np.ndarray, fr_class: np.ndarray, bench: Bench, *, progress: bool = False) -> Made:
    """Observe generated stamps with the noise of real training stamps of their class, extent and flux over peak.

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
    ny, nx = bench.real.images.shape[1:]
    if generated.ndim != 3 or generated.shape[1:] != (ny, nx):
        raise ValueError(f"generated must have shape (n, {ny}, {nx}), got {generated.shape}")
    if fr_class.shape != (len(generated),):
        raise ValueError(f"fr_class must have shape ({len(generated)},), got {fr_class.shape}")
    for name in np.unique(fr_class):
        check_choice("fr_class", str(name), CLASSES)
    peak = generated.max(axis=(1, 2))
    good = np.isfinite(peak) & (peak > 0)
    if not good.all():
        raise ValueError(f"generated must have flux, got {np.count_nonzero(~good)} stamps without any")
    images = generated / peak[:, None, None]
    label = np.array([CLASSES.index(name) for name in fr_class])
    train = bench.train
    like = train[match_real(_size_features(images), label, _size_features(bench.restored[train]), bench.label[train],
                            rng=bench.generator("noise levels"))]
    seen = observe_stamps(images, bench.real.noise[like], beam_sigma=bench.beam_sigma, rng=bench.generator("noise"),
                          sized=bench.real.sized[like], progress=progress)
    shown = seen.seen
    return Made(images[shown], seen.select(shown), label[shown], int((~shown).sum()))


def measure_all(bench: Bench, made: Made, paper: PaperClassifier | None = None, which: Iterable[str] = MEASURES, *,
                progress: bool = False) -> list[Row]:
    """Take measures of observed stamps.

    Parameters
    ----------
    bench : Bench
        The real stamps.
    made : Made
        The generated ones.
    paper : PaperClassifier, optional
        The paper's judge.
    which : iterable of str
        Out of `MEASURES`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    list of Row
    """
    from tqdm import tqdm

    take: dict[str, Callable[[], list[Row]]] = {
        "judge": lambda: judged.measure_judge(bench),
        "ramis": lambda: judged.measure_ramis(bench, made, paper),
        "fidelity": lambda: judged.measure_fidelity(bench, made, paper),
        "frechet": lambda: judged.measure_frechet(bench, made),
        "two-sample": lambda: learned.measure_two_sample(bench, made),
        "pipeline": lambda: learned.measure_pipeline(bench),
        "transfer": lambda: learned.measure_transfer(bench, made),
        "shapes": lambda: compared.measure_shapes(bench, made),
        "closeness": lambda: compared.measure_closeness(bench, made)}
    rows: list[Row] = []
    for name in tqdm(list(which), desc="measuring", unit="measure", disable=not progress):
        rows += take[name]()
    return rows


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
        The measures to take, out of `MEASURES`.
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
        If a measure is unknown, neither ``bench`` nor ``data`` and ``stamps`` are given, or ``generated`` does not fit
        them (see `observe_made`).
    """
    which = [check_choice("which", name, MEASURES) for name in which]
    if bench is None:
        if data is None or stamps is None:
            raise ValueError("bench must be given, or data and stamps, got none")
        bench = make_bench(data, stamps, seed=seed, effort=effort, progress=progress)
    made = observe_made(generated, fr_class, bench, progress=progress)
    return measure_all(bench, made, paper, which, progress=progress)


def evaluate_model(model: Any, sources: Sequence[str | os.PathLike], *, paper: PaperClassifier | None = None,
                   frdeep: str | os.PathLike | None = None, n: int = 1000, which: Iterable[str] = MEASURES,
                   exclude: Sequence[str] = (), seed: int = 0, effort: Effort | None = None, device: str = "cpu",
                   progress: bool = False) -> Evaluation:
    """Measure how real a model's stamps are.

    Parameters
    ----------
    model : str, path, Generator or None
        See `skygal.morphology.checkpoint.load_model`.
    sources : sequence of path or str
        Real stamps, those that the model was trained on, in the same order, so that the splits are the same; see
        `skygal.data.readers.read_stamps`.
    paper : PaperClassifier, optional
        The paper's judge, from `skygal.evaluation.ramis.train_paper_classifier`.
    frdeep : path or str, optional
        FRDEEP, to train the paper's judge on, where none is given: without the images that show held-out sources.
    n : int
        Stamps to generate of each class.
    which : iterable of str
        The measures to take, out of `MEASURES`.
    exclude : sequence of str
        Cutouts whose name holds one of these texts are left out, as in the training.
    seed : int
        Of everything random: the same one gives the same figures on the same machine.
    effort : Effort, optional
        How much work to do.
    device : str
        Where the model decodes.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If a measure is unknown, the model lacks FRI or FRII or is not conditioned on extent, or the stamps do not
        suffice.
    """
    from skygal.data.readers import read_stamps
    from skygal.data.stamps import join_stamps
    from skygal.evaluation.draw import draw_stamps
    from skygal.evaluation.second_judge import train_second_judge
    from skygal.morphology.checkpoint import load_model
    from skygal.morphology.generator import Generator
    from skygal.seeds import Seeds
    from skygal.training.loop import quiet_torch
    from skygal.training.settings import TrainSettings
    from skygal.training.train import load_training_set

    which = [check_choice("which", name, MEASURES) for name in which]
    n, seed = as_count("n", n, minimum=1), as_seed("seed", seed)
    generator = load_model(model, device=device)
    if not isinstance(generator, Generator):
        raise ValueError(f"model must be conditioned on extent, to be held beside real stamps, got {show(generator)}")
    for name in CLASSES:
        if name not in generator.classes:
            raise ValueError(f"model must know the classes FRI and FRII, got {', '.join(generator.classes)}")
    settings = TrainSettings(classes=CLASSES, shape=generator.shape, pixel_scale=generator.pixel_scale,
                             beam_fwhm=generator.beam_fwhm, exclude=tuple(exclude))
    data = load_training_set(sources, settings, progress=progress)
    stamps = join_stamps([read_stamps(source) for source in sources])
    with quiet_torch(seed):
        bench = make_bench(data, stamps, beam_fwhm=generator.beam_fwhm, pixel_scale=generator.pixel_scale, seed=seed,
                           effort=effort, progress=progress)
        if frdeep is not None and paper is None:
            held = data.row[data.split != "train"]
            paper = train_second_judge(frdeep, stamps, held, seed=seed, progress=progress)
        generated = np.concatenate([draw_stamps(generator, name, n, rng=Seeds(seed).generator(f"draw {name}"))
                                    for name in CLASSES])
        made = observe_made(generated, np.repeat(CLASSES, n), bench, progress=progress)
        rows = measure_all(bench, made, paper, which, progress=progress)
    count = {split: {name: int(((data.split == split) & (data.fr_class == name)).sum()) for name in CLASSES}
             for split in ("train", "validation", "test")}
    about = {"model": generator.name, "sha256": generator.sha256, "seed": seed, "generated": dict.fromkeys(CLASSES, n),
             "hidden": made.hidden, "stamps": count, "left_out": data.dropped,
             "sources": [os.path.basename(os.fspath(source)) for source in sources]}
    return Evaluation(rows, made, bench, about)
