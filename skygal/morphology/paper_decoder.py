"""The decoder of Bastien et al. (2021, 2021MNRAS.503.3351B) and its shape."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from skygal.checks import as_count

__all__ = ["CLASSES", "PaperArchitecture", "PaperDecoder"]

#: classes in the order of the one-hot label: FRI is (1, 0)
CLASSES = ("FRI", "FRII")
LEAKY_SLOPE = 1e-4


@dataclass(frozen=True)
class PaperArchitecture:
    """The shape of the networks; the defaults are Table 2 of Bastien et al. (2021).

    Attributes
    ----------
    latent_dim : int
        Number of latents, d.
    conditional : bool
        Whether the class enters encoder and decoder: the CVAE, and not the VAE.
    widths : tuple of int
        Hidden layers of the encoder; the decoder has them the other way round.
    side : int
        Rows and columns of a stamp.
    dropout : float
        Behind each hidden layer.
    pixel_scale, beam_fwhm : float
        The survey's (FIRST's), arcsec.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    latent_dim: int = 32
    conditional: bool = True
    widths: tuple[int, ...] = (4096, 2048, 1024, 512, 256)
    side: int = 100
    dropout: float = 0.2
    pixel_scale: float = 1.8
    beam_fwhm: float = 5.4

    def __post_init__(self) -> None:
        as_count("latent_dim", self.latent_dim, minimum=1)
        as_count("side", self.side, minimum=2)
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) != 5:
            raise ValueError(f"widths must be five hidden layers, got {self.widths}")
        for width in self.widths:
            as_count("widths", width, minimum=1)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        for name in ("pixel_scale", "beam_fwhm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def pixels(self) -> int:
        """Number of pixels of a stamp."""
        return self.side**2

    @property
    def labels(self) -> int:
        """Number of label inputs: 2 for the CVAE, 0 for the VAE."""
        return len(CLASSES) if self.conditional else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PaperArchitecture:
        """Return the architecture of `to_dict`.

        Raises
        ------
        ValueError
            If keys are missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise ValueError(f"architecture must have the keys {sorted(names)}, got {sorted(values)}")
        return cls(**values)


class PaperDecoder(nn.Module):
    """p(x | z, y): layers ``fc7`` ... ``fc12``."""

    def __init__(self, arch: PaperArchitecture) -> None:
        super().__init__()
        sizes = (arch.latent_dim + arch.labels, *arch.widths[::-1], arch.pixels)
        for i in range(6):
            self.add_module(f"fc{i + 7}", nn.Linear(sizes[i], sizes[i + 1]))
        self.dropout = arch.dropout

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the pixels' logits (n, pixels) of latents (n, d) and labels (n, 2) or None."""
        x = z if labels is None else torch.cat([z, labels], dim=1)
        for i in range(7, 12):
            x = functional.leaky_relu(self.get_submodule(f"fc{i}")(x), LEAKY_SLOPE)
            x = functional.dropout(x, self.dropout, self.training)
        return self.get_submodule("fc12")(x)
