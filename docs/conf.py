"""Sphinx configuration: the package's own definitions become tables, so that none is copied by hand."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numpy as np
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

import skygal

project = "skygal"
author = "The skygal developers"
copyright = "The skygal developers"
version = release = skygal.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_parser"]
exclude_patterns = ["_build"]
default_role = "py:obj"
highlight_language = "none"
# bibcodes have dots, and arcsec marks are no quotes
smartquotes = False
html_theme = "furo"
html_title = f"skygal {version}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
templates_path = ["_templates"]

autosummary_generate = True
# optional, and needed for nothing but skygal.galsim
autodoc_mock_imports = ["galsim"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


def _cell(text: str) -> str:
    """Return text that reStructuredText takes as it is."""
    return "".join(f"\\{c}" if c in "\\*`_|" else c for c in " ".join(str(text).split()))


def _list_table(header: list[str], rows: list[list[str]], widths: str = "auto") -> str:
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [header, *rows]:
        for k, cell in enumerate(row):
            lines.append(f"   {'*' if k == 0 else ' '} - {cell}")
    return "\n".join(lines)


def _schema_text(name: str) -> str:
    from skygal.truth import schema

    return _list_table(["column", "type", "unit", "description"],
                       [[f"``{c.name}``", c.dtype.__name__, _cell(c.unit).replace(" ", "\N{NO-BREAK SPACE}"),
                         _cell(c.description)] for c in getattr(schema, name)], "16 8 12 64")


def _completeness_text(completeness) -> str:
    if completeness is None:
        return ""
    return f"{completeness.flux:g}" + (f", {100 * completeness.share:g} %" if completeness.share else "")


def _surveys_text(_: str) -> str:
    rows, notes = [], []
    for name in skygal.list_surveys():
        survey = skygal.read_survey(name)
        beam = survey.beam
        axes = f"{beam.major.to_value('arcsec'):g}"
        if beam.minor != beam.major:
            axes += f" x {beam.minor.to_value('arcsec'):g}, {beam.pa.to_value('deg'):g} deg"
        if survey.stretch is not None:
            axes += f", longer {survey.stretch.towards} of {survey.stretch.start:g} deg"
        area = "" if survey.area is None else f"{survey.area.to_value('deg2'):g}"
        rows.append([f"``{name}``", _cell(survey.description), f"{survey.frequency:g}", axes,
                     f"{survey.pixel_scale.to_value('arcsec'):g}", f"{survey.noise.to_value('uJy / beam'):g}", area,
                     _completeness_text(survey.completeness)])
        by_text: dict[str, list[str]] = {}
        for key in ("frequency", "beam", "pixel_scale", "noise", "area", "completeness"):
            if key in ("area", "completeness") and getattr(survey, key) is None:
                continue
            text = ". ".join(t[key].rstrip(".") for t in (survey.references, survey.notes) if key in t)
            by_text.setdefault(text or "no source given", []).append(key.replace("_", " "))
        notes.append(f"``{name}``\n" + "\n".join(f"   - {', '.join(keys)}: {_cell(text)}."
                                                 for text, keys in by_text.items()))
    table = _list_table(["name", "survey", "frequency", "beam (arcsec)", "pixel (arcsec)", "noise (uJy/beam)",
                         "area (deg2)", "complete from"], rows, "14 28 10 12 9 9 9 9")
    return table + "\n\nWhere each number is from:\n\n" + "\n".join(notes)


def _sky_text(name: str) -> str:
    """Return the numbers of a sky's file with their sources; of any but the default, those that differ from it."""
    from importlib.resources import files

    from skygal.io.config import parse_yaml
    from skygal.population import Sky

    def parts(which: str) -> dict[str, list[str]]:
        sky = Sky.read(which)
        data = parse_yaml(files("skygal.catalogs").joinpath("skies", f"{which}.yaml").read_text(encoding="utf-8"))
        rows = {}
        for path in sorted({*sky.references, *sky.notes}):
            value = data
            for key in path.split("."):
                value = value[key]
            said = [_cell(texts.get(path, "")) for texts in (sky.references, sky.notes)]
            rows[path] = [_cell(_sky_values(value)), *said]
        return rows

    usual = parts("default")
    rows = [[_cell(path), *row] for path, row in parts(name).items() if name == "default" or row != usual.get(path)]
    return _list_table(["what", "values", "source", "note"], rows, "16 30 24 30")


def _sky_values(value) -> str:
    """Return the values of one part of a sky's file in words, without what is said of them or has a row of its own."""
    if isinstance(value, dict):
        own = {key: item for key, item in value.items() if not str(key).endswith(("reference", "note"))}
        return "; ".join(f"{key} {_sky_values(item)}" for key, item in own.items() if key != "sizes")
    if isinstance(value, list):
        return ", ".join(f"({_sky_values(item)})" if isinstance(item, dict) else str(item) for item in value)
    return str(value)


def _command_text(name: str) -> str:
    from skygal.cli.main import cli

    command = cli.commands[name]
    rows = []
    for option in command.params:
        if option.param_type_name == "argument":
            continue
        names = ", ".join(f"``{text}``" for text in (*option.opts, *option.secondary_opts))
        needed = " Required." if option.required else ""
        default = option.default
        # unset defaults are a marker, and flags say theirs by their name
        known = isinstance(default, (int, float, str)) and not isinstance(default, bool)
        rows.append([names, _cell(option.help or "") + needed + (f" Default: ``{default}``." if known else "")])
    argument = " ".join(p.human_readable_name.upper() + (" ..." if p.nargs == -1 else "") for p in command.params
                        if p.param_type_name == "argument")
    text = f"``skygal {name} [OPTIONS]{' ' + argument if argument else ''}``\n\n"
    text += "\n\n".join(_cell(part) for part in (command.help or "").split("\n\n")) + "\n\n"
    return text + _list_table(["option", "what it is"], rows, "30 70")


def _settings_text(_: str) -> str:
    from skygal.cli.shared import TRAINING
    from skygal.training.settings import TrainSettings

    settings = TrainSettings().to_dict()
    return _list_table(["setting", "default", "what it is"],
                       [[f"``{key}``", f"``{settings[key]}``", _cell(text)] for key, text in TRAINING.items()],
                       "22 22 56")


def _model_text(_: str) -> str:
    rows = []
    for name in skygal.list_models():
        model = skygal.load_model(name)
        extent = "; ".join(f"{key} {v[0]:.1f}, {v[len(v) // 2]:.1f}, {v[-1]:.1f}"
                           for key, v in ((name, table.extent) for name, table in model.tables.items()))
        bending = "; ".join(f"{key} {np.degrees(np.median(table.bending)):.0f}" for key, table in model.tables.items())
        rows.append([f"``{name}``", f"{model.shape[1]} x {model.shape[0]} pixels of {model.pixel_scale:g}\"",
                     f"{model.beam_fwhm:g}\"", str(model.latent_dim), extent, bending])
    cards = " ".join(f":doc:`models/{name}`" for name in skygal.list_models())
    return _list_table(["model", "stamp", "beam", "latents", "extent: least, median, greatest (arcsec)",
                        "median bending (deg)"], rows) + f"\n\nData, training, figures and limits: {cards}."


def _modules_text(_: str) -> str:
    """Return every module by its room, with what it says of itself, as a place that other pages can refer to."""
    documented = set("\n".join(path.read_text() for path in Path(__file__).parent.glob("modules/*.rst")).split())
    rooms: dict[str, list[str]] = {}
    package = Path(skygal.__file__).parent
    for path in sorted(package.rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        parts = path.relative_to(package).with_suffix("").parts
        if path.name in ("__init__.py", "__main__.py") or not text:
            continue
        name = ".".join(("skygal", *parts))
        place = f"`{name}`" if name in documented else f".. py:module:: {name}\n\n       ``{name}``"
        rooms.setdefault(parts[0] if len(parts) > 1 else "skygal", []).append(
            f"   * - {place}\n     - {text.split(chr(10) * 2)[0].replace(chr(10), ' ')}")
    rooms = {"skygal": rooms.pop("skygal"), **rooms}
    return "\n\n".join(f".. rubric:: {room}\n\n.. list-table::\n   :widths: 40 60\n\n" + "\n".join(rows)
                       for room, rows in rooms.items())


def _copy_cards(app) -> None:
    """Make pages of the cards that lie beside the models."""
    from skygal.morphology.checkpoint import WEIGHTS

    pages = Path(app.srcdir) / "models"
    pages.mkdir(exist_ok=True)
    for path in (*WEIGHTS.glob("*.md"), *WEIGHTS.glob("*.png")):
        shutil.copyfile(path, pages / path.name)


class _FromPackage(Directive):
    """A directive whose content is made from the package."""

    required_arguments, optional_arguments = 0, 1
    make = staticmethod(lambda name: "")

    def run(self):
        """Return the parsed nodes."""
        return _parse(self, type(self).make(self.arguments[0] if self.arguments else ""))


def _parse(directive: Directive, text: str):
    from docutils import nodes

    node = nodes.Element()
    source = directive.state_machine.get_source_and_line(directive.lineno)[0]
    directive.state.nested_parse(StringList(text.splitlines(), source), directive.content_offset, node)
    return node.children


def setup(app) -> None:
    """Register the directives, and what is done before pages are read."""
    app.connect("builder-inited", _copy_cards)
    for name, make in (("schema", _schema_text), ("surveys", _surveys_text), ("sky", _sky_text),
                       ("command", _command_text), ("train-settings", _settings_text), ("models", _model_text),
                       ("modules", _modules_text)):
        app.add_directive(name, type(f"_{name}", (_FromPackage,), {"make": staticmethod(make)}))
