"""A field as a hierarchical progressive survey (HiPS 1.0; Fernique et al. 2015, 2015A&A...578A.114F)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from tqdm import tqdm

from skygal.checks import as_count, check_choice
from skygal.truth.exports.formats import Format

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS"]

#: places along a side of a tile by which the part of the image that it shows is found, and pixels around that
LATTICE, MARGIN = 17, 8
FINEST = 20


def _reproject_tile(given: tuple[Any, WCS], header: fits.Header, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return a tile and its footprint, made of the part of an image that it shows."""
    from reproject import reproject_interp

    array, wcs = given
    side = header["NAXIS1"], header["NAXIS2"]
    x, y = np.meshgrid(*(np.linspace(-0.5, length - 0.5, LATTICE) for length in side))
    places = wcs.world_to_pixel(WCS(header).pixel_to_world(x, y))
    part = []
    for place, length in zip(places[::-1], array.shape, strict=True):
        place = place[np.isfinite(place)]
        # what the lattice misses between its places is less than one step
        reach = MARGIN + (np.ptp(place) / (LATTICE - 1) if place.size else 0)
        low, high = (place.min() - reach, place.max() + reach) if place.size else (0, 0)
        part.append(slice(int(np.clip(low, 0, length)), int(np.clip(high + 1, 0, length))))
    if any(one.start >= one.stop for one in part):
        return np.full(side[::-1], np.nan), np.zeros(side[::-1])
    pixels = np.asarray(array[tuple(part)], np.float32)
    if not np.isfinite(pixels).any():
        return np.full(side[::-1], np.nan), np.zeros(side[::-1])
    return reproject_interp((pixels, wcs[tuple(part)]), header, **options)


def write_hips(field: Field, path: Path, *, progress: bool = False, plane: str = "image", order: int | None = None,
               frame: str = "equatorial", tile: int = 512) -> None:
    """Write FITS tiles of a field for Aladin and other HiPS clients.

    Parameters
    ----------
    field, path, progress
    plane : "image", "model" or "segmentation"
        Which of the field's images.
    order : int, optional
        Of the finest tiles; by default the one at which their pixels are about as fine as the image's.
    frame : "equatorial" or "galactic"
        Of the tiles.
    tile : int
        Pixels on a side of a tile, an even number.

    Raises
    ------
    ModuleNotFoundError
        If the installed reproject has no HiPS yet.
    ValueError
        If an option is not allowed.

    Notes
    -----
    Brightness is interpolated between pixels, `reproject.reproject_interp`, of labels the nearest is taken. Tiles are
    made one by one, each from the part of the image that it shows.
    """
    try:
        from reproject.hips import reproject_to_hips
    except ImportError:
        raise ModuleNotFoundError("format 'hips' needs a newer reproject: pip install 'skygal[exports]'") from None
    check_choice("plane", plane, ("image", "model", "segmentation"))
    check_choice("frame", frame, ("equatorial", "galactic"))
    if order is not None and as_count("order", order) > FINEST:
        raise ValueError(f"order must be at most {FINEST}, got {order}")
    if as_count("tile", tile, minimum=2) % 2:
        raise ValueError(f"tile must be even, got {tile}")
    made = path / "hips"
    seed, model = (field.provenance.get(name, "unknown") for name in ("seed", "model"))
    about = {"obs_title": f"skygal, seed {seed}, {plane}", "creator_did": f"ivo://skygal/P/{model}/{seed}/{plane}"}
    reproject_to_hips(
        (getattr(field, plane), field.wcs), coord_system_out=frame, reproject_function=_reproject_tile,
        output_directory=str(made), level=order, tile_size=tile, properties=about,
        progress_bar=lambda tiles: tqdm(tiles, desc="tiles", disable=not progress, delay=2),
        order="nearest-neighbor" if plane == "segmentation" else "bilinear")
    for child in sorted(made.iterdir()):
        child.rename(path / child.name)
    made.rmdir()


FORMATS = (Format("hips", (), write_hips),)
