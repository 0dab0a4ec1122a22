"""One sky in many ways, each held to the first: a process of its own, on the processor that its environment tells."""

from __future__ import annotations

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from astropy import units as u

import skygal
from skygal.morphology import batches as stamps
from skygal.rendering import drawing, transform

#: of torch, by how many ways are tried; the number of processors does not matter
THREADS = {"one": (), "few": (1, 3), "any": (1, 2, 3, 8)}
#: stamps that are decoded, of which a block of 128 is one part or two
STAMPS = {"one": 100, "few": 100, "any": 150}


def make(n, **options):
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 256, 1.8 * u.arcsec)
    return skygal.simulate_field(wcs, n, survey="FIRST", las=(10 * u.arcsec, 80 * u.arcsec), seed=9, **options)


def planes(field):
    return {"image": field.image, "model": field.model, "segmentation": field.segmentation}


def columns(field):
    tables = {"truth": field.truth, "components": field.components}
    return {f"{key}.{name}": np.asarray(table[name]) for key, table in tables.items() for name in table.colnames}


def assert_same(found, expected, what):
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=f"{what}: {name}")


def in_other_ways(first, ways):
    """Make the field in other ways, and hold each to the first."""
    n = len(first.truth)
    expected = {**planes(first), **columns(first)}
    for threads in THREADS[ways]:
        torch.set_num_threads(threads)
        field = make(n, workers=threads)
        assert torch.get_num_threads() == threads
        assert_same({**planes(field), **columns(field)}, expected, f"{threads} threads")
    lazy = make(n, chunks=(100, 256))
    assert_same(columns(lazy), columns(first), "chunks")
    assert_same(planes(lazy.compute()), planes(first), "chunks")
    with ThreadPoolExecutor(4) as pool:
        for field in pool.map(lambda _: make(n), range(len(THREADS[ways]))):
            assert_same({**planes(field), **columns(field)}, expected, "many at once")
    assert torch.get_num_threads() == THREADS[ways][-1]
    # a source is the same however many follow
    few = make(n // 2)
    for name in ("ra", "dec", "flux", "b_maj", "core_frac", "bending", "latent_seed"):
        np.testing.assert_array_equal(few.truth[name], first.truth[name][:n // 2], err_msg=name)
    stamps.BATCH, drawing.PATCH_PIXELS, transform.GRID_PIXELS = 128, 2**16, 2**14
    field = make(n)
    assert_same({**planes(field), **columns(field)}, expected, "other batches")


def decoders(ways):
    """Return stamps of the trained model, and of the paper's networks with weights drawn at random."""
    from skygal.bastien2021.generator import PaperGenerator
    from skygal.bastien2021.networks import PaperArchitecture, PaperDecoder

    torch.manual_seed(0)
    arch = PaperArchitecture(conditional=True)
    paper = PaperGenerator(arch, PaperDecoder(arch), name="paper", sha256="", extents={}, metadata={}, device="cpu")
    model, rng = skygal.load_model(), np.random.default_rng(0)
    n = STAMPS[ways]
    fr_class = np.where(np.arange(n) % 2, "FRI", "FRII")
    wanted = {"stamps": (model, rng.standard_normal((n, model.latent_dim)), np.exp(rng.uniform(1.5, 4, n))),
              "paper": (paper, rng.standard_normal((n, paper.latent_dim)), None)}
    out = {}
    for name, (generator, latents, extent) in wanted.items():
        for threads in THREADS[ways] or (torch.get_num_threads(),):
            torch.set_num_threads(threads)
            found = generator.decode(latents, fr_class, extent)
            np.testing.assert_array_equal(found, out.setdefault(name, found), err_msg=f"{name}, {threads} threads")
        if ways == "one":
            continue
        half = generator.decode(latents[:50], fr_class[:50], None if extent is None else extent[:50])
        np.testing.assert_array_equal(half, out[name][:50], err_msg=name)
    return out


def octaves():
    """Return stamps that octaves draw sharper than the model does."""
    return {"sharp": skygal.sample_stamps(3, seed=5, beams_across=24, model="first-atlas").images}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    whole = make(int(sys.argv[2]))
    if sys.argv[3] != "one":
        in_other_ways(whole, sys.argv[3])
    np.savez(sys.argv[1], **planes(whole), **columns(whole), **decoders(sys.argv[3]), **octaves())
