"""`manage.py entries`: corrections of what was charged, entered, approved and reversed."""

import argparse
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, amount, period_named, subcommands, table
from billing.corrections import entries
from billing.models import Charge, Entry, EntryLine, PayerLine, Person, Source

KINDS = {"transfer": "transfer", "refund": "refund", "write-off": "write_off", "manual": "manual"}
LINE_HEADINGS = ["PI", "project", "fund/org", "source", "service", "account", "amount"]


def money(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"“{text}” is not an amount. Write it as 120.50.") from None


class Command(BillingCommand):
    help = "Correct what was charged: transfers, refunds, write-offs and manual charges, in an open month."
    permission = {
        "list": "billing.view_entry",
        "show": "billing.view_entry",
        "add": "billing.enter_corrections",
        "approve": "billing.approve_entry",
        "reject": "billing.approve_entry",
        "reverse": "billing.enter_corrections",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        every = verbs.add_parser("list", help="show entries and what became of them")
        every.add_argument("-p", "--period", metavar="2025-02", help="only those charged in this month")
        every.add_argument("--state", choices=Entry.State.values)
        every.add_argument("--kind", choices=sorted(KINDS))
        show = verbs.add_parser("show", help="show an entry, line by line")
        show.add_argument("number", type=int, metavar="N")
        self._add_arguments(verbs.add_parser("add", help="enter a correction"))
        for verb, text in (("approve", "approve a correction that somebody else entered"), ("reject", "reject it")):
            each = verbs.add_parser(verb, help=text)
            each.add_argument("number", type=int, metavar="N")
            each.add_argument("--note", default="", required=verb == "reject", help="kept with the entry")
        back = verbs.add_parser("reverse", help="reverse a correction by opposite lines")
        back.add_argument("number", type=int, metavar="N")
        _bearing(back)

    def _add_arguments(self, add: Any) -> None:
        add.add_argument("kind", choices=list(KINDS), metavar="KIND", help="transfer, refund, write-off or manual")
        what = add.add_argument_group("what is corrected (transfer, refund, write-off)")
        what.add_argument(
            "--line",
            action="append",
            default=[],
            metavar="LINE",
            help="a line of a statement such as 2025-01-0007-1:3, or a payer line by its number or key; again for more",
        )
        what.add_argument("--reference", metavar="2025-01-0007", help="all that was charged under a reference, or")
        what.add_argument("--from-fund-org", default="", metavar="FUND_ORG", help="only what this fund/org paid of it")
        what.add_argument("--amount", type=money, help="of one line; all that is left of it where not given")
        what.add_argument(
            "--charge", type=int, metavar="N", help="the one charge it is about: its days of service count"
        )
        who = add.add_argument_group("who pays (transfer, manual)")
        who.add_argument("--to", default="", metavar="FUND_ORG", help="one fund/org, or several: A=60,B=40 (percent)")
        who.add_argument("--pi", default="", metavar="EMAIL", help="the PI's e-mail address or an alias")
        who.add_argument("--project", default="", metavar="CODE")
        who.add_argument("--natural-account", default="", metavar="ACCOUNT")
        manual = add.add_argument_group("what for (manual; --source and --service also narrow a reference)")
        manual.add_argument("--source", default="", metavar="NAME")
        manual.add_argument("--service", metavar="NAME")
        manual.add_argument("--for", dest="for_period", metavar="2025-01", help="the month of the service")
        _bearing(add)

    def run(self, **options: Any) -> None:
        try:
            getattr(self, f"run_{options.pop('verb')}")(**options)
        except entries.SecondPersonNeeded as error:
            if self.actor.user is not None:
                raise
            raise CommandError(f"{error} Add `--as USER`.") from error

    def run_list(self, *, period: str | None, state: str | None, kind: str | None, **options: Any) -> None:
        found = Entry.objects.select_related("charged_in", "for_period").order_by("pk")
        if period:
            found = found.filter(charged_in=period_named(period))
        if state:
            found = found.filter(state=state)
        if kind:
            found = found.filter(kind=KINDS[kind])
        lines = EntryLine.objects.filter(entry__in=found).select_related("pi", "project", "source", "corrects_period")
        of: dict[int, list[EntryLine]] = {}
        for line in lines.order_by("entry", "number"):
            of.setdefault(line.entry_id, []).append(line)
        reversals = dict(Entry.objects.standing().filter(reverses__in=found).values_list("reverses", "pk"))
        each = [described(entry, of.get(entry.pk, []), reversals.get(entry.pk)) for entry in found]
        rows = [
            [
                *(str(told[name]) for name in ("number", "kind", "period", "for_period")),
                amount(entry.amount, entry.currency),
                told["state"],
                entry.entered_by_name,
                " ".join(entry.reason.split())[:60],
            ]
            for entry, told in zip(found, each, strict=True)
        ]
        headings = ["no.", "kind", "in", "for", "amount", "state", "entered by", "reason"]
        self.report({"entries": each}, table(rows, headings, {0, 4}) if rows else "There is no such entry.")

    def run_show(self, *, number: int, **options: Any) -> None:
        self._told(entry_numbered(number))

    def run_add(self, **options: Any) -> None:
        kind = options["kind"]
        period = options["period"]
        given: dict[str, Any] = {
            "charged_in": period_named(period) if period else None,
            "reason": options["reason"],
            "printed_text": options["printed_text"],
            "justification": options["justification"],
            "charge": charge_numbered(options["charge"]) if options["charge"] else None,
            "amount": options["amount"],
            "dry_run": options["dry_run"],
            "actor": self.actor,
            "now": self.now,
        }
        payer = {
            "pi": Person.objects.named(options["pi"]) if options["pi"] else None,
            "project": entries.project_coded(options["project"]),
            "natural_account": options["natural_account"],
        }
        _refuse_what_is_not_asked(kind, options)
        if kind == "manual":
            entered = entries.add_manual_charge(
                fund_org=options["to"],
                source=Source.objects.named(options["source"]),
                service_name=options["service"] or "",
                for_period=period_named(options["for_period"]) if options["for_period"] else None,
                **payer,
                **given,
            )
        else:
            lines = lines_asked(options)
            if kind == "transfer":
                entered = entries.add_transfer(lines=lines, to=entries.shares_from(options["to"]), **payer, **given)
            elif kind == "refund":
                entered = entries.add_refund(lines=lines, **given)
            else:
                entered = entries.add_write_off(lines=lines, **given)
        self._entered(entered)

    def run_approve(self, *, number: int, note: str, **options: Any) -> None:
        self._told(entries.approve(entry=entry_numbered(number), note=note, actor=self.actor, now=self.now))

    def run_reject(self, *, number: int, note: str, **options: Any) -> None:
        self._told(entries.reject(entry=entry_numbered(number), note=note, actor=self.actor, now=self.now))

    def run_reverse(
        self,
        *,
        number: int,
        period: str | None,
        reason: str,
        printed_text: str,
        justification: str,
        dry_run: bool,
        **options: Any,
    ) -> None:
        self._entered(
            entries.reverse(
                entry=entry_numbered(number),
                charged_in=period_named(period) if period else None,
                reason=reason,
                printed_text=printed_text,
                justification=justification,
                dry_run=dry_run,
                actor=self.actor,
                now=self.now,
            )
        )

    def _told(self, entry: Entry) -> None:
        lines = entry.lines.select_related("pi", "project", "source", "corrects_period").order_by("number")
        self._entered(entries.Entered(entry, tuple(lines)))

    def _entered(self, entered: entries.Entered) -> None:
        entry = entered.entry
        reversal = Entry.objects.standing().filter(reverses=entry.pk).first() if entry.pk else None
        told = described(entry, entered.lines, reversal.pk if reversal else None)
        self.report(
            {"dry_run": entered.is_dry_run, **told},
            f"{headline(entered)}\n\n{table([set_line(line) for line in entered.lines], LINE_HEADINGS, {6})}",
        )


def headline(entered: entries.Entered) -> str:
    """Say what an entry does, and what comes next."""
    entry = entered.entry
    what = f"{entry.get_kind_display().lower()} of {amount(entry.amount, entry.currency)}"
    said = f"{what} for {entry.for_period}, charged in {entry.charged_in}: {' '.join(entry.reason.split())}"
    if entered.is_dry_run:
        return f"Would enter a {said}\nNothing is stored."
    told = f"{str(entry).capitalize()}: {said}"
    if entry.state == Entry.State.PROPOSED:
        return f"{told}\nIt waits for a second person: `manage.py entries approve {entry.pk} --as USER`."
    if entry.state == Entry.State.REJECTED:
        return f"{told}\nRejected by {entry.decided_by_name}: {entry.decision_note}"
    return f"{told}\nIt is on statements and the journal with `manage.py generate -p {entry.charged_in}`."


def set_line(line: EntryLine) -> list[str]:
    return [
        line.pi.email if line.pi else "the center",
        line.project.code if line.project else "",
        line.fund_org,
        line.source.name,
        line.service_name,
        line.natural_account,
        amount(line.amount, line.entry.currency),
    ]


def described(entry: Entry, lines: Any, reversed_by: int | None) -> dict[str, Any]:
    return {
        "number": entry.pk,
        "kind": entry.kind,
        "state": entry.state,
        "period": str(entry.charged_in),
        "for_period": str(entry.for_period),
        "currency": entry.currency,
        "amount": entry.amount,
        "total": entry.total,
        "reason": entry.reason,
        "printed_text": entry.printed_text,
        "justification": entry.justification,
        "charge": entry.charge_id,
        "reverses": entry.reverses_id,
        "reversed_by": reversed_by,
        "entered_at": entry.entered_at,
        "entered_by": entry.entered_by_name,
        "decided_at": entry.decided_at,
        "decided_by": entry.decided_by_name,
        "note": entry.decision_note,
        "lines": [
            {
                "kind": line.kind,
                "pi": line.pi.email if line.pi else "",
                "project": line.project.code if line.project else "",
                "fund_org": line.fund_org,
                "source": line.source.name,
                "service": line.service_name,
                "natural_account": line.natural_account,
                "amount": line.amount,
                "corrects_period": str(line.corrects_period) if line.corrects_period else None,
                "corrects": line.corrects_key,
            }
            for line in lines
        ],
    }


def entry_numbered(number: int) -> Entry:
    entry = Entry.objects.select_related("charged_in", "for_period", "charge").filter(pk=number).first()
    if entry is None:
        raise CommandError(f"There is no entry {number}. `manage.py entries list` shows what there is.")
    return entry


def charge_numbered(number: int) -> Charge:
    charge = Charge.objects.filter(pk=number).first()
    if charge is None:
        raise CommandError(f"There is no charge {number}.")
    return charge


def lines_asked(options: dict[str, Any]) -> list[PayerLine]:
    """Return the payer lines that `--line` and `--reference` name."""
    lines = entries.lines_named(options["line"]) if options["line"] or not options["reference"] else []
    if options["reference"]:
        lines += entries.lines_of_reference(
            options["reference"],
            fund_org=options["from_fund_org"],
            source=options["source"],
            service_name=options["service"],
        )
    return lines


def _refuse_what_is_not_asked(kind: str, options: dict[str, Any]) -> None:
    """An option that would be passed over in silence is wrong usage."""
    payer = ("to", "pi", "project", "natural_account")
    not_for = {
        "transfer": ("for_period",),
        "refund": ("for_period", *payer),
        "write-off": ("for_period", *payer),
        "manual": ("line", "reference", "from_fund_org"),
    }[kind]
    if named := [name for name in not_for if options[name]]:
        shown = ", ".join("--for" if name == "for_period" else f"--{name.replace('_', '-')}" for name in named)
        raise CommandError(f"A {kind} takes no {shown}.", returncode=2)
    if kind == "manual":
        asked = {"to": "--to", "pi": "--pi", "source": "--source", "amount": "--amount"}
        if missing := [option for name, option in asked.items() if not options[name]]:
            raise CommandError(f"A manual charge needs {', '.join(missing)}.", returncode=2)
    elif not options["reference"] and (options["from_fund_org"] or options["source"] or options["service"] is not None):
        raise CommandError("--from-fund-org, --source and --service narrow a --reference.", returncode=2)


def _bearing(parser: Any) -> None:
    parser.add_argument(
        "-p",
        "--period",
        metavar="2025-02",
        help="the open month it is charged in; default: the next after what it corrects",
    )
    parser.add_argument("--reason", required=True, help="why, for staff; never printed")
    parser.add_argument(
        "--printed-text", default="", metavar="TEXT", help="what everybody whom it concerns reads on their statement"
    )
    parser.add_argument("--justification", default="", help="why a sponsored award pays so long after the service")
    parser.add_argument("--dry-run", action="store_true", help="show what it would do, and do nothing")
