"""A stamp as FIRST shows it (`skygal.stamps.survey_view`), in torch: what a discriminator compares.

The same steps as `skygal.evaluation.observed`, but for turning each stamp to the sky and back, so that gradients reach
the stamp. Where the noise cuts a pixel away no gradient does.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from skygal.stamps.survey_view import CLIP, WHITE, noise_power

__all__ = ["TorchView", "jitter"]

#: a pixel above the clip belongs to the source if the noiseless stamp rises over so many rms within NEAR pixels
LEVEL, NEAR = 1.2, 4
#: fewer pixels than this above the clip, within a square of 5 x 5, are a speck
SPECK = 7.5


class TorchView:
    """Adds noise to stamps, clips, keeps the source's islands and cuts to 8 bits.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of a stamp.
    beam_sigma : float
        Standard deviation of the beam in pixels.
    device : str or `~torch.device`
        Where the stamps are.
    """

    def __init__(self, shape: tuple[int, int], beam_sigma: float, device: str | torch.device = "cpu") -> None:
        ny, nx = shape
        k = torch.hypot(torch.fft.fftfreq(ny)[:, None], torch.fft.rfftfreq(nx)[None, :])
        power = torch.from_numpy(noise_power(k.numpy(), beam_sigma)).float()
        power[0, 0] = 0.0
        self.transfer = power.sqrt().to(device)

    def noise(self, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        """Return noise fields (n, ny, nx) of rms 1 with the survey's power spectrum."""
        white = torch.randn(shape, generator=generator).to(self.transfer.device)
        field = torch.fft.irfft2(torch.fft.rfft2(white) * self.transfer, s=shape[1:])
        return field / field.std(dim=(1, 2), keepdim=True)

    def __call__(self, stamps: torch.Tensor, noise: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return stamps (n, ny, nx) as seen with noise of an rms of ``noise`` (n,) times their peaks, peak 1."""
        rms = noise[:, None, None]
        clean = stamps / stamps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        noisy = clean + rms * self.noise(stamps.shape, generator)
        with torch.no_grad():
            lit = (noisy > CLIP * rms).float()[:, None]
            square = 2 * NEAR + 1
            near = functional.max_pool2d((clean > LEVEL * rms).float()[:, None], (square, 1), 1, (NEAR, 0))
            lit = lit * functional.max_pool2d(near, (1, square), 1, (0, NEAR))
            crowd = (25 * functional.avg_pool2d(lit, 5, 1, 2) >= SPECK).float()
            lit = (lit * functional.max_pool2d(crowd, 5, 1, 2))[:, 0]
        seen = (noisy - CLIP * rms).clamp_min(0.0) * lit
        seen = seen / seen.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        whole = torch.floor(WHITE * seen + 1e-4) / WHITE
        return seen + (whole - seen).detach()

    def turned(self, stamps: torch.Tensor, noise: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return stamps as seen, moved by up to half a pixel.

        So they have edges as a cutout's that was turned to its axis has.
        """
        return jitter(self(stamps, noise, generator), generator, zoom=0.0, shift=0.5)


def jitter(stamps: torch.Tensor, generator: torch.Generator, *, zoom: float, shift: float) -> torch.Tensor:
    """Return stamps (n, ny, nx) zoomed and shifted a little, each by its own amount, by linear interpolation.

    ``zoom`` is the largest change of ln(zoom), ``shift`` the largest shift in pixels along each axis.
    """
    n, ny, nx = stamps.shape
    draw = (2 * torch.rand(3, n, generator=generator) - 1).to(stamps.device)
    factor = torch.exp(zoom * draw[0])

    def matrix(size: int, offset: torch.Tensor) -> torch.Tensor:
        grid = torch.arange(size, device=stamps.device)
        middle = (size - 1) / 2
        at = (grid - middle)[None] / factor[:, None] + middle - offset[:, None]
        return (1 - (at[:, :, None] - grid).abs()).clamp_min(0.0)

    return matrix(ny, shift * draw[1]) @ stamps @ matrix(nx, shift * draw[2]).transpose(1, 2)
