"""One step of the training of octaves after another: networks, optimizers, what they learn from, and their losses."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.io.torch_files import check_moments
from skygal.morphology.conditions import SIZE_TO_EXTENT
from skygal.morphology.octave_inputs import LOCAL, WHOLE, class_flags
from skygal.training.data.atlas import Atlas
from skygal.training.data.octave_maps import AtlasMap, Piece, atlas_maps, core_levels, cut_piece, first_maps
from skygal.training.octave_settings import OctaveSettings, left_out

if TYPE_CHECKING:
    import torch

    from skygal.morphology.generator import CvaeGenerator
    from skygal.morphology.octave_networks import FirstOctaves, Octave
    from skygal.morphology.octaves import SkyMap

__all__ = ["OctaveTrainer"]

#: natural logarithm of beams, within which maps count as of one scale
ALIKE = 0.15
#: of the steps, after which the rate is the last one
SETTLING = 0.75
#: of the steps, after which what is drawn counts so many times more
SHARPENING, SHARPER = 0.55, 3.0
#: maps whose slope the critic is held to
HELD = 4
#: steps between those
EVERY = 8
#: what octaves begin with, beams across it, and the flags of its class
Anchor = tuple["SkyMap", float, tuple[float, float]]
#: what has a state of its own
_STATES = ("model", "critic", "optimizer", "critic_optimizer")


class OctaveTrainer:
    """Networks, optimizers and data of a training: of the first octaves, or of all later ones.

    Parameters
    ----------
    atlas : Atlas
        Sources to learn from.
    base : CvaeGenerator
        The model whose stamps the octaves follow.
    settings : OctaveSettings
        How.
    first : OctaveTrainer, optional
        That of the first octaves, which later ones are drawn after; none for that itself.
    device : str
        Where the networks learn; what they learn from is drawn by the processor.
    """

    def __init__(self, atlas: Atlas, base: CvaeGenerator, settings: OctaveSettings,
                 first: OctaveTrainer | None = None, *, device: str = "cpu") -> None:
        import torch

        from skygal.morphology.octave_model import OctaveModel
        from skygal.morphology.octave_networks import FirstOctaves, Octave
        from skygal.training.octave_critic import OctaveCritic

        self.settings, self.first, self.device, self.step = settings, first, device, 0
        self.steps = settings.steps if first else settings.first_steps
        self.rows: list[dict[str, float]] = []
        self.side = settings.side if first else settings.first_side
        self.atlas, self.known = atlas, np.setdiff1d(np.flatnonzero(atlas.has_round_beam()),
                                                     left_out(len(atlas.image), settings.fold, settings.folds))
        self._look(np.random.default_rng(settings.seed))
        torch.manual_seed(settings.seed)
        octave = Octave() if first else FirstOctaves(cores=core_levels({m.source: m for m in self.maps}.values()))
        self.network, self.model = deepcopy(octave), OctaveModel(octave)
        # what the first octaves draw is looked at with half the resolution as well
        self.critic = torch.nn.ModuleList(OctaveCritic() for _ in range(1 if first else 2))
        for module in (self.model, self.critic):
            module.to(device, memory_format=torch.channels_last)
        self.kept = {key: value.clone() for key, value in octave.state_dict().items()}
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.first_rate, betas=(0.5, 0.99))
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), settings.critic_rate, betas=(0.0, 0.99))
        self.anchors: list[Anchor] = first.anchors if first else _anchors(base, settings)
        self.pool: list[tuple] = []

    def _look(self, rng: np.random.Generator) -> None:
        """Take other maps of the atlas's sources, as many of each."""
        given = self.settings
        self.maps = atlas_maps(self.atlas, self.known, given.views, rng, bend=given.bend) if self.first else first_maps(
            self.atlas, self.known, given.views, given.factor, given.errors, rng, bend=given.bend)
        if not self.maps:
            raise ValueError("atlas must have sources that are resolved by 12 beams or more, got none")
        self.beams = np.array([m.beams for m in self.maps])
        source = np.array([m.source for m in self.maps])
        weight = 1 / np.bincount(source)[source]
        # of each class; a hybrid is of both
        self.weights = [weight * np.array([m.flags[kind] for m in self.maps]) for kind in range(2)]

    def _random(self, purpose: int) -> np.random.Generator:
        """Return the stream of this step for a purpose."""
        return np.random.default_rng([self.settings.seed, self.step, purpose])

    def _refresh(self) -> None:
        """Take other maps, and other stamps, which the first octaves follow, or draw first octaves after these."""
        from skygal.morphology.octaves import begin_core, draw_next
        from skygal.rendering.threads import each_block

        self._look(self._random(2))
        if self.first is not None:
            self.first.trained()
        rng, anchors = self._random(1), self.anchors
        chosen = rng.integers(len(anchors), size=self.settings.drawn)
        keys = rng.integers(2**62, size=self.settings.drawn)
        found: list[list] = [[] for _ in chosen]
        pixels = self.model.octave.pixels

        def run(number: int) -> None:
            sky, beams, flags = anchors[chosen[number]]
            sky, stream = sky.lit(), np.random.default_rng(keys[number])
            if self.first is None:
                row, column, share = begin_core(sky, pixels * beams, self.network.cores.numpy(), flags, stream)
                y, x = sky.middle
                core = row / pixels, column / pixels, share
                found[number].append((sky.image, (y / pixels, x / pixels), beams, flags, core))
                return
            sky = draw_next(self.first.network, sky, beams, flags, stream)
            # the second octave too, though it is never drawn after: there are more sources to compare the next with
            for one in (sky.smoothed().lit(), sky.lit()):
                row, column, flux = one.core
                core = row - one.first[0], column - one.first[1], flux / float(one.image.sum())
                found[number].append((one.image, one.middle, 2.0**one.octave * beams, flags, core))

        each_block(run, range(len(chosen)))
        self.pool = [entry for entries in found for entry in entries]

    def trained(self) -> FirstOctaves | Octave:
        """Return a network with the weights as they are kept."""
        self.network.load_state_dict(self.kept)
        return self.network.eval()

    def _class(self, rng: np.random.Generator) -> int:
        """Return which class a step looks at, 0 for FRI and 1 for FRII: one that the atlas has."""
        kind = int(rng.random() < self.settings.frii)
        return kind if self.weights[kind].any() else 1 - kind

    def _known(self, rng: np.random.Generator, kind: int, like: np.ndarray | None = None) -> list[Piece]:
        """Return pieces of the atlas's maps of a class, of any scale or of given ones."""
        pieces, weight = [], self.weights[kind] / self.weights[kind].sum()
        for number in range(self.settings.batch):
            chance = weight
            if like is not None:
                near = weight * np.exp(-0.5 * (np.log(self.beams / like[number]) / ALIKE)**2)
                chance = near / near.sum() if near.sum() > 1e-12 else weight
            found: AtlasMap = self.maps[rng.choice(len(self.maps), p=chance)]
            pieces.append(cut_piece(found.fine, found.given, found.middle, found.beams, found.flags, self.side, rng,
                                    ratio=self.model.octave.ratio, pixels=self.model.octave.pixels,
                                    core=None if self.first else found.core))
        return pieces

    def _drawn(self, rng: np.random.Generator, kind: int) -> list[Piece]:
        """Return pieces of what was drawn of a class, if anything was."""
        pool = [entry for entry in self.pool if entry[3][kind]] or self.pool
        chosen = (pool[rng.integers(len(pool))] for _ in range(self.settings.batch))
        return [cut_piece(None, given, middle, beams, flags, self.side, rng, ratio=self.model.octave.ratio,
                          pixels=self.model.octave.pixels, core=core)
                for given, middle, beams, flags, core in chosen]

    def _batch(self, pieces: list[Piece], rng: np.random.Generator) -> _Batch:
        # details that later octaves draw have no direction of their own
        return _Batch(pieces, rng, self.device, turned=self.first is not None)

    def run_step(self) -> dict[str, float]:
        """Take a step; return its losses."""
        import torch

        given, adversarial = self.settings, self.step >= self.settings.warmup
        if adversarial and (not self.pool or self.step % given.refresh == 0):
            self._refresh()
        settled = given.last_rate / given.rate if self.step >= SETTLING * self.steps else 1.0
        rate = given.rate * settled if adversarial else given.first_rate
        for optimizer, now in ((self.optimizer, rate), (self.critic_optimizer, given.critic_rate * settled)):
            for group in optimizer.param_groups:
                group["lr"] = now
        rng = self._random(0)
        torch.manual_seed(int(rng.integers(2**62)))
        kind = self._class(rng)
        atlas = self._batch(self._known(rng, kind), rng)
        drawn = self._batch(self._drawn(rng, kind), rng) if adversarial else None
        like = self._batch(self._known(rng, kind, like=drawn.beams), rng) if drawn is not None else None
        losses, shown = self._generator_step(atlas, drawn, like)
        if drawn is not None and like is not None:
            losses |= self._critic_step(like, drawn, shown)
        averaging = given.averaging if self.step > 300 else 0.9
        with torch.no_grad():
            for key, value in self.model.octave.state_dict().items():
                self.kept[key].mul_(averaging).add_(value, alpha=1 - averaging)
        self.step += 1
        return losses

    def _generator_step(self, atlas: _Batch, drawn: _Batch | None, like: _Batch | None
                        ) -> tuple[dict[str, float], list[torch.Tensor]]:
        """Change the model; return its losses and what it drew last, at all scales: after drawn maps, if there are."""
        import torch
        from pyro.infer import TraceMeanField_ELBO

        from skygal.morphology.octave_seeing import look_closer
        from skygal.training.octave_critic import critic_loss
        from skygal.training.octave_patches import patch_distance, spectrum_distance

        given = self.settings
        elbo = TraceMeanField_ELBO().differentiable_loss(
            self.model.model, self.model.guide, atlas.fine, atlas.given, atlas.information,
            self._noise(atlas), atlas.core, given.kl_weight)
        loss = elbo / atlas.fine.numel()
        losses, fine = {"elbo": float(loss.detach())}, []
        share = SHARPER if self.step >= SHARPENING * self.steps else 1.0
        batches = [(atlas, atlas)] if drawn is None or like is None else [(atlas, atlas), (drawn, like)]
        self.critic.requires_grad_(False)
        for after, (batch, real) in zip(("after_atlas", "after_stamps"), batches, strict=False):
            sky = self.model.octave.sky(batch.given, batch.information, *_latents(batch), self._noise(batch))
            fine = self._scales(look_closer(sky) + batch.core)
            distance, spectrum = torch.zeros(()), torch.zeros(())
            for own, other in zip(fine, self._scales(real.fine), strict=True):
                at_own = self._places(batch, own)
                at_other = at_own if real is batch else self._places(real, other)
                distance = distance + patch_distance(own, other, at_own, at_other) / len(fine)
                spectrum = spectrum + spectrum_distance(own, other, paired=real is batch) / len(fine)
            losses[f"structure_{after}"] = float(distance.detach())
            losses[f"spectrum_{after}"] = float(spectrum.detach())
            loss = loss + share * (given.structure * distance + given.spectrum * spectrum)
            if self.first is not None:
                loss = loss + given.truth * _difference(sky, batch.given)
            if batch is drawn:
                loss = loss + share * given.adversarial * critic_loss(self._judge(fine, batch.information), 1)
        self.critic.requires_grad_(True)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return losses, [maps.detach() for maps in fine]

    def _noise(self, batch: _Batch) -> torch.Tensor:
        import torch

        n, _, h, w = batch.information.shape
        return torch.randn(n, self.model.octave.noises, h, w).to(self.device)

    def _inner(self, maps: torch.Tensor, ratio: int) -> torch.Tensor:
        """Return maps, of pixels so many times a fine one, without what belongs to the rims of fine ones."""
        from skygal.morphology.octave_model import RIM

        rim = RIM // ratio
        return maps[:, :, rim:-rim, rim:-rim]

    def _scales(self, fine: torch.Tensor) -> list[torch.Tensor]:
        """Return fine maps within their rims, and the same half as sharp where that is looked at."""
        from skygal.morphology.octave_model import RIM
        from skygal.morphology.octave_seeing import halve

        maps = [fine]
        while len(maps) < len(self.critic):
            maps.append(halve(maps[-1]))
        return [one[:, :, rim:-rim, rim:-rim] for one, rim in zip(maps, (RIM, RIM // 2), strict=False)]

    def _judge(self, fine: list[torch.Tensor], information: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return what the critics say of maps of all scales, within rims."""
        inner = self._inner(information, self.model.octave.ratio * self.model.octave.pixels)
        return [found for critic, maps in zip(self.critic, fine, strict=True) for found in critic(maps, inner)]

    def _places(self, batch: _Batch, maps: torch.Tensor) -> torch.Tensor:
        """Return places in maps of a batch, within their rims."""
        from skygal.training.octave_patches import patch_places

        return patch_places(self._inner(batch.given, self.model.octave.ratio), maps.shape[-1])

    def _critic_step(self, like: _Batch, drawn: _Batch, shown: list[torch.Tensor]) -> dict[str, float]:
        """Change the critic; return its loss, and how often it is right of real and of drawn maps."""
        import torch

        from skygal.training.octave_critic import critic_loss, critic_rate

        real = self._judge(self._scales(like.fine), like.information)
        found = self._judge(shown, drawn.information)
        loss = critic_loss(real, 1) + critic_loss(found, -1)
        self.critic_optimizer.zero_grad()
        loss.backward()
        if self.step % EVERY == 0:
            held = like.fine[:HELD].clamp_min(1e-5).log().requires_grad_(True)
            logits = self._judge(self._scales(held.exp()), like.information[:HELD])
            total = sum(((weight * value).mean((1, 2, 3)).sum() for value, weight in logits), torch.zeros(()))
            slope, = torch.autograd.grad(total, held, create_graph=True)
            (EVERY / 2 * self.settings.slope * slope.square().sum((1, 2, 3)).mean()).backward()
        self.critic_optimizer.step()
        return {"critic": float(loss.detach()), "right_real": critic_rate(real, 1),
                "right_drawn": critic_rate(found, -1)}

    def state(self) -> dict[str, Any]:
        """Return all that it goes on from."""
        return {"step": self.step, "rows": self.rows, "kept": self.kept,
                **{name: getattr(self, name).state_dict() for name in _STATES}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name in _STATES:
            getattr(self, name).load_state_dict(state[name])
        check_moments(self.optimizer)
        check_moments(self.critic_optimizer)
        self.network.load_state_dict(state["kept"])
        self.kept = {key: value.to(self.device, copy=True) for key, value in self.network.state_dict().items()}
        self.step, self.rows = int(state["step"]), list(state["rows"])


class _Batch:
    """Pieces as tensors, each flipped or not along both axes, and turned by a right angle or not if that is asked."""

    def __init__(self, pieces: list[Piece], rng: np.random.Generator, device: str = "cpu", *, turned: bool = False
                 ) -> None:
        import torch

        self.beams = np.array([piece.beams for piece in pieces])
        known = [piece.fine for piece in pieces if piece.fine is not None]
        *flips, turns = rng.random((3, len(pieces))) < np.array([0.5, 0.5, 0.5 * turned])[:, None]

        def stack(images: list[np.ndarray]) -> torch.Tensor:
            maps = np.stack(images)
            every = -1, *[1] * (maps.ndim - 1)
            # fine pixels lie on coarse ones at the beginning of rows: turned about, on the same again
            ratio = maps.shape[-1] // pieces[0].information.shape[-1]
            for axis, flip in zip((-1, -2), flips, strict=True):
                flipped = np.roll(np.flip(maps, axis), 1 - ratio, axis)
                maps = np.where(flip.reshape(every), flipped, maps)
            maps = np.where(turns.reshape(every), maps.swapaxes(-1, -2), maps)
            return torch.from_numpy(np.ascontiguousarray(maps)).to(device)

        self.given = stack([piece.given[None] for piece in pieces])
        self.information = stack([piece.information for piece in pieces])
        self.fine = stack([image[None] for image in known]) if known else self.given[:0]
        self.core = stack([piece.core[None] for piece in pieces])


def _latents(batch: _Batch) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    n, _, h, w = batch.information.shape
    return torch.randn(n, LOCAL, h // 2, w // 2).to(batch.given), torch.randn(n, WHOLE).to(batch.given)


def _difference(sky: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """Return how far skies, seen coarsely, are from coarse maps: the mean difference of square roots, in scales."""
    from skygal.morphology.octave_model import RIM, ROOT
    from skygal.morphology.octave_seeing import see_coarsely

    seen, known = (maps[:, :, RIM:-RIM, RIM:-RIM].clamp_min(1e-8).sqrt() for maps in (see_coarsely(sky), coarse))
    return (seen - known).abs().mean() / ROOT


def _anchors(base: CvaeGenerator, settings: OctaveSettings) -> list[Anchor]:
    """Return what octaves begin with, beams across each, and the flags of its class."""
    from skygal.morphology.batches import begin_octaves, make_stamps
    from skygal.morphology.latents import sample_keys, sample_latents
    from skygal.morphology.measure import measure_stamps
    from skygal.morphology.octaves import begin_skies, octave_sizes
    from skygal.seeds import Seeds

    seeds = Seeds(settings.seed)
    classes = np.where(seeds.generator("octave class").random(settings.stamps) < 0.5, "FRII", "FRI")
    least, most = (np.full(settings.stamps, size / SIZE_TO_EXTENT) for size in settings.sizes)
    keys = sample_keys(seeds, "octave stamp", "balanced", classes)
    fwhm = base.beam_fwhm / base.pixel_scale
    found: list[Anchor] = []
    for batch in make_stamps(base, sample_latents(base, "balanced", classes, keys, least=least, most=most), None):
        stamps = begin_octaves(batch.stamps, 3.0, beam_fwhm=fwhm)
        shapes, _ = measure_stamps(stamps, beam_fwhm=fwhm)
        skies = begin_skies(stamps, shapes.centre, batch.latents.fr_class, batch.latents.keys, fwhm, settings.factor)
        beams = octave_sizes(stamps, fwhm, settings.factor) / fwhm / settings.factor
        found += zip(skies, beams.tolist(), (class_flags(str(name)) for name in batch.latents.fr_class), strict=True)
    return found
