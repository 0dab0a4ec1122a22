"""A source finder reads what is written, unchanged, and finds the fluxes that truth tells."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("bdsf"), reason="needs PyBDSF: pip install 'skygal[finders]'"),
    pytest.mark.filterwarnings("ignore:.* sources have stamps coarser"),
]


def test_pybdsf_finds_the_fluxes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import finders

    field = finders.make_field(3, flux=(20 * u.mJy, 1 * u.Jy))
    read, found = finders.find(field.write(tmp_path / "out") / "field.fits")
    assert read == pytest.approx([1.4e9, 5.4 / 3600, 5.4 / 3600, 0])
    ratio, pixels, rows = finders.compare(field, found)
    assert rows.size > 40
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    # a sum that no finder has had a part in
    assert np.median(pixels) == pytest.approx(1, abs=0.02)
