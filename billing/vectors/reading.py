"""SVG as a drawing in plain colors, and such a drawing as SVG: read with expat, which follows no address."""

import re
from collections.abc import Callable, Mapping
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from . import styles
from .paths import (
    SAME,
    Matrix,
    Step,
    combined,
    ellipse,
    matrix_of,
    number,
    numbers,
    placed,
    rectangle,
    scale_of,
    shortly,
    steps_of,
)
from .shapes import MOST_POINTS, SIDE, NotPlain, Shape, Vector

SVG = "http://www.w3.org/2000/svg"
GROUPS = ("svg", "g")
# What is not drawn, with all that is in it. Of definitions only style sheets count: what refers to one is refused.
UNSEEN = (
    "defs",
    "title",
    "desc",
    "metadata",
    "linearGradient",
    "radialGradient",
    "pattern",
    "clipPath",
    "mask",
    "filter",
)
REFUSED = {
    "script": "a script. Export it without",
    "foreignObject": "a part of a web page. Export it without",
    "image": "a picture in it. Export it without, or upload a PNG",
    "text": "text. Convert the text to outlines, and export it again",
    "use": "copies of shapes. Export it with each shape by itself",
    "symbol": "copies of shapes. Export it with each shape by itself",
    "a": "a link. Export it without",
}
DEEPEST = 50
LENGTH = re.compile(r"\s*([0-9.eE+-]+)\s*(?:px|pt|mm|cm|in|pc)?\s*")
# A drawing that is so much longer than high is a line.
LONGEST = 40


def read(data: bytes) -> Vector:
    """Return an SVG as a drawing. Raises NotPlain."""
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise NotPlain(f"The file is no SVG, or a broken one (line {error.lineno}).") from error
    if not reader.shapes:
        raise NotPlain("The drawing has no shape that is seen.")
    return Vector(reader.width, reader.height, tuple(reader.shapes))


def written(vector: Vector) -> bytes:
    """Return a drawing as SVG, of which `read` makes the same drawing."""
    parts = []
    for shape in vector.shapes:
        said = {"d": shape.path, "fill": shape.fill or "none"}
        if shape.is_even_odd:
            said["fill-rule"] = "evenodd"
        if shape.stroke:
            said |= {"stroke": shape.stroke, "stroke-width": shortly(shape.width), "stroke-linecap": shape.cap}
            said |= {"stroke-linejoin": shape.join, "stroke-miterlimit": shortly(shape.miter_limit)}
        parts.append(f"<path {' '.join(f'{name}={quoteattr(value)}' for name, value in said.items())}/>")
    box = f"0 0 {shortly(vector.width)} {shortly(vector.height)}"
    return f'<svg xmlns="{SVG}" viewBox="{box}">{"".join(parts)}</svg>'.encode()


class _Reader:
    """Takes the elements of a file one after the other, and keeps the shapes that are seen."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.points = 0
        self.width = self.height = 0.0
        self.rules: list[styles.Rule] = []
        self.sheet: list[str] = []
        # What is open: how it is painted, where it is put, and whether it is seen.
        self.open: list[tuple[Mapping[str, str], Matrix, bool]] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.EntityDeclHandler = self.entity
        self.parser.buffer_text = True
        self.in_sheet = False

    def entity(self, *declared: object) -> None:
        raise NotPlain("The file declares entities, which can grow without end. Export it as plain SVG.")

    def text(self, said: str) -> None:
        if self.in_sheet:
            self.sheet.append(said)

    def end(self, name: str) -> None:
        self.open.pop()
        if self.in_sheet:
            self.in_sheet = False
            self.rules += styles.rules_of("".join(self.sheet))
            self.rules.sort(key=lambda rule: ("", ".", "#").index(rule.mark))
            self.sheet.clear()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, tag = name.rpartition(" ")
        if not self.open and (space, tag) != (SVG, "svg"):
            raise NotPlain("The file is no SVG.")
        if len(self.open) >= DEEPEST:
            raise NotPlain("The drawing has groups within groups beyond reason.")
        if space == SVG:
            _require_plain(tag, attributes)
        style, matrix, is_seen = self.open[-1] if self.open else (styles.INHERITED, SAME, True)
        if tag == "style" and space == SVG:
            if self.shapes:
                raise NotPlain("The drawing has a style sheet below its shapes. Move it to the top.")
            self.in_sheet = True
            is_seen = False
        elif space != SVG or tag in UNSEEN or not is_seen:
            is_seen = False
        elif not self.open:
            matrix = self._box(attributes)
            style = styles.painted(tag, attributes, style, self.rules)
        else:
            style = styles.painted(tag, attributes, style, self.rules)
            # What is in a hidden group may be visible by its own word.
            is_seen = styles.is_there(style) and (tag in GROUPS or style["visibility"] == "visible")
            if "transform" in attributes:
                matrix = combined(matrix, matrix_of(attributes["transform"]))
            if tag in SHAPES and is_seen:
                self._draw(tag, attributes, style, matrix)
        self.open.append((style, matrix, is_seen))

    def _box(self, attributes: Mapping[str, str]) -> Matrix:
        """Note the box of the drawing, and return what puts it there."""
        if box := numbers(attributes.get("viewBox", "")):
            if len(box) != 4:
                raise NotPlain("The drawing has a viewBox that cannot be read.")
            left, top, wide, high = box
        else:
            left = top = 0.0
            wide, high = (_length(attributes.get(name, "")) for name in ("width", "height"))
        if wide <= 0 or high <= 0 or max(wide, high) > LONGEST * min(wide, high):
            raise NotPlain(
                "The drawing has no size that a logo can have. "
                f"Give it a viewBox, no side of which is more than {LONGEST} times the other."
            )
        scale = SIDE / max(wide, high)
        self.width, self.height = wide * scale, high * scale
        return (scale, 0.0, 0.0, scale, -left * scale, -top * scale)

    def _draw(self, tag: str, attributes: Mapping[str, str], style: Mapping[str, str], matrix: Matrix) -> None:
        steps = SHAPES[tag](attributes)
        self.points += len(steps)
        if self.points > MOST_POINTS:
            raise NotPlain("The drawing has more curves than a logo needs. Simplify its paths, and upload it again.")
        fill, stroke = (styles.color_of(style, name) for name in ("fill", "stroke"))
        width = _length(style["stroke-width"]) * scale_of(matrix)
        fill, stroke = "" if tag == "line" else fill, stroke if width > 0 else ""
        if not steps or not (fill or stroke):
            return
        self.shapes.append(
            Shape(
                placed(steps, matrix),
                fill=fill,
                is_even_odd=style["fill-rule"] == "evenodd",
                stroke=stroke,
                width=width,
                cap=_one_of(style["stroke-linecap"], ("butt", "round", "square")),
                join=_one_of(style["stroke-linejoin"], ("miter", "round", "bevel")),
                miter_limit=max(1.0, number(style["stroke-miterlimit"])),
            )
        )


def _require_plain(tag: str, attributes: Mapping[str, str]) -> None:
    """Raise NotPlain for an element, wherever it is, that does something or refers to something."""
    if tag in REFUSED:
        raise NotPlain(f"The drawing has {REFUSED[tag]}.")
    if tag not in (*GROUPS, *UNSEEN, *SHAPES, "style", "stop") and not tag.startswith("fe"):
        raise NotPlain(f"The drawing has <{tag[:40]}>, which statements cannot print. Export it as plain SVG.")
    for name, value in attributes.items():
        own = name.rpartition(" ")[2].lower()
        if own.startswith("on"):
            raise NotPlain("The drawing has a script. Export it without.")
        refers = own in ("href", "src") and not value.startswith("#")
        if refers or "://" in value.split("url(", 1)[-1] and "url(" in value:
            raise NotPlain("The drawing refers to another file. Export it with all that it shows.")


def _at(attributes: Mapping[str, str], *names: str) -> list[float]:
    return [_length(attributes.get(name, "0")) for name in names]


def _length(text: str) -> float:
    """Return a length in the units of the drawing; other units are taken for those."""
    found = LENGTH.fullmatch(text)
    if found is None:
        raise NotPlain(f"The drawing has a length that cannot be read: “{text[:40]}”.")
    return number(found[1])


def _one_of(text: str, allowed: tuple[str, ...]) -> str:
    return text if text in allowed else allowed[0]


def _rectangle(attributes: Mapping[str, str]) -> list[Step]:
    x, y, wide, high = _at(attributes, "x", "y", "width", "height")
    # One radius says both.
    rx, ry = attributes.get("rx", attributes.get("ry", "0")), attributes.get("ry", attributes.get("rx", "0"))
    return rectangle(x, y, wide, high, *(0.0 if each == "auto" else _length(each) for each in (rx, ry)))


def _circle(attributes: Mapping[str, str]) -> list[Step]:
    x, y, radius = _at(attributes, "cx", "cy", "r")
    return ellipse(x, y, radius, radius)


def _line(attributes: Mapping[str, str]) -> list[Step]:
    x, y, to_x, to_y = _at(attributes, "x1", "y1", "x2", "y2")
    return [("M", ((x, y),)), ("L", ((to_x, to_y),))]


def _points(attributes: Mapping[str, str], closes: bool) -> list[Step]:
    flat = numbers(attributes.get("points", ""))
    points = list(zip(flat[::2], flat[1::2], strict=False))
    steps: list[Step] = [("L" if place else "M", (point,)) for place, point in enumerate(points)]
    return [*steps, ("Z", ())] if closes and steps else steps


SHAPES: dict[str, Callable[[Mapping[str, str]], list[Step]]] = {
    "path": lambda attributes: steps_of(attributes.get("d", "")),
    "rect": _rectangle,
    "circle": _circle,
    "ellipse": lambda attributes: ellipse(*_at(attributes, "cx", "cy", "rx", "ry")),
    "line": _line,
    "polyline": lambda attributes: _points(attributes, closes=False),
    "polygon": lambda attributes: _points(attributes, closes=True),
}
