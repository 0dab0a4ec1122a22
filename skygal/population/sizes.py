"""Largest angular sizes, given class and flux."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, runtime_checkable

import numpy as np
from astropy import units as u

from skygal.checks import as_range, check_choice, show
from skygal.io.config import parse_yaml
from skygal.population.distributions import Distribution, as_distribution, truncated_normal

__all__ = ["MiraBestSizes", "SizeRelation", "WindhorstSizes", "as_sizes"]

#: without a range, sizes are cut at this many standard deviations on either side of the median
CUT_SIGMAS = 3.0


@runtime_checkable
class SizeRelation(Protocol):
    """Anything that turns uniform numbers into sizes, given flux and class."""

    def sizes(self, p: np.ndarray, flux: np.ndarray, fr_class: np.ndarray) -> np.ndarray:
        """Return LAS in arcsec: the quantiles ``p``, for ``flux`` in Jy at 1.4 GHz."""


@cache
def _relations() -> dict[str, Any]:
    return parse_yaml(files("skygal.catalogs").joinpath("sizes.yaml").read_text(encoding="utf-8"))


def _range(low: Any, high: Any) -> tuple[float, float]:
    if low is None and high is None:
        return 0.0, np.inf
    return as_range("las", (1e-6 * u.arcsec if low is None else low, 360 * u.deg if high is None else high), u.arcsec)


@dataclass(frozen=True)
class MiraBestSizes:
    """Sizes of radio galaxies that FIRST resolves well enough to be classified: the large ones among all sources.

    Parameters
    ----------
    low, high : `~astropy.units.Quantity`, optional
        Range that sizes are cut to; by default three standard deviations about the median.

    Notes
    -----
    ln(LAS/arcsec) is normal about 4.14 + 0.38 ln(S/0.1 Jy) with a scatter of 0.57 for FRI, and
    about 3.39 + 0.40 ln(S/0.1 Jy) with 0.85 for FRII, S at 1.4 GHz: fitted to the catalogue of
    Miraghaei & Best 2017 (2017MNRAS.466.4346M), above 40 mJy, and extrapolated to fainter sources. If all sources had
    these sizes, there would be four times as many above 100 mJy and 60" as `WindhorstSizes` have: 0.91 for 0.22 a
    square degree, with the source counts and equal numbers of the classes.
    """

    low: u.Quantity | None = None
    high: u.Quantity | None = None

    def __post_init__(self) -> None:
        _range(self.low, self.high)

    def sizes(self, p: np.ndarray, flux: np.ndarray, fr_class: np.ndarray) -> np.ndarray:
        """Return LAS in arcsec: the quantiles ``p``, for ``flux`` in Jy at 1.4 GHz."""
        relation = _relations()["mirabest"]
        unknown = sorted(set(np.unique(fr_class).tolist()) - set(relation["classes"]))
        if unknown:
            known = ", ".join(relation["classes"])
            raise ValueError(f"las must be another than MiraBestSizes, which are of {known}, for the class "
                             f"{show(unknown[0])}")
        pivot = u.Quantity(relation["flux"]).to_value(u.Jy)
        mean, sigma = np.empty(len(flux)), np.empty(len(flux))
        for name, fit in relation["classes"].items():
            mine = np.asarray(fr_class) == name
            mean[mine] = fit["ln_las"] + fit["slope"] * np.log(flux[mine] / pivot)
            sigma[mine] = fit["sigma"]
        low, high = _range(self.low, self.high)
        if low == 0:
            return np.exp(truncated_normal(p, mean, sigma, mean - CUT_SIGMAS * sigma, mean + CUT_SIGMAS * sigma))
        return np.exp(truncated_normal(p, mean, sigma, np.log(low), np.log(high)))


@dataclass(frozen=True)
class WindhorstSizes:
    """Sizes of all radio sources that are counted, most of them small; the class makes no difference.

    Parameters
    ----------
    low, high : `~astropy.units.Quantity`, optional
        Range that sizes are cut to; by default none.

    Notes
    -----
    P(> LAS) = exp[-ln 2 (LAS / median)^0.62] with median = 2.0" (S / mJy)^0.30 above 1 mJy and 2.0"
    below, S at 1.4 GHz: Windhorst et al. 1990 (1990ASPC...10..389W). With the source counts, half of the sources above
    1 mJy are larger than 3.0", 37 % than 5.4" and 5 % than 35".
    """

    low: u.Quantity | None = None
    high: u.Quantity | None = None

    def __post_init__(self) -> None:
        _range(self.low, self.high)

    def sizes(self, p: np.ndarray, flux: np.ndarray, fr_class: np.ndarray) -> np.ndarray:
        """Return LAS in arcsec: the quantiles ``p``, for ``flux`` in Jy at 1.4 GHz."""
        relation = _relations()["windhorst1990"]
        median = u.Quantity(relation["median_1mJy"]).to_value(u.arcsec)
        median = median * np.maximum(flux / 1e-3, 1)**relation["slope"]
        low, high = _range(self.low, self.high)
        depth = np.log(2) * (np.array([[low], [high]]) / median)**relation["exponent"]
        # -ln P(> LAS), with what is cut off below and above taken out
        tail = depth[0] - np.log1p(p * np.expm1(-(depth[1] - depth[0])))
        las = median * (tail / np.log(2))**(1 / relation["exponent"])
        return np.clip(las, low, high)


#: relations by the names that stand for them
SIZE_RELATIONS: dict[str, Callable[[], SizeRelation]] = {"windhorst": WindhorstSizes, "mirabest": MiraBestSizes}


def as_sizes(las: Any = None) -> SizeRelation | Distribution:
    """Return the distribution of largest angular sizes, or their relation to flux and class.

    Parameters
    ----------
    las : (Quantity, Quantity), Quantity, str, distribution, SizeRelation or None
        A range that the default relation, `WindhorstSizes`, is cut to, one size for all, or "windhorst" or "mirabest".

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or low is not below high.
    """
    if las is None:
        return WindhorstSizes()
    if isinstance(las, str) and las.isalpha():
        return SIZE_RELATIONS[check_choice("las", las.lower(), SIZE_RELATIONS)]()
    if isinstance(las, (tuple, list)) or (isinstance(las, u.Quantity) and las.ndim > 0):
        if len(las) != 2:
            raise TypeError(f"las must be a (low, high) pair of quantities, got {show(las)}")
        return WindhorstSizes(*las)
    if isinstance(las, SizeRelation) and not isinstance(las, type):
        return las
    return as_distribution("las", las, u.arcsec)
