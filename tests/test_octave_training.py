"""Octaves learn from an atlas, resume to the bit, and leave out the sources that they are to leave out."""

from __future__ import annotations

import re
from dataclasses import replace

import click
import numpy as np
import pytest
import torch
from pyro.infer import trace_elbo, trace_mean_field_elbo
from pyro.poutine import trace_struct

from skygal.cli.main import main
from skygal.cli.octaves import train_octaves as train_octaves_command
from skygal.io.weights import read_weights
from skygal.morphology.checkpoint import load_model
from skygal.morphology.octave_inputs import CLOSER, FIRST_PIXELS, FIRST_RATIO
from skygal.morphology.octave_seeing import smooth
from skygal.morphology.octaves import FORMAT
from skygal.training import octaves
from skygal.training.data import octave_maps
from skygal.training.data.atlas import Atlas, read_atlas
from skygal.training.data.octave_maps import (
    AtlasView,
    atlas_maps,
    cut_piece,
    first_maps,
    see_source,
    source_axis,
    survey_source,
)
from skygal.training.octave_settings import OctaveSettings, left_out
from skygal.training.octave_trainer import OctaveTrainer, _Batch
from skygal.training.octaves import train_octaves

SMALL = {"first_steps": 6, "steps": 6,
         "warmup": 2, "batch": 2, "first_side": 16, "side": 16, "views": 2, "stamps": 4, "refresh": 2, "drawn": 2,
         "checkpoint_every": 2}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """Doubles at several angles, of 44 beams across, and one that is not resolved."""
    y, x = np.indices((160, 160)) - 79.5
    images, n = [], 4
    for k in range(n):
        angle = 0.5 * k
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        image = sum(np.exp(-0.5 * (((along - at) / 8)**2 + (across / 5)**2)) for at in (-40, 40))
        images.append(image + 2 * np.exp(-0.5 * (((along - 45) / 1.7)**2 + (across / 1.7)**2)))
    path = tmp_path_factory.mktemp("atlas") / "atlas.npz"
    names, beam = np.array([f"double {k}" for k in range(n)]), np.array([[2.5, 2.5, 0.0]] * 3 + [[20.0, 20.0, 0.0]])
    np.savez(path, image=np.array(images, np.float16), scale=np.ones(n), name=names, pixel=np.ones(n), beam=beam,
             label=np.array([200, 200, 100, 200]), las99=np.full(n, 110.0), quality=np.ones(n, int))
    return path


def test_maps_are_aligned_and_seen_with_the_beams_asked_for(atlas):
    maps = atlas_maps(read_atlas(atlas), np.arange(4), 3, np.random.default_rng(0))
    # the fourth shows five beams and a half
    assert sorted({found.source for found in maps}) == [0, 1, 2]
    for found in maps:
        assert 8 <= found.beams <= 14.7 and found.fine.max() == pytest.approx(1)
        assert tuple(2 * side for side in found.given.shape) == found.fine.shape
        y, x = np.nonzero(found.fine > 0.05)
        assert np.ptp(x) > 2 * np.ptp(y)
        assert np.ptp(x) / 3 == pytest.approx(2 * found.beams * 106 / 110, rel=0.25)
        again = smooth(torch.from_numpy(found.fine)[None, None], CLOSER)[0, 0].numpy()
        np.testing.assert_allclose(again, found.given, atol=1e-6)
    assert {found.flags for found in maps} == {(0.0, 1.0), (1.0, 0.0)}


def test_maps_of_the_first_octaves_are_what_a_survey_leaves_of_them(atlas, monkeypatch):
    """As a wider beam sees them where there is neither noise nor error; else without what the clip takes."""
    def maps(noise, errors):
        monkeypatch.setattr(octave_maps, "NOISE_RANGE", (noise, noise))
        return first_maps(read_atlas(atlas), np.arange(4), 3, 3.0, errors, np.random.default_rng(0))

    known, views = read_atlas(atlas), []
    clean_maps = maps(1e-6, 0.0)
    monkeypatch.setattr(octave_maps, "survey_source", lambda source, view, **given: (
        views.append(view), survey_source(source, view, **given))[1])
    for plain, noisy, view in zip(clean_maps, maps(0.06, 0.0), views, strict=True):
        assert 3 <= plain.beams <= 5.5 and plain.source < 3
        again = smooth(torch.from_numpy(plain.fine)[None, None], CLOSER, FIRST_RATIO)[0, 0].numpy()
        np.testing.assert_allclose(plain.given, again, atol=2e-3 * again.max())
        np.testing.assert_array_equal(plain.fine, noisy.fine)
        assert noisy.given.sum() == pytest.approx(plain.given.sum(), rel=1e-4)
        # as the networks see it, with a beam of twice the width
        again, clean, clipped = (smooth(torch.from_numpy(some)[None, None])[0, 0].numpy()
                                 for some in (again, plain.given, noisy.given))
        faint = (again > 0) & (again < 0.02 * again.max())
        others = [survey_source(known, view, sharper=3.0, noise=0.06, errors=0.0, rng=np.random.default_rng(seed),
                                closer=CLOSER).given for seed in range(6)]
        left = [smooth(torch.from_numpy(one)[None, None])[0, 0].numpy()[faint].sum() for one in others]
        assert np.mean(left) < 0.8 * clean[faint].sum()
        assert np.corrcoef(clipped.ravel(), again.ravel())[0, 1] > 0.97
    plain, wrong = (maps(1e-6, errors)[0].given for errors in (0.0, 0.3))
    lit = plain > 0.01
    assert 0.01 < np.log(wrong[lit] / plain[lit]).std() < 0.35


@pytest.mark.parametrize("angle", [-30.0, 15.0])
def test_sources_are_bent_about_their_middle(angle):
    """Both lobes go to one side, by the angle, as far from the core as they were, and the core is where it is told."""
    y, x = np.indices((160, 160)) - 79.5
    lobes = sum(np.exp(-0.5 * (((x - at) / 6)**2 + (y / 6)**2)) for at in (-40, 40))
    known = Atlas((lobes + np.exp(-0.5 * ((x - 3)**2 + (y - 2)**2)))[None], np.array(["double"]), np.array([200]),
                  np.ones(1), np.array([[2.355, 2.355, 0.0]]), np.full(1, 110.0))
    turn, *centre = source_axis(known.image[0])
    plain, bent = (see_source(known, AtlasView(0, 30.0, turn, tuple(centre), np.zeros(2), bend))
                   for bend in (0.0, np.radians(angle)))
    ends = []
    for found in (plain, bent):
        middle = np.array(found.core[:2]) * 2
        x = np.arange(found.fine.shape[1])
        row, column = np.round(middle).astype(int)
        near = found.fine[row - 3:row + 4, column - 3:column + 4]
        np.testing.assert_allclose(np.unravel_index(near.argmax(), near.shape), 3, atol=1)
        halves = [np.where((x > middle[1]) == right, found.fine, 0) for right in (False, True)]
        lobes = [np.array([(half * at).sum() / half.sum() for at in np.indices(half.shape)]) - middle
                 for half in halves]
        ends.append(np.array(lobes))
    before, after = ends
    np.testing.assert_allclose(np.hypot(*after.T), np.hypot(*before.T), rtol=0.04)
    turned = np.degrees(np.arctan2(after[:, 0], np.abs(after[:, 1])) - np.arctan2(before[:, 0], np.abs(before[:, 1])))
    np.testing.assert_allclose(turned, angle, rtol=0.2)
    assert bent.fine.sum() == pytest.approx(plain.fine.sum(), rel=0.1)
    assert bent.beams == pytest.approx(plain.beams * np.cos(np.radians(angle)))


def test_pieces_keep_the_maps_in_register(atlas):
    found = atlas_maps(read_atlas(atlas), np.arange(1), 1, np.random.default_rng(0))[0]
    rng = np.random.default_rng(1)
    for _ in range(20):
        piece = cut_piece(found.fine, found.given, found.middle, found.beams, found.flags, 16, rng, ratio=2)
        assert piece.fine.shape == (32, 32) and piece.given.shape == (16, 16)
        assert piece.given[2:-2, 2:-2].max() > 0.01
        # the place maps tell where in the whole it is: zero at the middle
        away = piece.information[0] * found.beams * 3 / 2
        assert np.allclose(np.abs(np.diff(away[0])), 1, atol=1e-3) or away.min() < 1
        bright = np.unravel_index(piece.fine.argmax(), piece.fine.shape)
        assert piece.given[bright[0] // 2, bright[1] // 2] > 0.1 * piece.fine.max()


def test_batches_keep_pieces_in_register_however_they_are_flipped(atlas):
    """The fine map, seen coarsely, is the coarse one: where it was, and turned about."""
    known, rng = read_atlas(atlas), np.random.default_rng(0)
    first = first_maps(known, np.arange(3), 2, 3.0, 0.0, rng)
    for maps, ratio, pixels in ((atlas_maps(known, np.arange(3), 4, rng), 2, 1), (first, FIRST_RATIO, FIRST_PIXELS)):
        pieces = [cut_piece(found.fine, found.given, found.middle, found.beams, found.flags, 32 // pixels, rng,
                            ratio=ratio, pixels=pixels) for found in maps for _ in range(4)]
        batch = _Batch(pieces, rng, turned=ratio == 2)
        unlike = (batch.given[:, 0].numpy() != np.stack([piece.given for piece in pieces])).any(axis=(1, 2))
        assert 0.4 < unlike.mean() < 1
        # places keep to the maps: distances along the source grow along rows, or along columns where it is turned
        upright = (np.ptp(batch.information[:, 0].numpy(), axis=2) < 1e-6).all(axis=1)
        assert upright.any() == (ratio == 2) and not upright.all()
        inner = (..., slice(8, -8), slice(8, -8))
        seen, coarse = smooth(batch.fine, CLOSER, ratio)[inner].numpy(), batch.given[inner].numpy()
        if ratio == 2:
            np.testing.assert_allclose(seen, coarse, atol=1e-5 * coarse.max())
        lit = coarse[:, 0].max(axis=(1, 2)) > 0.1
        assert lit.sum() > 10
        for one, other in zip(seen[lit, 0], coarse[lit, 0], strict=True):
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


@pytest.fixture(scope="module")
def trained(atlas, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "sharp.safetensors"
    return train_octaves(atlas, path, settings=OctaveSettings(**SMALL, fold=1, folds=2))


def test_a_trained_model_is_one_that_can_be_drawn_from(trained):
    model = load_model(trained)
    assert model.name == "sharp" and model.octaves.factor == 3
    assert model.metadata["left_out"] == [f"double {k}" for k in left_out(4, 1, 2)]
    first, later = (network.out.weight.detach().numpy() for network in (model.octaves.first, model.octaves.later))
    assert np.isfinite(first).all() and np.isfinite(later).all() and not np.array_equal(first, later)
    lines = trained.with_suffix(".csv").read_text().splitlines()
    assert lines[0].startswith("octaves,step,seconds,elbo,structure")
    assert [line[:line.index(",", 4)] for line in lines[1:]] == ["0.0,6", "1.0,6"]


@pytest.mark.parametrize("part", ["first", "later"])
def test_an_interrupted_training_resumes_to_the_bit(part, atlas, trained, tmp_path, monkeypatch):
    path, settings = tmp_path / "sharp.safetensors", OctaveSettings(**SMALL, fold=1, folds=2)
    step = OctaveTrainer.run_step

    def interrupted(self):
        if self.step == 5 and (self.first is None) == (part == "first"):
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(OctaveTrainer, "run_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_octaves(atlas, path, settings=settings)
    assert not path.exists() and path.with_suffix(".ckpt").exists()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="must be of the same settings"):
        train_octaves(atlas, path, settings=OctaveSettings(**SMALL), resume=True)
    train_octaves(atlas, path, settings=settings, resume=True)
    first, second = (read_weights(some, [FORMAT])[0] for some in (trained, path))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


def test_a_run_that_is_replaced_is_kept_until_the_new_one_is_done(atlas, trained, tmp_path, monkeypatch):
    path = tmp_path / trained.name
    for suffix in (".safetensors", ".ckpt", ".csv"):
        path.with_suffix(suffix).write_bytes(trained.with_suffix(suffix).read_bytes())
    settings = OctaveSettings(**SMALL)
    with pytest.raises(FileExistsError, match="exists"):
        train_octaves(atlas, path, settings=settings)
    monkeypatch.setattr(octaves, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train_octaves(atlas, path, settings=settings, overwrite=True)
    assert (tmp_path / "sharp.old" / path.name).read_bytes() == trained.read_bytes() and not path.exists()
    monkeypatch.undo()
    train_octaves(atlas, path, settings=settings, overwrite=True)
    assert load_model(path).metadata["left_out"] == [] and not (tmp_path / "sharp.old").exists()


def test_folds_are_each_source_once():
    parts = [left_out(59, k, 3) for k in range(3)]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(59))
    assert left_out(59, 0, 0).size == 0


@pytest.mark.parametrize(("given", "words"), [
    ({"frii": 1.5}, "frii must be from 0 to 1, got 1.5"),
    ({"fold": 3, "folds": 3}, "fold must be from 0 to 2"),
    ({"side": 18}, "side must be a multiple of 4"),
    ({"checkpoint_every": 250}, "checkpoint_every must be a multiple of refresh"),
    ({"steps": 0}, "steps must be"),
])
def test_settings_that_make_no_sense_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        OctaveSettings(**given)


def test_the_command_says_what_is_wrong(atlas, tmp_path, capsys):
    assert main(["train-octaves", str(tmp_path / "none.npz"), "--output", str(tmp_path / "a.safetensors")]) != 0
    assert "none.npz" in capsys.readouterr().err
    assert main(["train-octaves", str(atlas), "--output", str(tmp_path / "a.npz")]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err
    assert main(["train-octaves", str(atlas), "--output", str(tmp_path / "a.safetensors"), "--device", "cuda"]) == 2
    assert "device must be" in capsys.readouterr().err


def test_the_command_s_defaults_are_those_that_its_help_names():
    told = {option.name: re.search(r"\[default: (\d+)\]", option.help or "") for option in train_octaves_command.params
            if isinstance(option, click.Option)}
    numbers = {name: int(found[1]) for name, found in told.items() if found}
    assert {"first_steps", "steps", "warmup", "views"} <= set(numbers)
    assert numbers == {name: getattr(OctaveSettings(), name) for name in numbers}


def test_a_step_looks_at_sources_of_one_class_in_maps_that_are_new(atlas):
    known, base = read_atlas(atlas), load_model("first-cvae")
    first = OctaveTrainer(known, base, OctaveSettings(**SMALL | {"drawn": 20, "stamps": 20}))
    before = first.maps
    first._refresh()
    assert [one.source for one in first.maps] == [one.source for one in before]
    assert not any(np.array_equal(one.fine, other.fine) for one, other in zip(first.maps, before, strict=True))
    for trainer in (first, OctaveTrainer(known, base, OctaveSettings(**SMALL | {"drawn": 8}), first)):
        trainer._refresh()
        for kind in range(2):
            rng = np.random.default_rng(kind)
            for piece in (*trainer._known(rng, kind), *trainer._drawn(rng, kind)):
                assert (piece.information[3 + kind] == 1).all() and (piece.information[4 - kind] == 0).all()


def test_an_atlas_of_one_class_is_learnt_from_at_every_step(atlas):
    known = read_atlas(atlas)
    alone = replace(known, label=np.full_like(known.label, 200))
    trainer = OctaveTrainer(alone, load_model("first-cvae"), OctaveSettings(**SMALL))
    rng = np.random.default_rng(0)
    assert {trainer._class(rng) for _ in range(20)} == {1}
    both = OctaveTrainer(known, load_model("first-cvae"), OctaveSettings(**SMALL))
    assert {both._class(rng) for _ in range(20)} == {0, 1}


def test_all_of_a_step_is_on_the_device_that_it_is_given(atlas, monkeypatch):
    """Tensors without values stand for those of a device that this machine may lack: they do not mix with others."""
    known, base, settings = read_atlas(atlas), load_model("first-cvae"), OctaveSettings(**SMALL)
    first = OctaveTrainer(known, base, settings)
    for owner in (trace_elbo, trace_mean_field_elbo, trace_struct):
        monkeypatch.setattr(owner, "warn_if_nan", lambda *_: None)
    monkeypatch.setattr(trace_struct, "warn_if_inf", lambda *_, **__: None)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
    for method in ("__float__", "item"):
        monkeypatch.setattr(torch.Tensor, method, lambda _: 0.0)
    for trainer in (first, OctaveTrainer(known, base, settings, first)):
        trainer._refresh()
        trainer.device = "meta"
        for module in (trainer.model, trainer.critic):
            module.to("meta")
        rng = np.random.default_rng(0)
        drawn, one, two = (_Batch(pieces, rng, "meta")
                           for pieces in (trainer._drawn(rng, 1), trainer._known(rng, 1), trainer._known(rng, 1)))
        assert {drawn.core.device.type, one.fine.device.type, one.information.device.type} == {"meta"}
        losses, shown = trainer._generator_step(one, drawn, two)
        assert {maps.device.type for maps in shown} == {"meta"}
        losses |= trainer._critic_step(two, drawn, shown)
        assert {"elbo", "critic", "structure_after_stamps"} <= set(losses)
