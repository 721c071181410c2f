"""Decisions come back in a spreadsheet, and are taken: all of it, or nothing."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

from django.db import transaction

from ... import audit
from ...attribution import naming
from ...audit import Actor
from ...models import Charge, ReviewDecision
from ...models.typed import words_asked_once
from ...texts import number_in
from ..act import UNSAID, Act
from ..batches import batches
from ..outcome import DONE, counted
from ..reassignment import Reassignment
from ..shares import parse_shares
from .columns import COLUMNS, DECISIONS, values_of, with_names
from .new_names import NewNames
from .reading import BadCell, Cells, SheetError, SheetRefused, SheetRow, ids_of, in_column, read_sheet, row_of


@dataclass(frozen=True)
class AppliedSheet:
    """What a spreadsheet did, or would do in a dry run."""

    rows: list[SheetRow]
    untouched: int
    is_dry_run: bool
    # Names that rows mark as new: what applying them creates.
    unknown: tuple[naming.Unknown, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many charges were approved, rejected, charged to center and reattributed."""
        done = {_counted_as(name): 0 for name in (*DECISIONS.values(), "reattribute")}
        for row in self.rows:
            if row.changes:
                done["reattributed"] += 1
            if row.decision:
                done[_counted_as(row.decision)] += 1
        return done

    def __str__(self) -> str:
        parts = [f"{number:,} {done.replace('_', ' ')}" for done, number in self.counts.items() if number]
        would = "would be " if self.is_dry_run else ""
        text = f"{counted(len(self.rows))}: {would}{', '.join(parts)}" if parts else "No row decides anything"
        text = f"{text}; {self.untouched:,} left as they are." if self.untouched else f"{text}."
        return " ".join([text, *self.creates])

    @property
    def creates(self) -> list[str]:
        """What it creates, or takes although no list has it, in sentences."""
        told = [each.promise for each in self.unknown]
        return [f"{each}." if self.is_dry_run else f"{each.replace('will be', 'is')}." for each in told]


def _counted_as(action: str) -> str:
    return DONE[ReviewDecision.Action(action)].replace(" ", "_")


def apply(*, file: IO[bytes], dry_run: bool = False, actor: Actor, now: datetime.datetime) -> AppliedSheet:
    """Take attribution and decisions from a spreadsheet that `export` wrote: all of it or nothing.

    With `dry_run` everything is tried and nothing stays. Raises NotAReviewSheet, or SheetRefused with
    every error by line and column.
    """
    lines = read_sheet(file)
    ids, errors = ids_of(lines)
    new_names = NewNames(lines)
    rows: list[SheetRow] = []
    with audit.gesture(actor=actor, now=now) as gesture, transaction.atomic(), words_asked_once():
        told = len(gesture.events)
        known = _known(ids.values())
        act = Act(known, gesture=gesture)
        # Read again with what rows show, now that the charges are locked.
        current = _charges_of(known)
        for line, pk in ids.items():
            try:
                if row := _take(act, line, lines[line], current.get(pk), new_names):
                    rows.append(row)
            except BadCell as error:
                errors.append(SheetError(line, error.column, str(error)))
        if errors:
            raise SheetRefused(
                sorted(errors, key=lambda error: (error.line, list(COLUMNS).index(error.column or "id")))
            )
        act.save(ReviewDecision.Action.REATTRIBUTE)
        if dry_run:
            del gesture.events[told:]
            transaction.set_rollback(True)
    return AppliedSheet(rows, len(lines) - len(rows), dry_run, new_names.created_by(rows))


def _known(ids: Iterable[int]) -> list[int]:
    """Return the ids that are of charges."""
    return [
        pk
        for batch in batches(sorted(set(ids)))
        for pk in Charge.objects.filter(pk__in=batch).values_list("pk", flat=True)
    ]


def _charges_of(ids: Iterable[int]) -> dict[int, Charge]:
    return {
        charge.pk: charge
        for batch in batches(sorted(ids))
        for charge in with_names(Charge.objects.filter(pk__in=batch))
    }


def _take(act: Act, line: int, cells: Cells, charge: Charge | None, new_names: NewNames) -> SheetRow | None:
    """Do in memory what a line says, and return it; None where it says nothing. Raises BadCell."""
    if charge is None:
        raise BadCell("id", f"There is no charge {number_in(cells['id'])}.")
    row = row_of(line, cells, values_of(charge))
    new_names.require_known(cells, row)
    if row and (why := _decide(act, row, charge)):
        column = "provider_credits" if why == UNSAID else "decision" if row.decision else ""
        raise BadCell(column, f"{why[0].upper()}{why[1:]}.")
    return row


def _decide(act: Act, row: SheetRow, charge: Charge) -> str:
    """Do in memory what a row says; return why it cannot be done, or nothing."""
    held = act.charges.get(row.charge_id)
    if held is None:
        return act.why_skipped[row.charge_id]
    approve = row.decision == "approve"
    if row.changes:
        new = {name: after for name, (_, after) in row.changes.items()}
        shares = in_column("split", lambda: parse_shares(new["split"])) if new.get("split") else {}
        if "split" in new and not shares:
            # An emptied split: the fund/org beside it pays alone from now on.
            new.setdefault("fund_org", charge.fund_org)
        reassignment = Reassignment(
            pi=new.get("pi", ""),
            project=new.get("project", ""),
            fund_org="" if shares else new.get("fund_org", ""),
            shares=tuple(shares.items()),
        )
        column = "pi" if "pi" in new else next(iter(new))
        checked = in_column(column, reassignment.checked)
        if why := act.reassign(held, checked, approve=approve, note=row.note):
            return why
        if approve and held.state != Charge.State.HELD:
            return ""
    if not row.decision:
        return ""
    state = {
        "approve": Charge.State.APPROVED,
        "reject": Charge.State.REJECTED,
        "charge_to_center": Charge.State.CHARGED_TO_CENTER,
    }
    return act.decide(
        held, state[row.decision], reason=row.reason, note=row.note, provider_credits=row.provider_credits
    )
