"""Cubes, read by astropy and radio_beam."""

import errno

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from radio_beam import Beams

import skygal
from skygal.io.headers import field_header
from skygal.io.provenance import read_provenance
from skygal.truth.exports import cube as cube_module

ARGUMENTS = {"n_sources": 3, "seed": 1, "las": (15 * u.arcsec, 40 * u.arcsec), "noise": 1e-4 * u.Jy / u.beam}


def make_fields(ghz=(1.0, 1.2, 1.4), shape=(90, 110), **options):
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", shape, 1.8 * u.arcsec)
    return skygal.simulate_fields(wcs, frequency=list(ghz) * u.GHz, **{"beam": 6 * u.arcsec, **ARGUMENTS, **options})


@pytest.fixture(scope="module")
def fields():
    return make_fields()


@pytest.fixture(scope="module")
def widening():
    return make_fields(beam=[8 * u.arcsec, 7 * u.arcsec, 6 * u.arcsec])


@pytest.mark.parametrize("plane", ["image", "model"])
def test_planes_and_frequencies(fields, tmp_path, plane):
    skygal.write_cube(fields, tmp_path / "cube.fits", plane=plane)
    with fits.open(tmp_path / "cube.fits") as hdus:
        hdus.verify("exception")
        assert len(hdus) == 1 and hdus[0].data.shape == (1, 3, 90, 110) and hdus[0].data.dtype == ">f4"
        for k, field in enumerate(fields):
            np.testing.assert_array_equal(hdus[0].data[0, k], getattr(field, plane))
        header = hdus[0].header
    whole = WCS(header)
    frequency = whole.spectral.pixel_to_world(np.arange(3)).to_value(u.GHz)
    np.testing.assert_allclose(frequency, [1.0, 1.2, 1.4], rtol=1e-9)
    here = whole.celestial.pixel_to_world(fields[0].truth["x"], fields[0].truth["y"])
    np.testing.assert_allclose(here.ra.deg, fields[0].truth["ra"].value, atol=1e-9)
    assert (header["BMAJ"] * 3600, header["BUNIT"]) == (pytest.approx(6), "JY/BEAM")
    assert read_provenance(header)["seed"] == 1 and "CASAMBM" not in header


def test_beams_that_differ_are_a_table(widening, tmp_path):
    skygal.write_cube(widening, tmp_path / "cube.fits")
    with fits.open(tmp_path / "cube.fits") as hdus:
        hdus.verify("exception")
        assert hdus[0].header["CASAMBM"] and not {"BMAJ", "BMIN", "BPA"} & set(hdus[0].header)
        np.testing.assert_array_equal(hdus[0].data[0, 2], widening[2].image)
        assert hdus["BEAMS"].header["NCHAN"] == 3 and hdus["BEAMS"].header["NPOL"] == 1
        beams = Beams.from_fits_bintable(hdus["BEAMS"])
    np.testing.assert_allclose(beams.major.to_value(u.arcsec), [8, 7, 6], rtol=1e-6)
    np.testing.assert_allclose(beams.minor.to_value(u.arcsec), [8, 7, 6], rtol=1e-6)


def test_lazy_fields_make_the_same_file(widening, tmp_path):
    skygal.write_cube(widening, tmp_path / "whole.fits")
    lazy = make_fields(beam=[8 * u.arcsec, 7 * u.arcsec, 6 * u.arcsec], chunks=(40, 64))
    skygal.write_cube(lazy, tmp_path / "lazy.fits", progress=True)
    assert (tmp_path / "whole.fits").read_bytes() == (tmp_path / "lazy.fits").read_bytes()


def test_falling_frequencies_and_one(tmp_path):
    falling = make_fields((1.4, 1.2, 1.0))
    skygal.write_cube(falling, tmp_path / "falling.fits")
    header = fits.getheader(tmp_path / "falling.fits")
    np.testing.assert_allclose(WCS(header).spectral.pixel_to_world(np.arange(3)).to_value(u.GHz), [1.4, 1.2, 1.0])
    skygal.write_cube(falling[:1], tmp_path / "one.fits")
    np.testing.assert_array_equal(fits.getdata(tmp_path / "one.fits")[0, 0], falling[0].image)


def test_galactic_grids_and_their_axes(tmp_path):
    from astropy.coordinates import SkyCoord

    wcs = skygal.make_wcs(SkyCoord(120 * u.deg, 5 * u.deg, frame="galactic"), 64, 2 * u.arcsec)
    fields = skygal.simulate_fields(wcs, 1, frequency=[1, 1.5] * u.GHz, beam=6 * u.arcsec, seed=1)
    skygal.write_cube(fields, tmp_path / "cube.fits")
    header = fits.getheader(tmp_path / "cube.fits")
    assert header["CTYPE1"].startswith("GLON") and WCS(header).celestial.wcs.ctype[1].startswith("GLAT")


def test_an_existing_file_is_replaced_only_if_asked(fields, tmp_path):
    skygal.write_cube(fields, tmp_path / "cube.fits")
    with pytest.raises(FileExistsError, match="exists; give overwrite=True"):
        skygal.write_cube(fields, tmp_path / "cube.fits")
    skygal.write_cube(fields[:2], tmp_path / "cube.fits", overwrite=True)
    assert fits.getdata(tmp_path / "cube.fits").shape[1] == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_stopped_half_way_nothing_is_left(fields, tmp_path, monkeypatch, error):
    seen, bands = [], cube_module.iter_bands

    def fail(arrays, progress):
        seen.append(arrays)
        if len(seen) == 3:
            raise error
        return bands(arrays, progress)

    monkeypatch.setattr(cube_module, "iter_bands", fail)
    with pytest.raises(type(error)):
        skygal.write_cube(fields, tmp_path / "cube.fits")
    assert len(seen) == 3 and list(tmp_path.iterdir()) == []


def test_bad_input(fields, tmp_path):
    path = tmp_path / "cube.fits"
    with pytest.raises(ValueError, match="plane must be one of 'image', 'model', got 'segmentation'"):
        skygal.write_cube(fields, path, plane="segmentation")
    with pytest.raises(ValueError, match="fields must be at least one, got none"):
        skygal.write_cube([], path)
    with pytest.raises(ValueError, match=r"fields must have one shape, got \(64, 64\), \(90, 110\)"):
        skygal.write_cube([fields[0], *make_fields((1.2,), shape=(64, 64))], path)
    with pytest.raises(ValueError, match="frequencies in even steps to be one cube, got 1e.09, 1.2e.09, 1.5e.09 Hz"):
        skygal.write_cube([*fields[:2], *make_fields((1.5,))], path)
    with pytest.raises(ValueError, match="frequencies in even steps to be one cube, got 1e.09, 1e.09 Hz"):
        skygal.write_cube([fields[0], fields[0]], path)
    moved = skygal.simulate_field(skygal.make_wcs("11h +30d", (90, 110), 1.8 * u.arcsec), 1, frequency=1.2 * u.GHz)
    with pytest.raises(ValueError, match="fields must be on one grid, got another in field 1"):
        skygal.write_cube([fields[0], moved], path)
    per_pixel = skygal.inject(np.zeros((90, 110)), 1, beam=6 * u.arcsec, unit="mJy/beam", noise=1 * u.mJy, seed=1,
                              wcs=field_header(fields[0].wcs, beam=None, frequency=1.2 * u.GHz, unit="mJy/beam"))
    with pytest.raises(ValueError, match="fields must have one unit, got 'JY/BEAM' and 'mJy/beam'"):
        skygal.write_cube([fields[0], per_pixel], path)
    flat = field_header(fields[0].wcs, beam=None, frequency=1.2 * u.GHz)
    for axis in (3, 4):
        for key in ("NAXIS", "CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
            flat.remove(f"{key}{axis}", ignore_missing=True)
    flat["NAXIS"] = 2
    inside = skygal.inject(np.zeros((90, 110)), 1, beam=6 * u.arcsec, noise=1 * u.mJy, seed=1, wcs=flat)
    with pytest.raises(ValueError, match="fields must have a frequency axis in their headers"):
        skygal.write_cube([inside], path)
    assert not path.exists()
