"""Settings of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from skygal.checks import as_count, as_seed, show

__all__ = ["TrainSettings"]

#: fewer generated stamps than this teach nothing
LEAST_STAMPS = 16


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training run.

    The defaults are those of the weights that come with the package; their card tells more.

    Attributes
    ----------
    classes : tuple of str
        The classes to learn, out of `skygal.training.data.cutouts.CLASSES`.
    unlabelled : tuple of str
        Classes whose stamps are learnt from as well, but as of no class: a bent source, say, may be any.
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
        In the encoder, and in the prior.
    zoom : float
        Scatter of ln(zoom) of the varied stamps, and half of that between the axes.
    noise : float
        Noise added to what the encoder sees, as a multiple of each stamp's own.
    adversarial_epochs : int
        Further passes, in which two discriminators teach decoder and prior too; see `skygal.training.adversarial`.
    adversarial_rate : float
        The decoder's and prior's learning rate in those; the discriminators' is four times that.
    discriminator_widths : tuple of int
        Channels of the convolutions of the one that looks at pixels.
    penalty : float
        Weight of its squared gradients.
    structure_weight : float
        Weight of the verdict of the other, `skygal.training.discriminators`, against that one's.
    likelihood_weight : float
        Weight of the ELBO, in nats per stamp, against the discriminator's verdict.
    average : float
        The weights that are kept are means over the steps; each new one counts 1 less this.
    precision : str
        "bfloat16" or "float32", of the discriminator's convolutions.
    acceptance_stamps : int
        Stamps to generate for the network that resamples the prior; see `skygal.training.acceptance`. 0: none;
        else at least 16.
    sharpness : tuple of float
        How much that network minds the class asked for: the power of its probability, of FRIs and of FRIIs.
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

    classes: tuple[str, ...] = ("FRI", "FRII", "hybrid", "compact")
    unlabelled: tuple[str, ...] = ("bent",)
    shape: tuple[int, int] = (80, 144)
    latent_dim: int = 48
    decoder_widths: tuple[int, ...] = (512, 1024)
    encoder_widths: tuple[int, ...] = (1024, 512)
    flow_layers: int = 8
    flow_width: int = 192
    sigma: float = 0.04
    epochs: int = 150
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_epochs: int = 20
    dropout: float = 0.1
    flow_dropout: float = 0.1
    zoom: float = 0.15
    noise: float = 0.5
    adversarial_epochs: int = 200
    adversarial_rate: float = 2e-4
    discriminator_widths: tuple[int, ...] = (16, 32, 64, 64)
    penalty: float = 0.002
    structure_weight: float = 0.5
    likelihood_weight: float = 5e-4
    average: float = 0.998
    precision: str = "bfloat16"
    acceptance_stamps: int = 8000
    sharpness: tuple[float, float] = (1.3, 0.3)
    checkpoint_every: int = 10
    seed: int = 1
    pixel_scale: float = 1.8
    beam_fwhm: float = 5.4
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from skygal.checks import check_choice
        from skygal.training.data.cutouts import CLASSES

        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple):
                if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") \
                        or (not tuple(value) and field.name not in ("unlabelled", "exclude")):
                    raise ValueError(f"{field.name} must be a list like {list(field.default)}, got {show(value)}")
                object.__setattr__(self, field.name, tuple(value))
        if not all(isinstance(text, str) and text for text in self.exclude):
            raise ValueError(f"exclude must be a list of texts, got {self.exclude}")
        for name in ("classes", "unlabelled"):
            for fr_class in getattr(self, name):
                check_choice(name, fr_class, CLASSES)
        if len({*self.classes, *self.unlabelled}) < len(self.classes) + len(self.unlabelled):
            raise ValueError(f"classes and unlabelled must differ, got {self.classes} and {self.unlabelled}")
        check_choice("precision", self.precision, ("bfloat16", "float32"))
        for name in ("shape", "decoder_widths", "encoder_widths", "discriminator_widths"):
            for value in getattr(self, name):
                as_count(name, value, minimum=1)
        if len(self.sharpness) != 2 or not all(isinstance(power, (int, float)) and not isinstance(power, bool)
                                               and 0 <= power < float("inf") for power in self.sharpness):
            raise ValueError(f"sharpness must be two numbers of at least 0, got {self.sharpness}")
        if len(self.shape) != 2 or any(size % 2 or size < 8 for size in self.shape):
            raise ValueError(f"shape must be two even numbers of at least 8, got {self.shape}")
        for name in ("epochs", "flow_width", "checkpoint_every"):
            as_count(name, getattr(self, name), minimum=1)
        as_count("latent_dim", self.latent_dim, minimum=2)
        as_count("batch_size", self.batch_size, minimum=2)
        for name in ("flow_layers", "warmup_epochs", "adversarial_epochs", "acceptance_stamps"):
            as_count(name, getattr(self, name))
        if 0 < self.acceptance_stamps < LEAST_STAMPS:
            raise ValueError(f"acceptance_stamps must be 0 or at least {LEAST_STAMPS}, got {self.acceptance_stamps}")
        as_seed("seed", self.seed)
        for name in ("sigma", "learning_rate", "adversarial_rate", "pixel_scale", "beam_fwhm"):
            self._check_number(name, above=0.0)
        for name in ("weight_decay", "zoom", "noise", "penalty", "structure_weight", "likelihood_weight"):
            self._check_number(name, least=0.0)
        for name in ("dropout", "flow_dropout", "average"):
            self._check_number(name, least=0.0, below=1.0)

    def _check_number(self, name: str, *, above: float | None = None, least: float | None = None,
                      below: float | None = None) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} must be a number, got {show(value)}")
        if above is not None and not (value > above and value < float("inf")):
            raise ValueError(f"{name} must be positive, got {value}")
        if least is not None and not (value >= least and value < float("inf")):
            raise ValueError(f"{name} must be at least {least:g}, got {value}")
        if below is not None and not value < below:
            raise ValueError(f"{name} must be below {below:g}, got {value}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
