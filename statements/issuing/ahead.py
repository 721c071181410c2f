"""charges.csv written ahead of a run: while nobody waits, and taken under the month's lock if it still holds."""

import datetime
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal

from billing import charging
from billing.audit import Actor
from billing.charging import Fingerprint
from billing.errors import BillingError
from billing.files import documents
from billing.models import BillingPeriod, Policy
from billing.moments import one_moment
from billing.months import checklist
from billing.progress import Progress, unwatched

from ..models import Statement, StatementLine
from . import charge_files
from .planning import plan, statement_of

DOING = "Writing charges"


@dataclass(frozen=True)
class _File:
    """A file that is written and has no name yet; `made_of` are the lines that it adds up to."""

    made_of: str
    file: documents.Ready
    sha256: str


class ChargesAhead:
    """The charges of statements that a run is about to issue, by the numbers that these will have."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._stamp: tuple[object, ...] = ()
        self._charges: Fingerprint | None = None
        self._is_as_it_was = False

    def write(self, period: BillingPeriod, *, actor: Actor, now: datetime.datetime, progress: Progress) -> None:
        """Write the files of all that would be issued now, as the database is at one moment.

        Raises the errors of `charging.compute`.
        """
        with one_moment():
            period = BillingPeriod.objects.get(pk=period.pk)
            self._stamp = checklist.stamp_of(period)
            lines = charging.compute(period)
            planned = [each for each in plan(period, lines, charging.numbered(period, lines)) if each.is_new]
            if not planned:
                return
            self._charges = charging.fingerprint_of(period)
            currency = Policy.objects.current().currency
            issued = [
                (statement_of(each, period=period, currency=currency, actor=actor, now=now), each.lines)
                for each in planned
            ]
            lines_of = {statement.number: own for statement, own in issued}
            for done, (statement, data) in enumerate(charge_files.written(period, issued), start=1):
                self._add(statement, lines_of[statement.number], data)
                progress(done, len(issued), DOING)

    def _add(self, statement: Statement, lines: Sequence[StatementLine], data: bytes) -> None:
        pending = documents.Ready(charge_files.name_of(statement))
        self._files[statement.number] = _File(_made_of(statement, lines), pending, hashlib.sha256(data).hexdigest())
        pending.file.write(data)
        pending.complete()

    def look_again(self, period: BillingPeriod) -> None:
        """Note whether anything was recorded since the files were written; asked first once the month is locked."""
        self._is_as_it_was = checklist.stamp_of(period) == self._stamp

    def keep(self, period: BillingPeriod, issued: Sequence[tuple[Statement, Sequence[StatementLine]]]) -> None:
        """Give the charges of statements that are being issued their names, and set their hashes (unsaved).

        The caller holds the month's lock. What changed since its file was written is written anew: a statement of
        other lines, and one whose PI has other charges now.

        They are there before the statement is: what charges say may change right after. A run that is undone leaves
        files whose numbers the next statements take, with the files.
        """
        taken = self._still_true(period, issued)
        documents.publish([each.file for each in taken.values()])
        anew = []
        for statement, lines in issued:
            if each := taken.get(statement.number):
                statement.charges_sha256 = each.sha256
            else:
                anew.append((statement, lines))
        charge_files.keep(period, anew)

    def _still_true(
        self, period: BillingPeriod, issued: Sequence[tuple[Statement, Sequence[StatementLine]]]
    ) -> dict[str, _File]:
        """Return, by number, the files that say what they would if they were written now."""
        found = {
            statement.number: each
            for statement, lines in issued
            if (each := self._files.get(statement.number)) and each.made_of == _made_of(statement, lines)
            # One that waited for very long was cleared away as left over.
            if each.file.temporary.is_file()
        }
        if found and self._charges and not self._is_as_it_was:
            now = charging.fingerprint_of(period)
            for statement, _ in issued:
                if not now.is_same_for(statement.pi_id, self._charges):
                    found.pop(statement.number, None)
        return found

    def discard(self) -> None:
        """Leave nothing of what was not taken."""
        for each in self._files.values():
            each.file.discard()


@contextmanager
def charges_ahead(
    period: BillingPeriod, *, actor: Actor, now: datetime.datetime, progress: Progress = unwatched
) -> Iterator[ChargesAhead]:
    """Write the charges of what a run would issue now, for the block to take; then remove what it did not take.

    What keeps a run from being made is told by the run: then nothing is written ahead.
    """
    files = ChargesAhead()
    try:
        with suppress(BillingError):
            files.write(period, actor=actor, now=now, progress=progress)
        yield files
    finally:
        files.discard()


def _made_of(statement: Statement, lines: Sequence[StatementLine]) -> str:
    """Return the hash of all that a file of charges says besides the charges."""
    fields = [field for field in StatementLine._meta.concrete_fields if field.name not in ("id", "statement")]
    said = [
        *(statement.number, statement.pi_id, statement.project_id, statement.currency),
        *(statement.document[name] for name in ("reference_labels", "portal_url")),
        [[field.value_from_object(line) for field in fields] for line in lines],
    ]
    return hashlib.sha256(json.dumps(said, default=_said).encode()).hexdigest()


def _said(value: object) -> str:
    """Write an amount, or a day, the same whether the database gave it or it was just worked out."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
