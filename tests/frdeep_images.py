"""A small made-up FRDEEP: cores with fading jets (FRI) and pairs of hot spots (FRII)."""

import pickle

import numpy as np


def make_images(n, seed):
    """Return images (n, 150, 150), uint8, and labels (n,), half of each class."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((150, 150)) - 74.5
    images, labels = [], []
    for i in range(n):
        angle, length = rng.uniform(0, np.pi), rng.uniform(8, 18)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        if i % 2 == 0:
            image = np.exp(-np.hypot(along / length, across / 3)**2)
        else:
            image = sum(np.exp(-((along - s * length)**2 + across**2) / 12) for s in (-1, 1))
        images.append(np.where(image > 0.05, image, 0))
        labels.append(i % 2)
    return (255 * np.array(images)).round().astype(np.uint8), np.array(labels)


def write_arrays(path, n=24, n_test=6):
    """Write an .npz file and return its path."""
    (train, label), (test, test_label) = make_images(n, 1), make_images(n_test, 2)
    np.savez(path, train_image=train, train_label=label, test_image=test, test_label=test_label)
    return path


def write_batches(folder, n=24, n_test=6):
    """Write a folder of two batches and a test batch, and return its path."""
    folder.mkdir()
    images, labels = make_images(n, 1)
    parts = {"data_batch_1": slice(0, n // 2), "data_batch_2": slice(n // 2, n)}
    for name, part in parts.items():
        write_batch(folder / name, images[part], labels[part])
    write_batch(folder / "test_batch", *make_images(n_test, 2))
    return folder


def write_batch(path, images, labels):
    """Write one batch."""
    path.write_bytes(pickle.dumps({"batch_label": "x", "labels": [int(label) for label in labels],
                                   "data": [image.ravel().tolist() for image in images]}, protocol=2))
