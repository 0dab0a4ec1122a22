"""What a column under an unknown name holds, told by its name and unit.

Names of positions and fluxes as VizieR, PyBDSF, Aegean, Selavy, SoFiA, SExtractor, photutils and the SKA data
challenges write them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from astropy import units as u

from skygal.checks import nearest_names

__all__ = ["bare_name", "holds_flux", "holds_position", "nearest_missing"]

_UNITS = re.compile(r"(?:n|u|m|\u00b5|\u03bc|mu|micro|milli)?jy(?:beam)?|janskys?|deg(?:rees?)?|rad(?:ians?)?|as|"
                    r"a(?:rc)?(?:sec|min)s?|mas|pix(?:els?)?")
#: words of what is about a quantity and is not the quantity
_ABOUT = {"e", "err", "error", "errors", "unc", "uncertainty", "sigma", "std", "stddev", "rms", "noise", "flag",
          "flags", "ratio", "frac", "fraction", "quality", "snr", "sn", "angle", "ang", "pa", "name"}
_POSITIONS = {"ra", "de", "dec", "decl", "declination", "ascension", "rightascension", "lon", "lat", "longitude",
              "latitude", "glon", "glat", "elon", "elat", "coord", "coords", "coordinate", "coordinates", "skycoord",
              "radec", "pos", "position", "positions"}
_FRAMES = re.compile(r"(?:deg|rad|hms|dms|hours?|str|icrs|fk[45]|mean|cen|cent(?:er|re|roid)|peak|max"
                     r"|[jb]?(?:19|20)\d\d|[jb]|\d+)+$")
_ALPHA = re.compile(r"(?:alpha|delta)(?:win|peak)?_?(?:[jb]?\d{4}|sky|world|deg)")
_PIXELS = re.compile(r"[xy](?:win|peak)?_?(?:pix|pos|im(?:age|g)?$|cen|world|fit$|init$|0$|c$|max$|peak$)")
#: nothing but a place where both are there
_BOTH = (("l", "b"), ("lii", "bii"), ("gl", "gb"), ("alpha", "delta"), ("row", "col"))
#: S_int, Stot, FPEAK, S1.4, S_150MHz, I1400 and the like, punctuation left out
_FLUXES = re.compile(r"(?:[sf](?:nu|int|integrated|tot|total|peak|pk|p|t|dens|density)?|i(?:tot|int|peak)|i(?=\d\d))"
                     r"(?:\d{2,}|\d+(?=[mg]hz))?(?:[mg]hz)?")
_SYNONYMS = {
    "las": "size angularsize largestangularsize angsize diameter extent maj major majoraxis majaxis dcmaj fwhm",
    "pa": "posang positionangle angle theta", "fr_class": "class type fr frtype label morphology",
    "redshift": "z zspec zphot zbest", "spectral_index": "alpha spindex specindex si spix", "curvature": "beta curv",
    "source_id": "id name source sourcename", "kind": "class type morphology",
    "b_maj": "maj major majoraxis majaxis dcmaj fwhm size", "b_min": "min minor minoraxis minaxis dcmin"}


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9\u00b5\u03bc]+", str(name).lower()) if word]


def bare_name(name: str) -> str:
    """Return a name without a unit at its end, punctuation and case: ``"las"`` of ``"LAS (arcsec)"``."""
    words = _words(name)
    while len(words) > 1 and _UNITS.fullmatch(words[-1]):
        words.pop()
    return "".join(words)


def _is_value(name: str, column: Any) -> bool:
    """Return whether a column may hold a quantity itself, not its error or a flag."""
    kind = getattr(getattr(column, "dtype", None), "kind", "O")
    return kind != "b" and not _ABOUT & set(_words(name)) and not re.search(r"err(?:or)?$", str(name).lower())


def holds_position(name: str, column: Any, others: Iterable[str] = ()) -> bool:
    """Return whether a column obviously holds a coordinate; ``others`` are the names beside it."""
    if not _is_value(name, column):
        return False
    low, beside = str(name).strip().lower(), {str(other).strip().lower() for other in others}
    return (bare_name(name) in ("x", "y", "ra", "dec") or any(word in _POSITIONS or _FRAMES.sub("", word) in _POSITIONS
                                                              for word in _words(name))
            or bool(_ALPHA.match(low) or _PIXELS.match(low))
            or any(low in pair and beside.issuperset(pair) for pair in _BOTH))


def holds_flux(name: str, column: Any) -> bool:
    """Return whether a column obviously holds a flux density or a brightness."""
    if not _is_value(name, column):
        return False
    words = _words(name)
    unit = getattr(column, "unit", None)
    return ("flux" in str(name).lower() or any("jy" in word and _UNITS.fullmatch(word) for word in words)
            or bool(_FLUXES.fullmatch("".join(words)))
            or "jy" in str(unit).lower() or _is_brightness(unit))


def _is_brightness(unit: Any) -> bool:
    """Return whether a unit is one of flux density or brightness; magnitudes are not, of whatever zero point."""
    return isinstance(unit, u.UnitBase) and any(map(unit.is_equivalent, (u.Jy, u.Jy / u.beam, u.Jy / u.sr)))


def nearest_missing(name: str, missing: Collection[str]) -> str:
    """Return a hint at the known, missing name that is most like an unknown one; empty if none is."""
    bare = bare_name(name)
    for known in missing:
        if bare in _SYNONYMS.get(known, "").split():
            return f" (did you mean {known!r}?)"
    return nearest_names(name, missing)
