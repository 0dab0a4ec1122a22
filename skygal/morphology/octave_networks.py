"""The networks of an octave: from a galaxy seen with one beam to the same galaxy seen with a beam of half the width.

Maps are surface brightness on pixels of a third of the beam's FWHM. Pixel (2j, 2i) of the fine map is in the place of
pixel (j, i) of the coarse one.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from skygal.morphology.octave_inputs import INFORMATION, LOCAL, PIXELS_PER_BEAM, WHOLE
from skygal.observation.ellipse import FWHM

__all__ = ["Octave", "OctaveGuide", "correct", "logarithm", "repeat_linearly", "smooth", "upsample"]

#: of the peak: what is fainter is nothing to the networks
FAINTEST = 1e-4
#: of the peak: no pixel is less before it is changed
NOTHING = 1e-7
#: of the peak, added to both sides of a ratio of brightnesses
TINY = 1e-5
#: the sky is brighter or fainter than the coarse map by at most exp(this)
STEEPEST = 6.0
#: how often a sky is corrected in training
CORRECTIONS = 2
#: a correction's factor is within this and one over this
BOUND = 4.0


def _gaussian(fwhm: float) -> torch.Tensor:
    """Return a Gaussian of unit sum on pixels, cut off at five standard deviations."""
    sigma = fwhm / FWHM
    offsets = torch.arange(-math.ceil(5 * sigma), math.ceil(5 * sigma) + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma)**2)
    return (kernel / kernel.sum()).float()


#: the fine map's beam, the coarse one's in the fine map's pixels, and what turns the one into the other
_FINE, _COARSE = _gaussian(PIXELS_PER_BEAM), _gaussian(2 * PIXELS_PER_BEAM)
_BETWEEN = _gaussian(math.sqrt(3) * PIXELS_PER_BEAM)
#: interpolation half-way between pixels: a sinc in a Hann window of nine
_halves = torch.arange(-4, 4, dtype=torch.float64) + 0.5
_HALFWAY = torch.sinc(_halves) * torch.cos(math.pi * _halves / 9)**2
_HALFWAY = (_HALFWAY / _HALFWAY.sum()).float()


def smooth(fine: torch.Tensor) -> torch.Tensor:
    """Return maps (n, 1, 2h, 2w) as a beam of twice the width sees them, (n, 1, h, w)."""
    return _convolve(fine, _BETWEEN, 2)


def _convolve(maps: torch.Tensor, kernel: torch.Tensor, stride: int) -> torch.Tensor:
    """Return maps (n, 1, ny, nx) convolved with a Gaussian, every pixel or every second one."""
    kernel, reach = kernel.to(maps), len(kernel) // 2
    rows = functional.conv2d(functional.pad(maps, (0, 0, reach, reach)), kernel[None, None, :, None],
                             stride=(stride, 1))
    return functional.conv2d(functional.pad(rows, (reach, reach, 0, 0)), kernel[None, None, None, :],
                             stride=(1, stride))


def upsample(coarse: torch.Tensor) -> torch.Tensor:
    """Return maps (n, 1, h, w) on pixels of half the size, (n, 1, 2h, 2w), as smooth as they were."""
    kernel = _HALFWAY.to(coarse)
    down = functional.conv2d(functional.pad(coarse, (0, 0, 3, 4)), kernel[None, None, :, None])
    rows = _interleave(coarse, down, 2)
    return _interleave(rows, functional.conv2d(functional.pad(rows, (3, 4, 0, 0)), kernel[None, None, None, :]), 3)


def repeat_linearly(coarse: torch.Tensor) -> torch.Tensor:
    """Return maps (n, c, h, w) on pixels of half the size, (n, c, 2h, 2w), by linear interpolation."""
    for dim in (2, 3):
        last = coarse.shape[dim] - 1
        after = torch.cat([coarse.narrow(dim, 1, last), coarse.narrow(dim, last, 1)], dim)
        coarse = _interleave(coarse, (coarse + after) / 2, dim)
    return coarse


def _interleave(even: torch.Tensor, odd: torch.Tensor, dim: int) -> torch.Tensor:
    shape = list(even.shape)
    shape[dim] *= 2
    return torch.stack([even, odd], dim=dim + 1).reshape(shape)


def correct(sky: torch.Tensor, coarse: torch.Tensor, times: int) -> torch.Tensor:
    """Return skies (n, 1, 2h, 2w) that the coarse beam sees closer to how it should, (n, 1, h, w), of peak about 1.

    Each time they are multiplied by the ratio of what they should be, once seen, to what they are. So they stay
    positive, and nothing is where nothing was.
    """
    for _ in range(times):
        ratio = (coarse + TINY) / (_convolve(sky, _COARSE, 2) + TINY)
        sky = sky * repeat_linearly(ratio.clamp(1 / BOUND, BOUND))
    return sky


def logarithm(brightness: torch.Tensor) -> torch.Tensor:
    """Return -1 to 1 for brightness of `FAINTEST` or less, to the peak, 1."""
    return torch.log10(brightness.clamp_min(FAINTEST)) / 2 + 1


def _layer(before: int, after: int, *, stride: int = 1, apart: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=apart, dilation=apart)


def _bend(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.1)


class Octave(nn.Module):
    """A coarse map and latents to the fine map.

    What the network gives is the logarithm of the factor by which the sky is brighter than the coarse map, so that all
    of it is positive and it ends where that does. The fine map is the sky seen with the fine beam: nothing is finer.

    Parameters
    ----------
    width, inner, last : int
        Features at the coarse map's pixels, at every second one of them, and at the fine map's.
    """

    def __init__(self, width: int = 32, inner: int = 48, last: int = 16) -> None:
        super().__init__()
        self.enter, self.coarse = _layer(1 + INFORMATION + WHOLE, width), _layer(width, width)
        self.down, self.local = _layer(width, inner, stride=2), nn.Conv2d(LOCAL, inner, 1)
        self.inner = nn.ModuleList([_layer(inner, inner), _layer(inner, inner, apart=2), _layer(inner, inner)])
        self.up, self.joined = nn.Conv2d(inner, width, 1), _layer(width, width)
        self.thin, self.fine, self.out = nn.Conv2d(width, last, 1), _layer(last + 1, last), _layer(last, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def forward(self, coarse: torch.Tensor, information: torch.Tensor, local: torch.Tensor, whole: torch.Tensor,
                noise: torch.Tensor | float = 0.0, times: int = CORRECTIONS) -> torch.Tensor:
        """Return fine maps (n, 1, 2h, 2w).

        Parameters
        ----------
        coarse : Tensor, shape (n, 1, h, w)
            Of peak 1, with even sides.
        information : Tensor, shape (n, INFORMATION, h, w)
        local, whole : Tensor, shape (n, LOCAL, h / 2, w / 2) and (n, WHOLE)
            Latents, N(0, 1).
        noise : Tensor, shape (n, 1, h, w), optional
            What is added to the logarithm of the coarse map that the network sees, so that in training it does not
            learn to sharpen what only a map without any error would show.
        times : int
            How often the sky is corrected, see `correct`.
        """
        with torch.autocast(coarse.device.type, enabled=False):
            base = upsample(coarse).clamp_min(NOTHING)
        spread = whole[:, :, None, None].expand(-1, -1, *coarse.shape[2:])
        near = torch.cat([logarithm(coarse) + noise, information, spread], dim=1)
        near = _bend(self.coarse(_bend(self.enter(near))))
        far = _bend(self.down(near) + self.local(local))
        for layer in self.inner:
            far = far + _bend(layer(far))
        near = near + functional.interpolate(self.up(far), scale_factor=2, mode="bilinear")
        near = repeat_linearly(self.thin(_bend(self.joined(near))))
        change = self.out(_bend(self.fine(torch.cat([near, logarithm(base)], dim=1)))).float()
        with torch.autocast(coarse.device.type, enabled=False):
            sky = base * torch.exp(STEEPEST * torch.tanh(change / STEEPEST))
            return _convolve(correct(sky, coarse, times), _FINE, 1)


class OctaveGuide(nn.Module):
    """A fine map and the coarse one to location and logarithmic scale of the latents."""

    def __init__(self, width: int = 32, inner: int = 48) -> None:
        super().__init__()
        self.enter, self.coarse = _layer(4 + 1 + INFORMATION, width), _layer(width, width)
        self.down, self.inner = _layer(width, inner, stride=2), _layer(inner, inner)
        self.local = nn.Conv2d(inner, 2 * LOCAL, 1)
        self.whole = nn.Sequential(nn.Linear(inner, 32), nn.ReLU(), nn.Linear(32, 2 * WHOLE))

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor, information: torch.Tensor
                ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return location and scale of the local latents, and of those of the whole."""
        seen = torch.cat([functional.pixel_unshuffle(logarithm(fine), 2), logarithm(coarse), information], dim=1)
        hidden = _bend(self.down(_bend(self.coarse(_bend(self.enter(seen))))))
        hidden = hidden + _bend(self.inner(hidden))
        local, log_local = self.local(hidden).float().chunk(2, 1)
        whole, log_whole = self.whole(hidden.mean((2, 3)).float()).chunk(2, 1)
        return local, torch.exp(log_local.clamp(-5, 1)), whole, torch.exp(log_whole.clamp(-5, 1))
