"""Write the journal of a period to a file, as a draft or submitted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand, amount, day_named, period_named
from journals import posting


class Command(BillingCommand):
    help = (
        "Write the journal of a period: what is charged and not yet on a live journal. A draft, marked so, "
        "may be made again and again; --submit freezes it."
    )
    permission = "journals.export_journal"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="2025-01")
        parser.add_argument(
            "-f",
            "--format",
            default="gl",
            help="standard (detail), summary (by PI, project and fund/org), gl (debits and credits, the default), "
            "template (the one there is), or the name of a template or of a released layout",
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="where to, .xlsx for a spreadsheet; else below VAR_DIR"
        )
        parser.add_argument("--submit", action="store_true", help="freeze the journal and keep its file")
        parser.add_argument(
            "--date",
            metavar="YYYY-MM-DD",
            help="posting date; else the last day of the period, or today if earlier, "
            "or what the accounting calendar takes",
        )
        parser.add_argument(
            "--date-reason", default="", metavar="TEXT", help="why it is posted in another fiscal year or past a cutoff"
        )

    def permissions(self, options: Mapping[str, object]) -> tuple[str, ...]:
        return (*super().permissions(options), *(("journals.submit_journal",) if options["submit"] else ()))

    def run(self, **options: Any) -> None:
        exported = posting.export(
            period=period_named(options["period"]),
            format=options["format"],
            posting_date=day_named(options["date"]),
            date_reason=options["date_reason"],
            output=options["output"],
            submit=options["submit"],
            actor=self.actor,
            now=self.now,
        )
        data = {
            "period": exported.period,
            "format": exported.format,
            "number": exported.number or None,
            "state": exported.state or None,
            "lines": exported.lines,
            "debits": exported.debits,
            "credits": exported.credits,
            "file": str(exported.file),
        }
        self.report(data, self.told(exported))

    def told(self, exported: posting.Exported) -> str:
        if exported.journal is None:
            holds = f"{exported.lines:,} of 0.00" if exported.lines else "no lines"
            return f"{exported.told} {exported.file} holds {holds}."
        figures = (
            f"{exported.lines:,} {'row' if exported.lines == 1 else 'rows'}, "
            f"debits {amount(exported.debits, exported.currency)}, "
            f"credits {amount(exported.credits, exported.currency)}: {exported.file}"
        )
        if exported.state == "draft":
            return f"Draft of journal {exported.number}, {figures}\nSubmit it with --submit once it is right."
        if exported.state == "submitted":
            return (
                f"Journal {exported.number} submitted, {figures}\nRecord the ledger's answer with "
                f"`manage.py journals post {exported.number} --document …` or `reject`."
            )
        return f"Journal {exported.number} submitted and counted as posted, {figures}"
