"""Fields with beams that vary and with PSF images, held to Gaussians and sums written here."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from oracles import angle_between, image_moments
from radio_beam import Beam
from scipy import ndimage

import skygal

SIDE, PIXEL, STEP = 700, 2.0, 140
FWHM = np.sqrt(8 * np.log(2))


def make_wcs(turn=0.0):
    wcs = skygal.make_wcs("10h00m00s +40d00m00s", SIDE, PIXEL * u.arcsec)
    t = np.radians(turn)
    wcs.wcs.pc = [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]
    wcs.wcs.set()
    return wcs


def beam_at(ra, dec):
    """Grows to the north, gets rounder to the east, and turns."""
    return ((12 + 8 * (dec - 40)) * u.arcsec, (7 + 2 * (ra - 150)) * u.arcsec, (35 + 40 * (dec - 40)) * u.deg)


def grid(wcs):
    """Sources on pixels, all of 1 Jy and no size to speak of."""
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(5) * STEP + 70, np.arange(5) * STEP + 70))
    return QTable({"x": x, "y": y, "flux": np.full(25, 1.0) * u.Jy, "las": np.full(25, 0.05) * u.arcsec})


@pytest.mark.parametrize("turn", [0, 50])
def test_an_unresolved_source_is_the_local_beam(turn):
    wcs = make_wcs(turn)
    table = grid(wcs)
    field = skygal.simulate_field(wcs, table=table, beam=beam_at, seed=1)
    truth, areas = field.truth, []
    for row in truth:
        major, minor, pa = (q.value for q in beam_at(row["ra"].value, row["dec"].value))
        x, y = round(row["x"]), round(row["y"])
        cut = field.model[y - 40:y + 41, x - 40:x + 41].astype(float)
        assert cut[40, 40] == pytest.approx(1, rel=1e-4) and cut.max() == cut[40, 40]
        assert row["peak_flux"].value == pytest.approx(1, rel=1e-4)
        total, middle, moments = image_moments(cut)
        assert np.abs(middle - 40).max() < 1e-3
        # by hand, onto axes that run east and north
        t = np.radians(turn)
        flip = np.array([[-1, 0], [0, 1]]) @ np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        east_north = flip @ moments @ flip.T * PIXEL**2
        small, large = np.sqrt(np.linalg.eigvalsh(east_north)) * FWHM
        assert (large, small) == pytest.approx((major, minor), rel=3e-3)
        axis = np.linalg.eigh(east_north)[1][:, 1]
        # north is up to 0.15 degrees off the grid's own, and the beam is interpolated over 128 pixels
        assert angle_between(np.degrees(np.arctan2(axis[0], axis[1])), pa) < 0.6
        areas.append(np.pi / (4 * np.log(2)) * major * minor / PIXEL**2)
        assert total / areas[-1] == pytest.approx(row["flux_in_image"].value, rel=3e-3)
        assert row["flux"].value == pytest.approx(1, rel=1e-4)
    assert np.ptp(areas) > 0.2 * np.mean(areas)


@pytest.mark.parametrize("kind", ["function", "table", "file", "beams"])
def test_ways_to_give_one(kind, tmp_path):
    wcs = make_wcs()
    ra, dec = (a.ravel() for a in np.meshgrid(np.linspace(149.6, 150.4, 9), np.linspace(39.7, 40.3, 9)))
    major, minor, pa = beam_at(ra, dec)
    table = Table({"ra": ra, "dec": dec, "bmaj": major.value, "bmin": minor.value, "bpa": pa.value})
    table["bmaj"].unit = table["bmin"].unit = "arcsec"
    table.write(tmp_path / "beams.ecsv")
    given = {"function": beam_at, "table": table, "file": tmp_path / "beams.ecsv",
             "beams": lambda a, d: Beam(*beam_at(a, d))}[kind]
    found = skygal.simulate_field(wcs, table=grid(wcs), beam=given, seed=1)
    expected = skygal.simulate_field(wcs, table=grid(wcs), beam=beam_at, seed=1)
    # covariances between the places of a table are not quite those of the axes
    np.testing.assert_allclose(found.model, expected.model, atol=2e-3)
    assert (found.header["BMAJ"], found.header["BMIN"]) == pytest.approx((12 / 3600, 7 / 3600), rel=1e-2)


ARGUMENTS = {"n_sources": 25, "seed": 3, "noise": 0.1 * u.mJy / u.beam, "flux": (3 * u.mJy, 1 * u.Jy),
             "las": (20 * u.arcsec, 70 * u.arcsec)}


def test_chunks_of_a_varying_beam_give_the_same_bits():
    whole = skygal.simulate_field(make_wcs(), beam=beam_at, **ARGUMENTS)
    lazy = skygal.simulate_field(make_wcs(), beam=beam_at, chunks=(300, 400), **ARGUMENTS).compute()
    for name in ("image", "model", "segmentation"):
        np.testing.assert_array_equal(getattr(lazy, name), getattr(whole, name), name)
    for name in whole.truth.colnames:
        np.testing.assert_array_equal(np.asarray(lazy.truth[name]), np.asarray(whole.truth[name]), name)


def test_noise_has_the_local_beam_and_the_same_rms_everywhere():
    def beam(ra, dec):
        return (10 + 10 * (dec - 40)) * u.arcsec, (10 + 10 * (dec - 40)) * u.arcsec, 0 * ra * u.deg

    field = skygal.simulate_field(skygal.make_wcs("10h +40d", 1400, 2 * u.arcsec), 0, beam=beam, seed=2,
                                  noise=1 * u.mJy / u.beam)
    for rows, width in ((slice(0, 200), 10 - 10 * 1200 / 3600), (slice(1200, 1400), 10 + 10 * 1200 / 3600)):
        noise = field.image[rows].astype(float)
        assert noise.std() == pytest.approx(1e-3, rel=0.04)
        # correlation at a lag of two pixels, of a Gaussian wider by the root of two
        found = np.mean(noise[:, 2:] * noise[:, :-2]) / noise.var()
        assert found == pytest.approx(np.exp(-4 * np.log(2) * (2 * PIXEL) ** 2 / (2 * width**2)), abs=0.03)


def psf_values(x, y):
    """A dirty beam in arcsec west and north: a lobe, its ring of negative sidelobes, a spot."""
    major, minor, t = 9 / FWHM, 7 / FWHM, np.radians(30)
    # the major axis is 30 degrees from north to east, which is -x
    along, across = -x * np.sin(t) + y * np.cos(t), x * np.cos(t) + y * np.sin(t)
    lobe = np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))
    ring = -0.012 * np.exp(-0.5 * ((np.hypot(x, y) - 30) / 5) ** 2)
    return lobe + ring + 0.05 * np.exp(-0.5 * ((x - 40) ** 2 + (y + 25) ** 2) / 16)


def write_psf(path, pixel, side, *, turn=0.0, flip=False):
    """Sample it on a grid of its own."""
    y, x = np.mgrid[-(side // 2):side // 2 + 1, -(side // 2):side // 2 + 1] * pixel
    wcs = skygal.make_wcs("0h00m00s +0d00m00s", x.shape, pixel * u.arcsec)
    t = np.radians(turn)
    matrix = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    if flip:
        wcs.wcs.cdelt = [pixel / 3600, pixel / 3600]
    wcs.wcs.pc = matrix
    west, north = np.einsum("ij,j...->i...", matrix, np.stack([x, y]))
    fits.PrimaryHDU(psf_values(-west if flip else west, north), wcs.to_header()).writeto(path)


@pytest.mark.parametrize("grid_of_psf", [{"pixel": 2.0, "side": 101}, {"pixel": 1.3, "side": 181},
                                         {"pixel": 0.9, "side": 241, "turn": 25},
                                         {"pixel": 1.3, "side": 181, "flip": True}], ids=str)
def test_psf_image_of_any_grid(tmp_path, grid_of_psf):
    write_psf(tmp_path / "psf.fits", **grid_of_psf)
    table = QTable({"x": [100.0], "y": [90.0], "flux": [2.0] * u.Jy, "las": [0.05] * u.arcsec})
    field = skygal.simulate_field(make_wcs(), table=table, shape=(200, 200), psf=tmp_path / "psf.fits", seed=1)
    y, x = np.mgrid[:200, :200]
    expected = 2 * psf_values((x - 100) * PIXEL, (y - 90) * PIXEL)
    np.testing.assert_allclose(field.model, expected, atol=2e-3)
    assert field.truth["peak_flux"][0].value == pytest.approx(2, rel=1e-3)
    # the area is the sum of all of it
    area = expected.sum() / 2
    assert field.truth["flux_in_image"][0].value == pytest.approx(2, rel=3e-3)
    assert field.model.sum(dtype=float) / area == pytest.approx(2, rel=3e-3)
    assert field.truth["flux"][0].value == pytest.approx(2, rel=1e-4)


def test_psf_image_against_direct_convolution(tmp_path):
    """The image with a beam of three Gaussians is that with one of them, three times over."""
    shifts, weights = [(0, 0), (34, -26), (-40, 32)], [1, 0.1, -0.06]
    pixel = 1.25
    y, x = np.mgrid[-160:161, -160:161] * pixel
    t = np.radians(20)
    psf = np.zeros(x.shape)
    header = skygal.make_wcs("0h +0d", psf.shape, pixel * u.arcsec).to_header()
    for k, ((dx, dy), w) in enumerate(zip(shifts, weights, strict=True)):
        e, n = -(x - dx * PIXEL), y - dy * PIXEL
        along, across = e * np.sin(t) + n * np.cos(t), e * np.cos(t) - n * np.sin(t)
        psf += w * np.exp(-4 * np.log(2) * (along**2 / 400 + across**2 / 256))
        fits.PrimaryHDU(psf, header).writeto(tmp_path / f"{k}.fits")
    table = QTable({"x": [200.3, 300.7, 630.2], "y": [210.6, 420.1, 655.9], "flux": [1, 0.6, 0.8] * u.Jy,
                    "las": [30, 36, 24] * u.arcsec, "pa": [10, 80, 130] * u.deg})
    one, all_ = (skygal.simulate_field(make_wcs(), table=table, psf=tmp_path / f"{k}.fits", seed=4) for k in (0, 2))
    np.testing.assert_allclose(one.truth["zoom"], all_.truth["zoom"], rtol=1e-6)
    expected = sum(w * ndimage.shift(one.model.astype(float), (dy, dx), order=0, mode="constant", prefilter=False)
                   for (dx, dy), w in zip(shifts, weights, strict=True))
    assert np.abs(all_.model - expected).max() < 2e-4 * expected.max()
    area = sum(weights) * np.pi / (4 * np.log(2)) * 320 / PIXEL**2
    assert all_.model.sum(dtype=float) / area == pytest.approx(all_.truth["flux_in_image"].sum().value, rel=1e-4)
    # two are alone, and the third is near the border, beyond which sidelobes take some flux
    assert all_.truth["peak_flux"][2].value == pytest.approx(all_.model[600:, 580:].max(), rel=1e-4)
    np.testing.assert_allclose(all_.truth["flux"].value, [1, 0.6, 0.8], rtol=1e-4)
    assert all_.truth["flux_in_image"][2].value == pytest.approx(expected[560:, 560:].sum() / area, rel=2e-2)


def test_truth_of_sidelobes_against_pixels(tmp_path):
    """Sources alone, one after the other: what truth says of each is in the pixels of its own image."""
    write_psf(tmp_path / "psf.fits", 1.3, 181)
    places = [(100.0, 100.0), (6.3, 60.2), (150.7, 197.5), (-12.0, 90.0)]
    point = QTable({"x": [100.0], "y": [100.0], "flux": [1] * u.Jy, "las": [0.01] * u.arcsec})
    beam = skygal.simulate_field(make_wcs(), table=point, shape=(201, 201), psf=tmp_path / "psf.fits",
                                 seed=2).model.sum(dtype=float)
    for x, y in places:
        table = QTable({"x": [x], "y": [y], "flux": [1.0] * u.Jy, "las": [45] * u.arcsec})
        field = skygal.simulate_field(make_wcs(), table=table, shape=(200, 200), psf=tmp_path / "psf.fits", seed=2)
        row = field.truth[0]
        assert row["flux_in_image"].value == pytest.approx(field.model.sum(dtype=float) / beam, rel=1e-3, abs=1e-4)
        if (x, y) == places[0]:
            assert row["peak_flux"].value == pytest.approx(field.model.max(), rel=1e-4)
            assert row["flux_in_image"].value == pytest.approx(1, rel=1e-3)
        # chunk by chunk, for one that is whole and one at the border
        if (x, y) not in places[:2]:
            continue
        lazy = skygal.simulate_field(make_wcs(), table=table, shape=(200, 200), psf=tmp_path / "psf.fits", seed=2,
                                     chunks=100)
        np.testing.assert_array_equal(lazy.model.compute(), field.model)


def test_injection_with_a_varying_beam_in_any_unit():
    wcs, blank = make_wcs(), np.zeros((SIDE, SIDE))
    given = {"wcs": wcs, "beam": beam_at, "frequency": 1.4 * u.GHz, "seed": 1}
    per_beam = skygal.inject(blank, table=grid(wcs), unit="Jy/beam", noise=1 * u.mJy, **given)
    per_pixel = skygal.inject(blank, table=grid(wcs), unit="Jy/pixel", noise=1 * u.mJy, **given)
    for row in per_pixel.truth:
        x, y = round(row["x"]), round(row["y"])
        cut = slice(y - 40, y + 41), slice(x - 40, x + 41)
        assert per_pixel.model[cut].sum(dtype=float) == pytest.approx(1, rel=3e-3)
        assert per_beam.model[y, x] == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(per_pixel.truth["flux_in_image"], per_beam.truth["flux_in_image"])


def small(tmp_path, data, name="psf.fits"):
    header = skygal.make_wcs("0h +0d", data.shape, 1 * u.arcsec).to_header()
    fits.PrimaryHDU(data, header).writeto(tmp_path / name)
    return tmp_path / name


def test_bad_input(tmp_path):
    wcs = skygal.make_wcs("10h +40d", 64, 2 * u.arcsec)

    def fails(beam, error, message, name="beam"):
        with pytest.raises(error, match=message):
            skygal.simulate_field(wcs, 1, **{name: beam}, seed=1)

    y, x = np.mgrid[-20:21, -20:21]
    good = np.exp(-(x**2 + y**2) / 30)
    holed, none = good.copy(), good - good.mean()
    holed[3, 4] = np.nan
    fails(small(tmp_path, holed, "a.fits"), ValueError, "psf must be finite, got 1 pixels that are not", "psf")
    fails(small(tmp_path, none, "b.fits"), ValueError, "psf must have a positive peak and sum, got .* need a beam with",
          "psf")
    fails(tmp_path / "no.fits", FileNotFoundError, "psf file '.*no.fits' does not exist", "psf")
    fails(tmp_path / "no.ecsv", ValueError, "beam table '.*no.ecsv' cannot be read")
    fails(Table({"ra": [150.0], "dec": [40.0], "bmaj": [5] * u.arcsec, "bpa": [0]}), ValueError,
          "beam table must have the columns ra and dec, or x and y, and bmaj, bmin and bpa, got no bmin")
    fails(lambda ra, dec: 5, TypeError, r"beam, if it is a function of \(ra, dec\), must return a radio_beam.Beam")
    rows = Table({"ra": [150.0] * 3, "dec": [40.0, 40.1, 40.2], "bmaj": [5, 3, 5] * u.arcsec,
                  "bmin": [4, 4, -1] * u.arcsec, "bpa": [0.0, 0.0, 0.0]})
    fails(rows, ValueError, "beam table must be finite with bmaj >= bmin > 0, .*; bad at row 1; row 2")
