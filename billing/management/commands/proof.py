"""The tie-out of a period: from the files' own totals to the ledger."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import doors
from billing.commands import BillingCommand, amounts, exact_figure, period_named, table
from billing.proof import TITLES, Equation, Verdict, tieout

BELOW_VAR_DIR = Path()
HEADINGS = ["source", "", "amount", "", "rows"]


class Command(BillingCommand):
    help = "Show that what was delivered for a period is accounted for; exit 1 where it does not reconcile."
    permission = "billing.view_billingperiod"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", metavar="2025-01", required=True, help="the billing period")
        parser.add_argument(
            "--pdf",
            metavar="FILE",
            type=Path,
            nargs="?",
            const=BELOW_VAR_DIR,
            help="write it as PDF too, without FILE below VAR_DIR/proofs",
        )

    def run(self, **options: Any) -> None:
        period = period_named(options["period"])
        report = tieout.report(period)
        data, text = report.as_data(), as_text(report)
        if pdf := options["pdf"]:
            path = None if pdf == BELOW_VAR_DIR else pdf
            pdf = tieout.write_pdf(period=period, path=path, actor=self.actor, now=self.now)
            data["pdf"] = str(pdf)
            text += f"\n\nAs PDF: {pdf}"
        self.report(data, text)
        if not report.proof.reconciles:
            raise CommandError(report.proof.verdict)


def as_text(report: tieout.Report) -> str:
    """Write a proof for a terminal."""
    proved = report.proof
    parts = [
        f"{title}\n{table(rows, HEADINGS, {2, 4})}"
        for code, title in TITLES.items()
        if (rows := [row for each in proved.equations if each.code == code for row in _rows(each)])
    ]
    if report.amortized:
        rows = [
            [each.source, label, exact_figure(amount, each.currency), each.currency, ""]
            for each in report.amortized
            for label, amount in (
                ("BilledCost", each.billed),
                ("commitments bought", each.bought),
                ("commitments used", each.used),
                ("other differences", each.other),
                ("= EffectiveCost", each.effective),
            )
        ]
        parts.append(f"From billed to effective cost\n{table(rows, HEADINGS, {2})}")
    if report.invoices:
        rows = [
            [
                each.source,
                each.invoice_id or "whole month",
                exact_figure(each.billed, each.currency),
                "" if each.said is None else exact_figure(each.said, each.currency),
                "" if each.difference is None else exact_figure(each.difference, each.currency),
                each.currency,
            ]
            for each in report.invoices
        ]
        headings = ["source", "invoice", "files bill", "it says", "difference", ""]
        parts.append(f"The provider's invoices\n{table(rows, headings, {2, 3, 4})}")
    if report.uncharged:
        rows = [
            [
                each.kind,
                each.name,
                each.source,
                f"{each.charges:,}",
                amounts(each.billed),
            ]
            for each in report.uncharged
        ]
        headings = ["", "name", "source", "charges then", "billed then"]
        parts.append(f"Charged the month before, and not this month\n{table(rows, headings, {3, 4})}")
    if proved.units:
        parts.append("\n".join(["Usage, in units", *map(str, proved.units)]))
    if proved.disposed:
        parts.append("\n".join(proved.disposed))
    said = "".join(f"\n- {each}" for each in proved.problems())
    if report.culprits:
        said += "\n\nThe rows responsible:" + "".join(f"\n- {each}" for each in report.culprits)
    parts.append(f"{proved.verdict}{said}")
    return "\n\n".join(parts)


def _rows(equation: Equation) -> list[list[str]]:
    rows = []
    name = equation.source + (f" ({equation.of_currency})" if equation.of_currency else "")
    for terms, sign in ((equation.left, ""), (equation.right, "= ")):
        for number, term in enumerate(terms):
            label = f"{sign if number == 0 else ' ' * len(sign)}{term.label}"
            rows.append(
                [name, label, exact_figure(term.amount, equation.currency), equation.currency, f"{term.count:,}"]
            )
            name = ""
    if equation.verdict != Verdict.OK:
        off = exact_figure(equation.difference, equation.currency) if equation.difference else ""
        next_step = f" Next: `{doors.as_command(equation.then)}`." if equation.then else ""
        rows.append(["", f"→ {equation.verdict.value}: {equation.note}{next_step}", off, "", ""])
    return rows
