"""The published schema of layouts, and what data says otherwise: each mistake by its place, with what is allowed.

`schema.json` is the one place where the form of a layout is written down. It is JSON Schema (draft 2020-12), of which
this reads what the file uses.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from billing.errors import BillingError
from billing.texts import quoted

PUBLISHED = Path(__file__).with_name("schema.json")
# Mistakes that are told at once.
MOST = 30


class LayoutNotUnderstood(BillingError):
    """A layout cannot be used. `problems` are sentences, each about one place in it."""

    def __init__(self, problems: Sequence[str]) -> None:
        told = [*problems[:MOST], *([f"And {len(problems) - MOST} more."] if len(problems) > MOST else [])]
        super().__init__("\n".join(told))
        self.problems = tuple(problems)


@cache
def published() -> Mapping[str, Any]:
    """Return the schema of layouts as it is published."""
    read: Mapping[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return read


def parsed(text: str) -> Any:
    """Return what JSON text says. Raises LayoutNotUnderstood, with line and column, for what is no JSON."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_float=Decimal, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise LayoutNotUnderstood(
            [f"Line {error.lineno}, column {error.colno}: this is not JSON ({error.msg}). Correct it there."]
        ) from error
    except RecursionError as error:
        raise LayoutNotUnderstood(["The JSON is nested too deeply. A layout has six levels."]) from error


def problems_of(data: Any) -> list[str]:
    """Return what data says otherwise than the published schema, in sentences."""
    return list(_of(data, published(), "The layout"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, of which nothing is said twice: JSON would keep the second without a word."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise LayoutNotUnderstood([f"{quoted(name)} is given twice in one object. Keep one of them."])
        found[name] = value
    return found


def _no_number(text: str) -> Any:
    raise LayoutNotUnderstood([f"{text} is no value of JSON. Correct it."])


def _of(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    schema = _resolved(schema)
    allowed = _allowed(schema)
    if not _fits(value, schema):
        yield f"{where} is {quoted(_shown(value))}. Allowed: {allowed}."
        return
    if isinstance(value, dict):
        yield from _of_an_object(value, schema, where)
    if isinstance(value, list):
        item = _resolved(schema["items"])
        for place, each in enumerate(value, 1):
            yield from _of(each, item, f"{where}, {_named(each, item, place)}".removeprefix("The layout, "))


def _of_an_object(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    known = schema["properties"]
    for name in value:
        if name not in known:
            yield f"{where} has {quoted(name)}, which is not known. Allowed: {', '.join(known)}."
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where} has no {name}. Add it."
    for name, each in value.items():
        if name in known:
            # The parts of a list are named by themselves: “file 1, record detail”, not “files, file 1”.
            is_list = isinstance(each, list) and _resolved(known[name]).get("type") == "array"
            fits = is_list and _fits(each, _resolved(known[name]))
            yield from _of(each, known[name], where if fits else f"{where}: {name}")


def _named(value: Any, schema: Mapping[str, Any], place: int) -> str:
    name = value.get("name") if isinstance(value, dict) and schema["title"] != "file" else None
    return f"{schema['title']} {name if isinstance(name, str) and name else place}"


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return published()["$defs"][reference.rpartition("/")[2]] if reference else schema


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if "const" in schema:
        return bool(value == schema["const"]) and not isinstance(value, bool)
    if "enum" in schema:
        return isinstance(value, str) and value in schema["enum"]
    match schema["type"]:
        case "string":
            return isinstance(value, str) and _text_fits(value, schema)
        case "integer":
            return (
                isinstance(value, int)
                and not isinstance(value, bool)
                and schema.get("minimum", value) <= value <= schema.get("maximum", value)
            )
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list) and schema.get("minItems", 0) <= len(value) <= schema["maxItems"]
    return isinstance(value, dict)


def _text_fits(value: str, schema: Mapping[str, Any]) -> bool:
    pattern = schema.get("pattern")
    return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)) and (
        pattern is None or re.fullmatch(pattern, value) is not None
    )


def _allowed(schema: Mapping[str, Any]) -> str:
    """Say what fits a schema."""
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(each) if each.strip() != each else each for each in schema["enum"])
    match schema["type"]:
        case "string" if "pattern" in schema:
            return f"a text of the form {schema['pattern']}"
        case "string":
            least = f"from {schema['minLength']} " if schema.get("minLength") else ""
            return f"a text of {least}up to {schema['maxLength']} characters"
        case "integer":
            return f"a whole number from {schema['minimum']} to {schema['maximum']}"
        case "boolean":
            return "true or false"
        case "array":
            return f"a list of {schema.get('minItems', 0)} to {schema['maxItems']}"
    return f"an object with {', '.join(schema['properties'])}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
