"""How far the structure of drawn maps is from that of an atlas's: distances between what filters see in patches."""

from __future__ import annotations

import torch
from torch.nn import functional

from skygal.morphology.octave_inputs import PIXELS_PER_BEAM
from skygal.morphology.octave_seeing import blur

__all__ = ["patch_distance", "patch_places", "spectrum_distance"]

#: of the peak: what is fainter is nothing
FAINTEST = 3e-4
#: filters of each size, which are this many pixels across: a beam, two, and five, the last of every second pixel
FILTERS, SIZES = 24, ((3, 1), (7, 1), (7, 2))
#: places in a map that are compared
PLACES = 256
#: of the peak: places are where the coarse map is brighter
LIT = 0.01
#: cycles a beam in a band of the spectrum, and bands; and of all power, what is added to that in a band
BAND, BANDS, QUIET = 0.1, 9, 1e-6
#: pixels across which the brightest is looked for
AROUND = 25


def patch_places(coarse: torch.Tensor, side: int) -> torch.Tensor:
    """Return places in maps (n, 1, side, side).

    Half of them are wherever the coarse maps, cut as these are, are lit, half in proportion to their brightness.

    Parameters
    ----------
    coarse : Tensor, shape (n, 1, h, h)
        ``side`` is a multiple of h.
    side : int

    Returns
    -------
    Tensor of int, shape (n, PLACES)
        Pixels counted along rows.
    """
    bright = functional.interpolate(coarse, size=(side, side)).flatten(1)
    lit = (bright > LIT).float()
    weight = lit / lit.sum(1, keepdim=True).clamp_min(1) + bright / bright.sum(1, keepdim=True).clamp_min(1e-6)
    return torch.multinomial(weight + 1e-9, PLACES, replacement=True)


def patch_distance(drawn: torch.Tensor, real: torch.Tensor, at_drawn: torch.Tensor, at_real: torch.Tensor
                   ) -> torch.Tensor:
    """Return the sliced Wasserstein distance between patches of drawn and of real maps.

    Random filters look at patches, as in Elnekave & Weiss 2022 (arXiv:2203.15780); what each sees in all of them is
    sorted, and the difference taken, in units of the standard deviation of what it sees in real ones. They are shown
    the logarithm of the brightness, that relative to the map of half the resolution, where what an octave adds is seen
    alone, the brightness relative to the brightest around, and what of that the map of half the resolution lacks.

    Parameters
    ----------
    drawn, real : Tensor, shape (n, 1, side, side)
    at_drawn, at_real : Tensor of int, shape (n, PLACES)
        From `patch_places`.
    """
    channels = _channels(drawn), _channels(real)
    scale = channels[1].std((0, 2, 3), keepdim=True) + 1e-6
    total = drawn.new_zeros(())
    for size, apart in SIZES:
        filters = torch.randn(FILTERS, channels[1].shape[1], size, size).to(drawn)
        # some look at one kind of map alone, some at sums that are zero
        alone = functional.one_hot(torch.arange(FILTERS) % 5, 5)[:, :-1].to(drawn)
        filters = filters * torch.where(alone.sum(1, keepdim=True) > 0, alone, 1.0)[:, :, None, None]
        filters[::2] -= filters[::2].mean((2, 3), keepdim=True)
        seen = [_through(filters, maps / scale, places, apart)
                for maps, places in zip(channels, (at_drawn, at_real), strict=True)]
        spread = seen[1].std(1, keepdim=True) + 1e-6
        total = total + ((seen[0] / spread).sort(1).values - (seen[1] / spread).sort(1).values).abs().mean()
    return total / len(SIZES)


def _through(filters: torch.Tensor, maps: torch.Tensor, places: torch.Tensor, apart: int) -> torch.Tensor:
    """Return what filters see at places, (filters, n PLACES), of pixels so far apart; beyond rims there is nothing."""
    side, size = maps.shape[-1], filters.shape[-1]
    reach = apart * (size // 2)
    wide = functional.pad(maps, (reach,) * 4)
    steps = apart * torch.arange(size, device=places.device)
    offsets = (steps[:, None] * wide.shape[-1] + steps).flatten()
    at = (places // side * wide.shape[-1] + places % side)[:, :, None] + offsets
    pixels = wide.flatten(2).gather(2, at.flatten(1)[:, None].expand(-1, maps.shape[1], -1))
    pixels = pixels.unflatten(2, at.shape[1:]).permute(1, 3, 0, 2).flatten(2).flatten(0, 1)
    return filters.flatten(1) @ pixels


def _channels(maps: torch.Tensor) -> torch.Tensor:
    logarithm = torch.log10(maps.clamp_min(FAINTEST))
    wide = blur(maps)
    detail = logarithm - torch.log10(wide.clamp_min(FAINTEST))
    brightest = functional.max_pool2d(functional.max_pool2d(logarithm, (AROUND, 1), 1, (AROUND // 2, 0)),
                                      (1, AROUND), 1, (0, AROUND // 2))
    return torch.cat([logarithm, detail, 10**(logarithm - brightest), (maps - wide) / 10**brightest], 1)


def spectrum_distance(drawn: torch.Tensor, real: torch.Tensor, *, paired: bool) -> torch.Tensor:
    """Return the mean difference of the logarithms of power, in bands of spatial frequency, of maps of equal sides.

    Parameters
    ----------
    drawn, real : Tensor, shape (n, 1, side, side)
    paired : bool
        Whether each drawn map is compared with the real one of its number, or the least power with the least.
    """
    side = drawn.shape[-1]
    window = torch.hann_window(side, periodic=False)
    window = (window[:, None] * window[None, :]).to(drawn)
    frequency = PIXELS_PER_BEAM * torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None, :])
    band = (frequency / BAND).long().clamp_max(BANDS)
    member = functional.one_hot(band.flatten(), BANDS + 1)[:, 1:BANDS].to(drawn)

    def levels(maps: torch.Tensor) -> torch.Tensor:
        shown = torch.cat([maps / maps.amax((2, 3), keepdim=True), torch.log10(maps.clamp_min(FAINTEST))], 1)
        shown = (shown - shown.mean((2, 3), keepdim=True)) * window
        power = torch.fft.rfft2(shown).abs().square().flatten(2) @ member
        return torch.log(power + QUIET * power.sum(2, keepdim=True))

    found, known = levels(drawn), levels(real)
    if not paired:
        found, known = found.sort(0).values, known.sort(0).values
    return (found - known).abs().mean()
