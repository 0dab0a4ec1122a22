"""The discriminator that the decoder learns from once the likelihood has taught it what it can.

It compares stamps as the survey shows them, noise and clip included, so that what is learnt is the sky behind the
noisy images and not the noise (AmbientGAN: Bora et al. 2018, ICLR). The loss pairs a real with a generated stamp of the
same class, extent and bending (2018arXiv180700734J) and penalises the discriminator's gradients at both
(2025arXiv250105441H); the gradients are taken from differences, which needs no second derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from skygal.morphology.networks import Architecture

__all__ = ["Adversary", "Discriminator"]

#: most of a stamp is dark: so its pixels have a scatter of about 1
CONTRAST = 8.0
#: steps between two penalties, which weigh as much more
PENALTY_EVERY = 2


class Discriminator(nn.Module):
    """A stamp as seen, and what it is conditioned on, to one number, higher for real ones.

    It looks at two pixels to one and takes the brightest of four after each convolution, as
    `skygal.training.stamp_net.StampNet` does, of which the two-sample tests are made.

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
