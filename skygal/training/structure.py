"""What tells one stamp from another beside its pixels: power by scale and symmetry, size, and lit area.

A network that looks at pixels sees such sums badly, and a decoder that it teaches gives too few of the extreme ones.
So a second discriminator looks at these alone (as Chen et al. 2021, 2020arXiv201205535C, with power spectra).
"""

from __future__ import annotations

import torch
from torch import nn

from skygal.morphology.networks import Architecture

__all__ = ["StructureNet", "measure_structure"]

#: limits of the bands of scale, in cycles per FWHM of the beam: from 25 beams to 1.3
BANDS = (0.04, 0.07, 0.11, 0.16, 0.24, 0.35, 0.5, 0.75)
#: powers are told apart down to this part of that at frequency zero
LEAST_POWER = 1e-5
#: of a stamp's peak; what is fainter by much hardly counts as lit
LIT = 0.01
#: values within so many standard deviations of real stamps' are passed on
MOST = 6.0


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


class StructureNet(nn.Module):
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
