"""One page of a score, or of several: numbers, curves, tables, a gallery of cutouts. It needs nothing but itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skygal.io.atomic import whole_file
from skygal.scoring.charts import WORDS, draw_curves, draw_key, draw_medians
from skygal.scoring.cutouts import KINDS, choose_cutouts, make_cutouts

if TYPE_CHECKING:
    from skygal.scoring.score import Score

__all__ = ["make_page", "write_page"]

#: curves that are shown, in this order
_CURVES = (("completeness", "host", "snr"), ("reliability", "host", "snr"), ("completeness", "host", "flux"),
           ("reliability", "host", "flux"), ("completeness", "host", "las"), ("completeness", "host", "fr_class"),
           ("completeness", "host", "population"), ("completeness", "host", "morphology"),
           ("completeness", "host", "bending"), ("completeness", "host", "neighbour"),
           ("completeness", "component", "snr"), ("reliability", "component", "snr"),
           ("completeness", "component", "kind"))
_LEVELS = {"host": "sources", "component": "components"}
#: what is shown of errors: quantity, words, what is right
_ERRORS = (("flux", "flux, row / truth", 1.0), ("b_maj", "major axis with the beam, row / truth", 1.0),
           ("ra", "east offset (arcsec)", 0.0), ("dec", "north offset (arcsec)", 0.0))
#: columns of the tables of errors
_MEASURED = (("ra", "east (arcsec)"), ("dec", "north (arcsec)"), ("flux", "flux"), ("peak", "peak"),
             ("b_maj", "major axis"), ("b_min", "minor axis"), ("pa", "angle (deg)"))


def write_page(scores: Sequence[Score], path: str | os.PathLike, *, most: int = 2000, overwrite: bool = False,
               progress: bool = False) -> Path:
    """Write one HTML file that shows scores of catalogues against one truth.

    Parameters
    ----------
    scores : sequence of Score
    path : path
    most : int
        Cutouts in all.
    overwrite : bool
        Whether to replace a file that is there.
    progress : bool
        Whether to show how far it is.

    Returns
    -------
    `~pathlib.Path`

    Raises
    ------
    ValueError
        If there is no score.
    """
    text = make_page(scores, most=most, progress=progress)
    with whole_file(path, overwrite=overwrite) as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)


def make_page(scores: Sequence[Score], *, most: int = 2000, progress: bool = False) -> str:
    """Return the page, see `write_page`."""
    if not scores:
        raise ValueError("scores must be at least one, got none")
    here = files("skygal.scoring")
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    names = [score.found.name for score in scores]
    title = f"{', '.join(names)} against {scores[0].truth.name}"
    items = _gallery(scores, most, progress)
    legend = "".join(f"<li>{draw_key(k)}{escape(name)}</li>" for k, name in enumerate(names)) if len(names) > 1 else ""
    parts = [f"<h1>{escape(title)}</h1>", f'<ul class="legend">{legend}</ul>' if legend else "", _numbers(scores),
             "<h2>How much is found, and how much is right</h2>", _curve_section(scores),
             "<h2>How well it is measured</h2>", _error_section(scores), _tables(scores)]
    if items:
        parts.append(_gallery_section(scores, items))
    data = json.dumps({"names": names, "items": items}, allow_nan=False, separators=(",", ":"))
    # nothing in it can end the element that it stands in
    data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{escape(title)}</title><style>{style}</style></head>'
            f'<body><main>{"".join(parts)}</main><script type="application/json" id="data">{data}</script>'
            f"<script>{script}</script></body></html>\n")


def _numbers(scores: Sequence[Score]) -> str:
    """Return the table of what is worth a line each."""
    lines = [dict(score.lines()) for score in scores]
    words = list(dict.fromkeys(word for one in lines for word in one))
    head = "".join(f'<th scope="col">{escape(score.found.name)}</th>' for score in scores)
    body = "".join(f'<tr><th scope="row">{escape(word)}</th>'
                   + "".join(f"<td>{escape(one.get(word, ''))}</td>" for one in lines) + "</tr>" for word in words)
    read = "".join(f"<p>{escape(score.found.name)} is read as {escape(score.found.format)}: "
                   + escape(", ".join(f"{name} = {column}" for name, column in score.found.units.items())) + "</p>"
                   for score in scores)
    return (f'<div class="scroll"><table class="numbers"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody>'
            f'</table></div><details><summary>Columns that were read</summary>{read}</details>')


def _curve_section(scores: Sequence[Score]) -> str:
    out = []
    for rate, level, against in _CURVES:
        curves = [(score.found.name, curve) for score in scores for curve in score.curves
                  if (curve.rate, curve.level, curve.against) == (rate, level, against) and curve.total.sum()]
        if not curves:
            continue
        title = f"{rate.capitalize()} of {_LEVELS[level] if rate == 'completeness' else 'rows'}"
        title += f", {_LEVELS[level]}" if rate == "reliability" else ""
        note = curves[0][1].selection
        out.append(f"<figure><figcaption>{escape(title)}{escape(f' ({note})' if note else '')}</figcaption>"
                   f"{draw_curves(curves, f'{title} against {WORDS[against]}')}</figure>")
    return f'<div class="charts">{"".join(out)}</div>'


def _error_section(scores: Sequence[Score]) -> str:
    out = []
    for quantity, words, right in _ERRORS:
        series = [(score.found.name, [(row["bin"], row[quantity], row[f"{quantity}_scatter"] or 0.0, row["n"])
                                      for row in score.errors.get("snr", ()) if row.get(quantity) is not None])
                  for score in scores]
        series = [(name, rows) for name, rows in series if rows]
        if series:
            out.append(f"<figure><figcaption>{escape(words)}: median and scatter</figcaption>"
                       + draw_medians(series, words, "true signal-to-noise ratio, from", right, words) + "</figure>")
    return f'<div class="charts">{"".join(out)}</div>'


def _tables(scores: Sequence[Score]) -> str:
    out = []
    for score in scores:
        for group, words in (("snr", "signal-to-noise ratio"), ("fr_class", "class"), ("population", "population")):
            rows = score.hosts["recovered"].get(group, ())
            if not rows:
                continue
            body = "".join(
                f'<tr><th scope="row">{escape(row["bin"])}</th><td>{row["n"]}</td><td>{_shown(row["recovered"])}</td>'
                f'<td>{_shown(row["recovered_low"])} to {_shown(row["recovered_high"])}</td><td>{_shown(row["rows"])}'
                f'</td><td>{100 * row["split"]:.1f} %</td></tr>' for row in rows)
            out.append(f'<div class="scroll"><table><caption>{escape(score.found.name)}: sources by {words}</caption>'
                       '<thead><tr><td></td><th scope="col">found</th><th scope="col">flux recovered</th>'
                       '<th scope="col">16 to 84 %</th><th scope="col">rows each</th><th scope="col">split</th></tr>'
                       f"</thead><tbody>{body}</tbody></table></div>")
        if score.classification is not None:
            head = "".join(f'<th scope="col">{escape(name)}</th>' for name in score.classification["catalogue"])
            body = "".join(f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{n}</td>" for n in counts)}</tr>'
                           for name, counts in zip(score.classification["truth"], score.classification["counts"],
                                                   strict=True))
            out.append(f'<div class="scroll"><table><caption>{escape(score.found.name)}: true class by class given'
                       f"</caption><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>")
    errors = [_error_table(rows, f"{score.found.name}: rows beside their components, by {words}") for score in scores
              for group, words in (("snr", "signal-to-noise ratio"), ("fr_class", "class"), ("kind", "kind"))
              if (rows := score.errors.get(group))]
    if errors:
        out += ['<p class="wide">Of positions and angles row less truth, of fluxes and axes row over truth: the '
                "median, and in brackets the scatter, 1.4826 times the median of the absolute deviations.</p>", *errors]
    return f'<div class="tables">{"".join(out)}</div>'


def _error_table(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """Return a table of medians and scatters of the quantities that are known."""
    known = [(name, words) for name, words in _MEASURED if any(row.get(name) is not None for row in rows)]
    head = "".join(f'<th scope="col">{escape(words)}</th>' for _, words in known)
    body = "".join(
        f'<tr><th scope="row">{escape(row["bin"])}</th><td>{row["n"]}</td>'
        + "".join("<td></td>" if row.get(name) is None else
                  f'<td>{row[name]:.3f} ({_shown(row[f"{name}_scatter"])})</td>' for name, _ in known) + "</tr>"
        for row in rows)
    return (f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr><td></td><th scope="col">rows'
            f"</th>{head}</tr></thead><tbody>{body}</tbody></table></div>")


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _gallery(scores: Sequence[Score], most: int, progress: bool) -> list[dict[str, Any]]:
    from tqdm.auto import tqdm

    chosen = [(k, one) for k, score in enumerate(scores) for one in [choose_cutouts(score, most // len(scores))]]
    total = sum(len(one) for _, one in chosen)
    items = []
    with tqdm(total=total, desc="cutouts", unit=" cutouts", disable=not progress, delay=2) as bar:
        for k, one in chosen:
            for item in make_cutouts(scores[k], one):
                items.append({**item, "catalogue": k})
                bar.update()
    return items


def _gallery_section(scores: Sequence[Score], items: Sequence[dict[str, Any]]) -> str:
    counts = {kind: sum(item["kind"] == kind for item in items) for kind in KINDS}
    kinds = "".join(f'<label><input type="checkbox" name="kind" value="{kind}"{" checked" if kind != "found" else ""}> '
                    f"{kind} ({counts[kind]})</label>" for kind in KINDS if counts[kind])
    classes = sorted({item["class"] or "none" for item in items})
    populations = sorted({item["population"] or "unknown" for item in items})
    catalogues = "".join(f'<option value="{k}">{escape(score.found.name)}</option>' for k, score in enumerate(scores))

    def choice(name: str, words: str, options: str) -> str:
        return f'<label>{words} <select name="{name}"><option value="">all</option>{options}</select></label>'

    def span(name: str, words: str) -> str:
        return (f'<label>{words} from <input type="number" name="{name}-low" min="0" step="any"></label>'
                f'<label>to <input type="number" name="{name}-high" min="0" step="any"></label>')

    def plain(values: Sequence[str]) -> str:
        return "".join(f"<option>{escape(value)}</option>" for value in values)

    return ("<h2>Cutouts</h2><p>Each as it lies in the image, rows upwards; grey by the inverse hyperbolic sine, from "
            "-2 sigma to the brightest pixel; hatched where it is blank. Blue is the truth: outline, size and parts of "
            "the source, and dashed the sizes of others. Rows are orange if they are this source's, violet if "
            "another's, and red if false. A click enlarges.</p><form id=\"choose\">"
            f"<fieldset><legend>Kinds</legend>{kinds}</fieldset><fieldset><legend>Which</legend>"
            + (choice("catalogue", "catalogue", catalogues) if len(scores) > 1 else "")
            + choice("class", "class", plain(classes)) + choice("population", "population", plain(populations))
            + span("flux", "flux (mJy)") + span("snr", "SNR") + span("las", "LAS (arcsec)")
            + '</fieldset><fieldset><legend>Order</legend><label>by <select name="sort">'
              '<option value="snr">SNR</option><option value="flux">flux</option><option value="las">LAS</option>'
              '<option value="class">class</option>'
              '<option value="kind">kind</option></select></label><label><input type="checkbox" name="up"> '
              "faintest first</label></fieldset><fieldset><legend>Drawn</legend>"
              '<label><input type="checkbox" name="truth" checked> <span class="key truth"></span>truth</label>'
              '<label><input type="checkbox" name="rows" checked> <span class="key rows"></span>catalogue</label>'
              '<label><input type="checkbox" name="model"> model in place of the image</label></fieldset></form>'
              '<p id="count" role="status"></p><div id="gallery"></div><div id="more"></div>'
              '<dialog id="large"><form method="dialog"><button aria-label="close">close</button></form>'
              "<div></div></dialog>")
