"""Maps of the noise that are given: from any grid and unit, into fields and injections."""

import functools
import warnings

import dask
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from radio_beam import Beam
from scipy import ndimage

import skygal
from skygal.cli.main import main
from skygal.io.images import read_image
from skygal.observation.noise import NoiseMap, read_noise
from skygal.scene.ground import NoiseGround

SHAPE, PIXEL, BEAM = (300, 340), 1.8, 5.4
NONE = {"n_sources": 0, "beam": BEAM * u.arcsec, "frequency": 1.4 * u.GHz, "seed": 3}
SOME = {**NONE, "n_sources": 30, "las": (8 * u.arcsec, 30 * u.arcsec), "flux": (2 * u.mJy, 1 * u.Jy)}
SOLID = np.pi / (4 * np.log(2)) * np.radians(BEAM / 3600)**2
AREA = np.pi / (4 * np.log(2)) * (BEAM / PIXEL)**2


def make_wcs(shape=SHAPE, pixel=PIXEL, center="12h00m00s +30d00m00s", **more):
    return skygal.make_wcs(center, shape, pixel * u.arcsec, **more)


def rising(wcs=None, shape=SHAPE):
    """Return an rms that is known at each place on the sky, Jy/beam: 0.1 mJy/beam at the field's centre."""
    wcs = make_wcs() if wcs is None else wcs
    sky = wcs.pixel_to_world(*np.meshgrid(*(np.arange(n) for n in shape[::-1])))
    dx = (sky.icrs.ra.deg - 180) * np.cos(np.radians(30)) * 3600 / 300
    dy = (sky.icrs.dec.deg - 30) * 3600 / 300
    return 1e-4 * np.exp(0.8 * dx + 0.5 * dx**2 + 0.3 * dy)


@functools.cache
def field_of_map():
    return skygal.simulate_field(make_wcs(), noise=rising(), **SOME)


def write_map(path, data, wcs, unit="Jy/beam", **more):
    header = wcs.to_header()
    header["BUNIT"] = unit
    header.update(more)
    fits.PrimaryHDU(np.asarray(data, np.float32), header).writeto(path)
    return path


def patch_rms(image, side=50):
    """Return the measured rms of patches, and their middles (y, x)."""
    found, middle = [], []
    for y in range(0, image.shape[0] - side + 1, side):
        for x in range(0, image.shape[1] - side + 1, side):
            found.append(image[y:y + side, x:x + side].astype(float).std())
            middle.append((y + side // 2, x + side // 2))
    return np.array(found), tuple(np.array(middle).T)


def test_noise_of_a_field_has_the_rms_of_the_map():
    true = rising()
    found = np.mean([patch_rms(skygal.simulate_field(make_wcs(), noise=true * u.Jy / u.beam,
                                                     **{**NONE, "seed": seed}).image)[0]**2 for seed in range(4)],
                    axis=0)**0.5
    _, middle = patch_rms(true)
    np.testing.assert_allclose(found, ndimage.uniform_filter(true**2, 50)[middle]**0.5, rtol=0.15)
    assert np.median(found / true[middle]) == pytest.approx(1, abs=0.04)


def test_noise_is_that_of_one_rms_times_the_map():
    true = rising()
    wcs = make_wcs()
    flat = skygal.simulate_field(wcs, noise=1e-4 * u.Jy / u.beam, **SOME)
    field = skygal.simulate_field(wcs, noise=true, **SOME)
    np.testing.assert_array_equal(field.model, flat.model)
    np.testing.assert_allclose(field.image - field.model, (flat.image - flat.model) * true / 1e-4, atol=2e-7)
    same = skygal.simulate_field(wcs, noise=np.full(SHAPE, 1e-4), **SOME)
    np.testing.assert_allclose(same.image, flat.image, atol=1e-7)
    np.testing.assert_allclose(same.truth["snr"], flat.truth["snr"], rtol=1e-6)
    # the psf's and a varying beam's noise as well
    for beam in (np.exp(-np.hypot(*np.mgrid[-9:10, -9:10])**2 / 4),
                 QTable({"ra": [179.9, 180.1] * u.deg, "dec": [30, 30.1] * u.deg, "bmaj": [5, 8] * u.arcsec,
                         "bmin": [5, 6] * u.arcsec, "bpa": [0, 20] * u.deg})):
        more = {**NONE, "beam": None, "psf" if isinstance(beam, np.ndarray) else "beam": beam}
        one = skygal.simulate_field(wcs, noise=1e-4 * u.Jy, **more).image
        np.testing.assert_allclose(skygal.simulate_field(wcs, noise=true, **more).image, one * true / 1e-4, atol=1e-8)


def test_truth_follows_the_map():
    true = rising()
    field = skygal.simulate_field(make_wcs(), noise=true, **SOME)
    x, y = (np.rint(np.asarray(field.truth[k])).astype(int) for k in "xy")
    rms = field.truth["local_rms"].to_value(u.Jy / u.beam)
    np.testing.assert_allclose(rms, true[y, x], rtol=0.02)
    np.testing.assert_allclose(field.truth["snr"], field.truth["peak_flux"].value / rms, rtol=1e-6)
    faint = skygal.simulate_field(make_wcs(), noise=true, faint=QTable({
        "x": [20.0, 320], "y": [150.0, 150], "flux": [1, 1] * u.mJy, "kind": ["point", "point"]}), **NONE)
    np.testing.assert_allclose(faint.truth["local_rms"].value, true[150, [20, 320]], rtol=1e-3)
    # a source's pixels are those above its own noise
    for row in np.flatnonzero(field.truth["snr"] > 20):
        own = field.model[field.segmentation == field.truth["source_id"][row]]
        assert own.min() > 0.5 * rms[row]


def test_default_fluxes_start_at_the_median_of_the_map():
    true = rising()
    more = {**SOME, "flux": None}
    found = skygal.simulate_field(make_wcs(), noise=true, **more)
    expected = skygal.simulate_field(make_wcs(), noise=float(np.median(true)) * u.Jy / u.beam, **more)
    np.testing.assert_allclose(found.truth["flux_requested"], expected.truth["flux_requested"], rtol=1e-5)


@pytest.mark.parametrize("chunks", [(90, 340), 128, 1000])
def test_any_chunks_give_the_same_bits(chunks):
    true = rising()
    true[:60, 200:] = np.nan
    whole = skygal.simulate_field(make_wcs(), noise=true, **SOME)
    lazy = skygal.simulate_field(make_wcs(), noise=true, chunks=chunks, **SOME)
    true *= 7       # the field has a map of its own
    for name in ("image", "model", "segmentation"):
        np.testing.assert_array_equal(getattr(lazy, name).compute(scheduler="threads"), getattr(whole, name))
    np.testing.assert_array_equal(lazy.image[40:90, 180:260].compute(), whole.image[40:90, 180:260])
    np.testing.assert_array_equal(lazy.truth["snr"], whole.truth["snr"])


def test_chunks_share_one_map(other_process):
    lazy = skygal.simulate_field(make_wcs(), noise=rising(), chunks=60, **NONE)
    bases = []
    for task in dict(lazy.image.__dask_graph__()).values():
        for part in (*getattr(task, "args", ()), *(task if isinstance(task, tuple) else ())):
            grounds = getattr(getattr(part, "value", part), "grounds", None) or (None,)
            noise = getattr(grounds[0], "noise", None)
            if isinstance(noise, np.ndarray):
                bases.append(id(noise.base))
    assert len(bases) == 30 and len(set(bases)) == 1
    with dask.config.set(scheduler="processes", pool=other_process):
        np.testing.assert_array_equal(lazy.image[:60, :60].compute(),
                                      skygal.simulate_field(make_wcs(), noise=rising(), **NONE).image[:60, :60])


def test_where_the_map_is_blank_the_field_is():
    true = rising()
    true[:, :150] = np.nan
    true[200:, 300:] = np.inf
    for fill, word in ((np.nan, "nan"), (0.0, "zero")):
        field = skygal.simulate_field(make_wcs(), noise=true, off_sky=word, **SOME)
        blank = ~np.isfinite(true)
        for plane in (field.image, field.model):
            np.testing.assert_array_equal(plane[blank], np.full(blank.sum(), fill, np.float32))
            assert np.isfinite(plane[~blank]).all()
        assert not field.segmentation[blank].any()
        x, y = (np.rint(np.asarray(field.truth[k])).astype(int) for k in "xy")
        assert not blank[y, x].any()
        total = np.nansum(field.model, dtype=float) / AREA
        assert total == pytest.approx(field.truth["flux_in_image"].sum().value, rel=1e-4)


def test_several_frequencies():
    wcs, maps = make_wcs(), np.stack([rising(), 3 * rising()])
    more = {**NONE, "frequency": [1, 2] * u.GHz}
    expected = [skygal.simulate_field(wcs, noise=maps[0], **NONE).image, None]
    for given in (maps, maps * u.Jy / u.beam, list(maps), [maps[0] * u.Jy, 1e3 * maps[1] * u.mJy / u.beam]):
        one, three = skygal.simulate_fields(wcs, noise=given, **more)
        np.testing.assert_allclose(one.image, expected[0], atol=1e-9)
        found, middle = patch_rms(three.image)
        assert np.median(found / maps[1][middle]) == pytest.approx(1, abs=0.1)
    for shared in (maps[0], maps[0] * u.Jy / u.beam):
        one, other = skygal.simulate_fields(wcs, noise=shared, **more)
        np.testing.assert_allclose(one.image, expected[0], atol=1e-9)
        assert abs(np.corrcoef(one.image.ravel(), other.image.ravel())[0, 1]) < 0.1
    # a source on pixels that are blank at one frequency alone
    part = maps.copy()
    part[0, :, :170] = np.nan
    part[1, :, 170:] = np.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* lie outside the image")
        one, other = skygal.simulate_fields(wcs, noise=part, **{**more, "n_sources": 40, "flux": 5 * u.mJy,
                                                                "las": 10 * u.arcsec})
    np.testing.assert_array_equal(np.isnan(one.image), np.isnan(part[0]))
    np.testing.assert_array_equal(np.isnan(other.image), np.isnan(part[1]))
    assert {*(one.truth["x"] > 170)} == {True, False}


def test_one_map_for_several_frequencies_is_held_once(monkeypatch):
    made = []

    def make_ground(*args, **more):
        made.append(args[1].values)
        return NoiseGround(*args, **more)

    monkeypatch.setattr("skygal.simulate.NoiseGround", make_ground)
    skygal.simulate_fields(make_wcs(), noise=rising(), chunks=100, **{**NONE, "frequency": [1, 2, 3] * u.GHz})
    assert len(made) == 3 and made[0] is made[1] is made[2]


GRIDS = {
    "the same": make_wcs(),
    "coarse": make_wcs((60, 70), 12.0),
    "fine": make_wcs((900, 1000), 0.7),
    "galactic": None,
    "another projection, off centre": make_wcs((130, 140), 7.0, "12h00m08s +30d01m00s", projection="TAN"),
    "large": make_wcs((700, 900), 3.0, "12h00m50s +30d05m00s", projection="CAR"),
}


def make_grid(name):
    if name != "galactic":
        return GRIDS[name]
    from astropy.coordinates import SkyCoord

    return skygal.make_wcs(SkyCoord(180 * u.deg, 30 * u.deg).galactic, (150, 160), 6 * u.arcsec)


@pytest.mark.parametrize("name", GRIDS)
def test_a_map_on_any_grid(name, tmp_path):
    grid = make_grid(name)
    path = write_map(tmp_path / "rms.fits", 1e3 * rising(grid, grid.array_shape), grid, "mJy/beam",
                     BMAJ=25 / 3600, BMIN=25 / 3600, BPA=0.0)
    found = read_noise("noise", path, make_wcs(), SHAPE)
    # interpolated over pixels of up to 12 arcsec; the map's own beam does not matter
    np.testing.assert_allclose(found.values, rising(), rtol=2e-3 if name != "coarse" else 0.02)
    field = skygal.simulate_field(make_wcs(), noise=str(path), **SOME)
    direct = field_of_map()
    np.testing.assert_allclose(field.image, direct.image, atol=0.02 * np.max(rising()) * 5)
    assert field.provenance["configuration"]["noise"] == str(path)
    with fits.open(path) as hdus:
        other = skygal.simulate_field(make_wcs(), noise=hdus[0], **SOME)
    np.testing.assert_array_equal(other.image, field.image)


def test_a_map_on_the_images_grid_is_not_touched(tmp_path):
    true = rising().astype(np.float32)
    true[5:9, 30:70] = np.nan
    path = write_map(tmp_path / "rms.fits", true, make_wcs())
    np.testing.assert_array_equal(read_noise("noise", path, make_wcs(), SHAPE).values, true)


def test_a_map_that_covers_a_part(tmp_path):
    grid = make_wcs((40, 90), 7.2, "12h00m12s +30d00m00s")
    data = rising(grid, grid.array_shape)
    data[:, 60:] = np.nan
    found = read_noise("noise", write_map(tmp_path / "rms.fits", data, grid), make_wcs(), SHAPE).values
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], rising()[known], rtol=0.03)
    # up to the outer edges of the map's pixels, blank ones left out
    x, y = make_wcs().world_to_pixel(grid.pixel_to_world([-0.5, 59.5], [-0.5, 39.5]))
    inside = np.zeros(SHAPE, bool)
    inside[max(0, round(y[0] + 0.5)):round(y[1] + 0.5), max(0, round(x[0] + 0.5)):round(x[1] + 0.5)] = True
    assert np.count_nonzero(known ^ inside) < 2 * sum(SHAPE)


@pytest.mark.parametrize(("unit", "per_jy_beam"), [
    ("mJy/beam", 1e3), ("K", (1 * u.Jy / u.sr).to_value(u.K, u.brightness_temperature(1.4 * u.GHz)) / SOLID),
    ("MJy/sr", 1e-6 / SOLID), ("Jy/pixel", 1 / AREA), ("mJy/arcsec2", 1e3 / SOLID * np.radians(1 / 3600)**2)])
def test_units(unit, per_jy_beam, tmp_path):
    true = rising()
    path = write_map(tmp_path / "rms.fits", per_jy_beam * true, make_wcs(), unit)
    field = skygal.simulate_field(make_wcs(), noise=path, **SOME)
    direct = field_of_map()
    np.testing.assert_allclose(field.image, direct.image, atol=1e-7)
    # in an injection an array without a unit is in the image's
    image = direct.image.astype(float) * per_jy_beam
    more = {"wcs": make_wcs(), "beam": BEAM * u.arcsec, "frequency": 1.4 * u.GHz, "seed": 1, "flux": 5 * u.mJy,
            "las": 10 * u.arcsec, "unit": unit}
    maps = [true * u.Jy / u.beam, per_jy_beam * true, path]
    for rms in maps:
        truth = skygal.inject(image, 9, noise=rms, **more).truth
        x, y = (np.rint(np.asarray(truth[k])).astype(int) for k in "xy")
        np.testing.assert_allclose(truth["local_rms"].to_value(u.Jy / u.beam), true[y, x], rtol=0.01)
    # a map's own beam and pixels are those that it is in
    if unit in ("K", "Jy/pixel"):
        coarse = make_wcs((150, 170), 2 * PIXEL)
        # four times the beam: a fourth of the kelvins, and as many pixels to a beam
        data = rising(coarse, coarse.array_shape) * per_jy_beam / (4 if unit == "K" else 1)
        path = write_map(tmp_path / "own.fits", data, coarse, unit, BMAJ=2 * BEAM / 3600, BMIN=2 * BEAM / 3600, BPA=0.0)
        found = skygal.inject(image, 9, noise=path, **more).truth["local_rms"].to_value(u.Jy / u.beam)
        np.testing.assert_allclose(found, true[y, x], rtol=0.01)


def test_an_injection_with_a_map(tmp_path):
    true = rising()
    image = np.random.default_rng(0).normal(0, 1, SHAPE) * true
    image[:50] = np.nan
    more = {"wcs": make_wcs(), "beam": BEAM * u.arcsec, "frequency": 1.4 * u.GHz, "unit": "Jy/beam", "seed": 1,
            "las": 10 * u.arcsec}
    field = skygal.inject(image, 20, noise=write_map(tmp_path / "rms.fits", true, make_wcs()), **more)
    x, y = (np.rint(np.asarray(field.truth[k])).astype(int) for k in "xy")
    np.testing.assert_allclose(field.truth["local_rms"].value, true[y, x], rtol=0.02)
    # the default range of fluxes is that of the map's median
    flat = skygal.inject(image, 20, noise=np.median(true[50:]) * u.Jy, **more)
    np.testing.assert_allclose(field.truth["flux_requested"], flat.truth["flux_requested"], rtol=1e-5)
    assert field.provenance["configuration"]["noise"].endswith("rms.fits")
    # where the map has nothing, the nearest value is taken, and that is said
    half = np.where(np.arange(SHAPE[1]) < 200, true, np.nan)
    with pytest.warns(UserWarning, match="noise map has no values for 35000 of 85000 pixels of the image"):
        other = skygal.inject(image, 20, noise=half, flux=5 * u.mJy, **more)
    x, y = (np.rint(np.asarray(other.truth[k])).astype(int) for k in "xy")
    np.testing.assert_allclose(other.truth["local_rms"].value, true[y, np.minimum(x, 199)], rtol=0.02)


def test_sources_beyond_the_border_have_the_noise_at_it():
    true = rising()
    noise = NoiseMap(true.astype(np.float32), make_wcs())
    sky = make_wcs().pixel_to_world([-40.0, 339.4, 400, 100], [150.0, 299.4, 400, -3])
    np.testing.assert_allclose(noise.at(sky.ra.deg, sky.dec.deg), [true[150, 0], true[299, 339], true[299, 339],
                                                                   true[0, 100]], rtol=1e-6)
    # the projection shows only one half of the sky
    np.testing.assert_allclose(noise.at(np.array([0.0]), np.array([-30.0])), np.median(true), rtol=1e-6)


def test_command_line(tmp_path, capsys):
    grid = make_wcs((60, 70), 12.0)
    path = write_map(tmp_path / "rms.fits", rising(grid, grid.array_shape), grid)
    out = tmp_path / "out"
    words = ["--n-sources", "2", "--las", "10 arcsec, 30 arcsec", "--flux", "5 mJy", "--seed", "1", "--no-progress"]
    assert main(["simulate", "--size", "340x300", "--pixel-scale", "1.8 arcsec", "--beam", "5.4arcsec", "--noise",
                 str(path), "--output", str(out), *words]) == 0, capsys.readouterr().err
    image = read_image(out / "field.fits").data
    found, middle = patch_rms(image - read_image(out / "model.fits").data)
    np.testing.assert_allclose(found, rising()[middle], rtol=0.5)
    # again, from what was written; and on, into it
    assert main(["simulate", "--config", str(out / "skygal.yaml"), "--output", str(tmp_path / "again")]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "again" / "field.fits").data, image)
    assert main(["inject", str(out / "field.fits"), "--noise", str(path), "--output", str(tmp_path / "on"),
                 *words]) == 0
    assert f"noise: {path}" in (tmp_path / "on" / "skygal.yaml").read_text()
    for command in (["simulate", "--size", "64", "--pixel-scale", "1.8 arcsec", "--noise"],
                    ["inject", str(out / "field.fits"), "--noise"]):
        assert main([*command, "missing.fits", "--output", str(tmp_path / "no")]) != 0
        assert "map 'missing.fits' does not exist" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def changed(value):
    data = rising()
    data[7, 11] = value
    return data


@pytest.mark.parametrize(("noise", "error", "message"), [
    (np.ones((300, 339)), ValueError,
     r"noise must be one value or a map of the image's shape \(300, 340\), got one of shape \(300, 339\)"),
    (np.ones((1, 300, 340)), ValueError, r"noise must be one value or a map of .*got one of shape \(1, 300, 340\)"),
    (np.ones(340) * u.mJy, ValueError, r"noise must be one value or a map .* got one of shape \(340,\)"),
    (changed(-1e-5), ValueError, "noise map must be positive, and NaN where it is blank, got -1e-05 at pixel "
     r"\(11, 7\) and 1 such in all"),
    (changed(0), ValueError, r"noise map must be positive, .*, got 0 at pixel \(11, 7\)"),
    (np.full(SHAPE, np.nan), ValueError, "noise map must have finite values where the image is, got none"),
    (np.ones(SHAPE) * u.arcsec, u.UnitConversionError,
     "noise map must be a brightness such as Jy/beam, .* or K, got one in arcsec"),
    (np.ones(SHAPE, bool), TypeError, "noise map must be an array of numbers, got dtype bool"),
    (np.full(SHAPE, "1"), TypeError, "noise map must be an array of numbers, got dtype <U1"),
    ("missing.fits", FileNotFoundError, "noise map 'missing.fits' does not exist"),
    ("faint", ValueError, "noise must be a number with a unit such as .*, got 'faint'"),
    (0.1, TypeError, "noise must be a Quantity in units of Jy / beam, got 0.1"),
])
def test_bad_maps(noise, error, message):
    with pytest.raises(error, match=message):
        skygal.simulate_field(make_wcs(), noise=noise, **NONE)
    if "Quantity" not in message and not isinstance(noise, str):
        with pytest.raises(error, match=message):
            skygal.inject(np.ones(SHAPE), 1, noise=noise, wcs=make_wcs(), beam=BEAM * u.arcsec, unit="Jy/beam",
                          frequency=1.4 * u.GHz)


@pytest.mark.parametrize(("change", "message"), [
    ({"unit": ""}, r"noise map '.*rms.fits' must have a brightness .* as its BUNIT, got none"),
    ({"unit": "s"}, r"noise map '.*rms.fits' must have a brightness .* as its BUNIT, got 's'"),
    ({"grid": make_wcs((60, 70), 12.0, "12h30m00s +30d00m00s")},
     r"noise map '.*rms.fits' must overlap the image, which is centred on RA 180.0000 Dec 30.0000, got one centred on "
     "RA 187.5000 Dec 30.0000"),
    ({"grid": make_wcs((60, 70), 12.0, "0h00m00s -30d00m00s")}, "must overlap the image"),
    ({"data": np.zeros((60, 70))}, r"noise map '.*rms.fits' must be positive, .* got 0 at pixel"),
    ({"data": np.full((60, 70), np.nan)}, "rms.fits' must have finite values where the image is, got none"),
])
def test_bad_files(change, message, tmp_path):
    given = {"data": np.full((60, 70), 1e-4), "grid": make_wcs((60, 70), 12.0), "unit": "Jy/beam", **change}
    path = write_map(tmp_path / "rms.fits", given["data"], given["grid"], given["unit"])
    with pytest.raises(ValueError, match=message):
        skygal.simulate_field(make_wcs(), noise=path, **NONE)


def test_bad_values_far_from_the_image_do_not_matter(tmp_path):
    grid = make_wcs((300, 300), 12.0)
    data = rising(make_wcs((300, 300), 1.0), (300, 300))
    data[:40] = 0
    path = write_map(tmp_path / "rms.fits", data, grid)
    assert np.isfinite(read_noise("noise", path, make_wcs(), SHAPE).values).all()


def test_no_fits(tmp_path):
    (tmp_path / "rms.fits").write_text("rms")
    with pytest.raises(ValueError, match="noise map '.*rms.fits' cannot be used: .*is not a FITS file"):
        skygal.simulate_field(make_wcs(), noise=tmp_path / "rms.fits", **NONE)


def test_a_map_without_a_place_where_the_image_is_not_blank():
    image = np.where(np.arange(340) < 170, 1e-4, np.nan) * np.ones(SHAPE)
    with pytest.raises(ValueError, match="noise map must have values where the image is not blank, got none"):
        skygal.inject(image, 1, noise=np.where(np.isnan(image), 1e-4, np.nan), wcs=make_wcs(),
                      beam=Beam(BEAM * u.arcsec), unit="Jy/beam", frequency=1.4 * u.GHz)

