"""Batches of training stamps, varied as the sky might have varied them."""

from __future__ import annotations

import math

import torch

from skygal.morphology.networks import Architecture

__all__ = ["StampBatches"]

#: Zooms are rounded to this many steps of ln(zoom) in +-ZOOM_RANGE, whose matrices are kept.
ZOOM_RANGE, ZOOM_STEPS = 0.45, 61


class StampBatches:
    """Training stamps, seen with the full beam, flipped, zoomed and with noise.

    Parameters
    ----------
    images : `~torch.Tensor`
        Shape (n, ny, nx), at the beam's FWHM over sqrt(2); see `skygal.training.prepare.TrainingSet`.
    class_index : `~torch.Tensor`
        Shape (n,), index into ``arch.classes``.
    noise : `~torch.Tensor`
        Shape (n,), noise rms over peak.
    arch : Architecture
        The model's shape.
    """

    def __init__(self, images: torch.Tensor, class_index: torch.Tensor, noise: torch.Tensor,
                 arch: Architecture) -> None:
        self.images, self.class_index, self.noise, self.arch = images, class_index, noise, arch
        self.blur = arch.beam_sigma * math.sqrt(0.5)
        device = images.device
        self.x = torch.arange(arch.shape[1], device=device) - (arch.shape[1] - 1) / 2
        self.zooms = torch.exp(torch.linspace(-ZOOM_RANGE, ZOOM_RANGE, ZOOM_STEPS, device=device))
        self.kernels_y, self.kernels_x = (self._kernels(size) for size in arch.shape)
        # White noise through half the beam's variance has the beam for its autocorrelation: so is the noise of a
        # naturally weighted interferometer, whose spectrum is the density of visibilities, as is the beam's. The noise
        # of simulated fields (skygal.rendering.noise) is white noise through the whole beam, as after smoothing to it.
        self.noise_scale = 1.0 / (math.sqrt(math.pi) * self.blur)
        self.one_hot = torch.eye(len(arch.classes), device=device)

    def __len__(self) -> int:
        return len(self.images)

    def _kernels(self, size: int) -> torch.Tensor:
        """Return the matrices (zooms, size, size) that zoom about the middle and add the beam."""
        grid = torch.arange(size, device=self.images.device) - (size - 1) / 2
        step = grid[None, :, None] - self.zooms[:, None, None] * grid[None, None, :]
        return torch.exp(-0.5 * (step / self.blur) ** 2)

    def condition(self, stamps: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the condition (n, k) of stamps seen with the full beam."""
        profile = stamps.sum(dim=1)
        flux = profile.sum(dim=1)
        mean = (profile * self.x).sum(dim=1) / flux
        extent = torch.sqrt((profile * (self.x - mean[:, None]) ** 2).sum(dim=1) / flux) * self.arch.pixel_scale
        standard = (torch.log(extent) - self.arch.log_extent_mean) / self.arch.log_extent_std
        return torch.cat([self.one_hot[self.class_index[rows]], standard[:, None]], dim=1)

    def plain(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return stamps of peak 1 and their condition, unvaried."""
        return self.varied(rows, None, 0.0)[1:]

    def varied(self, rows: torch.Tensor, generator: torch.Generator | None, zoom: float,
               noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return a noisy view, the stamp itself (peak 1) and the condition.

        Parameters
        ----------
        rows : `~torch.Tensor`
            Which stamps.
        generator : `~torch.Generator` or None
            Draws flips, zooms and noise; None varies nothing.
        zoom : float
            Scatter of the natural logarithm of the zoom along each axis. The beam is added after
            the zoom.
        noise : float
            Noise to add, as a multiple of each stamp's own; it has the beam's correlation.
        """
        n = len(rows)
        image = self.images[rows]
        middle = ZOOM_STEPS // 2
        which = torch.full((2, n), middle)
        if generator is not None:
            draw = torch.randn(3, n, generator=generator)
            # mostly both axes alike, so that axis ratios stay
            log_zoom = zoom * (draw[:1] + 0.5 * draw[1:]) / ZOOM_RANGE
            which = (middle + torch.round(middle * log_zoom).long()).clamp(0, ZOOM_STEPS - 1)
            flip = torch.rand(2, n, 1, 1, generator=generator).to(image.device) < 0.5
            image = torch.where(flip[0], image.flip(1), image)
            image = torch.where(flip[1], image.flip(2), image)
        stamps = self.kernels_y[which[0]] @ image @ self.kernels_x[which[1]].transpose(1, 2)
        stamps = stamps / stamps.amax(dim=(1, 2), keepdim=True)
        view = stamps
        if generator is not None and noise > 0:
            white = torch.randn(image.shape, generator=generator).to(image.device)
            rms = noise * self.noise[rows][:, None, None]
            blurred = self.kernels_y[middle] @ white @ self.kernels_x[middle].T
            view = (stamps + rms * self.noise_scale * blurred).clamp_min(0.0)
        return view, stamps, self.condition(stamps, rows)
