"""Settings of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from skygal.checks import as_count, as_seed

__all__ = ["TrainSettings"]


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training run; the defaults made the weights that come with the package.

    Attributes
    ----------
    classes : tuple of str
        The classes to learn, out of `skygal.training.readers.CLASSES`.
    shape : tuple of int
        Rows and columns of a stamp: minor and major axis, pixels, even.
    latent_dim : int
        Number of latents.
    decoder_widths, encoder_widths : tuple of int
        Hidden layers, from input to output.
    flow_layers, flow_width : int
        Coupling layers of the conditional prior and their hidden layers' width.
    sigma : float
        Standard deviation of a pixel on the square-root scale, where the peak is 1.
    epochs : int
        Passes over the training stamps.
    batch_size : int
        Stamps to a step.
    learning_rate : float
        AdamW's; it rises over the first 100 steps and falls along a cosine to a fiftieth.
    weight_decay : float
        AdamW's.
    warmup_epochs : int
        The Kullback-Leibler term's weight rises from 0 to 1 over so many.
    dropout, flow_dropout : float
        In decoder and encoder, and in the prior.
    zoom : float
        Scatter of ln(zoom) of the varied stamps.
    noise : float
        Noise added to what the encoder sees, as a multiple of each stamp's own.
    checkpoint_every : int
        Epochs between checkpoints, at which the validation stamps are scored too.
    seed : int
        Of the initial weights and of every draw.
    pixel_scale, beam_fwhm : float
        The survey's, arcsec.
    exclude : tuple of str
        Cutouts whose name holds one of these texts are left out.

    Raises
    ------
    ValueError
        If a setting is out of range.
    TypeError
        If a whole number is not one.
    """

    classes: tuple[str, ...] = ("FRI", "FRII")
    shape: tuple[int, int] = (80, 144)
    latent_dim: int = 32
    decoder_widths: tuple[int, ...] = (256, 512)
    encoder_widths: tuple[int, ...] = (512, 256)
    flow_layers: int = 8
    flow_width: int = 128
    sigma: float = 0.04
    epochs: int = 280
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_epochs: int = 30
    dropout: float = 0.0
    flow_dropout: float = 0.0
    zoom: float = 0.12
    noise: float = 0.5
    checkpoint_every: int = 10
    seed: int = 1
    pixel_scale: float = 1.8
    beam_fwhm: float = 5.4
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from skygal.checks import check_choice
        from skygal.training.readers import CLASSES

        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple):
                if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") \
                        or len(tuple(value)) < min(1, len(field.default)):
                    raise ValueError(f"{field.name} must be a list like {list(field.default)}, got {value!r}")
                object.__setattr__(self, field.name, tuple(value))
        if not all(isinstance(text, str) and text for text in self.exclude):
            raise ValueError(f"exclude must be a list of texts, got {self.exclude}")
        for name in self.classes:
            check_choice("classes", name, CLASSES)
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must differ, got {self.classes}")
        for name in ("shape", "decoder_widths", "encoder_widths"):
            for value in getattr(self, name):
                as_count(name, value, minimum=1)
        if len(self.shape) != 2 or any(size % 2 or size < 8 for size in self.shape):
            raise ValueError(f"shape must be two even numbers of at least 8, got {self.shape}")
        for name in ("epochs", "flow_width", "checkpoint_every"):
            as_count(name, getattr(self, name), minimum=1)
        as_count("latent_dim", self.latent_dim, minimum=2)
        as_count("batch_size", self.batch_size, minimum=2)
        for name in ("flow_layers", "warmup_epochs"):
            as_count(name, getattr(self, name))
        as_seed("seed", self.seed)
        for name in ("sigma", "learning_rate", "pixel_scale", "beam_fwhm"):
            self._check_number(name, above=0.0)
        for name in ("weight_decay", "zoom", "noise"):
            self._check_number(name, least=0.0)
        for name in ("dropout", "flow_dropout"):
            self._check_number(name, least=0.0, below=1.0)

    def _check_number(self, name: str, *, above: float | None = None, least: float | None = None,
                      below: float | None = None) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} must be a number, got {value!r}")
        if above is not None and not (value > above and value < float("inf")):
            raise ValueError(f"{name} must be positive, got {value}")
        if least is not None and not (value >= least and value < float("inf")):
            raise ValueError(f"{name} must be at least {least:g}, got {value}")
        if below is not None and not value < below:
            raise ValueError(f"{name} must be below {below:g}, got {value}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
