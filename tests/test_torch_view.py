"""Stamps as the survey shows them, for the discriminator: noise, clip, islands, gradients."""

import numpy as np
import pytest
import torch

from skygal.evaluation.observed import observe_stamps
from skygal.morphology.networks import Architecture
from skygal.stamps.survey_view import CLIP, WHITE, noise_power
from skygal.training.torch_view import TorchView, jitter

ARCH = Architecture(shape=(48, 80))
Y, X = (torch.arange(size) - (size - 1) / 2 for size in ARCH.shape)


def blob(x, y=0.0, flux=1.0):
    return flux * torch.exp(-0.5 * ((X[None] - x) ** 2 + (Y[:, None] - y) ** 2) / ARCH.beam_sigma**2)


def doubles(n, seed=0):
    """Return doubles with a bridge, along x."""
    rng = np.random.default_rng(seed)
    return torch.stack([sum(blob(at * reach, 0, flux) for at, flux in zip(
        np.linspace(-1, 1, 7), [1.0, 0.5, 0.3, 0.2, 0.3, 0.4, far], strict=True))
                        for reach, far in zip(rng.uniform(6, 18, n), rng.uniform(0.4, 1, n), strict=True)])


@pytest.fixture(scope="module")
def view():
    return TorchView(ARCH.shape, ARCH.beam_sigma)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


class TestNoise:
    def test_rms_and_mean(self, view):
        field = view.noise(torch.Size((50, 48, 80)), draws())
        torch.testing.assert_close(field.std(dim=(1, 2)), torch.ones(50), atol=1e-4, rtol=0)
        torch.testing.assert_close(field.mean(dim=(1, 2)), torch.zeros(50), atol=1e-4, rtol=0)

    def test_spectrum_is_the_surveys(self, view):
        power = torch.fft.rfft2(view.noise(torch.Size((1500, 48, 80)), draws())).abs().square().mean(0).numpy()
        k = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(80)[None])
        expected = noise_power(k, ARCH.beam_sigma)
        seen = (k > 0) & (expected > 1e-3 * expected.max())
        ratio = power[seen] / expected[seen]
        assert np.std(ratio) / np.mean(ratio) < 0.06
        rank = np.argsort(k[seen])
        thirds = [part.mean() / ratio.mean() for part in np.array_split(ratio[rank], 3)]
        np.testing.assert_allclose(thirds, 1, atol=0.02)

    def test_a_generator_repeats(self, view):
        shape = torch.Size((2, 48, 80))
        assert torch.equal(view.noise(shape, draws(3)), view.noise(shape, draws(3)))
        assert not torch.equal(view.noise(shape, draws(3)), view.noise(shape, draws(4)))


class TestView:
    def test_is_clipped_and_in_eight_bits(self, view):
        stamps = doubles(40)
        seen = view(3.7 * stamps, torch.full((40,), 0.02), draws())
        torch.testing.assert_close(seen.amax(dim=(1, 2)), torch.ones(40))
        steps = WHITE * seen
        assert float((steps - steps.round()).abs().max()) < 1e-3 and float(seen.min()) == 0
        # the faintest that is left has risen over the clip in the noisy image
        noisy = stamps / stamps.amax(dim=(1, 2), keepdim=True) + 0.02 * view.noise(stamps.shape, draws())
        lit = seen > 0
        assert bool((noisy[lit] > CLIP * 0.02).all())
        # nearly all that rises over it by a step and lies in the source is kept
        bright = (stamps / stamps.amax(dim=(1, 2), keepdim=True) > 0.1) & (noisy > CLIP * 0.02 + 0.01)
        assert float(lit[bright].float().mean()) > 0.999

    def test_brightness_does_not_matter(self, view):
        stamps = doubles(5)
        one, other = (view(scale * stamps, torch.full((5,), 0.02), draws()) for scale in (1.0, 0.01))
        torch.testing.assert_close(one, other, atol=1.5 / WHITE, rtol=0)

    def test_specks_of_noise_are_gone(self, view):
        # far from the source nothing is lit, however noisy
        seen = view(blob(-15.0).expand(300, -1, -1), torch.full((300,), 0.1), draws())
        assert float(seen[:, :, 50:].amax()) == 0 and float(seen[:, 23:25, 24:26].amax()) == 1

    def test_blank_stamps_are_harmless(self, view):
        seen = view(torch.zeros(2, 48, 80), torch.full((2,), 0.05), draws())
        assert bool(torch.isfinite(seen).all()) and float(seen.abs().max()) == 0

    def test_gradient_reaches_the_stamp(self, view):
        stamps = doubles(3).requires_grad_()
        seen = view(stamps, torch.full((3,), 0.02), draws())
        (seen * torch.linspace(0, 1, 80)).sum().backward()
        assert bool(torch.isfinite(stamps.grad).all())
        assert float(stamps.grad[seen > 0].abs().min()) > 0
        # none where the noise cuts a pixel away
        clean = stamps.detach() / stamps.detach().amax(dim=(1, 2), keepdim=True)
        cut = clean + 0.02 * view.noise(stamps.shape, draws()) <= CLIP * 0.02
        assert bool(cut.any()) and float(stamps.grad[cut].abs().max()) == 0

    def test_gradient_is_that_of_the_values(self, view):
        # steps apart, the view is linear in a pixel that is neither the peak nor cut away
        stamps = doubles(1).requires_grad_()
        noise = torch.full((1,), 0.005)
        seen = view(stamps, noise, draws())
        weight = torch.rand(seen.shape, generator=draws(1))
        (seen * weight).sum().backward()
        place = (0, 23, 39)
        changed = stamps.detach().clone()
        changed[place] += 0.2
        slope = ((view(changed, noise, draws()) - seen.detach()) * weight).sum() / 0.2
        most = float(stamps.grad.abs().max())
        assert float(slope) == pytest.approx(float(stamps.grad[place]), abs=0.05 * most + 0.02)

    def test_agrees_with_how_stamps_are_observed(self, view):
        stamps, noise = doubles(250), np.random.default_rng(1).uniform(0.01, 0.05, 250)
        # turned to the sky and back, an observed stamp's edges move by up to half a pixel
        here = view.turned(stamps, torch.from_numpy(noise).float(), draws()).numpy()
        there, again = (observe_stamps(stamps.numpy(), noise, beam_sigma=ARCH.beam_sigma,
                                       rng=np.random.default_rng(seed)).images for seed in (2, 3))

        def measures(images):
            lit = images > 0.5 / WHITE
            x = X.numpy()
            along = images.sum(axis=1) / images.sum(axis=(1, 2))[:, None]
            spread = np.sqrt((along * x**2).sum(axis=1) - (along * x).sum(axis=1) ** 2)
            return np.stack([lit.sum(axis=(1, 2)), images.sum(axis=(1, 2)), spread, (images > 0.3).sum(axis=(1, 2))])

        a, b, c = measures(here), measures(there), measures(again)
        ratio = a.mean(axis=1) / b.mean(axis=1)
        # area above nothing, flux, size, and area above 0.3
        assert (np.abs(ratio - 1) < [0.1, 0.03, 0.03, 0.08]).all()
        # stamp by stamp, as alike as two observations of it, each with noise of its own
        for mine, first, second in zip(a, b, c, strict=True):
            assert np.corrcoef(mine, first)[0, 1] > np.corrcoef(first, second)[0, 1] - 0.05 > 0.7


class TestJitter:
    def test_none_changes_nothing(self):
        stamps = doubles(4)
        torch.testing.assert_close(jitter(stamps, draws(), zoom=0.0, shift=0.0), stamps, atol=1e-6, rtol=0)

    def test_shifts(self):
        stamps = blob(0.0).expand(400, -1, -1)
        moved = jitter(stamps, draws(), zoom=0.0, shift=2.0)
        along = moved.sum(dim=1) / moved.sum(dim=(1, 2))[:, None]
        place = (along * X).sum(dim=1)
        assert float(place.abs().max()) <= 2.01 and float(place.std()) == pytest.approx(2 / 3**0.5, rel=0.1)
        torch.testing.assert_close(moved.sum(dim=(1, 2)), stamps.sum(dim=(1, 2)), rtol=1e-3, atol=0)

    def test_zooms_about_the_middle(self):
        stamps = (blob(-10.0) + blob(10.0)).expand(300, -1, -1)
        moved = jitter(stamps, draws(), zoom=0.1, shift=0.0)
        weight = moved.sum(dim=1)[:, 40:]
        place = (weight * X[40:]).sum(dim=1) / weight.sum(dim=1)
        factor = torch.log(place / 10)
        assert float(factor.abs().max()) < 0.11 and float(factor.std()) == pytest.approx(0.1 / 3**0.5, rel=0.15)

    def test_gradient_passes(self):
        stamps = doubles(2).requires_grad_()
        jitter(stamps, draws(), zoom=0.1, shift=1.0).sum().backward()
        assert float(stamps.grad[:, 10:-10, 12:-12].min()) > 0
