"""What may be asked for of a run: each setting once, with its default, what it is, and how words spell it.

The arguments of `skygal.simulate_field` and `skygal.inject`, the options of the command line, the keys of configuration
files and what is kept of them beside the output are these. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from astropy.io import fits
    from astropy.table import Table
    from astropy.units import Quantity
    from radio_beam import Beam

    from skygal.bastien2021.generator import PaperGenerator
    from skygal.morphology.generator import Generator
    from skygal.observation.primary_beam import PrimaryBeam
    from skygal.population import Clustering, Distribution, SizeRelation, Sky

    #: a number with a unit, or such words
    QuantityLike: TypeAlias = Quantity | str
    #: a (low, high) pair of these, of which either may be None where that leaves it open
    RangeLike: TypeAlias = tuple[QuantityLike | None, QuantityLike | None] | list | Quantity | str
    PathLike_: TypeAlias = str | PathLike[str]
    HduLike: TypeAlias = fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU
    ImageLike: TypeAlias = np.ndarray | PathLike_
    TableLike: TypeAlias = Table | PathLike_
    BeamLike: TypeAlias = Beam | QuantityLike | Table | PathLike[str] | Callable[[Any, Any], Any]
    NoiseLike: TypeAlias = QuantityLike | np.ndarray | PathLike[str] | HduLike | bool
    PrimaryBeamLike: TypeAlias = PrimaryBeam | QuantityLike | PathLike[str] | HduLike
    FluxLike: TypeAlias = RangeLike | Distribution
    SizeLike: TypeAlias = RangeLike | Distribution | SizeRelation
    NumberLike: TypeAlias = float | tuple[float, float] | str | Distribution
    SkyLike: TypeAlias = Sky | TableLike
    ClusteringLike: TypeAlias = Clustering | bool
    LatentsLike: TypeAlias = str | np.ndarray | Sequence
    ModelLike: TypeAlias = PathLike_ | Generator | PaperGenerator
    ChunksLike: TypeAlias = int | tuple[int, int] | tuple[tuple[int, ...], tuple[int, ...]]

__all__ = ["Morphology", "Population", "Run", "Settings", "View", "check_chunks", "faintest_flux", "join_views",
           "spell"]

#: objects that files of settings can hold, by name: a mapping of the name to their arguments
OBJECTS = {**dict.fromkeys(("Constant", "LogNormal", "LogUniform", "Normal", "PowerLaw", "Uniform"),
                           "skygal.population.distributions"),
           **dict.fromkeys(("MiraBestSizes", "WindhorstSizes"), "skygal.population.sizes"),
           "Clustering": "skygal.population.clustering",
           **dict.fromkeys(("AiryPrimaryBeam", "GaussianPrimaryBeam"), "skygal.observation.primary_beam")}

#: with noise and no flux range given, sources start at this many times its rms: far enough under what can be detected
#: that all which noise lifts over a threshold of 5 is there
FAINTEST_SNR = 1.0
#: and without noise at this, mJy: fainter sources are mostly star-forming galaxies
FAINTEST_FLUX = 1.0

S = TypeVar("S", bound="Settings")


def _setting(default: Any, help: str, parse: str = "", *, kept: bool = True) -> Any:
    """Return a setting: its default, what it is, the name of what reads its words in `skygal.io.words`.

    ``kept`` says whether the result depends on it.
    """
    return field(default=default, metadata={"help": help, "parse": parse, "kept": kept})


@dataclass(frozen=True)
class Settings:
    """Settings that belong together. Their names and defaults are those of the arguments."""

    @classmethod
    def of(cls: type[S], given: Mapping[str, Any]) -> S:
        """Return the settings among ``given``, words read.

        Raises
        ------
        ValueError
            If words are not what a setting can be.
        """
        from skygal.io import words

        found = {}
        for one in fields(cls):
            value = _object(one.name, given.get(one.name, one.default))
            if one.metadata["parse"] and value is not None:
                value = getattr(words, f"parse_{one.metadata['parse']}")(one.name, value)
            found[one.name] = value
        return cls(**found)

    def given(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, eq=False)
class Population(Settings):
    """Which sources there are."""

    n_sources: Any = _setting(None, "Number of sources; drawn from the source counts if left out.")
    table: Any = _setting(None, "A population of your own (FITS, ECSV or CSV).", "path")
    faint: Any = _setting(None, "Points, Gaussians and discs in bulk (FITS, ECSV or CSV).", "path")
    flux: Any = _setting(None, "Range of fluxes, '1 mJy, 1 Jy', or the least one.  [default: from the noise up]",
                         "range")
    las: Any = _setting(None, "Range of largest angular sizes, '20 arcsec, 60 arcsec', or 'mirabest': those of "
                        "galaxies that can be classified.  [default: those of all sources]", "sizes")
    fr_mix: Any = _setting(None, "Classes: 'balanced', 'survey' or 'FRI:0.3,FRII:0.7'.", "mix")
    spectral_index: Any = _setting(None, "Spectral index, or its range: '-0.9,-0.6'.", "numbers")
    curvature: Any = _setting(None, "Curvature of the spectra; 0 if left out.", "number")
    sky: Any = _setting(None, "The whole radio sky, all kinds of sources with their counts: 'default', 'sdc1', a YAML "
                        "file of one, or a catalogue (FITS, ECSV, CSV, VOTable). Simulated fields have the default one "
                        "if nothing else says which sources there are.")
    clustering: Any = _setting(None, "Whether the sources of a sky cluster: 'yes'.", "clustering")

    def is_left_open(self) -> bool:
        """Return whether nothing says which sources there are."""
        return all(getattr(self, one.name) is None for one in fields(self))


@dataclass(frozen=True, eq=False)
class Morphology(Settings):
    """What the sources look like."""

    latents: Any = _setting("balanced", "'balanced', 'prior', 'uniform', 'pairs' or a .npy file.", "latents")
    bending: Any = _setting(None, "Least and largest bending, '20 deg, 60 deg'; either may be left out.", "open_range")
    clip_sigma: Any = _setting(3.0, "Clip of the generator's noise floor, or 'none'.", "clip")
    model: Any = _setting(None, "A shipped model's name or a weights file.")


@dataclass(frozen=True, eq=False)
class View(Settings):
    """How the sky is seen."""

    frequency: Any = _setting(None, "Observing frequency, such as '1.4 GHz'.", "frequencies")
    beam: Any = _setting(None, "FWHM of the beam: '5.4arcsec', '6x5arcsec' or '6x5arcsec,30deg'; or a table of beams "
                         "(*.ecsv, *.vot or *.xml) with columns ra, dec, bmaj, bmin and bpa.", "beam")
    psf: Any = _setting(None, "PSF image (FITS or .npy) instead of a Gaussian beam.", "path")
    noise: Any = _setting(None, "Rms per beam, such as '0.15 mJy', a FITS map of it, or 'none'.", "noise")
    primary_beam: Any = _setting(None, "Primary beam: the diameter of a dish, '25 m', or a FITS image of power.",
                                 "none")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> View:
        """Return the settings of one view, words read; raises ValueError for several of one, or a beam and a PSF."""
        from skygal.checks import show

        if given.get("beam") is not None and given.get("psf") is not None:
            raise ValueError(f"beam must be left out where psf is given, got {show(given['beam'])}")
        for name in ("frequency", "beam", "noise", "primary_beam"):
            value = given.get(name)
            several = value.split(";" if name != "frequency" else ",") if isinstance(value, str) else value
            if isinstance(several, list) and len(several) > 1:
                where = "" if name == "frequency" else ", where there is one frequency"
                raise ValueError(f"{name} must be one{where}, got {len(several)}")
        return super().of(given)

    @classmethod
    def of_each(cls, given: Mapping[str, Any], n: int | None = None) -> list[dict[str, Any]]:
        """Return the settings, by name, of each of ``n`` views, of settings that are one for all or one for each.

        By default there are as many views as frequencies.

        Raises
        ------
        TypeError, ValueError
            If there are not as many of a setting as of views, or no frequencies.
        """
        from skygal.checks import show
        from skygal.io.words import parse_frequencies

        frequencies = parse_frequencies("frequency", given["frequency"])
        views = "images"
        if n is None:
            views = "frequencies"
            if not _is_several(frequencies):
                raise TypeError(f"frequency must be a list of quantities, got {show(frequencies)}")
            n = len(frequencies)
            if not n:
                raise ValueError("frequency must be a list of at least one frequency, got an empty one")
        each = {}
        for name, value in {**given, "frequency": frequencies}.items():
            value = [part.strip() for part in value.split(";")] if isinstance(value, str) and ";" in value else value
            several = _is_several(value)
            if several and len(value) != n:
                raise ValueError(f"{name} must be one for all or one for each of {n} {views}, got {len(value)}")
            # what is one for all is one object: a map is read once
            read = [getattr(cls.of({name: one}), name) for one in (value if several else [value])]
            each[name] = read if several else read * n
        return [{name: values[k] for name, values in each.items()} for k in range(n)]


def _is_several(value: Any) -> bool:
    """Return whether a value is one for each of several views."""
    # an array of two dimensions is one PSF image, or one map of the noise
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 3 or (
        getattr(value, "ndim", 0) == 1 and hasattr(value, "unit"))


@dataclass(frozen=True, eq=False)
class Run(Settings):
    """How a result is made."""

    seed: Any = _setting(None, "The same seed gives the same result.")
    chunks: Any = _setting(None, "Make the image in chunks of N or NXxNY pixels; the pixels are the same.", kept=False)
    device: Any = _setting("cpu", "'cpu' or 'cuda'.", kept=False)
    workers: Any = _setting(2, "Threads; the result does not depend on them.", kept=False)
    progress: Any = _setting(False, "Show progress.", kept=False)

    def checked(self, shape: tuple[int, int]) -> Run:
        """Return the settings for an image of a shape, with a seed, and the sides of chunks.

        Raises
        ------
        TypeError, ValueError
            If one is not allowed.
        """
        from skygal.checks import as_count, as_seed

        return replace(self, seed=as_seed("seed", self.seed), workers=as_count("workers", self.workers, minimum=1),
                       chunks=None if self.chunks is None else check_chunks(self.chunks, shape))


def check_chunks(chunks: Any, shape: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sides of chunks, rows and columns.

    Parameters
    ----------
    chunks : int, (int, int) or (tuple, tuple)
        As Dask takes them; the last ones are smaller where they do not divide the image.
    shape : (int, int)
        (ny, nx) of the image.

    Raises
    ------
    ValueError
        If they are no positive whole numbers, or tuples that do not add up to the image's sides.
    TypeError
        If they are something else.
    ImportError
        If Dask is not installed.
    """
    from skygal.checks import show

    try:
        from dask.array.core import normalize_chunks
    except ImportError:
        raise ImportError("chunks needs Dask: pip install 'skygal[dask]'") from None

    allowed = "a positive whole number, a pair (rows, columns) of them, or two tuples that add up to the image's sides"
    pair = chunks if isinstance(chunks, (tuple, list)) else [chunks]
    sides = [side for part in pair for side in (part if isinstance(part, (tuple, list)) else [part])]
    if not all(isinstance(side, Integral) and not isinstance(side, bool) for side in sides):
        raise TypeError(f"chunks must be {allowed}, got {show(chunks)}")
    if any(side < 1 for side in sides):
        raise ValueError(f"chunks must be {allowed}, got {show(chunks)}")
    try:
        rows, columns = normalize_chunks(chunks, shape)
    except ValueError:
        raise ValueError(f"chunks must be {allowed} {shape}, got {show(chunks)}") from None
    return tuple(int(side) for side in rows), tuple(int(side) for side in columns)


def _object(name: str, value: Any) -> Any:
    """Return the object that a mapping such as ``{"Uniform": {"low": "1 mJy", "high": "1 Jy"}}`` spells.

    Raises
    ------
    ValueError
        If it cannot be made of these arguments.
    """
    kind = next(iter(value), None) if isinstance(value, Mapping) and len(value) == 1 else None
    if kind not in OBJECTS:
        return value
    from skygal.checks import show
    from skygal.io.words import parse_quantity

    try:
        arguments = {key: parse_quantity(key, one) for key, one in value[kind].items()}
        return getattr(import_module(OBJECTS[kind]), kind)(**arguments)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a {kind} with its arguments, got {show(value[kind])}: {error}") from None


def spell(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings as a file of them spells them, and what of them lies in files beside it.

    Parameters
    ----------
    given : mapping
        Settings by name, words read.

    Returns
    -------
    settings : dict
        Plain values. Objects that no file can hold are named in ``left_out``.
    inputs : dict
        Tables and arrays, by the paths that stand for them in ``settings``.
    """
    from astropy.table import Table

    from skygal.io.config import INPUTS

    settings: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    left_out = []
    defaults = {one.name: one.default for part in (Population, Morphology, View, Run) for one in fields(part)}
    for name, value in given.items():
        if value is None:
            if defaults.get(name) is not None:
                settings[name] = "none"
            continue
        plain_array = type(value).__name__ == "ndarray" and name != "image"
        if isinstance(value, Table) or plain_array:
            settings[name] = f"{INPUTS}/{name}.{'npy' if plain_array else 'ecsv'}"
            inputs[settings[name]] = value
            continue
        try:
            settings[name] = _spelled(value)
        except TypeError:
            left_out.append(name)
    return {**settings, **({"left_out": left_out} if left_out else {})}, inputs


def _spelled(value: Any) -> Any:
    """Return a value as plain ones; raises TypeError if it is none that can be read again."""
    from skygal.io.config import as_plain

    if type(value).__name__ in OBJECTS:
        arguments = {one.name: _spelled(getattr(value, one.name)) for one in fields(value)}
        return {type(value).__name__: {name: one for name, one in arguments.items() if one is not None}}
    if isinstance(value, (list, tuple)):
        return [_spelled(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _spelled(one) for name, one in value.items()}
    plain = as_plain(value)
    if isinstance(plain, str) and not hasattr(value, "unit") and not hasattr(value, "__fspath__") and not isinstance(
            value, str):
        raise TypeError
    if getattr(value, "size", 1) > 1:
        raise TypeError
    return plain


def faintest_flux(noise: float) -> Quantity:
    """Return where fluxes start if no range is given: at the noise (Jy/beam), 1 mJy without noise."""
    from astropy import units as u

    return float(f"{FAINTEST_SNR * noise:.6g}") * u.Jy if noise > 0 else FAINTEST_FLUX * u.mJy


def join_views(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings of several views by name: one for all where it is the same, else a list."""
    joined = {}
    for name in (one.name for one in fields(View)):
        values = [view[name] for view in views]
        joined[name] = values[0] if all(value is values[0] for value in values) else values
    return joined
