"""Runs that are killed: nothing is halved, nothing is lost, and the next run puts right what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skygal.io import parts
from skygal.io.atomic import check_writable, whole_directory
from skygal.io.manifest import MANIFEST, walk

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="has no /proc")


def texts(path):
    return {name: (Path(path) / name).read_text() for name in walk(path).files}


KILLS = """
import os, signal, sys, warnings
from pathlib import Path
from skygal.io import atomic
from skygal.io import disk
from skygal.io import manifest
from skygal.io.atomic import whole_directory, whole_file
kind, exchanges = sys.argv[1], sys.argv[2] == "True"
if not exchanges:
    atomic.exchange = lambda *_: False

def write(text):
    if kind == "file":
        with whole_file("out", overwrite=True) as part:
            part.write_text(text)
    else:
        with whole_directory("out", overwrite=True) as part:
            (part / "sub").mkdir()
            (part / "sub" / "x").write_text(text)
            (part / "top").write_text(text)

def read():
    out = Path("out")
    if kind == "file":
        return out.read_text()
    assert manifest.find_foreign(out) is None
    found = {(out / name).read_text() for name in manifest.walk(out).files}
    assert len(found) == 1 and len(manifest.walk(out).files) == 2
    return found.pop()

STEPS = ((os, "fsync"), (os, "rename"), (os, "replace"), (atomic, "exchange"), (os, "unlink"), (os, "rmdir"),
         (os, "mkdir"), (os, "chmod"), (os, "open"), (os, "write"), (os, "truncate"), (os, "lseek"))

def kill_at(step):
    count = [0]
    for module, name in STEPS:
        def call(*a, _do=getattr(module, name), **k):
            for moment in ("before", "after"):
                if count[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                count[0] += 1
                if moment == "before":
                    out = _do(*a, **k)
            return out
        setattr(module, name, call)

write("0")
before, killed, found = "0", 0, set()
for step in range(400):
    text = str(step + 1)
    child = os.fork()
    if not child:
        kill_at(step)
        write(text)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if not Path("out").exists():
            # only where the system exchanges no names, and then the next run brings it back
            assert not exchanges and kind == "folder", step
            atomic.check_writable("out", overwrite=True)
            assert "the one before is back" in str(told[0].message), told
            found.add("restored")
        now = read()
        assert now in (before, text), (step, now)
        found.add("new" if now == text else "old")
        write(text)
    assert read() == text and os.listdir() == ["out"], (step, os.listdir(), [str(w.message) for w in told])
    before = text
    if status == 0:
        break
    assert os.WIFSIGNALED(status), status
    killed += 1
print(killed, *sorted(found))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
@pytest.mark.parametrize("kind, exchanges", [("file", True), ("folder", True), ("folder", False)])
def test_a_kill_at_any_step(tmp_path, kind, exchanges):
    done = subprocess.run([sys.executable, "-c", KILLS, kind, str(exchanges)], cwd=tmp_path, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    killed, *found = done.stdout.split()
    assert int(killed) > 15 and found == ["new", "old", *(["restored"] if not exchanges else [])]


WAITS = """
import sys, time
from skygal.io.atomic import whole_directory, whole_file
with {"file": whole_file, "folder": whole_directory}[sys.argv[1]](sys.argv[2], overwrite=True) as part:
    if sys.argv[1] == "folder":
        (part / "sub").mkdir()
        (part / "sub" / "x").write_text("half")
    else:
        part.write_text("half")
    print("writing", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def start(cwd, *words):
    process = subprocess.Popen([sys.executable, "-c", WAITS, *words], cwd=cwd, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("name", ["out", "n" * 255])
def test_what_a_killed_run_left_goes_and_what_a_live_one_writes_stays(tmp_path, kind, name):
    with start(tmp_path, kind, name, "60") as process:
        check_writable(tmp_path / name, folder=kind == "folder")
        left, = tmp_path.glob(".*.part")
        assert "half" in texts(left).values()
        process.kill()
        process.wait()
    assert [path.name for path in tmp_path.iterdir()] == [left.name]
    check_writable(tmp_path / name, folder=kind == "folder")
    assert list(tmp_path.iterdir()) == []


def test_two_runs_at_once(tmp_path):
    with start(tmp_path, "folder", "out", "1") as process:
        with whole_directory(tmp_path / "out") as part:
            (part / "x").write_text("mine")
        process.wait()
    assert process.returncode == 0 and texts(tmp_path / "out") == {"sub/x": "half"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@needs_proc
@pytest.mark.parametrize("alive, changed, told", [
    (True, {}, False), (False, {}, False), (True, {"started": "1"}, False), (False, {"host": "other"}, True),
    (True, {"boot": "other"}, False), (False, {"process": "x"}, True)])
def test_without_locks_the_process_tells(tmp_path, monkeypatch, alive, changed, told):
    monkeypatch.setattr(parts, "_lock", lambda opened: None)
    with start(tmp_path, "folder", "out", "60") as process:
        left, = tmp_path.glob(".*.part")
        if not alive:
            process.kill()
            process.wait()
        record = left / MANIFEST
        record.write_text(json.dumps({**json.loads(record.read_text()), **changed}))
        if told:
            with pytest.warns(UserWarning, match="is left from a run that was killed, or of one that goes on"):
                check_writable(tmp_path / "out")
        else:
            check_writable(tmp_path / "out")
        assert left.exists() == (told or (alive and not changed))
        process.kill()


@pytest.mark.parametrize("forge", [lambda path: (path / "notes").write_text("mine"), lambda path: os.mkfifo(
    path / MANIFEST), lambda path: (path / MANIFEST).symlink_to("/etc/passwd")])
def test_hidden_folders_that_are_not_skygals_stay(tmp_path, forge):
    theirs = tmp_path / ".out.01234567.part"
    theirs.mkdir()
    forge(theirs)
    before = sorted(tmp_path.rglob("*"))
    with pytest.warns(UserWarning, match="remove it if none does"):
        check_writable(tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / ".out.89abcdef.old").symlink_to(theirs)
    with pytest.warns(UserWarning, match="remove it if none does"):
        check_writable(tmp_path / "out")
    assert (tmp_path / ".out.89abcdef.old").is_symlink() and not (tmp_path / "out").exists()


def test_other_outputs_are_left_alone(tmp_path):
    for name in (".out2.01234567.part", ".out.0123456.part", "out.01234567.part", ".out.01234567.part.x"):
        (tmp_path / name).mkdir()
    check_writable(tmp_path / "out")
    assert len(list(tmp_path.iterdir())) == 4
