"""Galaxies as GalSim draws them: flux, size, angle, parity and beam, in Python and from a configuration."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy import units as u

import skygal
from skygal.morphology.conditions import measure_bending
from skygal.morphology.measure import largest_size

galsim = pytest.importorskip("galsim")

from skygal import galsim as plugin  # noqa: E402

SIZE, PIXEL = 160, 0.8


def drawn(galaxy, flux=1.0, *, beam=6.0):
    """Return pixels of a galaxy, north up and east left, without an integration over pixels."""
    made = galaxy.as_galsim(flux, beam=beam)
    return made.drawImage(nx=SIZE, ny=SIZE, scale=PIXEL, method="no_pixel").array.astype(float)


def moments(image):
    """Return flux, centroid (x, y) from the middle, position angle (degrees) and covariance."""
    y, x = np.indices(image.shape) - (np.array(image.shape)[:, None, None] - 1) / 2
    total = image.sum()
    cx, cy = (image * x).sum() / total, (image * y).sum() / total
    xx, yy, xy = ((image * a * b).sum() / total for a, b in ((x - cx, x - cx), (y - cy, y - cy), (x - cx, y - cy)))
    # from north (+y) through east (-x)
    return total, (cx, cy), np.degrees(0.5 * np.arctan2(-2 * xy, yy - xx)) % 180, np.array([[xx, xy], [xy, yy]])


@pytest.fixture(scope="module")
def galaxy():
    return plugin.sample_profile(50 * u.arcsec, fr_class="FRII", pa=30 * u.deg, seed=1)


class TestProfile:
    def test_flux_place_and_angle(self, galaxy):
        flux, centre, pa, _ = moments(drawn(galaxy, 2.5))
        assert flux == pytest.approx(2.5, rel=1e-4)
        assert centre == pytest.approx((0, 0), abs=0.01)
        assert pa == pytest.approx(30, abs=0.3)

    @pytest.mark.parametrize("pa", [0, 75, 140])
    def test_east_is_left(self, pa):
        turned = plugin.sample_profile(50, fr_class="FRII", pa=pa, seed=1)
        found = moments(drawn(turned))[2]
        assert (found - pa + 90) % 180 - 90 == pytest.approx(0, abs=0.3)

    def test_size(self, galaxy):
        # as the stamp is measured, with the beam that it has
        whole = galaxy.as_galsim().drawImage(nx=240, ny=240, scale=0.4, method="no_pixel").array
        assert largest_size(whole[None])[0] * 0.4 == pytest.approx(50, rel=0.02)

    def test_a_beam_adds_what_the_stamp_lacks(self, galaxy):
        assert galaxy.beam_fwhm == pytest.approx(5.4 * galaxy.scale / 1.8)
        sharp, blurred = (moments(drawn(galaxy, beam=beam))[3] * PIXEL**2 for beam in (None, 6.0))
        missing = (6.0**2 - galaxy.beam_fwhm**2) / (8 * np.log(2))
        np.testing.assert_allclose(blurred - sharp, missing * np.eye(2), atol=0.02 * missing)

    def test_the_pixels_are_those_of_a_field(self, galaxy):
        wcs = skygal.make_wcs("12h00m00s +30d00m00s", SIZE, PIXEL * u.arcsec)
        from astropy.table import Table
        table = Table({"ra": [180.0], "dec": [30.0], "flux": [2.5], "las": [50.0], "pa": [30.0], "fr_class": ["FRII"]},
                      units={"ra": "deg", "dec": "deg", "flux": "Jy", "las": "arcsec", "pa": "deg"})
        field = skygal.simulate_field(wcs, table=table, beam=6 * u.arcsec, seed=1)
        image = drawn(galaxy, 2.5) * np.pi / (4 * np.log(2)) * (6 / PIXEL) ** 2
        assert np.abs(image - field.model).max() < 2e-3 * field.model.max()

    def test_a_mirror_image_would_be_seen(self, galaxy):
        image = drawn(galaxy)
        assert np.abs(image - image[:, ::-1]).max() > 0.1 * image.max()

    def test_the_seed_decides(self):
        one, same, other = (plugin.sample_profile(40, seed=seed) for seed in (5, 5, 6))
        assert np.array_equal(one.pixels, same.pixels) and one.turn == same.turn
        assert not np.array_equal(one.pixels, other.pixels)
        classes = {plugin.sample_profile(40, seed=seed).fr_class for seed in range(6)}
        assert classes == {"FRI", "FRII"}

    def test_a_beam_that_is_too_small(self, galaxy):
        with pytest.warns(UserWarning, match="beam should be at least that of the stamp"):
            assert np.array_equal(drawn(galaxy, beam=0.1), drawn(galaxy, beam=None))

    @pytest.mark.parametrize(("given", "said"), [
        ({"las": -3.0}, "las must be positive"), ({"fr_class": "FR9"}, "fr_class must be"),
        ({"bending": (3 * u.deg, 1 * u.deg)}, "bending"), ({"seed": -1}, "seed must be")])
    def test_what_is_not_allowed(self, given, said):
        with pytest.raises(ValueError, match=said):
            plugin.sample_profile(**{"las": 40.0, **given})


def config(**gal):
    return {"modules": ["skygal.galsim"], "gal": {"type": "RadioGalaxy", "beam": 6.0, **gal},
            "stamp": {"draw_method": "no_pixel"},
            "image": {"type": "Tiled", "nx_tiles": 2, "ny_tiles": 1, "stamp_size": SIZE, "pixel_scale": PIXEL,
                      "random_seed": 7}}


class TestConfig:
    def test_an_image_of_two_galaxies(self):
        given = config(las={"type": "List", "items": [40, 60]}, flux={"type": "List", "items": [1.0, 3.0]},
                       fr_class={"type": "List", "items": ["FRI", "FRII"]}, seed=11,
                       pa={"type": "List", "items": ["20 deg", "110 deg"]})
        image = galsim.config.BuildImage(given).array.astype(float)
        assert image.shape == (SIZE, 2 * SIZE)
        for half, flux, pa, las, name in ((image[:, :SIZE], 1, 20, 40, "FRI"), (image[:, SIZE:], 3, 110, 60, "FRII")):
            found = moments(half)
            assert found[0] == pytest.approx(flux, rel=1e-3) and found[2] == pytest.approx(pa, abs=0.3)
            same = drawn(plugin.sample_profile(las, fr_class=name, pa=pa, seed=11), flux)
            np.testing.assert_allclose(half, same, atol=1e-5 * same.max())

    def test_seeds_are_drawn_by_galsim(self):
        one, same = (galsim.config.BuildImage(config(las=40.0)).array for _ in range(2))
        assert np.array_equal(one, same)
        # without a seed each galaxy is another
        assert np.abs(one[:, :SIZE] - one[:, SIZE:]).max() > 0.1 * one.max()

    def test_bending_and_what_galsim_does_to_any_object(self):
        given = config(las=40.0, fr_class="FRI", bending_min="40 deg", seed=3, flux=2.0,
                       shift={"type": "XY", "x": 8.0, "y": -4.0})
        image = galsim.config.BuildImage(given).array[:, :SIZE].astype(float)
        flux, centre, _, _ = moments(image)
        assert flux == pytest.approx(2, rel=1e-3) and centre == pytest.approx((10, -5), abs=0.02)
        same = plugin.sample_profile(40, fr_class="FRI", bending=(40 * u.deg, None), seed=3)
        np.testing.assert_allclose(np.roll(drawn(same, 2.0), (-5, 10), axis=(0, 1)), image, atol=1e-4 * image.max())

    def test_bending(self):
        for seed in range(4):
            bent, straight = (plugin.sample_profile(40, bending=ends, seed=seed).pixels[None]
                              for ends in ((40 * u.deg, None), (None, 20 * u.deg)))
            assert abs(measure_bending(bent)[0]) >= np.radians(40) and abs(measure_bending(straight)[0]) <= \
                np.radians(20)

    @pytest.mark.parametrize(("given", "said"), [
        ({}, "las"), ({"las": -1.0}, "las must be positive"), ({"las": 40.0, "fr_class": "FR9"}, "fr_class must be"),
        ({"las": 40.0, "colour": "red"}, "colour")])
    def test_what_is_not_allowed(self, given, said):
        with pytest.raises(galsim.GalSimConfigError, match=said):
            galsim.config.BuildImage(config(**given))


def test_what_the_page_shows_is_drawn():
    text = (Path(__file__).parents[1] / "docs" / "galsim.rst").read_text(encoding="utf-8")
    (given,), (code,) = (re.findall(rf"^\.\. code-block:: {language}\n((?:   .*\n|\n)+)", text, re.MULTILINE)
                         for language in ("yaml", "python3"))
    image = galsim.config.BuildImage(yaml.safe_load(given)).array
    assert image.shape == (96, 192)
    assert (image[:, :96].sum(), image[:, 96:].sum()) == pytest.approx((0.5, 1.5), rel=1e-3)
    names: dict = {}
    exec(compile(textwrap.dedent(code), "galsim.rst", "exec"), names)
    assert names["image"].array.sum() == pytest.approx(0.5, rel=1e-3)
    assert round(names["galaxy"].beam_fwhm, 2) == float(re.search(r"beam_fwhm +# ([\d.]+) arcsec", code)[1])
