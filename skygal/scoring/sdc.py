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
        west. In an entry NaN stands for what is not known, and scores nothing.
    beam : float
        FWHM of the image's beam, arcsec.
    positions : "core" or "centroid"
        Which of the two is matched.
    duplicates : "penalised" or "shared"
        Of several rows at one source the best counts and the others are false, as in the first challenge; or all count,
        each with its score over their number, as in the second.

    Returns
    -------
    dict
        ``score``, ``score_matched`` (without what false rows cost), ``rows``, ``matched``, ``false``, ``rejected``
        (pairs near enough, but too unlike), ``accuracy`` (mean score of a match), and ``terms``, the mean of each.

    Raises
    ------
    ValueError
        If a size or flux of truth is not positive, or an option is unknown.

    Notes
    -----
    Other than in the official scorer separations are spherical, the beam is the image's, and angles are compared modulo
    180 degrees; there, they are folded at 45. Of sources whose size is a LAS minor axis and angle have full marks.
    """
    check_choice("positions", positions, ("core", "centroid"))
    check_choice("duplicates", duplicates, ("penalised", "shared"))
    for name in ("flux", "b_maj", "b_min"):
        bad = ~(np.asarray(truth[name], float) > 0)
        if bad.any():
            raise ValueError(f"truth must have {name} above 0, got {show(float(np.asarray(truth[name])[bad][0]))}")
    where = "core" if positions == "core" else "cent"
    row, source, error = _candidates(truth, entry, beam, where, duplicates)
    n, near = len(entry["flux"]), len(row)
    # the best source of each row; of equal ones the brighter
    order = np.lexsort((-truth["flux"][source], error, row))
    row, source, error = row[order], source[order], error[order]
    first = np.r_[True, row[1:] != row[:-1]] if near else np.zeros(0, bool)
    row, source, error = row[first], source[first], error[first]
    if duplicates == "penalised":
        # and the best row of each source; of equal ones the brighter, then the more northern
        order = np.lexsort((-entry[f"dec_{where}"][row], -entry["flux"][row], error, source))
        row, source, error = row[order], source[order], error[order]
        first = np.r_[True, source[1:] != source[:-1]] if len(source) else first[:0]
        row, source, error = row[first], source[first], error[first]
    good = error < _ACCEPTED
    rejected = int((~good).sum())
    row, source = row[good], source[good]
    terms = _terms(truth, entry, row, source, beam)
    share = np.bincount(source, minlength=len(truth["flux"]))[source]
    each = sum(terms[name] for name in TERMS) / len(TERMS) / share
    matched, total = len(row), float(each.sum())
    return {"score": total - (n - matched), "score_matched": total, "rows": n, "matched": matched,
            "false": n - matched, "rejected": rejected, "accuracy": total / matched if matched else None,
            "terms": {name: float(terms[name].mean()) if matched else None for name in TERMS},
            "duplicates": duplicates, "positions": positions, "beam": float(beam)}


def _width(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return sizes in FWHM."""
    factor = np.array([_IN_FWHM.get(kind, np.nan) for kind in np.asarray(columns["size"]).astype(int).tolist()])
    return np.asarray(columns[name], float) * factor


def _convolved(columns: Mapping[str, np.ndarray], beam: float) -> np.ndarray:
    largest = np.fmax(_width(columns, "b_maj"), _width(columns, "b_min"))
    return np.hypot(np.nan_to_num(largest), beam)


def _candidates(truth: Mapping[str, np.ndarray], entry: Mapping[str, np.ndarray], beam: float, where: str,
                duplicates: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of rows and sources near each other, and how unlike they are."""
    known = np.flatnonzero(np.isfinite(entry[f"ra_{where}"]) & np.isfinite(entry[f"dec_{where}"]))
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    if not known.size or not len(truth["flux"]):
        return nothing
    at = unit_vectors(truth[f"ra_{where}"], truth[f"dec_{where}"])
    here = unit_vectors(entry[f"ra_{where}"][known], entry[f"dec_{where}"][known])
    true_size, size = _convolved(truth, beam), _convolved(entry, beam)[known]
    # in the second challenge it is the true size that decides
    own = duplicates == "penalised"
    reach = 2 * np.sin(np.minimum((size if own else true_size) * _ARCSEC, np.pi) / 2)
    tree, asked = (cKDTree(at), here) if own else (cKDTree(here), at)
    near = tree.query_ball_point(asked, reach, return_sorted=False)
    count = np.fromiter(map(len, near), np.int64, len(near))
    if not count.sum():
        return nothing
    other = np.concatenate([np.asarray(one, np.int64) for one in near if one])
    mine = np.repeat(np.arange(len(near)), count)
    place, source = (mine, other) if own else (other, mine)
    away = 2 * np.arcsin(np.minimum(np.linalg.norm(here[place] - at[source], axis=1) / 2, 1)) / _ARCSEC
    row = known[place]
    scale = true_size[source]
    mean = (_width(entry, "b_maj") + _width(entry, "b_min")) / 2
    true_mean = (_width(truth, "b_maj") + _width(truth, "b_min")) / 2
    parts = (away / scale, np.abs(entry["flux"][row] - truth["flux"][source]) / truth["flux"][source],
             np.abs(np.nan_to_num(mean[row]) - true_mean[source]) / scale)
    error = np.sqrt(sum((part / norm)**2 for part, norm in zip(parts, _NORMS, strict=True)))
    return row, source, np.where(np.isfinite(error), error, np.inf)


def _terms(truth: Mapping[str, np.ndarray], entry: Mapping[str, np.ndarray], row: np.ndarray, source: np.ndarray,
           beam: float) -> dict[str, np.ndarray]:
    """Return the seven terms, 0 to 1, of each match."""
    t = {name: np.asarray(values)[source] for name, values in truth.items()}
    e = {name: np.asarray(values)[row] for name, values in entry.items()}
    size = (t["b_maj"] + t["b_min"]) / 2
    away = np.minimum(*(_separation(e, t, where) for where in ("core", "cent")))
    is_las = t["size"] == LAS
    kinds = np.array([_IN_FWHM[int(kind)] for kind in t["size"]]) if len(source) else np.ones(0)
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
        As of `sdc1_score`; ``left_out`` counts rows of either table that the program does not look at: in the training
        area, or outside it.

    Raises
    ------
    ModuleNotFoundError
        If ska-sdc is not installed.
    ValueError
        If the frequency is another, or a value would be dropped or end as NaN in silence: not finite, negative, a size
        of 0.
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
    from skygal.truth.exports.sdc1 import COLUMNS

    frames = []
    for name, columns in (("truth", truth), ("entry", entry)):
        for column in COLUMNS[1:]:
            values = np.asarray(columns[column], float)
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = Sdc1Scorer(entry_frame, truth_frame, frequency).run(mode=0 if positions == "core" else 1, train=training,
                                                                  detail=True)
    matched = int(got.n_match)
    terms = {name: float(got.scores_df[name].mean()) if matched else None for name in TERMS}
    return {"score": float(got.value), "score_matched": float(got.score_det), "rows": int(got.n_det),
            "matched": matched, "false": int(got.n_false), "rejected": int(got.n_bad),
            "accuracy": float(got.acc_pc) / 100 if matched else None, "terms": terms, "duplicates": "penalised",
            "positions": positions, "beam": 0.25 * 1400 / frequency, "left_out": len(entry["flux"]) - int(got.n_det)}


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
        ``ours`` and ``official``: scores, or in words why there is no official one.
    """
    from skygal.truth.exports.sdc1 import COLUMNS

    known = truth_columns(truth)
    entry = entry_columns(found) if table is None else {name: np.asarray(table[name])[found.row] for name in COLUMNS}
    beam = float(np.sqrt(truth.beam[0] * truth.beam[1]))
    out: dict[str, Any] = {"ours": sdc1_score(known, entry, beam, duplicates=duplicates)}
    megahertz = 0.0 if truth.frequency is None else truth.frequency / 1e6
    band = min((560, 1400, 9200), key=lambda one: abs(one - megahertz))
    if abs(megahertz / band - 1) > 0.01:
        out["official"] = f"none at {megahertz:g} MHz: it knows 560, 1400 and 9200 MHz"
        return out
    try:
        out["official"] = official_sdc1_score(known, entry, band)
    except (ModuleNotFoundError, ValueError) as error:
        out["official"] = f"none: {error}"
    return out
