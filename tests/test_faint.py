"""Faint sources in bulk: drawn, checked, and in an image with truth."""

import numpy as np
import pytest
from astropy import units as u
from astropy.modeling.models import Gaussian2D
from astropy.table import QTable
from photutils.aperture import CircularAperture, aperture_photometry

import skygal
from skygal.population import Constant, check_faint, read_counts, sample_faint

PIXEL = 1.8 * u.arcsec
AREA = np.pi / (4 * np.log(2)) * 9


def make_wcs(size=300):
    return skygal.make_wcs("12h00m00s +30d00m00s", size, PIXEL)


def make_table(n=400, seed=0, size=300):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["point", "gaussian", "exponential"], n)
    major = np.where(kind == "point", 0, rng.uniform(1, 8, n))
    return QTable({"x": rng.uniform(-10, size + 10, n), "y": rng.uniform(-10, size + 10, n),
                   "flux": rng.uniform(0.1, 3, n) * u.mJy, "kind": kind, "b_maj": major * u.arcsec,
                   "b_min": rng.uniform(0.3, 1, n) * major * u.arcsec, "pa": rng.uniform(0, 180, n) * u.deg})


def simulate(table, n=0, size=300, **options):
    given = {"survey": "FIRST", "noise": False, "las": (20 * u.arcsec, 60 * u.arcsec), "seed": 1, **options}
    return skygal.simulate_field(make_wcs(size), n, faint=table, **given)


def dirty_beam():
    y, x = np.mgrid[-25:26, -25:26]
    r = np.hypot(x, y)
    psf = np.exp(-(r**2) / 5) + 0.04 * np.cos(r) * np.exp(-r / 8)
    return psf / psf.max()


@pytest.mark.parametrize("options", [{}, {"psf": dirty_beam()}, {"primary_beam": 200 * u.m}])
def test_image_truth_and_chunks_agree(options):
    field = simulate(make_table(), 20, **options)
    truth = field.truth
    assert len(truth) == 420 and len(np.unique(truth["source_id"])) == 420
    area = options["psf"].sum() if "psf" in options else AREA
    assert field.model.sum(dtype=float) / area == pytest.approx(truth["flux_in_image"].sum().value, rel=1e-5)
    lazy = simulate(make_table(), 20, chunks=(150, 130), **options).compute()
    for name in ("model", "segmentation"):
        np.testing.assert_array_equal(getattr(lazy, name), getattr(field, name), err_msg=name)
    for name in truth.colnames:
        np.testing.assert_array_equal(np.asarray(truth[name]), np.asarray(lazy.truth[name]), err_msg=name)
    outside = (truth["x"] < -20) | (truth["x"] > 320) | (truth["y"] < -20) | (truth["y"] > 320)
    assert not truth["flux_in_image"][outside].value.any()
    inside = field.segmentation[field.segmentation > 0]
    assert np.isin(inside, truth["source_id"]).all()


def test_a_point_peaks_at_its_flux_and_a_gaussian_is_a_wider_beam():
    table = QTable({"x": [100.3, 200.0], "y": [99.6, 150.25], "flux": [2, 3] * u.mJy, "kind": ["point", "gaussian"],
                    "b_maj": [0, 9.0] * u.arcsec, "b_min": [0, 4.0] * u.arcsec, "pa": [0, 30] * u.deg})
    field = simulate(table)
    y, x = np.mgrid[:300, :300]
    expected = np.zeros((300, 300))
    for x0, y0, flux, (major, minor) in ((100.3, 99.6, 2e-3, (5.4, 5.4)),
                                         (200.0, 150.25, 3e-3, np.hypot(5.4, [9.0, 4.0]))):
        # position angles are from north, up, through east, left
        sigma = np.array([major, minor]) / 1.8 / np.sqrt(8 * np.log(2))
        peak = flux * 5.4**2 / (major * minor)
        expected += Gaussian2D(peak, x0, y0, *sigma, theta=np.radians(90 + 30))(x, y)
    # north turns by 0.01 deg over the image
    np.testing.assert_allclose(field.model, expected, atol=1e-4 * 3e-3, rtol=0)
    assert field.truth["flux_apparent"].to_value(u.mJy) == pytest.approx([2, 3], rel=1e-4)
    assert list(field.truth["morphology"]) == ["point", "gaussian"]
    assert field.truth["b_maj"].to_value(u.arcsec) == pytest.approx([0, 9])


def test_aperture_flux_and_half_light_of_a_disc():
    table = QTable({"x": [150.2], "y": [149.7], "flux": [5] * u.mJy, "kind": ["exponential"], "b_maj": [9.0] * u.arcsec,
                    "b_min": [9.0] * u.arcsec})
    field = simulate(table)
    image = field.model.astype(float)
    found = [aperture_photometry(image, CircularAperture((150.2, 149.7), r))["aperture_sum"][0] / AREA
             for r in (120, 1.678 * 9.0 / 1.8)]
    assert found[0] == pytest.approx(5e-3, rel=2e-4)
    # the beam takes a little of the flux out of the circle that holds half of it
    assert 0.46 < found[1] / 5e-3 < 0.5


def test_numbers_go_on_after_those_of_the_galaxies():
    own = make_table(3)
    own["source_id"] = [100, 300, 200]
    assert list(simulate(own, 2).truth["source_id"]) == [1, 2, 100, 300, 200]
    own["source_id"] = [1, 2, 7]
    assert list(simulate(own, 2).truth["source_id"]) == [1, 2, 3, 4, 9]


def test_blends_with_galaxies_and_among_each_other():
    galaxy = QTable({"x": [60.0], "y": [60.0], "flux": [0.1] * u.Jy, "las": [40] * u.arcsec, "pa": [0] * u.deg})
    faint = QTable({"x": [60.0, 200.0, 202.0, 250.0], "y": [63.0, 200.0, 201.0, 30.0], "flux": [1, 1, 2, 1] * u.mJy,
                    "kind": ["point"] * 4})
    field = skygal.simulate_field(make_wcs(), table=galaxy, faint=faint, survey="FIRST", noise=False, seed=1)
    assert list(field.truth["blended"]) == [True, True, True, True, False]
    # at each pixel the brightest counts
    assert field.segmentation[201, 202] == field.truth["source_id"][3]


def test_colours_at_several_frequencies():
    table = make_table(50)
    table["spectral_index"], table["curvature"] = np.linspace(-1, 0.5, 50), np.linspace(0, -0.2, 50)
    low, high = skygal.simulate_fields(make_wcs(), 0, frequency=[1, 2] * u.GHz, faint=table, beam=5.4 * u.arcsec,
                                       seed=1)
    expected = 2 ** (table["spectral_index"] + table["curvature"] * np.log(2))
    np.testing.assert_allclose(high.truth["flux"] / low.truth["flux"], expected, rtol=1e-4)


def test_injection():
    image = np.zeros((300, 300), np.float32)
    image[:, :50] = np.nan
    field = skygal.inject(image, 0, faint=make_table(100), wcs=make_wcs(), beam=5.4 * u.arcsec, unit="Jy/beam",
                          frequency=1.4 * u.GHz, noise=0.1 * u.mJy, seed=1)
    seen = np.nansum(field.image, dtype=float) / AREA
    assert seen == pytest.approx(field.truth["flux_in_image"].sum().value, rel=1e-5)
    assert not field.segmentation[:, :50].any() and np.isnan(field.image[:, :50]).all()


def test_population():
    wcs = make_wcs(2048)
    faint = sample_faint(wcs, n=20_000, frequency=1.4 * u.GHz, seed=3)
    assert set(faint["kind"]) == {"point", "gaussian", "exponential"}
    # at 0.1 mJy jets power a quarter of the sources
    at = faint[abs(np.log10(faint["flux"].to_value(u.mJy)) + 1) < 0.1]
    assert np.mean(at["kind"] != "exponential") == pytest.approx(0.25, abs=0.03)
    disc, spread = (faint[faint["kind"] == kind] for kind in ("exponential", "gaussian"))
    # the radius that holds half of the light is 1.678 scale lengths; a Gaussian that looks like the disc is 2.43 wide
    fwhm = 2.43 * 1.678 * disc["b_maj"].to_value(u.arcsec)
    assert np.median(fwhm) == pytest.approx(0.3, rel=0.03) and fwhm.std() == pytest.approx(0.3, rel=0.1)
    assert np.median(spread["b_maj"].to_value(u.arcsec)) == pytest.approx(0.25, rel=0.06)
    assert not faint["b_maj"][faint["kind"] == "point"].value.any()
    # compact cores are flat, all others steep
    assert np.mean(faint["spectral_index"][faint["kind"] == "point"]) == pytest.approx(-0.1, abs=0.03)
    assert np.mean(disc["spectral_index"]) == pytest.approx(-0.72, abs=0.01)
    assert np.isnan(faint["redshift"]).all()
    ratio = (disc["b_min"] / disc["b_maj"]).value
    assert 0.2 <= ratio.min() and ratio.max() <= 1
    # random inclinations: the cosine is uniform
    cosine = np.sqrt((ratio**2 - 0.04) / 0.96)
    assert np.percentile(cosine, [10, 50, 90]) == pytest.approx([0.1, 0.5, 0.9], abs=0.02)
    assert (faint["flux"] <= 1 * u.mJy).all()
    again = sample_faint(wcs, n=100, frequency=1.4 * u.GHz, seed=3)
    for name in ("ra", "flux", "kind", "b_maj", "spectral_index"):
        np.testing.assert_array_equal(np.asarray(again[name]), np.asarray(faint[name][:100]))
    assert check_faint(faint, wcs).colnames[:4] == ["source_id", "ra", "dec", "flux"]
    drawn = sample_faint(wcs, frequency=1.4 * u.GHz, flux=(100 * u.uJy, 1 * u.mJy), seed=1)
    # Hopkins et al. 2003 expect about 800 a square degree between these limits
    assert len(drawn) == pytest.approx(800 * (2048 * 1.8 / 3600) ** 2, rel=0.35)


def test_counts_are_those_of_the_sky():
    from skygal.population import Sky
    from skygal.seeds import Seeds
    wcs = make_wcs(2048)
    flux = (5 * u.uJy, 40 * u.uJy)
    faint = sample_faint(wcs, frequency=1.4 * u.GHz, flux=flux, seed=1)
    sky = Sky.read().sample(wcs, seeds=Seeds(2), frequency=1.4 * u.GHz, flux=flux)
    assert abs(len(faint) - len(sky)) < 5 * np.sqrt(len(faint) + len(sky))
    edges = np.geomspace(5, 40, 6) * 1e-6
    a, b = (np.histogram(one["flux"].to_value(u.Jy), edges)[0] for one in (faint, sky))
    assert (np.abs(a - b) < 5 * np.sqrt(a + b)).all()
    # by default from 20 uJy at 1.4 GHz, wherever it is looked
    low = sample_faint(wcs, n=3000, frequency=350 * u.MHz, seed=1)["flux"].to_value(u.uJy)
    assert 20 * 4**0.7 <= low.min() < 20 * 4**0.7 * 1.01


def test_the_mix_follows_the_flux_at_1400_mhz():
    """Of bright sources jets power nearly all, of faint ones nearly none, at any frequency."""
    wcs = make_wcs(2048)
    for frequency, scale in ((1.4 * u.GHz, 1.0), (144 * u.MHz, (144 / 1400) ** -0.7)):
        for flux, share in ((0.3, 0.5), (1.0, 1 / 1.3), (0.02, 1 / 16)):
            found = sample_faint(wcs, n=4000, frequency=frequency, flux=Constant(flux * scale * u.mJy), seed=5)
            jets = found["kind"] != "exponential"
            assert np.mean(jets) == pytest.approx(share, abs=0.03)
            assert np.mean(found["kind"][jets] == "point") == pytest.approx(0.39, abs=0.1)


def test_a_million_rows_with_ten_bad_ones():
    wcs = make_wcs(64)
    n = 1_000_000
    table = QTable({"ra": np.full(n, 180.0) * u.deg, "dec": np.full(n, 30.0) * u.deg, "flux": np.ones(n) * u.mJy,
                    "kind": np.full(n, "point")})
    bad = np.sort(np.random.default_rng(1).choice(n, 10, replace=False))
    table["flux"][bad] = np.nan
    with pytest.raises(ValueError, match="positive, finite flux, got 10 bad rows of 1000000") as error:
        check_faint(table, wcs)
    assert all(str(row) in str(error.value) for row in bad)


@pytest.mark.parametrize(("change", "message"), [
    ({"kind": "disc"}, "kind one of point, gaussian, exponential, got 3 bad rows"),
    ({"b_maj": -1 * u.arcsec}, "positive, finite b_maj of what is no point"),
    ({"b_min": 50 * u.arcsec}, "b_min above 0 and at most b_maj of what is no point"),
    ({"source_id": 7}, "source_id without duplicates, got 3 bad rows"),
    ({"source_id": 0.5}, "whole, positive source_id"),
    ({"flux": 1 * u.deg}, "table column flux must be in units convertible to Jy"),
    ({"x": np.nan}, "finite x, got 3 bad rows"),
    ({"redshift": -1.0}, "redshift positive"),
    ({"pa": np.inf * u.deg}, "finite pa"),
    ({"kind": None}, "faint must have the columns flux, kind, ra and dec .or x and y., missing kind"),
    ({"b_min": None}, "faint must have the columns b_maj and b_min"),
])
def test_bad_tables(change, message):
    table = make_table(3)
    table["kind"] = "gaussian"
    table["b_maj"], table["b_min"] = 3 * u.arcsec, 2 * u.arcsec
    for name, value in change.items():
        if name in table.colnames:
            table.remove_column(name)
        if value is None:
            continue
        table[name] = [value] * 3 if isinstance(value, str) else np.ones(3) * value
    with pytest.raises(ValueError, match=message):
        check_faint(table, make_wcs())


def test_the_sky_is_not_counted_twice(tmp_path):
    """Galaxies and faint sources together are as many as the counts say, and meet at one flux."""
    wcs = make_wcs(320)
    faint = sample_faint(wcs, frequency=1.4 * u.GHz, flux=(0.1 * u.mJy, 0.4 * u.mJy), seed=1)
    assert faint.meta == {"COUNTSTO": 4e-4}
    given = {"noise": 20 * u.uJy / u.beam, "beam": 6 * u.arcsec, "las": 3 * u.arcsec, "seed": 1}
    field = skygal.simulate_field(wcs, faint=faint, **given)
    galaxies = field.truth["fr_class"] != "none"
    flux = field.truth["flux_requested"]
    assert 0.4 * u.mJy <= flux[galaxies].min() < 0.45 * u.mJy and flux[~galaxies].max() <= 0.4 * u.mJy
    area = (320 * 1.8 / 3600) ** 2
    expected = read_counts().number(0.1 * u.mJy).to_value(1 / u.deg**2) * area
    assert len(flux) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert field.provenance["configuration"]["flux"] == 0.4 * u.mJy
    # the table keeps its end in a file
    for name in ("faint.fits", "faint.ecsv"):
        faint.write(tmp_path / name)
        again = skygal.simulate_field(wcs, faint=tmp_path / name, **given)
        np.testing.assert_array_equal(again.truth["flux_requested"], flux)
    injected = skygal.inject(field.image, faint=faint, wcs=wcs, beam=6 * u.arcsec, unit="Jy/beam",
                             frequency=1.4 * u.GHz, las=3 * u.arcsec, seed=1)
    assert injected.truth["flux_requested"][injected.truth["fr_class"] != "none"].min() >= 0.4 * u.mJy
    with pytest.warns(UserWarning, match="flux starts at 200 uJy, and faint has the same source counts up to 400 uJy: "
                                         "sources between are counted twice"):
        skygal.simulate_field(wcs, faint=faint, flux=0.2 * u.mJy, **given)
    # whoever gives a number, or a table of no counts, says so himself
    skygal.simulate_field(wcs, 3, faint=faint, flux=0.2 * u.mJy, **given)
    one = sample_faint(wcs, n=5, frequency=1.4 * u.GHz, flux=Constant(5 * u.mJy), seed=1)
    assert not one.meta
    assert skygal.simulate_field(wcs, 300, faint=one, **given).truth["flux_requested"].min() < 25 * u.uJy


@pytest.mark.parametrize("end", ["many", -1.0, np.nan])
def test_a_bad_end_of_the_counts(end):
    table = make_table(3)
    table.meta["COUNTSTO"] = end
    with pytest.raises(ValueError, match="faint must have a positive flux in Jy as COUNTSTO in its meta, got "):
        skygal.simulate_field(make_wcs(), 0, faint=table, survey="FIRST")


def test_number_needed():
    with pytest.raises(ValueError, match="n must be given where flux is a distribution"):
        sample_faint(make_wcs(), frequency=1.4 * u.GHz, flux=Constant(1 * u.mJy))
