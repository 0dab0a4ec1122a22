"""A source finder reads what is written, unchanged, and finds the fluxes that truth tells."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

import skygal
from skygal.truth import read_truth

pytestmark = pytest.mark.slow

# in a process of its own: it leaves files open and warns of much
PYBDSF = """
import sys, bdsf, json
image = bdsf.process_image(sys.argv[1], quiet=True, ncores=1, rms_box=(160, 40))
image.write_catalog(outfile=sys.argv[2], format="fits", catalog_type="srl")
print(json.dumps([float(image.frequency), *map(float, image.beam)]))
"""


@pytest.mark.skipif(not find_spec("bdsf"), reason="needs PyBDSF: pip install 'skygal[finders]'")
def test_pybdsf_finds_the_fluxes(tmp_path):
    spacing, rows = 80, 10
    y, x = np.mgrid[:rows, :rows] * spacing + spacing / 2
    # far enough apart that no source reaches into another
    population = QTable({"x": x.ravel(), "y": y.ravel(), "las": np.full(rows**2, 30) * u.arcsec})
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", rows * spacing, 1.8 * u.arcsec)
    field = skygal.simulate_field(wcs, survey="FIRST", seed=3, table=population, flux=(20 * u.mJy, 0.5 * u.Jy))
    field.write(tmp_path / "out")
    done = subprocess.run([sys.executable, "-c", PYBDSF, str(tmp_path / "out" / "field.fits"),
                           str(tmp_path / "found.fits")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx([1.4e9, 5.4 / 3600, 5.4 / 3600, 0])
    found = Table.read(tmp_path / "found.fits")
    truth = read_truth(tmp_path / "out" / "truth.fits")
    at = SkyCoord(np.asarray(found["RA"]), np.asarray(found["DEC"]), unit="deg")
    total = np.asarray(found["Total_flux"])
    loud = np.flatnonzero((truth["snr"] > 20) & ~truth["edge"] & ~truth["blended"])
    ratio = [total[at.separation(SkyCoord(truth["ra"][k], truth["dec"][k])) < spacing / 2 * 1.8 * u.arcsec].sum()
             / truth["flux"][k].to_value(u.Jy) for k in loud]
    assert len(ratio) > 50
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
