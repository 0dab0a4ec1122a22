"""Source finders on skygal's fields, scored: three skies, and one list of galaxies drawn in three ways.

    python benchmarks/scoring.py [--bdsf PYTHON] [--aegean PROGRAM] [--photutils PYTHON] [--work FOLDER] [--docs]
                                 [--quick]

PYTHON is an interpreter that has PyBDSF, or photutils and scikit-image, PROGRAM the command ``aegean``; a finder that
is not given is left out. They have the settings below, which are their own defaults but for the box of the rms.
Catalogues are kept in FOLDER under a hash of the image and of the finder's settings, so that a second run only scores.
With --docs tables and figures go into docs/_static/scoring, which the documentation shows.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack

import skygal
from skygal.scoring import Score, TruthSet
from skygal.scoring.charts import COLOURS
from skygal.scoring.intervals import wilson
from skygal.scoring.measures import SNR_EDGES, middle

DOCS = Path(__file__).resolve().parent.parent / "docs" / "_static" / "scoring"
PYBDSF = """
import sys, bdsf
image = bdsf.process_image(sys.argv[1], rms_box=(160, 40), quiet=True, ncores=1)
image.write_catalog(outfile=sys.argv[2], format="fits", catalog_type="srl", clobber=True)
"""
#: pixels of three times the noise, at least five together, deblended; of these, those with a peak of five times
PHOTUTILS = """
import sys, warnings
import numpy as np
from astropy.io import fits
from astropy.table import Table
from photutils.background import Background2D, MADStdBackgroundRMS, MedianBackground
from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources

warnings.simplefilter("ignore")
data = fits.getdata(sys.argv[1]).squeeze().astype(float)
sky = Background2D(data, 160, filter_size=3, bkg_estimator=MedianBackground(), bkg_rms_estimator=MADStdBackgroundRMS())
clean = data - sky.background
found = deblend_sources(clean, detect_sources(clean, 3 * sky.background_rms, 5), 5, progress_bar=False)
table = SourceCatalog(clean, found).to_table()
# without a grid of its own positions are in pixels
table = Table({name: np.asarray(table[name]) for name in table.colnames if name != "sky_centroid"})
table[table["max_value"] > 5 * np.median(sky.background_rms)].write(sys.argv[2], overwrite=True)
"""
AEGEAN = ["--autoload", "--cores", "1", "--table"]
LAS_EDGES = np.array([2, 3, 4, 6, 8, 12, 20.0])
FWHM = float(np.sqrt(8 * np.log(2)))
SKIES = ("survey", "radio galaxies", "crowded")
WAYS = ("galaxies", "Gaussians", "double lobes")


def make_sky(name: str, size: int) -> skygal.Field:
    """Return one of the three skies."""
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", size, 1.8 * u.arcsec)
    if name == "survey":
        return skygal.simulate_field(wcs, survey="FIRST", seed=11)
    if name == "radio galaxies":
        return skygal.simulate_field(wcs, int(150 * (size / 2048)**2), survey="FIRST", flux=(2 * u.mJy, 200 * u.mJy),
                                     las=(8 * u.arcsec, 90 * u.arcsec), seed=12)
    return skygal.simulate_field(wcs, survey="FIRST", noise=5 * u.uJy, seed=13)


def make_ways(size: int) -> dict[str, skygal.Field]:
    """Return one list of galaxies drawn by the model, as Gaussians and as pairs of lobes with the same moments."""
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", size, 1.8 * u.arcsec)
    side = size // 128
    rng = np.random.default_rng(21)
    y, x = np.mgrid[:side, :side] * 128 + 64 + rng.uniform(-12, 12, (2, side, side))
    n = side * side
    table = QTable({"x": x.ravel(), "y": y.ravel(), "las": rng.uniform(12, 90, n) * u.arcsec,
                    "flux": 10**rng.uniform(0.7, 2.3, n) * u.mJy})
    field = skygal.simulate_field(wcs, table=table, survey="FIRST", seed=21)
    truth = field.truth[np.argsort(field.truth["source_id"])]
    common = {"ra": truth["ra"], "dec": truth["dec"], "flux": truth["flux"]}
    major, minor = truth["b_maj"], np.minimum(np.maximum(truth["b_min"], 0.5 * u.arcsec), truth["b_maj"])
    gaussians = QTable({**common, "kind": np.full(n, "gaussian"), "b_maj": major, "b_min": minor, "pa": truth["pa"]})
    # as far on both sides as the second moment along the axis asks for
    apart = np.sqrt(major**2 - minor**2) / FWHM
    lobes = []
    for sign in (1, -1):
        north = sign * apart * np.cos(truth["pa"])
        east = sign * apart * np.sin(truth["pa"]) / np.cos(truth["dec"])
        lobes.append(QTable({"ra": truth["ra"] + east, "dec": truth["dec"] + north, "flux": truth["flux"] / 2,
                             "kind": np.full(n, "gaussian"), "b_maj": minor, "b_min": minor, "pa": truth["pa"],
                             "source_id": truth["source_id"] + (0 if sign > 0 else n),
                             "parent_id": truth["source_id"]}))
    given = {"survey": "FIRST", "seed": 21}
    return {"galaxies": field, "Gaussians": skygal.simulate_field(wcs, 0, faint=gaussians, **given),
            "double lobes": skygal.simulate_field(wcs, 0, faint=vstack(lobes), **given)}


def find_all(name: str, field: skygal.Field, work: Path, given: argparse.Namespace) -> dict[str, Path]:
    """Return the catalogues of a field, made where they are not there yet."""
    pixels = hashlib.sha256(np.ascontiguousarray(field.image).tobytes())
    pixels.update(repr(list(field.header.items())).encode())
    found = {}
    for finder, program, settings, suffix in (("PyBDSF", given.bdsf, ["-c", PYBDSF], ".fits"),
                                              ("Aegean", given.aegean, AEGEAN, "_comp.vot"),
                                              ("photutils", given.photutils, ["-c", PHOTUTILS], ".fits")):
        if not program:
            continue
        key = pixels.copy()
        key.update(" ".join(settings).encode())
        folder = work / name.replace(" ", "-")
        path = folder / f"{finder.lower()}_{key.hexdigest()[:12]}{suffix}"
        found[finder] = path
        if path.exists():
            continue
        with tempfile.TemporaryDirectory(dir=work) as scratch:
            image = field.write(Path(scratch) / "field") / "field.fits"
            # Aegean puts "_comp" before the suffix itself
            made = Path(scratch) / f"found{suffix.replace('_comp', '')}"
            words = [str(image), str(made)] if settings is not AEGEAN else [str(made), str(image)]
            _run([program, *settings, *words], Path(scratch))
            folder.mkdir(parents=True, exist_ok=True)
            made.with_name(f"found{suffix}").replace(path)
    if not found:
        raise SystemExit("no finder is given: --bdsf, --aegean or --photutils")
    return found


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


def score_all(name: str, field: skygal.Field, work: Path, given: argparse.Namespace) -> dict[str, Score]:
    """Return the scores of a field by finder."""
    out = {}
    for finder, path in find_all(name, field, work, given).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            out[finder] = skygal.score(field, path, name=finder)
    return out


def summary_row(name: str, finder: str, score: Score) -> dict[str, str]:
    """Return one line of the table."""
    def rate(key: str) -> str:
        one = score.summary[key]
        return f"{100 * one['rate']:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f})"

    flux = score.hosts["recovered"]["all"][0]
    return {"field": name, "finder": finder, "sources of 5 sigma": str(score.summary["detectable"]),
            "rows": str(score.summary["rows"]), "found": rate("completeness"), "rows in a source": rate("reliability"),
            "components with a row": rate("component_completeness"),
            "in several rows": f"{100 * score.summary['split']['rate']:.1f} %",
            "flux recovered (16 to 84 %)": f"{flux['recovered']:.3f} ({flux['recovered_low']:.3f} to "
                                           f"{flux['recovered_high']:.3f})"}


def by_las(truth: TruthSet, score: Score) -> list[dict[str, float]]:
    """Return what became of the galaxies of ``truth`` in a score of the same list, however it was drawn.

    In bins of the LAS of the galaxies, in beams, of those of 20 sigma: the share that has a row, and of those the mean
    number of rows and the medians of the flux in the brightest row and in all, over the true flux.
    """
    hosts, matches = score.truth.hosts, score.matches
    mine = matches.host_of_row >= 0
    total = np.bincount(matches.host_of_row[mine], score.found.flux[mine], len(score.truth))
    largest = np.zeros(len(score.truth))
    np.maximum.at(largest, matches.host_of_row[mine], score.found.flux[mine])
    # the same galaxies in each: those that stand in the same place
    here = np.deg2rad(np.stack([truth.hosts["ra"], truth.hosts["dec"]], axis=-1))
    there = np.deg2rad(np.stack([hosts["ra"], hosts["dec"]], axis=-1))
    east, north = np.moveaxis(here[:, None] - there[None], -1, 0)
    away = np.hypot(east * np.cos(here[:, None, 1]), north)
    same = np.argmin(away, axis=1)
    assert len(np.unique(same)) == len(same) == len(hosts["ra"])
    las = truth.hosts["las"] / np.sqrt(truth.beam[0] * truth.beam[1])
    good = (truth.hosts["snr"] >= 20) & ~truth.hosts["edge"]
    out = []
    for low, high in zip(LAS_EDGES[:-1], LAS_EDGES[1:], strict=True):
        bin = same[good & (las >= low) & (las < high)]
        seen = bin[matches.rows_of_host[bin] > 0]
        if seen.size < 3:
            continue
        flux = hosts["flux_in_image"][seen]
        share = wilson(np.array([seen.size]), np.array([bin.size]))
        out.append({"las": float(np.sqrt(low * high)), "n": bin.size, "found": seen.size / bin.size,
                    "low": float(share[0][0]), "high": float(share[1][0]),
                    "rows": float(matches.rows_of_host[seen].mean()),
                    "all": float(middle(total[seen] / flux)[0] or 0),
                    "brightest": float(middle(largest[seen] / flux)[0] or 0)})
    return out


def draw_skies(scores: dict[str, dict[str, Score]], path: Path) -> None:
    """Draw completeness, reliability and flux ratio against signal-to-noise ratio on the three skies."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 8), layout="constrained")
    axes = figure.subplots(3, len(scores), sharex=True, sharey="row")
    for column, (name, finders) in enumerate(scores.items()):
        for k, (finder, score) in enumerate(finders.items()):
            for row, rate in enumerate(("completeness", "reliability")):
                curve = next(one for one in score.curves
                             if (one.rate, one.level, one.against) == (rate, "host", "snr"))
                there = curve.total > 0
                place = np.sqrt(SNR_EDGES[:-1] * np.minimum(SNR_EDGES[1:], 3000))[there] * (1 + 0.03 * (k - 1))
                value = curve.hits[there] / curve.total[there]
                axes[row, column].errorbar(place, value, np.clip([value - curve.low[there], curve.high[there] - value],
                                                                 0, None), fmt="o-", ms=4, lw=1,
                                           color=COLOURS[k], label=finder)
            rows = [row for row in score.errors["snr"] if row["flux"] is not None and row["n"] > 2]
            place = [_middle_of(row["bin"]) * (1 + 0.03 * (k - 1)) for row in rows]
            axes[2, column].errorbar(place, [row["flux"] for row in rows], [row["flux_scatter"] for row in rows],
                                     fmt="o-", ms=4, lw=1, color=COLOURS[k])
        axes[0, column].set_title(name)
        axes[2, column].axhline(1, color="0.4", ls="--", lw=1)
        axes[2, column].set_xlabel("true (middle: measured) peak / noise")
        for axis in axes[:, column]:
            axis.set_xscale("log")
            axis.grid(alpha=0.3)
    for row, words in enumerate(("completeness of sources", "reliability of rows", "flux, row / component")):
        axes[row, 0].set_ylabel(words)
    axes[2, 0].set_ylim(0.4, 2.4)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=100)


def _middle_of(words: str) -> float:
    low, _, high = words.removeprefix("from ").partition(" to ")
    return float(np.sqrt(float(low) * (float(high) if high else 3000)))


def draw_ways(scores: dict[str, dict[str, Score]], path: Path) -> None:
    """Draw completeness, rows a source and fluxes against LAS for each way to draw the same galaxies."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 9), layout="constrained")
    finders = list(scores[WAYS[0]])
    axes = figure.subplots(3, len(finders), sharex=True, sharey="row", squeeze=False)
    for column, finder in enumerate(finders):
        truth = scores[WAYS[0]][finder].truth
        for k, (way, of) in enumerate(scores.items()):
            rows = by_las(truth, of[finder])
            place = np.array([row["las"] for row in rows]) * (1 + 0.02 * (k - 1))
            value = np.array([row["found"] for row in rows])
            ends = np.array([[row["low"] for row in rows], [row["high"] for row in rows]])
            axes[0, column].errorbar(place, value, np.clip([value - ends[0], ends[1] - value], 0, None), fmt="o-",
                                     ms=4, lw=1, color=COLOURS[k], label=way)
            axes[1, column].plot(place, [row["rows"] for row in rows], "o-", ms=4, lw=1, color=COLOURS[k])
            axes[2, column].plot(place, [row["all"] for row in rows], "o-", ms=4, lw=1, color=COLOURS[k])
            axes[2, column].plot(place, [row["brightest"] for row in rows], "o--", ms=3, lw=1, color=COLOURS[k])
        axes[0, column].set_title(finder)
        axes[2, column].axhline(1, color="0.4", lw=1)
        axes[2, column].set_xlabel("LAS of the galaxy / beam")
        for axis in axes[:, column]:
            axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("completeness")
    axes[1, 0].set_ylabel("rows a source")
    axes[2, 0].set_ylabel("flux / true flux:\nall rows (solid), brightest (dashed)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=100)


def write_table(rows: list[dict[str, str]], path: Path) -> None:
    """Write a CSV table."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def flux_rows(score: Score) -> list[dict[str, str]]:
    """Return what is said of one finder by signal-to-noise ratio."""
    curves = {rate: next(one for one in score.curves if (one.rate, one.level, one.against) == (rate, "host", "snr"))
              for rate in ("completeness", "reliability")}
    errors = {row["bin"]: row for row in score.errors["snr"]}
    out = []
    for k, (low, high) in enumerate(zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True)):
        name = f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
        cells = {"peak / noise": name}
        for rate, curve in curves.items():
            cells[rate] = f"{curve.hits[k]} of {curve.total[k]}" + (
                f" ({100 * curve.low[k]:.0f} to {100 * curve.high[k]:.0f} %)" if curve.total[k] else "")
        row = errors.get(name)
        for key, words in (("flux", "flux ratio"), ("b_maj", "major axis ratio")):
            known = row is not None and row[key] is not None and row[f"{key}_scatter"] is not None
            cells[words] = f"{row[key]:.3f}, scatter {row[f'{key}_scatter']:.3f}" if row and known else ""
        out.append(cells)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bdsf")
    parser.add_argument("--aegean")
    parser.add_argument("--photutils")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        sizes = (512, 512, 256, 1024) if given.quick else (3072, 2048, 1024, 1024)
        skies = {name: score_all(name, make_sky(name, size), work, given)
                 for name, size in zip(SKIES, sizes, strict=False)}
        ways = {name: score_all(f"drawn as {name}", field, work, given)
                for name, field in make_ways(sizes[3]).items()}
        table = [summary_row(name, finder, one) for name, of in (*skies.items(), *((f"drawn as {way}", of)
                 for way, of in ways.items())) for finder, one in of.items()]
        for row in table:
            print("  ".join(row.values()))
        first = next(iter(skies["survey"].values()))
        for cells in flux_rows(first):
            print("  ".join(cells.values()))
        drawn = []
        for way, of in ways.items():
            for finder, one in of.items():
                for bin in by_las(ways[WAYS[0]][finder].truth, one):
                    drawn.append({"drawn as": way, "finder": finder,
                                  **{key: f"{value:.3g}" for key, value in bin.items()}})
                    print("  ".join(drawn[-1].values()))
        out = DOCS if given.docs else work
        out.mkdir(parents=True, exist_ok=True)
        write_table(table, out / "summary.csv")
        write_table(flux_rows(first), out / "survey.csv")
        write_table(drawn, out / "ways.csv")
        draw_skies(skies, out / "skies.png")
        draw_ways(ways, out / "ways.png")


if __name__ == "__main__":
    main()
