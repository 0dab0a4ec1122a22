"""One seed on any processor: the same bits on each, the same sky on all."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

#: how the libraries are told to compute as on other processors
PROCESSORS = {
    "this one": {},
    "with AVX2": {"MKL_CBWR": "AVX2"},
    "with AVX512": {"MKL_CBWR": "AVX512"},
    "without either": {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
    "held to AVX2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "with one core": {"OMP_NUM_THREADS": "1"},
    "without either, one core": {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"},
}
#: those that differ most: the others in the slow test alone
QUICK = ("this one", "held to AVX2", "without either, one core")
#: of the peak
PIXELS = 1e-6


def make(folder, n, ways):
    """Return what processors make of one seed, each in "one" way, a "few" or "any", see one_seed.py."""
    chosen = {name for settings in PROCESSORS.values() for name in settings}
    plain = {name: value for name, value in os.environ.items() if name not in chosen and not name.endswith("_THREADS")}

    def run(name):
        path = folder / f"{name}.npz"
        done = subprocess.run([sys.executable, Path(__file__).with_name("one_seed.py"), path, str(n), ways[name]],
                              env={**plain, **PROCESSORS[name]}, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"
        with np.load(path) as found:
            return dict(found)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(ways, pool.map(run, ways), strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    # threads, chunks and batches are of the code, and matter as little elsewhere
    return make(tmp_path_factory.mktemp("processors"), 50, dict.fromkeys(QUICK, "one") | {"this one": "few"})


@pytest.mark.parametrize("name", QUICK[1:])
def test_the_same_sky(made, name):
    assert_same_sky(made["this one"], made[name])


def assert_same_sky(here, there):
    assert list(here) == list(there)
    for key, value in here.items():
        if value.dtype.kind in "biUS" and key != "segmentation":
            np.testing.assert_array_equal(there[key], value, err_msg=key)
    for key in ("image", "model"):
        assert np.abs(there[key] - here[key]).max() <= PIXELS * here[key].max()
    peaks = here["stamps"].max(axis=(1, 2), keepdims=True)
    assert (np.abs(there["stamps"] - here["stamps"]) <= 2 * PIXELS * peaks).all()
    # their peaks are 1
    assert np.abs(there["sharp"] - here["sharp"]).max() <= 2 * PIXELS
    # probabilities, from 0 to 1
    assert np.abs(there["paper"] - here["paper"]).max() <= PIXELS
    # a pixel at the isophote itself may fall on either side
    assert np.count_nonzero(there["segmentation"] != here["segmentation"]) <= 1e-5 * here["segmentation"].size


@pytest.mark.parametrize("column", ["ra", "dec", "flux", "peak_flux", "b_maj", "b_min", "core_frac"])
def test_the_same_numbers(made, column):
    here = made["this one"][f"truth.{column}"]
    for name, there in made.items():
        np.testing.assert_allclose(there[f"truth.{column}"], here, rtol=2e-5, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_many_sources(tmp_path):
    made = make(tmp_path, 600, dict.fromkeys(PROCESSORS, "any"))
    for there in made.values():
        assert_same_sky(made["this one"], there)
