"""The conditional VAE as a Pyro model and guide."""

from __future__ import annotations

import math

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from pyro.distributions import TorchDistribution, constraints
from torch import nn

from skygal.morphology.networks import Architecture, ConditionalFlow, Decoder, Encoder, stretch

__all__ = ["GalaxyModel", "LatentPrior"]


class LatentPrior(TorchDistribution):
    """p(z | class, extent): the distribution of the flow's output for u ~ N(0, I).

    Parameters
    ----------
    flow : ConditionalFlow
        The flow.
    condition : `~torch.Tensor`
        Shape (n, k).
    """

    arg_constraints: dict = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, flow: ConditionalFlow, condition: torch.Tensor, latent_dim: int) -> None:
        self.flow, self.condition = flow, condition
        super().__init__(torch.Size([len(condition)]), torch.Size([latent_dim]), validate_args=False)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        """Return a sample; ``sample_shape`` must be empty."""
        if sample_shape:
            raise ValueError("sample_shape must be empty, since each condition has one sample, "
                             f"got {tuple(sample_shape)}")
        u = torch.randn(*self.batch_shape, *self.event_shape)
        return self.flow(u, self.condition)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Return ln p(z | condition), shape (n,)."""
        u, log_det = self.flow.inverse(z, self.condition)
        return log_det - 0.5 * (u**2).sum(dim=1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


class GalaxyModel(nn.Module):
    """A radio galaxy's stamp x, its latents z, and what they are conditioned on.

    The model is z ~ p(z | class, extent), a conditional flow, and sqrt(x) ~ N(sqrt(decoder(z,
    class, extent)), sigma): a Gaussian on square-root-stretched pixels, which weighs lobes against
    cores. The guide is a diagonal Gaussian q(z | x, class, extent).

    Parameters
    ----------
    arch : Architecture
        The networks' shape.
    sigma : float
        Standard deviation of a stretched pixel.
    dropout : float
        In the encoder, while training.
    flow_dropout : float
        In the prior, while training.
    """

    def __init__(self, arch: Architecture, *, sigma: float = 0.05, dropout: float = 0.1,
                 flow_dropout: float = 0.1) -> None:
        super().__init__()
        self.arch, self.sigma = arch, sigma
        self.decoder = Decoder(arch)
        self.flow = ConditionalFlow(arch, flow_dropout)
        self.encoder = Encoder(arch, dropout)

    def model(self, stamps: torch.Tensor, condition: torch.Tensor, target: torch.Tensor | None = None,
              kl_weight: float = 1.0) -> None:
        """Pyro model: stamps (n, ny, nx) of peak 1 and condition (n, k).

        ``target``, if given, is what the decoder must show; ``stamps`` is then a noisy view of it.
        """
        pyro.module("decoder", self.decoder)
        pyro.module("flow", self.flow)
        seen = stamps if target is None else target
        with pyro.plate("stamps", len(stamps)):
            with poutine.scale(scale=kl_weight):
                z = pyro.sample("z", LatentPrior(self.flow, condition, self.arch.latent_dim))
            image = stretch(self.decoder(z, condition))
            pyro.sample("x", dist.Normal(image, self.sigma, validate_args=False).to_event(2),
                        obs=stretch(seen))

    def guide(self, stamps: torch.Tensor, condition: torch.Tensor, target: torch.Tensor | None = None,
              kl_weight: float = 1.0) -> None:
        """Pyro guide, with the arguments of `model`."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("stamps", len(stamps)), poutine.scale(scale=kl_weight):
            loc, scale = self.encoder(stretch(stamps), condition)
            pyro.sample("z", dist.Normal(loc, scale, validate_args=False).to_event(1))
