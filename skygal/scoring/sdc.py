"""The score of the first SKA Science Data Challenge: ours, on the sphere with the field's beam, and the official one.

The rules are those of Bonaldi et al. 2021 (2021MNRAS.500.3821B), as ska-sdc 2.0.0 has them: seven terms of a seventh
each for every matched source, less one for each row that is none.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from skygal.checks import check_choice, show
from skygal.scoring.records import Detections, TruthSet
from skygal.wcs import unit_vectors

__all__ = ["TERMS", "entry_columns", "official_sdc1_score", "score_entry", "sdc1_score", "truth_columns"]

TERMS = ("position", "flux", "b_maj", "b_min", "pa", "core_frac", "class")
#: of positions in the source's size with two beams, of fluxes, of sizes, in degrees, and of core fractions over 0.75
THRESHOLDS = {"position": 0.3, "flux": 0.1, "b_maj": 0.3, "b_min": 0.3, "pa": 10.0, "core_frac": 0.05}
#: one sigma of position over size, flux, and size over size; three make the norm, and pairs are accepted below five
_NORMS, _ACCEPTED = (3 * 0.31, 3 * 0.12, 3 * 1.46), 5.0
#: what a size is of: LAS (5 sigma), FWHM, scale length; in FWHM, and for those between which terms convert sizes
LAS, FWHM, SCALE = 1, 2, 3
_IN_FWHM = {LAS: 2.355 / 5, FWHM: 1.0, SCALE: 2**0.5}
_CORE_NORM = 0.75
#: classes by their names, as `skygal.scoring.read_detections` reads them
_CLASSES = {"SS-AGN": 1, "FS-AGN": 2, "SFG": 3}
_ARCSEC = np.pi / 180 / 3600
#: pairs that are looked at at once
CHUNK = 2**22


def truth_columns(truth: TruthSet) -> dict[str, np.ndarray]:
    """Return the twelve columns of the challenge of all sources, see `skygal.truth.exports.sdc1.sdc1_columns`."""
    from skygal.truth.exports.sdc1 import sdc1_columns
    from skygal.truth.schema import TRUTH, make_truth

    return sdc1_columns(make_truth({column.name: truth.hosts[column.name] for column in TRUTH}))


def entry_columns(found: Detections) -> dict[str, np.ndarray]:
    """Return the twelve columns of an entry of a source finder's catalogue.

    Sizes are FWHM without the beam, core and centroid are the same. What the catalogue does not have is NaN, and 0 for
    the class: its term scores nothing.
    """
    ra = (found.ra + 180) % 360 - 180
    cls = np.array([_CLASSES.get(label, 0) for label in found.label.tolist()], dtype=int)
    return {"id": np.arange(1, len(found) + 1), "ra_core": ra, "dec_core": found.dec, "ra_cent": ra,
            "dec_cent": found.dec, "flux": found.flux, "core_frac": np.full(len(found), np.nan),
            "b_maj": found.deconv_maj, "b_min": found.deconv_min, "pa": (90 - found.deconv_pa) % 180,
            "size": np.full(len(found), FWHM), "class": cls}


def sdc1_score(truth: Mapping[str, np.ndarray], entry: Mapping[str, np.ndarray], beam: float, *,
               positions: str = "core", duplicates: str = "penalised") -> dict[str, Any]:
    """Score an entry by the rules of the challenge, on the sphere.

    Parameters
    ----------
    truth, entry : mapping of str to ndarray
        The twelve columns of `skygal.truth.exports.sdc1.COLUMNS`: degrees, Jy, arcsec; ``pa`` is counted clockwise from
        west; ``id`` is not looked at. In an entry NaN stands for what is not known, and scores nothing.
    beam : float
        FWHM of the image's beam, arcsec.
    positions : "core" or "centroid"
        Which of the two is matched.
    duplicates : "penalised" or "shared"
        Of several rows at one source the best counts and the others are false, as in the first challenge; or all count,
        each with its score over their number, those too unlike among them, as in the second, where the true size is
        what decides how near is near enough.

    Returns
    -------
    dict
        ``score``, ``score_matched`` (without what false rows cost), ``rows``, ``matched``, ``false``, ``rejected``
        (pairs near enough, but too unlike), ``accuracy`` (mean score of a match), ``terms``, the mean of each, and
        ``lacking``, the terms of which no row knows anything, and which are 0 for that.

    Raises
    ------
    ValueError
        If a column is missing, columns differ in length, a size or flux of truth is not positive, a position or a kind
        of size of truth is none, the beam is not positive, or an option is unknown.

    Notes
    -----
    Other than in the official scorer separations are spherical, the beam is the image's, and angles are compared modulo
    180 degrees; there, they are folded at 45. Without any match the score is minus the number of rows; there, it is 0.
    Of sources whose size is a LAS minor axis and angle have full marks.
    """
    check_choice("positions", positions, ("core", "centroid"))
    check_choice("duplicates", duplicates, ("penalised", "shared"))
    if not (np.isfinite(beam) and beam > 0):
        raise ValueError(f"beam must be a finite number above 0 (arcsec), got {show(beam)}")
    truth, entry = _ordered("truth", truth), _ordered("entry", entry)
    for name in ("flux", "b_maj", "b_min"):
        _refuse(name, truth[name], ~(truth[name] > 0), "above 0")
    for name in ("ra_core", "dec_core", "ra_cent", "dec_cent"):
        _refuse(name, truth[name], ~np.isfinite(truth[name]), "finite")
    _refuse("size", truth["size"], ~np.isin(truth["size"], list(_IN_FWHM)), "1, 2 or 3")
    where = "core" if positions == "core" else "cent"
    row, source, error = _nearest(truth, entry, beam, where, duplicates)
    n = len(entry["flux"])
    if duplicates == "penalised":
        # and the best row of each source
        row, source, error = _firsts(source, error, row, (row, source, error))
    # as in the second challenge: those that are rejected below share too
    share = np.bincount(source, minlength=len(truth["flux"]))
    good = error < _ACCEPTED
    rejected = int((~good).sum())
    row, source = row[good], source[good]
    terms = _terms(truth, entry, row, source, beam)
    share = share[source]
    each = sum(terms[name] for name in TERMS) / len(TERMS) / share
    matched, total = len(row), float(each.sum())
    return {"score": total - (n - matched), "score_matched": total, "rows": n, "matched": matched,
            "false": n - matched, "rejected": rejected, "accuracy": total / matched if matched else None,
            "terms": {name: float(terms[name].mean()) if matched else None for name in TERMS},
            "lacking": _lacking(entry) if n else [],
            "duplicates": duplicates, "positions": positions, "beam": float(beam)}


def _ordered(label: str, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the columns but ``id``, the brightest row first.

    Of rows and sources that are equally good the first is taken, which then is the same in whatever order they came.
    """
    from skygal.truth.exports.sdc1 import COLUMNS

    missing = [name for name in COLUMNS[1:] if name not in columns]
    if missing:
        raise ValueError(f"{label} must have the columns {', '.join(COLUMNS)}, got none of {', '.join(missing)}")
    out = {name: _numbers(columns[name]) for name in COLUMNS[1:]}
    lengths = {name: values.shape for name, values in out.items()}
    if len(set(lengths.values())) > 1 or len(lengths["flux"]) != 1:
        raise ValueError(f"{label} must have columns of one length, got {show(lengths)}")
    order = np.lexsort([out[name] for name in COLUMNS[1:] if name != "flux"] + [-out["flux"]])
    return {name: values[order] for name, values in out.items()}


def _numbers(values: Any) -> np.ndarray:
    """Return numbers, NaN where they are masked."""
    numbers: np.ndarray = np.ma.filled(np.ma.asarray(values, float), np.nan)
    return numbers


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, allowed: str) -> None:
    if bad.any():
        raise ValueError(f"truth must have {name} {allowed}, got {show(float(values[bad][0]))} and "
                         f"{int(bad.sum())} such rows")


def _lacking(entry: Mapping[str, np.ndarray]) -> list[str]:
    unknown = [name for name in TERMS if name in entry and np.isnan(entry[name]).all()]
    return [*unknown, *([] if np.isin(entry["class"], list(_CLASSES.values())).any() else ["class"])]


def _firsts(group: np.ndarray, error: np.ndarray, tie: np.ndarray, values: tuple[np.ndarray, ...]
            ) -> tuple[np.ndarray, ...]:
    """Return of each group the values with the least error, of equal ones with the least tie."""
    order = np.lexsort((tie, error, group))
    ranked = group[order]
    first = order[np.r_[True, ranked[1:] != ranked[:-1]]] if len(order) else order
    return tuple(one[first] for one in values)


def _width(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return sizes in FWHM."""
    return columns[name] * _factor(columns["size"])


def _factor(kind: np.ndarray) -> np.ndarray:
    """Return the FWHM of sizes of these kinds, in their units; NaN of kinds that there are not."""
    return np.select([kind == one for one in _IN_FWHM], list(_IN_FWHM.values()), np.nan)


def _convolved(columns: Mapping[str, np.ndarray], beam: float) -> np.ndarray:
    largest = np.fmax(_width(columns, "b_maj"), _width(columns, "b_min"))
    return np.hypot(np.nan_to_num(largest), beam)


def _nearest(truth: Mapping[str, np.ndarray], entry: Mapping[str, np.ndarray], beam: float, where: str,
             duplicates: str) -> tuple[np.ndarray, ...]:
    """Return rows with a source near enough, the one that each is most like, and how unlike it is."""
    known = np.flatnonzero(np.isfinite(entry[f"ra_{where}"]) & np.isfinite(entry[f"dec_{where}"]))
    best: tuple[np.ndarray, ...] = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    if not known.size or not len(truth["flux"]):
        return best
    at = unit_vectors(truth[f"ra_{where}"], truth[f"dec_{where}"])
    here = unit_vectors(entry[f"ra_{where}"][known], entry[f"dec_{where}"][known])
    true_size, size = _convolved(truth, beam), _convolved(entry, beam)[known]
    mean = np.nan_to_num(_width(entry, "b_maj") + _width(entry, "b_min")) / 2
    true_mean = (_width(truth, "b_maj") + _width(truth, "b_min")) / 2
    # in the second challenge it is the true size that decides
    own = duplicates == "penalised"
    reach = 2 * np.sin(np.minimum((size if own else true_size) * _ARCSEC, np.pi) / 2)
    tree, asked = (cKDTree(at), here) if own else (cKDTree(here), at)
    count = tree.query_ball_point(asked, reach, return_length=True)
    ends = np.flatnonzero(np.diff(np.cumsum(count) // CHUNK, append=-1)) + 1
    for start, stop in zip(np.r_[0, ends[:-1]].tolist(), ends.tolist(), strict=True):
        if not count[start:stop].any():
            continue
        near = tree.query_ball_point(asked[start:stop], reach[start:stop], return_sorted=False)
        other = np.concatenate([np.asarray(one, np.int64) for one in near if one])
        mine = np.repeat(np.arange(start, stop), count[start:stop])
        place, source = (mine, other) if own else (other, mine)
        away = 2 * np.arcsin(np.minimum(np.linalg.norm(here[place] - at[source], axis=1) / 2, 1)) / _ARCSEC
        row, scale = known[place], true_size[source]
        parts = (away / scale, np.abs(entry["flux"][row] - truth["flux"][source]) / truth["flux"][source],
                 np.abs(mean[row] - true_mean[source]) / scale)
        error = np.sqrt(sum((part / norm)**2 for part, norm in zip(parts, _NORMS, strict=True)))
        error = np.where(np.isfinite(error), error, np.inf)
        row, source, error = (np.concatenate([old, new]) for old, new in zip(best, (row, source, error), strict=True))
        best = _firsts(row, error, source, (row, source, error))
    return best


def _terms(truth: Mapping[str, np.ndarray], entry: Mapping[str, np.ndarray], row: np.ndarray, source: np.ndarray,
           beam: float) -> dict[str, np.ndarray]:
    """Return the seven terms, 0 to 1, of each match."""
    t = {name: values[source] for name, values in truth.items()}
    e = {name: values[row] for name, values in entry.items()}
    size = (t["b_maj"] + t["b_min"]) / 2
    away = np.minimum(*(_separation(e, t, where) for where in ("core", "cent")))
    is_las = t["size"] == LAS
    kinds = _factor(t["size"])
    apart = np.abs((e["pa"] - t["pa"] + 90) % 180 - 90)
    off = {"position": away / np.sqrt(4 * beam**2 + size**2), "flux": np.abs(e["flux"] - t["flux"]) / t["flux"],
           "pa": np.where(is_las, 0.0, apart), "core_frac": np.abs(e["core_frac"] - t["core_frac"]) / _CORE_NORM}
    for name in ("b_maj", "b_min"):
        ours = _width(e, name) / kinds
        off[name] = np.abs(ours - t[name]) / t[name]
    off["b_min"] = np.where(is_las, 0.0, off["b_min"])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = {name: np.nan_to_num(np.minimum(1.0, THRESHOLDS[name] / values), nan=0.0)
                 for name, values in off.items()}
    # what is not known at all is not right
    for name, values in off.items():
        terms[name] = np.where(np.isnan(values), 0.0, terms[name])
    return {**terms, "class": (e["class"] == t["class"]).astype(float)}


def _separation(e: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray], where: str) -> np.ndarray:
    chord = np.linalg.norm(unit_vectors(e[f"ra_{where}"], e[f"dec_{where}"])
                           - unit_vectors(t[f"ra_{where}"], t[f"dec_{where}"]), axis=-1)
    return 2 * np.arcsin(np.minimum(chord / 2, 1)) / _ARCSEC


def official_sdc1_score(truth: Mapping[str, np.ndarray], entry: Mapping[str, np.ndarray], frequency: int, *,
                        positions: str = "core", training: bool = False) -> dict[str, Any]:
    """Score an entry by the challenge's own program, ska-sdc.

    Parameters
    ----------
    truth, entry : mapping of str to ndarray
        As for `sdc1_score`.
    frequency : 560, 1400 or 9200
        MHz; it sets the beam and the training area.
    positions : "core" or "centroid"
    training : bool
        Whether what lies in the training area is scored, and not all else.

    Returns
    -------
    dict
        As of `sdc1_score`; ``left_out`` and ``truth_left_out`` count the rows of the entry and of truth that the
        program does not look at: in the training area, or outside it. Where nothing is matched its score is 0.

    Raises
    ------
    ModuleNotFoundError
        If ska-sdc is not installed.
    ValueError
        If the frequency is another, or what the program would drop or end as NaN in silence: a column that is missing,
        a value that is not finite or negative, a size of 0, an ``id`` that is there twice (of its rows but one is
        looked at).
    """
    check_choice("positions", positions, ("core", "centroid"))
    if frequency not in (560, 1400, 9200):
        raise ValueError(f"frequency must be 560, 1400 or 9200 MHz for the official score, got {show(frequency)}")
    try:
        with warnings.catch_warnings():
            # of the program's own use of pandas
            warnings.simplefilter("ignore")
            import pandas as pd
            from ska_sdc import Sdc1Scorer
    except ImportError:
        raise ModuleNotFoundError("the official score needs ska-sdc: pip install 'skygal[exports-test]'") from None
    from skygal.truth.exports.sdc1 import COLUMNS, TRAINING_AREAS

    frames = []
    for name, columns in (("truth", truth), ("entry", entry)):
        missing = [column for column in COLUMNS if column not in columns]
        if missing:
            raise ValueError(f"{name} must have the columns {', '.join(COLUMNS)}, got none of {', '.join(missing)}")
        ids, often = np.unique(np.asarray(columns["id"]), return_counts=True)
        if (often > 1).any():
            raise ValueError(f"{name} must have each id once for the official score, got {ids[often > 1][0]} "
                             f"{int(often.max())} times")
        for column in COLUMNS[1:]:
            values = _numbers(columns[column])
            bad = ~np.isfinite(values)
            if column in ("flux", "core_frac", "b_maj", "b_min"):
                bad |= values < 0
            if column in ("b_maj", "b_min") and name == "truth":
                bad |= values == 0
            if bad.any():
                raise ValueError(f"{name} must have {column} finite, not negative, and sizes above 0 for the official "
                                 f"score, got {values[bad][0]} and {int(bad.sum())} such rows")
        frames.append(pd.DataFrame({column: np.asarray(columns[column]) for column in COLUMNS}))
    truth_frame, entry_frame = frames
    left_out = {}
    west, east, south, north = TRAINING_AREAS[frequency]
    for name, frame in (("truth", truth_frame), ("entry", entry_frame)):
        ra, dec = (frame["ra_core"].to_numpy(float) + 180) % 360 - 180, frame["dec_core"].to_numpy(float)
        # on the border a row is on neither side
        seen = ((ra > west) & (ra < east) & (dec > south) & (dec < north) if training else
                (ra < west) | (ra > east) | (dec < south) | (dec > north))
        left_out[name] = int((~seen).sum())
    if left_out["truth"] == len(truth_frame):
        raise ValueError(f"truth must have sources {'in' if training else 'outside'} the training area of {frequency} "
                         f"MHz for the official score, got none of {len(truth_frame)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = Sdc1Scorer(entry_frame, truth_frame, frequency).run(mode=0 if positions == "core" else 1, train=training,
                                                                  detail=True)
    matched = int(got.n_match)
    terms = {name: float(got.scores_df[name].mean()) if matched else None for name in TERMS}
    return {"score": float(got.value), "score_matched": float(got.score_det), "rows": int(got.n_det),
            "matched": matched, "false": int(got.n_false), "rejected": int(got.n_bad),
            "accuracy": float(got.acc_pc) / 100 if matched else None, "terms": terms, "duplicates": "penalised",
            "positions": positions, "beam": 0.25 * 1400 / frequency, "lacking": [],
            "left_out": left_out["entry"], "truth_left_out": left_out["truth"]}


def score_entry(truth: TruthSet, found: Detections, table: Any = None, *,
                duplicates: str = "penalised") -> dict[str, Any]:
    """Return our score of a catalogue, and the official one beside it.

    Parameters
    ----------
    truth : TruthSet
    found : Detections
    table : `~astropy.table.Table`, optional
        The catalogue itself, where it is an entry to the challenge with all twelve columns.
    duplicates : "penalised" or "shared"
        See `sdc1_score`.

    Returns
    -------
    dict
        ``ours`` and ``official``: scores, or in words why there is no official one. Rows where the truth is silent
        (``area`` of a `TruthSet`) are left out of both.
    """
    from skygal.truth.exports.sdc1 import COLUMNS, in_training_area

    known = truth_columns(truth)
    entry = entry_columns(found) if table is None else {name: np.ma.asarray(table[name])[found.row] for name in COLUMNS}
    if truth.area is not None:
        told = np.asarray(truth.area(found.ra, found.dec), bool)
        entry = {name: values[told] for name, values in entry.items()}
    beam = float(np.sqrt(truth.beam[0] * truth.beam[1]))
    out: dict[str, Any] = {"ours": sdc1_score(known, entry, beam, duplicates=duplicates)}
    megahertz = 0.0 if truth.frequency is None else truth.frequency / 1e6
    band = min((560, 1400, 9200), key=lambda one: abs(one - megahertz))
    if abs(megahertz / band - 1) > 0.01:
        out["official"] = f"none at {megahertz:g} MHz: it knows 560, 1400 and 9200 MHz"
        return out
    training = truth.area is not None and bool(in_training_area(known["ra_core"], known["dec_core"], band).all())
    try:
        out["official"] = official_sdc1_score(known, entry, band, training=training)
    except (ModuleNotFoundError, ValueError) as error:
        out["official"] = f"none: {error}"
    return out
