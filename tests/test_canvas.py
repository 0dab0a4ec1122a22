"""Adding sources: fluxes, borders, blank areas, PSF images, segmentation."""

from dataclasses import dataclass

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import FWHM, Blobs
from photutils.aperture import CircularAperture, aperture_photometry
from radio_beam import Beam
from scipy.signal import fftconvolve

from skygal.observation.beam import TargetBeam, ellipse_axes, ellipse_covariance, native_covariance
from skygal.observation.frame import Frame
from skygal.rendering.beam_matching import matching_kernel
from skygal.rendering.canvas import Canvas
from skygal.rendering.drawing import Stamps, draw_stamps
from skygal.rendering.measured import Measured
from skygal.rendering.neighbours import find_neighbours

NATIVE = native_covariance(3.0)
PIXEL = np.diag([-1.0, 1.0]) / 1.8
BEAM = TargetBeam.from_beam(Beam(6.3 * u.arcsec, 5.4 * u.arcsec, 20 * u.deg), PIXEL)
Y, X = np.mgrid[:64, :64] - 31.5


@dataclass
class One:
    """A source that is to be drawn."""

    stamp: np.ndarray
    position: tuple
    affine: np.ndarray
    flux: float = 1.0
    rms: float = 0.0
    label: int = 1


def source(position, *, flux=1.0, zoom=0.5, turn=0.3, label=1, rms=0.0, seed=0, blobs=None):
    blobs = Blobs.random(np.random.default_rng(seed), length=12) if blobs is None else blobs
    affine = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return One(blobs.on_grid(X, Y), position, affine, flux, rms, label)


def draw(sources, shape=(128, 120), beam=BEAM, valid=None):
    """Return the canvas that sources were added to, and what was measured."""
    stamps = np.stack([one.stamp for one in sources]).astype(np.float32)
    column = {name: np.array([getattr(one, name) for one in sources], float)
              for name in ("position", "affine", "flux", "rms")}
    labels = np.array([one.label for one in sources])
    many = Stamps(stamps, np.full((len(sources), 2), 31.5), column["position"], column["affine"], column["flux"])
    canvas = Canvas((0, shape[0], 0, shape[1]), shape, beam, valid)
    measured = Measured(Frame(None, shape, beam, None, None, valid), column["flux"], column["rms"], labels)
    areas = np.full(len(sources), beam.area if beam.psf is None else 1)
    for drawn in draw_stamps(many, beam, NATIVE, shape):
        measured.add(drawn, 0, areas)
        canvas.add(drawn, measured.limits, labels)
    return canvas, measured


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 1.0), st.floats(0, 6.3), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(0, 999))
def test_aperture_flux(zoom, turn, dx, dy, seed):
    canvas, placed = draw([source((60 + dx, 64 + dy), flux=0.37, zoom=zoom, turn=turn, seed=seed)])
    apertures = CircularAperture((60 + dx, 64 + dy), 50)
    found = aperture_photometry(canvas.model().astype(float), apertures)["aperture_sum"][0] / BEAM.area
    assert found == pytest.approx(0.37, rel=1e-4)
    assert placed.flux == pytest.approx(0.37, rel=1e-4)
    assert not placed.beam_limited


def test_unresolved_source_peaks_at_its_flux():
    point = Blobs(np.ones(1), np.zeros((1, 2)), NATIVE[None])
    canvas, placed = draw([source((60, 64), flux=0.02, zoom=0.05, blobs=point)])
    assert placed.peak_flux == pytest.approx(0.02, rel=1e-3)
    assert canvas.model()[64, 60] == pytest.approx(0.02, rel=1e-3)


def test_border_takes_its_part_and_no_more():
    whole, _ = draw([source((60, 64))], shape=(128, 120))
    cut, placed = draw([source((20, 64))], shape=(128, 120))
    np.testing.assert_allclose(cut.model()[:, :60], whole.model()[:, 40:100], atol=1e-7)
    assert not placed.edge
    canvas, placed = draw([source((2, 64))])
    assert placed.edge
    assert placed.flux == pytest.approx(1, rel=1e-4)
    assert 0.2 < placed.flux_in_image < 0.9
    assert placed.flux_in_image == pytest.approx(canvas.model().sum(dtype=float) / BEAM.area, rel=1e-5)
    np.testing.assert_allclose(canvas.model()[:, :60], whole.model()[:, 58:118], atol=1e-7)


def test_outside_and_nowhere():
    canvas, placed = draw([source((500, 64)), source((np.nan, np.nan), label=2)])
    assert canvas.model().max() == 0
    assert (placed.flux_in_image == 0).all() and placed.edge.all() and (placed.bbox == -1).all()


def test_a_source_far_larger_than_the_image_is_drawn_within_it():
    # as near the pole of a cylindrical grid, where a few arcsec are all of its width
    blobs = Blobs.random(np.random.default_rng(0), length=12)
    stretched = np.array([[900.0, 0], [0, 1.2]])
    stamp = blobs.on_grid(X, Y)
    canvas, placed = draw([One(stamp, (60.0, 64), stretched, 2.0)])
    assert placed.edge and placed.beam_limited and placed.flux == 2
    assert placed.flux_in_image == pytest.approx(canvas.model().sum(dtype=float) / BEAM.area, rel=1e-5)
    assert 0 < placed.flux_in_image < 2
    mapped = blobs.mapped(stretched, np.zeros((2, 2)))
    y, x = np.mgrid[:128, :120]
    expected = 2 * BEAM.area * mapped.on_grid(x - 60, y - 64)
    # across the grid the beam is added, along it the source is as flat as it was
    assert canvas.model().sum(dtype=float) == pytest.approx(expected.sum(), rel=0.02)
    away, placed = draw([One(stamp, (9e5, 64), stretched, 2.0)])
    assert placed.flux_in_image == 0 and away.model().max() == 0


def test_blank_pixels_do_not_count():
    valid = np.ones((128, 120), bool)
    valid[:, :60] = False
    canvas, placed = draw([source((60, 64))], valid=valid)
    expected = canvas.model()[valid].sum(dtype=float) / BEAM.area
    assert placed.flux_in_image == pytest.approx(expected, rel=1e-5)
    assert placed.edge and placed.bbox[0, 0] == 60


def test_company_does_not_change_a_bit():
    many = [source((20 + 7 * k, 30 + 5 * k), seed=k, label=k + 1, zoom=0.2 + 0.05 * k) for k in range(12)]
    _, a = draw(many)
    for k in (0, 3, 11):
        _, alone = draw([many[k]])
        for name in ("flux", "flux_in_image", "peak_flux", "limits"):
            assert getattr(alone, name)[0] == getattr(a, name)[k]


def test_windows_are_cut_from_the_same_pixels():
    many = [source((10 + 9 * k, 5 + 10 * k), seed=k, label=k + 1, zoom=0.2 + 0.08 * k) for k in range(12)]
    for beam in (BEAM, TargetBeam.from_psf(lumpy_psf(), PIXEL)):
        whole, measured = draw(many, beam=beam)
        stamps = Stamps(np.stack([one.stamp for one in many]).astype(np.float32), np.full((12, 2), 31.5),
                        np.array([one.position for one in many], float), np.stack([one.affine for one in many]),
                        np.ones(12))
        for window in ((0, 60, 0, 50), (60, 128, 50, 120), (41, 99, 37, 38)):
            part = Canvas(window, (128, 120), beam)
            for drawn in draw_stamps(stamps, beam, NATIVE, (128, 120), window=part.reach):
                part.add(drawn, measured.limits, np.arange(1, 13))
            y0, y1, x0, x1 = window
            np.testing.assert_array_equal(part.segmentation, whole.segmentation[y0:y1, x0:x1])
            np.testing.assert_array_equal(part.model(), whole.model()[y0:y1, x0:x1])


def test_segmentation_bbox_and_blends():
    canvas, placed = draw([source((30, 30), label=7), source((90, 95), label=8), source((94, 97), label=9, flux=3.0)])
    assert set(np.unique(canvas.segmentation)) == {0, 7, 8, 9}
    found = find_neighbours([placed.footprints], (128, 120))
    assert found.labels[found.blended].tolist() == [8, 9]
    assert found.share[0] == 0 and 0.5 < found.share[1] < 1 and 0 < found.share[2] < 0.5
    y, x = np.nonzero(canvas.segmentation == 7)
    assert tuple(placed.bbox[0]) == (x.min(), x.max(), y.min(), y.max())
    faint, _ = draw([source((30, 30), label=7, rms=0.2 * placed.peak_flux[0])])
    assert 0 < np.count_nonzero(faint.segmentation) < y.size
    # over the noise, or over half of its peak where all of it is under the noise
    assert (faint.model()[faint.segmentation == 7] > 0.2 * placed.peak_flux[0]).all()
    buried, one = draw([source((30, 30), label=7, rms=1e9)])
    assert (buried.model()[buried.segmentation == 7] > 0.5 * one.peak_flux[0]).all()


def test_beam_limited_is_flagged_and_not_sharpened():
    canvas, placed = draw([source((60, 64), zoom=1.9)])
    assert placed.beam_limited
    assert placed.flux == pytest.approx(1, rel=1e-4)
    assert canvas.model().min() > -2e-3 * placed.peak_flux
    kernel, limited = matching_kernel(np.eye(2) * 1.5, BEAM.covariance, NATIVE)
    assert limited and np.linalg.eigvalsh(kernel)[0] >= -1e-12


def lumpy_psf(half=30):
    y, x = np.mgrid[-half:half + 1, -half:half + 1]
    r = np.hypot(x, y)
    return np.exp(-(x**2 / 7.0 + y**2 / 5.0 + x * y / 9.0)) - 0.05 * np.exp(-(r - 9) ** 2 / 5) \
        + 0.03 * np.exp(-((x - 18) ** 2 + (y + 12) ** 2) / 8)


def test_psf_image_against_a_convolution():
    psf = lumpy_psf()
    target = TargetBeam.from_psf(2.5 * psf, PIXEL)              # any peak will do
    assert target.area == pytest.approx(psf.sum() / psf.max())
    shape = (128, 120)
    one = source((58.3, 66.6), flux=0.5, zoom=0.4)
    canvas, placed = draw([one], shape, target)
    # the oracle: the source without its own beam, finely sampled, under the PSF as a sum of pixels
    blobs = Blobs.random(np.random.default_rng(0), length=12)
    bare = blobs.mapped(one.affine, -one.affine @ NATIVE @ one.affine.T + np.eye(2) * 0.8)
    y, x = np.mgrid[:shape[0], :shape[1]]
    wide = bare.on_grid(x - 58.3, y - 66.6)
    frequency = np.add.outer(np.fft.fftfreq(61) ** 2, np.fft.fftfreq(61) ** 2)
    gain = np.exp(2 * np.pi**2 * 0.8 * frequency) * (frequency < 0.16)
    sharp = np.fft.fftshift(np.fft.ifft2(np.fft.fft2(np.fft.ifftshift(psf / psf.max())) * gain).real)
    expected = 0.5 * fftconvolve(wide, sharp, mode="same")
    assert abs(canvas.model() - expected).max() < 5e-3 * expected.max()
    assert placed.peak_flux == pytest.approx(canvas.model().max(), rel=1e-4)
    assert placed.flux == pytest.approx(0.5, rel=1e-4)
    assert placed.flux_in_image == pytest.approx(canvas.model().sum(dtype=float) / target.area, rel=1e-5)


def test_psf_image_at_the_border():
    target = TargetBeam.from_psf(lumpy_psf(), PIXEL)
    canvas, placed = draw([source((3, 5), zoom=0.4), source((100, 119), label=2)], (128, 120), target)
    total = placed.flux_in_image.sum()
    assert total == pytest.approx(canvas.model().sum(dtype=float) / target.area, rel=1e-5)


@pytest.mark.parametrize(("psf", "message"), [
    (np.ones(5), r"psf must be a two-dimensional array of numbers, got shape \(5,\)"),
    (np.full((9, 9), np.nan), "psf must be finite, got 81 pixels that are not"),
    (-lumpy_psf(), "psf must have a positive peak and sum"),
    (np.pad(np.ones((1, 1)), 8), "psf must have a main lobe at least 2 pixels wide"),
    (lumpy_psf()[28:, :], "psf must reach at least 3 pixels beyond its peak on each side, got 2"),
    (np.zeros((9, 9)), "psf must have a positive peak and sum, got 0 and 0"),
])
def test_bad_psf(psf, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TargetBeam.from_psf(psf, PIXEL)


def test_narrow_beam_warns():
    with pytest.warns(UserWarning, match=r"beam should be at least 2 pixels wide, got 1\.50 pixels"):
        TargetBeam.from_beam(Beam(2.7 * u.arcsec), PIXEL)
    y, x = np.mgrid[-9:10, -9:10]
    with pytest.warns(UserWarning, match=r"beam should be at least 2 pixels wide, got 1\.80 pixels"):
        TargetBeam.from_psf(np.exp(-4 * np.log(2) * (x**2 + y**2) / 1.8**2), PIXEL)


@given(st.floats(1, 50), st.floats(0.1, 1), st.floats(0, 3.141))
def test_ellipse_round_trip(major, ratio, pa):
    a, b, p = ellipse_axes(ellipse_covariance(major, ratio * major, pa))
    assert a == pytest.approx(major) and b == pytest.approx(ratio * major, rel=1e-6)
    if ratio < 0.99:
        assert abs((p - pa + np.pi / 2) % np.pi - np.pi / 2) < 1e-5
    assert pytest.approx(2.35482, rel=1e-5) == FWHM
