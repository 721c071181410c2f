"""The scratch side of a replay: a process of its own that knows one empty database and a folder, and nothing else.

It reads `recording.json` in that folder and writes `rebuilt.json`. It is started with a database and a VAR_DIR
below the folder, so that nothing it does can touch what is real.
"""

import contextlib
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.db import connection, models
from django.db.models import F, Min

from .. import charging, importing
from ..attribution import NAMED_COLUMNS
from ..audit import Actor
from ..files.received import local_copy
from ..importing import WouldWithdraw
from ..models import (
    BillingPeriod,
    Charge,
    Flag,
    Import,
    ImportedFile,
    ImportTotal,
    Person,
    Project,
    ReviewDecision,
    Source,
    StoredFile,
)
from ..review.locked_charges import DECIDED_FIELDS
from .figures import figures_of
from .recording import BATCH, BY_NAME


class Departed(Exception):
    """The rebuilt charges are not what a recorded step was taken on."""


def main() -> None:
    """Rebuild what was recorded and write what came of it, or why nothing did."""

    folder = Path(sys.argv[1])
    if Path(settings.DATABASES["default"]["NAME"]).parent != folder or Path(settings.VAR_DIR).parent != folder:
        raise SystemExit("This runs on the scratch database of a replay only.")
    recording = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
    _make_tables()
    rebuild = Rebuild(recording, folder)
    try:
        rebuild.run()
    except Exception as error:
        answer: dict[str, Any] = {"problem": f"{rebuild.where}: {error}"}
    else:
        period = BillingPeriod.objects.named(recording["period"])
        numbers = [int(number) for number in recording["imports"]]
        answer = {"figures": figures_of(period, numbers)}
    (folder / "rebuilt.json").write_text(json.dumps(answer), encoding="utf-8")


def _make_tables() -> None:
    """Make every table as the models say; without database safeguards, for nobody else is here."""

    connection.disable_constraint_checking()
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.managed and not model._meta.proxy:
                editor.create_model(model)
    connection.disable_constraint_checking()


def _rows_of(model: type[models.Model]) -> models.Manager[Any]:
    """Return all rows of a model, past what its own manager leaves out or refuses."""
    return model._base_manager  # noqa: SLF001 (documented by Django)


class Rebuild:
    """One replay: the configuration as it was at first, then step after step."""

    def __init__(self, recording: dict[str, Any], folder: Path) -> None:
        self.recording = recording
        self.folder = folder
        self.where = "At the start"

    def run(self) -> None:
        self._load(self.recording["given"])
        BillingPeriod.objects.update(
            status=BillingPeriod.Status.OPEN, review_until=None, review_at=None, closed_at=None, finalized_at=None
        )
        for step in self.recording["steps"]:
            self.where = f"At event {step['event']} of the audit log ({step['do']})"
            verb = step["do"].replace(".", "_")
            if step["do"].startswith("period."):
                self._period(step)
            else:
                getattr(self, f"_{verb}")(step)

    def _load(self, rows: list[dict[str, Any]]) -> None:
        alike: dict[Any, list[Any]] = {}
        for each in serializers.deserialize("python", rows):
            alike.setdefault(type(each.object), []).append(each.object)
        for model, objects in alike.items():
            _rows_of(model).bulk_create(objects, batch_size=500)

    def _actor(self, step: dict[str, Any]) -> dict[str, Any]:
        return {"actor": Actor(name=step["by"], via="replay"), "now": datetime.datetime.fromisoformat(step["at"])}

    # Configuration and periods -------------------------------------------------------------------

    def _configuration(self, step: dict[str, Any]) -> None:
        if row := step.get("insert"):
            self._load([row])
        elif key := step.get("delete"):
            BY_NAME[key[0]]._base_manager.filter(pk=key[1])._raw_delete("default")  # noqa: SLF001 (a row without what refers to it)
        elif key := step.get("update"):
            model = BY_NAME[key[0]]
            values = {}
            for name, value in step["fields"].items():
                field: Any = model._meta.get_field(name)
                values[field.attname] = field.to_python(value) if value is not None else None
            _rows_of(model).filter(pk=key[1]).update(**values)

    def _period(self, step: dict[str, Any]) -> None:
        stamps = {"review_until": None, "review_at": None, "closed_at": None, "finalized_at": None} | step["stamps"]
        BillingPeriod.objects.filter(pk=step["period"]).update(**stamps)

    def _correction(self, step: dict[str, Any]) -> None:
        self._load(step["rows"])

    def _payer_lines_made(self, step: dict[str, Any]) -> None:
        period = BillingPeriod.objects.named(self.recording["period"])
        charging.make_payer_lines(period=period, **self._actor(step))

    # Imports ---------------------------------------------------------------------------------------

    def _import_applied(self, step: dict[str, Any]) -> None:
        waiting = Import.objects.filter(pk=step["import"]).first()
        if waiting is None:
            self._ingest(step)
        elif waiting.state == Import.State.DEFERRED:
            recorded = self._recorded(step)
            self._give_ids("billing_charge", recorded["first_charge"])
            importing.apply_deferred(imported=waiting, missing=recorded["missing"], **self._actor(step))
            self._settle_ids(step)

    def _import_deferred(self, step: dict[str, Any]) -> None:
        rest_of = self._recorded(step)["rest_of"]
        if Import.objects.filter(pk=step["import"]).exists():
            return
        if rest_of:
            # Made together with the import whose rest it is, under the next number that was free.
            made = Import.objects.filter(rest_of=rest_of).order_by("-pk").first()
            if made is None:
                raise Departed(f"Import {rest_of} left nothing to wait for, and import {step['import']} is its rest.")
            self._renumber(made.pk, step["import"])
            return
        self._ingest(step)

    def _import_booked(self, step: dict[str, Any]) -> None:
        recorded = self._recorded(step)
        self._give_ids("billing_charge", recorded["first_charge"])
        importing.book(
            imported=Import.objects.get(pk=step["import"]),
            into=BillingPeriod.objects.get(pk=recorded["booked_in"]),
            missing=recorded["missing"],
            **self._actor(step),
        )
        self._settle_ids(step)

    def _import_withdrawn(self, step: dict[str, Any]) -> None:
        importing.withdraw(imported=Import.objects.get(pk=step["import"]), **self._actor(step))

    def _import_dismissed(self, step: dict[str, Any]) -> None:
        Import.objects.filter(pk=step["import"]).update(state=Import.State.DISMISSED)

    def _ingest(self, step: dict[str, Any]) -> None:
        recorded = self._recorded(step)
        # What an import meant then; its source may mean something else by now.
        Source.objects.filter(pk=recorded["source"]).update(import_mode=recorded["mode"])
        # An archive is one file of several parts.
        whole = dict.fromkeys((name.removesuffix(f"/{member}"), sha256) for name, member, sha256 in recorded["files"])
        stored = {file.sha256: file for file in StoredFile.objects.all()}
        self._give_ids("billing_import", step["import"])
        self._give_ids("billing_charge", recorded["first_charge"])
        # A doubtful import waits, as it did then.
        with contextlib.suppress(WouldWithdraw):
            importing.ingest(
                paths=[local_copy(stored[sha256]) for _, sha256 in whole],
                names=[name for name, _ in whole],
                source=Source.objects.get(pk=recorded["source"]),
                period=recorded["period"],
                replace=recorded["replace"],
                beside=False,
                made_at=datetime.datetime.fromisoformat(recorded["made_at"]) if recorded["made_at"] else None,
                **self._actor(step),
            )
        self._settle_ids(step)

    def _recorded(self, step: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.recording["imports"][str(step["import"])]
        return found

    def _give_ids(self, table: str, first: int | None) -> None:
        """Have the next row of a table get the number that it had: decisions name charges by theirs."""
        if first is None:
            return
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, first - 1])

    def _settle_ids(self, step: dict[str, Any]) -> None:
        """Move the charges of an import to the ids they had, where it gave out some that rows left out did not take."""
        first = self._recorded(step)["first_charge"]
        mine = _rows_of(Charge).filter(imported_in=step["import"])
        found = mine.aggregate(first=Min("pk"))["first"]
        if first is None or found is None or found == first:
            return
        by = found - first
        ids = list(mine.values_list("pk", flat=True))
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            _rows_of(Flag).filter(charge__in=batch).update(charge_id=F("charge_id") - by)
            _rows_of(ReviewDecision).filter(charge__in=batch).update(charge_id=F("charge_id") - by)
        # By way of negative ids: neighbors would be in each other's place for a moment.
        mine.update(id=-F("id"))
        mine.update(id=-F("id") - by)

    def _renumber(self, old: int, new: int) -> None:
        Import.objects.filter(pk=old).update(id=new)
        ImportedFile.objects.filter(imported_in=old).update(imported_in=new)
        ImportTotal.objects.filter(imported_in=old).update(imported_in=new)

    # Charges ---------------------------------------------------------------------------------------

    def _decisions(self, step: dict[str, Any]) -> None:
        """Repeat what was decided, on charges that are what they were when it was decided."""
        for decided in step["decisions"]:
            charge = Charge.objects.filter(pk=decided["charge"]).first()
            if charge is None:
                raise Departed(
                    f"There is no charge {decided['charge']}, and decision {decided['decision']} is about it."
                )
            before, after = decided["before"], decided["after"]
            for name in DECIDED_FIELDS:
                if name in before and getattr(charge, name) != before[name]:
                    raise Departed(
                        f"Decision {decided['decision']} ({decided['action']}) found {name} of charge {charge.pk} "
                        f"(import {charge.imported_in_id}, line {charge.line_number}) to be “{before[name]}”, and "
                        f"rebuilt it is “{getattr(charge, name)}”."
                    )
            changed = {name: after[name] for name in DECIDED_FIELDS if name in after}
            Charge.objects.filter(pk=charge.pk).update(**changed)

    def _charge_attribution_reapplied(self, step: dict[str, Any]) -> None:
        after = step["after"]
        changed: dict[str, Any] = {name: after[name] for name in (*NAMED_COLUMNS, "state") if name in after}
        if "pi" in after:
            changed["pi"] = Person.objects.filter(email=after["pi"]).first()
        if "project" in after:
            changed["project"] = Project.objects.coded(after["project"]).first() if after["project"] else None
        Charge.objects.filter(pk=step["charge"]).update(**changed)

    def _charge_released(self, step: dict[str, Any]) -> None:
        Charge.objects.filter(pk=step["charge"]).update(state=step["after"]["state"])

    # Where it is the booking that holds them, they are held already.
    _charge_held = _charge_released

    def _charge_carried_over(self, step: dict[str, Any]) -> None:
        into = BillingPeriod.objects.named(step["after"]["charged_in"])
        Charge.objects.filter(pk=step["charge"]).update(charged_in=into)
