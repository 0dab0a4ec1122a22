"""Truths of several runs stack, and say of all of them where they come from."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.table import QTable, Table, hstack, vstack

import skygal
from skygal.truth import read_truth, write_truth

WCS = skygal.make_wcs("12h00m00s +30d00m00s", 64, 1.8 * u.arcsec)


@pytest.fixture(scope="module")
def fields():
    return [skygal.simulate_field(WCS, n, survey="FIRST", seed=seed, las=20 * u.arcsec)
            for n, seed in ((2, 1), (3, 2), (1, 2))]


def test_what_differs_is_listed_what_does_not_is_kept(fields):
    for name in ("truth", "components"):
        tables = [getattr(field, name) for field in fields]
        whole = vstack(tables)
        assert len(whole) == sum(map(len, tables)) and whole.colnames == tables[0].colnames
        assert whole.meta["seed"] == [1, 2] and whole.meta["model"] == tables[0].meta["model"]
        assert whole.meta["frequency"] == 1.4 * u.GHz
        assert whole.meta["configuration"] == {**tables[0].meta["configuration"], "n_sources": [2, 3, 1]}
        # the tables themselves stay as they are, and so may be stacked again
        assert tables[0].meta["seed"] == 1 and vstack([whole, tables[0]]).meta["seed"] == [1, 2]


def test_frequencies_tables_and_injections(fields):
    low, high = skygal.simulate_fields(WCS, 1, frequency=[1, 1.4] * u.GHz, beam=6 * u.arcsec, seed=3,
                                       las=20 * u.arcsec)
    injected = skygal.inject(fields[0].image, 1, wcs=fields[0].header, seed=9, las=20 * u.arcsec)
    whole = vstack([low.truth, high.truth, injected.truth])
    assert whole.meta["frequency"] == [1 * u.GHz, 1.4 * u.GHz] and whole.meta["seed"] == [3, 9]
    assert whole.meta["configuration"]["command"][-1] == "inject"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hstack([low.truth, high.truth])


@pytest.mark.parametrize("suffix", ["fits", "ecsv"])
def test_also_when_they_were_read(fields, tmp_path, suffix):
    read = []
    for k, field in enumerate(fields[:2]):
        write_truth(field.truth, tmp_path / f"{k}.{suffix}")
        read.append(read_truth(tmp_path / f"{k}.{suffix}"))
    whole = vstack(read)
    assert whole.meta["seed"] == [1, 2]
    # and written once more, as a whole
    write_truth(whole, tmp_path / f"whole.{suffix}")
    again = read_truth(tmp_path / f"whole.{suffix}")
    assert again.meta == whole.meta and len(again) == len(whole)
    assert vstack([again, fields[0].truth]).meta["frequency"] == 1.4 * u.GHz


def test_they_are_plain_values_to_all_others(fields, tmp_path):
    meta = fields[0].truth.meta
    plain = {key: value for key, value in meta.items() if key != "frequency"}
    assert json.loads(json.dumps(plain)) == plain == yaml.safe_load(yaml.safe_dump(plain))
    assert yaml.safe_load(yaml.safe_dump(dict(vstack([fields[0].truth, fields[1].truth]).meta["configuration"])))
    assert isinstance(meta["seed"], int) and f"{meta['seed']}" == repr(meta["seed"]) == "1"
    assert meta["frequency"].to_value(u.GHz) == pytest.approx(1.4)
    for same in (copy.deepcopy(meta), pickle.loads(pickle.dumps(meta)), fields[0].truth.copy().meta):
        assert same == meta and vstack([fields[1].truth, QTable(fields[0].truth, meta=same)]).meta["seed"] == [2, 1]
    # by astropy's own writer
    fields[0].truth.write(tmp_path / "own.ecsv")
    again = Table.read(tmp_path / "own.ecsv")
    assert again.meta["seed"] == 1 and again.meta["configuration"] == meta["configuration"]
    assert type(fields[0].provenance["seed"]) is int


def test_other_tables_are_as_they_were():
    first, second = (Table({"a": [1]}, meta={"seed": seed, "n": [1]}) for seed in (1, 2))
    with pytest.warns(match="Cannot merge meta key 'seed'"):
        assert vstack([first, second]).meta == {"seed": 2, "n": [1, 1]}
    assert np.all(vstack([first, first])["a"] == 1)
