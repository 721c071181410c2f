"""List journals and record what the ledger answered."""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, amount, day, day_named, period_named, subcommands, table
from billing.files import documents, piped
from billing.models import BillingPeriod
from journals import estimates, posting
from journals.models import Journal

WHICH = "a number such as J2025-01-1, an id, or a period in which exactly one waits"

# What a form of answers says, by option: the field and its help.
MAPPED = {
    "journal": ("journal_column", "the column with the number of our journal"),
    "document": ("document_column", "the column with the ledger's document number"),
    "line": ("line_column", "the column with the line of our file"),
    "status": ("status_column", "the column that says whether it was posted"),
    "reason": ("reason_column", "the column that says why it was rejected"),
    "posted-words": ("posted_words", "words of the status for posted, with commas between"),
    "rejected-words": ("rejected_words", "words of the status for rejected"),
}


class Command(BillingCommand):
    help = "List journals, and record the ledger's answer: posted, rejected, or to be reversed."
    permission = {
        "list": "journals.view_journal",
        "submit": "journals.submit_journal",
        "accrue": "journals.export_journal",
        "post": "journals.post_journal",
        "answers": "journals.post_journal",
        "mapping": "journals.add_answermapping",
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
        accrue = verbs.add_parser("accrue", help="draft what a month has that the ledger has not, to be reversed")
        accrue.add_argument("period", metavar="2026-06")
        accrue.add_argument("--reverse-on", required=True, metavar="YYYY-MM-DD", help="posting date of its reversal")
        accrue.add_argument("--date", metavar="YYYY-MM-DD", help="posting date; else that of a journal")
        accrue.add_argument("--date-reason", default="", metavar="TEXT", help="why its date is in another fiscal year")
        accrue.add_argument("-f", "--format", default="gl", help="as export_journal has it; gl by default")
        accrue.add_argument(
            "--estimate",
            action="append",
            metavar="LINE",
            help="an amount of what is not imported yet, as “source, fund/org, amount, reason”; may be given again. "
            "Without it, the draft keeps those it has",
        )
        accrue.add_argument(
            "--as-last-month", action="store_true", help="estimate what did not come by what it was the month before"
        )
        accrue.add_argument("--no-estimates", action="store_true", help="leave out the estimates that the draft has")
        accrue.add_argument("--dry-run", action="store_true", help="say what it would hold; store nothing")
        post = verbs.add_parser("post", help="record that the ledger took a submitted journal")
        post.add_argument("journal", metavar="N", help=WHICH)
        post.add_argument("--document", required=True, metavar="NUMBER", help="the ledger's document number")
        answers = verbs.add_parser("answers", help="record a file of the ledger's answers: all of it, or nothing")
        answers.add_argument("file", metavar="FILE", help="CSV or Excel, as the ledger gives it out")
        answers.add_argument("-m", "--mapping", required=True, metavar="NAME", help="which of its columns says what")
        answers.add_argument("--dry-run", action="store_true", help="say what it would do; record nothing")
        mapping = verbs.add_parser("mapping", help="say which columns a file of answers has, under a name")
        mapping.add_argument("name", metavar="NAME")
        for name, (_, told) in MAPPED.items():
            mapping.add_argument(f"--{name}", metavar="TEXT", help=told, required=name in ("journal", "document"))
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
            "accrue": self.accrue,
            "post": self.post,
            "answers": self.answers,
            "mapping": self.mapping,
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
        # An accrual's reversal is submitted with it, and the ledger gets both.
        self.report(described(submitted), "\n".join(map(_submitted, [submitted, *submitted.reversals.all()])))

    def accrue(
        self,
        *,
        period: str,
        reverse_on: str,
        date: str | None,
        date_reason: str,
        format: str,
        estimate: Sequence[str] | None,
        as_last_month: bool,
        no_estimates: bool,
        dry_run: bool,
        **options: object,
    ) -> None:
        back = day_named(reverse_on)
        assert back is not None
        found = period_named(period)
        asked: dict[str, Any] = {
            "period": found,
            "posting_date": day_named(date),
            "reversal_date": back,
            "estimates": entered(found, estimate or (), as_last_month=as_last_month)
            if estimate or as_last_month or no_estimates
            else None,
        }
        seen = posting.preview_accrual(**asked, now=self.now)
        said = "\n".join(
            [
                f"{amount(seen.debits, seen.currency)} on each side, posted on "
                f"{day(seen.posting_date)} and reversed on {day(seen.reversal_date)}.",
                *estimates.told(seen.estimates, seen.currency),
                *seen.notes,
            ]
        )
        data = {
            "dry_run": dry_run,
            "posting_date": seen.posting_date,
            "reversal_date": seen.reversal_date,
            "debits": seen.debits,
            "credits": seen.credits,
            "estimates": [each.as_data() for each in seen.estimates],
            "left_out": list(seen.notes),
        }
        if dry_run:
            self.report(data, said)
            return
        journal = posting.accrue(**asked, format=format, date_reason=date_reason, actor=self.actor, now=self.now)
        submits = f"`manage.py journals submit {journal} -f {format}`"
        self.report(data | {"journal": described(journal)}, f"Accrual {journal} drafted: {said}\nSubmit it: {submits}.")

    def post(self, *, journal: str, document: str, **options: object) -> None:
        found = posting.journal_named(journal, among=Journal.objects.open(), waiting="waits for the ledger's answer")
        posted = posting.post(journal=found, document_number=document, actor=self.actor, now=self.now)
        self.report(described(posted), f"Journal {posted} posted as document {posted.document_number}.")

    def answers(self, *, file: str, mapping: str, dry_run: bool, **options: object) -> None:
        found = posting.mapping_named(mapping)
        try:
            with piped.opened(file) as content:
                done = posting.load_answers(
                    file=content, mapping=found, is_dry_run=dry_run, actor=self.actor, now=self.now
                )
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        data = {
            "dry_run": dry_run,
            "posted": [{"journal": number, "document_number": document} for number, document in done.posted],
            "rejected": [{"journal": number, "reason": reason} for number, reason in done.rejected],
            "unchanged": list(done.unchanged),
        }
        self.report(data, "\n".join([str(done), *done.examples]))

    def mapping(self, *, name: str, **options: Any) -> None:
        given = {field: options[option.replace("-", "_")] for option, (field, _) in MAPPED.items()}
        given = {field: value for field, value in given.items() if value is not None}
        saved = posting.save_mapping(name=name, values=given, actor=self.actor, now=self.now)
        self.report(
            {"name": saved.name, "columns": saved.columns},
            f"Answers in the form {saved} are read by {', '.join(saved.columns.values())}.",
        )

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
            f"Journal {rejected} rejected: {rejected.rejection_reason}{drafted_next(rejected)}",
        )

    def reverse(self, *, journal: str, reason: str, date: str | None, **options: object) -> None:
        posted = Journal.objects.filter(state=Journal.State.POSTED).exclude(kind=Journal.Kind.REVERSAL)
        found = posting.journal_named(journal, among=posted, waiting="is posted and not reversed")
        reversed_ = posting.reverse(
            journal=found, reason=reason, posting_date=day_named(date), actor=self.actor, now=self.now
        )
        reversal = reversed_.reversal
        self.report(
            {"journal": described(reversed_.journal), "reversal": described(reversal)},
            f"Journal {reversed_.journal} reversed by {reversal} ({reversal.get_state_display().lower()}): "
            f"{documents.place(reversal.file_path)}{drafted_next(reversed_.journal)}",
        )


def drafted_next(journal: Journal) -> str:
    """Say where what a journal held comes again; "" for one that charged nobody."""
    if journal.kind != Journal.Kind.JOURNAL:
        return ""
    return f"\nWhat it held is in the next draft: `manage.py export_journal -p {journal.period.iso_month} -f …`."


def line_numbers(text: str) -> list[int]:
    """Return line numbers written `3,7`; raise CommandError for anything else."""
    try:
        return [int(number) for number in text.split(",") if number.strip()]
    except ValueError:
        raise CommandError(f"“{text}” are not line numbers. Write them such as 3,7.") from None


def entered(period: BillingPeriod, lines: Sequence[str], *, as_last_month: bool) -> tuple[estimates.Estimate, ...]:
    """Return the estimates that a command names; one that is written out goes before what the month before says."""
    written = estimates.read(lines)
    named = {(each.source, each.fund_org) for each in written}
    more = estimates.as_last_month(period) if as_last_month else ()
    return (*written, *(each for each in more if (each.source, each.fund_org) not in named))


def _submitted(journal: Journal) -> str:
    kinds: dict[str, str] = {Journal.Kind.ACCRUAL: "Accrual", Journal.Kind.REVERSAL: "Its reversal"}
    kind = kinds.get(journal.kind, "Journal")
    counts = "" if journal.state == Journal.State.SUBMITTED else " and counted as posted"
    return f"{kind} {journal} submitted{counts}: {documents.place(journal.file_path)}"


def described(journal: Journal) -> dict[str, Any]:
    return {
        "id": journal.pk,
        "number": journal.number,
        "period": journal.period.iso_month,
        "kind": journal.kind,
        "state": journal.state,
        "format": journal.format,
        "posting_date": journal.posting_date,
        "reversal_date": journal.reversal_date,
        "date_reason": journal.date_reason,
        "estimates": journal.estimates,
        "drafted_by": str(journal.drafted_by) if journal.drafted_by else None,
        "submitted_by": str(journal.submitted_by) if journal.submitted_by else None,
        "currency": journal.currency,
        "lines": journal.line_count,
        "debits": journal.debits,
        "credits": journal.credits,
        "document_number": journal.document_number,
        "reason": journal.rejection_reason or journal.reversal_reason,
        "reverses": journal.reverses.number if journal.reverses else None,
        "file": str(documents.place(journal.file_path)) if journal.file_path else None,
        "sha256": journal.file_sha256,
    }
