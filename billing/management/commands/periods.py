"""`manage.py periods`: the life of a billing period, from its opening to its end."""

import argparse
import datetime
from typing import Any

from django.core.management.base import CommandParser

from billing import doors
from billing.commands import BillingCommand, amount, amounts, period_named, subcommands, table
from billing.commands import day as day_of
from billing.models import BillingPeriod, Policy
from billing.models.periods import parse_month
from billing.months import checklist, closing, elsewhere
from billing.proof import recounting
from billing.texts import long_date


def month(text: str) -> datetime.date:
    try:
        return parse_month(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a day. Write it as 2025-02-14.") from None


class Command(BillingCommand):
    help = "List billing periods, and take one through its steps: open, in review, closed, finalized."
    permission = {
        "list": "billing.view_billingperiod",
        "show": "billing.view_billingperiod",
        "open": "billing.open_period",
        "review": "billing.open_period",
        "carry": "billing.close_period",
        "close": "billing.close_period",
        "reopen": "billing.reopen_period",
        "finalize": "billing.finalize_period",
        "remove": "billing.open_period",
        "recount": "billing.close_period",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every period with its charges, what is held and what is charged")
        showing = verbs.add_parser("show", help="what a period still needs, item by item, and what to do next")
        showing.add_argument("period", metavar="PERIOD", help="such as 2025-01")
        opening = verbs.add_parser("open", help="open the period of a month")
        opening.add_argument("month", type=month, metavar="PERIOD", help="such as 2025-01")
        opening.add_argument("--notes", default="", help="kept with the period")
        for verb, text in (
            ("review", "give PIs until a day to look at their statements; again, to move the day"),
            ("carry", "charge in the next open month what is held for review"),
            ("close", "lock its charges, decisions and corrections; nothing may be held for review"),
            ("reopen", "take a closed period back"),
            ("finalize", "finish a closed period permanently"),
            ("recount", "add up its charges again, where the reconciliation says that its totals are wrong"),
            ("remove", "take an empty month out of the lists; the next import for it brings it back"),
        ):
            each = verbs.add_parser(verb, help=text)
            each.add_argument("period", metavar="PERIOD", help="such as 2025-01")
            if verb == "review":
                each.add_argument("--until", type=day, required=True, metavar="DATE", help="the last day of the review")
            if verb == "carry":
                each.add_argument(
                    "--reason",
                    default="",
                    help="why; it takes one over the end of a fiscal year or of an award, and is kept in the audit log",
                )
            if verb == "close":
                each.add_argument("--carry-held", action="store_true", help="carry what is held to the next open month")
            if verb == "reopen":
                each.add_argument("--reason", required=True, help="why; kept in the audit log")
                each.add_argument("--to", choices=("open", "review"), default="open", help="default: open")
                each.add_argument("--until", type=day, metavar="DATE", help="the last day, if back in review")
            if verb in ("close", "finalize"):
                each.add_argument("--notes", default="", help="kept with the period")

    def run(self, **options: object) -> None:
        getattr(self, f"run_{options['verb']}")(**options)

    def run_list(self, **options: object) -> None:
        figures = closing.figures()
        home = Policy.objects.current().currency
        rows = [
            [
                each.period.iso_month,
                each.period.get_status_display(),
                f"{each.charges:,}",
                amounts(each.billed),
                f"{each.held:,}",
                amount(each.due, home),
            ]
            for each in figures
        ]
        self.report(
            {
                "periods": [
                    described(each.period)
                    | {"charges": each.charges, "billed": each.billed, "held": each.held, "due": each.due}
                    for each in figures
                ]
            },
            table(rows, ["Period", "Status", "Charges", "Billed", "Held", "Charged"], right={2, 3, 4, 5})
            if rows
            else "There are no billing periods yet: `ingest` or `periods open` makes one.",
        )

    def run_show(self, *, period: str, **options: object) -> None:
        shown = period_named(period)
        listed = checklist.of(shown)
        next_item = listed.next
        self.report(
            described(shown)
            | {
                "items": [item_data(item) for item in listed.items],
                "next": next_item.code if next_item else None,
                "history": [vars(note) for note in closing.notes_of(shown)],
            },
            as_text(listed),
        )

    def run_open(self, *, month: datetime.date, notes: str, **options: object) -> None:
        period = closing.open_period(month=month, notes=notes, actor=self.actor, now=self.now)
        self.report(described(period), f"Billing period {period} is open.")

    def run_review(self, *, period: str, until: datetime.date, **options: object) -> None:
        done = closing.start_review(period=period_named(period), until=until, actor=self.actor, now=self.now)
        self.report(described(done), f"Billing period {done} is in review until {long_date(until)}.")

    def run_carry(self, *, period: str, reason: str, **options: object) -> None:
        carried = closing.carry_over(period=period_named(period), reason=reason, actor=self.actor, now=self.now)
        self.report(
            {
                "period": carried.period.iso_month,
                "into": carried.into.iso_month,
                "charges": carried.charges,
                "billed": carried.billed,
            },
            f"{carried} They wait there: `review list -p {carried.into.iso_month}`.",
        )

    def run_close(self, *, period: str, carry_held: bool, notes: str, **options: object) -> None:
        left = checklist.of(period_named(period)).left_behind(checklist.CLOSE)
        done = closing.close(
            period=period_named(period), carry_held=carry_held, notes=notes, actor=self.actor, now=self.now
        )
        said = [f"Billing period {done} is closed: its charges and decisions are locked."]
        said += [f"Not done yet: {item.label}. {item.text}" for item in left]
        if (item := checklist.of(done).next) and item.then:
            said.append(f"Next: `{doors.as_command(item.then)}`.")
        self.report(described(done) | {"left": [item.code for item in left]}, "\n".join(said))

    def run_remove(self, *, period: str, **options: object) -> None:
        gone = closing.remove(period=period_named(period), actor=self.actor, now=self.now)
        self.report(
            described(gone), f"Billing period {gone} is removed from the lists. The next import for it brings it back."
        )

    def run_recount(self, *, period: str, **options: Any) -> None:
        recounted = recounting.recount(period=period_named(period), actor=self.actor, now=self.now)
        self.report(vars(recounted), str(recounted))

    def run_reopen(
        self, *, period: str, reason: str, to: str, until: datetime.date | None = None, **options: object
    ) -> None:
        done = closing.reopen(
            period=period_named(period), reason=reason, to=to, until=until, actor=self.actor, now=self.now
        )
        ending = f" until {long_date(done.review_until)}" if done.review_until else ""
        rows = elsewhere.booked_elsewhere(done)
        lines = [
            f"{each.pi}, {each.fund_org or 'no fund/org'}: {amount(each.amount, each.currency)} in "
            f"{each.period} ({each.what.lower()})"
            for each in rows
        ]
        told = ["Charged in other months already, and not again here:", *lines] if lines else []
        data = [
            {
                **{"pi": each.pi, "fund_org": each.fund_org, "period": each.period.iso_month, "what": each.what},
                **{"currency": each.currency, "amount": each.amount},
            }
            for each in rows
        ]
        said = f"Billing period {done} is {done.get_status_display().lower()} again{ending}."
        self.report(described(done) | {"elsewhere": data}, "\n".join([said, *told]))

    def run_finalize(self, *, period: str, notes: str, **options: object) -> None:
        done = closing.finalize(period=period_named(period), notes=notes, actor=self.actor, now=self.now)
        self.report(described(done), f"Billing period {done} is finalized.")


def item_data(item: checklist.Item) -> dict[str, Any]:
    """Return an item of a checklist as --json shows it."""
    permission = doors.permission_of(item.then) if item.then else ""
    return {
        "code": item.code,
        "label": item.label,
        "state": item.state.value,
        "text": item.text,
        "details": list(item.details),
        "count": item.count,
        "money": item.money,
        "command": doors.as_command(item.then) if item.then else "",
        "permission": permission,
        "roles": doors.holders(permission) if permission else [],
    }


def as_text(listed: checklist.Checklist) -> str:
    """Write a month's checklist for a terminal, and what to do next."""
    period = listed.period
    said = [f"Billing period {period}: {period.get_status_display().lower()}", ""]
    rows = [[MARKS[item.state], item.label, item.text] for item in listed.items]
    said.append(table(rows, ["", "Item", "State"]))
    said += [f"  - {item.label}: {detail}" for item in listed.items for detail in item.details]
    if (item := listed.next) and item.then:
        permission = doors.permission_of(item.then)
        who = ", ".join(doors.holders(permission)) if permission else ""
        said += ["", f"Next: `{doors.as_command(item.then)}`" + (f" (roles: {who})." if who else ".")]
    elif not item:
        said += ["", "Nothing is left to do."]
    if notes := closing.notes_of(period):
        said += ["", "Notes"] + [f"  {day_of(note.at)} {note.step.lower()} by {note.by}: {note.text}" for note in notes]
    return "\n".join(said)


MARKS = {
    checklist.State.DONE: "done",
    checklist.State.OPEN: "to do",
    checklist.State.BLOCKED: "blocked",
    checklist.State.WARNING: "warning",
    checklist.State.NOT_APPLICABLE: "-",
    checklist.State.CHECKING: "checking",
}


def described(period: BillingPeriod) -> dict[str, Any]:
    """Return a period as --json shows it."""
    return {
        "period": period.iso_month,
        "status": period.status,
        "review_until": period.review_until,
        "closed_at": period.closed_at,
        "closed_by": period.closed_by,
        "finalized_at": period.finalized_at,
        "finalized_by": period.finalized_by,
        "notes": period.notes,
    }
