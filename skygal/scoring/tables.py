"""Tables of what was matched with what: sources, components, and the catalogue's rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.scoring.matching import DETECTABLE

if TYPE_CHECKING:
    from skygal.scoring.score import Score

__all__ = ["component_table", "row_table", "source_table", "write_table"]

#: tables of more rows are written as FITS: as text they are large and slow
LONGEST_TEXT = 100_000
#: numbers of rows that are listed in a table, were there as many for all sources
MOST_LISTED = 1_000_000
_UNITS = {"ra": u.deg, "dec": u.deg, "flux": u.Jy, "flux_in_image": u.Jy, "las": u.arcsec, "peak_flux": u.Jy / u.beam,
          "flux_found": u.Jy, "distance": u.arcsec, "peak": u.Jy / u.beam}


def source_table(score: Score) -> QTable:
    """Return a row a source of truth: how many rows it has and which, what flux they hold, or why there is none.

    Of a source of very many rows only the first are named, with dots behind: all have its ``source_id`` in `row_table`.
    """
    hosts, matches, found = score.truth.hosts, score.matches, score.found
    rows = np.flatnonzero(matches.host_of_row >= 0)
    order = rows[np.lexsort((rows, matches.host_of_row[rows]))]
    ends = np.cumsum(matches.rows_of_host)
    members = [order[end - count:end] for end, count in zip(ends.tolist(), matches.rows_of_host.tolist(), strict=True)]
    columns = {name: hosts[name] for name in ("source_id", "fr_class", "population", "morphology", "ra", "dec",
                                              "flux_in_image", "las", "snr")}
    flux = np.bincount(matches.host_of_row[rows], np.nan_to_num(found.flux[rows]), len(score.truth))
    columns |= {"n_rows": matches.rows_of_host, "rows": _listed(members, found.row),
                "flux_found": np.where(matches.rows_of_host > 0, flux, np.nan), "why_missed": matches.why_missed}
    return _table(columns, score)


def component_table(score: Score) -> QTable | None:
    """Return a row a component of truth with the row that is its own, -1 for none; None where truth has none."""
    parts, matches = score.truth.components, score.matches
    if parts is None:
        return None
    row = matches.row_of_component
    columns = {name: parts[name] for name in ("source_id", "component_id", "kind", "ra", "dec", "flux", "peak_flux")}
    columns |= {"row": _take(score.found.row, row, -1), "distance": _take(matches.distance, row, np.nan),
                "log_likelihood": _take(matches.likelihood, row, np.nan)}
    return _table(columns, score)


def row_table(score: Score) -> QTable:
    """Return a row a row of the catalogue: the source it is in, the component that it is, or why it counts as false.

    ``verdict`` is "component" for those matched one to one, "part" for others within a source (a piece of one, or all
    of one that has several components), "false", and "outside" for those that are not in the image.
    """
    found, matches, truth = score.found, score.matches, score.truth
    verdict = np.select([matches.outside, matches.component_of_row >= 0, matches.host_of_row >= 0],
                        ["outside", "component", "part"], "false")
    columns = {"row": found.row, "id": found.id, "ra": found.ra, "dec": found.dec, "flux": found.flux,
               "peak": found.peak, "verdict": verdict,
               "source_id": _take(truth.hosts["source_id"], matches.host_of_row, -1),
               "hosts": matches.hosts_of_row, "distance": matches.distance, "log_likelihood": matches.likelihood}
    if truth.components is not None:
        columns["component_id"] = _take(truth.components["component_id"], matches.component_of_row, -1)
    return _table(columns, score)


def write_table(table: QTable, folder: Path, name: str) -> None:
    """Write a table into a folder, as ECSV, or as FITS if it has more than 100,000 rows."""
    if len(table) <= LONGEST_TEXT:
        table.write(folder / f"{name}.ecsv", format="ascii.ecsv")
        return
    # FITS knows ASCII alone, and keywords of eight letters
    out = QTable({each: np.char.encode(table[each], "ascii", "replace") if table[each].dtype.kind == "U"
                  else table[each] for each in table.colnames})
    out.meta = {key[:8].upper(): value.encode("ascii", "replace").decode() if isinstance(value, str) else value
                for key, value in table.meta.items()}
    out.write(folder / f"{name}.fits", format="fits")


def _take(values: np.ndarray, index: np.ndarray, missing: float) -> np.ndarray:
    if not len(values):
        return np.full(len(index), missing)
    return np.where(index >= 0, values[index], np.asarray(missing, values.dtype))


def _listed(members: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return row numbers as words, such as ``"3 17"``."""
    # all words of a column are as wide as the longest
    most = max(10, MOST_LISTED // max(len(members), 1))
    return np.array([" ".join(map(str, rows[one[:most]].tolist())) + " ..." * (len(one) > most) for one in members],
                    dtype=str)


def _table(columns: dict[str, np.ndarray], score: Score) -> QTable:
    meta = {"truth": score.truth.name, "catalogue": score.found.name, "format": score.found.format,
            "detectable": DETECTABLE}
    return QTable({name: values << _UNITS[name] if name in _UNITS else values for name, values in columns.items()},
                  meta=meta)
