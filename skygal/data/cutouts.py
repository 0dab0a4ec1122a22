"""Stamps as FITS or PNG cutouts, one file each."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from skygal.checks import show
from skygal.data.png import LARGEST as LARGEST_PNG
from skygal.data.png import read_png
from skygal.data.stamps import CLASSES, NAMED, Stamps, make_stamps, read_labels
from skygal.io.inputs import read_bytes

__all__ = ["is_fits", "parse_name", "read_cutouts", "read_folder"]

#: MiraBest's file names: label, right ascension, declination, redshift, angular size
NAME = re.compile(r"^(?P<label>\d{3})_(?P<ra>\d+\.\d+)(?P<dec>[+-]\d+\.\d+)_(?P<redshift>\d*\.\d*)"
                  r"_(?P<las>\d*\.\d*?)(\.(fits?|png)(\.gz)?)?$")
SUFFIXES = (".fits", ".fit", ".fits.gz")
#: what ``skygal stamps`` writes
CUBE, TABLE = "stamps.fits", "table.fits"


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


def read_folder(folder: Path) -> Stamps:
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
    return read_cutouts(files)


def read_cube(folder: Path) -> Stamps:
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
    return make_stamps(images, fr_class, morphology=morphology, las=las, pixel_scale=np.full(len(images), scale))


def read_cutouts(files: Iterable[Path]) -> Stamps:
    """Read FITS or PNG cutouts.

    Parameters
    ----------
    files : iterable of path
        Each named ``label_ra+dec_redshift_las.fits`` (or ``.png``), or in a folder named after its class.

    Returns
    -------
    Stamps
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
    return make_stamps(images, fr_class, morphology=morphology, name=np.asarray([path.name for path in files]),
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
