"""Calls of AI models: what a record of them has, whichever gateway or provider tells of them.

A record says how many tokens, never which. Prompts and answers are in no field of it.
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...readers.values import MAX_NAME, BadValue
from ...texts import cleaned, quoted
from ..records import Measure, Shape
from .cell_values import PICO, cost_of
from .kinds import Tally
from .settings import Given

# FOCUS ServiceCategory.
CATEGORY = "AI and Machine Learning"

TOKENS = {"token": 1, "1000 tokens": 1_000, "1M tokens": 1_000_000}

SHAPE = Shape(
    attributes=("model", "provider", "key", "call_type", "status", "tier"),
    measures=(
        Measure("requests", {"request": 1, "1000 requests": 1_000}),
        # All that was sent, of which some was cached; models that price the two apart count `uncached_tokens`.
        Measure("input_tokens", TOKENS),
        Measure("uncached_tokens", TOKENS),
        Measure("cached_tokens", TOKENS),
        # All that came back, of which some was reasoning that nobody sees.
        Measure("output_tokens", TOKENS),
        Measure("reasoning_tokens", TOKENS),
        # What the gateway itself counts as its cost.
        Measure("cost_pico", {"currency unit": 10**PICO}),
    ),
)


class Call(NamedTuple):
    """A record of calls, field by field as SHAPE has it."""

    id: str
    start: int
    end: int
    account: str = ""
    user: str = ""
    resource: str = ""
    free: str = ""
    model: str = ""
    provider: str = ""
    key: str = ""
    call_type: str = ""
    status: str = ""
    tier: str = ""
    requests: int = 0
    input_tokens: int = 0
    uncached_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_pico: int = 0


FAILED = "failed"
CACHED = "cached"

# What a secret key looks like; their hashes are of hexadecimal digits.
_SECRET = re.compile(r"\b(?:(?:sk|gsk|xai|pk)[-_]|AIza)[A-Za-z0-9_-]{16,}")
_HASH = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True)
class Who:
    """Where the account, the user and the key of a call are taken from: the first of some fields that says something.

    `hashed_keys` has the hash of a key stand for one without a name; without it, it is dropped.
    """

    account: tuple[str, ...]
    user: tuple[str, ...]
    hashed_keys: bool = False


def who_of(given: Given, allowed: Collection[str], *, account: str, user: str, prefixes: Collection[str] = ()) -> Who:
    """Take from settings which of the `allowed` fields say who pays; `account` and `user` are what they are without.

    A field may also be what begins with one of `prefixes`.
    """
    found: dict[str, tuple[str, ...]] = {}
    for setting, default in (("account", account), ("user", user)):
        names = given.texts(setting, tuple(default.split()))
        for name in names:
            if name not in allowed and not any(name.startswith(each) and name != each for each in prefixes):
                known = ", ".join([*allowed, *(f"{prefix}NAME" for prefix in prefixes)])
                given.refuse(setting, f"{quoted(name)} is no field of a call. There are {known}.")
        found[setting] = names
    return Who(account=found["account"], user=found["user"], hashed_keys=given.flag("hashed_keys"))


def said(value: Any) -> str:
    """Return a text of a call, "" for none.

    Clients fill some of these fields as they like, so that no text may stop a file: what cannot be stored is left out,
    and the end of a very long one becomes its hash.
    """
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise BadValue("A text is expected, and not a list or an object.")
    text = value if isinstance(value, str) else str(value)
    text = cleaned(text if text.isascii() else text.encode("utf-8", "replace").decode())
    if len(text) <= MAX_NAME:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[: MAX_NAME - len(digest) - 1]}…{digest}"


@dataclass
class Oddities:
    """What is odd about calls and taken nevertheless, counted, for the notes of a reader."""

    rounded: int = 0
    reversed_times: int = 0
    more_cached: int = 0
    secrets: int = 0

    def cost(self, value: Any) -> int:
        """Return an amount in 10⁻¹² of the currency unit."""
        cost, is_exact = cost_of(value)
        self.rounded += not is_exact
        return cost

    def end(self, start: int, end: int | None) -> int:
        """Return when a call ended that began at `start`."""
        self.reversed_times += end is not None and end < start
        return start if end is None else max(start, end)

    def uncached(self, input_tokens: int, cached_tokens: int) -> int:
        """Return how many tokens of the input were not cached."""
        self.more_cached += cached_tokens > input_tokens
        return max(0, input_tokens - cached_tokens)

    def key(self, name: Any, hashed: Any, who: Who) -> str:
        """Return what stands for a key: its name, or its hash if that is wanted; never what could be the key itself."""
        found = said(name)
        is_secret = bool(_SECRET.search(found))
        self.secrets += is_secret
        if found and not is_secret and not _HASH.fullmatch(found):
            return found
        digest = said(hashed)
        return digest if who.hashed_keys and _HASH.fullmatch(digest) else ""

    def note(self, tally: Tally) -> None:
        for number, text in (
            (self.rounded, "Costs of more than 12 decimals, which are rounded to them"),
            (self.reversed_times, "Calls that end before they start, which are taken as of no length"),
            (self.more_cached, "Calls with more cached tokens than input tokens, all of whose input counts as cached"),
            (self.secrets, "Names of keys that could be the key itself, which are left out"),
        ):
            if number:
                tally.notes.append(f"{text}: {number:,}.")
