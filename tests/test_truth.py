"""The truth tables: their schema, and their way to disk and back."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table

from skygal.io.provenance import make_provenance
from skygal.truth import COMPONENTS, TRUTH, make_components, make_truth, read_truth, write_truth

META = make_provenance(seed=2**61, model=SimpleNamespace(name="m", sha256="ab" * 32), frequency=144 * u.MHz,
                       configuration={"flux": (1 * u.mJy, 1 * u.Jy), "note": "it's long " * 30})


def columns(schema, n=5, seed=1):
    rng = np.random.default_rng(seed)
    values = {int: lambda: rng.integers(0, 2**62, n), float: lambda: rng.normal(size=n),
              bool: lambda: rng.random(n) > 0.5, str: lambda: rng.choice(["FRI", "FRII", "x"], n)}
    out = {column.name: values[column.dtype]() for column in schema}
    for column in schema:
        if column.dtype is float and n:
            out[column.name][0] = np.nan
    return out


@pytest.mark.parametrize("make, schema", [(make_truth, TRUTH), (make_components, COMPONENTS)])
@pytest.mark.parametrize("suffix", ["fits", "ecsv"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_round_trip(tmp_path, make, schema, suffix, n):
    table = make(columns(schema, n), META)
    path = tmp_path / f"truth.{suffix}"
    write_truth(table, path)
    back = read_truth(path)
    assert back.meta == META and back.colnames == [column.name for column in schema]
    assert isinstance(back, QTable) and len(back) == n
    for column in schema:
        np.testing.assert_array_equal(np.asarray(back[column.name]), np.asarray(table[column.name]))
        assert type(back[column.name]) is type(table[column.name])
        assert back[column.name].dtype.kind == table[column.name].dtype.kind
        assert back[column.name].info.description == column.description
        assert back[column.name].unit == (u.Unit(column.unit, format="fits") if column.unit else None)


def test_names_and_units_are_in_order():
    for schema in (TRUTH, COMPONENTS):
        names = [column.name for column in schema]
        assert len(set(names)) == len(names)
        for column in schema:
            assert column.description.isascii() and column.description[-1] != "."
            u.Unit(column.unit, format="fits")
    table = make_truth(columns(TRUTH))
    assert table["flux"].unit == u.Jy and table["peak_flux"].unit == u.Jy / u.beam
    assert table["x"].dtype == float and table["source_id"].dtype == np.int64


def test_quantities_are_converted():
    given = columns(TRUTH) | {"flux": np.full(5, 2) * u.mJy, "pa": np.full(5, np.pi / 2) * u.rad}
    table = make_truth(given)
    assert table["flux"][0] == 2e-3 * u.Jy and table["pa"][0].value == pytest.approx(90)


def test_any_fits_reader_takes_it(tmp_path):
    """Astropy's own reader, which knows nothing of ours, finds the units and the header's cards."""
    write_truth(make_truth(columns(TRUTH), META), tmp_path / "truth.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(tmp_path / "truth.fits", hdu=1)
    assert table["flux"].unit == u.Jy and len(table) == 5
    header = fits.getheader(tmp_path / "truth.fits", 1)
    assert header["SEED"] == 2**61 and header["RESTFREQ"] == 144e6 and header["MODEL"] == "m"
    number = [column.name for column in TRUTH].index("flux") + 1
    assert header[f"TCOMM{number}"] == next(c.description for c in TRUTH if c.name == "flux")
    assert header[f"TUNIT{number}"] == "Jy"
    write_truth(make_truth(columns(TRUTH), META), tmp_path / "truth.ecsv")
    assert Table.read(tmp_path / "truth.ecsv")["las"].unit == u.arcsec


def test_vector_columns(tmp_path):
    table = QTable({"latents": np.arange(6.0).reshape(2, 3), "fr_class": ["FRI", "FRII"]}, meta={"seed": 1})
    for suffix in ("fits", "ecsv"):
        write_truth(table, tmp_path / f"t.{suffix}")
        np.testing.assert_array_equal(read_truth(tmp_path / f"t.{suffix}")["latents"], table["latents"])


def change(**more):
    return columns(TRUTH) | more


@pytest.mark.parametrize("given, error, message", [
    ({}, ValueError, "truth must have all its columns, missing source_id, fr_class"),
    (change(flx=np.zeros(5)), ValueError, r"only its own columns, got 'flx' \(did you mean 'flux'\?\)"),
    (change(flux=np.zeros(4)), ValueError, "one length, got 4 values of 'flux' and 5 of 'source_id'"),
    (change(flux=np.zeros((5, 2))), ValueError, r"'flux' must be one-dimensional, got the shape \(5, 2\)"),
    (change(flux=["a"] * 5), TypeError, "truth column 'flux' must be of type float, got <U1"),
    (change(source_id=np.zeros(5)), TypeError, "'source_id' must be of type int, got float64"),
    (change(edge=np.zeros(5)), TypeError, "'edge' must be of type bool, got float64"),
    (change(fr_class=np.zeros(5)), TypeError, "'fr_class' must be of type str, got float64"),
    (change(flux=np.zeros(5) * u.m), u.UnitConversionError, "'flux' must be in units convertible to Jy, got m"),
    (change(x=np.zeros(5) * u.m), u.UnitConversionError, "'x' must be in units convertible to a plain number")])
def test_bad_columns(given, error, message):
    with pytest.raises(error, match=message):
        make_truth(given)


def test_object_strings_are_taken():
    assert make_truth(change(fr_class=np.array(["FRI"] * 5, dtype=object)))["fr_class"].dtype.kind == "U"


def test_bad_paths(tmp_path):
    table = make_truth(columns(TRUTH), META)
    for call in (lambda path: write_truth(table, path), read_truth):
        with pytest.raises(ValueError, match=r"path must end in .fits or .ecsv, got '.*truth.csv'"):
            call(tmp_path / "truth.csv")
    with pytest.raises(FileNotFoundError, match="truth table '.*no.fits' does not exist"):
        read_truth(tmp_path / "no.fits")
    write_truth(table, tmp_path / "truth.fits")
    with pytest.raises(FileExistsError, match="exists; give overwrite=True"):
        write_truth(table, tmp_path / "truth.fits")
    write_truth(table, tmp_path / "truth.fits", overwrite=True)
    (tmp_path / "bad.fits").write_text("hello")
    (tmp_path / "bad.ecsv").write_text("hello")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    for name in ("bad.fits", "bad.ecsv", "image.fits"):
        with pytest.raises(ValueError, match="truth table '.*' cannot be read"):
            read_truth(tmp_path / name)
