"""Load attribution rules from a spreadsheet, write them to one, and say what a rule would change."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError

from billing.management import tried
from billing.management.register_commands import RegisterCommand
from billing.models import AttributionRule
from billing.setup import registers
from billing.usage import trying


class Command(RegisterCommand):
    help = "Load attribution rules from a spreadsheet, write them to one, and say what a rule would change."
    register = registers.RULES
    permission = {"try": "billing.view_payerline"}

    def more_arguments(self, verbs: Any) -> None:
        attempt = verbs.add_parser("try", help="say who would pay by a rule that is switched off; store nothing")
        attempt.add_argument("number", type=int, metavar="NUMBER", help="of the rule, as the export has it")
        attempt.add_argument(
            "--on",
            action="append",
            default=[],
            metavar="2026-01",
            help="a month; again for more; else the last three that have charges of its source",
        )
        attempt.add_argument("-o", "--output", metavar="FILE", help="write every line to FILE, .csv or .xlsx")

    def more_verbs(self) -> dict[str, Callable[..., None]]:
        return {"try": self.attempt}

    def attempt(self, *, number: int, on: list[str], output: str | None, **options: object) -> None:
        if output:
            tried.form_of(output, trying.FORMATS)
        rule = AttributionRule.objects.select_related("source", "pi", "project").filter(pk=number).first()
        if rule is None:
            raise CommandError(f"There is no attribution rule {number}.")
        months = [trying.month_named(each) for each in on]
        tried.tell(self, trying.try_rule(rule=rule, months=months, progress=self.progress), output)
