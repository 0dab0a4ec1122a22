import math

import numpy as np
import pytest
import torch
from pyro.infer import Trace_ELBO
from scipy.special import expit, xlogy

import skygal
from skygal.bastien2021.generator import PaperGenerator
from skygal.bastien2021.networks import PaperArchitecture, PaperModel, spread_weights
from skygal.bastien2021.weights import load_paper_model, save_paper_model, write_paper_weights

WIDTHS = (24, 20, 16, 12, 10)


def small(conditional=True, latent_dim=3, side=12, seed=0, **options):
    torch.manual_seed(seed)
    arch = PaperArchitecture(latent_dim=latent_dim, conditional=conditional, widths=WIDTHS, side=side)
    return PaperModel(arch, **options)


def leaky(x):
    return np.where(x > 0, x, 1e-4 * x)


def numpy_networks(model):
    """Return encoder and decoder of a model written out in numpy, dropout off."""
    state = {key: value.detach().numpy().astype(float) for key, value in model.state_dict().items()}

    def layer(name, x):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def encode(x):
        x = np.logaddexp(0, layer("encoder.fc1", x))
        for i in (2, 3, 4, 5):
            x = leaky(layer(f"encoder.fc{i}", x))
        return layer("encoder.fc61", x), np.exp(layer("encoder.fc62", x))

    def decode(x):
        for i in range(7, 12):
            x = leaky(layer(f"decoder.fc{i}", x))
        return expit(layer("decoder.fc12", x))

    return encode, decode


@pytest.mark.parametrize("conditional", [True, False])
def test_networks_are_table_2(conditional):
    with torch.device("meta"):
        model = PaperModel(PaperArchitecture(latent_dim=32, conditional=conditional))
    extra = 2 if conditional else 0
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items() if key.endswith("weight")}
    assert shapes == {
        "encoder.fc1.weight": (4096, 10000 + extra), "encoder.fc2.weight": (2048, 4096),
        "encoder.fc3.weight": (1024, 2048), "encoder.fc4.weight": (512, 1024), "encoder.fc5.weight": (256, 512),
        "encoder.fc61.weight": (32, 256), "encoder.fc62.weight": (32, 256),
        "decoder.fc7.weight": (256, 32 + extra), "decoder.fc8.weight": (512, 256), "decoder.fc9.weight": (1024, 512),
        "decoder.fc10.weight": (2048, 1024), "decoder.fc11.weight": (4096, 2048), "decoder.fc12.weight": (10000, 4096)}


@pytest.mark.parametrize("conditional", [True, False])
def test_networks_against_numpy(conditional):
    model = small(conditional).eval()
    encode, decode = numpy_networks(model)
    rng = np.random.default_rng(1)
    images = rng.random((5, 144))
    labels = np.eye(2)[[0, 1, 1, 0, 1]] if conditional else np.zeros((5, 0))
    given = torch.from_numpy(labels).float() if conditional else None
    loc, scale = model.encode(torch.from_numpy(images).float(), given)
    right = encode(np.hstack([images, labels]))
    assert np.allclose(loc.detach(), right[0], atol=1e-6)
    assert np.allclose(scale.detach(), right[1], atol=1e-6)
    z = rng.standard_normal((5, 3))
    made = model.logits(torch.from_numpy(z).float(), given).sigmoid()
    assert np.allclose(made.detach(), decode(np.hstack([z, labels])), atol=1e-6)


@pytest.mark.parametrize("conditional", [True, False])
def test_loss_is_the_elbo_in_nats(conditional):
    """Against the closed Kullback-Leibler divergence and Bernoulli sum, with latents that hardly scatter."""
    model = small(conditional).eval()
    with torch.no_grad():
        model.encoder.fc62.bias.fill_(-12.0)
        model.encoder.fc62.weight.zero_()
    encode, decode = numpy_networks(model)
    x = np.random.default_rng(2).random((4, 144))
    labels = np.eye(2)[[0, 1, 0, 1]] if conditional else np.zeros((4, 0))
    loc, scale = encode(np.hstack([x, labels]))
    p = decode(np.hstack([loc, labels]))
    likelihood = (xlogy(x, p) + xlogy(1 - x, 1 - p)).sum()
    # one sample of ln q(z) - ln p(z): the quadratic term of q is the sample's own, 1/2 for each latent on average
    divergence = (-np.log(scale) + loc**2 / 2).sum()
    right = divergence - likelihood + (4 * math.log(2) if conditional else 0)
    loss = np.mean([Trace_ELBO().loss(model.model, model.guide, torch.from_numpy(x).float(),
                                      torch.from_numpy(labels).float() if conditional else None)
                    for _ in range(400)])
    assert loss == pytest.approx(right - 12 / 2, abs=0.8)


def test_class_prior_is_a_constant_of_ln_2():
    model = small().eval()
    x, labels = torch.rand(6, 144), torch.eye(2)[[0, 1, 0, 1, 0, 1]]
    from pyro import poutine

    trace = poutine.trace(model.model).get_trace(x, labels)
    trace.compute_log_prob()
    assert float(trace.nodes["y"]["log_prob"].sum()) == pytest.approx(-6 * math.log(2))


def test_weight_of_the_divergence():
    model = small(False).eval()
    x = torch.rand(3, 144)

    def loss(weight):
        torch.manual_seed(5)
        return Trace_ELBO().loss(model.model, model.guide, x, None, weight)

    full, half, tenth = loss(1.0), loss(0.5), loss(0.1)
    assert full - half == pytest.approx((full - tenth) * 5 / 9, rel=1e-3)


def test_bfloat16_is_near_float32():
    exact, rough = small().eval(), small(autocast=True).eval()
    z, labels = torch.randn(8, 3), torch.eye(2)[[0, 1] * 4]
    made = rough.logits(z, labels)
    assert made.dtype == torch.float32
    assert torch.allclose(made, exact.logits(z, labels), atol=0.02)
    assert not torch.equal(made, exact.logits(z, labels))


def test_dropout_is_set_for_both():
    model = small()
    z, labels = torch.ones(2, 3), torch.eye(2)
    assert not torch.equal(model.logits(z, labels), model.logits(z, labels))
    model.set_dropout(0.0)
    assert torch.equal(model.logits(z, labels), model.logits(z, labels))


@pytest.mark.parametrize("conditional", [True, False])
def test_spread_weights_hand_the_image_on(conditional):
    torch.manual_seed(3)
    model = PaperModel(PaperArchitecture(latent_dim=4, conditional=conditional, side=12,
                                         widths=(96, 64, 48, 40, 32))).eval()
    images = torch.rand(256, 144)
    labels = torch.eye(2)[torch.arange(256) % 2] if conditional else None
    with torch.no_grad():
        loc, _ = model.encode(images, labels)
    assert float(loc.std(dim=0).max()) < 0.1      # PyTorch's own start
    spread_weights(model, images, labels)
    with torch.no_grad():
        loc, scale = model.encode(images, labels)
    assert torch.allclose(loc.std(dim=0), torch.ones(4), atol=1e-3)
    assert torch.allclose(loc.mean(dim=0), torch.zeros(4), atol=1e-3)
    assert float(scale.log().mean()) == pytest.approx(-0.7, abs=0.05)
    made = model.logits(loc, labels).detach()
    assert 0.1 < float(made.std(dim=0).mean()) < 0.6
    assert float((made.mean(dim=0) - images.mean(dim=0).logit()).abs().mean()) < 0.2


@pytest.mark.parametrize(("options", "said"), [
    ({"latent_dim": 0}, "latent_dim must be at least 1"), ({"side": 1}, "side must be at least 2"),
    ({"widths": (3, 2)}, r"widths must be five hidden layers, got \(3, 2\)"),
    ({"widths": (1, 1, 1, 1, 0)}, "widths must be at least 1"),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ({"pixel_scale": 0}, "pixel_scale must be positive, got 0"),
    ({"beam_fwhm": math.inf}, "beam_fwhm must be positive, got inf")])
def test_architecture_refuses(options, said):
    with pytest.raises(ValueError, match=said):
        PaperArchitecture(**options)


def test_architecture_as_a_dict():
    arch = PaperArchitecture(latent_dim=8, widths=WIDTHS)
    assert PaperArchitecture.from_dict(arch.to_dict()) == arch
    with pytest.raises(ValueError, match="architecture must have the keys .* got .*'latent_dim'"):
        PaperArchitecture.from_dict({"latent_dim": 2})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = small(latent_dim=4, side=32, seed=7)
    with torch.no_grad():
        # a blob in the middle, so that there is something to measure
        y, x = np.indices((32, 32)) - 15.5
        blob = np.exp(-(x**2 / 30 + y**2 / 8))
        model.decoder.fc12.bias.copy_(torch.from_numpy(np.log(blob.ravel() + 1e-6)))
        model.decoder.fc12.weight.mul_(0.3)
    return save_paper_model(model, tmp_path_factory.mktemp("m") / "paper.safetensors", name="paper",
                            metadata={"a": 1}), model


def test_loads_as_a_model(saved):
    path, model = saved
    generator = skygal.load_model(path)
    assert isinstance(generator, PaperGenerator)
    assert skygal.load_model(generator) is generator
    assert (generator.classes, generator.latent_dim, generator.shape) == (("FRI", "FRII"), 4, (32, 32))
    assert (generator.pixel_scale, generator.beam_fwhm, generator.metadata) == (1.8, 5.4, {"a": 1})
    assert "paper" in repr(generator)
    z = np.random.default_rng(1).standard_normal((70, 4))
    fr_class = np.array(["FRI", "FRII"] * 35)
    made = generator.decode(z, fr_class)
    _, decode = numpy_networks(model)
    right = decode(np.hstack([z, np.eye(2)[[0, 1] * 35]])).reshape(-1, 32, 32)
    assert np.abs(made - right).max() < 1e-6
    # a stamp's bits do not depend on how many follow it
    assert np.array_equal(generator.decode(z[:3], fr_class[:3], np.ones(3)), made[:3])


@pytest.mark.parametrize("latents", ["uniform", "balanced", "prior"])
def test_stamps_of_the_paper_model(saved, latents):
    stamps = skygal.sample_stamps(6, model=saved[0], latents=latents, seed=1, size=48)
    assert stamps.images.shape == (6, 48, 48)
    assert stamps.images.max(axis=(1, 2)) == pytest.approx(1, abs=0.05)
    assert sorted(stamps.table["fr_class"]) == ["FRI"] * 3 + ["FRII"] * 3
    again = skygal.sample_stamps(6, model=saved[0], latents=latents, seed=1, size=48)
    assert np.array_equal(stamps.images, again.images)


def test_training_weights_are_kept(saved):
    read = load_paper_model(saved[0])
    for key, value in saved[1].state_dict().items():
        assert torch.equal(read.state_dict()[key], value), key


def test_a_vae_warns_that_it_knows_no_classes(tmp_path):
    path = save_paper_model(small(False), tmp_path / "vae.safetensors", name="v", metadata={})
    for _ in range(2):
        with pytest.warns(UserWarning, match="model 'v' is a VAE without classes"):
            generator = skygal.load_model(path)
    z = np.ones((2, 3))
    a, b = generator.decode(z, np.array(["FRI", "FRII"]))
    assert np.array_equal(a, b)


@pytest.mark.parametrize(("latents", "fr_class", "said"), [
    (np.zeros((2, 3)), ["FRI", "FRI"], r"latents must have shape \(n, 4\), got \(2, 3\)"),
    (np.full((1, 4), np.nan), ["FRI"], "latents must be finite, got nan"),
    (np.zeros((2, 4)), ["FRI"], r"fr_class must have shape \(2,\), got \(1,\)"),
    (np.zeros((1, 4)), ["FR3"], "fr_class must be .*FRI.* got 'FR3'")])
def test_decode_refuses(saved, latents, fr_class, said):
    with pytest.raises(ValueError, match=said):
        skygal.load_model(saved[0]).decode(latents, np.array(fr_class))


def test_files_that_do_not_fit_are_refused(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="model file '.*none.safetensors' not found"):
        load_paper_model(tmp_path / "none.safetensors")
    from skygal.morphology.checkpoint import WEIGHTS

    with pytest.raises(ValueError, match="must be of a bastien2021 preset, got skygal-cvae"):
        load_paper_model(next(WEIGHTS.glob("*.safetensors")))
    model = small()
    decoder = {key: value.detach().numpy() for key, value in model.state_dict().items() if key.startswith("decoder")}
    alone = write_paper_weights(decoder, model.arch, tmp_path / "decoder.safetensors", name="d", metadata={})
    assert skygal.load_model(alone).decode(np.zeros((1, 3)), np.array(["FRI"])).shape == (1, 12, 12)
    with pytest.raises(ValueError, match="must hold an encoder, got a decoder alone"):
        load_paper_model(alone)
    # a description of another architecture, with a digest that fits it
    import json

    from safetensors.numpy import save_file

    from skygal.io.weights import digest, read_weights
    from skygal.morphology.checkpoint import FORMATS

    tensors, description, _ = read_weights(alone, FORMATS)
    description["architecture"]["latent_dim"] = 5
    text = json.dumps(description)
    save_file(tensors, tmp_path / "wrong.safetensors", {"description": text, "sha256": digest(tensors, text)})
    with pytest.raises(ValueError, match="does not fit its architecture"):
        skygal.load_model(tmp_path / "wrong.safetensors")
