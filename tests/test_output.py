"""Images, headers and whole files."""

from __future__ import annotations

import errno
import os
import resource
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import example, given
from hypothesis import strategies as st
from radio_beam import Beam

from skygal.io.atomic import MANIFEST, check_writable, whole_directory, whole_file
from skygal.io.headers import field_header
from skygal.io.images import parse_unit, read_image, write_image
from skygal.io.provenance import make_provenance, read_provenance
from skygal.observation.psf import read_psf_image
from skygal.wcs import make_wcs

BEAM = Beam(6 * u.arcsec, 5 * u.arcsec, 30 * u.deg)
FREQUENCY = 1.4 * u.GHz


def header_for(wcs, shape=None, **more):
    return field_header(wcs, shape, **{"beam": BEAM, "frequency": FREQUENCY, **more})


@pytest.fixture
def wcs():
    return make_wcs("150.0 2.0", (24, 32), 1.8 * u.arcsec)


# ---- headers

def test_header_is_what_finders_take(wcs):
    header = header_for(wcs)
    assert [header[f"NAXIS{k}"] for k in (1, 2, 3, 4)] == [32, 24, 1, 1]
    assert [header[f"CTYPE{k}"] for k in (1, 2, 3, 4)] == ["RA---SIN", "DEC--SIN", "FREQ", "STOKES"]
    assert header["BITPIX"] == -32
    assert header["CDELT1"] == pytest.approx(-5e-4) and header["CDELT2"] == pytest.approx(5e-4)
    assert header["BMAJ"] == pytest.approx(6 / 3600) and header["BMIN"] == pytest.approx(5 / 3600)
    assert header["BPA"] == 30 and header["BUNIT"] == "JY/BEAM"
    assert header["RADESYS"] == "ICRS" and header["EQUINOX"] == 2000
    assert header["RESTFRQ"] == header["RESTFREQ"] == header["CRVAL3"] == 1.4e9
    for keyword in ("BSCALE", "BZERO", "CD1_1", "CONTINUE"):
        assert keyword not in header
    for card in header.cards:
        card.verify("exception")


PROJECTIONS = st.sampled_from(["SIN", "TAN", "ZEA", "ARC", "STG", "CAR", "AIT"])


@st.composite
def grids(draw):
    """Return any usual grid: rotated, flipped, with pixels that are not square, in CD or PC form."""
    projection = draw(PROJECTIONS)
    axes = draw(st.sampled_from([("RA--", "DEC-"), ("GLON", "GLAT")]))
    angle = np.radians(draw(st.floats(0, 360)))
    scale = draw(st.floats(0.1, 60)) / 3600
    pixel = np.diag([draw(st.sampled_from([-1, 1])) * scale, scale * draw(st.floats(0.5, 2))])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ pixel if draw(st.booleans()) else pixel @ turn
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"{axis}-{projection}" for axis in axes]
    wcs.wcs.cunit = ["deg", "deg"]
    declination = 0.0 if projection in ("CAR", "AIT") else draw(st.floats(-85, 85))
    wcs.wcs.crval = [draw(st.floats(0, 359.9)), declination]
    wcs.wcs.crpix = [draw(st.floats(-50, 150)), draw(st.floats(-50, 150))]
    form = draw(st.sampled_from(["CD", "PC with CDELT 1", "PC"]))
    if form == "CD":
        wcs.wcs.cd = matrix
    elif form == "PC":
        wcs.wcs.cdelt = draw(st.sampled_from([(-scale, scale), (scale, scale), (2 * scale, scale)]))
        wcs.wcs.pc = matrix / np.array(wcs.wcs.cdelt)[:, None]
    else:
        wcs.wcs.pc = matrix
    if axes[0] == "RA--":
        radesys = draw(st.sampled_from(["ICRS", "FK5"]))
        wcs.wcs.radesys = radesys
        if radesys == "FK5":
            wcs.wcs.equinox = 2000.0
    return wcs


@given(grids())
def test_header_keeps_the_grid(wcs):
    header = header_for(wcs, (90, 110))
    header = fits.Header.fromstring(header.tostring())  # as a file would
    back = WCS(header).celestial
    x, y = np.random.default_rng(0).uniform(0, 90, (2, 20))
    world = wcs.wcs_pix2world(x, y, 0)
    with np.errstate(invalid="ignore"):
        x2, y2 = back.wcs_world2pix(*world, 0)
    seen = np.isfinite(x2)
    assert seen.all()
    # what SIN loses to rounding near its centre is the pixel's part of 1e-16 of a radian
    tolerance = 1e-9 + 1e-11 * 3600 / np.sqrt(abs(np.linalg.det(3600 * wcs.pixel_scale_matrix)))
    np.testing.assert_allclose(x2, x, atol=tolerance)
    np.testing.assert_allclose(y2, y, atol=tolerance)
    pc = np.array([[header.get(f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)])
    np.testing.assert_allclose(np.linalg.norm(pc, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(pc * [[header["CDELT1"]], [header["CDELT2"]]], wcs.pixel_scale_matrix,
                               rtol=1e-12, atol=1e-20)
    assert header["CDELT2"] > 0
    assert (header["CDELT1"] < 0) == (np.linalg.det(wcs.pixel_scale_matrix) < 0)
    assert header.get("RADESYS", "") == wcs.wcs.radesys
    assert not any(name.startswith("CD1_") for name in header)


def test_header_keeps_projection_parameters():
    slanted = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 10.0, "CRVAL2": 20.0,
                           "CRPIX1": 50.0, "CRPIX2": 60.0, "CDELT1": -1e-3, "CDELT2": 1e-3,
                           "PV2_1": 0.01, "PV2_2": -0.02})
    header = header_for(slanted, (100, 100))
    assert header["PV2_1"] == 0.01 and header["PV2_2"] == -0.02


def test_header_refuses_sip():
    source = fits.Header({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 10.0, "CRVAL2": 20.0,
                          "CRPIX1": 50.0, "CRPIX2": 60.0, "CD1_1": -1e-3, "CD1_2": 0.0, "CD2_1": 0.0,
                          "CD2_2": 1e-3, "A_ORDER": 2, "A_2_0": 1e-5, "B_ORDER": 2, "B_0_2": -2e-5})
    with pytest.raises(ValueError, match="wcs must have no distortion .* got axes .*RA---TAN-SIP"):
        header_for(source, (100, 100))


def test_header_refuses_what_it_does_not_reproduce():
    source = fits.Header({"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CRVAL1": 10.0, "CRVAL2": 20.0,
                          "CRPIX1": 50.0, "CRPIX2": 60.0, "CD1_1": -1e-3, "CD1_2": 0.0, "CD2_1": 0.0,
                          "CD2_2": 1e-3, "PV1_1": 1.0, "PV2_1": 1.0, "PV1_4": 0.1, "PV2_4": 0.1})
    with pytest.raises(ValueError, match="wcs must be of a standard projection"):
        header_for(source, (100, 100))


def test_header_keeps_fk4_and_crota():
    source = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 10.0, "CRVAL2": 20.0,
                          "CRPIX1": 50.0, "CRPIX2": 60.0, "CDELT1": -1e-3, "CDELT2": 1e-3, "CROTA2": 30.0,
                          "RADESYS": "FK4", "EQUINOX": 1950.0})
    header = header_for(source, (100, 100))
    assert (header["RADESYS"], header["EQUINOX"]) == ("FK4", 1950)
    assert header["PC1_1"] == pytest.approx(np.cos(np.radians(30)))


def test_header_of_declination_first(wcs):
    swapped = wcs.sub([2, 1])
    header = header_for(swapped, (32, 24))
    assert header["CTYPE1"] == "DEC--SIN" and header["CDELT2"] < 0 < header["CDELT1"]


def test_header_refuses_other_distortions(wcs):
    from astropy.wcs import DistortionLookupTable

    wcs.cpdis1 = DistortionLookupTable(np.full((2, 2), 3.0, np.float32), (1, 1), (1, 1), (30, 30))
    with pytest.raises(ValueError, match="wcs must have no distortion"):
        header_for(wcs)


def test_header_refuses_a_singular_matrix(wcs):
    flat = wcs.deepcopy()
    flat.wcs.pc = [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="invertible"):
        header_for(flat, (4, 4))


@pytest.mark.parametrize("frequency, error, message", [
    (1.4, TypeError, "frequency must be a Quantity in units of Hz, got 1.4"),
    (-1 * u.GHz, ValueError, "frequency must be positive"),
    (1 * u.Jy, u.UnitConversionError, "frequency must be in units convertible to Hz")])
def test_header_checks_frequency(wcs, frequency, error, message):
    with pytest.raises(error, match=message):
        header_for(wcs, frequency=frequency)


def test_header_needs_a_shape(wcs):
    wcs.array_shape = None
    with pytest.raises(ValueError, match="shape must be given"):
        header_for(wcs)


def test_header_without_a_beam(wcs):
    assert "BMAJ" not in header_for(wcs, beam=None)


# ---- provenance

def test_provenance_survives_a_file(wcs, tmp_path):
    provenance = make_provenance(
        seed=2**62 + 1, model=SimpleNamespace(name="m" * 90, sha256="0f" * 32), frequency=FREQUENCY,
        configuration={"flux": (1 * u.mJy, 1 * u.Jy), "note": "it's  " * 40, "accent": "é", "small": 1e-30,
                       "clean": "CLEAN BMAJ= 1 BMIN= 1 BPA= 0", "nothing": None, "like": "1e5", "nan": [1, "a"]})
    path = tmp_path / "a.fits"
    write_image(path, np.zeros((24, 32)), header_for(wcs, provenance=provenance))
    text = path.read_bytes()
    assert b"CONTINUE" not in text and len(text) % 2880 == 0
    header = fits.getheader(path)
    assert header["SEED"] == 2**62 + 1 and header["MODELSHA"] == "0f" * 32 and header["MODEL"].endswith("...")
    assert read_provenance(header) == provenance
    assert read_provenance(fits.Header()) == {}


@example({"0": "\n"})
@given(st.dictionaries(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12),
                       st.one_of(st.text(max_size=200), st.integers(), st.floats(allow_nan=False), st.none(),
                                 st.booleans(), st.lists(st.text(max_size=30), max_size=4)), max_size=5))
def test_any_configuration_survives_a_header(configuration):
    from skygal.io.provenance import write_provenance

    header = fits.Header()
    write_provenance(header, {"configuration": configuration})
    back = fits.Header.fromstring(header.tostring())
    assert read_provenance(back) == {"configuration": configuration}


# ---- images

def test_image_round_trip(wcs, tmp_path):
    data = np.random.default_rng(1).normal(size=(24, 32)).astype(np.float32)
    data[3, 4] = np.nan
    write_image(tmp_path / "a.fits", data, header_for(wcs))
    with fits.open(tmp_path / "a.fits") as hdus:
        assert len(hdus) == 1 and hdus[0].data.shape == (1, 1, 24, 32) and hdus[0].data.dtype == ">f4"
        assert "BSCALE" not in hdus[0].header
    image = read_image(tmp_path / "a.fits")
    np.testing.assert_array_equal(image.data, data)
    assert image.data.dtype == np.dtype("float32") and image.data.dtype.isnative
    assert image.wcs.array_shape == (24, 32) and image.wcs.naxis == 2
    assert image.unit == u.Jy / u.beam and image.frequency == FREQUENCY
    assert image.beam.major.to_value("arcsec") == pytest.approx(6)
    assert image.beam.pa.to_value("deg") == pytest.approx(30)


def test_image_of_whole_numbers(wcs, tmp_path):
    labels = np.arange(24 * 32).reshape(24, 32)
    write_image(tmp_path / "a.fits", labels, header_for(wcs), dtype=np.int32)
    assert fits.getheader(tmp_path / "a.fits")["BITPIX"] == 32
    np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits")[0, 0], labels)


def test_image_of_another_shape(wcs, tmp_path):
    with pytest.raises(ValueError, match=r"data must have the header's shape \(1, 1, 24, 32\) or \(24, 32\), "
                                         r"got \(32, 24\)"):
        write_image(tmp_path / "a.fits", np.zeros((32, 24)), header_for(wcs))
    assert not list(tmp_path.iterdir())


def test_scaled_image_is_read_and_written_plain(wcs, tmp_path):
    hdu = fits.PrimaryHDU(np.full((24, 32), 0.5, np.float32), wcs.to_header())
    hdu.scale("int16", bscale=0.25, bzero=1.0)
    hdu.writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    np.testing.assert_allclose(image.data, 0.5)
    header = header_for(wcs)
    header["BSCALE"], header["BZERO"], header["BLANK"] = 0.25, 1.0, -1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_image(tmp_path / "b.fits", image.data, header)
        np.testing.assert_allclose(fits.getdata(tmp_path / "b.fits"), 0.5)


def test_read_an_open_hdu(wcs):
    hdu = fits.PrimaryHDU(np.zeros((24, 32)), wcs.to_header())
    image = read_image(hdu)
    image.data[:] = 1
    assert not hdu.data.any()
    assert (image.beam, image.unit, image.frequency) == (None, None, None)


def test_read_an_image_with_frequency_first(wcs):
    header = fits.Header({"CTYPE1": "FREQ", "CRVAL1": 1.0, "CRPIX1": 2.0, "CDELT1": 0.5, "CUNIT1": "GHz",
                          "CTYPE2": "RA---SIN", "CTYPE3": "DEC--SIN", "CDELT2": -1e-3, "CDELT3": 1e-3,
                          "CRVAL2": 10.0, "CRVAL3": 20.0, "CRPIX2": 1.0, "CRPIX3": 1.0})
    image = read_image(fits.PrimaryHDU(np.arange(6.0).reshape(2, 3, 1), header))
    assert image.data.shape == (2, 3) and image.frequency == 0.5 * u.GHz


def test_beam_in_an_aips_history(wcs):
    header = wcs.to_header()
    header.add_history("AIPS   CLEAN BMAJ=  1.5000E-03 BMIN=  1.4000E-03 BPA=  10.00")
    image = read_image(fits.PrimaryHDU(np.zeros((24, 32)), header))
    assert image.beam.minor.to_value("deg") == pytest.approx(1.4e-3)


@pytest.mark.parametrize("cards, expected", [
    ({"BMAJ": 1e-3, "BMIN": 1e-3}, 0), ({"BMAJ": 2e-3, "BMIN": 1e-3}, None), ({"BMAJ": 0.0, "BMIN": 0.0}, None),
    ({"BMAJ": 1e-3, "BMIN": 2e-3, "BPA": 0.0}, None), ({"BMAJ": 2e-3, "BMIN": 1e-3, "BPA": 20.0}, 20)])
def test_beams_that_are_incomplete_or_impossible_count_as_none(wcs, cards, expected):
    header = wcs.to_header()
    header.update(cards)
    beam = read_image(fits.PrimaryHDU(np.zeros((24, 32)), header)).beam
    assert beam is None if expected is None else beam.pa.to_value("deg") == expected


@pytest.mark.parametrize("keyword", ["RESTFRQ", "RESTFREQ", "FREQ"])
def test_frequency_without_an_axis(wcs, keyword):
    header = wcs.to_header()
    header["RESTFRQ"] = 0.0
    header[keyword] = 1.4e9
    assert read_image(fits.PrimaryHDU(np.zeros((24, 32)), header)).frequency == FREQUENCY


def test_read_what_is_no_image(wcs, tmp_path):
    with pytest.raises(FileNotFoundError, match="image '.*no.fits' does not exist"):
        read_image(tmp_path / "no.fits")
    (tmp_path / "text.fits").write_text("hello")
    with pytest.raises(ValueError, match="is not a FITS file"):
        read_image(tmp_path / "text.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((4, 4)), wcs.to_header())]).writeto(tmp_path / "e.fits")
    with pytest.raises(ValueError, match="HDU 0, holds no image; images are in HDU 1"):
        read_image(tmp_path / "e.fits", hdu=0)
    assert read_image(tmp_path / "e.fits", hdu=1).data.shape == (4, 4)
    with pytest.raises(ValueError, match="hdu must be from 0 to 1 in .*, got 2"):
        read_image(tmp_path / "e.fits", hdu=2)
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "bare.fits")
    with pytest.raises(ValueError, match="cannot be used: wcs must have a celestial pair of axes"):
        read_image(tmp_path / "bare.fits")
    header = header_for(wcs)
    for key in ("NAXIS3", "NAXIS4"):
        del header[key]
    fits.PrimaryHDU(np.zeros((1, 3, 4, 4)), header).writeto(tmp_path / "cube.fits")
    with pytest.raises(ValueError, match=r"must hold one plane of sky, got the shape \(1, 3, 4, 4\)"):
        read_image(tmp_path / "cube.fits")


@pytest.mark.parametrize("text, unit", [
    ("JY/BEAM", u.Jy / u.beam), ("Jy/beam", u.Jy / u.beam), ("mJy/beam", u.mJy / u.beam),
    ("Jy beam-1", u.Jy / u.beam), ("uJy/Beam", u.uJy / u.beam), ("Jy/pixel", u.Jy / u.pix),
    ("JY/PIXEL", u.Jy / u.pix), ("Jy pix-1", u.Jy / u.pix), ("MJy/sr", u.MJy / u.sr), (" K ", u.K)])
def test_units(text, unit):
    assert parse_unit(text) == unit


@pytest.mark.parametrize("text", ["", "Jy", "metre", "counts/s", "furlongs"])
def test_units_that_are_none(text):
    with pytest.raises(ValueError, match="unit must be a brightness such as 'Jy/beam'"):
        parse_unit(text)


def test_unit_milli_or_mega():
    with pytest.raises(ValueError, match="unit must say which of mJy and MJy it is, got 'MJY/BEAM'"):
        parse_unit("MJY/BEAM")


# ---- whole files and folders

def entries(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_directory_appears_whole(tmp_path):
    target = tmp_path / "a" / "out"
    with whole_directory(target) as part:
        (part / "sub").mkdir()
        (part / "sub" / "x").write_text("1")
        assert not target.exists()
    assert entries(tmp_path) == ["a", "a/out", f"a/out/{MANIFEST}", "a/out/sub", "a/out/sub/x"]
    assert oct(target.stat().st_mode & 0o777) == oct(0o777 & ~_umask())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_a_failure(tmp_path, error):
    with pytest.raises(error), whole_directory(tmp_path / "a" / "out") as part:
        (part / "x").write_text("1")
        raise error
    with pytest.raises(error), whole_file(tmp_path / "b" / "x.txt") as part:
        part.write_text("1")
        raise error
    assert entries(tmp_path) == []


def test_overwrite_replaces_only_what_was_written(tmp_path):
    target = tmp_path / "out"
    for text in ("1", "2"):
        with whole_directory(target, overwrite=True) as part:
            (part / text).write_text(text)
    assert entries(target) == [MANIFEST, "2"]
    with pytest.raises(FileExistsError, match="exists; give overwrite=True \\(--overwrite\\) to replace it"), \
            whole_directory(target):
        pass
    with pytest.raises(ValueError), whole_directory(target, overwrite=True):
        raise ValueError
    assert entries(target) == [MANIFEST, "2"]
    (target / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds what skygal did not write \\('notes.txt'\\) and is not"), \
            whole_directory(target, overwrite=True):
        pass
    assert (target / "notes.txt").read_text() == "mine"


def test_an_empty_folder_may_be_replaced_and_a_foreign_one_not(tmp_path):
    (tmp_path / "empty").mkdir()
    check_writable(tmp_path / "empty", overwrite=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="did not write"):
        check_writable(tmp_path / "theirs", overwrite=True)


def test_the_working_directory_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    for path in (".", ".."):
        with pytest.raises(FileExistsError, match="holds the working directory and cannot be replaced"):
            check_writable(path, overwrite=True)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with whole_directory(tmp_path / "link", overwrite=True) as part:
        (part / "x").write_text("1")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "x").exists()


def test_what_is_in_the_way(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("1")
    with pytest.raises(FileExistsError, match="must be a folder, but a file is there"):
        check_writable(tmp_path / "file", overwrite=True)
    with pytest.raises(NotADirectoryError, match="cannot be written: '.*file' is a file"):
        check_writable(tmp_path / "file" / "out")
    with pytest.raises(IsADirectoryError, match="must be a file, but a folder is there"):
        check_writable(tmp_path, folder=False, overwrite=True)
    with pytest.raises(FileExistsError, match="output '.*file' exists; give overwrite=True"):
        check_writable(tmp_path / "file", folder=False)
    assert check_writable(tmp_path / "file", folder=False, overwrite=True) == tmp_path / "file"
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be written: no permission to write in"):
        check_writable(tmp_path / "out")


def test_overwrite_a_file(tmp_path):
    path = tmp_path / "x.txt"
    for text in ("1", "2"):
        with whole_file(path, overwrite=True) as part:
            assert part.suffix == ".txt"
            part.write_text(text)
    assert path.read_text() == "2" and entries(tmp_path) == ["x.txt"]
    with pytest.raises(FileExistsError), whole_file(path):
        pass


def test_a_full_disk_leaves_nothing(tmp_path, wcs):
    # the system's own limit stands in for the disk's end
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="output could not be written .*out"), \
                whole_directory(tmp_path / "out") as part:
            write_image(part / "a.fits", np.zeros((24, 32)), header_for(wcs))
            write_image(part / "b.fits", np.zeros((240, 320)), header_for(wcs, (240, 320)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert entries(tmp_path) == []


def test_a_full_disk_names_the_output(tmp_path):
    with pytest.raises(OSError) as caught, whole_file(tmp_path / "x.fits"):
        raise OSError("Not enough space on disk: requested 10, available 5")
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "x.fits")


def test_psf(tmp_path):
    psf = np.arange(12.0).reshape(1, 1, 3, 4)
    fits.PrimaryHDU(psf).writeto(tmp_path / "psf.fits")
    np.save(tmp_path / "psf.npy", psf[0, 0])
    for name in ("psf.fits", "psf.npy"):
        np.testing.assert_array_equal(read_psf_image(tmp_path / name).data, psf[0, 0])
    fits.PrimaryHDU(np.zeros((2, 3, 4))).writeto(tmp_path / "cube.fits")
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("x")
    for name, message in (("cube.fits", r"must hold a two-dimensional image, got the shape \(2, 3, 4\)"),
                          ("none.fits", "psf file .* holds no image"),
                          ("text.fits", "psf file '.*' is not a FITS file")):
        with pytest.raises(ValueError, match=message):
            read_psf_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="psf file '.*no.fits' does not exist"):
        read_psf_image(tmp_path / "no.fits")


def test_truncated_image(tmp_path):
    fits.PrimaryHDU(np.zeros((100, 100), np.float32), make_wcs("150d 2d", 100, 1 * u.arcsec).to_header()).writeto(
        tmp_path / "whole.fits")
    (tmp_path / "cut.fits").write_bytes((tmp_path / "whole.fits").read_bytes()[:8000])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="cut.fits.*(truncated|not a FITS file)"):
            read_image(tmp_path / "cut.fits")
