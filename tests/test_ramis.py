import numpy as np
import pytest
import torch
from frdeep_images import make_images

from skygal.evaluation import ramis as module
from skygal.evaluation.ramis import (
    PaperClassifier,
    load_paper_classifier,
    paste_in_frame,
    ramis,
    train_paper_classifier,
)


def test_score_is_exp_of_mutual_information():
    # ln RAMIS is H(y) - mean H(y|x)
    p = np.random.default_rng(1).dirichlet([0.5, 1.0], 200)
    entropy = -(p * np.log(p)).sum(axis=1)
    marginal = p.mean(axis=0)
    assert ramis(p) == pytest.approx(np.exp(-(marginal * np.log(marginal)).sum() - entropy.mean()))
    assert 1 < ramis(p) < 2


def test_score_at_its_ends():
    assert ramis(np.tile([0.2, 0.8], (5, 1))) == pytest.approx(1)
    assert ramis([[1, 0], [0, 1]] * 3) == pytest.approx(2)
    assert ramis(np.eye(4)) == pytest.approx(4)


@pytest.mark.parametrize(("bad", "said"), [
    ([0.5, 0.5], r"must have shape \(n, classes\), got \(2,\)"),
    (np.zeros((0, 2)), r"must have shape \(n, classes\), got \(0, 2\)"),
    ([[0.5, 0.4]], "must be at least 0 and sum to 1"),
    ([[1.5, -0.5]], "must be at least 0 and sum to 1"),
    ([[np.nan, 0.5]], "must be at least 0 and sum to 1")])
def test_score_refuses_what_are_no_probabilities(bad, said):
    with pytest.raises(ValueError, match=said):
        ramis(bad)


def test_images_go_to_the_middle_of_zeros():
    framed = paste_in_frame(np.ones((2, 100, 100)))
    assert framed.shape == (2, 150, 150)
    assert framed.sum() == 2e4
    assert framed[:, 25:125, 25:125].all()
    with pytest.raises(ValueError, match=r"sides of at most 150 pixels, got \(1, 151, 10\)"):
        paste_in_frame(np.zeros((1, 151, 10)))
    with pytest.raises(ValueError, match="must be finite, got 1 values"):
        paste_in_frame([[[np.nan, 0.0]]])


def test_network_has_the_papers_layers():
    classifier = PaperClassifier()
    convolutions = [layer for layer in classifier.body if isinstance(layer, torch.nn.Conv2d)]
    assert [(layer.kernel_size[0], layer.out_channels) for layer in convolutions] == [
        (11, 6), (5, 16), (3, 24), (3, 24), (3, 16)]
    assert [layer.kernel_size for layer in classifier.body if isinstance(layer, torch.nn.MaxPool2d)] == [2, 3, 5]
    assert classifier.first.weight.shape == (256, 400)
    assert classifier(torch.zeros(3, 150, 150)).shape == (3, 2)


def test_training_learns_and_repeats(tmp_path):
    images, labels = make_images(24, 3)
    options = {"seed": 1, "epochs": 2}
    first = train_paper_classifier(images / 255, labels, **options)
    state = torch.random.get_rng_state()
    second = train_paper_classifier(images / 255, labels, **options)
    assert torch.equal(state, torch.random.get_rng_state())
    p = first.classify(images / 255)
    assert np.array_equal(p, second.classify(images / 255))
    assert p.sum(axis=1) == pytest.approx(1)
    assert [row["epoch"] for row in first.history] == [1, 2]
    assert not np.array_equal(p, train_paper_classifier(images / 255, labels, **{**options, "seed": 2})
                              .classify(images / 255))
    path = first.save(tmp_path / "a.classifier.safetensors")
    read = load_paper_classifier(path)
    assert np.array_equal(read.classify(images / 255), p)
    assert read.history == first.history
    with pytest.raises(FileExistsError):
        first.save(path)


def test_a_class_is_told_from_the_other(monkeypatch):
    images, labels = make_images(96, 4)
    # what few images and epochs need, whatever the seed
    for name, value in {"BATCH_SIZE": 8, "VALIDATION_SHARE": 0, "LEARNING_RATE": 1e-2,
                        "CLASS_WEIGHTS": (0.5, 0.5)}.items():
        monkeypatch.setattr(module, name, value)
    classifier = train_paper_classifier(images / 255, labels, seed=1, epochs=9)
    fresh, truth = make_images(40, 5)
    assert (classifier.classify(fresh / 255).argmax(axis=1) == truth).mean() > 0.8


def test_classification_leaves_the_mode_as_it_was():
    classifier = PaperClassifier().train()
    p = classifier.classify(np.zeros((2, 10, 10)))
    assert classifier.training
    assert np.array_equal(p[0], p[1])
    assert classifier.classify(np.zeros((0, 10, 10))).shape == (0, 2)


def test_rotation_keeps_the_middle():
    image = torch.zeros(1, 150, 150)
    image[0, 70:80, 70:80] = 1
    turned = module._turned(image, torch.Generator().manual_seed(1))
    assert float(turned.sum()) == pytest.approx(100, rel=0.05)
    assert float((turned * torch.arange(150.0)).sum() / turned.sum()) == pytest.approx(74.5, abs=0.1)


@pytest.mark.parametrize(("change", "said"), [
    ({"labels": [0, 1, 2] * 8}, "labels must be 0 .FRI. or 1 .FRII., got 2"),
    ({"labels": [0.0, 1.0] * 12}, "labels must be 0 .FRI. or 1 .FRII., got float64"),
    ({"labels": [0, 1]}, r"labels must have shape \(24,\), got \(2,\)"),
    ({"epochs": 0}, "epochs must be at least 1"),
    ({"images": np.zeros((19, 20, 20)), "labels": [0] * 19}, "images must suffice for a batch of 16, got 15")])
def test_training_refuses(change, said):
    options = {"images": np.zeros((24, 20, 20)), "labels": [0, 1] * 12, "seed": 1, "epochs": 1, **change}
    with pytest.raises(ValueError, match=said):
        train_paper_classifier(**options)


def test_damaged_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="classifier file .*none.safetensors' not found"):
        load_paper_classifier(tmp_path / "none.safetensors")
    whole = PaperClassifier().save(tmp_path / "a.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ValueError, match="is truncated or no classifier"):
        load_paper_classifier(tmp_path / "cut.safetensors")
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="format must be skygal-paper-classifier, got None"):
        load_paper_classifier(tmp_path / "other.safetensors")
