"""Readers of published and own stamps: which one a file or a folder is for."""

from __future__ import annotations

import os
from pathlib import Path

from skygal.checks import show, warn_caller
from skygal.data import batches, cutouts, wheel
from skygal.data.arrays import read_arrays
from skygal.data.stamps import Stamps

__all__ = ["read_stamps"]


def read_stamps(path: str | os.PathLike) -> Stamps:
    """Read stamps, whatever their format.

    Parameters
    ----------
    path : path or str
        An ``.npz`` file, a batch file or a folder of batches in the layout of CIFAR-10 (FRDEEP and
        MiraBest are published so), a FITS or PNG file or a folder of such cutouts, what
        ``skygal stamps`` writes, the wheel of ``firstgalaxydata`` (``.whl``) or its
        ``galaxy_data.zip``, or the word ``firstgalaxydata`` for the installed package's.

    Returns
    -------
    Stamps

    Warns
    -----
    UserWarning
        If cutouts are left out, since they are blank, constant or nowhere finite: how many.

    Raises
    ------
    FileNotFoundError
        If there is nothing under that name, or no stamps in the folder, or a batch is missing.
    ValueError
        If the format is unknown, or the file is damaged or holds something else than stamps.

    Notes
    -----
    An ``.npz`` file holds ``image`` (n, ny, nx) and ``label`` (integers as in MiraBest or the Radio
    Galaxy Dataset) or ``fr_class`` (names); and, each of shape (n,) and optional, ``scale`` (the
    factor of integer images), ``ra``, ``dec`` (deg), ``pixel_scale``, ``las`` (arcsec), ``rms``
    (in the unit of the scaled image; cutouts without one count as clipped), ``morphology`` and
    ``name`` or ``source``. In integer images -32768 stands for NaN. FRDEEP's ``train_image``, ``train_label``,
    ``test_image`` ... are joined.

    The labels of a batch are places in the ``label_names`` of the ``batches.meta`` beside it; the three-digit
    label in a cutout's own name wins. Without either, labels up to 9 are MiraBest's, and 0 and 1 alone FRDEEP's
    FRI and FRII.
    """
    stamps = _read(path)
    if stamps.skipped:
        warn_caller(f"stamps {show(os.fspath(path))}: {stamps.skipped} of {len(stamps) + stamps.skipped} cutouts are "
                    "left out, since they are blank, constant or nowhere finite")
    return stamps


def _read(path: str | os.PathLike) -> Stamps:

    shown = os.fspath(path)
    if shown == wheel.PACKAGE:
        return wheel.read_wheel(wheel.find_installed())
    path = Path(shown)
    if not path.exists():
        raise FileNotFoundError(f"stamps {shown!r} not found; give a file, a folder or {wheel.PACKAGE!r}")
    if path.is_dir():
        if found := batches.find_batches(path):
            return batches.read_batches(found)
        return cutouts.read_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_arrays(path)
    if suffix in (".whl", ".zip"):
        return wheel.read_wheel(path)
    if cutouts.is_fits(path) or suffix == ".png":
        return cutouts.read_cutouts([path])
    return batches.read_batch(path)
