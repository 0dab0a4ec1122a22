"""Configuration files and plain values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given
from hypothesis import strategies as st
from radio_beam import Beam

from skygal.io.config import as_plain, dump_config, load_config

KEYS = {"survey", "n_sources", "flux", "fr_mix", "size", "seed"}


def write(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_load(tmp_path):
    path = write(tmp_path, "survey: FIRST\nn-sources: 300\nflux: [1 mJy, 1 Jy]\nfr_mix: {FRI: 0.3, FRII: 0.7}\n"
                           "size: 1e-3\n")
    assert load_config(path, KEYS) == {"survey": "FIRST", "n_sources": 300, "flux": ["1 mJy", "1 Jy"],
                                       "fr_mix": {"FRI": 0.3, "FRII": 0.7}, "size": 1e-3}
    assert load_config(write(tmp_path, ""), KEYS) == {}


def test_load_what_a_command_wrote(tmp_path):
    path = write(tmp_path, "skygal_version: 0.1.0\nseed: 3\noptions: {survey: FIRST, seed: 3}\n")
    assert load_config(path, KEYS) == {"survey": "FIRST", "seed": 3}
    with pytest.raises(ValueError, match="has no 'options': it comes from a call in Python"):
        load_config(write(tmp_path, "skygal_version: 0.1.0\n"), KEYS)


@pytest.mark.parametrize("text, message", [
    ("surveys: FIRST", r"run.yaml' has an unknown key 'surveys' \(did you mean 'survey'\?\)"),
    ("zzz: 1", "has an unknown key 'zzz'; the keys are flux, fr_mix, n_sources, seed, size, survey"),
    ("- a\n- b", "must hold keys and values, got a list"),
    ("survey: [", "is not valid YAML"),
    ("seed: 1\nseed: 2", "'seed' is given twice"), ("1: 1\n1: 2", "1 is given twice"),
    ("seed: " + "[" * 5000, "it is nested deeper than 20"), ("seed: &x 1\nsize: *x", "aliases are not admitted"),
    ("? [1]\n: 2", r"a key must be a word, got \["),
    ("n-sources: 1\nn_sources: 2", "has the key 'n_sources' twice"),
    ("seed: !!python/object/apply:os.getcwd []", "is not valid YAML")])
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_config(write(tmp_path, text), KEYS)


def test_missing_and_unreadable(tmp_path):
    with pytest.raises(FileNotFoundError, match="config file '.*no.yaml' does not exist"):
        load_config(tmp_path / "no.yaml", KEYS)
    with pytest.raises(ValueError, match="cannot be read"):
        load_config(tmp_path, KEYS)
    (tmp_path / "latin").write_bytes(b"survey: \xe9\xff")
    with pytest.raises(ValueError, match="cannot be read"):
        load_config(tmp_path / "latin", KEYS)


def test_plain():
    class Odd:
        def __repr__(self):
            return "Odd(1)"

    assert as_plain({"q": 2 * u.mJy, "pair": [1, 2] * u.deg, "array": np.arange(3), "path": Path("a"), 1: np.True_,
                     "beam": Beam(6 * u.arcsec, 5 * u.arcsec, 30 * u.deg), "odd": Odd(), "big": np.zeros((9, 9)),
                     "bigq": np.zeros(99) * u.m, "number": np.float32(0.5), "none": None}) == {
        "q": "2.0 mJy", "pair": ["1.0 deg", "2.0 deg"], "array": [0, 1, 2], "path": "a", "1": True,
        "beam": "6.0x5.0 arcsec, 30.0 deg", "odd": "Odd(1)", "big": "array of shape (9, 9)",
        "bigq": "array of shape (99,)", "number": 0.5, "none": None}


PLAIN = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
                     lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(PLAIN)
def test_dumped_values_are_read_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("config") / "run.yaml"
    text = dump_config({"size": value})
    assert text.isascii()
    path.write_text(text)
    assert load_config(path, KEYS) == {"size": value}
