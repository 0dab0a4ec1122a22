import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from frdeep_images import make_images, write_arrays

from skygal.bastien2021 import experiments, paper_tables
from skygal.bastien2021 import experiments as paper_experiments
from skygal.bastien2021.experiments import add_noise, blank_edge, blur_images, run_experiments
from skygal.bastien2021.networks import PaperArchitecture, PaperModel
from skygal.bastien2021.paper_tables import curve_table, read_runs, result_table, target_table, time_to_target
from skygal.bastien2021.report import write_paper_report
from skygal.bastien2021.settings import PaperSettings
from skygal.bastien2021.train import train_paper_model
from skygal.cli.main import main
from skygal.evaluation.ramis import PaperClassifier

SMALL = PaperSettings(latent_dim=2, widths=(20, 16, 12, 10, 8), epochs=2, batch_size=16, rotations=1, log_every=1,
                      test_draws=1, samples=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with FRDEEP, runs, a classifier and a search."""
    folder = tmp_path_factory.mktemp("paper")
    frdeep = write_arrays(folder / "frdeep.npz", 16, 4)
    torch.manual_seed(0)
    judge = PaperClassifier().eval()
    runs = folder / "runs"
    judge.save(runs / "a.classifier.safetensors")
    for name, latent_dim, conditional in (("cvae-d32", 32, True), ("vae-d2", 2, False)):
        train_paper_model(frdeep, runs / f"{name}.safetensors", classifier=judge, settings=PaperSettings(
            **{**SMALL.to_dict(), "latent_dim": latent_dim, "conditional": conditional, "learning_rate": None}))
    (runs / "search.rates.csv").write_text("learning_rate,train_loss\n0.001,150.5\n0.002,160\n")
    return folder


def test_blur_keeps_flux_and_widens():
    image = np.zeros((1, 61, 61), np.float32)
    image[0, 30, 30] = 1
    assert np.array_equal(blur_images(image, 1), image)
    x = np.arange(61) - 30
    for kernel in (3, 9, 19):
        seen = blur_images(image, kernel)[0]
        assert seen.sum() == pytest.approx(1, abs=1e-5)
        assert np.count_nonzero(seen.sum(axis=0)) == kernel
        width = np.sqrt((seen.sum(axis=0) * x**2).sum())
        # the kernel's own cut narrows the smallest
        assert width == pytest.approx(0.3 * (kernel // 2 - 1) + 0.8, rel=0.15 if kernel == 3 else 0.06)
    for bad, said in ((2, "kernel must be odd, got 2"), (0, "kernel must be at least 1")):
        with pytest.raises(ValueError, match=said):
            blur_images(image, bad)


def test_noise_and_edge():
    images = np.ones((3, 150, 150), np.float32)
    seen = add_noise(images, 0.01, rng=np.random.default_rng(1))
    assert seen.std() == pytest.approx(0.01, rel=0.02) and seen.mean() == pytest.approx(1, abs=1e-4)
    assert np.array_equal(add_noise(images, 0, rng=np.random.default_rng(1)), images)
    with pytest.raises(ValueError, match="amplitude must be at least 0, got -1"):
        add_noise(images, -1, rng=np.random.default_rng(1))
    assert blank_edge(images, 25).sum() == 3 * 100 * 100
    assert blank_edge(images, 0).sum() == images.sum()
    assert not blank_edge(images, 75).any() and not blank_edge(images, 100).any()
    with pytest.raises(ValueError, match="width must be"):
        blank_edge(images, -1)


def test_experiments_have_the_papers_steps():
    torch.manual_seed(1)
    images, _ = make_images(4, 1)
    found = run_experiments(PaperClassifier(), images / np.float32(255))
    assert [x for x, _ in found["blur"]] == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]
    assert [x for x, _ in found["noise"]] == pytest.approx(np.arange(0, 0.0115, 0.001))
    assert [x for x, _ in found["edge"]] == list(range(0, 76, 5))
    start = {found[kind][0][1] for kind in found}
    assert len(start) == 1              # all three begin with the images as they are
    assert found["edge"][-1][1] == pytest.approx(1)


def test_profile_lies_along_the_source():
    y, x = np.indices((101, 101)) - 50
    angle = 0.6
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    image = sum(np.exp(-((along - s)**2 + across**2) / 18) for s in (-20, 20))
    offset, profile = experiments.axis_profile(image)
    assert profile[np.abs(offset) == 20] == pytest.approx(1, abs=0.05)
    assert profile[offset == 0] < 0.01
    _, other = experiments.axis_profile(image.T, of=image)
    assert other.max() < 0.5


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    return PaperModel(PaperArchitecture(latent_dim=2, widths=(20, 16, 12, 10, 8)))


def test_map_and_twins(model):
    grid = experiments.decode_grid(model)
    assert grid.shape == (21, 21, 100, 100)
    corner = experiments.make_twins(model, [[4.0, -4.0], [-4.0, 4.0]])
    assert np.abs(grid[0, -1] - corner[0, 0]).max() < 1e-6          # first latent along the second axis
    assert np.abs(grid[-1, 0] - corner[0, 1]).max() < 1e-6
    assert not np.array_equal(corner[0], corner[1])
    with pytest.raises(ValueError, match="model must have 2 latents for a map, got 3"):
        experiments.decode_grid(PaperModel(PaperArchitecture(latent_dim=3, widths=(9, 8, 7, 6, 5))))


def test_balance_leaves_things_as_they_were(model):
    judge = PaperClassifier()
    state = torch.random.get_rng_state()
    model.eval()
    first = experiments.class_balance(model, judge, n=3)
    assert not model.training and torch.equal(state, torch.random.get_rng_state())
    assert first == experiments.class_balance(model, judge, n=3)
    assert set(first) == {"uniform", "prior"}
    row = first["prior"]
    assert row["called_fri"] == pytest.approx((row["fri_as_fri"] + 1 - row["frii_as_frii"]) / 2)
    assert experiments.floor_share([[0, 1e-5, 1e-4, 1]]) == 0.5


def test_reconstruction_goes_through_the_location(model):
    images = np.random.default_rng(3).random((2, 100, 100)).astype(np.float32)
    made = experiments.reconstruct(model, images, np.array([0, 1]))
    flat, labels = torch.from_numpy(images.reshape(2, -1)), torch.eye(2)
    with torch.no_grad():
        model.eval()
        right = model.logits(model.encode(flat, labels)[0], labels).sigmoid().numpy()
    assert np.abs(made.reshape(2, -1) - right).max() < 1e-6


def test_loss_over_many_draws(model):
    from pyro.infer import Trace_ELBO

    rng = np.random.default_rng(4)
    images, labels = rng.random((3, 100, 100)).astype(np.float32), np.array([0, 1, 1])
    loss, error = experiments.measure_test_loss(model, images, labels, draws=30)
    assert (loss, error) == experiments.measure_test_loss(model, images, labels, draws=30)
    model.train()
    with torch.no_grad():
        other = np.mean([Trace_ELBO().loss(model.model, model.guide, torch.from_numpy(images.reshape(3, -1)),
                                           torch.eye(2)[labels]) / 3 for _ in range(30)])
    assert abs(loss - other) < 6 * error


def test_runs_are_read_in_order(home):
    runs = read_runs(home / "runs")
    assert [(run.name, run.kind, run.settings.latent_dim) for run in runs] == [("vae-d2", "VAE", 2),
                                                                               ("cvae-d32", "CVAE", 32)]
    assert [row["epoch"] for row in runs[0].rows] == [1, 2] and set(runs[0].seconds) == {1, 2}
    assert runs[0].passes == pytest.approx(2 / 36)      # turned once, not by 36 angles
    assert runs[0].minutes == runs[0].seconds[2] / 60 and replace(runs[0], seconds={}).minutes is None
    assert runs[1].label == "CVAE, d = 32\npaper, 0.0556 passes"
    assert _turned(runs[1], 36, (1,)).label == "CVAE, d = 32\npaper, 1 pass"


def test_tables_hold_both(home):
    runs = read_runs(home / "runs")
    third, fourth = (result_table(runs, conditional=kind) for kind in (False, True))
    assert "| test loss | paper | 125.7 | 121.0 | 127.6 | 120.6 | 121.2 | 121.1 |" in third
    assert "| FRI count / % | paper | 57.5 | 75.5 | 53.4 | 37.1 | 65.0 | 75.9 |" in fourth
    run = runs[1]
    shown = [line for line in fourth.splitlines() if line.startswith("| FRII count / %, other way round | here")]
    assert shown[0].split("|")[7].strip() == f"{100 * (1 - run.rows[-1]['fri_fraction']):.1f}"
    assert "not reached" in target_table(runs)
    found = time_to_target(run, run.rows[1]["test_loss"])
    assert found is not None and found[0] in (1, 2)
    assert time_to_target(run, 0.0) is None


def _turned(run, rotations, epochs):
    """The run as if it had turned images by so many angles and logged the epochs."""
    return replace(run, settings=replace(run.settings, rotations=rotations, epochs=epochs[-1]),
                   rows=[{**run.rows[0], "epoch": epoch, "test_loss": 100.0 + epoch} for epoch in epochs], seconds={})


def test_curves_are_compared_at_equal_passes(home):
    vae, cvae = read_runs(home / "runs")
    assert "| VAE |" not in curve_table([vae])         # a thirty-sixth of a pass is none
    score = f"({vae.rows[0]['ramis']:.2f})"
    long = curve_table([_turned(vae, 36, (1, 10))])
    assert f"| VAE | 2 | 0 | 161.9 (1.01) | vae-d2 | 101.0 {score} after 1 |" in long
    assert "| 10 |" not in long             # the authors' epoch 10 is after 11 passes
    eleven = curve_table([_turned(vae, 36, (1, 10, 20))])
    assert f"| VAE | 2 | 10 | 150.9 (1.08) | vae-d2 | 110.0 {score} after 10 |" in eleven
    # with 18 angles two epochs make a pass
    assert f"vae-d2 | 102.0 {score} after 1 |" in curve_table([_turned(vae, 18, (1, 2, 3))])
    assert "| VAE | 2 | 10 |" not in curve_table([_turned(vae, 18, (1, 20))])
    # of two runs the tables take the one that saw more images, whatever its number of epochs
    short, more = _turned(cvae, 36, (2,)), replace(_turned(cvae, 18, (3,)), weights=cvae.weights.with_name("x"))
    lines = {tuple(cell.strip() for cell in line.split("|")[1:3]): line.split("|")[7].strip()
             for line in result_table([short, more], conditional=True).splitlines()}
    assert lines["test loss", "paper"] == "127.3" and lines["images to a step", "paper"] == "100"
    assert lines["passes over 550 x 36 images", "paper"] == "5000" and lines["minutes", "here"] == "-"
    text = result_table([short, more], conditional=True)
    assert "| 102.0 |" in text and "| 103.0 |" not in text
    table = target_table([replace(_turned(cvae, 18, (4,)), rows=[{**cvae.rows[0], "epoch": 4, "test_loss": 120.0}])])
    assert "| 4 | 2500 times sooner | - |" in table         # four epochs of two passes


def test_pictures_have_a_palette(tmp_path):
    from PIL import Image

    from skygal.bastien2021.figures import plot_reconstructions

    images = np.random.default_rng(0).random((3, 20, 20))
    path = tmp_path / "made.png"
    plot_reconstructions(images, [("CVAE, d = 2\nfast, 4 passes", images), ("VAE", images)], path)
    with Image.open(path) as seen:
        assert seen.mode == "P" and min(seen.size) > 200


def test_palette_keeps_bright_pixels(tmp_path):
    """A small bright source on a wide dark sky, and a second colour map, keep their colours."""
    from matplotlib import colormaps
    from PIL import Image

    from skygal.bastien2021 import figures as paper_figures

    y, x = np.indices((100, 100)) - 50
    figure, (left, right) = paper_figures._figure(1, 2, figsize=(6, 2.9))
    paper_figures._show(left, np.exp(-(x**2 + 3 * y**2) / 30))
    right.imshow(np.hypot(x, y), cmap="viridis")
    paper_figures._save(figure, tmp_path / "made.png")
    with Image.open(tmp_path / "made.png") as seen:
        shown = np.asarray(seen.convert("RGB")).reshape(-1, 3).astype(int)
    for name in ("inferno", "viridis"):
        for colour in colormaps[name](np.linspace(0, 1, 9), bytes=True)[:, :3].astype(int):
            assert np.abs(shown - colour).max(axis=1).min() < 20, (name, colour)


def test_numbers_of_the_paper_are_those_of_its_text():
    table = paper_tables.PAPER_TABLES[True]
    # Section 5.3: of the CVAEs only d = 32 beats the mean RAMIS (1.15) and the mean test loss (127.93)
    assert np.mean(table["ramis"]) == pytest.approx(1.15, abs=0.005)
    assert np.mean(table["test_loss"]) == pytest.approx(127.93, abs=0.05)
    assert paper_tables.AUTHORS_CURVES[True, 32][-1][1] == paper_tables.TARGET
    assert paper_experiments.PUBLISHED["edge"][25] == 1.25


def test_report(home, tmp_path):
    out = tmp_path / "report"
    frdeep = write_arrays(tmp_path / "few.npz", 6, 2)
    path = write_paper_report(home / "runs", frdeep, out, samples=2)
    names = {file.name for file in out.iterdir()} - {".skygal"}
    assert names == {"report.md", "report.json", "curves.png", "experiments.png", "rates.png", "reconstructions.png",
                     "vae-d2-map.png", "cvae-d32-twins.png", "cvae-d32-floor.png"}
    text = path.read_text()
    for name in names - {"report.md", "report.json"}:
        assert f"({name})" in text
        assert (out / name).stat().st_size < 1_500_000
    record = json.loads((out / "report.json").read_text())
    assert set(record["models"]) == {"vae-d2", "cvae-d32"}
    assert record["rates"]["search"][0] == {"learning_rate": 0.001, "train_loss": 150.5}
    for heading in ("Table 3", "Table 4", "equal epochs", "other way round", "noise floor", "twins"):
        assert heading in text
    with pytest.raises(FileExistsError):
        write_paper_report(home / "runs", frdeep, out)


def test_what_a_report_refuses(home, tmp_path):
    out = tmp_path / "report"
    with pytest.raises(FileNotFoundError, match="folder of runs .*none' not found"):
        write_paper_report(tmp_path / "none", home / "frdeep.npz", out)
    with pytest.raises(FileNotFoundError, match="must hold runs of the bastien2021 presets, got none"):
        write_paper_report(tmp_path, home / "frdeep.npz", out)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        write_paper_report(home / "runs", home / "frdeep.npz", out, samples=0)
    import shutil

    runs = tmp_path / "runs"
    shutil.copytree(home / "runs", runs)
    (runs / "search.rates.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="search .* must hold the columns learning_rate and train_loss"):
        write_paper_report(runs, home / "frdeep.npz", out)
    (runs / "vae-d2.csv").write_text("epoch,test_loss\n1,x\n")
    with pytest.raises(ValueError, match="run .*vae-d2.safetensors' is damaged"):
        read_runs(runs)
    (runs / "vae-d2.csv").unlink()
    with pytest.raises(FileNotFoundError, match="must have its metrics beside it, got no vae-d2.csv"):
        read_runs(runs)
    assert not out.exists()


def test_commands(home, tmp_path, capsys, monkeypatch):
    frdeep, judge = str(home / "frdeep.npz"), str(home / "runs" / "a.classifier.safetensors")
    rates = tmp_path / "r.rates.csv"
    found = {}

    def search(source, output, **given):
        found.update(given, source=source)
        return [{"learning_rate": rate, "train_loss": 100 * rate} for rate in given["rates"]]

    with monkeypatch.context() as patch:
        # the network at its own size takes a while
        patch.setattr("skygal.bastien2021.train.search_rate", search)
        assert main(["search-rate", frdeep, "--rates", "0.001,0.002", "--epochs", "3", "--images", "16",
                     "--latent-dim", "2", "--preset", "bastien2021-vae", "--rotations", "4", "--no-progress",
                     "--output", str(rates)]) == 0
    assert capsys.readouterr().out.strip() == f"{rates}: least train loss at 0.001"
    assert (found["source"], found["rates"], found["epochs"], found["images"]) == (frdeep, (0.001, 0.002), 3, 16)
    settings = found["settings"]
    assert (settings.latent_dim, settings.conditional, settings.rotations) == (2, False, 4)
    for words, said in ((["--rates", "a"], "rates must be numbers with commas, got 'a'"),
                        (["--preset", "vae"], "preset must be"), (["--latent-dim", "x"], "latent_dim must be a whole")):
        assert main(["search-rate", frdeep, "--output", str(tmp_path / "o.csv"), *words]) == 2
        assert said in capsys.readouterr().err
    train = ["train", frdeep, "--output", str(tmp_path / "m.safetensors")]
    for words, said in ((["--preset", "bastien2021-vae", "--sigma", "1"], "sigma must be left out with preset"),
                        (["--preset", "bastien2021-vae", frdeep], "sources must be one, FRDEEP's, with preset"),
                        (["--schedule", "fast"], "schedule must be left out without preset, got 'fast'"),
                        (["--classifier", judge], "classifier must be left out without preset"),
                        (["--preset", "bastien2021-vae", "--epochs", "1.5"], "epochs must be a whole number")):
        assert main([*train, *words]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_train_command(home, tmp_path, capsys):
    """A preset at its own size: a step of 104 million weights, their file and its settings."""
    out = tmp_path / "m.safetensors"
    words = ["--preset", "bastien2021-cvae", "--latent-dim", "2", "--epochs", "1", "--rotations", "1",
             "--batch-size", "16", "--classifier", str(home / "runs" / "a.classifier.safetensors"), "--no-progress",
             "--output", str(out)]
    assert main(["train", str(home / "frdeep.npz"), *words]) == 0
    assert "preset: bastien2021-cvae" in out.with_suffix(".yaml").read_text()
    assert out.stat().st_size == pytest.approx(104.24e6 * 4, rel=0.01)
