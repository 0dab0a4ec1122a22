"""Which class each source is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import as_quantity, check_choice, show
from skygal.io.config import parse_yaml
from skygal.population.distributions import uniforms

__all__ = ["FR_CLASSES", "check_mix", "frii_fraction", "sample_classes"]

FR_CLASSES = ("FRI", "FRII")


def check_mix(fr_mix: Any, classes: Sequence[str] = FR_CLASSES) -> str | dict[str, float]:
    """Return a class mix as ``"balanced"``, ``"survey"`` or the share of each of the ``classes``.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, names an unknown class, or its shares do not sum to 1.
    """
    if fr_mix is None:
        return "balanced"
    if isinstance(fr_mix, str):
        return check_choice("fr_mix", fr_mix, ("balanced", "survey"))
    if not isinstance(fr_mix, Mapping):
        raise TypeError("fr_mix must be None, 'balanced', 'survey' or a dict such as {'FRI': 0.3, 'FRII': 0.7}, "
                        f"got {show(fr_mix)}")
    shares = dict.fromkeys(classes, 0.0)
    for name, share in fr_mix.items():
        check_choice("fr_mix (class)", name, classes)
        shares[name] = as_quantity(f"fr_mix[{name!r}]", share, u.one, positive=False, minimum=0)
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise ValueError(f"fr_mix must have shares that sum to 1, got {total:.6g} from {dict(fr_mix)}")
    return {name: share / total for name, share in shares.items()}


@cache
def _relation() -> dict[str, float]:
    return parse_yaml(files("skygal.catalogs").joinpath("frii_fraction.yaml").read_text(encoding="utf-8"))


def frii_fraction(flux: u.Quantity, redshift: Any = None) -> np.ndarray:
    """Return the share of FRII among classified radio galaxies.

    Parameters
    ----------
    flux : `~astropy.units.Quantity`
        At 1.4 GHz.
    redshift : array_like, optional
        NaN, like None, stands for an assumed 0.8.

    Returns
    -------
    ndarray

    Notes
    -----
    logit f = 0.06 + 1.40 (log10 L1.4 - 25), L1.4 in W/Hz, as fitted to the catalogue of Miraghaei &
    Best 2017 (2017MNRAS.466.4346M); L1.4 = 4 pi D_L^2 S (1 + z)^-(1 + alpha), alpha = -0.7, with the
    cosmology of Planck 2018. The assumed redshift is typical of flux-limited samples (after Condon
    1989, 1989ApJ...338...13C). With the source counts it makes 0.89 of
    the sources above 50 mJy FRII; CoNFIG (2010MNRAS.404.1719G) has about 0.88.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skygal.population import frii_fraction
    >>> print(frii_fraction([1, 10, 100] * u.mJy).round(2))
    [0.32 0.66 0.89]
    """
    from astropy.cosmology import Planck18

    relation = _relation()
    s = np.atleast_1d(as_quantity("flux", flux, u.W / u.m**2 / u.Hz, scalar=False))
    z = np.full(s.shape, np.nan) if redshift is None else np.array(np.broadcast_to(redshift, s.shape), float)
    z[~np.isfinite(z)] = relation["redshift"]
    values, place = np.unique(z, return_inverse=True)
    distance = Planck18.luminosity_distance(values).to_value(u.m)[place.reshape(z.shape)]
    luminosity = 4 * np.pi * distance**2 * s * (1 + z)**-(1 + relation["spectral_index"])
    logit = relation["intercept"] + relation["slope"] * (np.log10(luminosity) - relation["pivot"])
    return 1 / (1 + np.exp(-logit))


def sample_classes(mix: str | Mapping[str, float], flux: np.ndarray, redshift: np.ndarray,
                   rng: np.random.Generator) -> np.ndarray:
    """Return a class for each source.

    Parameters
    ----------
    mix : str or dict
        As from `check_mix`. In a balanced mix each two sources in turn are one of each class, in
        random order, so that the numbers never differ by more than one.
    flux : ndarray, shape (n,)
        Jy at 1.4 GHz.
    redshift : ndarray, shape (n,)
        NaN where unknown.
    rng : `numpy.random.Generator`

    Returns
    -------
    ndarray of str, shape (n,)
    """
    n = len(flux)
    if mix == "balanced":
        first = uniforms((n + 1) // 2, rng) < 0.5
        second_class = np.stack([first, ~first], axis=1).ravel()[:n]
        return np.where(second_class, FR_CLASSES[1], FR_CLASSES[0])
    if isinstance(mix, str):
        return np.where(uniforms(n, rng) < frii_fraction(flux * u.Jy, redshift), FR_CLASSES[1], FR_CLASSES[0])
    # FRIs take what the others leave
    names = [name for name, share in mix.items() if name == FR_CLASSES[1] or (share > 0 and name != FR_CLASSES[0])]
    ends = np.cumsum([mix[name] for name in names])
    return np.array([*names, FR_CLASSES[0]])[np.searchsorted(ends, uniforms(n, rng), side="right")]
