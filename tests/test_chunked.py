"""Lazy fields: the same bits whatever the chunks, the scheduler and its misfortunes; written whole or not at all."""

import os
import signal

import dask
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

import skygal
from skygal.io.images import read_image
from skygal.settings import check_chunks
from skygal.truth import read_truth

ARGUMENTS = {"n_sources": 60, "survey": "FIRST", "las": (20 * u.arcsec, 80 * u.arcsec), "seed": 3}


def make_wcs():
    return skygal.make_wcs("12h00m00s +30d00m00s", (380, 420), 1.8 * u.arcsec)


@pytest.fixture(scope="module")
def whole():
    return skygal.simulate_field(make_wcs(), **ARGUMENTS)


def assert_same(lazy, whole, **compute):
    assert lazy.is_lazy and not whole.is_lazy
    pixels = dask.compute(lazy.image, lazy.model, lazy.segmentation, **compute)
    for name, found in zip(("image", "model", "segmentation"), pixels, strict=True):
        np.testing.assert_array_equal(found, getattr(whole, name), err_msg=name)
        assert found.dtype == getattr(whole, name).dtype
    for table in ("truth", "components"):
        for name in getattr(whole, table).colnames:
            np.testing.assert_array_equal(np.asarray(getattr(lazy, table)[name]),
                                          np.asarray(getattr(whole, table)[name]), err_msg=name)


@pytest.mark.parametrize("chunks", [100, (380, 97), ((100, 280), (420,)), 4096])
def test_any_chunks_give_the_same_bits(whole, chunks):
    assert_same(skygal.simulate_field(make_wcs(), chunks=chunks, **ARGUMENTS), whole, scheduler="threads")


def test_a_psf_image_too():
    y, x = np.mgrid[-20:21, -20:21]
    r = np.hypot(x, y)
    psf = np.exp(-(x**2 / 5 + y**2 / 4)) + 0.05 * np.cos(r) * np.exp(-r / 6)
    arguments = {"n_sources": 20, "psf": psf, "noise": 0.1 * u.mJy, "flux": 5 * u.mJy,
                 "las": (20 * u.arcsec, 60 * u.arcsec), "seed": 4}
    whole = skygal.simulate_field(make_wcs(), **arguments)
    assert_same(skygal.simulate_field(make_wcs(), chunks=150, **arguments), whole, scheduler="synchronous")


@pytest.mark.filterwarnings("ignore:.*coarser than the image")
def test_a_source_larger_than_its_chunks():
    table = QTable({"x": [200.0], "y": [190.0], "flux": [1.0] * u.Jy, "las": [500.0] * u.arcsec, "fr_class": ["FRII"]})
    arguments = {"table": table, "survey": "FIRST", "noise": False, "seed": 1}
    assert_same(skygal.simulate_field(make_wcs(), chunks=90, **arguments),
                skygal.simulate_field(make_wcs(), **arguments), scheduler="threads")


def test_another_order_and_part_of_the_image(whole):
    lazy = skygal.simulate_field(make_wcs(), chunks=128, **ARGUMENTS)
    np.testing.assert_array_equal(lazy.image[300:380, 390:420].compute(), whole.image[300:380, 390:420])
    np.testing.assert_array_equal(lazy.model[::7, 5].compute(), whole.model[::7, 5])
    here = lazy.compute()
    np.testing.assert_array_equal(here.image, whole.image)
    assert not here.is_lazy and here.compute() is here


@pytest.fixture
def own_model():
    """Return a model that no other process has."""
    from skygal.morphology.checkpoint import is_shipped

    model = skygal.load_model()
    assert is_shipped(model)
    model.name = "mine"
    assert not is_shipped(model)
    return model


@pytest.mark.parametrize("whose", ["shipped", "one's own"])
def test_another_process_and_another_model(whole, other_process, whose, request):
    model = None if whose == "shipped" else request.getfixturevalue("own_model")
    lazy = skygal.simulate_field(make_wcs(), chunks=(380, 210), model=model, **ARGUMENTS)
    assert_same(lazy, whole, scheduler="processes", pool=other_process)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made, \
            distributed.Client(made) as client:
        yield client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_cluster_survives_the_death_of_a_worker(whole, cluster):
    lazy = skygal.simulate_field(make_wcs(), chunks=64, **ARGUMENTS)
    assert_same(lazy, whole)
    futures = cluster.compute([lazy.image, lazy.model, lazy.segmentation])
    victim = next(iter(cluster.run(os.getpid).values()))
    os.kill(victim, signal.SIGKILL)
    image, model, segmentation = cluster.gather(futures)
    np.testing.assert_array_equal(image, whole.image)
    np.testing.assert_array_equal(model, whole.model)
    np.testing.assert_array_equal(segmentation, whole.segmentation)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_cluster_gets_a_model_of_ones_own_once(whole, cluster, own_model):
    lazy = skygal.simulate_field(make_wcs(), chunks=128, model=own_model, **ARGUMENTS)
    np.testing.assert_array_equal(lazy.image.compute(), whole.image)


def test_written_files_are_those_of_the_field_in_memory(whole, tmp_path):
    whole.write(tmp_path / "whole")
    skygal.simulate_field(make_wcs(), chunks=150, **ARGUMENTS).write(tmp_path / "lazy", plot=True)
    for name in ("field", "model", "segmentation"):
        assert (tmp_path / "lazy" / f"{name}.fits").read_bytes() == (tmp_path / "whole" / f"{name}.fits").read_bytes()
    assert len(read_truth(tmp_path / "lazy" / "truth.fits")) == 60
    with fits.open(tmp_path / "lazy" / "field.fits") as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus[0].data[0, 0], whole.image)
    assert read_image(tmp_path / "lazy" / "field.fits").data.shape == (380, 420)
    assert (tmp_path / "lazy" / "field.png").stat().st_size > 10_000


def test_zarr(whole, tmp_path):
    zarr = pytest.importorskip("zarr")
    skygal.simulate_field(make_wcs(), chunks=150, **ARGUMENTS).write(tmp_path / "out", format="zarr")
    group = zarr.open_group(tmp_path / "out" / "field.zarr", mode="r")
    for name in ("image", "model", "segmentation"):
        np.testing.assert_array_equal(group[name][:], getattr(whole, name))
        assert group[name].chunks == (150, 150)
    header = fits.Header.fromstring(group.attrs["header"], sep="\n")
    assert header["BMAJ"] == whole.header["BMAJ"] and header["NAXIS1"] == 420
    with pytest.raises(ValueError, match="format must be 'fits' or 'zarr'|format must be one of"):
        whole.write(tmp_path / "other", format="hdf5")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_stopped_half_way_nothing_is_left(monkeypatch, tmp_path, error):
    from skygal.scene.galaxies import GalaxyLayer

    lazy = skygal.simulate_field(make_wcs(), chunks=100, **ARGUMENTS)
    made = []
    draw = GalaxyLayer.draw

    def fail(self, canvas, shared):
        made.append(canvas.window)
        if len(made) > 7:
            raise error("no space left on device")
        return draw(self, canvas, shared)

    monkeypatch.setattr(GalaxyLayer, "draw", fail)
    with dask.config.set(scheduler="synchronous"), pytest.raises(error):
        lazy.write(tmp_path / "out")
    assert made and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("chunks", "error", "message"), [
    (0, ValueError, "chunks must be a positive whole number, a pair .*, got 0"),
    ((64, -1), ValueError, r"chunks must be a positive whole number, .*, got \(64, -1\)"),
    ("auto", TypeError, "chunks must be a positive whole number, .*, got 'auto'"),
    (12.5, TypeError, "chunks must be a positive whole number, .*, got 12.5"),
    (((100, 100), (420,)), ValueError, r"two tuples that add up to the image's sides \(380, 420\), got \(\(100, 100\)"),
    ((10, 10, 10), ValueError, r"chunks must be .*, got \(10, 10, 10\)"),
])
def test_bad_chunks(chunks, error, message):
    with pytest.raises(error, match=message):
        check_chunks(chunks, (380, 420))


def test_chunks_that_do_not_divide_the_image():
    assert check_chunks(100, (380, 420)) == ((100, 100, 100, 80), (100, 100, 100, 100, 20))
