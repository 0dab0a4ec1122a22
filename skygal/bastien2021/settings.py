"""Settings of a run of the networks of Bastien et al. (2021), and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from skygal.checks import as_count, as_seed, check_choice, show

__all__ = ["LATENT_DIMS", "PRESETS", "SCHEDULES", "PaperSettings", "preset_settings"]

#: presets and whether the class conditions the networks
PRESETS = {"bastien2021-vae": False, "bastien2021-cvae": True}
#: the paper's latent dimensions
LATENT_DIMS = (2, 4, 8, 16, 32, 64)
#: initial learning rates out of Tables 3 and 4 of the paper
PAPER_RATES = {False: dict(zip(LATENT_DIMS, (1.07e-3, 0.96e-3, 1.04e-3, 0.94e-3, 0.88e-3, 0.94e-3), strict=True)),
               True: dict(zip(LATENT_DIMS, (0.90e-3, 1.08e-3, 0.90e-3, 0.94e-3, 0.88e-3, 0.96e-3), strict=True))}
FAST_RATE = 7e-4
#: shares of the run over which terms come in, with the fast schedule
WARMUPS = {"kl_warmup": 0.05, "dropout_warmup": 0.5}
SCHEDULES = ("paper", "fast")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class PaperSettings:
    """Settings of a run.

    Attributes
    ----------
    conditional : bool
        The CVAE, and not the VAE.
    latent_dim : int
        Number of latents.
    schedule : str
        "paper": PyTorch's own first weights, Adagrad at a constant initial learning rate. "fast": first weights that
        hand the image on (`skygal.bastien2021.networks`), AdamW whose rate rises over a twentieth of the run
        and falls along a cosine, and dropout and the Kullback-Leibler term come in over the first part.
    epochs : int
        Passes over the rotated training images.
    batch_size : int
        Images to a step.
    learning_rate : float, optional
        The paper's for this latent dimension (0.94e-3 for others) with "paper", 7e-4 with "fast", where not given.
    kl_warmup : float
        Share of the run over which the Kullback-Leibler term's weight rises from 0 to 1; by default 0 with "paper",
        0.05 with "fast".
    dropout_warmup : float
        Share of the run over which dropout rises from 0 to ``dropout``; by default 0 with "paper", 0.5 with "fast".
        The test loss is always taken at the full dropout.
    rotations : int
        Turns of each image, evenly spaced over the circle.
    precision : str
        "float32", or "bfloat16" for the layers' products; weights, optimizer, likelihood and the test loss stay in
        float32.
    log_every : int
        Epochs between rows of the metrics and checkpoints.
    test_draws : int
        Passes over the test images, with fresh dropout and latents, whose mean is the test loss.
    samples : int
        Images generated of each class for RAMIS and the class fractions.
    widths : tuple of int
        Hidden layers of the encoder.
    dropout : float
        Behind each hidden layer.
    seed : int
        Of the initial weights and of every draw.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    conditional: bool = True
    latent_dim: int = 32
    schedule: str = "paper"
    epochs: int = 5000
    batch_size: int = 100
    learning_rate: float | None = None
    kl_warmup: float | None = None
    dropout_warmup: float | None = None
    rotations: int = 36
    precision: str = "float32"
    log_every: int = 10
    test_draws: int = 10
    samples: int = 100
    widths: tuple[int, ...] = (4096, 2048, 1024, 512, 256)
    dropout: float = 0.2
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("latent_dim", "epochs", "batch_size", "rotations", "log_every", "test_draws", "samples"):
            as_count(name, getattr(self, name), minimum=1)
        as_seed("seed", self.seed)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.learning_rate is None:
            rate = PAPER_RATES[self.conditional].get(self.latent_dim, 0.94e-3)
            object.__setattr__(self, "learning_rate", rate if self.schedule == "paper" else FAST_RATE)
        for name, share in WARMUPS.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, 0.0 if self.schedule == "paper" else share)
        for name in ("learning_rate", "dropout", *WARMUPS):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{name} must be a number, got {show(value)}")
        if not 0 < float(self.learning_rate or 0) < float("inf"):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        for name in WARMUPS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PaperSettings:
        """Return the settings of `to_dict`.

        Raises
        ------
        ValueError
            If a key is unknown.
        """
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise ValueError(f"settings must be among {', '.join(field.name for field in fields(cls))}, "
                             f"got {', '.join(unknown)}")
        return cls(**values)


def preset_settings(preset: str, **changes: Any) -> PaperSettings:
    """Return a preset's settings.

    Parameters
    ----------
    preset : str
        "bastien2021-vae" (8000 epochs) or "bastien2021-cvae" (5000).
    **changes
        Any setting of `PaperSettings` but ``conditional``; those that are None are left out.

    Raises
    ------
    ValueError
        If the preset or a setting is unknown, or a setting is out of range.

    Examples
    --------
    >>> from skygal.bastien2021.settings import preset_settings
    >>> preset_settings("bastien2021-cvae", latent_dim=4).learning_rate
    0.00108
    """
    conditional = PRESETS[check_choice("preset", preset, tuple(PRESETS))]
    allowed = {field.name for field in fields(PaperSettings)} - {"conditional"}
    if unknown := sorted(set(changes) - allowed):
        raise ValueError(f"settings of {preset} must be among {', '.join(sorted(allowed))}, got {', '.join(unknown)}")
    given = {name: value for name, value in changes.items() if value is not None}
    base = PaperSettings(conditional=conditional, epochs=5000 if conditional else 8000)
    # left open again where they depend on what is changed
    return replace(base, **{"learning_rate": None, **dict.fromkeys(WARMUPS), **given})
