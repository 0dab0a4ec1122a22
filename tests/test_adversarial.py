"""The second phase of training, step by step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_stamps import SMALL, stamps

from skygal.training import adversarial
from skygal.training.data.cutouts import make_cutouts
from skygal.training.data.prepare import prepare_stamps
from skygal.training.loop import Trainer, quiet_torch


@pytest.fixture(scope="module")
def data():
    images, labels = stamps(60)
    rng = np.random.default_rng(1)
    return prepare_stamps(make_cutouts(list(images), np.where(labels, "FRII", "FRI"), rms=np.full(60, 0.01),
                                       ra=rng.uniform(0, 360, 60), dec=rng.uniform(-30, 60, 60)),
                          classes=("FRI", "FRII"), shape=(24, 40))


@pytest.fixture
def make(data):
    with quiet_torch(1):
        yield lambda **change: Trainer(data, replace(SMALL, **change), "cpu")


def weights(module):
    return [value.detach().clone() for value in module.parameters()]


def changed(before, module):
    return [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]


def step(trainer, epoch=1.5, seed=0, rows=None):
    rows = torch.arange(8) if rows is None else rows
    return trainer.adversarial.step(rows, torch.Generator().manual_seed(seed), epoch)


def test_a_step_teaches_all_networks(make):
    trainer = make()
    model = trainer.model
    parts = {"decoder": model.decoder, "flow": model.flow, "encoder": model.encoder,
             **{name: one.network for name, one in trainer.adversarial.adversaries.items()}}
    assert set(parts) > {"images", "structure"}
    before = {name: weights(part) for name, part in parts.items()}
    losses = step(trainer)
    assert set(losses) == {"train_loss", "discriminator_loss", "generator_loss"}
    assert all(np.isfinite(value) for value in losses.values())
    for name, part in parts.items():
        assert any(changed(before[name], part)), name
        assert all(value.requires_grad for value in part.parameters())


def test_without_the_likelihood_the_encoder_rests(make):
    trainer = make(likelihood_weight=0.0)
    before = weights(trainer.model.encoder)
    assert step(trainer)["train_loss"] == 0
    assert not any(changed(before, trainer.model.encoder))


def test_no_epochs_no_phase(make):
    assert make(adversarial_epochs=0).adversarial is None


def test_the_average_lags_behind(make):
    trainer = make(adversarial_rate=1e-2)
    first = weights(trainer.adversarial.average)
    seen = []
    for k in range(30):
        step(trainer, seed=k)
        seen.append(torch.cat([value.flatten() for value in weights(trainer.model.decoder)]))
    kept = torch.cat([value.flatten() for value in weights(trainer.adversarial.average.decoder)])
    start = torch.cat([value.flatten() for value in first[:len(list(trainer.model.decoder.parameters()))]])
    # by hand: the first steps count as much as each other, later ones at most 1 - average
    by_hand = start.clone()
    for number, value in enumerate(seen, 1):
        by_hand = torch.lerp(by_hand, value, 1 - min(trainer.settings.average, number / (number + 9)))
    torch.testing.assert_close(kept, by_hand, atol=1e-5, rtol=1e-4)
    assert not any(value.requires_grad and value.grad is not None for value in trainer.adversarial.average.parameters())


def test_rates_rise_and_fall(make):
    trainer = make(adversarial_epochs=20)
    rates = []
    for epoch in (0.0, 2.5, 5.0, 10.0, 20.0):
        step(trainer, epoch)
        rates.append([one.param_groups[0]["lr"] for one in (
            trainer.adversarial.adam, *(one.adam for one in trainer.adversarial.adversaries.values()))])
    decoder, judge, other = np.array(rates).T / trainer.settings.adversarial_rate
    assert decoder[0] == pytest.approx(0.01) and decoder[-1] == pytest.approx(adversarial.LAST_SHARE)
    assert decoder[2] > decoder[1] > decoder[0] and decoder[2] > decoder[3] > decoder[4]
    assert judge[0] == pytest.approx(adversarial.DISCRIMINATOR_RATE) and (np.diff(judge) < 0).all()
    assert (judge == other).all()


@pytest.fixture
def shown(make, monkeypatch):
    """Return a function that gives the pixels of real stamps that the discriminators are to look at."""
    trainer = make()
    monkeypatch.setattr(trainer.adversarial, "_looked_at", lambda seen: seen)

    def show(rows, seed=0):
        return trainer, *trainer.adversarial._real(rows, torch.Generator().manual_seed(seed))

    return show


def most_bent(trainer, count):
    bending = trainer.train.plain(torch.arange(len(trainer.train)))[1][:, -1]
    return torch.full((count,), int(bending.abs().argmax()))


def test_real_stamps_are_flipped_with_their_bending(shown, make, monkeypatch):
    monkeypatch.setattr(adversarial, "ZOOM", 0.0)
    monkeypatch.setattr(adversarial, "SHIFT", 0.0)
    rows = most_bent(make(), 120)
    trainer, seen, condition, _ = shown(rows)
    plain, own = trainer.train.plain(rows[:1])[1][0], trainer.seen[rows[0]]
    assert seen.shape == (120, 24, 40) and float(plain[-1].abs()) > 1e-3
    # the first half are the cutouts' own pixels
    kinds = {}
    for stamp, given in zip(seen[:60], condition[:60], strict=True):
        flip = next((up, side) for up in (False, True) for side in (False, True) if torch.allclose(
            stamp, own.flip([axis for axis, is_flipped in ((0, up), (1, side)) if is_flipped]), atol=1e-5))
        kinds[flip] = kinds.get(flip, 0) + 1
        torch.testing.assert_close(given[:-1], plain[:-1])
        torch.testing.assert_close(given[-1], -plain[-1] if flip[0] else plain[-1])
    assert len(kinds) == 4 and min(kinds.values()) > 5


def test_half_of_the_real_stamps_are_restored_and_seen_again(shown, make):
    rows = most_bent(make(), 200)
    trainer, seen, condition, noise = shown(rows)
    own = float(trainer.train.noise[rows[0]])
    # the cutouts' own pixels with their own noise, then others with mostly less than that, from nearer and further off
    assert bool((noise[:100] == own).all())
    times = noise[100:] / own
    low, high = adversarial.NOISE_RANGE
    assert low <= float(times.min()) < 1.5 * low and 0.7 * high < float(times.max()) <= high
    assert float(torch.log(times).mean()) == pytest.approx(np.log(low * high) / 2, abs=0.3)
    size, other = condition[:100, -2], condition[100:, -2]
    assert float(size.std()) < 1e-5 and float(other.min()) < float(size[0]) - 0.3
    # further off they light fewer pixels
    lit = (seen[100:] > 0.05).sum(dim=(1, 2)).float()
    assert float(torch.corrcoef(torch.stack([lit, other]))[0, 1]) > 0.7


def test_a_stamp_in_noise_keeps_something_to_see(make):
    trainer = make()
    trainer.train.noise[:] = 0.2
    rows = torch.arange(8).repeat(8)
    _, _, noise = trainer.adversarial._real(rows, torch.Generator().manual_seed(0))
    # but for the half that are seen with their own
    assert bool((noise[:32] == 0.2).all()) and float(noise[32:].max()) == pytest.approx(adversarial.MOST_NOISE)


def test_a_step_depends_on_its_generator_and_seed_alone(make):
    first, second = make(), make()
    second.model.load_state_dict(first.model.state_dict())
    second.adversarial.average.load_state_dict(first.adversarial.average.state_dict())
    for name, one in first.adversarial.adversaries.items():
        second.adversarial.adversaries[name].load_state_dict(one.state_dict())
    losses = []
    for trainer in (first, second):
        torch.manual_seed(7)
        losses.append(step(trainer))
    assert losses[0] == losses[1]
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_decoder_comes_to_fool_a_judge_that_stands_still(make):
    # against a judge that learns no more, the generator's loss falls
    trainer = make(adversarial_rate=3e-3, likelihood_weight=0.0, adversarial_epochs=100)
    for k in range(15):
        step(trainer, 0.0, seed=k)
    for adversary in trainer.adversarial.adversaries.values():
        adversary.rate = 0.0
    losses = [step(trainer, 5.0, seed=100 + k)["generator_loss"] for k in range(40)]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


def test_the_second_phase_starts_from_the_best_weights(make):
    trainer = make()
    for _ in range(trainer.settings.epochs):
        trainer.run_epoch()
    trainer.score({}, 0.0)
    best = {key: value.clone() for key, value in trainer.best.items()}
    with torch.no_grad():
        for value in trainer.model.parameters():
            value.add_(1.0)
    trainer.settings = replace(trainer.settings, adversarial_rate=1e-12)
    trainer.run_epoch()
    for key, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, best[key], atol=1e-4, rtol=1e-4)


def test_the_average_is_what_is_kept(make):
    trainer = make(adversarial_epochs=1)
    for _ in range(trainer.epochs):
        losses = trainer.run_epoch()
    row = trainer.score(losses, 1.0)
    assert row["epoch"] == trainer.epochs and row["discriminator_loss"] > 0
    for key, value in trainer.adversarial.average.state_dict().items():
        assert torch.equal(trainer.best[key], value)
    kept = trainer.best_model()
    for a, b in zip(kept.parameters(), trainer.adversarial.average.parameters(), strict=True):
        assert torch.equal(a, b)
