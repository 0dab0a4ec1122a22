"""How real generated stamps are: all measures in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import as_count, as_seed, check_choice, show, show_fields
from skygal.evaluation import classifier_tests, fidelity, memorisation, shapes
from skygal.evaluation.generated import GeneratedSample, observe_generated, sample_generated
from skygal.evaluation.judges import train_second_judge
from skygal.evaluation.reference import CLASSES, Effort, Reference, make_reference
from skygal.evaluation.results import Result

if TYPE_CHECKING:
    from skygal.evaluation.ramis import PaperClassifier
    from skygal.training.data.cutouts import Cutouts
    from skygal.training.data.prepare import TrainingSet

__all__ = ["MEASURES", "Evaluation", "evaluate_model", "evaluate_stamps"]

#: the measures, in the order of the table
MEASURES = ("judge", "ramis", "fidelity", "frechet", "two-sample", "otherwise", "pipeline", "transfer", "shapes",
            "closeness")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's figures, and what they were taken on.

    Attributes
    ----------
    results : list of Result
        The figures.
    sample : GeneratedSample
        The generated stamps.
    reference : Reference
        The real ones.
    about : dict
        Model, seed, numbers of stamps, sources.
    """

    results: list[Result]
    sample: GeneratedSample
    reference: Reference
    about: dict[str, Any]

    __repr__ = show_fields


def measure_all(reference: Reference, sample: GeneratedSample, paper: PaperClassifier | None,
                which: Iterable[str], *, progress: bool = False) -> list[Result]:
    """Take measures of observed stamps.

    Parameters
    ----------
    reference : Reference
        The real stamps.
    sample : GeneratedSample
        The generated ones.
    paper : PaperClassifier or None
        The paper's judge.
    which : iterable of str
        Out of `MEASURES`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    list of Result
    """
    from tqdm import tqdm

    take: dict[str, Callable[[], list[Result]]] = {
        "judge": lambda: fidelity.measure_judge(reference),
        "ramis": lambda: fidelity.measure_ramis(reference, sample, paper),
        "fidelity": lambda: fidelity.measure_fidelity(reference, sample, paper),
        "frechet": lambda: fidelity.measure_frechet(reference, sample),
        "two-sample": lambda: classifier_tests.measure_two_sample(reference, sample),
        "otherwise": lambda: classifier_tests.measure_otherwise(reference, sample),
        "pipeline": lambda: classifier_tests.measure_pipeline(reference),
        "transfer": lambda: classifier_tests.measure_transfer(reference, sample),
        "shapes": lambda: shapes.measure_shapes(reference, sample),
        "closeness": lambda: memorisation.measure_closeness(reference, sample)}
    results: list[Result] = []
    for name in tqdm(list(which), desc="measuring", unit="measure", disable=not progress):
        results += take[name]()
    return results


def evaluate_stamps(generated: np.ndarray, fr_class: np.ndarray, data: TrainingSet | None = None,
                    stamps: Cutouts | None = None, *, reference: Reference | None = None,
                    paper: PaperClassifier | None = None, which: Iterable[str] = MEASURES, seed: int = 0,
                    effort: Effort | None = None, progress: bool = False) -> list[Result]:
    """Measure how real generated stamps are.

    Parameters
    ----------
    generated : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, the principal axis along x, with the survey's beam; about 1000 or more of
        each class, in the distribution of extents of the training stamps.
    fr_class : array_like of str
        Shape (n,), the class asked for, "FRI" or "FRII".
    data : TrainingSet, optional
        Prepared real stamps; needed where no ``reference`` is given.
    stamps : Cutouts, optional
        The cutouts they come from.
    reference : Reference, optional
        What `skygal.evaluation.reference.make_reference` made of ``data`` and ``stamps``, to be used again.
    paper : PaperClassifier, optional
        The paper's judge.
    which : iterable of str
        The measures to take, out of `MEASURES`.
    seed : int
        Of judges and noise, where no ``reference`` is given.
    effort : Effort, optional
        How much work to do, where no ``reference`` is given.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    list of Result

    Raises
    ------
    ValueError
        If a measure is unknown, neither ``reference`` nor ``data`` and ``stamps`` are given, or ``generated`` does not
        fit them (see `skygal.evaluation.generated.observe_generated`).
    """
    which = [check_choice("which", name, MEASURES) for name in which]
    if reference is None:
        if data is None or stamps is None:
            raise ValueError("reference must be given, or data and stamps, got none")
        reference = make_reference(data, stamps, seed=seed, effort=effort, progress=progress)
    sample = observe_generated(generated, fr_class, reference, progress=progress)
    return measure_all(reference, sample, paper, which, progress=progress)


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
        `skygal.training.data.readers.read_stamps`.
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
    from skygal.morphology.checkpoint import load_model
    from skygal.morphology.generator import CvaeGenerator
    from skygal.seeds import Seeds
    from skygal.training.data.cutouts import join_cutouts
    from skygal.training.data.readers import read_stamps
    from skygal.training.loop import quiet_torch
    from skygal.training.settings import TrainSettings
    from skygal.training.train import load_training_set

    which = [check_choice("which", name, MEASURES) for name in which]
    n, seed = as_count("n", n, minimum=1), as_seed("seed", seed)
    generator = load_model(model, device=device)
    if not isinstance(generator, CvaeGenerator):
        raise ValueError(f"model must be conditioned on extent, to be held beside real stamps, got {show(generator)}")
    for name in CLASSES:
        if name not in generator.classes:
            raise ValueError(f"model must know the classes FRI and FRII, got {', '.join(generator.classes)}")
    settings = TrainSettings(classes=CLASSES, shape=generator.shape, pixel_scale=generator.pixel_scale,
                             beam_fwhm=generator.beam_fwhm, exclude=tuple(exclude))
    data = load_training_set(sources, settings, progress=progress)
    stamps = join_cutouts([read_stamps(source) for source in sources])
    with quiet_torch(seed):
        reference = make_reference(data, stamps, beam_fwhm=generator.beam_fwhm, pixel_scale=generator.pixel_scale,
                                   seed=seed, effort=effort, progress=progress)
        if frdeep is not None and paper is None:
            held = data.row[data.split != "train"]
            paper = train_second_judge(frdeep, stamps, held, seed=seed, progress=progress)
        generated = np.concatenate([sample_generated(generator, name, n, rng=Seeds(seed).generator(f"draw {name}"))
                                    for name in CLASSES])
        sample = observe_generated(generated, np.repeat(CLASSES, n), reference, progress=progress)
        results = measure_all(reference, sample, paper, which, progress=progress)
    count = {split: {name: int(((data.split == split) & (data.fr_class == name)).sum()) for name in CLASSES}
             for split in ("train", "validation", "test")}
    about = {"model": generator.name, "sha256": generator.sha256, "seed": seed, "generated": dict.fromkeys(CLASSES, n),
             "hidden": sample.hidden, "stamps": count, "left_out": data.dropped,
             "sources": [os.path.basename(os.fspath(source)) for source in sources]}
    return Evaluation(results, sample, reference, about)
