"""Tables from anywhere: none reaches out, hangs or fills memory; what cannot be read is one line."""

import gzip
import io
import os
import socket
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.time import Time

from skygal.io.table_files import read_table
from skygal.observation.observe import make_frame
from skygal.population.tables import as_table
from skygal.truth.tables import read_truth
from skygal.wcs import make_wcs

ROWS = {"ra": [1.0, 2.0], "dec": [3.0, 4.0], "flux": [0.1, 0.2]}


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch):
    """Nothing may be asked for, whether it is there or not."""
    asked = []

    def refuse(*words, **_):
        asked.append(words)
        raise AssertionError(f"reached out: {words}")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not asked


@contextmanager
def refused(*words):
    with pytest.raises(ValueError) as caught:
        yield
    text = str(caught.value)
    assert len(text) < 1000 and "\n" not in text
    for word in words:
        assert word in text


def votable(data, fields='<FIELD name="flux" datatype="double" unit="Jy"/>', head="", table=""):
    return (f'<?xml version="1.0"?>{head}<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
            f"<TABLE {table}>{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>")


ROW = "<TABLEDATA><TR><TD>1.5</TD></TR></TABLEDATA>"
LAUGH = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(12))
VOTABLES = {
    "rows at a URL": (votable('<BINARY><STREAM href="http://127.0.0.1:9/rows"/></BINARY>'), "hold its rows itself"),
    "rows in a file": (votable('<BINARY2><STREAM href="file:///etc/passwd"/></BINARY2>'), "STREAM of 'file:///etc/pass"),
    "with a prefix": (votable('<v:BINARY xmlns:v="x"><v:STREAM v:href="ftp://h/x"/></v:BINARY>'), "its rows itself"),
    "FITS elsewhere": (votable('<FITS extnum="1"><STREAM href="http://h/x.fits"/></FITS>'), "an element FITS"),
    "FITS inside": (votable('<FITS><STREAM encoding="base64">AAAA</STREAM></FITS>'), "an element FITS"),
    "Parquet": (votable('<PARQUET type="VOTable-remote-file"><STREAM href="file:x"/></PARQUET>'), "PARQUET"),
    "a DTD": (votable(ROW, head='<!DOCTYPE VOTABLE SYSTEM "http://h/x.dtd">'), "DOCTYPE"),
    "an outside entity": (votable(ROW.replace("1.5", "&x;"), head='<!DOCTYPE V [<!ENTITY x SYSTEM "file:///etc/hosts">]>'),
                          "DOCTYPE"),
    "entities of entities": (votable(ROW.replace("1.5", "&l11;"), head=f"<!DOCTYPE V [{LAUGH}]>"), "DOCTYPE"),
    "rows that are not there": (votable(ROW, table='nrows="100000000000"'), "arraysize and nrows"),
    "rows of no number": (votable(ROW, table='nrows="many"'), "nrows must be a whole number, got 'many'"),
    "negative rows": (votable(ROW, table='nrows="-1"'), "nrows"),
    "cells without end": (votable(ROW, fields='<FIELD name="a" datatype="double" arraysize="1000x1000x1000"/>'),
                          "arraysize must be at most 10**6"),
    "many wide cells": (votable(ROW, fields='<FIELD name="a" datatype="double" arraysize="900000"/>' * 100),
                        "arraysize and nrows"),
    "many columns": (votable(ROW, fields='<FIELD name="a" datatype="int"/>' * 10_001), "10000 columns"),
    "groups in groups": (votable(ROW, fields='<GROUP>' * 2000 + "</GROUP>" * 2000), "nested deeper than 50"),
    "a long unit": (votable(ROW, fields=f'<FIELD name="a" datatype="int" unit="{"m." * 10**5}"/>'), "unit of 'FIELD'"),
    "cut off": (votable(ROW)[:200], "no whole VOTable"), "no VOTable": ("<?xml version='1.0'?><a/>", ""),
}


@pytest.mark.parametrize("what", VOTABLES)
def test_votables(tmp_path, what):
    text, said = VOTABLES[what]
    for name in ("t.vot", "t.xml", "table"):  # told by the contents
        (tmp_path / name).write_text(text)
        with refused(f"{name}'", said):
            as_table(tmp_path / name)
    with refused("beam table '", "t.vot'", said):
        make_frame(make_wcs("1 2", 8, 2 * u.arcsec), (8, 8), beam=tmp_path / "t.vot")


def test_a_votable_with_links(tmp_path):
    """They lead elsewhere too, but nobody follows them."""
    link = '<FIELD name="flux" datatype="double" unit="Jy"><LINK href="http://vizier.example/x"/></FIELD>'
    (tmp_path / "t.vot").write_text(votable(ROW, fields=link))
    assert as_table(tmp_path / "t.vot")["flux"][0] == 1.5
    for kind in ("tabledata", "binary", "binary2"):
        Table(ROWS).write(tmp_path / "w.vot", format="votable", tabledata_format=kind, overwrite=True)
        assert list(as_table(tmp_path / "w.vot")["flux"]) == ROWS["flux"]


def ecsv(meta):
    head = "%ECSV 1.0\n---\ndatatype:\n- {name: flux, unit: Jy, datatype: float64}\n" + meta
    return "\n".join("# " + line for line in head.splitlines()) + "\nflux\n1.5\n"


BOMB = "meta:\n- x0: &x0 [1]\n" + "\n".join(f"- x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]" for i in range(1, 12))
ARRAY = "!numpy.ndarray {buffer: !!binary QUFBQUFBQUE=, dtype: O, shape: !!python/tuple [1]}"
HEADERS = {
    "an array of objects": (f"meta: {{a: {ARRAY}}}", "of the kind '!numpy.ndarray'"),
    "an array at an offset": ("meta: {a: !numpy.ndarray {buffer: !!binary QUFB, dtype: S8, offset: -4096}}", "ndarray"),
    "a void": ("meta: {a: !numpy.void {buffer: !!binary QUFB, dtype: O}}", "numpy.void"),
    "an object of Python": ("meta: {a: !!python/object/apply:os.system [ls]}", "python/object"),
    "aliases without end": (BOMB, "more than 200000 values"), "a list in itself": ("meta: &a [*a]", "holds itself"),
    "deep lists": ("meta: " + "[" * 5000 + "]" * 5000, "nested deeper than 50"),
    "a long header": ("meta: {a: '" + "x" * 300_000 + "'}", "262144 characters"),
    "no YAML": ("meta: [", "not valid YAML"),
    "a class of our own": ("meta:\n  __serialized_columns__: {flux: {__class__: os.system, "
                           "value: !astropy.table.SerializedColumn {name: flux}}}", "os.system"),
    "a shape without end": ("", ""),
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_of_ecsv(tmp_path, what):
    meta, said = HEADERS[what]
    text = ecsv(meta)
    if what == "a shape without end":
        text = text.replace("datatype: float64", "datatype: string, subtype: 'float64[1000000000,1000000000]'")
    for name in ("t.ecsv", "t.csv", "t"):
        (tmp_path / name).write_text(text)
        with refused(f"{name}'", said):
            as_table(tmp_path / name)
    with refused("truth table '", "t.ecsv'", said):
        read_truth(tmp_path / "t.ecsv")


@pytest.mark.parametrize("what", ["an array of objects", "aliases without end", "a list in itself"])
def test_headers_of_fits_tables(tmp_path, what):
    """They hold the same YAML, in comments."""
    hdu = fits.BinTableHDU(Table(ROWS))
    lines = ("datatype:\n- {name: flux, datatype: float64}\n" + HEADERS[what][0]).splitlines()
    for line in ("--BEGIN-ASTROPY-SERIALIZED-COLUMNS--", *lines, "--END-ASTROPY-SERIALIZED-COLUMNS--"):
        parts = [line[k:k + 70] for k in range(0, len(line), 70)]
        for k, part in enumerate(parts):
            hdu.header.add_comment(part + "\\" * (k < len(parts) - 1), after=len(hdu.header))
    hdu.writeto(tmp_path / "t.fits")
    with refused("t.fits'", HEADERS[what][1]):
        as_table(tmp_path / "t.fits")


def table_bytes(**cards):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(Table(ROWS))]).writeto(file)
    data = file.getvalue()
    for key, value in cards.items():
        at = data.index(f"{key:8}=".encode(), 2880)
        data = data[:at] + f"{key:8}= {value:>20}".ljust(80).encode() + data[at + 80:]
    return data


@pytest.mark.parametrize(("cards", "said"), [
    ({"NAXIS2": 10**12}, "NAXIS2"), ({"NAXIS1": 10**9}, "NAXIS1"), ({"TFORM1": "'1000000000D'"}, "TFORM1"),
    ({"TFORM2": "'QD(3)'"}, "TFORM2 must be of one size"), ({"TFORM2": "'xyz'"}, "TFORM2 must be a format"),
    ({"TFIELDS": 10**9}, "TFIELDS"), ({"TFIELDS": "'3'"}, "TFIELDS"), ({"TFIELDS": 2}, "make up NAXIS1"),
    ({"PCOUNT": 10**12}, ""), ({"BITPIX": 1000}, "BITPIX"), ({"NAXIS": 999}, "NAXIS"), ({"NAXIS2": -2}, "NAXIS2")])
def test_fits_tables(tmp_path, cards, said):
    (tmp_path / "t.fits").write_bytes(table_bytes(**cards))
    (tmp_path / "t.fits.gz").write_bytes(gzip.compress(table_bytes(**cards)))
    for name in ("t.fits", "t.fits.gz"):
        with refused(f"{name}'", said):
            as_table(tmp_path / name)


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    os.symlink("/dev/zero", tmp_path / "zero.csv")
    os.symlink(tmp_path / "loop.csv", tmp_path / "loop.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "empty.csv").touch()
    (tmp_path / "noise.csv").write_bytes(np.random.default_rng(0).bytes(3000))
    (tmp_path / "zeros.csv").write_bytes(b"\0" * 3000)
    (tmp_path / "wide.csv").write_text(",".join(f"c{i}" for i in range(20_000)) + "\n")
    (tmp_path / "image.fits").write_bytes(b"")
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "pixels.fits")
    for name, said in (("pipe.csv", "named pipe"), ("zero.csv", "a device"), ("folder.csv", "a folder"),
                       ("empty.csv", "empty"), ("noise.csv", ""), ("zeros.csv", "no table of text"),
                       ("wide.csv", "more than 10000 columns"), ("image.fits", "must be FITS"),
                       ("pixels.fits", "no table")):
        with refused(f"{name}'", said):
            as_table(tmp_path / name)
    for name in ("loop.csv", "none.csv", "http://127.0.0.1:9/t.csv", "file:///etc/passwd", "x\0y", "n" * 5000):
        with pytest.raises((FileNotFoundError, ValueError), match="^table must be "):
            as_table(name)


def test_what_stays(tmp_path):
    """Units, aliases that astropy writes itself, masks, positions and times come through."""
    table = QTable({"sky": SkyCoord([1, 2] * u.deg, [3, 4] * u.deg, frame="fk5", equinox=Time("J1975")),
                    "flux": [1, 2] * u.Jy, "when": Time(["2000-01-01", "2001-01-01"])})
    table.meta.update(low=1 * u.Hz, high=2 * u.Hz, words=["a", "b"])
    table.write(tmp_path / "t.ecsv")
    found = read_table(tmp_path / "t.ecsv", "table")
    assert "*id" in (tmp_path / "t.ecsv").read_text() and found.meta["high"] == 2 * u.Hz
    assert found["sky"].frame.name == "fk5" and found["flux"].unit == u.Jy
    del table.meta["low"], table.meta["high"], table["when"]
    table.write(tmp_path / "t.fits")
    (tmp_path / "t.fits.gz").write_bytes(gzip.compress((tmp_path / "t.fits").read_bytes()))
    for name in ("t.fits", "t.fits.gz"):
        found = read_table(tmp_path / name, "table")
        assert found["sky"].frame.name == "fk5" and found["flux"].unit == u.Jy
    file = fits.open(tmp_path / "t.fits")
    fits.HDUList([*file, fits.BinTableHDU(Table({"x": [1]}), name="TWO")]).writeto(tmp_path / "two.fits")
    file.close()
    with pytest.warns(UserWarning, match="has several tables, in HDU 1, 2; the first is read"):
        assert "flux" in read_table(tmp_path / "two.fits", "table").colnames
    assert read_table(tmp_path / "two.fits", "table", hdu="TWO").colnames == ["x"]
    Table(ROWS).write(tmp_path / "t.csv")
    assert list(read_table(tmp_path / "t.csv", "table")["dec"]) == ROWS["dec"]
    with fits.open(tmp_path / "t.fits") as hdus:
        text = fits.TableHDU.from_columns([fits.Column("flux", "F10.3", array=np.array([1.5, 2.5]))])
        fits.HDUList([hdus[0], text]).writeto(tmp_path / "text.fits")
    assert list(read_table(tmp_path / "text.fits", "table")["flux"]) == [1.5, 2.5]


def test_positions_that_need_the_earth(tmp_path):
    """From horizontal coordinates the way to the sky leads over tables that astropy would fetch."""
    from astropy.coordinates import AltAz, EarthLocation

    frame = AltAz(obstime=Time("2020-01-01"), location=EarthLocation.from_geocentric(1e6, 2e6, 6e6, "m"))
    table = QTable({"sky": SkyCoord([1, 2] * u.deg, [3, 4] * u.deg, frame=frame), "flux": [1, 2] * u.Jy})
    table.write(tmp_path / "t.ecsv")
    with refused("t.ecsv'", "positions in one of icrs", "'altaz'"):
        read_table(tmp_path / "t.ecsv", "table")
