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
from torch.overrides import TorchFunctionMode

from skygal.checks import show
from skygal.observation.ellipse import FWHM

__all__ = ["Acceptance", "Architecture", "ConditionalFlow", "Decoder", "Encoder", "Unset",
           "beam_matrix", "stretch"]

#: where the square-root stretch becomes linear, in units of a stamp's peak
SOFTENING = 1e-4
#: widest spacing of the sky's nodes, in standard deviations of the beam
COARSEST = 1.18
#: in the acceptance, while training
ACCEPTANCE_DROPOUT = 0.1


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
    sky_shape : tuple of int
        Rows and columns of the sky that the decoder gives, before the beam.
    sky_levels : int
        How many grids the sky is a sum of, before it is made positive: each is half as fine as the one before.
    sky_reach : float
        From the middle of the sky to its end along x, in units of the extent.
    flow_layers, flow_width : int
        Coupling layers of the conditional prior and the width of their hidden layer.
    pixel_scale : float
        Arcsec per pixel.
    beam_fwhm : float
        FWHM of the circular Gaussian beam, arcsec.
    log_extent_mean, log_extent_std : float
        Standardise ln(extent / arcsec).
    bending_std : float
        Standardises the bending, radians.
    """

    classes: tuple[str, ...] = ("FRI", "FRII", "hybrid", "compact")
    shape: tuple[int, int] = (80, 144)
    latent_dim: int = 48
    decoder_widths: tuple[int, ...] = (512, 1024)
    encoder_widths: tuple[int, ...] = (1024, 512)
    sky_shape: tuple[int, int] = (64, 96)
    sky_levels: int = 3
    sky_reach: float = 3.0
    flow_layers: int = 8
    flow_width: int = 192
    pixel_scale: float = 1.8
    beam_fwhm: float = 5.4
    log_extent_mean: float = 2.65
    log_extent_std: float = 0.72
    bending_std: float = 0.5

    @property
    def beam_sigma(self) -> float:
        """Standard deviation of the beam in pixels."""
        return self.beam_fwhm / self.pixel_scale / FWHM

    @property
    def condition_dim(self) -> int:
        """Size of the condition: the one-hot class, the standardised ln(extent) and the bending."""
        return len(self.classes) + 2

    def condition(self, one_hot: Any, extent: Any, bending: Any) -> Any:
        """Return the condition (n, k) of one-hot classes (n, classes), extent (arcsec) and bending (radians).

        A row of zeros instead of a one-hot class stands for a source whose class is not known.
        """
        standard = (torch.log(extent) - self.log_extent_mean) / self.log_extent_std
        return torch.cat([one_hot, standard[:, None], bending[:, None] / self.bending_std], dim=1)

    def sky_step(self, condition: torch.Tensor) -> torch.Tensor:
        """Return the spacing (n,) in pixels of the sky's nodes.

        The sky is spread out with the source, so that small and large ones share their structure, but no
        further than `COARSEST`, beyond which the beam would not hide the nodes.
        """
        extent = torch.exp(condition[:, -2] * self.log_extent_std + self.log_extent_mean) / self.pixel_scale
        return (extent * (2 * self.sky_reach / self.sky_shape[1])).clamp_max(COARSEST * self.beam_sigma)

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
                raise ValueError(f"architecture entry {name} must be like {like!r}, got {show(value)}")
            if isinstance(value, tuple) and not (value and all(isinstance(v, type(like[0])) for v in value)):
                raise ValueError(f"architecture entry {name} must be like {like!r}, got {show(value)}")
        return cls(**made)


def _places(count: int, like: torch.Tensor) -> torch.Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device) - (count - 1) / 2


def beam_matrix(size: int, nodes: int, step: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the matrices from sky nodes to pixels: a Gaussian beam, zero beyond the edges.

    Parameters
    ----------
    size : int
        Number of pixels.
    nodes : int
        Number of nodes, centred on the pixels' middle.
    step : `~torch.Tensor`
        Shape (n,), spacing of the nodes in pixels; without a gradient.
    sigma : float
        Standard deviation of the beam in pixels.

    Returns
    -------
    `~torch.Tensor`
        Shape (n, size, nodes); rows far from the edges sum to 1.

    Notes
    -----
    Nodes up to 1.2 sigma apart give a flat sky to exp(-2 pi^2 / 1.2^2), about 1e-6.
    """
    matrix = _places(size, step)[None, :, None] - step[:, None, None] * _places(nodes, step)[None, None, :]
    # in place, since fresh memory costs more than the arithmetic; the far wings are nothing but numbers too small for a
    # normal float, which are slow
    matrix.div_(sigma).square_().clamp_(max=55.0).mul_(-0.5).exp_()
    return matrix.mul_((step / (math.sqrt(2 * math.pi) * sigma))[:, None, None])


def sample_matrix(nodes: int, size: int, step: torch.Tensor) -> torch.Tensor:
    """Return the matrices from pixels to nodes ``step`` pixels apart: local means, shape (n, nodes, size)."""
    width = (0.5 * step).clamp_min(0.7)[:, None, None]
    distance = _places(nodes, step)[None, :, None] * step[:, None, None] - _places(size, step)[None, None, :]
    kernel = torch.exp(-0.5 * ((distance / width) ** 2).clamp_max(55.0))
    # nodes outside the stamp see next to nothing
    return kernel / kernel.sum(dim=2, keepdim=True).clamp_min(0.3 * width)


def spread_matrix(coarse: int, fine: int) -> torch.Tensor:
    """Return the matrix (fine, coarse) that interpolates linearly between nodes of the same span, level at its ends."""
    at = ((torch.arange(fine, dtype=torch.float32) + 0.5) * (coarse / fine) - 0.5).clamp(0, coarse - 1)
    return (1 - (at[:, None] - torch.arange(coarse)).abs()).clamp_min(0.0)


def stretch(image: torch.Tensor) -> torch.Tensor:
    """Return the square root of an image, softened where it is under 1e-4 (of the peak)."""
    return torch.sqrt(image + SOFTENING) - math.sqrt(SOFTENING)


def _layers(sizes: list[int], dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        parts += [nn.Linear(a, b), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*parts)


class Unset(TorchFunctionMode):
    """Within it, the weights of new modules are not drawn: they are about to be loaded.

    So torch's own random numbers, which may be the user's, stay where they are.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


class Decoder(nn.Module):
    """Latents and condition to a stamp: a non-negative sky seen with the survey's beam.

    The fully connected layers give a sky in a frame that is as large as the source (see `Architecture.sky_step`), on
    several grids from fine to coarse, so that what is smooth is learnt as such and not node by node.
    The beam, which is known, is not learnt: the sky is convolved with it, so that a stamp is as smooth as the
    beam and never shows the pixel grid.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.body = _layers([arch.latent_dim + arch.condition_dim, *arch.decoder_widths], 0.0)
        self.grids = [tuple(-(-nodes // 2**level) for nodes in arch.sky_shape) for level in range(arch.sky_levels)]
        self.head = nn.Linear(arch.decoder_widths[-1], sum(ny * nx for ny, nx in self.grids))
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.constant_(self.head.bias, -4.0 / arch.sky_levels)
        for level, grid in enumerate(self.grids[1:], 1):
            for axis, coarse, fine in zip("yx", grid, arch.sky_shape, strict=True):
                self.register_buffer(f"to_fine_{axis}{level}", spread_matrix(coarse, fine), persistent=False)

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return stamps (n, ny, nx) of latents ``z`` (n, d) and ``condition`` (n, k).

        The body, and what it is given, may be in another precision than the wide layer and what follows it.
        """
        arch, wide = self.arch, self.head.weight.dtype
        hidden = self.body(torch.cat([z, condition], dim=1)).to(wide)
        levels = [part.view(-1, *grid) for part, grid in zip(
            self.head(hidden).split([ny * nx for ny, nx in self.grids], dim=1), self.grids, strict=True)]
        total = levels[0]
        for level, part in enumerate(levels[1:], 1):
            by_row, by_column = (getattr(self, f"to_fine_{axis}{level}") for axis in "yx")
            total = total + by_row @ part @ by_column.T
        sky = functional.softplus(total)
        step = arch.sky_step(condition).to(wide)
        by_row, by_column = (beam_matrix(size, nodes, step, arch.beam_sigma)
                             for size, nodes in zip(arch.shape, arch.sky_shape, strict=True))
        return (by_row @ sky) @ by_column.transpose(1, 2)


class Encoder(nn.Module):
    """A stretched stamp and its condition to the location and scale of its latents.

    It looks at the stamp in the decoder's own frame, two nodes to three.
    """

    def __init__(self, arch: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        self.arch = arch
        self.nodes = tuple(2 * (nodes // 3) for nodes in arch.sky_shape)
        self.body = _layers([self.nodes[0] * self.nodes[1] + arch.condition_dim, *arch.encoder_widths], dropout)
        self.location = nn.Linear(arch.encoder_widths[-1], arch.latent_dim)
        self.log_scale = nn.Linear(arch.encoder_widths[-1], arch.latent_dim)
        nn.init.normal_(self.log_scale.weight, std=0.01)
        nn.init.constant_(self.log_scale.bias, -1.0)

    def forward(self, stretched: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return location and scale, each (n, d)."""
        step = 1.5 * self.arch.sky_step(condition)
        by_row, by_column = (sample_matrix(nodes, size, step)
                             for nodes, size in zip(self.nodes, self.arch.shape, strict=True))
        seen = (by_row @ stretched) @ by_column.transpose(1, 2)
        hidden = self.body(torch.cat([seen.flatten(1), condition], dim=1))
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


class Acceptance(nn.Module):
    """How much more often real stamps lie at a place in latent space than the prior draws it, as a logarithm.

    A draw is kept with the probability exp(min(0, output - level)).
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        width = arch.flow_width
        self.body = _layers([arch.latent_dim + arch.condition_dim, width, width], ACCEPTANCE_DROPOUT)
        self.out = nn.Linear(width, 1)
        self.register_buffer("level", torch.zeros(()))

    def forward(self, u: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the logarithm (n,) for ``u`` (n, d) and ``condition`` (n, k)."""
        return self.out(self.body(torch.cat([u, condition], dim=1)))[:, 0]
