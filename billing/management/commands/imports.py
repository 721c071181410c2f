"""manage.py imports: list them, withdraw one, and deciding about those that wait."""

import dataclasses
import datetime
import re
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import doors
from billing.commands import BillingCommand, exact_figure, moment, period_named, subcommands, table
from billing.importing import apply_deferred, attempts, book, dismiss, doubts, withdraw
from billing.importing.differences import lines_of
from billing.importing.late import months_of
from billing.importing.outcomes import describe, unread_lines
from billing.models import Import, Source
from billing.readers.dates import rule_lines

# Of an amount as an import keeps it.
AMOUNT = re.compile(r"-?\d+\.\d{2,}")

# What names an import, and counts nothing.
NUMBERS = ("import", "rest_of", "superseded_by")


KEEP = "Keep what is missing: manage.py imports {verb} --keep. "
ANSWERS = (
    "Take it as delivered: manage.py imports {verb} --replace. Or manage.py imports dismiss {number} --reason WHY."
)


class Command(BillingCommand):
    help = "List imports, show or withdraw one, or decide about one that waits."
    permission = {
        "list": "billing.view_import",
        "show": "billing.view_import",
        "withdraw": "billing.withdraw_import",
        "book": "billing.book_import",
        "apply": "billing.book_import",
        "dismiss": "billing.book_import",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        listing = verbs.add_parser("list", help="the latest imports")
        listing.add_argument("-s", "--source", help="of this source only")
        listing.add_argument("-p", "--period", help="with rows of this period only")
        listing.add_argument("--deferred", action="store_true", help="only those that wait for a decision")
        listing.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
        showing = verbs.add_parser("show", help="one import, whole")
        showing.add_argument("number", type=int, metavar="N")
        withdrawing = verbs.add_parser("withdraw", help="withdraw the latest import of its source and periods")
        withdrawing.add_argument("number", type=int, metavar="N")
        booking = verbs.add_parser("book", help="book a deferred import as late changes of an open month")
        booking.add_argument("number", type=int, metavar="N")
        booking.add_argument("--to", required=True, metavar="MONTH", help="the month it is charged in, such as 2025-03")
        answers(booking)
        applying = verbs.add_parser("apply", help="apply a deferred import where its months take changes")
        applying.add_argument("number", type=int, metavar="N")
        answers(applying)
        dismissing = verbs.add_parser("dismiss", help="decide that a deferred import is not going to be booked")
        dismissing.add_argument("number", type=int, metavar="N")
        dismissing.add_argument("--reason", required=True, help="why; it is kept with the import")

    def run(self, **options: object) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, *, source: str | None, period: str | None, deferred: bool, limit: int, **_: object) -> None:
        # Attempts that the database could not take are failed imports as soon as it can.
        attempts.bring_in(actor=self.actor, now=self.now)
        imports = Import.objects.select_related("source", "booked_in")
        if deferred:
            imports = imports.filter(state=Import.State.DEFERRED)
        if source:
            imports = imports.filter(source=Source.objects.named(source))
        if period:
            imports = imports.filter(scope_totals__period=period_named(period)).distinct()
        found = list(imports[:limit])
        rows = [
            [
                str(each.pk),
                moment(each.created_at),
                each.source.name if each.source else "?",
                state_of(each),
                f"{each.rows:,}",
                f"{each.flagged:,}",
                each.name,
            ]
            for each in found
        ]
        headings = ["import", "when", "source", "state", "rows", "flagged", "files"]
        text = table(rows, headings, right={0, 4, 5}) if rows else "No imports yet: manage.py ingest FILE."
        if deferred and not rows:
            text = "No import waits for a decision."
        elif any(each.state == Import.State.DEFERRED for each in found):
            text += (
                "\nDeferred: manage.py imports show N, then imports apply N (open or in review), imports book N --to "
                "MONTH (closed), or dismiss N --reason WHY."
            )
        self.report({"imports": [as_data(each) for each in found]}, text)

    def run_show(self, *, number: int, **_: object) -> None:
        each = import_numbered(number)
        data = as_data(each)
        width = max(len(key) for key in data)
        lines = [
            f"{key.ljust(width)}  {value if key in NUMBERS and value else _told(value)}"
            for key, value in data.items()
            if key not in ("errors", "difference", "rules", "unread", "doubts")
        ]
        lines += doubts.messages(each)
        if each.doubts and each.state == Import.State.DEFERRED:
            answers = ANSWERS if doubts.is_written_anew(each) else KEEP + ANSWERS
            lines.append(answers.format(number=each.pk, verb=_verb(each)))
        lines += [*rule_lines(each.rules), *unread_lines(each.unread)]
        lines += lines_of(each.difference)
        lines += [describe(error) for error in each.errors]
        self.report(data, "\n".join(lines))

    def run_withdraw(self, *, number: int, **_: object) -> None:
        result = withdraw(imported=import_numbered(number), actor=self.actor, now=self.now)
        self.report(
            {"import": number, **dataclasses.asdict(result)},
            f"Import {number} is withdrawn: {result}",
        )

    def run_book(self, *, number: int, to: str, missing: str, **_: object) -> None:
        result = book(
            imported=import_numbered(number),
            into=period_named(to),
            missing=missing,
            actor=self.actor,
            now=self.now,
            progress=self.progress,
        )
        self.report(result.as_data(), doors.with_commands(result.as_text(), result.next_steps))

    def run_apply(self, *, number: int, missing: str, **_: object) -> None:
        result = apply_deferred(
            imported=import_numbered(number), missing=missing, actor=self.actor, now=self.now, progress=self.progress
        )
        self.report(result.as_data(), doors.with_commands(result.as_text(), result.next_steps))

    def run_dismiss(self, *, number: int, reason: str, **_: object) -> None:
        result = dismiss(imported=import_numbered(number), reason=reason, actor=self.actor, now=self.now)
        self.report(
            {"import": number, "state": Import.State.DISMISSED.value, "reason": result.reason},
            f"Import {number} is dismissed: nothing of it is booked.",
        )


def answers(parser: CommandParser) -> None:
    """Let a command say what becomes of the charges that a doubtful import lacks."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--keep",
        dest="missing",
        action="store_const",
        const=Import.Missing.KEEP.value,
        help="keep the charges that it lacks: it changes and adds, and withdraws nothing",
    )
    either.add_argument(
        "--replace",
        dest="missing",
        action="store_const",
        const=Import.Missing.REPLACE.value,
        help="take it as delivered: what it lacks is withdrawn",
    )
    parser.set_defaults(missing="")


def _verb(each: Import) -> str:
    takes_changes = any(period.takes_changes for period in months_of(each))
    return f"apply {each.pk}" if takes_changes else f"book {each.pk} --to MONTH"


def _told(value: object) -> str:
    """Write a value of an import for people: counts and totals with separators, times to the minute."""
    if isinstance(value, dict):
        return "; ".join(
            f"{name}: {_told(part)}" if isinstance(part, dict) else f"{name} {_told(part)}"
            for name, part in sorted(value.items())
        )
    if isinstance(value, datetime.datetime):
        return moment(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str) and AMOUNT.fullmatch(value):
        return exact_figure(Decimal(value), None)
    return "–" if value is None else str(value)


def state_of(each: Import) -> str:
    """Say what became of an import, in a word or two."""
    if each.state == Import.State.DEFERRED:
        return "Deferred"
    if each.booked_in and each.state == Import.State.APPLIED:
        return f"Booked in {each.booked_in}"
    return each.get_state_display()


def import_numbered(number: int) -> Import:
    """Return an import by its number; raise CommandError where there is none."""
    try:
        return Import.objects.select_related("source", "booked_in").get(pk=number)
    except Import.DoesNotExist:
        raise CommandError(f"There is no import {number}. Next: `manage.py imports list`.") from None


def as_data(each: Import) -> dict[str, Any]:
    """One import, as --json holds it."""
    return {
        "import": each.pk,
        "state": each.state,
        "source": each.source.name if each.source else None,
        "files": each.name,
        "mode": each.mode,
        "created_at": each.created_at,
        "created_by": each.created_by_name,
        "rows": each.rows,
        "new": each.new,
        "changed": each.changed,
        "unchanged": each.unchanged,
        "withdrawn": each.withdrawn,
        "unseen": each.unseen,
        "flagged": each.flagged,
        "flags": each.flags,
        "totals": each.totals,
        "stored": each.stored,
        "difference": each.difference,
        "rules": each.rules,
        "unread": each.unread,
        "new_pis": each.new_pis,
        "rest_of": each.rest_of_id,
        "booked_in": each.booked_in.iso_month if each.booked_in else None,
        "superseded_by": each.superseded_by_id,
        "reason": each.reason,
        "made_at": each.made_at,
        "doubts": each.doubts,
        "missing": each.missing,
        "errors": each.errors,
    }
