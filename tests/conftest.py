"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# a slow machine is no reason to fail; where a test does not say how many examples it needs, the slow run has many
settings.register_profile("skygal", deadline=None, max_examples=40)
settings.register_profile("skygal slow", deadline=None, max_examples=200)
settings.load_profile("skygal")

# before anything imports matplotlib: no test needs a screen
os.environ.setdefault("MPLBACKEND", "Agg")
# before anything imports numpy or torch: with a process on each core, more threads would wait for each other, busily
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")


#: files that take longest, first, so that several processes come to their ends together
LONGEST = ("docs", "chunked", "challenge", "given_noise", "streaming", "off_sky", "training", "evaluate", "datasets",
           "whole_sky", "blank", "paper_report", "inject", "cli", "processors", "frequencies", "stamps", "faint",
           "packaging", "detector_fields", "kills", "simulate", "layers", "ramis", "image_components", "beams_field",
           "header_reading", "render_exact", "analytic", "bastien2021_training", "clustering", "positions", "noise_map",
           "acceptance", "measures", "judges", "sky_fields", "seam", "fork", "atomic", "noise", "primary_beam_field",
           "psf", "settings", "exports")


def pytest_configure(config):
    if config.getoption("markexpr") != "not slow":
        settings.load_profile("skygal slow")


def pytest_collection_modifyitems(items):
    """Put the longest files first, for ``--dist loadfile --no-loadscope-reorder``; their own order stays."""
    place = {f"test_{name}.py": k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Keep torch to one thread, so that timings and rounding do not depend on the machine's cores."""
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def other_process():
    """Return a pool of one process that has been started afresh, as Dask's are: it takes seconds, so all share it."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="session", autouse=True)
def fields_are_checked():
    """Check every field that any test makes, see `field_checks.check_field`."""
    from field_checks import every_field_checked

    with every_field_checked():
        yield


@pytest.fixture(autouse=True)
def own_parameter_store():
    """Give each test that uses Pyro a parameter store of its own, as a command has."""
    import sys

    if "pyro" not in sys.modules:
        yield
        return
    import pyro

    with pyro.get_param_store().scope():
        yield
