"""Images written band by band; and what a field's tasks carry to other processes."""

import errno
import io
import pickle
import signal
import subprocess
import sys
import time

import dask
import dask.array as da
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

import skygal
from skygal.io.atomic import check_writable, whole_directory
from skygal.io.headers import field_header
from skygal.io.streaming import iter_bands, stream_fits, stream_zarr


def header_of(shape):
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", shape, 2 * u.arcsec)
    return field_header(wcs, shape, beam=None, frequency=1 * u.GHz)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(40, 200), st.integers(0, 99))
def test_fits_of_any_size(tmp_path_factory, rows, columns, chunk, seed):
    folder = tmp_path_factory.mktemp("x")
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(rows, columns)).astype(np.float32)
    labels = rng.integers(-5, 2**31 - 1, (rows, columns)).astype(np.int32)
    header = header_of((rows, columns))
    for name, wrap in (("whole", lambda a: a), ("lazy", lambda a: da.from_array(a, chunks=(chunk, 30)))):
        stream_fits({folder / f"{name}.fits": (wrap(image), header, np.float32),
                     folder / f"{name}-labels.fits": (wrap(labels), header, np.int32)})
        with fits.open(folder / f"{name}.fits") as hdus:
            hdus.verify("exception")
            np.testing.assert_array_equal(hdus[0].data[0, 0], image)
        with fits.open(folder / f"{name}-labels.fits") as hdus:
            assert hdus[0].header["BITPIX"] == 32 and "BZERO" not in hdus[0].header
            np.testing.assert_array_equal(hdus[0].data[0, 0], labels)
    assert (folder / "whole.fits").stat().st_size % 2880 == 0
    assert (folder / "whole.fits").read_bytes() == (folder / "lazy.fits").read_bytes()


def test_bands_make_what_lazy_images_share_once():
    made = []

    def make(block_info=None):
        made.append(block_info[None]["chunk-location"])
        return np.ones(block_info[None]["chunk-shape"])

    base = da.map_blocks(make, chunks=((30, 30, 15), (20, 20)), dtype=float, meta=np.zeros((0, 0)))
    with dask.config.set(scheduler="synchronous"):
        bands = [(band, [p.shape for p in parts]) for band, parts in iter_bands([base, base * 2], False)]
    assert [band.stop - band.start for band, _ in bands] == [30, 30, 15]
    assert bands[-1][1] == [(15, 40)] * 2 and len(made) == 6


def test_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    image = np.random.default_rng(0).normal(size=(90, 50)).astype(np.float32)
    stream_zarr(tmp_path / "a.zarr", {"one": image, "two": da.from_array(image, chunks=(40, 20))}, {"note": "x"},
                progress=True)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(group["one"][:], image)
    np.testing.assert_array_equal(group["two"][:], image)
    assert group["two"].chunks == (40, 20) and group.attrs["note"] == "x"
    with pytest.raises(FileExistsError):
        stream_zarr(tmp_path / "a.zarr", {"one": image}, {})


def failing(shape, error, after):
    """A lazy image that cannot be made below a row."""
    def make(block_info=None):
        if block_info[None]["chunk-location"][0] >= after:
            raise error
        return np.ones(block_info[None]["chunk-shape"], np.float32)

    return da.map_blocks(make, chunks=((10,) * (shape[0] // 10), (shape[1],)), dtype=np.float32,
                         meta=np.zeros((0, 0), np.float32))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no"), OSError(errno.ENOSPC, "No space left")])
def test_stopped_half_way_nothing_is_left(tmp_path, error):
    image = failing((50, 20), error, 3)
    with (dask.config.set(scheduler="synchronous"), pytest.raises(type(error)),
          whole_directory(tmp_path / "deep" / "out") as folder):
        stream_fits({folder / "a.fits": (image, header_of((50, 20)), np.float32)})
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
import skygal
from astropy import units as u
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
wcs = skygal.make_wcs("12h00m00s +30d00m00s", 600, 2 * u.arcsec)
field = skygal.simulate_field(wcs, 0, seed=1, noise=1 * u.mJy / u.beam, chunks=200)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
try:
    field.write("out", format=sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, "fits"], cwd=tmp_path, text=True, capture_output=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    assert "output could not be written (" in done.stdout and "'out'" in done.stdout
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from skygal.cli.main import main
sys.argv[1:1] = ["simulate", "--survey", "FIRST", "--size", "4000", "--n-sources", "5", "--seed", "1", "--chunks",
                 "256", "--las", "20 arcsec, 60 arcsec", "--output", "out"]
sys.exit(main())
"""


@pytest.mark.parametrize(("number", "status", "format"), [
    # how commands end by signals is tested with those
    (signal.SIGKILL, -9, "fits"), pytest.param(signal.SIGINT, 130, "zarr", marks=pytest.mark.slow),
    pytest.param(signal.SIGINT, 130, "fits", marks=pytest.mark.slow),
    pytest.param(signal.SIGHUP, 129, "zarr", marks=pytest.mark.slow),
    pytest.param(signal.SIGTERM, 143, "fits", marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_leaves_nothing_that_looks_finished(tmp_path, number, status, format):
    with subprocess.Popen([sys.executable, "-c", KILLED, "--format", format], cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if list(tmp_path.glob(".out*/field.fits")) or list(tmp_path.glob(".out*/field.zarr/image/c")) or \
                    process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is None
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in said
    assert not (tmp_path / "out").exists()
    if number == signal.SIGKILL:
        check_writable(tmp_path / "out")
    if number == signal.SIGINT:
        assert "Interrupted" in said
    assert list(tmp_path.iterdir()) == []


def test_no_wcs_travels_with_the_tasks():
    """astropy rounds a WCS that is pickled: what is drawn elsewhere must not depend on one."""
    class Pickler(pickle.Pickler):
        def reducer_override(self, thing):
            assert not isinstance(thing, WCS), "a WCS in a task"
            return NotImplemented

    def beam(ra, dec):
        return 8 * u.arcsec + 0 * ra * u.arcsec, 7 * u.arcsec + 0 * ra * u.arcsec, 0 * ra * u.deg

    from skygal.scene import chunks as chunked

    seen = []
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 100, 2 * u.arcsec)
    y, x = np.mgrid[-9:10, -9:10]
    for options in ({"beam": beam}, {"psf": np.exp(-(x**2 + y**2) / 9.0)}, {"primary_beam": "25 m"}):
        with pytest.MonkeyPatch.context() as patch:
            draw = chunked._chunk

            def spy(scene, window, device, *shared, draw=draw):
                Pickler(io.BytesIO()).dump((scene, window))
                seen.append(window)
                return draw(scene, window, device, *shared)

            patch.setattr(chunked, "_chunk", spy)
            lazy = skygal.simulate_field(wcs, 2, seed=1, chunks=50, noise=1 * u.mJy, las=30 * u.arcsec, **options)
            # what checks the field that was made may have drawn its chunks already
            seen.clear()
            lazy.image.compute(scheduler="synchronous")
            assert len(seen) == len(set(seen)) == 4


@pytest.mark.parametrize("rows", [1, 1023, 1024, 2048, 2500])
def test_any_number_of_rows_in_memory(tmp_path, rows):
    image = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    stream_fits({tmp_path / "a.fits": (image, fits.PrimaryHDU(image).header, np.float32)})
    np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits"), image)
