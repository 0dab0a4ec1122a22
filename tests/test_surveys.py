"""Named surveys and one's own."""

import subprocess
import sys

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
    assert set(survey.references) == {"frequency", "beam", "pixel_scale", "noise"}
    # a beam that its pixels sample
    assert survey.beam.minor / survey.pixel_scale >= 2
    assert read_survey(name.lower()).name == name


def test_the_list():
    assert set(list_surveys()) == {"FIRST", "NVSS", "VLASS", "LoTSS", "RACS_low", "EMU", "MIGHTEE", "DEEP2", "SDC1_B1",
                                   "SDC1_B2", "SDC1_B5"}


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
    with pytest.raises(ValueError, match=r"survey must be one of 'DEEP2', .* got 'LoTS' \(did you mean 'LoTSS'\?\)"):
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
