"""How shapes of an SVG are painted: attributes, plain rules of its style sheet, and `style`; what is inherited."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import ImageColor

from .paths import number
from .shapes import NotPlain

# What goes from a group to what is in it, with what holds at first.
INHERITED = {
    "fill": "black",
    "fill-rule": "nonzero",
    "fill-opacity": "1",
    "stroke": "none",
    "stroke-width": "1",
    "stroke-linecap": "butt",
    "stroke-linejoin": "miter",
    "stroke-miterlimit": "4",
    "stroke-opacity": "1",
    "stroke-dasharray": "none",
    "visibility": "visible",
    "color": "black",
}
OWN = {"opacity": "1", "display": "inline", "clip-path": "none", "mask": "none", "filter": "none"}
PLAIN_ONLY = {
    "clip-path": "is clipped by another shape",
    "mask": "has a mask",
    "filter": "has a filter",
    "stroke-dasharray": "has dashed strokes",
}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
SELECTOR = re.compile(r"([.#]?)([A-Za-z_][\w-]*)")
MENDED = "Fill it with plain colors, and upload it again."


@dataclass(frozen=True)
class Rule:
    """A rule of a style sheet for an element, a class (`.`) or an id (`#`)."""

    mark: str
    name: str
    said: Mapping[str, str]

    def holds(self, tag: str, attributes: Mapping[str, str]) -> bool:
        if self.mark == ".":
            return self.name in attributes.get("class", "").split()
        return self.name == (attributes.get("id", "") if self.mark else tag)


def rules_of(sheet: str) -> list[Rule]:
    """Return the rules of a style sheet, those that count more last. Raises NotPlain."""
    sheet = COMMENT.sub("", sheet).strip()
    if "@" in sheet or RULE.sub("", sheet).strip():
        raise NotPlain(
            "The drawing has a style sheet with more than plain rules. Save it with presentation attributes."
        )
    found = []
    for selectors, said in RULE.findall(sheet):
        declared = declarations(said)
        for each in selectors.split(","):
            match = SELECTOR.fullmatch(each.strip())
            if match is None:
                raise NotPlain(
                    f"The drawing has a style for “{each.strip()[:40]}”. Save it with presentation attributes."
                )
            found.append(Rule(match[1], match[2], declared))
    return sorted(found, key=lambda rule: ("", ".", "#").index(rule.mark))


def declarations(text: str) -> dict[str, str]:
    """Return what a `style` declares."""
    parts = (each.partition(":") for each in text.split(";") if each.strip())
    return {name.strip().lower(): value.replace("!important", "").strip() for name, _, value in parts}


def painted(tag: str, attributes: Mapping[str, str], above: Mapping[str, str], rules: Iterable[Rule]) -> dict[str, str]:
    """Return how an element is painted, what it inherits included. Raises NotPlain for what is not plain."""
    own = {name: value for name, value in attributes.items() if name in INHERITED or name in OWN}
    for rule in rules:
        if rule.holds(tag, attributes):
            own |= {name: value for name, value in rule.said.items() if name in INHERITED or name in OWN}
    own |= {
        name: value
        for name, value in declarations(attributes.get("style", "")).items()
        if name in INHERITED or name in OWN
    }
    found = dict(above) | OWN | {name: value.strip() for name, value in own.items() if value.strip() != "inherit"}
    for name, what in PLAIN_ONLY.items():
        if found[name] not in ("none", ""):
            raise NotPlain(f"The drawing {what}. {MENDED}")
    return found


def is_there(style: Mapping[str, str]) -> bool:
    """Tell whether an element, and what is in it, is drawn at all. Raises NotPlain."""
    return style["display"] != "none" and _opacity(style["opacity"]) > 0


def color_of(style: Mapping[str, str], name: str) -> str:
    """Return the color of a fill or stroke as `#rrggbb`, empty for none. Raises NotPlain."""
    text = style[name]
    if text.lower() == "currentcolor":
        text = style["color"]
    if text.lower() in ("none", "transparent") or not _opacity(style[f"{name}-opacity"]):
        return ""
    if "url(" in text.lower():
        raise NotPlain(f"The drawing has a gradient or a pattern. {MENDED}")
    try:
        red, green, blue, *opacity = ImageColor.getrgb(text)
    except ValueError as error:
        raise NotPlain(f"The drawing has a color that cannot be read: “{text[:40]}”.") from error
    if opacity and opacity[0] != 255:
        raise NotPlain(f"The drawing has a color one sees through. {MENDED}")
    return f"#{red:02x}{green:02x}{blue:02x}"


def _opacity(text: str) -> float:
    value = number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if 0 < value < 1:
        raise NotPlain(f"The drawing has parts one sees through. {MENDED}")
    return value
