"""Power by scale and symmetry, and the discriminator that looks at it."""

import numpy as np
import pytest
import torch

from skygal.evaluation.shapes import BANDS as COARSE
from skygal.evaluation.shapes import band_power
from skygal.morphology.networks import Architecture
from skygal.training import discriminators
from skygal.training.discriminators import LEAST_POWER, StructureDiscriminator, measure_structure

NY, NX, FWHM = 40, 64, 3.0
N_BANDS = len(discriminators.BANDS) - 1


def spots(*places, sigma=2.0, shift=(0.0, 0.0)):
    """Return a stamp (1, ny, nx) of Gaussians (x, y, peak) about the middle."""
    y, x = np.indices((NY, NX), float)
    y, x = y - (NY - 1) / 2 - shift[0], x - (NX - 1) / 2 - shift[1]
    image = sum(peak * np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / sigma**2) for a, b, peak in places)
    return torch.from_numpy(image[None])


def measure(stamp):
    """Return power (4, bands), by symmetry, and the five sums."""
    found = measure_structure(stamp, beam_fwhm=FWHM)[0]
    return torch.exp(found[:-5]).reshape(4, N_BANDS) - LEAST_POWER, torch.exp(found[-5:])


SYMMETRIC = spots((-9, 0, 1), (9, 0, 1))
UNEVEN = spots((-9, 0, 1), (9, 0, 0.4))              # even in y alone
BENT = spots((-9, 3, 1), (9, 3, 1), (0, -6, 1))      # even in x alone
SLANTED = spots((-9, 3, 1), (9, -3, 1))              # odd in x and y: half a turn leaves it


@pytest.mark.parametrize(("stamp", "some", "none"), [
    (SYMMETRIC, (0,), (1, 2, 3)), (UNEVEN, (0, 2), (1, 3)), (BENT, (0, 1), (2, 3)), (SLANTED, (0, 3), (1, 2))],
                         ids=["symmetric", "uneven", "bent", "slanted"])
def test_power_goes_where_the_symmetry_says(stamp, some, none):
    # even, even in x only, even in y only, odd in both
    power, _ = measure(stamp)
    order = power[:, :5].sum(dim=1)
    assert min(order[k] for k in some) > 1e-3
    assert max(order[k] for k in none) < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_the_parts_add_up_to_the_power_spectrum(seed):
    stamp = torch.from_numpy(np.random.default_rng(seed).random((1, NY, NX)) ** 4)
    whole = measure(stamp)[0].sum(dim=0).numpy()
    k = np.hypot(np.fft.fftfreq(NY)[:, None], np.fft.rfftfreq(NX)[None]) * FWHM
    power = np.abs(np.fft.rfft2(stamp[0].numpy() / stamp.sum().item())) ** 2
    for b, (low, high) in enumerate(zip(discriminators.BANDS[:-1], discriminators.BANDS[1:], strict=True)):
        # a transform of real numbers: columns within the first count once, mirrored ones are averaged
        assert whole[b] == pytest.approx(power[(k >= low) & (k < high)].mean(), rel=1e-6, abs=1e-9)


def test_bands_are_those_of_the_evaluation_and_finer():
    assert discriminators.BANDS[-1] == COARSE[-1][1] and discriminators.BANDS[0] < COARSE[0][0]
    low, high = discriminators.BANDS[5], discriminators.BANDS[7]
    assert (low, high) == COARSE[-1]
    stamp = UNEVEN
    k = np.hypot(np.fft.fftfreq(NY)[:, None], np.fft.rfftfreq(NX)[None]) * FWHM
    count = np.array([((k >= a) & (k < b)).sum()
                      for a, b in zip(discriminators.BANDS[5:7], discriminators.BANDS[6:8], strict=True)])
    fine = (measure(stamp)[0].sum(dim=0)[5:].numpy() * count).sum() / count.sum()
    assert np.log10(fine) == pytest.approx(band_power(stamp.numpy(), beam_fwhm=FWHM)[0, 2], abs=1e-3)


@pytest.mark.parametrize("shift", [(0.3, -0.4), (2.0, 3.0), (-1.5, 0.25)])
def test_a_shift_changes_nothing(shift):
    places = (-7, 2, 1), (8, 0, 0.6), (1, -1, 0.3)
    still, moved = (measure_structure(spots(*places, shift=by), beam_fwhm=FWHM) for by in ((0, 0), shift))
    torch.testing.assert_close(still, moved, atol=1e-3, rtol=0)


def test_flips_change_nothing():
    stamp = spots((-7, 2, 1), (8, 0, 0.6), (1, -1, 0.3))
    found = measure_structure(torch.cat([stamp, stamp.flip(1), stamp.flip(2), stamp.flip(1, 2)]), beam_fwhm=FWHM)
    torch.testing.assert_close(found, found[:1].expand(4, -1), atol=1e-8, rtol=1e-8)


def test_sums_of_a_gaussian():
    sigma = 2.5
    _, (spread_y, spread_x, flux, lit, squares) = measure(spots((0.5, 0.5, 1), sigma=sigma))
    assert spread_y - 0.1 == pytest.approx(sigma**2, rel=1e-3) and spread_x - 0.1 == pytest.approx(sigma**2, rel=1e-3)
    assert flux == pytest.approx(2 * np.pi * sigma**2, rel=1e-3)
    assert squares - 1 == pytest.approx(np.pi * sigma**2, rel=1e-3)
    # the integral of g / (g + a) over the plane, 2 pi sigma^2 ln((1 + a) / a)
    assert lit - 1 == pytest.approx(2 * np.pi * sigma**2 * np.log(1.01 / 0.01), rel=0.01)


def test_a_blank_stamp_is_no_accident():
    stamp = torch.zeros(2, NY, NX, requires_grad=True)
    found = measure_structure(stamp, beam_fwhm=FWHM)
    found.sum().backward()
    assert bool(torch.isfinite(found).all()) and bool(torch.isfinite(stamp.grad).all())


def test_gradients_are_those_of_differences():
    stamp = spots((-7, 2, 1), (8, 0, 0.6)).requires_grad_()
    step = torch.from_numpy(np.random.default_rng(0).random((1, NY, NX))) * stamp.detach()
    for k in (0, 9, 16, 23, 28, 30, 31, 32):
        slope, = torch.autograd.grad(measure_structure(stamp, beam_fwhm=FWHM)[0, k], stamp)
        with torch.no_grad():
            up, down = (measure_structure(stamp + by * step, beam_fwhm=FWHM)[0, k] for by in (1e-5, -1e-5))
        assert float((slope * step).sum()) == pytest.approx(float(up - down) / 2e-5, rel=1e-4, abs=1e-7)


class TestNet:
    ARCH = Architecture(classes=("FRI", "FRII"), shape=(NY, NX))

    def test_standardises_by_real_stamps(self):
        real = torch.from_numpy(np.random.default_rng(0).normal(3.0, 2.0, (500, 33))).float()
        net = StructureDiscriminator(self.ARCH, real)
        standard = net.standardise(real)
        assert float(standard.mean()) == pytest.approx(0, abs=0.01)
        assert float(standard.std()) == pytest.approx(1, abs=0.1)
        assert float(net.standardise(real + 1e6).max()) <= discriminators.MOST

    def test_score_depends_on_structure_and_condition(self):
        torch.manual_seed(0)
        net = StructureDiscriminator(self.ARCH, torch.randn(50, 33))
        one, other = torch.randn(2, 5, 33)
        condition = self.ARCH.condition(torch.eye(2)[[0, 1, 0, 1, 0]], torch.full((5,), 12.0), torch.zeros(5))
        scores = net(one, condition)
        assert scores.shape == (5,)
        assert not torch.allclose(scores, net(other, condition))
        assert not torch.allclose(scores, net(one, condition + 1.0))
