"""What is read from a header: the sky from its own two axes, the frequency from the spectral one, units; or why not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import constants
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from header_fuzz import NX, NY, as_bytes, base_cards, write_file

import skygal
from skygal.cli import grid as options
from skygal.io.header_frequency import read_frequency
from skygal.io.header_wcs import celestial, read_celestial
from skygal.io.images import parse_unit, read_image, write_image
from skygal.scene import compose
from skygal.wcs import pixel_to_icrs

PIXELS = np.random.default_rng(0).normal(0, 1e-3, (NY, NX)).astype(np.float32)
X, Y = np.meshgrid(np.linspace(0, NX - 1, 5), np.linspace(0, NY - 1, 5))
REST = 1.420405752e9
C = constants.c.value


def header_of(axes=4, **cards):
    header = fits.Header.fromstring(as_bytes(base_cards(axes)))
    for key, value in cards.items():
        header[key.replace("__", "-")] = value
    return header


def quiet_wcs(header):
    """Return astropy's own reading, which is told of its repairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


def places(wcs):
    return np.array(pixel_to_icrs(wcs, X, Y))


def write_with(path, axes=4, **cards):
    return write_file(path, {**base_cards(axes), **cards}, PIXELS)


def inject(image, **more):
    return skygal.inject(image, 1, **{"seed": 1, "las": 8 * u.arcsec, "flux": 50 * u.mJy, **more})


# ---- the sky

@pytest.mark.parametrize("cards", [
    {"CDELT3": 0.0}, {"CDELT4": 0.0}, {"PC4_4": 0.0}, {"CUNIT3": "HZ"}, {"CUNIT3": "MHZ"}, {"CUNIT3": "GHZ"},
    {"CUNIT3": "HERTZ"}, {"CUNIT3": "m/s"}, {"CTYPE3": "FREQ-TAB"}, {"CTYPE1": "ra---sin", "CTYPE2": "dec--sin"},
    {"CTYPE1": " RA---SIN ", "CTYPE2": "DEC--SIN "}, {"CTYPE4": "GLON-CAR"}, {"CTYPE3": 3.0}, {"CRVAL3": "x"},
    {"CUNIT1": "DEGREES"}, {"PV4_1": 1e300}, {"PC3_3": 0.0}, {"CTYPE3": ""}, {"PC1_3": 0.5},
    {"NAXIS": 4, "WCSAXES": 9}])
def test_other_axes_do_not_matter(cards, tmp_path):
    expected = places(quiet_wcs(header_of(2)).celestial)
    header = header_of(**cards)
    np.testing.assert_allclose(places(celestial(header)), expected, atol=1e-11)
    # and what is written is read by astropy, with the same sky
    field = inject(PIXELS, wcs=header, frequency=1.2 * u.GHz)
    write_image(tmp_path / "field.fits", field.image, field.header)
    back = fits.getheader(tmp_path / "field.fits")
    np.testing.assert_allclose(places(quiet_wcs(back).celestial), expected, atol=1e-11)
    assert read_image(tmp_path / "field.fits").frequency == 1.2 * u.GHz


@pytest.mark.parametrize("cards", [
    {}, {"CROTA2": 30.0}, {"CROTA2": 30.0, "CDELT2": 7e-4}, {"PC1_1": 0.6, "PC1_2": 0.8, "PC2_1": -0.8, "PC2_2": 0.6},
    {"CD1_1": -5e-4, "CD1_2": 1e-5, "CD2_2": 5e-4, "CD3_3": 1.0, "CD4_4": 1.0}, {"CUNIT1": "arcsec", "CDELT1": -1.8,
                                                                                "CRVAL1": 756000.0},
    {"LONPOLE": 90.0}, {"PV2_1": 0.1}, {"PV2_5": 3.0}, {"RADESYS": "FK4", "EQUINOX": 1950.0}, {"RADESYS": "FK5"},
    {"CTYPE1": "RA---NCP", "CTYPE2": "DEC--NCP"}, {"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN"},
    {"CTYPE1": "DEC--SIN", "CTYPE2": "RA---SIN", "CRVAL1": 54.0, "CRVAL2": 210.0}, {"CRPIX1": -1000.0},
    {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}])
def test_the_grid_is_that_of_the_standard(cards):
    header = header_of(**cards)
    np.testing.assert_allclose(places(celestial(header)), places(quiet_wcs(header).celestial), atol=1e-11)


def test_axes_of_any_number():
    header = header_of()
    moved = fits.Header({"NAXIS": 4})
    order = {1: 3, 2: 4, 3: 1, 4: 2}
    for old, new in order.items():
        for key in ("NAXIS", "CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
            moved[f"{key}{new}"] = header[f"{key}{old}"]
    moved["CROTA4"], moved["PV4_1"] = 20.0, 0.05
    header["CROTA2"], header["PV2_1"] = 20.0, 0.05
    sky, axes = read_celestial(moved)
    assert axes == (3, 4) and sky.array_shape == (NY, NX)
    np.testing.assert_allclose(places(sky), places(quiet_wcs(header).celestial), atol=1e-11)


def test_a_coupled_axis_moves_the_reference():
    header = header_of(CRPIX3=5.0, PC1_3=2.0)
    whole = quiet_wcs(header)
    expected = whole.wcs_pix2world(np.stack([X.ravel(), Y.ravel(), 0 * X.ravel(), 0 * X.ravel()], axis=1), 0)[:, :2]
    np.testing.assert_allclose(places(celestial(header)).reshape(2, -1).T, expected, atol=1e-11)


@pytest.mark.parametrize(("cards", "name"), [
    ({"RADESYS": "J2000"}, "fk5"), ({"RADESYS": "fk5"}, "fk5"), ({"RADESYS": "B1950"}, "fk4"),
    ({"EQUINOX": "J2000"}, "icrs"), ({"RADESYS": "icrs"}, "icrs")])
def test_frames_as_they_are_spelt(cards, name):
    header = header_of(**cards)
    if "EQUINOX" in cards:
        del header["RADESYS"]
        name = "fk5"
    elif name == "fk4":
        with pytest.raises(ValueError, match="EQUINOX must be 1950.0 with RADESYS = 'B1950', got 2000.0"):
            celestial(header)
        del header["EQUINOX"]
    lon, lat = quiet_wcs(header_of(2, RADESYS="ICRS")).wcs_pix2world(X.ravel(), Y.ravel(), 0)
    expected = SkyCoord(lon * u.deg, lat * u.deg, frame=name).icrs
    ra, dec = places(celestial(header))
    assert SkyCoord(ra.ravel() * u.deg, dec.ravel() * u.deg).separation(expected).max() < 1e-6 * u.arcsec


@pytest.mark.parametrize(("change", "message"), [
    ({"CDELT1": None}, "CDELT1 must be given, since there is no CD matrix, got no such card"),
    ({"CDELT1": "NaN"}, "CDELT1 must be a finite number, got 'NaN'"),
    ({"CDELT2": "-Inf"}, "CDELT2 must be a finite number, got '-Inf'"),
    ({"CDELT1": "T"}, "CDELT1 must be a finite number, got True"),
    ({"CDELT1": "'-5E-4'"}, "CDELT1 must be a finite number, got '-5E-4'"),
    ({"CDELT1": "-5E-4\xff"}, "CDELT1 must be a finite number, got '-5E-4[?]'"),
    ({"CDELT1": "1E400"}, "CDELT1 must be a finite number, got -?inf"),
    ({"CDELT1": "0.0"}, "CDELT1 must be other than zero, got 0.0"),
    ({"CDELT1": "1E20"}, "CDELT must make pixels between .* got CDELT1 = 1e[+]20, CDELT2 = 0.0005"),
    ({"PC1_1": "1.0", "PC1_2": "1.0", "PC2_1": "1.0", "CDELT1": "5E-4"}, "PC or CD must have rows that can be told"),
    ({"CD1_1": "1.0", "PC1_1": "2.0"}, "CD1_j and PC1_j must not both be there"),
    ({"CRVAL1": "'x'"}, "CRVAL1 must be a finite number, got 'x'"),
    ({"CRVAL2": "95.0"}, "CRVAL2 must be from -90 to 90 degrees, got 95.0"),
    ({"CRPIX1": "1E300"}, "CRPIX1 must be within 1e[+]12 pixels of the image, got 1e[+]300"),
    ({"CRPIX1": ""}, "CRPIX1 must be a finite number, got no value"),
    ({"CUNIT1": "'m/s'"}, "CUNIT1 must be an angle such as 'deg', got 'm/s'"),
    ({"CTYPE1": "'RA---XYZ'", "CTYPE2": "'DEC--XYZ'"}, "CTYPE1 must be of a projection .* got 'RA---XYZ'"),
    ({"CTYPE2": "'DEC--TAN'"}, "CTYPE must name one celestial pair of axes, of one frame and projection .*DEC--TAN"),
    ({"CTYPE1": "'RA---S\xffN'"}, "CTYPE must name one celestial pair .*CTYPE1 = 'RA---S[?]N'"),
    ({"CTYPE3": "'RA---SIN'"}, "CTYPE must name one celestial pair .*CTYPE3 = 'RA---SIN'"),
    ({"RADESYS": "'J2001'"}, "RADESYS must be one of ICRS, FK5, FK4, FK4-NO-E, got 'J2001'"),
    ({"RADESYS": "'FK5'", "EQUINOX": "'old'"}, "EQUINOX must be a year such as 2000.0, got 'old'"),
    ({"LONPOLE": "1E5"}, "LONPOLE must be an angle in degrees, got 100000.0"),
    ({"PV2_1": "NaN"}, "PV2_1 must be a finite number, got 'NaN'"),
    ({"CTYPE1": "'RA---ZPN'", "CTYPE2": "'DEC--ZPN'"}, "CTYPE1 = 'RA---ZPN' and .* must make a projection of the sky"),
    ({"PC1_3": "1E300", "CRPIX3": "2.0"}, "PC1_3 and PC2_3 must leave the reference point within 1e[+]12 pixels"),
    ({"PC1_1": "1E300", "CDELT1": "1E300"}, "CDELT must make pixels between"),
    ({"CPDIS1": "'LOOKUP'"}, "CPDIS1 = 'LOOKUP' is a distortion that is not read"),
    ({"CTYPE1": "'RA---TPV'", "CTYPE2": "'DEC--TPV'", "PV1_1": "1.0"}, "is part of a distortion .TPV., which must be "),
    ({"PV1_0": "1E-4", "PV1_1": "1.0", "PV1_7": "1E-4"}, "PV1_7 = 0.0001 is part of a distortion"),
    ({"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": "2", "B_ORDER": "2"},
     "A_ORDER = 2 is a distortion .SIP., which must be that of an image of two axes, got CTYPE1 = 'RA---TAN-SIP', 4"),
])
def test_cards_that_are_refused(change, message, tmp_path):
    cards = {key: value for key, value in {**base_cards(), **change}.items() if value is not None}
    path = write_file(tmp_path / "a.fits", cards, PIXELS)
    with pytest.raises(ValueError, match=rf"^image '.*a\.fits', HDU 0, cannot be used: .*{message}"):
        read_image(path)
    with pytest.raises(ValueError, match=rf"^wcs file '.*a\.fits', HDU 0, cannot be used: .*{message}"):
        options.parse_wcs(wcs=str(path))
    raw = as_bytes(cards).replace(b"\x00", b" ").replace(b"\xff", b"?")
    with pytest.raises(ValueError, match=f"^wcs cannot be used: .*{message}"):
        celestial(fits.Header.fromstring(raw))


def test_a_card_that_is_there_twice(tmp_path):
    path = write_with(tmp_path / "a.fits", **{"CDELT1+": "7.0"})
    with pytest.raises(ValueError, match="CDELT1 must be there once, got -0.0005 and 7.0"):
        read_image(path)
    assert read_image(write_with(tmp_path / "b.fits", **{"CDELT1+": "-5E-4"})).wcs.wcs.cdelt[0] == -5e-4


@pytest.mark.parametrize("axes", [2, 4])
def test_sip_that_is_left_over(axes, tmp_path):
    header = header_of(axes, CTYPE1="RA---TAN", CTYPE2="DEC--TAN", A_ORDER=2, B_ORDER=2, A_2_0=1e-2)
    with pytest.warns(UserWarning, match=r"the SIP coefficients \(A_ORDER = 2, B_ORDER = 2\) are not used, since "
                                         "CTYPE1 = 'RA---TAN' does not end in -SIP"):
        field = inject(PIXELS, wcs=header, frequency=1.4 * u.GHz)
    for key in ("A_ORDER", "B_ORDER", "A_2_0"):
        assert key not in field.header
        del header[key]
    expected = places(quiet_wcs(header).celestial)
    np.testing.assert_allclose(places(field.wcs), expected, atol=1e-11)
    np.testing.assert_allclose(places(quiet_wcs(field.header).celestial), expected, atol=1e-11)


def test_a_distortion_of_two_axes_is_kept():
    header = header_of(2, CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, B_ORDER=2, A_2_0=1e-3, B_1_1=-2e-3)
    field = inject(PIXELS, wcs=header, frequency=1.4 * u.GHz)
    ra, dec = quiet_wcs(header).all_pix2world(X.ravel(), Y.ravel(), 0)
    np.testing.assert_allclose(places(field.wcs).reshape(2, -1), [ra, dec], atol=1e-10)
    assert field.header["A_2_0"] == 1e-3 and field.header["CTYPE1"] == "RA---TAN-SIP"


def test_a_distortion_that_no_header_holds_is_refused_before_the_work(monkeypatch):
    header = header_of(2, CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, B_ORDER=2, A_2_0=1e-3)
    monkeypatch.setattr(compose, "shared_model", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(ValueError, match="wcs must have no distortion"):
        skygal.simulate_field(quiet_wcs(header), 5, shape=(NY, NX), seed=1)
    with pytest.raises(ValueError, match="wcs must have no distortion"):
        inject(PIXELS, wcs=quiet_wcs(header), beam=7 * u.arcsec, unit="Jy/beam", frequency=1.4 * u.GHz)


def wcs_of(**attributes):
    wcs = WCS(naxis=4)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---SIN", "DEC--SIN", "FREQ", "STOKES"], [10.0, 20.0, 1e9, 1.0]
    wcs.wcs.cdelt = [-1e-3, 1e-3, 1e6, 1.0]
    for name, value in attributes.items():
        setattr(wcs.wcs, name, value)
    wcs.pixel_shape = (NX, NY, 1, 1)
    return wcs


def test_a_wcs_whose_other_axes_do_not_matter():
    expected = places(celestial(wcs_of()))
    for attributes in ({"cdelt": [-1e-3, 1e-3, 0.0, 1.0]}, {"ctype": ["ra---sin", "dec--sin", "FREQ", "STOKES"]},
                       {"ctype": ["RA---SIN", "DEC--SIN", "FREQ-TAB", "STOKES"]}, {"crval": [10.0, 20.0, np.nan, 1.0]}):
        found = celestial(wcs_of(**attributes))
        np.testing.assert_allclose(places(found), expected, atol=1e-11)
        assert found.array_shape == (NY, NX)


@pytest.mark.parametrize(("attributes", "message"), [
    ({"crval": [10.0, np.nan, 1e9, 1.0]}, "wcs cannot be used: CRVAL2 must be a finite number, got 'nan'"),
    ({"cdelt": [0.0, 1e-3, 1e6, 1.0]}, "wcs cannot be used: CDELT1 must be other than zero, got 0.0"),
    ({"crval": [10.0, 120.0, 1e9, 1.0]}, "wcs cannot be used: CRVAL2 must be from -90 to 90 degrees, got 120.0")])
def test_a_wcs_that_is_refused(attributes, message):
    with pytest.raises(ValueError, match=message):
        celestial(wcs_of(**attributes))


# ---- the frequency

@pytest.mark.parametrize(("cards", "hertz"), [
    ({}, 1.4e9), ({"CRPIX3": -99.0, "CDELT3": 1.0, "PC3_3": 1e6}, 1.5e9), ({"CRPIX3": -99.0}, 1.5e9),
    ({"CRPIX3": 101.0, "CDELT3": -1e6}, 1.5e9),
    ({"CUNIT3": "GHZ", "CRVAL3": 1.4, "CDELT3": 1e-3, "CRPIX3": -99.0}, 1.5e9),
    ({"CUNIT3": "mhz", "CRVAL3": 1400.0}, 1.4e9), ({"CUNIT3": "HERTZ"}, 1.4e9), ({"CTYPE3": "freq-lsr"}, 1.4e9),
    ({"CDELT3": 0.0}, 1.4e9), ({"CRVAL3": 0.0, "CDELT3": 0.0, "RESTFRQ": REST}, REST),
    ({"CTYPE3": "VRAD", "CRVAL3": 1e6, "CDELT3": -5e3, "CRPIX3": -19.0, "CUNIT3": "m/s"}, REST * (1 - 9e5 / C)),
    ({"CTYPE3": "VRAD", "CRVAL3": 1e3, "CDELT3": -5.0, "CRPIX3": -19.0, "CUNIT3": "KM/S"}, REST * (1 - 9e5 / C)),
    ({"CTYPE3": "VOPT", "CRVAL3": 1e6, "CUNIT3": "m/s"}, REST / (1 + 1e6 / C)),
    ({"CTYPE3": "VELO", "CRVAL3": 1e6, "CUNIT3": "m/s"}, REST * np.sqrt((1 - 1e6 / C) / (1 + 1e6 / C))),
    ({"CTYPE3": "VELO-LSR", "CRVAL3": 1e6, "CUNIT3": "m/s", "VELREF": 257}, REST * (1 - 1e6 / C)),
    ({"CTYPE3": "FELO-HEL", "CRVAL3": 1e6, "CUNIT3": "m/s"}, REST / (1 + 1e6 / C)),
    ({"CTYPE3": "WAVE", "CRVAL3": 21.0, "CDELT3": 0.01, "CRPIX3": -19.0, "CUNIT3": "cm"}, C / 0.212),
    ({"CTYPE3": "ZOPT", "CRVAL3": 0.1, "CUNIT3": ""}, REST / 1.1),
    ({"CTYPE3": "FREQ-LOG", "CRPIX3": -99.0}, 1.4e9 * np.exp(1e8 / 1.4e9))])
def test_frequency_of_a_plane(cards, hertz, tmp_path):
    header = header_of(**{"RESTFRQ": REST, **cards})
    assert read_frequency(header, (1, 2)).to_value("Hz") == pytest.approx(hertz, rel=1e-12)
    # a plane of two axes that kept the cards of the cube
    header["NAXIS"] = 2
    del header["NAXIS3"], header["NAXIS4"]
    assert read_image(fits.PrimaryHDU(PIXELS, header)).frequency.to_value("Hz") == pytest.approx(hertz, rel=1e-12)


def test_fluxes_in_kelvin_are_those_of_the_planes_own_frequency():
    header = header_of(BUNIT="K", CRPIX3=-99.0, CDELT3=1.0, PC3_3=1e6)
    plain = header_of(BUNIT="K", CRVAL3=1.5e9)
    first, second = (inject(PIXELS, wcs=one) for one in (header, plain))
    np.testing.assert_allclose(first.model, second.model, rtol=1e-6)
    assert quiet_wcs(first.header).spectral.pixel_to_world(0).to_value("Hz") == pytest.approx(1.5e9)


@pytest.mark.parametrize(("cards", "message"), [
    ({"CTYPE3": "X", "RESTFRQ": 1420.4}, r"RESTFRQ = 1420.4 must be a frequency from 5 MHz to 10 THz, got 1420.4 Hz "
                                         r"\(perhaps MHz were meant\)"),
    ({"CTYPE3": "X", "RESTFRQ": 1.4}, r"RESTFRQ = 1.4 must be a frequency .* \(perhaps GHz were meant\)"),
    ({"CRVAL3": 1400.0, "CUNIT3": ""}, "CTYPE3 = 'FREQ', CRVAL3 = 1400.0, CUNIT3 = '' must be a frequency from"),
    ({"CUNIT3": "m/s"}, "CUNIT3 must be a unit such as 'Hz' on an axis 'FREQ', got 'm/s'"),
    ({"CTYPE3": "FREQ-TAB"}, "CTYPE3 = 'FREQ-TAB' must be a spectral axis of the FITS standard without a table"),
    ({"CTYPE3": "VELOCITY"}, "CTYPE3 = 'VELOCITY' must be a spectral axis of the FITS standard"),
    ({"CRVAL3": "1.4E9"}, "CRVAL3 must be a finite number, got '1.4E9'"),
    ({"CTYPE3": "VRAD", "CUNIT3": "m/s", "CRVAL3": 1e6, "RESTFRQ": 1420.4}, "RESTFRQ = 1420.4 must be a frequency"),
    ({"CTYPE3": "VOPT", "CUNIT3": "m/s", "CRVAL3": 1e6, "RESTFRQ": 0.0}, "must give a frequency, .*no RESTFRQ"),
    ({"CRPIX3": -99.0, "CD1_1": -5e-4, "CD2_2": 5e-4}, "CD3_3 must be given beside the other CD cards, got CDELT3")])
def test_a_frequency_that_cannot_be_read_is_said(cards, message, tmp_path):
    hdu = fits.PrimaryHDU(PIXELS[None, None], header_of(**cards))
    with pytest.raises(ValueError, match="frequency must be given, since the image's header has none that can be "
                                         f"used: image: .*{message}"):
        inject(hdu)
    # and what is given instead is what is written
    path = inject(hdu, frequency=1.3 * u.GHz).write(tmp_path / "out") / "field.fits"
    assert read_image(path).frequency == 1.3 * u.GHz
    assert quiet_wcs(fits.getheader(path)).has_celestial


def test_which_plane_of_a_cube():
    with pytest.raises(ValueError, match="NAXIS3 must be 1, since one plane has one frequency, got 64"):
        inject(PIXELS, wcs=header_of(NAXIS3=64))
    assert inject(PIXELS, wcs=header_of(NAXIS3=64), frequency=1 * u.GHz).header["NAXIS3"] == 1


# ---- units and other cards

@pytest.mark.parametrize(("text", "unit"), [
    ("Jy/bm", u.Jy / u.beam), ("JY/BM", u.Jy / u.beam), ("KELVIN", u.K), ("Kelvin", u.K), ("UJY/BEAM", u.uJy / u.beam),
    ("mK", u.mK), ("Jy per beam", u.Jy / u.beam), ("JY BEAM-1", u.Jy / u.beam), ("MJy/sr", u.MJy / u.sr),
    ("mJy/bm", u.mJy / u.beam), ("JY/ BEAM", u.Jy / u.beam)])
def test_units_as_they_are_spelt(text, unit):
    assert parse_unit(text) == unit


def test_milli_or_mega():
    with pytest.raises(ValueError, match="unit must say which of mK and MK it is, got 'MK'"):
        parse_unit("MK")


@pytest.mark.parametrize("value", ["'JY/BEAM\n'", "'JY/BEAM\t'", "'JY/BEAM\x00\x00'", "'\x00JY/BEAM'", "'jy/beam'"])
def test_control_characters_in_a_value(value, tmp_path):
    image = read_image(write_with(tmp_path / "a.fits", BUNIT=value, OBJECT="'a\nb'"))
    assert image.unit == u.Jy / u.beam
    header = inject(tmp_path / "a.fits").header
    assert header["OBJECT"] == "a b" and not {*header.tostring()} & {"\n", "\t", "\x00"}


@pytest.mark.parametrize(("cards", "message"), [
    ({"BUNIT": "'COUNTS'"}, "unit must be given, .*BUNIT must be a brightness .* got 'COUNTS'"),
    ({"BUNIT": "'1E400 Jy/beam'"}, "unit must be given, .*BUNIT must be a brightness .* got '1E400 Jy/beam'"),
    ({"BUNIT": "'MK'"}, "unit must be given, .*BUNIT must say which of mK and MK it is, got 'MK'"),
    ({"BUNIT": "3.0"}, "unit must be given, .*BUNIT must be a string, got 3.0"),
    ({"BPA": None}, "beam must be given, .*BPA is missing beside BMAJ = 0.002 and BMIN = 0.0016"),
    ({"BMAJ": "'2E-3'"}, "beam must be given, .*BMAJ must be a finite number, got '2E-3'"),
    ({"BMAJ": "NaN"}, "beam must be given, .*BMAJ must be a finite number, got 'NaN'")])
def test_what_is_there_but_cannot_be_used_is_shown(cards, message, tmp_path):
    cards = {key: value for key, value in {**base_cards(), **cards}.items() if value is not None}
    path = write_file(tmp_path / "a.fits", cards, PIXELS)
    with pytest.raises(ValueError, match=message) as caught:
        inject(path)
    assert str(path) in str(caught.value)


def test_cards_that_cannot_be_written_are_named(tmp_path):
    path = write_with(tmp_path / "a.fits", TELESCOP="NaN", OBSERVER="inf")
    with pytest.warns(UserWarning, match=r"image '.*a\.fits', HDU 0: cards that cannot be read are left out of the "
                                         "header that is written: OBSERVER, TELESCOP"):
        field = inject(path)
    assert "TELESCOP" not in field.header and field.header["OBJECT"] == "mosaic"
