"""List fund/orgs, load or export the list of them, and record or revoke an exception from its dates."""

import datetime
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError

from billing.commands import table
from billing.management.register_commands import RegisterCommand
from billing.models import FundException, FundingSource
from billing.setup import funding, registers
from billing.setup.lists import day_of


class Command(RegisterCommand):
    help = "List fund/orgs, load or export the list of them, and record or revoke an exception from its dates."
    register = registers.FUNDS
    permission = {
        "list": "billing.view_fundingsource",
        "except": "billing.add_fundexception",
        "revoke": "billing.add_fundexception",
    }

    def more_arguments(self, verbs: Any) -> None:
        verbs.add_parser("list", help="show the fund/orgs with their dates and exceptions")
        excepting = verbs.add_parser("except", help="move dates of a fund/org outward, such as for a no-cost extension")
        excepting.add_argument("fund_org", metavar="FUND_ORG")
        excepting.add_argument("--valid-until", metavar="2025-06-30", help="a later last day of service")
        excepting.add_argument("--last-posting", metavar="2025-09-30", help="a later last posting date")
        excepting.add_argument("--valid-from", metavar="2024-12-01", help="an earlier first day of service")
        excepting.add_argument("--reason", required=True, help="why, such as the number of the extension")
        revoking = verbs.add_parser("revoke", help="have the dates of the list hold again")
        revoking.add_argument("fund_org", metavar="FUND_ORG")

    def more_verbs(self) -> dict[str, Callable[..., None]]:
        return {"list": self.show, "except": self.record, "revoke": self.revoke}

    def show(self, **options: Any) -> None:
        exceptions = FundException.in_force_by_fund()
        funds = list(FundingSource.objects.order_by("fund_org"))
        data: list[dict[str, Any]] = [
            {
                "fund_org": fund.fund_org,
                "name": fund.name,
                "sponsored": fund.is_sponsored,
                "fa": fund.fa_treatment,
                "valid_from": fund.valid_from,
                "valid_until": fund.valid_until,
                "last_posting_date": fund.last_posting_date,
                "exceptions": [described(each) for each in exceptions.get(fund.pk, ())],
            }
            for fund in funds
        ]
        rows = [
            [
                each["fund_org"],
                each["name"],
                "yes" if each["sponsored"] else "",
                each["fa"],
                *(str(each[name] or "–") for name in funding.DATES),
                "; ".join(exception.dates for exception in exceptions.get(fund.pk, ())),
            ]
            for fund, each in zip(funds, data, strict=True)
        ]
        headings = ["fund/org", "name", "sponsored", "F&A", "valid from", "valid until", "last posting", "exceptions"]
        self.report({"funds": data}, table(rows, headings) if rows else "No list of fund/orgs is loaded.")

    def record(self, *, fund_org: str, reason: str, **options: Any) -> None:
        done = funding.record_exception(
            fund=fund_named(fund_org),
            reason=reason,
            valid_from=day(options["valid_from"]),
            valid_until=day(options["valid_until"]),
            last_posting_date=day(options["last_posting"]),
            actor=self.actor,
            now=self.now,
        )
        self.told(done)

    def revoke(self, *, fund_org: str, **options: object) -> None:
        self.told(funding.revoke_exceptions(fund=fund_named(fund_org), actor=self.actor, now=self.now))

    def told(self, done: funding.Excepted) -> None:
        data = {
            "fund_org": done.exceptions[0].fund.fund_org,
            "exceptions": [described(each) for each in done.exceptions],
            "released": done.settled.cleared,
            "billed": done.settled.billed,
        }
        self.report(data, str(done))


def day(text: str | None) -> datetime.date | None:
    try:
        return day_of(text or "")
    except ValueError as error:
        raise CommandError(f"{error}.", returncode=2) from error


def fund_named(fund_org: str) -> FundingSource:
    try:
        return FundingSource.objects.get(fund_org=fund_org.strip())
    except FundingSource.DoesNotExist:
        raise CommandError(f"There is no fund/org “{fund_org}” on the list.") from None


def described(exception: FundException) -> dict[str, Any]:
    return {
        "exception": exception.pk,
        "valid_from": exception.valid_from,
        "valid_until": exception.valid_until,
        "last_posting_date": exception.last_posting_date,
        "reason": exception.reason,
        "recorded_by": exception.recorded_by_name,
        "recorded_at": exception.recorded_at,
        "revoked_at": exception.revoked_at,
    }
