"""What charges lack before somebody can pay them, and the errors that say so, each with what to do."""

from collections import Counter
from collections.abc import Collection
from datetime import date

from ..errors import BillingError, MissingCenterFundOrg, NextStep
from ..texts import iso_month, long_month


class MissingRate(BillingError):
    """Charges in a foreign currency, and no exchange rate for their month."""


class MissingEffectiveCost(BillingError):
    """A source is charged by EffectiveCost, and rows of it have none."""


class MissingPI(BillingError):
    """Charges that nobody answers for."""


class MissingFundOrg(BillingError):
    """Charges that no fund/org pays."""


class NothingToShareOver(BillingError):
    """Costs to be shared over what their source charged, and it charged nobody."""


class BrokenSplit(BillingError):
    """A split whose shares are not 100 percent."""


class SplitOfCustomer(BillingError):
    """Charges that a customer pays by invoice, and a split shares among fund/orgs."""


class Missing:
    """What the charges of a month lack: each thing to name, with how many charges wait for it."""

    def __init__(self, month: date) -> None:
        self.month = long_month(month)
        # By the name of the source.
        self.effective_cost: Counter[str] = Counter()
        self.pi: Counter[str] = Counter()
        self.fund_org: Counter[str] = Counter()
        self.center_fund_org: Counter[str] = Counter()
        # By the PI and the project, as people call them.
        self.split_of_customer: Counter[str] = Counter()
        # By the name of the source, and the month.
        self.bearers: Counter[tuple[str, date]] = Counter()

    def refuse(self) -> None:
        """Raise the first error there is cause for; nothing where charges have all that they need."""
        if found := self.effective_cost:
            raise MissingEffectiveCost(
                f"{self.month} has {_counted(found)} without EffectiveCost, by which they are to be charged. "
                "Import a file that has the column, or charge the source by BilledCost."
            )
        if found := self.pi:
            raise MissingPI(
                f"{self.month} has {_counted(found)} without a PI. "
                "Reattribute them in the review, or give the source a default PI."
            )
        if found := self.fund_org:
            raise MissingFundOrg(
                f"{self.month} has {_counted(found)} without a fund/org to pay them. "
                "Reattribute them in the review, or give the source a default fund/org."
            )
        if found := self.split_of_customer:
            raise SplitOfCustomer(
                f"{self.month} has {_counted(found)} that a customer pays by invoice, and that a split shares among "
                "fund/orgs. Remove the customer from the project or its PI, end the split, or undo its decision."
            )
        if found := self.center_fund_org:
            raise MissingCenterFundOrg(
                f"{self.month} has {_counted(found)} charged to the center, and the policy names no fund/org of the "
                "center's own. Set it in the policy."
            )

    def refuse_without_bearers(self) -> None:
        """Raise NothingToShareOver where shared costs go over what nobody was charged."""
        if found := self.bearers:
            total = sum(found.values())
            named = ", ".join(f"{source} in {long_month(month)}" for source, month in sorted(found))
            raise NothingToShareOver(
                f"{self.month} cannot be charged: {total:,} shared {'cost goes' if total == 1 else 'costs go'} over "
                f"what was charged of {named}, and nobody was charged any of it. Give the source a "
                "default PI and a default fund/org, which pay it then. Or, in the review, reattribute the charges "
                "or charge them to the center. Where that month is an earlier one without statements, issue them first."
            )


def refuse_without_rate(missing: Collection[tuple[date, str]], home: str) -> None:
    """Raise MissingRate if exchange rates are missing, by month and currency."""
    if not missing:
        return
    month, currency = min(missing)
    named = ", ".join(f"{currency} in {long_month(month)}" for month, currency in sorted(missing))
    raise MissingRate(
        f"There is no exchange rate for {named}: enter what one unit is worth in {home}.",
        then=NextStep("enter_rate", {"period": iso_month(month), "currency": currency}),
    )


def _counted(found: Counter[str]) -> str:
    total = sum(found.values())
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(found.items()))
    return f"{total:,} {'charge' if total == 1 else 'charges'} ({named})"
