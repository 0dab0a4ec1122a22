"""Well-resolved radio galaxies from an atlas, seen with any coarser beam."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skygal.checks import as_count, show_fields
from skygal.training.data.cores import find_core

__all__ = ["PIXELS_PER_BEAM", "Atlas", "read_atlas", "smooth_map", "widen_map"]

#: pixels across the FWHM of the beam in the maps that are measured
PIXELS_PER_BEAM = 4
#: a standard deviation of a Gaussian, of its FWHM
SIGMA = 1 / np.sqrt(8 * np.log(2))
#: largest axis ratio of a beam that is as good as round
ROUND = 1.2
#: beams across sources that their cores are looked for with, at least and at most
CORE_BEAMS = 12.0, 30.0
#: of the best that a map shows, the finest beam that it is seen with
FINEST = 0.99
_NEEDED = ("image", "scale", "name", "label", "pixel", "beam", "las99", "quality")


@dataclass(frozen=True, eq=False)
class Atlas:
    """Maps of resolved radio galaxies without noise.

    Attributes
    ----------
    image : `~numpy.ndarray`
        Shape (n, ny, nx), brightness, zero outside the source.
    name : `~numpy.ndarray` of str
        Shape (n,).
    label : `~numpy.ndarray` of int
        Shape (n,), MiraBest's three digits (Porter & Scaife 2023, 2023RASTI...2..293P).
    pixel : `~numpy.ndarray`
        Shape (n,), arcsec.
    beam : `~numpy.ndarray`
        Shape (n, 3): FWHM along both axes in arcsec, and the angle of the major one in degrees, in the map as it
        lies in the file: from up to the left, which is a position angle where north is up. A map that was turned
        needs its beam's angle turned as well; of round beams it does not matter.
    las : `~numpy.ndarray`
        Shape (n,), largest angular size in arcsec.
    """

    image: np.ndarray
    name: np.ndarray
    label: np.ndarray
    pixel: np.ndarray
    beam: np.ndarray
    las: np.ndarray

    __repr__ = show_fields

    def shows(self, beams: int) -> np.ndarray:
        """Return which sources' own beams are finer than that with so many beams across the source, bool (n,)."""
        return self.beam[:, 0] < self.las / as_count("beams", beams, minimum=1)

    def has_round_beam(self) -> np.ndarray:
        """Return whose beams' axes differ by a fifth at most, bool (n,).

        A map that was turned to lie along x may have its beam's angle from before, which matters for the others.
        """
        return self.beam[:, 0] <= ROUND * self.beam[:, 1]

    def fr_class(self, row: int) -> str:
        """Return the class of a source: the first digit of MiraBest's three."""
        return {1: "FRI", 2: "FRII", 3: "hybrid"}.get(int(self.label[row]) // 100, "compact")

    @cached_property
    def cores(self) -> list[tuple[float, float, float] | None]:
        """Row, column (pixels of ``image``) and share of the flux of each source's core, where there is one."""
        found: list[tuple[float, float, float] | None] = []
        for k in range(len(self.image)):
            beams = min(CORE_BEAMS[1], FINEST * self.las[k] / self.beam[k, 0])
            core = None
            if beams >= CORE_BEAMS[0]:
                wide = self.las[k] / beams / self.pixel[k]
                size = int(np.ceil(1.5 * beams + 6)) * PIXELS_PER_BEAM
                seen = smooth_map(self.image[k], self.beam[k] / [self.pixel[k], self.pixel[k], 1], wide, size)
                core = find_core(seen, PIXELS_PER_BEAM)
            if core is not None:
                row, column = ((side - 1) / 2 + wide / PIXELS_PER_BEAM * (at - (size - 1) / 2)
                               for at, side in zip(core, self.image[k].shape, strict=False))
                core = row, column, core[2]
            found.append(core)
        return found

    def at(self, beams: int, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the maps with so many beams across each source.

        Parameters
        ----------
        beams : int
            Beams across the largest angular size.
        rows : ndarray of int, optional
            Which sources; all by default.

        Returns
        -------
        `~numpy.ndarray`, `~numpy.ndarray`
            Shape (m, size, size), peak 1, `PIXELS_PER_BEAM` pixels a beam, and the rows they are of: those that
            `shows` has.

        Raises
        ------
        ValueError
            If no source is resolved so well.
        """
        shown = np.flatnonzero(self.shows(beams))
        rows = shown if rows is None else np.intersect1d(rows, shown)
        if not rows.size:
            raise ValueError(f"beams must be fewer than the {np.max(self.las / self.beam[:, 0]):.0f} of the best "
                             f"resolved source, got {beams}")
        size = int(np.ceil(1.5 * beams + 6)) * PIXELS_PER_BEAM
        maps = [smooth_map(self.image[k], self.beam[k] / [self.pixel[k], self.pixel[k], 1],
                           self.las[k] / beams / self.pixel[k], size) for k in rows]
        return np.stack(maps), rows


def read_atlas(path: str | os.PathLike) -> Atlas:
    """Read an atlas of maps, those of good quality.

    Parameters
    ----------
    path : path
        A NumPy ``.npz`` with ``image`` (n, ny, nx), which times ``scale`` is brightness, ``name``, ``label``,
        ``pixel`` (arcsec), ``beam`` (arcsec, arcsec, degrees), ``las99`` (arcsec) and ``quality`` (1 is good).

    Raises
    ------
    ValueError
        If the file lacks any of them, their lengths differ, or a size is not positive.
    """
    with np.load(path, allow_pickle=False) as file:
        missing = [key for key in _NEEDED if key not in file.files]
        if missing:
            raise ValueError(f"{os.fspath(path)} must hold {', '.join(_NEEDED)}, lacks {', '.join(missing)}")
        data = {key: file[key] for key in _NEEDED}
    n = len(data["image"])
    for key, value in data.items():
        if len(value) != n:
            raise ValueError(f"{os.fspath(path)}: {key} must have the {n} rows of image, got {len(value)}")
    for key, value in (("pixel", data["pixel"]), ("beam", data["beam"][:, :2]), ("las99", data["las99"])):
        if not np.all(value > 0):
            raise ValueError(f"{os.fspath(path)}: {key} must be positive, got {np.nanmin(value)}")
    good = data["quality"] == 1
    image = data["image"][good].astype(np.float32) * data["scale"][good, None, None].astype(np.float32)
    return Atlas(image, data["name"][good], data["label"][good], *(data[key][good].astype(float)
                 for key in ("pixel", "beam", "las99")))


def smooth_map(image: np.ndarray, beam: np.ndarray, fwhm: float, size: int) -> np.ndarray:
    """Return a map seen with a coarser, round beam, on pixels of a fourth of it.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Shape (ny, nx), brightness.
    beam : array_like
        FWHM of the map's own beam along both axes, pixels, and angle of the major one, degrees (from
        up to the left).
    fwhm : float
        Of the beam it is seen with, pixels; not finer than ``beam``.
    size : int
        Pixels of the new map along either side. The middle of ``image`` is in its middle.

    Returns
    -------
    `~numpy.ndarray`
        Shape (size, size), peak 1, not negative.

    Raises
    ------
    ValueError
        If ``fwhm`` is finer than ``beam``.
    """
    from scipy import ndimage

    wide = widen_map(image, beam, fwhm, int(np.ceil(2 * fwhm)))
    step = fwhm / PIXELS_PER_BEAM
    offset = (np.array(wide.shape) - 1) / 2 - step * (size - 1) / 2
    seen = np.maximum(ndimage.affine_transform(wide, [step, step], offset, (size, size), order=3), 0)
    return seen / seen.max()


def widen_map(image: np.ndarray, beam: np.ndarray, fwhm: float, pad: int) -> np.ndarray:
    """Return a map seen with a coarser, round beam, on its own pixels and so many around, float64.

    Parameters
    ----------
    image, beam, fwhm
        See `smooth_map`.
    pad : int
        Pixels around the map.

    Raises
    ------
    ValueError
        If ``fwhm`` is finer than ``beam``.
    """
    major, minor, angle = (float(value) for value in beam)
    if fwhm < max(major, minor):
        raise ValueError(f"fwhm must be at least the {max(major, minor):.3g} pixels of the map's beam, got {fwhm}")
    # what the wider beam adds, as a covariance along the axes of the first
    along, across = np.square(SIGMA) * (fwhm**2 - np.square([major, minor]))
    wide = np.pad(np.asarray(image, float), pad)
    v, u = np.fft.fftfreq(wide.shape[0])[:, None], np.fft.rfftfreq(wide.shape[1])
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    decay = along * (v * cos - u * sin)**2 + across * (u * cos + v * sin)**2
    return np.fft.irfft2(np.fft.rfft2(wide) * np.exp(-2 * np.pi**2 * decay), wide.shape)
