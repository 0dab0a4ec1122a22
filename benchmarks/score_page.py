"""Size of the page of a score, and how long it takes to write and to show.

    python benchmarks/score_page.py [--cutouts 2000] [--size 4096] [--keep PATH]

A survey field of doubles and triples is scored against a catalogue made of its own components, in which a quarter of
the sources is missing and as many rows are false. Where Chromium is installed the page is opened without a window, and
two times are told: until all of it is parsed and the first cutouts are laid out, by the page's own clock, and until a
picture of it is on disk, less the same for an empty page.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table
from figures import note

import skygal
from skygal.scoring.cutouts import choose_cutouts
from skygal.scoring.page import write_page
from skygal.scoring.score import Score

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: tells the page's own clock when all is there
CLOCK = ("<script>addEventListener('load', () => document.documentElement.dataset.clock = performance.now())"
         "</script>")


def make_score(sources: int, size: int, seed: int = 1) -> Score:
    """Return the score of a catalogue with misses, splits and false rows."""
    wcs = skygal.make_wcs("10h00m +02d", size, 1.5 * u.arcsec)
    field = skygal.simulate_field(wcs, n_sources=sources, beam=6 * u.arcsec, noise=1 * u.uJy, seed=seed)
    rng = np.random.default_rng(seed)
    parts = field.components
    parts = parts[~np.isin(parts["source_id"], rng.choice(field.truth["source_id"], sources // 4, replace=False))]
    x, y = rng.uniform(0, size, (2, sources // 4))
    at = wcs.pixel_to_world_values(x, y)
    flux = np.concatenate([parts["flux"].to_value("Jy"), rng.uniform(5e-6, 5e-5, len(x))])
    n = len(flux)
    ra, dec = (np.concatenate([parts[name].to_value("deg"), false])
               for name, false in zip(("ra", "dec"), at, strict=True))
    found = Table({"ra": ra, "dec": dec + rng.normal(0, 1 / 3600, n), "flux": flux * rng.lognormal(0, 0.1, n),
                   "fitted_maj": rng.uniform(6, 12, n), "fitted_min": np.full(n, 6.0),
                   "fitted_pa": rng.uniform(0, 180, n)})
    return skygal.score(field, found, name="catalogue")


def show_page(browser: str, page: Path, folder: Path) -> float:
    """Return the seconds until a picture of a page is on disk."""
    start = time.perf_counter()
    subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000",
                    f"--screenshot={folder / 'page.png'}", page.as_uri()], check=True, capture_output=True, timeout=300)
    return time.perf_counter() - start


def open_page(browser: str, page: Path, folder: Path) -> float:
    """Return the seconds that a page's own clock shows once it is loaded."""
    timed = folder / "timed.html"
    timed.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{CLOCK}</body>"), encoding="utf-8")
    done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", timed.as_uri()],
                          check=True, capture_output=True, text=True, timeout=300)
    told = re.search(r'data-clock="([\d.]+)"', done.stdout)
    if told is None:
        raise RuntimeError("the page did not load")
    return float(told[1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cutouts", type=int, default=2000)
    parser.add_argument("--size", type=int, default=4096, help="of the field, pixels")
    parser.add_argument("--keep", type=Path, help="where the page is kept")
    given = parser.parse_args()
    score = make_score(int(1.3 * given.cutouts), given.size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page, empty = folder / "index.html", folder / "empty.html"
        start = time.perf_counter()
        write_page([score], page, most=given.cutouts)
        seconds = time.perf_counter() - start
        count, size = len(choose_cutouts(score, given.cutouts)), page.stat().st_size / 1e6
        print(f"{count} cutouts: {size:.2f} MB, written in {seconds:.1f} s")
        note("page of a score: size", size, "MB")
        note("page of a score: time to write", seconds, "s")
        if given.keep:
            shutil.copy(page, given.keep)
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            print("no Chromium: how long it takes to show is left out")
            return
        empty.write_text("<!DOCTYPE html><title>empty</title>", encoding="utf-8")
        show_page(browser, empty, folder)
        clock = float(np.median([open_page(browser, page, folder) for _ in range(3)]))
        shown = float(np.median([show_page(browser, page, folder) - show_page(browser, empty, folder)
                                 for _ in range(3)]))
        print(f"first view: {clock:.2f} s by the page's clock, {shown:.2f} s until a picture, less an empty page's")
        note("page of a score: first view", clock, "s")


if __name__ == "__main__":
    main()
