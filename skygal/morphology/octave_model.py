"""An octave as a conditional VAE: its Pyro model and guide."""

from __future__ import annotations

import pyro
import torch
from pyro import distributions as dist
from pyro import poutine
from torch import nn

from skygal.morphology.octave_inputs import LOCAL, PIXELS_PER_BEAM, WHOLE
from skygal.morphology.octave_networks import FirstOctaves, Octave, OctaveGuide
from skygal.morphology.octave_seeing import look_closer

__all__ = ["OctaveModel"]

#: of the peak: what is fainter does not count in the likelihood
FLOOR = 3e-4
#: scales of the Laplace distributions of the decimal logarithm of brightness, and of its square root
LOGARITHM, ROOT = 0.04, 0.005
#: pixels that are one measurement: those of a beam, about
CORRELATED = PIXELS_PER_BEAM**2 + 1
#: fine pixels at the rims of maps that do not count, since the networks do not see what is beyond
RIM = 8


class OctaveModel(nn.Module):
    """A fine map x, its latents, and the given map that both are conditioned on.

    The model is z ~ N(0, I), local and of the whole, and two Laplace distributions about the octave's fine map: of the
    logarithm of the brightness, and of its square root. The guide is a diagonal Gaussian q(z | x, given map).

    Parameters
    ----------
    octave : Octave or FirstOctaves
        What draws fine maps.
    """

    def __init__(self, octave: Octave | FirstOctaves) -> None:
        super().__init__()
        self.octave, self.encoder = octave, OctaveGuide(octave.ratio, octave.pixels)

    def model(self, fine: torch.Tensor, given: torch.Tensor, information: torch.Tensor, noise: torch.Tensor,
              core: torch.Tensor, kl_weight: float = 1.0) -> None:
        """Pyro model: fine maps, given ones, and the rest of the octave's inputs, (n, any, h, w).

        Fine maps are seen as `look_closer` sees skies. What is drawn is a sky and a core, of a shape that adds to it.
        """
        pyro.module("octave", self.octave)
        n, _, h, w = information.shape
        with pyro.plate("maps", n):
            with poutine.scale(scale=kl_weight):
                local = pyro.sample("local", _normal(given.new_zeros(n, LOCAL, h // 2, w // 2), 1.0))
                whole = pyro.sample("whole", _normal(given.new_zeros(n, WHOLE), 1.0))
            drawn = _within(look_closer(self.octave.sky(given, information, local, whole, noise)) + core)
            seen = _within(fine)
            with poutine.scale(scale=1 / CORRELATED):
                pyro.sample("logarithm", _laplace(torch.log10(drawn.clamp_min(FLOOR)), LOGARITHM),
                            obs=torch.log10(seen.clamp_min(FLOOR)))
                pyro.sample("root", _laplace(drawn.clamp_min(1e-8).sqrt(), ROOT), obs=seen.clamp_min(1e-8).sqrt())

    def guide(self, fine: torch.Tensor, given: torch.Tensor, information: torch.Tensor, noise: torch.Tensor,
              core: torch.Tensor, kl_weight: float = 1.0) -> None:
        """Pyro guide, with the arguments of `model`."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("maps", len(fine)), poutine.scale(scale=kl_weight):
            local, local_scale, whole, whole_scale = self.encoder(fine, given, information)
            pyro.sample("local", _normal(local, local_scale))
            pyro.sample("whole", _normal(whole, whole_scale))


def _within(maps: torch.Tensor) -> torch.Tensor:
    return maps[:, :, RIM:-RIM, RIM:-RIM]


def _normal(location: torch.Tensor, scale: torch.Tensor | float) -> dist.Independent:
    return dist.Normal(location, scale, validate_args=False).to_event(location.dim() - 1)


def _laplace(location: torch.Tensor, scale: float) -> dist.Independent:
    return dist.Laplace(location, scale, validate_args=False).to_event(3)
