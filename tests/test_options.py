"""Settings in words."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from radio_beam import Beam

from skygal.cli import grid as options
from skygal.io import words
from skygal.io.config import as_plain
from skygal.io.headers import field_header
from skygal.settings import View
from skygal.wcs import make_wcs, pixel_to_icrs


def test_quantities():
    assert words.parse_quantity("noise", "0.15 mJy") == 0.15 * u.mJy
    assert words.parse_quantity("las", "5.4arcsec") == 5.4 * u.arcsec
    for bad in ("5.4", "arcsec?", ""):
        with pytest.raises(ValueError, match="noise must be a number with a unit such as '5.4 arcsec', got"):
            words.parse_quantity("noise", bad)
    # what is no word is left to whoever uses it
    assert words.parse_quantity("noise", 5.4) == 5.4 and words.parse_quantity("noise", None) is None


def test_numbers():
    assert words.parse_number("clip_sigma", "2.5") == 2.5
    for bad in ("x", "", "1 2"):
        with pytest.raises(ValueError, match="clip_sigma must be a number, got"):
            words.parse_number("clip_sigma", bad)


def test_ranges():
    pair = (1 * u.mJy, 1 * u.Jy)
    assert words.parse_range("flux", "1 mJy, 1 Jy") == pair
    assert words.parse_range("flux", "1mJy,1Jy") == pair
    assert words.parse_range("flux", ["1 mJy", "1 Jy"]) == pair
    assert words.parse_range("flux", "1 mJy") == 1 * u.mJy
    assert words.parse_numbers("index", -0.7) == -0.7
    assert words.parse_numbers("index", "-0.9,-0.6") == (-0.9, -0.6)
    with pytest.raises(ValueError, match="flux must be a pair LOW,HIGH, got '1 mJy, 2 mJy, 3 mJy'"):
        words.parse_range("flux", "1 mJy, 2 mJy, 3 mJy")
    with pytest.raises(ValueError, match="flux must be a number with a unit"):
        words.parse_range("flux", "1, 2")


def test_open_range():
    pair = (60 * u.arcsec, 2 * u.arcmin)
    assert words.parse_open_range("las", "60 arcsec, 2 arcmin") == pair
    assert words.parse_open_range("las", ["60 arcsec", "2 arcmin"]) == pair
    for each in ("60 arcsec,", "60 arcsec", "60 arcsec, none", ["60 arcsec", None], ["60 arcsec"]):
        assert words.parse_open_range("las", each) == (60 * u.arcsec, None)
    for each in (", 10 deg", "none, 10 deg", [None, "10 deg"]):
        assert words.parse_open_range("bending", each) == (None, 10 * u.deg)
    with pytest.raises(ValueError, match=r"las must be a pair LOW,HIGH, got '1 deg, 2 deg, 3 deg'"):
        words.parse_open_range("las", "1 deg, 2 deg, 3 deg")
    with pytest.raises(ValueError, match="las .*'60'"):
        words.parse_open_range("las", "60,")


def test_sizes():
    assert words.parse_size("size", "1024") == words.parse_size("size", 1024) == (1024, 1024)
    assert words.parse_size("size", "300x200") == words.parse_size("size", [300, 200]) == (200, 300)
    for bad in ("0", "-4", "1.5", 1.5, "axb", "1x2x3", [], None, True):
        with pytest.raises(ValueError, match="size must be a number of pixels N or NXxNY, got"):
            words.parse_size("size", bad)


def test_a_relation_of_sizes_has_a_name():
    assert words.parse_sizes("las", " mirabest ") == "mirabest"
    assert words.parse_sizes("las", "10 arcsec, 1 arcmin") == (10 * u.arcsec, 1 * u.arcmin)
    assert words.parse_sizes("las", ["10 arcsec", "20 arcsec"]) == (10 * u.arcsec, 20 * u.arcsec)
    assert words.parse_sizes("las", "7 arcsec") == 7 * u.arcsec
    with pytest.raises(ValueError, match="las must be a number with a unit such as .*, got '7'"):
        words.parse_sizes("las", "7")


@pytest.mark.parametrize("text, expected", [
    ("5.4arcsec", (5.4, 5.4, 0)), ("5.4 arcsec", (5.4, 5.4, 0)), ("6x5arcsec", (6, 5, 0)),
    ("6x5arcsec,30deg", (6, 5, 30)), ("0.1arcmin", (6, 6, 0)), ("6.0x5.0 arcsec, -30.5 deg", (6, 5, -30.5)),
    ("6arcsec x 5arcsec, 1rad", (6, 5, 57.29578))])
def test_beams(text, expected):
    beam = words.parse_beam("beam", text)
    assert (beam.major.to_value("arcsec"), beam.minor.to_value("arcsec"), beam.pa.to_value("deg")) == \
        pytest.approx(expected)


@given(st.floats(0.01, 1e4), st.floats(0.01, 1), st.floats(-180, 180))
def test_a_beam_written_to_a_configuration_is_read_back(major, ratio, pa):
    beam = Beam(major * u.arcsec, major * ratio * u.arcsec, pa * u.deg)
    back = words.parse_beam("beam", as_plain(beam))
    assert (back.major.value, back.minor.value, back.pa.value) == \
        pytest.approx((beam.major.to_value("arcsec"), beam.minor.to_value("arcsec"), pa), rel=1e-12)


@pytest.mark.parametrize("text, message", [
    ("5.4", "beam must be a FWHM such as"), ("x", "beam must be a FWHM"), ("6x5furlong", "beam must be a FWHM"),
    ("5x6arcsec", "beam must have its major axis first, got '5x6arcsec'"),
    ("-5arcsec", "beam must be positive, got -5.0 arcsec"), ("0arcsec", "beam must be positive"),
    ("5m", "beam must be in units convertible to arcsec, got 5.0 m"),
    ("6x5arcsec,3s", "beam must have its position angle"),
    ("1..2arcsec", "beam must be a FWHM")])
def test_bad_beams(text, message):
    with pytest.raises(ValueError, match=message):
        words.parse_beam("beam", text)


def test_mixes():
    assert words.parse_mix("fr_mix", "balanced") == "balanced" and words.parse_mix("fr_mix", "survey") == "survey"
    assert words.parse_mix("fr_mix", "FRI:0.3, FRII:0.7") == words.parse_mix("fr_mix", {"FRI": 0.3, "FRII": "0.7"}) == \
        {"FRI": 0.3, "FRII": 0.7}
    with pytest.raises(ValueError, match="fr_mix must be 'balanced', 'survey' or shares"):
        words.parse_mix("fr_mix", "FRI:0.5:FRII")
    with pytest.raises(ValueError, match="fr_mix must be a number, got 'x'"):
        words.parse_mix("fr_mix", "FRI:x")


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    np.testing.assert_array_equal(words.parse_latents("latents", str(tmp_path / "a.npy")), np.eye(3))
    np.testing.assert_array_equal(words.parse_latents("latents", [[1, 2]]), [[1.0, 2.0]])
    assert words.parse_latents("latents", "prior") == "prior"
    with pytest.raises(FileNotFoundError, match="latents file '.*no.npy' does not exist"):
        words.parse_latents("latents", str(tmp_path / "no.npy"))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="latents file '.*' cannot be read as an array"):
        words.parse_latents("latents", str(tmp_path / "object.npy"))


def test_wcs_from_words():
    wcs = options.parse_wcs(center="180 30", size="40x20", pixel_scale="2 arcsec", projection="TAN")
    assert wcs.array_shape == (20, 40) and wcs.wcs.ctype[0] == "RA---TAN"
    ra, dec = pixel_to_icrs(wcs, 19.5, 9.5)
    assert (ra, dec) == (pytest.approx(180), pytest.approx(30))
    assert options.parse_wcs(pixel_scale="2 arcsec").array_shape == (1024, 1024)
    with pytest.raises(ValueError, match="pixel_scale must be given where there is neither a survey nor a wcs"):
        options.parse_wcs()


def test_wcs_from_a_file(tmp_path):
    grid = make_wcs("10 20", (30, 50), 3 * u.arcsec)
    header = field_header(grid, beam=Beam(9 * u.arcsec), frequency=1 * u.GHz)
    path = str(tmp_path / "a.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((1, 1, 30, 50), np.float32), header)]).writeto(path)
    wcs = options.parse_wcs(wcs=path, survey="FIRST")
    assert wcs.array_shape == (30, 50) and wcs.naxis == 2
    np.testing.assert_allclose(wcs.wcs.crval, [10, 20])
    with pytest.raises(ValueError, match="size must be left out where wcs is given, got '10'"):
        options.parse_wcs(wcs=path, size="10")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "none.fits")
    with pytest.raises(ValueError, match="wcs file '.*none.fits' has no celestial WCS with a shape"):
        options.parse_wcs(wcs=str(tmp_path / "none.fits"))
    with pytest.raises(FileNotFoundError, match="wcs file '.*no.fits' does not exist"):
        options.parse_wcs(wcs=str(tmp_path / "no.fits"))


def test_make_wcs():
    for center, expected in (("150.1 2.2", (150.1, 2.2)), ("10:00:24 +02:12:00", (150.1, 2.2)),
                             ("10h00m24s +2d12m00s", (150.1, 2.2)), ("150.1d -2.2d", (150.1, -2.2))):
        for projection in ("SIN", "TAN", "ARC", "ZEA", "STG", "CAR"):
            wcs = make_wcs(center, (30, 41), 10 * u.arcsec, projection=projection)
            assert np.allclose(pixel_to_icrs(wcs, 20, 14.5), expected, atol=1e-9)
            east = pixel_to_icrs(wcs, 19, 14.5)[0] - pixel_to_icrs(wcs, 20, 14.5)[0]
            north = pixel_to_icrs(wcs, 20, 15.5)[1] - pixel_to_icrs(wcs, 20, 14.5)[1]
            assert east > 0 and north * 3600 == pytest.approx(10, rel=1e-6)


def test_make_wcs_galactic():
    from astropy.coordinates import SkyCoord

    wcs = make_wcs(SkyCoord(30 * u.deg, 5 * u.deg, frame="galactic"), 11, 1 * u.arcmin)
    assert isinstance(wcs, WCS) and wcs.wcs.ctype[0] == "GLON-SIN"
    lon, lat = wcs.wcs_pix2world(5, 5, 0)
    assert (lon, lat) == (pytest.approx(30), pytest.approx(5))


@pytest.mark.parametrize("change, error, message", [
    ({"center": "nowhere"}, ValueError, "center must be a position such as '150.1 2.2'"),
    ({"center": 3}, TypeError, "center must be a SkyCoord or a string 'RA DEC', got 3"),
    ({"size": 0}, ValueError, "size must be at least 1, got 0"),
    ({"size": 1.5}, TypeError, "size must be a whole number, got 1.5"),
    ({"size": (1, 2, 3)}, TypeError, r"shape must be a pair \(ny, nx\)"),
    ({"pixel_scale": 1.8}, TypeError, "pixel_scale must be a Quantity in units of deg, got 1.8"),
    ({"pixel_scale": -1 * u.arcsec}, ValueError, "pixel_scale must be positive"),
    ({"pixel_scale": 1 * u.Jy}, u.UnitConversionError, "pixel_scale must be in units convertible to deg"),
    ({"projection": "SIM"}, ValueError, r"projection must be one of 'SIN', .*, got 'SIM' \(did you mean 'SIN'\?\)")])
def test_make_wcs_errors(change, error, message):
    arguments = {"center": "1 2", "size": 4, "pixel_scale": 1 * u.arcsec, "projection": "SIN"} | change
    with pytest.raises(error, match=message):
        make_wcs(arguments["center"], arguments["size"], arguments["pixel_scale"],
                 projection=arguments["projection"])


def test_make_wcs_of_several_positions():
    from astropy.coordinates import SkyCoord

    with pytest.raises(ValueError, match="center must be one position, got 2"):
        make_wcs(SkyCoord([1, 2] * u.deg, [1, 2] * u.deg), 4, 1 * u.arcsec)


def test_frequencies():
    assert words.parse_frequencies("frequency", None) is None
    for one in ("1.4 GHz", ["1.4 GHz"], "1400 MHz"):
        assert words.parse_frequencies("frequency", one) == 1.4 * u.GHz
    for several in ("1 GHz, 1.4 GHz", "1GHz,1400MHz", ["1 GHz", "1.4 GHz"]):
        assert words.parse_frequencies("frequency", several) == [1 * u.GHz, 1.4 * u.GHz]
    for bad in ("1, 2", "1 GHz,", "1.4", ["1.4"]):
        with pytest.raises(ValueError, match="frequency must be a number with a unit"):
            words.parse_frequencies("frequency", bad)


def test_one_for_each():
    given = {"frequency": "1 GHz, 2 GHz", "noise": "1 mJy", "beam": None, "psf": None, "primary_beam": None}
    assert [view["noise"] for view in View.of_each(given)] == [1 * u.mJy, 1 * u.mJy]
    for several in ("1 mJy; 2 mJy", "1mJy;2mJy", ["1 mJy", "2 mJy"]):
        assert [view["noise"] for view in View.of_each({**given, "noise": several})] == [1 * u.mJy, 2 * u.mJy]
    with pytest.raises(ValueError, match="noise must be a number with a unit such as '5.4 arcsec', got 'x'"):
        View.of_each({**given, "noise": "1 mJy; x"})
    with pytest.raises(ValueError, match="noise must be one for all or one for each of 2 frequencies, got 3"):
        View.of_each({**given, "noise": "1 mJy; 2 mJy; 3 mJy"})


def test_a_table_of_beams_is_a_path():
    for name in ("beams.ecsv", "some/beams.vot", "b.xml"):
        assert str(words.parse_beam("beam", name)) == name and not isinstance(words.parse_beam("beam", name), str)


def test_sides_of_chunks():
    assert words.parse_size("chunks", "64x32") == (32, 64)
    with pytest.raises(ValueError, match="chunks must be a number of pixels N or NXxNY, got '-1'"):
        words.parse_size("chunks", "-1")
