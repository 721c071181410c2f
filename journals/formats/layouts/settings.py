"""What an institution chooses of a layout, entered apart from all else it says: its settings, and what is condensed."""

import json
from collections.abc import Mapping
from typing import Any

from billing.errors import BillingError

from .reading import layout_from_text
from .schema import parsed, published

# Which lines are one: each choice, and what it may be.
CHOICES: Mapping[str, tuple[str, ...]] = {
    name: tuple(each["enum"]) for name, each in published()["$defs"]["condense"]["properties"].items()
}

DESCRIPTIONS: tuple[str, ...] = tuple(published()["$defs"]["descriptions"]["properties"])


class UnknownSetting(BillingError):
    """A value was given for a setting that a layout does not have."""


def with_choices(
    content: str,
    settings: Mapping[str, str],
    condense: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
) -> str:
    """Return the text of a layout with values of its settings, what it condenses and its descriptions.

    `condense` and `descriptions` say what of them changes; a description of "" goes. Where nothing changes, the text
    is as it was written.

    Raises LayoutNotUnderstood, and UnknownSetting for one that it does not have.
    """
    known = [each.name for each in layout_from_text(content).settings]
    for name in settings:
        if name not in known:
            raise UnknownSetting(f"The layout has no setting “{name}”. It has: {', '.join(known) or 'none'}.")
    data: dict[str, Any] = parsed(content)
    before = json.dumps(data)
    for each in data.get("settings", ()):
        if each["name"] in settings:
            each["value"] = settings[each["name"]].strip()
    if condense:
        data["condense"] = {**data.get("condense", {}), **condense}
    if descriptions:
        told = {**data.pop("descriptions", {}), **{name: text.strip() for name, text in descriptions.items()}}
        if told := {name: told[name] for name in DESCRIPTIONS if told.get(name)}:
            files = data.pop("files")
            data |= {"descriptions": told, "files": files}
    if json.dumps(data) == before:
        return content
    made = as_text(data)
    layout_from_text(made)
    return made


def as_text(data: Any, depth: int = 0) -> str:
    """Write a layout as the presets are written: a field or setting on a line of its own."""
    blank = "  " * depth
    if isinstance(data, dict):
        flat = json.dumps(data, ensure_ascii=False)
        if depth and len(flat) <= 200 and not any(isinstance(each, list) for each in data.values()):
            return flat
        inner = (f"{blank}  {json.dumps(name)}: {as_text(each, depth + 1)}" for name, each in data.items())
        return "{\n" + ",\n".join(inner) + f"\n{blank}}}" + ("" if depth else "\n")
    if isinstance(data, list) and data:
        return "[\n" + ",\n".join(f"{blank}  {as_text(each, depth + 1)}" for each in data) + f"\n{blank}]"
    return json.dumps(data, ensure_ascii=False)
