"""The preflight of a month's draft: what the ledger would refuse of it, before it is submitted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import doors
from billing.commands import BillingCommand
from billing.errors import NextStep
from billing.files import whole
from journals import posting, preflight
from journals.models import Journal
from journals.preflight import Finding, Report, sheets


class Command(BillingCommand):
    help = (
        "Check the draft of a month as it is checked when it is submitted. Exit code 1 while errors stand, or warnings "
        "that nobody acknowledged."
    )
    permission = "journals.view_journal"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("journal", metavar="MONTH", help="a month such as 2025-01, or the number of a draft")
        parser.add_argument("-f", "--format", default="gl", help="what the file is to be written in; gl by default")
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the findings, as .csv or .xlsx")
        parser.add_argument(
            "--acknowledge",
            action="append",
            choices=["all", *preflight.CHECKS],
            help="acknowledge the warnings of a check, or all; may be repeated",
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="why, kept with each warning")

    def permissions(self, options: Mapping[str, object]) -> tuple[str, ...]:
        more = ("journals.submit_journal",) if options["acknowledge"] else ()
        return (*super().permissions(options), *more)

    def run(self, **options: Any) -> None:
        format, output, acknowledge = (options[name] for name in ("format", "output", "acknowledge"))
        drafts = Journal.objects.filter(state=Journal.State.DRAFT)
        draft = posting.journal_named(options["journal"], among=drafts, waiting="is a draft")
        if acknowledge:
            preflight.acknowledge(
                journal=draft,
                format=format,
                checks=() if "all" in acknowledge else acknowledge,
                reason=options["reason"],
                actor=self.actor,
                now=self.now,
            )
        report = preflight.check(journal=draft, format=format, now=self.now)
        if output:
            self.write(output, draft, report)
        self.report(as_data(draft, report), told(draft, report))
        if not report.has_passed:
            raise CommandError(f"{draft} cannot be submitted: {report.summary}.{how_on(draft, report)}")

    def write(self, output: Path, draft: Journal, report: Report) -> None:
        form = output.suffix.lower().lstrip(".")
        if form not in sheets.FORMATS:
            raise CommandError(f"{output.name} ends neither in .csv nor in .xlsx.", returncode=2)
        content = sheets.write(journal=draft, report=report, form=form, actor=self.actor, now=self.now)
        with whole(output) as file:
            file.write(content)


def how_on(draft: Journal, report: Report) -> str:
    """Say how warnings are acknowledged, where nothing but these is in the way."""
    if report.errors:
        return ""
    again = f"manage.py preflight {draft} -f {report.format} --acknowledge all --reason WHY"
    return f" Mend what is named, or acknowledge it: `{again}`."


def told(draft: Journal, report: Report) -> str:
    lines = [f"{draft} in {report.format}: {report.summary}."]
    for each in report.findings:
        done = report.acknowledged.get(each.key)
        kind = "error" if not each.is_warning else "acknowledged" if done else "warning"
        step = f" `{doors.as_command(each.then)}`" if each.then and not done else ""
        lines.append(f"{kind}: {each}{step}")
    return "\n".join(lines)


def as_data(draft: Journal, report: Report) -> dict[str, Any]:
    return {
        "journal": draft.number,
        "period": draft.period.iso_month,
        "format": report.format,
        "passed": report.has_passed,
        "errors": [described(each) for each in report.errors],
        "warnings": [
            described(each)
            | {
                "acknowledged_by": done.acknowledged_by_name if (done := report.acknowledged.get(each.key)) else None,
                "reason": done.reason if done else None,
            }
            for each in report.warnings
        ],
    }


def described(each: Finding) -> dict[str, Any]:
    return {
        "check": each.check,
        "line": each.line or None,
        "file_line": each.file_line or None,
        "field": each.field,
        "value": each.value,
        "message": each.message,
        "next": doors.as_command(each.then) if isinstance(each.then, NextStep) else None,
    }
