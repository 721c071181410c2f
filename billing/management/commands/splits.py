"""manage.py splits: who would pay for the charges of a project if several fund/orgs shared them."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, subcommands
from billing.management import tried
from billing.models import Project
from billing.texts import code_of
from billing.usage import trying
from billing.usage.rate_schedules.words import NotUnderstood, number_of

# A fund/org and its percent.
SHARE = re.compile(r"(.*\S)\s*[\s=:]\s*(\S+)")


class Command(BillingCommand):
    help = "Say what each fund/org would have paid for a project's charges by another split."
    permission = {"try": "billing.view_payerline"}

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        attempt = verbs.add_parser("try", help="say who would pay by a split; store nothing")
        attempt.add_argument("project", metavar="PROJECT", help="its code")
        attempt.add_argument(
            "--share",
            action="append",
            required=True,
            metavar="BIO-001=60",
            help="a fund/org and its percent; again for each, together 100",
        )
        attempt.add_argument(
            "--on",
            action="append",
            default=[],
            metavar="2026-01",
            help="a month; again for more; else the last three that have charges of it",
        )
        attempt.add_argument("-o", "--output", metavar="FILE", help="write every line to FILE, .csv or .xlsx")

    def run(self, **options: Any) -> None:
        if options["output"]:
            tried.form_of(options["output"], trying.FORMATS)
        project = Project.objects.coded(options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project “{options['project']}”.")
        months = [trying.month_named(each) for each in options["on"]]
        found = trying.try_split(project=project, shares=shares_of(options["share"]), months=months)
        tried.tell(self, found, options["output"])


def shares_of(texts: Sequence[str]) -> dict[str, Decimal]:
    """Return the percent of each fund/org; raise CommandError for a share that says neither."""
    shares: dict[str, Decimal] = {}
    for text in texts:
        found = SHARE.fullmatch(text.strip())
        if not found:
            raise CommandError(f"--share {text}: write a fund/org and a percent, such as BIO-001=60.", returncode=2)
        fund_org, percent = found.groups()
        try:
            share = number_of(percent.removesuffix("%"))
        except NotUnderstood as error:
            raise CommandError(f"--share {text}: {error}", returncode=2) from error
        if code_of(fund_org) in shares:
            raise CommandError(f"--share {text}: {code_of(fund_org)} is there twice.", returncode=2)
        shares[code_of(fund_org)] = share
    return shares
