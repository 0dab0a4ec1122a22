"""Settings are said once: arguments, options of the command line, files of settings and what is kept agree."""

from __future__ import annotations

import inspect
from dataclasses import fields

import click
import numpy as np
import pytest
import yaml
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from radio_beam import Beam

import skygal
from skygal.cli.fields import inject as inject_command
from skygal.cli.fields import simulate as simulate_command
from skygal.cli.main import main
from skygal.population import LogNormal, LogUniform, MiraBestSizes, Normal, PowerLaw, Uniform, WindhorstSizes
from skygal.settings import Morphology, Population, Run, View, spell

PARTS = (View, Population, Morphology, Run)
SETTINGS = {one.name: one for part in PARTS for one in fields(part)}
#: what is told of the image itself, and of the sky that it is put on
OWN = {"simulate_field": {"wcs", "shape", "survey", "off_sky"}, "inject": {"image", "wcs", "hdu", "unit"}}


@pytest.mark.parametrize("verb", [skygal.simulate_field, skygal.inject])
def test_arguments_are_the_settings(verb):
    known = inspect.signature(verb).parameters
    assert set(known) - OWN[verb.__name__] == set(SETTINGS)
    assert {name: known[name].default for name in SETTINGS} == {name: one.default for name, one in SETTINGS.items()}
    documented = verb.__doc__
    assert [name for name in known if f"{name} :" not in documented and f"{name}," not in documented
            and f", {name}" not in documented] == []


@pytest.mark.parametrize("command", [simulate_command, inject_command])
def test_options_are_the_settings(command):
    options = {option.name: option for option in command.params}
    assert set(SETTINGS) <= set(options)
    context = click.Context(command)
    for name, one in SETTINGS.items():
        # progress is shown to whoever sits before a terminal
        default = options[name].get_default(context)
        assert name == "progress" or default == one.default or (one.default is None and "UNSET" in repr(default)), name
        assert name in ("progress", "seed", "chunks", "device") or options[name].help == one.metadata["help"], name


DISTRIBUTIONS = [LogNormal(5 * u.mJy, 0.5), LogUniform(1 * u.mJy, 1 * u.Jy), PowerLaw(1 * u.mJy, 1 * u.Jy, -2.0),
                 Normal(5 * u.mJy, 1 * u.mJy, 1 * u.mJy, 9 * u.mJy), Uniform(1 * u.mJy, 2 * u.mJy)]


@pytest.mark.parametrize("value", [
    *DISTRIBUTIONS, MiraBestSizes(8 * u.arcsec, 100 * u.arcsec), WindhorstSizes(),
    skygal.AiryPrimaryBeam(25 * u.m, pointing=(10.0, 20.0)), skygal.GaussianPrimaryBeam(1 * u.deg, 1.4 * u.GHz)],
    ids=lambda value: type(value).__name__)
def test_objects_are_spelled_and_read_again(value):
    plain = yaml.safe_load(yaml.safe_dump(spell({"flux": value})[0]))
    assert Population.of(plain).flux == value


@pytest.mark.parametrize("words", [{"Normal": {"mean": "1 mJy"}}, {"Normal": {"mean": "1 mJy", "sigma": "wide"}},
                                   {"Uniform": {"low": "2 mJy", "high": "1 mJy"}}, {"Uniform": [1, 2]}])
def test_objects_that_are_spelled_wrongly(words):
    with pytest.raises(ValueError, match="flux must be a (Normal|Uniform) with its arguments, got"):
        Population.of({"flux": words})


def table():
    return Table({"ra": [150.0, 150.01], "dec": [20.0, 20.01], "flux": [5, 6] * u.mJy})


PSF = np.exp(-0.5 * ((np.arange(25) - 12)[:, None]**2 + (np.arange(27) - 13)**2) / 4)
WAYS = {
    "numbers": {"n_sources": 4, "survey": "FIRST", "flux": (3 * u.mJy, 1 * u.Jy), "las": MiraBestSizes(), "seed": 3},
    "words": {"n_sources": 3, "beam": "6x5arcsec,30deg", "noise": "0.1 mJy", "flux": "3 mJy, 1 Jy",
              "spectral_index": (-0.9, -0.6), "curvature": -0.1, "primary_beam": "25 m", "latents": "prior"},
    "objects": {"table": table(), "las": LogNormal(10 * u.arcsec, 0.2), "psf": PSF, "frequency": 3 * u.GHz,
                "primary_beam": skygal.AiryPrimaryBeam(13.5 * u.m), "seed": 4, "clip_sigma": None},
    "arrays": {"n_sources": 2, "noise": np.full((120, 130), 1e-4), "latents": np.ones((2, 64)), "off_sky": "zero",
               "fr_mix": {"FRI": 0.5, "hybrid": 0.5}},
    "bent": {"n_sources": 2, "bending": ("15 deg", None), "beam": "8arcsec", "faint": Table(
        {"ra": [150.0], "dec": [20.0], "flux": [2] * u.mJy, "kind": ["point"]})},
}


# without a seed sources are of any size
@pytest.mark.filterwarnings("ignore:.*stamps coarser than the image's beam")
@pytest.mark.parametrize("way", WAYS)
def test_a_field_from_python_is_made_again_from_its_file(tmp_path, way):
    wcs = skygal.make_wcs("10h +20d", (120, 130), 1.5 * u.arcsec)
    given = dict(WAYS[way])
    if isinstance(given.get("latents"), np.ndarray):
        given["latents"] = np.ones((2, skygal.load_model().latent_dim))
    field = skygal.simulate_field(wcs, **given)
    field.write(tmp_path / "first")
    config = str(tmp_path / "first" / "skygal.yaml")
    assert main(["simulate", "--config", config, "--no-progress", "--output", str(tmp_path / "second")]) == 0
    for name in ("field", "model", "segmentation"):
        one, two = (fits.getdata(tmp_path / folder / f"{name}.fits") for folder in ("first", "second"))
        # a WCS that has been in a header may differ in the last digit
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6 * one.max())


def test_what_no_file_can_hold_is_asked_for(tmp_path, capsys):
    wcs = skygal.make_wcs("10h +20d", 64, 2 * u.arcsec)
    field = skygal.simulate_field(wcs, 1, beam=lambda ra, dec: Beam(6 * u.arcsec), seed=1)
    field.write(tmp_path / "first")
    words = ["simulate", "--config", str(tmp_path / "first" / "skygal.yaml"), "--no-progress"]
    assert main([*words, "--output", str(tmp_path / "no")]) == 2
    said = capsys.readouterr().err
    assert "beam must be given: config file" in said and "an object that no file can hold" in said
    assert main([*words, "--beam", "6arcsec", "--output", str(tmp_path / "yes")]) == 0


def test_an_injection_is_made_again_from_its_file(tmp_path):
    made = skygal.simulate_field(skygal.make_wcs("10h +20d", 96, 1.8 * u.arcsec), 3, survey="FIRST", seed=5)
    mosaic = made.write(tmp_path / "mosaic") / "field.fits"
    skygal.inject(mosaic, 3, flux="5 mJy, 50 mJy", las="10 arcsec", seed=6).write(tmp_path / "first")
    config = str(tmp_path / "first" / "skygal.yaml")
    assert main(["inject", "--config", config, str(mosaic), "--no-progress", "--output", str(tmp_path / "two")]) == 0
    np.testing.assert_array_equal(*(fits.getdata(tmp_path / folder / "field.fits") for folder in ("first", "two")))


def test_strings_with_units_are_taken_everywhere():
    wcs = skygal.make_wcs("10h +20d", 64, 2 * u.arcsec)
    words = {"beam": "6x5arcsec,30deg", "noise": "0.1 mJy", "frequency": "1.4 GHz", "flux": ("5 mJy", "6 mJy"),
             "las": "10 arcsec", "primary_beam": "25 m", "bending": ("0 deg", "90 deg")}
    values = {"beam": Beam(6 * u.arcsec, 5 * u.arcsec, 30 * u.deg), "noise": 0.1 * u.mJy / u.beam,
              "frequency": 1.4 * u.GHz, "flux": (5 * u.mJy, 6 * u.mJy), "las": 10 * u.arcsec, "primary_beam": 25 * u.m,
              "bending": (0 * u.deg, 90 * u.deg)}
    one, two = (skygal.simulate_field(wcs, 3, seed=1, **given) for given in (words, values))
    np.testing.assert_array_equal(one.image, two.image)
