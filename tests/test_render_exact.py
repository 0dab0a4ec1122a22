"""Isolated sources: every projection, stamps of the shipped model, other programs, beams that are too narrow."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import PRJ_CODES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import FWHM, TARGETS, Blobs, Errors, distorted, image_moments, projected, waves
from radio_beam import Beam
from render_cases import NATIVE, paint, worst_errors

import skygal
from skygal.morphology.batches import make_stamps
from skygal.morphology.latents import largest_extent, sample_latents
from skygal.observation.beam import TargetBeam, ellipse_covariance
from skygal.rendering.beam_matching import matching_kernel
from skygal.rendering.drawing import Stamps
from skygal.seeds import Seeds
from skygal.wcs import icrs_to_pixel, pixel_affine, pixel_to_icrs

#: sources are drawn this far, in degrees of longitude and latitude, from the reference point
PLACES = [(9.0, 7.0), (25.0, 17.0)]


@pytest.mark.parametrize("away", PLACES)
@pytest.mark.parametrize("code", [code for code in PRJ_CODES if code != "CSC"])
def test_every_projection(code, away):
    k = PRJ_CODES.index(code)
    wcs = projected(code, away, turn=37.0 * k, flip=k % 2 == 1, narrow=(1.0, 1.3, 0.8)[k % 3],
                    names=("GLON", "GLAT") if k % 4 == 3 else ("RA--", "DEC-"))
    assert not worst_errors(wcs, 2, seed=k, reach=16.0).beyond(TARGETS)


@pytest.mark.parametrize("away", PLACES)
def test_the_projection_that_is_known_roughly(away):
    # CSC is a fit in single precision, whose two directions are arcseconds apart: places are taken by the one that the
    # package uses, sky to pixel, and its scale over many pixels
    wcs = projected("CSC", away, scale=1.8, turn=20)
    ra, dec = (np.array([float(a)]) for a in pixel_to_icrs(wcs, 76.0, 80.0))
    found, wide = pixel_affine(wcs, ra, dec)[0], np.empty((2, 2))
    for column, (east, north) in enumerate(((60.0, 0.0), (0.0, 60.0))):
        d_ra, d_dec = east / 3600 / np.cos(np.radians(dec)), north / 3600
        ends = [np.array(icrs_to_pixel(wcs, ra + s * d_ra, dec + s * d_dec))[:, 0] for s in (1, -1)]
        wide[:, column] = (ends[0] - ends[1]) / 120
    assert np.linalg.svd(np.linalg.inv(wide) @ found)[1] == pytest.approx(1, abs=0.03)


def test_a_distorted_grid():
    assert not worst_errors(distorted(), 8, seed=2, reach=20.0).beyond(TARGETS)


def on_image(zoom, turn, shear=0.0):
    """Return the map from stamp to image pixels."""
    c, s = np.cos(turn), np.sin(turn)
    return zoom * np.array([[c, -s], [s, c]]) @ np.array([[1, shear], [0, 1]])


def beam_of(major, minor, pa):
    covariance = ellipse_covariance(major, minor, pa)
    return TargetBeam(covariance, float(2 * np.pi * np.sqrt(np.linalg.det(covariance))), Beam(1 * u.arcsec))


def against_waves(stamp, centre, affine, beam, rng):
    """Return errors of a stamp's image against the integral over its waves, and the image's lowest pixel over its peak.

    Where the stamp is zoomed up, only every second or third pixel is looked at, which is as much as its waves can tell.
    """
    stamp = stamp / stamp.sum(dtype=float)
    rows, columns = np.nonzero(stamp.any(axis=1))[0], np.nonzero(stamp.any(axis=0))[0]
    reach = np.abs(affine) @ np.array([np.abs(columns[[0, -1]] - centre[0]).max(),
                                       np.abs(rows[[0, -1]] - centre[1]).max()])
    kernel, _ = matching_kernel(affine, beam.covariance, NATIVE)
    half = np.ceil(reach + 5 * np.sqrt(np.diagonal(affine @ (kernel + 2 * np.eye(2)) @ affine.T))).astype(int) + 3
    step = max(1, int(np.linalg.svd(affine)[1][-1]))
    half += -half % step
    shape = tuple(int(n) for n in 2 * half[::-1] + 1)
    position = half + rng.uniform(-0.5, 0.5, 2)
    one = Stamps(stamp[None].astype(np.float32), centre[None], position[None], affine[None], np.array([0.7]))
    image, measured = paint(one, beam, shape)
    flux = image.sum(dtype=float) / beam.area / 0.7
    part = image[::step, ::step]
    expected = 0.7 * beam.area / step**2 * waves(stamp, centre, position / step, affine / step, kernel, part.shape)
    return Errors.of(part, expected).worst(Errors(flux=abs(flux - 1))), float(-image.min() / image.max()), measured


@pytest.fixture(scope="module")
def model_stamps():
    """Return stamps of the shipped model, clipped, that are not too long for the oracle."""
    model, n = skygal.load_model(), 128
    plan = sample_latents(model, "prior", np.where(np.arange(n) % 2, "FRI", "FRII"), Seeds(3).keys("latent", n))
    batch = next(iter(make_stamps(model, plan, 3.0)))
    rows, columns = batch.stamps.any(axis=2).sum(axis=1), batch.stamps.any(axis=1).sum(axis=1)
    some = np.flatnonzero((np.maximum(rows, columns) < 60) & (columns > 30))[:4]
    return batch.stamps[some], batch.shapes.centre[some]


@pytest.mark.parametrize(("beam", "lowest"), [("wide", 1e-5), ("equal", 1e-3)])
def test_stamps_of_the_model(model_stamps, beam, lowest):
    rng = np.random.default_rng(5)
    for k, (stamp, centre) in enumerate(zip(*model_stamps, strict=True)):
        zoom = (0.05, 0.3, 1.0, 3.0)[k]
        minor = max(2.2, 3 * zoom * {"wide": 1.4, "equal": 1.01}[beam])
        target = beam_of(minor * rng.uniform(1, 3), minor, rng.uniform(0, np.pi))
        errors, low, measured = against_waves(stamp, centre, on_image(zoom, rng.uniform(0, 6.3)), target, rng)
        assert not errors.beyond(TARGETS) and low < lowest
        assert not measured.beam_limited[0]


def test_stamps_that_are_too_coarse_are_not_sharpened(model_stamps):
    rng = np.random.default_rng(6)
    for k, (stamp, centre) in enumerate(zip(*model_stamps, strict=True)):
        zoom = (0.9, 1.3, 2.0, 3.0)[k]
        target = beam_of(2.7 * zoom, 1.6 * zoom, rng.uniform(0, np.pi))
        errors, low, measured = against_waves(stamp, centre, on_image(zoom, rng.uniform(0, 6.3)), target, rng)
        assert measured.beam_limited[0]
        # no Gaussian smooths the cut edges of the stamp: its waves ring there, a little beyond what is hoped for
        assert not errors.beyond(TARGETS) and low < 2e-3


@example(1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 34)       # a source that a narrower frame would cut at 4 % of its peak
@given(st.floats(0.05, 3), st.floats(0, 6.3), st.floats(-0.5, 0.5), st.floats(1, 3), st.floats(1, 2),
       st.floats(0, 3.1), st.integers(0, 10**6))
@settings(max_examples=10)
def test_any_map_and_beam(zoom, turn, shear, ratio, wider, pa, seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:36, :40]
    stamp = Blobs.random(rng, length=5, width=2).on_grid(x - 19.0, y - 17.4)
    stamp[stamp < 0.003 * stamp.max()] = 0                       # cut, as clipping does, and not by the frame
    assert not (stamp[[0, -1]].any() or stamp[:, [0, -1]].any())
    affine = on_image(zoom, turn, shear)
    widest = np.linalg.svd(affine)[1][0]
    minor = max(2.2, 3 * widest * wider)
    errors, low, measured = against_waves(stamp, np.array([19.3, 17.1]), affine, beam_of(ratio * minor, minor, pa), rng)
    assert not errors.beyond(TARGETS), errors
    assert not measured.beam_limited[0]


def test_stamps_are_sharp_enough_where_any_is():
    """A stamp is to be so large that its zoomed beam is no wider than the image's; if none is, the largest one."""
    model = skygal.load_model()
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 300, 0.5 * u.arcsec)
    beam = Beam(2.4 * u.arcsec, 1.6 * u.arcsec, 20 * u.deg)
    with pytest.warns(UserWarning, match=r"(\d+) of 60 sources have stamps coarser") as caught:
        field = skygal.simulate_field(wcs, 60, beam=beam, seed=4, las=(1 * u.arcsec, 60 * u.arcsec), flux=1 * u.mJy)
    truth = field.truth
    limited = np.asarray(truth["beam_limited"])
    said = [str(w.message) for w in caught if "coarser" in str(w.message)]
    assert len(said) == 1 and said[0].startswith(f"{np.count_nonzero(limited)} of 60 ")
    assert 0 < np.count_nonzero(limited) < 60
    native = np.asarray(truth["zoom"]) * model.beam_fwhm
    # the grid is square and the beam's minor axis is 1.6 arcsec
    assert (native[~limited] <= 1.6 * (1 + 1e-3)).all()
    assert (native[limited] > 1.6).all()
    largest = np.array([largest_extent(model, name) for name in truth["fr_class"]])
    assert np.asarray(truth["extent"])[limited] == pytest.approx(largest[limited])


def test_along_the_one_axis_that_is_too_narrow():
    # 3:1 beam whose minor axis is narrower than the stamp's: matched along the major axis, left alone along the minor
    point = Blobs(np.ones(1), np.zeros((1, 2)), NATIVE[None])
    y, x = np.mgrid[:30, :30] - 14.5
    one = Stamps(point.on_grid(x, y)[None].astype(np.float32), np.full((1, 2), 14.5), np.full((1, 2), 40.2),
                 np.eye(2)[None], np.ones(1))
    image, measured = paint(one, beam_of(6.0, 2.0, 0.0), (81, 81))
    _, _, moments = image_moments(image.astype(float))
    assert measured.beam_limited[0]
    assert FWHM * np.sqrt(np.diagonal(moments)) == pytest.approx([3.0, 6.0], rel=2e-3)
    assert image.sum(dtype=float) == pytest.approx(2 * np.pi * 12 / FWHM**2, rel=1e-4)


def test_as_galsim_draws_it(model_stamps):
    galsim = pytest.importorskip("galsim")
    rng = np.random.default_rng(8)
    for k, (stamp, centre) in enumerate(zip(*model_stamps, strict=True)):
        affine, target = on_image((0.3, 0.5, 0.7, 0.9, 1.1, 1.2)[k], rng.uniform(0, 6.3)), beam_of(5.5, 5.0, 0.4)
        position = 100 + rng.uniform(-0.5, 0.5, 2)
        one = Stamps(stamp[None], centre[None], position[None], affine[None], np.ones(1))
        image, _ = paint(one, target, (201, 201))
        kernel, _ = matching_kernel(affine, target.covariance, NATIVE)
        shift = (np.array(stamp.shape[::-1]) - 1) / 2 - centre
        root = np.linalg.cholesky(affine @ kernel @ affine.T)
        # a band-limited interpolation, as fine as GalSim can
        params = galsim.GSParams(maximum_fft_size=16384, folding_threshold=1e-4, maxk_threshold=1e-5,
                                 kvalue_accuracy=1e-6)
        source = galsim.InterpolatedImage(galsim.Image(stamp, scale=1.0), normalization="flux", gsparams=params,
                                          x_interpolant="lanczos15").shift(*shift).transform(*affine.ravel())
        blur = galsim.Gaussian(sigma=1.0, gsparams=params).transform(*root.ravel()) / abs(np.linalg.det(root))
        whole = galsim.Convolve(source, blur).withFlux(target.area)
        theirs = whole.drawImage(nx=201, ny=201, scale=1.0, method="no_pixel", dtype=float,
                                 center=galsim.PositionD(*(position + 1))).array
        assert abs(image - theirs).max() < 1e-3 * theirs.max()
        assert image.sum(dtype=float) == pytest.approx(target.area, rel=1e-5)


def test_as_reproject_resamples_it():
    """Adaptive resampling that conserves flux: the same source, blurred by that method's own kernel."""
    from astropy.wcs import WCS
    from reproject import reproject_adaptive

    rng = np.random.default_rng(9)
    stamp = Blobs.random(rng, length=14).on_grid(*(np.mgrid[:64, :64] - 31.5)[::-1])
    onto, own = WCS(naxis=2), WCS(naxis=2)
    for wcs, middle, scale in ((own, 32.5, 1.0), (onto, 31.2, 2.0)):
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [30.0, 10.0]
        wcs.wcs.crpix, wcs.wcs.cdelt = [middle, middle], np.array([-scale, scale]) / 3600
    theirs, _ = reproject_adaptive((stamp, own), onto, shape_out=(60, 60), conserve_flux=True, kernel="gaussian")
    theirs = np.nan_to_num(theirs)
    # its kernel is 1.3 pixels of the coarse grid wide from -1 to +1 sigma: we are told to add the same
    kernel = np.eye(2) * (2 * 1.3 / 2) ** 2
    affine = np.eye(2) / 2
    target = affine @ (NATIVE + kernel) @ affine.T
    beam = TargetBeam(target, float(2 * np.pi * np.sqrt(np.linalg.det(target))), Beam(1 * u.arcsec))
    one = Stamps((stamp / stamp.sum())[None].astype(np.float32), np.full((1, 2), 31.5), np.full((1, 2), 30.2),
                 affine[None], np.ones(1))
    image, _ = paint(one, beam, (60, 60))
    ours = image / beam.area * stamp.sum()
    assert theirs.sum() == pytest.approx(ours.sum(dtype=float), rel=2e-3)
    assert abs(ours - theirs).max() < 0.01 * ours.max()
    np.testing.assert_allclose(image_moments(ours.astype(float))[1], image_moments(theirs)[1], atol=0.01)


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="needs a GPU")
def test_the_gpu_agrees():
    from skygal.rendering.drawing import draw_stamps

    rng, n = np.random.default_rng(10), 40
    y, x = np.mgrid[:64, :64] - 31.5
    stamps = np.stack([Blobs.random(rng, length=12).on_grid(x, y) for _ in range(n)]).astype(np.float32)
    affine = np.stack([on_image(rng.uniform(0.05, 1.5), rng.uniform(0, 6.3)) for _ in range(n)])
    many = Stamps(stamps, np.full((n, 2), 31.5), rng.uniform(0, 400, (n, 2)), affine, rng.uniform(0.1, 1, n))
    beam = beam_of(7.0, 5.0, 0.3)
    images = []
    for device in ("cpu", "cuda"):
        drawn = [d for run in draw_stamps(many, beam, NATIVE, (400, 400), device=device) for d in run.in_order()]
        images.append({source: (corner, data) for source, corner, data, _ in drawn})
    cpu, cuda = images
    assert list(cpu) == list(cuda) == list(range(n))
    for source, (corner, data) in cpu.items():
        assert corner == cuda[source][0]
        assert abs(data - cuda[source][1]).max() < 1e-5 * data.max()
