"""Whole files and folders: kills, power cuts, what a user put there, and names that are none."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from skygal.io import atomic, disk, parts, writable
from skygal.io.atomic import check_writable, whole_directory, whole_file
from skygal.io.manifest import MANIFEST, dump_manifest, read_manifest, walk

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="has no /proc")


def write(path, text="1", name="x", **more):
    with whole_directory(path, overwrite=True, **more) as part:
        (part / "sub").mkdir()
        (part / "sub" / name).write_text(text)
        (part / "top").write_text(text)


def texts(path):
    return {name: (Path(path) / name).read_text() for name in walk(path).files}


def run(code, cwd, *words, **more):
    return subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, text=True, capture_output=True, timeout=120,
                          **more)


# ---- a power cut: the order of calls

@pytest.fixture
def calls(monkeypatch):
    """Record what is synced and renamed, in order."""
    seen = []
    fsync = os.fsync

    def sync(opened):
        seen.append(("sync", os.readlink(f"/proc/self/fd/{opened}")))
        fsync(opened)

    def record(module, name):
        before = getattr(module, name)

        def call(one, other):
            seen.append((name, str(one), str(other)))
            return before(one, other)

        monkeypatch.setattr(module, name, call)

    monkeypatch.setattr(os, "fsync", sync)
    record(os, "rename")
    record(os, "replace")
    record(atomic, "exchange")
    return seen


@needs_proc
@pytest.mark.parametrize("there", [False, True])
def test_a_folder_is_on_disk_before_its_name(tmp_path, calls, there):
    target = tmp_path / "deep" / "out"
    if there:
        write(target, "0")
        calls.clear()
    write(target)
    (at, named), = [(k, call) for k, call in enumerate(calls) if call[0] in ("rename", "exchange")]
    part = named[1]
    before, after = ([call[1] for call in some if call[0] == "sync"] for some in (calls[:at], calls[at:]))
    assert set(before) == {part, *(f"{part}/{name}" for name in ("sub", "sub/x", "top", MANIFEST))}
    # names are synced when the bytes are
    assert before[-2:] == [f"{part}/sub", part] and before.index(f"{part}/sub/x") < before.index(f"{part}/{MANIFEST}")
    assert str(target.parent) in after and (there or str(tmp_path) in after)
    assert named[2] == str(target) and named[0] == ("exchange" if there else "rename")


@needs_proc
def test_the_one_before_goes_when_the_new_name_is_on_disk(tmp_path, calls, monkeypatch):
    write(tmp_path / "out", "0")
    remove = atomic.remove_replaced
    monkeypatch.setattr(atomic, "remove_replaced", lambda path: (calls.append(("remove", str(path))), remove(path)))
    calls.clear()
    write(tmp_path / "out")
    kinds = [call[0] for call in calls]
    assert kinds.index("exchange") < kinds.index("remove") and calls[kinds.index("remove") - 1] == ("sync",
                                                                                                 str(tmp_path))


@needs_proc
@pytest.mark.parametrize("there", [False, True])
def test_a_file_is_on_disk_before_its_name(tmp_path, calls, there):
    target = tmp_path / "x.txt"
    if there:
        target.write_text("0")
    with whole_file(target, overwrite=True) as part:
        part.write_text("1")
        os.chmod(part, 0o600)
    calls = [call for call in calls if call[0] != "exchange"]
    assert calls == [("sync", str(part)), ("replace", str(part), str(target)), ("sync", str(tmp_path))]


@needs_proc
def test_all_of_a_zarr_tree_and_a_streamed_image_is_synced(tmp_path, calls):
    import numpy as np
    from astropy.io import fits

    from skygal.io.streaming import stream_fits, stream_zarr

    pytest.importorskip("zarr")
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 40, "NAXIS2": 50})
    with whole_directory(tmp_path / "out") as part:
        stream_fits({part / "field.fits": (np.zeros((50, 40)), header, np.float32)})
        stream_zarr(part / "field.zarr", {"image": np.zeros((50, 40))}, {})
    at = next(k for k, call in enumerate(calls) if call[0] == "rename")
    synced = {os.path.relpath(call[1], part) for call in calls[:at] if call[0] == "sync"}
    tree = walk(tmp_path / "out")
    assert "field.zarr/image/zarr.json" in tree.files
    assert synced >= {*tree.files, *tree.folders, MANIFEST, "."}


def test_many_files_are_synced(tmp_path, monkeypatch):
    seen, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda opened: (seen.append(os.fstat(opened).st_ino), fsync(opened)))
    with whole_directory(tmp_path / "out") as part:
        for k in range(50):
            (part / str(k)).write_text("1")
    assert {os.stat(tmp_path / "out" / str(k)).st_ino for k in range(50)} < set(seen)


def test_a_disk_that_is_found_full_late(tmp_path, monkeypatch):
    """NFS and quotas may refuse at fsync what they took at write."""
    def fail(opened):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", fail)
    for write_it in (lambda: write(tmp_path / "out"), lambda: write_file(tmp_path / "x")):
        with pytest.raises(OSError, match="output could not be written \\(Disk quota exceeded\\)"):
            write_it()
    assert list(tmp_path.iterdir()) == []


def write_file(path, text="1", **more):
    with whole_file(path, overwrite=True, **more) as part:
        part.write_text(text)


def test_folders_that_cannot_be_synced_do_not_matter(tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(opened):
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "no")
        fsync(opened)

    monkeypatch.setattr(os, "fsync", only_files)
    write(tmp_path / "out")
    assert texts(tmp_path / "out") == {"sub/x": "1", "top": "1"}


# ---- overwriting

def test_the_name_is_missing_at_no_moment(tmp_path):
    target = tmp_path / "out"
    write(target, "0")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    if not disk.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system exchanges no names")
    missing, done = [], threading.Event()

    def poll():
        while not done.is_set():
            if not target.is_dir():
                missing.append(time.time())

    reader = threading.Thread(target=poll)
    reader.start()
    for k in range(30):
        write(target, str(k))
    done.set()
    reader.join()
    assert not missing and texts(target)["top"] == "29"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


@pytest.mark.parametrize("number, can", [(errno.EINVAL, True), (errno.ENOSYS, True), (errno.EXDEV, True),
                                         (errno.EACCES, False)])
def test_what_an_exchange_says(tmp_path, monkeypatch, number, can):
    import ctypes
    from types import SimpleNamespace

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=lambda *_: -1))
    monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    if can:
        assert not disk.exchange(tmp_path / "a", tmp_path / "b")
    else:
        with pytest.raises(PermissionError):
            disk.exchange(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("step", ["exchange", "aside", "name"])
def test_a_folder_that_cannot_take_its_name_is_not_lost(tmp_path, monkeypatch, step):
    write(tmp_path / "out", "0")
    rename = os.rename

    def fail(one, other):
        if str(other).endswith(".old" if step == "aside" else "out") and ".old" not in str(one):
            raise OSError(errno.EXDEV, "no such luck")
        rename(one, other)

    monkeypatch.setattr(atomic, "exchange", fail if step == "exchange" else lambda *_: False)
    monkeypatch.setattr(os, "rename", fail)
    for k, name in enumerate(("out.new", "out.new1")):
        said = rf"output could not be replaced \(no such luck\), the new one is kept as '.*{name}'"
        with pytest.raises(OSError, match=said) as caught:
            write(tmp_path / "out", str(k + 1))
        assert caught.value.errno == errno.EXDEV
        assert texts(tmp_path / "out")["top"] == "0" and texts(tmp_path / name)["top"] == str(k + 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.new", "out.new1"]


def test_an_interrupted_swap_brings_the_old_folder_back(tmp_path, monkeypatch):
    write(tmp_path / "out", "0")
    rename = os.rename

    def fail(one, other):
        if str(one).endswith(".part"):
            raise KeyboardInterrupt
        rename(one, other)

    monkeypatch.setattr(atomic, "exchange", lambda *_: False)
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out")
    assert texts(tmp_path / "out")["top"] == "0" and [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_interrupted_right_after_the_swap(tmp_path, monkeypatch, exchanges):
    write(tmp_path / "out", "0")
    exchange, sync = disk.exchange, disk.sync_folder

    def interrupt(path):
        if path == tmp_path:
            raise KeyboardInterrupt
        sync(path)

    monkeypatch.setattr(atomic, "sync_folder", interrupt)
    monkeypatch.setattr(atomic, "exchange", exchange if exchanges else lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out")
    assert texts(tmp_path / "out")["top"] == "1" and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_put_there_in_the_last_moment_is_kept(tmp_path, monkeypatch):
    write(tmp_path / "out", "0")
    exchange = disk.exchange

    def late(one, other):
        (other / "sub" / "notes.txt").write_text("mine")
        return exchange(one, other)

    monkeypatch.setattr(atomic, "exchange", late)
    with pytest.warns(UserWarning, match="what was replaced holds what skygal did not write, and is kept as '.*'"):
        write(tmp_path / "out")
    kept, = tmp_path.glob(".out.*")
    assert (kept / "sub" / "notes.txt").read_text() == "mine" and texts(tmp_path / "out")["top"] == "1"
    with pytest.warns(UserWarning, match="is kept as"):
        check_writable(tmp_path / "out", overwrite=True)
    assert (kept / "sub" / "notes.txt").read_text() == "mine"


# ---- what is the user's

def test_an_empty_folder_in_an_output_is_not_replaced(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out" / "plans").mkdir()
    with pytest.raises(FileExistsError, match="holds what skygal did not write \\('plans'\\) and is not replaced"):
        write(tmp_path / "out")
    assert (tmp_path / "out" / "plans").is_dir()


def test_a_linked_folder_in_an_output_is_not_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "out")
    (tmp_path / "out" / "data").symlink_to(tmp_path / "data")
    with pytest.raises(FileExistsError, match="did not write \\('data'\\)"):
        write(tmp_path / "out")


@pytest.mark.parametrize("change", [
    lambda out: (out / "sub" / "x").write_text("2"),  # of the same size
    lambda out: (out / "sub" / "x").write_text("more")])
def test_what_a_user_changed_is_not_replaced(tmp_path, change):
    write(tmp_path / "out")
    time.sleep(0.02)
    change(tmp_path / "out")
    with pytest.raises(FileExistsError, match="holds what was changed since skygal wrote it \\('sub/x'\\) and is not"):
        write(tmp_path / "out")


def test_a_file_in_place_of_a_folder_is_not_replaced(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out" / "sub" / "x").unlink()
    (tmp_path / "out" / "sub").rmdir()
    write_file(tmp_path / "out" / "sub")
    with pytest.raises(FileExistsError, match="did not write \\('sub'\\)"):
        write(tmp_path / "out")


def test_what_a_user_removed_is_not_missed(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out" / "top").unlink()
    write(tmp_path / "out", "2")
    assert texts(tmp_path / "out") == {"sub/x": "2", "top": "2"}


def forged(listed):
    return lambda folder: (folder / MANIFEST).write_text(listed)


@pytest.mark.parametrize("forge", [
    forged("thesis.tex\n"), forged("../precious\n/etc/passwd\nthesis.tex\n"), forged(""), forged("[]"), forged("{}"),
    forged('{"skygal": 2, "sha256": "", "files": {"thesis.tex": [1, 1]}, "folders": []}'), forged("[" * 100_000),
    lambda folder: (folder / MANIFEST).mkdir(), lambda folder: os.mkfifo(folder / MANIFEST),
    lambda folder: (folder / MANIFEST).symlink_to(folder.parent / "out" / MANIFEST),
    lambda folder: (folder / MANIFEST).write_bytes((folder.parent / "out" / MANIFEST).read_bytes())])
def test_a_forged_list_is_not_believed(tmp_path, forge):
    write(tmp_path / "out")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("thesis.tex", "top"):
        (theirs / name).write_text("mine")
    forge(theirs)
    with pytest.raises(FileExistsError, match="holds what skygal did not write|holds what was changed"):
        write(theirs)
    assert (theirs / "thesis.tex").read_text() == "mine" and (theirs / "top").read_text() == "mine"


def test_names_in_a_list_lead_nowhere(tmp_path):
    """Even a list that is sealed and says the right sizes and times removes nothing that is not in the folder."""
    (tmp_path / "precious").write_text("mine")
    found = os.stat(tmp_path / "precious")
    entry = [found.st_size, found.st_mtime_ns]
    folder = tmp_path / "out"
    folder.mkdir()
    tree = walk(folder)
    tree.files.update({"../precious": entry, str(tmp_path / "precious"): entry})
    tree.folders.extend(["..", str(tmp_path)])
    (folder / MANIFEST).write_bytes(dump_manifest(tree))
    write(folder)
    assert (tmp_path / "precious").read_text() == "mine" and texts(folder) == {"sub/x": "1", "top": "1"}


def test_a_damaged_list_says_so(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out" / MANIFEST).write_text((tmp_path / "out" / MANIFEST).read_text()[:-20])
    with pytest.raises(FileExistsError, match="; its .skygal is damaged, or not of this version and is not replaced"):
        write(tmp_path / "out")


def test_names_of_any_kind_are_listed(tmp_path):
    with whole_directory(tmp_path / "out") as part:
        for name in ("a\nb", "é", os.fsdecode(b"\xff"), " "):
            (part / name).write_text("1")
    assert len(read_manifest(tmp_path / "out").files) == 4
    write(tmp_path / "out")
    assert texts(tmp_path / "out") == {"sub/x": "1", "top": "1"}


# ---- inputs

@pytest.mark.parametrize("name", ["out/top", "out/../out/sub/x", "link", "linked/top", "hard", "out"])
def test_nothing_that_is_read_is_replaced(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write("out", "0")
    Path("link").symlink_to("out/top")
    Path("linked").symlink_to("out")
    os.link("out/top", "hard")
    for given in (name, tmp_path / name):
        with pytest.raises(FileExistsError, match="input '.*' lies in what output 'out' would replace"):
            check_writable("out", overwrite=True, inputs=[given])
    with pytest.raises(FileExistsError, match="lies in what output 'linked' would replace"):
        write("linked", inputs=[name])
    assert texts("out")["top"] == "0"


def test_a_file_that_is_read_is_not_replaced(tmp_path):
    path = tmp_path / "x.npz"
    path.write_text("0")
    (tmp_path / "link").symlink_to(path)
    for given in (path, tmp_path / "link"):
        with pytest.raises(FileExistsError, match="input '.*' lies in what output"):
            write_file(path, inputs=[given])
    assert path.read_text() == "0"


def test_inputs_elsewhere_do_not_matter(tmp_path):
    write(tmp_path / "data" / "out", "0")
    (tmp_path / "data" / "image").write_text("0")
    write(tmp_path / "data" / "out", inputs=[tmp_path / "data" / "image", tmp_path / "data", tmp_path / "none", "a\0b"])
    assert texts(tmp_path / "data" / "out")["top"] == "1"


# ---- access

def mode(path):
    return oct(stat.S_IMODE(os.stat(path).st_mode))


def test_modes_are_kept(tmp_path):
    write(tmp_path / "out", "0")
    for name, bits in (("", 0o2710), ("sub", 0o700), ("sub/x", 0o600), ("top", 0o444)):
        os.chmod(tmp_path / "out" / name, bits)
    with whole_directory(tmp_path / "out", overwrite=True) as part:
        assert stat.S_IMODE(part.stat().st_mode) & 0o007 == 0
        (part / "sub").mkdir()
        for name in ("sub/x", "top", "new"):
            (part / name).write_text("1")
    assert [mode(tmp_path / "out" / name) for name in ("", "sub", "sub/x", "top")] == ["0o2710", "0o700", "0o600",
                                                                                       "0o444"]
    assert texts(tmp_path / "out")["top"] == "1"
    write(tmp_path / "out", "2")


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o444, 0o755, 0o000])
def test_the_mode_of_a_file_is_kept(tmp_path, bits):
    write_file(tmp_path / "x", "0")
    os.chmod(tmp_path / "x", bits)
    with whole_file(tmp_path / "x", overwrite=True) as part:
        part.write_text("1")
        assert mode(part.parent) == "0o700"
    assert mode(tmp_path / "x") == oct(bits)
    os.chmod(tmp_path / "x", 0o600)
    assert (tmp_path / "x").read_text() == "1"


def test_new_files_have_the_usual_modes(tmp_path):
    (tmp_path / "plain").write_text("1")
    write_file(tmp_path / "x")
    assert mode(tmp_path / "x") == mode(tmp_path / "plain")


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="has no access lists")
def test_access_lists_are_kept(tmp_path):
    import struct

    write_file(tmp_path / "x", "0")
    entries = [(1, 6, 2**32 - 1), (2, 4, 12345), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1)]
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path / "x", "system.posix_acl_access", listed)
    except OSError:
        pytest.skip("this file system has no access lists")
    write_file(tmp_path / "x")
    assert os.getxattr(tmp_path / "x", "system.posix_acl_access") == listed


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(tmp_path):
    write(tmp_path / "out", "0")
    os.chown(tmp_path / "out" / "top", 12345, 23456)
    write(tmp_path / "out")
    found = os.stat(tmp_path / "out" / "top")
    assert (found.st_uid, found.st_gid) == (12345, 23456)


def test_what_a_group_was_allowed_is_not_anothers(tmp_path, monkeypatch):
    from types import SimpleNamespace

    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        path.write_text("1")
    os.chmod(old, 0o2774)
    before = os.stat

    def other_group(path, **more):
        found = before(path, **more)
        return SimpleNamespace(st_mode=found.st_mode, st_uid=found.st_uid, st_gid=found.st_gid + (path == old))

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(disk.os, "chown", refuse)
    monkeypatch.setattr(disk.os, "stat", other_group)
    disk.keep_access(old, new)
    monkeypatch.undo()
    assert mode(new) == "0o744"


def test_links_to_outputs_stay(tmp_path):
    (tmp_path / "there").mkdir()
    write_file(tmp_path / "there" / "x", "0")
    (tmp_path / "link").symlink_to("there/x")
    write_file(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "x").read_text() == "1"
    (tmp_path / "dangling").symlink_to("there/new")
    write(tmp_path / "dangling")
    assert (tmp_path / "dangling").is_symlink() and texts(tmp_path / "there" / "new")["top"] == "1"


# ---- names

@pytest.mark.parametrize("name", ["n" * 200, *("n" * k for k in range(238, 256)), "é" * 127, "€" * 85,
                                  "x" * 240 + ".fits.gz", "n" * 250 + ".fits"])
def test_names_as_long_as_may_be(tmp_path, name):
    write(tmp_path / name, "0")
    write(tmp_path / name, "1")
    assert texts(tmp_path / name)["top"] == "1"
    (tmp_path / "files").mkdir()
    for text in "01":
        with whole_file(tmp_path / "files" / name, overwrite=True) as part:
            assert part.name == name
            part.write_text(text)
    assert (tmp_path / "files" / name).read_text() == "1" and len(list((tmp_path / "files").iterdir())) == 1


def test_names_that_begin_alike_are_told_apart(tmp_path):
    one, other = ("n" * 250 + end for end in "ab")
    assert parts.hidden_name(tmp_path / one, "0" * 8, "part") != parts.hidden_name(tmp_path / other, "0" * 8, "part")


@pytest.mark.parametrize("name, error, message", [
    ("n" * 256, ValueError, "output must have names of at most 255 bytes, got one of 256: 'n"),
    ("deep/" + "é" * 128 + "/out", ValueError, "output must have names of at most 255 bytes, got one of 256: 'é"),
    ("d/" * 2040 + "out", ValueError, "output must be a shorter path, by [0-9]+ bytes"),
    ("", ValueError, "output must be a name, got ''"),
    ("a\0b", ValueError, r"output must be a name without NUL, got 'a\\x00b'"),
    ("\ud800", ValueError, "output must be a name that the system can write"),
    ("loop", OSError, "output 'loop' cannot be written: its symbolic links form a loop"),
    ("loop/out", OSError, "output 'loop/out' cannot be written: its symbolic links form a loop"),
    ("file/out", NotADirectoryError, "output 'file/out' cannot be written: '.*file' is a file"),
    ("file/a/b/out", NotADirectoryError, "'.*file' is a file"),
    ("pipe", FileExistsError, "must be a f")])
@pytest.mark.parametrize("folder", [True, False])
def test_names_that_are_none_are_said_before_the_work(tmp_path, monkeypatch, name, error, message, folder):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop2")
    Path("loop2").symlink_to("loop")
    Path("file").write_text("1")
    os.mkfifo("pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=message):
        check_writable(name, overwrite=True, folder=folder)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_with_a_folders_name(tmp_path):
    with pytest.raises(ValueError, match="output must be the name of a file, got '.*x.npz/', a folder's"):
        check_writable(f"{tmp_path}/x.npz/", folder=False)
    with whole_directory(f"{tmp_path}/out/") as part:
        (part / "x").write_text("1")
    assert texts(tmp_path / "out") == {"x": "1"}


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="has no devices")
def test_devices_are_not_replaced():
    with pytest.raises(FileExistsError, match="output '/dev/null' must be a file, but a device, pipe or socket is"):
        check_writable("/dev/null", overwrite=True, folder=False)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_mount_point_is_said(overwrite):
    mounted = next((place for place in ("/proc", "/dev") if os.path.ismount(place)), "/")
    with pytest.raises(FileExistsError, match="is a mount point, which cannot be replaced: give output a name inside"):
        check_writable(mounted, overwrite=overwrite)


def test_a_folder_mounted_on_its_own_file_system(tmp_path, monkeypatch):
    table = tmp_path / "table"
    out = tmp_path / "my out"
    out.mkdir()
    table.write_text(f"1 2 8:1 / {str(out).replace(' ', chr(92) + '040')} rw - ext4 /dev/x rw\n")
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(table if str(path) == "/proc/self/mountinfo" else path))
    with pytest.raises(FileExistsError, match="is a mount point"):
        check_writable(out, overwrite=True)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="has no /proc")
def test_a_file_system_with_rules_of_its_own():
    with pytest.raises(OSError, match="output '/proc/out' cannot be written: "):
        check_writable("/proc/out")


def test_a_read_only_file_system(tmp_path, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda *_: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(OSError, match="output '.*' cannot be written: it is on a read-only file system"):
        check_writable(tmp_path / "out")


def test_a_full_disk_is_said_before_the_work(tmp_path, monkeypatch):
    def fail(path, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(OSError, match="output '.*' cannot be written: no space left on device"):
        check_writable(tmp_path / "out")


def test_a_folder_that_is_protected_is_not_replaced(tmp_path, monkeypatch):
    write(tmp_path / "out")
    access = os.access
    monkeypatch.setattr(writable.os, "access", lambda path, how: access(path, how) and Path(path).name != "sub")
    with pytest.raises(PermissionError, match="cannot be replaced: no permission to write in '.*sub'"):
        check_writable(tmp_path / "out", overwrite=True)


# ---- what ran out

@pytest.mark.parametrize("number, free, said", [
    (errno.ENOSPC, (1000, 5), r"output could not be written \(No space left on device: 4.1 MB are left\)"),
    (errno.ENOSPC, (1000, 0), r"\(No space left on device: no inodes are left, so that no more files can be made\)"),
    (errno.EDQUOT, (1000, 5), r"output could not be written \(Disk quota exceeded\)"),
    (errno.EFBIG, (1000, 5), r"\(File too large: the file system takes none of this size\)"),
    (errno.EIO, (1000, 5), r"output could not be written \(Input/output error\)")])
def test_what_ran_out_is_named(tmp_path, monkeypatch, number, free, said):
    from types import SimpleNamespace

    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=9, f_favail=free[1], f_bavail=free[0],
                                                                 f_frsize=4096, f_flag=0))
    for make in (whole_directory, whole_file):
        with pytest.raises(OSError, match=said) as caught, make(tmp_path / "out"):
            raise OSError(number, os.strerror(number))
        assert caught.value.errno == number and caught.value.filename == str(tmp_path / "out")
        with pytest.raises(OSError, match=said) as caught, whole_directory(tmp_path / "out") as part, \
                make(part / "inner"):
            raise OSError(number, os.strerror(number))
        assert str(caught.value).count("output could not be written") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [
    OSError("1234 requested and 1000 written"), RuntimeError("[enforce fail at inline_container.cc:603] . unexpected"),
    RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")])
def test_what_ran_out_is_found_where_a_library_does_not_say(tmp_path, monkeypatch, error):
    monkeypatch.setattr(disk, "_probe", lambda folder: errno.EDQUOT)
    with pytest.raises(OSError, match="could not be written \\(Disk quota exceeded\\)"), whole_file(tmp_path / "x"):
        raise error


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (ValueError("no space left for an axis"), RuntimeError("no"), OSError(errno.EACCES, "no")):
        with pytest.raises(type(error), match="^" + str(error).replace("[", r"\[")), whole_file(tmp_path / "x"):
            raise error


LIMITED = """
import resource, sys
import numpy as np, torch
from skygal.io.atomic import whole_file
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    with whole_file("x") as part:
        if sys.argv[1] == "numpy":
            np.zeros(100_000).tofile(part)
        else:
            torch.save(torch.zeros(100_000), part)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits")
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_limit_on_a_files_size_is_named(tmp_path, library):
    done = run(LIMITED, tmp_path, library)
    assert done.stdout == "[Errno 27] output could not be written (File too large: the limit on a file's size, " \
        "50000 bytes (ulimit -f), is reached): 'x'\n", done.stderr
    assert list(tmp_path.iterdir()) == []


MOUNTED = """
import os, sys
from skygal.io.atomic import check_writable, whole_directory
for name, size in (("space", 300_000), ("inodes", 1)):
    os.chdir(name)
    try:
        with whole_directory("out") as part:
            for k in range(60):
                (part / str(k)).write_bytes(bytes(size))
    except OSError as error:
        print(error)
    assert os.listdir() == []
    os.chdir("..")
for name in ("bound", "readonly/out"):
    try:
        check_writable(name, overwrite=True)
    except OSError as error:
        print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounts")
def test_real_mounts(tmp_path):
    script = ("set -e; mkdir space inodes here bound readonly; mount -t tmpfs -o size=4m none space; mount -t tmpfs "
              "-o nr_inodes=40 none inodes; mount --bind here bound; mount -t tmpfs -o ro none readonly; exec \"$@\"")
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("may not mount")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", MOUNTED], cwd=tmp_path,
                          text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    space, inodes, bound, readonly = done.stdout.splitlines()
    assert "output could not be written (No space left on device: 0." in space and space.endswith("'out'")
    assert "no inodes are left" in inodes
    assert bound == "output 'bound' is a mount point, which cannot be replaced: give output a name inside it"
    assert readonly == "output 'readonly/out' cannot be written: it is on a read-only file system"

