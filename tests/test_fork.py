"""A process that is forked after a call goes on: it does not wait for threads that it has not."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SCRIPT = """
import os, signal, sys, threading, warnings
from pathlib import Path

import numpy as np
import torch
from astropy import units as u

import skygal

# busy: a call is under way in another thread while the process is forked
calls, home = sys.argv[1].split(), Path(sys.argv[2])
torch.set_num_threads(3)

def call(name, what):
    if what == "stamps":
        return skygal.sample_stamps(3, seed=1).images
    if what == "load":
        from skygal.morphology.checkpoint import WEIGHTS, load_model
        model = load_model(WEIGHTS / "first-cvae.safetensors")
        return model.decode(np.ones((2, model.latent_dim)), ["FRI", "FRII"], [20.0, 30.0])
    if what == "train":
        sys.path.insert(0, str(home))
        from training_stamps import PLAIN, write_npz
        from skygal.training.train import train_model
        train_model([write_npz(Path(name + ".npz"))], Path(name + ".safetensors"), settings=PLAIN)
        return skygal.sample_stamps(2, seed=1, model=name + ".safetensors").images
    wcs = skygal.make_wcs("150 2", 96, 1.8 * u.arcsec)
    return skygal.simulate_field(wcs, 4, seed=1, noise=0.1 * u.mJy / u.beam).image

def busy():
    while not done.is_set():
        call("busy", "field")

(torch.ones(600, 600) @ torch.ones(600, 600)).sum()   # OpenMP's threads are there
for what in calls:
    first = call("parent", what)
    done = threading.Event()
    if what == "busy":
        threading.Thread(target=busy).start()
    child = os.fork()
    if child == 0:
        signal.alarm(100)
        again = call("child", what)
        same = np.array_equal(first, again) or what == "train" and np.allclose(first, again, atol=1e-3)
        os._exit(0 if same else 3)
    status = os.waitpid(child, 0)[1]
    done.set()
    if status:
        sys.exit(f"{what}: {os.waitstatus_to_exitcode(status)}")
"""


@pytest.mark.parametrize("what", ["load stamps field", pytest.param("busy", marks=pytest.mark.slow),
                                  pytest.param("train", marks=pytest.mark.slow)])
def test_a_forked_process_goes_on(tmp_path, what):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, what, os.path.dirname(__file__)],
                          cwd=tmp_path, timeout=200, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "3",
                               "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))})
    assert done.returncode == 0, done.stderr[-2000:]
