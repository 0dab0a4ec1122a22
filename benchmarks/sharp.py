"""What a model draws sharper than its stamps: how fast, how close each octave is to the one before, how often it stops.

    python benchmarks/sharp.py [--model first-atlas] [--n 60] [--cores ATLAS]

*rate*: stamps of so many beams across that are drawn a second by this machine's processors, all that
`skygal.sample_stamps` does included. *consistency*: a source after an octave, smoothed to the beam of the octave
before, beside what that drew, of the same flux: the root mean square, over the peak, of where the source is brighter
than a thousandth of its peak, in the median over sources; of the first, which are not held to the stamp, it is what
they change. *sizes*: those of sources 30 beams across, by the isophote of 5 % of what is brightest but for the
core, over those that were asked for. *beam_limited*: the share of sources that truth calls so, of fields with a beam
of 1 arcsec. *processors*: the largest difference of stamps, over their peaks, where the processor is held to older
instructions.

With --cores nothing else is measured: of an atlas's sources, seen with as many beams across as FIRST has on a stamp,
what part of what looks like a core there is one. `skygal.morphology.octave_cores.CORE_PARTS` are these quantiles.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from astropy import units as u
from figures import note
from scipy import ndimage

import skygal
from skygal.evaluation.sharp_table import draw_sources
from skygal.morphology.batches import make_stamps
from skygal.morphology.checkpoint import load_model
from skygal.morphology.latents import sample_keys, sample_latents
from skygal.morphology.measure import largest_size, measure_stamps
from skygal.morphology.octave_cores import CORE_PARTS, SHOWN_CORE
from skygal.morphology.octave_inputs import PIXELS_PER_BEAM as OCTAVE_PIXELS
from skygal.morphology.octave_inputs import class_flags
from skygal.morphology.octave_seeing import smooth
from skygal.morphology.octaves import OCTAVES, SHOWN, begin_skies, draw_next
from skygal.seeds import Seeds
from skygal.training.data.atlas import PIXELS_PER_BEAM, read_atlas
from skygal.training.data.octave_maps import AtlasView, see_source, source_axis

BEAMS = (15, 30, 60, 100)
#: of the peak: where consistency is looked at
LIT = 1e-3
#: beams across a source as FIRST sees one of the size that octaves begin with
SEEN = 13.0
#: pixels across which a core is no longer the brightest
CORELESS = 15
#: variables that hold the libraries to older instructions
OLDER = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def rate(model: str, beams: float, n: int) -> float:
    skygal.sample_stamps(2, seed=1, beams_across=beams, model=model)
    start = time.perf_counter()
    skygal.sample_stamps(n, seed=2, beams_across=beams, model=model)
    return n / (time.perf_counter() - start)


def consistency(model: str, n: int) -> np.ndarray:
    """Return the difference of each octave from the third and source, shape (octaves, n)."""
    generator, seeds = load_model(model), Seeds(3)
    classes = np.where(np.arange(n) % 2, "FRI", "FRII")
    least, most = (np.full(n, value) for value in generator.extent)
    latents = sample_latents(generator, "balanced", classes, sample_keys(seeds, "c", "balanced", classes),
                             least=least, most=most)
    octaves, fwhm, found = generator.octaves, generator.beam_fwhm / generator.pixel_scale, []
    for batch in make_stamps(generator, latents, 3.0):
        skies = begin_skies(batch.stamps, batch.shapes.centre, batch.latents.fr_class, batch.latents.keys, fwhm,
                            octaves.factor)
        for k, sky in enumerate(skies):
            beams = batch.shapes.las[k] / fwhm / octaves.factor
            rng, row = np.random.default_rng(k), []
            while sky.octave < OCTAVES:
                before = sky.lit()
                flags = class_flags(str(batch.latents.fr_class[k]))
                network = octaves.after(sky)
                sky = draw_next(network, before, beams, flags, rng)
                after = smooth(torch.from_numpy(sky.whole())[None, None], ratio=network.ratio)[0, 0].numpy()
                known = before.whole()
                lit = known > LIT * known.max()
                # what is drawn counts as of unit flux
                after *= known.sum() / after.sum()
                row.append(float(np.sqrt(np.mean((after - known)[lit]**2)) / known.max()))
            found.append(row)
    return np.transpose(found)


def sizes(model: str, frii: float, n: int) -> np.ndarray:
    """Return the largest sizes of sources, of which so many are FRIIs, over those that were asked for, shape (n,)."""
    maps = draw_sources(load_model(model), n, 30, frii=frii, seed=3)
    rest = (np.minimum(image, ndimage.median_filter(image, CORELESS).max()) for image in maps)
    return np.array([largest_size(image[None])[0] for image in rest]) / PIXELS_PER_BEAM / 30


def limited(model: str, las: float, n: int) -> float:
    """Return the share of sources that are limited by what the model shows, in a field with a beam of 1 arcsec."""
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 4096, 0.3 * u.arcsec)
    field = skygal.simulate_field(wcs, n, beam=1 * u.arcsec, flux=5 * u.mJy, las=las * u.arcsec, model=model, seed=4)
    return float(np.mean(field.truth["beam_limited"]))


def on_processors(model: str, beams: float) -> float:
    """Return the largest difference over the peak between this processor and one held to older instructions."""
    code = ("import sys, numpy, skygal\n"
            "stamps = skygal.sample_stamps(8, seed=5, beams_across=float(sys.argv[1]), model=sys.argv[2])\n"
            "numpy.save(sys.argv[3], stamps.images)")
    images = []
    with tempfile.TemporaryDirectory() as folder:
        for number, extra in enumerate(({}, OLDER)):
            path = Path(folder, f"{number}.npy")
            subprocess.run([sys.executable, "-c", code, str(beams), model, str(path)], check=True,
                           env=os.environ | extra)
            images.append(np.load(path))
    peak = images[0].max(axis=(1, 2), keepdims=True)
    return float(np.abs((images[0] - images[1]) / peak).max())


def core_parts(atlas: Path) -> list[np.ndarray]:
    """Return what part of what looks like a core is one, of FRI and of FRII: of each source in which one is seen."""
    known, found = read_atlas(atlas), ([], [])
    for k in np.flatnonzero(known.has_round_beam()):
        axis = source_axis(known.image[k])
        one = see_source(known, AtlasView(int(k), SEEN, axis[0], axis[1:], np.zeros(2)))
        shown = np.where(one.fine > SHOWN, one.fine, 0)[None]
        fraction = measure_stamps(shown, beam_fwhm=OCTAVE_PIXELS)[0].core_frac[0]
        if fraction > SHOWN_CORE:
            for kind in np.flatnonzero(one.flags):
                found[kind].append(min(1.0, (one.core[2] if one.core else 0) / fraction))
    return [np.array(parts) for parts in found]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", default="first-atlas")
    options.add_argument("--n", type=int, default=60, help="sources of each measure")
    options.add_argument("--cores", type=Path, metavar="ATLAS", help="only what part of cores that are seen are ones")
    given = options.parse_args()
    if given.cores:
        for name, parts in zip(("FRI", "FRII"), core_parts(given.cores), strict=True):
            levels = np.quantile(parts, np.linspace(0, 1, np.shape(CORE_PARTS)[1]))
            print(f"{name}, {len(parts)} sources: {np.round(levels, 2).tolist()}")
        return
    print(f"{os.cpu_count()} processors")
    for beams in BEAMS:
        value = rate(given.model, beams, given.n)
        print(f"{beams:4d} beams across: {value:.1f} stamps a second", flush=True)
        note(f"stamps of {beams} beams across", value, "/s")
    for octave, values in enumerate(consistency(given.model, max(given.n // 4, 2)), 3):
        print(f"octave {octave}: consistent to {np.median(values):.2g} of the peak, at worst {values.max():.2g}",
              flush=True)
        note(f"consistency of octave {octave}", float(np.median(values)), "of the peak")
    for frii, name in ((1.0, "FRII"), (0.0, "FRI")):
        found = np.percentile(sizes(given.model, frii, given.n), [5, 50, 95, 100])
        print(f"sizes of {name} over those asked for: 5, 50, 95 and 100 % are at most {np.round(found, 2)}", flush=True)
        note(f"largest size of {name} over that asked for", float(found[3]), "")
    for las in (30, 60):
        share = limited(given.model, las, given.n)
        print(f"beam of 1 arcsec, LAS {las} arcsec: {100 * share:.1f} % of {given.n} beam_limited", flush=True)
        note(f"beam_limited at LAS {las} arcsec", 100 * share, "%")
    for beams in (30, 60):
        value = on_processors(given.model, beams)
        print(f"{beams} beams across: processors differ by {value:.1g} of the peak", flush=True)
        note(f"processors, {beams} beams across", value, "of the peak")


if __name__ == "__main__":
    main()
