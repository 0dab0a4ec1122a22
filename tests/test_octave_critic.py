"""What tells drawn octaves from an atlas: where it looks, and that it learns."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from skygal.morphology.octave_inputs import INFORMATION  # noqa: E402
from skygal.training.octave_critic import OctaveCritic, critic_loss, critic_rate  # noqa: E402

SIDE = 64


def rings(n, hole):
    """Return sources 30 pixels across, with a dark hole so wide in the middle, and what is told of places."""
    y, x = torch.meshgrid(torch.arange(SIDE) - 31.5, torch.arange(SIDE) - 31.5, indexing="ij")
    radius = torch.hypot(x, y)
    image = torch.where((radius < 15) & (radius >= hole / 2), 1.0, 0.0)
    return image.expand(n, 1, SIDE, SIDE).contiguous(), torch.zeros(n, INFORMATION, SIDE // 2, SIDE // 2)


def test_holes_are_looked_at_and_the_dark_around_is_not():
    maps, told = rings(2, 10)
    for logits, weight in OctaveCritic()(maps, told):
        assert weight.shape == logits.shape
        middle = weight.shape[-1] // 2
        assert float(weight[0, 0, middle, middle]) > 0.5 * float(weight.max())
        assert float(weight[0, 0, 0, 0]) == 0
        torch.testing.assert_close(weight.mean((1, 2, 3)), torch.ones(2))


def test_sources_with_holes_are_told_from_those_without():
    torch.manual_seed(0)
    critic = OctaveCritic()
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3)
    whole, holed = rings(1, 0), rings(1, 10)

    def right():
        return (critic_rate(critic(*whole), 1) + critic_rate(critic(*holed), -1)) / 2

    assert right() == pytest.approx(0.5, abs=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = critic_loss(critic(*whole), 1) + critic_loss(critic(*holed), -1)
        loss.backward()
        optimizer.step()
    # most places are alike in both
    assert right() > 0.6
    assert float(loss.detach()) < 1.2
