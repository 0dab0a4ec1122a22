"""A start from which the networks of Bastien et al. (2021) use their latents at once."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from skygal.bastien2021.networks import LEAKY_SLOPE, PaperModel

__all__ = ["spread_weights"]

#: log of the guide's first scale
FIRST_LOG_SCALE = -0.7
#: scatter of the first logits about those of the mean image
FIRST_LOGITS = 0.3
FLOOR = 1e-4


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
