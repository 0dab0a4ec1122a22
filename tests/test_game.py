"""The second phase of training, step by step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_stamps import SMALL, stamps

from skygal.training import game
from skygal.training.loop import Trainer, quiet_torch
from skygal.training.prepare import prepare_stamps
from skygal.training.readers import make_stamps


@pytest.fixture(scope="module")
def data():
    images, labels = stamps(60)
    rng = np.random.default_rng(1)
    return prepare_stamps(make_stamps(list(images), np.where(labels, "FRII", "FRI"), rms=np.full(60, 0.01),
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
    return trainer.game.step(torch.arange(8) if rows is None else rows, torch.Generator().manual_seed(seed), epoch)


def test_a_step_teaches_all_networks(make):
    trainer = make()
    model, judge = trainer.model, trainer.game.adversary.network
    before = {name: weights(part) for name, part in (
        ("decoder", model.decoder), ("flow", model.flow), ("encoder", model.encoder), ("judge", judge))}
    losses = step(trainer)
    assert set(losses) == {"train_loss", "discriminator_loss", "generator_loss"}
    assert all(np.isfinite(value) for value in losses.values())
    for name, part in (("decoder", model.decoder), ("flow", model.flow), ("encoder", model.encoder), ("judge", judge)):
        assert any(changed(before[name], part)), name
    assert all(value.requires_grad for value in judge.parameters())


def test_without_the_likelihood_the_encoder_rests(make):
    trainer = make(likelihood_weight=0.0)
    before = weights(trainer.model.encoder)
    assert step(trainer)["train_loss"] == 0
    assert not any(changed(before, trainer.model.encoder))


def test_no_phase_no_game(make):
    assert make(adversarial_epochs=0).game is None


def test_the_average_lags_behind(make):
    trainer = make(adversarial_rate=1e-2)
    first = weights(trainer.game.average)
    seen = []
    for k in range(30):
        step(trainer, seed=k)
        seen.append(torch.cat([value.flatten() for value in weights(trainer.model.decoder)]))
    kept = torch.cat([value.flatten() for value in weights(trainer.game.average.decoder)])
    start = torch.cat([value.flatten() for value in first[:len(list(trainer.model.decoder.parameters()))]])
    # by hand: the first steps count as much as each other, later ones at most 1 - average
    by_hand = start.clone()
    for number, value in enumerate(seen, 1):
        by_hand = torch.lerp(by_hand, value, 1 - min(trainer.settings.average, number / (number + 9)))
    torch.testing.assert_close(kept, by_hand, atol=1e-5, rtol=1e-4)
    assert not any(value.requires_grad and value.grad is not None for value in trainer.game.average.parameters())


def test_rates_rise_and_fall(make):
    trainer = make(adversarial_epochs=20)
    rates = []
    for epoch in (0.0, 2.5, 5.0, 10.0, 20.0):
        step(trainer, epoch)
        rates.append((trainer.game.adam.param_groups[0]["lr"], trainer.game.adversary.adam.param_groups[0]["lr"]))
    decoder, judge = np.array(rates).T / trainer.settings.adversarial_rate
    assert decoder[0] == pytest.approx(0.01) and decoder[-1] == pytest.approx(game.LAST_SHARE)
    assert decoder[2] > decoder[1] > decoder[0] and decoder[2] > decoder[3] > decoder[4]
    assert judge[0] == pytest.approx(game.DISCRIMINATOR_RATE) and (np.diff(judge) < 0).all()


def test_real_stamps_are_flipped_with_their_bending(make):
    trainer = make()
    rows = torch.full((60,), int(trainer.train.plain(torch.arange(len(trainer.train)))[1][:, -1].abs().argmax()))
    plain = trainer.train.plain(rows[:1])[1]
    seen, condition = trainer.game._real(rows, torch.Generator().manual_seed(0))
    assert seen.shape == (60, 24, 40) and bool(torch.isfinite(seen).all())
    torch.testing.assert_close(condition[:, :-1], plain[:, :-1].expand(60, -1))
    torch.testing.assert_close(condition[:, -1].abs(), plain[:, -1].abs().expand(60))
    up = float((condition[:, -1] > 0).float().mean())
    assert 0.2 < up < 0.8
    # those with one sign of bending are upside down of the others, but for the jitter
    means = [seen[condition[:, -1] * sign > 0].mean(dim=0) for sign in (1, -1)]
    alike, mirrored = (float((means[0] - other).abs().sum()) for other in (means[1], means[1].flip(0)))
    assert mirrored < alike


def test_a_step_depends_on_its_generator_and_seed_alone(make):
    first, second = make(), make()
    second.model.load_state_dict(first.model.state_dict())
    second.game.average.load_state_dict(first.game.average.state_dict())
    second.game.adversary.load_state_dict(first.game.adversary.state_dict())
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
    adversary = trainer.game.adversary
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
    for key, value in trainer.game.average.state_dict().items():
        assert torch.equal(trainer.best[key], value)
    kept = trainer.best_model()
    for a, b in zip(kept.parameters(), trainer.game.average.parameters(), strict=True):
        assert torch.equal(a, b)
