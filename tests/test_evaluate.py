"""Generated stamps, real ones and all measures together, on made-up stamps."""

import os
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner
from test_acceptance import write as write_model
from training_stamps import write_npz

from skygal.evaluation import evaluate as module
from skygal.evaluation.evaluate import MEASURES, evaluate_model, evaluate_stamps, observe_generated
from skygal.evaluation.reference import CLASSES, Effort, add_beam, make_reference
from skygal.evaluation.report import csv_table, markdown_table
from skygal.evaluation.results import Result
from skygal.training.data.prepare import prepare_stamps
from skygal.training.data.readers import read_stamps

TINY = Effort(folds=2, judge_seeds=1, judge_epochs=2, views=1, test_seeds=1, test_epochs=1, transfer_seeds=1,
              transfer_epochs=1, few=20, n_boot=10)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Return prepared stamps, their cutouts, and a reference of them."""
    stamps = read_stamps(write_npz(tmp_path_factory.mktemp("real") / "s.npz", 110))
    data = prepare_stamps(stamps, shape=(32, 48))
    return data, stamps, make_reference(data, stamps, effort=TINY)


@pytest.fixture(scope="module")
def made(real):
    """Return stamps that are as good as real ones: restored training stamps, each twice."""
    data, _, reference = real
    train = data.select(data.split == "train")
    rows = np.tile(np.arange(len(train)), 2)
    return add_beam(train.images, beam_sigma=reference.beam_sigma)[rows], train.fr_class[rows]


def test_every_measure_is_taken(real, made):
    _, _, reference = real
    rows = evaluate_stamps(*made, reference=reference)
    names = {row.measure for row in rows}
    for start in ("balanced accuracy", "RAMIS", "class fidelity, FRI", "class fidelity, FRII", "Frechet distance",
                  "two-sample accuracy", "two-sample accuracy, shown otherwise", "train on synthetic",
                  "gain of real + synthetic over real alone, 20",
                  "gain of real + synthetic over real alone, all", "KS p-value, las", "KS p-value, bending angle",
                  "KS p-value, lumps, noiseless", "class fidelity of training stamps, FRII",
                  "nearer to a training stamp"):
        assert any(name.startswith(start) for name in names), start
    for row in rows:
        assert isinstance(row.measure, str) and np.isfinite(row.real)
        assert row.measure.startswith("balanced accuracy") or np.isfinite(row.generated)
        assert (row.met is None) == (row.target == "")
    by_name = {(row.measure, row.group): row for row in rows}
    # of copies the judge thinks as of what they were made of
    for name in ("FRI", "FRII"):
        copies, source = (by_name[f"class fidelity{of}, {name}", "robust judge"] for of in ("", " of training stamps"))
        assert copies.generated == pytest.approx(source.generated, abs=0.25) and copies.real == source.real
    # copies are told
    assert by_name["nearer to a training stamp than 95 % of held-out", "pixels, noiseless"].generated == 1
    assert not by_name["nearer to a training stamp than 95 % of held-out", "pixels, noiseless"].met
    assert by_name["KS p-value, las", "all"].generated > 0.001


def test_judges_and_generator_share_no_stamp(real):
    data, _, reference = real
    train = reference.split == "train"
    assert (reference.fold[train] == -1).all() and (reference.fold[~train] >= 0).all()
    assert set(reference.test) == set(np.flatnonzero(data.split == "test"))
    # the judges learnt from the held-out stamps and views of them alone
    assert reference.judge.n_folds == 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(real, made):
    data, stamps, reference = real
    again = make_reference(data, stamps, effort=TINY)
    which = ["ramis", "fidelity", "two-sample"]
    one, two = (evaluate_stamps(*made, reference=of, which=which) for of in (reference, again))
    assert one == two
    # what was found of real stamps alone does not change what follows
    assert evaluate_stamps(*made, reference=reference, which=which) == one


def test_generated_stamps_get_the_noise_of_real_ones(real, made):
    _, _, reference = real
    seen = observe_generated(*made, reference)
    assert len(seen) + seen.hidden == len(made[1]) and seen.images.shape[1:] == (32, 48)
    assert np.isin(seen.observed.noise, reference.real.noise[reference.train]).all()
    assert [CLASSES[k] for k in seen.label] == made[1].tolist() or seen.hidden


def test_the_papers_judge_gets_rows_of_its_own(real, made):
    class Half:
        def classify(self, images):
            return np.full((len(images), 2), 0.5)

    rows = evaluate_stamps(*made, reference=real[2], which=["ramis", "fidelity"], paper=Half())
    found = [row for row in rows if row.group == "paper's judge"]
    assert len(found) == 3 and found[0].generated == found[0].real == pytest.approx(1)


@pytest.mark.parametrize("change, words", [
    (lambda x, c: (x[:, :-2], c), r"generated must have shape \(n, 32, 48\), got \(.*, 30, 48\)"),
    (lambda x, c: (x, c[:-1]), r"fr_class must have shape"),
    (lambda x, c: (x, np.full(len(c), "FR3")), "fr_class must be one of 'FRI', 'FRII', got 'FR3'"),
    (lambda x, c: (0 * x, c), "generated must have flux, got .* stamps without any")])
def test_bad_stamps_are_refused(real, made, change, words):
    with pytest.raises(ValueError, match=words):
        evaluate_stamps(*change(*made), reference=real[2])


def test_bad_arguments_are_refused(real, made, tmp_path):
    with pytest.raises(ValueError, match="which must be one of 'judge', .* got 'looks'"):
        evaluate_stamps(*made, reference=real[2], which=["looks"])
    with pytest.raises(ValueError, match="reference must be given, or data and stamps, got none"):
        evaluate_stamps(*made)
    few = real[0].select((real[0].split != "test") | (real[0].fr_class == "FRI"))
    with pytest.raises(ValueError, match="stamps must hold two of each of FRI and FRII in the test split, got"):
        make_reference(few, real[1], effort=TINY)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        evaluate_model(None, [tmp_path], n=0)


def test_tables_as_text():
    row = Result("RAMIS", "robust judge", 1.3, 0.01, 1.4, 0.02, "at least real", False)
    text = markdown_table([row, replace(row, met=True), replace(row, target="", met=None)]).splitlines()
    assert text[2] == "| RAMIS | robust judge | 1.300 ± 0.010 | 1.400 ± 0.020 | at least real | not met |"
    assert text[3].endswith("| met |") and text[4].endswith("|  |  |")
    assert csv_table([row]).splitlines()[1] == "RAMIS,robust judge,1.300 ± 0.010,1.400 ± 0.020,at least real,not met"


@pytest.mark.parametrize("model", ["small.safetensors", pytest.param("first-cvae", marks=pytest.mark.slow)])
def test_the_command_writes_a_report(model, tmp_path, monkeypatch):
    from skygal.cli.main import cli

    monkeypatch.setattr(Effort, "quick", classmethod(lambda cls: TINY))
    write_npz(tmp_path / "s.npz", 96)
    write_model(tmp_path / "small.safetensors")
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", model, "s.npz", "--quick", "--n", "30", "--seed", "1", "--output", "out", "--no-progress"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0 and "two-sample accuracy" in done.output and "report.md" in done.output
    names = {"figures.csv", "figures.ecsv", "noiseless.png", "observed.png", "report.md", "shapes.png"}
    assert names <= set(os.listdir("out"))
    table = Table.read("out/figures.ecsv")
    assert table.meta["seed"] == 1 and table.meta["model"] == model.removesuffix(".safetensors") and len(table) > 30
    text = (tmp_path / "out" / "report.md").read_text()
    assert "targets are met" in text and "![observed](observed.png)" in text
    with pytest.raises(FileExistsError, match="output folder 'out' exists"):
        CliRunner().invoke(cli, words, catch_exceptions=False)


@pytest.mark.parametrize("words, error", [
    (["first-cvae"], "sources must name at least one file, folder or package of stamps, got none beside 'first-cvae'"),
    (["a", "b.npz", "--classifier", "x", "--frdeep", "f.npz"], "frdeep must be left out where classifier is given"),
    (["a.npz", "--paper", "runs", "--quick"], "quick must be left out with paper, got True"),
    (["a.npz", "b.npz", "--paper", "runs"], r"sources must be left out with paper, got \['b.npz'\]")])
def test_bad_commands_are_refused(words, error, tmp_path, monkeypatch):
    from skygal.cli.main import cli

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=error):
        CliRunner().invoke(cli, ["evaluate", *words, "--output", "out"], catch_exceptions=False)


def test_a_model_of_another_kind_is_refused(monkeypatch):
    from skygal.morphology import checkpoint

    monkeypatch.setattr(checkpoint, "load_model", lambda *_, **__: "something")
    with pytest.raises(ValueError, match="model must be conditioned on extent, to be held beside real stamps, got "):
        module.evaluate_model("x", ["s.npz"])


def test_the_second_judge_is_kept_apart(tmp_path, monkeypatch):
    from training_stamps import stamps as make

    from skygal.evaluation import ramis
    from skygal.evaluation.judges import apart_from, train_second_judge
    from skygal.training.data.cutouts import make_cutouts

    images, labels = make(12, size=150)
    clipped = np.where(images > 0.03, np.floor(255 * images / images.max(axis=(1, 2), keepdims=True)), 0)
    names = np.where(labels == 0, "FRI", "FRII")
    cutouts = make_cutouts(list(images[:6]), names[:6], ra=np.arange(6.0), dec=np.zeros(6), rms=np.full(6, 0.01))
    shown = make_cutouts(list(clipped), names)
    assert apart_from(shown, cutouts, [0, 2]).tolist() == [k not in (0, 2) for k in range(12)]
    np.savez(tmp_path / "f.npz", image=clipped.astype(np.uint8), label=labels)
    given = {}
    monkeypatch.setattr(ramis, "train_paper_classifier",
                        lambda images, labels, **words: given.update(images=images, labels=labels, **words) or "judge")
    assert train_second_judge(tmp_path / "f.npz", cutouts, [0, 2], seed=3) == "judge"
    assert given["images"].shape == (10, 150, 150) and given["images"].max() == 1 and given["seed"] == 3
    assert given["labels"].tolist() == [labels[k] for k in range(12) if k not in (0, 2)]
    np.savez(tmp_path / "g.npz", image=np.tile(np.arange(150.0), (2, 151, 1)), label=[0, 1])
    with pytest.raises(ValueError, match=r"images of .* must be of at most 150 x 150 pixels, got \(151, 150\)"):
        train_second_judge(tmp_path / "g.npz", cutouts, [0], seed=3)


def test_measures_have_names():
    assert len(set(MEASURES)) == 10
