"""The radio sky: all kinds of sources together, as a survey meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.checks import as_count, as_quantity, as_range, show, warn_caller
from skygal.io.header_wcs import celestial
from skygal.population.clustering import Clustering
from skygal.population.counts import COUNTS_SPECTRAL_INDEX, SourceCounts
from skygal.population.distributions import uniforms
from skygal.population.luminosity import (
    BrightEnd,
    LuminosityFunction,
    Redshifts,
    angular_diameter_distance,
    luminosity_distance,
)
from skygal.population.positions import check_mask, image_area, sample_positions
from skygal.population.sky_files import read_parts
from skygal.population.sky_parts import CLASSES, JETS, Disc, Shares, Sizes, SourceClass
from skygal.seeds import Seeds
from skygal.wcs import image_shape

__all__ = ["Sky"]

#: sources that are drawn at a time
CHUNK = 1 << 18
#: draws without a single source of the fluxes asked for before giving up
PATIENCE = 1 << 22
#: the faint end where none is given
FAINTEST = 1 * u.mJy
#: FWHM of the Gaussian that a disc looks like, in units of the radius that holds half of its light, as in Cotton et al.
#: 2018 (2018ApJ...856...67C), and that radius in scale lengths
DISC_FWHM, HALF_LIGHT = 2.43, 1.678
#: FWHM of the Gaussian with the second moment of a line of length 1 that is even along its length: sqrt(8 ln 2 / 12)
LINE_FWHM = np.sqrt(8 * np.log(2) / 12)
#: no source is larger, kpc; a nominal value, about that of the largest radio galaxies known
LARGEST = 5000.0
#: streams of random numbers, one number a source in each
STREAMS = ("flux", "jets", "class", "redshift", "size", "FR", "spectrum", "index", "axis ratio", "core", "pa")
_SFG, _RQ, _FR0, _FRI, _FRII = range(len(CLASSES))
_UNITS = {"flux": u.Jy, "las": u.arcsec, "b_maj": u.arcsec, "b_min": u.arcsec, "pa": u.deg,
          "luminosity": u.W / u.Hz, "linear_size": u.kpc}


@dataclass(frozen=True, eq=False, repr=False)
class Sky:
    """A population of all radio sources: star-forming galaxies, radio-quiet and radio-loud AGN.

    Parameters
    ----------
    name, description : str
    counts : SourceCounts
        Of all sources together, at 1.4 GHz.
    star_forming, radio_loud : LuminosityFunction
        Of the sources without and with jets.
    quiet : Shares
        Of ``"SFG"`` and ``"RQ-AGN"`` among sources without jets.
    sizes : Sizes
        Of the sources with jets.
    compact : (str, float)
        What FR0 are: ``("largest", kpc)`` for all that are smaller, projected, or ``("share", s)`` for that part of
        the sources with jets, whatever their size.
    frii : (float, float, float)
        Intercept, slope and pivot of the logit of FRII's share, among FRI and FRII, in log10 of L1.4 (W/Hz).
    classes : mapping of str to SourceClass
    mix : Shares, optional
        Of ``"star_forming"`` and ``"radio_loud"`` sources; by default in proportion to the counts that follow from
        their luminosity functions.
    compact_sizes : Sizes, optional
        Of FR0, where these are a share.
    bright : BrightEnd, optional
        What bright sources with jets are, in place of ``radio_loud``.
    references, notes : mapping of str to str
        Where each part of the file is from.

    Notes
    -----
    The number of sources is that of the counts, not of the luminosity functions, so that at 1.4 GHz totals agree with
    the counts at every flux by construction. The luminosity functions, with their evolution, say which part of the
    sources of a flux is of which kind, and at which redshift each is. Redshift and size are drawn independently of each
    other: at fixed flux the spread of sizes is some six times that of distances. With size and redshift the projected
    linear size is known, and with redshift and flux the luminosity; the first tells compact sources from extended ones,
    the second FRI from FRII, softly. Fluxes at other frequencies follow from each source's own spectrum.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.population import Sky
    >>> from skygal.seeds import Seeds
    >>> from skygal.wcs import make_wcs
    >>> wcs = make_wcs("12h00m00s +30d00m00s", 512, 5 * u.arcsec)
    >>> sources = Sky.read("default").sample(wcs, seeds=Seeds(1), frequency=1.4 * u.GHz, flux=50 * u.uJy)
    >>> print(len(sources), (sources["population"] == "SFG").sum())
    1153 565
    """

    name: str
    counts: SourceCounts
    star_forming: LuminosityFunction
    radio_loud: LuminosityFunction
    quiet: Shares
    sizes: Sizes
    compact: tuple[str, float]
    frii: tuple[float, float, float]
    classes: Mapping[str, SourceClass]
    mix: Shares | None = None
    compact_sizes: Sizes | None = None
    bright: BrightEnd | None = None
    description: str = ""
    references: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ends = float(self.counts.flux[0]), float(self.counts.flux[-1])
        object.__setattr__(self, "_redshifts", (self.star_forming.redshifts(*ends),
                                                Redshifts(self.radio_loud, *ends, self.bright)))

    def __repr__(self) -> str:
        return f"Sky({self.name!r})"

    @classmethod
    def read(cls, name: str | PathLike = "default") -> Sky:
        """Return a sky that comes with the package, or one of your own.

        Parameters
        ----------
        name : str or path
            A shipped sky's name (see `list_skies`), or a path to a YAML file (.yaml, .yml) like those in
            ``catalogs/skies``. Counts that it names are files of the package or, with a path relative to the YAML
            file, one's own.

        Raises
        ------
        TypeError
            If ``name`` is neither a string nor a path.
        FileNotFoundError
            If there is no such file.
        ValueError
            If there is no such sky, or the file is not as it must be; the message names the file and the key.

        Examples
        --------
        >>> from skygal.population import Sky
        >>> print(Sky.read("sdc1").compact)
        ('share', 0.649)
        """
        return cls(**read_parts(name))

    @property
    def redshifts(self) -> tuple[Redshifts, Redshifts]:
        """Redshifts, and counts by the luminosity functions alone, of sources without and with jets."""
        return self._redshifts  # type: ignore[attr-defined]

    def jets(self, flux: np.ndarray) -> np.ndarray:
        """Return which share of the sources at ``flux`` (Jy at 1.4 GHz) has jets."""
        if self.mix is not None:
            return self.mix.at("radio_loud", flux)
        quiet, loud = (redshifts.counts(flux) for redshifts in self.redshifts)
        return loud / (quiet + loud)

    def frii_share(self, luminosity: np.ndarray) -> np.ndarray:
        """Return FRII's share among FRI and FRII of a luminosity (W/Hz at 1.4 GHz)."""
        intercept, slope, pivot = self.frii
        return 1 / (1 + np.exp(-(intercept + slope * (np.log10(luminosity) - pivot))))

    def shares(self, flux: u.Quantity) -> dict[str, np.ndarray]:
        """Return which share of the sources at ``flux``, at 1.4 GHz, is of each class.

        Parameters
        ----------
        flux : `~astropy.units.Quantity`

        Returns
        -------
        dict of str to ndarray
            SFG, RQ-AGN, FR0, FRI and FRII, which sum to 1.

        Raises
        ------
        ValueError
            If a flux is outside the counts.
        """
        s = np.atleast_1d(as_quantity("flux", flux, u.Jy, scalar=False))
        self.counts.differential(s * u.Jy)
        jets, quiet = self.jets(s), self.quiet.at("RQ-AGN", s)
        p = (np.arange(400) + 0.5) / 400
        z = self.redshifts[1].at(*np.broadcast_arrays(p, s[:, None]))
        kind, limit = self.compact
        compact = np.full(z.shape, limit)
        if kind == "largest":
            compact = self.sizes.below(limit / _kpc_per_arcsec(z), np.broadcast_to(s[:, None], z.shape))
        two = self.frii_share(_luminosity(s[:, None], z, COUNTS_SPECTRAL_INDEX))
        mean = {"FR0": compact, "FRI": (1 - compact) * (1 - two), "FRII": (1 - compact) * two}
        return {"SFG": (1 - jets) * (1 - quiet), "RQ-AGN": (1 - jets) * quiet,
                **{name: jets * value.mean(axis=1) for name, value in mean.items()}}

    def range(self, frequency: u.Quantity) -> tuple[u.Quantity, u.Quantity]:
        """Return the fluxes between which the sky is complete at a frequency, those of the counts at 1.4 GHz."""
        largest = max(self.classes[name].extremes(_log_ratio(frequency))[1] for name in CLASSES)
        return self.counts.low * largest, self.counts.high * largest

    def sample(self, wcs: WCS, shape: Sequence[int] | None = None, *, seeds: Seeds, frequency: u.Quantity,
               flux: Any = None, mask: np.ndarray | None = None, n: int | None = None, margin: float = 0.0,
               clustering: Clustering | None = None) -> QTable:
        """Draw the sources of an image's piece of sky.

        Parameters
        ----------
        wcs, shape : `~astropy.wcs.WCS`, (int, int)
            The image's celestial WCS and (ny, nx).
        seeds : `~skygal.seeds.Seeds`
            The run's random streams. Each column has its own, and source i does not depend on how many there are.
        frequency : `~astropy.units.Quantity`
            Of the fluxes.
        flux : (Quantity, Quantity) or Quantity, optional
            Range of the fluxes, or their faint end alone; by default from 1 mJy on.
        mask : ndarray of bool, shape (ny, nx), optional
            True where sources may be.
        n : int, optional
            How many. By default a Poisson number about what the counts expect in the image's solid angle.
        margin : float
            How far beyond the border, in pixels, sources may be; a mask says nothing about there.
        clustering : `~skygal.population.Clustering`, optional
            By default positions are independent of each other.

        Returns
        -------
        `~astropy.table.QTable`
            source_id, ra and dec (ICRS, deg), flux (Jy), population (SFG, RQ-AGN, FR0, FRI, FRII), las (arcsec: end to
            end; of discs the FWHM of the Gaussian that they look like), kind ("exponential" or "gaussian"), b_maj and
            b_min (arcsec: scale lengths of discs, FWHM of Gaussians), pa (deg east of north), core_frac (of FR0),
            spectral_index and curvature at ``frequency``, redshift, luminosity (W/Hz at 1.4 GHz in the source's frame),
            linear_size (kpc: of las).

        Raises
        ------
        TypeError, ValueError
            For an argument that is not allowed, before anything is drawn.

        Warns
        -----
        UserWarning
            If the sky begins above the faint end that is given alone.
        """
        wcs = celestial(wcs)
        shape = image_shape(wcs, shape)
        if not isinstance(seeds, Seeds):
            raise TypeError(f"seeds must be a skygal.seeds.Seeds, got {type(seeds).__name__}")
        log_ratio = _log_ratio(frequency)
        if clustering is not None and not isinstance(clustering, Clustering):
            raise TypeError(f"clustering must be a skygal.population.Clustering, got {show(clustering)}")
        low, high = self._flux_range(flux, frequency)
        mask = check_mask(mask, shape)
        margin = as_quantity("margin", margin, u.one, positive=False, minimum=0)
        factors = np.array([self.classes[name].extremes(log_ratio) for name in CLASSES])
        # all that may have such a flux are drawn, and those that have it are kept
        ends = max(low / factors.max(), self.counts.flux[0]), min(high / factors.min(), self.counts.flux[-1])
        most = 0
        if n is None:
            area = image_area(wcs, shape, mask=mask) + _border_area(wcs, shape, margin)
            expected = self.counts.number(*(ends * u.Jy)).to_value(1 / u.sr) * area
            if clustering is not None:
                expected *= clustering.mean_density(wcs, shape, seeds=seeds, mask=mask)
            most = int(seeds.generator("sky: number").poisson(expected))
        else:
            n = as_count("n", n)
        columns = self._draw(seeds, ends, (low, high), log_ratio, n, most)
        count = len(columns["flux"])
        if clustering is None:
            ra, dec = sample_positions(wcs, shape, count, seeds.generator("sky: position"), mask=mask,
                                       margin=margin)
        else:
            ra, dec = clustering.sample_positions(wcs, shape, count, seeds=seeds, mask=mask, margin=margin)
        table = {"source_id": np.arange(1, count + 1), "ra": ra << u.deg, "dec": dec << u.deg}
        for name, values in columns.items():
            table[name] = values << _UNITS[name] if name in _UNITS else values
        return QTable(table, copy=False)

    def _flux_range(self, flux: Any, frequency: u.Quantity) -> tuple[float, float]:
        first, last = (end.to_value(u.Jy) for end in self.range(frequency))
        nu = u.Quantity(frequency)
        if flux is None or (isinstance(flux, (u.Quantity, str)) and np.ndim(flux) == 0):
            low = as_quantity("flux", FAINTEST if flux is None else flux, u.Jy)
            if low < first * (1 - 1e-9):
                warn_caller(f"flux starts at {(first * u.Jy).to('uJy'):.4g}, from where the sky {self.name!r} is "
                            f"complete at {nu:.4g}, not at {(low * u.Jy).to('uJy'):.4g}")
            low, high = max(low, first), last
        else:
            if not isinstance(flux, (tuple, list, u.Quantity)) or len(flux) != 2:
                raise TypeError(f"flux must be a (low, high) pair of quantities, or their faint end, got {show(flux)}")
            low, high = as_range("flux", flux, u.Jy)
        if low < first * (1 - 1e-9) or high > last * (1 + 1e-9) or low >= high:
            raise ValueError(f"flux must lie within the counts of the sky {self.name!r}, {first:.4g} to {last:.4g} Jy "
                             f"at {nu:.4g}, got {low:.4g} to {high:.4g} Jy")
        return low, high

    def _draw(self, seeds: Seeds, ends: tuple[float, float], limits: tuple[float, float], log_ratio: float,
              n: int | None, most: int) -> dict[str, np.ndarray]:
        """Return the columns of ``n`` sources, or of those among ``most`` candidates that have fluxes in the limits."""
        streams = {name: seeds.generator(f"sky: {name}") for name in STREAMS}
        parts: list[dict[str, np.ndarray]] = []
        drawn = kept = 0
        while not parts or (drawn < most if n is None else kept < n):
            count = min(CHUNK, most - drawn if n is None else max(1024, 2 * (n - kept)))
            part = self._draw_chunk(count, streams, ends, limits, log_ratio)
            drawn, kept = drawn + count, kept + len(part["flux"])
            parts.append(part)
            if n is not None and kept == 0 and drawn > PATIENCE:
                raise ValueError(f"flux must have sources of the sky {self.name!r}, got {limits[0]:.4g} to "
                                 f"{limits[1]:.4g} Jy, which none of {drawn} has")
        # column by column, so that no two copies of the table are held
        return {name: np.concatenate([part.pop(name) for part in parts])[:n] for name in list(parts[0])}

    def _draw_chunk(self, count: int, streams: Mapping[str, np.random.Generator], ends: tuple[float, float],
                    limits: tuple[float, float], log_ratio: float) -> dict[str, np.ndarray]:
        flux = self.counts.sample(count, streams["flux"], *(ends * u.Jy)).to_value(u.Jy)
        p = {name: uniforms(count, streams[name]) for name in STREAMS[1:]}
        jets = p["jets"] < self.jets(flux)
        z = np.empty(count)
        for mine, redshifts in zip((~jets, jets), self.redshifts, strict=True):
            z[mine] = redshifts.at(p["redshift"][mine], flux[mine])
        scale = _kpc_per_arcsec(z)
        kind, las = self._classify(flux, z, scale, jets, p)
        index, curvature = np.empty(count), np.empty(count)
        for code, name in enumerate(CLASSES):
            mine = kind == code
            index[mine], curvature[mine] = self.classes[name].indices(p["spectrum"][mine], p["index"][mine])
        luminosity = _luminosity(flux, z, index)
        flux = flux * np.exp(log_ratio * (index + curvature * log_ratio))
        # S ~ nu^(index + curvature ln(nu / nu0)) has the same curvature about any nu0
        index = index + 2 * curvature * log_ratio
        columns = {"flux": flux, "population": np.array(CLASSES)[kind], **self._shapes(kind, z, scale, las, p),
                   "pa": 180 * p["pa"], "spectral_index": index, "curvature": curvature, "redshift": z,
                   "luminosity": luminosity}
        columns["linear_size"] = columns["las"] * scale
        keep = (flux >= limits[0]) & (flux <= limits[1])
        return columns if keep.all() else {name: values[keep] for name, values in columns.items()}

    def _classify(self, flux: np.ndarray, z: np.ndarray, scale: np.ndarray, jets: np.ndarray,
                  p: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of each source's class in `CLASSES`, and the sizes (arcsec) of those with jets."""
        las = np.minimum(self.sizes.at(p["size"], flux), LARGEST / scale)
        how, limit = self.compact
        small = las * scale < limit if how == "largest" else p["class"] < limit
        if self.compact_sizes is not None:
            las = np.where(small, self.compact_sizes.at(p["size"], flux), las)
        two = p["FR"] < self.frii_share(_luminosity(flux, z, COUNTS_SPECTRAL_INDEX))
        loud = np.where(small, _FR0, np.where(two, _FRII, _FRI))
        quiet = np.where(p["class"] < self.quiet.at("RQ-AGN", flux), _RQ, _SFG)
        return np.where(jets, loud, quiet), las

    def _shapes(self, kind: np.ndarray, z: np.ndarray, scale: np.ndarray, las: np.ndarray,
                p: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        from scipy.special import ndtri

        las = las.copy()
        major, ratio, core = np.empty(len(kind)), np.empty(len(kind)), np.zeros(len(kind))
        for code, name in enumerate(CLASSES):
            mine = np.flatnonzero(kind == code)
            shape = self.classes[name].shape
            if isinstance(shape, Disc):
                evolution = ((1 + z[mine]) / (1 + shape.redshift))**shape.power
                radius = shape.median * evolution * np.exp(shape.scatter * ndtri(p["size"][mine])) / scale[mine]
                las[mine], major[mine] = DISC_FWHM * radius, radius / HALF_LIGHT
                ratio[mine] = np.sqrt(p["axis ratio"][mine]**2 * (1 - shape.thickness**2) + shape.thickness**2)
            else:
                major[mine] = LINE_FWHM * las[mine]
                least, largest = shape.axis_ratio
                ratio[mine] = least + (largest - least) * p["axis ratio"][mine]
                if shape.core is not None:
                    core[mine] = np.clip(shape.core[0] + shape.core[1] * ndtri(p["core"][mine]), 0, 1)
        word = np.where(np.isin(kind, [CLASSES.index(name) for name in JETS]), "gaussian", "exponential")
        return {"las": las, "kind": word, "b_maj": major, "b_min": ratio * major, "core_frac": core}


def _border_area(wcs: WCS, shape: Sequence[int], margin: float) -> float:
    """Return the solid angle (sr) within a margin around an image, whose pixels are as large as the image's."""
    if not margin:
        return 0.0
    ny, nx = shape
    return image_area(wcs, shape) * ((ny + 2 * margin) * (nx + 2 * margin) / (ny * nx) - 1)


def _log_ratio(frequency: Any) -> float:
    return float(np.log(as_quantity("frequency", frequency, u.GHz) / 1.4))


def _kpc_per_arcsec(redshift: np.ndarray) -> np.ndarray:
    return angular_diameter_distance(redshift) * np.pi / 180 / 3600


def _luminosity(flux: np.ndarray, redshift: np.ndarray, index: Any) -> np.ndarray:
    """Return W/Hz at 1.4 GHz in the source's frame, of fluxes in Jy at 1.4 GHz."""
    return 4 * np.pi * luminosity_distance(redshift)**2 * flux * 1e-26 * (1 + redshift)**-(1 + np.asarray(index))
