"""Draw a population: one row a source, before it has a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.checks import as_count, as_quantity, show, warn_caller
from skygal.io.header_wcs import celestial
from skygal.population.classes import FR_CLASSES, check_mix, sample_classes
from skygal.population.counts import COUNTS_SPECTRAL_INDEX, CountedFlux, SourceCounts, read_counts
from skygal.population.distributions import Distribution, sample_values, uniforms
from skygal.population.positions import check_mask, image_area, sample_positions
from skygal.population.sizes import SizeRelation, as_sizes
from skygal.population.spectra import as_curvature, as_spectra
from skygal.population.tables import as_population, read_population
from skygal.seeds import Seeds
from skygal.wcs import image_shape

__all__ = ["as_flux", "sample_number", "sample_population"]

#: the faint end where none is given: fainter sources are mostly star-forming galaxies
FAINTEST_FLUX = 1 * u.mJy
#: counts that begin at more than this many times the faint end that is not asked for are told: below, all is noise
DETECTED_TIMES = 5.0


def _is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or (isinstance(value, u.Quantity) and value.ndim > 0)


def as_flux(flux: Any, counts: SourceCounts) -> Distribution:
    """Return the distribution of fluxes.

    Parameters
    ----------
    flux : (Quantity, Quantity), Quantity or distribution
        A range, or the faint end alone, of the source counts.
    counts : SourceCounts
        At the observing frequency.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or a range outside the counts.

    Warns
    -----
    UserWarning
        If the counts begin above the faint end that is given alone.
    """
    if _is_pair(flux):
        if len(flux) != 2:
            raise TypeError(f"flux must be a (low, high) pair of quantities, got {show(flux)}")
        return counts.between(*flux)
    if isinstance(flux, Distribution) and not isinstance(flux, type):
        return flux
    low = as_quantity("flux", flux, u.Jy)
    if low < counts.low.value:
        warn_caller(f"flux starts at {counts.low.to('uJy'):.4g}, where the source counts begin at "
                    f"{counts.frequency:.4g}, not at {(low * u.Jy).to('uJy'):.4g}")
        return counts.between()
    return counts.between(low * u.Jy)


def sample_population(wcs: WCS, shape: Sequence[int] | None = None, n_sources: int | None = None, *, seeds: Seeds,
                      frequency: u.Quantity, flux: Any = None, las: Any = None,
                      fr_mix: str | Mapping[str, float] | None = None, classes: Sequence[str] = FR_CLASSES,
                      spectral_index: Any = None, curvature: Any = None, mask: np.ndarray | None = None,
                      table: Any = None, faintest: u.Quantity = FAINTEST_FLUX,
                      counted: u.Quantity | None = None) -> QTable:
    """Draw a population of radio galaxies.

    Parameters
    ----------
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    n_sources : int, optional
        How many. By default a Poisson number about what the source counts expect in the flux range
        and the image's solid angle: radio sources of all kinds, each of which becomes a radio
        galaxy here.
    seeds : `~skygal.seeds.Seeds`
        The run's random streams. Each column has its own, and source i does not depend on how many
        there are.
    frequency : `~astropy.units.Quantity`
        Observing frequency. Counts are scaled to it from 1.4 GHz with S ~ nu^-0.7.
    flux : (Quantity, Quantity), Quantity or distribution, optional
        Range of the source counts, their faint end alone, or a distribution. By default they start at
        ``faintest``.
    las : (Quantity, Quantity), Quantity, "mirabest" or distribution, optional
        Range that `WindhorstSizes` are cut to, one size, `MiraBestSizes`, a distribution, or another relation
        of size to flux and class.
    fr_mix : "balanced", "survey" or dict, optional
        Equal numbers (the default), the observed share given flux and redshift (`frii_fraction`), or
        shares that sum to 1.
    classes : sequence of str
        Those that may be in ``fr_mix`` and in the table.
    spectral_index : float, (float, float) or distribution, optional
        See `as_spectra`.
    curvature : float or distribution, optional
        See `as_curvature`; by default 0.
    mask : ndarray of bool, shape (ny, nx), optional
        True where sources may be.
    table : `~astropy.table.Table` or path, optional
        Columns that are given (see `read_population`); the others are drawn. Its positions may lie
        outside the image.
    faintest : `~astropy.units.Quantity`, optional
        Where the counts begin if no ``flux`` is given; by default at 1 mJy.
    counted : `~astropy.units.Quantity`, optional
        Fainter sources of the same counts are drawn elsewhere (see `counted_to`).

    Returns
    -------
    `~astropy.table.QTable`
        source_id, ra and dec (ICRS, deg), flux (Jy at ``frequency``), las (arcsec), pa (deg east of
        north, [0, 180)), fr_class, spectral_index, curvature, redshift (NaN where unknown).

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed, before anything is drawn.

    Warns
    -----
    UserWarning
        If the counts begin above the faint end, or sources are counted twice.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.population import sample_population
    >>> from skygal.seeds import Seeds
    >>> from skygal.wcs import make_wcs
    >>> wcs = make_wcs("12h00m00s +30d00m00s", 256, 1.8 * u.arcsec)
    >>> sources = sample_population(wcs, (256, 256), 4, seeds=Seeds(1), frequency=1.4 * u.GHz)
    >>> sorted(sources["fr_class"])
    [...'FRI'..., ...'FRI'..., ...'FRII'..., ...'FRII'...]
    """
    wcs = celestial(wcs)
    shape = image_shape(wcs, shape)
    if not isinstance(seeds, Seeds):
        raise TypeError(f"seeds must be a skygal.seeds.Seeds, got {type(seeds).__name__}")
    frequency = as_quantity("frequency", frequency, u.Hz) * u.Hz
    n = None if n_sources is None else as_count("n_sources", n_sources)
    mask = check_mask(mask, shape)
    mix, spectra, sizes = check_mix(fr_mix, classes), as_spectra(spectral_index), as_sizes(las)
    curvatures = as_curvature(curvature)
    columns = {} if table is None else read_population(table, wcs, classes)
    _refuse_given_twice(columns, flux=flux, las=las, fr_mix=fr_mix if isinstance(fr_mix, Mapping) else None,
                        spectral_index=spectral_index, curvature=curvature)
    n = _match_rows(columns, n)
    fluxes = None if "flux" in columns else _default_fluxes(flux, faintest, read_counts().at(frequency.to(u.GHz)))
    if n is None:
        _warn_counted_twice(fluxes, counted)
        n = sample_number("n_sources", fluxes, wcs, shape, seeds.generator("population: number"), mask=mask)

    def stream(name: str) -> np.random.Generator:
        return seeds.generator(f"population: {name}")

    columns["source_id"] = columns.get("source_id", np.arange(1, n + 1)).astype(np.int64)
    columns.setdefault("redshift", np.full(n, np.nan))
    if "ra" not in columns:
        columns["ra"], columns["dec"] = sample_positions(wcs, shape, n, stream("position"), mask=mask)
    if fluxes is not None:
        columns["flux"] = sample_values("flux", fluxes, n, stream("flux"), u.Jy)
    at_1400 = columns["flux"] * (1.4 / frequency.to_value(u.GHz))**COUNTS_SPECTRAL_INDEX
    if "fr_class" not in columns:
        columns["fr_class"] = sample_classes(mix, at_1400, columns["redshift"], stream("class"))
    if "las" not in columns:
        columns["las"] = _sample_sizes(sizes, at_1400, columns["fr_class"], stream("las"))
    if "pa" not in columns:
        columns["pa"] = 180 * stream("pa").random(n)
    if "spectral_index" not in columns:
        columns["spectral_index"] = sample_values("spectral_index", spectra, n, stream("spectra"), u.one,
                                                  positive=False)
    if "curvature" not in columns:
        columns["curvature"] = sample_values("curvature", curvatures, n, stream("curvature"), u.one, positive=False)
    return as_population(columns)


def _refuse_given_twice(columns: Mapping[str, np.ndarray], **settings: Any) -> None:
    """Raise where the table has what an argument says."""
    for name, value in settings.items():
        column = "fr_class" if name == "fr_mix" else name
        if column in columns and value is not None:
            raise ValueError(f"{name} must be left out where the table has the column {column!r}, got {show(value)}")


def _match_rows(columns: Mapping[str, np.ndarray], n: int | None) -> int | None:
    """Return the number of a table's rows, ``n`` without a table."""
    if not columns:
        return n
    rows = len(next(iter(columns.values())))
    if n is not None and n != rows:
        raise ValueError(f"n_sources must be left out or the table's number of rows, {rows}, got {n}")
    return rows


def _default_fluxes(flux: Any, faintest: u.Quantity, counts: SourceCounts) -> Distribution:
    """Return the distribution of fluxes: of the counts from ``faintest`` on, or from where they begin, if not given."""
    if flux is not None:
        return as_flux(flux, counts)
    start = as_quantity("faintest", faintest, u.Jy)
    if start < counts.low.value <= DETECTED_TIMES * start:
        start = counts.low.value
    return as_flux(start * u.Jy, counts)


def _warn_counted_twice(fluxes: Distribution | None, counted: u.Quantity | None) -> None:
    if isinstance(fluxes, CountedFlux) and counted is not None and fluxes.low < counted * (1 - 1e-6):
        warn_caller(f"flux starts at {fluxes.low.to('uJy'):.4g}, and faint has the same source counts up to "
                    f"{counted.to('uJy'):.4g}: sources between are counted twice")


def sample_number(name: str, fluxes: Distribution | None, wcs: WCS, shape: Sequence[int], rng: np.random.Generator, *,
                  mask: np.ndarray | None = None) -> int:
    """Return a Poisson number about what the source counts expect in an image.

    Parameters
    ----------
    name : str
        The argument that says how many where this cannot, for messages.
    fluxes : CountedFlux
        The range of the counts.
    wcs, shape : `~astropy.wcs.WCS`, (int, int)
        The image's celestial WCS and (ny, nx).
    rng : `numpy.random.Generator`
    mask : ndarray of bool, shape (ny, nx), optional
        True where sources may be.

    Raises
    ------
    ValueError
        If the fluxes do not follow the counts.
    """
    if not isinstance(fluxes, CountedFlux):
        raise ValueError(f"{name} must be given where flux is a distribution, since only the source counts say how "
                         "many there are, got None")
    return int(rng.poisson(fluxes.number.to_value(1 / u.sr) * image_area(wcs, shape, mask=mask)))


def _sample_sizes(sizes: SizeRelation | Distribution, at_1400: np.ndarray, fr_class: np.ndarray,
                  rng: np.random.Generator) -> np.ndarray:
    """Return the LAS, in arcsec, of sources with these fluxes (Jy at 1.4 GHz) and classes."""
    if isinstance(sizes, SizeRelation):
        return sizes.sizes(uniforms(len(at_1400), rng), at_1400, fr_class)
    return sample_values("las", sizes, len(at_1400), rng, u.arcsec)
