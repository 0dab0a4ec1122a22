"""Batches of training stamps, varied as the sky might have varied them."""

from __future__ import annotations

import math

import torch

from skygal.morphology.conditions import measure_extent_bending
from skygal.morphology.networks import Architecture

__all__ = ["StampBatches"]

#: ln(zoom) lies between these two, rounded to one of so many steps whose matrices are kept
LOWEST, HIGHEST, STEPS = -1.1, 0.4, 76
#: half of the stamps are seen from further off, at zooms from exp(-FARTHEST) to 1: the sky has sources of all sizes,
#: and what a large one looks like when it is small is known
FARTHEST = 0.9


class StampBatches:
    """Training stamps, seen with the full beam, flipped, zoomed and with noise.

    Parameters
    ----------
    images : `~torch.Tensor`
        Shape (n, ny, nx), at the beam's FWHM over sqrt(2); see `skygal.training.data.prepare.TrainingSet`.
    class_index : `~torch.Tensor`
        Shape (n,), index into ``arch.classes``; -1 where the class is not known.
    noise : `~torch.Tensor`
        Shape (n,), noise rms over peak.
    arch : Architecture
        The model's shape.
    """

    def __init__(self, images: torch.Tensor, class_index: torch.Tensor, noise: torch.Tensor,
                 arch: Architecture) -> None:
        self.images, self.noise, self.arch = images, noise, arch
        self.blur = arch.beam_sigma * math.sqrt(0.5)
        device = images.device
        classes = len(arch.classes)
        # the last row, which -1 stands for, is of no class
        self.one_hot = torch.cat([torch.eye(classes), torch.zeros(1, classes)]).to(device)[class_index]
        self.y, self.x = (torch.arange(size, device=device) - (size - 1) / 2 for size in arch.shape)
        self.zooms = torch.exp(torch.linspace(LOWEST, HIGHEST, STEPS, device=device))
        self.unit = round(-LOWEST / (HIGHEST - LOWEST) * (STEPS - 1))
        self.zooms[self.unit] = 1.0
        self.kernels_y, self.kernels_x = (self._kernels(size) for size in arch.shape)

    def __len__(self) -> int:
        return len(self.images)

    def _kernels(self, size: int) -> torch.Tensor:
        """Return the matrices (zooms, size, size) that zoom about the middle and add the beam."""
        grid = torch.arange(size, device=self.images.device) - (size - 1) / 2
        step = grid[None, :, None] - self.zooms[:, None, None] * grid[None, None, :]
        return torch.exp(-0.5 * ((step / self.blur) ** 2).clamp_max(55.0))

    def condition(self, stamps: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the condition (n, k) of stamps seen with the full beam."""
        extent, bending = measure_extent_bending(stamps, self.x, self.y)
        return self.arch.condition(self.one_hot[rows], extent * self.arch.pixel_scale, bending)

    def beam_noise(self, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        """Return noise (n, ny, nx) of rms 1 with the beam for its autocorrelation.

        White noise through half the beam's variance: so is the noise of a naturally weighted interferometer, whose
        spectrum is the density of visibilities, as is the beam's. The noise of simulated fields
        (skygal.rendering.noise) is white noise through the whole beam, as after smoothing to it.
        """
        white = torch.randn(shape, generator=generator).to(self.images.device)
        unit = self.unit
        return (self.kernels_y[unit] @ white @ self.kernels_x[unit].T) / (math.sqrt(math.pi) * self.blur)

    def plain(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return stamps of peak 1 and their condition, unvaried."""
        which = torch.full((2, len(rows)), self.unit)
        stamps = self._zoomed(self.images[rows], which)
        return stamps, self.condition(stamps, rows)

    def _zoomed(self, image: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        stamps = self.kernels_y[which[0]] @ image @ self.kernels_x[which[1]].transpose(1, 2)
        return stamps / stamps.amax(dim=(1, 2), keepdim=True)

    def varied(self, rows: torch.Tensor, generator: torch.Generator, zoom: float,
               noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return a noisy view, the stamp itself (peak 1) and the condition.

        Parameters
        ----------
        rows : `~torch.Tensor`
            Which stamps.
        generator : `~torch.Generator`
            Draws flips, zooms and noise.
        zoom : float
            Scatter of the natural logarithm of the zoom of those that are seen at about their own distance, and
            half of the scatter between the axes. The beam is added after the zoom.
        noise : float
            Noise to add, as a multiple of each stamp's own; it has the beam's correlation.
        """
        n = len(rows)
        image = self.images[rows]
        draw, share = torch.randn(3, n, generator=generator), torch.rand(2, n, generator=generator)
        both = torch.where(share[0] < 0.5, zoom * draw[0], -FARTHEST * share[1])
        log_zoom = both + 0.5 * zoom * draw[1:]
        which = torch.round((log_zoom - LOWEST) / (HIGHEST - LOWEST) * (STEPS - 1)).long().clamp(0, STEPS - 1)
        flip = torch.rand(2, n, 1, 1, generator=generator).to(image.device) < 0.5
        image = torch.where(flip[0], image.flip(1), image)
        image = torch.where(flip[1], image.flip(2), image)
        stamps = self._zoomed(image, which)
        view = stamps
        if noise > 0:
            rms = noise * self.noise[rows][:, None, None]
            view = (stamps + rms * self.beam_noise(image.shape, generator)).clamp_min(0.0)
        return view, stamps, self.condition(stamps, rows)
