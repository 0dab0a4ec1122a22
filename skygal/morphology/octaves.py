"""Galaxies drawn sharper than the model's stamps: octave after octave, each by a factor of two in resolution."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import check_choice, show
from skygal.io.weights import write_weights
from skygal.morphology.generator import CvaeGenerator
from skygal.morphology.measure import largest_size
from skygal.morphology.octave_cores import place_core, take_cores
from skygal.morphology.octave_inputs import BEGUN, FRAME, LOCAL, PIXELS_PER_BEAM, WHOLE, class_flags, place_maps
from skygal.morphology.point import point_map
from skygal.morphology.weights_checks import fill_module
from skygal.observation.beam import FWHM
from skygal.rendering.threads import each_block
from skygal.seeds import Seeds

if TYPE_CHECKING:
    import torch

    from skygal.morphology.octave_networks import FirstOctaves, Octave

__all__ = ["FORMAT", "OCTAVES", "Octaves", "SharpGenerator", "SkyMap", "begin_core", "begin_skies",
           "build_generator", "draw_next", "octave_sizes", "save_octaves", "soften", "widen_stamps"]

#: name and version of the format of the weights
FORMAT = ("skygal-octaves", 5)
#: the last octave that can be drawn
OCTAVES = 5
#: octave 0's beams across a stamp's source at least, in parts of that, where octaves are drawn: a half, some two beams
SEEN = 0.5
#: pixels around what is brighter than `EDGE` of the peak that an octave sees, of octave 0 for the first
MARGIN = 4
EDGE = 2e-4
#: of the peak: about there maps run out to nothing
DARK = 1e-5
#: of a stamp's peak: what is fainter is the decoder's own, since it is about half the noise over peak with which FIRST
#: shows such sources (0.019, the median of those of 50 to 95 arcsec in MiraBest); octaves draw what is there
SHOWN = 0.01
#: how often an octave is corrected, so that its map, smoothed, is the one before
CORRECTIONS = 24
#: of the peak of what octave 0's beam sees of a stamp: the isophote that the source's size is taken from; and how many
#: FWHM of that beam are taken off, so that octaves draw that size (5 % of the peak, without the core) in the median
FAINT_ISOPHOTE, BEAMS_OFF = 0.02, 1.25
#: iterations in which the sky behind a stamp is found
RESTORATIONS = 8
#: models whose stamps octaves can follow
BASES = ("first-cvae",)
#: features of a layer, at most
WIDEST = 512


class Octaves:
    """Octaves after the stamps of a model.

    Octave 0 is the stamp as a beam sees it that is wider by ``factor``, some four beams across, and octave 1 as one of
    half that width does. The next two are drawn at once, after octave 0: they give back what the clip took, and what is
    finer in the stamp is drawn anew; FRIs are then brought closer to octave 1, where that is bright. Octaves 0 and 1
    are then the third, smoothed. Each later one, smoothed, is the one before.

    Parameters
    ----------
    first : FirstOctaves
        What draws octaves 2 and 3, at once.
    later : Octave
        What draws each after them.
    factor : float
        Width of that beam, in those of the stamps' own.
    device : str
        Where it computes.
    """

    def __init__(self, first: FirstOctaves, later: Octave, *, factor: float, device: str = "cpu") -> None:
        self.first, self.later = first.eval().double().to(device), later.eval().double().to(device)
        self.factor, self.device = factor, device

    def needed(self, width: np.ndarray, fwhm: float) -> np.ndarray:
        """Return how many octaves stamps need to be seen with a beam.

        A source of two beams across or more needs one, so that it is the same in all images that show its shape.

        Parameters
        ----------
        width : ndarray, shape (n,)
            Least FWHM of the image's beam, in pixels of the stamp.
        fwhm : float
            Of the stamps' beam, in pixels.

        Returns
        -------
        ndarray of int, shape (n,)
            The last one, at most `OCTAVES`; 0 where the stamp itself will do.
        """
        beams = self.factor * fwhm / width
        last = np.nan_to_num(np.ceil(np.log2(beams) - 1e-9), nan=0.0)
        return np.where(beams > SEEN, np.clip(last, 1, OCTAVES), 0).astype(int)

    def width(self, octave: np.ndarray | int) -> np.ndarray:
        """Return the FWHM of an octave's beam, in those of the stamps' own."""
        return self.factor / np.exp2(octave)

    def after(self, sky: SkyMap) -> FirstOctaves | Octave:
        """Return what draws a source on from there."""
        return self.later if sky.octave > BEGUN else self.first

    def draw(self, stamps: np.ndarray, centre: np.ndarray, las: np.ndarray, fr_class: np.ndarray, keys: np.ndarray,
             octaves: np.ndarray, fwhm: float) -> list[tuple[np.ndarray, float]]:
        """Draw stamps sharper, each source alone, so that nothing of it depends on the others.

        Parameters
        ----------
        stamps : ndarray, shape (n, ny, nx)
            Clipped.
        centre, las : ndarray, shape (n, 2) and (n,)
            Measured on them, in their pixels.
        fr_class : ndarray of str, shape (n,)
        keys : ndarray of int, shape (n,)
            Of each source's own streams.
        octaves : ndarray of int, shape (n,)
            The last one of each, positive; see `needed`.
        fwhm : float
            Of the stamps' beam, in pixels.

        Returns
        -------
        list of (ndarray, float)
            The map of each, shape (ny, nx), float32, of unit sum, with 3 pixels across the FWHM of its beam, and how
            many of these pixels a pixel of the stamp is across.
        """
        # networks see half of the sources mirrored, along each axis: what they prefer has no side then
        chances = [Seeds(int(key)).generator("octave mirror").random(2) for key in keys]
        mirrored = np.reshape(chances, (-1, 2)) < 0.5
        skies = begin_skies(stamps, centre, fr_class, keys, fwhm, self.factor, mirrored)
        images: list[Any] = [None] * len(stamps)

        def run(k: int) -> None:
            beams = las[k] / fwhm / self.factor
            image = self._octaves(skies[k], beams, str(fr_class[k]), int(keys[k]), int(octaves[k]))
            images[k] = np.ascontiguousarray(np.flip(image, tuple(np.flatnonzero(mirrored[k]))))

        each_block(run, range(len(stamps)), device=self.device)
        return [(image, PIXELS_PER_BEAM / float(width * fwhm))
                for image, width in zip(images, self.width(octaves), strict=True)]

    def _octaves(self, sky: SkyMap, beams: float, fr_class: str, key: int, octaves: int) -> np.ndarray:
        """Return the map after so many octaves, of unit sum."""
        streams, flags = Seeds(key), class_flags(fr_class)
        while sky.octave <= BEGUN or sky.octave < octaves:
            sky = draw_next(self.after(sky), sky, beams, flags, streams.generator("octave", sky.octave), self.device)
        while sky.octave > octaves:
            sky = sky.smoothed()
        image, dark = sky.whole(), DARK * float(sky.image.max())
        # what is brighter is left as it is: taken from all, it would be another part of the flux at each resolution
        image = np.where(image > dark / 10, image**3 / (image**2 + dark**2), 0)
        return (image / image.sum(dtype=float)).astype(np.float32)


def soften(stamps: np.ndarray, fwhm: float) -> np.ndarray:
    """Return clipped stamps as their beam sees a sky that is nowhere negative, shape (n, ny, nx), float32.

    The clip's edges, which are sharper than the beam, run out smoothly then; octaves could not show the same as
    those. The sky is what Richardson's and Lucy's iteration gives (Lucy 1974, 1974AJ.....79..745L).

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx)
        Clipped.
    fwhm : float
        Of their beam, in pixels.
    """
    import torch

    # in double precision: octaves enlarge what is rounded before them
    out = np.empty(stamps.shape, np.float32)
    rows, columns = (_beam_matrix(side, np.arange(side), fwhm) for side in stamps.shape[1:])

    def run(k: int) -> None:
        seen = torch.from_numpy(np.asarray(stamps[k], float))
        sky, tiny = seen, DARK * float(seen.max())
        for _ in range(RESTORATIONS):
            ratio = seen / (rows @ sky @ columns.T + tiny)
            sky = sky * (rows @ ratio @ columns.T)
        out[k] = (rows @ sky @ columns.T).numpy()

    each_block(run, range(len(stamps)))
    return out


def widen_stamps(stamps: np.ndarray, centre: np.ndarray, fwhm: float, factor: float,
                 mirrored: np.ndarray | None = None, *, octave: int = 0) -> np.ndarray:
    """Return stamps (n, ny, nx) as a beam so many times wider sees them, shape (n, *FRAME), float32.

    That is octave 0; another one's beam is sharper, and its map larger. They keep their sums. Each lies mirrored,
    along either axis about its centre, where that is asked for: ``mirrored``, bool (n, 2).
    """
    import torch

    frame, factor = tuple(side * 2**octave for side in FRAME), factor / 2**octave
    out = np.empty((len(stamps), *frame), np.float32)
    wider, step = fwhm * math.sqrt(factor**2 - 1), factor * fwhm / PIXELS_PER_BEAM
    steps = np.where(np.zeros((len(stamps), 2), bool) if mirrored is None else mirrored, -step, step)

    def run(k: int) -> None:
        rows, columns = (_beam_matrix(side, middle + along * (np.arange(count) - count // 2), wider)
                         for side, count, middle, along in zip(stamps.shape[1:], frame, centre[k, ::-1], steps[k],
                                                               strict=True))
        out[k] = (rows @ torch.from_numpy(np.asarray(stamps[k], float)) @ columns.T).numpy()

    each_block(run, range(len(stamps)))
    return out


def begin_skies(stamps: np.ndarray, centre: np.ndarray, fr_class: np.ndarray, keys: np.ndarray, fwhm: float,
                factor: float, mirrored: np.ndarray | None = None) -> list[SkyMap]:
    """Return octave `BEGUN` of stamps, see `widen_stamps`, after which others are drawn, with what are cores apart.

    Parameters
    ----------
    stamps, centre, fwhm, factor, mirrored
        See `widen_stamps`.
    fr_class : ndarray of str, shape (n,)
    keys : ndarray of int, shape (n,)
        Of each source's own streams.
    """
    ranks = np.array([Seeds(int(key)).generator("octave core").random() for key in keys])
    bare, place, flux = take_cores(stamps, [class_flags(str(name)) for name in fr_class], ranks, fwhm=fwhm)
    images = widen_stamps(bare, centre, fwhm, factor, mirrored, octave=BEGUN)
    at = (place - centre) / (factor * fwhm / PIXELS_PER_BEAM / 2**BEGUN)
    if mirrored is not None:
        at = np.where(mirrored[:, ::-1], -at, at)
    row, column = (side // 2 * 2**BEGUN for side in FRAME)
    return [SkyMap(image, octave=BEGUN, core=(y + row, x + column, core))
            for image, (x, y), core in zip(images, at.tolist(), flux.tolist(), strict=True)]


def begin_core(sky: SkyMap, beams: float, levels: np.ndarray, flags: tuple[float, float], rng: np.random.Generator
               ) -> tuple[float, float, float]:
    """Return the core of what octaves are drawn after: that of its stamp or, where this shows none, one that is drawn.

    Parameters
    ----------
    sky : SkyMap
        What `begin_skies` gives, or the part that is lit.
    beams, levels, flags, rng
        See `skygal.morphology.octave_cores.place_core`.

    Returns
    -------
    row, column, share : float
        The place in the image, and the core's flux in parts of that of the rest.
    """
    row, column, flux = sky.core
    if flux > 0:
        return row - sky.first[0], column - sky.first[1], flux / float(sky.image.sum(dtype=float))
    return place_core(sky.image, sky.middle, beams, levels, flags, rng)


def octave_sizes(stamps: np.ndarray, fwhm: float, factor: float) -> np.ndarray:
    """Return the largest size of the sources that are drawn after stamps, in pixels of these, shape (n,).

    It is taken from octave 0: an isophote of a stamp with a bright middle would miss what octaves make of its lobes.

    Parameters
    ----------
    stamps, fwhm
        See `soften`.
    factor : float
        See `Octaves`.
    """
    middle = np.tile([(side - 1) / 2 for side in stamps.shape[:0:-1]], (len(stamps), 1))
    seen = largest_size(widen_stamps(stamps, middle, fwhm, factor), FAINT_ISOPHOTE)
    return factor * fwhm * (seen / PIXELS_PER_BEAM - BEAMS_OFF)


@dataclass(frozen=True, eq=False)
class SkyMap:
    """A source after some octaves.

    Attributes
    ----------
    image : ndarray, shape (ny, nx), float32
        Brightness, 3 pixels to the FWHM of its beam, without the core.
    first : (int, int)
        Row and column of its first pixel in the frame of that octave; they and its sides are even.
    octave : int
        Which octave it is: `BEGUN`, after which others are drawn, or one of these.
    core : (float, float, float)
        Row and column of the core in that frame, and its flux; it is a point at every resolution. Where what octaves
        are drawn after has none, one is placed in what is drawn.
    """

    image: np.ndarray
    first: tuple[int, int] = (0, 0)
    octave: int = 0
    core: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column of the source's middle."""
        y, x = (side // 2 * 2.0**self.octave - first for side, first in zip(FRAME, self.first, strict=True))
        return y, x

    def smoothed(self) -> SkyMap:
        """Return the octave before it, as follows from this."""
        import torch

        from skygal.morphology.octave_seeing import smooth

        image = smooth(torch.from_numpy(self.image)[None, None])[0, 0].numpy()
        row, column, flux = self.core
        return SkyMap(image, (self.first[0] // 2, self.first[1] // 2), self.octave - 1, (row / 2, column / 2, flux / 4))

    def lit(self) -> SkyMap:
        """Return the part of it that is lit and what is around, of peak 1; the first octaves see octave 0, for that."""
        seen = self.smoothed() if self.octave == BEGUN else self
        peak = seen.image.max()
        part = tuple(slice(side.start << self.octave - seen.octave, side.stop << self.octave - seen.octave)
                     for side in _lit_part(seen.image / peak))
        first = self.first[0] + part[0].start, self.first[1] + part[1].start
        return SkyMap(np.ascontiguousarray(np.maximum(self.image[part], 0) / peak), first, self.octave,
                      (*self.core[:2], self.core[2] / float(peak)))

    def whole(self) -> np.ndarray:
        """Return the image with the core, float64."""
        row, column, flux = self.core
        return self.image + point_map(self.image.shape, row - self.first[0], column - self.first[1], flux,
                                      PIXELS_PER_BEAM)


def draw_next(network: FirstOctaves | Octave, sky: SkyMap, beams: float, flags: tuple[float, float],
              rng: np.random.Generator, device: str = "cpu") -> SkyMap:
    """Return a source with twice the resolution, or four times that of what octaves are drawn after.

    Parameters
    ----------
    network : FirstOctaves or Octave
        Called without gradients; the first where nothing has been drawn.
    sky : SkyMap
        The source so far.
    beams : float
        Beams across it in octave 0.
    flags : (float, float)
        See `skygal.morphology.octave_inputs.class_flags`.
    rng : numpy.random.Generator
        What its latents are drawn from. They have their places in the whole frame, whatever part of it is lit.
    device : str
        Where the network is.
    """
    import torch

    sky = sky.lit()
    # latents have pixels of twice the coarse map's
    step = 2 * network.pixels
    frame = tuple(side * 2**sky.octave // step for side in FRAME)
    whole, local = rng.standard_normal(WHOLE, np.float32), rng.standard_normal((*frame, LOCAL), np.float32)
    noise = rng.standard_normal((*(2 * side for side in frame), network.noises), np.float32)
    parts = [(first // step, (first + side) // step) for first, side in zip(sky.first, sky.image.shape, strict=True)]
    local = local[tuple(slice(*part) for part in parts)].transpose(2, 0, 1)
    noise = noise[tuple(slice(2 * begin, 2 * end) for begin, end in parts)].transpose(2, 0, 1)
    y, x = (at / network.pixels for at in sky.middle)
    places = place_maps(noise.shape[1:], (y, x), 2.0**sky.octave / network.pixels * beams, flags)
    given = sky.image[None], places, np.ascontiguousarray(local), whole, np.ascontiguousarray(noise)
    with torch.inference_mode():
        # in double precision: the octaves that follow enlarge what is rounded
        fine = network(*(torch.from_numpy(value[None]).double().to(device) for value in given),
                       times=CORRECTIONS)[0, 0].cpu().numpy()
    ratio, core = network.ratio, sky.core
    if sky.octave == BEGUN:
        # the first octaves are not held to what they begin with: what is kept is the share
        row, column, share = begin_core(sky, 2.0**sky.octave * beams, network.cores.cpu().numpy(), flags, rng)
        core = row + sky.first[0], column + sky.first[1], share * float(fine.sum()) / ratio**2
    return SkyMap(fine.astype(np.float32), (sky.first[0] * ratio, sky.first[1] * ratio),
                  sky.octave + ratio.bit_length() - 1, (core[0] * ratio, core[1] * ratio, core[2] * ratio**2))


def _beam_matrix(side: int, at: np.ndarray, fwhm: float) -> torch.Tensor:
    """Return what shows so many pixels of an axis through a Gaussian beam at places along it, (places, side)."""
    import torch

    sigma = fwhm / FWHM
    kernel = np.exp(-0.5 * ((at[:, None] - np.arange(side)) / sigma)**2)
    return torch.from_numpy(kernel * (abs(at[1] - at[0]) / (sigma * math.sqrt(2 * math.pi))))


def _lit_part(image: np.ndarray) -> tuple[slice, slice]:
    """Return the part of a map that is lit and what is around it; it begins and ends at even pixels."""
    lit, parts = image > EDGE, []
    for axis in (1, 0):
        there = np.flatnonzero(lit.any(axis=axis))
        begin, end = max(0, int(there[0]) - MARGIN), min(lit.shape[1 - axis], int(there[-1]) + 1 + MARGIN)
        parts.append(slice(begin - begin % 2, end + end % 2))
    return parts[0], parts[1]


class SharpGenerator(CvaeGenerator):
    """A generator with octaves: its stamps are those of the model that the octaves were trained for.

    Attributes
    ----------
    octaves : Octaves
        What draws its stamps sharper.
    extent : (float, float)
        Least and largest extent, arcsec, of the stamps that the octaves begin with.
    base : str
        Name of the model whose stamps they are.
    """

    def __init__(self, base: CvaeGenerator, octaves: Octaves, extent: tuple[float, float], *, name: str, sha256: str,
                 metadata: dict) -> None:
        # in double precision: octaves enlarge what is rounded before them
        super().__init__(base.arch, deepcopy(base._decoder).double(), base._flow, base._acceptance, name=name,
                         sha256=sha256, tables=base.tables, metadata=metadata, device=base.device)
        self.octaves, self.extent, self.base = octaves, extent, base.name


def save_octaves(octaves: Octaves, path: str | os.PathLike, *, name: str, base: CvaeGenerator,
                 extent: tuple[float, float], metadata: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write the networks' weights, as float16, and what model's stamps they follow; return the path of the file.

    Parameters
    ----------
    octaves : Octaves
        With trained networks.
    path : path
        The file, usually ``*.safetensors``; it appears whole or not at all.
    name : str
        The model's name.
    base : CvaeGenerator
        The model whose stamps the first octave begins with.
    extent : (float, float)
        See `SharpGenerator`.
    metadata : mapping
        JSON-able: data, licence, seed, settings, figures.
    overwrite : bool
        Whether a file that is there may be replaced.
    """
    networks = {"first": octaves.first, "later": octaves.later}
    tensors = {f"{part}.{key}": value.detach().cpu().numpy().astype(np.float16)
               for part, network in networks.items() for key, value in network.state_dict().items()}
    architecture = {"base": base.name, "base_sha256": base.sha256, "factor": octaves.factor, "extent": list(extent),
                    "first": list(octaves.first.sizes), "later": list(octaves.later.sizes)}
    return write_weights(path, tensors, form=FORMAT, name=name, architecture=architecture, metadata=metadata,
                         overwrite=overwrite)


def build_generator(tensors: Mapping[str, np.ndarray], description: Mapping[str, Any], sha256: str, device: str
                    ) -> SharpGenerator:
    """Return the generator that the tensors and the description of a file make; see `skygal.morphology.checkpoint`.

    Raises
    ------
    ValueError
        If the tensors do not fit, or the model is not the one that they were trained for.
    """
    import torch

    from skygal.morphology.checkpoint import shared_model
    from skygal.morphology.networks import Unset
    from skygal.morphology.octave_networks import FirstOctaves, Octave

    given = description["architecture"]
    names = {"base", "base_sha256", "factor", "extent", "first", "later"}
    if set(given) != names:
        raise ValueError(f"architecture must have the entries {sorted(names)}, got {sorted(given)}")
    for key in ("first", "later"):
        if not isinstance(given[key], list) or len(given[key]) != 3 or not all(
                type(size) is int and 1 <= size <= WIDEST for size in given[key]):
            raise ValueError(f"{key} must be three numbers from 1 to {WIDEST}, got {show(given[key])}")
    numbers = [given["factor"], *given["extent"]] if isinstance(given["extent"], list) else [math.nan]
    if len(numbers) != 3 or not all(isinstance(value, float) and 1 <= value < 1e4 for value in numbers):
        raise ValueError("factor and extent must be a number and two, from 1 to 10000, got "
                         f"{show(given['factor'])} and {show(given['extent'])}")
    base = shared_model(check_choice("base", given["base"], BASES), device=device)
    if not isinstance(base, CvaeGenerator) or base.sha256 != given["base_sha256"]:
        raise ValueError(f"base must be the model {given['base']!r} of SHA-256 {show(given['base_sha256'])}, got "
                         f"{base.sha256}: octaves fit the model alone that they were trained for")
    with Unset():
        first, later = FirstOctaves(*given["first"]), Octave(*given["later"])
    fill_module(torch.nn.ModuleDict({"first": first, "later": later}), "", tensors)
    if first.cores.max() > 0:
        raise ValueError(f"first.cores must be logarithms of shares, at most 0, got {float(first.cores.max()):g}")
    octaves = Octaves(first, later, factor=given["factor"], device=device)
    return SharpGenerator(base, octaves, tuple(given["extent"]), name=description["name"], sha256=sha256,
                          metadata=description["metadata"])
