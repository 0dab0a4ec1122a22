"""Points, Gaussians and exponential discs in bulk."""

import functools

import numpy as np
import pytest
from astropy.modeling.functional_models import Gaussian2D
from hypothesis import given, settings
from hypothesis import strategies as st

from skygal.rendering.analytic.bulk import EXPONENTIAL, GAUSSIAN, POINT, Analytic, draw, label, measure, reach
from skygal.rendering.analytic.disc_profile import LEVELS, disc_level, disc_terms

FWHM = np.sqrt(8 * np.log(2))


def ellipse(major, ratio, angle):
    """Return the covariance of an ellipse whose major axis is at ``angle`` from x."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([major**2, (major * ratio) ** 2]) @ turn.T


def mixed(n, size, seed, *, beam=None, widest=6.0):
    """Return sources of all kinds in and around an image of size x size pixels."""
    rng = np.random.default_rng(seed)
    own = np.array([ellipse(rng.uniform(0.2, widest), rng.uniform(0.1, 1), rng.uniform(0, np.pi)) for _ in range(n)])
    beam = ellipse(1.1, 0.9, 0.4) if beam is None else beam
    return Analytic.make(rng.integers(0, 3, n), rng.uniform(-8, size + 8, (n, 2)), flux=rng.uniform(0.1, 2, n),
                         beam=beam, covariance=own)


def image(sources, shape, **keywords):
    out = np.zeros(shape)
    draw(sources, (0, shape[0], 0, shape[1]), out, **keywords)
    return out


legendre = functools.cache(np.polynomial.legendre.leggauss)


def disc_seen(d, disc, beam):
    """Return the brightness of a disc of unit flux and unit beam area under a beam, by numerical integration."""
    lower = np.linalg.cholesky(beam)
    a = np.linalg.inv(np.linalg.cholesky(disc)) @ lower
    x, w = legendre(320)
    theta = np.arange(1500) * 2 * np.pi / 1500
    steep = np.hypot(*(a @ np.stack([np.cos(theta), np.sin(theta)])))
    out = []
    for z in np.linalg.solve(lower, np.atleast_2d(d).T).T:
        # polar about the cusp, dense there
        top = np.hypot(*z) + 8.5
        s = np.sqrt(top) / 2 * (x + 1)
        r, weight = s**2, w * np.sqrt(top) / 2 * 2 * s**3
        square = r[:, None] ** 2 - 2 * r[:, None] * (z[0] * np.cos(theta) + z[1] * np.sin(theta)) + z @ z
        out.append((weight[:, None] * np.exp(-r[:, None] * steep - square / 2)).sum() * 2 * np.pi / 1500)
    # Jacobian, the Gaussian's norm, and the disc's flux 2 pi sqrt|C|
    return np.array(out) / (4 * np.pi**2 * np.sqrt(np.linalg.det(disc)))


@pytest.mark.parametrize("kind", ["point", "gaussian"])
@given(x=st.floats(25, 35), y=st.floats(25, 35), fwhm=st.floats(2, 5), ratio=st.floats(0.3, 1), angle=st.floats(0, 3.1),
       turned=st.booleans())
@settings(max_examples=25, deadline=None)
def test_gaussians_against_astropy(kind, x, y, fwhm, ratio, angle, turned):
    beam = ellipse(fwhm / FWHM / ratio, ratio, 0.7 * turned)
    own = ellipse(3.0, 0.4, angle) if kind == "gaussian" else np.zeros((2, 2))
    found = image(Analytic.make(kind, [[x, y]], flux=2.0, beam=beam, covariance=own), (160, 160))
    total = beam + own
    peak = 2.0 * np.sqrt(np.linalg.det(beam) / np.linalg.det(total))
    values, vectors = np.linalg.eigh(total)
    model = Gaussian2D(peak, x, y, np.sqrt(values[1]), np.sqrt(values[0]), np.arctan2(vectors[1, 1], vectors[0, 1]))
    expected = model(*np.meshgrid(np.arange(160), np.arange(160)))
    np.testing.assert_allclose(found, expected, atol=1.5e-6 * peak, rtol=0)
    half = reach(Analytic.make(kind, [[x, y]], flux=2.0, beam=beam, covariance=own))[0]
    inside = (abs(np.arange(160) - np.floor(x + 0.5)) <= half[0]), (abs(np.arange(160) - np.floor(y + 0.5)) <= half[1])
    np.testing.assert_allclose(found[np.ix_(inside[1], inside[0])], expected[np.ix_(inside[1], inside[0])],
                               atol=5e-7 * peak, rtol=0)
    assert not found[~inside[1]].any() and not found[:, ~inside[0]].any()


def test_a_point_peaks_at_its_flux():
    beam = ellipse(1.3, 0.8, 0.3)
    found = image(Analytic.make("point", [[20, 30]], flux=0.7, beam=beam), (60, 50))
    assert found[30, 20] == pytest.approx(0.7, rel=1e-6) and found.max() == found[30, 20]


@given(kind=st.sampled_from([POINT, GAUSSIAN, EXPONENTIAL]), fwhm=st.floats(2, 6), size=st.floats(0.01, 3),
       ratio=st.floats(0.1, 1), angle=st.floats(0, 3.1), x=st.floats(150, 151), y=st.floats(150, 151),
       integrated=st.booleans())
@settings(max_examples=25, deadline=None)
def test_pixels_sum_to_the_flux(kind, fwhm, size, ratio, angle, x, y, integrated):
    sources = Analytic.make(kind, [[x, y]], flux=3.0, beam=ellipse(fwhm / FWHM, 1, 0),
                            covariance=ellipse(size * fwhm, ratio, angle))
    total = image(sources, (301, 301), pixel_integrated=integrated).sum() / sources.area[0]
    # the largest discs reach beyond the image
    assert measure(sources, (301, 301), limit=np.ones(1), pixel_integrated=integrated).flux[0] == pytest.approx(
        3.0, rel=3e-5)
    if (reach(sources)[0] < 150).all():
        assert total == pytest.approx(3.0, rel=3e-5)


@pytest.mark.parametrize("scale", [0.01, 0.1, 0.3, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("ratio", [1.0, 0.3, 0.1])
def test_discs_against_numerical_convolution(scale, ratio):
    """Scale lengths of 0.01 to 30 times the beam's FWHM, which is twice as long as wide."""
    fwhm = 3.0
    beam, disc = ellipse(2 * fwhm / FWHM, 0.5, 0.9), ellipse(scale * fwhm, ratio, 2.1)
    rng = np.random.default_rng(3)
    position = np.array([[1000.3, 999.6]])
    sources = Analytic.make("exponential", position, flux=1.0, beam=beam, covariance=disc, area=1.0)
    reaches = np.sqrt(np.diag(beam + disc))
    offset = np.rint(np.concatenate([np.zeros((1, 2)), rng.normal(0, 1, (5, 2)) * reaches,
                                     rng.normal(0, 4, (3, 2)) * reaches]))
    found = []
    for x, y in (1000 + offset).astype(int).tolist():
        pixel = np.zeros((1, 1))
        draw(sources, (y, y + 1, x, x + 1), pixel)
        found.append(pixel[0, 0])
    expected = disc_seen(1000 + offset - position, disc, beam)
    peak = disc_seen(np.zeros((1, 2)), disc, beam)[0]
    assert abs(found - expected).max() < 1e-4 * peak


def test_discs_as_sums_of_gaussians():
    for level, (_, number, _) in enumerate(LEVELS):
        variance, weight = disc_terms(level)
        assert len(variance) == len(weight) == number
        assert (variance > 0).all() and (weight > 0).all() and weight.sum() == pytest.approx(1, abs=1e-12)
        # the second moment of exp(-r) along an axis
        assert (weight * variance).sum() == pytest.approx(3, rel=0.01 if level == 0 else 2e-3)
        assert not weight.flags.writeable
    ratio = np.array([0, LEVELS[0][0], 0.9, 1e9])
    np.testing.assert_array_equal(disc_level(ratio), [0, 0, 3, len(LEVELS) - 1])


def averages(shape, brightness, order=10):
    """Return the averages of a function of (x, y) over pixels, by Gauss-Legendre quadrature."""
    u, w = np.polynomial.legendre.leggauss(order)
    y, x = np.mgrid[:shape[0], :shape[1]]
    return sum(wi * wj / 4 * brightness(x + ui / 2, y + uj / 2)
               for ui, wi in zip(u, w, strict=True) for uj, wj in zip(u, w, strict=True))


@pytest.mark.parametrize(("fwhm", "worst"), [(2.0, 5e-5), (3.0, 2e-6)])
@pytest.mark.parametrize(("ratio", "angle"), [(1.0, 0.0), (0.5, 0.0), (0.5, 0.6), (0.2, 0.9)])
def test_averages_over_pixels(fwhm, worst, ratio, angle):
    total = ellipse(fwhm / FWHM / ratio, ratio, angle)
    precision = np.linalg.inv(total)

    def brightness(x, y):
        dx, dy = x - 30.3, y - 29.8
        return np.exp(-0.5 * (precision[0, 0] * dx**2 + 2 * precision[0, 1] * dx * dy + precision[1, 1] * dy**2))

    found = image(Analytic.make("point", [[30.3, 29.8]], flux=1.0, beam=total), (60, 60), pixel_integrated=True)
    assert abs(found - averages((60, 60), brightness)).max() < (worst if angle else 1.5e-6)


def test_averages_of_discs_over_pixels():
    """As the mean of the same disc at places within the pixel."""
    beam, disc = ellipse(1.1, 0.8, 0.3), ellipse(2.0, 0.4, 1.2)
    u, w = np.polynomial.legendre.leggauss(6)
    expected = np.zeros((80, 80))
    for ui, wi in zip(u, w, strict=True):
        for uj, wj in zip(u, w, strict=True):
            moved = Analytic.make("exponential", [[40.2 + ui / 2, 39.7 + uj / 2]], flux=wi * wj / 4, beam=beam,
                                  covariance=disc)
            expected += image(moved, (80, 80))
    found = image(Analytic.make("exponential", [[40.2, 39.7]], flux=1.0, beam=beam, covariance=disc), (80, 80),
                  pixel_integrated=True)
    assert abs(found - expected).max() < 1e-4 * expected.max()


@pytest.mark.parametrize("integrated", [False, True])
def test_any_window_has_the_same_bits(integrated):
    sources = mixed(150, 300, seed=5, widest=14)
    whole = np.zeros((300, 300), np.float32)
    draw(sources, (0, 300, 0, 300), whole, pixel_integrated=integrated)
    half, centre = reach(sources, pixel_integrated=integrated), np.floor(sources.position + 0.5)
    assert (half > 96).any()
    again = np.zeros((400, 400), np.float32)
    for y0, y1 in ((0, 1), (1, 130), (130, 137), (137, 300)):
        for x0, x1 in ((0, 64), (64, 299), (299, 300)):
            low, high = centre - half, centre + half
            near = (low[:, 0] < x1) & (high[:, 0] >= x0) & (low[:, 1] < y1) & (high[:, 1] >= y0)
            # a view into a larger array
            draw(sources[np.flatnonzero(near)], (y0, y1, x0, x1), again[50 + y0:50 + y1, 7 + x0:7 + x1],
                 pixel_integrated=integrated)
    np.testing.assert_array_equal(again[50:350, 7:307].view(np.int32), whole.view(np.int32))
    again[50:350, 7:307] = 0
    assert not again.any()


def test_other_sources_elsewhere_make_no_difference():
    sources = mixed(60, 200, seed=7)
    alone = np.zeros((200, 200), np.float32)
    draw(sources, (0, 200, 0, 200), alone)
    many = Analytic(*(np.concatenate([a, b]) for a, b in zip(
        vars(sources).values(), vars(mixed(500, 200, seed=8)).values(), strict=True)))
    many.position[60:] += 5000
    shuffled = np.random.default_rng(1).permutation(560)
    shuffled = shuffled[np.argsort(shuffled >= 60, kind="stable")]
    shuffled[:60] = np.arange(60)
    with_others = np.zeros((200, 200), np.float32)
    draw(many[shuffled], (0, 200, 0, 200), with_others)
    np.testing.assert_array_equal(with_others.view(np.int32), alone.view(np.int32))


def test_what_is_added_can_be_taken_away():
    sources = mixed(200, 100, seed=2)
    both = np.zeros((100, 100))
    draw(sources, (0, 100, 0, 100), both)
    assert both.max() > 1
    draw(Analytic(sources.kind, sources.position, -sources.flux, sources.covariance, sources.beam, sources.area),
         (0, 100, 0, 100), both)
    assert abs(both).max() < 1e-14


def alone(sources, k, shape, margin, **keywords):
    """Return one source on an image with a margin, as float32."""
    out = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.float32)
    draw(sources[k:k + 1], (-margin, shape[0] + margin, -margin, shape[1] + margin), out, **keywords)
    return out


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("blank", [False, True])
def test_measures(integrated, blank):
    shape, margin = (90, 110), 420
    n = 50
    sources = mixed(n, 100, seed=11, widest=12)
    valid = np.random.default_rng(0).random(shape) < 0.9 if blank else None
    rms = np.geomspace(1e-4, 3, n)

    def limits(peak, rows):
        return np.minimum(np.maximum(rms[rows], 0.01 * peak), 0.5 * peak)

    truth = measure(sources, shape, limit=limits, valid=valid, pixel_integrated=integrated)
    assert (reach(sources) > 96).any() and truth.edge.any() and not truth.edge.all()
    sky = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), bool)
    sky[margin:-margin, margin:-margin] = True if valid is None else valid
    for k in range(n):
        seen = alone(sources, k, shape, margin, pixel_integrated=integrated)
        area = sources.area[k]
        assert truth.flux[k] == pytest.approx(seen.sum(dtype=float) / area, rel=1e-12)
        assert truth.flux_in_image[k] == pytest.approx(seen[sky].sum(dtype=float) / area, rel=1e-12, abs=1e-30)
        assert truth.peak_flux[k] == seen.max()
        mask = seen > np.float32(limits(float(seen.max()), k))
        assert truth.edge[k] == (np.count_nonzero(mask) != np.count_nonzero(mask & sky))
        y, x = np.nonzero(mask & sky)
        box = [x.min() - margin, x.max() - margin, y.min() - margin, y.max() - margin] if x.size else [-1] * 4
        np.testing.assert_array_equal(truth.bbox[k], box)
        one = measure(sources[k:k + 1], shape, limit=truth.limit[k:k + 1], valid=valid, pixel_integrated=integrated)
        for name in ("flux", "flux_in_image", "peak_flux", "peak_in_image", "limit", "bbox", "edge"):
            column = getattr(one, name)
            np.testing.assert_array_equal(column[0], getattr(truth, name)[k])


def test_measures_of_what_has_no_pixels():
    """A source off the projection, one that is negative, and one that is larger than can be drawn whole."""
    beam = ellipse(1.2, 1, 0)
    sources = Analytic.make(["point", "point", "gaussian"], [[np.nan, 4], [20, 20], [20, 20]], flux=[1, -2, 5],
                            beam=beam, covariance=ellipse(800, 0.5, 0.3))
    np.testing.assert_array_equal(reach(sources)[0], [-1, -1])
    truth = measure(sources, (40, 40), limit=np.full(3, 1e-9))
    np.testing.assert_array_equal(truth.flux, [1, pytest.approx(-2, rel=1e-5), 5])
    assert truth.flux_in_image[0] == 0 and truth.flux_in_image[1] == pytest.approx(-2, rel=1e-5)
    assert np.isnan(truth.peak_flux[0]) and truth.peak_flux[1] == pytest.approx(-2, rel=1e-6)
    np.testing.assert_array_equal(truth.edge, True)
    np.testing.assert_array_equal(truth.bbox, [[-1] * 4, [-1] * 4, [0, 39, 0, 39]])
    found = image(sources, (40, 40))
    assert truth.flux_in_image[1:].sum() == pytest.approx(found.sum() / sources.area[0], rel=1e-5)


def test_labels():
    shape, n = (120, 120), 300
    sources = mixed(n, 120, seed=13)
    ids = np.random.default_rng(4).permutation(n) + 1
    # some are as bright as another at the same place
    source_of = np.arange(n)
    source_of[::10] += 1
    sources = sources[source_of]
    limit = np.random.default_rng(6).uniform(0.01, 0.4, n).astype(np.float32)
    labels, brightest = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    label(sources, ids, limit, (0, 120, 0, 120), labels, brightest)
    expected, best = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for k in np.argsort(ids):
        seen = alone(sources, k, shape, 0)
        wins = (seen > limit[k]) & (seen > best)
        expected[wins], best[wins] = ids[k], seen[wins]
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(brightest, best)
    assert len(np.unique(labels)) > 50
    # in two windows, and two lots
    again, bright = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for rows in (np.arange(0, n, 2), np.arange(1, n, 2)):
        for y0, y1 in ((0, 50), (50, 120)):
            label(sources[rows], ids[rows], limit[rows], (y0, y1, 10, 120), again[y0:y1, 10:], bright[y0:y1, 10:])
    np.testing.assert_array_equal(again[:, 10:], labels[:, 10:])
    assert not again[:, :10].any()


def test_no_sources():
    none = Analytic.make([], np.zeros((0, 2)), flux=[], beam=np.eye(2))
    assert not image(none, (5, 5)).any() and reach(none).shape == (0, 2)
    truth = measure(none, (5, 5), limit=np.zeros(0))
    assert truth.flux.shape == (0,) and truth.bbox.shape == (0, 4)
    labels = np.zeros((5, 5), np.int32)
    label(none, [], np.zeros(0), (0, 5, 0, 5), labels, np.zeros((5, 5), np.float32))
    assert not labels.any()


def make(**changed):
    columns = {"kind": ["point", "exponential"], "position": [[1, 2], [3, 4]], "flux": [1, 2], "beam": np.eye(2)}
    columns |= changed
    return Analytic.make(columns.pop("kind"), columns.pop("position"), **columns)


@pytest.mark.parametrize(("changed", "error", "message"), [
    ({"kind": ["point", "disc"]}, ValueError, "kind must be one of 'point', 'gaussian', 'exponential', got 'disc'"),
    ({"kind": [0, 3]}, ValueError, r"kind must be 0 to 2, got 1 bad row of 2 \(counted from 0: 1\)"),
    ({"kind": [0.0, 1.0]}, TypeError, "kind must be names or codes of point, gaussian, exponential, got float64"),
    ({"position": [1, 2]}, ValueError, r"position must have the shape \(n, 2\), got \(2,\)"),
    ({"position": "here"}, TypeError, "position must be numbers, got str"),
    ({"flux": [1, 2, 3]}, ValueError, r"flux must have the shape \(2,\), got \(3,\)"),
    ({"flux": [np.inf, np.nan]}, ValueError, r"flux must be finite, got 2 bad rows of 2 \(counted from 0: 0, 1\)"),
    ({"beam": -np.eye(2)}, ValueError, "beam must be a symmetric, positive definite matrix, got 2 bad rows of 2"),
    ({"beam": [[1, 0.5], [0.4, 1]]}, ValueError, "beam must be a symmetric, positive definite matrix"),
    ({"beam": np.eye(3)}, ValueError, r"beam must have the shape \(2, 2, 2\), got \(3, 3\)"),
    ({"covariance": [[1, 2], [2, 1]]}, ValueError, "covariance must be a symmetric matrix without negative "
     r"eigenvalues, got 1 bad row of 2 \(counted from 0: 1\)"),
    ({"area": 0}, ValueError, "area must be positive and finite, got 2 bad rows of 2"),
])
def test_bad_sources(changed, error, message):
    with pytest.raises(error, match=message):
        make(**changed)


def test_many_bad_rows_are_counted():
    with pytest.raises(ValueError, match=r"40 bad rows of 40 \(counted from 0: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.\)"):
        Analytic.make("point", np.zeros((40, 2)), flux=np.nan, beam=np.eye(2))


def test_bad_windows():
    with pytest.raises(TypeError, match="out must be float32 or float64, got int64"):
        draw(make(), (0, 5, 0, 5), np.zeros((5, 5), int))
    with pytest.raises(ValueError, match=r"out must have the shape of box, \(5, 6\), got \(6, 5\)"):
        draw(make(), (0, 5, 0, 6), np.zeros((6, 5)))
    with pytest.raises(TypeError, match="labels must be int32, got int64"):
        label(make(), [1, 2], [1, 1], (0, 5, 0, 5), np.zeros((5, 5), int), np.zeros((5, 5), np.float32))
    with pytest.raises(TypeError, match="brightest must be float32, got float64"):
        label(make(), [1, 2], [1, 1], (0, 5, 0, 5), np.zeros((5, 5), np.int32), np.zeros((5, 5)))
    with pytest.raises(ValueError, match="limit must be positive, got 0.0"):
        label(make(), [1, 2], [1, 0], (0, 5, 0, 5), np.zeros((5, 5), np.int32), np.zeros((5, 5), np.float32))
    with pytest.raises(ValueError, match=r"valid must have the image's shape \(5, 5\), got \(4, 5\)"):
        measure(make(), (5, 5), limit=np.ones(2), valid=np.ones((4, 5), bool))
