"""One sky at several frequencies, held to formulas written here and to the pixels."""

import dask
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracles import image_moments
from photutils.aperture import CircularAperture, aperture_photometry

import skygal
from skygal.population.spectra import Colours

GHZ = [1.4, 2.1, 5.0, 0.7]
SIDE, STEP, FWHM = 480, 160, 3.5
AREA = np.pi / (4 * np.log(2)) * FWHM**2


def make_wcs(shape=(SIDE, SIDE)):
    return skygal.make_wcs("12h00m00s +30d00m00s", shape, 1.8 * u.arcsec)


@pytest.fixture(scope="module")
def table():
    """Nine sources that do not touch, between pixels."""
    x, y = np.meshgrid(np.arange(3), np.arange(3))
    rng = np.random.default_rng(4)
    place = np.stack([x.ravel(), y.ravel()], axis=1) * STEP + STEP / 2 + rng.uniform(-0.5, 0.5, (9, 2))
    return QTable({"x": place[:, 0], "y": place[:, 1], "flux": rng.uniform(0.1, 1, 9) * u.Jy,
                   "las": rng.uniform(30, 70, 9) * u.arcsec, "fr_class": ["FRI"] * 8 + ["FRII"],
                   "spectral_index": np.linspace(-1.3, 0.4, 9),
                   "curvature": np.tile([0.0, -0.3, 0.2], 3)})


@pytest.fixture(scope="module")
def fields(table):
    return skygal.simulate_fields(make_wcs(), table=table, frequency=GHZ * u.GHz, beam=FWHM * 1.8 * u.arcsec, seed=22)


def patch(field, k):
    """The pixels about one of the sources, and where they begin."""
    y, x = np.divmod(k, 3)
    return field.model[y * STEP:(y + 1) * STEP, x * STEP:(x + 1) * STEP].astype(float), np.array([x, y]) * STEP


def indices(field):
    """Spectral indices of core and of all else: a core is flat, and nothing is steeper than its source by over 0.5."""
    alpha, part = np.asarray(field.truth["spectral_index"]), np.asarray(field.truth["core_frac"])
    lobe = np.maximum((alpha - part * np.maximum(alpha, 0)) / (1 - part), alpha - 0.5)
    return np.where(part > 0, (alpha - (1 - part) * lobe) / np.where(part > 0, part, 1), np.maximum(alpha, 0)), lobe


def ratios(first, ghz):
    """What the flux of core and of lobes goes by, from what truth says at the first frequency."""
    r = ghz / GHZ[0]
    bend = np.exp(np.asarray(first.truth["curvature"]) * np.log(r) ** 2)
    core, lobe = (r**index * bend for index in indices(first))
    part = np.asarray(first.truth["core_frac"])
    return part * core, (1 - part) * lobe


def test_there_is_something_to_see(fields):
    truth = fields[0].truth
    assert len(truth) == 9 and np.count_nonzero(truth["core_frac"] > 0.1) >= 3
    core, lobe = indices(fields[0])
    steep = truth["spectral_index"] < -0.3
    assert (core >= lobe - 1e-9).all() and (core[steep] > lobe[steep]).all()


def test_components(fields):
    """Their indices, weighted by flux, have the source's as their mean; between those of lobes and of the core."""
    parts, core, lobe = fields[0].components, *indices(fields[0])
    for k in range(9):
        own = parts["source_id"] == k + 1
        mean = np.average(parts["spectral_index"][own], weights=parts["flux_fraction"][own])
        assert mean == pytest.approx(fields[0].truth["spectral_index"][k], abs=1e-6)
        index = parts["spectral_index"][own]
        assert (index >= lobe[k] - 1e-9).all() and (index <= core[k] + 1e-9).all()
        cores = parts["kind"][own] == "core"
        if cores.any() and not cores.all():
            assert index[cores].min() >= index[~cores].max()


def test_components_brighten_as_their_indices_say(table):
    """The slope of each one's flux between two frequencies close to each other."""
    pair = np.array([1.4, 1.414])
    one, two = skygal.simulate_fields(make_wcs(), table=table, frequency=pair * u.GHz, seed=1,
                                      beam=FWHM * 1.8 * u.arcsec)
    np.testing.assert_array_equal(one.truth["n_components"], two.truth["n_components"])
    slopes = []
    for row in one.components:
        mine = two.components[two.components["source_id"] == row["source_id"]]
        near = mine[np.argmin(np.hypot(mine["x"] - row["x"], mine["y"] - row["y"]))]
        slopes.append(np.log(near["flux"] / row["flux"]).value / np.log(pair[1] / pair[0]))
    strong = np.asarray(one.components["flux_fraction"]) > 0.1
    assert np.count_nonzero(strong & (one.components["kind"] == "core")) >= 3
    np.testing.assert_allclose(np.array(slopes)[strong], one.components["spectral_index"][strong], atol=0.03)


@pytest.mark.parametrize("channel", range(len(GHZ)))
def test_fluxes_follow_the_formula_and_the_pixels_the_fluxes(fields, channel, table):
    field, (core, lobes) = fields[channel], ratios(fields[0], GHZ[channel])
    truth = field.truth
    np.testing.assert_allclose(truth["flux"].to_value(u.Jy), table["flux"].value * (core + lobes), rtol=1e-5)
    np.testing.assert_allclose(truth["core_frac"], core / (core + lobes), atol=1e-9)
    np.testing.assert_array_equal(truth["flux_requested"], table["flux"])
    np.testing.assert_array_equal(truth["curvature"], table["curvature"])
    np.testing.assert_array_equal(truth["flux_apparent"], truth["flux"])
    for k, row in enumerate(truth):
        total = patch(field, k)[0].sum() / AREA
        assert total == pytest.approx(row["flux"].value, rel=1e-4)
        assert row["flux_in_image"].value == pytest.approx(total, rel=1e-5)
        aperture = CircularAperture((row["x"], row["y"]), 60)
        found = aperture_photometry(field.image.astype(float), aperture)["aperture_sum"][0] / AREA
        assert found == pytest.approx(row["flux"].value, rel=1e-3)
        assert patch(field, k)[0].max() == pytest.approx(row["peak_flux"].value, rel=1e-5)
    for k in truth["source_id"]:
        own = field.components[field.components["source_id"] == k]
        assert own["flux"].sum().value == pytest.approx(truth["flux"][k - 1].value, rel=1e-5)


@pytest.mark.parametrize("channel", range(len(GHZ)))
def test_centroids(fields, channel):
    truth = fields[channel].truth
    for k, row in enumerate(truth):
        pixels, corner = patch(fields[channel], k)
        middle = image_moments(pixels)[1] + corner
        assert np.hypot(*(middle - (row["x"], row["y"]))) < 0.01
    world = fields[channel].wcs.pixel_to_world(truth["x"], truth["y"])
    assert world.separation(SkyCoord(truth["ra"], truth["dec"])).max() < 1e-3 * u.arcsec
    if channel:
        moved = np.hypot(truth["x"] - fields[0].truth["x"], truth["y"] - fields[0].truth["y"])
        assert moved.max() > 0.05 and (moved[truth["core_frac"] == 0] == 0).all()


@pytest.mark.parametrize("channel", range(1, len(GHZ)))
def test_what_changes_is_a_point_at_the_core(fields, channel):
    low, high = fields[0], fields[channel]
    part = np.asarray(low.truth["core_frac"])
    core, lobes = ratios(low, GHZ[channel])
    at = np.stack(low.wcs.world_to_pixel(SkyCoord(low.truth["ra_core"], low.truth["dec_core"])), axis=1)
    for k in range(9):
        before, corner = patch(low, k)
        after, _ = patch(high, k)
        scale = lobes[k] / (1 - part[k])
        rest = after - scale * before
        if part[k] == 0:
            assert np.abs(rest).max() < 1e-6 * after.max()
            continue
        flux = low.truth["flux"][k].value * (core[k] - scale * part[k])
        if abs(flux) < 0.02 * low.truth["flux"][k].value:
            continue
        assert rest.sum() / AREA == pytest.approx(flux, rel=1e-3)
        total, middle, moments = image_moments(rest)
        assert np.hypot(*(middle + corner - at[k])) < 0.01
        np.testing.assert_allclose(moments, np.eye(2) * FWHM**2 / (8 * np.log(2)), atol=0.01 * FWHM**2)
        assert np.abs(rest).max() < abs(flux) * 1.0001


def test_cores_are_flatter_than_lobes_in_the_pixels(fields):
    """Apertures of a beam on the core, and on the whole source."""
    low, high = fields[0], fields[2]
    cored = [k for k in range(9) if low.truth["core_frac"][k] > 0.1 and low.truth["curvature"][k] == 0
             and low.truth["spectral_index"][k] < -0.3]
    assert cored
    for k in cored:
        at = low.wcs.world_to_pixel(SkyCoord(low.truth["ra_core"][k], low.truth["dec_core"][k]))
        core, whole = ([float(aperture_photometry(field.image.astype(float), CircularAperture(place, radius))
                              ["aperture_sum"][0]) for field in (low, high)]
                       for place, radius in ((at, 2.0), ((low.truth["x"][k], low.truth["y"][k]), 60)))
        slope = [np.log(b / a) / np.log(GHZ[2] / GHZ[0]) for a, b in (core, whole)]
        assert slope[0] > slope[1] + 0.1


def test_shape_and_place_stay(fields):
    for field in fields[1:]:
        for name in ("source_id", "fr_class", "n_components_stamp", "ra_core", "dec_core", "las", "b_maj", "b_min",
                     "pa", "zoom", "extent", "bending", "latent_seed", "spectral_index", "curvature", "redshift",
                     "las_requested", "flux_requested"):
            np.testing.assert_array_equal(np.asarray(field.truth[name]), np.asarray(fields[0].truth[name]), name)
    for field, ghz in zip(fields, GHZ, strict=True):
        assert field.header["RESTFRQ"] == pytest.approx(ghz * 1e9)
        assert field.provenance["configuration"]["reference_frequency"] == "1400000000.0 Hz"


NOISY = {"n_sources": 12, "seed": 6, "las": (20 * u.arcsec, 60 * u.arcsec), "beam": 6 * u.arcsec,
         "flux": (5 * u.mJy, 1 * u.Jy), "curvature": -0.1}


@pytest.fixture(scope="module")
def noisy():
    return skygal.simulate_fields(make_wcs((300, 380)), frequency=[1.4, 1.0, 3.0] * u.GHz,
                                  noise=[0.1, 0.3, 0.05] * u.mJy / u.beam, **NOISY)


def test_noise_of_channels_is_independent(noisy):
    noise = [(field.image - field.model).astype(float).ravel() for field in noisy]
    for one, rms in zip(noise, (1e-4, 3e-4, 5e-5), strict=True):
        assert one.std() == pytest.approx(rms, rel=0.04)
    # beams that are independent: the scatter of a correlation coefficient is one over the root of their number
    beams = noise[0].size / (2 * np.pi / (4 * np.log(2)) * (6 / 1.8) ** 2)
    for a in range(3):
        for b in range(a):
            assert abs(np.corrcoef(noise[a], noise[b])[0, 1]) < 4 / np.sqrt(beams)
    for field, rms in zip(noisy, (1e-4, 3e-4, 5e-5), strict=True):
        assert (field.truth["local_rms"].value == rms).all()
        np.testing.assert_allclose(field.truth["snr"], field.truth["peak_flux"].value / rms)


def assert_equal_fields(first, second):
    for name in ("image", "model", "segmentation"):
        np.testing.assert_array_equal(np.asarray(getattr(first, name)), np.asarray(getattr(second, name)), name)
    for name in ("truth", "components"):
        one, two = getattr(first, name), getattr(second, name)
        assert one.colnames == two.colnames
        for column in one.colnames:
            np.testing.assert_array_equal(np.asarray(one[column]), np.asarray(two[column]), column)


def test_the_first_is_the_field_alone(noisy):
    alone = skygal.simulate_field(make_wcs((300, 380)), frequency=1.4 * u.GHz, noise=0.1 * u.mJy / u.beam, **NOISY)
    assert_equal_fields(alone, noisy[0])


def test_chunks_give_the_same_bits(noisy):
    lazy = skygal.simulate_fields(make_wcs((300, 380)), frequency=[1.4, 1.0, 3.0] * u.GHz, chunks=(128, 150),
                                  noise=[0.1, 0.3, 0.05] * u.mJy / u.beam, **NOISY)
    for one, other in zip(lazy, noisy, strict=True):
        assert one.is_lazy
        assert_equal_fields(one.compute(), other)


def test_a_beam_and_a_primary_beam_each():
    views = {"frequency": [1.0, 2.0] * u.GHz, "beam": [12 * u.arcsec, 6 * u.arcsec],
             "primary_beam": [None, 25 * u.m]}
    low, high = skygal.simulate_fields(make_wcs((200, 200)), 4, seed=1, las=(20 * u.arcsec, 40 * u.arcsec), **views)
    assert (low.header["BMAJ"], high.header["BMAJ"]) == pytest.approx((12 / 3600, 6 / 3600))
    np.testing.assert_array_equal(low.truth["zoom"], high.truth["zoom"])
    np.testing.assert_array_equal(low.truth["flux"], low.truth["flux_apparent"])
    assert (high.truth["flux_apparent"] < high.truth["flux"]).all()
    for field, fwhm in ((low, 12), (high, 6)):
        area = np.pi / (4 * np.log(2)) * (fwhm / 1.8) ** 2
        assert field.model.sum(dtype=float) / area == pytest.approx(field.truth["flux_in_image"].sum().value, rel=1e-5)


parts = arrays.arrays(float, 7, elements=st.floats(0, 1))
slopes = arrays.arrays(float, 7, elements=st.floats(-2, 1))


@given(slopes, parts, st.floats(0.05, 20), arrays.arrays(float, 7, elements=st.floats(-0.5, 0.5)))
def test_colours(index, part, ratio, bend):
    colours = Colours.of(index, part, ratio, curvature=bend)
    total = colours.lobes * (1 + colours.extra)
    expected = (part * ratio**colours.core_index + (1 - part) * ratio**colours.lobe_index) * \
        np.exp(bend * np.log(ratio) ** 2)
    np.testing.assert_allclose(total, expected, rtol=1e-9)
    assert (total > 0).all() and (colours.lobe_index >= index - 0.5 - 1e-12).all()
    assert (colours.core_index[part > 0] >= colours.lobe_index[part > 0] - 1e-9).all()
    # the slope at the first frequency is the source's own
    step = 1e-4
    near = [Colours.of(index, part, 1 + sign * step, curvature=bend) for sign in (-1, 1)]
    down, up = (np.log(one.lobes * (1 + one.extra)) for one in near)
    np.testing.assert_allclose((up - down) / (np.log1p(step) - np.log1p(-step)), index, atol=1e-5)
    same = Colours.of(index, part, 1.0, curvature=bend)
    assert (same.lobes == 1).all() and (same.extra == 0).all()


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"frequency": 1.4 * u.GHz}, TypeError, "frequency must be a list of quantities, got <Quantity 1.4 GHz>"),
    ({"frequency": []}, ValueError, "frequency must be a list of at least one frequency, got an empty one"),
    ({"frequency": [1.4, -1] * u.GHz}, ValueError, "frequency must be positive, got -1000000000.0 Hz"),
    ({"frequency": [1.4, 2]}, TypeError, "frequency must be a Quantity in units of Hz, got 1.4"),
    ({"noise": [1, 2, 3] * u.mJy}, ValueError, "noise must be one for all or one for each of 2 frequencies, got 3"),
    ({"beam": [5 * u.arcsec]}, ValueError, "beam must be one for all or one for each of 2 frequencies, got 1"),
    ({"primary_beam": ["25 m"] * 3}, ValueError, "primary_beam must be one for all or one for each of 2 freq"),
    ({"curvatur": 0.1}, TypeError, r"simulate_fields has no argument 'curvatur' \(did you mean 'curvature'\?\)"),
    ({"curvature": np.nan}, ValueError, "curvature must be finite, got nan"),
    ({"curvature": (0, 1)}, TypeError, "curvature must be a single value, got an array of shape"),
    ({"table": QTable({"curvature": [0.1]}), "curvature": 0.2, "n_sources": None}, ValueError,
     "curvature must be left out where the table has the column 'curvature', got 0.2"),
])
def test_bad_input(change, error, message):
    given_ = {"n_sources": 1, "frequency": [1, 2] * u.GHz, **change}
    with pytest.raises(error, match=message):
        skygal.simulate_fields(make_wcs((64, 64)), **given_)


def test_no_sources_at_any_frequency():
    for field in skygal.simulate_fields(make_wcs((64, 64)), 0, frequency=[1, 2] * u.GHz, noise=1 * u.mJy, seed=1):
        assert len(field.truth) == 0 and "curvature" in field.truth.colnames and field.model.max() == 0


def pixels(field):
    return dask.compute(field.image, field.model, field.segmentation)


@pytest.mark.parametrize("chunks", [None, 50])
def test_images_that_differ_in_noise_alone_are_drawn_together(monkeypatch, chunks):
    """Each is to the bit what it is by itself, also where the noise is a map that is blank in a corner."""
    from skygal.scene import compose

    places, placed = [], compose.place_stamps
    monkeypatch.setattr(compose, "place_stamps", lambda *args, **kwargs: places.append(1) or placed(*args, **kwargs))
    wcs = make_wcs((96, 96))
    maps = np.full((2, 96, 96), 1e-4) * [[[1]], [[0.2]]]
    maps[:, :20, :30] = np.nan
    faint = skygal.population.sample_faint(wcs, (96, 96), 40, flux=(0.1 * u.mJy, 5 * u.mJy), seed=3,
                                           frequency=1.4 * u.GHz)
    given = {"seed": 7, "faint": faint, "flux": 2 * u.mJy, "chunks": chunks, "frequency": [1.4, 1.4] * u.GHz,
             "beam": 5.4 * u.arcsec}
    for noise in ([200, 20] * u.uJy, maps):
        places.clear()
        # not the public verb, which a test's checks may call again
        both = list(skygal.simulate.iter_fields(wcs, 6, noise=noise, **given))
        assert len(places) == 1
        for k, field in enumerate(both):
            alone, = skygal.simulate.iter_fields(wcs, 6, noise=noise, only=[k], **given)
            assert field.is_lazy == alone.is_lazy == bool(chunks)
            for name, *planes in zip(("image", "model", "segmentation"), pixels(field), pixels(alone), strict=True):
                np.testing.assert_array_equal(*planes, err_msg=name)
            for name in field.truth.colnames:
                np.testing.assert_array_equal(field.truth[name], alone.truth[name], err_msg=name)
        assert (both[0].truth["snr"] < both[1].truth["snr"]).any()
