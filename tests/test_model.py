"""The Pyro model and guide."""

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO

from skygal.morphology.model import GalaxyModel, LatentPrior
from skygal.morphology.networks import Architecture, stretch

SMALL = Architecture(shape=(16, 24), latent_dim=3, decoder_widths=(8,), encoder_widths=(8,), flow_layers=2,
                     flow_width=8)


@pytest.fixture
def made():
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        torch.manual_seed(0)
        model = GalaxyModel(SMALL, dropout=0.0, flow_dropout=0.0)
        stamps = torch.rand(5, 16, 24)
        condition = torch.tensor([[1.0, 0.0, 0.3]] * 5)
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
    prior = LatentPrior(model.flow, torch.tensor([[1.0, 0.0, 0.3]]).expand(len(z), 3), 3)
    with torch.no_grad():
        total = np.exp(prior.log_prob(z).numpy()).sum() * 0.5**3
    assert total == pytest.approx(1, abs=0.02)


def test_prior_draws_one_sample_each(made):
    model, _, condition = made
    prior = LatentPrior(model.flow, condition, 3)
    assert prior.rsample().shape == (5, 3)
    with pytest.raises(ValueError, match=r"sample_shape must be empty, .* got \(2,\)"):
        prior.rsample(torch.Size([2]))
