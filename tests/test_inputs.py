"""Files from outside: what is no file, too large, or says that it is larger than it is, is one line."""

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from skygal.checks import show
from skygal.io import inputs
from skygal.io.config import dump_config, load_config, parse_yaml
from skygal.io.inputs import check_file, open_file, read_bytes, read_npy, read_npz, read_text
from skygal.io.provenance import read_provenance
from skygal.io.words import parse_latents
from skygal.observation.psf import read_psf_image
from skygal.observation.surveys import read_survey
from skygal.training.data.readers import read_stamps

MiB = 2**20


def refuse(call, *words, error=ValueError):
    """One line with all words, and no more memory than a few MiB before it."""
    tracemalloc.start(1)
    try:
        with pytest.raises(error) as caught:
            call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1500 and peak < 64 * MiB
    for word in words:
        assert word in text


def npy(shape, dtype="<f8", data=b"", header=None):
    """Return an NPY file of any header."""
    text = header or f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


ARRAYS = {
    "more values than bytes": npy((10**6, 10**6)), "a little more": npy((3,), data=b"x" * 23),
    "fewer values than bytes": npy((3,), data=b"x" * 25), "beyond 64 bits": npy((2**62, 2**62)),
    "negative": npy((-1, -8), data=b"x" * 64), "no whole number": npy((1.5,)), "no shape": npy("abc"),
    "no values and a long axis": npy((10**15, 0)), "texts of no length": npy((10**15,), "<U0"),
    "objects": npy((1,), "|O", b"x" * 8),
    "fields": npy((1,), [("a", "<f8")], b"x" * 8), "dates": npy((1,), "<M8[s]", b"x" * 8),
    "a dtype that is none": npy((1,), "hello", b"x" * 8), "no literal": npy((), header="__import__('os')"),
    "deep": npy((), header="(" * 200 + ")" * 200), "too deep": npy((), header="[" * 9000 + "]" * 9000),
    "long": npy((), header="{'descr': '" + "x" * 60000 + "'}"), "no characters": npy((1,), "<U1", b"\xff" * 4),
    "version 3": npy((1,)).replace(b"\x01\x00", b"\x03\x00", 1),
    "version 9": npy((1,)).replace(b"\x01\x00", b"\x09\x09", 1),
    "cut off": npy((1,))[:20], "nothing": b"", "a pickle": b"\x80\x04K\x01.", "zeros": bytes(1000),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays(tmp_path, what):
    path = tmp_path / "x.npy"
    path.write_bytes(ARRAYS[what])
    refuse(lambda: read_npy(path, "latents file"), "latents file '", "x.npy' cannot be read as an array: ")
    refuse(lambda: parse_latents("latents", str(path)), "latents file '")
    refuse(lambda: read_psf_image(path), "psf file '")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("image.npy", ARRAYS[what])
        archive.writestr("label.npy", npy((1,), "<i8", b"\0" * 8))
    refuse(lambda: read_stamps(tmp_path / "x.npz"), "stamps '", "x.npz' cannot be read as an NPZ file", "'image'")


def bomb(path, sizes, name="{}.npy"):
    """Write an archive of members that are nothing but zeros behind an NPY header, each of a size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for k, size in enumerate(sizes):
            with archive.open(name.format(("image", "label", *map(str, range(99)))[k]), "w", force_zip64=True) as file:
                file.write(npy((size,), "|u1"))
                for _ in range(size // MiB):
                    file.write(bytes(MiB))


def test_archives_that_unpack_without_end(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    bomb(path, [300 * MiB])
    refuse(lambda: read_stamps(path), "stamps '", "unpacks from", "more than 100 times")
    monkeypatch.setattr(inputs, "LARGEST_UNPACKED", 4 * MiB)
    bomb(path, [2 * MiB] * 8)
    refuse(lambda: read_stamps(path), "unpacks from")
    # of the arrays that are asked for alone
    assert list(read_npz(path, "file", only=("image",))) == ["image"]


def test_archives_that_lie(tmp_path):
    """The directory says one size, the stream has another."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, image=np.zeros((2, 8, 8)), label=np.zeros(2, int))
    good = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = struct.pack("<I", archive.getinfo("image.npy").file_size)
    for claimed in (0, 100, 2**20, 2**31):
        path.write_bytes(good.replace(size, struct.pack("<I", claimed)))
        refuse(lambda: read_stamps(path), "stamps '", "x.npz'")
    for flipped in range(30, len(good), 97):
        path.write_bytes(good[:flipped] + bytes([good[flipped] ^ 255]) + good[flipped + 1:])
        try:
            read_npz(path, "stamps")
        except ValueError as error:
            assert "x.npz' cannot be read" in str(error) and "\n" not in str(error)


def test_arrays_come_back(tmp_path):
    given = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yz"]),
             "c": np.asfortranarray(np.ones((2, 3), ">i2")), "d": np.array(5),
             "e": np.zeros((0, 4, 4), np.float32), "f": np.array([True, False])}
    np.savez_compressed(tmp_path / "x.npz", **given)
    found = read_npz(tmp_path / "x.npz", "file")
    assert list(found) == list(given)
    for key, value in given.items():
        np.testing.assert_array_equal(found[key], value)
        np.save(tmp_path / "x.npy", value)
        np.testing.assert_array_equal(read_npy(tmp_path / "x.npy", "file"), value)


@pytest.fixture
def no_files(tmp_path):
    """Return names of what is there and no file, by what it is."""
    def make(ending):
        home = tmp_path / ending.strip(".")
        home.mkdir()
        os.mkfifo(home / f"pipe{ending}")
        (home / f"folder{ending}").mkdir()
        os.symlink("/dev/zero", home / f"zero{ending}")
        os.symlink(home / f"loop{ending}", home / f"loop{ending}")
        return {home / f"pipe{ending}": "a named pipe", home / f"folder{ending}": "a folder",
                home / f"zero{ending}": "a device", home / f"loop{ending}": ""}
    return make


def test_what_is_no_file(no_files):
    for ending, call in ((".npy", lambda path: parse_latents("latents", str(path))), (".npz", read_stamps),
                         (".yaml", lambda path: load_config(path, ["a"])),
                         (".txt", lambda path: read_text(path, "file")),
                         (".bin", lambda path: check_file(path, "file"))):
        for path, what in no_files(ending).items():
            if ending != ".npz" or what != "a folder":
                refuse(lambda: call(path), what, error=(ValueError, FileNotFoundError))  # noqa: B023
    for path, what in no_files(".yml").items():
        if what:
            refuse(lambda: read_survey(path), "survey file '", what)  # noqa: B023
    refuse(lambda: check_file("no", "config file"), "config file 'no' does not exist", error=FileNotFoundError)
    refuse(lambda: check_file("a\0b", "file"), "file 'a\\x00b' cannot be read")
    refuse(lambda: check_file("n" * 5000, "file"), "cannot be read")


def test_large_files(tmp_path):
    """Sparse ones of a thousand million bytes are at once refused where small ones are expected."""
    path = tmp_path / "x.yaml"
    with open(path, "wb") as file:
        file.truncate(10**9)
    refuse(lambda: load_config(path, ["a"]), "config file '", "at most 262144 bytes, got 1000000000")
    refuse(lambda: read_survey(path), "survey file '", "at most 262144 bytes")
    refuse(lambda: read_bytes(path, "file", largest=10), "at most 10 bytes")
    path.write_bytes(b"\xff\xfe\0a: 1")
    refuse(lambda: load_config(path, ["a"]), "it is no text in UTF-8")


def test_a_file_that_turns_into_a_pipe(tmp_path, monkeypatch):
    """Between the look and the opening; nobody waits for it."""
    os.mkfifo(tmp_path / "x")
    monkeypatch.setattr("skygal.io.inputs.check_file", lambda *_, **__: None)
    with pytest.raises(ValueError, match="it is a named pipe"), open_file(tmp_path / "x", "file"):
        pass


BOMB = "a0: &a0 [1]\n" + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
YAML = {
    "aliases": BOMB, "one alias": "a: &x 1\nb: *x", "a list in itself": "a: &x [*x]",
    "merged": "a: &x {b: 1}\nc:\n  <<: *x",
    "deep": "a: " + "[" * 1000, "deep keys": "? " * 1000, "digits": "a: " + "9" * 5000, "no date": "a: 2024-13-45",
    "a tag": "a: !!python/object/apply:os.system [ls]", "no number": "a: !!int x", "no truth": "a: !!bool x",
    "no time": "a: !!timestamp x", "a key that is a list": "? [1, 2]\n: 3", "twice": "a: 1\na: 2", "a NUL": "a: \0",
    "documents": "--- a\n--- b",
}


@pytest.mark.parametrize("what", YAML)
def test_settings(tmp_path, what):
    (tmp_path / "x.yaml").write_text(YAML[what])
    refuse(lambda: load_config(tmp_path / "x.yaml", ["a", "b", "c"]), "config file '", "x.yaml' is not valid YAML: ")
    refuse(lambda: read_survey(tmp_path / "x.yaml"), "survey file '", "x.yaml' must be YAML, got ")
    refuse(lambda: parse_yaml(YAML[what]))


def test_provenance_with_aliases():
    from astropy.io import fits

    header = fits.Header()
    for line in BOMB.splitlines():
        header.add_history("skygal| " + line[:60])
    refuse(lambda: read_provenance(header))


def test_what_is_written_has_no_aliases():
    same = [1, 2]
    assert parse_yaml(dump_config({"a": same, "b": same, "c": {"d": same}})) == {
        "a": same, "b": same, "c": {"d": same}}


def test_values_in_messages():
    assert show([1, "a"]) == "[1, 'a']" and len(show("x" * 10**6)) <= 210
    assert len(show(list(range(10**6)))) < 100 and len(show({"a": ["b" * 10**5] * 10**5})) <= 210
    deep = []
    for _ in range(10**4):
        deep = [deep]
    assert show(deep) == "[[[[[...]]]]]"
    assert show(10**5000) == "a value that is too long to be shown (int)"


def test_errors_of_the_command_line_are_short(tmp_path):
    (tmp_path / "c.yaml").write_text("flux: '" + "x" * 200_000 + "'\ncenter: 1 2\nsize: 16\npixel_scale: 2 arcsec\n")
    done = subprocess.run([sys.executable, "-m", "skygal.cli", "simulate", "--config", "c.yaml", "--output", "o"],
                          capture_output=True, text=True, timeout=120, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)})
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and len(done.stderr) < 2100
    assert done.stderr.startswith("Error: flux must be a number with a unit")


def png(width, height, data=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(
        b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data", [png(100_000, 100_000), png(2**31 - 1, 2**31 - 1), png(0, 5), png(64, 64, b"ab"),
                                  png(8, 8)[:40], b"", b"GIF89a" + bytes(100), b"II*\0" + bytes(100)])
def test_images_that_are_none(tmp_path, data):
    pytest.importorskip("PIL")
    home = tmp_path / "FRI"
    home.mkdir()
    (home / "x.png").write_bytes(data)
    refuse(lambda: read_stamps(tmp_path), "x.png'")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("galaxy_data/1.5_2.5_0_x.png", data)
    (tmp_path / "x.zip").write_bytes(whole.getvalue())
    refuse(lambda: read_stamps(tmp_path / "x.zip"), "stamps '", "x.zip'")


def test_wheels_that_unpack_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "LARGEST_UNPACKED", 4 * MiB)
    bomb(tmp_path / "x.whl", [8 * MiB], "firstgalaxydata/galaxy_data.zip")
    refuse(lambda: read_stamps(tmp_path / "x.whl"), "x.whl'", "unpacks from")


@pytest.mark.parametrize(("name", "value"), [("wcs", 1), ("psf", 0), ("psf", [1, None])])
def test_numbers_are_no_paths(tmp_path, name, value):
    """They would be the files that a process has open: 0 is what it is told, 1 and 2 what it says."""
    from skygal.cli.grid import parse_wcs
    from skygal.io.words import parse_path

    call = (lambda: parse_wcs(wcs=value)) if name == "wcs" else lambda: parse_path(name, value)
    refuse(call, f"{name} must be a path, got ")
