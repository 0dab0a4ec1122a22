"""Cutouts as images: FITS or PNG files, and the Radio Galaxy Dataset's zip of PNG images."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from skygal.checks import shorten, show
from skygal.io.inputs import check_file, check_unpacked, read_bytes
from skygal.training.data.cutouts import CLASSES, NAMED, Cutouts, make_cutouts, read_labels

__all__ = ["PACKAGE", "find_installed", "is_fits", "parse_name", "read_folder", "read_image_files", "read_png",
           "read_wheel"]

#: bytes of an image's file, and pixels in it, at most: a cutout has some 10**4
LARGEST_PNG, PIXELS = 2**26, 2**24
#: MiraBest's file names: label, right ascension, declination, redshift, angular size
NAME = re.compile(r"^(?P<label>\d{3})_(?P<ra>\d+\.\d+)(?P<dec>[+-]\d+\.\d+)_(?P<redshift>\d*\.\d*)"
                  r"_(?P<las>\d*\.\d*?)(\.(fits?|png)(\.gz)?)?$")
SUFFIXES = (".fits", ".fit", ".fits.gz")
#: what ``skygal stamps`` writes
CUBE, TABLE = "stamps.fits", "table.fits"
#: The package's name, on PyPI and as a source of training stamps.
PACKAGE = "firstgalaxydata"
ARCHIVE = "galaxy_data.zip"
#: right ascension, declination, label, catalogue
WHEEL_NAME = re.compile(r"(?P<ra>-?[\d.]+)_(?P<dec>-?[\d.]+)_(?P<label>\d+)_(?P<source>\w+)\.png$")


def read_png(data: bytes, name: str) -> np.ndarray:
    """Return a grey image, bottom row first as in FITS.

    Parameters
    ----------
    data : bytes
        The file's contents, 8 or 16 bit; colours become grey.
    name : str
        The file, for messages.

    Returns
    -------
    `~numpy.ndarray`
        Shape (ny, nx), uint8 or uint16.

    Raises
    ------
    ValueError
        If the image is damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # PNG alone: pillow would try every format that it knows
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"image {show(name)} must have at most {PIXELS} pixels, got {image.width} x "
                                 f"{image.height}")
            # pillow has 16-bit grey as I;16, or as I (32 bits) in older versions
            deep = image.mode.startswith("I")
            return np.asarray(image if deep else image.convert("L"), np.uint16 if deep else np.uint8)[::-1]
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, SyntaxError, OSError,
            EOFError, struct.error, zlib.error) as error:
        raise ValueError(f"image {show(name)} is damaged: {shorten(str(error))}") from None


def is_fits(path: Path) -> bool:
    """Return whether a file's name says that it is FITS."""
    return path.name.lower().endswith(SUFFIXES)


def parse_name(name: str) -> dict[str, float] | None:
    """Return label, ra and dec (deg), redshift and las (arcsec) of a MiraBest file name, or None."""
    found = NAME.match(name)
    if found is None:
        return None
    out = {}
    for key, text in found.groupdict().items():
        try:
            out[key] = float(text)
        except ValueError:
            out[key] = np.nan
    return out


def read_folder(folder: Path) -> Cutouts:
    """Read a folder of cutouts, named as MiraBest's or kept in a subfolder for each class, or of skygal's own.

    Raises
    ------
    FileNotFoundError
        If there are neither FITS nor PNG files.
    ValueError
        If a file's class cannot be told, or it cannot be read.
    """
    if all((folder / name).is_file() for name in (CUBE, TABLE)):
        return read_cube(folder)
    files = sorted(path for path in folder.rglob("*")
                   if path.is_file() and (is_fits(path) or path.suffix.lower() == ".png"))
    if not files:
        raise FileNotFoundError(
            f"stamps {show(str(folder))} hold no FITS or PNG cutouts and no batches (data_batch_1, test_batch)")
    return read_image_files(files)


def read_cube(folder: Path) -> Cutouts:
    """Read the cube and table that ``skygal stamps`` writes.

    Raises
    ------
    ValueError
        If they are damaged or do not fit.
    """
    from skygal.io.fits_files import read_first
    from skygal.io.table_files import read_table

    shown = show(str(folder))
    try:
        images, header = read_first(folder / CUBE, f"file {show(CUBE)}")
        images, scale = images.astype(np.float32), 3600 * float(header["CDELT2"])
        table = read_table(folder / TABLE, "table", hdu=1)
        labels, las = np.asarray(table["fr_class"]).astype(str), np.asarray(table["las"], float)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"stamps {shown} cannot be read as a cube and its table: {error}") from None
    if images.ndim != 3 or len(images) != len(labels):
        raise ValueError(f"stamps {shown} must hold a cube (n, ny, nx) and a table of n rows, got {images.shape} and "
                         f"{len(labels)} rows")
    fr_class, morphology = read_labels(labels, shown)
    return make_cutouts(images, fr_class, morphology=morphology, las=las, pixel_scale=np.full(len(images), scale))


def read_image_files(files: Iterable[Path]) -> Cutouts:
    """Read FITS or PNG cutouts.

    Parameters
    ----------
    files : iterable of path
        Each named ``label_ra+dec_redshift_las.fits`` (or ``.png``), or in a folder named after its class.

    Returns
    -------
    Cutouts
        The noise rms is measured on each image, outside its bright pixels; an image of which half
        or more is zero counts as clipped.

    Raises
    ------
    ValueError
        If a file cannot be read, holds no image, or its class cannot be told.
    """
    images, classes, rows = [], [], []
    for path in files:
        found = parse_name(path.name) or {}
        if "label" in found:
            ((fr_class,), (morphology,)) = read_labels(np.asarray([int(found["label"])]), repr(str(path)))
            classes.append((fr_class, morphology))
        elif path.parent.name.lower() in NAMED:
            classes.append(NAMED[path.parent.name.lower()])
        else:
            raise ValueError(f"class of {show(str(path))} must be told by a name like 'label_ra+dec_redshift_las.fits' "
                             f"or by a folder named {', '.join(CLASSES)}, got {show(path.name)} in "
                             f"{show(path.parent.name)}")
        image, header = _read_image(path) if is_fits(path) else (
            read_png(read_bytes(path, "stamps", largest=LARGEST_PNG), str(path)),
            dict.fromkeys(("ra", "dec", "pixel_scale"), np.nan))
        images.append(image)
        rows.append({"ra": found.get("ra", header["ra"]), "dec": found.get("dec", header["dec"]),
                     "las": found.get("las", np.nan), "pixel_scale": header["pixel_scale"],
                     "rms": measure_rms(image)})
    columns = {key: np.asarray([row[key] for row in rows], float)
               for key in ("ra", "dec", "las", "pixel_scale", "rms")}
    fr_class, morphology = np.asarray(classes, str).reshape(-1, 2).T
    return make_cutouts(images, fr_class, morphology=morphology, name=np.asarray([path.name for path in files]),
                        **columns)


def _read_image(path: Path) -> tuple[np.ndarray, dict[str, float]]:
    """Return the first image of a FITS file, and its centre and pixel scale (NaN if it has no WCS)."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    from skygal.io.fits_files import read_first
    from skygal.io.header_wcs import read_celestial

    place = {"ra": np.nan, "dec": np.nan, "pixel_scale": np.nan}
    with warnings.catch_warnings():
        # SkyView writes tabs into comment cards, and old headers have old keywords
        warnings.simplefilter("ignore")
        try:
            pixels, header = read_first(path, "the file")
        except ValueError as error:
            raise ValueError(f"stamps {show(str(path))} cannot be read as a FITS image: {error}") from None
        image = np.squeeze(pixels.astype(np.float32))
        if image.ndim != 2:
            raise ValueError(f"stamps {show(str(path))} must hold a 2-d image, got shape {image.shape}")
        try:
            wcs, _ = read_celestial(header)
        except ValueError:
            return image, place     # where on the sky it is is not known
        scale = proj_plane_pixel_scales(wcs)
        middle = wcs.pixel_to_world((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2).icrs
        place = {"ra": middle.ra.deg, "dec": middle.dec.deg, "pixel_scale": float(scale.mean() * 3600)}
    return image, place


def measure_rms(image: np.ndarray) -> float:
    """Return the noise rms of a cutout, by clipping at 3 sigma; NaN for one that is clipped already."""
    values = image[np.isfinite(image)]
    if values.size == 0 or (values == 0).mean() >= 0.5:
        return float("nan")
    for _ in range(10):
        middle = np.median(values)
        kept = values[np.abs(values - middle) < 3 * max(values.std(), 1e-30)]
        if kept.size == values.size or kept.size == 0:
            break
        values = kept
    return float(values.std())


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
        raise FileNotFoundError(f"stamps {PACKAGE!r} not found: install the package by 'pip install --no-deps "
                                f"{PACKAGE}', or give the path of its wheel")
    return Path(str(found[0].locate()))


def read_wheel(path: Path) -> Cutouts:
    """Read the wheel, or the ``galaxy_data.zip`` inside it.

    Parameters
    ----------
    path : path
        A ``.whl`` or ``.zip`` file.

    Returns
    -------
    Cutouts
        Clipped cutouts of 1.8 arcsec a pixel (Griese et al. 2023, 2023DIB....4708974G).

    Raises
    ------
    ValueError
        If the file is damaged or holds no such images.
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
            check_unpacked([info for info in archive.infolist() if WHEEL_NAME.search(info.filename)], size)
            for member in sorted(archive.namelist()):
                name = member.rsplit("/", 1)[-1]
                # each image is there twice, in a folder of all and in one of a split
                if name not in rows and (found := WHEEL_NAME.search(name)):
                    images.append(read_png(archive.read(member), member))
                    rows[name] = found.groupdict()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"stamps {shown} cannot be read as an archive: {shorten(str(error), 400)}") from None
    if not images:
        raise ValueError(f"stamps {shown} hold no images named like ra_dec_label_catalogue.png")
    fr_class, morphology = read_labels(np.asarray([int(row["label"]) for row in rows.values()]), shown)
    return make_cutouts(images, fr_class, morphology=morphology, name=np.asarray(list(rows)),
                        ra=np.asarray([float(row["ra"]) for row in rows.values()]),
                        dec=np.asarray([float(row["dec"]) for row in rows.values()]),
                        pixel_scale=np.full(len(rows), 1.8))
