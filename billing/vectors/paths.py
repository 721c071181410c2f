"""Paths of SVG (SVG 2, 9.3) as absolute lines and cubic curves, and the transforms they go through (SVG 2, 8)."""

import math
import re
from collections.abc import Callable, Iterator, Sequence

from .shapes import FARTHEST, MOST_POINTS, NotPlain

Point = tuple[float, float]
# Of a matrix (a, b, c, d, e, f): x' = ax + cy + e, y' = bx + dy + f.
Matrix = tuple[float, float, float, float, float, float]
# A command with its points: `M` and `L` have one, `C` three, `Z` none.
Step = tuple[str, tuple[Point, ...]]

SAME: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
# How far a control point is for a quarter of a circle.
KAPPA = 0.5522847498
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
BETWEEN = re.compile(r"[\s,]*")
TRANSFORM = re.compile(r"([A-Za-z]+)\s*\(([^()]*)\)[\s,]*")
# What follows a letter, once or again and again; `f` is a flag of an arc.
TAKES = {"M": "nn", "L": "nn", "H": "n", "V": "n", "C": "n" * 6, "S": "n" * 4, "Q": "n" * 4, "T": "nn", "A": "nnnffnn"}


def number(text: str) -> float:
    """Return a number of a drawing. Raises NotPlain."""
    found = NUMBER.fullmatch(text.strip())
    value = float(found[0]) if found else math.inf
    if not abs(value) <= FARTHEST:
        raise NotPlain(f"The drawing has a number that cannot be read: “{text.strip()[:40]}”.")
    return value


def numbers(text: str) -> list[float]:
    """Return the numbers of a list, such as points. Raises NotPlain."""
    return [number(each) for each in re.split(r"[\s,]+", text.strip()) if each]


def combined(outer: Matrix, inner: Matrix) -> Matrix:
    """Return the matrix that does what `inner` does, and then what `outer` does."""
    a, b, c, d, e, f = outer
    p, q, r, s, t, u = inner
    return (a * p + c * q, b * p + d * q, a * r + c * s, b * r + d * s, a * t + c * u + e, b * t + d * u + f)


def matrix_of(text: str) -> Matrix:
    """Return what a `transform` says as one matrix. Raises NotPlain."""
    found, at = SAME, 0
    text = text.strip()
    while at < len(text):
        match = TRANSFORM.match(text, at)
        values = numbers(match[2]) if match else []
        one = _one_matrix(match[1], values) if match else None
        if match is None or one is None:
            raise NotPlain(f"The drawing has a transform that cannot be read: “{text[:60]}”.")
        found, at = combined(found, one), match.end()
    return found


def _one_matrix(name: str, values: Sequence[float]) -> Matrix | None:
    match name, list(values):
        case "matrix", [a, b, c, d, e, f]:
            return (a, b, c, d, e, f)
        case "translate", [x, *more] if len(more) <= 1:
            return (1.0, 0.0, 0.0, 1.0, x, more[0] if more else 0.0)
        case "scale", [x, *more] if len(more) <= 1:
            return (x, 0.0, 0.0, more[0] if more else x, 0.0, 0.0)
        case "rotate", [angle, *more] if len(more) in (0, 2):
            sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
            x, y = more or (0.0, 0.0)
            return (cosine, sine, -sine, cosine, x - cosine * x + sine * y, y - sine * x - cosine * y)
        case "skewX", [angle]:
            return (1.0, 0.0, math.tan(math.radians(angle)), 1.0, 0.0, 0.0)
        case "skewY", [angle]:
            return (1.0, math.tan(math.radians(angle)), 0.0, 1.0, 0.0, 0.0)
    return None


def placed(steps: Sequence[Step], matrix: Matrix) -> str:
    """Return a path as text, where a matrix puts it. Raises NotPlain for one that leads to no place on paper."""
    a, b, c, d, e, f = matrix
    said = []
    for letter, points in steps:
        there = [(a * x + c * y + e, b * x + d * y + f) for x, y in points]
        if not all(abs(each) <= FARTHEST for point in there for each in point):
            raise NotPlain("The drawing reaches too far beyond its box.")
        said.append(letter + " ".join(f"{shortly(x)} {shortly(y)}" for x, y in there))
    return "".join(said)


def shortly(value: float) -> str:
    """Return a number with two decimals at most."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def scale_of(matrix: Matrix) -> float:
    """Return how much wider a matrix makes a stroke, on the average of its directions."""
    a, b, c, d, _, _ = matrix
    return math.sqrt(abs(a * d - b * c))


# Paths as they are written --------------------------------------------------------------------------------------------


def steps_of(text: str) -> list[Step]:
    """Return a path as absolute moves, lines and cubic curves. Raises NotPlain."""
    drawn: list[Step] = []
    pen = _Pen(drawn)
    for letter, values in _commands(text):
        pen.draw(letter, values)
        if len(drawn) > MOST_POINTS:
            raise NotPlain("The drawing has more curves than a logo needs. Simplify its paths, and upload it again.")
    return drawn


def _commands(text: str) -> Iterator[tuple[str, list[float]]]:
    at, letter = _past(text, 0), ""
    while at < len(text):
        if text[at].isalpha():
            letter = text[at]
            at = _past(text, at + 1)
            if letter in "Zz":
                yield letter, []
                continue
        elif letter in "Zz":
            letter = ""
        takes = TAKES.get(letter.upper())
        if takes is None:
            raise NotPlain(f"The drawing has a path that cannot be read, near “{text[at - 1 : at + 20]}”.")
        values = []
        for kind in takes:
            value, at = _value(text, at, kind)
            values.append(value)
        yield letter, values
        # Further points after a move are lines.
        letter = {"M": "L", "m": "l"}.get(letter, letter)


def _past(text: str, at: int) -> int:
    found = BETWEEN.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, kind: str) -> tuple[float, int]:
    found = NUMBER.match(text, at)
    if kind == "f" and text[at : at + 1] in ("0", "1"):
        return float(text[at]), _past(text, at + 1)
    if kind == "f" or found is None:
        raise NotPlain(f"The drawing has a path that cannot be read, near “{text[at : at + 20]}”.")
    return number(found[0]), _past(text, found.end())


class _Pen:
    """Draws commands one after the other, from where it stands."""

    def __init__(self, drawn: list[Step]) -> None:
        self.drawn = drawn
        self.at: Point = (0.0, 0.0)
        self.start: Point = (0.0, 0.0)
        # The last control point of the curve before, which a smooth one mirrors.
        self.control: Point | None = None
        self.last = ""

    def draw(self, letter: str, values: Sequence[float]) -> None:
        if not self.drawn and letter not in "Mm":
            raise NotPlain("The drawing has a path that does not begin with a move.")
        kind = letter.upper()
        base = self.at if letter.islower() else (0.0, 0.0)
        if kind == "H":
            points = [(values[0] + base[0], self.at[1])]
        elif kind == "V":
            points = [(self.at[0], values[0] + base[1])]
        else:
            given = values[5:] if kind == "A" else values
            points = [(x + base[0], y + base[1]) for x, y in zip(given[::2], given[1::2], strict=True)]
        draws: dict[str, Callable[[], None]] = {
            "M": lambda: self._move(points[0]),
            "Z": self._close,
            "C": lambda: self._curve(points[0], points[1], points[2]),
            "S": lambda: self._curve(self._mirrored("CS"), points[0], points[1]),
            "Q": lambda: self._quadratic(points[0], points[1]),
            "T": lambda: self._quadratic(self._mirrored("QT"), points[0]),
            "A": lambda: self._arc(values, points[0]),
        }
        draws.get(kind, lambda: self._line(points[0]))()
        self.last = kind

    def _mirrored(self, kinds: str) -> Point:
        if self.last not in tuple(kinds) or self.control is None:
            return self.at
        return (2 * self.at[0] - self.control[0], 2 * self.at[1] - self.control[1])

    def _move(self, point: Point) -> None:
        self.drawn.append(("M", (point,)))
        self.at = self.start = point

    def _line(self, point: Point) -> None:
        self.drawn.append(("L", (point,)))
        self.at = point

    def _close(self) -> None:
        self.drawn.append(("Z", ()))
        self.at = self.start

    def _curve(self, first: Point, second: Point, end: Point) -> None:
        self.drawn.append(("C", (first, second, end)))
        self.control, self.at = second, end

    def _quadratic(self, control: Point, end: Point) -> None:
        (x, y), (cx, cy), (ex, ey) = self.at, control, end
        first = (x + 2 * (cx - x) / 3, y + 2 * (cy - y) / 3)
        self._curve(first, (ex + 2 * (cx - ex) / 3, ey + 2 * (cy - ey) / 3), end)
        self.control = control

    def _arc(self, values: Sequence[float], end: Point) -> None:
        """Draw an arc of an ellipse as curves of a quarter at most (SVG 2, B.2.4)."""
        rx, ry, degrees, large, sweep = abs(values[0]), abs(values[1]), values[2], values[3], values[4]
        if not rx or not ry or end == self.at:
            self._line(end)
            return
        turn = math.radians(degrees)
        sine, cosine = math.sin(turn), math.cos(turn)
        half_x, half_y = (self.at[0] - end[0]) / 2, (self.at[1] - end[1]) / 2
        x, y = cosine * half_x + sine * half_y, cosine * half_y - sine * half_x
        if (far := (x / rx) ** 2 + (y / ry) ** 2) > 1:
            rx, ry = rx * math.sqrt(far), ry * math.sqrt(far)
        below = (rx * y) ** 2 + (ry * x) ** 2
        root = math.sqrt(max(0.0, (rx * ry) ** 2 / below - 1)) * (-1 if large == sweep else 1)
        cx, cy = root * rx * y / ry, -root * ry * x / rx
        middle = (
            cosine * cx - sine * cy + (self.at[0] + end[0]) / 2,
            sine * cx + cosine * cy + (self.at[1] + end[1]) / 2,
        )
        begins = math.atan2((y - cy) / ry, (x - cx) / rx)
        spans = math.atan2((-y - cy) / ry, (-x - cx) / rx) - begins
        if sweep and spans < 0:
            spans += 2 * math.pi
        elif not sweep and spans > 0:
            spans -= 2 * math.pi
        around: Matrix = (rx * cosine, rx * sine, -ry * sine, ry * cosine, *middle)
        pieces = max(1, math.ceil(abs(spans) / (math.pi / 2) - 1e-9))
        for place in range(pieces):
            angle, until = (begins + spans * each / pieces for each in (place, place + 1))
            self._curve(*_piece(around, angle, until, end if place == pieces - 1 else None))


def _piece(around: Matrix, angle: float, until: float, end: Point | None) -> tuple[Point, Point, Point]:
    reach = 4 / 3 * math.tan((until - angle) / 4)
    unit = (
        (math.cos(angle) - reach * math.sin(angle), math.sin(angle) + reach * math.cos(angle)),
        (math.cos(until) + reach * math.sin(until), math.sin(until) - reach * math.cos(until)),
        (math.cos(until), math.sin(until)),
    )
    a, b, c, d, e, f = around
    first, second, last = ((a * x + c * y + e, b * x + d * y + f) for x, y in unit)
    return first, second, end or last


# Basic shapes (SVG 2, 10) ---------------------------------------------------------------------------------------------


def ellipse(x: float, y: float, rx: float, ry: float) -> list[Step]:
    """Return an ellipse around a point."""
    if rx <= 0 or ry <= 0:
        return []
    return steps_of(f"M{x + rx} {y}A{rx} {ry} 0 1 1 {x - rx} {y}A{rx} {ry} 0 1 1 {x + rx} {y}Z")


def rectangle(x: float, y: float, wide: float, high: float, rx: float, ry: float) -> list[Step]:
    """Return a rectangle, its corners rounded by `rx` and `ry`."""
    if wide <= 0 or high <= 0:
        return []
    rx, ry = min(rx, wide / 2), min(ry, high / 2)
    if not rx or not ry:
        return steps_of(f"M{x} {y}h{wide}v{high}h{-wide}Z")
    corner = f"a{rx} {ry} 0 0 1"
    return steps_of(
        f"M{x + rx} {y}H{x + wide - rx}{corner} {rx} {ry}V{y + high - ry}{corner} {-rx} {ry}"
        f"H{x + rx}{corner} {-rx} {-ry}V{y + ry}{corner} {rx} {-ry}Z"
    )
