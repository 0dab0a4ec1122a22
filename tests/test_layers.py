"""Layers over a ground: injection in chunks and at several frequencies, and what a layer lacks is empty."""

from __future__ import annotations

import subprocess
import sys

import dask
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

import skygal
from skygal.scene.faint import FaintLayer
from skygal.scene.galaxies import GalaxyLayer
from skygal.truth.schema import COMPONENTS, TRUTH, Column, join_columns, make_truth

SHAPE = 230, 260


def grid(pixel=1.8):
    return skygal.make_wcs("10h +20d", SHAPE, pixel * u.arcsec)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """Return the file of a mosaic with a blank part."""
    made = skygal.simulate_field(grid(), 30, survey="FIRST", flux=2 * u.mJy, seed=5)
    image = made.image.copy()
    image[:40, :50] = np.nan
    image[100:110] = np.nan
    path = tmp_path_factory.mktemp("mosaic") / "mosaic.fits"
    fits.PrimaryHDU(image[None, None], made.header).writeto(path)
    return path


FAINT = Table({"ra": [150.0, 150.02], "dec": [20.0, 20.01], "flux": [2, 1] * u.mJy, "kind": ["point", "gaussian"],
               "b_maj": [0, 9] * u.arcsec, "b_min": [0, 5] * u.arcsec})
PSF = np.exp(-0.5 * ((np.arange(31) - 15)[:, None]**2 + (np.arange(31) - 15)**2) / 2) - 0.01


@pytest.mark.parametrize("more", [
    {}, {"faint": FAINT, "primary_beam": "25 m"}, {"noise": "0.2 mJy", "unit": "mJy/beam"}, {"psf": np.abs(PSF)},
    {"beam": Table({"x": [0, 259], "y": [0, 229], "bmaj": [6, 8] * u.arcsec, "bmin": [5, 6] * u.arcsec,
                    "bpa": [0, 40] * u.deg}), "unit": "Jy/pixel"}], ids=["plain", "faint", "unit", "psf", "beams"])
def test_an_injection_in_chunks_is_that_in_memory(mosaic, more, request):
    given = {"seed": 3, "flux": 2 * u.mJy, "las": (5 * u.arcsec, 60 * u.arcsec), **more}
    whole = skygal.inject(mosaic, 25, **given)
    lazy = skygal.inject(mosaic, 25, chunks=(64, 100), **given)
    assert lazy.is_lazy and lazy.image.chunks == ((64, 64, 64, 38), (100, 100, 60))
    # in other processes where it matters what travels there: one will do
    where = {"scheduler": "processes", "pool": request.getfixturevalue("other_process")} if "faint" in more else {
        "scheduler": "threads", "num_workers": 2}
    with dask.config.set(where):
        made = lazy.compute()
    for name in ("image", "model", "segmentation"):
        np.testing.assert_array_equal(getattr(made, name), getattr(whole, name), err_msg=name)
    for column in whole.truth.colnames:
        np.testing.assert_array_equal(made.truth[column], whole.truth[column], err_msg=column)


def test_an_array_in_chunks(mosaic):
    data, header = fits.getdata(mosaic)[0, 0].astype(np.float32), fits.getheader(mosaic)
    whole, lazy = (skygal.inject(data, 9, wcs=header, seed=3, chunks=chunks) for chunks in (None, 100))
    np.testing.assert_array_equal(lazy.image.compute(), whole.image)


def test_a_scaled_or_packed_file_in_chunks(tmp_path, mosaic):
    data, header = fits.getdata(mosaic)[0, 0], fits.getheader(mosaic)
    fits.PrimaryHDU(data[None, None], header).writeto(tmp_path / "a.fits.gz")
    whole, lazy = (skygal.inject(tmp_path / "a.fits.gz", 9, seed=3, chunks=chunks) for chunks in (None, 100))
    np.testing.assert_array_equal(lazy.image.compute(), whole.image)


def test_the_file_must_stay_as_it_was(tmp_path, mosaic):
    copy = tmp_path / "copy.fits"
    copy.write_bytes(mosaic.read_bytes())
    lazy = skygal.inject(copy, 3, seed=1, chunks=100)
    copy.write_bytes(mosaic.read_bytes() + b"\0" * 2880)
    with pytest.raises(ValueError, match="copy.fits' must stay as it was while an image is made of it, and has"):
        lazy.image.compute(scheduler="synchronous")


def test_one_sky_in_mosaics_of_several_frequencies_and_grids(tmp_path):
    fine, coarse = grid(), skygal.make_wcs("10h +20d", (115, 130), 3.6 * u.arcsec, projection="TAN")
    rng = np.random.default_rng(1)
    images = [rng.normal(0, 1e-5, shape) for shape in (SHAPE, (115, 130))]
    hdus = []
    for image, wcs, frequency, beam in zip(images, (fine, coarse), (1.4, 0.9), (6, 12), strict=True):
        blank = skygal.simulate_field(wcs, 0, beam=beam * u.arcsec, frequency=frequency * u.GHz, seed=9)
        hdus.append(fits.PrimaryHDU(image[None, None].astype(np.float32), blank.header))
    one, other = skygal.inject_fields(hdus, 12, seed=2, flux=5 * u.mJy, las=(10 * u.arcsec, 40 * u.arcsec),
                                      spectral_index=-0.7)
    alone = skygal.inject(hdus[0], 12, seed=2, flux=5 * u.mJy, las=(10 * u.arcsec, 40 * u.arcsec), spectral_index=-0.7)
    np.testing.assert_array_equal(one.image, alone.image)
    np.testing.assert_allclose(one.truth["ra"], other.truth["ra"], atol=1e-4)
    for name in ("las", "pa", "fr_class", "latent_seed", "bending"):
        np.testing.assert_array_equal(one.truth[name], other.truth[name])
    ratio = (other.truth["flux"] / one.truth["flux"]).value
    assert (ratio > 1).all() and np.median(ratio) == pytest.approx((0.9 / 1.4)**-0.7, rel=0.02)
    # flux density per solid angle agrees between the two models, smoothed alike
    assert other.model.sum() / _area(12, 3.6) == pytest.approx(float((one.truth["flux_in_image"].value * ratio).sum()),
                                                               rel=0.01)


def _area(beam, pixel):
    return np.pi / (4 * np.log(2)) * (beam / pixel)**2


@pytest.mark.parametrize(("images", "options", "error", "message"), [
    ([], {}, TypeError, "images must be a list of at least one image"),
    ("a.fits", {}, TypeError, "images must be a list of at least one image"),
    ([1, 2], {"beam": [5 * u.arcsec]}, ValueError, "beam must be one for all or one for each of 2 images, got 1"),
    ([1, 2], {"bem": 5 * u.arcsec}, TypeError, "inject_fields has no argument 'bem' .*did you mean"),
    (["no.fits"], {}, FileNotFoundError, "image 'no.fits' does not exist")])
def test_bad_lists_of_images(images, options, error, message):
    with pytest.raises(error, match=message):
        skygal.inject_fields(images, 1, **options)


def test_what_a_kind_of_source_lacks_is_empty():
    wcs = grid()
    truth = skygal.simulate_field(wcs, 3, beam=6 * u.arcsec, faint=FAINT, seed=1).truth
    weak = truth[truth["fr_class"] == "none"]
    assert len(weak) == 2
    for name in ("ra_core", "dec_core", "zoom", "extent", "bending"):
        assert np.isnan(np.asarray(weak[name], float)).all() and not np.isnan(np.asarray(truth[name][:3], float)).all()
    assert (weak["latent_seed"] == -1).all() and not weak["beam_limited"].any()
    assert (weak["n_components_stamp"] == 0).all()


def test_a_new_column_need_not_be_in_every_layer():
    schema = (*TRUTH, Column("jets", int, "", "Number of jets"), Column("host", str, "", "Its host"))
    parts = [{"source_id": np.array([1, 2]), "jets": np.array([2, 1])}, {"source_id": np.array([3])}, {}]
    joined = join_columns(schema, parts)
    assert joined["jets"].tolist() == [2, 1, -1] and joined["host"].tolist() == ["", "", ""]
    assert np.isnan(joined["flux"]).all()
    nothing = join_columns(TRUTH, [{}, {}])
    assert len(make_truth(nothing)) == 0 and set(nothing) == {column.name for column in TRUTH}


@pytest.mark.parametrize("layer", [GalaxyLayer, FaintLayer])
def test_layers_have_what_a_layer_has(layer):
    from skygal.scene.layer import Layer

    wanted = {name for name in vars(Layer) if not name.startswith("_")}
    assert wanted == {"truth", "components", "depths", "shared", "within", "draw"}
    assert wanted <= set(dir(layer)) | set(layer.__dataclass_fields__)
    assert {column.name for column in COMPONENTS} >= {"source_id", "component_id"}


CODE = """
import resource, sys, warnings
import numpy as np, skygal
from astropy import units as u
from astropy.io import fits
side = int(sys.argv[2])
field = skygal.inject(sys.argv[1], 20, seed=1, flux=5 * u.mJy, las=(5 * u.arcsec, 60 * u.arcsec), chunks=1024)
field.write(sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform != "darwin" else 1 / 1024))
"""


@pytest.mark.slow
def test_memory_of_an_injection_in_chunks(tmp_path):
    """An image of 16384 x 16384 pixels, 1 GiB, within 2 GiB."""
    side = 16384
    wcs = skygal.make_wcs("10h +20d", side, 1.8 * u.arcsec)
    header = skygal.simulate_field(wcs, 0, survey="FIRST", seed=1, chunks=1024).header
    rng = np.random.default_rng(1)
    with open(tmp_path / "a.fits", "wb") as file:
        file.write(header.tostring().encode())
        for _ in range(side // 512):
            rng.normal(0, 1.5e-4, (512, side)).astype(">f4").tofile(file)
        file.write(b"\0" * (-file.tell() % 2880))
    words = [sys.executable, "-c", CODE, str(tmp_path / "a.fits"), str(side), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2 * 2**20
