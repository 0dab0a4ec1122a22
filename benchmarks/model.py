"""How well the model's stamps hold the class asked for, beside real ones: the figures of its card.

    python benchmarks/model.py SOURCE... [--exclude MiraBest] [--model first-cvae] [--n 500] [--judges 3]

A SOURCE is what `skygal train` reads: real stamps, those that the model was trained on, so that
the split is the same. Small networks learn the classes from the real training stamps alone, and then
name the classes of generated stamps and of the real held-out ones, seen with the same noise.
"""

from __future__ import annotations

import argparse

import numpy as np

from skygal.evaluation.fidelity import measure_fidelity, see_with_beam
from skygal.evaluation.judge import train_judge
from skygal.morphology.checkpoint import load_model
from skygal.morphology.moments import measure_moments
from skygal.training.settings import TrainSettings
from skygal.training.train import load_training_set

#: pixels fainter than this, of a peak of about 1, are not measured
FLOOR = 0.01


def fidelity(generator, data, *, n, judges, epochs):
    """Print how often the judges name the class asked for."""
    sigma = generator.arch.beam_sigma
    train = data.select(data.split == "train")
    seen = see_with_beam(train, beam_sigma=sigma)
    trained = [train_judge(seen, train.fr_class, train.noise, classes=generator.classes, beam_sigma=sigma, seed=seed,
                           epochs=epochs) for seed in range(judges)]
    print(f"class fidelity: mean of {judges} networks, binomial errors, scatter between networks")
    for name, row in measure_fidelity(generator, data, trained, n=n).items():
        held = np.count_nonzero((data.fr_class == name) & (data.split != "train"))
        print(f"  {name:5s} generated {row['generated']:.3f} +- {row['generated_error']:.3f} ({n}), "
              f"real {row['real']:.3f} +- {row['real_error']:.3f} ({held}), scatter {row['judges_spread']:.3f}")


def shapes(generator, *, n):
    """Print extents found over those asked for, and peaks."""
    rng = np.random.default_rng(0)
    print("16/50/84 % of the extent found over the one asked for, and of the peak")
    for name in generator.classes:
        quantiles = generator.extents[name]
        extent = np.interp(rng.random(n), np.linspace(0, 1, len(quantiles)), quantiles)
        made = generator.decode(rng.standard_normal((n, generator.latent_dim)), np.full(n, name), extent)
        covariance = measure_moments(np.where(made > FLOOR, made, 0))[2]
        found = np.sqrt(np.linalg.eigvalsh(covariance)[:, -1]) * generator.pixel_scale
        rows = [np.percentile(values, [16, 50, 84]) for values in (found / extent, made.max(axis=(1, 2)))]
        print(f"  {name:5s} {'   '.join('/'.join(f'{value:.2f}' for value in row) for row in rows)}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("sources", nargs="*", help="real stamps, as `skygal train` reads them")
    options.add_argument("--exclude", nargs="*", default=[], help="leave out cutouts whose name holds one of these")
    options.add_argument("--model")
    options.add_argument("--n", type=int, default=500, help="stamps to generate of each class")
    options.add_argument("--judges", type=int, default=3)
    options.add_argument("--epochs", type=int, default=20, help="of each judge")
    given = options.parse_args()
    if not given.sources:
        print("needs real stamps: python benchmarks/model.py SOURCE... (see docs/training.rst)")
        return
    generator = load_model(given.model)
    settings = TrainSettings(classes=generator.classes, shape=generator.shape, pixel_scale=generator.pixel_scale,
                             beam_fwhm=generator.beam_fwhm, exclude=tuple(given.exclude))
    data = load_training_set(given.sources, settings)
    count = {split: int((data.split == split).sum()) for split in ("train", "validation", "test")}
    print(f"model {generator.name!r}, {len(data)} stamps: {count}, left out {data.dropped}")
    shapes(generator, n=given.n)
    fidelity(generator, data, n=given.n, judges=given.judges, epochs=given.epochs)


if __name__ == "__main__":
    main()
