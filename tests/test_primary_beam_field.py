"""Fields seen through a primary beam: gains by formulas that are not ours, and the pixels themselves."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.modeling.models import AiryDisk2D
from astropy.table import QTable
from photutils.aperture import CircularAperture, aperture_photometry

import skygal

SIDE, PIXEL, FWHM = 600, 6.0, 3.0
CENTRE = SkyCoord("12h00m00s +30d00m00s")
AREA = np.pi / (4 * np.log(2)) * FWHM**2
#: first zero of an even dish, in wavelengths over diameters
ZERO = 1.2196698912665045


def make_wcs():
    return skygal.make_wcs(CENTRE, SIDE, PIXEL * u.arcsec)


def airy(ra, dec, hertz, metres):
    """The power of an even dish, by astropy's disk."""
    offset = np.sin(CENTRE.separation(SkyCoord(ra, dec)).rad)
    return AiryDisk2D(1, 0, 0, ZERO * 299792458 / hertz / metres)(offset, 0)


def gaussian(ra, dec, hertz, degrees_at_1ghz):
    offset = CENTRE.separation(SkyCoord(ra, dec)).deg
    return 2.0 ** -((2 * offset / (degrees_at_1ghz * 1e9 / hertz)) ** 2)


@pytest.fixture(scope="module")
def table():
    x, y = np.meshgrid(np.arange(5), np.arange(5))
    rng = np.random.default_rng(8)
    place = np.stack([x.ravel(), y.ravel()], axis=1) * 120 + 60 + rng.uniform(-0.5, 0.5, (25, 2))
    return QTable({"x": place[:, 0], "y": place[:, 1], "flux": rng.uniform(0.1, 1, 25) * u.Jy,
                   "las": rng.uniform(30, 120, 25) * u.arcsec})


def simulate(table, **options):
    return skygal.simulate_field(make_wcs(), table=table, beam=PIXEL * FWHM * u.arcsec, seed=3, **options)


@pytest.fixture(scope="module")
def plain(table):
    return simulate(table)


@pytest.mark.parametrize(("beam", "expected"), [
    (25 * u.m, lambda ra, dec: airy(ra, dec, 1.4e9, 25)),
    ("13.5 m", lambda ra, dec: airy(ra, dec, 1.4e9, 13.5)),
    (skygal.GaussianPrimaryBeam(40 * u.arcmin, 1 * u.GHz), lambda ra, dec: gaussian(ra, dec, 1.4e9, 40 / 60)),
], ids=["25 m", "13.5 m", "Gaussian"])
def test_gains_in_truth_and_pixels(plain, table, beam, expected):
    seen = simulate(table, primary_beam=beam)
    gain = expected(seen.truth["ra"], seen.truth["dec"])
    assert gain.min() < 0.36 and gain.max() > 0.95
    np.testing.assert_allclose(seen.truth["flux_apparent"] / seen.truth["flux"], gain, rtol=1e-4, atol=1e-7)
    # the source itself stays as it is
    for name in ("ra", "dec", "x", "y", "las", "pa", "core_frac", "spectral_index", "zoom", "flux_requested"):
        np.testing.assert_array_equal(seen.truth[name], plain.truth[name], name)
    np.testing.assert_allclose(seen.truth["flux"], plain.truth["flux"], rtol=1e-5)
    for k, row in enumerate(seen.truth):
        aperture = CircularAperture((row["x"], row["y"]), 45)
        found, whole = (aperture_photometry(field.image.astype(float), aperture)["aperture_sum"][0]
                        for field in (seen, plain))
        assert found / whole == pytest.approx(gain[k], rel=1e-4)
        assert found / AREA == pytest.approx(row["flux_apparent"].value, rel=2e-3)
    np.testing.assert_allclose(seen.truth["peak_flux"], plain.truth["peak_flux"] * gain, rtol=1e-4)
    np.testing.assert_allclose(seen.components["flux"] / plain.components["flux"],
                               gain[seen.components["source_id"] - 1], rtol=1e-4)
    assert seen.model.sum(dtype=float) / AREA == pytest.approx(seen.truth["flux_in_image"].sum().value, rel=1e-5)


def test_it_narrows_as_one_over_the_frequency(table):
    frequencies = [1.0, 1.4, 2.0]
    fields = skygal.simulate_fields(make_wcs(), table=table, beam=PIXEL * FWHM * u.arcsec, seed=3,
                                    frequency=frequencies * u.GHz, primary_beam="25 m", spectral_index=-0.7)
    for field, ghz in zip(fields, frequencies, strict=True):
        # a core of another colour moves a centroid, but not the place that the gain is for
        gain = airy(fields[0].truth["ra"], fields[0].truth["dec"], ghz * 1e9, 25)
        np.testing.assert_allclose(field.truth["flux_apparent"] / field.truth["flux"], gain, rtol=1e-4, atol=1e-6)
    off = CENTRE.separation(SkyCoord(fields[0].truth["ra"], fields[0].truth["dec"])).deg
    gains = np.array([np.asarray(field.truth["flux_apparent"] / field.truth["flux"]) for field in fields])
    near = off < 0.4
    assert (np.diff(gains[:, near & (off > 0.05)], axis=0) < 0).all()


def at_offset(angle, degrees):
    return CENTRE.directional_offset_by(angle * u.deg, degrees * u.deg)


def test_nulls_and_far_away():
    zero = np.degrees(np.arcsin(ZERO * 299792458 / 2e9 / 25))
    places = SkyCoord([CENTRE, at_offset(40, zero), at_offset(200, 2.5), at_offset(10, 120)])
    table = QTable({"ra": places.ra, "dec": places.dec, "flux": [1, 1, 1, 1] * u.Jy, "las": [30] * 4 * u.arcsec})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for noise in (0.1 * u.mJy, False):
            field = simulate(table, primary_beam="25 m", frequency=2 * u.GHz, noise=noise)
            truth = field.truth
            np.testing.assert_allclose(truth["flux"].value, 1, rtol=1e-4)
            assert truth["flux_apparent"].value[0] == pytest.approx(1, rel=1e-4)
            assert truth["flux_apparent"].value[1] < 1e-9 and truth["flux_apparent"].value[3] == 0
            assert truth["flux_in_image"].value[2:].tolist() == [0, 0]
            assert np.isfinite(field.model).all() and np.isfinite(field.image).all()
            assert (field.components["flux"][np.isin(field.components["source_id"], [4])] == 0).all()
    said = {str(w.message) for w in caught}
    assert len(said) == 1 and "2 of 4 sources lie outside the image" in said.pop()


def pattern(tmp_path, data):
    """A power pattern of 41 x 41 arcmin in a file."""
    wcs = skygal.make_wcs(CENTRE, data.shape, 60 * u.arcsec)
    header = wcs.to_header()
    header["RESTFRQ"] = 1.4e9
    fits.PrimaryHDU(data, header).writeto(tmp_path / "pattern.fits")
    return tmp_path / "pattern.fits"


def test_an_image_of_the_pattern_and_what_lies_beyond_it(plain, table, tmp_path):
    y, x = np.mgrid[-20:21, -20:21]
    path = pattern(tmp_path, 3 * np.exp(-4 * np.log(2) * (x**2 / 24**2 + y**2 / 16**2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = simulate(table, primary_beam=path, noise=1 * u.mJy)
    dx, dy = ((seen.truth[name] - (SIDE - 1) / 2) * PIXEL / 60 for name in "xy")
    within = (np.abs(dx) < 19) & (np.abs(dy) < 19)
    beyond = (np.abs(dx) > 21) | (np.abs(dy) > 21)
    assert within.sum() >= 5 and beyond.sum() >= 10
    expected = np.exp(-4 * np.log(2) * (dx**2 / 24**2 + dy**2 / 16**2))
    ratio = np.asarray(seen.truth["flux_apparent"] / seen.truth["flux"])
    np.testing.assert_allclose(ratio[within], expected[within], atol=1e-4)
    assert (ratio[beyond] == 0).all()
    # they are in truth with what they are, and with nothing of it to be seen
    np.testing.assert_allclose(seen.truth["flux"][beyond], table["flux"][beyond], rtol=1e-6)
    for name in ("flux_in_image", "peak_flux", "snr"):
        assert (np.asarray(seen.truth[name])[beyond] == 0).all(), name
    assert (seen.truth["bbox_xmin"][beyond] == -1).all() and not seen.truth["edge"][beyond].any()
    assert not np.isin(seen.segmentation, seen.truth["source_id"][beyond]).any()
    # so are faint ones
    faint = QTable({"x": table["x"], "y": table["y"], "flux": table["flux"], "kind": ["point"] * 25})
    for noise in (1 * u.mJy, False):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            seen = skygal.simulate_field(make_wcs(), 0, faint=faint, beam=PIXEL * FWHM * u.arcsec, seed=3,
                                         primary_beam=path, noise=noise)
        for name in ("flux_in_image", "peak_flux", "snr"):
            assert (np.asarray(seen.truth[name])[beyond] == 0).all(), name
        assert (seen.truth["bbox_xmin"][beyond] == -1).all() and not seen.truth["edge"][beyond].any()
        np.testing.assert_allclose(seen.truth["flux"], table["flux"], rtol=1e-6)


def test_chunks_and_noise(table):
    options = {"primary_beam": 25 * u.m, "noise": 0.2 * u.mJy / u.beam}
    whole, lazy = simulate(table, **options), simulate(table, chunks=(170, 256), **options)
    np.testing.assert_array_equal(lazy.image.compute(), whole.image)
    np.testing.assert_array_equal(lazy.truth["flux_apparent"], whole.truth["flux_apparent"])
    # noise is that of the receivers: it is not weakened
    assert (whole.image - whole.model)[:100, :100].std() == pytest.approx(2e-4, rel=0.1)


def test_faint_sources_too(table):
    faint = QTable({"x": np.asarray(table["x"]) + 40, "y": table["y"], "flux": np.full(25, 1) * u.mJy,
                    "kind": ["point"] * 25})
    seen = skygal.simulate_field(make_wcs(), 0, faint=faint, beam=PIXEL * FWHM * u.arcsec, seed=3,
                                 primary_beam="25 m")
    gain = airy(seen.truth["ra"], seen.truth["dec"], 1.4e9, 25)
    np.testing.assert_allclose(seen.truth["flux_apparent"] / seen.truth["flux"], gain, rtol=1e-4, atol=1e-7)


def test_injection(table):
    blank = np.zeros((SIDE, SIDE))
    given = {"wcs": make_wcs(), "beam": PIXEL * FWHM * u.arcsec, "unit": "mJy/beam", "frequency": 1.4 * u.GHz,
             "noise": 0.1 * u.mJy, "seed": 3}
    field = skygal.inject(blank, table=table, primary_beam="25 m", **given)
    gain = airy(field.truth["ra"], field.truth["dec"], 1.4e9, 25)
    np.testing.assert_allclose(field.truth["flux_apparent"] / field.truth["flux"], gain, rtol=1e-4, atol=1e-7)
    simulated = simulate(table, primary_beam="25 m")
    np.testing.assert_allclose(field.image, simulated.model * 1e3, rtol=1e-5, atol=1e-6)
    assert "AiryPrimaryBeam" in field.provenance["configuration"]["primary_beam"]
    plain = skygal.inject(blank, table=table, **given)
    np.testing.assert_array_equal(plain.truth["flux"], plain.truth["flux_apparent"])
    with pytest.raises(FileNotFoundError, match="primary beam 'dish' is neither a file nor a dish's diameter"):
        skygal.inject(blank, table=table, primary_beam="dish", **given)


@pytest.mark.parametrize(("beam", "error", "message"), [
    ("wide", FileNotFoundError, "primary beam 'wide' is neither a file nor a dish's diameter, such as '25 m'"),
    ("25", u.UnitConversionError, "dish diameter must be in units convertible to m, got 25.0"),
    (-1 * u.m, ValueError, "dish diameter must be positive, got -1.0 m"),
    (25, TypeError, "primary_beam must be a PrimaryBeam, a Quantity .* got int"),
    (10 * u.km, ValueError, "primary_beam must be wider than a pixel, 6 arcsec, got a FWHM of 4.5"),
])
def test_bad_input(table, beam, error, message):
    with pytest.raises(error, match=message):
        simulate(table, primary_beam=beam)
