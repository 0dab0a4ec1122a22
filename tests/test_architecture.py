"""The structure: imports go one way, and the top of the package is a hall with few doors."""

import ast
import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

PACKAGE = Path(__file__).parents[1] / "skygal"


def names():
    """Return the modules of the package by name, and their files."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports():
    """Return which modules each one imports, inside functions too, but not for the type checker alone."""
    modules, graph = names(), {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing = {id(part) for node in ast.walk(tree) if isinstance(node, ast.If)
                  and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" for part in ast.walk(node)}
        found = set()
        for node in ast.walk(tree):
            if id(node) in typing:
                continue
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {part if part in modules else node.module
                          for part in (f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        # a package's own __init__ hands out what is below it when that is asked for
        graph[name] = {other for other in found if other in modules and other != name}
    return graph


def circles(graph):
    """Return the groups of modules of which each one comes to import itself (Tarjan 1972)."""
    order, low, stack, groups = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(group) > 1:
                groups.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return groups


def test_no_circle_of_imports():
    graph = imports()
    assert sum(map(len, graph.values())) > 300
    assert circles(graph) == []


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


@pytest.mark.parametrize(("room", "below"), [
    ("io", {"checks", "io", "wcs"}),
    ("observation", {"checks", "io", "observation", "wcs"}),
    ("rendering", {"checks", "observation", "rendering", "seeds"}),
    ("truth", {"checks", "io", "truth"}),
    ("population", {"checks", "io", "population", "rendering", "seeds", "wcs"}),
    ("morphology", {"checks", "io", "morphology", "observation", "rendering", "seeds"}),
    ("stamps", {"checks", "io", "morphology", "observation", "population", "rendering", "scene", "seeds", "settings",
                "stamps", "truth", "wcs"}),
    ("data", {"checks", "data", "io", "morphology", "observation", "stamps", "wcs"}),
    ("training", {"checks", "data", "io", "morphology", "rendering", "seeds", "stamps", "training"}),
    ("evaluation", {"checks", "data", "evaluation", "io", "morphology", "observation", "rendering", "seeds", "stamps",
                    "training"}),
    ("scene", {"checks", "io", "morphology", "observation", "population", "rendering", "scene", "seeds", "settings",
               "truth", "wcs"}),
    ("exports", {"checks", "exports", "io", "morphology", "observation", "population", "rendering", "scene", "seeds",
                 "settings", "truth", "wcs"}),
])
def test_rooms_stand_on_those_below(room, below):
    graph = imports()
    found = {room_of(other) for name, others in graph.items() if name != "skygal" and room_of(name) == room
             for other in others if other != "skygal"}
    assert found and found <= below


def room_of(module):
    """Return the room of a module; two lie within others."""
    inner = {"skygal.truth.exports": "exports", "skygal.training.data": "data"}
    return next((room for start, room in inner.items() if module.startswith(start)), module.split(".")[1])


def test_the_ground_floor_stands_on_nothing_else():
    graph = imports()
    for module in ("skygal.checks", "skygal.seeds", "skygal.wcs"):
        assert graph[module] <= {"skygal.checks"}


def test_the_hall():
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 23
    assert sum(path.is_file() for path in entries) <= 9


@pytest.fixture(scope="module")
def drawing():
    """Return the script that draws the picture of the rooms."""
    spec = importlib.util.spec_from_file_location("make_architecture", PACKAGE.parent / "docs" / "make_architecture.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_picture_shows_the_present_imports(drawing):
    picture = ElementTree.parse(drawing.PICTURE).getroot()
    (shown,) = (json.loads(part.text) for part in picture.iter("{http://www.w3.org/2000/svg}metadata"))
    present = {}
    for name, others in imports().items():
        if name != "skygal":
            found = present.setdefault(drawing.room_of(name), set())
            found |= {drawing.room_of(other) for other in others if other != "skygal"} - {drawing.room_of(name)}
    assert shown == {room: sorted(others) for room, others in present.items()}, "run python docs/make_architecture.py"
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.draw_svg(drawing.find_imports())
    titles = {part.text for part in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert set(present) <= titles


def test_every_import_follows_from_arrows_that_lead_down(drawing):
    rooms = drawing.find_imports()
    level, drawn = drawing.levels(rooms), drawing.arrows(rooms)
    assert all(level[above] > level[below] for above, below in drawn) and len(drawn) < sum(map(len, rooms.values())) / 2
    arrows = {room: [below for above, below in drawn if above == room] for room in rooms}
    assert all(set(others) <= drawing.reach(arrows, room) for room, others in rooms.items())
    # no two boxes one over the other
    places = [(level[room], drawing.COLUMN.get(room, drawing.MIDDLE)) for room in rooms]
    apart = drawing.WIDTH / drawing.ACROSS
    assert not [(one, other) for k, one in enumerate(places) for other in places[:k]
                if one[0] == other[0] and abs(one[1] - other[1]) < apart]


def test_a_circle_of_rooms_is_not_drawn(drawing):
    with pytest.raises(ValueError, match="must be in no circle, got one of a, b"):
        drawing.levels({"a": ["b"], "b": ["a"], "c": []})


def test_the_page_names_what_is_there():
    root = PACKAGE.parent
    page = root / "docs" / "architecture.rst"
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"``((?:skygal|catalogs|tests)/[\w/.]+)``", text)
    assert len(named) > 30
    assert [name for name in named if not (root / name).exists()] == []
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(re.findall(r"``(\w+)``", text))
