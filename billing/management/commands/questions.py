"""Questions of PIs: which wait for an answer, and what somebody asked."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, period_named, subcommands, table
from billing.models import Question
from billing.texts import long_date, shown
from billing.told import fields_of

HEADINGS = ["question", "state", "month", "line", "about", "PI", "answer due"]


class Command(BillingCommand):
    help = "List the questions of PIs, and show one with its messages."
    permission = {"list": "billing.view_question", "show": "billing.view_question"}

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        listing = verbs.add_parser("list", help="list the open questions")
        listing.add_argument("-p", "--period", metavar="2025-01", help="only about this billing period")
        listing.add_argument("--all", action="store_true", help="those that are answered or withdrawn, too")
        one = verbs.add_parser("show", help="show a question with its messages")
        one.add_argument("question", type=int, metavar="ID", help="its number")

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options['verb']}")(**options)

    def run_list(self, *, period: str | None, **options: Any) -> None:
        found = Question.objects.all() if options["all"] else Question.objects.open()
        if period:
            found = found.filter(period=period_named(period))
        listed = list(found.select_related("pi", "project", "period").order_by("respond_by", "pk"))
        rows = [
            [
                str(each.pk),
                each.get_state_display(),
                each.period.iso_month if each.period else "",
                each.line,
                shown(each.about),
                each.pi.email,
                long_date(each.respond_by),
            ]
            for each in listed
        ]
        number = f"{len(listed):,} question{'' if len(listed) == 1 else 's'}."
        text = f"{table(rows, HEADINGS, {0})}\n\n{number}" if rows else "No question is open."
        self.report({"questions": [_data(each) for each in listed]}, text)

    def run_show(self, *, question: int, **options: Any) -> None:
        found = Question.objects.select_related("pi", "project", "period").filter(pk=question).first()
        if found is None:
            raise CommandError(f"There is no question {question}. Next: `manage.py questions list --all`.")
        thread = list(found.messages.order_by("pk"))
        lines = [
            f"{str(found).capitalize()}: {shown(found.about)}",
            f"  {found.get_reason_display()}; {found.get_state_display().lower()}"
            + (f", {found.get_outcome_display().lower()}" if found.outcome else ""),
            *([f"  proposed: {found.proposed_text}"] if found.proposed else []),
        ]
        for each in thread:
            lines.append(f"  {each.written_by_name}: {shown(' '.join(each.text.split()))}")
        said = [fields_of(each, "text", "is_from_staff", "written_at", "written_by_name") for each in thread]
        self.report(_data(found) | {"messages": said}, "\n".join(lines))


def _data(question: Question) -> dict[str, Any]:
    return {
        "question": question.pk,
        **fields_of(question, "kind", "reason", "state", "outcome", "line", "about", "amount", "currency", "proposed"),
        **fields_of(question, "respond_by", "asked_at", "asked_by_name"),
        "pi": question.pi.email,
        "project": question.project.code if question.project else None,
        "period": question.period.iso_month if question.period else None,
    }
