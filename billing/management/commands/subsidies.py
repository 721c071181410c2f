"""manage.py subsidies: what takes a part of usage off what somebody pays, and what a changed one would."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, subcommands, table
from billing.management import tried
from billing.models import Policy, UsageSubsidy
from billing.money import rounded
from billing.texts import iso_month
from billing.usage import grants, trying
from billing.usage.pricing.terms import Scope, Span
from billing.usage.rate_schedules.words import NotUnderstood, number_of, number_text

VIEW = "billing.view_usagesubsidy"
NO_CAP = "none"


class Command(BillingCommand):
    help = "List the subsidies of usage, and say what a changed or new one would have charged for months."
    permission = {"list": VIEW, "try": VIEW}

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every subsidy, with what it came to so far")
        attempt = verbs.add_parser("try", help="say what a subsidy would have charged for months; store nothing")
        attempt.add_argument("code", metavar="CODE", help="the code of a subsidy; another one is tried as a new one")
        attempt.add_argument("--percent", metavar="N", help="of what would be charged")
        attempt.add_argument("--cap", metavar="N", help=f"at most so much is taken off; {NO_CAP}: no cap")
        attempt.add_argument("--for-each", choices=[each.value for each in Scope], help="what the cap is for")
        attempt.add_argument("--over", choices=[each.value for each in Span], help="what the cap is over")
        attempt.add_argument("--fund-org", metavar="F", help='who pays it; "": forgone')
        attempt.add_argument("--order", type=int, metavar="N", help="lower ones come first")
        for option, what in (
            ("--recipient", "a PI, or the code of a project or department"),
            ("--feed", "a usage feed"),
            ("--rate", "the code of a rate"),
            ("--class", "a rate class"),
        ):
            attempt.add_argument(option, action="append", metavar="NAME", help=f"{what}; again for more")
        tried.add_arguments(attempt)

    def run(self, **options: Any) -> None:
        if options.pop("verb") == "list":
            self.list()
        else:
            tried.report(self, trying.of_subsidy(changed(options)), on=options["on"], output=options["output"])

    def list(self) -> None:
        currency = Policy.objects.current().currency
        subsidies = list(UsageSubsidy.objects.all())
        sums = grants.granted(each.code for each in subsidies)
        rows = [
            [
                each.code,
                each.name,
                f"{number_text(each.percent)}%",
                "–" if each.cap is None else rounded(each.cap, currency),
                each.fund_org or "forgone",
                iso_month(each.valid_from),
                iso_month(each.valid_until) if each.valid_until else "",
                rounded(sums[each.code], currency),
            ]
            for each in subsidies
        ]
        headings = ["code", "subsidy", "takes off", "cap", "paid by", "from", "until", "so far"]
        data = [
            {
                "code": each.code,
                "name": each.name,
                "percent": number_text(each.percent),
                "cap": each.cap,
                "scope": each.scope,
                "span": each.span,
                "fund_org": each.fund_org,
                "valid_from": iso_month(each.valid_from),
                "valid_until": iso_month(each.valid_until) if each.valid_until else None,
                "granted": sums[each.code],
            }
            for each in subsidies
        ]
        self.report({"subsidies": data}, table(rows, headings, {2, 3, 7}) if rows else "There is no subsidy yet.")


def changed(options: dict[str, Any]) -> UsageSubsidy:
    """Return the subsidy of a code with what the options say in place of what it says, unsaved.

    Raises CommandError for a new one without a percentage, and ValidationError.
    """
    code = options["code"]
    subsidy = UsageSubsidy.objects.filter(code=code).first()
    if subsidy is None:
        if options["percent"] is None:
            known = ", ".join(UsageSubsidy.objects.values_list("code", flat=True)) or "none"
            raise CommandError(f"There is no subsidy {code}. These exist: {known}. A new one needs --percent.")
        # It is tried on any month.
        subsidy = UsageSubsidy(code=code, name=code, valid_from="2000-01-01", reason="tried")
    given = {
        "percent": _number("--percent", options["percent"]),
        "scope": options["for_each"],
        "span": options["over"],
        "fund_org": options["fund_org"],
        "order": options["order"],
        "recipients": options["recipient"],
        "feeds": options["feed"],
        "rates": options["rate"],
        "classes": options["class"],
    }
    for name, value in given.items():
        if value is not None:
            setattr(subsidy, name, value)
    if (cap := options["cap"]) is not None:
        subsidy.cap = None if cap == NO_CAP else _number("--cap", cap)
    subsidy.full_clean()
    grants.check_subsidy(subsidy)
    return subsidy


def _number(option: str, text: str | None) -> Any:
    try:
        return None if text is None else number_of(text)
    except NotUnderstood as error:
        raise CommandError(f"{option}: {error}", returncode=2) from error
