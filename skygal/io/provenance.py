"""Where a file came from: version, seed, model and configuration, in headers and table metadata."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from astropy import units as u
from astropy.io import fits

import skygal
from skygal.io.config import as_plain, dump_config, parse_yaml

__all__ = ["input_files", "make_provenance", "read_provenance", "restore_provenance",
           "write_provenance"]

# key in the mapping, keyword in a header, comment
_CARDS = (
    ("skygal_version", "SKYGALV", "version of skygal"),
    ("seed", "SEED", "seed of every random draw"),
    ("model", "MODEL", "generator of the morphologies"),
    ("model_sha256", "MODELSHA", "SHA-256"),
)
_FIRST, _NEXT = "skygal| ", "skygal+ "
_WIDTH = 64
_VALUE = 66


def input_files(provenance: Mapping[str, Any]) -> list[str]:
    """Return the files that a run has read, as far as its settings name them."""
    settings = provenance.get("configuration") or {}
    return [value for value in settings.values() if isinstance(value, str) and "\0" not in value
            and os.path.isfile(value)]


def make_provenance(*, seed: int, model: Any, frequency: u.Quantity, configuration: Mapping[str, Any],
                    options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the metadata of one run.

    Parameters
    ----------
    seed : int
        The seed, resolved.
    model : Generator
        Its ``name`` and ``sha256`` are kept.
    frequency : `~astropy.units.Quantity`
        The field's frequency.
    configuration : mapping
        Every setting of the run, resolved. Made plain by `skygal.io.config.as_plain`.
    options : mapping, optional
        The settings as they were given, plain, from which the run can be made again.

    Returns
    -------
    dict
        Keys ``skygal_version seed model model_sha256 frequency configuration``, and ``options`` if there are any.
    """
    kept = {} if options is None else {"options": {**options, "seed": int(seed)}}
    return {"skygal_version": skygal.__version__, "seed": int(seed), "model": str(model.name),
            "model_sha256": str(model.sha256), "frequency": frequency.to(u.Hz),
            "configuration": as_plain(configuration), **kept}


def write_provenance(header: fits.Header, provenance: Mapping[str, Any]) -> None:
    """Add a run's metadata to a FITS header.

    The main ones become cards (``SKYGALV SEED MODEL MODELSHA``); all of them become YAML in HISTORY
    lines that start with ``skygal|`` (``skygal+`` where a line goes on), so that no card is longer
    than a card may be.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header, changed in place.
    provenance : mapping
        As from `make_provenance`; other keys are kept too.
    """
    for key, keyword, comment in _CARDS:
        if key in provenance:
            value = provenance[key]
            if isinstance(value, list):
                # of tables that were stacked
                value = ", ".join(map(str, value))
            if isinstance(value, str):
                value = value.encode("ascii", "replace").decode()
                # a longer one would need CONTINUE cards, which old readers drop; HISTORY has it in full
                value = value if len(value.replace("'", "''")) <= _VALUE else f"{value[:_VALUE // 2 - 3]}..."
            fits_comment = comment if len(str(value)) + len(comment) < 60 else None
            header[keyword] = (value, fits_comment)
    for line in dump_config(provenance).splitlines():
        mark = _FIRST
        while True:
            # a space at the end of a card is lost
            cut = len(line[:_WIDTH].rstrip(" ")) if len(line) > _WIDTH else len(line)
            header.add_history(mark + line[:cut])
            line, mark = line[cut:], _NEXT
            if not line:
                break


def read_provenance(header: fits.Header) -> dict[str, Any]:
    """Return the metadata that `write_provenance` put into a header; empty if there is none.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header.

    Returns
    -------
    dict
        As given to `write_provenance`, plain types only, but ``frequency`` as a Quantity.
    """
    text = ""
    for line in header.get("HISTORY", ()):
        if line.startswith(_FIRST):
            text += "\n" + line[len(_FIRST):]
        elif line.startswith(_NEXT):
            text += line[len(_NEXT):]
    return restore_provenance(parse_yaml(text) or {})


def restore_provenance(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata with ``frequency`` as a Quantity again, or a list of these."""
    meta = dict(plain)
    found = meta.get("frequency")
    if isinstance(found, str):
        meta["frequency"] = u.Quantity(found)
    elif isinstance(found, list):
        meta["frequency"] = [u.Quantity(text) for text in found]
    return meta
