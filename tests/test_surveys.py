"""Named surveys and one's own."""

import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u

import skygal
from skygal.observation.surveys import list_surveys, read_survey

OWN = """
name: Mine
frequency: 1.3 GHz
beam: {major: 8 arcsec, minor: 6 arcsec, pa: 20 deg}
pixel_scale: {value: 1.5 arcsec, reference: a paper}
noise: 3 uJy / beam
"""


def own(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_first():
    first = skygal.read_survey("FIRST")
    assert first.frequency == 1.4 * u.GHz and first.pixel_scale == 1.8 * u.arcsec
    assert first.beam.major.to_value("arcsec") == pytest.approx(5.4)
    assert first.noise.to_value("mJy/beam") == pytest.approx(0.15)
    assert "1995ApJ...450..559B" in first.references["noise"]


@pytest.mark.parametrize("name", list_surveys())
def test_each_is_whole(name):
    survey = read_survey(name)
    assert survey.name == name and survey.description
    told = set(survey.references) | set(survey.notes)
    assert {"frequency", "beam", "noise"} <= set(survey.references) and "pixel_scale" in told
    assert all(getattr(survey, key) is None or key in survey.references for key in ("area", "completeness"))
    # a beam that its pixels sample
    assert survey.beam.minor / survey.pixel_scale >= 2
    assert read_survey(name.lower()).name == name


def test_the_list():
    assert set(list_surveys()) == {"FIRST", "NVSS", "VLASS", "LoTSS", "RACS_low", "EMU", "MIGHTEE", "DEEP2", "SDC1_B1",
                                   "SDC1_B2", "SDC1_B5", "LoLSS", "RACS_mid", "RACS_high", "TGSS", "Apertif",
                                   "VLA_COSMOS_3GHz", "MIGHTEE_5arcsec", "LoTSS_Deep", "SUMSS"}


@pytest.mark.parametrize(("name", "dec", "minor", "major"), [
    ("SUMSS", -30, 45, 90), ("SUMSS", -90, 45, 45), ("Apertif", 30, 11.6, 23.2), ("TGSS", 60, 25, 25),
    ("TGSS", -41, 25, 50), ("LoTSS", -10, 6, 6)])
def test_beams_that_grow_with_declination(name, dec, minor, major):
    found = [axis.to_value("arcsec") for axis in read_survey(name).beam_at(np.array([10.0]), np.array([dec]))[:2]]
    assert found == [pytest.approx([major]), pytest.approx([minor])]


def test_where_a_beam_would_have_no_end():
    with pytest.raises(ValueError, match=r"dec must be within 80 deg of -90 deg for the survey's beam, got -5"):
        read_survey("SUMSS").beam_at(np.array([0.0, 0.0]), np.array([-50.0, -5.0]))


def test_a_field_has_the_beam_of_its_declination():
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 64, 3 * u.arcsec)
    field = skygal.simulate_field(wcs, 0, survey="Apertif", seed=1)
    assert field.header["BMAJ"] * 3600 == pytest.approx(23.2, rel=1e-3)
    assert field.header["BMIN"] * 3600 == pytest.approx(11.6, rel=1e-3)
    assert abs(field.header["BPA"] % 180 - 90) == pytest.approx(90, abs=0.1)


def test_area_and_completeness(tmp_path):
    lotss = read_survey("LoTSS")
    assert lotss.area == 5634 * u.deg**2 and lotss.completeness.flux == 0.8 * u.mJy
    assert lotss.completeness.share == 0.9 and read_survey("SUMSS").completeness.share is None
    text = OWN + "area: 3 deg2\ncompleteness: {value: 1 mJy, share: 0.5}\n"
    assert read_survey(own(tmp_path, text)).completeness.share == 0.5
    for old, new, message in (("3 deg2", "3 deg", "area in .* must be in units convertible to deg2"),
                              ("share: 0.5", "share: 5", "share of completeness .* above 0 and at most 1, got 5"),
                              ("1 mJy,", "1 mJy / beam,", "completeness in .* must be in units convertible to Jy")):
        with pytest.raises(ValueError, match=message):
            read_survey(own(tmp_path, text.replace(old, new)))


@pytest.mark.parametrize(("beam", "message"), [
    ("{major: 8 arcsec, minor: 6 arcsec, stretch: {from: 9 deg, towards: south}}", "must be that of a round beam"),
    ("{major: 8 arcsec, stretch: {from: 9 deg, towards: up}}", "towards of stretch .* must be one of 'north', 'south'"),
    ("{major: 8 arcsec, stretch: {from: 9 deg}}", "must have the key 'towards'"),
    ("{major: 8 arcsec, stretch: 3}", "stretch of beam in .* must be a mapping")])
def test_bad_stretches(tmp_path, beam, message):
    with pytest.raises(ValueError, match=message):
        read_survey(own(tmp_path, OWN.replace("{major: 8 arcsec, minor: 6 arcsec, pa: 20 deg}", beam)))


def test_listing_needs_no_radio_beam():
    code = "import sys, skygal; skygal.list_surveys(); print({'radio_beam', 'torch'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "set()"


def test_one_of_your_own(tmp_path):
    mine = read_survey(own(tmp_path, OWN))
    assert mine.beam.pa.to_value("deg") == pytest.approx(20)
    assert mine.beam.minor.to_value("arcsec") == pytest.approx(6)
    assert mine.references == {"pixel_scale": "a paper"}
    round_beam = own(tmp_path, OWN.replace("{major: 8 arcsec, minor: 6 arcsec, pa: 20 deg}", "8 arcsec"))
    assert read_survey(str(round_beam)).beam.minor.to_value("arcsec") == pytest.approx(8)


def test_unknown():
    with pytest.raises(ValueError, match=r"survey must be one of 'Apertif', .* got 'LoTS' \(did you mean 'LoTSS'\?\)"):
        read_survey("LoTS")
    with pytest.raises(TypeError, match="survey must be a name or a path to a YAML file, got 3"):
        read_survey(3)
    with pytest.raises(FileNotFoundError, match="survey must be an existing file, got 'none.yaml'"):
        read_survey("none.yaml")


@pytest.mark.parametrize(("old", "new", "message"), [
    ("noise: 3", "noize: 3", r"got 'noize' \(did you mean 'noise'\?\)"),
    ("noise: 3 uJy / beam", "", "must have the key 'noise', got only name, frequency, beam, pixel_scale"),
    ("3 uJy / beam", "-3 uJy / beam", "noise in survey file .* must be positive, got -3e-06"),
    ("3 uJy / beam", "3", "noise in .* must be a value with a unit, such as '1.8 Jy / beam', got 3"),
    ("3 uJy / beam", "3 uJy", "noise in .* must be in units convertible to Jy / beam"),
    ("3 uJy / beam", "loud", "noise in .* must be a Quantity in units of Jy / beam, got 'loud'"),
    ("value: 1.5 arcsec, ref", "ref", "pixel_scale in .* must have the key 'value'"),
    ("reference: a paper", "source: x", "pixel_scale in .* must have no keys but value, reference, note, got 'source'"),
    ("major: 8", "major: 5", "must have major >= minor, got 5.0 arcsec and 6.0 arcsec"),
    ("major: 8 arcsec", "major: 8", "beam major in .* must be a value with a unit"),
    ("{major: 8 arcsec, minor: 6 arcsec, pa: 20 deg}", "[1]", r"beam in .* must be a mapping .* got \[1\]"),
    ("name: Mine", "name: 3", "name in .* must be a word, got 3"),
    ("name: Mine", "name: [", "must be YAML"),
])
def test_bad_files(tmp_path, old, new, message):
    assert old in OWN
    with pytest.raises(ValueError, match=message):
        read_survey(own(tmp_path, OWN.replace(old, new)))


def test_not_a_mapping(tmp_path):
    with pytest.raises(ValueError, match="must be a mapping with the keys name, frequency"):
        read_survey(own(tmp_path, "- a"))
