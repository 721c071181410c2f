"""An object's fields as plain values, as the audit log keeps them before and after a change."""

import datetime
from decimal import Decimal
from typing import Any

from django.db import models

from ..money import plain

# A secret, and what follows from what is told beside it.
UNTOLD = ("password", "sessions_ended", "folded_code")


def snapshot(subject: models.Model, *, with_links: bool = True) -> dict[str, Any]:
    """Return an object's fields as plain values: links by key, links to many (a query each) by name."""
    values: dict[str, Any] = {}
    for field in subject._meta.concrete_fields:
        if field.primary_key or field.name in UNTOLD:
            continue
        value = field.value_from_object(subject)
        if isinstance(value, Decimal):
            value = plain(value)
        elif isinstance(value, datetime.date):
            value = value.isoformat()
        elif not isinstance(value, str | int | bool | list | dict | None):
            value = str(value)
        values[field.name] = value
    if with_links and subject.pk is not None:
        for many in subject._meta.many_to_many:
            through: Any = many.remote_field.through
            if through._meta.auto_created:
                values[many.name] = sorted(str(each) for each in getattr(subject, many.name).all())
    return values


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keep of two snapshots what is not the same in both."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before.get(name) for name in names}, {name: after.get(name) for name in names}
