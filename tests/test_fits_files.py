"""FITS files as they come: extensions, compressed ones, and what is no file to be read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from header_fuzz import NX, NY, as_bytes, base_cards, write_file

import skygal
from skygal.cli import grid as options
from skygal.cli.main import main
from skygal.io.images import read_image
from skygal.io.words import parse_hdu

PIXELS = np.random.default_rng(0).normal(0, 1e-3, (NY, NX)).astype(np.float32)
HEADER = fits.Header.fromstring(as_bytes(base_cards(2)))


def make_list(*names, compressed=False):
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    more = {"compression_type": "GZIP_2", "quantize_level": 0} if compressed else {}
    return fits.HDUList([fits.PrimaryHDU(), *(kind(PIXELS * (k + 1), HEADER, name=name, **more)
                                              for k, name in enumerate(names))])


def inject(image, **more):
    return skygal.inject(image, 2, seed=1, las=8 * u.arcsec, flux=50 * u.mJy, frequency=1.4 * u.GHz, **more)


def check_primary(path, shape=(NY, NX)):
    """What fitsverify and a reader that knows only primary HDUs ask for."""
    raw = path.read_bytes()
    assert len(raw) % 2880 == 0
    keys = [raw[k:k + 8].decode().strip() for k in range(0, 2880, 80)]
    naxis = len(shape)
    assert keys[:3 + naxis] == ["SIMPLE", "BITPIX", "NAXIS", *(f"NAXIS{k + 1}" for k in range(naxis))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert len(hdus) == 1 and hdus[0].data.shape == shape
            header = hdus[0].header
            data = hdus[0].data.copy()
    foreign = {"XTENSION", "PCOUNT", "GCOUNT", "EXTNAME", "EXTVER", "INHERIT", "CHECKSUM", "DATASUM", "TFIELDS"}
    assert not foreign & set(header) and not any(key.startswith(("Z", "TTYPE", "TFORM")) for key in header)
    return data, header


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("how", ["number", "name", "only", "HDU", "list"])
def test_an_image_in_an_extension_becomes_a_primary_one(tmp_path, compressed, how):
    hdus = make_list("SCI", compressed=compressed)
    hdus[1].header["INHERIT"], hdus[1].header["EXTVER"] = True, 1
    hdus.writeto(tmp_path / "a.fits", checksum=True)
    with fits.open(tmp_path / "a.fits") as opened:
        image, more = {"number": (tmp_path / "a.fits", {"hdu": 1}), "name": (tmp_path / "a.fits", {"hdu": "sci"}),
                       "only": (tmp_path / "a.fits", {}), "HDU": (opened[1], {}), "list": (opened, {"hdu": "SCI"})}[how]
        field = inject(image, **more)
    folder = field.write(tmp_path / "out")
    data, header = check_primary(folder / "field.fits")
    np.testing.assert_array_equal(data, field.image)
    np.testing.assert_allclose(data - field.model, PIXELS, atol=1e-8)
    assert header["OBJECT"] == "mosaic" and WCS(header).celestial.wcs.crval[0] == 210
    check_primary(folder / "segmentation.fits")


def test_a_cube_of_fields_from_an_extension(tmp_path):
    header = fits.Header.fromstring(as_bytes(base_cards(4)))
    header["CUNIT3"], header["CRVAL3"], header["CDELT3"] = "GHZ", 1.4, 1e-3
    hdu = fits.ImageHDU(PIXELS[None, None], header, name="SCI")
    first = skygal.inject(hdu, 1, seed=1, las=8 * u.arcsec, flux=50 * u.mJy)
    second = skygal.inject(hdu, 1, seed=1, las=8 * u.arcsec, flux=50 * u.mJy, frequency=1.5 * u.GHz)
    skygal.write_cube([first, second], tmp_path / "cube.fits")
    data, header = check_primary(tmp_path / "cube.fits", (1, 2, NY, NX))
    np.testing.assert_array_equal(data[0, 1], second.image)
    np.testing.assert_allclose(WCS(header).spectral.pixel_to_world([0, 1]).to_value("GHz"), [1.4, 1.5])


def test_a_cube_with_the_frequency_first_is_refused(tmp_path):
    header = fits.Header({"CTYPE1": "FREQ", "CRVAL1": 1.4e9, "CRPIX1": 1.0, "CDELT1": 1e6, "CTYPE2": "RA---SIN",
                          "CTYPE3": "DEC--SIN", "CDELT2": -5e-4, "CDELT3": 5e-4, "CRVAL2": 10.0, "CRVAL3": 20.0,
                          "CRPIX2": 9.0, "CRPIX3": 9.0, "BMAJ": 2e-3, "BMIN": 2e-3, "BPA": 0.0, "BUNIT": "JY/BEAM"})
    field = skygal.inject(fits.PrimaryHDU(PIXELS[:, :, None], header), 1, seed=1, las=8 * u.arcsec, flux=50 * u.mJy)
    with pytest.raises(ValueError, match="fields must have their frequency axis after those of the sky, got axis 1"):
        skygal.write_cube([field], tmp_path / "cube.fits")


def test_which_hdu(tmp_path):
    make_list("SCI", "WHT", "WHT").writeto(tmp_path / "a.fits")
    name = r"image '.*a\.fits'"
    for hdu, message in ((None, rf"hdu must be given, since {name} holds several images, in HDU 1 \('SCI'\), 2"),
                         (0, rf"{name}, HDU 0, holds no image; images are in HDU 1 \('SCI'\), 2"),
                         (7, rf"hdu must be from 0 to 3 in {name}, got 7"),
                         ("SKI", rf"EXTNAME in {name}, got 'SKI', which is not there \(did you mean 'SCI'"),
                         ("wht", "got 'wht', which is that of 2 HDUs: give the number")):
        with pytest.raises(ValueError, match=message):
            read_image(tmp_path / "a.fits", hdu=hdu)
        if hdu != 0:
            with pytest.raises(ValueError, match="hdu must be"), fits.open(tmp_path / "a.fits") as opened:
                inject(opened, hdu=hdu)
    np.testing.assert_array_equal(read_image(tmp_path / "a.fits", hdu=2).data, PIXELS * 2)


def test_hdu_in_words():
    assert [parse_hdu("hdu", words) for words in (None, 1, "2", " 3 ", "SCI")] == [None, 1, 2, 3, "SCI"]
    for words in (True, "", 1.5):
        with pytest.raises(ValueError, match="hdu must be a number or an EXTNAME, got"):
            parse_hdu("hdu", words)


def test_hdu_on_the_command_line(tmp_path, capsys):
    make_list("SCI", "WHT", compressed=True).writeto(tmp_path / "a.fits")
    words = ["inject", str(tmp_path / "a.fits"), "--n-sources", "1", "--las", "8arcsec", "--flux", "50mJy",
             "--no-progress", "--frequency", "1.4GHz", "--seed", "1", "--output"]
    assert main([*words, str(tmp_path / "no")]) == 2
    assert "hdu must be given, since image" in capsys.readouterr().err
    for hdu in ("SCI", "1"):
        assert main([*words, str(tmp_path / f"out{hdu}"), "--hdu", hdu]) == 0, capsys.readouterr().err
        check_primary(tmp_path / f"out{hdu}" / "field.fits")


@pytest.mark.parametrize("opener", [gzip.open, bz2.open, lzma.open])
def test_files_compressed_as_a_whole(tmp_path, opener):
    with opener(tmp_path / "a.fits.x", "wb") as file:
        plain = write_file(tmp_path / "plain.fits", base_cards(), PIXELS)
        file.write(plain.read_bytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.fits.x").data, PIXELS)
    cut = tmp_path / "cut.fits.x"
    cut.write_bytes((tmp_path / "a.fits.x").read_bytes()[:-900])
    with pytest.raises(ValueError, match=r"image '.*cut\.fits\.x'.* (cannot be read|is truncated)"):
        read_image(cut)


@pytest.mark.parametrize("bitpix", [8, 16, 32, 64, -32, -64])
def test_stored_numbers(tmp_path, bitpix):
    kind = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}[bitpix]
    data = (np.arange(NY * NX).reshape(NY, NX) % 100).astype(kind)
    header = HEADER.copy()
    for key in ("BITPIX", "SIMPLE"):
        del header[key]
    hdu = fits.PrimaryHDU(data, header)
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 3.0
    if bitpix > 0:
        hdu.header["BLANK"] = 7
    hdu.writeto(tmp_path / "a.fits")
    raw = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "a.fits").write_bytes(raw)
    found = read_image(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        np.testing.assert_allclose(found.data, hdus[0].data)
    assert found.data.dtype.kind == "f" and found.data.dtype.isnative


def tampered(**cards):
    return {**base_cards(), **cards}


@pytest.mark.parametrize(("cards", "message"), [
    (tampered(NAXIS1="1000000", NAXIS2="1000000"),
     r"is truncated: NAXIS1 = 1000000, NAXIS2 = 1000000, NAXIS3 = 1, NAXIS4 = 1 need 4e\+12 bytes, got"),
    (tampered(NAXIS1="'256'"), r"NAXIS1 must be a whole number of at least 0, got '256'"),
    (tampered(NAXIS2="-24"), r"NAXIS2 must be a whole number of at least 0, got -24"),
    (tampered(BITPIX="1000"), r"BITPIX must be one of 8, 16, 32, 64, -32, -64, got 1000"),
    (tampered(NAXIS="999"), r"NAXIS must be a whole number from 0 to 32, got 999"),
    (tampered(NAXIS="9"), r"NAXIS5 must be given, since NAXIS = 9, got no such card"),
    (tampered(SIMPLE="F"), "SIMPLE must be T, got False")])
@pytest.mark.parametrize("pixels", [PIXELS, None])
def test_what_is_declared_is_checked_before_it_is_allocated(tmp_path, cards, message, pixels):
    path = write_file(tmp_path / "a.fits", cards, pixels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read, name in ((read_image, "image"), (lambda path: options.parse_wcs(wcs=str(path)), "wcs file")):
        with pytest.raises(ValueError, match=rf"^{name} '.*a\.fits', HDU 0,? .*{message}"):
            read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_more_than_the_machine_holds(tmp_path):
    path = write_file(tmp_path / "a.fits", tampered(NAXIS1="1000000", NAXIS2="1000000"))
    try:
        os.truncate(path, path.stat().st_size + 4 * 10**12 + 2880)     # a file of holes
    except OSError:
        pytest.skip("no such files here")
    with pytest.raises(ValueError, match="HDU 0, does not fit into memory: NAXIS1 = 1000000, .* need 3725 GiB"):
        read_image(path)


def test_a_grid_needs_no_pixels(tmp_path):
    path = write_file(tmp_path / "a.fits", base_cards())
    assert options.parse_wcs(wcs=str(path)).array_shape == (NY, NX)
    make_list("SCI", compressed=True).writeto(tmp_path / "c.fits")
    assert options.parse_wcs(wcs=str(tmp_path / "c.fits")).array_shape == (NY, NX)


def test_a_lie_about_compressed_tiles(tmp_path):
    make_list("SCI", compressed=True).writeto(tmp_path / "a.fits")
    raw = (tmp_path / "a.fits").read_bytes()
    for old, new, message in (
            (b"ZNAXIS1 =                   32", b"ZNAXIS1 =             32000000", r"ZNAXIS1 = 32000000"),
            (b"ZNAXIS2 =                   24", b"ZNAXIS2 =              2400000", "NAXIS2 must be the number of til"),
            (b"ZNAXIS  =                    2", b"ZNAXIS  =                    7", "ZNAXIS3 must be given"),
            (b"ZNAXIS1 =                   32", b"ZNAXIS1 =                 '32'", "ZNAXIS1 must be a whole number"),
            (b"ZBITPIX =                  -32", b"ZBITPIX =                  -31", "ZBITPIX must be one of"),
            (b"ZTILE1  =                   32", b"ZTILE1  =                    0", "ZTILE1 must be a whole number"),
            (b"ZCMPTYPE= 'GZIP_2  '", b"ZCMPTYPE= 'RICE_1  '", "tiles that cannot be unpacked"),
            (b"ZCMPTYPE= 'GZIP_2  '", b"ZCMPTYPE= 'NONE_2  '", "tiles that cannot be unpacked")):
        assert raw.count(old) == 1, old
        (tmp_path / "b.fits").write_bytes(raw.replace(old, new))
        with pytest.raises(ValueError, match=rf"image '.*b\.fits', HDU 1,? .*{message}"):
            read_image(tmp_path / "b.fits", hdu=1)


def test_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    link = tmp_path / "zero.fits"
    link.symlink_to("/dev/zero")
    for path, kind in ((tmp_path / "pipe.fits", "a pipe"), ("/dev/zero", "a device"), (link, "a device"),
                       (tmp_path, "a folder")):
        with pytest.raises(ValueError, match=f"image '.*' is not a FITS file, but {kind}"):
            read_image(path)
        with pytest.raises(ValueError, match=f"wcs file '.*' is not a FITS file, but {kind}"):
            options.parse_wcs(wcs=str(path))
    with pytest.raises(FileNotFoundError, match="image 'no.fits' does not exist"):
        read_image("no.fits")


def test_a_header_without_an_end(tmp_path):
    (tmp_path / "a.fits").write_bytes(as_bytes(base_cards()).replace(b"END     ", b"        "))
    with pytest.raises(ValueError, match=r"image '.*a\.fits', HDU 0, is not FITS: its header has no END card"):
        read_image(tmp_path / "a.fits")
