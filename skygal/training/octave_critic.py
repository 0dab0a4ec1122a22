"""What tells drawn octaves from an atlas: a network that looks at places in maps, none larger than some beams."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from skygal.morphology.octave_inputs import INFORMATION

__all__ = ["OctaveCritic", "critic_loss", "critic_rate"]

#: of the peak: what is fainter is nothing; and what is brighter counts as a place in the source
FAINTEST, LIT = 1e-4, 0.005
#: pixels across which what is beside such a place counts too, so that holes do
NEAR = 13
#: pixels across which the brightest is looked for, and decades below it that are seen
AROUND, DECADES = 25, 2.0


def _layer(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.LeakyReLU(0.2)]


class OctaveCritic(nn.Module):
    """Maps to logits of being real, at places: some beams wide, and about one beam wide.

    It sees the logarithm of the brightness, that relative to the brightest pixel around, this ratio itself, which shows
    how compact what is bright is, and what the octave is told of places, so that it can miss a core or a hotspot.
    """

    def __init__(self) -> None:
        super().__init__()
        seen = 3 + INFORMATION
        self.wide = nn.Sequential(*_layer(seen, 24, 2), *_layer(24, 48), *_layer(48, 64, 2), *_layer(64, 64),
                                  nn.Conv2d(64, 1, 1))
        self.narrow = nn.Sequential(*_layer(seen, 16), *_layer(16, 24, 2), nn.Conv2d(24, 1, 3))

    def forward(self, maps: torch.Tensor, information: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return logits and the weight of each place.

        Parameters
        ----------
        maps : Tensor, shape (n, 1, ratio h, ratio w)
            Of peak about 1.
        information : Tensor, shape (n, INFORMATION, h, w)
            See `skygal.morphology.octave_inputs.place_maps`.
        """
        logarithm = torch.log10(maps.clamp_min(FAINTEST))
        # along one axis after the other: much faster
        brightest = functional.max_pool2d(logarithm, (AROUND, 1), 1, (AROUND // 2, 0))
        brightest = functional.max_pool2d(brightest, (1, AROUND), 1, (0, AROUND // 2))
        below = logarithm - brightest
        seen = torch.cat([logarithm / 2 + 1, below.clamp_min(-DECADES) + DECADES / 2, 10**below,
                          functional.interpolate(information, size=maps.shape[2:])], dim=1)
        lit, found = functional.max_pool2d((maps > LIT).float(), NEAR, 1, NEAR // 2), []
        for part in (self.wide, self.narrow):
            logits = part(seen).float()
            weight = functional.adaptive_avg_pool2d(lit, logits.shape[-2:])
            found.append((logits, weight / weight.mean((1, 2, 3), keepdim=True).clamp_min(1e-3)))
        return found


def critic_loss(found: list[tuple[torch.Tensor, torch.Tensor]], sign: float) -> torch.Tensor:
    """Return the logistic loss of maps that are to be taken for real (``sign`` 1) or drawn (-1)."""
    return sum(((weight * functional.softplus(-sign * logits)).mean() for logits, weight in found),
               torch.zeros(())) / len(found)


def critic_rate(found: list[tuple[torch.Tensor, torch.Tensor]], sign: float) -> float:
    """Return in how many places the critic is right."""
    return float(sum((weight * (sign * logits > 0)).mean() for logits, weight in found) / len(found))
