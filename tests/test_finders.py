"""A source finder reads what is written, unchanged, and finds the fluxes that truth tells."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

import skygal
from skygal.truth import read_truth

pytestmark = pytest.mark.slow


def test_pybdsf_finds_the_fluxes(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bdsf = pytest.importorskip("bdsf")
    spacing, rows = 80, 10
    y, x = np.mgrid[:rows, :rows] * spacing + spacing / 2
    # far enough apart that no source reaches into another
    population = QTable({"x": x.ravel(), "y": y.ravel(), "las": np.full(rows**2, 30) * u.arcsec})
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", rows * spacing, 1.8 * u.arcsec)
    field = skygal.simulate_field(wcs, survey="FIRST", seed=3, table=population, flux=(20 * u.mJy, 0.5 * u.Jy))
    field.write(tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = bdsf.process_image(str(tmp_path / "out" / "field.fits"), quiet=True, ncores=1, rms_box=(160, 40))
        image.write_catalog(outfile=str(tmp_path / "found.fits"), format="fits", catalog_type="srl")
        found = Table.read(tmp_path / "found.fits")
    assert image.frequency == 1.4e9 and np.allclose(image.beam, (5.4 / 3600, 5.4 / 3600, 0))
    truth = read_truth(tmp_path / "out" / "truth.fits")
    at = SkyCoord(np.asarray(found["RA"]), np.asarray(found["DEC"]), unit="deg")
    total = np.asarray(found["Total_flux"])
    loud = np.flatnonzero((truth["snr"] > 20) & ~truth["edge"] & ~truth["blended"])
    ratio = [total[at.separation(SkyCoord(truth["ra"][k], truth["dec"][k])) < spacing / 2 * 1.8 * u.arcsec].sum()
             / truth["flux"][k].to_value(u.Jy) for k in loud]
    assert len(ratio) > 50
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
