"""Reference data: what every installation starts with, added where missing and never overwritten."""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import Policy, Source

REFERENCE = Path(settings.BASE_DIR) / "fixtures" / "reference.json"


class ReferenceDataUnreadable(BillingError):
    """The file of reference data is missing or is not JSON."""


@dataclass(frozen=True)
class Loaded:
    """What was added, and what was there and stayed as the institution has it."""

    sources_added: tuple[str, ...]
    sources_kept: tuple[str, ...]
    policy_added: bool


def read_data(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file that comes with the program.

    Raises ReferenceDataUnreadable.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReferenceDataUnreadable(f"{path} cannot be read: {error}. Take it from the release again.") from error
    if not isinstance(data, dict):
        raise ReferenceDataUnreadable(f"{path} does not hold one JSON object. Take it from the release again.")
    return data


def load_reference(*, actor: Actor, now: datetime.datetime, path: Path = REFERENCE) -> Loaded:
    """Add the sources and the first policy that are missing; what exists is not touched.

    Sources come without accounting: recovery funds and natural accounts are the institution's own.
    """
    data = read_data(path)
    added: list[str] = []
    kept: list[str] = []
    with audit.gesture(actor=actor, now=now) as gesture:
        for fields in data["sources"]:
            source, is_new = Source.objects.get_or_create(
                name=fields["name"], defaults={key: value for key, value in fields.items() if key != "name"}
            )
            (added if is_new else kept).append(source.name)
            if is_new:
                gesture.record("source.added", source, after=fields)
        needs_policy = not Policy.objects.exists()
        if needs_policy:
            policy = Policy(**data["policy"])
            policy.full_clean()
            policy.save()
            gesture.record("policy.changed", policy, after=data["policy"])
    return Loaded(tuple(added), tuple(kept), needs_policy)
