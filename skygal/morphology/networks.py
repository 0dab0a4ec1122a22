"""The networks of the conditional VAE: decoder, conditional flow and encoder.

Only what describes their shape (`Architecture`) is plain; the networks themselves need torch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["FWHM_PER_SIGMA", "Architecture", "ConditionalFlow", "Decoder", "Encoder", "beam_matrix",
           "stretch"]

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
#: where the square-root stretch becomes linear, in units of a stamp's peak
SOFTENING = 1e-4


@dataclass(frozen=True)
class Architecture:
    """The shape of a model: all that is needed to build its networks.

    Attributes
    ----------
    classes : tuple of str
        The morphological classes, in the order of the one-hot code.
    shape : tuple of int
        Rows and columns (ny, nx) of a stamp.
    latent_dim : int
        Number of latents.
    decoder_widths, encoder_widths : tuple of int
        Hidden layers, from input to output.
    sky_step : float
        Spacing in pixels of the sky that the decoder gives, before the beam.
    flow_layers, flow_width : int
        Coupling layers of the conditional prior and the width of their hidden layer.
    pixel_scale : float
        Arcsec per pixel.
    beam_fwhm : float
        FWHM of the circular Gaussian beam, arcsec.
    log_extent_mean, log_extent_std : float
        Standardise ln(extent / arcsec).
    """

    classes: tuple[str, ...] = ("FRI", "FRII")
    shape: tuple[int, int] = (80, 144)
    latent_dim: int = 32
    decoder_widths: tuple[int, ...] = (256, 512)
    encoder_widths: tuple[int, ...] = (512, 256)
    sky_step: float = 1.5
    flow_layers: int = 8
    flow_width: int = 128
    pixel_scale: float = 1.8
    beam_fwhm: float = 5.4
    log_extent_mean: float = 2.3
    log_extent_std: float = 0.7

    @property
    def beam_sigma(self) -> float:
        """Standard deviation of the beam in pixels."""
        return self.beam_fwhm / self.pixel_scale / FWHM_PER_SIGMA

    @property
    def sky_shape(self) -> tuple[int, int]:
        """Rows and columns of the decoder's sky."""
        return math.ceil(self.shape[0] / self.sky_step), math.ceil(self.shape[1] / self.sky_step)

    @property
    def condition_dim(self) -> int:
        """Size of the condition: the one-hot class and the standardised ln(extent)."""
        return len(self.classes) + 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Return the architecture that `to_dict` wrote.

        Raises
        ------
        ValueError
            If an entry is missing, unknown or of the wrong kind.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            given = sorted(values) if isinstance(values, dict) else values
            raise ValueError(f"architecture must have the entries {sorted(names)}, got {given}")
        made: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        default = cls()
        for name, value in made.items():
            like: Any = getattr(default, name)
            kind = (int, float) if isinstance(like, float) else type(like)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"architecture entry {name} must be like {like!r}, got {value!r}")
            if isinstance(value, tuple) and not (value and all(isinstance(v, type(like[0])) for v in value)):
                raise ValueError(f"architecture entry {name} must be like {like!r}, got {value!r}")
        return cls(**made)


def beam_matrix(size: int, nodes: int, step: float, sigma: float) -> torch.Tensor:
    """Return the matrix from sky nodes to pixels: a Gaussian beam, zero beyond the edges.

    Parameters
    ----------
    size : int
        Number of pixels.
    nodes : int
        Number of nodes, centred on the pixels' middle.
    step : float
        Spacing of the nodes in pixels.
    sigma : float
        Standard deviation of the beam in pixels.

    Returns
    -------
    `~torch.Tensor`
        Shape (size, nodes), float32; rows far from the edges sum to 1.

    Notes
    -----
    Nodes up to 1.2 sigma apart give a flat sky to exp(-2 pi^2 / 1.2^2), about 1e-6.
    """
    pixel = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    node = (torch.arange(nodes, dtype=torch.float64) - (nodes - 1) / 2) * step
    kernel = torch.exp(-0.5 * ((pixel[:, None] - node[None, :]) / sigma) ** 2)
    # the far wings are nothing but numbers too small for a normal float, which are slow
    kernel[kernel < 1e-12] = 0.0
    return (kernel * step / (math.sqrt(2 * math.pi) * sigma)).float()


def stretch(image: torch.Tensor) -> torch.Tensor:
    """Return the square root of an image, softened where it is under 1e-4 (of the peak)."""
    return torch.sqrt(image + SOFTENING) - math.sqrt(SOFTENING)


def _layers(sizes: list[int], dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        parts += [nn.Linear(a, b), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*parts)


class Decoder(nn.Module):
    """Latents and condition to a stamp: a non-negative sky seen with the survey's beam.

    The fully connected layers give a sky; the beam, which is known, is not learnt: the sky is
    convolved with it, so that a stamp is as smooth as the beam and never shows the pixel grid.
    """

    def __init__(self, arch: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        self.arch = arch
        ny, nx = arch.sky_shape
        self.body = _layers([arch.latent_dim + arch.condition_dim, *arch.decoder_widths], dropout)
        self.head = nn.Linear(arch.decoder_widths[-1], ny * nx)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.constant_(self.head.bias, -4.0)
        self.register_buffer("beam_y", beam_matrix(arch.shape[0], ny, arch.sky_step, arch.beam_sigma),
                             persistent=False)
        self.register_buffer("beam_x", beam_matrix(arch.shape[1], nx, arch.sky_step, arch.beam_sigma),
                             persistent=False)

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return stamps (n, ny, nx) of latents ``z`` (n, d) and ``condition`` (n, k)."""
        hidden = self.body(torch.cat([z, condition], dim=1))
        sky = functional.softplus(self.head(hidden)).view(-1, *self.arch.sky_shape)
        return (self.beam_y @ sky) @ self.beam_x.T


class Encoder(nn.Module):
    """A stretched stamp and its condition to the location and scale of its latents."""

    def __init__(self, arch: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        # two pixels to one: half the beam is still sampled
        ny, nx = (size // 2 for size in arch.shape)
        self.body = _layers([ny * nx + arch.condition_dim, *arch.encoder_widths], dropout)
        self.location = nn.Linear(arch.encoder_widths[-1], arch.latent_dim)
        self.log_scale = nn.Linear(arch.encoder_widths[-1], arch.latent_dim)
        nn.init.normal_(self.log_scale.weight, std=0.01)
        nn.init.constant_(self.log_scale.bias, -1.0)

    def forward(self, stretched: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return location and scale, each (n, d)."""
        coarse = functional.avg_pool2d(stretched[:, None], 2).flatten(1)
        hidden = self.body(torch.cat([coarse, condition], dim=1))
        return self.location(hidden), torch.exp(self.log_scale(hidden).clamp(-6.0, 2.0))


class ConditionalFlow(nn.Module):
    """An invertible map from u ~ N(0, I) to the latents, given the condition.

    Affine coupling layers (2016arXiv160508803D) after a conditional shift and scale. The
    logarithmic scales are bounded, so that a far-off u stays within a few times the latents' range.
    """

    BOUND = 1.5

    def __init__(self, arch: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        d, k, width = arch.latent_dim, arch.condition_dim, arch.flow_width
        self.half = d // 2
        self.affine = nn.Sequential(nn.Linear(k, width), nn.SiLU(), nn.Linear(width, 2 * d))
        self.couplings = nn.ModuleList(
            nn.Sequential(nn.Linear(d + k, width), nn.SiLU(), nn.Dropout(dropout),
                          nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout),
                          nn.Linear(width, 2 * d))
            for _ in range(arch.flow_layers))
        for net in (self.affine, *self.couplings):
            nn.init.zeros_(net[-1].weight)
            nn.init.zeros_(net[-1].bias)
        mask = torch.zeros(arch.flow_layers, d)
        for layer in range(arch.flow_layers):
            # halves, then even and odd, so that every pair of latents meets
            chosen = torch.arange(d) < self.half if layer % 4 < 2 else torch.arange(d) % 2 == 0
            mask[layer] = (chosen if layer % 2 == 0 else ~chosen).float()
        self.register_buffer("mask", mask, persistent=False)

    def _terms(self, net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shift, log_scale = net(x).chunk(2, dim=-1)
        return shift, self.BOUND * torch.tanh(log_scale / self.BOUND)

    def forward(self, u: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the latents z (n, d) of ``u`` (n, d)."""
        z = u
        for mask, net in zip(self.mask, self.couplings, strict=True):
            shift, log_scale = self._terms(net, torch.cat([z * mask, condition], dim=1))
            z = z * mask + (1 - mask) * (z * torch.exp(log_scale) + shift)
        shift, log_scale = self._terms(self.affine, condition)
        return z * torch.exp(log_scale) + shift

    def inverse(self, z: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``u`` (n, d) of latents ``z``, and ln |du/dz| (n,)."""
        shift, log_scale = self._terms(self.affine, condition)
        u = (z - shift) * torch.exp(-log_scale)
        log_det = -log_scale.sum(dim=1)
        for mask, net in zip(self.mask.flip(0), reversed(self.couplings), strict=True):
            shift, log_scale = self._terms(net, torch.cat([u * mask, condition], dim=1))
            u = u * mask + (1 - mask) * (u - shift) * torch.exp(-log_scale)
            log_det = log_det - ((1 - mask) * log_scale).sum(dim=1)
        return u, log_det
