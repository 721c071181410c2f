"""What is on record of a period: its files, the configuration as it was, and every step in the order it was taken."""

import copy
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core import serializers
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Min, Q

from ..errors import BillingError
from ..files import disposed
from ..files.disposed import DisposedOf
from ..files.received import chunks, local_copy
from ..models import (
    AttributionRule,
    AuditEvent,
    BillingPeriod,
    BillingReference,
    Charge,
    CloudAccount,
    Correction,
    CorrectionLine,
    CostMeasureChange,
    Customer,
    Department,
    ExchangeRate,
    FundException,
    FundingSource,
    Import,
    ImportedFile,
    ImportTotal,
    PayerLine,
    PayerSplit,
    PayerSplitShare,
    Person,
    PersonAlias,
    Policy,
    Project,
    Question,
    ReviewDecision,
    Source,
    StoredFile,
    User,
)

# What decides how a file becomes charges and charges become cents, in an order in which it can be stored.
CONFIGURATION: tuple[type[models.Model], ...] = (
    Policy,
    Customer,
    Person,
    PersonAlias,
    Project,
    FundingSource,
    FundException,
    Source,
    CostMeasureChange,
    AttributionRule,
    CloudAccount,
    PayerSplit,
    PayerSplitShare,
    ExchangeRate,
)
# They decide neither who pays nor how much.
NOT_TAKEN = (User, Department, Question)
BY_NAME = {str(model._meta.model_name): model for model in CONFIGURATION}
IMPORT_STEPS = ("import.applied", "import.deferred", "import.booked", "import.withdrawn", "import.dismissed")
PERIOD_STEPS = (
    "period.opened",
    "period.review_started",
    "period.closed",
    "period.reopened",
    "period.finalized",
)
CORRECTION_STEPS = ("correction.entered", "correction.approved", "correction.reversed")
RECORDED_OF_CHARGES = ("charge.attribution_reapplied", "charge.carried_over", "charge.released", "charge.held")
# What events of the configuration say at their end, by what they do to a row.
ADDS = ("added", "recorded")
CHANGES = ("changed", "confirmed", "revoked")
BATCH = 500


class NotReplayable(BillingError):
    """Something that a replay needs is not there, or is not what it was."""


def record(period: BillingPeriod, folder: Path) -> None:
    """Write to a folder all that rebuilding a period needs: `recording.json`, and links to the files as stored.

    Every file is read and its SHA-256 checked. Raises NotReplayable, naming a file that is missing or is not
    what was received.
    """
    imports = imports_of(period)
    files = _files(imports, folder)
    events = list(
        AuditEvent.objects.filter(
            Q(action__in=(*IMPORT_STEPS, *PERIOD_STEPS, *CORRECTION_STEPS, "payer_lines.made", "policy.changed"))
            | Q(object_type__in=BY_NAME)
        ).order_by("pk")
    )
    rows, changes = _rewound(events)
    steps = [*_steps_of(events, changes, imports, period), *_steps_of_charges(imports)]
    steps.sort(key=lambda step: step["event"])
    others = PayerLine.objects.exclude(period=period)
    given: list[Any] = [
        *_serialized(BillingPeriod.objects.all()),
        *rows,
        *_serialized(StoredFile.objects.filter(pk__in={file.file_id for each in files.values() for file in each})),
        *_serialized(BillingReference.objects.exclude(period=period)),
        *_serialized(others),
    ]
    recording = {
        "period": period.iso_month,
        "given": given,
        "imports": {
            str(each.pk): {
                "source": each.source_id,
                "mode": each.mode,
                "period": each.expected_period,
                "replace": each.replace,
                "missing": each.missing,
                "made_at": each.made_at,
                "booked_in": each.booked_in_id,
                "rest_of": each.rest_of_id,
                "files": [[file.name, file.member, file.file.sha256] for file in files[each.pk]],
                "first_charge": first,
            }
            for each, first in _with_first_charge(imports)
        },
        "steps": steps,
    }
    text = json.dumps(recording, cls=DjangoJSONEncoder)
    (folder / "recording.json").write_text(text, encoding="utf-8")


def imports_of(period: BillingPeriod) -> list[Import]:
    """Return the imports that a month's charges come from, and those that rows of the same months were matched with.

    An import of several months draws in what was delivered for these, and so on.
    """
    months = {period.pk, *Charge.objects.filter(charged_in=period).values_list("period", flat=True).distinct()}
    found: set[int] = set()
    while True:
        of_months = Import.objects.filter(scope_totals__period__in=months, applied_at__isnull=False)
        ids = set(of_months.values_list("pk", flat=True))
        ids |= {pk for pk in Import.objects.filter(pk__in=ids).values_list("rest_of", flat=True) if pk}
        ids |= set(Import.objects.filter(rest_of__in=ids).values_list("pk", flat=True))
        if ids <= found:
            return list(Import.objects.filter(pk__in=found).order_by("pk"))
        found |= ids
        months |= set(ImportTotal.objects.filter(imported_in__in=found).values_list("period", flat=True))


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        for chunk in chunks(content):
            digest.update(chunk)
    return digest.hexdigest()


def as_stored(stored: StoredFile, what: str) -> Path:
    """Return where a file can be read. Raises NotReplayable, naming it by `what` it is, where it is not as stored."""
    named = f"{what} (SHA-256 {stored.sha256}, {stored.path})"
    try:
        path = local_copy(stored)
        now = hash_of(path)
    except DisposedOf as error:
        raise NotReplayable(f"The stored file {named} was {disposed.said(stored.path)}.") from error
    except OSError as error:
        raise NotReplayable(
            f"The stored file {named} cannot be read: {error.strerror}. Restore it from the backup."
        ) from error
    if now != stored.sha256:
        raise NotReplayable(
            f"The stored file {named} is not what was received: its SHA-256 is {now} now. Restore it from the backup."
        )
    return path


def _files(imports: Iterable[Import], folder: Path) -> dict[int, list[ImportedFile]]:
    """Return the files of imports, each checked and linked into the scratch storage."""
    found: dict[int, list[ImportedFile]] = {}
    checked: set[str] = set()
    for imported in imports:
        found[imported.pk] = list(imported.imported_files.select_related("file").order_by("number"))
        for file in found[imported.pk]:
            stored = file.file
            if stored.sha256 in checked:
                continue
            checked.add(stored.sha256)
            path = as_stored(stored, f"{file.name} of import {imported.pk}")
            link = folder / "var" / "files" / stored.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return found


def _with_first_charge(imports: list[Import]) -> list[tuple[Import, int | None]]:
    firsts = dict(
        Charge.objects.filter(imported_in__in=imports)
        .order_by()
        .values_list("imported_in")
        .annotate(first=Min("pk"))
        .values_list("imported_in", "first")
    )
    return [(imported, firsts.get(imported.pk)) for imported in imports]


def _serialized(rows: Any) -> list[dict[str, Any]]:
    """Return rows as plain values, without links to what is not taken along."""
    found: list[dict[str, Any]] = serializers.serialize("python", rows)
    for row in found:
        for field in rows.model._meta.get_fields():
            if field.is_relation and field.related_model in NOT_TAKEN and field.name in row["fields"]:
                row["fields"][field.name] = None
            if field.many_to_many:
                row["fields"].pop(field.name, None)
    return found


def _rewound(events: list[AuditEvent]) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """Return the configuration as it was before the first event, and what each event changed of it.

    Starts from what it is now and takes the changes back, the latest first. What no event tells of is
    taken as it is now.
    """
    state: dict[tuple[str, str], dict[str, Any]] = {
        (name, str(row["pk"])): row
        for name, model in BY_NAME.items()
        for row in _serialized(model._default_manager.all())  # noqa: SLF001 (documented by Django)
    }
    changes: dict[int, dict[str, Any]] = {}
    for event in reversed(events):
        key = (event.object_type, event.object_id)
        if event.object_type not in BY_NAME:
            continue
        what = event.action.rpartition(".")[2]
        row = state.get(key)
        if what in ADDS or event.action == "policy.changed":
            # A version of the policy is never edited: its event is that of its making.
            if row is not None:
                changes[event.pk] = {"insert": copy.deepcopy(row)}
                del state[key]
        elif what == "deleted" and row is None:
            names = _plain_fields(BY_NAME[event.object_type], event.before or {})
            model = BY_NAME[event.object_type]._meta.label_lower
            state[key] = {"model": model, "pk": event.object_id, "fields": names}
            changes[event.pk] = {"delete": list(key)}
        elif what in CHANGES and row is not None:
            before = {
                name: value
                for name, value in _plain_fields(BY_NAME[event.object_type], event.before or {}).items()
                if name in row["fields"]
            }
            changes[event.pk] = {"update": list(key), "fields": {name: row["fields"][name] for name in before}}
            row["fields"] |= before
    return list(state.values()), changes


def _plain_fields(model: type[models.Model], values: dict[str, Any]) -> dict[str, Any]:
    """Keep of recorded values those that can be put back: links only where they are recorded by key."""
    found = {}
    for field in model._meta.concrete_fields:
        if field.name not in values or field.primary_key:
            continue
        value = values[field.name]
        is_key = value is None or str(value).isdigit()
        if isinstance(field, models.ForeignKey) and (field.related_model in NOT_TAKEN or not is_key):
            continue
        found[field.name] = value
    return found


def _steps_of(
    events: list[AuditEvent], changes: dict[int, dict[str, Any]], imports: list[Import], period: BillingPeriod
) -> list[dict[str, Any]]:
    numbers = {str(each.pk) for each in imports}
    corrections = {str(each.pk): each for each in Correction.objects.approved()}
    approved_by_event = {
        event.object_id for event in events if event.action == "correction.approved" and event.object_id in corrections
    }
    steps = []
    for event in events:
        step: dict[str, Any] = {"event": event.pk, "do": event.action, "at": event.at, "by": event.actor_name}
        if event.pk in changes:
            step |= {"do": "configuration", **changes[event.pk]}
        elif event.action in IMPORT_STEPS and event.object_id in numbers:
            step["import"] = int(event.object_id)
        elif event.action in PERIOD_STEPS:
            step |= {"period": int(event.object_id), "stamps": event.after}
        elif event.action == "payer_lines.made" and event.object_id == str(period.pk):
            pass
        elif event.action in CORRECTION_STEPS and event.object_id in corrections:
            if event.action != "correction.approved" and event.object_id in approved_by_event:
                continue
            correction = corrections[event.object_id]
            lines = CorrectionLine.objects.filter(correction=correction)
            rows = [*_serialized(Correction.objects.filter(pk=correction.pk)), *_serialized(lines)]
            step |= {"do": "correction", "rows": rows}
        else:
            continue
        steps.append(step)
    return steps


def _steps_of_charges(imports: list[Import]) -> list[dict[str, Any]]:
    """Return what was decided about the charges of imports, act by act."""
    ids = set(Charge.objects.filter(imported_in__in=imports).values_list("pk", flat=True))
    of_charges = AuditEvent.objects.filter(object_type="charge", action__startswith="charge.")
    begins = dict(
        of_charges.exclude(action__in=RECORDED_OF_CHARGES)
        .order_by()
        .values_list("gesture")
        .annotate(first=Min("pk"))
        .values_list("gesture", "first")
    )
    acts: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    decisions = ReviewDecision.objects.exclude(action=ReviewDecision.Action.INHERIT).order_by("pk")
    for decision in decisions.iterator():
        if decision.charge_id in ids:
            acts[decision.gesture].append(
                {
                    "decision": decision.pk,
                    "charge": decision.charge_id,
                    "action": decision.action,
                    "before": decision.before,
                    "after": decision.after,
                }
            )
    steps: list[dict[str, Any]] = []
    for gesture, decided in acts.items():
        if gesture not in begins:
            raise NotReplayable(
                f"Decision {decided[0]['decision']} about charge {decided[0]['charge']} has no event in the audit "
                "log, so that its place among the other steps is not known."
            )
        steps.append({"event": begins[gesture], "do": "decisions", "decisions": decided})
    for event in of_charges.filter(action__in=RECORDED_OF_CHARGES).order_by("pk").iterator():
        if int(event.object_id) in ids:
            steps.append(
                {
                    "event": event.pk,
                    "do": event.action,
                    "charge": int(event.object_id),
                    "before": event.before,
                    "after": event.after,
                }
            )
    return steps
