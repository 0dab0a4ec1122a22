"""The Radio Galaxy Dataset, as the package ``firstgalaxydata`` ships it: PNG images in a zip."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from skygal.checks import shorten, show
from skygal.data.png import read_png
from skygal.data.stamps import Stamps, make_stamps, read_labels
from skygal.io.inputs import check_file, check_unpacked

__all__ = ["PACKAGE", "find_installed", "read_wheel"]

#: The package's name, on PyPI and as a source of training stamps.
PACKAGE = "firstgalaxydata"
ARCHIVE = "galaxy_data.zip"
#: right ascension, declination, label, catalogue
NAME = re.compile(r"(?P<ra>-?[\d.]+)_(?P<dec>-?[\d.]+)_(?P<label>\d+)_(?P<source>\w+)\.png$")


def find_installed() -> Path:
    """Return the archive of the installed package, which is not imported.

    Raises
    ------
    FileNotFoundError
        If the package is not installed.
    """
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = [path for path in files(PACKAGE) or [] if path.name == ARCHIVE]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FileNotFoundError(f"stamps {PACKAGE!r} not found: install the package by "
                                f"'pip install pillow' and 'pip install --no-deps {PACKAGE}', or give the path of its "
                                "wheel")
    return Path(str(found[0].locate()))


def read_wheel(path: Path) -> Stamps:
    """Read the wheel, or the ``galaxy_data.zip`` inside it.

    Parameters
    ----------
    path : path
        A ``.whl`` or ``.zip`` file.

    Returns
    -------
    Stamps
        Clipped cutouts of 1.8 arcsec a pixel (Griese et al. 2023, 2023DIB....4708974G).

    Raises
    ------
    ValueError
        If the file is damaged or holds no such images.
    ImportError
        If no reader of PNG files is installed.
    """
    shown = show(str(path))
    images: list[np.ndarray] = []
    rows: dict[str, dict[str, str]] = {}
    try:
        check_file(path, "file")
        size = path.stat().st_size
        with zipfile.ZipFile(path) as outer:
            inside = [name for name in outer.namelist() if name.endswith("/" + ARCHIVE)]
            check_unpacked([outer.getinfo(name) for name in inside[:1]], size)
            data: Path | io.BytesIO = io.BytesIO(outer.read(inside[0])) if inside else path
        with zipfile.ZipFile(data) as archive:
            check_unpacked([info for info in archive.infolist() if NAME.search(info.filename)], size)
            for member in sorted(archive.namelist()):
                name = member.rsplit("/", 1)[-1]
                # each image is there twice, in a folder of all and in one of a split
                if name not in rows and (found := NAME.search(name)):
                    images.append(read_png(archive.read(member), member))
                    rows[name] = found.groupdict()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"stamps {shown} cannot be read as an archive: {shorten(str(error), 400)}") from None
    if not images:
        raise ValueError(f"stamps {shown} hold no images named like ra_dec_label_catalogue.png")
    fr_class, morphology = read_labels(np.asarray([int(row["label"]) for row in rows.values()]), shown)
    return make_stamps(images, fr_class, morphology=morphology, name=np.asarray(list(rows)),
                       ra=np.asarray([float(row["ra"]) for row in rows.values()]),
                       dec=np.asarray([float(row["dec"]) for row in rows.values()]),
                       pixel_scale=np.full(len(rows), 1.8))
