"""Beams in headers: cards, history and tables, in all the ways in which they are written wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from radio_beam import Beam

import skygal
from skygal.cli.main import main
from skygal.io.header_beam import read_beam
from skygal.io.images import read_image

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")

#: of a pixel, degrees; the beams here are 5.4" by 4.5"
SCALE, MAJOR, MINOR = 1.8 / 3600, 5.4 / 3600, 4.5 / 3600
ARGUMENTS = {"seed": 1, "flux": (5 * u.mJy, 50 * u.mJy), "las": (10 * u.arcsec, 40 * u.arcsec)}


def header(history=(), **cards):
    out = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 210.0, "CRVAL2": 54.0, "CRPIX1": 51.0,
                       "CRPIX2": 51.0, "CDELT1": -SCALE, "CDELT2": SCALE, "BUNIT": "JY/BEAM", "RESTFRQ": 1.4e9})
    for key, value in cards.items():
        out[key] = value
    for line in history:
        out.add_history(line)
    return out


def read(given, **more):
    return read_beam(given, scale=SCALE, shape=(100, 100), **more)


def numbers(beam):
    return [beam.major.to_value(u.deg), beam.minor.to_value(u.deg), beam.pa.to_value(u.deg)]


@pytest.mark.parametrize(("cards", "expected"), [
    ({"BMAJ": MAJOR, "BMIN": MINOR, "BPA": 30.0}, (MAJOR, MINOR, 30)),
    ({"BMAJ": MAJOR, "BMIN": MINOR, "BPA": -150}, (MAJOR, MINOR, -150)),
    ({"BMAJ": MAJOR, "BMIN": MAJOR * (1 + 1e-8), "BPA": 30.0}, (MAJOR * (1 + 1e-8), MAJOR, 30)),
    ({"BMAJ": MAJOR, "BMIN": MAJOR}, (MAJOR, MAJOR, 0)),
    ({"BMAJ": MAJOR, "BMIN": MAJOR * (1 - 1e-7)}, (MAJOR, MAJOR * (1 - 1e-7), 0))])
def test_cards(cards, expected):
    assert numbers(read(header(**cards))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("line", [
    "AIPS   CLEAN BMAJ=  1.5000E-03 BMIN=  1.2500E-03 BPA=  30.00",
    "AIPS   CLEAN BMAJ=  1.5000D-03 BMIN=  1.2500D-03 BPA=  30.00",
    "AIPS   CLEAN BMAJ=  1.5000E-03, BMIN=  1.2500E-03, BPA=  30.00,",
    "AIPS   CLEAN BMAJ =  0.0015 BMIN = 0.00125 BPA = 3.0d1 NITER= 100",
    "aips   clean bmaj=1.5e-3 bmin=1.25e-3 bpa=30"])
@pytest.mark.parametrize("cards", [{}, {"BMAJ": 0.0, "BMIN": 0.0, "BPA": 0.0}])
def test_history(line, cards):
    lines = ["AIPS   CLEAN BMAJ=  ****** BMIN=  9.9E-03 BPA=  0.00", "AIPS   IMNAME='X'", line,
             "AIPS   CLEAN NITER=  7"]
    assert numbers(read(header(lines, **cards))) == pytest.approx([MAJOR, MINOR, 30])


def table(rows, **columns):
    names = ("BMAJ", "BMIN", "BPA", "CHAN", "POL")
    units = {"BMAJ": "arcsec", "BMIN": "arcsec", "BPA": "deg", **columns}
    out = fits.BinTableHDU.from_columns([
        fits.Column(name, "1J" if name in ("CHAN", "POL") else "1E", unit=units.get(name), array=values)
        for name, values in zip(names, np.array(rows).T, strict=False)], name="BEAMS")
    return out


THREE = [(5.4, 4.5, 30, 0, 0), (6.4, 5.5, 40, 1, 0), (7.4, 6.5, 50, 2, 0)]


@pytest.mark.parametrize(("rows", "cards", "expected"), [
    (THREE[:1], {}, 0), (THREE[2:], {}, 0), ([THREE[1]] * 3, {}, 0),
    (THREE, {"CTYPE3": "FREQ", "CRPIX3": -1.0}, 2), (THREE, {"CTYPE3": "FREQ", "CRPIX3": 0.0}, 1),
    ([(5.4, 4.5, 30, 0, 0), (8, 7, 0, 0, 1)], {"CTYPE4": "STOKES", "CRPIX4": 0.0}, 1)])
def test_tables(rows, cards, expected):
    found = read(header(CASAMBM=True, **cards), table=table(rows))
    assert numbers(found) == pytest.approx(np.array(rows[expected][:3]) / (3600, 3600, 1), rel=1e-6)


def test_a_table_in_degrees_and_what_comes_before_it():
    assert numbers(read(header(), table=table([(MAJOR, MINOR, 30)], BMAJ="DEGREES", BMIN="deg"))) == pytest.approx(
        [MAJOR, MINOR, 30], rel=1e-6)
    own = header(BMAJ=MAJOR, BMIN=MINOR, BPA=3.0, CASAMBM=True)
    assert numbers(read(own, table=table(THREE))) == pytest.approx([MAJOR, MINOR, 3])


@pytest.mark.parametrize(("cards", "message"), [
    ({"BMAJ": 25.0, "BMIN": 20.0, "BPA": 0.0}, r"BMAJ = 25.0 and BMIN = 20.0, in degrees as FITS has them, would be "
     r"5e\+04 by 4e\+04 pixels, which must be from 0.5 to 100 \(in arcsec 13.9 by 11.1\)"),
    ({"BMAJ": 0.1, "BMIN": 0.08, "BPA": 0.0}, r"would be 200 by 160 pixels.* \(in arcmin 3.33 by 2.67\)"),
    ({"BMAJ": MAJOR / 57.3, "BMIN": MINOR / 57.3, "BPA": 0.0},
     r"would be 0.0524 by 0.0436 pixels.* \(in radian 3 by 2.5\)"),
    ({"BMAJ": MAJOR, "BMIN": MAJOR * 1.1, "BPA": 0.0}, "BMAJ = 0.0015 and BMIN = 0.00165.* must have BMAJ >= BMIN"),
    ({"BMAJ": MAJOR, "BMIN": MINOR}, "BPA is missing beside BMAJ = 0.0015 and BMIN = 0.00125, which differ"),
    ({"BMAJ": MAJOR}, "BMIN is missing beside BMAJ = 0.0015"),
    ({"BMIN": MAJOR}, "BMAJ is missing beside BMIN = 0.0015"),
    ({"BMAJ": 0.0, "BMIN": 0.0, "BPA": 0.0}, "BMAJ = 0.0 must be positive"),
    ({"BMAJ": MAJOR, "BMIN": -MINOR, "BPA": 0.0}, "BMIN = -0.00125 must be positive"),
    ({"BMAJ": MAJOR, "BMIN": MINOR, "BPA": 4000.0}, "BPA = 4000.0 must be an angle in degrees"),
    ({"BMAJ": True, "BMIN": MINOR, "BPA": 0.0}, "BMAJ must be a finite number, got True"),
    ({"BMAJ": "******", "BMIN": MINOR, "BPA": 0.0}, r"BMAJ must be a finite number, got '\*\*\*\*\*\*'"),
    ({"BMAJ": "1.5E-3", "BMIN": MINOR, "BPA": 0.0}, "BMAJ must be a finite number, got '1.5E-3'"),
    ({"CASAMBM": True}, "CASAMBM = T says that the beam is in a table BEAMS, which is not there")])
def test_beams_that_cannot_be_used(cards, message):
    with pytest.raises(ValueError, match=message):
        read(header(**cards))
    # said where the beam is needed, with the file; a beam that is given does without
    data = np.random.default_rng(0).normal(0, 1e-4, (100, 100)).astype(np.float32)
    with pytest.raises(ValueError, match="beam must be given, .* none that can be used: wcs header: .*" + message):
        skygal.inject(data, 1, wcs=header(**cards), **ARGUMENTS)
    own = Beam(MAJOR * u.deg, MINOR * u.deg, 30 * u.deg)
    field = skygal.inject(data, 1, wcs=header(**cards), beam=own, **ARGUMENTS)
    assert [field.header[key] for key in ("BMAJ", "BMIN", "BPA")] == pytest.approx([MAJOR, MINOR, 30])
    assert "CASAMBM" not in field.header


@pytest.mark.parametrize("line", ["CLEAN BMAJ=  ********** BMIN=  1.2500E-03 BPA=  30.00",
                                  "CLEAN BMAJ=  1.5E-03 BMIN=  1.2500E-03 BPA= ******"])
def test_history_that_cannot_be_used(line, tmp_path, capsys):
    lines = ["AIPS   CLEAN BMAJ=  1.5000E-03 BMIN=  1.2500E-03 BPA=  30.00", f"AIPS   {line}"]
    with pytest.raises(ValueError, match=r"HISTORY 'CLEAN BMAJ=.*' is no number"):
        read(header(lines))
    data = np.random.default_rng(0).normal(0, 1e-4, (100, 100)).astype(np.float32)
    fits.PrimaryHDU(data, header(lines)).writeto(tmp_path / "aips.fits")
    words = ["inject", str(tmp_path / "aips.fits"), "--n-sources", "1", "--no-progress", "--output",
             str(tmp_path / "out")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "aips.fits" in said and "HISTORY" in said and not (tmp_path / "out").exists()
    assert main([*words, "--beam", "5.4arcsec"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("rows", "cards", "message"), [
    (THREE, {}, "table BEAMS has 3 rows that differ in BMAJ and the header of this one plane does not say which"),
    ([(0, 0, 0, 0, 0)], {}, "table BEAMS, row 0 must be positive"),
    ([(np.nan, 1, 0, 0, 0)], {}, "table BEAMS, row 0, BMAJ = nan is not finite"),
    ([(5.4, 4.5)], {}, "table BEAMS must have columns BMAJ, BMIN and BPA of angles"),
    ([(5400, 4500, 0)], {}, "table BEAMS, row 0, in degrees as FITS has them, would be 3e")])
def test_tables_that_cannot_be_used(rows, cards, message):
    with pytest.raises(ValueError, match=message):
        read(header(CASAMBM=True, **cards), table=table(rows))


def test_a_unit_in_the_comment():
    given = header()
    for key, value in (("BMAJ", (5.4, "[arcsec] beam")), ("BMIN", (4.5, "[ARCSEC] beam")), ("BPA", (0.5, "[rad]"))):
        given[key] = value
    with pytest.warns(UserWarning) as caught:
        found = read(given, name="image 'x.fits'")
    assert numbers(found) == pytest.approx([MAJOR, MINOR, np.degrees(0.5)])
    assert str(caught[0].message) == ("image 'x.fits': BMAJ = 5.4 is taken to be in arcsec, as its comment "
                                      "'[arcsec] beam' says")
    assert len(caught) == 3
    with pytest.warns(UserWarning, match="is taken to be in"):
        field = skygal.inject(np.random.default_rng(0).normal(0, 1e-4, (100, 100)), 1, wcs=given, **ARGUMENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers(read(field.header)) == pytest.approx([MAJOR, MINOR, np.degrees(0.5)])


def test_a_plane_of_our_own_cube(tmp_path):
    wcs = skygal.make_wcs("150 2", 60, 1.8 * u.arcsec)
    beams = [Beam(width * u.arcsec, 5 * u.arcsec, 20 * u.deg) for width in (8, 7, 6)]
    fields = skygal.simulate_fields(wcs, 1, frequency=[1.0, 1.2, 1.4] * u.GHz, beam=beams, noise=1e-5 * u.Jy, seed=5)
    skygal.write_cube(fields, tmp_path / "cube.fits")
    with fits.open(tmp_path / "cube.fits") as hdus:
        for k, width in enumerate((8, 7, 6)):
            cut = hdus[0].header.copy()
            cut["CRPIX3"] -= k
            plane = fits.PrimaryHDU(hdus[0].data[:, k:k + 1], cut)
            if k:
                path = tmp_path / f"{k}.fits"
                fits.HDUList([plane, hdus["BEAMS"]]).writeto(path)
                assert numbers(read_image(path).beam) == pytest.approx([width / 3600, 5 / 3600, 20], rel=1e-6)
                # and with that row alone, from an open file; what is written has it as cards
                one = fits.BinTableHDU(hdus["BEAMS"].data[k:k + 1], hdus["BEAMS"].header)
                field = skygal.inject(fits.HDUList([plane, one]), 1, **ARGUMENTS)
                assert field.header["BMAJ"] == pytest.approx(width / 3600) and "CASAMBM" not in field.header
            else:
                with pytest.raises(ValueError, match="beam must be given.*table BEAMS has 3 rows that differ"):
                    skygal.inject(fits.HDUList([plane, hdus["BEAMS"]]), 1, **ARGUMENTS)


@pytest.mark.parametrize("beam", [1 * u.deg, Beam(25 * u.deg), lambda ra, dec: Beam((0.8 + dec / 10) * u.deg)])
def test_a_beam_of_a_thousand_pixels_is_refused_before_the_work(beam):
    wcs = skygal.make_wcs("150 2", 100, 1.8 * u.arcsec)
    said = r"beam must be at most 1000 of the image's pixels wide, got [0-9.e+]+ pixels of 1\.8 arcsec"
    with pytest.raises(ValueError, match=said):
        skygal.simulate_field(wcs, 1, beam=beam, noise=1 * u.mJy, seed=1)
    with pytest.raises(ValueError, match=said):
        skygal.inject(np.zeros((100, 100)), 1, wcs=wcs, beam=beam, unit="Jy/beam", frequency=1 * u.GHz)
