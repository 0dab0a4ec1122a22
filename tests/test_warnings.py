"""Warnings point at the line of the caller's own that led to them, however deep in the package they arise."""

import ast
import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.table import QTable
from radio_beam import Beam
from training_stamps import write_npz

import skygal
from skygal.bastien2021.frdeep import FRDEEP_SIDE, read_frdeep
from skygal.bastien2021.networks import PaperArchitecture, PaperModel
from skygal.bastien2021.weights import save_paper_model
from skygal.checks import warn_caller
from skygal.observation.beam import TargetBeam
from skygal.population import sample_population
from skygal.seeds import Seeds
from skygal.training.data.readers import read_stamps

WCS = skygal.make_wcs("12h00m00s +30d00m00s", 64, 1.8 * u.arcsec)
KNOWN = {"np": np, "u": u, "skygal": skygal, "Beam": Beam, "TargetBeam": TargetBeam, "wcs": WCS, "Seeds": Seeds,
         "sample_population": sample_population, "read_stamps": read_stamps, "read_frdeep": read_frdeep,
         "given": {"seed": 1, "las": 10 * u.arcsec, "flux": (1, 2) * u.mJy}}
for name, x, las in (("far", 900.0, 30), ("large", 30.0, 200)):
    KNOWN[name] = QTable({"x": [x], "y": [60.0], "flux": [1] * u.Jy, "las": [las] * u.arcsec})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with what warns when it is read."""
    folder = tmp_path_factory.mktemp("files")
    write_npz(folder / "stamps.npz", image=np.pad(np.ones((59, 64, 64)), [(0, 1), (0, 0), (0, 0)])
              * np.arange(64.0))
    images = np.random.default_rng(0).random((5, FRDEEP_SIDE, FRDEEP_SIDE))
    images[4] = 0
    arrays = {f"{split}_{what}": value for split in ("train", "test")
              for what, value in (("image", images), ("label", np.arange(5) % 2))}
    np.savez(folder / "frdeep.npz", **arrays)
    with torch.random.fork_rng():
        model = PaperModel(PaperArchitecture(latent_dim=3, conditional=False, widths=(9, 8, 7, 6, 5), side=12))
    save_paper_model(model, folder / "vae.safetensors", name="v", metadata={})
    skygal.simulate_field(WCS, 1, survey="FIRST", **KNOWN["given"]).write(folder / "made")
    return folder


@pytest.mark.parametrize("line, said", [
    ("skygal.simulate_field(wcs, 1, survey='FIRST', beam=3 * u.arcsec, **given)", "beam should be at least 2 pixels"),
    ("skygal.simulate_field(wcs, 1, survey='FIRST', beam=3 * u.arcsec, chunks=32, **given)", "beam should be at least"),
    ("skygal.simulate_fields(wcs, 1, frequency=[1, 2] * u.GHz, beam=[3, 6] * u.arcsec, **given)", "beam should be"),
    ("TargetBeam.from_beam(Beam(3 * u.arcsec), 0.5 * np.eye(2))", "beam should be at least 2 pixels wide"),
    ("skygal.simulate_field(wcs, 1, survey='FIRST', **given | {'flux': 1 * u.nJy})", "flux starts at"),
    ("sample_population(wcs, (64, 64), 1, seeds=Seeds(1), frequency=1.4 * u.GHz, flux=1 * u.nJy)", "flux starts at"),
    ("skygal.simulate_field(wcs, survey='FIRST', table=far, seed=1)", "1 of 1 sources lie outside the image"),
    ("skygal.simulate_field(wcs, survey='FIRST', beam=3.7 * u.arcsec, table=large, seed=1)", "stamps coarser than the"),
    ("skygal.inject(np.zeros((64, 64)), table=far, wcs=wcs, beam=6 * u.arcsec, unit='Jy/beam', noise=1 * u.mJy, seed=1,"
     " frequency=1 * u.GHz)", "1 of 1 sources lie outside the image"),
    ("skygal.inject(files / 'made' / 'field.fits', 1, **given)", "seed should be another than that of the image's own"),
    ("skygal.load_model(files / 'vae.safetensors')", "model 'v' is a VAE without classes"),
    ("skygal.sample_stamps(1, model=files / 'vae.safetensors', clip_sigma=None, seed=1)", "model 'v' is a VAE"),
    ("read_stamps(files / 'stamps.npz')", "1 of 60 cutouts are left out"),
    ("read_frdeep(files / 'frdeep.npz')", "2 images of .* are blank or hold NaN"),
])
def test_they_point_at_the_caller(line, said, files):
    script = compile(f"def work():\n    pass\n    return {line}\n\n\nwork()\n", "/home/user/script.py", "exec")
    with pytest.warns(UserWarning, match=said) as found:
        exec(script, {**KNOWN, "files": files, "__name__": "__main__"})
    assert [(w.filename, w.lineno) for w in found] == [("/home/user/script.py", 3)]


def test_in_any_thread_and_with_nothing_outside():
    with pytest.warns(UserWarning, match="^no more$") as found, ThreadPoolExecutor(1) as pool:
        pool.submit(warn_caller, "no more").result()
    assert "skygal" not in Path(found[0].filename).parent.parts
    with pytest.warns(UserWarning, match="^alone$"):
        exec("warn_caller('alone')", {"warn_caller": warn_caller, "__name__": "skygal.none"})


def test_once_for_each_place():
    """So Python shows it once, however often the line is run, as users expect of warnings."""
    with warnings.catch_warnings(record=True) as found, contextlib.suppress(KeyError):
        warnings.simplefilter("default")
        for _ in range(3):
            warn_caller("one line of mine")
    assert len(found) == 1 and found[0].filename == __file__


def test_no_module_has_another_way():
    """Whatever warns goes through `skygal.checks.warn_caller`, or it would point into the package."""
    package = Path(skygal.__file__).parent
    calls = {path.relative_to(package).as_posix() for path in package.rglob("*.py")
             for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(node, ast.Attribute) and node.attr in ("warn", "warn_explicit")
             and isinstance(node.value, ast.Name) and node.value.id == "warnings"}
    assert calls == {"checks.py"}
