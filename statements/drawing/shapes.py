"""Drawings on paper: the shapes of a plain drawing as lines and curves of a page, sharp at any size."""

import functools
import re

from billing.vectors import Shape, Vector

COMMAND = re.compile(r"([MLCZ])([^MLCZ]*)")
OPERATORS = {"M": "m", "L": "l", "C": "c", "Z": "h"}
CAPS = {"butt": 0, "round": 1, "square": 2}
JOINS = {"miter": 0, "round": 1, "bevel": 2}


def placed(drawing: Vector, x: float, y: float, wide: float, high: float) -> str:
    """Return what draws it into a box whose lower left corner is (x, y); what reaches beyond is cut (PDF 32000-1, 8.5).

    A drawing counts downward from its upper edge, and a page upward.
    """
    put = f"{wide / drawing.width:.6f} 0 0 {-high / drawing.height:.6f} {x:.2f} {y + high:.2f} cm"
    return f"q {put} 0 0 {drawing.width:.2f} {drawing.height:.2f} re W n {_painted(drawing.shapes)} Q"


@functools.lru_cache(maxsize=8)
def _painted(shapes: tuple[Shape, ...]) -> str:
    return " ".join(map(_code_of, shapes))


def _code_of(shape: Shape) -> str:
    code = []
    if shape.fill:
        code.append(f"{_color(shape.fill)} rg")
    if shape.stroke:
        dash = f"{CAPS[shape.cap]} J {JOINS[shape.join]} j {shape.miter_limit:.2f} M"
        code.append(f"{_color(shape.stroke)} RG {shape.width:.2f} w {dash}")
    code += [f"{points.strip()} {OPERATORS[letter]}".strip() for letter, points in COMMAND.findall(shape.path)]
    even_odd = "*" if shape.is_even_odd and shape.fill else ""
    code.append(("B" if shape.fill and shape.stroke else "f" if shape.fill else "S") + even_odd)
    return " ".join(code)


def _color(text: str) -> str:
    return " ".join(f"{int(text[place : place + 2], 16) / 255:.4f}" for place in (1, 3, 5))
