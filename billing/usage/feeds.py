"""Usage feeds: where usage comes from. Added and changed with their settings checked by their reader."""

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError

from .. import audit
from ..audit import Actor
from ..errors import BillingError
from ..models import RateSchedule, Source, UsageFeed
from ..readers import FileError
from . import taking
from .paying import TAGGED
from .readers.columns import COLUMNS
from .readers.settings import OF_FEEDS

FIELDS = ("display_name", "source", "kind", "settings", "time_zone", "schedule", "is_active", "notes")
# What the settings of every feed may say, beside those of its reader.
COMMON_SETTINGS = ("tags", "service_category", "provider")


class UnknownFeed(BillingError):
    """A feed was named that there is none of."""


class FeedExists(BillingError):
    """A feed was to be added under a name that is taken."""


class SettingsNotUnderstood(BillingError):
    """The settings of a feed are not the JSON that they should be."""


def settings_of_text(text: str) -> dict[str, Any]:
    """Return the settings that a text says as JSON; raise SettingsNotUnderstood with line and column."""

    def number(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise SettingsNotUnderstood(f"The number {digits[:20]} is not one that JSON knows.")
        return value

    try:
        found = json.loads(text, parse_constant=number, parse_float=number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise SettingsNotUnderstood(f"This is not JSON: {error.msg} ({where}).") from error
    except (ValueError, RecursionError) as error:
        raise SettingsNotUnderstood("This is not JSON that can be read.") from error
    if not isinstance(found, dict):
        raise SettingsNotUnderstood("A JSON object in braces is expected, such as {}.")
    if not _is_storable(found):
        raise SettingsNotUnderstood("There is a character in it that cannot be stored.")
    return found


def _is_storable(found: dict[str, Any]) -> bool:
    """Tell whether a database keeps this as JSON: no NUL, and no half of a character."""
    text = json.dumps(found, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in text.replace("\\\\", "")


def named(name: str) -> UsageFeed:
    """Return the feed of this name; raise UnknownFeed with those that exist."""
    feed = UsageFeed.objects.select_related("source").filter(name=name.strip().lower()).first()
    if feed:
        return feed
    known = ", ".join(UsageFeed.objects.values_list("name", flat=True))
    raise UnknownFeed(
        f"There is no usage feed “{name}”. " + (f"These exist: {known}." if known else "None exists yet.")
    )


def check(feed: UsageFeed) -> None:
    """Raise ValidationError for a feed that could not be read or priced, by field."""
    problems: dict[str, list[str]] = {}
    try:
        ZoneInfo(feed.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems["time_zone"] = [f"“{feed.time_zone}” is no time zone. Write one such as America/New_York, or UTC."]
    if feed.source_id and feed.source.import_mode != Source.ImportMode.SNAPSHOT:
        problems["source"] = [
            f"{feed.source} imports by {feed.source.import_mode}. A priced month is the whole truth: set the source to "
            "snapshot, or choose another."
        ]
    if feed.schedule and not RateSchedule.objects.filter(name=feed.schedule).exists():
        known = ", ".join(RateSchedule.objects.order_by().values_list("name", flat=True).distinct())
        problems["schedule"] = [f"There is no rate schedule “{feed.schedule}”. {f'Known: {known}.' if known else ''}"]
    if "time_zone" not in problems:
        problems.update(_of_settings(feed))
    problems.update(_of_priced(feed))
    if problems:
        raise ValidationError(problems)


def _of_priced(feed: UsageFeed) -> dict[str, list[str]]:
    """Refuse another source or kind once a month was priced: its charges lead back to this feed and to its files."""
    stored = UsageFeed.objects.select_related("source").filter(pk=feed.pk).first()
    if stored is None or (stored.source_id, stored.kind) == (feed.source_id, feed.kind):
        return {}
    first = stored.months.select_related("period").order_by("period__month").first()
    if first is None:
        return {}
    told = f"{stored} was priced in {first.period}, and its charges lead back here: {{}}. Add another feed."
    problems = {}
    if stored.source_id != feed.source_id:
        problems["source"] = [told.format(f"it keeps the source {stored.source}")]
    if stored.kind != feed.kind:
        problems["kind"] = [told.format(f"it keeps the kind of files “{stored.kind}”")]
    return problems


def are_columns_to_be_mapped(feed: UsageFeed) -> bool:
    """Tell whether a feed is of tables whose columns nobody mapped yet: it may be there, and reads nothing."""
    return feed.kind == COLUMNS.name and isinstance(feed.settings, dict) and set(feed.settings) <= set(OF_FEEDS)


def _of_settings(feed: UsageFeed) -> dict[str, list[str]]:
    if are_columns_to_be_mapped(feed):
        return {}
    try:
        shape = taking.shape_of(feed)
    except taking.NoSuchKind as error:
        return {"kind": [str(error)]}
    except FileError as error:
        return {"settings": list(map(str, error.problems))}
    tags = feed.settings.get("tags", {})
    known = (*TAGGED, *shape.attributes)
    if not isinstance(tags, dict):
        return {"settings": ["Tags are an object: the key of a tag, and the column it says."]}
    wrong = [f"The tag “{key}” says the column “{column}”." for key, column in tags.items() if column not in known]
    return {"settings": [*wrong, f"Columns: {', '.join(known)}."]} if wrong else {}


def add(*, name: str, fields: Mapping[str, Any], actor: Actor, now: datetime.datetime) -> UsageFeed:
    """Make a feed; raises FeedExists, and ValidationError for what its fields or its reader refuse."""
    if UsageFeed.objects.filter(name=name).exists():
        raise FeedExists(f"The usage feed “{name}” exists already.")
    feed = UsageFeed(name=name, **fields)
    with audit.gesture(actor=actor, now=now) as gesture:
        _validate(feed)
        feed.save()
        gesture.record("usage_feed.added", feed, after=facts(feed, FIELDS))
    return feed


def change(*, feed: UsageFeed, fields: Mapping[str, Any], actor: Actor, now: datetime.datetime) -> UsageFeed:
    """Set fields of a feed; raises ValidationError. Months that were priced stay as they are until priced again."""
    with audit.gesture(actor=actor, now=now) as gesture:
        fresh = UsageFeed.objects.select_for_update(no_key=True).get(pk=feed.pk)
        before = facts(fresh, tuple(fields))
        for field, value in fields.items():
            setattr(fresh, field, value)
        _validate(fresh)
        after = facts(fresh, tuple(fields))
        different = [field for field in fields if before[field] != after[field]]
        if different:
            fresh.save(update_fields=different)
            gesture.record(
                "usage_feed.changed",
                fresh,
                before={field: before[field] for field in different},
                after={field: after[field] for field in different},
            )
    return fresh


def _validate(feed: UsageFeed) -> None:
    feed.full_clean()
    check(feed)


def facts(feed: UsageFeed, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return fields of a feed as the audit log has them."""
    values = {field: getattr(feed, field) for field in fields}
    return {field: str(value) if isinstance(value, Source) else value for field, value in values.items()}
