"""The networks of octaves: from a galaxy seen with one beam to the same galaxy seen with a beam of half the width.

Maps are surface brightness on pixels of a third of the beam's FWHM. Pixel (2j, 2i) of the fine map is in the place of
pixel (j, i) of the coarse one. The first network does three octaves at once, after a map that follows from the one
that is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.nn import functional

from skygal.morphology.octave_cores import CORE_LEVELS
from skygal.morphology.octave_inputs import FIRST_PIXELS, FIRST_RATIO, INFORMATION, LOCAL, PIXELS_PER_BEAM, WHOLE
from skygal.morphology.octave_seeing import beam_kernel, convolve, look, repeat_linearly, smooth
from skygal.morphology.octave_skies import agree, approach, correct, restore

__all__ = ["FirstOctaves", "Octave", "OctaveGuide", "add_grain", "logarithm"]

#: of the peak: what is fainter is nothing to the networks
FAINTEST = 1e-4
#: iterations from the coarse map to the sky that the network begins with
BEGINNINGS = 16
#: standard deviation of the natural logarithm of the grain that the network sees coarse maps with, and FWHM in pixels
GRAIN, GRAIN_FWHM = 0.1, PIXELS_PER_BEAM / 2
#: the sky is brighter or fainter than that by at most exp(this)
STEEPEST = 6.0
#: maps of noise on the coarse map's pixels that make one on the pixels of each of the first octaves
GRAINS = (4, 16, 64)
#: of octave 0, seen with a wider beam, what the first octaves' sky begins with beside what is restored
FAINT = 3e-4
#: how often a sky is corrected in training, and how often that of the first octaves is after it
CORRECTIONS, APPROACHES = 4, 12
#: pixels of the rows that a convolution does at a time: what it unfolds of them stays near the processor
ROWS_OF = 2048


def add_grain(coarse: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Return coarse maps with the grain that noise N(0, 1) of their shape makes."""
    kernel = beam_kernel(64, GRAIN_FWHM, 1)[32]
    return coarse * torch.exp(convolve(noise, GRAIN_FWHM, 1) * (GRAIN / float((kernel**2).sum())))


def logarithm(brightness: torch.Tensor) -> torch.Tensor:
    """Return -1 to 1 for brightness of `FAINTEST` or less, to the peak, 1."""
    return torch.log10(brightness.clamp_min(FAINTEST)) / 2 + 1


class _Convolution(nn.Conv2d):
    """Convolution with 3 x 3 weights; of large maps in double precision a few rows at a time, five times faster."""

    def __init__(self, before: int, after: int, *, stride: int = 1, apart: int = 1) -> None:
        super().__init__(before, after, 3, stride=stride, padding=apart, dilation=apart)
        self.step, self.around = stride, apart

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if maps.dtype != torch.float64 or maps.device.type != "cpu" or torch.is_grad_enabled():
            return super().forward(maps)
        high, wide = (-(-side // self.step) for side in maps.shape[2:])
        out, rows = maps.new_empty(len(maps), self.out_channels, high, wide), max(1, ROWS_OF // wide)
        padded = functional.pad(maps, (self.around,) * 4)
        for first in range(0, high, rows):
            last = min(first + rows, high) - 1
            part = padded[:, :, self.step * first:self.step * last + 2 * self.around + 1]
            out[:, :, first:last + 1] = functional.conv2d(part, self.weight, self.bias, self.stride,
                                                          dilation=self.dilation)
        return out


def _layer(before: int, after: int, *, stride: int = 1, apart: int = 1) -> nn.Conv2d:
    return _Convolution(before, after, stride=stride, apart=apart)


def _bend(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.1)


class _Trunk(nn.Module):
    """What is seen around each coarse pixel, and latents, to features there."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.enter, self.coarse = _layer(5 + INFORMATION + WHOLE, width), _layer(width, width)
        self.down, self.local = _layer(width, inner, stride=2), nn.Conv2d(LOCAL, inner, 1)
        self.inner = nn.ModuleList([_layer(inner, inner), _layer(inner, inner, apart=2), _layer(inner, inner)])
        self.up, self.joined = nn.Conv2d(inner, width, 1), _layer(width, width)

    def forward(self, seen: torch.Tensor, sharp: torch.Tensor, information: torch.Tensor, local: torch.Tensor,
                whole: torch.Tensor) -> torch.Tensor:
        spread = whole[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        near = torch.cat([seen, functional.pixel_unshuffle(sharp, 2), information, spread], dim=1)
        near = _bend(self.coarse(_bend(self.enter(near))))
        far = _bend(self.down(near) + self.local(local))
        for layer in self.inner:
            far = far + _bend(layer(far))
        near = near + functional.interpolate(self.up(far), scale_factor=2, mode="bilinear")
        return _bend(self.joined(near))


class _Drawing(nn.Module, ABC):
    """A coarse map and latents to the fine map, whose pixels are ``ratio`` times smaller than those of what is given.

    What the network gives is the logarithm of the factor by which the sky is brighter than what can be said of it from
    the coarse map alone, so that all of it is positive and it ends where that does. That is the coarse map, restored
    by Lucy's iteration. The fine map is the sky seen with the fine beam: nothing is finer.

    Parameters
    ----------
    width, inner, last : int
        Features at the coarse map's pixels, at every second one of them, and at the fine map's.
    """

    #: pixels of the fine map along one of the map that is given, and of that along one of the coarse map, which is the
    #: network's own
    ratio, pixels = 2, 1
    #: maps of noise that it takes, and what the fine map's pixels are given beside features
    noises, beside = 1, 1

    def __init__(self, width: int, inner: int, last: int) -> None:
        super().__init__()
        self.sizes = width, inner, last
        self.trunk = _Trunk(width, inner)
        self.fine, self.out = _layer(last + self.beside, last), _layer(last, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def forward(self, given: torch.Tensor, information: torch.Tensor, local: torch.Tensor, whole: torch.Tensor,
                noise: torch.Tensor, times: int | None = None) -> torch.Tensor:
        """Return fine maps, (n, 1, ratio pixels h, ratio pixels w): skies as the fine beam sees them.

        The arguments are those of `sky`.
        """
        return look(self.sky(given, information, local, whole, noise, times))

    @abstractmethod
    def sky(self, given: torch.Tensor, information: torch.Tensor, local: torch.Tensor, whole: torch.Tensor,
            noise: torch.Tensor, times: int | None = None) -> torch.Tensor:
        """Return skies behind fine maps.

        Parameters
        ----------
        given : Tensor, shape (n, 1, pixels h, pixels w)
            What the coarse map, of even sides h and w and of peak 1, follows from. All but the network is computed in
            its precision.
        information : Tensor, shape (n, INFORMATION, h, w)
        local, whole : Tensor, shape (n, LOCAL, h / 2, w / 2) and (n, WHOLE)
            Latents, N(0, 1).
        noise : Tensor, shape (n, noises, h, w)
            N(0, 1). Of the first the grain is made that the network sees the coarse map with, in training and after,
            so that it draws what only a map without any error would show (Ho et al. 2022, arXiv:2106.15282).
        times : int, optional
            How often the sky is corrected, see `agree`, where it is at all; a few times by `correct`, if not given.
        """

    def _begin(self, coarse: torch.Tensor, information: torch.Tensor, local: torch.Tensor, whole: torch.Tensor,
               noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the sky to begin with, (n, 1, 2h, 2w), its logarithm, and features at the coarse map's pixels."""
        own = self.out.weight.dtype
        seen = add_grain(coarse, noise)
        start = restore(seen, BEGINNINGS)
        sharp = logarithm(start).to(own)
        told = logarithm(seen), sharp, information, local, whole
        return start, sharp, self.trunk(*(part.to(own) for part in told))

    def _change(self, start: torch.Tensor, near: torch.Tensor, sharp: torch.Tensor) -> torch.Tensor:
        """Return the sky that is begun with, changed as features at its pixels say."""
        change = self.out(_bend(self.fine(torch.cat([near, sharp], dim=1)))).to(start.dtype)
        return start * torch.exp(STEEPEST * torch.tanh(change / STEEPEST))


class Octave(_Drawing):
    """An octave, held to the one before: the sky is corrected until the coarse beam sees the coarse map."""

    def __init__(self, width: int = 24, inner: int = 48, last: int = 12) -> None:
        super().__init__(width, inner, last)
        self.thin = nn.Conv2d(width, last, 1)

    def sky(self, given: torch.Tensor, information: torch.Tensor, local: torch.Tensor, whole: torch.Tensor,
            noise: torch.Tensor, times: int | None = None) -> torch.Tensor:
        """Return skies, (n, 1, 2h, 2w)."""
        start, sharp, near = self._begin(given, information, local, whole, noise)
        sky = self._change(start, repeat_linearly(self.thin(near)), sharp)
        return correct(sky, given, CORRECTIONS) if times is None else agree(sky, given, times)


class FirstOctaves(_Drawing):
    """The first octaves at once, from a map with errors, so that they are not held to it.

    Fewer would have to be right in what they do not show, since the next is held to them. Their coarse map is what is
    given, as a beam of twice the width sees it. FRIs and hybrids that are drawn are brought closer to what is given:
    jets are in that, and not in the coarse map. What is drawn lacks the core, whose brightness is as ``cores`` say, see
    `skygal.morphology.octave_cores.CORE_LEVELS`.
    """

    ratio, pixels = FIRST_RATIO, FIRST_PIXELS
    noises, beside = 1 + sum(GRAINS), 2

    def __init__(self, width: int = 32, inner: int = 64, last: int = 8, *, cores: ArrayLike = CORE_LEVELS) -> None:
        super().__init__(width, inner, last)
        half, quarter = 4 * last, 2 * last
        self.thin = nn.ModuleList([nn.Conv2d(width, half, 1), nn.Conv2d(half, quarter, 1), nn.Conv2d(quarter, last, 1)])
        self.halfway = nn.ModuleList([_layer(half + 2, half), _layer(half, half)])
        self.quarter = _layer(quarter + 2, quarter)
        self.cores: torch.Tensor
        self.register_buffer("cores", torch.as_tensor(cores, dtype=torch.float32))

    def sky(self, given: torch.Tensor, information: torch.Tensor, local: torch.Tensor, whole: torch.Tensor,
            noise: torch.Tensor, times: int | None = None) -> torch.Tensor:
        """Return skies, (n, 1, 8h, 8w)."""
        coarse = smooth(given)
        start, sharp, near = self._begin(coarse, information, local, whole, noise[:, :1])
        own = sharp.dtype
        grains = [functional.pixel_shuffle(part.to(own), 2**(octave + 1))
                  for octave, part in enumerate(noise[:, 1:].split(GRAINS, 1))]
        near = torch.cat([repeat_linearly(self.thin[0](near)), sharp, grains[0]], 1)
        for layer in self.halfway:
            near = _bend(layer(near))
        # what a clip took is to be drawn as well: bridges, where nothing would be
        start = repeat_linearly(start + repeat_linearly(FAINT * convolve(coarse, PIXELS_PER_BEAM, 1)))
        near = torch.cat([repeat_linearly(self.thin[1](near)), logarithm(start).to(own), grains[1]], 1)
        near = torch.cat([repeat_linearly(self.thin[2](_bend(self.quarter(near)))), grains[2]], 1)
        start = repeat_linearly(start)
        sky = self._change(start, near, logarithm(start).to(own))
        if times is None:
            return sky
        fri = information[:, 3:4, :1, :1] > 0
        return torch.where(fri, approach(sky, given, APPROACHES), sky) if fri.any() else sky


class OctaveGuide(nn.Module):
    """A fine map and the one that is given to location and logarithmic scale of the latents."""

    def __init__(self, ratio: int = 2, pixels: int = 1, width: int = 32, inner: int = 48) -> None:
        super().__init__()
        self.fine, self.given = ratio * pixels, pixels
        self.enter, self.coarse = _layer(self.fine**2 + pixels**2 + INFORMATION, width), _layer(width, width)
        self.down, self.inner = _layer(width, inner, stride=2), _layer(inner, inner)
        self.local = nn.Conv2d(inner, 2 * LOCAL, 1)
        self.whole = nn.Sequential(nn.Linear(inner, 32), nn.ReLU(), nn.Linear(32, 2 * WHOLE))

    def forward(self, fine: torch.Tensor, given: torch.Tensor, information: torch.Tensor
                ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return location and scale of the local latents, and of those of the whole."""
        maps = (functional.pixel_unshuffle(logarithm(some), pixels)
                for some, pixels in ((fine, self.fine), (given, self.given)))
        seen = torch.cat([*maps, information], dim=1)
        hidden = _bend(self.down(_bend(self.coarse(_bend(self.enter(seen))))))
        hidden = hidden + _bend(self.inner(hidden))
        local, log_local = self.local(hidden).chunk(2, 1)
        whole, log_whole = self.whole(hidden.mean((2, 3))).chunk(2, 1)
        return local, torch.exp(log_local.clamp(-5, 1)), whole, torch.exp(log_whole.clamp(-5, 1))
