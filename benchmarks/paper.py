"""Train the networks of Bastien et al. (2021) at each of their latent dimensions, and write the report.

Run it as ``python benchmarks/paper.py FRDEEP RUNS REPORT``; finished runs are left as they are, and broken ones go on
from their checkpoint. Without REPORT it trains only.
"""

import argparse
from pathlib import Path

from skygal.bastien2021.report import write_paper_report
from skygal.bastien2021.settings import LATENT_DIMS, PRESETS, preset_settings
from skygal.bastien2021.train import run_files, train_paper_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("frdeep", type=Path, nargs="?")
    parser.add_argument("runs", type=Path, nargs="?")
    parser.add_argument("report", type=Path, nargs="?")
    parser.add_argument("--schedule", default="fast")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--latent-dims", type=int, nargs="*", default=list(LATENT_DIMS))
    parser.add_argument("--batch-size", type=int, default=150)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--dropout-warmup", type=float)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.runs is None:
        print("needs FRDEEP and a folder for its runs: python benchmarks/paper.py FRDEEP RUNS [REPORT] (see "
              "docs/paper.rst)")
        return
    for latent_dim in given.latent_dims:
        for preset in PRESETS:
            settings = preset_settings(preset, latent_dim=latent_dim, schedule=given.schedule, epochs=given.epochs,
                                       precision=given.precision, batch_size=given.batch_size, log_every=1,
                                       learning_rate=given.learning_rate, dropout_warmup=given.dropout_warmup)
            name = f"{preset.removeprefix('bastien2021-')}-d{latent_dim}-{given.schedule}.safetensors"
            files = run_files(given.runs / name)
            if not files["weights"].is_file():
                # one classifier judges all: the first one there, or that of the first run
                found = sorted(given.runs.glob("*.classifier.safetensors"))
                train_paper_model(given.frdeep, files["weights"], settings=settings,
                                  classifier=found[0] if found else None, resume=files["checkpoint"].is_file(),
                                  device=given.device, progress=True)
    if given.report is not None:
        print(write_paper_report(given.runs, given.frdeep, given.report, progress=True, overwrite=True))


if __name__ == "__main__":
    main()
