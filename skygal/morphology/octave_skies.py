"""Skies behind coarse maps: restored from them, and corrected until the coarse beam sees them so, or closer to it."""

from __future__ import annotations

import math

import torch

from skygal.morphology.octave_inputs import FIRST_RATIO, PIXELS_PER_BEAM
from skygal.morphology.octave_seeing import convolve, repeat_linearly, see_coarsely, upsample

__all__ = ["agree", "approach", "correct", "restore"]

#: of the peak: no pixel is less before it is changed
NOTHING = 1e-7
#: of the peak, added to both sides of a ratio of brightnesses
TINY = 1e-5
#: a correction's factor is within this and one over this
BOUND = 4.0
#: corrections that are mixed, and what is added to the diagonal of their errors' products, in parts of its mean
MIXED, RIDGE = 4, 1e-4
#: of the peak: what a factor of e in the sky must be worth, where the coarse beam sees it, to be corrected for
LEASH = 1e-4
#: of the peak of what a sky is brought closer to: brightness that is half trusted, and what is added to both sides
TRUSTED, LITTLE = 0.05, 1e-3


def correct(sky: torch.Tensor, coarse: torch.Tensor, times: int, *, damped: bool = False) -> torch.Tensor:
    """Return skies (n, 1, 2h, 2w) that the coarse beam sees closer to how it should, (n, 1, h, w), of peak about 1.

    Each time they are multiplied by the ratio of what they should be, once seen, to what they are. So they stay
    positive, and nothing is where nothing was. Damped, the ratio is seen with the beam again, which is Richardson's and
    Lucy's iteration (Lucy 1974, 1974AJ.....79..745L): slower, but grain is not amplified.
    """
    for _ in range(times):
        ratio = (coarse + TINY) / (see_coarsely(sky) + TINY)
        if damped:
            ratio = convolve(ratio, PIXELS_PER_BEAM, 1)
        sky = sky * repeat_linearly(ratio.clamp(1 / BOUND, BOUND))
    return sky


def agree(sky: torch.Tensor, coarse: torch.Tensor, times: int) -> torch.Tensor:
    """Return what `correct` does, but far closer after as many corrections.

    The logarithms of the last skies are mixed, each corrected, so that the least is left of their errors (Anderson
    1965, doi:10.1145/321296.321305). They are held to that of the sky they begin with, by as much as `LEASH` says: what
    the coarse beam hardly sees would become ripples otherwise.
    """
    found, errors = [], []
    sky = begun = torch.log(sky.clamp_min(NOTHING**2))
    leash = LEASH / (coarse + LEASH)
    for _ in range(times):
        ratio = ((coarse + TINY) / (see_coarsely(torch.exp(sky)) + TINY)).clamp(1 / BOUND, BOUND)
        wanted = torch.log(ratio) - leash * (sky - begun)[..., ::2, ::2]
        found.append(sky + repeat_linearly(wanted))
        errors.append((coarse * wanted).flatten(1))
        found, errors = found[-MIXED:], errors[-MIXED:]
        each = torch.stack(errors, 1)
        products = each @ each.mT
        products.diagonal(dim1=1, dim2=2).add_(RIDGE * products.diagonal(dim1=1, dim2=2).mean(1, keepdim=True))
        share = torch.linalg.solve(products, torch.ones_like(products[:, :, :1]))
        share = share / share.sum(1, keepdim=True)
        mixed = (share[..., None, None] * torch.stack(found, 1)).sum(1)
        sky = sky + (mixed - sky).clamp(-math.log(BOUND), math.log(BOUND))
    return torch.exp(sky)


def restore(coarse: torch.Tensor, times: int) -> torch.Tensor:
    """Return skies (n, 1, 2h, 2w) that may be behind coarse maps (n, 1, h, w), after so many of Lucy's iterations."""
    return correct(upsample(coarse).clamp_min(NOTHING), coarse, times, damped=True)


def approach(sky: torch.Tensor, shown: torch.Tensor, times: int) -> torch.Tensor:
    """Return skies (n, 1, 4h, 4w) closer to what a map shows of them, (n, 1, h, w), where that is bright.

    They are multiplied by Lucy's factors, to the power by which so much brightness is trusted: what is fainter is
    noise, or may have been clipped.
    """
    little = LITTLE * shown.amax((2, 3), keepdim=True)
    trust = shown**2 / (shown**2 + (TRUSTED / LITTLE * little)**2)
    change, found = torch.zeros_like(shown), sky
    for _ in range(times):
        seen = convolve(found, FIRST_RATIO * PIXELS_PER_BEAM, FIRST_RATIO)
        ratio = ((shown + little) / (seen + little)).clamp(1 / BOUND, BOUND)
        change = change + torch.log1p(convolve(ratio**trust - 1, PIXELS_PER_BEAM, 1))
        # all at once and smoothly, for what is linear between pixels would show
        found = sky * torch.exp(upsample(upsample(change)))
    return found
