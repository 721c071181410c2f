"""Tags: the texts of a Tags field into pairs, and into the one form by which they are compared."""

import json
from collections.abc import Sequence
from typing import Any

from ..texts import quoted
from .values import BadValue, is_nothing

# Values of one tag that a message names.
SHOWN = 5
MAX_TAGS = 1024 * 1024

# The fields of a tag that is a struct which tell that it comes from the project and not from the resource itself.
INHERITED_FIELDS = ("x_inherited", "inherited")
INHERITED = (True, "true")


class Tags:
    """The tags of a row: `pairs` as delivered, `canonical` for comparing, `problem` if they are unreadable."""

    __slots__ = ("canonical", "pairs", "problem")

    def __init__(self, pairs: dict[str, str], canonical: str, problem: str = "") -> None:
        self.pairs = pairs
        self.canonical = canonical
        self.problem = problem


def tags_of(text: str) -> Tags:
    """Read a Tags field: one flat JSON object (FOCUS, Key-Value Format) or no value.

    Never raises for what a provider may send: unreadable tags are flagged, not dropped.
    """
    bare = text.strip()
    if is_nothing(bare) or bare == "{}":
        return Tags({}, "")
    if "\0" in bare:
        raise BadValue("The tags have a NUL byte in them.")
    if len(bare) > MAX_TAGS:
        raise BadValue(f"The tags have {len(bare):,} characters; {MAX_TAGS:,} is the limit.")
    try:
        found = _object_of(bare)
        pairs, nested, unstorable = _sorted_out(found)
        canonical = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if found else ""
        # A lone half of a surrogate pair, which JSON can write, cannot be stored.
        canonical.encode()
    except (ValueError, RecursionError):
        return Tags({}, bare, "The tags are not a JSON object.")
    if nested:
        return Tags(pairs, canonical, _told(nested[0], found[nested[0]]))
    if unstorable:
        return Tags(pairs, canonical, f"The tag {quoted(unstorable[0])} has a NUL byte in it.")
    return Tags(pairs, canonical)


def _object_of(text: str) -> dict[str, Any]:
    """Return the JSON object that tags are written as; raise ValueError for anything else."""
    found = json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_merged)
    if isinstance(found, list):
        # As BigQuery writes its list of keys and values: [{"key": "pi", "value": "ada"}].
        found = _merged(own_first([_key_and_value(each) for each in found]))
    if not isinstance(found, dict):
        raise ValueError
    return found


def _sorted_out(found: dict[str, Any]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the tags of one value each, the keys of those that hold more, and the keys that cannot be stored."""
    pairs: dict[str, str] = {}
    nested, unstorable = [], []
    for key, value in found.items():
        if isinstance(value, bool):
            # A map of texts, as parquet has it, knows no other true.
            value = found[key] = str(value).lower()
        if isinstance(value, str):
            # Escaped, JSON can write what PostgreSQL cannot store.
            if "\0" in key or "\0" in value:
                unstorable.append(key.replace("\0", "\ufffd"))
            else:
                pairs[key] = value
        elif value is not None:
            nested.append(key)
    return pairs, nested, unstorable


def _told(key: str, values: Any) -> str:
    """Say that a tag holds more than one value, and which where they are texts."""
    named = quoted(key.replace("\0", "\ufffd"))
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        # In one order, whatever that of the file.
        told = " and ".join(map(quoted, sorted(values)[:SHOWN]))
        return f"The tag {named} holds more than one value: {told}."
    return f"The tag {named} holds more than one value."


def _merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of pairs; a key with several different values keeps them all, as a list."""
    found = dict(pairs)
    if len(found) < len(pairs):
        several: dict[str, list[Any]] = {}
        for key, value in pairs:
            values = several.setdefault(key, [])
            if value not in values:
                values.append(value)
        found = {key: values[0] if len(values) == 1 else values for key, values in several.items()}
    return found


def own_first(tags: Sequence[tuple[str, Any, bool]]) -> list[tuple[str, Any]]:
    """Leave out what a resource inherits where it has a tag of its own under the same key, as Google marks it."""
    own = {key for key, _, is_inherited in tags if not is_inherited}
    return [(key, value) for key, value, is_inherited in tags if not (is_inherited and key in own)]


def _key_and_value(item: Any) -> tuple[str, Any, bool]:
    if not isinstance(item, dict):
        raise ValueError
    folded = {str(name).casefold(): value for name, value in item.items()}
    if not isinstance(folded.get("key"), str) or "value" not in folded:
        raise ValueError
    return folded["key"], folded["value"], any(folded.get(name) in INHERITED for name in INHERITED_FIELDS)
