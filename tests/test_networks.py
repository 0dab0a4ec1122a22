"""The networks: the beam, the flow's inverse, the architecture's own description."""

import math

import pytest
import torch

from skygal.morphology.networks import (
    COARSEST,
    Architecture,
    ConditionalFlow,
    Decoder,
    Encoder,
    beam_matrix,
    sample_matrix,
    spread_matrix,
    stretch,
)

SMALL = Architecture(shape=(24, 40), latent_dim=5, decoder_widths=(16,), encoder_widths=(16,), sky_shape=(18, 30),
                     flow_layers=4, flow_width=8)
K = SMALL.condition_dim


def conditions(extent, bending=0.0, arch=SMALL):
    """Return conditions of the first class for extents in pixels."""
    extent = torch.as_tensor(extent, dtype=torch.float32) * arch.pixel_scale
    one_hot = torch.eye(len(arch.classes))[:1].expand(len(extent), -1)
    return arch.condition(one_hot, extent, torch.full_like(extent, bending))


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


@pytest.mark.parametrize("step", [0.4, 1.0, COARSEST * SMALL.beam_sigma])
def test_beam_of_a_flat_sky_is_flat(step):
    (matrix,) = beam_matrix(80, 201, torch.tensor([step]), SMALL.beam_sigma)
    far = matrix.sum(dim=1)[8:-8]
    torch.testing.assert_close(far, torch.ones_like(far), atol=2e-5, rtol=0)


def test_beam_has_its_width_and_place():
    step = torch.tensor([0.7, 1.5])
    x = torch.arange(81.0) - 40
    for matrix, spacing in zip(beam_matrix(81, 55, step, SMALL.beam_sigma), step.tolist(), strict=True):
        for node in (27, 20):
            column = matrix[:, node]
            centre = float((column * x).sum() / column.sum())
            assert centre == pytest.approx((node - 27) * spacing, abs=1e-4)
            spread = float((column * (x - centre) ** 2).sum() / column.sum())
            assert spread == pytest.approx(SMALL.beam_sigma**2, rel=1e-3)
            # a node stands for so much of the sky
            assert float(column.sum()) == pytest.approx(spacing, rel=1e-5)
    assert SMALL.beam_sigma == pytest.approx(3 / (2 * math.sqrt(2 * math.log(2))))


def test_sampling_gives_local_means():
    step = torch.tensor([0.9, 2.0])
    flat, slope = torch.ones(60), torch.arange(60.0) - 29.5
    for matrix, spacing in zip(sample_matrix(17, 60, step), step.tolist(), strict=True):
        torch.testing.assert_close(matrix @ flat, torch.ones(17), atol=1e-4, rtol=0)
        torch.testing.assert_close(matrix @ slope, (torch.arange(17.0) - 8) * spacing, atol=2e-2, rtol=0)
    # what lies outside the stamp is dark
    (beyond,) = sample_matrix(17, 10, torch.tensor([3.0]))
    assert float((beyond @ torch.ones(10))[0]) < 1e-6


def test_nodes_spread_with_the_source():
    extent = torch.tensor([2.0, 4.0, 1000.0])
    step = SMALL.sky_step(conditions(extent))
    torch.testing.assert_close(step[:2], extent[:2] * 2 * SMALL.sky_reach / SMALL.sky_shape[1])
    assert float(step[2]) == pytest.approx(COARSEST * SMALL.beam_sigma)


def test_condition():
    one_hot = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = SMALL.condition(one_hot, torch.tensor([math.exp(2.65 + 0.72), math.exp(2.65)]), torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 1, 0, 0, 1, 1], [0, 0, 0, 0, 0, -2]]), atol=1e-5, rtol=0)
    assert found.shape[1] == K


def test_decoder_is_non_negative_and_as_smooth_as_the_beam():
    decoder = rough(Decoder(SMALL))
    with torch.no_grad():
        stamps = decoder(torch.randn(6, 5), conditions([5.0] * 6))
    assert stamps.shape == (6, 24, 40) and bool((stamps >= 0).all())
    power = torch.fft.rfft2(stamps[:, 4:-4, 4:-4] * torch.hann_window(16)[:, None] * torch.hann_window(32)).abs()
    # the beam passes exp(-pi^2 sigma^2 / 2), 3e-4, of the shortest wave along an axis
    assert float(power[:, 8, 0].mean() / power[:, 0, 0].mean()) < 2e-3


@pytest.mark.parametrize(("coarse", "fine"), [(16, 64), (5, 18), (8, 30), (1, 4), (6, 6)])
def test_coarse_grids_are_spread_evenly(coarse, fine):
    matrix = spread_matrix(coarse, fine)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(fine))
    torch.testing.assert_close(matrix, matrix.flip(0, 1))
    # what is linear stays so between the outermost nodes: both grids span the same length
    ramp, expected = (torch.arange(size) + 0.5 for size in (coarse, fine))
    inner = (expected * coarse / fine > 0.5) & (expected * coarse / fine < coarse - 0.5)
    torch.testing.assert_close((matrix @ ramp)[inner], expected[inner] * coarse / fine)


def test_sky_is_the_sum_of_its_grids():
    # what a coarse grid says is what its spread values say on the fine one
    decoder = rough(Decoder(SMALL))
    fine, middle, coarse = (ny * nx for ny, nx in decoder.grids)
    assert decoder.grids == [(18, 30), (9, 15), (5, 8)]
    z, condition = torch.randn(3, 5), conditions([4.0, 8.0, 12.0])
    with torch.no_grad():
        stamps = decoder(z, condition)
        weight, bias = decoder.head.weight, decoder.head.bias
        for level, start, stop in ((1, fine, fine + middle), (2, fine + middle, fine + middle + coarse)):
            spread = torch.kron(spread_matrix(decoder.grids[level][0], 18), spread_matrix(decoder.grids[level][1], 30))
            weight[:fine] += spread @ weight[start:stop]
            bias[:fine] += spread @ bias[start:stop]
            weight[start:stop], bias[start:stop] = 0, 0
        torch.testing.assert_close(decoder(z, condition), stamps, rtol=1e-4, atol=1e-5)


def test_flow_inverts():
    flow = rough(ConditionalFlow(SMALL))
    u, condition = torch.randn(7, 5), torch.randn(7, K)
    with torch.no_grad():
        z = flow(u, condition)
        back, log_det = flow.inverse(z, condition)
    torch.testing.assert_close(back, u, atol=1e-4, rtol=1e-4)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v, condition[:1]), u[:1])[0, :, 0]
    assert float(log_det[0]) == pytest.approx(-float(torch.linalg.slogdet(jacobian)[1]), abs=1e-3)
    assert not torch.allclose(z, u)


def test_decoder_shows_one_source_at_any_size():
    # the same sky, twice as far spread out: second moments less the beam's grow fourfold
    decoder = rough(Decoder(Architecture(**{**SMALL.to_dict(), "shape": (80, 120), "classes": SMALL.classes})))
    # what is decoded must not depend on the size, only where it is put
    with torch.no_grad():
        decoder.body[0].weight[:, -2] = 0
        z = torch.randn(1, 5).expand(2, 5)
        small, large = decoder(z, conditions([3.0, 6.0]))
    x = torch.arange(120.0) - 59.5
    spread = []
    for stamp in (small, large):
        along = stamp.sum(dim=0) / stamp.sum()
        spread.append(float((along * x**2).sum() - (along * x).sum() ** 2) - SMALL.beam_sigma**2)
    assert spread[1] / spread[0] == pytest.approx(4, rel=0.01)
    assert float(large.sum() / small.sum()) == pytest.approx(4, rel=0.01)


def test_encoder_gives_a_scale():
    loc, scale = rough(Encoder(SMALL))(torch.rand(3, 24, 40), conditions([4.0, 5.0, 6.0]))
    assert loc.shape == scale.shape == (3, 5) and bool((scale > 0).all())


def test_encoder_sees_the_same_of_any_size():
    # a source and the same twice as large give nearly the same codes, but for what the condition itself adds
    arch = Architecture(**{**SMALL.to_dict(), "shape": (80, 120), "classes": SMALL.classes})
    encoder = rough(Encoder(arch), 0.1)
    y, x = torch.meshgrid(torch.arange(80.0) - 39.5, torch.arange(120.0) - 59.5, indexing="ij")
    source = [torch.exp(-0.5 * ((x / (2 * k) - 2) ** 2 + (y / (2 * k)) ** 2)) + 0.5 * torch.exp(
        -0.5 * ((x / (2 * k) + 3) ** 2 + (y / (2 * k)) ** 2)) for k in (1.5, 3.0)]
    with torch.no_grad():
        encoder.body[0].weight[:, -2] = 0
        (small, large), _ = encoder(torch.stack(source), conditions([4.0, 8.0]))
        (other,), _ = encoder(torch.rand(1, 80, 120), conditions([4.0]))
    assert float((small - large).norm()) < 0.1 * float((small - other).norm())


def test_stretch_is_finite_at_zero():
    image = torch.zeros(1, requires_grad=True)
    stretch(image).sum().backward()
    assert torch.isfinite(image.grad).all() and float(stretch(torch.tensor(1.0))) == pytest.approx(0.99, abs=0.01)


def test_step_has_no_gradient():
    # the matrices are made in place
    step = torch.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError):
        beam_matrix(8, 5, step, 1.3).sum().backward()


def test_architecture_survives_its_dictionary():
    assert Architecture.from_dict({**SMALL.to_dict(), "shape": [24, 40]}) == SMALL


@pytest.mark.parametrize("change, message", [
    ({"depth": 3}, "architecture must have the entries"),
    ({"latent_dim": "4"}, "architecture entry latent_dim must be like 48, got '4'"),
    ({"latent_dim": True}, "architecture entry latent_dim must be like 48, got True"),
    ({"shape": [24.5, 40.0]}, "architecture entry shape must be like"),
    ({"classes": []}, "architecture entry classes must be like"),
])
def test_architecture_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_dict({**SMALL.to_dict(), **change})
