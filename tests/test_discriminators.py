"""The discriminator: what it is told, what it learns, and that it goes on from where it was."""

import pytest
import torch

from skygal.morphology.networks import Architecture
from skygal.training import discriminators
from skygal.training.discriminators import Adversary, ImageDiscriminator

ARCH = Architecture(classes=("FRI", "FRII"), shape=(24, 40))
WIDTHS = (4, 8)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make(penalty=0.005, precision="float32", rate=2e-3):
    return Adversary(ImageDiscriminator(ARCH, WIDTHS, precision), rate=rate, penalty=penalty, probe=0.02)


def sets(n=64):
    """Return stretched stamps of two kinds, tall and wide, with noise, and conditions."""
    noise = 0.05 * torch.rand(2, n, 24, 40)
    tall, wide = noise
    tall[:, 4:20, 18:22] += 0.6
    wide[:, 10:14, 8:32] += 0.6
    one_hot = torch.eye(2)[torch.arange(n) % 2]
    return tall, wide, ARCH.condition(one_hot, torch.full((n,), 12.0), torch.zeros(n))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scores(precision):
    network = ImageDiscriminator(ARCH, WIDTHS, precision)
    real, _, condition = sets(5)
    scores = network(real, condition)
    assert scores.shape == (5,) and scores.dtype == torch.float32 and bool(torch.isfinite(scores).all())


def test_precisions_agree():
    real, _, condition = sets(5)
    network = ImageDiscriminator(ARCH, WIDTHS, "float32")
    with torch.no_grad():
        exact = network(real, condition)
        network.mixed = True
        found = network(real, condition)
    torch.testing.assert_close(found, exact, atol=0.05 * float(exact.abs().max()), rtol=0.05)


def test_score_depends_on_the_condition():
    network = ImageDiscriminator(ARCH, WIDTHS, "float32")
    real, _, condition = sets(4)
    other = condition.clone()
    other[:, -1] += 2
    assert not torch.allclose(network(real, condition), network(real, other))


def test_learns_to_tell_two_sets_apart():
    made = make()
    losses = [made.step(*sets(), 1.0) for _ in range(60)]
    assert losses[0] == pytest.approx(0.693, abs=0.45) and losses[-1] < 0.2 * losses[0]
    tall, wide, condition = sets()
    with torch.no_grad():
        assert float((made.network(tall, condition) > made.network(wide, condition)).float().mean()) > 0.95
    # by now the generator is told so: its loss is high, and falls if its stamps become like the real ones
    with torch.no_grad():
        assert float(made.judge(tall, wide, condition)) > 1.5 > float(made.judge(tall, tall.flip(0), condition))


def test_judge_teaches_the_stamps_and_not_the_network():
    made = make()
    tall, wide, condition = sets(8)
    wide = wide.requires_grad_()
    made.judge(tall, wide, condition).backward()
    assert float(wide.grad.abs().max()) > 0
    assert all(value.grad is None and value.requires_grad for value in made.network.parameters())


def test_step_teaches_the_network_and_not_the_stamps():
    made = make()
    tall, wide, condition = sets(8)
    wide = wide.requires_grad_()
    before = [value.clone() for value in made.network.parameters()]
    made.step(tall, wide, condition, 1.0)
    assert wide.grad is None
    assert any(not torch.equal(a, b) for a, b in zip(before, made.network.parameters(), strict=True))
    still = [value.clone() for value in made.network.parameters()]
    made.step(tall, wide, condition, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(still, made.network.parameters(), strict=True))


def test_penalty_keeps_slopes_small():
    def slope(penalty):
        torch.manual_seed(1)
        made = make(penalty)
        for _ in range(60):
            made.step(*sets(), 1.0)
        real, _, condition = sets()
        real = real.requires_grad_()
        made.network(real, condition).sum().backward()
        return float(real.grad.square().sum(dim=(1, 2)).mean())

    assert slope(1.0) < 0.3 * slope(0.0)


def test_penalty_is_the_squared_gradient(monkeypatch):
    # a network that is linear in the stamps has the same gradient w everywhere: the mean squared difference is |w|^2
    made = make(penalty=1.0)
    weight = torch.randn(24, 40)

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, seen, condition):
            return self.scale * (seen * weight).sum(dim=(1, 2))

    made.network = Linear()
    made.adam = torch.optim.SGD(made.network.parameters(), lr=0.0)
    monkeypatch.setattr(discriminators, "PENALTY_EVERY", 1)
    same = torch.zeros(4000, 24, 40)
    made.step(same, same, torch.zeros(4000, 4), 1.0)
    # d/d scale of 1/2 penalty (|w|^2 scale^2 at real ones + the same at generated ones)
    assert float(made.network.scale.grad) == pytest.approx(2 * float(weight.square().sum()), rel=0.1)


def test_state_goes_round():
    given = [sets() for _ in range(6)]

    def run(steps, state=None):
        torch.manual_seed(2)
        made = make()
        if state is not None:
            made.load_state_dict(state)
        for k in steps:
            torch.manual_seed(k)
            made.step(*given[k], 1.0)
        return made

    whole, half = run(range(6)), run(range(3))
    resumed = run(range(3, 6), half.state_dict())
    assert resumed.steps == whole.steps == 6
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
