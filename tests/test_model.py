"""The Pyro model and guide."""

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO

from skygal.morphology.model import GalaxyModel, LatentPrior
from skygal.morphology.networks import Architecture, stretch

SMALL = Architecture(classes=("FRI", "FRII"), shape=(16, 24), latent_dim=3, decoder_widths=(8,), encoder_widths=(8,),
                     sky_shape=(12, 18), flow_layers=2, flow_width=8)
GIVEN = [1.0, 0.0, 0.3, -0.4]


@pytest.fixture
def made():
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        torch.manual_seed(0)
        model = GalaxyModel(SMALL, dropout=0.0, flow_dropout=0.0)
        stamps = torch.rand(5, 16, 24)
        condition = torch.tensor([GIVEN] * 5)
        yield model, stamps, condition


def test_model_and_guide_share_their_sites(made):
    model, stamps, condition = made
    sampled = poutine.trace(model.guide).get_trace(stamps, condition)
    replayed = poutine.trace(poutine.replay(model.model, sampled)).get_trace(stamps, condition)
    assert replayed.nodes["z"]["value"] is sampled.nodes["z"]["value"]
    assert replayed.nodes["z"]["value"].shape == (5, 3)
    assert replayed.nodes["x"]["is_observed"]


def test_elbo_is_the_sum_of_its_terms(made):
    model, stamps, condition = made
    torch.manual_seed(4)
    loss = SVI(model.model, model.guide, pyro.optim.Adam({}), Trace_ELBO()).evaluate_loss(stamps, condition)
    torch.manual_seed(4)
    with torch.no_grad():
        loc, scale = model.encoder(stretch(stamps), condition)
        z = loc + scale * torch.randn(5, 3)
        expected = (torch.distributions.Normal(stretch(model.decoder(z, condition)), model.sigma)
                    .log_prob(stretch(stamps)).sum()
                    + LatentPrior(model.flow, condition, 3).log_prob(z).sum()
                    - torch.distributions.Normal(loc, scale).log_prob(z).sum())
    assert loss == pytest.approx(-float(expected), rel=1e-5)


def test_prior_density_integrates_to_one(made):
    model = made[0]
    with torch.no_grad():
        for value in model.flow.parameters():
            value += 0.3 * torch.randn(value.shape)
    axis = torch.linspace(-25, 25, 101)
    z = torch.cartesian_prod(axis, axis, axis)
    prior = LatentPrior(model.flow, torch.tensor([GIVEN]).expand(len(z), 4), 3)
    with torch.no_grad():
        total = np.exp(prior.log_prob(z).numpy()).sum() * 0.5**3
    assert total == pytest.approx(1, abs=0.02)


def test_prior_draws_one_sample_each(made):
    model, _, condition = made
    prior = LatentPrior(model.flow, condition, 3)
    assert prior.rsample().shape == (5, 3)
    with pytest.raises(ValueError, match=r"sample_shape must be empty, .* got \(2,\)"):
        prior.rsample(torch.Size([2]))


def test_decoder_shows_the_target_and_the_encoder_sees_the_view(made):
    model, stamps, condition = made
    view = torch.rand(5, 16, 24)
    guide = poutine.trace(model.guide).get_trace(view, condition, stamps)
    loc = model.encoder(stretch(view), condition)[0]
    torch.testing.assert_close(guide.nodes["z"]["fn"].base_dist.loc, loc)
    trace = poutine.trace(poutine.replay(model.model, guide)).get_trace(view, condition, stamps)
    torch.testing.assert_close(trace.nodes["x"]["value"], stretch(stamps))


def test_divergence_is_weighted(made):
    model, stamps, condition = made
    loss = []
    for weight in (0.2, 0.6, 1.0):
        torch.manual_seed(4)
        loss.append(Trace_ELBO().loss(model.model, model.guide, stamps, condition, None, weight))
    assert loss[1] == pytest.approx((loss[0] + loss[2]) / 2, rel=1e-5) and loss[0] != loss[2]
