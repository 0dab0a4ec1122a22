"""Resampling the prior: what is kept, that it is drawn so, and that it is learnt."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from training_stamps import PLAIN, write_npz

from skygal.morphology.checkpoint import load_model, save_model
from skygal.morphology.conditions import ConditionTable
from skygal.morphology.latents import sample_latent_values, sample_latents
from skygal.morphology.model import GalaxyModel
from skygal.morphology.networks import Acceptance, Architecture
from skygal.seeds import Seeds
from skygal.training import acceptance as module
from skygal.training import train
from skygal.training.acceptance import _real_views, train_acceptance
from skygal.training.train import load_training_set, train_model

ARCH = Architecture(classes=("FRI", "FRII"), shape=(24, 40), latent_dim=4, decoder_widths=(8,), encoder_widths=(8,),
                    sky_shape=(12, 18), flow_layers=2, flow_width=16)
TABLES = {name: ConditionTable.of_stamps(np.linspace(8, 14, 90), np.linspace(0, 1, 90)) for name in ("FRI", "FRII")}
KEYS = Seeds(5).keys("latent", 1500)


class First(Acceptance):
    """Keeps a place by its first latent alone."""

    def forward(self, u, condition):
        return 2 * u[:, 0]


def write(path, acceptance=None):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = GalaxyModel(ARCH)
        if acceptance == "random":
            acceptance = Acceptance(ARCH)
            with torch.no_grad():
                acceptance.out.weight.mul_(8)
                acceptance.level.fill_(0.1234567)
    return save_model(model, path, name="small", tables=TABLES, metadata={}, acceptance=acceptance), acceptance


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return load_model(write(tmp_path_factory.mktemp("a") / "small.safetensors", "random")[0])


def sources(generator, keys=KEYS, latents="prior"):
    return sample_latents(generator, latents, np.resize(["FRI", "FRII"], len(keys)), keys)


def test_survives_its_file(tmp_path):
    path, acceptance = write(tmp_path / "small.safetensors", "random")
    generator = load_model(path)
    plan = sources(generator, KEYS[:20])
    given = plan.values, plan.fr_class, plan.extent, plan.bending
    found = generator.acceptance(*given)
    acceptance = acceptance.eval().double()
    with torch.no_grad():
        score = acceptance(*(torch.from_numpy(part).double() for part in (plan.values, generator.condition(*given))))
    np.testing.assert_allclose(found, np.exp(np.minimum(0, score.numpy() - 0.1234567)), rtol=1e-5)
    assert found.min() > 0 and found.max() <= 1


def test_a_model_without_keeps_all(tmp_path):
    generator = load_model(write(tmp_path / "plain.safetensors")[0])
    plan = sources(generator)
    np.testing.assert_array_equal(generator.acceptance(plan.values, plan.fr_class, plan.extent, plan.bending), 1)
    np.testing.assert_array_equal(plan.values, sample_latent_values("prior", KEYS, 4))


def test_kept_draws_follow_the_acceptance(generator, monkeypatch):
    monkeypatch.setattr(generator, "_acceptance", First(ARCH))
    values = sources(generator).values
    first, others = values[:, 0], values[:, 1:]
    # N(0, 1) times min(1, exp(2 u)): by integration
    u = np.linspace(-8, 8, 4001)
    density = np.exp(-0.5 * u**2) * np.minimum(1, np.exp(2 * u))
    mean = (u * density).sum() / density.sum()
    spread = np.sqrt(((u - mean) ** 2 * density).sum() / density.sum())
    assert first.mean() == pytest.approx(mean, abs=4 * spread / 1500**0.5)
    assert first.std() == pytest.approx(spread, rel=0.08)
    assert abs(others.mean()) < 0.06 and others.std() == pytest.approx(1, rel=0.05)


def test_a_source_is_drawn_from_its_key_alone(generator):
    whole = sources(generator)
    some = np.array([0, 7, 400, 1499])
    part = sample_latents(generator, "prior", whole.fr_class[some], KEYS[some])
    for name in ("values", "extent", "bending", "keys"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[some], err_msg=name)


def test_only_the_models_own_prior_is_resampled(generator):
    np.testing.assert_array_equal(sources(generator, latents="balanced").values, sources(generator).values)
    for latents in ("uniform", "pairs", np.zeros(4, np.float32)):
        drawn = sample_latent_values(latents, KEYS, 4)
        np.testing.assert_array_equal(sources(generator, latents=latents).values, drawn)
    assert not np.array_equal(sources(generator).values, sample_latent_values("prior", KEYS, 4))


@pytest.mark.parametrize("change, message", [
    ({"latents": np.zeros((3, 2))}, r"latents must have shape \(n, 4\), got \(3, 2\)"),
    ({"fr_class": np.full(3, "FR2")}, "fr_class must be one of 'FRI', 'FRII', got 'FR2'"),
    ({"extent": np.zeros(3)}, "extent must be positive and finite, got 0.0 arcsec"),
    ({"bending": np.full(3, 4.0)}, "bending must be between -pi and pi, got 4.0"),
])
def test_refuses(generator, change, message):
    given = {"latents": np.zeros((3, 4)), "fr_class": np.full(3, "FRI"), "extent": np.full(3, 9.0),
             "bending": np.zeros(3), **change}
    with pytest.raises(ValueError, match=message):
        generator.acceptance(**given)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = write_npz(tmp_path_factory.mktemp("stamps") / "stamps.npz", 60)
    prepared = load_training_set([path], PLAIN)
    return path, prepared.select(prepared.split == "train")


def test_training_is_repeatable_and_sets_a_level(generator, data):
    words = {"n": 48, "sharpness": (1.0, 1.0), "seed": 2, "epochs": 1}
    first, again = (train_acceptance(generator, data[1], **words) for _ in range(2))
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    # a tenth is kept for sure
    rng = np.random.default_rng(0)
    u = torch.from_numpy(rng.standard_normal((400, 4))).float()
    condition = torch.from_numpy(generator.condition(u.numpy(), np.full(400, "FRI"), np.full(400, 11.0), None)).float()
    with torch.no_grad():
        sure = (first(u, condition) >= first.level).float().mean()
    assert not first.training and 0 <= float(sure) < 0.7


def test_guides_see_real_stamps_with_several_noises(generator, data):
    train = data[1]
    views = _real_views(generator, train, seed=1)
    assert views.shape == (3, *train.seen.shape)
    np.testing.assert_array_equal(views[0], train.seen)
    assert not np.array_equal(views[1], views[2])
    for view in views[1:]:
        # the same source, cut into as many steps, lit about as far
        assert view.max() <= 1 and (view >= 0).all()
        alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(view, train.seen, strict=True)]
        assert np.median(alike) > 0.9
        assert np.median((view > 0).sum(axis=(1, 2)) / (train.seen > 0).sum(axis=(1, 2))) == pytest.approx(1, abs=0.3)


@pytest.mark.slow
def test_sharpness_minds_the_class(generator, data, monkeypatch):
    # what the guides say is given: the network learns ratio + sharpness * ln p(class), and nothing else
    n = 1600
    rng = np.random.default_rng(0)
    u = rng.standard_normal((n, 4)).astype(np.float32)
    given = u, np.repeat(["FRI", "FRII"], n // 2), np.full(n, 11.0), np.zeros(n)
    monkeypatch.setattr(module, "_guided", lambda *args, **words: (given, u[:, 0], u[:, 1]))
    for sharpness in ((0.0, 0.0), (3.0, 0.0), (0.0, 3.0)):
        net = train_acceptance(generator, data[1], n=n, sharpness=sharpness, seed=1, epochs=200)
        with torch.no_grad():
            found = net(torch.from_numpy(u), torch.from_numpy(generator.condition(*given)).float()).numpy()
        for power, part in zip(sharpness, (slice(0, n // 2), slice(n // 2, n)), strict=True):
            own, other = (np.corrcoef(found[part], (u[:, 0] + one * u[:, 1])[part])[0, 1] for one in (power, 3 - power))
            assert own > 0.8 and own > other + 0.2, (own, other)


def test_classes_other_than_fr_need_no_judge(data, tmp_path):
    # nothing names the class where there are not both of FRI and FRII
    train = data[1].select(data[1].fr_class == "FRI")
    small = replace(ARCH, classes=("FRI",))
    with torch.random.fork_rng():
        model = GalaxyModel(small)
    path = save_model(model, tmp_path / "one.safetensors", name="one", tables={"FRI": TABLES["FRI"]}, metadata={})
    made = train_acceptance(load_model(path), train, n=32, sharpness=(1.0, 1.0), seed=2, epochs=1)
    assert bool(torch.isfinite(made.level))


def test_a_run_ends_with_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GUIDES", 1)
    monkeypatch.setattr(module, "train_acceptance", partial(train_acceptance, epochs=2))
    settings = replace(PLAIN, epochs=1, acceptance_stamps=32)
    known = load_training_set([data[0]], settings)
    monkeypatch.setattr(train, "load_training_set", lambda *_, **__: known)
    paths = [train_model([data[0]], tmp_path / f"{name}.safetensors", settings=settings) for name in "ab"]
    models = [load_model(path) for path in paths]
    states = [model._acceptance.state_dict() for model in models]
    assert states[0] and all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert load_model(train_model([data[0]], tmp_path / "c.safetensors",
                                  settings=replace(settings, acceptance_stamps=0)))._acceptance is None
