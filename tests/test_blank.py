"""Images with a constant where they have nothing: taken as blank, said, and left as they are."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from scipy import ndimage

import skygal
from skygal.observation.blank import blank_pixels, mirrored
from skygal.observation.local_rms import local_rms

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")

N, RMS = 300, 1e-4
#: what images have where they have nothing
SINGLE = np.finfo(np.float32)
CONSTANTS = [0.0, -0.0, -1.0, -999.0, -9999.0, -32768.0, 999.0, 9999.0, 1e20, 1e30, -1e30, float(SINGLE.min),
             float(SINGLE.max), float(SINGLE.tiny)]
ROWS, COLUMNS = np.mgrid[:N, :N]
PLACES = {
    "border": (ROWS < 40) | (ROWS >= N - 40) | (COLUMNS < 40) | (COLUMNS >= N - 40),
    "thin border": (ROWS < 2) | (ROWS >= N - 2) | (COLUMNS < 2) | (COLUMNS >= N - 2),
    "outside of a circle": np.hypot(ROWS - 150, COLUMNS - 150) > 120,
    "half": COLUMNS < 150,
    "nearly all": COLUMNS < 285,
    "dead pixels": np.random.default_rng(1).random((N, N)) < 0.01,
}


@functools.cache
def noise(fwhm=3.0, seed=0):
    """Return noise as a beam makes it."""
    data = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(N, N)), fwhm / 2.355, mode="wrap")
    data *= RMS / data.std()
    data.flags.writeable = False
    return data


@functools.cache
def sources(n, width):
    """Return the brightness of Gaussians."""
    rng, out = np.random.default_rng(5), np.zeros((N, N))
    for x, y in rng.uniform(0, N, (n, 2)):
        out += rng.pareto(1) * 1e-3 * np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / 2 / width**2)
    return out


def sky(data, n=40, width=1.3):
    """Return an image with sources."""
    return data + sources(n, width)


def found(data, fwhm=3.0, **more):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* has one value in many pixels")
        return blank_pixels(data, fwhm, **more)


@pytest.mark.parametrize("value", CONSTANTS)
@pytest.mark.parametrize("place", PLACES)
def test_constants_are_blank(value, place):
    for fwhm in (2.0, 8.0):
        for base in (noise(fwhm), sky(noise(fwhm), width=fwhm / 2.355)):
            data = np.where(PLACES[place], value, base).astype(np.float32)
            with pytest.warns(UserWarning, match="image has one value in many pixels: .* %\\) of all; taken as blank"):
                blank = blank_pixels(data, fwhm)
            np.testing.assert_array_equal(blank, PLACES[place])


def test_what_is_said():
    data = np.where(PLACES["half"], -999, noise()).astype(np.float32)
    data[:, 200:230] = 0
    data[0, 299] = np.nan
    said = r"mosaic has one value in many pixels: -999 \(50 %\), 0 \(10 %\) of all; taken as blank"
    with pytest.warns(UserWarning, match=said):
        blank = blank_pixels(data, 3.0, name="mosaic")
    np.testing.assert_array_equal(blank, PLACES["half"] | (COLUMNS >= 200) & (COLUMNS < 230) | np.isnan(data))


@pytest.mark.parametrize("kind", ["16 bits", "64 bits", "steps", "offset", "positive", "smeared", "card", "zeros"])
def test_other_forms(kind):
    data, place, card = noise(), PLACES["border"], None
    if kind == "16 bits":
        data = np.where(place, -32768, np.rint(data / 1e-5)).astype(np.int16)
    elif kind == "64 bits":
        data = np.where(place, np.finfo(float).min, data)
    elif kind == "steps":
        # zero is a step as well: those in the noise stay
        data = np.where(place, 0, np.rint(data / 2e-5) * 2e-5).astype(np.float32)
    elif kind in ("offset", "positive"):
        data = np.where(place, 0, data + 20 * RMS * (1 if kind == "offset" else 0.5)).astype(np.float32)
    elif kind == "smeared":
        # what a regridding makes of a border
        data = np.where(place, 1e20, data)
        data[40:43, 40:-40] = 1e20 * np.linspace(0.8, 0.1, 3)[:, None]
        place = data > 1e10
    elif kind == "card":
        place = PLACES["dead pixels"] & (ROWS % 10 == 0)
        data, card = np.where(place, 7e-5, data), 7e-5
    else:
        data = np.where(place, -999.0, 0.0)
    if kind == "steps":
        assert (found(data) == place).mean() > 0.999
    else:
        np.testing.assert_array_equal(found(data, card=card), place)


@pytest.mark.parametrize("kind", [
    "noise", "sources", "zeros", "one value", "model", "smooth model", "deltas", "Gaussians", "discs", "clipped",
    "clipped sources", "threshold", "steps", "coarse steps", "16 bits"])
def test_what_is_not_blank(kind):
    data = noise()
    at = (slice(50, None, 50), slice(50, None, 50))
    if kind in ("sources", "clipped sources", "threshold"):
        data = sky(data)
    elif "steps" in kind:
        data = np.rint(data / (4e-4 if "coarse" in kind else 2e-5))
    elif kind == "16 bits":
        data = np.rint(data / 1e-5).astype(np.int16)
    elif kind != "noise" and kind != "clipped":
        data = np.zeros((N, N)) + (5.0 if kind == "one value" else 0)
    if "model" in kind:
        data = sky(data)
        data = np.where(data > (1e-6 if kind == "model" else 0), data, 0)
    elif kind in ("deltas", "Gaussians", "discs"):
        data[at] = 1
        if kind == "Gaussians":
            data = ndimage.gaussian_filter(data, 1.5)
        if kind == "discs":
            data = ndimage.grey_dilation(data, 15) + 7.0 * (np.hypot(ROWS - 20, COLUMNS - 20) < 10)
    elif "clipped" in kind:
        data = np.maximum(data, 0)
    elif kind == "threshold":
        data = np.where(data > 3 * RMS, data, 0)
    for dtype in (np.float32, float) if data.dtype.kind == "f" else (data.dtype,):
        assert not blank_pixels(data.astype(dtype), 3.0).any()


@pytest.mark.parametrize("side", [1, 2, 8, 30])
@pytest.mark.parametrize("step", [1e-3, 0.1, 1.0, 5.0])
def test_small_images_of_few_values(side, step):
    for seed in range(20):
        data = np.random.default_rng(seed).normal(0, 1, (side, side)) / step
        assert not blank_pixels(np.rint(data).astype(np.int16), 3.0).any()
        assert not blank_pixels(data.astype(np.float16), 3.0).any()


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 8.0])
def test_the_noise_of_a_clipped_image(fwhm):
    whole = noise(fwhm)
    everywhere = np.ones((N, N), bool)
    assert mirrored(whole, everywhere) is whole
    model = np.where(sky(whole * 0, 300) > 1e-6, sky(whole * 0, 300), 0)
    assert mirrored(model, everywhere) is model
    clipped = np.maximum(sky(whole), 0)
    made = mirrored(clipped, everywhere)
    np.testing.assert_array_equal(made[clipped > 0], clipped[clipped > 0])
    assert np.median(local_rms(made, fwhm)) == pytest.approx(RMS, rel=0.08)


def grid(unit="Jy/beam", **more):
    return fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 210.0, "CRVAL2": 54.0, "CRPIX1": 151.0,
                        "CRPIX2": 151.0, "CDELT1": -5e-4, "CDELT2": 5e-4, "BUNIT": unit, "RESTFRQ": 1.4e9,
                        "BMAJ": 1.5e-3, "BMIN": 1.5e-3, "BPA": 0.0, **more})


def inject(image, **more):
    return skygal.inject(image, 30, **{"seed": 2, "las": (5 * u.arcsec, 20 * u.arcsec), **more})


@pytest.mark.parametrize("value", [0.0, -999.0, 1e20, -1e30, float(np.finfo(np.float32).min), np.nan])
def test_injection_is_that_into_an_image_with_nan(tmp_path, value):
    place = PLACES["half"]
    fits.PrimaryHDU(np.where(place, value, noise()).astype(np.float32), grid()).writeto(tmp_path / "image.fits")
    if np.isnan(value):
        field = inject(tmp_path / "image.fits")
    else:
        with pytest.warns(UserWarning, match=r"image '.*image.fits', HDU 0 has one value in many pixels: .*\(50 %\)"):
            field = inject(tmp_path / "image.fits")
    plain = inject(np.where(place, np.nan, noise()).astype(np.float32), wcs=grid())
    for name in ("ra", "dec", "flux", "local_rms", "snr"):
        np.testing.assert_array_equal(field.truth[name], plain.truth[name])
    x, y = (np.rint(np.asarray(field.truth[name])).astype(int) for name in "xy")
    assert not place[y, x].any() and (field.truth["local_rms"] > 0).all() and np.isfinite(field.truth["snr"]).all()
    np.testing.assert_allclose(field.truth["local_rms"].value, RMS, rtol=0.15)
    written = fits.getdata(field.write(tmp_path / "out") / "field.fits")
    np.testing.assert_array_equal(written[place], np.float32(value) if np.isfinite(value) else np.nan)
    np.testing.assert_array_equal(written[~place], plain.image[~place])
    assert not field.segmentation[place].any()


def test_masked_integers_and_more_than_a_float32_holds():
    place = PLACES["half"]
    plain = inject(np.where(place, np.nan, noise()), wcs=grid())
    with pytest.warns(UserWarning, match=r"-1.797693e\+308 \(50 %\)"):
        field = inject(np.where(place, np.finfo(float).min, noise()), wcs=grid())
    np.testing.assert_array_equal(field.image, plain.image)
    masked = inject(np.ma.array(np.where(place, 7.0, noise()), mask=place), wcs=grid())
    np.testing.assert_array_equal(masked.image, plain.image)
    steps = np.where(place, -32768, np.rint(noise() / 1e-6)).astype(np.int16)
    with pytest.warns(UserWarning, match=r"-32768 \(50 %\)"):
        digital = inject(steps, wcs=grid("uJy/beam"))
    np.testing.assert_allclose(digital.truth["local_rms"].value, RMS, rtol=0.15)
    assert (digital.image[place] == -32768).all()


def test_a_blank_card_of_an_image_of_floats(tmp_path):
    place = PLACES["dead pixels"] & (ROWS % 10 == 0)
    fits.PrimaryHDU(np.where(place, 7e-5, noise()).astype(np.float32), grid()).writeto(tmp_path / "image.fits")
    # the library writes no such card
    raw = (tmp_path / "image.fits").read_bytes()
    card, other = b"BLANK   =               7.E-05", b"RESTFRQ =         1400000000.0"
    (tmp_path / "image.fits").write_bytes(raw.replace(other, card))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        field = inject(tmp_path / "image.fits", frequency=1.4 * u.GHz)
    assert any("has one value in many pixels: 7e-05" in str(each.message) for each in caught)
    assert not field.segmentation[place].any()


def test_an_image_without_noise():
    for data in (np.zeros((N, N)), sky(np.zeros((N, N)), 5)):
        data = np.where(data > 1e-6, data, 0)
        said = "image shows no noise in 100 % of its pixels, where local_rms is 0 and snr infinite: give noise"
        with pytest.warns(UserWarning, match=said):
            field = inject(data, wcs=grid())
        assert len(field.truth) == 30 and field.truth["flux"].min() >= 1e-3 * u.Jy
        given = inject(data, wcs=grid(), noise=0.1 * u.mJy)
        assert np.isfinite(given.truth["snr"]).all()
    clipped = inject(np.maximum(noise(), 0), wcs=grid())
    np.testing.assert_allclose(clipped.truth["local_rms"].value, RMS, rtol=0.15)
    x, y = (np.rint(np.asarray(clipped.truth[name])).astype(int) for name in "xy")
    assert 0.2 < (noise()[y, x] < 0).mean() < 0.8
