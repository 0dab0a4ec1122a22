"""The second phase of training: decoder and prior against discriminators, held by the likelihood."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch

from skygal.morphology.networks import stretch
from skygal.training.discriminators import Adversary, ImageDiscriminator, StructureDiscriminator, measure_structure
from skygal.training.torch_view import TorchView, jitter

if TYPE_CHECKING:
    from skygal.training.loop import Trainer

__all__ = ["AdversarialPhase"]

#: the whole learning rate is reached after so much of the first epoch; it ends at LAST_SHARE of it
RISE, LAST_SHARE = 5.0, 0.1
CLIP_NORM = 10.0
#: the discriminators' learning rate over the decoder's
DISCRIMINATOR_RATE = 4.0
#: both real and generated stamps are shown zoomed and shifted by up to this (ln, pixels), so that the few real ones
#: cannot be learnt by heart
ZOOM, SHIFT = 0.1, 2.0
#: standard deviations of the differences that the discriminators' gradients are taken from, in stretched brightness
#: and in the scatter of what is measured
IMAGE_PROBE, STRUCTURE_PROBE = 0.02, 0.1
#: of the squared gradients of the one that looks at structure
STRUCTURE_PENALTY = 0.1
#: restored stamps are seen with between these times their noise: with little of it, so that what noise hides is taught
#: as well, which is as smooth as in restored stamps; and the most noise over peak
NOISE_RANGE, MOST_NOISE = (0.1, 1.5), 0.1
#: weight of the squared ln of generated stamps' peaks, which are to stay near 1
PEAK_WEIGHT = 0.1
#: real stamps measured at once
MEASURED_AT_ONCE = 256
#: steps between two that the likelihood takes part in, with as much more weight
LIKELIHOOD_EVERY = 2


class AdversarialPhase:
    """What the adversarial phase adds to a `skygal.training.loop.Trainer`.

    Parameters
    ----------
    trainer : Trainer
        Its model, stamps and settings are used; the settings must have adversarial epochs.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        settings = trainer.settings
        self.view = TorchView(trainer.arch.shape, trainer.arch.beam_sigma, trainer.device)
        rate = DISCRIMINATOR_RATE * settings.adversarial_rate
        images = ImageDiscriminator(trainer.arch, settings.discriminator_widths, settings.precision).to(trainer.device)
        real = torch.cat([self._measured(part) for part in trainer.seen.split(MEASURED_AT_ONCE)])
        self.structure = StructureDiscriminator(trainer.arch, real).to(trainer.device)
        self.adversaries = {
            "images": Adversary(images, rate=rate, penalty=settings.penalty, probe=IMAGE_PROBE),
            "structure": Adversary(self.structure, rate=rate, penalty=STRUCTURE_PENALTY, probe=STRUCTURE_PROBE)}
        self.weight = {"images": 1.0, "structure": settings.structure_weight}
        self.adam = torch.optim.Adam(trainer.model.parameters(), lr=settings.adversarial_rate, betas=(0.5, 0.99),
                                     fused=True)
        self.average = copy.deepcopy(trainer.model).eval()
        self.steps = 0
        self.elbo = 0.0  # the last that was taken

    def step(self, rows: torch.Tensor, generator: torch.Generator, epoch: float) -> dict[str, float]:
        """Take a step of both sides; ``epoch`` counts from the phase's start. Return the losses."""
        trainer, settings = self.trainer, self.trainer.settings
        n, model = len(rows), trainer.model
        if self.steps == 0:
            self.average.load_state_dict(model.state_dict())
        share = LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * epoch / settings.adversarial_epochs))
        real, condition, noise = self._real(rows, generator)
        u = torch.randn(n, trainer.arch.latent_dim, generator=generator).to(condition.device)
        made = model.decoder(model.flow(u, condition), condition)
        seen = self.view.turned(made, noise, generator)
        fake = self._looked_at(jitter(seen, generator, zoom=ZOOM, shift=SHIFT))
        told = sum(one.step(real[name], fake[name], condition, share) for name, one in self.adversaries.items())
        verdict = sum(self.weight[name] * one.judge(real[name], fake[name], condition)
                      for name, one in self.adversaries.items())
        loss = verdict + PEAK_WEIGHT * (torch.log(made.amax(dim=(1, 2)) + 1e-3) ** 2).mean()
        if settings.likelihood_weight > 0 and self.steps % LIKELIHOOD_EVERY == 0:
            view, stamps, given = trainer.train.varied(rows, generator, settings.zoom, settings.noise)
            elbo = trainer.elbo.differentiable_loss(model.model, model.guide, view, given, stamps, 1.0) / n
            loss = loss + LIKELIHOOD_EVERY * settings.likelihood_weight * elbo
            self.elbo = float(elbo.detach())
        self.adam.param_groups[0]["lr"] = settings.adversarial_rate * share * min(1.0, epoch / RISE + 0.01)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        self.adam.step()
        self.steps += 1
        keep = min(settings.average, self.steps / (self.steps + 9))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), model.parameters(), strict=True):
                kept.lerp_(new, 1 - keep)
        return {"train_loss": self.elbo, "discriminator_loss": told,
                "generator_loss": float(verdict.detach())}

    def _measured(self, seen: torch.Tensor) -> torch.Tensor:
        arch = self.trainer.arch
        return measure_structure(seen, beam_fwhm=arch.beam_fwhm / arch.pixel_scale)

    def _looked_at(self, seen: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what each discriminator looks at."""
        return {"images": stretch(seen), "structure": self.structure.standardise(self._measured(seen))}

    def _real(self, rows: torch.Tensor,
              generator: torch.Generator) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """Return what the discriminators see of real stamps, the stamps' conditions and noise.

        Half are the cutouts' own pixels, flipped; half are restored stamps, also from further off, seen with
        other noise. All are jittered.
        """
        trainer, half = self.trainer, len(rows) // 2
        seen = trainer.seen[rows[:half]]
        _, condition = trainer.train.plain(rows[:half])
        flip = (torch.rand(2, half, 1, 1, generator=generator) < 0.5).to(seen.device)
        seen = torch.where(flip[0], seen.flip(1), seen)
        seen = torch.where(flip[1], seen.flip(2), seen)
        bending = torch.where(flip[0, :, 0, 0], -condition[:, -1], condition[:, -1])
        condition = torch.cat([condition[:, :-1], bending[:, None]], dim=1)
        _, stamps, others = trainer.train.varied(rows[half:], generator, trainer.settings.zoom)
        own = trainer.train.noise[rows]
        low, high = (math.log(times) for times in NOISE_RANGE)
        times = torch.exp(low + (high - low) * torch.rand(len(stamps), generator=generator)).to(own.device)
        noise = (times * own[half:]).clamp_max(MOST_NOISE)
        again = self.view.turned(stamps, noise, generator)
        seen = jitter(torch.cat([seen, again]), generator, zoom=ZOOM, shift=SHIFT)
        return self._looked_at(seen), torch.cat([condition, others]), torch.cat([own[:half], noise])

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs."""
        return {"adversaries": {name: one.state_dict() for name, one in self.adversaries.items()},
                "adam": self.adam.state_dict(), "steps": self.steps, "elbo": self.elbo,
                "average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name, one in self.adversaries.items():
            one.load_state_dict(state["adversaries"][name])
        self.adam.load_state_dict(state["adam"])
        self.average.load_state_dict(state["average"])
        self.steps, self.elbo = state["steps"], state["elbo"]
