"""The noise of an image, estimated: against noise of a known rms, and as astropy and photutils see it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.stats import SigmaClip, mad_std
from photutils.background import Background2D, MADStdBackgroundRMS
from scipy import ndimage

import skygal
from skygal.observation.local_rms import local_rms

BEAM = 3.0      # pixels


def correlated(shape, fwhm=BEAM, seed=0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), fwhm / 2.3548, mode="wrap")
    return noise / noise.std()


def sources(shape, fwhm, peak, seed, n=80):
    """Return points, a quarter of them up to four times as wide as the beam, with peaks from ``peak`` on."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:shape[0], :shape[1]]
    out = np.zeros(shape)
    for _ in range(n):
        s = fwhm / 2.3548 * (rng.uniform(1, 4) if rng.random() < 0.25 else 1)
        top, left = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        part = np.s_[max(int(top - 5 * s), 0):int(top + 5 * s) + 1, max(int(left - 5 * s), 0):int(left + 5 * s) + 1]
        height = min(peak * (1 + rng.pareto(1.0)), 300 * peak)
        out[part] += height * np.exp(-((x[part] - left)**2 + (y[part] - top)**2) / (2 * s**2))
    return out


def maps(shape):
    """Return maps of the rms that are known by formula, some of them blank in part."""
    y, x = (k / (n - 1) for k, n in zip(np.mgrid[:shape[0], :shape[1]], shape, strict=True))
    r2 = ((x - 0.5)**2 + (y - 0.5)**2) / 0.25
    corrected = np.exp(np.log(5) * r2)
    return {
        "flat": np.ones(shape),
        "gradient": 1 + 2 * x,
        "steep": 0.5 + 5 * x,
        "by a factor of ten": 10**y,
        "corrected for a primary beam": np.exp(np.log(3) * r2),
        "corrected and cut off": np.where(r2 < 1, corrected, np.nan),
        "half blank": np.where(x > 0.55, np.nan, 1 + 2 * x),
        "blank corners and a hole": np.where((x + y < 0.4) | (r2 < 0.05), np.nan, 1 + x + y),
    }


def near_border(known, width):
    """Return which pixels are within ``width`` of blank ones or of the image's border."""
    return ndimage.distance_transform_edt(np.pad(known, 1))[1:-1, 1:-1] <= width


@pytest.mark.parametrize("crowded", [False, True], ids=["noise", "with sources"])
@pytest.mark.parametrize("name", maps((8, 8)))
def test_error_is_what_the_docs_say(name, crowded):
    shape = (360, 420)      # 120 x 140 beams
    true = maps(shape)[name]
    known = np.isfinite(true)
    border = known & near_border(known, 3 * BEAM)
    errors = []
    for seed in range(3):
        data = true * correlated(shape, seed=seed) + 3.0
        if crowded:
            data += sources(shape, BEAM, 5 * np.nanmedian(true), seed)
        found = local_rms(data, BEAM)
        np.testing.assert_array_equal(np.isnan(found), ~known)
        errors.append(np.log(found / true))
    errors = np.array(errors)
    for part, median, most in ((known, 0.04, 0.08), (border, 0.045, 0.11)):
        assert abs(np.median(errors[:, part])) < median
        assert np.median(np.abs(errors[:, part])) < median
        assert np.quantile(np.abs(errors[:, part]), 0.95) < most
    assert np.quantile(np.abs(errors[:, known]), 0.99) < 0.15


def test_border_of_a_mosaic_and_of_a_gradient_is_followed():
    # what boxes of 20 beams made of these: 0.78 of the rms at one border, 1.45 times at the other
    shape = (384, 384)
    ramp = 1 + 5.5 * np.linspace(0, 1, shape[1])[None] * np.ones(shape)
    for true, edge in ((maps(shape)["corrected for a primary beam"], np.s_[:, -9:]), (ramp, np.s_[:, :9])):
        ratio = [np.median((local_rms(true * correlated(shape, seed=seed), BEAM) / true)[edge]) for seed in range(4)]
        assert np.mean(ratio) == pytest.approx(1, abs=0.03)
        assert np.max(np.abs(np.log(ratio))) < 0.08


@pytest.mark.parametrize("fwhm", [1.5, 3.0, 7.3])
def test_any_beam(fwhm):
    shape = tuple(int(90 * fwhm) for _ in range(2))
    true = 1 + np.linspace(0, 1, shape[1])[None] * np.ones(shape)
    error = np.log(local_rms(1e-5 * true * correlated(shape, fwhm, seed=2), fwhm) / (1e-5 * true))
    assert np.median(np.abs(error)) < 0.05 and np.quantile(np.abs(error), 0.95) < 0.12


def test_a_step_is_smeared_over_a_dozen_beams_and_no_more():
    shape = (360, 480)
    true = np.where(np.arange(shape[1]) > 200, 2.0, 1.0) * np.ones(shape)
    error = np.array([np.abs(np.log(local_rms(true * correlated(shape, seed=s), BEAM) / true)) for s in range(3)])
    far = np.abs(np.arange(shape[1]) - 200.5) > 12 * BEAM
    assert np.median(error[..., far]) < 0.06 and np.quantile(error[..., far], 0.9) < 0.15


def test_as_others_see_it():
    shape = (400, 400)
    data = 2e-4 * correlated(shape, seed=5)
    found = local_rms(data, BEAM)
    assert np.median(found) == pytest.approx(mad_std(data), rel=0.03)
    sky = data + sources(shape, BEAM, 1e-3, 1)
    theirs = Background2D(sky, 60, sigma_clip=SigmaClip(3.0), bkg_rms_estimator=MADStdBackgroundRMS()).background_rms
    # photutils has boxes of 20 beams, each with an error of some 5 %
    np.testing.assert_allclose(local_rms(sky, BEAM)[60:-60, 60:-60], theirs[60:-60, 60:-60], rtol=0.25)
    assert np.median(local_rms(sky, BEAM)) == pytest.approx(np.median(theirs), rel=0.04)


def test_units_offsets_and_orientation_do_not_matter():
    data = maps((200, 260))["gradient"] * correlated((200, 260), seed=1)
    found = local_rms(data, BEAM)
    np.testing.assert_allclose(local_rms(1e-6 * data, BEAM), 1e-6 * found, rtol=1e-4)
    np.testing.assert_allclose(local_rms(data - 20, BEAM), found, rtol=1e-4)
    np.testing.assert_allclose(local_rms(-data, BEAM), found, rtol=0.02)
    np.testing.assert_allclose(local_rms(data.T.copy(), BEAM), found.T, rtol=1e-4)
    infinite = np.where(np.arange(260) < 30, np.inf, data)
    blank = np.where(np.arange(260) < 30, np.nan, data)
    np.testing.assert_array_equal(local_rms(infinite, BEAM), local_rms(blank, BEAM))


@pytest.mark.parametrize("shape", [(1, 60), (3, 3), (12, 12), (20, 500), (400, 9)])
def test_images_smaller_than_a_cell(shape):
    data = np.random.default_rng(3).normal(0, 2.0, shape)
    found = local_rms(data, 5.0)
    assert found.shape == shape and np.isfinite(found).all()
    expected = 4 / np.sqrt(data.size / 25)      # four times the error of what few beams there are
    np.testing.assert_allclose(found, 2.0, rtol=max(0.3, min(expected, 0.9)))


def test_nothing_to_see():
    assert np.isnan(local_rms(np.full((40, 50), np.nan), BEAM)).all()
    assert (local_rms(np.zeros((80, 90)), BEAM) == 0).all()
    one = np.full((40, 50), np.nan)
    one[7, 8] = 1.0
    assert local_rms(one, BEAM)[7, 8] == 0 and np.isnan(np.delete(local_rms(one, BEAM).ravel(), 7 * 50 + 8)).all()


def test_threads_do_not_matter():
    code = ("import numpy, hashlib, skygal.observation.local_rms as m; rng = numpy.random.default_rng(0); "
            "data = rng.standard_normal((600, 640)) * numpy.linspace(1, 3, 640); "
            "print(hashlib.sha256(m.local_rms(data, 3.0).tobytes()).hexdigest())")
    names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
    found = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                            env={**os.environ, **dict.fromkeys(names, str(threads))}).stdout for threads in (1, 2, 3)]
    assert found[0] == found[1] == found[2] and found[0].strip()


def test_truth_of_an_injection_follows():
    shape = (360, 360)
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", shape, 1.8 * u.arcsec)
    true = 1e-4 * maps(shape)["corrected for a primary beam"]
    field = skygal.inject(true * correlated(shape, seed=7), 40, wcs=wcs, beam=1.8 * BEAM * u.arcsec, unit="Jy/beam",
                          frequency=1.4 * u.GHz, seed=1, las=(6 * u.arcsec, 20 * u.arcsec), flux=5 * u.mJy)
    x, y = (np.rint(np.asarray(field.truth[k])).astype(int) for k in "xy")
    error = np.log(field.truth["local_rms"].to_value(u.Jy / u.beam) / true[y, x])
    assert np.median(np.abs(error)) < 0.05 and np.abs(error).max() < 0.15
