"""`manage.py corrections`: enter, approve, reject and reverse them, and show what there is."""

import argparse
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import corrections
from billing.commands import BillingCommand, amount, period_named, subcommands, table
from billing.models import Charge, Correction, CorrectionLine, PayerLine, Person, Source
from billing.told import fields_of

KINDS = {"transfer": "transfer", "refund": "refund", "write-off": "write_off", "manual": "manual"}
# What follows from the use of balances is listed, and never entered by hand.
LISTED = {**KINDS, "prepaid": "prepaid"}
LINE_HEADINGS = ["PI", "project", "fund/org", "source", "service", "account", "amount"]


def money(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"“{text}” is not an amount. Write it as 120.50.") from None


class Command(BillingCommand):
    help = "Correct what was charged: transfers, refunds, write-offs and manual charges, in an open month."
    permission = {
        "list": "billing.view_correction",
        "show": "billing.view_correction",
        "add": "billing.enter_corrections",
        "approve": "billing.approve_correction",
        "reject": "billing.approve_correction",
        "reverse": "billing.enter_corrections",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        every = verbs.add_parser("list", help="show corrections and what became of them")
        every.add_argument("-p", "--period", metavar="2025-02", help="only those charged in this month")
        every.add_argument("--state", choices=Correction.State.values)
        every.add_argument("--kind", choices=sorted(LISTED))
        show = verbs.add_parser("show", help="show a correction, line by line")
        show.add_argument("number", type=int, metavar="N")
        self._add_arguments(verbs.add_parser("add", help="enter a correction"))
        for verb, text in (("approve", "approve a correction that somebody else entered"), ("reject", "reject it")):
            each = verbs.add_parser(verb, help=text)
            each.add_argument("number", type=int, metavar="N")
            each.add_argument("--note", default="", required=verb == "reject", help="kept with the correction")
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

    def run(self, **options: object) -> None:
        try:
            getattr(self, f"run_{options.pop('verb')}")(**options)
        except corrections.SecondPersonNeeded as error:
            if self.actor.user is not None:
                raise
            raise CommandError(f"{error} Add `--as USER`.") from error

    def run_list(self, *, period: str | None, state: str | None, kind: str | None, **options: object) -> None:
        found = Correction.objects.select_related("charged_in", "for_period").order_by("pk")
        if period:
            found = found.filter(charged_in=period_named(period))
        if state:
            found = found.filter(state=state)
        if kind:
            found = found.filter(kind=LISTED[kind])
        lines = CorrectionLine.objects.filter(correction__in=found).select_related(
            "pi", "project", "source", "corrects_period"
        )
        of: dict[int, list[CorrectionLine]] = {}
        for line in lines.order_by("correction", "number"):
            of.setdefault(line.correction_id, []).append(line)
        reversals = dict(Correction.objects.standing().filter(reverses__in=found).values_list("reverses", "pk"))
        each = [described(correction, of.get(correction.pk, []), reversals.get(correction.pk)) for correction in found]
        rows = [
            [
                *(str(told[name]) for name in ("number", "kind", "period", "for_period")),
                amount(correction.amount, correction.currency),
                told["state"],
                correction.entered_by_name,
                " ".join(correction.reason.split())[:60],
            ]
            for correction, told in zip(found, each, strict=True)
        ]
        headings = ["no.", "kind", "in", "for", "amount", "state", "entered by", "reason"]
        self.report({"corrections": each}, table(rows, headings, {0, 4}) if rows else "There is no such correction.")

    def run_show(self, *, number: int, **options: object) -> None:
        self._told(correction_numbered(number))

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
            "project": corrections.project_coded(options["project"]),
            "natural_account": options["natural_account"],
        }
        _refuse_what_is_not_asked(kind, options)
        if kind == "manual":
            entered = corrections.add_manual_charge(
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
                entered = corrections.add_transfer(
                    lines=lines, to=corrections.shares_from(options["to"]), **payer, **given
                )
            elif kind == "refund":
                entered = corrections.add_refund(lines=lines, **given)
            else:
                entered = corrections.add_write_off(lines=lines, **given)
        self._entered(entered)

    def run_approve(self, *, number: int, note: str, **options: object) -> None:
        self._told(
            corrections.approve(correction=correction_numbered(number), note=note, actor=self.actor, now=self.now)
        )

    def run_reject(self, *, number: int, note: str, **options: object) -> None:
        self._told(
            corrections.reject(correction=correction_numbered(number), note=note, actor=self.actor, now=self.now)
        )

    def run_reverse(
        self,
        *,
        number: int,
        period: str | None,
        reason: str,
        printed_text: str,
        justification: str,
        dry_run: bool,
        **options: object,
    ) -> None:
        self._entered(
            corrections.reverse(
                correction=correction_numbered(number),
                charged_in=period_named(period) if period else None,
                reason=reason,
                printed_text=printed_text,
                justification=justification,
                dry_run=dry_run,
                actor=self.actor,
                now=self.now,
            )
        )

    def _told(self, correction: Correction) -> None:
        lines = correction.lines.select_related("pi", "project", "source", "corrects_period").order_by("number")
        self._entered(corrections.Entered(correction, tuple(lines)))

    def _entered(self, entered: corrections.Entered) -> None:
        correction = entered.correction
        reversal = Correction.objects.standing().filter(reverses=correction.pk).first() if correction.pk else None
        told = described(correction, entered.lines, reversal.pk if reversal else None)
        self.report(
            {"dry_run": entered.is_dry_run, **told},
            f"{headline(entered)}\n\n{table([set_line(line) for line in entered.lines], LINE_HEADINGS, {6})}",
        )


def headline(entered: corrections.Entered) -> str:
    """Say what a correction does, and what comes next."""
    correction = entered.correction
    what = f"{correction.get_kind_display().lower()} of {amount(correction.amount, correction.currency)}"
    said = (
        f"{what} for {correction.for_period}, charged in {correction.charged_in}: {' '.join(correction.reason.split())}"
    )
    if entered.is_dry_run:
        return f"Would enter a {said}\nNothing is stored."
    told = f"{str(correction).capitalize()}: {said}"
    if correction.state == Correction.State.PROPOSED:
        return f"{told}\nIt waits for a second person: `manage.py corrections approve {correction.pk} --as USER`."
    if correction.state == Correction.State.REJECTED:
        return f"{told}\nRejected by {correction.decided_by_name}: {correction.decision_note}"
    return (
        f"{told}\nIt is on statements and the journal with `manage.py generate -p {correction.charged_in.iso_month}`."
    )


def set_line(line: CorrectionLine) -> list[str]:
    return [
        line.pi.email if line.pi else "the center",
        line.project.code if line.project else "",
        line.fund_org,
        line.source.name,
        line.service_name,
        line.natural_account,
        amount(line.amount, line.correction.currency),
    ]


def described(correction: Correction, lines: Any, reversed_by: int | None) -> dict[str, Any]:
    return {
        "number": correction.pk,
        "kind": correction.kind,
        "state": correction.state,
        "period": correction.charged_in.iso_month,
        "for_period": correction.for_period.iso_month,
        **fields_of(correction, "currency", "amount", "total", "reason", "printed_text", "justification"),
        "charge": correction.charge_id,
        "reverses": correction.reverses_id,
        "reversed_by": reversed_by,
        "entered_at": correction.entered_at,
        "entered_by": correction.entered_by_name,
        "decided_at": correction.decided_at,
        "decided_by": correction.decided_by_name,
        "note": correction.decision_note,
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
                "corrects_period": line.corrects_period.iso_month if line.corrects_period else None,
                "corrects": line.corrects_key,
            }
            for line in lines
        ],
    }


def correction_numbered(number: int) -> Correction:
    correction = Correction.objects.select_related("charged_in", "for_period", "charge").filter(pk=number).first()
    if correction is None:
        raise CommandError(f"There is no correction {number}. Next: `manage.py corrections list`.")
    return correction


def charge_numbered(number: int) -> Charge:
    charge = Charge.objects.filter(pk=number).first()
    if charge is None:
        raise CommandError(f"There is no charge {number}.")
    return charge


def lines_asked(options: dict[str, Any]) -> list[PayerLine]:
    """Return the payer lines that `--line` and `--reference` name."""
    lines = corrections.lines_named(options["line"]) if options["line"] or not options["reference"] else []
    if options["reference"]:
        lines += corrections.lines_of_reference(
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
