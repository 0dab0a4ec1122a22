"""PSF images: resampled to any grid, read with their grids, split into a Gaussian and the rest."""

import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.centroids import centroid_com
from scipy.signal import fftconvolve

import skygal
from skygal.observation.beam import TargetBeam
from skygal.observation.observe import make_frame
from skygal.observation.psf import centred_psf, read_psf_image, resample_psf

#: baselines of a small array, in cycles per pixel, and the weight that each is given
UV = np.random.default_rng(4).normal(scale=0.07, size=(12, 2))
WEIGHT = np.random.default_rng(5).uniform(0.5, 1.5, 12)


def dirty(x, y, width=14.0):
    """A dirty beam with sidelobes, tapered so that it ends: exact at any place."""
    waves = np.cos(2 * np.pi * (x[..., None] * UV[:, 0] + y[..., None] * UV[:, 1])) @ WEIGHT / WEIGHT.sum()
    return (0.7 * waves + 0.3) * np.exp(-(x**2 + y**2) / (2 * width**2))


def grid(ny, nx, x0, y0):
    y, x = np.mgrid[:ny, :nx].astype(float)
    return x - x0, y - y0


@settings(max_examples=15, deadline=None)
@given(st.floats(0.4, 1.25), st.floats(0, 6.28), st.booleans(), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_resampling_is_exact(scale, turn, flip, dx, dy):
    psf = 3.7 * dirty(*grid(170, 181, 90 + dx, 84 + dy))
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(
        [-1 if flip else 1, 1])
    found = resample_psf(psf, matrix)
    ry, rx = (n // 2 for n in found.shape)
    assert found.shape == (2 * ry + 1, 2 * rx + 1) and found[ry, rx] == 1 == found.max()
    x, y = grid(*found.shape, rx, ry)
    own_x, own_y = matrix[0, 0] * x + matrix[0, 1] * y, matrix[1, 0] * x + matrix[1, 1] * y
    np.testing.assert_allclose(found, dirty(own_x, own_y), atol=2e-5)
    # the same area, in pixels of another size
    assert found.sum() * abs(np.linalg.det(matrix)) == pytest.approx(psf.sum() / 3.7, rel=2e-4)


def test_going_to_coarser_pixels_leaves_out_what_they_cannot_carry():
    x, y = grid(161, 161, 80, 80)
    ripple = 0.3 * np.cos(2 * np.pi * 0.4 * x) * np.exp(-(x**2 + y**2) / 600)
    wide = np.exp(-(x**2 + y**2) / 60)
    found = resample_psf(wide + ripple, 2 * np.eye(2))
    # at two of its pixels a pixel, 0.4 cycles would be seen as 0.2 cycles
    expected = resample_psf(wide, 2 * np.eye(2))
    ry, rx = (n // 2 for n in expected.shape)
    np.testing.assert_allclose(found[ry - 30:ry + 31, rx - 30:rx + 31], expected[ry - 30:ry + 31, rx - 30:rx + 31],
                               atol=1e-3)


def write(path, psf, *, scale, turn=0.0, crpix=(91, 85)):
    header = fits.Header()
    names = ["RA---SIN", "DEC--SIN"]
    for axis in (1, 2):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = names[axis - 1], "deg"
        header[f"CRVAL{axis}"], header[f"CRPIX{axis}"] = (150.0, 40.0)[axis - 1], crpix[axis - 1]
        header[f"CDELT{axis}"] = (-scale, scale)[axis - 1] / 3600
    header["PC1_1"] = header["PC2_2"] = np.cos(turn)
    header["PC1_2"], header["PC2_1"] = -np.sin(turn), np.sin(turn)
    for axis, name in ((3, "FREQ"), (4, "STOKES")):
        header[f"CTYPE{axis}"], header[f"CRPIX{axis}"], header[f"CRVAL{axis}"], header[f"CDELT{axis}"] = name, 1, 1, 1
    fits.PrimaryHDU(psf[None, None], header).writeto(path, overwrite=True)


@pytest.mark.parametrize("scale, turn", [(1.0, 0.0), (1.2, 0.7), (2.4, -2.0)])
def test_a_file_with_pixels_of_its_own(tmp_path, scale, turn):
    # the grid of the image has pixels of 2"
    wcs = skygal.make_wcs("2h00m00s -30d00m00s", 256, 2 * u.arcsec)
    write(tmp_path / "psf.fits", dirty(*grid(170, 181, 90, 84)), scale=scale, turn=turn)
    target = make_frame(wcs, (256, 256), psf=tmp_path / "psf.fits").beam
    half = target.psf.shape[0] // 2
    x, y = grid(*target.psf.shape, half, half)
    # by hand: a pixel of the image is 2" west and north; the PSF's pixels are turned against that
    west, north = 2 * x, 2 * y
    matrix = np.linalg.inv(scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]))
    own_x, own_y = matrix[0, 0] * west + matrix[0, 1] * north, matrix[1, 0] * west + matrix[1, 1] * north
    middle = (np.abs(own_x) < 75) & (np.abs(own_y) < 75)
    np.testing.assert_allclose(target.psf[middle], dirty(own_x, own_y)[middle], atol=5e-4)
    assert target.area == pytest.approx(target.psf.sum())
    assert target.area == pytest.approx(dirty(*grid(170, 181, 90, 84)).sum() * scale**2 / 4, rel=1e-3)


def test_a_file_with_the_pixels_of_the_image_is_taken_as_it_is(tmp_path):
    wcs = skygal.make_wcs("2h00m00s -30d00m00s", 256, 2 * u.arcsec)
    psf = dirty(*grid(171, 171, 85, 85))
    write(tmp_path / "psf.fits", psf, scale=2.0 * (1 + 1e-6), crpix=(86, 86))
    found = make_frame(wcs, (256, 256), psf=tmp_path / "psf.fits").beam.psf
    np.testing.assert_array_equal(found, psf / psf.max())


def lobe(shape, y0, x0, major=4.0, minor=3.0, angle=30.0, ripple=0.0):
    """A Gaussian of FWHM 7.2" by 5.4" on pixels of 1.8", with rings about it; its angle is from x towards y."""
    x, y = grid(*shape, x0, y0)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rings = ripple * np.cos(0.7 * np.hypot(x, y)) * np.exp(-(x**2 + y**2) / 81)
    return np.exp(-4 * np.log(2) * (((x * c + y * s) / major) ** 2 + ((y * c - x * s) / minor) ** 2)) + rings


PLACES = QTable({"x": [60.0, 60.3, 140.5], "y": [60.0, 140.7, 100.5], "flux": np.ones(3) * u.Jy,
                 "las": np.full(3, 0.01) * u.arcsec})


def check_places(field):
    """Compare the centroids of points with truth."""
    for row in PLACES:
        x, y = round(row["x"]), round(row["y"])
        cut = field.model[y - 30:y + 31, x - 30:x + 31].astype(float)
        assert np.hypot(*(centroid_com(cut) - 30 + (x - row["x"], y - row["y"]))) < 0.01


@pytest.mark.parametrize(("shape", "place", "form", "ripple"), [
    ((64, 64), (31.5, 31.5), "array", 0), ((64, 64), (31.5, 31.5), "npy", 0), ((64, 64), (31.5, 31.5), "fits", 0),
    ((65, 65), (32.3, 31.8), "fits", 0), ((70, 64), (33.5, 32), "fits", 0), ((64, 64), (31.5, 31.5), "array", 0.05)])
def test_a_peak_between_pixels(tmp_path, shape, place, form, ripple):
    """On the pixels of the image: sources are where truth says, and the header has the main lobe."""
    psf = beam = lobe(shape, *place, ripple=ripple)
    if form == "npy":
        beam = tmp_path / "psf.npy"
        np.save(beam, psf)
    if form == "fits":
        beam = tmp_path / "psf.fits"
        write(beam, psf, scale=1.8, crpix=(place[1] + 1, place[0] + 1))
    field = skygal.simulate_field(skygal.make_wcs("150 2", 200, 1.8 * u.arcsec), table=PLACES, psf=beam, seed=1)
    check_places(field)
    # rings make the lobe narrower
    header, error = field.header, 0.03 if ripple else 1e-3
    assert np.array([header["BMAJ"], header["BMIN"]]) * 3600 == pytest.approx([7.2, 5.4], rel=error)
    assert header["BPA"] == pytest.approx(120, abs=1 if ripple else 0.1)


@pytest.mark.parametrize(("turn", "flip", "angle", "crpix"), [
    (0, True, 60, (32.5, 32.5)), (37, False, 157, (1, 1)), (90, False, 30, (32.5, 32.5)),
    (137, True, 103, (32.5, 32.5))])
def test_a_peak_between_the_pixels_of_another_grid(tmp_path, turn, flip, angle, crpix):
    t = np.radians(turn)
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 150.0, "CRVAL2": 2.0,
                          "CDELT1": (1.8 if flip else -1.8) / 3600, "CDELT2": 1.8 / 3600, "CRPIX1": crpix[0],
                          "CRPIX2": crpix[1], "PC1_1": np.cos(t), "PC2_2": np.cos(t), "PC1_2": -np.sin(t),
                          "PC2_1": np.sin(t)})
    fits.PrimaryHDU(lobe((64, 64), 31.5, 31.5), header).writeto(tmp_path / "psf.fits")
    field = skygal.simulate_field(skygal.make_wcs("150 2", 200, 1.8 * u.arcsec), table=PLACES,
                                  psf=tmp_path / "psf.fits", seed=1)
    check_places(field)
    assert np.array([field.header["BMAJ"], field.header["BMIN"]]) * 3600 == pytest.approx([7.2, 5.4], rel=1e-3)
    assert field.header["BPA"] == pytest.approx(angle, abs=0.1)


@settings(max_examples=25, deadline=None)
@given(st.floats(2.6, 20), st.floats(1, 1.8), st.floats(0, 180), st.floats(-1, 1), st.floats(-1, 1))
def test_a_shift_keeps_the_lobe(width, ratio, angle, dy, dx):
    side = int(8 * width * ratio) + 20
    found = centred_psf(lobe((side, side), (side - 1) / 2 + dy, (side - 1) / 2 + dx, width * ratio, width, angle))
    assert found.max() == pytest.approx(1, abs=0.01)
    assert np.hypot(*(centroid_com(found) - found.shape[0] // 2)) < 0.01
    assert found.sum() == pytest.approx(np.pi / (4 * np.log(2)) * width**2 * ratio, rel=0.01)


def test_a_wide_lobe_that_the_border_cuts():
    found = centred_psf(lobe((140, 150), 69.8, 74.6, 54, 30, 20))
    assert np.hypot(*(centroid_com(found) - found.shape[0] // 2)) < 0.01


def test_what_a_header_says_of_the_grid(tmp_path):
    psf = dirty(*grid(31, 33, 16, 15))
    np.save(tmp_path / "psf.npy", psf)
    assert read_psf_image(tmp_path / "psf.npy").affine is None
    fits.PrimaryHDU(psf).writeto(tmp_path / "bare.fits")
    assert read_psf_image(tmp_path / "bare.fits").affine is None
    header = fits.Header({"CDELT1": -0.5, "CDELT2": 0.25, "CUNIT1": "arcsec", "CUNIT2": "arcsec"})
    fits.PrimaryHDU(psf, header).writeto(tmp_path / "plain.fits")
    np.testing.assert_allclose(read_psf_image(tmp_path / "plain.fits").affine, [[-2, 0], [0, 4]])
    write(tmp_path / "sky.fits", psf, scale=0.5, crpix=(17, 16))
    np.testing.assert_allclose(read_psf_image(tmp_path / "sky.fits").affine, [[-2, 0], [0, 2]], atol=1e-6)
    with pytest.raises(FileNotFoundError, match="psf file '.*none.fits' does not exist"):
        read_psf_image(tmp_path / "none.fits")


@pytest.mark.parametrize("cards", [{"CDELT1": 0.0}, {"CUNIT1": "HERTZ"}, {"CTYPE1": "RA---XXX", "CTYPE2": "DEC--XXX"},
                                   {"CTYPE2": "DEC"}, {"CDELT1": "1E-3"}, {"CDELT2": True},
                                   {"CTYPE1": "L", "CTYPE2": "M", "CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": "1E-3"}])
def test_a_grid_that_cannot_be_read(tmp_path, cards):
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -1e-3, "CDELT2": 1e-3, **cards})
    fits.PrimaryHDU(lobe((31, 31), 15, 15), header).writeto(tmp_path / "psf.fits")
    with pytest.raises(ValueError, match="psf file '.*psf.fits' has a grid that cannot be read: .*") as caught:
        read_psf_image(tmp_path / "psf.fits")
    assert "\n" not in str(caught.value) and "wcslib" not in str(caught.value)


def test_drawn_gaussian_and_remainder_make_the_psf():
    psf = dirty(*grid(161, 161, 80, 80))
    target = TargetBeam.from_psf(psf, np.diag([-1.0, 1.0]))
    rest = target.remainder
    assert all(n % 2 for n in rest.shape)
    x, y = grid(101, 101, 50, 50)
    (a, b), (_, c) = np.linalg.inv(target.covariance)
    drawn = np.exp(-0.5 * (a * x**2 + 2 * b * x * y + c * y**2)) * np.sqrt(a * c - b**2) / (2 * np.pi)
    made = fftconvolve(drawn, rest, mode="full")
    half = made.shape[0] // 2
    np.testing.assert_allclose(made[half - 80:half + 81, half - 80:half + 81], psf, atol=2e-4)
    assert rest.sum() == pytest.approx(target.area, rel=1e-6)


def test_the_remainder_is_made_once_and_not_sent_along():
    target = TargetBeam.from_psf(dirty(*grid(161, 161, 80, 80)), np.diag([-1.0, 1.0]))
    plain = len(pickle.dumps(target))
    rest = target.remainder
    assert target.remainder is rest
    sent = pickle.dumps(target)
    assert len(sent) == plain
    np.testing.assert_array_equal(pickle.loads(sent).remainder, rest)


def ring(total):
    """A PSF of unit peak with a ring about it that makes it sum to ``total`` of the lobe's own sum."""
    x, y = grid(81, 81, 40, 40)
    lobe, about = np.exp(-(x**2 + y**2) / 8), np.exp(-(np.hypot(x, y) - 20) ** 2 / 18)
    return lobe - about * (1 - total) * lobe.sum() / about.sum()


def test_a_dirty_beam_of_small_area_is_a_beam():
    target = TargetBeam.from_psf(ring(0.01), np.diag([-1.0, 1.0]))
    assert 0 < target.area < 0.3


@pytest.mark.parametrize("psf, error, message", [
    (np.where(ring(1) > 0.9, np.nan, ring(1)), ValueError, "psf must be finite, got 1 pixels that are not"),
    (ring(0.0), ValueError, "psf must have a positive peak and sum, got 1 and .*: fluxes in Jy/beam need"),
    (ring(-0.2), ValueError, "psf must have a positive peak and sum"),
    (-ring(1), ValueError, "psf must have a positive peak and sum"),
    (np.zeros((9, 9)), ValueError, "psf must have a positive peak and sum, got 0 and 0"),
    (ring(1) + 0j, TypeError, "psf must be a two-dimensional array of numbers"),
    (np.ones(9), TypeError, r"psf must be a two-dimensional array of numbers, got shape \(9,\)"),
    (ring(1)[38:], ValueError, "psf must reach at least 3 pixels beyond its peak on each side, got 2")])
def test_bad_psfs(psf, error, message):
    with pytest.raises(error, match=message):
        centred_psf(psf)
    if "reach" not in message:
        with pytest.raises(error, match=message):
            resample_psf(psf, np.eye(2) * 0.7)


def test_a_sum_that_is_lost_in_the_cut():
    # what makes the sum positive lies beyond the square that is kept about the peak
    wide = np.pad(ring(-0.1), ((0, 0), (0, 200)))
    wide[:, -50:] = 0.5
    with pytest.raises(ValueError, match="psf must have a positive peak and sum, got 1 and -"):
        centred_psf(wide)


@pytest.mark.parametrize("matrix, message", [
    (np.full((2, 2), np.nan), "matrix must be finite and invertible"),
    (np.ones((2, 2)), "matrix must be finite and invertible"),
    (np.eye(2) * 0.001, "psf must be at most 8192 of the image's pixels wide, got 81")])
def test_bad_grids(matrix, message):
    with pytest.raises(ValueError, match=message):
        resample_psf(ring(1), matrix)


def test_a_peak_on_a_plateau_is_none():
    flat = np.zeros((41, 41))
    flat[5:36, 5:36] = 1
    with pytest.raises(ValueError, match="psf must have a main lobe"):
        TargetBeam.from_psf(flat, np.diag([-1.0, 1.0]))
