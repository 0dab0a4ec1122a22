"""A field end to end: fluxes, determinism, truth against pixels, bad input."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from oracles import angle_between, grids, position_angle, sky_offsets
from photutils.aperture import CircularAperture, aperture_photometry
from radio_beam import Beam
from scipy.spatial import cKDTree

import skygal
from skygal.truth import COMPONENTS, TRUTH, read_truth

MAS = 1e-3 * u.arcsec

# sources larger than the model's largest, which a field of this depth has now and then
pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")


def make_wcs(size=256, scale=1.8):
    return skygal.make_wcs("12h00m00s +30d00m00s", size, scale * u.arcsec)


@pytest.fixture(scope="module")
def clean():
    """A crowded field without noise."""
    return skygal.simulate_field(make_wcs(512), 60, survey="FIRST", noise=False, flux=3 * u.mJy, las="mirabest",
                                 seed=3)


@pytest.fixture(scope="module")
def noisy():
    return skygal.simulate_field(make_wcs(512), 60, survey="FIRST", flux=3 * u.mJy, las="mirabest", seed=3)


def beam_area(header):
    return np.pi / (4 * np.log(2)) * header["BMAJ"] * header["BMIN"] / abs(header["CDELT1"] * header["CDELT2"])


def test_pixels_sum_to_truth(clean):
    total = clean.image.sum(dtype=float) / beam_area(clean.header)
    assert total == pytest.approx(clean.truth["flux_in_image"].sum().value, rel=1e-5)
    inside = ~clean.truth["edge"]
    np.testing.assert_allclose(clean.truth["flux"][inside], clean.truth["flux_in_image"][inside], rtol=2e-3)
    np.testing.assert_allclose(clean.truth["flux"], clean.truth["flux_requested"], rtol=1e-4)
    np.testing.assert_array_equal(clean.image, clean.model)
    assert not np.shares_memory(clean.image, clean.model)


def test_noise_is_added_to_the_same_sources(clean, noisy):
    np.testing.assert_array_equal(clean.model, noisy.model)
    rest = noisy.image.astype(float) - noisy.model
    assert rest.std() == pytest.approx(1.5e-4, rel=0.05)
    np.testing.assert_array_equal(clean.truth["flux"], noisy.truth["flux"])
    assert (clean.truth["snr"] == np.inf).all() and np.isfinite(noisy.truth["snr"]).all()
    np.testing.assert_allclose(noisy.truth["snr"], noisy.truth["peak_flux"] / noisy.truth["local_rms"])


def test_tables_agree(noisy):
    truth, parts = noisy.truth, noisy.components
    assert truth.colnames == [c.name for c in TRUTH] and parts.colnames == [c.name for c in COMPONENTS]
    for row in truth:
        own = parts[parts["source_id"] == row["source_id"]]
        assert len(own) == row["n_components"] >= 1
        assert own["flux"].sum().value == pytest.approx(row["flux"].value, rel=1e-5)
        assert own["flux_fraction"].sum() == pytest.approx(1, rel=1e-5)
        assert (own["peak_flux"] <= row["peak_flux"] * (1 + 1e-9)).all()
        assert own["component_id"].tolist() == list(range(1, len(own) + 1))
    # the centroid is where the components' is
    mean = [np.average(parts["x"][parts["source_id"] == i], weights=parts["flux_fraction"][parts["source_id"] == i])
            for i in truth["source_id"]]
    np.testing.assert_allclose(mean, truth["x"], atol=0.02)
    here = noisy.wcs.pixel_to_world(truth["x"], truth["y"])
    assert here.separation(SkyCoord(truth["ra"], truth["dec"])).max() < MAS


def test_isolated_sources_on_their_pixels(clean):
    truth = clean.truth
    near = cKDTree(np.c_[truth["x"], truth["y"]]).query(np.c_[truth["x"], truth["y"]], 2)[0][:, 1]
    reach = truth["las"].to_value(u.arcsec) / 1.8
    alone = np.flatnonzero((near > 2 * reach + 40) & ~truth["edge"] & ~truth["blended"])
    assert alone.size >= 4
    for k in alone:
        row = truth[k]
        aperture = CircularAperture((row["x"], row["y"]), reach[k] + 10)
        found = aperture_photometry(clean.image.astype(float), aperture)["aperture_sum"][0] / beam_area(clean.header)
        assert found == pytest.approx(row["flux"].value, rel=5e-3)
        own = clean.segmentation == row["source_id"]
        assert clean.image[own].max() == pytest.approx(row["peak_flux"].value, rel=1e-3)
        y, x = np.nonzero(own)
        assert (x.min(), x.max(), y.min(), y.max()) == tuple(row[f"bbox_{e}"] for e in ("xmin", "xmax", "ymin", "ymax"))


@pytest.mark.parametrize("name", list(grids()))
def test_position_angle_and_place_on_any_grid(name):
    wcs = grids()[name]
    table = QTable({"x": [127.4], "y": [130.2], "flux": [0.5] * u.Jy, "las": [90] * u.arcsec, "fr_class": ["FRII"]})
    for pa in (10.0, 75.0, 140.0):
        table["pa"] = [pa] * u.deg
        field = skygal.simulate_field(wcs, table=table, survey="FIRST", noise=False, seed=5)
        centre = SkyCoord(field.truth["ra"][0], field.truth["dec"][0])
        east, north = sky_offsets(wcs, field.image.shape, centre)
        image = field.image.astype(float)
        assert angle_between(position_angle(image, east, north), pa) < 0.5
        weight = image.sum()
        assert np.hypot((image * east).sum(), (image * north).sum()) / weight < 0.02 * 2
        assert field.truth["pa"][0].to_value(u.deg) == pytest.approx(pa)


def test_size_is_the_one_asked_for():
    table = QTable({"x": [128.0], "y": [128.0], "flux": [1] * u.Jy, "las": [150] * u.arcsec, "pa": [90] * u.deg})
    field = skygal.simulate_field(make_wcs(), table=table, survey="FIRST", noise=False, seed=2)
    # the isophote that truth speaks of is seen with the beam on top, which adds little at this size
    bright = field.image > 0.05 * field.image.max()
    x = np.flatnonzero(bright.any(axis=0))
    assert (x[-1] - x[0]) * 1.8 == pytest.approx(150, abs=12)


def test_same_seed_same_bits_whatever_the_batching(monkeypatch):
    import torch

    from skygal.morphology import batches as stamps
    from skygal.rendering import drawing, transform

    def run(workers):
        return skygal.simulate_field(make_wcs(), 150, survey="FIRST", seed=9, workers=workers)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    first = run(2)
    monkeypatch.setattr(stamps, "BATCH", 384)
    monkeypatch.setattr(drawing, "PATCH_PIXELS", 2**16)
    monkeypatch.setattr(transform, "GRID_PIXELS", 2**14)
    torch.set_num_threads(1)
    try:
        second = run(1)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.segmentation, second.segmentation)
    for name in first.truth.colnames:
        np.testing.assert_array_equal(np.asarray(first.truth[name]), np.asarray(second.truth[name]), err_msg=name)
    assert not np.array_equal(first.image, skygal.simulate_field(make_wcs(), 70, survey="FIRST", seed=10).image)


def test_a_source_does_not_depend_on_how_many_follow():
    few, more = (skygal.simulate_field(make_wcs(), n, survey="FIRST", seed=4) for n in (10, 40))
    for name in ("ra", "dec", "flux_requested", "fr_class", "las", "latent_seed", "core_frac"):
        np.testing.assert_array_equal(np.asarray(few.truth[name]), np.asarray(more.truth[name][:10]), err_msg=name)


def test_latents():
    pairs = skygal.simulate_field(make_wcs(), 6, survey="FIRST", latents="pairs", seed=1).truth
    assert pairs["latent_seed"][0] == pairs["latent_seed"][1] != pairs["latent_seed"][2]
    assert set(pairs["fr_class"][:2]) == {"FRI", "FRII"}
    for latents in ("prior", "uniform", np.zeros(skygal.load_model().latent_dim)):
        assert len(skygal.simulate_field(make_wcs(64), 2, survey="FIRST", latents=latents, seed=1).truth) == 2
    with pytest.raises(ValueError, match=r"latents must have shape \(3, \d+\)"):
        skygal.simulate_field(make_wcs(64), 3, latents=np.zeros((2, skygal.load_model().latent_dim)))


def test_classes_of_one_seed_are_no_twins():
    """The class mix leaves places and fluxes as they are; what is there has nothing in common."""
    first, second, mixed = (skygal.simulate_field(make_wcs(), 20, survey="FIRST", seed=1, fr_mix=mix).truth
                            for mix in ({"FRI": 1.0}, {"FRII": 1.0}, {"FRI": 0.5, "FRII": 0.5}))
    np.testing.assert_array_equal(first["flux_requested"], second["flux_requested"])
    assert not np.intersect1d(first["latent_seed"], second["latent_seed"]).size
    expected = np.where(mixed["fr_class"] == "FRI", first["latent_seed"], second["latent_seed"])
    np.testing.assert_array_equal(mixed["latent_seed"], expected)


def test_no_sources():
    field = skygal.simulate_field(make_wcs(64), 0, survey="FIRST", seed=1)
    assert len(field.truth) == len(field.components) == 0
    assert field.model.max() == 0 and field.image.std() > 0 and field.segmentation.max() == 0
    assert field.truth.colnames == [c.name for c in TRUTH]


def test_defaults_without_a_survey():
    field = skygal.simulate_field(make_wcs(128), 2, seed=1)
    assert field.header["BMAJ"] * 3600 == pytest.approx(5.4, rel=1e-6)
    assert field.header["RESTFRQ"] == 1.4e9
    np.testing.assert_array_equal(field.image, field.model)


def test_four_dimensional_header():
    header = skygal.simulate_field(make_wcs(128), 1, survey="FIRST", seed=1).header
    assert header["NAXIS"] == 4
    again = skygal.simulate_field(header, 1, survey="FIRST", seed=1)
    assert again.image.shape == (128, 128)
    assert again.wcs.naxis == 2


def test_psf_image(tmp_path):
    y, x = np.mgrid[-40:41, -40:41]
    psf = np.exp(-(x**2 + y**2) / 6.0) - 0.04 * np.exp(-(np.hypot(x, y) - 12) ** 2 / 8)
    field = skygal.simulate_field(make_wcs(), 10, psf=psf, frequency=1.4 * u.GHz, seed=1)
    assert field.image.sum(dtype=float) / psf.sum() == pytest.approx(field.truth["flux_in_image"].sum().value, rel=1e-5)
    assert field.image.min() < 0
    fits.PrimaryHDU(psf[None, None]).writeto(tmp_path / "psf.fits")
    again = skygal.simulate_field(make_wcs(), 10, psf=tmp_path / "psf.fits", frequency=1.4 * u.GHz, seed=1)
    np.testing.assert_array_equal(again.image, field.image)
    assert field.header["BMAJ"] * 3600 == pytest.approx(np.sqrt(3) * 2.3548 * 1.8, rel=0.03)


def test_coarse_stamps_are_flagged_and_warned_of():
    table = QTable({"x": [60.0], "y": [60.0], "flux": [1] * u.Jy, "las": [200] * u.arcsec})
    with pytest.warns(UserWarning, match="1 of 1 sources have stamps coarser than .* model='first-atlas' draws"):
        field = skygal.simulate_field(make_wcs(128, 0.5), table=table, beam=1.5 * u.arcsec, seed=1)
    assert field.truth["beam_limited"][0]


def test_sources_outside_are_kept_in_truth_and_warned_of():
    table = QTable({"x": [60.0, 900.0], "y": [60.0, 60.0], "flux": [1, 1] * u.Jy, "las": [30, 30] * u.arcsec})
    with pytest.warns(UserWarning, match=r"1 of 2 sources lie outside the image .* source_id 2"):
        field = skygal.simulate_field(make_wcs(128), table=table, survey="FIRST", seed=1)
    assert field.truth["flux_in_image"][1] == 0 and field.truth["edge"][1]


def test_written_and_read_again(noisy, tmp_path):
    folder = noisy.write(tmp_path / "out", plot=True)
    names = {"field.fits", "model.fits", "segmentation.fits", "truth.fits", "truth.ecsv", "components.fits",
             "components.ecsv", "skygal.yaml", "field.png"}
    assert names <= {path.name for path in folder.iterdir()}
    with fits.open(folder / "field.fits") as hdus:
        assert len(hdus) == 1 and hdus[0].data.shape == (1, 1, 512, 512)
        assert hdus[0].header["BITPIX"] == -32 and hdus[0].header["BUNIT"] == "JY/BEAM"
        assert hdus[0].header["SEED"] == 3
        np.testing.assert_array_equal(hdus[0].data[0, 0], noisy.image)
        again = WCS(hdus[0].header).celestial
    where = again.pixel_to_world(noisy.truth["x"], noisy.truth["y"])
    assert where.separation(SkyCoord(noisy.truth["ra"], noisy.truth["dec"])).max() < MAS
    with fits.open(folder / "segmentation.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data[0, 0], noisy.segmentation)
    for name in ("truth.fits", "truth.ecsv"):
        table = read_truth(folder / name)
        np.testing.assert_array_equal(table["flux"], noisy.truth["flux"])
        assert table["flux"].unit == u.Jy and table["flux"].info.description
        assert table.meta["seed"] == 3 and table.meta["model_sha256"] == skygal.load_model().sha256
    with pytest.raises(FileExistsError, match="overwrite"):
        noisy.write(folder)
    noisy.write(folder, overwrite=True)


HEALPIX = WCS(naxis=1)
GOOD = {"survey": "FIRST", "seed": 1}


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"wcs": HEALPIX}, ValueError, "wcs must have a celestial pair of axes"),
    ({"wcs": "FIRST"}, TypeError, "wcs must be an astropy.wcs.WCS or a FITS header, got str"),
    ({"wcs": WCS(naxis=2)}, ValueError, "wcs must have a celestial pair of axes"),
    ({"shape": (0, 64)}, ValueError, r"shape \(ny\) must be at least 1, got 0"),
    ({"shape": 64}, TypeError, r"shape must be a pair \(ny, nx\), got 64"),
    ({"n_sources": -1}, ValueError, "n_sources must be at least 0, got -1"),
    ({"n_sources": 2.5}, TypeError, "n_sources must be a whole number, got 2.5"),
    ({"seed": -4}, ValueError, "seed must be at least 0, got -4"),
    ({"survey": "FRIST"}, ValueError, r"FRIST.*did you mean 'FIRST'"),
    ({"survey": 3}, TypeError, "survey must be a name, a path or a Survey, got int"),
    ({"noise": 0 * u.Jy}, ValueError, r"noise must be positive, got 0\.0 Jy / beam"),
    ({"noise": -1 * u.mJy / u.beam}, ValueError, r"noise must be positive, got -0\.001 Jy / beam"),
    ({"noise": np.nan * u.Jy}, ValueError, "noise must be finite, got nan Jy / beam"),
    ({"noise": 1 * u.arcsec}, u.UnitConversionError, "noise must be in units convertible to Jy / beam, got 1.0 arcsec"),
    ({"noise": 0.1}, TypeError, "noise must be a Quantity in units of Jy / beam, got 0.1"),
    ({"noise": "loud"}, ValueError, "noise must be a number with a unit such as .*, got 'loud'"),
    ({"latents": "pairs", "fr_mix": {"FRI": 1.0}}, ValueError,
     "latents='pairs' must have one source of each class in each pair, got FRI and FRI as sources 0 and 1"),
    ({"n_sources": None, "table": QTable({"flux": [1] * u.Jy}), "flux": (1 * u.mJy, 1 * u.Jy)}, ValueError,
     "flux must be left out where the table has the column 'flux'"),
    ({"beam": 5.4}, TypeError, "beam must be a radio_beam.Beam, a Quantity .* or a function of"),
    ({"beam": np.zeros((9, 9))}, TypeError, "beam must be a Gaussian: a PSF image is given as psf"),
    ({"beam": 5 * u.arcsec, "psf": np.ones((9, 9))}, ValueError, "beam must be left out where psf is given"),
    ({"beam": -5 * u.arcsec}, ValueError, "beam must be positive"),
    ({"beam": None, "psf": np.zeros((9, 9))}, ValueError, "psf must have a positive peak and sum"),
    ({"frequency": 0 * u.GHz}, ValueError, "frequency must be positive"),
    ({"flux": (2 * u.mJy, 1 * u.mJy)}, ValueError, "flux must have low < high"),
    ({"flux": (np.nan * u.mJy, 1 * u.Jy)}, ValueError, "flux .*finite"),
    ({"flux": (-1 * u.mJy, 1 * u.Jy)}, ValueError, "flux .*positive"),
    ({"flux": (1 * u.m, 2 * u.m)}, u.UnitConversionError, "flux .*convertible to Jy"),
    ({"las": (0 * u.arcsec, 9 * u.arcsec)}, ValueError, "las .*positive"),
    ({"fr_mix": {"FRIII": 1.0}}, ValueError, "FRIII"),
    ({"fr_mix": {"FRI": 0.5, "FRII": 0.6}}, ValueError, "fr_mix must have shares that sum to 1"),
    ({"latents": "balancd"}, ValueError, "latents must be one of .*did you mean 'balanced'"),
    ({"model": "fist-cvae"}, ValueError, "first-cvae"),
    ({"model": "nowhere.safetensors"}, FileNotFoundError, "nowhere.safetensors"),
    ({"clip_sigma": -3}, ValueError, "clip_sigma must be positive"),
    ({"workers": 0}, ValueError, "workers must be at least 1, got 0"),
])
def test_bad_input(change, error, message):
    given = {"wcs": make_wcs(64), "n_sources": 2, **GOOD, **change}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=message):
            skygal.simulate_field(given.pop("wcs"), **given)


def test_default_fluxes_reach_down_to_the_noise():
    field = skygal.simulate_field(make_wcs(512), survey="FIRST", seed=2)
    flux = field.truth["flux_requested"].to_value(u.mJy)
    assert 0.15 <= flux.min() < 0.2 and field.provenance["configuration"]["flux"] == 0.15 * u.mJy
    # the counts give 555 a square degree above the noise of FIRST, and 0.81 of them under five times that
    expected = 555 * (512 * 1.8 / 3600) ** 2
    assert len(flux) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert np.mean(flux < 0.75) == pytest.approx(0.81, abs=0.2)
    quiet = skygal.simulate_field(make_wcs(64), 100, seed=1, las=2 * u.arcsec)
    assert 1 <= quiet.truth["flux_requested"].to_value(u.mJy).min() < 1.05


def test_no_shape():
    wcs = make_wcs(64)
    wcs.array_shape = None
    with pytest.raises(ValueError, match=r"shape must be given as \(ny, nx\), since the wcs has no array_shape"):
        skygal.simulate_field(wcs, 1)


def test_narrow_beam_warns():
    with pytest.warns(UserWarning, match=r"beam should be at least 2 pixels wide, got 1\.50 pixels"):
        skygal.simulate_field(make_wcs(64), 0, beam=Beam(2.7 * u.arcsec))


def test_import_is_light():
    code = "import sys, skygal; assert not {'torch', 'astropy', 'numpy'} & set(sys.modules); print(skygal.__version__)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
