"""Stamps on disk: a FITS cube, an NPZ file or a folder of PNG images, written part by part."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from skygal.checks import as_count, check_choice, show
from skygal.io.atomic import whole_directory, whole_file
from skygal.io.config import as_plain, dump_config

if TYPE_CHECKING:
    from skygal.stamps.sample import StampSet

__all__ = ["FORMATS", "write_stamps"]

FORMATS = ("fits", "npz", "png")
#: scaled brightness of the brightest pixel of a PNG image
WHITE = {8: 255, 16: 65535}


def write_stamps(parts: Iterable[StampSet], path: str | Path, *, n: int, format: str = "fits", bits: int = 8,
                 meta: Mapping[str, Any] | None = None, overwrite: bool = False) -> Path:
    """Write stamps that come in parts, whole or not at all.

    Parameters
    ----------
    parts : iterable of StampSet
        Such as from `skygal.stamps.sample.iter_stamps`; one at a time is held in memory.
    path : path
        The directory to write; for "npz" a file whose name ends in ``.npz``.
    n : int
        How many stamps the parts hold together.
    format : str
        "fits": ``stamps.fits``, a float32 cube (n, ny, nx), and its table as ``table.fits`` and ``table.ecsv``.

        "npz": arrays ``image`` (n, ny, nx) float32, ``fr_class`` (names), ``label`` (whole numbers) with
        ``class_names`` that they count, ``pixel_scale`` (arcsec), the table's columns, and ``units`` and ``meta`` as
        JSON.

        "png": grey images in a folder for each class, ``FRI/000001.png``, north up, as torchvision's ``ImageFolder``
        reads them, and ``labels.csv``.

        `skygal.training.data.readers.read_stamps` reads all three. Directories hold ``skygal.yaml``, from which
        ``skygal stamps --config`` makes the same again.
    bits : int
        8 or 16, of PNG images; the brightest pixel of each is white.
    meta : mapping, optional
        More for the table's metadata.
    overwrite : bool
        Whether to replace what skygal wrote there before.

    Returns
    -------
    `~pathlib.Path`
        The path.

    Raises
    ------
    ValueError
        If the format or the bits are not among those, the name does not fit the format, or the parts do not hold ``n``
        stamps.
    FileExistsError
        If the path exists and ``overwrite`` is not set.
    """
    check_format(path, format, bits)
    n = as_count("n", n, minimum=1)
    if format == "npz":
        with whole_file(path, overwrite=overwrite) as part:
            _write_npz(_checked(parts, n, meta), part, n)
    else:
        with whole_directory(path, overwrite=overwrite) as folder:
            if format == "fits":
                found = _write_cube(_checked(parts, n, meta), folder, n)
            else:
                found = _write_images(_checked(parts, n, meta), folder, bits)
            (folder / "skygal.yaml").write_text(dump_config(found), encoding="utf-8")
    return Path(path)


def check_format(path: str | Path, format: str, bits: int) -> None:
    """Check what `write_stamps` is to write, before any work is done.

    Raises
    ------
    ValueError
        If the format or the bits are not among those allowed, or the name does not fit the format.
    """
    check_choice("format", format, FORMATS)
    if bits not in WHITE:
        raise ValueError(f"bits must be 8 or 16, got {show(bits)}")
    if format == "npz" and Path(path).suffix != ".npz":
        raise ValueError(f"output must end in .npz for the format 'npz', got {show(str(path))}")


def _checked(parts: Iterable[StampSet], n: int, meta: Mapping[str, Any] | None) -> Iterable[StampSet]:
    """Yield the parts with all metadata, and count them."""
    count = 0
    for part in parts:
        count += len(part)
        if count > n:
            break
        part.table.meta.update(meta or {})
        yield part
    if count != n:
        raise ValueError(f"parts must hold n = {n} stamps, got {'more' if count > n else count}")


def _write_cube(parts: Iterable[StampSet], folder: Path, n: int) -> dict[str, Any]:
    from astropy.io import fits

    from skygal.truth import write_truth

    tables: list[QTable] = []
    cube = None
    try:
        with open(folder / "table.ecsv", "w", encoding="utf-8") as listing:
            for part in parts:
                if cube is None:
                    cube = fits.StreamingHDU(str(folder / "stamps.fits"), _cube_header(part, n))
                cube.write(part.images.astype(">f4"))
                _append_ecsv(listing, part.table, first=not tables)
                tables.append(part.table)
    finally:
        if cube is not None:
            cube.close()
    table = QTable({name: np.concatenate([part[name] for part in tables]) for name in tables[0].colnames})
    table.meta.update(tables[0].meta)
    write_truth(table, folder / "table.fits")
    return table.meta


def _cube_header(part: StampSet, n: int) -> Any:
    from astropy.io import fits

    header = fits.Header()
    header["SIMPLE"] = True
    header["BITPIX"] = -32
    header["NAXIS"] = 3
    for axis, size in enumerate((*part.images.shape[:0:-1], n), start=1):
        header[f"NAXIS{axis}"] = size
    header["BUNIT"] = ("", "relative brightness")
    header["CDELT1"] = (-part.pixel_scale.to_value("deg"), "degrees a pixel; east is left")
    header["CDELT2"] = (part.pixel_scale.to_value("deg"), "degrees a pixel; north is up")
    for key in ("BMAJ", "BMIN"):
        header[key] = (part.beam_fwhm.to_value("deg"), "degrees, FWHM of the stamps' beam")
    header["BPA"] = 0.0
    return header


def _append_ecsv(file: io.TextIOBase | Any, table: QTable, *, first: bool) -> None:
    """Append rows to an ECSV file; the first ones bring its header."""
    plain = Table(table, copy=True)
    plain.meta = as_plain(dict(table.meta))
    text = io.StringIO()
    plain.write(text, format="ascii.ecsv")
    lines = text.getvalue().splitlines(keepends=True)
    if not first:
        body = next(k for k, line in enumerate(lines) if not line.startswith("#")) + 1
        lines = lines[body:]
    file.writelines(lines)


def _write_npz(parts: Iterable[StampSet], path: Path, n: int) -> None:
    columns: dict[str, list[np.ndarray]] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        first = None
        # one member is written at a time: images as they come, columns when all are known
        with archive.open("image.npy", "w", force_zip64=True) as file:
            for part in parts:
                if first is None:
                    first = part
                    np.lib.format.write_array_header_1_0(file, {
                        "descr": "<f4", "fortran_order": False, "shape": (n, *part.images.shape[1:])})
                file.write(np.ascontiguousarray(part.images, "<f4").tobytes())
                for name in part.table.colnames:
                    columns.setdefault(name, []).append(_plain(part.table[name]))
        assert first is not None
        arrays = {name: np.concatenate(values) for name, values in columns.items()}
        names, labels = _labels(arrays["fr_class"])
        units = {name: str(unit) for name in first.table.colnames if (unit := getattr(first.table[name], "unit", None))}
        arrays |= {"label": labels, "class_names": np.asarray(names),
                   "pixel_scale": np.full(n, first.pixel_scale.to_value(u.arcsec)),
                   "units": np.asarray(json.dumps(units)), "meta": np.asarray(json.dumps(as_plain(first.table.meta)))}
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def _labels(fr_class: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the names of the classes that there are, and each stamp's place among them.

    Labels up to 3 are those of the Radio Galaxy Dataset (0 FRI, 1 FRII, 2 compact, 3 bent).
    """
    order = ("FRI", "FRII", "compact", "bent", "hybrid")
    known = set(np.unique(fr_class).tolist())
    names = list(order[:max(order.index(name) for name in known if name in order) + 1]) if known & set(order) else []
    names += sorted(known - set(names))
    place = {name: label for label, name in enumerate(names)}
    return names, np.asarray([place[name] for name in fr_class.tolist()])


def _plain(column: Any) -> np.ndarray:
    return np.asarray(column.value if isinstance(column, u.Quantity) else column)


def _write_images(parts: Iterable[StampSet], folder: Path, bits: int) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    with open(folder / "labels.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for part in parts:
            # latents come back from latent_seed, and would be most of the file
            names = [name for name in part.table.colnames if _plain(part.table[name]).ndim == 1]
            if not meta:
                meta = dict(part.table.meta)
                writer.writerow(["file", *names, "pixel_scale"])
            columns = [_plain(part.table[name]).tolist() for name in names]
            for image, number, name, row in zip(part.images, part.table["stamp_id"], part.table["fr_class"],
                                                zip(*columns, strict=True), strict=True):
                place = f"{name}/{number:06d}.png"
                (folder / str(name)).mkdir(exist_ok=True)
                (folder / place).write_bytes(encode_png(image, bits))
                writer.writerow([place, *row, part.pixel_scale.to_value(u.arcsec)])
    return meta


def encode_png(image: np.ndarray, bits: int = 8) -> bytes:
    """Return an image as a grey PNG file (ISO/IEC 15948), its last row on top, its brightest pixel white.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Shape (ny, nx), not negative.
    bits : int
        8 or 16.

    Returns
    -------
    bytes
    """
    from PIL import Image

    peak = float(image.max())
    scaled = np.round(image[::-1] * (WHITE[bits] / peak if peak > 0 else 0.0))
    file = io.BytesIO()
    Image.fromarray(scaled.astype(np.uint8 if bits == 8 else np.uint16)).save(file, format="PNG")
    return file.getvalue()
