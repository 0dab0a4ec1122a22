"""The networks: the beam, the flow's inverse, the architecture's own description."""

import math

import pytest
import torch

from skygal.morphology.networks import Architecture, ConditionalFlow, Decoder, Encoder, beam_matrix, stretch

SMALL = Architecture(shape=(24, 40), latent_dim=5, decoder_widths=(16,), encoder_widths=(16,), flow_layers=4,
                     flow_width=8)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def rough(module, scale=0.3):
    """Give every weight a size, as training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in module.parameters():
            value += scale * torch.randn(value.shape, generator=generator)
    return module.eval()


def test_beam_of_a_flat_sky_is_flat():
    matrix = beam_matrix(80, 54, 1.5, SMALL.beam_sigma)
    middle = matrix.sum(dim=1)[8:-8]
    torch.testing.assert_close(middle, torch.ones_like(middle), atol=1e-5, rtol=0)


def test_beam_has_its_width():
    matrix = beam_matrix(81, 55, 1.5, SMALL.beam_sigma)
    x = torch.arange(81.0) - 40
    column = matrix[:, 27]
    assert float((column * x**2).sum() / column.sum()) == pytest.approx(SMALL.beam_sigma**2, rel=1e-3)
    assert SMALL.beam_sigma == pytest.approx(3 / (2 * math.sqrt(2 * math.log(2))))


def test_decoder_is_non_negative_and_as_smooth_as_the_beam():
    decoder = rough(Decoder(SMALL))
    with torch.no_grad():
        stamps = decoder(torch.randn(6, 5), torch.zeros(6, 3))
    assert stamps.shape == (6, 24, 40) and bool((stamps >= 0).all())
    power = torch.fft.rfft2(stamps[:, 4:-4, 4:-4] * torch.hann_window(16)[:, None] * torch.hann_window(32)).abs()
    # the beam passes exp(-pi^2 sigma^2 / 2), 3e-4, of the shortest wave along an axis
    assert float(power[:, 8, 0].mean() / power[:, 0, 0].mean()) < 2e-3


def test_flow_inverts():
    flow = rough(ConditionalFlow(SMALL))
    u, condition = torch.randn(7, 5), torch.randn(7, 3)
    with torch.no_grad():
        z = flow(u, condition)
        back, log_det = flow.inverse(z, condition)
    torch.testing.assert_close(back, u, atol=1e-4, rtol=1e-4)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v, condition[:1]), u[:1])[0, :, 0]
    assert float(log_det[0]) == pytest.approx(-float(torch.linalg.slogdet(jacobian)[1]), abs=1e-3)
    assert not torch.allclose(z, u)


def test_encoder_gives_a_scale():
    loc, scale = rough(Encoder(SMALL))(torch.rand(3, 24, 40), torch.zeros(3, 3))
    assert loc.shape == scale.shape == (3, 5) and bool((scale > 0).all())


def test_stretch_is_finite_at_zero():
    image = torch.zeros(1, requires_grad=True)
    stretch(image).sum().backward()
    assert torch.isfinite(image.grad).all() and float(stretch(torch.tensor(1.0))) == pytest.approx(0.99, abs=0.01)


def test_architecture_survives_its_dictionary():
    assert Architecture.from_dict({**SMALL.to_dict(), "shape": [24, 40]}) == SMALL


@pytest.mark.parametrize("change, message", [
    ({"depth": 3}, "architecture must have the entries"),
    ({"latent_dim": "4"}, "architecture entry latent_dim must be like 32, got '4'"),
    ({"shape": [24.5, 40.0]}, "architecture entry shape must be like"),
    ({"classes": []}, "architecture entry classes must be like"),
])
def test_architecture_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict({**SMALL.to_dict(), **change})
