"""Draw the rooms of the package and what they import from one another, from its source: docs/_static/rooms.svg.

    python docs/make_architecture.py

The same imports give the same bytes. The picture holds all that it was drawn from, as JSON in its metadata, so that a
test can tell when it is out of date.
"""

from __future__ import annotations

import ast
import json
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "skygal"
PICTURE = ROOT / "docs" / "_static" / "rooms.svg"

#: modules at the top of the package that are drawn in one box; another one gets a box of its own
HALLS = {"the verbs": ("simulate", "injection", "field"), "ground floor": ("wcs", "checks", "seeds")}
#: rooms within others
INNER = {"skygal.truth.exports": "exports", "skygal.training.data": "data"}
#: where a room stands from left to right, in boxes; those that are not named stand in the middle
COLUMN = {"settings": 0.0, "population": 1.0, "morphology": 2.2, "truth": 3.2, "scene": 0.6, "exports": 0.6,
          "the verbs": 0.6, "stamps": 2.6, "data": 2.6, "training": 2.6, "evaluation": 2.6, "bastien2021": 2.6,
          "scoring": 3.8}
#: a few words on each
WORDS = {"settings": "what may be asked for", "io": "files in and out", "observation": "how the sky is seen",
         "truth": "what tables hold", "exports": "for other programs",
         "rendering": "sources onto pixels", "population": "which sources there are",
         "morphology": "the model and its stamps", "scene": "layers over a ground", "stamps": "for machine learning",
         "data": "real stamps", "training": "of the default model", "evaluation": "how real stamps are",
         "bastien2021": "the paper again",
         "scoring": "how well finders do", "cli": "the command line", "galsim": "a plug-in of GalSim"}
WIDTH, HEIGHT, ACROSS, DOWN, EDGE = 178, 46, 192, 82, 14
MIDDLE = 1.6


def room_of(module: str) -> str:
    """Return the box of a module ``skygal.room.name``."""
    name = next((room for start, room in INNER.items() if module.startswith(start)), module.split(".")[1])
    return next((hall for hall, names in HALLS.items() if name in names), name)


def find_imports() -> dict[str, list[str]]:
    """Return the rooms, and from which other ones each imports, inside functions too, but not for type checking."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    # the package's own __init__ hands out the verbs
    del modules["skygal"]
    rooms: dict[str, set[str]] = {room_of(module): set() for module in modules}
    for module, path in modules.items():
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            if name.startswith("skygal.") and room_of(name) in rooms:
                rooms[room_of(module)].add(room_of(name))
    return {room: sorted(others - {room}) for room, others in sorted(rooms.items())}


def _imported(node: ast.AST) -> list[str]:
    """Return the names of all that is imported below a node of the syntax tree."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return [name for part in node.orelse for name in _imported(part)]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [name for part in ast.iter_child_nodes(node) for name in _imported(part)]


def reach(imports: dict[str, list[str]], room: str) -> set[str]:
    """Return all rooms that a room comes to by imports, one after another."""
    found: set[str] = set()
    ahead = list(imports[room])
    while ahead:
        if (other := ahead.pop()) not in found:
            found.add(other)
            ahead += imports[other]
    return found


def arrows(imports: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return the imports that do not follow from others: those that are drawn (transitive reduction)."""
    return [(room, other) for room, others in imports.items() for other in others
            if not any(other in reach(imports, between) for between in others if between != other)]


def levels(imports: dict[str, list[str]]) -> dict[str, int]:
    """Return how high each room stands: above all that it imports from, and near those that it has most to do with.

    Raises
    ------
    ValueError
        If rooms import from each other in a circle.
    """
    level: dict[str, int] = {}
    while len(level) < len(imports):
        ready = [room for room in imports if room not in level and level.keys() >= set(imports[room])]
        if not ready:
            raise ValueError(f"imports must be in no circle, got one of {', '.join(sorted(set(imports) - set(level)))}")
        level.update({room: 1 + max((level[other] for other in imports[room]), default=-1) for room in ready})
    drawn = arrows(imports)
    for room in sorted(imports, key=lambda room: -level[room]):
        above, below = [a for a, b in drawn if b == room], [b for a, b in drawn if a == room]
        if above and len(above) >= len(below) and room not in HALLS:
            level[room] = min(level[other] for other in above) - 1
    return level


def draw_svg(imports: dict[str, list[str]]) -> str:
    """Return the picture."""
    level = levels(imports)
    top = max(level.values())
    left, upper = EDGE + WIDTH / 2, EDGE + HEIGHT / 2
    place = {room: (left + ACROSS * COLUMN.get(room, MIDDLE), upper + DOWN * (top - level[room])) for room in imports}
    width = max(x for x, _ in place.values()) + WIDTH / 2 + EDGE
    height = 2 * EDGE + HEIGHT + DOWN * top
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
           f'height="{height:g}" font-family="Helvetica, Arial, sans-serif" text-anchor="middle">',
           f"<metadata>{escape(json.dumps(imports, sort_keys=True), quote=False)}</metadata>",
           '<defs><marker id="head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
           'orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" fill="#5b6673"/></marker></defs>',
           f'<rect width="{width:g}" height="{height:g}" rx="6" fill="#ffffff"/>']
    for room, other in arrows(imports):
        (x0, y0), (x1, y1) = place[room], place[other]
        # arrows part from, and come together at, a box side by side
        x0, x1 = x0 + _aside(x1 - x0), x1 + _aside(x0 - x1)
        y0, y1 = y0 + HEIGHT / 2, y1 - HEIGHT / 2
        # down first, and to the side in the last gap, where no boxes are
        y2 = y1 - (DOWN - HEIGHT)
        y3 = (y1 + y2) / 2
        out.append(f'<path d="M{x0:.1f},{y0:.1f} V{y2:.1f} C{x0:.1f},{y3:.1f} {x1:.1f},{y3:.1f} {x1:.1f},{y1:.1f}" '
                   'fill="none" stroke="#5b6673" stroke-width="1.5" marker-end="url(#head)"/>')
    for room, (x, y) in sorted(place.items()):
        words = ", ".join(HALLS[room]) if room in HALLS else WORDS.get(room, "")
        fill = {"the verbs": "#fde8c8", "cli": "#fde8c8", "ground floor": "#e6e6e6"}.get(room, "#dbeafa")
        out.append(f'<rect x="{x - WIDTH / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
                   f'fill="{fill}" stroke="#5b6673"/>'
                   f'<text x="{x:.1f}" y="{y - 3:.1f}" font-size="15" font-weight="bold" fill="#16202b">{room}</text>'
                   f'<text x="{x:.1f}" y="{y + 15:.1f}" font-size="12" fill="#16202b">{escape(words)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _aside(way: float) -> float:
    """Return by how much an arrow that goes so far to the right parts from the middle of its box."""
    return max(-0.36, min(0.36, way / ACROSS / 4)) * WIDTH


if __name__ == "__main__":
    PICTURE.write_text(draw_svg(find_imports()), encoding="utf-8", newline="\n")
    print(f"{PICTURE.relative_to(ROOT)} {PICTURE.stat().st_size / 1000:.0f} kB")
