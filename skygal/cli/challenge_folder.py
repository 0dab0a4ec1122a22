"""The folder of a data challenge, made a product at a time: what is released, what is kept, what is there already."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

import skygal
from skygal.checks import show
from skygal.cli.challenge_file import Band, Challenge
from skygal.cli.challenge_words import areas_words, readme_released, readme_secret
from skygal.io.atomic import check_writable, whole_directory, whole_file
from skygal.io.config import dump_config, parse_yaml
from skygal.io.headers import field_header
from skygal.io.inputs import read_text
from skygal.io.manifest import MANIFEST, dump_manifest, read_manifest, remove_written, walk
from skygal.io.streaming import Plane, stream_fits
from skygal.simulate import iter_fields
from skygal.truth import write_truth
from skygal.truth.exports.areas import core_positions, write_border_moc, write_border_region
from skygal.truth.exports.whole import join_sources
from skygal.wcs import pixel_to_icrs

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["RELEASED", "SECRET", "SUMS", "make_challenge"]

#: what entrants get, and what they do not
RELEASED, SECRET = "released", "secret"
#: checksums of the files beside and below, as sha256sum has them; and the settings
SUMS, SETTINGS = "SHA256SUMS", "challenge.yaml"
#: what tells the random numbers of a source, and so of the seed
_TELLING = ("latent_seed",)
#: bytes that are read at a time
BLOCK = 1 << 22
#: warnings that are no news here, or not twice
_OUTSIDE = ".* sources lie outside the image and are in truth with flux_in_image = 0"
_COARSE = ".* sources have stamps coarser than the image's beam"


def make_challenge(challenge: Challenge, output: str | os.PathLike, *, overwrite: bool = False,
                   inputs: Iterable[str] = (), chunks: Any = None, device: str = "cpu", workers: int = 2,
                   progress: bool = False, say: Callable[[str], object] = lambda words: None) -> Path:
    """Make a data challenge, or go on with one whose making was stopped.

    Parameters
    ----------
    challenge : Challenge
    output : path
        The folder.
    overwrite : bool
        Whether a challenge there that is whole may be replaced.
    inputs : iterable of path
        What was read, which is not replaced.
    chunks : optional
        Sides of chunks, see `skygal.simulate_field`.
    device, workers, progress
        See `skygal.simulate_field`.
    say : callable
        Told in words what is done.

    Returns
    -------
    path

    Raises
    ------
    FileExistsError
        If something else is there, or a challenge of other settings.
    OSError
        If it cannot be written.

    Notes
    -----
    Without mocpy there are no coverage maps, which is said.

    Each product, the files of a band or of one of its depths, takes its name when it is whole. When the making goes on,
    those whose files have the SHA-256 that was written with them are left as they are.
    """
    home = Path(output)
    challenge = _begin(challenge, home, overwrite, tuple(inputs))
    has_moc = find_spec("mocpy") is not None
    if not has_moc:
        say("coverage maps (MOC) are left out, which need mocpy: pip install 'skygal[exports]'")
    for band in challenge.bands:
        places = [home / RELEASED / band.name / "areas"]
        if not all(map(_is_whole, places)):
            with _product(places) as (folder,):
                _write_areas(band, folder, has_moc)
    views = challenge.views()
    todo = []
    for number, (band, depth) in enumerate(views):
        if all(map(_is_whole, _places(home, band, depth))):
            say(f"{band.name} {depth}: there already")
        else:
            todo.append(number)
    with warnings.catch_warnings():
        # the sky is that of the first band, and most of it lies outside the images of the others
        warnings.filterwarnings("ignore", message=_OUTSIDE)
        # the same at each depth
        warnings.filterwarnings("once", message=_COARSE)
        fields, count = _fields(challenge, todo, chunks, device, workers, progress), 0
        for band in challenge.bands:
            depths = [views[number][1] for number in todo if views[number][0] is band]
            if not depths:
                continue
            # all at once: lazy pixels of depths that are written together are drawn once
            with _product([place for depth in depths for place in _places(home, band, depth)]) as folders:
                found = _write_depths(fields, band, depths, folders, progress)
            for depth, (inside, outside) in zip(depths, found, strict=True):
                count += 1
                say(f"{band.name} {depth}: {inside} sources in the training area, {outside} outside ({count} of "
                    f"{len(todo)})")
    _finish(challenge, home)
    return home


def _begin(challenge: Challenge, home: Path, overwrite: bool, inputs: tuple[str, ...]) -> Challenge:
    """Return the challenge with the seed of what is there; make its folder if nothing is."""
    settings = home / SECRET / SETTINGS
    listed = read_manifest(home)
    if home.is_dir() and settings.is_file() and (listed is None or f"{RELEASED}/{SUMS}" not in listed.files):
        return _resumed(challenge, home, settings)
    check_writable(home, overwrite=overwrite, inputs=inputs)
    if home.is_dir():
        remove_written(home)
    with whole_directory(home) as part:
        (part / SECRET).mkdir()
        (part / SECRET / SETTINGS).write_text(dump_config(_record(challenge)), encoding="utf-8")
    return challenge


def _record(challenge: Challenge) -> dict[str, Any]:
    return {"skygal_version": skygal.__version__, **challenge.settings}


def _resumed(challenge: Challenge, home: Path, settings: Path) -> Challenge:
    """Return the challenge with the seed of one that was begun, if all else is the same."""
    try:
        found = parse_yaml(read_text(settings, "settings file"))
        before, now = dict(found), _record(challenge)
        seed = int(before["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"settings file {show(str(settings))} cannot be read: {error}") from None
    if not challenge.has_seed:
        now["seed"] = seed
    for name in dict.fromkeys([*now, *before]):
        if now.get(name) != before.get(name):
            raise FileExistsError(f"output folder {str(home)!r} holds a challenge that was begun with another {name}, "
                                  f"{show(before.get(name))}, not {show(now.get(name))}: give output another name, or "
                                  "remove it")
    return replace(challenge, seed=seed, settings={**challenge.settings, "seed": seed})


def _places(home: Path, band: Band, depth: str) -> list[Path]:
    """Return the two folders of a view: what is kept, and what is released."""
    return [home / SECRET / band.name / depth, home / RELEASED / band.name / depth]


@contextmanager
def _product(places: list[Path]) -> Iterator[list[Path]]:
    """Write folders, each with the checksums of what is in it; each takes its name when all are whole."""
    with ExitStack() as stack:
        parts = [stack.enter_context(whole_directory(place, overwrite=True)) for place in places]
        yield parts
        for part in parts:
            _write_sums(part)


def _is_whole(place: Path) -> bool:
    """Return whether a folder has all files that its checksums name, and no others, unchanged."""
    try:
        lines = (place / SUMS).read_text(encoding="utf-8").splitlines()
        listed = {name: found for found, _, name in (line.partition("  ") for line in lines)}
        return listed == {name: _sha256(place / name) for name in walk(place).files if name != SUMS}
    except (OSError, ValueError):
        return False


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _write_sums(folder: Path) -> None:
    names = [name for name in sorted(walk(folder).files) if name != SUMS]
    (folder / SUMS).write_text("".join(f"{_sha256(folder / name)}  {name}\n" for name in names), encoding="utf-8")


def _fields(challenge: Challenge, todo: list[int], chunks: Any, device: str, workers: int, progress: bool
            ) -> Iterator[Field]:
    """Yield the fields of the views that are to be made."""
    if not todo:
        return
    views = challenge.views()
    bands = [band for band, _ in views]
    primary = [band.primary_beam for band in bands]
    yield from iter_fields([band.wcs for band in bands], frequency=u.Quantity([band.frequency for band in bands]),
                           beam=[band.beam for band in bands], noise=[band.noise[depth] for band, depth in views],
                           primary_beam=primary if any(primary) else None, only=todo, seed=challenge.seed,
                           sky=challenge.sky, clustering=challenge.clustering, flux=challenge.flux, chunks=chunks,
                           device=device, workers=workers, progress=progress)


def _border(band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (ra, dec) of an image's border, degrees."""
    ny, nx = band.wcs.array_shape
    part = np.linspace(0, 1, 32, endpoint=False)
    x = np.r_[part, np.ones(32), 1 - part, np.zeros(32)] * nx - 0.5
    y = np.r_[np.zeros(32), part, np.ones(32), 1 - part] * ny - 0.5
    return pixel_to_icrs(band.wcs, x, y)


def _write_areas(band: Band, folder: Path, has_moc: bool) -> None:
    """Write the band's image and its training area as regions and coverage maps, and the area in words."""
    for name, border in (("image", _border(band)), ("training", band.training.border())):
        if has_moc:
            write_border_moc(border, folder / f"{name}_moc.fits")
        write_border_region(border, folder / f"{name}.reg", f"{band.name} {name}")
    (folder / "training.yaml").write_text(areas_words(band), encoding="utf-8")


def _write_depths(fields: Iterator[Field], band: Band, depths: list[str], folders: list[Path], progress: bool
                  ) -> list[tuple[int, int]]:
    """Write a band at several depths into two folders each; return how many sources each has in and out."""
    # nothing that is released may tell the seed
    header = field_header(band.wcs, beam=band.beam, frequency=band.frequency)
    plain = header.copy()
    plain["BUNIT"] = ("", "source_id, 0 for none")
    planes: dict[Path, Plane] = {}
    found = []
    for depth, secret, released in zip(depths, folders[::2], folders[1::2], strict=True):
        field = join_sources(next(fields))
        planes[released / "image.fits"] = field.image, header, np.float32
        planes[secret / "segmentation.fits"] = field.segmentation, plain, np.int32
        if depth == list(band.noise)[-1]:
            planes[secret / "model.fits"] = field.model, header, np.float32
        found.append(_write_tables(field, band, secret, released))
        # tables are large: they are gone before pixels are made
        del field
    stream_fits(planes, progress=progress)
    return found


def _write_tables(field: Field, band: Band, secret: Path, released: Path) -> tuple[int, int]:
    """Write what is told of sources; return how many are in the training area and outside."""
    seen = field.truth["flux_in_image"].value > 0
    inside = seen & band.training.holds(*core_positions(field.truth))
    for folder, name, rows in ((released, "training", inside), (secret, "test", seen & ~inside)):
        part = _with_rows(field, rows)
        for table, what in ((part.truth, "truth"), (part.components, "components")):
            write_truth(table if folder is secret else _untold(table), folder / f"{name}_{what}.fits")
        part.export(folder / f"{name}.reg", "ds9")
        if len(part.truth):
            part.export(folder / f"{name}_sdc1.txt", "sdc1")
        else:
            (folder / f"{name}_sdc1.txt").touch()
    return int(inside.sum()), int((seen & ~inside).sum())


def _with_rows(field: Field, rows: np.ndarray) -> Field:
    """Return a field with some of its sources in the tables; its pixels show all."""
    part = copy(field)
    truth = field.truth[rows]
    own = np.isin(np.asarray(field.components["source_id"]), np.asarray(truth["source_id"]))
    for name, table in (("truth", truth), ("components", field.components[own])):
        object.__setattr__(part, name, table)
    return part


def _untold(table: QTable) -> QTable:
    """Return a table without what tells the seed."""
    kept = [name for name in table.colnames if name not in _TELLING]
    return QTable(table[kept], meta={name: table.meta[name] for name in ("skygal_version", "frequency")})


def _finish(challenge: Challenge, home: Path) -> None:
    """Write what is told of the whole, its checksums, and the list by which it may be replaced."""
    public = {name: value for name, value in _record(challenge).items() if name != "seed"}
    texts = {home / RELEASED / SETTINGS: dump_config(public), home / RELEASED / "README.md": readme_released(
        challenge, home / RELEASED), home / SECRET / "README.md": readme_secret(challenge, home / SECRET)}
    for path, text in texts.items():
        with whole_file(path, overwrite=True) as part:
            part.write_text(text, encoding="utf-8")
    for side in (home / SECRET, home / RELEASED):
        names = [name for name in sorted(walk(side).files) if name != SUMS and not name.endswith(f"/{MANIFEST}")]
        with whole_file(side / SUMS, overwrite=True) as part:
            part.write_text("".join(f"{_sha256(side / name)}  {name}\n" for name in names), encoding="utf-8")
    listing = dump_manifest(walk(home))
    with whole_file(home / MANIFEST, overwrite=True) as part:
        part.write_bytes(listing)
