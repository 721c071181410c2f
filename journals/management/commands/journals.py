"""List journals and record what the ledger answered."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, amount, day, day_named, period_named, subcommands, table
from journals import posting
from journals.filing import kept_path
from journals.models import Journal

WHICH = "a number such as J2025-01-1, an id, or a period in which exactly one waits"


class Command(BillingCommand):
    help = "List journals, and record the ledger's answer: posted, rejected, or to be reversed."
    permission = {
        "list": "journals.view_journal",
        "submit": "journals.submit_journal",
        "post": "journals.post_journal",
        "reject": "journals.post_journal",
        "reverse": "journals.post_journal",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        every = verbs.add_parser("list", help="show journals and what became of them")
        every.add_argument("-p", "--period", metavar="2025-01")
        submit = verbs.add_parser("submit", help="submit a draft as it is, without drafting it again")
        submit.add_argument("journal", metavar="N", help=WHICH)
        submit.add_argument("-f", "--format", default="gl", help="as export_journal has it; gl by default")
        submit.add_argument("--date-reason", default="", metavar="TEXT", help="why its date is in another fiscal year")
        post = verbs.add_parser("post", help="record that the ledger took a submitted journal")
        post.add_argument("journal", metavar="N", help=WHICH)
        post.add_argument("--document", required=True, metavar="NUMBER", help="the ledger's document number")
        reject = verbs.add_parser("reject", help="record that the ledger refused it; its lines go into the next draft")
        reject.add_argument("journal", metavar="N", help=WHICH)
        reject.add_argument("--reason", required=True)
        reject.add_argument("--lines", default="", metavar="3,7", help="the lines that the ledger named")
        reject.add_argument(
            "--file-lines",
            default="",
            metavar="3,7",
            help="the lines of the file that the ledger named, each for all journal lines in it",
        )
        reverse = verbs.add_parser("reverse", help="take a posted journal back with one of the opposite lines")
        reverse.add_argument("journal", metavar="N", help=WHICH)
        reverse.add_argument("--reason", required=True)
        reverse.add_argument("--date", metavar="YYYY-MM-DD", help="posting date; else one that the ledger takes")

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {
            "list": self.list,
            "submit": self.submit,
            "post": self.post,
            "reject": self.reject,
            "reverse": self.reverse,
        }
        doing[options.pop("verb")](**options)

    def list(self, *, period: str | None, **options: object) -> None:
        journals = Journal.objects.select_related("period", "reverses", "drafted_by", "submitted_by").order_by(
            "period__month", "id"
        )
        if period:
            journals = journals.filter(period=period_named(period))
        rows = [
            [
                journal.number,
                journal.period.iso_month,
                journal.get_state_display().lower(),
                journal.format or "–",
                day(journal.posting_date),
                f"{journal.line_count:,}",
                amount(journal.debits, journal.currency),
                amount(journal.credits, journal.currency),
                journal.document_number or "–",
            ]
            for journal in journals
        ]
        headings = ["journal", "period", "state", "format", "posting date", "lines", "debits", "credits", "document"]
        self.report(
            {"journals": [described(journal) for journal in journals]},
            table(rows, headings, {5, 6, 7}) if rows else "There is no journal. `manage.py export_journal` drafts one.",
        )

    def submit(self, *, journal: str, format: str, date_reason: str, **options: object) -> None:
        drafts = Journal.objects.filter(state=Journal.State.DRAFT)
        found = posting.journal_named(journal, among=drafts, waiting="is a draft")
        submitted = posting.submit(
            journal=found, format=format, date_reason=date_reason, actor=self.actor, now=self.now
        )
        counts = "" if submitted.state == Journal.State.SUBMITTED else " and counted as posted"
        self.report(described(submitted), f"Journal {submitted} submitted{counts}: {kept_path(submitted.file_path)}")

    def post(self, *, journal: str, document: str, **options: object) -> None:
        found = posting.journal_named(journal, among=Journal.objects.open(), waiting="waits for the ledger's answer")
        posted = posting.post(journal=found, document_number=document, actor=self.actor, now=self.now)
        self.report(described(posted), f"Journal {posted} posted as document {posted.document_number}.")

    def reject(self, *, journal: str, reason: str, lines: str, file_lines: str, **options: object) -> None:
        found = posting.journal_named(journal, among=Journal.objects.open(), waiting="waits for the ledger's answer")
        rejected = posting.reject(
            journal=found,
            reason=reason,
            lines=line_numbers(lines),
            file_lines=line_numbers(file_lines),
            actor=self.actor,
            now=self.now,
        )
        self.report(
            described(rejected),
            f"Journal {rejected} rejected: {rejected.rejection_reason}\n"
            f"What it held is in the next draft: `manage.py export_journal -p {rejected.period.iso_month} -f …`.",
        )

    def reverse(self, *, journal: str, reason: str, date: str | None, **options: object) -> None:
        posted = Journal.objects.filter(kind=Journal.Kind.JOURNAL, state=Journal.State.POSTED)
        found = posting.journal_named(journal, among=posted, waiting="is posted and not reversed")
        reversed_ = posting.reverse(
            journal=found, reason=reason, posting_date=day_named(date), actor=self.actor, now=self.now
        )
        reversal = reversed_.reversal
        self.report(
            {"journal": described(reversed_.journal), "reversal": described(reversal)},
            f"Journal {reversed_.journal} reversed by {reversal} ({reversal.get_state_display().lower()}): "
            f"{kept_path(reversal.file_path)}\n"
            f"What it held is in the next draft: `manage.py export_journal -p {reversal.period.iso_month} -f …`.",
        )


def line_numbers(text: str) -> list[int]:
    """Return line numbers written `3,7`; raise CommandError for anything else."""
    try:
        return [int(number) for number in text.split(",") if number.strip()]
    except ValueError:
        raise CommandError(f"“{text}” are not line numbers. Write them such as 3,7.") from None


def described(journal: Journal) -> dict[str, Any]:
    return {
        "id": journal.pk,
        "number": journal.number,
        "period": journal.period.iso_month,
        "kind": journal.kind,
        "state": journal.state,
        "format": journal.format,
        "posting_date": journal.posting_date,
        "date_reason": journal.date_reason,
        "drafted_by": str(journal.drafted_by) if journal.drafted_by else None,
        "submitted_by": str(journal.submitted_by) if journal.submitted_by else None,
        "currency": journal.currency,
        "lines": journal.line_count,
        "debits": journal.debits,
        "credits": journal.credits,
        "document_number": journal.document_number,
        "reason": journal.rejection_reason or journal.reversal_reason,
        "reverses": journal.reverses.number if journal.reverses else None,
        "file": str(kept_path(journal.file_path)) if journal.file_path else None,
        "sha256": journal.file_sha256,
    }
