"""The conditions of attribution rules against what a row says: patterns of the shell, whatever the case."""

import datetime
import fnmatch
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ..readers.spelling import same_id
from ..texts import folded_code

# What each condition looks at: the texts of these FOCUS columns, any of which may fit.
LOOKS_AT: dict[str, tuple[str, ...]] = {
    "billing_account": ("BillingAccountId", "BillingAccountName"),
    "sub_account": ("SubAccountId", "SubAccountName"),
    "cloud_project": ("SubAccountId", "ResourceId"),
    "resource": ("ResourceId", "ResourceName"),
    "service": ("ServiceName",),
    "charge_category": ("ChargeCategory",),
    "charge_description": ("ChargeDescription",),
    "commitment_status": ("CommitmentDiscountStatus",),
}

# A resource of Google Cloud names its project: //compute.googleapis.com/projects/lab-7/zones/…
PROJECT_IN_RESOURCE = re.compile(r"(?:^|/)projects/([^/]+)", re.IGNORECASE)


HOLDS, FAILS = frozenset({True}), frozenset({False})


@dataclass(frozen=True)
class Conditions:
    """What has to hold for a rule to speak: every condition that is given; empty ones are none.

    Texts are patterns: `*` stands for anything, `?` for one character, `[ab]` for one of these. The
    dates are the first and the last day of service.
    """

    billing_account: str = ""
    sub_account: str = ""
    cloud_project: str = ""
    resource: str = ""
    service: str = ""
    charge_category: str = ""
    charge_description: str = ""
    commitment_status: str = ""
    tag_key: str = ""
    tag_value: str = ""
    valid_from: datetime.date | None = None
    valid_until: datetime.date | None = None


def fits(pattern: str, text: str) -> bool:
    """Tell whether a text fits a pattern as a whole, whatever the case; an empty text fits none.

    Takes time in proportion to pattern times text, whatever they are: no pattern can hang.
    """
    return fits_any((pattern,), text)


def fits_any(patterns: tuple[str, ...], text: str) -> bool:
    """Tell whether a text fits one of several patterns, tried as one: that is quicker than one by one."""
    plain = folded_code(same_id(text.strip()))
    return bool(plain) and _compiled(patterns).match(plain) is not None


def names_at(condition: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a condition's pattern is held against, from the texts of the columns it looks at."""
    if condition != "cloud_project":
        return texts
    sub_account, resource = texts
    named = PROJECT_IN_RESOURCE.search(resource)
    return (sub_account.removeprefix("projects/"), named[1] if named else "")


def column_holds(condition: str, pattern: str, texts: tuple[str, ...]) -> bool:
    """Tell whether one condition on columns holds for their texts, given in the order of LOOKS_AT."""
    return any(fits(pattern, name) for name in names_at(condition, texts))


def tag_answers(
    conditions: Conditions, tags: Mapping[str, Collection[str]], prefixes: tuple[str, ...] = ("",)
) -> frozenset[bool]:
    """Return whether the condition on a tag holds, by each value that the row has for it; both where they disagree.

    `tags` has values by folded key. A key is the same with and without one of the prefixes. Without a pattern for its
    value, any that is not blank will do.
    """
    if not conditions.tag_key:
        return HOLDS
    key = folded_code(conditions.tag_key)
    values = [value for prefix in prefixes for value in tags.get(prefix + key, ()) if value]
    return frozenset(fits(conditions.tag_value or "*", value) for value in values) or FAILS


def day_holds(conditions: Conditions, day: datetime.date) -> bool:
    """Tell whether a day of service is within the dates of a rule."""
    first, last = conditions.valid_from, conditions.valid_until
    return (first is None or first <= day) and (last is None or day <= last)


def holds(
    conditions: Conditions,
    *,
    columns: Mapping[str, str],
    tags: Mapping[str, str],
    day: datetime.date,
    prefixes: tuple[str, ...] = ("",),
) -> bool:
    """Tell whether every condition that is given holds for a row: its FOCUS columns, tags and day of service."""
    return (
        day_holds(conditions, day)
        and tag_answers(conditions, {key: (value,) for key, value in tags.items()}, prefixes) == HOLDS
        and all(
            column_holds(name, pattern, tuple(columns.get(column, "") for column in looked_at))
            for name, looked_at in LOOKS_AT.items()
            if (pattern := getattr(conditions, name))
        )
    )


@lru_cache(maxsize=8192)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # fnmatch makes each stretch between two stars an atomic group, so that there is nothing to go back to.
    return re.compile("|".join(fnmatch.translate(folded_code(same_id(pattern.strip()))) for pattern in patterns))
