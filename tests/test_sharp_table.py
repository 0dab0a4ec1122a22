"""Sources of any resolution beside an atlas: what is compared with what, and the report."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from skygal.evaluation import patches
from skygal.evaluation import sharp_table as module
from skygal.evaluation.sharp import MEASURES
from skygal.evaluation.sharp_table import Held, draw_after_atlas, draw_sources, evaluate_sharp, write_sharp_report
from skygal.training.data.atlas import PIXELS_PER_BEAM, Atlas, read_atlas

PLAIN = SimpleNamespace(octaves=None)


def atlas_file(path, n=14, wide=2.0):
    """Doubles of several widths, 60 pixels long, with a beam of two pixels or another."""
    rng = np.random.default_rng(0)
    y, x = np.indices((64, 96)) - np.array([31.5, 47.5]).reshape(2, 1, 1)
    image = np.stack([sum(np.exp(-0.5 * (((x - side * 20) / a)**2 + (y / b)**2)) for side in (-1, 1))
                      for a, b in rng.uniform(2, 6, (n, 2))])
    beam = np.tile([wide, wide, 0.0], (n, 1))
    beam[0] = [wide, 0.6 * wide, 0]
    np.savez(path, image=np.where(image > 1e-4, image, 0).astype(np.float16), scale=np.ones(n), pixel=np.ones(n),
             name=np.array([f"s{k}" for k in range(n)]), label=np.where(np.arange(n) % 4, 200, 100), beam=beam,
             las99=np.full(n, 60.0), quality=np.ones(n))
    return path


@pytest.fixture
def atlas(tmp_path, monkeypatch) -> Atlas:
    monkeypatch.setattr(patches, "EPOCHS", 1)
    monkeypatch.setattr(patches, "PATCHES", 4)
    return read_atlas(atlas_file(tmp_path / "atlas.npz"))


def of(found, measure, beams=12):
    return next(row for row in found.rows if (row["measure"], row["beams"]) == (measure, beams))


def test_the_atlas_itself_measures_as_the_atlas_and_none_is_not_a_number(atlas, monkeypatch):
    asked = []

    def draw(model, n, beams, *, frii, seed):
        asked.append((n, beams, frii))
        return list(atlas.at(beams, np.arange(1, 14))[0]) if beams == 12 else []

    monkeypatch.setattr(module, "draw_sources", draw)
    found = evaluate_sharp(atlas, [Held(PLAIN, np.arange(14))], scales=(12, 20), n=13, networks=1)
    assert asked == [(13, 12, 10 / 14), (13, 20, 10 / 14)]
    assert {row["measure"] for row in found.rows} == {*MEASURES, "patch accuracy"}
    for name in MEASURES:
        row = of(found, name)
        assert row["drawn"] == pytest.approx(row["real"], nan_ok=True)
        assert np.isfinite(of(found, name, 20)["real"]) or name == "core contrast"
        assert np.isnan(of(found, name, 20)["drawn"])
    assert np.isnan(of(found, "patch accuracy", 20)["drawn"]) and 0 < of(found, "patch accuracy", 20)["real"] < 1
    # the beam of the first is not round
    assert len(found.maps[12][0]) == 13


def test_each_model_is_held_beside_what_it_did_not_see(atlas, monkeypatch):
    """Each model draws what is its own fold's alone, so that the networks must be tried fold by fold."""
    told = []
    monkeypatch.setattr(module, "draw_sources", lambda model, n, beams, **_: [np.full((4, 4), model.name)] * n)
    monkeypatch.setattr(module, "measure_sharpness", lambda image: dict.fromkeys(MEASURES, float(image.max())))
    monkeypatch.setattr(module, "tell_patches", lambda real, drawn, *parts, seeds: told.append(
        (len(real), [float(image.max()) for image in drawn], *(part.tolist() for part in parts))) or (0.5, 0.1))
    monkeypatch.setattr(module, "split_test", lambda maps, seeds: (0.5, 0.1))
    models = [Held(SimpleNamespace(name=k + 1.0, octaves=None), np.arange(14)[k::2]) for k in (0, 1)]
    evaluate_sharp(atlas, models, scales=(12,), n=6)
    assert told == [(13, [1.0] * 3 + [2.0] * 3, [0] * 6 + [1] * 7, [0] * 3 + [1] * 3)]


def test_the_error_of_a_median_is_that_of_normal_numbers():
    values = np.random.default_rng(2).normal(3, 2, 400)
    median, error = module._median([*values, np.nan], 0)
    assert median == np.median(values)
    # sqrt(pi / 2) sigma / sqrt(n)
    assert error == pytest.approx(np.sqrt(np.pi / 2) * 2 / 20, rel=0.3)


def test_drawn_sources_have_the_beams_asked_for_or_there_are_none():
    from skygal.morphology.checkpoint import load_model

    model = load_model("first-cvae")
    maps = draw_sources(model, 6, 12, frii=0.5, seed=1)
    assert 3 <= len(maps) <= 6 and all(image.max() == 1 for image in maps)
    for one, two in zip(maps, draw_sources(model, 6, 12, frii=0.5, seed=1), strict=True):
        np.testing.assert_array_equal(one, two)
    for image in maps:
        y, x = np.nonzero(image > 0.02)
        assert np.hypot(np.ptp(y), np.ptp(x)) / PIXELS_PER_BEAM == pytest.approx(12, rel=0.25)
    assert draw_sources(model, 6, 60, frii=0.5, seed=1) == []


def test_octaves_after_the_atlas_show_its_own_sources(tmp_path):
    """They are as the sources are, seen again with the coarse beam, and as sharp as the beam allows."""
    from scipy import ndimage

    from skygal.morphology.checkpoint import load_model

    atlas, model = read_atlas(atlas_file(tmp_path / "atlas.npz", wide=1.2)), load_model("first-atlas")
    rows = np.array([1, 2, 5])
    for beams, wider in ((12, 4), (24, 8), (36, 12), (45, 2)):
        real, _ = atlas.at(beams, rows)
        for known, image in zip(real, draw_after_atlas(model, atlas, rows, beams, seed=0), strict=True):
            assert image.max() == pytest.approx(1) and image.min() >= 0
            seen = [ndimage.gaussian_filter(part, np.sqrt(wider**2 - 1) * PIXELS_PER_BEAM / 2.3548)
                    for part in (known, image)]
            centre = [np.array(ndimage.center_of_mass(part)) for part in seen]
            around = [ndimage.shift(part, (np.array(part.shape) - 1) / 2 - at)
                      for part, at in zip(seen, centre, strict=True)]
            side = [min(each) // 2 for each in zip(around[0].shape, around[1].shape, strict=True)]
            cut = [part[tuple(slice(size // 2 - half + 2, size // 2 + half - 2)
                              for size, half in zip(part.shape, side, strict=True))] for part in around]
            # turned to their own axes, and either way round
            match = max(np.corrcoef(cut[0].ravel(), part.ravel())[0, 1] for part in (cut[1], cut[1][::-1, ::-1]))
            assert match > (0.75 if beams < 42 else 0.97)
    first, again = (draw_after_atlas(model, atlas, rows, 12, seed=seed)[0] for seed in (0, 0))
    np.testing.assert_array_equal(first, again)


def test_the_report_has_table_numbers_and_pictures(atlas, tmp_path, monkeypatch):
    from matplotlib.image import imread

    monkeypatch.setattr(module, "draw_sources", lambda model, n, beams, **_:
                        list(atlas.at(beams)[0][:n]) if beams == 12 else [])
    found = evaluate_sharp(atlas, [Held(PLAIN, np.arange(14))], scales=(12, 20), n=6, networks=1)
    folder = write_sharp_report(found, tmp_path / "out")
    rows = json.loads((folder / "sharp.json").read_text())
    assert len(rows) == len(found.rows) == 2 * (len(MEASURES) + 1)
    for row, kept in zip(found.rows, rows, strict=True):
        assert kept["drawn"] == (row["drawn"] if np.isfinite(row["drawn"]) else None)
    text = (folder / "sharp.md").read_text()
    assert text.count("\n") == len(rows) + 2 and text.count(" | - |") >= len(MEASURES) and "nan" not in text
    # two rows of maps, or one
    shown, half = ((imread(folder / f"beams{beams}.png")[..., :3].min(axis=2) < 0.5).mean() for beams in (12, 20))
    assert 0.1 < half < 0.7 * shown
    with pytest.raises(FileExistsError, match="exists"):
        write_sharp_report(found, tmp_path / "out")


def test_the_command_measures_a_model_beside_an_atlas(atlas, tmp_path, monkeypatch):
    from skygal.cli.main import cli

    monkeypatch.setattr(module, "draw_sources", lambda model, n, beams, **_: list(atlas.at(beams)[0][:n]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate_sharp, "__kwdefaults__", evaluate_sharp.__kwdefaults__ | {"scales": (12,)})
    words = ["evaluate", "first-cvae", "--sharp", "atlas.npz", "--quick", "--n", "6", "--output", "out",
             "--no-progress"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0 and "| 12 | patch accuracy |" in done.output
    assert {"sharp.json", "sharp.md", "beams12.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ValueError, match="exclude must be left out with sharp, got 'x'"):
        CliRunner().invoke(cli, [*words, "--overwrite", "--exclude", "x"], catch_exceptions=False)


def test_a_model_that_learnt_from_all_of_the_atlas_is_told(atlas, tmp_path, monkeypatch):
    from skygal.cli.main import cli
    from skygal.morphology import checkpoint

    held = []
    monkeypatch.setattr(checkpoint, "load_model", lambda name, device: SimpleNamespace(
        octaves=object(), metadata={"left_out": ["s1", "s5"] if name == "part" else ["x"]}))
    monkeypatch.setattr(module, "evaluate_sharp", lambda atlas, models, **_: held.append(models) or module.Sharpness())
    monkeypatch.chdir(tmp_path)
    words = ["--sharp", "atlas.npz", "--output", "out", "--overwrite", "--no-progress"]
    CliRunner().invoke(cli, ["evaluate", "part", *words], catch_exceptions=False)
    with pytest.warns(UserWarning, match="model 'whole' left out none of the sources in 'atlas.npz'"):
        CliRunner().invoke(cli, ["evaluate", "whole", *words], catch_exceptions=False)
    assert [one.rows.tolist() for (one,) in held] == [[1, 5], list(range(14))]


def test_no_model_is_told(atlas):
    with pytest.raises(ValueError, match="models must be one at least, got none"):
        evaluate_sharp(atlas, [])
