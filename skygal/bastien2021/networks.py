"""The fully connected VAE and CVAE of Bastien et al. (2021, 2021MNRAS.503.3351B) for Pyro, and their first weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import pyro
import torch
from pyro import distributions as dist
from torch import nn
from torch.nn import functional

from skygal.checks import as_count

__all__ = ["CLASSES", "PaperArchitecture", "PaperDecoder", "PaperEncoder", "PaperModel", "spread_weights"]

#: classes in the order of the one-hot label: FRI is (1, 0)
CLASSES = ("FRI", "FRII")
LEAKY_SLOPE = 1e-4
#: log of the guide's first scale
FIRST_LOG_SCALE = -0.7
#: scatter of the first logits about those of the mean image
FIRST_LOGITS = 0.3
FLOOR = 1e-4


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


class PaperEncoder(nn.Module):
    """q(z | x, y): layers ``fc1`` ... ``fc5``, ``fc61`` (location) and ``fc62`` (log scale)."""

    def __init__(self, arch: PaperArchitecture) -> None:
        super().__init__()
        sizes = (arch.pixels + arch.labels, *arch.widths)
        for i in range(5):
            self.add_module(f"fc{i + 1}", nn.Linear(sizes[i], sizes[i + 1]))
        self.fc61, self.fc62 = (nn.Linear(sizes[-1], arch.latent_dim) for _ in range(2))
        self.dropout = arch.dropout

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return location and scale, (n, d) each, of images (n, pixels) and labels (n, 2) or None."""
        x = images if labels is None else torch.cat([images, labels], dim=1)
        x = functional.softplus(self.get_submodule("fc1")(x))
        for i in range(2, 6):
            x = functional.dropout(x, self.dropout, self.training)
            x = functional.leaky_relu(self.get_submodule(f"fc{i}")(x), LEAKY_SLOPE)
        x = functional.dropout(x, self.dropout, self.training)
        return self.fc61(x).float(), self.fc62(x).float().exp()


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


class PaperModel(nn.Module):
    """The paper's model and guide for Pyro.

    Parameters
    ----------
    arch : PaperArchitecture
        The networks' shape.
    autocast : bool
        Whether the networks compute in bfloat16; weights, latents, likelihood and its sums stay in float32.

    Notes
    -----
    Equations 8 to 12 of the paper: z ~ N(0, I), x ~ Bernoulli(decoder(z)) for each pixel, taken at soft
    pixels in [0, 1]; q(z | x) = N(location, scale). The CVAE has y ~ Categorical(1/2, 1/2) besides, observed,
    which is a constant of ln 2 in the loss, and y enters both networks.

    Examples
    --------
    >>> import torch
    >>> from skygal.bastien2021.networks import PaperArchitecture
    >>> from skygal.bastien2021.networks import PaperModel
    >>> with torch.device("meta"):
    ...     model = PaperModel(PaperArchitecture(latent_dim=2, conditional=False))
    >>> sum(parameter.numel() for parameter in model.parameters())
    104229652
    """

    def __init__(self, arch: PaperArchitecture, *, autocast: bool = False) -> None:
        super().__init__()
        self.arch, self.autocast = arch, autocast
        self.encoder, self.decoder = PaperEncoder(arch), PaperDecoder(arch)

    def set_dropout(self, dropout: float) -> None:
        """Set the dropout of both networks."""
        self.encoder.dropout = self.decoder.dropout = dropout

    def encode(self, images: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return location and scale of q(z | x, y), float32."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.autocast):
            return self.encoder(images, labels)

    def logits(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the logits of p(x | z, y), float32."""
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.autocast):
            out = self.decoder(z, labels)
        return out.float()

    def model(self, images: torch.Tensor, labels: torch.Tensor | None = None, kl_weight: float = 1.0) -> None:
        """Pyro model of images (n, pixels) in [0, 1] and labels (n, 2), one-hot; None for the VAE.

        ``kl_weight`` scales the prior's and the guide's terms.
        """
        pyro.module("decoder", self.decoder)
        with pyro.plate("stamps", len(images)):
            if labels is not None:
                even = torch.full((len(CLASSES),), 1 / len(CLASSES), device=images.device)
                pyro.sample("y", dist.OneHotCategorical(even, validate_args=False), obs=labels)
            with pyro.poutine.scale(scale=kl_weight):
                z = pyro.sample("z", dist.Normal(images.new_zeros(len(images), self.arch.latent_dim), 1.0,
                                                 validate_args=False).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.logits(z, labels), validate_args=False).to_event(1),
                        obs=images)

    def guide(self, images: torch.Tensor, labels: torch.Tensor | None = None, kl_weight: float = 1.0) -> None:
        """Pyro guide, with the arguments of `model`."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("stamps", len(images)), pyro.poutine.scale(scale=kl_weight):
            loc, scale = self.encode(images, labels)
            pyro.sample("z", dist.Normal(loc, scale, validate_args=False).to_event(1))


def _spread(layer: nn.Linear, x: torch.Tensor, size: float = 1.0) -> torch.Tensor:
    """Scale a layer so that each unit's output over the rows of x has mean 0 and scatter ``size``; return it."""
    nn.init.normal_(layer.weight)
    raw = functional.linear(x, layer.weight)
    mean, scatter = raw.mean(dim=0), raw.std(dim=0).clamp_min(1e-6)
    layer.weight.mul_(size / scatter[:, None])
    layer.bias.copy_(-mean * size / scatter)
    return (raw - mean) * (size / scatter)


def spread_weights(model: PaperModel, images: torch.Tensor, labels: torch.Tensor | None) -> None:
    """Set a model's weights by a batch of images, in place.

    Parameters
    ----------
    model : PaperModel
        The model.
    images : `~torch.Tensor`
        Shape (n, pixels), from 0 to 1; a few hundred.
    labels : `~torch.Tensor` or None
        Shape (n, 2), one-hot; None for the VAE.

    Notes
    -----
    PyTorch's default start shrinks a signal about 2.4-fold in each of the twelve layers of ReLU-like units, so
    that at first nothing of the image arrives at the output, and the decoder learns to do without latents: the
    plateau of the paper's runs near a loss of 151. Here each unit starts with mean 0 and scatter 1 over
    the batch (Salimans & Kingma 2016, arXiv:1602.07868, section 3, without its reparametrisation), the guide with
    locations of scatter 1, and the decoder's last biases with the mean image.
    """
    encoder, decoder = model.encoder, model.decoder

    def layer(network: nn.Module, name: str) -> nn.Linear:
        found = network.get_submodule(name)
        assert isinstance(found, nn.Linear)
        return found

    with torch.no_grad():
        x = images if labels is None else torch.cat([images, labels], dim=1)
        x = functional.softplus(_spread(layer(encoder, "fc1"), x))
        for i in range(2, 6):
            x = functional.leaky_relu(_spread(layer(encoder, f"fc{i}"), x), LEAKY_SLOPE)
        loc = _spread(encoder.fc61, x)
        _spread(encoder.fc62, x, 0.1)
        encoder.fc62.bias.add_(FIRST_LOG_SCALE)
        z = loc + torch.randn_like(loc) * torch.exp(torch.tensor(FIRST_LOG_SCALE))
        x = z if labels is None else torch.cat([z, labels], dim=1)
        for i in range(7, 12):
            x = functional.leaky_relu(_spread(layer(decoder, f"fc{i}"), x), LEAKY_SLOPE)
        last = layer(decoder, "fc12")
        _spread(last, x, FIRST_LOGITS)
        last.bias.add_(images.mean(dim=0).clamp(FLOOR, 1 - FLOOR).logit())
