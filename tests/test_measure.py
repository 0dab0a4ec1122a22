"""Shapes measured on stamps, against what the stamps were made of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import FWHM, Blobs, angle_between

from skygal.morphology.measure import ISOPHOTE, Shapes, measure_stamps
from skygal.rendering.hills import find_components

Y, X = np.mgrid[:81, :121]


def point(x, y, flux=1.0, sigma=3 / FWHM):
    return flux / (2 * np.pi * sigma**2) * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 2 / sigma**2)


def measure(*stamps):
    return measure_stamps(np.stack(stamps), beam_fwhm=3.0)


def test_triple():
    shapes, parts = measure(point(30.3, 40, 0.3) + point(60.2, 40.4, 0.2) + point(88.6, 40, 0.5))
    assert shapes.flux[0] == pytest.approx(1, rel=1e-6)
    assert shapes.n_components[0] == 3
    np.testing.assert_allclose(shapes.core[0], [60.2, 40.4], atol=0.02)
    assert shapes.core_frac[0] == pytest.approx(0.2, rel=0.03)
    np.testing.assert_allclose(parts.flux, [0.5, 0.3, 0.2], rtol=1e-3)
    np.testing.assert_allclose(parts.centre, [[88.6, 40], [30.3, 40], [60.2, 40.4]], atol=0.05)
    # half widths of the isophote differ, since it is a fraction of the brightest peak
    half = [3 / FWHM * np.sqrt(2 * np.log(f / 0.5 / ISOPHOTE)) for f in (0.3, 0.5)]
    assert shapes.las[0] == pytest.approx(88.6 - 30.3 + sum(half), abs=0.15)


def test_point_source():
    shapes, parts = measure(point(60.4, 39.7))
    assert shapes.n_components[0] == 1 and len(parts.flux) == 1
    assert shapes.core_frac[0] == pytest.approx(1, abs=0.02)
    assert shapes.b_maj[0] == shapes.b_min[0] == pytest.approx(0.3)
    assert shapes.las[0] == pytest.approx(2 * 3 / FWHM * np.sqrt(2 * np.log(1 / ISOPHOTE)), rel=0.02)


def test_double_without_a_core():
    shapes, _ = measure(point(30, 40, 0.5) + point(90, 40, 0.5))
    assert shapes.core_frac[0] == 0
    np.testing.assert_allclose(shapes.core[0], shapes.centre[0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, np.pi), st.floats(-3, 3), st.floats(-3, 3))
def test_axes_are_those_of_the_second_moments_less_the_beam(seed, turn, dx, dy):
    blobs = Blobs.random(np.random.default_rng(seed), length=15, width=6)
    c, s = np.cos(turn), np.sin(turn)
    blobs = blobs.mapped(np.array([[c, -s], [s, c]]), np.zeros((2, 2)))
    blobs = Blobs(blobs.weight, blobs.place, blobs.covariance)
    shapes, parts = measure(blobs.on_grid(X - 60 - dx, Y - 40 - dy))
    values, vectors = np.linalg.eigh(blobs.moments() - np.eye(2) * (3 / FWHM) ** 2)
    np.testing.assert_allclose(shapes.centre[0], [60 + dx, 40 + dy], atol=0.02)
    assert shapes.b_maj[0] == pytest.approx(FWHM * np.sqrt(values[1]), rel=0.01)
    assert shapes.b_min[0] == pytest.approx(FWHM * np.sqrt(values[0]), rel=0.02, abs=0.3)
    # north is up and east is left
    east, north = -vectors[0, 1], vectors[1, 1]
    assert angle_between(shapes.pa[0], np.degrees(np.arctan2(east, north))) < 0.5
    assert parts.flux.sum() == pytest.approx(shapes.flux[0], rel=1e-9)
    peak = blobs.on_grid(X - 60 - dx, Y - 40 - dy)
    above = np.argwhere(peak >= ISOPHOTE * peak.max())
    span = np.max(np.hypot(*(above[:, None] - above[None]).T))
    assert span <= shapes.las[0] + 0.1 and shapes.las[0] < span + 2.1


def test_a_batch_is_its_stamps_one_by_one():
    rng = np.random.default_rng(4)
    stamps = [Blobs.random(rng).on_grid(X - 60, Y - 40) for _ in range(5)]
    together, parts = measure(*stamps)
    for k, stamp in enumerate(stamps):
        alone, own = measure(stamp)
        for name in ("centre", "las", "b_maj", "b_min", "pa", "core", "core_frac", "n_components"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[k], err_msg=name)
        np.testing.assert_array_equal(parts.flux[parts.stamp == k], own.flux)
    joined = Shapes.join([together, together])
    assert len(joined.flux) == 10


def test_ripples_are_no_components():
    ripple = 1 + 0.02 * np.cos(X)
    smooth = np.exp(-((X - 60) ** 2 / 800 + (Y - 40) ** 2 / 60)) * ripple
    assert len(find_components(smooth[None]).flux) == 1
    plateau = np.zeros((1, 20, 20))
    plateau[0, 5:15, 5:15] = 1
    assert len(find_components(plateau).flux) >= 1


def test_empty_stamp_is_refused():
    with pytest.raises(ValueError, match="stamps must have flux, got 1 without any"):
        measure(point(60, 40), np.zeros(X.shape))


def test_a_core_is_within_a_fifth_of_the_size_of_the_centre():
    """A peak farther off is a hot spot: the centre stands in."""
    def peaked(at):
        # two lobes 80 pixels apart, 86 from end to end, and a peak between them that hardly moves the centre
        return point(20, 40, 0.45) + point(100, 40, 0.45) + point(at, 40, 0.1)

    shapes, _ = measure(peaked(74.0), peaked(82.0))
    near, far = (shapes.core[k] - shapes.centre[k] for k in (0, 1))
    assert near[0] == pytest.approx(0.9 * 14, abs=0.1) and shapes.core_frac[0] == pytest.approx(0.1, rel=0.05)
    np.testing.assert_allclose(far, 0, atol=1e-9)
    assert shapes.core_frac[1] == 0 and (shapes.n_components == 3).all()


def test_no_more_than_all_flux_is_in_the_core():
    # a peak that is sharper than the beam has more than its flux, were it a beam's
    shapes, _ = measure(point(60, 40, sigma=0.7 * 3 / FWHM))
    assert shapes.core_frac[0] == 1
