"""The discriminators that the decoder learns from once the likelihood has taught it what it can.

The first compares stamps as the survey shows them, noise and clip included, so that what is learnt is the sky behind
the noisy images and not the noise (AmbientGAN: Bora et al. 2018, ICLR). The loss pairs a real with a generated stamp of
the same class, extent and bending (2018arXiv180700734J) and penalises the discriminator's gradients at both
(2025arXiv250105441H); the gradients are taken from differences, which needs no second derivatives.

The second looks at power by scale and symmetry, size and lit area alone (as Chen et al. 2021, 2020arXiv201205535C, with
power spectra): a network that looks at pixels sees such sums badly, and a decoder that it teaches gives too few of the
extreme ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from skygal.morphology.networks import Architecture

__all__ = ["Adversary", "ImageDiscriminator", "StructureDiscriminator", "measure_structure"]

#: most of a stamp is dark: so its pixels have a scatter of about 1
CONTRAST = 8.0
#: steps between two penalties, which weigh as much more
PENALTY_EVERY = 2
#: limits of the bands of scale, in cycles per FWHM of the beam: from 25 beams to 1.3
BANDS = (0.04, 0.07, 0.11, 0.16, 0.24, 0.35, 0.5, 0.75)
#: powers are told apart down to this part of that at frequency zero
LEAST_POWER = 1e-5
#: of a stamp's peak; what is fainter by much hardly counts as lit
LIT = 0.01
#: values within so many standard deviations of real stamps' are passed on
MOST = 6.0


class ImageDiscriminator(nn.Module):
    """A stamp as seen, and what it is conditioned on, to one number, higher for real ones.

    It looks at two pixels to one and takes the brightest of four after each convolution, as
    `skygal.training.stamp_classifier.StampClassifier` does, of which the two-sample tests are made.

    Parameters
    ----------
    arch : Architecture
        Frame and condition.
    widths : tuple of int
        Channels of the convolutions; after each the image is halved.
    precision : str
        "bfloat16" or "float32", of the convolutions.
    """

    HIDDEN = 64

    def __init__(self, arch: Architecture, widths: tuple[int, ...], precision: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((1, *widths), widths, strict=False):
            # what comes after the pooling has a quarter of the work
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.MaxPool2d(2, ceil_mode=True), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ny, nx = (-(-size // 2 ** (len(widths) + 1)) for size in arch.shape)
        self.dense = nn.Linear(widths[-1] * ny * nx, self.HIDDEN)
        self.out = nn.Linear(self.HIDDEN, 1)
        self.embed = nn.Sequential(nn.Linear(arch.condition_dim, 64), nn.LeakyReLU(0.2), nn.Linear(64, self.HIDDEN))
        self.mixed = precision == "bfloat16"
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                # the default start shrinks what is seen twofold in each layer
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.out.weight, std=0.01)

    def forward(self, seen: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return scores (n,) of stretched stamps (n, ny, nx)."""
        with torch.autocast(seen.device.type, torch.bfloat16, enabled=self.mixed):
            coarse = functional.avg_pool2d(CONTRAST * seen[:, None], 2)
            hidden = self.body(coarse.contiguous(memory_format=torch.channels_last)).flatten(1)
            hidden = self.dense(hidden)
        hidden = functional.leaky_relu(hidden.float(), 0.2)
        # a projection onto the condition (2018arXiv180205637M)
        return self.out(hidden)[:, 0] + 4 * (hidden * self.embed(condition)).mean(dim=1)


class Adversary:
    """A discriminator in training.

    Parameters
    ----------
    network : `~torch.nn.Module`
        To scores (n,) from what it looks at and the condition.
    rate : float
        Learning rate.
    penalty : float
        Weight of the mean squared gradients.
    probe : float
        Standard deviation of the differences that the gradients are taken from, in the unit of what it looks at.
    """

    def __init__(self, network: nn.Module, *, rate: float, penalty: float, probe: float) -> None:
        self.network = network
        self.adam = torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, 0.99), fused=True)
        self.rate, self.penalty, self.probe, self.steps = rate, penalty, probe, 0

    def step(self, real: torch.Tensor, fake: torch.Tensor, condition: torch.Tensor, share: float) -> float:
        """Teach the discriminator real from generated stamps; return its loss.

        ``share`` is that of the whole learning rate to take.
        """
        fake = fake.detach()
        views = [real, fake]
        penalised = self.steps % PENALTY_EVERY == 0
        if penalised:
            views += [view + self.probe * torch.randn(view.shape, device=view.device) for view in (real, fake)]
        scores = self.network(torch.cat(views), condition.repeat(len(views), 1)).chunk(len(views))
        loss = total = functional.softplus(scores[1] - scores[0]).mean()
        if penalised:
            slope = sum((((scores[k + 2] - scores[k]) / self.probe) ** 2).mean() for k in range(2))
            total = loss + 0.5 * PENALTY_EVERY * self.penalty * slope
        self.adam.param_groups[0]["lr"] = self.rate * share
        self.adam.zero_grad()
        total.backward()
        self.adam.step()
        self.steps += 1
        return float(loss.detach())

    def judge(self, real: torch.Tensor, fake: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the generator's loss: how surely generated stamps are told from real ones."""
        self.network.requires_grad_(False)
        with torch.no_grad():
            of_real = self.network(real, condition)
        loss = functional.softplus(of_real - self.network(fake, condition)).mean()
        self.network.requires_grad_(True)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs."""
        return {"network": self.network.state_dict(), "adam": self.adam.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        self.steps = state["steps"]


def measure_structure(seen: torch.Tensor, *, beam_fwhm: float) -> torch.Tensor:
    """Measure stamps, with gradients.

    Parameters
    ----------
    seen : `~torch.Tensor`
        Shape (n, ny, nx), not negative, the principal axis along x, peak 1.
    beam_fwhm : float
        In pixels.

    Returns
    -------
    `~torch.Tensor`
        Shape (n, 33): natural logarithms of the mean power in seven bands of scale, split by symmetry about the
        centre of the flux (even in x and y, even in x only, even in y only, odd in both); of the second moments
        along y and x; of the flux, the lit area and the sum of squares, in units of the peak.

    Notes
    -----
    About the centre of flux, the real part of the Fourier transform belongs to what half a turn leaves as it is, and
    the imaginary part to what it reverses; sums and differences of F(kx, ky) and F(kx, -ky) split both by
    their symmetry in y.
    """
    ny, nx = seen.shape[1:]
    like = {"device": seen.device, "dtype": seen.dtype}
    flux = seen.sum(dim=(1, 2)).clamp_min(1e-6)
    y, x = (torch.arange(size, **like) - (size - 1) / 2 for size in (ny, nx))
    by_row, by_column = seen.sum(dim=2) / flux[:, None], seen.sum(dim=1) / flux[:, None]
    middle_y, middle_x = (by_row * y).sum(dim=1), (by_column * x).sum(dim=1)
    spread_y = (by_row * (y - middle_y[:, None]) ** 2).sum(dim=1)
    spread_x = (by_column * (x - middle_x[:, None]) ** 2).sum(dim=1)

    ky, kx = torch.fft.fftfreq(ny, **like), torch.fft.rfftfreq(nx, **like)
    turn = (torch.exp(2j * torch.pi * ky * (middle_y[:, None] + (ny - 1) / 2))[:, :, None]
            * torch.exp(2j * torch.pi * kx * (middle_x[:, None] + (nx - 1) / 2))[:, None, :])
    wave = torch.fft.rfft2(seen / flux[:, None, None]) * turn
    mirrored = torch.cat([wave[:, :1], wave[:, 1:].flip(1)], dim=1)
    even, odd = (wave + mirrored) / 2, (wave - mirrored) / 2
    power = torch.stack([even.real, odd.imag, even.imag, odd.real], dim=1) ** 2
    k = torch.hypot(ky[:, None], kx[None]) * beam_fwhm
    band = torch.stack([((k >= low) & (k < high)).to(seen.dtype)
                        for low, high in zip(BANDS[:-1], BANDS[1:], strict=True)])
    mean = torch.einsum("nsyx,byx->nsb", power, band) / band.sum(dim=(1, 2)).clamp_min(1.0)
    sums = torch.stack([spread_y + 0.1, spread_x + 0.1, flux, (seen / (seen + LIT)).sum(dim=(1, 2)) + 1.0,
                        (seen**2).sum(dim=(1, 2)) + 1.0], dim=1)
    return torch.log(torch.cat([(mean + LEAST_POWER).flatten(1), sums], dim=1))


class StructureDiscriminator(nn.Module):
    """What `measure_structure` gives, and a stamp's condition, to one number, higher for real ones.

    Parameters
    ----------
    arch : Architecture
        The condition.
    real : `~torch.Tensor`
        Shape (n, k), of real stamps: their means and scatter standardise.
    """

    WIDTH = 96

    def __init__(self, arch: Architecture, real: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", real.mean(dim=0))
        self.register_buffer("scatter", real.std(dim=0).clamp_min(1e-3))
        width = self.WIDTH
        self.body = nn.Sequential(nn.Linear(real.shape[1] + arch.condition_dim, width), nn.LeakyReLU(0.2),
                                  nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
        nn.init.normal_(self.body[-1].weight, std=0.01)

    def standardise(self, structure: torch.Tensor) -> torch.Tensor:
        """Return structure (n, k) in units of real stamps' scatter about their mean."""
        return MOST * torch.tanh((structure - self.mean) / self.scatter / MOST)

    def forward(self, standard: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return scores (n,) of standardised structure (n, k)."""
        return self.body(torch.cat([standard, condition], dim=1))[:, 0]
