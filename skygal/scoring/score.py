"""A catalogue scored against the truth: one object with all that is known, and how it is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from skygal.checks import check_choice, show
from skygal.scoring import measures
from skygal.scoring.intervals import wilson
from skygal.scoring.matching import DETECTABLE, match
from skygal.scoring.records import Curve, Detections, Matches, TruthSet
from skygal.scoring.sdc import score_entry
from skygal.scoring.truth import read_truth_set

__all__ = ["Score", "compare_scores", "score", "score_detections", "write_scores"]

#: rows of a summary in a notebook, and their words
_LINES = (("completeness", "sources found, of those of at least {snr:g} sigma"),
          ("reliability", "rows that are in a source"),
          ("component_completeness", "components with a row of their own, of those of at least {snr:g} sigma"),
          ("component_reliability", "rows that are a component's own"),
          ("split", "sources in several rows, of those found"),
          ("blended", "rows with several sources in them"))


@dataclass(frozen=True, eq=False)
class Score:
    """How well a catalogue does.

    Attributes
    ----------
    truth : TruthSet
    found : Detections
    matches : Matches
    curves : tuple of Curve
        Completeness and reliability, see `skygal.scoring.measures.make_curves`.
    errors : dict of str to list of dict
        Medians and scatters of matched rows, see `skygal.scoring.measures.component_errors`.
    hosts : dict
        Flux recovered, rows a source, sources a row, see `skygal.scoring.measures.measure_hosts`.
    association : dict or None
        Of the catalogue's own groups, see `skygal.scoring.measures.count_association`.
    classification : dict or None
        Of its own classes, see `skygal.scoring.measures.count_classes`.
    summary : dict
        Counts, and rates with their intervals, each as ``{"hits", "total", "rate", "low", "high"}``.
    sdc, masks : dict or None
        Where they were asked for.
    """

    truth: TruthSet
    found: Detections
    matches: Matches
    curves: tuple[Curve, ...]
    errors: Mapping[str, list[dict]]
    hosts: Mapping[str, Any]
    association: Mapping[str, Any] | None
    classification: Mapping[str, Any] | None
    summary: Mapping[str, Any]
    sdc: Mapping[str, Any] | None = None
    masks: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        rates = ", ".join(f"{name}={_percent(self.summary[name])}" for name in ("completeness", "reliability"))
        return f"Score({self.found.name!r} against {self.truth.name!r}: {rates})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(f"<tr><td>{escape(words)}</td><td>{escape(value)}</td></tr>" for words, value in self.lines())
        return f"<table><caption>{escape(self.found.name)} against {escape(self.truth.name)}</caption>{rows}</table>"

    def lines(self) -> list[tuple[str, str]]:
        """Return what is worth a line each, in words and numbers."""
        summary = self.summary
        out = [("rows", f"{summary['rows']} ({summary['outside']} outside the image)"),
               (f"sources, of at least {DETECTABLE:g} sigma", f"{summary['detectable']} of {summary['sources']}")]
        for name, words in _LINES:
            if summary.get(name) is not None:
                rate = summary[name]
                out.append((words.format(snr=DETECTABLE), f"{_percent(rate)} ({rate['hits']} of {rate['total']})"))
        for title, found in (("flux recovered of a source, median", self.hosts["recovered"]["all"]),):
            if found and found[0]["recovered"] is not None:
                out.append((title, f"{found[0]['recovered']:.3f} (16 to 84 %: {found[0]['recovered_low']:.3f} to "
                                   f"{found[0]['recovered_high']:.3f})"))
        if self.association is not None and self.association["f1"] is not None:
            out.append(("association, F1 of pairs of rows", f"{self.association['f1']:.3f}"))
        if self.sdc is not None:
            ours, official = self.sdc["ours"], self.sdc["official"]
            out.append(("SDC1's score, on the sphere with the field's beam", _points(ours)))
            out.append(("SDC1's score, official", official if isinstance(official, str) else _points(official)))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain lists and words, as they are written to JSON.

        Numbers that are not known are None, and so is the end of a bin that has none.
        """
        curves = [{"rate": curve.rate, "level": curve.level, "against": curve.against, "unit": curve.unit,
                   "selection": curve.selection, "edges": curve.edges, "names": list(curve.names), "hits": curve.hits,
                   "total": curve.total, "low": curve.low, "high": curve.high} for curve in self.curves]
        return _plain({"truth": self.truth.name, "catalogue": self.found.name, "format": self.found.format,
                       "level": self.found.level, "columns": dict(self.found.units),
                       "rows_left_out": dict(self.found.dropped), "beam": list(self.truth.beam),
                       "summary": self.summary, "curves": curves, "errors": self.errors, "sources": self.hosts,
                       "association": self.association, "classification": self.classification, "sdc": self.sdc,
                       "masks": self.masks})

    def write(self, directory: str | os.PathLike, *, overwrite: bool = False, page: bool = True, plots: bool = False,
              progress: bool = False, inputs: Sequence[str | os.PathLike] = ()) -> Path:
        """Write the score into a folder of its own, whole or not at all.

        Parameters
        ----------
        directory : path
            To be made: ``score.json`` (all numbers), ``sources.ecsv`` and ``components.ecsv`` (each row of truth, and
            the rows matched with it or why there is none), ``rows.ecsv`` (each row of the catalogue, and the source and
            component that it is). Tables of more than 100,000 rows are FITS instead: as text they are large and slow.
        overwrite : bool
            Whether to replace a folder written before.
        page : bool
            Whether to write ``index.html`` too: numbers, curves, and cutouts of what was missed, split, merged and made
            up, in one file that opens from disk.
        plots : bool
            Whether to write figures as PNG too, see `skygal.scoring.plots.plot_scores` (needs matplotlib).
        progress : bool
            Whether to show how far the page is.
        inputs : sequence of path
            What was read, which is never replaced.

        Returns
        -------
        `~pathlib.Path`
            The folder.
        """
        return write_scores([self], directory, overwrite=overwrite, page=page, plots=plots, progress=progress,
                            inputs=inputs)

    def write_into(self, folder: Path) -> None:
        """Write numbers and tables into a folder that is there."""
        import json

        from skygal.scoring.tables import component_table, row_table, source_table, write_table

        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        (folder / "score.json").write_text(text + "\n", encoding="utf-8")
        for name, table in (("sources", source_table(self)), ("components", component_table(self)),
                            ("rows", row_table(self))):
            if table is not None:
                write_table(table, folder, name)


def write_scores(scores: Sequence[Score], directory: str | os.PathLike, *, overwrite: bool = False, page: bool = True,
                 plots: bool = False, progress: bool = False, inputs: Sequence[str | os.PathLike] = ()) -> Path:
    """Write scores of several catalogues against one truth into a folder, whole or not at all.

    Parameters
    ----------
    scores : sequence of Score
        Of one, its files lie in the folder itself; of several in a folder each, by their names, and beside these
        ``comparison.json``, see `compare_scores`. Page and figures show all.
    directory, overwrite, page, plots, progress, inputs
        As for `Score.write`.

    Returns
    -------
    `~pathlib.Path`
        The folder.
    """
    import json

    from skygal.io.atomic import whole_directory
    from skygal.scoring.page import write_page

    with whole_directory(directory, overwrite=overwrite, inputs=inputs) as folder:
        for k, one in enumerate(scores, start=1):
            where = folder if len(scores) == 1 else folder / _folder_name(one.found.name, k, scores)
            where.mkdir(exist_ok=True)
            one.write_into(where)
        if len(scores) > 1:
            text = json.dumps(compare_scores(scores), indent=1, allow_nan=False)
            (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
        if page:
            write_page(scores, folder / "index.html", progress=progress)
        if plots:
            from skygal.scoring.plots import plot_scores

            plot_scores(scores, folder)
    return Path(directory)


def _folder_name(name: str, number: int, scores: Sequence[Score]) -> str:
    """Return a catalogue's name without its ending, with a number where there are several such."""
    stems = [Path(one.found.name).stem for one in scores]
    stem = Path(name).stem
    return stem if stems.count(stem) == 1 else f"{number}-{stem}"


def score(truth: Any, catalogue: Any, *, components: Any = None, format: str | None = None,
          columns: Mapping[str, Any] | None = None, level: str | None = None, beam: Any = None,
          name: str | None = None, sdc1: str | None = None) -> Score:
    """Score a source finder's catalogue against the truth.

    Parameters
    ----------
    truth : `skygal.Field`, `~astropy.table.Table` or path
        A field, the folder that one was written into, or its table of sources, see
        `skygal.scoring.read_truth_set`.
    catalogue : `~astropy.table.Table`, path or Detections
        See `skygal.scoring.read_detections`.
    components : `~astropy.table.Table` or path, optional
        The table of components, where ``truth`` is a table.
    format : str, optional
        Of the catalogue; by default found from its columns.
    columns : mapping, optional
        The column that holds a quantity, ``{"flux": "S_int"}``, or with its unit, ``{"flux": ("S_int", "mJy")}``.
    level : "component", "source" or "island", optional
        What a row of the catalogue is, where its format does not say.
    beam : `~astropy.units.Quantity` or `~radio_beam.Beam`, optional
        Of the image, where truth is a table alone.
    name : str, optional
        What the catalogue is called; by default its file's name.
    sdc1 : "penalised" or "shared", optional
        Also give the score of the first SKA Science Data Challenge, and how several rows of one source count in it, see
        `skygal.scoring.sdc1_score`.

    Returns
    -------
    Score

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If truth or catalogue cannot be read, or they are of different fields.

    Notes
    -----
    How rows are matched is said at `skygal.scoring.match`, and what is told at `skygal.scoring.measures`.

    Examples
    --------
    >>> import skygal
    >>> from astropy import units as u
    >>> wcs = skygal.make_wcs("12h30m -20d", 256, 1.8 * u.arcsec)
    >>> field = skygal.simulate_field(wcs, n_sources=12, beam=5.4 * u.arcsec, noise=0.1 * u.mJy, seed=1)
    >>> skygal.score(field, field.components)
    Score('catalogue' against 'truth': completeness=100.0 %, reliability=100.0 %)
    """
    from skygal.scoring.catalogue_files import open_catalogue
    from skygal.scoring.detections import read_detections

    if sdc1 is not None:
        check_choice("sdc1", sdc1, ("penalised", "shared"))
    known = read_truth_set(truth, components=components, beam=beam)
    if isinstance(catalogue, Detections):
        return score_detections(known, catalogue, sdc1=sdc1)
    axes = known.beam[0] * u.arcsec, known.beam[1] * u.arcsec, known.beam[2] * u.deg
    found = read_detections(catalogue, format=format, columns=columns, level=level, wcs=known.wcs, shape=known.shape,
                            beam=axes, image=known.image, name=name)
    table = open_catalogue(catalogue, level).value if sdc1 is not None and found.format == "SDC1" else None
    return score_detections(known, found, sdc1=sdc1, table=table)


def score_detections(truth: TruthSet, found: Detections, *, sdc1: str | None = None, table: Any = None) -> Score:
    """Return the score of a catalogue that has been read, see `score`."""
    matches = match(truth, found)
    _, noise = measures.row_snr(found, truth, matches)
    summary = {**_summarise(truth, found, matches), "noise": noise}
    return Score(truth, found, matches, measures.make_curves(truth, found, matches),
                 measures.component_errors(truth, found, matches), measures.measure_hosts(truth, found, matches),
                 measures.count_association(found, matches), measures.count_classes(truth, found, matches), summary,
                 None if sdc1 is None else score_entry(truth, found, table, duplicates=sdc1))


def _summarise(truth: TruthSet, found: Detections, matches: Matches) -> dict[str, Any]:
    hosts, inside = truth.hosts, ~matches.outside
    can, seen = hosts["snr"] >= DETECTABLE, matches.rows_of_host > 0
    out: dict[str, Any] = {
        "rows": len(found), "outside": int(matches.outside.sum()), "sources": len(truth), "detectable": int(can.sum()),
        "completeness": _rate(seen[can]), "reliability": _rate(matches.host_of_row[inside] >= 0),
        "split": _rate(matches.rows_of_host[can & seen] > 1),
        "blended": _rate(matches.hosts_of_row[inside & (matches.host_of_row >= 0)] > 1)}
    if truth.components is not None:
        strong = measures.component_snr(truth) >= DETECTABLE
        out["component_completeness"] = _rate(matches.row_of_component[strong] >= 0)
        out["component_reliability"] = _rate(matches.component_of_row[inside] >= 0)
    missed, count = np.unique(matches.why_missed[~seen], return_counts=True)
    out["missed"] = {str(why): int(number) for why, number in zip(missed, count, strict=True)}
    return out


def _rate(hit: np.ndarray) -> dict[str, Any]:
    hits, total = int(np.count_nonzero(hit)), len(hit)
    low, high = wilson(hits, total)
    known = total > 0
    return {"hits": hits, "total": total, "rate": hits / total if known else None,
            "low": float(low) if known else None, "high": float(high) if known else None}


def _percent(rate: Mapping[str, Any]) -> str:
    return "none" if rate["rate"] is None else f"{100 * rate['rate']:.1f} %"


def _points(sdc: Mapping[str, Any]) -> str:
    return f"{sdc['score']:.2f} of {sdc['rows']} rows ({sdc['matched']} matched, {sdc['false']} false)"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN and infinity are null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(part) for part in value]
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value


def compare_scores(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Return how each later catalogue differs from the first one, scored against the same truth.

    Parameters
    ----------
    scores : sequence of Score

    Returns
    -------
    list of dict
        For each catalogue after the first: ``first`` and ``other``, their names; ``both``, ``only_first``,
        ``only_other``, ``neither``: how many of the sources of at least 5 sigma each found; ``chance``: how often two
        equally good catalogues would differ as much in what one found and not the other (the exact test of
        McNemar, 1947, doi:10.1007/BF02295996); ``flux_ratio`` and ``flux_ratio_scatter``: of the sum of the rows of
        sources that both found, other over first.

    Raises
    ------
    ValueError
        If the truth is not the same.
    """
    from scipy.stats import binomtest

    if not scores:
        return []
    first = scores[0]
    out = []
    for other in scores[1:]:
        if not np.array_equal(first.truth.hosts["source_id"], other.truth.hosts["source_id"]):
            raise ValueError(f"scores must be against the same truth, got {show(first.truth.name)} and "
                             f"{show(other.truth.name)}")
        can = first.truth.hosts["snr"] >= DETECTABLE
        a, b = (one.matches.rows_of_host > 0 for one in (first, other))
        alone, theirs = int((can & a & ~b).sum()), int((can & b & ~a).sum())
        both = can & a & b
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (_flux_of_hosts(other) / _flux_of_hosts(first))[both]
        middle, scatter = measures.middle(ratio)
        out.append({"first": first.found.name, "other": other.found.name, "both": int(both.sum()),
                    "only_first": alone, "only_other": theirs, "neither": int((can & ~a & ~b).sum()),
                    "chance": float(binomtest(alone, alone + theirs).pvalue) if alone + theirs else 1.0,
                    "flux_ratio": middle, "flux_ratio_scatter": scatter})
    return out


def _flux_of_hosts(one: Score) -> np.ndarray:
    mine = one.matches.host_of_row >= 0
    return np.bincount(one.matches.host_of_row[mine], one.found.flux[mine], len(one.truth))
